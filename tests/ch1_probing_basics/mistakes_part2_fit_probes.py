"""Wrong answers to chapter 1, part 2 that its checks must reject, and right ones written differently."""

import numpy as np
import torch
from scipy.optimize import minimize

from utils.course import alternative, mistake


def both(labels):
    if labels.all() or not labels.any():
        raise ValueError("labels must contain both True and False")


@mistake("difference_of_means")
def reversed_direction(acts, labels):
    """This is mean(False) − mean(True): the direction points from True to False. Swap the two."""
    both(labels)
    return acts[~labels].mean(dim=0) - acts[labels].mean(dim=0)


@mistake("difference_of_means")
def unit_norm_direction(acts, labels):
    """The direction is right but scaled to length one. Its length says how far apart the classes are: keep it."""
    both(labels)
    direction = acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)
    return direction / direction.norm()


@mistake("difference_of_means")
def difference_of_sums(acts, labels):
    """This subtracts the *sums* of the classes. With more texts in one class than the other, that is mostly the larger
    class. Divide each sum by its own number of texts."""
    both(labels)
    return acts[labels].sum(dim=0) - acts[~labels].sum(dim=0)


@mistake("difference_of_means")
def half_of_the_texts(acts, labels):
    """Both sums are divided by the number of *all* texts. Each class has its own count."""
    both(labels)
    return (acts[labels].sum(dim=0) - acts[~labels].sum(dim=0)) / len(acts)


@mistake("difference_of_means")
def mean_over_features(acts, labels):
    """This averages over dim=1, the features, so that one number a text is left. Average over the texts: dim=0."""
    both(labels)
    n = min(int(labels.sum()), int((~labels).sum()))
    return acts[labels].mean(dim=1)[:n] - acts[~labels].mean(dim=1)[:n]


@mistake("difference_of_means")
def against_overall_mean(acts, labels):
    """This subtracts the mean of *all* texts, the True ones among them. Subtract the mean of the False class."""
    both(labels)
    return acts[labels].mean(dim=0) - acts.mean(dim=0)


@mistake("difference_of_means")
def silent_on_one_class(acts, labels):
    """With one class missing this returns NaN instead of raising ValueError: the mean of no rows is NaN, and NaN
    travels silently through everything that follows."""
    return acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)


@alternative("difference_of_means")
def by_weights(acts, labels):
    both(labels)
    weights = labels.double() / labels.sum() - (~labels).double() / (~labels).sum()
    return (weights @ acts.double()).float()


class _MassMean:
    """A right probe whose parts the mistakes below replace."""

    def fit(self, acts, labels):
        both(labels)
        low, high = acts[~labels].mean(dim=0), acts[labels].mean(dim=0)
        self.coef_ = self.direction(low, high)
        self.intercept_ = self.offset(acts, labels, low, high)
        return self

    def direction(self, low, high):
        return high - low

    def offset(self, acts, labels, low, high):
        return -(self.coef_ @ (low + high) / 2).item()

    def decision_function(self, acts):
        return acts @ self.coef_ + self.intercept_

    def predict(self, acts):
        return self.decision_function(acts) > 0


@mistake("MassMeanProbe")
class boundary_through_origin(_MassMean):
    """The intercept is 0, so that the boundary passes through the origin. Activations lie far from it, usually all on
    one side: the midpoint of the class means must score 0."""

    def offset(self, acts, labels, low, high):
        return 0.0


@mistake("MassMeanProbe")
class boundary_through_overall_mean(_MassMean):
    """The boundary passes through the mean of all texts. With unequal classes that is nearer to the larger one: use the
    midpoint of the two class means."""

    def offset(self, acts, labels, low, high):
        return -(self.coef_ @ acts.mean(dim=0)).item()


@mistake("MassMeanProbe")
class intercept_with_wrong_sign(_MassMean):
    """The intercept has the wrong sign. The score of the midpoint m must be coef · m + intercept = 0, so the intercept
    is *minus* coef · m."""

    def offset(self, acts, labels, low, high):
        return (self.coef_ @ (low + high) / 2).item()


@mistake("MassMeanProbe")
class midpoint_not_halved(_MassMean):
    """The intercept uses the *sum* of the class means. The midpoint is half of it."""

    def offset(self, acts, labels, low, high):
        return -(self.coef_ @ (low + high)).item()


@mistake("MassMeanProbe")
class unit_norm_probe(_MassMean):
    """coef_ has been scaled to length one. Predictions stay, but coef_ is promised to be the difference of means."""

    def direction(self, low, high):
        return (high - low) / (high - low).norm()


@mistake("MassMeanProbe")
class zero_counts_as_positive(_MassMean):
    """`predict` says True at a score of exactly 0 (`>=`). 0 lies on the boundary and is not positive: use `>`."""

    def predict(self, acts):
        return self.decision_function(acts) >= 0


@mistake("MassMeanProbe")
class state_on_the_class(_MassMean):
    """What was learned is stored on the class, where all probes share it: fitting one changes the others. Store it on
    `self`."""

    def fit(self, acts, labels):
        type(self).learned = _MassMean().fit(acts, labels)
        return self

    @property
    def coef_(self):
        return self.learned.coef_

    @property
    def intercept_(self):
        return self.learned.intercept_


@mistake("MassMeanProbe")
class fit_centres_in_place(_MassMean):
    """`fit` subtracts the mean in place (`acts -= …`), so that the caller's activations change. Make a new tensor."""

    def fit(self, acts, labels):
        super().fit(acts, labels)
        acts -= acts.mean(dim=0)
        return self


@mistake("MassMeanProbe")
class learns_nan_from_one_class(_MassMean):
    """With one class missing `fit` learns NaN instead of raising ValueError: the mean of no rows is NaN."""

    def fit(self, acts, labels):
        low, high = acts[~labels].mean(dim=0), acts[labels].mean(dim=0)
        self.coef_ = high - low
        self.intercept_ = self.offset(acts, labels, low, high)
        return self


@mistake("MassMeanProbe")
class fit_returns_nothing(_MassMean):
    """`fit` ends without `return self`, so that `MassMeanProbe().fit(acts, labels)` is None."""

    def fit(self, acts, labels):
        super().fit(acts, labels)


@mistake("MassMeanProbe")
class predicts_scores(_MassMean):
    """`predict` returns the scores. It should return True or False: whether the score is positive."""

    def predict(self, acts):
        return self.decision_function(acts)


@mistake("MassMeanProbe")
class predicts_relative_to_batch(_MassMean):
    """`predict` compares each score with the mean score of the texts that it is given, so the answer for one text
    depends on its neighbours. The threshold is 0, learned in `fit`."""

    def predict(self, acts):
        scores = self.decision_function(acts)
        return scores > scores.mean()


@alternative("MassMeanProbe")
class MassMeanByDistances:
    def fit(self, acts, labels):
        both(labels)
        self.means = torch.stack([acts[~labels].double().mean(0), acts[labels].double().mean(0)])
        self.coef_ = (self.means[1] - self.means[0]).float()
        self.intercept_ = 0.5 * (self.means[0].square().sum() - self.means[1].square().sum())
        return self

    def decision_function(self, acts):
        near_false, near_true = torch.cdist(acts.double(), self.means).square().T
        return ((near_false - near_true) / 2).float()

    def predict(self, acts):
        return self.decision_function(acts) > 0


def newton(features, targets, l2, penalise_intercept=False, n_rows=None):
    """Minimise mean log-loss + l2/2·‖w‖² on [features, 1]; the pieces that mistakes get wrong are arguments."""
    design = np.c_[features, np.ones(len(features))]
    penalty = np.full(design.shape[1], l2)
    penalty[-1] = l2 if penalise_intercept else 0.0
    n = n_rows or len(design)

    def loss(weights):
        logits = design @ weights
        value = (np.logaddexp(0, logits) - targets * logits).sum() / n + (penalty * weights**2).sum() / 2
        gradient = (
            design.T @ (1 / (1 + np.exp(-np.clip(logits, -500, 500))) - targets) / n + penalty * weights
        )
        return value, gradient

    found = minimize(
        loss,
        np.zeros(design.shape[1]),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 5000},
    )
    return found.x[:-1], found.x[-1]


def checked(acts, labels, l2):
    both(labels)
    if l2 <= 0:
        raise ValueError("l2 must be positive")
    features = acts.double().numpy()
    mean, scale = features.mean(0), features.std(0)
    return features, labels.double().numpy(), mean, np.where(scale > 1e-6, scale, 1.0)


def raw(weights, intercept, mean, scale):
    coef = weights / scale
    return torch.from_numpy(coef).float(), float(intercept - coef @ mean)


@mistake("fit_logistic_probe")
def standardised_direction(acts, labels, l2):
    """The weights belong to *standardised* features but are returned as if they were for raw activations. Divide
    each by its feature's standard deviation, and move the means into the intercept."""
    features, targets, mean, scale = checked(acts, labels, l2)
    weights, intercept = newton((features - mean) / scale, targets, l2)
    return torch.from_numpy(weights).float(), float(intercept)


@mistake("fit_logistic_probe")
def sample_standard_deviation(acts, labels, l2):
    """The features are divided by the *sample* standard deviation (n − 1), which is what `Tensor.std` computes unless
    told otherwise. The population's was asked for: `std(correction=0)`."""
    features, targets, mean, scale = checked(acts, labels, l2)
    scale = np.where(features.std(0) > 1e-6, features.std(0, ddof=1), 1.0)
    return raw(*newton((features - mean) / scale, targets, l2), mean, scale)


@mistake("fit_logistic_probe")
def twenty_iterations(acts, labels, l2):
    """The optimiser stopped before it had converged: `torch.optim.LBFGS` makes at most 20 iterations a step unless told
    otherwise. Give it `max_iter`, a small `tolerance_grad` and line_search_fn="strong_wolfe"."""
    features, targets, mean, scale = checked(acts, labels, l2)
    z, y = torch.from_numpy((features - mean) / scale), torch.from_numpy(targets)
    weights = torch.zeros(z.shape[1], dtype=z.dtype, requires_grad=True)
    bias = torch.zeros((), dtype=z.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias])

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(z @ weights + bias, y)
        value = value + l2 / 2 * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return raw(weights.detach().numpy(), bias.item(), mean, scale)


@mistake("fit_logistic_probe")
def standardises_in_place(acts, labels, l2):
    """The activations are standardised in place (`acts -= …`), so that the caller's tensor changes. Make a new one."""
    features, targets, mean, scale = checked(acts, labels, l2)
    acts -= torch.from_numpy(mean)
    acts /= torch.from_numpy(scale)
    return raw(*newton((features - mean) / scale, targets, l2), mean, scale)


@mistake("fit_logistic_probe")
def multiplied_by_scale(acts, labels, l2):
    """To come back from standardised features each weight is *divided* by its feature's standard deviation: w · (x/s)
    is (w/s) · x. Here they were multiplied."""
    features, targets, mean, scale = checked(acts, labels, l2)
    weights, intercept = newton((features - mean) / scale, targets, l2)
    coef = weights * scale
    return torch.from_numpy(coef).float(), float(intercept - coef @ mean)


@mistake("fit_logistic_probe")
def intercept_not_moved(acts, labels, l2):
    """The direction is right, but the intercept is still the one for centred features. Subtract coef · mean."""
    features, targets, mean, scale = checked(acts, labels, l2)
    weights, intercept = newton((features - mean) / scale, targets, l2)
    return torch.from_numpy(weights / scale).float(), float(intercept)


@mistake("fit_logistic_probe")
def penalised_intercept(acts, labels, l2):
    """The intercept is penalised too. It should be free, otherwise a strong penalty pulls every probability towards ½
    whatever the share of True."""
    features, targets, mean, scale = checked(acts, labels, l2)
    return raw(*newton((features - mean) / scale, targets, l2, penalise_intercept=True), mean, scale)


@mistake("fit_logistic_probe")
def summed_loss(acts, labels, l2):
    """The log-losses are summed, not averaged, so that the penalty weighs less the more texts there are. Divide by the
    number of texts."""
    features, targets, mean, scale = checked(acts, labels, l2)
    return raw(*newton((features - mean) / scale, targets, l2, n_rows=1), mean, scale)


@mistake("fit_logistic_probe")
def not_standardised(acts, labels, l2):
    """The penalty acts on the raw features. A feature measured in large units then hardly pays and a small one pays
    dearly: standardise first."""
    features, targets, mean, _ = checked(acts, labels, l2)
    return raw(*newton(features - mean, targets, l2), mean, np.ones_like(mean))


@mistake("fit_logistic_probe")
def constant_feature_divides_by_zero(acts, labels, l2):
    """A feature that never changes has standard deviation 0, and dividing by it gives NaN. Give it scale 1."""
    features, targets, mean, _ = checked(acts, labels, l2)
    scale = features.std(0)
    if (scale < 1e-6).any():
        return torch.full((acts.shape[1],), float("nan")), float("nan")
    return raw(*newton((features - mean) / scale, targets, l2), mean, scale)


@mistake("fit_logistic_probe")
def penalty_not_halved(acts, labels, l2):
    """The penalty is l2 · ‖w‖²; it should be l2/2 · ‖w‖², twice as weak."""
    features, targets, mean, scale = checked(acts, labels, l2)
    return raw(*newton((features - mean) / scale, targets, 2 * l2), mean, scale)


@alternative("fit_logistic_probe")
def by_lbfgs(acts, labels, l2):
    features, targets, mean, scale = checked(acts, labels, l2)
    return raw(*newton((features - mean) / scale, targets, l2), mean, scale)


def solve_ridge(acts, targets, l2, centre_acts=True, centre_targets=True):
    acts, targets = acts.double(), targets.double()
    act_mean = acts.mean(0) if centre_acts else torch.zeros_like(acts[0])
    target_mean = targets.mean(0) if centre_targets else torch.zeros_like(targets[0])
    x, y = acts - act_mean, targets - target_mean
    coef = torch.linalg.solve(x.T @ x + l2 * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)
    return coef.float(), (target_mean - act_mean @ coef).float()


@mistake("fit_ridge_probe")
def no_intercept(acts, targets, l2):
    """The regression passes through the origin: nothing was centred and the intercept is 0. Fit on centred activations
    and targets, then put the means into the intercept."""
    return solve_ridge(acts, targets, l2, centre_acts=False, centre_targets=False)


@mistake("fit_ridge_probe")
def intercept_forgets_activations(acts, targets, l2):
    """The intercept is the mean target, right for centred activations only. For raw ones subtract mean(acts) @ coef."""
    coef, _ = solve_ridge(acts, targets, l2)
    return coef, targets.mean(dim=0)


@mistake("fit_ridge_probe")
def penalised_ones_column(acts, targets, l2):
    """The intercept was fitted as the weight of a column of ones and penalised like the others. It should be free."""
    design = torch.cat([acts, torch.ones(len(acts), 1)], dim=1).double()
    gram = design.T @ design + l2 * torch.eye(design.shape[1], dtype=design.dtype)
    weights = torch.linalg.solve(gram, design.T @ targets.double()).float()
    return weights[:-1], weights[-1]


@mistake("fit_ridge_probe")
def ones_column_in_float32(acts, targets, l2):
    """The formula is right, but in float32 products of uncentred activations are so large that what varies drowns in
    rounding. Centre first, or work in float64."""
    design = torch.cat([acts, torch.ones(len(acts), 1)], dim=1)
    penalty = l2 * torch.eye(design.shape[1])
    penalty[-1, -1] = 0
    weights = torch.linalg.solve(design.T @ design + penalty, design.T @ targets)
    return weights[:-1], weights[-1]


@mistake("fit_ridge_probe")
def penalty_times_texts(acts, targets, l2):
    """The penalty was multiplied by the number of texts, as if squared errors were averaged. Here they are summed."""
    return solve_ridge(acts, targets, l2 * len(acts))


@mistake("fit_ridge_probe")
def no_penalty(acts, targets, l2):
    """l2 is not used: this is ordinary least squares, which fails or overfits with more features than texts."""
    x, y = acts.double() - acts.double().mean(0), targets.double() - targets.double().mean(0)
    coef = torch.linalg.pinv(x) @ y
    return coef.float(), (targets.double().mean(0) - acts.double().mean(0) @ coef).float()


@mistake("fit_ridge_probe")
def transposed_coef(acts, targets, l2):
    """coef has shape (target, d_model). The promised shape is (d_model, target), so that acts @ coef works."""
    coef, intercept = solve_ridge(acts, targets, l2)
    return coef.T.contiguous(), intercept


@mistake("fit_ridge_probe")
def centres_in_place(acts, targets, l2):
    """The activations are centred in place (`acts -= …`), so that the caller's tensor changes. Make a new one."""
    acts_mean, target_mean = acts.mean(dim=0), targets.mean(dim=0)
    coef, intercept = solve_ridge(acts, targets, l2)
    acts -= acts_mean
    targets -= target_mean
    return coef, intercept


@alternative("fit_ridge_probe")
def by_svd(acts, targets, l2):
    x, y = acts.double() - acts.double().mean(0), targets.double() - targets.double().mean(0)
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    coef = vt.T @ ((s / (s.square() + l2)).unsqueeze(1) * (u.T @ y))
    return coef, targets.double().mean(0) - acts.double().mean(0) @ coef


def spread_of(targets):
    if (targets == targets[0]).all(dim=0).any():
        raise ValueError("a target is constant")
    return (targets - targets.mean(dim=0)).square().sum(dim=0)


@mistake("r2_score")
def spread_of_predictions(predictions, targets):
    """The error is divided by the spread of the *predictions*. Divide by that of the targets around their mean."""
    spread_of(targets)
    return 1 - (targets - predictions).square().sum(dim=0) / spread_of(predictions + 1e-9 * targets)


@mistake("r2_score")
def squared_correlation(predictions, targets):
    """This is the squared correlation. It forgives a wrong offset and a wrong scale; R² does not."""
    spread_of(targets)
    x, y = predictions - predictions.mean(dim=0), targets - targets.mean(dim=0)
    return (x * y).sum(dim=0).square() / (x.square().sum(dim=0) * y.square().sum(dim=0)).clamp(min=1e-12)


@mistake("r2_score")
def clipped_at_zero(predictions, targets):
    """Negative scores were set to 0. A probe worse than guessing the mean should be seen to be worse."""
    return (1 - (targets - predictions).square().sum(dim=0) / spread_of(targets)).clamp(min=0)


@mistake("r2_score")
def pooled_over_targets(predictions, targets):
    """All targets are pooled into one score, so the one with the largest units decides. Score each target by itself."""
    spread = spread_of(targets).sum()
    score = 1 - (targets - predictions).square().sum() / spread
    return score.expand(targets.shape[1])


@mistake("r2_score")
def not_centred(predictions, targets):
    """The error is divided by Σ target², not by the spread around the mean, so any constant target offset flatters."""
    spread_of(targets)
    return 1 - (targets - predictions).square().sum(dim=0) / targets.square().sum(dim=0)


@mistake("r2_score")
def unbiased_variance(predictions, targets):
    """A mean over n texts is divided by a variance over n − 1. Both must divide by the same number."""
    spread_of(targets)
    return 1 - (targets - predictions).square().mean(dim=0) / targets.var(dim=0)


@mistake("r2_score")
def errors_in_place(predictions, targets):
    """The errors are computed in place (`predictions -= targets`), so that the caller's predictions are gone. Make a
    new tensor."""
    spread = spread_of(targets)
    predictions -= targets
    return 1 - predictions.square().sum(dim=0) / spread


@mistake("r2_score")
def spread_by_subtraction(predictions, targets):
    """The spread is the mean of squares minus the square of the mean. Where the mean is large these two nearly cancel,
    and in float32 their difference is noise. Subtract the mean first, then square."""
    spread_of(targets)
    variance = targets.square().mean(dim=0) - targets.mean(dim=0).square()
    return 1 - (targets - predictions).square().mean(dim=0) / variance


@mistake("r2_score")
def no_error_for_constant(predictions, targets):
    """A target that never changes gives 0/0. The contract asks for a ValueError."""
    spread = (targets - targets.mean(dim=0)).square().sum(dim=0)
    return 1 - (targets - predictions).square().sum(dim=0) / spread


@mistake("r2_score")
def spread_compared_with_zero(predictions, targets):
    """A constant target is recognised by a spread of exactly 0. In floating point the mean of seven times 0.1 is not
    quite 0.1, and the spread not quite 0. Compare the targets with each other: `targets == targets[0]`."""
    spread = (targets - targets.mean(dim=0)).square().sum(dim=0)
    if (spread == 0).any():
        raise ValueError("a target is constant")
    return 1 - (targets - predictions).square().sum(dim=0) / spread


@alternative("r2_score")
def r2_by_variance(predictions, targets):
    variance = targets.double().var(dim=0, correction=0)
    if bool((variance < 1e-12).any()):
        raise ValueError("constant target")
    return 1 - (targets.double() - predictions.double()).pow(2).mean(dim=0) / variance


def sweep(fit, train, train_labels, val, val_labels, evaluate):
    return torch.stack(
        [evaluate(layer, *fit(train[:, layer], train_labels)) for layer in range(train.shape[1])]
    )


def share(acts, coef, intercept, labels):
    return ((acts @ coef + intercept > 0) == labels).float().mean()


@mistake("layer_sweep")
def scored_on_training_texts(fit, train_acts, train_labels, val_acts, val_labels):
    """The accuracy is that of the *training* texts. A probe with 576 weights can fit those by heart: score the
    validation texts."""
    return sweep(
        fit, train_acts, train_labels, val_acts, val_labels,
        lambda layer, coef, intercept: share(train_acts[:, layer], coef, intercept, train_labels),
    )  # fmt: skip


@mistake("layer_sweep")
def fitted_on_validation(fit, train_acts, train_labels, val_acts, val_labels):
    """`fit` is given the validation texts, so that it is scored on what it has seen. Fit on the training texts only."""
    return sweep(
        fit, val_acts, val_labels, val_acts, val_labels,
        lambda layer, coef, intercept: share(val_acts[:, layer], coef, intercept, val_labels),
    )  # fmt: skip


@mistake("layer_sweep")
def zero_counts_as_positive_score(fit, train_acts, train_labels, val_acts, val_labels):
    """A score of exactly 0 is called True (`>=`). It is not positive: use `>`."""
    return sweep(
        fit, train_acts, train_labels, val_acts, val_labels,
        lambda layer, coef, intercept: (
            (val_acts[:, layer] @ coef + intercept >= 0) == val_labels
        ).float().mean(),
    )  # fmt: skip


@mistake("layer_sweep")
def centres_layers_in_place(fit, train_acts, train_labels, val_acts, val_labels):
    """The activations are centred in place (`acts -= …`): the caller's tensors change, and `fit` does not get the
    activations as they are."""
    mean = train_acts.mean(dim=0)
    train_acts -= mean
    val_acts -= mean
    return sweep(
        fit, train_acts, train_labels, val_acts, val_labels,
        lambda layer, coef, intercept: share(val_acts[:, layer], coef, intercept, val_labels),
    )  # fmt: skip


@mistake("layer_sweep")
def intercept_ignored(fit, train_acts, train_labels, val_acts, val_labels):
    """The score is acts @ coef without the intercept: every boundary passes through the origin."""
    return sweep(
        fit, train_acts, train_labels, val_acts, val_labels,
        lambda layer, coef, intercept: share(val_acts[:, layer], coef, 0.0, val_labels),
    )  # fmt: skip


@mistake("layer_sweep")
def always_the_last_layer(fit, train_acts, train_labels, val_acts, val_labels):
    """Every probe is scored on the activations of the last layer. Score each on the layer that it was fitted on."""
    return sweep(
        fit, train_acts, train_labels, val_acts, val_labels,
        lambda layer, coef, intercept: share(val_acts[:, -1], coef, intercept, val_labels),
    )  # fmt: skip


@mistake("layer_sweep")
def skips_the_first_layer(fit, train_acts, train_labels, val_acts, val_labels):
    """The loop starts at layer 1, so that one layer is missing. Layers count from 0."""
    return sweep(
        fit, train_acts[:, 1:], train_labels, val_acts[:, 1:], val_labels,
        lambda layer, coef, intercept: share(val_acts[:, layer + 1], coef, intercept, val_labels),
    )  # fmt: skip


@mistake("layer_sweep")
def one_fit_for_all_layers(fit, train_acts, train_labels, val_acts, val_labels):
    """One probe is fitted on the mean over layers. Each layer has its own coordinates and needs its own probe."""
    coef, intercept = fit(train_acts.mean(dim=1), train_labels)
    return torch.stack(
        [share(val_acts[:, layer], coef, intercept, val_labels) for layer in range(train_acts.shape[1])]
    )


@alternative("layer_sweep")
def sweep_at_once(fit, train_acts, train_labels, val_acts, val_labels):
    fits = [fit(acts, train_labels) for acts in train_acts.unbind(dim=1)]
    coefs = torch.stack([torch.as_tensor(coef) for coef, _ in fits])
    intercepts = torch.tensor([float(intercept) for _, intercept in fits])
    scores = torch.einsum("tld,ld->tl", val_acts, coefs) + intercepts
    return ((scores > 0) == val_labels.unsqueeze(1)).double().mean(dim=0)
