"""A NetPyNE population of which some or all cells are reduced.

NetPyNE makes every population with the class ``sim.Pop``; :func:`install` puts :class:`SwappedPop` there.  That is the
one place where netml reaches into NetPyNE.  A population that nobody swapped behaves as before, and what a run needs
lives in its populations, so a second network in the same process starts clean.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any

from netpyne import sim
from netpyne.network.pop import Pop
from neuron import h

from netml.artifact import Artifact
from netml.engine.circuit.reduced_cell import ReducedCell
from netml.engine.mechanisms.build import build_engine_library, load_mechanisms
from netml.engine.population_in_neuron import NeuronPopulation
from netml.errors import ModelError
from netml.population.out_of_distribution import ensemble_summary, summary

logger = logging.getLogger("netml")


def install() -> None:
    """Let NetPyNE make its populations with :class:`SwappedPop`."""
    sim.Pop = SwappedPop


def chosen(gids, fraction: float, seed: int) -> set[int]:
    """The cells of a population that are reduced: round(fraction * cells), by a hash of (seed, gid)."""
    ranked = sorted(gids, key=lambda gid: (hashlib.blake2b(f"{seed}:{gid}".encode(), digest_size=8).digest(), gid))
    return set(ranked[: round(fraction * len(ranked))])


class CellMaker:
    """Makes the cells of a swapped population, reduced or whole.  Holds no reference back to it.

    Attributes:
        population: Of the reduced cells on this rank.
        gids: Of the reduced cells on all ranks.
    """

    def __init__(self, population: NeuronPopulation, artifact: str, whole_class):
        self.population = population
        self.gids: set[int] = set()
        self._name, self._whole_class = Path(artifact).name, whole_class

    def __call__(self, gid, tags):
        if gid not in self.gids:
            return self._whole_class(gid, tags)
        return ReducedCell(gid, {**tags, "reduction": self._name}, self.population)


class SwappedPop(Pop):
    """NetPyNE's population; its cells are reduced where ``netParams.netmlSwap`` has its label."""

    cellModelClass: Any

    def __init__(self, label, tags):
        super().__init__(label, tags)
        self.plan: dict[str, Any] | None = (getattr(sim.net.params, "netmlSwap", None) or {}).get(label)
        if not self.plan:
            return
        self._check_config(label, self.plan["fraction"])
        load_mechanisms(h, build_engine_library())
        spec = sim.net.params.cellParams[self.plan["cell"]]
        population = NeuronPopulation(Artifact.load(self.plan["artifact"]), label, spec)
        self.cellModelClass = CellMaker(population, self.plan["artifact"], self.cellModelClass)
        self._warned = False
        sim.fih.append(h.FInitializeHandler(0, self._before_initialisation))

    @property
    def reduced(self) -> NeuronPopulation:
        """The reduced cells on this rank, of a population that is swapped."""
        return self.cellModelClass.population

    @property
    def reduced_gids(self) -> set[int]:
        """Of the reduced cells on all ranks."""
        return self.cellModelClass.gids if self.plan else set()

    def _check_config(self, label: str, fraction: float) -> None:
        cfg = sim.cfg
        if cfg.coreneuron:
            raise ModelError(
                f"{label} is swapped, and reduced cells run in NEURON only: use engine 'neuron' (cfg.coreneuron off)"
            )
        wanted = ("recordLFP", "recordDipole", "saveIMembrane", "recordDipolesHNN")
        currents = [key for key in wanted if getattr(cfg, key, None)]
        if currents and 0 < fraction < 1:
            raise ModelError(
                f"cfg.{currents[0]} needs the membrane currents of every cell of {label}, {fraction:.0%} of which are "
                "reduced: swap all of it or nothing, or do not record that"
            )
        if currents and fraction and sim.rank == 0:
            logger.warning("cfg.%s leaves out reduced %s: it has no membrane currents", currents[0], label)

    def _distributeCells(self, numCellsPop):
        if self.plan:
            first = sim.net.lastGid
            gids = range(first, first + numCellsPop)
            self.cellModelClass.gids = chosen(gids, self.plan["fraction"], self.plan["seed"])
        return super()._distributeCells(numCellsPop)

    def _before_initialisation(self) -> None:
        """On all ranks, before each run: the engine gets the connections; rank 0 says what is unusual, once."""
        self.reduced.freeze()
        if self._warned:
            return
        self._warned = True
        outside = self.reduced.population.out_of_range()
        found = sim.pc.py_allgather(
            (outside.weights, outside.synapse_sites, outside.currents, sorted(self.reduced.skipped_traces))
        )
        if sim.rank != 0:
            return
        label = self.tags["pop"]
        weights, synapse_sites, currents = (sum(column) for column in list(zip(*found, strict=True))[:3])
        if weights:
            logger.warning("%d synapses onto reduced %s have a weight outside the range of training", weights, label)
        if synapse_sites:
            logger.warning("%d synapses onto reduced %s lie where training saw no event", synapse_sites, label)
        if currents:
            logger.warning("%d cells of reduced %s get a current outside the range of training", currents, label)
        for key in sorted({key for *_, keys in found for key in keys}):
            logger.warning("trace %r is left out for reduced %s: a reduced cell has its soma voltage only", key, label)

    def __getstate__(self):
        state = super().__getstate__()
        for name in ("plan", "_warned"):
            state.pop(name, None)
        return state


def report() -> dict:
    """What was swapped in NetPyNE's present network, summed over the ranks; all ranks call it together.

    Returns:
        By population: artifact, fraction, cells, reduced, synapses, weights_out_of_range and channels_unseen
        (synapses), currents_out_of_range (cells), and of the last run spikes, events (synaptic), saturated, late,
        step_s and deliver_s (wall seconds, summed over ranks), wall_s (the slowest rank's sum of both); beyond and
        ensemble: see :mod:`netml.population.out_of_distribution`.
    """
    pops = {label: pop for label, pop in sim.net.pops.items() if isinstance(pop, SwappedPop)}
    swapped = {label: (pop, pop.plan) for label, pop in pops.items() if pop.plan}
    if not swapped:
        return {}
    mine = {}
    for label, (pop, _) in swapped.items():
        stats, outside = pop.reduced.population.stats(), pop.reduced.population.out_of_range()
        mine[label] = {**stats, "weights_out_of_range": outside.weights, "channels_unseen": outside.synapse_sites,
                       "currents_out_of_range": outside.currents, "total": len(pop.cellGids),
                       "rates": pop.reduced.population.rates_hz().T.tolist(),
                       "gids": pop.reduced.population.gids.tolist(),
                       "beyond": pop.reduced.population.past_training_range().tolist(),
                       "wall_s": stats["step_s"] + stats["deliver_s"]}  # fmt: skip
    ranks = sim.pc.py_allgather(mine)
    result = {}
    for label, (pop, plan) in swapped.items():
        each = [rank[label] for rank in ranks]
        sums = {k: sum(one[k] for one in each) for k in (
            "synapses", "weights_out_of_range", "channels_unseen", "currents_out_of_range", "spikes", "events",
            "saturated", "late", "bytes", "step_s", "deliver_s")}  # fmt: skip
        result[label] = {
            "artifact": plan["artifact"], "fraction": plan["fraction"], "seed": plan["seed"],
            "cells": sum(one["total"] for one in each), "reduced": sum(one["cells"] for one in each),
            **sums, "wall_s": max(one["wall_s"] for one in each),
            "beyond": summary(pop.reduced.population.artifact, [g for one in each for g in one["gids"]],
                              [b for one in each for b in one["beyond"]]),
            "ensemble": ensemble_summary(pop.reduced.population.artifact, [g for one in each for g in one["gids"]],
                                         [r for one in each for r in one["rates"]]),
        }  # fmt: skip
    return result
