"""Wrong answers to chapter 3, part 2 that its checks must reject, and right ones written differently."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from utils.course import alternative, mistake, recogniser


def bound(args, kwargs, *names):
    """The arguments of a recorded call in the order of `names`, however they were passed."""
    return [*args, *(kwargs[name] for name in names[len(args) :])]


def are_pairs(acts_true, acts_false):
    if acts_true.shape != acts_false.shape or len(acts_true) < 2:
        raise ValueError("at least two pairs are needed, and halves of one shape")


def scaled(acts, mean, scale):
    """Constants of the half become 0, as they should."""
    constant = (acts == acts[0]).all(dim=0)
    return ((acts - mean) / torch.where(scale > 0, scale, 1.0)).masked_fill(constant, 0)


def deviation(acts, correction=0):
    return acts.std(dim=0, correction=correction)


def normalised(acts):
    return scaled(acts, acts.mean(dim=0), deviation(acts))


@mistake("normalise_contrast")
def both_halves_together(acts_true, acts_false):
    """Both halves share one mean and one standard deviation, so that the word at the end still tells them apart.
    Normalise each half by its own."""
    are_pairs(acts_true, acts_false)
    both = torch.cat([acts_true, acts_false])
    return tuple(scaled(acts, both.mean(dim=0), deviation(both)) for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def common_mean(acts_true, acts_false):
    """The mean that is subtracted is that of both halves, so that their difference, the word, stays. Subtract from
    each half its own."""
    are_pairs(acts_true, acts_false)
    mean = (acts_true + acts_false).mean(dim=0) / 2
    return scaled(acts_true, mean, deviation(acts_true)), scaled(acts_false, mean, deviation(acts_false))


@mistake("normalise_contrast")
def common_deviation(acts_true, acts_false):
    """Each half has its own mean, but both are divided by one standard deviation. Divide each by its own."""
    are_pairs(acts_true, acts_false)
    scale = deviation(torch.cat([acts_true, acts_false]))
    return tuple(scaled(acts, acts.mean(dim=0), scale) for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def deviation_of_centred_halves(acts_true, acts_false):
    """Each half has its own mean, but the standard deviation is that of both centred halves together. Divide each
    half by its own."""
    are_pairs(acts_true, acts_false)
    scale = deviation(torch.cat([acts - acts.mean(dim=0) for acts in (acts_true, acts_false)]))
    return tuple(scaled(acts, acts.mean(dim=0), scale) for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def true_half_for_both(acts_true, acts_false):
    """The mean and standard deviation of the true half are used for both. Those of the false half are its own."""
    are_pairs(acts_true, acts_false)
    mean, scale = acts_true.mean(dim=0), deviation(acts_true)
    return scaled(acts_true, mean, scale), scaled(acts_false, mean, scale)


@mistake("normalise_contrast")
def sample_deviation(acts_true, acts_false):
    """This is the sample's standard deviation, which divides by n − 1: std's default. Pass correction=0."""
    are_pairs(acts_true, acts_false)
    return tuple(
        scaled(acts, acts.mean(dim=0), deviation(acts, correction=1)) for acts in (acts_true, acts_false)
    )


@mistake("normalise_contrast")
def one_number_for_all_dimensions(acts_true, acts_false):
    """One mean and one standard deviation were taken over all dimensions. Each dimension has its own: dim=0."""
    are_pairs(acts_true, acts_false)
    return tuple(scaled(acts, acts.mean(), acts.std(correction=0)) for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def one_scale_for_all_dimensions(acts_true, acts_false):
    """The mean is that of each dimension, but the standard deviation one number for all of them. Pass dim=0 to it
    too."""
    are_pairs(acts_true, acts_false)
    return tuple(scaled(acts, acts.mean(dim=0), acts.std(correction=0)) for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def rows_instead_of_columns(acts_true, acts_false):
    """Every text was normalised over its dimensions (dim=1). Normalise every dimension over the texts: dim=0."""
    are_pairs(acts_true, acts_false)
    return tuple(normalised(acts.T).T for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def mean_only(acts_true, acts_false):
    """The mean is subtracted, but nothing is divided by the standard deviation."""
    are_pairs(acts_true, acts_false)
    return acts_true - acts_true.mean(dim=0), acts_false - acts_false.mean(dim=0)


@mistake("normalise_contrast")
def deviation_only(acts_true, acts_false):
    """The halves are divided by their standard deviation, but their means, and so the word, are still there.
    Subtract them first."""
    are_pairs(acts_true, acts_false)
    return scaled(acts_true, 0, deviation(acts_true)), scaled(acts_false, 0, deviation(acts_false))


@mistake("normalise_contrast")
def divided_before_subtracted(acts_true, acts_false):
    """`acts / scale - mean` subtracts the mean of the undivided activations. Parentheses: (acts - mean) / scale."""
    are_pairs(acts_true, acts_false)
    return tuple(scaled(acts, 0, deviation(acts)) - acts.mean(dim=0) for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def divided_by_variance(acts_true, acts_false):
    """The halves are divided by the variance. Divide by its square root, the standard deviation."""
    are_pairs(acts_true, acts_false)
    return tuple(scaled(acts, acts.mean(dim=0), deviation(acts) ** 2) for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def columns_of_unit_length(acts_true, acts_false):
    """Every column has length 1, not standard deviation 1: the *mean* of its squares should be 1, not their sum."""
    are_pairs(acts_true, acts_false)
    return tuple(F.normalize(normalised(acts), dim=0) for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def scaled_by_range(acts_true, acts_false):
    """The halves are divided by their range, largest minus smallest. Divide by the standard deviation."""
    are_pairs(acts_true, acts_false)
    return tuple(
        scaled(acts, acts.mean(dim=0), acts.amax(dim=0) - acts.amin(dim=0))
        for acts in (acts_true, acts_false)
    )


@mistake("normalise_contrast")
def mean_of_each_pair(acts_true, acts_false):
    """The mean of each *pair* was subtracted. What the word adds is the same in all texts of a half: subtract the
    mean of each half."""
    are_pairs(acts_true, acts_false)
    middle = (acts_true + acts_false) / 2
    return tuple(scaled(acts, middle, deviation(acts)) for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def nan_for_constants(acts_true, acts_false):
    """Where a dimension does not vary 0 (or a rounding error) is divided by 0: NaN or infinity. Divide by 1 there."""
    are_pairs(acts_true, acts_false)
    return tuple((acts - acts.mean(dim=0)) / deviation(acts) for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def constants_by_rounding(acts_true, acts_false):
    """A constant's mean is rounded, so that its deviations are tiny but not 0, and divided by a deviation as tiny they
    become 1 or −1. Use acts.std(dim=0, correction=0), which is exactly 0 there, or compare with the first row."""
    are_pairs(acts_true, acts_false)
    halves = []
    for acts in (acts_true, acts_false):
        centred = acts - acts.mean(dim=0)
        scale = centred.square().mean(dim=0).sqrt()
        halves.append(centred / torch.where(scale == 0, 1.0, scale))
    return tuple(halves)


@mistake("normalise_contrast")
def tiny_number_added(acts_true, acts_false):
    """A tiny number is added to the standard deviation. A constant's rounding error, divided by it, need not be small:
    divide by 1 where the deviation is 0."""
    are_pairs(acts_true, acts_false)
    return tuple((acts - acts.mean(dim=0)) / (deviation(acts) + 1e-8) for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def small_number_added(acts_true, acts_false):
    """A small number is added to the standard deviation, so that small activations come out too small. Divide by
    the deviation itself, and by 1 where it is 0."""
    are_pairs(acts_true, acts_false)
    return tuple(scaled(acts, acts.mean(dim=0), deviation(acts) + 1e-5) for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def small_deviations_taken_for_none(acts_true, acts_false):
    """A standard deviation below a fixed number counts as none, so that small activations are not scaled. Only what
    does not vary at all is constant."""
    are_pairs(acts_true, acts_false)
    halves = []
    for acts in (acts_true, acts_false):
        scale = deviation(acts)
        halves.append(scaled(acts, acts.mean(dim=0), torch.where(scale < 1e-3, 1.0, scale)))
    return tuple(halves)


@mistake("normalise_contrast")
def constants_left_out(acts_true, acts_false):
    """Dimensions that do not vary were removed. They should stay, as 0: both halves keep their shape."""
    are_pairs(acts_true, acts_false)
    return tuple(normalised(acts)[:, (acts != acts[0]).any(dim=0)] for acts in (acts_true, acts_false))


@mistake("normalise_contrast")
def constants_kept(acts_true, acts_false):
    """A dimension that does not vary keeps its value. Its mean is to be subtracted as well, which makes it 0."""
    are_pairs(acts_true, acts_false)
    return tuple(
        torch.where((acts == acts[0]).all(dim=0), acts, normalised(acts)) for acts in (acts_true, acts_false)
    )


@mistake("normalise_contrast")
def mean_square_minus_squared_mean(acts_true, acts_false):
    """The variance is computed as mean of squares minus square of the mean: far from 0 nearly all digits cancel.
    Average the squares of what is left after subtracting the mean, or use std."""
    are_pairs(acts_true, acts_false)
    halves = []
    for acts in (acts_true, acts_false):
        mean = acts.mean(dim=0)
        variance = (acts.square().mean(dim=0) - mean.square()).clamp(min=0)
        halves.append(scaled(acts, mean, variance.sqrt()))
    return tuple(halves)


@mistake("normalise_contrast")
def halves_exchanged(acts_true, acts_false):
    """The halves come back in the wrong order: return first the true one, then the false one."""
    are_pairs(acts_true, acts_false)
    return normalised(acts_false), normalised(acts_true)


@mistake("normalise_contrast")
def one_tensor(acts_true, acts_false):
    """Both halves are returned as one tensor. Return a tuple of two."""
    are_pairs(acts_true, acts_false)
    return torch.stack([normalised(acts_true), normalised(acts_false)])


@mistake("normalise_contrast")
def halves_changed_in_place(acts_true, acts_false):
    """The caller's activations are changed (`acts -= …`). Compute new tensors: acts - acts.mean(dim=0)."""
    are_pairs(acts_true, acts_false)
    for acts in (acts_true, acts_false):
        acts.copy_(normalised(acts))
    return acts_true, acts_false


@mistake("normalise_contrast")
def single_pair_accepted(acts_true, acts_false):
    """A single pair, or none, is accepted: nothing can be told from a half without spread. Raise ValueError for
    fewer than two."""
    if acts_true.shape != acts_false.shape:
        raise ValueError("halves of different shape")
    if len(acts_true) < 2:
        return torch.zeros_like(acts_true), torch.zeros_like(acts_false)
    return normalised(acts_true), normalised(acts_false)


@mistake("normalise_contrast")
def only_none_refused(acts_true, acts_false):
    """No pair at all raises ValueError, but a single one is accepted. It has no spread either: at least two."""
    if acts_true.shape != acts_false.shape or len(acts_true) == 0:
        raise ValueError("no pairs, or halves of different shape")
    return normalised(acts_true), normalised(acts_false)


@mistake("normalise_contrast")
def shapes_unchecked(acts_true, acts_false):
    """Halves of different shape are accepted, though their rows are no pairs. Compare the shapes and raise
    ValueError."""
    if min(len(acts_true), len(acts_false)) < 2:
        raise ValueError("fewer than two pairs")
    return normalised(acts_true), normalised(acts_false)


@mistake("normalise_contrast")
def only_lengths_compared(acts_true, acts_false):
    """Only the number of pairs is compared: halves with different d_model are accepted. Compare the whole shapes."""
    if len(acts_true) != len(acts_false) or len(acts_true) < 2:
        raise ValueError("fewer than two pairs, or another number of them")
    return normalised(acts_true), normalised(acts_false)


@alternative("normalise_contrast")
def by_numpy(acts_true, acts_false):
    are_pairs(acts_true, acts_false)
    halves = []
    for acts in (acts_true, acts_false):
        array = acts.double().numpy()
        centred = array - array.mean(axis=0)
        varies = np.ptp(array, axis=0) > 0
        safe = np.where(varies, array.std(axis=0), 1)
        halves.append(torch.from_numpy(np.where(varies, centred / safe, 0)).to(acts.dtype))
    return halves


@alternative("normalise_contrast")
def by_the_hint(acts_true, acts_false):
    are_pairs(acts_true, acts_false)
    both = torch.stack([acts_true, acts_false])
    scale = both.std(dim=1, keepdim=True, correction=0)
    scale[scale == 0] = 1
    first, second = (both - both.mean(dim=1, keepdim=True)) / scale
    return first, second


@alternative("normalise_contrast")
def column_by_column(acts_true, acts_false):
    if len(acts_true) != len(acts_false) or acts_true.shape[1] != acts_false.shape[1]:
        raise ValueError("halves of different shape")
    n = len(acts_true)
    if n < 2:
        raise ValueError("fewer than two pairs")
    halves = []
    for acts in (acts_true, acts_false):
        columns = []
        for column in acts.T.tolist():
            mean = math.fsum(column) / n
            scale = math.sqrt(math.fsum((value - mean) ** 2 for value in column) / n)
            constant = min(column) == max(column)
            columns.append([0.0 if constant else (value - mean) / scale for value in column])
        halves.append(torch.tensor(columns).T)
    return halves[0], halves[1]


@alternative("normalise_contrast")
def by_layer_norm(acts_true, acts_false):
    """Layer norm of the transposed half, from its first row so that constants are exactly 0."""
    are_pairs(acts_true, acts_false)
    halves = []
    for acts in (acts_true, acts_false):
        moved = (acts - acts[0]).T.double()
        halves.append(F.normalize(moved - moved.mean(dim=1, keepdim=True), dim=1).T * len(acts) ** 0.5)
    return tuple(halves)


def are_probabilities(p_true, p_false):
    if p_true.shape != p_false.shape or p_true.numel() == 0:
        raise ValueError("no pairs, or different shapes")
    if min(p_true.min(), p_false.min()) < 0 or max(p_true.max(), p_false.max()) > 1:
        raise ValueError("probabilities lie between 0 and 1")


def loss(p_true, p_false):
    return ((p_true + p_false - 1).square() + torch.minimum(p_true, p_false).square()).mean()


@mistake("ccs_loss")
def true_minus_false(p_true, p_false):
    """The first term is (p_true − p_false)², which asks for *equal* answers. They should contradict each other:
    p_true − (1 − p_false)."""
    are_probabilities(p_true, p_false)
    return ((p_true - p_false) ** 2 + torch.minimum(p_true, p_false) ** 2).mean()


@mistake("ccs_loss")
def parentheses_missing(p_true, p_false):
    """`p_true - 1 - p_false` lacks its parentheses. It is p_true − (1 − p_false), that is p_true + p_false − 1."""
    are_probabilities(p_true, p_false)
    return ((p_true - 1 - p_false) ** 2 + torch.minimum(p_true, p_false) ** 2).mean()


@mistake("ccs_loss")
def one_is_missing(p_true, p_false):
    """The first term is (p_true + p_false)², smallest where both are 0. The two should sum to 1."""
    are_probabilities(p_true, p_false)
    return ((p_true + p_false) ** 2 + torch.minimum(p_true, p_false) ** 2).mean()


@mistake("ccs_loss")
def larger_one(p_true, p_false):
    """The second term takes the *larger* of the two. A probe that decides has a small smaller one: torch.minimum."""
    are_probabilities(p_true, p_false)
    return ((p_true + p_false - 1) ** 2 + torch.maximum(p_true, p_false) ** 2).mean()


@mistake("ccs_loss")
def product(p_true, p_false):
    """The second term is the product of the two. It should be the square of the smaller one."""
    are_probabilities(p_true, p_false)
    return ((p_true + p_false - 1) ** 2 + p_true * p_false).mean()


@mistake("ccs_loss")
def squared_product(p_true, p_false):
    """The second term is the squared product of the two. It should be the square of the smaller one."""
    are_probabilities(p_true, p_false)
    return ((p_true + p_false - 1) ** 2 + (p_true * p_false) ** 2).mean()


@mistake("ccs_loss")
def least_sure_side(p_true, p_false):
    """The second term is min(p_true, 1 − p_true)². Compare the pair's two probabilities: min(p_true, p_false)²."""
    are_probabilities(p_true, p_false)
    return ((p_true + p_false - 1) ** 2 + torch.minimum(p_true, 1 - p_true) ** 2).mean()


@mistake("ccs_loss")
def smallest_of_batch(p_true, p_false):
    """The second term takes the smallest probability of the whole batch. torch.minimum compares pair by pair."""
    are_probabilities(p_true, p_false)
    return ((p_true + p_false - 1) ** 2).mean() + torch.minimum(p_true.min(), p_false.min()) ** 2


@mistake("ccs_loss")
def smaller_mean(p_true, p_false):
    """The second term takes the smaller of the two *means*. Take the smaller one of each pair, then average."""
    are_probabilities(p_true, p_false)
    return ((p_true + p_false - 1) ** 2).mean() + torch.minimum(p_true.mean(), p_false.mean()) ** 2


@mistake("ccs_loss")
def confidence_missing(p_true, p_false):
    """The second term is missing: without min(p_true, p_false)² the lazy answer ½, ½ costs nothing."""
    are_probabilities(p_true, p_false)
    return ((p_true + p_false - 1) ** 2).mean()


@mistake("ccs_loss")
def consistency_missing(p_true, p_false):
    """The first term is missing: without it 0, 0 costs nothing, which is no answer."""
    are_probabilities(p_true, p_false)
    return (torch.minimum(p_true, p_false) ** 2).mean()


@mistake("ccs_loss")
def confidence_not_squared(p_true, p_false):
    """The second term is not squared: it is min(p_true, p_false)²."""
    are_probabilities(p_true, p_false)
    return ((p_true + p_false - 1) ** 2 + torch.minimum(p_true, p_false)).mean()


@mistake("ccs_loss")
def consistency_not_squared(p_true, p_false):
    """The first term is not squared, so that it may be negative and one pair makes up for another. Square it."""
    are_probabilities(p_true, p_false)
    return (p_true + p_false - 1 + torch.minimum(p_true, p_false) ** 2).mean()


@mistake("ccs_loss")
def absolute_values(p_true, p_false):
    """Both terms are absolute values. They should be squares."""
    are_probabilities(p_true, p_false)
    return ((p_true + p_false - 1).abs() + torch.minimum(p_true, p_false)).mean()


@mistake("ccs_loss")
def square_of_the_sum(p_true, p_false):
    """The two terms were added and then squared together. Square each, then add."""
    are_probabilities(p_true, p_false)
    return ((p_true - (1 - p_false) + torch.minimum(p_true, p_false)) ** 2).mean()


@mistake("ccs_loss")
def averaged_before_squared(p_true, p_false):
    """The mean over pairs was taken before squaring, so that one pair's error cancels another's. Square each pair's
    terms, then average."""
    are_probabilities(p_true, p_false)
    return (p_true + p_false - 1).mean() ** 2 + torch.minimum(p_true, p_false).mean() ** 2


@mistake("ccs_loss")
def confidence_subtracted(p_true, p_false):
    """The second term is subtracted, which rewards answers that are both likely. Add it."""
    are_probabilities(p_true, p_false)
    return ((p_true + p_false - 1) ** 2 - torch.minimum(p_true, p_false) ** 2).mean()


@mistake("ccs_loss")
def summed(p_true, p_false):
    """This is the sum over pairs. Take the mean, so that the number of pairs does not matter."""
    are_probabilities(p_true, p_false)
    return loss(p_true, p_false) * len(p_true)


@mistake("ccs_loss")
def one_for_each_pair(p_true, p_false):
    """This is one loss for each pair. Return their mean, a scalar."""
    are_probabilities(p_true, p_false)
    return (p_true + p_false - 1) ** 2 + torch.minimum(p_true, p_false) ** 2


@mistake("ccs_loss")
def mean_over_both_terms(p_true, p_false):
    """The mean is over the terms as well as the pairs, half of what it should be. Add the two terms of each pair."""
    are_probabilities(p_true, p_false)
    return loss(p_true, p_false) / 2


@mistake("ccs_loss")
def root_of_the_loss(p_true, p_false):
    """The square root was taken at the end. The loss is the mean of the squares itself."""
    are_probabilities(p_true, p_false)
    return loss(p_true, p_false).sqrt()


@mistake("ccs_loss")
def python_float(p_true, p_false):
    """This is a Python number, through which no gradient flows. Return the scalar tensor: no float() or .item()."""
    are_probabilities(p_true, p_false)
    return float(loss(p_true, p_false))


@mistake("ccs_loss")
def clamped_in_place(p_true, p_false):
    """The probabilities of the caller are changed: a method with an underscore at its end, or `-=`, works in place."""
    are_probabilities(p_true, p_false)
    p_true += p_false - 1
    return (p_true.square() + torch.minimum(p_true + 1 - p_false, p_false).square()).mean()


@mistake("ccs_loss")
def outside_accepted(p_true, p_false):
    """Numbers outside 0 … 1, like logits, are accepted. They are no probabilities: raise ValueError."""
    if p_true.shape != p_false.shape or len(p_true) == 0:
        raise ValueError("no pairs, or different shapes")
    return loss(p_true, p_false)


@mistake("ccs_loss")
def clamped_to_range(p_true, p_false):
    """What lies outside 0 … 1 is clamped in silence, and a logit passed by mistake goes unseen. Raise ValueError."""
    if p_true.shape != p_false.shape or len(p_true) == 0:
        raise ValueError("no pairs, or different shapes")
    return loss(p_true.clamp(0, 1), p_false.clamp(0, 1))


@mistake("ccs_loss")
def only_true_checked(p_true, p_false):
    """Only p_true is checked. p_false is a probability too."""
    are_probabilities(p_true, p_true)
    if p_true.shape != p_false.shape:
        raise ValueError("different shapes")
    return loss(p_true, p_false)


@mistake("ccs_loss")
def only_above_checked(p_true, p_false):
    """Numbers above 1 raise ValueError, but negative ones are accepted. Check both ends."""
    if p_true.shape != p_false.shape or len(p_true) == 0:
        raise ValueError("no pairs, or different shapes")
    if max(p_true.max(), p_false.max()) > 1:
        raise ValueError("probabilities lie between 0 and 1")
    return loss(p_true, p_false)


@mistake("ccs_loss")
def all_must_be_outside(p_true, p_false):
    """ValueError is raised only where *all* probabilities are outside 0 … 1. A single one is enough: any()."""
    if p_true.shape != p_false.shape or len(p_true) == 0:
        raise ValueError("no pairs, or different shapes")
    if any(bool(((p < 0) | (p > 1)).all()) for p in (p_true, p_false)):
        raise ValueError("probabilities lie between 0 and 1")
    return loss(p_true, p_false)


@mistake("ccs_loss")
def ends_refused(p_true, p_false):
    """0 and 1 raise ValueError. They are probabilities: a sigmoid of large logits is rounded to them."""
    are_probabilities(p_true, p_false)
    if not bool(((p_true > 0) & (p_true < 1) & (p_false > 0) & (p_false < 1)).all()):
        raise ValueError("probabilities lie between 0 and 1")
    return loss(p_true, p_false)


@mistake("ccs_loss")
def asserted(p_true, p_false):
    """A bad probability raises AssertionError. The contract asks for a ValueError, which callers can expect."""
    if p_true.shape != p_false.shape or len(p_true) == 0:
        raise ValueError("no pairs, or different shapes")
    assert bool(((p_true >= 0) & (p_true <= 1) & (p_false >= 0) & (p_false <= 1)).all())
    return loss(p_true, p_false)


@mistake("ccs_loss")
def nan_without_pairs(p_true, p_false):
    """Without any pair the mean is NaN. Raise ValueError."""
    if p_true.shape != p_false.shape:
        raise ValueError("different shapes")
    if len(p_true):
        are_probabilities(p_true, p_false)
    return loss(p_true, p_false)


@mistake("ccs_loss")
def zero_without_pairs(p_true, p_false):
    """Without any pair the loss is 0, as good as it gets. Raise ValueError."""
    if p_true.shape == p_false.shape and len(p_true) == 0:
        return torch.zeros(())
    are_probabilities(p_true, p_false)
    return loss(p_true, p_false)


@mistake("ccs_loss")
def shapes_broadcast(p_true, p_false):
    """Different shapes are accepted where they can be broadcast, like a single probability and many. Compare the
    shapes and raise ValueError."""
    if 0 in (p_true.numel(), p_false.numel()):
        raise ValueError("no pairs")
    value = loss(p_true, p_false) if 1 in (*p_true.shape, *p_false.shape) else None
    if value is None:
        are_probabilities(p_true, p_false)
        value = loss(p_true, p_false)
    are_probabilities(p_true, p_true)
    are_probabilities(p_false, p_false)
    return value


@mistake("ccs_loss")
def only_lengths_of_answers(p_true, p_false):
    """Only the lengths are compared. A column (n, 1) beside a row of n is broadcast to n × n pairs: compare the
    shapes."""
    if len(p_true) != len(p_false) or len(p_true) == 0:
        raise ValueError("no pairs, or different lengths")
    are_probabilities(p_true, p_true)
    are_probabilities(p_false, p_false)
    return loss(p_true, p_false)


@recogniser("ccs_loss")
def recognise_float(calls):
    """A number and a scalar tensor of that value count as equal where calls are compared."""
    return "python_float" if calls and all(isinstance(value, float) for _, _, value in calls) else None


@alternative("ccs_loss")
def by_sorting(p_true, p_false):
    if p_true.shape != p_false.shape or not len(p_true):
        raise ValueError("different shapes or no pairs")
    low, high = torch.stack([p_true, p_false], dim=-1).sort(dim=-1).values.unbind(dim=-1)
    if bool((low < 0).any() or (high > 1).any()):
        raise ValueError("no probabilities")
    return F.mse_loss(low, 1 - high) + F.mse_loss(low, torch.zeros_like(low))


@alternative("ccs_loss")
def by_summing_pairs(p_true, p_false):
    if p_true.shape != p_false.shape or not len(p_true):
        raise ValueError("different shapes or no pairs")
    total = p_true.new_zeros(())
    for yes, no in zip(p_true, p_false, strict=True):
        if not 0 <= float(yes) <= 1 or not 0 <= float(no) <= 1:
            raise ValueError("no probabilities")
        total = total + (1 - yes - no) ** 2 + (yes if yes < no else no) ** 2
    return total / len(p_true)


@alternative("ccs_loss")
def by_dot_products(p_true, p_false):
    if p_true.shape != p_false.shape or not len(p_true):
        raise ValueError("different shapes or no pairs")
    for p in (p_true, p_false):
        if not bool(torch.equal(p, p.clamp(0, 1))):
            raise ValueError("no probabilities")
    contradiction = p_true - (1 - p_false)
    smaller = torch.where(p_true < p_false, p_true, p_false)
    return (contradiction @ contradiction + smaller @ smaller) / len(p_true)


def unit(vector):
    return vector / vector.norm()


class Tries:
    """The search of `fit_ccs`, with a method for each of its steps, so that a mistake can change one."""

    rate = 0.05

    def __init__(self, acts_true, acts_false, generator):
        self.halves = acts_true, acts_false
        self.generator = generator

    def loss_of(self, coef, intercept):
        return loss(*(torch.sigmoid(acts @ coef + intercept) for acts in self.halves))

    def start(self):
        drawn = torch.randn(self.halves[0].shape[1], generator=self.generator)
        return unit(drawn).to(self.halves[0].dtype)

    def intercept(self):
        return torch.zeros((), dtype=self.halves[0].dtype)

    def optimizer(self, parameters):
        return torch.optim.Adam(parameters, lr=self.rate)

    def step(self, optimizer, coef, intercept):
        optimizer.zero_grad()
        value = self.loss_of(coef, intercept)
        value.backward()
        optimizer.step()
        return value.item()

    def one(self, n_steps):
        """(loss, coef, intercept) after the steps, and the loss before the last one."""
        coef, intercept = self.start().requires_grad_(), self.intercept().requires_grad_()
        optimizer = self.optimizer([coef, intercept])
        before = math.nan
        for _ in range(n_steps):
            before = self.step(optimizer, coef, intercept)
        return self.loss_of(coef, intercept).item(), coef.detach(), intercept.item(), before

    def run(self, n_tries, n_steps):
        at_least_one(n_tries, n_steps)
        with torch.enable_grad():
            return [self.one(n_steps) for _ in range(n_tries)]


def at_least_one(n_tries, n_steps):
    if n_tries < 1 or n_steps < 1:
        raise ValueError("at least one try and one step are needed")


def best_of(tries):
    _, coef, intercept, _ = min(tries, key=lambda found: found[0])
    return coef, intercept


@mistake("fit_ccs")
def first_try_kept(acts_true, acts_false, n_tries, n_steps, generator):
    """The first try is returned, whatever the others found. Keep the one with the smallest final loss."""
    return Tries(acts_true, acts_false, generator).run(n_tries, n_steps)[0][1:3]


@mistake("fit_ccs")
def last_try_kept(acts_true, acts_false, n_tries, n_steps, generator):
    """The last try is returned, whatever the others found. Keep the one with the smallest final loss, as a copy where
    tries share a tensor: detach() alone does not copy."""
    return Tries(acts_true, acts_false, generator).run(n_tries, n_steps)[-1][1:3]


@mistake("fit_ccs")
def largest_loss_kept(acts_true, acts_false, n_tries, n_steps, generator):
    """The try with the *largest* loss is kept. Smaller is better."""
    tries = Tries(acts_true, acts_false, generator).run(n_tries, n_steps)
    return max(tries, key=lambda found: found[0])[1:3]


@mistake("fit_ccs")
def loss_before_last_step(acts_true, acts_false, n_tries, n_steps, generator):
    """Tries are compared by the loss that the loop saw last, which is the one *before* the last step. Compute it once
    more after the loop."""
    tries = Tries(acts_true, acts_false, generator).run(n_tries, n_steps)
    return min(tries, key=lambda found: found[3])[1:3]


@mistake("fit_ccs")
def tries_averaged(acts_true, acts_false, n_tries, n_steps, generator):
    """The tries were averaged. They end in different minima, some with opposite signs: keep the best one."""
    tries = Tries(acts_true, acts_false, generator).run(n_tries, n_steps)
    coefs = torch.stack([coef for _, coef, _, _ in tries])
    return coefs.mean(dim=0), sum(intercept for _, _, intercept, _ in tries) / len(tries)


@mistake("fit_ccs")
def lowest_point_on_the_way(acts_true, acts_false, n_tries, n_steps, generator):
    """This is the point with the smallest loss *on the way*, which may lie before the last step. Each try counts with
    where it ends."""

    class Lowest(Tries):
        def one(self, n_steps):
            coef, intercept = self.start().requires_grad_(), self.intercept().requires_grad_()
            optimizer = self.optimizer([coef, intercept])
            points = []
            for _ in range(n_steps):
                self.step(optimizer, coef, intercept)
                value = self.loss_of(coef, intercept).item()
                points.append((value, coef.detach().clone(), intercept.item(), value))
            return min(points, key=lambda point: point[0])

    return best_of(Lowest(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def same_start_every_try(acts_true, acts_false, n_tries, n_steps, generator):
    """Every try starts at the same place, so that all of them end in the same minimum. Draw a direction inside the loop
    over tries."""
    at_least_one(n_tries, n_steps)
    return best_of(Tries(acts_true, acts_false, generator).run(1, n_steps))


@mistake("fit_ccs")
def ten_tries_always(acts_true, acts_false, n_tries, n_steps, generator):
    """There are ten tries, whatever `n_tries` says. Make as many as are asked for, a single one too."""
    at_least_one(n_tries, n_steps)
    return best_of(Tries(acts_true, acts_false, generator).run(10, n_steps))


@mistake("fit_ccs")
def generator_not_used(acts_true, acts_false, n_tries, n_steps, generator):
    """The starts do not come from `generator`, so that the probe cannot be found again. Pass generator=generator to
    torch.randn."""
    return best_of(Tries(acts_true, acts_false, None).run(n_tries, n_steps))


@mistake("fit_ccs")
def generator_of_its_own(acts_true, acts_false, n_tries, n_steps, generator):
    """A new generator with a fixed seed is made, and the given one not used: every call starts at the same places.
    Draw from `generator`."""
    own = torch.Generator().manual_seed(0)
    return best_of(Tries(acts_true, acts_false, own).run(n_tries, n_steps))


@mistake("fit_ccs")
def generator_seeded_again(acts_true, acts_false, n_tries, n_steps, generator):
    """`generator` is seeded again, so that it no longer matters how the caller seeded it. Only draw from it."""
    generator.manual_seed(0)
    return best_of(Tries(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def start_not_of_unit_norm(acts_true, acts_false, n_tries, n_steps, generator):
    """The start is not divided by its norm: in many dimensions it is so long that every sigmoid is 0 or 1. Start with
    unit norm."""

    class Long(Tries):
        def start(self):
            return torch.randn(self.halves[0].shape[1], generator=self.generator).to(self.halves[0].dtype)

    return best_of(Long(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def start_divided_by_root_of_d(acts_true, acts_false, n_tries, n_steps, generator):
    """The start is divided by √d_model, which gives it a norm near 1, but not 1. Divide by its own norm."""

    class Near(Tries):
        def start(self):
            d_model = self.halves[0].shape[1]
            return (torch.randn(d_model, generator=self.generator) / d_model**0.5).to(self.halves[0].dtype)

    return best_of(Near(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def start_in_one_orthant(acts_true, acts_false, n_tries, n_steps, generator):
    """torch.rand draws positive numbers only, so that no start points any other way. Use torch.randn."""

    class Positive(Tries):
        def start(self):
            drawn = torch.rand(self.halves[0].shape[1], generator=self.generator)
            return unit(drawn).to(self.halves[0].dtype)

    return best_of(Positive(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def start_at_zero(acts_true, acts_false, n_tries, n_steps, generator):
    """Every try starts with coefficients 0. Start in a random direction, a new one for each try."""

    class Zero(Tries):
        def start(self):
            return torch.zeros_like(self.halves[0][0])

    return best_of(Zero(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def intercept_drawn(acts_true, acts_false, n_tries, n_steps, generator):
    """The intercept starts at a random number. It starts at 0; only the direction is drawn."""

    class Drawn(Tries):
        def intercept(self):
            return torch.randn((), generator=self.generator).to(self.halves[0].dtype)

    return best_of(Drawn(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def intercept_not_learned(acts_true, acts_false, n_tries, n_steps, generator):
    """The intercept stays 0: the optimizer does not get it. Pass both, [coef, intercept]."""

    class Through(Tries):
        def optimizer(self, parameters):
            return super().optimizer(parameters[:1])

    return best_of(Through(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def intercept_left_out(acts_true, acts_false, n_tries, n_steps, generator):
    """The intercept is learned, but returned as 0. Return what it has become: intercept.item()."""
    return best_of(Tries(acts_true, acts_false, generator).run(n_tries, n_steps))[0], 0.0


@mistake("fit_ccs")
def intercept_as_tensor(acts_true, acts_false, n_tries, n_steps, generator):
    """The intercept is returned as a tensor. The contract promises a float: intercept.item()."""
    coef, intercept = best_of(Tries(acts_true, acts_false, generator).run(n_tries, n_steps))
    return coef, torch.tensor(intercept)


@mistake("fit_ccs")
def intercept_as_last_coefficient(acts_true, acts_false, n_tries, n_steps, generator):
    """The intercept is the last entry of the coefficients. Return them apart: (coef, intercept)."""
    coef, intercept = best_of(Tries(acts_true, acts_false, generator).run(n_tries, n_steps))
    return torch.cat([coef, coef.new_tensor([intercept])]), intercept


@mistake("fit_ccs")
def plain_gradient_descent(acts_true, acts_false, n_tries, n_steps, generator):
    """The steps are those of plain gradient descent (SGD), tiny where the loss is flat. Use torch.optim.Adam."""

    class Descent(Tries):
        def optimizer(self, parameters):
            return torch.optim.SGD(parameters, lr=self.rate)

    return best_of(Descent(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def weights_decay(acts_true, acts_false, n_tries, n_steps, generator):
    """AdamW shrinks the weights at every step (weight_decay=0.01 unless told otherwise). Use Adam."""

    class Decaying(Tries):
        def optimizer(self, parameters):
            return torch.optim.AdamW(parameters, lr=self.rate)

    return best_of(Decaying(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def default_learning_rate(acts_true, acts_false, n_tries, n_steps, generator):
    """The learning rate is Adam's default, 0.001. Pass lr=0.05."""

    class Slow(Tries):
        rate = 0.001

    return best_of(Slow(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def learning_rate_of_the_paper(acts_true, acts_false, n_tries, n_steps, generator):
    """The learning rate is 0.01, as in the paper. Here it is 0.05: the steps are fewer."""

    class Slower(Tries):
        rate = 0.01

    return best_of(Slower(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def gradients_accumulate(acts_true, acts_false, n_tries, n_steps, generator):
    """Gradients add up from step to step: optimizer.zero_grad() is missing in the loop."""

    class Accumulating(Tries):
        def step(self, optimizer, coef, intercept):
            value = self.loss_of(coef, intercept)
            value.backward()
            optimizer.step()
            return value.item()

    return best_of(Accumulating(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def new_optimizer_every_step(acts_true, acts_false, n_tries, n_steps, generator):
    """A new optimizer is made at every step, so that Adam forgets its averages. Make it once for each try."""

    class Forgetful(Tries):
        def step(self, optimizer, coef, intercept):
            return super().step(self.optimizer([coef, intercept]), coef, intercept)

    return best_of(Forgetful(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def tries_go_on(acts_true, acts_false, n_tries, n_steps, generator):
    """Later tries go on with the optimizer of the first, and its averages. Each try is a new search: make a new
    optimizer in the loop over tries."""
    at_least_one(n_tries, n_steps)
    search = Tries(acts_true, acts_false, generator)
    coef, intercept = search.start(), search.intercept()
    parameters = [coef.requires_grad_(), intercept.requires_grad_()]
    optimizer = search.optimizer(parameters)
    tries = []
    with torch.enable_grad():
        for number in range(n_tries):
            if number:
                coef.data, intercept.data = search.start(), search.intercept()
            for _ in range(n_steps):
                search.step(optimizer, coef, intercept)
            value = search.loss_of(coef, intercept).item()
            tries.append((value, coef.detach().clone(), intercept.item(), value))
    return best_of(tries)


@mistake("fit_ccs")
def one_step_short(acts_true, acts_false, n_tries, n_steps, generator):
    """There is one step less than asked for. `for _ in range(n_steps)` takes n_steps of them."""
    at_least_one(n_tries, n_steps)
    with torch.enable_grad():
        search = Tries(acts_true, acts_false, generator)
        return best_of([search.one(n_steps - 1) for _ in range(n_tries)])


@mistake("fit_ccs")
def one_step_more(acts_true, acts_false, n_tries, n_steps, generator):
    """There is one step more than asked for. `for _ in range(n_steps)` takes n_steps of them."""
    at_least_one(n_tries, n_steps)
    return best_of(Tries(acts_true, acts_false, generator).run(n_tries, n_steps + 1))


@mistake("fit_ccs")
def unit_norm_at_the_end(acts_true, acts_false, n_tries, n_steps, generator):
    """The coefficients are divided by their norm at the end, so that they no longer fit the intercept. Only the
    *start* has unit norm."""
    coef, intercept = best_of(Tries(acts_true, acts_false, generator).run(n_tries, n_steps))
    return unit(coef), intercept


@mistake("fit_ccs")
def consistency_alone(acts_true, acts_false, n_tries, n_steps, generator):
    """Only the first term of the loss is minimised, so that ½, ½ is as good as the truth. Use ccs_loss."""

    class Lazy(Tries):
        def loss_of(self, coef, intercept):
            p_true, p_false = (torch.sigmoid(acts @ coef + intercept) for acts in self.halves)
            return (p_true + p_false - 1).square().mean()

    return best_of(Lazy(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def true_half_taken_twice(acts_true, acts_false, n_tries, n_steps, generator):
    """Both probabilities are those of the true half. p_false is the probe's answer on acts_false."""
    return best_of(Tries(acts_true, acts_true, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def supervised(acts_true, acts_false, n_tries, n_steps, generator):
    """The probe learns to tell the true half from the false one. That is the word at the end, not what is true:
    minimise ccs_loss."""

    class Supervised(Tries):
        def loss_of(self, coef, intercept):
            yes, no = (acts @ coef + intercept for acts in self.halves)
            return (F.softplus(-yes) + F.softplus(no)).mean()

    return best_of(Supervised(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def one_pair_a_step(acts_true, acts_false, n_tries, n_steps, generator):
    """Each step sees a single pair. Full-batch means that every step sees all of them."""

    class Single(Tries):
        number = 0

        def step(self, optimizer, coef, intercept):
            every, row = self.halves, self.number % len(acts_true)
            self.number += 1
            self.halves = tuple(acts[row : row + 1] for acts in every)
            value = super().step(optimizer, coef, intercept)
            self.halves = every
            return value

    return best_of(Single(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def float32_only(acts_true, acts_false, n_tries, n_steps, generator):
    """float64 activations fail: the coefficients are float32, and a product needs one dtype. Give them that of the
    activations, .to(acts_true.dtype)."""
    if acts_true.dtype != torch.float32:
        raise RuntimeError("expected m1 and m2 to have the same dtype")
    return best_of(Tries(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def halves_centred_in_place(acts_true, acts_false, n_tries, n_steps, generator):
    """The caller's activations are changed, by `*=`, `/=` or a method with an underscore at its end. Compute new
    tensors."""
    for acts in (acts_true, acts_false):
        acts /= acts.std(dim=0)
    return best_of(Tries(acts_true, acts_false, generator).run(n_tries, n_steps))


@mistake("fit_ccs")
def no_try_accepted(acts_true, acts_false, n_tries, n_steps, generator):
    """Without a single try None is returned. Raise ValueError for fewer than one."""
    at_least_one(max(n_tries, 1), n_steps)
    return best_of(Tries(acts_true, acts_false, generator).run(n_tries, n_steps)) if n_tries > 0 else None


@mistake("fit_ccs")
def no_step_accepted(acts_true, acts_false, n_tries, n_steps, generator):
    """Without a single step a random start is returned as if it had been fitted. Raise ValueError for fewer than
    one."""
    at_least_one(n_tries, 1)
    with torch.enable_grad():
        search = Tries(acts_true, acts_false, generator)
        return best_of([search.one(n_steps) for _ in range(n_tries)])


@mistake("fit_ccs")
def numbers_unchecked(acts_true, acts_false, n_tries, n_steps, generator):
    """Neither the number of tries nor that of steps is checked. Raise ValueError for fewer than one of either."""
    if n_tries < 1:
        return None
    with torch.enable_grad():
        search = Tries(acts_true, acts_false, generator)
        return best_of([search.one(n_steps) for _ in range(n_tries)])


@mistake("fit_ccs")
def only_zero_refused(acts_true, acts_false, n_tries, n_steps, generator):
    """0 tries or steps raise ValueError, but negative numbers are accepted. Compare with < 1."""
    if n_tries == 0 or n_steps == 0:
        raise ValueError("at least one try and one step are needed")
    if n_tries < 0:
        return None
    with torch.enable_grad():
        search = Tries(acts_true, acts_false, generator)
        return best_of([search.one(n_steps) for _ in range(n_tries)])


@recogniser("fit_ccs")
def recognise_probe(calls):
    """What can be seen whatever drew the starts: other answers to equal calls, and the intercept's type."""
    seen = {}
    for args, kwargs, value in calls:
        names = ("acts_true", "acts_false", "n_tries", "n_steps", "generator")
        acts_true, acts_false, n_tries, n_steps, generator = bound(args, kwargs, *names)
        if not isinstance(value, (tuple, list)) or len(value) != 2 or n_tries < 1 or n_steps < 1:
            return None
        coef, intercept = value
        if not isinstance(coef, torch.Tensor) or coef.shape != acts_true.shape[1:]:
            return None
        if not isinstance(intercept, float):
            return "intercept_as_tensor" if isinstance(intercept, torch.Tensor) else None
        data = (tuple(acts.flatten().tolist()) for acts in (acts_true, acts_false))
        key = (*data, n_tries, n_steps, tuple(generator.get_state().tolist()))
        if (seen.setdefault(key, coef) - coef).abs().max() > 1e-4:
            return "generator_not_used"
    return None


@alternative("fit_ccs")
def all_tries_at_once(acts_true, acts_false, n_tries, n_steps, generator):
    """Adam treats every number by itself, so that one run on the sum of the losses is as good as many runs."""
    if min(n_tries, n_steps) < 1:
        raise ValueError("at least one try and one step are needed")
    coefs = torch.randn(acts_true.shape[1], n_tries, generator=generator, dtype=torch.float64)
    coefs = torch.nn.Parameter(F.normalize(coefs, dim=0).to(acts_true.dtype))
    intercepts = torch.nn.Parameter(torch.zeros(n_tries, dtype=acts_true.dtype))
    optimizer = torch.optim.Adam([coefs, intercepts], lr=0.05)

    def losses():
        p_true, p_false = (torch.sigmoid(acts @ coefs + intercepts) for acts in (acts_true, acts_false))
        return ((p_true + p_false - 1) ** 2 + torch.minimum(p_true, p_false) ** 2).mean(dim=0)

    with torch.enable_grad():
        for _ in range(n_steps):
            optimizer.zero_grad()
            losses().sum().backward()
            optimizer.step()
    best = int(losses().argmin())
    return coefs.detach()[:, best], float(intercepts.detach()[best])


@alternative("fit_ccs")
def by_own_adam(acts_true, acts_false, n_tries, n_steps, generator):
    """Derivatives by hand, Adam by hand, the intercept as the weight of a column of ones. From the last try to the
    first."""
    if min(n_tries, n_steps) < 1:
        raise ValueError("at least one try and one step are needed")
    ones = torch.ones(len(acts_true), 1, dtype=torch.float64)
    yes, no = (torch.cat([acts.double(), ones], dim=1) for acts in (acts_true, acts_false))
    starts = torch.randn(n_tries, acts_true.shape[1], generator=generator)
    found = []
    for start in starts.flip(0):
        point = torch.cat([unit(start.double()), torch.zeros(1, dtype=torch.float64)])
        mean, square = torch.zeros_like(point), torch.zeros_like(point)
        for number in range(1, n_steps + 1):
            p, q = torch.sigmoid(yes @ point), torch.sigmoid(no @ point)
            off = 2 * (p + q - 1)
            by_yes, by_no = (off + 2 * p * (p < q)) * p * (1 - p), (off + 2 * q * (q <= p)) * q * (1 - q)
            slope = (by_yes @ yes + by_no @ no) / len(yes)
            mean.lerp_(slope, 0.1)
            square.lerp_(slope**2, 0.001)
            size = (square / (1 - 0.999**number)).sqrt() + 1e-8
            point = point - 0.05 * mean / (1 - 0.9**number) / size
        found.append((float(loss(torch.sigmoid(yes @ point), torch.sigmoid(no @ point))), point))
    _, point = min(found, key=lambda pair: pair[0])
    return point[:-1].float(), float(point[-1])


@alternative("fit_ccs")
def with_one_parameter_reused(acts_true, acts_false, n_tries, n_steps, generator):
    """One tensor for all tries, copied whenever it is the best so far."""
    if n_tries <= 0 or n_steps <= 0:
        raise ValueError("at least one try and one step are needed")
    weights = torch.zeros(acts_true.shape[1] + 1, dtype=acts_true.dtype, requires_grad=True)

    def value():
        return loss(*(torch.sigmoid(acts @ weights[:-1] + weights[-1]) for acts in (acts_true, acts_false)))

    best, lowest = weights.detach().clone(), math.inf
    for _ in range(n_tries):
        with torch.no_grad():
            weights[:-1] = F.normalize(torch.randn(acts_true.shape[1], generator=generator), dim=0)
            weights[-1] = 0
        optimizer = torch.optim.Adam([weights], lr=0.05)
        for _ in range(n_steps):
            with torch.enable_grad():
                (weights.grad,) = torch.autograd.grad(value(), [weights])
            optimizer.step()
        with torch.no_grad():
            if (final := value().item()) < lowest:
                best, lowest = weights.detach().clone(), final
    return best[:-1], best[-1].item()


def centred_differences(acts_true, acts_false):
    are_pairs(acts_true, acts_false)
    differences = (acts_true - acts_false).double()
    if bool((differences == differences[0]).all()):
        raise ValueError("the differences do not vary")
    return differences - differences.mean(dim=0)


def component(rows, number=0):
    return torch.linalg.svd(rows.double(), full_matrices=False).Vh[number].float()


def principal(acts_true, acts_false):
    return component(centred_differences(acts_true, acts_false))


@mistake("contrast_pca_direction")
def differences_not_centred(acts_true, acts_false):
    """The mean difference was not subtracted, so that the direction is mostly that of the word at the end. Centre the
    differences first."""
    centred_differences(acts_true, acts_false)
    return component(acts_true - acts_false)


@mistake("contrast_pca_direction")
def mean_difference(acts_true, acts_false):
    """This is the direction of the mean difference, which the word at the end gives. Subtract it, and take the
    direction along which the rest varies."""
    centred_differences(acts_true, acts_false)
    difference = (acts_true - acts_false).mean(dim=0)
    return difference / difference.norm().clamp(min=1e-9)


@mistake("contrast_pca_direction")
def sums_of_pairs(acts_true, acts_false):
    """These are the *sums* of each pair: what its two texts share. Truth is in their difference."""
    centred_differences(acts_true, acts_false)
    return principal(acts_true, -acts_false)


@mistake("contrast_pca_direction")
def halves_stacked(acts_true, acts_false):
    """This is the first component of all texts, both halves together. They vary most by what they are about: take the
    differences of pairs."""
    centred_differences(acts_true, acts_false)
    both = torch.cat([acts_true, acts_false])
    return component(both - both.mean(dim=0))


@mistake("contrast_pca_direction")
def centred_halves_stacked(acts_true, acts_false):
    """The halves were centred, but then put together instead of subtracted. They vary most by what the texts are about:
    take the differences of pairs."""
    centred_differences(acts_true, acts_false)
    return component(torch.cat([acts - acts.mean(dim=0) for acts in (acts_true, acts_false)]))


@mistake("contrast_pca_direction")
def true_half_alone(acts_true, acts_false):
    """Only the true half was used. Subtract the false half, pair by pair."""
    centred_differences(acts_true, acts_false)
    return component(acts_true - acts_true.mean(dim=0))


@mistake("contrast_pca_direction")
def centred_by_row(acts_true, acts_false):
    """Each difference has its own mean over dimensions subtracted (dim=1). Subtract the mean over pairs: dim=0."""
    centred_differences(acts_true, acts_false)
    differences = acts_true - acts_false
    return component(differences - differences.mean(dim=1, keepdim=True))


@mistake("contrast_pca_direction")
def one_mean_for_all(acts_true, acts_false):
    """One number, the mean over pairs and dimensions, was subtracted. Each dimension has its own mean: dim=0."""
    centred_differences(acts_true, acts_false)
    differences = acts_true - acts_false
    return component(differences - differences.mean())


@mistake("contrast_pca_direction")
def all_pairs_crossed(acts_true, acts_false):
    """Every true text was subtracted from every false one. Row i belongs to row i: subtract within pairs."""
    centred_differences(acts_true, acts_false)
    crossed = (acts_true.unsqueeze(1) - acts_false).flatten(0, 1)
    return component(crossed - crossed.mean(dim=0))


@mistake("contrast_pca_direction")
def absolute_differences(acts_true, acts_false):
    """The absolute values of the differences were taken. Their signs are what tells true from false."""
    centred_differences(acts_true, acts_false)
    sizes = (acts_true - acts_false).abs()
    return component(sizes - sizes.mean(dim=0))


@mistake("contrast_pca_direction")
def differences_of_unit_norm(acts_true, acts_false):
    """Each difference was given unit norm before the components were taken. Only the *direction* gets unit norm."""
    centred_differences(acts_true, acts_false)
    differences = F.normalize(acts_true - acts_false, dim=1)
    return component(differences - differences.mean(dim=0))


@mistake("contrast_pca_direction")
def centred_rows_of_unit_norm(acts_true, acts_false):
    """Each centred difference was given unit norm, so that all count the same. The components are those of the centred
    differences as they are."""
    return component(F.normalize(centred_differences(acts_true, acts_false), dim=1))


@mistake("contrast_pca_direction")
def dimensions_standardised(acts_true, acts_false):
    """Each dimension was divided by its standard deviation, so that all vary equally much. Centre only."""
    centred = centred_differences(acts_true, acts_false)
    return component(centred / centred.std(dim=0).clamp(min=1e-12))


@mistake("contrast_pca_direction")
def spread_of_each_dimension(acts_true, acts_false):
    """These are the standard deviations of the dimensions, which ignore how dimensions vary together. Take the first
    row of Vh."""
    return unit(centred_differences(acts_true, acts_false).std(dim=0)).float()


@mistake("contrast_pca_direction")
def last_component(acts_true, acts_false):
    """This is the *last* component, along which the differences vary least. Singular values come in falling order, the
    eigenvalues of eigh in rising order."""
    return component(centred_differences(acts_true, acts_false), -1)


@mistake("contrast_pca_direction")
def second_component(acts_true, acts_false):
    """This is the second component. The first is row 0 of Vh."""
    centred = centred_differences(acts_true, acts_false)
    return component(centred, min(1, min(centred.shape) - 1))


@mistake("contrast_pca_direction")
def column_of_vh(acts_true, acts_false):
    """This is a *column* of Vh. Directions are its rows: Vh[0]. (torch.svd, and eigh, return columns instead.)"""
    centred = centred_differences(acts_true, acts_false)
    return torch.linalg.svd(centred, full_matrices=False).Vh[:, 0].float()


@mistake("contrast_pca_direction")
def row_of_eigenvectors(acts_true, acts_false):
    """This is a *row* of the eigenvectors' matrix. eigh returns them as columns: vectors[:, -1]."""
    centred = centred_differences(acts_true, acts_false)
    return torch.linalg.eigh(centred.T @ centred).eigenvectors[-1].float()


@mistake("contrast_pca_direction")
def column_of_u(acts_true, acts_false):
    """This is a column of U, one entry for each *pair*. The direction, one entry for each dimension, is Vh[0]."""
    centred = centred_differences(acts_true, acts_false)
    return torch.linalg.svd(centred, full_matrices=False).U[:, 0].float()


@mistake("contrast_pca_direction")
def projections_on_direction(acts_true, acts_false):
    """These are the pairs' projections on the direction, one for each pair. Return the direction itself."""
    centred = centred_differences(acts_true, acts_false)
    return (centred @ component(centred).double()).float()


@mistake("contrast_pca_direction")
def scaled_by_singular_value(acts_true, acts_false):
    """The direction is multiplied by its singular value. Return it with unit norm."""
    centred = centred_differences(acts_true, acts_false)
    _, values, directions = torch.linalg.svd(centred, full_matrices=False)
    return (values[0] * directions[0]).float()


@mistake("contrast_pca_direction")
def scaled_by_deviation(acts_true, acts_false):
    """The direction is multiplied by the standard deviation along it. Return it with unit norm."""
    centred = centred_differences(acts_true, acts_false)
    direction = component(centred)
    return direction * (centred @ direction.double()).std().float()


@mistake("contrast_pca_direction")
def one_row_matrix(acts_true, acts_false):
    """This is a matrix with one row, shape (1, d_model). Return the row itself: components[0]."""
    return principal(acts_true, acts_false).unsqueeze(0)


@mistake("contrast_pca_direction")
def numpy_direction(acts_true, acts_false):
    """This is a NumPy array. torch.from_numpy makes it a tensor."""
    return principal(acts_true, acts_false).numpy()


@mistake("contrast_pca_direction")
def differences_in_place(acts_true, acts_false):
    """The caller's activations are changed (`acts_true -= …`). Compute a new tensor: acts_true - acts_false."""
    centred = centred_differences(acts_true, acts_false)
    acts_true -= acts_false
    return component(centred)


@mistake("contrast_pca_direction")
def halves_centred_first(acts_true, acts_false):
    """The caller's activations are centred in place. `acts -= acts.mean(dim=0)` changes them: write
    acts - acts.mean(dim=0)."""
    direction = principal(acts_true, acts_false)
    for acts in (acts_true, acts_false):
        acts -= acts.mean(dim=0)
    return direction


@mistake("contrast_pca_direction")
def one_pair_accepted(acts_true, acts_false):
    """A single pair is accepted, though nothing varies. Raise ValueError for fewer than two."""
    if acts_true.shape != acts_false.shape or len(acts_true) == 0:
        raise ValueError("no pairs, or halves of different shape")
    if len(acts_true) > 1:
        return principal(acts_true, acts_false)
    return component(acts_true - acts_false)


@mistake("contrast_pca_direction")
def same_differences_accepted(acts_true, acts_false):
    """Differences that are all the same are accepted: what comes back is a direction of rounding errors. Raise
    ValueError."""
    are_pairs(acts_true, acts_false)
    differences = (acts_true - acts_false).double()
    return component(differences - differences.mean(dim=0))


@mistake("contrast_pca_direction")
def compared_with_exact_zero(acts_true, acts_false):
    """The centred differences are compared with 0, but their mean is rounded, so that equal ones leave a trace. Allow
    for rounding, or compare the differences with the first of them."""
    are_pairs(acts_true, acts_false)
    differences = acts_true - acts_false
    centred = differences - differences.mean(dim=0)
    if not bool(centred.any()):
        raise ValueError("the differences do not vary")
    return component(centred)


@mistake("contrast_pca_direction")
def equal_halves_only(acts_true, acts_false):
    """ValueError is raised only where the halves are equal. Differences that are all the same, but not 0, do not vary
    either."""
    are_pairs(acts_true, acts_false)
    if torch.equal(acts_true, acts_false):
        raise ValueError("the differences do not vary")
    differences = (acts_true - acts_false).double()
    return component(differences - differences.mean(dim=0))


@mistake("contrast_pca_direction")
def small_variation_refused(acts_true, acts_false):
    """Differences that vary little are refused, whatever their own size. Compare how much they vary with how large they
    are, or raise ValueError only where all are equal."""
    centred = centred_differences(acts_true, acts_false)
    if centred.norm() < 0.1:
        raise ValueError("the differences do not vary")
    return component(centred)


@mistake("contrast_pca_direction")
def shapes_not_compared(acts_true, acts_false):
    """Halves of different shape are accepted where they can be broadcast. Compare the shapes and raise ValueError."""
    if min(len(acts_true), len(acts_false)) == max(len(acts_true), len(acts_false)) < 2:
        raise ValueError("fewer than two pairs")
    try:
        first, second = torch.broadcast_tensors(acts_true, acts_false)
    except RuntimeError as error:
        raise ValueError("halves of different shape") from error
    return principal(first, second)


@mistake("contrast_pca_direction")
def only_numbers_of_pairs_compared(acts_true, acts_false):
    """Only the number of pairs is compared: one dimension is broadcast over many. Compare the whole shapes."""
    if len(acts_true) != len(acts_false):
        raise ValueError("another number of pairs")
    try:
        first, second = torch.broadcast_tensors(acts_true, acts_false)
    except RuntimeError as error:
        raise ValueError("halves of different shape") from error
    return principal(first, second)


def same_line(received, expected):
    if not isinstance(received, torch.Tensor) or received.shape != expected.shape:
        return False
    scale = 1e-3 * float(expected.abs().max())
    return any(bool(((received - sign * expected).abs() <= scale).all()) for sign in (1, -1))


@recogniser("contrast_pca_direction")
def recognise_direction(calls):
    """Known wrong directions with the other sign: which one comes back depends on how components are computed."""
    cases = []
    for args, kwargs, value in calls:
        acts_true, acts_false = bound(args, kwargs, "acts_true", "acts_false")
        try:
            cases.append((acts_true, acts_false, value, principal(acts_true, acts_false)))
        except ValueError:
            continue
    if all(same_line(value, right) for _, _, value, right in cases):
        return None
    wrong = (
        differences_not_centred,
        mean_difference,
        sums_of_pairs,
        halves_stacked,
        centred_halves_stacked,
        true_half_alone,
        centred_by_row,
        one_mean_for_all,
        differences_of_unit_norm,
        dimensions_standardised,
        last_component,
        column_of_vh,
        row_of_eigenvectors,
        column_of_u,
        scaled_by_singular_value,
    )
    for answer in wrong:
        if all(same_line(value, answer(first, second)) for first, second, value, _ in cases):
            return answer.__name__
    return None


@alternative("contrast_pca_direction")
def by_covariance(acts_true, acts_false):
    are_pairs(acts_true, acts_false)
    differences = acts_true.double() - acts_false.double()
    if bool((differences.amax(dim=0) == differences.amin(dim=0)).all()):
        raise ValueError("the differences do not vary")
    covariance = torch.atleast_2d(torch.cov(differences.T, correction=0))
    return torch.linalg.eigh(covariance).eigenvectors[:, -1].to(acts_true.dtype)


@alternative("contrast_pca_direction")
def by_numpy_svd_of_centred_halves(acts_true, acts_false):
    """The difference of the centred halves is the centred difference."""
    if acts_true.shape != acts_false.shape:
        raise ValueError("halves of different shape")
    if len(acts_true) < 2:
        raise ValueError("fewer than two pairs")
    first, second = (acts.numpy() - acts.numpy().mean(axis=0) for acts in (acts_true, acts_false))
    centred = first - second
    if np.allclose(acts_true - acts_false, (acts_true - acts_false)[0], rtol=1e-6, atol=0):
        raise ValueError("the differences do not vary")
    _, _, directions = np.linalg.svd(centred)
    return torch.from_numpy(directions[0].copy())


@alternative("contrast_pca_direction")
def by_power_iteration(acts_true, acts_false):
    """The product with the covariance, again and again, from the longest centred difference."""
    centred = centred_differences(acts_true, acts_false)
    direction = unit(centred[centred.norm(dim=1).argmax()])
    for _ in range(400):
        direction = unit(centred.T @ (centred @ direction))
    return direction.float()


@alternative("contrast_pca_direction")
def by_gram_matrix(acts_true, acts_false):
    """The products of pairs have the same eigenvalues; their first eigenvector weights the pairs."""
    centred = centred_differences(acts_true, acts_false)
    _, vectors = torch.linalg.eigh(centred @ centred.T)
    return -F.normalize(centred.T @ vectors[:, -1], dim=0)
