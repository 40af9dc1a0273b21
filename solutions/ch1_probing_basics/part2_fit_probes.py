# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Fit probes
#
# **Where in the model can a straight line tell European cities from others, and how well does a linear map place a
# city on the globe?**
#
# After this lesson you can
#
# * fit a mass-mean, a logistic and a ridge probe yourself, and say what each one minimises;
# * return a probe's direction in raw activation space, whatever scaling the fit used;
# * sweep all layers, choose one on validation data and report it on test data;
# * put every score beside its floor and its interval.
#
# About 75 minutes of exercises. On two CPU cores the cells take about 2 minutes and 2 GB of memory.

# %%
import numpy as np
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor

from utils.activations import last_token_activations
from utils.course import open_lesson, sample_size
from utils.datasets import load_cities
from utils.metrics import accuracy, bootstrap_interval
from utils.models import load_language_model, untrained_twin
from utils.plot_style import dress
from utils.plots import bars_with_floor, score_histogram, world_map
from utils.plots import layer_sweep as plot_layers
from utils.splits import stratified_group_split

check, use_reference = open_lesson("ch1_probing_basics/part2_fit_probes")

# %%
model = load_language_model()
layers = ["embed", *range(model.cfg.n_layers)]
print(f"{model.cfg.model_name}: {model.cfg.n_layers} layers, d_model {model.cfg.d_model}")

# %% [markdown]
# ## The question as data
#
# The table holds 1,500 large cities; one in seven lies in Europe. A probe that always says "no" would be right
# six times in seven, so we draw equally many cities from inside and outside Europe: the majority floor is then ½.

# %%
cities = load_cities()
in_europe = cities["continent"] == "Europe"
sample = (
    cities.groupby(in_europe).sample(sample_size(in_europe.sum(), 75), random_state=0).reset_index(drop=True)
)
labels = torch.tensor((sample["continent"] == "Europe").to_numpy())
print(
    f"{len(sample)} cities, {labels.float().mean():.0%} in Europe, from {sample['country'].nunique()} countries"
)
sample.head()

# %% [markdown]
# The model reads "The city of X" and nothing else. We keep the residual stream at the last token, after every block
# (`resid_post`), and before the first (`"embed"`).

# %%
texts = [f"The city of {name}" for name in sample["name"]]
acts = last_token_activations(model, texts, layers)
print("text, layer, d_model:", tuple(acts.shape))

# %% [markdown]
# Cities of one country share more than a continent: a language, a way of spelling. If Lyon is in the training set,
# Marseille is an easy test. So a country goes into one part only. We cut the countries into five folds and train on
# three, choose on one, test on one. Part 3 shows what goes wrong otherwise.

# %%
folds = [
    torch.as_tensor(rows) for rows in stratified_group_split(sample["country"], labels, [0.2] * 5, seed=0)
]


def parts(turn: int, folds: list) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of train, validation and test; each fold is the test set in one of five turns."""
    order = folds[turn:] + folds[:turn]
    return torch.cat(order[2:]), order[1], order[0]


train, val, test = parts(0, folds)
print(f"{len(train)} to train on, {len(val)} to choose with, {len(test)} to test on")

# %% [markdown]
# ## Exercise · `difference_of_means`
# difficulty ●○○○○ · importance ●●●●● · 5 minutes
#
# The simplest probe direction needs no optimiser: the vector from the mean activation of the texts labelled False to
# the mean of those labelled True,
#
# $$ \theta = \mu_{\text{True}} - \mu_{\text{False}}. $$
#
# `acts` has shape (text, d_model), `labels` (text,); return a tensor of shape (d_model,). A difference needs two means:
# where one class is missing, raise `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# A boolean tensor selects rows: `acts[labels]` are the activations of the True class, `acts[~labels]` the others.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The mean of no rows is NaN, without an error. Look at `labels.all()` and `labels.any()` first.
#
# </details>


# %%
def difference_of_means(
    acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"]
) -> Float[Tensor, "d_model"]:
    """The direction from the mean of the False class to the mean of the True class.

    acts: activations, one row a text (residual-stream units).
    labels: True or False for each text; both must occur, otherwise ValueError.
    Source: Marks & Tegmark 2023, arXiv:2310.06824 ("mass-mean").
    """
    ### BEGIN SOLUTION
    if labels.all() or not labels.any():
        raise ValueError("labels must contain both True and False: a difference needs two means")
    return acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)
    ### END SOLUTION


check(difference_of_means)

# %% [markdown]
# Project every *validation* city on the direction learned from the *training* cities, two thirds of the way up. If the
# model has an idea of Europe that this direction catches, the two heaps stand apart. If not, they coincide.

# %%
deep = len(layers) * 2 // 3
direction = difference_of_means(acts[train, deep], labels[train])
score_histogram(
    acts[val, deep] @ direction,
    labels[val],
    names=("elsewhere", "Europe"),
    title=f"Validation cities projected on the difference of means, layer {layers[deep]}",
    xlabel="projection on the direction (squared residual-stream units)",
    bins=24,
)

# %% [markdown]
# On the embedded model they overlap almost wholly, and the next probes will say why. Look at the horizontal axis too: the middle of
# the heaps is far from zero, for activations have a large common offset. So a direction alone does not classify; a probe needs
# a threshold.
#
# ## Exercise · `MassMeanProbe`
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# Add the threshold. The score of a text is $\theta \cdot x + b$, and $b$ is chosen so that the point halfway between
# the two class means scores 0. `fit` learns `coef_` (d_model,) and `intercept_` (a float) and returns the probe itself;
# `decision_function` gives the scores; `predict` says True where the score is positive. This is scikit-learn's
# contract, so your probe fits into its tools.
#
# <details><summary>Hint 1</summary>
#
# Write $m = (\mu_{\text{True}} + \mu_{\text{False}})/2$ and solve $\theta \cdot m + b = 0$ for $b$.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The midpoint of the class *means* is not the mean of all texts unless the classes are equally large.
#
# </details>


# %%
class MassMeanProbe:
    """Calls a text True where its activation is nearer to the mean of the True class than to that of the False class.

    After `fit`: `coef_` (d_model), the difference of means, and `intercept_` (a float), which puts the boundary
    through the midpoint of the two means. Source: Marks & Tegmark 2023, arXiv:2310.06824.
    """

    def fit(self, acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"]) -> "MassMeanProbe":
        """Learn `coef_` and `intercept_`, and return the probe itself. One class missing: ValueError."""
        ### BEGIN SOLUTION
        self.coef_ = difference_of_means(acts, labels)
        midpoint = (acts[labels].mean(dim=0) + acts[~labels].mean(dim=0)) / 2
        self.intercept_ = -(self.coef_ @ midpoint).item()
        return self
        ### END SOLUTION

    def decision_function(self, acts: Float[Tensor, "text d_model"]) -> Float[Tensor, "text"]:
        """A score a text: positive on the True side of the boundary, 0 on it."""
        ### BEGIN SOLUTION
        return acts @ self.coef_ + self.intercept_
        ### END SOLUTION

    def predict(self, acts: Float[Tensor, "text d_model"]) -> Bool[Tensor, "text"]:
        """True where the score is positive."""
        ### BEGIN SOLUTION
        return self.decision_function(acts) > 0
        ### END SOLUTION


check(MassMeanProbe)

# %% [markdown]
# Accuracy on the validation cities, beside two floors. Always answering "no" is right half of the time. And a city's
# *name* gives something away (-grad, -burg, -pur): a classifier that sees the letters but no model says how much.

# %%
probe = MassMeanProbe().fit(acts[train, deep], labels[train])
names = sample["name"].to_numpy()


def letters_accuracy(train: Tensor, held_out: Tensor) -> float:
    """What character 1- to 4-grams of the name alone give: the floor for anything said about the model."""
    ngrams = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4))
    classifier = LogisticRegression(C=10).fit(ngrams.fit_transform(names[train]), labels[train])
    return classifier.score(ngrams.transform(names[held_out]), labels[held_out])


hits = (probe.predict(acts[val, deep]) == labels[val]).float().mean().item()
print(f"mass-mean, layer {layers[deep]}: {hits:.2f}")
print(
    f"floors: majority {labels[val].float().mean():.2f}, letters of the name {letters_accuracy(train, val):.2f}"
)

# %% [markdown]
# On the embedded model that is .56 against .54 and .60: at this layer the probe knows less about these cities than the letters of their
# names. Either the model has no idea of Europe here, or the difference of means is a poor way to read it. A second
# probe decides.
#
# ## Exercise · `fit_logistic_probe`
# difficulty ●●●●○ · importance ●●●●● · 25 minutes
#
# The difference of means ignores how the features vary together. Logistic regression does not: it looks for the weights
# under which the labels are most probable. With standardised features $z = (x - \text{mean}) / \text{std}$ it minimises
#
# $$ \frac1n \sum_i \Big[\log\big(1 + e^{s_i}\big) - y_i s_i\Big] + \frac{\lambda}{2} \lVert w \rVert^2, \qquad s_i = w \cdot z_i + b . $$
#
# Mean and *population* standard deviation come from the training texts; a feature that never changes keeps scale 1.
# The intercept $b$ is not penalised. $\lambda$ is `l2` and must be positive (`ValueError` otherwise): without a penalty,
# separable classes send $w$ to infinity.
#
# Return `(coef, intercept)` for **raw** activations: `acts @ coef + intercept` must equal $w \cdot z + b$. A probe
# direction that is meant for standardised features, but is used on raw ones, is the commonest silent mistake in this
# field: it still looks like a direction.
#
# <details><summary>Hint 1</summary>
#
# The problem is convex and smooth, so `torch.optim.LBFGS(..., line_search_fn="strong_wolfe")` solves it in one `step`.
# Work in float64 and let it run to a small gradient. Newton's method is another good answer.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# $w \cdot (x - \text{mean})/\text{std} + b = (w/\text{std}) \cdot x + \big(b - (w/\text{std}) \cdot \text{mean}\big)$.
#
# </details>


# %%
def fit_logistic_probe(
    acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"], l2: float
) -> tuple[Float[Tensor, "d_model"], float]:
    """The logistic regression (coef, intercept), fitted on standardised features, returned for raw activations.

    Minimises mean log-loss + l2/2 · ‖w‖², w the weights on features standardised with the training mean and
    population standard deviation (a feature that never changes keeps scale 1); the intercept is not penalised.
    Raises ValueError for l2 ≤ 0 or where one class is missing.
    """
    ### BEGIN SOLUTION
    if l2 <= 0:
        raise ValueError(
            f"l2 must be positive, not {l2}: without a penalty separable classes send weights to infinity"
        )
    if labels.all() or not labels.any():
        raise ValueError("labels must contain both True and False")
    acts, targets = acts.double(), labels.double()
    mean, scale = acts.mean(dim=0), acts.std(dim=0, correction=0)
    scale = torch.where(scale > 1e-9 * (1 + mean.abs()), scale, torch.ones_like(scale))
    features = (acts - mean) / scale
    weights = torch.zeros(acts.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, bias],
        max_iter=1000,
        tolerance_grad=1e-8,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(features @ weights + bias, targets)
        value = value + l2 / 2 * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    coef = weights.detach() / scale
    return coef.float(), (bias.detach() - coef @ mean).item()
    ### END SOLUTION


check(fit_logistic_probe)

# %% [markdown]
# With more features than training cities, a plane that separates the *training* set perfectly always exists, so training
# accuracy means nothing. The penalty decides how hard the probe tries. Expect the training curve to reach 1 as
# the penalty falls, and the validation curve to flatten well below it.

# %%
penalties = [10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003]
curves = {"training cities": [], "validation cities": []}
for l2 in penalties:
    coef, intercept = fit_logistic_probe(acts[train, deep], labels[train], l2)
    for name, rows in zip(curves, (train, val), strict=True):
        curves[name].append(((acts[rows, deep] @ coef + intercept > 0) == labels[rows]).float().mean().item())
figure = go.Figure()
for name, curve in curves.items():
    figure.add_scatter(x=penalties, y=curve, name=name, mode="lines+markers")
figure.add_hline(y=0.5, line_dash="dash", line_color="#808080", annotation_text="majority")
dress(figure, f"Penalty and accuracy, logistic probe at layer {layers[deep]}", "l2", "accuracy", legend="top")
figure.update_xaxes(type="log", autorange="reversed", dtick=1)

# %% [markdown]
# So the idea was there: on the embedded model, from the same vectors, three validation cities in four are right, where the mass-mean
# probe was right for little more than one in two. Both directions were learned from the same texts, at the same layer. How
# alike are they?

# %%
coef, intercept = fit_logistic_probe(acts[train, deep], labels[train], l2=0.1)
cosine = F.cosine_similarity(coef, direction, dim=0).item()
agree = ((acts[val, deep] @ coef + intercept > 0) == probe.predict(acts[val, deep])).float().mean().item()
print(
    f"cosine of logistic and mass-mean direction: {cosine:.2f}   (two random directions: ±{model.cfg.d_model**-0.5:.2f})"
)
print(f"they give the same answer for {agree:.0%} of the validation cities")

# %% [markdown]
# Two directions that agree about most *texts* can be far from parallel as *vectors*. Which one the model itself uses,
# if any, no accuracy can say: chapters 3 and 4 intervene to find out.
#
# ## Exercise · `layer_sweep`
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# So far we picked a layer by hand. Fit a probe at every layer on the training texts and return its accuracy on the
# *validation* texts, one number a layer. `fit(acts, labels)` returns `(coef, intercept)`; call it once a layer, in order.
# `train_acts` has shape (text, layer, d_model).
#
# <details><summary>Hint 1</summary>
#
# `train_acts[:, layer]` has shape (text, d_model). A text is called True where `acts @ coef + intercept > 0`.
#
# </details>


# %%
def layer_sweep(
    fit,
    train_acts: Float[Tensor, "text layer d_model"],
    train_labels: Bool[Tensor, "text"],
    val_acts: Float[Tensor, "val_text layer d_model"],
    val_labels: Bool[Tensor, "val_text"],
) -> Float[Tensor, "layer"]:
    """Validation accuracy of `fit(acts, labels) -> (coef, intercept)` at every layer, fitted on the training texts."""
    ### BEGIN SOLUTION
    accuracies = []
    for layer in range(train_acts.shape[1]):
        coef, intercept = fit(train_acts[:, layer], train_labels)
        predicted = val_acts[:, layer] @ coef + intercept > 0
        accuracies.append((predicted == val_labels).float().mean())
    return torch.stack(accuracies)
    ### END SOLUTION


check(layer_sweep)

# %% [markdown]
# Now the sweep, in all five turns, for both probes and for an **untrained twin**: the same architecture and tokenizer with
# random weights. What a probe finds there comes from the tokens and the probe, not from anything learned.


# %%
def fit_mass_mean(acts, labels):
    probe = MassMeanProbe().fit(acts, labels)
    return probe.coef_, probe.intercept_


def fit_logistic(acts, labels):
    return fit_logistic_probe(acts, labels, l2=0.1)


def sweeps(fit, acts: Tensor) -> Float[Tensor, "turn layer"]:
    """Validation accuracy by layer in each of the five turns."""
    turns = [parts(turn, folds)[:2] for turn in range(len(folds))]
    return torch.stack([layer_sweep(fit, acts[a], labels[a], acts[b], labels[b]) for a, b in turns])


twin_acts = last_token_activations(untrained_twin(model, seed=0), texts, layers)
by_layer = {
    "logistic": sweeps(fit_logistic, acts),
    "mass-mean": sweeps(fit_mass_mean, acts),
    "untrained twin": sweeps(fit_logistic, twin_acts),
}

# %% [markdown]
# Shaded: one standard deviation over the five turns. If the model knew nothing, its curves would lie on the twin's.

# %%
letters = np.mean([letters_accuracy(*parts(turn, folds)[:2]) for turn in range(len(folds))])
mean = {name: values.mean(dim=0) for name, values in by_layer.items()}
spread = {name: values.std(dim=0) for name, values in by_layer.items()}
plot_layers(
    mean,
    bands={name: (mean[name] - spread[name], mean[name] + spread[name]) for name in mean},
    floors={"majority": 0.5, "letters": letters},
    layers=layers,
    ylabel="validation accuracy",
    title="'In Europe' by layer: five splits by country, mean and standard deviation",
)

# %% [markdown]
# Every turn now chooses its own best layer on validation cities and is scored *once*, on its test cities. The choice
# may be lucky on the validation set; the test set knows nothing of it. Together the five test folds cover every city
# once. The interval resamples whole countries, because cities of one country are not independent evidence.


# %%
def test_predictions(fit, acts: Tensor, accuracies: Float[Tensor, "turn layer"]) -> Bool[Tensor, "text"]:
    """For every city, the prediction of the turn in which it was a test city, at that turn's best layer."""
    predicted = torch.zeros_like(labels)
    for turn in range(len(folds)):
        train, _, test = parts(turn, folds)
        layer = int(accuracies[turn].argmax())
        coef, intercept = fit(acts[train, layer], labels[train])
        predicted[test] = acts[test, layer] @ coef + intercept > 0
    return predicted


fits = {
    "logistic": (fit_logistic, acts),
    "mass-mean": (fit_mass_mean, acts),
    "untrained twin": (fit_logistic, twin_acts),
}
intervals = {
    name: bootstrap_interval(
        accuracy, test_predictions(fit, a, by_layer[name]), labels, groups=sample["country"]
    )
    for name, (fit, a) in fits.items()
}

# %%
letters_test = np.mean(
    [letters_accuracy(parts(turn, folds)[0], parts(turn, folds)[2]) for turn in range(len(folds))]
)
for name, interval in intervals.items():
    print(f"{name:<15} test accuracy {interval.estimate:.2f}  [{interval.low:.2f}, {interval.high:.2f}]")
print(f"{'letters':<15} test accuracy {letters_test:.2f}")
bars_with_floor(
    {name: interval.estimate for name, interval in intervals.items()},
    intervals={name: (interval.low, interval.high) for name, interval in intervals.items()},
    floors={"letters of the name": letters_test, "majority": 0.5},
    xlabel="test accuracy",
    start=0.4,
    title="'In Europe' on countries never trained on: 95 % intervals over countries",
)

# %% [markdown]
# ## From yes or no to a place on the globe
#
# ## Exercise · `fit_ridge_probe`
# difficulty ●●●○○ · importance ●●●●○ · 15 minutes
#
# Latitude and longitude are numbers, so the probe is a linear regression. Ridge regression minimises
#
# $$ \sum_i \lVert y_i - W^\top x_i - b \rVert^2 + \lambda \lVert W \rVert^2 $$
#
# over $W$ (d_model, target) and $b$ (target,), here on raw activations; the intercept is not penalised. It has a closed
# form. With centred activations $\tilde X$ and centred targets $\tilde Y$, $W = (\tilde X^\top \tilde X + \lambda I)^{-1}\tilde X^\top \tilde Y$.
#
# <details><summary>Hint 1</summary>
#
# `torch.linalg.solve(A, B)` gives $A^{-1}B$ without inverting. Use float64: residual norms reach the hundreds.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# At the mean activation the prediction must be the mean target. That determines $b$.
#
# </details>


# %%
def fit_ridge_probe(
    acts: Float[Tensor, "text d_model"], targets: Float[Tensor, "text target"], l2: float
) -> tuple[Float[Tensor, "d_model target"], Float[Tensor, "target"]]:
    """Ridge regression in closed form: (coef, intercept) that minimise Σ‖error‖² + l2 · ‖W‖², intercept free."""
    ### BEGIN SOLUTION
    acts, targets = acts.double(), targets.double()
    act_mean, target_mean = acts.mean(dim=0), targets.mean(dim=0)
    centred = acts - act_mean
    gram = centred.T @ centred + l2 * torch.eye(acts.shape[1], dtype=acts.dtype)
    coef = torch.linalg.solve(gram, centred.T @ (targets - target_mean))
    return coef.float(), (target_mean - act_mean @ coef).float()
    ### END SOLUTION


check(fit_ridge_probe)

# %% [markdown]
# ## Exercise · `r2_score`
# difficulty ●●○○○ · importance ●●●●○ · 10 minutes
#
# How good is a prediction in degrees? Compare its squared error with that of the laziest guess, the mean target:
#
# $$ R^2 = 1 - \frac{\sum_i (y_i - \hat y_i)^2}{\sum_i (y_i - \bar y)^2} $$
#
# for each target (column) by itself. 1 is perfect, 0 is as good as the mean, and there is no lower limit. A target that
# never changes has no spread to explain: `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# $\bar y$ is the mean of the *targets you are scored on*, column by column. Correlation is something else: it forgives a
# wrong offset.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# In floating point the mean of seven times 0.1 need not be 0.1, and the spread need not be 0. Ask the targets themselves
# whether they change.
#
# </details>


# %%
def r2_score(
    predictions: Float[Tensor, "text target"], targets: Float[Tensor, "text target"]
) -> Float[Tensor, "target"]:
    """One minus the squared error over that of always guessing the mean target, for each target.

    Raises ValueError where a target never changes.
    """
    ### BEGIN SOLUTION
    if (targets == targets[0]).all(dim=0).any():
        raise ValueError("a target is the same for every text: there is no spread to explain")
    spread = (targets - targets.mean(dim=0)).square().sum(dim=0)
    return 1 - (targets - predictions).square().sum(dim=0) / spread
    ### END SOLUTION


check(r2_score)

# %% [markdown]
# All 1,500 cities now, again in five folds of countries. Each turn tries a few penalties at every third layer, keeps what
# predicts its validation countries best, and places its test countries. So each city is placed by a probe that has
# never seen a city of its country.

# %%
world = cities.head(sample_size(len(cities), 300)).reset_index(drop=True)
world_texts = [f"The city of {name}" for name in world["name"]]
places = torch.tensor(world[["latitude", "longitude"]].to_numpy(), dtype=torch.float32)
depths = layers[::3]
world_acts = last_token_activations(model, world_texts, depths)
world_folds = [
    torch.as_tensor(rows)
    for rows in stratified_group_split(world["country"], world["continent"], [0.2] * 5, seed=0)
]


# %%
def place_cities(acts: Float[Tensor, "text layer d_model"]) -> tuple[Tensor, list[int]]:
    """Test-fold predictions for every city, and the layer that each turn chose on its validation fold."""
    placed, chosen = torch.zeros_like(places), []
    for turn in range(len(world_folds)):
        train, val, test = parts(turn, world_folds)
        best = (-float("inf"), 0, None, None)
        for layer in range(acts.shape[1]):
            for l2 in (1e3, 1e4, 1e5):
                coef, intercept = fit_ridge_probe(acts[train, layer], places[train], l2)
                score = r2_score(acts[val, layer] @ coef + intercept, places[val]).mean().item()
                if score > best[0]:
                    best = (score, layer, coef, intercept)
        _, layer, coef, intercept = best
        placed[test] = acts[test, layer] @ coef + intercept
        chosen.append(layer)
    return placed, chosen


placed, chosen = place_cities(world_acts)
print("layers chosen in the five turns:", [depths[layer] for layer in chosen])

# %% [markdown]
# The floors go through the same procedure: the letters of the name, and the untrained twin.

# %%
twin_placed, _ = place_cities(last_token_activations(untrained_twin(model, seed=0), world_texts, depths))
letters_placed = torch.zeros_like(places)
world_names = world["name"].to_numpy()
for turn in range(len(world_folds)):
    rows, _, test = parts(turn, world_folds)
    ngrams = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4))
    ridge = Ridge(alpha=3.0).fit(ngrams.fit_transform(world_names[rows]), places[rows])
    letters_placed[test] = torch.as_tensor(
        ridge.predict(ngrams.transform(world_names[test])), dtype=torch.float32
    )

for name, guess in {"model": placed, "letters": letters_placed, "untrained twin": twin_placed}.items():
    for column, axis in enumerate(("latitude", "longitude")):
        found = bootstrap_interval(
            lambda p, t: r2_score(torch.tensor(p)[:, None], torch.tensor(t)[:, None]).item(),
            guess[:, column], places[:, column], groups=world["country"],
        )  # fmt: skip
        print(f"{name:<15} {axis:<10} R² {found.estimate:5.2f}  [{found.low:.2f}, {found.high:.2f}]")

# %% [markdown]
# R² is a number; a map shows what kind of wrong it is. Each point stands where the probe puts a city, joined to a small cross
# where the city lies. A perfect probe would draw the world. A probe that knows nothing would put every city at one spot.

# %%
shown = np.random.default_rng(0).permutation(len(world))[: sample_size(250, 100)]
world_map(
    places[shown],
    placed[shown],
    (world["name"] + ", " + world["country"])[shown].tolist(),
    world["continent"][shown].tolist(),
    background=places,
    title="Where a linear map puts cities of countries that it never saw",
)


# %%
def unit_vectors(degrees: Float[Tensor, "text 2"]) -> Float[Tensor, "text 3"]:
    """Points on the unit sphere; latitudes beyond a pole are pulled back to it."""
    latitude, longitude = degrees[:, 0].clamp(-90, 90).deg2rad(), degrees[:, 1].deg2rad()
    return torch.stack(
        [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()], dim=1
    )


for name, guess in {
    "model": placed,
    "letters": letters_placed,
    "mean place": places.mean(0).expand_as(places),
}.items():
    angle = (unit_vectors(guess) * unit_vectors(places)).sum(dim=1).clamp(-1, 1).acos()
    print(f"{name:<11} median distance from the true place: {6371 * angle.median():,.0f} km")

# %% [markdown]
# ## What was shown
#
# * The residual stream of a 135M-parameter model, after four words, tells European cities from others on **unseen
#   countries**, well above the letters of the name and above an untrained twin. It becomes readable within the first third
#   of the layers.
# * The same stream places cities on the globe, coarsely: continents come apart, countries do not.
# * Mass-mean and logistic probes agree on most cities with directions that are far from parallel.
#
# ## What was not shown
#
# * That the model *uses* any of this. A probe reads; chapters 3 and 4 intervene.
# * That "Europe" is what the probe found. Language of the name, fame, or wealth go along with it; part 3 doubts further.
# * Small differences between neighbouring layers: the intervals overlap.
#
# Gurnee & Tegmark (2023, [arXiv:2310.02207](https://arxiv.org/abs/2310.02207)) report linear world maps in Llama-2 models up
# to 70B parameters, on tens of thousands of places. A
# [reproduction](https://www.lesswrong.com/posts/guNzr32FC6DYCaSgJ/there-is-a-globe-in-your-llm) with Llama-3-8B-Instruct
# finds a mean distance of 535 miles (861 km) through the Earth on a random 20 % of the landmarks whose country the model could name.
# Ours is far coarser: a model sixty times smaller, four-word prompts, and whole countries held out.
#
# Try it: `PROBING_MODEL=HuggingFaceTB/SmolLM2-360M make learn` (needs a network once) runs this lesson on a larger model.
