"""Which irreducible representations a network carries, layer by layer, and how they couple.

An interaction turns features of irreps (l, p) into others through spherical harmonics,

    (l1, p1) ⊗ (l2, p2) → (l, p1 p2),   |l1 − l2| ≤ l ≤ l1 + l2,

keeps those asked for in `hidden_irreps`, and gates the ones with l > 0 by additional scalars. This module only counts. It leaves
out what is zero by structure (before the first interaction only 0e features exist) and what the energy never reads (of the last
layer only 0e features matter). Features of the same irrep are one block, whether `hidden_irreps` names them once or in pieces.

Batzner et al., Nat. Commun. 13, 2453 (2022), https://doi.org/10.1038/s41467-022-29939-5
"""

from typing import NamedTuple

from e3nn.o3 import Irrep, Irreps

EVEN, ODD = Irrep(0, 1), Irrep(0, -1)

Blocks = dict[Irrep, int]
"""Irrep → multiplicity, in the order of the blocks."""


class Path(NamedTuple):
    """One coupling input ⊗ harmonic → output, as positions in `Layer.inputs`, the harmonics and `Layer.outputs`."""

    input: int
    harmonic: int
    output: int


class Layer(NamedTuple):
    """The blocks of one interaction.

    inputs : features read
    outputs : what convolution and self-connection make: scalars (the gates are the last channels of block `gate`), then the gated
    scalars, gated : the features before activation, without gates; the next layer reads them in this order
    gate : 0e, or 0o where 0e cannot be reached; a 0o gate flips the parity of what it gates
    paths : ordered by input, harmonic, l of the output
    """

    inputs: Blocks
    outputs: Blocks
    scalars: Blocks
    gated: Blocks
    gate: Irrep
    paths: list[Path]


def merge(irreps: str) -> Blocks:
    """Multiplicities of equal irreps added up, in the order of first appearance."""
    blocks: Blocks = {}
    for mul, ir in Irreps(irreps):
        if mul > 0:
            blocks[ir] = blocks.get(ir, 0) + mul
    return blocks


def gated_irrep(ir: Irrep, gate: Irrep) -> Irrep:
    """What an irrep becomes behind its gate; scalars have none."""
    return ir if ir.l == 0 else Irrep(ir.l, ir.p * gate.p)


def couples(inputs: set[Irrep], harmonics: list[Irrep]) -> set[Irrep]:
    """Every irrep in inputs ⊗ harmonics."""
    return {ir for one in inputs for harmonic in harmonics for ir in one * harmonic}


def plan_layers(hidden_irreps: str, sh_irreps: str, layers: int, self_connection: bool) -> list[Layer]:
    """The blocks of every interaction of a network whose energy reads the 0e features of the last one.

    Raises
    ------
    ValueError
        if `hidden_irreps` has no even scalar or none reaches the last layer
    """
    hidden, harmonics = merge(hidden_irreps), [ir for _, ir in Irreps(sh_irreps)]
    if EVEN not in hidden:
        raise ValueError(f"hidden_irreps must contain even scalars (such as '32x0e'), got '{hidden_irreps}'")
    labels, alive = dict(hidden), {EVEN}  # allowed by symmetry; of these, not zero by structure
    forward: list[tuple[Blocks, Blocks, Irrep]] = []
    for _ in range(layers):
        reachable = couples(set(labels), harmonics)
        made = couples(alive, harmonics) | (alive if self_connection else set())
        gate = EVEN if EVEN in reachable else ODD
        kept = {ir: hidden[ir] for ir in hidden if ir in reachable}
        kept = {ir: kept[ir] for ir in sorted(kept, key=lambda ir: ir.l > 0)}
        live = {ir: mul for ir, mul in kept.items() if ir in made and (ir.l == 0 or gate in made)}
        forward.append(({ir: mul for ir, mul in labels.items() if ir in alive}, live, gate))
        labels = {gated_irrep(ir, gate): mul for ir, mul in kept.items()}
        alive = {gated_irrep(ir, gate) for ir in live}
    if EVEN not in alive:
        raise ValueError(
            f"no even scalar reaches layer {layers}: hidden_irreps '{hidden_irreps}' with sh_irreps '{sh_irreps}' give no energy; "
            "add '0e' to sh_irreps or use more irreps"
        )
    wanted = {EVEN}
    plan: list[Layer] = []
    for inputs, live, gate in reversed(forward):
        features = {ir: mul for ir, mul in live.items() if gated_irrep(ir, gate) in wanted}
        plan.append(_layer(inputs, features, gate, harmonics, self_connection))
        wanted = set(plan[-1].inputs)
    return plan[::-1]


def _layer(inputs: Blocks, features: Blocks, gate: Irrep, harmonics: list[Irrep], self_connection: bool) -> Layer:
    """One layer that makes `features`, with the inputs that take part in it."""
    scalars = {ir: mul for ir, mul in features.items() if ir.l == 0}
    gated = {ir: mul for ir, mul in features.items() if ir.l > 0}
    outputs = dict(scalars)
    if gated:
        outputs[gate] = outputs.get(gate, 0) + sum(gated.values())
    outputs.update(gated)
    used = {
        ir: mul
        for ir, mul in inputs.items()
        if (self_connection and ir in outputs) or any(out in outputs for out in couples({ir}, harmonics))
    }
    position = {ir: index for index, ir in enumerate(outputs)}
    paths = [
        Path(i, j, position[out])
        for i, ir in enumerate(used)
        for j, harmonic in enumerate(harmonics)
        for out in ir * harmonic
        if out in outputs
    ]
    return Layer(used, outputs, scalars, gated, gate, paths)
