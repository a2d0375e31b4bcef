"""How fast a network steps on a torch device, beside the C++ engine: tests/benchmarks/device.py [--device cuda].

Random pairs, a background that makes the cells fire, one population of the shipped PYR reduction, driven for the same
steps by both. The engine runs in one thread, its spikes handed on by Python, and is left out with --no-engine.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from netml.artifact import Artifact
from netml.device.network import DeviceNetwork
from netml.device.population import DevicePopulation
from netml.population import population as engine
from netml.toolchain import source_folder

BATCH = 10_000_000  # synapses added at once


def fill(population, cells: int, synapses: int) -> float:
    """Cells, rows and synapses; returns the seconds of making them."""
    start = time.perf_counter()
    population.add_cells(cells)
    population.add_rows(cells)
    artifact = population.artifact
    labels = artifact.header["synapses"]
    synapse_sites = sum(nseg for _, nseg in artifact.header["sections"]) * len(labels)
    rng = np.random.default_rng(0)
    for at in range(0, cells * synapses, BATCH):
        n = min(BATCH, cells * synapses - at)
        pre, post, synapse_site = (
            rng.integers(0, cells, n),
            (at + np.arange(n)) // synapses,
            rng.integers(0, synapse_sites, n),
        )
        population.add_synapses(pre, post, synapse_site, np.full(n, 0.16 / synapses), rng.integers(10, 100, n) / 10)
    sites = rng.integers(0, synapse_sites // len(labels), 160) * len(labels)
    kind = np.where(np.arange(160) % 4 > 0, labels.index("AMPA_NMDA"), labels.index("GABAA"))
    population.add_background(sites + kind, np.where(np.arange(160) % 4 > 0, 16.5, 24.0), 0.0008, seed=1)
    population.reset()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--synapses", type=int, default=500, help="a cell")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--no-engine", action="store_true")
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()
    torch.set_num_threads(1)  # the engine beside it has one too
    artifact = Artifact.load(source_folder("models") / "cortex" / "reductions" / "PYR.netml")
    population = DevicePopulation(artifact, "PYR", options.device)
    build_s = fill(population, options.cells, options.synapses)
    network = DeviceNetwork({"PYR": population}, {"PYR": np.arange(options.cells)})
    network.advance(20.0)
    start = time.perf_counter()
    times, numbers = network.advance(float(options.steps))
    wall_s = time.perf_counter() - start
    result = {
        "device": str(population.device), "cells": options.cells, "synapses": options.synapses, "build_s": build_s,
        "ms_a_step": wall_s / options.steps * 1000, "rate_hz": times.size / options.cells / options.steps * 1000,
        "bytes_a_synapse": population.projections[0].bytes / population.projections[0].synapses,
    }  # fmt: skip
    if population.device.type == "cuda":
        result["peak_gb"] = torch.cuda.max_memory_allocated(population.device) / 1e9
    if not options.no_engine:
        own = engine.ReducedPopulation(artifact, "PYR", threads=1)
        result["engine_build_s"] = fill(own, options.cells, options.synapses)
        same = []
        for n in range(20 + options.steps):
            if n == 20:
                start = time.perf_counter()
            fired = own.step().tolist()
            for cell in fired:
                own.deliver(cell, n + 1.0)
            same += [(n + 1.0, cell) for cell in fired] if n >= 20 else []
        result["engine_ms_a_step"] = (time.perf_counter() - start) / options.steps * 1000
        result["spikes_in_common"] = len(set(same) & set(zip(times.tolist(), numbers.tolist(), strict=True))) / len(
            same
        )
    print(
        "  ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in result.items()
        )
    )
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
