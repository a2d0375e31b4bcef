"""Random numbers that depend on what they are for, and on nothing else.

A number is a hash of a key (the seed and the purpose) and of counters (a cell's gid, a pair's gids, the number of the
draw): no order of work, block size or number of ranks changes it.  The hash is the finaliser of SplitMix64 (Steele, Lea
& Flood 2014, doi:10.1145/2660193.2660195, constants of Stafford's variant 13), vectorised; distributions are the
inverses of their cumulative distribution functions, so that one draw takes one number.
"""

import hashlib
from collections.abc import Callable

import numpy as np
from scipy import special

from netml.errors import ModelError

_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd: counters walk through all 2^64 states
_TURN = np.uint64(0xD1342543DE82EF95)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = (np.uint64(n) for n in (30, 27, 31, 11))


def key(*parts) -> np.uint64:
    """A key from numbers, strings and arrays of integers."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
        digest.update(b"\0")
    return np.uint64(int.from_bytes(digest.digest(), "little"))


def mix(state: np.ndarray) -> np.ndarray:
    """Hash 64-bit states, in place."""
    state ^= state >> _30
    state *= _FIRST
    state ^= state >> _27
    state *= _SECOND
    state ^= state >> _31
    return state


def keys(base: np.uint64 | np.ndarray, counters: np.ndarray) -> np.ndarray:
    """A key for each counter."""
    return mix(np.asarray(counters).astype(np.uint64) * _STEP + base)


def pair_keys(base: np.uint64, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A key for each pair of counters; arrays are broadcast."""
    return mix(np.asarray(first).astype(np.uint64) * _STEP + (np.asarray(second).astype(np.uint64) * _TURN + base))


def uniform(keys: np.ndarray, counters) -> np.ndarray:
    """Uniform numbers in (0, 1), float64, of keys and counters, broadcast."""
    state = mix(np.asarray(counters).astype(np.uint64) * _STEP + keys)
    state >>= _11
    out = state.astype(np.float64)
    out += 0.5
    out *= 2.0**-53
    return out


class Draws:
    """Successive random numbers of many elements at once.

    Args:
        keys: (elements) of :func:`keys` or :func:`pair_keys`.
    """

    def __init__(self, keys: np.ndarray):
        self.keys, self._drawn = keys, 0

    def __len__(self) -> int:
        return len(self.keys)

    def next(self) -> np.ndarray:
        """(elements) uniform in (0, 1)."""
        self._drawn += 1
        return uniform(self.keys, np.uint64(self._drawn))

    def matrix(self, columns: int) -> np.ndarray:
        """(elements, columns) uniform in (0, 1)."""
        counters = np.arange(self._drawn + 1, self._drawn + columns + 1, dtype=np.uint64)
        self._drawn += columns
        return uniform(self.keys[:, None], counters)


# Distributions by the names and arguments of NEURON's Random.


def _lognormal(u, mean, variance):
    spread = np.log1p(variance / np.square(mean))
    return np.exp(np.log(mean) - spread / 2 + np.sqrt(spread) * special.ndtri(u))


def _discunif(u, low, high):
    return np.floor(low + u * (high - low + 1))


def _erlang(u, mean, variance):
    shape = np.maximum(np.rint(np.square(mean) / variance), 1)
    return special.gammaincinv(shape, u) * mean / shape


def _poisson(u, mean):
    """The smallest k with CDF(k) >= u, from SciPy's continuous inverse."""
    k = np.ceil(special.pdtrik(u, mean))
    below = np.maximum(k - 1, 0)
    return np.where(special.pdtr(below, mean) >= u, below, np.maximum(k, 0))


def _binomial(u, n, p):
    n = np.rint(n).astype(np.int64)
    k = np.ceil(special.bdtrik(u, n, p))
    below = np.maximum(k - 1, 0)
    return np.clip(np.where(special.bdtr(below, n, p) >= u, below, k), 0, n)


DISTRIBUTIONS: dict[str, tuple[int, Callable]] = {
    "uniform": (2, lambda u, low, high: low + u * (high - low)),
    "normal": (2, lambda u, mean, variance: mean + np.sqrt(variance) * special.ndtri(u)),
    "lognormal": (2, _lognormal),
    "negexp": (1, lambda u, mean: -mean * np.log(u)),
    "discunif": (2, _discunif),
    "poisson": (1, _poisson),
    "binomial": (2, _binomial),
    "erlang": (2, _erlang),
    "weibull": (2, lambda u, alpha, beta: (-beta * np.log(u)) ** (1 / alpha)),
}


def draw(name: str, arguments: list, draws: Draws) -> np.ndarray:
    """A random number of each element.

    Raises:
        ModelError: Wrong number of arguments.
    """
    count, inverse = DISTRIBUTIONS[name]
    if len(arguments) != count:
        raise ModelError(f"{name}() has {len(arguments)} arguments; NEURON's Random.{name} takes {count}")
    return inverse(draws.next(), *arguments)
