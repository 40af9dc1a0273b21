# %% [markdown]
# # Does the model use it?
#
# **A probe reads truth at some layer. If we move the stream along the probe's direction, does the model change its
# verdict? And along any other direction?**
#
# After this lesson you can
#
# * add a direction to the stream at chosen positions, also while a model generates;
# * read a verdict off logits, and say how far of the way an intervention has moved it;
# * compare directions at equal norm with a band of random ones, in both senses;
# * say why the direction that *predicts* best need not be the one that is *used*.
#
# Time: 65 minutes with the exercises. The machine needs about four minutes on two CPU cores, and 2 GB of memory.

# %%
from collections.abc import Callable

import torch
from IPython.display import Markdown, display
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from utils.activations import last_token_activations
from utils.course import open_lesson, sample_size
from utils.metrics import auroc, bootstrap_interval, mean_interval
from utils.models import load_language_model, tokenize
from utils.organisms import judgement, load_organism, organism_card
from utils.organisms.examples import split_statements
from utils.plots import bars_with_floor, layer_sweep
from utils.probes import LogisticProbe, MassMeanProbe

check, use_reference = open_lesson("ch3_truth_and_deception/part3_does_the_model_use_it")

# %% [markdown]
# ## A model that gives a verdict
#
# To see whether truth is *used* we need something that it is used for. The embedded model offers nothing: asked
# whether a statement is true, in seven different ways, it answers at chance, although a probe reads the truth at
# .98. So this lesson works with a *model organism*: the same model with an adapter that was trained to answer "True"
# or "False". The adapter changes the blocks from 16 on and nothing before. Whatever it reports, it has to get from
# what the embedded model had worked out by itself up to there.

# %%
judge, embedded = load_organism("judge"), load_language_model("smollm2-135m")
display(Markdown(organism_card("judge").replace("# Model", "### Model", 1)))

# %% [markdown]
# Statements about cities that the judge's training has not seen, one true and one false about each of a number of
# facts. Some facts are for choosing where to act, others for the report. The *directions* come from other statements
# again, those that the judge was trained on.

# %%
N_FACTS = sample_size(24, 6)
seen, unseen = split_statements("cities")


def by_label(table) -> dict[bool, list[str]]:
    return {label: table["statement"][table["label"] == label].tolist() for label in (True, False)}


held_out = by_label(unseen.sample(frac=1, random_state=0))
choosing = {label: each[:N_FACTS] for label, each in held_out.items()}
reporting = {label: each[N_FACTS : 2 * N_FACTS] for label, each in held_out.items()}
fitting = by_label(seen.sample(sample_size(240, 60), random_state=0))
print(judge.tokenizer.decode(tokenize(judge, [judgement(reporting[False][0])], chat=True)[0]))

# %% [markdown]
# The model reads from left to right, and we shall act at the end of the statement: on its full stop and what follows
# it. What stands before cannot change. So it is computed once, and its keys and values are kept; each intervention
# then costs six tokens instead of forty.


# %%
END = judge.tokenizer(".<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
Prompt = tuple[Any, Int[Tensor, "1 end"]]  # keys and values of what stands before the end, and the end's tokens


@torch.no_grad()
def prepared(model, statements: list[str]) -> list[Prompt]:
    found = []
    for ids in tokenize(model, [judgement(each) for each in statements], chat=True):
        assert ids[-len(END) :] == END
        past = model.original_model(torch.tensor([ids[: -len(END)]]), use_cache=True).past_key_values
        found.append((past, torch.tensor([END])))
    return found


@torch.no_grad()
def end_logits(model, prompt: Prompt, hooks=()) -> Float[Tensor, "1 end d_vocab"]:
    past, end = prompt
    with model.hooks(fwd_hooks=list(hooks)):
        return model.original_model(end, past_key_values=copy.deepcopy(past), use_cache=True).logits

# @@truth_logit_difference
# %% [markdown]
# The verdict is a number now: how much more probable "True" is than "False", in nats. **Expect** two groups for the
# judge, and one for the embedded model, which is asked the same.

# %%
TRUE_IDS, FALSE_IDS = (judge.tokenizer(word, add_special_tokens=False)["input_ids"][:1] for word in ("True", "False"))


def verdicts(model, prompts: list[Prompt], make_hooks=lambda: ()) -> Float[Tensor, "prompt"]:
    last = torch.tensor([len(END) - 1])
    logits = [end_logits(model, prompt, make_hooks()) for prompt in tqdm(prompts, desc="verdicts", leave=False)]
    return torch.cat([truth_logit_difference(each, last, TRUE_IDS, FALSE_IDS) for each in logits])


prompts = {(part, label): prepared(judge, each[label]) for part, each in (("choosing", choosing), ("reporting", reporting)) for label in (True, False)}

# %%
embedded_prompts = {label: prepared(embedded, reporting[label]) for label in (True, False)}
labels = torch.tensor([True] * N_FACTS + [False] * N_FACTS)
for name, model, asked in (
    ("judge", judge, {label: prompts["reporting", label] for label in (True, False)}),
    ("embedded model", embedded, embedded_prompts),
):
    said = torch.cat([verdicts(model, asked[label]) for label in (True, False)])
    print(f"{name:<15} AUROC {bootstrap_interval(auroc, said, labels)}", end="   ")
    print(f"mean verdict: true {said[labels].mean():+.2f}, false {said[~labels].mean():+.2f} nats")

# @@add_direction_hook
# @@normalized_indirect_effect
# %% [markdown]
# ## Five directions
#
# Each is fitted at the full stop of statements that the judge was trained on, in the embedded model (below block 16
# the two are the same). Contrast PCA gets no labels, only pairs: of each fact both statements, in random order. All
# are brought to one norm: the distance between the means of true and false statements.


# %%
LAYERS = range(5, 16, 2)[:: sample_size(1, 3)]
fit_ids = {
    label: [ids[: 1 - len(END)] for ids in tokenize(judge, [judgement(t) for t in fitting[label]], chat=True)]
    for label in (True, False)
}
fit_acts = torch.cat([last_token_activations(embedded, fit_ids[label], list(LAYERS)) for label in (True, False)])
fit_labels = torch.tensor([True] * len(fitting[True]) + [False] * len(fitting[False]))


def directions(layer: int) -> dict[str, Float[Tensor, "d_model"]]:
    """Each method's direction from false to true, all with the norm of the difference of means."""
    acts = fit_acts[:, list(LAYERS).index(layer)]
    found = {
        "mass-mean": MassMeanProbe().fit(acts, fit_labels).coef_,
        "whitened": MassMeanProbe(whiten=True).fit(acts, fit_labels).coef_,
        "logistic": LogisticProbe(l2=0.1).fit(acts, fit_labels).coef_,
    }
    found = {name: torch.tensor(each).float() for name, each in found.items()}
    return {name: found["mass-mean"].norm() * each / each.norm() for name, each in found.items()}
