# %% [markdown]
# # Beyond one token
#
# **A fact may sit at one token among forty, in the distance between two words, in what the model is about to say, or in
# a handful of neurons. Which probe finds it there?**
#
# After this lesson you can
#
# * let a probe learn which token to read, and compare it with the last token, the mean, and being told;
# * test whether a sentence's tree lies in the distances between its words' vectors;
# * read the residual stream in the model's own vocabulary, and say how that differs from a probe;
# * ask how few neurons a probe needs, and which basis the question should be asked in.
#
# Time: 90 minutes with the exercises. The machine needs about three minutes on two CPU cores, and 2.5 GB of memory.

# %%
import numpy as np
import torch
import torch.nn.functional as F
from IPython.display import display
from jaxtyping import Bool, Float, Int
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from tqdm.auto import tqdm

from utils.activations import TokenActivations, all_token_activations, last_token_activations
from utils.course import open_lesson, sample_size
from utils.datasets import city_mentions, generate_sentences, gold_edges, load_cities, tree_distances
from utils.metrics import accuracy, bootstrap_interval
from utils.models import load_language_model, tokenize, untrained_twin
from utils.plots import bars_with_floor, layer_sweep, parse_tree, token_weights
from utils.probes import LogisticProbe, RidgeProbe, fit_layers
from utils.splits import stratified_group_split

check, use_reference = open_lesson("ch1_probing_basics/part4_beyond_one_token")

# %%
model = load_language_model()
twin = untrained_twin(model, seed=0)
n_layers, d_model = model.cfg.n_layers, model.cfg.d_model
print(f"{model.cfg.model_name}: {n_layers} layers, d_model {d_model}; beside it an untrained twin")

# %% [markdown]
# ## One city among three
#
# So far the city was the last word of the text. Here three cities are mentioned, and one decides: is *her birthplace* in
# Europe? It stands first, second or third, the other two are in Europe as often as not, and the last words say nothing
# of it.

# %%
mentions = city_mentions(sample_size(150, 25))
texts = [mention.text for mention in mentions]
cities = [mention.city for mention in mentions]
labels = torch.tensor([mention.in_europe for mention in mentions])
print(f"{len(texts)} texts about {len(set(cities))} cities, {labels.float().mean():.0%} True\n")
for mention in mentions[:3]:
    print(f"{mention.in_europe!s:6}{mention.text}")

# %% [markdown]
# The activations of *every* token, at three layers. `padded(layer)` gives them as a rectangle (text, pos, d_model), with
# a mask that is True at real tokens. The untrained twin, the floor, is read at the first of these layers.

# %%
depths = [n_layers * tenths // 10 for tenths in (3, 5, 7)]
streams = all_token_activations(model, texts, depths)
twin_streams = all_token_activations(twin, texts, depths[:1])
acts, mask = streams.padded(depths[0])
print(f"layers {depths}; padded to {tuple(acts.shape)}, {mask.float().mean():.0%} real tokens")

# %% [markdown]
# ## Exercise · `attention_probe`
#
# difficulty ●●●○○ · importance ●●●●○ · 20 minutes
#
# A probe with one attention head: a `query` says where to look, a `value` what to read there. With $x_p$ the activation
# at position $p$ of a text,
#
# $$ w_p = \operatorname{softmax}_p\!\left(\frac{x_p \cdot q}{\sqrt{d_\text{model}}}\right), \qquad
# \text{score} = \sum_p w_p \,(x_p \cdot v) + b. $$
#
# The softmax runs over the *real* tokens of each text only; at padding the weight is exactly 0. Shapes: `acts "text pos
# d_model"`, `mask "text pos"`, `query` and `value` `"d_model"`; return the scores `"text"` and the weights `"text pos"`. A
# text with no real token has nothing to attend to: `ValueError`. Stay with torch operations, so that gradients reach
# `query` and `value`: below, your function is trained.
#
# <details><summary>Hint 1</summary>
#
# `acts @ query` has shape (text, pos). The softmax must not see padding: what value, put in its place *before* the
# softmax, becomes a weight of exactly 0?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `strengths.masked_fill(~mask, float("-inf")).softmax(dim=1)`. The weighted sum needs no loop:
# `(weights * (acts @ value)).sum(dim=1)`.
#
# </details>


# %%
def attention_probe(
    acts: Float[Tensor, "text pos d_model"],
    mask: Bool[Tensor, "text pos"],
    query: Float[Tensor, "d_model"],
    value: Float[Tensor, "d_model"],
    bias: float,
) -> tuple[Float[Tensor, "text"], Float[Tensor, "text pos"]]:
    """One attention head over the tokens of each text: (scores, weights).

    weights: softmax over a text's real tokens of acts · query / √d_model; exactly 0 at padding.
    scores: Σ weights · (acts · value) + bias.
    mask: True at real tokens, False at padding, whose activations may be anything finite.
    Raises ValueError where a text has no real token. Torch operations only, so that gradients reach query and value.
    """
    ### BEGIN SOLUTION
    if not mask.any(dim=1).all():
        raise ValueError(f"text {int((~mask.any(dim=1)).nonzero()[0])} has no real token to attend to")
    strengths = acts @ query / acts.shape[-1] ** 0.5
    weights = strengths.masked_fill(~mask, float("-inf")).softmax(dim=1)
    return (weights * (acts @ value)).sum(dim=1) + bias, weights
    ### END SOLUTION


check(attention_probe)

# %% [markdown]
# Now train it: the log-loss of the scores, by AdamW, on activations standardised over the real tokens of the training
# texts. Query and value start at zero, which is the mean over tokens. There are fewer training texts than
# weights (two a dimension): they can be fitted perfectly, and only held-out cities count.


# %%
def fit_attention(acts: Tensor, mask: Tensor, train: Tensor, steps: int = sample_size(500, 50)):
    """Trains on the rows `train`; returns the scores and the attention weights of all texts."""
    tokens = acts[train][mask[train]]
    features = (acts - tokens.mean(dim=0)) / (tokens.std(dim=0) + 1e-6)
    query, value, bias = (torch.zeros(size, requires_grad=True) for size in (d_model, d_model, 1))
    optimizer = torch.optim.AdamW([query, value, bias], lr=3 / d_model, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = train[torch.randint(len(train), (64,), generator=generator)]
        scores, _ = attention_probe(features[rows], mask[rows], query, value, 0.0)
        loss = F.binary_cross_entropy_with_logits(scores + bias, labels[rows].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        scores, weights = attention_probe(features, mask, query, value, 0.0)
        return scores + bias, weights


# %% [markdown]
# Its rivals read one fixed vector a text: the last token, the mean over tokens, and (a ceiling, for it cheats) the last
# token of the decisive city, which a tokenizer's offsets can point out.


# %%
def token_at(texts: list[str], ends: list[list[int]]) -> list[Int[Tensor, "end"]]:
    """For each text, the token in which each of the given stretches of characters ends."""
    encoded = model.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    bos = int(model.cfg.default_prepend_bos)
    return [
        torch.tensor([bos + max(i for i, (start, _) in enumerate(spans) if start < end) for end in text_ends])
        for spans, text_ends in zip(encoded["offset_mapping"], ends, strict=True)
    ]


# The first token of the decisive city, and its last.
span = torch.stack(token_at(texts, [[mention.span[0] + 1, mention.span[1]] for mention in mentions]))


def fixed_vectors(streams: TokenActivations, layer: int) -> dict[str, Float[Tensor, "text d_model"]]:
    acts, mask = streams.padded(layer)
    rows, lengths = torch.arange(len(acts)), mask.sum(dim=1)
    means = acts.sum(dim=1) / lengths.unsqueeze(1)
    return {
        "last token": acts[rows, lengths - 1],
        "mean over tokens": means,
        "told where": acts[rows, span[:, 1]],
    }


# %% [markdown]
# Five folds of *cities*: each turn trains on three, chooses the layer on one, tests on one. `held_out` is all there is to
# it, and it serves again at the end of the lesson.


# %%
def held_out(predict, choices: list, labels: Tensor, folds: list[Tensor], name: str) -> Bool[Tensor, "text"]:
    """Every text's prediction, made in the turn that tests it with the choice that was best on validation texts.

    predict(choice, train): the predictions for all texts of a probe fitted on the rows `train`.
    """
    predicted = torch.zeros_like(labels)
    for turn in tqdm(range(len(folds)), desc=name, leave=False):
        validation, test = folds[turn - 1], folds[turn]
        train = torch.cat([fold for fold in folds if fold is not test and fold is not validation])
        guesses = [predict(choice, train) for choice in choices]
        best = max(guesses, key=lambda guess: (guess[validation] == labels[validation]).float().mean())
        predicted[test] = best[test]
    return predicted


def by_folds(groups, labels: Tensor) -> list[Tensor]:
    return [torch.as_tensor(rows) for rows in stratified_group_split(groups, labels, [0.2] * 5, seed=0)]


# %%
def fixed_probe(streams: TokenActivations, pooling: str):
    vectors = {layer: fixed_vectors(streams, layer)[pooling] for layer in streams.layers}

    def predict(layer: int, train: Tensor) -> Tensor:
        fitted = LogisticProbe(l2=0.1).fit(vectors[layer][train], labels[train])
        return torch.as_tensor(fitted.predict(vectors[layer]))

    return predict


def attention(streams: TokenActivations):
    padded = {layer: streams.padded(layer) for layer in streams.layers}
    return lambda layer, train: fit_attention(*padded[layer], train)[0] > 0


def letters(strings: list[str], train: Tensor) -> Tensor:
    """What spelling gives away: character 1- to 4-grams."""
    ngrams = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), min_df=2)
    known = ngrams.fit_transform([strings[row] for row in train])
    return torch.as_tensor(
        LogisticRegression(C=10).fit(known, labels[train]).predict(ngrams.transform(strings))
    )


# %% [markdown]
# **Expect** the mean to drown one city in forty tokens, and the last token to know only what the model has carried
# along. If attention finds the city, it approaches the ceiling, "told where". The twin and the letters are floors; intervals
# are over cities. (About half a minute.)

# %%
folds = by_folds(cities, labels)
predictions = {
    name: held_out(fixed_probe(streams, name), depths, labels, folds, name)
    for name in ("last token", "mean over tokens")
}
predictions["attention"] = held_out(attention(streams), depths, labels, folds, "attention")
predictions["told where"] = held_out(fixed_probe(streams, "told where"), depths, labels, folds, "told where")
predictions["attention, twin"] = held_out(attention(twin_streams), depths[:1], labels, folds, "twin")
results = {
    name: bootstrap_interval(accuracy, guess, labels, groups=cities) for name, guess in predictions.items()
}
floors = {
    "letters of the text": held_out(letters, [texts], labels, folds, "letters"),
    "letters of the city": held_out(letters, [cities], labels, folds, "letters"),
}
floors = {name: accuracy(guess, labels) for name, guess in floors.items()} | {"majority": 0.5}

# %%
for name, result in results.items():
    print(f"{name:<17} {result}")
bars_with_floor(
    {name: result.estimate for name, result in results.items()},
    intervals={name: (result.low, result.high) for name, result in results.items()},
    floors=floors,
    start=0.4,
    xlabel="test accuracy",
    title="Is her birthplace in Europe? Cities never trained on, 95 % intervals over cities",
)

# %% [markdown]
# Where does it look? Weights of one turn's probe on texts whose cities it has not seen, and, over all of them, how much of
# its attention falls on the decisive city: were it spread evenly, that share would be the city's share of the tokens.

# %%
test = folds[0]
acts, mask = streams.padded(depths[-1])
_, weights = fit_attention(acts, mask, torch.cat(folds[1:]))
places = torch.arange(mask.shape[1])
on_city = (places >= span[:, :1]) & (places <= span[:, 1:])
shares = {
    "attention on the city": (weights * on_city).sum(dim=1),
    "its share of tokens": on_city.sum(1) / mask.sum(1),
}
for name, share in shares.items():
    print(f"{name:<22} {bootstrap_interval(lambda s, _: float(np.mean(s)), share[test], test)}")
for row in test[:3].tolist():
    tokens = [model.tokenizer.decode([token]) for token in tokenize(model, [texts[row]])[0]]
    display(
        token_weights(tokens, weights[row][mask[row]], title=f"{cities[row]} in Europe: {bool(labels[row])}")
    )

# %% [markdown]
# ## Trees in distances
#
# Some facts belong to no token: which word depends on which is a fact about *pairs*. Hewitt & Manning's structural probe
# asks whether a linear map exists after which the **squared distance between two words' vectors is their distance in
# the parse tree**. The sentences come from a small grammar, so that every tree is known.
#
# Training, validation and test sentences share no noun, verb, adjective or adverb: a probe that has learned by heart
# where *pilot* belongs gains nothing. And word order alone does not give the trees away:

# %%
SIZES = {"train": sample_size(600, 100), "validation": sample_size(150, 40), "test": sample_size(200, 40)}
sentences, part_rows = [], {}
for seed, (part, size) in enumerate(SIZES.items()):
    part_rows[part] = range(len(sentences), len(sentences) + size)
    sentences += generate_sentences(size, seed=seed, lexicon=part)
trees = [gold_edges(sentence) for sentence in sentences]
distances = [tree_distances(sentence).float() for sentence in sentences]
example = next(row for row in part_rows["train"] if len(sentences[row].words) == 12)
chain = {(left, left + 1) for left in range(11)}
parse_tree(
    sentences[example].words,
    trees[example],
    chain,
    title="A gold tree, and the guess that neighbours belong together",
)

# %% [markdown]
# A word's vector is the one at its last token. (The model reads from left to right, so that a vector knows nothing of the
# words to its right; a pair can be judged by what the later word knows of the earlier one.)

# %%
step = n_layers // 10
depths = ["embed", *range(step - 1, n_layers * 9 // 10, step * sample_size(1, 3))]
sentence_texts = [sentence.text for sentence in sentences]
at = token_at(sentence_texts, [[end for _, end in sentence.spans] for sentence in sentences])
streams = all_token_activations(model, sentence_texts, depths)
twin_layer = depths[3]
twin_streams = all_token_activations(twin, sentence_texts, [twin_layer])


def word_vectors(streams: TokenActivations, layer) -> list[Float[Tensor, "word d_model"]]:
    column = streams.layers.index(layer)
    return [streams[row][at[row], column] for row in range(len(sentences))]


print(f"layers {depths}; {sum(len(sentence.words) for sentence in sentences)} words")

# %% [markdown]
# ## Exercise · `structural_distances`
#
# difficulty ●●○○○ · importance ●●●●○ · 10 minutes
#
# For the vectors $h_i$ of one sentence's words and a projection $P$ (d_model, rank),
#
# $$ d_{ij} = \lVert P^\top h_i - P^\top h_j \rVert^2 . $$
#
# Squared, not rooted: tree distances along a path then add up like the squares of sides at right angles. Return all pairs,
# shape (pos, pos).
#
# <details><summary>Hint 1</summary>
#
# Project first: `acts @ projection` has shape (pos, rank). Then `unsqueeze(0)` against `unsqueeze(1)` gives all differences.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# $\lVert a\rVert^2 + \lVert b\rVert^2 - 2\,a \cdot b$ is cheaper, but loses digits where two long vectors are close.
#
# </details>


# %%
def structural_distances(
    acts: Float[Tensor, "pos d_model"], projection: Float[Tensor, "d_model rank"]
) -> Float[Tensor, "pos pos"]:
    """The squared L2 distance between every two words after the projection.

    Torch operations only, so that gradients reach the projection.
    Source: Hewitt & Manning 2019, NAACL (N19-1419), section 2, with projection = Bᵀ.
    """
    ### BEGIN SOLUTION
    projected = acts @ projection
    return (projected.unsqueeze(0) - projected.unsqueeze(1)).square().sum(dim=-1)
    ### END SOLUTION


check(structural_distances)

# %% [markdown]
# The fit moves the projection until squared distances equal tree distances, on average over the pairs of a sentence
# (their loss, an absolute error). Like every direction in this course, the projection is returned for raw activations.


# %%
RANK, STEPS, BATCH = 32, sample_size(1000, 100), 16


def fit_projection(words: list[Tensor], seed: int = 0) -> Float[Tensor, "d_model rank"]:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.cat([words[row] for row in part_rows["train"]]).std(dim=0) + 1e-6
    scaled = [words[row] / scale for row in part_rows["train"]]
    projection = (0.02 * torch.randn(d_model, RANK, generator=generator)).requires_grad_()
    optimizer = torch.optim.AdamW([projection], lr=5e-3, weight_decay=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)
    for _ in range(STEPS):
        rows = torch.randint(len(scaled), (BATCH,), generator=generator).tolist()
        errors = [
            (structural_distances(scaled[row], projection) - distances[row]).abs().mean() for row in rows
        ]
        optimizer.zero_grad()
        torch.stack(errors).mean().backward()
        optimizer.step()
        schedule.step()
    return projection.detach() / scale.unsqueeze(1)


# %% [markdown]
# Distances are not yet a tree. Joining all words by the shortest total length of edges, without a circle, gives one.
#
# ## Exercise · `spanning_edges`
#
# difficulty ●●●○○ · importance ●●●○○ · 15 minutes
#
# The minimum spanning tree of a table of distances (pos, pos), symmetric with zeros on the diagonal: a set of pairs
# `(i, j)` of Python integers with `i < j`, one fewer than words; the empty set for one word. Two words *may* have distance
# 0: that is an edge of no length, not a missing one.
#
# <details><summary>Hint 1: Prim's algorithm</summary>
#
# Start with word 0 inside and the others outside. Of all edges from inside to outside take the shortest, and move its outer end
# inside; repeat until nobody is outside. With at most 16 words, plain loops are fast enough.
#
# </details>
#
# <details><summary>Hint 2: scipy</summary>
#
# `scipy.sparse.csgraph.minimum_spanning_tree` works too, but reads a 0 as "no edge".
#
# </details>


# %%
def spanning_edges(distances: Float[Tensor, "pos pos"]) -> set[tuple[int, int]]:
    """The edges of the minimum spanning tree, as pairs (i, j) of positions with i < j.

    distances: symmetric, zero on the diagonal; a 0 elsewhere is a distance like any other. One word: the empty set.
    """
    ### BEGIN SOLUTION
    table = distances.tolist()
    inside, outside = {0}, set(range(1, len(table)))
    edges = set()
    while outside:
        _, old, new = min((table[i][j], i, j) for i in inside for j in outside)
        edges.add((min(old, new), max(old, new)))
        inside.add(new)
        outside.remove(new)
    return edges
    ### END SOLUTION


check(spanning_edges)

# %% [markdown]
# The score is **UUAS**, the share of gold edges that the tree found (undirected, unlabelled). Joining neighbours, which needs
# no model, is right for about every second edge: that floor is high, and any probe that knows word order reaches it.
#
# **Expect** two curves to part: known words in new sentences would flatter, so the *training* sentences' UUAS is drawn too,
# beside that of validation sentences, all of whose content words are new. (Under a minute.)


# %%
def uuas(words: list[Tensor], projection: Tensor, part: str) -> Float[Tensor, "sentence"]:
    """The share of gold edges found, for each sentence of a part."""
    rows = part_rows[part][:200]
    found = [spanning_edges(structural_distances(words[row], projection)) & trees[row] for row in rows]
    return torch.tensor([len(edges) / len(trees[row]) for edges, row in zip(found, rows, strict=True)])


projections = {}
by_layer = {"training sentences": [], "validation, new words": []}
for layer in tqdm(depths, desc="structural probes", leave=False):
    words = word_vectors(streams, layer)
    projections[layer] = fit_projection(words)
    by_layer["training sentences"].append(uuas(words, projections[layer], "train").mean().item())
    by_layer["validation, new words"].append(uuas(words, projections[layer], "validation").mean().item())

# %%
twin_words = word_vectors(twin_streams, twin_layer)
twin_uuas = uuas(twin_words, fit_projection(twin_words), "validation")
neighbours = torch.tensor(
    [
        len({edge for edge in trees[row] if edge[1] - edge[0] == 1}) / len(trees[row])
        for row in range(len(trees))
    ]
)
validation_rows = list(part_rows["validation"])
layer_sweep(
    by_layer,
    floors={"neighbours": neighbours[validation_rows].mean().item(), "twin": twin_uuas.mean().item()},
    layers=depths,
    ylabel="UUAS",
    title=f"Structural probe of rank {RANK}: what training sentences promise, and what new words leave of it",
)

# %% [markdown]
# The layer with the best *validation* curve is scored once on the test sentences, whose words are new again. The interval
# is over sentences.

# %%
best = depths[int(np.argmax(by_layer["validation, new words"]))]
words = word_vectors(streams, best)
test_rows = list(part_rows["test"])
scores = {
    f"model, layer {best}": uuas(words, projections[best], "test"),
    "word embeddings": uuas(word_vectors(streams, "embed"), projections["embed"], "test"),
    f"twin, layer {twin_layer}": uuas(twin_words, fit_projection(twin_words), "test"),
    "neighbours": neighbours[test_rows],
}
for name, each in scores.items():
    print(
        f"{name:<17} test UUAS {bootstrap_interval(lambda s, _: float(np.mean(s)), each, torch.arange(len(each)))}"
    )
shown = next(row for row in test_rows if len(sentences[row].words) == 12)
found = spanning_edges(structural_distances(words[shown], projections[best]))
parse_tree(sentences[shown].words, trees[shown], found, title=f"A test sentence, the tree at layer {best}")

# %% [markdown]
# On the embedded model the two curves tell two stories. From the first blocks on, the training sentences look solved (.90),
# and of that nothing is left for new words (.45, below the neighbours' .51): with 32 × 576 numbers the probe has learned its
# vocabulary by heart. Deeper the curves approach each other, and at layer 20 three edges in four are right for words that it has never
# seen, .73 on test sentences against .51 and .52 for the floors. Which word depends on which is there; but only a
# split by *words* shows where.
#
# ## What is it about to say?
#
# A probe brings its own labels. The **logit lens** brings none: it ends the model early, puts the final norm and the
# unembedding on the stream after some block, and reads what the model would say if the blocks after it did nothing.
#
# ## Exercise · `logit_lens`
#
# difficulty ●●○○○ · importance ●●●●○ · 8 minutes
#
# `resid "batch d_model"` holds residual-stream vectors of any layer. Return the logits `"batch d_vocab"`: first
# the model's final norm, then its unembedding, both of which a `TransformerBridge` offers as modules, `model.ln_final` and
# `model.unembed`.
#
# <details><summary>Hint</summary>
#
# Modules are functions: `model.unembed(...)` takes vectors of d_model and gives d_vocab logits. Without the norm
# the stream is far too large, and off by a learned scale for each coordinate.
#
# </details>


# %%
def logit_lens(model, resid: Float[Tensor, "batch d_model"]) -> Float[Tensor, "batch d_vocab"]:
    """The logits that the model would give if the blocks after this point did nothing: final norm, then unembedding.

    Source: nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    ### BEGIN SOLUTION
    return model.unembed(model.ln_final(resid))
    ### END SOLUTION


check(logit_lens)

# %% [markdown]
# Five continents, equally many cities of each, and a sentence whose next word is the answer. After the last block the lens
# must *be* the model: the printed difference should be rounding.

# %%
ANSWERS = {
    "Africa": " Africa",
    "Asia": " Asia",
    "Europe": " Europe",
    "North America": " North",
    "South America": " South",
}
table = load_cities()
table = (
    table[table["continent"].isin(ANSWERS)]
    .groupby("continent")
    .head(sample_size(60, 12))
    .reset_index(drop=True)
)
prompts = [f"The city of {name} is on the continent of" for name in table["name"]]
target = torch.tensor([list(ANSWERS).index(name) for name in table["continent"]])
answer_ids = torch.tensor(
    [model.tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ANSWERS.values()]
)
every_layer = list(range(n_layers))
acts = last_token_activations(model, prompts, every_layer)

with torch.no_grad():
    tokens = torch.tensor(tokenize(model, prompts[:1]))
    difference = (logit_lens(model, acts[:1, -1]) - model(tokens)[:, -1]).abs().max()
print(f"{len(prompts)} cities; lens after the last block minus the model's own logits: {difference:.1e}")

# %% [markdown]
# What it would say, block by block, after "… is on the continent of". Early words make no sense: those vectors were not made
# to be read by the unembedding.

# %%
shown = [*range(4, n_layers - 1, 5), n_layers - 1]
with torch.no_grad():
    tops = {layer: logit_lens(model, acts[:4, layer]).topk(1).indices[:, 0].tolist() for layer in shown}
print(f"{'block':<16}" + "".join(f"{layer:>14}" for layer in shown))
for row in range(4):
    print(
        f"{table['name'][row]:<16}"
        + "".join(f"{model.tokenizer.decode([tops[layer][row]])!r:>14}" for layer in shown)
    )

# %% [markdown]
# Beside it a linear probe: ridge regression on the five classes' indicators, fitted on four folds of countries, asked about the
# fifth. The lens chooses among the five answers only, so that both have the same chance level, 0.2. It sees no label at
# all; the probe is told what a continent is.


# %%
def probe_by_layer(
    acts: Float[Tensor, "text layer d_model"], folds: list[Tensor]
) -> Int[Tensor, "layer text"]:
    """Each city's continent by the probe of the turn that had its country held out."""
    guesses = torch.empty(acts.shape[1], len(acts), dtype=torch.long)
    indicators = F.one_hot(target, len(ANSWERS)).double()
    for fold in folds:
        train = torch.cat([other for other in folds if other is not fold])
        scaled = (acts - acts[train].mean(dim=0)) / (acts[train].std(dim=0) + 1e-6)
        sweep = fit_layers(RidgeProbe(l2=len(train)), scaled[train], indicators[train])
        for layer in range(acts.shape[1]):
            guesses[layer, fold] = torch.from_numpy(sweep[layer].predict(scaled[fold, layer]).argmax(axis=1))
    return guesses


country_folds = by_folds(table["country"], target)
with torch.no_grad():
    lens_guesses = torch.stack(
        [logit_lens(model, acts[:, k])[:, answer_ids].argmax(dim=1) for k in every_layer]
    )
read = {"probe": probe_by_layer(acts, country_folds), "logit lens": lens_guesses}
twin_guesses = probe_by_layer(last_token_activations(twin, prompts, every_layer[::6]), country_folds)

# %%


def balanced_accuracy(guesses: np.ndarray, labels: np.ndarray) -> float:
    """The mean over classes: a resample of countries has its continents in other proportions."""
    return float(np.mean([(guesses[labels == label] == label).mean() for label in np.unique(labels)]))


curves, bands = {}, {}
for name, guesses in read.items():
    found = [
        bootstrap_interval(balanced_accuracy, guess, target, 300, groups=table["country"])
        for guess in guesses
    ]
    curves[name] = [each.estimate for each in found]
    bands[name] = ([each.low for each in found], [each.high for each in found])
twin_accuracy = max(balanced_accuracy(guess.numpy(), target.numpy()) for guess in twin_guesses)
layer_sweep(
    curves,
    bands=bands,
    floors={"chance": 0.2, "probe, twin": twin_accuracy},
    ylabel="balanced accuracy, five continents",
    title="Readable long before it is said (bands: 95 % over countries)",
)

# %% [markdown]
# On the embedded model the probe reads the continent from the fifth block on, while the lens is at chance for twenty-two: the
# vectors hold the answer in directions that the unembedding does not look along. Over the last seven blocks the answer is
# turned towards the vocabulary, and the lens catches up. So a lens at chance does not mean that a model knows nothing, and a probe
# that succeeds does not mean that the model is about to say it. Which of the two matters depends on the question.
# %% [markdown]
# ## How few neurons suffice?
#
# A probe's direction has d_model entries. Are all of them needed? The question has an older form: is there a *neuron* for Europe?
#
# ## Exercise · `top_k_neurons`
#
# difficulty ●●○○○ · importance ●●●○○ · 12 minutes
#
# Rank the coordinates of `acts "text d_model"` by how well each alone parts the two classes,
#
# $$ \frac{\lvert \mu_T - \mu_F \rvert}{\sigma_\text{within}}, \qquad
# \sigma_\text{within}^2 = \frac{\sum_{i \in T} (x_i - \mu_T)^2 + \sum_{i \in F} (x_i - \mu_F)^2}{n - 2}, $$
#
# and return the indices of the `k` largest, the largest first. A coordinate that never changes has strength 0. One class
# missing, or `k` outside 1 … d_model: `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# Without the division the coordinate with the largest *numbers* wins, and residual streams have a few enormous ones.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.where(changes, gap / spread, 0.0)`, with `changes` True where a coordinate is not the same in all rows, keeps 0/0 out of the
# ranking. `Tensor.topk` sorts in descending order.
#
# </details>


# %%
def top_k_neurons(
    acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"], k: int
) -> Int[Tensor, "k"]:
    """The k coordinates with the largest |mean difference| / pooled within-class standard deviation, largest first.

    A coordinate that never changes has strength 0. Raises ValueError where one class is missing, and for k outside
    1 … d_model.
    """
    ### BEGIN SOLUTION
    if labels.all() or not labels.any():
        raise ValueError("labels must contain both True and False: a difference needs two means")
    if not 1 <= k <= acts.shape[1]:
        raise ValueError(f"k must lie between 1 and d_model = {acts.shape[1]}, not {k}")
    true, false = acts[labels].double(), acts[~labels].double()
    squares = sum((part - part.mean(dim=0)).square().sum(dim=0) for part in (true, false))
    gap, spread = (true.mean(dim=0) - false.mean(dim=0)).abs(), (squares / (len(acts) - 2)).sqrt()
    changes = (acts != acts[0]).any(dim=0)
    return torch.where(changes, gap / spread, 0.0).topk(k).indices
    ### END SOLUTION


check(top_k_neurons)

# %% [markdown]
# "In Europe" once more, "The city of X", balanced. Two places to count in: the coordinates of the residual stream, and the
# hidden neurons of the MLPs, which sit behind a nonlinearity and so have axes of their own.

# %%
europe = load_cities()
inside = europe["continent"] == "Europe"
europe = (
    europe.groupby(inside).sample(sample_size(int(inside.sum()), 50), random_state=0).reset_index(drop=True)
)
labels = torch.tensor((europe["continent"] == "Europe").to_numpy())
texts = [f"The city of {name}" for name in europe["name"]]
depths = [n_layers * tenths // 10 for tenths in (3, 5, 6, 7)]
stream = dict(zip(depths, last_token_activations(model, texts, depths).unbind(dim=1), strict=True))


@torch.no_grad()
def mlp_neurons(texts: list[str], layers: list[int]) -> dict[int, Float[Tensor, "text d_mlp"]]:
    """The hidden layer of each MLP, what its output matrix reads, at the last token."""
    names, rows = [f"blocks.{layer}.mlp.out.hook_in" for layer in layers], []
    token_lists = [torch.tensor(ids) for ids in tokenize(model, texts)]
    for start in tqdm(range(0, len(texts), 32), desc="MLP neurons", leave=False):
        batch = token_lists[start : start + 32]
        tokens = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
        _, cache = model.run_with_cache(tokens, names_filter=names, stop_at_layer=max(layers) + 1)
        last = torch.arange(len(batch)), torch.tensor([len(ids) - 1 for ids in batch])
        rows.append(torch.stack([cache[name][last].float() for name in names]))
    return dict(zip(layers, torch.cat(rows, dim=1), strict=True))


neurons = mlp_neurons(texts, depths)
print({"residual stream": stream[depths[0]].shape[1], "MLP neurons": neurons[depths[0]].shape[1]})

# %% [markdown]
# For each `k`: choose coordinates and fit a probe on training countries, choose the layer on validation countries, test on the
# rest. Floors: as many coordinates at random, and the majority, ½. As a rival for the residual stream, its first `k` principal
# components: directions rather than coordinates, chosen without labels.


# %%
def top(acts: Tensor, train: Tensor, k: int) -> Tensor:
    return acts[:, top_k_neurons(acts[train], labels[train], k)]


def at_random(acts: Tensor, train: Tensor, k: int) -> Tensor:
    generator = torch.Generator().manual_seed(int(train.sum()))
    return acts[:, torch.randperm(acts.shape[1], generator=generator)[:k]]


def components(acts: Tensor, train: Tensor, k: int) -> Tensor:
    mean = acts[train].mean(dim=0)
    return (acts - mean) @ torch.linalg.svd(acts[train] - mean, full_matrices=False).Vh[:k].T


def sparse_probe(by_depth: dict[int, Tensor], choose, k: int):
    def predict(layer: int, train: Tensor) -> Tensor:
        chosen = choose(by_depth[layer], train, k)
        return torch.as_tensor(LogisticProbe(l2=0.1).fit(chosen[train], labels[train]).predict(chosen))

    return predict


# %%
COUNTS = [1, 2, 4, 8, 16, 32, 64, 128][:: sample_size(1, 3)]
folds = by_folds(europe["country"], labels)
ways = {
    "MLP neurons": (neurons, top),
    "residual coordinates": (stream, top),
    "principal components": (stream, components),
    "random MLP neurons": (neurons, at_random),
    "random coordinates": (stream, at_random),
}
curves, bands = {}, {}
for name, (by_depth, choose) in ways.items():
    guesses = [
        held_out(sparse_probe(by_depth, choose, k), depths, labels, folds, f"{name}, k = {k}") for k in COUNTS
    ]
    found = [bootstrap_interval(accuracy, guess, labels, groups=europe["country"]) for guess in guesses]
    curves[name] = [each.estimate for each in found]
    bands[name] = ([each.low for each in found], [each.high for each in found])

# %%
everything = held_out(sparse_probe(stream, top, d_model), depths, labels, folds, "all coordinates")
figure = layer_sweep(
    {name: curves[name] for name in list(ways)[:3]},
    bands={name: bands[name] for name in list(ways)[:1]},
    floors={name: curves[name] for name in list(ways)[3:]}
    | {"all coordinates": accuracy(everything, labels)},
    layers=[str(k) for k in COUNTS],
    ylabel="test accuracy",
    title="'In Europe' from k numbers (band: 95 % over countries, MLP neurons)",
)
figure.update_xaxes(title_text="k, how many numbers the probe sees")

# %% [markdown]
# ## A neuron for Europe?
#
# One MLP neuron does far better than one at random. Is it about *Europe*? The sample cannot say: "elsewhere" is mostly Asia,
# Africa and Latin America, and holds hardly a city of the United States. So we ask about cities that are not in the sample, by
# region. A neuron for Europe calls none of these European, United States or not.

# %%
layer = depths[2]
firsts = [int(top_k_neurons(neurons[layer], labels, 1)[0])] + [
    int(top_k_neurons(neurons[layer][train], labels[train], 1)[0])
    for train in (torch.cat([fold for fold in folds if fold is not test]) for test in folds)
]
print(f"layer {layer}: the best neuron on all cities is {firsts[0]}, in the five turns {firsts[1:]}")

REGIONS = {
    "United States": "country",
    "Asia": "continent",
    "Africa": "continent",
    "South America": "continent",
}
others = load_cities()
others = others[~others["name"].isin(europe["name"])]
fresh = {
    region: [
        f"The city of {name}" for name in others["name"][others[column] == region].head(sample_size(60, 10))
    ]
    for region, column in REGIONS.items()
}
fresh_neurons = {region: mlp_neurons(texts, [layer])[layer] for region, texts in fresh.items()}
fresh_stream = {
    region: last_token_activations(model, texts, [layer])[:, 0] for region, texts in fresh.items()
}

# %%
print("share called European, with 95 % intervals")
for name, seen, asked, k in (
    ("1 MLP neuron", neurons[layer], fresh_neurons, 1),
    ("4 MLP neurons", neurons[layer], fresh_neurons, 4),
    ("all coordinates", stream[layer], fresh_stream, d_model),
):
    chosen = top_k_neurons(seen, labels, k)
    fitted = LogisticProbe(l2=0.1).fit(seen[:, chosen], labels)
    print(f"\n{name}")
    for region, acts in asked.items():
        called = fitted.predict(acts[:, chosen]).astype(float)
        interval = bootstrap_interval(lambda c, _: float(c.mean()), called, np.arange(len(called)))
        print(f"    {region:<14} {interval}")

# %% [markdown]
# On the embedded model the curves first. One MLP neuron, chosen on other countries, is right for .73 of the cities; one residual
# coordinate for .61, hardly more than a neuron at random (.59). The residual stream's own axes mean little, for nothing in the model
# works axis by axis there: its sixteen first principal components read as well (.86) as all of its coordinates (.87).
# The MLP's axes do mean something.
#
# But not "Europe". The single neuron calls nine in ten cities of the United States European. Whatever it responds to (what a
# name's spelling or its company in English text has in common across the Atlantic), it went along with Europe in our
# sample, and a good score on balanced classes and unseen countries could not tell the two apart. Only a question on
# which the two readings differ could. The probe on all coordinates is mistaken far less often, and still more often for the United
# States than for Asia.
#
# ## What was shown, and what was not
#
# Attention finds the decisive city among three and closes more than half of the gap to being told where it is; a linear map turns distances
# between words it has never seen into three quarters of a tree; a probe reads a continent some twenty blocks before the logit lens does;
# and a few neurons read "Europe" until one asks about America.
#
# Not shown: that attention weights explain a decision (they say where *this probe* looks). That the model builds trees, or
# uses them: a grammar this small leaves other cues that go along with structure. That the continent is nowhere in the
# vocabulary's directions before block 22: a lens with a learned translation for each layer might read it earlier. And no
# number of this lesson says what the model *does* with what is read: chapters 3 and 4 intervene.
#
# | | published | here, embedded model |
# |---|---|---|
# | structural probe, UUAS on unseen sentences | Penn Treebank, BERT-large 82.5 %, untrained BiLSTM floor 59.8 % ([Hewitt & Manning 2019](https://aclanthology.org/N19-1419)) | a small grammar, unseen words: 73 %, untrained floor 52 % |
# | pooling over tokens | attention among the best of several probes on high-stakes dialogues, Llama-3.3-70B ([McKenzie et al. 2025](https://arxiv.org/abs/2506.10805)) | attention 79 %, mean 69 %, last token 59 % |
# | single MLP neurons | found for many features in 7 models up to 6.9B parameters ([Gurnee et al. 2023](https://arxiv.org/abs/2305.01610)) | 73 %, and not the feature it seemed |
# | logit lens | GPT-2's guesses take shape block by block ([nostalgebraist 2020](https://www.lesswrong.com/posts/AcKRB8wDpdaN6v6ru/interpreting-gpt-the-logit-lens)) | only over the last seven of 30 blocks |
#
# BERT sees both sides of a word, and newspaper sentences share their words between training and test; ours reads from left to right and
# is tested on new words. The grammar is far simpler than newspaper text. The two figures should not be compared, their
# distances to their floors may be.
#
# **Try it yourself.** Set `RANK` to 2 and to 128. Or give `PROBING_MODEL` a larger model: is its first neuron one for Europe?
