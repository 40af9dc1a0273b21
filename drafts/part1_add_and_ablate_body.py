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
from torch import Tensor
from tqdm.auto import tqdm

from utils.activations import all_token_activations, last_token_activations
from utils.course import open_lesson, sample_size
from utils.datasets import load_review_pairs
from utils.likelihood import next_token_log_probs
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
# Reviews of forty things, each once by somebody who likes it and once by somebody who does not. In the pairs "said"
# opinion words are all that differs. In the pairs "implied" no such word occurs; the opinion shows in what happened. The
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

# @@contrastive_direction
# %% [markdown]
# One direction a layer, from the last token of each review. Does it *detect*? **Expect** it to tell new things apart
# where the words are said, from early layers on: the words are in the text. Where the opinion is implied, words give .54
# at best, and the model must have understood.

# %%
def both_sides(pairs) -> tuple[Float[Tensor, "pair layer d_model"], Float[Tensor, "pair layer d_model"]]:
    """The stream at the last token of the positive and of the negative texts."""
    sides = [[each.positive for each in pairs], [each.negative for each in pairs]]
    positive, negative = (last_token_activations(model, tokenize(model, texts), LAYERS) for texts in sides)
    return positive, negative


fit_positive, fit_negative = both_sides(fitting)
directions = {
    layer: contrastive_direction(fit_positive[:, at], fit_negative[:, at]) for at, layer in enumerate(LAYERS)
}
detected = {}
for kind, pairs in tests.items():
    acts, labels = torch.cat(both_sides(pairs)), np.repeat([True, False], len(pairs))
    things = np.tile([each.group for each in pairs], 2)
    detected[kind] = [
        bootstrap_interval(auroc, acts[:, at] @ directions[layer], labels, groups=things)
        for at, layer in enumerate(LAYERS)
    ]

# %%
layer_sweep(
    {kind: [each.estimate for each in found] for kind, found in detected.items()},
    bands={kind: ([e.low for e in found], [e.high for e in found]) for kind, found in detected.items()},
    floors={"chance": 0.5}, layers=LAYERS, title="The contrastive direction as a detector of praise",
)

# @@scale_to_norm
# %% [markdown]
# How long is "long"? **Expect** the stream to grow with depth, its *mean* norm to be far above the median (the first
# token of every text is a giant), and the contrastive direction to be a small part of both.

# %%
middle_tokens = [each.positive for each in tests["said"]]
stream = all_token_activations(model, tokenize(model, middle_tokens), LAYERS)
norms = torch.cat([stream[row] for row in range(len(middle_tokens))]).norm(dim=-1)
layer_sweep(
    {
        "stream, mean": norms.mean(dim=0), "stream, median": norms.median(dim=0).values,
        "contrastive direction": [directions[layer].norm() for layer in LAYERS],
    },
    layers=LAYERS, ylabel="norm", title="How long is the stream, and how long the direction?",
)

# @@generate_steered
# %% [markdown]
# Now push. At each coefficient the same length is added at every token: a fraction of the stream's median norm.
# **Expect** the tone to turn with the sign, and the language to fall apart when the push is about as long as the stream
# itself.

# %%
PUSHED = LAYERS[len(LAYERS) // 2]
median_stream = torch.cat([stream[row][:, LAYERS.index(PUSHED)] for row in range(len(middle_tokens))])
unit = scale_to_norm(directions[PUSHED], median_stream, 1.0)
FRACTIONS = [-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0][:: sample_size(1, 3)]
PROMPTS = [f"Yesterday we went to the {place}, and" for place in ("cinema", "restaurant", "beach", "office", "dentist")]
tokens = [tokenize(model, [prompt])[0] for prompt in PROMPTS]
texts: dict[str, list[str]] = {}
for fraction in tqdm(FRACTIONS, desc="fractions", leave=False):
    texts[f"{fraction:+g}"] = [
        model.tokenizer.decode(
            generate_steered(model, torch.tensor([ids]), PUSHED, unit, fraction, sample_size(24, 4))[0, len(ids) :]
        )
        for ids in tokens
    ]
continuations(texts, prompts=PROMPTS, title=f"Pushed along praise after block {PUSHED}", start=len(FRACTIONS) // 2)

# @@ablate_direction
# %% [markdown]
# ## Take it out
#
# Adding asks whether a direction is *sufficient*. Taking it out everywhere asks whether it is *needed*. The task: after
# a review comes "Overall, it was", and we compare words of praise with words of blame as the next one. Each block's
# output loses its component along that block's direction of praise, at every token.
#
# **Expect** the difference between praise and blame to shrink, if what the model says goes through this direction; and
# random directions to change nothing, since one dimension of hundreds is little.

# %%
GOOD = ["good", "great", "excellent", "wonderful", "amazing", "fantastic", "perfect", "lovely", "pleasant", "delightful"]
BAD = ["bad", "terrible", "awful", "horrible", "poor", "disappointing", "boring", "dreadful", "unpleasant", "worse"]
GOOD_IDS, BAD_IDS = ([model.tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0] for word in words] for words in (GOOD, BAD))


@torch.no_grad()
def praise(texts: list[str]) -> Float[Tensor, "text"]:
    """log p(a word of praise) − log p(a word of blame) after "Overall, it was", in nats."""
    token_lists = tokenize(model, [f"{text} Overall, it was" for text in texts])
    log_p = next_token_log_probs(model, token_lists, [GOOD_IDS + BAD_IDS] * len(texts))
    return log_p[:, : len(GOOD_IDS)].logsumexp(dim=1) - log_p[:, len(GOOD_IDS) :].logsumexp(dim=1)


judged = {kind: pairs[: sample_size(24, 4)] for kind, pairs in tests.items()}


def gaps() -> dict[str, Float[Tensor, "pair"]]:
    """How much more praise follows the positive text of a pair than the negative one, in nats."""
    return {
        kind: praise([each.positive for each in pairs]) - praise([each.negative for each in pairs])
        for kind, pairs in judged.items()
    }


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
        floors["mean of the random ones"].append(np.mean([each[kind].mean().item() for each in found["random"]]))
    spread = [each[kind].mean().item() for each in found["random"]]
    print(f"{kind}: {len(spread)} random directions ablated, {min(spread):.2f} … {max(spread):.2f} nats")
bars_with_floor(scores, intervals=intervals, floors=floors, xlabel="praise after the positive − after the negative, nats",
                title="One direction taken out of every block's output")
