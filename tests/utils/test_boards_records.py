"""Recorded games and the probe that lessons fit to them."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from utils.boards import chess, chess_games, othello
from utils.boards.probe import linear_board_probe
from utils.boards.records import chess_records, othello_records


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBING_HOME", str(tmp_path))


def test_othello_records_agree_with_the_rules_and_fill_the_board():
    records = othello_records(30, seed=1)
    moves = records.moves.numpy()
    assert records.tokens.shape == (30, 59)
    assert (moves >= 0).all()
    assert (records.to_move > 0).all()
    assert np.array_equal(othello.decode(records.tokens.numpy()), moves)
    assert np.array_equal(othello.board_states(moves), records.boards.numpy())
    assert np.array_equal(othello.legal_moves(moves), records.legal.numpy())
    assert torch.equal(othello_records(30, seed=1).tokens, records.tokens)
    assert not torch.equal(othello_records(30, seed=2).tokens, records.tokens)


def test_chess_records_agree_with_the_rules():
    records = chess_records(8, seed=1)
    columns = records.columns.numpy()
    assert np.array_equal(chess.encode(columns), records.tokens.numpy())
    assert np.array_equal(chess.board_states(columns), records.boards.numpy())
    assert np.array_equal(chess.legal_moves(columns), records.legal.numpy())
    assert np.array_equal(chess.to_move(columns), records.to_move.numpy())
    assert records.ratings.shape == (8, 2)


def test_chess_records_are_made_once(monkeypatch):
    first = chess_records(3, seed=1)
    monkeypatch.setattr(chess_games, "generate", None)
    again = chess_records(3, seed=1)
    assert torch.equal(again.columns, first.columns)
    assert torch.equal(again.legal, first.legal)


@pytest.mark.parametrize("make", [othello_records, chess_records])
def test_a_negative_number_of_games_is_refused(make):
    with pytest.raises(ValueError, match="-1"):
        make(-1, seed=0)


def test_board_probe_is_ridge_regression_on_one_hot_states():
    generator = torch.Generator().manual_seed(0)
    acts = torch.randn(200, 6, generator=generator) + 3
    boards = torch.randint(0, 4, (200, 5), generator=generator)
    probe = linear_board_probe(acts, boards, n_states=4, l2=2.0)
    onehot = torch.nn.functional.one_hot(boards, 4).flatten(1).double().numpy()
    ridge = Ridge(alpha=2.0).fit(acts.double().numpy(), onehot)
    expected = torch.from_numpy(ridge.predict(acts.double().numpy())).float().view(200, 5, 4)
    assert torch.allclose(probe.logits(acts), expected, atol=1e-4)
    assert torch.equal(probe.read(acts), expected.argmax(-1))


def test_board_probe_refuses_what_does_not_fit():
    acts, boards = torch.zeros(3, 2), torch.zeros(3, 4, dtype=torch.long)
    with pytest.raises(ValueError, match="3 activations for 2 boards"):
        linear_board_probe(acts, boards[:2], 2)
    with pytest.raises(ValueError, match="expected 0 to 1"):
        linear_board_probe(acts, boards + 2, 2)
