"""One rank of the engine's benchmark: a network of reduced cells inside NEURON; rank 0 writes what was measured, JSON.

python engine_rank.py OPTIONS_AS_JSON OUT

The cells are of the sizes of a 20-memory reduction with random weights, or those of an artifact. Every cell fires
every 1 / RATE s whatever it computes (threshold below every logit, refractory time of a period, random phase), so that
the load is what it says.
"""

import gc
import json
import sys
import time
from pathlib import Path

from netml.engine.ranks import mpi

world = mpi.start()

import numpy as np  # noqa: E402
from neuron import h  # noqa: E402
from population import random_artifact  # noqa: E402

from netml.artifact import Artifact  # noqa: E402
from netml.engine.mechanisms.build import build_engine_library, load_mechanisms  # noqa: E402
from netml.population.from_artifact import synaptic_gain  # noqa: E402
from netml.population.plasticity import RewardStdp  # noqa: E402
from netml.population.population import ReducedPopulation  # noqa: E402
from netml.reductions.kernel import Dims  # noqa: E402

DIMS = Dims(inputs=44, traces=66, feedback=4, memory=20, hidden=40)
CHUNK = 1_000_000


def resident_bytes() -> int:
    gc.collect()
    fields = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) * 1024


def artifact(period_steps: int, path: str | None) -> Artifact:
    made = Artifact.load(path) if path else random_artifact(DIMS, 640)
    made.header["threshold"] = -1e9
    made.arrays["params"][-1] = period_steps
    return made


def sampled(rng, sources: int, cells: int, synapse_sites: int, count: int, longest_ms: float):
    """Random synapses onto this rank's cells, a chunk at a time: row, cell, synapse site, weight, delay."""
    for first in range(0, count, CHUNK):
        n = min(CHUNK, count - first)
        where = (rng.integers(0, top, n, dtype=np.int32) for top in (sources, cells, synapse_sites))
        yield *where, 0.01 * rng.random(n), 1.0 + (longest_ms - 1.0) * rng.random(n)


def fill(population: ReducedPopulation, sources: int, count: int, options: dict, projection: int = 0) -> None:
    """Random synapses onto all cells of a population, taken into use."""
    rng = np.random.default_rng([options["seed"], world.rank])
    synapse_sites = synaptic_gain(population.artifact).size
    for columns in sampled(rng, sources, population.cells, synapse_sites, count, options["longest_ms"]):
        population.add_synapses(*columns, projection=projection)
    del columns
    population.freeze()


def bytes_per_plastic_synapse(made: Artifact, options: dict, cells: int = 1000, each: int = 1000) -> float:
    """Resident memory of synapses that learn; the cells, taken into use before, are not in it."""
    population = ReducedPopulation(made, "plastic")
    projection = population.add_projection(stdp=RewardStdp(rate_us=1e-4, high_us=0.01))
    population.add_cells(cells)
    population.add_rows(cells)
    population.freeze()
    before = resident_bytes()
    fill(population, cells, cells * each, options, projection)
    held = resident_bytes() - before
    population.close()
    return held / (cells * each)


def main() -> None:
    options = json.loads(sys.argv[1])
    cells, synapses, segments = options["cells"], options["synapses"], options["segments"]
    gids = np.arange(world.rank, cells, world.size)
    context = h.ParallelContext()
    load_mechanisms(h, build_engine_library())
    made = artifact(round(1000 / options["rate_hz"]), options.get("artifact"))
    bytes_per_plastic_synapse(made, options)  # the first time, the code itself comes into memory
    plastic_bytes = bytes_per_plastic_synapse(made, options)
    before = resident_bytes()

    start, start_cpu = time.perf_counter(), time.process_time()
    engine, population = h.NetmlPopulation(), ReducedPopulation(made, "bench", threads=options["threads"])
    population.add_cells(len(gids), gids)
    population.add_rows(cells, np.arange(cells))
    outlets = []
    for gid in gids.tolist():
        outlets.append(h.NetmlCell())
        engine.add_cell(outlets[-1], gid)
        context.set_gid2node(gid, world.rank)
        context.cell(gid, h.NetCon(outlets[-1], None), 1)
    inlets = []
    for gid in range(cells):
        inlets.append(context.gid_connect(gid, engine))
        inlets[-1].delay, inlets[-1].weight[0], inlets[-1].weight[1] = 1.0, gid, 1.0
    population.freeze()  # the state of the cells; synapses come on top
    cells_wall, cells_cpu = time.perf_counter() - start, time.process_time() - start_cpu

    held_by_cells = resident_bytes()
    start, start_cpu = time.perf_counter(), time.process_time()
    fill(population, cells, len(gids) * synapses, options)
    engine.address = population.freeze()
    build_wall, build_cpu = time.perf_counter() - start, time.process_time() - start_cpu
    held_by_synapses = resident_bytes() - held_by_cells

    h.dt = 0.05
    context.set_maxstep(10)
    h.finitialize()
    lanes = population.handle.state()
    lanes[:, -1] = np.random.default_rng([7, world.rank]).integers(
        1, round(1000 / options["rate_hz"]), lanes[:, -1].shape
    )
    context.psolve(100.0)
    parts, resident = [], []
    for k in range(segments):
        context.barrier()
        was, start, start_cpu = population.stats(), time.perf_counter(), time.process_time()
        context.psolve(100.0 + (k + 1) * options["segment_ms"])
        now = population.stats()
        parts.append({
            "wall": time.perf_counter() - start, "cpu": time.process_time() - start_cpu,
            **{name: now[name] - was[name] for name in ("events", "spikes", "step_s", "deliver_s", "steps")},
        })  # fmt: skip
        resident.append(resident_bytes())
    stats = population.stats()
    mine = {
        "own_cells": len(gids), "synapses": stats["synapses"], "parts": parts, "late": stats["late"],
        "saturated": stats["saturated"], "resident": resident, "finite": bool(np.isfinite(population.voltage()).all()),
        "bytes_per_cell": (resident[-1] - before - held_by_synapses) / len(gids),
        "bytes_per_synapse": held_by_synapses / max(stats["synapses"], 1), "bytes_per_plastic_synapse": plastic_bytes,
        "build_wall": build_wall, "build_cpu": build_cpu, "cells_wall": cells_wall, "cells_cpu": cells_cpu,
    }  # fmt: skip
    ranks = context.py_allgather(mine)
    if world.rank == 0:
        Path(sys.argv[2]).write_text(json.dumps(ranks))
    engine.address = 0
    context.barrier()


main()
