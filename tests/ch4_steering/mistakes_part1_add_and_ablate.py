"""Wrong answers to chapter 4, part 1 that its checks must reject, and right ones written differently."""

import itertools
import math
import statistics

import numpy as np
import torch
import torch.nn.functional as F

from utils.course import alternative, mistake, recogniser


def are_pairs(acts_positive, acts_negative):
    if acts_positive.shape != acts_negative.shape:
        raise ValueError("halves of different shape")
    if len(acts_positive) == 0:
        raise ValueError("no pairs")


def differences(acts_positive, acts_negative):
    """Of right pairs: what most of the mistakes below do something else with."""
    are_pairs(acts_positive, acts_negative)
    return acts_positive - acts_negative


@mistake("contrastive_direction")
def reversed_direction(acts_positive, acts_negative):
    """This points from positive to negative. Subtract the negative half from the positive one."""
    return -differences(acts_positive, acts_negative).mean(dim=0)


@mistake("contrastive_direction")
def unit_direction(acts_positive, acts_negative):
    """The direction was given unit norm. Keep its length: it says how far apart the two halves are."""
    return F.normalize(differences(acts_positive, acts_negative).mean(dim=0), dim=0)


@mistake("contrastive_direction")
def differences_of_unit_norm(acts_positive, acts_negative):
    """Each difference was given unit norm before the mean. A pair counts with its whole difference."""
    return F.normalize(differences(acts_positive, acts_negative), dim=1).mean(dim=0)


@mistake("contrastive_direction")
def activations_of_unit_norm(acts_positive, acts_negative):
    """The activations were given unit norm before they were subtracted. Take them as they are."""
    are_pairs(acts_positive, acts_negative)
    return (F.normalize(acts_positive, dim=1) - F.normalize(acts_negative, dim=1)).mean(dim=0)


@mistake("contrastive_direction")
def sum_of_differences(acts_positive, acts_negative):
    """This is the *sum* over pairs. Take the mean, so that the number of pairs does not matter."""
    return differences(acts_positive, acts_negative).sum(dim=0)


@mistake("contrastive_direction")
def one_pair_fewer(acts_positive, acts_negative):
    """The sum was divided by n − 1. This is no variance: a mean divides by n."""
    return differences(acts_positive, acts_negative).sum(dim=0) / (len(acts_positive) - 1)


@mistake("contrastive_direction")
def divided_by_dimensions(acts_positive, acts_negative):
    """The sum over pairs was divided by the number of *dimensions*. The pairs are axis 0: divide by
    len(acts_positive)."""
    return differences(acts_positive, acts_negative).sum(dim=0) / acts_positive.shape[1]


@mistake("contrastive_direction")
def half_the_difference(acts_positive, acts_negative):
    """This is half of it: the way from the middle between the halves to the positive one. Do not divide by 2."""
    return differences(acts_positive, acts_negative).mean(dim=0) / 2


@mistake("contrastive_direction")
def sum_of_both_halves(acts_positive, acts_negative):
    """The halves were added, which leaves what they share. Subtract the negative half."""
    return differences(acts_positive, -acts_negative).mean(dim=0)


@mistake("contrastive_direction")
def positive_half_alone(acts_positive, acts_negative):
    """This is the mean of the positive half: mostly what any text has. Subtract the negative half, pair by pair."""
    are_pairs(acts_positive, acts_negative)
    return acts_positive.mean(dim=0)


@mistake("contrastive_direction")
def median_of_differences(acts_positive, acts_negative):
    """This is the median of the differences, dimension by dimension. Take their mean."""
    return differences(acts_positive, acts_negative).median(dim=0).values


@mistake("contrastive_direction")
def absolute_differences(acts_positive, acts_negative):
    """The absolute values of the differences were averaged. Their signs say which way is positive."""
    return differences(acts_positive, acts_negative).abs().mean(dim=0)


@mistake("contrastive_direction")
def centred_differences(acts_positive, acts_negative):
    """The differences were centred first, so that nothing but rounding errors is left: their mean *is* the answer."""
    centred = differences(acts_positive, acts_negative)
    return (centred - centred.mean(dim=0)).mean(dim=0)


@mistake("contrastive_direction")
def centred_halves(acts_positive, acts_negative):
    """Each half had its own mean subtracted, and with it all that the halves differ in on average. Take them as
    they are."""
    are_pairs(acts_positive, acts_negative)
    positive, negative = (acts - acts.mean(dim=0) for acts in (acts_positive, acts_negative))
    return positive.mean(dim=0) - negative.mean(dim=0)


@mistake("contrastive_direction")
def principal_component(acts_positive, acts_negative):
    """This is the principal component of the centred differences: the way in which pairs differ from *each other*.
    Take the mean difference."""
    centred = differences(acts_positive, acts_negative)
    return torch.linalg.svd(centred - centred.mean(dim=0), full_matrices=False).Vh[0]


@mistake("contrastive_direction")
def standardised(acts_positive, acts_negative):
    """The mean difference was divided by the differences' standard deviation, which turns it. Leave the raw space
    as it is."""
    differing = differences(acts_positive, acts_negative)
    return differing.mean(dim=0) / differing.std(dim=0, correction=0).clamp(min=1e-6)


@mistake("contrastive_direction")
def mean_over_dimensions(acts_positive, acts_negative):
    """The mean was taken over dimensions (dim=1): one number for each pair. Take it over pairs: dim=0."""
    return differences(acts_positive, acts_negative).mean(dim=1)


@mistake("contrastive_direction")
def one_number(acts_positive, acts_negative):
    """This is one number, the mean over pairs *and* dimensions. Say dim=0."""
    return differences(acts_positive, acts_negative).mean()


@mistake("contrastive_direction")
def one_row_matrix(acts_positive, acts_negative):
    """This is a matrix with one row, shape (1, d_model). Leave out keepdim."""
    return differences(acts_positive, acts_negative).mean(dim=0, keepdim=True)


@mistake("contrastive_direction")
def not_averaged(acts_positive, acts_negative):
    """These are the differences of all pairs. Average them over pairs."""
    return differences(acts_positive, acts_negative)


@mistake("contrastive_direction")
def first_pair(acts_positive, acts_negative):
    """This is the first pair's difference. Average over all pairs."""
    return differences(acts_positive, acts_negative)[0]


@mistake("contrastive_direction")
def no_activation_read(acts_positive, acts_negative):
    """These are ones, whatever the activations are. Subtract the halves and average over pairs."""
    are_pairs(acts_positive, acts_negative)
    return torch.ones_like(acts_positive[0])


@mistake("contrastive_direction")
def numpy_direction(acts_positive, acts_negative):
    """This is a NumPy array. Stay with torch, or use torch.from_numpy."""
    return differences(acts_positive, acts_negative).numpy().mean(axis=0)


@mistake("contrastive_direction")
def half_precision(acts_positive, acts_negative):
    """The activations were cast to bfloat16, which has two or three digits: their difference drowns. Keep the
    dtype."""
    are_pairs(acts_positive, acts_negative)
    return (acts_positive.bfloat16() - acts_negative.bfloat16()).float().mean(dim=0)


@mistake("contrastive_direction")
def cast_to_float32(acts_positive, acts_negative):
    """Everything was cast to float32: float64 activations lose half of their digits. Keep the dtype."""
    return differences(acts_positive.float(), acts_negative.float()).mean(dim=0)


@mistake("contrastive_direction")
def subtracted_in_place(acts_positive, acts_negative):
    """The caller's activations are changed (`acts_positive -= …`). Compute a new tensor."""
    are_pairs(acts_positive, acts_negative)
    acts_positive -= acts_negative
    return acts_positive.mean(dim=0)


@mistake("contrastive_direction")
def shapes_not_compared(acts_positive, acts_negative):
    """Halves of different shape are accepted where torch can stretch one over the other. Compare the shapes and raise
    ValueError."""
    if len(acts_positive) == 0:
        raise ValueError("no pairs")
    try:
        return (acts_positive - acts_negative).mean(dim=0)
    except RuntimeError as error:
        raise ValueError("halves of different shape") from error


@mistake("contrastive_direction")
def shapes_error_of_torch(acts_positive, acts_negative):
    """Halves of different shape raise torch's RuntimeError, or nothing where torch can stretch one of them. Compare
    the shapes and raise ValueError."""
    if len(acts_positive) == 0:
        raise ValueError("no pairs")
    return (acts_positive - acts_negative).mean(dim=0)


@mistake("contrastive_direction")
def only_numbers_of_pairs_compared(acts_positive, acts_negative):
    """Only the number of pairs is compared: a half with one dimension is stretched over many. Compare the whole
    shapes."""
    if len(acts_positive) != len(acts_negative) or len(acts_positive) == 0:
        raise ValueError("another number of pairs")
    try:
        return (acts_positive - acts_negative).mean(dim=0)
    except RuntimeError as error:
        raise ValueError("halves of different shape") from error


@mistake("contrastive_direction")
def any_number_on_either_side(acts_positive, acts_negative):
    """Halves with another number of texts are accepted: these are no pairs, and what they share does not drop out.
    Raise ValueError."""
    if acts_positive.shape[1] != acts_negative.shape[1] or 0 in (len(acts_positive), len(acts_negative)):
        raise ValueError("no pairs, or other dimensions")
    return acts_positive.mean(dim=0) - acts_negative.mean(dim=0)


@mistake("contrastive_direction")
def mean_of_nothing(acts_positive, acts_negative):
    """Without pairs the mean is NaN, and nobody says so. Raise ValueError."""
    if acts_positive.shape != acts_negative.shape:
        raise ValueError("halves of different shape")
    return (acts_positive - acts_negative).mean(dim=0)


@mistake("contrastive_direction")
def zeros_of_nothing(acts_positive, acts_negative):
    """Without pairs this returns zeros, a direction that looks like an answer. Raise ValueError."""
    if acts_positive.shape != acts_negative.shape:
        raise ValueError("halves of different shape")
    return (acts_positive - acts_negative).sum(dim=0) / max(1, len(acts_positive))


@alternative("contrastive_direction")
def difference_of_means(acts_positive, acts_negative):
    """With as many texts on either side it is the same."""
    are_pairs(acts_positive, acts_negative)
    return acts_positive.mean(dim=0) - acts_negative.mean(dim=0)


@alternative("contrastive_direction")
def by_numpy(acts_positive, acts_negative):
    are_pairs(acts_positive, acts_negative)
    return torch.tensor(np.mean(acts_positive.numpy() - acts_negative.numpy(), axis=0))


@alternative("contrastive_direction")
def by_regression(acts_positive, acts_negative):
    """Least squares: the slope of the activations on ±½, with an intercept for each pair."""
    are_pairs(acts_positive, acts_negative)
    middle = (acts_positive.double() + acts_negative.double()) / 2
    return 2 * torch.stack([acts_positive - middle, middle - acts_negative]).mean(dim=(0, 1))


@alternative("contrastive_direction")
def by_loop(acts_positive, acts_negative):
    if acts_positive.size() != acts_negative.size() or not len(acts_positive):
        raise ValueError("no pairs")
    total = torch.zeros_like(acts_positive[0])
    for with_it, without in zip(acts_positive, acts_negative, strict=True):
        total = total + (with_it - without)
    return total / len(acts_positive)


def unit_of(direction):
    if not bool((direction != 0).any()):
        raise ValueError("direction is zero")
    return direction / direction.norm()


def component(resid, unit):
    """What of each vector lies along the unit vector, when it is one."""
    return (resid @ unit).unsqueeze(-1) * unit


@mistake("ablate_direction")
def not_normalised(resid, direction):
    """The direction is used with the length that it happens to have. Divide it by its norm first."""
    unit_of(direction)
    return resid - component(resid, direction)


@mistake("ablate_direction")
def divided_once(resid, direction):
    """(x · d) d is divided by the length of d once. It holds d twice: divide by d · d, or make d a unit vector
    first."""
    unit_of(direction)
    return resid - component(resid, direction) / direction.norm()


@mistake("ablate_direction")
def divided_by_its_square(resid, direction):
    """The direction was divided by its *squared* length. The unit vector is direction / direction.norm()."""
    unit_of(direction)
    return resid - component(resid, direction / (direction @ direction))


@mistake("ablate_direction")
def divided_by_sum_of_sizes(resid, direction):
    """The direction was divided by the sum of its absolute values. The norm is the root of the sum of squares."""
    unit_of(direction)
    return resid - component(resid, direction / direction.abs().sum())


@mistake("ablate_direction")
def direction_subtracted(resid, direction):
    """The direction itself was subtracted, the same from each vector. Each loses its own component: (x · u) u."""
    unit_of(direction)
    return resid - direction


@mistake("ablate_direction")
def unit_subtracted(resid, direction):
    """The unit vector was subtracted, the same from each vector. Each loses its own component: (x · u) u."""
    return resid - unit_of(direction)


@mistake("ablate_direction")
def component_returned(resid, direction):
    """This is what lies *along* the direction. Subtract it from resid."""
    return component(resid, unit_of(direction))


@mistake("ablate_direction")
def projections_returned(resid, direction):
    """These are the projections, a number for each vector. Subtract from each vector its projection times the unit
    vector."""
    return resid @ unit_of(direction)


@mistake("ablate_direction")
def component_added(resid, direction):
    """The component was added once more. Subtract it."""
    return resid + component(resid, unit_of(direction))


@mistake("ablate_direction")
def mirrored(resid, direction):
    """The component was subtracted twice: the vectors are mirrored, and a second time brings them back. Once is
    enough."""
    return resid - 2 * component(resid, unit_of(direction))


@mistake("ablate_direction")
def positive_components_only(resid, direction):
    """Vectors with a negative projection kept it. A component is removed whichever way it points."""
    unit = unit_of(direction)
    return resid - (resid @ unit).clamp(min=0).unsqueeze(-1) * unit


@mistake("ablate_direction")
def mean_component(resid, direction):
    """All vectors lose the *mean* component, so that most keep something along the direction. Each loses its own."""
    unit = unit_of(direction)
    return resid - (resid @ unit).mean() * unit


@mistake("ablate_direction")
def by_cosine(resid, direction):
    """The cosine was taken for the projection. The projection x · u has the length of x in it."""
    unit = unit_of(direction)
    return resid - F.cosine_similarity(resid, unit, dim=-1).unsqueeze(-1) * unit


@mistake("ablate_direction")
def norm_restored(resid, direction):
    """The vectors were stretched back to the norm that they had. Ablation makes them shorter, and changes nothing
    across the direction."""
    left = resid - component(resid, unit_of(direction))
    return left * resid.norm(dim=-1, keepdim=True) / left.norm(dim=-1, keepdim=True).clamp(min=1e-6)


@mistake("ablate_direction")
def coordinates_zeroed(resid, direction):
    """Coordinates where the direction is not 0 were set to 0. It lies across the coordinates: subtract (x · u) u."""
    unit_of(direction)
    return resid.masked_fill(direction != 0, 0)


@mistake("ablate_direction")
def unchanged(resid, direction):
    """The stream comes back as it was. Subtract each vector's component along the direction."""
    unit_of(direction)
    return resid.clone()


@mistake("ablate_direction")
def one_vector_only(resid, direction):
    """torch.dot takes two single vectors, but resid may have any number of dimensions. resid @ unit works for all."""
    unit = unit_of(direction)
    return resid - torch.dot(resid, unit) * unit


@mistake("ablate_direction")
def one_batch_dimension(resid, direction):
    """`unsqueeze(1)` puts the new dimension at the end for one batch dimension only. `unsqueeze(-1)` always does."""
    unit = unit_of(direction)
    return resid - (resid @ unit).unsqueeze(1) * unit


@mistake("ablate_direction")
def across_coordinates(resid, direction):
    """The projections, one a vector, meet the unit vector coordinate by coordinate: this fails, or where there are as
    many vectors as coordinates, gives nonsense. Give them a last dimension: unsqueeze(-1)."""
    unit = unit_of(direction)
    return resid - (resid @ unit) * unit


@mistake("ablate_direction")
def flattened(resid, direction):
    """All dimensions before the last were made one. Give the answer the shape of resid."""
    return (resid - component(resid, unit_of(direction))).reshape(-1, resid.shape[-1])


@mistake("ablate_direction")
def ablated_in_place(resid, direction):
    """resid is changed in place (`-=`): others still need the stream as it was. Write resid − …, a new tensor."""
    unit = unit_of(direction)
    resid -= component(resid, unit)
    return resid


@mistake("ablate_direction")
def normalised_in_place(resid, direction):
    """The direction is normalised in place (`direction /= …`), so that the caller's changes too. Make a new
    tensor."""
    unit_of(direction)
    direction /= direction.norm()
    return resid - component(resid, direction)


@mistake("ablate_direction")
def ablated_in_float32(resid, direction):
    """Everything was cast to float32: float64 vectors lose half of their digits. Leave the dtype as it is."""
    return resid.float() - component(resid.float(), unit_of(direction.float()))


@mistake("ablate_direction")
def ablated_in_bfloat16(resid, direction):
    """The projections were computed in bfloat16, so that a hundredth of them is left. Keep the dtype of resid."""
    unit = unit_of(direction)
    return resid - component(resid.bfloat16(), unit.bfloat16()).to(resid.dtype)


@mistake("ablate_direction")
def numpy_stream(resid, direction):
    """This is a NumPy array. Stay with torch, or use torch.from_numpy."""
    return (resid - component(resid, unit_of(direction))).numpy()


@mistake("ablate_direction")
def zero_direction_divides(resid, direction):
    """A direction of zeros gives 0/0 = NaN everywhere. The contract asks for a ValueError."""
    return resid - component(resid, direction / direction.norm())


@mistake("ablate_direction")
def zero_direction_ignored(resid, direction):
    """With a direction of zeros nothing is removed, in silence (F.normalize leaves zeros as they are). The contract
    asks for a ValueError."""
    return resid - component(resid, F.normalize(direction, dim=0))


@mistake("ablate_direction")
def short_direction_refused(resid, direction):
    """A short direction raises ValueError. Any length but zero will do."""
    if direction.norm() < 0.1:
        raise ValueError("direction is too short")
    return resid - component(resid, unit_of(direction))


@alternative("ablate_direction")
def by_projection_matrix(resid, direction):
    unit = unit_of(direction)
    return resid @ (torch.eye(len(unit), dtype=unit.dtype) - torch.outer(unit, unit))


@alternative("ablate_direction")
def by_einsum(resid, direction):
    """Without a square root: the length is divided out at the end."""
    squared = torch.einsum("d,d->", direction, direction)
    if squared == 0:
        raise ValueError("direction is zero")
    return resid - torch.einsum("...d,d,e->...e", resid, direction, direction) / squared


@alternative("ablate_direction")
def by_orthonormal_basis(resid, direction):
    """Keeps the coordinates in a basis of all that is orthogonal to the direction; in float64."""
    if direction.abs().max() == 0:
        raise ValueError("direction is zero")
    basis = torch.linalg.svd(direction.double().unsqueeze(0)).Vh[1:]
    return (resid.double() @ basis.T @ basis).to(resid.dtype)


@alternative("ablate_direction")
def vector_by_vector(resid, direction):
    unit = unit_of(direction)
    rows = [row - row.dot(unit) * unit for row in resid.reshape(-1, len(unit))]
    return torch.stack(rows).view(resid.shape)


def vectors_of(resid):
    if resid.numel() == 0:
        raise ValueError("no vectors")
    return resid.reshape(-1, resid.shape[-1])


def scaled(direction, resid, fraction, typical):
    """A right answer but for the typical norm, which `typical` computes from the vectors, one a row."""
    unit, vectors = unit_of(direction), vectors_of(resid)
    return fraction * typical(vectors) * unit


def median_norm(vectors):
    return vectors.norm(dim=-1).quantile(0.5)


@mistake("scale_to_norm")
def mean_norm(direction, resid, fraction):
    """This is the *mean* norm, which a single first token pulls up. Take the median."""
    return scaled(direction, resid, fraction, lambda vectors: vectors.norm(dim=-1).mean())


@mistake("scale_to_norm")
def lower_median(direction, resid, fraction):
    """`.median()` of an even number takes the lower of the middle two. `.quantile(0.5)` takes their mean."""
    return scaled(direction, resid, fraction, lambda vectors: vectors.norm(dim=-1).median())


@mistake("scale_to_norm")
def upper_median(direction, resid, fraction):
    """Of an even number this takes the upper of the middle two, sorted[n // 2]. Take the mean of both."""
    return scaled(
        direction, resid, fraction, lambda vectors: vectors.norm(dim=-1).sort().values[len(vectors) // 2]
    )


@mistake("scale_to_norm")
def middle_unsorted(direction, resid, fraction):
    """This is the norm of the vector in the middle of the *list*. Sort the norms first."""

    def typical(vectors):
        norms, n = vectors.norm(dim=-1), len(vectors)
        return (norms[(n - 1) // 2] + norms[n // 2]) / 2

    return scaled(direction, resid, fraction, typical)


@mistake("scale_to_norm")
def largest_norm(direction, resid, fraction):
    """This is the *largest* norm: a first token's. Take the median."""
    return scaled(direction, resid, fraction, lambda vectors: vectors.norm(dim=-1).max())


@mistake("scale_to_norm")
def norm_of_mean(direction, resid, fraction):
    """This is the norm of the mean vector: shorter, since vectors cancel. Take each vector's norm, and then the
    median."""
    return scaled(direction, resid, fraction, lambda vectors: vectors.mean(dim=0).norm())


@mistake("scale_to_norm")
def norm_of_median_coordinates(direction, resid, fraction):
    """This is the norm of the vector of median coordinates. Take each vector's norm, and then the median."""
    return scaled(direction, resid, fraction, lambda vectors: vectors.quantile(0.5, dim=0).norm())


@mistake("scale_to_norm")
def norm_of_all(direction, resid, fraction):
    """This is the norm of all numbers in resid together. Give `norm` the last dimension: dim=-1."""
    return scaled(direction, resid, fraction, lambda vectors: vectors.norm())


@mistake("scale_to_norm")
def squared_norms(direction, resid, fraction):
    """The root is missing: these are squared norms."""
    return scaled(direction, resid, fraction, lambda vectors: vectors.square().sum(dim=-1).quantile(0.5))


@mistake("scale_to_norm")
def root_mean_squares(direction, resid, fraction):
    """This is the root mean square of a vector's coordinates: the norm divided by √d_model. Take the norm."""
    return scaled(
        direction, resid, fraction, lambda vectors: median_norm(vectors) / math.sqrt(vectors.shape[1])
    )


@mistake("scale_to_norm")
def sums_of_sizes(direction, resid, fraction):
    """This is the median of Σ |x|. The norm is the root of the sum of squares."""
    return scaled(direction, resid, fraction, lambda vectors: vectors.abs().sum(dim=-1).quantile(0.5))


@mistake("scale_to_norm")
def median_coordinate(direction, resid, fraction):
    """This is the median size of a single *coordinate*. Take the norm of each vector first."""
    return scaled(direction, resid, fraction, lambda vectors: vectors.abs().quantile(0.5))


@mistake("scale_to_norm")
def norms_of_dimensions(direction, resid, fraction):
    """These are the norms of the dimensions, over vectors (dim=0). Take those of the vectors: dim=-1."""
    return scaled(direction, resid, fraction, lambda vectors: vectors.norm(dim=0).quantile(0.5))


@mistake("scale_to_norm")
def centred_norms(direction, resid, fraction):
    """The mean vector was subtracted first. What is added is added to the stream as it is: take its norms as they
    are."""
    return scaled(direction, resid, fraction, lambda vectors: median_norm(vectors - vectors.mean(dim=0)))


@mistake("scale_to_norm")
def first_vector(direction, resid, fraction):
    """This is the norm of the first vector. Take the median over all of them."""
    return scaled(direction, resid, fraction, lambda vectors: vectors[0].norm())


@mistake("scale_to_norm")
def last_vector(direction, resid, fraction):
    """This is the norm of the last vector. Take the median over all of them."""
    return scaled(direction, resid, fraction, lambda vectors: vectors[-1].norm())


@mistake("scale_to_norm")
def second_dimension(direction, resid, fraction):
    """`norm(dim=1)` is the norm of a vector only where resid has two dimensions. The last one is dim=-1."""
    unit = unit_of(direction)
    vectors_of(resid)
    return fraction * resid.norm(dim=1).quantile(0.5) * unit


@mistake("scale_to_norm")
def median_of_medians(direction, resid, fraction):
    """The median was taken text by text, and then the median of these. All vectors count alike: take one median."""
    unit = unit_of(direction)
    vectors_of(resid)
    norms = torch.atleast_1d(resid.norm(dim=-1))
    while norms.ndim:
        norms = norms.quantile(0.5, dim=-1)
    return fraction * norms * unit


@mistake("scale_to_norm")
def first_text_only(direction, resid, fraction):
    """Only the first text's vectors were used. Take the median over all."""
    vectors_of(resid)
    return scaled(direction, resid[0] if resid.ndim > 2 else resid, fraction, median_norm)


@mistake("scale_to_norm")
def length_kept(direction, resid, fraction):
    """The direction was multiplied by the norm wanted, but has its own length still. Make it a unit vector first."""
    unit_of(direction)
    return fraction * median_norm(vectors_of(resid)) * direction


@mistake("scale_to_norm")
def length_squared(direction, resid, fraction):
    """The direction was divided by its *squared* length. Divide by direction.norm()."""
    unit_of(direction)
    return fraction * median_norm(vectors_of(resid)) * direction / (direction @ direction)


@mistake("scale_to_norm")
def stream_not_read(direction, resid, fraction):
    """The direction was multiplied by the fraction, whatever the stream's norm is. Multiply the unit vector by
    fraction × median norm."""
    unit_of(direction)
    vectors_of(resid)
    return fraction * direction


@mistake("scale_to_norm")
def unit_times_fraction(direction, resid, fraction):
    """The norm is `fraction` itself. It is to be a fraction *of the stream's* median norm."""
    return scaled(direction, resid, fraction, lambda vectors: 1.0)


@mistake("scale_to_norm")
def fraction_forgotten(direction, resid, fraction):
    """The direction has the stream's whole norm. Multiply by the fraction."""
    return scaled(direction, resid, 1.0, median_norm)


@mistake("scale_to_norm")
def fraction_without_sign(direction, resid, fraction):
    """A negative fraction is treated as a positive one. It turns the direction round."""
    return scaled(direction, resid, abs(fraction), median_norm)


@mistake("scale_to_norm")
def divided_by_fraction(direction, resid, fraction):
    """The norm was divided by the fraction. Multiply."""
    return scaled(direction, resid, 1 / fraction if fraction else math.inf, median_norm)


@mistake("scale_to_norm")
def fraction_as_quantile(direction, resid, fraction):
    """`fraction` was taken as the quantile: the direction gets the norm that this share of the vectors stays below.
    Take the median, and multiply it by the fraction."""
    return scaled(
        direction, resid, 1.0, lambda vectors: vectors.norm(dim=-1).quantile(min(1.0, max(0.0, fraction)))
    )


@mistake("scale_to_norm")
def factor_only(direction, resid, fraction):
    """This is the norm wanted, a number. Multiply the unit vector by it."""
    unit_of(direction)
    return fraction * median_norm(vectors_of(resid))


@mistake("scale_to_norm")
def added_to_stream(direction, resid, fraction):
    """This is the steered stream. Return the direction that would be added to it."""
    return resid + scaled(direction, resid, fraction, median_norm)


@mistake("scale_to_norm")
def scaled_in_place(direction, resid, fraction):
    """The caller's direction is scaled in place (`direction *= …`). Make a new tensor."""
    unit_of(direction)
    direction *= fraction * median_norm(vectors_of(resid)) / direction.norm()
    return direction


@mistake("scale_to_norm")
def scaled_in_float32(direction, resid, fraction):
    """Everything was cast to float32: float64 numbers lose half of their digits. Leave the dtype as it is."""
    return scaled(direction.float(), resid.float(), fraction, median_norm)


@mistake("scale_to_norm")
def numpy_scaled(direction, resid, fraction):
    """This is a NumPy array. Stay with torch, or use torch.from_numpy."""
    return scaled(direction, resid, fraction, median_norm).numpy()


@mistake("scale_to_norm")
def zero_divides(direction, resid, fraction):
    """A direction of zeros gives 0/0 = NaN. The contract asks for a ValueError."""
    return fraction * median_norm(vectors_of(resid)) * direction / direction.norm()


@mistake("scale_to_norm")
def zero_stays_zero(direction, resid, fraction):
    """A direction of zeros stays zero, in silence (F.normalize leaves it as it is). The contract asks for a
    ValueError."""
    return fraction * median_norm(vectors_of(resid)) * F.normalize(direction, dim=0)


@mistake("scale_to_norm")
def short_one_refused(direction, resid, fraction):
    """A short direction raises ValueError. Any length but zero will do."""
    if direction.norm() < 0.1:
        raise ValueError("direction is too short")
    return scaled(direction, resid, fraction, median_norm)


@mistake("scale_to_norm")
def norm_of_no_vectors(direction, resid, fraction):
    """Without vectors there is an error of torch, no ValueError: look whether resid is empty first."""
    return fraction * resid.norm(dim=-1).quantile(0.5) * unit_of(direction)


@mistake("scale_to_norm")
def nan_of_no_vectors(direction, resid, fraction):
    """Without vectors the median is NaN, and nobody says so. Raise ValueError."""
    norms = resid.norm(dim=-1).flatten()
    typical = norms.quantile(0.5) if len(norms) else math.nan
    return fraction * typical * unit_of(direction)


@mistake("scale_to_norm")
def zeros_of_no_vectors(direction, resid, fraction):
    """Without vectors this returns zeros. Raise ValueError."""
    norms = resid.norm(dim=-1).flatten()
    return fraction * (norms.quantile(0.5) if len(norms) else 0.0) * unit_of(direction)


@mistake("scale_to_norm")
def only_no_texts_refused(direction, resid, fraction):
    """Only `len(resid) == 0` is looked at: texts without tokens have no vectors either. Look at resid.numel()."""
    if len(resid) == 0:
        raise ValueError("no vectors")
    norms = resid.norm(dim=-1).flatten()
    return fraction * (norms.quantile(0.5) if len(norms) else math.nan) * unit_of(direction)


@alternative("scale_to_norm")
def by_numpy_median(direction, resid, fraction):
    unit, vectors = unit_of(direction), vectors_of(resid)
    return fraction * float(np.median(np.linalg.norm(vectors.numpy(), axis=1))) * unit


@alternative("scale_to_norm")
def by_sorting(direction, resid, fraction):
    """The middle one, or the mean of the middle two; all in float64."""
    unit, vectors = unit_of(direction.double()), vectors_of(resid.double())
    norms, n = vectors.square().sum(dim=1).sqrt().sort().values, len(vectors)
    return unit * (norms[(n - 1) // 2] + norms[n // 2]) / 2 * fraction


@alternative("scale_to_norm")
def by_statistics_module(direction, resid, fraction):
    if float(torch.linalg.vector_norm(direction)) == 0.0 or 0 in resid.shape:
        raise ValueError("direction is zero, or no vectors")
    norms = torch.linalg.vector_norm(resid, dim=-1).flatten().tolist()
    return direction * (fraction * statistics.median(norms) / torch.linalg.vector_norm(direction).item())


@alternative("scale_to_norm")
def by_two_medians(direction, resid, fraction):
    """The lower median, and that of the negated norms, which is the upper one."""
    unit, norms = unit_of(direction), vectors_of(resid).norm(dim=-1)
    return unit * ((norms.median() - (-norms).median()) * (0.5 * fraction))


def in_range(model, layer, max_new_tokens):
    if not 0 <= layer < model.cfg.n_layers or max_new_tokens < 1:
        raise ValueError("no such layer, or no new token")


def steered(model, tokens, layer, change, max_new_tokens, hooks=("blocks.{}.hook_out",), **options):
    """A right generation, but for what the hooks do, where they are, or how `generate` is called."""
    in_range(model, layer, max_new_tokens)
    options = {"do_sample": False, "verbose": False, **options}
    with model.hooks(fwd_hooks=[(name.format(layer), lambda resid, hook: change(resid)) for name in hooks]):
        return model.generate(tokens, max_new_tokens=max_new_tokens, **options)


def pushed(model, tokens, layer, step, max_new_tokens, **options):
    """A right generation, but for the step that is added."""
    return steered(model, tokens, layer, lambda resid: resid + step, max_new_tokens, **options)


@mistake("generate_steered")
def hook_left(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The hook stays on the model, which is steered for good, and twice as much by the next call. Put it on with
    `with model.hooks(…)`, which takes it off again."""
    in_range(model, layer, max_new_tokens)
    model.add_hook(f"blocks.{layer}.hook_out", lambda resid, hook: resid + coefficient * direction)
    return model.generate(tokens, max_new_tokens=max_new_tokens, do_sample=False, verbose=False)


@mistake("generate_steered")
def hook_left_after_an_exception(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The hook is taken off in the end, but not where generation raises an exception: that line is never reached
    then. Use `with model.hooks(…)`, or try … finally."""
    in_range(model, layer, max_new_tokens)
    point = model.blocks[layer].hook_out
    handle = point.add_hook(lambda resid, hook: resid + coefficient * direction)
    generated = model.generate(tokens, max_new_tokens=max_new_tokens, do_sample=False, verbose=False)
    handle.hook.remove()
    point.fwd_hooks.remove(handle)
    return generated


@mistake("generate_steered")
def everybodys_hooks_removed(model, tokens, layer, direction, coefficient, max_new_tokens):
    """`model.reset_hooks()` takes off everybody's hooks. `with model.hooks(…)` takes off its own."""
    try:
        return pushed(model, tokens, layer, coefficient * direction, max_new_tokens)
    finally:
        model.reset_hooks()


@mistake("generate_steered")
def begins_with_a_clean_model(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Hooks of others do not work while you generate: `model.reset_hooks()` at the beginning takes them off, so that a
    model on which another intervention is at work cannot be steered. Leave them."""
    model.reset_hooks()
    return pushed(model, tokens, layer, coefficient * direction, max_new_tokens)


@mistake("generate_steered")
def sampled(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Tokens are drawn at random: that is what `model.generate` does unless it is told otherwise. Pass
    do_sample=False."""
    return pushed(model, tokens, layer, coefficient * direction, max_new_tokens, do_sample=True)


@recogniser("generate_steered")
def recognise_sampling(calls):
    """The same call twice in a row, unsteered, with two answers."""
    for (_, _, one), (args, _, two) in itertools.pairwise(calls):
        same = isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor) and one.shape == two.shape
        if same and len(args) == 6 and args[4] == 0.0 and args[5] == REPEATED and not torch.equal(one, two):
            return "sampled"
    return None


# The number of new tokens by which the check that calls twice is known.
REPEATED = 4


@mistake("generate_steered")
def not_steered(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The model is not steered: the hook returns nothing, or was never put on. What it returns replaces the stream:
    `return resid + …`."""
    return steered(model, tokens, layer, lambda resid: None, max_new_tokens)


@mistake("generate_steered")
def unit_direction_added(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The direction was divided by its length first. Add coefficient · direction, with the length that it has."""
    step = coefficient * direction / direction.norm()
    return pushed(model, tokens, layer, step, max_new_tokens)


@mistake("generate_steered")
def safely_normalised(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The direction was given unit norm (F.normalize). Add coefficient · direction, with the length that it has."""
    return pushed(model, tokens, layer, coefficient * F.normalize(direction, dim=0), max_new_tokens)


@mistake("generate_steered")
def coefficient_forgotten(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The direction is added without the coefficient. Add coefficient · direction."""
    return pushed(model, tokens, layer, direction, max_new_tokens)


@mistake("generate_steered")
def coefficient_twice(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The coefficient is applied twice. Add coefficient · direction."""
    return pushed(model, tokens, layer, coefficient * (coefficient * direction), max_new_tokens)


@mistake("generate_steered")
def coefficient_without_sign(model, tokens, layer, direction, coefficient, max_new_tokens):
    """A negative coefficient is treated as a positive one. It steers the other way."""
    return pushed(model, tokens, layer, abs(coefficient) * direction, max_new_tokens)


@mistake("generate_steered")
def subtracted(model, tokens, layer, direction, coefficient, max_new_tokens):
    """coefficient · direction is subtracted, so that the model is steered the other way. Add it."""
    return pushed(model, tokens, layer, -coefficient * direction, max_new_tokens)


@mistake("generate_steered")
def replaced(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The stream is *replaced* by coefficient · direction, and what it held is lost. Add to it."""
    return steered(model, tokens, layer, lambda resid: 0 * resid + coefficient * direction, max_new_tokens)


@mistake("generate_steered")
def projection_scaled(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The step is as long as the stream's own projection on the direction, times the coefficient. Each position gets
    the same step, coefficient · direction."""
    return steered(
        model,
        tokens,
        layer,
        lambda resid: resid + coefficient * (resid @ direction).unsqueeze(-1) * direction,
        max_new_tokens,
    )


def at_last_position(resid, step):
    changed = resid.clone()
    changed[:, -1] += step
    return changed


@mistake("generate_steered")
def last_position_of_each_pass(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Only the last position of each pass is steered, so that most of the prompt is not. Steer all positions."""
    step = coefficient * direction
    return steered(model, tokens, layer, lambda resid: at_last_position(resid, step), max_new_tokens)


@mistake("generate_steered")
def end_of_prompt_only(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Only the prompt's last token is steered. Steer every position, of the prompt and of the new tokens."""
    passes, step = itertools.count(), coefficient * direction
    return steered(
        model,
        tokens,
        layer,
        lambda resid: at_last_position(resid, step) if next(passes) == 0 else resid,
        max_new_tokens,
    )


@mistake("generate_steered")
def first_token_spared(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The prompt's first token is not steered. Every position is, also one whose stream is unlike all others."""
    passes, step = itertools.count(), coefficient * direction

    def change(resid):
        spared = resid[:, : 1 if next(passes) == 0 else 0]
        return torch.cat([spared, resid[:, spared.shape[1] :] + step], dim=1)

    return steered(model, tokens, layer, change, max_new_tokens)


@mistake("generate_steered")
def prompt_only(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Only the prompt is steered, in the first pass. Each later pass holds a new token, which is steered too."""
    passes, step = itertools.count(), coefficient * direction
    return steered(
        model, tokens, layer, lambda resid: resid + step if next(passes) == 0 else resid, max_new_tokens
    )


@mistake("generate_steered")
def new_tokens_only(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The prompt is not steered, only what is generated. Rimsky et al. do it this way; here every position is
    steered."""
    passes, step = itertools.count(), coefficient * direction
    return steered(
        model, tokens, layer, lambda resid: resid if next(passes) == 0 else resid + step, max_new_tokens
    )


@mistake("generate_steered")
def long_passes_only(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Only passes of more than one position are steered. Those of a single one hold the new tokens, or a prompt of
    one token: steer them too."""
    step = coefficient * direction
    return steered(
        model, tokens, layer, lambda resid: resid + step if resid.shape[1] > 1 else resid, max_new_tokens
    )


@mistake("generate_steered")
def first_text_only_steered(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Only the first prompt of the batch is steered (`resid[0]`). Steer all of them."""

    def change(resid):
        changed = resid.clone()
        changed[0] += coefficient * direction
        return changed

    return steered(model, tokens, layer, change, max_new_tokens)


@mistake("generate_steered")
def before_the_block(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The direction is added *before* the block (`hook_in`), one layer too early. Its output is `hook_out`."""
    step = coefficient * direction
    return pushed(model, tokens, layer, step, max_new_tokens, hooks=["blocks.{}.hook_in"])


@mistake("generate_steered")
def after_the_attention(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The direction is added to what the block's attention writes, so that its MLP reads it. Add it after the block:
    `hook_out`."""
    step = coefficient * direction
    return pushed(model, tokens, layer, step, max_new_tokens, hooks=["blocks.{}.attn.hook_out"])


@mistake("generate_steered")
def one_layer_too_late(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Layers were counted from 1: this is a block too late. The first block is 0."""
    in_range(model, layer, max_new_tokens)
    return pushed(
        model, tokens, min(layer + 1, model.cfg.n_layers - 1), coefficient * direction, max_new_tokens
    )


@mistake("generate_steered")
def every_layer(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The direction is added after *every* block. Name the one that was asked for."""
    names = [f"blocks.{each}.hook_out" for each in range(model.cfg.n_layers)]
    return pushed(model, tokens, layer, coefficient * direction, max_new_tokens, hooks=names)


@mistake("generate_steered")
def last_layer_always(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The direction is added after the last block, whatever `layer` says."""
    in_range(model, layer, max_new_tokens)
    return pushed(model, tokens, model.cfg.n_layers - 1, coefficient * direction, max_new_tokens)


@mistake("generate_steered")
def first_token_steered(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Only the first new token is generated with steering, the others without. Keep the hook on all the time."""
    whole = pushed(model, tokens, layer, coefficient * direction, 1)
    if max_new_tokens == 1 or bool((whole[:, -1] == model.tokenizer.eos_token_id).all()):
        return whole
    return model.generate(whole, max_new_tokens=max_new_tokens - 1, do_sample=False, verbose=False)


@mistake("generate_steered")
def without_prompt(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Only the continuations come back. Return each prompt with its continuation, as `model.generate` does."""
    return pushed(model, tokens, layer, coefficient * direction, max_new_tokens)[:, tokens.shape[1] :]


@mistake("generate_steered")
def text_returned(model, tokens, layer, direction, coefficient, max_new_tokens):
    """These are texts. Return the tokens: who wants to read them can decode them."""
    return model.tokenizer.batch_decode(pushed(model, tokens, layer, coefficient * direction, max_new_tokens))


@mistake("generate_steered")
def lists_returned(model, tokens, layer, direction, coefficient, max_new_tokens):
    """These are lists. Return the tensor of tokens."""
    return pushed(model, tokens, layer, coefficient * direction, max_new_tokens).tolist()


@mistake("generate_steered")
def tokens_as_floats(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The tokens came back as floats. Token ids are integers."""
    return pushed(model, tokens, layer, coefficient * direction, max_new_tokens).float()


@mistake("generate_steered")
def one_token_too_many(model, tokens, layer, direction, coefficient, max_new_tokens):
    """One token more than max_new_tokens was generated."""
    in_range(model, layer, max_new_tokens)
    return pushed(model, tokens, layer, coefficient * direction, max_new_tokens + 1)


@mistake("generate_steered")
def prompt_counted(model, tokens, layer, direction, coefficient, max_new_tokens):
    """max_new_tokens was taken for the length of the whole, prompt included. It counts the *new* tokens."""
    in_range(model, layer, max_new_tokens)
    return pushed(model, tokens, layer, coefficient * direction, max(1, max_new_tokens - tokens.shape[1]))


@mistake("generate_steered")
def never_ends(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Texts go on behind their end-of-sequence token (stop_at_eos=False). Let them end there."""
    return pushed(model, tokens, layer, coefficient * direction, max_new_tokens, stop_at_eos=False)


def one_by_one(model, tokens, layer, step, max_new_tokens, ends, fill=None):
    """Greedy, without a cache; `ends` is given all tokens and the number of the prompt's, and says which texts have
    ended; those are filled up, by default with the end-of-sequence token."""
    in_range(model, layer, max_new_tokens)
    length, whole = tokens.shape[1], tokens
    fill = model.tokenizer.eos_token_id if fill is None else fill
    hook = (f"blocks.{layer}.hook_out", lambda resid, hook: resid + step)
    for _ in range(max_new_tokens):
        ended = ends(whole, length)
        if bool(ended.all()):
            break
        with torch.no_grad():
            logits = model.run_with_hooks(whole, fwd_hooks=[hook])
        chosen = logits[:, -1].argmax(dim=-1).masked_fill(ended, fill)
        whole = torch.cat([whole, chosen.unsqueeze(1)], dim=1)
    return whole


@mistake("generate_steered")
def ends_with_the_first(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Generation stops as soon as *one* text of the batch has ended. The others go on; that one is filled up."""
    end = model.tokenizer.eos_token_id

    def ends(whole, length):
        return (whole[:, length:] == end).any().expand(len(whole))

    return one_by_one(model, tokens, layer, coefficient * direction, max_new_tokens, ends)


@mistake("generate_steered")
def ends_in_the_prompt(model, tokens, layer, direction, coefficient, max_new_tokens):
    """An end-of-sequence token inside the prompt ends the text before it has begun. Look at the new tokens only: a
    chat's prompt has one behind each turn."""
    end = model.tokenizer.eos_token_id

    def ends(whole, length):
        return (whole == end).any(dim=1)

    return one_by_one(model, tokens, layer, coefficient * direction, max_new_tokens, ends)


@mistake("generate_steered")
def ends_behind_the_prompt(model, tokens, layer, direction, coefficient, max_new_tokens):
    """A prompt whose last token is the end-of-sequence token is taken for a text that has ended. Look at the new
    tokens only."""
    end = model.tokenizer.eos_token_id

    def ends(whole, length):
        return (whole[:, length - 1 :] == end).any(dim=1)

    return one_by_one(model, tokens, layer, coefficient * direction, max_new_tokens, ends)


@mistake("generate_steered")
def filled_with_zeros(model, tokens, layer, direction, coefficient, max_new_tokens):
    """A text that has ended is filled up with token 0, which is a token like any other. Fill it up with the
    end-of-sequence token."""
    end = model.tokenizer.eos_token_id

    def ends(whole, length):
        return (whole[:, length:] == end).any(dim=1)

    return one_by_one(model, tokens, layer, coefficient * direction, max_new_tokens, ends, fill=0)


@mistake("generate_steered")
def filled_to_the_full_width(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Where all texts have ended they are filled up to max_new_tokens. Return what there is: `model.generate` stops
    there."""
    end = model.tokenizer.eos_token_id
    whole = pushed(model, tokens, layer, coefficient * direction, max_new_tokens)
    return F.pad(whole, (0, tokens.shape[1] + max_new_tokens - whole.shape[1]), value=end)


@mistake("generate_steered")
def end_cut_off(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The end-of-sequence token is cut off where all texts end with it. It is part of what the model said."""
    whole = pushed(model, tokens, layer, coefficient * direction, max_new_tokens)
    return whole[:, :-1] if bool((whole[:, -1] == model.tokenizer.eos_token_id).all()) else whole


@mistake("generate_steered")
def prompt_repeated(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The prompt's last token is repeated: nothing was generated."""
    in_range(model, layer, max_new_tokens)
    return torch.cat([tokens, tokens[:, -1:].expand(-1, max_new_tokens)], dim=1)


@mistake("generate_steered")
def direction_scaled_in_place(model, tokens, layer, direction, coefficient, max_new_tokens):
    """The caller's direction is multiplied by the coefficient in place (`direction *= …`). Make a new tensor."""
    in_range(model, layer, max_new_tokens)
    direction *= coefficient
    return pushed(model, tokens, layer, direction, max_new_tokens)


@mistake("generate_steered")
def layer_from_the_end(model, tokens, layer, direction, coefficient, max_new_tokens):
    """A negative layer counts from the end. It is to raise ValueError: −1 is the embedding to one reader and the last
    block to another."""
    if not -model.cfg.n_layers <= layer < model.cfg.n_layers:
        raise ValueError("no such layer")
    return pushed(model, tokens, layer % model.cfg.n_layers, coefficient * direction, max_new_tokens)


@mistake("generate_steered")
def layer_not_checked(model, tokens, layer, direction, coefficient, max_new_tokens):
    """A layer that the model does not have raises an error of TransformerLens. The contract asks for a ValueError."""
    hook = (f"blocks.{layer}.hook_out", lambda resid, hook: resid + coefficient * direction)
    with model.hooks(fwd_hooks=[hook]):
        return model.generate(tokens, max_new_tokens=max_new_tokens, do_sample=False, verbose=False)


@mistake("generate_steered")
def unknown_layer_ignored(model, tokens, layer, direction, coefficient, max_new_tokens):
    """A layer that the model does not have is ignored, and the text is not steered, in silence. Raise ValueError."""
    if not 0 <= layer < model.cfg.n_layers:
        return model.generate(tokens, max_new_tokens=max_new_tokens, do_sample=False, verbose=False)
    return pushed(model, tokens, layer, coefficient * direction, max_new_tokens)


@mistake("generate_steered")
def nothing_new_accepted(model, tokens, layer, direction, coefficient, max_new_tokens):
    """With fewer than one new token the prompt comes back. The contract asks for a ValueError."""
    if max_new_tokens < 1:
        return tokens.clone()
    return pushed(model, tokens, layer, coefficient * direction, max_new_tokens)


@alternative("generate_steered")
def without_a_cache(model, tokens, layer, direction, coefficient, max_new_tokens):
    """One token at a time, each time the whole text."""
    end = model.tokenizer.eos_token_id

    def ends(whole, length):
        return (whole[:, length:] == end).any(dim=1)

    return one_by_one(model, tokens, layer, coefficient * direction, max_new_tokens, ends)


@alternative("generate_steered")
def by_the_hook_point(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Puts the hook on its point, and takes off this one in the end; generates without keys and values kept."""
    in_range(model, layer, max_new_tokens)
    point = model.blocks[layer].hook_out
    handle = point.add_hook(lambda resid, hook: torch.add(resid, direction, alpha=coefficient))
    try:
        return model.generate(
            tokens,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            use_past_kv_cache=False,
            verbose=False,
        )
    finally:
        handle.hook.remove()
        point.fwd_hooks.remove(handle)


@alternative("generate_steered")
def by_the_mlp(model, tokens, layer, direction, coefficient, max_new_tokens):
    """What the block's MLP writes is added to the stream, and the direction with it; in place."""
    return steered(
        model,
        tokens,
        layer,
        lambda resid: resid.add_(coefficient * direction),
        max_new_tokens,
        hooks=["blocks.{}.mlp.hook_out"],
    )


@alternative("generate_steered")
def by_hugging_face(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Hugging Face's own generation, with the bridge's hooks on."""
    in_range(model, layer, max_new_tokens)
    step, end = coefficient * direction, model.tokenizer.eos_token_id
    with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_out", lambda resid, hook: resid + step)]):
        return model.original_model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
        )


@alternative("generate_steered")
def text_by_text(model, tokens, layer, direction, coefficient, max_new_tokens):
    """Each prompt by itself, filled up to the longest."""
    step, end = coefficient * direction, model.tokenizer.eos_token_id
    rows = [pushed(model, row[None], layer, step, max_new_tokens)[0] for row in tokens]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=end)
