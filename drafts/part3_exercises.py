# %% [markdown]
# # Does the model use it?
#
# **A probe reads truth at some layer. If we move the stream along the probe's direction, does the model change its
# mind?**

# %%
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from utils.course import open_lesson

check, use_reference = open_lesson("ch3_truth_and_deception/part3_does_the_model_use_it")

# %% [markdown]
# ## Exercise · `add_direction_hook`
#
# difficulty ●●●○○ · importance ●●●●● · 20 minutes
#
# A hook is called with the stream whenever the model passes its place, and what it returns replaces the stream. Make
# one that adds `coefficient * direction`. Where? With `positions=None` everywhere, on every pass. With a list of
# positions: there, on the *first* pass, and nowhere afterwards. When a model generates with a cache, its first pass
# has the whole prompt (`"batch pos d_model"`), and each later one only the newest token (`"batch 1 d_model"`): an
# absolute position means something else there. Negative positions count from the end of the first pass.
#
# The hook returns a new tensor. A position that the first pass does not have: `ValueError`. A hook serves one run:
# for another one make another.
#
# <details><summary>Hint 1</summary>
#
# A function inside your function remembers: `first = True` outside, `nonlocal first` inside.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `steered[:, positions] += …` does what you mean, also where a position occurs twice; a loop over positions would add
# it twice.
#
# </details>


# %%
def add_direction_hook(
    direction: Float[Tensor, "d_model"], coefficient: float, positions: list[int] | None = None
) -> Callable[..., Float[Tensor, "batch pos d_model"]]:
    """hook(resid, hook): resid + coefficient · direction, at the positions of the first pass, or everywhere on each.

    positions: of the first pass, negative ones from its end, each counted once; later passes are then left as they
    are. None: every position of every pass. The hook returns a new tensor and serves one run.
    The hook raises ValueError for a position that the first pass does not have.
    """
    ### BEGIN SOLUTION
    first = True

    def hook(resid, hook):
        nonlocal first
        if positions is None:
            return resid + coefficient * direction
        steered = resid.clone()
        if first:
            n_positions = resid.shape[1]
            if any(not -n_positions <= position < n_positions for position in positions):
                raise ValueError(f"positions {positions} are not all within the {n_positions} of this pass")
            steered[:, sorted({position % n_positions for position in positions})] += coefficient * direction
        first = False
        return steered

    return hook
    ### END SOLUTION


check(add_direction_hook)

# %% [markdown]
# ## Exercise · `truth_logit_difference`
#
# difficulty ●●○○○ · importance ●●●●○ · 12 minutes
#
# The model says "true" in several ways: " true", " True", "True". Each way is a token. Take the log of the summed
# probabilities of all true tokens, minus that of all false ones: the difference of two log-sum-exps of logits (the
# softmax's normaliser drops out). It is read at the last *real* position of each text, `last`, since shorter texts
# are padded on the right. No true or no false token, one that is both, or a `last` outside the text: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `logits[torch.arange(len(logits)), last]` is "batch d_vocab". Then `[:, true_ids].logsumexp(dim=-1)`.
#
# </details>


# %%
def truth_logit_difference(
    logits: Float[Tensor, "batch pos d_vocab"],
    last: Int[Tensor, "batch"],
    true_ids: list[int],
    false_ids: list[int],
) -> Float[Tensor, "batch"]:
    """log Σ p(true tokens) − log Σ p(false tokens) at position `last` of each text, in nats; each id counts once.

    Raises ValueError for an empty list of ids, an id in both, or a position outside 0 … pos − 1.
    """
    ### BEGIN SOLUTION
    if not true_ids or not false_ids or set(true_ids) & set(false_ids):
        raise ValueError(f"true ids {true_ids} and false ids {false_ids}: neither may be empty, none in both")
    if not ((last >= 0) & (last < logits.shape[1])).all():
        raise ValueError(f"last must lie in 0 … {logits.shape[1] - 1}")
    final = logits[torch.arange(len(logits)), last]
    true, false = (final[:, sorted(set(ids))].logsumexp(dim=-1) for ids in (true_ids, false_ids))
    return true - false
    ### END SOLUTION


check(truth_logit_difference)

# %% [markdown]
# ## Exercise · `normalized_indirect_effect`
#
# difficulty ●○○○○ · importance ●●●●● · 8 minutes
#
# How much of the way did the intervention go? With `base` the mean logit difference of false statements, `target`
# that of true ones, and `intervened` that of false statements with the direction added: 0 when nothing changed, 1
# when the model treats false statements as it treats true ones, more when it overshoots, negative when it went the
# wrong way. Where `target` equals `base` there is no way to go: `ValueError`.
#
# <details><summary>Hint</summary>
#
# A fraction of the distance from `base` to `target`.
#
# </details>


# %%
def normalized_indirect_effect(base: float, intervened: float, target: float) -> float:
    """(intervened − base) / (target − base): 0 nothing changed, 1 false behaves as true; ValueError for target = base.

    Source: Marks & Tegmark 2023, arXiv:2310.06824, the section on causal interventions.
    """
    ### BEGIN SOLUTION
    if target == base:
        raise ValueError(f"base and target are both {base}: there is no difference to make up")
    return (intervened - base) / (target - base)
    ### END SOLUTION


check(normalized_indirect_effect)
