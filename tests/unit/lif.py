"""A leaky integrate-and-fire cell with three dendritic segments: records to learn from in a second."""

import numpy as np

from netml.circuit.cell import SegmentTable
from netml.records import CellInfo, RecordWriter, Trial, write_index

SYNAPSES = ("AMPA", "GABAA")


def cell() -> CellInfo:
    segments = SegmentTable(
        sections=(("soma", 1), ("dend", 3)),
        x=np.array([0.5, 1 / 6, 0.5, 5 / 6]), parent=np.array([-1, 0, 1, 2]),
        path_um=np.array([0.0, 60, 160, 260]), length_um=np.array([20.0, 100, 100, 100]),
        diam_um=np.array([20.0, 2, 2, 2]),
    )  # fmt: skip
    return CellInfo("LIF", "lif-of-the-tests", SYNAPSES, segments, probes={"soma": ("soma", 0.5)}, dt_ms=0.1)


MEGOHM, TAU_MS, REFRACTORY_MS = 50.0, 15.0, 3.0
RHEOBASE_NA = 15.0 / MEGOHM


def rate_hz(current_na):
    """The f-I curve of the cell in closed form."""
    beyond = np.maximum(MEGOHM * np.asarray(current_na, float) - 15.0, 0.0)
    with np.errstate(divide="ignore"):
        return 1000.0 / (REFRACTORY_MS + TAU_MS * np.log1p(15.0 / beyond))


def trial(seed: int, duration: int = 1000, rate: float = 1.0, strength: float = 1.0, current=None) -> Trial:
    """Poisson input on all segments; exponential synapses of 3 and 8 ms, membrane of 15 ms, threshold at -50 mV.

    Args:
        seed: Of the input.
        duration: ms.
        rate: Factor of the input's rate.
        strength: Factor of the synapses' strength.
        current: Into the soma, times (ms) and currents (nA) from then on.
    """
    random = np.random.default_rng(seed)
    events = random.poisson(0.5 * rate * duration)
    time = np.sort(random.uniform(0, duration, events))
    synapse_site = random.integers(0, 8, events)
    weight = random.lognormal(-7, 0.3, events)
    distance = np.array([1.0, 0.9, 0.7, 0.5])
    dt, v, refractory = 0.1, -65.0, 0.0
    kick = np.zeros((int(duration / dt) + 1, 2))
    np.add.at(kick, ((time / dt).astype(int), synapse_site % 2), strength * weight * 1e3 * distance[synapse_site // 2])
    changes, injected = (np.empty(0), np.empty(0)) if current is None else current
    drive = MEGOHM * np.append(0.0, injected)[np.searchsorted(changes, np.arange(len(kick)) * dt + 1e-9)]
    g, voltage, spikes = np.zeros(2), [], []
    decay = np.exp(-dt / np.array([3.0, 8.0]))
    for n in range(len(kick)):
        if n % 10 == 0:
            voltage.append(v)
        g = g * decay + kick[n]
        v += dt * (-(v + 65) + 26.0 * g[0] - 2.0 * g[1] + drive[n]) / TAU_MS
        refractory = max(0.0, refractory - dt)
        if refractory:
            v = -65.0
        elif v > -50:
            spikes.append(n * dt)
            refractory = REFRACTORY_MS
    return Trial(
        "dense" if current is None else "steps", -1, seed, float(duration), time, synapse_site.astype(np.int32),
        weight.astype(np.float32),
        np.array([s for s in spikes if s <= duration]), {"soma": np.array(voltage, np.float32)}, changes, injected,
    )  # fmt: skip


def write(folder, trials) -> None:
    """Records of some trials, whole."""
    with RecordWriter(folder, 0, cell()) as writer:
        for t in trials:
            writer.add(t)
    write_index(folder, cell(), {"source": "tests"})
