"""Wrong answers to chapter 1, part 3 that its checks must reject, and right ones written differently."""

import math
import random
from collections import Counter
from itertools import pairwise

import numpy as np
import torch
from scipy.stats import rankdata

from utils.course import alternative, mistake, recogniser


def bound(args, kwargs, *names):
    """The arguments of a recorded call in the order of `names`, however they were passed."""
    return [*args, *(kwargs[name] for name in names[len(args) :])]


def sums_to_one(fractions):
    if abs(sum(fractions.values()) - 1) > 1e-9:
        raise ValueError("fractions must sum to 1")


def shuffled_names(groups, seed):
    names = sorted(set(groups))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    return [names[i] for i in order]


def rows_of(groups, part_of, parts):
    return {
        part: torch.tensor([row for row, group in enumerate(groups) if part_of.get(group) == part]).long()
        for part in parts
    }


def by_need(groups, fractions, names):
    """Each group in turn goes to the part that lacks most rows."""
    sizes, part_of = Counter(groups), {}
    missing = {part: fraction * len(groups) for part, fraction in fractions.items()}
    for name in names:
        part = max(missing, key=lambda key: missing[key])
        part_of[name] = part
        missing[part] -= sizes[name]
    return rows_of(groups, part_of, fractions)


@mistake("group_split")
def splits_rows_not_groups(groups, fractions, seed):
    """The rows are shuffled and cut, groups or not: cities of one country lie on both sides, which is the leak that
    this function should close. Shuffle the distinct groups and give each of them to one part."""
    sums_to_one(fractions)
    order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed))
    ends = [round(end * len(groups)) for end in np.cumsum(list(fractions.values()))]
    return dict(zip(fractions, order.tensor_split(ends[:-1]), strict=True))


@mistake("group_split")
def counts_groups_not_rows(groups, fractions, seed):
    """Each part gets its fraction of the *groups*. Groups differ in size, so count the rows that come with them."""
    sums_to_one(fractions)
    names = shuffled_names(groups, seed)
    cuts = [round(end * len(names)) for end in np.cumsum(list(fractions.values()))]
    part_of, start = {}, 0
    for part, end in zip(fractions, cuts, strict=True):
        part_of |= dict.fromkeys(names[start:end], part)
        start = end
    return rows_of(groups, part_of, fractions)


@mistake("group_split")
def drops_the_remainder(groups, fractions, seed):
    """Some rows are in no part: a part is closed before its next group would overfill it, and what is left over
    belongs to nobody. Every row must be in exactly one part."""
    sums_to_one(fractions)
    names, sizes, part_of = shuffled_names(groups, seed), Counter(groups), {}
    for part, fraction in fractions.items():
        filled = 0
        while names and filled + sizes[names[0]] <= fraction * len(groups):
            filled += sizes[names[0]]
            part_of[names.pop(0)] = part
    return rows_of(groups, part_of, fractions)


@mistake("group_split")
def last_part_pays(groups, fractions, seed):
    """Each part is filled until it has *at least* its rows, and the last one pays for all the others' excess. Compare
    with the cumulative fraction, or always give the next group to the part that lacks most."""
    sums_to_one(fractions)
    names, sizes, part_of = shuffled_names(groups, seed), Counter(groups), {}
    for part, fraction in list(fractions.items())[:-1]:
        filled = 0
        while names and filled < fraction * len(groups) - 1e-9:
            filled += sizes[names[0]]
            part_of[names.pop(0)] = part
    return rows_of(groups, part_of | dict.fromkeys(names, list(fractions)[-1]), fractions)


@mistake("group_split")
def seed_not_used(groups, fractions, seed):
    """The groups are not shuffled with `seed`, so every seed gives the same split and nothing can be said about
    how much the score depends on it. Draw the order from a generator seeded with `seed`."""
    sums_to_one(fractions)
    return by_need(groups, fractions, sorted(set(groups)))


@mistake("group_split")
def global_random_state(groups, fractions, seed):
    """The same seed gives different splits: the order comes from a global random state, not from `seed`. Make a
    generator of your own, `torch.Generator().manual_seed(seed)`."""
    sums_to_one(fractions)
    names = sorted(set(groups))
    random.shuffle(names)
    return by_need(groups, fractions, names)


@mistake("group_split")
def largest_groups_first(groups, fractions, seed):
    """The groups are dealt out by size, the seed decides between equally large ones at most: where sizes differ, every
    seed gives the same split. Deal them out in the order that the seed's generator gives."""
    sums_to_one(fractions)
    sizes = Counter(groups)
    return by_need(groups, fractions, sorted(shuffled_names(groups, seed), key=lambda name: -sizes[name]))


@mistake("group_split")
def empty_part_is_float(groups, fractions, seed):
    """A part without rows is torch.tensor([]), which is a *float* tensor and cannot index anything. Say
    dtype=torch.long when you make the tensors."""
    sums_to_one(fractions)
    split = by_need(groups, fractions, shuffled_names(groups, seed))
    return {part: torch.tensor(rows.tolist()) for part, rows in split.items()}


@mistake("group_split")
def fractions_used_up(groups, fractions, seed):
    """The rows still missing are counted in the caller's own `fractions`, which are something else after the call.
    Count them in a dict of your own."""
    sums_to_one(fractions)
    split = by_need(groups, fractions, shuffled_names(groups, seed))
    for part, rows in split.items():
        fractions[part] = fractions[part] * len(groups) - len(rows)
    return split


@mistake("group_split")
def fractions_not_checked(groups, fractions, seed):
    """Fractions that do not sum to 1 are accepted in silence: then parts are larger or smaller than was asked for.
    Raise ValueError."""
    return by_need(groups, fractions, shuffled_names(groups, seed))


@mistake("group_split")
def exact_sum(groups, fractions, seed):
    """0.7 + 0.2 + 0.1 is 0.9999999999999999 in floating point, and your check refuses it. Compare with a
    tolerance: math.isclose."""
    if sum(fractions.values()) != 1:
        raise ValueError("fractions must sum to 1")
    return by_need(groups, fractions, shuffled_names(groups, seed))


@alternative("group_split")
def by_nearest_cut(groups, fractions, seed):
    if not math.isclose(math.fsum(fractions.values()), 1, abs_tol=1e-6):
        raise ValueError("fractions")
    names = np.unique(groups)
    member = np.searchsorted(names, groups)
    order = np.random.default_rng(seed).permutation(len(names))
    ends = np.concatenate([[0], np.cumsum(np.bincount(member)[order])])
    cuts = [int(np.abs(ends - c).argmin()) for c in np.cumsum(list(fractions.values()))[:-1] * len(groups)]
    part_of_group = np.empty(len(names), dtype=int)
    part_of_group[order] = np.searchsorted(cuts, np.arange(len(names)), side="right")
    return {
        part: torch.from_numpy(np.flatnonzero(part_of_group[member] == number))
        for number, part in enumerate(fractions)
    }


def are_rows(rows, n):
    """Whether these can be indices of n rows."""
    if not isinstance(rows, torch.Tensor) or rows.ndim != 1 or rows.dtype == torch.bool:
        return False
    return all(isinstance(row, int) and 0 <= row < n for row in rows.tolist())


@recogniser("group_split")
def recognise_split(calls):
    seen = []
    for args, kwargs, split in calls:
        groups, fractions, seed = bound(args, kwargs, "groups", "fractions", "seed")
        if not isinstance(split, dict) or split.keys() != fractions.keys():
            return None
        if not all(are_rows(rows, len(groups)) for rows in split.values()):
            return None
        parts = {part: {groups[row] for row in rows.tolist()} for part, rows in split.items()}
        if sum(len(names) for names in parts.values()) > len(set(groups)):
            return "splits_rows_not_groups"
        if sum(len(rows) for rows in split.values()) < len(groups):
            return "drops_the_remainder"
        seen.append((groups, fractions, seed, parts))
    for groups, fractions, seed, parts in seen:
        for other_groups, other_fractions, other_seed, other_parts in seen:
            if (groups, fractions) != (other_groups, other_fractions):
                continue
            if seed == other_seed and parts != other_parts:
                return "global_random_state"
    return None


def auroc_of(scores, labels, ties=0.5):
    both(labels)
    margin = scores[labels].unsqueeze(1) - scores[~labels].unsqueeze(0)
    return ((margin > 0).double() + ties * (margin == 0).double()).mean().item()


def both(labels):
    if labels.all() or not labels.any():
        raise ValueError("both classes must occur")


@mistake("auroc")
def ties_lose(scores, labels):
    """A tied pair counts as lost. A probe that says the same of every text would then score 0, worse than guessing:
    count a tie as one half."""
    return auroc_of(scores, labels, ties=0.0)


@mistake("auroc")
def ties_win(scores, labels):
    """A tied pair counts as won. A probe that says the same of every text would then be perfect: count a tie as one
    half."""
    return auroc_of(scores, labels, ties=1.0)


@mistake("auroc")
def ties_by_position(scores, labels):
    """Ranks come from a sort that puts tied scores in the order of their rows, so that reordering the texts changes the
    result. Give tied scores their mean rank, or compare pairs."""
    both(labels)
    ranks = scores.argsort(stable=True).argsort().double() + 1
    n_true, n_false = int(labels.sum()), int((~labels).sum())
    return ((ranks[labels].sum() - n_true * (n_true + 1) / 2) / (n_true * n_false)).item()


@mistake("auroc")
def classes_exchanged(scores, labels):
    """This is the chance that a *False* row scores higher: one minus the AUROC. Swap the two."""
    return 1 - auroc_of(scores, labels)


@mistake("auroc")
def never_below_half(scores, labels):
    """Values below 0.5 were turned over. A probe that ranks the classes the wrong way round should be seen to do so: on
    held-out texts that is a finding."""
    value = auroc_of(scores, labels)
    return max(value, 1 - value)


@mistake("auroc")
def accuracy_at_zero(scores, labels):
    """This is the accuracy at the threshold 0. AUROC has no threshold: it compares every True row with every False
    one."""
    both(labels)
    return ((scores > 0) == labels).double().mean().item()


@mistake("auroc")
def squashed_scores(scores, labels):
    """The scores went through a sigmoid first. In floating point it makes every large score exactly 1, so that they
    tie. The order is all that counts: use the scores as they are."""
    return auroc_of(torch.sigmoid(scores.float()), labels)


@mistake("auroc")
def fixed_thresholds(scores, labels):
    """The ROC curve is drawn through a fixed number of thresholds between the lowest and the highest score: scores
    between two of them are taken for tied. Use every score as a threshold, or compare pairs."""
    both(labels)
    levels = torch.linspace(scores.max().item(), scores.min().item(), 100, dtype=torch.float64).unsqueeze(1)
    flagged = torch.cat([torch.zeros(1, len(scores), dtype=torch.bool), scores >= levels])
    hit, alarm = flagged[:, labels].double().mean(dim=1), flagged[:, ~labels].double().mean(dim=1)
    return torch.trapezoid(hit, alarm).item()


@mistake("auroc")
def rounded_to_float32(scores, labels):
    """The scores were converted to float32, in which different float64 scores may be equal, and then they tie. The
    order is all that counts: use the scores as they are."""
    return auroc_of(scores.float(), labels)


@mistake("auroc")
def nan_for_one_class(scores, labels):
    """With one class missing this returns NaN instead of raising ValueError: the mean over no pairs is NaN, and NaN
    travels silently through everything that follows."""
    margin = scores[labels].unsqueeze(1) - scores[~labels].unsqueeze(0)
    return ((margin > 0).double() + 0.5 * (margin == 0).double()).mean().item()


@alternative("auroc")
def by_mean_ranks(scores, labels):
    both(labels)
    true = labels.numpy()
    ranks = rankdata(scores.double().numpy())
    n_true, n_false = true.sum(), (~true).sum()
    return (ranks[true].sum() - n_true * (n_true + 1) / 2) / (n_true * n_false)


@alternative("auroc")
def by_trapezoids(scores, labels):
    both(labels)
    levels = scores.unique(sorted=True).flip(0)
    flagged = scores.unsqueeze(0) >= levels.unsqueeze(1)
    hit = torch.cat([torch.zeros(1), flagged[:, labels].float().mean(dim=1)])
    alarm = torch.cat([torch.zeros(1), flagged[:, ~labels].float().mean(dim=1)])
    return torch.trapezoid(hit, alarm)


def resampled(statistic, scores, labels, n_resamples, generator, draw):
    """Values of the statistic on resamples; `draw(n, generator)` gives the rows of one."""
    both(labels)
    values = []
    while len(values) < n_resamples:
        rows = draw(len(scores), generator)
        if labels[rows].all() or not labels[rows].any():
            continue
        values.append(float(statistic(scores[rows], labels[rows])))
    return torch.tensor(values, dtype=torch.float64)


def with_replacement(n, generator):
    return torch.randint(n, (n,), generator=generator)


def middle(values, level):
    low, high = torch.quantile(
        values, torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    ).tolist()
    return low, high


@mistake("bootstrap_interval")
def without_replacement(statistic, scores, labels, n_resamples, level, generator):
    """Rows are drawn without replacement: every resample is the same rows in another order, or a part of them. Draw n
    of n rows *with* replacement: torch.randint."""

    def draw(n, generator):
        return torch.randperm(n, generator=generator)

    return middle(resampled(statistic, scores, labels, n_resamples, generator, draw), level)


@mistake("bootstrap_interval")
def scores_and_labels_apart(statistic, scores, labels, n_resamples, level, generator):
    """Scores and labels are drawn separately, so that a score meets another row's label: the interval is that of a
    probe that knows nothing. Draw row indices once and use them for both."""
    both(labels)
    values = []
    while len(values) < n_resamples:
        rows = with_replacement(len(scores), generator)
        other = with_replacement(len(scores), generator)
        if labels[other].all() or not labels[other].any():
            continue
        values.append(float(statistic(scores[rows], labels[other])))
    return middle(torch.tensor(values, dtype=torch.float64), level)


@mistake("bootstrap_interval")
def keeps_one_class(statistic, scores, labels, n_resamples, level, generator):
    """A resample in which one class is missing reaches the statistic, and AUROC has no value there. Draw such a
    resample again."""
    both(labels)
    values = []
    for _ in range(n_resamples):
        rows = with_replacement(len(scores), generator)
        values.append(float(statistic(scores[rows], labels[rows])))
    return middle(torch.tensor(values, dtype=torch.float64), level)


@mistake("bootstrap_interval")
def skips_one_class(statistic, scores, labels, n_resamples, level, generator):
    """A resample in which one class is missing is skipped, so that fewer than n_resamples values remain. Draw it
    again."""
    both(labels)
    values = []
    for _ in range(n_resamples):
        rows = with_replacement(len(scores), generator)
        if labels[rows].any() and not labels[rows].all():
            values.append(float(statistic(scores[rows], labels[rows])))
    return middle(torch.tensor(values, dtype=torch.float64), level)


@mistake("bootstrap_interval")
def whole_tail_on_each_side(statistic, scores, labels, n_resamples, level, generator):
    """1 − level is cut off on *each* side, so that the interval holds too little. Cut off half of it on each: the
    quantiles (1 − level) / 2 and (1 + level) / 2."""
    values = resampled(statistic, scores, labels, n_resamples, generator, with_replacement)
    low, high = torch.quantile(values, torch.tensor([1 - level, level], dtype=torch.float64)).tolist()
    return low, high


@mistake("bootstrap_interval")
def normal_interval(statistic, scores, labels, n_resamples, level, generator):
    """This is mean ± 1.96 standard deviations: it ignores `level` and can reach above 1 for an AUROC. Take
    percentiles of the resampled values."""
    values = resampled(statistic, scores, labels, n_resamples, generator, with_replacement)
    return (values.mean() - 1.96 * values.std()).item(), (values.mean() + 1.96 * values.std()).item()


@mistake("bootstrap_interval")
def generator_not_used(statistic, scores, labels, n_resamples, level, generator):
    """The rows do not come from `generator`, so that the interval cannot be reproduced. Pass generator=generator to
    torch.randint."""
    values = resampled(
        statistic, scores, labels, n_resamples, generator, lambda n, generator: torch.randint(n, (n,))
    )
    return middle(values, level)


@mistake("bootstrap_interval")
def each_class_by_itself(statistic, scores, labels, n_resamples, level, generator):
    """True and False rows are resampled apart, so that their numbers never change. They would change with
    other texts: draw from all rows at once."""
    true, false = labels.nonzero().squeeze(1), (~labels).nonzero().squeeze(1)

    def draw(n, generator):
        parts = [
            rows[torch.randint(len(rows), (len(rows),), generator=generator)]
            for rows in (true, false)
            if len(rows)
        ]
        return torch.cat(parts)

    return middle(resampled(statistic, scores, labels, n_resamples, generator, draw), level)


@mistake("bootstrap_interval")
def last_row_never_drawn(statistic, scores, labels, n_resamples, level, generator):
    """The last row is never drawn: torch.randint excludes its upper end, so that it must be n, not n − 1."""

    def draw(n, generator):
        return torch.randint(n - 1, (n,), generator=generator)

    return middle(resampled(statistic, scores, labels, n_resamples, generator, draw), level)


@mistake("bootstrap_interval")
def same_rows_every_time(statistic, scores, labels, n_resamples, level, generator):
    """The rows are drawn once, before the loop, so that all resamples are the same and the interval is a point. Draw
    them anew for each resample."""
    both(labels)
    rows = with_replacement(len(scores), generator)
    while labels[rows].all() or not labels[rows].any():
        rows = with_replacement(len(scores), generator)
    return middle(
        resampled(statistic, scores, labels, n_resamples, generator, lambda n, generator: rows), level
    )


@mistake("bootstrap_interval")
def n_resamples_not_used(statistic, scores, labels, n_resamples, level, generator):
    """`n_resamples` is not used: there are always 1000 resamples."""
    return middle(resampled(statistic, scores, labels, 1000, generator, with_replacement), level)


@mistake("bootstrap_interval")
def half_of_the_rows(statistic, scores, labels, n_resamples, level, generator):
    """A resample has fewer rows than the data, so that the interval is too wide: half of the rows make it √2 times as
    wide. Draw as many rows as there are."""

    def draw(n, generator):
        return torch.randint(n, (max(3, n // 2),), generator=generator)

    return middle(resampled(statistic, scores, labels, n_resamples, generator, draw), level)


@recogniser("bootstrap_interval")
def recognise_bootstrap(calls):
    """From the resamples that the checks' spies saw: which rows were drawn, whatever drew them."""
    seen: dict[tuple, tuple] = {}
    short = []
    for args, kwargs, interval in calls:
        names = ("statistic", "scores", "labels", "n_resamples", "level", "generator")
        statistic, scores, labels, n_resamples, level, generator = bound(args, kwargs, *names)
        state = tuple(generator.get_state().tolist())
        key = (statistic, tuple(scores.tolist()), tuple(labels.tolist()), n_resamples, level, state)
        try:
            edges = tuple(float(edge) for edge in interval)
        except (TypeError, ValueError):
            return None
        if not all(map(math.isfinite, edges)):
            return None
        if seen.setdefault(key, edges) != edges and not hasattr(statistic, "scores"):
            return "generator_not_used"
        if not getattr(statistic, "scores", None):
            continue
        drawn = list(zip(statistic.scores, statistic.labels, strict=True))
        if any(truth.dtype != torch.bool or len(row) != len(truth) for row, truth in drawn):
            return None
        pairs = {pair for row, truth in drawn for pair in zip(row.tolist(), truth.tolist(), strict=True)}
        if not pairs <= set(zip(scores.tolist(), labels.tolist(), strict=True)):
            # Drawn separately, a score meets now one label, now the other.
            return "scores_and_labels_apart" if len(pairs) > len({score for score, _ in pairs}) else None
        if any(len(row) < len(scores) for row, _ in drawn):
            return "half_of_the_rows"
        if any(len(row) > len(scores) for row, _ in drawn):
            return None
        if len({tuple(row.tolist()) for row, _ in drawn}) == 1:
            return "same_rows_every_time"
        if all(len(set(row.tolist())) == len(row) for row, _ in drawn):
            return "without_replacement"
        if any(truth.all() or not truth.any() for _, truth in drawn):
            return "keeps_one_class"
        if len({int(truth.sum()) for _, truth in drawn}) == 1:
            return "each_class_by_itself"
        if len(drawn) > n_resamples + 1:
            return "n_resamples_not_used"
        short.append(len(drawn) < n_resamples)
    # Always too few is another mistake: skipped resamples are missing only where one class is rare.
    return "skips_one_class" if any(short) and not all(short) else None


@alternative("bootstrap_interval")
def by_multinomial_counts(statistic, scores, labels, n_resamples, level, generator):
    both(labels)
    values = []
    while len(values) < n_resamples:
        rows = torch.multinomial(torch.ones(len(scores)), len(scores), replacement=True, generator=generator)
        if len(labels[rows].unique()) == 2:
            values.append(float(statistic(scores[rows].double(), labels[rows])))
    values = sorted(values)
    out = round((1 - level) / 2 * (n_resamples - 1))
    return values[out], values[n_resamples - 1 - out]


def at_least_two(n_classes):
    if n_classes < 2:
        raise ValueError("a task needs two classes")


def drawn(count, n_classes, seed):
    return torch.randint(n_classes, (count,), generator=torch.Generator().manual_seed(seed))


def by_rank(types, label_of_rank):
    rank = {name: i for i, name in enumerate(sorted(set(types)))}
    return torch.stack([label_of_rank[rank[name]] for name in types])


@mistake("control_labels")
def label_a_row(types, n_classes, seed):
    """Every *row* gets a label of its own. Then no probe can learn the task, and it controls for nothing: draw one
    label a type, which all its occurrences carry."""
    at_least_two(n_classes)
    return drawn(len(types), n_classes, seed)


@mistake("control_labels")
def order_of_appearance(types, n_classes, seed):
    """Labels are drawn for the types in the order in which they first appear, so that shuffling the rows changes the
    task. Draw them for the sorted set of types."""
    at_least_two(n_classes)
    names = list(dict.fromkeys(types))
    label_of = dict(zip(names, drawn(len(names), n_classes, seed), strict=True))
    return torch.stack([label_of[name] for name in types])


@mistake("control_labels")
def order_of_a_set(types, n_classes, seed):
    """Labels are drawn for `set(types)` in its own order, which depends on the order of the rows and changes with every
    start of Python. Sort the set."""
    at_least_two(n_classes)
    names = list(set(types))
    label_of = dict(zip(names, drawn(len(names), n_classes, seed), strict=True))
    return torch.stack([label_of[name] for name in types])


@mistake("control_labels")
def sorts_types_in_place(types, n_classes, seed):
    """`types.sort()` sorts the caller's own list, so that the labels no longer belong to the rows. Use
    sorted(set(types)), which makes a new list."""
    at_least_two(n_classes)
    types.sort()
    return by_rank(types, drawn(len(set(types)), n_classes, seed))


@mistake("control_labels")
def same_task_for_every_seed(types, n_classes, seed):
    """`seed` is not used: there is only one control task, so that its luck cannot be averaged out. Seed the generator
    with it."""
    at_least_two(n_classes)
    return by_rank(types, drawn(len(set(types)), n_classes, 0))


@mistake("control_labels")
def rank_in_the_alphabet(types, n_classes, seed):
    """The label is the type's place in the alphabet modulo n_classes: balanced, but not random, and neighbours in
    the alphabet are told apart by their spelling. Draw the labels."""
    at_least_two(n_classes)
    return by_rank(types, (torch.arange(len(set(types))) + seed) % n_classes)


@mistake("control_labels")
def last_class_missing(types, n_classes, seed):
    """The last class never occurs: torch.randint excludes its upper end, so that it must be n_classes, not
    n_classes − 1."""
    at_least_two(n_classes)
    return by_rank(types, drawn(len(set(types)), max(n_classes - 1, 1), seed))


@mistake("control_labels")
def classes_from_one(types, n_classes, seed):
    """The labels run from 1 to n_classes. They should run from 0 to n_classes − 1, like any index."""
    at_least_two(n_classes)
    return by_rank(types, drawn(len(set(types)), n_classes, seed)) + 1


@mistake("control_labels")
def drawn_for_all_rows(types, n_classes, seed):
    """A label is drawn for every row and each type keeps the last one, so that a type's label changes when other
    rows are added. Draw one label a type, for the sorted set of types."""
    at_least_two(n_classes)
    label_of = dict(zip(types, drawn(len(types), n_classes, seed), strict=True))
    return torch.stack([label_of[name] for name in types])


@mistake("control_labels")
def global_state_of_labels(types, n_classes, seed):
    """The same seed gives different labels: they come from a global random state. Make a generator of your own,
    `torch.Generator().manual_seed(seed)`."""
    at_least_two(n_classes)
    return by_rank(types, torch.randint(n_classes, (len(set(types)),)))


@recogniser("control_labels")
def recognise_control(calls):
    seen: dict[tuple, list] = {}
    seeds: dict[tuple, dict] = {}
    for args, kwargs, labels in calls:
        types, n_classes, seed = bound(args, kwargs, "types", "n_classes", "seed")
        if not isinstance(labels, torch.Tensor) or labels.shape != (len(types),):
            return None
        values = labels.tolist()
        if labels.is_floating_point() or labels.dtype == torch.bool:
            return None
        if len(set(zip(types, values, strict=True))) > len(set(types)):
            in_order = len(set(zip(sorted(types), values, strict=True))) == len(set(types))
            return "sorts_types_in_place" if in_order else "label_a_row"
        if seen.setdefault((tuple(types), n_classes, seed), values) != values:
            return "global_state_of_labels"
        if len(values) > 1000 and max(values) != n_classes - 1:
            return "classes_from_one" if max(values) == n_classes else "last_class_missing"
        seeds.setdefault((tuple(types), n_classes), {})[seed] = values
    for by_seed in seeds.values():
        if len(by_seed) > 1 and len(set(map(tuple, by_seed.values()))) == 1:
            return "same_task_for_every_seed"
    return None


@alternative("control_labels")
def by_numpy(types, n_classes, seed):
    at_least_two(n_classes)
    names, member = np.unique(types, return_inverse=True)
    labels = np.random.default_rng([seed, 1]).integers(0, n_classes, size=len(names))
    return torch.as_tensor(labels[member])


@alternative("control_labels")
def by_sum_of_uniforms(types, n_classes, seed):
    at_least_two(n_classes)
    source = random.Random(seed)
    label_of = {name: int(source.random() * n_classes) for name in sorted(set(types))}
    return torch.tensor([label_of[name] for name in types])


def correct(probe, acts, targets, boundary=0.0):
    return ((probe(acts) > boundary) == targets).double().mean().item()


@mistake("selectivity")
def control_minus_task(fit, acts, labels, control, train, test):
    """The sign is wrong: this is control accuracy minus task accuracy. A selective probe has a positive value."""
    task = correct(fit(acts[train], labels[train]), acts[test], labels[test])
    return correct(fit(acts[train], control[train]), acts[test], control[test]) - task


@mistake("selectivity")
def scored_on_training_rows(fit, acts, labels, control, train, test):
    """The accuracies are those of the training rows, where memorising is perfect. Score the test rows."""
    task = correct(fit(acts[train], labels[train]), acts[train], labels[train])
    return task - correct(fit(acts[train], control[train]), acts[train], control[train])


@mistake("selectivity")
def one_probe_for_both(fit, acts, labels, control, train, test):
    """The probe of the task is scored on the control's labels too. The question is whether the same *kind* of probe can
    learn the control: fit a second one."""
    probe = fit(acts[train], labels[train])
    return correct(probe, acts[test], labels[test]) - correct(probe, acts[test], control[test])


@mistake("selectivity")
def control_probe_on_task_labels(fit, acts, labels, control, train, test):
    """The probe of the control task is scored against the real task's labels. Its truth is the control's labels."""
    task = correct(fit(acts[train], labels[train]), acts[test], labels[test])
    return task - correct(fit(acts[train], control[train]), acts[test], labels[test])


@mistake("selectivity")
def fitted_on_all_rows(fit, acts, labels, control, train, test):
    """The probes are fitted on all rows, the test rows among them. Fit on acts[train] only."""
    task = correct(fit(acts, labels), acts[test], labels[test])
    return task - correct(fit(acts, control), acts[test], control[test])


@mistake("selectivity")
def half_as_boundary(fit, acts, labels, control, train, test):
    """The log-odds are compared with 0.5, as if they were probabilities. Even odds are log-odds of 0."""
    task = correct(fit(acts[train], labels[train]), acts[test], labels[test], 0.5)
    return task - correct(fit(acts[train], control[train]), acts[test], control[test], 0.5)


@mistake("selectivity")
def zero_predicts_true(fit, acts, labels, control, train, test):
    """Log-odds of exactly 0 are taken for True (`>=`). True is predicted where they are positive: use `>`."""

    def accuracy(targets):
        return ((fit(acts[train], targets[train])(acts[test]) >= 0) == targets[test]).double().mean().item()

    return accuracy(labels) - accuracy(control)


@mistake("selectivity")
def standardises_in_place(fit, acts, labels, control, train, test):
    """The activations are standardised in place (`acts -= …`), so that the caller's tensor changes, and `fit` does not
    get the activations as they are."""
    acts -= acts[train].mean(dim=0)
    acts /= acts[train].std(dim=0)
    task = correct(fit(acts[train], labels[train]), acts[test], labels[test])
    return task - correct(fit(acts[train], control[train]), acts[test], control[test])


@mistake("selectivity")
def never_negative(fit, acts, labels, control, train, test):
    """The absolute difference hides a probe that learns random labels better than the real ones. Keep the sign."""
    task = correct(fit(acts[train], labels[train]), acts[test], labels[test])
    return abs(task - correct(fit(acts[train], control[train]), acts[test], control[test]))


@mistake("selectivity")
def ratio(fit, acts, labels, control, train, test):
    """This is the ratio of the accuracies. Selectivity is their difference."""
    task = correct(fit(acts[train], labels[train]), acts[test], labels[test])
    return task / correct(fit(acts[train], control[train]), acts[test], control[test])


@alternative("selectivity")
def by_counting(fit, acts, labels, control, train, test):
    hits = 0
    for targets, sign in ((control, -1), (labels, 1)):
        log_odds = fit(acts[train], targets[train])(acts[test]).tolist()
        truth = targets[test].tolist()
        hits += sign * sum((value > 0) == label for value, label in zip(log_odds, truth, strict=True))
    return torch.tensor(hits / len(test), dtype=torch.float64)


def block_ends(n, fractions, rounded=round):
    ends = [rounded(fraction * n) for fraction in fractions]
    if fractions[-1] != 1 or any(b <= a for a, b in zip([0, *ends], ends, strict=False)):
        raise ValueError("fractions must rise to 1.0")
    return ends


def code(fit, acts, labels, ends, start_of=lambda start: 0, past=0, base=2.0, first=1.0):
    total = ends[0] * first
    for start, end in pairwise(ends):
        rows = slice(start_of(start), end if past else start)
        log_odds = fit(acts[rows], labels[rows])(acts[start:end]).double()
        signed = torch.where(labels[start:end], log_odds, -log_odds)
        total += torch.nn.functional.softplus(-signed).sum().item() / math.log(base)
    return total


@mistake("online_code_length")
def in_nats(fit, acts, labels, fractions):
    """The code is measured with natural logarithms, in nats. Divide by ln 2 for bits."""
    return code(fit, acts, labels, block_ends(len(labels), fractions), base=math.e)


@mistake("online_code_length")
def first_block_free(fit, acts, labels, fractions):
    """The first block costs nothing here. Nobody knows its labels yet: they are sent as they are, one bit each."""
    return code(fit, acts, labels, block_ends(len(labels), fractions), first=0.0)


@mistake("online_code_length")
def bits_a_label(fit, acts, labels, fractions):
    """The code length is divided by the number of rows. The result is promised in bits for all labels together."""
    return code(fit, acts, labels, block_ends(len(labels), fractions)) / len(labels)


@mistake("online_code_length")
def sees_the_block(fit, acts, labels, fractions):
    """Each block is coded by a probe that was fitted on that very block too. The receiver does not have its labels yet:
    fit on the rows before it only."""
    return code(fit, acts, labels, block_ends(len(labels), fractions), past=1)


@mistake("online_code_length")
def previous_block_only(fit, acts, labels, fractions):
    """Each probe is fitted on the previous block alone. By then both sides know all rows before: fit on all of them."""
    ends = block_ends(len(labels), fractions)
    before = dict(zip(ends, [0, *ends], strict=False))
    return code(fit, acts, labels, ends, start_of=lambda start: before[start])


@mistake("online_code_length")
def one_probability(fit, acts, labels, fractions):
    """The log of 1 − sigmoid(log-odds) is taken as it stands: where the probe is sure, the sigmoid is exactly 1 and
    the code infinite. Use binary_cross_entropy_with_logits, or softplus."""
    ends = block_ends(len(labels), fractions)
    total = float(ends[0])
    for start, end in pairwise(ends):
        p = torch.sigmoid(fit(acts[:start], labels[:start])(acts[start:end]).float())
        total -= torch.where(labels[start:end], p, 1 - p).log2().sum().item()
    return total


@mistake("online_code_length")
def log_of_sigmoid(fit, acts, labels, fractions):
    """The logarithm of the sigmoid is taken in two steps. Where a probe is very sure and wrong the sigmoid is exactly
    0, and its logarithm infinite. Use binary_cross_entropy_with_logits, logsigmoid or softplus, which never form it."""
    ends = block_ends(len(labels), fractions)
    total = float(ends[0])
    for start, end in pairwise(ends):
        log_odds = fit(acts[:start], labels[:start])(acts[start:end]).float()
        total -= torch.sigmoid(torch.where(labels[start:end], log_odds, -log_odds)).log2().sum().item()
    return total


@mistake("online_code_length")
def clipped_probability(fit, acts, labels, fractions):
    """Probabilities are clipped away from 0 and 1, so that a probe that is sure and wrong gets off cheaply. Compute the
    log-loss from the log-odds: binary_cross_entropy_with_logits is exact."""
    ends = block_ends(len(labels), fractions)
    total = float(ends[0])
    for start, end in pairwise(ends):
        p = torch.sigmoid(fit(acts[:start], labels[:start])(acts[start:end]).double()).clamp(1e-7, 1 - 1e-7)
        total -= torch.where(labels[start:end], p, 1 - p).log2().sum().item()
    return total


@mistake("online_code_length")
def ends_cut_off(fit, acts, labels, fractions):
    """The end of a block is int(fraction · n), which cuts off: 0.29 · 100 is 28.999… in floating point. Use round."""
    return code(fit, acts, labels, block_ends(len(labels), fractions, rounded=int))


@mistake("online_code_length")
def fractions_unchecked(fit, acts, labels, fractions):
    """Fractions that do not rise to 1.0 are accepted: rows would be left out, or a block be empty. Raise ValueError."""
    return code(fit, acts, labels, [round(fraction * len(labels)) for fraction in fractions])


@alternative("online_code_length")
def by_log_add_exp(fit, acts, labels, fractions):
    n = len(labels)
    ends = np.rint(np.asarray(fractions) * n).astype(int)
    if abs(fractions[-1] - 1) > 1e-9 or (np.diff(ends, prepend=0) < 1).any():
        raise ValueError("fractions")
    bits = np.full(n, 1.0)
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        log_odds = np.asarray(fit(acts[:start], labels[:start])(acts[start:end]), dtype=float)
        bits[start:end] = np.logaddexp2(0, -np.where(labels[start:end], 1, -1) * log_odds / np.log(2))
    return float(bits.sum())
