"""What a network of reduced cells costs on many ranks: measures the parts here, and adds them up for 1 to 1,000 ranks.

    python tests/benchmarks/scaling.py [--ranks 2] [--cells 10000] [--synapses 1000] [--rate 5] [--json OUT]

A rank of R that holds its share of N cells with K synapses each at rate f spends, a biological second,

    N / R x step  +  N K f / R x event  +  N f (1 - exp(-K / R)) x inlet  +  N f x seen  +  1 s / delay x exchange

step: a cell's arithmetic; event: one synapse's delivery into the ring; inlet: NEURON hands a spike to a rank where it
has targets (a source with K random targets has none there with probability exp(-K / R)); seen: a rank reads a spike
from the exchanged buffer, whether it has targets or not; exchange: NEURON's collective of all ranks, once in the
shortest delay, without any spike.
Only `exchange` depends on the network between nodes; here it is measured between --ranks processes of this machine, and
taken to grow with log2(R), as tree and recursive-doubling collectives do.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from netml.engine.ranks import mpi

DELAY_MS = 1.0  # the shortest of the network: NEURON exchanges spikes that often
SOURCES, RATE_HZ, DURATION_MS, REPEATS = 4000, 40.0, 50.0, 40
RANKS = (1, 10, 100, 1000)


def measure_rank() -> None:
    """On every rank: NetStims with gids as sources, and what NEURON spends on their spikes, to standard output."""
    world = mpi.start()
    from neuron import h

    pc, stims, inlets = h.ParallelContext(), [], []
    # Alone, a rank's own time counts; with others, waiting for them is part of it.
    clock = time.perf_counter if world.size > 1 else time.process_time

    def run() -> float:
        """Seconds, the least of several runs: what others do on the machine only adds."""
        seconds = []
        for _ in range(REPEATS):
            pc.set_maxstep(10)
            h.finitialize(-65)
            pc.barrier()
            start = clock()
            pc.psolve(DURATION_MS)
            pc.barrier()
            seconds.append(clock() - start)
        return min(seconds)

    h.dt = DELAY_MS / 4
    for gid in range(world.rank, SOURCES, world.size):
        stim = h.NetStim()
        stim.interval, stim.number, stim.start, stim.noise = 1000 / RATE_HZ, 1e9, 0.0, 1.0
        stim.noiseFromRandom123(gid, 0, 0)
        stims.append(stim)
    own = run()  # drawing the spikes
    for gid, stim in zip(range(world.rank, SOURCES, world.size), stims, strict=True):
        pc.set_gid2node(gid, world.rank)
        pc.cell(gid, h.NetCon(stim, None))
    sink = h.IntFire1()  # receives, and never fires
    for gid in range(SOURCES):
        if gid == 1:
            unseen = run()  # with one NetCon, so that NEURON exchanges at all
        inlets.append(pc.gid_connect(gid, sink))
        inlets[-1].delay, inlets[-1].weight[0] = DELAY_MS, 0.0
    received = run()
    for stim in stims:
        stim.number = 0
    silent = run()
    exchanges, spikes = DURATION_MS / DELAY_MS, SOURCES * RATE_HZ * DURATION_MS / 1000
    if world.rank == 0:
        result = {"exchange_us": silent / exchanges * 1e6, "seen_us": (unseen - silent - own) / spikes * 1e6,
                  "inlet_us": (received - unseen) / spikes * 1e6}  # fmt: skip
        print("\n" + json.dumps(result))
    pc.barrier()


def measure(ranks: int) -> dict:
    """The costs of the parts on this machine."""
    from population import measure as engine

    alone, together = (_ranks(n, mpi.find()) for n in (1, ranks))
    parts = {"exchange_us": together["exchange_us"], "seen_us": together["seen_us"], "inlet_us": alone["inlet_us"]}
    cells = engine(cells=1024, synapses=1000, rate_hz=5, seconds=1, longest_ms=10)
    parts |= {"step_ms": cells["step_ms_a_cell_and_s"], "event_ns": cells["deliver_ns_an_event"]}
    return parts | {"measured_on_ranks": ranks}


def _ranks(ranks: int, found) -> dict:
    program = [sys.executable, __file__, "--rank"]
    command = program if ranks == 1 else mpi.command(found, ranks, program)
    done = subprocess.run(command, env=os.environ | mpi.environment(found), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


def predict(parts: dict, ranks: int, cells: int, synapses: int, rate_hz: float) -> dict:
    """Seconds of a biological second, part by part."""
    spikes = cells * rate_hz
    rounds = max(math.log2(ranks), 0.0) / max(math.log2(parts["measured_on_ranks"]), 1.0)
    seconds = {
        "step": cells / ranks * parts["step_ms"] * 1e-3,
        "event": spikes * synapses / ranks * parts["event_ns"] * 1e-9,
        "inlet": spikes * -np.expm1(-synapses / ranks) * parts["inlet_us"] * 1e-6,
        "seen": spikes * parts["seen_us"] * 1e-6,
        "exchange": 1000 / DELAY_MS * rounds * parts["exchange_us"] * 1e-6,
    }
    return {"ranks": ranks, **{k: float(v) for k, v in seconds.items()}, "total": float(sum(seconds.values()))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ranks", type=int, default=2, help="to measure the exchange on")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--synapses", type=int, default=1000, help="a cell")
    parser.add_argument("--rate", type=float, default=5.0, help="Hz")
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()
    if options.rank:
        return measure_rank()
    parts = measure(options.ranks)
    print("  ".join(f"{name} {value:.3g}" for name, value in parts.items()))
    table = [predict(parts, ranks, options.cells, options.synapses, options.rate) for ranks in RANKS]
    print("seconds a biological second\n" + "  ".join(f"{name:>9}" for name in table[0]))
    for row in table:
        print("  ".join(f"{value:9.3g}" for value in row.values()))
    if options.json:
        Path(options.json).write_text(json.dumps({"parts": parts, "table": table}, indent=1))


if __name__ == "__main__":
    main()
