"""Which irreducible representations a network carries, layer by layer, and how they couple.

An interaction turns features of irreps (l, p) into others through spherical harmonics,

    (l1, p1) ⊗ (l2, p2) → (l, p1 p2),   |l1 − l2| ≤ l ≤ l1 + l2,

keeps those asked for in `hidden_irreps`, and gates the ones with l > 0 by additional scalars. This
module only counts. It leaves out what is zero by structure (before the first interaction only 0e
features exist) and what the energy never reads (of the last layer only 0e features matter).
Features of the same irrep are one block, whether `hidden_irreps` names them once or in pieces.

Batzner et al., Nat. Commun. 13, 2453 (2022), https://doi.org/10.1038/s41467-022-29939-5
"""

from collections.abc import Iterable
from typing import NamedTuple

from openmm_pqeq.gnn.irreps import Irrep, irreps_of, products

EVEN = Irrep(0, 1)

Blocks = dict[Irrep, int]
"""Irrep → multiplicity, in the order of the blocks."""


class Path(NamedTuple):
    """One coupling input ⊗ harmonic → output, as positions in `Layer.inputs`, the harmonics and
    `Layer.outputs`."""

    input: int
    harmonic: int
    output: int


class Layer(NamedTuple):
    """The blocks of one interaction.

    inputs : features read
    outputs : what convolution and self-connection make: scalars (the gates are the last channels of
        0e), then the gated
    scalars, gated : the features handed on, without gates; the next layer reads them in this order
    paths : ordered by input, harmonic, l of the output
    """

    inputs: Blocks
    outputs: Blocks
    scalars: Blocks
    gated: Blocks
    paths: list[Path]


def merge(irreps: str) -> Blocks:
    """Multiplicities of equal irreps added up, in the order of first appearance."""
    blocks: Blocks = {}
    for mul, ir in irreps_of(irreps):
        if mul > 0:
            blocks[ir] = blocks.get(ir, 0) + mul
    return blocks


def couples(inputs: Iterable[Irrep], harmonics: list[Irrep]) -> set[Irrep]:
    """Every irrep in inputs ⊗ harmonics."""
    return {ir for one in inputs for harmonic in harmonics for ir in products(one, harmonic)}


def plan_layers(
    hidden_irreps: str, sh_irreps: str, layers: int, self_connection: bool
) -> list[Layer]:
    """The blocks of every interaction of a network whose energy reads the 0e features of the last
    one.

    Gates are even scalars. Odd ones would be needed only where no coupling gives 0e, and there
    nothing is ever nonzero: a feature l > 0 starts as 0e ⊗ Y of its own irrep, and those two give
    0e.

    Raises
    ------
    ValueError
        if `hidden_irreps` has no even scalar or none reaches the last layer
    """
    hidden, harmonics = merge(hidden_irreps), [ir for _, ir in irreps_of(sh_irreps)]
    if EVEN not in hidden:
        raise ValueError(
            f"hidden_irreps must contain even scalars (such as '32x0e'), got '{hidden_irreps}'"
        )
    inputs: Blocks = {EVEN: hidden[EVEN]}
    possible = set(hidden)
    forward: list[tuple[Blocks, Blocks]] = []
    for _ in range(layers):
        possible = couples(possible, harmonics) & set(hidden)
        made = couples(inputs, harmonics) | (set(inputs) if self_connection else set())
        features = {
            ir: hidden[ir]
            for ir in sorted(hidden, key=_gated)
            if ir in possible & made and (ir.l == 0 or EVEN in made)
        }
        forward.append((inputs, features))
        inputs = features
    if EVEN not in inputs:
        raise ValueError(
            f"no even scalar reaches layer {layers}: hidden_irreps '{hidden_irreps}' with "
            f"sh_irreps '{sh_irreps}' give no energy; "
            "add '0e' to sh_irreps or use more irreps"
        )
    wanted = {EVEN}
    plan: list[Layer] = []
    for inputs, features in reversed(forward):
        plan.append(
            _layer(
                inputs,
                {ir: mul for ir, mul in features.items() if ir in wanted},
                harmonics,
                self_connection,
            )
        )
        wanted = set(plan[-1].inputs)
    return plan[::-1]


def _gated(ir: Irrep) -> bool:
    return ir.l > 0


def _layer(
    inputs: Blocks, features: Blocks, harmonics: list[Irrep], self_connection: bool
) -> Layer:
    """One layer that makes `features`, with the inputs that take part in it."""
    scalars = {ir: mul for ir, mul in features.items() if ir.l == 0}
    gated = {ir: mul for ir, mul in features.items() if ir.l > 0}
    outputs = dict(scalars)
    if gated:
        outputs[EVEN] = outputs.get(EVEN, 0) + sum(gated.values())
    outputs.update(gated)
    used = {
        ir: mul
        for ir, mul in inputs.items()
        if (self_connection and ir in outputs) or couples([ir], harmonics) & set(outputs)
    }
    position = {ir: index for index, ir in enumerate(outputs)}
    paths = [
        Path(i, j, position[out])
        for i, ir in enumerate(used)
        for j, harmonic in enumerate(harmonics)
        for out in products(ir, harmonic)
        if out in outputs
    ]
    return Layer(used, outputs, scalars, gated, paths)
