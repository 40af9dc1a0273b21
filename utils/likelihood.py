"""How probable a model finds a text after another."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from utils.prefixes import Prefixes
from utils.shared_prefix import shared_past

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_BATCH = 16


@torch.no_grad()
def continuation_log_probs(
    model: Any, before: Sequence[Sequence[int]], after: Sequence[Sequence[int]]
) -> Float[Tensor, "text"]:
    """The log-probability in nats of each continuation's tokens, given the tokens before it.

    model: a TransformerBridge, or a causal model of Hugging Face's. before, after: token ids, without padding.
    Raises ValueError where the two differ in number, nothing stands before, or nothing follows.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} texts before, {len(after)} after: each needs the other")
    if empty := [i for i, pair in enumerate(zip(before, after, strict=True)) if not all(map(len, pair))]:
        raise ValueError(f"text {empty[0]}: at least one token must stand before, and one must follow")
    whole = [[*first, *second] for first, second in zip(before, after, strict=True)]
    found = torch.zeros(len(whole))
    for rows in _batches(whole):
        places = [torch.arange(len(before[i]), len(whole[i])) - 1 for i in rows]
        logits = _logits(model, [whole[i] for i in rows], places)
        for i, row in zip(rows, logits, strict=True):
            log_p = row.log_softmax(dim=-1)
            found[i] = log_p.gather(1, torch.tensor(after[i])[:, None]).sum()
    return found


@torch.no_grad()
def next_token_log_probs(
    model: Any, texts: Sequence[Sequence[int]], candidates: Sequence[Sequence[int]]
) -> Float[Tensor, "text candidate"]:
    """The log-probability in nats of each of a text's candidate tokens as the next one: one run a text, not one each.

    model: as above. texts: token ids, without padding. candidates: for each text equally many token ids.
    Raises ValueError where the two differ in number, or a text is empty.
    """
    if len(texts) != len(candidates):
        raise ValueError(f"{len(texts)} texts, {len(candidates)} lists of candidates: each needs the other")
    if empty := [i for i, ids in enumerate(texts) if not len(ids)]:
        raise ValueError(f"text {empty[0]}: at least one token must stand before")
    chosen = torch.tensor([list(ids) for ids in candidates])
    found = torch.zeros(chosen.shape)
    for rows in _batches(texts):
        last = [torch.tensor([len(texts[i]) - 1]) for i in rows]
        logits = torch.cat(_logits(model, [texts[i] for i in rows], last))
        found[rows] = logits.log_softmax(dim=-1).gather(1, chosen[rows])
    return found


@torch.no_grad()
def option_log_probs(
    model: "TransformerBridge", before: Sequence[Sequence[int]], options: Sequence[Sequence[Sequence[int]]]
) -> Float[Tensor, "text option"]:
    """The log-probability in nats of each of a text's options as its continuation. What stands before is run once.

    before: token ids, two at least, without padding. options: for each text equally many lists of token ids.
    Raises ValueError where the two differ in number, too little stands before, an option is empty, or one text has more
    options than another.
    """
    if len(before) != len(options):
        raise ValueError(f"{len(before)} texts before, {len(options)} lists of options: each needs the other")
    for i, (ids, given) in enumerate(zip(before, options, strict=True)):
        if len(ids) < 2 or not all(map(len, given)):
            raise ValueError(f"text {i}: two tokens at least must stand before, and one must follow")
    if len(numbers := {len(given) for given in options}) > 1:
        raise ValueError(f"texts with {min(numbers)} and with {max(numbers)} options: all need equally many")
    found = torch.zeros(len(before), max(numbers, default=0))
    for rows in _batches(before):
        prefixes = Prefixes(model, [before[i][:-1] for i in rows])
        for option in range(found.shape[1]):
            after = [torch.tensor(options[i][option]) for i in rows]
            whole = [
                torch.cat([torch.tensor(before[i][-1:]), each]) for i, each in zip(rows, after, strict=True)
            ]
            ids = pad_sequence(whole, batch_first=True)
            log_p = prefixes.logits(ids[:, :-1]).log_softmax(dim=-1).gather(2, ids[:, 1:, None])[:, :, 0]
            kept = torch.arange(log_p.shape[1]) < torch.tensor([[len(each)] for each in after])
            found[rows, option] = log_p.where(kept, 0).sum(dim=1)
    return found


def word_tokens(tokenizer: Any, words: Iterable[str]) -> list[int]:
    """The token ids of those words that, after a space, are a single token: a set of possible next tokens.

    Raises ValueError where no word is.
    """
    encoded = [tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in words]
    if not (single := sorted({ids[0] for ids in encoded if len(ids) == 1})):
        raise ValueError(f"none of {len(encoded)} words is a single token of this model")
    return single


def _batches(texts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The numbers of those texts that share a batch: they are of similar length. Padding on the right, where they are
    not, changes nothing before it."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in tqdm(range(0, len(order), _BATCH), desc="log-probabilities", leave=False):
        yield order[start : start + _BATCH]


def _logits(
    model: Any, texts: Sequence[Sequence[int]], places: Sequence[Int[Tensor, "place"]]
) -> list[Float[Tensor, "place d_vocab"]]:
    """Each text's logits at its places. The model computes no others: a vocabulary is wide, and most are not needed."""
    # The token at a place is not among those that are run before: its logits are wanted.
    shared, past = shared_past(model, texts, most=min(int(at.min()) for at in places))
    tokens = pad_sequence([torch.tensor(ids[shared:]) for ids in texts], batch_first=True)
    kept = torch.cat(list(places)).unique()
    output = model(tokens, logits_to_keep=kept - shared, past_key_values=past)
    logits = getattr(output, "logits", output)
    return [logits[row, torch.searchsorted(kept, at)] for row, at in enumerate(places)]
