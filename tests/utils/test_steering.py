"""Steering does what it says at each position, composes, leaves the model alone, and is reported rightly."""

import math

import pytest
import torch

from utils.boards.load import boot_board_model
from utils.boards.model import BoardConfig, BoardGPT
from utils.course.lessons import Lesson
from utils.embedded_model import EMBEDDED_MODEL, embedded_model_status
from utils.models import load_language_model, tiny_language_model, tokenize
from utils.steering import Fluency, ablating, adding, clamping, steering_report, typical_norm

LESSON = Lesson("ch4_steering/part1_add_and_ablate")
TOKENS = torch.tensor([[12, 80, 33, 61, 97, 5], [60, 9, 44, 7, 7, 210]])


@pytest.fixture(scope="module")
def llama():
    return tiny_language_model()


@pytest.fixture(scope="module")
def native():
    """A `boot_native` model: it generates without a cache, and has no tokenizer."""
    config = BoardConfig(d_model=32, n_layers=3, n_heads=2, n_ctx=40, d_vocab=259)
    weights, generator = BoardGPT(config, seed=0), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return boot_board_model(config, weights.bridge_state())


@pytest.fixture(params=["llama", "native"])
def model(request):
    return request.getfixturevalue(request.param)


def direction(seed=0, norm=3.0):
    drawn = torch.randn(32, generator=torch.Generator().manual_seed(seed))
    return norm * drawn / drawn.norm()


@torch.no_grad()
def streams(model, tokens=TOKENS):
    """The stream after each block, with whatever hooks are on the model now."""
    names = [f"blocks.{layer}.hook_out" for layer in range(3)]
    _, cache = model.run_with_cache(tokens, names_filter=names)
    return torch.stack([cache[name] for name in names])


def generated(model, n=4, tokens=TOKENS):
    return model.generate(tokens, max_new_tokens=n, do_sample=False, stop_at_eos=False, verbose=False)


@torch.no_grad()
def one_token_at_a_time(model, change, layer, n=4, tokens=TOKENS):
    """Greedy, without a cache: `change` is given the whole stream of prompt and new tokens in each pass."""
    for _ in range(n):
        hook = (f"blocks.{layer}.hook_out", lambda resid, hook: change(resid))
        logits = model.run_with_hooks(tokens, fwd_hooks=[hook])
        tokens = torch.cat([tokens, logits[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
    return tokens


def all_hooks(model):
    """Every hook there is, with the identity of its function."""
    return [
        (id(module), kind, key, id(hook))
        for module in model.modules()
        for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        for key, hook in vars(module)[kind].items()
    ] + [(id(point), len(point.fwd_hooks), len(point.bwd_hooks)) for point in model.hook_points()]


def contexts(model):
    return {
        "adding": lambda: adding(model, 1, direction(), 2.0),
        "adding at positions": lambda: adding(model, 1, direction(), 2.0, [0, -1]),
        "ablating": lambda: ablating(model, range(3), direction()),
        "clamping": lambda: clamping(model, 1, direction(), 5.0),
    }


EACH = pytest.mark.parametrize("name", ["adding", "adding at positions", "ablating", "clamping"])


class TestAdding:
    def test_everywhere_and_nowhere_before(self, model):
        before = streams(model)
        with adding(model, 1, direction(), 2.0):
            after = streams(model)
        torch.testing.assert_close(after[0], before[0])
        torch.testing.assert_close(after[1], before[1] + 2 * direction(), atol=1e-4, rtol=1e-4)
        assert not torch.allclose(after[2], before[2] + 2 * direction(), atol=1e-2)

    @pytest.mark.parametrize(("positions", "places"), [([1, -1, 5, 1], [1, 5]), ([-6], [0]), ([], [])])
    def test_at_positions_each_once(self, model, positions, places):
        expected = streams(model)[1].clone()
        expected[:, places] += 2 * direction()
        with adding(model, 1, direction(), 2.0, positions):
            torch.testing.assert_close(streams(model)[1], expected, atol=1e-4, rtol=1e-4)

    def test_every_text_begins_anew(self, model):
        """A second forward inside the same block is steered as the first."""
        with adding(model, 1, direction(), 2.0, [0]):
            first, second = streams(model), streams(model)
        assert torch.equal(first, second)

    @pytest.mark.parametrize("positions", [None, [5, 1], [5]])
    def test_generation(self, model, positions):
        """With a cache or without: the same tokens of the prompt are steered, and with None all."""

        def change(resid):
            places = range(resid.shape[1]) if positions is None else positions
            steered = resid.clone()
            for place in places:
                steered[:, place] += 20 * direction()
            return steered

        expected = one_token_at_a_time(model, change, layer=0)
        assert not torch.equal(expected, generated(model))
        with adding(model, 0, direction(), 20.0, positions):
            assert torch.equal(generated(model), expected)

    def test_negative_positions_in_a_cached_generation_stay_with_the_prompt(self, llama):
        with adding(llama, 0, direction(), 3.0, [5]):
            expected = generated(llama)
        with adding(llama, 0, direction(), 3.0, [-1]):
            assert torch.equal(generated(llama), expected)

    def test_prompt_of_one_token(self, llama):
        """Only its own pass has one token and begins a text; later passes have one token, too, and go on."""
        with adding(llama, 0, direction(), 3.0, [0]):
            received = generated(llama, tokens=TOKENS[:, :1])
        place = torch.tensor([0])
        expected = one_token_at_a_time(
            llama,
            lambda resid: resid.index_add(1, place, 3 * direction().expand(2, 1, 32)),
            layer=0,
            tokens=TOKENS[:, :1],
        )
        assert torch.equal(received, expected)

    @pytest.mark.parametrize("positions", [None, [5]])
    def test_a_coefficient_for_each_text(self, model, positions):
        doses = torch.tensor([20.0, -3.0])
        with adding(model, 0, direction(), doses, positions):
            together = generated(model)
        for text, dose in enumerate(doses):
            with adding(model, 0, direction(), float(dose), positions):
                alone = generated(model)[text]
            assert torch.equal(together[text], alone)

    def test_coefficients_for_another_number_of_texts(self, model):
        with (
            pytest.raises(ValueError, match="for 2 texts"),
            adding(model, 0, direction(), torch.ones(3)),
        ):
            streams(model)

    @pytest.mark.parametrize("positions", [[6], [-7], [0, 99]])
    def test_position_outside(self, model, positions):
        before = all_hooks(model)
        with pytest.raises(ValueError, match="6 positions"), adding(model, 1, direction(), 1.0, positions):
            streams(model)
        assert all_hooks(model) == before


class TestHolding:
    def test_ablating(self, model):
        unit = direction(norm=1.0)
        before = streams(model)
        with ablating(model, [0, 2], direction()):
            after = streams(model)
        torch.testing.assert_close(after[[0, 2]] @ unit, torch.zeros(2, 2, 6), atol=1e-4, rtol=0)
        assert (after[1] @ unit).abs().max() > 1e-2
        expected = before[0] - (before[0] @ unit)[..., None] * unit
        torch.testing.assert_close(after[0], expected, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("value", [-2.5, 0.0, 4.0])
    def test_clamping(self, model, value):
        unit = direction(norm=1.0)
        before = streams(model)
        with clamping(model, 1, direction(), value):
            after = streams(model)
        torch.testing.assert_close(after[1] @ unit, torch.full((2, 6), value), atol=1e-4, rtol=1e-4)
        sideways = after[1] - before[1]
        sideways = sideways - (sideways @ unit)[..., None] * unit
        torch.testing.assert_close(sideways, torch.zeros_like(sideways), atol=1e-4, rtol=0)

    def test_clamping_in_a_generation(self, model):
        unit = direction(norm=1.0)
        expected = one_token_at_a_time(
            model, lambda resid: resid + (5.0 - resid @ unit)[..., None] * unit, layer=1
        )
        with clamping(model, 1, 7 * unit, 5.0):
            assert torch.equal(generated(model), expected)


class TestTogether:
    def test_at_one_layer_the_inner_one_comes_after(self, model):
        unit = direction(norm=1.0)
        with adding(model, 1, direction(), 2.0), clamping(model, 1, direction(), 5.0):
            torch.testing.assert_close(
                streams(model)[1] @ unit, torch.full((2, 6), 5.0), atol=1e-4, rtol=1e-4
            )
        with clamping(model, 1, direction(), 5.0), adding(model, 1, direction(), 2.0):
            # The direction is 3 long.
            torch.testing.assert_close(
                streams(model)[1] @ unit, torch.full((2, 6), 11.0), atol=1e-4, rtol=1e-4
            )

    def test_two_layers_and_twice_the_same(self, model):
        with adding(model, 0, direction(), 2.0):
            middle = streams(model)
            with adding(model, 2, direction(1), -1.0), adding(model, 2, direction(1), -1.0):
                after = streams(model)
        torch.testing.assert_close(after[:2], middle[:2])
        torch.testing.assert_close(after[2], middle[2] - 2 * direction(1), atol=1e-4, rtol=1e-4)

    def test_the_inner_one_goes_alone(self, model):
        with adding(model, 0, direction(), 2.0):
            before = streams(model)
            with ablating(model, range(3), direction(1)):
                pass
            assert torch.equal(streams(model), before)


class TestLeavesTheModelAlone:
    @EACH
    def test_on_exit(self, model, name):
        hooks, before = all_hooks(model), streams(model)
        with contexts(model)[name]():
            generated(model, n=1)
            assert all_hooks(model) != hooks
        assert all_hooks(model) == hooks
        assert torch.equal(streams(model), before)

    @EACH
    def test_on_an_exception(self, model, name):
        hooks = all_hooks(model)
        with pytest.raises(RuntimeError, match="inside"), contexts(model)[name]():
            raise RuntimeError("inside")
        assert all_hooks(model) == hooks
        with pytest.raises(IndexError), contexts(model)[name]():
            model(torch.tensor([[1000, 1]]))
        assert all_hooks(model) == hooks

    @EACH
    def test_hooks_of_others_stay(self, model, name):
        seen = []
        hook_in = ("blocks.1.hook_out", lambda resid, hook: seen.append("before"))
        with model.hooks(fwd_hooks=[hook_in]):
            model.add_hook("blocks.1.hook_out", lambda resid, hook: seen.append("lasting"))
            hooks = all_hooks(model)
            try:
                with contexts(model)[name]():
                    streams(model)
                assert seen == ["before", "lasting"]
                assert all_hooks(model) == hooks
            finally:
                model.reset_hooks()

    @EACH
    def test_arguments_stay(self, model, name):
        expected = direction().clone()
        given = direction()
        context = {
            "adding": lambda: adding(model, 1, given, 2.0),
            "adding at positions": lambda: adding(model, 1, given, 2.0, [0]),
            "ablating": lambda: ablating(model, [1], given),
            "clamping": lambda: clamping(model, 1, given, 1.0),
        }[name]()
        with context:
            streams(model)
        assert torch.equal(given, expected)

    def test_half_precision(self, llama):
        """The stream keeps its dtype, whatever the direction's."""
        for each in (direction().double(), direction().bfloat16()):
            with adding(llama, 1, each, 2.0), ablating(llama, [0], each), clamping(llama, 2, each, 1.0):
                assert streams(llama).dtype == torch.float32


class TestBadArguments:
    @pytest.mark.parametrize("layer", [-1, 3, 30])
    def test_layer(self, model, layer):
        hooks = all_hooks(model)
        for context in (
            adding(model, layer, direction(), 1.0),
            ablating(model, [0, layer], direction()),
            clamping(model, layer, direction(), 1.0),
        ):
            with pytest.raises(ValueError, match="blocks 0 … 2"), context:
                pass
        assert all_hooks(model) == hooks

    @pytest.mark.parametrize(
        "bad", [torch.ones(31), torch.ones(1), torch.ones(1, 32), torch.full((32,), math.nan)]
    )
    def test_direction(self, model, bad):
        for context in (adding(model, 1, bad, 1.0), ablating(model, [1], bad), clamping(model, 1, bad, 1.0)):
            with pytest.raises(ValueError, match="32 finite numbers"), context:
                pass

    def test_zero_direction(self, model):
        zero = torch.zeros(32)
        for context in (ablating(model, [1], zero), clamping(model, 1, zero, 1.0)):
            with pytest.raises(ValueError, match="zero"), context:
                pass
        before = streams(model)
        with adding(model, 1, zero, 1.0):
            assert torch.equal(streams(model), before)


class TestTypicalNorm:
    def test_median_of_all_vectors(self):
        acts = torch.tensor([[[3.0, 4.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 700.0]]])
        assert typical_norm(acts) == pytest.approx(3.5)
        assert typical_norm(acts[0, 0]) == pytest.approx(5.0)
        assert typical_norm(acts.flatten(0, 1)[:3].bfloat16()) == pytest.approx(2.0)

    def test_no_vector(self):
        with pytest.raises(ValueError, match=r"\(0, 4\)"):
            typical_norm(torch.zeros(0, 4))


class TestFluency:
    def test_by_hand(self):
        # 1 2 3 4 and 1 2 3 4 again; five 4-grams, of which the last has been there. The second text is too short.
        fluency = Fluency(9.0, [[1, 2, 3, 4, 1, 2, 3, 4], [5, 5, 1]])
        assert fluency.repetition == pytest.approx(1 / 5)
        assert fluency.distinct(1) == pytest.approx(5 / 11)
        # 12 23 34 41 12 23 34, 55 51.
        assert fluency.distinct(2) == pytest.approx(6 / 9)

    def test_extremes(self):
        assert Fluency(1.0, [[7] * 10]).repetition == pytest.approx(6 / 7)
        assert Fluency(1.0, [[7] * 10]).distinct(1) == pytest.approx(0.1)
        assert Fluency(1.0, [list(range(9))]).repetition == 0
        assert math.isnan(Fluency(1.0, [[1, 2, 3], []]).repetition)
        assert math.isnan(Fluency(1.0, [[]]).distinct(1))

    def test_the_same_continuation_of_two_prompts(self):
        """It repeats nothing in itself, but is half as distinct."""
        same = Fluency(1.0, [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]])
        assert same.repetition == 0
        assert same.distinct(1) == same.distinct(2) == 0.5


PROMPTS = [[12, 80, 33], [60, 9], [44, 7, 2], [61, 97, 5], [9, 9, 9], [201, 4, 30], [88, 17, 3]]
NEUTRAL = [[5, 6, 7, 8, 9], [100, 3], [40, 41, 42, 43, 44], [60, 61, 62]]


@torch.no_grad()
def slow_kl_and_perplexities(model, context):
    kl, base_nll, steered_nll = [], [], []
    for text in NEUTRAL:
        tokens = torch.tensor([text])
        base = model(tokens)[0].double().softmax(-1)
        with context():
            steered = model(tokens)[0].double().softmax(-1)
        for p, q in zip(base, steered, strict=True):
            kl.append(sum(float(a) * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True)))
        for place, token in enumerate(text[1:]):
            base_nll.append(-math.log(base[place, token]))
            steered_nll.append(-math.log(steered[place, token]))
    mean = [sum(each) / len(each) for each in (kl, base_nll, steered_nll)]
    return mean[0], math.exp(mean[1]), math.exp(mean[2])


class TestReport:
    @torch.no_grad()
    def metric(self, model):
        return model(TOKENS)[:, -1, 65] - model(TOKENS)[:, -1, 66]

    def report(self, model, context, **changed):
        arguments = {"prompts": PROMPTS, "neutral": NEUTRAL, "max_new_tokens": 5} | changed
        return steering_report(model, context, lambda: self.metric(model), **arguments)

    def test_agrees_with_slow_arithmetic(self, model):
        context = contexts(model)["adding"]
        report = self.report(model, context)
        kl, base, steered = slow_kl_and_perplexities(model, context)
        assert report.kl == pytest.approx(kl, rel=1e-3)
        assert report.base.perplexity == pytest.approx(base, rel=1e-3)
        assert report.steered.perplexity == pytest.approx(steered, rel=1e-3)
        before = self.metric(model)
        with context():
            after = self.metric(model)
        torch.testing.assert_close(report.effects, after - before)
        assert report.effect == pytest.approx(float((after - before).mean()))

    def test_continuations_are_those_of_each_prompt_alone(self, llama):
        report = self.report(llama, contexts(llama)["adding"])
        for prompt, base, steered in zip(
            PROMPTS, report.base.continuations, report.steered.continuations, strict=True
        ):
            alone = torch.tensor([prompt])
            assert base == generated(llama, 5, alone)[0, len(prompt) :].tolist()
            with contexts(llama)["adding"]():
                assert steered == generated(llama, 5, alone)[0, len(prompt) :].tolist()

    def test_continuations_end_before_the_end_of_sequence_token(self, llama):
        def towards_the_end():
            return adding(llama, 2, llama.W_U[:, 2].detach(), 15.0)

        report = self.report(
            llama, towards_the_end, prompts=[[209, 8, 61, 3, 211], [102, 209, 242, 192, 233]]
        )
        assert report.steered.continuations == [[], [140, 79]]

    def test_no_steering_changes_nothing(self, model):
        report = self.report(model, lambda: adding(model, 1, direction(), 0.0))
        assert report.effects.tolist() == [0.0, 0.0]
        assert report.kl == pytest.approx(0.0, abs=1e-6)
        assert report.base == report.steered

    def test_leaves_the_model_alone(self, model):
        hooks = all_hooks(model)
        report = self.report(model, contexts(model)["ablating"])
        assert all_hooks(model) == hooks
        assert "KL" in str(report)
        assert "distinct-2" in str(report)
        with pytest.raises(ValueError, match="6 positions"):
            self.report(model, lambda: adding(model, 1, direction(), 1.0, [9]))
        assert all_hooks(model) == hooks

    @pytest.mark.parametrize(
        "changed", [{"prompts": []}, {"prompts": [[1], []]}, {"neutral": []}, {"neutral": [[1, 2], [3]]}]
    )
    def test_too_little(self, llama, changed):
        with pytest.raises(ValueError, match="neutral texts"):
            self.report(llama, contexts(llama)["adding"], **changed)

    def test_metric_of_two_shapes(self, llama):
        answers = iter([torch.zeros(2), torch.zeros(3)])
        with pytest.raises(ValueError, match="shapes"):
            steering_report(llama, contexts(llama)["adding"], lambda: next(answers), PROMPTS, NEUTRAL, 1)


@pytest.mark.skipif(LESSON.reference() is None, reason="this edition has no solutions")
class TestAgreesWithTheLesson:
    def test_generate_steered(self, llama):
        reference = LESSON.reference_namespace()["generate_steered"]
        with adding(llama, 1, direction(), 3.0):
            expected = llama.generate(TOKENS, max_new_tokens=4, do_sample=False, verbose=False)
        assert torch.equal(reference(llama, TOKENS, 1, direction(), 3.0, 4), expected)

    def test_ablate_direction(self, llama):
        reference = LESSON.reference_namespace()["ablate_direction"]
        expected = reference(streams(llama)[1], direction())
        with ablating(llama, [1], direction()):
            torch.testing.assert_close(streams(llama)[1], expected, atol=1e-4, rtol=1e-4)

    def test_scale_to_norm(self, llama):
        reference = LESSON.reference_namespace()["scale_to_norm"]
        for acts in (streams(llama)[1], streams(llama)[1][:1, :5]):
            scaled = reference(direction(), acts, 0.25)
            assert float(scaled.norm()) == pytest.approx(0.25 * typical_norm(acts), rel=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(
    not embedded_model_status().package_installed, reason="the embedded model is not installed"
)
def test_embedded_model_is_pushed_out_of_its_words():
    model = load_language_model(EMBEDDED_MODEL)
    prompts = tokenize(model, ["The weather today is", "My favourite food is"])
    neutral = tokenize(model, ["The capital of France is Paris.", "Water boils at one hundred degrees."])
    with torch.no_grad():
        _, cache = model.run_with_cache(torch.tensor(neutral[:1]), names_filter=["blocks.11.hook_out"])
    norm = typical_norm(cache["blocks.11.hook_out"])
    drawn = torch.randn(576, generator=torch.Generator().manual_seed(0))

    def metric():
        return model(torch.tensor(neutral[:1]))[:, -1].amax(dim=-1)

    reports = [
        steering_report(
            model,
            lambda push=push: adding(model, 11, drawn / drawn.norm(), push * norm),
            metric,
            prompts,
            neutral,
            8,
        )
        for push in (0.05, 3.0)
    ]
    assert 0 < reports[0].kl < 0.5 < reports[1].kl
    assert reports[0].steered.perplexity < reports[1].steered.perplexity
    assert reports[0].base == reports[1].base
