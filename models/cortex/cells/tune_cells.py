"""Tune the channel densities of a cell to its published targets, from published densities.

    pip install "netml[cells]"
    python models/cortex/cells/tune_cells.py PT --minutes 60 --processes 2
    python models/cortex/cells/make_cells.py

What is searched are the logarithms of the densities in CELL.start.json, each within a factor of RANGE of its start,
PT's trunk diameters within DIAMETER_RANGE, the capacitance of L23's and IT's dendrites (membrane and spines) within
MEMBRANE_RANGE, reversal of the leak and shifts within ADDITIVE_MV. The STAGES of a cell come one after the other, each
from the best of the one before: a stage names the regions and mechanisms whose densities it moves, the protocols that
it runs, a connection onto the cell whose recorded potentials count as well, and protocols that must hold with a little
more and less apical sodium too (MARGIN). It is BluePyOpt's CMA-ES (Hansen & Ostermeier 2001,
doi:10.1162/106365601750190398), or DEAP's elitist one, in which the best candidate so far is the parent of the next
(Igel, Hansen & Roth 2007, doi:10.1162/evco.2007.15.1.1): PT's bursts come or fail with little, and the mean of good
candidates is often none.

Candidates are run with the variable step of `netml validate-cells`, and PT's, but in its last stage and under the
protocols that must hold with a margin, with one compartment a dendritic section, which is three times as fast. One that
is worse than the parent, or than the median of the generation before, is not run to its end. The best few of a stage
are then run whole.

After every generation a checkpoint is written to --folder, and the script goes on from there when it is started again,
so that it can be ended at any time. The same seed and start give the same candidates, on any number of processes (a
CMA-ES that goes on runs its first generation to the end, which can change what follows).
CELL.parameters.json is written whenever a cell is better than what stands there.
"""

import argparse
import json
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from threading import Event

import numpy as np
from bluepyopt.deapext.optimisationsCMA import DEAPOptimisationCMA
from bluepyopt.evaluators import Evaluator
from bluepyopt.objectives import Objective
from bluepyopt.parameters import Parameter
from deap import base, cma
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
FAR_SD, MISSING = 5.0, 25.0  # beyond the first a miss counts by its logarithm; a feature that is not there: the second
RANGE, DIAMETER_RANGE, MEMBRANE_RANGE, ADDITIVE_MV = 10.0, 3.0, 1.5, {"e": 8.0, "vshift": 4.0}
WIDER_MV = {"IT": {"vshift": 12.0}}  # its spikes begin at -36 mV, 15 mV above those of the others
SHARED = {("pas", "g"), ("pas", "e"), ("netml_ih", "gbar"), ("membrane", "cm")}  # one value for all regions
MARGIN = 0.03  # of apical sodium, that burst or none must not hang on
AFTER_MS = 100.0  # where nothing happens the last step may end so long before the run does; eFEL needs the window's end
PLACEMENTS = 2  # of a connection's contacts: candidates are compared on the same ones
CHILDREN = 4  # of the elitist search
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
        sigma: first standard deviation of the candidates, of the half range.
        elitist: children of the best candidate instead of generations.
        whole: run candidates with all segments.
        robust: names of protocols whose misses are means over the cell and two with MARGIN less and more apical sodium.
    """

    regions: tuple[str, ...]
    protocols: tuple[str, ...] = ()
    share: float = 1.0
    mechanisms: tuple[str, ...] = ()
    connection: str | None = None
    sigma: float = 0.15
    elitist: bool = False
    whole: bool = True
    robust: tuple[str, ...] = ()


REGIONS, PASSIVE = ("soma", "axon", "basal", "apical", "dend", "trunk"), ("pas", "netml_ih", "membrane")
ALL = {  # rest and deflections take a tenth of a second, and hardly depend on what makes spikes
    "passive": Stage(REGIONS, ("-0.02 nA", "-0.05 nA", "-0.1 nA"), 0.15, PASSIVE),
    "all": Stage(REGIONS, share=0.85),
}
# eFEL's time constant is of the first 10 ms, and does not see a slow membrane: the recorded PSP does
STAGES = {"L23": {name: replace(stage, connection="L23->L23") for name, stage in ALL.items()}}
BURSTS = ("bAP", "soma alone", "EPSP alone", "BAC")
STAGES["PT"] = {  # as Hay et al. (2011), the calcium spike first: where the steps come first the burst may never
    "dendrite": Stage(("apical", "trunk"), BURSTS, share=0.15, sigma=0.2, robust=BURSTS),
    "margin": Stage(REGIONS, share=0.45, sigma=0.06, robust=BURSTS, whole=False),
    "best": Stage(REGIONS, share=0.4, sigma=0.03, robust=BURSTS, elitist=True),
}


class Search(Evaluator):
    """The parameters of a stage as points of the cube [-1, 1]^n around `start`, and how far a point is off its targets.

    Args:
        cell: a name in TUNED.
        start: mechanisms by region; the centre of the ranges of all stages.
        best: mechanisms by region; what the parameters that the stage does not move keep.
    """

    def __init__(self, cell: str, start: dict, best: dict, stage: Stage):
        self.cell, self.start, self.best, self.whole = cell, start, best, stage.whole
        self.additive = ADDITIVE_MV | WIDER_MV.get(cell, {})
        self.enough = np.inf  # loss at which a candidate is given up
        targets = read_targets(FOLDER / f"{cell}.targets.json")
        chosen = [p for p in targets.protocols if p.name in stage.protocols or not stage.protocols]
        slopes = tuple(s for s in targets.slopes if {s.first, s.second} <= {p.name for p in chosen})
        self.robust = replace(targets, protocols=tuple(p for p in chosen if p.name in stage.robust), slopes=())
        others = tuple(p for p in chosen if p.name not in stage.robust)
        self.targets = replace(targets, protocols=others, slopes=slopes)
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

    def run(self, parameters: dict, enough: float = np.inf) -> tuple[np.ndarray, list[dict]]:
        """How much each feature adds to the loss, and a row for each."""
        spec = tuned_cell(self.cell, parameters)
        rows = psp_rows(self.pair, spec) if self.pair else []
        found = costs(rows)
        if self.robust.protocols:
            tried: list[list[dict]] = []
            for share in (0.0, -MARGIN, MARGIN):
                if costs(sum(tried, [])).sum() / 3 <= enough:
                    tried.append(rows_of(self.robust, tuned_cell(self.cell, more_sodium(parameters, share))))
            rows, found = rows + tried[0], np.append(found, np.sum([costs(one) for one in tried], axis=0) / 3)
        others = rows_of(self.targets, spec if self.whole else coarse(spec), enough - found.sum())
        return np.append(found, costs(others)), rows + others

    def evaluate_with_lists(self, point: list[float]) -> list[float]:
        """How much each feature of a point adds to the loss."""
        return self.run(self.parameters(point), self.enough)[0].tolist()

    init_simulator_and_evaluate_with_lists = evaluate_with_lists


def more_sodium(parameters: dict, by: float) -> dict:
    """The same with that share more of it in the apical dendrite."""
    changed = json.loads(json.dumps(parameters))
    changed["apical"]["netml_nat"]["gbar"] *= 1.0 + by
    return changed


def rows_of(targets: CellTargets, spec: dict, enough: float = np.inf) -> list[dict]:
    """What a cell does: a row a feature, as of `netml validate-cells`.

    The shortest protocols come first; once their loss is beyond `enough`, the others' features count as not there.
    """
    cell = ClampedCell(spec, targets.celsius, targets.v_init_mv)
    traces: dict[str, dict] = {}
    rows: list[dict] = []
    for protocol in sorted(targets.protocols, key=last_ms):
        if costs(rows).sum() > enough:
            features = sum(len(one.targets) for one in targets.protocols) + len(targets.slopes)
            return rows + [{"z": None}] * (features - len(rows))
        needed = replace(protocol, total_ms=last_ms(protocol))
        traces[protocol.name] = cell.run(needed, dt_ms=None)
        rows += scores(replace(targets, protocols=(protocol,), slopes=()), traces)
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
    size = np.where(size > FAR_SD, FAR_SD * (1 + np.log(size / FAR_SD)), size)
    size = np.where(np.isinf(size), MISSING, size)
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


class Fitness(base.Fitness):
    weights = (-1.0,)


class Candidate(list):
    """A point, as DEAP wants it."""

    def __init__(self, point):
        super().__init__(float(np.clip(x, -1.0, 1.0)) for x in point)
        self.fitness = Fitness()


def run_stage(search: Search, stage: Stage, checkpoint: Path, minutes: float, seed: int, processes: int) -> list[dict]:
    """The best parameters that are found in that time, the best first."""
    end = time.monotonic() + 60 * minutes
    with (
        checkpoint.with_suffix(".log").open("a") as log,
        ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool,  # mechanisms are loaded already
    ):

        def evaluate(points) -> list[list[float]]:
            values = list(pool.map(search.evaluate_with_lists, map(list, points)))
            losses = np.sum(values, axis=1)
            print(f"{checkpoint.stem}: {losses.size} candidates, best loss {losses.min():.2f}, median "
                  f"{np.median(losses):.2f}", file=log, flush=True)  # fmt: skip
            return values

        run = children if stage.elitist else generations
        best = run(search, evaluate, checkpoint, stage.sigma, seed, lambda: time.monotonic() > end)
    return [search.parameters(list(one)) for one in best]


def generations(
    search: Search, evaluate: Callable, checkpoint: Path, sigma: float, seed: int, ended: Callable[[], bool]
) -> list:
    """CMA-ES by BluePyOpt; the best points, the best first."""
    optimiser = DEAPOptimisationCMA(search, seed=seed, sigma=sigma, centroids=[search.point()],
                                    use_stagnation_criterion=False)  # fmt: skip
    over = Event()

    def mapped(_, points):
        values = evaluate(points)
        search.enough = float(np.median(np.sum(values, axis=1)))  # it learns from the better half
        if ended():
            over.set()
        return values

    optimiser.toolbox.register("map", mapped)
    *_, best, _, _ = optimiser.run(max_ngen=100_000, cp_filename=str(checkpoint), continue_cp=checkpoint.exists(),
                                   terminator=over)  # fmt: skip
    return best


def children(
    search: Search, evaluate: Callable, checkpoint: Path, sigma: float, seed: int, ended: Callable[[], bool]
) -> list:
    """Elitist CMA-ES by DEAP, CHILDREN at a time; the last parents, the last first."""
    if checkpoint.exists():
        strategy, parents, state = pickle.loads(checkpoint.read_bytes())
        np.random.set_state(state)
    else:
        np.random.seed(seed)
        parent = Candidate(search.point())
        parent.fitness.values = (float(np.sum(evaluate([parent]))),)
        strategy, parents = cma.StrategyOnePlusLambda(parent, sigma, lambda_=CHILDREN), [parent]
    while not ended():
        (search.enough,) = strategy.parent.fitness.values
        found = strategy.generate(Candidate)
        for child, values in zip(found, evaluate(found), strict=True):
            child.fitness.values = (float(np.sum(values)),)
        strategy.update(found)
        if strategy.parent != parents[0]:
            parents.insert(0, strategy.parent)
        checkpoint.with_suffix(".new").write_bytes(pickle.dumps((strategy, parents, np.random.get_state())))
        checkpoint.with_suffix(".new").replace(checkpoint)
    return parents


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cell", choices=sorted(TUNED))
    options.add_argument("--minutes", type=float, default=60.0, help="of all stages together")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--processes", type=int, default=1, help="that share the candidates")
    options.add_argument("--folder", type=Path, help="of the checkpoints; default: tuning/CELL here")
    options.add_argument("--start", type=Path, help="other than CELL.start.json")
    options.add_argument("--only", help="this stage alone, from CELL.parameters.json")
    chosen = options.parse_args()
    mechanisms.load(h, mechanisms.build([source_folder("mod")]))
    folder = chosen.folder or Path("tuning") / chosen.cell
    folder.mkdir(parents=True, exist_ok=True)
    output = FOLDER / f"{chosen.cell}.parameters.json"
    start = json.loads((chosen.start or FOLDER / f"{chosen.cell}.start.json").read_text())

    stages = STAGES.get(chosen.cell, ALL)
    known = [json.loads(output.read_text())] if output.exists() else []
    everything = Search(chosen.cell, start, start, [*stages.values()][-1])
    lowest = np.inf

    def judge(parameters: dict) -> float:
        """The loss of the whole cell, which is kept if it is the best."""
        nonlocal lowest
        found, rows = everything.run(parameters)
        loss = float(found.sum())
        print(f"  loss {loss:.2f}, {summary(rows)}", flush=True)
        if loss < lowest:
            lowest = loss
            output.write_text(json.dumps(parameters, indent=1) + "\n")
        return loss

    best = min((*known, start), key=judge)
    for name, stage in stages.items():
        if chosen.only not in (None, name):
            continue
        print(f"stage {name}", flush=True)
        search = Search(chosen.cell, start, best, stage)
        minutes = chosen.minutes * (1.0 if chosen.only else stage.share)
        checkpoint = folder / f"{name}.checkpoint"
        candidates = run_stage(search, stage, checkpoint, minutes, chosen.seed, chosen.processes)
        best = min(candidates[:WHOLE], key=judge)


if __name__ == "__main__":
    main()
