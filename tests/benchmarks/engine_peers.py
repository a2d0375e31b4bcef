"""What the engine is measured against: NEURON's NetCons, NetPyNE's connection maker, and detailed cells."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def netcons(cells: int = 2000, each: int = 100, rate_hz: float = 20.0) -> dict:
    """A NetCon a synapse between artificial cells, one core: cost of making and of delivering, and memory."""
    import random

    from neuron import h

    context = h.ParallelContext()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    targets, sources = [h.IntFire1() for _ in range(cells)], [h.NetStim() for _ in range(cells)]
    for k, source in enumerate(sources):
        source.interval, source.number, source.start, source.noise = 1000 / rate_hz, 1e9, 1, 1
        source.noiseFromRandom123(k, 1, 1)
    kept, draw, start = [], random.Random(1), time.process_time()
    for source in sources:
        for _ in range(each):
            netcon = h.NetCon(source, targets[draw.randrange(cells)])
            netcon.delay, netcon.weight[0] = 1 + 9 * draw.random(), 0.0
            kept.append(netcon)
    made_s = time.process_time() - start
    held = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    h.dt = 0.05
    context.set_maxstep(10)
    h.finitialize()
    context.psolve(20)
    times = []
    for k in range(3):
        start = time.process_time()
        context.psolve(20 + 200 * (k + 1))
        times.append(time.process_time() - start)
    count = len(kept)
    return {
        "netcons_made_per_s": count / made_s, "netcon_bytes": held / count,
        "netcon_events_per_s": count * rate_hz * 0.2 / min(times),
    }  # fmt: skip


def netpyne_connections(cells: int = 200, each: int = 25) -> dict:
    """NetPyNE's connections of a probability rule between artificial cells, one core."""
    from netpyne import sim, specs

    params, config = specs.NetParams(), specs.SimConfig()
    for label in ("A", "B"):
        params.popParams[label] = {"cellModel": "IntFire1", "cellType": label, "numCells": cells}
    params.cellParams["B"] = {"conds": {"cellType": "B"}, "secs": {}}
    params.connParams["A->B"] = {
        "preConds": {"pop": "A"}, "postConds": {"pop": "B"}, "probability": each / cells, "weight": 0.0, "delay": 2.0,
    }  # fmt: skip
    config.verbose, config.createNEURONObj = False, True
    sim.initialize(params, config)
    sim.net.createPops()
    sim.net.createCells()
    start = time.process_time()
    sim.net.connectCells()
    spent = time.process_time() - start
    made = sum(len(cell.conns) for cell in sim.net.cells)
    return {"netpyne_connections": made, "netpyne_connections_per_s": made / spent}


# Project, and the cfg that sets the number of its cells: those of models/cortex, and PT in the segments that the goals
# suppose.
DETAILED = {
    "pyr": (ROOT / "models" / "cortex", lambda count: {"n_pyr": count, "n_pv": 2}),
    "thick_tufted": (ROOT / "tests" / "benchmarks" / "thick_tufted", lambda count: {"cells": count}),
}


def detailed(
    cell: str, engine: str, build: str, cells: tuple[int, int] = (1, 5), ms: tuple[float, float] = (50.0, 650.0)
) -> float:
    """CPU seconds of one detailed cell for one biological second, by runs that differ in cells and in length."""
    import netml

    model, sized = DETAILED[cell]

    def cpu_s(count: int, milliseconds: float) -> float:
        before = _cpu_used()
        with tempfile.TemporaryDirectory() as folder:
            netml.simulate(model, duration=milliseconds, engine=engine, build=build, cfg=sized(count), output=folder,
                           overwrite=True, progress=False)  # fmt: skip
        return _cpu_used() - before

    cpu_s(1, 1.0)  # compiles what is not there yet
    spent = {(n, length): min(cpu_s(n, length) for _ in range(2)) for n in cells for length in ms}
    (few, many), (short, long) = cells, ms
    difference = spent[many, long] - spent[many, short] - spent[few, long] + spent[few, short]
    return difference / (many - few) / ((long - short) / 1000)


def _cpu_used() -> float:
    """CPU seconds of this process and of those it started and awaited."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def measured(what: str, timeout_s: float = 600) -> dict:
    """One of these measurements in a process of its own."""
    program = [sys.executable, str(Path(__file__)), what]
    done = subprocess.run(program, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode:
        raise RuntimeError(f"{what} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    found = {"netcons": netcons, "netpyne": netpyne_connections}[sys.argv[1]]()
    print(json.dumps(found))
