"""Where a city lies: the table behind "does the model know geography?"."""

from pathlib import Path

import pandas as pd

CITIES_CSV = Path(__file__).with_name("cities.csv")


def load_cities() -> pd.DataFrame:
    """1,500 large cities with unambiguous names, one row a city, by falling population.

    Columns: name and country (ASCII), continent ("Europe", "North America", ...), latitude and longitude
    (degrees, north and east positive), population (persons). Group by country when a split must not leak: a
    random split lets a probe place a city by its neighbours.
    Source: GeoNames (CC BY 4.0), selected by `utils/datasets/build_cities.py`; the question is that of
    Gurnee & Tegmark 2023, arXiv:2310.02207.
    """
    # "NA" and "nan" would be read as missing; a city's name never is.
    return pd.read_csv(CITIES_CSV, keep_default_na=False)
