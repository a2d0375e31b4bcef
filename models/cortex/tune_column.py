"""Find cfg.external of the column: the excitation from beyond it at which each type fires as cfg.rates says.

    python models/cortex/tune_column.py --cells 50 --duration 1000 --rounds 8

A closed loop: run the column, compare the rate of each type with its target, change the events that it gets by a share
of the logarithm of the ratio, halve that share when the error changes its sign. Prints every round; the last line goes
into cfg.py.
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
    external, target = dict(cfg.external), dict(cfg.rates)
    gain, before = dict.fromkeys(external, 0.4), dict.fromkeys(external, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            settings = {"circuit": "column", "n_cells": options.cells, "external": external}
            run = netml.Run.open(netml.simulate(
                MODEL, cfg=settings, duration=options.duration, seed=1 + number, ranks=options.ranks,
                engine="coreneuron", build="fast", output=Path(folder) / "run", overwrite=True, progress=False,
            ))  # fmt: skip
            found = rates(run)
            print("  ".join(f"{kind} {rate:6.2f} of {target[kind]:4.1f} Hz" for kind, rate in found.items()), flush=True)
            for kind, rate in found.items():
                error = float(np.clip(np.log(target[kind] / max(rate, 0.1 * target[kind])), -1.0, 1.0))
                gain[kind] *= 0.6 if error * before[kind] < 0 else 1.0
                before[kind] = error
                external[kind] = max(external[kind] + gain[kind] * error * max(external[kind], 1000.0), 0.0)
            print("   ", json.dumps({kind: round(events) for kind, events in external.items()}), flush=True)


if __name__ == "__main__":
    main()
