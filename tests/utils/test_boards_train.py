"""The trainer on a toy game with a clock that ticks once a step, and what the two real games hand to it."""

import itertools
import json
import math
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from utils.boards import chess, chess_games, othello, tasks, train
from utils.boards.evaluate import measure
from utils.boards.model import BoardConfig, BoardGPT
from utils.boards.tasks import ChessTask, Games, OthelloTask, UnseenGames, make_task
from utils.boards.train import Recipe, Trainer

TOY = BoardConfig(d_model=16, n_layers=1, n_heads=2, n_ctx=6, d_vocab=7)
CHUNK_GAMES, BATCH_GAMES = 32, 8
STEPS_A_CHUNK = CHUNK_GAMES // BATCH_GAMES


def toy_games(n: int, seed: int) -> UnseenGames:
    """After token t either t + 1 or t + 2 comes next; games end after 3 to 6 positions."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(TOY.d_vocab, (n, TOY.n_ctx), generator=generator)
    length = torch.randint(3, TOY.n_ctx + 1, (n, 1), generator=generator)
    legal = (
        sum(torch.nn.functional.one_hot((tokens + step) % TOY.d_vocab, TOY.d_vocab) for step in (1, 2)) > 0
    )
    legal &= (torch.arange(TOY.n_ctx) < length)[..., None]
    return UnseenGames(tokens, legal / 2, legal)


@dataclass
class ToyTask:
    """Counts the chunks that it hands out, and pulls the plug before one of them if asked to."""

    killed_at: int | None = None
    config: BoardConfig = TOY
    started: list[int] = field(default_factory=list)

    def chunks(self, start):
        for chunk in itertools.count(start):
            if chunk == self.killed_at:
                raise KeyboardInterrupt
            self.started.append(chunk)
            yield toy_games(CHUNK_GAMES, 100 + chunk)

    def validation(self, n_games):
        return toy_games(n_games, 0)


@pytest.fixture(autouse=True)
def one_second_a_step(monkeypatch):
    """Every look at the clock is a second later, and the trainer looks once a step."""
    monkeypatch.setattr(train, "time", SimpleNamespace(monotonic=itertools.count().__next__))


def trainer(folder, task=None, minutes=1.0, **recipe) -> Trainer:
    return Trainer(task or ToyTask(), Recipe(minutes=minutes, batch_games=BATCH_GAMES, **recipe), folder)


def weights(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


class TestRun:
    def test_learns(self, tmp_path):
        """From chance (ln 7 nats) most of the way down to the floor (ln 2 nats) in 30 steps."""
        run = trainer(tmp_path, minutes=0.5, adam_lr=0.02)
        before = measure(run.model, toy_games(64, 0))
        after = run.run(validate_games=64)
        assert before.loss == pytest.approx(math.log(7), abs=0.05)
        assert after.floor == pytest.approx(math.log(2), abs=1e-5)
        assert after.floor < after.loss < 0.8
        assert after.top1_legal > 0.9 > before.top1_legal

    def test_stops_when_the_minutes_are_used_up(self, tmp_path):
        task = ToyTask()
        run = trainer(tmp_path, task, minutes=0.5)
        run.run(validate_games=4)
        assert (run.steps, run.games, run.seconds) == (30, 30 * BATCH_GAMES, 30)
        assert task.started == list(range(math.ceil(30 / STEPS_A_CHUNK)))

    def test_logs_and_saves_at_intervals(self, tmp_path, capsys):
        run = trainer(tmp_path)
        final = run.run(validate_games=8, log_every=20)
        assert [row["steps"] for row in run.log] == [20, 40, 60, 60]
        assert [row["minutes"] for row in run.log] == [0.33, 0.67, 1, 1]
        assert run.log[-1]["loss"] == pytest.approx(final.loss, abs=1e-5)
        assert json.loads((tmp_path / "log.json").read_text()) == run.log
        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == run.log
        assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "log.json"]

    def test_last_batch_of_a_chunk_may_be_smaller(self, tmp_path):
        run = Trainer(ToyTask(), Recipe(minutes=0.05, batch_games=20), tmp_path)
        run.run(validate_games=4)
        assert (run.steps, run.games) == (3, 20 + 12 + 20)

    def test_callers_random_draws_are_untouched(self, tmp_path):
        torch.manual_seed(0)
        expected = torch.rand(3)
        torch.manual_seed(0)
        trainer(tmp_path, minutes=0.1).run(validate_games=4)
        assert torch.equal(torch.rand(3), expected)


class TestResume:
    def test_killed_run_goes_on_as_if_nothing_had_happened(self, tmp_path):
        """Killed at chunk 6 (step 24), last saved at step 20: chunk 5 is next, and the end is the same."""
        whole = trainer(tmp_path / "whole", minutes=0.5)
        whole.run(validate_games=8, log_every=10, save_every=10)
        killed = trainer(tmp_path / "killed", ToyTask(killed_at=6), minutes=0.5)
        with pytest.raises(KeyboardInterrupt):
            killed.run(validate_games=8, log_every=10, save_every=10)
        assert killed.steps == 24

        task = ToyTask()
        resumed = trainer(tmp_path / "killed", task, minutes=0.5)
        resumed.resume()
        assert (resumed.seconds, resumed.steps, resumed.games) == (20, 20, 20 * BATCH_GAMES)
        assert resumed.chunk == 5
        assert [row["steps"] for row in resumed.log] == [10, 20]
        resumed.run(validate_games=8, log_every=10, save_every=10)
        assert task.started[0] == 5
        assert (resumed.seconds, resumed.steps, resumed.games) == (whole.seconds, whole.steps, whole.games)
        assert resumed.chunk == whole.chunk
        assert [row["steps"] for row in resumed.log] == [row["steps"] for row in whole.log]
        torch.testing.assert_close(weights(resumed.model), weights(whole.model), rtol=0, atol=1e-5)

    def test_checkpoint_holds_model_and_optimisers(self, tmp_path):
        run = trainer(tmp_path, minutes=0.1)
        run.run(validate_games=4)
        other = trainer(tmp_path, minutes=0.1, seed=1)
        assert not torch.equal(weights(other.model), weights(run.model))
        other.resume()
        assert torch.equal(weights(other.model), weights(run.model))
        for theirs, ours in ((other.muon, run.muon), (other.adam, run.adam)):
            restored, kept = theirs.state_dict()["state"], ours.state_dict()["state"]
            assert restored.keys() == kept.keys()
            for key in kept:
                for name, value in kept[key].items():
                    assert torch.equal(torch.as_tensor(restored[key][name]), torch.as_tensor(value))

    def test_mid_chunk_the_rest_of_the_chunk_is_left_out(self, tmp_path):
        """Games are never repeated: a run saved in the middle of chunk 1 goes on with chunk 2."""
        trainer(tmp_path, minutes=0.1).run(validate_games=4)
        task = ToyTask()
        resumed = trainer(tmp_path, task, minutes=0.2)
        resumed.resume()
        resumed.run(validate_games=4)
        assert task.started[0] == 2

    def test_without_checkpoint(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="without --resume"):
            trainer(tmp_path).resume()

    def test_another_shape(self, tmp_path):
        trainer(tmp_path).save()
        other = ToyTask(config=replace(TOY, d_model=32))
        with pytest.raises(ValueError, match="'d_model': 16.* not .*'d_model': 32"):
            trainer(tmp_path, other).resume()


class TestLearningRate:
    @pytest.mark.parametrize(
        ("seconds", "fraction"),
        [(0, 0.01), (30, 0.51), (60, 1), (300, 1), (450, 0.5), (570, 0.1), (600, 0), (700, 0)],
    )
    def test_rises_stays_and_falls(self, tmp_path, seconds, fraction):
        """Ten minutes: up over the first one, down to zero over the last five."""
        run = trainer(tmp_path, minutes=10, warmup=0.1, decay=0.5)
        run.seconds = seconds
        assert run.rate() == pytest.approx(fraction)

    def test_step_uses_it(self, tmp_path):
        run = trainer(tmp_path, minutes=10, muon_lr=0.04, adam_lr=0.004)
        run.seconds = 450
        one_step(run, toy_games(BATCH_GAMES, 1))
        assert [group["lr"] for group in run.muon.param_groups] == pytest.approx([0.02])
        assert [group["lr"] for group in run.adam.param_groups] == pytest.approx([0.002])

    def test_muon_has_the_blocks_matrices_and_adam_the_rest(self, tmp_path):
        run = trainer(tmp_path)
        names = {id(p): name for name, p in run.model.named_parameters()}
        muon, adam = (
            {names[id(p)] for group in optimiser.param_groups for p in group["params"]}
            for optimiser in (run.muon, run.adam)
        )
        assert muon == {f"blocks.0.attn.{x}.weight" for x in "qkvo"} | {
            "blocks.0.mlp.up.weight",
            "blocks.0.mlp.out.weight",
        }
        assert not muon & adam
        assert muon | adam == set(names.values())


def one_step(run: Trainer, games: Games) -> None:
    with train.ThreadPoolExecutor(run.recipe.threads) as pool:
        run._step(games, 0, pool)


def gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad


class TestGradient:
    """A batch in pieces has the gradient of the batch at once: the mean over all positions that have a target."""

    def gradients(self, run, games):
        model = BoardGPT(TOY, seed=run.recipe.seed)
        log_p = model(games.tokens).log_softmax(-1)
        seen = games.targets.sum(-1) > 0
        loss = -(games.targets * log_p).sum(-1)[seen].mean()
        loss.backward()
        one_step(run, games)
        expected, got = dict(model.named_parameters()), dict(run.model.named_parameters())
        return [(gradient(got[name]), gradient(expected[name])) for name in expected]

    @pytest.mark.parametrize(("threads", "n_games"), [(1, 8), (2, 8), (2, 7), (3, 8), (2, 1)])
    def test_exact_in_float32(self, tmp_path, threads, n_games):
        games = toy_games(n_games, seed=5)
        for got, expected in self.gradients(trainer(tmp_path, threads=threads), games):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-7)

    def test_close_in_bfloat16(self, tmp_path):
        for got, expected in self.gradients(trainer(tmp_path, bfloat16=True), toy_games(8, seed=5)):
            assert (got - expected).norm() <= 0.03 * expected.norm() + 1e-6


class TestMeasure:
    def test_agrees_with_loop(self):
        games = toy_games(11, seed=3)
        table = torch.nn.Embedding(TOY.d_vocab, TOY.d_vocab)
        with torch.no_grad():
            table.weight.normal_(0, 2, generator=torch.Generator().manual_seed(1))
        rows = []
        for tokens, targets, legal in zip(games.tokens, games.targets, games.legal, strict=True):
            for token, target, allowed in zip(tokens, targets.tolist(), legal.tolist(), strict=True):
                if not any(target):
                    continue
                scores = [math.exp(x) for x in table.weight[token].tolist()]
                p = [score / sum(scores) for score in scores]
                rows.append(
                    (
                        -sum(t * math.log(q) for t, q in zip(target, p, strict=True)),
                        -sum(t * math.log(t) for t in target if t),
                        allowed[p.index(max(p))],
                        sum(q for q, a in zip(p, allowed, strict=True) if a),
                    )
                )
        assert len(rows) < games.tokens.numel()
        expected = np.mean(np.array(rows, dtype=float), axis=0)
        for micro in (2, 128):
            q = measure(table, games, micro)
            np.testing.assert_allclose([q.loss, q.floor, q.top1_legal, q.legal_mass], expected, rtol=1e-5)

    def test_nothing_to_measure(self):
        games = toy_games(3, seed=0)
        over = replace(games, targets=torch.zeros_like(games.targets))
        with pytest.raises(ValueError, match="no position has a target"):
            measure(BoardGPT(TOY), over)


def fresh_and_indifferent(config: BoardConfig) -> BoardGPT:
    """A small model of the game's vocabulary and context that gives every token the same probability."""
    model = BoardGPT(replace(config, d_model=8, n_layers=1, n_heads=2))
    torch.nn.init.zeros_(model.unembed.weight)
    return model


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    path = tmp_path_factory.mktemp("shards") / "games.npz"
    chess_games.save(chess_games.generate(3, seed=1), path)
    return path


class TestTasks:
    def validation(self, game):
        return (OthelloTask() if game == "othello" else ChessTask(())).validation(6)

    @pytest.mark.parametrize(("game", "n_pos", "d_vocab"), [("othello", 59, 61), ("chess", 80, 97)])
    def test_unseen_games_fit_a_fresh_model(self, game, n_pos, d_vocab):
        """Shapes agree from the rules to the measure: a model that is indifferent has a loss of ln d_vocab."""
        config = tasks.OTHELLO_CONFIG if game == "othello" else tasks.CHESS_CONFIG
        games = self.validation(game)
        assert (config.n_ctx, config.d_vocab) == (n_pos, d_vocab)
        assert games.tokens.shape == (6, n_pos)
        assert games.targets.shape == games.legal.shape == (6, n_pos, d_vocab)
        assert (games.targets.dtype, games.legal.dtype) == (torch.float32, torch.bool)
        quality = measure(fresh_and_indifferent(config), games)
        n_legal = games.legal.sum(-1)[games.targets.sum(-1) > 0].float().mean().item()
        assert quality.loss == pytest.approx(math.log(d_vocab), rel=1e-5)
        assert quality.legal_mass == pytest.approx(n_legal / d_vocab, rel=1e-4)
        assert 0 < quality.floor < quality.loss

    @pytest.mark.parametrize("game", ["othello", "chess"])
    def test_each_token_is_a_legal_reply_to_those_before_it(self, game):
        games = self.validation(game)
        over = {"othello": 0, "chess": chess.START_TOKEN}[game]
        played = games.tokens[:, 1:] != over
        for allowed in (games.legal, games.targets > 0):
            replied = allowed[:, :-1].gather(-1, games.tokens[:, 1:, None]).squeeze(-1)
            assert torch.equal(replied, played)
        assert not games.legal[..., over].any()
        sums = games.targets.sum(-1)
        torch.testing.assert_close(sums, (games.legal.sum(-1) > 0).float())
        assert not games.targets[~games.legal].any()

    def test_finished_othello_games_have_no_target(self):
        """This game is over after nine moves; the others of the batch go on."""
        wipe_out = [37, 45, 19, 20, 21, 29, 53, 54, 63]
        batch = np.full((2, 60), -1, dtype=np.int8)
        batch[0, :9] = wipe_out
        batch[1] = othello.random_games(1, seed=0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(othello, "random_games", lambda n, seed: batch)
            games = OthelloTask().games(2, 0)
        assert (games.targets.sum(-1) > 0)[0].tolist() == [True] * 8 + [False] * 51
        assert games.legal[1].any(-1).sum() > 50

    def test_training_games_fit_a_fresh_model(self, shard, monkeypatch):
        monkeypatch.setattr(tasks, "_CHUNK", 4)
        for task, n_games in ((OthelloTask(), 4), (ChessTask((shard,)), 3)):
            games = next(task.chunks(0))
            shape = (n_games, task.config.n_ctx, task.config.d_vocab)
            assert games.targets.shape == shape
            model = fresh_and_indifferent(task.config)
            assert model(games.tokens).shape == shape

    def test_training_seeds_are_none_of_the_others(self, tmp_path, monkeypatch):
        """Games to train on, to validate on, to judge and to probe come from different seeds."""
        from utils.boards import export

        judged = [export._TEST_SEED, export._PROBE_TRAIN_SEED, export._PROBE_TEST_SEED]
        seeds = {"othello": [], "chess": []}
        play_othello, play_chess = othello.random_games, chess_games.generate

        def random_games(n, seed):
            seeds["othello"].append(seed)
            return play_othello(1, seed)

        def generate(n, seed):
            seeds["chess"].append(seed)
            return play_chess(1, seed, n_plies=1)

        monkeypatch.setenv("PROBING_HOME", str(tmp_path))
        monkeypatch.setattr(othello, "random_games", random_games)
        monkeypatch.setattr(chess_games, "generate", generate)
        list(itertools.islice(OthelloTask().chunks(0), 5))
        chess_games.make_shards(5 * chess_games.SHARD)
        for game, task in (("othello", OthelloTask()), ("chess", ChessTask(()))):
            training = seeds[game].copy()
            assert len(set(training)) == 5
            task.validation(1)
            (validating,) = seeds[game][5:]
            assert len({*training, validating, *judged}) == 5 + 1 + 3

    def test_othello_chunks_go_on_where_they_stopped(self, monkeypatch):
        monkeypatch.setattr(tasks, "_CHUNK", 3)
        chunks = [games.tokens for games in itertools.islice(OthelloTask().chunks(0), 4)]
        assert torch.equal(next(OthelloTask().chunks(3)).tokens, chunks[3])
        assert not torch.equal(chunks[2], chunks[3])

    def test_chess_chunks_are_every_shard_once_an_epoch(self, tmp_path):
        paths = tuple(tmp_path / f"{k}.npz" for k in range(4))
        for k, path in enumerate(paths):
            chess_games.save(chess_games.generate(1, seed=10 + k, n_plies=2), path)
        stored = [chess.encode(chess_games.load(path).tokens).tolist() for path in paths]

        def order(start, n):
            chunks = itertools.islice(ChessTask(paths).chunks(start), n)
            return [stored.index(games.tokens.tolist()) for games in chunks]

        twelve = order(0, 12)
        epochs = [twelve[:4], twelve[4:8], twelve[8:]]
        assert [sorted(epoch) for epoch in epochs] == [[0, 1, 2, 3]] * 3
        assert len({tuple(epoch) for epoch in epochs}) > 1
        assert order(5, 7) == twelve[5:]

    def test_chess_without_games(self):
        with pytest.raises(ValueError, match="no games to train on"):
            next(ChessTask(()).chunks(0))

    def test_make_task(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PROBING_HOME", str(tmp_path))
        monkeypatch.setattr(chess_games, "SHARD", 2)
        monkeypatch.setattr(tasks, "CHESS_TRAINING_GAMES", 3)
        assert make_task("othello") == OthelloTask()
        task = make_task("chess")
        assert isinstance(task, ChessTask)
        assert [path.exists() for path in task.shards] == [True, True]
        with pytest.raises(ValueError, match="'go'.*'othello' and 'chess'"):
            make_task("go")


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PROBING_HOME", str(tmp_path))
        monkeypatch.setattr(train, "make_task", lambda game, workers: ToyTask())
        monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
        monkeypatch.setattr(train, "bfloat16_is_faster", lambda: False)
        return tmp_path / "cache" / "boards" / "othello"

    def test_trains_and_resumes_in_the_cache_folder(self, folder):
        train.main(["othello", "--minutes", "0.05"])
        train.main(["othello", "--minutes", "0.1", "--resume"])
        assert [row["steps"] for row in json.loads((folder / "log.json").read_text())] == [3, 6]
        state = torch.load(folder / "checkpoint.pt", weights_only=True)
        assert BoardConfig(**state["config"]) == TOY
        assert Recipe(**state["recipe"]) == Recipe(minutes=0.1)

    def test_never_overwrites_a_checkpoint_unasked(self, folder, capsys):
        train.main(["othello", "--minutes", "0.05"])
        stamp = (folder / "checkpoint.pt").stat().st_mtime_ns
        with pytest.raises(SystemExit):
            train.main(["othello", "--minutes", "0.05"])
        assert "add --resume" in capsys.readouterr().err
        assert (folder / "checkpoint.pt").stat().st_mtime_ns == stamp

    def test_resume_without_checkpoint(self, folder):
        with pytest.raises(FileNotFoundError):
            train.main(["othello", "--resume"])


@pytest.mark.parametrize("faster", [torch.float32, torch.bfloat16])
def test_chooses_the_faster_precision(monkeypatch, faster):
    ticks = iter([0, 2, 2, 3 if faster is torch.bfloat16 else 5])
    monkeypatch.setattr(train, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    assert train.bfloat16_is_faster() is (faster is torch.bfloat16)


@pytest.mark.parametrize("wrong", [{"minutes": 0}, {"warmup": 0}, {"decay": 0}, {"decay": 1.5}])
def test_a_recipe_that_cannot_be_followed_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} {next(iter(wrong.values()))}"):
        Recipe(**{"minutes": 1, **wrong})
