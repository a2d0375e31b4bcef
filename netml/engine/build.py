"""Build a network of reduced cells from netParams, without NetPyNE's objects: vectorised, on each rank its own part.

simulation = netml.build(netParams, {"PYR": "PYR.netml", "PV": "PV.netml"}, seed=1)
simulation.advance(1000)
rates = simulation.rates()
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from netml.artifact import Artifact
from netml.circuit.cell import cell_label, plain
from netml.engine import mechanisms, mpi
from netml.engine.network import Network, Source
from netml.engine.plasticity import RewardStdp, ShortTerm
from netml.engine.population_library import TICKS_PER_MS
from netml.engine.swap import check_cell
from netml.errors import ModelError
from netml.network.cells import CellKind
from netml.network.contacts import Circuit
from netml.network.layout import Layout
from netml.network.rules import Rule
from netml.network.stims import Stimulations, sources

logger = logging.getLogger("netml")

# simConfig's part in what is connected, with NetPyNE's defaults.
SWITCHES = {"connRandomSecFromList": True, "distributeSynsUniformly": True, "allowSelfConns": False,
            "allowConnsWithWeight0": True}  # fmt: skip
SEEDS = ("conn", "stim", "loc")
#: A reduced spike of one step is delivered before the next ends, which lies 5e-7 ms before its border.
BEFORE_BORDER_MS = 1e-6
#: Ranks exchange spikes at least so often as the shortest delay from a source of given spikes.
SHORTEST_MS = 0.025


def build(
    netParams, reductions: Mapping[str, str | Path], simConfig=None, *, seed: int | None = None,
    plasticity: Mapping[str, Any] | None = None,
):  # fmt: skip
    """A network whose cells are all reduced, ready to step.

    Connections have NetPyNE's statistics, not its very pairs: what is drawn depends on the seeds and on gids, never on
    the number of ranks.  Start it under ``mpirun`` for more than one; every rank makes the same calls.

    Arguments:
        netParams: NetPyNE's ``specs.NetParams``.
        reductions: ``.netml`` file by population; every population that is no NetStim or VecStim has one.
        simConfig: NetPyNE's; its seeds and its switches of connectivity are used (:data:`SWITCHES`).
        seed: Takes the place of its seeds conn, stim and loc.
        plasticity: By label of connParams, a :class:`netml.engine.plasticity.ShortTerm`, a ``RewardStdp``, or both.
            A rule whose synMech is one of netml's mechanisms with short-term plasticity has that without being named.

    Returns:
        A :class:`netml.engine.stepped.Simulation`.

    Raises:
        ModelError: What netml.build does not support, by the name of its key, or what is wrong.
        ArtifactError: No such file, or a reduction of another cell.
    """
    from netml.engine.stepped import Simulation

    artifacts = checked(netParams, reductions)
    world = mpi.start()
    mpi.end_together(world)
    h = _neuron(world)
    seeds = seeds_of(simConfig, seed)
    circuit = compiled(netParams, artifacts, simConfig, seeds)
    cells = circuit.layout.cells
    here = np.arange(cells) % world.size == world.rank
    about = {"seeds": seeds, "network": _fingerprint(netParams, artifacts, circuit.cfg, plasticity)}
    network = Network(world, circuit, about, np.zeros(cells, np.int32))
    try:
        _make_cells(h, network, artifacts, here, seeds["stim"])
        _stimulate(network, here, seeds["stim"])
        _connect(network, here, plasticity or {})
        return Simulation(network)
    except BaseException:
        network.close()
        raise


def seeds_of(simConfig, seed: int | None) -> dict[str, int]:
    """Seeds by name: NetPyNE's, or one in the place of all."""
    return {name: int(seed if seed is not None else _of(simConfig, "seeds", {}).get(name, 1)) for name in SEEDS}


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


def _fingerprint(netParams, artifacts: Mapping[str, Artifact], switches: Mapping[str, bool], plasticity) -> str:
    """SHA-256 (hex) of all that makes the network but its seeds, for checkpoints."""
    names = ("popParams", "connParams", "stimSourceParams", "stimTargetParams", "synMechParams")
    digest = hashlib.sha256(json.dumps(plain([
        {name: dict(getattr(netParams, name)) for name in names},
        {name: value for name, value in vars(netParams).items() if isinstance(value, (int, float, str))},
        switches, {label: repr(rule) for label, rule in (plasticity or {}).items()},
        {label: artifact.header for label, artifact in artifacts.items()},
    ]), sort_keys=True).encode())  # fmt: skip
    for _, artifact in sorted(artifacts.items()):
        for name, array in sorted(artifact.arrays.items()):
            digest.update(name.encode() + array.tobytes())
    return digest.hexdigest()


def checked(netParams, reductions: Mapping[str, str | Path]) -> dict[str, Artifact]:
    """The reductions, of which each fits its population."""
    for name in ("subConnParams", "rxdParams"):
        if getattr(netParams, name, None):
            raise ModelError(f"netParams.{name} is set, which netml.build does not support; leave it out")
    whole = [label for label, tags in netParams.popParams.items()
             if tags.get("cellModel") not in ("NetStim", "VecStim") and label not in reductions]  # fmt: skip
    if whole:
        raise ModelError(
            f"population {whole[0]} has no reduction, and netml.build makes networks of reduced cells only: give it "
            "one, or mix detailed and reduced cells with netml.swap"
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


def _stimulate(network: Network, here: np.ndarray, seed: int) -> None:
    """Current clamps, Poisson processes that the populations draw themselves, and what needs trains."""
    stimulations = Stimulations(network.circuit, seed)
    for label, gid, clamp in stimulations.clamps(here):
        network.reduced[label].population.add_clamp(int(network.index[gid]), clamp)
    for label, found in stimulations.poisson().items():
        network.reduced[label].population.add_background(*zip(*found, strict=True), seed=seed % 2**32)
    network.backgrounds = list(stimulations.backgrounds(here))


def _connect(network: Network, here: np.ndarray, plasticity: Mapping[str, Any]) -> None:
    """Make this rank's synapses, and a NetCon for each source that has any."""
    populations = {label: reduced.population for label, reduced in network.reduced.items()}
    network.projections = add_projections(network.circuit, populations, plasticity)
    shortest = {label: np.full(network.layout.cells, np.inf) for label in network.reduced}
    for population, found in fill(network.circuit, populations, network.projections, network.index, here):
        np.minimum.at(shortest[population], found.pre, found.delay_ms)
    for label, reduced in network.reduced.items():
        for source, population in network.layout.populations.items():
            _connect_sources(
                network, source, label, shortest[label][population.first : population.first + len(population)]
            )
        reduced.freeze()
    longest = max((reduced.longest_wait_ms for reduced in network.reduced.values()), default=0.0)
    network.held_back_ms = max(network.gathered(longest))


def add_projections(circuit: Circuit, populations: Mapping[str, Any], plasticity: Mapping[str, Any]):
    """A projection of each population for each plastic rule; returns their numbers by rule and population.

    Rules that only share a synMech with short-term plasticity share one.
    """
    rules, made, of_synapse = circuit.net_params.connParams, {}, {}
    if unknown := sorted(set(plasticity) - set(rules)):
        raise ModelError(f"plasticity is for {unknown[0]!r}; connParams has {', '.join(map(str, rules)) or 'none'}")
    for label, rule in rules.items():
        own = _of_synapse(circuit, label, rule.get("synMech"))
        if label not in plasticity:
            if own and own not in of_synapse:
                of_synapse[own] = {name: population.add_projection(own) for name, population in populations.items()}
            if own:
                made[label] = of_synapse[own]
            continue
        wanted = plasticity[label]
        parts = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        short, stdp = (next((p for p in parts if isinstance(p, kind)), None) for kind in (ShortTerm, RewardStdp))
        if len(parts) != (short is not None) + (stdp is not None):
            raise ModelError(
                f"plasticity of {label!r} is {wanted!r}; expected a ShortTerm, a RewardStdp, or one of each"
            )
        if short and own:
            raise ModelError(
                f"plasticity of {label!r} is {short}; its synMech has short-term plasticity already: leave one out"
            )
        made[label] = {name: population.add_projection(short or own, stdp) for name, population in populations.items()}
    return made


def _of_synapse(circuit: Circuit, label: str, mechs: Any) -> ShortTerm | None:
    """The short-term plasticity of the synapses that a rule makes."""
    mechs = mechs or circuit.default_synapse
    names = mechs if isinstance(mechs, (list, tuple)) else [mechs]
    params = circuit.net_params.synMechParams
    found = {ShortTerm.of_synapse(name, params.get(name) or {}) for name in names}
    if len(found) > 1:
        raise ModelError(f"connParams {label!r} has synMechs {', '.join(map(str, names))}, of different short-term "
                         "plasticity; netml.build takes one of a rule: make a rule of each")  # fmt: skip
    return found.pop()


def fill(circuit: Circuit, populations: Mapping[str, Any], projections, index: np.ndarray, here: np.ndarray):
    """Add the synapses of all rules onto populations of the C++ engine or a device; yields population and synapses.

    Arguments:
        projections: See :func:`add_projections`.
        index: (gids) index of a cell in its population.
        here: (gids) whether a cell lives here.
    """
    for label, params in circuit.net_params.connParams.items():
        for population, found in Rule(label, params, circuit).synapses(here):
            try:
                populations[population].add_synapses(
                    found.pre, index[found.post], found.channel, found.weight_us, found.delay_ms,
                    projections.get(label, {}).get(population, 0),
                )  # fmt: skip
            except ModelError as error:
                raise ModelError(f"connParams {label!r}: {error}") from error
            yield population, found


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
