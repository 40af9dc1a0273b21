"""Probes trained by gradient descent: an MLP, attention over tokens. Deterministic in `random_state`."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from utils.layer_sweep import StackedProbe
from utils.linear_solvers import standardise
from utils.validation import ArrayLike, as_activations, as_classes, as_rows, check_positive, to_numpy


class MLPProbe(ClassifierMixin, StackedProbe):
    """A multilayer perceptron with one hidden ReLU layer, for two or more classes.

    Trained on standardised features by AdamW on the cross-entropy, in float32. Layers of a stack start
    from the same weights and see the same batches, so that fitting them together or one by one agrees to rounding.
    hidden: width of the hidden layer. steps, batch_size (texts), lr, weight_decay: how AdamW trains.
    Learned: `weights_`, four arrays for **raw** activations:
    `logits = relu(acts @ weights_[0] + weights_[1]) @ weights_[2] + weights_[3]`; `classes_`.
    """

    classes_: np.ndarray
    weights_: tuple[np.ndarray, ...]

    def __init__(
        self,
        hidden: int = 64,
        steps: int = 600,
        batch_size: int = 128,
        lr: float = 5e-3,
        weight_decay: float = 1.0,
        random_state: int = 0,
    ):
        self.hidden = hidden
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.random_state = random_state

    def _fit_stack(
        self, acts: Float[Tensor, "layer text d_model"], labels: np.ndarray
    ) -> list[dict[str, Any]]:
        check_positive(hidden=self.hidden, steps=self.steps, batch_size=self.batch_size, lr=self.lr)
        n_layers, n_texts, d_model = acts.shape
        classes, index = as_classes(labels, n_texts)
        targets = torch.from_numpy(index)
        features, mean, scale = standardise(acts)
        features = features.float()

        generator = torch.Generator().manual_seed(self.random_state)
        weights = [
            _uniform((d_model, self.hidden), d_model, generator),
            torch.zeros(1, self.hidden),
            _uniform((self.hidden, len(classes)), self.hidden, generator),
            torch.zeros(1, len(classes)),
        ]
        weights = [weight.expand(n_layers, -1, -1).clone().requires_grad_() for weight in weights]

        def loss(rows: Tensor) -> Tensor:
            logits = _mlp(features[:, rows], weights)
            # Summed over layers: each layer's gradient is then its own, whatever else is in the stack.
            flat = F.cross_entropy(logits.flatten(0, 1), targets[rows].repeat(n_layers), reduction="sum")
            return flat / len(rows)

        _train(weights, loss, n_texts, self, generator, lr=self.lr)
        first, first_bias, second, second_bias = (weight.detach().double() for weight in weights)
        first = first / scale.unsqueeze(-1)
        first_bias = first_bias - mean.unsqueeze(1) @ first
        raw = (first, first_bias.squeeze(1), second, second_bias.squeeze(1))
        return [
            {"weights_": arrays, "classes_": classes, "n_features_in_": d_model}
            for arrays in zip(*(weight.numpy() for weight in raw), strict=True)
        ]

    def _logits(self, acts: ArrayLike) -> Float[Tensor, "text class"]:
        return _mlp(self._rows(acts).double(), [torch.from_numpy(weight) for weight in self.weights_])

    def decision_function(self, acts: Float[ArrayLike, "text d_model"]) -> Float[np.ndarray, "..."]:
        """Two classes: the log-odds of the second, shape (text,). More: the logits, shape (text, class)."""
        logits = self._logits(acts)
        return (logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits).numpy()

    def predict_proba(self, acts: Float[ArrayLike, "text d_model"]) -> Float[np.ndarray, "text class"]:
        """The probability of each class, in the order of `classes_`."""
        return self._logits(acts).softmax(-1).numpy()

    def predict(self, acts: Float[ArrayLike, "text d_model"]) -> np.ndarray:
        """The most probable class of each text."""
        chosen = self._logits(acts).argmax(-1).numpy()
        return self.classes_[chosen]

    def score(self, acts: Float[ArrayLike, "text d_model"], labels: ArrayLike) -> float:
        """Accuracy."""
        predictions = self.predict(acts)
        return float(np.mean(predictions == as_rows(labels, len(predictions))))


def mask_padding(
    acts: Float[ArrayLike, "text pos d_model"], mask: Bool[ArrayLike, "text pos"]
) -> Float[Tensor, "text pos d_model"]:
    """A copy of `acts` with NaN wherever `mask` is False: how AttentionProbe tells padding from tokens.

    The mask then travels inside the activations: no indexing, split or cross-validation can part them.
    Raises ValueError when the shapes disagree or a text has no real token.
    """
    values = acts.detach().cpu() if isinstance(acts, Tensor) else torch.from_numpy(to_numpy(acts))
    real = torch.from_numpy(to_numpy(mask)).bool()
    if values.ndim != 3 or real.shape != values.shape[:2]:
        raise ValueError(
            f"acts {tuple(values.shape)} and mask {tuple(real.shape)}: want 'text pos d_model' and 'text pos'"
        )
    _check_tokens(real)
    return values.masked_fill(~real.unsqueeze(-1), float("nan"))


class AttentionProbe(ClassifierMixin, BaseEstimator):
    """One learned attention head over a text's tokens, for two classes: where to look, and what to read there.

    weight(pos) = softmax over real tokens of acts[pos] · query / sqrt(d_model);
    logit = Σ weight(pos) · (acts[pos] · value) + intercept.
    Input is "text pos d_model" with NaN at padding (see `mask_padding`). Trained on features standardised over
    real tokens, by AdamW on the log-loss, in float32; query and value start at zero: the mean over tokens.
    steps, batch_size (texts), weight_decay: how AdamW trains. lr: its learning rate times d_model: as every feature
    moves the logit at once, the step that a text can bear shrinks with their number.
    Learned, for **raw** activations: `query_` and `value_` (d_model,), `intercept_` (a float), `classes_`.
    """

    query_: Float[np.ndarray, "d_model"]
    value_: Float[np.ndarray, "d_model"]
    intercept_: float
    classes_: np.ndarray

    def __init__(
        self,
        steps: int = 500,
        batch_size: int = 64,
        lr: float = 3.0,
        weight_decay: float = 0.1,
        random_state: int = 0,
    ):
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.random_state = random_state

    def fit(self, acts: Float[ArrayLike, "text pos d_model"], labels: ArrayLike) -> Self:
        """Fit to padded activations (NaN at padding) and one label a text. Returns self.

        Raises ValueError for a text without tokens, infinity or NaN inside a token, or other than two classes.
        """
        check_positive(steps=self.steps, batch_size=self.batch_size, lr=self.lr)
        tokens, real = _split_padding(acts)
        n_texts, _, d_model = tokens.shape
        classes, index = as_classes(labels, n_texts)
        if len(classes) > 2:
            raise ValueError(f"labels hold {len(classes)} classes; AttentionProbe separates two")
        targets = torch.from_numpy(index).float()
        _, (mean,), (scale,) = standardise(tokens[real].unsqueeze(0))
        features = ((tokens.float() - mean.float()) / scale.float()).masked_fill(~real.unsqueeze(-1), 0)

        generator = torch.Generator().manual_seed(self.random_state)
        query, value, bias = (torch.zeros(size, requires_grad=True) for size in (d_model, d_model, 1))

        def loss(rows: Tensor) -> Tensor:
            logits = _attend(features[rows], real[rows], query, value)[0] + bias
            return F.binary_cross_entropy_with_logits(logits, targets[rows])

        _train([query, value, bias], loss, n_texts, self, generator, lr=self.lr / d_model)
        # Centring shifts all scores of a text alike, which the softmax ignores, and the value by a constant.
        raw_query, raw_value = query.detach().double() / scale, value.detach().double() / scale
        self.query_, self.value_ = raw_query.numpy(), raw_value.numpy()
        self.intercept_ = float(bias.detach().double() - raw_value @ mean)
        self.classes_ = classes
        self.n_features_in_ = d_model
        return self

    def _predict(self, acts: ArrayLike) -> tuple[Float[Tensor, "text"], Float[Tensor, "text pos"]]:
        check_is_fitted(self)
        tokens, real = _split_padding(acts)
        if tokens.shape[2] != len(self.query_):
            raise ValueError(
                f"acts has d_model={tokens.shape[2]}; the probe was fitted with d_model={len(self.query_)}"
            )
        query, value = torch.from_numpy(self.query_), torch.from_numpy(self.value_)
        logits, weights = _attend(tokens.double(), real, query, value)
        return logits + self.intercept_, weights

    def attention(self, acts: Float[ArrayLike, "text pos d_model"]) -> Float[np.ndarray, "text pos"]:
        """How much each token counts: non-negative, 0 at padding, summing to 1 over a text."""
        return self._predict(acts)[1].numpy()

    def decision_function(self, acts: Float[ArrayLike, "text pos d_model"]) -> Float[np.ndarray, "text"]:
        """The log-odds of the second class."""
        return self._predict(acts)[0].numpy()

    def predict_proba(self, acts: Float[ArrayLike, "text pos d_model"]) -> Float[np.ndarray, "text 2"]:
        """The probability of each class, in the order of `classes_`."""
        logits = self._predict(acts)[0]
        return torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1).numpy()

    def predict(self, acts: Float[ArrayLike, "text pos d_model"]) -> np.ndarray:
        """The more probable class of each text."""
        chosen = (self.decision_function(acts) > 0).astype(int)
        return self.classes_[chosen]

    def score(self, acts: Float[ArrayLike, "text pos d_model"], labels: ArrayLike) -> float:
        """Accuracy."""
        predictions = self.predict(acts)
        return float(np.mean(predictions == as_rows(labels, len(predictions))))


def _mlp(acts, weights) -> Float[Tensor, "... text class"]:
    first, first_bias, second, second_bias = weights
    return F.relu(acts @ first + first_bias) @ second + second_bias


def _uniform(shape: tuple[int, int], fan_in: int, generator: torch.Generator) -> Tensor:
    """Uniform between ±1/sqrt(fan_in), as torch.nn.Linear starts, but without touching the global random state."""
    return (2 * torch.rand(shape, generator=generator) - 1) / fan_in**0.5


def _attend(
    acts: Float[Tensor, "text pos d_model"], real: Bool[Tensor, "text pos"], query: Tensor, value: Tensor
) -> tuple[Float[Tensor, "text"], Float[Tensor, "text pos"]]:
    scores, values = (acts @ torch.stack([query / acts.shape[2] ** 0.5, value], dim=1)).unbind(-1)
    weights = scores.masked_fill(~real, float("-inf")).softmax(-1)
    return (weights * values).sum(-1), weights


def _split_padding(acts: ArrayLike) -> tuple[Float[Tensor, "text pos d_model"], Bool[Tensor, "text pos"]]:
    """Activations with zeros at padding, and which tokens are real."""
    values = acts.detach().cpu() if isinstance(acts, Tensor) else torch.from_numpy(to_numpy(acts))
    if values.ndim != 3:
        raise ValueError(f"acts has shape {tuple(values.shape)}: want 'text pos d_model'")
    real = ~values.isnan().all(-1)
    _check_tokens(real)
    return as_activations(values.masked_fill(~real.unsqueeze(-1), 0), 3), real


def _check_tokens(real: Bool[Tensor, "text pos"]) -> None:
    if not real.any(1).all():
        raise ValueError(
            f"text {int((~real.any(1)).nonzero()[0])} has no real token: drop it, or mend its mask"
        )


def _train(parameters, loss, n_texts: int, settings, generator: torch.Generator, lr: float) -> None:
    """AdamW over shuffled batches of row indices, the learning rate falling linearly to zero."""
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / settings.steps)
    # The caller may have gradients switched off, for instance around a forward pass.
    with torch.enable_grad():
        for rows in islice(_batches(n_texts, settings.batch_size, generator), settings.steps):
            optimizer.zero_grad()
            loss(rows).backward()
            optimizer.step()
            schedule.step()


def _batches(n_texts: int, size: int, generator: torch.Generator) -> Iterator[Int[Tensor, "row"]]:
    """Row indices in a new random order each time round, without end."""
    while True:
        yield from torch.randperm(n_texts, generator=generator).split(size)
