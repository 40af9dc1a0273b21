"""The figure of a probe's scores: where each class falls and how far the two overlap."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float

from utils.plot_style import COLOURS, INK, dress, floats, plain, require_shape, short
from utils.validation import ArrayLike, to_numpy


def score_histogram(
    scores: Float[ArrayLike, "text"],
    labels: Bool[ArrayLike, "text"],
    *,
    title: str,
    names: tuple[str, str] = ("False", "True"),
    threshold: float | None = None,
    xlabel: str = "score",
    bins: int = 30,
) -> go.Figure:
    """The scores of the False and of the True texts as two overlapping histograms on the same bins.

    names: what the two classes are called. threshold: marked by a line, where there is one.
    Raises ValueError when the lengths differ.
    """
    values, member = floats(scores), to_numpy(labels).astype(bool)
    require_shape("labels", member, values.shape)
    edges = np.linspace(values.min(), values.max(), bins + 1)
    centres = short((edges[:-1] + edges[1:]) / 2)
    figure = go.Figure()
    for name, rows, colour in ((names[0], ~member, COLOURS[1]), (names[1], member, COLOURS[0])):
        counts = np.histogram(values[rows], edges)[0].tolist()
        figure.add_bar(x=centres, y=counts, name=plain(name), marker={"color": colour, "opacity": 0.6})
    if threshold is not None:
        figure.add_vline(x=threshold, line={"color": INK, "dash": "dash", "width": 1.5})
    dress(figure, title, xlabel, "texts", legend="top")
    figure.update_layout(barmode="overlay", bargap=0.04, height=360)
    return figure
