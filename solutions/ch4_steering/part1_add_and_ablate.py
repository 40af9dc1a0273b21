# %% [markdown]
# # Add and ablate
#
# **A probe's direction is a vector. What does a model do when we add this vector to its stream, or take out of the
# stream whatever lies along it?**
#
# After this lesson you can
#
# * make a steering vector out of pairs of texts;
# * take a direction out of the stream, and say what is left;
# * give directions of different origin one length, in units of the stream that they are added to;
# * let a model generate while it is steered, and leave it behind as it was.
#
# Time: 60 minutes with the exercises. The machine needs about two minutes on two CPU cores, and 2 GB of memory.

# %%
import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor
from tqdm.auto import tqdm

from utils.activations import all_token_activations, last_token_activations
from utils.course import open_lesson, sample_size
from utils.datasets import BLAME, PRAISE, load_review_pairs
from utils.likelihood import next_token_log_probs, word_tokens
from utils.metrics import auroc, bootstrap_interval, mean_interval
from utils.models import load_language_model, tokenize
from utils.plots import bars_with_floor, continuations, layer_sweep
from utils.splits import group_split
from utils.steering import ablating

check, use_reference = open_lesson("ch4_steering/part1_add_and_ablate")
model = load_language_model()
LAYERS = list(range(1, model.cfg.n_layers, max(1, model.cfg.n_layers // 7)))

# %% [markdown]
# ## Pairs that differ in one thing
#
# Pairs of reviews of forty things, one by somebody who likes the thing and one by somebody who does not. In the pairs
# "said" opinion words are all that differs. In the pairs "implied" no such word occurs; the opinion shows in what happened. The
# direction comes from the one kind only, and from half of the things.

# %%
said, implied = (load_review_pairs(kind) for kind in ("said", "implied"))
fit, held = group_split([each.group for each in said], (0.5, 0.5), seed=0)
held_things = {said[i].group for i in held}
fitting = [said[i] for i in fit][:: sample_size(1, 4)]
tests = {
    "said": [said[i] for i in held][:: sample_size(1, 8)],
    "implied": [each for each in implied if each.group in held_things][:: sample_size(1, 4)],
}
for each in (fitting[0], tests["implied"][0]):
    print(f"+ {each.positive}\n− {each.negative}\n")

# %% [markdown]
# ## Exercise · `contrastive_direction`
#
# difficulty ●○○○○ · importance ●●●●● · 8 minutes
#
# Take pairs of texts that differ in one thing: one shows a behaviour, the other does not. What both texts of a pair
# share, such as their subject, drops out of the difference of their activations. Average the differences over pairs:
#
# $$ v = \frac{1}{n} \sum_i \left( x_i^{+} - x_i^{-} \right). $$
#
# The length of $v$ is kept: added to the negative texts' activations, $v$ moves their mean onto that of the positive
# ones. Halves of different shape, or no pair at all: `ValueError`.
#
# <details><summary>Hint</summary>
#
# Subtract first, then take the mean over `dim=0`. The shapes must be compared: torch would stretch a half with a
# single row over all rows of the other.
#
# </details>


# %%
def contrastive_direction(
    acts_positive: Float[Tensor, "pair d_model"], acts_negative: Float[Tensor, "pair d_model"]
) -> Float[Tensor, "d_model"]:
    """The mean over pairs of acts_positive − acts_negative, in residual-stream units: its norm is kept.

    acts_positive, acts_negative: row i of both belongs to the same pair.
    Raises ValueError for different shapes and for no pairs.
    Source: Rimsky et al. 2023, arXiv:2312.06681 (contrastive activation addition).
    """
    ### BEGIN SOLUTION
    if acts_positive.shape != acts_negative.shape:
        raise ValueError(
            f"halves of different shape: {tuple(acts_positive.shape)}, {tuple(acts_negative.shape)}"
        )
    if len(acts_positive) == 0:
        raise ValueError("no pairs: there is no difference to average")
    return (acts_positive - acts_negative).mean(dim=0)
    ### END SOLUTION


check(contrastive_direction)

# %% [markdown]
# One direction a layer, from the last token of each review. Does it *detect*? **Expect** it to tell new things apart
# where the words are said, from early layers on: the words are in the text. Where the opinion is implied, the model must
# have understood. The floors are what the words alone give, fitted on the same reviews.


# %%
def both(pairs) -> list[str]:
    """All positive texts, then all negative ones."""
    return [each.positive for each in pairs] + [each.negative for each in pairs]


def both_sides(pairs) -> tuple[Float[Tensor, "pair layer d_model"], ...]:
    """The stream at the last token of the positive and of the negative texts."""
    return last_token_activations(model, tokenize(model, both(pairs)), LAYERS).chunk(2)


fit_positive, fit_negative = both_sides(fitting)
directions = {
    layer: contrastive_direction(fit_positive[:, at], fit_negative[:, at]) for at, layer in enumerate(LAYERS)
}

# %%
words = make_pipeline(CountVectorizer(binary=True), LogisticRegression(max_iter=1000))
words.fit(both(fitting), np.repeat([True, False], len(fitting)))
detected, floors = {}, {"chance": 0.5}
for kind, pairs in tests.items():
    acts, labels = torch.cat(both_sides(pairs)), np.repeat([True, False], len(pairs))
    things = np.tile([each.group for each in pairs], 2)
    detected[kind] = [
        bootstrap_interval(auroc, acts[:, at] @ directions[layer], labels, groups=things)
        for at, layer in enumerate(LAYERS)
    ]
    floors[f"words, {kind}"] = auroc(words.decision_function(both(pairs)), labels)

# %%
layer_sweep(
    {kind: [each.estimate for each in found] for kind, found in detected.items()},
    bands={kind: ([e.low for e in found], [e.high for e in found]) for kind, found in detected.items()},
    floors=floors,
    layers=LAYERS,
    title="The contrastive direction as a detector of praise",
)

# %% [markdown]
# Where it is said the direction tells new things apart nearly without error from layer 13 to 25 (.998 [.995, 1.00] at
# layer 17; words alone give .60). Where it is only implied it does little: .62 [.55, .69] at layer 17, beside .55 for words
# fitted on the same texts. Mostly the direction is one of words that say it.

# %% [markdown]
# ## Exercise · `scale_to_norm`
#
# difficulty ●●○○○ · importance ●●●●○ · 10 minutes
#
# "Coefficient 4" means nothing by itself. The stream's norm differs from layer to layer, and a logistic probe's
# coefficients have another length than a difference of means. So say how long the push is *in units of the stream*:
# scale `direction` to `fraction` times the typical norm of the vectors in `resid`, all of which come from the layer
# where it will be added. Typical means the *median*: the stream at a text's first token can be many times as long as
# at all others, and would pull a mean up. For an even number of vectors it is the mean of the middle two.
#
# `resid` may have any number of dimensions before the last; all its vectors count alike. A negative `fraction` turns
# the direction round, 0 gives zeros. A direction of zeros, or no vectors: `ValueError`.
#
# <details><summary>Hint</summary>
#
# `torch.median` takes the *lower* of the middle two. `.quantile(0.5)` takes their mean, over all dimensions at once.
#
# </details>


# %%
def scale_to_norm(
    direction: Float[Tensor, "d_model"], resid: Float[Tensor, "... d_model"], fraction: float
) -> Float[Tensor, "d_model"]:
    """direction, scaled to fraction × the median norm of the vectors in resid (an even number: mean of the middle two).

    fraction: of the stream's norm, without a unit; a negative one gives the opposite direction.
    Raises ValueError for a direction of zeros and for a resid without vectors.
    """
    ### BEGIN SOLUTION
    length = direction.norm()
    if length == 0:
        raise ValueError("direction is zero: it cannot be given a length")
    if resid.numel() == 0:
        raise ValueError("resid holds no vectors: there is no typical norm")
    typical_norm = resid.norm(dim=-1).quantile(0.5)
    return fraction * typical_norm * direction / length
    ### END SOLUTION


check(scale_to_norm)

# %% [markdown]
# How long is "long"? **Expect** the stream to grow with depth, its *mean* norm to be far above the median (the first
# token of every text is a giant), and the contrastive direction to be a small part of both.

# %%
middle_tokens = [each.positive for each in tests["said"]]
stream = all_token_activations(model, tokenize(model, middle_tokens), LAYERS)
norms = torch.cat([stream[row] for row in range(len(middle_tokens))]).norm(dim=-1)
layer_sweep(
    {
        "stream, mean": norms.mean(dim=0),
        "stream, median": norms.median(dim=0).values,
        "contrastive direction": [directions[layer].norm() for layer in LAYERS],
    },
    layers=LAYERS,
    ylabel="norm",
    title="How long is the stream, and how long the direction?",
)

# %% [markdown]
# From layer 13 to 25 the mean is four to eleven times the median: one giant token a text, the first (look at
# `stream[0].norm(dim=-1)`). The median grows from 72 to 775, so that a fixed coefficient would be a blow at layer 1 and
# a breath at layer 29. And the direction that separates the classes almost perfectly is an eighth of the stream at
# layer 17, and nowhere more than a sixth.

# %% [markdown]
# ## Exercise · `generate_steered`
#
# difficulty ●●●○○ · importance ●●●●● · 20 minutes
#
# Let the model go on with each prompt, always with the most probable token (*greedy*), while `coefficient *
# direction`, as long as it is, is added to the stream after block `layer` at *every* position: of the prompt, and of
# each new token. Return prompt and continuation together.
#
# `model.generate` does the work. It keeps the keys and values of what it has read, so that your hook sees the whole
# prompt in the first pass, and one new token in each later one. `max_new_tokens` are generated, unless all texts end
# before: a text ends with the tokenizer's end-of-sequence token (`model.tokenizer.eos_token_id`), and is filled up
# with it while others of the batch go on. Such a token *inside a prompt* ends nothing. This is what `model.generate`
# does unless told otherwise.
#
# Whatever happens, also where something in between raises an exception: afterwards your hook must be gone, and hooks
# that somebody else has put on the model must still be there. A layer that the model does not have, or fewer than one
# new token: `ValueError`.
#
# <details><summary>Hint 1</summary>
#
# `with model.hooks(fwd_hooks=[(name, hook)]):` puts the hook on, and takes off this one and no other at the end of
# the block, however it ends. (`model.reset_hooks()` would take off everybody's.)
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `model.generate` draws at random unless it is told `do_sample=False`. `verbose=False` hides its progress bar.
#
# </details>


# %%
def generate_steered(
    model,
    tokens: Int[Tensor, "batch pos"],
    layer: int,
    direction: Float[Tensor, "d_model"],
    coefficient: float,
    max_new_tokens: int,
) -> Int[Tensor, "batch pos_and_new"]:
    """Each prompt and its greedy continuation, with coefficient · direction added after block `layer` everywhere.

    model: a TransformerBridge; its hooks are afterwards what they were, also after an exception.
    tokens: prompts of equal length, without padding. layer: 0 the first block.
    The result is shorter than pos + max_new_tokens where all texts have ended; one that ends earlier than another is
    filled up with the end-of-sequence token.
    Raises ValueError for a layer outside 0 … n_layers − 1 and for max_new_tokens below 1.
    Source: Rimsky et al. 2023, arXiv:2312.06681 (there only at positions after the prompt).
    """
    ### BEGIN SOLUTION
    if not 0 <= layer < model.cfg.n_layers:
        raise ValueError(f"layer must lie in 0 … {model.cfg.n_layers - 1}, not {layer}")
    if max_new_tokens < 1:
        raise ValueError(f"{max_new_tokens} new tokens: at least one is needed")

    def add(resid, hook):
        return resid + coefficient * direction

    with model.hooks(fwd_hooks=[(f"blocks.{layer}.hook_out", add)]):
        return model.generate(tokens, max_new_tokens=max_new_tokens, do_sample=False, verbose=False)
    ### END SOLUTION


check(generate_steered)

# %% [markdown]
# Now push. At each coefficient the same length is added at every token: a fraction of the stream's median norm.
# **Expect** the tone to turn with the sign, and the language to fall apart when the push comes near the length of the
# stream itself.

# %%
PUSHED = LAYERS[len(LAYERS) // 2]
median_stream = torch.cat([stream[row][:, LAYERS.index(PUSHED)] for row in range(len(middle_tokens))])
unit = scale_to_norm(directions[PUSHED], median_stream, 1.0)
FRACTIONS = [-0.5, -0.25, 0.0, 0.25, 0.5][:: sample_size(1, 2)]
PROMPTS = [
    f"Yesterday we went to the {place}, and"
    for place in ("cinema", "restaurant", "office", "museum", "hospital")
]
tokens = torch.tensor(tokenize(model, PROMPTS))
texts: dict[str, list[str]] = {}
for fraction in tqdm(FRACTIONS, desc="fractions", leave=False):
    whole = generate_steered(model, tokens, PUSHED, unit, fraction, sample_size(16, 4))
    texts[f"{fraction:g}"] = model.tokenizer.batch_decode(whole[:, tokens.shape[1] :])
continuations(
    texts, prompts=PROMPTS, title=f"Pushed along praise after block {PUSHED}", start=len(FRACTIONS) // 2
)

# %% [markdown]
# At +.25 the tone has turned in three of five: a *fantastic* time in the cinema, a *great* one in the office, and for the
# restaurant praise and blame in one breath ("a fantastic choice of everything. The food was really bad"). At −.25 the
# restaurant disappoints, the rest repeats itself. At ±.5 there is hardly a language left, and at +.5 what is left is
# about customers and their service: the pairs are *reviews*, and the direction carries what positive ones are about.

# %% [markdown]
# ## Exercise · `ablate_direction`
#
# difficulty ●●○○○ · importance ●●●●● · 10 minutes
#
# To add a direction says that it *can* do something. To take it out says whether the model needs it. With $u$ the
# unit vector along `direction`, every vector of the stream loses its component along $u$ and keeps the rest:
#
# $$ x' = x - (x \cdot u)\, u. $$
#
# Afterwards nothing of the stream lies along the direction, and a second ablation changes nothing. `direction` may
# have any length, `resid` any number of dimensions before the last. A direction of zeros: `ValueError`. Return a new
# tensor.
#
# <details><summary>Hint</summary>
#
# `resid @ unit` has the shape of `resid` without its last dimension. `.unsqueeze(-1)` gives it one that `unit` can
# be multiplied with.
#
# </details>


# %%
def ablate_direction(
    resid: Float[Tensor, "... d_model"], direction: Float[Tensor, "d_model"]
) -> Float[Tensor, "... d_model"]:
    """resid without its component along direction, which may have any length but zero; a new tensor.

    Raises ValueError for a direction of zeros.
    Source: Arditi et al. 2024, arXiv:2406.11717 (directional ablation; there at every layer and position).
    """
    ### BEGIN SOLUTION
    length = direction.norm()
    if length == 0:
        raise ValueError("direction is zero: nothing lies along it")
    unit = direction / length
    return resid - (resid @ unit).unsqueeze(-1) * unit
    ### END SOLUTION


check(ablate_direction)

# %% [markdown]
# ## Take it out
#
# Adding asks whether a direction is *sufficient*. Taking it out everywhere asks whether it is *needed*. The task: after
# a review comes "Overall, it was", and we compare words of praise with words of blame as the next one. Every block's
# output loses its component along the direction with which we pushed, at every token.
#
# **Expect** the difference between praise and blame to shrink, if what the model says goes through this direction; and
# random directions to change nothing, since one dimension of hundreds is little.

# %%
PRAISED, BLAMED = (word_tokens(model.tokenizer, words) for words in (PRAISE, BLAME))


@torch.no_grad()
def praise(texts: list[str]) -> Float[Tensor, "text"]:
    """log p(a word of praise) − log p(a word of blame) after "Overall, it was", in nats."""
    token_lists = tokenize(model, [f"{text} Overall, it was" for text in texts])
    log_p = next_token_log_probs(model, token_lists, [PRAISED + BLAMED] * len(texts))
    return log_p[:, : len(PRAISED)].logsumexp(dim=1) - log_p[:, len(PRAISED) :].logsumexp(dim=1)


judged = {kind: pairs[:: len(pairs) // sample_size(12, 4)] for kind, pairs in tests.items()}


def gaps() -> dict[str, Float[Tensor, "pair"]]:
    """How much more praise follows the positive text of a pair than the negative one, in nats."""
    sides = {kind: praise(both(pairs)).chunk(2) for kind, pairs in judged.items()}
    return {kind: positive - negative for kind, (positive, negative) in sides.items()}


# %%
drawn = torch.randn(sample_size(8, 2), model.cfg.d_model, generator=torch.Generator().manual_seed(0))
conditions = {"as it is": [], "praise ablated": [directions[PUSHED]], "random": list(drawn)}
found: dict[str, list[dict[str, Float[Tensor, "pair"]]]] = {"as it is": [gaps()]}
for name, vectors in list(conditions.items())[1:]:
    found[name] = []
    for vector in tqdm(vectors, desc=name, leave=False):
        with ablating(model, range(model.cfg.n_layers), vector):
            found[name].append(gaps())

# %%
scores, intervals, floors = {}, {}, {"mean of the random ones": []}
for kind, pairs in judged.items():
    for name in ("as it is", "praise ablated"):
        interval = mean_interval(found[name][0][kind], groups=[each.group for each in pairs])
        scores[f"{kind}, {name}"] = interval.estimate
        intervals[f"{kind}, {name}"] = (interval.low, interval.high)
        floors["mean of the random ones"].append(
            np.mean([each[kind].mean().item() for each in found["random"]])
        )
    spread = [each[kind].mean().item() for each in found["random"]]
    print(f"{kind}: {len(spread)} random directions ablated, {min(spread):.2f} … {max(spread):.2f} nats")
bars_with_floor(
    scores,
    intervals=intervals,
    floors=floors,
    xlabel="praise after the positive − after the negative, nats",
    title="One direction taken out of every block's output",
)

# %% [markdown]
# Where the opinion is said, praise follows praise by 2.5 nats [2.1, 3.0]. Without the one direction .4 are left, although
# 575 others are still there; without a random one 2.4 to 3.5. So the model's verdict goes through this direction. Where
# the opinion is implied there is little to take out (.7 [.2, 1.3]): the model hardly has a verdict there.
#
# ## What was shown, and what was not
#
# | | here (SmolLM2-135M) | floor |
# |---|---|---|
# | praise, "said", layer 17, AUROC on new things | .998 [.995, 1.00] | words .60 |
# | … on "implied" | .62 [.55, .69] | words from "said" .55 |
# | verdict after praise − after blame, "said", nats | 2.5 [2.1, 3.0] | |
# | … the direction ablated after every block | .4 [.2, .6] | 8 random: 2.4 … 3.5 |
#
# * The mean difference of pairs detects, steers and is needed, for an opinion that words say.
# * A length is given in units of the stream, at its layer, by the median.
# * A push of half the stream's length at *every* token is a large one. What it costs is the next lesson's question.
#
# Rimsky et al. (2023) steer Llama 2 Chat in this way, Arditi et al. (2024) take refusal out of thirteen chat models with
# one direction.
