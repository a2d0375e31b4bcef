"""The range of input that a reduction was trained on, so that a run can tell when it leaves it.

The largest sum (weight x gain) that each input got in one step of the training trials is its limit.  How often held-out
trials pass a limit says how often that means nothing: a cell that does so more often gets what training did not show.
"""

import numpy as np

from netml.training.data import TrialTable

ROUNDING = 1.001


def input_limits(steps: TrialTable, trials, channel_input, gain, inputs: int) -> np.ndarray:
    """(inputs) float32: the largest sum of one step, over some trials; 0 at an input without events.

    A thousandth more, because a run sums in fixed point.  A current into the soma has none here: its range is known.
    """
    limit = np.zeros(inputs, np.float32)
    for x in _sums(steps, trials, channel_input, gain, inputs):
        np.maximum(limit, x.max(axis=0), out=limit)
    limit *= ROUNDING
    if steps.current:
        limit[-1] = np.finfo(np.float32).max
    return limit


def held_out(steps: TrialTable, trials, channel_input, gain, limit: np.ndarray) -> dict:
    """Share of the steps of held-out trials in which an input passes its limit: trials, mean and largest of a trial."""
    shares = [float((x > limit).any(axis=1).mean()) for x in _sums(steps, trials, channel_input, gain, limit.size)]
    return {"trials": len(shares), "mean": float(np.mean(shares)), "largest": float(max(shares))}


def _sums(steps: TrialTable, trials, channel_input, gain, inputs: int):
    """Of each trial (steps, inputs) float32, summed as a run does."""
    events = steps.events
    for k in trials:
        first, n = int(steps.first[k]), int(steps.length[k])
        start = events.row_start[first : first + n + 1]
        synapse_site = events.synapse_site[start[0] : start[-1]]
        cell = np.repeat(np.arange(n), np.diff(start)) * inputs + channel_input[synapse_site]
        weight = events.weight[start[0] : start[-1]].astype(float) * gain[synapse_site]
        yield np.bincount(cell, weight, minlength=n * inputs).astype(np.float32).reshape(n, inputs)
