"""A pickle from elsewhere gives plain data, or an error that names what it asked for; it never runs anything."""

import collections
import contextlib
import os
import pickle
import pickletools
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from netml import unpickle
from netml.errors import PickleError

PLAIN = {
    "numbers": [1, -(2**70), 2.5, True, None, 1 + 2j],
    "text": ("a", b"bytes \xff", bytearray(b"x"), b""),
    "sets": {1, 2},
    "frozen": frozenset({"a"}),
    "ordered": collections.OrderedDict(b=1, a=2),
    "arrays": [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        np.array(["ab", "c"]),
        np.array([b"ab", b"c"]),
        np.zeros((0, 3), np.float16),
        np.array([True, False]),
        np.array(3.0),
    ],
    "objects": np.array([[1, "a"], [None, (2.0, np.arange(2))]], object),
    "scalars": [np.float64(1.5), np.int32(-3), np.bool_(True), np.str_("text")],
    "dtype": np.dtype("<f4"),
}


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        equal = a.dtype == b.dtype and a.shape == b.shape
        return equal and (all(map(same, a.flat, b.flat)) if a.dtype.hasobject else np.array_equal(a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_comes_back(protocol, tmp_path):
    file = tmp_path / "data.pkl"
    file.write_bytes(pickle.dumps(PLAIN, protocol))
    assert same({**PLAIN, "ordered": dict(PLAIN["ordered"])}, unpickle.load_pickle(file))


def test_python_2_and_renamed_numpy():
    """What NumPy 1 wrote under Python 2: text opcodes, `__builtin__`, `numpy.core`."""
    raw = np.arange(3.0).tobytes()
    written = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x03\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U" + bytes([len(raw)]) + raw + b"tbU\x03setc__builtin__\nset\n]K\x01a\x85Ru."
    )
    read = unpickle.load_pickled(written)
    assert list(read) == ["data", "set"] and read["set"] == {1}
    np.testing.assert_array_equal(read["data"], [0.0, 1.0, 2.0])


def test_shared_and_cyclic_containers():
    inner, cyclic = [1], {"self": None, "list": []}
    cyclic["self"] = cyclic
    read = unpickle.load_pickled(pickle.dumps({"a": inner, "b": inner, "c": cyclic}))
    assert read["a"] is read["b"] and read["c"]["self"] is read["c"]
    recursive = ([],)
    recursive[0].append(recursive)
    with pytest.raises(PickleError, match="holds itself"):
        unpickle.load_pickled(pickle.dumps(recursive))


def test_netpyne_dictionaries_become_plain():
    from netpyne import specs

    params = specs.NetParams()
    params.cellParams["PYR"] = {"secs": {"soma": {"geom": {"L": 20.0}}}}
    for protocol in (0, 2, 4):
        read = unpickle.load_pickled(pickle.dumps([params.cellParams, specs.Dict(a=specs.Dict(b=1))], protocol))
        assert read == [{"PYR": {"secs": {"soma": {"geom": {"L": 20.0}}}}}, {"a": {"b": 1}}]
        assert type(read[0]) is dict and type(read[1]["a"]) is dict


class Runs:
    """Calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.fixture
def flag(tmp_path, monkeypatch):
    """A file that every hostile pickle below would make."""
    file = tmp_path / "flag"
    yield file
    assert not file.exists()


@pytest.mark.parametrize("protocol", (0, 2, 4, 5))
@pytest.mark.parametrize("wrap", (
    lambda x: x, lambda x: {"a": [(x,)]}, lambda x: np.array([x, 1], object), lambda x: {frozenset((1,)): {"b": x}},
), ids=("bare", "nested", "object array", "beside a set"))  # fmt: skip
def test_nothing_is_run(flag, protocol, wrap):
    for function, *arguments in (
        (os.system, f"touch {flag}"),
        (eval, f"open({str(flag)!r}, 'w')"),
        (exec, f"open({str(flag)!r}, 'w')"),
        (subprocess.check_call, ["touch", str(flag)]),
        (open, str(flag), "w"),
        (getattr, {}, "get"),
        (Path.touch, flag),
    ):
        data = pickle.dumps(wrap(Runs(function, *arguments)), protocol)
        with pytest.raises(PickleError, match="asks for .*nothing of it was run"):
            unpickle.load_pickled(data)


@pytest.mark.parametrize("text, named", [
    (b"cposix\nsystem\n(S'touch FLAG'\ntR.", "posix.system"),
    (b"c__builtin__\neval\n(S'open(\"FLAG\",\"w\")'\ntR.", "__builtin__.eval"),
    (b"cos\nsystem\n(S'touch FLAG'\ntR.", "os.system"),
    (b"(S'touch FLAG'\nios\nsystem\n.", "os.system"),
    (b"(cos\nsystem\nS'touch FLAG'\no.", "os.system"),
    (b"\x80\x04\x8c\x08builtins\x8c\x0dset.__class__\x93.", "builtins.set.__class__"),
    (b"\x80\x04\x8c\x19netml.engine.ranks.worker\x8c\x08__main__\x93.", "netml.engine.ranks.worker.__main__"),
    (b"cnumpy.core.multiarray\nfromfile\n.", "numpy.core.multiarray.fromfile"),
    (b"cnumpy.testing._private.utils\nrunstring\n.", "runstring"),
    (b"\x80\x02ccopy_reg\n_reconstructor\nc__builtin__\nobject\nc__builtin__\nobject\nN\x87R.", "builtin__.object"),
    (b"\x80\x02ccopyreg\n__newobj__\n.", "copyreg.__newobj__"),
])  # fmt: skip
def test_the_name_is_said(flag, text, named):
    with pytest.raises(PickleError, match=f"asks for .*{named}"):
        unpickle.load_pickled(text.replace(b"FLAG", bytes(flag)))


def array(dtype: bytes, state: bytes, shape: bytes, content: bytes, setstate: bytes = b"b") -> bytes:
    """A pickle of an array from its parts."""
    return (
        b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01" + shape
        + b"cnumpy\ndtype\n" + dtype + b"K\x00K\x01\x87R" + state + setstate + b"\x89" + content + b"tb."
    )  # fmt: skip


STATE = b"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
F8, EIGHT = b"X\x02\x00\x00\x00f8", b"C\x08" + bytes(8)


@pytest.mark.parametrize("data, message", [
    # An object array from bytes: NumPy would take them for pointers.
    (array(b"X\x02\x00\x00\x00O8", STATE, b"K\x01\x85", EIGHT), "objects given by bytes"),
    # The same, hidden in the fields of a structured dtype.
    (array(b"X\x02\x00\x00\x00V8", STATE, b"K\x01\x85", EIGHT), "dtype 'V8'"),
    (array(F8, STATE.replace(b"<NNN", b"<N)}"), b"K\x01\x85", EIGHT), "structured"),
    # More elements than bytes; negative; so many that their number overflows 64 bits.
    (array(F8, STATE, b"K\x02\x85", EIGHT), "another number of bytes"),
    (array(F8, STATE, b"J\xff\xff\xff\xff\x85", EIGHT), "shape"),
    (array(F8, STATE, b"\x8a\x09" + (2**65 + 1).to_bytes(9, "little") + b"\x85", EIGHT), "another number of bytes"),
    (array(b"X\x02\x00\x00\x00S0", STATE, b"J\xff\xff\xff\x7f\x85", b"C\x00"), "dtype 'S0'"),
    # Constructors given numbers would claim memory; functions and classes are not to be changed.
    (b"c__builtin__\nbytearray\n(L100000000000L\ntR.", "makes bytearray of int"),
    (b"\x80\x02cnumpy\nndarray\n\x8a\x06" + (10**12).to_bytes(6, "little") + b"\x85R.", "damaged"),
    (b"\x80\x02c__builtin__\nset\n(N}X\x09\x00\x00\x00_functionK\x01stb.", "sets the attribute _function"),
    (b"\x80\x02cnumpy\nndarray\n(N}X\x0c\x00\x00\x00__setstate__K\x01stb.", "damaged"),
    (b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb.", "damaged"),
    (b"\x80\x02cnumpy\nndarray\n.", "function or class"),
    (b"\x80\x02X\x01\x00\x00\x00aQ.", "outside itself"),
    (b"\x80\x02\x82\x01.", "damaged"),
])  # fmt: skip
def test_forged_arrays_and_claims(data, message):
    with pytest.raises(PickleError, match=message):
        unpickle.load_pickled(data)
    assert unpickle.load_pickled(pickle.dumps({1, 2})) == {1, 2}  # the allowed names are still what they were


@pytest.mark.parametrize("claim", [
    b"\x8e" + struct.pack("<Q", 2**62), b"\x8d" + struct.pack("<Q", 2**62), b"\x96" + struct.pack("<Q", 2**62),
    b"B" + struct.pack("<I", 2**31), b"\x95" + struct.pack("<Q", 2**40), b"\x8b" + struct.pack("<I", 2**31 - 1),
])  # fmt: skip
def test_a_claim_of_more_bytes_than_there_are(claim, tmp_path):
    file = tmp_path / "claim.pkl"
    file.write_bytes(b"\x80\x05" + claim + b"short.")
    for read in (lambda: unpickle.load_pickle(file), lambda: unpickle.load_pickled(file.read_bytes())):
        with pytest.raises(PickleError, match="damaged"):
            read()


def test_every_truncation_is_an_error():
    data = pickle.dumps(PLAIN, 4)
    for end in range(0, len(data), 7):
        with pytest.raises(PickleError):
            unpickle.load_pickled(data[:end])


def test_random_damage_is_an_error_or_data():
    """No byte turns into a crash or an exception of another kind."""
    rng = np.random.default_rng(0)
    data = pickletools.optimize(pickle.dumps(PLAIN, 2))
    for _ in range(2000):
        damaged = bytearray(data)
        for at in rng.integers(len(data), size=3):
            # Not the opcode whose memo index claims memory, the one claim that only the file's author bounds.
            damaged[at] = rng.choice([byte for byte in range(256) if byte != ord("r")])
        with contextlib.suppress(PickleError):
            unpickle.load_pickled(bytes(damaged))


def test_depth_and_missing_files(tmp_path):
    with pytest.raises(PickleError, match="nested too deeply"):
        unpickle.load_pickled(b"]" * 100_000 + b"a" * 99_999 + b".")
    with pytest.raises(PickleError, match="cannot read .*no.pkl: No such file"):
        unpickle.load_pickle(tmp_path / "no.pkl")
    with pytest.raises(PickleError, match="cannot read .*Is a directory"):
        unpickle.load_pickle(tmp_path)
    (tmp_path / "text.pkl").write_text("hello")
    with pytest.raises(PickleError, match="text.pkl is no pickle"):
        unpickle.load_pickle(tmp_path / "text.pkl")
