"""Records as one table of steps, and the walk of many sequences through it."""

import json
from copy import copy

import numpy as np

from netml.errors import RecordsError, TrainingError
from netml.records import Records, windows
from netml.records.trial import NETWORK
from netml.reductions.kernel import LANES
from netml.training.recurrence import EventTable, Window

MIN_INTERVALS = 50  # fewer say nothing about the shortest one


class TrialTable:
    """Trials end to end, one row a step.

    Attributes:
        events: Events of every row.
        spike: (rows) uint8; target: (rows) float32, the probability of a spike that is learned, the same where known.
        voltage: (rows) float32, mV, at most v_clip.
        counts: (rows) bool, False where a trial has just begun.
        network: (rows) bool, True in trials recorded in a network.
        sites: Names of the recorded sites beside the soma; site_voltage: (sites, rows) float32, mV.
        first: (trials) int64 first row of each trial; length: (trials) int32.
        current: Whether a trial has a current into the soma: then the synapse sites are one more, its own.
        with_current: (trials) bool, those with a current.
        forced: (trials) bool, protocol trials with a current: they are learned with the true spikes fed back at all
            times.  Under a steady current one spike follows another in nearly fixed time, but a free-running model is
            soon out of phase and learns no time at all, only the mean rate.
    """

    def __init__(self, records: Records, trials, *, dt_r_ms: float, v_clip_mv: float, skip_ms: float,
                 site_clip_mv: float = -40.0):  # fmt: skip
        rows, synapse_site, weight, spike, voltage, counts, network, length, elsewhere = ([] for _ in range(9))
        self.dt_r_ms, self.v_clip_mv, self.skip_ms, self.site_clip_mv = dt_r_ms, v_clip_mv, skip_ms, site_clip_mv
        self.sites = tuple(sorted(set(records.cell.probes) - {"soma"}))
        self.current = bool(records.with_current[trials].any())
        self.with_current = records.with_current[trials]
        self.forced = self.with_current & (records.kinds[trials] != NETWORK)
        for trial in records.trials(trials):
            n = windows.steps(trial.duration_ms, dt_r_ms)
            step, *what = windows.events(trial, dt_r_ms, records.cell.synapse_sites if self.current else None)
            rows.append(np.bincount(step, minlength=n))
            synapse_site.append(what[0])
            weight.append(what[1])
            spike.append(windows.spike_train(trial, dt_r_ms))
            voltage.append(np.minimum(windows.soma_voltage(trial, dt_r_ms), v_clip_mv).astype(np.float32))
            elsewhere.append([np.minimum(windows.voltage(trial, site, dt_r_ms), site_clip_mv) for site in self.sites])
            counts.append((np.arange(n) + 1) * dt_r_ms > skip_ms)
            network.append(np.full(n, trial.kind == NETWORK))
            length.append(n)
        row_start = np.concatenate([[0], np.cumsum(np.concatenate(rows))]).astype(np.int64)
        self.events = EventTable(row_start, np.concatenate(synapse_site), np.concatenate(weight))
        self.spike, self.voltage = np.concatenate(spike), np.concatenate(voltage)
        self.target = self.spike.astype(np.float32)
        shaped = [np.reshape(e, (len(self.sites), n)) for e, n in zip(elsewhere, length, strict=True)]
        self.site_voltage = np.concatenate(shaped, axis=1).astype(np.float32)
        self.counts, self.network = np.concatenate(counts), np.concatenate(network)
        self.length = np.asarray(length, np.int32)
        self.first = np.concatenate([[0], np.cumsum(self.length, dtype=np.int64)[:-1]])
        self.cell = records.cell

    def like(self, events: EventTable, length) -> "TrialTable":
        """Other trials of the cell, in no network, without a current and without labels yet."""
        other = copy(self)
        rows = int(length.sum())
        other.events, other.length = events, np.asarray(length, np.int32)
        other.first = np.concatenate([[0], np.cumsum(other.length, dtype=np.int64)[:-1]])
        other.spike, other.target, other.voltage = np.zeros(rows, np.uint8), *np.zeros((2, rows), np.float32)
        other.site_voltage = np.zeros((len(self.sites), rows), np.float32)
        step = np.arange(rows) - np.repeat(other.first, other.length)
        other.counts, other.network = (step + 1) * self.dt_r_ms > self.skip_ms, np.zeros(rows, bool)
        other.with_current = other.forced = np.zeros(other.length.size, bool)
        return other

    def joined(self, other: "TrialTable") -> "TrialTable":
        """These trials and, behind them, those of ``other``."""
        both = copy(self)
        mine, theirs = self.events, other.events
        row_start = np.append(mine.row_start, mine.row_start[-1] + theirs.row_start[1:])
        synapse_site, weight = np.append(mine.synapse_site, theirs.synapse_site), np.append(mine.weight, theirs.weight)
        both.events = EventTable(row_start, synapse_site, weight)
        for name in ("spike", "target", "voltage", "counts", "network", "length", "with_current", "forced"):
            setattr(both, name, np.append(getattr(self, name), getattr(other, name)))
        both.site_voltage = np.append(self.site_voltage, other.site_voltage, axis=1)
        both.first = np.append(self.first, other.first + self.spike.size)
        return both

    def events_of(self, trial: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Step, synapse site and weight of the events of a trial."""
        first, n = int(self.first[trial]), int(self.length[trial])
        start = self.events.row_start[first : first + n + 1]
        inside = slice(start[0], start[-1])
        return np.repeat(np.arange(n), np.diff(start)), self.events.synapse_site[inside], self.events.weight[inside]

    def rows_of(self, trials) -> np.ndarray:
        """(rows) bool: the rows of some trials that count."""
        chosen = np.zeros(self.spike.size, bool)
        for k in trials:
            chosen[self.first[k] : self.first[k] + self.length[k]] = True
        return chosen & self.counts

    def shortest_interval(self, trials, quantile: float) -> int:
        """That quantile of the intervals between spikes of some trials, in steps; 0 where there are too few to say."""
        spikes = [np.flatnonzero(self.spike[self.first[k] : self.first[k] + self.length[k]]) for k in trials]
        intervals = np.concatenate([np.diff(s) for s in spikes])
        if quantile == 0 or intervals.size < MIN_INTERVALS:
            return 0
        return int(np.quantile(intervals, quantile, method="lower"))

    def synapse_site_statistics(self, trials) -> tuple[np.ndarray, np.ndarray, dict]:
        """Of some trials: events a synapse site (int64), mean weight of its synapse type (uS), range by type.

        The current's synapse site counts steps, and its mean is of the size (nA).
        """
        synapses = self.cell.synapses
        synapse_site, weight = self._events_of(trials)
        seen = np.bincount(synapse_site, minlength=self.cell.synapse_sites + self.current)
        kind = np.where(synapse_site < self.cell.synapse_sites, synapse_site % len(synapses), len(synapses))
        mean, span = np.ones(len(synapses)), {}
        for s, label in enumerate(synapses):
            own = weight[kind == s]
            if own.size:
                mean[s] = max(float(own.mean()), 1e-12)
            span[label] = [float(own.min(initial=np.inf)), float(own.max(initial=0))] if own.size else [0.0, 0.0]
        typical = np.tile(mean, self.cell.synapse_sites // len(synapses))
        if self.current:
            size = np.abs(weight[kind == len(synapses)])
            typical = np.append(typical, float(size.mean()) if size.size else 1.0)
        return seen, typical, span

    def current_range(self, trials) -> list[float]:
        """Lowest and highest mean current of a step (nA) in some trials."""
        synapse_site, weight = self._events_of(trials)
        own = weight[synapse_site == self.cell.synapse_sites]
        return [float(own.min(initial=0.0)), float(own.max(initial=0.0))]

    def _events_of(self, trials) -> tuple[np.ndarray, np.ndarray]:
        """Channel and weight of all events of some trials."""
        start = self.events.row_start
        parts = [slice(start[self.first[k]], start[self.first[k] + self.length[k]]) for k in trials]
        synapse_site, weight = self.events.synapse_site, self.events.weight
        return np.concatenate([synapse_site[p] for p in parts]), np.concatenate([weight[p] for p in parts])


def load_trials(records: Records, config) -> tuple[TrialTable, list[int], list[int]]:
    """Steps of the training and validation trials, and which are which.

    Raises:
        TrainingError: No spike to learn from.
        RecordsError: Too few trials to split, NaN or damaged data.
    """
    split = config.split(records)
    training, validation = split["train"], split["validation"]
    for name, trials in (("training", training), ("validation", validation)):
        if not records.spike_counts[trials].sum():
            raise TrainingError(
                f"the {len(trials)} {name} trials of {records.folder} hold no spike at all; record longer, more cells, "
                f"or with stronger input"
            )
    steps = TrialTable(
        records,
        training + validation,
        dt_r_ms=config.dt_r_ms,
        v_clip_mv=config.v_clip_mv,
        skip_ms=config.skip_ms,
        site_clip_mv=config.site_clip_mv,
    )
    if not steps.counts.any():
        raise RecordsError(f"all trials of {records.folder} are shorter than the {config.skip_ms} ms that are skipped")
    first, second = list(range(len(training))), list(range(len(training), len(steps.length)))
    for name, trials in (("training", first), ("validation", second)):
        if not steps.spike[steps.rows_of(trials)].any():
            raise TrainingError(
                f"the {len(trials)} {name} trials of {records.folder} hold no spike "
                f"after the first {config.skip_ms:g} ms, "
                f"which are skipped (skip_ms); record longer trials"
            )
    return steps, first, second


class SequenceSampler:
    """Sequences that walk through trials side by side, window after window, and draw a new trial at the end of one.

    A sequence carries its state from window to window, so that no time is spent on settling in.
    """

    def __init__(self, steps: TrialTable, trials, sequences: int, window: int, seed: int):
        self.steps, self.trials, self.window = steps, np.asarray(trials), window
        self.random = np.random.default_rng([seed, 1])
        self.blocks = sequences // LANES
        self.queue: list[int] = []
        self.trial = np.array([self._draw() for _ in range(sequences)])
        # Starting anywhere, at first, keeps the sequences from reaching their ends together.
        self.position = (self.random.random(sequences) * self.steps.length[self.trial]).astype(np.int64)
        self.state: np.ndarray | None = None

    @property
    def longest(self) -> int:
        """Steps of the longest window."""
        return int(1.25 * self.window)

    def _draw(self) -> int:
        if not self.queue:
            self.queue = self.random.permutation(self.trials).tolist()
        return self.queue.pop()

    def next(self, rest: np.ndarray, free_lanes: int) -> tuple[Window, np.ndarray]:
        """The next window and its rows (blocks, steps, 16), -1 where a trial has ended.

        Args:
            rest: (1, state, 16) state of a cell at rest, for sequences that begin.
            free_lanes: 0..16, how many sequences of each block feed back their own spikes.
        """
        if self.state is None:
            self.state = np.repeat(rest, self.blocks, axis=0)
        n = int(self.random.integers(int(0.75 * self.window), self.longest + 1))
        ended = self.position >= self.steps.length[self.trial]
        for k in np.flatnonzero(ended):
            self.trial[k], self.position[k] = self._draw(), 0
            self.state[k // LANES, :, k % LANES] = rest[0, :, 0]
        first = self.steps.first[self.trial] + self.position
        length = np.minimum(n, self.steps.length[self.trial] - self.position)
        self.position += n
        first, length = first.reshape(-1, LANES), length.reshape(-1, LANES).astype(np.int32)
        window, rows = make_window(self.steps, first, length, n, self.state, free_lanes)
        window.free_running[self.steps.forced[self.trial].reshape(-1, LANES)] = 0
        return window, rows

    def state_dict(self) -> dict:
        return {
            "random": json.dumps(self.random.bit_generator.state),
            "queue": list(self.queue),
            "trial": self.trial.tolist(),
            "position": self.position.tolist(),
            "state": None if self.state is None else self.state.tobytes(),
        }

    def load_state_dict(self, saved: dict, state_count: int) -> None:
        self.random.bit_generator.state = json.loads(saved["random"])
        self.queue = list(saved["queue"])
        self.trial, self.position = np.array(saved["trial"]), np.array(saved["position"], np.int64)
        if saved["state"] is not None:
            flat = np.frombuffer(saved["state"], np.float32)
            self.state = flat.reshape(self.blocks, state_count, LANES).copy()


def make_window(steps: TrialTable, first, length, n: int, state, free_lanes: int) -> tuple[Window, np.ndarray]:
    """A window from its first rows and lengths (blocks, 16), and its rows (blocks, n, 16), -1 behind the end."""
    at = np.arange(n)[:, None]
    inside = at < length[:, None, :]
    rows = np.where(inside, first[:, None, :] + at, -1)
    teacher = np.where(inside, steps.spike[rows], np.uint8(0))
    free = np.zeros(first.shape, np.uint8)
    free[:, :free_lanes] = 1
    return Window(n, np.ascontiguousarray(first, np.int64), length, teacher, free, state), rows


def whole_trials(steps: TrialTable, trials, rest: np.ndarray, limit: int | None = None) -> tuple[Window, np.ndarray]:
    """One free-running window over whole trials (their first ``limit`` steps) from rest, and its rows.

    Spare lanes are empty.
    """
    trials = np.asarray(trials)
    blocks = -(-trials.size // LANES)
    first, length = np.zeros(blocks * LANES, np.int64), np.zeros(blocks * LANES, np.int32)
    order = trials[np.argsort(-steps.length[trials], kind="stable")]
    first[: trials.size], length[: trials.size] = steps.first[order], steps.length[order]
    length = np.minimum(length, limit or length.max())
    state = np.repeat(rest, blocks, axis=0)
    return make_window(
        steps, first.reshape(-1, LANES), length.reshape(-1, LANES), int(length.max()), state, free_lanes=LANES
    )
