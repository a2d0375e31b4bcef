"""netml simulate against plain NetPyNE on models/cortex: one command, one table.

python tests/benchmarks/circuit.py --ranks 2 --json OUT

The same circuit, the same ranks, one after the other: `python init.py` under mpirun, as NetPyNE's users do it (NEURON,
the circuit's own cfg, which shares synapse objects), then netml's fast build (CoreNEURON) and its exact build on 1, 2
and 4 ranks. Whole processes count, building the network included; mechanisms are compiled before. On a shared machine
CPU time says more than wall time, but it includes MPI's waiting.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import netml
from netml.engine.mechanisms.build import build_mechanisms
from netml.engine.ranks import mpi
from netml.toolchain import source_folder

PLAIN = Path(__file__).resolve().with_name("circuit_plain.py")


def timed(run) -> tuple[dict, object]:
    """Wall and CPU seconds of child processes, and what the call returned."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    result = run()
    wall, now = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2)}, result


def plain(model: Path, ranks: int, settings: dict, out: Path) -> dict[int, np.ndarray]:
    """Spike times by gid of the project run by NetPyNE alone."""
    library = build_mechanisms([source_folder("mod")])
    program = [sys.executable, str(PLAIN), str(model), str(library.nrnmech), json.dumps(settings), str(out)]
    command = program if ranks == 1 else mpi.command(mpi.find(), ranks, program)
    environment = os.environ | mpi.environment(mpi.find()) | dict.fromkeys(mpi.THREADS, "1")
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"plain NetPyNE failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    found = json.loads(out.read_text())
    times, gids = np.array(found["spkt"]), np.array(found["spkid"], int)
    return {gid: np.sort(times[gids == gid]) for gid in range(found["cells"])}


def spikes(run: netml.Run) -> dict[int, np.ndarray]:
    """Spike times by gid of a run of netml."""
    found = {}
    for pop, about in run.populations.items():
        times, nodes = run.spikes(pop)
        found |= {gid: times[nodes == node] for node, gid in enumerate(about["gids"])}
    return found


def apart_ms(a: dict[int, np.ndarray], b: dict[int, np.ndarray], tolerance: float) -> float | None:
    """When the first spike comes that the other run does not have within the tolerance; None if there is none."""
    first = []
    for gid in a:
        count = min(len(a[gid]), len(b[gid]))
        late = np.nonzero(np.abs(a[gid][:count] - b[gid][:count]) > tolerance)[0]
        if len(late):
            first.append(min(a[gid][late[0]], b[gid][late[0]]))
        elif len(a[gid]) != len(b[gid]):
            first.append(max(a[gid], b[gid], key=len)[count])
    return float(min(first)) if first else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--circuit", default="column", choices=("column", "layer5"))
    parser.add_argument("--cells", type=int, default=50)
    parser.add_argument("--duration", type=float, default=500.0, help="ms, of the runs that are timed")
    parser.add_argument("--exact", type=float, default=100.0, help="ms, of the exact runs on 1, 2 and 4 ranks; 0: none")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1, help="times, of which the best counts")
    parser.add_argument("--json")
    options = parser.parse_args()

    model, size = source_folder("models") / "cortex", {"n_cells": options.cells}
    if options.circuit == "layer5":
        size = {"n_pyr": options.cells * 4 // 5, "n_pv": options.cells - options.cells * 4 // 5}
    settings = {"circuit": options.circuit, **size}
    common = {"cfg": settings, "progress": False, "overwrite": True}
    build_mechanisms([source_folder("mod")], "coreneuron", "fast")
    with tempfile.TemporaryDirectory() as folder:
        out, times = Path(folder), {"plain": [], "netml": []}
        for _ in range(options.repeat):
            spent, theirs = timed(lambda: plain(model, options.ranks, settings | {"duration": options.duration},
                                                out / "plain.json"))  # fmt: skip
            times["plain"].append(spent)
            spent, run = timed(lambda: netml.simulate(
                model, ranks=options.ranks, duration=options.duration, engine="coreneuron", build="fast",
                output=out / "fast", **common))  # fmt: skip
            times["netml"].append(spent)
        ours = netml.Run.open(run)
        best = {who: {unit: min(one[unit] for one in all_) for unit in all_[0]} for who, all_ in times.items()}
        result = {
            "circuit": options.circuit, "cells": len(theirs), "ranks": options.ranks, "duration_ms": options.duration,
            "spikes": {"plain": sum(map(len, theirs.values())), "netml": sum(map(len, spikes(ours).values()))},
            **best, "faster_wall": best["plain"]["wall_s"] / best["netml"]["wall_s"],
            "faster_cpu": best["plain"]["cpu_s"] / best["netml"]["cpu_s"],
            "within_a_step_until_ms": apart_ms(theirs, spikes(ours), 1.001 * ours.metadata["dt_ms"]),
            "run_s": ours.metadata["wall"]["run_s"], "build_s": ours.metadata["wall"]["build_s"],
        }  # fmt: skip
        if options.exact:
            exact = {
                ranks: spikes(netml.Run.open(netml.simulate(model, ranks=ranks, duration=options.exact,
                                                            output=out / "exact", **common)))
                for ranks in (1, 2, 4)
            }  # fmt: skip
            same = all(np.array_equal(exact[1][gid], exact[ranks][gid]) for ranks in (2, 4) for gid in exact[1])
            early = {gid: train[train < options.exact] for gid, train in theirs.items()}
            result |= {
                "exact_ms": options.exact, "exact_spikes": sum(map(len, exact[1].values())),
                "exact_same_on_1_2_4_ranks": same, "exact_and_plain_apart_ms": apart_ms(exact[1], early, 0.0),
            }  # fmt: skip
    for name, value in result.items():
        print(f"{name:28} {value}")
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
