"""The dispersion operator equals its torch reference in value and first derivative, and obeys the
laws by itself."""

import laws
import pytest
import torch
from ase import Atoms
from dispersion_twins import (
    DOUBLE,
    SINGLE,
    STRUCTURES,
    TOLERANCE,
    assert_equal,
    energies_and_slopes,
    energy_of,
    native_of,
    reference_of,
    salt,
    term,
)
from emulated_cuda import emulated
from structures import ethanol, quartz_like, structure_from

from openmm_pqeq import ops
from openmm_pqeq.d3.dispersion import dispersion_native, dispersion_reference
from openmm_pqeq.d3.energy import Tables
from openmm_pqeq.d3.inference import InferenceD3
from openmm_pqeq.neighbors.half_list import KeptPairs, KeptSearch
from openmm_pqeq.structure import Structure, collate

pytestmark = [
    pytest.mark.python_route,
    pytest.mark.skipif(not ops.available("dispersion"), reason=f"dispersion: {ops.status()}"),
]


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
@pytest.mark.parametrize("damping", ["zero", "bj"])
@pytest.mark.parametrize("width", [0.0, 2.0])
def test_native_equals_the_torch_module(structure, damping, width):
    """In both precisions of the tables; float32 is compared with float64, so its rounding shows."""
    given = structure_from(structure)
    expected = energies_and_slopes(reference_of(term(damping, width)), given)
    for dtype in (DOUBLE, SINGLE):
        ours = energies_and_slopes(native_of(term(damping, width, dtype)), given)
        assert ours[0].dtype == DOUBLE
        assert_equal(ours, expected, TOLERANCE[dtype])


@pytest.mark.parametrize("damping", ["zero", "bj"])
def test_native_equals_the_reference_of_its_signature(damping):
    given, d3 = structure_from(quartz_like()), term(damping)
    pairs, species = KeptSearch(d3.cutoff)(given), d3.rows[given.numbers]
    tables = Tables(*(getattr(d3, name) for name in Tables._fields))
    arguments = (pairs, given.cell, given.batch, species, tables, InferenceD3(d3).settings)
    for ours, expected in zip(
        dispersion_native(*arguments), dispersion_reference(*arguments), strict=True
    ):
        laws.close(ours, expected, 1e-12, "energies and coordination numbers")


@pytest.mark.parametrize(
    "settings", [{"alp": 12.5}, {"alp": 13.0}, {"cutoff": 7.0, "cn_cutoff": 13.0}]
)
def test_other_exponents_and_cutoffs(settings):
    given = structure_from(quartz_like())
    ours, expected = (
        energies_and_slopes(of(term("zero", **settings)), given) for of in (native_of, reference_of)
    )
    assert_equal(ours, expected, TOLERANCE[DOUBLE])


def test_single_precision_of_everything():
    given = structure_from(quartz_like())
    single = given._replace(positions=given.positions.float(), cell=given.cell.float())
    ours = energies_and_slopes(native_of(term(dtype=SINGLE)), single)
    assert ours[0].dtype == ours[1].dtype == SINGLE
    assert_equal(
        ours, energies_and_slopes(reference_of(term()), given), 1e-5
    )  # positions of 10 Å are rounded by 5e-7 Å


def test_moves_within_and_beyond_the_skin_and_wrapped_atoms():
    """The list is kept, then searched again; atoms come in any image."""
    given, d3 = structure_from(salt()), term()
    fast, search, reference = InferenceD3(d3), KeptSearch(d3.cutoff, 1.0), reference_of(d3)
    generator = torch.Generator().manual_seed(5)
    for size, searches in ((0.0, 1), (0.1, 1), (0.9, 2), (0.9, 2)):
        shift = (
            torch.randint(-3, 4, given.positions.shape, generator=generator).double()
            @ given.cell[0]
        )
        moved = given._replace(
            positions=given.positions + size * torch.sin(given.positions) + shift
        )
        ours = energies_and_slopes(lambda s: fast(s, search(s)), moved)
        assert_equal(ours, energies_and_slopes(reference, moved), 1e-11)
        assert int(search.searches) == searches


@pytest.mark.parametrize("damping", ["zero", "bj"])
@pytest.mark.parametrize("width", [0.0, 2.0])
def test_forces_and_stress_are_derivatives_of_the_energy(damping, width):
    energy = energy_of(term(damping, width))
    for atoms in (ethanol(), quartz_like()):
        laws.assert_forces(
            energy, structure_from(atoms), tolerance=1e-7, step=1e-4 if width else 1e-6
        )
    if width:  # without a switch the energy jumps while pairs pass the cutoff
        laws.assert_stress(energy, structure_from(quartz_like()), tolerance=1e-8)


def test_laws():
    energy = energy_of(term(cutoff=8.0, cn_cutoff=6.0))
    crystal, slab = (
        structure_from(quartz_like()),
        structure_from(Atoms(quartz_like(), pbc=(True, True, False))),
    )
    for structure in (structure_from(ethanol()), crystal):
        laws.assert_translation(energy, structure)
        laws.assert_rotation(energy, structure)
        laws.assert_permutation(energy, structure)
    laws.assert_any_image(energy, slab)
    laws.assert_supercell(energy, crystal, (2, 1, 3))
    laws.assert_size_consistency(energy, structure_from(ethanol()), structure_from(Atoms("Xe")))
    laws.assert_batch(
        energy, [structure_from(ethanol()), crystal, structure_from(Atoms("Xe")), slab]
    )
    for distance in (8.0, 6.0, 4.0):
        laws.assert_continuous(
            energy,
            lambda d: structure_from(Atoms("Cs2O", positions=[[0, 0, 0], [d, 0, 0], [0, 3.1, 0]])),
            distance,
        )


def test_the_derivative_in_the_cell_of_a_batch():
    batch = collate(
        [
            structure_from(a)
            for a in (quartz_like(), salt(), Atoms("ArXe", positions=[[0, 0, 0], [3.0, 2.0, 1.0]]))
        ]
    )
    ours, expected = (energies_and_slopes(of(term()), batch) for of in (native_of, reference_of))
    assert_equal(ours, expected, 1e-11)


def test_the_number_of_threads_changes_nothing():
    given, before, found = structure_from(salt() * (2, 1, 1)), torch.get_num_threads(), []
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            found.append(energies_and_slopes(native_of(term()), given))
    finally:
        torch.set_num_threads(before)
    assert_equal(found[1], found[0], 0.0)
    assert_equal(found[2], found[0], 0.0)


def test_second_derivatives_are_refused_and_first_ones_with_a_graph_are_not():
    given = structure_from(quartz_like())
    positions = given.positions.clone().requires_grad_(True)
    energies = native_of(term())(given._replace(positions=positions))
    (slope,) = torch.autograd.grad(energies.sum(), positions, create_graph=True)
    expected = laws.forces_of(energy_of(term()), given)
    laws.close(-slope, expected, 0.0, "forces with a graph")
    with pytest.raises(
        RuntimeError, match=r"dispersion: expected at most first derivatives.*compile_for_inference"
    ):
        slope.sum().backward()


@pytest.mark.gpu
@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
@pytest.mark.parametrize("damping", ["zero", "bj"])
def test_on_a_gpu(structure, damping, gpu):
    assert_kernels_equal_the_module(structure, damping, gpu)


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
@pytest.mark.parametrize("damping", ["zero", "bj"])
def test_cuda_kernels_on_the_cpu(structure, damping):
    with emulated(keep_calls=False):
        assert_kernels_equal_the_module(structure, damping, torch.device("cpu"))


def assert_kernels_equal_the_module(structure: Atoms, damping: str, gpu: torch.device) -> None:
    """With the list of the CPU; sums on a GPU are whole multiples of 1e-12."""
    given = structure_from(structure)
    for dtype, tolerance in ((DOUBLE, 1e-9), (SINGLE, 10 * TOLERANCE[SINGLE])):
        fast, search = InferenceD3(term(damping, dtype=dtype)).to(gpu), KeptSearch(13.0)

        def on_gpu(moved: Structure, fast=fast, search=search) -> torch.Tensor:
            pairs, moved = search(moved), Structure(*(x.to(gpu) for x in moved[:7]))
            return fast(moved, KeptPairs(*(x.to(gpu) for x in pairs))).cpu()

        assert_equal(
            energies_and_slopes(on_gpu, given),
            energies_and_slopes(reference_of(term(damping)), given),
            tolerance,
        )
