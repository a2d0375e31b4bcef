"""A network of reduced cells from netParams on a torch device: `netml.build` for a GPU.

simulation = build(netParams, {"PYR": "PYR.netml"}, seed=1, device="cuda")
simulation.advance(1000)
spikes = simulation.spikes()
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from netml.device.choice import usable
from netml.device.network import DeviceNetwork
from netml.device.population import DevicePopulation
from netml.device.time import TICKS_PER_MS
from netml.errors import ModelError
from netml.network.compile import add_projections, add_synapses, compile_circuit, load_reductions, seeds_of
from netml.network.stims import Stimulations, sources
from netml.plain import plain_arguments

#: A current into the soma of a cell.
CLAMP = np.dtype([("cell", "i8"), ("start_ms", "f8"), ("end_ms", "f8"), ("na", "f8")])


@plain_arguments
def build(
    netParams: Any, reductions: Mapping[str, str | Path], simConfig: Any = None, *, seed: int | None = None,
    plasticity: Mapping[str, Any] | None = None, device: str = "cuda",
) -> "DeviceSimulation":  # fmt: skip
    """The network of :func:`netml.build`, cell by cell and synapse by synapse, on a device.

    Args:
        netParams: NetPyNE's ``specs.NetParams``.
        reductions: ``.netml`` file by population; every population that is no NetStim or VecStim has one.
        simConfig: NetPyNE's; its seeds and switches of connectivity are used.  None: NetPyNE's defaults.
        seed: Takes the place of its seeds conn, stim and loc.
        plasticity: By label of connParams, a :class:`netml.ShortTerm`, a :class:`netml.RewardStdp`, or a list of both.
        device: "cuda", or "cpu".

    Returns:
        A :class:`DeviceSimulation`.

    Raises:
        DeviceError: No such device.
        ModelError: As :func:`netml.build`; and reductions of different steps.
        ArtifactError: No such file, or a reduction of another cell.

    Example:
        >>> from netml.device.simulation import build
        >>> simulation = build(netParams, {"PYR": "PYR.netml", "PV": "PV.netml"}, seed=1, device="cuda")
    """
    found = usable(device)
    artifacts, seeds = load_reductions(netParams, reductions), seeds_of(simConfig, seed)
    circuit = compile_circuit(netParams, artifacts, simConfig, seeds)
    layout, populations = circuit.layout, {}
    here, index = np.ones(layout.cells, bool), np.zeros(layout.cells, np.int64)
    trains = {}
    for label, population in layout.populations.items():
        gids = np.asarray(population.gids, np.int64)
        index[gids] = np.arange(len(gids))
        if population.source:
            trains[label] = gids, sources(population, gids, seeds["stim"])
        else:
            populations[label] = DevicePopulation(artifacts[label], label, found)
            populations[label].add_cells(len(gids), gids)
            populations[label].add_rows(layout.cells)  # the row of a source is its gid
    stimulations = Stimulations(circuit, seeds["stim"])
    for label, poisson in stimulations.poisson().items():
        synapse_site, rate_hz, weight_us = map(np.array, zip(*poisson, strict=True))
        populations[label].add_background(synapse_site, rate_hz, weight_us, seed=seeds["stim"] % 2**32)
    clamps: dict[str, list[tuple]] = {label: [] for label in populations}
    for label, gid, clamp in stimulations.clamps(here):
        populations[label].set_current(0.0)  # refused where the reduction takes none
        clamps[label].append((index[gid], clamp.start_ms, clamp.start_ms + clamp.duration_ms, clamp.amplitude_na))
    projections = add_projections(circuit, populations, plasticity or {})
    for _ in add_synapses(circuit, populations, projections, index, here):
        pass
    first = {label: layout.populations[label].first for label in populations}
    network = DeviceNetwork(populations, dict.fromkeys(populations, np.arange(layout.cells)), first)
    arrays = {label: np.array(rows, CLAMP) for label, rows in clamps.items() if rows}
    return DeviceSimulation(network, list(trains.values()), list(stimulations.backgrounds(here)), index, arrays)


class DeviceSimulation:
    """A running network; :func:`build` makes it.

    Args:
        network: The populations.
        trains: gids of outside sources, and their spikes.
        backgrounds: Events on single synapses that are no plain Poisson processes.
        index: (gids) index of a cell in its population.
        clamps: :data:`CLAMP`, by population that has any.

    Example:
        >>> simulation = build(netParams, {"PYR": "PYR.netml"}, seed=1, device="cuda")
        >>> simulation.advance(1000.0)
        >>> times_ms, cells = simulation.spikes()["PYR"]
        >>> simulation.t, simulation.voltage("PYR"), simulation.report()["PYR"]["spikes"]
        >>> simulation.set_reward(1.0)
    """

    def __init__(
        self,
        network: DeviceNetwork,
        trains: list,
        backgrounds: list,
        index: np.ndarray,
        clamps: Mapping[str, np.ndarray],
    ):
        self.network, self._trains, self._backgrounds, self._index = network, trains, backgrounds, index
        self._clamps = clamps
        self._kept: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def t(self) -> float:
        """ms, how far it has come."""
        return self.network.time_ms

    def advance(self, ms: float) -> None:
        """Go on by a time.

        Args:
            ms: A whole number of steps.

        Raises:
            ModelError: It is none.
        """
        steps = ms / self.network.dt_r_ms
        if not (np.isfinite(steps) and steps >= 1 and abs(steps - round(steps)) < 1e-6):
            raise ModelError(
                f"cannot advance by {ms} ms; expected a whole number of steps of {self.network.dt_r_ms} ms"
            )
        for _ in range(round(steps)):
            end = self.t + self.network.dt_r_ms - 1 / TICKS_PER_MS
            outside = [
                (gids[which], times) for gids, (which, times) in ((g, train.until(end)) for g, train in self._trains)
            ]
            for background in self._backgrounds:
                which, times = background.trains.until(end)
                hit = background.synapses
                self.network.populations[background.label].inject(
                    self._index[hit.post[which]], hit.synapse_site[which], hit.weight_us[which], times
                )
            for label, clamps in self._clamps.items():
                self.network.populations[label].set_current(self._current(label, clamps))
            source, spike_ms = (np.concatenate([part[k] for part in outside] + [np.empty(0)]) for k in (0, 1))
            self._kept.append(self.network.advance(self.network.dt_r_ms, source, spike_ms))

    def _current(self, label: str, clamps: np.ndarray) -> np.ndarray:
        """(cells) mean current of the step to be taken, nA."""
        end = self.t + self.network.dt_r_ms
        on = np.minimum(end, clamps["end_ms"]) - np.maximum(self.t, clamps["start_ms"])
        mean = clamps["na"] * np.maximum(on, 0.0) / self.network.dt_r_ms
        return np.bincount(clamps["cell"], mean, self.network.populations[label].cells)

    def save(self, path: str | Path) -> None:
        """There is no checkpoint of a network on a device.

        Args:
            path: Is not written.

        Raises:
            ModelError: Always.
        """
        raise ModelError(f"cannot save {path}: a network on a device has no checkpoints; netml.build's network has")

    def spikes(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Spikes of the reduced cells since the last call.

        Returns:
            By population: times (ms) and cells (from 0 within it), in the order of time.
        """
        times, gids = (np.concatenate([*(part[k] for part in self._kept), np.empty(0)]) for k in (0, 1))
        self._kept, found = [], {}
        for label, population in self.network.populations.items():
            own = gids.astype(np.int64) - self.network.first[label]
            inside = (own >= 0) & (own < population.cells)
            found[label] = times[inside], own[inside]
        return found

    def set_reward(self, amount: float) -> None:
        """A reward to every projection that learns, at the beginning of the next step.

        Args:
            amount: No unit; negative for a punishment.
        """
        self.network.reward(amount)

    def voltage(self, population: str) -> np.ndarray:
        """Soma voltage after the last step.

        Args:
            population: Its label.

        Returns:
            (cells) float32, mV.
        """
        return self.network.populations[population].voltage()

    def report(self) -> dict[str, dict[str, int]]:
        """By population: cells, synapses, spikes, late, saturated, and so on."""
        return {label: population.stats() for label, population in self.network.populations.items()}
