"""Group the segments of a cell into branches: neighbourhoods that share an input of the reduction.

Synapses close to each other on the dendrite see the same local voltage, so their events may be summed; what is close
is counted in electrotonic length (Rall 1959, Exp. Neurol.: the length constant of a cable grows with the square root
of its diameter).
"""

import numpy as np

from netml.circuit.cell import SegmentTable
from netml.errors import TrainingError


def electrotonic_distance(segments: SegmentTable) -> np.ndarray:
    """(segments, segments) distance along the tree in um / sqrt(um), up to the constant sqrt(4 Ri / Rm)."""
    return path_lengths(segments.parent, 0.5 * segments.length_um / np.sqrt(np.maximum(segments.diam_um, 1e-3)))


def path_lengths(parent: np.ndarray, half: np.ndarray) -> np.ndarray:
    """(segments, segments) length of the path between the centres of any two, from the half length of each."""
    distance = np.zeros((parent.size, parent.size))
    done: list[int] = []
    for k in _root_first(parent):
        if parent[k] >= 0:
            distance[k, done] = distance[done, k] = distance[parent[k], done] + half[parent[k]] + half[k]
        done.append(k)
    return distance


def group_segments(
    segments: SegmentTable, branches: int, *, used: np.ndarray | None = None, rounds: int = 50
) -> np.ndarray:
    """Branch of every segment: k-medoids on the electrotonic distance, deterministic.

    Args:
        segments: Of the cell.
        branches: How many; fewer come back if the cell has fewer segments.
        used: (segments) weight of each segment, e.g. its number of events; without it, 1.
        rounds: At most so many improvements.

    Returns:
        (segments) int64, 0 .. branches - 1.

    Raises:
        TrainingError: branches is not positive.
    """
    if branches < 1:
        raise TrainingError(f"branches is {branches}; expected at least 1")
    distance = electrotonic_distance(segments)
    weight = np.ones(len(segments)) if used is None else np.asarray(used, float) + 1e-9
    medoids = [int(np.argmin(distance @ weight))]
    nearest = distance[medoids[0]].copy()
    while len(medoids) < min(branches, len(segments)):  # the next one where most events lie far from any
        gain = np.maximum(nearest - distance, 0.0) @ weight
        gain[medoids] = -1.0
        medoids.append(int(np.argmax(gain)))
        nearest = np.minimum(nearest, distance[medoids[-1]])
    for _ in range(rounds):
        group = np.argmin(distance[:, medoids], axis=1)
        moved = []
        for g in range(len(medoids)):
            inside = np.flatnonzero(group == g)
            cost = distance[np.ix_(inside, inside)] @ weight[inside]
            moved.append(int(inside[np.argmin(cost)]) if inside.size else medoids[g])
        if moved == medoids:
            break
        medoids = moved
    order = np.argsort(np.argsort(medoids))  # branches are numbered in the order of the segments
    return order[np.argmin(distance[:, medoids], axis=1)]


def synapse_site_inputs(branch: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """(segments * synapse types) int32: input of each synapse site; inputs = branches * kinds.

    Args:
        branch: (segments) branch of each segment.
        kind: (synapse types) int, from 0 on: those of one kind share an input.
    """
    return (branch[:, None] * (kind.max() + 1) + kind).ravel().astype(np.int32)


def _root_first(parent: np.ndarray) -> list[int]:
    depth = np.zeros(parent.size, int)
    for k in range(parent.size):
        at = k
        while parent[at] >= 0:
            at = parent[at]
            depth[k] += 1
    return np.argsort(depth, kind="stable").tolist()
