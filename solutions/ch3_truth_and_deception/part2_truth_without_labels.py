# %% [markdown]
# # Truth without labels
#
# **Can truth be found in a model without telling it, or us, what is true?**

# %%
import torch
from jaxtyping import Float
from torch import Tensor

from utils.course import open_lesson

check, use_reference = open_lesson("ch3_truth_and_deception/part2_truth_without_labels")

# %% [markdown]
# ## Exercise · `normalise_contrast`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# All texts of the one half end in "true", all of the other in "false": the easiest difference between the halves is
# that word. Remove it: subtract from each half its own mean, and divide by its own standard deviation, dimension by
# dimension (the population's: divided by n). A dimension that does not vary becomes 0. Fewer than two pairs, or
# halves of different shape: `ValueError`.
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

    acts_true, acts_false: row i of both is the same text, said to be true and said to be false.
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
# ## Exercise · `ccs_loss`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# Nobody says which of a pair is right. But whatever is asked, the two answers should *contradict* each other, and the
# probe should *decide*:
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
