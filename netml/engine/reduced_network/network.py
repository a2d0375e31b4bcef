"""What netml.build leaves on a rank: its cells, their synapses and what comes from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from netml.engine.ranks.mpi import World
from netml.network.contacts import Circuit
from netml.network.layout import Layout
from netml.network.stims import Background
from netml.network.trains import FixedTrains, Trains


@dataclass
class Source:
    """The cells of a population of NetStims or VecStims on this rank.

    Attributes:
        gids: Of these cells.
        trains: Their spikes, by place in gids.
        cells: NEURON's objects, which live as long as they are held here.
        inputs: NEURON's NetCon onto each cell: an event through it is a spike.
    """

    gids: np.ndarray
    trains: Trains | FixedTrains
    cells: list[Any]
    inputs: list[Any]


@dataclass
class BuiltNetwork:
    """What was built on this rank.

    Attributes:
        world: Which rank of how many.
        circuit: All cells, and what the rules shared.
        about: What it was built from, JSON-able, the same on all ranks.
        reduced: By population, NEURON's side of the reduced cells here (``NeuronPopulation``).
        index: (gids) index of a cell in its population on this rank, for those that live here.
        gids: By reduced population, those of the cells here, in the order of their indices.
        sources: By population of sources.
        backgrounds: Stimulations of cells here that need trains.
        held_back_ms: How long NEURON holds a spike back at most, on any rank.
        projections: Number of each plastic rule's projection, by rule and population.
    """

    world: World
    circuit: Circuit
    about: dict[str, Any]
    index: np.ndarray
    reduced: dict[str, Any] = field(default_factory=dict)
    gids: dict[str, np.ndarray] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    backgrounds: list[Background] = field(default_factory=list)
    projections: dict[str, dict[str, int]] = field(default_factory=dict)
    held_back_ms: float = 0.0

    @property
    def layout(self) -> Layout:
        return self.circuit.layout

    def close(self) -> None:
        """Free the network here, also a half built one; NEURON can take another one afterwards."""
        from neuron import h

        h.ParallelContext().gid_clear()
        for reduced in self.reduced.values():
            reduced.object.address = 0
        h.finitialize()  # forgets events under way to objects that may soon be gone
        for reduced in self.reduced.values():
            reduced.population.close()

    def gathered(self, mine) -> list:
        """What every rank has, on every rank; all call it."""
        from neuron import h

        return h.ParallelContext().py_allgather(mine) if self.world.size > 1 else [mine]

    def summed(self, numbers: list) -> list:
        """Sums over all ranks; all call it."""
        return np.sum(self.gathered(numbers), axis=0).tolist()

    def learning(self) -> dict[str, dict[str, int]]:
        """Number of each projection that learns from reward, by rule and population."""
        return {
            rule: numbers
            for rule, numbers in self.projections.items()
            if any(self.reduced[label].population.handle.learns[k] for label, k in numbers.items())
        }

    def populations(self) -> dict[str, dict[str, Any]]:
        """What a run's metadata say of the populations, JSON-able."""
        found = {}
        for label, cells in self.layout.populations.items():
            model = str(cells.tags.get("cellType") or cells.source)
            found[label] = {"size": len(cells), "gids": list(cells.gids), "cell_model": model,
                            "reduced": len(cells) if label in self.reduced else 0}  # fmt: skip
        return found
