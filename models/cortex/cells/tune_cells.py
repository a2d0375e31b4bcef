"""Tune the channel densities of a cell to its published targets, from published densities.

    pip install "netml[cells]"
    python models/cortex/cells/tune_cells.py PT --minutes 60 --processes 2
    python models/cortex/cells/make_cells.py

What is searched are the logarithms of the densities in CELL.start.json, each within a factor of RANGE of its start,
PT's trunk diameters within DIAMETER_RANGE, the capacitance of L23's and IT's dendrites (membrane and spines) within
MEMBRANE_RANGE, reversal of the leak and shifts within ADDITIVE_MV. The STAGES of a cell come one after the other, each
from the best of the one before: a stage names the regions and mechanisms whose densities it moves, the protocols that
it runs, a connection onto the cell whose recorded potentials count as well, and protocols that must hold with a little
more and less apical sodium too (MARGIN). The search is BluePyOpt's CMA-ES (Hansen & Ostermeier 2001,
doi:10.1162/106365601750190398), which knows the loss alone, or, for PT, one that learns every feature
(gaussian_processes.py): in a box around the best point it runs those that would be best if the features were as drawn
from what it knows (Thompson sampling); the box grows with success and shrinks without (Eriksson et al. 2019,
arXiv:1910.01465).

Candidates are run with the variable step of `netml validate-cells`, and in a stage that is not `whole` with one
compartment a dendritic section but the trunk's, which is twice as fast. In a CMA-ES, one that is worse than the median
of the generation before is not run to its end. The best few of a stage are then run whole.

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
import torch
from bluepyopt.deapext.optimisationsCMA import DEAPOptimisationCMA
from bluepyopt.evaluators import Evaluator
from bluepyopt.objectives import Objective
from bluepyopt.parameters import Parameter
from gaussian_processes import Processes, lowest
from make_cells import TUNED, digits, tuned_cell
from neuron import h

from netml.circuit.connections import Pair, find_pairs
from netml.circuit.physiology import CellTargets, Protocol, read_targets
from netml.engine.experiments.current_clamp import ClampedCell
from netml.engine.experiments.paired_recording import HeldCell
from netml.engine.mechanisms.build import build_mechanisms, load_mechanisms
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
KNOWN = 300  # points nearest to the best, from which features are learned
WARMTH = (0.0, 0.3, 1.0, 0.3, 1.0, 0.3, 1.0, 0.3)  # of a batch's draws: the first is what is expected
BOX, STRETCH = (0.01, 0.5), 1.5  # how small and large its box may be, and what two successes or failures make of it
ABSENT = 15.0  # what it takes a feature that is not there for, on the side where most are
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
        learns: every feature, instead of a CMA-ES on their sum.
        whole: run candidates with all segments, not as `coarse` leaves them.
        robust: names of protocols whose misses are means over the cell and two with MARGIN less and more apical sodium.
    """

    regions: tuple[str, ...]
    protocols: tuple[str, ...] = ()
    share: float = 1.0
    mechanisms: tuple[str, ...] = ()
    connection: str | None = None
    sigma: float = 0.15
    learns: bool = False
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
STAGES["PT"] = {  # the calcium spike first, as Hay et al. (2011): where there is none, what changes it is not seen
    "dendrite": Stage(("apical", "trunk"), BURSTS, share=0.25, sigma=0.2, robust=BURSTS),
    "coarse": Stage(REGIONS, share=0.45, sigma=0.06, learns=True, whole=False, robust=BURSTS),
    "whole": Stage(REGIONS, share=0.3, sigma=0.02, learns=True, robust=BURSTS),
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
        once, thrice = (sum(len(p.targets) for p in some) for some in (others, self.robust.protocols))
        once += len(slopes)
        first = len(self.pair.recorded) if self.pair else 0
        self.weights = np.repeat([1.0, 1 / 3, 1.0], [first, 3 * thrice, once])
        super().__init__([Objective(str(k)) for k in range(len(self.weights))], parameters)

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
        """Each feature's miss (those that must hold with a margin thrice), and a row for each of the cell itself."""
        spec = tuned_cell(self.cell, parameters)
        rows = psp_rows(self.pair, spec) if self.pair else []
        found = misses(rows)
        if self.robust.protocols:
            for share in (0.0, -MARGIN, MARGIN):
                cell = tuned_cell(self.cell, more_sodium(parameters, share))
                tried = rows_of(self.robust, cell if self.whole else coarse(cell), 3 * (enough - self.loss(found)))
                found = np.append(found, misses(tried))
                rows = rows if share else rows + tried
        others = rows_of(self.targets, spec if self.whole else coarse(spec), enough - self.loss(found))
        return np.append(found, misses(others)), rows + others

    def loss(self, found: np.ndarray) -> float:
        """Of the first few misses, or all."""
        return float((self.weights[: len(found)] * costs(found)).sum())

    def misses(self, point: list[float]) -> np.ndarray:
        """Of all features at a point."""
        return self.run(self.parameters(point), self.enough)[0]

    def evaluate_with_lists(self, point: list[float]) -> list[float]:
        """How much each of them adds to the loss."""
        return (self.weights * costs(self.misses(point))).tolist()

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
    ran: list[Protocol] = []
    for protocol in sorted(targets.protocols, key=last_ms):
        if costs(misses(rows)).sum() > enough:
            features = sum(len(one.targets) for one in targets.protocols) + len(targets.slopes)
            return rows + [{"z": None}] * (features - len(rows))
        needed = replace(protocol, total_ms=last_ms(protocol))
        same = (one for one in ran if one.currents == needed.currents and one.total_ms == needed.total_ms)
        known = next((one for one in same if needed.record.items() <= one.record.items()), None)
        traces[protocol.name] = traces[known.name] if known else cell.run(needed, dt_ms=None)
        ran.append(needed)
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


def misses(rows: list[dict]) -> np.ndarray:
    """Of each feature z, beyond FAR_SD growing with its logarithm only; NaN: not there."""
    z = np.array([np.nan if row["z"] is None else row["z"] for row in rows])
    far = FAR_SD * (1 + np.log(np.maximum(np.abs(z), FAR_SD) / FAR_SD))
    return np.where(np.abs(z) > FAR_SD, np.copysign(far, z), z)


def costs(found: np.ndarray) -> np.ndarray:
    """Of each miss what it adds to the loss: within FREE_SD a tenth of it."""
    size = np.where(np.isnan(found), MISSING, np.abs(found))
    return np.maximum(size - FREE_SD, 0.0) + 0.1 * size


def coarse(spec: dict) -> dict:
    """The cell with one compartment a dendritic section. The axon, where spikes start, keeps its own (without them
    spikes fail and double at random), and the trunk (bursts need them)."""
    for name, sec in spec["secs"].items():
        if name in ("soma", "axon", *spec["secLists"]["trunk"]):
            continue
        for values in sec["mechs"].values():
            for key, value in values.items():
                if isinstance(value, list):
                    values[key] = value[len(value) // 2]
        sec["geom"]["nseg"] = 1
    return spec


def run_stage(search: Search, stage: Stage, checkpoint: Path, minutes: float, seed: int, processes: int) -> list[dict]:
    """The best parameters that are found in that time, the best first."""
    end = time.monotonic() + 60 * minutes
    with (
        checkpoint.with_suffix(".log").open("a") as log,
        ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool,  # mechanisms are loaded already
    ):

        def evaluate(points) -> np.ndarray:
            found = np.array(list(pool.map(search.misses, map(list, points))))
            losses = [search.loss(one) for one in found]
            print(f"{checkpoint.stem}: {len(losses)} candidates, best loss {min(losses):.2f}, median "
                  f"{np.median(losses):.2f}", file=log, flush=True)  # fmt: skip
            return found

        run = learning if stage.learns else generations
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
        values = search.weights * costs(evaluate(points))
        search.enough = float(np.median(values.sum(axis=1)))  # it learns from the better half
        if ended():
            over.set()
        return values.tolist()

    optimiser.toolbox.register("map", mapped)
    *_, best, _, _ = optimiser.run(max_ngen=100_000, cp_filename=str(checkpoint), continue_cp=checkpoint.exists(),
                                   terminator=over)  # fmt: skip
    return best


def learning(
    search: Search, evaluate: Callable, checkpoint: Path, sigma: float, seed: int, ended: Callable[[], bool]
) -> list:
    """Thompson sampling in a box around the best point, from Gaussian processes of all features; the best first."""
    random = torch.Generator().manual_seed(seed)
    if checkpoint.exists():
        points, found, radius, streak, state = pickle.loads(checkpoint.read_bytes())
        random.set_state(state)
    else:
        centre = np.array(search.point())
        around = torch.randn(len(centre) + 10, len(centre), generator=random, dtype=torch.float64).numpy()
        points = np.clip(np.vstack([centre, centre + sigma * around]), -1.0, 1.0)
        found, radius, streak = evaluate(points), 2 * sigma, 0
    weights = torch.as_tensor(search.weights)
    while True:
        losses = np.array([search.loss(one) for one in found])
        best = points[losses.argmin()]
        state = random.get_state()
        checkpoint.with_suffix(".new").write_bytes(pickle.dumps((points, found, radius, streak, state)))
        checkpoint.with_suffix(".new").replace(checkpoint)
        if ended():
            return list(points[losses.argsort()])
        nearest = np.argsort(((points - best) ** 2).sum(axis=1))[:KNOWN]
        sides = np.where(np.median(np.nan_to_num(found), axis=0) < 0, -1.0, 1.0)
        values = np.where(np.isnan(found), ABSENT * sides, found)
        known = Processes(points[nearest], values[nearest], best, radius)
        tried = []
        for warmth in WARMTH:
            drawn = known.draw(random, warmth)

            def loss(x, drawn=drawn):
                size = drawn(x).abs()
                return (torch.nn.functional.softplus(size - FREE_SD, beta=4.0) + 0.1 * size) @ weights

            tried.append(lowest(loss, best, radius, random))
        new = evaluate(tried)
        success = min(search.loss(one) for one in new) < losses.min()
        streak = max(streak, 0) + 1 if success else min(streak, 0) - 1
        if abs(streak) == 2:
            radius, streak = float(np.clip(radius * STRETCH ** (streak / 2), *BOX)), 0
        points, found = np.vstack([points, tried]), np.vstack([found, new])


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
    torch.set_num_threads(1)  # more would wait for each other beside the processes
    load_mechanisms(h, build_mechanisms([source_folder("mod")]))
    folder = chosen.folder or Path("tuning") / chosen.cell
    folder.mkdir(parents=True, exist_ok=True)
    output = FOLDER / f"{chosen.cell}.parameters.json"
    start = json.loads((chosen.start or FOLDER / f"{chosen.cell}.start.json").read_text())

    stages = STAGES.get(chosen.cell, ALL)
    known = [json.loads(output.read_text())] if output.exists() else []
    everything = Search(chosen.cell, start, start, [*stages.values()][-1])
    least = np.inf

    def judge(parameters: dict) -> float:
        """The loss of the whole cell, which is kept if it is the best."""
        nonlocal least
        found, rows = everything.run(parameters)
        loss = everything.loss(found)
        print(f"  loss {loss:.2f}, {summary(rows)}", flush=True)
        if loss < least:
            least = loss
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
