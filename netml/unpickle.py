"""Pickles from elsewhere, read as plain data: nothing in them is ever called, whatever they ask for.

A pickle is a program; `pickle.load` runs it. Here the only names that one may use are in :data:`_ALLOWED`, and each
stands for a function or class of this module that checks its arguments: containers, numbers, text, bytes, NumPy's
arrays, scalars and dtypes, and NetPyNE's dictionaries (which become plain ones). Every other name ends the reading
with an error that says which it was. NumPy's own state setters are not used either: given a forged dtype, they would
take bytes for pointers.

Python 2's pickles are read with encoding latin1, which keeps NumPy's bytes. The memory that reading takes is bounded
by what a file holds but for one thing, the memo of the pickle format, whose size a file may claim.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from netml.errors import PickleError

_PLAIN_DTYPE = re.compile(r"[<>=|]?(?:b1|i[1248]|u[1248]|f2|f4|f8|f16|c8|c16|c32|[SU][1-9]\d*|O8?)")


def load_pickle(path: str | Path) -> Any:
    """Return what a pickle file holds.

    Raises:
        PickleError: The file is missing, no pickle, damaged, or asks for anything but plain data.
    """
    try:
        with Path(path).open("rb") as file:
            return _load(file, str(path))
    except OSError as error:
        raise PickleError(f"cannot read {path}: {error.strerror or error}") from error


def load_pickled(data: bytes, name: str = "the pickle") -> Any:
    """Return what the bytes of a pickle hold; ``name`` is what messages call it.

    Raises:
        PickleError: As :func:`load`.
    """
    return _load(io.BytesIO(data), name)


def _load(file: BinaryIO, name: str) -> Any:
    try:
        return _resolve(_Unpickler(file, encoding="latin1").load(), {})
    except _Refused as error:
        raise PickleError(f"{name} {error}; only plain data is read from a pickle, and nothing of it was run") from None
    except RecursionError:
        raise PickleError(f"{name} is nested too deeply") from None
    except MemoryError:
        raise PickleError(f"{name} claims more memory than there is; it is damaged or forged") from None
    except Exception as error:  # damaged bytes end in almost any of them
        raise PickleError(f"{name} is no pickle, or a damaged one ({type(error).__name__}: {error})") from error


class _Refused(Exception):
    """What a pickle asks for and does not get."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((_MODULES.get(module, module).replace("numpy.core.", "numpy._core."), name))
        if found is None:
            raise _Refused(f"asks for {module}.{name}")
        return found

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("refers to objects outside itself")


class _Call:
    """A function under a name that a pickle may call, and not change (it may set attributes of what it has made)."""

    __slots__ = ("_function",)
    _function: Callable

    def __init__(self, function: Callable):
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise _Refused(f"sets the attribute {name} of a function")


class _Dict(dict):
    """Stands for the dictionaries of NetPyNE and collections.

    That a class here has a ``__setstate__`` also keeps it as it is: a pickle that sets the state of the class itself
    calls that, and fails.
    """

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise _Refused("gives a dictionary a state that is none")
        self.update(state)


class _Dtype:
    """A dtype of plain elements, none of them structured."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str) or not _PLAIN_DTYPE.fullmatch(code):
            raise _Refused(f"holds an array of dtype {code!r:.60}")
        self._code, self._order = code.lstrip("<>=|"), ""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise _Refused("holds an array of a structured dtype")
        if state[1] not in ("<", ">", "|", "="):
            raise _Refused(f"holds an array of byte order {state[1]!r:.20}")
        self._order = state[1]

    def dtype(self) -> np.dtype:
        return np.dtype(self._order.replace("|", "") + self._code)


class _Array:
    """An array between its creation, empty, and its state."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array = np.empty(0)

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, content = state
        self.array = _array(content, dtype, shape, "F" if fortran else "C")


def _array(content: Any, dtype: Any, shape: Any, order: Any = "C", *_: Any) -> np.ndarray:
    """An array of bytes, or of a list of objects, whose number fits the shape."""
    kind = _dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else shape
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape) or order not in ("C", "F"):
        raise _Refused(f"holds an array of shape {shape!r:.60}")
    if kind.hasobject:
        if not isinstance(content, list):
            raise _Refused("holds an array of objects given by bytes")
        flat = np.empty(len(content), object)
        for index, item in enumerate(content):
            flat[index] = item
    else:
        content = content.encode("latin1") if isinstance(content, str) else content
        if not isinstance(content, (bytes, bytearray)) or len(content) != math.prod(shape) * kind.itemsize:
            raise _Refused(f"holds an array of shape {shape!r:.60} and {kind} with another number of bytes")
        flat = np.frombuffer(content, kind).copy() if content else np.empty(0, kind)
    if flat.size != math.prod(shape):
        raise _Refused(f"holds an array of shape {shape!r:.60} with {flat.size} elements")
    return flat.reshape(shape, order=order)


def _scalar(dtype: Any, content: Any = None) -> Any:
    value = _array(content, dtype, ())
    if value.dtype.hasobject:
        raise _Refused("holds a NumPy scalar of an object")
    return value[()]


def _dtype(given: Any) -> np.dtype:
    if not isinstance(given, _Dtype):
        raise _Refused("holds an array without a dtype")
    return given.dtype()


def _reconstruct(kind: Any, *_: Any) -> _Array:
    if kind is not _Array:
        raise _Refused("holds a subclass of NumPy's array")
    return _Array()


def _reconstructor(kind: Any, _base: Any, state: Any = None) -> _Dict:
    if kind is not _Dict:
        raise _Refused("makes an object by copyreg._reconstructor")
    return _Dict(state or {})


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How bytes stand in a pickle of protocol 2."""
    if encoding != "latin1":
        raise _Refused(f"encodes text as {encoding!r:.20}")
    return text.encode("latin1")


def _bytes(kind: type) -> Callable:
    def make(*content: Any) -> Any:
        if content and not isinstance(content[0], (bytes, bytearray, list, str)):
            raise _Refused(f"makes {kind.__name__} of {type(content[0]).__name__}")  # a number would claim memory
        return kind(*content)

    return make


_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_ALLOWED: dict[tuple[str, str], Any] = {
    ("builtins", "set"): _Call(set),
    ("builtins", "frozenset"): _Call(frozenset),
    ("builtins", "complex"): _Call(complex),
    ("builtins", "bytes"): _Call(_bytes(bytes)),
    ("builtins", "bytearray"): _Call(_bytes(bytearray)),
    ("builtins", "dict"): _Dict,
    ("collections", "OrderedDict"): _Dict,
    ("copyreg", "_reconstructor"): _Call(_reconstructor),
    ("_codecs", "encode"): _Call(_encode),
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy._core.multiarray", "_reconstruct"): _Call(_reconstruct),
    ("numpy._core.multiarray", "scalar"): _Call(_scalar),
    ("numpy._core.numeric", "_frombuffer"): _Call(_array),
    **{("netpyne.specs.dicts", name): _Dict for name in ("Dict", "ODict")},
    **{("netpyne.specs", name): _Dict for name in ("Dict", "ODict")},
    **{
        ("netpyne.specs.netParams", f"{name}Params"): _Dict
        for name in ("Pop", "Cell", "Conn", "SynMech", "SubConn", "StimSource", "StimTarget", "RxD")
    },
}


_OPEN = object()  # what a tuple stands for until its items do


def _resolve(value: Any, done: dict[int, Any]) -> Any:
    """Replace this module's stand-ins by what they stand for; lists and plain dictionaries stay the same objects."""
    if isinstance(value, (str, bytes, int, float, np.generic, type(None))):
        return value
    if id(value) in done:
        if done[id(value)][1] is _OPEN:
            raise _Refused("holds a tuple that holds itself")
        return done[id(value)][1]
    if isinstance(value, _Array):
        made: Any = value.array
    elif isinstance(value, _Dtype):
        made = value.dtype()
    elif isinstance(value, (_Call, type)):
        raise _Refused("holds a function or class as a value")
    elif isinstance(value, _Dict):
        made = {}
    elif isinstance(value, tuple):
        made = _OPEN
    else:
        made = value
    done[id(value)] = (value, made)  # the value is kept, so that its id stays its own
    if isinstance(value, dict):
        resolved = [(_resolve(key, done), _resolve(item, done)) for key, item in value.items()]
        made.clear()
        made.update(resolved)
    elif isinstance(made, np.ndarray) and made.dtype.hasobject:
        for index in np.ndindex(made.shape):
            made[index] = _resolve(made[index], done)
    elif isinstance(value, list):
        value[:] = [_resolve(item, done) for item in value]
    elif isinstance(value, (tuple, set, frozenset)):
        made = type(value)(_resolve(item, done) for item in value)
        done[id(value)] = (value, made)
    return made
