"""Tune the channel densities of a cell to its published targets, from published densities.

    pip install "netml[cells]"
    python models/cortex/cells/tune_cells.py PT
    python models/cortex/cells/make_cells.py

A seeded evolution strategy on the logarithms of all densities in CELL.start.json, each within a factor of RANGE of its
start, leak reversal within REVERSAL_MV: a candidate differs from the best in a few parameters; one that is better
takes its place, and its step is tried once more. Spikes come and go, so that derivatives mislead. A candidate is run
with one compartment a dendritic section and NEURON's variable step, about 4 s of processor time for PT; the cell
itself is judged with all segments (`netml validate-cells`). Writes CELL.parameters.json after every improvement, so
that it can be ended at any time. The same seed and start give the same candidates.

What ships is the start: PT's was found by hand with this script's parts (about 60 candidates, each named densities
scaled), and 3 candidates of seed 1 on a busy machine brought no more features within 2 SD.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from make_cells import TUNED, digits, tuned_cell
from neuron import h

from netml.circuit.physiology import read_targets
from netml.engine import mechanisms
from netml.engine.clamp import ClampedCell
from netml.toolchain import source_folder
from netml.validation.physiology import scores

FOLDER = Path(__file__).parent
FREE_SD = 1.5  # a miss by less hardly counts: the recorded cells differ as much
MISSING = 20.0  # SD that a feature counts which the candidate does not have
RANGE, REVERSAL_MV = 10.0, 8.0
SHARED = {("pas", "g"), ("pas", "e"), ("netml_ih", "gbar")}  # one value for all regions
FIXED = {"vshift"}
ATOL = 0.03  # of the variable step
MUTATED = 8  # parameters that a candidate changes, on average
STEP, LONGER, SHORTER = 0.025, 1.3, 0.95  # of the range: standard deviation of a change, and how it adapts


class Search:
    """The parameters of a cell as points of the unit cube, and how far a point is from the targets."""

    def __init__(self, cell: str, start: dict):
        mechanisms.load(h, mechanisms.build([source_folder("mod")]))
        self.cell, self.start, self.targets = cell, start, read_targets(FOLDER / f"{cell}.targets.json")
        places: dict[tuple, list[tuple[str, str, str]]] = {}
        for region, found in start.items():
            for mechanism, values in found.items():
                for name in values.keys() - FIXED:
                    key = (mechanism, name) if (mechanism, name) in SHARED else (region, mechanism, name)
                    places.setdefault(key, []).append((region, mechanism, name))
        self.places = [places[key] for key in sorted(places, key=str)]
        self.candidates = 0

    def parameters(self, point: np.ndarray) -> dict:
        """Mechanisms by region; the middle of the cube is the start."""
        found = json.loads(json.dumps(self.start))
        for places, x in zip(self.places, 2 * point - 1, strict=True):
            for region, mechanism, name in places:
                start = self.start[region][mechanism][name]
                moved = start + REVERSAL_MV * x if name == "e" else start * RANGE**x
                found[region][mechanism][name] = digits(moved)
        return found

    def rows(self, parameters: dict) -> list[dict]:
        """What a candidate does: a row a feature, as of `netml validate-cells`."""
        self.candidates += 1
        cell = ClampedCell(coarse(tuned_cell(self.cell, parameters)), self.targets.celsius, self.targets.v_init_mv)
        needed = [replace(protocol, total_ms=protocol.window_ms[1]) for protocol in self.targets.protocols]
        return scores(self.targets, {protocol.name: cell.run(protocol, dt_ms=None, atol=ATOL) for protocol in needed})

    def residuals(self, point: np.ndarray) -> np.ndarray:
        """z of each feature, at most MISSING."""
        rows = self.rows(self.parameters(point))
        return np.array([MISSING if row["z"] is None else np.clip(row["z"], -MISSING, MISSING) for row in rows])

    def improve(self, seed: int, candidates: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Ever better points and their residuals, from the start."""
        rng, size = np.random.default_rng(seed), len(self.places)
        best, again, scale = np.full(size, 0.5), None, STEP
        found = self.residuals(best)
        yield best, found
        for _ in range(candidates):
            drawn = rng.normal(0.0, scale, size) * (rng.random(size) < MUTATED / size)
            step = drawn if again is None else again
            point = np.clip(best + step, 0.0, 1.0)
            residuals = self.residuals(point)
            if loss(residuals) < loss(found):
                best, found, again, scale = point, residuals, step, min(scale * LONGER, 2 * STEP)
                yield best, found
            else:
                again, scale = None, max(scale * SHORTER, STEP / 4)


def loss(residuals: np.ndarray) -> float:
    """Sum of the misses in SD; those within FREE_SD count a tenth."""
    size = np.abs(residuals)
    return float(np.sum(np.maximum(size - FREE_SD, 0.0) + 0.1 * size))


def coarse(spec: dict) -> dict:
    """The cell with one compartment a dendritic section. The axon, where spikes start, keeps its own: without them
    spikes fail and double at random."""
    for name, sec in spec["secs"].items():
        if name in ("soma", "axon"):
            continue
        for values in sec["mechs"].values():
            for name, value in values.items():
                if isinstance(value, list):
                    values[name] = value[len(value) // 2]
        sec["geom"]["nseg"] = 1
    return spec


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cell", choices=sorted(TUNED))
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--candidates", type=int, default=400)
    options.add_argument("--start", type=Path, help="other than CELL.start.json")
    options.add_argument("--output", type=Path, help="other than CELL.parameters.json")
    chosen = options.parse_args()
    begun, cell = time.perf_counter(), chosen.cell
    search = Search(cell, json.loads((chosen.start or FOLDER / f"{cell}.start.json").read_text()))
    output = chosen.output or FOLDER / f"{cell}.parameters.json"
    for point, residuals in search.improve(chosen.seed, chosen.candidates):
        output.write_text(json.dumps(search.parameters(point), indent=1) + "\n")
        size = np.abs(residuals)
        inside, far = np.sum(size <= 2), np.sum(size > 5)
        print(f"{time.perf_counter() - begun:6.0f} s, {search.candidates:4} candidates: loss {loss(residuals):6.1f}, "
              f"{inside} of {size.size} features within 2 SD, {far} beyond 5", flush=True)  # fmt: skip
    print(f"{search.candidates} candidates in {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
