"""Wrong answers to chapter 3, part 1 that its checks must reject, and right ones written differently."""

import re
from collections import Counter
from itertools import groupby

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from utils.course import alternative, mistake, recogniser


def one_label_each(train_texts, train_labels, test_texts, test_labels):
    if len(train_texts) != len(train_labels) or len(test_texts) != len(test_labels):
        raise ValueError("every text needs one label")


def usable(train_texts, train_labels, test_texts, test_labels):
    one_label_each(train_texts, train_labels, test_texts, test_labels)
    if len(set(train_labels)) < 2:
        raise ValueError("the training labels are all the same")


def fitted(texts, labels, vectorizer=None, model=None):
    """A pipeline from texts to labels, fitted."""
    vectorizer, model = vectorizer or CountVectorizer(), model or LogisticRegression(max_iter=1000)
    return make_pipeline(vectorizer, model).fit(texts, labels)


def word_score(train_texts, train_labels, test_texts, test_labels, vectorizer=None, model=None):
    usable(train_texts, train_labels, test_texts, test_labels)
    return float(fitted(train_texts, train_labels, vectorizer, model).score(test_texts, test_labels))


@mistake("bag_of_words_baseline")
def vocabulary_fitted_again(train_texts, train_labels, test_texts, test_labels):
    """fit_transform on the test texts learns another vocabulary, whose columns are other words than those that the
    probe was fitted on. Use `transform` there."""
    usable(train_texts, train_labels, test_texts, test_labels)
    words = CountVectorizer()
    probe = LogisticRegression(max_iter=1000).fit(words.fit_transform(train_texts), train_labels)
    return float(probe.score(words.fit_transform(test_texts), test_labels))


@mistake("bag_of_words_baseline")
def learned_on_both(train_texts, train_labels, test_texts, test_labels):
    """The probe is fitted on training *and* test texts: it has seen the answers. Fit on the training texts alone."""
    usable(train_texts, train_labels, test_texts, test_labels)
    return float(fitted(train_texts + test_texts, train_labels + test_labels).score(test_texts, test_labels))


@mistake("bag_of_words_baseline")
def learned_on_test(train_texts, train_labels, test_texts, test_labels):
    """The probe is fitted on the test texts, and asked about them. Fit on the training texts alone."""
    return word_score(test_texts, test_labels, test_texts, test_labels)


@mistake("bag_of_words_baseline")
def halves_swapped(train_texts, train_labels, test_texts, test_labels):
    """The probe is fitted on the test texts and asked about the training texts. Swap the two."""
    return word_score(test_texts, test_labels, train_texts, train_labels)


@mistake("bag_of_words_baseline")
def scored_on_training(train_texts, train_labels, test_texts, test_labels):
    """This is the accuracy on the *training* texts, which the probe has seen. Ask it about the test texts."""
    usable(train_texts, train_labels, test_texts, test_labels)
    return float(fitted(train_texts, train_labels).score(train_texts, train_labels))


@mistake("bag_of_words_baseline")
def share_wrong(train_texts, train_labels, test_texts, test_labels):
    """This is the share of wrong answers. Accuracy is the share of right ones."""
    return 1 - word_score(train_texts, train_labels, test_texts, test_labels)


@mistake("bag_of_words_baseline")
def number_right(train_texts, train_labels, test_texts, test_labels):
    """This is the *number* of right answers. Divide it by the number of test texts."""
    return word_score(train_texts, train_labels, test_texts, test_labels) * len(test_texts)


@mistake("bag_of_words_baseline")
def in_percent(train_texts, train_labels, test_texts, test_labels):
    """This is the accuracy in per cent. Return the share, from 0 to 1."""
    return 100 * word_score(train_texts, train_labels, test_texts, test_labels)


@mistake("bag_of_words_baseline")
def right_or_wrong_each(train_texts, train_labels, test_texts, test_labels):
    """This says of every test text whether it is right. Return one number, their mean."""
    usable(train_texts, train_labels, test_texts, test_labels)
    return fitted(train_texts, train_labels).predict(test_texts) == np.array(test_labels)


@mistake("bag_of_words_baseline")
def share_called_true(train_texts, train_labels, test_texts, test_labels):
    """This is the share of test texts that the probe calls true. Compare its answers with the test labels."""
    usable(train_texts, train_labels, test_texts, test_labels)
    return float(fitted(train_texts, train_labels).predict(test_texts).mean())


@mistake("bag_of_words_baseline")
def balanced(train_texts, train_labels, test_texts, test_labels):
    """This is the *balanced* accuracy, the mean of the two classes' own. Count every test text once."""
    usable(train_texts, train_labels, test_texts, test_labels)
    predicted = fitted(train_texts, train_labels).predict(test_texts)
    return float(balanced_accuracy_score(test_labels, predicted))


@mistake("bag_of_words_baseline")
def area_under_curve(train_texts, train_labels, test_texts, test_labels):
    """This is the AUROC. Return the accuracy: `score`, or the mean of predict(…) == labels."""
    usable(train_texts, train_labels, test_texts, test_labels)
    log_odds = fitted(train_texts, train_labels).decision_function(test_texts)
    return float(roc_auc_score(test_labels, log_odds))


@mistake("bag_of_words_baseline")
def at_least_half(train_texts, train_labels, test_texts, test_labels):
    """An accuracy below ½ was turned over. That the words point the wrong way on the test texts is a finding: return
    it as it is."""
    value = word_score(train_texts, train_labels, test_texts, test_labels)
    return max(value, 1 - value)


@mistake("bag_of_words_baseline")
def presence_only(train_texts, train_labels, test_texts, test_labels):
    """Only whether a word occurs is used (binary=True). Count how often: CountVectorizer() does."""
    vectorizer = CountVectorizer(binary=True)
    return word_score(train_texts, train_labels, test_texts, test_labels, vectorizer)


@mistake("bag_of_words_baseline")
def weighted_by_rarity(train_texts, train_labels, test_texts, test_labels):
    """TfidfVectorizer weights words by rarity and gives every text the same length. The contract asks for counts:
    CountVectorizer."""
    return word_score(train_texts, train_labels, test_texts, test_labels, TfidfVectorizer())


@mistake("bag_of_words_baseline")
def split_at_spaces(train_texts, train_labels, test_texts, test_labels):
    """Texts are cut at spaces, so that "Oslo", "oslo" and "oslo," are three words. CountVectorizer() lowers the case
    and leaves punctuation out."""
    vectorizer = CountVectorizer(analyzer=str.split)
    return word_score(train_texts, train_labels, test_texts, test_labels, vectorizer)


@mistake("bag_of_words_baseline")
def case_kept(train_texts, train_labels, test_texts, test_labels):
    """Upper and lower case make two words of one: "The" and "the". CountVectorizer() lowers the case."""
    vectorizer = CountVectorizer(lowercase=False)
    return word_score(train_texts, train_labels, test_texts, test_labels, vectorizer)


@mistake("bag_of_words_baseline")
def punctuation_kept(train_texts, train_labels, test_texts, test_labels):
    """Punctuation stays attached to words: "oslo," is another word than "oslo". CountVectorizer() leaves it out."""
    vectorizer = CountVectorizer(token_pattern=r"\S+")
    return word_score(train_texts, train_labels, test_texts, test_labels, vectorizer)


@mistake("bag_of_words_baseline")
def letters_counted(train_texts, train_labels, test_texts, test_labels):
    """Letters are counted, not words (analyzer="char", or a loop over a string). Count words."""
    vectorizer = CountVectorizer(analyzer="char")
    return word_score(train_texts, train_labels, test_texts, test_labels, vectorizer)


@mistake("bag_of_words_baseline")
def inside_words(train_texts, train_labels, test_texts, test_labels):
    """text.count(word) finds words inside other words: "cat" in "education". Split the text into words first."""
    usable(train_texts, train_labels, test_texts, test_labels)
    vocabulary = sorted({word for text in train_texts for word in re.findall(r"\w\w+", text.lower())})

    def counts(texts):
        return np.array([[text.lower().count(word) for word in vocabulary] for text in texts])

    probe = LogisticRegression(max_iter=1000).fit(counts(train_texts), train_labels)
    return float(probe.score(counts(test_texts), test_labels))


@mistake("bag_of_words_baseline")
def pairs_of_words(train_texts, train_labels, test_texts, test_labels):
    """Pairs of neighbouring words are counted too, which is more than a bag of words knows. Keep the default
    ngram_range."""
    vectorizer = CountVectorizer(ngram_range=(1, 2))
    return word_score(train_texts, train_labels, test_texts, test_labels, vectorizer)


@mistake("bag_of_words_baseline")
def stop_words_removed(train_texts, train_labels, test_texts, test_labels):
    """Stop words are left out, and "not" is one of them. The baseline must see all that the words say: keep
    CountVectorizer's defaults."""
    vectorizer = CountVectorizer(stop_words="english")
    return word_score(train_texts, train_labels, test_texts, test_labels, vectorizer)


@mistake("bag_of_words_baseline")
def rare_words_removed(train_texts, train_labels, test_texts, test_labels):
    """Words of a single training text are left out (min_df=2). Keep CountVectorizer's defaults."""
    vectorizer = CountVectorizer(min_df=2)
    return word_score(train_texts, train_labels, test_texts, test_labels, vectorizer)


@mistake("bag_of_words_baseline")
def no_intercept(train_texts, train_labels, test_texts, test_labels):
    """Without an intercept (fit_intercept=False) the probe cannot know that one label is more frequent. Keep the
    default."""
    model = LogisticRegression(max_iter=1000, fit_intercept=False)
    return word_score(train_texts, train_labels, test_texts, test_labels, model=model)


@mistake("bag_of_words_baseline")
def classes_reweighted(train_texts, train_labels, test_texts, test_labels):
    """class_weight="balanced" hides from the probe that one label is more frequent. Keep the default."""
    model = LogisticRegression(max_iter=1000, class_weight="balanced")
    return word_score(train_texts, train_labels, test_texts, test_labels, model=model)


@mistake("bag_of_words_baseline")
def hardly_penalised(train_texts, train_labels, test_texts, test_labels):
    """The penalty is switched off, or nearly (a large C), so that rare words get huge weights. Keep the default."""
    model = LogisticRegression(max_iter=10_000, C=1e4)
    return word_score(train_texts, train_labels, test_texts, test_labels, model=model)


@mistake("bag_of_words_baseline")
def naive_bayes(train_texts, train_labels, test_texts, test_labels):
    """This is naive Bayes, which takes words for independent. Fit a LogisticRegression."""
    return word_score(train_texts, train_labels, test_texts, test_labels, model=MultinomialNB())


@mistake("bag_of_words_baseline")
def unseen_word_fails(train_texts, train_labels, test_texts, test_labels):
    """A test word that no training text has is a KeyError here. It has no column: leave it out."""
    usable(train_texts, train_labels, test_texts, test_labels)
    split = CountVectorizer().build_analyzer()
    column = {
        word: i for i, word in enumerate(sorted({word for text in train_texts for word in split(text)}))
    }

    def counts(texts):
        table = np.zeros((len(texts), len(column)))
        for row, text in enumerate(texts):
            for word in split(text):
                table[row, column[word]] += 1
        return table

    probe = LogisticRegression(max_iter=1000).fit(counts(train_texts), train_labels)
    return float(probe.score(counts(test_texts), test_labels))


@mistake("bag_of_words_baseline")
def test_cut_by_zip(train_texts, train_labels, test_texts, test_labels):
    """zip stops at the shorter list: where test texts and labels differ in number, the rest is ignored in silence.
    Compare the lengths and raise ValueError."""
    usable(train_texts, train_labels, [], [])
    predicted = fitted(train_texts, train_labels).predict(test_texts)
    return float(np.mean([a == b for a, b in zip(predicted, test_labels, strict=False)]))


@mistake("bag_of_words_baseline")
def training_cut_by_zip(train_texts, train_labels, test_texts, test_labels):
    """zip stops at the shorter list: where training texts and labels differ in number, the rest is ignored in silence.
    Compare the lengths and raise ValueError."""
    one_label_each([], [], test_texts, test_labels)
    texts, labels = zip(*zip(train_texts, train_labels, strict=False), strict=True)
    return word_score(texts, labels, test_texts, test_labels)


@mistake("bag_of_words_baseline")
def constant_for_one_class(train_texts, train_labels, test_texts, test_labels):
    """With training labels all alike this answers that label always, and returns an accuracy. Nothing was learned: the
    contract asks for a ValueError."""
    one_label_each(train_texts, train_labels, test_texts, test_labels)
    if len(set(train_labels)) == 1:
        return float(np.mean(np.array(test_labels) == train_labels[0]))
    return word_score(train_texts, train_labels, test_texts, test_labels)


@mistake("bag_of_words_baseline")
def one_class_test_refused(train_texts, train_labels, test_texts, test_labels):
    """Test labels all alike are refused. Accuracy is defined for them too; only *training* needs both labels."""
    if len(set(test_labels)) < 2:
        raise ValueError("the test labels are all the same")
    return word_score(train_texts, train_labels, test_texts, test_labels)


@mistake("bag_of_words_baseline")
def asserts_instead(train_texts, train_labels, test_texts, test_labels):
    """`assert` raises AssertionError, and python -O leaves it out. The contract asks for a ValueError."""
    assert len(train_texts) == len(train_labels)
    assert len(test_texts) == len(test_labels)
    assert len(set(train_labels)) == 2
    return word_score(train_texts, train_labels, test_texts, test_labels)


@mistake("bag_of_words_baseline")
def list_extended(train_texts, train_labels, test_texts, test_labels):
    """`train_texts += test_texts` (or extend) lengthens the caller's own list. And the vocabulary needs no test text:
    fit it on the training texts."""
    usable(train_texts, train_labels, test_texts, test_labels)
    n = len(train_texts)
    train_texts += test_texts
    words = CountVectorizer().fit(train_texts)
    probe = LogisticRegression(max_iter=1000).fit(words.transform(train_texts[:n]), train_labels)
    return float(probe.score(words.transform(test_texts), test_labels))


@alternative("bag_of_words_baseline")
def by_dictionaries(train_texts, train_labels, test_texts, test_labels):
    """Counter and DictVectorizer, another solver, and the mean of a comparison."""
    usable(train_texts, train_labels, test_texts, test_labels)

    def bags(texts):
        return [Counter(re.findall(r"[a-z]{2,}", text.lower())) for text in texts]

    words = DictVectorizer()
    probe = LogisticRegression(solver="newton-cholesky").fit(
        words.fit_transform(bags(train_texts)).toarray(), np.array(train_labels)
    )
    return (probe.predict(words.transform(bags(test_texts)).toarray()) == np.array(test_labels)).mean()


@alternative("bag_of_words_baseline")
def by_minimising(train_texts, train_labels, test_texts, test_labels):
    """The loss itself, minimised by scipy; the vocabulary is in the order in which words come."""
    if not (0 < sum(train_labels) < len(train_labels)):
        raise ValueError("both labels must occur")
    split = [re.sub(r"[^a-z]", " ", text.lower()).split() for text in train_texts]
    vocabulary = list(dict.fromkeys(word for text in split for word in text))

    def counts(texts):
        bags = [re.findall(r"\w+", text.lower()) for text in texts]
        return np.array([[bag.count(word) for word in vocabulary] for bag in bags], dtype=float)

    features, signs_of = counts(train_texts), np.where(train_labels, 1.0, -1.0)
    if len(features) != len(signs_of):
        raise ValueError("training texts and labels differ in number")

    def loss(weights):
        margins = signs_of * (features @ weights[:-1] + weights[-1])
        pull = -signs_of / (1 + np.exp(margins))
        slope = np.append(features.T @ pull + weights[:-1], pull.sum())
        return np.logaddexp(0, -margins).sum() + weights[:-1] @ weights[:-1] / 2, slope

    weights = minimize(loss, np.zeros(len(vocabulary) + 1), jac=True, method="BFGS").x
    called = (counts(test_texts) @ weights[:-1] + weights[-1] > 0).tolist()
    return sum(a == b for a, b in zip(called, test_labels, strict=True)) / len(called)


@alternative("bag_of_words_baseline")
def by_pipeline(train_texts, train_labels, test_texts, test_labels):
    """scikit-learn checks lengths and classes itself."""
    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))
    return model.fit(train_texts, train_labels).score(test_texts, test_labels)


@alternative("bag_of_words_baseline")
def by_two_classes(train_texts, train_labels, test_texts, test_labels):
    """Dense counts, labels as 0 and 1, and the more probable of two classes."""
    usable(train_texts, train_labels, test_texts, test_labels)
    words = CountVectorizer(dtype=np.float64).fit(train_texts)
    probe = LogisticRegression(max_iter=1000, tol=1e-8)
    probe.fit(words.transform(train_texts).toarray(), [int(label) for label in train_labels])
    p = probe.predict_proba(words.transform(test_texts).toarray())
    return torch.from_numpy(p.argmax(axis=1) == np.array(test_labels)).float().mean()


def equally_many(acts, topics):
    if len(acts) != len(topics):
        raise ValueError("every activation needs one topic")


def all_known(topics, means):
    if unknown := set(topics) - set(means):
        raise ValueError(f"no mean for {sorted(unknown)}")


def rows_of(topics, name):
    return torch.tensor([topic == name for topic in topics])


def topic_means(acts, topics):
    return {name: acts[rows_of(topics, name)].mean(dim=0) for name in dict.fromkeys(topics)}


def less_means(acts, topics, means):
    return acts - torch.stack([means[topic] for topic in topics])


def centred(acts, topics, means=None):
    """The right answer."""
    equally_many(acts, topics)
    if means is None:
        means = topic_means(acts, topics)
    all_known(topics, means)
    return less_means(acts, topics, means), means


def with_means_from(find):
    """An answer in which `find(acts, topics)` computes the means where none are given."""

    def answer(acts, topics, means=None):
        equally_many(acts, topics)
        return centred(acts, topics, find(acts, topics) if means is None else means)

    return answer


@mistake("center_by_topic")
def mean_of_all(acts, topics, means=None):
    """The mean of *all* activations is subtracted, whatever their topic, so that topics stay as far apart as before.
    Take the mean of each topic's own rows."""
    return with_means_from(lambda acts, topics: dict.fromkeys(topics, acts.mean(dim=0)))(acts, topics, means)


@mistake("center_by_topic")
def mean_over_features(acts, topics, means=None):
    """The mean was taken over the features of each text (dim=1). Take it over the texts of a topic: dim=0."""
    equally_many(acts, topics)
    if means is None:
        means = {name: acts[rows_of(topics, name)].mean() for name in dict.fromkeys(topics)}
    all_known(topics, means)
    return acts - acts.mean(dim=1, keepdim=True), means


@mistake("center_by_topic")
def one_number_a_topic(acts, topics, means=None):
    """The mean over texts *and* features is a single number for each topic. Take a mean for each feature: dim=0."""
    return with_means_from(
        lambda acts, topics: {
            name: acts[rows_of(topics, name)].mean().expand(acts.shape[1]) for name in set(topics)
        }
    )(acts, topics, means)


@mistake("center_by_topic")
def median_of_topic(acts, topics, means=None):
    """The *median* of each topic is subtracted. Subtract the mean."""
    return with_means_from(
        lambda acts, topics: {name: acts[rows_of(topics, name)].median(dim=0).values for name in set(topics)}
    )(acts, topics, means)


@mistake("center_by_topic")
def divided_by_all(acts, topics, means=None):
    """The sum over a topic was divided by the number of *all* texts. Divide by that of the topic's own."""
    return with_means_from(
        lambda acts, topics: {
            name: acts[rows_of(topics, name)].sum(dim=0) / len(acts) for name in set(topics)
        }
    )(acts, topics, means)


@mistake("center_by_topic")
def first_of_topic(acts, topics, means=None):
    """The first activation of each topic is subtracted, not the mean of them all."""
    return with_means_from(
        lambda acts, topics: {name: acts[rows_of(topics, name)][0] for name in set(topics)}
    )(acts, topics, means)


@mistake("center_by_topic")
def last_run_only(acts, topics, means=None):
    """itertools.groupby joins *neighbouring* rows: a topic that comes back later starts again, and its mean is that of
    the last run. Find all rows of a topic: [topic == name for topic in topics]."""

    def find(acts, topics):
        found, start = {}, 0
        for name, run in groupby(topics):
            end = start + len(list(run))
            found[name] = acts[start:end].mean(dim=0)
            start = end
        return found

    return with_means_from(find)(acts, topics, means)


@mistake("center_by_topic")
def means_of_other_topics(acts, topics, means=None):
    """The means are in one order and the names in another: sorted(set(topics)) and the order in which topics come
    differ. Compute name and mean in the same loop."""

    def find(acts, topics):
        return dict(zip(sorted(set(topics)), topic_means(acts, topics).values(), strict=True))

    return with_means_from(find)(acts, topics, means)


@mistake("center_by_topic")
def divided_by_spread(acts, topics, means=None):
    """The activations are divided by their topic's standard deviation as well. Only the mean is to go."""
    result, used = centred(acts, topics, means)
    for name in set(topics):
        rows = rows_of(topics, name)
        result[rows] /= result[rows].std(dim=0, correction=0).clamp(min=1e-8)
    return result, used


@mistake("center_by_topic")
def unit_length(acts, topics, means=None):
    """The centred activations were brought to unit length. Only the mean is to go."""
    result, used = centred(acts, topics, means)
    return torch.nn.functional.normalize(result, dim=1), used


@mistake("center_by_topic")
def mean_of_all_put_back(acts, topics, means=None):
    """The mean of all activations was added again after subtracting the topic's. Leave them around zero."""
    result, used = centred(acts, topics, means)
    return result + acts.mean(dim=0), used


@mistake("center_by_topic")
def means_added(acts, topics, means=None):
    """The means are added. Subtract them."""
    result, used = centred(acts, topics, means)
    return 2 * acts - result, used


@mistake("center_by_topic")
def grouped_by_topic(acts, topics, means=None):
    """The rows come back grouped by topic: they no longer match their labels. Write each into its own row."""
    result, used = centred(acts, topics, means)
    return torch.cat([result[rows_of(topics, name)] for name in dict.fromkeys(topics)]), used


@mistake("center_by_topic")
def means_after_centring(acts, topics, means=None):
    """The means are computed *after* centring, and are zero. Return those that were subtracted: test data need
    them."""
    result, used = centred(acts, topics, means)
    return result, topic_means(result, topics) if means is None else used


@mistake("center_by_topic")
def activations_alone(acts, topics, means=None):
    """Only the centred activations are returned. Return the means with them: (centred, means)."""
    return centred(acts, topics, means)[0]


@mistake("center_by_topic")
def means_first(acts, topics, means=None):
    """The means come first. Return (centred activations, means)."""
    return centred(acts, topics, means)[::-1]


@mistake("center_by_topic")
def means_as_tensor(acts, topics, means=None):
    """The means are one tensor, in which nobody can look a topic up. Return a dict from topic to mean."""
    result, used = centred(acts, topics, means)
    return result, torch.stack(list(used.values()))


@mistake("center_by_topic")
def mean_of_each_row(acts, topics, means=None):
    """The means are returned once a *text*, as a tensor. Return a dict from topic to mean."""
    result, used = centred(acts, topics, means)
    return result, torch.stack([used[topic] for topic in topics])


@mistake("center_by_topic")
def given_means_ignored(acts, topics, means=None):
    """The given means are ignored, and the test data centred by their own: they have seen the test. Compute means only
    where `means` is None."""
    if means is not None:
        all_known(topics, means)
    return centred(acts, topics)


@mistake("center_by_topic")
def own_means_subtracted_too(acts, topics, means=None):
    """After the given means, the test data's own are subtracted as well. Subtract the given ones, and no more."""
    result, used = centred(acts, topics, means)
    return less_means(result, topics, topic_means(result, topics)), used


@mistake("center_by_topic")
def means_updated_in_place(acts, topics, means=None):
    """means.update(…) overwrites the given means with those of the test data, in the caller's own dict. Use them as
    they are."""
    equally_many(acts, topics)
    if means is not None:
        all_known(topics, means)
    means = {} if means is None else means
    means.update(topic_means(acts, topics))
    return less_means(acts, topics, means), means


@mistake("center_by_topic")
def missing_means_computed(acts, topics, means=None):
    """A topic without a mean gets that of the test data. It has none: the contract asks for a ValueError."""
    equally_many(acts, topics)
    known = {**topic_means(acts, topics), **(means or {})}
    return less_means(acts, topics, known), known


@mistake("center_by_topic")
def missing_means_put_in(acts, topics, means=None):
    """A topic without a mean gets that of the test data, which is written into the caller's dict too (setdefault). It
    has none: the contract asks for a ValueError."""
    equally_many(acts, topics)
    means = {} if means is None else means
    for name, mean in topic_means(acts, topics).items():
        means.setdefault(name, mean)
    return less_means(acts, topics, means), means


@mistake("center_by_topic")
def unknown_not_centred(acts, topics, means=None):
    """A topic without a mean is left as it is (means.get(topic, 0)), far away from all the others. The contract asks
    for a ValueError."""
    equally_many(acts, topics)
    if means is None:
        return centred(acts, topics)
    zero = torch.zeros(acts.shape[1])
    return acts - torch.stack([means.get(topic, zero) for topic in topics]), means


@mistake("center_by_topic")
def unknown_set_to_zero(acts, topics, means=None):
    """A topic without a mean comes back as zeros: rows that no mask selects are never written. The contract asks for a
    ValueError."""
    equally_many(acts, topics)
    means = topic_means(acts, topics) if means is None else means
    result = torch.zeros_like(acts)
    for name, mean in means.items():
        result[rows_of(topics, name)] = acts[rows_of(topics, name)] - mean
    return result, means


@mistake("center_by_topic")
def unknown_rows_dropped(acts, topics, means=None):
    """Rows whose topic has no mean are left out, so that the rest no longer match their labels. The contract asks for a
    ValueError."""
    equally_many(acts, topics)
    means = topic_means(acts, topics) if means is None else means
    kept = [row for row, topic in enumerate(topics) if topic in means]
    rows = [acts[row] - means[topics[row]] for row in kept]
    return torch.stack(rows) if rows else acts[:0], means


@mistake("center_by_topic")
def unknown_by_mean_of_all(acts, topics, means=None):
    """A topic without a mean is centred by the mean of the other topics' means. That is not where it lies: the contract
    asks for a ValueError."""
    equally_many(acts, topics)
    if not means:
        return centred(acts, topics, means)
    general = torch.stack(list(means.values())).mean(dim=0)
    return acts - torch.stack([means.get(topic, general) for topic in topics]), means


@mistake("center_by_topic")
def key_error(acts, topics, means=None):
    """A topic without a mean is left to the dict, which raises KeyError. The contract asks for a ValueError."""
    equally_many(acts, topics)
    means = topic_means(acts, topics) if means is None else means
    return less_means(acts, topics, means), means


@mistake("center_by_topic")
def empty_taken_for_none(acts, topics, means=None):
    """`if not means` takes an empty dict for None, and computes means from test data. Ask `if means is None`."""
    return centred(acts, topics, means or None)


@mistake("center_by_topic")
def only_occurring_means(acts, topics, means=None):
    """Only the means of topics that occur are returned. Given means come back as they are, all of them."""
    result, used = centred(acts, topics, means)
    return result, {name: used[name] for name in dict.fromkeys(topics)}


@mistake("center_by_topic")
def all_topics_must_occur(acts, topics, means=None):
    """A mean whose topic does not occur is refused. It is merely not needed: only a topic *without* a mean is an
    error."""
    if means is not None and set(means) != set(topics):
        raise ValueError("other topics than those of the means")
    return centred(acts, topics, means)


@mistake("center_by_topic")
def rows_changed_in_place(acts, topics, means=None):
    """`acts[mask] -= mean` changes the caller's activations. Work on acts.clone(), or subtract into a new tensor."""
    result, used = centred(acts, topics, means)
    acts.copy_(result)
    return acts, used


@mistake("center_by_topic")
def longer_list_cut(acts, topics, means=None):
    """zip stops at the shorter of activations and topics, and the rest is lost in silence. Compare the lengths and
    raise ValueError."""
    n = min(len(acts), len(topics))
    return centred(acts[:n], topics[:n], means)


@mistake("center_by_topic")
def lengths_left_to_torch(acts, topics, means=None):
    """The lengths are left to torch, which raises another error, or none at all: a single row is repeated for every
    other. The contract asks for a ValueError."""
    means = topic_means(acts, topics) if means is None else means
    all_known(topics, means)
    return less_means(acts, topics, means), means


@mistake("center_by_topic")
def lengths_checked_in_training(acts, topics, means=None):
    """The lengths are compared only where means are computed. With given means, too, every activation needs its
    topic."""
    if means is None:
        return centred(acts, topics)
    n = min(len(acts), len(topics))
    return centred(acts[:n], topics[:n], means)[0], means


@mistake("center_by_topic")
def asserts_topics(acts, topics, means=None):
    """`assert` raises AssertionError, and python -O leaves it out. The contract asks for a ValueError."""
    assert len(acts) == len(topics)
    means = topic_means(acts, topics) if means is None else means
    assert set(topics) <= set(means)
    return less_means(acts, topics, means), means


@mistake("center_by_topic")
def single_text_left(acts, topics, means=None):
    """A topic with a single text is left as it is. Its mean is that text itself: it becomes zeros."""
    result, used = centred(acts, topics, means)
    if means is None:
        for row, topic in enumerate(topics):
            if topics.count(topic) == 1:
                result[row], used[topic] = acts[row], torch.zeros(acts.shape[1])
    return result, used


@mistake("center_by_topic")
def digits_lost(acts, topics, means=None):
    """The activations were converted to float32. Far from the origin float64 ones lose the digits that matter: keep
    their dtype."""
    given = None if means is None else {name: mean.float() for name, mean in means.items()}
    result, used = centred(acts.float(), topics, given)
    return result, used if means is None else means


@alternative("center_by_topic")
def by_index_add(acts, topics, means=None):
    if acts.shape[0] != len(topics):
        raise ValueError("lengths")
    names = sorted(set(topics))
    number = torch.tensor([names.index(topic) for topic in topics])
    if means is None:
        totals = torch.zeros(len(names), acts.shape[1], dtype=acts.dtype).index_add(0, number, acts)
        means = dict(zip(names, totals / torch.bincount(number).unsqueeze(1), strict=True))
    if not set(names) <= means.keys():
        raise ValueError("a topic without a mean")
    return acts - torch.stack([means[name] for name in names])[number], means


@alternative("center_by_topic")
def by_masks(acts, topics, means=None):
    if len(topics) != len(acts):
        raise ValueError("lengths")
    mine = {} if means is None else means
    result = acts.clone()
    for name in set(topics):
        rows = [row for row, topic in enumerate(topics) if topic == name]
        if means is None:
            mine[name] = acts[rows].double().mean(dim=0).to(acts.dtype)
        elif name not in means:
            raise ValueError(name)
        result[rows] -= mine[name]
    return result, mine


@alternative("center_by_topic")
def by_averaging_matrix(acts, topics, means=None):
    """Row i of the matrix averages over the texts of i's topic; a dict that fails becomes a ValueError."""
    if len(acts) != len(topics):
        raise ValueError("lengths")
    if means is None:
        _, number = np.unique(np.array(topics), return_inverse=True)
        same = torch.from_numpy(number[:, None] == number[None, :]).double()
        averages = (same / same.sum(dim=1, keepdim=True)) @ acts.double()
        return acts - averages.to(acts.dtype), dict(zip(topics, averages, strict=True))
    try:
        return torch.stack([row - means[topic] for row, topic in zip(acts, topics, strict=True)]), dict(means)
    except KeyError as error:
        raise ValueError("a topic without a mean") from error


def same_width(train_sets, test_sets):
    if len({acts.shape[1] for acts, _ in [*train_sets, *test_sets]}) > 1:
        raise ValueError("activations of different width")


def fit_all(fit, sets):
    return [fit(acts, labels) for acts, labels in sets]


def log_odds_of(probe, acts):
    return acts @ probe[0] + probe[1]


def share_right(probe, acts, labels):
    return ((log_odds_of(probe, acts) > 0) == labels).double().mean()


def matrix_of(probes, test_sets, score=share_right):
    return torch.tensor([[float(score(probe, *test)) for test in test_sets] for probe in probes])


def scored_by(score):
    """An answer that is right but for how a probe is scored on a test set."""

    def answer(fit, train_sets, test_sets):
        same_width(train_sets, test_sets)
        return matrix_of(fit_all(fit, train_sets), test_sets, score)

    return answer


@mistake("transfer_matrix")
def test_sets_as_rows(fit, train_sets, test_sets):
    """The matrix is transposed. A row is a training set, a column a test set."""
    same_width(train_sets, test_sets)
    return matrix_of(fit_all(fit, train_sets), test_sets).T


@mistake("transfer_matrix")
def fitted_on_test_sets(fit, train_sets, test_sets):
    """The probes are fitted on the *test* sets and asked about the training sets. Swap the two."""
    same_width(train_sets, test_sets)
    return matrix_of(fit_all(fit, test_sets), train_sets).T


@mistake("transfer_matrix")
def fitted_where_asked(fit, train_sets, test_sets):
    """For every test set a probe is fitted on that test set itself. Ask the probe of the training set."""
    same_width(train_sets, test_sets)
    row = [float(share_right(fit(*test), *test)) for test in test_sets]
    return torch.tensor([row for _ in train_sets])


@mistake("transfer_matrix")
def asked_about_training_sets(fit, train_sets, test_sets):
    """The probes are asked about the *training* sets. Ask them about the test sets."""
    same_width(train_sets, test_sets)
    return matrix_of(fit_all(fit, train_sets), train_sets)


@mistake("transfer_matrix")
def one_probe_for_all(fit, train_sets, test_sets):
    """All training sets were put together, and a single probe fitted. Fit one on each: what carries over from *one*
    subject is the question."""
    same_width(train_sets, test_sets)
    probe = fit(torch.cat([acts for acts, _ in train_sets]), torch.cat([labels for _, labels in train_sets]))
    return matrix_of([probe] * len(train_sets), test_sets)


@mistake("transfer_matrix")
def all_sets_but_one(fit, train_sets, test_sets):
    """Each probe is fitted on all training sets *but* its own. Fit it on that one alone."""
    same_width(train_sets, test_sets)
    probes = []
    for left_out in range(len(train_sets)):
        rest = [pair for number, pair in enumerate(train_sets) if number != left_out] or train_sets
        probes.append(fit(torch.cat([acts for acts, _ in rest]), torch.cat([labels for _, labels in rest])))
    return matrix_of(probes, test_sets)


@mistake("transfer_matrix")
def last_probe_everywhere(fit, train_sets, test_sets):
    """Every row is that of the *last* probe: a first loop fits, and its variable keeps the last. Ask each probe before
    the next is fitted, or keep them in a list."""
    same_width(train_sets, test_sets)
    return matrix_of([fit_all(fit, train_sets)[-1]] * len(train_sets), test_sets)


@mistake("transfer_matrix")
def same_subject_only(fit, train_sets, test_sets):
    """Each probe is asked about the test set of the same number only (zip): one list of scores. Ask it about all test
    sets: two loops."""
    same_width(train_sets, test_sets)
    probes = fit_all(fit, train_sets)
    return torch.tensor(
        [float(share_right(probe, *test)) for probe, test in zip(probes, test_sets, strict=False)]
    )


@mistake("transfer_matrix")
def diagonal_filled(fit, train_sets, test_sets):
    """Where training and test set have the same number 1 is put in. Score these pairs like any other."""
    same_width(train_sets, test_sets)
    return matrix_of(fit_all(fit, train_sets), test_sets).fill_diagonal_(1.0)


@mistake("transfer_matrix")
def diagonal_empty(fit, train_sets, test_sets):
    """Where training and test set have the same number the matrix says 0, or NaN. Score these pairs like any other."""
    same_width(train_sets, test_sets)
    return matrix_of(fit_all(fit, train_sets), test_sets).fill_diagonal_(0.0)


@mistake("transfer_matrix")
def mean_of_each_row_only(fit, train_sets, test_sets):
    """The scores of a probe were averaged over test sets. Return them all, a column a test set."""
    same_width(train_sets, test_sets)
    return matrix_of(fit_all(fit, train_sets), test_sets).mean(dim=1)


@mistake("transfer_matrix")
def flat(fit, train_sets, test_sets):
    """The scores are in one long row. Return a matrix of shape (train, test): stack the rows."""
    same_width(train_sets, test_sets)
    return matrix_of(fit_all(fit, train_sets), test_sets).flatten()


@mistake("transfer_matrix")
def squeezed(fit, train_sets, test_sets):
    """squeeze() also takes away a dimension that is a single training or test set. Keep both."""
    same_width(train_sets, test_sets)
    return matrix_of(fit_all(fit, train_sets), test_sets).squeeze()


@mistake("transfer_matrix")
def nested_lists(fit, train_sets, test_sets):
    """These are lists of lists. Return a tensor: torch.tensor(rows)."""
    same_width(train_sets, test_sets)
    return matrix_of(fit_all(fit, train_sets), test_sets).tolist()


@mistake("transfer_matrix")
def intercept_dropped(fit, train_sets, test_sets):
    """The intercept is not used. Without it every boundary passes through the origin: acts @ coef + intercept > 0."""
    return scored_by(lambda probe, acts, labels: ((acts @ probe[0] > 0) == labels).double().mean())(
        fit, train_sets, test_sets
    )


@mistake("transfer_matrix")
def intercept_subtracted(fit, train_sets, test_sets):
    """The intercept is subtracted. Add it: acts @ coef + intercept > 0."""
    return scored_by(
        lambda probe, acts, labels: ((acts @ probe[0] - probe[1] > 0) == labels).double().mean()
    )(fit, train_sets, test_sets)


@mistake("transfer_matrix")
def zero_called_true(fit, train_sets, test_sets):
    """A score of exactly 0 is called true (>= 0). Only a positive one is: > 0."""
    return scored_by(lambda probe, acts, labels: ((log_odds_of(probe, acts) >= 0) == labels).double().mean())(
        fit, train_sets, test_sets
    )


@mistake("transfer_matrix")
def boundary_at_half(fit, train_sets, test_sets):
    """Scores are compared with 0.5, as if they were probabilities. They are log-odds: compare with 0."""
    return scored_by(
        lambda probe, acts, labels: ((log_odds_of(probe, acts) > 0.5) == labels).double().mean()
    )(fit, train_sets, test_sets)


@mistake("transfer_matrix")
def boundary_at_median(fit, train_sets, test_sets):
    """Each test set's scores are compared with their own median. The probe has its boundary, at 0: that it may lie
    elsewhere on another subject is part of the answer."""

    def score(probe, acts, labels):
        scores = log_odds_of(probe, acts)
        return ((scores > scores.median()) == labels).double().mean()

    return scored_by(score)(fit, train_sets, test_sets)


@mistake("transfer_matrix")
def test_sets_centred(fit, train_sets, test_sets):
    """Each test set is centred by its own mean before the probe is asked. Ask it about the activations as they are."""
    return scored_by(lambda probe, acts, labels: share_right(probe, acts - acts.mean(dim=0), labels))(
        fit, train_sets, test_sets
    )


@mistake("transfer_matrix")
def unit_coef(fit, train_sets, test_sets):
    """`coef` was brought to unit length, but the intercept left as it was: the boundary moves. Use both as they are."""
    return scored_by(
        lambda probe, acts, labels: share_right(
            (probe[0] / (probe[0].norm() + 1e-12), probe[1]), acts, labels
        )
    )(fit, train_sets, test_sets)


@mistake("transfer_matrix")
def shares_wrong(fit, train_sets, test_sets):
    """These are error rates. Accuracy is the share of right answers: compare with ==."""
    return scored_by(lambda probe, acts, labels: 1 - share_right(probe, acts, labels))(
        fit, train_sets, test_sets
    )


@mistake("transfer_matrix")
def numbers_right(fit, train_sets, test_sets):
    """These are *numbers* of right answers. Divide by the number of texts in the test set: mean, not sum."""
    return scored_by(lambda probe, acts, labels: share_right(probe, acts, labels) * len(labels))(
        fit, train_sets, test_sets
    )


@mistake("transfer_matrix")
def divided_by_training_size(fit, train_sets, test_sets):
    """The right answers are divided by the number of *training* texts. Divide by that of the test set."""
    same_width(train_sets, test_sets)
    sizes = torch.tensor([[len(test[1]) / len(train[1]) for test in test_sets] for train in train_sets])
    return matrix_of(fit_all(fit, train_sets), test_sets) * sizes


@mistake("transfer_matrix")
def scores_in_percent(fit, train_sets, test_sets):
    """These are per cent. Return shares, from 0 to 1."""
    return scored_by(lambda probe, acts, labels: 100 * share_right(probe, acts, labels))(
        fit, train_sets, test_sets
    )


@mistake("transfer_matrix")
def shares_called_true(fit, train_sets, test_sets):
    """These are the shares of texts that a probe calls true. Compare its answers with the labels."""
    return scored_by(lambda probe, acts, labels: (log_odds_of(probe, acts) > 0).double().mean())(
        fit, train_sets, test_sets
    )


@mistake("transfer_matrix")
def better_than_half(fit, train_sets, test_sets):
    """Scores below ½ were turned over. That a probe reads another subject the wrong way round is a finding: leave them
    as they are."""
    same_width(train_sets, test_sets)
    matrix = matrix_of(fit_all(fit, train_sets), test_sets)
    return torch.maximum(matrix, 1 - matrix)


@mistake("transfer_matrix")
def classes_balanced(fit, train_sets, test_sets):
    """This is the mean of the two classes' own accuracies, which has no value where a test set holds only one. Count
    every text once."""

    def score(probe, acts, labels):
        right = (log_odds_of(probe, acts) > 0) == labels
        return (right[labels].double().mean() + right[~labels].double().mean()) / 2

    return scored_by(score)(fit, train_sets, test_sets)


@mistake("transfer_matrix")
def one_label_refused(fit, train_sets, test_sets):
    """A test set with a single label is refused. Accuracy is defined for it too."""
    same_width(train_sets, test_sets)
    if any(bool(labels.all()) or not bool(labels.any()) for _, labels in test_sets):
        raise ValueError("both labels must occur")
    return matrix_of(fit_all(fit, train_sets), test_sets)


@mistake("transfer_matrix")
def rounded_scores(fit, train_sets, test_sets):
    """Activations and coef are converted to float32, in which far from the origin the digits that matter are lost.
    Keep their dtype."""
    return scored_by(
        lambda probe, acts, labels: share_right((probe[0].float(), probe[1]), acts.float(), labels)
    )(fit, train_sets, test_sets)


@mistake("transfer_matrix")
def refitted_for_every_cell(fit, train_sets, test_sets):
    """`fit` is called for every cell of the matrix. Call it once a training set, before the inner loop: fits are what
    takes the time."""
    same_width(train_sets, test_sets)
    return torch.tensor(
        [[float(share_right(fit(*train), *test)) for test in test_sets] for train in train_sets]
    )


@mistake("transfer_matrix")
def widths_left_to_torch(fit, train_sets, test_sets):
    """Different widths are left to torch, whose matrix product raises RuntimeError. The contract asks for a
    ValueError: compare acts.shape[1]."""
    return matrix_of(fit_all(fit, train_sets), test_sets)


@mistake("transfer_matrix")
def widths_broadcast(fit, train_sets, test_sets):
    """(acts * coef).sum(dim=1) repeats a single feature as often as the other side has some, instead of failing.
    Compare the widths, acts.shape[1], and raise ValueError."""

    def score(probe, acts, labels):
        if acts.shape[1] != len(probe[0]) and 1 not in (acts.shape[1], len(probe[0])):
            raise ValueError("widths")
        return (((acts * probe[0]).sum(dim=1) + probe[1] > 0) == labels).double().mean()

    return matrix_of(fit_all(fit, train_sets), test_sets, score)


@mistake("transfer_matrix")
def first_widths_compared(fit, train_sets, test_sets):
    """Only the first training and the first test set are compared in width; the others are left to torch, which raises
    RuntimeError. Compare them all."""
    same_width(train_sets[:1], test_sets[:1])
    return matrix_of(fit_all(fit, train_sets), test_sets)


@mistake("transfer_matrix")
def narrower_cut(fit, train_sets, test_sets):
    """Where widths differ both sides are cut to the narrower, in silence: these features are not the same. The contract
    asks for a ValueError."""

    def score(probe, acts, labels):
        width = min(acts.shape[1], len(probe[0]))
        return share_right((probe[0][:width], probe[1]), acts[:, :width], labels)

    return matrix_of(fit_all(fit, train_sets), test_sets, score)


@mistake("transfer_matrix")
def asserts_widths(fit, train_sets, test_sets):
    """`assert` raises AssertionError, and python -O leaves it out. The contract asks for a ValueError."""
    assert len({acts.shape[1] for acts, _ in [*train_sets, *test_sets]}) == 1
    return matrix_of(fit_all(fit, train_sets), test_sets)


@mistake("transfer_matrix")
def sets_changed_in_place(fit, train_sets, test_sets):
    """The caller's test sets are changed: `acts *= coef` writes into them. Multiply into a new tensor."""
    same_width(train_sets, test_sets)
    matrix = matrix_of(fit_all(fit, train_sets), test_sets)
    for acts, _ in test_sets:
        acts *= 0
    return matrix


@mistake("transfer_matrix")
def sets_popped(fit, train_sets, test_sets):
    """The caller's lists are emptied: pop() takes the sets out. Loop over them."""
    same_width(train_sets, test_sets)
    rows = []
    while train_sets:
        rows.append(matrix_of([fit(*train_sets.pop(0))], test_sets))
    return torch.cat(rows)


@recogniser("transfer_matrix")
def recognise_transfer(calls):
    """Whether a fit that counts its calls was called more often than there are training sets."""
    for args, kwargs, _ in calls:
        fit, train_sets = [*args, *(kwargs[name] for name in ("fit", "train_sets")[len(args) :])][:2]
        if len(getattr(fit, "acts", ())) > len(train_sets):
            return "refitted_for_every_cell"
    return None


@alternative("transfer_matrix")
def by_stacked_probes(fit, train_sets, test_sets):
    """All probes side by side: one product a test set."""
    if any(test.shape[1] != train.shape[1] for train, _ in train_sets for test, _ in test_sets):
        raise ValueError("widths")
    coefs, intercepts = zip(*(fit(acts, labels) for acts, labels in train_sets), strict=True)
    weight = torch.stack(coefs, dim=1)
    bias = torch.tensor(intercepts, dtype=weight.dtype)
    columns = [
        ((acts @ weight + bias > 0) == labels[:, None]).float().mean(dim=0) for acts, labels in test_sets
    ]
    return torch.stack(columns, dim=1)


@alternative("transfer_matrix")
def by_filling_in(fit, train_sets, test_sets):
    """A matrix that is filled in, training sets in reverse."""
    result = torch.full((len(train_sets), len(test_sets)), float("nan"), dtype=torch.float64)
    for i in reversed(range(len(train_sets))):
        coef, intercept = fit(acts=train_sets[i][0], labels=train_sets[i][1])
        for j, (acts, labels) in enumerate(test_sets):
            if acts.size(1) != coef.numel():
                raise ValueError("widths")
            called = torch.mv(acts, coef).gt(-intercept)
            result[i, j] = 1 - (called ^ labels).sum() / len(labels)
    return result


@alternative("transfer_matrix")
def by_numpy_loops(fit, train_sets, test_sets):
    rows = []
    for acts, labels in train_sets:
        coef, intercept = fit(acts, labels)
        row = []
        for fresh, truth in test_sets:
            try:
                scores = fresh.numpy().astype(np.float64) @ coef.numpy().astype(np.float64) + intercept
            except ValueError as error:
                raise ValueError("widths") from error
            row.append(np.count_nonzero((scores > 0) == truth.numpy()) / truth.numel())
        rows.append(row)
    return torch.from_numpy(np.array(rows, dtype=np.float32))


def equal_lengths(acts, labels, polarities):
    if not len(acts) == len(labels) == len(polarities):
        raise ValueError("lengths")


def only_plus_minus_one(polarities):
    if not bool((polarities.abs() == 1).all()):
        raise ValueError("polarities must be +1 or -1")


def told_apart(labels, polarities):
    for mask in (labels, polarities > 0):
        if bool(mask.all()) or not bool(mask.any()):
            raise ValueError("both labels and both polarities must occur")


def sound(acts, labels, polarities):
    equal_lengths(acts, labels, polarities)
    only_plus_minus_one(polarities)
    told_apart(labels, polarities)


def signs(labels, polarities):
    """Truth and truth times polarity, in double precision."""
    truth = torch.where(labels, 1.0, -1.0).double()
    return truth, truth * polarities


def least_squares(columns, targets):
    """A row for each column, by least squares."""
    return torch.linalg.lstsq(torch.stack(columns, dim=1), targets).solution.float()


def from_mean(acts):
    return acts.double() - acts.double().mean(dim=0)


def both_directions(acts, labels, polarities):
    """The right answer, for sound arguments."""
    general, polarity = least_squares(list(signs(labels, polarities)), from_mean(acts))
    return general, polarity


@mistake("truth_and_polarity")
def polarity_column(acts, labels, polarities):
    """The second column is polarity alone: it asks what negation looks like. Multiply it by truth, ±1, so that the
    direction turns truth around in negated statements."""
    sound(acts, labels, polarities)
    truth, _ = signs(labels, polarities)
    general, polarity = least_squares([truth, polarities.double()], from_mean(acts))
    return general, polarity


@mistake("truth_and_polarity")
def three_columns(acts, labels, polarities):
    """Polarity alone has a column of its own, beside truth and their product. The model has two: leave it out."""
    sound(acts, labels, polarities)
    columns = [*signs(labels, polarities), polarities.double()]
    general, polarity, _ = least_squares(columns, from_mean(acts))
    return general, polarity


@mistake("truth_and_polarity")
def with_intercept(acts, labels, polarities):
    """An intercept is fitted too (a column of ones). Subtract the mean of all activations, and fit without one: where
    the labels are unbalanced the two differ."""
    sound(acts, labels, polarities)
    columns = [*signs(labels, polarities), torch.ones(len(acts)).double()]
    general, polarity, _ = least_squares(columns, acts.double())
    return general, polarity


@mistake("truth_and_polarity")
def not_centred(acts, labels, polarities):
    """The mean of the activations is not subtracted. Without an intercept it then leaks into both directions: centre
    first."""
    sound(acts, labels, polarities)
    general, polarity = least_squares(list(signs(labels, polarities)), acts.double())
    return general, polarity


@mistake("truth_and_polarity")
def centred_by_one_number(acts, labels, polarities):
    """One number was subtracted, the mean over texts *and* features. Subtract each feature's own: mean(dim=0)."""
    sound(acts, labels, polarities)
    general, polarity = least_squares(list(signs(labels, polarities)), acts.double() - acts.double().mean())
    return general, polarity


@mistake("truth_and_polarity")
def centred_by_text(acts, labels, polarities):
    """From each text the mean of its own features was subtracted (dim=1). Subtract the mean over texts: dim=0."""
    sound(acts, labels, polarities)
    targets = acts.double() - acts.double().mean(dim=1, keepdim=True)
    general, polarity = least_squares(list(signs(labels, polarities)), targets)
    return general, polarity


@mistake("truth_and_polarity")
def centred_by_polarity(acts, labels, polarities):
    """Affirmative and negated statements were centred separately, each by their own mean. Subtract one mean, that of
    all activations."""
    sound(acts, labels, polarities)
    targets = acts.double().clone()
    for rows in (polarities == 1, polarities == -1):
        targets[rows] -= targets[rows].mean(dim=0)
    general, polarity = least_squares(list(signs(labels, polarities)), targets)
    return general, polarity


@mistake("truth_and_polarity")
def centred_by_class_means(acts, labels, polarities):
    """The midpoint of the true and the false statements' means was subtracted. Subtract the mean of all activations,
    as it is."""
    sound(acts, labels, polarities)
    middle = (acts[labels].double().mean(dim=0) + acts[~labels].double().mean(dim=0)) / 2
    general, polarity = least_squares(list(signs(labels, polarities)), acts.double() - middle)
    return general, polarity


@mistake("truth_and_polarity")
def columns_centred(acts, labels, polarities):
    """The columns of the design were centred as well, which is the same as an intercept. Leave them ±1."""
    sound(acts, labels, polarities)
    truth, product = signs(labels, polarities)
    general, polarity = least_squares([truth - truth.mean(), product], from_mean(acts))
    return general, polarity


@mistake("truth_and_polarity")
def standardised(acts, labels, polarities):
    """Each feature was divided by its standard deviation. Only the mean is to go: a direction is in the activations'
    own units."""
    sound(acts, labels, polarities)
    scale = acts.double().std(dim=0)
    general, polarity = least_squares(list(signs(labels, polarities)), from_mean(acts) / scale)
    return general, polarity


@mistake("truth_and_polarity")
def truth_is_0_or_1(acts, labels, polarities):
    """Truth is 0 or 1 here, so that false statements say nothing. Make it ±1: 2 * labels − 1."""
    sound(acts, labels, polarities)
    truth = labels.double()
    general, polarity = least_squares([truth, truth * polarities], from_mean(acts))
    return general, polarity


@mistake("truth_and_polarity")
def false_is_plus(acts, labels, polarities):
    """True counts as −1 and false as +1: both directions point the wrong way. A true statement is +1."""
    sound(acts, labels, polarities)
    general, polarity = both_directions(acts, ~labels, polarities)
    return general, polarity


@mistake("truth_and_polarity")
def negated_is_plus(acts, labels, polarities):
    """t_polarity points the wrong way. Use polarities as they are: +1 is affirmative."""
    sound(acts, labels, polarities)
    return both_directions(acts, labels, -polarities)


@mistake("truth_and_polarity")
def outputs_swapped(acts, labels, polarities):
    """The two are swapped. Return t_general first, then t_polarity: the order of the design's columns."""
    sound(acts, labels, polarities)
    return both_directions(acts, labels, polarities)[::-1]


@mistake("truth_and_polarity")
def unit_normed(acts, labels, polarities):
    """The directions were brought to unit length. Return the least-squares solution as it is: its length says how
    far apart the statements lie."""
    sound(acts, labels, polarities)
    general, polarity = both_directions(acts, labels, polarities)
    return general / general.norm(), polarity / polarity.norm()


@mistake("truth_and_polarity")
def one_tensor(acts, labels, polarities):
    """The two directions are the rows of one tensor. Return them as a pair: (t_general, t_polarity)."""
    sound(acts, labels, polarities)
    return torch.stack(both_directions(acts, labels, polarities))


@mistake("truth_and_polarity")
def one_fit_a_polarity(acts, labels, polarities):
    """A truth direction was fitted to the affirmative and one to the negated statements. Fit both columns at once, over
    all statements."""
    sound(acts, labels, polarities)
    truth, _ = signs(labels, polarities)
    fits = [
        least_squares([truth[rows]], from_mean(acts)[rows])[0] for rows in (polarities == 1, polarities == -1)
    ]
    return fits[0], fits[1]


@mistake("truth_and_polarity")
def differences_of_means(acts, labels, polarities):
    """These are half the differences of means, between true and false, and between truth times polarity +1 and −1.
    They are least squares only where all four kinds are equally many: use lstsq."""
    sound(acts, labels, polarities)
    data, product = acts.double(), labels == (polarities > 0)
    general = (data[labels].mean(dim=0) - data[~labels].mean(dim=0)) / 2
    if bool(product.all()) or not bool(product.any()):
        return general.float(), torch.full_like(general, float("nan")).float()
    return general.float(), ((data[product].mean(dim=0) - data[~product].mean(dim=0)) / 2).float()


@mistake("truth_and_polarity")
def whole_differences(acts, labels, polarities):
    """Both directions are twice as long: the whole difference between true and false, of which each lies *half* away
    from the mean."""
    sound(acts, labels, polarities)
    general, polarity = both_directions(acts, labels, polarities)
    return 2 * general, 2 * polarity


@mistake("truth_and_polarity")
def means_of_four_kinds(acts, labels, polarities):
    """The four kinds of statement were averaged first and count the same, however many texts each has. Least squares
    goes over all statements."""
    sound(acts, labels, polarities)
    general, polarity = 0, 0
    for label in (True, False):
        for sign in (1, -1):
            mean = acts[(labels == label) & (polarities == sign)].double().mean(dim=0)
            truth = 1 if label else -1
            general, polarity = general + truth * mean / 4, polarity + truth * sign * mean / 4
    return general.float(), polarity.float()


@mistake("truth_and_polarity")
def one_column_at_a_time(acts, labels, polarities):
    """Each direction was fitted alone (columnᵀ acts / n), which is right only where the columns are orthogonal. Give
    lstsq both columns together."""
    sound(acts, labels, polarities)
    truth, product = signs(labels, polarities)
    return least_squares([truth], from_mean(acts))[0], least_squares([product], from_mean(acts))[0]


@mistake("truth_and_polarity")
def one_after_the_other(acts, labels, polarities):
    """t_general was fitted first, alone, and t_polarity to what is left. What the columns share then goes to the first:
    give lstsq both together."""
    sound(acts, labels, polarities)
    truth, product = signs(labels, polarities)
    general = least_squares([truth], from_mean(acts))[0]
    rest = from_mean(acts) - truth[:, None] * general.double()
    return general, least_squares([product], rest)[0]


@mistake("truth_and_polarity")
def not_divided(acts, labels, polarities):
    """This is designᵀ @ acts, which grows with the number of statements. Least squares also multiplies by the inverse
    of designᵀ @ design."""
    sound(acts, labels, polarities)
    truth, product = signs(labels, polarities)
    return (truth @ from_mean(acts)).float(), (product @ from_mean(acts)).float()


@mistake("truth_and_polarity")
def penalised(acts, labels, polarities):
    """A penalty makes both directions shorter (ridge). Use plain least squares."""
    sound(acts, labels, polarities)
    design = torch.stack(signs(labels, polarities), dim=1)
    gram = design.T @ design + torch.eye(2).double()
    general, polarity = torch.linalg.solve(gram, design.T @ from_mean(acts)).float()
    return general, polarity


@mistake("truth_and_polarity")
def made_orthogonal(acts, labels, polarities):
    """t_polarity was made orthogonal to t_general. Nothing says that they are: return the least-squares solution."""
    sound(acts, labels, polarities)
    general, polarity = both_directions(acts, labels, polarities)
    return general, polarity - (polarity @ general) / (general @ general) * general


@mistake("truth_and_polarity")
def design_of_float32(acts, labels, polarities):
    """The design is float32 whatever the activations are, and lstsq refuses two dtypes. Convert it: .to(acts.dtype)."""
    sound(acts, labels, polarities)
    truth = torch.where(labels, 1.0, -1.0)
    design = torch.stack([truth, truth * polarities], dim=1)
    general, polarity = torch.linalg.lstsq(design, acts - acts.mean(dim=0)).solution
    return general, polarity


@mistake("truth_and_polarity")
def mean_subtracted_in_place(acts, labels, polarities):
    """`acts -= …` changes the caller's activations. Write centred = acts − acts.mean(dim=0)."""
    sound(acts, labels, polarities)
    found = both_directions(acts, labels, polarities)
    acts -= acts.mean(dim=0)
    return found


@mistake("truth_and_polarity")
def polarities_multiplied_in_place(acts, labels, polarities):
    """`polarities *= truth` changes the caller's polarities. Multiply into a new tensor."""
    sound(acts, labels, polarities)
    found = both_directions(acts, labels, polarities)
    polarities *= torch.where(labels, 1, -1).to(polarities.dtype)
    return found


@mistake("truth_and_polarity")
def single_polarity_accepted(acts, labels, polarities):
    """With one polarity alone the two columns are the same, or opposite, and what is returned is one of many solutions.
    The contract asks for a ValueError."""
    equal_lengths(acts, labels, polarities)
    only_plus_minus_one(polarities)
    told_apart(labels, torch.tensor([1, -1]))
    design = torch.stack(signs(labels, polarities), dim=1)
    general, polarity = (torch.linalg.pinv(design) @ from_mean(acts)).float()
    return general, polarity


@mistake("truth_and_polarity")
def single_label_accepted(acts, labels, polarities):
    """With one label alone the design still has rank 2, but truth is a constant, of which centring leaves nothing. The
    contract asks for a ValueError where only true or only false statements occur."""
    equal_lengths(acts, labels, polarities)
    only_plus_minus_one(polarities)
    told_apart(torch.tensor([True, False]), polarities)
    return both_directions(acts, labels, polarities)


@mistake("truth_and_polarity")
def nothing_told_apart(acts, labels, polarities):
    """Statements of a single polarity, or a single label, are accepted: truth and truth × polarity cannot be told apart
    there. The contract asks for a ValueError."""
    equal_lengths(acts, labels, polarities)
    only_plus_minus_one(polarities)
    design = torch.stack(signs(labels, polarities), dim=1)
    general, polarity = (torch.linalg.pinv(design) @ from_mean(acts)).float()
    return general, polarity


@mistake("truth_and_polarity")
def all_four_kinds_demanded(acts, labels, polarities):
    """A ValueError is raised as soon as one of the four kinds of statement is missing. Three are enough, even two, as
    long as both labels and both polarities occur."""
    sound(acts, labels, polarities)
    if len(set(zip(labels.tolist(), polarities.tolist(), strict=True))) < 4:
        raise ValueError("all four kinds must occur")
    return both_directions(acts, labels, polarities)


@mistake("truth_and_polarity")
def other_polarities_accepted(acts, labels, polarities):
    """Polarities of 0 or 2 are accepted, and weigh statements by a number that means nothing. The contract asks for a
    ValueError."""
    equal_lengths(acts, labels, polarities)
    told_apart(labels, polarities)
    return both_directions(acts, labels, polarities)


@mistake("truth_and_polarity")
def sign_of_polarity(acts, labels, polarities):
    """Whatever is above 0 counts as +1, everything else as −1, so that 0 and 2 pass in silence. The contract asks for a
    ValueError."""
    equal_lengths(acts, labels, polarities)
    told_apart(labels, polarities)
    return both_directions(acts, labels, torch.where(polarities > 0, 1, -1))


@mistake("truth_and_polarity")
def large_polarities_only(acts, labels, polarities):
    """Only polarities beyond ±1 are refused, and 0 passes: 0/1 codes are what people try first. Ask that
    polarities.abs() == 1."""
    equal_lengths(acts, labels, polarities)
    if bool((polarities.abs() > 1).any()):
        raise ValueError("polarities must be +1 or -1")
    told_apart(labels, polarities)
    return both_directions(acts, labels, polarities)


@mistake("truth_and_polarity")
def lengths_not_compared(acts, labels, polarities):
    """Different lengths are left to torch, which raises RuntimeError. The contract asks for a ValueError: compare
    them first."""
    only_plus_minus_one(polarities)
    told_apart(labels, polarities)
    return both_directions(acts, labels, polarities)


@mistake("truth_and_polarity")
def labels_and_polarities_cut(acts, labels, polarities):
    """Everything is cut to the shortest of the three, in silence. The contract asks for a ValueError: compare the
    lengths."""
    n = min(len(acts), len(labels), len(polarities))
    acts, labels, polarities = acts[:n], labels[:n], polarities[:n]
    sound(acts, labels, polarities)
    return both_directions(acts, labels, polarities)


@mistake("truth_and_polarity")
def polarities_not_counted(acts, labels, polarities):
    """The number of activations is compared with that of labels only. Polarities must be equally many."""
    if len(acts) != len(labels):
        raise ValueError("lengths")
    only_plus_minus_one(polarities)
    told_apart(labels, polarities)
    return both_directions(acts, labels, polarities)


@mistake("truth_and_polarity")
def asserts_soundness(acts, labels, polarities):
    """`assert` raises AssertionError, and python -O leaves it out. The contract asks for a ValueError."""
    try:
        sound(acts, labels, polarities)
    except ValueError as error:
        raise AssertionError from error
    return both_directions(acts, labels, polarities)


@alternative("truth_and_polarity")
def by_two_equations(acts, labels, polarities):
    """The normal equations, solved by hand. truth² and (truth × polarity)² are 1; their product is the polarity."""
    sound(acts, labels, polarities)
    n, overlap = len(acts), int(polarities.sum())
    centred_acts = acts - acts.mean(dim=0)
    truth = labels.to(acts.dtype) * 2 - 1
    a, b = truth @ centred_acts, (truth * polarities) @ centred_acts
    return (n * a - overlap * b) / (n**2 - overlap**2), (n * b - overlap * a) / (n**2 - overlap**2)


@alternative("truth_and_polarity")
def by_linear_regression(acts, labels, polarities):
    """scikit-learn, on tables of numbers."""
    if not (acts.shape[0] == labels.shape[0] == polarities.shape[0]):
        raise ValueError("lengths")
    if set(polarities.tolist()) != {1, -1} or set(labels.tolist()) != {True, False}:
        raise ValueError("both labels, both polarities, and no others")
    truth = np.where(labels, 1, -1)
    data = acts.numpy()
    model = LinearRegression(fit_intercept=False)
    model.fit(np.column_stack([truth, truth * polarities.numpy()]), data - data.mean(axis=0))
    return tuple(torch.from_numpy(model.coef_.T.copy()))


@alternative("truth_and_polarity")
def by_sum_and_difference(acts, labels, polarities):
    """General plus polarity is what truth does to affirmative statements, general minus polarity what it does to
    negated ones: two fits of one column each, to activations centred once."""
    if len({len(acts), len(labels), len(polarities)}) > 1:
        raise ValueError("lengths")
    affirmative, negated = polarities == 1, polarities == -1
    if not bool((affirmative | negated).all()):
        raise ValueError("polarities")
    if not (affirmative.any() and negated.any() and labels.any() and (~labels).any()):
        raise ValueError("both of both")
    signed = torch.where(labels.unsqueeze(1), 1, -1) * (acts - acts.mean(0, keepdim=True))
    plus, minus = signed[affirmative].mean(0), signed[negated].mean(0)
    return [(plus + minus) / 2, (plus - minus) / 2]


@alternative("truth_and_polarity")
def by_pseudoinverse(acts, labels, polarities):
    """In the activations' own precision."""
    equal_lengths(acts, labels, polarities)
    only_plus_minus_one(polarities)
    truth = torch.where(labels, 1, -1).to(acts)
    design = torch.stack([truth, truth * polarities.to(acts)], dim=1)
    if torch.linalg.matrix_rank(design) < 2 or abs(int(truth.sum())) == len(truth):
        raise ValueError("cannot be told apart")
    weights = torch.linalg.pinv(design)
    # Centring the activations or the weights of the texts comes to the same.
    directions = (weights - weights.mean(dim=1, keepdim=True)) @ (acts - acts[0])
    return directions[0], directions[1]
