# %% [markdown]
# # Dose and price
#
# **How much does a push along a direction do, what does it cost, and would any other direction have done as much?**
#
# After this lesson you can
#
# * measure a dose-response curve, and read its slope where the model is still itself;
# * say what steering costs, in nats of the next-token distribution;
# * put a band of random directions of the same norm around an effect;
# * look behind a mean, at the examples that move the wrong way.
#
# Time: 65 minutes with the exercises. The machine needs about three minutes on two CPU cores, and 2 GB of memory.

# %%
import re
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from utils.activations import last_token_activations
from utils.course import open_lesson, sample_size
from utils.datasets import BLAME, PRAISE, concept_pairs, concept_words, load_review_pairs
from utils.likelihood import word_tokens
from utils.metrics import mean_interval
from utils.models import load_language_model, tokenize
from utils.organisms.evaluate import neutral_prose
from utils.plots import continuations, dose_response_curves, score_histogram, tradeoff
from utils.prefixes import Prefixes
from utils.splits import group_split
from utils.steering import adding, steering_report, typical_norm

check, use_reference = open_lesson("ch4_steering/part2_dose_and_price")
model = load_language_model()

# %% [markdown]
# ## What is pushed, and what is read
#
# A direction of praise, as in part 1: the mean difference over pairs of reviews that say whether they like a thing.
# Where to push is chosen on other things, and the report is about others again: reviews of both signs that *imply*
# an opinion, with no word that says it.

# %%
said, implied = (load_review_pairs(kind) for kind in ("said", "implied"))
parts = group_split([each.group for each in said], (0.5, 0.2, 0.3), seed=0)
things = [{said[i].group for i in part} for part in parts]
fitting = [each for each in said if each.group in things[0]][:: sample_size(1, 4)]
choosing, reporting = ([each for each in implied if each.group in group] for group in things[1:])
choosing, reporting = choosing[:: sample_size(2, 8)], reporting[:: sample_size(1, 6)]
STEP = max(1, model.cfg.n_layers // 6)
LAYERS = list(range(2 * STEP - 1, model.cfg.n_layers, STEP))[:: sample_size(1, 2)]
positive, negative = (
    last_token_activations(model, tokenize(model, [getattr(each, side) for each in fitting]), LAYERS)
    for side in ("positive", "negative")
)
stream = torch.cat([positive, negative])
print(f"{len(fitting)} pairs to fit on, {len(choosing)} to choose with, {len(reporting)} to report")

# %% [markdown]
# Directions are compared at one length. A coefficient of 1 is the stream's median norm at that layer, so .25 is a
# push a quarter as long as the stream itself.

# %%
norms = {layer: typical_norm(stream[:, at]) for at, layer in enumerate(LAYERS)}


def unit_of_stream(direction: Float[Tensor, "d_model"], layer: int) -> Float[Tensor, "d_model"]:
    """The direction, as long as the stream is at this layer."""
    return norms[layer] * direction / direction.norm()


praise = {
    layer: unit_of_stream((positive - negative)[:, at].mean(dim=0), layer) for at, layer in enumerate(LAYERS)
}
print({layer: round(norm, 1) for layer, norm in norms.items()})

# %% [markdown]
# The metric: after each review comes "Overall, it was", and we read by how many nats words of praise are more
# probable than words of blame as the next one. The push acts on these four tokens. What stands before them does not
# change and is computed once (`Prefixes`).

# %%
ENDING = model.tokenizer(" Overall, it was", add_special_tokens=False)["input_ids"]
PRAISED, BLAMED = (word_tokens(model.tokenizer, words) for words in (PRAISE, BLAME))


def pushing(layer: int, push: Float[Tensor, "d_model"]):
    """The hook that adds the push after this block."""
    return [(f"blocks.{layer}.hook_out", lambda resid, hook: resid + push)]


def praised(asked: Prefixes, hooks=()) -> Float[Tensor, "text"]:
    """log p(a word of praise) − log p(a word of blame), in nats."""
    last = asked.logits(ENDING, hooks, last=1)[:, 0]
    return last[:, PRAISED].logsumexp(dim=1) - last[:, BLAMED].logsumexp(dim=1)


# %%
def asked_of(pairs) -> Prefixes:
    """The positive texts of the pairs, then the negative ones."""
    texts = [getattr(each, side) for side in ("positive", "negative") for each in pairs]
    return Prefixes(model, tokenize(model, texts))


asked = {"choose": asked_of(choosing), "report": asked_of(reporting)}
is_positive = np.repeat([True, False], len(reporting))
groups = np.tile([each.group for each in reporting], 2)
before = praised(asked["report"])
gap = mean_interval((before[is_positive] - before[~is_positive]), groups=groups[is_positive])
print(f"unsteered, after the positive text of a pair minus after its negative one: {gap} nats")

# %% [markdown]
# ## Exercise · `dose_response`
#
# difficulty ●●○○○ · importance ●●●●● · 12 minutes
#
# `effect(coefficient)` runs the model with the direction added `coefficient` times, and returns the metric of
# every example. Take the mean over examples at each coefficient, in the order in which they are given: the
# dose-response curve. Then its slope. Far out the curve bends, since it saturates or the model breaks. So the
# slope is taken around zero, as a central difference, with the smallest $c > 0$ for which both $c$ and $-c$ are
# among the coefficients:
#
# $$ \frac{m(c) - m(-c)}{2c}, $$
#
# where $m$ is the mean over examples. What a push does in both directions alike, such as harm, drops out of it.
# Every call runs the model on all examples: call `effect` once for each coefficient, and for nothing else. Without
# a symmetric pair there is no slope: `ValueError`, before anything is run. Zero is no pair, and need not be among
# the coefficients.
#
# <details><summary>Hint</summary>
#
# `[c for c in coefficients if c > 0 and -c in coefficients]` are the candidates. `coefficients.index(c)` says
# which of the means belongs to `c`.
#
# </details>


# %%
def dose_response(
    effect: Callable[[float], Float[Tensor, "example"]], coefficients: list[float]
) -> tuple[Float[Tensor, "coefficient"], float]:
    """(means, slope): the mean over examples at each coefficient, and (m(c) − m(−c)) / 2c at the smallest pair.

    effect: from a coefficient to the metric of every example; expensive, called once for each coefficient.
    coefficients: in any order, without repetitions; means come in the same order.
    Raises ValueError, before `effect` is called, where no c > 0 is there with both signs.
    """
    ### BEGIN SOLUTION
    pairs = [c for c in coefficients if c > 0 and -c in coefficients]
    if not pairs:
        raise ValueError(f"{coefficients} hold no symmetric pair around zero")
    means = torch.stack([effect(c).mean() for c in coefficients])
    c = min(pairs)
    rise = means[coefficients.index(c)] - means[coefficients.index(-c)]
    return means, rise.item() / (2 * c)
    ### END SOLUTION


check(dose_response)

# %% [markdown]
# A curve a layer, on the reviews for choosing. **Expect** it to rise, to be near a straight line through the middle, and
# to bend or fall where the push is as long as the stream.

# %%
COEFFICIENTS = [-1.0, -0.5, -0.25, -0.1, 0.0, 0.1, 0.25, 0.5, 1.0][:: sample_size(1, 2)]


def response(
    direction: Float[Tensor, "d_model"], layer: int, part: str
) -> Callable[[float], Float[Tensor, "text"]]:
    """From a coefficient to each text's metric."""
    return lambda coefficient: praised(asked[part], pushing(layer, coefficient * direction))


curves, slopes = [], {}
for layer in tqdm(LAYERS, desc="layers", leave=False):
    means, slopes[layer] = dose_response(response(praise[layer], layer, "choose"), COEFFICIENTS)
    curves.append(means)
print("slope by layer, nats a coefficient of 1:", {layer: round(slope, 2) for layer, slope in slopes.items()})

# %% [markdown]
# ## Exercise · `random_direction_band`
#
# difficulty ●●●○○ · importance ●●●●● · 15 minutes
#
# Any push of that length does something. What a direction does counts only beyond what `n` random ones of the same
# norm do. Draw each of them isotropically, so that no way in the space is preferred: independent standard normal
# numbers, divided by their own norm, times the norm of `like`. Call `effect` once on each, and return the smallest
# and the largest effect. All randomness comes from `generator`. No direction at all (`n` < 1) or a zero `like`:
# `ValueError`, before anything is run.
#
# <details><summary>Hint</summary>
#
# `torch.randn(like.shape, generator=generator, dtype=like.dtype)`. Its norm is near √d_model, but not equal to it:
# divide.
#
# </details>


# %%
def random_direction_band(
    effect: Callable[[Float[Tensor, "d_model"]], float],
    like: Float[Tensor, "d_model"],
    n: int,
    generator: torch.Generator,
) -> tuple[float, float]:
    """(low, high): the smallest and the largest effect of n random directions with the norm of `like`.

    effect: from a direction, of like's shape, dtype and norm, to a number; called n times, once a direction.
    generator: the only source of randomness; it moves on.
    Raises ValueError, before `effect` is called, for n < 1 and for a zero `like`.
    """
    ### BEGIN SOLUTION
    norm = like.norm()
    if n < 1 or norm == 0:
        raise ValueError(f"{n} directions of norm {norm}: at least one is needed, and a norm above zero")
    effects = []
    for _ in range(n):
        drawn = torch.randn(like.shape, generator=generator, dtype=like.dtype)
        effects.append(effect(drawn / drawn.norm() * norm))
    return min(effects), max(effects)
    ### END SOLUTION


check(random_direction_band)

# %% [markdown]
# The same for random directions of the same norm. **Expect** a band around the unsteered value at small coefficients,
# and no longer a narrow one at large ones: far out, every push does something.

# %%
generator = torch.Generator().manual_seed(0)
low, high = torch.zeros(2, len(LAYERS), len(COEFFICIENTS))
for row, layer in enumerate(tqdm(LAYERS, desc="random directions", leave=False)):
    for column, coefficient in enumerate(COEFFICIENTS):
        low[row, column], high[row, column] = random_direction_band(
            lambda direction, layer=layer, coefficient=coefficient: (
                response(direction, layer, "choose")(coefficient).mean().item()
            ),
            praise[layer],
            sample_size(4, 2) if coefficient else 1,
            generator,
        )

# %%
best = max(LAYERS, key=lambda layer: slopes[layer])
dose_response_curves(
    COEFFICIENTS,
    {"praise": torch.stack(curves)},
    bands={"random directions": (low, high)},
    layers=LAYERS,
    start=LAYERS.index(best),
    title="Praise pushed into reviews that imply an opinion",
    xlabel="coefficient (1: as long as the stream)",
    ylabel="praise − blame, nats",
)

# %% [markdown]
# Move the slider. At layer 9 the push does hardly more than random ones, until it is as long as the stream. From layer 14
# on the curve is steep (slopes of 12, 20, 21 and 13 nats), and leaves the random band at the smallest dose. It is not
# straight: at layer 24 a coefficient of +1 raises praise by 16 nats, −1 lowers it by 6.

# %% [markdown]
# ## Exercise · `steerability`
#
# difficulty ●○○○○ · importance ●●●●○ · 8 minutes
#
# A mean slope hides who moved. Tan et al. (2024) look at the slope of every single example, and find it highly
# variable: some examples move against the push, although the mean goes with it. Return the mean slope, and the
# fraction of examples that move the wrong way, that is with a slope below 0. A slope of exactly 0 is not the wrong
# way. No example, or a slope that is NaN or infinite: `ValueError`.
#
# <details><summary>Hint</summary>
#
# The mean of a Boolean tensor needs `.float()` first. `slopes.isfinite()` is false for NaN and for both
# infinities.
#
# </details>


# %%
def steerability(per_example_slopes: Float[Tensor, "example"]) -> tuple[float, float]:
    """(mean, fraction_wrong_way): the mean slope, and the fraction of examples whose slope is below 0.

    per_example_slopes: change of the metric per unit of the coefficient, positive where it is the one intended.
    Raises ValueError where there is no example, and for slopes that are NaN or infinite.
    Source: Tan et al. 2024, arXiv:2407.12404, who call such examples anti-steerable.
    """
    ### BEGIN SOLUTION
    if len(per_example_slopes) == 0 or not per_example_slopes.isfinite().all():
        raise ValueError("needs at least one slope, and all of them finite")
    return per_example_slopes.mean().item(), (per_example_slopes < 0).float().mean().item()
    ### END SOLUTION


check(steerability)

# %% [markdown]
# On the reviews for the report every text has a slope of its own: the rise from −.1 to +.1, divided by .2. Twenty random
# directions say what a mean slope is worth. First at an early layer. **Expect** a mean above zero, and texts that go the
# wrong way all the same.

# %%
DOSE = 0.1


def slopes_of(direction: Float[Tensor, "d_model"], layer: int) -> Float[Tensor, "text"]:
    """Each reported text's rise a coefficient of 1, from −DOSE to DOSE."""
    respond = response(direction, layer, "report")
    return (respond(DOSE) - respond(-DOSE)) / (2 * DOSE)


# %%
def histogram(layer: int):
    """Every text's slope at this layer; prints the mean beside the random ones."""
    moved = slopes_of(praise[layer], layer)
    mean, wrong = steerability(moved)
    low, high = random_direction_band(
        lambda direction: slopes_of(direction, layer).mean().item(),
        praise[layer],
        sample_size(20, 2),
        generator,
    )
    interval = mean_interval(moved, groups=groups)
    print(
        f"layer {layer}: mean {mean:.2f} [{interval.low:.2f}, {interval.high:.2f}], random {low:.2f} … {high:.2f}"
    )
    print(f"{wrong:.2f} of {len(moved)} texts go the wrong way")
    return score_histogram(
        moved,
        is_positive,
        title=f"How far each review moves when praise is pushed after block {layer}",
        names=("negative reviews", "positive reviews"),
        threshold=0.0,
        xlabel="slope: nats a coefficient of 1",
        bins=16,
    )


# %%
histogram(LAYERS[0])

# %% [markdown]
# The mean is 1.1 [.8, 1.3], an interval far from zero; and nothing: twenty random directions have −2.0 to 1.7. Of the
# texts .19 go the wrong way. A mean and its interval over *texts* say nothing about *directions*.
#
# And at the layer that was chosen:

# %%
histogram(best)

# %% [markdown]
# Here the mean slope is 22.1 [21.3, 22.8], beside −5.2 to 5.8 at random, and no text goes the wrong way, whether it praises
# or blames.

# %% [markdown]
# ## Exercise · `kl_divergence`
#
# difficulty ●●●○○ · importance ●●●●● · 15 minutes
#
# What does a push cost? One price is how far it moves the distribution of the next token, also where nobody asked
# for a change:
#
# $$ \mathrm{KL}(p \,\Vert\, q) = \sum_t p_t \, (\log p_t - \log q_t), $$
#
# with $p$ the base model and $q$ the steered one: by how many nats the steered model predicts the base model's
# tokens worse than the base model does. Compute it from log-probabilities. A probability that is too small for a
# float is rounded to 0, its logarithm is not.
#
# A logit of −∞ is a token that cannot come. Where the *base* model excludes it, it adds nothing: $0 \log 0 = 0$.
# Where only the *steered* model does, the divergence is infinite. A NaN, from a model pushed to pieces, has to
# stay visible: its text's divergence is NaN, not 0. Logits of different shape: `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# `logits.log_softmax(dim=-1)` subtracts the log-sum-exp without ever leaving logarithms.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# 0 · ∞ is NaN. `terms.masked_fill(p == 0, 0)` mends it, and leaves a NaN in `p` alone;
# `torch.where(p > 0, terms, 0)` does not, as NaN > 0 is false.
#
# </details>


# %%
def kl_divergence(
    logits_base: Float[Tensor, "batch d_vocab"], logits_steered: Float[Tensor, "batch d_vocab"]
) -> Float[Tensor, "batch"]:
    """KL(base ‖ steered) of the next-token distributions, in nats, one for each text; in the logits' precision.

    A token without base probability adds nothing; one that only the steered model excludes (−inf) makes it inf.
    A NaN logit makes its text's divergence NaN.
    Raises ValueError for logits of different shape.
    """
    ### BEGIN SOLUTION
    if logits_base.shape != logits_steered.shape:
        raise ValueError(f"different shapes: {tuple(logits_base.shape)} and {tuple(logits_steered.shape)}")
    log_p, log_q = logits_base.log_softmax(dim=-1), logits_steered.log_softmax(dim=-1)
    p = log_p.exp()
    return (p * (log_p - log_q)).masked_fill(p == 0, 0).sum(dim=-1)
    ### END SOLUTION


check(kl_divergence)

# %% [markdown]
# ## The price
#
# The same push at every token but the first of prose that has nothing to do with praise. **Expect** the price to grow
# with about the square of the dose: in its minimum, at zero, a divergence has no slope.

# %%
prose = neutral_prose(sample_size(4, 2), model.tokenizer)[:, :64]
begun, rest = Prefixes(model, prose[:, :1].tolist()), prose[:, 1:]
unsteered = begun.logits(rest).flatten(0, 1)


def price(direction: Float[Tensor, "d_model"], layer: int, coefficient: float) -> float:
    """The mean KL(base ‖ steered) a position of neutral prose, in nats."""
    steered = begun.logits(rest, pushing(layer, coefficient * direction)).flatten(0, 1)
    return kl_divergence(unsteered, steered).mean().item()


doses = [c for c in COEFFICIENTS if c > 0]
drawn = torch.randn(2, model.cfg.d_model, generator=generator)
conditions = {"praise": praise[best], "blame": -praise[best]}
conditions |= {f"random {i + 1}": unit_of_stream(row, best) for i, row in enumerate(drawn)}
unpushed = before.mean().item()
points = {}
for name, direction in tqdm(conditions.items(), desc="price", leave=False):
    effects = [response(direction, best, "report")(dose).mean().item() - unpushed for dose in doses]
    points[name] = ([price(direction, best, dose) for dose in doses], [abs(effect) for effect in effects])
for name in ("praise", "random 1"):
    print(
        f"{name:<9}", *(f"{dose:g}: {kl:.3f} nats" for dose, kl in zip(doses, points[name][0], strict=True))
    )

# %%
tradeoff(
    points,
    labels={name: [f"{dose:g}" for dose in doses] for name in ("praise", "blame")},
    title=f"What a push after block {best} does, and what it costs",
    xlabel="KL(base ‖ steered) on neutral prose, nats a position",
    ylabel="size of the effect, nats",
)

# %% [markdown]
# At .25 praise costs .23 nats a position, a random direction of that norm .20: nearly the price of *any* push. What it
# buys is not: 7.2 nats for praise, 3.8 for blame, 1.4 at most for the random ones. Doubling the dose from .25 to .5
# costs four times as much and brings less than twice the effect.

# %% [markdown]
# ## A concept of your choice
#
# Set `CONCEPT` to one of sea, war, cooking, winter or formal, and run on from here. The direction comes from pairs of sentences,
# one neutral and one seen through the concept. The metric: after a neutral sentence and "It reminded them of the", the
# log-probability that one of the concept's words comes next.

# %%
CONCEPT, DOSES = "sea", [0.25, 0.5, 1.0]
CONCEPT_ENDING = model.tokenizer(" It reminded them of the", add_special_tokens=False)["input_ids"]
pairs = concept_pairs(CONCEPT)
fit_pairs, choose_pairs, report_pairs = pairs[:20], pairs[20:28], pairs[28:]
about, neutral = (
    last_token_activations(model, tokenize(model, [getattr(each, side) for each in fit_pairs]), LAYERS)
    for side in ("about", "neutral")
)
concept = {
    layer: unit_of_stream((about - neutral)[:, at].mean(dim=0), layer) for at, layer in enumerate(LAYERS)
}
WORD_IDS = word_tokens(model.tokenizer, concept_words(CONCEPT))


def evoked(asked: Prefixes, hooks=()) -> Float[Tensor, "text"]:
    """log p(a word of the concept) as the next one, in nats."""
    return asked.logits(CONCEPT_ENDING, hooks, last=1)[:, 0].log_softmax(dim=1)[:, WORD_IDS].logsumexp(dim=1)


# %%
to_choose, to_report = (
    Prefixes(model, tokenize(model, [each.neutral for each in part])) for part in (choose_pairs, report_pairs)
)


def rise(asked: Prefixes, direction: Float[Tensor, "d_model"], layer: int) -> Float[Tensor, "text"]:
    """Each text's slope, as above."""
    up, down = (evoked(asked, pushing(layer, sign * DOSE * direction)) for sign in (1, -1))
    return (up - down) / (2 * DOSE)


concept_layer = max(LAYERS, key=lambda layer: rise(to_choose, concept[layer], layer).mean().item())
moved = rise(to_report, concept[concept_layer], concept_layer)
mean, wrong = steerability(moved)
band = random_direction_band(
    lambda direction: rise(to_report, direction, concept_layer).mean().item(),
    concept[concept_layer],
    sample_size(20, 2),
    generator,
)
print(f"{CONCEPT}, layer {concept_layer}: mean slope {mean_interval(moved)}, the wrong way {wrong:.2f}")
print(f"random {band[0]:.2f} … {band[1]:.2f}")

# %% [markdown]
# For "sea" the slope is 27.9 [26.9, 28.9] nats at layer 24, beside −5.7 to 7.3 at random, and all texts move with it.

# %% [markdown]
# And what does the model *write*? Greedy continuations, the concept added at every token, at the layer that moves the
# next word most and at an earlier one. **Expect** a dose at which the concept shows and the language holds, and one
# beyond it at which words repeat.

# %%
PROMPTS = [
    f"Yesterday we went to the {place}, and"
    for place in ("cinema", "restaurant", "office", "museum", "hospital")
]
tokens = torch.tensor(tokenize(model, PROMPTS))
words = set(concept_words(CONCEPT))


def written(conditions: list[tuple[int, float]]) -> list[list[str]]:
    """What follows each prompt after a push at a (layer, dose): all in one batch, which costs little more than one."""
    rows = [(layer, dose) for layer, dose in conditions for _ in PROMPTS]
    with ExitStack() as stack:
        for layer in {layer for layer, _ in conditions}:
            doses = torch.tensor([dose if at == layer else 0.0 for at, dose in rows])
            stack.enter_context(adding(model, layer, concept[layer], doses))
        whole = model.generate(
            tokens.repeat(len(conditions), 1),
            max_new_tokens=sample_size(24, 4),
            do_sample=False,
            verbose=False,
        )
    found = model.tokenizer.batch_decode(whole[:, tokens.shape[1] :], skip_special_tokens=True)
    return [found[i : i + len(PROMPTS)] for i in range(0, len(found), len(PROMPTS))]


# %%
EARLIER = LAYERS[len(LAYERS) // 3]
conditions = [(concept_layer, 0.0)] + [(layer, dose) for layer in (EARLIER, concept_layer) for dose in DOSES]
texts = {
    f"{layer}: {dose:g}" if dose else "0": found
    for (layer, dose), found in zip(conditions, written(conditions), strict=True)
}
for name, found in texts.items():
    shown = [words & set(re.findall("[a-z]+", text.lower())) for text in found]
    print(
        f"{name:<10} {sum(map(bool, shown))} of {len(shown)} with a word of the concept", *set().union(*shown)
    )

# %%
continuations(texts, prompts=PROMPTS, title=f"{CONCEPT.capitalize()}, pushed in (layer: coefficient)")

# %% [markdown]
# At layer 14 with .5 three of five texts have a word of the list, and whole sentences go to sea. At 1 the language is
# gone: its three hits are the "pier" of "pier'd". At layer 24, where the next word moves most, no text has a word of
# the list; and yet there are a crew, a giant squid and Captain James Cook. A list counts what its author thought of. Look
# at texts, not only at counts; and five texts are five texts.
#
# `steering_report` puts all measures of one push side by side.

# %%
dose = DOSES[1]
report = steering_report(
    model,
    lambda: adding(model, EARLIER, concept[EARLIER], dose),
    lambda: evoked(to_report),
    tokens.tolist(),
    prose.tolist(),
    max_new_tokens=sample_size(16, 4),
)
print(f"{CONCEPT}, layer {EARLIER}, coefficient {dose:g}\n{report}")

# %% [markdown]
# ## What was shown, and what was not
#
# | | here (SmolLM2-135M) | floor | published |
# |---|---|---|---|
# | praise pushed at layer 24, reviews that imply: mean slope, nats | 22.1 [21.3, 22.8], wrong way .00 | 20 random: −5.2 … 5.8 | |
# | … at layer 9 | 1.1 [.8, 1.3], wrong way .19 | 20 random: −2.0 … 1.7 | "highly variable across different inputs": [Tan et al. 2024](https://arxiv.org/abs/2407.12404) |
# | price of .25 at layer 24, KL on neutral prose, nats | .23 | random .20 | |
# | "sea" at layer 24: mean slope, nats | 27.9 [26.9, 28.9] | 20 random: −5.7 … 7.3 | |
# | texts with a word of the sea: layer 14 at .5 / layer 24 | 3 of 5 / 0 of 5 | unsteered 0 of 5 | |
# | "sea" at layer 14, .5: perplexity of neutral prose | 54.8 | unsteered 28.8 | |
#
# * A dose-response curve is read around zero, and beside a band of random directions of the same norm.
# * Look at every example: a mean over texts can be significant, and no more than any direction does.
# * The layer where a push moves a word's probability most need not be the one at which such words get written.
#
# **Try it yourself.** Another `CONCEPT`: is "formal", a register and not a topic, steered as easily? Does the same layer write
# best?
