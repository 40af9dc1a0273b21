"""Small tables and generated sentences, with the code that made them."""

from utils.datasets.cities import load_cities

__all__ = ["load_cities"]
