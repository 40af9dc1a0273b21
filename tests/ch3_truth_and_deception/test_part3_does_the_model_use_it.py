"""Checks of chapter 3, part 3: does the model use it?"""

import math
from typing import Any

import pytest
import torch

from utils.course import assert_close, exercise, hidden, resources


def stream(rng, batch=2, n_positions=5, d_model=4, dtype=torch.float32):
    return torch.randn(batch, n_positions, d_model, generator=rng, dtype=dtype) + 1


def new_direction(rng, d_model=4, dtype=torch.float32):
    """Of length 3, so that a direction of unit length shows."""
    direction = torch.randn(d_model, generator=rng, dtype=dtype)
    return 3 * direction / direction.norm()


def steered(resid, direction, coefficient, positions):
    """The stream with the direction added at these positions, which count from 0."""
    expected = resid.clone()
    for position in positions:
        expected[:, position] = resid[:, position] + coefficient * direction
    return expected


def texts(rng, lengths=(4, 1, 6, 3), d_vocab=9, dtype=torch.float32):
    """Logits of texts padded on the right, and the last real position of each."""
    logits = 2 * torch.randn(len(lengths), max(lengths), d_vocab, generator=rng, dtype=dtype)
    return logits, torch.tensor(lengths) - 1


TRUE_IDS, FALSE_IDS = [6, 2, 8], [0, 5]


@exercise("truth_logit_difference")
class TestTruthLogitDifference:
    def test_by_hand(self, learner):
        """with tokens of the odds 1 : 2 : 3 : 4, true 0 and 2 against false 1 is log 4 − log 2"""
        logits = torch.tensor([1.0, 2.0, 3.0, 4.0]).log().expand(1, 1, 4)
        last = torch.tensor([0])
        for true_ids, false_ids, odds in (
            ([0, 2], [1], 2.0),
            ([1], [0, 2], 0.5),
            ([3], [1], 2.0),
            ([0, 1], [2, 3], 3 / 7),
        ):
            received = learner.truth_logit_difference(logits, last, true_ids, false_ids)
            what = f"true tokens {true_ids}, false tokens {false_ids}"
            assert_close(received, torch.tensor([odds]).log(), atol=1e-5, what=what)

    def test_last_of_each_text(self, learner):
        """each text is read at its own last position"""
        # One true and one false token: their difference is 10 · text + position.
        difference = 10.0 * torch.arange(3)[:, None] + torch.arange(4)
        logits = torch.stack([difference + 1, torch.ones(3, 4)], dim=-1)
        for last in ([0, 2, 1], [3, 0, 2], [1, 1, 1]):
            received = learner.truth_logit_difference(logits, torch.tensor(last), [0], [1])
            expected = torch.tensor([10.0 * text + position for text, position in enumerate(last)])
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what=f"last {last}")

    def test_other_positions_do_not_matter(self, learner, rng):
        """what stands at other positions does not matter: earlier tokens, nor the padding after `last`"""
        logits, last = texts(rng)
        expected = learner.truth_logit_difference(logits, last, TRUE_IDS, FALSE_IDS)
        places = torch.arange(logits.shape[1])
        noise = 5 * torch.randn(logits.shape, generator=rng)
        for name, elsewhere in (("before", places < last[:, None]), ("after", places > last[:, None])):
            received = learner.truth_logit_difference(
                logits + noise * elsewhere[..., None], last, TRUE_IDS, FALSE_IDS
            )
            assert_close(
                received, expected.double(), rtol=1e-3, atol=1e-4, what=f"other logits {name} `last`"
            )

    def test_only_these_tokens(self, learner, rng):
        """a constant added to all logits of a position changes nothing, nor do the logits of other tokens"""
        logits, last = texts(rng)
        expected = learner.truth_logit_difference(logits, last, TRUE_IDS, FALSE_IDS).double()
        constant = 5 * torch.randn(*logits.shape[:2], 1, generator=rng)
        received = learner.truth_logit_difference(logits + constant, last, TRUE_IDS, FALSE_IDS)
        assert_close(received, expected, rtol=1e-3, atol=1e-4, what="with a constant added")
        others = logits + 3 * torch.randn(logits.shape, generator=rng)
        others[..., TRUE_IDS + FALSE_IDS] = logits[..., TRUE_IDS + FALSE_IDS]
        received = learner.truth_logit_difference(others, last, TRUE_IDS, FALSE_IDS)
        assert_close(received, expected, rtol=1e-3, atol=1e-4, what="with other logits of other tokens")

    def test_order_of_ids(self, learner, rng):
        """the order of the ids does not matter; true and false exchanged give the opposite sign"""
        logits, last = texts(rng)
        expected = learner.truth_logit_difference(logits, last, TRUE_IDS, FALSE_IDS).double()
        received = learner.truth_logit_difference(logits, last, TRUE_IDS[::-1], FALSE_IDS[::-1])
        assert_close(received, expected, rtol=1e-3, atol=1e-4, what="ids in the opposite order")
        received = learner.truth_logit_difference(logits, last, FALSE_IDS, TRUE_IDS)
        assert_close(received, -expected, rtol=1e-3, atol=1e-4, what="true and false ids exchanged")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with probabilities summed one by one; also for a single text of one token, and any number of ids"""
        for lengths, d_vocab, true_ids, false_ids in (
            ((4, 1, 6, 3), 9, [6, 2, 8], [0, 5]),
            ((1,), 2, [1], [0]),
            ((2, 2, 2), 5, [0], [1, 2, 3, 4]),
            ((5, 7), 7, [3, 6, 0, 1], [2]),
            ((3, 8, 8, 1, 2), 12, [11], [4]),
        ):
            logits, last = texts(rng, lengths, d_vocab)
            expected = []
            for text, position in zip(logits.double().tolist(), last.tolist(), strict=True):
                odds = [math.exp(logit) for logit in text[position]]
                true, false = (sum(odds[i] / sum(odds) for i in ids) for ids in (true_ids, false_ids))
                expected.append(math.log(true) - math.log(false))
            received = learner.truth_logit_difference(logits, last, true_ids, false_ids)
            what = f"{len(lengths)} texts, true ids {true_ids}, false ids {false_ids}"
            assert_close(received, torch.tensor(expected), rtol=1e-3, atol=1e-4, what=what)

    def test_extreme_logits(self, learner, rng):
        """a number also where the model finds all these tokens next to impossible, and for logits in the hundreds"""
        logits, last = texts(rng)
        expected = learner.truth_logit_difference(logits, last, TRUE_IDS, FALSE_IDS).double()
        # Tokens 3 and 4 are neither true nor false.
        certain = logits.clone()
        certain[..., 3] += 300
        received = learner.truth_logit_difference(certain, last, TRUE_IDS, FALSE_IDS)
        assert_close(received, expected, rtol=1e-3, atol=1e-3, what="another token 300 above")
        for constant in (300, -300):
            received = learner.truth_logit_difference(logits + constant, last, TRUE_IDS, FALSE_IDS)
            assert_close(received, expected, rtol=1e-3, atol=1e-3, what=f"all logits moved by {constant}")

    def test_float64(self, learner):
        """float64 logits keep their digits, also far from zero"""
        logits = torch.tensor(
            [[[1e5 + 0.001, 1e5, 1e5 - 1]], [[-1e5, -1e5 + 0.004, -1e5]]], dtype=torch.float64
        )
        received = learner.truth_logit_difference(logits, torch.tensor([0, 0]), [0], [1])
        assert_close(received, torch.tensor([0.001, -0.004]), rtol=0, atol=1e-6)

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        logits, last = texts(rng)
        true_ids, false_ids = [6, 2, 8], [5, 0]
        before = logits.clone(), last.clone(), list(true_ids), list(false_ids)
        learner.truth_logit_difference(logits, last, true_ids, false_ids)
        assert_close((logits, last, true_ids, false_ids), before, what="arguments after the call")

    def test_no_ids(self, learner, rng):
        """raises ValueError where there is no true token, or no false one"""
        logits, last = texts(rng)
        for true_ids, false_ids in (([], []), ([], [0, 5]), ([6], [])):
            with pytest.raises(ValueError):
                learner.truth_logit_difference(logits, last, true_ids, false_ids)

    def test_id_in_both(self, learner, rng):
        """raises ValueError for a token that is both true and false, wherever it stands in the two lists"""
        logits, last = texts(rng)
        for true_ids, false_ids in (
            ([6], [6]),
            ([6, 2, 8], [0, 2]),
            ([6, 2, 8], [8]),
            ([0], [5, 0]),
            ([6, 2], [2, 6]),
        ):
            with pytest.raises(ValueError):
                learner.truth_logit_difference(logits, last, true_ids, false_ids)

    def test_last_outside(self, learner, rng):
        """raises ValueError where `last` of any text is no position, and for −1, which is not the last one here"""
        # More texts than positions, and the other way round: a text is no position.
        for lengths in ((2, 1, 3, 2, 1), (6, 4)):
            logits, last = texts(rng, lengths)
            for texts_outside in (range(len(lengths)), *([text] for text in range(len(lengths)))):
                for position in (max(lengths) + 50, max(lengths), -1, -max(lengths)):
                    outside = last.clone()
                    outside[list(texts_outside)] = position
                    with pytest.raises(ValueError):
                        learner.truth_logit_difference(logits, outside, TRUE_IDS, FALSE_IDS)


@exercise("add_direction_hook", points=2)
class TestAddDirectionHook:
    def test_by_hand(self, learner):
        """adds coefficient · direction at the positions named, and leaves the others as they are"""
        resid = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
        hook = learner.add_direction_hook(torch.tensor([3.0, -4.0]), 2.0, [1])
        assert_close(hook(resid, hook=None), torch.tensor([[[1.0, 2.0], [9.0, -4.0], [5.0, 6.0]]]))
        hook = learner.add_direction_hook(torch.tensor([3.0, -4.0]), -0.5, [0, 2])
        expected = torch.tensor([[[-0.5, 4.0], [3.0, 4.0], [3.5, 8.0]]])
        assert_close(hook(resid, hook=None), expected, what="coefficient −0.5, positions 0 and 2")

    def test_everywhere(self, learner, rng):
        """with positions=None adds it at every position of every pass, of the first and of all later ones"""
        direction = new_direction(rng)
        for hook in (
            learner.add_direction_hook(direction, 1.5),
            learner.add_direction_hook(direction, 1.5, None),
        ):
            for number, length in enumerate((5, 1, 1, 3)):
                resid = stream(rng, n_positions=length)
                expected = steered(resid, direction, 1.5, range(length))
                what = f"pass {number}, of {length} positions"
                assert_close(hook(resid, hook=None), expected, what=what)

    def test_later_passes(self, learner, rng):
        """with a list of positions leaves every later pass as it is, be it of one position or of several"""
        for positions in ([0], [3], [-1], [0, 2, -1]):
            hook = learner.add_direction_hook(new_direction(rng), 2.0, positions)
            hook(stream(rng), hook=None)
            for number, length in enumerate((1, 1, 5, 7, 1), start=1):
                resid = stream(rng, n_positions=length)
                what = f"positions {positions}, pass {number}, of {length} positions"
                assert_close(hook(resid, hook=None), resid, what=what)

    def test_prompt_of_one_token(self, learner, rng):
        """the first pass is the first also where the prompt is a single token: position 0, or −1, is steered there"""
        direction = new_direction(rng)
        for positions in ([0], [-1]):
            hook = learner.add_direction_hook(direction, 2.0, positions)
            resid, later = stream(rng, n_positions=1), stream(rng, n_positions=1)
            expected = steered(resid, direction, 2.0, [0])
            assert_close(hook(resid, hook=None), expected, what=f"positions {positions}, first pass")
            assert_close(hook(later, hook=None), later, what=f"positions {positions}, second pass")

    def test_negative_positions(self, learner, rng):
        """negative positions count from the end of the first pass: −1 is its last, −5 the first of five"""
        direction = new_direction(rng)
        for positions, places in (([-1], [4]), ([-2], [3]), ([-5], [0]), ([1, -2, -4], [1, 3])):
            resid = stream(rng)
            received = learner.add_direction_hook(direction, 2.0, positions)(resid, hook=None)
            expected = steered(resid, direction, 2.0, places)
            assert_close(received, expected, what=f"positions {positions} of five")

    def test_each_once(self, learner, rng):
        """a position that occurs twice counts once, also as 4 and −1; the order of the list does not matter"""
        direction = new_direction(rng)
        for positions, places in (
            ([1, 1], [1]),
            ([4, -1], [4]),
            ([3, 0, 3, 3], [0, 3]),
            ([2, -3, 0, -5, 2], [0, 2]),
            ([4, 0, 2], [0, 2, 4]),
        ):
            resid = stream(rng)
            received = learner.add_direction_hook(direction, -1.5, positions)(resid, hook=None)
            expected = steered(resid, direction, -1.5, places)
            assert_close(received, expected, what=f"positions {positions} of five")

    def test_no_positions(self, learner, rng):
        """an empty list means nowhere, on no pass: it is not None"""
        hook = learner.add_direction_hook(new_direction(rng), 2.0, [])
        for number, length in enumerate((5, 1, 1)):
            resid = stream(rng, n_positions=length)
            assert_close(hook(resid, hook=None), resid, what=f"pass {number}")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over texts, positions and coordinates; in float64 it keeps the digits"""
        # A step of a million, from near minus a million: float32 would lose what is left.
        for dtype, size, atol in ((torch.float32, 1.0, 1e-5), (torch.float64, 1e6, 1e-7)):
            for batch, length, d_model, positions in (
                (1, 6, 3, None),
                (4, 3, 7, [2, 0]),
                (3, 3, 3, [1]),
                (2, 9, 5, [8, -9, 4]),
            ):
                direction = size * new_direction(rng, d_model, dtype)
                coefficient = float(torch.randn(1, generator=rng))
                hook = learner.add_direction_hook(direction, coefficient, positions)
                named = range(length) if positions is None else [p % length for p in positions]
                for number, passed in enumerate((length, 1)):
                    resid = stream(rng, batch, passed, d_model, dtype) - coefficient * direction
                    everywhere, first = positions is None, number == 0
                    rows = [
                        [
                            [
                                x + coefficient * step if everywhere or (first and place in named) else x
                                for x, step in zip(vector, direction.tolist(), strict=True)
                            ]
                            for place, vector in enumerate(text)
                        ]
                        for text in resid.tolist()
                    ]
                    expected = torch.tensor(rows, dtype=dtype)
                    shape = tuple(resid.shape)
                    what = (
                        f"pass {number}, {shape}, positions {positions}, {str(dtype).removeprefix('torch.')}"
                    )
                    assert_close(hook(resid, hook=None), expected, rtol=0, atol=atol, what=what)

    def test_arguments_unchanged(self, learner, rng):
        """the hook returns a new tensor: the stream that it is given stays, and so do direction and positions"""
        for positions in (None, [3, -1, 3]):
            direction = new_direction(rng)
            before = direction.clone(), None if positions is None else list(positions)
            hook = learner.add_direction_hook(direction, 2.0, positions)
            assert_close((direction, positions), before, what="arguments after making the hook")
            for number, length in enumerate((5, 1)):
                resid = stream(rng, n_positions=length)
                copy = resid.clone()
                hook(resid, hook=None)
                what = f"the stream after pass {number}, positions {positions}"
                assert_close(resid, copy, what=what)

    def test_independent_hooks(self, learner, rng):
        """each hook has a first pass of its own, whenever it was made and whichever runs first"""
        directions = [new_direction(rng) for _ in range(3)]
        one = learner.add_direction_hook(directions[0], 2.0, [1])
        two = learner.add_direction_hook(directions[1], -1.0, [-1])
        for name, hook, expected_at in (
            ("one", one, (directions[0], 2.0, [1])),
            ("two", two, (directions[1], -1.0, [4])),
            ("one", one, None),
        ):
            resid = stream(rng)
            expected = resid if expected_at is None else steered(resid, *expected_at)
            assert_close(hook(resid, hook=None), expected, what=f"hook {name} of two")
        three = learner.add_direction_hook(directions[2], 1.0, [0])
        resid = stream(rng)
        assert_close(two(resid, hook=None), resid, what="second pass of hook two, after a third one was made")
        expected = steered(resid, directions[2], 1.0, [0])
        assert_close(three(resid, hook=None), expected, what="first pass of the third hook")

    def test_in_a_model(self, learner, rng):
        """a model that generates with a cache says what it says without one, steered at the same tokens each time"""
        # Not the fixture, which would build the model in the learner's process too.
        tiny_model: Any = resources.get("tiny_model")
        name, prompt = "blocks.1.hook_out", torch.randint(0, 256, (1, 6), generator=rng)
        direction = new_direction(rng, 32)
        for positions in (None, [2, -1]):
            hook = learner.add_direction_hook(direction, 3.0, positions)
            tokens = prompt

            def yours(resid, hook, yours=hook):
                received = yours(resid, hook=None)
                # None would be "as it was" to the model, and another dtype would end its pass.
                assert_close(received * 0, resid * 0, what="your hook's answer times 0")
                assert received.dtype == resid.dtype, f"expected {resid.dtype}, received {received.dtype}"
                return received

            def whole(resid, hook, positions=positions):
                # Without a cache every pass has the prompt again, and its positions keep their numbers.
                places = range(resid.shape[1]) if positions is None else [p % 6 for p in positions]
                return steered(resid, direction, 3.0, places)

            try:
                with torch.no_grad(), tiny_model.hooks(fwd_hooks=[(name, yours)]):
                    received = tiny_model.generate(
                        prompt, max_new_tokens=3, do_sample=False, stop_at_eos=False, verbose=False
                    )
                with torch.no_grad():
                    for _ in range(3):
                        logits = tiny_model.run_with_hooks(tokens, fwd_hooks=[(name, whole)])
                        tokens = torch.cat([tokens, logits[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
            finally:
                tiny_model.reset_hooks()
            assert_close(received, tokens, what=f"prompt and three new tokens, positions {positions}")

    def test_no_such_position(self, learner, rng):
        """raises ValueError on the first pass for a position that it does not have, also for one of several"""
        for length, positions in (
            (5, [5]),
            (5, [-6]),
            (5, [100]),
            (5, [0, 5]),
            (5, [-6, 1]),
            (5, [2, -100, 2]),
            (1, [1]),
            (1, [-2]),
        ):
            hook = learner.add_direction_hook(new_direction(rng, 8), 2.0, positions)
            # More texts and coordinates than positions: neither is a position.
            resid = stream(rng, batch=7, n_positions=length, d_model=8)
            with pytest.raises(ValueError):
                hook(resid, hook=None)


def numbers(rng, n=10):
    """n times base, intervened and target, with base and target at least 1 apart, either of them the larger."""
    base, intervened, distance = (3 * torch.randn(3, n, generator=rng)).tolist()
    return [(b, i, b + d + math.copysign(1.0, d)) for b, i, d in zip(base, intervened, distance, strict=True)]


@exercise("normalized_indirect_effect")
class TestNormalizedIndirectEffect:
    def test_by_hand(self, learner):
        """from −2 to 2 it is 4 steps: at 1 three quarters of the way, at 0 half of it"""
        for intervened, expected in ((1.0, 0.75), (0.0, 0.5), (-1.0, 0.25)):
            received = learner.normalized_indirect_effect(-2.0, intervened, 2.0)
            assert_close(received, expected, what=f"intervened {intervened:g}")

    def test_both_ends(self, learner):
        """0 where nothing changed, 1 where false behaves as true"""
        for base, target in ((-3.0, 1.0), (1.5, 6.0), (4.0, -2.5)):
            for intervened, expected in ((base, 0.0), (target, 1.0)):
                received = learner.normalized_indirect_effect(base, intervened, target)
                what = f"base {base:g}, intervened {intervened:g}, target {target:g}"
                assert_close(received, expected, what=what)

    def test_beyond_both_ends(self, learner):
        """more than 1 where it overshoots, negative where it goes the wrong way"""
        for intervened, expected in ((-1.0, -0.5), (9.0, 2.0), (-13.0, -3.5), (6.0, 1.25)):
            received = learner.normalized_indirect_effect(1.0, intervened, 5.0)
            assert_close(received, expected, what=f"base 1, intervened {intervened:g}, target 5")

    def test_target_below_base(self, learner):
        """also with a target below base positive is the way towards it"""
        for intervened, expected in ((2.0, 0.5), (-4.0, 1.5), (8.0, -0.5)):
            received = learner.normalized_indirect_effect(5.0, intervened, -1.0)
            assert_close(received, expected, what=f"base 5, intervened {intervened:g}, target −1")

    def test_base_or_target_zero(self, learner):
        """base, target or intervened may be 0"""
        for arguments, expected in {
            (0.0, 1.0, 4.0): 0.25,
            (-4.0, -1.0, 0.0): 0.75,
            (2.0, 0.0, 1.0): 2.0,
            (0.0, 0.0, -3.0): 0.0,
        }.items():
            received = learner.normalized_indirect_effect(*arguments)
            assert_close(
                received, expected, what="base {:g}, intervened {:g}, target {:g}".format(*arguments)
            )

    def test_units_and_zero(self, learner, rng):
        """the same where all three numbers are moved by a constant, measured in other units, or of opposite sign"""
        for arguments in numbers(rng, n=4):
            expected = float(learner.normalized_indirect_effect(*arguments))
            for factor, shift in ((1.0, 7.0), (100.0, 0.0), (0.001, 0.0), (-1.0, 0.0), (-2.0, -5.0)):
                moved = [factor * number + shift for number in arguments]
                received = learner.normalized_indirect_effect(*moved)
                what = f"{factor:g} × each number + {shift:g}"
                assert_close(received, expected, rtol=1e-3, atol=1e-5, what=what)

    def test_leads_back(self, learner, rng):
        """that share of the way from base to target leads to `intervened`, to all digits"""
        for base, intervened, target in numbers(rng):
            share = learner.normalized_indirect_effect(base, intervened, target)
            what = f"base + share · (target − base), with {base:.4g} and {target:.4g}"
            assert_close(base + float(share) * (target - base), intervened, rtol=1e-4, atol=1e-4, what=what)

    def test_no_way_to_go(self, learner):
        """raises ValueError where target equals base, whatever `intervened` is"""
        for both in (0.0, 2.5, -1.0):
            for intervened in (both + 1.0, both, both - 0.5):
                with pytest.raises(ValueError):
                    learner.normalized_indirect_effect(both, intervened, both)
