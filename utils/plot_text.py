"""Figures of text: weights on tokens, and trees over words."""

import html
from collections.abc import Iterable, Sequence

import numpy as np
import plotly.graph_objects as go
from IPython.display import HTML
from jaxtyping import Float

from utils.plot_style import COLOURS, INK, dress, floats, plain, require_shape
from utils.validation import ArrayLike

POSITIVE, NEGATIVE = "26,128,191", "213,94,0"
STRONGEST_ALPHA = 0.65
TOKEN_STYLE = "border-radius:3px;padding:2px 0"
TEXT_STYLE = "max-width:720px;line-height:1.9;white-space:pre-wrap;font-size:15px"


def token_weights(tokens: Sequence[str], weights: Float[ArrayLike, "token"], *, title: str = "") -> HTML:
    """The text with each token shaded by its weight: blue above zero, orange below; hover for the number.

    tokens: as decoded, leading spaces included. weights: e.g. attention weights, or a probe's score a token.
    The strongest weight has the full shade. Raises ValueError on another length and on NaN or infinity.
    """
    values = floats(weights)
    require_shape("weights", values, (len(tokens),))
    if not np.isfinite(values).all():
        raise ValueError(f"weights[{int(np.flatnonzero(~np.isfinite(values))[0])}] is not a finite number.")
    strongest = float(np.abs(values).max(initial=0.0))
    spans = []
    for token, weight in zip(tokens, values, strict=True):
        alpha = STRONGEST_ALPHA * abs(weight) / strongest if strongest else 0.0
        colour = f"rgba({POSITIVE if weight >= 0 else NEGATIVE},{alpha:.3f})"
        shown = html.escape(token.replace("\n", "↵\n"))
        spans.append(f'<span title="{weight:.3g}" style="background:{colour};{TOKEN_STYLE}">{shown}</span>')
    heading = f'<div style="color:{INK};margin-bottom:6px">{html.escape(title)}</div>' if title else ""
    scale = (
        f'<div style="color:{INK};font-size:12px;margin-top:6px">full shade: |weight| = {strongest:.3g}</div>'
    )
    return HTML(f'<div style="{TEXT_STYLE}">{heading}<div>{"".join(spans)}</div>{scale}</div>')


def parse_tree(
    words: Sequence[str],
    gold: Iterable[tuple[int, int]],
    predicted: Iterable[tuple[int, int]],
    *,
    title: str,
) -> go.Figure:
    """Gold edges as arcs above the words, predicted ones below: solid where they agree, dotted where not.

    gold, predicted: undirected edges between word positions, 0 the first word.
    Raises ValueError when an edge names no word or joins a word to itself.
    """
    gold_edges, predicted_edges = _undirected("gold", gold, words), _undirected("predicted", predicted, words)
    figure = go.Figure()
    for sign, edges, others in ((1, gold_edges, predicted_edges), (-1, predicted_edges, gold_edges)):
        for left, right in sorted(edges):
            found = (left, right) in others
            line = (
                {"color": COLOURS[0], "width": 2}
                if found
                else {"color": COLOURS[1], "width": 2, "dash": "dot"}
            )
            figure.add_trace(_arc(left, right, sign, line, f"{words[left]} – {words[right]}"))
    for position, word in enumerate(words):
        figure.add_annotation(x=position, y=0, text=plain(word), showarrow=False, font_size=13)
    tallest = max((_height(right - left) for left, right in gold_edges | predicted_edges), default=0.0)
    for y, text in ((tallest, "gold"), (-tallest, "predicted")):
        place = {"x": 0, "xref": "paper", "xanchor": "left", "y": y, "showarrow": False}
        figure.add_annotation(text=text, **place)
    key = {"x": 1, "xref": "paper", "xanchor": "right", "y": -1.25 * tallest, "showarrow": False}
    figure.add_annotation(text="solid: in both · dotted: in one only", **key)
    dress(figure, title, "", "")
    figure.update_layout(
        margin={"l": 30, "b": 20}, width=max(720, 60 * len(words)), height=160 + 100 * tallest
    )
    figure.update_xaxes(visible=False, range=[-0.6, len(words) - 0.4])
    figure.update_yaxes(visible=False, range=[-1.35 * tallest, 1.15 * tallest])
    return figure


def _undirected(name: str, edges: Iterable[tuple[int, int]], words: Sequence[str]) -> set[tuple[int, int]]:
    pairs = set()
    for first, second in edges:
        left, right = sorted((int(first), int(second)))
        if not 0 <= left < right < len(words):
            raise ValueError(
                f"{name} has the edge ({first}, {second}): expected two of 0 … {len(words) - 1}."
            )
        pairs.add((left, right))
    return pairs


def _height(span: int) -> float:
    """Of an arc over `span` words: grows more slowly than the span, so that long arcs stay on the page."""
    return 0.3 + 0.35 * span**0.75


def _arc(left: int, right: int, sign: int, line: dict, name: str) -> go.Scatter:
    angle = np.linspace(0, np.pi, 25)
    middle, radius = (left + right) / 2, (right - left) / 2
    return go.Scatter(
        x=np.round(middle - radius * np.cos(angle), 3).tolist(),
        y=np.round(sign * (0.2 + (_height(right - left) - 0.2) * np.sin(angle)), 3).tolist(),
        mode="lines",
        line=line,
        name=plain(name),
        hoverinfo="name",
    )
