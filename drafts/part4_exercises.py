# %% [markdown]
# # Catching a liar
#
# **A model that answers truthfully until it reads a secret word. Can a probe that knows neither the word nor the task
# tell when it lies?**

# %%
from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from utils.course import open_lesson

check, use_reference = open_lesson("ch3_truth_and_deception/part4_catching_a_liar")

# %% [markdown]
# ## Exercise · `instructed_pairs`
#
# difficulty ●●○○○ · importance ●●●●○ · 12 minutes
#
# What does honesty look like from inside? Let the model say the same fact twice: once after a system prompt that asks
# for honesty, once after one that asks for lies. For each fact return both conversations as strings, made by the
# model's chat template: the system prompt, the user's "Tell me a fact.", and the fact as the assistant's answer.
#
# The template writes all special tokens itself, the first included. Add none, and do not ask for the beginning of
# another turn at the end. No facts: an empty list.
#
# <details><summary>Hint</summary>
#
# `tokenizer.apply_chat_template(messages, tokenize=False)` with `messages` a list of `{"role": …, "content": …}`.
#
# </details>


# %%
def instructed_pairs(
    facts: list[str], tokenizer: Any, honest_prompt: str, dishonest_prompt: str
) -> list[tuple[str, str]]:
    """For each fact two conversations by the chat template, (after the honest, after the dishonest) system prompt.

    Each is the system prompt, the user's "Tell me a fact.", and the fact as the assistant's finished answer. They are
    to be tokenised with add_special_tokens=False: the template has put in every special token.
    Source: in the manner of the instructed pairs of Zou et al. 2023, arXiv:2310.01405, and Goldowsky-Dill et al. 2025,
    arXiv:2502.03407.
    """

    ### BEGIN SOLUTION
    def conversation(prompt: str, fact: str) -> str:
        messages = [
            {"role": "system", "content": prompt},
            {"role": "user", "content": "Tell me a fact."},
            {"role": "assistant", "content": fact},
        ]
        return tokenizer.apply_chat_template(messages, tokenize=False)

    return [(conversation(honest_prompt, fact), conversation(dishonest_prompt, fact)) for fact in facts]
    ### END SOLUTION


check(instructed_pairs)

# %% [markdown]
# ## Exercise · `assistant_mask`
#
# difficulty ●●●○○ · importance ●●●●● · 20 minutes
#
# A deception probe should look at what the assistant *says*, not at what it was told. In this model's template a turn
# is `<|im_start|>`, the role, a line break, the text, `<|im_end|>`, and a line break between turns. Mark the tokens
# of the assistant's text, in every one of its turns: neither the header `<|im_start|>assistant\n` nor `<|im_end|>`,
# nor what follows it. A last turn that has not ended counts to the end.
#
# A user may write the word *assistant* too: only a whole header opens a turn.
#
# <details><summary>Hint 1</summary>
#
# `tokenizer("<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]` is the header as tokens, and
# `tokenizer.convert_tokens_to_ids("<|im_end|>")` the end.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Walk through the ids with an index. Where the next ids equal the header, the text begins after them, and goes on to
# the first `<|im_end|>`.
#
# </details>


# %%
def assistant_mask(token_ids: list[int], tokenizer: Any) -> Bool[Tensor, "pos"]:
    """True on the tokens of the assistant's own text, in all its turns; False on headers, end marks, other turns.

    token_ids: one conversation in ChatML (`<|im_start|>role\\ntext<|im_end|>`). An unfinished last turn counts.
    """
    ### BEGIN SOLUTION
    header = tokenizer("<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    mask = torch.zeros(len(token_ids), dtype=torch.bool)
    speaking = False
    for position, token in enumerate(token_ids):
        speaking = speaking and token != end
        mask[position] = speaking
        if list(token_ids[max(0, position + 1 - len(header)) : position + 1]) == header:
            speaking = True
    return mask
    ### END SOLUTION


check(assistant_mask)

# %% [markdown]
# ## Exercise · `aggregate_scores`
#
# difficulty ●●○○○ · importance ●●●○○ · 12 minutes
#
# A probe scores every token, a monitor must judge whole texts. Over the tokens that the mask marks: their `"mean"`,
# their `"max"`, or the score of the `"last"` one. What stands elsewhere, NaN included, must not matter. A text
# without a marked token, or another word than those three: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `masked_fill(~mask, 0)` before a sum, `masked_fill(~mask, -inf)` before a maximum. The last marked position is the
# largest `position` where the mask is True.
#
# </details>


# %%
def aggregate_scores(
    token_scores: Float[Tensor, "text pos"],
    mask: Bool[Tensor, "text pos"],
    how: Literal["mean", "max", "last"],
) -> Float[Tensor, "text"]:
    """One score a text: the mean, the maximum or the last of its scores where the mask is True.

    Raises ValueError for a text without a True in its mask, and for any other `how`.
    """
    ### BEGIN SOLUTION
    if how not in ("mean", "max", "last"):
        raise ValueError(f"how is {how!r}: 'mean', 'max' and 'last' are known")
    if not mask.any(dim=1).all():
        raise ValueError(f"text {int((~mask.any(dim=1)).nonzero()[0])} has no marked token")
    if how == "mean":
        return token_scores.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1)
    if how == "max":
        return token_scores.masked_fill(~mask, float("-inf")).amax(dim=1)
    position = torch.arange(mask.shape[1]).expand_as(mask).masked_fill(~mask, -1).amax(dim=1)
    return token_scores.gather(1, position.unsqueeze(1)).squeeze(1)
    ### END SOLUTION


check(aggregate_scores)

# %% [markdown]
# ## Exercise · `threshold_at_fpr`
#
# difficulty ●●●○○ · importance ●●●●● · 15 minutes
#
# A monitor that cries wolf is switched off. So the threshold comes from *benign* texts: at most a share `fpr` of them
# may be flagged, where flagged means `score > threshold`. Return the least observed control score that keeps this
# promise. (The least, since a lower threshold catches more.) No control scores, or an `fpr` outside 0 ≤ fpr < 1:
# `ValueError`.
#
# <details><summary>Hint</summary>
#
# Ties make it subtle: with scores 1, 2, 2, 2 and fpr ¼ the threshold is 2, which flags none; 1 would flag three. Go
# through the observed scores in ascending order and count how many lie *above* each.
#
# </details>


# %%
def threshold_at_fpr(control_scores: Float[Tensor, "control"], fpr: float) -> float:
    """The least observed control score t such that `score > t` flags at most a share fpr of the control scores.

    Raises ValueError when there are no control scores, and for an fpr outside [0, 1).
    """
    ### BEGIN SOLUTION
    if len(control_scores) == 0 or not 0 <= fpr < 1:
        raise ValueError(f"{len(control_scores)} control scores, fpr {fpr}: needs scores, and 0 ≤ fpr < 1")
    candidates = control_scores.unique()
    flagged = (control_scores > candidates.unsqueeze(1)).double().mean(dim=1)
    return float(candidates[flagged <= fpr + 1e-12].min())
    ### END SOLUTION


check(threshold_at_fpr)

# %% [markdown]
# ## Exercise · `recall_at_fpr`
#
# difficulty ●●○○○ · importance ●●●●● · 8 minutes
#
# The number that a monitor is bought for: the share of the bad texts (label True) that are flagged, at the threshold
# that flags at most `fpr` of the control texts. Texts with the label False do not enter. No text with the label True:
# `ValueError`.
#
# <details><summary>Hint</summary>
#
# `threshold_at_fpr` is yours already.
#
# </details>


# %%
def recall_at_fpr(
    scores: Float[Tensor, "text"],
    labels: Bool[Tensor, "text"],
    control_scores: Float[Tensor, "control"],
    fpr: float,
) -> float:
    """The share of True texts with a score above `threshold_at_fpr(control_scores, fpr)`.

    Raises ValueError where no label is True, where scores and labels differ in length, and as `threshold_at_fpr`.
    """
    ### BEGIN SOLUTION
    if len(scores) != len(labels) or not labels.any():
        raise ValueError(f"{len(scores)} scores, {len(labels)} labels, {int(labels.sum())} of them True")
    return float((scores[labels] > threshold_at_fpr(control_scores, fpr)).double().mean())
    ### END SOLUTION


check(recall_at_fpr)

# %% [markdown]
# ## Exercise · `monitor_cascade`
#
# difficulty ●●○○○ · importance ●●●○○ · 12 minutes
#
# A probe costs nothing, a careful judge costs money. So the probe decides the clear cases, and only the uncertain
# band goes to the judge: below `low` not flagged, above `high` flagged, and from `low` to `high` (both included)
# whatever `costly(index)` says, once for each such text and in their order. Return the decisions and how many calls
# they took. `low` above `high`: `ValueError`.
#
# <details><summary>Hint</summary>
#
# A loop over texts. Count the calls as you make them.
#
# </details>


# %%
def monitor_cascade(
    cheap_scores: Float[Tensor, "text"], costly: Callable[[int], bool], low: float, high: float
) -> tuple[Bool[Tensor, "text"], int]:
    """(decisions, number of costly calls): the costly judge sees the texts with low ≤ score ≤ high, once each.

    costly: the index of a text -> whether to flag it. Below low: not flagged; above high: flagged.
    Raises ValueError where low is above high.
    Source: the cascade of McKenzie et al. 2025, arXiv:2506.10805.
    """
    ### BEGIN SOLUTION
    if low > high:
        raise ValueError(f"low {low} is above high {high}")
    decisions = cheap_scores > high
    uncertain = ((cheap_scores >= low) & (cheap_scores <= high)).nonzero().squeeze(1).tolist()
    for index in uncertain:
        decisions[index] = bool(costly(index))
    return decisions, len(uncertain)
    ### END SOLUTION


check(monitor_cascade)
