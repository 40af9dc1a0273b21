"""Checks of chapter 1, part 4: beyond one token."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform

from utils.course import assert_close, exercise, hidden

YOURS_TO_WRITE = (
    "utils.neural_probes.AttentionProbe",
    "utils.neural_probes._attend",
)


def padded_texts(rng, lengths=(5, 1, 3, 4), d_model=6, scale=1.0):
    """Right-padded activations whose padding is not zero: a forgotten mask must show."""
    acts = torch.randn(len(lengths), max(lengths), d_model, generator=rng) * scale
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return acts, mask


def query_and_value(rng, d_model=6):
    return 2 * torch.randn(d_model, generator=rng), torch.randn(d_model, generator=rng)


@exercise("attention_probe", points=2)
class TestAttentionProbe:
    def test_by_hand(self, learner):
        """weighs each real token by softmax(acts · query / √d_model), then sums weight × (acts · value) + bias"""
        # d_model is 4, so √d_model is 2: the attention scores are 2·log(3) / 2 = log 3 and 0, the weights 3/4 and 1/4.
        log9 = 2 * math.log(3)
        acts = torch.tensor([[[log9, 2.0, 0.0, 0.0], [0.0, 6.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0]]])
        mask = torch.tensor([[True, True, False]])
        query, value = torch.tensor([1.0, 0.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0, 0.0])
        scores, weights = learner.attention_probe(acts, mask, query, value, 10.0)
        assert_close(weights, torch.tensor([[0.75, 0.25, 0.0]]), what="weights")
        assert_close(scores, torch.tensor([13.0]), what="scores")

    def test_weights_sum_to_one(self, learner, rng):
        """the weights of a text sum to 1 over its real tokens and are exactly 0 at padding"""
        acts, mask = padded_texts(rng)
        _, weights = learner.attention_probe(acts, mask, *query_and_value(rng), 0.3)
        assert_close(weights.sum(dim=1), torch.ones(len(acts)), what="sum of each text's weights")
        assert bool((weights[~mask] == 0).all()), "expected weight 0 at every padding position"
        assert bool((weights[mask] > 0).all()), "expected a positive weight at every real token"

    def test_padding_is_ignored(self, learner, rng):
        """what stands in the padding changes nothing, however large"""
        acts, mask = padded_texts(rng)
        query, value = query_and_value(rng)
        scores, weights = learner.attention_probe(acts, mask, query, value, -1.0)
        for filler in (1e6, -1e6):
            filled = acts.masked_fill(~mask.unsqueeze(-1), filler)
            again, weights_again = learner.attention_probe(filled, mask, query, value, -1.0)
            assert_close(again, scores, rtol=1e-3, atol=1e-4, what=f"scores with {filler:g} as padding")
            assert_close(weights_again, weights, rtol=1e-3, atol=1e-5, what="weights with other padding")

    @hidden
    def test_agrees_with_loop(self, learner, rng):
        """agrees with a loop over texts and their real tokens"""
        acts, mask = padded_texts(rng)
        query, value = query_and_value(rng)
        expected = torch.zeros(mask.shape, dtype=torch.float64)
        totals = []
        for text in range(len(acts)):
            rows = acts[text][mask[text]].double().numpy()
            strengths = np.exp(rows @ query.double().numpy() / math.sqrt(rows.shape[1]))
            strengths /= strengths.sum()
            expected[text][mask[text]] = torch.from_numpy(strengths)
            totals.append(float(strengths @ (rows @ value.double().numpy())) + 0.7)
        scores, weights = learner.attention_probe(acts, mask, query, value, 0.7)
        assert_close(weights, expected, rtol=1e-3, atol=1e-5, what="weights")
        assert_close(scores, torch.tensor(totals, dtype=torch.float64), rtol=1e-3, atol=1e-4, what="scores")

    def test_zero_query_is_the_mean(self, learner, rng):
        """with a query of zeros every real token counts the same: mean pooling"""
        acts, mask = padded_texts(rng)
        _, value = query_and_value(rng)
        scores, weights = learner.attention_probe(acts, mask, torch.zeros(6), value, 0.0)
        lengths = mask.sum(dim=1)
        assert_close(weights, mask / lengths.unsqueeze(1), what="weights")
        means = torch.stack([acts[text, : lengths[text]].mean(dim=0) for text in range(len(acts))])
        assert_close(scores, means @ value, rtol=1e-3, atol=1e-4, what="scores")

    def test_large_activations(self, learner, rng):
        """attention scores in the thousands, above or below zero, are no problem: the strongest token takes all the
        weight"""
        acts, mask = padded_texts(rng)
        acts[:, :, 0] = torch.tensor([1.0, 3.0, 2.0, 0.0, -1.0])
        # The second token is the strongest, or the last one the least weak; the second text has only one token.
        for size, strongest in ((5000.0, [1, 0, 1, 1]), (-5000.0, [4, 0, 0, 3])):
            query = torch.zeros(6)
            query[0] = size
            _, weights = learner.attention_probe(acts, mask, query, torch.ones(6), 0.0)
            expected = torch.nn.functional.one_hot(torch.tensor(strongest), 5).float()
            assert_close(weights, expected, what=f"weights with a query of {size:g}")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        acts, mask = padded_texts(rng)
        query, value = query_and_value(rng)
        before = acts.clone(), mask.clone(), query.clone(), value.clone()
        learner.attention_probe(acts, mask, query, value, 0.0)
        assert_close((acts, mask, query, value), before, what="arguments after the call")

    def test_text_without_tokens(self, learner, rng):
        """raises ValueError where a text has no real token: a softmax over nothing is NaN"""
        acts, mask = padded_texts(rng)
        mask[2] = False
        with pytest.raises(ValueError):
            learner.attention_probe(acts, mask, *query_and_value(rng), 0.0)


@exercise("structural_distances")
class TestStructuralDistances:
    def test_by_hand(self, learner):
        """the squared length of the projected difference of every two words"""
        acts = torch.tensor([[0.0, 0.0, 5.0], [3.0, 0.0, -7.0], [0.0, 4.0, 1.0]])
        # The third coordinate is projected away; the first two stay, the second doubled.
        projection = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
        expected = torch.tensor([[0.0, 9.0, 64.0], [9.0, 0.0, 73.0], [64.0, 73.0, 0.0]])
        assert_close(learner.structural_distances(acts, projection), expected)

    def test_agrees_with_scipy(self, learner, rng):
        """agrees with scipy's squared Euclidean distances after the projection, whatever its rank"""
        for rank in (1, 3, 9):
            acts = torch.randn(7, 5, generator=rng)
            projection = torch.randn(5, rank, generator=rng)
            projected = (acts.double() @ projection.double()).numpy()
            expected = torch.from_numpy(squareform(pdist(projected, "sqeuclidean")))
            received = learner.structural_distances(acts, projection)
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what=f"distances at rank {rank}")

    def test_same_under_a_shift(self, learner, rng):
        """moving every word by one vector changes no distance"""
        acts, projection = torch.randn(6, 4, generator=rng), torch.randn(4, 2, generator=rng)
        shift = 3 * torch.randn(4, generator=rng)
        received = learner.structural_distances(acts + shift, projection)
        expected = learner.structural_distances(acts, projection)
        assert_close(received, expected, rtol=1e-2, atol=1e-2, what="distances after the shift")

    def test_twice_as_far(self, learner, rng):
        """twice the projection gives four times the distance: it is squared, as the tree's distances are not lengths"""
        acts, projection = torch.randn(6, 4, generator=rng), torch.randn(4, 2, generator=rng)
        received = learner.structural_distances(acts, 2 * projection)
        expected = 4 * learner.structural_distances(acts, projection).double()
        assert_close(received, expected, rtol=1e-3, atol=1e-4)

    def test_symmetric_with_zero_diagonal(self, learner, rng):
        """the same both ways, and 0 from a word to itself"""
        acts, projection = torch.randn(6, 4, generator=rng), torch.randn(4, 2, generator=rng)
        received = learner.structural_distances(acts, projection)
        assert_close(received, received.T, rtol=1e-3, atol=1e-4, what="the matrix and its transpose")
        assert_close(received.diagonal(), torch.zeros(6), atol=1e-4, what="the diagonal")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        acts, projection = torch.randn(6, 4, generator=rng), torch.randn(4, 2, generator=rng)
        before = acts.clone(), projection.clone()
        learner.structural_distances(acts, projection)
        assert_close((acts, projection), before, what="arguments after the call")

    def test_one_word(self, learner):
        """a sentence of one word has one distance, 0"""
        received = learner.structural_distances(torch.ones(1, 3), torch.ones(3, 2))
        assert_close(received, torch.zeros(1, 1), atol=1e-5)


def distances_of(n, pairs):
    table = torch.full((n, n), 50.0)
    table.fill_diagonal_(0.0)
    for (i, j), distance in pairs.items():
        table[i, j] = table[j, i] = distance
    return table


def random_distances(rng, n):
    points = torch.randn(n, 3, generator=rng)
    return (points.unsqueeze(0) - points.unsqueeze(1)).square().sum(dim=-1)


def assert_edges(received, expected):
    assert isinstance(received, set), f"expected a set of pairs, received a {type(received).__name__}"
    for edge in received:
        assert isinstance(edge, tuple), f"expected pairs (i, j), received {edge!r}"
        assert len(edge) == 2, f"expected pairs (i, j), received {edge!r}"
        assert all(isinstance(end, (int, np.integer)) for end in edge), (
            f"expected integers, received {edge!r}"
        )
        assert edge[0] < edge[1], f"expected i < j in every pair, received {edge}"
    assert received == expected, f"expected the edges {sorted(expected)}, received {sorted(received)}"


@exercise("spanning_edges")
class TestSpanningEdges:
    def test_by_hand(self, learner):
        """the three shortest pairs that join four words without a circle"""
        # 0–1–2 are all close to one another: the pair (0, 2) would close a circle, so word 3 hangs on by (1, 3).
        pairs = {(0, 1): 1.0, (1, 2): 2.0, (0, 2): 3.0, (1, 3): 7.0, (2, 3): 8.0}
        assert_edges(learner.spanning_edges(distances_of(4, pairs)), {(0, 1), (1, 2), (1, 3)})

    def test_two_clusters(self, learner):
        """two pairs of near neighbours are joined too: the tree is in one piece"""
        pairs = {(0, 3): 1.0, (1, 2): 2.0, (0, 1): 20.0, (2, 3): 10.0}
        assert_edges(learner.spanning_edges(distances_of(4, pairs)), {(0, 3), (1, 2), (2, 3)})

    def test_branching(self, learner):
        """one word may have many neighbours: the tree is not a chain"""
        pairs = {(0, 2): 4.0, (1, 2): 3.0, (2, 3): 2.0, (2, 4): 1.0, (0, 1): 4.5, (3, 4): 5.0}
        assert_edges(learner.spanning_edges(distances_of(5, pairs)), {(0, 2), (1, 2), (2, 3), (2, 4)})

    def test_gives_back_a_tree(self, learner, rng):
        """from the distances within a tree, most of which are tied, it finds that tree"""
        edges = {(int(torch.randint(k, (1,), generator=rng)), k) for k in range(1, 8)}
        table = torch.full((8, 8), float("inf")).fill_diagonal_(0.0)
        for i, j in edges:
            table[i, j] = table[j, i] = 1.0
        for via in range(8):
            table = torch.minimum(table, table[:, via : via + 1] + table[via : via + 1, :])
        assert_edges(learner.spanning_edges(table), edges)

    @hidden
    def test_agrees_with_scipy(self, learner, rng):
        """agrees with scipy's minimum spanning tree"""
        for n in (2, 6, 11):
            table = random_distances(rng, n)
            tree = minimum_spanning_tree(table.double().numpy()).tocoo()
            ends = zip(tree.row.tolist(), tree.col.tolist(), strict=True)
            assert_edges(learner.spanning_edges(table), {(min(edge), max(edge)) for edge in ends})

    def test_total_length(self, learner, rng):
        """n words have n − 1 edges, and no tree found by trying at random is shorter"""
        table = random_distances(rng, 7)
        edges = learner.spanning_edges(table)
        assert len(edges) == 6, f"expected 6 edges for 7 words, received {len(edges)}"
        length = sum(float(table[edge]) for edge in edges)
        for _ in range(40):
            order = torch.randperm(7, generator=rng).tolist()
            hooks = [int(torch.randint(k, (1,), generator=rng)) for k in range(1, 7)]
            other = sum(float(table[order[k + 1], order[hook]]) for k, hook in enumerate(hooks))
            assert length <= other + 1e-3, f"your tree has length {length:.3f}, another one {other:.3f}"

    def test_distance_zero(self, learner):
        """two words at distance 0 are neighbours: an edge of length 0 is an edge"""
        pairs = {(0, 2): 0.0, (1, 2): 5.0, (0, 1): 6.0, (2, 3): 4.0}
        assert_edges(learner.spanning_edges(distances_of(4, pairs)), {(0, 2), (1, 2), (2, 3)})

    def test_one_word(self, learner):
        """a single word has no edges: the empty set"""
        assert_edges(learner.spanning_edges(torch.zeros(1, 1)), set())

    def test_argument_unchanged(self, learner, rng):
        """leaves the distances as they were"""
        table = random_distances(rng, 5)
        before = table.clone()
        learner.spanning_edges(table)
        assert_close(table, before, what="distances after the call")


@exercise("logit_lens")
class TestLogitLens:
    def test_last_layer(self, learner, tiny_model_scaled_norm, rng):
        """after the last block the lens shows exactly what the model says"""
        model = tiny_model_scaled_norm
        tokens = torch.randint(3, 259, (2, 7), generator=rng)
        name = f"blocks.{model.cfg.n_layers - 1}.hook_out"
        with torch.no_grad():
            logits, cache = model.run_with_cache(tokens, names_filter=[name])
        received = learner.logit_lens(model, cache[name][:, -1].contiguous())
        assert_close(received, logits[:, -1], rtol=1e-3, atol=1e-3)

    @hidden
    def test_agrees_with_the_formula(self, learner, tiny_model_scaled_norm, rng):
        """agrees with the formula: divide by the root mean square, multiply by the norm's weight, unembed"""
        model = tiny_model_scaled_norm
        resid = torch.randn(4, model.cfg.d_model, generator=rng) * 5 + 1
        rows = resid.double()
        normed = rows / (rows.square().mean(dim=1, keepdim=True) + model.cfg.eps).sqrt()
        normed = normed * model.ln_final.weight.detach().double()
        expected = normed @ model.W_U.detach().double()
        assert_close(learner.logit_lens(model, resid), expected, rtol=1e-3, atol=1e-3)

    def test_length_does_not_matter(self, learner, tiny_model_scaled_norm, rng):
        """a stream ten times as long gives the same logits: the final norm takes the length away"""
        model = tiny_model_scaled_norm
        resid = torch.randn(3, model.cfg.d_model, generator=rng)
        received = learner.logit_lens(model, 10 * resid)
        assert_close(received, learner.logit_lens(model, resid), rtol=1e-3, atol=1e-3)
        assert received.shape == (3, model.cfg.d_vocab), (
            f"expected shape {(3, model.cfg.d_vocab)}, received {tuple(received.shape)}"
        )

    def test_rows_are_independent(self, learner, tiny_model_scaled_norm, rng):
        """each row is read by itself: alone or in a batch it gives the same logits"""
        model = tiny_model_scaled_norm
        resid = torch.randn(5, model.cfg.d_model, generator=rng) * torch.arange(1, 6).unsqueeze(1)
        together = learner.logit_lens(model, resid)
        alone = learner.logit_lens(model, resid[2:3])
        assert_close(alone, together[2:3], rtol=1e-3, atol=1e-3)

    def test_argument_unchanged(self, learner, tiny_model_scaled_norm, rng):
        """leaves the activations as they were"""
        resid = torch.randn(2, tiny_model_scaled_norm.cfg.d_model, generator=rng)
        before = resid.clone()
        learner.logit_lens(tiny_model_scaled_norm, resid)
        assert_close(resid, before, what="resid after the call")


def strengths(acts, labels):
    """|mean difference| / pooled within-class standard deviation of every coordinate, in float64."""
    acts = acts.double().numpy()
    true, false = acts[labels.numpy()], acts[~labels.numpy()]
    squares = ((true - true.mean(0)) ** 2).sum(0) + ((false - false.mean(0)) ** 2).sum(0)
    spread = np.sqrt(squares / (len(acts) - 2))
    return np.abs(true.mean(0) - false.mean(0)) / np.where(spread > 0, spread, np.inf)


def labelled_texts(rng, n=40, d_model=12):
    """Unequal classes, coordinates of unequal size, spreads that differ by class: what each shortcut trips over."""
    labels = torch.arange(n) < n // 4
    sizes = torch.logspace(-1, 1.5, d_model)[torch.randperm(d_model, generator=rng)]
    acts = torch.randn(n, d_model, generator=rng)
    acts[labels] *= torch.linspace(0.2, 3, d_model)[torch.randperm(d_model, generator=rng)]
    acts[labels] += 1.5 * torch.randn(d_model, generator=rng)
    return acts * sizes + 2 * sizes, labels


@exercise("top_k_neurons")
class TestTopKNeurons:
    def test_by_hand(self, learner):
        """the largest |mean difference| in units of the spread within a class comes first"""
        labels = torch.tensor([True, True, False, False])
        # Mean differences 1, −10 and 4; spreads within a class of the order of 1, 2 and 4: ratios 1 : 5 : 1.
        acts = torch.tensor([[2.0, -9.0, 9.0], [0.0, -13.0, 3.0], [1.0, 1.0, 6.0], [-1.0, -3.0, -2.0]])
        assert_close(learner.top_k_neurons(acts, labels, 1), torch.tensor([1]))

    def test_largest_first(self, learner):
        """the coordinates are listed from the strongest to the weakest, whatever the sign of the difference"""
        labels = torch.tensor([True, True, True, False, False, False])
        noise = torch.tensor([-1.0, 0.0, 1.0, -1.0, 0.0, 1.0])
        shifts = torch.tensor([1.0, -4.0, 2.0, -0.5, 3.0])
        acts = noise.unsqueeze(1) + labels.unsqueeze(1) * shifts
        assert_close(learner.top_k_neurons(acts, labels, 4), torch.tensor([1, 4, 2, 0]))

    def test_agrees_with_loop(self, learner, rng):
        """agrees with scoring coordinate by coordinate, with classes and coordinates of unequal size"""
        # The whole ranking first: it says most about where an answer goes wrong.
        for d_model, k in ((60, 60), (60, 30), (12, 12), (12, 1)):
            acts, labels = labelled_texts(rng, d_model=d_model)
            scores = strengths(acts, labels)
            received = learner.top_k_neurons(acts, labels, k)
            assert isinstance(received, torch.Tensor), (
                f"expected a tensor of indices, received a {type(received).__name__}"
            )
            assert_close(received.sort().values, received.unique(), what="the coordinates, each once")
            assert len(received) == k, f"expected {k} coordinates, received {len(received)}"
            assert_close(
                torch.from_numpy(scores[received.tolist()]),
                torch.from_numpy(np.sort(scores)[::-1][:k].copy()),
                rtol=1e-3,
                what="strength of the coordinates you chose",
            )

    def test_units_do_not_matter(self, learner, rng):
        """measuring one coordinate in other units, or swapping the classes, changes nothing"""
        acts, labels = labelled_texts(rng)
        units = torch.logspace(-2, 2, acts.shape[1])
        expected = learner.top_k_neurons(acts, labels, 3)
        assert_close(learner.top_k_neurons(acts * units, labels, 3), expected, what="in other units")
        assert_close(learner.top_k_neurons(acts, ~labels, 3), expected, what="with the classes swapped")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were"""
        acts, labels = labelled_texts(rng)
        before = acts.clone(), labels.clone()
        learner.top_k_neurons(acts, labels, 3)
        assert_close((acts, labels), before, what="arguments after the call")

    def test_constant_coordinate(self, learner, rng):
        """a coordinate that never changes comes last: it has no difference, and 0/0 must not win"""
        acts, labels = labelled_texts(rng, d_model=5)
        acts[:, 2] = 5.0
        assert_close(learner.top_k_neurons(acts, labels, 5)[-1], 2, what="the last coordinate")

    def test_bad_input(self, learner, rng):
        """raises ValueError where one class is missing, for k = 0, for k < 0 and for k beyond d_model"""
        acts, labels = labelled_texts(rng)
        for one_class in (torch.ones_like(labels), torch.zeros_like(labels)):
            with pytest.raises(ValueError):
                learner.top_k_neurons(acts, one_class, 2)
        for k in (0, -1, 13):
            with pytest.raises(ValueError):
                learner.top_k_neurons(acts, labels, k)
