"""`openmm-pqeq build`: structures to start from."""

import argparse
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.files import whole
from openmm_pqeq.jobs.folder import owned_file

HELP = "Build a structure: supercell, slab, interface of two slabs, solution, ordered crystal."

EPILOG = """examples:
  openmm-pqeq build supercell LLZO.cif --atoms 400 -o cell.extxyz
  openmm-pqeq build slab Li3PS4.cif --miller 0 1 0 --thickness 15 --spare P S 2.6 -o slab.extxyz
  openmm-pqeq build interface slab.extxyz lithium.extxyz --strain 0.04 --gap 2.5 -o interface.extxyz
  openmm-pqeq build solution --molecule H2O 500 --ion Na 9 --ion Cl 9 --density 1.02 -o brine.extxyz
  openmm-pqeq build order LLZO.cif --charges Li=1 La=3 Zr=4 O=-2 --seed 1 -o ordered.extxyz

Each has its own --help. FILE is anything ASE reads; what is written is by its ending, extxyz, cif or POSCAR."""

MOST_ATOMS, MOST_MOLECULES = 10**7, 10**6
"""What a computer can hold, and can put into a box within a day."""

_length = values.within(values.positive, 1e-3, 1e4, "Å")
_count = values.within(values.positive_count, 1, MOST_MOLECULES)


class Builder(NamedTuple):
    """A builder of the command line: what it says of itself, its flags, and the atoms that it
    makes."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    build: Callable[[argparse.Namespace], Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A parser for each builder."""
    builders = parser.add_subparsers(dest="builder", metavar="NAME", required=True)
    for name, builder in BUILDERS.items():
        one = builders.add_parser(name, help=builder.help, description=builder.help)
        one.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
        builder.add_arguments(one)
        one.add_argument("--output", "-o", required=True, metavar="FILE", help="file to write")
        one.add_argument("--overwrite", action="store_true", help="replace an existing file")


def command(options: argparse.Namespace) -> int:
    """Own the file while it is built."""
    path = values.path("output", options.output)
    kind = _format_of(path)
    inputs = [getattr(options, name, None) for name in ("structure", "lower", "upper", "solute")]
    with owned_file(path, "build", options.overwrite, inputs=[one for one in inputs if one]):
        _build(options, path, kind)
    print(f"written to {path}")
    return 0


def _build(options: argparse.Namespace, path: Path, kind: str) -> None:
    """Build, say what it is, write it."""
    atoms = BUILDERS[options.builder].build(options)
    lengths, angles = atoms.cell.lengths(), atoms.cell.angles()
    print(f"{len(atoms)} atoms, {atoms.get_chemical_formula()}")
    print(
        f"cell {' '.join(f'{each:.3f}' for each in lengths)} Å, "
        f"{' '.join(f'{each:.2f}' for each in angles)}°, periodic {atoms.pbc.tolist()}"
    )
    with whole(path, replace=options.overwrite) as part:
        atoms.write(str(part), format=kind)


def _format_of(path: Path) -> str:
    """The name of ASE's format that a file's ending stands for; ValueError where ASE writes none."""
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    with suppress(UnknownFileTypeError):
        kind = str(filetype(str(path), read=False))
        if kind in ioformats and ioformats[kind].can_write:
            return kind
    raise ValueError(
        f"output: expected a name that ends in .extxyz, .cif or .vasp, got {path.name!r}"
    )


def _read(name: str) -> Any:
    from openmm_pqeq.topology.file import read_file

    return read_file(name)[0]


def _supercell_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("structure", metavar="FILE", help="crystal")
    parser.add_argument("--atoms", required=True, metavar="N", help="about so many")
    parser.add_argument(
        "--within", default="20%", metavar="PART", help="of that number (default: 20%%)"
    )


def _supercell(options: argparse.Namespace) -> Any:
    from openmm_pqeq.builders.supercell import near_cubic

    wanted = values.within(values.positive_count, 1, MOST_ATOMS)("atoms", options.atoms)
    found = near_cubic(_read(options.structure), wanted, values.fraction("within", options.within))
    print(f"cell vectors in those of the file: {found.matrix.tolist()}")
    return found.atoms


def _slab_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("structure", metavar="FILE", help="crystal, its conventional cell")
    parser.add_argument("--miller", nargs=3, required=True, metavar="H", help="indices of the face")
    parser.add_argument("--thickness", required=True, metavar="D", help="Å, at least")
    parser.add_argument("--vacuum", default="0", metavar="D", help="Å above it (default: 0)")
    parser.add_argument(
        "--spare",
        nargs=3,
        action="append",
        default=[],
        metavar=("ELEMENT", "ELEMENT", "R"),
        help="a bond that the cut should not break, and its length, Å; may be repeated",
    )
    parser.add_argument(
        "--termination",
        metavar="K",
        help="which plane is lowest (default: chosen, see builders/slab.py)",
    )


def _slab(options: argparse.Namespace) -> Any:
    from openmm_pqeq.builders.slab import slab

    miller = [values.within(values.integer, -50, 50)("miller", each) for each in options.miller]
    spared = {(one, two): _length("spare", reach) for one, two, reach in options.spare}
    chosen = options.termination
    found = slab(
        _read(options.structure),
        miller,
        _length("thickness", options.thickness),
        values.within(values.not_negative, 0, 1e4, "Å")("vacuum", options.vacuum),
        spared,
        None if chosen is None else values.count("termination", chosen),
    )
    print(f"{found.terminations} terminations; {found.broken} bonds broken on each side")
    return found.atoms


def _interface_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("lower", metavar="LOWER", help="slab, as build slab makes it")
    parser.add_argument("upper", metavar="UPPER", help="slab that is turned and strained to it")
    parser.add_argument("--strain", default="0.03", metavar="E", help="largest (default: 0.03)")
    parser.add_argument(
        "--area", default="400", metavar="A", help="Å², largest of the common cell (default: 400)"
    )
    parser.add_argument("--gap", default="2.5", metavar="D", help="Å between both (default: 2.5)")
    parser.add_argument(
        "--vacuum", metavar="D", help="Å above the upper (default: none, so two interfaces)"
    )


def _interface(options: argparse.Namespace) -> Any:
    from openmm_pqeq.builders.interface import interface

    found = interface(
        _read(options.lower),
        _read(options.upper),
        values.within(values.positive, 1e-6, 0.5)("strain", options.strain),
        values.within(values.positive, 1, 1e5, "Å²")("area", options.area),
        _length("gap", options.gap),
        None if options.vacuum is None else _length("vacuum", options.vacuum),
    )
    match = found.match
    print(f"upper strained by {match.strain:.2%}; {match.lower.tolist()} on {match.upper.tolist()}")
    return found.atoms


def _solution_arguments(parser: argparse.ArgumentParser) -> None:
    for flag, what in (("--molecule", "name that ASE knows, or file"), ("--ion", "element")):
        parser.add_argument(
            flag, nargs=2, action="append", default=[], metavar=("NAME", "N"),
            help=f"{what}, and how many; may be repeated",
        )  # fmt: skip
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--density", metavar="D", help="g/cm³, in a cube")
    size.add_argument("--box", nargs=3, metavar="L", help="Å, edges")
    parser.add_argument("--solute", metavar="FILE", help="put into the middle as it is")
    parser.add_argument("--seed", default="1", metavar="N", help="of random numbers (default: 1)")


def _solution(options: argparse.Namespace) -> Any:
    from ase import Atoms
    from ase.build import molecule
    from ase.data import atomic_numbers

    from openmm_pqeq.builders.solution import Component, cubic_edge, solution

    components = []
    for name, number in options.molecule:
        try:
            one = _read(name) if Path(name).is_file() else molecule(name)
        except (KeyError, NotImplementedError):
            raise ValueError(
                f"molecule: expected a name that ASE knows or a file, got {name!r}"
            ) from None
        components.append(Component(one, _count("molecule", number)))
    for name, number in options.ion:
        if not atomic_numbers.get(name):  # ASE has X, of number 0
            raise ValueError(f"ion: expected an element, got {name!r}")
        components.append(Component(Atoms(name), _count("ion", number)))
    if not components:
        raise ValueError("molecule, ion: expected at least one of them")
    if options.density is not None:
        edge = cubic_edge(components, values.positive("density", options.density))
        box = [edge, edge, edge]
    else:
        box = [_length("box", each) for each in options.box]
    solute = None if options.solute is None else _read(options.solute)
    return solution(components, box, values.count("seed", options.seed), solute)


def _order_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("structure", metavar="FILE", help="CIF with partial occupation")
    parser.add_argument(
        "--charges", nargs="+", required=True, metavar="ELEMENT=Z", help="formal charges, e"
    )
    parser.add_argument(
        "--supercell", nargs=3, default=["1", "1", "1"], metavar="N", help="repeat the cell"
    )
    parser.add_argument(
        "--closest",
        default="1.5",
        metavar="R",
        help="Å, nearer sites are not both occupied (default: 1.5)",
    )
    parser.add_argument(
        "--tries",
        default="3",
        metavar="N",
        help="arrangements, of which the lowest is taken (default: 3)",
    )
    parser.add_argument("--seed", default="1", metavar="N", help="of random numbers (default: 1)")


def _order(options: argparse.Namespace) -> Any:
    from openmm_pqeq.builders.ordering import ordered

    pairs = [values.halves("charges", each, "ELEMENT=Z") for each in options.charges]
    found = ordered(
        options.structure,
        {element: values.number("charges", value) for element, value in pairs},
        values.count("seed", options.seed),
        values.cells("supercell", options.supercell),
        values.within(values.positive_count, 1, 1000)("tries", options.tries),
        _length("closest", options.closest),
    )
    for one in found:
        print(f"electrostatic energy {one.energy:.3f} eV, {one.too_near} pairs nearer than allowed")
    return found[0].atoms


BUILDERS = {
    "supercell": Builder("A nearly cubic supercell of a wanted size.", _supercell_arguments, _supercell),
    "slab": Builder("A slab of a crystal, normal to z.", _slab_arguments, _slab),
    "interface": Builder("Two slabs with a common cell.", _interface_arguments, _interface),
    "solution": Builder("A box of molecules and ions.", _solution_arguments, _solution),
    "order": Builder("One arrangement of a CIF with partial occupation.", _order_arguments, _order),
}  # fmt: skip
"""By name; a new one is a line here."""
