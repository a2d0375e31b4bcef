"""The population engine at scale, inside NEURON, and what it is measured against: one command, one table.

python tests/benchmarks/engine.py --ranks 2 --json OUT

10,000 cells of a 20-memory reduction, 1,000 synapses each, 5 Hz, with NEURON's own exchange of spikes. On a shared
machine the best of several stretches counts, and CPU time stands beside wall time (MPI's waiting included).
--minutes 60 runs a biological hour of 1,000 cells instead and watches its memory.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import engine_peers
import numpy as np
from population import random_artifact

from netml.engine.ranks import mpi
from netml.reductions.kernel import FLAGS, LANES, Dims, Reduction
from netml.toolchain import build_library, source_folder

HERE = Path(__file__).resolve().parent
DIMS = Dims(inputs=44, traces=66, feedback=4, memory=20, hidden=40)


def kernel() -> dict:
    """Peak and kernel, in this thread's own time."""
    library = ctypes.CDLL(str(build_library([HERE / "peak.cpp"], FLAGS, "netml_peak")))
    library.netml_bench_peak.restype = ctypes.c_double
    reduction = Reduction.of(random_artifact(DIMS, 640))
    dense_s, step_s = ctypes.c_double(), ctypes.c_double()
    pointers = (ctypes.c_void_p(array.ctypes.data) for array in (reduction.shape, reduction.params, reduction.wiring))
    library.netml_bench_step(*pointers, ctypes.byref(dense_s), ctypes.byref(step_s))
    peak = library.netml_bench_peak()
    z = DIMS.traces + DIMS.memory + DIMS.feedback
    flops = 2 * LANES * (DIMS.hidden * z + DIMS.memory * DIMS.hidden)
    whole = flops + 2 * LANES * 2 * (DIMS.memory + DIMS.hidden)
    return {
        "gflops_per_core": flops / dense_s.value / 1e9, "peak_gflops_per_core": peak / 1e9,
        "kernel_share_of_peak": flops / dense_s.value / peak, "whole_step_gflops_per_core": whole / step_s.value / 1e9,
        "kernel_ns_a_cell_and_step": step_s.value / LANES * 1e9,
    }  # fmt: skip


def network(ranks: int, **options) -> dict:
    """Run the rank program under MPI and sum up."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        program = [sys.executable, str(HERE / "engine_rank.py"), json.dumps(options), str(out)]
        command = program if ranks == 1 else mpi.command(mpi.find(), ranks, program)
        environment = os.environ | mpi.environment(mpi.find())
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the ranks failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        each = json.loads(out.read_text())
    seconds = options["segment_ms"] / 1000
    parts = list(zip(*(rank["parts"] for rank in each), strict=True))
    walls = [max(p["wall"] for p in part) / seconds for part in parts]
    cpus = [max(p["cpu"] for p in part) / seconds for part in parts]
    synapses = sum(rank["synapses"] for rank in each)

    def rate(what: str, spent: str) -> float:
        return max(p[what] / p[spent] for part in parts for p in part)

    return {
        "cells": options["cells"], "synapses": synapses, "ranks": ranks, "threads": options["threads"],
        "rate_hz": sum(p["spikes"] for part in parts for p in part) / options["cells"] / seconds / len(parts),
        "wall_s_per_bio_s": min(walls), "wall_s_per_bio_s_mean": float(np.mean(walls)),
        "cpu_s_per_bio_s": min(cpus),
        "step_s_per_bio_s": min(max(p["step_s"] for p in part) for part in parts) / seconds,
        "deliver_s_per_bio_s": min(max(p["deliver_s"] for p in part) for part in parts) / seconds,
        "synaptic_events_per_s_per_core": rate("events", "deliver_s"),
        "bytes_per_synapse": max(rank["bytes_per_synapse"] for rank in each),
        "bytes_per_plastic_synapse": max(rank["bytes_per_plastic_synapse"] for rank in each),
        "bytes_per_cell": max(rank["bytes_per_cell"] for rank in each),
        "connections_built_per_s_per_core": min(rank["synapses"] / rank["build_cpu"] for rank in each),
        "connections_built_per_s_per_core_wall": min(rank["synapses"] / rank["build_wall"] for rank in each),
        "us_per_cell_made": max(rank["cells_cpu"] / rank["own_cells"] for rank in each) * 1e6,
        "late": sum(rank["late"] for rank in each), "saturated": sum(rank["saturated"] for rank in each),
        "resident_mb": [[round(b / 2**20, 1) for b in rank["resident"]] for rank in each],
        "finite": all(rank["finite"] for rank in each),
    }  # fmt: skip


def shipped(ranks: int, common: dict) -> dict:
    """The same network, smaller, of the cable reduction that ships with models/cortex."""
    path = source_folder("models") / "cortex" / "reductions" / "PYR.netml"
    found = network(cells=2000, synapses=1000, segments=4, segment_ms=250.0, artifact=str(path), **common)
    return {"shipped_cell_s": found["cpu_s_per_bio_s"] * ranks / found["cells"], "shipped_finite": found["finite"]}


def peers(result: dict, detailed: bool) -> dict:
    """Ratios against what is there without the engine."""
    found = engine_peers.measured("netcons") | engine_peers.measured("netpyne")
    ratios = {
        "events_against_netcons": result["synaptic_events_per_s_per_core"] / found["netcon_events_per_s"],
        "built_against_netcons": result["connections_built_per_s_per_core"] / found["netcons_made_per_s"],
        "built_against_netpyne": result["connections_built_per_s_per_core"] / found["netpyne_connections_per_s"],
        "bytes_against_netcons": found["netcon_bytes"] / result["bytes_per_synapse"],
    }
    if detailed:
        cell_s = result["cpu_s_per_bio_s"] * result["ranks"] / result["cells"]
        found["reduced_cell_s"] = cell_s
        for cell in engine_peers.DETAILED:
            for name, engine, build in (("neuron", "neuron", "exact"), ("coreneuron_tuned", "coreneuron", "fast")):
                seconds = engine_peers.detailed(cell, engine, build)
                found[f"{cell}_s_{name}"], ratios[f"cell_against_{cell}_{name}"] = seconds, seconds / cell_s
                ratios[f"shipped_against_{cell}_{name}"] = seconds / result["shipped_cell_s"]
    return found | ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1, help="of each rank")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--synapses", type=int, default=1000, help="of each cell")
    parser.add_argument("--segments", type=int, default=6, help="stretches of 250 ms, of which the best counts")
    parser.add_argument("--no-peers", action="store_true", help="the engine alone")
    parser.add_argument("--no-detailed", action="store_true", help="without the detailed cells, which take minutes")
    parser.add_argument("--minutes", type=int, help="instead: so long a run of 1,000 cells, 100 synapses each")
    parser.add_argument("--json")
    options = parser.parse_args()
    common = {"ranks": options.ranks, "threads": options.threads, "rate_hz": 5.0, "longest_ms": 10.0, "seed": 0}
    if options.minutes:
        result = network(cells=1000, synapses=100, segments=options.minutes, segment_ms=60_000.0, **common)
    else:
        result = network(
            cells=options.cells, synapses=options.synapses, segments=options.segments, segment_ms=250.0, **common
        )
        result |= kernel() | shipped(options.ranks, common)
        if not options.no_peers:
            result |= peers(result, not options.no_detailed)
    for name, value in result.items():
        print(f"{name:40s} {value:,.6g}" if isinstance(value, float) else f"{name:40s} {value}")
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
