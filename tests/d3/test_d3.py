"""D3: laws, elements, forms of the module, and what is refused."""

import importlib.util
import io
from collections.abc import Callable

import laws
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from dispersion_twins import energy_of_reference
from structures import ethanol, quartz_like, structure_from
from torch import Tensor

from openmm_pqeq.d3 import tables as d3_tables
from openmm_pqeq.d3.energy import reference_weights, switch
from openmm_pqeq.d3.model import D3
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import Structure

SHORT = {"cutoff": 8.0, "cn_cutoff": 6.0, "smoothing_width": 2.0}


@pytest.fixture(params=["zero", "bj"])
def energy(request: pytest.FixtureRequest) -> Callable[[Structure], Tensor]:
    return energy_of_reference(D3(request.param, "pbe", **SHORT))


# Laws


def test_symmetries(energy):
    for atoms in (ethanol(), quartz_like()):
        structure = structure_from(atoms)
        laws.assert_translation(energy, structure)
        laws.assert_rotation(energy, structure)
        laws.assert_inversion(energy, structure)
        laws.assert_permutation(energy, structure)


def test_derivatives(energy):
    for atoms in (ethanol(), quartz_like()):
        laws.assert_forces(energy, structure_from(atoms), tolerance=1e-7)
        laws.assert_second_derivatives(energy, structure_from(atoms))
    laws.assert_stress(energy, structure_from(quartz_like()), tolerance=1e-8)


def test_extensivity(energy):
    crystal, slab = (
        structure_from(quartz_like()),
        structure_from(quartz_like())._replace(pbc=torch.tensor([[True, True, False]])),
    )
    laws.assert_supercell(energy, crystal, (2, 1, 3))
    laws.assert_supercell(energy, slab, (1, 2, 1))
    laws.assert_any_image(energy, crystal)
    laws.assert_any_image(energy, slab)
    laws.assert_size_consistency(energy, structure_from(ethanol()), structure_from(molecule("H2O")))
    laws.assert_batch(
        energy, [structure_from(ethanol()), crystal, structure_from(Atoms("Xe")), slab]
    )


@pytest.mark.parametrize("distance", [8.0, 6.0, 4.0])
def test_energy_and_forces_are_continuous_at_every_cutoff(energy, distance):
    """Cutoffs at 8 and 6 Å; switches begin at 6 and 4 Å. Caesium counts as a neighbour at 6 Å, and
    a third atom sees it."""

    def structure_at(d: float) -> Structure:
        return structure_from(Atoms("Cs2O", positions=[[0, 0, 0], [d, 0, 0], [0, 3.1, 0]]))

    laws.assert_continuous(energy, structure_at, distance)


def test_the_switch_has_two_continuous_derivatives():
    """At both ends value, slope and curvature are those of the constants next to it; halfway the
    value is a half."""
    r = torch.tensor([6.0 + 1e-9, 8.0 - 1e-9, 7.0], dtype=torch.float64, requires_grad=True)
    value = switch(r, 8.0, 2.0)
    (slope,) = torch.autograd.grad(value.sum(), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    laws.close(value, torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64), 1e-12, "switch")
    laws.close(
        slope, torch.tensor([0.0, 0.0, -0.9375], dtype=torch.float64), 1e-12, "slope of the switch"
    )
    laws.close(curvature, torch.zeros(3, dtype=torch.float64), 1e-7, "curvature of the switch")


def test_a_hard_cutoff_jumps():
    """What smoothing is for: an argon dimer loses 3 meV where 0 is asked for."""
    hard = energy_of_reference(D3("bj", "pbe", cutoff=5.0, cn_cutoff=5.0, smoothing_width=0.0))
    inside, outside = (
        structure_from(Atoms("Ar2", positions=[[0, 0, 0], [d, 0, 0]])) for d in (4.9999, 5.0001)
    )
    assert float(hard(inside)) < -1e-3
    assert float(hard(outside)) == 0.0


def test_energy_of_a_pair_belongs_half_to_each_atom():
    term = D3("bj", "pbe")
    structure = structure_from(Atoms("ArXe", positions=[[0, 0, 0], [4.0, 0, 0]]))
    energies = term(structure, NeighborSearch(term.cutoff)(structure))
    assert float(energies[0]) == float(energies[1]) < 0


# Elements


def test_every_element_of_the_tables_gives_finite_energies_and_forces():
    """Z 1–94, next to itself and to oxygen, as a close trimer."""
    assert len(d3_tables.elements()) == 94
    for damping in ("zero", "bj"):
        energy = energy_of_reference(D3(damping, "pbe"))
        for number in range(1, 95):
            structure = structure_from(
                Atoms([number, number, 8], positions=[[0, 0, 0], [2.3, 0.2, 0], [0.1, 1.9, 0.4]])
            )
            assert float(energy(structure)) < 0
            assert bool(torch.isfinite(laws.forces_of(energy, structure)).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_survive_any_coordination_number(dtype):
    """At CN 60 every Gaussian underflows; elements with one reference have weight one; gradients
    stay finite, twice."""
    references = torch.tensor(
        [[0.0, 0.99, 2.0, 3.0, 4.0], [0.0, -1.0, -1.0, -1.0, -1.0]], dtype=dtype
    )
    numbers = torch.tensor([60.0, 60.0], dtype=dtype, requires_grad=True)
    weights = reference_weights(numbers, references)
    expected = torch.tensor([[0, 0, 0, 0, 1], [1, 0, 0, 0, 0]], dtype=dtype)
    laws.close(weights, expected, 1e-30, "weights far above the highest reference")
    (first,) = torch.autograd.grad((weights**2).sum(), numbers, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), numbers)
    assert bool(torch.isfinite(first).all())
    assert bool(torch.isfinite(second).all())


def test_atoms_almost_on_top_of_each_other_are_finite():
    """In float32 too, where 1/r¹⁶ overflows: zero damping is written without it."""
    for damping in ("zero", "bj"):
        energy = energy_of_reference(D3(damping, "pbe", **SHORT).to(torch.float32))
        structure = structure_from(Atoms("CsH", positions=[[0, 0, 0], [1e-3, 0, 0]]))
        assert bool(torch.isfinite(energy(structure)).all())
        assert bool(torch.isfinite(laws.forces_of(energy, structure)).all())


def test_selected_species_give_the_same_numbers():
    structure = structure_from(ethanol())
    everything, some = D3("zero", "pbe"), D3("zero", "pbe", species=["O", "C", "H"])
    laws.close(
        energy_of_reference(some)(structure),
        energy_of_reference(everything)(structure),
        1e-14,
        "energy with three species",
    )
    with pytest.raises(ValueError, match="species"):
        energy_of_reference(some)(structure_from(molecule("NH3")))


# Forms of the module


def test_scripted_and_loaded_modules_give_the_same_numbers():
    term = D3("bj", "pbe", species=["Si", "O", "C"], **SHORT)
    structure = structure_from(quartz_like())
    pairs = NeighborSearch(term.cutoff)(structure)
    scripted, file = torch.jit.script(term), io.BytesIO()
    torch.jit.save(scripted, file)
    assert file.tell() < 50_000
    file.seek(0)
    for other in (scripted, torch.jit.load(file), torch.jit.freeze(scripted.eval())):
        laws.close(other(structure, pairs), term(structure, pairs), 1e-15, "scripted energies")
    assert list(term.state_dict()) == []


def test_single_precision():
    """1e-5 eV/atom and eV/Å: float32 has 7 digits and D3 energies are of order 0.3 eV/atom."""
    structure = structure_from(quartz_like())
    double, single = D3("bj", "pbe"), D3("bj", "pbe").to(torch.float32)
    assert single(structure, NeighborSearch(single.cutoff)(structure)).dtype == torch.float32
    laws.close(
        energy_of_reference(single)(structure).double(),
        energy_of_reference(double)(structure),
        3e-5,
        "energy in float32",
    )
    laws.close(
        laws.forces_of(energy_of_reference(single), structure),
        laws.forces_of(energy_of_reference(double), structure),
        1e-5,
        "forces in float32",
    )


# Doors


def test_unknown_functionals_are_refused_with_a_list():
    with pytest.raises(ValueError, match=r"functional.*'pbee'.*b3lyp.*pbe0"):
        D3("bj", "pbee")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"damping": "bjm"}, "damping: expected 'zero' or 'bj'"),
        ({"damping": "bj"}, "s8, a1, a2 missing"),
        ({"damping": "zero", "s8": 1.0}, "rs6 missing"),
        ({"damping": "zero", "functional": "pbe", "a1": 0.4}, "a1: not a parameter of zero"),
        ({"damping": "bj", "functional": "pbe", "rs6": 0.4}, "rs6: not a parameter of bj"),
        ({"functional": "pbe", "cutoff": -1.0}, "cutoff: expected a positive"),
        ({"functional": "pbe", "cn_cutoff": float("nan")}, "cn_cutoff: expected a positive"),
        (
            {"functional": "pbe", "cutoff": 5.0, "smoothing_width": 6.0},
            "smoothing_width: expected 0 to 5.0",
        ),
        ({"functional": "pbe", "species": ["Cm", "O"]}, "species: D3 has no parameters for Cm"),
        ({"functional": "pbe", "species": ["Mgo"]}, "species: D3 has no parameters for Mgo"),
        ({"functional": "pbe", "constants": "cgs"}, "constants: expected"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        D3(**settings)


def test_missing_torch_dftd_is_named_with_the_remedy(monkeypatch):
    d3_tables._tables.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install torch-dftd"):
        D3("bj", "pbe")


def test_a_functional_may_be_adjusted_and_spelt_as_in_the_paper():
    default, adjusted = D3("bj", "B97-D"), D3("bj", "b97_d", s8=0.0)
    assert (default.s8, adjusted.s8) == (2.2609, 0.0)
