"""A CUDA device for machines that have none: tensors stay on the CPU, each knows which device it
would be on, and an operation that a GPU would refuse raises RuntimeError.

    with PretendCuda() as gpu:
        potential.to("cuda").evaluate(structure)
    gpu.transfers        # what made the host wait for the device, and where

Numbers are real, so that code which asks for values goes the way it goes everywhere; torch's
FakeTensorMode has none to ask for. A device belongs to a storage: a view is where its tensor is.
Tensors that torch's own code makes without a device of its own (inside a composite operation, or
going backwards) are where that operation is.

Objects written for a device by others (torch.classes) are not seen: call them by `undisturbed`.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

CPU, CUDA, ANY = torch.device("cpu"), torch.device("cuda", 0), torch.device("meta")
"""ANY: made by torch where it cannot be known for which device."""

DEVICE_NAMES = ("cpu", "cuda", "cuda:0")
TAKES_CPU_INDICES = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
MOVES = {"copy_", "_to_copy"}
WAITS = {
    "_local_scalar_dense": "a number is read",
    "_linalg_check_errors": "linear algebra is checked",
    "nonzero": "nonzero",
    "masked_select": "masked_select",
    "equal": "equal",
    "bincount": "bincount",
    "_unique2": "unique",
    "repeat_interleave": "repeat_interleave",
    "_linalg_eigh": "eigenvalues",
    "_linalg_svd": "singular values",
}
"""Operations whose result, or its size, the host waits for."""


class PretendCuda(TorchFunctionMode):
    """Inside, "cuda" is a device.

    transfers : (reason, "file:line" in the package) → how often the host waited or data moved
    """

    def __init__(self) -> None:
        super().__init__()
        self.transfers: Counter[tuple[str, str]] = Counter()
        self.places: dict[int, tuple[Any, torch.device]] = {}  # a storage is kept: its address too
        self.within: list[torch.device] = []
        self.dispatched = _Dispatched(self)

    def __enter__(self) -> "PretendCuda":
        super().__enter__()
        self.dispatched.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        self.dispatched.__exit__(*reason)
        super().__exit__(*reason)

    def device_of(self, tensor: torch.Tensor) -> torch.device:
        """Where a tensor would be; what was made before is on the CPU."""
        with torch._C.DisableTorchFunction():
            return self.places.get(tensor.untyped_storage()._cdata, (None, CPU))[1]

    def place(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        """Say where a new tensor is."""
        with torch._C.DisableTorchFunction():
            storage = tensor.untyped_storage()
        self.places[storage._cdata] = (storage, device)
        return tensor

    def waited(self, reason: str) -> None:
        """Note a transfer, and the line of the package that caused it."""
        self.transfers[reason, _line_of_package()] += 1

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        owner = getattr(function, "__self__", None)  # of a property's getter: the property
        if name == "__get__" and owner in _PROPERTIES:
            return _PROPERTIES[owner](self.device_of(args[0]))
        tensors = list(_tensors((args, kwargs)))
        if name in ("numpy", "__array__", "__dlpack__") and self.device_of(tensors[0]) == CUDA:
            raise TypeError("can't convert a CUDA tensor to numpy; use Tensor.cpu() first")
        wanted = _wanted(name, args, kwargs, self)
        around = next((d for d in map(self.device_of, tensors) if d != CPU), CPU)
        self.within.append(wanted or around if tensors else wanted or CPU)
        try:
            if wanted is None:
                return function(*args, **kwargs)
            if name in ("cuda", "cpu"):
                function, args = torch.Tensor.clone, args[:1]
            return self._placed(function, args, kwargs, wanted)
        finally:
            self.within.pop()

    def _placed(self, function, args, kwargs, wanted):
        """What a function with a device gives, on that device."""
        on_cpu = tree_map(lambda value: CPU if _is_device(value) else value, (args, kwargs))
        if "device" in on_cpu[1]:
            on_cpu[1]["device"] = CPU
        made = function(*on_cpu[0], **on_cpu[1])
        sources = list(_tensors((args, kwargs)))
        if sources and self.device_of(sources[0]) == wanted:
            return made
        if sources:
            if CUDA in (wanted, self.device_of(sources[0])):
                self.waited(f"{self.device_of(sources[0]).type} to {wanted.type}")
            made = made.clone()
        return self.place(made, wanted)


class _Dispatched(TorchDispatchMode):
    """Below autograd: checks each operation, and places what it makes."""

    def __init__(self, pretended: PretendCuda) -> None:
        super().__init__()
        self.pretended = pretended

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs, gpu = kwargs or {}, self.pretended
        name = operation.overloadpacket.__name__
        tensors = list(_tensors((args, kwargs)))
        devices = [gpu.device_of(tensor) for tensor in tensors]
        if CUDA in devices:
            self._check(name, args, tensors, devices)
        made = operation(*args, **kwargs)
        backwards = torch._C._current_graph_task_id() != -1
        if CUDA in devices:
            device = CUDA
        elif devices:
            device = ANY if ANY in devices else CPU
        else:
            device = ANY if backwards else (gpu.within[-1] if gpu.within else CPU)
        for tensor in _tensors(made):
            with torch._C.DisableTorchFunction():
                if tensor.untyped_storage()._cdata not in gpu.places and device != CPU:
                    gpu.place(tensor, device)
        return made

    def _check(self, name, args, tensors, devices) -> None:
        """RuntimeError for tensors on two devices, but where torch allows it."""
        if name in WAITS:
            self.pretended.waited(WAITS[name])
        masks = [t for t in tensors[1:] if t.dtype in (torch.bool, torch.uint8)]
        if name in TAKES_CPU_INDICES and masks:
            self.pretended.waited("a mask is an index")
        if name in MOVES:
            return
        if name in TAKES_CPU_INDICES:
            tensors = [args[0], *(args[2:3] if "put" in name else [])]
            devices = [self.pretended.device_of(tensor) for tensor in tensors]
        for tensor, device in zip(tensors, devices):
            if device == CPU and tensor.dim() > 0 and CUDA in devices:
                shapes = [f"{tuple(t.shape)} on {d.type}" for t, d in zip(tensors, devices)]
                raise RuntimeError(f"{name}: tensors on two devices: {', '.join(shapes)}")


_PROPERTIES = {
    torch.Tensor.device: lambda device: device,
    torch.Tensor.is_cuda: lambda device: device == CUDA,
    torch.Tensor.is_cpu: lambda device: device == CPU,
}


def _wanted(name: str, args: Any, kwargs: Any, gpu: PretendCuda) -> torch.device | None:
    """The device that a call asks for."""
    if name in ("cuda", "cpu"):
        return CUDA if name == "cuda" else CPU
    if kwargs.get("device") is not None:
        return CUDA if torch.device(kwargs["device"]).type == "cuda" else CPU
    if name in ("to", "type_as"):
        other = args[1] if len(args) > 1 else kwargs.get("other")
        if isinstance(other, torch.Tensor):
            return gpu.device_of(other)
        for value in args[1:2]:
            if _is_device(value):
                return CUDA if torch.device(value).type == "cuda" else CPU
    return None


def _is_device(value: Any) -> bool:
    return isinstance(value, torch.device) or (isinstance(value, str) and value in DEVICE_NAMES)


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_flatten(values)[0] if isinstance(leaf, torch.Tensor))


def _line_of_package() -> str:
    """The innermost line of openmm_pqeq that is being run."""
    frame = sys._getframe(2)
    while frame is not None:
        _, package, file = frame.f_code.co_filename.rpartition("/openmm_pqeq/")
        if package:
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


def undisturbed(function, *args):
    """Call something that is no operation of torch's, on the tensors as they really are."""
    with torch._C.DisableTorchFunction(), _disable_current_modes():
        return function(*args)
