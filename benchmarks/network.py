"""Energy and forces of the foundation-size network: this package against itself in plain torch,
plain e3nn and nequip.

    python benchmarks/network.py                                      # 432 and 1,000 atoms
    python benchmarks/network.py --data FOLDER                        # the real LiPON, from LiPON_Li2PO2N.cif in that folder
    python benchmarks/network.py --systems lipon2160 --only fused reference

The network: 128x0e + 64x1e + 4x2e, l up to 2, 5 layers, 5 Å, 8 radial functions, radial networks
64-64, random weights, float32. "-1o" is the same with vectors labelled odd (11 paths instead of
15), which nequip asks for; it takes part where it is installed, and so does mace (mace_network.py).
--peers names a folder with a subfolder for each of the two, where their pins do not fit ours:

    pip install --no-deps --target peers/nequip nequip==0.19.1 hydra-core omegaconf
    antlr4-python3-runtime==4.9.3 matscipy lmdb

Pairs are given: no search is timed. "fused" is what OpenMM runs.
"""

import argparse
import importlib.util
from pathlib import Path

from contestants import contestants
from harness import Timing, compare, folder_of, save, table, versions_of_peers
from systems import SYSTEMS


def yardsticks(timings: list[Timing]) -> list[Timing]:
    """For each, the contestant of the same irreps that is fused."""
    best = {t.name.partition("-")[2]: t for t in timings if t.name.startswith("fused")}
    return [best.get(t.name.partition("-")[2], t) for t in timings]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", default=["lipon", "nacl"], choices=SYSTEMS)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=contestants(),
        help="contestants; default all that are installed",
    )
    parser.add_argument("--data", type=Path, help="folder with LiPON_Li2PO2N.cif")
    parser.add_argument("--peers", type=Path, help="folder with nequip and mace, each in its own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument(
        "--save", default="network", help="name of the JSON file in benchmarks/results"
    )
    arguments = parser.parse_args()
    there = [
        name
        for name in ("nequip", "mace")
        if folder_of(name, arguments.peers) or importlib.util.find_spec(name) is not None
    ]
    default = ["fused", "reference", "e3nn"]
    default += ["fused-1o", "e3nn-1o", "nequip-1o"] if "nequip" in there else []
    default += ["mace"] if "mace" in there else []
    results = {}
    for system in arguments.systems:
        given = [system, *(["--data", str(arguments.data)] if arguments.data else [])]
        timings = compare(
            arguments.only or default,
            given,
            arguments.threads,
            arguments.warmup,
            arguments.rounds,
            arguments.peers,
        )
        print(
            f"{system}: {timings[0].n_atoms} atoms, {timings[0].n_pairs} pairs, "
            f"{arguments.threads} threads"
        )
        print(table(timings, yardsticks(timings)), flush=True)
        results[system] = [t._asdict() for t in timings]
    others = versions_of_peers(arguments.peers)
    path = save(
        arguments.save,
        {
            "threads": arguments.threads,
            "rounds": arguments.rounds,
            "peers": others,
            "float32": results,
        },
    )
    print(f"written to {path}")


if __name__ == "__main__":
    main()
