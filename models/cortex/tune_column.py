"""Find cfg.external and cfg.others of the column: the input at which each type fires as cfg.rates says.

    python models/cortex/tune_column.py --cells 50 --duration 1000 --rounds 8

A closed loop: run the column, compare the rate of each type with its target, and change the type's input by a share of
the logarithm of the ratio; halve that share when the error changes its sign. A type that fires too much loses
excitation from beyond the circuit down to cfg.external's BASE, then gets inhibition of what the circuit leaves out; one
that fires too little the other way round. Prints every round; the last lines go into cfg.py.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import netml
from netml.circuit.project import find_project, load_project

MODEL = Path(__file__).resolve().parent
SKIP_MS = 200.0
BASE = 300.0  # excitatory events from beyond, Hz a cell, of every type


def rates(run: netml.Run) -> dict[str, float]:
    """Mean rate of each type, Hz, without the first SKIP_MS."""
    spikes, cells = {}, {}
    for pop, about in run.populations.items():
        kind = about["cell_model"]
        spikes[kind] = spikes.get(kind, 0) + int((run.spikes(pop)[0] > SKIP_MS).sum())
        cells[kind] = cells.get(kind, 0) + about["size"]
    return {kind: spikes[kind] / cells[kind] * 1000 / (run.duration_ms - SKIP_MS) for kind in spikes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=50)
    parser.add_argument("--duration", type=float, default=1000.0, help="ms")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--ranks", type=int, default=1)
    options = parser.parse_args()
    cfg = load_project(find_project(MODEL))[1]
    external, others, target = dict(cfg.external), dict(cfg.others), dict(cfg.rates)
    gain, before = dict.fromkeys(target, 0.5), dict.fromkeys(target, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            settings = {"circuit": "column", "n_cells": options.cells, "external": external, "others": others}
            run = netml.Run.open(netml.simulate(
                MODEL, cfg=settings, duration=options.duration, seed=1 + number, ranks=options.ranks,
                engine="coreneuron", build="fast", output=Path(folder) / "run", overwrite=True, progress=False,
            ))  # fmt: skip
            found = rates(run)
            print(*(f"{kind} {rate:.2f} of {target[kind]:g} Hz " for kind, rate in found.items()), flush=True)
            for kind, rate in found.items():
                error = float(np.clip(np.log(max(rate, 0.1 * target[kind]) / target[kind]), -1.0, 1.0))
                gain[kind] *= 0.6 if error * before[kind] < 0 else 1.0
                before[kind] = error
                more = gain[kind] * error * max(others[kind] + external[kind], 1000.0)  # inhibition, or less excitation
                less = min(max(external[kind] - BASE, 0.0), more) if more > 0 else 0.0
                others[kind] += more - less
                external[kind] -= less + min(others[kind], 0.0)
                others[kind] = max(others[kind], 0.0)
            for name, value in (("external", external), ("others", others)):
                print(
                    f"    cfg.{name} =", json.dumps({kind: round(events) for kind, events in value.items()}), flush=True
                )


if __name__ == "__main__":
    main()
