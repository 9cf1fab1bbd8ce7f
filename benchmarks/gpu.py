"""Build, verify and measure on an NVIDIA GPU, part by part.

    benchmarks/gpu.sh                     what there is to be known, in at most 8 minutes
    benchmarks/gpu.sh --dry-run           the same code, on the CPU and small
    benchmarks/gpu.sh --only charges      parts: operators tests network charges dispersion dynamics sevennet bridge profile

Every part (gpu_parts.py) is a process with a time limit. What it has measured is written at once to
results/gpu.json and gpu.md, and the failure of one does not end the others: its last words are in
the table. Where time runs out, the parts that are left are named.
"""

import argparse
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent

LIMITS = {
    "operators": 150.0,
    "tests": 150.0,
    "network": 110.0,
    "charges": 60.0,
    "dispersion": 60.0,
    "dynamics": 45.0,
    "sevennet": 60.0,
    "bridge": 50.0,
    "profile": 45.0,
}
"""s, at most, in the order of importance."""


class Part(NamedTuple):
    """What became of a part: rows, how it ended, s, and the end of what it said."""

    name: str
    rows: list[dict[str, object]]
    state: str
    seconds: float
    words: str


def run(name: str, device: str, scratch: Path, limit: float) -> Part:
    """Run a part for at most `limit` seconds."""
    command = [sys.executable, str(FOLDER / "gpu_parts.py"), name]
    command += ["--device", device, "--scratch", str(scratch)]
    log = scratch / f"{name}.log"
    begun, rows = time.monotonic(), []
    environment = os.environ | {
        "OPENMM_PQEQ_NATIVE": str(scratch / "native") if name != "operators" else "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
    }
    with log.open("w") as said:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(process, lines), daemon=True).start()
        state = "done"
        while True:
            try:
                line = lines.get(timeout=max(0.1, begun + limit - time.monotonic()))
            except queue.Empty:
                os.killpg(process.pid, signal.SIGKILL)  # and what it has started
                state = f"cut short after {limit:.0f} s"
                break
            if line is None:
                break
            if line.startswith("{"):
                rows.append(json.loads(line))
                print(f"  {_sentence(rows[-1])}", flush=True)
        process.wait()
    if state == "done" and process.returncode != 0:
        state = f"failed ({process.returncode})"
    words = "" if state == "done" else "\n".join(log.read_text().strip().splitlines()[-12:])
    return Part(name, rows, state, round(time.monotonic() - begun, 1), words)


def _read(process: subprocess.Popen[str], lines: "queue.Queue[str | None]") -> None:
    for line in process.stdout or []:
        lines.put(line)
    lines.put(None)


def _sentence(row: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in row.items())


def machine(device: str) -> dict[str, object]:
    """What the numbers were measured on."""
    script = """
import json, torch
from openmm_pqeq.jobs.machine import machine
found = {k: v for k, v in machine().items() if k in ("date", "processor", "cores", "gpu", "versions")}
print(json.dumps(found | {"cuda": torch.version.cuda}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        return {"device": device, "error": done.stderr.strip().splitlines()[-1:]}
    return {"device": device} | json.loads(done.stdout.splitlines()[-1])


def table(content: dict[str, object], parts: list[Part], left: list[str]) -> str:
    """The results, for people."""
    where = content["machine"]
    lines = [
        f"`benchmarks/gpu.sh`: {where.get('gpu') or where.get('processor')}, CUDA {where.get('cuda')}, "
        f"torch {(where.get('versions') or {}).get('torch')}, {where.get('date')}.",
        "",
        "| part | what | atoms | ms | MiB | more |",
        "|---|---|---|---|---|---|",
    ]
    for part in parts:
        for found in part.rows:
            rest = {k: v for k, v in found.items() if k not in ("what", "atoms", "ms", "MiB")}
            more = "; ".join(f"{key} {value}" for key, value in rest.items()).replace("|", "/")
            atoms = f"{found['atoms']:,}" if found["atoms"] else ""
            cells = (
                part.name,
                found["what"],
                atoms,
                found.get("ms", ""),
                found.get("MiB", ""),
                more,
            )
            lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    lines += ["", "| part | how it ended | s |", "|---|---|---|"]
    lines += [f"| {part.name} | {part.state} | {part.seconds} |" for part in parts]
    lines += [f"| {name} | no time was left | |" for name in left]
    for part in parts:
        if part.words:
            lines += ["", f"{part.name}:", "```", part.words.replace(str(ROOT), "."), "```"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, small")
    parser.add_argument("--only", nargs="+", choices=list(LIMITS), default=list(LIMITS))
    parser.add_argument("--minutes", type=float, default=8.0, help="for all of it (default: 8)")
    parser.add_argument("--output", type=Path, help="folder (default: results; build/gpu if dry)")
    arguments = parser.parse_args()
    device = "cpu" if arguments.dry_run else "cuda"
    scratch = ROOT / "build" / f"gpu-{device}"
    output = arguments.output or (scratch if arguments.dry_run else FOLDER / "results")
    for folder in (scratch, output):
        folder.mkdir(parents=True, exist_ok=True)
    # a second is kept for writing; a trial on a busy CPU has no limits
    end = time.monotonic() + 60.0 * arguments.minutes - 1.0 if device == "cuda" else float("inf")
    content: dict[str, object] = {"machine": machine(device)}
    parts: list[Part] = []
    left = list(arguments.only)
    while left and time.monotonic() < end:
        name = left.pop(0)
        print(f"{name}", flush=True)
        limit = min(LIMITS[name], end - time.monotonic()) if device == "cuda" else 3600.0
        parts.append(run(name, device, scratch, limit))
        print(f"  {parts[-1].state}, {parts[-1].seconds} s\n{parts[-1].words}", flush=True)
        content["parts"] = [part._asdict() for part in parts]
        text = json.dumps(content, indent=1).replace(str(ROOT), ".")
        (output / "gpu.json").write_text(text + "\n")
        (output / "gpu.md").write_text(table(content, parts, left))
    sys.exit(any(part.state != "done" for part in parts))


if __name__ == "__main__":
    main()
