"""Build a network of reduced cells from netParams, without NetPyNE's objects: vectorised, on each rank its own part.

simulation = netml.build(netParams, {"PYR": "PYR.netml", "PV": "PV.netml"}, seed=1)
simulation.advance(1000)
rates = simulation.rates()
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netml.artifact import Artifact
from netml.circuit.cell import cell_label
from netml.engine.mechanisms.build import build_engine_library, load_mechanisms
from netml.engine.ranks import mpi
from netml.engine.reduced_network.network import BuiltNetwork, Source
from netml.errors import ModelError
from netml.network.compile import (
    add_projections,
    add_synapses,
    compile_circuit,
    load_reductions,
    network_fingerprint,
    seeds_of,
)
from netml.network.stims import Stimulations, sources
from netml.plain import plain_arguments
from netml.population.c_interface import TICKS_PER_MS

if TYPE_CHECKING:
    from netml.engine.reduced_network.simulation import NetworkSimulation

logger = logging.getLogger("netml")

#: A reduced spike of one step is delivered before the next ends, which lies 5e-7 ms before its border.
BEFORE_BORDER_MS = 1e-6
#: Ranks exchange spikes at least so often as the shortest delay from a source of given spikes.
SHORTEST_MS = 0.025


@plain_arguments
def build(
    netParams: Any, reductions: Mapping[str, str | Path], simConfig: Any = None, *, seed: int | None = None,
    plasticity: Mapping[str, Any] | None = None,
) -> NetworkSimulation:  # fmt: skip
    """A network whose cells are all reduced, ready to step.

    Connections have NetPyNE's statistics, not its very pairs: what is drawn depends on the seeds and on gids, never on
    the number of ranks.  Start it under ``mpirun`` for more than one; every rank makes the same calls.

    Args:
        netParams: NetPyNE's ``specs.NetParams``.
        reductions: ``.netml`` file by population; every population that is no NetStim or VecStim has one.
        simConfig: NetPyNE's; its seeds and switches of connectivity are used (see :mod:`netml.network.compile`).  None:
            NetPyNE's defaults.
        seed: Takes the place of its seeds conn, stim and loc.
        plasticity: By label of connParams, a :class:`netml.ShortTerm`, a :class:`netml.RewardStdp`, or a list of both.
            A rule whose synMech is one of netml's mechanisms with short-term plasticity has that without being named.

    Returns:
        A :class:`netml.engine.reduced_network.simulation.NetworkSimulation`.

    Raises:
        ModelError: What netml.build does not support, by the name of its key, or what is wrong.
        ArtifactError: No such file, or a reduction of another cell.
        CompileError: The C++ engine does not compile.
        LaunchError: MPI sees other ranks than the launcher started.

    Example:
        >>> simulation = netml.build(netParams, {"PYR": "PYR.netml", "PV": "PV.netml"}, seed=1)
        >>> simulation.advance(1000)
        >>> simulation.rates()  # Hz, by population
    """
    from netml.engine.reduced_network.simulation import NetworkSimulation

    artifacts = load_reductions(netParams, reductions)
    world = mpi.start()
    mpi.end_together(world)
    h = _neuron(world)
    seeds = seeds_of(simConfig, seed)
    circuit = compile_circuit(netParams, artifacts, simConfig, seeds)
    cells = circuit.layout.cells
    here = np.arange(cells) % world.size == world.rank
    about = {"seeds": seeds, "network": network_fingerprint(netParams, artifacts, circuit.cfg, plasticity)}
    network = BuiltNetwork(world, circuit, about, np.zeros(cells, np.int32))
    try:
        _make_cells(h, network, artifacts, here, seeds["stim"])
        _stimulate(network, here, seeds["stim"])
        _connect(network, here, plasticity or {})
        return NetworkSimulation(network)
    except BaseException:
        network.close()
        raise


def _neuron(world: mpi.World):
    """neuron.h with the mechanisms, and no other network in this process."""
    from neuron import h

    load_mechanisms(h, build_engine_library())
    if h.ParallelContext().gid_exists(world.rank):
        raise ModelError("this process holds another network, and NEURON knows one at a time: close() that simulation "
                         "(NetPyNE: sim.clearAll()) or start a new process")  # fmt: skip
    return h


def _make_cells(h, network: BuiltNetwork, artifacts: Mapping[str, Artifact], here: np.ndarray, stim_seed: int) -> None:
    from netml.engine.population_in_neuron import NeuronPopulation

    context, net = h.ParallelContext(), network.circuit.net_params
    for label, population in network.layout.populations.items():
        gids = np.asarray(population.gids, np.int64)
        gids = gids[here[gids]]
        if population.source:
            cells = [h.NetmlCell() for _ in gids]
            inputs = [h.NetCon(None, cell) for cell in cells]
            network.sources[label] = Source(gids, sources(population, gids, stim_seed), cells, inputs)
        else:
            reduced = NeuronPopulation(artifacts[label], label, net.cellParams[cell_label(net, label)])
            cells = [reduced.add_cell(gid)[1] for gid in gids.tolist()]
            network.reduced[label], network.gids[label] = reduced, gids
            reduced.population.add_rows(network.layout.cells)  # the row of a source is its gid
        network.index[gids] = np.arange(len(gids))
        for gid, cell in zip(gids.tolist(), cells, strict=True):
            context.set_gid2node(gid, network.world.rank)
            context.cell(gid, h.NetCon(cell, None))


def _stimulate(network: BuiltNetwork, here: np.ndarray, seed: int) -> None:
    """Current clamps, Poisson processes that the populations draw themselves, and what needs trains."""
    stimulations = Stimulations(network.circuit, seed)
    for label, gid, clamp in stimulations.clamps(here):
        network.reduced[label].population.add_clamp(int(network.index[gid]), clamp)
    for label, found in stimulations.poisson().items():
        network.reduced[label].population.add_background(*zip(*found, strict=True), seed=seed % 2**32)
    network.backgrounds = list(stimulations.backgrounds(here))


def _connect(network: BuiltNetwork, here: np.ndarray, plasticity: Mapping[str, Any]) -> None:
    """Make this rank's synapses, and a NetCon for each source that has any."""
    populations = {label: reduced.population for label, reduced in network.reduced.items()}
    network.projections = add_projections(network.circuit, populations, plasticity)
    shortest = {label: np.full(network.layout.cells, np.inf) for label in network.reduced}
    for population, found in add_synapses(network.circuit, populations, network.projections, network.index, here):
        np.minimum.at(shortest[population], found.pre, found.delay_ms)
    for label, reduced in network.reduced.items():
        for source, population in network.layout.populations.items():
            _connect_sources(
                network, source, label, shortest[label][population.first : population.first + len(population)]
            )
        reduced.freeze()
    longest = max((reduced.longest_wait_ms for reduced in network.reduced.values()), default=0.0)
    network.held_back_ms = max(network.gathered(longest))


def _connect_sources(network: BuiltNetwork, source: str, target: str, shortest_ms: np.ndarray) -> None:
    """A NetCon from each source that has synapses here; shortest_ms: (cells of the source) of these, else infinite.

    A spike between reduced cells may travel the whole step: the longer, the fewer times ranks exchange spikes.
    """
    reduced, within = network.reduced[target], 0.0
    if source in network.reduced:
        steps = sorted((network.reduced[source].population.dt_r_ms, reduced.population.dt_r_ms))
        short, long = (round(step * TICKS_PER_MS) for step in steps)
        within = 0.0 if long % short else steps[0] - BEFORE_BORDER_MS
    elif shortest_ms.min(initial=np.inf) < SHORTEST_MS:
        raise ModelError(f"a connection from {source} to {target} has a delay of {shortest_ms.min()} ms; expected "
                         f"{SHORTEST_MS} ms or more")  # fmt: skip
    first = network.layout.populations[source].first
    for cell in np.flatnonzero(np.isfinite(shortest_ms)).tolist():
        reduced.connect_source(first + cell, first + cell, max(within, float(shortest_ms[cell])))
