"""Reading published parameters: arrays come out, and nothing that a pickle asks for is done."""

import collections
import os
import pickle
import pickletools
import random
import struct
import subprocess
import sys
import types

import numpy as np
import pytest
from published import config_of, draw, tree_of

from openmm_pqeq.published.reaxnet.unpickler import read_arrays

SHAPES = {
    "Linear_1/w[0,0] 8x0e,4x0e": (8, 4),
    "NequIPConvolution_0/MLP_0/Dense_0/kernel": (8, 3),
    "BesselEmbedding_0/frequencies": (8,),
}


@pytest.fixture
def arrays():
    return draw(SHAPES, config_of("published irreps"))


@pytest.fixture
def read(tmp_path):
    """Read bytes as a file."""

    def read(data: bytes) -> dict[str, np.ndarray]:
        path = tmp_path / "params.pickle"
        path.write_bytes(data)
        return read_arrays(path)

    return read


def assert_same(found, arrays):
    assert set(found) == {f"params/{name}" for name in arrays}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[f"params/{name}"], array)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_protocol(read, arrays, protocol):
    arrays["Linear_1/w[0,0] 8x0e,4x0e"] = np.asfortranarray(arrays["Linear_1/w[0,0] 8x0e,4x0e"])
    assert_same(read(pickle.dumps(tree_of(arrays), protocol)), arrays)


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", "int64", "uint8", "bool"])
def test_dtypes_and_byte_orders(read, dtype):
    values = np.arange(6).reshape(2, 3).astype(dtype)
    np.testing.assert_array_equal(read(pickle.dumps({"params": values}))["params"], values)


def test_numbers_and_other_dictionaries(read):
    tree = {"step": 3, "params": collections.OrderedDict(a=np.float32(0.5), b=-1.25, c=True)}
    for protocol in range(6):
        found = read(pickle.dumps(tree, protocol))
        assert {name: value[()] for name, value in found.items()} == {
            "step": 3,
            "params/a": 0.5,
            "params/b": -1.25,
            "params/c": True,
        }


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_names_of_numpy_1_and_2(read, arrays, core):
    data = pickle.dumps(tree_of(arrays), 3)
    names = [
        argument
        for _, argument, _ in pickletools.genops(data)
        if isinstance(argument, str) and "multiarray" in argument
    ]
    assert_same(
        read(data.replace(names[0].encode(), f"{core}.multiarray _reconstruct".encode())), arrays
    )


@pytest.fixture
def stand_ins(monkeypatch):
    """Classes that pickle as those of JAX and flax do (jax 0.4.20 and 0.10, flax 0.7 and 0.12),
    which are not installed here."""
    jax, flax = types.ModuleType("jax._src.array"), types.ModuleType("flax.core.frozen_dict")

    def _reconstruct_array(function, arguments, state, aval_state):
        raise AssertionError("called")

    class JaxArray:
        def __init__(self, values):
            self.values = values

        def __reduce__(self):
            function, arguments, state = self.values.__reduce__()
            return _reconstruct_array, (
                function,
                arguments,
                state,
                {"weak_type": False, "named_shape": {}},
            )

    class FrozenDict:
        def __init__(self, tree):
            self.tree = tree

        def __reduce__(self):
            return FrozenDict, (self.tree,)

    _reconstruct_array.__module__, _reconstruct_array.__qualname__ = (
        jax.__name__,
        "_reconstruct_array",
    )
    FrozenDict.__module__, FrozenDict.__qualname__ = flax.__name__, "FrozenDict"
    jax._reconstruct_array, flax.FrozenDict = _reconstruct_array, FrozenDict
    for name in ("jax", "jax._src", "flax", "flax.core"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, jax.__name__, jax)
    monkeypatch.setitem(sys.modules, flax.__name__, flax)
    return JaxArray, FrozenDict


@pytest.mark.parametrize("protocol", range(6))
def test_jax_arrays_and_frozen_dictionaries(read, arrays, stand_ins, protocol):
    jax_array, frozen_dict = stand_ins
    tree = {
        "params": frozen_dict(
            tree_of({name: jax_array(array) for name, array in arrays.items()})["params"]
        )
    }
    data = pickle.dumps(tree, protocol)
    assert b"_reconstruct_array" in data
    assert b"FrozenDict" in data
    assert_same(read(data), arrays)


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def a_module(name, tmp_path):
    (tmp_path / f"{name}.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_suffix('.imported').touch()\n"
    )


TOUCH = "touch executed"
MALICIOUS = {
    "call": (pickle.dumps({"params": Calls(os.system, TOUCH)}), "posix.system"),
    "call, protocol 0": (pickle.dumps({"params": Calls(os.system, TOUCH)}, 0), "posix.system"),
    "call of eval": (pickle.dumps([Calls(eval, "1")]), "builtins.eval"),
    "process": (pickle.dumps(Calls(subprocess.Popen, ["touch", "executed"])), "subprocess.Popen"),
    "import alone": (b"cpqeq_module\nthing\n.", "pqeq_module.thing"),
    "import by strings": (b"\x80\x04\x8c\x0bpqeq_module\x8c\x05thing\x93.", "pqeq_module.thing"),
    "import after the arrays": (pickle.dumps(np.ones(3))[:-1] + b"0cos\nsystem\n.", "os.system"),
    "attribute of a class": (
        b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        "numpy.ndarray.tofile",
    ),
    "numpy's own loader": (b"cnumpy\nload\n(S'x'\ntR.", "numpy.load"),
    "instance": (b"(S'touch executed'\nios\nsystem\n.", None),
    "instance without arguments": (b"(ios\nsystem\n.", "os.system"),
    "object": (b"(cnumpy\nndarray\no.", "OBJ"),
    "new object": (b"cnumpy\nndarray\n)\x81.", "NEWOBJ"),
    "new object with names": (b"\x80\x04cnumpy\nndarray\n)}\x92.", "NEWOBJ_EX"),
    "class called": (b"cnumpy\nndarray\n(I3\ntR.", "numpy.ndarray"),
    "array as function": (b"cnumpy.core.multiarray\n_reconstruct\n)R)R.", "Array"),
    "state of a function": (b"c_codecs\nencode\n}b.", "_codecs.encode"),
    "state of a dictionary": (b"}}b.", "dict"),
    "extension code": (b"\x82\x01.", "extension 1"),
    "extension code, two bytes": (b"\x83\x01\x02.", "extension 513"),
    "extension code, four bytes": (b"\x84\x01\x02\x03\x04.", "extension"),
    "persistent id": (b"Psecret\n.", "secret"),
    "binary persistent id": (b"I1\nQ.", "outside"),
    "buffer": (b"\x80\x05\x97.", "buffer"),
    "objects": (
        pickle.dumps({"params": np.array([Calls(os.system, TOUCH)], dtype=object)}),
        "'O8'",
    ),
    "array of objects": (pickle.dumps({"params": np.array([None], dtype=object)}), "'O8'"),
    "structured array": (pickle.dumps({"params": np.zeros(2, dtype=[("a", "f4")])}), "'V4'"),
    "strings": (pickle.dumps({"params": np.array(["abc"])}), "'U3'"),
    "jax array of another function": (
        b"cjax._src.array\n_reconstruct_array\n(c_codecs\nencode\nNN}tR.",
        "_codecs.encode",
    ),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_a_malicious_pickle_does_nothing_and_is_named(read, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a_module("pqeq_module", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    data, culprit = MALICIOUS[name]
    with pytest.raises(
        ValueError, match="refused, because it" if culprit else r"refused|cannot be read"
    ) as error:
        read(data)
    assert culprit is None or culprit in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.pickle", "pqeq_module.py"]


GREEDY = {
    "bytes that are not there": b"\x8e" + struct.pack("<Q", 1 << 40) + b".",
    "text that is not there": b"\x8d" + struct.pack("<Q", 1 << 40) + b".",
    "byte array that is not there": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    "frame that is not there": b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N.",
    "memo at the far end": b"]r\xff\xff\xff\x7f.",
    "integer of a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
    "array larger than its bytes": pickle.dumps(np.zeros(3)).replace(
        b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"
    ),
    "dictionary in itself": b"}q\x00X\x01\x00\x00\x00ah\x00s.",
    "dictionaries of dictionaries": b"}q\x000"
    + b"".join(
        b"}q"
        + bytes([k + 1])
        + b"("
        + b"".join(b"X\x02\x00\x00\x00%02dh%c" % (i, k) for i in range(60))
        + b"u0"
        for k in range(7)
    )
    + b"h\x07.",
    "text encoded again and again": b"X\x00\x00\x01\x00"
    + b"a" * 65536
    + b"q\x000c_codecs\nencode\nq\x010X\x06\x00\x00\x00latin1q\x020"
    + b"h\x01h\x00h\x02\x86R" * 10000
    + b"N.",
    "shape of shapes": b"I1\n"
    + b"2\x86" * 60
    + b"q\x000cnumpy.core.multiarray\n_reconstruct\n)R(I1\nh\x00cnumpy\ndtype\n(X\x02\x00\x00\x00f4tRI00\nC\x00tb.",
    "encoding of encodings": b"I1\n"
    + b"2\x86" * 60
    + b"q\x000c_codecs\nencode\n(X\x01\x00\x00\x00ah\x00tR.",
    "import of tuples": b"\x80\x04I1\n" + b"2\x86" * 60 + b"2\x93.",
    "deep tuples": b"N" + b"\x85" * 100_000 + b".",
    "deep lists": b"](" * 100_000 + b".",
}


@pytest.mark.parametrize("name", GREEDY)
def test_a_small_file_cannot_ask_for_much(read, name):
    import resource
    import time

    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ValueError, match=r"cannot be read|refused"):
        read(GREEDY[name])
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
    )  # kB (bytes on macOS, where this says little)
    assert time.process_time() - start < 10.0


def test_what_is_not_a_tree_of_arrays(read, tmp_path):
    for data in (
        b"",
        b".",
        b"hello",
        pickle.dumps(np.ones(3)),
        pickle.dumps([1]),
        pickle.dumps({"params": "text"}),
        pickle.dumps({1: 2}),
    ):
        with pytest.raises(
            ValueError, match=r"cannot be read \(.+\); it is damaged or not a pickle of arrays"
        ):
            read(data)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "nothing.pickle")


def test_fuzz(read, arrays, monkeypatch, tmp_path):
    """Random bytes, cut files, mutated bytes, and random programs: always arrays or a ValueError,
    never anything else."""
    monkeypatch.chdir(tmp_path)
    for name in ("system", "popen", "mkdir", "remove"):
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("called"))
    chance, modules = random.Random(0), set(sys.modules)
    seeds = [pickle.dumps(tree_of(arrays), protocol) for protocol in range(6)] + [
        data for data, _ in MALICIOUS.values()
    ]
    codes = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]
    pieces = [
        *codes,
        b"os\nsystem\n",
        b"cos\nsystem\n",
        b"cnumpy\ndtype\n",
        b"X\x02\x00\x00\x00f4",
        b"K\x03",
        b"}",
        b"(",
        b"h\x00",
        b"q\x00",
    ]
    accepted = 0
    for trial in range(1600):
        kind, data = trial % 4, bytearray(chance.choice(seeds))
        if kind == 0:
            data = bytearray(chance.randbytes(chance.randrange(64)))
        elif kind == 1:
            del data[chance.randrange(len(data) + 1) :]
        elif kind == 2:
            for _ in range(chance.randrange(1, 6)):
                data[chance.randrange(len(data))] = chance.choice(chance.choice(pieces))
        else:
            data = bytearray(
                b"".join(chance.choice(pieces) for _ in range(chance.randrange(1, 40))) + b"."
            )
        try:
            found = read(bytes(data))
        except ValueError:
            continue
        assert all(
            isinstance(value, np.ndarray) and value.dtype != object for value in found.values()
        )
        accepted += 1
    assert 0 < accepted < 800  # some mutations only change numbers
    assert {path.name for path in tmp_path.iterdir()} == {"params.pickle"}
    assert not {"posix.system", "pqeq_module", "jax", "flax"} & (set(sys.modules) - modules)
