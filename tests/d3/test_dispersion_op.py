"""The dispersion operator equals its torch reference in value and first derivative, and obeys the
laws by itself."""

import copy

import laws
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from emulated_cuda import emulated
from structures import ethanol, quartz_like, structure_from

from openmm_pqeq import ops
from openmm_pqeq.d3.dispersion import dispersion_native, dispersion_reference
from openmm_pqeq.d3.energy import Tables
from openmm_pqeq.d3.inference import InferenceD3
from openmm_pqeq.d3.model import D3
from openmm_pqeq.neighbors.half_list import KeptPairs, KeptSearch
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.potential import build
from openmm_pqeq.structure import Structure, collate

pytestmark = [
    pytest.mark.python_route,
    pytest.mark.skipif(not ops.available("dispersion"), reason=f"dispersion: {ops.status()}"),
]

SINGLE, DOUBLE = torch.float32, torch.float64
# Atoms have up to 0.5 eV of D3 and derivatives up to a few eV/Å in the cell; float32 carries 6e-8
# of each, tables included.
TOLERANCE = {DOUBLE: 1e-12, SINGLE: 2e-6}
LONG = {"cutoff": 13.0, "cn_cutoff": 9.0}


def salt() -> Atoms:
    """64 atoms, more than one block of pairs for every centre."""
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (2, 2, 2)
    atoms.rattle(0.1, seed=1)
    return atoms


STRUCTURES = {
    "three species, cell smaller than the cutoff": quartz_like(),
    "molecule": ethanol(),
    "slab": Atoms(quartz_like(), pbc=(True, True, False)),
    "wire": Atoms(quartz_like(), pbc=(False, False, True)),
    "one atom": Atoms("Xe"),
    "one atom and its images": bulk("Ar", "fcc", a=5.3),
    "two atoms": Atoms("ArXe", positions=[[0, 0, 0], [3.0, 2.0, 1.0]]),
    "no pairs": Atoms("ArXe", positions=[[0, 0, 0], [0, 60.0, 0]]),
    "a pair and an isolated atom": Atoms("CONe", positions=[[0, 0, 0], [1.1, 0, 0], [0, 0, 50.0]]),
    "one species, many pairs": bulk("Cu", cubic=True) * (2, 1, 1),
    "two species, many pairs": salt(),
}


def term(
    damping: str = "bj", width: float = 2.0, dtype: torch.dtype = DOUBLE, **settings: float
) -> D3:
    return D3(damping, "pbe", smoothing_width=width, **{**LONG, **settings}).to(dtype)


def energies_and_slopes(energies_of, structure: Structure) -> list[torch.Tensor]:
    """Atomic energies, and the derivatives of a sum in which every atom has another weight."""
    positions, cell = (
        x.detach().clone().requires_grad_(True) for x in (structure.positions, structure.cell)
    )
    energies = energies_of(structure._replace(positions=positions, cell=cell))
    weights = torch.linspace(0.5, 1.7, len(energies), dtype=energies.dtype)
    slopes = torch.autograd.grad((weights * energies).sum(), (positions, cell), allow_unused=True)
    return [
        energies.detach(),
        *(torch.zeros_like(x) if s is None else s for s, x in zip(slopes, (positions, cell))),
    ]


def native_of(d3: D3, skin: float = 1.0):
    fast, search = InferenceD3(d3), KeptSearch(d3.cutoff, skin)
    return lambda structure: fast(structure, search(structure))


def reference_of(d3: D3):
    """The module, in plain torch, with a list of all pairs in both directions."""
    search = NeighborSearch(d3.cutoff)
    return lambda structure: d3(structure, search(structure))


def energy_of(d3: D3):
    native = native_of(d3)
    return lambda structure: laws.per_structure(native(structure), structure)


def assert_equal(ours: list[torch.Tensor], expected: list[torch.Tensor], tolerance: float) -> None:
    for one, other, what in zip(
        ours,
        expected,
        ("energies", "derivatives in positions", "derivatives in the cell"),
        strict=True,
    ):
        laws.close(
            one.double(), other.double(), tolerance * (10 if what.endswith("cell") else 1), what
        )


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


# In a potential


def test_compiled_potentials_use_it_and_give_the_same_numbers(tmp_path):
    potential = build({"d3": {"functional": "pbe", "species": ["O", "Si", "C"], **LONG}})
    given = structure_from(quartz_like())
    expected = potential.evaluate(given, stress=True)
    compiled = potential.compile_for_inference()
    assert isinstance(potential.d3, D3)
    script = torch.jit.freeze(torch.jit.script(compiled))
    torch.jit.save(script, tmp_path / "potential.pt")
    again = [
        compiled.compile_for_inference(),
        compiled.select("d3"),
        compiled.configured(precision="double"),
        copy.deepcopy(compiled),
    ]
    for module in (compiled, *again):
        assert isinstance(module.d3, InferenceD3)
        found = module.evaluate(given, stress=True)
        laws.close(found.energy, expected.energy, 1e-12, "energy")
        laws.close(found.forces, expected.forces, 1e-12, "forces")
        laws.close(found.stress, expected.stress, 1e-12, "stress")
    for module in (script, torch.jit.load(tmp_path / "potential.pt")):
        for _ in range(3):
            positions = given.positions.clone().requires_grad_(True)
            energy = module(given._replace(positions=positions), None).energy
            (slope,) = torch.autograd.grad([energy.sum()], [positions])
            laws.close(energy, expected.energy, 1e-12, "energy of the script")
            laws.close(-slope, expected.forces, 1e-12, "forces of the script")


def test_mixed_precision_of_a_potential():
    potential = build({"d3": {"functional": "pbe", "species": ["Na", "Cl"], **LONG}})
    given, mixed = (
        structure_from(salt()),
        potential.configured(precision="mixed").compile_for_inference(),
    )
    assert mixed.d3.c6.dtype == SINGLE
    found, expected = mixed.evaluate(given), potential.evaluate(given)
    laws.close(found.forces, expected.forces, 1e-6, "forces")
    laws.close(found.energy / 64, expected.energy / 64, 1e-6, "energy per atom")


def test_without_the_operator_the_torch_module_stays(monkeypatch):
    monkeypatch.setattr(ops, "available", lambda operator=None: False)
    compiled = build({"d3": {"functional": "pbe", "species": ["O"]}}).compile_for_inference()
    assert isinstance(compiled.d3, D3)
    assert isinstance(compiled.terms["d3"].search, NeighborSearch)


# Bad input


def test_an_element_that_the_tables_lack():
    with pytest.raises(ValueError, match="made without some of these elements"):
        native_of(term(species=["Si", "O"]))(structure_from(quartz_like()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {"positions": a["positions"][:, :2]}, "positions: expected"),
        (lambda a: {"cell": a["cell"].float()}, "cell: expected"),
        (lambda a: {"batch": a["batch"] + 1}, "batch: expected 0 to 0"),
        (lambda a: {"centers": a["centers"].long()}, "centers: expected int32"),
        (lambda a: {"neighbors": a["neighbors"][1:]}, "neighbors: expected"),
        (lambda a: {"neighbors": a["neighbors"] + 2}, "neighbors: expected 0 to 2"),
        (lambda a: {"centers": a["centers"] - 1}, "centers: expected 0 to 2"),
        (lambda a: {"shifts": a["shifts"].int()}, "shifts: expected int8"),
        (lambda a: {"species": a["species"] + 94}, "species: expected 0 to 93"),
        (lambda a: {"radii6": a["radii6"].float()}, "radii6: expected float64"),
        (lambda a: {"coordination": a["coordination"][:3]}, "coordination: expected"),
        (lambda a: {"cutoff": -1.0}, "cutoff, cn_cutoff, smoothing_width: expected"),
        (lambda a: {"c6": a["c6"].clone().requires_grad_(True)}, "tables without gradients"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    given, d3 = structure_from(quartz_like()), term()
    pairs = KeptSearch(d3.cutoff)(given)
    values = [
        pairs.positions,
        given.cell,
        given.batch,
        *pairs[1:],
        d3.rows[given.numbers],
        d3.c6,
        d3.coordination,
    ]
    values += [
        d3.covalent_radii,
        d3.c8_over_c6,
        d3.radii6,
        d3.radii8,
        False,
        1.0,
        0.7,
        14.0,
        13.0,
        9.0,
        2.0,
    ]
    names = [
        argument.name for argument in torch.ops.openmm_pqeq.dispersion.default._schema.arguments
    ]
    arguments = dict(zip(names, values, strict=True))
    with pytest.raises((ValueError, RuntimeError), match=message):
        torch.ops.openmm_pqeq.dispersion(*{**arguments, **change(arguments)}.values())
