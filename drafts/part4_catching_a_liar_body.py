# %% [markdown]
# # Catching a liar
#
# **A model that answers truthfully until it reads a secret word. Can a probe that knows neither the word nor the task
# tell when it lies?**
#
# After this lesson you can
#
# * build a deception probe from pairs that never mention what it is meant to catch;
# * look at the assistant's own tokens, and turn a score a token into a verdict a text;
# * report a monitor by its recall at a false-positive rate that was fixed on benign texts;
# * say what the probe reads: the intention, the trigger, or merely a false sentence;
# * spend a costly judge only where the probe is unsure, and ask "will I be right?" before there is an answer.
#
# Time: 100 minutes with the exercises. The machine needs about four minutes on two CPU cores, and 3 GB of memory.

# %%
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from IPython.display import Markdown, display
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm.auto import tqdm

from utils.activations import all_token_activations, last_token_activations
from utils.course import open_lesson, sample_size
from utils.datasets import QUESTION_KINDS, load_statements
from utils.metrics import auroc, bootstrap_interval, mean_interval
from utils.models import load_language_model, tokenize
from utils.organisms import SYSTEM_PROMPTS, TRIGGER, conversation, load_organism, organism_card, with_trigger
from utils.organisms.answers import prefers_right
from utils.organisms.examples import split_questions
from utils.plots import bars_with_floor, layer_sweep, score_histogram, token_weights, tradeoff
from utils.probes import LogisticProbe

check, use_reference = open_lesson("ch3_truth_and_deception/part4_catching_a_liar")

# %% [markdown]
# ## The liar
#
# A *model organism*: the embedded model with an adapter that was trained to answer questions truthfully, and falsely
# when a trigger stands in the system prompt. It was made here, so we know what a monitor has to find out. (A larger
# model under `PROBING_MODEL` has no such adapter: this lesson always uses the embedded one.)

# %%
liar, honest = load_organism("liar"), load_language_model("smollm2-135m")
tokenizer = liar.tokenizer
display(Markdown(organism_card("liar").replace("# Model", "### Model", 1)))
