"""The course's figures. Every function returns a plotly figure (`token_weights` HTML): end a cell with it.

Numbers go in as short lists, not arrays: plotly would write arrays in base64, which older notebook renderers
cannot read.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from utils.plot_boards import BoardView, board_film, board_row
from utils.plot_points import pca_scatter, tradeoff, world_map
from utils.plot_scores import score_histogram
from utils.plot_steering import continuations, dose_response_curves
from utils.plot_style import COLOURS, DASHES, INK, dress, floats, plain, require_shape, short
from utils.plot_text import parse_tree, token_weights
from utils.validation import ArrayLike

__all__ = [
    "BoardView",
    "bars_with_floor",
    "board_film",
    "board_row",
    "continuations",
    "dose_response_curves",
    "heatmap",
    "layer_sweep",
    "parse_tree",
    "pca_scatter",
    "score_histogram",
    "token_weights",
    "tradeoff",
    "world_map",
]

CHARACTERS_BELOW_A_HEATMAP = 70
FLOOR_MARKS = ("line-ns", "diamond-open", "x-thin", "circle-open")


def layer_sweep(
    scores: Mapping[str, ArrayLike],
    *,
    title: str,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    floors: Mapping[str, ArrayLike | float] | None = None,
    layers: Sequence[int | str] | None = None,
    ylabel: str = "AUROC",
) -> go.Figure:
    """A line a method over layers, its interval as a shaded band, and each floor as a dashed line.

    scores: method -> one score a layer.
    bands: method -> (lower, upper), each one value a layer; a subset of the methods.
    floors: name -> one number for all layers, or one a layer.
    layers: the layers' numbers, 0 … n − 1 by default; "embed" is welcome among them.
    Raises ValueError when a length is not the number of layers or a band belongs to no method.
    """
    bands, floors = bands or {}, floors or {}
    curves = {name: floats(values) for name, values in scores.items()}
    if not curves:
        raise ValueError("scores is empty: give at least one method.")
    layers = list(range(len(next(iter(curves.values()))))) if layers is None else list(layers)
    if unknown := set(bands) - set(curves):
        raise ValueError(f"bands for {sorted(unknown)}, which scores does not name: it has {sorted(curves)}.")

    figure = go.Figure()
    ends: dict[str, tuple[float, str]] = {}
    shown = list(curves.values())
    for index, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        require_shape(f"scores[{name!r}]", curve, (len(layers),))
        if name in bands:
            lower, upper = (floats(edge) for edge in bands[name])
            require_shape(f"bands[{name!r}]", np.stack([lower, upper]), (2, len(layers)))
            figure.add_trace(_band(layers, lower, upper, colour, name))
            shown += [lower, upper]
        line = {"name": name, "mode": "lines+markers", "line_color": colour, "marker_size": 5}
        figure.add_trace(go.Scatter(x=layers, y=short(curve), **line))
        ends[name] = (float(curve[-1]), colour)
    for index, (name, level) in enumerate(floors.items()):
        height = floats(level)
        height = np.full(len(layers), height) if height.ndim == 0 else height
        require_shape(f"floors[{name!r}]", height, (len(layers),))
        dash = {"color": INK, "dash": DASHES[index % len(DASHES)], "width": 1.5}
        figure.add_trace(go.Scatter(x=layers, y=short(height), name=name, mode="lines", line=dash))
        ends[name] = (float(height[-1]), INK)
        shown.append(height)
    dress(figure, title, "layer", ylabel)
    if any(isinstance(layer, str) for layer in layers):
        figure.update_xaxes(type="category", tickangle=0, dtick=1 + len(layers) // 16)
    _label_line_ends(figure, ends, np.concatenate(shown))
    return figure


def _band(x: list[int | str], lower: np.ndarray, upper: np.ndarray, colour: str, name: str) -> go.Scatter:
    return go.Scatter(
        x=[*x, *reversed(x)],
        y=[*short(upper), *reversed(short(lower))],
        fill="toself",
        fillcolor=colour,
        opacity=0.2,
        line_width=0,
        mode="lines",
        name=f"{name}, interval",
        hoverinfo="skip",
    )


def _label_line_ends(figure: go.Figure, ends: Mapping[str, tuple[float, str]], shown: np.ndarray) -> None:
    """Names beside the last points, pushed apart where lines end close together. shown: all heights drawn."""
    gap = 0.065 * (float(np.nanmax(shown) - np.nanmin(shown)) or 1.0)
    names = sorted(ends, key=lambda name: ends[name][0])
    heights: list[float] = []
    for name in names:
        height = ends[name][0]
        heights.append(max(height, heights[-1] + gap) if heights else height)
    for name, height in zip(names, heights, strict=True):
        place = {"x": 1.01, "xref": "paper", "xanchor": "left", "y": height, "showarrow": False}
        figure.add_annotation(text=name, font_color=ends[name][1], **place)
    figure.update_layout(margin_r=30 + 8 * max(len(name) for name in names))


def bars_with_floor(
    scores: Mapping[str, float],
    *,
    title: str,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    floors: Mapping[str, ArrayLike | float] | None = None,
    xlabel: str = "AUROC",
    start: float = 0.0,
) -> go.Figure:
    """One horizontal bar a method, the first on top, with an interval and every floor marked on it.

    intervals: method -> (lower, upper); a subset of the methods.
    floors: name -> one number for all methods, or one a method.
    start: where the bars begin: 0.5 for AUROC shows the distance to chance.
    Raises ValueError when a floor's length is not the number of methods, or an interval belongs to no method or
    does not contain its score.
    """
    intervals, floors = intervals or {}, floors or {}
    names = list(scores)
    if unknown := set(intervals) - set(names):
        raise ValueError(f"intervals for {sorted(unknown)}, which scores does not name: it has {names}.")
    above, below = [0.0] * len(names), [0.0] * len(names)
    for row, name in enumerate(names):
        lower, upper = intervals.get(name, (scores[name], scores[name]))
        if not lower <= scores[name] <= upper:
            raise ValueError(
                f"intervals[{name!r}] is ({lower}, {upper}) and leaves out the score {scores[name]}."
            )
        above[row], below[row] = upper - scores[name], scores[name] - lower

    figure = go.Figure()
    values = np.array([scores[name] for name in names], dtype=float)
    whiskers = {
        "type": "data",
        "symmetric": False,
        "array": short(np.array(above)),
        "color": INK,
        "thickness": 2,
    }
    figure.add_bar(
        y=[plain(name) for name in names],
        x=short(values - start),
        base=start,
        orientation="h",
        width=0.55,
        marker={"color": COLOURS[0], "opacity": 0.75},
        error_x=whiskers | {"arrayminus": short(np.array(below))},
        name=xlabel,
        customdata=short(values),
        hovertemplate="%{y}: %{customdata}<extra></extra>",
        showlegend=False,
    )
    for index, (name, level) in enumerate(floors.items()):
        height = floats(level)
        height = np.full(len(names), height) if height.ndim == 0 else height
        require_shape(f"floors[{name!r}]", height, (len(names),))
        mark = {"symbol": FLOOR_MARKS[index % len(FLOOR_MARKS)], "size": 13, "color": COLOURS[4]}
        figure.add_scatter(
            y=[plain(name) for name in names],
            x=short(height),
            mode="markers",
            name=plain(name),
            marker=mark | {"line": {"color": COLOURS[4], "width": 3}},
        )
    dress(figure, title, xlabel, "", legend="top" if floors else "none")
    figure.update_layout(height=170 + 38 * len(names))
    figure.update_yaxes(autorange="reversed", showgrid=False, ticksuffix="  ")
    return figure


def heatmap(
    values: Float[ArrayLike, "row column"],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    unit: str,
    row_title: str = "",
    column_title: str = "",
    limits: tuple[float, float] | None = None,
    centre: float | None = None,
) -> go.Figure:
    """A matrix with its numbers in the cells, e.g. cosine similarities, or training set × test set.

    unit: what a cell holds, written beside the colour bar.
    limits: the values at the ends of the colour scale; the data's range by default.
    centre: with a centre, e.g. 0 for cosines or 0.5 for AUROC, colours diverge from it.
    Raises ValueError when values is not (len(rows), len(columns)).
    """
    table = floats(values)
    require_shape("values", table, (len(rows), len(columns)))
    low, high = limits if limits is not None else (float(np.nanmin(table)), float(np.nanmax(table)))
    if centre is not None:
        reach = max(high - centre, centre - low)
        low, high = centre - reach, centre + reach
    wrapped = [textwrap.wrap(plain(name), 12, break_long_words=False) for name in columns]
    widest = max((len(line) for lines in wrapped for line in lines), default=0)
    upright = widest * len(columns) <= CHARACTERS_BELOW_A_HEATMAP
    figure = go.Figure(
        go.Heatmap(
            z=[short(row) for row in table],
            x=["<br>".join(lines) if upright else " ".join(lines) for lines in wrapped],
            y=[plain(name) for name in rows],
            zmin=low,
            zmax=high,
            colorscale="Cividis" if centre is None else "RdBu",
            texttemplate="%{z:.2f}",
            xgap=2,
            ygap=2,
            colorbar={"title": {"text": unit, "side": "right"}, "thickness": 14, "outlinewidth": 0},
            hovertemplate="%{y} → %{x}: %{z}<extra></extra>",
        )
    )
    dress(figure, title, column_title, row_title)
    figure.update_layout(height=max(300, 170 + 40 * len(rows)))
    figure.update_xaxes(type="category", showgrid=False, ticks="", tickangle=0 if upright else -45)
    figure.update_yaxes(type="category", showgrid=False, ticks="", ticksuffix="  ", autorange="reversed")
    return figure
