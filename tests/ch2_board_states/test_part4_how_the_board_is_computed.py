"""Checks of chapter 2, part 4: how the board is computed."""

from typing import Any

import pytest
import torch

from utils.boards.model import BoardConfig, BoardGPT
from utils.course import assert_close, exercise, hidden


def plain(model) -> Any:
    """The model's weights as a plain GPT in float64, out of reach of hooks."""
    cfg = model.cfg
    gpt = BoardGPT(BoardConfig(cfg.d_model, cfg.n_layers, cfg.n_heads, cfg.n_ctx, cfg.d_vocab))
    gpt.load_bridge_state(model.state_dict())
    return gpt.double().requires_grad_(False)


def random_game(rng, length=9):
    return torch.randint(0, 61, (length,), generator=rng)


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@exercise("component_contributions", points=2)
class TestComponentContributions:
    def test_shape(self, learner, tiny_board_model, rng):
        """one row a component, 1 + 2·(layer + 1) in all, and one column a move"""
        tokens, direction = random_game(rng), torch.randn(16, generator=rng)
        for layer, rows in ((0, 3), (1, 5), (2, 7)):
            received = learner.component_contributions(tiny_board_model, tokens, layer, direction)
            assert_close(received * 0, torch.zeros(rows, 9), what=f"result times 0, layer {layer}")

    def test_embedding(self, learner, tiny_board_model, rng):
        """the first row is what the embeddings of token and position, added up, have along the direction"""
        weights, tokens = tiny_board_model.state_dict(), random_game(rng)
        stream = weights["embed.weight"][tokens] + weights["pos_embed.weight"][:9]
        for plus, minus in ((3, 12), (11, 0)):
            # Coordinates that cancel, and most of them 0: still not a direction of zeros.
            direction = torch.zeros(16)
            direction[plus], direction[minus] = 1.0, -1.0
            received = learner.component_contributions(tiny_board_model, tokens, 1, direction)
            expected = (stream[:, plus] - stream[:, minus]) / 2**0.5
            what = f"first row, coordinate {plus} minus coordinate {minus}"
            assert_close(received[0], expected, rtol=1e-3, atol=1e-4, what=what)

    def test_attention_comes_before_the_mlp(self, learner, tiny_board_model, rng):
        """the second row is what attention 0 adds to the stream, the third what MLP 0 then adds"""
        gpt, tokens, direction = plain(tiny_board_model), random_game(rng), torch.randn(16, generator=rng)
        block, (stream, after, *_) = gpt.blocks[0], gpt.streams(tokens[None])
        attention = block.attn(block.ln1(stream))
        unit = direction.double() / direction.double().norm()
        received = learner.component_contributions(tiny_board_model, tokens, 0, direction)
        assert_close(received[1], attention[0] @ unit, rtol=1e-3, atol=1e-4, what="row 1, attention 0")
        mlp = after - stream - attention
        assert_close(received[2], mlp[0] @ unit, rtol=1e-3, atol=1e-4, what="row 2, MLP 0")

    def test_rows_add_up(self, learner, tiny_board_model, rng):
        """the rows add up to the projection of the stream after block `layer` on the unit vector"""
        gpt, tokens = plain(tiny_board_model), random_game(rng)
        direction = 3 * torch.randn(16, generator=rng)
        streams = gpt.streams(tokens[None])
        for layer in range(3):
            received = learner.component_contributions(tiny_board_model, tokens, layer, direction)
            expected = streams[layer + 1][0] @ (direction.double() / direction.double().norm())
            what = f"sum of the rows, layer {layer}"
            assert_close(received.double().sum(dim=0), expected, rtol=1e-3, atol=1e-4, what=what)

    def test_later_blocks_do_not_matter(self, learner, tiny_board_model, rng):
        """asked for a later layer, the rows of the earlier components are the same, and new ones follow"""
        tokens, direction = random_game(rng), torch.randn(16, generator=rng)
        whole = learner.component_contributions(tiny_board_model, tokens, 2, direction)
        for layer in (0, 1):
            received = learner.component_contributions(tiny_board_model, tokens, layer, direction)
            assert_close(
                received, whole[: 2 * layer + 3], rtol=1e-3, atol=1e-4, what=f"rows of layer {layer}"
            )

    def test_length_of_direction(self, learner, tiny_board_model, rng):
        """the length of the direction does not matter; the opposite direction gives the opposite sign"""
        tokens, direction = random_game(rng), torch.randn(16, generator=rng)
        unit = direction / direction.norm()
        expected = learner.component_contributions(tiny_board_model, tokens, 1, unit)
        for factor in (1e-3, 1000.0, -2.0):
            received = learner.component_contributions(tiny_board_model, tokens, 1, factor * unit)
            signed = expected if factor > 0 else -expected
            assert_close(received, signed, rtol=1e-3, atol=1e-4, what=f"{factor:g} times the direction")

    @hidden
    def test_agrees_with_plain_model(self, learner, tiny_board_model, rng):
        """agrees, row by row, with a plain model that keeps what each part adds; also for one move and a whole game"""
        gpt = plain(tiny_board_model)
        for length in (1, 6, 59):
            tokens, direction = random_game(rng, length), 0.1 * torch.randn(16, generator=rng)
            stream = gpt.embed(tokens[None]) + gpt.pos_embed.weight[:length]
            parts = [stream]
            for block in gpt.blocks:
                parts.append(block.attn(block.ln1(stream)))
                parts.append(block.mlp(block.ln2(stream + parts[-1])))
                stream = stream + parts[-2] + parts[-1]
            expected = torch.cat(parts) @ (direction.double() / direction.double().norm())
            for layer in range(3):
                received = learner.component_contributions(tiny_board_model, tokens, layer, direction)
                what = f"{length} moves, layer {layer}"
                assert_close(received, expected[: 2 * layer + 3], rtol=1e-3, atol=1e-4, what=what)

    def test_arguments_unchanged(self, learner, tiny_board_model, rng):
        """leaves its arguments as they were, the model too"""
        tokens, direction = random_game(rng), 2 * torch.randn(16, generator=rng)
        before = tokens.clone(), direction.clone(), weights_of(tiny_board_model)
        learner.component_contributions(tiny_board_model, tokens, 1, direction)
        assert_close(
            (tokens, direction, weights_of(tiny_board_model)), before, what="arguments after the call"
        )

    def test_zero_direction(self, learner, tiny_board_model, rng):
        """raises ValueError for a direction of zeros: it has no unit vector"""
        with pytest.raises(ValueError):
            learner.component_contributions(tiny_board_model, random_game(rng), 1, torch.zeros(16))

    def test_no_such_layer(self, learner, tiny_board_model, rng):
        """raises ValueError for a layer that the model has not, and for −1, which is not the last one here"""
        for layer in (3, 10, -1, -3):
            with pytest.raises(ValueError):
                learner.component_contributions(tiny_board_model, random_game(rng), layer, torch.ones(16))


def probes_and_boards(rng, n_layers=3, n_positions=20, d_model=6, n_squares=5, n_states=3):
    """Layers that resemble each other, so that probes are right above chance elsewhere too, and biases that matter."""
    shape = (d_model, n_squares, n_states)
    shared = torch.randn(n_positions, d_model, generator=rng)
    acts = [shared + torch.randn(n_positions, d_model, generator=rng) + 1 for _ in range(n_layers)]
    common = torch.randn(shape, generator=rng)
    weights = [common + 0.7 * torch.randn(shape, generator=rng) for _ in range(n_layers)]
    biases = [2 * torch.randn(n_squares, n_states, generator=rng) for _ in range(n_layers)]
    boards = (torch.einsum("pd,dsk->psk", shared + 1, common) + biases[0]).argmax(dim=-1)
    return weights, biases, acts, boards


def copies(probes):
    """A deep copy of lists of tensors."""
    return tuple(
        [each.clone() for each in part] if isinstance(part, list) else part.clone() for part in probes
    )


@exercise("probe_across_layers")
class TestProbeAcrossLayers:
    def test_by_hand(self, learner):
        """two layers, two positions, two squares: row i is a probe, column j the activations that it is asked about"""
        acts = [torch.tensor([[2.0], [-2.0]]), torch.tensor([[-1.0], [-3.0]])]
        boards = torch.tensor([[1, 0], [0, 0]])
        # State 1 where x > 0, on the first square of probe 0 and the second of probe 1; elsewhere the bias decides.
        reads, silent = [-1.0, 1.0], [0.0, 0.0]
        weights = [torch.tensor([[reads, silent]]), torch.tensor([[silent, reads]])]
        biases = [torch.tensor([silent, [1.0, 0.0]]), torch.tensor([[0.0, 1.0], silent])]
        received = learner.probe_across_layers(weights, biases, acts, boards)
        assert_close(received, torch.tensor([[1.0, 0.75], [0.5, 0.75]]))

    def test_bias(self, learner, rng):
        """each probe keeps its own bias, whatever activations it is asked about"""
        weights, _, acts, boards = probes_and_boards(rng)
        silent = [torch.zeros_like(weight) for weight in weights]
        # Without weights a probe always names the state of its largest bias.
        biases = [torch.eye(3)[layer].repeat(5, 1) for layer in range(3)]
        expected = torch.stack([(boards == state).float().mean() for state in range(3)])
        received = learner.probe_across_layers(silent, biases, acts, boards)
        assert_close(received, expected.unsqueeze(1).expand(3, 3), what="accuracy where only the bias speaks")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over probes, activations, positions and squares"""
        weights, biases, acts, boards = probes_and_boards(rng, n_positions=11, n_squares=4)
        expected = torch.zeros(3, 3)
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            for j, layer in enumerate(acts):
                hits = [
                    max(range(3), key=lambda k: float(row @ weight[:, square, k] + bias[square, k])) == state
                    for row, board in zip(layer, boards.tolist(), strict=True)
                    for square, state in enumerate(board)
                ]
                expected[i, j] = sum(hits) / len(hits)
        assert_close(learner.probe_across_layers(weights, biases, acts, boards), expected)

    def test_any_board(self, learner, rng):
        """boards of any number of squares and states, in any integer type; also a single layer"""
        for n_layers, n_squares, n_states, dtype in (
            (1, 7, 2, torch.int8),
            (2, 3, 13, torch.int64),
            (4, 64, 3, torch.int32),
        ):
            weights, biases, acts, _ = probes_and_boards(
                rng, n_layers=n_layers, n_squares=n_squares, n_states=n_states
            )
            # A board that the last probe guesses from its own layer: there it is right everywhere.
            guesses = (torch.einsum("pd,dsk->psk", acts[-1], weights[-1]) + biases[-1]).argmax(dim=-1)
            received = learner.probe_across_layers(weights, biases, acts, guesses.to(dtype))
            what = f"{n_layers} layers, {n_squares} squares, {n_states} states"
            assert_close(received * 0, torch.zeros(n_layers, n_layers), what=f"{what}: table times 0")
            assert_close(received[-1, -1], 1.0, what=f"{what}: on the layer that the board was guessed from")

    def test_one_layer_at_a_time(self, learner, rng):
        """an entry depends on its own probe and its own activations only"""
        weights, biases, acts, boards = probes_and_boards(rng)
        places = ((0, 2), (2, 0), (1, 1))
        alone = [learner.probe_across_layers([weights[i]], [biases[i]], [acts[j]], boards) for i, j in places]
        whole = learner.probe_across_layers(weights, biases, acts, boards)
        for (i, j), received in zip(places, alone, strict=True):
            assert_close(received, whole[i, j].expand(1, 1), what=f"probe {i} on layer {j} by themselves")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        arguments = probes_and_boards(rng)
        before = copies(arguments)
        learner.probe_across_layers(*arguments)
        assert_close(arguments, before, what="arguments after the call")

    def test_different_lengths(self, learner, rng):
        """raises ValueError where one of the three lists is shorter or longer than the others"""
        weights, biases, acts, boards = probes_and_boards(rng)
        for n, m, k in ((3, 2, 3), (3, 3, 2), (2, 3, 3), (3, 2, 2), (2, 3, 2), (2, 2, 3)):
            with pytest.raises(ValueError):
                learner.probe_across_layers(weights[:n], biases[:m], acts[:k], boards)


def two_games(rng, at, length=9):
    """Two games that differ in the moves `at`."""
    clean = random_game(rng, length)
    corrupted = clean.clone()
    corrupted[at] = (clean[at] + torch.randint(1, 61, (len(at),), generator=rng)) % 61
    return clean, corrupted


def logit_of(token, position=-1):
    """A metric: the logit of one move at one position."""

    def metric(logits):
        assert logits.ndim == 2, (
            f"metric takes the logits of one game, (pos, d_vocab), not {tuple(logits.shape)}"
        )
        return float(logits[position, token])

    return metric


def telling(model, clean, corrupted, position=-1):
    """The metric that tells the two games apart most clearly at a position."""
    gpt = plain(model)
    apart = (gpt(clean[None]) - gpt(corrupted[None]))[0, position].abs()
    return logit_of(int(apart.argmax()), position)


def patch(learner, model, *arguments):
    """The learner's answer. A hook that stays behind is another check's matter, and must not spoil this one."""
    try:
        return learner.patch_position(model, *arguments)
    finally:
        model.reset_hooks()


@exercise("patch_position", points=2)
class TestPatchPosition:
    def test_by_hand(self, learner, tiny_board_model, rng):
        """the metric is 5 for the clean game, 1 for the corrupted one: patched 2 is ¼, 9 is 2 and −1 is −½"""
        clean, corrupted = two_games(rng, [3])
        gpt = plain(tiny_board_model)
        known = [(gpt(clean[None])[0], 5.0), (gpt(corrupted[None])[0], 1.0)]
        for patched, expected in ((2.0, 0.25), (9.0, 2.0), (-1.0, -0.5)):

            def metric(logits, patched=patched):
                for of_game, number in known:
                    if logits.shape == of_game.shape and torch.allclose(logits.double(), of_game, atol=1e-3):
                        return number
                return patched

            assert_close(
                patch(learner, tiny_board_model, clean, corrupted, 0, 3, metric),
                expected,
                what=f"metrics 5, 1 and {patched:g}",
            )

    def test_what_metric_is_given(self, learner, tiny_board_model, rng):
        """metric is given the logits of one game, of shape (pos, d_vocab): no batch, all positions"""
        clean, corrupted = two_games(rng, [2])
        telling_apart = telling(tiny_board_model, clean, corrupted)

        def metric(logits):
            assert tuple(logits.shape) == (9, 61), (
                f"expected logits of shape (9, 61), not {tuple(logits.shape)}"
            )
            return telling_apart(logits)

        received = patch(learner, tiny_board_model, clean, corrupted, 2, 8, metric)
        assert_close(received, 1.0, rtol=1e-3, atol=1e-3)

    def test_after_the_last_block(self, learner, tiny_board_model, rng):
        """after the last block nothing moves any more: only the position that the metric reads restores, and all"""
        clean, corrupted = two_games(rng, [1, 4])
        for read in (8, 6):
            metric = telling(tiny_board_model, clean, corrupted, read)
            for position in (1, 6, 8):
                received = patch(learner, tiny_board_model, clean, corrupted, 2, position, metric)
                what = f"metric reads position {read}, patched at {position}"
                assert_close(received, float(position == read), rtol=1e-3, atol=1e-3, what=what)

    def test_attention_moves_it_on(self, learner, tiny_board_model, rng):
        """before the last block the move that differs still reaches the last position, through the attention there"""
        clean, corrupted = two_games(rng, [1])
        of_corrupted = plain(tiny_board_model)(corrupted[None])[0, -1]

        def distance(logits):
            return float((logits[-1].double() - of_corrupted).norm())

        received = patch(learner, tiny_board_model, clean, corrupted, 1, 1, distance)
        assert received > 1e-4, f"expected more than 0 after block 1 of 3, received {received:.6g}"

    def test_before_the_games_differ(self, learner, tiny_board_model, rng):
        """at a position before the first different move the streams are the same: nothing is restored"""
        clean, corrupted = two_games(rng, [5])
        metric = telling(tiny_board_model, clean, corrupted)
        for layer, position in ((0, 4), (1, 0), (2, 3)):
            received = patch(learner, tiny_board_model, clean, corrupted, layer, position, metric)
            assert_close(received, 0.0, atol=1e-3, what=f"layer {layer}, position {position}")

    def test_only_the_last_move_differs(self, learner, tiny_board_model, rng):
        """where only the last move differs, the last position restores everything, after whatever block"""
        clean, corrupted = two_games(rng, [8])
        metric = telling(tiny_board_model, clean, corrupted)
        for layer in range(3):
            received = patch(learner, tiny_board_model, clean, corrupted, layer, 8, metric)
            assert_close(received, 1.0, rtol=1e-3, atol=1e-3, what=f"layer {layer}")

    def test_units_of_metric(self, learner, tiny_board_model, rng):
        """a metric in other units, moved or with the opposite sign gives the same share"""
        clean, corrupted = two_games(rng, [2, 6])
        metric = telling(tiny_board_model, clean, corrupted)
        expected = patch(learner, tiny_board_model, clean, corrupted, 0, 6, metric)
        for factor, shift in ((100.0, 0.0), (1.0, 7.0), (-0.5, 1.0)):
            other = lambda logits, factor=factor, shift=shift: factor * metric(logits) + shift  # noqa: E731
            received = patch(learner, tiny_board_model, clean, corrupted, 0, 6, other)
            what = f"{factor:g} × metric + {shift:g}"
            assert_close(received, expected, rtol=1e-3, atol=1e-3, what=what)

    @hidden
    def test_agrees_with_plain_model(self, learner, tiny_board_model, rng):
        """agrees with a plain model, run block by block, whose stream is exchanged by hand"""
        clean, corrupted = two_games(rng, [0, 3], length=7)
        metric = telling(tiny_board_model, clean, corrupted)
        gpt = plain(tiny_board_model)
        high, low = (metric(gpt(tokens[None])[0]) for tokens in (clean, corrupted))
        for layer in range(3):
            for position in (0, 3, 6):
                stream = gpt.streams(corrupted[None])[layer + 1]
                stream[:, position] = gpt.streams(clean[None])[layer + 1][:, position]
                for block in list(gpt.blocks)[layer + 1 :]:
                    stream = block(stream)
                patched = metric(gpt.unembed(gpt.ln_final(stream))[0])
                received = patch(learner, tiny_board_model, clean, corrupted, layer, position, metric)
                what = f"layer {layer}, position {position}"
                assert_close(received, (patched - low) / (high - low), rtol=1e-3, atol=1e-3, what=what)

    def test_model_unchanged(self, learner, tiny_board_model, rng):
        """leaves the model as it was: no hook stays on it, and the same call gives the same after another one"""
        before = weights_of(tiny_board_model)
        games, others = two_games(rng, [2, 8]), two_games(rng, [0])
        metric, of_others = (telling(tiny_board_model, *pair) for pair in (games, others))
        try:
            first = learner.patch_position(tiny_board_model, *games, 0, 2, metric)
            learner.patch_position(tiny_board_model, *others, 1, 4, of_others)
            again = learner.patch_position(tiny_board_model, *games, 0, 2, metric)
            left = [name for name, point in tiny_board_model.hook_dict.items() if point.has_hooks()]
        finally:
            tiny_board_model.reset_hooks()
        assert not left, f"a hook is still on the model, at {left[0]}"
        assert_close(again, first, rtol=1e-3, atol=1e-3, what="the same call after another one")
        assert_close(weights_of(tiny_board_model), before, what="the model's weights after the calls")

    def test_arguments_unchanged(self, learner, tiny_board_model, rng):
        """leaves both games as they were"""
        games = two_games(rng, [1])
        metric = telling(tiny_board_model, *games)
        before = tuple(game.clone() for game in games)
        patch(learner, tiny_board_model, *games, 1, 1, metric)
        assert_close(games, before, what="games after the call")

    def test_different_lengths(self, learner, tiny_board_model, rng):
        """raises ValueError where one game is longer than the other"""
        clean, corrupted = two_games(rng, [1])
        metric = telling(tiny_board_model, clean, corrupted)
        for games in ((clean, corrupted[:-1]), (clean[:-1], corrupted)):
            with pytest.raises(ValueError):
                patch(learner, tiny_board_model, *games, 1, 1, metric)

    def test_no_such_place(self, learner, tiny_board_model, rng):
        """raises ValueError for a layer or a position that does not exist; negative ones do not"""
        games = two_games(rng, [1])
        metric = telling(tiny_board_model, *games)
        for layer, position in ((3, 1), (-1, 1), (1, 9), (1, -1)):
            with pytest.raises(ValueError):
                patch(learner, tiny_board_model, *games, layer, position, metric)

    def test_nothing_to_restore(self, learner, tiny_board_model, rng):
        """raises ValueError where the metric is the same for both games: there is nothing to restore"""
        games = two_games(rng, [1])
        for number in (2.5, 0.0):
            with pytest.raises(ValueError):
                patch(learner, tiny_board_model, *games, 0, 1, lambda logits, number=number: number)
