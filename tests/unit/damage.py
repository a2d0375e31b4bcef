"""Changes of a file's content, one at a time: what a careless program, a bad disk or a forger could leave.

``mutations`` changes every field of a tree of dictionaries and lists, ``array_mutations`` an array's type, shape and
values, ``byte_mutations`` bytes.  ``Tally`` counts what came of them.
"""

import copy
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from netml.errors import NetmlError

VALUES = (
    None, "text", "", 0, -1, 1, 2, 0.5, -0.5, 10**12, -(10**12), 10**30, 1e300, math.inf, -math.inf, math.nan, True,
    False, [], [None], [1, 2, 3], ["text"], {}, {"key": 1}, {"key": {"key": None}},
)  # fmt: skip
DTYPES = ("S4", "U4", "?", "c16", "i1", "u1", "i4", "u8", "i8", "f2", "f4", "f8", ">f8", ">i4")
NUMBERS = (math.nan, math.inf, -math.inf, 0, 1, -1, 10**6, 2**31 - 1, -(2**31), 2**62, -(2**62), 1e30)


def mutations(value: Any, values=VALUES, ends: int = 2) -> Iterator[tuple[str, Any]]:
    """A tree of dictionaries and lists with one place changed: (what was done, the changed tree).

    Args:
        value: The tree.
        values: What each place is changed into.
        ends: Of longer lists, only so many items at either end are changed.
    """
    for path in _places(value, ends):
        name = "/".join(map(str, path)) or "all"
        present = _at(value, path)
        for new in values:
            if type(new) is not type(present) or repr(new) != repr(present):
                yield f"{name} = {new!r:.30}", _changed(value, path, new)
        if path:
            yield f"{name} removed", _changed(value, path, remove=True)
        if isinstance(present, list) and present:
            yield f"{name} longer", _changed(value, path, [*present, present[-1]])
            yield f"{name} reversed", _changed(value, path, present[::-1])
        if isinstance(present, dict) and present:
            key = next(iter(present))
            renamed = {("other" if k == key else k): v for k, v in present.items()}
            yield f"{name}/{key} renamed", _changed(value, path, renamed)


def array_mutations(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """An array of another type, shape or with other values: (what was done, the changed array)."""
    array = np.asarray(array)
    if array.dtype.names:
        for field in array.dtype.names:
            for name, column in array_mutations(array[field]):
                if column.shape[:1] == array.shape[:1] and array.size:
                    yield f".{field} {name}", _with_column(array, field, column)
            yield f".{field} removed", array[[n for n in array.dtype.names if n != field]].copy()
        yield "as bytes", array.view(f"V{array.dtype.itemsize}")
        yield "as numbers", np.arange(array.size)
    else:
        for dtype in DTYPES:
            if np.dtype(dtype) != array.dtype:
                with np.errstate(all="ignore"):
                    yield f"as {dtype}", _cast(array, dtype)
    yield "with one more axis", array[None].copy()
    yield "a scalar", np.zeros((), array.dtype)
    yield "empty", array[:0].copy() if array.ndim else np.zeros(0, array.dtype)
    if array.ndim:
        yield "longer", np.concatenate([array, array[-1:]]) if len(array) else np.zeros(1, array.dtype)
        yield "much longer", np.concatenate([array, np.zeros((1000, *array.shape[1:]), array.dtype)])
        yield "shorter", array[:-1].copy()
        yield "halved", array[: len(array) // 2].copy()
        yield "reversed", array[::-1].copy()
    if array.dtype.kind in "iuf" and array.size:
        for number in NUMBERS:
            new = _fitted(number, array.dtype)
            if new is None:
                continue
            for name, at in (("first", 0), ("last", -1), ("every", slice(None))):
                changed = array.copy()
                changed.reshape(-1)[at] = new
                if not np.array_equal(changed, array):
                    yield f"{name} = {number}", changed


def byte_mutations(data: bytes, random: np.random.Generator, flips: int, cuts: int) -> Iterator[tuple[str, bytes]]:
    """Bytes with some changed, or cut short."""
    for cut in [0, 1, len(data) - 1, *random.integers(0, len(data), cuts).tolist()]:
        yield f"cut at {cut}", data[:cut]
    for _ in range(flips):
        changed = bytearray(data)
        for at in random.integers(0, len(data), random.integers(1, 9)).tolist():
            changed[at] ^= 1 << int(random.integers(8))
        yield "flipped", bytes(changed)


class Tally:
    """What came of changed files: refused with one error of netml, or used with finite outputs; nothing else passes.

    Args:
        use: What a user does with the file, which is whole still; returns the numbers that come of it.
    """

    def __init__(self, use):
        self._use, self.counts = use, Counter()
        self.failures: list[str] = []
        assert all(np.isfinite(np.asarray(output, float)).all() for output in use()), "the whole file cannot be used"

    def try_one(self, name: str) -> None:
        try:
            with np.errstate(all="ignore"):
                outputs = self._use()
        except NetmlError as error:
            self.counts["refused"] += 1
            if "\n" in str(error) or len(str(error)) > 1500:
                self.failures.append(f"{name}: a message of many lines: {str(error)[:200]}")
            return
        except Exception as error:
            self.failures.append(f"{name}: {type(error).__name__}: {str(error)[:150]}")
            return
        self.counts["ran"] += 1
        if bad := [k for k, output in enumerate(outputs) if not np.isfinite(np.asarray(output, float)).all()]:
            self.failures.append(f"{name}: ran, and output {bad[0]} is not finite")

    def check(self, least: int) -> None:
        """Fail if anything else came of a file, or fewer than ``least`` were tried; else say how many."""
        tried = self.counts.total() + len(self.failures)
        print(f"{tried} changed files: {self.counts['refused']} refused, {self.counts['ran']} ran")
        assert not self.failures, f"{len(self.failures)} of {tried}:\n" + "\n".join(self.failures[:40])
        assert tried >= least, f"only {tried} changed files were tried"


def _places(value: Any, ends: int) -> Iterator[tuple]:
    yield ()
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        inside = range(len(value))
        items = [(k, value[k]) for k in sorted({*inside[:ends], *inside[-ends:]})]
    else:
        return
    for key, inner in items:
        yield from ((key, *path) for path in _places(inner, ends))


def _at(value: Any, path: tuple) -> Any:
    for key in path:
        value = value[key]
    return value


def _changed(value: Any, path: tuple, new: Any = None, remove: bool = False) -> Any:
    if not path:
        return new
    value = copy.deepcopy(value)
    holder = _at(value, path[:-1])
    if remove:
        del holder[path[-1]]
    else:
        holder[path[-1]] = new
    return value


def _cast(array: np.ndarray, dtype: str) -> np.ndarray:
    try:
        return array.astype(dtype)
    except (ValueError, TypeError):
        return np.zeros(array.shape, dtype)


def _fitted(number: float, dtype: np.dtype):
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.asarray(number, dtype)
    info = np.iinfo(dtype)
    return int(number) if math.isfinite(number) and info.min <= number <= info.max else None


def _with_column(array: np.ndarray, field: str, column: np.ndarray) -> np.ndarray:
    fields = [(name, column.dtype, column.shape[1:]) if name == field else (name, array.dtype[name])
              for name in array.dtype.names]  # fmt: skip
    changed = np.zeros(array.shape, fields)
    for name in array.dtype.names:
        changed[name] = column if name == field else array[name]
    return changed
