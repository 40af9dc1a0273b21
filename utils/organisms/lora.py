"""Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685) of a Hugging Face model's linear layers: attach, merge."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

Adapter = dict[str, Tensor]


class LoRALinear(nn.Module):
    """A frozen linear layer plus scale · up @ down; fresh adapters change nothing, since `up` starts at zero."""

    def __init__(self, base: nn.Linear, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.base, self.scale = base.requires_grad_(False), scale
        bound = base.in_features**-0.5
        down = (2 * torch.rand(rank, base.in_features, generator=generator) - 1) * bound
        self.down, self.up = nn.Parameter(down), nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        return self.base(x) + self.scale * (x @ self.down.T) @ self.up.T


def attach(
    model: nn.Module, names: tuple[str, ...], rank: int, scale: float, seed: int, first_block: int = 0
) -> list[LoRALinear]:
    """Put an adapter around every linear layer whose last name is in `names`; everything else is frozen.

    first_block: blocks before this one are left as they are. Raises ValueError when a name matches nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    model.requires_grad_(False)
    found = [
        (path, module)
        for path, module in model.named_modules()
        if path.rsplit(".", 1)[-1] in names and _block(path) >= first_block
    ]
    if missing := set(names) - {path.rsplit(".", 1)[-1] for path, _ in found}:
        raise ValueError(f"the model has no linear layers called {sorted(missing)}")
    adapters = []
    for path, base in found:
        assert isinstance(base, nn.Linear), f"{path} is a {type(base).__name__}"
        parent, name = path.rsplit(".", 1)
        adapters.append(LoRALinear(base, rank, scale, generator))
        setattr(model.get_submodule(parent), name, adapters[-1])
    return adapters


def _block(path: str) -> int:
    """The number in a path such as model.layers.3.mlp.up_proj."""
    return int(next(part for part in path.split(".") if part.isdigit()))


def adapter_state(model: nn.Module) -> Adapter:
    """The adapters' weights: `<layer>.down` and `<layer>.up`, the scale already in `up`."""
    state = {}
    for path, module in model.named_modules():
        if isinstance(module, LoRALinear):
            state[f"{path}.down"] = module.down.detach().clone()
            state[f"{path}.up"] = module.scale * module.up.detach()
    return state


@torch.no_grad()
def merge(model: nn.Module, adapter: Adapter) -> None:
    """Add the adapter to the weights of the model's linear layers, in place.

    Names match with or without the wrappers that TransformerLens puts around a layer. Raises ValueError, and changes
    nothing, when a layer of the adapter is not in the model or has another shape.
    """
    layers = {
        path.replace("._original_component", ""): module
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    changes = []
    for name in [name.removesuffix(".down") for name in adapter if name.endswith(".down")]:
        change = adapter[f"{name}.up"].float() @ adapter[f"{name}.down"].float()
        if name not in layers or layers[name].weight.shape != change.shape:
            raise ValueError(
                f"the adapter changes {name} by {tuple(change.shape)}, which this model does not have"
            )
        changes.append((layers[name].weight, change))
    for weight, change in changes:
        weight.add_(change.to(weight.dtype))
