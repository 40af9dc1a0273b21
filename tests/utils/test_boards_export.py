"""From a small checkpoint to the stored weights and the card, whose numbers are those of the stored file."""

import re

import pytest
import torch

from utils.boards import chess_games, export, train
from utils.boards.evaluate import board_labels, measure, probe_board
from utils.boards.model import BoardConfig, BoardGPT, read_model
from utils.boards.tasks import ChessTask, OthelloTask
from utils.boards.train import Recipe, Trainer

CONFIGS = {
    "othello": BoardConfig(d_model=8, n_layers=1, n_heads=2, n_ctx=59, d_vocab=61),
    "chess": BoardConfig(d_model=8, n_layers=1, n_heads=2, n_ctx=80, d_vocab=97),
}


def tiny_task(game, tmp_path, monkeypatch):
    if game == "othello":
        monkeypatch.setattr("utils.boards.tasks._CHUNK", 8)
        return OthelloTask(CONFIGS[game])
    shard = tmp_path / "shard.npz"
    chess_games.save(chess_games.generate(4, seed=1_000_000), shard)
    return ChessTask((shard,), CONFIGS[game])


@pytest.fixture(params=["othello", "chess"])
def trained(request, tmp_path, monkeypatch):
    """A run of one step, saved where `train.main` saves it."""
    monkeypatch.setenv("PROBING_HOME", str(tmp_path))
    task = tiny_task(request.param, tmp_path, monkeypatch)
    folder = train.cache_folder("boards", request.param)
    run = Trainer(task, Recipe(minutes=1e-9), folder)
    run.run(validate_games=2)
    assert run.steps == 1
    return request.param, run


def rows(card: str) -> dict[str, list[float]]:
    """The numbers of each table row by its first cell."""
    cells = [
        [cell.strip(" *") for cell in line.strip("|").split("|")] for line in card.splitlines() if "|" in line
    ]
    number = re.compile(r"-?\d[\d,.]*")
    return {
        first: [float(cell.replace(",", "")) for cell in rest]
        for first, *rest in cells
        if rest and all(number.fullmatch(cell) for cell in rest)
    }


@pytest.mark.slow
def test_checkpoint_to_weights_and_card(trained, tmp_path, capsys):
    game, run = trained
    folder = tmp_path / "weights"
    export.main([game, "--games", "8", "--folder", str(folder), "--note", "A trial."])
    assert sorted(path.name for path in folder.iterdir()) == [f"{game}.md", f"{game}.safetensors"]
    stored = read_model(folder / f"{game}.safetensors")
    for name, value in run.model.state_dict().items():
        assert torch.equal(stored.state_dict()[name], value.half().float())

    card = (folder / f"{game}.md").read_text()
    assert capsys.readouterr().out.endswith(card + "\n")
    assert "A trial." in card
    assert f"load_board_model('{game}')" in card
    assert f"{run.games} games in 1 steps" in card
    table = rows(card)
    for name, quality in export.quality(game, stored, 8).items():
        expected = [quality.loss, quality.floor, quality.top1_legal, quality.legal_mass]
        assert table[name] == pytest.approx(expected, abs=6e-5)
    untrained = BoardGPT(CONFIGS[game], seed=1)
    for labels, relative in (("mine and theirs", True), ("absolute colours", False)):
        train_labels = board_labels(game, 6, export._PROBE_TRAIN_SEED, relative)
        test_labels = board_labels(game, 2, export._PROBE_TEST_SEED, relative)
        for name, model in ((labels, stored), (f"{labels}, untrained model", untrained)):
            result = probe_board(model.streams, train_labels, test_labels)
            assert table[name] == pytest.approx([result.majority, *result.by_layer], abs=6e-4)


def test_chess_quality_tells_origins_from_goals_and_late_from_early():
    """A goal is easier to name than an origin; the four parts are those of a loop over positions."""
    model = BoardGPT(CONFIGS["chess"], seed=2)
    parts = export.quality("chess", model, 6)
    games = ChessTask((), model.config).validation(6, export._TEST_SEED)
    expected = {
        "from": range(0, 80, 2),
        "to": range(1, 80, 2),
        "from, beyond ply 20": range(40, 80, 2),
        "to, beyond ply 20": range(41, 80, 2),
    }
    assert parts.keys() == expected.keys()
    log_p = model(games.tokens).log_softmax(-1).detach()
    for name, positions in expected.items():
        losses = [
            -(games.targets[g, i] * log_p[g, i]).sum().item()
            for g in range(6)
            for i in positions
            if games.legal[g, i].any()
        ]
        assert parts[name].loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert parts["to"].floor < parts["from"].floor


def test_othello_quality():
    model = BoardGPT(CONFIGS["othello"], seed=2)
    unseen = OthelloTask(model.config).validation(4, export._TEST_SEED)
    assert export.quality("othello", model, 4) == {"all moves": measure(model, unseen)}


def test_without_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBING_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"checkpoint\.pt"):
        export.main(["othello", "--folder", str(tmp_path)])
