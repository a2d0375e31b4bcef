"""Several populations on a device that send each other their spikes."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike

from netml.device.population import DevicePopulation
from netml.device.time import TICKS_PER_MS
from netml.errors import ModelError


class DeviceNetwork:
    """Populations that step together.

    Sources are numbered through: cells and whatever lies outside.

    Args:
        populations: By label, of one device and one step; complete.
        sources: (rows) number of each row's source, by label of the population it leads to; none twice.
        first: Number of the first cell of each population; without it they follow each other, then come the others.

    Raises:
        ModelError: Populations of different steps or devices, or sources that do not fit the rows.

    Example:
        >>> network = DeviceNetwork({"PYR": pyr}, {"PYR": range(pyr.rows)})  # row k is of source k; cells are first
        >>> times_ms, numbers = network.advance(1000.0)
        >>> network.time_ms  # 1000.0
    """

    def __init__(
        self, populations: Mapping[str, DevicePopulation], sources: Mapping[str, np.ndarray],
        first: Mapping[str, int] | None = None,
    ):  # fmt: skip
        self.populations = dict(populations)
        kinds = {(p.dt_r_ms, str(p.device)) for p in self.populations.values()}
        if len(kinds) != 1:
            raise ModelError(f"populations of a network have steps and devices {sorted(kinds)}; expected one of each")
        self.dt_r_ms, self.device = (
            next(iter(self.populations.values())).dt_r_ms,
            next(iter(self.populations.values())).device,
        )
        sizes = [p.cells for p in self.populations.values()]
        self.first = first or dict(zip(self.populations, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        top = max(self.first[label] + size for label, size in zip(self.populations, sizes, strict=True))
        self._row: dict[str, torch.Tensor] = {}
        for label, population in self.populations.items():
            source = np.asarray(sources[label], np.int64)
            if source.shape != (population.rows,) or np.unique(source).size != source.size or (source < 0).any():
                raise ModelError(f"sources of {label} are {source.size} numbers for {population.rows} rows; expected "
                                 "one of its own for each row, 0 or more")  # fmt: skip
            row = np.full(max(source.max(initial=-1) + 1, top), -1)
            row[source] = np.arange(source.size)
            self._row[label] = torch.as_tensor(row, device=self.device)
        self.reset()

    def reset(self) -> None:
        """Everything at rest, time 0."""
        for population in self.populations.values():
            population.reset()
        self.steps = 0

    @property
    def time_ms(self) -> float:
        """End of the last step, ms."""
        return self.steps * self.dt_r_ms

    def step(self) -> torch.Tensor:
        """Take one step.

        Returns:
            (spikes) int64 on the device, numbers of the cells that spike at its end.
        """
        fired = [population.step() + self.first[label] for label, population in self.populations.items()]
        self.steps += 1
        spiking = torch.cat(fired)
        tick = torch.full_like(spiking, round(self.time_ms * TICKS_PER_MS))
        for label, population in self.populations.items():
            row = self._row[label][spiking]
            population.spike(row[row >= 0], tick[row >= 0])
        return spiking

    def advance(
        self, duration_ms: float, source: ArrayLike = (), spike_ms: ArrayLike = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """Take whole steps.

        Args:
            duration_ms: Of biological time; rounded to steps.
            source: (n) int64, numbers of the outside sources that spike.
            spike_ms: (n) float64, times of their spikes, from now up to the end.

        Returns:
            Times, (spikes) float64, ms, and numbers, (spikes) int64, of the cells' spikes, in the order of time.
        """
        source, spike_ms = np.asarray(source, np.int64), np.asarray(spike_ms, float)
        order = np.argsort(spike_ms, kind="stable")
        source, spike_ms = source[order], spike_ms[order]
        times, numbers = [], []
        for _ in range(round(duration_ms / self.dt_r_ms)):
            now = np.searchsorted(spike_ms, self.time_ms + self.dt_r_ms - 1 / TICKS_PER_MS)
            self._outside(source[:now], spike_ms[:now])
            source, spike_ms = source[now:], spike_ms[now:]
            spiking = self.step().cpu().numpy()
            numbers.append(spiking)
            times.append(np.full(spiking.size, self.time_ms))
        return np.concatenate([*times, []]), np.concatenate([*numbers, np.empty(0, np.int64)])

    def reward(self, amount: float) -> None:
        """A reward to everything that learns from it, at the beginning of the next step.

        Args:
            amount: No unit; negative for a punishment.
        """
        for population in self.populations.values():
            population.reward(amount)

    def _outside(self, source: np.ndarray, spike_ms: np.ndarray) -> None:
        if not source.size:
            return
        for label, population in self.populations.items():
            known = source < self._row[label].numel()
            row = self._row[label][torch.as_tensor(source[known], device=self.device)].cpu().numpy()
            population.deliver(row[row >= 0], spike_ms[known][row >= 0])
