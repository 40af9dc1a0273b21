# %% [markdown]
# # Which direction steers?
#
# **Is the direction that tells a concept best also the one that moves the model most?**
#
# After this lesson you can
#
# * divide a difference of means by the spread within the classes, and say what that is good for;
# * take other concepts out of a direction, all of them at once;
# * take a direction out of a model's weights, so that the model cannot write it any more.
#
# Time: to be measured.

# %%
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from utils.course import open_lesson

check, use_reference = open_lesson("ch4_steering/part3_which_direction_steers")

# %% [markdown]
# ## Exercise · `whitened_direction`
#
# difficulty ●●●●○ · importance ●●●●○ · 20 minutes
#
# The difference of means says where the classes lie. It does not say what else varies there: a dimension in which
# the texts of *one* class differ widely tells little, however large the difference of means in it. To tell classes
# apart, divide by that spread:
#
# $$ w = \Bigl((1 - s)\,\Sigma + s\,\frac{\operatorname{tr} \Sigma}{d}\, I\Bigr)^{-1} (\mu_1 - \mu_0). $$
#
# $\Sigma$ is the covariance within the classes, pooled: of each text take the deviation from the mean of *its own*
# class, and average the outer products over all $n$ texts of both classes. (Divide by $n$; another divisor would only
# change the length of $w$.) The shrinkage $s$ pulls $\Sigma$ towards a multiple of the identity with the same trace.
# With $s = 0$ this is Fisher's discriminant; with $s = 1$ a multiple of the difference of means.
#
# Where one class is missing, where $s$ is not within 0 … 1, and where the matrix is singular: `ValueError`. A
# pseudo-inverse would return something there. But it ignores every direction in which the classes do not vary, and
# in such a direction they may lie apart without any overlap.
#
# <details><summary>Hint 1</summary>
#
# `torch.where(labels[:, None], mean_1, mean_0)` is each text's own class mean. Compute in float64.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Rounding lets an inverse of a singular matrix pass without an error. `torch.linalg.matrix_rank(matrix,
# hermitian=True)` allows for rounding: smaller than d_model means singular. Then `torch.linalg.solve`.
#
# </details>


# %%
def whitened_direction(
    acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"], shrinkage: float
) -> Float[Tensor, "d_model"]:
    """((1 − shrinkage)·Σ + shrinkage·(tr Σ / d_model)·I)⁻¹ (mean of True − mean of False).

    Σ: the covariance within the classes, pooled: all outer products of deviations from the own class's mean, summed
    over both classes and divided by the number of texts n (not n − 2).
    Raises ValueError where a class is missing, where shrinkage is not within 0 … 1, and where the matrix is singular
    to rounding: with shrinkage 0 where the texts do not vary in all directions, with any where they do not vary at all.
    Source: Fisher's linear discriminant; as a probe in Marks & Tegmark 2023, arXiv:2310.06824, section 5.
    """
    ### BEGIN SOLUTION
    if not 0 <= shrinkage <= 1:
        raise ValueError(f"shrinkage={shrinkage} does not lie within 0 … 1")
    if labels.all() or not labels.any():
        raise ValueError("labels must contain both True and False: a difference needs two means")
    exact, d_model = acts.double(), acts.shape[1]
    mean_1, mean_0 = exact[labels].mean(dim=0), exact[~labels].mean(dim=0)
    deviations = exact - torch.where(labels[:, None], mean_1, mean_0)
    covariance = deviations.T @ deviations / len(acts)
    level = covariance.trace() / d_model
    shrunk = (1 - shrinkage) * covariance + shrinkage * level * torch.eye(d_model)
    if torch.linalg.matrix_rank(shrunk, hermitian=True) < d_model:
        raise ValueError(
            f"the covariance is singular at shrinkage={shrinkage}: more texts, or more shrinkage"
        )
    return torch.linalg.solve(shrunk, mean_1 - mean_0).to(acts.dtype)
    ### END SOLUTION


check(whitened_direction)

# %% [markdown]
# ## Exercise · `project_out`
#
# difficulty ●●●○○ · importance ●●●●○ · 15 minutes
#
# A direction for one concept usually contains some of others: of sentiment, of the texts' length, of a word. Whoever
# adds it moves them all. Remove from `direction` what lies in the *span* of the nuisances, so that the rest is
# orthogonal to every one of them. Its length is what is left over: do not normalise it.
#
# Nuisances are hardly ever orthogonal to each other. Subtracting the projections on them one by one then fails: the
# second subtraction puts some of the first nuisance back. Nor need they be independent. A nuisance that is zero,
# that occurs twice, or that is a combination of others adds nothing to the span. Without any nuisance the direction
# stays as it is.
#
# <details><summary>Hint 1</summary>
#
# Find orthonormal vectors that span the same. Projections on *those* may be subtracted one by one, or all at once.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Of `torch.linalg.svd(nuisance, full_matrices=False)` the rows of `Vh` are orthonormal; those with a singular value
# that is not 0 to rounding span what the nuisances span.
#
# </details>


# %%
def project_out(
    direction: Float[Tensor, "d_model"], nuisance: Float[Tensor, "k d_model"]
) -> Float[Tensor, "d_model"]:
    """The part of direction that is orthogonal to the span of all nuisances, not normalised.

    nuisance: one a row, of any length; zero, repeated and dependent rows add nothing. With k = 0 the direction itself.
    """
    ### BEGIN SOLUTION
    exact = direction.double()
    _, values, rows = torch.linalg.svd(F.normalize(nuisance.double(), dim=1), full_matrices=False)
    basis = rows[values > 1e-6]
    return (exact - basis.T @ (basis @ exact)).to(direction.dtype)
    ### END SOLUTION


check(project_out)

# %% [markdown]
# ## Exercise · `orthogonalise_weight`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# To ablate a direction in the stream, hooks must run at every layer. The same can be done once, in the weights.
# Whatever is written to the stream is `x @ weight` for some `weight` of shape (d_in, d_model): the embedding, the
# output of attention, the output of the MLP. With $\hat r$ the unit vector along the direction,
#
# $$ W' = W - (W \hat r)\, \hat r^\top : $$
#
# every row loses its component along the direction, and so does everything that is written, whatever $x$ is. What is
# orthogonal to the direction is written as before. (Arditi et al. multiply from the other side, so that their formula
# is the transpose of this one. They treat biases that are added to the stream in the same way: as a weight of one row.)
#
# `direction` may have any length (a zero one: `ValueError`). Return a new tensor of the same dtype.
#
# <details><summary>Hint</summary>
#
# `torch.outer(weight @ unit, unit)` has the shape of `weight`.
#
# </details>


# %%
def orthogonalise_weight(
    weight: Float[Tensor, "d_in d_model"], direction: Float[Tensor, "d_model"]
) -> Float[Tensor, "d_in d_model"]:
    """A copy of weight, used as x @ weight, whose output has no component along direction and is otherwise the same.

    The result has the dtype of weight, so that it can take its place in the model.
    Raises ValueError for a zero direction.
    Source: "weight orthogonalization" of Arditi et al. 2024, arXiv:2406.11717, there W ← W − r̂ r̂ᵀ W for W x.
    """
    ### BEGIN SOLUTION
    if not direction.any():
        raise ValueError("the direction is zero: there is nothing to take out")
    unit = direction / direction.norm()
    return weight - torch.outer(weight @ unit, unit)
    ### END SOLUTION


check(orthogonalise_weight)
