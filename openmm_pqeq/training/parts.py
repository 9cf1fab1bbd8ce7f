"""Parts of the network by name, for training some of its weights and leaving the others as they
are.

    readout           the last two linear layers (what the ReaxNet paper fine-tunes)
    layer.0 … layer.n the interactions, first to last
    radial            the radial networks of all interactions
    self-connection   the species-dependent maps of all interactions
    linear            the linear maps before and after the tensor products
    maps              linear, self-connection and readout: what leaves the radial networks as they
                      are (on a GPU: tabulated.py), and the embedding, whose rows belong to one element each
    embedding, basis  species → features; frequencies of the radial basis
    all, none

Several are joined by commas. Anything else is a regular expression that is searched for in the
names of the weights, such as "interactions.2.radial" or "readout.1".
"""

import re

from torch import nn

PARTS = {
    "readout": r"^readout\.",
    "radial": r"\.radial\.",
    "self-connection": r"\.self_connection\.",
    "linear": r"^interactions\.\d+\.(up|down)\.",
    "maps": r"^readout\.|^interactions\.\d+\.(up|down|self_connection)\.",
    "embedding": r"^embedding$",
    "basis": r"^basis\.",
    "all": r"",
    "none": r"(?!)",
}
"""Name of each part and the pattern of its weights' names; layer.N stands for the interaction N."""


def part_names(gnn: nn.Module) -> list[str]:
    """The names that `select` knows for this network."""
    layers = sorted(
        {
            int(name.split(".")[1])
            for name, _ in gnn.named_parameters()
            if name.startswith("interactions.")
        }
    )
    return [
        "readout",
        *(f"layer.{index}" for index in layers),
        *(name for name in PARTS if name != "readout"),
    ]


def select(gnn: nn.Module, parts: str) -> list[str]:
    """Names of the weights of the parts, in the order of the network.

    Raises ValueError for a name that is no part and, as a regular expression, meets no weight.
    """
    every = [name for name, _ in gnn.named_parameters()]
    chosen: set[str] = set()
    for part in (item.strip() for item in parts.split(",")):
        layer = re.fullmatch(r"layer\.(\d+)", part)
        pattern = PARTS.get(part, rf"^interactions\.{layer[1]}\." if layer else part)
        try:
            found = [name for name in every if re.search(pattern, name)]
        except re.error as error:
            raise ValueError(
                f"train: {part!r} is no part and not a regular expression ({error}); {_known(gnn)}"
            ) from error
        if not part or (not found and part != "none"):
            raise ValueError(f"train: {part!r} meets no weight of the network; {_known(gnn)}")
        chosen.update(found)
    return [name for name in every if name in chosen]


def _known(gnn: nn.Module) -> str:
    return f"expected some of {', '.join(part_names(gnn))}, or a regular expression for names such as {_examples(gnn)}"


def _examples(gnn: nn.Module) -> str:
    names = [name for name, _ in gnn.named_parameters()]
    return ", ".join(dict.fromkeys([names[0], names[len(names) // 2], names[-1]]))


def freeze(gnn: nn.Module, trained: list[str]) -> int:
    """Let only the named weights have gradients, and modules without any be in evaluation mode;
    returns how many are trained."""
    count = 0
    for name, weight in gnn.named_parameters():
        weight.requires_grad_(name in trained)
        count += weight.numel() if name in trained else 0
    for module in gnn.modules():
        module.training = any(weight.requires_grad for weight in module.parameters())
    return count
