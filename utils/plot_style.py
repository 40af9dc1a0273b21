"""The one look of the course's figures.

Transparent ground with mid-grey text and grid, so that a figure reads on a white page and on a dark one, and
colours that colour-blind readers can tell apart (Okabe & Ito 2008, the blue lightened for dark pages). A figure
takes it by `update_layout(template=TEMPLATE)`; plotly's own defaults stay as they are.
"""

import html
import textwrap

import numpy as np
import plotly.graph_objects as go

from utils.validation import ArrayLike, to_numpy

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
        "title": {
            "x": 0.02,
            "xanchor": "left",
            "y": 1,
            "yanchor": "top",
            "pad": {"t": 26},
            "font": {"size": 16},
        },
        "margin": {"l": 70, "r": 30, "b": 60},
        "xaxis": AXIS,
        "yaxis": AXIS,
        "modebar": {"bgcolor": CLEAR, "color": GRID, "activecolor": INK, "remove": UNUSED_BUTTONS},
        "legend": {"bgcolor": CLEAR},
        "hoverlabel": {"align": "left"},
    }
)


def dress(figure: go.Figure, title: str, xlabel: str, ylabel: str, *, legend: str = "none") -> None:
    """The course's look, a title of as many lines as it needs, axis titles, and a legend: right, top or none."""
    lines = textwrap.wrap(title, 80)
    on_top = legend == "top"
    figure.update_layout(
        template=TEMPLATE,
        title_text="<br>".join(lines),
        xaxis_title_text=xlabel,
        yaxis_title_text=ylabel,
        margin_t=45 + 22 * len(lines) + 25 * on_top,
        showlegend=legend != "none",
    )
    if on_top:
        figure.update_layout(legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0})


def plain(text: str) -> str:
    """Plotly reads tags: a token such as "<s>" must be shown, not obeyed."""
    return html.escape(str(text), quote=False)


def floats(values: ArrayLike | float) -> np.ndarray:
    return np.array(float(values)) if isinstance(values, (int, float)) else to_numpy(values).astype(float)


def short(values: np.ndarray) -> list[float]:
    """Four significant digits: more than a figure shows, and a committed notebook stays small."""
    return [float(f"{value:.4g}") for value in np.ravel(values)]


def require_shape(name: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} has shape {values.shape}: expected {shape}.")
