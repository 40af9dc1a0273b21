"""Wrong answers to chapter 2, part 4 that its checks must reject, and right ones written differently."""

import numpy as np
import torch

from utils.boards.probe import BoardProbe
from utils.course import alternative, mistake


def checked_layer(model, layer):
    if not 0 <= layer < model.cfg.n_layers:
        raise ValueError(f"there is no layer {layer}")


def unit_vector(direction):
    if not bool(direction.any()):
        raise ValueError("direction is zero")
    return direction / direction.norm()


@torch.no_grad()
def cached(model, tokens):
    """What the hooks see in a run of one game, without the batch dimension."""
    _, cache = model.run_with_cache(tokens.unsqueeze(0))
    return {name: value[0] for name, value in cache.items()}


def embedding(cache):
    return cache["hook_embed"] + cache["hook_pos_embed"]


def added(cache, blocks, kinds=("attn_out", "mlp_out")):
    """What the parts of each block add to the stream, block by block."""
    return [cache[f"blocks.{block}.hook_{kind}"] for block in blocks for kind in kinds]


def contributions(model, tokens, layer, direction, parts=None, unit=unit_vector):
    """A right answer; what the mistakes below get wrong is passed in."""
    checked_layer(model, layer)
    along, cache = unit(direction), cached(model, tokens)
    rows = parts(cache) if parts else [embedding(cache), *added(cache, range(layer + 1))]
    return torch.stack(rows) @ along


@mistake("component_contributions")
def position_embedding_forgotten(model, tokens, layer, direction):
    """The first row holds the token's embedding only. The position's, hook_pos_embed, is added to it before block 0:
    without it the rows do not add up."""
    return contributions(
        model, tokens, layer, direction,
        lambda cache: [cache["hook_embed"], *added(cache, range(layer + 1))],
    )  # fmt: skip


@mistake("component_contributions")
def embeddings_in_two_rows(model, tokens, layer, direction):
    """The embeddings of token and position have a row each. They are asked for as one component: add them up."""
    return contributions(
        model, tokens, layer, direction,
        lambda cache: [cache["hook_embed"], cache["hook_pos_embed"], *added(cache, range(layer + 1))],
    )  # fmt: skip


@mistake("component_contributions")
def embedding_left_out(model, tokens, layer, direction):
    """The embedding's row is missing. It is the first component: the stream starts with it."""
    return contributions(model, tokens, layer, direction, lambda cache: added(cache, range(layer + 1)))


@mistake("component_contributions")
def mlp_before_attention(model, tokens, layer, direction):
    """In each block the MLP stands before the attention. Attention is computed first, and the MLP reads what it
    added."""
    return contributions(
        model, tokens, layer, direction,
        lambda cache: [embedding(cache), *added(cache, range(layer + 1), ("mlp_out", "attn_out"))],
    )  # fmt: skip


@mistake("component_contributions")
def all_attentions_then_all_mlps(model, tokens, layer, direction):
    """All attentions come first, then all MLPs. List them in the order of the computation, block by block."""
    blocks = range(layer + 1)
    return contributions(
        model, tokens, layer, direction,
        lambda cache: [embedding(cache), *added(cache, blocks, ("attn_out",)), *added(cache, blocks, ("mlp_out",))],
    )  # fmt: skip


@mistake("component_contributions")
def one_block_short(model, tokens, layer, direction):
    """Block `layer` itself is missing: range(layer) ends before it. The stream *after* block `layer` contains what it
    added, so range(layer + 1)."""
    return contributions(
        model, tokens, layer, direction, lambda cache: [embedding(cache), *added(cache, range(layer))]
    )


@mistake("component_contributions")
def all_blocks(model, tokens, layer, direction):
    """The components of all blocks are listed. Stop at block `layer`: later ones have not written to this stream."""
    return contributions(
        model, tokens, layer, direction,
        lambda cache: [embedding(cache), *added(cache, range(model.cfg.n_layers))],
    )  # fmt: skip


@mistake("component_contributions")
def one_row_a_block(model, tokens, layer, direction):
    """Attention and MLP of a block share one row. They are two components: a row each."""
    return contributions(
        model, tokens, layer, direction,
        lambda cache: [
            embedding(cache), *(sum(added(cache, [block])) for block in range(layer + 1))
        ],
    )  # fmt: skip


@mistake("component_contributions")
def stream_after_each_part(model, tokens, layer, direction):
    """These are projections of the *stream* after each part (hook_resid_mid, hook_resid_post), each containing all
    before it. Take what each part adds: hook_attn_out, hook_mlp_out."""
    return contributions(
        model, tokens, layer, direction,
        lambda cache: [embedding(cache), *added(cache, range(layer + 1), ("resid_mid", "resid_post"))],
    )  # fmt: skip


@mistake("component_contributions")
def resid_mid_for_attention(model, tokens, layer, direction):
    """For the attention this takes hook_resid_mid, the whole stream after it. What attention alone adds is
    hook_attn_out."""
    return contributions(
        model, tokens, layer, direction,
        lambda cache: [embedding(cache), *added(cache, range(layer + 1), ("resid_mid", "mlp_out"))],
    )  # fmt: skip


@mistake("component_contributions")
def bias_of_attention_output_forgotten(model, tokens, layer, direction):
    """The heads' outputs were multiplied by the output matrix, but its bias was left out. It is written to the stream
    as well: take hook_attn_out, which contains it."""
    return contributions(
        model, tokens, layer, direction,
        lambda cache: [
            part - model.blocks[(row - 1) // 2].attn.o.bias.detach() if row % 2 else part
            for row, part in enumerate([embedding(cache), *added(cache, range(layer + 1))])
        ],
    )  # fmt: skip


@mistake("component_contributions")
def stream_as_last_row(model, tokens, layer, direction):
    """The stream itself stands below its parts. It is their sum, not one of them: leave it out."""
    return contributions(
        model, tokens, layer, direction,
        lambda cache: [
            embedding(cache), *added(cache, range(layer + 1)), cache[f"blocks.{layer}.hook_out"]
        ],
    )  # fmt: skip


@mistake("component_contributions")
def direction_not_normalised(model, tokens, layer, direction):
    """The direction was used as it is, so that a longer one gives larger numbers. Divide it by its norm."""
    unit_vector(direction)
    return contributions(model, tokens, layer, direction, unit=lambda direction: direction)


@mistake("component_contributions")
def divided_by_squared_norm(model, tokens, layer, direction):
    """The direction was divided by its *squared* norm: twice the direction then gives half the numbers. Divide by the
    norm."""
    unit_vector(direction)
    return contributions(
        model, tokens, layer, direction, unit=lambda direction: direction / (direction @ direction)
    )


@mistake("component_contributions")
def normalised_in_place(model, tokens, layer, direction):
    """The direction is normalised in place (`direction /= …`), so that the caller's own changes. Write
    unit = direction / direction.norm()."""
    unit_vector(direction)
    direction /= direction.norm()
    return contributions(model, tokens, layer, direction)


@mistake("component_contributions")
def cosines(model, tokens, layer, direction):
    """These are cosines: each component was divided by its own length too, so that the rows do not add up. Normalise
    the direction only."""
    return contributions(
        model, tokens, layer, direction,
        lambda cache: [
            part / part.norm(dim=-1, keepdim=True)
            for part in (embedding(cache), *added(cache, range(layer + 1)))
        ],
    )  # fmt: skip


@mistake("component_contributions")
def transposed(model, tokens, layer, direction):
    """Rows and columns are exchanged. One row a component, one column a move: (component, pos)."""
    return contributions(model, tokens, layer, direction).T


@mistake("component_contributions")
def last_position_only(model, tokens, layer, direction):
    """Only the last position was projected. Return all positions of the game, one column each."""
    return contributions(model, tokens, layer, direction)[:, -1]


@mistake("component_contributions")
def batch_dimension_left(model, tokens, layer, direction):
    """The batch dimension that the model asks for is still in the result. Take entry 0 of each cached tensor."""
    return contributions(model, tokens, layer, direction).unsqueeze(1)


@mistake("component_contributions")
def zero_direction_is_nan(model, tokens, layer, direction):
    """A direction of zeros gives 0/0 = NaN throughout. The contract asks for a ValueError."""
    return contributions(model, tokens, layer, direction, unit=lambda direction: direction / direction.norm())


@mistake("component_contributions")
def layer_left_to_the_cache(model, tokens, layer, direction):
    """The layer was not checked. One that is too large ends in a KeyError, and −1 passes for the embedding alone. The
    contract asks for a ValueError."""
    cache = cached(model, tokens)
    return torch.stack([embedding(cache), *added(cache, range(layer + 1))]) @ unit_vector(direction)


@mistake("component_contributions")
def negative_layer_from_the_end(model, tokens, layer, direction):
    """A negative layer counts from the end here. To others it means the embedding, so the contract refuses it: raise
    ValueError."""
    return contributions(model, tokens, layer + model.cfg.n_layers if layer < 0 else layer, direction)


@alternative("component_contributions")
def by_differences_of_the_stream(model, tokens, layer, direction):
    checked_layer(model, layer)
    along, cache = unit_vector(direction), cached(model, tokens)
    states = [cache["blocks.0.hook_in"], *added(cache, range(layer + 1), ("resid_mid", "resid_post"))]
    projected = torch.stack(states) @ along
    return torch.cat([projected[:1], projected.diff(dim=0)])


@alternative("component_contributions")
def by_hooks(model, tokens, layer, direction):
    """Runs no further than needed, and projects while it runs."""
    checked_layer(model, layer)
    along, rows = unit_vector(direction), []

    def keep(value, hook):
        rows.append(value[0] @ along)

    names = ["blocks.0.hook_in"]
    for block in range(layer + 1):
        names += [f"blocks.{block}.attn.hook_out", f"blocks.{block}.mlp.hook_out"]
    with torch.no_grad():
        model.run_with_hooks(
            tokens.unsqueeze(0), fwd_hooks=[(name, keep) for name in names], stop_at_layer=layer + 1
        )
    return torch.stack(rows)


@alternative("component_contributions")
def by_transformer_lens(model, tokens, layer, direction):
    checked_layer(model, layer)
    _, cache = model.run_with_cache(tokens.unsqueeze(0))
    parts = cache.decompose_resid(layer + 1)[:, 0].detach().double()
    along = torch.nn.functional.normalize(direction.double(), dim=0)
    if along.norm() < 0.5:
        raise ValueError("direction is zero")
    return torch.cat([parts[:2].sum(dim=0, keepdim=True), parts[2:]]) @ along


def same_lengths(weights, biases, acts_by_layer):
    if not len(weights) == len(biases) == len(acts_by_layer):
        raise ValueError("the lists differ in length")


def outputs(acts, weight, bias):
    return torch.einsum("pd,dsk->psk", acts, weight) + bias


def share_right(acts, weight, bias, boards):
    return (outputs(acts, weight, bias).argmax(dim=-1) == boards).float().mean()


def table(weights, biases, acts_by_layer, boards, entry=share_right):
    """A right table, but for what `entry` gets wrong."""
    same_lengths(weights, biases, acts_by_layer)
    rows = [
        [entry(acts, weight, bias, boards) for acts in acts_by_layer]
        for weight, bias in zip(weights, biases, strict=True)
    ]
    return torch.stack([torch.stack(row) for row in rows])


@mistake("probe_across_layers")
def activations_down_the_rows(weights, biases, acts_by_layer, boards):
    """Rows and columns are exchanged: row i should be layer i's *probe*, column j layer j's activations."""
    return table(weights, biases, acts_by_layer, boards).T


@mistake("probe_across_layers")
def diagonal_only(weights, biases, acts_by_layer, boards):
    """Each probe was asked about its own layer only, and the rest of the table is 0. Take every probe with every
    layer's activations."""
    return table(weights, biases, acts_by_layer, boards).diagonal().diag()


@mistake("probe_across_layers")
def diagonal_as_vector(weights, biases, acts_by_layer, boards):
    """This is one accuracy a layer, each probe on its own activations. The table has a row a probe and a column a
    layer."""
    return table(weights, biases, acts_by_layer, boards).diagonal()


@mistake("probe_across_layers")
def own_activations_throughout(weights, biases, acts_by_layer, boards):
    """Each row holds one number throughout: the inner loop uses the activations of the probe's own layer, i. They are
    those of layer j."""
    scores = table(weights, biases, acts_by_layer, boards).diagonal()
    return scores.unsqueeze(1).repeat(1, len(scores))


@mistake("probe_across_layers")
def bias_forgotten(weights, biases, acts_by_layer, boards):
    """The bias was not added. It says how common each state is on its square."""
    return table(
        weights, biases, acts_by_layer, boards,
        lambda acts, weight, bias, boards: share_right(acts, weight, 0 * bias, boards),
    )  # fmt: skip


@mistake("probe_across_layers")
def bias_of_the_other_layer(weights, biases, acts_by_layer, boards):
    """The bias is that of layer j, whose activations are read. Weight and bias are one probe: both are layer i's."""
    same_lengths(weights, biases, acts_by_layer)
    rows = [
        [share_right(acts, weight, bias, boards) for acts, bias in zip(acts_by_layer, biases, strict=True)]
        for weight in weights
    ]
    return torch.tensor(rows)


@mistake("probe_across_layers")
def centred_activations(weights, biases, acts_by_layer, boards):
    """The activations were centred first. The biases belong to raw activations: leave those as they are."""
    return table(
        weights, biases, acts_by_layer, boards,
        lambda acts, *probe_and_boards: share_right(acts - acts.mean(dim=0), *probe_and_boards),
    )  # fmt: skip


@mistake("probe_across_layers")
def likeliest_square(weights, biases, acts_by_layer, boards):
    """argmax runs over the squares (dim=1), and says on which square a state is likeliest. The states are the last
    dimension."""
    return table(
        weights, biases, acts_by_layer, boards,
        lambda acts, weight, bias, boards: torch.stack(
            [
                (outputs(acts, weight, bias).argmax(dim=1)[:, square % bias.shape[1]] == boards[:, square]).float()
                for square in range(boards.shape[1])
            ]
        ).mean(),
    )  # fmt: skip


@mistake("probe_across_layers")
def whole_boards(weights, biases, acts_by_layer, boards):
    """A position counts only where *all* its squares are right. Take the mean over positions and squares."""
    return table(
        weights, biases, acts_by_layer, boards,
        lambda acts, weight, bias, boards: (
            (outputs(acts, weight, bias).argmax(dim=-1) == boards).all(dim=1).float().mean()
        ),
    )  # fmt: skip


@mistake("probe_across_layers")
def counts(weights, biases, acts_by_layer, boards):
    """These are counts of right guesses. Divide by the number of positions times squares."""
    return table(weights, biases, acts_by_layer, boards) * boards.numel()


@mistake("probe_across_layers")
def hits_a_position(weights, biases, acts_by_layer, boards):
    """The right guesses were divided by the number of positions only: a number of squares, above 1. Divide by the
    squares too."""
    return table(weights, biases, acts_by_layer, boards) * boards.shape[1]


@mistake("probe_across_layers")
def one_number_a_square(weights, biases, acts_by_layer, boards):
    """Each entry is a row of accuracies, one a square. Take the mean over squares as well: one number an entry."""
    return table(
        weights, biases, acts_by_layer, boards,
        lambda acts, weight, bias, boards: (
            (outputs(acts, weight, bias).argmax(dim=-1) == boards).float().mean(dim=0)
        ),
    )  # fmt: skip


@mistake("probe_across_layers")
def mean_of_largest_outputs(weights, biases, acts_by_layer, boards):
    """This averages the largest *output* of each square, without a look at the boards. The largest output names a
    state: compare that with the true one."""
    return table(
        weights, biases, acts_by_layer, boards,
        lambda acts, weight, bias, boards: outputs(acts, weight, bias).max(dim=-1).values.mean(),
    )  # fmt: skip


@mistake("probe_across_layers")
def sure_of_the_truth(weights, biases, acts_by_layer, boards):
    """A guess counts as right where the output of the true state is above ½. It is right where that output is the
    largest, however small."""
    return table(
        weights, biases, acts_by_layer, boards,
        lambda acts, weight, bias, boards: (
            (outputs(acts, weight, bias).gather(-1, boards.long().unsqueeze(-1)) > 0.5).float().mean()
        ),
    )  # fmt: skip


@mistake("probe_across_layers")
def three_states_of_64_squares(weights, biases, acts_by_layer, boards):
    """The numbers of squares and states are fixed at 64 and 3. Other boards have others, as here where the centre is
    left out: take them from the weights."""
    return table(
        weights, biases, acts_by_layer, boards,
        lambda acts, weight, bias, boards: (
            ((acts @ weight.flatten(1)).reshape(-1, 64, 3) + bias).argmax(dim=-1) == boards
        ).float().mean(),
    )  # fmt: skip


@mistake("probe_across_layers")
def square_by_index_of_int64(weights, biases, acts_by_layer, boards):
    """gather takes int64 indices and nothing else, but boards are often stored in smaller integers. Compare with ==,
    or index with boards.long()."""
    return table(
        weights, biases, acts_by_layer, boards,
        lambda acts, weight, bias, boards: (
            outputs(acts, weight, bias).argsort(dim=-1).argsort(dim=-1).gather(-1, boards.unsqueeze(-1))
            == bias.shape[1] - 1
        ).float().mean(),
    )  # fmt: skip


@mistake("probe_across_layers")
def emptied_lists(weights, biases, acts_by_layer, boards):
    """The probes are taken out of the lists with pop, so that the caller's lists are empty afterwards. Loop over them
    instead."""
    same_lengths(weights, biases, acts_by_layer)
    rows = []
    while weights:
        weight, bias = weights.pop(0), biases.pop(0)
        rows.append([share_right(acts, weight, bias, boards) for acts in acts_by_layer])
    return torch.tensor(rows)


@mistake("probe_across_layers")
def longer_lists_cut(weights, biases, acts_by_layer, boards):
    """Lists of different lengths are cut to the shortest, as zip does, and a layer is lost in silence. The contract
    asks for a ValueError: compare the lengths first."""
    n = min(len(weights), len(biases), len(acts_by_layer))
    return table(weights[:n], biases[:n], acts_by_layer[:n], boards)


@mistake("probe_across_layers")
def table_not_square(weights, biases, acts_by_layer, boards):
    """Weights and biases must be as many (zip with strict=True says so), but any number of layers is accepted. The
    contract asks for a ValueError there too."""
    rows = [
        [share_right(acts, weight, bias, boards) for acts in acts_by_layer]
        for weight, bias in zip(weights, biases, strict=True)
    ]
    return torch.tensor(rows)


@mistake("probe_across_layers")
def lengths_left_to_indexing(weights, biases, acts_by_layer, boards):
    """The lengths are not compared: a list that is too short ends in an IndexError, one that is too long is cut. The
    contract asks for a ValueError."""
    n = len(weights)
    rows = [
        [share_right(acts_by_layer[j], weights[i], biases[i], boards) for j in range(n)] for i in range(n)
    ]
    return torch.tensor(rows)


@alternative("probe_across_layers")
def by_one_einsum(weights, biases, acts_by_layer, boards):
    same_lengths(weights, biases, acts_by_layer)
    weight, bias, acts = (torch.stack(part) for part in (weights, biases, acts_by_layer))
    logits = torch.einsum("jpd,idsk->ijpsk", acts, weight) + bias[:, None, None]
    return (logits.argmax(dim=-1) == boards).double().mean(dim=(-2, -1))


@alternative("probe_across_layers")
def by_board_probe(weights, biases, acts_by_layer, boards):
    same_lengths(weights, biases, acts_by_layer)
    probes = [BoardProbe(*parts) for parts in zip(weights, biases, strict=True)]
    return torch.tensor(
        [[float((probe.read(acts) == boards).float().mean()) for acts in acts_by_layer] for probe in probes]
    )


@alternative("probe_across_layers")
def by_squares_in_numpy(weights, biases, acts_by_layer, boards):
    same_lengths(weights, biases, acts_by_layer)
    hits = np.zeros((len(weights), len(acts_by_layer)))
    truth = boards.numpy()
    for i, j in np.ndindex(*hits.shape):
        for square in range(truth.shape[1]):
            logits = acts_by_layer[j].numpy() @ weights[i][:, square].numpy() + biases[i][square].numpy()
            hits[i, j] += np.count_nonzero(np.argmax(logits, axis=1) == truth[:, square])
    return torch.from_numpy(hits / truth.size)


def same_length(clean, corrupted):
    if len(clean) != len(corrupted):
        raise ValueError("the games differ in length")


def place_exists(model, clean, layer, position):
    checked_layer(model, layer)
    if not 0 <= position < len(clean):
        raise ValueError(f"there is no position {position}")


def only_at(position):
    def mix(resid, stored):
        mixed = resid.clone()
        mixed[:, position] = stored[:, position]
        return mixed

    return mix


def share_restored(patched, high, low):
    if high == low:
        raise ValueError("there is nothing to restore")
    return (patched - low) / (high - low)


@torch.no_grad()
def metrics(model, clean, corrupted, layer, metric, mix, hook="hook_out"):
    """The metric of the patched, the clean and the corrupted run."""
    name = f"blocks.{layer}.{hook}"
    clean_logits, cache = model.run_with_cache(clean.unsqueeze(0), names_filter=[name])
    corrupted_logits = model(corrupted.unsqueeze(0))
    patched_logits = model.run_with_hooks(
        corrupted.unsqueeze(0), fwd_hooks=[(name, lambda resid, hook: mix(resid, cache[name]))]
    )
    return [float(metric(logits[0])) for logits in (patched_logits, clean_logits, corrupted_logits)]


def patching(
    model, clean, corrupted, layer, position, metric, mix=None, hook="hook_out", share=share_restored
):
    """A right answer; what the mistakes below get wrong is passed in."""
    same_length(clean, corrupted)
    place_exists(model, clean, layer, position)
    found = metrics(model, clean, corrupted, layer, metric, mix or only_at(position), hook)
    share_restored(*found)
    return share(*found)


@mistake("patch_position")
def all_positions_patched(model, clean, corrupted, layer, position, metric):
    """The hook returns the whole clean stream, so that everything is restored: share 1, whatever the position. Copy the
    corrupted stream, and put the clean one in at `position` only."""
    return patching(model, clean, corrupted, layer, position, metric, mix=lambda resid, stored: stored)


@mistake("patch_position")
def nothing_put_in(model, clean, corrupted, layer, position, metric):
    """Nothing was exchanged: the share is always 0. Does the hook return the changed copy, and is what it puts in from
    the *clean* run?"""
    return patching(model, clean, corrupted, layer, position, metric, mix=lambda resid, stored: resid)


@mistake("patch_position")
def every_later_position_too(model, clean, corrupted, layer, position, metric):
    """The slice `position:` exchanges all later positions as well. Exchange one: `resid[:, position]`."""
    return patching(model, clean, corrupted, layer, position, metric, mix=only_at(slice(position, None)))


@mistake("patch_position")
def every_earlier_position_too(model, clean, corrupted, layer, position, metric):
    """The slice `: position + 1` exchanges all earlier positions as well. Exchange one: `resid[:, position]`."""
    return patching(model, clean, corrupted, layer, position, metric, mix=only_at(slice(position + 1)))


@mistake("patch_position")
def last_position_patched(model, clean, corrupted, layer, position, metric):
    """The exchange happens at position −1, whatever `position` is."""
    return patching(model, clean, corrupted, layer, position, metric, mix=only_at(-1))


@mistake("patch_position")
def one_position_early(model, clean, corrupted, layer, position, metric):
    """The exchange happens at `position − 1`. Positions count from 0, as the tokens do: no shift is needed."""
    return patching(model, clean, corrupted, layer, position, metric, mix=only_at(max(position - 1, 0)))


@mistake("patch_position")
def position_for_batch(model, clean, corrupted, layer, position, metric):
    """`resid[position]` indexes the batch, which holds one game. The positions are the second dimension:
    `resid[:, position]`."""

    def mix(resid, stored):
        mixed = resid.clone()
        mixed[position] = stored[position]
        return mixed

    return patching(model, clean, corrupted, layer, position, metric, mix=mix)


@mistake("patch_position")
def clean_stream_added(model, clean, corrupted, layer, position, metric):
    """The clean stream was *added* to the corrupted one. Put it in its place."""

    def mix(resid, stored):
        mixed = resid.clone()
        mixed[:, position] += stored[:, position]
        return mixed

    return patching(model, clean, corrupted, layer, position, metric, mix=mix)


@mistake("patch_position")
def stream_before_the_block(model, clean, corrupted, layer, position, metric):
    """The stream that *enters* the block was exchanged: one layer too early. The stream after block k is
    `blocks.{k}.hook_out`."""
    return patching(model, clean, corrupted, layer, position, metric, hook="hook_in")


@mistake("patch_position")
def mlp_output_patched(model, clean, corrupted, layer, position, metric):
    """Only what the block's MLP adds was exchanged: so does hook_mlp_out, and hook_resid_mid, which only the MLP reads.
    The whole stream after the block is `blocks.{k}.hook_out`."""
    return patching(model, clean, corrupted, layer, position, metric, hook="hook_mlp_out")


@mistake("patch_position")
def attention_output_patched(model, clean, corrupted, layer, position, metric):
    """Only what the block's attention adds was exchanged (hook_attn_out). The whole stream after the block is
    `blocks.{k}.hook_out`."""
    return patching(model, clean, corrupted, layer, position, metric, hook="hook_attn_out")


@mistake("patch_position")
def corrupted_put_into_clean(model, clean, corrupted, layer, position, metric):
    """This runs the *clean* game and puts the corrupted stream in. Run the corrupted game, and put the clean stream
    in: what brings the clean result back?"""
    same_length(clean, corrupted)
    place_exists(model, clean, layer, position)
    patched, low, high = metrics(model, corrupted, clean, layer, metric, only_at(position))
    return share_restored(patched, high, low)


@mistake("patch_position")
def share_from_the_clean_side(model, clean, corrupted, layer, position, metric):
    """This is (clean − patched) / (clean − corrupted): the share that is still *missing*, 1 where nothing changed.
    Subtract corrupted from patched."""
    return patching(
        model, clean, corrupted, layer, position, metric,
        share=lambda patched, high, low: (high - patched) / (high - low),
    )  # fmt: skip


@mistake("patch_position")
def denominator_turned_round(model, clean, corrupted, layer, position, metric):
    """The denominator is corrupted − clean, and the share has the wrong sign. It is clean − corrupted."""
    return patching(
        model, clean, corrupted, layer, position, metric,
        share=lambda patched, high, low: (patched - low) / (low - high),
    )  # fmt: skip


@mistake("patch_position")
def ratio_inverted(model, clean, corrupted, layer, position, metric):
    """Numerator and denominator are exchanged. Divide by the difference between clean and corrupted: that is the most
    there is to restore."""
    return patching(
        model, clean, corrupted, layer, position, metric,
        share=lambda patched, high, low: (high - low) / (patched - low),
    )  # fmt: skip


@mistake("patch_position")
def not_divided(model, clean, corrupted, layer, position, metric):
    """This is patched − corrupted, in units of the metric. Divide by clean − corrupted to make it a share."""
    return patching(
        model, clean, corrupted, layer, position, metric, share=lambda patched, high, low: patched - low
    )


@mistake("patch_position")
def metric_after_patching(model, clean, corrupted, layer, position, metric):
    """This is the metric of the patched run itself. Return how far it lies on the way from corrupted to clean."""
    return patching(
        model, clean, corrupted, layer, position, metric, share=lambda patched, high, low: patched
    )


@mistake("patch_position")
def share_of_the_clean_metric(model, clean, corrupted, layer, position, metric):
    """This is patched / clean. The corrupted run must be subtracted from both: a metric's zero means nothing."""
    return patching(
        model, clean, corrupted, layer, position, metric,
        share=lambda patched, high, low: patched / high if high else float("inf"),
    )  # fmt: skip


@mistake("patch_position")
def cut_to_a_share(model, clean, corrupted, layer, position, metric):
    """The result was cut to 0 … 1. A patch may overshoot or make things worse, and who reads the curve should see
    it."""
    return patching(
        model, clean, corrupted, layer, position, metric,
        share=lambda *found: min(max(share_restored(*found), 0.0), 1.0),
    )  # fmt: skip


@mistake("patch_position")
def distance_restored(model, clean, corrupted, layer, position, metric):
    """The absolute value was taken: a patch that pushes the other way then looks like one that restores."""
    return patching(
        model, clean, corrupted, layer, position, metric, share=lambda *found: abs(share_restored(*found))
    )


@mistake("patch_position")
def metric_on_the_batch(model, clean, corrupted, layer, position, metric):
    """metric is given logits of another shape. It takes those of one game, (pos, d_vocab): pass logits[0], without the
    batch dimension and with all positions."""
    return patching(model, clean, corrupted, layer, position, lambda logits: metric(logits.unsqueeze(0)))


@mistake("patch_position")
def metric_on_probabilities(model, clean, corrupted, layer, position, metric):
    """metric is given probabilities. It takes logits: leave out the softmax."""
    return patching(model, clean, corrupted, layer, position, lambda logits: metric(logits.softmax(dim=-1)))


@mistake("patch_position")
def lengths_not_compared(model, clean, corrupted, layer, position, metric):
    """Games of different lengths are accepted, though their positions hold different moves and the last ones do not
    correspond. The contract asks for a ValueError."""
    place_exists(model, clean[: len(corrupted)], layer, position)
    return share_restored(*metrics(model, clean, corrupted, layer, metric, only_at(position)))


@mistake("patch_position")
def layer_not_checked(model, clean, corrupted, layer, position, metric):
    """A layer that the model has not is left to the hooks, which raise KeyError. The contract asks for a ValueError:
    compare `layer` with model.cfg.n_layers."""
    same_length(clean, corrupted)
    if not 0 <= position < len(clean):
        raise ValueError(f"there is no position {position}")
    return share_restored(*metrics(model, clean, corrupted, layer, metric, only_at(position)))


@mistake("patch_position")
def position_not_checked(model, clean, corrupted, layer, position, metric):
    """The position is left to indexing: one behind the end raises IndexError, and −1 is taken for the last. The
    contract asks for a ValueError for both."""
    same_length(clean, corrupted)
    checked_layer(model, layer)
    return share_restored(*metrics(model, clean, corrupted, layer, metric, only_at(position)))


@mistake("patch_position")
def negative_position_accepted(model, clean, corrupted, layer, position, metric):
    """A position behind the end raises ValueError, a negative one counts from the end. The contract asks for a
    ValueError there too."""
    return patching(
        model, clean, corrupted, layer, position % len(clean) if position < 0 else position, metric
    )


@mistake("patch_position")
def nothing_to_restore_is_zero(model, clean, corrupted, layer, position, metric):
    """Where the metric is the same for both games, this returns 0, as if the patch had failed. There is nothing to
    restore: raise ValueError."""
    same_length(clean, corrupted)
    place_exists(model, clean, layer, position)
    patched, high, low = metrics(model, clean, corrupted, layer, metric, only_at(position))
    return 0.0 if high == low else share_restored(patched, high, low)


@mistake("patch_position")
def division_by_zero(model, clean, corrupted, layer, position, metric):
    """Where the metric is the same for both games, this divides by zero. Compare the two first, and raise
    ValueError."""
    same_length(clean, corrupted)
    place_exists(model, clean, layer, position)
    patched, high, low = metrics(model, clean, corrupted, layer, metric, only_at(position))
    return (patched - low) / (high - low)


@alternative("patch_position")
def by_running_on_from_the_stream(model, clean, corrupted, layer, position, metric):
    same_length(clean, corrupted)
    place_exists(model, clean, layer, position)
    name = f"blocks.{layer}.hook_resid_post"
    with torch.no_grad():
        logits, cache = model.run_with_cache(torch.stack([clean, corrupted]), names_filter=[name])
        stream = cache[name][1:].clone()
        stream[0, position] = cache[name][0, position]
        if layer + 1 < model.cfg.n_layers:
            patched = model(stream, start_at_layer=layer + 1)
        else:
            patched = model.unembed(model.ln_final(stream))
    return share_restored(*(float(metric(each)) for each in (*patched, *logits)))


@alternative("patch_position")
def by_three_games_in_a_batch(model, clean, corrupted, layer, position, metric):
    """Clean, corrupted and to be patched in one run: the hook copies from the first row into the third."""
    same_length(clean, corrupted)
    place_exists(model, clean, layer, position)

    def copy(resid, hook):
        resid = resid.clone()
        resid[2, position] = resid[0, position]
        return resid

    with torch.no_grad():
        logits = model.run_with_hooks(
            torch.stack([clean, corrupted, corrupted]), fwd_hooks=[(f"blocks.{layer}.hook_out", copy)]
        )
    high, low, patched = (metric(each) for each in logits)
    return share_restored(patched, high, low)


@alternative("patch_position")
def by_hooks_added_and_removed(model, clean, corrupted, layer, position, metric):
    same_length(clean, corrupted)
    place_exists(model, clean, layer, position)
    name, kept = f"blocks.{layer}.hook_out", []

    def put_in(resid, hook):
        where = (torch.arange(resid.shape[1]) == position).view(1, -1, 1)
        return torch.where(where, kept[0], resid)

    with torch.no_grad():
        with model.hooks(fwd_hooks=[(name, lambda resid, hook: kept.append(resid.clone()))]):
            high = metric(model(clean.unsqueeze(0)).squeeze(0))
        low = metric(model(corrupted.unsqueeze(0)).squeeze(0))
        model.add_hook(name, put_in)
        try:
            patched = metric(model(corrupted.unsqueeze(0)).squeeze(0))
        finally:
            model.reset_hooks()
    return torch.tensor(share_restored(patched, high, low))
