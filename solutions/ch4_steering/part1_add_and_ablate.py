# %% [markdown]
# # Add and ablate
#
# **A probe's direction is a vector. What does a model do when we add this vector to its stream, or take out of the
# stream whatever lies along it?**
#
# After this lesson you can
#
# * make a steering vector out of pairs of texts;
# * take a direction out of the stream, and say what is left;
# * give directions of different origin one length, in units of the stream that they are added to;
# * let a model generate while it is steered, and leave it behind as it was.
#
# Time: to be measured when the lesson is complete.

# %%
from jaxtyping import Float, Int
from torch import Tensor

from utils.course import open_lesson

check, use_reference = open_lesson("ch4_steering/part1_add_and_ablate")

# %% [markdown]
# ## Exercise · `contrastive_direction`
#
# difficulty ●○○○○ · importance ●●●●● · 8 minutes
#
# Take pairs of texts that differ in one thing: one shows a behaviour, the other does not. What both texts of a pair
# share, such as their subject, drops out of the difference of their activations. Average the differences over pairs:
#
# $$ v = \frac{1}{n} \sum_i \left( x_i^{+} - x_i^{-} \right). $$
#
# The length of $v$ is kept: added to the negative texts' activations, $v$ moves their mean onto that of the positive
# ones. Halves of different shape, or no pair at all: `ValueError`.
#
# <details><summary>Hint</summary>
#
# Subtract first, then take the mean over `dim=0`. The shapes must be compared: torch would stretch a half with a
# single row over all rows of the other.
#
# </details>


# %%
def contrastive_direction(
    acts_positive: Float[Tensor, "pair d_model"], acts_negative: Float[Tensor, "pair d_model"]
) -> Float[Tensor, "d_model"]:
    """The mean over pairs of acts_positive − acts_negative, in residual-stream units: its norm is kept.

    acts_positive, acts_negative: row i of both belongs to the same pair.
    Raises ValueError for different shapes and for no pairs.
    Source: Rimsky et al. 2023, arXiv:2312.06681 (contrastive activation addition).
    """
    ### BEGIN SOLUTION
    if acts_positive.shape != acts_negative.shape:
        raise ValueError(
            f"halves of different shape: {tuple(acts_positive.shape)}, {tuple(acts_negative.shape)}"
        )
    if len(acts_positive) == 0:
        raise ValueError("no pairs: there is no difference to average")
    return (acts_positive - acts_negative).mean(dim=0)
    ### END SOLUTION


check(contrastive_direction)

# %% [markdown]
# ## Exercise · `ablate_direction`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# To add a direction says that it *can* do something. To take it out says whether the model needs it. With $u$ the
# unit vector along `direction`, every vector of the stream loses its component along $u$ and keeps the rest:
#
# $$ x' = x - (x \cdot u)\, u. $$
#
# Afterwards nothing of the stream lies along the direction, and a second ablation changes nothing. `direction` may
# have any length, `resid` any number of dimensions before the last. A direction of zeros: `ValueError`. Return a new
# tensor.
#
# <details><summary>Hint</summary>
#
# `resid @ unit` has the shape of `resid` without its last dimension. `.unsqueeze(-1)` gives it one that `unit` can
# be multiplied with.
#
# </details>


# %%
def ablate_direction(
    resid: Float[Tensor, "... d_model"], direction: Float[Tensor, "d_model"]
) -> Float[Tensor, "... d_model"]:
    """resid without its component along direction, which may have any length but zero; a new tensor.

    Raises ValueError for a direction of zeros.
    Source: Arditi et al. 2024, arXiv:2406.11717 (directional ablation; there at every layer and position).
    """
    ### BEGIN SOLUTION
    length = direction.norm()
    if length == 0:
        raise ValueError("direction is zero: nothing lies along it")
    unit = direction / length
    return resid - (resid @ unit).unsqueeze(-1) * unit
    ### END SOLUTION


check(ablate_direction)

# %% [markdown]
# ## Exercise · `scale_to_norm`
#
# difficulty ●●○○○ · importance ●●●●○ · 10 minutes
#
# "Coefficient 4" means nothing by itself. The stream's norm differs from layer to layer, and a logistic probe's
# coefficients have another length than a difference of means. So say how long the push is *in units of the stream*:
# scale `direction` to `fraction` times the typical norm of the vectors in `resid`, all of which come from the layer
# where it will be added. Typical means the *median*: the stream at a text's first token can be many times as long as
# at all others, and would pull a mean up. For an even number of vectors it is the mean of the middle two.
#
# `resid` may have any number of dimensions before the last; all its vectors count alike. A negative `fraction` turns
# the direction round, 0 gives zeros. A direction of zeros, or no vectors: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `torch.median` takes the *lower* of the middle two. `.quantile(0.5)` takes their mean, over all dimensions at once.
#
# </details>


# %%
def scale_to_norm(
    direction: Float[Tensor, "d_model"], resid: Float[Tensor, "... d_model"], fraction: float
) -> Float[Tensor, "d_model"]:
    """direction, scaled to fraction × the median norm of the vectors in resid (an even number: mean of the middle two).

    fraction: of the stream's norm, without a unit; a negative one gives the opposite direction.
    Raises ValueError for a direction of zeros and for a resid without vectors.
    """
    ### BEGIN SOLUTION
    length = direction.norm()
    if length == 0:
        raise ValueError("direction is zero: it cannot be given a length")
    if resid.numel() == 0:
        raise ValueError("resid holds no vectors: there is no typical norm")
    typical_norm = resid.norm(dim=-1).quantile(0.5)
    return fraction * typical_norm * direction / length
    ### END SOLUTION


check(scale_to_norm)

# %% [markdown]
# ## Exercise · `generate_steered`
#
# difficulty ●●●○○ · importance ●●●●● · 20 minutes
#
# Let the model go on with each prompt, always with the most probable token (*greedy*), while `coefficient *
# direction`, as long as it is, is added to the stream after block `layer` at *every* position: of the prompt, and of
# each new token. Return prompt and continuation together.
#
# `model.generate` does the work. It keeps the keys and values of what it has read, so that your hook sees the whole
# prompt in the first pass, and one new token in each later one. `max_new_tokens` are generated, unless all texts end
# before: a text ends with the tokenizer's end-of-sequence token (`model.tokenizer.eos_token_id`), and is filled up
# with it while others of the batch go on. Such a token *inside a prompt* ends nothing. This is what `model.generate`
# does unless told otherwise.
#
# Whatever happens, also where something in between raises an exception: afterwards your hook must be gone, and hooks
# that somebody else has put on the model must still be there. A layer that the model does not have, or fewer than one
# new token: `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# `with model.hooks(fwd_hooks=[(name, hook)]):` puts the hook on, and takes off this one and no other at the end of
# the block, however it ends. (`model.reset_hooks()` would take off everybody's.)
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `model.generate` draws at random unless it is told `do_sample=False`. `verbose=False` hides its progress bar.
#
# </details>


# %%
def generate_steered(
    model,
    tokens: Int[Tensor, "batch pos"],
    layer: int,
    direction: Float[Tensor, "d_model"],
    coefficient: float,
    max_new_tokens: int,
) -> Int[Tensor, "batch pos_and_new"]:
    """Each prompt and its greedy continuation, with coefficient · direction added after block `layer` everywhere.

    model: a TransformerBridge; its hooks are afterwards what they were, also after an exception.
    tokens: prompts of equal length, without padding. layer: 0 the first block.
    The result is shorter than pos + max_new_tokens where all texts have ended; one that ends earlier than another is
    filled up with the end-of-sequence token.
    Raises ValueError for a layer outside 0 … n_layers − 1 and for max_new_tokens below 1.
    Source: Rimsky et al. 2023, arXiv:2312.06681 (there only at positions after the prompt).
    """
    ### BEGIN SOLUTION
    if not 0 <= layer < model.cfg.n_layers:
        raise ValueError(f"layer must lie in 0 … {model.cfg.n_layers - 1}, not {layer}")
    if max_new_tokens < 1:
        raise ValueError(f"{max_new_tokens} new tokens: at least one is needed")

    def add(resid, hook):
        return resid + coefficient * direction

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_out", add)]):
        return model.generate(tokens, max_new_tokens=max_new_tokens, do_sample=False, verbose=False)
    ### END SOLUTION


check(generate_steered)
