"""A cell's segments as a smaller tree of compartments, with the physics that geometry gives."""

from dataclasses import dataclass

import numpy as np

from netml.circuit.cell import SegmentTable
from netml.reductions.branches import electrotonic_distance, group_segments, path_lengths

AXIAL_OHM_CM = 100.0  # of the axial resistance from which couplings start


@dataclass(frozen=True)
class Tree:
    """Compartments, each before its children; the soma is the first.

    Attributes:
        group: (segments) compartment of each segment.
        parent: (compartments) int; 0 at the root, which has none.
        area_um2: (compartments) membrane.
        path_um: (compartments) distance of its centre from the soma.
        axial_us: (compartments) conductance to the parent, from centre to centre; 0 at the root.
    """

    group: np.ndarray
    parent: np.ndarray
    area_um2: np.ndarray
    path_um: np.ndarray
    axial_us: np.ndarray

    def __len__(self) -> int:
        return self.parent.size

    def spread(self, count: int, among=()) -> np.ndarray:
        """``count`` compartments (or all, if fewer) that lie far from each other electrically; the soma and ``among``
        are always of them."""
        near = 1 / np.maximum(self.axial_us, 1e-9)
        distance = np.zeros((len(self), len(self)))
        for b in range(1, len(self)):
            distance[b, :b] = distance[:b, b] = distance[self.parent[b], :b] + near[b]
        chosen = list(dict.fromkeys([0, *(int(b) for b in among)]))
        while len(chosen) < min(count, len(self)):
            far = distance[chosen].min(axis=0) * np.sqrt(self.area_um2)
            far[chosen] = -1
            chosen.append(int(np.argmax(far)))
        return np.sort(np.asarray(chosen))


def reduce_tree(segments: SegmentTable, compartments: int, *, sites=(), focus: float = 1.0) -> Tree:
    """Group segments into compartments, the root segment (the soma) alone.

    Args:
        segments: Of the cell.
        compartments: How many.
        sites: Segments of recorded sites.
        focus: How many segments one that lies nearer (electrotonically) to a site than to the soma counts for: the
            more, the finer the compartments there.

    Raises:
        TrainingError: compartments is not positive.
    """
    root = int(np.flatnonzero(segments.parent < 0)[0])
    apart = electrotonic_distance(segments)
    near = apart[[s for s in sites if s != root]].min(axis=0, initial=np.inf) < apart[root]
    weight = np.where(near, focus, 1.0)
    many = len(segments) > 1
    label = group_segments(segments, max(compartments - 1, 1), used=weight) + 1 if many else np.zeros(1, int)
    label[root] = 0
    depth = path_lengths(segments.parent, np.full(len(segments), 0.5))[root]
    labels = np.unique(label)
    top = {g: members[np.argmin(depth[members])] for g in labels if (members := np.flatnonzero(label == g)).size}
    order = sorted(top, key=lambda g: depth[top[g]])  # a parent's top lies nearer to the root than its child's
    index = {g: i for i, g in enumerate(order)}
    group = np.array([index[g] for g in label])
    parent = np.array([0] + [group[segments.parent[top[g]]] for g in order[1:]])

    area = np.pi * segments.diam_um * segments.length_um
    cross_um2 = 0.25 * np.pi * np.maximum(segments.diam_um, 1e-3) ** 2
    half_mohm = 0.5 * 0.01 * AXIAL_OHM_CM * segments.length_um / cross_um2
    resistance = path_lengths(segments.parent, half_mohm)
    centre = []
    for i in range(len(order)):
        inside = np.flatnonzero(group == i)
        centre.append(inside[np.argmin(apart[np.ix_(inside, inside)] @ area[inside])])
    axial = np.array([0.0] + [1 / max(resistance[centre[i], centre[parent[i]]], 1e-3) for i in range(1, len(order))])
    return Tree(group, parent, np.bincount(group, area), segments.path_um[centre], axial)
