"""Figures of points: principal components, places on the earth, gain against cost."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from utils.plot_style import GRID, INK, dress, floats, plain, require_shape, short
from utils.validation import ArrayLike

BACKDROP = {"mode": "markers", "hoverinfo": "skip", "showlegend": False}


def pca_scatter(
    points: Float[ArrayLike, "text 2"] | Float[ArrayLike, "frame text 2"],
    labels: Sequence[object],
    hover: Sequence[str],
    *,
    title: str,
    classes: Sequence[str] | None = None,
    frame_names: Sequence[str] | None = None,
    axis_titles: tuple[str, str] = ("PC 1 (residual-stream units)", "PC 2 (residual-stream units)"),
) -> go.Figure:
    """Points in two principal components, coloured by class; given frames, a slider over them.

    labels: a class for each text; a class has one colour in every frame.
    hover: the text to show for each point.
    classes: their order, which decides their colours; sorted by default.
    frame_names: what the slider says, e.g. "layer 6"; "0", "1", … by default.
    Raises ValueError on other shapes and on lengths that differ.
    """
    frames = floats(points)
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
    order = sorted(set(as_text)) if classes is None else list(classes)
    if set(order) != set(as_text):
        raise ValueError(f"classes are {order}, the labels {sorted(set(as_text))}.")
    members = {name: [row for row, label in enumerate(as_text) if label == name] for name in order}
    figure = go.Figure()
    for name, rows in members.items():
        figure.add_trace(
            go.Scatter(
                x=short(frames[0, rows, 0]),
                y=short(frames[0, rows, 1]),
                name=name,
                mode="markers",
                marker={"size": 6, "opacity": 0.7},
                hovertext=[plain(hover[row]) for row in rows],
                hoverinfo="text+name",
            )
        )
    dress(figure, title, *axis_titles, legend="right")
    if len(frames) > 1:
        _add_slider(figure, frames, list(members.values()), names)
    return figure


def _add_slider(figure: go.Figure, frames: np.ndarray, members: list[list[int]], names: list[str]) -> None:
    """Each step replaces the points and, since norms grow with depth, the ranges of the axes."""
    steps = []
    for name, frame in zip(names, frames, strict=True):
        points = {axis: [short(frame[rows, i]) for rows in members] for i, axis in enumerate("xy")}
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
    return short(np.array([low - margin, high + margin]))


def world_map(
    true: Float[ArrayLike, "place 2"],
    predicted: Float[ArrayLike, "place 2"],
    names: Sequence[str],
    groups: Sequence[str],
    *,
    title: str,
    background: Float[ArrayLike, "other 2"] | None = None,
) -> go.Figure:
    """Where a probe puts each place: a coloured point, joined by a thin line to the small cross where it lies.

    A plain grid of degrees (equirectangular), so that it needs no map data from the network; pass the whole
    table of cities as `background` and its grey dots draw the continents.

    true, predicted, background: (latitude, longitude) in degrees. groups: e.g. the continent, which sets the colour.
    Raises ValueError when true and predicted are not both (len(names), 2), or groups has another length.
    """
    true, predicted = floats(true), floats(predicted)
    require_shape("true", true, (len(names), 2))
    require_shape("predicted", predicted, (len(names), 2))
    if len(groups) != len(names):
        raise ValueError(f"groups has {len(groups)} entries for {len(names)} places.")
    figure = go.Figure()
    if background is not None:
        dots = floats(background)
        require_shape("background", dots, (len(dots), 2))
        marker = {"size": 3, "color": GRID}
        figure.add_scatter(x=short(dots[:, 1]), y=short(dots[:, 0]), marker=marker, **BACKDROP)
    errors: dict[str, list[float | None]] = {"x": [], "y": []}
    for start, end in zip(true, predicted, strict=True):
        errors["x"] += [*short(np.array([start[1], end[1]])), None]
        errors["y"] += [*short(np.array([start[0], end[0]])), None]
    figure.add_scatter(**errors, **BACKDROP | {"mode": "lines"}, line={"color": GRID, "width": 1})
    cross = {"size": 5, "symbol": "x-thin", "line": {"width": 1, "color": INK}}
    figure.add_scatter(
        x=short(true[:, 1]),
        y=short(true[:, 0]),
        marker=cross,
        **BACKDROP | {"showlegend": True},
        name="true place",
    )
    for group in sorted(set(groups)):
        rows = [row for row, name in enumerate(groups) if name == group]
        figure.add_scatter(
            x=short(predicted[rows, 1]),
            y=short(predicted[rows, 0]),
            name=plain(group),
            mode="markers",
            marker={"size": 7, "opacity": 0.85},
            hovertext=[plain(names[row]) for row in rows],
            hovertemplate="%{hovertext}: predicted %{y:.0f}°, %{x:.0f}°<extra></extra>",
        )
    dress(figure, title, "longitude (degrees east)", "latitude (degrees north)", legend="top")
    figure.update_layout(height=430, xaxis_dtick=60, yaxis={"dtick": 30, "scaleanchor": "x"})
    return figure


def tradeoff(
    series: Mapping[str, tuple[ArrayLike | float, ArrayLike | float]],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    labels: Mapping[str, Sequence[str]] | None = None,
    loose: Sequence[str] = (),
) -> go.Figure:
    """What is gained against what it costs: each series (x, y) as points joined in the order given.

    labels: series -> a text for each of its points, e.g. the coefficient or the layer; a subset of the series.
    loose: the series whose points have no order and are not joined, e.g. those of random directions.
    Raises ValueError when x, y and labels of a series differ in length, or labels or loose name no series.
    """
    labels = labels or {}
    if unknown := set(loose) - set(series):
        raise ValueError(f"loose names {sorted(unknown)}, which series does not: it has {list(series)}.")
    if unknown := set(labels) - set(series):
        raise ValueError(f"labels for {sorted(unknown)}, which series does not name: it has {list(series)}.")
    figure = go.Figure()
    for index, (name, (x, y)) in enumerate(series.items()):
        across, up = np.atleast_1d(floats(x)), np.atleast_1d(floats(y))
        require_shape(f"y of series[{name!r}]", up, across.shape)
        texts = labels.get(name, [""] * len(across))
        if len(texts) != len(across):
            raise ValueError(f"labels[{name!r}] has {len(texts)} entries for {len(across)} points.")
        figure.add_scatter(
            x=short(across),
            y=short(up),
            name=plain(name),
            text=[plain(text) for text in texts],
            mode="markers+text" if name in loose else "lines+markers+text",
            textposition="top center",
            textfont={"size": 11, "color": INK},
            marker={"size": 9, "symbol": index},
            line={"width": 1.5},
        )
    dress(figure, title, xlabel, ylabel, legend="right")
    return figure
