"""Pairs of reviews, one that likes a thing and one that does not: from which to take a direction of sentiment.

In the kind "said" opinion words are all that differs ("The waiter was friendly and the soup was delicious." / "The
waiter was rude and the soup was tasteless."). In the kind "implied" the opinion shows only in what happened ("We had
booked two nights and stayed for nine." / "We had booked nine nights and stayed for two."), so that a direction which
transfers from the first kind to the second is more than a list of words.

What words alone give (`CountVectorizer` and `LogisticRegression`; five folds that keep each thing together, mean of
ten shuffles): 62% of "said", whose opinion words seldom recur; 54% of "implied"; fitted on "said", 51% of "implied".
Of the pairs of "said" a published list of opinion words (VADER, 7,500 words) puts 142 of 160 the right way round, 4 the
wrong way; of those of "implied" 14 of 80 the right way, 12 the wrong way, and the others level.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

REVIEWS_CSV = Path(__file__).with_name("facts") / "reviews.csv"
REVIEW_KINDS = ("said", "implied")
# What comes after "Overall, it was": adjectives of praise and of blame.
_WORDS = {
    "praise": "good great excellent wonderful amazing fantastic perfect lovely pleasant delightful",
    "blame": "bad terrible awful horrible poor disappointing boring dreadful unpleasant worse",
}
PRAISE, BLAME = (tuple(words.split()) for words in _WORDS.values())


@dataclass(frozen=True)
class ReviewPair:
    """Two reviews of one thing that differ in what they think of it.

    positive, negative: the texts. thing: what they are about ("hotel"). kind: how they say it, one of `REVIEW_KINDS`.
    """

    positive: str
    negative: str
    thing: str
    kind: str

    @property
    def group(self) -> str:
        """Keep it in one part of a split."""
        return self.thing


def load_review_pairs(kind: str) -> list[ReviewPair]:
    """All pairs of one of `REVIEW_KINDS`, thing by thing: of the same 40 things, four pairs each "said", two "implied".

    Raises ValueError for an unknown kind. Source: our own sentences, `utils/datasets/facts/reviews.csv`.
    """
    if kind not in REVIEW_KINDS:
        raise ValueError(f"no review pairs of kind {kind!r}; there are {', '.join(REVIEW_KINDS)}")
    with REVIEWS_CSV.open(encoding="utf-8", newline="") as file:
        return [ReviewPair(**row) for row in csv.DictReader(file) if row["kind"] == kind]
