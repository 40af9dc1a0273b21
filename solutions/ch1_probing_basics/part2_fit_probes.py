# %% [markdown]
# # Fit probes

# %%
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from utils.course import open_lesson

check, use_reference = open_lesson("ch1_probing_basics/part2_fit_probes")


# %%
def difference_of_means(
    acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"]
) -> Float[Tensor, "d_model"]:
    """The direction from the mean of the False class to the mean of the True class.

    acts: activations, one row a text (residual-stream units).
    labels: True or False for each text; both must occur, otherwise ValueError.
    Source: Marks & Tegmark 2023, arXiv:2310.06824, section 5 ("mass-mean").
    """
    ### BEGIN SOLUTION
    if labels.all() or not labels.any():
        raise ValueError("labels must contain both True and False: a difference needs two means")
    return acts[labels].mean(dim=0) - acts[~labels].mean(dim=0)
    ### END SOLUTION


check(difference_of_means)


# %%
class MassMeanProbe:
    """Calls a text True where its activation is nearer to the mean of the True class than to that of the False class.

    After `fit`: `coef_` (d_model), the difference of means, and `intercept_` (a float), which puts the boundary
    through the midpoint of the two means. Source: Marks & Tegmark 2023, arXiv:2310.06824, section 5.
    """

    def fit(self, acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"]) -> "MassMeanProbe":
        """Learn `coef_` and `intercept_`, and return the probe itself. One class missing: ValueError."""
        ### BEGIN SOLUTION
        self.coef_ = difference_of_means(acts, labels)
        midpoint = (acts[labels].mean(dim=0) + acts[~labels].mean(dim=0)) / 2
        self.intercept_ = -(self.coef_ @ midpoint).item()
        return self
        ### END SOLUTION

    def decision_function(self, acts: Float[Tensor, "text d_model"]) -> Float[Tensor, "text"]:
        """A score a text: positive on the True side of the boundary, 0 on it."""
        ### BEGIN SOLUTION
        return acts @ self.coef_ + self.intercept_
        ### END SOLUTION

    def predict(self, acts: Float[Tensor, "text d_model"]) -> Bool[Tensor, "text"]:
        """True where the score is positive."""
        ### BEGIN SOLUTION
        return self.decision_function(acts) > 0
        ### END SOLUTION


check(MassMeanProbe)


# %%
def fit_logistic_probe(
    acts: Float[Tensor, "text d_model"], labels: Bool[Tensor, "text"], l2: float
) -> tuple[Float[Tensor, "d_model"], float]:
    """The logistic regression (coef, intercept), fitted on standardised features, returned for raw activations.

    Minimises mean log-loss + l2/2 · ‖w‖², w the weights on features standardised with the training mean and
    population standard deviation (a feature that never changes keeps scale 1); the intercept is not penalised.
    Raises ValueError for l2 ≤ 0 or where one class is missing.
    """
    ### BEGIN SOLUTION
    if l2 <= 0:
        raise ValueError(
            f"l2 must be positive, not {l2}: without a penalty separable classes send weights to infinity"
        )
    if labels.all() or not labels.any():
        raise ValueError("labels must contain both True and False")
    acts, targets = acts.double(), labels.double()
    mean, scale = acts.mean(dim=0), acts.std(dim=0, correction=0)
    scale = torch.where(scale > 1e-9 * (1 + mean.abs()), scale, torch.ones_like(scale))
    features = (acts - mean) / scale
    weights = torch.zeros(acts.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights, bias], max_iter=1000, tolerance_grad=1e-8, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(features @ weights + bias, targets)
        value = value + l2 / 2 * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    coef = weights.detach() / scale
    return coef.float(), (bias.detach() - coef @ mean).item()
    ### END SOLUTION


check(fit_logistic_probe)


# %%
def fit_ridge_probe(
    acts: Float[Tensor, "text d_model"], targets: Float[Tensor, "text target"], l2: float
) -> tuple[Float[Tensor, "d_model target"], Float[Tensor, "target"]]:
    """Ridge regression in closed form: (coef, intercept) that minimise Σ‖error‖² + l2 · ‖W‖², intercept free."""
    ### BEGIN SOLUTION
    acts, targets = acts.double(), targets.double()
    act_mean, target_mean = acts.mean(dim=0), targets.mean(dim=0)
    centred = acts - act_mean
    gram = centred.T @ centred + l2 * torch.eye(acts.shape[1], dtype=acts.dtype)
    coef = torch.linalg.solve(gram, centred.T @ (targets - target_mean))
    return coef.float(), (target_mean - act_mean @ coef).float()
    ### END SOLUTION


check(fit_ridge_probe)


# %%
def r2_score(
    predictions: Float[Tensor, "text target"], targets: Float[Tensor, "text target"]
) -> Float[Tensor, "target"]:
    """One minus the squared error over that of always guessing the mean target, for each target.

    Raises ValueError where a target never changes.
    """
    ### BEGIN SOLUTION
    spread = (targets - targets.mean(dim=0)).square().sum(dim=0)
    if (spread == 0).any():
        raise ValueError("a target is the same for every text: there is no spread to explain")
    return 1 - (targets - predictions).square().sum(dim=0) / spread
    ### END SOLUTION


check(r2_score)


# %%
def layer_sweep(
    fit,
    train_acts: Float[Tensor, "text layer d_model"],
    train_labels: Bool[Tensor, "text"],
    val_acts: Float[Tensor, "val_text layer d_model"],
    val_labels: Bool[Tensor, "val_text"],
) -> Float[Tensor, "layer"]:
    """Validation accuracy of `fit(acts, labels) -> (coef, intercept)` at every layer."""
    ### BEGIN SOLUTION
    accuracies = []
    for layer in range(train_acts.shape[1]):
        coef, intercept = fit(train_acts[:, layer], train_labels)
        predicted = val_acts[:, layer] @ coef + intercept > 0
        accuracies.append((predicted == val_labels).float().mean())
    return torch.stack(accuracies)
    ### END SOLUTION


check(layer_sweep)
