"""True and false statements on which to look for a direction of truth, and their loaders."""

from utils.datasets.statements.loader import load_statements, statement_sets
from utils.datasets.statements.published import load_geometry_of_truth

__all__ = ["load_geometry_of_truth", "load_statements", "statement_sets"]
