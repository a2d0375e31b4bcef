"""Pairs of which each has a probability of its own, without a look at most of those that are not connected.

Sources are put into boxes of neighbours, and a rule's function is bounded for each target and box (``bounds.py``).  A
uniform number in (0, 1) belongs to each pair, to base 256: its first digit, of which a hash gives eight, says whether
it can lie below the bound; only for such pairs is the function evaluated, and the rest of the number drawn where the
first digit does not decide.  A pair is connected if the function exceeds its number: boxes and bounds change what this
costs, never who is connected to whom.
"""

from collections.abc import Callable, Iterator

import numpy as np

from netml.network.bounds import EVERYTHING, Interval
from netml.network.draws import Draws, keys, pair_keys, uniform
from netml.network.expression import Expression
from netml.network.layout import Layout
from netml.network.pairs import BLOCK, DISTANCES, Pairs, blocks, geometric, values, variable

BOX = 128  # sources at most
#: Below it, drawing with the bound of all, gap by gap, costs less than a first digit for each pair.
RARE = 1 / 32
Span = Callable[[str], Interval]


def with_probabilities(
    pre: np.ndarray, post: np.ndarray, probability: Expression, layout: Layout, base: np.uint64, most: float
) -> Iterator[Pairs]:
    """Each pair with a probability of its own, of which none exceeds `most`; the same on every rank."""
    if most < RARE:
        return _rare(pre, post, probability, layout, base, most)
    return _boxed(pre, post, probability, layout, base)


def highest(probability: Expression, pre: Span, post: Span) -> np.ndarray:
    """What a probability does not exceed, 0 to 1, for each pair of boxes."""
    return np.clip(probability.bounds(lambda name: reach(pre, post, name))[1], 0.0, 1.0)


def span(layout: Layout, cells: np.ndarray) -> Span:
    """Between which values a position lies, of sets of cells along the last axis."""

    def of(position: str) -> Interval:
        found = layout.position(position, cells)
        return found.min(axis=-1), found.max(axis=-1)

    return of


def reach(pre: Span, post: Span, name: str) -> Interval:
    """Between which values a variable of a string function lies."""

    def apart(position: str) -> Interval:
        """The least and the largest distance along an axis."""
        (low, high), (other_low, other_high) = pre(position), post(position)
        gap = np.maximum(low - other_high, other_low - high)
        return np.maximum(gap, 0.0), np.maximum(high - other_low, other_high - low)

    side, _, rest = name.partition("_")
    if side in ("pre", "post"):
        return (pre if side == "pre" else post)(rest)
    if name in ("dist_norm3D", "dist_norm2D"):
        return EVERYTHING
    axes = [apart(axis) for axis in DISTANCES.get(name, [rest])]
    low, high = (np.sqrt(sum(axis[side] ** 2 for axis in axes)) for side in (0, 1))
    return low * (1 - 1e-12), high * (1 + 1e-12)  # the sum of another order


def neighbours(layout: Layout, cells: np.ndarray) -> np.ndarray:
    """(boxes, size) cells, a box in a row: halved along the longest side until a box has at most BOX.

    The last box is filled up with its last cell.
    """
    halvings = max(int(np.ceil(np.log2(len(cells) / BOX))), 0)
    size = -(-len(cells) // (8 << halvings)) * 8  # whole hashes
    um = np.pad(layout.um[:, cells], ((0, 0), (0, (size << halvings) - len(cells))), constant_values=np.inf)
    sides = np.ptp(um[:, : len(cells)], axis=1)
    order: np.ndarray = np.arange(size << halvings)
    for done in range(halvings):
        axis = int(np.argmax(sides))
        sides[axis] /= 2
        order = order.reshape(1 << done, -1)
        order = np.take_along_axis(order, np.argsort(um[axis][order], axis=1, kind="stable"), axis=1)
    order = np.sort(order.reshape(-1, size)).ravel()[: -(-len(cells) // size) * size]  # what is filled up stands last
    order[len(cells) :] = order[len(cells) - 1]
    return cells[order].reshape(-1, size)


def _boxed(pre, post, probability, layout, base) -> Iterator[Pairs]:
    """By boxes; no block holds more than BLOCK pairs to be looked at, or a box of them, on average."""
    boxes = neighbours(layout, pre)
    (number, size), sources, around = boxes.shape, boxes.ravel(), span(layout, boxes)
    shared = [name for name in probability.names if name.startswith("dist")]  # delays often depend on them
    counters = np.arange(boxes.size // 8).reshape(number, -1)
    for targets in blocks(post, number):
        bound = highest(probability, around, span(layout, targets[:, None, None]))
        digits = np.ceil(np.broadcast_to(bound, (len(targets), number)) * 256).ravel()
        near = np.flatnonzero(digits)
        row, box = np.divmod(near, number)
        last = (digits[near] - 1).astype(np.uint8)
        first_key, other_key = keys(base, targets), keys(~base, targets)
        # A pair costs a thirtieth of one that is looked at.
        work = np.cumsum((last + 9.0) * (size / 256)) // BLOCK
        for part in np.split(np.arange(len(near)), np.flatnonzero(np.diff(work)) + 1):
            mine = row[part]
            digit = keys(first_key[mine][:, None], counters[box[part]]).view(np.uint8)
            at = np.flatnonzero(digit <= last[part][:, None])
            which = at // size
            place = at + ((box[part] - np.arange(len(part))) * size)[which]
            found = Pairs(sources[place], targets[mine][which])
            found = found._replace(known={name: variable(layout, found, name) for name in shared})
            draws = Draws(pair_keys(base, found.post, found.pre)) if probability.random else None
            chance = values(probability, layout, found, draws) * 256
            chance -= digit.ravel()[at]
            rest = np.zeros(len(at))
            undecided = np.flatnonzero((chance > 0) & (chance < 1))
            rest[undecided] = uniform(other_key[mine[which[undecided]]], place[undecided])
            yield found.take((chance > rest) & (place < len(pre)))


def _rare(pre, post, probability, layout, base, most) -> Iterator[Pairs]:
    """Pairs drawn with the bound of all are kept with the rest of their probability."""
    for targets, at in geometric(len(pre), post, most, base):
        inside = at < len(pre)
        found = Pairs(pre[at[inside].astype(np.int64)], np.repeat(targets, inside.sum(axis=1)))
        draws = Draws(pair_keys(base, found.post, found.pre)) if probability.random else None
        least = uniform(keys(~base, targets)[:, None], np.arange(at.shape[1]))[inside] * most
        yield found.take(values(probability, layout, found, draws) > least)
