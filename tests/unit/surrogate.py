"""A reduction with random weights, of a cell of four segments: what other tests run, score and damage."""

import numpy as np

from netml import keys
from netml.artifact import Artifact
from netml.circuit.cell import segment_table
from netml.records import CellInfo
from netml.reductions import kernel

SPEC = {
    "secs": {
        "soma": {"geom": {"L": 20, "diam": 20, "nseg": 1}, "topol": {}},
        "dend": {
            "geom": {"L": 90, "diam": 2, "nseg": 3},
            "topol": {"parentSec": "soma", "parentX": 1.0, "childX": 0.0},
        },
    }
}
CELL = CellInfo("PYR", "a" * 64, ("E", "I"), segment_table(SPEC), probes={"soma": ("soma", 0.5)}, dt_ms=0.05)
DIMS = kernel.Dims(inputs=4, traces=4, feedback=2, memory=6, hidden=8)


def make_artifact(**header):
    random = np.random.default_rng(0)
    arrays = {name: random.normal(0, 0.4, shape) for name, shape in kernel.parameter_shapes(DIMS).items()}
    arrays["trace_decay"] = np.array([0.7, 0.95, 0.7, 0.95])
    arrays["feedback_decay"] = np.array([0.6, 0.9])
    arrays["memory_decay"] = np.linspace(0.5, 0.98, DIMS.memory)
    arrays["memory_drive"] = 1 - arrays["memory_decay"]
    arrays["v_b"], arrays["v_w"] = np.array([-68.0]), 2 * arrays["v_w"]
    return Artifact(
        {
            "format": keys.ARTIFACT_FORMAT, "version": keys.ARTIFACT_VERSION, "reduction": "leaky_memory",
            "cell": {"label": "PYR", "fingerprint": "a" * 64}, "synapses": ["E", "I"],
            "sections": [["soma", 1], ["dend", 3]],
            "dims": DIMS._asdict(), "dt_r_ms": 1.0, "threshold": 2.0, "weight_range_us": {}, "v_clip_mv": -55.0,
            "provenance": {"dt_ms": 0.05}, "scores": {},
        } | header,
        {
            "params": kernel.pack(DIMS, arrays), "wiring": np.array([0, 0, 1, 3], np.int32),
            "channel_input": np.arange(8, dtype=np.int32) % 4, "channel_gain": np.full(8, 1000, np.float32),
            "channel_seen": np.ones(8, np.int64),
        },
    )  # fmt: skip


def calibrated_threshold(artifact):
    """A threshold that some per cent of the bins of a busy trial exceed."""
    random = np.random.default_rng(9)
    x = random.poisson(0.2, (2000, DIMS.inputs, 1)).astype(np.float32)
    logit, _, _ = kernel.load().free_run(kernel.Reduction.of(artifact), x)
    return float(np.quantile(logit, 0.97))
