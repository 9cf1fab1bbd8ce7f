"""Universal models: a published SevenNet, and on top of it what a field does.

    E = E_SevenNet(r, Z, cell) + E_PQEq(r; F, V; Q) − E_PQEq(r; 0, 0; Q) + E_ZBL(r)

The network learned whole PBE energies, so that PQEq gives it the field alone: charges by bonds from
reference charges, with the parameter set `response`. E_ZBL is zero where no two atoms are nearer than
0.62 of the sum of their covalent radii. Composed once, from the cache ever after.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from functools import cache as once
from pathlib import Path
from typing import Any, NamedTuple

from openmm_pqeq import checkpoint
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq.parameters import resolve_parameters
from openmm_pqeq.published.download import cache_folder, making
from openmm_pqeq.published.sevennet import models as sevennet


class Composed(NamedTuple):
    """The network's name, and what the model is in a few words."""

    network: str
    title: str


MODELS = {
    "universal": Composed("sevennet-0", "SevenNet-0, and a field on top: the faster one"),
    "universal-l3i5": Composed(
        "sevennet-l3i5", "SevenNet-l3i5, and a field on top: the more accurate one"
    ),
}

PQEQ = {"protocol": "pme", "parameters": "response", "charge_flow": "bonds", "energy": "field"}
ZBL = {"inner": 0.55, "outer": 0.62, "of_radii": True}
"""Short of all bonds: uranyl has 0.68, and Li–Li of hot LLZO 0.64. Without it both networks attract
atoms that are too close: their dimers fall by thousands of eV, within 0.2 to 0.6 of the radii, behind
barriers of 0 to 10 eV for 32 of 264 pairs of SevenNet-0 and 9 of l3i5. With it the barriers are 12 eV or
more, but for He–He, and 59 eV or more (docs/sevennet.md)."""

METHOD = (
    "PQEq with charges by bonds and linear dipoles, after Naserifar et al., J. Chem. Phys. 146, 124117 "
    "(2017), https://doi.org/10.1063/1.4978891, and Gao et al., Nat. Commun. 16, 10484 (2025), "
    "https://doi.org/10.1038/s41467-025-65496-3; parameters: the set 'response', fitted to Born charges "
    "and dielectric constants of crystals (phonondb, A. Togo; Petretto et al., Sci. Data 5, 180065 "
    "(2018); Materials Project; all CC BY 4.0); energy: E_PQEq(field) - E_PQEq(no field)"
)

LIMITS = [
    "field: the parameters are those of elements and their reference charges, fitted to the linear "
    "response of 3,473 insulating crystals. On 482 and 819 crystals of other chemical systems (two splits), "
    "and fits without them, Born charges have a mean absolute error of 0.10 and 0.11 e and a root mean "
    "square of 0.23 and 0.28 e, the high-frequency dielectric constant a median error of 5 and 6 %, where "
    "that constant is below 14. Pnictides "
    "and covalent semiconductors are worse, and so are ions and pairs of elements that are rare in those "
    "crystals. Molecules were not fitted",
    "charges flow along bonds from reference charges: oxidation states of the composition, and of sites "
    "where anions are bonded to their like, unless given. These are constant in time, so that no redox "
    "reaction is followed; where they are not decided by that (charge order, intermetallic compounds) a "
    "field needs reference_charges",
    "metals: atoms of electrodes share their charge at a voltage; without electrodes=... a metal "
    "answers a field like an insulator of its bonds",
    "a field along a slab's or film's normal in a cell periodic along it is the macroscopic one, "
    "not the applied one",
    "total charge: the network knows none; it changes the charges and the answer to a field",
    "dispersion: only what PBE has of it; potential.with_dispersion('pbe') adds D3(BJ)",
    "atoms closer than 0.62 of the sum of their covalent radii: the repulsion of their nuclei (ZBL) is "
    "added there and keeps colliding atoms apart. Where two have been put closer than about 0.45 the "
    "network may attract them all the same: correct such a structure",
]


@once
def composition() -> str:
    """What is composed, in a word: models of another composition, or of other parameters, are not used
    any more."""
    content = [PQEQ, resolve_parameters(PQEQ["parameters"]), ZBL, METHOD, LIMITS]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def cached_file(name: str, cache: str | os.PathLike[str] | None = None) -> Path:
    """Where the composed model is, or will be."""
    return cache_folder(name, cache) / f"conversion-{sevennet.CONVERSION}-{composition()}.pt"


def at_hand(name: str) -> bool:
    """Whether a model needs no network: it has been composed, or its network fetched."""
    return cached_file(name).is_file() or sevennet.at_hand(MODELS[name].network)


def model_file(
    name: str,
    cache: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> Path:
    """The composed model, its network fetched and converted, unless it is in the cache.

    Parameters and errors are those of the network's `model_file`.
    """
    path = cached_file(name, cache)
    if not path.is_file():
        network = sevennet.model_file(MODELS[name].network, cache, say)
        with making(path) as part:
            compose(network, part, MODELS[name].title)
    return path


def compose(network: Path, output: Path, title: str) -> None:
    """Write the network of a file, with the energy of a field and the repulsion of nuclei beside it."""
    base = checkpoint.load(network)
    whole = build({**base.config, "pqeq": PQEQ, "zbl": ZBL})
    if base.gnn is None or whole.gnn is None:
        raise ValueError(f"model file {network}: expected one with a network, got none")
    whole.gnn.load_state_dict(base.gnn.state_dict())
    checkpoint.save(whole, output, _card(checkpoint.card(network), title, whole.species))


def _card(network: dict[str, Any], title: str, species: list[str]) -> dict[str, Any]:
    """The network's card, with what the field adds to it."""
    about_field = ("charges, fields", "dispersion")
    kept = [limit for limit in network["limits"] if not limit.startswith(about_field)]
    return {
        **network,
        "title": title,
        "network": network["title"],
        "field": METHOD,
        "elements": species,
        "limits": LIMITS + kept,
    }
