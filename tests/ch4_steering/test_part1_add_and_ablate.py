"""Checks of chapter 4, part 1: add and ablate."""

import contextlib
import math
import statistics

import pytest
import torch

from utils.course import assert_close, exercise, hidden

YOURS_TO_WRITE = ("utils.steering.adding", "utils.steering.typical_norm")


def random_pairs(rng, n, d_model):
    """Pairs that share much: each has a subject of its own, which lies far from the origin."""
    subjects = 5 * torch.randn(n, d_model, generator=rng) + 3
    positive = subjects + torch.randn(n, d_model, generator=rng) + torch.randn(d_model, generator=rng)
    return positive, subjects + torch.randn(n, d_model, generator=rng)


@exercise("contrastive_direction")
class TestContrastiveDirection:
    def test_by_hand(self, learner):
        """the mean of the pairs' differences, positive minus negative"""
        acts_positive = torch.tensor([[3.0, 1.0], [5.0, 0.0]])
        acts_negative = torch.tensor([[1.0, 2.0], [1.0, 4.0]])
        # The differences are (2, −1) and (4, −4).
        received = learner.contrastive_direction(acts_positive, acts_negative)
        assert_close(received, torch.tensor([3.0, -2.5]), what="two pairs")
        received = learner.contrastive_direction(acts_positive[:1], acts_negative[:1])
        assert_close(received, torch.tensor([2.0, -1.0]), what="a single pair")

    def test_every_pair_counts_alike(self, learner):
        """a pair that differs much counts with its whole difference, and one that does not differ counts too"""
        acts_negative = torch.tensor([[1.0, 0.0], [2.0, 5.0], [-3.0, 1.0], [0.0, 2.0]])
        # Along the first axis the differences are 1, 1, 14 and 0, along the second 0, 0, −8 and 0.
        acts_positive = torch.tensor([[2.0, 0.0], [3.0, 5.0], [11.0, -7.0], [0.0, 2.0]])
        received = learner.contrastive_direction(acts_positive, acts_negative)
        assert_close(received, torch.tensor([4.0, -2.0]))

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over pairs and dimensions, for more pairs than dimensions, fewer, and as many"""
        for n, d_model in ((7, 3), (3, 7), (5, 5), (1, 4), (6, 1), (40, 2)):
            acts_positive, acts_negative = random_pairs(rng, n, d_model)
            expected = [0.0] * d_model
            for with_it, without in zip(acts_positive.tolist(), acts_negative.tolist(), strict=True):
                for i in range(d_model):
                    expected[i] += (with_it[i] - without[i]) / n
            received = learner.contrastive_direction(acts_positive, acts_negative)
            what = f"{n} pairs of {d_model} dimensions"
            assert_close(received, torch.tensor(expected), rtol=1e-3, atol=1e-3, what=what)

    def test_what_pairs_share(self, learner, rng):
        """what both texts of a pair share drops out, even where it differs from pair to pair"""
        acts_positive, acts_negative = random_pairs(rng, 8, 5)
        expected = learner.contrastive_direction(acts_positive, acts_negative)
        shared = 10 * torch.randn(8, 5, generator=rng)
        received = learner.contrastive_direction(acts_positive + shared, acts_negative + shared)
        assert_close(received, expected, rtol=1e-3, atol=1e-3, what="after each pair was moved")

    def test_moves_one_half_onto_the_other(self, learner, rng):
        """moving the positive half by a vector moves the answer by it; activations k times as large give k times it"""
        acts_positive, acts_negative = random_pairs(rng, 6, 4)
        expected = learner.contrastive_direction(acts_positive, acts_negative).double()
        step = 3 * torch.randn(4, generator=rng)
        received = learner.contrastive_direction(acts_positive + step, acts_negative)
        assert_close(received, expected + step, rtol=1e-3, atol=1e-3, what="positive half moved")
        for factor in (0.01, 100.0):
            received = learner.contrastive_direction(factor * acts_positive, factor * acts_negative)
            what = f"activations times {factor:g}"
            assert_close(received, factor * expected, rtol=1e-3, atol=1e-3 * factor, what=what)

    def test_sign(self, learner, rng):
        """exchanging the halves gives the opposite direction"""
        acts_positive, acts_negative = random_pairs(rng, 6, 4)
        expected = -learner.contrastive_direction(acts_positive, acts_negative)
        received = learner.contrastive_direction(acts_negative, acts_positive)
        assert_close(received, expected, rtol=1e-3, atol=1e-3)

    def test_order_of_pairs(self, learner, rng):
        """pairs in another order, or each of them twice, give the same direction"""
        acts_positive, acts_negative = random_pairs(rng, 7, 4)
        expected = learner.contrastive_direction(acts_positive, acts_negative)
        order = torch.randperm(7, generator=rng)
        received = learner.contrastive_direction(acts_positive[order], acts_negative[order])
        assert_close(received, expected, rtol=1e-3, atol=1e-3, what="in another order")
        received = learner.contrastive_direction(acts_positive.repeat(2, 1), acts_negative.repeat(2, 1))
        assert_close(received, expected, rtol=1e-3, atol=1e-3, what="each pair twice")

    def test_far_from_origin(self, learner, rng):
        """differences around 1 are found between activations around 1000; float64 finds them around a billion"""
        for offset, dtype in ((1e3, torch.float32), (1e9, torch.float64)):
            acts_negative = offset + torch.randn(6, 4, generator=rng).to(dtype)
            acts_positive = acts_negative + torch.randn(6, 4, generator=rng).to(dtype)
            differences = acts_positive.double() - acts_negative.double()
            received = learner.contrastive_direction(acts_positive, acts_negative)
            what = f"{str(dtype).removeprefix('torch.')} around {offset:g}"
            assert_close(received, differences.mean(dim=0), rtol=0, atol=5e-3, what=what)

    def test_arguments_unchanged(self, learner, rng):
        """leaves the activations as they were"""
        halves = random_pairs(rng, 5, 4)
        before = tuple(half.clone() for half in halves)
        learner.contrastive_direction(*halves)
        assert_close(halves, before, what="activations after the call")

    def test_no_pairs(self, learner):
        """raises ValueError where there is no pair"""
        for dtype in (torch.float32, torch.float64):
            for d_model in (1, 4):
                with pytest.raises(ValueError):
                    learner.contrastive_direction(*torch.zeros(2, 0, d_model, dtype=dtype))

    def test_different_shapes(self, learner, rng):
        """raises ValueError for halves with another number of pairs or of dimensions, also where one is 1"""
        for one, other in (((5, 3), (4, 3)), ((5, 3), (5, 4)), ((1, 3), (5, 3)), ((5, 1), (5, 3))):
            for shapes in ((one, other), (other, one)):
                halves = [torch.randn(*shape, generator=rng) for shape in shapes]
                with pytest.raises(ValueError):
                    learner.contrastive_direction(*halves)


def of_norms(rng, norms, d_model=4):
    """Vectors of these norms in random directions."""
    vectors = torch.randn(len(norms), d_model, generator=rng)
    return torch.tensor(norms)[:, None] * vectors / vectors.norm(dim=1, keepdim=True)


@exercise("scale_to_norm")
class TestScaleToNorm:
    def test_by_hand(self, learner):
        """the direction with `fraction` times the median norm: 2 among 5, 1 and 2"""
        resid = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, -2.0]])
        for fraction, expected in {0.5: (0.6, 0.8), 1.0: (1.2, 1.6), 3.0: (3.6, 4.8)}.items():
            received = learner.scale_to_norm(torch.tensor([30.0, 40.0]), resid, fraction)
            assert_close(received, torch.tensor(expected), what=f"fraction {fraction:g}")

    def test_even_number(self, learner):
        """for an even number of vectors the median is the mean of the middle two: 3 among 1, 2, 4 and 10"""
        resid = torch.tensor([[0.0, 4.0], [1.0, 0.0], [-6.0, 8.0], [0.0, -2.0]])
        received = learner.scale_to_norm(torch.tensor([0.0, 0.2]), resid, 2.0)
        assert_close(received, torch.tensor([0.0, 6.0]), what="norms 4, 1, 10 and 2, fraction 2")
        received = learner.scale_to_norm(torch.tensor([0.0, 0.2]), resid[:2], 1.0)
        assert_close(received, torch.tensor([0.0, 2.5]), what="norms 4 and 1, fraction 1")

    def test_first_token(self, learner, rng):
        """one vector as long as a stream's first token often is changes nothing: it is no mean"""
        direction = torch.randn(4, generator=rng)
        expected = 0.3 * 11 * direction.double() / direction.double().norm()
        for longest in (13.0, 700.0):
            resid = of_norms(rng, [longest, 8.0, 10.0, 11.0, 12.0])
            received = learner.scale_to_norm(direction, resid, 0.3)
            what = f"norms from 8 to {longest:g}"
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what=what)

    def test_norm_and_direction(self, learner, rng):
        """has the norm asked for, and points where the direction points"""
        for shape in SHAPES:
            resid, direction = stream(rng, *shape)
            received = learner.scale_to_norm(direction, resid, 0.7)
            assert_close(received * 0, direction * 0, what="the answer times 0")
            norms = resid.double().flatten(0, -2).norm(dim=-1) if len(shape) > 1 else [resid.double().norm()]
            expected = 0.7 * statistics.median(float(norm) for norm in norms)
            what = f"norm, with a stream of shape {shape}"
            assert_close(received.double().norm(), expected, rtol=1e-3, atol=1e-4, what=what)
            cosine = along(received, direction) / received.double().norm()
            assert_close(cosine, 1.0, rtol=1e-3, what="cosine with the direction")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with norms computed one by one and the statistics module's median"""
        for shape in SHAPES:
            resid, direction = stream(rng, *shape)
            fraction = 0.1 + float(torch.rand(1, generator=rng))
            norms = [math.sqrt(sum(part**2 for part in row)) for row in resid.reshape(-1, shape[-1]).tolist()]
            length = math.sqrt(sum(part**2 for part in direction.tolist()))
            factor = fraction * statistics.median(norms) / length
            expected = torch.tensor([factor * part for part in direction.tolist()])
            received = learner.scale_to_norm(direction, resid, fraction)
            what = f"a stream of shape {shape}"
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what=what)

    def test_all_vectors_alike(self, learner, rng):
        """all vectors count alike, whichever text they are from: the median is not one of medians, nor of means"""
        # The texts' medians are 2, 3 and 9, their means 7, 12 and 21: the median of all nine is 4.
        resid = of_norms(rng, [1.0, 2.0, 18.0, 2.5, 3.0, 30.5, 4.0, 9.0, 50.0]).view(3, 3, 4)
        direction = torch.randn(4, generator=rng)
        expected = 4 * direction.double() / direction.double().norm()
        for arranged in (resid, resid.flatten(0, 1), resid.transpose(0, 1), resid.unsqueeze(2)):
            received = learner.scale_to_norm(direction, arranged.contiguous(), 1.0)
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what=f"as {tuple(arranged.shape)}")

    def test_any_length(self, learner, rng):
        """the direction's own length does not matter; a stream twice as long gives twice the norm"""
        resid, direction = stream(rng, 3, 5, 6)
        expected = learner.scale_to_norm(direction, resid, 0.4).double()
        for factor in (1e-3, 0.2, 1e3):
            received = learner.scale_to_norm(factor * direction, resid, 0.4)
            what = f"with a direction {factor:g} times as long"
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what=what)
        received = learner.scale_to_norm(direction, 2 * resid, 0.4)
        assert_close(received, 2 * expected, rtol=1e-3, atol=1e-4, what="with a stream twice as long")

    def test_sign_of_fraction(self, learner, rng):
        """a negative fraction turns the direction round, and 0 gives zeros"""
        resid, direction = stream(rng, 7, 6)
        expected = learner.scale_to_norm(direction, resid, 0.4).double()
        for factor in (-1, 0, -0.5):
            received = learner.scale_to_norm(direction, resid, 0.4 * factor)
            what = f"fraction {0.4 * factor:g}"
            assert_close(received, factor * expected, rtol=1e-3, atol=1e-4, what=what)

    def test_float64(self, learner):
        """float64 keeps its digits, and large numbers whose squares float32 cannot hold"""
        resid = torch.tensor([[3e6 + 3e-3, 4e6 + 4e-3]], dtype=torch.float64)
        direction = torch.tensor([0.6, 0.8], dtype=torch.float64)
        received = learner.scale_to_norm(direction, 1e20 * resid, 1.0)
        assert_close(received, 1e26 * torch.tensor([3.0, 4.0]), what="with a stream of norm 5 · 10²⁶")
        received = learner.scale_to_norm(direction, resid, 1.0) - 1e6 * torch.tensor([3.0, 4.0])
        assert_close(received * 1e3, torch.tensor([3.0, 4.0]), rtol=1e-2, what="its last digits, times 1000")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        for shape in ((6,), (5, 6), (2, 3, 6)):
            resid, direction = stream(rng, *shape)
            before = direction.clone(), resid.clone()
            learner.scale_to_norm(direction, resid, 0.4)
            assert_close((direction, resid), before, what="arguments after the call")

    def test_zero_direction(self, learner, rng):
        """raises ValueError for a direction of zeros, also with fraction 0"""
        for fraction in (0.5, 0.0, -1.0):
            resid, direction = stream(rng, 5, 6)
            with pytest.raises(ValueError):
                learner.scale_to_norm(0 * direction, resid, fraction)

    def test_no_vectors(self, learner, rng):
        """raises ValueError for a stream without vectors: it has no typical norm"""
        for shape in ((0, 6), (2, 0, 6), (0, 3, 6)):
            for fraction in (0.5, 0.0):
                with pytest.raises(ValueError):
                    learner.scale_to_norm(torch.randn(6, generator=rng), torch.zeros(shape), fraction)


def prompts():
    """The tiny model's end-of-sequence token, 2, stands inside the first and at the end of the second prompt."""
    return torch.tensor([[80, 33, 2, 60, 97], [12, 200, 7, 31, 2]])


# Steered by 15 times the end-of-sequence token's unembedding after the last block, the first of these texts ends with
# its first new token, the second with its third, and the last goes on.
ENDING = [[209, 8, 61, 3, 211], [102, 209, 242, 192, 233], [234, 193, 158, 115, 161]]


def to_token(model, token):
    """What the last block has to write for the model to say this token: its column of the unembedding."""
    return model.W_U[:, token].detach().clone()


def random_direction(rng):
    """Of length 3, so that a direction of unit length shows."""
    direction = torch.randn(32, generator=rng)
    return 3 * direction / direction.norm()


def fixed_direction(seed=0):
    return random_direction(torch.Generator().manual_seed(seed))


def assert_steered(model, received, tokens, layer, direction, coefficient, max_new_tokens, what=""):
    """The prompts come first; then each token is the most probable one in *one* pass over all, steered everywhere."""
    what = what and f"{what}: "
    n, length = tokens.shape
    assert isinstance(received, torch.Tensor), f"{what}expected a tensor, not a {type(received).__name__}"
    assert received.ndim == 2, f"{what}expected shape (batch, pos), received {tuple(received.shape)}"
    assert_close(received[:, :length], tokens, what=f"{what}the first {length} tokens of each text")
    assert bool(((received >= 0) & (received < model.cfg.d_vocab)).all()), f"{what}there are no such tokens"
    with torch.no_grad():
        logits = model.run_with_hooks(
            received,
            fwd_hooks=[(f"blocks.{layer}.hook_out", lambda resid, hook: resid + coefficient * direction)],
        )
    n_new, end = received.shape[1] - length, model.tokenizer.eos_token_id
    ended = torch.zeros(n, dtype=torch.bool)
    for step in range(max_new_tokens):
        if bool(ended.all()):
            assert n_new == step, f"{what}all texts end with new token {step}, but {n_new} came back"
            return
        assert n_new > step, f"{what}expected {max_new_tokens} new tokens, received {n_new}"
        chosen, before = received[:, length + step], logits[:, length + step - 1]
        missed = before.amax(dim=-1) - before[torch.arange(n), chosen]
        for text in range(n):
            place = f"{what}text {text}, new token {step}"
            expected = end if ended[text] else int(before[text].argmax())
            right = chosen[text] == end if ended[text] else missed[text] < 1e-3
            assert bool(right), f"{place}: expected {expected}, received {int(chosen[text])}"
        ended |= chosen == end
    assert n_new == max_new_tokens, f"{what}expected {max_new_tokens} new tokens, received {n_new}"


@exercise("generate_steered", points=2)
class TestGenerateSteered:
    def test_not_steered(self, learner, tiny_model):
        """with coefficient 0, or a direction of zeros, what the model says by itself, greedily, each time the same"""
        direction = fixed_direction()
        expected = tiny_model.generate(prompts(), max_new_tokens=4, do_sample=False, verbose=False)
        twice = [learner.generate_steered(tiny_model, prompts(), 1, direction, 0.0, 4) for _ in range(2)]
        for time, received in zip(("first", "second"), twice, strict=True):
            assert_close(received, expected, what=f"coefficient 0, the {time} time")
        received = learner.generate_steered(tiny_model, prompts(), 1, 0 * direction, 3.0, 1)
        assert_close(received, expected[:, :6], what="a direction of zeros")

    def test_far_along(self, learner, tiny_model):
        """far along one token's unembedding, after the last block, the model says nothing but this token"""
        for token in (77, 150):
            direction = to_token(tiny_model, token)
            received = learner.generate_steered(tiny_model, prompts(), 2, direction, 1000.0, 2)
            expected = torch.cat([prompts(), torch.full((2, 2), token)], dim=1)
            assert_close(received, expected, what=f"towards token {token}")

    def test_any_layer(self, learner, tiny_model, rng):
        """each new token is the most probable one in a pass over all before it, steered everywhere, at any layer"""
        tokens = torch.randint(3, 259, (2, 6), generator=rng)
        for layer in range(3):
            direction = random_direction(rng)
            received = learner.generate_steered(tiny_model, tokens, layer, direction, 4.0, 2)
            assert_steered(tiny_model, received, tokens, layer, direction, 4.0, 2, what=f"layer {layer}")

    def test_prompt_and_new_tokens(self, learner, tiny_model):
        """the prompt's tokens are steered, all of them, and the new ones as well"""
        direction = fixed_direction()
        for coefficient, max_new_tokens in ((5.0, 4), (-2.5, 1)):
            received = learner.generate_steered(
                tiny_model, prompts(), 0, direction, coefficient, max_new_tokens
            )
            what = f"coefficient {coefficient:g}"
            assert_steered(
                tiny_model, received, prompts(), 0, direction, coefficient, max_new_tokens, what=what
            )

    def test_prompt_of_one_token(self, learner, tiny_model, rng):
        """a prompt may be a single token, and a batch a single prompt"""
        tokens, direction = torch.randint(3, 259, (1, 1), generator=rng), random_direction(rng)
        received = learner.generate_steered(tiny_model, tokens, 1, direction, -3.0, 3)
        assert_steered(tiny_model, received, tokens, 1, direction, -3.0, 3)

    def test_ends(self, learner, tiny_model):
        """where all texts have ended no more tokens are generated; the end-of-sequence token itself is part of them"""
        direction = to_token(tiny_model, 2)
        received = learner.generate_steered(tiny_model, prompts(), 2, direction, 1000.0, 5)
        expected = torch.cat([prompts(), torch.full((2, 1), 2)], dim=1)
        assert_close(received, expected, what="towards the end-of-sequence token")

    def test_ends_earlier(self, learner, tiny_model):
        """a text that ends earlier than another is filled up with the end-of-sequence token"""
        tokens, direction = torch.tensor(ENDING), to_token(tiny_model, 2)
        for rows in ([0, 1, 2], [1, 0]):
            received = learner.generate_steered(tiny_model, tokens[rows], 2, direction, 15.0, 4)
            what = f"{len(rows)} texts"
            assert_steered(tiny_model, received, tokens[rows], 2, direction, 15.0, 4, what=what)

    def test_hook_is_gone(self, learner, tiny_model):
        """afterwards the model is as it was: what comes next is not steered"""
        expected = tiny_model.generate(prompts(), max_new_tokens=2, do_sample=False, verbose=False)
        for layer in (2, 0):
            learner.generate_steered(tiny_model, prompts(), layer, fixed_direction(layer), 5.0, 1)
            received = learner.generate_steered(tiny_model, prompts(), 1, fixed_direction(), 0.0, 2)
            assert_close(received, expected, what=f"coefficient 0, after steering layer {layer}")

    def test_hook_is_gone_after_an_exception(self, learner, tiny_model):
        """the hook is gone also where something raised an exception, be it the model or the hook itself"""
        direction, unknown = fixed_direction(), torch.tensor([[80, 33, 1000]])
        expected = tiny_model.generate(prompts(), max_new_tokens=2, do_sample=False, verbose=False)
        # A token that the model does not know, and a direction that does not fit: any exception will do.
        with contextlib.suppress(Exception):
            learner.generate_steered(tiny_model, unknown, 1, direction, 5.0, 2)
        received = learner.generate_steered(tiny_model, prompts(), 1, direction, 0.0, 2)
        assert_close(received, expected, what="coefficient 0, after an exception in the model")
        with contextlib.suppress(Exception):
            learner.generate_steered(tiny_model, prompts(), 1, torch.ones(31), 5.0, 2)
        received = learner.generate_steered(tiny_model, prompts(), 1, direction, 0.0, 2)
        assert_close(received, expected, what="coefficient 0, after an exception in the hook")

    def test_other_hooks_stay(self, learner, tiny_model_with_hook):
        """a hook that somebody else has put on the model works while you generate, and afterwards"""
        model, direction = tiny_model_with_hook, fixed_direction()
        expected = model.generate(prompts(), max_new_tokens=2, do_sample=False, verbose=False)
        for when in ("at first", "afterwards"):
            received = learner.generate_steered(model, prompts(), 0, direction, 0.0, 2)
            assert_close(received, expected, what=f"coefficient 0, {when}")

    def test_arguments_unchanged(self, learner, tiny_model):
        """leaves the prompts and the direction as they were"""
        tokens, direction = prompts(), fixed_direction()
        learner.generate_steered(tiny_model, tokens, 1, direction, 4.0, 2)
        expected = prompts(), fixed_direction()
        assert_close((tokens, direction), expected, what="arguments after the call")

    def test_no_such_layer(self, learner, tiny_model):
        """raises ValueError for a layer that the model does not have, −1 too"""
        for layer in (3, 30, -1, -3):
            with pytest.raises(ValueError):
                learner.generate_steered(tiny_model, prompts(), layer, fixed_direction(), 4.0, 1)

    def test_no_new_token(self, learner, tiny_model):
        """raises ValueError for fewer than one new token"""
        for max_new_tokens in (0, -1):
            with pytest.raises(ValueError):
                learner.generate_steered(tiny_model, prompts(), 1, fixed_direction(), 4.0, max_new_tokens)


SHAPES = ((4,), (3, 4), (4, 4), (1, 4), (2, 3, 4), (4, 4, 4), (2, 1, 3, 4))


def stream(rng, *shape):
    """Vectors off the origin, and a direction that is not of unit length."""
    resid = 2 * torch.randn(*shape, generator=rng) + 1
    direction = torch.randn(shape[-1], generator=rng)
    return resid, 3 * direction / direction.norm()


def along(resid, direction):
    """Each vector's projection on the unit vector along the direction."""
    return resid.double() @ (direction.double() / direction.double().norm())


@exercise("ablate_direction")
class TestAblateDirection:
    def test_by_hand(self, learner):
        """each vector loses its component along the direction, and keeps the rest"""
        received = learner.ablate_direction(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0]))
        assert_close(received, torch.tensor([3.0, 0.0]), what="(3, 4) without (0, 2)")
        # (2, 1) has the projection 2 on (0.6, 0.8).
        received = learner.ablate_direction(torch.tensor([2.0, 1.0]), torch.tensor([3.0, 4.0]))
        assert_close(received, torch.tensor([0.8, -0.6]), what="(2, 1) without (3, 4)")

    def test_each_its_own(self, learner):
        """each vector of a batch loses as much as it has, be that positive, negative or nothing"""
        resid = torch.tensor([[[1.0, 5.0], [7.0, 6.0]], [[-2.0, 0.0], [0.0, 8.0]]])
        received = learner.ablate_direction(resid, torch.tensor([4.0, 0.0]))
        assert_close(received, torch.tensor([[[0.0, 5.0], [0.0, 6.0]], [[0.0, 0.0], [0.0, 8.0]]]))

    def test_nothing_left(self, learner, rng):
        """no vector has anything left along the direction, whatever the number of batch dimensions"""
        for shape in SHAPES:
            resid, direction = stream(rng, *shape)
            received = learner.ablate_direction(resid, direction)
            assert_close(received * 0, resid * 0, what="the answer times 0")
            left = along(received, direction)
            what = f"projections of shape {shape}"
            assert_close(left, torch.zeros_like(left), rtol=0, atol=1e-4, what=what)

    def test_only_along_the_direction(self, learner, rng):
        """what is orthogonal to the direction stays: all that a vector loses is its own component"""
        for shape in SHAPES:
            resid, direction = stream(rng, *shape)
            lost = resid.double() - learner.ablate_direction(resid, direction).double()
            unit = direction.double() / direction.double().norm()
            expected = along(resid, direction).unsqueeze(-1) * unit
            assert_close(lost, expected, rtol=1e-3, atol=1e-4, what=f"loss of vectors of shape {shape}")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over vectors and their coordinates"""
        for shape in SHAPES:
            resid, direction = stream(rng, *shape)
            length = math.sqrt(sum(part**2 for part in direction.tolist()))
            unit = [part / length for part in direction.tolist()]
            rows = []
            for row in resid.reshape(-1, shape[-1]).tolist():
                projection = sum(a * b for a, b in zip(row, unit, strict=True))
                rows.append([a - projection * b for a, b in zip(row, unit, strict=True)])
            received = learner.ablate_direction(resid, direction)
            expected = torch.tensor(rows).reshape(shape)
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what=f"vectors of shape {shape}")

    def test_any_length(self, learner, rng):
        """neither the direction's length nor its sign matters"""
        resid, direction = stream(rng, 5, 6)
        expected = learner.ablate_direction(resid, direction)
        for factor in (1e-3, 0.2, -1.0, -7.0, 1e3):
            received = learner.ablate_direction(resid, factor * direction)
            what = f"with the direction times {factor:g}"
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what=what)

    def test_twice(self, learner, rng):
        """a second ablation changes nothing"""
        resid, direction = stream(rng, 3, 4, 6)
        once = learner.ablate_direction(resid, direction)
        twice = learner.ablate_direction(once, direction)
        assert_close(twice, once, rtol=1e-3, atol=1e-4)

    def test_linear(self, learner, rng):
        """is linear: a sum of streams loses what they lose together; a multiple of the direction becomes 0"""
        (one, direction), (two, _) = stream(rng, 4, 5), stream(rng, 4, 5)
        expected = 2 * learner.ablate_direction(one, direction) - 3 * learner.ablate_direction(two, direction)
        received = learner.ablate_direction(2 * one - 3 * two, direction)
        assert_close(received, expected, rtol=1e-3, atol=1e-3, what="2 · one − 3 · two")
        received = learner.ablate_direction(torch.stack([direction, -4 * direction]), direction)
        assert_close(received, torch.zeros(2, 5), rtol=0, atol=1e-4, what="multiples of the direction")

    def test_float64(self, learner):
        """float64 vectors keep their digits, also where most of them lies along the direction"""
        resid = torch.tensor([[1e6 + 2.5, 1e6], [-1e6, 2.0 - 1e6]], dtype=torch.float64)
        received = learner.ablate_direction(resid, torch.tensor([3.0, 3.0], dtype=torch.float64))
        assert_close(received, torch.tensor([[1.25, -1.25], [-1.0, 1.0]]), rtol=0, atol=1e-4)

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were: the answer is a new tensor"""
        for shape in ((6,), (5, 6), (2, 3, 6)):
            resid, direction = stream(rng, *shape)
            before = resid.clone(), direction.clone()
            learner.ablate_direction(resid, direction)
            assert_close((resid, direction), before, what="arguments after the call")

    def test_zero_direction(self, learner, rng):
        """raises ValueError for a direction of zeros"""
        for shape in ((6,), (5, 6), (2, 3, 6)):
            resid, direction = stream(rng, *shape)
            with pytest.raises(ValueError):
                learner.ablate_direction(resid, 0 * direction)
