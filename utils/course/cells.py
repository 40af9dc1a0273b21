"""The cells of a notebook that a stranger wrote, by nothing but JSON: parsed, never validated, never run."""

import json

CELL_LIMIT = 10_000


def notebook_cells(text: str) -> list[tuple[str, str]]:
    """The kind ("code", "markdown", …) and the source of every cell. Raises ValueError where it is no notebook.

    Of the current format only these two are read, and nothing is validated: a stranger's file may be anything.
    """
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    try:
        if int(notebook["nbformat"]) < 4:
            notebook = _converted(notebook)
        cells = notebook["cells"]
        if len(cells) > CELL_LIMIT:
            raise ValueError(f"{len(cells)} cells are more than {CELL_LIMIT}")
        return [(str(cell["cell_type"]), "".join(cell["source"])) for cell in cells]
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _converted(notebook: dict) -> dict:
    """A notebook of an older format in the current one."""
    # Half of what importing the course would cost, and few notebooks are that old.
    import nbformat

    try:
        return nbformat.convert(nbformat.from_dict(notebook), 4)
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
