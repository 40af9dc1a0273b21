"""Figures of what steering does: an effect over coefficients, and the text that comes of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from utils.plot_style import CLEAR, COLOURS, GRID, INK, dress, floats, plain, require_shape, short
from utils.validation import ArrayLike

ROW_PIXELS, LINE_PIXELS = 27, 20
LINE_CHARACTERS = (26, 66)  # of a prompt and of a continuation, in the table's columns


def dose_response_curves(
    coefficients: Sequence[float],
    responses: Mapping[str, ArrayLike],
    *,
    layers: Sequence[int | str],
    title: str,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    start: int = 0,
    xlabel: str = "coefficient",
    ylabel: str = "effect",
) -> go.Figure:
    """A line a method over coefficients, with a slider over layers.

    responses: method -> "layer coefficient". bands: name -> (lower, upper), each "layer coefficient", a shaded range,
    e.g. of random directions. start: the position in `layers` that is shown first.
    Raises ValueError where a shape is another, or there is no method.
    """
    shape = (len(layers), len(coefficients))
    curves = {name: floats(values) for name, values in responses.items()}
    edges = {name: tuple(floats(edge) for edge in pair) for name, pair in (bands or {}).items()}
    if not curves:
        raise ValueError("responses is empty: give at least one method.")
    for name, values in [*curves.items(), *((name, edge) for name, pair in edges.items() for edge in pair)]:
        require_shape(f"the values of {name!r}", values, shape)
    start = range(len(layers))[start]
    across = short(np.array(coefficients, dtype=float))
    figure = go.Figure()
    heights: list[np.ndarray] = []
    for name, (lower, upper) in edges.items():
        line = {"mode": "lines", "line_width": 0, "hoverinfo": "skip"}
        figure.add_scatter(x=across, y=short(lower[start]), showlegend=False, **line)
        figure.add_scatter(
            x=across, y=short(upper[start]), name=plain(name), fill="tonexty", fillcolor=GRID, **line
        )
        heights += [lower, upper]
    for index, (name, values) in enumerate(curves.items()):
        figure.add_scatter(
            x=across,
            y=short(values[start]),
            name=plain(name),
            mode="lines+markers",
            line_color=COLOURS[index % len(COLOURS)],
            marker={"symbol": index, "size": 7},
        )
        heights.append(values)
    dress(figure, title, xlabel, ylabel, legend="right")
    lowest, highest = min(map(np.min, heights)), max(map(np.max, heights))
    margin = 0.05 * (highest - lowest) or 1.0
    figure.update_layout(height=500, yaxis_range=short(np.array([lowest - margin, highest + margin])))
    steps = [
        {
            "label": str(layer),
            "method": "restyle",
            "args": [{"y": [short(values[row]) for values in heights]}],
        }
        for row, layer in enumerate(layers)
    ]
    _slide(figure, steps, start, "layer ", above=55)
    return figure


def continuations(
    texts: Mapping[str, Sequence[str]], *, prompts: Sequence[str], title: str, start: int = 0
) -> go.Figure:
    """What a model writes after each prompt, with a slider over conditions, e.g. coefficients.

    texts: condition -> one continuation a prompt. start: the position of the condition that is shown first.
    Raises ValueError where a condition has not one text a prompt, or there is no condition.
    """
    if not texts:
        raise ValueError("texts is empty: give at least one condition.")
    for name, found in texts.items():
        if len(found) != len(prompts):
            raise ValueError(f"texts[{name!r}] has {len(found)} continuations for {len(prompts)} prompts.")
    start = range(len(texts))[start]
    shown = {
        name: [[plain(each) for each in side] for side in (prompts, found)] for name, found in texts.items()
    }
    look: dict[str, Any] = {
        "align": "left",
        "line_color": GRID,
        "fill_color": CLEAR,
        "font": {"color": INK, "size": 13},
    }
    figure = go.Figure(
        go.Table(
            columnwidth=[1, 2.4],
            header={"values": ["<b>prompt</b>", "<b>what the model writes</b>"], **look},
            cells={"values": list(shown.values())[start], "height": ROW_PIXELS, **look},
        )
    )
    dress(figure, title, "", "")
    pixels = max(sum(_row_pixels(row) for row in zip(*columns, strict=True)) for columns in shown.values())
    figure.update_layout(height=165 + pixels, margin={"l": 20, "r": 20, "b": 10})
    steps = [
        {"label": name, "method": "restyle", "args": [{"cells.values": [columns]}]}
        for name, columns in shown.items()
    ]
    _slide(figure, steps, start, "", above=15)
    return figure


def _row_pixels(row: tuple[str, str]) -> int:
    """The height of a table's row: plotly wraps what is too long for its column."""
    lines = max(-(-len(text) // width) for text, width in zip(row, LINE_CHARACTERS, strict=True))
    return ROW_PIXELS + LINE_PIXELS * max(0, lines - 1)


def _slide(figure: go.Figure, steps: list[dict[str, Any]], start: int, prefix: str, above: int) -> None:
    # Narrower than the figure, or the first and the last label would be cut.
    look = {
        "pad": {"t": above},
        "x": 0.04,
        "len": 0.92,
        "bgcolor": GRID,
        "bordercolor": GRID,
        "tickcolor": INK,
    }
    current = {"prefix": prefix, "xanchor": "left", "font": {"color": INK, "size": 14}}
    figure.update_layout(sliders=[{"steps": steps, "active": start, "currentvalue": current, **look}])
