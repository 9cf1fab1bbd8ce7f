"""CUDA kernels where there is no GPU: their sources compiled for the CPU (plugin/emulation), in the
place of the CPU's own kernels.

    with EmulatedCuda() as emulated:
        potential.evaluate(structure)       # by the CUDA kernels
    emulated.calls                          # of operators, with what they were given and gave

What is compiled is kept in build/emulation, by the content of the sources.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch.utils._pytree import tree_flatten, tree_map

from openmm_pqeq import ops

ROOT = Path(__file__).parents[1]
PLUGIN, BUILT = ROOT / "plugin", ROOT / "build" / "emulation"
TORCH = Path(torch.__file__).parent
FLAGS = [
    *("-std=c++17", "-O1", "-fPIC"),
    f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
]


ORDERS = (0, 1, 7)
"""Of threads and blocks: as they are counted, backwards, shuffled with a seed."""


class CannotBuild(RuntimeError):
    """Why there are no emulated kernels here."""


def operators() -> list[str]:
    """Names of those that have CUDA kernels, once these are loaded."""
    return sorted(name for name in ops.OPERATORS if hasattr(torch.ops.openmm_pqeq_emulated, name))


@cache
def load() -> None:
    """Build what is not built, and load it; CannotBuild where that is not possible."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if not (PLUGIN / "src").is_dir():
        raise CannotBuild("an installed package has no sources of operators")
    if not ops.available() or ops.missing():
        raise CannotBuild(f"native operators: {ops.status()}")
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        raise CannotBuild("AddressSanitizer knows one stack, and fibers have many")
    if compiler is None:
        raise CannotBuild("no C++ compiler found")
    BUILT.mkdir(parents=True, exist_ok=True)
    with (BUILT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes, one builds
        library = _built(compiler)
    torch.ops.load_library(str(library))


def _built(compiler: str) -> Path:
    """The library of the kernels, of what checks their arguments, and of the fibers."""
    folders = sorted(path.parent for path in PLUGIN.glob("src/*/cuda.cu"))
    arguments = BUILT / "arguments.cpp"  # in one piece: most of the work are torch's headers
    text = "".join(f'#include "{folder.name}/arguments.cpp"\n' for folder in folders)
    arguments.write_text(text)
    headers = [path for path in sorted(PLUGIN.rglob("*")) if path.suffix in (".h", ".cuh")]
    kernels = [(folder / "cuda.cu", headers) for folder in folders]
    others = [
        (arguments, [*headers, *(folder / "arguments.cpp" for folder in folders)]),
        *((PLUGIN / "emulation" / name, headers) for name in ("block.cpp", "examples.cu")),
    ]
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(lambda of: _compiled(compiler, *of), [*kernels, *others]))
    flags = ["-shared", "-Wl,-Bsymbolic", f"-L{TORCH / 'lib'}", "-ltorch_cpu", "-lc10"]
    return _made([compiler, *map(str, objects), *flags], objects, "emulation.so")


def _compiled(compiler: str, source: Path, headers: list[Path]) -> Path:
    places = [
        f"-I{PLUGIN / 'emulation'}",
        f"-I{PLUGIN / 'src'}",
        "-isystem",
        f"{TORCH / 'include'}",
    ]
    command = [compiler, *FLAGS, *places, "-x", "c++", "-c", str(source)]
    return _made(command, [source, *headers], f"{source.parent.name}-{source.stem}.o")


def _made(command: list[str], sources: list[Path], name: str) -> Path:
    """What a command makes of the sources, in a file with their hash in its name."""
    content = hashlib.sha256(repr([*command, torch.__version__]).encode())
    for source in sources:
        content.update(source.read_bytes())
    made = BUILT / f"{content.hexdigest()[:16]}-{name}"
    if not made.exists():
        for earlier in BUILT.glob(f"*-{name}"):
            earlier.unlink()
        unfinished = made.with_suffix(".unfinished")
        done = subprocess.run(
            [*command, "-o", str(unfinished)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        unfinished.replace(made)
    return made


class Call(NamedTuple):
    """Of an operator: its name, what it was given and what it gave."""

    name: str
    given: tuple[Any, ...]
    gave: list[torch.Tensor]


class EmulatedCuda:
    """Inside, operators of tensors on the CPU run their CUDA kernels.

    order : of threads and blocks: 0 as they are counted, 1 backwards, else shuffled with this seed
    calls : of all operators that have CUDA kernels, where they are to be kept
    """

    def __init__(self, order: int = 0, keep_calls: bool = True) -> None:
        load()
        self.order, self.keep_calls = order, keep_calls
        self.calls: list[Call] = []
        self.overrides: torch.library.Library | None = None

    def __enter__(self) -> "EmulatedCuda":
        torch.ops.openmm_pqeq_emulated.order(self.order)
        self.overrides = torch.library.Library("openmm_pqeq", "IMPL", "CPU")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(?s).*[Oo]verrid", UserWarning)
            for name in operators():
                self.overrides.impl(name, self._noted(name))
        return self

    def __exit__(self, *reason: object) -> None:
        assert self.overrides is not None
        self.overrides._destroy()

    def _noted(self, name: str) -> Callable[..., object]:
        kernel = getattr(torch.ops.openmm_pqeq_emulated, name)

        def called(*given: object) -> object:
            gave = kernel(*given)
            self.calls.append(
                Call(name, tree_map(_copied, given), tensors(tree_map(_copied, gave)))
            )
            return gave

        return called


def emulated(order: int = 0, keep_calls: bool = True) -> EmulatedCuda:
    """`EmulatedCuda`; the test is skipped, with the reason, where that cannot be built."""
    try:
        return EmulatedCuda(order, keep_calls)
    except CannotBuild as reason:
        pytest.skip(f"CUDA kernels on the CPU: {reason}")


def tensors(values: object) -> list[torch.Tensor]:
    return [leaf for leaf in tree_flatten(values)[0] if isinstance(leaf, torch.Tensor)]


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value
