"""The reduced cells of one artifact on a torch device, and the synapses onto them.

The interface, the times and the sums are those of :class:`netml.population.population.ReducedPopulation`, whose
spikes it gives but for the rounding of float32 sums in another order. Everything stays on the device; Python handles no
single cell.
"""

import numpy as np
import torch

from netml.artifact import Artifact
from netml.device.background import Background
from netml.device.cells import Cells
from netml.device.choice import sent, usable
from netml.device.kernel_cell import KernelCell
from netml.device.learning import Learning
from netml.device.projection import Projection
from netml.device.ring import TOP, Ring
from netml.device.sources import Sources
from netml.device.time import TICKS_PER_MS
from netml.errors import ModelError
from netml.population.from_artifact import quantum, synaptic_gain
from netml.population.plasticity import RewardStdp, ShortTerm
from netml.population.soma_current import SomaCurrent
from netml.reductions.kernel import Reduction


class DevicePopulation:
    """Cells of one artifact, first collected, then frozen.

    Args:
        artifact: The reduction.
        label: For messages.
        device: "cuda", or "cpu".

    Raises:
        DeviceError: No such device.

    Example:
        >>> cells = DevicePopulation(netml.Artifact.load("PYR.netml"), "PYR", device="cuda")
        >>> cells.add_cells(2), cells.add_rows(1)  # 0, 0: the first of each
        >>> cells.add_synapses(row=[0, 0], cell=[0, 1], synapse_site=[4, 6], weight_us=[1e-3, 2e-3], delay_ms=[0.5, 1])
        >>> cells.freeze()
        >>> cells.deliver(0, spike_ms=0.2)
        >>> spiking = cells.step()
    """

    def __init__(self, artifact: Artifact, label: str, device: str | torch.device = "cuda"):
        self.artifact, self.label, self.device = artifact, label, usable(device)
        self.cells = self.rows = 0
        self.dt_r_ms = float(artifact.header["dt_r_ms"])
        self.quantum, gains = quantum(artifact), synaptic_gain(artifact)
        self._reduction = Reduction.of(artifact)
        self._step_ticks = round(self.dt_r_ms * TICKS_PER_MS)
        self._rules: list[tuple[ShortTerm | None, RewardStdp | None]] = [(None, None)]
        self._added: list[list[tuple[torch.Tensor, ...]]] = [[]]  # since the last freeze
        self.projections: list[Projection | Learning] = []
        self._backgrounds: list[Background] = []
        self._gid: list[torch.Tensor] = []
        self._current = SomaCurrent(artifact, label)
        self._input = sent(artifact.arrays["channel_input"][: gains.size], torch.int64, self.device)
        self._quanta_per_us = sent(gains, torch.float64, self.device) / self.quantum
        self._dirty, self.next = True, 0

    def add_cells(self, count: int, gids=None) -> int:
        """Further cells.

        Args:
            count: How many.
            gids: (count) int64, their names in random numbers; None: their indices.

        Returns:
            The index of the first.
        """
        names = np.arange(self.cells, self.cells + count) if gids is None else np.asarray(gids, np.int64)
        self._gid.append(torch.as_tensor(names, device=self.device))
        self.cells, self._dirty = self.cells + count, True
        return self.cells - count

    def add_rows(self, count: int) -> int:
        """Rows of synapses for ``count`` more sources; returns the number of the first."""
        self.rows, self._dirty = self.rows + count, True
        return self.rows - count

    def add_projection(self, short_term: ShortTerm | None = None, stdp: RewardStdp | None = None) -> int:
        """Synapses with plasticity, ``short_term``, ``stdp`` or both; returns the number. Projection 0 is static."""
        self._rules.append((short_term, stdp))
        self._added.append([])
        return len(self._rules) - 1

    def add_synapses(self, row, cell, synapse_site, weight_us, delay_ms, projection: int = 0) -> None:
        """Synapses from the sources of rows, in any order; arrays or tensors of one length.

        Args:
            row: (n) int, of the source.
            cell: (n) int, index of the target.
            synapse_site: (n) int, segment x synapse types + synapse type.
            weight_us: (n) float64, peak conductance, uS, 0 or more.
            delay_ms: (n) float64, ms, rounded to whole ticks of 1e-6 ms, from one to 2147 ms.
            projection: Number of the one they belong to.

        Raises:
            ModelError: A row, cell or synapse site that is not there, a weight that is negative, NaN or too large, a
                delay that is zero, negative, NaN or too long.
        """
        row, cell, synapse_site = (sent(c, torch.int64, self.device) for c in (row, cell, synapse_site))
        weight_us, delay_ms = (sent(c, torch.float64, self.device) for c in (weight_us, delay_ms))
        for name, index, count in (
            ("row", row, self.rows),
            ("cell", cell, self.cells),
            ("synapse site", synapse_site, self._input.numel()),
        ):
            self._refuse((index < 0) | (index >= count), name, index, f"0 to {count - 1}")
        gain, delay = self._quanta_per_us[synapse_site], torch.round(delay_ms * TICKS_PER_MS)
        weight = torch.round(weight_us * gain)
        self._refuse(
            ~((weight_us >= 0) & (weight <= TOP)), "weight", weight_us, "0 to 1024 times the largest in training, uS"
        )
        self._refuse(~((delay >= 1) & (delay <= TOP)), "delay", delay_ms, f"1e-6 to {TOP // TICKS_PER_MS} ms")
        target = cell * self._reduction.dims.inputs + self._input[synapse_site]
        weights = [weight_us.float(), gain.float()] if self._rules[projection][1] else [weight.int()]
        self._added[projection].append((row.int(), target.int(), delay.int(), *weights))
        self._dirty = True

    def add_background(self, synapse_site, rate_hz, weight_us, seed: int = 0) -> None:
        """Poisson events onto synapse sites of every cell, each cell and site on its own; the engine's own events.

        Args:
            synapse_site: (n) int.
            rate_hz: (n) float64, Hz, or one number for all synapse sites.
            weight_us: (n) float64, uS, or one number for all synapse sites.
            seed: 0 to 2^32 - 1.

        Raises:
            ModelError: A synapse site that is not there, a rate or weight that is negative, NaN or too large.
        """
        synapse_site = np.atleast_1d(synapse_site)
        rate, weight = (np.broadcast_to(np.asarray(v, float), synapse_site.shape) for v in (rate_hz, weight_us))
        quanta = np.rint(weight * self._quanta_per_us.cpu().numpy()[np.clip(synapse_site, 0, self._input.numel() - 1)])
        wrong = (
            (synapse_site < 0)
            | (synapse_site >= self._input.numel())
            | ~(rate >= 0)
            | ~((quanta >= 0) & (quanta <= TOP))
        )
        wrong |= ~(np.cumsum(rate) * self.dt_r_ms / 1000 <= 64)
        if wrong.any():
            bad = np.flatnonzero(wrong)[0]
            raise ModelError(
                f"a background of reduced {self.label} puts {rate[bad]} Hz of {weight[bad]} uS on synapse site "
                f"{synapse_site[bad]}; expected a site below {self._input.numel()}, a rate and a weight from 0, and at "
                f"most 64 events a cell and step of {self.dt_r_ms} ms in all"
            )
        choices = (
            self._input[torch.as_tensor(synapse_site, device=self.device)],
            torch.as_tensor(quanta, device=self.device),
        )
        self._backgrounds.append(Background(rate.tolist(), *choices, seed=seed, stream=len(self._backgrounds),
                                            step_ticks=self._step_ticks))  # fmt: skip

    def freeze(self) -> None:
        """Sort the synapses and make the cells; a later addition needs it again. Resets.

        Raises:
            ModelError: More sums than the ring's 32-bit targets can name, or one that could wrap twice.
        """
        inputs = self._reduction.dims.inputs
        if self.cells * inputs > TOP:
            raise ModelError(f"population {self.label} has {self.cells} cells of {inputs} inputs; expected at most "
                             f"{TOP} inputs in all: split it into several")  # fmt: skip
        for projection, batches in zip(self.projections, self._added, strict=False):
            batches.insert(0, projection.batch())
        self.projections = [self._made(*pair) for pair in zip(self._rules, self._added, strict=True)]
        self._refuse_overflow(inputs)
        longest = max(p.longest for p in self.projections)
        self._ring = Ring(longest // self._step_ticks + 3, self.cells * inputs, self.device)
        header = self.artifact.header
        model = KernelCell.of(self._reduction, self.device)
        rest = float(header.get("v_rest_mv", -70.0))
        self._dirty, self._gids = False, torch.cat(self._gid)
        self._cells = Cells(model, self.cells, self._reduction.threshold, rest, self.device)
        self.reset()

    def _made(self, rules, batches) -> Projection | Learning:
        short_term, stdp = rules
        if batches:
            columns = [torch.cat(parts) for parts in zip(*batches, strict=True)]
            batches.clear()
        else:
            columns = [torch.empty(0, dtype=torch.int32, device=self.device)] * (5 if stdp else 4)
        row, target, delay, *weight = columns
        row = row.long()
        sources = Sources(self.rows, short_term, stdp, self.device)
        if stdp:
            return Learning(stdp, sources, row, target, delay, *weight, inputs=self._reduction.dims.inputs,
                            cells=self.cells, step_ticks=self._step_ticks)  # fmt: skip
        return Projection(
            sources if short_term else None, row, target, delay, *weight, rows=self.rows, step_ticks=self._step_ticks
        )

    def _refuse_overflow(self, inputs: int) -> None:
        sums = torch.zeros(self.cells * inputs, dtype=torch.float64, device=self.device)
        for projection in self.projections:
            projection.add_highest(sums)
        if sums.numel() and sums.max() >= 2 * TOP:
            raise ModelError(
                f"cell {int(sums.argmax()) // inputs} of reduced {self.label} could get over 2,048 times the strongest "
                "event of training on one input in one step; spread its synapses over more segments, or weaken them"
            )

    def reset(self) -> None:
        """All cells at rest, nothing on its way, weights as they were made, step 0."""
        if self._dirty:
            return self.freeze()
        self.next, self._events, self._spikes = 0, 0, torch.zeros((), dtype=torch.int64, device=self.device)
        self._into_soma: torch.Tensor | None = None
        self._cells.reset()
        self._ring.reset()
        for projection in self.projections:
            projection.reset()

    def deliver(self, row, spike_ms) -> None:
        """Spikes of rows' sources in any order: ``row``, (n) int, and ``spike_ms``, (n) ms; or one of each."""
        rows = np.atleast_1d(np.asarray(row, np.int64))
        ticks = np.rint(np.broadcast_to(np.asarray(spike_ms, float), rows.shape) * TICKS_PER_MS).astype(np.int64)
        order = np.argsort(ticks, kind="stable")
        rows, ticks = rows[order], ticks[order]
        while rows.size:  # a source's spikes one after the other
            _, first = np.unique(rows, return_index=True)
            self.spike(*(torch.as_tensor(a[first], device=self.device) for a in (rows, ticks)))
            rows, ticks = np.delete(rows, first), np.delete(ticks, first)

    def spike(self, rows: torch.Tensor, tick: torch.Tensor) -> None:
        """Spikes of ``rows``, none of them twice, at ``tick`` (1e-6 ms); (n) int64 each, on the device."""
        for projection in self.projections:
            self._events += projection.spike(rows, tick, self.next, self._ring)

    def inject(self, cell, synapse_site, weight_us, arrival_ms) -> None:
        """Events of single synapses that have no row.

        Args:
            cell: (n) int, index of the target.
            synapse_site: (n) int, segment x synapse types + synapse type.
            weight_us: (n) float64, uS.
            arrival_ms: (n) float64, ms, no further ahead than the longest delay; what comes too late is counted.
        """
        cell, synapse_site = (sent(c, torch.int64, self.device) for c in (cell, synapse_site))
        weight, arrival = (sent(c, torch.float64, self.device) for c in (weight_us, arrival_ms))
        step = (torch.round(arrival * TICKS_PER_MS).long() + 1) // self._step_ticks
        quanta = torch.round(weight * self._quanta_per_us[synapse_site]).to(torch.int32)
        self._ring.add(self.next, step, cell * self._reduction.dims.inputs + self._input[synapse_site], quanta)

    def reward(self, amount: float, projection: int | None = None) -> None:
        """A reward (``amount``, no unit) at the beginning of the next step, to one ``projection`` or (None) to all."""
        for k, learning in enumerate(self.projections):
            if isinstance(learning, Learning) and projection in (None, k):
                learning.reward(amount, self.next * self._step_ticks)

    def set_current(self, current_na) -> None:
        """A current into the soma of every cell, until set again or a reset.

        Args:
            current_na: (cells) float64, nA, or one number for all.

        Raises:
            ModelError: The reduction takes no current, or it is no finite number a cell.
        """
        self._into_soma = torch.as_tensor(self._current.scaled(current_na, self.cells), device=self.device)

    def step(self) -> torch.Tensor:
        """Take one step; returns the indices of the cells that spike at its end, (spikes) int64 on the device."""
        for projection in self.projections:
            self._events += projection.begin(self.next, self._ring)
        for background in self._backgrounds:
            background.draw(self._gids, self._reduction.dims.inputs, self.next, self._ring)
        self._ring.take(self.next, self._cells.x, self.quantum)
        if self._into_soma is not None:
            self._cells.x[:, -1] += self._into_soma
        self._cells.step()
        self.next += 1
        cells = self._cells.spike.nonzero()[:, 0]
        for projection in self.projections:
            projection.fired(cells, self.next * self._step_ticks)
        self._spikes += cells.numel()
        return cells

    def synapses(self, projection: int = 0) -> dict[str, np.ndarray]:
        """Synapses in use.

        Args:
            projection: Its number.

        Returns:
            (synapses) each: row, cell, input, delay (ticks), weight (weight x gain; with STDP uS), and eligibility at
            the end of the last step.
        """
        held = self.projections[projection].held(self.next * self._step_ticks)
        cell, which = np.divmod(held.pop("target"), self._reduction.dims.inputs)
        if self._rules[projection][1] is None:
            held["weight"] = held["weight"] * self.quantum
        return held | {"cell": cell, "input": which}

    def voltage(self) -> np.ndarray:
        """(cells) float32, mV at the end of the last step."""
        return self._cells.voltage.cpu().numpy().copy()

    def logit(self) -> np.ndarray:
        """(cells) float32, of the last step."""
        return self._cells.logit.cpu().numpy().copy()

    def stats(self) -> dict[str, int]:
        """Since the last reset: steps, spikes, events sent, late, saturated; and cells, rows, synapses."""
        synapses = sum(p.synapses for p in self.projections)
        mine = {"cells": self.cells, "rows": self.rows, "synapses": synapses, "steps": self.next}
        return mine | {"spikes": int(self._spikes), "events": self._events} | self._ring.stats()

    def _refuse(self, wrong: torch.Tensor, name: str, values: torch.Tensor, expected: str) -> None:
        if wrong.any():
            raise ModelError(f"{int(wrong.sum())} synapses onto reduced {self.label} have a {name} such as "
                             f"{values[wrong][0].item()}; expected {expected}")  # fmt: skip
