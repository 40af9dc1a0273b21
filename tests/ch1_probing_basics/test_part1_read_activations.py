"""Checks of chapter 1, part 1: read activations."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

from utils.course import assert_close, exercise, hidden

YOURS_TO_WRITE = (
    "utils.activations.last_token_activations",
    "utils.activations.mean_token_activations",
    "utils.activations.all_token_activations",
)


def texts():
    """Unequal lengths, the longest neither first nor last, a single token, a text twice, ids also used for padding.

    Made anew at every call: a learner may change what it is given.
    """
    return [[5, 9, 40], [17], [80, 33, 2, 60, 0], [64, 2], [17]]


def alone(model, ids, layer):
    """The stream after a block at the last token of one text, run by itself: no padding, no batch."""
    name = f"blocks.{layer}.hook_out"
    with torch.no_grad():
        _, cache = model.run_with_cache(torch.tensor([ids]), names_filter=[name], stop_at_layer=layer + 1)
    return cache[name][0, len(ids) - 1]


@exercise("last_token_activations", points=2)
class TestLastTokenActivations:
    def test_one_text(self, learner, tiny_model):
        """one text, one layer: the vector after that block at the last token, with shape (1, 1, d_model)"""
        ids = [12, 200, 7, 31]
        received = learner.last_token_activations(tiny_model, [ids], [1])
        assert_close(received, alone(tiny_model, ids, 1)[None, None], rtol=1e-3, atol=1e-4)

    def test_which_layer_is_which(self, learner, tiny_model):
        """layer l is Hugging Face's hidden_states[l + 1]; the last block is read before the final norm"""
        ids = [12, 200, 7, 31]
        with torch.no_grad():
            hidden_states = tiny_model.original_model(
                torch.tensor([ids]), output_hidden_states=True
            ).hidden_states
        received = learner.last_token_activations(tiny_model, [ids], [0, 1, 2])
        expected = torch.stack([hidden_states[1][0, -1], hidden_states[2][0, -1], alone(tiny_model, ids, 2)])
        assert_close(received, expected[None], rtol=1e-3, atol=1e-4)

    def test_unequal_lengths(self, learner, tiny_model):
        """in a batch of texts of unequal length each gets what it gets when run alone"""
        received = learner.last_token_activations(tiny_model, texts(), [1])
        expected = torch.stack([alone(tiny_model, ids, 1) for ids in texts()])
        assert_close(received, expected[:, None], rtol=1e-3, atol=1e-4)

    def test_order_of_layers(self, learner, tiny_model):
        """layers come back in the order in which they were asked for"""
        received = learner.last_token_activations(tiny_model, texts()[:2], [2, 0, 1])
        ascending = learner.last_token_activations(tiny_model, texts()[:2], [0, 1, 2])
        assert_close(received, ascending[:, [2, 0, 1]], rtol=1e-3, atol=1e-4)

    @hidden
    def test_batches(self, learner, tiny_model):
        """no text is lost or moved, whatever the batch size"""
        expected = torch.stack([alone(tiny_model, ids, 0) for ids in texts()])[:, None]
        for batch_size in (1, 3):
            received = learner.last_token_activations(tiny_model, texts(), [0], batch_size=batch_size)
            assert_close(received, expected, rtol=1e-3, atol=1e-4, what=f"with batch_size={batch_size}")

    def test_padding_id_in_a_text(self, learner, tiny_model):
        """an id that is used for padding may occur in a text, and even end it: lengths come from the lists"""
        for last in (0, tiny_model.tokenizer.pad_token_id):
            token_lists = [[12, 31, 7, 44], [9, last]]
            received = learner.last_token_activations(tiny_model, token_lists, [1])
            expected = alone(tiny_model, [9, last], 1)
            assert_close(received[1, 0], expected, rtol=1e-3, atol=1e-4, what=f"a text that ends with {last}")

    def test_arguments_unchanged(self, learner, tiny_model):
        """leaves the lists of token ids and of layers as they were"""
        token_lists, layers = texts(), [2, 0]
        learner.last_token_activations(tiny_model, token_lists, layers)
        assert_close((token_lists, layers), (texts(), [2, 0]), what="arguments after the call")

    def test_empty_text(self, learner, tiny_model):
        """raises ValueError for a text without tokens: it has no last token"""
        with pytest.raises(ValueError):
            learner.last_token_activations(tiny_model, [[5, 9], [], [4]], [0])


def padded(rng, lengths=(4, 1, 6, 3), d_model=5):
    """Activations off the origin, and a mask that is True at the first `lengths` positions."""
    acts = torch.randn(len(lengths), max(lengths), d_model, generator=rng) + 3
    return acts, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


@exercise("masked_mean")
class TestMaskedMean:
    def test_by_hand(self, learner):
        """the mean over the positions whose mask is True, for each text by itself"""
        acts = torch.tensor([[[1.0, 10.0], [3.0, 30.0], [99.0, 99.0]], [[2.0, 4.0], [4.0, 0.0], [6.0, 2.0]]])
        mask = torch.tensor([[True, True, False], [True, True, True]])
        assert_close(learner.masked_mean(acts, mask), torch.tensor([[2.0, 20.0], [4.0, 2.0]]))
        assert_close(
            learner.masked_mean(acts[:1], mask[:1]), torch.tensor([[2.0, 20.0]]), what="one text by itself"
        )

    def test_agrees_with_loop(self, learner, rng):
        """agrees with averaging the real tokens of one text after another"""
        acts, mask = padded(rng)
        expected = [
            np.mean([row for row, real in zip(text, kept, strict=True) if real], axis=0)
            for text, kept in zip(acts.double().numpy(), mask.tolist(), strict=True)
        ]
        expected = torch.from_numpy(np.stack(expected))
        assert_close(learner.masked_mean(acts, mask), expected, rtol=1e-3, atol=1e-4)

    def test_any_mask(self, learner, rng):
        """the mask may leave out positions anywhere, not only at the end"""
        acts, _ = padded(rng)
        mask = torch.tensor([[False, True, False, True, False, False]]).expand(len(acts), -1).contiguous()
        expected = (acts[:, 1].double() + acts[:, 3].double()) / 2
        assert_close(learner.masked_mean(acts, mask), expected, rtol=1e-3, atol=1e-4)

    def test_padding_is_never_read(self, learner, rng):
        """what stands at the other positions does not matter, be it a million, infinite or NaN"""
        acts, mask = padded(rng)
        expected = learner.masked_mean(acts, mask)
        for filler in (1e6, float("nan"), float("inf")):
            filled = torch.where(mask[:, :, None], acts, torch.full_like(acts, filler))
            received = learner.masked_mean(filled, mask)
            assert_close(received, expected.double(), rtol=1e-3, atol=1e-3, what=f"padding {filler}")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its arguments as they were, NaN included"""
        acts, mask = padded(rng)
        before = acts.clone(), mask.clone()
        learner.masked_mean(acts, mask)
        assert_close((acts, mask), before, what="arguments after the call")
        acts[~mask] = float("nan")
        learner.masked_mean(acts, mask)
        assert bool(acts[~mask].isnan().all()), "expected NaN to stay where it was in acts"

    def test_empty_row(self, learner, rng):
        """raises ValueError where a text has no True: the mean of nothing is not zero"""
        acts, mask = padded(rng)
        mask[2] = False
        with pytest.raises(ValueError):
            learner.masked_mean(acts, mask)


def cloud(rng, n=60, d_model=6):
    """Off the origin, with one clearly different spread a direction, so that components are unique up to sign."""
    rotation, _ = torch.linalg.qr(torch.randn(d_model, d_model, generator=rng))
    scales = 6 * 0.6 ** torch.arange(d_model)
    noise = torch.randn(n, d_model, generator=rng)
    # Orthogonal columns give exactly the spreads asked for, so that no two come close by chance.
    noise, _ = torch.linalg.qr(noise - noise.mean(dim=0))
    return (noise * n**0.5 * scales) @ rotation.T + torch.randn(d_model, generator=rng) * 5


def up_to_sign(components, expected):
    """The expected components, each with the sign that the received one has."""
    same_way = (components.double() * expected.double()).sum(dim=1, keepdim=True) >= 0
    return torch.where(same_way, expected, -expected)


@exercise("principal_components", points=2)
class TestPrincipalComponents:
    def test_by_hand(self, learner):
        """four points on a cross around (10, 20), four times as much variance along (1, 1) as along (1, −1)"""
        acts = torch.tensor([[12.0, 22.0], [8.0, 18.0], [11.0, 19.0], [9.0, 21.0]])
        components, ratios = learner.principal_components(acts, 2)
        expected = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
        assert_close(components, up_to_sign(components, expected), rtol=1e-3, atol=1e-4, what="components")
        # Σ of squares along the first direction 16, along the second 4.
        assert_close(ratios, torch.tensor([0.8, 0.2]), rtol=1e-3, atol=1e-4, what="ratios")
        component, ratio = learner.principal_components(acts, 1)
        assert_close(
            component, up_to_sign(component, expected[:1]), rtol=1e-3, atol=1e-4, what="a single component"
        )
        assert_close(ratio, torch.tensor([0.8]), rtol=1e-3, atol=1e-4, what="its ratio")

    def test_agrees_with_scikit_learn(self, learner, rng):
        """agrees with scikit-learn's PCA, up to the sign of each component"""
        acts = cloud(rng)
        components, ratios = learner.principal_components(acts, 3)
        model = PCA(n_components=3, svd_solver="full").fit(acts.double().numpy())
        expected = torch.from_numpy(np.array(model.components_))
        assert_close(ratios, torch.from_numpy(model.explained_variance_ratio_), rtol=1e-3, atol=1e-4)
        assert_close(components, up_to_sign(components, expected), rtol=1e-2, atol=2e-3, what="components")

    def test_orthonormal_rows(self, learner, rng):
        """components are rows of length one at right angles to each other"""
        components, _ = learner.principal_components(cloud(rng), 4)
        products = components.double() @ components.double().T
        assert_close(products, torch.eye(4), rtol=0, atol=1e-3)

    def test_centred(self, learner, rng):
        """moving all texts by one vector changes nothing"""
        acts = cloud(rng)
        components, ratios = learner.principal_components(acts, 2)
        moved, moved_ratios = learner.principal_components(acts + torch.tensor([50.0, 0, 0, 0, -30.0, 0]), 2)
        assert_close(moved_ratios, ratios.double(), rtol=1e-3, atol=1e-3, what="ratios")
        moved_to = up_to_sign(moved, components)
        assert_close(moved, moved_to.double(), rtol=1e-2, atol=5e-3, what="components")

    def test_ratios_of_all_variance(self, learner, rng):
        """ratios are shares of the total variance: all of them sum to 1, and asking for fewer changes none"""
        acts = cloud(rng)
        _, ratios = learner.principal_components(acts, 6)
        assert_close(ratios.double().sum(), 1.0, rtol=0, atol=1e-3, what="sum of all ratios")
        _, first = learner.principal_components(acts, 2)
        assert_close(first, ratios[:2].double(), rtol=1e-3, atol=1e-4, what="the first two ratios")

    def test_fewer_texts_than_features(self, learner, rng):
        """ten texts with thirty features are enough for three components"""
        acts = torch.cat([cloud(rng, n=10), torch.zeros(10, 24)], dim=1) + 1
        components, ratios = learner.principal_components(acts, 3)
        model = PCA(n_components=3, svd_solver="full").fit(acts.double().numpy())
        expected = up_to_sign(components, torch.from_numpy(np.array(model.components_)))
        assert_close(ratios, torch.from_numpy(model.explained_variance_ratio_), rtol=1e-3, atol=1e-4)
        assert_close(components, expected, rtol=1e-2, atol=2e-3, what="components")

    def test_arguments_unchanged(self, learner, rng):
        """leaves its argument as it was"""
        acts = cloud(rng)
        before = acts.clone()
        learner.principal_components(acts, 2)
        assert_close(acts, before, what="acts after the call")


@exercise("cosine_similarities")
class TestCosineSimilarities:
    def test_by_hand(self, learner):
        """1 for the same way, 0 at a right angle, −1 for opposite ways, whatever the lengths"""
        directions = torch.tensor([[2.0, 0.0], [5.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [3.0, 4.0]])
        expected = torch.tensor(
            [
                [1.0, 1.0, 0.0, -1.0, 0.6],
                [1.0, 1.0, 0.0, -1.0, 0.6],
                [0.0, 0.0, 1.0, 0.0, 0.8],
                [-1.0, -1.0, 0.0, 1.0, -0.6],
                [0.6, 0.6, 0.8, -0.6, 1.0],
            ]
        )
        assert_close(learner.cosine_similarities(directions), expected, atol=1e-5)
        assert_close(learner.cosine_similarities(directions[:1]), torch.ones(1, 1), what="one direction")

    def test_coordinates_that_cancel(self, learner):
        """a vector whose coordinates sum to zero is not a vector of zeros"""
        received = learner.cosine_similarities(torch.tensor([[1.0, -1.0], [3.0, -3.0], [2.0, 2.0]]))
        assert_close(received, torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), atol=1e-5)

    def test_agrees_with_scipy(self, learner, rng):
        """agrees with scipy, on vectors that share a large common part"""
        directions = torch.randn(7, 12, generator=rng) + 2
        expected = 1 - cdist(directions.double().numpy(), directions.double().numpy(), "cosine")
        received = learner.cosine_similarities(directions)
        assert_close(received, torch.from_numpy(expected), rtol=1e-3, atol=1e-4)

    def test_length_does_not_matter(self, learner, rng):
        """stretching each vector by a positive factor of its own changes nothing"""
        directions = torch.randn(4, 9, generator=rng)
        factors = torch.tensor([[1000.0], [1.0], [0.001], [7.0]])
        expected = learner.cosine_similarities(directions).double()
        assert_close(learner.cosine_similarities(directions * factors), expected, rtol=1e-3, atol=1e-4)

    def test_arguments_unchanged(self, learner, rng):
        """leaves its argument as it was"""
        directions = torch.randn(4, 9, generator=rng)
        before = directions.clone()
        learner.cosine_similarities(directions)
        assert_close(directions, before, what="directions after the call")

    def test_zero_vector(self, learner):
        """raises ValueError for a vector of zeros: it points nowhere"""
        with pytest.raises(ValueError):
            learner.cosine_similarities(torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
