"""The board models as a plain GPT: fast to train, and its weights load into a `TransformerBridge` name for name."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from utils.storage import atomic_path

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class BoardConfig:
    """The shape of a board model. `d_mlp` is 4 × d_model; heads split d_model evenly."""

    d_model: int
    n_layers: int
    n_heads: int
    n_ctx: int
    d_vocab: int

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model {self.d_model} is no multiple of n_heads {self.n_heads}")


class _Attention(nn.Module):
    def __init__(self, config: BoardConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.q, self.k, self.v, self.o = (nn.Linear(config.d_model, config.d_model) for _ in range(4))

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        # One product instead of three: at this width the processor waits for memory, not for arithmetic.
        weight = torch.cat([self.q.weight, self.k.weight, self.v.weight])
        bias = torch.cat([self.q.bias, self.k.bias, self.v.bias])
        batch, pos, d_model = x.shape
        d_head = d_model // self.n_heads
        qkv = F.linear(x, weight, bias).view(batch, pos, 3, self.n_heads, d_head)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).reshape(3, batch * self.n_heads, pos, d_head).unbind(0)
        # Written out: the backward pass of torch's fused attention is three times slower on a processor.
        causal = torch.full((pos, pos), float("-inf"), dtype=q.dtype, device=q.device).triu(1)
        scores = torch.baddbmm(causal, q, k.transpose(1, 2), alpha=d_head**-0.5)
        mixed = scores.softmax(-1, dtype=q.dtype) @ v  # (batch head) pos d_head
        mixed = mixed.view(batch, self.n_heads, pos, d_head).transpose(1, 2).reshape(batch, pos, d_model)
        return self.o(mixed)


class _MLP(nn.Module):
    def __init__(self, config: BoardConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.d_model, 4 * config.d_model)
        self.out = nn.Linear(4 * config.d_model, config.d_model)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        return self.out(F.gelu(self.up(x)))


class _Block(nn.Module):
    def __init__(self, config: BoardConfig) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(config.d_model), nn.LayerNorm(config.d_model)
        self.attn, self.mlp = _Attention(config), _MLP(config)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class BoardGPT(nn.Module):
    """A pre-LayerNorm GPT with learned positions (Radford et al. 2019), without dropout, embeddings untied.

    `forward(tokens "batch pos") -> logits "batch pos d_vocab"`.
    """

    def __init__(self, config: BoardConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        # torch's modules draw weights of their own, which `_initialise` replaces: not from the caller's random state.
        with torch.random.fork_rng(devices=[]):
            self.embed = nn.Embedding(config.d_vocab, config.d_model)
            self.pos_embed = nn.Embedding(config.n_ctx, config.d_model)
            self.blocks = nn.ModuleList([_Block(config) for _ in range(config.n_layers)])
            self.ln_final = nn.LayerNorm(config.d_model)
            self.unembed = nn.Linear(config.d_model, config.d_vocab)
        self._initialise(seed)

    @torch.no_grad()
    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif ".ln" in name or name.startswith("ln"):
                parameter.fill_(1.0)
            elif name.endswith(("attn.o.weight", "mlp.out.weight")):
                # Every block adds twice to the stream, so each addition starts small (GPT-2's rule).
                parameter.normal_(0, 0.02 / (2 * self.config.n_layers) ** 0.5, generator=generator)
            else:
                parameter.normal_(0, 0.02, generator=generator)

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_vocab"]:
        return self.unembed(self.ln_final(self.streams(tokens)[-1]))

    def streams(self, tokens: Int[Tensor, "batch pos"]) -> list[Float[Tensor, "batch pos d_model"]]:
        """The residual stream that enters block 0, then after each block."""
        streams = [self.embed(tokens) + self.pos_embed.weight[: tokens.shape[1]]]
        for block in self.blocks:
            streams.append(block(streams[-1]))
        return streams

    def bridge_state(self) -> dict[str, Tensor]:
        """The weights under the names of `TransformerBridge.boot_native`, where `mlp.up` is called `mlp.in`."""
        return {name.replace("mlp.up.", "mlp.in."): value for name, value in self.state_dict().items()}

    def load_bridge_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `bridge_state`; raises RuntimeError when a name or shape does not fit."""
        self.load_state_dict({name.replace("mlp.in.", "mlp.up."): value for name, value in state.items()})


def save_weights(model: BoardGPT, path: Path) -> None:
    """Write the weights in float16 under the bridge's names, with the model's shape in the file's metadata.

    Raises ValueError, and writes nothing, when a weight is too large for float16.
    """
    state = {name: value.half().contiguous() for name, value in model.bridge_state().items()}
    overflown = [name for name, value in state.items() if not value.isfinite().all()]
    if overflown:
        raise ValueError(f"{overflown[0]} does not fit float16")
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata={"config": json.dumps(asdict(model.config))})


def read_weights(path: Path) -> tuple[BoardConfig, dict[str, Tensor]]:
    """The shape and the float32 weights (bridge names) that `save_weights` wrote."""
    with safe_open(path, framework="pt") as stored:
        config = BoardConfig(**json.loads(stored.metadata()["config"]))
        return config, {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118


def read_model(path: Path) -> BoardGPT:
    """The stored model in evaluation mode."""
    config, state = read_weights(path)
    model = BoardGPT(config)
    model.load_bridge_state(state)
    return model.eval()
