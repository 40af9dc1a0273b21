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
# Time: to be measured.

# %%
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from utils.course import open_lesson

check, use_reference = open_lesson("ch4_steering/part2_dose_and_price")

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
