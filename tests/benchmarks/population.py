"""How fast the population engine steps and delivers, without NEURON: tests/benchmarks/population.py [--json OUT].

A network of random pairs at a fixed rate, as in the design: CELLS cells of a 20-memory reduction, SYNAPSES synapses
each, RATE_HZ spikes a second from every source.  One thread; ratios matter more than figures on a shared machine.
"""

import argparse
import json
import time

import numpy as np

from netml.artifact import Artifact
from netml.population.population import ReducedPopulation
from netml.reductions.kernel import Dims, pack, parameter_shapes


def random_artifact(dims: Dims, synapse_sites: int, seed: int = 0) -> Artifact:
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(0, 0.3, shape) for name, shape in parameter_shapes(dims).items()}
    arrays["refractory"] = np.zeros_like(arrays["refractory"])  # no limit
    for name in ("trace_decay", "feedback_decay", "memory_decay"):
        arrays[name] = rng.uniform(0.3, 0.95, arrays[name].shape)
    header = {
        "format": "netml-reduction", "version": 1, "reduction": "leaky_memory",
        "cell": {"label": "x", "fingerprint": ""}, "synapses": ["exc", "inh"],
        "sections": [["dend", synapse_sites // 2]], "dims": dims._asdict(), "dt_r_ms": 1.0,
        "threshold": 1e9, "weight_range_us": {"exc": [0.0, 0.01], "inh": [0.0, 0.01]}, "provenance": {}, "scores": {},
    }  # fmt: skip
    return Artifact(header, {
        "params": pack(dims, arrays), "wiring": rng.integers(0, dims.inputs, dims.traces).astype(np.int32),
        "channel_input": rng.integers(0, dims.inputs, synapse_sites).astype(np.int32),
        "channel_gain": np.full(synapse_sites, 100, np.float32), "channel_seen": np.ones(synapse_sites, np.int64),
    })  # fmt: skip


def measure(cells: int, synapses: int, rate_hz: float, seconds: float, longest_ms: float, seed: int = 0) -> dict:
    """Run sources of Poisson spikes (as many as cells, `synapses` targets each) and count."""
    rng = np.random.default_rng(seed)
    dims = Dims(inputs=44, traces=66, feedback=4, memory=20, hidden=40)
    population = ReducedPopulation(random_artifact(dims, 640), "bench")
    population.add_cells(cells)
    population.add_rows(cells)
    n = cells * synapses
    columns = (
        np.repeat(np.arange(cells), synapses), rng.integers(0, cells, n), rng.integers(0, 640, n),
        rng.uniform(0, 0.01, n), np.round(rng.uniform(0.5, longest_ms, n), 2),
    )  # fmt: skip
    start = time.perf_counter()
    population.add_synapses(*columns)
    population.freeze()
    build_s = time.perf_counter() - start
    population.reset()
    steps = round(seconds * 1000)
    per_step = rng.poisson(cells * rate_hz / 1000, steps)
    for n, count in enumerate(per_step):
        for row in rng.integers(0, cells, count).tolist():
            population.deliver(row, n + 0.25)
        population.step()
    stats = population.stats()
    return {
        "cells": cells, "synapses_a_source": synapses, "rate_hz": rate_hz, "seconds": seconds, "build_s": build_s,
        "synapses_frozen_per_s": stats["synapses"] / build_s,
        "step_ms_a_cell_and_s": stats["step_s"] / cells / seconds * 1000,
        "deliver_ns_an_event": stats["deliver_s"] / max(stats["events"], 1) * 1e9,
        "events_per_s": stats["events"] / stats["deliver_s"],
        "wall_s_per_bio_s": (stats["step_s"] + stats["deliver_s"]) / seconds,
        "bytes_per_cell_without_synapses": (stats["bytes"] - 12 * stats["synapses"]) / cells,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json")
    options = parser.parse_args()
    cases = [
        measure(cells=64, synapses=1, rate_hz=2000, seconds=1, longest_ms=3),   # background: a synapse a source
        measure(cells=1024, synapses=1000, rate_hz=5, seconds=1, longest_ms=10),
        measure(cells=10240, synapses=500, rate_hz=5, seconds=0.2, longest_ms=10),
    ]  # fmt: skip
    for case in cases:
        print("  ".join(f"{name} {value:.4g}" for name, value in case.items()))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(cases, file, indent=1)


if __name__ == "__main__":
    main()
