# %% [markdown]
# # The geometry of truth
#
# **Does a language model represent whether a statement is true, or only whether its words go together?**

# %%
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from utils.course import open_lesson

check, use_reference = open_lesson("ch3_truth_and_deception/part1_geometry_of_truth")

# %% [markdown]
# ## Exercise · `bag_of_words_baseline`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# The floor for anything that reads text: what do the words alone say? Count the words of each text (scikit-learn's
# `CountVectorizer()`), fit `LogisticRegression(max_iter=1000)` on the training texts, and return its accuracy on the
# test texts. The vocabulary comes from the training texts alone. Lists of different length, or training labels of
# only one class: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `fit_transform` on the training texts, `transform` on the test texts.
#
# </details>


# %%
def bag_of_words_baseline(
    train_texts: list[str], train_labels: list[bool], test_texts: list[str], test_labels: list[bool]
) -> float:
    """Test accuracy of logistic regression on word counts (scikit-learn's defaults), learned on the training texts.

    Raises ValueError where texts and labels differ in number, or the training labels are all the same.
    """
    ### BEGIN SOLUTION
    if len(train_texts) != len(train_labels) or len(test_texts) != len(test_labels):
        raise ValueError("every text needs one label")
    if len(set(train_labels)) < 2:
        raise ValueError("the training labels are all the same")
    words = CountVectorizer()
    probe = LogisticRegression(max_iter=1000).fit(words.fit_transform(train_texts), train_labels)
    return float(probe.score(words.transform(test_texts), test_labels))
    ### END SOLUTION


check(bag_of_words_baseline)

# %% [markdown]
# ## Exercise · `center_by_topic`
#
# difficulty ●●○○○ · importance ●●●●○ · 12 minutes
#
# Statements about cities lie far from statements about animals, and that distance says nothing about truth. Subtract
# from each activation the mean of its topic. On training data (`means` is None) the means are computed, and returned
# with the centred activations; on test data they are given, and returned as they are: a mean fitted on test data has
# seen the test. A topic for which `means` has no entry, or another number of topics than activations: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `[topic == name for topic in topics]` as a tensor is a mask of the rows of one topic. Return new tensors.
#
# </details>


# %%
def center_by_topic(
    acts: Float[Tensor, "text d_model"], topics: list[str], means: dict[str, Tensor] | None = None
) -> tuple[Float[Tensor, "text d_model"], dict[str, Tensor]]:
    """(activations minus their topic's mean, the means). means: computed from acts when None, else used as given.

    Raises ValueError for a topic without a mean, and when acts and topics differ in length.
    Source: Bürger et al. 2024, arXiv:2407.12831, section 4.
    """
    ### BEGIN SOLUTION
    if len(acts) != len(topics):
        raise ValueError(f"{len(acts)} activations for {len(topics)} topics")
    if means is None:
        rows = {name: torch.tensor([topic == name for topic in topics]) for name in dict.fromkeys(topics)}
        means = {name: acts[mask].mean(dim=0) for name, mask in rows.items()}
    if unknown := set(topics) - set(means):
        raise ValueError(f"no mean for the topics {sorted(unknown)}")
    return acts - torch.stack([means[topic] for topic in topics]), means
    ### END SOLUTION


check(center_by_topic)

# %% [markdown]
# ## Exercise · `transfer_matrix`
#
# difficulty ●●○○○ · importance ●●●●● · 12 minutes
#
# A probe that reads *truth* should read it on another subject too. Fit one probe on each training set, ask it about
# every test set, and return the accuracies, a row a training set and a column a test set. `fit(acts, labels)` returns
# `(coef, intercept)`; a text is called true where `acts @ coef + intercept > 0`. Fit each probe once. A test set
# whose activations have another width than the training set's: `ValueError`.
#
# <details><summary>Hint</summary>
#
# Two loops: the outer one fits, the inner one asks.
#
# </details>

# %%
LabelledSet = tuple[Float[Tensor, "text d_model"], Bool[Tensor, "text"]]


def transfer_matrix(
    fit: Callable[[Tensor, Tensor], tuple[Float[Tensor, "d_model"], float]],
    train_sets: list[LabelledSet],
    test_sets: list[LabelledSet],
) -> Float[Tensor, "train test"]:
    """Accuracy of the probe fitted on each training set (row) on each test set (column).

    fit: (acts, labels) -> (coef, intercept); called once a training set. True means acts @ coef + intercept > 0.
    Raises ValueError where a training and a test set differ in d_model.
    """
    ### BEGIN SOLUTION
    widths = {acts.shape[1] for acts, _ in [*train_sets, *test_sets]}
    if len(widths) > 1:
        raise ValueError(f"activations of different width: {sorted(widths)}")
    rows = []
    for acts, labels in train_sets:
        coef, intercept = fit(acts, labels)
        right = [((test @ coef + intercept > 0) == truth).float().mean() for test, truth in test_sets]
        rows.append(torch.stack(right))
    return torch.stack(rows)
    ### END SOLUTION


check(transfer_matrix)

# %% [markdown]
# ## Exercise · `truth_and_polarity`
#
# difficulty ●●●●○ · importance ●●●●● · 20 minutes
#
# A probe fitted on affirmative statements fails on negated ones. Bürger et al. (2024) explain it by *two* directions:
# one that follows truth, and one that follows truth times polarity, so that it turns around in negated statements:
#
# $$ x_i - \bar x \approx \tau_i \, t_G + \tau_i p_i \, t_P, $$
#
# where $\tau_i$ is +1 for a true and −1 for a false statement, and $p_i$ is +1 for an affirmative and −1 for a
# negated one. Find both directions by least squares over all statements, without an intercept ($\bar x$ is the mean
# of all activations). Unless both labels and both polarities occur, in such a way that the two can be told apart:
# `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# The design matrix has two columns, $\tau$ and $\tau p$, and a row a text; the targets are the centred activations.
# `torch.linalg.lstsq(design, targets).solution` has a row a direction.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# With one polarity alone the two columns are the same, or opposite: the rank of the design is 1
# (`torch.linalg.matrix_rank`).
#
# </details>


# %%
def truth_and_polarity(
    acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"], polarities: Int[Tensor, "text"]
) -> tuple[Float[Tensor, "d_model"], Float[Tensor, "d_model"]]:
    """(t_general, t_polarity): least squares of the centred activations on truth (±1) and truth × polarity.

    polarities: +1 affirmative, −1 negated; ValueError for anything else.
    Raises ValueError where only one polarity or only one label occurs, and where the three differ in length.
    Source: Bürger et al. 2024, arXiv:2407.12831, section 4 (TTPD).
    """
    ### BEGIN SOLUTION
    if not len(acts) == len(labels) == len(polarities):
        raise ValueError("every activation needs one label and one polarity")
    if not (polarities.abs() == 1).all():
        raise ValueError("polarities must be +1 (affirmative) or −1 (negated)")
    truth = torch.where(labels, 1.0, -1.0).double()
    design = torch.stack([truth, truth * polarities], dim=1)
    if labels.all() or not labels.any() or torch.linalg.matrix_rank(design) < 2:
        raise ValueError(
            "truth and truth × polarity cannot be told apart: both labels and polarities must occur"
        )
    acts = acts.double()
    general, polarity = torch.linalg.lstsq(design, acts - acts.mean(dim=0)).solution.float()
    return general, polarity
    ### END SOLUTION


check(truth_and_polarity)
