"""One side of the comparison of networks, in a process of its own; run.py starts it and reads its JSON.

The same random network of the same size: point neurons in NEST that live from a constant current of their own and from
each other, with conductance synapses or, cheaper, current synapses; and reduced cells that are sent the spikes of the
former along the same connections with the same delays, so that both do the same number of synaptic events.
"""

import json
import sys
import time
from dataclasses import dataclass

import numpy as np

SIDES = {
    "iaf_psc_exp": "point neurons, NEST iaf_psc_exp, 0.1 ms",
    "iaf_cond_exp": "point neurons, NEST iaf_cond_exp, 0.1 ms",
    "netml": "reduced PYR cells, netml population engine, 1 ms",
}
# Drive that makes both models fire at about 5 Hz: current (pA) of a neuron, mean and deviation; sum of its weights,
# excitatory and inhibitory (nS or pA), which does not depend on their number.
DRIVE = {"iaf_cond_exp": (345.0, 25.0, 80.0, -600.0), "iaf_psc_exp": (345.0, 25.0, 4000.0, -16000.0)}
PEAK_NS = 320.0  # the same of a reduced cell, excitatory and inhibitory
INHIBITORY = 5  # every fifth cell
RESOLUTION_MS = 0.1
WARM_UP_MS = 100.0


@dataclass(frozen=True)
class Edges:
    """Connections: (pairs) source, target, and delay in ms, whole steps of NEST."""

    source: np.ndarray
    target: np.ndarray
    delay: np.ndarray


def draw(cells: int, synapses: int) -> Edges:
    """Every cell gets `synapses` connections from random cells."""
    rng = np.random.default_rng(2)
    n = cells * synapses
    delay = rng.integers(5, 101, n) * RESOLUTION_MS
    return Edges(rng.integers(0, cells, n), np.repeat(np.arange(cells), synapses), np.round(delay, 6))


def in_nest(model: str, edges: Edges, cells: int, duration_ms: float, spikes: str) -> dict:
    """Run NEST on one thread; the spikes (ms, cell) go to a file, which the next side reads."""
    import nest

    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution, nest.local_num_threads, nest.rng_seed = RESOLUTION_MS, 1, 3
    start = time.process_time()
    rng, inhibitory = np.random.default_rng(4), edges.source % INHIBITORY == 0
    neurons = nest.Create(model, cells, {"C_m": 250.0, "E_L": -70.0, "V_th": -50.0, "V_reset": -60.0, "t_ref": 2.0,
                                         "tau_syn_ex": 5.0, "tau_syn_in": 8.0})  # fmt: skip
    neurons.set({"g_L": 16.67} if "cond" in model else {"tau_m": 15.0})
    current, spread, excitation, inhibition = DRIVE[model]
    neurons.set(I_e=rng.normal(current, spread, cells).tolist(), V_m=rng.uniform(-70.0, -50.0, cells).tolist())
    weight = np.where(inhibitory, inhibition, excitation) / (len(edges.source) / cells)
    nest.Connect(edges.source + 1, edges.target + 1, "one_to_one",
                 {"synapse_model": "static_synapse", "weight": weight, "delay": edges.delay})  # fmt: skip
    recorder = nest.Create("spike_recorder")
    nest.Connect(neurons, recorder)
    build_s = time.process_time() - start
    nest.Simulate(WARM_UP_MS)
    recorder.n_events = 0
    start = time.process_time()
    nest.Simulate(duration_ms)
    cpu_s = time.process_time() - start
    events = recorder.get("events")
    np.savez(spikes, time=events["times"] - WARM_UP_MS, cell=events["senders"] - 1)
    return {"cpu_s": cpu_s, "build_s": build_s, "rate_hz": len(events["times"]) / cells / duration_ms * 1000}


def in_netml(edges: Edges, cells: int, duration_ms: float, spikes: str) -> dict:
    """Send the spikes in a file along the same connections onto reduced PYR cells; one thread."""
    from netml.artifact import Artifact
    from netml.population.population import ReducedPopulation
    from netml.toolchain import source_folder

    artifact = Artifact.load(source_folder("models") / "cortex" / "reductions" / "PYR.netml")
    labels = artifact.header["synapses"]
    rng, inhibitory = np.random.default_rng(5), edges.source % INHIBITORY == 0
    kind = np.where(inhibitory, labels.index("GABAA"), labels.index("AMPA_NMDA"))
    synapse_site = rng.integers(0, artifact.synapse_sites // len(labels), len(kind)) * len(labels) + kind
    population = ReducedPopulation(artifact, "PYR")
    population.add_cells(cells)
    population.add_rows(cells)
    weight = np.full(len(synapse_site), 1e-3 * PEAK_NS / (len(synapse_site) / cells))
    start = time.process_time()
    population.add_synapses(edges.source, edges.target, synapse_site, weight, edges.delay)
    population.freeze()
    build_s = time.process_time() - start
    saved = np.load(spikes)
    order = np.argsort(saved["time"], kind="stable")
    queue = list(zip(saved["time"][order].tolist(), saved["cell"][order].tolist(), strict=True))[::-1]
    population.reset()
    spent = 0.0
    for n in range(round(duration_ms / population.dt_r_ms)):
        while queue and queue[-1][0] < (n + 1) * population.dt_r_ms - 1e-6:
            at, row = queue.pop()
            population.deliver(row, at)
        start = time.process_time()
        population.step()
        spent += time.process_time() - start
    stats = population.stats()
    return {"cpu_s": spent, "build_s": build_s,
            "events": stats["events"], "rate_hz": stats["spikes"] / cells / duration_ms * 1000}  # fmt: skip


def main() -> None:
    """network.py SIDE CELLS SYNAPSES DURATION_MS SPIKE_FILE"""
    side, cells, synapses, duration_ms, spikes = sys.argv[1], *map(int, sys.argv[2:4]), float(sys.argv[4]), sys.argv[5]
    common = draw(cells, synapses), cells, duration_ms, spikes
    print("\n" + json.dumps(in_netml(*common) if side == "netml" else in_nest(side, *common)))


if __name__ == "__main__":
    main()
