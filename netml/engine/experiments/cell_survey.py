"""What a circuit's cells and synapses do one by one: tasks of `netml describe`, for `launch`.

`survey_connections` sends one spike through each connection rule onto a cell at rest, one rule after the other;
`survey_steps` gives cells of each type currents. Both run the project with its populations, rules and stimulations
replaced; its cells, synapses and configuration stay.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from netml.circuit.cell import threshold_mv
from netml.circuit.conditions import conditions_hold
from netml.engine.circuit.run import CircuitRun, SimulateConfig
from netml.engine.ranks import mpi

SIZE = ("numCells", "density", "gridSpacing", "cellsList", "diversity")
WHICH = ("probability", "convergence", "divergence", "connList", "connFunc")
SETTLE_MS, APART_MS, PULSE_MS, STEP_MS = 200.0, 100.0, 200.0, 600.0
CELLS = 3  # of each population, each with weights and places of its own
PULSE_NA = -0.02
DRIVES_MV = np.arange(1, 9) * 8.0  # currents, as what they would add to the voltage of a passive cell


@dataclass(frozen=True)
class StepsJob:
    """Currents of each type of cell, nA (plain data)."""

    config: SimulateConfig
    currents: dict[str, list[float]]


class _Alone(CircuitRun):
    """The project's cells in what `arrange(net_params, cfg)` makes of its network."""

    def __init__(self, config: SimulateConfig, arrange):
        super().__init__(config, mpi.start())
        self._arrange = arrange
        self.plan: dict[str, Any] = {}  # what `arrange` returned, once built

    def create(self, net_params: Any, cfg: Any) -> None:
        somata = {_soma(rule) for rule in net_params.cellParams.values() if rule.get("secs")}
        cfg.recordTraces = {name: {"sec": name, "loc": 0.5, "var": "v"} for name in somata}
        cfg.recordCells, cfg.recordLFP, cfg.recordDipole = ["all"], [], False
        cfg.recordStep = cfg.dt * max(round(0.1 / cfg.dt), 1)
        self.plan = self._arrange(net_params, cfg) or {}
        super().create(net_params, cfg)

    def result(self):
        """Run; on rank 0 what it left, with the soma voltage by gid and its step in ms."""
        self.build()
        self.run()
        if (found := self.collect()) is None:
            return None
        voltage = {gid: one for gids, _, _, values in found.traces.values()
                   for gid, one in zip(map(int, gids), values, strict=True)}  # fmt: skip
        return found, voltage, float(self.sim.cfg.recordStep)


def _soma(rule: dict) -> str:
    """The section that has no parent."""
    return next(name for name, sec in rule["secs"].items() if not (sec.get("topol") or {}).get("parentSec"))


def _cells(net_params: Any) -> dict[str, dict]:
    """The populations of cells with sections, with their rule."""
    rules = {label: net_params.cellParams.get(pop.get("cellType")) for label, pop in net_params.popParams.items()}
    return {label: rule for label, rule in rules.items() if rule and rule.get("secs")}


def _replace(net_params: Any, pops: dict[str, dict], rules: dict[str, dict]) -> None:
    for name in ("popParams", "connParams", "subConnParams", "stimSourceParams", "stimTargetParams"):
        getattr(net_params, name).clear()
    net_params.popParams.update(pops)
    net_params.connParams.update(rules)


def _clamp(net_params: Any, label: str, soma: str, conds: dict, start: float, length: float, amp: float) -> None:
    net_params.stimSourceParams[label] = {"type": "IClamp", "del": start, "dur": length, "amp": amp}
    net_params.stimTargetParams[label] = {"source": label, "conds": conds, "sec": soma, "loc": 0.5}


def _arrange_pairs(net_params: Any, cfg: Any) -> dict:
    """One source a pair of conditions: rules of the same two populations are one connection."""
    cells, rules = _cells(net_params), {}
    sources: dict[str, str] = {}
    events: list[tuple[int, str, list[str]]] = []
    tags: dict[str, dict[str, Any]] = {label: {"pop": label} | dict(net_params.popParams[label]) for label in cells}
    kept = {label: {key: value for key, value in net_params.popParams[label].items() if key not in SIZE}
            | {"numCells": CELLS} for label in cells}  # fmt: skip
    for label, rule in net_params.connParams.items():
        pres, posts = ([pop for pop in cells if conditions_hold(rule.get(side) or {}, tags[pop])]
                       for side in ("preConds", "postConds"))  # fmt: skip
        if not pres or not posts:
            continue
        key = json.dumps([rule["preConds"], rule["postConds"]], default=str, sort_keys=True)
        if key not in sources:
            number = len(sources)
            start = SETTLE_MS + APART_MS * (1 + max((n for n, _, to in events if set(to) & set(posts)), default=-1))
            events.append((round((start - SETTLE_MS) / APART_MS), ", ".join(pres), posts))
            sources[key] = f"source {number}"
            kept[f"source {number}"] = {"cellModel": "NetStim", "numCells": 1, "start": start, "number": 1,
                                        "interval": 1e9, "noise": 0.0}  # fmt: skip
        rules[label] = {name: value for name, value in rule.items() if name not in WHICH}
        rules[label] |= {"preConds": {"pop": sources[key]}, "probability": 1.0}
    end = SETTLE_MS + APART_MS * (1 + max((number for number, _, _ in events), default=-1))
    cfg.duration = end + PULSE_MS
    order = {label: tags[label].get("yRange") or tags[label].get("ynormRange") or [0.0] for label in cells}
    plan = {
        "events": [(SETTLE_MS + APART_MS * number, pre, posts) for number, pre, posts in events], "pulse_ms": end,
        "cell_of": {label: tags[label]["cellType"] for label in cells},
        "depth_um": {label: float(np.mean(order[label])) for label in cells},
        "shapes": {tags[label]["cellType"]: _shape(rule) | {"threshold_mv": threshold_mv(net_params, rule)}
                   for label, rule in cells.items()},
    }  # fmt: skip
    _replace(net_params, kept, rules)
    for label, rule in cells.items():
        _clamp(net_params, f"pulse {label}", _soma(rule), {"pop": label}, end, PULSE_MS, PULSE_NA)
    return plan


def _shape(rule: dict) -> dict[str, Any]:
    """Number of segments, and the lines that draw the cell: (kind of section, points in um, diameter)."""
    secs = rule["secs"]
    return {
        "segments": sum(int((sec.get("geom") or {}).get("nseg") or 1) for sec in secs.values()),
        "sections": len(secs), "lines": _lines(secs),
    }  # fmt: skip


def _lines(secs: dict) -> list[tuple[str, list, float]]:
    """Sections by their 3-D points; those that have none straight on from their parent, siblings fanned out."""
    children: dict[str | None, dict[float, list[str]]] = {}
    for name, sec in secs.items():
        topol = sec.get("topol") or {}
        at = float(topol.get("parentX", 1.0))
        children.setdefault(topol.get("parentSec") or None, {}).setdefault(at, []).append(name)
    lines, waiting = [], [(name, "soma", np.zeros(3), np.pi / 2) for name in sum(children.get(None, {}).values(), [])]
    while waiting:
        name, kind, start, angle = waiting.pop()
        geom = secs[name].get("geom") or {}
        if geom.get("pt3d"):
            points, diameter = np.array(geom["pt3d"], float)[:, :3], float(np.mean([p[3] for p in geom["pt3d"]]))
            angle = float(np.arctan2(*(points[-1] - points[0])[1::-1]))
        else:
            forward = np.array([np.cos(angle), np.sin(angle), 0.0])
            points = start + np.outer([0.0, 1.0], forward) * float(geom.get("L", 100.0))  # NEURON's own defaults
            diameter = float(geom.get("diam", 500.0))
        lines.append((kind, points.tolist(), diameter))
        for at, names in children.get(name, {}).items():  # at the far end straight on, at the near end backwards
            for child, turn in zip(names, np.linspace(-0.5, 0.5, len(names) + 2)[1:-1], strict=True):
                place = points[0] + at * (points[-1] - points[0])
                waiting.append((child, child.split("_")[0], place, angle + np.pi * (1 - at) + 2 * turn))
    return lines


def survey_connections(config: SimulateConfig) -> dict | None:
    """What each connection does to a cell at rest, and how the cells rest.

    Returns:
        On rank 0 (None elsewhere): "psps" [{pre, post, amplitude_mv, sd_mv, latency_ms, time_ms, voltage_mv}], "cells"
        {type: {rest_mv, resistance_mohm, threshold_mv (of spikes), segments, sections, lines}}, "populations"
        {label: {cell, depth_um}}.
    """
    simulation = _Alone(config, _arrange_pairs)
    if (got := simulation.result()) is None:
        return None
    (found, voltage, step), plan = got, simulation.plan
    psps, cells = [], {}
    for start, pre, posts in plan["events"]:
        for post in posts:
            first, length = round(start / step), round((APART_MS - 2.0) / step)
            traces = np.array([voltage[gid][first : first + length] for gid in found.populations[post]["gids"]])
            change = traces - traces[:, :1]
            peaks = np.take_along_axis(change, np.abs(change).argmax(1)[:, None], 1)[:, 0]
            mean = change.mean(0)
            above = np.nonzero(np.abs(mean) > 0.1 * np.abs(mean).max())[0]
            psps.append({
                "pre": pre, "post": post, "amplitude_mv": float(peaks.mean()), "sd_mv": float(peaks.std()),
                "latency_ms": float(above[0] * step), "rest_mv": float(traces[:, 0].mean()),
                "time_ms": (np.arange(length) * step).tolist(), "voltage_mv": mean.tolist(),
            })  # fmt: skip
    for post, cell in plan["cell_of"].items():
        gid, at = found.populations[post]["gids"][0], round(plan["pulse_ms"] / step)
        rest, end = float(voltage[gid][at]), float(voltage[gid][-2])
        cells[cell] = {"rest_mv": rest, "resistance_mohm": (end - rest) / PULSE_NA} | plan["shapes"][cell]
    about = {pop: {"cell": cell, "depth_um": plan["depth_um"][pop]} for pop, cell in plan["cell_of"].items()}
    return {"psps": psps, "cells": cells, "populations": about}


def survey_steps(job: StepsJob) -> dict | None:
    """Rate and voltage of each type of cell under currents into its soma.

    Returns:
        On rank 0 (None elsewhere): by type, {current_na, rate_hz (after the first 200 ms of the step), time_ms,
        voltage_mv (of the first current at which it fires, else of the last)}.
    """

    def arrange(net_params: Any, cfg: Any) -> None:
        cells = _cells(net_params)
        pops: dict[str, dict] = {}
        rules = {pop: net_params.popParams[pop]["cellType"] for pop in cells}
        for pop, cell in rules.items():
            own = {key: value for key, value in net_params.popParams[pop].items() if key not in SIZE}
            pops.setdefault(cell, own | {"numCells": len(job.currents[cell])})
        somata = {rules[pop]: _soma(rule) for pop, rule in cells.items()}
        _replace(net_params, pops, {})
        cfg.duration = SETTLE_MS + STEP_MS
        for cell, soma in somata.items():
            for number, amp in enumerate(job.currents[cell]):
                conds = {"pop": cell, "cellList": [number]}
                _clamp(net_params, f"{cell} {number}", soma, conds, SETTLE_MS, STEP_MS, amp)

    simulation = _Alone(job.config, arrange)
    if (got := simulation.result()) is None:
        return None
    (found, voltage, step), result = got, {}
    for cell, currents in job.currents.items():
        times, nodes = found.spikes[cell]
        late = times > SETTLE_MS + 200.0
        rates = [float((late & (nodes == k)).sum() / (STEP_MS - 200.0) * 1000) for k in range(len(currents))]
        shown = next((k for k, rate in enumerate(rates) if rate > 0), len(rates) - 1)
        trace = voltage[found.populations[cell]["gids"][shown]][round((SETTLE_MS - 50) / step) :]
        time = np.arange(len(trace)) * step - 50
        result[cell] = {"current_na": currents, "rate_hz": rates, "shown": shown, "time_ms": time.tolist(),
                        "voltage_mv": trace.tolist()}  # fmt: skip
    return result
