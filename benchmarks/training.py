"""Frames a second and memory of training: now, in plain torch, and of nequip and mace.

    python benchmarks/training.py FILE … [--frames 4] [--type-map Li Ge P S] [--sizes large]
        [--peers FOLDER] [--name training_llzo]

A step is energies, forces and stress of one batch, the gradient of their loss in all weights, and
AdamW, in float32. Each contestant is a process of its own and all take turns (harness.py); weights
are random, 5 Å, 8 radial functions, radial networks 64-64.

"now" is what `openmm-pqeq train` does; "pairs" evaluates the radial network at every pair; "plain"
is the network in plain torch. nequip and mace take part where they are in a folder of `--peers`, as
described in network.py and mace_network.py.
"""

import argparse
from pathlib import Path

from harness import compare, save, versions_of_peers
from training_contestants import SIZES


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", help="labelled structures")
    parser.add_argument("--frames", type=int, default=1, help="of a batch")
    parser.add_argument("--type-map", nargs="*", default=[])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--only", nargs="+", help="contestants; default: all that are there")
    parser.add_argument("--peers", type=Path, help="folder with nequip and mace, each in its own")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--name", help="of the results, benchmarks/results/NAME.json")
    arguments = parser.parse_args()
    peers = [
        name for name in ("nequip", "mace") if arguments.peers and (arguments.peers / name).is_dir()
    ]
    names = arguments.only or ["now", "pairs", "plain", *peers]
    rows = []
    print("| size | atoms | pairs | | s | frames a second | ratio | peak MiB | own MiB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for size in arguments.sizes:
        given = [size, *map(str, arguments.files), "--frames", str(arguments.frames)]
        if arguments.type_map:
            given += ["--type-map", *arguments.type_map]
        timings = compare(
            names,
            given,
            arguments.threads,
            2,
            arguments.rounds,
            arguments.peers,
            "training_contestants.py",
        )
        for t in timings:
            ratio = t.processor / timings[0].processor
            print(
                f"| {size} | {t.n_atoms} | {t.n_pairs} | {t.name} | {t.processor:.4f} "
                f"| {arguments.frames / t.processor:.2f} | {ratio:.2f} | {t.peak:.0f} "
                f"| {t.peak - t.before:.0f} |",
                flush=True,
            )
            rows.append({"size": size, "frames": arguments.frames, "ratio": ratio, **t._asdict()})
    if arguments.name:
        content = {
            "threads": arguments.threads,
            "peers": versions_of_peers(arguments.peers),
            "rows": rows,
        }
        print(save(arguments.name, content))


if __name__ == "__main__":
    main()
