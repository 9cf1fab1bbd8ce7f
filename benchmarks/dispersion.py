"""Energy and forces of D3: this package against itself in plain torch and against torch-dftd.

    python benchmarks/dispersion.py                                   # 432 and 2,160 atoms, one thread
    python benchmarks/dispersion.py --data FOLDER                     # the real LiPON, from LiPON_Li2PO2N.cif in that folder
    python benchmarks/dispersion.py --systems lipon23760 --only compiled searching

PBE, Becke–Johnson damping, 20 Å. Contestants are explained in dispersion_contestants.py. Pairs are
counted once, from the density.
"""

import argparse
import importlib.util
from pathlib import Path

from dispersion_contestants import CONTESTANTS, CUTOFF
from harness import compare_on_systems
from systems import SYSTEMS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", default=["lipon", "lipon2160"], choices=SYSTEMS)
    parser.add_argument(
        "--only", nargs="+", choices=CONTESTANTS, help="contestants; default all that are installed"
    )
    parser.add_argument("--data", type=Path, help="folder with LiPON_Li2PO2N.cif")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=3, help="two compile, one searches again")
    parser.add_argument(
        "--save", default="dispersion", help="name of the JSON file in benchmarks/results"
    )
    arguments = parser.parse_args()
    installed = (
        importlib.util.find_spec("pymatgen") is not None
    )  # which torch-dftd imports; its tables alone are always there
    names = arguments.only or [
        name for name in CONTESTANTS if installed or not name.startswith("torch-dftd")
    ]
    compare_on_systems(names, "dispersion_contestants.py", CUTOFF, arguments)


if __name__ == "__main__":
    main()
