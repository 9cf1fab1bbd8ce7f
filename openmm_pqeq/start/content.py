"""Keys: SHA-256 of all that a table or a compiled module follows from.

    modules: classes, settings, weights (or only that there are weights) of every part
    surroundings: this package's sources, Python, torch, vesin, the native operators, the processor's
    instruction set

Whatever cannot be told from its text raises `Unknown`; then there is no key, and nothing is kept.
"""

import functools
import hashlib
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from openmm_pqeq import ops, versions

_OF_TORCH = frozenset(vars(nn.Module())) - {"training"}
"""Attributes that every module has; its parts, parameters and buffers are looked at by
themselves."""


class Unknown(TypeError):
    """Something that no text describes."""


def key(kind: str, *content: str | Iterable[str]) -> str:
    """The name of an entry of a kind, from text and lines of text, and the surroundings."""
    digest = hashlib.sha256(surroundings().encode())
    for part in content:
        for line in [part] if isinstance(part, str) else part:
            digest.update(f"{len(line)} {line}\n".encode())
    return f"{kind}-{digest.hexdigest()}"


@functools.cache
def surroundings() -> str:
    """What else an entry depends on, a line each."""
    native = ops.library()
    return "\n".join(
        [
            f"sources {sources()}",
            f"python {platform.python_version()}",
            f"torch {torch.__version__} {torch.version.git_version}",
            f"vesin {versions.installed('vesin-torch')}",
            f"operators {'none' if native is None else _sha256(native)}",
            f"processor {platform.system()} {platform.machine()} "
            f"{torch.backends.cpu.get_cpu_capability()}",
            f"gpu {torch.cuda.is_available()}",
        ]
    )


def sources() -> str:
    """SHA-256 of this package's sources."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)} ".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def lines_of(module: nn.Module, weights: bool) -> Iterator[str]:
    """A module and its parts.

    weights : with the numbers of their parameters and buffers; otherwise only which there are, in
        which dtype
    Raises Unknown for an attribute that no text describes.
    """
    for name, part in module.named_modules(remove_duplicate=False):
        yield f"{name}: {_name(type(part))}"
        left_out = _OF_TORCH.union(getattr(part, "__jit_ignored_attributes__", ()))
        for attribute in sorted(set(vars(part)) - left_out):
            yield f"{attribute} = {described(vars(part)[attribute])}"
        for attribute, tensor in (*part._parameters.items(), *part._buffers.items()):
            if weights or tensor is None:
                yield f"{attribute} = {described(tensor)}"
            else:
                yield f"{attribute}: {tensor.dtype} {tensor.device}"


def described(value: Any) -> str:
    """A value in a line, numbers with all their digits."""
    if isinstance(value, Tensor):
        content = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
        return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(content).hexdigest()}"
    if isinstance(value, torch.ScriptObject):
        return f"{value._type().qualified_name()} {described(value.__getstate__())}"
    if value is None or isinstance(value, bool | int | float | str | bytes | torch.dtype):
        return repr(value)
    if isinstance(value, Mapping):
        inside = [f"{described(k)}: {described(v)}" for k, v in value.items()]
        return f"{_name(type(value))}{{{', '.join(inside)}}}"
    if isinstance(value, set | frozenset):
        return f"{_name(type(value))}{{{', '.join(sorted(map(described, value)))}}}"
    if isinstance(value, tuple | list):
        return f"{_name(type(value))}[{', '.join(map(described, value))}]"
    if isinstance(value, type) or (callable(value) and hasattr(value, "__code__")):
        return _name(value)
    raise Unknown(f"a {_name(type(value))} cannot be told from its text")


def _name(one: type | Callable[..., Any]) -> str:
    """Of a class, or of a function that depends on nothing but its arguments."""
    name = f"{one.__module__}.{one.__qualname__}"
    if "<" in name or getattr(one, "__closure__", None):
        raise Unknown(f"{name} cannot be told from its name")
    return name


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
