"""Biological seconds trained (forward and backward) a wall second, of a cell with 20 memory units and 32 branches."""

import time

import numpy as np
import torch

from netml.reductions import kernel
from netml.reductions.leaky_memory import LeakyMemory, trace_layout
from netml.training.recurrence import EventTable, Recurrence, Window


def main(blocks: int = 8, steps: int = 300, events_a_step: float = 14.0, repeats: int = 40) -> None:
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    trace_input, tau = trace_layout(("AMPA_NMDA", "GABAA"), {}, 32)
    model = LeakyMemory(trace_input, tau, inputs=64)
    rows, channels = 100_000, 1278
    counts = random.poisson(events_a_step, rows)
    table = EventTable(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        random.integers(0, channels, counts.sum()).astype(np.int32), np.full(counts.sum(), 1e-3, np.float32),
    )  # fmt: skip
    channel_input = random.integers(0, model.inputs, channels)
    recurrence = Recurrence(kernel.load(), model.dims, trace_input, channel_input, table)
    gain = torch.full((channels,), 1e3, requires_grad=True)
    best = 0.0
    for _ in range(repeats):
        first = random.integers(0, rows - steps, (blocks, 16))
        length = np.full(first.shape, steps, np.int32)
        quiet = np.zeros((blocks, steps, 16), np.uint8)
        state = recurrence.rest(model.pack().detach().numpy(), blocks)
        window = Window(steps, first, length, quiet, np.zeros((blocks, 16), np.uint8), state)
        start = time.perf_counter()
        logit, v = recurrence(model.pack(), gain, 0.0, window)
        (logit.square().mean() + v.mean()).backward()
        best = max(best, blocks * 16 * steps / 1000 / (time.perf_counter() - start))
    print(f"{best:.0f} biological seconds a second, {sum(p.numel() for p in model.parameters())} parameters, best of {repeats}")


if __name__ == "__main__":
    main()
