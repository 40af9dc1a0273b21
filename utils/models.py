"""Language models by name, as TransformerLens 4 bridges: the embedded one offline, any Hugging Face one by its id.

transformer_lens takes seconds to import, so every import of it is inside a function.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.embedded_model import (
    EMBEDDED_MODEL,
    EmbeddedModelStatus,
    embedded_model_status,
    main,
    verified_embedded_model,
)

if TYPE_CHECKING:
    import torch
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "EMBEDDED_MODEL",
    "EmbeddedModelStatus",
    "embedded_model_status",
    "load_language_model",
    "tiny_language_model",
    "tokenize",
    "untrained_twin",
]

Message = dict[str, str]


class ModelUnavailable(OSError):
    """A model that cannot be downloaded or read; the message says what to do."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def load_language_model(name: str | None = None, dtype: torch.dtype | str = "float32") -> TransformerBridge:
    """A language model with its tokenizer (`model.tokenizer`), in eval mode on the CPU.

    name: "smollm2-135m" (embedded: no network), a Hugging Face id such as "org/name", or a local folder in the
        same format. When not given: the environment variable PROBING_MODEL, else the embedded model.
    dtype: of the weights, such as torch.float32 or "bfloat16".

    The weights are the raw ones (nothing folded or centred), so `blocks.{l}.hook_out` equals Hugging Face's
    `hidden_states[l + 1]` for all but the last block. `model.cfg.default_prepend_bos` is True only when the
    model's own tokenizer starts plain text with a BOS (Llama, Gemma do; SmolLM2 does not), so that
    `model.to_tokens` and `tokenize` agree.

    Raises FileNotFoundError when the embedded model's package or a local folder is missing, ModelUnavailable (an
    OSError) when a download fails or the files are damaged, ValueError for an unknown name or dtype.
    """
    if name is None:
        name = os.environ.get("PROBING_MODEL") or EMBEDDED_MODEL
    if name == EMBEDDED_MODEL:
        return _load_folder(str(verified_embedded_model(say=print)), name, dtype)
    if Path(name).expanduser().is_dir():
        return _load_folder(str(Path(name).expanduser()), name, dtype)
    if name.startswith((".", "/", "~")):
        raise FileNotFoundError(f"There is no folder {name!r}. Give a folder with config.json, or a hub id.")
    if name.count("/") != 1 or not all(name.split("/")):
        raise ValueError(
            f"Unknown model {name!r}. Use {EMBEDDED_MODEL!r}, a hub id 'org/name', or a local folder."
        )
    return _load_folder(name, name, dtype)


def untrained_twin(model: TransformerBridge, seed: int) -> TransformerBridge:
    """The floor to stand beside `model`: same architecture, configuration and tokenizer, fresh weights.

    The weights are those that the architecture itself starts training from (Hugging Face's own
    initialisation, or TransformerLens's for a `boot_native` model). Equal seeds give equal weights; the global
    generator is untouched. Nothing is downloaded.
    """
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    hf_config = getattr(model.original_model, "config", None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if not hasattr(hf_config, "architectures"):
            native = copy.deepcopy(model.cfg)
            native.seed = seed
            boot_native: Any = getattr(TransformerBridge, "boot_native")  # noqa: B009 (attached at import)
            return boot_native(native, tokenizer=model.tokenizer).eval()
        from transformers import AutoModelForCausalLM

        hf_model = AutoModelForCausalLM.from_config(
            copy.deepcopy(hf_config),
            dtype=next(model.original_model.parameters()).dtype,
            attn_implementation="eager",
        ).eval()
    return _boot(hf_model, model.tokenizer, model.cfg.model_name, bool(model.cfg.default_prepend_bos))


def tokenize(
    model: TransformerBridge | PreTrainedTokenizerBase,
    texts: Sequence[str] | Sequence[list[Message]],
    *,
    chat: bool = False,
    bos: bool | None = None,
) -> list[list[int]]:
    """Token ids of each text, unpadded.

    texts: strings; with chat=True a string is one user message, or each text is a list of
        {"role": ..., "content": ...} messages.
    chat: put each text through the model's chat template, which brings its own special tokens. The start of
        the assistant's turn is added when the last message is not the assistant's.
    bos: start plain text with the BOS token; no other special token is ever added. Default: what the model
        was trained with, recorded by `load_language_model` (SmolLM2: no BOS), and no BOS when only a tokenizer
        is given.

    Raises TypeError when `texts` is a single string, ValueError when there is no tokenizer, no BOS token or no
    chat template.
    """
    if isinstance(texts, str):
        raise TypeError(f"texts must be a list, got the single string {texts!r}: wrap it in a list.")
    tokenizer: Any = getattr(model, "tokenizer", model)
    if tokenizer is None:
        raise ValueError("This model has no tokenizer: pass token ids instead of texts.")
    if chat:
        if not getattr(tokenizer, "chat_template", None):
            raise ValueError("This model's tokenizer has no chat template: use chat=False.")
        return [_chat_ids(tokenizer, text) for text in texts]
    if bos is None:
        cfg = getattr(model, "cfg", None)
        bos = bool(getattr(cfg, "default_prepend_bos", False))
    if bos and tokenizer.bos_token_id is None:
        raise ValueError("This model's tokenizer has no BOS token: use bos=False.")
    start = [tokenizer.bos_token_id] if bos else []
    if len(texts) == 0:
        return []
    return [start + ids for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]


def tiny_language_model(seed: int = 0, n_layers: int = 3, d_model: int = 32) -> TransformerBridge:
    """A random Llama small enough for tests, with all that a real one has: RoPE, grouped keys, a chat template.

    Booted in 0.1 s. Its tokenizer makes one token of each UTF-8 byte (259 with the three special ones); context
    256 tokens; d_model must be a multiple of 8 (4 heads of even width). The weights are larger than a usual
    initialisation, so that attention and depth visibly matter. Equal seeds give equal models.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    config = LlamaConfig(
        vocab_size=256 + len(special),
        hidden_size=d_model,
        intermediate_size=2 * d_model,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        architectures=["LlamaForCausalLM"],
    )
    with torch.random.fork_rng(devices=[]):
        # Offset, or the untrained twin of the same seed would be this very model.
        torch.manual_seed(1_000_000 + seed)
        hf_model = LlamaForCausalLM(config).eval()
    return _boot(hf_model, _byte_tokenizer(special), "tiny-random-llama", default_bos=False)


def _load_folder(source: str, name: str, dtype: torch.dtype | str) -> TransformerBridge:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    resolved = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(resolved, torch.dtype) or not resolved.is_floating_point:
        raise ValueError(
            f"dtype must be a floating-point one such as 'float32' or 'bfloat16', got {dtype!r}."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        hf_model = AutoModelForCausalLM.from_pretrained(source, dtype=resolved, attn_implementation="eager")
    except Exception as error:
        # The message holds the first line of the cause; the cause itself would bury it in a hundred lines.
        raise ModelUnavailable(_load_failure(source, error)) from None
    plain = tokenizer("a")["input_ids"]
    default_bos = tokenizer.bos_token_id is not None and plain[0] == tokenizer.bos_token_id
    return _boot(hf_model.eval(), tokenizer, name, default_bos)


def _boot(hf_model: Any, tokenizer: Any, name: str, default_bos: bool) -> TransformerBridge:
    from transformer_lens.model_bridge import TransformerBridge

    # The bridge would read the tokenizer again from its folder, changed so that it adds a BOS to everything:
    # half a second, impossible for one built in memory, and the source of double BOS. Saying that it adds one
    # already leaves it as it is; default_prepend_bos decides instead.
    tokenizer.init_kwargs.setdefault("name_or_path", name)
    tokenizer.init_kwargs["add_bos_token"] = True
    dtype = next(hf_model.parameters()).dtype
    bridge = TransformerBridge.boot_transformers(
        name, hf_model=hf_model, tokenizer=tokenizer, device="cpu", dtype=dtype
    )
    bridge.cfg.default_prepend_bos = default_bos
    bridge.eval()
    _assert_no_silent_traps(bridge)
    return bridge


def _assert_no_silent_traps(bridge: TransformerBridge) -> None:
    """Fail now, loudly, where a later version of a library would otherwise fail silently."""
    missing = {f"blocks.{layer}.hook_out" for layer in range(bridge.cfg.n_layers)} - set(bridge.hook_dict)
    if missing:
        raise RuntimeError(
            f"{bridge.cfg.model_name}: no hook points {sorted(missing)[:3]}. Use transformer-lens>=4.3,<5."
        )
    if any(module.training for module in bridge.original_model.modules()):
        raise RuntimeError(f"{bridge.cfg.model_name} is not in eval mode: call model.eval().")
    if bridge.tokenizer is not None:
        ids = bridge.to_tokens("a")[0].tolist()
        if ids != tokenize(bridge, ["a"])[0] or ids[:2] == [bridge.tokenizer.bos_token_id] * 2:
            raise RuntimeError(
                f"{bridge.cfg.model_name}: to_tokens('a') is {ids}, a BOS too many or too few."
            )


def _chat_ids(tokenizer: Any, text: str | list[Message]) -> list[int]:
    messages = [{"role": "user", "content": text}] if isinstance(text, str) else text
    string = tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=messages[-1]["role"] != "assistant"
    )
    return tokenizer(string, add_special_tokens=False)["input_ids"]


def _load_failure(source: str, error: Exception) -> str:
    detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if Path(source).is_dir():
        return (
            f"The model in {source} cannot be read ({detail}). It needs intact config.json, model.safetensors "
            "and tokenizer.json: save it again with save_pretrained, or delete a damaged copy and fetch it anew."
        )
    return (
        f"{source!r} could not be loaded from the Hugging Face hub ({detail}). Check the spelling at "
        f"https://huggingface.co/{source}, the network (HF_HUB_OFFLINE unset), and for a gated model "
        f"`hf auth login`. The embedded model {EMBEDDED_MODEL!r} needs no network."
    )


def _byte_tokenizer(special: list[str]) -> PreTrainedTokenizerBase:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    symbols = special + sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[1], eos_token=special[2], pad_token=special[2]
    )
    wrapped.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return wrapped


if __name__ == "__main__":
    raise SystemExit(main())
