"""Energy and forces of PQEq: the sweeps of the protocol `reaxnet` against a dense solution in
torch, and `pme`.

    python benchmarks/charges.py                                   # 432 and 2,160 atoms, one thread
    python benchmarks/charges.py --data FOLDER                     # the real LiPON, from LiPON_Li2PO2N.cif in that folder

Contestants are explained in charges_contestants.py. Pairs are counted once, from the density.
"""

import argparse
from pathlib import Path

from charges_contestants import CONTESTANTS, CUTOFF
from harness import compare_on_systems
from systems import SYSTEMS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", default=["lipon", "lipon2160"], choices=SYSTEMS)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--data", type=Path, help="folder with LiPON_Li2PO2N.cif")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--warmup", type=int, default=5, help="two compile, the others fill the memory of solutions"
    )
    parser.add_argument(
        "--save", default="charges", help="name of the JSON file in benchmarks/results"
    )
    arguments = parser.parse_args()
    compare_on_systems(arguments.only, "charges_contestants.py", CUTOFF, arguments)


if __name__ == "__main__":
    main()
