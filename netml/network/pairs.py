"""Which cells are connected: NetPyNE's rules as sampling of many pairs at once.

Every function yields blocks of pairs onto the given targets.  What a target gets depends on the seed, the sets of cells
and its own gid (in a divergence rule, on its sources'), never on the block, and no block is larger than
:data:`BLOCK` candidates or one row of them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from netml.network.draws import Draws, key, keys, uniform
from netml.network.expression import Expression
from netml.network.layout import AXES, POSITIONS, Layout

BLOCK = 1 << 16
DISTANCES = {
    "dist_3D": "xyz", "dist_2D": "xz", **{f"dist_{axis}": axis for axis in AXES},
}  # fmt: skip
POST = frozenset(f"post_{name}" for name in POSITIONS)
PRE = frozenset(f"pre_{name}" for name in POSITIONS)
VARIABLES = PRE | POST | {*DISTANCES, *(f"dist_{axis}norm" for axis in AXES), "dist_norm3D", "dist_norm2D"}


class Pairs(NamedTuple):
    """Connected pairs.

    Attributes:
        pre, post: (pairs) gids; in an expression over all candidates, a row and a column.
        entry: (pairs) place in the rule's connList; None in other rules.
        known: Variables of string functions that were computed already.
    """

    pre: np.ndarray
    post: np.ndarray
    entry: np.ndarray | None = None
    known: Mapping[str, np.ndarray] = {}

    def take(self, which) -> "Pairs":
        """Some of the pairs, by a mask or by their places."""
        which = np.flatnonzero(which) if which.dtype == bool else which  # faster than a mask for each array
        entry = None if self.entry is None else self.entry[which]
        return Pairs(self.pre[which], self.post[which], entry, {name: x[which] for name, x in self.known.items()})


def variable(layout: Layout, pairs: Pairs, name: str) -> np.ndarray:
    """What a name in a string function stands for, by NetPyNE's definitions.

    Those of dist_norm3D and dist_norm2D take the root of the signed differences in y and z: they are NaN, and no pair
    is made, where the source lies below the target.
    """
    if name in pairs.known:
        return pairs.known[name]
    side, _, rest = name.partition("_")
    if side in ("pre", "post"):
        return layout.position(rest, getattr(pairs, side))

    def difference(position):
        return layout.position(position, pairs.pre) - layout.position(position, pairs.post)

    if name in ("dist_norm3D", "dist_norm2D"):
        total = np.square(difference("xnorm")) + np.sqrt(difference("znorm"))
        return np.sqrt(total + np.sqrt(difference("ynorm")) if name == "dist_norm3D" else total)
    axes = DISTANCES.get(name)
    if axes is None or len(axes) == 1:
        return np.abs(difference(rest))
    total = 0.0
    for axis in axes:
        total = total + np.square(difference(axis))
    return np.sqrt(total)


def values(expression: Expression, layout: Layout, pairs: Pairs, draws: Draws | None) -> np.ndarray:
    """An expression's value for each pair, float64 (pairs)."""
    shape = np.broadcast_shapes(pairs.pre.shape, pairs.post.shape)
    found = expression(lambda name: variable(layout, pairs, name), draws)
    return np.broadcast_to(np.asarray(found, float), shape)


def blocks(items: np.ndarray, candidates: float) -> Iterator[np.ndarray]:
    """Items in parts that have so many candidates each."""
    size = max(1, int(BLOCK // max(candidates, 1)))
    for start in range(0, len(items), size):
        yield items[start : start + size]


def full(pre: np.ndarray, post: np.ndarray) -> Iterator[Pairs]:
    """Every source to every target."""
    for targets in blocks(post, len(pre)):
        yield Pairs(np.tile(pre, len(targets)), np.repeat(targets, len(pre)))


def geometric(
    total: int, post: np.ndarray, probability: float, base: np.uint64
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of so many sources each with one probability, for targets a block at a time: the gaps between them are geometric.

    Yields targets, and (targets, columns) places of their sources, of which those below the total count.
    """
    if probability <= 0 or not total:
        return
    mean = total * min(probability, 1.0)
    spread = int(4 * np.sqrt(mean) + 4)
    # Dividing by log(0) = -inf, a probability of 1 leaves no gap.
    scale = np.log1p(-probability) if probability < 1 else -np.inf
    for targets in blocks(post, mean + spread):
        draws = Draws(keys(base, targets))
        last, parts = np.full(len(targets), -1.0), []
        columns = int(mean) + spread
        while last.min() < total:
            gaps = np.log(draws.matrix(columns))
            gaps /= scale
            np.floor(gaps, out=gaps)
            gaps += 1
            gaps[:, 0] += last
            at = np.cumsum(gaps, axis=1, out=gaps)
            last, columns = at[:, -1], spread
            parts.append(at)
        yield targets, parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def with_probability(pre: np.ndarray, post: np.ndarray, probability: float, base: np.uint64) -> Iterator[Pairs]:
    """Each pair with one probability."""
    for targets, at in geometric(len(pre), post, probability, base):
        inside = at < len(pre)
        yield Pairs(pre[at[inside].astype(np.int64)], np.repeat(targets, inside.sum(axis=1)))


def convergent(
    pre: np.ndarray, post: np.ndarray, number: Callable[[np.ndarray], np.ndarray], base: np.uint64
) -> Iterator[Pairs]:
    """So many different sources to each target; `number` gives it by the targets' gids."""
    for targets, count in _evenly(post, number, len(pre)):
        row, sources = _choose(pre, targets, count, base)
        yield Pairs(sources, targets[row])


def divergent(
    pre: np.ndarray,
    every_post: np.ndarray,
    number: Callable[[np.ndarray], np.ndarray],
    base: np.uint64,
    here: np.ndarray,
) -> Iterator[Pairs]:
    """From each source to so many different targets, of which those on this rank are kept.

    Args:
        pre: (sources) gids.
        every_post: (targets) gids on all ranks, ascending.
        number: Gives the number of targets by the sources' gids.
        base: Key of the rule's choice; see :func:`set_key`.
        here: (gids) whether a gid lives on this rank.
    """
    for sources, count in _evenly(pre, number, len(every_post)):
        row, targets = _choose(every_post, sources, count, base)
        kept = here[targets]
        yield Pairs(sources[row[kept]], targets[kept])


def _evenly(
    cells: np.ndarray, number: Callable[[np.ndarray], np.ndarray], pool: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cells and their numbers of partners out of a pool, in parts whose candidates are no more than a block."""
    count = number(cells)
    candidates = np.clip(np.where(2 * count > pool, pool, 2 * count), 1, None)
    start = 0
    while start < len(cells):
        size = min(BLOCK, len(cells) - start)
        while size > 1 and (fit := int(BLOCK // candidates[start : start + size].max())) < size:
            size = max(fit, 1)
        yield cells[start : start + size], count[start : start + size]
        start += size


def _choose(pool: np.ndarray, cells: np.ndarray, number: np.ndarray, base: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """Different members of a pool for each cell, itself left out: rows (cells) and members, row by row.

    As in NetPyNE, at most all but one of the pool are chosen.
    """
    at = np.searchsorted(pool, cells)
    inside = (at < len(pool)) & (pool[np.minimum(at, len(pool) - 1)] == cells)
    count = np.clip(np.rint(number), 0, len(pool) - 1).astype(np.int64)
    row, chosen = distinct(keys(base, cells), count, len(pool) - inside)
    chosen += inside[row] & (chosen >= at[row])
    return row, pool[chosen]


def distinct(own: np.ndarray, count: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row by row, `count` different numbers below `total`, every set as likely as the next: rows and numbers.

    Numbers are drawn until enough are different; of more than half of the total, those left out are drawn instead.

    Args:
        own: (rows) key of each row.
        count: (rows), at most total.
        total: (rows).
    """
    dense = 2 * count > total
    drawn = np.where(dense, total - count, count)
    columns, outside = int(drawn.max(initial=0)), int(total.max(initial=0))
    slot = np.arange(columns, dtype=np.int32)
    found = np.floor(uniform(own[:, None], slot.astype(np.uint64)) * total[:, None]).astype(np.int32)
    spare = slot >= drawn[:, None]
    found[spare] = (outside + np.broadcast_to(slot, found.shape))[spare]
    open_rows, attempt = np.arange(len(own)), 0
    while len(open_rows) and columns:
        part = np.sort(found[open_rows], axis=1)
        again = np.zeros(part.shape, bool)
        again[:, 1:] = part[:, 1:] == part[:, :-1]
        row, at = np.nonzero(again)
        attempt += 1
        fresh = uniform(own[open_rows[row]], at.astype(np.uint64) + np.uint64(attempt << 32))
        part[row, at] = np.floor(fresh * total[open_rows[row]]).astype(np.int32)
        found[open_rows] = part
        open_rows = open_rows[again.any(axis=1)]
    valid = found < total[:, None]
    if not dense.any():
        return np.repeat(np.arange(len(own)), count), found[valid]
    chosen = np.arange(outside) < total[:, None]
    chosen[~dense] = False
    rows, at = np.nonzero(valid)
    chosen[rows, found[rows, at]] = ~dense[rows]
    row, number = np.nonzero(chosen)
    return row, number


def set_key(seed: int, kind: str, *sets: np.ndarray) -> np.uint64:
    """Key of a rule's choice of pairs: as in NetPyNE, rules of the same cells and the same numbers choose the same."""
    return key("pairs", int(seed), kind, *sets)
