"""NEURON's Random123 streams in NumPy, to the bit, so that cells stand where NetPyNE puts them, without NEURON.

The generator is Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011, doi:10.1145/2063384.2063405). A stream with three ids
has the counter (block, id3, id1, id2) and the key (0, 0); each block gives four numbers.
"""

import numpy as np

from netml.errors import ModelError

_MULTIPLY = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
_BUMP = (0x9E3779B9, 0xBB67AE85)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROUNDS = 10


def uniform(count: int, id1: int, id2: int, id3: int) -> np.ndarray:
    """(count) float64 in (0, 1): what NEURON's Random gives after ``Random123(id1, id2, id3)`` and ``uniform(0, 1)``.

    That second call chooses the distribution and takes the first number of the stream for itself.

    Args:
        count: How many.
        id1: First id of the stream.
        id2: Second.
        id3: Third.

    Raises:
        ModelError: An id that is no number of 32 bits; NEURON refuses it too.

    Example:
        >>> uniform(2, 1, 2, 3).shape
        (2,)
    """
    if bad := [number for number in (id1, id2, id3) if not 0 <= number <= 0xFFFFFFFF]:
        raise ModelError(f"a stream of random numbers has the id (seed, gid or count) {bad[0]}; expected 0 to 2^32 - 1")
    blocks = np.arange(-(-(count + 1) // 4), dtype=np.uint64)
    c0, c1, c2, c3 = (np.full_like(blocks, int(word)) for word in (0, id3, id1, id2))
    c0 = blocks & _LOW
    key = [0, 0]
    for _ in range(_ROUNDS):
        first, second = c0 * _MULTIPLY[0], c2 * _MULTIPLY[1]
        c0, c1, c2, c3 = (
            (second >> _HALF) ^ c1 ^ np.uint64(key[0]), second & _LOW,
            (first >> _HALF) ^ c3 ^ np.uint64(key[1]), first & _LOW,
        )  # fmt: skip
        key = [(word + bump) & 0xFFFFFFFF for word, bump in zip(key, _BUMP, strict=True)]
    words = np.stack([c0, c1, c2, c3], axis=1).ravel()[1 : count + 1]
    return (words.astype(float) + 1.0) * (1.0 / 4294967297.0)
