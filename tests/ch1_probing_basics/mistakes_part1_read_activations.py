"""Wrong answers to chapter 1, part 1 that its checks must reject, and right ones written differently."""

import numpy as np
import torch

from utils.course import alternative, mistake


def no_empty_text(token_lists):
    if any(len(ids) == 0 for ids in token_lists):
        raise ValueError("a text has no tokens")


def read(
    model, token_lists, layers, batch_size, hook="blocks.{}.hook_out", left=False, gather=None, prefix=()
):
    """A right reading of right-padded batches; the pieces that mistakes get wrong are arguments."""
    rows = []
    for start in range(0, len(token_lists), batch_size):
        batch = [[*prefix, *ids] for ids in token_lists[start : start + batch_size]]
        lengths = torch.tensor([len(ids) for ids in batch])
        width = int(lengths.max())
        tokens = torch.zeros(len(batch), width, dtype=torch.long)
        for row, ids in enumerate(batch):
            where = slice(width - len(ids), width) if left else slice(len(ids))
            tokens[row, where] = torch.tensor(ids)
        names = [hook.format(layer) for layer in layers]
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens, names_filter=names)
        acts = torch.stack([cache[name] for name in names], dim=2)
        at = lengths - 1 if gather is None else gather(lengths, width)
        rows.append(acts[torch.arange(len(batch)), at])
    return torch.cat(rows)


@mistake("last_token_activations")
def reads_the_padding(model, token_lists, layers, batch_size=32):
    """With padding on the right, position −1 is a padding token for every text but the longest. Read each text at its
    own length − 1."""
    no_empty_text(token_lists)
    return read(
        model, token_lists, layers, batch_size, gather=lambda lengths, width: torch.full_like(lengths, -1)
    )


@mistake("last_token_activations")
def left_padded_without_mask(model, token_lists, layers, batch_size=32):
    """Padding on the left puts every last token at position −1, but the padding now stands *before* the text: the model
    attends to it and every position is shifted. Pad on the right, where causal attention cannot see it."""
    no_empty_text(token_lists)
    return read(
        model, token_lists, layers, batch_size, left=True, gather=lambda lengths, width: torch.full_like(lengths, -1)
    )  # fmt: skip


@mistake("last_token_activations")
def one_position_past_the_end(model, token_lists, layers, batch_size=32):
    """Positions count from 0, so the last token stands at length − 1. This reads at `length`, the first padding token
    (and, in the longest text, one position short of an error)."""
    no_empty_text(token_lists)
    return read(
        model, token_lists, layers, batch_size, gather=lambda lengths, width: lengths.clamp(max=width - 1)
    )


@mistake("last_token_activations")
def stream_before_the_block(model, token_lists, layers, batch_size=32):
    """This reads the stream that *enters* each block: one layer too early. The stream after block l is
    `blocks.{l}.hook_out`, and Hugging Face counts the embedding as its hidden_states[0]."""
    no_empty_text(token_lists)
    return read(model, token_lists, layers, batch_size, hook="blocks.{}.hook_in")


@mistake("last_token_activations")
def hidden_states_after_final_norm(model, token_lists, layers, batch_size=32):
    """This takes Hugging Face's hidden_states[l + 1], which is right for all layers but the last: that entry is taken
    after the final norm. Read `blocks.{l}.hook_out` instead."""
    no_empty_text(token_lists)
    rows = []
    for ids in token_lists:
        with torch.no_grad():
            states = model.original_model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        rows.append(torch.stack([states[layer + 1][0, -1] for layer in layers]))
    return torch.stack(rows)


@mistake("last_token_activations")
def mlp_output_only(model, token_lists, layers, batch_size=32):
    """This reads what the block's MLP *adds* to the stream, not the stream itself. The stream after block l is
    `blocks.{l}.hook_out`."""
    no_empty_text(token_lists)
    return read(model, token_lists, layers, batch_size, hook="blocks.{}.mlp.hook_out")


@mistake("last_token_activations")
def bos_prepended(model, token_lists, layers, batch_size=32):
    """A BOS token was put before each text. The token ids are given and say what the model should read: whether a BOS
    belongs there was decided when the text was tokenised."""
    no_empty_text(token_lists)
    return read(model, token_lists, layers, batch_size, prefix=[model.tokenizer.bos_token_id])


@mistake("last_token_activations")
def layers_in_ascending_order(model, token_lists, layers, batch_size=32):
    """The layers come back sorted (the order in which the model ran through them). Stack them in the order of the
    argument, by name."""
    no_empty_text(token_lists)
    return read(model, token_lists, sorted(layers), batch_size)


@mistake("last_token_activations")
def last_batch_dropped(model, token_lists, layers, batch_size=32):
    """Texts that do not fill a whole batch are lost: len // batch_size rounds down. Let a range with step batch_size
    run to the end."""
    no_empty_text(token_lists)
    kept = len(token_lists) // batch_size * batch_size
    return read(model, token_lists[: kept or len(token_lists)], layers, batch_size)


@mistake("last_token_activations")
def order_of_texts_lost(model, token_lists, layers, batch_size=32):
    """The texts were sorted by length, which saves padding, but the rows were not put back in the caller's order:
    labels would no longer belong to them."""
    no_empty_text(token_lists)
    return read(model, sorted(token_lists, key=len), layers, batch_size)


@mistake("last_token_activations")
def stopped_before_the_layer(model, token_lists, layers, batch_size=32):
    """A KeyError: stop_at_layer=L stops *before* block L, so that the deepest layer asked for never ran. Stop at
    max(layers) + 1."""
    no_empty_text(token_lists)
    raise KeyError(f"blocks.{max(layers)}.hook_out")


def without_padding_id(model, token_lists, layers, batch_size, pad):
    rows = []
    for start in range(0, len(token_lists), batch_size):
        batch = token_lists[start : start + batch_size]
        at = torch.tensor([sum(token != pad for token in ids) for ids in batch]) - 1
        rows.append(read(model, batch, layers, batch_size, gather=lambda lengths, width, at=at: at % width))
    return torch.cat(rows)


@mistake("last_token_activations")
def lengths_from_padded_tokens(model, token_lists, layers, batch_size=32):
    """The lengths are counted in the padded batch, as the tokens that differ from the padding id. That id may occur in
    a text: take the lengths from the lists, before padding."""
    no_empty_text(token_lists)
    return without_padding_id(model, token_lists, layers, batch_size, 0)


@mistake("last_token_activations")
def lengths_from_pad_token(model, token_lists, layers, batch_size=32):
    """The lengths are counted in the padded batch, as the tokens that differ from the tokenizer's padding token. Texts
    may contain it (often it is the end-of-text token): take the lengths from the lists, before padding."""
    no_empty_text(token_lists)
    return without_padding_id(model, token_lists, layers, batch_size, model.tokenizer.pad_token_id)


@mistake("last_token_activations")
def pads_the_callers_lists(model, token_lists, layers, batch_size=32):
    """The padding is appended to the caller's own lists (`ids += …`), so that the next call takes it for text. Pad a
    copy."""
    no_empty_text(token_lists)
    result = read(model, token_lists, layers, batch_size)
    for start in range(0, len(token_lists), batch_size):
        batch = token_lists[start : start + batch_size]
        for ids in batch:
            ids += [0] * (max(map(len, batch)) - len(ids))
    return result


@mistake("last_token_activations")
def empty_text_reads_anything(model, token_lists, layers, batch_size=32):
    """A text without tokens has no last token. Its length − 1 is −1, which reads the end of the padding without a
    complaint: raise ValueError."""
    return read(model, [ids or [0] for ids in token_lists], layers, batch_size)


@alternative("last_token_activations")
def one_text_at_a_time(model, token_lists, layers, batch_size=32):
    no_empty_text(token_lists)
    return torch.cat([read(model, [ids], layers, 1) for ids in token_lists])


@alternative("last_token_activations")
def by_hooks_sorted_by_length(model, token_lists, layers, batch_size=32):
    no_empty_text(token_lists)
    result = torch.empty(len(token_lists), len(layers), model.cfg.d_model, dtype=torch.float64)
    order = sorted(range(len(token_lists)), key=lambda text: -len(token_lists[text]))
    for start in range(0, len(order), batch_size):
        texts = order[start : start + batch_size]
        tokens = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(token_lists[text]) for text in texts], batch_first=True, padding_value=2
        )

        def keep(resid, hook, texts=texts):
            for row, text in enumerate(texts):
                for column in [
                    c for c, layer in enumerate(layers) if hook.name == f"blocks.{layer}.hook_out"
                ]:
                    result[text, column] = resid[row, len(token_lists[text]) - 1].double()

        hooks = [(f"blocks.{layer}.hook_out", keep) for layer in layers]
        with torch.no_grad():
            model.run_with_hooks(tokens, fwd_hooks=hooks, return_type=None)
    return result


@alternative("last_token_activations")
def left_padded_with_mask(model, token_lists, layers, batch_size=32):
    no_empty_text(token_lists)
    width = max(len(ids) for ids in token_lists)
    tokens = torch.tensor([[0] * (width - len(ids)) + ids for ids in token_lists])
    mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in token_lists])
    names = [f"blocks.{layer}.hook_out" for layer in layers]
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, attention_mask=mask, names_filter=names)
    return torch.stack([cache[name][:, -1] for name in names], dim=1)


def no_empty_row(mask):
    if not mask.any(dim=1).all():
        raise ValueError("a text has no position to average over")


def zeroed(acts, mask):
    return torch.where(mask[:, :, None], acts, torch.zeros_like(acts))


@mistake("masked_mean")
def mean_with_padding(acts, mask):
    """This averages over every position, padding included. Only positions whose mask is True count."""
    no_empty_row(mask)
    return acts.mean(dim=1)


@mistake("masked_mean")
def divided_by_padded_length(acts, mask):
    """The padding is left out of the sum but counted in the length. Divide each text by its own number of True."""
    no_empty_row(mask)
    return zeroed(acts, mask).mean(dim=1)


@mistake("masked_mean")
def zero_times_nan(acts, mask):
    """Multiplying by the mask does not remove a NaN: 0 × NaN is NaN, and the padding may hold anything. Choose with
    `torch.where` or `masked_fill`."""
    no_empty_row(mask)
    return (acts * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


@mistake("masked_mean")
def only_nan_removed(acts, mask):
    """NaN is replaced and the rest multiplied by the mask. Padding may be infinite as well, and 0 × ∞ is NaN: choose
    with `torch.where` or `masked_fill`."""
    no_empty_row(mask)
    finite = torch.where(acts.isnan(), torch.zeros_like(acts), acts)
    return (finite * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


@mistake("masked_mean")
def one_mean_for_all_texts(acts, mask):
    """All texts are averaged into one vector: `acts[mask]` runs the texts together. Average each by itself."""
    no_empty_row(mask)
    return acts[mask].mean(dim=0).expand(len(acts), -1).contiguous()


@mistake("masked_mean")
def divided_by_all_real_tokens(acts, mask):
    """Each sum is divided by the number of True in the *whole* mask. Each text has its own count."""
    no_empty_row(mask)
    return zeroed(acts, mask).sum(dim=1) / mask.sum()


@mistake("masked_mean")
def mask_taken_as_a_length(acts, mask):
    """The mask was turned into a length and the first positions were averaged. True may stand anywhere: the mask can
    leave out the start of a text too."""
    no_empty_row(mask)
    first = torch.arange(mask.shape[1]) < mask.sum(dim=1, keepdim=True)
    return zeroed(acts, first).sum(dim=1) / first.sum(dim=1, keepdim=True)


@mistake("masked_mean")
def inverted_mask(acts, mask):
    """This averages where the mask is False: the padding. True marks the real tokens."""
    no_empty_row(mask)
    return zeroed(acts, ~mask).sum(dim=1) / (~mask).sum(dim=1, keepdim=True)


@mistake("masked_mean")
def last_real_token(acts, mask):
    """This is the activation at the last real token, not the mean over all of them."""
    no_empty_row(mask)
    last = (mask * torch.arange(mask.shape[1])).argmax(dim=1)
    return acts[torch.arange(len(acts)), last]


@mistake("masked_mean")
def zeros_for_an_empty_row(acts, mask):
    """A text without real tokens gets a vector of zeros, which looks like data. Raise ValueError."""
    return zeroed(acts, mask).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


@mistake("masked_mean")
def nan_for_an_empty_row(acts, mask):
    """A text without real tokens gets 0/0 = NaN, which travels silently through everything that follows. Raise
    ValueError."""
    return zeroed(acts, mask).sum(dim=1) / mask.sum(dim=1, keepdim=True)


@mistake("masked_mean")
def padding_zeroed_in_place(acts, mask):
    """The padding is set to zero in the caller's own tensor (`acts[~mask] = 0`). Make a new one."""
    no_empty_row(mask)
    acts[~mask] = 0
    return acts.sum(dim=1) / mask.sum(dim=1, keepdim=True)


@alternative("masked_mean")
def mean_text_by_text(acts, mask):
    no_empty_row(mask)
    return torch.stack([text[kept].mean(dim=0) for text, kept in zip(acts, mask, strict=True)])


@alternative("masked_mean")
def mean_by_weights(acts, mask):
    no_empty_row(mask)
    weights = mask.double() / mask.sum(dim=1, keepdim=True)
    return torch.einsum("tp,tpd->td", weights, acts.double().masked_fill(~mask.unsqueeze(-1), 0))


def centre(acts):
    return acts - acts.mean(dim=0)


def by_svd(centred, n_components):
    _, values, rows = torch.linalg.svd(centred.double(), full_matrices=False)
    return rows[:n_components].float(), (values.square() / values.square().sum())[:n_components].float()


@mistake("principal_components")
def not_centred(acts, n_components):
    """The mean was not subtracted. Activations lie far from the origin, so the first component then points from the
    origin to the cloud instead of along it."""
    return by_svd(acts, n_components)


@mistake("principal_components")
def centred_within_each_text(acts, n_components):
    """The mean was taken over the features of each text (dim=1). Subtract the mean *text*: dim=0."""
    return by_svd(acts - acts.mean(dim=1, keepdim=True), n_components)


@mistake("principal_components")
def columns_of_vh(acts, n_components):
    """`torch.linalg.svd` returns Vh, whose *rows* are the components. These are its columns."""
    _, values, rows = torch.linalg.svd(centre(acts).double(), full_matrices=False)
    ratios = values.square() / values.square().sum()
    return rows[:, :n_components].T.contiguous().float(), ratios[:n_components].float()


@mistake("principal_components")
def transposed_components(acts, n_components):
    """The components are returned as columns, with shape (d_model, n_components). Rows were promised: transpose."""
    components, ratios = by_svd(centre(acts), n_components)
    return components.T.contiguous(), ratios


@mistake("principal_components")
def ascending_order(acts, n_components):
    """`torch.linalg.eigh` returns eigenvalues in *ascending* order, so these are the directions of least variance. Turn
    the order round."""
    values, vectors = torch.linalg.eigh(torch.cov(acts.double().T))
    return vectors[:, :n_components].T.contiguous().float(), (values / values.sum())[:n_components].float()


@mistake("principal_components")
def shares_of_what_was_kept(acts, n_components):
    """The ratios sum to 1 over the components *kept*. They are shares of the total variance, which does not depend on
    how many components you ask for."""
    components, ratios = by_svd(centre(acts), n_components)
    return components, ratios / ratios.sum()


@mistake("principal_components")
def singular_values_not_squared(acts, n_components):
    """The ratios are made from singular values. Variance goes with their squares."""
    components, _ = by_svd(centre(acts), n_components)
    values = torch.linalg.svdvals(centre(acts))
    return components, (values / values.sum())[:n_components]


@mistake("principal_components")
def variances_not_ratios(acts, n_components):
    """These are variances in squared activation units. Divide by the total variance to get ratios."""
    components, ratios = by_svd(centre(acts), n_components)
    return components, ratios * centre(acts).square().sum() / (len(acts) - 1)


@mistake("principal_components")
def projections_not_components(acts, n_components):
    """These are the texts' coordinates along the components (one row a text). The components themselves, directions in
    activation space, were asked for."""
    components, ratios = by_svd(centre(acts), n_components)
    return centre(acts) @ components.T, ratios


@mistake("principal_components")
def standardised_features(acts, n_components):
    """Each feature was divided by its standard deviation. That is PCA of the correlation matrix: its components are not
    directions of greatest variance of the activations. Only centre."""
    scale = acts.std(dim=0)
    return by_svd(centre(acts) / torch.where(scale > 0, scale, torch.ones_like(scale)), n_components)


@mistake("principal_components")
def scaled_by_singular_values(acts, n_components):
    """The components are stretched by their singular values. Rows of length one were promised."""
    components, ratios = by_svd(centre(acts), n_components)
    return components * torch.linalg.svdvals(centre(acts))[:n_components, None], ratios


@mistake("principal_components")
def centred_in_place(acts, n_components):
    """The mean is subtracted in place (`acts -= …`), so that the caller's activations change. Make a new tensor."""
    components, ratios = by_svd(centre(acts), n_components)
    acts -= acts.mean(dim=0)
    return components, ratios


@alternative("principal_components")
def by_covariance(acts, n_components):
    centred = acts.double() - acts.double().mean(dim=0)
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    return vectors.flip(1)[:, :n_components].T, values.flip(0)[:n_components] / values.sum()


@alternative("principal_components")
def by_texts_gram_matrix(acts, n_components):
    centred = acts - acts.mean(dim=0, keepdim=True)
    values, vectors = np.linalg.eigh((centred @ centred.T).double().numpy())
    largest = np.argsort(values)[::-1][:n_components]
    directions = vectors[:, largest].T @ centred.double().numpy()
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    ratios = values[largest] / np.trace((centred @ centred.T).double().numpy())
    return torch.from_numpy(directions), torch.from_numpy(ratios)


@alternative("principal_components")
def by_svd_in_float32(acts, n_components):
    _, values, rows = torch.linalg.svd(acts - acts.mean(dim=0), full_matrices=False)
    return -rows[:n_components], values[:n_components] ** 2 / (values**2).sum()


def no_zero_vector(directions):
    if (directions == 0).all(dim=1).any():
        raise ValueError("a vector of zeros has no direction")


def unit(directions):
    return directions / directions.norm(dim=1, keepdim=True)


@mistake("cosine_similarities")
def dot_products(directions):
    """These are dot products: they grow with the lengths of the vectors. Divide by both lengths."""
    no_zero_vector(directions)
    return directions @ directions.T


@mistake("cosine_similarities")
def normalised_over_directions(directions):
    """Each *feature* was normalised (dim=0). Each direction must have length one: dim=1."""
    no_zero_vector(directions)
    scaled = directions / directions.norm(dim=0, keepdim=True).clamp(min=1e-12)
    return scaled @ scaled.T


@mistake("cosine_similarities")
def only_one_side_normalised(directions):
    """Only one of the two vectors was divided by its length, so the table is not symmetric. Divide by both."""
    no_zero_vector(directions)
    return unit(directions) @ directions.T


@mistake("cosine_similarities")
def correlations(directions):
    """These are Pearson correlations: the mean over features was subtracted from each vector first. A cosine takes the
    vectors as they are."""
    no_zero_vector(directions)
    centred = directions - directions.mean(dim=1, keepdim=True)
    return unit(centred) @ unit(centred).T


@mistake("cosine_similarities")
def mean_direction_removed(directions):
    """The mean direction was subtracted first. Whether to centre is the caller's decision, and it changes the answer
    completely: this function takes the vectors as they are."""
    no_zero_vector(directions)
    centred = directions - directions.mean(dim=0)
    return unit(centred) @ unit(centred).T


@mistake("cosine_similarities")
def cosine_distances(directions):
    """These are cosine *distances*, 1 − cosine. A vector's similarity with itself is 1, not 0."""
    no_zero_vector(directions)
    return 1 - unit(directions) @ unit(directions).T


@mistake("cosine_similarities")
def sign_dropped(directions):
    """The sign was dropped. Opposite directions have cosine −1."""
    no_zero_vector(directions)
    return (unit(directions) @ unit(directions).T).abs()


@mistake("cosine_similarities")
def normalised_in_place(directions):
    """The vectors are normalised in place (`directions /= …`), so that the caller loses their lengths. Make a new
    tensor."""
    no_zero_vector(directions)
    directions /= directions.norm(dim=1, keepdim=True)
    return directions @ directions.T


@mistake("cosine_similarities")
def zero_by_sum(directions):
    """A vector is taken for zero where its coordinates *sum* to zero. They may cancel: (1, −1) has a direction. Ask for
    its length, or whether all coordinates are zero."""
    if (directions.sum(dim=1) == 0).any():
        raise ValueError("a vector of zeros has no direction")
    return unit(directions) @ unit(directions).T


@mistake("cosine_similarities")
def zero_vector_gives_zero(directions):
    """A vector of zeros gets similarity 0 with everything (that is what `F.normalize` and `F.cosine_similarity` do),
    which reads as "unrelated". It has no direction: raise ValueError."""
    unit_length = torch.nn.functional.normalize(directions, dim=1)
    return unit_length @ unit_length.T


@mistake("cosine_similarities")
def zero_vector_gives_nan(directions):
    """A vector of zeros gives 0/0 = NaN, which travels silently through everything that follows. Raise ValueError."""
    return unit(directions) @ unit(directions).T


@alternative("cosine_similarities")
def pair_by_pair(directions):
    if not directions.norm(dim=1).all():
        raise ValueError("zero vector")
    return torch.nn.functional.cosine_similarity(directions[:, None], directions[None], dim=-1, eps=0)


@alternative("cosine_similarities")
def dots_over_lengths(directions):
    dots = directions.double() @ directions.double().T
    lengths = dots.diagonal().sqrt()
    if bool((lengths == 0).any()):
        raise ValueError("zero vector")
    return dots / torch.outer(lengths, lengths)
