"""What ASE's reader of VASP's POSCAR misunderstands, set right on its way there, or refused.

    c/ s/ a/ b/ c/ symbols/ counts/ [selective]/ mode/ positions [flags]/ [mode of velocities/ velocities]

https://www.vasp.at/wiki/index.php/POSCAR. VASP reads flags as Fortran does, f and .FALSE. as F, which
ASE takes for free; it takes velocities in lattice vectors a time step for Å/fs, and leaves out atoms
of symbols that have no number. A POSCAR without symbols goes to ASE as it is.
"""

import re
from collections.abc import Sequence

from openmm_pqeq.topology.isotopes import ISOTOPES, Masses

SYMBOLS = 5
"""Number of their line, from 0."""
LATTICE_VELOCITIES = 8
"""Lines of a block that molecular dynamics in a changing cell leaves before the velocities."""
_FLAG = re.compile(r"\.?([TF])", re.IGNORECASE)
_NUMBER = re.compile(r"\s*[-+]?\.?\d")


def plain(text: str) -> tuple[str, list[Masses]]:
    """Text of a POSCAR as ASE understands it, with H for D and T, and the masses of its atoms.

    Raises ValueError for another number of symbols than of counts, for more or fewer positions than
    they say, and for velocities that have no unit.
    """
    lines = text.split("\n")
    symbols = "".join(lines[SYMBOLS : SYMBOLS + 1]).split()
    older = bool(symbols) and all(symbol.isdigit() for symbol in symbols)  # named in the first line
    at = SYMBOLS if older else SYMBOLS + 1
    counts = "".join(lines[at : at + 1]).split()
    if not counts or not all(count.isdigit() for count in counts):
        return text, [{}]
    if not older and len(symbols) != len(counts):
        raise ValueError(
            f"expected as many numbers of atoms as elements, got {' '.join(counts)} for "
            f"{' '.join(symbols)}"
        )
    n_atoms = sum(map(int, counts))
    selective = "".join(lines[at + 1 : at + 2])[:1] in ("s", "S")
    first = at + 2 + selective
    if n_atoms > len(lines) - first:  # before there is a list of so many
        raise ValueError(
            f"expected {n_atoms} positions, as the numbers of atoms say, got {max(0, len(lines) - first)} "
            "lines for them"
        )
    if selective:
        lines[first : first + n_atoms] = map(_with_flags, lines[first : first + n_atoms])
    _check_rest(lines[first + n_atoms :], n_atoms)
    if older:
        return "\n".join(lines), [{}]
    lines[SYMBOLS] = " ".join("H" if symbol in ISOTOPES else symbol for symbol in symbols)
    named = [symbol for symbol, count in zip(symbols, counts) for _ in range(int(count))]
    masses = {k: ISOTOPES[symbol] for k, symbol in enumerate(named) if symbol in ISOTOPES}
    return "\n".join(lines), [masses]


def _with_flags(line: str) -> str:
    """A position with its flags as T or F."""
    words = line.split()
    flags = [_FLAG.match(word) for word in words[3:6]]
    return " ".join([*words[:3], *(flag[1].upper() if flag else "?" for flag in flags), *words[6:]])


def _check_rest(lines: Sequence[str], n_atoms: int) -> None:
    """ValueError for further positions, and for velocities in lattice vectors a time step, which is
    in another file."""
    if lines and lines[0][:1] in ("l", "L"):
        lines = lines[LATTICE_VELOCITIES:]
    if lines and _NUMBER.match(lines[0]):
        raise ValueError(
            f"expected {n_atoms} positions, as the numbers of atoms say, got more: {lines[0].strip()}"
        )
    moving = any(re.search("[1-9]", line) for line in lines[1 : 1 + n_atoms])
    if moving and lines[0].strip()[:1] in ("d", "D"):
        raise ValueError(
            "velocities: expected Å/fs (a blank line or Cartesian before them), got Direct, lattice "
            "vectors a time step, and the file has no time step; write them in Å/fs, or leave them out"
        )
