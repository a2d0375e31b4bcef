"""How fast netml.build makes a network, and what stepping it costs beside its arithmetic.

Rates of building are by CPU time of rank 0, which one busy core gives; build_s is wall time.

python tests/benchmarks/build.py [--cells 10000] [--synapses 1000] [--rule RULE] [--json OUT]
mpiexec -n 2 python tests/benchmarks/build.py ...

Four fifths of the cells excite, weights are lognormal, delays grow with distance.  Beside it, in the same run on one
rank, NetPyNE's connection maker on 200 such cells (its Python structure only, no NEURON objects).
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "fixtures"))

import hybrid  # noqa: E402

import netml  # noqa: E402
from netml.reductions.kernel import Dims  # noqa: E402

RULES = {
    "probability": lambda n, total: {"probability": n / total},
    "distance": lambda n, total: {"probability": f"{2.3 * n / total}*exp(-dist_3D/100)"},
    "convergence": lambda n, total: {"convergence": n},
    "contacts": lambda n, total: {"probability": n / total / 5, "synsPerConn": 5},
}


def network(cells: int, synapses: int, rule: str):
    """netParams and simConfig: E and I, every pair of populations connected."""
    sizes = {"E": cells * 4 // 5, "I": cells - cells * 4 // 5}
    net, cfg = hybrid.network(*sizes.values())
    del net.popParams["S"]
    for name in ("connParams", "stimSourceParams", "stimTargetParams"):
        getattr(net, name).clear()
    for pre, synapse in (("E", "exc"), ("I", "inh")):
        for post in sizes:
            net.connParams[f"{pre}->{post}"] = {
                "preConds": {"pop": pre}, "postConds": {"pop": post}, "synMech": synapse, "sec": "dendrites",
                "weight": "lognormal(0.001, 0.0000003)", "delay": "0.8 + dist_3D/300",
                **RULES[rule](synapses * sizes[pre] // cells, sizes[pre]),
            }  # fmt: skip
    return net, cfg


def artifacts(net, folder: Path) -> dict[str, Path]:
    """Reductions of 20 memory units that never spike: the background alone drives them."""
    found = {}
    for label, cell in (("E", "Ecell"), ("I", "Icell")):
        made = hybrid.artifact(net, cell, dims=Dims(inputs=44, traces=66, feedback=4, memory=20, hidden=40))
        made.header["threshold"] = 1e9
        found[label] = made.save(folder / f"{label}.netml")
    return found


def netpyne_rate(rule: str) -> float:
    """Connections that NetPyNE makes a second."""
    from netpyne import sim

    net, cfg = network(200, 100, rule)
    cfg.createNEURONObj = False
    sim.initialize(net, cfg)
    sim.net.createPops()
    sim.net.createCells()
    start = time.process_time()
    sim.net.connectCells()
    seconds = time.process_time() - start
    made = sum(len(cell.conns) for cell in sim.net.cells)
    sim.clearAll()
    return made / seconds


def measure(cells: int, synapses: int, rule: str, folder: Path) -> dict:
    """Build, then advance in pieces of 10 ms."""
    net, cfg = network(cells, synapses, rule)
    reductions = artifacts(net, folder)
    netml.build(*_tiny(folder)).close()  # loads libraries and mechanisms
    start, cpu = time.perf_counter(), time.process_time()
    with netml.build(net, reductions, cfg, seed=1) as simulation:
        build_s, build_cpu_s = time.perf_counter() - start, time.process_time() - cpu
        report = simulation.report()
        ranks = simulation._network.world.size
        total = sum(one["synapses"] for one in report.values())
        result = {
            "cells": cells, "synapses": int(total), "ranks": ranks, "rule": rule, "build_s": build_s,
            "build_cpu_s": build_cpu_s, "connections_built_per_s_per_core": total / build_cpu_s / ranks,
        }  # fmt: skip
        simulation.advance(20)
        times, before = [], simulation.report()
        for _ in range(20):
            start = time.perf_counter()
            simulation.advance(10)
            times.append(time.perf_counter() - start)
        after = simulation.report()
        inside = sum(after[k][n] - before[k][n] for k in after for n in ("step_s", "deliver_s")) / ranks / len(times)
        result |= {"advance_10_ms_s": float(np.median(times)), "of_that_arithmetic_s": inside}
    return result


def _tiny(folder: Path):
    net, cfg = network(16, 4, "convergence")
    return net, artifacts(net, folder), cfg


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--synapses", type=int, default=1000)
    parser.add_argument("--rule", choices=RULES, action="append")
    parser.add_argument("--json")
    options = parser.parse_args()
    results = []
    for rule in options.rule or RULES:
        with tempfile.TemporaryDirectory() as folder:
            result = measure(options.cells, options.synapses, rule, Path(folder))
        if result["ranks"] == 1:
            result["netpyne_connections_per_s"] = netpyne_rate(rule)
            result["times_netpyne"] = result["connections_built_per_s_per_core"] / result["netpyne_connections_per_s"]
        results.append(result)
        if netml.engine.ranks.mpi.is_first():
            print(json.dumps(result), flush=True)
    if options.json and netml.engine.ranks.mpi.is_first():
        Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
