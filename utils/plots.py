"""The course's figures. Every function returns a plotly figure: end a cell with it.

One look for all: transparent ground with mid-grey text and grid, so that a figure reads on a white page and
on a dark one, and colours that colour-blind readers can tell apart (Okabe & Ito 2008, the blue lightened
for dark pages). Nothing here changes plotly's own defaults. Numbers go in as short lists, not arrays: plotly
would write arrays in base64, which older notebook renderers cannot read.
"""

import html
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy.typing import ArrayLike

INK = "#808080"
GRID = "rgba(128,128,128,0.25)"
COLOURS = ("#1A80BF", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
CLEAR = "rgba(0,0,0,0)"
AXIS = {
    "gridcolor": GRID,
    "linecolor": GRID,
    "zeroline": False,
    "automargin": True,
    "title": {"standoff": 12},
}
UNUSED_BUTTONS = ["sendcharttocloud", "lasso", "select", "zoom", "pan", "zoomin", "zoomout", "autoscale"]
DASHES = ("dash", "dot", "dashdot", "longdash")

TEMPLATE = go.layout.Template(
    layout={
        "width": 720,
        "height": 420,
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "colorway": COLOURS,
        "font": {"color": INK, "size": 13},
        "title": {"x": 0.02, "xanchor": "left", "font": {"size": 16}},
        "margin": {"l": 70, "r": 30, "t": 70, "b": 60},
        "xaxis": AXIS,
        "yaxis": AXIS,
        "modebar": {"bgcolor": CLEAR, "color": GRID, "activecolor": INK, "remove": UNUSED_BUTTONS},
        "legend": {"bgcolor": CLEAR},
        "hoverlabel": {"align": "left"},
    }
)


def layer_sweep(
    scores: Mapping[str, ArrayLike],
    *,
    title: str,
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    floors: Mapping[str, ArrayLike] | None = None,
    layers: Sequence[int] | None = None,
    ylabel: str = "AUROC",
) -> go.Figure:
    """A line a method over layers, its interval as a shaded band, and each floor as a dashed line.

    scores: method -> one score a layer.
    bands: method -> (lower, upper), each one value a layer; a subset of the methods.
    floors: name -> one number for all layers, or one a layer.
    layers: the layers' numbers, 0 … n − 1 by default.
    Raises ValueError when a length is not the number of layers or a band belongs to no method.
    """
    bands, floors = bands or {}, floors or {}
    curves = {name: np.asarray(values, dtype=float) for name, values in scores.items()}
    if not curves:
        raise ValueError("scores is empty: give at least one method.")
    layers = list(range(len(next(iter(curves.values()))))) if layers is None else list(layers)
    if unknown := set(bands) - set(curves):
        raise ValueError(f"bands for {sorted(unknown)}, which scores does not name: it has {sorted(curves)}.")

    figure = go.Figure()
    ends: dict[str, tuple[float, str]] = {}
    for index, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        _require_shape(f"scores[{name!r}]", curve, (len(layers),))
        if name in bands:
            lower, upper = (np.asarray(edge, dtype=float) for edge in bands[name])
            _require_shape(f"bands[{name!r}]", np.stack([lower, upper]), (2, len(layers)))
            figure.add_trace(_band(layers, lower, upper, colour, name))
        line = {"name": name, "mode": "lines+markers", "line_color": colour, "marker_size": 5}
        figure.add_trace(go.Scatter(x=layers, y=_short(curve), **line))
        ends[name] = (float(curve[-1]), colour)
    for index, (name, level) in enumerate(floors.items()):
        height = np.asarray(level, dtype=float)
        height = np.full(len(layers), height) if height.ndim == 0 else height
        _require_shape(f"floors[{name!r}]", height, (len(layers),))
        dash = {"color": INK, "dash": DASHES[index % len(DASHES)], "width": 1.5}
        figure.add_trace(go.Scatter(x=layers, y=_short(height), name=name, mode="lines", line=dash))
        ends[name] = (float(height[-1]), INK)
    figure.update_layout(template=TEMPLATE, title_text=_wrapped(title), showlegend=False)
    figure.update_layout(xaxis_title="layer", yaxis_title=ylabel)
    edges = [np.ravel(np.asarray(edge, dtype=float)) for band in bands.values() for edge in band]
    _label_line_ends(
        figure, ends, np.concatenate([*curves.values(), *edges, [end for end, _ in ends.values()]])
    )
    return figure


def _band(x: list[int], lower: np.ndarray, upper: np.ndarray, colour: str, name: str) -> go.Scatter:
    return go.Scatter(
        x=[*x, *reversed(x)],
        y=[*_short(upper), *reversed(_short(lower))],
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


def _wrapped(title: str) -> str:
    return "<br>".join(textwrap.wrap(title, 78))


def _plain(text: str) -> str:
    """Plotly reads tags: a token such as "<s>" must be shown, not obeyed."""
    return html.escape(str(text), quote=False)


def _short(values: np.ndarray) -> list[float]:
    """Four significant digits: more than a figure shows, and a committed notebook stays small."""
    return [float(f"{value:.4g}") for value in np.ravel(values)]


def pca_scatter(
    points: Float[np.ndarray, "text 2"] | Float[np.ndarray, "frame text 2"],
    labels: Sequence[object],
    hover: Sequence[str],
    *,
    title: str,
    frame_names: Sequence[str] | None = None,
    axis_titles: tuple[str, str] = ("PC 1 (residual-stream units)", "PC 2 (residual-stream units)"),
) -> go.Figure:
    """Points in two principal components, coloured by class; given frames, a slider over them.

    labels: a class for each text; a class has one colour in every frame.
    hover: the text to show for each point.
    frame_names: what the slider says, e.g. "layer 6"; "0", "1", … by default.
    Raises ValueError on other shapes and on lengths that differ.
    """
    frames = np.asarray(points, dtype=float)
    frames = frames[None] if frames.ndim == 2 else frames
    if frames.ndim != 3 or frames.shape[-1] != 2:
        raise ValueError(f"points has shape {np.shape(points)}: expected (text, 2) or (frame, text, 2).")
    for name, values in (("labels", labels), ("hover", hover)):
        if len(values) != frames.shape[1]:
            raise ValueError(f"{name} has {len(values)} entries for {frames.shape[1]} points.")
    names = [str(index) for index in range(len(frames))] if frame_names is None else list(frame_names)
    if len(names) != len(frames):
        raise ValueError(f"frame_names has {len(names)} entries for {len(frames)} frames.")

    as_text = [str(label) for label in labels]
    members = {
        name: [row for row, label in enumerate(as_text) if label == name] for name in sorted(set(as_text))
    }
    figure = go.Figure()
    for name, rows in members.items():
        figure.add_trace(
            go.Scatter(
                x=_short(frames[0, rows, 0]),
                y=_short(frames[0, rows, 1]),
                name=name,
                mode="markers",
                marker={"size": 6, "opacity": 0.7},
                hovertext=[_plain(hover[row]) for row in rows],
                hoverinfo="text+name",
            )
        )
    figure.update_layout(template=TEMPLATE, title_text=_wrapped(title), showlegend=True)
    figure.update_layout(xaxis_title=axis_titles[0], yaxis_title=axis_titles[1])
    if len(frames) > 1:
        _add_slider(figure, frames, list(members.values()), names)
    return figure


def _add_slider(figure: go.Figure, frames: np.ndarray, members: list[list[int]], names: list[str]) -> None:
    """Each step replaces the points and, since norms grow with depth, the ranges of the axes."""
    steps = []
    for name, frame in zip(names, frames, strict=True):
        points = {axis: [_short(frame[rows, i]) for rows in members] for i, axis in enumerate("xy")}
        ranges = {f"{axis}axis.range": _range(frame[:, i]) for i, axis in enumerate("xy")}
        steps.append({"label": name, "method": "update", "args": [points, ranges]})
    look = {
        "pad": {"t": 65},
        "bgcolor": GRID,
        "bordercolor": GRID,
        "tickcolor": INK,
        "currentvalue": {"visible": False},
    }
    figure.update_layout(sliders=[{"steps": steps, "active": 0, **look}], height=520)
    figure.update_layout(xaxis_range=_range(frames[0, :, 0]), yaxis_range=_range(frames[0, :, 1]))


def _range(values: np.ndarray) -> list[float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    return _short(np.array([low - margin, high + margin]))


def _require_shape(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} has shape {values.shape}: expected {shape}.")
