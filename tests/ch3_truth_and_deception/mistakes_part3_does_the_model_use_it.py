"""Wrong answers to chapter 3, part 3 that its checks must reject, and right ones written differently."""

import functools
import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F

from utils.course import alternative, mistake


def in_pass(positions, resid):
    """The positions counted from 0, each once; ValueError where the pass does not have them."""
    n = resid.shape[1]
    if any(not -n <= position < n for position in positions):
        raise ValueError(f"a pass of {n} positions does not have all of {positions}")
    return sorted({position % n for position in positions})


def hook_of(positions, everywhere, at_positions, later=torch.clone):
    """A hook from what it does: on every pass without positions, on the first with them, on later ones with them."""
    passes = itertools.count()

    def hook(resid, hook):
        if positions is None:
            return everywhere(resid)
        return at_positions(resid) if next(passes) == 0 else later(resid)

    return hook


def adding(step, at, resid):
    """A copy of the stream with the step added at these positions."""
    steered = resid.clone()
    steered[:, at] += step
    return steered


def hook_adding(step, positions, at=in_pass):
    """A hook that is right but for the step that it adds, or the positions where it does."""
    return hook_of(
        positions, lambda resid: resid + step, lambda resid: adding(step, at(positions, resid), resid)
    )


def hook_changing(change, positions):
    """A hook that is right but for what it does to the positions."""

    def at_positions(resid):
        changed = resid.clone()
        at = in_pass(positions, resid)
        changed[:, at] = change(resid[:, at])
        return changed

    return hook_of(positions, change, at_positions)


@mistake("add_direction_hook")
def every_pass_that_has_them(direction, coefficient, positions=None):
    """The positions are steered on *every* pass that has them: on a later pass 0 and −1 are the newest token.
    Remember whether the first pass is over."""
    passes = itertools.count()

    def hook(resid, hook):
        if positions is None:
            return resid + coefficient * direction
        if next(passes) == 0:
            in_pass(positions, resid)
        n = resid.shape[1]
        there = [position for position in positions if -n <= position < n]
        return adding(coefficient * direction, in_pass(there, resid), resid)

    return hook


@mistake("add_direction_hook")
def every_pass_refuses(direction, coefficient, positions=None):
    """Positions are looked for on *every* pass, so that a later one, of a single token, raises ValueError. Later
    passes are to be left as they are."""
    step = coefficient * direction

    def hook(resid, hook):
        return resid + step if positions is None else adding(step, in_pass(positions, resid), resid)

    return hook


@mistake("add_direction_hook")
def every_pass_index_error(direction, coefficient, positions=None):
    """Every pass is indexed with the positions: a later one, of a single token, does not have them, which raises
    IndexError. Steer the first pass only, and raise ValueError for a position that it does not have."""
    step = coefficient * direction

    def hook(resid, hook):
        return resid + step if positions is None else adding(step, positions, resid)

    return hook


@mistake("add_direction_hook")
def prompt_known_by_length(direction, coefficient, positions=None):
    """The first pass is told by having more than one position. A prompt may be a single token, and a later pass
    may have several: remember in a variable whether the first pass is over."""
    step = coefficient * direction

    def hook(resid, hook):
        if positions is None:
            return resid + step
        return adding(step, in_pass(positions, resid), resid) if resid.shape[1] > 1 else resid.clone()

    return hook


@mistake("add_direction_hook")
def first_again(direction, coefficient, positions=None):
    """A later pass of several positions is taken for a new prompt, and steered again. A hook serves one run: only
    its very first pass is steered."""
    passes, step = itertools.count(), coefficient * direction

    def hook(resid, hook):
        if positions is None:
            return resid + step
        first = next(passes) == 0
        return (
            adding(step, in_pass(positions, resid), resid) if first or resid.shape[1] > 1 else resid.clone()
        )

    return hook


@mistake("add_direction_hook")
def nonlocal_forgotten(direction, coefficient, positions=None):
    """`first = False` inside the hook makes `first` a local variable of the hook, unset where it is read:
    UnboundLocalError. Say `nonlocal first` at its beginning."""
    first = True

    def hook(resid, hook):
        if positions is None:
            return resid + coefficient * direction
        steered = resid.clone()
        if first:  # noqa: F823
            steered[:, in_pass(positions, resid)] += coefficient * direction
        first = False  # noqa: F841
        return steered

    return hook


@mistake("add_direction_hook")
def memory_shared(direction, coefficient, positions=None):
    """All hooks share one variable that says whether the first pass is over: when one has run, another is never
    steered. Keep the variable inside the function, so that each hook has its own."""
    memory_shared.first = True

    def hook(resid, hook):
        if positions is None:
            return resid + coefficient * direction
        at = in_pass(positions, resid) if memory_shared.first else []
        memory_shared.first = False
        return adding(coefficient * direction, at, resid)

    return hook


@mistake("add_direction_hook")
def last_position_only(direction, coefficient, positions=None):
    """Only the last position of the first pass is steered, whatever the list says. Steer those that it names."""

    def at(named, resid):
        in_pass(named, resid)
        return [-1]

    return hook_adding(coefficient * direction, positions, at)


@mistake("add_direction_hook")
def none_is_last_position(direction, coefficient, positions=None):
    """With positions=None only the last position of each pass is steered. None means every position."""
    step = coefficient * direction
    return hook_of(
        positions,
        lambda resid: adding(step, [-1], resid),
        lambda resid: adding(step, in_pass(positions, resid), resid),
    )


@mistake("add_direction_hook")
def none_on_first_pass_only(direction, coefficient, positions=None):
    """With positions=None only the first pass is steered, and what the model generates afterwards is not. None
    means every position of *every* pass."""
    step = coefficient * direction
    return hook_of(
        range(0),
        torch.clone,
        lambda resid: resid + step if positions is None else adding(step, in_pass(positions, resid), resid),
    )


@mistake("add_direction_hook")
def none_is_nowhere(direction, coefficient, positions=None):
    """With positions=None nothing is added. None means everywhere; nowhere is an empty list."""
    return hook_adding(coefficient * direction, positions or [])


@mistake("add_direction_hook")
def empty_is_everywhere(direction, coefficient, positions=None):
    """An empty list of positions steers everywhere: `if not positions` is true for [] as for None. Ask
    `positions is None`."""
    return hook_adding(coefficient * direction, positions or None)


@mistake("add_direction_hook")
def in_place(direction, coefficient, positions=None):
    """The model's own stream is changed in place. Return a new tensor: resid + …, or resid.clone() and then `+=`."""

    def everywhere(resid):
        resid += coefficient * direction
        return resid

    def at_positions(resid):
        resid[:, in_pass(positions, resid)] += coefficient * direction
        return resid

    return hook_of(positions, everywhere, at_positions)


@mistake("add_direction_hook")
def in_place_at_positions(direction, coefficient, positions=None):
    """With a list of positions the model's own stream is changed in place: `steered = resid` is no copy. Use
    resid.clone()."""

    def at_positions(resid):
        steered = resid
        steered[:, in_pass(positions, resid)] += coefficient * direction
        return steered

    return hook_of(positions, lambda resid: resid + coefficient * direction, at_positions)


@mistake("add_direction_hook")
def in_place_everywhere(direction, coefficient, positions=None):
    """With positions=None the model's own stream is changed in place by `resid += …`. Write resid + …, which is a
    new tensor."""

    def everywhere(resid):
        resid += coefficient * direction
        return resid

    return hook_of(
        positions, everywhere, lambda resid: adding(coefficient * direction, in_pass(positions, resid), resid)
    )


@mistake("add_direction_hook")
def returns_none(direction, coefficient, positions=None):
    """The hook changes the stream in place and returns None. Return a new tensor, which replaces the stream."""

    def everywhere(resid):
        resid += coefficient * direction

    def at_positions(resid):
        resid[:, in_pass(positions, resid)] += coefficient * direction

    return hook_of(positions, everywhere, at_positions, later=lambda resid: None)


@mistake("add_direction_hook")
def none_on_later_passes(direction, coefficient, positions=None):
    """On later passes the hook returns None. The contract says a tensor: return the stream as it is."""
    return hook_of(
        positions,
        lambda resid: resid + coefficient * direction,
        lambda resid: adding(coefficient * direction, in_pass(positions, resid), resid),
        later=lambda resid: None,
    )


@mistake("add_direction_hook")
def direction_normalised(direction, coefficient, positions=None):
    """The direction was divided by its length first. Add coefficient · direction, with the length that it has."""
    return hook_adding(coefficient * direction / direction.norm(), positions)


@mistake("add_direction_hook")
def coefficient_forgotten(direction, coefficient, positions=None):
    """The direction is added without the coefficient. Add coefficient · direction."""
    return hook_adding(direction, positions)


@mistake("add_direction_hook")
def coefficient_squared(direction, coefficient, positions=None):
    """The coefficient is applied twice: once to the direction beforehand, and again where it is added."""
    return hook_adding(coefficient * (coefficient * direction), positions)


@mistake("add_direction_hook")
def coefficient_without_sign(direction, coefficient, positions=None):
    """A negative coefficient is treated as a positive one. It steers the other way."""
    return hook_adding(abs(coefficient) * direction, positions)


@mistake("add_direction_hook")
def coefficient_added(direction, coefficient, positions=None):
    """The coefficient is added to every coordinate of the direction. Multiply by it."""
    return hook_adding(coefficient + direction, positions)


@mistake("add_direction_hook")
def subtracted(direction, coefficient, positions=None):
    """coefficient · direction is subtracted, so that the stream moves the other way. Add it."""
    return hook_adding(-coefficient * direction, positions)


@mistake("add_direction_hook")
def replaced(direction, coefficient, positions=None):
    """The stream is *replaced* by coefficient · direction, and what it held is lost. Add to it."""
    return hook_changing(lambda resid: 0 * resid + coefficient * direction, positions)


@mistake("add_direction_hook")
def stream_scaled(direction, coefficient, positions=None):
    """The coefficient multiplies the stream as well. Add coefficient · direction to the stream as it is."""
    return hook_changing(lambda resid: coefficient * (resid + direction), positions)


@mistake("add_direction_hook")
def projection_scaled(direction, coefficient, positions=None):
    """The step is as long as the stream's own projection on the direction, times the coefficient. Each position gets
    the same step, coefficient · direction."""
    return hook_changing(
        lambda resid: resid + coefficient * (resid @ direction)[..., None] * direction, positions
    )


@mistake("add_direction_hook")
def repeated_counted_twice(direction, coefficient, positions=None):
    """A position that occurs twice in the list is steered twice. Each counts once: use a set."""

    def at_positions(resid):
        in_pass(positions, resid)
        steered = resid.clone()
        for position in positions:
            steered[:, position] += coefficient * direction
        return steered

    return hook_of(positions, lambda resid: resid + coefficient * direction, at_positions)


@mistake("add_direction_hook")
def two_names_counted_twice(direction, coefficient, positions=None):
    """A position named twice, as 4 and as −1 of five, is steered twice. Bring negative positions to 0 … n − 1 before
    you make a set of them."""

    def at_positions(resid):
        in_pass(positions, resid)
        steered = resid.clone()
        for position in set(positions):
            steered[:, position] += coefficient * direction
        return steered

    return hook_of(positions, lambda resid: resid + coefficient * direction, at_positions)


@mistake("add_direction_hook")
def negative_ignored(direction, coefficient, positions=None):
    """Negative positions are ignored. They count from the end of the first pass: add its length to them."""

    def at(named, resid):
        in_pass(named, resid)
        return [position for position in range(resid.shape[1]) if position in named]

    return hook_adding(coefficient * direction, positions, at)


@mistake("add_direction_hook")
def negative_refused(direction, coefficient, positions=None):
    """Negative positions raise ValueError. They are allowed, down to −n, and count from the end of the first pass."""

    def at(named, resid):
        if any(position < 0 for position in named):
            raise ValueError("a position is negative")
        return in_pass(named, resid)

    return hook_adding(coefficient * direction, positions, at)


@mistake("add_direction_hook")
def sign_dropped(direction, coefficient, positions=None):
    """Negative positions lose their sign and count from the beginning. −1 is the last position of the first pass."""

    def at(named, resid):
        in_pass(named, resid)
        return [abs(position) % resid.shape[1] for position in named]

    return hook_adding(coefficient * direction, positions, at)


@mistake("add_direction_hook")
def negative_one_too_early(direction, coefficient, positions=None):
    """Negative positions arrive one too early: −1 is n − 1, the last position, not n − 2."""

    def at(named, resid):
        n = resid.shape[1]
        in_pass(named, resid)
        return [position if position >= 0 else (n - 1 + position) % n for position in named]

    return hook_adding(coefficient * direction, positions, at)


@mistake("add_direction_hook")
def positions_from_one(direction, coefficient, positions=None):
    """Positions are counted from 1. The first position is 0."""

    def at(named, resid):
        return [(position - 1) % resid.shape[1] for position in in_pass(named, resid)]

    return hook_adding(coefficient * direction, positions, at)


@mistake("add_direction_hook")
def from_first_to_last(direction, coefficient, positions=None):
    """Every position between the smallest and the largest of the list is steered. Only those in it are meant."""

    def at(named, resid):
        named = in_pass(named, resid)
        return list(range(named[0], named[-1] + 1)) if named else []

    return hook_adding(coefficient * direction, positions, at)


@mistake("add_direction_hook")
def texts_for_positions(direction, coefficient, positions=None):
    """`resid[positions]` are texts of the batch. Positions are the second dimension: resid[:, positions]."""

    def at_positions(resid):
        in_pass(positions, resid)
        steered = resid.clone()
        steered[positions] += coefficient * direction
        return steered

    return hook_of(positions, lambda resid: resid + coefficient * direction, at_positions)


@mistake("add_direction_hook")
def first_text_only(direction, coefficient, positions=None):
    """Only the first text of the batch is steered: `resid[0, positions]`. Take all of them: resid[:, positions]."""

    def at_positions(resid):
        steered = resid.clone()
        steered[0, in_pass(positions, resid)] += coefficient * direction
        return steered

    return hook_of(positions, lambda resid: resid + coefficient * direction, at_positions)


@mistake("add_direction_hook")
def coordinates_for_positions(direction, coefficient, positions=None):
    """`resid[..., positions]` are coordinates of the stream. Positions are the second dimension:
    resid[:, positions]."""

    def at_positions(resid):
        in_pass(positions, resid)
        steered = resid.clone()
        steered[..., positions] += coefficient * direction[positions]
        return steered

    return hook_of(positions, lambda resid: resid + coefficient * direction, at_positions)


@mistake("add_direction_hook")
def missing_positions_skipped(direction, coefficient, positions=None):
    """A position that the first pass does not have is passed over in silence. The contract asks for a ValueError."""

    def at(named, resid):
        n = resid.shape[1]
        return in_pass([position for position in named if -n <= position < n], resid)

    return hook_adding(coefficient * direction, positions, at)


@mistake("add_direction_hook")
def wrapped_around(direction, coefficient, positions=None):
    """`position % n` turns any number into a position, 5 of five into 0. Raise ValueError outside −n … n − 1
    first."""
    return hook_adding(
        coefficient * direction,
        positions,
        lambda named, resid: list({position % resid.shape[1] for position in named}),
    )


@mistake("add_direction_hook")
def too_negative_accepted(direction, coefficient, positions=None):
    """Positions that are too large raise ValueError, those that are too negative do not. The first that there is
    is −n."""

    def at(named, resid):
        n = resid.shape[1]
        if any(position >= n for position in named):
            raise ValueError("a position is too large")
        return list({position % n for position in named})

    return hook_adding(coefficient * direction, positions, at)


@mistake("add_direction_hook")
def minus_n_refused(direction, coefficient, positions=None):
    """Position −n raises ValueError. It is the first of n positions: allowed is −n … n − 1."""

    def at(named, resid):
        if any(abs(position) >= resid.shape[1] for position in named):
            raise ValueError("a position is outside")
        return in_pass(named, resid)

    return hook_adding(coefficient * direction, positions, at)


@mistake("add_direction_hook")
def all_outside_only(direction, coefficient, positions=None):
    """ValueError is raised only where *all* positions are outside. A single one is enough: use any()."""

    def at(named, resid):
        n = resid.shape[1]
        there = [position for position in named if -n <= position < n]
        if named and not there:
            raise ValueError("no position is in the pass")
        return in_pass(there, resid)

    return hook_adding(coefficient * direction, positions, at)


@mistake("add_direction_hook")
def left_to_torch(direction, coefficient, positions=None):
    """A position that the first pass does not have is left to the indexing, which raises IndexError. The contract
    asks for a ValueError."""
    return hook_adding(coefficient * direction, positions, lambda named, resid: named)


@mistake("add_direction_hook")
def asserts_positions(direction, coefficient, positions=None):
    """A position that the first pass does not have raises AssertionError. The contract asks for a ValueError, which
    callers can expect."""

    def at(named, resid):
        n = resid.shape[1]
        assert all(-n <= position < n for position in named)
        return in_pass(named, resid)

    return hook_adding(coefficient * direction, positions, at)


@mistake("add_direction_hook")
def to_float32(direction, coefficient, positions=None):
    """The stream is converted to float32, which costs a float64 one half its digits. Leave its type as it is."""
    rounded = hook_adding((coefficient * direction).float(), positions)
    return lambda resid, hook: rounded(resid.float(), hook)


@mistake("add_direction_hook")
def second_argument_has_another_name(direction, coefficient, positions=None):
    """The hook cannot be called as hook(resid, hook=point), as TransformerLens does. Its second argument must be
    there, and be called `hook`."""
    right = hook_adding(coefficient * direction, positions)

    def steer(resid, point):
        return right(resid, point)

    return steer


@alternative("add_direction_hook")
def by_class(direction, coefficient, positions=None):
    class Steering:
        def __init__(self):
            self.passes = 0

        def __call__(self, resid, hook=None):
            self.passes += 1
            if positions is not None and self.passes > 1:
                return resid
            chosen = torch.full(resid.shape[1:2], positions is None)
            for position in positions or ():
                if position not in range(-len(chosen), len(chosen)):
                    raise ValueError(f"there is no position {position}")
                chosen[position] = True
            return torch.where(chosen[:, None], resid + coefficient * direction, resid)

    return Steering()


@alternative("add_direction_hook")
def by_weights(direction, coefficient, positions=None):
    """An outer product: how often each position is steered, 0 or 1, times the step."""
    state = {"over": False}

    def steer(state, resid, *, hook):
        n = resid.shape[1]
        weight = torch.ones(n, dtype=resid.dtype)
        if positions is not None:
            weight.zero_()
            if not state["over"] and positions:
                index = torch.tensor(positions)
                if (index >= n).any() or (index < -n).any():
                    raise ValueError("no such position")
                weight[index] = 1
            state["over"] = True
        return resid + torch.outer(weight, coefficient * direction)

    return functools.partial(steer, state)


@alternative("add_direction_hook")
def by_counting_tokens(direction, coefficient, positions=None):
    """Every token has a number in the run; a position of the prompt comes by once."""
    passed: list[int] = []

    def hook(resid, hook):
        start = sum(passed)
        passed.append(resid.shape[1])
        if positions is None:
            return resid.add(direction, alpha=coefficient)
        wanted = set()
        for position in positions:
            absolute = position + passed[0] if position < 0 else position
            if not 0 <= absolute < passed[0]:
                raise ValueError(f"the first pass does not have position {position}")
            wanted.add(absolute - start)
        columns = list(resid.clone().unbind(dim=1))
        for here in wanted & set(range(resid.shape[1])):
            columns[here] = columns[here] + coefficient * direction
        return torch.stack(columns, dim=1)

    return hook


@alternative("add_direction_hook")
def by_generator(direction, coefficient, positions=None):
    """A generator stands still between passes, and so knows where it is."""

    def passes():
        resid = yield
        try:
            changed = [list(range(resid.shape[1]))[position] for position in positions]
        except IndexError as error:
            raise ValueError("no such position") from error
        resid = yield torch.index_add(
            resid,
            1,
            torch.tensor(list(set(changed)), dtype=torch.long),
            (coefficient * direction).expand(len(resid), len(set(changed)), -1),
        )
        while True:
            resid = yield resid

    if positions is None:
        return lambda resid, hook: resid + coefficient * direction
    run = passes()
    next(run)
    return lambda resid, **_: run.send(resid)


def valid(logits, last, true_ids, false_ids):
    """Raise what the contract promises."""
    if not true_ids or not false_ids or set(true_ids) & set(false_ids):
        raise ValueError("no ids, or one in both lists")
    if bool((last < 0).any() or (last >= logits.shape[1]).any()):
        raise ValueError("last is outside")


def read_at(logits, last):
    return logits[torch.arange(len(logits)), last]


def log_odds(final, true_ids, false_ids):
    """The right answer from the logits of one position a text."""
    return final[:, true_ids].logsumexp(dim=-1) - final[:, false_ids].logsumexp(dim=-1)


def of_both(summary, logits, last, true_ids, false_ids):
    """Valid input, and another summary of each group of logits in place of the log-sum-exp."""
    valid(logits, last, true_ids, false_ids)
    final = read_at(logits, last)
    return summary(final[:, true_ids]) - summary(final[:, false_ids])


@mistake("truth_logit_difference")
def sign_reversed(logits, last, true_ids, false_ids):
    """The sign is reversed: this is false minus true. It should grow as the model finds the text true."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(read_at(logits, last), false_ids, true_ids)


@mistake("truth_logit_difference")
def mean_of_logits(logits, last, true_ids, false_ids):
    """The logits of each group are averaged. Probabilities add up, not logits: use logsumexp."""
    return of_both(lambda group: group.mean(dim=-1), logits, last, true_ids, false_ids)


@mistake("truth_logit_difference")
def sum_of_logits(logits, last, true_ids, false_ids):
    """The logits of each group are added up, which multiplies their probabilities. Use logsumexp."""
    return of_both(lambda group: group.sum(dim=-1), logits, last, true_ids, false_ids)


@mistake("truth_logit_difference")
def largest_logit(logits, last, true_ids, false_ids):
    """Only the largest logit of each group counts. All its tokens do, with their probabilities summed: logsumexp."""
    return of_both(lambda group: group.amax(dim=-1), logits, last, true_ids, false_ids)


@mistake("truth_logit_difference")
def first_ids_only(logits, last, true_ids, false_ids):
    """Only the first true and the first false token are compared. Take all that are listed."""
    return of_both(lambda group: group[:, 0], logits, last, true_ids, false_ids)


@mistake("truth_logit_difference")
def mean_probability(logits, last, true_ids, false_ids):
    """These are logs of the *mean* probability of each group: a group of more tokens counts less. Sum, do not
    average."""
    return of_both(
        lambda group: group.logsumexp(dim=-1) - math.log(group.shape[1]), logits, last, true_ids, false_ids
    )


@mistake("truth_logit_difference")
def sum_of_log_probabilities(logits, last, true_ids, false_ids):
    """The log-probabilities of each group are added up, which multiplies the probabilities. Sum those first and take
    the log last."""
    valid(logits, last, true_ids, false_ids)
    final = read_at(logits, last).log_softmax(dim=-1)
    return final[:, true_ids].sum(dim=-1) - final[:, false_ids].sum(dim=-1)


@mistake("truth_logit_difference")
def difference_of_probabilities(logits, last, true_ids, false_ids):
    """This is the difference of the probabilities themselves. Take the log of each sum before subtracting."""
    valid(logits, last, true_ids, false_ids)
    final = read_at(logits, last).softmax(dim=-1)
    return final[:, true_ids].sum(dim=-1) - final[:, false_ids].sum(dim=-1)


@mistake("truth_logit_difference")
def ratio_of_probabilities(logits, last, true_ids, false_ids):
    """This is the ratio of the two probabilities. The difference of their logs is the log of it."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(read_at(logits, last), true_ids, false_ids).exp()


@mistake("truth_logit_difference")
def share_of_true(logits, last, true_ids, false_ids):
    """This is the share of true among the two, between 0 and 1. Return the difference of logs, its logit."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(read_at(logits, last), true_ids, false_ids).sigmoid()


@mistake("truth_logit_difference")
def false_forgotten(logits, last, true_ids, false_ids):
    """This is the log-probability of the true tokens alone. Subtract that of the false ones."""
    valid(logits, last, true_ids, false_ids)
    return read_at(logits, last).log_softmax(dim=-1)[:, true_ids].logsumexp(dim=-1)


@mistake("truth_logit_difference")
def against_all_others(logits, last, true_ids, false_ids):
    """The true tokens are compared with *all* other tokens. Compare them with `false_ids` only."""
    valid(logits, last, true_ids, false_ids)
    others = [i for i in range(logits.shape[-1]) if i not in true_ids]
    return log_odds(read_at(logits, last), true_ids, others)


@mistake("truth_logit_difference")
def in_bits(logits, last, true_ids, false_ids):
    """This is in bits, by log2. Nats are asked for: the natural logarithm."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(read_at(logits, last), true_ids, false_ids) / math.log(2)


@mistake("truth_logit_difference")
def softmax_over_positions(logits, last, true_ids, false_ids):
    """The softmax was taken over positions (dim=1). Probabilities sum to 1 over the vocabulary: dim=-1."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(read_at(logits.log_softmax(dim=1), last), true_ids, false_ids)


@mistake("truth_logit_difference")
def last_of_tensor(logits, last, true_ids, false_ids):
    """The last position of the *tensor* is read, which is padding for shorter texts. Read position `last` of each."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(logits[:, -1], true_ids, false_ids)


@mistake("truth_logit_difference")
def first_position(logits, last, true_ids, false_ids):
    """The first position of each text is read. Read position `last`."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(logits[:, 0], true_ids, false_ids)


@mistake("truth_logit_difference")
def one_after_last(logits, last, true_ids, false_ids):
    """One position after `last` is read. The logits *at* a token say what comes after it."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(read_at(logits, (last + 1).clamp(max=logits.shape[1] - 1)), true_ids, false_ids)


@mistake("truth_logit_difference")
def one_before_last(logits, last, true_ids, false_ids):
    """One position before `last` is read. `last` is a position already, not a length: nothing is to be
    subtracted."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(read_at(logits, last - 1), true_ids, false_ids)


@mistake("truth_logit_difference")
def last_of_first_text(logits, last, true_ids, false_ids):
    """All texts are read at the `last` of the first. Each has its own."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(logits[:, last[0]], true_ids, false_ids)


@mistake("truth_logit_difference")
def last_of_longest_text(logits, last, true_ids, false_ids):
    """All texts are read at the largest `last`, that of the longest text. Each has its own."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(logits[:, last.max()], true_ids, false_ids)


@mistake("truth_logit_difference")
def mean_over_positions(logits, last, true_ids, false_ids):
    """The logits are averaged over positions, padding included. Read position `last` alone."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(logits.mean(dim=1), true_ids, false_ids)


@mistake("truth_logit_difference")
def mean_up_to_last(logits, last, true_ids, false_ids):
    """The logits are averaged over all positions up to `last`. Read position `last` alone."""
    valid(logits, last, true_ids, false_ids)
    real = (torch.arange(logits.shape[1]) <= last[:, None])[..., None]
    return log_odds((logits * real).sum(dim=1) / real.sum(dim=1), true_ids, false_ids)


@mistake("truth_logit_difference")
def every_last_of_every_text(logits, last, true_ids, false_ids):
    """`logits[:, last]` reads *every* text at the last positions of all. Index with torch.arange(len(logits)) and
    `last` together."""
    valid(logits, last, true_ids, false_ids)
    final = logits[:, last]
    return final[..., true_ids].logsumexp(dim=-1) - final[..., false_ids].logsumexp(dim=-1)


@mistake("truth_logit_difference")
def mean_over_texts(logits, last, true_ids, false_ids):
    """This is one number, the mean over texts. Return one number a text."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(read_at(logits, last), true_ids, false_ids).mean()


@mistake("truth_logit_difference")
def as_a_column(logits, last, true_ids, false_ids):
    """The answer has the shape (batch, 1). One number a text has the shape (batch,): leave out keepdim."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(read_at(logits, last), true_ids, false_ids).unsqueeze(-1)


@mistake("truth_logit_difference")
def as_a_list(logits, last, true_ids, false_ids):
    """This is a list of numbers. Return a tensor."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(read_at(logits, last), true_ids, false_ids).tolist()


@mistake("truth_logit_difference")
def log_of_softmax(logits, last, true_ids, false_ids):
    """Where all these tokens are next to impossible their probabilities round to 0, whose log is −∞. Use logsumexp of
    the logits, which needs no softmax."""
    valid(logits, last, true_ids, false_ids)
    final = read_at(logits, last).softmax(dim=-1)
    return final[:, true_ids].sum(dim=-1).log() - final[:, false_ids].sum(dim=-1).log()


@mistake("truth_logit_difference")
def log_of_exp(logits, last, true_ids, false_ids):
    """exp of a logit of a few hundred is infinite in float32, and ∞ − ∞ is NaN. logsumexp subtracts the largest logit
    first."""
    return of_both(lambda group: group.exp().sum(dim=-1).log(), logits, last, true_ids, false_ids)


@mistake("truth_logit_difference")
def small_constant_in_log(logits, last, true_ids, false_ids):
    """A small constant is added to the probabilities before the log, and swamps small ones. logsumexp of the logits
    needs none."""
    valid(logits, last, true_ids, false_ids)
    final = read_at(logits, last).softmax(dim=-1)
    true, false = (final[:, ids].sum(dim=-1) for ids in (true_ids, false_ids))
    return (true + 1e-10).log() - (false + 1e-10).log()


@mistake("truth_logit_difference")
def logits_to_float32(logits, last, true_ids, false_ids):
    """The logits are converted to float32, which costs float64 ones half their digits. Leave their type as it is."""
    valid(logits, last, true_ids, false_ids)
    return log_odds(read_at(logits.float(), last), true_ids, false_ids)


@mistake("truth_logit_difference")
def logits_changed(logits, last, true_ids, false_ids):
    """The caller's logits are changed by `-=`. Write logits − …, which is a new tensor; logsumexp needs no
    subtraction."""
    valid(logits, last, true_ids, false_ids)
    logits -= logits.amax(dim=-1, keepdim=True)
    return log_odds(read_at(logits, last), true_ids, false_ids)


@mistake("truth_logit_difference")
def ids_sorted_in_place(logits, last, true_ids, false_ids):
    """The caller's lists are sorted in place. Their order does not matter: leave it."""
    valid(logits, last, true_ids, false_ids)
    true_ids.sort()
    false_ids.sort()
    return log_odds(read_at(logits, last), true_ids, false_ids)


@mistake("truth_logit_difference")
def nothing_checked(logits, last, true_ids, false_ids):
    """Nothing is checked. An empty list of ids, an id in both lists and a `last` outside the text should raise
    ValueError."""
    return log_odds(read_at(logits, last), true_ids, false_ids)


@mistake("truth_logit_difference")
def empty_accepted(logits, last, true_ids, false_ids):
    """An empty list of ids gives an infinite difference. The contract asks for a ValueError."""
    if true_ids and false_ids:
        valid(logits, last, true_ids, false_ids)
    return log_odds(read_at(logits, last), true_ids, false_ids)


@mistake("truth_logit_difference")
def both_empty_only(logits, last, true_ids, false_ids):
    """ValueError is raised only where *both* lists are empty. One is enough: `or`, not `and`."""
    if true_ids or false_ids:
        valid(logits, last, true_ids or [-1], false_ids or [-2])
    else:
        raise ValueError("no ids")
    return log_odds(read_at(logits, last), true_ids, false_ids)


@mistake("truth_logit_difference")
def overlap_accepted(logits, last, true_ids, false_ids):
    """An id that is in both lists passes in silence. The contract asks for a ValueError: intersect their sets."""
    if not true_ids or not false_ids:
        raise ValueError("no ids")
    valid(logits, last, [0], [1])
    return log_odds(read_at(logits, last), true_ids, false_ids)


@mistake("truth_logit_difference")
def equal_lists_only(logits, last, true_ids, false_ids):
    """Only lists of the very same ids raise ValueError. One common id is enough: intersect the sets."""
    if not true_ids or not false_ids or set(true_ids) == set(false_ids):
        raise ValueError("no ids, or the same")
    valid(logits, last, [0], [1])
    return log_odds(read_at(logits, last), true_ids, false_ids)


@mistake("truth_logit_difference")
def same_place_only(logits, last, true_ids, false_ids):
    """The two lists are compared place by place, so that an id at different places in both is missed. Intersect the
    sets."""
    if not true_ids or not false_ids or any(a == b for a, b in zip(true_ids, false_ids, strict=False)):
        raise ValueError("no ids, or one in both lists")
    valid(logits, last, [0], [1])
    return log_odds(read_at(logits, last), true_ids, false_ids)


@mistake("truth_logit_difference")
def overlap_removed(logits, last, true_ids, false_ids):
    """An id that is in both lists is left out of both. The contract asks for a ValueError."""
    true, false = (
        [i for i in ids if i not in others] for ids, others in ((true_ids, false_ids), (false_ids, true_ids))
    )
    valid(logits, last, true, false)
    return log_odds(read_at(logits, last), true, false)


@mistake("truth_logit_difference")
def negative_last_accepted(logits, last, true_ids, false_ids):
    """A `last` that is too large raises ValueError, a negative one does not: Python counts it from the end. There is
    no position −1."""
    valid(logits, last.clamp(min=0), true_ids, false_ids)
    return log_odds(read_at(logits, last % logits.shape[1]), true_ids, false_ids)


@mistake("truth_logit_difference")
def last_left_to_torch(logits, last, true_ids, false_ids):
    """A `last` outside the text is left to the indexing, which raises IndexError, and nothing for −1. The contract
    asks for a ValueError."""
    valid(logits, 0 * last, true_ids, false_ids)
    return log_odds(read_at(logits, last), true_ids, false_ids)


@mistake("truth_logit_difference")
def last_clamped(logits, last, true_ids, false_ids):
    """A `last` outside the text is moved to the nearest position. The contract asks for a ValueError."""
    valid(logits, 0 * last, true_ids, false_ids)
    return log_odds(read_at(logits, last.clamp(0, logits.shape[1] - 1)), true_ids, false_ids)


@mistake("truth_logit_difference")
def last_equal_to_length(logits, last, true_ids, false_ids):
    """`last` equal to the number of positions passes the check (`>` for `>=`) and raises IndexError later. Positions
    end at pos − 1."""
    valid(logits, last - (last == logits.shape[1]).long(), true_ids, false_ids)
    return log_odds(read_at(logits, last), true_ids, false_ids)


@mistake("truth_logit_difference")
def last_outside_everywhere_only(logits, last, true_ids, false_ids):
    """ValueError is raised only where `last` is outside for *all* texts. One text is enough: use any()."""
    inside = (last >= 0) & (last < logits.shape[1])
    valid(logits, last * inside if bool(inside.any()) else last, true_ids, false_ids)
    return log_odds(read_at(logits, last), true_ids, false_ids)


@mistake("truth_logit_difference")
def first_text_checked(logits, last, true_ids, false_ids):
    """Only the first text's `last` is checked. Any may be outside."""
    valid(logits, last[:1], true_ids, false_ids)
    return log_odds(read_at(logits, last), true_ids, false_ids)


@mistake("truth_logit_difference")
def asserts_input(logits, last, true_ids, false_ids):
    """Bad input raises AssertionError. The contract asks for a ValueError, which callers can expect."""
    assert true_ids
    assert false_ids
    assert not set(true_ids) & set(false_ids)
    assert bool(((last >= 0) & (last < logits.shape[1])).all())
    return log_odds(read_at(logits, last), true_ids, false_ids)


@alternative("truth_logit_difference")
def by_log_probabilities(logits, last, true_ids, false_ids):
    valid(logits, last, true_ids, false_ids)
    index = last.long()[:, None, None].expand(-1, 1, logits.shape[-1])
    final = F.log_softmax(logits, dim=-1).gather(1, index)[:, 0]
    sums = [torch.stack([final[:, i] for i in ids]).logsumexp(dim=0) for ids in (true_ids, false_ids)]
    return torch.sub(*sums)


@alternative("truth_logit_difference")
def by_mask(logits, last, true_ids, false_ids):
    """All tokens but those of the group at −∞."""
    valid(logits, last, true_ids, false_ids)
    chosen = F.one_hot(last.long(), logits.shape[1]).to(logits.dtype)
    final = torch.einsum("bpv,bp->bv", logits, chosen)
    ids = torch.arange(logits.shape[-1])
    true, false = (
        torch.where(torch.isin(ids, torch.tensor(group)), final, float("-inf")).logsumexp(dim=-1)
        for group in (true_ids, false_ids)
    )
    return true - false


@alternative("truth_logit_difference")
def by_loop(logits, last, true_ids, false_ids):
    """Text by text, the largest logit subtracted by hand."""
    differences = []
    for text, position in zip(logits.tolist(), last.tolist(), strict=True):
        if position not in range(len(text)):
            raise ValueError(f"there is no position {position}")
        logs = []
        for ids, others in ((true_ids, false_ids), (false_ids, true_ids)):
            if len(ids) == 0 or any(i in others for i in ids):
                raise ValueError("no ids, or one in both lists")
            group = [text[position][i] for i in ids]
            logs.append(max(group) + math.log(sum(math.exp(logit - max(group)) for logit in group)))
        differences.append(logs[0] - logs[1])
    return torch.tensor(differences, dtype=logits.dtype)


@alternative("truth_logit_difference")
def by_numpy(logits, last, true_ids, false_ids):
    """Of two hypotheses, the log of the odds: a running logaddexp."""
    valid(logits, last, true_ids, false_ids)
    final = np.take_along_axis(logits.double().numpy(), last.numpy()[:, None, None], axis=1)[:, 0]
    true, false = (np.logaddexp.reduce(final[:, ids], axis=1) for ids in (true_ids, false_ids))
    return torch.from_numpy(true - false)


def some_way(base, target):
    if target == base:
        raise ValueError("target equals base")


@mistake("normalized_indirect_effect")
def upside_down(base, intervened, target):
    """The fraction is upside down. Divide what the intervention changed by what there was to change: (intervened −
    base) / (target − base)."""
    some_way(base, target)
    return (target - base) / (intervened - base) if intervened != base else math.inf


@mistake("normalized_indirect_effect")
def way_left(base, intervened, target):
    """This is the share of the way that is *left*, or base and target have changed places: it is 1 where nothing
    changed. Start from base."""
    some_way(base, target)
    return (target - intervened) / (target - base)


@mistake("normalized_indirect_effect")
def wrong_sign(base, intervened, target):
    """The sign is reversed: the way towards target counts as negative. It is intervened − base over target − base."""
    some_way(base, target)
    return (base - intervened) / (target - base)


@mistake("normalized_indirect_effect")
def base_not_subtracted(base, intervened, target):
    """`base` is not subtracted from `intervened`: where nothing changed this is not 0. Measure the way from base."""
    some_way(base, target)
    return intervened / (target - base)


@mistake("normalized_indirect_effect")
def base_subtracted_above_only(base, intervened, target):
    """`base` is subtracted above and not below: at `target` this is not 1. Divide by target − base."""
    some_way(base, target)
    return (intervened - base) / target if target else math.inf


@mistake("normalized_indirect_effect")
def share_of_target(base, intervened, target):
    """This is intervened / target: `base` plays no role. Subtract it from both."""
    some_way(base, target)
    return intervened / target if target else math.inf


@mistake("normalized_indirect_effect")
def relative_change(base, intervened, target):
    """This is the change relative to `base`. Divide by the way that there is to go, target − base."""
    some_way(base, target)
    return (intervened - base) / base if base else math.inf


@mistake("normalized_indirect_effect")
def not_normalized(base, intervened, target):
    """This is the change itself, in nats. Divide it by target − base."""
    some_way(base, target)
    return intervened - base


@mistake("normalized_indirect_effect")
def missing_brackets(base, intervened, target):
    """Division comes before subtraction: intervened − base / target − base is not the fraction. Put both differences
    in brackets."""
    some_way(base, target)
    return intervened - base / target - base if target else math.inf


@mistake("normalized_indirect_effect")
def absolute_value(base, intervened, target):
    """The sign is lost: a step the wrong way counts as one the right way. Leave out abs()."""
    some_way(base, target)
    return abs((intervened - base) / (target - base))


@mistake("normalized_indirect_effect")
def absolute_distance(base, intervened, target):
    """The change is divided by the absolute distance |target − base|: with target below base the sign is wrong. Leave
    out abs()."""
    some_way(base, target)
    return (intervened - base) / abs(target - base)


@mistake("normalized_indirect_effect")
def clipped(base, intervened, target):
    """The share is kept within 0 … 1. More than 1 says that it overshoots, a negative one that it goes the wrong
    way: both are findings."""
    some_way(base, target)
    return min(max((intervened - base) / (target - base), 0.0), 1.0)


@mistake("normalized_indirect_effect")
def clipped_below(base, intervened, target):
    """A negative share becomes 0. It says that the intervention goes the wrong way: leave it negative."""
    some_way(base, target)
    return max((intervened - base) / (target - base), 0.0)


@mistake("normalized_indirect_effect")
def clipped_above(base, intervened, target):
    """A share above 1 becomes 1. It says that the intervention overshoots: leave it above."""
    some_way(base, target)
    return min((intervened - base) / (target - base), 1.0)


@mistake("normalized_indirect_effect")
def percentage(base, intervened, target):
    """This is a percentage. Return the fraction: 1 where false behaves as true."""
    some_way(base, target)
    return 100 * (intervened - base) / (target - base)


@mistake("normalized_indirect_effect")
def rounded(base, intervened, target):
    """The share is rounded. Round where it is printed, and return all digits."""
    some_way(base, target)
    return round((intervened - base) / (target - base), 2)


@mistake("normalized_indirect_effect")
def whole_number(base, intervened, target):
    """The share is cut to a whole number by // or int(). Divide with /."""
    some_way(base, target)
    return (intervened - base) // (target - base)


@mistake("normalized_indirect_effect")
def division_by_zero(base, intervened, target):
    """Where target equals base Python raises ZeroDivisionError. The contract asks for a ValueError, which says what
    is wrong."""
    return (intervened - base) / (target - base)


@mistake("normalized_indirect_effect")
def nan_for_no_way(base, intervened, target):
    """Where target equals base this is NaN, which spreads in silence. The contract asks for a ValueError."""
    return (intervened - base) / (target - base) if target != base else math.nan


@mistake("normalized_indirect_effect")
def infinite_for_no_way(base, intervened, target):
    """Where target equals base this is infinite, or NaN, as torch and NumPy divide by 0. The contract asks for a
    ValueError."""
    return float(torch.tensor(intervened - base).double() / torch.tensor(target - base).double())


@mistake("normalized_indirect_effect")
def zero_for_no_way(base, intervened, target):
    """Where target equals base this is 0, as if the intervention had failed. The contract asks for a ValueError."""
    return (intervened - base) / (target - base) if target != base else 0.0


@mistake("normalized_indirect_effect")
def one_for_no_way(base, intervened, target):
    """Where target equals base this is 1, as if the intervention had succeeded. The contract asks for a
    ValueError."""
    return (intervened - base) / (target - base) if target != base else 1.0


@mistake("normalized_indirect_effect")
def small_constant_below(base, intervened, target):
    """A small constant is added to the denominator, so that target = base passes in silence. The contract asks for a
    ValueError there."""
    return (intervened - base) / (target - base + 1e-8)


@mistake("normalized_indirect_effect")
def zero_refused(base, intervened, target):
    """A `base` or `target` of 0 raises ValueError. It is a logit difference as any other; only their being equal
    leaves no way to go."""
    if not base or not target:
        raise ValueError("base or target is 0")
    some_way(base, target)
    return (intervened - base) / (target - base)


@mistake("normalized_indirect_effect")
def no_change_refused(base, intervened, target):
    """ValueError is raised where `intervened` equals base. That is a share of 0; it is `target` that must differ from
    base."""
    some_way(base, target)
    some_way(base, intervened)
    return (intervened - base) / (target - base)


@alternative("normalized_indirect_effect")
def by_two_distances(base, intervened, target):
    """One minus the share that is left."""
    way = target - base
    if way == 0:
        raise ValueError("there is no way to go")
    return 1 - (target - intervened) / way


@alternative("normalized_indirect_effect")
def by_zero_division(base, intervened, target):
    try:
        return (base - intervened) / (base - target)
    except ZeroDivisionError as error:
        raise ValueError("target equals base") from error


@alternative("normalized_indirect_effect")
def by_line(base, intervened, target):
    """The straight line through (base, 0) and (target, 1), read at `intervened`."""
    if not base < target and not target < base:
        raise ValueError("target equals base")
    slope = 1.0 / (target - base)
    return torch.tensor(intervened * slope - base * slope).item()
