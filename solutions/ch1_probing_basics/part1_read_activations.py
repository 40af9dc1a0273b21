# %% [markdown]
# # Read activations
#
# **Before any probe is fitted: is anything about where a city lies visible in the vectors that a language model with
# 135 million parameters computes for its name?**
#
# After this lesson you can
#
# * read the residual stream at the token and the layer that you mean, and check that you did;
# * pool over tokens without averaging in padding or the first token's outsized vector;
# * draw principal components by layer, and say what they show and what they do not;
# * compare directions by their cosine without being fooled by the mean, and put a floor under every number.
#
# *Time and memory: about 30 minutes of reading and 40 of exercises; the machine itself needs under two minutes and 2
# GB on two CPU cores.*

# %% [markdown]
# ## How this course works
#
# An exercise is a function with an empty body. Replace its `raise NotImplementedError` line, and run the cell: the
# last line, `check(...)`, runs a handful of small tests on your function and says which hold. Where one fails you
# read what was expected and what came back, and, when your answer is a mistake that others have made before you, what
# went wrong. Checks use toy inputs; the cells that follow use *your* function on the real model.

# %% [markdown] tags=["self-study"]
# Above each exercise stand hints, folded; below it a solution, folded too. When you would rather go on, run
# `use_reference("name_of_the_exercise")` in a new cell: it puts the course's version in place of yours and marks the
# exercise as borrowed. You can come back later: run your own version's cell, and `check` counts it as done.

# %%
from utils.course import open_lesson, sample_size
from utils.course.progress import print_table

check, use_reference = open_lesson("ch1_probing_basics/part1_read_activations")
# The same table at the terminal: python -m utils.course progress
print_table()

# %% [markdown]
# Now the model. `load_language_model()` loads the small model that came with the course, without a network; the
# environment variable `PROBING_MODEL` switches every lesson to another one. Nothing below assumes a depth or a width.

# %%
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from utils.datasets import load_cities
from utils.metrics import bootstrap_interval
from utils.models import load_language_model, tokenize, untrained_twin
from utils.plots import bars_with_floor, heatmap, layer_sweep, pca_scatter

model = load_language_model()
n_layers, d_model = model.cfg.n_layers, model.cfg.d_model
middle, last = n_layers // 2, n_layers - 1
n_parameters = sum(weights.numel() for weights in model.original_model.parameters())
print(f"{model.cfg.model_name}: {n_layers} blocks, d_model {d_model}, {n_parameters / 1e6:.0f}M parameters")

# %% [markdown]
# ## Where to read
#
# A transformer keeps one vector of `d_model` numbers for each token, the **residual stream**; each block reads it and
# adds to it. TransformerLens calls the stream after block `l` `blocks.{l}.hook_out` (older code says
# `blocks.{l}.hook_resid_post`; papers say resid_post). `run_with_cache` can return everything that a hook sees. Ask
# for everything once, to see why one should not.

# %%
tokens = torch.tensor(tokenize(model, ["The city of Paris"]))
with torch.no_grad():
    _, cache = model.run_with_cache(tokens)
n_bytes = sum(value.nbytes for value in cache.values() if isinstance(value, Tensor))
print(f"{len(cache)} cached tensors, {n_bytes / 1e6 / tokens.numel():.1f} MB a token")
print(f"one layer's residual stream: {4 * d_model / 1e3:.1f} kB a token")

# %% [markdown]
# So we name what we want (`names_filter`) and stop the model behind it. `stop_at_layer=L` stops *before* block L,
# hence the `+ 1`. A misspelt name in the list is dropped without a word; the `KeyError` on the last line is our
# protection.


# %%
@torch.no_grad()
def resid_post(tokens: Int[Tensor, "text pos"], layer: int) -> Float[Tensor, "text pos d_model"]:
    """The residual stream after one block, at every position."""
    name = f"blocks.{layer}.hook_out"
    _, cache = model.run_with_cache(tokens, names_filter=[name], stop_at_layer=layer + 1)
    return cache[name].float()


print(tuple(resid_post(tokens, middle).shape))

# %% [markdown]
# Which layer is which? Hugging Face models return `hidden_states`, whose entry 0 is the embedding, so that block `l`
# is entry `l + 1`. We print the distance between the two readings, relative to the vector's norm. If the counting is
# right, it is zero everywhere; one row below is not.


# %%
def relative_error(received: Tensor, expected: Tensor) -> Float[Tensor, "..."]:
    """‖received − expected‖ / ‖expected‖ along the last dimension."""
    return (received - expected).norm(dim=-1) / expected.norm(dim=-1)


with torch.no_grad():
    hidden_states = model.original_model(tokens, output_hidden_states=True).hidden_states
for layer in (0, middle, last - 1, last):
    error = relative_error(hidden_states[layer + 1], resid_post(tokens, layer)).max()
    print(f"block {layer:>2}: hidden_states[{layer + 1}] differs from hook_out by {error:.1e}")

# %% [markdown]
# The last row is the trap: `hidden_states[-1]` is taken *after* the final norm and is not the residual stream. A
# layer sweep on `hidden_states` ends with a layer of another kind.
#
# ## What to feed
#
# The model reads tokens, not words. Well-known names are one token; others fall into pieces, and the last piece is
# all that "the last token" refers to. Only there has the model read the whole name.

# %%
texts = ["The city of Paris", "The city of Ulan Bator", "The city of Thiruvananthapuram"]
token_lists = tokenize(model, texts)
for ids in token_lists:
    print([model.tokenizer.decode([token]) for token in ids])

# %% [markdown]
# **The BOS trap.** Some models were trained with a special token before every text, others, like the embedded one,
# were not. `model.to_tokens` and most tutorials prepend it anyway; a chat template brings its own, and then there are
# two. The course's `tokenize` does what the model was trained with. The number is how far the last token's vector
# moves when the convention is broken: if it did not matter, it would be near 0.

# %%
special = model.tokenizer.bos_token_id
special = model.tokenizer.eos_token_id if special is None else special
for text, ids in zip(texts, token_lists, strict=True):
    other = ids[1:] if ids[0] == special else [special, *ids]
    usual, unusual = (resid_post(torch.tensor([each]), middle)[0, -1] for each in (ids, other))
    moved = relative_error(unusual, usual)
    print(f"first ids {ids[:2]} or {other[:2]}: moved by {moved:.0%} of its norm   ({text})")

# %% [markdown]
# **The padding trap.** A batch is a rectangle, so shorter texts are padded. Attention is causal: a token sees what
# stands before it. Padding on the *right* therefore cannot reach a real token, but position −1 is then padding.
# Padding on the *left* puts the last token at −1, where it sees the padding unless it is masked. Here are three
# readings against each text run alone: one of them should be 0, up to rounding.

# %%
longest = max(len(ids) for ids in token_lists)
right = torch.tensor([ids + [0] * (longest - len(ids)) for ids in token_lists])
left = torch.tensor([[0] * (longest - len(ids)) + ids for ids in token_lists])
at_length = torch.tensor([len(ids) - 1 for ids in token_lists])
readings = {
    "padded right, position −1": resid_post(right, middle)[:, -1],
    "padded left, position −1": resid_post(left, middle)[:, -1],
    "padded right, position length − 1": resid_post(right, middle)[torch.arange(3), at_length],
}
alone = torch.stack([resid_post(torch.tensor([ids]), middle)[0, -1] for ids in token_lists])
for reading, rows in readings.items():
    print(f"{reading:<34}", "  ".join(f"{error:8.1e}" for error in relative_error(rows, alone).tolist()))

# %% [markdown]
# Both wrong readings raise no error and have the right shape; the third text, the longest, is even right in all
# three, so a test with texts of one length finds nothing.
#
# ## Exercise · `last_token_activations`
# difficulty ●●●○○ · importance ●●●●● · 15 minutes
#
# Read the residual stream after each of `layers` at the last real token of each text. `token_lists` holds the token
# ids of each text, of unequal length; work through them in batches of `batch_size`, pad on the right with any valid
# id (0 will do), run the model once a batch, and pick position `length − 1` from each row. The result has shape
# (text, layer, d_model), texts and layers in the order in which they were given. A text without tokens has no last
# token: `ValueError`.
#
# <details><summary>Hint 1: one batch</summary>
#
# Build `tokens` as in the cell above, ask `run_with_cache` for the list of names `[f"blocks.{l}.hook_out" for l in
# layers]` under `torch.no_grad()` (otherwise every batch keeps its whole graph in memory), and stop at `max(layers) +
# 1`.
#
# </details>
#
# <details><summary>Hint 2: picking the positions</summary>
#
# `cache[name][torch.arange(len(batch)), lengths - 1]` has shape (text, d_model). `torch.stack(..., dim=1)` over the
# names, then `torch.cat` over the batches.
#
# </details>


# %%
def last_token_activations(
    model, token_lists: list[list[int]], layers: list[int], batch_size: int = 32
) -> Float[Tensor, "text layer d_model"]:
    """The residual stream after each of `layers` (resid_post) at each text's last token.

    model: a TransformerBridge. token_lists: the token ids of each text, unpadded, fed to the model as they are.
    layers: block numbers, 0 the first; the result has them in this order.
    Raises ValueError for a text without tokens.
    """
    ### BEGIN SOLUTION
    if any(len(ids) == 0 for ids in token_lists):
        raise ValueError("a text has no tokens, so it has no last token: remove empty texts first")
    names = [f"blocks.{layer}.hook_out" for layer in layers]
    rows = []
    for start in range(0, len(token_lists), batch_size):
        batch = [torch.tensor(ids) for ids in token_lists[start : start + batch_size]]
        lengths = torch.tensor([len(ids) for ids in batch])
        # Right padding needs no mask: causal attention keeps it out of the real tokens.
        tokens = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens, names_filter=names, stop_at_layer=max(layers) + 1)
        last_token = torch.arange(len(batch)), lengths - 1
        rows.append(torch.stack([cache[name][last_token].float() for name in names], dim=1))
    return torch.cat(rows)
    ### END SOLUTION


check(last_token_activations)

# %% [markdown]
# ## Six hundred cities
#
# Five continents, the largest cities of each in equal numbers, in the sentence "The city of X". (Oceania has too few
# cities and countries in the table.) Countries matter: cities of one country resemble each other in name and in fame,
# so they are not independent evidence.

# %%
CONTINENTS = ["Africa", "Asia", "Europe", "North America", "South America"]
per_continent = sample_size(120, 40)
cities = load_cities()
cities = cities[cities.continent.isin(CONTINENTS)].groupby("continent").head(per_continent)
continent = np.array([CONTINENTS.index(name) for name in cities.continent])
country = cities.country.to_numpy()
city_tokens = tokenize(model, [f"The city of {name}" for name in cities.name])
n_tokens = np.array([len(ids) for ids in city_tokens])
cities.groupby("continent").agg(cities=("name", "size"), countries=("country", "nunique"))

# %% [markdown]
# Your function, on the real model, at every layer. Expect the norm to grow with depth: blocks add to the stream and
# nothing shrinks it. That is why tolerances and penalties in this course are relative to the scale of a layer.

# %%
acts = last_token_activations(model, city_tokens, list(range(n_layers)))
print(f"{tuple(acts.shape)}, {acts.nbytes / 1e6:.0f} MB")
for layer in (0, middle, last):
    norms = acts[:, layer].norm(dim=-1)
    print(f"block {layer:>2}: median norm {norms.median():.0f}")

# %% [markdown]
# ## Mean or last token?
#
# The last token has seen the whole name, but its vector also prepares the *next* word. Averaging over all tokens is
# the common alternative, and the padding must stay out of the average.
#
# ## Exercise · `masked_mean`
# difficulty ●●○○○ · importance ●●●●○ · 8 minutes
#
# Average each text's activations over the positions at which its mask is True:
#
# $$\bar x_t = \frac{\sum_p m_{tp}\, x_{tp}}{\sum_p m_{tp}}$$
#
# `acts` has shape (text, pos, d_model), `mask` (text, pos), the result (text, d_model). True may stand anywhere in a
# row. Whatever the other positions hold, NaN included, must not reach the result. A row without any True has no mean:
# `ValueError`.
#
# <details><summary>Hint</summary>
#
# `mask[:, :, None]` broadcasts over d_model. 0 × NaN is NaN, so choose instead of multiplying:
# `acts.masked_fill(~mask[:, :, None], 0.0)`. Divide by `mask.sum(dim=1, keepdim=True)`, not by the number of
# positions.
#
# </details>


# %%
def masked_mean(
    acts: Float[Tensor, "text pos d_model"], mask: Bool[Tensor, "text pos"]
) -> Float[Tensor, "text d_model"]:
    """The mean activation of each text over the positions where its mask is True.

    The other positions may hold anything, NaN included, and do not touch the result.
    Raises ValueError where a text has no True.
    """
    ### BEGIN SOLUTION
    if not mask.any(dim=1).all():
        raise ValueError("a text has no True in its mask: there is nothing to average")
    kept = acts.masked_fill(~mask[:, :, None], 0.0)
    return kept.sum(dim=1) / mask.sum(dim=1, keepdim=True)
    ### END SOLUTION


check(masked_mean)

# %% [markdown]
# To use it we need every position. Row by row, `tokens[mask] = …` fills the rectangle with the texts in order.


# %%
def all_positions(
    token_lists: list[list[int]], layer: int
) -> tuple[Float[Tensor, "text pos d_model"], Bool[Tensor, "text pos"]]:
    """The residual stream at every position of right-padded texts, and a mask that is True at real tokens."""
    lengths = torch.tensor([len(ids) for ids in token_lists])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    tokens = torch.zeros(mask.shape, dtype=torch.long)
    tokens[mask] = torch.tensor([token for ids in token_lists for token in ids])
    return torch.cat([resid_post(batch, layer) for batch in tokens.split(50)]), mask


positions, mask = all_positions(city_tokens, middle)
norms = positions.norm(dim=-1)
for position in range(5):
    here = norms[mask[:, position], position]
    print(f"position {position}: median norm {here.median():8.0f}")

# %% [markdown]
# On the embedded model the first position's norm is over a hundred times the others'. It is a **massive activation**,
# the same huge vector whatever follows, as Sun et al. 2024 (arXiv:2402.17762) find at the starting token of many
# models. An average over n tokens contains this constant divided by n. The figure has one point for each city. If
# averages described the cities, the points would scatter; if they describe the constant, cities with equally many
# tokens fall on one another.

# %%
averages = masked_mean(positions, mask)
fit = float(norms[:, 0].median()) / n_tokens
correlation = np.corrcoef(averages.norm(dim=-1).numpy(), fit)[0, 1]
print(f"correlation of the average's norm with (first token's norm / n): {correlation:.5f}")
pca_scatter(
    np.stack([n_tokens, averages.norm(dim=-1).numpy()], axis=1),
    ["a city"] * len(cities),
    cities.name.tolist(),
    title=f"The norm of an average over all tokens, block {middle}",
    axis_titles=("tokens in the text", "norm of the average (residual-stream units)"),
)

# %% [markdown]
# How many points do you count? A right function, a useless number. The mask is the remedy: it can leave out the first
# token, or everything but the name.

# %%
n_before_name = len(tokenize(model, ["The city of"])[0])
in_name = mask & (torch.arange(mask.shape[1]) >= n_before_name)
name_averages = masked_mean(positions, in_name)
print(f"median norm, averaged over all tokens:    {averages.norm(dim=-1).median():8.0f}")
print(f"median norm, averaged over the name only: {name_averages.norm(dim=-1).median():8.0f}")

# %% [markdown]
# ## A first look
#
# d_model dimensions cannot be drawn. Principal components are the two or three directions along which the activations
# vary most; they know nothing of continents, so a separation that shows up was not put there by a fit.
#
# ## Exercise · `principal_components`
# difficulty ●●●○○ · importance ●●●●● · 12 minutes
#
# Subtract the mean text, then find the orthonormal directions $v_1, v_2, \dots$ of greatest variance. With $X_c$ the
# centred activations and $X_c = U S V^\top$ their singular value decomposition, the components are the first rows of
# $V^\top$, and component $i$ explains the share
#
# $$\frac{s_i^2}{\sum_j s_j^2}$$
#
# of the total variance (all of it, not only of the part that is kept). Return the components as rows, shape
# (n_components, d_model), and the shares, shape (n_components,), largest first. A component's sign is arbitrary; the
# checks accept both.
#
# <details><summary>Hint</summary>
#
# `torch.linalg.svd(centred, full_matrices=False)` returns `U, S, Vh` with `S` falling: take *rows* of `Vh`. If you
# prefer `torch.linalg.eigh` of the covariance, mind that its eigenvalues rise and its eigenvectors are columns.
# float64 costs little and is safer.
#
# </details>


# %%
def principal_components(
    acts: Float[Tensor, "text d_model"], n_components: int
) -> tuple[Float[Tensor, "n_components d_model"], Float[Tensor, "n_components"]]:
    """The directions of greatest variance, as orthonormal rows, and each one's share of the total variance.

    Sorted by falling share. The mean over texts is subtracted first; features are not rescaled.
    """
    ### BEGIN SOLUTION
    centred = acts.double() - acts.double().mean(dim=0)
    _, singular_values, directions = torch.linalg.svd(centred, full_matrices=False)
    variances = singular_values.square()
    return directions[:n_components].float(), (variances / variances.sum())[:n_components].float()
    ### END SOLUTION


check(principal_components)

# %% [markdown]
# Move the slider from the first block to the last. If the model knows nothing of geography, the colours stay mixed at
# every depth. (The signs are turned so that Europe lies on the positive side of both axes.)


# %%
def project(
    points: Float[Tensor, "text d_model"], n_components: int
) -> Float[np.ndarray, "text n_components"]:
    """Coordinates along the first principal components of these very points, Europe on the positive side."""
    components, _ = principal_components(points, n_components)
    coordinates = ((points.double() - points.double().mean(dim=0)) @ components.double().T).numpy()
    return coordinates * np.where(coordinates[continent == CONTINENTS.index("Europe")].mean(0) < 0, -1, 1)


shown = np.linspace(0, last, 7).round().astype(int).tolist()
pca_scatter(
    np.stack([project(acts[:, layer], 2) for layer in shown]),
    cities.continent.tolist(),
    [f"{name}, {home}" for name, home in zip(cities.name, country, strict=True)],
    title="“The city of X”, last token: two principal components by layer",
    frame_names=[f"block {layer}" for layer in shown],
)

# %% [markdown]
# On the embedded model colours gather after a few blocks, but two clouds are there from block 0 on, and they are not
# continents. What *is* a component about? For each, the share of its variance that lies between groups: between
# continents, and between names of one token and of several. The floor gives continents to whole countries at random:
# with so few countries it is not 0.


# %%
def share_between(
    values: Float[np.ndarray, "text component"], groups: np.ndarray
) -> Float[np.ndarray, "component"]:
    """The share of each column's variance that lies between the means of the groups (η²)."""
    centred = values - values.mean(0)
    between = sum((groups == g).mean() * centred[groups == g].mean(0) ** 2 for g in np.unique(groups))
    return between / centred.var(0)


def shuffled_by_country(seed: int) -> Int[np.ndarray, "text"]:
    """Continents dealt anew to whole countries: cities of one country stay together, as they do in the real labels."""
    _, first, member = np.unique(country, return_index=True, return_inverse=True)
    return np.random.default_rng(seed).permutation(continent[first])[member]


# %%
components = project(acts[:, middle], 6)
by_chance = [share_between(components, shuffled_by_country(seed)) for seed in range(sample_size(200, 20))]
rows = {
    "continent": share_between(components, continent),
    "continents shuffled, 95th percentile": np.quantile(by_chance, 0.95, axis=0),
    "name of one token?": share_between(components, n_tokens == n_tokens.min()),
}
heatmap(
    np.stack(list(rows.values())),
    list(rows),
    [f"PC {component + 1}" for component in range(6)],
    title=f"What the components of block {middle} are about",
    unit="share of variance",
    limits=(0, 1),
)

# %% [markdown]
# On the embedded model half of the first component's variance is a matter of spelling: whether the name is a single
# token. The second is the one about continents. **PCA shows what varies most, not what you asked about**, and an
# empty two-dimensional picture would not have meant that nothing is there.
#
# So we count. Give each city the continent whose *centroid* is nearest in the first k components. The city's whole
# country is left out of every centroid; otherwise its compatriots, not its continent, would give the answer. The
# score is balanced accuracy: the mean over continents of the share guessed right.


# %%
def guess_continents(
    points: Float[np.ndarray, "text k"], labels: Int[np.ndarray, "text"], groups: np.ndarray
) -> Int[np.ndarray, "text"]:
    """The label whose centroid is nearest to each row, every row of the same group left out of the centroids."""
    one_hot = np.eye(labels.max() + 1)[labels]
    guesses = np.empty_like(labels)
    for group in np.unique(groups):
        out = groups == group
        kept = one_hot * ~out[:, None]
        centroids = kept.T @ points / kept.sum(0)[:, None]
        guesses[out] = np.square(points[out][:, None] - centroids).sum(-1).argmin(1)
    return guesses


def balanced_accuracy(guesses: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean([(guesses[labels == label] == label).mean() for label in np.unique(labels)]))


def score(points: Float[np.ndarray, "text k"], groups: np.ndarray | None = None):
    """Balanced accuracy of the guesses, with a 95 % interval: whole countries are resampled."""
    guesses = guess_continents(points, continent, country if groups is None else groups)
    return bootstrap_interval(balanced_accuracy, guesses, continent, sample_size(1000, 100), groups=country)


# %% [markdown]
# Three floors. **Shuffled**: the same score when continents are dealt to countries at random. **Untrained twin**: the
# same architecture with fresh weights, which sees the same tokens and has learned nothing (mean of two seeds).
# **Character n-grams**: the same procedure on the spelling of the name, without any model. A language model that
# beats only the first two may have learned no more than that "-ville" sounds American. (Expect the blind scores a
# little below 0.20: with its own country left out, a city's continent has the centroid that knows it least.)

# %%
swept = sorted({*np.linspace(0, last, sample_size(12, 6)).round().astype(int).tolist(), middle})
seeds = range(sample_size(2, 1))
twins = [last_token_activations(untrained_twin(model, seed), city_tokens, swept) for seed in seeds]


def accuracy(points: Float[np.ndarray, "text k"], labels: Int[np.ndarray, "text"]) -> float:
    return balanced_accuracy(guess_continents(points, labels, country), labels)


counts = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), min_df=2).fit_transform(cities.name)
ngrams = torch.from_numpy(counts.toarray())
n_gram_floor = accuracy(project(ngrams, 10), continent)
twin_sweep = np.mean(
    [[accuracy(project(rows, 10), continent) for rows in twin.unbind(dim=1)] for twin in twins], axis=0
)
twin_floor = float(twin_sweep[swept.index(middle)])
ten = project(acts[:, middle], 10)
shuffled = [accuracy(ten, shuffled_by_country(seed)) for seed in range(sample_size(50, 10))]
shuffled_floor = float(np.quantile(shuffled, 0.95))
print(f"character n-grams {n_gram_floor:.2f}, untrained twin {twin_floor:.2f}, a blind guess {1 / 5:.2f}")
print(f"shuffled: mean {np.mean(shuffled):.2f}, 95th percentile {shuffled_floor:.2f}")

# %%
readings = {
    "last token, 2 components": score(project(acts[:, middle], 2)),
    "last token, 10 components": score(ten),
    "mean over the name, 10": score(project(name_averages, 10)),
    "mean over all tokens, 10": score(project(averages, 10)),
    "last token, 10, own country seen": score(ten, groups=np.arange(len(ten))),
}
for name, result in readings.items():
    print(f"{name:<34} {result}")
bars_with_floor(
    {name: result.estimate for name, result in readings.items()},
    intervals={name: (result.low, result.high) for name, result in readings.items()},
    floors={"shuffled": shuffled_floor, "untrained twin": twin_floor, "character n-grams": n_gram_floor},
    title=f"Which continent? Block {middle}, 95 % intervals over countries",
    xlabel="balanced accuracy",
)

# %% [markdown]
# Read the bars from below, on the embedded model. The last bar leaves out only the city itself, so that its
# compatriots help: this is what a random split would have reported. The average over all tokens knows nothing, thanks
# to the first token; over the name alone it lies between the n-grams and the last token. And ten components carry
# what two do not: two are no better than spelling.
#
# Comparing intervals by eye forgets that both methods find the same cities hard. The fair comparison resamples the
# *difference*:

# %%
both = np.stack(
    [guess_continents(points, continent, country) for points in (ten, project(ngrams, 10))], axis=1
)


def lead(guesses: Int[np.ndarray, "text 2"], labels: Int[np.ndarray, "text"]) -> float:
    return balanced_accuracy(guesses[:, 0], labels) - balanced_accuracy(guesses[:, 1], labels)


difference = bootstrap_interval(lead, both, continent, sample_size(1000, 100), groups=country)
print("last token minus n-grams, ten components each:", difference)

# %% [markdown]
# The block was fixed in advance, as the middle one. Here are a dozen, with the twin beside them. Knowledge of
# spelling alone would be there from block 0 and stay; what training and depth add rises above the n-grams' line
# further on.

# %%
sweep = [score(project(acts[:, layer], 10)) for layer in swept]
layer_sweep(
    {"language model": [result.estimate for result in sweep], "untrained twin": twin_sweep},
    bands={"language model": ([result.low for result in sweep], [result.high for result in sweep])},
    floors={"n-grams": n_gram_floor, "shuffled": shuffled_floor},
    layers=swept,
    title="Continent from ten principal components (band: 95 %, over countries)",
    ylabel="balanced accuracy",
)

# %% [markdown]
# ## Comparing directions
#
# Part 2 turns classes into directions, and directions are compared by their cosine: 1 the same way, 0 unrelated, −1
# opposite.
#
# ## Exercise · `cosine_similarities`
# difficulty ●○○○○ · importance ●●●●○ · 6 minutes
#
# For rows $a_i$ return the matrix of
#
# $$\cos(a_i, a_j) = \frac{a_i \cdot a_j}{\lVert a_i \rVert \, \lVert a_j \rVert}$$
#
# with shape (direction, direction). Take the vectors as they are: whether to subtract something first is the caller's
# decision. A vector of zeros has no direction: `ValueError` (PyTorch's own functions quietly answer 0).
#
# <details><summary>Hint</summary>
#
# Divide each row by `directions.norm(dim=1, keepdim=True)`; then one matrix product gives all cosines.
#
# </details>


# %%
def cosine_similarities(
    directions: Float[Tensor, "direction d_model"],
) -> Float[Tensor, "direction direction"]:
    """The cosine of the angle between every two directions, taken as they are (nothing is centred).

    Raises ValueError for a vector of zeros, which has no direction.
    """
    ### BEGIN SOLUTION
    lengths = directions.norm(dim=1, keepdim=True)
    if (lengths == 0).any():
        raise ValueError("a vector of zeros has no direction")
    unit = directions / lengths
    return unit @ unit.T
    ### END SOLUTION


check(cosine_similarities)

# %% [markdown]
# How alike are the activations of two cities taken at random? If they pointed every which way, the mean cosine would
# be near 0. Of the mean vector, three coordinates would then hold three parts in d_model. The twin stands beside the
# model as always.

# %%
streams = {f"block {layer}": acts[:, layer] for layer in (0, middle, last)}
streams[f"untrained twin, block {middle}"] = twins[0][:, swept.index(middle)]
others = ~torch.eye(len(cities), dtype=torch.bool)
for name, stream in streams.items():
    raw = cosine_similarities(stream)[others].mean()
    centred = cosine_similarities(stream - stream.mean(dim=0))[others].mean()
    energy = stream.mean(dim=0).square().sort(descending=True).values
    print(f"{name:<24} mean cosine {raw:5.2f}, centred {centred:5.2f};", end=" ")
    print(f"3 of {d_model} coordinates hold {energy[:3].sum() / energy.sum():.0%} of the mean's squared norm")

# %% [markdown]
# All cities share one large vector: **anisotropy**. Training is not needed for it. The twin's vectors are as much
# alike, for all these texts share three words, and a network mixes. What training brought, on the embedded model, is
# that a few coordinates make up most of the shared vector, as Timkey & van Schijndel 2021 (arXiv:2109.04404) report
# for others. For us it is a trap: class means all contain the shared vector. Left as they are, the five continents
# look the same:


# %%
def class_means(points: Float[Tensor, "text d_model"], labels: np.ndarray) -> Float[Tensor, "label d_model"]:
    return torch.stack([points[torch.from_numpy(labels == label)].mean(dim=0) for label in np.unique(labels)])


means = class_means(acts[:, middle], continent)
heatmap(
    cosine_similarities(means).numpy(),
    CONTINENTS,
    CONTINENTS,
    title=f"Class means as they are, block {middle}",
    unit="cosine",
    centre=0,
    limits=(-1, 1),
)

# %% [markdown]
# Subtract the mean of the five and the shared part is gone. On the embedded model South America is now opposed to
# Asia and to Europe, Africa to North America: a map? Be suspicious before reading on. *Must* some of these numbers be
# negative?

# %%
heatmap(
    cosine_similarities(means - means.mean(dim=0)).numpy(),
    CONTINENTS,
    CONTINENTS,
    title=f"Class means after subtracting their mean, block {middle}",
    unit="cosine",
    centre=0,
    limits=(-1, 1),
)

# %% [markdown]
# They must. Five vectors that sum to zero have cosines that average about −1/4 off the diagonal, whatever they are;
# with two classes the cosine is *always* −1. "The Europe direction is opposite to the Asia direction" may be
# arithmetic. Continents dealt to countries at random show it:

# %%
off_diagonal = ~torch.eye(len(CONTINENTS), dtype=torch.bool)


def mean_off_diagonal(labels: np.ndarray) -> float:
    means = class_means(acts[:, middle], labels)
    return cosine_similarities(means - means.mean(dim=0))[off_diagonal].mean().item()


by_chance = [mean_off_diagonal(shuffled_by_country(seed)) for seed in range(20)]
print(f"real continents {mean_off_diagonal(continent):.2f}, shuffled {np.mean(by_chance):.2f}", end=" ")
print(f"(from {min(by_chance):.2f} to {max(by_chance):.2f}), arithmetic {-1 / (len(CONTINENTS) - 1):.2f}")

# %% [markdown]
# A fair test compares directions estimated from *different countries*. Deal each continent's countries into two
# halves, compute centred class means from each half, and take cosines **between** halves. If "Europe" is a direction
# that the model has, the two estimates agree: the diagonal is high. If it is only these countries, the diagonal is
# near 0.


# %%
def between_halves(
    points: Float[Tensor, "text d_model"], labels: np.ndarray, seed: int
) -> Float[Tensor, "label label"]:
    """Cosines of centred class means from one half of each label's countries (rows) with those from the other."""
    rng = np.random.default_rng(seed)
    halves = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        homes = rng.permutation(np.unique(country[labels == label]))
        halves |= np.isin(country, homes[: len(homes) // 2]) & (labels == label)
    sides = [class_means(points[torch.from_numpy(side)], labels[side]) for side in (halves, ~halves)]
    directions = torch.cat([side - side.mean(dim=0) for side in sides])
    return cosine_similarities(directions)[: len(sides[0]), len(sides[0]) :]


splits = torch.stack([between_halves(acts[:, middle], continent, seed) for seed in range(20)])
heatmap(
    splits.mean(dim=0).numpy(),
    CONTINENTS,
    CONTINENTS,
    title=f"Directions from two halves of the countries, block {middle}",
    unit="cosine",
    row_title="first half",
    column_title="second half",
    centre=0,
    limits=(-1, 1),
)


# %%
def agreement(points: Float[Tensor, "text d_model"], shuffle: bool = False) -> str:
    """The mean of the diagonal over 20 splits, and the middle 95 % of them."""
    labels = [shuffled_by_country(seed) if shuffle else continent for seed in range(20)]
    diagonals = [between_halves(points, labels[seed], seed).diagonal().mean().item() for seed in range(20)]
    low, high = np.quantile(diagonals, [0.025, 0.975])
    return f"{np.mean(diagonals):5.2f}  [{low:.2f}, {high:.2f}]"


print("language model                 ", agreement(acts[:, middle]))
print("language model, labels shuffled", agreement(acts[:, middle], shuffle=True))
print("untrained twin                 ", agreement(twins[0][:, swept.index(middle)]))

# %% [markdown]
# ## What was shown, and what was not
#
# Shown, on the embedded model: at the last token of "The city of X", ten directions that were chosen without looking
# at geography tell a city's continent although no centroid has seen its country, well above what spelling gives. The
# untrained twin stays at chance, and the ability grows over the first half of the blocks. Continent directions found
# from different countries agree, North America's the least: most of its cities lie in two countries.
#
# Not shown: that the model *uses* any of this; that it knows *where* a city is rather than which names go together (a
# continent is a coarse thing, and names carry language, fame and spelling with them); that ten components are the
# right number, or a centroid the best read-out. Nothing was fitted to coordinates yet: that is part 2. What
# "accuracy" may hide, and how a split may leak, is part 3.
#
# | claim | published | here, embedded model |
# |---|---|---|
# | a massive activation at the first token | [Sun et al. 2024](https://arxiv.org/abs/2402.17762) | norm by position |
# | few coordinates dominate cosines | [Timkey et al. 2021](https://arxiv.org/abs/2109.04404) | three coordinates' share |
# | a linear map of places | [Gurnee et al. 2023](https://arxiv.org/abs/2310.02207) | continents, nothing fitted |
#
# Sun et al. report single coordinates up to 100,000 times larger than others; ours compares norms of whole vectors,
# which dilutes the contrast. Timkey & van Schijndel find that often one to three coordinates dominate similarity in
# models such as BERT and GPT-2; we counted the share of three. Gurnee & Tegmark fit probes for coordinates on the
# Llama-2 family, a larger claim than ours, which part 2 takes up.
#
# From the next lesson on, `utils.activations` reads activations for you: what you wrote here, in batches sorted by
# length and cached on disk.
#
# **Try it yourself.** Change the sentence ("I live in X and", "X") and run the lesson again from "Six hundred
# cities"; or set `PROBING_MODEL` to a larger model before you start Jupyter, and see whether the massive activation,
# the first component's interest in spelling and the rise over the first blocks are this model's or all models'.
