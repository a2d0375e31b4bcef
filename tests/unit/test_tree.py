"""The reduced tree of a cell: which segments share a compartment."""

import numpy as np
import pytest

from netml.circuit.cell import SegmentTable
from netml.reductions.tree import reduce_tree

LENGTH = 30  # segments of each dendrite
SOMA, TIP = 0, LENGTH  # the tip of the left dendrite


def two_dendrites() -> SegmentTable:
    """A soma between two dendrites that are alike."""
    x = (np.arange(LENGTH) + 0.5) / LENGTH
    parent = np.concatenate([[-1, 0], np.arange(1, LENGTH), [0], np.arange(1 + LENGTH, 2 * LENGTH)])
    return SegmentTable(
        (("soma", 1), ("left", LENGTH), ("right", LENGTH)), np.concatenate([[0.5], x, x]), parent,
        np.concatenate([[0.0], 600 * x, 600 * x]), np.full(1 + 2 * LENGTH, 20.0), np.full(1 + 2 * LENGTH, 1.0),
    )  # fmt: skip


def far_halves(tree) -> np.ndarray:
    """Compartments in the far half of the left and of the right dendrite."""
    far = np.arange(LENGTH // 2, LENGTH)
    return np.array([np.unique(tree.group[first + far]).size for first in (1, 1 + LENGTH)])


def test_compartments_are_finer_where_a_site_is_near():
    cell = two_dendrites()
    plain = far_halves(reduce_tree(cell, 25))
    assert abs(np.subtract(*plain)) <= 1
    assert np.array_equal(far_halves(reduce_tree(cell, 25, sites=[SOMA], focus=5.0)), plain)
    left, right = far_halves(reduce_tree(cell, 25, sites=[TIP], focus=5.0))
    assert left >= right + 3


@pytest.mark.parametrize("focus", [1.0, 5.0])
def test_a_compartment_follows_its_parent_and_all_membrane_is_kept(focus):
    cell = two_dendrites()
    tree = reduce_tree(cell, 15, sites=[TIP], focus=focus)
    assert (tree.parent[1:] < np.arange(1, len(tree))).all() and np.flatnonzero(tree.group == 0).tolist() == [SOMA]
    assert tree.area_um2.sum() == pytest.approx((np.pi * cell.diam_um * cell.length_um).sum())
