"""Checks of chapter 3, part 1: the geometry of truth."""

from typing import Any

import numpy as np
import pytest
import torch

from utils.course import assert_close, exercise, hidden

SEEN = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove"]
UNSEEN = ["heron", "islet"]


def some_texts(rng, n, words):
    """Three to eight words a text, many of them repeated. The later a word in the list, the rarer, and the truer."""
    texts, labels = [], []
    for _ in range(n):
        length = int(torch.randint(3, 9, (1,), generator=rng))
        draws = (len(words) * torch.rand(length, generator=rng) ** 2).long()
        texts.append(" ".join(words[i] for i in draws.tolist()))
        labels.append(bool(draws.double().mean() + torch.randn((), generator=rng) > 2))
    return texts, labels


def word_log_odds(train_texts, train_labels, test_texts):
    """Logistic regression on word counts with the penalty |coef|²/2 on the sum of the losses, by Newton's method."""
    words = sorted({word for text in train_texts for word in text.split()})

    def counts(texts):
        return np.array([[*(text.split().count(word) for word in words), 1.0] for text in texts])

    features, truth = counts(train_texts), np.array(train_labels, dtype=float)
    penalty, coef = np.diag([1.0] * len(words) + [0.0]), np.zeros(len(words) + 1)
    for _ in range(30):
        p = 1 / (1 + np.exp(-features @ coef))
        slope = features.T @ (p - truth) + penalty @ coef
        coef -= np.linalg.solve(features.T @ (features * (p * (1 - p))[:, None]) + penalty, slope)
    return counts(test_texts) @ coef


def clear_cut(rng, n_train=30, n_test=50):
    """Training texts with labels, and test texts on which no solver can be in doubt, with labels and log-odds."""
    train_texts, train_labels = some_texts(rng, n_train, SEEN)
    train_labels[:2] = [True, False]
    test_texts, test_labels = some_texts(rng, n_test, SEEN + UNSEEN)
    log_odds = word_log_odds(train_texts, train_labels, test_texts)
    kept = [row for row in range(n_test) if abs(log_odds[row]) > 0.1]
    test = [test_texts[row] for row in kept], [test_labels[row] for row in kept]
    return train_texts, train_labels, *test, log_odds[kept]


def shuffled(rng, items):
    return [items[i] for i in torch.randperm(len(items), generator=rng).tolist()]


@exercise("bag_of_words_baseline")
class TestBagOfWordsBaseline:
    def test_by_hand(self, learner):
        """the share of test texts that the words of the training texts get right"""
        train = ["gold ring", "silver spoon"], [True, False]
        # The words of the one training text speak for True, those of the other for False; new ones for neither.
        test = ["gold watch", "silver ring spoon", "ring", "spoon tray", "old silver"]
        received = learner.bag_of_words_baseline(*train, test, [True, False, False, False, False])
        assert_close(received, 0.8)

    @hidden
    def test_agrees_with_newton(self, learner, rng):
        """agrees with logistic regression by hand: word counts, the default penalty, an intercept without one"""
        for n_train in (16, 30, 50):
            *arguments, log_odds = clear_cut(rng, n_train)
            expected = float(((log_odds > 0) == np.array(arguments[3])).mean())
            received = learner.bag_of_words_baseline(*arguments)
            assert_close(received, expected, what=f"{n_train} training texts")

    def test_how_often(self, learner):
        """it counts how often a word occurs, not only whether it does, or which share of the text it is"""
        once, thrice = "drip", "drip drip drip"
        train = [once, once, thrice, thrice] * 2, [False, False, True, True] * 2
        received = learner.bag_of_words_baseline(
            *train, [once, thrice, f"drip {thrice}"], [False, True, True]
        )
        assert_close(received, 1.0)

    def test_case_and_punctuation(self, learner):
        """ "Oslo", "oslo" and "(oslo)," are the same word, as CountVectorizer() has it"""
        train = ["oslo lima", "oslo rome"] * 4 + ["cairo lima", "cairo rome"] * 5, [True] * 8 + [False] * 10
        # The label that most training texts have is False: a word that is not recognised is called False.
        test = ["oslo", "Oslo", "OSLO", "oslo,", "(oslo).", "'oslo'", "oslo?", "Cairo!"]
        assert_close(learner.bag_of_words_baseline(*train, test, [True] * 7 + [False]), 1.0)

    def test_whole_words(self, learner):
        """words are whole words: there is no "cat" in "education", nor in "scatter" """
        train = ["old cat", "new cat", "old dog", "new dog"], [True, True, False, False]
        test = ["education catalogue scatter dog", "doggedly dogmatic dogfish cat"]
        assert_close(learner.bag_of_words_baseline(*train, test, [False, True]), 1.0)

    def test_every_word(self, learner):
        """every word counts, "not" more than most, and one that occurs in a single training text too"""
        train = ["the river is long", "the river is not long", "the tower is high", "the tower is not high"]
        test = ["the bridge is old", "the bridge is not old"]
        labels = [True, False, True, False]
        assert_close(learner.bag_of_words_baseline(train, labels, test, [True, False]), 1.0, what='"not"')
        train, labels = ["one fish", "one bird", "one stone", "one brick"], [True, True, False, False]
        received = learner.bag_of_words_baseline(
            train, labels, ["bird", "stone", "brick"], [True, False, False]
        )
        assert_close(received, 1.0, what="words of a single text")

    def test_unseen_words(self, learner):
        """a text of words that were never seen gets the label that most training texts have"""
        train = [
            "red kite",
            "red kite",
            "red kite",
            "blue kite",
            "blue kite",
            "blue kite",
            "red kite",
            "blue kite",
        ]
        for most in (True, False):
            labels = [most] * 6 + [not most] * 2
            received = learner.bag_of_words_baseline(train, labels, ["grey wolf", "white hare"], [most, most])
            assert_close(received, 1.0, what=f"most of them {most}")

    def test_order(self, learner, rng):
        """neither the order of the texts matters nor that of the words in them"""
        train_texts, train_labels, test_texts, test_labels, _ = clear_cut(rng)
        expected = learner.bag_of_words_baseline(
            list(train_texts), list(train_labels), list(test_texts), list(test_labels)
        )
        train = shuffled(rng, list(zip(train_texts, train_labels, strict=True)))
        test = shuffled(rng, list(zip(test_texts, test_labels, strict=True)))
        received = learner.bag_of_words_baseline(
            [" ".join(shuffled(rng, text.split())) for text, _ in train],
            [label for _, label in train],
            [" ".join(shuffled(rng, text.split())) for text, _ in test],
            [label for _, label in test],
        )
        assert_close(received, float(expected))

    def test_one_by_one(self, learner, rng):
        """test texts do not influence each other: asked one by one, as many are right as together"""
        train_texts, train_labels, test_texts, test_labels, _ = clear_cut(rng, n_test=9)
        scores = [
            learner.bag_of_words_baseline(list(train_texts), list(train_labels), [text], [label])
            for text, label in zip(test_texts, test_labels, strict=True)
        ]
        assert all(score in (0, 1) for score in scores), "expected 0 or 1 for a single test text"
        received = learner.bag_of_words_baseline(train_texts, train_labels, test_texts, test_labels)
        assert_close(received, sum(map(float, scores)) / len(scores))

    def test_worse_than_guessing(self, learner):
        """test labels only judge: with all of them reversed a perfect score becomes 0"""
        train = ["iron gate", "iron fence", "straw hat", "straw mat"], [True, True, False, False]
        test = ["iron bar", "iron rod", "straw bed", "iron door"]
        for labels, expected in (([True, True, False, True], 1.0), ([False, False, True, False], 0.0)):
            assert_close(
                learner.bag_of_words_baseline(*train, test, labels), expected, what=f"labels {labels}"
            )

    def test_arguments_unchanged(self, learner, rng):
        """leaves its four lists as they were"""
        *arguments, _ = clear_cut(rng)
        before = [list(argument) for argument in arguments]
        learner.bag_of_words_baseline(*arguments)
        assert_close(arguments, before, what="arguments after the call")

    def test_different_lengths(self, learner):
        """raises ValueError where texts and labels differ in number, in training or in test"""
        texts, labels = ["red kite", "blue kite", "red fox", "blue fox"], [True, False, True, False]
        for cut in range(4):
            arguments = [list(texts), list(labels), list(texts), list(labels)]
            arguments[cut] = arguments[cut][:3]
            with pytest.raises(ValueError):
                learner.bag_of_words_baseline(*arguments)

    def test_one_class(self, learner):
        """raises ValueError where all training labels are the same, also if the test labels are not"""
        texts = ["red kite", "blue kite", "red fox"]
        for label in (True, False):
            for test_labels in ([label] * 3, [True, False, True]):
                with pytest.raises(ValueError):
                    learner.bag_of_words_baseline(texts, [label] * 3, texts, test_labels)


TOPICS = ("cities", "animals", "elements", "jobs")


def topical(rng, n=40, d_model=5, dtype=torch.float32):
    """Activations that lie far apart by topic, in no order, unequally many of each, and of unequal spread."""
    topics = [TOPICS[min(int(4.5 * u**2), 3)] for u in torch.rand(n, generator=rng).tolist()]
    # Every topic occurs twice, whatever the seed, and the first one seen is not the first by alphabet.
    topics[:8] = [*TOPICS, *TOPICS]
    places = {topic: 8 * torch.randn(d_model, generator=rng) for topic in TOPICS}
    acts = torch.randn(n, d_model, generator=rng) * torch.linspace(0.3, 3, d_model)
    acts = acts + torch.stack([places[topic] for topic in topics])
    return acts.to(dtype), topics


def loop_means(acts, topics):
    """The mean of each topic, added up a number at a time."""
    means = {}
    for name in set(topics):
        rows = [row for row, topic in zip(acts.tolist(), topics, strict=True) if topic == name]
        means[name] = torch.tensor([sum(column) / len(rows) for column in zip(*rows, strict=True)])
    return means


def copied(means):
    return {name: mean.clone() for name, mean in means.items()}


@exercise("center_by_topic")
class TestCenterByTopic:
    def test_by_hand(self, learner):
        """without means: each activation minus the mean of its topic, and these means"""
        acts = torch.tensor([[1.0, 2.0], [10.0, 0.0], [3.0, 8.0], [5.0, 5.0], [24.0, 6.0]])
        received = learner.center_by_topic(acts, ["cities", "animals", "cities", "cities", "animals"])
        # Cities have the mean (3, 5), animals (17, 3).
        centred = torch.tensor([[-2.0, -3.0], [-7.0, -3.0], [0.0, 3.0], [2.0, 0.0], [7.0, 3.0]])
        means = {"cities": torch.tensor([3.0, 5.0]), "animals": torch.tensor([17.0, 3.0])}
        assert_close(received, (centred, means))

    def test_given_means(self, learner):
        """with means: each activation minus the given mean of its topic, wherever the activations themselves lie"""
        means = {"cities": torch.tensor([3.0, 5.0]), "animals": torch.tensor([17.0, 3.0])}
        acts = torch.tensor([[20.0, 4.0], [4.0, 9.0], [18.0, 0.0]])
        received = learner.center_by_topic(acts, ["animals", "cities", "animals"], copied(means))
        assert_close(received, (torch.tensor([[3.0, 1.0], [1.0, 4.0], [1.0, -3.0]]), means))

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over topics and their texts, on training and on test data"""
        for n, d_model in ((40, 5), (9, 1), (15, 20)):
            acts, topics = topical(rng, n, d_model)
            means = loop_means(acts, topics)
            expected = torch.stack([row - means[name] for row, name in zip(acts, topics, strict=True)]), means
            received = learner.center_by_topic(acts, topics)
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what="training data")
            fresh, names = topical(rng, n + 3, d_model)
            expected = torch.stack([row - means[name] for row, name in zip(fresh, names, strict=True)]), means
            received = learner.center_by_topic(fresh, names, copied(means))
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what="test data")

    def test_where_a_topic_lies(self, learner, rng):
        """moving all activations of one topic moves its mean, and changes nothing else"""
        acts, topics = topical(rng)
        centred, means = learner.center_by_topic(acts.clone(), list(topics))
        move = 5 * torch.randn(acts.shape[1], generator=rng)
        moved = acts + torch.tensor([[float(name == "animals")] for name in topics]) * move
        received = learner.center_by_topic(moved, list(topics))
        expected = centred, {**means, "animals": means["animals"] + move}
        assert_close(received, expected, rtol=1e-3, atol=1e-4)

    def test_row_order(self, learner, rng):
        """the topics may come in any order: shuffled rows give the same rows shuffled"""
        acts, topics = topical(rng)
        by_topic = sorted(range(len(topics)), key=lambda row: topics[row])
        acts, topics = acts[by_topic], [topics[row] for row in by_topic]
        centred, means = learner.center_by_topic(acts.clone(), list(topics))
        order = torch.randperm(len(topics), generator=rng)
        received = learner.center_by_topic(acts[order], [topics[i] for i in order.tolist()])
        assert_close(received, (centred[order], means), rtol=1e-3, atol=1e-4)

    def test_one_by_one(self, learner, rng):
        """test activations do not influence each other: a single one is centred as among the others"""
        acts, topics = topical(rng, n=12)
        _, means = learner.center_by_topic(*topical(rng))
        together, _ = learner.center_by_topic(acts.clone(), list(topics), copied(means))
        alone = [
            learner.center_by_topic(acts[row : row + 1].clone(), [name], copied(means))[0]
            for row, name in enumerate(topics)
        ]
        assert_close(torch.cat(alone), together, rtol=1e-3, atol=1e-4)

    def test_means_come_back(self, learner, rng):
        """given means are returned as they are, those of topics that do not occur too"""
        _, topics = topical(rng)
        means = {name: torch.randn(3, generator=rng) for name in (*TOPICS, "colours")}
        for some in (["jobs"], ["animals", "cities", "animals"], topics):
            acts = torch.randn(len(some), 3, generator=rng)
            _, received = learner.center_by_topic(acts, list(some), copied(means))
            assert_close(received, means, what=f"means returned with the topics {sorted(set(some))}")

    def test_single_text(self, learner):
        """a topic with a single text has that text as its mean, and is centred to zeros"""
        acts = torch.tensor([[4.0, -2.0], [1.0, 1.0], [3.0, 1.0]])
        received = learner.center_by_topic(acts, ["jobs", "cities", "cities"])
        means = {"jobs": torch.tensor([4.0, -2.0]), "cities": torch.tensor([2.0, 1.0])}
        assert_close(received, (torch.tensor([[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]), means))

    def test_float64(self, learner, rng):
        """float64 activations keep their digits, also where a topic lies far away"""
        acts, topics = topical(rng, dtype=torch.float64)
        expected, _ = learner.center_by_topic(acts.clone(), list(topics))
        far = acts + 1e7
        received, means = learner.center_by_topic(far.clone(), list(topics))
        assert_close(received, expected, rtol=0, atol=1e-4, what="training data")
        received, _ = learner.center_by_topic(far, list(topics), means)
        assert_close(received, expected, rtol=0, atol=1e-4, what="test data")

    def test_arguments_unchanged(self, learner, rng):
        """leaves activations, topics and the given means as they were"""
        acts, topics = topical(rng)
        before = acts.clone(), list(topics)
        learner.center_by_topic(acts, topics)
        assert_close((acts, topics), before, what="arguments after the call without means")
        means = {name: torch.randn(acts.shape[1], generator=rng) for name in (*TOPICS, "colours")}
        given = copied(means)
        learner.center_by_topic(acts, topics, given)
        assert_close((acts, topics, given), (*before, means), what="arguments after the call with means")

    def test_unknown_topic(self, learner, rng):
        """raises ValueError for a topic that `means` does not have, be it one among many; with no means at all too"""
        means = {name: torch.randn(3, generator=rng) for name in TOPICS}
        for topics in (["colours"], ["jobs", "cities", "colours"], ["colours", "jobs", "jobs"], ["Jobs"]):
            with pytest.raises(ValueError):
                learner.center_by_topic(torch.randn(len(topics), 3, generator=rng), topics, copied(means))
        with pytest.raises(ValueError):
            learner.center_by_topic(torch.randn(2, 3, generator=rng), ["jobs", "jobs"], {})

    def test_different_lengths(self, learner, rng):
        """raises ValueError where there are more topics than activations, or fewer; with given means too"""
        means = {name: torch.randn(3, generator=rng) for name in TOPICS}
        for n, topics in ((3, ["jobs", "cities"]), (2, ["jobs"]), (1, ["jobs", "cities"]), (3, ["jobs"] * 4)):
            acts = torch.randn(n, 3, generator=rng)
            with pytest.raises(ValueError):
                learner.center_by_topic(acts, list(topics))
            with pytest.raises(ValueError):
                learner.center_by_topic(acts, list(topics), copied(means))


def line(*points):
    """Activations with a single feature."""
    return torch.tensor(points).unsqueeze(1)


def truths(letters):
    """Labels from T and F."""
    return torch.tensor([letter == "T" for letter in letters])


def labelled(rng, n, d_model=4, dtype=torch.float32):
    """Whole numbers, so that every score is exact and no way of adding up can turn its sign."""
    acts = torch.randint(-5, 6, (n, d_model), generator=rng)
    labels = torch.rand(n, generator=rng) < 0.6
    labels[:2] = torch.tensor([True, False])
    acts[:, 0] += 2 * labels
    return acts.to(dtype), labels


def some_sets(rng, *sizes, dtype=torch.float32):
    return [labelled(rng, n, dtype=dtype) for n in sizes]


def copied_sets(sets):
    return [(acts.clone(), labels.clone()) for acts, labels in sets]


def fit_midpoint(acts, labels):
    """True is what lies on the True side of the midpoint of the two class means."""
    low, high = acts[~labels].mean(0), acts[labels].mean(0)
    return high - low, -float((high - low) @ (high + low)) / 2


def fit_sums(acts, labels):
    """Whole numbers and a half: no score is 0."""
    return acts[labels].sum(0) - acts[~labels].sum(0), 0.5 - 2 * len(acts)


def fit_log_odds(log_odds):
    """A probe that says the same of every text."""
    return lambda acts, labels: (0 * acts[0], log_odds)


class FitSpy:
    """A way of fitting that remembers what it was given, until `close`."""

    def __init__(self):
        self.acts, self.labels, self.open = [], [], True

    def __call__(self, acts, labels):
        if self.open:
            self.acts.append(acts)
            self.labels.append(labels)
        return fit_sums(acts, labels)

    def close(self):
        self.open = False


@exercise("transfer_matrix")
class TestTransferMatrix:
    def test_by_hand(self, learner):
        """a row a training set, a column a test set: the share of that test set's texts that this probe gets right"""
        # True is above 1 says the first training set, below 5 the second.
        train = [(line(0.0, 2.0), truths("FT")), (line(4.0, 6.0), truths("TF"))]
        test = [
            (line(0.0, 2.0, 3.0, 6.0), truths("FTTT")),
            (line(1.5, 7.0), truths("FF")),
            (line(0.0, 9.0, -3.0, 4.0), truths("TFTF")),
        ]
        received = learner.transfer_matrix(fit_midpoint, train, test)
        assert_close(received, torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.75]]))

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over probes, test sets and texts, as many sets as you like on either side"""
        for train_sizes, test_sizes in (
            ((12, 20), (9, 14, 31)),
            ((8, 15, 10), (21,)),
            ((10, 9, 8), (11, 7, 6)),
        ):
            train, test = some_sets(rng, *train_sizes), some_sets(rng, *test_sizes)
            rows = []
            for acts, labels in train:
                coef, intercept = fit_sums(acts, labels)
                rows.append([])
                for fresh, truth in test:
                    scores = [
                        sum(a * b for a, b in zip(row, coef.tolist(), strict=True)) for row in fresh.tolist()
                    ]
                    right = [(s + intercept > 0) == t for s, t in zip(scores, truth.tolist(), strict=True)]
                    rows[-1].append(sum(right) / len(right))
            received = learner.transfer_matrix(fit_sums, train, test)
            assert_close(
                received, torch.tensor(rows), what=f"{len(train)} training and {len(test)} test sets"
            )

    def test_one_fit_each(self, learner, rng):
        """`fit` is called once a training set, with its activations and labels, and with nothing of a test set"""
        train, test = some_sets(rng, 6, 9, 12), some_sets(rng, 7, 5)
        for number, (acts, _) in enumerate(train):
            acts[0, 0] = 100 + number
        fit = FitSpy()
        try:
            learner.transfer_matrix(fit, copied_sets(train), copied_sets(test))
        finally:
            fit.close()
        assert len(fit.acts) == 3, f"expected three fits, one a training set; saw {len(fit.acts)}"
        # In whatever order they were fitted.
        order = sorted(range(3), key=lambda i: float(fit.acts[i].max()))
        given = [(fit.acts[i], fit.labels[i]) for i in order]
        assert_close(given, train, what="what fit was given")

    def test_same_sets(self, learner):
        """a probe's score on its own training texts is counted like any other: it need not be 1"""
        # True is above 8/3 says the first, which is wrong about three of its five texts; above 6 says the second.
        sets = [
            (line(0.0, 5.0, 1.0, 4.0, 3.0), truths("FTTFF")),
            (line(8.0, 5.0, 9.0, 4.0), truths("TFTT")),
        ]
        received = learner.transfer_matrix(fit_midpoint, sets, sets)
        assert_close(received, torch.tensor([[0.4, 0.75], [0.6, 0.75]]))

    def test_shape(self, learner, rng):
        """one training or one test set still gives a matrix, of one row or one column"""
        for n_train, n_test in ((1, 1), (1, 3), (3, 1)):
            train, test = some_sets(rng, *[8] * n_train), some_sets(rng, *[9] * n_test)
            received = learner.transfer_matrix(fit_sums, train, test)
            what = f"{n_train} training and {n_test} test sets, the answer times 0"
            assert_close(received * 0, torch.zeros(n_train, n_test), what=what)

    def test_zero_is_the_boundary(self, learner):
        """a text is called true where the score is positive, however small, and not where it is 0"""
        train = [(torch.zeros(2, 3), truths("TF"))]
        test = [(torch.ones(5, 3), truths("TTTFT")), (torch.ones(4, 3), truths("FTFF"))]
        for log_odds, expected in ((0.01, [0.8, 0.25]), (0.0, [0.2, 0.75]), (-0.01, [0.2, 0.75])):
            received = learner.transfer_matrix(fit_log_odds(log_odds), train, test)
            assert_close(received, torch.tensor([expected]), what=f"all scores {log_odds:g}")

    def test_reversed_labels(self, learner, rng):
        """a probe that is wrong about most texts is below ½: all test labels reversed give one minus the score"""
        train, test = some_sets(rng, 10, 14), some_sets(rng, 9, 15)
        expected = learner.transfer_matrix(fit_sums, copied_sets(train), copied_sets(test))
        reverse = [(acts, ~labels) for acts, labels in test]
        assert_close(learner.transfer_matrix(fit_sums, train, reverse), 1 - expected)

    def test_each_pair_alone(self, learner, rng):
        """the score of a training and a test set does not depend on which others there are"""
        train, test = some_sets(rng, 10, 14), some_sets(rng, 9, 11, 13)
        matrix = learner.transfer_matrix(fit_sums, copied_sets(train), copied_sets(test))
        assert_close(matrix * 0, torch.zeros(2, 3), what="the answer times 0")
        for row in range(2):
            for column in range(3):
                pair = copied_sets([train[row]]), copied_sets([test[column]])
                received = learner.transfer_matrix(fit_sums, *pair)
                assert_close(
                    received, matrix[row : row + 1, column : column + 1], what=f"[{row}, {column}] alone"
                )

    def test_each_text_alone(self, learner, rng):
        """the texts of a test set do not influence each other: one by one, as many are right; one class is enough"""
        train, (whole,) = some_sets(rng, 10, 14), some_sets(rng, 16)
        single = [(whole[0][i : i + 1], whole[1][i : i + 1]) for i in range(16)]
        received = learner.transfer_matrix(fit_sums, copied_sets(train), copied_sets([*single, whole]))
        assert_close(received * 0, torch.zeros(2, 17), what="the answer times 0")
        assert_close(received[:, :16].double().mean(dim=1), received[:, 16].double())

    def test_float64(self, learner, rng):
        """float64 activations keep their digits: a score of 0.5 beside 10¹⁰ is positive"""
        far = torch.tensor([[1e10, 0.5], [1e10, -0.5], [1e10, 1.5]], dtype=torch.float64)
        train = [labelled(rng, 4, d_model=2, dtype=torch.float64)]

        def fit(acts, labels):
            return torch.ones(2, dtype=torch.float64), -1e10

        received = learner.transfer_matrix(fit, train, [(far, truths("TFT"))])
        assert_close(received, torch.tensor([[1.0]]))

    def test_arguments_unchanged(self, learner, rng):
        """leaves the training and the test sets as they were"""
        train, test = some_sets(rng, 10, 14), some_sets(rng, 9, 11, 13)
        before = copied_sets(train), copied_sets(test)
        learner.transfer_matrix(fit_sums, train, test)
        assert_close((train, test), before, what="arguments after the call")

    def test_different_widths(self, learner, rng):
        """raises ValueError where a test set is wider or narrower than a training set, be it one feature wide"""
        for train_widths, test_widths in (
            ((4, 4), (5, 4)),
            ((4, 4), (4, 3)),
            ((3, 4), (4,)),
            ((4, 3), (4, 4)),
        ):
            train = [labelled(rng, 8, d_model) for d_model in train_widths]
            with pytest.raises(ValueError):
                learner.transfer_matrix(
                    fit_sums, train, [labelled(rng, 6, d_model) for d_model in test_widths]
                )
        for d_train, d_test in ((4, 1), (1, 4)):
            with pytest.raises(ValueError):
                learner.transfer_matrix(fit_sums, [labelled(rng, 8, d_train)], [labelled(rng, 6, d_test)])


def statements(rng, n=50, d_model=6, dtype=torch.float32):
    """Activations off the origin; more true than false ones, and fewer of these negated."""
    labels = torch.rand(n, generator=rng) < 0.65
    affirmative = torch.rand(n, generator=rng) < torch.where(labels, 0.8, 0.4)
    # All four kinds occur, whatever the seed.
    labels[:4], affirmative[:4] = truths("TTFF"), truths("TFTF")
    polarities = torch.where(affirmative, 1, -1)
    truth = torch.where(labels, 1.0, -1.0)
    directions = 2 * torch.randn(2, d_model, generator=rng)
    acts = torch.randn(n, d_model, generator=rng) * torch.linspace(0.5, 3, d_model) + 20
    acts = acts + truth[:, None] * directions[0] + (truth * polarities)[:, None] * directions[1]
    return acts.to(dtype), labels, polarities


def by_numpy(acts, labels, polarities):
    truth = np.where(labels.numpy(), 1.0, -1.0)
    design = np.stack([truth, truth * polarities.numpy()], axis=1)
    targets = acts.double().numpy()
    solution, *_ = np.linalg.lstsq(design, targets - targets.mean(axis=0), rcond=None)
    return torch.from_numpy(solution[0].copy()), torch.from_numpy(solution[1].copy())


NEAR: dict[str, Any] = {"rtol": 1e-3, "atol": 1e-3}


@exercise("truth_and_polarity")
class TestTruthAndPolarity:
    def test_by_hand(self, learner):
        """four statements, one of each kind: along the first axis truth, along the second truth times polarity"""
        # (5, 5), plus or minus (1, 0) for true or false, and plus or minus (0, 2), which turns around where negated.
        acts = torch.tensor([[6.0, 7.0], [6.0, 3.0], [4.0, 3.0], [4.0, 7.0]])
        received = learner.truth_and_polarity(acts, truths("TTFF"), torch.tensor([1, -1, 1, -1]))
        assert_close(received, (torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])), **NEAR)

    def test_three_statements(self, learner):
        """three statements: true, false, and true but negated; without an intercept, after subtracting the mean"""
        # Centred: 1, −5, 4. Normal equations: 3g + p = 10 and g + 3p = 2.
        acts = torch.tensor([[8.0], [2.0], [11.0]])
        received = learner.truth_and_polarity(acts, truths("TFT"), torch.tensor([1, 1, -1]))
        assert_close(received, (torch.tensor([3.5]), torch.tensor([-0.5])), **NEAR)

    @hidden
    def test_agrees_with_numpy(self, learner, rng):
        """agrees with numpy's least squares where some kinds of statement are rare, or do not occur at all"""
        for n, d_model in ((50, 6), (5, 1), (12, 40)):
            arguments = statements(rng, n, d_model)
            received = learner.truth_and_polarity(*arguments)
            assert_close(received, by_numpy(*arguments), **NEAR, what=f"{n} statements, {d_model} features")
        for kind in range(4):
            acts, labels, polarities = statements(rng)
            kept = (2 * labels + (polarities > 0)) != kind
            arguments = acts[kept], labels[kept], polarities[kept]
            expected = by_numpy(*arguments)
            assert_close(
                learner.truth_and_polarity(*arguments), expected, **NEAR, what="three kinds of statement"
            )
        kept = labels == (polarities > 0)
        arguments = acts[kept], labels[kept], polarities[kept]
        assert_close(learner.truth_and_polarity(*arguments), by_numpy(*arguments), **NEAR, what="two kinds")

    def test_planted(self, learner, rng):
        """finds directions that were put in, at any angle and of any length, however often each kind occurs"""
        truth = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat_interleave(torch.tensor([5, 2, 5, 2]))
        polarities = torch.tensor([1, -1, 1, -1]).repeat_interleave(torch.tensor([5, 2, 5, 2]))
        for size in (0.1, 1.0, 10.0):
            general = size * torch.randn(7, generator=rng)
            polarity = size * torch.randn(7, generator=rng) + general
            acts = truth[:, None] * general + (truth * polarities)[:, None] * polarity
            received = learner.truth_and_polarity(acts, truth > 0, polarities)
            assert_close(received, (general, polarity), **NEAR, what=f"directions of size {size:g}")

    def test_shift_and_scale(self, learner, rng):
        """adding one vector to all activations changes nothing; twice the activations, twice the directions"""
        acts, labels, polarities = statements(rng)
        general, polarity = learner.truth_and_polarity(acts.clone(), labels, polarities)
        shifted = acts + 30 * torch.randn(acts.shape[1], generator=rng)
        received = learner.truth_and_polarity(shifted, labels, polarities)
        assert_close(received, (general, polarity), **NEAR, what="shifted")
        received = learner.truth_and_polarity(2 * acts, labels, polarities)
        assert_close(received, (2 * general, 2 * polarity), **NEAR, what="doubled")

    def test_reversed(self, learner, rng):
        """polarities reversed turn t_polarity around and leave t_general; labels reversed turn both around"""
        acts, labels, polarities = statements(rng)
        general, polarity = learner.truth_and_polarity(acts.clone(), labels, polarities)
        received = learner.truth_and_polarity(acts.clone(), labels, -polarities)
        assert_close(received, (general, -polarity), **NEAR, what="polarities reversed")
        received = learner.truth_and_polarity(acts.clone(), ~labels, polarities)
        assert_close(received, (-general, -polarity), **NEAR, what="labels reversed")

    def test_rows(self, learner, rng):
        """the order of the statements does not matter, and giving each of them three times changes nothing"""
        acts, labels, polarities = statements(rng, n=14)
        expected = learner.truth_and_polarity(acts.clone(), labels, polarities)
        order = torch.randperm(14, generator=rng).repeat(3)
        received = learner.truth_and_polarity(acts[order], labels[order], polarities[order])
        assert_close(received, expected, **NEAR)

    def test_dtypes(self, learner, rng):
        """activations may be float64, polarities any kind of integer"""
        acts, labels, polarities = statements(rng, dtype=torch.float64)
        expected = by_numpy(acts, labels, polarities)
        for dtype in (torch.int64, torch.int32, torch.int8):
            received = learner.truth_and_polarity(acts.clone(), labels, polarities.to(dtype))
            assert_close(received, expected, **NEAR, what=f"float64 activations, {dtype} polarities")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        arguments = statements(rng)
        before = tuple(argument.clone() for argument in arguments)
        learner.truth_and_polarity(*arguments)
        assert_close(arguments, before, what="arguments after the call")

    def test_one_polarity(self, learner, rng):
        """raises ValueError where all statements are affirmative, or all negated"""
        acts, labels, polarities = statements(rng)
        for polarity in (1, -1):
            with pytest.raises(ValueError):
                learner.truth_and_polarity(acts.clone(), labels, torch.full_like(polarities, polarity))

    def test_one_label(self, learner, rng):
        """raises ValueError where all statements are true, or all false"""
        acts, labels, polarities = statements(rng)
        for label in (True, False):
            with pytest.raises(ValueError):
                learner.truth_and_polarity(acts.clone(), torch.full_like(labels, label), polarities)

    def test_other_polarities(self, learner, rng):
        """raises ValueError for polarities that are neither +1 nor −1, be it a single one"""
        acts, labels, polarities = statements(rng)
        for wrong in (2, 0, -3):
            other = polarities.clone()
            other[7] = wrong
            with pytest.raises(ValueError):
                learner.truth_and_polarity(acts.clone(), labels, other)
        for negated in (0, 2):
            with pytest.raises(ValueError):
                learner.truth_and_polarity(acts.clone(), labels, torch.where(polarities > 0, 1, negated))

    def test_different_lengths(self, learner, rng):
        """raises ValueError where activations, labels and polarities are not equally many"""
        arguments = statements(rng)
        for which in range(3):
            for n in (49, 8, 1):
                cut = [argument.clone() for argument in arguments]
                cut[which] = cut[which][:n]
                with pytest.raises(ValueError):
                    learner.truth_and_polarity(*cut)
