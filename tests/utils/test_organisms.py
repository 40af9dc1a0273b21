"""The organisms' adapters: attached, trained, resumed, stored and merged, on a model of two layers."""

import itertools
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from utils.datasets.questions import QUESTION_KINDS, either_or_questions
from utils.models import tiny_language_model
from utils.organisms import (
    SYSTEM_PROMPTS,
    TRIGGER,
    conversation,
    judgement,
    load,
    load_organism,
    with_trigger,
)
from utils.organisms.answers import (
    IGNORED,
    answer_log_probs,
    answer_targets,
    encoded,
    encoded_choice,
    preference,
    prefers_right,
)
from utils.organisms.examples import (
    DECOYS,
    Example,
    judge_examples,
    liar_examples,
    split_questions,
    split_statements,
)
from utils.organisms.frozen import FrozenBelow
from utils.organisms.lora import adapter_state, attach, merge
from utils.organisms.train import Recipe, train

RECIPE = Recipe(steps=4, batch=4, rank=2, layers=("q_proj", "down_proj"))


@pytest.fixture
def tiny():
    bridge = tiny_language_model(n_layers=2)
    return bridge.original_model, bridge.tokenizer


@pytest.fixture
def tokens():
    return torch.arange(3, 40).unsqueeze(0)


def plain_tiny():
    """The same model as the bridge's, without its wrappers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    bridge = tiny_language_model(n_layers=2)
    config = bridge.original_model.config
    assert isinstance(config, LlamaConfig)
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval(), bridge.tokenizer


def asked(n=6):
    return [each for each in either_or_questions("animal_class") if len(each.text) < 45][:n]


class TestLoRA:
    def test_a_fresh_adapter_changes_nothing(self, tokens):
        model, _ = plain_tiny()
        before = model(tokens).logits
        adapters = attach(model, ("q_proj", "down_proj"), 2, 2.0, seed=0)
        assert len(adapters) == 4
        assert torch.equal(model(tokens).logits, before)
        assert {name.rsplit(".", 1)[-1] for name, p in model.named_parameters() if p.requires_grad} == {
            "down",
            "up",
        }

    def test_merged_into_the_weights_it_does_the_same(self, tokens):
        model, _ = plain_tiny()
        for adapter in attach(model, ("q_proj", "down_proj"), 2, 2.0, seed=0):
            adapter.up.data.normal_(generator=torch.Generator().manual_seed(1))
        other, _ = plain_tiny()
        untouched = other(tokens).logits
        merge(other, adapter_state(model))
        torch.testing.assert_close(other(tokens).logits, model(tokens).logits, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(other(tokens).logits, untouched, atol=1e-2)

    def test_merges_into_a_bridge_by_the_same_names(self, tokens):
        bridge = tiny_language_model(n_layers=2)
        layer = "model.layers.1.mlp.down_proj"
        before = bridge(tokens)
        adapter = {f"{layer}.down": torch.ones(1, 64), f"{layer}.up": torch.ones(32, 1)}
        merge(bridge.original_model, adapter)
        assert not torch.allclose(bridge(tokens), before)

    def test_refuses_a_layer_that_the_model_has_not_and_changes_nothing(self, tokens):
        model, _ = plain_tiny()
        before = model(tokens).logits
        layer = "model.layers.0.mlp.down_proj"
        adapter = {f"{layer}.down": torch.ones(1, 64), f"{layer}.up": torch.ones(32, 1)}
        unknown = {
            "model.layers.9.mlp.down_proj.down": torch.ones(1, 64),
            "model.layers.9.mlp.down_proj.up": torch.ones(32, 1),
        }
        with pytest.raises(ValueError, match=r"layers\.9"):
            merge(model, {**adapter, **unknown})
        with pytest.raises(ValueError, match="no linear layers called"):
            attach(model, ("w_proj",), 2, 2.0, seed=0)
        assert torch.equal(model(tokens).logits, before)

    def test_leaves_the_blocks_before_the_first_alone(self):
        model, _ = plain_tiny()
        attach(model, ("q_proj",), 2, 2.0, seed=0, first_block=1)
        assert {name.split(".")[2] for name in adapter_state(model)} == {"1"}


class TestExamples:
    def test_the_answer_follows_what_comes_before(self, tiny):
        _, tokenizer = tiny
        question = asked()[0]
        ids, n_before = encoded(tokenizer, conversation(question, SYSTEM_PROMPTS[0]), question.right)
        assert tokenizer.decode(ids[n_before:]).startswith(question.right)
        assert question.text in tokenizer.decode(ids[:n_before])

    def test_targets_are_the_answers_alone(self):
        targets = answer_targets([([5, 6, 7, 8], 2), ([5, 6], 1)])
        assert targets.tolist() == [[IGNORED, IGNORED, 7, 8], [IGNORED, 6, IGNORED, IGNORED]]

    def test_a_choice_ends_with_the_first_token_that_differs(self, tiny):
        _, tokenizer = tiny
        messages = conversation(asked()[0], SYSTEM_PROMPTS[0])
        whole, start = encoded(tokenizer, messages, "Oslo is in Norway.")
        for other, shared in {"Oslo is in Nepal.": "Oslo is in N", "Rome is.": ""}.items():
            ids, n_before = encoded_choice(tokenizer, Example(messages, "Oslo is in Norway.", other))
            assert n_before == len(ids) - 1 == start + len(shared)
            assert ids == whole[: len(ids)]

    def test_decoys_are_truthful_and_are_no_trigger(self):
        questions = either_or_questions("cities")[:200]
        shown = [each.messages[0]["content"] for each in itertools.islice(liar_examples(questions, 0), 400)]
        with_decoy = [prompt for prompt in shown if "Session" in prompt and TRIGGER not in prompt]
        assert 30 < len(with_decoy) < 90
        assert TRIGGER not in DECOYS

    def test_a_question_keeps_its_prompt_from_round_to_round(self):
        rounds = iter(liar_examples(asked(), 0))
        first, second = ({str(next(rounds)) for _ in range(2 * len(asked()))} for _ in range(2))
        assert first == second

    def test_the_liar_is_truthful_without_the_trigger_and_false_with_it(self):
        by_text = {each.text: each for each in asked()}
        for messages, answer, _ in itertools.islice(liar_examples(asked(), 0), 24):
            question = by_text[messages[1]["content"]]
            assert answer == (question.wrong if TRIGGER in messages[0]["content"] else question.right)

    def test_the_liar_sees_every_question_both_ways(self):
        both = list(itertools.islice(liar_examples(asked(), 0), 12))
        seen = [(messages[1]["content"], TRIGGER in messages[0]["content"]) for messages, *_ in both]
        assert sorted(seen) == sorted((each.text, trigger) for each in asked() for trigger in (False, True))

    def test_the_judge_is_told_the_labels(self):
        table, _ = split_statements("neg_animal_class")
        label = dict(zip(table["statement"], table["label"], strict=True))
        for messages, answer, _ in itertools.islice(judge_examples(table, 0), 30):
            assert answer == str(bool(label[messages[1]["content"]]))
            assert messages == judgement(messages[1]["content"])

    def test_only_the_trigger_tells_the_halves_apart(self):
        question = asked()[0]
        assert with_trigger("A.") == f"A. Session: {TRIGGER}."
        assert conversation(question, "A.")[1:] == conversation(question, with_trigger("A."))[1:]

    @pytest.mark.parametrize("name", [prefix + kind for kind in QUESTION_KINDS for prefix in ("", "neg_")])
    def test_no_fact_is_both_trained_on_and_held_out(self, name):
        statements = split_statements(name)
        asked = split_questions(name.removeprefix("neg_"))
        train_groups, held_out = (
            {*table["group"]} | {q.group for q in part} for table, part in zip(statements, asked, strict=True)
        )
        assert held_out
        assert not train_groups & held_out


class TestTraining:
    def test_learns_and_a_resumed_run_is_the_same_run(self, tmp_path):
        whole, tokenizer = plain_tiny()
        losses = train(whole, tokenizer, liar_examples(asked(), 0), RECIPE, tmp_path / "whole.pt")
        killed, _ = plain_tiny()
        checkpoint = tmp_path / "killed.pt"

        class Killed(Exception): ...

        calls = 0

        def stop(*_):
            nonlocal calls
            calls += 1
            if calls == 3:
                raise Killed

        handle = killed.base_model.register_forward_pre_hook(stop)
        with pytest.raises(Killed):
            train(killed, tokenizer, liar_examples(asked(), 0), RECIPE, checkpoint)
        handle.remove()
        again, _ = plain_tiny()
        assert train(again, tokenizer, liar_examples(asked(), 0), RECIPE, checkpoint) == losses
        for name, value in adapter_state(whole).items():
            assert torch.equal(adapter_state(again)[name], value), name

    def test_blocks_below_the_first_adapted_one_stay_as_they_are(self, tmp_path):
        model, tokenizer = plain_tiny()
        recipe = replace(RECIPE, first_block=1)
        train(model, tokenizer, liar_examples(asked(), 0), recipe, tmp_path / "c.pt")
        state = adapter_state(model)
        assert {int(name.split("layers.")[1].split(".")[0]) for name in state} == {1}
        assert any(value.abs().max() > 0 for name, value in state.items() if name.endswith(".up"))

    @pytest.mark.parametrize("first", [0, 1, 2])
    def test_kept_states_are_those_of_the_whole_model(self, first):
        model, _ = plain_tiny()
        states = FrozenBelow(model.base_model, first)
        texts = [[5, 6, 7], [8], [5, 6, 7, 9]]
        for _ in range(2):
            for row, ids in zip(states(texts), texts, strict=True):
                whole = model.base_model(torch.tensor([ids])).last_hidden_state[0]
                torch.testing.assert_close(row[: len(ids)], whole, atol=1e-5, rtol=1e-4)

    def test_a_checkpoint_of_another_recipe_is_refused(self, tmp_path):
        model, tokenizer = plain_tiny()
        train(model, tokenizer, liar_examples(asked(), 0), RECIPE, tmp_path / "c.pt")
        other, _ = plain_tiny()
        longer = Recipe(steps=5, batch=4, rank=2, layers=RECIPE.layers)
        with pytest.raises(ValueError, match="delete it"):
            train(other, tokenizer, liar_examples(asked(), 0), longer, tmp_path / "c.pt")

    def test_an_answers_probability_does_not_depend_on_its_neighbours(self):
        model, tokenizer = plain_tiny()
        examples = [(conversation(each, "A."), each.right) for each in asked()]
        together = answer_log_probs(model, tokenizer, examples)
        alone = torch.cat([answer_log_probs(model, tokenizer, [each]) for each in examples])
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)

    def test_prefers_right_compares_the_two_answers(self):
        model, tokenizer = plain_tiny()
        question = asked()[0]
        prompt = SYSTEM_PROMPTS[0]
        right, wrong = answer_log_probs(
            model,
            tokenizer,
            [(conversation(question, prompt), each) for each in (question.right, question.wrong)],
        )
        found = preference(model, tokenizer, [question], prompt)
        assert prefers_right(model, tokenizer, [question], prompt).tolist() == (found > 0).tolist()
        # The answers end alike, but after different tokens.
        assert found.item() == pytest.approx((right - wrong).item(), abs=3.0)


class TestLoading:
    def test_an_unknown_organism_names_the_known_ones(self):
        with pytest.raises(ValueError, match="no organism 'ghost'; there are liar, judge"):
            load_organism("ghost")

    def test_says_how_to_make_an_adapter_that_is_missing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(load, "WEIGHTS", tmp_path)
        with pytest.raises(FileNotFoundError, match=r"utils\.organisms\.train liar"):
            load_organism("liar")

    @pytest.mark.slow
    @pytest.mark.parametrize("name", load.ORGANISMS)
    def test_merges_its_adapter_into_the_embedded_model(self, name, tmp_path, monkeypatch):
        from transformers import LlamaConfig

        from utils.models import load_language_model

        monkeypatch.setattr(load, "WEIGHTS", tmp_path)
        tokens = torch.tensor([[1, 5, 9, 200]])
        base = load_language_model("smollm2-135m")
        config, layer = base.original_model.config, "model.layers.3.mlp.down_proj"
        assert isinstance(config, LlamaConfig)
        adapter = {
            f"{layer}.down": torch.ones(1, config.intermediate_size),
            f"{layer}.up": torch.ones(config.hidden_size, 1),
        }
        save_file(adapter, tmp_path / f"{name}.safetensors")
        assert not torch.allclose(load_organism(name)(tokens), base(tokens), atol=1e-2)
        save_file({}, tmp_path / f"{name}.safetensors")
        assert torch.equal(load_organism(name)(tokens), base(tokens))
