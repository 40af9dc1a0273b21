"""Reads sets of true and false statements: the course's own, or any CSV file with the same columns."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd

Value = TypeVar("Value")

STATEMENTS_FOLDER = Path(__file__).parent
COLUMNS = ("statement", "label", "topic", "polarity", "group")

LABELS = {"1": True, "0": False, "True": True, "False": False}
POLARITIES = {"1": 1, "+1": 1, "-1": -1}


def statement_sets() -> list[str]:
    """Names of the course's own sets, for `load_statements`; "neg_" marks negated ones ("Lyon is not in Japan").

    cities, sp_en_trans (Spanish words), element_symb, animal_class, each with its negation; larger_than and
    smaller_than; common_claims; cities_conj and cities_disj ("both … and …", "either … or …", inclusive).
    """
    return sorted(path.stem for path in STATEMENTS_FOLDER.glob("*.csv"))


def load_statements(name_or_path: str | Path) -> pd.DataFrame:
    """One of `statement_sets()`, or a CSV file of your own with the same columns. One row a statement.

    statement (str); label (bool): whether it is true as it stands, "not" included; topic (str): the set's
    name, for a negated set that of its affirmative partner, "inequalities" for both comparisons; polarity (int): +1
    affirmative, −1 negated; group (str): keep it in one part of a split, then no fact and none of its variants is
    in two. The sets about cities share their groups, a set and its negation too, so several sets together can be split.
    In the course's own sets every word of a group is as often in true as in false statements: words alone give
    the label to no more than chance. That a false statement is less probable as a text remains.
    Other columns of your file are dropped. Raises ValueError for an unknown name, a missing column, a file without
    rows, and with the line for an empty entry or a label (1, 0, True, False) or polarity that cannot be read.
    Source: `utils/datasets/build_statements.py` (our own tables, and GeoNames, CC BY 4.0). The forms are those of
    Marks & Tegmark 2023, arXiv:2310.06824, and Bürger et al. 2024, arXiv:2407.12831.
    """
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and name_or_path in statement_sets():
        path = STATEMENTS_FOLDER / f"{name_or_path}.csv"
    elif not path.is_file():
        raise ValueError(
            f"{str(name_or_path)!r} is neither a file nor a set of the course: {', '.join(statement_sets())}."
        )
    lines = read_lines(path, COLUMNS)
    return as_frame(
        (
            line.entries["statement"],
            line.meaning("label", LABELS),
            line.entries["topic"],
            line.meaning("polarity", POLARITIES),
            line.entries["group"],
        )
        for line in lines
    )


@dataclass(frozen=True)
class Line:
    """A row of a CSV file: its entries by column, and where it stands, for messages."""

    entries: dict[str, str]
    place: str

    def meaning(self, column: str, meanings: Mapping[str, Value]) -> Value:
        """What the entry stands for. Raises ValueError with its line when it is none of `meanings`."""
        entry = self.entries[column]
        if entry not in meanings:
            raise ValueError(f"{self.place}: {column} is {entry!r}, not one of {', '.join(meanings)}.")
        return meanings[entry]


def read_lines(path: Path, columns: Sequence[str]) -> list[Line]:
    """All rows. Raises ValueError for a file without any, or where one of `columns` is missing or empty."""
    # Not by pandas, to which "NA" would be a missing value, and which does not know lines.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or []
        if missing := [column for column in columns if column not in header]:
            raise ValueError(
                f"{path.name} has no column {', '.join(map(repr, missing))}; it has {', '.join(header) or 'none'}."
            )
        lines = [
            # A row that is too short has None for what it lacks, one that is too long a list under None.
            Line({column: entry or "" for column, entry in row.items() if column is not None}, where)
            for row in reader
            if (where := f"{path.name}, line {reader.line_num}")
        ]
    if not lines:
        raise ValueError(f"{path.name} has no rows.")
    for line in lines:
        for column in columns:
            if not line.entries[column].strip():
                raise ValueError(f"{line.place}: {column} is empty.")
    return lines


def as_frame(rows: Iterable[tuple[str, int, str, int, str]]) -> pd.DataFrame:
    """Rows in the order of `COLUMNS` as a table."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS))
