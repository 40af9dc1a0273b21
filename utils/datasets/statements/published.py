"""Reads the published "geometry of truth" statements, of which the course holds no copy, into the course's form."""

import re
from pathlib import Path

import pandas as pd

from utils.datasets.statements.loader import LABELS, as_frame, read_lines

INEQUALITIES = ("larger_than", "smaller_than")
NOT_ABOUT_TRUTH = ("likely", "likely_old", "xor")


def load_geometry_of_truth(folder: str | Path, name: str) -> pd.DataFrame:
    """A published set, e.g. "cities", "neg_cities", "sp_en_trans", "companies_true_false", like `load_statements`.

    folder: the folder `datasets` of https://github.com/saprmarks/geometry-of-truth (Marks & Tegmark 2023,
    arXiv:2310.06824), which you download yourself. "neg_" in the name gives polarity −1 and its partner's topic.
    The files have no groups. Here a group is the city (of two, the first: their pairs are drawn so that
    no split keeps all cities apart), the Spanish word, the unordered pair of numbers, the subject of
    counterfact_true_false, and elsewhere the statement itself. Statements that a file repeats stay repeated.
    Raises ValueError for a file that is not there, or whose labels do not say what is true (likely, xor).
    """
    path = Path(folder) / f"{name}.csv"
    if name in NOT_ABOUT_TRUTH:
        raise ValueError(f"{name} has labels that do not say whether a statement is true.")
    if not path.is_file():
        found = ", ".join(sorted(file.stem for file in Path(folder).glob("*.csv"))) or "no CSV file at all"
        raise ValueError(f"{folder} has no {name}.csv; it has {found}.")
    topic = name.removeprefix("neg_")
    polarity = 1 if topic == name else -1
    topic = "inequalities" if topic in INEQUALITIES else topic
    return as_frame(
        (line.entries["statement"], line.meaning("label", LABELS), topic, polarity, _group(line.entries))
        for line in read_lines(path, ("statement", "label"))
    )


def _group(entries: dict[str, str]) -> str:
    if {"n1", "n2"} <= entries.keys():
        return "/".join(sorted((entries["n1"], entries["n2"]), key=int))
    for column in ("city", "city1", "subject"):
        if column in entries:
            return entries[column]
    spanish = re.match(r"The Spanish word '(.+?)' ", entries["statement"])
    return spanish[1] if spanish else entries["statement"]
