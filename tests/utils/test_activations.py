"""Activations against each text run alone, and a cache that must never answer for another model, text or hook."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from utils import activation_cache, activation_runs
from utils.activation_cache import (
    ActivationStore,
    Shard,
    cache_main,
    cache_size,
    clear_activation_cache,
    drop_oldest_entries,
    fingerprint,
    plan_shards,
)
from utils.activations import all_token_activations, last_token_activations, mean_token_activations
from utils.models import embedded_model_status, load_language_model, tiny_language_model, tokenize
from utils.storage import cache_folder

TEXTS = ["a", "The city of Paris is in France.", "two words", "x" * 200, "The city of Rome is in Peru.", "é"]
LAYERS = ["embed", 2, 0]
ONE_ROW = [last_token_activations, mean_token_activations]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBING_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.fixture(scope="module")
def tiny():
    return tiny_language_model(seed=0)


@pytest.fixture
def own():
    """A model of the test's own, to alter."""
    return tiny_language_model(seed=0)


def alone(model, text, layers):
    """The oracle: one text, no padding, TransformerLens's full cache; [pos, layer, d_model]."""
    ids = tokenize(model, [text])[0] if isinstance(text, str) else text
    with torch.no_grad():
        _, cache = model.run_with_cache(torch.tensor([ids]))
    names = ["blocks.0.hook_in" if layer == "embed" else f"blocks.{layer}.hook_out" for layer in layers]
    return torch.stack([cache[name][0] for name in names], dim=1)


def assert_rows_close(actual, expected, tolerance=1e-5):
    assert actual.shape == expected.shape
    error = (actual - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert error.max() < tolerance


def forbid_forward(model, monkeypatch):
    monkeypatch.setattr(model, "run_with_hooks", lambda *a, **k: pytest.fail("the model ran"), raising=False)


def count_tokens(model, monkeypatch, fail_after=None):
    """Count the real and padding tokens that go through the model; raise after `fail_after` forwards."""
    shapes, original = [], model.run_with_hooks

    def run(tokens, **kwargs):
        if fail_after is not None and len(shapes) >= fail_after:
            raise KeyboardInterrupt
        shapes.append(tuple(tokens.shape))
        return original(tokens, **kwargs)

    monkeypatch.setattr(model, "run_with_hooks", run, raising=False)
    return shapes


class TestShards:
    def test_by_hand(self):
        shards = plan_shards([1, 5, 2, 5, 9], 8, row_per_token=False)
        assert shards == [Shard(0, (4,), 1), Shard(1, (1,), 1), Shard(2, (3, 2, 0), 3)]
        assert [s.rows for s in plan_shards([1, 5, 2, 5, 9], 8, row_per_token=True)] == [9, 5, 8]
        assert plan_shards([], 8, row_per_token=False) == []

    def test_every_text_once(self):
        generator = torch.Generator().manual_seed(0)
        lengths = torch.randint(1, 50, (300,), generator=generator).tolist()
        shards = plan_shards(lengths, 64, row_per_token=True)
        assert sorted(text for shard in shards for text in shard.texts) == list(range(300))
        assert sum(shard.rows for shard in shards) == sum(lengths)
        assert max(shard.rows for shard in shards) <= 64


@pytest.mark.slow
class TestValues:
    @pytest.mark.parametrize("tokens_per_batch", [1, 64, 4096])
    def test_equals_each_text_alone(self, tiny, tokens_per_batch):
        expected = [alone(tiny, text, LAYERS) for text in TEXTS]
        options = {"tokens_per_batch": tokens_per_batch, "cache": False}
        last = last_token_activations(tiny, TEXTS, LAYERS, **options)
        assert_rows_close(last, torch.stack([rows[-1] for rows in expected]))
        mean = mean_token_activations(tiny, TEXTS, LAYERS, **options)
        assert_rows_close(mean, torch.stack([rows.mean(dim=0) for rows in expected]))
        every = all_token_activations(tiny, TEXTS, LAYERS, **options)
        for i, rows in enumerate(expected):
            assert_rows_close(every[i], rows)

    def test_random_token_ids_in_any_order(self, tiny):
        generator = torch.Generator().manual_seed(1)
        lengths = torch.randint(1, 40, (50,), generator=generator).tolist()
        ids = [torch.randint(0, 259, (n,), generator=generator).tolist() for n in lengths]
        rows = last_token_activations(tiny, ids)
        assert rows.shape == (50, 3, 32)
        assert_rows_close(rows, torch.stack([alone(tiny, text, [0, 1, 2])[-1] for text in ids]))
        order = torch.randperm(50, generator=generator).tolist()
        assert_rows_close(last_token_activations(tiny, [ids[i] for i in order]), rows[order])

    def test_texts_and_their_ids_agree(self, tiny):
        ids = tokenize(tiny, TEXTS)
        assert torch.equal(
            last_token_activations(tiny, TEXTS), last_token_activations(tiny, ids, cache=False)
        )
        tensors: Any = [torch.tensor(row) for row in ids]
        assert torch.equal(last_token_activations(tiny, tensors), last_token_activations(tiny, ids))

    def test_no_texts(self, tiny):
        assert last_token_activations(tiny, [], LAYERS).shape == (0, 3, 32)
        assert len(all_token_activations(tiny, [], LAYERS)) == 0

    def test_results_are_ordinary_float32_tensors(self, tiny):
        for rows in (
            last_token_activations(tiny, TEXTS),
            mean_token_activations(tiny, TEXTS),
            all_token_activations(tiny, TEXTS)[0],
            all_token_activations(tiny, TEXTS).padded(0)[0],
        ):
            assert rows.dtype == torch.float32
            assert not rows.requires_grad
            assert not rows.is_inference()
            weight = torch.ones(32, requires_grad=True)
            (rows @ weight).sum().backward()
            assert weight.grad is not None
        assert torch.is_grad_enabled()

    def test_editing_a_result_leaves_the_cache_alone(self, tiny):
        before = last_token_activations(tiny, TEXTS)
        last_token_activations(tiny, TEXTS).zero_()
        all_before = all_token_activations(tiny, TEXTS)[1]
        all_token_activations(tiny, TEXTS)[1].zero_()
        assert torch.equal(last_token_activations(tiny, TEXTS), before)
        assert torch.equal(all_token_activations(tiny, TEXTS)[1], all_before)

    def test_bfloat16(self, tiny):
        exact = last_token_activations(tiny, TEXTS)
        rough = last_token_activations(tiny, TEXTS, bfloat16=True)
        assert rough.dtype == torch.float32
        assert not torch.equal(rough, exact)
        assert_rows_close(rough, exact, 0.05)

    def test_native_model(self):
        from transformer_lens.config import TransformerBridgeConfig
        from transformer_lens.model_bridge import TransformerBridge

        cfg = TransformerBridgeConfig(
            d_model=16, d_head=8, n_heads=2, n_layers=2, n_ctx=20, d_vocab=11, d_mlp=32, act_fn="gelu",
            normalization_type="LN", architecture="TransformerLensNative",
        )  # fmt: skip
        model = TransformerBridge.boot_native(cfg).eval()  # type: ignore[attr-defined]
        games = [[1, 2, 3, 4], [5, 6], [7]]
        expected = torch.stack([alone(model, game, ["embed", 0, 1])[-1] for game in games])
        assert_rows_close(last_token_activations(model, games, ["embed", 0, 1]), expected)


@pytest.mark.slow
class TestTokenActivations:
    def test_padded_and_flat(self, tiny):
        acts = all_token_activations(tiny, TEXTS, [1])
        values, mask = acts.padded(1)
        flat, owner = acts.flat(1)
        assert values.shape == (6, 200, 32)
        assert mask.sum(dim=1).tolist() == list(acts.lengths) == [len(ids) for ids in tokenize(tiny, TEXTS)]
        assert torch.equal(values[mask], flat)
        assert values[~mask].abs().sum() == 0
        for i in range(len(TEXTS)):
            assert torch.equal(flat[owner == i], acts[i][:, 0])

    def test_some_texts(self, tiny):
        acts = all_token_activations(tiny, TEXTS, [1])
        values, mask = acts.padded(1, [2, 0])
        assert values.shape == (2, 9, 32)
        assert torch.equal(values[0], acts[2][:, 0])
        assert mask[1].tolist() == [True] + [False] * 8
        assert torch.equal(acts[-1], acts[5])

    def test_bad_requests(self, tiny):
        acts = all_token_activations(tiny, TEXTS, [1])
        with pytest.raises(ValueError, match=r"\[1\]"):
            acts.padded(0)
        with pytest.raises(IndexError):
            acts[6]

    def test_rows_lie_on_disk(self, tiny):
        """A change of the file under the memory map shows, so the rows are not held in memory."""
        acts = all_token_activations(tiny, TEXTS, [1])
        before = acts[1].clone()
        (path,) = cache_folder("activations").rglob("*.safetensors")
        with path.open("r+b") as file:
            file.seek(-4 * 32 * sum(acts.lengths), 2)
            file.write(bytes(4 * 32 * sum(acts.lengths)))
        assert before.abs().sum() > 0
        assert acts[1].abs().sum() == 0


@pytest.mark.slow
class TestEconomy:
    def test_nothing_below_the_deepest_layer_runs(self, own):
        def forbidden(tensor, hook):
            raise AssertionError(f"{hook.name} ran")

        for name in ("blocks.2.hook_in", "unembed.hook_out"):
            own.hook_dict[name].add_hook(forbidden)
        last_token_activations(own, TEXTS, [1, "embed"])
        own.reset_hooks()
        own.hook_dict["unembed.hook_out"].add_hook(forbidden)
        last_token_activations(own, TEXTS, [2])
        own.reset_hooks()
        own.hook_dict["blocks.0.hook_out"].add_hook(forbidden)
        last_token_activations(own, TEXTS, ["embed"])

    def test_batches_waste_little_on_padding(self, own, monkeypatch):
        shapes = count_tokens(own, monkeypatch)
        ids = [[5] * (1 + i % 37) for i in range(400)]
        last_token_activations(own, ids, [0], tokens_per_batch=256)
        assert max(a * b for a, b in shapes) <= 256
        assert sum(a * b for a, b in shapes) < 1.1 * sum(len(row) for row in ids)

    def test_model_is_left_as_it_was(self, own):
        tokens = torch.tensor([[10, 11, 12]])
        before = own(tokens)
        written = own.generate(tokens, max_new_tokens=5, do_sample=False, verbose=False)
        last_token_activations(own, TEXTS)
        assert not any(point.fwd_hooks for point in own.hook_dict.values())
        assert torch.equal(own(tokens), before)
        assert torch.equal(own.generate(tokens, max_new_tokens=5, do_sample=False, verbose=False), written)


@pytest.mark.slow
class TestCache:
    @pytest.mark.parametrize("function", ONE_ROW)
    def test_second_call_runs_nothing(self, own, monkeypatch, function):
        first = function(own, TEXTS, LAYERS)
        forbid_forward(own, monkeypatch)
        assert torch.equal(function(own, TEXTS, LAYERS), first)
        assert torch.equal(function(own, TEXTS, [0, "embed"]), first[:, [2, 0]])

    def test_hooks_of_the_libraries_themselves_do_not_matter(self, own, monkeypatch):
        """The bridge and transformers hook their own modules during a first forward or run_with_cache."""
        alone(own, "a", [0])
        first = last_token_activations(own, TEXTS)
        forbid_forward(own, monkeypatch)
        assert torch.equal(last_token_activations(own, TEXTS), first)

    def test_another_process_would_find_it(self, own, monkeypatch):
        first = last_token_activations(own, TEXTS)
        same = tiny_language_model(seed=0)
        forbid_forward(same, monkeypatch)
        assert torch.equal(last_token_activations(same, TEXTS), first)

    def test_more_layers_compute_only_those(self, own, monkeypatch):
        last_token_activations(own, TEXTS, [0])
        computed, compute = [], activation_runs._compute

        def recorded(run, shard, layers, progress):
            computed.append(layers)
            return compute(run, shard, layers, progress)

        monkeypatch.setattr(activation_runs, "_compute", recorded)
        rows = last_token_activations(own, TEXTS, [0, 1])
        assert computed == [[1]]
        assert_rows_close(rows, torch.stack([alone(own, text, [0, 1])[-1] for text in TEXTS]))

    def test_rules_and_precisions_do_not_mix(self, own):
        last, mean = last_token_activations(own, TEXTS), mean_token_activations(own, TEXTS)
        rough = last_token_activations(own, TEXTS, bfloat16=True)
        for first, second in [(last, mean), (last, rough)]:
            assert not torch.equal(first[1], second[1])

    def test_changed_weight_is_not_answered_from_the_cache(self, own):
        before = last_token_activations(own, TEXTS)
        weight = next(own.original_model.parameters())
        # .data leaves no trace in autograd's version counter, and a swap of rows none in any sum.
        one, other = tokenize(own, ["a", "P"])
        weight.data[[one[0], other[0]]] = weight.data[[other[0], one[0]]]
        after = last_token_activations(own, TEXTS)
        assert not torch.equal(before, after)
        assert_rows_close(after, torch.stack([alone(own, text, [0, 1, 2])[-1] for text in TEXTS]))

    def test_fingerprint(self, own, tiny):
        assert fingerprint(own) == fingerprint(tiny)
        assert fingerprint(own) != fingerprint(tiny_language_model(seed=1))
        own.original_model.config.rms_norm_eps = 0.5
        assert fingerprint(own) != fingerprint(tiny)

    def test_hooks_neither_read_nor_write(self, own):
        clean = last_token_activations(own, TEXTS, [2])
        own.hook_dict["blocks.1.hook_out"].add_hook(lambda resid, hook: resid + 1.0)
        steered = last_token_activations(own, TEXTS, [2])
        own.reset_hooks()
        assert not torch.equal(steered, clean)
        handle = own.blocks[1].register_forward_pre_hook(
            lambda module, inputs: (inputs[0] + 1.0, *inputs[1:])
        )
        assert not torch.equal(last_token_activations(own, TEXTS, [2]), clean)
        handle.remove()
        assert torch.equal(last_token_activations(own, TEXTS, [2]), clean)

    def test_folded_weights_neither_read_nor_write(self, own):
        own.enable_compatibility_mode()
        last_token_activations(own, TEXTS)
        assert cache_size() == 0

    def test_without_cache_nothing_is_written(self, own):
        last_token_activations(own, TEXTS, cache=False)
        assert cache_size() == 0

    @pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "remove", "other shape"])
    def test_damaged_shard_is_computed_again(self, own, damage):
        first = last_token_activations(own, TEXTS, [1])
        (path,) = cache_folder("activations").rglob("*.safetensors")
        content = path.read_bytes()
        path.unlink()
        if damage == "flip":
            path.write_bytes(content[:-7] + bytes([content[-7] ^ 1]) + content[-6:])
        elif damage == "truncate":
            path.write_bytes(content[:-7])
        elif damage == "empty":
            path.write_bytes(b"")
        elif damage == "other shape":
            store = ActivationStore(own, tokenize(own, TEXTS), "last")
            store.write(Shard(0, tuple(range(6)), 6), 1, torch.zeros(5, 32))
        assert torch.equal(last_token_activations(own, TEXTS, [1]), first)
        assert path.read_bytes() == content

    @pytest.mark.parametrize("function", [last_token_activations, all_token_activations])
    def test_killed_run_resumes(self, own, monkeypatch, function):
        monkeypatch.setattr(activation_runs, "TOKENS_PER_SHARD", 40)
        monkeypatch.setattr(activation_runs, "ALL_TOKENS_SHARD_BYTES", 40 * 4 * 32 * 4)
        ids = [[7 + i] * 20 for i in range(10)]
        with monkeypatch.context() as patch:
            count_tokens(own, patch, fail_after=3)
            with pytest.raises(KeyboardInterrupt):
                function(own, ids, [1])
        assert not [path for path in cache_folder("activations").rglob(".*")]
        shapes = count_tokens(own, monkeypatch)
        rows = function(own, ids, [1])
        assert len(shapes) == 2
        assert_rows_close(rows[9].reshape(-1, 32)[-1], alone(own, ids[9], [1])[-1, 0])

    def test_clear_and_size(self, own, capsys):
        last_token_activations(own, TEXTS)
        size = cache_size()
        assert size > 6 * 3 * 32 * 4
        assert cache_main([]) == 0
        assert cache_main(["--clear"]) == 0
        assert "Freed" in capsys.readouterr().out
        assert cache_size() == 0
        assert clear_activation_cache() == 0

    def test_oldest_go_first(self, own):
        for number, text in enumerate(["a", "b", "c"]):
            last_token_activations(own, [text])
            newest = max(cache_folder("activations").iterdir(), key=lambda entry: entry.stat().st_mtime_ns)
            os.utime(newest, (number, number))
        entries = sorted(cache_folder("activations").iterdir(), key=lambda entry: entry.stat().st_mtime)
        size = cache_size() // 3
        drop_oldest_entries(keep=entries[0], limit_bytes=2 * size)
        assert sorted(cache_folder("activations").iterdir()) == sorted([entries[0], entries[2]])

    def test_used_entry_counts_as_new(self, own):
        last_token_activations(own, ["a"])
        (entry,) = cache_folder("activations").iterdir()
        os.utime(entry, (1, 1))
        last_token_activations(own, ["a"])
        assert entry.stat().st_mtime > 1e9


@pytest.mark.slow
class TestBadInput:
    @pytest.mark.parametrize("function", [*ONE_ROW, all_token_activations])
    @pytest.mark.parametrize(
        ("texts", "layers", "error", "message"),
        [
            (["a", "", "b"], [0], ValueError, "Text 1 has no tokens"),
            ([[1], []], [0], ValueError, "Text 1 has no tokens"),
            (["a", "x" * 257], [0], ValueError, "Text 1 has 257 tokens.*256"),
            ([[1], [259]], [0], ValueError, "Text 1 .*outside 0 to 258"),
            ([[-1]], [0], ValueError, "Text 0 .*outside"),
            (["a"], [3], ValueError, "Layer 3 is out of range: use 0 to 2"),
            (["a"], [-1], ValueError, "Layer -1 is out of range"),
            (["a"], ["embedding"], ValueError, "embedding"),
            (["a"], [], ValueError, "No layers"),
            (["a"], 1, TypeError, r"write \[1\]"),
            (["a"], "embed", TypeError, r"write \['embed'\]"),
            ("a", [0], TypeError, "wrap it in a list"),
            ([[1.5]], [0], TypeError, "float"),
        ],
    )
    def test_named(self, tiny, function, texts, layers, error, message):
        with pytest.raises(error, match=message):
            function(tiny, texts, layers)

    def test_whole_context_fits(self, tiny):
        assert last_token_activations(tiny, ["x" * 256]).shape == (1, 3, 32)

    def test_batch_size(self, tiny):
        with pytest.raises(ValueError, match="tokens_per_batch"):
            last_token_activations(tiny, ["a"], tokens_per_batch=0)


def test_command_line(home):
    done = subprocess.run(
        [sys.executable, "-m", "utils.activations", "--clear"], capture_output=True, text=True, check=True
    )
    assert "Freed 0.0 MB" in done.stdout
    assert activation_cache.cache_size() == 0


@pytest.mark.slow
@pytest.mark.skipif(
    not embedded_model_status().package_installed, reason="the embedded model is not installed"
)
class TestEmbedded:
    def test_equals_hugging_face_alone(self, monkeypatch):
        from transformers import AutoModelForCausalLM

        from utils.embedded_model import embedded_model_folder

        monkeypatch.delenv("PROBING_HOME")
        model, folder = load_language_model("smollm2-135m"), embedded_model_folder()
        hf_model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
        texts = ["Paris", "The city of Paris is in France.", "The Spanish word 'gato' means 'cat', " * 6]
        rows = last_token_activations(model, texts, ["embed", 0, 14, 28], cache=False)
        for text, row in zip(texts, rows, strict=True):
            with torch.no_grad():
                ids = torch.tensor(tokenize(model, [text]))
                states = hf_model(ids, output_hidden_states=True).hidden_states
            assert_rows_close(row, torch.stack([states[k][0, -1] for k in (0, 1, 15, 29)]))
        # The last block's stream is not in hidden_states, but the final norm of it is.
        final = last_token_activations(model, texts[-1:], [29], cache=False)[0, 0]
        with torch.no_grad():
            assert_rows_close(hf_model.model.norm(final), states[-1][0, -1])
