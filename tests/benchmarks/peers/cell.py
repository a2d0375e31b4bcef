"""One side of the comparison of single cells, in a process of its own; run.py starts it and reads its JSON.

The cell is PYR of models/cortex with the model's own background synapses: their places, weights and rates. Every side
gets the same Poisson events, queued at their arrival.
"""

import json
import sys
import time
from dataclasses import dataclass

import numpy as np

from netml.artifact import Artifact
from netml.circuit.cell import segment_table
from netml.circuit.project import find_project, load_project
from netml.toolchain import source_folder

SIDES = {
    "neuron": "detailed, NEURON as installed",
    "coreneuron": "detailed, CoreNEURON tuned",
    "reduce_neuron": "Neuron_Reduce, NEURON as installed",
    "reduce_coreneuron": "Neuron_Reduce, CoreNEURON tuned",
    "netml": "netml, population engine",
}
REDUCTION_HZ = 38.0  # the frequency that Neuron_Reduce's own examples use
DELAY_MS = 1.0
TICK_MS = 1e-6  # the shortest delay of the engine: events are given at their arrival
GROUPS = {"soma": "somatic", "axon": "axonal", "dend": "basal", "apic": "apical"}  # arrays and lists of the template
LANES_FILLED = 64  # reduced cells are stepped in blocks: as many as fill some, with the trains of the detailed ones


@dataclass(frozen=True)
class Site:
    """A synapse and its Poisson train: weight in uS, rate in Hz."""

    section: str
    loc: float
    synapse: str
    weight: float
    rate: float


def load(population: str = "PYR"):
    """netParams, cfg and the synapses of the population's background."""
    params, cfg = load_project(find_project(source_folder("models") / "cortex"))
    sites = []
    for target in params.stimTargetParams.values():
        if target["conds"]["pop"] == population:
            rate = params.stimSourceParams[target["source"]]["rate"]
            sites.append(Site(target["sec"], target["loc"], target["synMech"], target["weight"], rate))
    return params, cfg, sites


def trains(sites: list[Site], duration_ms: float, cell: int) -> list[np.ndarray]:
    """Poisson times (ms) of each synapse of one cell."""
    rng = np.random.default_rng([1, cell])
    return [np.sort(rng.uniform(0, duration_ms, rng.poisson(s.rate * duration_ms / 1000))) for s in sites]


class Cell:
    """The cell as a hoc object whose sections have the names that Neuron_Reduce expects."""

    def __init__(self, h, spec: dict, synapse_params: dict, sites: list[Site]):
        apical, names = set(spec["secLists"]["apical"]), list(spec["secs"])
        groups = {group: [] for group in GROUPS}
        for name in names:
            special = name if name in ("soma", "axon") else None
            groups[special or ("apic" if name in apical else "dend")].append(name)
        if not hasattr(h, "PeerCell"):
            arrays = ", ".join(f"{group}[{len(members)}]" for group, members in groups.items())
            lists = ", ".join(GROUPS.values())
            init = "\n".join(f"{name} = new SectionList()" for name in ("all", *GROUPS.values()))
            h(f"begintemplate PeerCell\npublic all, {', '.join(GROUPS)}, {lists}\ncreate {arrays}\n"
              f"objref all, {lists}\nproc init() {{\n{init}\n}}\nendtemplate PeerCell")  # fmt: skip
        self.hoc = h.PeerCell()
        sections = {n: getattr(self.hoc, group)[i] for group, members in groups.items() for i, n in enumerate(members)}
        for name, section in sections.items():
            self._fill(h, section, spec["secs"][name])
            group = next(group for group, members in groups.items() if name in members)
            for sections_of in (self.hoc.all, getattr(self.hoc, GROUPS[group])):
                sections_of.append(sec=section)
        for name, section in sections.items():
            if parent := spec["secs"][name]["topol"].get("parentSec"):
                topol = spec["secs"][name]["topol"]
                section.connect(sections[parent](topol["parentX"]), topol["childX"])
        self.synapses, self.netcons = [], []
        for site in sites:
            parameters = dict(synapse_params[site.synapse])
            synapse = getattr(h, parameters.pop("mod"))(sections[site.section](site.loc))
            for key, value in parameters.items():
                setattr(synapse, key, value)
            netcon = h.NetCon(None, synapse)
            netcon.weight[0], netcon.delay = site.weight, DELAY_MS
            self.synapses.append(synapse), self.netcons.append(netcon)
        self.soma = self.hoc.soma[0]

    @staticmethod
    def _fill(h, section, spec: dict) -> None:
        geom = spec["geom"]
        for point in geom["pt3d"]:
            h.pt3dadd(*point, sec=section)
        section.nseg, section.cm, section.Ra = geom["nseg"], geom["cm"], geom["Ra"]
        for mechanism, parameters in spec["mechs"].items():
            section.insert(mechanism)
            for key, value in parameters.items():  # one number, or one a segment
                for segment, own in zip(section, np.broadcast_to(value, section.nseg).tolist(), strict=True):
                    setattr(getattr(segment, mechanism), key, own)
        for ion, values in spec.get("ions", {}).items():
            setattr(section, f"e{ion}", values["e"])

    def reduce(self) -> None:
        """Replace the dendrites by Neuron_Reduce's cables; synapses move there."""
        from neuron_reduce import subtree_reductor_func as package

        # NEURON 9 lists a mechanism's functions among its attributes; neuron_reduce 0.0.7 takes all for parameters.
        package.dir = lambda one: [name for name in dir(one) if not callable(getattr(one, name, None))]
        self.reduced, self.synapses, self.netcons = package.subtree_reductor(
            self.hoc, self.synapses, self.netcons, REDUCTION_HZ
        )


def in_neuron(side: str, cells: int, duration_ms: float, repeats: int) -> dict:
    """CPU seconds of the time loop and spike trains (ms) of cells in NEURON or CoreNEURON."""
    from netml.engine.mechanisms.build import build_mechanisms, load_mechanisms

    tuned = side.endswith("coreneuron")
    library = build_mechanisms([source_folder("mod")], *(("coreneuron", "fast") if tuned else ("neuron", "exact")))
    from neuron import coreneuron, h

    load_mechanisms(h, library)
    h.load_file("stdrun.hoc")
    params, cfg, sites = load()
    made = [Cell(h, params.cellParams["PYR"], params.synMechParams, sites) for _ in range(cells)]
    if side.startswith("reduce"):
        for cell in made:
            cell.reduce()
    pc = h.ParallelContext()
    h.celsius, h.dt = cfg.hParams["celsius"], cfg.dt
    h.cvode.cache_efficient(1)
    for gid, cell in enumerate(made):
        cell.detector = h.NetCon(cell.soma(0.5)._ref_v, None, sec=cell.soma)
        cell.detector.threshold = params.defaultThreshold
        pc.set_gid2node(gid, pc.id())
        pc.cell(gid, cell.detector)
    times, gids = h.Vector(), h.Vector()
    pc.spike_record(-1, times, gids)
    pc.set_maxstep(10)
    coreneuron.enable, coreneuron.verbose = tuned, 0
    times_s = []
    for _ in range(repeats):
        times.resize(0), gids.resize(0)
        h.finitialize(cfg.hParams["v_init"])
        for k, cell in enumerate(made):
            for netcon, train in zip(cell.netcons, trains(sites, duration_ms, k), strict=True):
                for at in train.tolist():
                    netcon.event(at)
        start = time.process_time()
        pc.psolve(duration_ms)
        times_s.append(time.process_time() - start)
    at, who = np.array(times), np.array(gids)
    segments = sum(section.nseg for section in h.allsec()) // cells
    return {"cpu_s": min(times_s), "cells": cells, "segments": segments,
            "spikes": [np.sort(at[who == k]).tolist() for k in range(cells)]}  # fmt: skip


def in_netml(cells: int, duration_ms: float, repeats: int) -> dict:
    """The same of the shipped reduction in the population engine; its steps alone are timed."""
    from netml.population.population import ReducedPopulation

    params, _, sites = load()
    table = segment_table(params.cellParams["PYR"])
    artifact = Artifact.load(source_folder("models") / "cortex" / "reductions" / "PYR.netml")
    labels = artifact.header["synapses"]
    population = ReducedPopulation(artifact, "PYR")
    queue = []
    for cell in range(LANES_FILLED):
        population.add_cell()
        for site, train in zip(sites, trains(sites, duration_ms, cell % cells), strict=True):
            synapse_site = table.find(site.section, site.loc) * len(labels) + labels.index(site.synapse)
            row = population.add_row()
            population.add_synapse(row, cell, synapse_site, site.weight, TICK_MS)
            queue += [(at, row) for at in train.tolist()]
    queue.sort(reverse=True)
    times_s, dt = [], population.dt_r_ms
    for _ in range(repeats):
        population.reset()
        left, fired, spent = list(queue), [[] for _ in range(LANES_FILLED)], 0.0
        for n in range(round(duration_ms / dt)):
            while left and left[-1][0] < (n + 1) * dt - 1e-6:
                at, row = left.pop()
                population.deliver(row, at)
            start = time.process_time()
            spiking = population.step()
            spent += time.process_time() - start
            for cell in spiking.tolist():
                fired[cell].append((n + 1) * dt)
        times_s.append(spent)
    return {"cpu_s": min(times_s), "cells": LANES_FILLED, "segments": 0, "spikes": fired[:cells]}


def main() -> None:
    """cell.py SIDE CELLS DURATION_MS REPEATS"""
    side, cells, duration_ms, repeats = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    result = in_netml(cells, duration_ms, repeats) if side == "netml" else in_neuron(side, cells, duration_ms, repeats)
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main()
