"""Synapse types that act alike share the inputs of a reduction, and nothing else does."""

import numpy as np
import surrogate

from netml.circuit.synapses import alike
from netml.records import CellInfo
from netml.training.config import TrainConfig
from netml.training.learner import Learner

FAST = {"tau_d_ampa": 2.0, "e": 0.0}
PLASTIC = {"mod": "netml_ampa_nmda_stp", **FAST, "U": 0.3, "tau_rec": 100.0, "tau_facil": 10.0}
TYPES = {
    "E": PLASTIC,
    "I": {"mod": "netml_gabaa", "e": -80.0},
    "E other U": PLASTIC | {"U": 0.9},
    "E outside": {"mod": "netml_ampa_nmda", **FAST},
    "E slower": {"mod": "netml_ampa_nmda", **FAST, "tau_d_ampa": 3.0},
    "E of another mechanism": {"mod": "theirs", **FAST},
    "theirs, with a U": {"mod": "theirs", **FAST, "U": 0.3},
}


def test_types_are_alike_but_for_their_short_term_plasticity():
    assert alike(list(TYPES), TYPES) == [0, 1, 0, 0, 4, 5, 6]
    assert alike(["A", "B"], {}) == [0, 1]  # records of elsewhere hold no parameters


def test_types_that_are_alike_share_inputs_but_not_gains():
    labels = ("E", "I", "E outside")
    cell = CellInfo("C", "a" * 64, labels, surrogate.CELL.segments, TYPES)
    for kind in ("cable", "leaky_memory"):
        learner = Learner(cell, TrainConfig.of(reduction=kind), np.ones(cell.synapse_sites))
        of_segment = learner.channel_input.reshape(-1, 3)
        np.testing.assert_array_equal(of_segment[:, 0], of_segment[:, 2])
        assert len(np.unique(of_segment)) == learner.model.inputs == 2 * len(of_segment)
        assert learner.log_gain.numel() == cell.synapse_sites
