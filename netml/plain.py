"""NumPy's numbers are Python's: one notion of number, and of what goes into JSON, wherever a user can give one."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")


def plain(value: Any) -> Any:
    """The value with Python's numbers for NumPy's, in mappings, lists and tuples too; arrays with axes stay arrays.

    Args:
        value: Anything; what is neither a number nor holds some is given back itself.

    Example:
        >>> plain({"seed": np.int64(3), "tau": [np.float32(0.5)]})
        {'seed': 3, 'tau': [0.5]}
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    if type(value) is dict:
        return {plain(key): plain(one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value


def make_plain(value: Any) -> Any:
    """As :func:`plain`, in place where a mapping or list is another class than Python's own, as NetPyNE's are."""
    if isinstance(value, dict):
        for key, one in list(value.items()):
            value[key] = make_plain(one)
        return value
    if isinstance(value, list):
        value[:] = map(make_plain, value)
        return value
    return tuple(map(make_plain, value)) if type(value) is tuple else plain(value)


def is_number(value: Any) -> bool:
    """Whether it is a real number, of Python or NumPy; True and False are none."""
    value = plain(value)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def plain_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a public call: it gets Python's numbers for NumPy's, and lists for its arrays.

    Example:
        >>> @plain_arguments
        ... def call(seed):
        ...     return type(seed).__name__
        >>> call(np.int64(1))
        'int'
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*map(_argument, args), **{name: _argument(value) for name, value in kwargs.items()})  # type: ignore[arg-type]

    return call


def _argument(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else plain(value)


def to_json(value: Any, **options: Any) -> str:
    """JSON of plain data: NumPy's numbers and arrays, mappings and paths as what they stand for.

    Args:
        value: What is written.
        options: Of :func:`json.dumps`.

    Raises:
        TypeError: It holds something else.

    Example:
        >>> to_json({"gids": np.arange(2), "dt": np.float64(0.05)})
        '{"gids": [0, 1], "dt": 0.05}'
    """
    return json.dumps(value, default=_encoded, **options)


def _encoded(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a {type(value).__name__} is no plain data: {value!r:.60}")
