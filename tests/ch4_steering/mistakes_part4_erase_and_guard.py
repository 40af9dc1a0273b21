"""Wrong answers to chapter 4, part 4 that its checks must reject, and right ones written differently."""

import functools
import itertools

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F

from utils.course import alternative, mistake, recogniser

IN_SPAN = 1e-5


def check_rounds(n_rounds):
    if n_rounds < 0:
        raise ValueError("a negative number of rounds")


def identity_like(acts):
    return torch.eye(acts.shape[1], dtype=torch.float64)


def fitted(fit, acts, projection, labels):
    """The direction found in what the projection leaves, in float64."""
    return fit((acts.double() @ projection).to(acts.dtype), labels).double()


def without(direction):
    """The projection that removes one direction; the identity for zero."""
    length = direction.norm()
    unit = direction / length if length > 0 else direction
    return torch.eye(len(direction), dtype=direction.dtype) - torch.outer(unit, unit)


def removing_new(projection, coef):
    """The right step: of a new direction only its part outside the span goes."""
    new = projection @ coef
    return projection @ without(new) if new.norm() > IN_SPAN * coef.norm() else projection


def inlp(acts, labels, fit, n_rounds):
    """The right answer in float64, to be spoilt."""
    check_rounds(n_rounds)
    projection = identity_like(acts)
    for _ in range(n_rounds):
        projection = removing_new(projection, fitted(fit, acts, projection, labels))
    return projection


@mistake("inlp_projection")
def fitted_on_acts_each_round(acts, labels, fit, n_rounds):
    """Only the first direction is removed: every round is fitted on the activations as they are and finds the same one
    again, or there is only one round. Fit on what is left: acts @ projection."""
    check_rounds(n_rounds)
    projection = identity_like(acts)
    for _ in range(n_rounds):
        projection = removing_new(projection, fit(acts, labels).double())
    return projection.to(acts.dtype)


@mistake("inlp_projection")
def product_of_projections(acts, labels, fit, n_rounds):
    """The projections of the single directions are multiplied. Where the directions are not orthogonal the product is
    not symmetric, no projection, and an earlier direction comes back: remove only what is new, projection @ coef."""
    check_rounds(n_rounds)
    projection = identity_like(acts)
    for _ in range(n_rounds):
        projection = projection @ without(fitted(fit, acts, projection, labels))
    return projection.to(acts.dtype)


@mistake("inlp_projection")
def rounds_subtracted(acts, labels, fit, n_rounds):
    """I − Σ uuᵀ with the unit vectors as they were found. They overlap, so that what they share is removed more than
    once: make each orthogonal to the earlier ones first."""
    check_rounds(n_rounds)
    projection = identity_like(acts)
    for _ in range(n_rounds):
        coef = fitted(fit, acts, projection, labels)
        projection = projection - identity_like(acts) + without(coef)
    return projection.to(acts.dtype)


@mistake("inlp_projection")
def last_direction_alone(acts, labels, fit, n_rounds):
    """Only the direction of the last round is removed. Remove those of all rounds."""
    check_rounds(n_rounds)
    projection, last = identity_like(acts), identity_like(acts)
    for _ in range(n_rounds):
        coef = fitted(fit, acts, projection, labels)
        projection, last = removing_new(projection, coef), without(coef)
    return last.to(acts.dtype)


@mistake("inlp_projection")
def last_direction_for_fit(acts, labels, fit, n_rounds):
    """A round is fitted on the activations without the *last* direction only, so that earlier ones are there again. Fit
    on acts @ projection, with all directions so far removed."""
    check_rounds(n_rounds)
    projection, last = identity_like(acts), identity_like(acts)
    for _ in range(n_rounds):
        coef = fitted(fit, acts, last, labels)
        projection, last = removing_new(projection, coef), without(coef)
    return projection.to(acts.dtype)


@mistake("inlp_projection")
def one_round_more(acts, labels, fit, n_rounds):
    """There is one round too many: `range(n_rounds + 1)`."""
    check_rounds(n_rounds)
    return inlp(acts, labels, fit, n_rounds + 1).to(acts.dtype)


@mistake("inlp_projection")
def one_round_less(acts, labels, fit, n_rounds):
    """There is one round too few, as if the first fit did not count."""
    check_rounds(n_rounds)
    return inlp(acts, labels, fit, max(n_rounds - 1, 0)).to(acts.dtype)


@mistake("inlp_projection")
def not_normalised(acts, labels, fit, n_rounds):
    """I − wwᵀ is a projection only for a w of unit norm. Divide by w @ w."""
    check_rounds(n_rounds)
    projection = identity_like(acts)
    for _ in range(n_rounds):
        coef = fitted(fit, acts, projection, labels)
        new = projection @ coef
        if new.norm() > IN_SPAN * coef.norm():
            projection = projection - torch.outer(new, new)
    return projection.to(acts.dtype)


@mistake("inlp_projection")
def divided_by_norm_once(acts, labels, fit, n_rounds):
    """wwᵀ is divided by the norm of w. w occurs twice: divide by its square, w @ w."""
    check_rounds(n_rounds)
    projection = identity_like(acts)
    for _ in range(n_rounds):
        coef = fitted(fit, acts, projection, labels)
        new = projection @ coef
        if new.norm() > IN_SPAN * coef.norm():
            projection = projection - torch.outer(new, new) / new.norm()
    return projection.to(acts.dtype)


@mistake("inlp_projection")
def divided_by_zero(acts, labels, fit, n_rounds):
    """A direction of zero, or one without a part outside the span, is divided by its norm all the same. Skip it."""
    check_rounds(n_rounds)
    projection = identity_like(acts)
    for _ in range(n_rounds):
        new = projection @ fitted(fit, acts, projection, labels)
        projection = projection - torch.outer(new, new) / (new @ new)
    return projection.to(acts.dtype)


@mistake("inlp_projection")
def compared_with_exact_zero(acts, labels, fit, n_rounds):
    """Only a part of exactly 0 is skipped. Of a direction found before rounding leaves a trace, which the division
    turns into a direction out of nowhere: compare its norm with that of coef."""
    check_rounds(n_rounds)
    projection = identity_like(acts)
    for _ in range(n_rounds):
        projection = projection @ without(projection @ fitted(fit, acts, projection, labels))
    return projection.to(acts.dtype)


@mistake("inlp_projection")
def short_directions_skipped(acts, labels, fit, n_rounds):
    """Directions that are short in themselves are skipped. Their length says nothing: compare what is new of one,
    (projection @ coef).norm(), with coef.norm()."""
    check_rounds(n_rounds)
    projection = identity_like(acts)
    for _ in range(n_rounds):
        coef = fitted(fit, acts, projection, labels)
        if coef.norm() > 1e-4:
            projection = removing_new(projection, coef)
    return projection.to(acts.dtype)


@mistake("inlp_projection")
def qr_of_all_directions(acts, labels, fit, n_rounds):
    """QR gives as many orthonormal columns as it gets, also where a direction is zero or a mixture of the others: the
    columns in excess are arbitrary. Leave those directions out, or take the SVD and look at the singular values."""
    check_rounds(n_rounds)
    found, projection = [], identity_like(acts)
    for _ in range(n_rounds):
        found.append(fitted(fit, acts, projection, labels))
        basis, _ = torch.linalg.qr(torch.stack(found, dim=1))
        projection = identity_like(acts) - basis @ basis.T
    return projection.to(acts.dtype)


@mistake("inlp_projection")
def directions_stacked_unscaled(acts, labels, fit, n_rounds):
    """The directions are put into one matrix with the lengths that they have, and the short ones are taken for zero
    beside the long ones. Give each unit norm first."""
    check_rounds(n_rounds)
    found, projection = [], identity_like(acts)
    for _ in range(n_rounds):
        found.append(fitted(fit, acts, projection, labels))
        rows = torch.stack(found)
        projection = identity_like(acts) - torch.linalg.pinv(rows, rtol=IN_SPAN) @ rows
    return projection.to(acts.dtype)


@mistake("inlp_projection")
def span_returned(acts, labels, fit, n_rounds):
    """This is QQᵀ, the projection *onto* the directions found. What removes them is I − QQᵀ."""
    return (identity_like(acts) - inlp(acts, labels, fit, n_rounds)).to(acts.dtype)


@mistake("inlp_projection")
def projected_acts_returned(acts, labels, fit, n_rounds):
    """These are the projected activations. Return the projection, which can be applied to others too."""
    return (acts.double() @ inlp(acts, labels, fit, n_rounds)).to(acts.dtype)


@mistake("inlp_projection")
def directions_returned(acts, labels, fit, n_rounds):
    """These are the directions found, a row each. Return the projection that removes their span."""
    check_rounds(n_rounds)
    found, projection = [], identity_like(acts)
    for _ in range(n_rounds):
        found.append(fitted(fit, acts, projection, labels))
        projection = removing_new(projection, found[-1])
    return torch.stack(found).to(acts.dtype) if found else projection.to(acts.dtype)


@mistake("inlp_projection")
def centred_first(acts, labels, fit, n_rounds):
    """The mean is subtracted before the fits. Fit on acts @ projection, without centring: what a probe's intercept is
    for is its own business."""
    return inlp(acts - acts.mean(dim=0), labels, fit, n_rounds).to(acts.dtype)


@mistake("inlp_projection")
def standardised_first(acts, labels, fit, n_rounds):
    """The dimensions are standardised before the fits, so that the directions belong to another space. Fit on the
    activations as they are."""
    return inlp(acts / acts.std(dim=0), labels, fit, n_rounds).to(acts.dtype)


@mistake("inlp_projection")
def labels_as_numbers(acts, labels, fit, n_rounds):
    """`fit` is given the labels as numbers. Pass them on as they are: True and False."""
    check_rounds(n_rounds)
    return inlp(acts, labels.long(), fit, n_rounds).to(acts.dtype)


@mistake("inlp_projection")
def nothing_removed(acts, labels, fit, n_rounds):
    """This is the identity, whatever was found. Remove the directions that `fit` returns."""
    check_rounds(n_rounds)
    return torch.eye(acts.shape[1], dtype=acts.dtype)


@mistake("inlp_projection")
def acts_in_place(acts, labels, fit, n_rounds):
    """The caller's activations are projected in place. Compute a new tensor: acts @ projection."""
    projection = inlp(acts, labels, fit, n_rounds).to(acts.dtype)
    acts.copy_(acts @ projection)
    return projection


@mistake("inlp_projection")
def always_float64(acts, labels, fit, n_rounds):
    """The projection is float64 whatever the activations are, and acts @ projection fails for float32. Return it in the
    dtype of acts."""
    return inlp(acts, labels, fit, n_rounds)


@mistake("inlp_projection")
def always_float32(acts, labels, fit, n_rounds):
    """Everything is rounded to float32, which costs float64 activations half their digits. Return the projection in the
    dtype of acts."""
    return inlp(acts.float(), labels, fit, n_rounds).float()


@mistake("inlp_projection")
def negative_is_zero(acts, labels, fit, n_rounds):
    """A negative number of rounds is taken for none: range(-1) is empty. Raise ValueError."""
    return inlp(acts, labels, fit, max(n_rounds, 0)).to(acts.dtype)


@mistake("inlp_projection")
def asserts_rounds(acts, labels, fit, n_rounds):
    """A negative number of rounds raises AssertionError. The contract asks for a ValueError, which callers can
    expect."""
    assert n_rounds >= 0
    return inlp(acts, labels, fit, n_rounds).to(acts.dtype)


@mistake("inlp_projection")
def no_rounds_refused(acts, labels, fit, n_rounds):
    """No round raises ValueError. It is allowed, and gives the identity: raise for a negative number only."""
    if n_rounds < 1:
        raise ValueError("fewer than one round")
    return inlp(acts, labels, fit, n_rounds).to(acts.dtype)


@mistake("inlp_projection")
def zero_refused(acts, labels, fit, n_rounds):
    """A direction with nothing new raises ValueError. It is allowed, and removes nothing more."""
    check_rounds(n_rounds)
    projection = identity_like(acts)
    for _ in range(n_rounds):
        coef = fitted(fit, acts, projection, labels)
        if not (projection @ coef).norm() > IN_SPAN * coef.norm():
            raise ValueError("nothing new was found")
        projection = removing_new(projection, coef)
    return projection.to(acts.dtype)


@mistake("inlp_projection")
def more_rounds_than_dimensions_refused(acts, labels, fit, n_rounds):
    """More rounds than dimensions raise ValueError. They are allowed: once nothing is left they remove nothing."""
    if n_rounds > acts.shape[1]:
        raise ValueError("more rounds than dimensions")
    return inlp(acts, labels, fit, n_rounds).to(acts.dtype)


def same_numbers(received, expected):
    """Equal but for the dtype."""
    if not isinstance(received, torch.Tensor) or received.shape != expected.shape:
        return False
    return bool(((received - expected).abs() <= 1e-3 + 1e-3 * expected.abs()).all())


def wrong_dtype(values, truths):
    """The dtype that a value has in place of its truth's, where that is the only fault; otherwise None."""
    if not all(same_numbers(value, truth) for value, truth in zip(values, truths, strict=True)):
        return None
    wrong = {value.dtype for value, truth in zip(values, truths, strict=True) if value.dtype != truth.dtype}
    return wrong.pop() if len(wrong) == 1 else None


@recogniser("inlp_projection")
def recognise_projection_dtype(calls):
    """A dtype shows in no number."""
    valid = [(args, value) for args, _, value in calls if args[3] >= 0]
    truths = [inlp(*args).to(args[0].dtype) for args, _ in valid]
    dtype = wrong_dtype([value for _, value in valid], truths)
    return {torch.float64: "always_float64", torch.float32: "always_float32"}.get(dtype)


@alternative("inlp_projection")
def by_pseudo_inverse(acts, labels, fit, n_rounds):
    """D⁺D projects onto the rows of D."""
    if n_rounds < 0:
        raise ValueError("a negative number of rounds")
    found = torch.zeros(0, acts.shape[1], dtype=torch.float64)
    projection = identity_like(acts)
    for _ in range(n_rounds):
        coef = F.normalize(
            fit(acts=acts @ projection.to(acts.dtype), labels=labels).double(), dim=0, eps=1e-300
        )
        found = torch.cat([found, coef[None]])
        projection = identity_like(acts) - torch.linalg.pinv(found, rtol=IN_SPAN) @ found
    return projection.to(acts.dtype)


@alternative("inlp_projection")
def by_gram_schmidt(acts, labels, fit, n_rounds):
    """In the dtype of acts, and done as soon as a round finds nothing new: the next would find the same."""
    check_rounds(n_rounds)
    units, left = [], acts
    for _ in range(n_rounds):
        coef = fit(left.clone(), labels)
        new = coef.clone()
        for unit in (*units, *units):
            new = new - (new @ unit) * unit
        if not float(new.norm()) > 1e-4 * float(coef.norm()):
            break
        units.append(new / new.norm())
        left = left - (left @ units[-1])[:, None] * units[-1]
    projection = torch.eye(acts.shape[1], dtype=acts.dtype)
    return projection - sum((torch.outer(unit, unit) for unit in units), torch.zeros_like(projection))


@alternative("inlp_projection")
def by_sum_of_row_spaces(acts, labels, fit, n_rounds):
    """The null space of the sum of all single projections, as in the authors' own code."""
    check_rounds(n_rounds)
    total, projection = np.zeros((acts.shape[1], acts.shape[1])), np.eye(acts.shape[1])
    for _ in range(n_rounds):
        coef = fit(torch.from_numpy(acts.numpy() @ projection).to(acts.dtype), labels).double().numpy()
        length = np.linalg.norm(coef)
        if length > 0:
            total += np.outer(coef, coef) / length**2
        values, vectors = np.linalg.eigh(total)
        kept = vectors[:, values < 1e-9]
        projection = kept @ kept.T
    return torch.from_numpy(projection).to(acts.dtype)


@alternative("inlp_projection")
def by_null_space(acts, labels, fit, n_rounds):
    """Coordinates of the null space: a round removes one of them."""
    if not n_rounds >= 0:
        raise ValueError
    basis = identity_like(acts)
    for _ in range(n_rounds):
        coef = fit((acts.double() @ basis @ basis.T).to(acts.dtype), labels).double()
        inside = basis.T @ coef
        if bool(inside.norm() <= IN_SPAN * coef.norm()):
            continue
        # A reflection that turns the new direction into an axis, which is then left out.
        axes, _ = torch.linalg.qr(inside[:, None], mode="complete")
        basis = basis @ axes[:, 1:]
    return (basis @ basis.T).to(acts.dtype)


def one_hot_of(labels):
    """A column for each class; ValueError for fewer than two."""
    classes = labels.unique()
    if len(classes) < 2:
        raise ValueError("fewer than two classes")
    return (labels[:, None] == classes).double()


def centred_rows(acts):
    return acts.double() - acts.double().mean(dim=0)


def powers(sigma, *exponents, smallest=1e-12):
    """Σ to these powers, on the directions in which there is any variance."""
    values, vectors = torch.linalg.eigh(sigma)
    kept = values > smallest * values[-1]
    basis, values = vectors[:, kept], values[kept]
    return tuple(basis * values**exponent @ basis.T for exponent in exponents)


def basis_of(columns, smallest=1e-8):
    """An orthonormal basis of the columns."""
    left, values, _ = torch.linalg.svd(columns, full_matrices=False)
    return left[:, values > smallest]


def statistics(acts, labels):
    """Σ and Σxz, divided by n."""
    one_hot, centred = one_hot_of(labels), centred_rows(acts)
    return centred.T @ centred / len(acts), centred.T @ one_hot / len(acts)


def oblique(sigma, cross, **how):
    """The part that is removed: Σ^½ UUᵀ (Σ^½)⁺."""
    colour, whiten = powers(sigma, 0.5, -0.5, **how)
    told = basis_of(whiten @ cross)
    return colour @ told @ told.T @ whiten


def eraser_from(acts, removed, bias=None):
    """The answer from the part that is removed."""
    removed = removed.double()
    bias = removed @ acts.double().mean(dim=0) if bias is None else bias
    return (torch.eye(len(removed)).double() - removed).to(acts.dtype), bias.to(acts.dtype)


def leace(acts, labels):
    return eraser_from(acts, oblique(*statistics(acts, labels)))


@mistake("leace_eraser")
def orthogonal_projection(acts, labels):
    """The differences of means are projected out orthogonally. That makes the means equal, but it changes the
    activations more than needed: whiten first, project there, and undo the whitening."""
    told = basis_of(statistics(acts, labels)[1])
    return eraser_from(acts, told @ told.T)


@mistake("leace_eraser")
def transposed(acts, labels):
    """The projection is transposed, as for acts @ projection. It is not symmetric: it will be applied as
    acts @ projection.T, that is, to columns from the left."""
    projection, bias = leace(acts, labels)
    return projection.T, bias


@mistake("leace_eraser")
def bias_forgotten(acts, labels):
    """The bias is 0, so that the mean of all rows moves: a projection is about the origin, the activations are about
    their mean. It is mean − projection @ mean."""
    projection, bias = leace(acts, labels)
    return projection, torch.zeros_like(bias)


@mistake("leace_eraser")
def bias_is_mean(acts, labels):
    """The bias is the mean of all rows. That would be right for centred activations; for acts as they are it is
    mean − projection @ mean."""
    projection, _ = leace(acts, labels)
    return projection, acts.mean(dim=0)


@mistake("leace_eraser")
def bias_reversed(acts, labels):
    """The bias has the opposite sign. It is mean − projection @ mean."""
    projection, bias = leace(acts, labels)
    return projection, -bias


@mistake("leace_eraser")
def bias_transposed(acts, labels):
    """The bias is computed with mean @ projection, which is the transposed projection. It is
    mean − projection @ mean."""
    projection, _ = leace(acts, labels)
    mean = acts.double().mean(dim=0)
    return projection, (mean - mean @ projection.double()).to(acts.dtype)


@mistake("leace_eraser")
def mean_of_class_means(acts, labels):
    """The bias is computed from the mean of the classes' means. Classes differ in size: take the mean of all rows."""
    one_hot = one_hot_of(labels)
    middle = ((one_hot / one_hot.sum(dim=0)).T @ acts.double()).mean(dim=0)
    removed = oblique(*statistics(acts, labels))
    return eraser_from(acts, removed, removed @ middle)


@mistake("leace_eraser")
def covariance_not_centred(acts, labels):
    """Σ is computed from activations whose mean was not subtracted. A stream is far from the origin: centre first."""
    _, cross = statistics(acts, labels)
    return eraser_from(acts, oblique(acts.double().T @ acts.double() / len(acts), cross))


@mistake("leace_eraser")
def cross_covariance_not_centred(acts, labels):
    """Σxz is computed without subtracting a mean: its columns are then the sums of each class, and the overall mean is
    erased too. Centre the activations, or the labels."""
    sigma, _ = statistics(acts, labels)
    return eraser_from(acts, oblique(sigma, acts.double().T @ one_hot_of(labels) / len(acts)))


@mistake("leace_eraser")
def within_class_covariance(acts, labels):
    """Σ is the covariance within the classes. With enough rows that gives the same projection, but with fewer than
    dimensions it does not see all directions in which the means differ. Take the covariance of all rows together."""
    one_hot, (sigma, cross) = one_hot_of(labels), statistics(acts, labels)
    deviations = cross * len(acts) / one_hot.sum(dim=0)
    between = deviations * (one_hot.sum(dim=0) / len(acts)) @ deviations.T
    colour, whiten = powers(sigma - between, 0.5, -0.5, smallest=1e-9)
    told = basis_of(whiten @ cross)
    return eraser_from(acts, colour @ told @ told.T @ whiten)


@mistake("leace_eraser")
def root_forgotten(acts, labels):
    """The activations are multiplied by Σ⁺ instead of its square root. Whitened ones have the identity for their
    covariance: take values.sqrt()."""
    sigma, cross = statistics(acts, labels)
    colour, whiten = powers(sigma, 1.0, -1.0)
    told = basis_of(whiten @ cross)
    return eraser_from(acts, colour @ told @ told.T @ whiten)


@mistake("leace_eraser")
def dimensions_standardised(acts, labels):
    """Each dimension is divided by its own standard deviation, which leaves the correlations. Whitening removes these
    too: use the eigenvectors of Σ."""
    sigma, cross = statistics(acts, labels)
    return eraser_from(acts, oblique(sigma.diagonal().diag(), cross))


@mistake("leace_eraser")
def whitening_not_undone(acts, labels):
    """This is the projection in whitened coordinates. It needs the whitening on its right, and on its left what undoes
    it."""
    sigma, cross = statistics(acts, labels)
    (whiten,) = powers(sigma, -0.5)
    told = basis_of(whiten @ cross)
    return eraser_from(acts, told @ told.T)


@mistake("leace_eraser")
def whitening_exchanged(acts, labels):
    """Whitening and its inverse have changed places. Columns are whitened first, on the right of UUᵀ, and coloured
    again on its left."""
    sigma, cross = statistics(acts, labels)
    colour, whiten = powers(sigma, 0.5, -0.5)
    told = basis_of(whiten @ cross)
    return eraser_from(acts, whiten @ told @ told.T @ colour)


@mistake("leace_eraser")
def discriminant_projected_out(acts, labels):
    """The direction that tells the classes best, Σ⁺ (μ₁ − μ₀), is projected out orthogonally. Afterwards the means
    still differ along others: what has to go is the difference of means, read off along that direction."""
    sigma, cross = statistics(acts, labels)
    (precision,) = powers(sigma, -1.0)
    told = basis_of(precision @ cross)
    return eraser_from(acts, told @ told.T)


@mistake("leace_eraser")
def inverse(acts, labels):
    """Σ is inverted. Where activations vary in fewer than d_model dimensions it has no inverse: use the
    pseudo-inverse, on the eigenvectors whose eigenvalue is not zero."""
    sigma, cross = statistics(acts, labels)
    precision = torch.linalg.inv(sigma)
    removed = (
        cross
        @ torch.linalg.pinv(cross.T @ precision @ cross, rtol=1e-9, hermitian=True)
        @ cross.T
        @ precision
    )
    return eraser_from(acts, removed)


@mistake("leace_eraser")
def every_eigenvalue_kept(acts, labels):
    """Eigenvalues of zero are clamped to a tiny number and divided by. That blows up rounding in the directions in
    which nothing varies: leave these out."""
    sigma, cross = statistics(acts, labels)
    values, vectors = torch.linalg.eigh(sigma)
    spread = values.clamp(min=1e-12).sqrt()
    told = basis_of((vectors / spread @ vectors.T) @ cross)
    return eraser_from(acts, (vectors * spread @ vectors.T) @ told @ told.T @ (vectors / spread @ vectors.T))


@mistake("leace_eraser")
def covariance_shrunk(acts, labels):
    """Something is added to the diagonal of Σ, a tenth of its mean. That makes it invertible, and the means equal, but
    the change is no longer the least, and it is another one in other coordinates."""
    sigma, cross = statistics(acts, labels)
    ridge = 0.1 * sigma.diagonal().mean() * torch.eye(len(sigma)).double()
    return eraser_from(acts, oblique(sigma + ridge, cross))


@mistake("leace_eraser")
def small_variance_is_none(acts, labels):
    """Eigenvalues of Σ below a fixed number, 10⁻³, count as zero. It depends on the activations' scale what is small:
    compare with the largest eigenvalue."""
    sigma, cross = statistics(acts, labels)
    values, vectors = torch.linalg.eigh(sigma)
    basis, spread = vectors[:, values > 1e-3], values[values > 1e-3].sqrt()
    told = basis_of((basis / spread).T @ cross)
    return eraser_from(acts, (basis * spread) @ told @ told.T @ (basis / spread).T)


@mistake("leace_eraser")
def large_tolerance(acts, labels):
    """Eigenvalues of Σ below a ten-thousandth of the largest count as zero. In a residual stream many that matter are:
    in float64 zero is 10⁻¹² of the largest, or less."""
    sigma, cross = statistics(acts, labels)
    return eraser_from(acts, oblique(sigma, cross, smallest=1e-4))


@mistake("leace_eraser")
def as_many_directions_as_classes(acts, labels):
    """As many directions are removed as there are classes. The one-hot labels sum to 1, so that one of the columns is
    rounding: keep those with a singular value above 10⁻⁸."""
    sigma, cross = statistics(acts, labels)
    colour, whiten = powers(sigma, 0.5, -0.5)
    told = basis_of(whiten @ cross, smallest=-1.0)
    return eraser_from(acts, colour @ told @ told.T @ whiten)


@mistake("leace_eraser")
def relative_to_strongest(acts, labels):
    """A direction is kept where its singular value is not small compared with the *largest*. Where the means are equal
    all of them are rounding, and the largest is kept. Whitened activations and labels are of order 1: compare with
    10⁻⁸."""
    one_hot, centred = one_hot_of(labels), centred_rows(acts)
    colour, whiten = powers(centred.T @ centred / len(acts), 0.5, -0.5)
    left, values, _ = torch.linalg.svd((centred @ whiten).T @ one_hot, full_matrices=False)
    told = left[:, values >= 1e-6 * values[0]]
    return eraser_from(acts, colour @ told @ told.T @ whiten)


@mistake("leace_eraser")
def divided_by_nothing(acts, labels):
    """Where the means are equal already the formula divides 0 by 0. Nothing is to be erased then: the identity, and a
    bias of 0."""
    sigma, cross = statistics(acts, labels)
    (precision,) = powers(sigma, -1.0)
    if cross.shape[1] > 2 and bool(cross.any()):
        return leace(acts, labels)
    gap = cross[:, 1]
    return eraser_from(acts, torch.outer(gap, gap @ precision) / (gap @ precision @ gap))


@mistake("leace_eraser")
def labels_taken_as_numbers(acts, labels):
    """The labels are used as numbers. With three classes and more only what goes along with their number is erased, and
    integers are names: make them one-hot."""
    one_hot_of(labels)
    sigma, _ = statistics(acts, labels)
    return eraser_from(acts, oblique(sigma, centred_rows(acts).T @ labels.double()[:, None] / len(acts)))


@mistake("leace_eraser")
def one_class_against_rest(acts, labels):
    """Only one class is told from the rest. With more than two, the others still differ: use a column for each."""
    sigma, cross = statistics(acts, labels)
    return eraser_from(acts, oblique(sigma, cross[:, :1]))


@mistake("leace_eraser")
def labels_as_mask(acts, labels):
    """The labels are used as a mask, which integers are not: acts[labels] picks rows by their number. Compare the
    labels with each class."""
    if len(labels.unique()) < 2:
        raise ValueError("fewer than two classes")
    gap = acts[labels].double().mean(dim=0) - acts[~labels].double().mean(dim=0)
    sigma = centred_rows(acts).T @ centred_rows(acts) / len(acts)
    return eraser_from(acts, oblique(sigma, gap[:, None]))


@mistake("leace_eraser")
def one_hot_from_zero(acts, labels):
    """The columns of the one-hot labels are 0 … k − 1 for k classes. Integers are names, any of them: use the values
    that occur, labels.unique()."""
    n_classes = len(labels.unique())
    if n_classes < 2:
        raise ValueError("fewer than two classes")
    one_hot = (labels.long()[:, None] == torch.arange(n_classes)).double()
    sigma = centred_rows(acts).T @ centred_rows(acts) / len(acts)
    return eraser_from(acts, oblique(sigma, centred_rows(acts).T @ one_hot / len(acts)))


@mistake("leace_eraser")
def in_float32(acts, labels):
    """It is computed in the dtype that comes in. With spreads that differ by a factor of a thousand, Σ's eigenvalues
    differ by a million, and float32 has only seven digits: compute in float64."""
    one_hot = one_hot_of(labels).to(acts.dtype)
    centred = acts - acts.mean(dim=0)
    sigma = centred.T @ centred / len(acts)
    values, vectors = torch.linalg.eigh(sigma)
    kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
    basis, spread = vectors[:, kept], values[kept].sqrt()
    left, strength, _ = torch.linalg.svd(
        (centred @ (basis / spread)).T @ one_hot / len(acts), full_matrices=False
    )
    told = left[:, strength > 1e-5]
    return eraser_from(acts, (basis * spread) @ told @ told.T @ (basis / spread).T)


@mistake("leace_eraser")
def always_in_float64(acts, labels):
    """The answer is float64 whatever the activations are, and acts @ projection.T fails for float32. Return both in the
    dtype of acts."""
    return eraser_from(acts.double(), oblique(*statistics(acts, labels)))


@mistake("leace_eraser")
def bias_in_float64(acts, labels):
    """The bias is float64 whatever the activations are. Return it in the dtype of acts, as the projection."""
    removed = oblique(*statistics(acts, labels))
    return leace(acts, labels)[0], removed @ acts.double().mean(dim=0)


@mistake("leace_eraser")
def rounded_to_float32(acts, labels):
    """The answer is float32 whatever the activations are, which costs float64 ones half their digits. Return both in
    the dtype of acts."""
    projection, bias = leace(acts, labels)
    return projection.float(), bias.float()


@mistake("leace_eraser")
def bias_first(acts, labels):
    """Bias and projection have changed places. Return (projection, bias)."""
    return leace(acts, labels)[::-1]


@mistake("leace_eraser")
def removed_part_returned(acts, labels):
    """This is the part that is to be *removed*. The projection is the identity minus it."""
    projection, bias = leace(acts, labels)
    return torch.eye(len(bias), dtype=acts.dtype) - projection, bias


@mistake("leace_eraser")
def erased_rows_returned(acts, labels):
    """These are the erased activations. Return the eraser, (projection, bias), which can be applied to others too."""
    projection, bias = leace(acts, labels)
    return acts @ projection.T + bias


@mistake("leace_eraser")
def nothing_erased(acts, labels):
    """This eraser does nothing. It has to make the means of the classes equal."""
    return eraser_from(acts, 0 * oblique(*statistics(acts, labels)))


@mistake("leace_eraser")
def everything_erased(acts, labels):
    """Every row becomes the mean of all rows. That makes the classes' means equal, but nothing is left: remove only
    the directions in which they differ."""
    one_hot_of(labels)
    return eraser_from(acts, torch.eye(acts.shape[1]))


@mistake("leace_eraser")
def centred_in_place(acts, labels):
    """The caller's activations are centred in place. `acts -= acts.mean(dim=0)` changes them: write
    acts - acts.mean(dim=0)."""
    answer = leace(acts, labels)
    acts -= acts.mean(dim=0)
    return answer


@mistake("leace_eraser")
def single_class_accepted(acts, labels):
    """A single class is accepted, with the identity for an answer: the caller may have passed the wrong labels. Raise
    ValueError for fewer than two."""
    if len(labels.unique()) == 1:
        return torch.eye(acts.shape[1], dtype=acts.dtype), torch.zeros(acts.shape[1], dtype=acts.dtype)
    return leace(acts, labels)


@mistake("leace_eraser")
def only_all_true_refused(acts, labels):
    """ValueError is raised where no label is False or 0. All rows may be of any one class: count labels.unique()."""
    if bool((labels != 0).all()):
        raise ValueError("no row is False")
    if len(labels.unique()) < 2:
        return torch.eye(acts.shape[1], dtype=acts.dtype), torch.zeros(acts.shape[1], dtype=acts.dtype)
    return leace(acts, labels)


@mistake("leace_eraser")
def asserts_classes(acts, labels):
    """A single class raises AssertionError. The contract asks for a ValueError, which callers can expect."""
    assert len(labels.unique()) > 1
    return leace(acts, labels)


@recogniser("leace_eraser")
def recognise_eraser_dtype(calls):
    """A dtype shows in no number."""
    valid = [(args, value) for args, _, value in calls if len(args[1].unique()) > 1]
    if not all(isinstance(value, (tuple, list)) and len(value) == 2 for _, value in valid):
        return None
    truths = [leace(*args) for args, _ in valid]
    dtypes = [wrong_dtype([value[i] for _, value in valid], [truth[i] for truth in truths]) for i in (0, 1)]
    return {
        (torch.float64, torch.float64): "always_in_float64",
        (torch.float32, torch.float32): "rounded_to_float32",
        (None, torch.float64): "bias_in_float64",
    }.get(tuple(dtypes))


@alternative("leace_eraser")
def without_square_root(acts, labels):
    """Σxz (Σzx Σ⁺ Σxz)⁺ Σzx Σ⁺ is what is removed."""
    names = sorted(set(labels.tolist()))
    if len(names) < 2:
        raise ValueError("fewer than two classes")
    rows = acts.double()
    gaps = torch.stack([rows[labels == name].mean(dim=0) - rows.mean(dim=0) for name in names], dim=1)
    precision = torch.linalg.pinv(torch.atleast_2d(torch.cov(rows.T)), rtol=1e-11, hermitian=True)
    inner = torch.linalg.pinv(gaps.T @ precision @ gaps, rtol=1e-9, atol=1e-14, hermitian=True)
    projection = torch.eye(rows.shape[1], dtype=torch.float64) - gaps @ inner @ gaps.T @ precision
    return projection.to(acts.dtype), (rows.mean(dim=0) - projection @ rows.mean(dim=0)).to(acts.dtype)


@alternative("leace_eraser")
def by_singular_vectors(acts, labels):
    """The left singular vectors of the centred rows are whitened already."""
    one_hot, centred = one_hot_of(labels), centred_rows(acts)
    white, spread, axes = torch.linalg.svd(centred, full_matrices=False)
    kept = spread > 1e-7 * spread[0]
    white, spread, axes = white[:, kept], spread[kept, None], axes[kept]
    told, strength, _ = torch.linalg.svd(white.T @ (one_hot - one_hot.mean(dim=0)), full_matrices=False)
    told = told[:, strength > 1e-7]
    removed = (axes.T * spread.T) @ (told @ told.T) @ (axes / spread)
    projection = torch.eye(acts.shape[1], dtype=torch.float64) - removed
    return projection.to(acts.dtype), (removed @ acts.double().mean(dim=0)).to(acts.dtype)


@alternative("leace_eraser")
def class_after_class(acts, labels):
    """One direction for each class against the rest, each time in what is left: the last one finds nothing."""
    if labels.unique().numel() <= 1:
        raise ValueError
    mean = acts.double().mean(dim=0)
    left, projection = acts.double() - mean, torch.eye(len(mean), dtype=torch.float64)
    for name in labels.unique():
        gap = left[labels == name].mean(dim=0)
        precision = torch.linalg.pinv(left.T @ left / len(left), rtol=1e-11, hermitian=True)
        told = gap @ precision @ gap
        if told > 1e-14:
            step = torch.eye(len(mean), dtype=torch.float64) - torch.outer(gap, gap @ precision) / told
            left, projection = left @ step.T, step @ projection
    return projection.to(acts.dtype), (mean - projection @ mean).to(acts.dtype)


@alternative("leace_eraser")
def by_scipy(acts, labels):
    rows, names = acts.numpy().astype(float), np.unique(labels.numpy())
    if len(names) < 2:
        raise ValueError("fewer than two classes")
    centred = rows - rows.mean(axis=0)
    # Leaving out a class loses nothing: its column is minus the sum of the others.
    cross = centred.T @ (labels.numpy()[:, None] == names[1:])
    values, vectors = scipy.linalg.eigh(centred.T @ centred)
    root = vectors * np.sqrt(values.clip(min=0)) @ vectors.T
    whiten = np.linalg.pinv(root, rcond=1e-6)
    told = whiten @ cross
    inner = np.linalg.pinv(told, rcond=1e-9) if np.abs(told).max(initial=0) > 1e-9 else np.zeros(told.T.shape)
    projection = np.eye(len(root)) - root @ told @ inner @ whiten
    bias = rows.mean(axis=0) - projection @ rows.mean(axis=0)
    return torch.from_numpy(projection).to(acts.dtype), torch.from_numpy(bias).to(acts.dtype)


def rank_of(erase):
    """How many directions a projection removes."""
    return round(float(len(erase) - erase.double().trace()))


def check_erasures(erase, random_erase):
    if len(random_erase) == 0:
        raise ValueError("no draw")
    if any(rank_of(each) != rank_of(erase) for each in random_erase):
        raise ValueError("another rank")


def metrics(model_metric, erase, random_erase):
    """Nothing erased, the concept, and each of the draws."""
    check_erasures(erase, random_erase)
    draws = [float(model_metric(each)) for each in random_erase]
    return float(model_metric(None)), float(model_metric(erase)), draws


@mistake("amnesic_effect")
def drop_without_control(model_metric, erase, random_erase):
    """This is the whole drop, without the control: erasing anything does damage. Subtract the mean drop of the random
    erasures."""
    nothing, concept, _ = metrics(model_metric, erase, random_erase)
    return nothing - concept


@mistake("amnesic_effect")
def control_alone(model_metric, erase, random_erase):
    """This is what the random erasures cost. Subtract it from what the concept's costs."""
    nothing, _, draws = metrics(model_metric, erase, random_erase)
    return nothing - sum(draws) / len(draws)


@mistake("amnesic_effect")
def erased_metric(model_metric, erase, random_erase):
    """This is the metric with the concept erased. The effect is a drop, compared with that of random erasures."""
    return metrics(model_metric, erase, random_erase)[1]


@mistake("amnesic_effect")
def sign_reversed(model_metric, erase, random_erase):
    """The sign is reversed. It is positive where the concept costs more than random directions."""
    _, concept, draws = metrics(model_metric, erase, random_erase)
    return concept - sum(draws) / len(draws)


@mistake("amnesic_effect")
def drops_added(model_metric, erase, random_erase):
    """The two drops are added. The random one is the control: subtract it."""
    nothing, concept, draws = metrics(model_metric, erase, random_erase)
    return 2 * nothing - concept - sum(draws) / len(draws)


@mistake("amnesic_effect")
def draws_summed(model_metric, erase, random_erase):
    """The drops of all draws are summed. Take their mean."""
    nothing, concept, draws = metrics(model_metric, erase, random_erase)
    return nothing - concept - sum(nothing - draw for draw in draws)


@mistake("amnesic_effect")
def first_draw_only(model_metric, erase, random_erase):
    """Only the first random erasure is used. One draw may be lucky: take the mean over all."""
    check_erasures(erase, random_erase)
    return float(model_metric(random_erase[0])) - float(model_metric(erase))


@mistake("amnesic_effect")
def worst_draw(model_metric, erase, random_erase):
    """The random erasure that does most damage is the control. The contract asks for the mean over draws."""
    _, concept, draws = metrics(model_metric, erase, random_erase)
    return min(draws) - concept


@mistake("amnesic_effect")
def mildest_draw(model_metric, erase, random_erase):
    """The random erasure that does least damage is the control, which flatters the effect. Take the mean over draws."""
    _, concept, draws = metrics(model_metric, erase, random_erase)
    return max(draws) - concept


@mistake("amnesic_effect")
def median_draw(model_metric, erase, random_erase):
    """The median over draws is the control. The contract asks for the mean."""
    _, concept, draws = metrics(model_metric, erase, random_erase)
    return float(np.median(draws)) - concept


@mistake("amnesic_effect")
def mean_projection(model_metric, erase, random_erase):
    """The random projections are averaged, and the metric is asked about the average, which is no projection: it
    shrinks everything a little. Average the metrics."""
    check_erasures(erase, random_erase)
    return float(model_metric(random_erase.mean(dim=0))) - float(model_metric(erase))


@mistake("amnesic_effect")
def an_effect_each(model_metric, erase, random_erase):
    """This is the effect against each draw. Return one number, their mean."""
    _, concept, draws = metrics(model_metric, erase, random_erase)
    return [draw - concept for draw in draws]


@mistake("amnesic_effect")
def ratio_of_drops(model_metric, erase, random_erase):
    """The drops are divided. Subtract them: a ratio explodes where random directions do next to no damage."""
    nothing, concept, draws = metrics(model_metric, erase, random_erase)
    control = nothing - sum(draws) / len(draws)
    return (nothing - concept) / control if control else 0.0


@mistake("amnesic_effect")
def share_of_metric(model_metric, erase, random_erase):
    """The effect is divided by the metric with nothing erased. It is to be in the metric's own units."""
    nothing, concept, draws = metrics(model_metric, erase, random_erase)
    return (sum(draws) / len(draws) - concept) / nothing if nothing else 0.0


@mistake("amnesic_effect")
def without_sign(model_metric, erase, random_erase):
    """The absolute value is returned. The effect is negative where random directions do more damage than the
    concept's."""
    _, concept, draws = metrics(model_metric, erase, random_erase)
    return abs(sum(draws) / len(draws) - concept)


@mistake("amnesic_effect")
def cut_off_at_zero(model_metric, erase, random_erase):
    """A negative effect is reported as 0. It is a result: random directions do more damage than the concept's."""
    _, concept, draws = metrics(model_metric, erase, random_erase)
    return max(0.0, sum(draws) / len(draws) - concept)


@mistake("amnesic_effect")
def always_zero(model_metric, erase, random_erase):
    """This is 0 whatever the metric says."""
    check_erasures(erase, random_erase)
    return 0.0


@mistake("amnesic_effect")
def identity_for_nothing(model_metric, erase, random_erase):
    """The metric is asked about the identity for "nothing erased". It takes None for that, and it need not be asked at
    all."""
    check_erasures(erase, random_erase)
    draws = [float(model_metric(each)) for each in random_erase]
    nothing = float(model_metric(torch.eye(len(erase), dtype=erase.dtype)))
    return (nothing - float(model_metric(erase))) - (nothing - sum(draws) / len(draws))


@mistake("amnesic_effect")
def complement_erased(model_metric, erase, random_erase):
    """The metric is asked about I − P, which leaves the concept and removes all the rest. Hand on the projections as
    they are."""
    check_erasures(erase, random_erase)
    eye = torch.eye(len(erase), dtype=erase.dtype)
    draws = [float(model_metric(eye - each)) for each in random_erase]
    return sum(draws) / len(draws) - float(model_metric(eye - erase))


@mistake("amnesic_effect")
def transposed_projections(model_metric, erase, random_erase):
    """The metric is asked about transposed projections. An oblique one is not symmetric: hand them on as they are."""
    check_erasures(erase, random_erase)
    draws = [float(model_metric(each.T)) for each in random_erase]
    return sum(draws) / len(draws) - float(model_metric(erase.T))


@mistake("amnesic_effect")
def asked_for_each_draw(model_metric, erase, random_erase):
    """The metric with the concept erased is computed anew for every draw. It is expensive: once is enough."""
    check_erasures(erase, random_erase)
    effects = [float(model_metric(each)) - float(model_metric(erase)) for each in random_erase]
    return sum(effects) / len(effects)


@mistake("amnesic_effect")
def nothing_asked_for_each_draw(model_metric, erase, random_erase):
    """The metric with nothing erased is computed anew for every draw. It is expensive, and it drops out of the
    difference."""
    check_erasures(erase, random_erase)
    control = [float(model_metric(None)) - float(model_metric(each)) for each in random_erase]
    return float(model_metric(None)) - float(model_metric(erase)) - sum(control) / len(control)


def difference(model_metric, erase, random_erase):
    """The right answer for valid input."""
    draws = [float(model_metric(each)) for each in random_erase]
    return sum(draws) / len(draws) - float(model_metric(erase))


@mistake("amnesic_effect")
def ranks_not_compared(model_metric, erase, random_erase):
    """Random erasures of another rank are accepted. Removing more directions does more damage, so that the comparison
    means nothing: raise ValueError."""
    if len(random_erase) == 0:
        raise ValueError("no draw")
    return difference(model_metric, erase, random_erase)


@mistake("amnesic_effect")
def first_rank_compared(model_metric, erase, random_erase):
    """Only the first random erasure's rank is compared. Each of them must remove as many directions."""
    check_erasures(erase, random_erase[:1])
    return difference(model_metric, erase, random_erase)


@mistake("amnesic_effect")
def mean_rank_compared(model_metric, erase, random_erase):
    """The ranks are compared on average: one direction and three are taken for two and two. Compare each."""
    if len(random_erase) == 0 or np.mean([rank_of(each) for each in random_erase]) != rank_of(erase):
        raise ValueError("no draw, or another rank")
    return difference(model_metric, erase, random_erase)


@mistake("amnesic_effect")
def larger_rank_accepted(model_metric, erase, random_erase):
    """Random erasures of a larger rank are accepted. They do more damage than a fair control: the ranks must be
    equal."""
    if len(random_erase) == 0 or any(rank_of(each) < rank_of(erase) for each in random_erase):
        raise ValueError("no draw, or a smaller rank")
    return difference(model_metric, erase, random_erase)


@mistake("amnesic_effect")
def smaller_rank_accepted(model_metric, erase, random_erase):
    """Random erasures of a smaller rank are accepted. They do less damage than a fair control: the ranks must be
    equal."""
    if len(random_erase) == 0 or any(rank_of(each) > rank_of(erase) for each in random_erase):
        raise ValueError("no draw, or a larger rank")
    return difference(model_metric, erase, random_erase)


@mistake("amnesic_effect")
def trace_cut_off(model_metric, erase, random_erase):
    """The trace is cut off with int(), which makes 6 of 6.9999999. Use round()."""
    if len(random_erase) == 0:
        raise ValueError("no draw")
    ranks = {int(len(each) - each.trace()) for each in (erase, *random_erase)}
    if len(ranks) > 1:
        raise ValueError("another rank")
    return difference(model_metric, erase, random_erase)


@mistake("amnesic_effect")
def traces_compared_exactly(model_metric, erase, random_erase):
    """The traces are compared to the last bit. They are rounded: compare the whole numbers nearest to them."""
    if len(random_erase) == 0:
        raise ValueError("no draw")
    if len({float(each.trace()) for each in (erase, *random_erase)}) > 1:
        raise ValueError("another rank")
    return difference(model_metric, erase, random_erase)


@mistake("amnesic_effect")
def no_draw_is_no_control(model_metric, erase, random_erase):
    """Without a random erasure the whole drop is returned. Then there is no control: raise ValueError."""
    if len(random_erase) == 0:
        return float(model_metric(None)) - float(model_metric(erase))
    check_erasures(erase, random_erase)
    return difference(model_metric, erase, random_erase)


@mistake("amnesic_effect")
def no_draw_is_zero(model_metric, erase, random_erase):
    """Without a random erasure the effect is said to be 0. It is unknown: raise ValueError."""
    if len(random_erase) == 0:
        return 0.0
    check_erasures(erase, random_erase)
    return difference(model_metric, erase, random_erase)


@mistake("amnesic_effect")
def no_draw_divides_by_zero(model_metric, erase, random_erase):
    """Without a random erasure the mean divides by zero. Raise ValueError first."""
    if any(rank_of(each) != rank_of(erase) for each in random_erase):
        raise ValueError("another rank")
    return difference(model_metric, erase, random_erase)


@mistake("amnesic_effect")
def asserts_ranks(model_metric, erase, random_erase):
    """Another rank, or no draw, raises AssertionError. The contract asks for a ValueError, which callers can expect."""
    assert len(random_erase)
    assert all(rank_of(each) == rank_of(erase) for each in random_erase)
    return difference(model_metric, erase, random_erase)


@mistake("amnesic_effect")
def complement_in_place(model_metric, erase, random_erase):
    """The caller's projections are changed in place, to I − P. Compute a new tensor."""
    check_erasures(erase, random_erase)
    answer = difference(model_metric, erase, random_erase)
    for each in (erase, random_erase):
        each.neg_().add_(torch.eye(len(erase), dtype=erase.dtype))
    return answer


@recogniser("amnesic_effect")
def recognise_questions(calls):
    """Which questions were asked shows in no number: the check's own metric has noted them."""
    for (metric, erase, random_erase), _, value in calls:
        if len(random_erase) == 0 or any(rank_of(each) != rank_of(erase) for each in random_erase):
            continue
        if not isinstance(value, (float, torch.Tensor)) or np.ndim(value):
            return None
        if not abs(float(value) - difference(metric, erase, random_erase)) < 1e-3:
            return None
    for (metric, erase, _), _, _ in calls:
        asked = getattr(metric, "erased", [])
        matrices = [each for each in asked if each is not None and each.shape == erase.shape]
        if sum(same_numbers(each, torch.eye(len(erase)).to(each)) for each in matrices):
            return "identity_for_nothing"
        if sum(same_numbers(each, erase) for each in matrices) > 1:
            return "asked_for_each_draw"
        if sum(each is None for each in asked) > 1:
            return "nothing_asked_for_each_draw"
    return None


@alternative("amnesic_effect")
def by_formula(model_metric, erase, random_erase):
    """The formula as it stands, with ranks from singular values."""
    eye = torch.eye(len(erase), dtype=erase.dtype)
    ranks = (
        torch.linalg.matrix_rank(eye - random_erase, atol=0.5) if len(random_erase) else torch.tensor([-1])
    )
    if bool((ranks != torch.linalg.matrix_rank(eye - erase, atol=0.5)).any()):
        raise ValueError("no draw, or another rank")
    nothing = model_metric(None)
    drops = torch.tensor([nothing - model_metric(each) for each in random_erase], dtype=torch.float64)
    return float(nothing - model_metric(erase) - drops.mean())


@alternative("amnesic_effect")
def by_default_rank(model_metric, erase, random_erase):
    """torch's own tolerance for ranks, the concept first, and a running mean."""
    eye, effect = torch.eye(erase.shape[0]).to(erase), 0.0
    concept = model_metric(erase)
    for number, draw in enumerate(random_erase, start=1):
        if torch.linalg.matrix_rank(eye - draw) != torch.linalg.matrix_rank(eye - erase):
            raise ValueError(f"draw {number} removes another number of directions")
        effect += (model_metric(draw) - concept - effect) / number
    if not len(random_erase):
        raise ValueError("no draw")
    return effect


@alternative("amnesic_effect")
def by_eigenvalues(model_metric, erase, random_erase):
    """In numpy: the eigenvalues of a projection are 0 and 1, and those of what it removes are the others."""
    every = np.concatenate([erase.double().numpy()[None], random_erase.double().numpy()])
    ranks = (np.abs(np.linalg.eigvals(every) - 1) > 0.5).sum(axis=1)
    if len(every) == 1 or np.ptp(ranks):
        raise ValueError("no draw, or another rank")
    results = np.array([model_metric(None if each is None else each) for each in (erase, *random_erase)])
    return torch.tensor(results[1:].mean() - results[0])


def hook_of(first, later):
    """A hook from what it does on its first pass, which returns what to remember, and on every pass with that."""
    memory = []

    def hook(resid, hook):
        if not memory:
            memory.append(first(resid))
        elif len(resid) != len(memory[0]):
            raise ValueError("another number of rows")
        return later(resid, memory[0])

    return hook


def firing(probe_coef, probe_intercept, threshold):
    """Which rows fire: the right decision."""
    return lambda resid: resid[:, -1] @ probe_coef + probe_intercept > threshold


def adding(step):
    """The right thing to do with the decision."""

    def add(resid, fires):
        steered = resid.clone()
        steered[fires] += step
        return steered

    return add


@mistake("conditional_steering_hook")
def decided_on_every_pass(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The probe is asked again on every pass, so that steering goes on and off with each new token. Decide on the first
    pass and remember it."""
    decide, add = firing(probe_coef, probe_intercept, threshold), adding(coefficient * direction)
    return hook_of(torch.ones_like, lambda resid, _: add(resid, decide(resid)))


@mistake("conditional_steering_hook")
def decided_anew_on_long_passes(probe_coef, probe_intercept, threshold, direction, coefficient):
    """A later pass of several positions is taken for a new prompt, and the probe is asked again. A hook serves one run:
    only its very first pass decides."""
    decide, add, memory = firing(probe_coef, probe_intercept, threshold), adding(coefficient * direction), []

    def hook(resid, hook):
        if memory and len(resid) != len(memory[-1]):
            raise ValueError("another number of rows")
        if not memory or resid.shape[1] > 1:
            memory.append(decide(resid))
        return add(resid, memory[-1])

    return hook


@mistake("conditional_steering_hook")
def decided_on_long_passes_only(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The first pass is told by having more than one position, so that a prompt of a single token is never steered.
    Remember in a variable whether the first pass is over."""
    decide, add = firing(probe_coef, probe_intercept, threshold), adding(coefficient * direction)
    return hook_of(lambda resid: decide(resid) & (resid.shape[1] > 1), add)


@mistake("conditional_steering_hook")
def first_pass_only(probe_coef, probe_intercept, threshold, direction, coefficient):
    """Only the first pass is steered, and what the model writes afterwards is not. Rows that fire are steered on every
    pass."""
    decide, add, passes = firing(probe_coef, probe_intercept, threshold), adding(coefficient * direction), []

    def later(resid, fires):
        passes.append(resid)
        return add(resid, fires) if len(passes) == 1 else resid.clone()

    return hook_of(decide, later)


@mistake("conditional_steering_hook")
def later_passes_all_rows(probe_coef, probe_intercept, threshold, direction, coefficient):
    """After the first pass every row is steered. Rows whose prompt did not fire stay as they are on every pass."""
    decide, add, passes = firing(probe_coef, probe_intercept, threshold), adding(coefficient * direction), []

    def later(resid, fires):
        passes.append(resid)
        return add(resid, fires) if len(passes) == 1 else resid + coefficient * direction

    return hook_of(decide, later)


@mistake("conditional_steering_hook")
def every_row(probe_coef, probe_intercept, threshold, direction, coefficient):
    """Every row is steered, whether its probe fires or not."""
    return hook_of(lambda resid: resid, lambda resid, _: resid + coefficient * direction)


@mistake("conditional_steering_hook")
def no_row(probe_coef, probe_intercept, threshold, direction, coefficient):
    """No row is ever steered."""
    return hook_of(lambda resid: resid, lambda resid, _: resid.clone())


@mistake("conditional_steering_hook")
def all_if_any_fires(probe_coef, probe_intercept, threshold, direction, coefficient):
    """As soon as one row fires the whole batch is steered. Each row decides for itself."""
    decide = firing(probe_coef, probe_intercept, threshold)
    return hook_of(lambda resid: decide(resid).any().expand(len(resid)), adding(coefficient * direction))


@mistake("conditional_steering_hook")
def all_if_all_fire(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The batch is steered only where all of its rows fire. Each row decides for itself."""
    decide = firing(probe_coef, probe_intercept, threshold)
    return hook_of(lambda resid: decide(resid).all().expand(len(resid)), adding(coefficient * direction))


@mistake("conditional_steering_hook")
def first_row_decides(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The first row decides for the whole batch: `resid[0, -1]`. Take the last position of every row, resid[:, -1]."""
    decide = firing(probe_coef, probe_intercept, threshold)
    return hook_of(lambda resid: decide(resid)[:1].expand(len(resid)), adding(coefficient * direction))


@mistake("conditional_steering_hook")
def mean_score_decides(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The batch's mean score decides for all rows. Each row decides for itself."""

    def decide(resid):
        return ((resid[:, -1] @ probe_coef).mean() + probe_intercept > threshold).expand(len(resid))

    return hook_of(decide, adding(coefficient * direction))


@mistake("conditional_steering_hook")
def first_position_read(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The probe reads the first position, which has seen nothing of the prompt. Read the last: resid[:, -1]."""
    return hook_of(
        lambda resid: resid[:, 0] @ probe_coef + probe_intercept > threshold, adding(coefficient * direction)
    )


@mistake("conditional_steering_hook")
def mean_position_read(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The probe reads the mean over positions. Read the last one: resid[:, -1]."""
    return hook_of(
        lambda resid: resid.mean(dim=1) @ probe_coef + probe_intercept > threshold,
        adding(coefficient * direction),
    )


@mistake("conditional_steering_hook")
def any_position_fires(probe_coef, probe_intercept, threshold, direction, coefficient):
    """A row fires where the probe fires at *any* position. Read the last one: resid[:, -1]."""
    return hook_of(
        lambda resid: (resid @ probe_coef + probe_intercept > threshold).any(dim=1),
        adding(coefficient * direction),
    )


@mistake("conditional_steering_hook")
def each_position_for_itself(probe_coef, probe_intercept, threshold, direction, coefficient):
    """Each position decides for itself. The last one decides for its whole row."""

    def later(resid, first):
        fires = resid @ probe_coef + probe_intercept > threshold
        if resid is not first:
            fires = (first[:, -1] @ probe_coef + probe_intercept > threshold)[:, None].expand(fires.shape)
        return adding(coefficient * direction)(resid, fires)

    return hook_of(lambda resid: resid, later)


@mistake("conditional_steering_hook")
def last_position_steered(probe_coef, probe_intercept, threshold, direction, coefficient):
    """Only the last position of a pass is steered. It is where the probe reads; steered are all positions of the
    row."""

    def later(resid, fires):
        steered = resid.clone()
        steered[fires, -1] += coefficient * direction
        return steered

    return hook_of(firing(probe_coef, probe_intercept, threshold), later)


@mistake("conditional_steering_hook")
def fires_at_threshold(probe_coef, probe_intercept, threshold, direction, coefficient):
    """A row that scores exactly the threshold fires. It must score more: > and not >=."""
    return hook_of(
        lambda resid: resid[:, -1] @ probe_coef + probe_intercept >= threshold,
        adding(coefficient * direction),
    )


@mistake("conditional_steering_hook")
def fires_below(probe_coef, probe_intercept, threshold, direction, coefficient):
    """Rows *below* the threshold are steered. Those above it fire."""
    decide = firing(probe_coef, probe_intercept, threshold)
    return hook_of(lambda resid: ~decide(resid), adding(coefficient * direction))


@mistake("conditional_steering_hook")
def intercept_forgotten(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The intercept is not added to the score."""
    return hook_of(firing(probe_coef, 0.0, threshold), adding(coefficient * direction))


@mistake("conditional_steering_hook")
def intercept_subtracted(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The intercept is subtracted from the score. Add it."""
    return hook_of(firing(probe_coef, -probe_intercept, threshold), adding(coefficient * direction))


@mistake("conditional_steering_hook")
def threshold_of_zero(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The score is compared with 0. Compare it with the threshold."""
    return hook_of(firing(probe_coef, probe_intercept, 0.0), adding(coefficient * direction))


@mistake("conditional_steering_hook")
def score_as_probability(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The score is turned into a probability before it is compared. The threshold is one of the score itself."""
    return hook_of(
        lambda resid: torch.sigmoid(resid[:, -1] @ probe_coef + probe_intercept) > threshold,
        adding(coefficient * direction),
    )


@mistake("conditional_steering_hook")
def probe_normalised(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The probe's weights are divided by their norm, so that the score is another one. Threshold and intercept belong
    to the weights as they are."""
    decide = firing(probe_coef / probe_coef.norm(), probe_intercept, threshold)
    return hook_of(decide, adding(coefficient * direction))


@mistake("conditional_steering_hook")
def cosine_scored(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The score is the cosine of the stream and the probe's weights. It is their product, plus the intercept."""
    return hook_of(
        lambda resid: F.cosine_similarity(resid[:, -1], probe_coef, dim=-1) + probe_intercept > threshold,
        adding(coefficient * direction),
    )


@mistake("conditional_steering_hook")
def scored_by_direction(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The score is taken along the steering direction. The probe has weights of its own, which need not point there."""
    return hook_of(firing(direction, probe_intercept, threshold), adding(coefficient * direction))


@mistake("conditional_steering_hook")
def steered_along_probe(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The stream is steered along the probe's weights. The probe only decides: add coefficient · direction."""
    return hook_of(firing(probe_coef, probe_intercept, threshold), adding(coefficient * probe_coef))


@mistake("conditional_steering_hook")
def step_by_score(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The step grows with how far the score is above the threshold. Every row that fires gets the same step,
    coefficient · direction."""

    def first(resid):
        return (resid[:, -1] @ probe_coef + probe_intercept - threshold).clamp(min=0)

    def later(resid, excess):
        return resid + excess[:, None, None] * coefficient * direction

    return hook_of(first, later)


@mistake("conditional_steering_hook")
def coefficient_forgotten(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The direction is added without the coefficient. Add coefficient · direction."""
    return hook_of(firing(probe_coef, probe_intercept, threshold), adding(direction))


@mistake("conditional_steering_hook")
def direction_normalised(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The direction was divided by its length first. Add coefficient · direction, with the length that it has."""
    return hook_of(
        firing(probe_coef, probe_intercept, threshold), adding(coefficient * direction / direction.norm())
    )


@mistake("conditional_steering_hook")
def subtracted(probe_coef, probe_intercept, threshold, direction, coefficient):
    """coefficient · direction is subtracted, so that the stream moves the other way. Add it."""
    return hook_of(firing(probe_coef, probe_intercept, threshold), adding(-coefficient * direction))


@mistake("conditional_steering_hook")
def replaced(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The stream of rows that fire is *replaced* by coefficient · direction, and what it held is lost. Add to it."""

    def later(resid, fires):
        return torch.where(fires[:, None, None], coefficient * direction, resid)

    return hook_of(firing(probe_coef, probe_intercept, threshold), later)


@mistake("conditional_steering_hook")
def others_zeroed(probe_coef, probe_intercept, threshold, direction, coefficient):
    """Rows that do not fire come back as zeros: the mask multiplies the whole stream. It belongs to the step alone."""

    def later(resid, fires):
        return (resid + coefficient * direction) * fires[:, None, None]

    return hook_of(firing(probe_coef, probe_intercept, threshold), later)


@mistake("conditional_steering_hook")
def added_and_taken_away(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The step is added to every row and taken away again where none fires, which leaves rounding errors. Rows that do
    not fire must come back exactly: do not touch them."""
    step = coefficient * direction

    def later(resid, fires):
        return resid + step - step * ~fires[:, None, None]

    return hook_of(firing(probe_coef, probe_intercept, threshold), later)


@mistake("conditional_steering_hook")
def firing_rows_returned(probe_coef, probe_intercept, threshold, direction, coefficient):
    """Only the rows that fire come back. Return the whole batch, the others as they were."""

    def later(resid, fires):
        return resid[fires] + coefficient * direction

    return hook_of(firing(probe_coef, probe_intercept, threshold), later)


@mistake("conditional_steering_hook")
def in_place(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The model's own stream is changed in place. Return a new tensor: resid.clone() first."""

    def later(resid, fires):
        resid[fires] += coefficient * direction
        return resid

    return hook_of(firing(probe_coef, probe_intercept, threshold), later)


@mistake("conditional_steering_hook")
def returns_none(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The hook changes the stream in place and returns None. Return a new tensor, which replaces the stream."""

    def later(resid, fires):
        resid[fires] += coefficient * direction

    return hook_of(firing(probe_coef, probe_intercept, threshold), later)


@mistake("conditional_steering_hook")
def none_where_none_fires(probe_coef, probe_intercept, threshold, direction, coefficient):
    """Where no row fires the hook returns None. The contract says a tensor: return the stream as it is."""
    add = adding(coefficient * direction)
    return hook_of(
        firing(probe_coef, probe_intercept, threshold),
        lambda resid, fires: add(resid, fires) if bool(fires.any()) else None,
    )


@mistake("conditional_steering_hook")
def memory_shared(probe_coef, probe_intercept, threshold, direction, coefficient):
    """All hooks share one memory, so that a second hook uses what another one decided. Keep the variable inside the
    function: each hook has its own."""
    decide, add = firing(probe_coef, probe_intercept, threshold), adding(coefficient * direction)
    memory_shared.fires = None

    def hook(resid, hook):
        if memory_shared.fires is None:
            memory_shared.fires = decide(resid)
        if len(resid) != len(memory_shared.fires):
            raise ValueError("another number of rows")
        return add(resid, memory_shared.fires)

    return hook


@mistake("conditional_steering_hook")
def nonlocal_forgotten(probe_coef, probe_intercept, threshold, direction, coefficient):
    """`fires = …` inside the hook makes `fires` a local variable of the hook, unset where it is read:
    UnboundLocalError. Say `nonlocal fires` at its beginning."""
    fires = None

    def hook(resid, hook):
        if fires is None:  # noqa: F823
            fires = resid[:, -1] @ probe_coef + probe_intercept > threshold
        return adding(coefficient * direction)(resid, fires)

    return hook


@mistake("conditional_steering_hook")
def rows_not_counted(probe_coef, probe_intercept, threshold, direction, coefficient):
    """A later pass with another number of rows is accepted, or fails with another error: one row's decision is
    broadcast over many. Raise ValueError."""
    decide, memory = firing(probe_coef, probe_intercept, threshold), []

    def hook(resid, hook):
        if not memory:
            memory.append(decide(resid))
        return torch.where(memory[0][:, None, None], resid + coefficient * direction, resid)

    return hook


@mistake("conditional_steering_hook")
def rows_left_to_torch(probe_coef, probe_intercept, threshold, direction, coefficient):
    """A later pass with another number of rows is left to the indexing, which raises IndexError. The contract asks for
    a ValueError."""
    decide, add, memory = firing(probe_coef, probe_intercept, threshold), adding(coefficient * direction), []

    def hook(resid, hook):
        if not memory:
            memory.append(decide(resid))
        return add(resid, memory[0])

    return hook


@mistake("conditional_steering_hook")
def new_rows_decide_again(probe_coef, probe_intercept, threshold, direction, coefficient):
    """A pass with another number of rows is taken for a new run, and decides again. A hook serves one run: raise
    ValueError."""
    decide, add, memory = firing(probe_coef, probe_intercept, threshold), adding(coefficient * direction), []

    def hook(resid, hook):
        if not memory or len(memory[-1]) != len(resid):
            memory.append(decide(resid))
        return add(resid, memory[-1])

    return hook


@mistake("conditional_steering_hook")
def to_float32(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The stream is converted to float32, which costs a float64 one half its digits. Leave its type as it is."""
    return hook_of(
        lambda resid: firing(probe_coef.float(), probe_intercept, threshold)(resid.float()),
        lambda resid, fires: adding(coefficient * direction.float())(resid.float(), fires),
    )


@mistake("conditional_steering_hook")
def second_argument_has_another_name(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The hook cannot be called as hook(resid, hook=point), as TransformerLens does. Its second argument must be there,
    and be called `hook`."""
    right = hook_of(firing(probe_coef, probe_intercept, threshold), adding(coefficient * direction))

    def steer(resid, point):
        return right(resid, point)

    return steer


@alternative("conditional_steering_hook")
def by_class(probe_coef, probe_intercept, threshold, direction, coefficient):
    class Guard:
        rows: list[int] | None = None

        def __call__(self, resid, hook=None):
            batch = resid.shape[0]
            if self.rows is None:
                scores = resid[:, -1, :] @ probe_coef
                self.rows = [row for row in range(batch) if scores[row] + probe_intercept > threshold]
                self.batch = batch
            if batch != self.batch:
                raise ValueError("another number of rows")
            return torch.stack([resid[i] + coefficient * direction * (i in self.rows) for i in range(batch)])

    return Guard()


@alternative("conditional_steering_hook")
def by_weights(probe_coef, probe_intercept, threshold, direction, coefficient):
    """An outer product: 1 or 0 for each row, times the step."""

    def steer(state, resid, *, hook):
        if "weight" not in state:
            scores = torch.einsum("bd,d->b", resid.select(1, resid.shape[1] - 1), probe_coef)
            state["weight"] = (scores > threshold - probe_intercept).to(resid.dtype)
        if state["weight"].shape != resid.shape[:1]:
            raise ValueError("another number of rows")
        return resid + torch.einsum("b,d->bd", state["weight"], coefficient * direction)[:, None]

    return functools.partial(steer, {})


@alternative("conditional_steering_hook")
def by_generator(probe_coef, probe_intercept, threshold, direction, coefficient):
    """A generator stands still between passes, and so knows what it decided."""

    def passes():
        resid = yield
        last = resid[:, -1:]
        fires = ((last * probe_coef).sum(dim=-1, keepdim=True) + probe_intercept).gt(threshold)
        while True:
            resid = yield torch.where(fires, resid.add(direction, alpha=coefficient), resid)

    run, n_rows = passes(), []
    next(run)

    def hook(resid, hook):
        n_rows.append(len(resid))
        if len(set(n_rows)) > 1:
            raise ValueError("another number of rows")
        return run.send(resid)

    return hook


@alternative("conditional_steering_hook")
def by_two_hooks(probe_coef, probe_intercept, threshold, direction, coefficient):
    """The first pass makes the hook of the later ones; a pass in which nothing happens returns what it was given."""
    counted = itertools.count()

    def steer(fires, resid):
        if len(fires) != len(resid):
            raise ValueError("another number of rows")
        if not bool(fires.any()):
            return resid
        rows = fires.nonzero().squeeze(1)
        return resid.index_add(0, rows, (coefficient * direction).expand(len(rows), resid.shape[1], -1))

    def hook(resid, hook):
        nonlocal chosen
        if next(counted) == 0:
            score = resid[:, -1].double() @ probe_coef.double() + probe_intercept
            chosen = functools.partial(steer, score > threshold)
        return chosen(resid)

    chosen = None
    return hook
