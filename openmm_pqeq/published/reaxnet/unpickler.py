"""Arrays out of a pickle, without unpickling: nothing the file names is imported, looked up or
called.

A pickle is a program for a small stack machine. This module runs the instructions that put numbers,
strings, bytes, lists, tuples and dictionaries together, and knows by name the few functions that
numpy, JAX and flax pickle their arrays and dictionaries with (pickled.py does what they would). Any
other name, and any other instruction that could reach outside (INST, OBJ, NEWOBJ, extension codes,
persistent ids, out-of-band buffers), ends the reading with that name in the message.

The instruction set is that of the standard library's `pickletools`, protocols 0 to 5.
"""

import os
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from openmm_pqeq.published.reaxnet.pickled import KNOWN, Array, Known, Refused, build, call, shown

MAX_ARRAYS = 100_000
"""Arrays in one file; a dictionary that contains itself, or another many times, would have no end
otherwise."""

MAX_DEPTH = 8
"""Dictionaries within dictionaries."""

MAX_NAME = 200
"""Characters of a name."""

_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *(
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
    ),
)
_REACHING_OUT = {
    "INST": "would make an object of class {}",
    "EXT1": "names the registered extension {}",
    "EXT2": "names the registered extension {}",
    "EXT4": "names the registered extension {}",
    "PERSID": "refers to the object {} outside the file",
    "BINPERSID": "refers to an object outside the file",
    "OBJ": "would make an object (instruction OBJ)",
    "NEWOBJ": "would make an object (instruction NEWOBJ)",
    "NEWOBJ_EX": "would make an object (instruction NEWOBJ_EX)",
    "NEXT_BUFFER": "refers to a buffer outside the file",
    "READONLY_BUFFER": "refers to a buffer outside the file",
}


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Arrays of a pickled tree of dictionaries, by their names joined with "/".

    Numbers are arrays without dimensions. Raises ValueError for a file that is not such a pickle,
    is damaged, or would import or call anything; the message names it. FileNotFoundError where
    there is no file.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        return _flatten(_Machine(data).run())
    except Refused as error:
        raise ValueError(
            f"parameter file {path}: refused, because it {error}; only arrays in dictionaries are "
            "read"
        ) from None
    except Exception as error:  # pickletools raises many kinds on bytes that mean nothing
        reason = str(error).strip()[:200] or type(error).__name__
        raise ValueError(
            f"parameter file {path}: cannot be read ({reason}); it is damaged or not a pickle of "
            "arrays"
        ) from None


class _Machine:
    """Stack, marks and memo of a pickle, with a method for each group of instructions.

    Nothing is ever copied, so that a small file cannot ask for much memory by repeating itself.
    """

    def __init__(self, data: bytes):
        self.data = data
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[Any, Any] = {}
        self.encoded = 0

    def run(self) -> Any:
        """The object that the pickle describes, with `Array` in place of arrays."""
        for opcode, argument, _ in pickletools.genops(self.data):
            if self.marks and self.marks[-1] > len(self.stack):
                raise ValueError("an instruction takes more than there is")
            name = opcode.name
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _STEPS:
                _STEPS[name](self, name, argument)
            else:
                raise Refused(
                    _REACHING_OUT.get(name, f"has the instruction {name}").format(
                        shown(argument).replace(" ", ".")
                    )
                )
        if len(self.stack) != 1:
            raise ValueError("its instructions do not end in one object")
        return self.stack[0]

    def skip(self, name: str, argument: Any) -> None:
        """Nothing to do for the protocol, the sizes of frames and the end."""

    def mark(self, name: str, argument: Any) -> None:
        """Where a list of items begins."""
        self.marks.append(len(self.stack))

    def since_mark(self) -> list[Any]:
        """Take the items since the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def collect(self, name: str, argument: Any) -> None:
        """Containers, empty or of the items since the mark."""
        if name == "EMPTY_DICT":
            self.stack.append({})
        elif name == "EMPTY_LIST":
            self.stack.append([])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack.append(tuple([self.stack.pop() for _ in range(int(name[-1]))][::-1]))
        else:
            items = self.since_mark()
            self.stack.append(
                tuple(items) if name == "TUPLE" else items if name == "LIST" else _set({}, items)
            )

    def extend(self, name: str, argument: Any) -> None:
        """Items into the container below them."""
        if name in ("SETITEMS", "APPENDS"):
            items = self.since_mark()
        else:
            items = [self.stack.pop() for _ in range(2 if name == "SETITEM" else 1)][::-1]
        target = self.stack[-1]
        if name in ("SETITEM", "SETITEMS"):
            _set(target, items)
        elif isinstance(target, list):
            target.extend(items)
        else:
            raise ValueError("something is appended to what is not a list")

    def drop(self, name: str, argument: Any) -> None:
        """Items not wanted, or wanted twice."""
        if name == "POP_MARK":
            self.since_mark()
        else:
            last = self.stack.pop()
            self.stack += [last, last] if name == "DUP" else []

    def remember(self, name: str, argument: Any) -> None:
        """Into the memo, or out of it."""
        if name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        else:
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.stack[-1]

    def find(self, name: str, argument: Any) -> None:
        """A function or class by its name: only those that are known here."""
        if name == "GLOBAL":
            module, attribute = argument.split(" ", 1)
        else:
            attribute, module = self.stack.pop(), self.stack.pop()
        known = (
            f"{module}.{attribute}"
            if isinstance(module, str) and isinstance(attribute, str)
            else ""
        )
        if known not in KNOWN:
            raise Refused(f"would import {shown(module)}.{shown(attribute)}")
        self.stack.append(Known(known))

    def reduce(self, name: str, argument: Any) -> None:
        """A call."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if isinstance(function, Known) and function.kind == "bytes":
            self.encoded += len(arguments[0])
            if self.encoded > len(self.data):
                raise ValueError("it encodes the same text over and over")
        self.stack.append(call(function, arguments))

    def build(self, name: str, argument: Any) -> None:
        """The state of an object."""
        state = self.stack.pop()
        build(self.stack[-1], state)


_STEPS: dict[str, Callable[[_Machine, str, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _Machine.skip),
    "MARK": _Machine.mark,
    **dict.fromkeys(
        ("EMPTY_DICT", "EMPTY_LIST", "DICT", "LIST", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        _Machine.collect,
    ),
    **dict.fromkeys(("SETITEM", "SETITEMS", "APPEND", "APPENDS"), _Machine.extend),
    **dict.fromkeys(("POP", "POP_MARK", "DUP"), _Machine.drop),
    **dict.fromkeys(
        ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
        _Machine.remember,
    ),
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL"), _Machine.find),
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}


def _set(target: Any, items: list[Any]) -> dict[str, Any]:
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError("a key is set in what is not a dictionary")
    for key, value in zip(items[::2], items[1::2]):
        if not isinstance(key, str) or len(key) > MAX_NAME:
            raise ValueError(f"a dictionary has the key {shown(key)}, and not a name")
        target[key] = value
    return target


def _flatten(tree: Any) -> dict[str, np.ndarray]:
    """Leaves by the path of their names."""
    if not isinstance(tree, dict):
        raise ValueError(
            f"it holds a {type(tree).__name__.strip('_')} and not a dictionary of arrays"
        )
    found: dict[str, np.ndarray] = {}
    n_items = 0
    todo: list[tuple[str, int, Any]] = [("", 0, tree)]
    while todo:
        path, depth, value = todo.pop()
        if isinstance(value, dict):
            n_items += len(value)
            if depth > MAX_DEPTH or n_items > MAX_ARRAYS:
                raise ValueError("its dictionaries are nested without end")
            todo += [
                (f"{path}/{key}" if path else key, depth + 1, item)
                for key, item in reversed(list(value.items()))
            ]
        elif isinstance(value, Array) and value.values is not None:
            found[path] = value.values
        elif isinstance(value, (bool, int, float)):
            found[path] = np.asarray(value)
        else:
            raise ValueError(f"{path} is neither an array nor a number")
    return found
