"""Wrong answers to chapter 4, part 2 that its checks must reject, and right ones written differently."""

import itertools
import math
import statistics

import numpy as np
import torch
import torch.nn.functional as F

from utils.course import alternative, mistake, recogniser


def bound(args, kwargs, *names):
    """The arguments of a recorded call in the order of `names`, however they were passed."""
    return [*args, *(kwargs[name] for name in names[len(args) :])]


def smallest_pair(coefficients):
    pairs = [c for c in coefficients if c > 0 and -c in coefficients]
    if not pairs:
        raise ValueError("no symmetric pair around zero")
    return min(pairs)


def measured(effect, coefficients):
    """The mean at each coefficient, by coefficient."""
    return {c: effect(c).mean().item() for c in coefficients}


def in_order(means, coefficients):
    return torch.tensor([means[c] for c in coefficients])


def central(means, c):
    return (means[c] - means[-c]) / (2 * c)


def with_slope(effect, coefficients, slope):
    """The right means, with the slope that `slope(means, c)` finds."""
    c = smallest_pair(coefficients)
    means = measured(effect, coefficients)
    return in_order(means, coefficients), slope(means, c)


def with_summary(effect, coefficients, summary):
    """A right central difference, of numbers that are not the means over examples."""
    c = smallest_pair(coefficients)
    values = {each: float(summary(effect(each))) for each in coefficients}
    return in_order(values, coefficients), central(values, c)


@mistake("dose_response")
def one_sided_difference(effect, coefficients):
    """This is the slope from 0 to c. What both signs do alike, such as harm, is still in it. Take the central
    difference, from −c to c."""
    c = smallest_pair(coefficients)
    means = measured(effect, coefficients)
    base = means[0.0] if 0.0 in means else effect(0.0).mean().item()
    return in_order(means, coefficients), (means[c] - base) / c


@mistake("dose_response")
def one_sided_from_below(effect, coefficients):
    """This is the slope from −c to 0. What both signs do alike, such as harm, is still in it. Take the central
    difference, from −c to c."""
    c = smallest_pair(coefficients)
    means = measured(effect, coefficients)
    base = means[0.0] if 0.0 in means else effect(0.0).mean().item()
    return in_order(means, coefficients), (base - means[-c]) / c


@mistake("dose_response")
def divided_by_c(effect, coefficients):
    """The rise from −c to c is divided by c, which gives twice the slope. The way from −c to c is 2c."""
    return with_slope(effect, coefficients, lambda means, c: (means[c] - means[-c]) / c)


@mistake("dose_response")
def divided_by_two(effect, coefficients):
    """The rise from −c to c is divided by 2, as if c were 1. The way from −c to c is 2c."""
    return with_slope(effect, coefficients, lambda means, c: (means[c] - means[-c]) / 2)


@mistake("dose_response")
def rise_not_divided(effect, coefficients):
    """This is the rise from −c to c, not the slope. Divide it by 2c."""
    return with_slope(effect, coefficients, lambda means, c: means[c] - means[-c])


@mistake("dose_response")
def slope_reversed(effect, coefficients):
    """The slope has the wrong sign: it is m(c) − m(−c), not m(−c) − m(c)."""
    return with_slope(effect, coefficients, lambda means, c: -central(means, c))


@mistake("dose_response")
def slope_without_sign(effect, coefficients):
    """This is the size of the slope. Its sign says whether the direction does what was intended: no abs()."""
    return with_slope(effect, coefficients, lambda means, c: abs(central(means, c)))


@mistake("dose_response")
def largest_pair(effect, coefficients):
    """This is the slope between the *largest* pair, where the curve has bent. Take the smallest c with −c."""

    def slope(means, c):
        return central(means, max(each for each in means if each > 0 and -each in means))

    return with_slope(effect, coefficients, slope)


@mistake("dose_response")
def first_pair(effect, coefficients):
    """This is the slope between the first pair in the list. Take the smallest c, wherever it stands."""

    def slope(means, c):
        return central(means, next(abs(each) for each in means if each != 0 and -each in means))

    return with_slope(effect, coefficients, slope)


@mistake("dose_response")
def mean_over_pairs(effect, coefficients):
    """This is the mean slope over all symmetric pairs. The large ones lie where the curve has bent: take the smallest
    alone."""

    def slope(means, c):
        return statistics.fmean(central(means, each) for each in means if each > 0 and -each in means)

    return with_slope(effect, coefficients, slope)


@mistake("dose_response")
def straight_line_through_all(effect, coefficients):
    """This is the slope of a straight line fitted to all coefficients. Where the curve bends, it is not the slope at
    zero: take the central difference of the smallest pair."""

    def slope(means, c):
        return float(np.polyfit(list(means), list(means.values()), 1)[0])

    return with_slope(effect, coefficients, slope)


@mistake("dose_response")
def outermost_coefficients(effect, coefficients):
    """This is the rise between the outermost coefficients. The slope is that around zero, of the smallest pair."""

    def slope(means, c):
        return (means[max(means)] - means[min(means)]) / (max(means) - min(means))

    return with_slope(effect, coefficients, slope)


@mistake("dose_response")
def nearest_on_each_side(effect, coefficients):
    """The nearest coefficients above and below zero were taken, which need not be as far from it. Only c and −c
    together cancel what both signs do alike."""

    def slope(means, c):
        above, below = min(each for each in means if each > 0), max(each for each in means if each < 0)
        return (means[above] - means[below]) / (above - below)

    return with_slope(effect, coefficients, slope)


@mistake("dose_response")
def neighbours_in_the_list(effect, coefficients):
    """The neighbours of the middle of the list were taken, as if the list were sorted and symmetric. Look for the
    smallest c with −c."""

    def slope(means, c):
        middle = len(coefficients) // 2
        below, above = coefficients[middle - 1], coefficients[min(middle + 1, len(coefficients) - 1)]
        return (means[above] - means[below]) / (above - below)

    return with_slope(effect, coefficients, slope)


@mistake("dose_response")
def first_and_last(effect, coefficients):
    """The first and the last of the list were taken. Look for the smallest c with −c, wherever the two stand."""

    def slope(means, c):
        first, last = coefficients[0], coefficients[-1]
        return (means[last] - means[first]) / (last - first)

    return with_slope(effect, coefficients, slope)


@mistake("dose_response")
def a_step_of_its_own(effect, coefficients):
    """The slope is measured with a tiny step that is not among the coefficients, which costs two more runs and drowns
    in rounding. Use the smallest pair that is there."""
    smallest_pair(coefficients)
    means = measured(effect, coefficients)
    rise = effect(1e-3).mean().item() - effect(-1e-3).mean().item()
    return in_order(means, coefficients), rise / 2e-3


@mistake("dose_response")
def partner_measured_anew(effect, coefficients):
    """The smallest c > 0 was taken, whether −c is there or not, and effect called for −c. That is one more run: take
    the smallest c whose partner is among the coefficients."""
    positive = [each for each in coefficients if each > 0]
    if not positive:
        raise ValueError("no positive coefficient")
    means, c = measured(effect, coefficients), min(positive)
    below = means[-c] if -c in means else effect(-c).mean().item()
    return in_order(means, coefficients), (means[c] - below) / (2 * c)


@mistake("dose_response")
def zero_is_its_own_partner(effect, coefficients):
    """Zero was taken for a pair, since −0 equals 0, and the slope divides by 0. The pair needs c > 0."""
    c = min((each for each in coefficients if each >= 0 and -each in coefficients), default=None)
    if c is None:
        raise ValueError("no symmetric pair around zero")
    means = measured(effect, coefficients)
    return in_order(means, coefficients), (means[c] - means[-c]) / (2 * c) if c else math.nan


@mistake("dose_response")
def zero_demanded(effect, coefficients):
    """ValueError is raised where 0 is not among the coefficients. The central difference does not need it."""
    if 0.0 not in coefficients:
        raise ValueError("no coefficient 0")
    return with_slope(effect, coefficients, central)


@mistake("dose_response")
def means_in_rising_order(effect, coefficients):
    """The means come in the rising order of the coefficients. Keep the order in which they were given."""
    means, slope = with_slope(effect, sorted(coefficients), central)
    return means, slope


@mistake("dose_response")
def coefficients_sorted_in_place(effect, coefficients):
    """`coefficients.sort()` changes the caller's list, and so the order of the means. Use min() or sorted()."""
    coefficients.sort()
    return with_slope(effect, coefficients, central)


@mistake("dose_response")
def relative_to_zero(effect, coefficients):
    """The effect at 0 was subtracted from the means. Return them as they are: what the model does unsteered is part of
    the curve."""
    means, slope = with_slope(effect, coefficients, central)
    return means - effect(0.0).mean(), slope


@mistake("dose_response")
def sums_over_examples(effect, coefficients):
    """These are sums over examples. Take means, so that the number of examples does not matter."""
    return with_summary(effect, coefficients, torch.sum)


@mistake("dose_response")
def medians_over_examples(effect, coefficients):
    """These are medians over examples. Take means."""
    return with_summary(effect, coefficients, torch.median)


@mistake("dose_response")
def first_example_only(effect, coefficients):
    """Only the first example was used. Take the mean over all."""
    return with_summary(effect, coefficients, lambda metric: metric[0])


@mistake("dose_response")
def largest_example(effect, coefficients):
    """This is the largest example's effect. Take the mean over all."""
    return with_summary(effect, coefficients, torch.max)


@mistake("dose_response")
def examples_not_averaged(effect, coefficients):
    """These are the effects of every example, a table. Return the mean over examples at each coefficient."""
    c = smallest_pair(coefficients)
    found = {each: effect(each) for each in coefficients}
    slope = (found[c] - found[-c]).mean().item() / (2 * c)
    return torch.stack([found[each] for each in coefficients]), slope


@mistake("dose_response")
def averaged_over_coefficients(effect, coefficients):
    """The mean was taken over coefficients, one number an example. Take it over examples, one a coefficient."""
    c = smallest_pair(coefficients)
    found = torch.stack([effect(each) for each in coefficients])
    means = {each: row.mean().item() for each, row in zip(coefficients, found, strict=True)}
    return found.mean(dim=0), central(means, c)


@mistake("dose_response")
def slope_of_each_example(effect, coefficients):
    """This is a slope for each example. Return one number, the slope of the mean."""
    c = smallest_pair(coefficients)
    found = {each: effect(each) for each in coefficients}
    means = torch.stack([found[each].mean() for each in coefficients])
    return means, (found[c] - found[-c]) / (2 * c)


@mistake("dose_response")
def list_of_means(effect, coefficients):
    """The means are a list. Return a tensor: torch.stack of the means, or torch.tensor of numbers."""
    means, slope = with_slope(effect, coefficients, central)
    return means.tolist(), slope


@mistake("dose_response")
def slope_first(effect, coefficients):
    """The slope comes first. Return (means, slope)."""
    return with_slope(effect, coefficients, central)[::-1]


@mistake("dose_response")
def slope_only(effect, coefficients):
    """Only the slope is returned. Return (means, slope)."""
    return with_slope(effect, coefficients, central)[1]


@mistake("dose_response")
def whole_coefficients(effect, coefficients):
    """The coefficients were rounded to whole numbers before effect was called: int(c), or range(). Pass them as they
    are."""
    c = smallest_pair(coefficients)
    means = {each: effect(float(int(each))).mean().item() for each in coefficients}
    return in_order(means, coefficients), central(means, c)


@mistake("dose_response")
def asked_again_for_the_slope(effect, coefficients):
    """effect was called again for the slope, or for a coefficient that is not in the list. Every call runs the model:
    keep the means and look them up."""
    c = smallest_pair(coefficients)
    means = in_order(measured(effect, coefficients), coefficients)
    return means, (effect(c).mean() - effect(-c).mean()).item() / (2 * c)


@mistake("dose_response")
def measured_before_complaining(effect, coefficients):
    """effect is called before the coefficients are checked, so that all runs are made for an error. Look for the pair
    first."""
    means = measured(effect, coefficients)
    return in_order(means, coefficients), central(means, smallest_pair(coefficients))


@mistake("dose_response")
def key_error_without_pair(effect, coefficients):
    """Without a pair −c is looked up and not there: KeyError. Look for the pair first, and raise ValueError."""
    c = min((abs(each) for each in coefficients if each != 0), default=1.0)
    means = measured(effect, coefficients) if -c in coefficients and c in coefficients else {}
    if not means:
        raise KeyError(-c)
    return in_order(means, coefficients), central(means, c)


@mistake("dose_response")
def zero_slope_without_pair(effect, coefficients):
    """Without a symmetric pair the slope is given as 0, as if the direction did nothing. Raise ValueError."""
    if not any(c > 0 and -c in coefficients for c in coefficients):
        return in_order(measured(effect, coefficients), coefficients), 0.0
    return with_slope(effect, coefficients, central)


@mistake("dose_response")
def nan_slope_without_pair(effect, coefficients):
    """Without a symmetric pair the slope is NaN. Raise ValueError."""
    if not any(c > 0 and -c in coefficients for c in coefficients):
        return torch.zeros(len(coefficients)), math.nan
    return with_slope(effect, coefficients, central)


@mistake("dose_response")
def pair_asserted(effect, coefficients):
    """Without a symmetric pair this raises AssertionError. The contract asks for a ValueError, which callers can
    expect."""
    assert any(c > 0 and -c in coefficients for c in coefficients), "no symmetric pair"
    return with_slope(effect, coefficients, central)


@mistake("dose_response")
def nothing_measured(effect, coefficients):
    """Everything is 0: effect is not called at all."""
    smallest_pair(coefficients)
    return torch.zeros(len(coefficients)), 0.0


@recogniser("dose_response")
def recognise_calls(calls):
    """Right values, but more calls than coefficients, as the effects that remember them tell."""
    for args, kwargs, _ in calls:
        effect, coefficients = bound(args, kwargs, "effect", "coefficients")
        if not getattr(effect, "open", True) and len(effect.asked) > len(coefficients):
            return "asked_again_for_the_slope"
    return None


@alternative("dose_response")
def by_dictionary(effect, coefficients):
    c = min(each for each in coefficients if each > 0 and -each in coefficients)
    means = {each: effect(each).mean() for each in coefficients}
    return torch.stack(list(means.values())), (means[c] - means[-c]) / (2 * c)


@alternative("dose_response")
def by_matrix_of_sums(effect, coefficients):
    """c + c' = 0 for pairs, and only for pairs."""
    grid = torch.tensor(coefficients, dtype=torch.float64)
    sums = (grid[:, None] + grid).abs()
    found = ((sums == 0) & (grid[:, None] > 0)).nonzero().tolist()
    if not found:
        raise ValueError("no pair")
    plus, minus = min(found, key=lambda place: coefficients[place[0]])
    table = torch.stack([effect(each) for each in coefficients])
    means = table.double().mean(dim=1)
    return means, float((means[plus] - means[minus]) / (grid[plus] - grid[minus]))


@alternative("dose_response")
def by_sorting(effect, coefficients):
    """Sorted by size, a pair stands side by side, the negative one first."""
    by_size = sorted(coefficients, key=lambda each: (abs(each), each))
    pair = next(
        ((low, high) for low, high in itertools.pairwise(by_size) if low == -high and high > 0),
        None,
    )
    if pair is None:
        raise ValueError("no pair")
    means = [float(np.mean(effect(each).numpy(), dtype=np.float64)) for each in coefficients]
    below, above = (means[coefficients.index(each)] for each in pair)
    return torch.tensor(means), (above - below) / (pair[1] - pair[0])


@alternative("dose_response")
def slope_of_each_example_averaged(effect, coefficients):
    """The mean of the examples' central differences is the central difference of their means."""
    positive = set(filter(lambda each: each > 0, coefficients))
    both = positive & {-each for each in coefficients}
    if len(both) == 0:
        raise ValueError("no pair")
    c = sorted(both)[0]
    means, rise = torch.empty(len(coefficients)), 0
    for place, each in enumerate(coefficients):
        metric = effect(each)
        means[place] = metric.sum() / len(metric)
        if abs(each) == c:
            rise = rise + metric * (1 if each > 0 else -1)
    return means, (rise / (2 * c)).mean().item()


@alternative("dose_response")
def by_two_pointers(effect, coefficients):
    """From both ends of the sorted list inwards; the pair met last is the smallest."""
    rising = sorted(coefficients)
    low, high, c = 0, len(rising) - 1, None
    while low < high:
        total = rising[low] + rising[high]
        if total == 0:
            c = rising[high]
        low, high = low + (total <= 0), high - (total >= 0)
    if not c:
        raise ValueError("no pair")
    values = np.array([effect(float(each)).double().mean().item() for each in coefficients])
    grid = np.array(coefficients)
    slope = (values[grid == c] - values[grid == -c]).item() / (2 * c)
    return torch.from_numpy(values).float(), slope


def same_shape(logits_base, logits_steered):
    if logits_base.shape != logits_steered.shape:
        raise ValueError("logits of different shape")


def logs(logits_base, logits_steered):
    same_shape(logits_base, logits_steered)
    return logits_base.log_softmax(dim=-1), logits_steered.log_softmax(dim=-1)


def terms(log_p, log_q):
    """What each token adds: 0 where p is 0, and NaN where p is NaN."""
    p = log_p.exp()
    return (p * (log_p - log_q)).masked_fill(p == 0, 0)


def divergence(log_p, log_q):
    return terms(log_p, log_q).sum(dim=-1)


@mistake("kl_divergence")
def other_way_round(logits_base, logits_steered):
    """This is KL(steered ‖ base). The price is KL(base ‖ steered): the expectation is over what the *base* model says.
    In F.kl_div the first argument is q."""
    log_p, log_q = logs(logits_base, logits_steered)
    return divergence(log_q, log_p)


@mistake("kl_divergence")
def both_ways_added(logits_base, logits_steered):
    """This is the sum of both divergences. Return KL(base ‖ steered) alone."""
    log_p, log_q = logs(logits_base, logits_steered)
    return divergence(log_p, log_q) + divergence(log_q, log_p)


@mistake("kl_divergence")
def both_ways_averaged(logits_base, logits_steered):
    """This is the mean of both divergences. Return KL(base ‖ steered) alone."""
    return both_ways_added(logits_base, logits_steered) / 2


@mistake("kl_divergence")
def jensen_shannon(logits_base, logits_steered):
    """This is the Jensen–Shannon divergence, against the mean of the two, which is never above log 2. Return
    KL(base ‖ steered)."""
    log_p, log_q = logs(logits_base, logits_steered)
    middle = torch.logaddexp(log_p, log_q) - math.log(2)
    return (divergence(log_p, middle) + divergence(log_q, middle)) / 2


@mistake("kl_divergence")
def total_variation(logits_base, logits_steered):
    """This is the total variation distance, half the sum of |p − q|. Return the divergence, in nats."""
    log_p, log_q = logs(logits_base, logits_steered)
    return (log_p.exp() - log_q.exp()).abs().sum(dim=-1) / 2


@mistake("kl_divergence")
def cross_entropy(logits_base, logits_steered):
    """This is the cross-entropy −Σ p log q. Subtract the base model's own entropy, −Σ p log p: without a change the
    price is 0."""
    log_p, log_q = logs(logits_base, logits_steered)
    p = log_p.exp()
    return -(p * log_q).masked_fill(p == 0, 0).sum(dim=-1)


@mistake("kl_divergence")
def entropy_difference(logits_base, logits_steered):
    """This is the difference of the two entropies: each model is only compared with itself. The logarithm of q has
    to be averaged with p."""
    log_p, log_q = logs(logits_base, logits_steered)
    zero = torch.zeros_like(log_p)
    return divergence(log_p, zero) - divergence(log_q, zero)


@mistake("kl_divergence")
def in_bits(logits_base, logits_steered):
    """This is in bits (log2). Use the natural logarithm, for nats."""
    return divergence(*logs(logits_base, logits_steered)) / math.log(2)


@mistake("kl_divergence")
def sign_reversed(logits_base, logits_steered):
    """The sign is wrong: a divergence is never negative. The difference is log p − log q."""
    return -divergence(*logs(logits_base, logits_steered))


@mistake("kl_divergence")
def absolute_terms(logits_base, logits_steered):
    """The absolute values of the terms were added. Terms with p < q are negative, and belong to the sum as they are."""
    return terms(*logs(logits_base, logits_steered)).abs().sum(dim=-1)


@mistake("kl_divergence")
def negative_terms_dropped(logits_base, logits_steered):
    """Terms below 0 were set to 0. Only the *sum* is never negative: leave the terms as they are."""
    return terms(*logs(logits_base, logits_steered)).clamp(min=0).sum(dim=-1)


@mistake("kl_divergence")
def not_weighted(logits_base, logits_steered):
    """The differences of log-probabilities were added without their weights. Each counts with the base model's
    probability p."""
    log_p, log_q = logs(logits_base, logits_steered)
    return (log_p - log_q).sum(dim=-1)


@mistake("kl_divergence")
def weighted_by_steered(logits_base, logits_steered):
    """The differences are weighted with the *steered* model's probabilities. The expectation is over what the base
    model says."""
    log_p, log_q = logs(logits_base, logits_steered)
    q = log_q.exp()
    return (q * (log_p - log_q)).masked_fill(q == 0, 0).sum(dim=-1)


@mistake("kl_divergence")
def raw_logits(logits_base, logits_steered):
    """The logits were subtracted without being normalised, so that a constant added to them counts. Take log_softmax of
    both first."""
    log_p, _ = logs(logits_base, logits_steered)
    p = log_p.exp()
    return (p * (logits_base - logits_steered)).masked_fill(p == 0, 0).sum(dim=-1)


@mistake("kl_divergence")
def only_base_normalised(logits_base, logits_steered):
    """Only the base model's logits were normalised. Take log_softmax of both."""
    log_p, _ = logs(logits_base, logits_steered)
    return divergence(log_p, logits_steered)


@mistake("kl_divergence")
def softmax_twice(logits_base, logits_steered):
    """Softmax was applied to what are probabilities already. Apply log_softmax once, to the logits."""
    same_shape(logits_base, logits_steered)
    return divergence(*(each.softmax(dim=-1).log_softmax(dim=-1) for each in (logits_base, logits_steered)))


@mistake("kl_divergence")
def normalised_over_texts(logits_base, logits_steered):
    """The logits were normalised over the batch (dim=0). Each text has its own distribution over tokens: dim=-1."""
    same_shape(logits_base, logits_steered)
    return divergence(*(each.log_softmax(dim=0) for each in (logits_base, logits_steered)))


@mistake("kl_divergence")
def mean_over_tokens(logits_base, logits_steered):
    """The terms were averaged over the vocabulary. Add them: the weights are in p already."""
    return terms(*logs(logits_base, logits_steered)).mean(dim=-1)


@mistake("kl_divergence")
def summed_over_texts(logits_base, logits_steered):
    """The sum runs over texts too (F.kl_div with reduction="sum"). Return one divergence for each text."""
    return divergence(*logs(logits_base, logits_steered)).sum()


@mistake("kl_divergence")
def averaged_over_texts(logits_base, logits_steered):
    """This is the mean over texts (F.kl_div with reduction="batchmean"). Return one divergence for each text."""
    return divergence(*logs(logits_base, logits_steered)).mean()


@mistake("kl_divergence")
def averaged_over_everything(logits_base, logits_steered):
    """This is the mean over texts and tokens, the default of F.kl_div. Add over tokens, and return one divergence for
    each text."""
    return terms(*logs(logits_base, logits_steered)).mean()


@mistake("kl_divergence")
def summed_over_batch(logits_base, logits_steered):
    """The sum is over texts (dim=0), one number a token. Add over tokens: dim=-1."""
    return terms(*logs(logits_base, logits_steered)).sum(dim=0)


@mistake("kl_divergence")
def one_for_each_token(logits_base, logits_steered):
    """These are the terms, one for each token. Add them."""
    return terms(*logs(logits_base, logits_steered))


@mistake("kl_divergence")
def column_of_divergences(logits_base, logits_steered):
    """This has the shape (batch, 1). Return the shape (batch,): no keepdim."""
    return divergence(*logs(logits_base, logits_steered)).unsqueeze(1)


@mistake("kl_divergence")
def list_of_divergences(logits_base, logits_steered):
    """This is a list. Return a tensor."""
    return divergence(*logs(logits_base, logits_steered)).tolist()


@mistake("kl_divergence")
def first_text_only(logits_base, logits_steered):
    """Every text has the divergence of the first. Each has its own two rows."""
    found = divergence(*logs(logits_base, logits_steered))
    return found[:1].expand_as(found)


@mistake("kl_divergence")
def likeliest_token_only(logits_base, logits_steered):
    """Only the base model's likeliest token was compared. Add over all tokens, each with its probability."""
    log_p, log_q = logs(logits_base, logits_steered)
    token = log_p.argmax(dim=-1, keepdim=True)
    return (log_p - log_q).gather(1, token).squeeze(1)


@mistake("kl_divergence")
def likely_tokens_only(logits_base, logits_steered):
    """Only the base model's likeliest tokens were compared. Add over all of them."""
    found = terms(*logs(logits_base, logits_steered))
    likely = logits_base.topk(min(10, found.shape[1]), dim=-1).indices
    return found.gather(1, likely).sum(dim=-1)


@mistake("kl_divergence")
def kl_div_of_probabilities(logits_base, logits_steered):
    """F.kl_div was given probabilities for its first argument. It wants log-probabilities there."""
    same_shape(logits_base, logits_steered)
    p, q = logits_base.softmax(dim=-1), logits_steered.softmax(dim=-1)
    return F.kl_div(q, p, reduction="none").sum(dim=-1)


@mistake("kl_divergence")
def kl_div_of_two_logs(logits_base, logits_steered):
    """F.kl_div was given two log-probabilities without log_target=True, so that it takes the second for
    probabilities."""
    log_p, log_q = logs(logits_base, logits_steered)
    return F.kl_div(log_q, log_p, reduction="none").sum(dim=-1)


@mistake("kl_divergence")
def softmax_by_hand(logits_base, logits_steered):
    """exp of a large logit is infinite, and of a very negative one 0, so that the softmax is NaN. log_softmax subtracts
    the largest logit first."""
    same_shape(logits_base, logits_steered)
    p, q = (each.exp() / each.exp().sum(dim=-1, keepdim=True) for each in (logits_base, logits_steered))
    return divergence(p.log(), q.log())


@mistake("kl_divergence")
def logarithm_of_softmax(logits_base, logits_steered):
    """The logarithm was taken of a softmax. A probability that is too small is rounded to 0 before, and its logarithm
    is −inf: use log_softmax."""
    same_shape(logits_base, logits_steered)
    return divergence(*(each.softmax(dim=-1).log() for each in (logits_base, logits_steered)))


@mistake("kl_divergence")
def logarithm_of_softmax_in_float64(logits_base, logits_steered):
    """The logarithm was taken of a softmax in float64, where a probability below 1e-308 is rounded to 0 before. Use
    log_softmax."""
    same_shape(logits_base, logits_steered)
    log_p, log_q = (each.double().softmax(dim=-1).log() for each in (logits_base, logits_steered))
    return divergence(log_p, log_q).to(logits_base.dtype)


@mistake("kl_divergence")
def tiny_number_added(logits_base, logits_steered):
    """A tiny number was added to the probabilities before the logarithm. It caps the price of what has become
    impossible, and of what is merely improbable. Use log_softmax."""
    same_shape(logits_base, logits_steered)
    log_p, log_q = ((each.softmax(dim=-1) + 1e-10).log() for each in (logits_base, logits_steered))
    return divergence(log_p, log_q)


@mistake("kl_divergence")
def impossible_made_improbable(logits_base, logits_steered):
    """−inf was replaced by a large negative number, so that an excluded token has a finite price. Where the steered
    model excludes what the base model says, the divergence is infinite."""
    same_shape(logits_base, logits_steered)
    lowest = -1e4
    return divergence(*logs(logits_base.clamp(min=lowest), logits_steered.clamp(min=lowest)))


@mistake("kl_divergence")
def nan_for_masked(logits_base, logits_steered):
    """Where the base model excludes a token this is 0 · ∞, NaN. 0 log 0 counts as 0: `masked_fill(p == 0, 0)`."""
    log_p, log_q = logs(logits_base, logits_steered)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


@mistake("kl_divergence")
def infinite_terms_dropped(logits_base, logits_steered):
    """Tokens that either model excludes were left out. Where only the *steered* model excludes one, the divergence is
    infinite."""
    log_p, log_q = logs(logits_base, logits_steered)
    return terms(log_p, log_q).masked_fill(log_p.isneginf() | log_q.isneginf(), 0).sum(dim=-1)


@mistake("kl_divergence")
def nan_to_num_of_terms(logits_base, logits_steered):
    """nan_to_num turned what is infinite into a large finite number, and NaN into 0. Set only the terms with p = 0 to
    0."""
    log_p, log_q = logs(logits_base, logits_steered)
    return (log_p.exp() * (log_p - log_q)).nan_to_num().sum(dim=-1)


@mistake("kl_divergence")
def nan_hidden(logits_base, logits_steered):
    """A NaN in the logits becomes a price of 0 (nansum, nan_to_num): a model pushed to pieces seems untouched. Set only
    the terms with p = 0 to 0: masked_fill(p == 0, 0)."""
    log_p, log_q = logs(logits_base, logits_steered)
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), 0).nansum(dim=-1)


@mistake("kl_divergence")
def nan_of_base_hidden(logits_base, logits_steered):
    """A NaN in the base model's logits becomes a price of 0: NaN > 0 is false, so that torch.where leaves the terms
    out. Use masked_fill(p == 0, 0)."""
    log_p, log_q = logs(logits_base, logits_steered)
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), 0).sum(dim=-1)


@mistake("kl_divergence")
def by_torch_distributions(logits_base, logits_steered):
    """torch.distributions takes a steered probability that is rounded to 0 for an excluded token, so that an
    improbable token costs infinitely much; and it refuses NaN. Use log_softmax."""
    same_shape(logits_base, logits_steered)
    p, q = (torch.distributions.Categorical(logits=each) for each in (logits_base, logits_steered))
    return torch.distributions.kl_divergence(p, q)


@mistake("kl_divergence")
def rounded_to_float32(logits_base, logits_steered):
    """float64 logits were rounded to float32, which loses small changes. Compute in the logits' own precision."""
    return divergence(*logs(logits_base.float(), logits_steered.float()))


@mistake("kl_divergence")
def normalised_in_place(logits_base, logits_steered):
    """The caller's logits were changed (`logits -= …`). Compute new tensors."""
    log_p, log_q = logs(logits_base, logits_steered)
    logits_base.copy_(log_p)
    logits_steered.copy_(log_q)
    return divergence(log_p, log_q)


@mistake("kl_divergence")
def masks_filled_in_place(logits_base, logits_steered):
    """−inf in the caller's logits was replaced in place. Compute new tensors."""
    found = divergence(*logs(logits_base, logits_steered))
    for logits in (logits_base, logits_steered):
        logits[logits.isneginf()] = -1e9
    return found


@mistake("kl_divergence")
def shapes_broadcast(logits_base, logits_steered):
    """Logits of different shape are accepted where they can be broadcast, like one text against many. Compare the
    shapes and raise ValueError."""
    try:
        both = torch.broadcast_tensors(logits_base, logits_steered)
    except RuntimeError as error:
        raise ValueError("logits of different shape") from error
    return divergence(*logs(*both))


@mistake("kl_divergence")
def shapes_not_compared(logits_base, logits_steered):
    """Logits of different shape are not refused: they are broadcast, or fail with a RuntimeError. Compare the shapes
    and raise ValueError."""
    return divergence(logits_base.log_softmax(dim=-1), logits_steered.log_softmax(dim=-1))


@mistake("kl_divergence")
def only_numbers_of_texts_compared(logits_base, logits_steered):
    """Only the number of texts is compared. Vocabularies of different size are no less different: compare the whole
    shapes."""
    if len(logits_base) != len(logits_steered):
        raise ValueError("another number of texts")
    return divergence(logits_base.log_softmax(dim=-1), logits_steered.log_softmax(dim=-1))


@mistake("kl_divergence")
def nothing_costs(logits_base, logits_steered):
    """This is 0 whatever the logits are."""
    same_shape(logits_base, logits_steered)
    return torch.zeros(len(logits_base))


@alternative("kl_divergence")
def by_kl_div(logits_base, logits_steered):
    if logits_base.size() != logits_steered.size():
        raise ValueError("different shapes")
    log_p, log_q = logits_base.log_softmax(-1), logits_steered.log_softmax(-1)
    found = F.kl_div(log_q, log_p, reduction="none", log_target=True)
    return torch.where(log_p.isneginf(), torch.zeros_like(found), found).sum(-1)


@alternative("kl_divergence")
def by_cross_entropy(logits_base, logits_steered):
    """Cross-entropy minus entropy, each text by itself, over the tokens that the base model does not exclude."""
    same_shape(logits_base, logits_steered)
    found = []
    for base, steered in zip(logits_base, logits_steered, strict=True):
        log_p = base - base.logsumexp(dim=0)
        log_q = steered - steered.logsumexp(dim=0)
        said = ~log_p.isneginf()
        p = log_p[said].exp()
        found.append((p * log_p[said]).sum() - (p * log_q[said]).sum())
    return torch.stack(found)


@alternative("kl_divergence")
def by_ratio_of_sums(logits_base, logits_steered):
    """KL is the base's mean logit difference, minus the logarithm of the mean of what it does to the probabilities."""
    same_shape(logits_base, logits_steered)
    base, steered = logits_base.double(), logits_steered.double()
    p = base.softmax(dim=-1)
    rise = torch.where(base == -torch.inf, 0.0, base - steered)
    weighted = torch.where(p == 0, 0.0, p * rise)
    return weighted.sum(dim=-1) - base.logsumexp(dim=-1) + steered.logsumexp(dim=-1)


@alternative("kl_divergence")
def by_numpy(logits_base, logits_steered):
    if tuple(logits_base.shape) != tuple(logits_steered.shape):
        raise ValueError("different shapes")
    log_p, log_q = (each.double().numpy() for each in (logits_base, logits_steered))
    log_p, log_q = (each - each.max(axis=1, keepdims=True) for each in (log_p, log_q))
    log_p, log_q = (each - np.log(np.exp(each).sum(axis=1, keepdims=True)) for each in (log_p, log_q))
    p = np.exp(log_p)
    with np.errstate(invalid="ignore"):
        found = np.where(p == 0, 0, p * (log_p - log_q)).sum(axis=1)
    return torch.from_numpy(found).to(logits_base.dtype)


@alternative("kl_divergence")
def never_below_zero(logits_base, logits_steered):
    """Rounding may bring the sum just below 0, where no divergence is."""
    same_shape(logits_base, logits_steered)
    log_p, log_q = F.log_softmax(logits_base, dim=1), F.log_softmax(logits_steered, dim=1)
    ratio = (log_p - log_q).masked_fill(logits_base == -torch.inf, 0)
    return torch.einsum("bt,bt->b", log_p.exp(), ratio).clamp(min=0)


class Directions:
    """The draws of `random_direction_band`, with a method for each step, so that a mistake can change one."""

    def __init__(self, effect, like, n, generator):
        self.effect, self.like, self.n, self.generator = effect, like, n, generator

    def count(self):
        return self.n

    def draw(self):
        return torch.randn(self.like.shape, generator=self.generator, dtype=self.like.dtype)

    def scale(self, drawn):
        return drawn / drawn.norm() * self.like.norm()

    def directions(self):
        return [self.scale(self.draw()) for _ in range(self.count())]

    def effects(self):
        usable(self.like, self.n)
        return [float(self.effect(direction)) for direction in self.directions()]

    def band(self):
        effects = self.effects()
        return min(effects), max(effects)


def usable(like, n):
    if n < 1 or not like.any():
        raise ValueError("at least one direction is needed, and a norm above zero")


@mistake("random_direction_band")
def unit_norm(effect, like, n, generator):
    """The directions have norm 1. What a push does depends on its length: multiply with the norm of `like`."""

    class Unit(Directions):
        def scale(self, drawn):
            return drawn / drawn.norm()

    return Unit(effect, like, n, generator).band()


@mistake("random_direction_band")
def not_scaled(effect, like, n, generator):
    """The directions are as they were drawn, with a norm near √d_model. Divide by it, and multiply with the norm of
    `like`."""

    class Raw(Directions):
        def scale(self, drawn):
            return drawn

    return Raw(effect, like, n, generator).band()


@mistake("random_direction_band")
def divided_by_root_of_d(effect, like, n, generator):
    """The directions were divided by √d_model, which gives them *about* the norm of `like`. Divide each by its own
    norm."""

    class Near(Directions):
        def scale(self, drawn):
            return drawn / len(drawn) ** 0.5 * self.like.norm()

    return Near(effect, like, n, generator).band()


@mistake("random_direction_band")
def only_multiplied(effect, like, n, generator):
    """The directions were multiplied with the norm of `like`, but not divided by their own."""

    class Long(Directions):
        def scale(self, drawn):
            return drawn * self.like.norm()

    return Long(effect, like, n, generator).band()


@mistake("random_direction_band")
def one_norm_for_all(effect, like, n, generator):
    """All directions together were divided by one norm, that of the whole matrix. Each has its own: norm(dim=1,
    keepdim=True)."""

    class Together(Directions):
        def directions(self):
            drawn = torch.stack([self.draw() for _ in range(self.n)])
            return list(drawn / drawn.norm() * self.like.norm())

    return Together(effect, like, n, generator).band()


@mistake("random_direction_band")
def one_orthant(effect, like, n, generator):
    """torch.rand draws positive numbers only, so that no direction points any other way. Use torch.randn."""

    class Positive(Directions):
        def draw(self):
            return torch.rand(self.like.shape, generator=self.generator, dtype=self.like.dtype)

    return Positive(effect, like, n, generator).band()


@mistake("random_direction_band")
def towards_the_corners(effect, like, n, generator):
    """The coordinates were drawn evenly from an interval around 0, that is from a cube: more directions go to its
    corners than to its faces. Use torch.randn."""

    class Cube(Directions):
        def draw(self):
            return 2 * torch.rand(self.like.shape, generator=self.generator, dtype=self.like.dtype) - 1

    return Cube(effect, like, n, generator).band()


@mistake("random_direction_band")
def signs_only(effect, like, n, generator):
    """All coordinates have the same size, and only their signs are random. Use torch.randn."""

    class Signs(Directions):
        def draw(self):
            return super().draw().sign()

    return Signs(effect, like, n, generator).band()


@mistake("random_direction_band")
def one_axis_each(effect, like, n, generator):
    """Each direction lies along a single axis of the space. All coordinates should be drawn: torch.randn."""

    class Axis(Directions):
        def draw(self):
            drawn = super().draw()
            return torch.where(drawn.abs() == drawn.abs().max(), drawn, 0)

    return Axis(effect, like, n, generator).band()


@mistake("random_direction_band")
def shuffled_like(effect, like, n, generator):
    """The coordinates of `like` were shuffled. That keeps its large coordinates and their signs: draw new numbers with
    torch.randn."""

    class Shuffled(Directions):
        def draw(self):
            return self.like[torch.randperm(len(self.like), generator=self.generator)]

    return Shuffled(effect, like, n, generator).band()


@mistake("random_direction_band")
def like_with_random_signs(effect, like, n, generator):
    """The coordinates of `like` got random signs, and keep their sizes. Draw new numbers with torch.randn."""

    class Flipped(Directions):
        def draw(self):
            return super().draw().sign() * self.like

    return Flipped(effect, like, n, generator).band()


@mistake("random_direction_band")
def like_times_noise(effect, like, n, generator):
    """The coordinates of `like` were multiplied with random numbers, so that where it is small all directions are. Draw
    the direction itself with torch.randn."""

    class Multiplied(Directions):
        def draw(self):
            return super().draw() * self.like

    return Multiplied(effect, like, n, generator).band()


@mistake("random_direction_band")
def like_plus_noise(effect, like, n, generator):
    """Noise was added to `like`, so that all directions are near it. Draw them without it."""

    class Noisy(Directions):
        def draw(self):
            drawn = super().draw()
            return self.like / self.like.norm() + 0.5 * drawn / drawn.norm()

    return Noisy(effect, like, n, generator).band()


@mistake("random_direction_band")
def orthogonal_to_like(effect, like, n, generator):
    """The part along `like` was taken out. A random direction may have any part along it: in d_model dimensions that is
    small anyway."""

    class Orthogonal(Directions):
        def draw(self):
            unit = self.like / self.like.norm()
            drawn = super().draw()
            return drawn - (drawn @ unit) * unit if len(drawn) > 1 else drawn

    return Orthogonal(effect, like, n, generator).band()


@mistake("random_direction_band")
def half_a_space(effect, like, n, generator):
    """Every direction was turned to the side of `like`, which halves the band. Leave them as they were drawn."""

    class Turned(Directions):
        def draw(self):
            drawn = super().draw()
            return drawn if drawn @ self.like > 0 else -drawn

    return Turned(effect, like, n, generator).band()


@mistake("random_direction_band")
def one_direction_for_all(effect, like, n, generator):
    """The direction was drawn once, before the loop, so that all n are the same. Draw inside the loop."""

    class Same(Directions):
        def directions(self):
            return [self.scale(self.draw())] * self.n

    return Same(effect, like, n, generator).band()


@mistake("random_direction_band")
def each_with_its_negative(effect, like, n, generator):
    """Each direction comes with its negative, so that half of them are not random. Draw all n."""

    class Mirrored(Directions):
        def directions(self):
            half = [self.scale(self.draw()) for _ in range((self.n + 1) // 2)]
            return [*half, *(-each for each in half)][: self.n]

    return Mirrored(effect, like, n, generator).band()


@mistake("random_direction_band")
def orthogonal_to_each_other(effect, like, n, generator):
    """The directions were made orthogonal to each other (QR), of which there are no more than d_model. Draw each by
    itself."""

    class Basis(Directions):
        def directions(self):
            drawn = torch.stack([self.draw() for _ in range(self.n)], dim=1)
            return [self.scale(column) for column in torch.linalg.qr(drawn).Q.T]

    return Basis(effect, like, n, generator).band()


@mistake("random_direction_band")
def generator_not_used(effect, like, n, generator):
    """The directions do not come from `generator`, so that the band cannot be found again. Pass generator=generator to
    torch.randn."""
    return Directions(effect, like, n, None).band()


@mistake("random_direction_band")
def generator_of_its_own(effect, like, n, generator):
    """A new generator with a fixed seed is made, and the given one not used: every band has the same directions. Draw
    from `generator`."""
    return Directions(effect, like, n, torch.Generator().manual_seed(0)).band()


@mistake("random_direction_band")
def generator_seeded_again(effect, like, n, generator):
    """`generator` is seeded again, so that it no longer matters how the caller seeded it. Only draw from it."""
    usable(like, n)
    return Directions(effect, like, n, generator.manual_seed(0)).band()


@mistake("random_direction_band")
def generator_copied(effect, like, n, generator):
    """The numbers come from a copy of `generator`, which itself stays where it was: the next band gets the same
    directions. Draw from `generator` itself."""
    return Directions(effect, like, n, generator.clone_state()).band()


@mistake("random_direction_band")
def percentiles(effect, like, n, generator):
    """This is the middle 95 % of the effects. Return the smallest and the largest of all."""
    found = np.percentile(Directions(effect, like, n, generator).effects(), [2.5, 97.5])
    return float(found[0]), float(found[1])


@mistake("random_direction_band")
def two_deviations(effect, like, n, generator):
    """This is the mean ± 1.96 standard deviations. Return the smallest and the largest effect."""
    effects = torch.tensor(Directions(effect, like, n, generator).effects(), dtype=torch.float64)
    spread = 1.96 * effects.std(correction=0)
    return (effects.mean() - spread).item(), (effects.mean() + spread).item()


@mistake("random_direction_band")
def high_before_low(effect, like, n, generator):
    """The largest effect comes first. Return (low, high)."""
    return Directions(effect, like, n, generator).band()[::-1]


@mistake("random_direction_band")
def sizes_of_the_effects(effect, like, n, generator):
    """The effects lost their signs. An effect below zero is another one than above: no abs()."""
    sizes = [abs(each) for each in Directions(effect, like, n, generator).effects()]
    return min(sizes), max(sizes)


@mistake("random_direction_band")
def symmetric_band(effect, like, n, generator):
    """The band was made symmetric around 0, from the largest size down to its negative. Return the smallest and the
    largest effect themselves."""
    largest = max(abs(each) for each in Directions(effect, like, n, generator).effects())
    return -largest, largest


@mistake("random_direction_band")
def zero_always_inside(effect, like, n, generator):
    """The band starts from 0, so that it holds 0 also where no effect does. Start from the first effect, or use min and
    max."""
    low = high = 0.0
    for each in Directions(effect, like, n, generator).effects():
        low, high = min(low, each), max(high, each)
    return low, high


@mistake("random_direction_band")
def first_and_last_effect(effect, like, n, generator):
    """These are the first and the last effect. Return the smallest and the largest."""
    effects = Directions(effect, like, n, generator).effects()
    return effects[0], effects[-1]


@mistake("random_direction_band")
def width_of_the_band(effect, like, n, generator):
    """This is the width of the band. Return its two ends, (low, high)."""
    low, high = Directions(effect, like, n, generator).band()
    return high - low


@mistake("random_direction_band")
def all_effects(effect, like, n, generator):
    """These are all effects, sorted. Return the smallest and the largest."""
    return sorted(Directions(effect, like, n, generator).effects())


@mistake("random_direction_band")
def like_counted(effect, like, n, generator):
    """The effect of `like` itself was measured too and is part of the band, which then always holds it. Only the random
    directions belong to it."""

    class WithLike(Directions):
        def directions(self):
            return [*super().directions(), self.like]

    return WithLike(effect, like, n, generator).band()


@mistake("random_direction_band")
def like_among_them(effect, like, n, generator):
    """One of the n directions is `like` itself, so that the band always holds its effect. Draw all n."""

    class Among(Directions):
        def directions(self):
            return [self.like, *super().directions()][: self.n]

    return Among(effect, like, n, generator).band()


@mistake("random_direction_band")
def one_too_few(effect, like, n, generator):
    """There are n − 1 directions. range(n) has n numbers, range(1, n) has not."""

    class Fewer(Directions):
        def count(self):
            return max(1, self.n - 1)

    return Fewer(effect, like, n, generator).band()


@mistake("random_direction_band")
def n_not_used(effect, like, n, generator):
    """There are always as many directions, whatever `n` says. Draw as many as are asked for."""

    class Fixed(Directions):
        def count(self):
            return 20

    return Fixed(effect, like, n, generator).band()


@mistake("random_direction_band")
def drawn_for_each_end(effect, like, n, generator):
    """effect was called 2n times, on n directions for the low end and n for the high one. Keep the n effects, and take
    both ends from them."""
    return (
        min(Directions(effect, like, n, generator).effects()),
        max(Directions(effect, like, n, generator).effects()),
    )


@mistake("random_direction_band")
def all_at_once(effect, like, n, generator):
    """effect was given all directions as one matrix. Call it on one direction at a time."""
    usable(like, n)
    found = float(effect(torch.stack(Directions(effect, like, n, generator).directions())))
    return found, found


@mistake("random_direction_band")
def one_row_each(effect, like, n, generator):
    """Each direction is a matrix with one row, shape (1, d_model). Give effect the shape of `like`."""

    class Rows(Directions):
        def scale(self, drawn):
            return super().scale(drawn).unsqueeze(0)

    return Rows(effect, like, n, generator).band()


@mistake("random_direction_band")
def numpy_directions(effect, like, n, generator):
    """effect was given NumPy arrays. Give it tensors: torch.randn draws them."""
    usable(like, n)
    effects = [float(effect(each.numpy())) for each in Directions(effect, like, n, generator).directions()]
    return min(effects), max(effects)


@mistake("random_direction_band")
def float64_directions(effect, like, n, generator):
    """The directions are float64, whatever `like` is. Added to a float32 stream, they make it float64, and the model
    stops. Give them the dtype of `like`."""

    class Double(Directions):
        def scale(self, drawn):
            return super().scale(drawn).double()

    return Double(effect, like, n, generator).band()


@mistake("random_direction_band")
def float32_directions(effect, like, n, generator):
    """The directions are float32, whatever `like` is. Pass dtype=like.dtype to torch.randn."""

    class Single(Directions):
        def scale(self, drawn):
            return super().scale(drawn).float()

    return Single(effect, like, n, generator).band()


@mistake("random_direction_band")
def like_normalised_in_place(effect, like, n, generator):
    """The caller's `like` was changed (`like /= …`). Compute a new tensor: like / like.norm()."""
    band = Directions(effect, like, n, generator).band()
    like /= like.norm()
    return band


@mistake("random_direction_band")
def infinite_band(effect, like, n, generator):
    """Without a direction the band runs from inf to −inf. Raise ValueError for n < 1."""
    if n < 1:
        return math.inf, -math.inf
    return Directions(effect, like, n, generator).band()


@mistake("random_direction_band")
def negative_numbers_accepted(effect, like, n, generator):
    """n = 0 raises ValueError, but a negative n does not. Refuse n < 1."""
    if n < 0:
        return 0.0, 0.0
    return Directions(effect, like, n, generator).band()


@mistake("random_direction_band")
def count_asserted(effect, like, n, generator):
    """n < 1 raises AssertionError. The contract asks for a ValueError, which callers can expect."""
    assert n >= 1, "at least one direction is needed"
    return Directions(effect, like, n, generator).band()


@mistake("random_direction_band")
def zero_like_accepted(effect, like, n, generator):
    """A zero `like` is accepted: all directions are zero too, and the band is that of doing nothing. Raise
    ValueError."""
    if n < 1:
        raise ValueError("at least one direction is needed")
    effects = [float(effect(each)) for each in Directions(effect, like, n, generator).directions()]
    return min(effects), max(effects)


@mistake("random_direction_band")
def zero_band_for_zero(effect, like, n, generator):
    """For a zero `like` the band is given as 0 to 0, as if it had been measured. Raise ValueError."""
    if n >= 1 and not like.any():
        return 0.0, 0.0
    return Directions(effect, like, n, generator).band()


@mistake("random_direction_band")
def nothing_drawn(effect, like, n, generator):
    """This is always the same band: effect is not called at all."""
    usable(like, n)
    return -1.0, 1.0


@recogniser("random_direction_band")
def recognise_band(calls):
    """From what the spies were given: directions are told by their norms, signs and shapes, whatever drew them."""
    seen = []
    for args, kwargs, band in calls:
        effect, like, n, generator = bound(args, kwargs, "effect", "like", "n", "generator")
        if getattr(effect, "open", True) or not effect.directions:
            continue
        if any(not isinstance(each, torch.Tensor) for each in effect.directions):
            return "numpy_directions"
        shapes = {tuple(each.shape) for each in effect.directions}
        if shapes != {tuple(like.shape)}:
            return {(n, *like.shape): "all_at_once", (1, *like.shape): "one_row_each"}.get(shapes.pop())
        dtypes = {each.dtype for each in effect.directions}
        if dtypes != {like.dtype}:
            return {torch.float64: "float64_directions", torch.float32: "float32_directions"}.get(
                dtypes.pop()
            )
        directions = torch.stack(effect.directions).double()
        seen.append((like.double(), n, directions, effect.values, band, generator.get_state().tolist()))
    for rule, name in RULES:
        if seen and rule(seen):
            return name
    return None


def same_state_other_directions(seen):
    return any(
        state == other_state and one.shape == two.shape and not torch.allclose(one, two)
        for _, n, one, _, _, state in seen
        for _, m, two, _, _, other_state in seen
        if n == m
    )


def every_norm(wanted):
    def rule(seen):
        return all(
            torch.allclose(directions.norm(dim=1), wanted(like).double(), rtol=1e-3)
            for like, _, directions, *_ in seen
        )

    return rule


def in_wide_spaces(rule):
    """The rule holds for the coordinates, in units of their root mean square, wherever there are many."""

    def on_coordinates(seen):
        wide = [directions for like, _, directions, *_ in seen if len(like) > 1000]
        return bool(wide) and all(rule(each / each.square().mean().sqrt()) for each in wide)

    return on_coordinates


def band_is(of_values):
    def rule(seen):
        pairs = [(band, of_values(values)) for *_, values, band, _ in seen if len(values) > 1]
        return bool(pairs) and all(
            isinstance(band, (list, tuple))
            and len(band) == 2
            and np.allclose([float(each) for each in band], wanted, rtol=1e-4, atol=1e-6)
            for band, wanted in pairs
        )

    return rule


RULES = (
    (same_state_other_directions, "generator_not_used"),
    (lambda seen: all(len(each[2]) == 2 * each[1] for each in seen), "drawn_for_each_end"),
    (
        lambda seen: all(
            len(each[2]) == each[1] + 1 and any(torch.allclose(row, each[0]) for row in each[2])
            for each in seen
        ),
        "like_counted",
    ),
    (lambda seen: len({len(each[2]) for each in seen}) == 1 < len({each[1] for each in seen}), "n_not_used"),
    (every_norm(lambda like: torch.ones(())), "unit_norm"),
    (
        lambda seen: all(
            torch.allclose(directions.norm(), like.norm(), rtol=1e-3) for like, _, directions, *_ in seen
        ),
        "one_norm_for_all",
    ),
    (
        lambda seen: all(bool((each[2] == each[2][0]).all()) for each in seen),
        "one_direction_for_all",
    ),
    (lambda seen: all(bool((each[2] >= 0).all()) for each in seen), "one_orthant"),
    (in_wide_spaces(lambda x: bool(torch.allclose(x.abs(), torch.ones_like(x), rtol=1e-3))), "signs_only"),
    (in_wide_spaces(lambda x: abs(float(x.pow(4).mean()) - 1.8) < 0.1), "towards_the_corners"),
    (
        lambda seen: all(
            torch.allclose(directions.sort(dim=1).values, like.sort().values.expand_as(directions), rtol=1e-3)
            for like, _, directions, *_ in seen
        ),
        "shuffled_like",
    ),
    (
        lambda seen: all(
            bool((directions @ like / like.square().sum()).abs().max() < 1e-3)
            for like, _, directions, *_ in seen
            if len(like) > 1
        ),
        "orthogonal_to_like",
    ),
    (band_is(lambda values: (max(values), min(values))), "high_before_low"),
    (band_is(lambda values: np.percentile(values, [2.5, 97.5])), "percentiles"),
    (
        band_is(lambda values: np.mean(values) + 1.96 * np.array([-1, 1]) * np.std(values)),
        "two_deviations",
    ),
)


@alternative("random_direction_band")
def all_drawn_together(effect, like, n, generator):
    if n < 1:
        raise ValueError("no direction")
    if like.abs().max() == 0:
        raise ValueError("no norm")
    drawn = torch.randn(n, *like.shape, generator=generator, dtype=like.dtype)
    directions = F.normalize(drawn, dim=-1) * like.norm()
    effects = torch.tensor([effect(direction) for direction in directions], dtype=torch.float64)
    return effects.amin().item(), effects.amax().item()


@alternative("random_direction_band")
def in_float64(effect, like, n, generator):
    length = math.sqrt(math.fsum(value * value for value in like.tolist()))
    if not (n >= 1 and length > 0):
        raise ValueError("no direction, or no norm")
    low, high = math.inf, -math.inf
    for _ in range(n):
        drawn = torch.empty(len(like), dtype=torch.float64).normal_(generator=generator)
        said = effect((length * drawn / torch.linalg.vector_norm(drawn)).to(like.dtype))
        low, high = min(low, said), max(high, said)
    return low, high


@alternative("random_direction_band")
def by_numpy_seeded_from_generator(effect, like, n, generator):
    """All of numpy's randomness follows from one number that the generator draws."""
    if n <= 0 or bool((like == 0).all()):
        raise ValueError("no direction, or no norm")
    numbers = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    drawn = numbers.standard_normal((len(like), n))
    drawn *= float(like.double().norm()) / np.linalg.norm(drawn, axis=0)
    effects = sorted(effect(torch.tensor(column, dtype=like.dtype)) for column in drawn.T)
    return effects[0], effects[-1]


@alternative("random_direction_band")
def by_box_muller(effect, like, n, generator):
    """Normally distributed numbers from evenly distributed ones, the last direction first; tensors for the ends."""
    usable(like, n)
    uniform = torch.rand(2, n, len(like), generator=generator, dtype=torch.float64)
    drawn = (-2 * (1 - uniform[0]).log()).sqrt() * (2 * torch.pi * uniform[1]).cos()
    directions = (drawn / drawn.norm(dim=1, keepdim=True) * like.double().norm()).to(like.dtype)
    effects = torch.tensor([float(effect(each)) for each in directions.flip(0)])
    return effects.min(), effects.max()


def finite_slopes(slopes):
    if len(slopes) == 0 or not bool(slopes.isfinite().all()):
        raise ValueError("needs slopes, all of them finite")


def wrong_way(slopes):
    return int((slopes < 0).sum()) / len(slopes)


@mistake("steerability")
def zero_is_wrong(per_example_slopes):
    """Slopes of exactly 0 were counted as the wrong way. They go no way: `<`, not `<=`."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().item(), (per_example_slopes <= 0).float().mean().item()


@mistake("steerability")
def fraction_of_the_right_way(per_example_slopes):
    """This is the fraction that goes the *right* way. Count slopes below 0."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().item(), (per_example_slopes > 0).float().mean().item()


@mistake("steerability")
def fraction_not_wrong(per_example_slopes):
    """This is the fraction that does *not* go the wrong way. Count slopes below 0."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().item(), 1 - wrong_way(per_example_slopes)


@mistake("steerability")
def number_of_examples(per_example_slopes):
    """This is the number of examples that go the wrong way. Divide by the number of all."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().item(), float((per_example_slopes < 0).sum())


@mistake("steerability")
def percentage(per_example_slopes):
    """This is a percentage. Return a fraction, from 0 to 1."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().item(), 100 * wrong_way(per_example_slopes)


@mistake("steerability")
def any_wrong(per_example_slopes):
    """This says whether *any* example goes the wrong way. Return the fraction of them."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().item(), float((per_example_slopes < 0).any())


@mistake("steerability")
def of_those_that_move(per_example_slopes):
    """The fraction is of the examples that move at all. It is of all examples, also those with a slope of 0."""
    finite_slopes(per_example_slopes)
    moving = max(1, int((per_example_slopes != 0).sum()))
    return per_example_slopes.mean().item(), int((per_example_slopes < 0).sum()) / moving


@mistake("steerability")
def wrong_for_each_right(per_example_slopes):
    """This is the ratio of wrong to right ones. Divide by the number of all examples."""
    finite_slopes(per_example_slopes)
    right = max(1, int((per_example_slopes >= 0).sum()))
    return per_example_slopes.mean().item(), int((per_example_slopes < 0).sum()) / right


@mistake("steerability")
def against_the_mean(per_example_slopes):
    """Slopes of the other sign than the *mean* were counted. The wrong way is the one that was not intended, below 0,
    whatever the mean says."""
    finite_slopes(per_example_slopes)
    mean = per_example_slopes.mean()
    return mean.item(), (per_example_slopes * mean < 0).float().mean().item()


@mistake("steerability")
def minority(per_example_slopes):
    """This is the fraction of the less frequent sign. The wrong way is below 0, also where most examples go there."""
    finite_slopes(per_example_slopes)
    wrong = wrong_way(per_example_slopes)
    return per_example_slopes.mean().item(), min(wrong, 1 - wrong)


@mistake("steerability")
def below_the_mean(per_example_slopes):
    """Slopes below the *mean* were counted. The wrong way is below 0."""
    finite_slopes(per_example_slopes)
    mean = per_example_slopes.mean()
    return mean.item(), (per_example_slopes < mean).float().mean().item()


@mistake("steerability")
def sign_bit(per_example_slopes):
    """−0 was counted as the wrong way (signbit). It equals 0: `slopes < 0`."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().item(), per_example_slopes.signbit().float().mean().item()


@mistake("steerability")
def small_ones_excused(per_example_slopes):
    """Slopes just below 0 were not counted. The unit of slopes is arbitrary, and so is any threshold but 0."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().item(), (per_example_slopes < -1e-3).float().mean().item()


@mistake("steerability")
def below_minus_one(per_example_slopes):
    """Slopes were rounded before they were counted. Every slope below 0 goes the wrong way, however flat."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().item(), (per_example_slopes.int() < 0).float().mean().item()


@mistake("steerability")
def mean_of_sizes(per_example_slopes):
    """This is the mean of the slopes' *sizes*, which a direction that pushes everyone at random has too. Keep the
    signs."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.abs().mean().item(), wrong_way(per_example_slopes)


@mistake("steerability")
def size_of_mean(per_example_slopes):
    """The mean lost its sign, which says whether the direction does what was intended on average: no abs()."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().abs().item(), wrong_way(per_example_slopes)


@mistake("steerability")
def mean_of_the_right_ones(per_example_slopes):
    """The mean is over the examples that go the right way only. Take it over all of them."""
    finite_slopes(per_example_slopes)
    right = per_example_slopes[per_example_slopes >= 0]
    return right.mean().item() if len(right) else 0.0, wrong_way(per_example_slopes)


@mistake("steerability")
def wrong_ones_count_nothing(per_example_slopes):
    """Slopes below 0 were set to 0 before the mean was taken. They belong to it as they are."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.clamp(min=0).mean().item(), wrong_way(per_example_slopes)


@mistake("steerability")
def median_slope(per_example_slopes):
    """This is the median slope. Return the mean."""
    finite_slopes(per_example_slopes)
    return statistics.median(per_example_slopes.tolist()), wrong_way(per_example_slopes)


@mistake("steerability")
def total_slope(per_example_slopes):
    """This is the sum of the slopes. Divide by their number."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.sum().item(), wrong_way(per_example_slopes)


@mistake("steerability")
def one_less(per_example_slopes):
    """The sum was divided by n − 1, as in a variance. A mean divides by n."""
    finite_slopes(per_example_slopes)
    mean = per_example_slopes.sum().item() / max(1, len(per_example_slopes) - 1)
    return mean, wrong_way(per_example_slopes)


@mistake("steerability")
def in_deviations(per_example_slopes):
    """The mean was divided by the standard deviation. Return the mean itself, in the slopes' own unit."""
    finite_slopes(per_example_slopes)
    spread = per_example_slopes.std(correction=0).item() or 1.0
    return per_example_slopes.mean().item() / spread, wrong_way(per_example_slopes)


@mistake("steerability")
def mean_of_signs(per_example_slopes):
    """This is the mean of the slopes' signs. Return the mean of the slopes."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.sign().mean().item(), wrong_way(per_example_slopes)


@mistake("steerability")
def fraction_first(per_example_slopes):
    """The fraction comes first. Return (mean, fraction_wrong_way)."""
    finite_slopes(per_example_slopes)
    return wrong_way(per_example_slopes), per_example_slopes.mean().item()


@mistake("steerability")
def mean_only(per_example_slopes):
    """Only the mean is returned. Return (mean, fraction_wrong_way)."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().item()


@mistake("steerability")
def one_tensor(per_example_slopes):
    """Both numbers are returned as one tensor. Return a tuple of two."""
    finite_slopes(per_example_slopes)
    return torch.tensor([per_example_slopes.mean().item(), wrong_way(per_example_slopes)])


@mistake("steerability")
def one_for_each_example(per_example_slopes):
    """The second value says for each example whether it goes the wrong way. Return their fraction."""
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().item(), per_example_slopes < 0


@mistake("steerability")
def clamped_in_place(per_example_slopes):
    """The caller's slopes were changed: a method with an underscore at its end, or `slopes[…] = …`, works in place."""
    finite_slopes(per_example_slopes)
    found = per_example_slopes.mean().item(), wrong_way(per_example_slopes)
    per_example_slopes.clamp_(min=0)
    return found


@mistake("steerability")
def sorted_in_place(per_example_slopes):
    """The caller's slopes were sorted in place. Use sort(), which returns a new tensor, or do not sort at all."""
    finite_slopes(per_example_slopes)
    per_example_slopes.copy_(per_example_slopes.sort().values)
    return per_example_slopes.mean().item(), wrong_way(per_example_slopes)


@mistake("steerability")
def nan_without_examples(per_example_slopes):
    """Without any example both numbers are NaN. Raise ValueError."""
    if len(per_example_slopes) and not bool(per_example_slopes.isfinite().all()):
        raise ValueError("slopes have to be finite")
    return per_example_slopes.mean().item(), (per_example_slopes < 0).float().mean().item()


@mistake("steerability")
def zero_without_examples(per_example_slopes):
    """Without any example both numbers are 0, as if nobody had moved. Raise ValueError."""
    if len(per_example_slopes) == 0:
        return 0.0, 0.0
    finite_slopes(per_example_slopes)
    return per_example_slopes.mean().item(), wrong_way(per_example_slopes)


@mistake("steerability")
def division_by_zero(per_example_slopes):
    """Without any example this divides by 0: ZeroDivisionError. Look first, and raise ValueError."""
    if not bool(per_example_slopes.isfinite().all()):
        raise ValueError("slopes have to be finite")
    return sum(per_example_slopes.tolist()) / len(per_example_slopes), wrong_way(per_example_slopes)


@mistake("steerability")
def anything_accepted(per_example_slopes):
    """NaN and infinite slopes are accepted, and spoil the mean. Raise ValueError."""
    if len(per_example_slopes) == 0:
        raise ValueError("no example")
    return per_example_slopes.mean().item(), (per_example_slopes < 0).float().mean().item()


@mistake("steerability")
def nan_left_out(per_example_slopes):
    """NaN and infinite slopes are left out in silence, and the numbers are those of the other examples. Raise
    ValueError."""
    if len(per_example_slopes) == 0:
        raise ValueError("no example")
    kept = per_example_slopes[per_example_slopes.isfinite()]
    if len(kept) == 0:
        raise ValueError("no finite slope")
    return kept.mean().item(), wrong_way(kept)


@mistake("steerability")
def nan_counted_as_zero(per_example_slopes):
    """NaN and infinite slopes were replaced by numbers (nan_to_num). Raise ValueError."""
    if len(per_example_slopes) == 0:
        raise ValueError("no example")
    mended = per_example_slopes.nan_to_num()
    return mended.mean().item(), wrong_way(mended)


@mistake("steerability")
def infinity_accepted(per_example_slopes):
    """NaN raises ValueError, but an infinite slope is accepted. Refuse both: isfinite()."""
    if len(per_example_slopes) == 0 or bool(per_example_slopes.isnan().any()):
        raise ValueError("no example, or NaN")
    return per_example_slopes.mean().item(), wrong_way(per_example_slopes)


@mistake("steerability")
def nan_accepted(per_example_slopes):
    """An infinite slope raises ValueError, but NaN is accepted: comparisons with it are false. Refuse both:
    isfinite()."""
    if len(per_example_slopes) == 0 or bool((per_example_slopes.abs() == torch.inf).any()):
        raise ValueError("no example, or infinity")
    return per_example_slopes.mean().item(), wrong_way(per_example_slopes)


@mistake("steerability")
def all_must_be_bad(per_example_slopes):
    """ValueError is raised only where *all* slopes are NaN or infinite. A single one is enough."""
    if not bool(per_example_slopes.isfinite().any()):
        raise ValueError("no finite slope")
    return per_example_slopes.mean().item(), (per_example_slopes < 0).float().mean().item()


@mistake("steerability")
def slopes_asserted(per_example_slopes):
    """Bad slopes raise AssertionError. The contract asks for a ValueError, which callers can expect."""
    assert len(per_example_slopes) > 0, "no example"
    assert bool(per_example_slopes.isfinite().all()), "slopes have to be finite"
    return per_example_slopes.mean().item(), wrong_way(per_example_slopes)


@mistake("steerability")
def always_the_same(per_example_slopes):
    """These numbers do not depend on the slopes."""
    finite_slopes(per_example_slopes)
    return 1.0, 0.0


@alternative("steerability")
def by_counting(per_example_slopes):
    slopes = per_example_slopes.tolist()
    if not slopes or not all(math.isfinite(slope) for slope in slopes):
        raise ValueError("no example, or a slope that is not finite")
    return math.fsum(slopes) / len(slopes), sum(slope < 0 for slope in slopes) / len(slopes)


@alternative("steerability")
def by_arrays(per_example_slopes):
    slopes = np.asarray(per_example_slopes, dtype=np.float64)
    if slopes.size == 0 or not np.isfinite(slopes).all():
        raise ValueError("no example, or a slope that is not finite")
    return np.mean(slopes), np.mean(np.sign(slopes) == -1)


@alternative("steerability")
def as_scalar_tensors(per_example_slopes):
    n = per_example_slopes.numel()
    if n == 0 or bool((per_example_slopes - per_example_slopes != 0).any()):
        raise ValueError("no example, or a slope that is not finite")
    return per_example_slopes.sum() / n, per_example_slopes.lt(0).sum() / n


@alternative("steerability")
def by_statistics(per_example_slopes):
    """statistics.fmean raises StatisticsError, which is a ValueError, where there is nothing to average."""
    slopes = [float(slope) for slope in per_example_slopes]
    if any(slope in (math.inf, -math.inf) or slope != slope for slope in slopes):
        raise ValueError("a slope that is not finite")
    return [statistics.fmean(slopes), statistics.fmean(1.0 if slope < 0 else 0.0 for slope in slopes)]
