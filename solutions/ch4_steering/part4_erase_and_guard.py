# %% [markdown]
# # Erase and guard
#
# **Can we take out of a stream all that a linear probe could read there, and does the model miss it? And can a probe
# decide whether to steer at all?**
#
# After this lesson you can
#
# * erase a concept from activations, round by round and in closed form;
# * say what an erasure guarantees, and what it does not: for which probes, for which rows, for which measure;
# * tell what a model loses with a concept from what it loses with any directions, as many of them;
# * steer only the texts on which a probe fires, also while the model generates.
#
# Time: to be filled in.

# %%
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from utils.course import open_lesson

check, use_reference = open_lesson("ch4_steering/part4_erase_and_guard")

# %% [markdown]
# ## Exercise · `inlp_projection`
#
# difficulty ●●●○○ · importance ●●●●○ · 20 minutes
#
# A probe's direction removed from the stream stops *that* probe. Another one, fitted on what is left, may still read
# the concept along another direction. Iterative null-space projection goes on: fit, remove, fit on what is left,
# remove that too, `n_rounds` times. After $k$ rounds the stream is projected onto what is orthogonal to *all*
# directions found,
#
# $$ P = I - QQ^\top, \qquad \text{the columns of } Q \text{ an orthonormal basis of their span.} $$
#
# Round one fits on `acts` as they are, each later one on `acts @ P` with the $P$ so far. Only where a direction points
# counts, not how long it is. A direction that lies in the span removed already, up to rounding, removes nothing more,
# and neither does zero. No round gives the identity; fewer: `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# Directions found need not be orthogonal to each other. Of a new one only `P @ coef`, its part outside the span, is
# new; with unit norm that is the next column of Q.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Rounding leaves a trace of a direction that was found before, about 10⁻⁷ of its length in float32. Divided by its own
# norm the trace becomes a direction out of nowhere: compare `(P @ coef).norm()` with `coef.norm()` first.
#
# </details>


# %%
def inlp_projection(
    acts: Float[Tensor, "text d_model"],
    labels: Bool[Tensor, "text"],
    fit: Callable[[Float[Tensor, "text d_model"], Bool[Tensor, "text"]], Float[Tensor, "d_model"]],
    n_rounds: int,
) -> Float[Tensor, "d_model d_model"]:
    """The orthogonal projection, in the dtype of acts, that removes all directions found in n_rounds fits.

    fit: (acts, labels) -> coef, a probe's direction; given activations in the dtype of acts, returns it in that dtype.
    Apply the projection as acts @ projection. Raises ValueError for a negative number of rounds.
    Source: Ravfogel et al. 2020, arXiv:2004.07667 (INLP).
    """
    ### BEGIN SOLUTION
    if n_rounds < 0:
        raise ValueError(f"{n_rounds} rounds: there is no such number of them")
    projection = torch.eye(acts.shape[1], dtype=torch.float64)
    for _ in range(n_rounds):
        coef = fit((acts.double() @ projection).to(acts.dtype), labels).double()
        new = projection @ coef
        if new.norm() > 1e-5 * coef.norm():
            projection = projection - torch.outer(new, new) / (new @ new)
    return projection.to(acts.dtype)
    ### END SOLUTION


check(inlp_projection)

# %% [markdown]
# ## Exercise · `leace_eraser`
#
# difficulty ●●●●○ · importance ●●●●● · 30 minutes
#
# How much has to go? A linear probe of the labels has nothing to work with as soon as all classes have the *same
# mean*: then no linear predictor has a smaller log-loss than a constant, and the same holds for every convex loss.
# That is a theorem, about the rows on which the eraser was fitted. (Accuracy is no convex loss, and it has no such
# bound.) Many affine maps make the means equal. LEACE is the one that changes the activations least, on average over
# the rows: whiten them ($\Sigma$ becomes the identity), remove the directions in which the classes' means differ there
# by an orthogonal projection, and undo the whitening,
#
# $$ P = I - \Sigma^{1/2}\, UU^\top (\Sigma^{1/2})^{+}, \qquad b = \mu - P\mu, $$
#
# with $\mu$ and $\Sigma$ the mean and covariance of all rows together, and the columns of $U$ an orthonormal basis of
# the columns of $(\Sigma^{1/2})^{+}\, \Sigma_{xz}$, where $\Sigma_{xz}$ is the covariance of activations and one-hot
# labels.
#
# One column of $\Sigma_{xz}$ too many: the one-hot labels sum to 1, so $k$ classes give $k - 1$ directions at most,
# and none where all means are equal already (then $P = I$, $b = 0$). Activations may vary in fewer than d_model
# dimensions, hence the pseudo-inverse; the others are left alone. Fewer than two classes: `ValueError`. Spreads in a
# stream differ by a factor of a thousand and more: compute in float64, whatever comes in.
#
# <details><summary>Hint 1</summary>
#
# `values, vectors = torch.linalg.eigh(covariance)`. Keep the columns whose eigenvalue is not zero compared with the
# largest; then `centred @ (basis / values.sqrt())` are the whitened activations.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `torch.linalg.svd(white.T @ one_hot / n, full_matrices=False)`. Keep the columns of U with a singular value above
# 10⁻⁸: whitened activations and labels are of order 1, so that zero means the same everywhere.
#
# </details>
#
# <details><summary>Hint 3</summary>
#
# Two classes only? Then with δ the difference of means P is $I - \delta\delta^\top\Sigma^{+} /
# (\delta^\top\Sigma^{+}\delta)$. Compare.
#
# </details>


# %%
def leace_eraser(
    acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"] | Int[Tensor, "text"]
) -> tuple[Float[Tensor, "d_model d_model"], Float[Tensor, "d_model"]]:
    """(projection, bias), in the dtype of acts: acts @ projection.T + bias has the same mean in every class.

    labels: True and False, or integers, each the name of a class. No affine map that does this changes acts less.
    Raises ValueError for fewer than two classes.
    Source: Belrose et al. 2023, arXiv:2306.03819, section 4 (LEACE). Their package also shrinks the covariance.
    """
    ### BEGIN SOLUTION
    classes = labels.unique()
    if len(classes) < 2:
        raise ValueError(f"labels hold {len(classes)} class: there is nothing to erase")
    one_hot = (labels.unsqueeze(1) == classes).double()
    mean = acts.double().mean(dim=0)
    centred = acts.double() - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(acts))
    varying = values > 1e-12 * values[-1]
    basis, spread = vectors[:, varying], values[varying].sqrt()
    white = centred @ (basis / spread)  # (text, dimension that varies)
    told, strength, _ = torch.linalg.svd(white.T @ one_hot / len(acts), full_matrices=False)
    told = told[:, strength > 1e-8]
    removed = (basis * spread) @ told @ told.T @ (basis / spread).T
    projection = torch.eye(len(mean), dtype=torch.float64) - removed
    return projection.to(acts.dtype), (removed @ mean).to(acts.dtype)
    ### END SOLUTION


check(leace_eraser)

# %% [markdown]
# ## Exercise · `amnesic_effect`
#
# difficulty ●●○○○ · importance ●●●●● · 12 minutes
#
# Erase a concept, and the model does its task worse. Because it *used* the concept? Erasing anything does damage, and
# the more directions go the more of it. The control: erase random directions, as many. What counts is the drop beyond
# theirs,
#
# $$ \bigl(m(\text{nothing}) - m(\text{concept})\bigr) - \frac{1}{n} \sum_{i=1}^{n} \bigl(m(\text{nothing}) -
# m(\text{random}_i)\bigr), $$
#
# where $m$ is the model's metric, the larger the better, with something erased. Erasures are projections $P$; the
# number of directions that one removes is the rank of $I - P$. If a random one's is not the same, or there is none at
# all: `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# Look at the formula: what happens to $m(\text{nothing})$?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# $I - P$ is a projection too, also where it is not orthogonal. Its eigenvalues are 0 and 1, so its rank is its trace:
# round that.
#
# </details>


# %%
def amnesic_effect(
    model_metric: Callable[[Float[Tensor, "d_model d_model"] | None], float],
    erase: Float[Tensor, "d_model d_model"],
    random_erase: Float[Tensor, "draw d_model d_model"],
) -> float:
    """How much more the metric drops when the concept is erased than when random directions are, on average over draws.

    model_metric: the metric with this projection applied to the stream, or with None: nothing; the larger the better.
    It is expensive: call it no more than once an erasure. erase, random_erase: projections, orthogonal or not.
    Raises ValueError where a random erasure's rank (of I − P) is not that of erase, and where there is none.
    Source: Elazar et al. 2021, arXiv:2006.00995 (amnesic probing, with its control of random directions).
    """
    ### BEGIN SOLUTION
    if len(random_erase) == 0:
        raise ValueError("no random erasure to compare with")
    rank, *ranks = (round(float(len(each) - each.trace())) for each in (erase, *random_erase))
    if set(ranks) != {rank}:
        raise ValueError(f"the concept's erasure removes {rank} directions, the random ones {ranks}")
    controls = [float(model_metric(each)) for each in random_erase]
    # What the model does with nothing erased drops out of the difference of differences.
    return sum(controls) / len(controls) - float(model_metric(erase))
    ### END SOLUTION


check(amnesic_effect)

# %% [markdown]
# ## Exercise · `conditional_steering_hook`
#
# difficulty ●●●○○ · importance ●●●●● · 20 minutes
#
# Steering every text has its price, and most texts do not need it. So let a probe decide. A row of the batch *fires*
# where the probe's score of its last position on the *first* pass, `resid[:, -1] @ probe_coef + probe_intercept`, is
# above the threshold. A row that fires gets `coefficient * direction` added at all positions, of this pass and of
# every later one: with a cache, the first pass has the whole prompt ("batch pos d_model") and each later one the
# newest token ("batch 1 d_model"). What the later passes score does not matter: the decision has been made. Rows that
# do not fire stay exactly as they are.
#
# The hook returns a new tensor. It serves one run, so a later pass with another number of rows is somebody's mistake:
# `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# A function inside your function remembers: `fires = None` outside, `nonlocal fires` inside.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `steered = resid.clone()`, then `steered[fires] += …`: a Bool tensor of length batch picks rows.
#
# </details>


# %%
def conditional_steering_hook(
    probe_coef: Float[Tensor, "d_model"],
    probe_intercept: float,
    threshold: float,
    direction: Float[Tensor, "d_model"],
    coefficient: float,
) -> Callable[..., Float[Tensor, "batch pos d_model"]]:
    """hook(resid, hook): resid, with coefficient · direction added at all positions of the rows whose probe fires.

    A row fires where resid[row, -1] @ probe_coef + probe_intercept > threshold on the first pass, and then on all
    passes. Prompts are of equal length, without padding. The hook returns a new tensor and serves one run. It raises
    ValueError where a later pass has another number of rows than the first.
    """
    ### BEGIN SOLUTION
    fires = None

    def hook(resid, hook):
        nonlocal fires
        if fires is None:
            fires = resid[:, -1] @ probe_coef + probe_intercept > threshold
        if len(resid) != len(fires):
            raise ValueError(f"{len(resid)} rows after a first pass of {len(fires)}: a hook serves one run")
        steered = resid.clone()
        steered[fires] += coefficient * direction
        return steered

    return hook
    ### END SOLUTION


check(conditional_steering_hook)
