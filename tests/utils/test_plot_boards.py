"""Figures of boards: squares where the game counts them, values behind a menu, films that move."""

import json
from typing import Any

import numpy as np
import pytest

from utils.plots import BoardView, board_film, board_row

EMPTY = np.zeros(64, dtype=int)


def one_piece(square: int, piece: int) -> np.ndarray:
    board = EMPTY.copy()
    board[square] = piece
    return board


def drawn_at(figure: Any, kind: str) -> list[tuple[float, float]]:
    """The places of the traces of one kind, e.g. "markers", that have any."""
    traces = [
        trace for trace in figure.data if trace.type == "scatter" and kind in (trace.mode or "") and trace.x
    ]
    return [(x, y) for trace in traces for x, y in zip(trace.x, trace.y, strict=True) if x is not None]


@pytest.mark.parametrize(
    ("game", "square", "place", "ranks"),
    [
        ("othello", 0, (0, 0), "12345678"),
        ("othello", 63, (7, 7), "12345678"),
        ("chess", 0, (0, 7), "87654321"),
        ("chess", 63, (7, 0), "87654321"),
        ("chess", 6, (6, 7), "87654321"),
    ],
)
def test_squares_lie_where_the_game_counts_them(game, square, place, ranks):
    figure: Any = board_row([BoardView(one_piece(square, 1))], game=game, title="One piece")
    assert drawn_at(figure, "text" if game == "chess" else "markers") == [place]
    assert figure.layout.yaxis.range == (7.5, -0.5)
    assert "".join(figure.layout.yaxis.ticktext) == ranks


def test_values_lie_on_their_squares_and_a_menu_chooses_among_them():
    values = {"block 0": np.arange(64) / 64, "block 1": -np.arange(64) / 64}
    figure: Any = board_row([BoardView(EMPTY, values)] * 2, game="chess", title="Values")
    heatmaps = [
        trace for trace in figure.data if trace.type == "heatmap" and trace.zmax == 1 and trace.zmin == -1
    ]
    assert [trace.visible for trace in heatmaps] == [False, True, False, True]
    assert heatmaps[0].z[7][1] == pytest.approx(1 / 64, abs=0.006)  # b1 is on the bottom row
    buttons = figure.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == ["block 0", "block 1"]
    visible, targets = buttons[0].args
    assert [figure.data[target] in heatmaps for target in targets] == [True] * 4
    assert visible["visible"] == [True, False, True, False]
    asked: Any = board_row([BoardView(EMPTY, values)], game="chess", title="Values", show="block 0")
    assert [trace.visible for trace in asked.data if trace.type == "heatmap" and trace.zmin == -1] == [
        True,
        False,
    ]
    assert asked.layout.updatemenus[0].active == 0


def test_a_film_has_a_frame_a_view_and_shows_the_first_asked_for():
    views = [BoardView(one_piece(k, 1), {"v": np.full(64, k / 10)}, label=f"move {k}") for k in range(5)]
    figure: Any = board_film(views, game="othello", title="A film", start=2)
    assert len(figure.frames) == 5
    assert [step.label for step in figure.layout.sliders[0].steps] == [f"move {k}" for k in range(5)]
    assert figure.layout.sliders[0].active == 2
    assert drawn_at(figure, "markers") == [(2, 0)]
    for frame in figure.frames:
        types = [figure.data[target].type for target in frame.traces]
        assert types == [trace.type for trace in frame.data]
    assert figure.frames[4].data[0].z[0][0] == 0.4


def test_marks_are_explained_where_they_are_used():
    legal = np.arange(64) == 5
    predicted = np.where(legal, 0.25, 0.0)
    figure: Any = board_row(
        [BoardView(EMPTY, legal=legal, predicted=predicted)], game="othello", title="Marks"
    )
    assert drawn_at(figure, "markers") == [(5, 0), (5, 0)]
    captions = [annotation.text for annotation in figure.layout.annotations]
    assert "ring: legal · purple dot: predicted, area = probability" in captions
    framed: Any = board_row([BoardView(EMPTY, framed=9)], game="othello", title="Framed", frame="the edit")
    assert drawn_at(framed, "markers") == [(1, 1)]
    assert "frame: the edit" in [annotation.text for annotation in framed.layout.annotations]


def test_a_committed_film_stays_small():
    rng = np.random.default_rng(0)
    views = [BoardView(rng.integers(0, 3, 64), {str(k): rng.random(64) for k in range(6)}) for _ in range(59)]
    text = json.dumps(board_film(views, game="othello", title="Small").to_plotly_json(), default=list)
    assert len(text) < 500_000


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ([], "views is empty"),
        ([BoardView(np.zeros(63))], r"pieces has shape \(63,\)"),
        ([BoardView(EMPTY, legal=np.zeros((8, 8)))], r"legal has shape \(8, 8\)"),
        ([BoardView(EMPTY, {"a": EMPTY}), BoardView(EMPTY)], r"views\[1\] has values"),
    ],
)
def test_bad_views_are_named(views, message):
    for draw in (board_row, board_film):
        with pytest.raises(ValueError, match=message):
            draw(views, game="othello", title="Bad")
        with pytest.raises(ValueError, match="show is 'x'"):
            draw([BoardView(EMPTY, {"a": EMPTY})], game="othello", title="Bad", show="x")
