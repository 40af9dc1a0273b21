"""Othello and chess boards: pieces, a number a square as colour, legal and predicted moves; in a row or as a film.

The colours are the board's own, so that it looks the same on a light page and on a dark one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float, Int

from utils.plot_style import CLEAR, INK, dress, plain
from utils.validation import ArrayLike, to_numpy

Game = Literal["othello", "chess"]

N = 8
PITCH = 9.0  # from one board of a row to the next, in squares
SQUARE_PIXELS = {1: 52, 2: 42}
SMALLEST_SQUARE = 31
DARK, LIGHT, MARK, PREDICTED = "#1d1d1f", "#f7f5ef", "#fff3a6", "#5b2a86"
BLUE, ORANGE = (26, 128, 191), (213, 94, 0)
TILES = {"othello": ((125, 155, 136), (125, 155, 136)), "chess": ((169, 143, 118), (203, 183, 159))}
LINES = {"othello": "#5d7666", "chess": "#8d755f"}
# Filled glyphs for both colours, told apart by fill and outline; the suffix asks for a letter, not an emoji.
GLYPHS = [piece + "\N{VARIATION SELECTOR-15}" for piece in "♟♞♝♜♛♚"]


@dataclass(frozen=True)
class BoardView:
    """One board to draw. Squares count as in `utils.boards.othello` (row by row from the top) and
    `utils.boards.chess` (from a1).

    pieces: Othello 0 empty, 1 black, 2 white; chess 0 empty, 1–6 white PNBRQK, 7–12 black.
    values: name -> a number for each square, shown as its colour; with several names a menu chooses.
    legal: squares to mark by a ring. predicted: probability of a move to each square, shown as a dot of that area.
    framed: a square to put a frame around. label: below the board, and beside the slider.
    """

    pieces: Int[ArrayLike, "64"]
    values: Mapping[str, Float[ArrayLike, "64"]] = field(default_factory=dict)
    legal: Bool[ArrayLike, "64"] | None = None
    predicted: Float[ArrayLike, "64"] | None = None
    framed: int | None = None
    label: str = ""


@dataclass(frozen=True)
class _Board:
    """Where one board's squares lie in the figure, and how large they are."""

    game: Game
    left: float
    pixels: int

    def places(self, squares: ArrayLike | Sequence[int]) -> dict[str, list]:
        rows, columns = np.divmod(np.asarray(squares, dtype=int), N)
        rows = N - 1 - rows if self.game == "chess" else rows
        return {"x": (self.left + columns).tolist(), "y": rows.tolist()}

    def grid(self, squares: np.ndarray) -> list[list]:
        """64 numbers as the picture's rows, the top one first."""
        rows = np.asarray(squares).reshape(N, N)
        return (rows[::-1] if self.game == "chess" else rows).tolist()

    @property
    def columns(self) -> list[float]:
        return [self.left + column for column in range(N)]


def board_row(
    views: Sequence[BoardView],
    *,
    game: Game,
    title: str,
    unit: str = "",
    limits: tuple[float, float] = (-1.0, 1.0),
    show: str | None = None,
    frame: str = "last move",
) -> go.Figure:
    """Boards side by side, each with its label below.

    unit: what a square's value is. limits: the values at the ends of the colour scale: colours diverge from 0 when
    the lower one is negative, and start from the bare board when it is not. show: the name of the values that are
    shown first (default: the last). frame: what the frames mean.
    Raises ValueError when a board is not 64 squares, views is empty, the views' values have different names, or none
    is called `show`.
    """
    names = _checked(views, show)
    pixels = SQUARE_PIXELS.get(len(views), SMALLEST_SQUARE)
    boards = [_Board(game, column * PITCH, pixels) for column in range(len(views))]
    figure: Any = go.Figure()
    for board, view in zip(boards, views, strict=True):
        figure.add_traces(_traces(board, view, names, limits, show))
        place = {
            "x": board.left + (N - 1) / 2,
            "xanchor": "center",
            "y": 0,
            "yref": "paper",
            "yanchor": "top",
        }
        figure.add_annotation(text=plain(view.label), showarrow=False, yshift=-6, font_size=13, **place)
    _lay_out(figure, boards, views, title, limits, unit, frame, caption_below=24)
    if len(names) > 1:
        _choose_values(figure, names, show, len(boards))
    return figure


def board_film(
    views: Sequence[BoardView],
    *,
    game: Game,
    title: str,
    unit: str = "",
    limits: tuple[float, float] = (-1.0, 1.0),
    show: str | None = None,
    frame: str = "last move",
    start: int = 0,
) -> go.Figure:
    """One board with a slider over the views, e.g. the moves of a game; views[start] is shown first.

    unit, limits, show, frame and errors: see `board_row`.
    """
    names = _checked(views, show)
    start = range(len(views))[start]
    board = _Board(game, 0.0, SQUARE_PIXELS[1])
    figure: Any = go.Figure(_traces(board, views[start], names, limits, show))
    _lay_out(figure, [board], views, title, limits, unit, frame, caption_below=2)
    if len(names) > 1:
        _choose_values(figure, names, show, 1)
    changing = list(range(1, _n_traces(names) - 1))
    figure.frames = [
        go.Frame(name=str(i), data=_changes(board, view, names), traces=changing)
        for i, view in enumerate(views)
    ]
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [
        {"method": "animate", "label": view.label, "args": [[str(i)], at_once]}
        for i, view in enumerate(views)
    ]
    figure.update_layout(
        sliders=[
            {
                "active": start,
                "steps": steps,
                "pad": {"t": 30},
                "ticklen": 0,
                "minorticklen": 0,
                "borderwidth": 0,
                "bgcolor": INK,
                "activebgcolor": INK,
                # A label a move does not fit below the slider; the one above it says where we are.
                "font": {"color": CLEAR, "size": 1},
                "currentvalue": {"xanchor": "left", "font": {"color": INK, "size": 14}},
            }
        ],
        margin_b=figure.layout.margin.b + 62,
        height=figure.layout.height + 62,
    )
    return figure


def _checked(views: Sequence[BoardView], show: str | None) -> list[str]:
    """The names of the views' values. Raises ValueError as `board_row` says."""
    if not views:
        raise ValueError("views is empty: give at least one board.")
    names = list(views[0].values)
    if show is not None and show not in names:
        raise ValueError(f"show is {show!r}: the values are {names}.")
    for i, view in enumerate(views):
        if list(view.values) != names:
            raise ValueError(f"views[{i}] has values {list(view.values)}, views[0] has {names}.")
        given = {"pieces": view.pieces, "legal": view.legal, "predicted": view.predicted} | dict(view.values)
        for name, squares in given.items():
            if squares is not None and to_numpy(squares).shape != (64,):
                raise ValueError(f"views[{i}]: {name} has shape {to_numpy(squares).shape}: expected (64,).")
    return names


def _changes(board: _Board, view: BoardView, names: list[str]) -> list[Any]:
    """What differs from view to view: values, frame, two kinds of pieces, predicted and legal moves."""
    framed = [] if view.framed is None else [view.framed]
    predicted = np.zeros(64) if view.predicted is None else to_numpy(view.predicted).astype(float)
    seen = np.flatnonzero(predicted >= 0.005)
    dots = (board.pixels * (0.08 + 0.65 * np.sqrt(predicted[seen]))).round(1).tolist()
    legal = [] if view.legal is None else np.flatnonzero(to_numpy(view.legal))
    return [
        *(go.Heatmap(z=board.grid(_short(view.values[name]))) for name in names),
        go.Scatter(**board.places(framed)),
        *_pieces(board, to_numpy(view.pieces)),
        go.Scatter(
            **board.places(seen), marker_size=dots, text=[f"predicted: {p:.2g}" for p in predicted[seen]]
        ),
        go.Scatter(**board.places(legal)),
    ]


def _n_traces(names: list[str]) -> int:
    """How many traces `_traces` gives a board: beside the values the bare board, six kinds of marks, the colour bar."""
    return len(names) + 7


def _pieces(board: _Board, pieces: np.ndarray) -> list[go.Scatter]:
    kinds = 1 if board.game == "othello" else 6
    drawn = []
    for first in (1, 1 + kinds):
        squares = np.flatnonzero((pieces >= first) & (pieces < first + kinds))
        glyphs = None if kinds == 1 else [GLYPHS[int(pieces[square]) - first] for square in squares]
        drawn.append(go.Scatter(**board.places(squares), text=glyphs))
    return drawn


def _traces(
    board: _Board, view: BoardView, names: list[str], limits: tuple[float, float], show: str | None
) -> list[Any]:
    """The bare board, then what `_changes` lists with its looks, then an empty trace for the colour bar."""
    n = board.pixels
    frame = {"symbol": "square-open", "size": 0.9 * n, "color": MARK, "line_width": 3}
    ring = {"symbol": "circle-open", "size": 0.46 * n, "color": MARK, "line_width": 0.05 * n}
    dot = {"color": PREDICTED, "opacity": 0.9, "line_width": 0}
    text = "%{text}<extra></extra>"
    looks: list[dict[str, Any]] = [
        *(
            {
                "x": board.columns,
                "visible": name == (show or names[-1]),
                "zmin": limits[0],
                "zmax": limits[1],
                "colorscale": _colorscale(limits, None),
                "showscale": False,
                "xgap": 1,
                "ygap": 1,
                "hovertemplate": "%{z}<extra></extra>",
            }
            for name in names
        ),
        {"mode": "markers", "marker": frame, "hoverinfo": "skip"},
        *_piece_looks(board),
        {"mode": "markers", "marker": dot, "hovertemplate": text},
        {"mode": "markers", "marker": ring, "hoverinfo": "skip"},
    ]
    traces = _changes(board, view, names)
    for trace, look in zip(traces, looks, strict=True):
        trace.update(look)
    dark, light = (f"rgb{tile}" for tile in TILES[board.game])
    bare = go.Heatmap(
        x=board.columns,
        z=board.grid(np.indices((N, N)).sum(0) % 2),
        colorscale=[[0, dark], [1, light]],
        zmin=0,
        zmax=1,
        xgap=1,
        ygap=1,
        showscale=False,
        hoverinfo="skip",
    )
    return [bare, *traces, go.Scatter(x=[None], y=[None], mode="markers", hoverinfo="skip")]


def _piece_looks(board: _Board) -> list[dict[str, Any]]:
    if board.game == "othello":
        discs = ((DARK, "#5a5a5c"), (LIGHT, "#b9b5a8"))
        return [
            {
                "mode": "markers",
                "marker": {"size": 0.62 * board.pixels, "color": fill, "line": {"color": edge, "width": 1.5}},
                "hoverinfo": "skip",
            }
            for fill, edge in discs
        ]
    looks = []
    for fill, edge in ((LIGHT, DARK), (DARK, LIGHT)):
        outline = ", ".join(f"{dx}px {dy}px 0.5px {edge}" for dx in (-1, 1) for dy in (-1, 1))
        font = {"size": 0.72 * board.pixels, "color": fill, "shadow": outline}
        looks.append({"mode": "text", "textfont": font, "hoverinfo": "skip"})
    return looks


def _lay_out(
    figure: Any,
    boards: list[_Board],
    views: Sequence[BoardView],
    title: str,
    limits: tuple[float, float],
    unit: str,
    frame: str,
    caption_below: int,
) -> None:
    dress(figure, title, "", "")
    game, pixels = boards[0].game, boards[0].pixels
    valued = bool(views[0].values)
    width = boards[-1].left + N
    top = figure.layout.margin.t + 14 + (40 if len(views[0].values) > 1 else 0)
    margin = {"l": 34, "r": 100 if valued else 20, "t": top, "b": caption_below + 34}
    figure.update_layout(
        width=margin["l"] + margin["r"] + pixels * width,
        height=margin["t"] + margin["b"] + pixels * N,
        margin=margin,
        hovermode="closest",
    )
    ranks = [str(N - k) if game == "chess" else str(k + 1) for k in range(N)]
    bare = {"showgrid": False, "ticks": "", "fixedrange": True, "showline": False, "automargin": False}
    files = [x for board in boards for x in board.columns]
    letters = list("abcdefgh") * len(boards)
    figure.update_xaxes(range=[-0.5, width - 0.5], tickvals=files, ticktext=letters, side="top", **bare)
    figure.update_yaxes(range=[N - 0.5, -0.5], tickvals=list(range(N)), ticktext=ranks, **bare)
    for board in boards:
        corners = {"x0": board.left - 0.52, "x1": board.left + N - 0.48, "y0": -0.52, "y1": N - 0.48}
        figure.add_shape(type="rect", layer="below", fillcolor=LINES[game], line_width=0, **corners)
    if valued:
        bar = {"title": {"text": plain(unit), "side": "right"}, "thickness": 12, "outlinewidth": 0, "len": 1}
        scale = {"cmin": limits[0], "cmax": limits[1], "colorscale": _colorscale(limits, TILES[game])}
        marker = {"color": [limits[0]], "showscale": True, "colorbar": bar | {"x": 1.01}}
        figure.data[-1].update(marker=marker | scale)
    marks = {
        "ring: legal": any(view.legal is not None for view in views),
        "purple dot: predicted, area = probability": any(view.predicted is not None for view in views),
        f"frame: {frame}": any(view.framed is not None for view in views),
    }
    caption = " · ".join(mark for mark, used in marks.items() if used)
    place = {"x": 0, "xref": "paper", "xanchor": "left", "y": 0, "yref": "paper", "yanchor": "top"}
    figure.add_annotation(
        text=caption, showarrow=False, yshift=-caption_below - 4, xshift=-4, font_size=12, **place
    )


def _choose_values(figure: Any, names: list[str], show: str | None, n_boards: int) -> None:
    """Buttons, one a name, that show these values on every board of the figure."""
    first_traces = [board * _n_traces(names) for board in range(n_boards)]
    targets = [first + 1 + k for first in first_traces for k in range(len(names))]
    buttons = [
        {
            "method": "restyle",
            "label": plain(name),
            "args": [{"visible": [other == name for other in names] * n_boards}, targets],
        }
        for name in names
    ]
    look = {"bgcolor": CLEAR, "bordercolor": INK, "font": {"color": INK, "size": 12}}
    place = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 28}}
    menu = {
        "buttons": buttons,
        "active": names.index(show) if show else len(names) - 1,
        "type": "buttons",
        "direction": "right",
    }
    figure.update_layout(updatemenus=[menu | look | place])


def _colorscale(
    limits: tuple[float, float], tiles: tuple[tuple[int, int, int], tuple[int, int, int]] | None
) -> list[list]:
    """From orange over the bare board to blue, or from the bare board to blue; laid over it, or mixed with `tiles`."""

    def shade(colour: tuple[int, int, int], alpha: float) -> str:
        if tiles is None:
            return f"rgba{(*colour, alpha)}"
        mixed = [round(alpha * c + (1 - alpha) * (a + b) / 2) for c, a, b in zip(colour, *tiles, strict=True)]
        return f"rgb{tuple(mixed)}"

    rising = [shade(BLUE, 0.0), shade(BLUE, 0.95)]
    if limits[0] >= 0:
        return [[0, rising[0]], [1, rising[1]]]
    zero = -limits[0] / (limits[1] - limits[0])
    return [[0, shade(ORANGE, 0.95)], [zero, shade(ORANGE, 0.0)], [zero, rising[0]], [1, rising[1]]]


def _short(values: ArrayLike) -> np.ndarray:
    """Two decimals: a film of a whole game is committed with its notebook."""
    return np.round(to_numpy(values).astype(float), 2)
