"""Accuracy against data, parameters and cost: pareto.py TRAIN.h5 VALIDATION.h5 FOLDER [--size ...] [--seconds ...].

Trains a reduction of every size on every amount of data, judges each as evaluate.py does, and writes FOLDER/table.md
and table.json. What is in FOLDER already is not trained again, so that a long table can be made in parts.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from evaluate import evaluate
from to_records import convert

from netml.artifact import Artifact
from netml.reductions import kernel
from netml.reductions.kernel import LANES, Reduction
from netml.training import train

SECONDS_A_TRIAL = 6
HELD_OUT = (0.1, 0.0)  # the judge has trials of its own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("validation")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", nargs="+", default=["small", "medium", "large"])
    parser.add_argument("--seconds", nargs="+", type=int, default=[300, 900, 2976], help="biological, of recordings")
    parser.add_argument("--updates", type=int, default=12000)
    arguments = parser.parse_args()
    rows = [row(arguments, size, seconds) for seconds in sorted(arguments.seconds) for size in arguments.size]
    (arguments.folder / "table.json").write_text(json.dumps(rows, indent=1))
    (arguments.folder / "table.md").write_text(table(rows))
    print(table(rows))


def row(arguments, size: str, seconds: int) -> dict:
    """Train (unless it stands there), judge and time one reduction."""
    records = arguments.folder / f"records-{seconds}"
    if not (records / "index.json").exists():
        convert(arguments.train, str(records), max(3, round(seconds / SECONDS_A_TRIAL)))
    output = arguments.folder / f"{size}-{seconds}-{arguments.updates}.netml"
    wall = None
    if not output.exists():
        start = time.perf_counter()
        train(records, output=output, size=size, updates=arguments.updates, progress=False, held_out=HELD_OUT)
        wall = time.perf_counter() - start
    scores = evaluate(output, arguments.validation)
    cost = cost_ns(Artifact.load(output))
    return {"size": size, "seconds": seconds, "train_wall_s": wall, "ns_a_cell_and_step": cost} | {
        name: scores[name] for name in ("parameters", "auc", "tp_at_1pct_fp", "explained_variance")
    }


def cost_ns(artifact: Artifact, steps: int = 30, blocks: int = 64) -> float:
    """Of one step of one cell in the kernel, on one core; the best of several runs. Many cells a call: Python's own
    time for a call is that of several blocks."""
    reduction, library = Reduction.of(artifact), kernel.load()
    state, x = library.rest(reduction, blocks), np.zeros((blocks, reduction.dims.inputs, LANES), np.float32)
    best = np.inf
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(steps):
            library.run_step(reduction, state, x)
        best = min(best, time.perf_counter() - start)
    return best / steps / blocks / LANES * 1e9


def table(rows: list[dict]) -> str:
    lines = ["| data, s | size | parameters | ns a cell and step | AUC | TP at 1 % FP | explained variance |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for r in rows:
        lines.append(
            f"| {r['seconds']} | {r['size']} | {r['parameters']} | {r['ns_a_cell_and_step']:.0f} | {r['auc']:.4f} | "
            f"{r['tp_at_1pct_fp']:.3f} | {r['explained_variance']:.4f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
