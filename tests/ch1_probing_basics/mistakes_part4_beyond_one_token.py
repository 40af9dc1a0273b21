"""Wrong answers to chapter 1, part 4 that its checks must reject, and right ones written differently."""

import heapq
import math

import numpy as np
import torch
from scipy.sparse.csgraph import minimum_spanning_tree

from utils.course import alternative, mistake


def every_text_has_tokens(mask):
    if not bool(mask.any(dim=1).all()):
        raise ValueError("a text has no real token")


def attend(acts, mask, query, value, bias, strength=None, weigh=None):
    """A right attention probe; the parts that the mistakes below get wrong are arguments."""
    every_text_has_tokens(mask)
    raw = acts @ query / math.sqrt(acts.shape[-1]) if strength is None else strength(acts, query)
    weigh = weigh or (lambda raw, mask: raw.masked_fill(~mask, float("-inf")).softmax(dim=1))
    weights = weigh(raw, mask)
    return (weights * (acts @ value)).sum(dim=1) + bias, weights


@mistake("attention_probe")
def padding_attended(acts, mask, query, value, bias):
    """The softmax runs over the padding too: a text's score then depends on how long the longest text of its batch is.
    Set the attention scores of padding to −∞ before the softmax."""
    return attend(acts, mask, query, value, bias, weigh=lambda raw, mask: raw.softmax(dim=1))


@mistake("attention_probe")
def masked_after_softmax(acts, mask, query, value, bias):
    """Padding gets weight 0 only after the softmax, so that the weights of the real tokens no longer sum to 1. Mask
    before the softmax, with −∞."""
    return attend(acts, mask, query, value, bias, weigh=lambda raw, mask: raw.softmax(dim=1) * mask)


@mistake("attention_probe")
def padding_scored_zero(acts, mask, query, value, bias):
    """The attention score of padding is set to 0. exp(0) is 1, so that padding still gets weight: −∞ is what the
    softmax turns into 0."""
    return attend(
        acts, mask, query, value, bias, weigh=lambda raw, mask: raw.masked_fill(~mask, 0).softmax(dim=1)
    )


@mistake("attention_probe")
def not_scaled(acts, mask, query, value, bias):
    """The division by √d_model is missing."""
    return attend(acts, mask, query, value, bias, strength=lambda acts, query: acts @ query)


@mistake("attention_probe")
def scaled_by_width(acts, mask, query, value, bias):
    """The attention scores are divided by d_model. Divide by its square root."""
    return attend(acts, mask, query, value, bias, strength=lambda acts, query: acts @ query / acts.shape[-1])


@mistake("attention_probe")
def softmax_over_texts(acts, mask, query, value, bias):
    """The softmax runs over dim=0, the texts: tokens of different texts compete. It belongs over the positions of one
    text, dim=1."""
    return attend(
        acts, mask, query, value, bias,
        weigh=lambda raw, mask: raw.masked_fill(~mask, float("-inf")).softmax(dim=0),
    )  # fmt: skip


@mistake("attention_probe")
def uniform_weights(acts, mask, query, value, bias):
    """Every real token has the same weight: this is mean pooling. The query should decide where to look."""
    return attend(
        acts, mask, query, value, bias, weigh=lambda raw, mask: mask / mask.sum(dim=1, keepdim=True)
    )


@mistake("attention_probe")
def hard_attention(acts, mask, query, value, bias):
    """Only the single strongest token counts (argmax). Use the softmax: it also lets gradients reach the query."""
    return attend(
        acts, mask, query, value, bias,
        weigh=lambda raw, mask: torch.nn.functional.one_hot(
            raw.masked_fill(~mask, float("-inf")).argmax(dim=1), raw.shape[1]
        ).float(),
    )  # fmt: skip


@mistake("attention_probe")
def overflowing_exponential(acts, mask, query, value, bias):
    """The softmax is written as exp(x) / sum of exp(x), which overflows to inf / inf = NaN at scores beyond 88.
    Subtract each text's largest score first, or use torch.softmax, which does."""

    def weigh(raw, mask):
        exponentials = raw.exp() * mask
        return exponentials / exponentials.sum(dim=1, keepdim=True)

    return attend(acts, mask, query, value, bias, weigh=weigh)


@mistake("attention_probe")
def largest_over_the_batch(acts, mask, query, value, bias):
    """The exponentials are kept from overflowing by the largest attention score of the *batch*. In a text whose own
    scores are far lower they all become 0, and 0/0 is NaN. Subtract each text's own largest score, or use
    torch.softmax."""

    def weigh(raw, mask):
        raw = raw.masked_fill(~mask, float("-inf"))
        exponentials = (raw - raw.max()).exp()
        return exponentials / exponentials.sum(dim=1, keepdim=True)

    return attend(acts, mask, query, value, bias, weigh=weigh)


@mistake("attention_probe")
def padding_not_low_enough(acts, mask, query, value, bias):
    """Padding gets an attention score of −1000, but a real token's may be lower still: then the padding takes the
    weight. −∞ is lower than anything."""
    return attend(
        acts, mask, query, value, bias, weigh=lambda raw, mask: raw.masked_fill(~mask, -1000.0).softmax(dim=1)
    )


@mistake("attention_probe")
def query_scaled_in_place(acts, mask, query, value, bias):
    """The query is divided by √d_model in place (`query /= …`): the caller's query shrinks with every call. Divide the
    attention scores."""
    every_text_has_tokens(mask)
    query /= math.sqrt(len(query))
    return attend(acts, mask, query, value, bias, strength=lambda acts, query: acts @ query)


@mistake("attention_probe")
def bias_forgotten(acts, mask, query, value, bias):
    """The bias is not added to the score."""
    return attend(acts, mask, query, value, 0.0)


@mistake("attention_probe")
def query_and_value_swapped(acts, mask, query, value, bias):
    """Query and value have changed places: the query decides where to look, the value what to read there."""
    return attend(acts, mask, value, query, bias)


@mistake("attention_probe")
def silent_without_tokens(acts, mask, query, value, bias):
    """A text without a real token gives NaN instead of a ValueError: the softmax of nothing but −∞ is NaN."""
    raw = (acts @ query / math.sqrt(acts.shape[-1])).masked_fill(~mask, float("-inf"))
    weights = raw.softmax(dim=1)
    return (weights * (acts @ value)).sum(dim=1) + bias, weights


@alternative("attention_probe")
def pools_first(acts, mask, query, value, bias):
    every_text_has_tokens(mask)
    acts = acts.double().masked_fill(~mask.unsqueeze(-1), 0.0)
    raw = torch.einsum("tpd,d->tp", acts, query.double()) * acts.shape[-1] ** -0.5
    raw = raw - raw.masked_fill(~mask, float("-inf")).amax(dim=1, keepdim=True)
    exponentials = raw.clamp(max=0.0).exp() * mask
    weights = exponentials / exponentials.sum(dim=1, keepdim=True)
    pooled = torch.einsum("tp,tpd->td", weights, acts)
    return (pooled @ value.double() + bias), weights


@alternative("attention_probe")
def text_by_text(acts, mask, query, value, bias):
    weights = torch.zeros(mask.shape)
    scores = []
    for text, real in enumerate(mask):
        if not real.any():
            raise ValueError(f"text {text} has no real token")
        rows = acts[text, real]
        weights[text, real] = torch.softmax(rows @ (query / rows.shape[1] ** 0.5), dim=0)
        scores.append(weights[text, real] @ (rows @ value) + bias)
    return torch.stack(scores), weights


def differences(acts, projection):
    projected = acts @ projection
    return projected.unsqueeze(0) - projected.unsqueeze(1)


@mistake("structural_distances")
def not_squared(acts, projection):
    """These are the distances themselves. Hewitt and Manning fit *squared* distances to the tree: drop the root."""
    return differences(acts, projection).norm(dim=-1)


@mistake("structural_distances")
def not_projected(acts, projection):
    """The projection is not used: these are distances in the residual stream itself."""
    return differences(acts, torch.eye(acts.shape[1])).square().sum(dim=-1)


@mistake("structural_distances")
def city_block(acts, projection):
    """This sums absolute differences (the L1 distance). Sum their squares."""
    return differences(acts, projection).abs().sum(dim=-1)


@mistake("structural_distances")
def averaged_over_rank(acts, projection):
    """The squares are averaged over the projection's dimensions. Sum them: otherwise the rank changes the unit."""
    return differences(acts, projection).square().mean(dim=-1)


@mistake("structural_distances")
def inner_products(acts, projection):
    """These are inner products, which say how alike two words are. A distance is 0 from a word to itself."""
    projected = acts @ projection
    return projected @ projected.T


@mistake("structural_distances")
def difference_of_lengths(acts, projection):
    """This compares the lengths of the projected words, one number each. That is the paper's *depth* probe; for a
    distance subtract the vectors first."""
    depths = (acts @ projection).square().sum(dim=-1)
    return (depths.unsqueeze(0) - depths.unsqueeze(1)).abs()


@mistake("structural_distances")
def centred_in_place(acts, projection):
    """The mean is subtracted in place (`acts -= …`). It changes no distance, but the caller's activations: make a new
    tensor, or leave it out."""
    acts -= acts.mean(dim=0)
    return differences(acts, projection).square().sum(dim=-1)


@mistake("structural_distances")
def cross_term_once(acts, projection):
    """‖a − b‖² is ‖a‖² + ‖b‖² − 2·a·b: the inner product is subtracted only once here."""
    projected = acts @ projection
    lengths = projected.square().sum(dim=-1)
    return lengths.unsqueeze(0) + lengths.unsqueeze(1) - projected @ projected.T


@mistake("structural_distances")
def unit_length_words(acts, projection):
    """The projected words are scaled to length 1 first, which makes this a cosine distance. Leave their lengths."""
    projected = torch.nn.functional.normalize(acts @ projection, dim=-1)
    return (projected.unsqueeze(0) - projected.unsqueeze(1)).square().sum(dim=-1)


@alternative("structural_distances")
def by_inner_products(acts, projection):
    projected = acts @ projection
    gram = projected @ projected.T
    lengths = gram.diagonal()
    return lengths.unsqueeze(0) + lengths.unsqueeze(1) - 2 * gram


@alternative("structural_distances")
def by_cdist(acts, projection):
    projected = (acts @ projection).double()
    return torch.cdist(projected, projected).square()


@alternative("structural_distances")
def by_quadratic_form(acts, projection):
    metric = projection @ projection.T
    gaps = acts.unsqueeze(0) - acts.unsqueeze(1)
    return torch.einsum("ijd,de,ije->ij", gaps, metric, gaps)


def all_pairs(distances):
    n = len(distances)
    return sorted((float(distances[i, j]), i, j) for i in range(n) for j in range(i + 1, n))


def kruskal(n, ordered):
    piece = list(range(n))
    edges = set()
    for _, i, j in ordered:
        if piece[i] != piece[j]:
            edges.add((i, j))
            merged, kept = piece[j], piece[i]
            piece = [kept if p == merged else p for p in piece]
    return edges


@mistake("spanning_edges")
def nearest_neighbours(distances):
    """Each word is joined to its nearest neighbour. That leaves the words in separate clumps: a tree has n − 1 edges
    and is in one piece."""
    table = distances.clone()
    table.fill_diagonal_(float("inf"))
    return {(min(i, j), max(i, j)) for i, j in enumerate(table.argmin(dim=1).tolist()) if len(table) > 1}


@mistake("spanning_edges")
def shortest_pairs(distances):
    """These are the n − 1 shortest pairs. They may close a circle and leave a word out: skip a pair whose two words are
    joined already."""
    return {(i, j) for _, i, j in all_pairs(distances)[: len(distances) - 1]}


@mistake("spanning_edges")
def maximum_tree(distances):
    """This is the *maximum* spanning tree: it joins the words that are farthest apart."""
    return kruskal(len(distances), all_pairs(distances)[::-1])


@mistake("spanning_edges")
def linear_chain(distances):
    """Each word is joined to the next one, whatever the distances: that is the floor to beat."""
    return {(i, i + 1) for i in range(len(distances) - 1)}


@mistake("spanning_edges")
def greedy_walk(distances):
    """Each step starts from the word that was added last, so the tree is a path without branches. The next edge may
    start from *any* word of the tree."""
    at, left, edges = 0, set(range(1, len(distances))), set()
    while left:
        nearest = min(left, key=lambda j: float(distances[at, j]))
        edges.add((min(at, nearest), max(at, nearest)))
        left.remove(nearest)
        at = nearest
    return edges


@mistake("spanning_edges")
def star_from_first_word(distances):
    """Distances are always measured from the first word, so that every edge starts there. Measure from the nearest word
    of the tree so far."""
    return {(0, j) for j in range(1, len(distances))}


@mistake("spanning_edges")
def zero_is_no_edge(distances):
    """scipy's minimum_spanning_tree takes a 0 in the matrix for "no edge": two words at distance 0 are never joined.
    Add a small constant to every distance first, which changes no comparison, or write the tree yourself."""
    tree = minimum_spanning_tree(distances.double().numpy()).tocoo()
    ends = zip(tree.row.tolist(), tree.col.tolist(), strict=True)
    return {(min(edge), max(edge)) for edge in ends}


@mistake("spanning_edges")
def keyed_by_distance(distances):
    """The pairs are kept in a dict under their distance, so that of several pairs at the same distance only the last is
    left. Sort a list of (distance, i, j)."""
    pair_at = {distance: (i, j) for distance, i, j in all_pairs(distances)}
    return kruskal(len(distances), [(distance, *pair_at[distance]) for distance in sorted(pair_at)])


@mistake("spanning_edges")
def both_directions(distances):
    """Every edge is listed twice, as (i, j) and as (j, i). List it once, with i < j."""
    edges = kruskal(len(distances), all_pairs(distances))
    return edges | {(j, i) for i, j in edges}


@mistake("spanning_edges")
def list_of_edges(distances):
    """The edges are right, but in a list. A set is promised: sets can be intersected with the gold edges."""
    return sorted(kruskal(len(distances), all_pairs(distances)))


@alternative("spanning_edges")
def by_kruskal(distances):
    return kruskal(len(distances), all_pairs(distances))


@alternative("spanning_edges")
def by_scipy(distances):
    # 1 is added because scipy reads 0 as "no edge"; only the order of the distances matters.
    tree = minimum_spanning_tree(distances.double().numpy() + 1).tocoo()
    ends = zip(tree.row, tree.col, strict=True)
    return {(min(edge), max(edge)) for edge in ends}


@alternative("spanning_edges")
def by_heap(distances):
    table = distances.tolist()
    seen, edges = {0}, set()
    heap = [(table[0][j], 0, j) for j in range(1, len(table))]
    heapq.heapify(heap)
    while heap:
        _, i, j = heapq.heappop(heap)
        if j in seen:
            continue
        seen.add(j)
        edges.add((min(i, j), max(i, j)))
        for k in range(len(table)):
            if k not in seen:
                heapq.heappush(heap, (table[j][k], j, k))
    return edges


@mistake("logit_lens")
def norm_forgotten(model, resid):
    """The final norm is missing. The unembedding expects a normalised stream: without it, deeper layers, whose stream
    is longer, only look surer."""
    return model.unembed(resid)


@mistake("logit_lens")
def norm_without_weight(model, resid):
    """The stream is normalised by hand, but the norm's learned weight, one factor a coordinate, is left out. Call
    model.ln_final."""
    return model.unembed(resid / (resid.square().mean(dim=-1, keepdim=True) + model.cfg.eps).sqrt())


@mistake("logit_lens")
def embedding_for_unembedding(model, resid):
    """The logits are products with the *embedding* W_E. Some models tie it to the unembedding, this one does not: use
    model.unembed."""
    return model.ln_final(resid) @ model.W_E.T


@mistake("logit_lens")
def unit_length(model, resid):
    """The stream is scaled to length 1. The final norm divides by the root *mean* square, so that the length becomes
    √d_model, and multiplies by its weight: call model.ln_final."""
    return model.unembed(torch.nn.functional.normalize(resid, dim=-1))


@mistake("logit_lens")
def centred_norm(model, resid):
    """The stream is centred before it is scaled, as LayerNorm does. This model has an RMSNorm, which does not centre:
    call model.ln_final and the right one is used."""
    centred = resid - resid.mean(dim=-1, keepdim=True)
    return model.unembed(model.ln_final(centred))


@mistake("logit_lens")
def normed_over_batch(model, resid):
    """The root mean square is taken over the batch as well, so that one row's logits depend on its neighbours. Each row
    has its own."""
    scale = (resid.square().mean() + model.cfg.eps).sqrt()
    return model.unembed(resid / scale * model.ln_final.weight)


@mistake("logit_lens")
def probabilities(model, resid):
    """These are probabilities. The lens is asked for logits: leave out the softmax."""
    return model.unembed(model.ln_final(resid)).softmax(dim=-1)


@mistake("logit_lens")
def log_probabilities(model, resid):
    """These are log-probabilities, shifted by a constant in each row. The lens is asked for the logits themselves."""
    return model.unembed(model.ln_final(resid)).log_softmax(dim=-1)


@mistake("logit_lens")
def best_token_only(model, resid):
    """This returns the most probable token. Return the logits of the whole vocabulary."""
    return model.unembed(model.ln_final(resid)).argmax(dim=-1)


@alternative("logit_lens")
def by_matrices(model, resid):
    rows = resid.double()
    normed = rows * torch.rsqrt(rows.square().mean(dim=-1, keepdim=True) + model.cfg.eps)
    return normed * model.ln_final.weight.double() @ model.W_U.double()


@alternative("logit_lens")
def by_hugging_face(model, resid):
    hf_model = model.original_model
    with torch.no_grad():
        return hf_model.lm_head(hf_model.model.norm(resid.unsqueeze(0))).squeeze(0)


def checked(acts, labels, k):
    if bool(labels.all()) or not bool(labels.any()):
        raise ValueError("labels must contain both True and False")
    if not 1 <= k <= acts.shape[1]:
        raise ValueError(f"k must be between 1 and {acts.shape[1]}, not {k}")


def mean_gap(acts, labels):
    return acts[labels].double().mean(dim=0) - acts[~labels].double().mean(dim=0)


def pooled_variance(acts, labels):
    parts = [acts[labels].double(), acts[~labels].double()]
    squares = sum((part - part.mean(dim=0)).square().sum(dim=0) for part in parts)
    return squares / (len(acts) - 2)


def ratio(gap, spread):
    return torch.where(spread > 0, gap / spread, torch.zeros_like(gap))


@mistake("top_k_neurons")
def signed_difference(acts, labels, k):
    """The sign of the difference was kept, so that a coordinate that is strongly *lower* for True ranks last. Take the
    absolute value."""
    checked(acts, labels, k)
    return ratio(mean_gap(acts, labels), pooled_variance(acts, labels).sqrt()).topk(k).indices


@mistake("top_k_neurons")
def not_divided(acts, labels, k):
    """The mean differences are not divided by the spread, so that the coordinates with the largest numbers win. Divide
    by the pooled within-class standard deviation."""
    checked(acts, labels, k)
    return mean_gap(acts, labels).abs().topk(k).indices


@mistake("top_k_neurons")
def divided_by_variance(acts, labels, k):
    """The difference is divided by the *variance*: the ranking then depends on the units. Take the square root."""
    checked(acts, labels, k)
    return ratio(mean_gap(acts, labels).abs(), pooled_variance(acts, labels)).topk(k).indices


@mistake("top_k_neurons")
def spread_of_false_only(acts, labels, k):
    """The spread is that of the False class alone. Pool both classes."""
    checked(acts, labels, k)
    return ratio(mean_gap(acts, labels).abs(), acts[~labels].double().std(dim=0)).topk(k).indices


@mistake("top_k_neurons")
def classes_weigh_the_same(acts, labels, k):
    """The two classes' variances are averaged as if the classes were of equal size. Pooled means: add up the squared
    deviations of all texts from their own class mean."""
    checked(acts, labels, k)
    variance = (acts[labels].double().var(dim=0) + acts[~labels].double().var(dim=0)) / 2
    return ratio(mean_gap(acts, labels).abs(), variance.sqrt()).topk(k).indices


@mistake("top_k_neurons")
def smallest_first(acts, labels, k):
    """The chosen coordinates are listed from the weakest to the strongest. Sort descending."""
    checked(acts, labels, k)
    scores = ratio(mean_gap(acts, labels).abs(), pooled_variance(acts, labels).sqrt())
    return scores.argsort()[-k:]


@mistake("top_k_neurons")
def weakest_coordinates(acts, labels, k):
    """These are the k *weakest* coordinates: argsort sorts ascending unless told otherwise."""
    checked(acts, labels, k)
    scores = ratio(mean_gap(acts, labels).abs(), pooled_variance(acts, labels).sqrt())
    return scores.argsort()[:k]


@mistake("top_k_neurons")
def in_order_of_index(acts, labels, k):
    """The right coordinates, but listed by their number. The strongest should come first, so that the first j of them
    are the j best."""
    checked(acts, labels, k)
    scores = ratio(mean_gap(acts, labels).abs(), pooled_variance(acts, labels).sqrt())
    return scores.topk(k).indices.sort().values


@mistake("top_k_neurons")
def returns_strengths(acts, labels, k):
    """These are the strengths of the best coordinates. Return their indices."""
    checked(acts, labels, k)
    return ratio(mean_gap(acts, labels).abs(), pooled_variance(acts, labels).sqrt()).topk(k).values


@mistake("top_k_neurons")
def standardised_in_place(acts, labels, k):
    """The activations are divided by their spread in place (`acts /= …`), so that the caller's tensor changes. Make a
    new one."""
    checked(acts, labels, k)
    scores = ratio(mean_gap(acts, labels).abs(), pooled_variance(acts, labels).sqrt())
    acts /= acts.std(dim=0).clamp(min=1e-12)
    return scores.topk(k).indices


@mistake("top_k_neurons")
def constant_wins(acts, labels, k):
    """A coordinate that never changes gives 0/0 = NaN, and topk sorts NaN above every number. Give it strength 0."""
    checked(acts, labels, k)
    return (mean_gap(acts, labels).abs() / pooled_variance(acts, labels).sqrt()).topk(k).indices


@mistake("top_k_neurons")
def silent_on_one_class(acts, labels, k):
    """With one class missing every strength is NaN and the ranking means nothing, but no ValueError is raised."""
    if not 1 <= k <= acts.shape[1]:
        raise ValueError(f"k must be between 1 and {acts.shape[1]}, not {k}")
    scores = ratio(mean_gap(acts, labels).abs(), pooled_variance(acts, labels).sqrt())
    return scores.topk(k).indices


@alternative("top_k_neurons")
def by_correlation(acts, labels, k):
    """|correlation with the label| is a rising function of the strength, so that the ranking is the same."""
    checked(acts, labels, k)
    x = acts.double() - acts.double().mean(dim=0)
    y = labels.double() - labels.double().mean()
    norms = x.norm(dim=0)
    correlation = torch.where(norms > 0, (y @ x).abs() / norms.clamp(min=1e-300), 0.0)
    return correlation.argsort(descending=True)[:k]


@alternative("top_k_neurons")
def by_numpy(acts, labels, k):
    checked(acts, labels, k)
    true, false = acts.numpy()[labels.numpy()], acts.numpy()[~labels.numpy()]
    pooled = np.sqrt((len(true) * true.var(axis=0) + len(false) * false.var(axis=0)) / len(acts))
    gap = np.abs(true.mean(axis=0) - false.mean(axis=0))
    scores = np.divide(gap, pooled, out=np.zeros_like(gap), where=pooled > 0)
    return torch.from_numpy(np.argsort(-scores)[:k].copy())
