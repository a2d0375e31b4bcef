"""Build a network of reduced cells from netParams, without NetPyNE's objects: vectorised, on each rank its own part.

simulation = netml.build(netParams, {"PYR": "PYR.netml", "PV": "PV.netml"}, seed=1)
simulation.advance(1000)
rates = simulation.rates()
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from netml.artifact import Artifact
from netml.circuit.cell import cell_label
from netml.engine import mechanisms, mpi
from netml.engine.population import TICKS_PER_MS
from netml.engine.swap import check_cell
from netml.errors import ModelError
from netml.network.cells import CellKind
from netml.network.contacts import Circuit
from netml.network.layout import Layout
from netml.network.rules import Rule
from netml.network.stims import Background, backgrounds, sources
from netml.network.trains import Given, Trains

logger = logging.getLogger("netml")

# simConfig's part in what is connected, with NetPyNE's defaults.
SWITCHES = {"connRandomSecFromList": True, "distributeSynsUniformly": True, "allowSelfConns": False,
            "allowConnsWithWeight0": True}  # fmt: skip
SEEDS = ("conn", "stim", "loc")
#: A reduced spike of one step is delivered before the next ends, which lies 5e-7 ms before its border.
BEFORE_BORDER_MS = 1e-6
#: Ranks exchange spikes at least so often as the shortest delay from a source of given spikes.
SHORTEST_MS = 0.025


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
    trains: Trains | Given
    cells: list[Any]
    inputs: list[Any]


@dataclass
class Network:
    """What was built on this rank.

    Attributes:
        world: Which rank of how many.
        circuit: All cells, and what the rules shared.
        about: What it was built from, JSON-able, the same on all ranks.
        reduced: By population, NEURON's side of the reduced cells here (``NeuronPopulation``).
        index: (gids) index of a cell in its population on this rank, for those that live here.
        gids: By reduced population, those of the cells here, in the order of their indices.
        sources: By population of sources.
        backgrounds: Stimulations of cells here.
    """

    world: mpi.World
    circuit: Circuit
    about: dict[str, Any]
    index: np.ndarray
    reduced: dict[str, Any] = field(default_factory=dict)
    gids: dict[str, np.ndarray] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    backgrounds: list[Background] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        return self.circuit.layout


def build(netParams, reductions: Mapping[str, str | Path], simConfig=None, *, seed: int | None = None):
    """A network whose cells are all reduced, ready to step.

    Connections have NetPyNE's statistics, not its very pairs: what is drawn depends on the seeds and on gids, never on the
    number of ranks.  Start it under ``mpirun`` for more than one; every rank makes the same calls.

    Arguments:
        netParams: NetPyNE's ``specs.NetParams``.
        reductions: ``.netml`` file by population; every population that is no NetStim or VecStim has one.
        simConfig: NetPyNE's; its seeds and its switches of connectivity are used (:data:`SWITCHES`).
        seed: Takes the place of its seeds conn, stim and loc.

    Returns:
        A :class:`netml.engine.stepped.Simulation`.

    Raises:
        ModelError: What netml.build does not support, by the name of its key, or what is wrong.
        ArtifactError: No such file, or a reduction of another cell.
    """
    from netml.engine.stepped import Simulation

    artifacts = _checked(netParams, reductions)
    world = mpi.start()
    mpi.end_together(world)
    h = _neuron(world)
    seeds = {name: int(seed if seed is not None else _of(simConfig, "seeds", {}).get(name, 1)) for name in SEEDS}
    circuit = compiled(netParams, artifacts, simConfig, seeds)
    cells = circuit.layout.cells
    here = np.arange(cells) % world.size == world.rank
    about = {"seeds": seeds, "reductions": {label: str(path) for label, path in reductions.items()}}
    network = Network(world, circuit, about, np.zeros(cells, np.int32))
    _make_cells(h, network, artifacts, here, seeds["stim"])
    _connect(network, here)
    network.backgrounds = list(backgrounds(circuit, seeds["stim"], here))
    return Simulation(network)


def compiled(netParams, artifacts: Mapping[str, Artifact], simConfig, seeds: Mapping[str, int]) -> Circuit:
    """The cells of a network, where they are, and what its rules share."""
    layout = Layout(netParams, seeds["loc"], _uniform)
    kinds = {
        label: CellKind.of(label, netParams.cellParams[cell_label(netParams, label)], artifact.header["synapses"],
                           netParams.popParams[label].get("cellModel"))
        for label, artifact in artifacts.items()
    }  # fmt: skip
    switches = {name: bool(_of(simConfig, name, default)) for name, default in SWITCHES.items()}
    return Circuit(netParams, layout, kinds, switches, seeds["conn"])


def _checked(netParams, reductions: Mapping[str, str | Path]) -> dict[str, Artifact]:
    """The reductions, of which each fits its population."""
    for name in ("subConnParams", "rxdParams"):
        if getattr(netParams, name, None):
            raise ModelError(f"netParams.{name} is set, which netml.build does not support; leave it out")
    whole = [label for label, tags in netParams.popParams.items()
             if tags.get("cellModel") not in ("NetStim", "VecStim") and label not in reductions]  # fmt: skip
    if whole:
        raise ModelError(
            f"population {whole[0]} has no reduction, and netml.build makes networks of reduced cells only: give it one, or "
            "mix detailed and reduced cells with netml.swap"
        )
    artifacts = {}
    for label, path in reductions.items():
        artifacts[label] = Artifact.load(path)
        check_cell(netParams, label, cell_label(netParams, label), artifacts[label], path)
    return artifacts


def _of(simConfig, name: str, default: Any) -> Any:
    return getattr(simConfig, name, default) if simConfig is not None else default


def _neuron(world: mpi.World):
    """neuron.h with the mechanisms, and no other network in this process."""
    from neuron import h

    mechanisms.load(h, mechanisms.build_engine_library())
    if h.ParallelContext().gid_exists(world.rank):
        raise ModelError("this process holds another network, and NEURON knows one at a time: close() that simulation "
                         "(NetPyNE: sim.clearAll()) or start a new process")  # fmt: skip
    return h


def _uniform(count: int, *ids: int) -> np.ndarray:
    """See :data:`netml.network.layout.Uniform`."""
    from neuron import h

    random = h.Random()
    random.Random123(*ids)
    random.uniform(0, 1)
    return np.array(h.Vector(count).setrand(random)) if count else np.empty(0)


def _make_cells(h, network: Network, artifacts: Mapping[str, Artifact], here: np.ndarray, stim_seed: int) -> None:
    from netml.engine.reduced_cell import NeuronPopulation

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


def _connect(network: Network, here: np.ndarray) -> None:
    """Make this rank's synapses, and a NetCon for each source that has any."""
    shortest = {label: np.full(network.layout.cells, np.inf) for label in network.reduced}
    for label, params in network.circuit.net_params.connParams.items():
        for population, found in Rule(label, params, network.circuit).synapses(here):
            try:
                network.reduced[population].population.add_synapses(
                    found.pre, network.index[found.post], found.channel, found.weight_us, found.delay_ms
                )
            except ModelError as error:
                raise ModelError(f"connParams {label!r}: {error}") from error
            np.minimum.at(shortest[population], found.pre, found.delay_ms)
    for label, reduced in network.reduced.items():
        for source, population in network.layout.populations.items():
            _connect_sources(
                network, source, label, shortest[label][population.first : population.first + len(population)]
            )
        reduced.freeze()


def _connect_sources(network: Network, source: str, target: str, shortest_ms: np.ndarray) -> None:
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
