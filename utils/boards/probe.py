"""A linear probe of every square at once, for lessons that need one and do not teach how it is fitted."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class BoardProbe:
    """weight and bias of one linear output a square and state."""

    weight: Float[Tensor, "d_model square state"]
    bias: Float[Tensor, "square state"]

    def logits(self, acts: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch square state"]:
        """The outputs; fitted by `linear_board_probe` they are rough probabilities, which need not lie in 0 … 1."""
        return torch.einsum("...d,dsk->...sk", acts, self.weight) + self.bias

    def read(self, acts: Float[Tensor, "*batch d_model"]) -> Int[Tensor, "*batch square"]:
        """The state with the largest output."""
        return self.logits(acts).argmax(dim=-1)


def linear_board_probe(
    acts: Float[Tensor, "position d_model"],
    boards: Int[Tensor, "position square"],
    n_states: int,
    l2: float = 1.0,
) -> BoardProbe:
    """One-hot ridge regression from activations to every square's state; the bias is not penalised.

    Raises ValueError when acts and boards differ in length, or a state lies outside 0 … n_states − 1.
    Source: the linear probe of Nanda et al. 2023, arXiv:2309.00941, here with a squared loss, in closed form.
    """
    if len(acts) != len(boards):
        raise ValueError(f"{len(acts)} activations for {len(boards)} boards")
    if boards.min() < 0 or boards.max() >= n_states:
        raise ValueError(f"states {int(boards.min())} to {int(boards.max())}: expected 0 to {n_states - 1}")
    x = acts.double()
    x_mean = x.mean(dim=0)
    x = x - x_mean
    # Square by square: the one-hot boards of thousands of positions at once would take gigabytes for chess.
    products, means = [], []
    for square in boards.T.long():
        onehot = F.one_hot(square, n_states).double()
        means.append(onehot.mean(dim=0))
        products.append(x.T @ (onehot - means[-1]))
    gram = x.T @ x + l2 * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(gram, torch.stack(products, dim=1).flatten(1)).unflatten(1, (-1, n_states))
    bias = torch.stack(means) - torch.einsum("d,dsk->sk", x_mean, weight)
    return BoardProbe(weight.float(), bias.float())
