"""From continuous time to the steps of a reduction.

Step n ends at t_n = (n + 1) dt_r.  It sees the events that arrive in [t_n - dt_r, t_n), gives the soma voltage at t_n,
and says whether the cell spikes in [t_n - dt_r / 2, t_n + dt_r / 2).  A reduced cell emits that spike at t_n, so its
spike times are unbiased and never earlier than what caused them.
"""

import numpy as np

from netml.circuit.current import mean_of_steps
from netml.records.trial import Trial

EPSILON_MS = 1e-6  # an event on the border of two steps belongs to the later one, whatever the rounding of its time


def steps(duration_ms: float, dt_r_ms: float) -> int:
    """Number of whole steps in a trial."""
    return int(np.floor(duration_ms / dt_r_ms + EPSILON_MS))


def event_step(time_ms: np.ndarray, dt_r_ms: float) -> np.ndarray:
    """(events) int64, the step that sees each event."""
    return np.floor((np.asarray(time_ms, float) + EPSILON_MS) / dt_r_ms).astype(np.int64)


def spike_step(time_ms: np.ndarray, dt_r_ms: float) -> np.ndarray:
    """(spikes) int64, the step that reports each spike; -1 for one in the first half step."""
    return np.floor((np.asarray(time_ms, float) + EPSILON_MS) / dt_r_ms + 0.5).astype(np.int64) - 1


def spike_train(trial: Trial, dt_r_ms: float) -> np.ndarray:
    """(steps) uint8, 1 where the cell spikes."""
    train = np.zeros(steps(trial.duration_ms, dt_r_ms), np.uint8)
    index = spike_step(trial.spike_time, dt_r_ms)
    train[index[(index >= 0) & (index < train.size)]] = 1
    return train


def soma_voltage(trial: Trial, dt_r_ms: float) -> np.ndarray:
    """(steps) float32, mV at the end of each step."""
    return voltage(trial, "soma", dt_r_ms)


def voltage(trial: Trial, probe: str, dt_r_ms: float) -> np.ndarray:
    """(steps) float32, mV at the end of each step; between the samples, one a millisecond, the straight line."""
    times = (np.arange(steps(trial.duration_ms, dt_r_ms)) + 1) * dt_r_ms
    samples = trial.voltage[probe]
    return np.interp(times, np.arange(samples.size), samples).astype(np.float32)


def current(trial: Trial, dt_r_ms: float) -> np.ndarray:
    """(steps) float32, nA: mean of the current into the soma over each step."""
    n = steps(trial.duration_ms, dt_r_ms)
    return mean_of_steps(trial.current_time, trial.current_na, n, dt_r_ms).astype(np.float32)


def events(trial: Trial, dt_r_ms: float, current_synapse_site: int | None = None):
    """What reaches the cell in each step: step (int64), synapse site (int32), weight (float32) of every event, by step.

    Args:
        trial: From records.
        dt_r_ms: Step of the reduction, ms.
        current_synapse_site: The synapse site on which a step's mean current, unless 0, is one more event of that many
            nA; None leaves the current out.
    """
    n = steps(trial.duration_ms, dt_r_ms)
    step = event_step(trial.event_time, dt_r_ms)
    seen = step < n
    parts = [(step[seen], trial.event_synapse_site[seen], trial.event_weight[seen])]
    if current_synapse_site is not None:
        mean = current(trial, dt_r_ms)
        on = np.flatnonzero(mean)
        parts.append((on, np.full(on.size, current_synapse_site), mean[on]))
    step, synapse_site, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(step, kind="stable")
    return step[order], synapse_site[order].astype(np.int32), weight[order].astype(np.float32)


def inputs(trial: Trial, channel_input: np.ndarray, channel_gain: np.ndarray, n_inputs: int, dt_r_ms: float,
           takes_current: bool = False):  # fmt: skip
    """(steps, n_inputs) float32: the events of each step, weight times gain, summed over the probes of each input.

    Args:
        trial: From records.
        channel_input: (synapse_sites) int, input of each synapse site.
        channel_gain: (channels), what an event's weight is multiplied by.
        n_inputs: Number of inputs.
        dt_r_ms: Step of the reduction, ms.
        takes_current: Whether the last synapse site is the current into the soma (header ``current`` of an artifact).
    """
    n = steps(trial.duration_ms, dt_r_ms)
    step, synapse_site, weight = events(trial, dt_r_ms, channel_input.size - 1 if takes_current else None)
    cells = step * n_inputs + channel_input[synapse_site]
    weights = weight.astype(float) * channel_gain[synapse_site]
    return np.bincount(cells, weights, minlength=n * n_inputs).astype(np.float32).reshape(n, n_inputs)
