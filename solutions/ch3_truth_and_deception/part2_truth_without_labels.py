# %% [markdown]
# # Truth without labels
#
# **Can truth be found in a model without telling it, or us, what is true?**
#
# After this lesson you can
#
# * build contrast pairs, and take out of them what one half says and the other does not;
# * search for a direction that only has to be *consistent*, and say what its sign leaves open;
# * place such a method between its floor and its ceiling: random directions, the model's own preference, a supervised
#   probe;
# * break it on purpose, with a word that has nothing to do with truth.
#
# Time: 75 minutes with the exercises. The machine needs about three minutes on two CPU cores, and 2 GB of memory.

# %%
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm.auto import tqdm

from utils.activations import last_token_activations
from utils.course import open_lesson, sample_size
from utils.datasets import Question, either_or_questions
from utils.likelihood import option_log_probs
from utils.metrics import accuracy, mean_interval
from utils.models import load_language_model, tokenize
from utils.plots import layer_sweep
from utils.probes import LogisticProbe, MassMeanProbe
from utils.splits import group_split

check, use_reference = open_lesson("ch3_truth_and_deception/part2_truth_without_labels")

# %% [markdown]
# ## Pairs that contradict each other
#
# Labels come from people. Where a model knows more than we do there are none, and where people are wrong they teach
# a probe to repeat them. Burns et al. (2022) ask for less: take a question with two answers, let the model read
# *both*, and look for a direction on which the two always disagree.
#
# Our questions name two answers. One half of each pair gives the answer that the question names first, the other
# half the one that it names second; which of them is right was drawn by a coin. The model reads both, and we keep
# the stream at the last token. Labels (is the *first* right?) are kept for the verdict at the end.

# %%
N_ASKED = {"cities": 180, "animal_class": 120, "sp_en_trans": 120}
asked = {kind: either_or_questions(kind)[: sample_size(n, 40)] for kind, n in N_ASKED.items()}


def stated(question: Question, answer: str) -> str:
    return f"Question: {question.text}\nAnswer: {answer}"


for kind in asked:
    example = asked[kind][0]
    print(stated(example, example.first), f"Answer: {example.second}", sep="\n")
    print("right:", "the first" if example.first_is_right else "the second", "\n")

# %%
model = load_language_model()
step = max(1, model.cfg.n_layers // sample_size(10, 5))
LAYERS = list(range(step - 1, model.cfg.n_layers, step))


def both_halves(questions: list[Question]) -> tuple[Float[Tensor, "pair layer d_model"], ...]:
    """The stream at the end of the first and of the second answer."""
    texts = [stated(each, answer) for each in questions for answer in (each.first, each.second)]
    acts = last_token_activations(model, texts, LAYERS)
    return acts[0::2], acts[1::2]


acts = {kind: both_halves(asked[kind]) for kind in asked}
labels = {kind: torch.tensor([each.first_is_right for each in asked[kind]]) for kind in asked}
groups = {kind: np.array([each.group for each in asked[kind]]) for kind in asked}
fitted, tested = {}, {}
for kind in asked:
    fitted[kind], tested[kind] = (
        torch.tensor(part) for part in group_split(groups[kind], (0.6, 0.4), seed=0)
    )
    print(f"{kind}: {len(fitted[kind])} pairs to fit on, {len(tested[kind])} to test")

# %% [markdown]
# ## Exercise · `normalise_contrast`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# The halves of the pairs differ by construction: here one gives the answer that was named first, the other the one
# named second; with yes/no questions all texts of one half end in "true", all of the other in "false" (hence the
# arguments' names). That difference is the easiest to find, and not what we look for. Remove it: subtract from each
# half its own mean, and divide by its own standard deviation, dimension by dimension (the population's: divided by
# n). A dimension that does not vary becomes 0. Fewer than two pairs, or halves of different shape: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `acts.std(dim=0, correction=0)`. Where it is 0 divide by 1.
#
# </details>


# %%
def normalise_contrast(
    acts_true: Float[Tensor, "pair d_model"], acts_false: Float[Tensor, "pair d_model"]
) -> tuple[Float[Tensor, "pair d_model"], Float[Tensor, "pair d_model"]]:
    """Each half with mean 0 and population standard deviation 1 in every dimension, separately; constants become 0.

    acts_true, acts_false: row i of both is the same question, with the one and with the other answer.
    Raises ValueError for fewer than two pairs or different shapes.
    Source: Burns et al. 2022, arXiv:2212.03827, section 2.2.
    """
    ### BEGIN SOLUTION
    if acts_true.shape != acts_false.shape:
        raise ValueError(f"halves of different shape: {tuple(acts_true.shape)}, {tuple(acts_false.shape)}")
    if len(acts_true) < 2:
        raise ValueError(f"{len(acts_true)} pairs have no spread; at least two are needed")
    normalised = []
    for acts in (acts_true, acts_false):
        scale = acts.std(dim=0, correction=0)
        constant = (acts == acts[0]).all(dim=0)
        centred = (acts - acts.mean(dim=0)).masked_fill(constant, 0)
        normalised.append(centred / scale.masked_fill(constant, 1))
    return normalised[0], normalised[1]
    ### END SOLUTION


check(normalise_contrast)

# %% [markdown]
# What it removes. A mass-mean probe that tells *which half* an answer belongs to, fitted on some city pairs and
# asked about others. **Expect** better than chance as they are, in later layers: the model keeps track of which option
# it is repeating. Normalised it must be chance, since both halves have the same mean now.


# %%
def halves(kind: str, layer: int, rows: Tensor, source=None) -> tuple[Tensor, Tensor]:
    """Both halves of some pairs at a layer, normalised by their own means and spreads: no label is needed for it."""
    first, second = (acts if source is None else source)[kind]
    at = LAYERS.index(layer)
    return normalise_contrast(first[rows, at], second[rows, at])


def which_half(fit: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """Accuracy of a mass-mean probe that tells first halves from second ones."""
    places = [torch.arange(2).repeat_interleave(len(half)) for half in (fit[0], test[0])]
    return MassMeanProbe().fit(torch.cat(fit), places[0]).score(torch.cat(test), places[1])


for layer in LAYERS[:: max(1, len(LAYERS) // 5)]:
    at = LAYERS.index(layer)
    places = fitted["cities"], tested["cities"]
    raw = which_half(*([half[rows, at] for half in acts["cities"]] for rows in places))
    after = which_half(*(halves("cities", layer, rows) for rows in places))
    print(f"layer {layer:>2}: first or second half? as they are {raw:.2f}, normalised {after:.2f}")

# %% [markdown]
# ## Consistent and decided
#
# A probe gives each half a probability of being right. Of a pair it should say "one of you", and say which.

# %% [markdown]
# ## Exercise · `ccs_loss`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# Nobody says which of a pair is right. But whatever is asked, the two answers should *contradict* each other, and
# the probe should *decide*:
#
# $$ \bigl(p_\text{true} - (1 - p_\text{false})\bigr)^2 + \min(p_\text{true}, p_\text{false})^2, $$
#
# averaged over pairs. The first term is consistency; the second rules out the lazy answer ½, ½. Different shapes, no
# pair at all, or a probability outside 0 … 1: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `torch.minimum(p_true, p_false)` compares pair by pair.
#
# </details>


# %%
def ccs_loss(p_true: Float[Tensor, "pair"], p_false: Float[Tensor, "pair"]) -> Float[Tensor, ""]:
    """Mean over pairs of consistency (p_true − (1 − p_false))² and confidence min(p_true, p_false)²; a scalar tensor.

    p_true, p_false: the probe's probability for "it is true" and for "it is false"; gradients flow through both.
    Raises ValueError for different shapes, no pairs, and probabilities outside 0 … 1.
    Source: Burns et al. 2022, arXiv:2212.03827, section 2.2.
    """
    ### BEGIN SOLUTION
    if p_true.shape != p_false.shape or len(p_true) == 0:
        raise ValueError(
            f"needs pairs of probabilities: got {tuple(p_true.shape)} and {tuple(p_false.shape)}"
        )
    both = torch.stack([p_true, p_false])
    if not ((both >= 0) & (both <= 1)).all():
        raise ValueError("probabilities lie between 0 and 1")
    consistency = (p_true - (1 - p_false)) ** 2
    confidence = torch.minimum(p_true, p_false) ** 2
    return (consistency + confidence).mean()
    ### END SOLUTION


check(ccs_loss)

# %% [markdown]
# ## Exercise · `fit_ccs`
#
# difficulty ●●●●○ · importance ●●●●○ · 25 minutes
#
# Search for a linear probe $p(x) = \sigma(w \cdot x + b)$ with a small CCS loss. The loss has bad local minima, so
# start `n_tries` times from a random direction of unit norm (drawn with `generator`) and intercept 0, take `n_steps`
# steps of full-batch Adam with learning rate 0.05, and keep the try with the smallest final loss. The inputs are
# normalised already. Return `(coef, intercept)`, the intercept as a float, without gradients. Which of the two signs
# means *true* stays open. Fewer than one try or step: `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# `torch.optim.Adam([coef, intercept], lr=0.05)` with two leaf tensors that require gradients; `ccs_loss` is yours
# already.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Compute the loss once more after the last step: the loss that the loop saw last is the one *before* it.
#
# </details>


# %%
def fit_ccs(
    acts_true: Float[Tensor, "pair d_model"],
    acts_false: Float[Tensor, "pair d_model"],
    n_tries: int,
    n_steps: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "d_model"], float]:
    """(coef, intercept) of the probe with the smallest CCS loss among n_tries starts; its sign is not resolved.

    acts_true, acts_false: normalised. generator: the only source of randomness. Also where gradients are switched off.
    Raises ValueError for fewer than one try or one step.
    Source: Burns et al. 2022, arXiv:2212.03827, section 2.2 (there AdamW, ten tries, a thousand steps).
    """
    ### BEGIN SOLUTION
    if n_tries < 1 or n_steps < 1:
        raise ValueError(f"{n_tries} tries of {n_steps} steps: at least one of each is needed")

    def loss_of(coef: Tensor, intercept: Tensor) -> Tensor:
        return ccs_loss(*(torch.sigmoid(acts @ coef + intercept) for acts in (acts_true, acts_false)))

    best, best_loss = None, float("inf")
    with torch.enable_grad():
        for _ in range(n_tries):
            start = torch.randn(acts_true.shape[1], generator=generator)
            coef = (start / start.norm()).to(acts_true.dtype).requires_grad_()
            intercept = torch.zeros((), dtype=acts_true.dtype, requires_grad=True)
            optimizer = torch.optim.Adam([coef, intercept], lr=0.05)
            for _ in range(n_steps):
                optimizer.zero_grad()
                loss_of(coef, intercept).backward()
                optimizer.step()
            if (loss := loss_of(coef, intercept).item()) < best_loss or best is None:
                best, best_loss = (coef.detach(), intercept.item()), loss
    return best
    ### END SOLUTION


check(fit_ccs)

# %% [markdown]
# Ten searches on the city pairs, each from one random start, judged on pairs that it has not seen with labels that
# it has not seen. A pair is right where the first half gets the higher probability exactly when the first answer is
# right. **Expect** two heaps, far from one half on both sides, where a search finds truth: nothing in the loss says which
# end of a direction is *true*. And scores around one half, where it finds something else.


# %%
def probability_gap(probe: tuple[Tensor, float], pair: tuple[Tensor, Tensor]) -> Float[Tensor, "pair"]:
    """How much more probable the first half is than the second."""
    first, second = (torch.sigmoid(half @ probe[0] + probe[1]) for half in pair)
    return first - second


# %%
generator, middle = torch.Generator().manual_seed(0), len(LAYERS) // 2
for layer in LAYERS[middle - 2 : middle + 3 : 2]:
    scores = []
    for _ in range(sample_size(10, 3)):
        probe = fit_ccs(*halves("cities", layer, fitted["cities"]), 1, sample_size(200, 30), generator)
        gap = probability_gap(probe, halves("cities", layer, tested["cities"]))
        scores.append(accuracy(gap > 0, labels["cities"][tested["cities"]]))
    print(f"layer {layer:>2}:", "  ".join(f"{each:.2f}" for each in sorted(scores)))

# %% [markdown]
# ## Without a search

# %% [markdown]
# ## Exercise · `contrast_pca_direction`
#
# difficulty ●●●○○ · importance ●●●●○ · 15 minutes
#
# No training at all: take each pair's difference $d_i = x_i^\text{true} - x_i^\text{false}$, subtract the mean
# difference, and return the direction along which the rest varies most, their first principal component, with unit
# norm. Its sign is arbitrary. Fewer than two pairs, halves of different shape, or differences that do not vary:
# `ValueError`.
#
# <details><summary>Hint</summary>
#
# The first row of `Vh` of `torch.linalg.svd(centred, full_matrices=False)`.
#
# </details>


# %%
def contrast_pca_direction(
    acts_true: Float[Tensor, "pair d_model"], acts_false: Float[Tensor, "pair d_model"]
) -> Float[Tensor, "d_model"]:
    """The first principal component of the centred differences acts_true − acts_false, of unit norm and either sign.

    Raises ValueError for fewer than two pairs, different shapes, and differences that are all the same.
    Source: the CRC-TPC of Burns et al. 2022, arXiv:2212.03827, and the reading vector (LAT) of Zou et al. 2023,
    arXiv:2310.01405, both up to normalisation.
    """
    ### BEGIN SOLUTION
    if acts_true.shape != acts_false.shape or len(acts_true) < 2:
        raise ValueError("needs at least two pairs, and halves of one shape")
    differences = (acts_true - acts_false).double()
    centred = differences - differences.mean(dim=0)
    if centred.norm() <= 1e-6 * differences.norm():
        raise ValueError("all differences are the same: no direction varies")
    return torch.linalg.svd(centred, full_matrices=False).Vh[0].float()
    ### END SOLUTION


check(contrast_pca_direction)

# %% [markdown]
# ## Who gives the sign?
#
# The usual report takes whichever sign is better, and so lets the labels in through the back door: with that rule a
# random direction scores above one half. Here the sign comes from the model: which answer does it find more
# probable? Its preference is right more often than not, so the sign under which a direction agrees with it on the
# *fitting* pairs is our guess. It costs no label. And it is the first rival: a method that needs it should be better
# than it.


# %%
def preference(questions: list[Question]) -> Float[Tensor, "question"]:
    """How much more probable the first answer is than the second, in nats."""
    before, options = [], []
    for each in questions:
        first, second = tokenize(model, [stated(each, each.first), stated(each, each.second)])
        # What they begin with alike makes no difference: it is run once.
        alike = next(i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1])
        before.append(first[:alike])
        options.append([first[alike:], second[alike:]])
    log_p = option_log_probs(model, before, options)
    return log_p[:, 0] - log_p[:, 1]


preferred = {kind: preference(each) for kind, each in asked.items()}
for kind in asked:
    right = (preferred[kind] > 0) == labels[kind]
    print(
        f"{kind:<14} the more probable answer is right: {mean_interval(right.float(), groups=groups[kind])}"
    )

# %% [markdown]
# All together, by layer, on the test pairs about cities. The *supervised* probe, logistic regression on the
# differences with the fitting pairs' labels, is the ceiling. **Expect** chance in the lower third, then a jump of
# all of them at once: where truth is there, it is one of the strongest things in which the halves still differ.


# %%
def signed(scores_fit: Tensor, scores_test: Tensor, kind: str) -> Bool[Tensor, "pair"]:
    """Whether the first half wins, on the test pairs, with the sign that agrees with the preference on the others."""
    agreement = ((scores_fit > 0) == (preferred[kind][fitted[kind]] > 0)).float().mean()
    return (scores_test > 0) == bool(agreement >= 0.5)


def decisions(kind: str, layer: int, source=None) -> dict[str, Bool[Tensor, "*direction pair"]]:
    """For each method, the test pairs of which it says that the first answer is right."""
    fit, test = (halves(kind, layer, rows[kind], source) for rows in (fitted, tested))
    differences = fit[0] - fit[1], test[0] - test[1]
    generator = torch.Generator().manual_seed(layer)
    probe = fit_ccs(*fit, sample_size(5, 2), sample_size(200, 30), generator)
    direction = contrast_pca_direction(*fit)
    by_luck = torch.randn(20, len(direction), generator=generator)
    supervised = LogisticProbe(l2=0.1).fit(differences[0], labels[kind][fitted[kind]])
    return {
        "supervised": torch.tensor(supervised.predict(differences[1])),
        "CCS": signed(*(probability_gap(probe, pair) for pair in (fit, test)), kind),
        "contrast PCA": signed(*(each @ direction for each in differences), kind),
        "20 random directions": torch.stack([signed(*(d @ w for d in differences), kind) for w in by_luck]),
        "model's own preference": preferred[kind][tested[kind]] > 0,
    }


# %%
truth = {kind: labels[kind][tested[kind]] for kind in asked}
swept = [decisions("cities", layer) for layer in tqdm(LAYERS, desc="layers", leave=False)]


def curve(method: str) -> list[float]:
    return [float((decided[method] == truth["cities"]).float().mean()) for decided in swept]


layer_sweep(
    {name: curve(name) for name in ("supervised", "CCS", "contrast PCA")},
    floors={name: curve(name) for name in ("20 random directions", "model's own preference")},
    layers=LAYERS,
    ylabel="accuracy",
    title="Which answer is right? City pairs, unseen cities",
)

# %% [markdown]
# Even random directions are above chance there, as any direction has some part of a strong one. Contrast PCA comes
# near the ceiling at layers 11 and 14, and falls behind later; CCS jumps about, since a small loss can be had in more
# than one way.
#
# Each method at one layer, for all three subjects. The layer has to be chosen without labels, too: we take the one
# at which contrast PCA and the model's preference agree most on the fitting pairs of the city questions.


# %%
def agreement(layer: int) -> float:
    first, second = halves("cities", layer, fitted["cities"])
    says_first = (first - second) @ contrast_pca_direction(first, second) > 0
    same = float((says_first == (preferred["cities"][fitted["cities"]] > 0)).float().mean())
    return max(same, 1 - same)


best = max(LAYERS, key=agreement)
for kind in asked:
    print(f"{kind}, layer {best}")
    for name, decided in decisions(kind, best).items():
        right = (decided == truth[kind]).float().view(-1, len(truth[kind])).mean(dim=0)
        print(f"    {name:<24} {mean_interval(right, groups=groups[kind][tested[kind]])}")

# %% [markdown]
# ## Bananas
#
# What did CCS look for? Not truth: *some* feature on which the two halves of a pair always differ. Farquhar et al.
# (2023) put such a feature in: a random word. Here one answer of each pair, the first or the second by a coin, is
# followed by "Banana.", the other by "Apple." Nothing else has changed. **Expect** the supervised probe to find
# truth still, later and less well, since it has the fruit's tokens to travel, and the others to fall for the fruit
# everywhere.

# %%
coins = torch.rand(len(asked["cities"]), generator=torch.Generator().manual_seed(1)) < 0.5


def with_fruit(questions: list[Question]) -> tuple[Tensor, Tensor]:
    texts = []
    for question, on_first in zip(questions, coins.tolist(), strict=True):
        for answer, marked in ((question.first, on_first), (question.second, not on_first)):
            texts.append(stated(question, answer) + (" Banana." if marked else " Apple."))
    found = last_token_activations(model, texts, LAYERS)
    return found[0::2], found[1::2]


planted = {"cities": with_fruit(asked["cities"])}

# %%
banana = coins[tested["cities"]]
follows = {name: [] for name in ("supervised: truth", "CCS: truth", "CCS: banana", "contrast PCA: banana")}
for layer in tqdm(LAYERS, desc="planted", leave=False):
    decided = decisions("cities", layer, planted)
    for each in follows:
        method, what = each.split(": ")
        share = float((decided[method] == (truth["cities"] if what == "truth" else banana)).float().mean())
        # Whether a method likes or dislikes bananas is an accident of its sign.
        follows[each].append(share if what == "truth" else max(share, 1 - share))
layer_sweep(
    follows,
    floors={"chance": 0.5},
    layers=LAYERS,
    ylabel="share of unseen city pairs",
    title="What do the methods follow, truth or the banana?",
)

# %% [markdown]
# ## What was shown, and what was not
#
# On the embedded model, at layer 11, the strongest direction in which the two answers to a question differ is
# whether they are *right*, of cities and of animals. Contrast PCA finds it without a label: .88 [.81, .94] of unseen city questions are
# decided rightly, .90 [.81, .98] of those about animals, .67 [.56, .77] of translations. A probe with labels reaches
# .92, .94 and .77, random directions .62, .66 and .51.
#
# What it does not do is beat the model itself. The more probable answer is right for .83, .81 and .73 of the same
# questions, and every difference from contrast PCA lies within the intervals. Burns et al. report that CCS is 4
# points better than zero-shot answers on average (six models, ten data sets); with 48 to 72 test pairs a subject a
# difference of that size cannot be seen here, in either direction.
#
# CCS is the less reliable of the two: .90 on cities and .94 on animals at this layer, .50 on translations, and on cities
# .81 and .53 at the next two. The start decides what it finds, as the ten searches above show, and a small loss does not
# mean truth.
#
# And neither looks for truth. With a fruit after each answer both follow the fruit on every pair at every layer, also
# at layer 2, where even a probe with labels is at chance (.50). That probe still finds the answer at layers 14 to 20
# (.68 to .79). An experimenter who did not know of the banana would have reported a consistent,
# confident, unsupervised discovery. Which features of *your* data are as consistent as truth?
#
# | | published | here |
# |---|---|---|
# | CCS against zero-shot answers | +4 points on average, [Burns et al. 2022](https://arxiv.org/abs/2212.03827), abstract | +7, +13 and −23 points (cities, animals, translations) |
# | a planted word captures CCS | shown, with the word in the question: [Farquhar et al. 2023](https://arxiv.org/abs/2312.10029) | CCS and contrast PCA follow it on every test pair |
#
# **Try it yourself.** Put the fruit into the *question*, as Farquhar et al. do: does it still work on this model? Or
# fit on cities and ask about animals: is it the same direction?
