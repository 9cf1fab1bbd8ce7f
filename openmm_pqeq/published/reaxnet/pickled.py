"""What numpy, JAX and flax write into pickles of arrays, made anew from plain bytes.

Each of them pickles an array as a call of one of its functions. `KNOWN` has the names of those
calls; `call` and `build` do with the arguments what the functions would, for arrays of numbers. The
functions themselves are never touched.
"""

import math
from typing import Any

import numpy as np

DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")

MAX_DIMENSIONS, MAX_LENGTH = 8, 2**40
"""Of an array, and numbers along one of them."""

KNOWN = {
    "numpy.core.multiarray._reconstruct": "empty array",
    "numpy._core.multiarray._reconstruct": "empty array",
    "numpy.core.multiarray.scalar": "scalar",
    "numpy._core.multiarray.scalar": "scalar",
    "numpy.core.numeric._frombuffer": "array of a buffer",
    "numpy._core.numeric._frombuffer": "array of a buffer",
    "numpy.ndarray": "array class",
    "numpy.dtype": "dtype",
    "jax._src.array._reconstruct_array": "jax array",
    "flax.core.frozen_dict.FrozenDict": "dictionary",
    "collections.OrderedDict": "dictionary",
    "_codecs.encode": "bytes",
}
"""What numpy (1 and 2), JAX, flax and OrderedDict write by every protocol, and what is made of
it."""


class Refused(ValueError):
    """The pickle asks for something that is not an array or a dictionary."""


class Known:
    """A function or class that the pickle names; `kind` is what stands for it here."""

    def __init__(self, name: str):
        self.name, self.kind = name, KNOWN[name]

    def __str__(self) -> str:
        return self.name


class DType:
    """A numpy dtype: its code, and the byte order once the pickle has told it."""

    def __init__(self, code: str):
        self.code, self.order = code, "="


class Array:
    """An array, whose values may come after its making."""

    def __init__(self, values: np.ndarray | None = None):
        self.values = values


def shown(value: Any) -> str:
    """A short text for a message; containers, whose text may be endless, by their type."""
    return str(value)[:200] if isinstance(value, (str, int, Known)) else type(value).__name__


def call(function: Any, arguments: Any) -> Any:
    """What a known function would return."""
    if not isinstance(function, Known) or not isinstance(arguments, tuple):
        raise Refused(f"would call a {shown(function)}")
    kind = function.kind
    if kind == "empty array":
        return Array()
    if kind == "jax array":
        make, _, state, _ = arguments
        if not isinstance(make, Known) or make.kind != "empty array":
            raise Refused(f"would call {shown(make)} for an array")
        array = Array()
        build(array, state)
        return array
    if kind == "dtype":
        return _dtype(arguments[0])
    if kind == "bytes":
        text, encoding = arguments
        if not isinstance(text, str) or encoding != "latin1":
            raise ValueError(
                f"bytes are written in an encoding that is not latin1: {shown(encoding)}"
            )
        return text.encode("latin1")
    if kind == "dictionary":
        if arguments and not (len(arguments) == 1 and isinstance(arguments[0], dict)):
            raise ValueError(f"a {function.name} is made of what is not a dictionary")
        return arguments[0] if arguments else {}
    if kind == "scalar":
        dtype, values = arguments
        return Array(_values(values, dtype, (), "C"))
    if kind == "array of a buffer":
        values, dtype, shape, order = arguments
        return Array(_values(values, dtype, shape, order))
    raise Refused(f"would call {function.name}")


def build(target: Any, state: Any) -> None:
    """Give an array or a dtype the state it was pickled with."""
    if isinstance(target, DType) and isinstance(state, tuple) and len(state) >= 5:
        _, order, subdtype, names, fields = state[:5]
        if order not in ("<", ">", "|", "=") or not (
            subdtype is None and names is None and fields is None
        ):
            raise Refused("holds an array whose elements are not numbers")
        target.order = order
    elif isinstance(target, Array) and isinstance(state, tuple) and len(state) == 5:
        _, shape, dtype, fortran, values = state
        target.values = _values(values, dtype, shape, "F" if fortran else "C")
    else:
        raise Refused(f"would set the state of a {shown(target)}")


def _dtype(code: Any) -> DType:
    if code not in DTYPES:
        raise Refused(f"holds an array of dtype {shown(code)!r}, and not of numbers")
    return DType(code)


def _values(values: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """An array on the bytes of the file."""
    if not isinstance(dtype, DType):
        raise ValueError("an array has no dtype")
    if (
        not isinstance(shape, tuple)
        or len(shape) > MAX_DIMENSIONS
        or not all(type(n) is int and 0 <= n < MAX_LENGTH for n in shape)
    ):
        raise ValueError("an array has a shape that is not a few small numbers")
    kind = np.dtype(dtype.order + dtype.code)
    if (
        not isinstance(values, (bytes, bytearray))
        or len(values) != math.prod(shape) * kind.itemsize
    ):
        raise ValueError(
            f"an array of shape {shape} and dtype {kind} has too few or too many bytes"
        )
    return np.frombuffer(values, kind).reshape(shape, order="F" if order == "F" else "C")
