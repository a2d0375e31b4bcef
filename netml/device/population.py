"""The reduced cells of one artifact on a torch device, and the synapses onto them.

The interface, the times and the sums are those of :class:`netml.engine.population.Population`, whose spikes it gives
but for the rounding of float32 sums in another order. Everything stays on the device; Python handles no single cell.
"""

import numpy as np
import torch

from netml.artifact import Artifact
from netml.device.cells import Cells
from netml.device.frozen import frozen
from netml.device.learning import Learning
from netml.device.projection import Projection
from netml.device.ring import TOP, Ring
from netml.device.sources import Sources
from netml.device.time import TICKS_PER_MS
from netml.engine.plasticity import RewardStdp, ShortTerm
from netml.engine.population import quantum
from netml.errors import ModelError
from netml.reductions.kernel import Reduction


class Population:
    """Cells of one artifact, first collected, then frozen.

    Arguments:
        artifact: The reduction.
        label: For messages.
        device: "cuda", or "cpu".
    """

    def __init__(self, artifact: Artifact, label: str, device: str | torch.device = "cuda"):
        self.artifact, self.label, self.device = artifact, label, usable(device)
        self.cells = self.rows = 0
        self.dt_r_ms, self.quantum = float(artifact.header["dt_r_ms"]), quantum(artifact)
        self._reduction = Reduction.of(artifact)
        self._step_ticks = round(self.dt_r_ms * TICKS_PER_MS)
        self._rules: list[tuple[ShortTerm | None, RewardStdp | None]] = [(None, None)]
        self._added: list[list[tuple[torch.Tensor, ...]]] = [[]]
        self._input = torch.tensor(artifact.arrays["channel_input"], dtype=torch.int64, device=self.device)
        gain = torch.tensor(artifact.arrays["channel_gain"], dtype=torch.float64, device=self.device)
        self._quanta_per_us = gain / self.quantum
        self._dirty, self.next = True, 0

    def add_cells(self, count: int) -> int:
        """Further cells; returns the index of the first. Not after :meth:`freeze`."""
        self.cells, self._dirty = self.cells + count, True
        return self.cells - count

    def add_rows(self, count: int) -> int:
        """Rows of synapses for so many more sources; returns the number of the first."""
        self.rows, self._dirty = self.rows + count, True
        return self.rows - count

    def add_projection(self, short_term: ShortTerm | None = None, stdp: RewardStdp | None = None) -> int:
        """A further projection, with plasticity; returns its number. Projection 0 is static."""
        self._rules.append((short_term, stdp))
        self._added.append([])
        return len(self._rules) - 1

    def add_synapses(self, row, cell, channel, weight_us, delay_ms, projection: int = 0) -> None:
        """Synapses from the sources of rows, in any order; arrays or tensors of one length.

        Raises:
            ModelError: A row, cell or channel that is not there, a weight that is negative, NaN or too large, a delay
                that is zero, negative, NaN or too long.
        """
        as_tensor = torch.as_tensor
        row, cell, channel = (as_tensor(c, device=self.device).long() for c in (row, cell, channel))
        weight_us, delay_ms = (as_tensor(c, device=self.device).double() for c in (weight_us, delay_ms))
        for name, index, count in (
            ("row", row, self.rows),
            ("cell", cell, self.cells),
            ("channel", channel, self._input.numel()),
        ):
            self._refuse((index < 0) | (index >= count), name, index, f"0 to {count - 1}")
        gain, delay = self._quanta_per_us[channel], torch.round(delay_ms * TICKS_PER_MS)
        weight = torch.round(weight_us * gain)
        self._refuse(
            ~((weight_us >= 0) & (weight <= TOP)), "weight", weight_us, "0 to 1024 times the largest in training, uS"
        )
        self._refuse(~((delay >= 1) & (delay <= TOP)), "delay", delay_ms, f"1e-6 to {TOP // TICKS_PER_MS} ms")
        target = cell * self._reduction.dims.inputs + self._input[channel]
        weights = [weight_us, gain] if self._rules[projection][1] else [weight.int()]
        self._added[projection].append((row.int(), target.int(), delay.int(), *weights))
        self._dirty = True

    def freeze(self) -> None:
        """Sort the synapses and make the cells; a later addition needs it again. Resets.

        Raises:
            ModelError: More sums than the ring's 32-bit targets can name, or one that could wrap twice.
        """
        inputs = self._reduction.dims.inputs
        if self.cells * inputs > TOP:
            raise ModelError(f"population {self.label} has {self.cells} cells of {inputs} inputs; expected at most "
                             f"{TOP} inputs in all: split it into several")  # fmt: skip
        self.projections = [self._made(*pair) for pair in zip(self._rules, self._added, strict=True)]
        self._refuse_overflow(inputs)
        longest = max(p.longest for p in self.projections)
        self._ring = Ring(longest // self._step_ticks + 3, self.cells * inputs, self.device)
        header = self.artifact.header
        model = frozen(self._reduction, header["reduction"], self.device)
        rest = float(header.get("v_rest_mv", -70.0))
        self._dirty = False
        self._cells = Cells(model, self.cells, self._reduction.threshold, rest, self.device)
        self.reset()

    def _made(self, rules, batches) -> Projection | Learning:
        short_term, stdp = rules
        if batches:
            columns = [torch.cat(parts) for parts in zip(*batches, strict=True)]
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
        self._cells.reset()
        self._ring.reset()
        for projection in self.projections:
            projection.reset()

    def deliver(self, row, spike_ms) -> None:
        """Spikes of rows' sources: numbers, or arrays of rows and of times in ms."""
        rows = np.atleast_1d(np.asarray(row, np.int64))
        ticks = np.rint(np.broadcast_to(np.asarray(spike_ms, float), rows.shape) * TICKS_PER_MS).astype(np.int64)
        order = np.argsort(ticks, kind="stable")
        rows, ticks = rows[order], ticks[order]
        while rows.size:  # a source's spikes one after the other
            _, first = np.unique(rows, return_index=True)
            self.spike(*(torch.as_tensor(a[first], device=self.device) for a in (rows, ticks)))
            rows, ticks = np.delete(rows, first), np.delete(ticks, first)

    def spike(self, rows: torch.Tensor, tick: torch.Tensor) -> None:
        """Spikes of rows, none of them twice, at ticks; int64 on the device."""
        for projection in self.projections:
            self._events += projection.spike(rows, tick, self.next, self._ring)

    def reward(self, amount: float, projection: int | None = None) -> None:
        """A reward at the beginning of the next step, to one projection or to all that learn from it."""
        for k, learning in enumerate(self.projections):
            if isinstance(learning, Learning) and projection in (None, k):
                learning.reward(amount, self.next * self._step_ticks)

    def step(self) -> torch.Tensor:
        """Take one step; returns the indices of the cells that spike, int64 on the device."""
        for projection in self.projections:
            self._events += projection.begin(self.next, self._ring)
        self._ring.take(self.next, self._cells.x, self.quantum)
        self._cells.step()
        self.next += 1
        cells = self._cells.spike.nonzero()[:, 0]
        for projection in self.projections:
            projection.fired(cells, self.next * self._step_ticks)
        self._spikes += cells.numel()
        return cells

    def synapses(self, projection: int = 0) -> dict[str, np.ndarray]:
        """Synapses in use: row, cell, input, delay (ticks), weight (weight x gain; with STDP uS), and their eligibility
        at the end of the last step."""
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


def usable(device: str | torch.device) -> torch.device:
    """A device that is there.

    Raises:
        ModelError: No such device on this machine, or with this build of torch.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"device {str(device)!r} cannot be used ({reason}); use device='cpu', or a machine with CUDA and a CUDA "
            "build of torch (https://pytorch.org/get-started)"
        ) from error
    return found
