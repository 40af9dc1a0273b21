"""Wrong answers to chapter 4, part 3 that its checks must reject, and right ones written differently."""

import warnings

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from utils.course import alternative, mistake


def check_input(labels, shrinkage):
    if not 0 <= shrinkage <= 1:
        raise ValueError("shrinkage must lie within 0 … 1")
    if labels.all() or not labels.any():
        raise ValueError("both classes must occur")


def parts(acts, labels):
    """The difference of means, and each text's deviation from its own class's mean."""
    acts = acts.double()
    true_mean, false_mean = acts[labels].mean(dim=0), acts[~labels].mean(dim=0)
    return true_mean - false_mean, acts - torch.where(labels[:, None], true_mean, false_mean)


def pooled(deviations):
    return deviations.T @ deviations / len(deviations)


def shrink(covariance, shrinkage):
    d_model = len(covariance)
    return (1 - shrinkage) * covariance + shrinkage * covariance.trace() / d_model * torch.eye(d_model)


def refuse_singular(matrix):
    if torch.linalg.matrix_rank(matrix, hermitian=True) < len(matrix):
        raise ValueError("the matrix is singular")


def solve(matrix, difference):
    refuse_singular(matrix)
    return torch.linalg.solve(matrix, difference).float()


def whitened(acts, labels, shrinkage):
    difference, deviations = parts(acts, labels)
    return solve(shrink(pooled(deviations), shrinkage), difference)


@mistake("whitened_direction")
def reversed_direction(acts, labels, shrinkage):
    """This points from True to False. Take the mean of True minus the mean of False."""
    check_input(labels, shrinkage)
    return -whitened(acts, labels, shrinkage)


@mistake("whitened_direction")
def difference_only(acts, labels, shrinkage):
    """This is the difference of means alone: Σ is not used. Multiply it by the inverse of the shrunk Σ."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    refuse_singular(shrink(pooled(deviations), shrinkage))
    return difference.float()


@mistake("whitened_direction")
def unit_norm(acts, labels, shrinkage):
    """The direction was given unit norm. Return it as the formula has it."""
    check_input(labels, shrinkage)
    return F.normalize(whitened(acts, labels, shrinkage), dim=0)


@mistake("whitened_direction")
def shrinkage_ignored(acts, labels, shrinkage):
    """The shrinkage is not used: this is Fisher's discriminant, as if it were 0. Mix Σ with the identity first."""
    check_input(labels, shrinkage)
    return whitened(acts, labels, 0.0)


@mistake("whitened_direction")
def shrinkage_reversed(acts, labels, shrinkage):
    """The weights are exchanged: Σ counts 1 − s and the identity's multiple s, so that 0 leaves Σ as it is."""
    check_input(labels, shrinkage)
    return whitened(acts, labels, 1 - shrinkage)


@mistake("whitened_direction")
def identity_without_trace(acts, labels, shrinkage):
    """Σ is mixed with the identity itself, which is large or small depending on the units. Multiply the identity by
    the mean variance, tr(Σ) / d_model."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    covariance = pooled(deviations)
    if not covariance.any():
        raise ValueError("nothing varies")
    return solve((1 - shrinkage) * covariance + shrinkage * torch.eye(len(covariance)), difference)


@mistake("whitened_direction")
def trace_not_divided(acts, labels, shrinkage):
    """The identity is multiplied by tr(Σ), the *sum* of the variances. Divide it by d_model: their mean."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    covariance = pooled(deviations)
    identity = covariance.trace() * torch.eye(len(covariance))
    return solve((1 - shrinkage) * covariance + shrinkage * identity, difference)


@mistake("whitened_direction")
def trace_divided_by_texts(acts, labels, shrinkage):
    """The trace is divided by the number of texts. It has d_model terms: divide by d_model."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    covariance = pooled(deviations)
    identity = covariance.trace() / len(acts) * torch.eye(len(covariance))
    return solve((1 - shrinkage) * covariance + shrinkage * identity, difference)


@mistake("whitened_direction")
def identity_only_added(acts, labels, shrinkage):
    """The identity's multiple is added, but Σ keeps its full weight. Multiply Σ by 1 − s."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    covariance = pooled(deviations)
    level = covariance.trace() / len(covariance)
    return solve(covariance + shrinkage * level * torch.eye(len(covariance)), difference)


@mistake("whitened_direction")
def shrunk_to_own_variances(acts, labels, shrinkage):
    """Σ is mixed with its own diagonal, so that each dimension keeps its variance. Mix it with a multiple of the
    identity: the *mean* variance in every dimension."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    covariance = pooled(deviations)
    return solve((1 - shrinkage) * covariance + shrinkage * covariance.diagonal().diag(), difference)


@mistake("whitened_direction")
def divided_by_n_minus_2(acts, labels, shrinkage):
    """The scatter is divided by n − 2, which would make it unbiased. Here Σ is a mean over the texts: divide by n."""
    check_input(labels, shrinkage)
    n = len(acts)
    return whitened(acts, labels, shrinkage) * (max(n - 2, 1) / n)


@mistake("whitened_direction")
def divided_by_n_minus_1(acts, labels, shrinkage):
    """The scatter is divided by n − 1. Here Σ is a mean over the texts: divide by n."""
    check_input(labels, shrinkage)
    n = len(acts)
    return whitened(acts, labels, shrinkage) * ((n - 1) / n)


@mistake("whitened_direction")
def scatter_not_divided(acts, labels, shrinkage):
    """The outer products are summed, but not divided by their number n. Σ is their mean."""
    check_input(labels, shrinkage)
    return whitened(acts, labels, shrinkage) / len(acts)


@mistake("whitened_direction")
def classes_count_the_same(acts, labels, shrinkage):
    """This is the average of the two classes' covariances, so that a text in the smaller class counts more. Sum over
    all texts and divide by their number."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    covariance = (pooled(deviations[labels]) + pooled(deviations[~labels])) / 2
    return solve(shrink(covariance, shrinkage), difference)


@mistake("whitened_direction")
def sum_of_class_covariances(acts, labels, shrinkage):
    """This is the sum of the two classes' covariances. Σ averages over all texts of both: sum the outer products, and
    divide by n."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    return solve(shrink(pooled(deviations[labels]) + pooled(deviations[~labels]), shrinkage), difference)


@mistake("whitened_direction")
def unbiased_in_each_class(acts, labels, shrinkage):
    """Each class's covariance is divided by one less than its number of texts (torch.cov's default) before they are
    averaged. Sum the outer products of both classes and divide by n."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    covariance = torch.zeros(acts.shape[1], acts.shape[1], dtype=torch.float64)
    for rows in (labels, ~labels):
        own = deviations[rows]
        covariance += len(own) / len(acts) * own.T @ own / max(len(own) - 1, 1)
    return solve(shrink(covariance, shrinkage), difference)


@mistake("whitened_direction")
def true_class_only(acts, labels, shrinkage):
    """Σ is the covariance of the True class alone. Pool the deviations of both classes."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    return solve(shrink(pooled(deviations[labels]), shrinkage), difference)


@mistake("whitened_direction")
def false_class_only(acts, labels, shrinkage):
    """Σ is the covariance of the False class alone. Pool the deviations of both classes."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    return solve(shrink(pooled(deviations[~labels]), shrinkage), difference)


@mistake("whitened_direction")
def total_covariance(acts, labels, shrinkage):
    """The deviations are from the mean of *all* texts, so that the difference between the classes counts as spread.
    Subtract from each text the mean of its own class."""
    check_input(labels, shrinkage)
    difference, _ = parts(acts, labels)
    return solve(shrink(pooled(acts.double() - acts.double().mean(dim=0)), shrinkage), difference)


@mistake("whitened_direction")
def deviations_from_the_midpoint(acts, labels, shrinkage):
    """The deviations are from the point midway between the classes. Subtract from each text the mean of its own
    class."""
    check_input(labels, shrinkage)
    difference, _ = parts(acts, labels)
    exact = acts.double()
    midpoint = (exact[labels].mean(dim=0) + exact[~labels].mean(dim=0)) / 2
    return solve(shrink(pooled(exact - midpoint), shrinkage), difference)


@mistake("whitened_direction")
def means_not_subtracted(acts, labels, shrinkage):
    """These are the second moments of the activations: no mean is subtracted. Subtract from each text the mean of its
    own class."""
    check_input(labels, shrinkage)
    difference, _ = parts(acts, labels)
    return solve(shrink(pooled(acts.double()), shrinkage), difference)


@mistake("whitened_direction")
def means_of_the_other_class(acts, labels, shrinkage):
    """Each text has the mean of the *other* class subtracted. torch.where takes its second argument where the first is
    True."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    from_other = deviations + torch.where(labels[:, None], difference, -difference)
    return solve(shrink(pooled(from_other), shrinkage), difference)


@mistake("whitened_direction")
def inverse_root(acts, labels, shrinkage):
    """This is Σ^(−½) times the difference: the difference of *whitened* activations. As a direction for activations as
    they are it needs the factor once more: Σ⁻¹."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    matrix = shrink(pooled(deviations), shrinkage)
    refuse_singular(matrix)
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors @ (vectors.T @ difference / values.sqrt())).float()


@mistake("whitened_direction")
def multiplied_by_covariance(acts, labels, shrinkage):
    """The difference is multiplied by Σ, not by its inverse: it now prefers what varies. Use torch.linalg.solve."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    matrix = shrink(pooled(deviations), shrinkage)
    refuse_singular(matrix)
    return (matrix @ difference).float()


@mistake("whitened_direction")
def variances_only(acts, labels, shrinkage):
    """Each entry is divided by its dimension's variance, as if the dimensions varied independently. Invert Σ as a
    matrix."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    matrix = shrink(pooled(deviations), shrinkage)
    refuse_singular(matrix)
    return (difference / matrix.diagonal()).float()


@mistake("whitened_direction")
def divided_by_deviations(acts, labels, shrinkage):
    """Each entry is divided by its dimension's standard deviation. Invert Σ, which holds variances, as a matrix."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    matrix = shrink(pooled(deviations), shrinkage)
    refuse_singular(matrix)
    return (difference / matrix.diagonal().sqrt()).float()


@mistake("whitened_direction")
def reciprocal_entries(acts, labels, shrinkage):
    """`1 / matrix` (or `matrix ** -1`) is the reciprocal of every entry, not the inverse. Use torch.linalg.solve."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    matrix = shrink(pooled(deviations), shrinkage)
    refuse_singular(matrix)
    return (matrix**-1 @ difference).float()


@mistake("whitened_direction")
def labels_as_row_numbers(acts, labels, shrinkage):
    """`acts[labels.long()]` takes rows 0 and 1, again and again. A *boolean* tensor selects rows: acts[labels]."""
    check_input(labels, shrinkage)
    _, deviations = parts(acts, labels)
    exact = acts.double()
    difference = exact[labels.long()].mean(dim=0) - exact[(~labels).long()].mean(dim=0)
    return solve(shrink(pooled(deviations), shrinkage), difference)


@mistake("whitened_direction")
def pseudo_inverse(acts, labels, shrinkage):
    """A singular matrix gets a pseudo-inverse. It drops every direction in which the classes do not vary, where they
    may be told apart best. Raise ValueError."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    return (torch.linalg.pinv(shrink(pooled(deviations), shrinkage), hermitian=True) @ difference).float()


@mistake("whitened_direction")
def singular_unnoticed(acts, labels, shrinkage):
    """A singular matrix is not noticed: rounding lets torch.linalg.solve return huge numbers, or it raises its own
    LinAlgError, which is no ValueError. Look at matrix_rank first."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    return torch.linalg.solve(shrink(pooled(deviations), shrinkage), difference).float()


@mistake("whitened_direction")
def factorised_without_margin(acts, labels, shrinkage):
    """Only a Cholesky factorisation that fails counts as singular. Rounding lets many singular matrices through:
    look at matrix_rank, or compare the smallest eigenvalue with the largest."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    factor, failed = torch.linalg.cholesky_ex(shrink(pooled(deviations), shrinkage))
    if failed:
        raise ValueError("the matrix is singular")
    return torch.cholesky_solve(difference[:, None], factor)[:, 0].float()


@mistake("whitened_direction")
def small_determinant_refused(acts, labels, shrinkage):
    """A small determinant counts as singular, but it is small wherever activations are. Rank is what tells: compare
    eigenvalues with each other."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    matrix = shrink(pooled(deviations), shrinkage)
    if matrix.det().abs() < 1e-8:
        raise ValueError("the matrix is singular")
    return solve(matrix, difference)


@mistake("whitened_direction")
def few_texts_always_refused(acts, labels, shrinkage):
    """Few texts are refused at any shrinkage. That is what shrinkage is for: above 0 the matrix can be inverted."""
    check_input(labels, shrinkage)
    if len(acts) - 2 < acts.shape[1]:
        raise ValueError("too few texts")
    return whitened(acts, labels, shrinkage)


@mistake("whitened_direction")
def means_not_counted(acts, labels, shrinkage):
    """With shrinkage 0 there must be as many texts as dimensions, but two more are needed: subtracting the two means
    costs two ranks. Look at the rank of Σ itself."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    if (shrinkage == 0 and len(acts) < acts.shape[1]) or not deviations.any():
        raise ValueError("too few texts")
    return torch.linalg.solve(shrink(pooled(deviations), shrinkage), difference).float()


@mistake("whitened_direction")
def texts_only_counted(acts, labels, shrinkage):
    """The texts are counted, but many texts may still not vary in all directions: a constant dimension, or one that is
    the same as another. Look at the rank of Σ itself."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    if (shrinkage == 0 and len(acts) - 2 < acts.shape[1]) or not deviations.any():
        raise ValueError("too few texts")
    return torch.linalg.solve(shrink(pooled(deviations), shrinkage), difference).float()


@mistake("whitened_direction")
def singular_only_without_shrinkage(acts, labels, shrinkage):
    """The rank is looked at only where shrinkage is 0. Where no text differs from its class's mean Σ is zero, and so is
    its trace: shrinkage adds nothing."""
    check_input(labels, shrinkage)
    if shrinkage == 0:
        return whitened(acts, labels, shrinkage)
    difference, deviations = parts(acts, labels)
    return (shrink(pooled(deviations), shrinkage).inverse() @ difference).float()


@mistake("whitened_direction")
def zero_where_nothing_varies(acts, labels, shrinkage):
    """Where no text differs from its class's mean this is zero. But Σ is zero there, without inverse: ValueError."""
    check_input(labels, shrinkage)
    if not parts(acts, labels)[1].any():
        return torch.zeros(acts.shape[1])
    return whitened(acts, labels, shrinkage)


@mistake("whitened_direction")
def missing_class_unnoticed(acts, labels, shrinkage):
    """Where a class is missing this is NaN: the mean of no rows. Raise ValueError."""
    if not 0 <= shrinkage <= 1:
        raise ValueError("shrinkage must lie within 0 … 1")
    if labels.all() or not labels.any():
        return torch.full((acts.shape[1],), float("nan"))
    return whitened(acts, labels, shrinkage)


@mistake("whitened_direction")
def only_true_class_asked_for(acts, labels, shrinkage):
    """A missing True class is noticed, a missing False class is not. Both must occur."""
    if not 0 <= shrinkage <= 1 or not labels.any():
        raise ValueError("shrinkage must lie within 0 … 1, and a class is missing")
    if labels.all():
        return torch.full((acts.shape[1],), float("nan"))
    return whitened(acts, labels, shrinkage)


@mistake("whitened_direction")
def shrinkage_unchecked(acts, labels, shrinkage):
    """A shrinkage below 0 or above 1 is accepted. Raise ValueError."""
    check_input(labels, 0)
    return whitened(acts, labels, shrinkage)


@mistake("whitened_direction")
def shrinkage_clamped(acts, labels, shrinkage):
    """A shrinkage below 0 or above 1 is moved to the nearest that is allowed. Raise ValueError."""
    check_input(labels, 0)
    return whitened(acts, labels, min(max(shrinkage, 0.0), 1.0))


@mistake("whitened_direction")
def ends_refused(acts, labels, shrinkage):
    """Shrinkage 0 and 1 are refused. Both are allowed: Fisher's discriminant, and a multiple of the difference."""
    check_input(labels, shrinkage)
    if shrinkage in (0, 1):
        raise ValueError("shrinkage must lie between 0 and 1")
    return whitened(acts, labels, shrinkage)


@mistake("whitened_direction")
def centred_in_place(acts, labels, shrinkage):
    """The caller's activations are centred in place (`acts[labels] -= …`). Compute a new tensor."""
    check_input(labels, shrinkage)
    direction = whitened(acts, labels, shrinkage)
    for rows in (labels, ~labels):
        acts[rows] -= acts[rows].mean(dim=0)
    return direction


@mistake("whitened_direction")
def products_minus_squared_means(acts, labels, shrinkage):
    """Σ is computed as mean of products minus product of means: far from 0 nearly all digits cancel. Subtract the class
    means first, then multiply."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    refuse_singular(shrink(pooled(deviations), shrinkage))
    covariance = torch.zeros(acts.shape[1], acts.shape[1], dtype=acts.dtype)
    for rows in (acts[labels], acts[~labels]):
        mean = rows.mean(dim=0)
        covariance += len(rows) / len(acts) * (rows.T @ rows / len(rows) - torch.outer(mean, mean))
    return (
        torch.linalg.lstsq(shrink(covariance.double(), shrinkage), difference[:, None]).solution[:, 0].float()
    )


@mistake("whitened_direction")
def cast_to_float32(acts, labels, shrinkage):
    """float64 activations are cast to float32, which keeps seven digits. Keep the dtype, or compute in float64."""
    check_input(labels, shrinkage)
    return whitened(acts.float(), labels, shrinkage)


@mistake("whitened_direction")
def one_column(acts, labels, shrinkage):
    """This is a matrix with one column, shape (d_model, 1). Return a vector: solve takes one as its right side too."""
    check_input(labels, shrinkage)
    return whitened(acts, labels, shrinkage)[:, None]


@mistake("whitened_direction")
def numpy_array(acts, labels, shrinkage):
    """This is a NumPy array. torch.from_numpy makes it a tensor."""
    check_input(labels, shrinkage)
    return whitened(acts, labels, shrinkage).numpy()


@mistake("whitened_direction")
def all_ones(acts, labels, shrinkage):
    """Every entry is 1, whatever the activations. Compute the direction from them."""
    check_input(labels, shrinkage)
    refuse_singular(shrink(pooled(parts(acts, labels)[1]), shrinkage))
    return torch.ones(acts.shape[1])


@alternative("whitened_direction")
def by_scikit_learn(acts, labels, shrinkage):
    check_input(labels, shrinkage)
    _, deviations = parts(acts, labels)
    if not deviations.any() or (shrinkage == 0 and torch.linalg.matrix_rank(deviations) < acts.shape[1]):
        raise ValueError("singular")
    fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=float(shrinkage))
    with warnings.catch_warnings():
        # It warns of a class of one text, which is allowed here.
        warnings.simplefilter("ignore")
        fitted.fit(acts.double().numpy(), labels.numpy())
    return torch.from_numpy(fitted.coef_[0].copy())


@alternative("whitened_direction")
def in_float32(acts, labels, shrinkage):
    """In the dtype of the activations, with torch.cov, a condition number and an inverse."""
    if shrinkage < 0 or shrinkage > 1:
        raise ValueError("shrinkage")
    if len(torch.unique(labels)) != 2:
        raise ValueError("one class")
    true, false = acts[labels], acts[~labels]
    within = sum(
        len(rows) * torch.cov(rows.T, correction=0).reshape(acts.shape[1], -1) for rows in (true, false)
    )
    within = within / len(acts)
    level = torch.diagonal(within).mean()
    matrix = within * (1 - shrinkage) + torch.eye(acts.shape[1], dtype=acts.dtype) * level * shrinkage
    if level == 0 or torch.linalg.cond(matrix) > 1e5:
        raise ValueError("singular")
    return torch.linalg.inv(matrix) @ (true.mean(0) - false.mean(0))


@alternative("whitened_direction")
def by_eigenvectors(acts, labels, shrinkage):
    """In the basis in which Σ is diagonal."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    values, vectors = torch.linalg.eigh(pooled(deviations))
    values = torch.lerp(values, values.mean(), shrinkage)
    if values.min() <= 1e-10 * values.max():
        raise ValueError("singular")
    return vectors @ ((difference @ vectors) / values)


@alternative("whitened_direction")
def by_singular_values(acts, labels, shrinkage):
    """The shrunk Σ is the Gram matrix of the deviations with d_model rows of a scaled identity below them."""
    check_input(labels, shrinkage)
    difference, deviations = parts(acts, labels)
    n, d_model = acts.shape
    level = deviations.square().sum() / n / d_model
    rows = torch.cat(
        [deviations * ((1 - shrinkage) / n) ** 0.5, (shrinkage * level) ** 0.5 * torch.eye(d_model)]
    )
    _, values, vectors = torch.linalg.svd(rows, full_matrices=False)
    if values[-1] <= 1e-7 * values[0]:
        raise ValueError("singular")
    return (vectors.T @ (vectors @ difference / values**2)).float()


@alternative("whitened_direction")
def by_numpy_loop(acts, labels, shrinkage):
    if not (shrinkage >= 0 and shrinkage <= 1):
        raise ValueError("shrinkage")
    rows, truth = acts.numpy().astype(np.float64), labels.numpy()
    if truth.sum() in (0, len(truth)):
        raise ValueError("one class")
    means = {value: rows[truth == value].mean(axis=0) for value in (True, False)}
    sigma = np.zeros((rows.shape[1],) * 2)
    for row, value in zip(rows, truth, strict=True):
        sigma += np.outer(row - means[bool(value)], row - means[bool(value)]) / len(rows)
    sigma = (1 - shrinkage) * sigma + shrinkage * np.trace(sigma) / len(sigma) * np.eye(len(sigma))
    if np.linalg.matrix_rank(sigma) < len(sigma):
        raise ValueError("singular")
    return torch.tensor(np.linalg.inv(sigma) @ (means[True] - means[False]), dtype=torch.float32)


def span(nuisance):
    """Orthonormal rows that span what the nuisances span."""
    _, values, rows = torch.linalg.svd(F.normalize(nuisance.double(), dim=1), full_matrices=False)
    return rows[values > 1e-6]


def inside(direction, nuisance):
    """The part of the direction in the span, in float64."""
    basis = span(nuisance)
    return basis.T @ (basis @ direction.double())


def outside(direction, nuisance):
    return (direction.double() - inside(direction, nuisance)).to(direction.dtype)


def units(nuisance):
    """Of length 1, but zero rows stay zero."""
    return F.normalize(nuisance.double(), dim=1)


@mistake("project_out")
def one_by_one(direction, nuisance):
    """The projections on the nuisances are subtracted one after the other. Unless these are orthogonal to each other,
    each step brings some of the earlier ones back: find orthonormal vectors of their span first."""
    left = direction.double()
    for unit in units(nuisance):
        left = left - (left @ unit) * unit
    return left.to(direction.dtype)


@mistake("project_out")
def all_at_once(direction, nuisance):
    """The projections of the whole direction on each nuisance are all subtracted. What two nuisances share is then
    subtracted twice: find orthonormal vectors of their span first."""
    rows, exact = units(nuisance), direction.double()
    return (exact - rows.T @ (rows @ exact)).to(direction.dtype)


@mistake("project_out")
def three_rounds(direction, nuisance):
    """Going through the nuisances several times comes nearer, but only slowly where they are nearly parallel. Find
    orthonormal vectors of their span: then one round is exact."""
    left = direction.double()
    for unit in units(nuisance).repeat(3, 1):
        left = left - (left @ unit) * unit
    return left.to(direction.dtype)


@mistake("project_out")
def nuisances_not_normalised(direction, nuisance):
    """`nuisance.T @ (nuisance @ direction)` is a projection only for orthonormal rows. Find such rows first."""
    rows, exact = nuisance.double(), direction.double()
    return (exact - rows.T @ (rows @ exact)).to(direction.dtype)


@mistake("project_out")
def divided_by_length_once(direction, nuisance):
    """Each product with a nuisance is divided by its length once. Divide by the squared length, or use unit vectors,
    and make the nuisances orthogonal to each other first."""
    left = direction.double()
    for row in nuisance.double():
        left = left - (left @ row) / row.norm().clamp(min=1e-12) * row
    return left.to(direction.dtype)


@mistake("project_out")
def cosines_subtracted(direction, nuisance):
    """Each nuisance is subtracted as often as its *cosine* with the direction says. The length of the direction counts
    too; and make the nuisances orthogonal to each other first."""
    left = direction.double()
    for row in nuisance.double():
        left = left - F.cosine_similarity(left, row, dim=0) * row
    return left.to(direction.dtype)


@mistake("project_out")
def columns_normalised(direction, nuisance):
    """The *columns* of the nuisances were normalised (dim=0). Each row is a nuisance: dim=1. And rows of unit length
    are not yet orthogonal to each other."""
    rows, exact = F.normalize(nuisance.double(), dim=0), direction.double()
    return (exact - rows.T @ (rows @ exact)).to(direction.dtype)


@mistake("project_out")
def only_against_the_previous(direction, nuisance):
    """Each nuisance is made orthogonal to the one before it only. It must be orthogonal to all earlier ones."""
    basis = []
    for row in span(nuisance) @ nuisance.double().T @ nuisance.double() if len(nuisance) else []:
        if basis:
            row = row - (row @ basis[-1]) * basis[-1]
        basis.append(F.normalize(row, dim=0))
    left = direction.double()
    for unit in basis:
        left = left - (left @ unit) * unit
    return left.to(direction.dtype)


@mistake("project_out")
def orthogonalised_against_originals(direction, nuisance):
    """Each nuisance has its projections on the earlier *nuisances* subtracted. These are not orthogonal to each other:
    subtract the projections on the vectors found so far."""
    rows = units(nuisance)
    left = direction.double()
    for i, row in enumerate(rows):
        for earlier in rows[:i]:
            row = row - (rows[i] @ earlier) * earlier
        unit = row / row.norm() if row.norm() > 1e-6 else torch.zeros_like(row)
        left = left - (left @ unit) * unit
    return left.to(direction.dtype)


@mistake("project_out")
def first_only(direction, nuisance):
    """Only the first nuisance is taken out. Take out the span of all of them."""
    return outside(direction, nuisance[:1])


@mistake("project_out")
def last_only(direction, nuisance):
    """Only the last nuisance is taken out: each step starts from the direction as it was. Take out the span of all."""
    return outside(direction, nuisance[-1:])


@mistake("project_out")
def mean_nuisance(direction, nuisance):
    """Only the mean of the nuisances is taken out. Take out everything that they span."""
    return outside(direction, nuisance.mean(dim=0, keepdim=True).nan_to_num())


@mistake("project_out")
def part_in_the_span(direction, nuisance):
    """This is the part *in* the span of the nuisances. Subtract it from the direction."""
    return inside(direction, nuisance).to(direction.dtype)


@mistake("project_out")
def projection_added(direction, nuisance):
    """The part in the span is added. Subtract it."""
    return (direction.double() + inside(direction, nuisance)).to(direction.dtype)


@mistake("project_out")
def mirrored(direction, nuisance):
    """The part in the span is subtracted twice, which turns it round. Subtract it once."""
    return (direction.double() - 2 * inside(direction, nuisance)).to(direction.dtype)


@mistake("project_out")
def result_of_unit_norm(direction, nuisance):
    """What is left was given unit norm. Return it with the length that it has."""
    return F.normalize(outside(direction, nuisance), dim=0)


@mistake("project_out")
def length_restored(direction, nuisance):
    """What is left was stretched to the length of the direction. Return it with the length that it has."""
    left = outside(direction, nuisance)
    return left * (direction.norm() / left.norm().clamp(min=1e-12))


@mistake("project_out")
def direction_of_unit_norm(direction, nuisance):
    """The direction was given unit norm first. Take the nuisances out of it as it is."""
    return outside(F.normalize(direction, dim=0), nuisance)


@mistake("project_out")
def qr_of_dependent_rows(direction, nuisance):
    """QR returns as many orthonormal vectors as there are nuisances, also where these are dependent: the surplus ones
    are arbitrary, and take out what no nuisance contains. Keep only as many as the rank."""
    basis = torch.linalg.qr(nuisance.double().T).Q
    return (direction.double() - basis @ (basis.T @ direction.double())).to(direction.dtype)


@mistake("project_out")
def zero_singular_values_kept(direction, nuisance):
    """Rows of Vh whose singular value is 0 are kept: they are arbitrary, and take out what no nuisance contains. Keep
    those with a singular value above rounding."""
    basis = torch.linalg.svd(nuisance.double(), full_matrices=False).Vh
    return (direction.double() - basis.T @ (basis @ direction.double())).to(direction.dtype)


@mistake("project_out")
def gram_matrix_inverted(direction, nuisance):
    """The inverse of `nuisance @ nuisance.T` exists only for independent nuisances. Use a pseudo-inverse, or
    orthonormal vectors of the span."""
    rows, exact = nuisance.double(), direction.double()
    return (exact - rows.T @ (torch.linalg.inv(rows @ rows.T) @ (rows @ exact))).to(direction.dtype)


@mistake("project_out")
def gram_matrix_with_ridge(direction, nuisance):
    """A small number on the diagonal makes `nuisance @ nuisance.T` invertible, but then some of each nuisance is left,
    most of short ones. Use a pseudo-inverse, or orthonormal vectors of the span."""
    rows, exact = nuisance.double(), direction.double()
    gram = rows @ rows.T + 1e-2 * torch.eye(len(rows))
    return (exact - rows.T @ (torch.linalg.inv(gram) @ (rows @ exact))).to(direction.dtype)


@mistake("project_out")
def division_by_zero(direction, nuisance):
    """A nuisance that is zero, or of which nothing is left after the earlier ones, is divided by its length 0 (or by a
    rounding error). Leave it out."""
    basis = []
    for row in nuisance.double():
        for unit in basis:
            row = row - (row @ unit) * unit
        basis.append(row / row.norm())
    left = direction.double()
    for unit in basis:
        left = left - (left @ unit) * unit
    return left.to(direction.dtype)


@mistake("project_out")
def only_zero_rows_left_out(direction, nuisance):
    """Zero nuisances are left out, but of a repeated or dependent one a rounding error is left, which gets unit length
    and takes out what no nuisance contains. Compare what is left with what there was."""
    basis = []
    for row in nuisance.double():
        for unit in basis:
            row = row - (row @ unit) * unit
        if row.norm() > 0:
            basis.append(row / row.norm())
    left = direction.double()
    for unit in basis:
        left = left - (left @ unit) * unit
    return left.to(direction.dtype)


@mistake("project_out")
def short_nuisances_ignored(direction, nuisance):
    """A singular value below a fixed number counts as zero, so that short nuisances are ignored. Compare it with the
    largest one, or give the rows unit length first."""
    _, values, rows = torch.linalg.svd(nuisance.double(), full_matrices=False)
    basis = rows[values > 2e-2]
    return (direction.double() - basis.T @ (basis @ direction.double())).to(direction.dtype)


@mistake("project_out")
def nearly_parallel_merged(direction, nuisance):
    """Singular values below a tenth of the largest count as zero. Nearly parallel nuisances still span two dimensions:
    only rounding counts as zero."""
    _, values, rows = torch.linalg.svd(units(nuisance), full_matrices=False)
    basis = rows[values > 0.1 * values[:1]]
    return (direction.double() - basis.T @ (basis @ direction.double())).to(direction.dtype)


@mistake("project_out")
def no_nuisances_refused(direction, nuisance):
    """Without nuisances an error is raised. There is nothing to take out then: return the direction."""
    if len(nuisance) == 0:
        raise ValueError("no nuisances")
    return outside(direction, nuisance)


@mistake("project_out")
def zero_without_nuisances(direction, nuisance):
    """Without nuisances this is zero. There is nothing to take out then: return the direction."""
    return outside(direction, nuisance) if len(nuisance) else torch.zeros_like(direction)


@mistake("project_out")
def zero_nuisances_refused(direction, nuisance):
    """A nuisance that is zero raises an error. It adds nothing to the span: leave it out."""
    if not nuisance.any(dim=1).all():
        raise ValueError("a nuisance is zero")
    return outside(direction, nuisance)


@mistake("project_out")
def nothing_left_refused(direction, nuisance):
    """A direction that lies in the span raises an error. What is left of it is zero: return that."""
    left = outside(direction, nuisance)
    if left.norm() <= 1e-4 * direction.norm():
        raise ValueError("nothing is left")
    return left


@mistake("project_out")
def many_nuisances_refused(direction, nuisance):
    """More nuisances than dimensions raise an error. They are dependent then, which is allowed."""
    if len(nuisance) > len(direction):
        raise ValueError("more nuisances than dimensions")
    return outside(direction, nuisance)


@mistake("project_out")
def unchanged(direction, nuisance):
    """The direction is returned as it was. Subtract its part in the span of the nuisances."""
    return direction.clone()


@mistake("project_out")
def always_zero(direction, nuisance):
    """This is zero whatever the direction. Subtract only its part in the span of the nuisances. (With
    full_matrices=True all rows of Vh together span everything: keep those with a singular value above rounding.)"""
    return torch.zeros_like(direction)


@mistake("project_out")
def coefficients(direction, nuisance):
    """These are the products with the orthonormal vectors of the span, one for each. Multiply these vectors by them,
    and subtract the sum from the direction."""
    return (span(nuisance) @ direction.double()).to(direction.dtype)


@mistake("project_out")
def projection_matrix(direction, nuisance):
    """This is the matrix that takes the nuisances out. Multiply the direction by it."""
    basis = span(nuisance)
    return (torch.eye(len(direction)) - basis.T @ basis).to(direction.dtype)


@mistake("project_out")
def one_row(direction, nuisance):
    """This is a matrix with one row, shape (1, d_model). Return a vector."""
    return outside(direction, nuisance)[None]


@mistake("project_out")
def numpy_direction(direction, nuisance):
    """This is a NumPy array. torch.from_numpy makes it a tensor."""
    return outside(direction, nuisance).numpy()


@mistake("project_out")
def direction_in_place(direction, nuisance):
    """The caller's direction is changed (`direction -= …`). Compute a new tensor."""
    direction -= inside(direction, nuisance)
    return direction


@mistake("project_out")
def nuisances_in_place(direction, nuisance):
    """The caller's nuisances are given unit length in place. Compute a new tensor."""
    left = outside(direction, nuisance)
    nuisance /= nuisance.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return left


@mistake("project_out")
def float32_only(direction, nuisance):
    """float64 directions are cast to float32, which keeps seven digits. Keep the dtype, or compute in float64."""
    return outside(direction.float(), nuisance.float())


@alternative("project_out")
def by_pseudo_inverse(direction, nuisance):
    return direction - torch.linalg.pinv(nuisance) @ (nuisance @ direction)


@alternative("project_out")
def by_least_squares(direction, nuisance):
    rows, whole = nuisance.double().numpy(), direction.double().numpy()
    if len(rows) == 0:
        return direction
    weights, *_ = np.linalg.lstsq(rows.T, whole, rcond=1e-8)
    return torch.tensor(whole - weights @ rows, dtype=direction.dtype)


@alternative("project_out")
def by_gram_schmidt(direction, nuisance):
    """What is left of a nuisance counts where it is more than rounding."""
    basis = []
    for row in nuisance.double():
        left = row.clone()
        for unit in basis:
            left -= (left @ unit) * unit
        if left.norm() > 1e-6 * row.norm():
            basis.append(left / left.norm())
    kept = direction.double().clone()
    for unit in basis:
        kept -= (kept @ unit) * unit
    return kept


@alternative("project_out")
def by_null_space(direction, nuisance):
    """The projection on what is orthogonal to all nuisances."""
    if nuisance.shape[0] == 0 or not nuisance.any():
        return direction.clone()
    free = torch.from_numpy(scipy.linalg.null_space(nuisance.double().numpy()))
    return (free @ (free.T @ direction.double())).to(direction.dtype)


@alternative("project_out")
def in_the_dtype_given(direction, nuisance):
    """The rows of Vh, without float64 and without unit lengths."""
    _, values, rows = torch.linalg.svd(nuisance, full_matrices=False)
    for value, row in zip(values, rows, strict=True):
        if value > 1e-5 * values[0]:
            direction = direction - (direction @ row) * row
    return direction


@alternative("project_out")
def by_pivoted_qr(direction, nuisance):
    basis, triangle, _ = scipy.linalg.qr(nuisance.double().numpy().T, mode="economic", pivoting=True)
    sizes = np.abs(np.diag(triangle))
    basis = basis[:, : (sizes > 1e-7 * sizes.max(initial=0)).sum()]
    whole = direction.double().numpy()
    return torch.from_numpy(whole - basis @ (basis.T @ whole)).to(direction.dtype)


def unit_of(direction):
    if not direction.any():
        raise ValueError("the direction is zero")
    return direction / direction.norm()


def orthogonalised(weight, unit):
    return weight - torch.outer(weight @ unit, unit)


@mistake("orthogonalise_weight")
def direction_not_normalised(weight, direction):
    """The direction is used as it is. Divide it by its length first: W − (W r̂) r̂ᵀ is a projection for a unit vector
    only."""
    unit_of(direction)
    return orthogonalised(weight, direction)


@mistake("orthogonalise_weight")
def normalised_once(weight, direction):
    """The direction occurs twice in the formula, and only one of the two was divided by its length. Use the unit vector
    in both places."""
    return weight - torch.outer(weight @ direction, unit_of(direction))


@mistake("orthogonalise_weight")
def what_it_reads(weight, direction):
    """This is W − r̂ r̂ᵀ W, for weights that stand left of what they act on: here it takes the direction out of what the
    weight *reads*. The stream's dimension comes last: W − (W r̂) r̂ᵀ."""
    unit = unit_of(direction)
    return weight - torch.outer(unit, unit @ weight)


@mistake("orthogonalise_weight")
def both_sides(weight, direction):
    """For a square weight the direction is taken out of what it reads as well. It should only not be written."""
    unit = unit_of(direction)
    result = orthogonalised(weight, unit)
    return result - torch.outer(unit, unit @ result) if weight.shape[0] == weight.shape[1] else result


@mistake("orthogonalise_weight")
def component_added(weight, direction):
    """The component along the direction is added. Subtract it."""
    unit = unit_of(direction)
    return weight + torch.outer(weight @ unit, unit)


@mistake("orthogonalise_weight")
def component_reversed(weight, direction):
    """The component along the direction is subtracted twice, which turns it round. Subtract it once."""
    unit = unit_of(direction)
    return weight - 2 * torch.outer(weight @ unit, unit)


@mistake("orthogonalise_weight")
def component_only(weight, direction):
    """This is what the weight writes *along* the direction. Subtract it from the weight."""
    unit = unit_of(direction)
    return torch.outer(weight @ unit, unit)


@mistake("orthogonalise_weight")
def direction_subtracted(weight, direction):
    """The unit vector is subtracted from every row, however much of it a row has. Subtract each row's component."""
    return weight - unit_of(direction)


@mistake("orthogonalise_weight")
def mean_component(weight, direction):
    """Every row loses the *mean* component of the rows. Each row has its own: torch.outer(weight @ unit, unit)."""
    unit = unit_of(direction)
    return weight - (weight @ unit).mean() * unit


@mistake("orthogonalise_weight")
def absolute_components(weight, direction):
    """Every row loses the *absolute value* of its component. Keep its sign."""
    unit = unit_of(direction)
    return weight - torch.outer((weight @ unit).abs(), unit)


@mistake("orthogonalise_weight")
def negative_components_kept(weight, direction):
    """Only components that point along the direction are removed, not those that point against it. Remove both."""
    unit = unit_of(direction)
    return weight - torch.outer((weight @ unit).clamp(min=0), unit)


@mistake("orthogonalise_weight")
def entries_multiplied(weight, direction):
    """Entries are multiplied by entries, without a sum over d_model: each dimension is scaled by itself. The component
    of a row is one number: weight @ unit."""
    return weight - weight * unit_of(direction) ** 2


@mistake("orthogonalise_weight")
def largest_dimension_emptied(weight, direction):
    """The column of the direction's largest entry is set to 0. A direction is no dimension: subtract its component from
    each row."""
    unit_of(direction)
    result = weight.clone()
    result[:, direction.abs().argmax()] = 0
    return result


@mistake("orthogonalise_weight")
def divided_by_sum(weight, direction):
    """The direction is divided by the sum of its absolute entries. Its length is the root of the sum of squares:
    direction.norm()."""
    unit_of(direction)
    return orthogonalised(weight, direction / direction.abs().sum())


@mistake("orthogonalise_weight")
def divided_by_largest(weight, direction):
    """The direction is divided by its largest absolute entry. Its length is the root of the sum of squares:
    direction.norm()."""
    unit_of(direction)
    return orthogonalised(weight, direction / direction.abs().max())


@mistake("orthogonalise_weight")
def row_lengths_restored(weight, direction):
    """Every row was stretched to its old length, so that the rest is written more strongly. Leave it as it is."""
    result = orthogonalised(weight, unit_of(direction))
    return F.normalize(result, dim=1) * weight.norm(dim=1, keepdim=True)


@mistake("orthogonalise_weight")
def size_restored(weight, direction):
    """The whole weight was stretched to its old norm, so that the rest is written more strongly. Leave it as it is."""
    result = orthogonalised(weight, unit_of(direction))
    return result * (weight.norm() / result.norm().clamp(min=1e-12))


@mistake("orthogonalise_weight")
def unchanged_weight(weight, direction):
    """The weight is returned as it was. Subtract from each row its component along the direction."""
    unit_of(direction)
    return weight.clone()


@mistake("orthogonalise_weight")
def zero_weight(weight, direction):
    """This weight writes nothing at all. Subtract only the component along the direction."""
    unit_of(direction)
    return torch.zeros_like(weight)


@mistake("orthogonalise_weight")
def transposed(weight, direction):
    """The result is transposed. Its shape is that of the weight, (d_in, d_model)."""
    return orthogonalised(weight, unit_of(direction)).T


@mistake("orthogonalise_weight")
def matrix_alone(weight, direction):
    """This is the matrix I − r̂ r̂ᵀ that takes the direction out. Multiply the weight by it."""
    unit = unit_of(direction)
    return torch.eye(len(unit), dtype=weight.dtype) - torch.outer(unit, unit)


@mistake("orthogonalise_weight")
def always_float64(weight, direction):
    """The result is float64 for a float32 weight, and does not fit into the model. Return it in the weight's dtype."""
    return orthogonalised(weight.double(), unit_of(direction).double())


@mistake("orthogonalise_weight")
def float32_in_between(weight, direction):
    """A float64 weight is cast to float32, which keeps seven digits. Compute in the dtype of the weight."""
    return orthogonalised(weight.float(), unit_of(direction).float()).to(weight.dtype)


@mistake("orthogonalise_weight")
def weight_in_place(weight, direction):
    """The caller's weight is changed (`weight -= …`). Compute a new tensor: the model may still need the old one."""
    unit = unit_of(direction)
    weight -= torch.outer(weight @ unit, unit)
    return weight


@mistake("orthogonalise_weight")
def direction_in_place_too(weight, direction):
    """The caller's direction is divided by its length in place (`direction /= …`). Compute a new tensor."""
    unit_of(direction)
    direction /= direction.norm()
    return orthogonalised(weight, direction)


@mistake("orthogonalise_weight")
def zero_direction_gives_nan(weight, direction):
    """A zero direction is divided by its length 0: everything is NaN. Raise ValueError."""
    return orthogonalised(weight, direction / direction.norm())


@mistake("orthogonalise_weight")
def zero_direction_accepted(weight, direction):
    """A zero direction leaves the weight as it is (as with F.normalize), so that nobody notices that nothing was
    removed. Raise ValueError."""
    return orthogonalised(weight, F.normalize(direction.double(), dim=0).to(weight.dtype))


@mistake("orthogonalise_weight")
def short_direction_refused(weight, direction):
    """A short direction is taken for a zero one. Only zero is refused: the length does not matter."""
    if direction.norm() < 1e-3:
        raise ValueError("the direction is zero")
    return orthogonalised(weight, unit_of(direction))


@mistake("orthogonalise_weight")
def small_number_added(weight, direction):
    """A small number is added to the direction's length, so that a short one is hardly removed. Divide by the length
    itself, and raise ValueError where it is 0."""
    unit_of(direction)
    return orthogonalised(weight, direction / (direction.norm() + 1e-5))


@mistake("orthogonalise_weight")
def unit_direction_expected(weight, direction):
    """A direction that is no unit vector is refused. Divide it by its length."""
    if abs(float(direction.norm()) - 1) > 1e-4:
        raise ValueError("not a unit vector")
    return orthogonalised(weight, direction)


@mistake("orthogonalise_weight")
def numpy_weight(weight, direction):
    """This is a NumPy array. torch.from_numpy makes it a tensor."""
    return orthogonalised(weight, unit_of(direction)).numpy()


@alternative("orthogonalise_weight")
def by_projection_matrix(weight, direction):
    squared = direction @ direction
    if squared == 0:
        raise ValueError("zero")
    return weight @ (
        torch.eye(len(direction), dtype=weight.dtype) - torch.outer(direction, direction) / squared
    )


@alternative("orthogonalise_weight")
def row_by_row(weight, direction):
    if all(entry == 0 for entry in direction.tolist()):
        raise ValueError("zero")
    unit = direction.double() / torch.linalg.vector_norm(direction.double())
    rows = [row.double() - torch.dot(row.double(), unit) * unit for row in weight]
    return torch.stack(rows).to(weight.dtype)


@alternative("orthogonalise_weight")
def by_orthogonal_complement(weight, direction):
    """Written in a basis of what is orthogonal to the direction, and back."""
    if float(direction.norm()) == 0.0:
        raise ValueError("zero")
    complement = torch.from_numpy(scipy.linalg.null_space(direction.double().numpy()[None]))
    return (weight.double() @ complement @ complement.T).to(weight.dtype)


@alternative("orthogonalise_weight")
def with_broadcasting(weight, direction):
    unit = F.normalize(direction, dim=0, eps=0)
    if unit.isnan().any():
        raise ValueError("zero")
    return weight - (weight * unit).sum(dim=1, keepdim=True) * unit


@alternative("orthogonalise_weight")
def by_addr(weight, direction):
    """In one call: alpha times the outer product, added to a new tensor."""
    length = direction.square().sum().sqrt()
    if not length > 0:
        raise ValueError("zero")
    return torch.addr(weight, weight.mv(direction / length), direction / length, alpha=-1)
