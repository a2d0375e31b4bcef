"""Biological seconds trained a second: the kernel alone (forward and backward), and a whole update of the trainer.

Also by a second of CPU, which other work on the machine changes little: times the threads, what they give alone. Of a
cell of 639 dendritic segments with 20 memory units, both kinds of model, on synthetic records.
"""

import argparse
import time

import numpy as np
import torch

from netml.circuit.cell import SegmentTable
from netml.records import CellInfo
from netml.reductions import kernel
from netml.training.config import TrainConfig
from netml.training.data import TrialTable
from netml.training.recurrence import EventTable, Recurrence, Window
from netml.training.trainer import Trainer

SEGMENTS, TRIALS, TRIAL_STEPS, EVENTS_A_STEP = 639, 32, 3000, 14.0


def synthetic() -> TrialTable:
    """A binary tree of dendrite under random input: what the trainer reads, without files."""
    random = np.random.default_rng(0)
    parent = np.concatenate([[-1], (np.arange(1, SEGMENTS) - 1) // 2])
    depth = np.floor(np.log2(np.arange(SEGMENTS) + 1))
    table = SegmentTable((("dend", SEGMENTS),), np.full(SEGMENTS, 0.5), parent, 20.0 * depth, np.full(SEGMENTS, 20.0),
                         np.full(SEGMENTS, 1.0))  # fmt: skip
    rows = TRIALS * TRIAL_STEPS
    counts = random.poisson(EVENTS_A_STEP, rows)
    steps = TrialTable.__new__(TrialTable)
    steps.cell = CellInfo("bench", "bench", ("AMPA_NMDA", "GABAA"), table, probes={"soma": ("dend", 0.0)}, dt_ms=0.05)
    steps.events = EventTable(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        random.integers(0, 2 * SEGMENTS, counts.sum()).astype(np.int32), np.full(counts.sum(), 4e-4, np.float32),
    )  # fmt: skip
    steps.spike = (random.random(rows) < 2e-3).astype(np.uint8)
    steps.target = steps.spike.astype(np.float32)
    steps.voltage = random.normal(-66, 3, rows).astype(np.float32)
    steps.counts, steps.network = np.ones(rows, bool), np.zeros(rows, bool)
    steps.sites, steps.site_voltage, steps.current = (), np.empty((0, rows), np.float32), False
    steps.length = np.full(TRIALS, TRIAL_STEPS, np.int32)
    steps.first = np.arange(TRIALS, dtype=np.int64) * TRIAL_STEPS
    steps.forced = np.zeros(TRIALS, bool)
    return steps


def clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def kernel_alone(trainer: Trainer, threads: int, blocks: int = 8, window: int = 300, repeats: int = 20) -> np.ndarray:
    model, steps = trainer.learner.model, trainer.steps
    recurrence = Recurrence(
        kernel.load(), model.dims, model.wiring.numpy(), trainer.learner.channel_input, steps.events, threads
    )
    random, best = np.random.default_rng(0), np.zeros(2)
    params = model.pack().detach().requires_grad_()
    gain = trainer.learner.gain().detach().requires_grad_()
    for _ in range(repeats):
        first = random.integers(0, steps.spike.size - window, (blocks, 16))
        state = recurrence.rest(params.detach().numpy(), blocks)
        batch = Window(window, first, np.full(first.shape, window, np.int32), np.zeros((blocks, window, 16), np.uint8),
                       np.ones((blocks, 16), np.uint8), state)  # fmt: skip
        start = clocks()
        logit, v, _ = recurrence(params, gain, 1e9, batch)
        (logit.mean() + v.mean()).backward()
        best = np.maximum(best, blocks * 16 * window / 1000 / (clocks() - start))
    recurrence.close()
    return best


def whole_update(trainer: Trainer, repeats: int = 30) -> np.ndarray:
    best = np.zeros(2)
    for _ in range(repeats):
        start = clocks()
        trainer._learn()
        trainer.update += 1
        best = np.maximum(best, trainer.config.batch_size * trainer.config.window_ms / 1000 / (clocks() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    threads = parser.parse_args().threads
    torch.set_num_threads(1)
    steps = synthetic()
    for options in ({"reduction": "leaky_memory"}, {"reduction": "cable"}, {"reduction": "cable", "compartments": 24}):
        config = TrainConfig.of(memory=20, hidden=40, batch_size=128, **options)
        trainer = Trainer(steps, list(range(TRIALS)), [0], config)
        alone, whole = kernel_alone(trainer, threads), whole_update(trainer)
        parameters = trainer.learner.parameter_count(2 * SEGMENTS)
        print(f"{options}: {parameters} parameters; biological seconds, best of several, "
              f"a wall second on {threads} threads: kernel {alone[0]:.0f}, whole updates {whole[0]:.0f}; "
              f"a CPU second: kernel {alone[1]:.0f}, whole updates {whole[1]:.0f}")  # fmt: skip
        trainer.close()


if __name__ == "__main__":
    main()
