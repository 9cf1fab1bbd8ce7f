"""A PDB file as a simulation wants it: one location for each atom, a cell only where there is one.

- Of alternate locations (column 17) a residue keeps the one with most occupancy, and the first
  among equals; an atom that is not in that one keeps its own best.
- CRYST1 with edges of 0 or 1 Å is the format's way to say that there is no cell.
- D and T (columns 77-78) are hydrogens with a mass, see isotopes.py.

Columns: https://www.wwpdb.org/documentation/file-format-content/format33/v3.3.html
"""

from collections import defaultdict
from typing import NamedTuple

from openmm_pqeq.topology.isotopes import ISOTOPES, Masses


class Plain(NamedTuple):
    """text : of the file, as ASE should read it
    masses : amu of isotopes by atom, for each of its models
    notes : what was left out
    """

    text: str
    masses: list[Masses]
    notes: list[str]


def plain(text: str) -> Plain:
    """The file without what ASE would misunderstand."""
    models: list[list[str]] = [[]]
    for line in text.splitlines():
        models[-1].append(line)
        if line.startswith("END"):
            models.append([])
    notes, masses = dict[str, None](), []
    models = [lines for lines in models if any(map(_is_atom, lines))]  # END may follow ENDMDL
    for k, lines in enumerate(models):
        if any(_is_dummy_cell(line) for line in lines):
            notes["CRYST1 has edges of 0 or 1 Å, which means no cell"] = None
            lines = [line for line in lines if not _is_dummy_cell(line)]
        models[k], left_out = _one_location(lines)
        if left_out:
            what = f"{len(left_out)} atoms, the first is {left_out[0]}"
            notes[f"alternate locations of less occupancy are left out: {what}"] = None
        partial = [line for line in models[k] if _is_atom(line) and _is_partial(line)]
        if partial:
            notes[f"{len(partial)} atoms of an occupancy below 1 are taken as whole"] = None
        models[k], found = _hydrogens(models[k])
        masses.append(found)
    joined = "\n".join(line for lines in models for line in lines)
    return Plain(joined + "\n", masses, list(notes))


def _is_atom(line: str) -> bool:
    return line.startswith(("ATOM  ", "HETATM"))


def _is_dummy_cell(line: str) -> bool:
    edges = line[6:33].split()
    return line.startswith("CRYST1") and all(edge.strip("0.") in ("", "1") for edge in edges)


def _one_location(lines: list[str]) -> tuple[list[str], list[str]]:
    """Lines of one model with one location of each atom, and the names of those left out."""
    occupancies: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    residues: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        if _is_atom(line) and line[16:17].strip():
            occupancies[line[21:27]][line[16]] += _occupancy(line)
            residues[line[21:27]].add(line[17:20])
    if not occupancies:
        return lines, []
    letters = {
        residue: sorted(sums, key=lambda letter: -sums[letter])
        for residue, sums in occupancies.items()
    }
    best: dict[tuple[str, str], str] = {}
    for line in lines:
        if _is_atom(line) and (letter := line[16:17].strip()):
            residue, rank = line[21:27], letters[line[21:27]].index
            if len(residues[residue]) > 1:  # one of several residues: its atoms only
                best[residue, _name(line)] = letters[residue][0]
            else:
                known = best.get((residue, _name(line)), letter)
                best[residue, _name(line)] = min(known, letter, key=rank)
    kept, left_out = [], []
    for line in lines:
        if not _is_atom(line) or line[16:17].strip() in ("", best.get((line[21:27], _name(line)))):
            kept.append(line)
        else:
            left_out.append(
                f"{line[12:16].strip()} {line[16]} of {line[17:20]} {line[22:27].strip()}"
            )
    return kept, left_out


def _is_partial(line: str) -> bool:
    """Whether an atom without alternatives is there in part; many programs write 0 for nothing."""
    return not line[16:17].strip() and 0.0 < _occupancy(line) < 1.0


def _name(line: str) -> str:
    """Name of the atom; H and D that share a site are one atom."""
    name = line[12:16].strip()
    return name.replace("D", "H", 1) if line[76:78].strip() == "D" else name


def _occupancy(line: str) -> float:
    try:
        return float(line[54:60])
    except ValueError:
        return 1.0


def _hydrogens(lines: list[str]) -> tuple[list[str], Masses]:
    """Lines of one model with H for D and T, and their masses."""
    changed, masses, atom = [], Masses(), 0
    for line in lines:
        if _is_atom(line):
            if (element := line[76:78].strip()) in ISOTOPES:
                masses[atom] = ISOTOPES[element]
                line = f"{line[:76]} H{line[78:]}"
            atom += 1
        changed.append(line)
    return changed, masses
