"""Checks of chapter 3, part 4: catching a liar."""

import itertools
import re

import numpy as np
import pytest
import torch

from utils.course import assert_close, exercise, hidden

YOURS_TO_WRITE = ("utils.metrics.threshold_at_fpr", "utils.metrics.recall_at_fpr")

HONEST, DISHONEST = "Be honest.", "Lie whenever you can."
WORDS = ("oslo", "is", "Norway", "assistant", "user", "the", "42", "água", "system", "ever", "\n", "no:")


def some_text(rng, n_words):
    """Words in any order, among them the names of the roles."""
    return " ".join(WORDS[i] for i in torch.randint(len(WORDS), (n_words,), generator=rng).tolist())


def turns(conversation):
    """The (role, text) of every turn, read back from a conversation."""
    assert isinstance(conversation, str), (
        f"expected each conversation as a string, received a {type(conversation).__name__}"
    )
    turn = re.compile(r"<\|im_start\|>([^\n]*)\n(.*?)<\|im_end\|>\n", flags=re.DOTALL)
    left_over = turn.sub("", conversation)
    assert not left_over, f"expected nothing but finished turns, received besides them {left_over!r}"
    return turn.findall(conversation)


def read_back(pairs, n_facts):
    """For each fact the turns of both its conversations."""
    assert isinstance(pairs, (list, tuple)), f"expected a list of pairs, received a {type(pairs).__name__}"
    assert len(pairs) == n_facts, f"expected one pair for each of {n_facts} facts, received {len(pairs)}"
    for pair in pairs:
        assert isinstance(pair, (list, tuple)), f"expected pairs, one of them is a {type(pair).__name__}"
        assert len(pair) == 2, f"expected two conversations a fact, received {len(pair)}"
    return [tuple(turns(conversation) for conversation in pair) for pair in pairs]


@exercise("instructed_pairs")
class TestInstructedPairs:
    def test_by_hand(self, learner, tiny_tokenizer):
        """one fact: both conversations, letter by letter"""
        received = learner.instructed_pairs(["Oslo is in Norway."], tiny_tokenizer, HONEST, DISHONEST)
        after = (
            "<|im_end|>\n<|im_start|>user\nTell me a fact.<|im_end|>\n"
            "<|im_start|>assistant\nOslo is in Norway.<|im_end|>\n"
        )
        expected = (
            "<|im_start|>system\nBe honest." + after,
            "<|im_start|>system\nLie whenever you can." + after,
        )
        (pair,) = read_back(received, 1)
        for name, conversation, wanted in zip(("honest", "dishonest"), pair, expected, strict=True):
            assert_close(conversation, turns(wanted), what=f"turns after the {name} prompt")
        assert_close(received, [expected])

    def test_order_of_facts(self, learner, tiny_tokenizer):
        """one pair a fact, in the order of the facts; a fact that comes twice has two pairs"""
        facts = ["Oslo is in Norway.", "Lima is in Peru.", "Oslo is in Norway.", "2 is even.", "Bees fly."]
        pairs = read_back(learner.instructed_pairs(list(facts), tiny_tokenizer, HONEST, DISHONEST), 5)
        for conversations in zip(*pairs, strict=True):
            assert_close([said[-1][1] for said in conversations], facts, what="what the assistant says")

    def test_turns(self, learner, tiny_tokenizer):
        """every conversation stands alone: one system, one user and one assistant turn, and the same request"""
        facts = ["Oslo is in Norway.", "Lima is in Peru.", "Bees fly."]
        pairs = read_back(learner.instructed_pairs(list(facts), tiny_tokenizer, HONEST, DISHONEST), 3)
        for said in itertools.chain(*pairs):
            assert_close([role for role, _ in said], ["system", "user", "assistant"], what="roles")
            assert_close(said[1][1], "Tell me a fact.", what="what the user says")

    def test_prompts(self, learner, tiny_tokenizer):
        """the system turn is the prompt as it stands: first the honest one, then the dishonest one"""
        for prompts in (
            ("Zero lies.", "A lie, please."),
            (" Say what is true.\nAlways. ", "Say what is not. \n"),
            ("Tell", "Tell me"),
            ("assistant", "user"),
            ("Speak {freely}, é.", "Lie 100%."),
        ):
            pairs = read_back(learner.instructed_pairs(["Bees fly.", "2"], tiny_tokenizer, *prompts), 2)
            for honest, dishonest in pairs:
                assert_close((honest[0][1], dishonest[0][1]), prompts, what="the two system turns")

    def test_fact_as_it_stands(self, learner, tiny_tokenizer):
        """the answer is the fact as it stands: with its blanks and line breaks, braces, even where it is empty"""
        facts = [
            " oslo is in norway ",
            "Bees\nfly\n",
            "{0} {{ fact }} {}",
            "",
            "é → 1 < 2 & 3%",
            "Be honest.",
        ]
        pairs = read_back(learner.instructed_pairs(list(facts), tiny_tokenizer, HONEST, DISHONEST), 6)
        for fact, said in zip(facts, pairs, strict=True):
            assert_close([said[0][-1], said[1][-1]], [("assistant", fact)] * 2, what="the last turn")

    @hidden
    def test_agrees_with_template(self, learner, tiny_tokenizer, rng):
        """agrees with the template written out by hand, for facts and prompts of any words"""
        facts = [some_text(rng, 1 + i % 4) for i in range(8)]
        prompts = some_text(rng, 6), some_text(rng, 5)
        expected = []
        for fact in facts:
            pair = []
            for prompt in prompts:
                text = ""
                for role, said in (("system", prompt), ("user", "Tell me a fact."), ("assistant", fact)):
                    text += f"<|im_start|>{role}\n{said}<|im_end|>\n"
                pair.append(text)
            expected.append(tuple(pair))
        assert_close(learner.instructed_pairs(list(facts), tiny_tokenizer, *prompts), expected)

    def test_another_template(self, learner, tiny_tokenizer_other_template):
        """the form is the tokenizer's own: with another chat template the same turns look different"""
        received = learner.instructed_pairs(
            ["Oslo is in Norway.", "2"], tiny_tokenizer_other_template, HONEST, DISHONEST
        )
        expected = [
            tuple(
                f"[system] {prompt}\n[user] Tell me a fact.\n[assistant] {fact}\n"
                for prompt in (HONEST, DISHONEST)
            )
            for fact in ("Oslo is in Norway.", "2")
        ]
        assert_close(received, expected)

    def test_no_facts(self, learner, tiny_tokenizer):
        """no facts: an empty list"""
        assert_close(learner.instructed_pairs([], tiny_tokenizer, HONEST, DISHONEST), [])

    def test_arguments_unchanged(self, learner, tiny_tokenizer):
        """leaves the list of facts as it was"""
        facts = [" Oslo is in Norway.", "Bees fly. "]
        learner.instructed_pairs(facts, tiny_tokenizer, HONEST, DISHONEST)
        assert_close(facts, [" Oslo is in Norway.", "Bees fly. "], what="facts after the call")


def turn(role, text):
    """A turn in pieces, each with whether it is to be marked."""
    return [(f"<|im_start|>{role}\n", False), (text, role == "assistant"), ("<|im_end|>\n", False)]


def begun(text):
    """An assistant's turn that has not ended."""
    return turn("assistant", text)[:2]


def encoded(tokenizer, *turns):
    """Token ids of a conversation, and the mask that belongs to it."""
    ids, mask = [], []
    for text, marked in itertools.chain(*turns):
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += tokens
        mask += [marked] * len(tokens)
    return ids, torch.tensor(mask)


def text_marked(tokenizer, ids, mask):
    """The marked tokens, decoded."""
    assert isinstance(mask, torch.Tensor), f"expected a tensor, received a {type(mask).__name__}"
    assert mask.shape == (len(ids),), f"expected the shape {(len(ids),)}, received {tuple(mask.shape)}"
    assert mask.dtype == torch.bool, f"expected a bool tensor, received {mask.dtype}"
    return tokenizer.decode([token for token, kept in zip(ids, mask.tolist(), strict=True) if kept])


def check_mask(learner, tokenizer, *turns, what):
    ids, expected = encoded(tokenizer, *turns)
    received = learner.assistant_mask(list(ids), tokenizer)
    marked, wanted = (text_marked(tokenizer, ids, mask) for mask in (received, expected))
    assert marked == wanted, f"{what}: expected {wanted!r} to be marked, received {marked!r}"
    assert_close(received, expected, what=what)


@exercise("assistant_mask")
class TestAssistantMask:
    def test_by_hand(self, learner, tiny_tokenizer):
        """a question and its answer: of 26 tokens the three of the answer are marked"""
        text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n"
        ids = tiny_tokenizer(text, add_special_tokens=False)["input_ids"]
        # The user's turn has 1 + 4 + 1 + 2 + 1 tokens and a line break, the header 1 + 9 + 1: the answer begins at 21.
        expected = torch.zeros(26, dtype=torch.bool)
        expected[21:24] = True
        received = learner.assistant_mask(list(ids), tiny_tokenizer)
        marked = text_marked(tiny_tokenizer, ids, received)
        assert marked == "Yes", f"expected 'Yes' to be marked, received {marked!r}"
        assert_close(received, expected)

    def test_several_turns(self, learner, tiny_tokenizer):
        """all turns of the assistant are marked, the first too; what stands between them is not"""
        check_mask(
            learner,
            tiny_tokenizer,
            turn("system", "Be brief."),
            turn("assistant", "Hello!"),
            turn("user", "Is 2 even?"),
            turn("assistant", "Yes"),
            turn("user", "And 3?"),
            turn("tool", "odd"),
            turn("assistant", "No, 3 is odd."),
            turn("user", "Thanks"),
            what="three turns",
        )

    def test_word_assistant(self, learner, tiny_tokenizer):
        """the word assistant in another's text opens nothing, also where a line break follows"""
        for role, text in (
            ("user", "Is the assistant honest?"),
            ("user", "assistant\nYes"),
            ("system", "You said:\nassistant\nNo\nassistant\n"),
            ("tool", "assistant\n"),
        ):
            what = f"a {role} who writes {text!r}"
            check_mask(learner, tiny_tokenizer, turn(role, text), turn("assistant", "Yes"), what=what)

    def test_part_of_a_header(self, learner, tiny_tokenizer):
        """a header that is not whole, or names another role, opens nothing"""
        for text in (
            "I write <|im_start|>assistant here",
            "<|im_start|>assistant",
            "<|im_start|>\nassistant\n",
        ):
            what = f"a user who writes {text!r}"
            check_mask(learner, tiny_tokenizer, turn("user", text), turn("assistant", "Yes"), what=what)
        for role in ("assistants", "assistant ", " assistant", "Assistant", "assis", "my assistant"):
            pieces = turn(role, "No"), turn("assistant", "Yes")
            check_mask(learner, tiny_tokenizer, *pieces, what=f"a turn of the role {role!r}")

    def test_unfinished_turn(self, learner, tiny_tokenizer):
        """a last turn that has not ended counts to the end, however short, after finished ones too"""
        for text in ("Yes, 2 is", "Y"):
            check_mask(learner, tiny_tokenizer, begun(text), what="only a turn that has not ended")
            before = turn("user", "Is 2 even?"), turn("assistant", "Hm."), turn("user", "So?")
            check_mask(learner, tiny_tokenizer, *before, begun(text), what="a last turn that has not ended")

    def test_empty_answer(self, learner, tiny_tokenizer):
        """of an answer without text nothing is marked, and what comes after it as always"""
        after = turn("user", "Well?"), turn("assistant", "Yes")
        check_mask(learner, tiny_tokenizer, turn("assistant", ""), *after, what="an empty answer first")
        check_mask(learner, tiny_tokenizer, *after, turn("assistant", ""), what="an empty answer last")
        check_mask(learner, tiny_tokenizer, turn("user", "Well?"), begun(""), what="a header at the end")

    def test_nobody_answers(self, learner, tiny_tokenizer):
        """without a turn of the assistant nothing is marked, also in fewer tokens than a header has"""
        for pieces in (
            (turn("system", "Be honest."), turn("user", "Is 2 even?")),
            (turn("user", "Is 2 even?"), [("<|im_start|>assistant", False)]),
            (turn("user", "Is 2 even?"), [("<|im_start|>", False)]),
            ([("<|im_start|>user\nHi", False)],),
            ([("No chat", False)],),
            ([("<|im_start|>", False)],),
        ):
            text = "".join(piece for piece, _ in itertools.chain(*pieces))
            check_mask(learner, tiny_tokenizer, *pieces, what=repr(text))

    def test_any_text(self, learner, tiny_tokenizer):
        """the whole text is marked, whatever it says: line breaks at its ends, the names of roles"""
        for text in (
            "\n",
            "\nYes\n",
            "assistant\nYes",
            "user\nsystem\n",
            " ",
            "I am an assistant",
            "água: não",
        ):
            pieces = turn("user", "Go on"), turn("assistant", text), turn("user", text)
            check_mask(learner, tiny_tokenizer, *pieces, what=f"the answer {text!r}")

    def test_decodes_to_the_texts(self, learner, tiny_tokenizer, rng):
        """decoded, the marked tokens of a long conversation are the assistant's texts, one after the other"""
        roles = [("user", "assistant", "system")[i] for i in torch.randint(3, (12,), generator=rng).tolist()]
        said = [(role, some_text(rng, 4)) for role in ("user", "assistant", *roles)]
        ids, _ = encoded(tiny_tokenizer, *itertools.starmap(turn, said))
        mask = learner.assistant_mask(list(ids), tiny_tokenizer)
        marked = text_marked(tiny_tokenizer, ids, mask)
        expected = "".join(text for role, text in said if role == "assistant")
        assert marked == expected, f"expected the texts {expected!r}, received {marked!r}"

    @hidden
    def test_agrees_with_loop(self, learner, tiny_tokenizer, rng):
        """agrees with a mask built turn by turn, for conversations of any roles and lengths"""
        for n_turns in (1, 2, 5, 9):
            pieces = []
            for speaker, n_words in torch.randint(3, (n_turns, 2), generator=rng).tolist():
                pieces.append(turn(("user", "assistant", "system")[speaker], some_text(rng, n_words)))
            if float(torch.rand(1, generator=rng)) < 0.5:
                pieces.append(begun(some_text(rng, 2)))
            check_mask(learner, tiny_tokenizer, *pieces, what=f"{len(pieces)} turns")

    def test_arguments_unchanged(self, learner, tiny_tokenizer):
        """leaves the list of token ids as it was"""
        ids, _ = encoded(tiny_tokenizer, turn("user", "Hi"), turn("assistant", "Yes"), begun("No"))
        before = list(ids)
        learner.assistant_mask(ids, tiny_tokenizer)
        assert_close(ids, before, what="token ids after the call")


HOWS = ("mean", "max", "last")


def scored_texts(rng, n, width, dtype=torch.float32):
    """Scores around 0, and a mask with at least one True a text, in no order."""
    scores = torch.randn(n, width, generator=rng).to(dtype)
    mask = torch.rand(n, width, generator=rng) < 0.5
    mask[torch.arange(n), torch.randint(width, (n,), generator=rng)] = True
    return scores, mask


@exercise("aggregate_scores")
class TestAggregateScores:
    def test_by_hand(self, learner):
        """the mean, the maximum and the last of two marked scores, and of three"""
        scores = torch.tensor([[1.0, 3.0, 2.0, 8.0], [5.0, 4.0, 6.0, 3.0]])
        mask = torch.tensor([[True, False, True, False], [False, True, True, True]])
        # Marked are 1 and 2; 4, 6 and 3.
        expected = {"mean": [1.5, 13 / 3], "max": [2.0, 6.0], "last": [2.0, 3.0]}
        for how, values in expected.items():
            received = learner.aggregate_scores(scores, mask, how)
            assert_close(received, torch.tensor(values), what=f"{how!r}")

    def test_negative_scores(self, learner):
        """negative scores too, however far below 0: what is not marked does not count as 0"""
        scores = torch.tensor([[-3.0, -1.0, -2.0, 0.0], [-6e6, -5e6, -7e6, 1.0], [-0.5, -0.25, -4.0, -0.125]])
        mask = torch.tensor([[True, True, True, False]] * 2 + [[True, False, True, False]])
        expected = {"mean": [-2.0, -6e6, -2.25], "max": [-1.0, -5e6, -0.5], "last": [-2.0, -7e6, -4.0]}
        for how, values in expected.items():
            received = learner.aggregate_scores(scores, mask, how)
            assert_close(received, torch.tensor(values), what=f"{how!r}")

    def test_what_is_not_marked(self, learner, rng):
        """NaN, infinities and huge numbers where the mask is False change nothing"""
        scores, mask = scored_texts(rng, 6, 5)
        mask[0], mask[1] = torch.tensor(
            [[True, True, False, False, False], [False, False, False, True, True]]
        )
        clean = {how: learner.aggregate_scores(scores.clone(), mask.clone(), how) for how in HOWS}
        for stray in (float("nan"), float("inf"), -float("inf"), 3e38, -1e9, 0.0):
            for how in HOWS:
                received = learner.aggregate_scores(scores.masked_fill(~mask, stray), mask.clone(), how)
                assert_close(received, clean[how], what=f"{how!r}, elsewhere {stray}")

    def test_padding_on_either_side(self, learner, rng):
        """texts may be padded on the left or on the right, by any number of positions"""
        marked = torch.randn(3, 4, generator=rng)
        expected = {
            "mean": marked.double().mean(dim=1),
            "max": marked.amax(dim=1),
            "last": marked[:, 3],
        }
        for left, right in ((0, 3), (3, 0), (2, 5)):
            scores = torch.cat([torch.full((3, left), 7.0), marked, torch.full((3, right), 9.0)], dim=1)
            mask = torch.zeros(3, left + 4 + right, dtype=torch.bool)
            mask[:, left : left + 4] = True
            for how in HOWS:
                received = learner.aggregate_scores(scores, mask, how)
                assert_close(received, expected[how], what=f"{how!r}, padding {left} left, {right} right")

    def test_one_marked_token(self, learner, rng):
        """of a single marked token all three are the score, at any position, in one text or in several"""
        scores = torch.randn(5, 5, generator=rng)
        for how in HOWS:
            received = learner.aggregate_scores(scores, torch.eye(5) > 0, how)
            assert_close(received, scores.diagonal(), what=f"{how!r}, one token at each position")
            received = learner.aggregate_scores(scores[:1], torch.arange(5).unsqueeze(0) == 2, how)
            assert_close(received, scores[0, 2:3], what=f"{how!r}, one text")
            received = learner.aggregate_scores(scores[:, :1], torch.ones(5, 1) > 0, how)
            assert_close(received, scores[:, 0], what=f"{how!r}, texts of one position")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over texts and their tokens"""
        for n, width in ((1, 6), (7, 4), (4, 7), (5, 5)):
            scores, mask = scored_texts(rng, n, width)
            expected = {how: [] for how in HOWS}
            for row, marks in zip(scores.tolist(), mask.tolist(), strict=True):
                kept = [score for score, marked in zip(row, marks, strict=True) if marked]
                expected["mean"].append(sum(kept) / len(kept))
                expected["max"].append(max(kept))
                expected["last"].append(kept[-1])
            for how in HOWS:
                received = learner.aggregate_scores(scores, mask, how)
                what = f"{how!r}, {n} texts of {width} positions"
                assert_close(received, torch.tensor(expected[how]), rtol=1e-3, atol=1e-5, what=what)

    def test_float64(self, learner):
        """float64 scores keep their digits"""
        scores = torch.tensor([[1e9 + 3, -1e9, 0.0, 7.0], [1e9, 1e9 + 3, 1e9 + 2, 0.0]], dtype=torch.float64)
        mask = torch.tensor([[True, True, True, False]] * 2)
        expected = {"mean": [1.0, 1e9 + 5 / 3], "max": [1e9 + 3, 1e9 + 3], "last": [0.0, 1e9 + 2]}
        for how, values in expected.items():
            received = learner.aggregate_scores(scores, mask, how)
            assert_close(
                received, torch.tensor(values, dtype=torch.float64), rtol=0, atol=0.1, what=f"{how!r}"
            )

    def test_arguments_unchanged(self, learner, rng):
        """leaves scores and mask as they were"""
        for how in HOWS:
            scores, mask = scored_texts(rng, 4, 6)
            before = scores.clone(), mask.clone()
            learner.aggregate_scores(scores, mask, how)
            assert_close((scores, mask), before, what=f"arguments after the call with {how!r}")

    def test_nothing_marked(self, learner, rng):
        """raises ValueError where a text has no marked token, be it one of several or all"""
        for how in HOWS:
            for empty in ([0, 1, 2, 3], [0], [3], [1, 2]):
                scores, mask = scored_texts(rng, 4, 6)
                mask[empty] = False
                with pytest.raises(ValueError):
                    learner.aggregate_scores(scores, mask, how)

    def test_another_word(self, learner, rng):
        """raises ValueError for any other word, such as 'median'"""
        for how in ("median", "min", "first", "sum", ""):
            with pytest.raises(ValueError):
                learner.aggregate_scores(*scored_texts(rng, 4, 6), how)


def shuffled(rng, scores):
    return scores[torch.randperm(len(scores), generator=rng)]


def share_above(scores, threshold):
    return float((scores > threshold).double().mean())


def tied_scores(rng, n):
    """Scores in no order, negative ones too, many of them equal."""
    return torch.randint(-6, 6, (n,), generator=rng) / 4


def least_by_counting(control, fpr):
    """Through the sorted scores from the top, until one more step down would flag too many."""
    descending = sorted(control, reverse=True)
    threshold = descending[0]
    for candidate in descending:
        n_flagged = sum(score > candidate for score in control)
        if n_flagged > fpr * len(control) + 1e-9:
            break
        threshold = candidate
    return threshold


@exercise("threshold_at_fpr")
class TestThresholdAtFpr:
    def test_by_hand(self, learner):
        """of ten scores two may be flagged at fpr 0.2: the threshold is the third from the top"""
        control = torch.tensor([3.0, 7.0, 1.0, 9.0, 5.0, 10.0, 2.0, 8.0, 4.0, 6.0])
        assert_close(learner.threshold_at_fpr(control, 0.2), 8.0, what="fpr 0.2")
        assert_close(learner.threshold_at_fpr(control, 0.5), 5.0, what="fpr 0.5")

    def test_ties(self, learner):
        """scores that tie are flagged together or not at all"""
        for control, fpr, expected in (
            ([1.0, 2.0, 2.0, 2.0], 0.25, 2.0),
            ([1.0, 2.0, 2.0, 2.0], 0.75, 1.0),
            ([2.0, 1.0, 1.0, 3.0], 0.25, 2.0),
            ([3.0, 1.0, 1.0, 0.0], 0.25, 1.0),
            ([3.0, 3.0, 1.0, 0.0], 0.25, 3.0),
            ([5.0, 5.0, 5.0, 5.0], 0.5, 5.0),
        ):
            received = learner.threshold_at_fpr(torch.tensor(control), fpr)
            assert_close(received, expected, what=f"scores {control}, fpr {fpr}")

    def test_exact_share(self, learner, rng):
        """k of n scores may be flagged at fpr k/n: 0.29 · 100 is 28.999… in floating point, and means 29"""
        control = shuffled(rng, torch.arange(100.0))
        # Where some way to write it misses by the last bit: of fpr · n, 1 − fpr, or a share in float32.
        for k in (0, 1, 7, 14, 18, 29, 32, 34, 41, 55, 57, 58, 99):
            received = learner.threshold_at_fpr(control, k / 100)
            assert_close(received, 99.0 - k, what=f"scores 0 to 99, fpr {k / 100}")

    def test_between_shares(self, learner, rng):
        """an fpr between k/n and (k + 1)/n allows k, however close it is to the next"""
        control = shuffled(rng, torch.arange(10.0))
        for fpr, allowed in ((0.05, 0), (0.099, 0), (0.15, 1), (0.27, 2), (0.49999, 4), (0.89, 8), (0.95, 9)):
            received = learner.threshold_at_fpr(control, fpr)
            assert_close(received, 9.0 - allowed, what=f"scores 0 to 9, fpr {fpr}")

    def test_rising_fpr(self, learner, rng):
        """from the highest score at fpr 0 down to the lowest near 1, never up as fpr rises; of one score always that"""
        controls = torch.randn(300, generator=rng), tied_scores(rng, 23), torch.arange(-9.0, -2.0)
        for control in (*controls, torch.tensor([-2.5]), torch.tensor([4.0])):
            received = [
                float(learner.threshold_at_fpr(control, fpr)) for fpr in (0, 0.01, 0.2, 0.4, 0.7, 0.9, 0.999)
            ]
            assert_close(received[0], float(control.max()), what="fpr 0")
            assert_close(received[-1], float(control.min()), what="fpr 0.999")
            assert received == sorted(received, reverse=True), (
                f"expected thresholds that do not rise with fpr, received {received}"
            )

    def test_promise_kept(self, learner, rng):
        """the threshold is one of the scores, digit by digit, and flags at most a share fpr of them"""
        for dtype in (torch.float32, torch.float64):
            close = 1 + torch.randperm(40, generator=rng).to(dtype) * torch.finfo(dtype).eps
            for control in (torch.randn(40, generator=rng, dtype=dtype), close):
                for fpr in (0.0, 0.05, 0.33, 0.8):
                    threshold = float(learner.threshold_at_fpr(control, fpr))
                    assert threshold in control.tolist(), f"expected one of the scores, received {threshold}"
                    flagged = share_above(control, threshold)
                    assert flagged <= fpr, f"expected at most a share {fpr} flagged, it is {flagged:g}"
                    for lower in control[control < threshold].unique().tolist()[-1:]:
                        least = share_above(control, lower)
                        assert least > fpr, f"a lower score flags {least:g}, which fpr {fpr} allows"

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with counting what lies above each score, with and without ties"""
        for n in (1, 2, 7, 30, 64):
            for control in (tied_scores(rng, n), torch.randn(n, generator=rng)):
                for fpr in (0.0, 0.1, 0.25, 0.77):
                    expected = least_by_counting(control.tolist(), fpr)
                    received = learner.threshold_at_fpr(control, fpr)
                    assert_close(received, expected, what=f"{n} scores, fpr {fpr}")

    def test_moved_scores(self, learner, rng):
        """scores moved or stretched take the threshold with them, below zero too"""
        control = tied_scores(rng, 25)
        for fpr in (0.04, 0.3, 0.6):
            before = float(learner.threshold_at_fpr(control, fpr))
            for factor, shift in ((1, -10), (1, 50), (1000, -3)):
                received = learner.threshold_at_fpr(control * factor + shift, fpr)
                assert_close(
                    received, before * factor + shift, what=f"scores · {factor} + {shift}, fpr {fpr}"
                )

    def test_arguments_unchanged(self, learner, rng):
        """leaves the scores in their order"""
        control = torch.randn(20, generator=rng)
        before = control.clone()
        learner.threshold_at_fpr(control, 0.1)
        assert_close(control, before, what="scores after the call")

    def test_no_scores(self, learner):
        """raises ValueError where there are no control scores"""
        for fpr in (0.0, 0.1, 0.9):
            with pytest.raises(ValueError):
                learner.threshold_at_fpr(torch.zeros(0), fpr)

    def test_impossible_fpr(self, learner, rng):
        """raises ValueError for an fpr below 0, of 1 or above"""
        control = torch.randn(20, generator=rng)
        for fpr in (1, 1.0, 1.5, 5, -0.001, -1, -3.0):
            with pytest.raises(ValueError):
                learner.threshold_at_fpr(control, fpr)


def monitored(rng, n=40, n_control=30):
    """Scores of texts, a third of them bad, and of control texts; many tie."""
    labels = torch.rand(n, generator=rng) < 0.3
    labels[:2] = torch.tensor([True, False])
    return tied_scores(rng, n) + labels / 2, labels, tied_scores(rng, n_control)


@exercise("recall_at_fpr")
class TestRecallAtFpr:
    def test_by_hand(self, learner):
        """two of three bad texts lie above the control text that is third from the top"""
        scores = torch.tensor([0.5, 9.0, 3.0, 6.0, 7.0])
        labels = torch.tensor([True, False, False, True, True])
        control = torch.tensor([1.0, 8.0, 2.0, 5.0, 7.5])
        assert_close(learner.recall_at_fpr(scores, labels, control, 0.4), 2 / 3)

    def test_at_the_threshold(self, learner):
        """a bad text with exactly the threshold's score is not flagged"""
        scores, labels = torch.tensor([2.0, 2.0, 3.0, 1.0]), torch.tensor([True, True, True, True])
        assert_close(learner.recall_at_fpr(scores, labels, torch.tensor([0.0, 1.0, 2.0]), 0.0), 0.25)
        assert_close(learner.recall_at_fpr(scores, labels, torch.tensor([3.0, 2.0, 2.0, 1.0]), 0.25), 0.25)
        assert_close(learner.recall_at_fpr(scores, labels, torch.tensor([3.0]), 0.0), 0.0, what="none above")

    def test_false_texts(self, learner, rng):
        """how many texts have the label False, and what they score, does not matter"""
        scores, labels, control = monitored(rng)
        alone = learner.recall_at_fpr(scores[labels], labels[labels], control, 0.2)
        for other in (scores, scores.masked_fill(~labels, 1e6), scores.masked_fill(~labels, -1e6)):
            received = learner.recall_at_fpr(other, labels, control, 0.2)
            assert_close(received, float(alone), what="with other scores of False texts")

    def test_control_texts(self, learner, rng):
        """the control texts alone set the threshold: far below all others every bad text is flagged, above none"""
        scores, labels, control = monitored(rng)
        for shift, expected in ((-100.0, 1.0), (100.0, 0.0)):
            for fpr in (0.0, 0.5):
                received = learner.recall_at_fpr(scores, labels, control + shift, fpr)
                assert_close(received, expected, what=f"control scores moved by {shift:g}, fpr {fpr}")

    def test_exact_share(self, learner, rng):
        """at fpr k/n exactly k of n control texts may be flagged, at a little less one fewer"""
        control = shuffled(rng, torch.arange(200.0))
        scores, labels = torch.arange(200.0) + 0.5, torch.ones(200, dtype=torch.bool)
        for fpr, allowed in ((0.57, 114), (0.29, 58), (0.2899, 57), (0.07, 14), (0.0, 0), (0.0025, 0)):
            received = learner.recall_at_fpr(scores, labels, control, fpr)
            assert_close(received, (allowed + 1) / 200, what=f"fpr {fpr}")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with counting, text by text"""
        for n, n_control in ((40, 300), (25, 60), (8, 3)):
            for fpr in (0.6, 0.2, 0.05, 0.0):
                scores, labels, control = monitored(rng, n, n_control)
                threshold = least_by_counting(control.tolist(), fpr)
                bad = [score for score, label in zip(scores.tolist(), labels.tolist(), strict=True) if label]
                expected = sum(score > threshold for score in bad) / len(bad)
                received = learner.recall_at_fpr(scores, labels, control, fpr)
                assert_close(received, expected, what=f"{n} texts, {n_control} control texts, fpr {fpr}")

    def test_float64(self, learner):
        """in float64 a score that is above the threshold by its last digits counts"""
        scores = torch.tensor([1 + 1e-12, 1.0, 1 - 1e-12, 1 + 2e-12], dtype=torch.float64)
        labels, control = torch.tensor([True, True, True, False]), torch.ones(5, dtype=torch.float64)
        assert_close(learner.recall_at_fpr(scores, labels, control, 0.1), 1 / 3)

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        arguments = monitored(rng)
        before = tuple(argument.clone() for argument in arguments)
        learner.recall_at_fpr(*arguments, 0.1)
        assert_close(arguments, before, what="arguments after the call")

    def test_nothing_to_catch(self, learner, rng):
        """raises ValueError where no text has the label True, also where there is no text"""
        scores, labels, control = monitored(rng)
        for n in (len(scores), 1, 0):
            with pytest.raises(ValueError):
                learner.recall_at_fpr(scores[:n], labels[:n] & False, control, 0.1)

    def test_unequal_lengths(self, learner, rng):
        """raises ValueError where there are more scores than labels, or fewer, and also for a single one"""
        scores, labels, control = monitored(rng)
        for n_scores, n_labels in ((40, 39), (39, 40), (40, 1), (1, 40)):
            with pytest.raises(ValueError):
                learner.recall_at_fpr(scores[:n_scores], labels[:n_labels], control, 0.1)

    def test_no_threshold(self, learner, rng):
        """raises ValueError where threshold_at_fpr does: no control scores, an fpr outside 0 ≤ fpr < 1"""
        scores, labels, control = monitored(rng)
        for given, fpr in ((control[:0], 0.1), (control, 1.0), (control, -0.1), (control, 5)):
            with pytest.raises(ValueError):
                learner.recall_at_fpr(scores, labels, given, fpr)


class Judge:
    """A costly judge that says of each text what `verdicts` holds, and remembers what it was asked, until `close`."""

    def __init__(self, verdicts):
        self.verdicts = list(verdicts)
        self.asked, self.open = [], True

    def __call__(self, index):
        if self.open:
            self.asked.append(index)
        return self.verdicts[int(index)]

    def close(self):
        self.open = False

    def numbers(self):
        return [index.item() if hasattr(index, "item") else index for index in self.asked]


def judged(learner, scores, verdicts, low, high):
    judge = Judge(verdicts)
    answer = learner.monitor_cascade(scores, judge, low, high)
    judge.close()
    return judge, answer


def random_band(rng, n):
    """Scores that are multiples of ¼, verdicts by chance, and a band with texts below, in and above it."""
    scores = torch.randint(-8, 9, (n,), generator=rng) / 4
    verdicts = (torch.rand(n, generator=rng) < 0.5).tolist()
    scores[torch.randperm(n, generator=rng)[:5]] = torch.tensor([-1.75, -0.5, 0.25, 0.75, 2.0])
    return scores, verdicts, -0.5, 0.75


@exercise("monitor_cascade")
class TestMonitorCascade:
    def test_by_hand(self, learner):
        """the judge decides two texts of four, the probe the other two"""
        scores = torch.tensor([0.875, 0.5, 0.125, 0.375])
        _, received = judged(learner, scores, [False, True, True, False], 0.25, 0.75)
        assert_close(received, (torch.tensor([True, True, False, False]), 2))

    def test_ends_of_the_band(self, learner):
        """a score equal to `low` or to `high` goes to the judge, one just outside does not; the two may be one"""
        scores = torch.tensor([0.25, 0.75, 0.2499, 0.7501, 0.2501, 0.7499])
        for verdicts in ([True, False, True, False, True, False], [False, True, True, False, False, True]):
            _, received = judged(learner, scores, verdicts, 0.25, 0.75)
            expected = [verdicts[0], verdicts[1], False, True, verdicts[4], verdicts[5]]
            assert_close(received, (torch.tensor(expected), 4), what="from 0.25 to 0.75")
        scores = torch.tensor([0.5, 0.25, 0.75, 0.5, -0.5])
        _, received = judged(learner, scores, [True, True, False, False, True], 0.5, 0.5)
        assert_close(received, (torch.tensor([True, False, True, False, False]), 2), what="from 0.5 to 0.5")

    def test_calls(self, learner, rng):
        """the judge is asked about the texts of the band only, once about each, in their order"""
        for n in (6, 25):
            scores, verdicts, low, high = random_band(rng, n)
            judge, _ = judged(learner, scores, verdicts, low, high)
            expected = [i for i, score in enumerate(scores.tolist()) if low <= score <= high]
            asked = judge.numbers()
            assert asked == expected, f"expected questions about {expected}, received {asked}"

    def test_index(self, learner):
        """the judge gets the index as an int, not as a tensor: it may look it up in a dict"""
        judge, _ = judged(learner, torch.tensor([0.0, 0.5, 1.0, 0.5]), [True] * 4, 0.25, 0.75)
        for index in judge.asked:
            assert isinstance(index, (int, np.integer)), f"expected an int, received a {type(index).__name__}"

    def test_judge_decides(self, learner):
        """in the band the verdict alone counts, whatever the probe says, and the count is of calls"""
        scores = torch.tensor([-0.25, -0.125, 0.125, 0.25, -9.0, 9.0])
        for verdict in (True, False):
            _, received = judged(learner, scores, [verdict] * 6, -0.5, 0.5)
            expected = torch.tensor([verdict] * 4 + [False, True])
            assert_close(received, (expected, 4), what=f"a judge who always says {verdict}")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over texts"""
        for n in (5, 12, 40):
            scores, verdicts, low, high = random_band(rng, n)
            for dtype, shift in ((torch.float32, 0), (torch.float64, 0), (torch.float32, -16)):
                decisions, n_calls = [], 0
                moved = (scores + shift).to(dtype)
                for score, verdict in zip(moved.tolist(), verdicts, strict=True):
                    uncertain = low + shift <= score <= high + shift
                    n_calls += uncertain
                    decisions.append(verdict if uncertain else score > high + shift)
                _, received = judged(learner, moved, verdicts, low + shift, high + shift)
                assert_close(received, (torch.tensor(decisions), n_calls), what=f"{n} texts, {dtype}")

    def test_infinities(self, learner):
        """infinite scores are clear cases, and an infinite bound is a bound: between −inf and inf all are judged"""
        inf = float("inf")
        scores, verdicts = torch.tensor([inf, -inf, 0.0, 3.0]), [False, True, True, False]
        for (low, high), expected in {
            (-1.0, 1.0): ([True, False, True, True], 1),
            (-inf, inf): ([False, True, True, False], 4),
            (-inf, 1.0): ([True, True, True, True], 2),
            (2.0, inf): ([False, False, False, False], 2),
        }.items():
            _, received = judged(learner, scores, verdicts, low, high)
            assert_close(received, (torch.tensor(expected[0]), expected[1]), what=f"from {low} to {high}")

    def test_nan(self, learner):
        """a score that is NaN goes to the judge, in whatever band"""
        scores = torch.tensor([float("nan"), 5.0, float("nan"), -5.0, 0.0])
        for low, high, n_calls in ((-1.0, 1.0, 3), (0.5, 0.5, 2)):
            for verdict in (True, False):
                judge, received = judged(learner, scores, [verdict] * 5, low, high)
                expected = torch.tensor([verdict, True, verdict, False, verdict if n_calls == 3 else False])
                assert_close(received, (expected, n_calls), what=f"from {low} to {high}")
                assert judge.numbers()[:2] == [0, 2], (
                    f"expected questions about 0 and 2, received {judge.numbers()}"
                )

    def test_nobody_asks(self, learner):
        """without a text in the band nobody is asked, and the probe decides all"""
        for scores, flagged in {(5.0, 9.0, 2.0): True, (-5.0, -9.0, -2.0): False}.items():
            judge, received = judged(learner, torch.tensor(scores), [not flagged] * 3, -1.0, 1.0)
            assert_close(received, (torch.full((3,), flagged), 0), what=f"scores {scores}")
            assert not judge.asked, f"expected no question, received {judge.numbers()}"

    def test_float64(self, learner):
        """in float64 a score that misses the band by its last digits is outside"""
        scores = torch.tensor([0.3 - 1e-12, 0.3, 0.6, 0.6 + 1e-12], dtype=torch.float64)
        _, received = judged(learner, scores, [True, True, False, False], 0.3, 0.6)
        assert_close(received, (torch.tensor([False, True, False, True]), 2))

    def test_arguments_unchanged(self, learner, rng):
        """leaves the scores as they were"""
        scores, verdicts, low, high = random_band(rng, 20)
        before = scores.clone()
        judged(learner, scores, verdicts, low, high)
        assert_close(scores, before, what="scores after the call")

    def test_low_above_high(self, learner, rng):
        """raises ValueError where `low` is above `high`, and asks nobody"""
        scores, verdicts, *_ = random_band(rng, 8)
        for low, high in (
            (0.5, 0.25),
            (-1.0, -1.5),
            (1e-6, 0.0),
            (50.0, 40.0),
            (float("inf"), -float("inf")),
        ):
            judge = Judge(verdicts)
            with pytest.raises(ValueError):
                learner.monitor_cascade(scores, judge, low, high)
            assert not judge.asked, f"expected no question, received {judge.numbers()}"
