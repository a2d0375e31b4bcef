"""Tune the channel densities of a cell to its published targets, from published densities.

    pip install "netml[cells]"
    python models/cortex/cells/tune_cells.py PT --minutes 60
    python models/cortex/cells/make_cells.py

BluePyOpt's CMA-ES (Hansen & Ostermeier 2001, doi:10.1162/106365601750190398) on the logarithms of the densities in
CELL.start.json, each within a factor of RANGE of its start, PT's trunk diameters within DIAMETER_RANGE, the capacitance
of L23's and IT's dendrites (membrane and spines) within MEMBRANE_RANGE, reversal of the leak and shifts within
ADDITIVE_MV. The STAGES of a cell are searched one after the other, each from the best of the one before: a stage names
the regions and mechanisms whose densities it moves, the protocols that it runs and a connection onto the cell whose
recorded potentials count as well. A candidate is run with NEURON's variable step and one compartment a dendritic
section (half as long as whole for PT, no gain for the others); the best few of a stage are then run whole. PT's best
were worse as whole cells than the start: --whole runs every candidate so. A candidate that is far worse than the best
one is not run to its end (GIVE_UP).

After every generation a checkpoint is written to --folder, and the script goes on from there when it is started again,
so that it can be ended at any time. The same seed and start give the same candidates. CELL.parameters.json is written
whenever a whole cell is better than what stands there.
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np
from bluepyopt.deapext.optimisationsCMA import DEAPOptimisationCMA
from bluepyopt.evaluators import Evaluator
from bluepyopt.objectives import Objective
from bluepyopt.parameters import Parameter
from make_cells import TUNED, digits, tuned_cell
from neuron import h

from netml.circuit.connections import Pair, find_pairs
from netml.circuit.physiology import CellTargets, Protocol, read_targets
from netml.engine import mechanisms
from netml.engine.clamp import ClampedCell
from netml.engine.pairs import HeldCell
from netml.toolchain import source_folder
from netml.validation import pairs
from netml.validation.physiology import scores, summary

FOLDER = Path(__file__).parent
FREE_SD = 1.5  # a miss by less hardly counts: the recorded cells differ as much
FAR_SD, MISSING = 5.0, 20.0  # beyond the first a miss counts by its logarithm; a feature that is not there: the second
RANGE, DIAMETER_RANGE, MEMBRANE_RANGE, ADDITIVE_MV = 10.0, 3.0, 1.5, {"e": 8.0, "vshift": 4.0}
WIDER_MV = {"IT": {"vshift": 12.0}}  # its spikes begin at -36 mV, 15 mV above those of the others
SHARED = {("pas", "g"), ("pas", "e"), ("netml_ih", "gbar"), ("membrane", "cm")}  # one value for all regions
ATOL = 0.03  # of the variable step
AFTER_MS = 100.0  # where nothing happens the last step may end so long before the run does; eFEL needs the window's end
SIGMA = 0.06  # of the half range: first standard deviation of the candidates
GIVE_UP = 1.5  # a candidate is not run further once its loss is that many times the lowest
PLACEMENTS = 2  # of a connection's contacts: candidates are compared on the same ones
WHOLE = 5  # best candidates of a stage that are run with all their segments


@dataclass(frozen=True)
class Stage:
    """A part of the search.

    Attributes:
        regions: whose densities are moved.
        protocols: names of those that candidates are run under; none: all.
        share: of the time.
        mechanisms: of the regions, whose densities are moved; none: all.
        connection: onto the cell, whose recorded potentials' kinetics count as well.
    """

    regions: tuple[str, ...]
    protocols: tuple[str, ...] = ()
    share: float = 1.0
    mechanisms: tuple[str, ...] = ()
    connection: str | None = None


STAGES = {  # as Hay et al. (2011): the calcium spike first, then the spikes of the soma, then both together
    "PT": {
        "dendrite": Stage(("apical", "trunk"), ("bAP", "soma alone", "EPSP alone", "BAC"), 0.1),
        "soma": Stage(("soma", "axon", "basal"), share=0.3),
        "all": Stage(("soma", "axon", "basal", "apical", "trunk"), share=0.6),
    }
}
REGIONS, PASSIVE = ("soma", "axon", "basal", "apical", "dend"), ("pas", "netml_ih", "membrane")
ALL = {  # rest and deflections take a tenth of a second, and hardly depend on what makes spikes
    "passive": Stage(REGIONS, ("-0.02 nA", "-0.05 nA", "-0.1 nA"), 0.15, PASSIVE),
    "all": Stage(REGIONS, share=0.85),
}
# eFEL's time constant is of the first 10 ms, and does not see a slow membrane: the recorded PSP does
STAGES["L23"] = {name: replace(stage, connection="L23->L23") for name, stage in ALL.items()}


class Search(Evaluator):
    """The parameters of a stage as points of the cube [-1, 1]^n around `start`, and how far a point is off its targets.

    Args:
        cell: a name in TUNED.
        start: mechanisms by region; the centre of the ranges of all stages.
        best: mechanisms by region; what the parameters that the stage does not move keep.
        whole: run candidates with all segments.
    """

    def __init__(self, cell: str, start: dict, best: dict, stage: Stage, whole: bool = False):
        self.cell, self.start, self.best, self.whole = cell, start, best, whole
        self.additive = ADDITIVE_MV | WIDER_MV.get(cell, {})
        self.lowest = np.inf
        targets = read_targets(FOLDER / f"{cell}.targets.json")
        chosen = [p for p in targets.protocols if p.name in stage.protocols or not stage.protocols]
        slopes = tuple(s for s in targets.slopes if {s.first, s.second} <= {p.name for p in chosen})
        self.targets = replace(targets, protocols=tuple(chosen), slopes=slopes)
        self.pair = kinetics(stage.connection)
        places: dict[tuple, list[tuple[str, str, str]]] = {}
        for region, found in start.items():
            for mechanism, values in found.items():
                if stage.mechanisms and mechanism not in stage.mechanisms:
                    continue
                for name in values:
                    shared = (mechanism, name) in SHARED
                    if not shared and region not in stage.regions or shared and "soma" not in stage.regions:
                        continue
                    key = (mechanism, name) if shared else (region, mechanism, name)
                    places.setdefault(key, []).append((region, mechanism, name))
        self.places = [places[key] for key in sorted(places, key=str)]
        parameters = [Parameter(".".join(one[0]), bounds=(-1.0, 1.0)) for one in self.places]
        features = sum(len(p.targets) for p in chosen) + len(slopes) + (len(self.pair.recorded) if self.pair else 0)
        super().__init__([Objective(str(k)) for k in range(features)], parameters)

    def point(self) -> list[float]:
        """Where `best` lies in the cube."""
        found = []
        for (region, mechanism, name), *_ in self.places:
            start, best = self.start[region][mechanism][name], self.best[region][mechanism][name]
            span = np.log(range_of(mechanism))
            moved = (best - start) / self.additive[name] if name in self.additive else np.log(best / start) / span
            found.append(float(np.clip(moved, -1.0, 1.0)))
        return found

    def parameters(self, point: list[float]) -> dict:
        """Mechanisms by region."""
        found = json.loads(json.dumps(self.best))
        for places, x in zip(self.places, point, strict=True):
            for region, mechanism, name in places:
                start = self.start[region][mechanism][name]
                moved = start + self.additive[name] * x if name in self.additive else start * range_of(mechanism) ** x
                found[region][mechanism][name] = digits(moved)
        return found

    def evaluate_with_lists(self, point: list[float]) -> list[float]:
        """How much each feature adds to the loss."""
        spec = tuned_cell(self.cell, self.parameters(point))
        psps = psp_rows(self.pair, spec) if self.pair else []
        enough = GIVE_UP * self.lowest - costs(psps).sum()
        found = costs(psps + rows_of(self.targets, spec if self.whole else coarse(spec), enough))
        self.lowest = min(self.lowest, found.sum())
        return found.tolist()

    init_simulator_and_evaluate_with_lists = evaluate_with_lists


def rows_of(targets: CellTargets, spec: dict, enough: float = np.inf) -> list[dict]:
    """What a cell does: a row a feature, as of `netml validate-cells`.

    The shortest protocols come first; once their loss is beyond `enough`, the others' features count as not there.
    """
    cell = ClampedCell(spec, targets.celsius, targets.v_init_mv)
    traces: dict[str, dict] = {}
    rows: list[dict] = []
    for protocol in sorted(targets.protocols, key=last_ms):
        needed = replace(protocol, total_ms=last_ms(protocol))
        traces[protocol.name] = cell.run(needed, dt_ms=None, atol=ATOL)
        rows += scores(replace(targets, protocols=(protocol,), slopes=()), traces)
        if costs(rows).sum() > enough:
            features = sum(len(one.targets) for one in targets.protocols) + len(targets.slopes)
            return rows + [{"z": None}] * (features - len(rows))
    return scores(targets, traces)


def kinetics(connection: str | None) -> Pair | None:
    """A recorded connection with all its features but those that a conductance, not the cell, decides."""
    if connection is None:
        return None
    (pair,) = find_pairs(FOLDER.parent, [connection])
    return replace(pair, recorded=tuple(one for one in pair.recorded if one.feature.endswith("_ms")))


def psp_rows(pair: Pair, spec: dict) -> list[dict]:
    """Features of the connection's potentials in a cell that is not in its file yet."""
    held = HeldCell(spec, pair.hold_mv)
    drawn = pair.placements(spec, PLACEMENTS)
    return pairs.rows(pair, [{None: held.potential(pair.mod, pair.parameters, pair.weight_us, one)} for one in drawn])


def range_of(mechanism: str) -> float:
    """By which factor its parameters may move from their start."""
    return {"diam_um": DIAMETER_RANGE, "membrane": MEMBRANE_RANGE}.get(mechanism, RANGE)


def last_ms(protocol: Protocol) -> float:
    """When a run may end: AFTER_MS beyond the window, or later where a feature is of what follows it."""
    after = any("after" in target.feature for target in protocol.targets)
    return protocol.total_ms if after else min(protocol.total_ms, protocol.window_ms[1] + AFTER_MS)


def costs(rows: list[dict]) -> np.ndarray:
    """Of each feature its miss in SD: within FREE_SD a tenth of it, beyond FAR_SD growing with its logarithm only."""
    size = np.array([np.inf if row["z"] is None else max(abs(row["z"]), 1e-9) for row in rows])
    size = np.where(size > FAR_SD, np.minimum(FAR_SD * (1 + np.log(size / FAR_SD)), MISSING), size)
    return np.maximum(size - FREE_SD, 0.0) + 0.1 * size


def coarse(spec: dict) -> dict:
    """The cell with one compartment a dendritic section. The axon, where spikes start, keeps its own: without them
    spikes fail and double at random."""
    for name, sec in spec["secs"].items():
        if name in ("soma", "axon"):
            continue
        for values in sec["mechs"].values():
            for key, value in values.items():
                if isinstance(value, list):
                    values[key] = value[len(value) // 2]
        sec["geom"]["nseg"] = 1
    return spec


def run_stage(search: Search, checkpoint: Path, minutes: float, seed: int, sigma: float) -> list[dict]:
    """The best parameters that CMA-ES finds in that time, the best first."""
    optimiser = DEAPOptimisationCMA(search, seed=seed, sigma=sigma, centroids=[search.point()],
                                    use_stagnation_criterion=False)  # fmt: skip
    over, end = Event(), time.monotonic() + 60 * minutes
    log = checkpoint.with_suffix(".log").open("a")

    def mapped(function, points):
        values = [function(point) for point in points]
        best = min(float(np.sum(value)) for value in values)
        print(f"{checkpoint.stem}: {len(values)} candidates, best loss {best:.2f}", file=log, flush=True)
        if time.monotonic() > end:
            over.set()
        return values

    optimiser.toolbox.register("map", mapped)
    *_, best, _, _ = optimiser.run(max_ngen=100_000, cp_filename=str(checkpoint), continue_cp=checkpoint.exists(),
                                   terminator=over)  # fmt: skip
    log.close()
    return [search.parameters(list(one)) for one in best]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cell", choices=sorted(TUNED))
    options.add_argument("--minutes", type=float, default=60.0, help="of all stages together")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--sigma", type=float, default=SIGMA, help="first SD of the candidates, of the half range")
    options.add_argument("--folder", type=Path, help="of the checkpoints; default: tuning/CELL here")
    options.add_argument("--start", type=Path, help="other than CELL.start.json")
    options.add_argument("--whole", action="store_true", help="run candidates with all segments")
    options.add_argument("--only", help="this stage alone, from CELL.parameters.json")
    chosen = options.parse_args()
    mechanisms.load(h, mechanisms.build([source_folder("mod")]))
    folder = chosen.folder or Path("tuning") / chosen.cell
    folder.mkdir(parents=True, exist_ok=True)
    output = FOLDER / f"{chosen.cell}.parameters.json"
    start = json.loads((chosen.start or FOLDER / f"{chosen.cell}.start.json").read_text())
    targets = read_targets(FOLDER / f"{chosen.cell}.targets.json")

    stages = STAGES.get(chosen.cell, ALL)
    pair = kinetics(next((stage.connection for stage in stages.values()), None))
    known = [json.loads(output.read_text())] if output.exists() else []
    lowest = np.inf

    def judge(parameters: dict) -> float:
        """The loss of the whole cell, which is kept if it is the best."""
        nonlocal lowest
        spec = tuned_cell(chosen.cell, parameters)
        rows = rows_of(targets, spec) + (psp_rows(pair, spec) if pair else [])
        loss = float(costs(rows).sum())
        print(f"  whole cell: loss {loss:.2f}, {summary(rows)}", flush=True)
        if loss < lowest:
            lowest = loss
            output.write_text(json.dumps(parameters, indent=1) + "\n")
        return loss

    best = min((*known, start), key=judge)
    for name, stage in stages.items():
        if chosen.only not in (None, name):
            continue
        print(f"stage {name}", flush=True)
        search = Search(chosen.cell, start, best, stage, chosen.whole)
        minutes = chosen.minutes * (1.0 if chosen.only else stage.share)
        candidates = run_stage(search, folder / f"{name}.checkpoint", minutes, chosen.seed, chosen.sigma)
        best = candidates[0]
        for parameters in candidates[:WHOLE]:
            judge(parameters)


if __name__ == "__main__":
    main()
