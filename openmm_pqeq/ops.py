"""The native operators (``plugin/``), which are optional: loading them, and choosing between an
operator and the torch reference that each has.

An operator library works with the minor version of torch it was built for and with no other, so its
file name carries that version and three cases are told apart when it does not load: not built,
built for another torch, and failed to load. Only the last is an accident, and it warns; `status`
describes all of them, and ``openmm-pqeq doctor`` prints it.

Where the library loads, ``torch.ops.openmm_pqeq`` has its operators, in eager torch and in
TorchScript, and the package uses them. A scripted module that was saved with them needs them again
where it is loaded; set the environment variable ``OPENMM_PQEQ_NATIVE=0`` before the import to do
without, or to a folder to take the library from there.
"""

import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

DIRECTORY = Path(__file__).parent / "_native"
"""Where CMake puts the library."""

BUILD = "run `make ops` in a checkout of openmm_pqeq (needs CMake and a C++ compiler)"
REFERENCE = "The torch reference is used, with the same numbers."

OPERATORS = (
    "coulomb_radial",
    "dispersion",
    "dispersion_backward",
    "equivariant_convolution",
    "equivariant_convolution_backward",
    "finite_gradient",
    "half_list",
    "interpolation",
    "interpolation_coefficient_gradients",
    "interpolation_table_gradients",
    "pair_matrix_product",
    "short_pieces",
    "splines_interpolate",
    "splines_interpolate_hessian",
    "splines_spread",
    "tapered_forces",
    "tapered_gradient",
    "tapered_pairs",
    "tapered_product",
    "tapered_radials",
    "weighted_convolution",
    "weighted_convolution_backward",
    "weighted_convolution_double_backward",
)
"""All of ``plugin/src/schema.cpp``."""

Choice = TypeVar("Choice")


class Native(NamedTuple):
    """Whether the native operators were loaded, and why not.

    loaded : whether ``torch.ops.openmm_pqeq`` has them
    message : one or two sentences, with the remedy where they are not loaded
    accident : whether a library that should have loaded did not
    library : its file
    """

    loaded: bool
    message: str
    accident: bool = False
    library: Path | None = None


def torch_minor(version: str = torch.__version__) -> str:
    """Major and minor version of torch.

    >>> torch_minor("2.13.0+cpu")
    '2.13'
    """
    return ".".join(version.split("+")[0].split(".")[:2])


def built_for(directory: Path = DIRECTORY) -> dict[str, Path]:
    """The libraries in a folder: minor version of torch → file."""
    found = {}
    for path in sorted(directory.glob("*openmm_pqeq_ops-torch*")):
        match = re.fullmatch(r"(?:lib)?openmm_pqeq_ops-torch(\d+\.\d+)\.(?:so|dylib)", path.name)
        if match:
            found[match.group(1)] = path
    return found


def load(directory: Path = DIRECTORY) -> Native:
    """Load the library of the installed torch from a folder and say what happened; never raises."""
    if os.environ.get("OPENMM_PQEQ_NATIVE") == "0":
        return Native(False, f"switched off by OPENMM_PQEQ_NATIVE=0. {REFERENCE}")
    libraries, wanted = built_for(directory), torch_minor()
    if not libraries:
        return Native(False, f"not built. {REFERENCE} To build them, {BUILD}.")
    if wanted not in libraries:
        mismatch = (
            f"built for torch {', '.join(libraries)}, but torch {torch.__version__} is installed"
        )
        return Native(False, f"{mismatch}. {REFERENCE} To rebuild, {BUILD}.")
    library = libraries[wanted]
    try:
        torch.ops.load_library(str(library))
    except (OSError, RuntimeError) as error:
        failure = f"{library.name} failed to load: {str(error).strip().splitlines()[0]}"
        return Native(False, f"{failure}. {REFERENCE} To rebuild, {BUILD}.", accident=True)
    return Native(True, f"loaded, built for torch {wanted}.", library=library)


_native = load(Path(os.environ.get("OPENMM_PQEQ_NATIVE", "") or DIRECTORY))
if _native.accident:
    warnings.warn(f"native operators: {_native.message}", RuntimeWarning, stacklevel=2)


def available(operator: str | None = None) -> bool:
    """Whether the native operators are loaded; of one of them, whether the library has it.

    >>> available("an operator of the future")
    False
    """
    return _native.loaded and (operator is None or operator in operators())


def operators() -> list[str]:
    """Names of the operators in the library that is loaded; one built from older sources may lack
    some."""
    names = torch._C._dispatch_get_all_op_names() if _native.loaded else []
    return sorted(
        {name.split("::")[1].split(".")[0] for name in names if name.startswith("openmm_pqeq::")}
    )


def missing() -> list[str]:
    """Names of the operators that a library which is loaded should have and has not."""
    return sorted(set(OPERATORS) - set(operators())) if _native.loaded else []


def warn_of_missing() -> None:
    """Warn, once in a process, where the library was built from older sources: the work of the
    operators that it lacks is done by torch, with the same numbers and many times slower."""
    global _told
    lacking = missing()
    if lacking and not _told:
        _told = True
        warnings.warn(
            f"native operators: {_native.library} was built from older sources and lacks "
            f"{', '.join(lacking)}. {REFERENCE} That is slow. To rebuild, {BUILD}; `openmm-pqeq "
            "doctor` shows the state",
            stacklevel=2,
        )


_told = False


def has_kernel(operator: str, device: str) -> bool:
    """Whether an operator of the loaded library has a kernel of its own for a dispatch key such as
    "CUDA".

    >>> has_kernel("an operator of the future", "CUDA")
    False
    """
    return available(operator) and bool(
        torch._C._dispatch_has_kernel_for_dispatch_key(f"openmm_pqeq::{operator}", device)
    )


def pick(operator: str, native: Choice, reference: Choice) -> Choice:
    """`native` where the library has the operator, and `reference` where it has not: functions or
    classes of the same signature.

    >>> pick("an operator of the future", max, min)(1, 2)
    1
    """
    return native if available(operator) else reference


def native_on(operator: str) -> Callable[[Tensor], bool]:
    """Whether an operator has a kernel for the device of a tensor, as a function that scripts.

    >>> native_on("an operator of the future")(torch.zeros(1))
    False
    """
    if not available(operator):
        return _nowhere
    if has_kernel(operator, "CompositeExplicitAutograd"):
        return _everywhere
    return _on_cpu_and_cuda if has_kernel(operator, "CUDA") else _on_cpu


def _nowhere(tensor: Tensor) -> bool:
    return False


def _on_cpu(tensor: Tensor) -> bool:
    return tensor.is_cpu


def _on_cpu_and_cuda(tensor: Tensor) -> bool:
    return tensor.is_cpu or tensor.is_cuda


def _everywhere(tensor: Tensor) -> bool:
    return True


def library() -> Path | None:
    """The file of the operators, where they are loaded."""
    return _native.library


def status() -> str:
    """Whether the native operators were loaded, and whether all of them, with the remedy where not."""
    if lacking := missing():
        return f"{_native.message} Built from older sources: without {', '.join(lacking)}; {BUILD}."
    return _native.message
