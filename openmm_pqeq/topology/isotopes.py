"""D and T in files of atoms by name: hydrogen, with its mass.

ASE knows no elements D and T, and refuses a file that has them (in CIF it knows D). Their lines
become lines of H on the way to ASE, and the atoms get their masses afterwards (those of a POSCAR:
poscar.py).
"""

import re

ISOTOPES = {"D": 2.014102, "T": 3.016049}
"""amu; M. Wang et al., The AME 2020 atomic mass evaluation, Chinese Phys. C 45, 030003 (2021),
doi:10.1088/1674-1137/abddaf."""

Masses = dict[int, float]
"""amu, by atom."""


def hydrogens_of_xyz(text: str) -> tuple[str, list[Masses]]:
    """Text of a .xyz or .extxyz file with H for D and T, and the masses in each of its frames.

    A text that is none comes back as it is: ASE says what is wrong with it.
    """
    lines, frames, at = text.split("\n"), [], 0
    while at < len(lines) and lines[at].strip().isdigit():
        n_atoms, column = int(lines[at]), _species_column(lines[at + 1 : at + 2])
        named = re.compile(rf"(\s*(?:\S+\s+){{{column}}})([DT])(?=\s)")
        masses: Masses = {}
        for k, line in enumerate(lines[at + 2 : at + 2 + n_atoms]):
            if found := named.match(line):
                masses[k] = ISOTOPES[found[2]]
                lines[at + 2 + k] = f"{found[1]}H{line[found.end() :]}"
        frames.append(masses)
        at += 2 + n_atoms
    return "\n".join(lines), frames


def _species_column(comment: list[str]) -> int:
    """Column of the elements, as the comment line of an extended file tells; else the first."""
    found = re.search(r'Properties="?([^"\s]+)', comment[0]) if comment else None
    fields = found[1].split(":") if found else []
    column = 0
    for name, width in zip(fields[::3], fields[2::3]):
        if name in ("species", "symbols", "element"):
            return column
        column += int(width) if width.isdigit() else 0
    return 0
