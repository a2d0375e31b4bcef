"""NEURON's side of a population of reduced cells, in a swapped network and in one of reduced cells alone."""

from typing import Any

import numpy as np
from neuron import h

from netml.artifact import Artifact
from netml.circuit.cell import segment_table
from netml.errors import ArtifactError, ModelError
from netml.population.c_interface import TICKS_PER_MS
from netml.population.checks import LONGEST_MS
from netml.population.ensemble import population_of
from netml.population.from_artifact import HEADROOM_EVENTS, quantum, synaptic_gain
from netml.population.plasticity import ShortTerm


class NeuronPopulation:
    """NEURON's objects of a population: the artificial cell that steps it, and one NetCon a source.

    Args:
        artifact: The reduction.
        label: Of the NetPyNE population.
        cell_spec: The ``cellParams`` entry of its cells.

    Raises:
        ArtifactError: The reduction has other sections than the cell.
    """

    def __init__(self, artifact: Artifact, label: str, cell_spec: dict):
        self.artifact, self.label = artifact, label
        self.table = segment_table(cell_spec)
        if [list(s) for s in self.table.sections] != [list(s) for s in artifact.header["sections"]]:
            raise ArtifactError(f"reduction of {label} has other sections than its cell: train one on this cell")
        self.object = h.NetmlPopulation()
        self.population = population_of(artifact, label)
        self.skipped_traces: set[str] = set()
        self._synapses = {name: i for i, name in enumerate(artifact.header["synapses"])}
        self._quanta_per_us = synaptic_gain(artifact).astype(float) / quantum(artifact)
        self._projections: dict[str, int] = {}  # by synapse type
        self._sources: dict[int, tuple[int, Any]] = {}  # gid -> (row, NetCon)
        self._context = h.ParallelContext()
        self._outlets: list[Any] = []  # as long as `object` may send spikes through them

    def __del__(self):
        # NEURON's object may outlive this one in garbage not collected yet: it must not step freed memory.
        if hasattr(self, "object"):
            self.object.address = 0

    def add_cell(self, gid: int):
        """A further cell; returns its index and the artificial cell that sends its spikes."""
        outlet = h.NetmlCell()
        self._outlets.append(outlet)
        self.object.add_cell(outlet, gid)
        return self.population.add_cell(gid), outlet

    def synapse_site(self, section: str, loc: float, synapse: str) -> int:
        """Channel of a synapse.

        Raises:
            ModelError: A synapse type that the reduction does not know.
        """
        if synapse not in self._synapses:
            raise ModelError(
                f"a connection onto reduced {self.label} uses synMech {synapse!r}; its reduction knows "
                f"{', '.join(self._synapses)}: record and train with that synapse, or keep {self.label} detailed"
            )
        return self.table.find(section, loc) * len(self._synapses) + self._synapses[synapse]

    def beyond(self, synapse_site: int, weight_us: float, delay_ms: float) -> str:
        """Return what of a synapse the population cannot hold, in words; "" if it can.

        The population says so too, when it is frozen, but knows the connection no more.
        """
        if not 0.5 < delay_ms * TICKS_PER_MS < 2**31:
            return f"a delay of {delay_ms} ms; expected above 0 (1e-6 ms or more) and at most {LONGEST_MS:.0f} ms"
        if np.rint(weight_us * self._quanta_per_us[synapse_site]) >= 2**31:
            return (
                f"a weight of {weight_us} uS, over {HEADROOM_EVENTS} times the largest weight in training; expected uS"
            )
        return ""

    def projection(self, synapse: str, params) -> int:
        """Number of the projection of a synapse type's connections: static, or with its short-term plasticity.

        Args:
            synapse: The type's name.
            params: Its ``synMechParams``.

        Raises:
            ModelError: A plastic mechanism without the parameters of its plasticity.
        """
        if synapse not in self._projections:
            plastic = ShortTerm.of_synapse(synapse, params)
            self._projections[synapse] = self.population.add_projection(plastic) if plastic else 0
        return self._projections[synapse]

    def connect_gid(
        self, gid: int, cell: int, synapse_site: int, weight_us: float, delay_ms: float, projection: int = 0
    ) -> None:
        """A synapse from the cell of a gid, on whatever rank it lives."""
        if gid not in self._sources:
            self.connect_source(gid, self.population.add_row(), delay_ms)
        row, netcon = self._sources[gid]
        if delay_ms < netcon.delay:
            self._set(netcon, row, delay_ms)
        self.population.add_synapse(row, cell, synapse_site, weight_us, delay_ms, projection)

    def connect_source(self, gid: int, row: int, delay_ms: float) -> None:
        """Let the spikes of a gid enter a row of the population, after a delay in which nothing is due there."""
        netcon = self._context.gid_connect(gid, self.object)
        self._sources[gid] = row, netcon
        self._set(netcon, row, delay_ms)

    @property
    def longest_wait_ms(self) -> float:
        """How long NEURON holds a spike back at most before the population has it."""
        return max((netcon.delay for _, netcon in self._sources.values()), default=0.0)

    def connect_stim(
        self, netstim, cell: int, synapse_site: int, weight_us: float, delay_ms: float, projection: int = 0
    ):
        """A synapse from a NetStim of its own; returns the NetCon."""
        netcon, row = h.NetCon(netstim, self.object), self.population.add_row()
        self._set(netcon, row, delay_ms)
        self.population.add_synapse(row, cell, synapse_site, weight_us, delay_ms, projection)
        return netcon

    def freeze(self) -> None:
        """Hand what was collected to the engine; before every initialisation of the simulation."""
        self.object.address = self.population.freeze()

    @staticmethod
    def _set(netcon, row: int, delay_ms: float) -> None:
        netcon.delay = delay_ms
        weight = netcon.weight
        weight[0], weight[1] = row, delay_ms
