"""Steer a model: add a direction to its residual stream, take it out or hold it at a value; and what that did.

The context managers act on the stream after a block (`blocks.{layer}.hook_out`), in every pass inside the `with`: a
forward, or a step of a generation. One that is entered inside another acts after it where both act on one layer.
However the block ends, they take off their own hooks and nobody else's.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from utils.validation import to_numpy

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Tokens: TypeAlias = Sequence[Sequence[int]]


@contextmanager
def adding(
    model: "TransformerBridge",
    layer: int,
    direction: Float[Tensor, "d_model"],
    coefficient: float | Float[Tensor, "text"],
    positions: Sequence[int] | None = None,
) -> Iterator[None]:
    """coefficient · direction, as long as it is, is added to the stream after block `layer`.

    coefficient: one number, or one for each text of the batch, so that several doses run in one.
    positions: where; None is everywhere, in every pass. A list counts in the pass that begins a text, negative numbers
        from its end, each position once; a pass that goes on from cached keys and values (all of a generation after
        its first) is left as it is. A model that generates without a cache (`boot_native`) begins the text anew with
        each token, so that there a negative position moves along.
    Raises ValueError for a layer that the model does not have, a direction that is not d_model finite numbers, and,
    in the pass, for a position that it does not have and for coefficients of another number than its texts.
    """
    _check(model, layer, direction)
    goes_on = False

    def note(module, args, kwargs):
        nonlocal goes_on
        past = kwargs.get("past_key_values")
        goes_on = past is not None and past.get_seq_length() > 0

    def add(resid, hook):
        step = _coefficients(coefficient, resid) * direction.to(resid)
        if positions is None:
            return resid + step
        return resid if goes_on else _added_at(positions, resid, step)

    handle = model.original_model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_out", add)]):
            yield
    finally:
        handle.remove()


@contextmanager
def ablating(
    model: "TransformerBridge", layers: Iterable[int], direction: Float[Tensor, "d_model"]
) -> Iterator[None]:
    """The stream after each of these blocks loses its component along direction, at every position of every pass.

    direction: of any length but zero. With `range(model.cfg.n_layers)` no block passes the direction on; inside a
    block its attention may still write it for its MLP to read, and the embedding for block 0.
    Raises ValueError as `adding` does, and for a direction of zeros.
    Source: Arditi et al. 2024, arXiv:2406.11717 (directional ablation).
    """
    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(clamping(model, layer, direction, 0.0))
        yield


@contextmanager
def clamping(
    model: "TransformerBridge", layer: int, direction: Float[Tensor, "d_model"], value: float
) -> Iterator[None]:
    """The stream after block `layer` has the projection `value` on the unit vector along direction, at every position.

    What is orthogonal to the direction stays. value: in residual-stream units, whatever the length of direction.
    Raises ValueError as `ablating` does.
    """
    _check(model, layer, direction)
    if not direction.any():
        raise ValueError("direction is zero: it has no unit vector")
    unit = direction / direction.norm()

    def hold(resid, hook):
        along = unit.to(resid)
        return resid + (value - resid @ along).unsqueeze(-1) * along

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_out", hold)]):
        yield


def typical_norm(acts: Float[Tensor, "... d_model"]) -> float:
    """The median norm of the vectors; of an even number, the mean of the middle two.

    A stream's norm differs from layer to layer, and at a text's first token it may be many times that of all others.
    `fraction * typical_norm(acts) * direction / direction.norm()` makes directions comparable across layers.
    Raises ValueError where there is no vector.
    """
    if acts.numel() == 0:
        raise ValueError(f"acts of shape {tuple(acts.shape)} hold no vector")
    return float(np.median(to_numpy(acts.norm(dim=-1))))


@dataclass(frozen=True)
class Fluency:
    """How a model writes.

    perplexity: of given texts, over all tokens but each text's first.
    continuations: the tokens that it generated after each prompt, greedily, up to an end-of-sequence token.
    """

    perplexity: float
    continuations: list[list[int]]

    @property
    def repetition(self) -> float:
        """The share of 4-grams that the same continuation has had before; NaN where all are shorter."""
        seen = [gram in each[:i] for each in self._grams(4) for i, gram in enumerate(each)]
        return sum(seen) / len(seen) if seen else float("nan")

    def distinct(self, n: int) -> float:
        """Different n-grams in all continuations together, divided by their number; NaN where there is none.

        After Li et al. 2016, arXiv:1510.03055 (distinct-1 and distinct-2, there divided by the number of tokens).
        """
        grams = [gram for each in self._grams(n) for gram in each]
        return len(set(grams)) / len(grams) if grams else float("nan")

    def __str__(self) -> str:
        measures = {"perplexity": self.perplexity, "repeated 4-grams": self.repetition}
        measures |= {"distinct-1": self.distinct(1), "distinct-2": self.distinct(2)}
        return ", ".join(f"{name} {measure:.3g}" for name, measure in measures.items())

    def _grams(self, n: int) -> list[list[tuple[int, ...]]]:
        return [[tuple(c[i : i + n]) for i in range(len(c) - n + 1)] for c in self.continuations]


@dataclass(frozen=True)
class SteeringReport:
    """What steering did, and what it broke.

    effects: how much the target metric of each example rose.
    kl: KL(base‖steered) of the next token's distribution in nats, the mean over all positions of the neutral texts.
    base, steered: how the model writes without and with it.
    """

    effects: Float[Tensor, "example"]
    kl: float
    base: Fluency
    steered: Fluency

    @property
    def effect(self) -> float:
        """The mean over examples."""
        return float(self.effects.mean())

    def __str__(self) -> str:
        first = f"effect {self.effect:+.3f}, KL {self.kl:.3f} nats a position"
        return f"{first}\nbase:    {self.base}\nsteered: {self.steered}"


@torch.no_grad()
def steering_report(
    model: "TransformerBridge",
    steering: Callable[[], AbstractContextManager],
    metric: Callable[[], Float[Tensor, "example"]],
    prompts: Tokens,
    neutral: Tokens,
    max_new_tokens: int = 20,
) -> SteeringReport:
    """The model without and with steering: on the target, on neutral texts, and in its own continuations.

    steering: makes a context in which the model is steered, such as `lambda: adding(model, 12, direction, 3.0)`.
    metric: of each example, as the model is at the time; called once without steering and once with it.
    prompts: token ids to go on from, greedily. neutral: token ids of texts that have nothing to do with the target.
    Raises ValueError for no prompts or an empty one, no neutral texts or one of fewer than two tokens, and where the
    metric's two answers differ in shape.
    """
    for texts, least in ((prompts, 1), (neutral, 2)):
        if not texts or min(map(len, texts)) < least:
            raise ValueError("prompts need a token each and neutral texts two, and one text of both kinds")
    before, base = metric(), _continuations(model, prompts, max_new_tokens)
    with steering():
        after, steered = metric(), _continuations(model, prompts, max_new_tokens)
    if before.shape != after.shape:
        raise ValueError(f"the metric's answers have shapes {tuple(before.shape)} and {tuple(after.shape)}")
    kl, perplexities = _on_neutral_texts(model, steering, neutral)
    return SteeringReport(after - before, kl, *map(Fluency, perplexities, (base, steered)))


def _on_neutral_texts(model, steering, neutral: Tokens) -> tuple[float, list[float]]:
    """The mean KL over positions, and the perplexities without and with steering."""
    kl, surprises = [], ([], [])
    for _, tokens in _of_equal_length(neutral):
        base = model(tokens).log_softmax(dim=-1)
        with steering():
            steered = model(tokens).log_softmax(dim=-1)
        kl.append((base.exp() * (base - steered)).sum(dim=-1).flatten())
        for log_p, surprise in zip((base, steered), surprises, strict=True):
            surprise.append(-log_p[:, :-1].gather(2, tokens[:, 1:, None]).flatten())
    return float(torch.cat(kl).mean()), [float(torch.cat(each).mean().exp()) for each in surprises]


def _continuations(model, prompts: Tokens, max_new_tokens: int) -> list[list[int]]:
    end = getattr(model.tokenizer, "eos_token_id", None)
    options = {"do_sample": False, "stop_at_eos": end is not None, "verbose": False}
    found: list[list[int]] = [[] for _ in prompts]
    for rows, tokens in _of_equal_length(prompts):
        whole = model.generate(tokens, max_new_tokens=max_new_tokens, **options)
        for row, new in zip(rows, whole[:, tokens.shape[1] :].tolist(), strict=True):
            found[row] = new[: new.index(end)] if end in new else new
    return found


def _of_equal_length(texts: Tokens) -> Iterator[tuple[list[int], Tensor]]:
    """Batches without padding, which would move positions: the texts' numbers, and their tokens."""
    for length in sorted(set(map(len, texts))):
        rows = [row for row, text in enumerate(texts) if len(text) == length]
        for start in range(0, len(rows), 4):
            batch = rows[start : start + 4]
            yield batch, torch.tensor([list(texts[row]) for row in batch])


def _coefficients(coefficient: float | Tensor, resid: Tensor) -> float | Tensor:
    if not isinstance(coefficient, Tensor) or coefficient.ndim == 0:
        return coefficient
    if coefficient.shape != resid.shape[:1]:
        raise ValueError(
            f"coefficients of shape {tuple(coefficient.shape)} for {len(resid)} texts: one for each"
        )
    return coefficient.to(resid)[:, None, None]


def _added_at(positions: Sequence[int], resid: Tensor, step: Tensor) -> Tensor:
    n = resid.shape[1]
    if outside := [position for position in positions if not -n <= position < n]:
        raise ValueError(f"a pass of {n} positions has no position {outside[0]}")
    steered = resid.clone()
    steered[:, sorted({position % n for position in positions})] += step
    return steered


def _check(model, layer: int, direction: Tensor) -> None:
    if not 0 <= layer < model.cfg.n_layers:
        raise ValueError(f"layer {layer}: the model has blocks 0 … {model.cfg.n_layers - 1}")
    if direction.shape != (model.cfg.d_model,) or not direction.isfinite().all():
        raise ValueError(f"a direction has {model.cfg.d_model} finite numbers, not {tuple(direction.shape)}")
