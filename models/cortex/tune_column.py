"""Find cfg.external of the column: the excitation from beyond it at which its cells fire as cfg.rates says.

    python models/cortex/tune_column.py --cells 50 --duration 1000 --rounds 8

A closed loop: run the column, compare the rate of each population with the target of its type, and change its events by
a share of the logarithm of the ratio; halve that share when the error changes its sign. Prints every round; the last
line goes into cfg.py.
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
    """Mean rate of each population, Hz, without the first SKIP_MS."""
    seconds = (run.duration_ms - SKIP_MS) / 1000
    return {
        pop: (run.spikes(pop)[0] > SKIP_MS).sum() / about["size"] / seconds for pop, about in run.populations.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=50)
    parser.add_argument("--duration", type=float, default=1000.0, help="ms")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--ranks", type=int, default=1)
    options = parser.parse_args()
    cfg = load_project(find_project(MODEL))[1]
    external, gain, before = dict(cfg.external), dict.fromkeys(cfg.external, 0.5), dict.fromkeys(cfg.external, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            settings = {"circuit": "column", "n_cells": options.cells, "external": external}
            run = netml.Run.open(netml.simulate(
                MODEL, cfg=settings, duration=options.duration, seed=1 + number, ranks=options.ranks,
                engine="coreneuron", build="fast", output=Path(folder) / "run", overwrite=True, progress=False,
            ))  # fmt: skip
            for pop, rate in rates(run).items():
                target = cfg.rates[run.populations[pop]["cell_model"]]
                error = float(np.clip(np.log(target / max(rate, 0.1 * target)), -1.0, 1.0))
                gain[pop] *= 0.6 if error * before[pop] < 0 else 1.0
                before[pop] = error
                external[pop] = max(external[pop] + gain[pop] * error * max(0.5 * external[pop], 500.0), 0.0)
                print(f"{pop} {rate:.1f} of {target:g} Hz", end="  ", flush=True)
            print(
                "\n    cfg.external =", json.dumps({pop: round(events) for pop, events in external.items()}), flush=True
            )


if __name__ == "__main__":
    main()
