"""A reduced cell as NetPyNE sees it.

:class:`ReducedCell` keeps the geometry of the detailed cell as plain data and lets NetPyNE itself choose sections,
locations, weights and delays, so that every connection is the one the detailed network has.  It makes no section, no
synapse and no NetCon a synapse: each connection becomes a synapse in a row of the population, and the background's
NetStims stay NEURON's own, with their own random streams.
"""

import math
from contextlib import contextmanager

from netpyne import sim
from netpyne.cell import CompartCell
from netpyne.specs import Dict
from neuron import h

from netml.circuit.current import Clamp
from netml.engine.population_in_neuron import NeuronPopulation
from netml.errors import ModelError


@contextmanager
def _structure_only():
    """NetPyNE's own code fills its Python structure and makes no NEURON object."""
    cfg, before = sim.cfg, (sim.cfg.createNEURONObj, sim.cfg.createPyStruct)
    cfg.createNEURONObj, cfg.createPyStruct = False, True
    try:
        yield
    finally:
        cfg.createNEURONObj, cfg.createPyStruct = before


class ReducedCell(CompartCell):
    """A cell of a NetPyNE network that runs as a reduction.

    Args:
        gid, tags: As for every NetPyNE cell.
        population: What it lives in.
    """

    # NetPyNE drops every attribute whose name starts with "h" when it gathers and saves cells.

    def __init__(self, gid, tags, population: NeuronPopulation):
        self.hPopulation = population
        super().__init__(gid, tags)

    def create(self, createNEURONObj=None):
        with _structure_only():
            super().create(createNEURONObj=False)

    def associateGid(self, threshold=None):
        if sim.cfg.createNEURONObj:
            self.hIndex, self.hOutlet = self.hPopulation.add_cell(self.gid)
            sim.pc.set_gid2node(self.gid, sim.rank)
            sim.pc.cell(self.gid, h.NetCon(self.hOutlet, None), 1)
        sim.net.gid2lid[self.gid] = len(sim.net.gid2lid)

    def initV(self):
        """Nothing to set: the population starts at rest."""

    def addConn(self, params, netStimParams=None):
        self._refuse_conn(params)
        conns, stims = len(self.conns), len(self.stims)
        with _structure_only():
            super().addConn(params, netStimParams)
        for k in range(len(self.conns) - conns):
            conn = self.conns[conns + k]
            stim = self.stims[stims + k] if netStimParams else None
            if sim.cfg.createNEURONObj:
                self._attach(conn, stim)
            if not sim.cfg.createPyStruct:
                self.conns[conns + k] = Dict({"hObj": conn["hObj"]} if "hObj" in conn else {})

    def addStim(self, params):
        if params["type"] == "NetStim":
            return super().addStim(params)
        what = f"{params['type']} {params.get('label')!r} on reduced {self.tags['pop']} {self.gid}"
        if params["type"] != "IClamp":
            raise ModelError(
                f"{what}: a reduction has synaptic input, and current clamps at its soma, only: keep that population "
                "detailed, or leave its cells out"
            )
        population, soma = self.hPopulation, self.hPopulation.table.sections[0][0]
        sec, loc = params.get("sec") or soma, 0.5 if params.get("loc") is None else params["loc"]
        population.table.check_soma(sec, float(loc), what)
        clamp = Clamp.of(params, what)
        if sim.cfg.createNEURONObj:
            population.population.add_clamp(self.hIndex, clamp)
        if sim.cfg.createPyStruct:
            self.stims.append(Dict({**params, "sec": sec, "loc": loc}))

    def recordTraces(self):
        for key, params in sim.cfg.recordTraces.items():
            if not self.checkConditions(params.get("conds", {})):
                continue
            other = {"mech", "synMech", "stim", "pointp"} & set(params)
            if params.get("var") != "v" or params.get("sec") != self.hPopulation.table.sections[0][0] or other:
                self.hPopulation.skipped_traces.add(key)
                continue
            step = sim.cfg.recordStep if sim.cfg.recordStep != "adaptive" else 0.1
            trace = h.Vector(sim.cfg.duration / step + 1).resize(0)
            trace.record(self.hOutlet._ref_v_soma, step)
            self.hPopulation.object.watch(self.hIndex)
            sim.simData[key][f"cell_{self.gid}"] = trace

    def getNumberOfSegments(self) -> int:
        return len(self.hPopulation.table)

    # What would make another cell, or a connection that rows cannot hold.

    def modify(self, prop):
        self._refuse_change("cells", prop.get("conds"))

    def modifySynMechs(self, params):
        self._refuse_change("synMechs", params.get("cellConds"))

    def modifyConns(self, params):
        self._refuse_change("conns", params.get("postConds"))

    def modifyStims(self, params):
        self._refuse_change("stims", params.get("cellConds"))

    def _refuse_change(self, what: str, conditions) -> None:
        if self.checkConditions(conditions or {}):
            raise ModelError(
                f"cannot modify {what} of reduced {self.tags['pop']}; set them in netParams, or exclude the population"
            )

    def _refuse_conn(self, params) -> None:
        synapse = sim.net.params.synMechParams.get(params.get("synMech")) or {}
        gap = params.get("gapJunction") or "__preCellSidePointerParams__" in params or "pointerParams" in synapse
        for what, present in (("a gap junction", gap), ("plasticity ('plast')", params.get("plast")),
                              ("a time course of its weight ('shape')", params.get("shape"))):  # fmt: skip
            if present:
                raise ModelError(
                    f"connection {params.get('label')!r} onto reduced {self.tags['pop']} has {what}, which reduced "
                    "cells do not take: keep that population detailed"
                )

    def _attach(self, conn, stim) -> None:
        """Make a connection of NetPyNE's structure work."""
        weight, delay = float(conn["weight"]), float(conn["delay"])
        shortest = 0.0 if stim is not None else sim.cfg.dt
        what = f"connection {conn.get('label')!r} from {conn['preGid']} onto reduced {self.tags['pop']} {self.gid}"
        if not (math.isfinite(delay) and delay >= shortest - 1e-9):
            raise ModelError(f"{what} has a delay of {delay} ms; expected at least {shortest} ms")
        if not (math.isfinite(weight) and weight >= 0):
            raise ModelError(f"{what} has a weight of {weight} uS; expected 0 or more")
        synapse_site = self.hPopulation.synapse_site(conn["sec"], conn["loc"], conn["synMech"])
        if beyond := self.hPopulation.beyond(synapse_site, weight, delay):
            raise ModelError(f"{what} has {beyond}")
        projection = self.hPopulation.projection(conn["synMech"], sim.net.params.synMechParams[conn["synMech"]])
        if stim is None:
            self.hPopulation.connect_gid(conn["preGid"], self.hIndex, synapse_site, weight, delay, projection)
            return
        netstim = CompartCell.addNetStim(self, stim, stimContainer=stim)
        conn["hObj"] = self.hPopulation.connect_stim(netstim, self.hIndex, synapse_site, weight, delay, projection)

    def _distributeSynsUniformly(self, secList, numSyns):
        """NetPyNE's; where that asks NEURON for lengths (pt3d without L), a section of the moment tells them."""
        if "L" in self.secs[secList[0]]["geom"]:
            return super()._distributeSynsUniformly(secList, numSyns)
        before = {name: self.secs[name]["geom"] for name in secList}
        for name, geometry in before.items():
            self.secs[name]["geom"] = Dict({**geometry, "L": self._neuron_length(name)})
        try:
            return super()._distributeSynsUniformly(secList, numSyns)
        finally:
            for name, geometry in before.items():
                self.secs[name]["geom"] = geometry

    def _neuron_length(self, name: str) -> float:
        section = h.Section(name=name)
        own, self.secs[name]["hObj"] = self.secs[name], section
        try:
            self._setGeometryParams(name, {"geom": own["geom"]}, self.tags["cellType"], {})
            return section.L
        finally:
            del own["hObj"]
