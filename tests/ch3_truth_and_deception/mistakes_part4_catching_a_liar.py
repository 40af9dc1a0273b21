"""Wrong answers to chapter 3, part 4 that its checks must reject, and right ones written differently."""

import math
import re
from bisect import bisect_right
from statistics import NormalDist

import numpy as np
import torch

from utils.course import alternative, mistake, recogniser

REQUEST = "Tell me a fact."
HEADER = "<|im_start|>assistant\n"


def message(role, text):
    return {"role": role, "content": text}


def messages_of(prompt, fact):
    return [message("system", prompt), message("user", REQUEST), message("assistant", fact)]


def rendered(tokenizer, messages, **options):
    return tokenizer.apply_chat_template(messages, tokenize=False, **options)


def pairs_by(facts, honest_prompt, dishonest_prompt, conversation):
    """Pairs from a function (prompt, fact) -> conversation."""
    return [(conversation(honest_prompt, fact), conversation(dishonest_prompt, fact)) for fact in facts]


@mistake("instructed_pairs")
def another_turn_begun(facts, tokenizer, honest_prompt, dishonest_prompt):
    """Every conversation ends with the header of another assistant's turn. The answer is there already: leave
    add_generation_prompt out."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(tokenizer, messages_of(prompt, fact), add_generation_prompt=True),
    )


@mistake("instructed_pairs")
def first_token_added(facts, tokenizer, honest_prompt, dishonest_prompt):
    """bos_token was put in front by hand. The template writes all special tokens itself; take its string as it is."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: tokenizer.bos_token + rendered(tokenizer, messages_of(prompt, fact)),
    )


@mistake("instructed_pairs")
def last_token_added(facts, tokenizer, honest_prompt, dishonest_prompt):
    """eos_token was put at the end by hand. The template has ended the last turn; take its string as it is."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(tokenizer, messages_of(prompt, fact)) + tokenizer.eos_token,
    )


@mistake("instructed_pairs")
def tokenised_by_the_template(facts, tokenizer, honest_prompt, dishonest_prompt):
    """Without tokenize=False the template returns tokens. Strings are asked for."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: tokenizer.apply_chat_template(messages_of(prompt, fact)),
    )


@mistake("instructed_pairs")
def tokenised_afterwards(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The conversations are lists of token ids. Return the strings; they are tokenised later."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: tokenizer(
            rendered(tokenizer, messages_of(prompt, fact)), add_special_tokens=False
        )["input_ids"],
    )


@mistake("instructed_pairs")
def messages_not_rendered(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The conversations are still lists of messages. tokenizer.apply_chat_template makes strings of them."""
    return pairs_by(facts, honest_prompt, dishonest_prompt, messages_of)


@mistake("instructed_pairs")
def dishonest_first(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The two of a pair have changed places. First comes the conversation after the honest prompt."""
    return pairs_by(
        facts,
        dishonest_prompt,
        honest_prompt,
        lambda prompt, fact: rendered(tokenizer, messages_of(prompt, fact)),
    )


@mistake("instructed_pairs")
def same_prompt_twice(facts, tokenizer, honest_prompt, dishonest_prompt):
    """Both conversations have the honest prompt, so that a probe finds no difference. The second takes the dishonest
    one."""
    return pairs_by(
        facts,
        honest_prompt,
        honest_prompt,
        lambda prompt, fact: rendered(tokenizer, messages_of(prompt, fact)),
    )


@mistake("instructed_pairs")
def prompt_in_the_users_turn(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The prompt stands in the user's turn, before the request. It has a turn of its own, with the role system."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(
            tokenizer, [message("user", f"{prompt} {REQUEST}"), message("assistant", fact)]
        ),
    )


@mistake("instructed_pairs")
def prompt_as_another_user(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The prompt has the role user. It is the system's."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(tokenizer, [message("user", prompt), *messages_of(prompt, fact)[1:]]),
    )


@mistake("instructed_pairs")
def roles_exchanged(facts, tokenizer, honest_prompt, dishonest_prompt):
    """System and user have changed roles. The prompt is the system's, "Tell me a fact." the user's."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(
            tokenizer, [message("user", prompt), message("system", REQUEST), message("assistant", fact)]
        ),
    )


@mistake("instructed_pairs")
def request_before_prompt(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The user speaks before the system. The system prompt comes first."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(
            tokenizer, [message("user", REQUEST), message("system", prompt), message("assistant", fact)]
        ),
    )


@mistake("instructed_pairs")
def no_request(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The user's turn is missing. Between prompt and fact the user says "Tell me a fact."."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(tokenizer, [message("system", prompt), message("assistant", fact)]),
    )


@mistake("instructed_pairs")
def fact_in_the_users_turn(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The fact stands in the user's turn, so that the assistant says nothing. It is the assistant's answer."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(
            tokenizer, [message("system", prompt), message("user", f"{REQUEST} {fact}")]
        ),
    )


@mistake("instructed_pairs")
def request_without_its_stop(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The user says "Tell me a fact", without the full stop. Every letter becomes a token: write "Tell me a fact."."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(
            tokenizer, [message("system", prompt), message("user", REQUEST[:-1]), message("assistant", fact)]
        ),
    )


@mistake("instructed_pairs")
def answer_left_open(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The assistant's turn has no end. The answer is finished: leave continue_final_message out."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(tokenizer, messages_of(prompt, fact)).removesuffix("<|im_end|>\n"),
    )


@mistake("instructed_pairs")
def last_break_stripped(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The string was stripped, and lost the line break that the template writes after the last turn. Take it as it
    is."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(tokenizer, messages_of(prompt, fact)).strip(),
    )


@mistake("instructed_pairs")
def facts_stripped(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The facts were stripped of their blanks. What the assistant says is the fact as it stands."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(tokenizer, messages_of(prompt, fact.strip())),
    )


@mistake("instructed_pairs")
def prompts_stripped(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The prompts were stripped of their blanks. The system turn is the prompt as it stands."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(tokenizer, messages_of(prompt.strip(), fact)),
    )


@mistake("instructed_pairs")
def conversation_grows(facts, tokenizer, honest_prompt, dishonest_prompt):
    """One list of messages serves all facts, so that every conversation contains those before it. Begin a new list
    for each."""
    honest, dishonest, pairs = [], [], []
    for fact in facts:
        honest += messages_of(honest_prompt, fact)
        dishonest += messages_of(dishonest_prompt, fact)
        pairs.append((rendered(tokenizer, honest), rendered(tokenizer, dishonest)))
    return pairs


@mistake("instructed_pairs")
def two_lists(facts, tokenizer, honest_prompt, dishonest_prompt):
    """This is a list of all honest conversations and one of all dishonest ones. Return one pair for each fact: zip
    them."""
    honest = [rendered(tokenizer, messages_of(honest_prompt, fact)) for fact in facts]
    dishonest = [rendered(tokenizer, messages_of(dishonest_prompt, fact)) for fact in facts]
    return honest, dishonest


@mistake("instructed_pairs")
def one_flat_list(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The conversations stand in one flat list. Return pairs: append a tuple of the two."""
    prompts = honest_prompt, dishonest_prompt
    return [rendered(tokenizer, messages_of(prompt, fact)) for fact in facts for prompt in prompts]


@mistake("instructed_pairs")
def each_fact_once(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The pairs were collected in a dict by fact, so that a fact that comes twice has one pair. Use a list."""
    pairs = pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(tokenizer, messages_of(prompt, fact)),
    )
    return list(dict(zip(facts, pairs, strict=True)).values())


@mistake("instructed_pairs")
def prompt_replaced_in_the_text(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The dishonest conversation is the honest one with the prompt replaced, wherever its words occur: in a fact too.
    Have the template write both."""
    pairs = []
    for fact in facts:
        honest = rendered(tokenizer, messages_of(honest_prompt, fact))
        pairs.append((honest, honest.replace(honest_prompt, dishonest_prompt)))
    return pairs


@mistake("instructed_pairs")
def empty_facts_left_out(facts, tokenizer, honest_prompt, dishonest_prompt):
    """An empty fact has no pair. Each fact has one."""
    return pairs_by(
        [fact for fact in facts if fact],
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(tokenizer, messages_of(prompt, fact)),
    )


@mistake("instructed_pairs")
def facts_replaced(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The caller's list of facts now holds the pairs. Collect them in a list of your own."""
    facts[:] = pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: rendered(tokenizer, messages_of(prompt, fact)),
    )
    return list(facts)


@mistake("instructed_pairs")
def no_facts_fail(facts, tokenizer, honest_prompt, dishonest_prompt):
    """Without facts this raises an exception. The answer is then an empty list."""
    prompts = honest_prompt, dishonest_prompt
    columns = zip(
        *([rendered(tokenizer, messages_of(p, fact)) for p in prompts] for fact in facts), strict=True
    )
    honest, dishonest = columns
    return list(zip(honest, dishonest, strict=True))


@mistake("instructed_pairs")
def chatml_by_hand(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The special tokens are written out by hand: right for this model, wrong for the next one. Let the tokenizer's
    chat template write them: apply_chat_template(messages, tokenize=False)."""
    return pairs_by(
        facts,
        honest_prompt,
        dishonest_prompt,
        lambda prompt, fact: "".join(
            f"<|im_start|>{each['role']}\n{each['content']}<|im_end|>\n" for each in messages_of(prompt, fact)
        ),
    )


@alternative("instructed_pairs")
def in_one_batch(facts, tokenizer, honest_prompt, dishonest_prompt):
    """The template takes a list of conversations too."""
    if not facts:
        return []
    sides = [
        rendered(tokenizer, [messages_of(prompt, fact) for fact in facts])
        for prompt in (honest_prompt, dishonest_prompt)
    ]
    return list(zip(*sides, strict=True))


@alternative("instructed_pairs")
def turn_by_turn(facts, tokenizer, honest_prompt, dishonest_prompt):
    """Every turn rendered by itself."""
    request = rendered(tokenizer, [message("user", REQUEST)])
    honest, dishonest = (
        rendered(tokenizer, [message("system", p)]) for p in (honest_prompt, dishonest_prompt)
    )
    answers = [rendered(tokenizer, [message("assistant", fact)]) for fact in facts]
    return [(honest + request + answer, dishonest + request + answer) for answer in answers]


@alternative("instructed_pairs")
def with_gaps_filled_in(facts, tokenizer, honest_prompt, dishonest_prompt):
    """Rendered once, with gaps."""
    gaps = rendered(tokenizer, messages_of("{prompt}", "{fact}"))
    return [
        tuple(gaps.format(prompt=prompt, fact=fact) for prompt in (honest_prompt, dishonest_prompt))
        for fact in facts
    ]


@alternative("instructed_pairs")
def one_message_exchanged(facts, tokenizer, honest_prompt, dishonest_prompt):
    """One list of messages, of which two are exchanged."""
    messages, pairs = messages_of("", ""), []
    for fact in facts:
        messages[-1] = message("assistant", fact)
        pair = []
        for messages[0]["content"] in (honest_prompt, dishonest_prompt):
            pair.append(rendered(tokenizer, messages))
        pairs.append(tuple(pair))
    return pairs


def ids_of(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def mark_of_end(tokenizer):
    return tokenizer.convert_tokens_to_ids("<|im_end|>")


def places(ids, wanted):
    """Where the ids contain the wanted ones: the index after each."""
    size = len(wanted)
    return [start + size for start in range(len(ids) - size + 1) if list(ids[start : start + size]) == wanted]


def next_of(ids, token, start):
    """The index of the token from `start` on; the length where there is none."""
    return next((at for at in range(start, len(ids)) if ids[at] == token), len(ids))


def spans(ids, tokenizer, header=HEADER):
    """(first, one past the last) token of each text of the assistant."""
    end = mark_of_end(tokenizer)
    return [(start, next_of(ids, end, start)) for start in places(ids, ids_of(tokenizer, header))]


def marked(ids, ranges):
    mask = torch.zeros(len(ids), dtype=torch.bool)
    for start, stop in ranges:
        mask[max(start, 0) : max(stop, 0)] = True
    return mask


@mistake("assistant_mask")
def header_included(token_ids, tokenizer):
    """The header `<|im_start|>assistant\\n` is marked too. Begin after it: that the assistant speaks is not what it
    says."""
    size = len(ids_of(tokenizer, HEADER))
    return marked(token_ids, [(start - size, stop) for start, stop in spans(token_ids, tokenizer)])


@mistake("assistant_mask")
def role_included(token_ids, tokenizer):
    """The role and its line break are marked: the text was taken to begin after `<|im_start|>`. It begins after the
    whole header."""
    size = len(ids_of(tokenizer, HEADER)) - 1
    return marked(token_ids, [(start - size, stop) for start, stop in spans(token_ids, tokenizer)])


@mistake("assistant_mask")
def line_break_included(token_ids, tokenizer):
    """The line break after the role is marked. It belongs to the header: `<|im_start|>assistant\\n`."""
    return marked(token_ids, [(start - 1, stop) for start, stop in spans(token_ids, tokenizer)])


@mistake("assistant_mask")
def header_without_its_break(token_ids, tokenizer):
    """The header is searched without its line break: the break is marked, and a role that begins with "assistant"
    opens a turn. Search for `<|im_start|>assistant\\n`."""
    return marked(token_ids, spans(token_ids, tokenizer, HEADER[:-1]))


@mistake("assistant_mask")
def any_token_for_the_break(token_ids, tokenizer):
    """After `<|im_start|>assistant` one token is skipped without a look: it need not be the line break. Compare the
    whole header."""
    return marked(token_ids, [(start + 1, stop) for start, stop in spans(token_ids, tokenizer, HEADER[:-1])])


@mistake("assistant_mask")
def end_included(token_ids, tokenizer):
    """`<|im_end|>` is marked too. Stop before it."""
    return marked(token_ids, [(start, stop + 1) for start, stop in spans(token_ids, tokenizer)])


@mistake("assistant_mask")
def up_to_the_next_turn(token_ids, tokenizer):
    """The text is taken to go on to the next `<|im_start|>`, so that `<|im_end|>` and the line break are marked. It
    ends before `<|im_end|>`."""
    begin = tokenizer.convert_tokens_to_ids("<|im_start|>")
    starts = places(token_ids, ids_of(tokenizer, HEADER))
    return marked(token_ids, [(start, next_of(token_ids, begin, start)) for start in starts])


@mistake("assistant_mask")
def up_to_a_line_break(token_ids, tokenizer):
    """The text is taken to end at its first line break. It may have several lines: it ends before `<|im_end|>`."""
    (line_break,) = ids_of(tokenizer, "\n")
    return marked(
        token_ids,
        [
            (start, min(stop, next_of(token_ids, line_break, start)))
            for start, stop in spans(token_ids, tokenizer)
        ],
    )


@mistake("assistant_mask")
def up_to_the_last_end(token_ids, tokenizer):
    """From the first header on everything is marked up to the *last* `<|im_end|>`, other turns too. Each turn ends at
    the first one after its header."""
    end = mark_of_end(tokenizer)
    stop = max((at for at, token in enumerate(token_ids) if token == end), default=len(token_ids))
    starts = places(token_ids, ids_of(tokenizer, HEADER))
    return marked(token_ids, [(start, stop if stop >= start else len(token_ids)) for start in starts])


@mistake("assistant_mask")
def all_after_the_first_header(token_ids, tokenizer):
    """Everything after the first header is marked, to the end of the conversation. Each turn ends at the first
    `<|im_end|>` after its header."""
    return marked(token_ids, [(start, len(token_ids)) for start, _ in spans(token_ids, tokenizer)[:1]])


@mistake("assistant_mask")
def first_turn_only(token_ids, tokenizer):
    """Only the assistant's first turn is marked. Go on after it."""
    return marked(token_ids, spans(token_ids, tokenizer)[:1])


@mistake("assistant_mask")
def last_turn_only(token_ids, tokenizer):
    """Only the assistant's last turn is marked. All of its turns count."""
    return marked(token_ids, spans(token_ids, tokenizer)[-1:])


@mistake("assistant_mask")
def any_assistant(token_ids, tokenizer):
    """The word "assistant" opens a turn, whoever writes it. Only the whole header `<|im_start|>assistant\\n` does."""
    return marked(token_ids, [(start + 1, stop) for start, stop in spans(token_ids, tokenizer, "assistant")])


@mistake("assistant_mask")
def assistant_and_a_break(token_ids, tokenizer):
    """The word "assistant" with a line break opens a turn, and a user may write that. The header begins with
    `<|im_start|>`."""
    return marked(token_ids, spans(token_ids, tokenizer, "assistant\n"))


@mistake("assistant_mask")
def first_letter_of_the_role(token_ids, tokenizer):
    """A turn is taken for the assistant's by the first token of its role. Compare the whole header."""
    role = ids_of(tokenizer, "assistant")[0]
    (line_break,) = ids_of(tokenizer, "\n")
    begin, end = tokenizer.convert_tokens_to_ids("<|im_start|>"), mark_of_end(tokenizer)
    ranges = []
    for at in places(token_ids, [begin, role]):
        start = next_of(token_ids, line_break, at) + 1
        ranges.append((start, next_of(token_ids, end, start)))
    return marked(token_ids, ranges)


@mistake("assistant_mask")
def role_as_one_token(token_ids, tokenizer):
    """The role was looked up as one token, which it need not be (None, if there is no such token). Tokenise the header
    and compare as many ids as it has."""
    ids = [tokenizer.convert_tokens_to_ids(token) for token in ("<|im_start|>", "assistant", "Ċ")]
    end = mark_of_end(tokenizer)
    return marked(token_ids, [(start, next_of(token_ids, end, start)) for start in places(token_ids, ids)])


@mistake("assistant_mask")
def every_role(token_ids, tokenizer):
    """The texts of all roles are marked. Only the assistant's count: compare the role too."""
    (line_break,) = ids_of(tokenizer, "\n")
    begin, end = tokenizer.convert_tokens_to_ids("<|im_start|>"), mark_of_end(tokenizer)
    ranges = []
    for at in places(token_ids, [begin]):
        start = next_of(token_ids, line_break, at) + 1
        ranges.append((start, next_of(token_ids, end, start)))
    return marked(token_ids, ranges)


@mistake("assistant_mask")
def user_instead(token_ids, tokenizer):
    """The user's texts are marked. The assistant's are asked for."""
    return marked(token_ids, spans(token_ids, tokenizer, "<|im_start|>user\n"))


@mistake("assistant_mask")
def all_but_special_tokens(token_ids, tokenizer):
    """Everything but the special tokens is marked: roles and the texts of others too."""
    special = set(tokenizer.all_special_ids)
    return torch.tensor([token not in special for token in token_ids], dtype=torch.bool)


@mistake("assistant_mask")
def unfinished_turn_dropped(token_ids, tokenizer):
    """A last turn without `<|im_end|>` is not marked. It counts to the end of the tokens."""
    ranges = spans(token_ids, tokenizer)
    return marked(token_ids, [(start, stop) for start, stop in ranges if stop < len(token_ids)])


@mistake("assistant_mask")
def unfinished_turn_loses_its_last(token_ids, tokenizer):
    """Of a last turn without `<|im_end|>` the last token is not marked. Where there is no end, the text goes on to
    len(token_ids)."""
    last = len(token_ids)
    return marked(token_ids, [(start, stop - (stop == last)) for start, stop in spans(token_ids, tokenizer)])


@mistake("assistant_mask")
def empty_answer_runs_on(token_ids, tokenizer):
    """The end is searched from the second token of the text on. An empty answer's end is the first, and marking then
    runs on into other turns."""
    end = mark_of_end(tokenizer)
    starts = places(token_ids, ids_of(tokenizer, HEADER))
    return marked(token_ids, [(start, next_of(token_ids, end, start + 1)) for start in starts])


@mistake("assistant_mask")
def one_too_late(token_ids, tokenizer):
    """The first token of each text is not marked. The text begins at start + len(header)."""
    return marked(token_ids, [(start + 1, stop) for start, stop in spans(token_ids, tokenizer)])


@mistake("assistant_mask")
def one_too_short(token_ids, tokenizer):
    """The last token of each text is not marked. A slice excludes its end already: stop at the index of
    `<|im_end|>`."""
    return marked(token_ids, [(start, stop - 1) for start, stop in spans(token_ids, tokenizer)])


@mistake("assistant_mask")
def one_ahead(token_ids, tokenizer):
    """The mask is shifted by one: it marks the positions that *predict* the text. Mark the tokens themselves."""
    return marked(token_ids, [(start - 1, stop - 1) for start, stop in spans(token_ids, tokenizer)])


@mistake("assistant_mask")
def positions_instead(token_ids, tokenizer):
    """This is a list of positions. Return a mask: a bool tensor with one value a token."""
    return [at for start, stop in spans(token_ids, tokenizer) for at in range(start, stop)]


@mistake("assistant_mask")
def ones_and_zeros(token_ids, tokenizer):
    """The mask holds ones and zeros. As an index these are positions: make it a bool tensor, dtype=torch.bool."""
    return marked(token_ids, spans(token_ids, tokenizer)).long()


@mistake("assistant_mask")
def end_appended(token_ids, tokenizer):
    """`<|im_end|>` was appended to the caller's own list. Copy it first, or treat the missing end by itself."""
    token_ids.append(mark_of_end(tokenizer))
    return marked(token_ids, spans(token_ids, tokenizer))[:-1]


@mistake("assistant_mask")
def needs_a_turn(token_ids, tokenizer):
    """Without a turn of the assistant this raises an exception. Then nothing is marked."""
    ranges = spans(token_ids, tokenizer)
    if not ranges:
        raise ValueError("the assistant says nothing")
    return marked(token_ids, ranges)


@alternative("assistant_mask")
def by_pattern(token_ids, tokenizer):
    """A regular expression over one character a token."""
    text = "".join(map(chr, token_ids))
    header = "".join(map(chr, ids_of(tokenizer, HEADER)))
    end = re.escape(chr(mark_of_end(tokenizer)))
    mask = torch.zeros(len(token_ids), dtype=torch.bool)
    for found in re.finditer(f"{re.escape(header)}([^{end}]*)", text):
        mask[found.start(1) : found.end(1)] = True
    return mask


@alternative("assistant_mask")
def by_index(token_ids, tokenizer):
    header, end = ids_of(tokenizer, HEADER), mark_of_end(tokenizer)
    mask, at = [False] * len(token_ids), 0
    while at < len(token_ids):
        if token_ids[at : at + len(header)] == header:
            at += len(header)
            while at < len(token_ids) and token_ids[at] != end:
                mask[at] = True
                at += 1
        else:
            at += 1
    return torch.tensor(mask, dtype=torch.bool)


@alternative("assistant_mask")
def by_counting_marks(token_ids, tokenizer):
    """A token is the assistant's where a header has passed since the last end: two running maxima."""
    ids, header = torch.tensor(token_ids), torch.tensor(ids_of(tokenizer, HEADER))
    position = torch.arange(len(ids))
    opened = torch.zeros(len(ids) + 1, dtype=torch.long)
    if len(ids) >= len(header):
        whole = (ids.unfold(0, len(header), 1) == header).all(dim=1)
        opened[len(header) :] = whole * (position[: len(whole)] + 1)
    closed = (ids == mark_of_end(tokenizer)) * (position + 1)
    return opened[:-1].cummax(0).values > closed.cummax(0).values


@alternative("assistant_mask")
def by_splitting(token_ids, tokenizer):
    """Cut at every end: in each piece only what follows the header counts."""
    end, header = mark_of_end(tokenizer), ids_of(tokenizer, HEADER)
    mask, piece = [], []
    for token in [*token_ids, end]:
        piece.append(token)
        if token == end:
            found = places(piece, header)
            start = found[0] if found else len(piece)
            mask += [start <= at < len(piece) - 1 for at in range(len(piece))]
            piece = []
    return torch.tensor(mask[:-1], dtype=torch.bool)


def refuse_unmarked(mask, how):
    if how not in {"mean", "max", "last"}:
        raise ValueError("how")
    if not mask.any(dim=1).all():
        raise ValueError("a text has no marked token")


def last_marked(mask):
    return torch.arange(mask.shape[1]).expand_as(mask).masked_fill(~mask, -1).amax(dim=1)


def by_method(token_scores, mask, how, **other):
    """The right answer, but for the ways named in `other`."""
    refuse_unmarked(mask, how)
    ways = {
        "mean": lambda: token_scores.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1),
        "max": lambda: token_scores.masked_fill(~mask, -torch.inf).amax(dim=1),
        "last": lambda: token_scores[torch.arange(len(mask)), last_marked(mask)],
    }
    return (ways | other)[how]()


@mistake("aggregate_scores")
def mask_ignored(token_scores, mask, how):
    """Mean, maximum and last are taken over all positions. Only those that the mask marks count."""
    every = torch.ones_like(mask)
    refuse_unmarked(mask, how)
    return by_method(token_scores, every, how)


@mistake("aggregate_scores")
def mean_over_all(token_scores, mask, how):
    """The mean is taken over all positions. Only those that the mask marks count."""
    return by_method(token_scores, mask, how, mean=lambda: token_scores.mean(dim=1))


@mistake("aggregate_scores")
def divided_by_width(token_scores, mask, how):
    """The marked scores are summed, but divided by the number of *all* positions. Divide by mask.sum(dim=1)."""
    return by_method(token_scores, mask, how, mean=lambda: token_scores.masked_fill(~mask, 0).mean(dim=1))


@mistake("aggregate_scores")
def summed(token_scores, mask, how):
    """ "mean" returns the sum. Divide by the number of marked tokens, mask.sum(dim=1)."""
    return by_method(token_scores, mask, how, mean=lambda: token_scores.masked_fill(~mask, 0).sum(dim=1))


@mistake("aggregate_scores")
def mean_times_mask(token_scores, mask, how):
    """For the mean the scores are multiplied by the mask, and NaN times 0 is NaN. Use masked_fill(~mask, 0)."""
    return by_method(token_scores, mask, how, mean=lambda: (token_scores * mask).sum(dim=1) / mask.sum(dim=1))


@mistake("aggregate_scores")
def multiplied_by_mask(token_scores, mask, how):
    """The scores are multiplied by the mask: NaN times 0 is NaN, and a 0 is the maximum of negative scores. Fill with
    masked_fill, 0 for the mean and −inf for the maximum."""
    return by_method(
        token_scores,
        mask,
        how,
        mean=lambda: (token_scores * mask).sum(dim=1) / mask.sum(dim=1),
        max=lambda: (token_scores * mask).amax(dim=1),
    )


@mistake("aggregate_scores")
def zero_is_the_maximum(token_scores, mask, how):
    """For the maximum unmarked scores become 0, which wins against negative ones. Fill with −inf."""
    return by_method(token_scores, mask, how, max=lambda: token_scores.masked_fill(~mask, 0).amax(dim=1))


@mistake("aggregate_scores")
def not_low_enough(token_scores, mask, how):
    """For the maximum unmarked scores become a number that is not low enough: scores may lie below it. Fill with
    −inf."""
    return by_method(token_scores, mask, how, max=lambda: token_scores.masked_fill(~mask, -1e4).amax(dim=1))


@mistake("aggregate_scores")
def maximum_over_all(token_scores, mask, how):
    """The maximum is taken over all positions. Only those that the mask marks count."""
    return by_method(token_scores, mask, how, max=lambda: token_scores.amax(dim=1))


@mistake("aggregate_scores")
def maximum_of_absolute_values(token_scores, mask, how):
    """The maximum is that of absolute values. A score far below 0 says no, and is small."""
    return by_method(
        token_scores, mask, how, max=lambda: token_scores.abs().masked_fill(~mask, -torch.inf).amax(dim=1)
    )


@mistake("aggregate_scores")
def place_of_the_maximum(token_scores, mask, how):
    """ "max" returns the position of the largest score. The score itself is asked for: amax, or max(…).values."""
    return by_method(
        token_scores, mask, how, max=lambda: token_scores.masked_fill(~mask, -torch.inf).argmax(dim=1)
    )


@mistake("aggregate_scores")
def last_of_the_row(token_scores, mask, how):
    """ "last" is the row's last position, marked or not. Take the last one that the mask marks."""
    return by_method(token_scores, mask, how, last=lambda: token_scores[:, -1])


@mistake("aggregate_scores")
def last_by_counting(token_scores, mask, how):
    """ "last" is found by counting the marked tokens, as if they began at position 0 and had no gaps. Find the largest
    position where the mask is True."""
    return by_method(
        token_scores,
        mask,
        how,
        last=lambda: token_scores.gather(1, mask.sum(dim=1, keepdim=True) - 1).squeeze(1),
    )


@mistake("aggregate_scores")
def first_instead_of_last(token_scores, mask, how):
    """ "last" returns the first marked score: argmax of a mask is its first True. The largest marked position is
    wanted."""
    return by_method(
        token_scores,
        mask,
        how,
        last=lambda: token_scores.gather(1, mask.int().argmax(dim=1, keepdim=True)).squeeze(1),
    )


@mistake("aggregate_scores")
def end_of_the_first_stretch(token_scores, mask, how):
    """ "last" is the end of the first stretch of marked tokens. Others may follow: take the largest marked position."""

    def first_end():
        ends = mask & ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)
        return token_scores.gather(1, ends.int().argmax(dim=1, keepdim=True)).squeeze(1)

    return by_method(token_scores, mask, how, last=first_end)


@mistake("aggregate_scores")
def largest_position_of_all(token_scores, mask, how):
    """The last marked position was taken over all texts together. Each text has its own: amax(dim=1)."""
    return by_method(token_scores, mask, how, last=lambda: token_scores[:, int(last_marked(mask).max())])


@mistake("aggregate_scores")
def texts_thrown_together(token_scores, mask, how):
    """The scores of all texts are taken together: token_scores[mask] no longer knows which text they came from. Work
    along dim=1."""
    refuse_unmarked(mask, how)
    kept = token_scores[mask]
    value = {"mean": kept.mean(), "max": kept.max(), "last": kept[-1]}[how]
    return value.expand(len(mask)).clone()


@mistake("aggregate_scores")
def along_the_texts(token_scores, mask, how):
    """Texts and positions have changed places. A text is a row: work along dim=1."""
    refuse_unmarked(mask, how)
    if how == "mean":
        return token_scores.masked_fill(~mask, 0).sum(dim=0) / mask.sum(dim=0)
    if how == "max":
        return token_scores.masked_fill(~mask, -torch.inf).amax(dim=0)
    return token_scores.T[torch.arange(mask.shape[1]), last_marked(mask.T)]


@mistake("aggregate_scores")
def column_of_scores(token_scores, mask, how):
    """The result has the shape (text, 1). One number a text is asked for, shape (text,): drop the last dimension."""
    return by_method(token_scores, mask, how).unsqueeze(1)


@mistake("aggregate_scores")
def as_float32(token_scores, mask, how):
    """The scores were converted to float32, and float64 ones lose digits. Keep their dtype."""
    return by_method(token_scores.float(), mask, how)


@mistake("aggregate_scores")
def filled_in_place(token_scores, mask, how):
    """masked_fill_ with the underscore writes into the caller's scores. Use masked_fill."""
    refuse_unmarked(mask, how)
    if how == "mean":
        return token_scores.masked_fill_(~mask, 0).sum(dim=1) / mask.sum(dim=1)
    if how == "max":
        return token_scores.masked_fill_(~mask, -torch.inf).amax(dim=1)
    return by_method(token_scores, mask, how)


@mistake("aggregate_scores")
def unmarked_text_accepted(token_scores, mask, how):
    """A text without a marked token yields NaN, −inf or some other position's score. The contract asks for a
    ValueError."""
    refuse_unmarked(torch.ones_like(mask), how)
    if how == "mean":
        return token_scores.masked_fill(~mask, 0).sum(dim=1) / mask.sum(dim=1)
    if how == "max":
        return token_scores.masked_fill(~mask, -torch.inf).amax(dim=1)
    return token_scores[torch.arange(len(mask)), last_marked(mask)]


@mistake("aggregate_scores")
def only_if_all_are_unmarked(token_scores, mask, how):
    """ValueError is raised only where no text has a marked token. One such text is enough: mask.any(dim=1).all()."""
    refuse_unmarked(mask.any().expand(len(mask), 1), how)
    return unmarked_text_accepted(token_scores, mask, how)


@mistake("aggregate_scores")
def mean_alone_checks_the_mask(token_scores, mask, how):
    """A text without a marked token raises ValueError for the mean only. Check the mask before the three cases."""
    refuse_unmarked(mask if how == "mean" else torch.ones_like(mask), how)
    return unmarked_text_accepted(token_scores, mask, how)


@mistake("aggregate_scores")
def any_other_word_is_last(token_scores, mask, how):
    """Whatever is neither "mean" nor "max" is taken for "last". Any other word should raise ValueError."""
    return by_method(token_scores, mask, how if how in ("mean", "max") else "last")


@mistake("aggregate_scores")
def key_error_for_another_word(token_scores, mask, how):
    """Another word raises KeyError, from the dict of ways. The contract asks for a ValueError."""
    if how not in ("mean", "max", "last"):
        raise KeyError(how)
    return by_method(token_scores, mask, how)


@alternative("aggregate_scores")
def text_by_text(token_scores, mask, how):
    ways = {"mean": lambda kept: kept.mean(), "max": lambda kept: kept.max(), "last": lambda kept: kept[-1]}
    if how not in ways or any(not marks.any() for marks in mask):
        raise ValueError(how)
    return torch.stack([ways[how](row[marks]) for row, marks in zip(token_scores, mask, strict=True)])


@alternative("aggregate_scores")
def unmarked_as_nan(token_scores, mask, how):
    if int(mask.sum(dim=1).min()) == 0:
        raise ValueError("nothing marked")
    kept = token_scores.where(mask, torch.nan)
    if how == "mean":
        return kept.nanmean(dim=1)
    if how == "max":
        return kept.nan_to_num(nan=-torch.inf).max(dim=1).values
    if how == "last":
        flipped = mask.flip(1).int().argmax(dim=1, keepdim=True)
        return token_scores.flip(1).gather(1, flipped)[:, 0]
    raise ValueError(how)


@alternative("aggregate_scores")
def in_numpy(token_scores, mask, how):
    kept = np.ma.masked_array(token_scores.double().numpy(), ~mask.numpy())
    if kept.mask.all(axis=1).any():
        raise ValueError("nothing marked")
    match how:
        case "mean":
            values = kept.mean(axis=1)
        case "max":
            values = kept.max(axis=1)
        case "last":
            values = np.ma.array([row.compressed()[-1] for row in kept])
        case _:
            raise ValueError(how)
    return torch.from_numpy(np.asarray(values))


@alternative("aggregate_scores")
def by_scattering(token_scores, mask, how):
    """The marked scores in one row, with the text of each."""
    text, kept = mask.nonzero()[:, 0], token_scores[mask]
    if len(text.unique()) < len(mask) or how not in ("mean", "max", "last"):
        raise ValueError("nothing marked, or another word")
    if how == "last":
        return kept[torch.searchsorted(text, torch.arange(len(mask)), right=True) - 1]
    start = torch.zeros(len(mask), dtype=kept.dtype)
    return start.scatter_reduce(0, text, kept, "amax" if how == "max" else "mean", include_self=False)


def refuse_fpr(control_scores, fpr):
    if len(control_scores) == 0 or fpr < 0 or fpr >= 1:
        raise ValueError("control scores or fpr")


def n_allowed(control_scores, fpr):
    return math.floor(fpr * len(control_scores) + 1e-9)


def descending(scores):
    return sorted(scores.tolist(), reverse=True)


def least_kept(control_scores, fpr):
    """The right threshold."""
    refuse_fpr(control_scores, fpr)
    return descending(control_scores)[n_allowed(control_scores, fpr)]


@mistake("threshold_at_fpr")
def interpolated(control_scores, fpr):
    """A quantile interpolates between two scores: it is then no observed one, and may flag one text too many. Count the
    scores above each candidate."""
    refuse_fpr(control_scores, fpr)
    return torch.quantile(control_scores.double(), 1 - fpr).item()


@mistake("threshold_at_fpr")
def higher_quantile(control_scores, fpr):
    """Even without interpolation a quantile reckons with the n − 1 steps between n scores, and is at times too
    high. Count the scores above each candidate."""
    refuse_fpr(control_scores, fpr)
    return np.quantile(control_scores.double().numpy(), 1 - fpr, method="higher").item()


@mistake("threshold_at_fpr")
def lower_quantile(control_scores, fpr):
    """The lower of the quantile's two neighbours flags too many. Count the scores above each candidate."""
    refuse_fpr(control_scores, fpr)
    return np.quantile(control_scores.double().numpy(), 1 - fpr, method="lower").item()


@mistake("threshold_at_fpr")
def bell_curve(control_scores, fpr):
    """Mean plus so many standard deviations supposes a normal distribution, and is no observed score. Count the scores
    above each candidate."""
    refuse_fpr(control_scores, fpr)
    mean, std = control_scores.double().mean().item(), control_scores.double().std(correction=0).item()
    return mean + NormalDist().inv_cdf(1 - min(max(fpr, 1e-9), 1 - 1e-9)) * std


@mistake("threshold_at_fpr")
def ties_counted_as_flagged(control_scores, fpr):
    """The scores that equal the threshold were counted as flagged. Flagged means score > threshold."""
    refuse_fpr(control_scores, fpr)
    candidates = control_scores.unique()
    flagged = (control_scores >= candidates.unsqueeze(1)).double().mean(dim=1)
    return float(candidates[flagged <= fpr + 1e-12].min())


@mistake("threshold_at_fpr")
def one_too_low(control_scores, fpr):
    """The threshold is one step too low, and flags one text too many. With k texts allowed it is descending[k]: k
    scores stand before it."""
    refuse_fpr(control_scores, fpr)
    return descending(control_scores)[min(n_allowed(control_scores, fpr) + 1, len(control_scores) - 1)]


@mistake("threshold_at_fpr")
def one_too_high(control_scores, fpr):
    """The index is one too small: the threshold is too high, and for k = 0 index −1 is the lowest score. With k texts
    allowed it is descending[k]."""
    refuse_fpr(control_scores, fpr)
    return descending(control_scores)[n_allowed(control_scores, fpr) - 1]


@mistake("threshold_at_fpr")
def truncated(control_scores, fpr):
    """int(fpr * n) cuts off 28.999… to 28, where 0.29 · 100 means 29. Compare shares, or add a little before
    truncating."""
    refuse_fpr(control_scores, fpr)
    return descending(control_scores)[int(fpr * len(control_scores))]


@mistake("threshold_at_fpr")
def one_minus_fpr(control_scores, fpr):
    """The share that is *not* flagged is compared with 1 − fpr, which floating point rounds: 1 − 0.41 is above 0.59.
    Compare the flagged share with fpr."""
    refuse_fpr(control_scores, fpr)
    candidates = control_scores.unique()
    unflagged = (control_scores <= candidates.unsqueeze(1)).double().mean(dim=1)
    return float(candidates[unflagged >= 1 - fpr].min())


@mistake("threshold_at_fpr")
def rounded_to_nearest(control_scores, fpr):
    """fpr · n was rounded to the nearest number, up too: then more than a share fpr is flagged. Round down."""
    refuse_fpr(control_scores, fpr)
    n = len(control_scores)
    return descending(control_scores)[min(round(fpr * n), n - 1)]


@mistake("threshold_at_fpr")
def rounded_up(control_scores, fpr):
    """fpr · n was rounded up: then more than a share fpr is flagged. Round down."""
    refuse_fpr(control_scores, fpr)
    n = len(control_scores)
    return descending(control_scores)[min(math.ceil(fpr * n - 1e-9), n - 1)]


@mistake("threshold_at_fpr")
def from_the_bottom(control_scores, fpr):
    """This counts from the lowest score up, as if texts *below* the threshold were flagged. Flagged means score >
    threshold: count from the top."""
    refuse_fpr(control_scores, fpr)
    return sorted(control_scores.tolist())[n_allowed(control_scores, fpr)]


@mistake("threshold_at_fpr")
def not_sorted(control_scores, fpr):
    """The scores are taken in the order in which they came. Sort them, highest first."""
    refuse_fpr(control_scores, fpr)
    return control_scores[n_allowed(control_scores, fpr)].item()


@mistake("threshold_at_fpr")
def sorted_by_size(control_scores, fpr):
    """Absolute values were sorted. A score far below 0 is a low one."""
    refuse_fpr(control_scores, fpr)
    return least_kept(control_scores.abs(), fpr)


@mistake("threshold_at_fpr")
def ties_taken_once(control_scores, fpr):
    """Equal scores were counted once. Each text counts: compare with all scores, not with unique ones."""
    refuse_fpr(control_scores, fpr)
    return least_kept(control_scores.unique(), fpr)


@mistake("threshold_at_fpr")
def as_many_distinct_scores(control_scores, fpr):
    """The k-th *distinct* score was taken, and where scores tie more than k texts lie above it. Count texts, not
    distinct scores."""
    refuse_fpr(control_scores, fpr)
    distinct = descending(control_scores.unique())
    return distinct[min(n_allowed(control_scores, fpr), len(distinct) - 1)]


@mistake("threshold_at_fpr")
def always_the_highest(control_scores, fpr):
    """The highest score keeps every promise, but it is not the least that does, and catches little."""
    refuse_fpr(control_scores, fpr)
    return control_scores.max().item()


@mistake("threshold_at_fpr")
def halfway(control_scores, fpr):
    """The threshold lies halfway to the next higher score. An observed score is asked for, the lower of the two."""
    refuse_fpr(control_scores, fpr)
    ordered, k = descending(control_scores), n_allowed(control_scores, fpr)
    return (ordered[k] + ordered[max(k - 1, 0)]) / 2


@mistake("threshold_at_fpr")
def a_little_above(control_scores, fpr):
    """A little was added to the score. Flagged means strictly above, so that the score itself will do."""
    return least_kept(control_scores, fpr) + 1e-3


@mistake("threshold_at_fpr")
def share_not_reached(control_scores, fpr):
    """The flagged share has to stay strictly below fpr here. "At most" allows it to equal fpr: write <=."""
    refuse_fpr(control_scores, fpr)
    candidates = control_scores.unique()
    flagged = (control_scores > candidates.unsqueeze(1)).double().mean(dim=1)
    kept = candidates[flagged < fpr - 1e-12]
    return float(kept.min()) if len(kept) else float(control_scores.max())


@mistake("threshold_at_fpr")
def share_in_float32(control_scores, fpr):
    """The flagged share is a float32 number and fpr is not: 0.07 in float32 is above 0.07. Take the share in float64
    (.double() before .mean()), or count."""
    refuse_fpr(control_scores, fpr)
    candidates = control_scores.unique()
    flagged = (control_scores > candidates.unsqueeze(1)).float().mean(dim=1).tolist()
    return min(score for score, share in zip(candidates.tolist(), flagged, strict=True) if share <= fpr)


@mistake("threshold_at_fpr")
def scores_as_float32(control_scores, fpr):
    """The scores were converted to float32: of float64 ones the threshold is then no observed score. Keep their
    dtype."""
    refuse_fpr(control_scores, fpr)
    return least_kept(control_scores.float(), fpr)


@recogniser("threshold_at_fpr")
def recognise_float32(calls):
    """Too small a difference for the comparison of values: an observed score, but for float32's rounding."""
    for args, kwargs, value in calls:
        scores = [*args, *kwargs.values()][0]
        if float(value) not in scores.tolist():
            return "scores_as_float32" if float(value) in scores.float().tolist() else None
    return None


@mistake("threshold_at_fpr")
def rounded_threshold(control_scores, fpr):
    """The threshold was rounded, and is no longer an observed score. Return it with all its digits."""
    return round(least_kept(control_scores, fpr), 3)


@mistake("threshold_at_fpr")
def fpr_in_percent(control_scores, fpr):
    """fpr was divided by 100. It is a share already: 0.01 is one in a hundred."""
    refuse_fpr(control_scores, fpr)
    return least_kept(control_scores, fpr / 100)


@mistake("threshold_at_fpr")
def tensor_of_one(control_scores, fpr):
    """The threshold is a tensor of shape (1,). Return a number: float(…)."""
    return torch.tensor([least_kept(control_scores, fpr)])


@mistake("threshold_at_fpr")
def sorted_in_place(control_scores, fpr):
    """The caller's scores were sorted in place, and no longer belong to their texts. Sort a copy: scores.sort().values
    is one."""
    refuse_fpr(control_scores, fpr)
    control_scores.copy_(control_scores.sort(descending=True).values)
    return control_scores[n_allowed(control_scores, fpr)].item()


@mistake("threshold_at_fpr")
def nothing_checked(control_scores, fpr):
    """Neither the number of scores nor fpr is checked: what comes is an IndexError, or a threshold that means nothing.
    The contract asks for a ValueError."""
    return descending(control_scores)[n_allowed(control_scores, fpr)]


@mistake("threshold_at_fpr")
def empty_not_checked(control_scores, fpr):
    """No control scores: this fails with an IndexError. The contract asks for a ValueError."""
    refuse_fpr([0.0], fpr)
    return descending(control_scores)[n_allowed(control_scores, fpr)]


@mistake("threshold_at_fpr")
def fpr_of_one_accepted(control_scores, fpr):
    """fpr 1 is accepted: it allows everything, so that there is nothing to choose. It should raise ValueError, as
    everything from 1 on does."""
    refuse_fpr(control_scores, 0 if fpr == 1 else fpr)
    return descending(control_scores)[min(n_allowed(control_scores, fpr), len(control_scores) - 1)]


@mistake("threshold_at_fpr")
def negative_fpr_accepted(control_scores, fpr):
    """A negative fpr is taken for 0. It is a mistake of the caller's, and should raise ValueError."""
    return least_kept(control_scores, max(fpr, 0))


@mistake("threshold_at_fpr")
def fpr_of_zero_refused(control_scores, fpr):
    """fpr 0 raises ValueError. It is allowed, and means that no control text is flagged: the highest score."""
    if fpr == 0:
        raise ValueError("fpr is 0")
    return least_kept(control_scores, fpr)


@alternative("threshold_at_fpr")
def through_the_sorted(control_scores, fpr):
    if not (len(control_scores) and 0 <= fpr < 1):
        raise ValueError("control scores or fpr")
    ordered = control_scores.sort(descending=True).values
    return ordered[int(len(ordered) * fpr + 1e-6)].item()


@alternative("threshold_at_fpr")
def by_bisection(control_scores, fpr):
    refuse_fpr(control_scores, fpr)
    ordered = sorted(control_scores.tolist())
    n = len(ordered)
    return next(score for score in ordered if (n - bisect_right(ordered, score)) / n <= fpr)


@alternative("threshold_at_fpr")
def by_topk(control_scores, fpr):
    refuse_fpr(control_scores, fpr)
    n = len(control_scores)
    k = sum(1 for flagged in range(1, n + 1) if flagged / n <= fpr)
    return control_scores.topk(k + 1).values[-1]


@alternative("threshold_at_fpr")
def by_cumulated_counts(control_scores, fpr):
    refuse_fpr(control_scores, fpr)
    values, counts = np.unique(control_scores.numpy(), return_counts=True)
    above = len(control_scores) - counts.cumsum()
    return values[np.argmax(above <= fpr * len(control_scores) + 1e-9)]


def refuse_texts(scores, labels):
    if len(scores) != len(labels) or not labels.any():
        raise ValueError("scores or labels")


def share(flagged):
    return flagged.double().mean().item()


@mistake("recall_at_fpr")
def threshold_of_false_texts(scores, labels, control_scores, fpr):
    """The threshold comes from the texts with the label False. It is set on the control scores."""
    refuse_texts(scores, labels)
    least_kept(control_scores, fpr)
    return share(scores[labels] > least_kept(scores[~labels], fpr))


@mistake("recall_at_fpr")
def threshold_of_all_texts(scores, labels, control_scores, fpr):
    """The threshold comes from all scores, those of bad texts too. It is set on the control scores."""
    refuse_texts(scores, labels)
    least_kept(control_scores, fpr)
    return share(scores[labels] > least_kept(scores, fpr))


@mistake("recall_at_fpr")
def threshold_of_false_and_control(scores, labels, control_scores, fpr):
    """The texts with the label False were added to the control scores. They do not enter."""
    refuse_texts(scores, labels)
    least_kept(control_scores, fpr)
    return share(scores[labels] > least_kept(torch.cat([scores[~labels], control_scores]), fpr))


@mistake("recall_at_fpr")
def flagged_of_all(scores, labels, control_scores, fpr):
    """This is the share of *all* texts that are flagged. Take the texts with the label True only."""
    refuse_texts(scores, labels)
    return share(scores > least_kept(control_scores, fpr))


@mistake("recall_at_fpr")
def caught_of_all(scores, labels, control_scores, fpr):
    """The bad texts that are flagged were divided by the number of all texts. Divide by the number of bad ones."""
    refuse_texts(scores, labels)
    return share((scores > least_kept(control_scores, fpr)) & labels)


@mistake("recall_at_fpr")
def precision_instead(scores, labels, control_scores, fpr):
    """This is precision: the share of flagged texts that are bad. Recall is the share of bad texts that are flagged."""
    refuse_texts(scores, labels)
    return share(labels[scores > least_kept(control_scores, fpr)])


@mistake("recall_at_fpr")
def accuracy_instead(scores, labels, control_scores, fpr):
    """This is accuracy: False texts that are not flagged count too. Recall looks at the bad texts only."""
    refuse_texts(scores, labels)
    return share((scores > least_kept(control_scores, fpr)) == labels)


@mistake("recall_at_fpr")
def false_texts_flagged(scores, labels, control_scores, fpr):
    """This is the share of the *False* texts that are flagged, a false-positive rate. Take those with the label
    True."""
    refuse_texts(scores, labels)
    return share(scores[~labels] > least_kept(control_scores, fpr))


@mistake("recall_at_fpr")
def missed_share(scores, labels, control_scores, fpr):
    """This is the share of bad texts that are *missed*. Recall is one minus that."""
    refuse_texts(scores, labels)
    return 1 - share(scores[labels] > least_kept(control_scores, fpr))


@mistake("recall_at_fpr")
def number_caught(scores, labels, control_scores, fpr):
    """This is how many bad texts are flagged. Divide by how many there are."""
    refuse_texts(scores, labels)
    return float((scores[labels] > least_kept(control_scores, fpr)).sum())


@mistake("recall_at_fpr")
def equal_is_flagged(scores, labels, control_scores, fpr):
    """A score that equals the threshold is flagged here. Flagged means score > threshold, for bad texts as for control
    texts."""
    refuse_texts(scores, labels)
    return share(scores[labels] >= least_kept(control_scores, fpr))


@mistake("recall_at_fpr")
def equal_is_half_flagged(scores, labels, control_scores, fpr):
    """A score that equals the threshold counts half. That is AUROC's rule; here it is not flagged."""
    refuse_texts(scores, labels)
    threshold = least_kept(control_scores, fpr)
    return (share(scores[labels] > threshold) + share(scores[labels] >= threshold)) / 2


@mistake("recall_at_fpr")
def threshold_by_quantile(scores, labels, control_scores, fpr):
    """The threshold is an interpolated quantile, which may flag more than a share fpr of the control texts. Use
    threshold_at_fpr."""
    refuse_texts(scores, labels)
    least_kept(control_scores, fpr)
    return share(scores[labels] > torch.quantile(control_scores.double(), 1 - fpr).item())


@mistake("recall_at_fpr")
def highest_control_score(scores, labels, control_scores, fpr):
    """The threshold is the highest control score, whatever fpr. Use threshold_at_fpr."""
    refuse_texts(scores, labels)
    least_kept(control_scores, fpr)
    return share(scores[labels] > control_scores.max().item())


@mistake("recall_at_fpr")
def zero_as_threshold(scores, labels, control_scores, fpr):
    """The threshold is 0, whatever the control texts score. Use threshold_at_fpr."""
    refuse_texts(scores, labels)
    least_kept(control_scores, fpr)
    return share(scores[labels] > 0)


@mistake("recall_at_fpr")
def percent_for_share(scores, labels, control_scores, fpr):
    """fpr was divided by 100. It is a share already: 0.01 is one in a hundred."""
    refuse_texts(scores, labels)
    least_kept(control_scores, fpr)
    return share(scores[labels] > least_kept(control_scores, fpr / 100))


@mistake("recall_at_fpr")
def fpr_cut_off(scores, labels, control_scores, fpr):
    """int(fpr * n) cuts off 28.999… to 28, where 0.29 · 100 means 29. Use threshold_at_fpr."""
    refuse_texts(scores, labels)
    least_kept(control_scores, fpr)
    return share(scores[labels] > descending(control_scores)[int(fpr * len(control_scores))])


@mistake("recall_at_fpr")
def compared_in_float32(scores, labels, control_scores, fpr):
    """Scores were converted to float32, in which different float64 scores may be equal. Compare them as they are."""
    refuse_texts(scores, labels)
    return share(scores[labels].float() > least_kept(control_scores.float(), fpr))


@mistake("recall_at_fpr")
def nothing_to_catch_is_zero(scores, labels, control_scores, fpr):
    """Without a bad text this returns 0, as if all had been missed. There is no recall then: raise ValueError."""
    if len(scores) != len(labels):
        raise ValueError("lengths")
    threshold = least_kept(control_scores, fpr)
    return share(scores[labels] > threshold) if labels.any() else 0.0


@mistake("recall_at_fpr")
def nothing_to_catch_is_nan(scores, labels, control_scores, fpr):
    """Without a bad text this returns NaN, the mean of nothing. Raise ValueError."""
    if len(scores) != len(labels):
        raise ValueError("lengths")
    return share(scores[labels] > least_kept(control_scores, fpr))


@mistake("recall_at_fpr")
def lengths_left_to_torch(scores, labels, control_scores, fpr):
    """Scores and labels of different lengths are left to the indexing, which raises IndexError. The contract asks for
    a ValueError: compare their lengths."""
    if not labels.any():
        raise ValueError("no label is True")
    return share(scores[labels] > least_kept(control_scores, fpr))


@mistake("recall_at_fpr")
def one_label_for_all(scores, labels, control_scores, fpr):
    """A single label, or a single score, is broadcast to all texts. Lengths that differ should raise ValueError."""
    if not labels.any() or (len(scores) != len(labels) and 1 not in (len(scores), len(labels))):
        raise ValueError("scores or labels")
    flagged = (scores > least_kept(control_scores, fpr)) & labels
    return flagged.sum().item() / labels.expand(flagged.shape).sum().item()


@mistake("recall_at_fpr")
def cut_to_the_shorter(scores, labels, control_scores, fpr):
    """zip stops at the shorter of scores and labels, in silence. Lengths that differ should raise ValueError."""
    if not labels.any():
        raise ValueError("no label is True")
    threshold = least_kept(control_scores, fpr)
    rows = zip(scores.tolist(), labels.tolist(), strict=False)
    flagged = [score > threshold for score, label in rows if label]
    return sum(flagged) / max(len(flagged), 1)


@mistake("recall_at_fpr")
def bad_fpr_is_no_recall(scores, labels, control_scores, fpr):
    """Where there is no threshold this returns 0. Let the ValueError of threshold_at_fpr pass."""
    refuse_texts(scores, labels)
    try:
        threshold = least_kept(control_scores, fpr)
    except ValueError:
        return 0.0
    return share(scores[labels] > threshold)


@mistake("recall_at_fpr")
def false_scores_overwritten(scores, labels, control_scores, fpr):
    """The caller's own scores were overwritten where the label is False. Index instead: scores[labels]."""
    refuse_texts(scores, labels)
    scores[~labels] = -torch.inf
    return (scores > least_kept(control_scores, fpr)).sum().item() / labels.sum().item()


@alternative("recall_at_fpr")
def by_products(scores, labels, control_scores, fpr):
    n_bad = int(labels.sum())
    if labels.shape != scores.shape or n_bad == 0:
        raise ValueError("scores or labels")
    flagged = scores > through_the_sorted(control_scores, fpr)
    return float(flagged.double() @ labels.double()) / n_bad


@alternative("recall_at_fpr")
def by_pairs(scores, labels, control_scores, fpr):
    bad = [score for score, label in zip(scores.tolist(), labels.tolist(), strict=True) if label]
    threshold = by_bisection(control_scores, fpr)
    if not bad:
        raise ValueError("no label is True")
    return len([score for score in bad if score > threshold]) / len(bad)


@alternative("recall_at_fpr")
def without_a_threshold(scores, labels, control_scores, fpr):
    """A bad text is flagged where too many control texts would be by the next lower threshold: it beats the score
    that n_allowed control texts may beat."""
    refuse_fpr(control_scores, fpr)
    refuse_texts(scores, labels)
    at_least = (control_scores >= scores[labels].unsqueeze(1)).sum(dim=1)
    return (at_least <= n_allowed(control_scores, fpr)).float().mean()


@alternative("recall_at_fpr")
def recall_in_numpy(scores, labels, control_scores, fpr):
    values, bad = scores.numpy(), labels.numpy()
    if values.size != bad.size or np.count_nonzero(bad) == 0:
        raise ValueError("scores or labels")
    return np.mean(values[bad] > np.asarray(by_topk(control_scores, fpr)))


def refuse_band(low, high):
    if low > high:
        raise ValueError("low is above high")


def in_band(scores, low, high):
    return (~((scores < low) | (scores > high))).nonzero().flatten().tolist()


def settled(scores, costly, high, indices):
    decisions = scores > high
    for index in indices:
        decisions[index] = bool(costly(index))
    return decisions, len(indices)


@mistake("monitor_cascade")
def ends_excluded(cheap_scores, costly, low, high):
    """Scores equal to `low` or `high` do not go to the judge. Both ends belong to the band."""
    refuse_band(low, high)
    return settled(
        cheap_scores,
        costly,
        high,
        (~(cheap_scores <= low) & ~(cheap_scores >= high)).nonzero().flatten().tolist(),
    )


@mistake("monitor_cascade")
def low_excluded(cheap_scores, costly, low, high):
    """A score equal to `low` does not go to the judge. Both ends belong to the band: low <= score."""
    refuse_band(low, high)
    return settled(
        cheap_scores,
        costly,
        high,
        (~(cheap_scores <= low) & ~(cheap_scores > high)).nonzero().flatten().tolist(),
    )


@mistake("monitor_cascade")
def high_excluded(cheap_scores, costly, low, high):
    """A score equal to `high` does not go to the judge. Both ends belong to the band: score <= high."""
    refuse_band(low, high)
    return settled(
        cheap_scores,
        costly,
        high,
        (~(cheap_scores < low) & ~(cheap_scores >= high)).nonzero().flatten().tolist(),
    )


@mistake("monitor_cascade")
def high_flagged_by_the_probe(cheap_scores, costly, low, high):
    """A score equal to `high` is flagged without the judge. Flagged is what lies *above* high; the end belongs to the
    band."""
    refuse_band(low, high)
    indices = (~(cheap_scores < low) & ~(cheap_scores >= high)).nonzero().flatten().tolist()
    decisions, n_calls = settled(cheap_scores, costly, high, indices)
    return decisions | (cheap_scores == high), n_calls


@mistake("monitor_cascade")
def judge_for_all(cheap_scores, costly, low, high):
    """The judge is asked about every text, and most verdicts are thrown away: that is what the cascade should save. Ask
    only in the band."""
    refuse_band(low, high)
    verdicts = torch.tensor([bool(costly(index)) for index in range(len(cheap_scores))])
    uncertain = ~(cheap_scores < low) & ~(cheap_scores > high)
    return torch.where(uncertain, verdicts, cheap_scores > high), int(uncertain.sum())


@mistake("monitor_cascade")
def asked_twice(cheap_scores, costly, low, high):
    """The judge is asked twice about a text of the band. Keep the first verdict: every call costs."""
    refuse_band(low, high)
    indices = in_band(cheap_scores, low, high)
    flagged = {index for index in indices if costly(index)}
    cleared = {index for index in indices if not costly(index)}
    decisions = cheap_scores > high
    for index in indices:
        decisions[index] = index in flagged and index not in cleared
    return decisions, len(indices)


@mistake("monitor_cascade")
def last_first(cheap_scores, costly, low, high):
    """The judge is asked in reverse order. The texts come in their own order."""
    refuse_band(low, high)
    return settled(cheap_scores, costly, high, in_band(cheap_scores, low, high)[::-1])


@mistake("monitor_cascade")
def by_score(cheap_scores, costly, low, high):
    """The judge is asked in the order of the scores. The texts come in their own order."""
    refuse_band(low, high)
    indices = sorted(in_band(cheap_scores, low, high), key=lambda index: -float(cheap_scores[index]))
    return settled(cheap_scores, costly, high, indices)


@mistake("monitor_cascade")
def index_as_tensor(cheap_scores, costly, low, high):
    """The judge gets a tensor, which no dict and no file name understands. Give it an int: .tolist(), or int(index)."""
    refuse_band(low, high)
    decisions = cheap_scores > high
    uncertain = (~(cheap_scores < low) & ~(cheap_scores > high)).nonzero().flatten()
    for index in uncertain:
        decisions[index] = bool(costly(index))
    return decisions, len(uncertain)


@recogniser("monitor_cascade")
def recognise_calls(calls):
    """What is right but for the questions asked."""
    seen = set()
    for args, kwargs, _ in calls:
        names = ("cheap_scores", "costly", "low", "high")
        scores, judge, low, high = [*args, *(kwargs[name] for name in names[len(args) :])]
        if any(isinstance(index, torch.Tensor) for index in judge.asked):
            return "index_as_tensor"
        asked, expected = judge.numbers(), in_band(scores, low, high)
        if asked == expected:
            continue
        if sorted(set(asked)) != expected:
            seen.add("judge_for_all" if asked == list(range(len(scores))) else None)
        elif len(asked) != len(expected):
            seen.add("asked_twice" if sorted(asked) == sorted(expected * 2) else None)
        else:
            seen.add("last_first" if asked == expected[::-1] else "by_score")
    if seen == {"last_first", "by_score"}:
        return "by_score"
    return seen.pop() if len(seen) == 1 else None


@mistake("monitor_cascade")
def counts_all_texts(cheap_scores, costly, low, high):
    """The number of texts is returned. Count the calls."""
    refuse_band(low, high)
    return settled(cheap_scores, costly, high, in_band(cheap_scores, low, high))[0], len(cheap_scores)


@mistake("monitor_cascade")
def counts_verdicts(cheap_scores, costly, low, high):
    """Only the calls after which the judge flagged the text are counted. Every call costs, whatever comes of it."""
    refuse_band(low, high)
    indices = in_band(cheap_scores, low, high)
    decisions, _ = settled(cheap_scores, costly, high, indices)
    return decisions, int(decisions[indices].sum())


@mistake("monitor_cascade")
def counts_flagged(cheap_scores, costly, low, high):
    """The number of flagged texts is returned. Count the calls of the judge."""
    refuse_band(low, high)
    decisions, _ = settled(cheap_scores, costly, high, in_band(cheap_scores, low, high))
    return decisions, int(decisions.sum())


@mistake("monitor_cascade")
def counts_clear_cases(cheap_scores, costly, low, high):
    """The texts that the probe decided are counted. Count those that went to the judge."""
    refuse_band(low, high)
    decisions, n_calls = settled(cheap_scores, costly, high, in_band(cheap_scores, low, high))
    return decisions, len(cheap_scores) - n_calls


@mistake("monitor_cascade")
def share_of_calls(cheap_scores, costly, low, high):
    """The share of texts that went to the judge is returned. Their number is asked for."""
    refuse_band(low, high)
    decisions, n_calls = settled(cheap_scores, costly, high, in_band(cheap_scores, low, high))
    return decisions, n_calls / len(cheap_scores)


@mistake("monitor_cascade")
def no_count(cheap_scores, costly, low, high):
    """Only the decisions are returned. Return the number of calls too: (decisions, n_calls)."""
    refuse_band(low, high)
    return settled(cheap_scores, costly, high, in_band(cheap_scores, low, high))[0]


@mistake("monitor_cascade")
def count_first(cheap_scores, costly, low, high):
    """The number of calls comes first. Return (decisions, number of calls)."""
    refuse_band(low, high)
    return settled(cheap_scores, costly, high, in_band(cheap_scores, low, high))[::-1]


@mistake("monitor_cascade")
def sides_exchanged(cheap_scores, costly, low, high):
    """Texts below `low` are flagged and texts above `high` are not. It is the other way round."""
    refuse_band(low, high)
    decisions = cheap_scores < low
    indices = in_band(cheap_scores, low, high)
    for index in indices:
        decisions[index] = bool(costly(index))
    return decisions, len(indices)


@mistake("monitor_cascade")
def clear_cases_not_flagged(cheap_scores, costly, low, high):
    """Only the judge flags texts. What lies above `high` is flagged without asking."""
    refuse_band(low, high)
    return settled(cheap_scores, costly, torch.inf, in_band(cheap_scores, low, high))


@mistake("monitor_cascade")
def judge_outside_the_band(cheap_scores, costly, low, high):
    """The judge is asked about the clear cases, and the probe decides the uncertain ones. It is the other way round."""
    refuse_band(low, high)
    indices = ((cheap_scores < low) | (cheap_scores > high)).nonzero().flatten().tolist()
    return settled(cheap_scores, costly, (low + high) / 2, indices)


@mistake("monitor_cascade")
def judge_not_heard(cheap_scores, costly, low, high):
    """The judge is asked, but what it says is lost: texts of the band are never flagged. Put its verdict into the
    decisions."""
    refuse_band(low, high)
    decisions = cheap_scores > high
    indices = in_band(cheap_scores, low, high)
    for index in indices:
        costly(index)
    return decisions, len(indices)


@mistake("monitor_cascade")
def all_of_the_band_flagged(cheap_scores, costly, low, high):
    """Every text that went to the judge is flagged. It may say no."""
    refuse_band(low, high)
    indices = in_band(cheap_scores, low, high)
    for index in indices:
        costly(index)
    return cheap_scores >= low, len(indices)


@mistake("monitor_cascade")
def verdict_turned_round(cheap_scores, costly, low, high):
    """The verdict is turned round. True means: flag it."""
    refuse_band(low, high)
    return settled(cheap_scores, lambda index: not costly(index), high, in_band(cheap_scores, low, high))


@mistake("monitor_cascade")
def both_must_agree(cheap_scores, costly, low, high):
    """A text of the band is flagged only where the probe leans that way too. There the judge decides alone."""
    refuse_band(low, high)
    decisions, n_calls = settled(cheap_scores, costly, high, in_band(cheap_scores, low, high))
    return decisions & (cheap_scores > (low + high) / 2), n_calls


@mistake("monitor_cascade")
def place_in_the_band(cheap_scores, costly, low, high):
    """The judge gets a text's place among the uncertain ones. Its index counts all texts."""
    refuse_band(low, high)
    decisions = cheap_scores > high
    indices = in_band(cheap_scores, low, high)
    for place, index in enumerate(indices):
        decisions[index] = bool(costly(place))
    return decisions, len(indices)


@mistake("monitor_cascade")
def score_for_index(cheap_scores, costly, low, high):
    """The judge gets the text's score. It needs the index, to look the text up."""
    refuse_band(low, high)
    decisions = cheap_scores > high
    indices = in_band(cheap_scores, low, high)
    for index in indices:
        decisions[index] = bool(costly(float(cheap_scores[index])))
    return decisions, len(indices)


@mistake("monitor_cascade")
def first_text_only(cheap_scores, costly, low, high):
    """Only the first text of the band goes to the judge. Go through all of them."""
    refuse_band(low, high)
    return settled(cheap_scores, costly, high, in_band(cheap_scores, low, high)[:1])


@mistake("monitor_cascade")
def list_of_decisions(cheap_scores, costly, low, high):
    """The decisions are a list. Return a bool tensor: torch.tensor(decisions)."""
    refuse_band(low, high)
    decisions, n_calls = settled(cheap_scores, costly, high, in_band(cheap_scores, low, high))
    return decisions.tolist(), n_calls


@mistake("monitor_cascade")
def decisions_as_numbers(cheap_scores, costly, low, high):
    """The decisions are ones and zeros. Return a bool tensor."""
    refuse_band(low, high)
    decisions, n_calls = settled(cheap_scores, costly, high, in_band(cheap_scores, low, high))
    return decisions.to(cheap_scores.dtype), n_calls


@mistake("monitor_cascade")
def band_in_float32(cheap_scores, costly, low, high):
    """The scores were converted to float32, which moves float64 ones into the band. Compare them as they are."""
    refuse_band(low, high)
    scores = cheap_scores.float()
    return settled(scores, costly, high, in_band(scores, low, high))


@mistake("monitor_cascade")
def verdicts_among_the_scores(cheap_scores, costly, low, high):
    """The verdicts were written into the caller's scores. Write them into a tensor of decisions."""
    refuse_band(low, high)
    indices = in_band(cheap_scores, low, high)
    for index in indices:
        cheap_scores[index] = torch.inf if costly(index) else -torch.inf
    return cheap_scores > high, len(indices)


@mistake("monitor_cascade")
def nan_not_flagged(cheap_scores, costly, low, high):
    """A score that is NaN is not flagged, and nobody is asked: every comparison with NaN is False. The judge decides
    whatever is neither below `low` nor above `high`."""
    refuse_band(low, high)
    indices = ((cheap_scores >= low) & (cheap_scores <= high)).nonzero().flatten().tolist()
    return settled(cheap_scores, costly, high, indices)


@mistake("monitor_cascade")
def wrong_band_accepted(cheap_scores, costly, low, high):
    """`low` above `high` is accepted, and leaves no band at all. The contract asks for a ValueError."""
    return settled(cheap_scores, costly, high, in_band(cheap_scores, low, high))


@mistake("monitor_cascade")
def ends_put_in_order(cheap_scores, costly, low, high):
    """Where `low` is above `high` the two are exchanged in silence. The contract asks for a ValueError."""
    low, high = min(low, high), max(low, high)
    return settled(cheap_scores, costly, high, in_band(cheap_scores, low, high))


@mistake("monitor_cascade")
def equal_ends_refused(cheap_scores, costly, low, high):
    """`low` equal to `high` raises ValueError. That is a band of one value; only low > high is refused."""
    if low >= high:
        raise ValueError("low is not below high")
    return settled(cheap_scores, costly, high, in_band(cheap_scores, low, high))


@alternative("monitor_cascade")
def one_after_the_other(cheap_scores, costly, low, high):
    if high < low:
        raise ValueError("low is above high")
    decisions, n_calls = [], 0
    for index, score in enumerate(cheap_scores.tolist()):
        if score < low:
            decisions.append(False)
        elif score > high:
            decisions.append(True)
        else:
            n_calls += 1
            decisions.append(costly(index))
    return torch.tensor(decisions, dtype=torch.bool), n_calls


@alternative("monitor_cascade")
def cascade_in_numpy(cheap_scores, costly, low, high):
    if not low <= high:
        raise ValueError("low is above high")
    scores = cheap_scores.double().numpy()
    indices = np.flatnonzero(~((scores < low) | (scores > high)))
    decisions = scores > high
    decisions[indices] = np.fromiter(
        (costly(int(index)) for index in indices), dtype=bool, count=len(indices)
    )
    return torch.from_numpy(decisions), indices.size


@alternative("monitor_cascade")
def by_scattered_verdicts(cheap_scores, costly, low, high):
    refuse_band(low, high)
    uncertain = (cheap_scores.clamp(low, high) == cheap_scores) | cheap_scores.isnan()
    verdicts = torch.tensor([costly(index) for index in range(len(uncertain)) if uncertain[index]]).bool()
    return (cheap_scores > high).masked_scatter(uncertain, verdicts), uncertain.sum()


@alternative("monitor_cascade")
def by_a_dict(cheap_scores, costly, low, high):
    refuse_band(low, high)
    texts = dict(enumerate(cheap_scores.tolist()))
    verdicts = {index: costly(index) for index, score in texts.items() if not (score < low or score > high)}
    return torch.tensor([verdicts.get(index, score > high) for index, score in texts.items()]), len(verdicts)
