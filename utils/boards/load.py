"""`load_board_model(name)`: a board model as a TransformerBridge, with its encoder, probe positions and card."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from utils.boards import chess, othello
from utils.boards.model import WEIGHTS, BoardConfig, BoardGPT, read_weights
from utils.boards.published import PUBLISHED

if TYPE_CHECKING:
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

TRAINED_HERE = ("othello", "chess")


@dataclass(frozen=True)
class BoardModel:
    """A model of board games and what one needs to feed and probe it.

    model: in evaluation mode, on the processor; logits over the vocabulary of `encode`. encode: games to model input,
    as documented in `utils.boards.othello.encode` (of which the first 59 moves are kept), `utils.boards.chess.encode`
    or, for the published Chess-GPT, `utils.boards.chess.encode_pgn`. probe_positions: model input to the positions at
    which a whole board is known, in the order of `board_states` (finished games included). card: Markdown.
    """

    name: str
    model: "TransformerBridge"
    encode: Callable[[Any], np.ndarray]
    probe_positions: Callable[[np.ndarray], Bool[np.ndarray, "*game pos"]]
    card: str

    @property
    def summary(self) -> str:
        """The card without its probe results and learning curve, with headings that fit into a notebook."""
        told, _, _ = self.card.partition("\n## Linear board probe")
        return told.replace("\n## ", "\n#### ").replace("# ", "### ", 1)


def load_board_model(name: str, *, untrained_seed: int | None = None) -> BoardModel:
    """Load "othello" or "chess", trained here, or a published model from the Hugging Face hub: "othello-gpt-published",
    "chess-gpt-8layers-lichess", "chess-gpt-16layers-lichess", and the same two with "-stockfish".

    untrained_seed: instead of the trained weights, fresh ones of the same shape: the floor of a probe (for the models
    trained here, the state in which training with that seed begins). Raises ValueError for an unknown name, OSError
    when a published model cannot be fetched, FileNotFoundError when the weights have not been exported.
    """
    if name in TRAINED_HERE:
        path = WEIGHTS / f"{name}.safetensors"
        return _trained_here(name, path, untrained_seed)
    if name not in PUBLISHED:
        raise ValueError(f"no board model {name!r}; there are {[*TRAINED_HERE, *PUBLISHED]}")
    published = PUBLISHED[name]
    config, state = published.convert(_download(published.repo, published.file))
    model = _boot(config, state if untrained_seed is None else None, untrained_seed)
    encode, positions = _READERS[published.game]
    return BoardModel(name, model, encode, positions, published.card)


def _trained_here(game: str, path: Path, untrained_seed: int | None) -> BoardModel:
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: train the model and run python -m utils.boards.export {game}"
        )
    config, state = read_weights(path)
    if untrained_seed is not None:
        state = BoardGPT(config, seed=untrained_seed).bridge_state()
    encode, positions = _READERS[game]
    card = path.with_suffix(".md").read_text()
    return BoardModel(game, boot_board_model(config, state), encode, positions, card)


def boot_board_model(config: BoardConfig, state: dict[str, Tensor]) -> "TransformerBridge":
    """A board model in evaluation mode from weights under the bridge's names (`BoardGPT.bridge_state`)."""
    return _boot(bridge_config(config), state)


def bridge_config(config: BoardConfig) -> "TransformerBridgeConfig":
    """The bridge's description of a `BoardGPT`."""
    from transformer_lens.config import TransformerBridgeConfig

    return TransformerBridgeConfig(
        d_model=config.d_model,
        d_head=config.d_model // config.n_heads,
        n_heads=config.n_heads,
        n_layers=config.n_layers,
        d_mlp=4 * config.d_model,
        n_ctx=config.n_ctx,
        d_vocab=config.d_vocab,
        act_fn="gelu",
        normalization_type="LN",
        positional_embedding_type="standard",
    )


def _boot(
    config: "TransformerBridgeConfig", state: dict[str, Tensor] | None, seed: int | None = None
) -> "TransformerBridge":
    from transformer_lens.model_bridge import TransformerBridge

    # The bridge would draw its initial weights from the caller's random state.
    config.seed = seed or 0
    boot_native: Any = getattr(TransformerBridge, "boot_native")  # noqa: B009 (attached at import)
    model = boot_native(config)
    if state is not None:
        model.load_state_dict(state, strict=True)
    return model.eval()


def _download(repo: str, file: str) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download

    return torch.load(hf_hub_download(repo, file), map_location="cpu", weights_only=True)


def _every_position(tokens: np.ndarray) -> Bool[np.ndarray, "*game pos"]:
    return np.ones(np.shape(tokens), dtype=bool)


def _before_each_ply(tokens: np.ndarray) -> Bool[np.ndarray, "*game pos"]:
    return np.broadcast_to(np.arange(np.shape(tokens)[-1]) % 2 == 0, np.shape(tokens))


def _dots(tokens: np.ndarray) -> Bool[np.ndarray, "*game pos"]:
    return np.asarray(tokens) == chess.PGN_CHARACTERS.index(".")


def _othello_input(games: np.ndarray) -> np.ndarray:
    """Nothing follows the sixtieth move, and the models have no place for it."""
    return othello.encode(games)[..., : othello.MAX_MOVES - 1]


_READERS = {
    "othello": (_othello_input, _every_position),
    "chess": (chess.encode, _before_each_ply),
    "pgn": (chess.encode_pgn, _dots),
}
