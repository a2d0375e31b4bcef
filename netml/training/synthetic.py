"""Synthetic trials for training: drawn from recorded input, labelled by reductions that are trained already.

A recording shows few spikes, so that what a reduction learns of them holds much chance.  The mean of several, trained
alike, holds less of it (Hansen and Salamon 1990, IEEE Trans Pattern Anal 12:993-1001), and one reduction can learn what
that mean does on as much input as one likes to draw (Bucila, Caruana, Niculescu-Mizil 2006, KDD; Hinton, Vinyals, Dean
2015, arXiv:1503.02531).
"""

from collections.abc import Sequence

import numpy as np

from netml.artifact import Artifact
from netml.errors import TrainingError
from netml.reductions import kernel
from netml.reductions.kernel import LANES, Reduction
from netml.training.data import TrialTable, whole_trials
from netml.training.recurrence import EventTable, Recurrence

DRAWS = 3  # marks the random numbers of this module among those of a seed
SHUFFLE_MS = 20.0  # how far an event may move: the drive varies more slowly


def with_synthetic(steps: TrialTable, training, teachers: Sequence[Artifact], config) -> tuple[TrialTable, list[int]]:
    """Steps with synthetic trials behind the others, and which these are: ``config.synthetic`` for each training trial.

    Raises:
        TrainingError: A teacher that does not fit, or nothing to draw from.
    """
    count = round(config.synthetic * len(training))
    if not count:
        return steps, []
    drawn = draw(steps, training, count, np.random.default_rng([config.seed, DRAWS]))
    label(drawn, teachers)
    return steps.joined(drawn), list(range(len(steps.length), len(steps.length) + count))


def draw(steps: TrialTable, trials, count: int, random: np.random.Generator) -> TrialTable:
    """Trials without labels.

    In a recorded trial, events of one synapse type that lie near each other in time exchange their times, whatever
    their synapse sites: how much of each type arrives when, and how that drifts over the cell, stays; which event meets
    which others is new.

    Args:
        steps: Recorded trials, see there.
        trials: Those of them to draw from; trials with a current are left out.
        count: How many to draw.
        random: Generator of the draws.
    """
    trials = np.asarray([k for k in trials if not steps.with_current[k]])
    if not trials.size:
        raise TrainingError("every training trial has a current; synthetic trials are drawn from those without one")
    types, reach = len(steps.cell.synapses), SHUFFLE_MS / steps.dt_r_ms
    drawn = np.resize(random.permutation(trials), count)
    rows, synapse_sites, weights = [], [], []
    for k in drawn:
        step, synapse_site, weight = steps.events_of(k)
        source = np.empty(step.size, np.int64)
        moved = step + random.uniform(-reach, reach, step.size)
        for s in range(types):
            own = np.flatnonzero(synapse_site % types == s)  # in the order of their steps
            source[own] = own[np.argsort(moved[own])]
        rows.append(np.bincount(step, minlength=steps.length[k]))
        synapse_sites.append(synapse_site[source])
        weights.append(weight[source])
    row_start = np.concatenate([[0], np.cumsum(np.concatenate(rows))]).astype(np.int64)
    return steps.like(
        EventTable(row_start, np.concatenate(synapse_sites), np.concatenate(weights)), steps.length[drawn]
    )


def label(steps: TrialTable, teachers: Sequence[Artifact]) -> None:
    """Give trials the labels of reductions of the cell: means of their spike probabilities and of their voltages.

    The spikes are those of the first; they are what is fed back while training is teacher-forced.

    Raises:
        TrainingError: A teacher of another cell, another step or other recorded sites.
    """
    steps.target[:], steps.voltage[:], steps.site_voltage[:] = 0, 0, 0
    for number, artifact in enumerate(teachers):
        _check(artifact, steps)
        reduction = Reduction.of(artifact)
        recurrence = Recurrence(
            kernel.load(), reduction.dims, reduction.wiring, artifact.arrays["channel_input"], steps.events
        )
        gain, threshold = artifact.arrays["channel_gain"], reduction.threshold
        rest = recurrence.rest(reduction.params, 1)
        for first in range(0, len(steps.length), LANES):
            window, rows = whole_trials(steps, range(first, min(first + LANES, len(steps.length))), rest)
            logit, v, sites, spike = recurrence.outputs(reduction.params, gain, threshold, window)
            inside = rows >= 0
            at = rows[inside]
            steps.target[at] += 1 / (1 + np.exp(-logit[inside])) / len(teachers)
            steps.voltage[at] += np.minimum(v[inside], steps.v_clip_mv) / len(teachers)
            for own, learned in zip(steps.site_voltage, sites.transpose(2, 0, 1, 3), strict=True):
                own[at] += np.minimum(learned[inside], steps.site_clip_mv) / len(teachers)
            if not number:
                steps.spike[at] = spike[inside]
        recurrence.close()


def _check(artifact: Artifact, steps: TrialTable) -> None:
    header = artifact.header
    found = header["cell"]["fingerprint"], header["dt_r_ms"], Reduction.of(artifact).dims.sites
    expected = steps.cell.fingerprint, steps.dt_r_ms, len(steps.sites)
    if found != expected:
        names = "cell", "dt_r_ms", "recorded sites"
        wrong = [f"{n} {a}, not {b}" for n, a, b in zip(names, found, expected, strict=True) if a != b]
        raise TrainingError(f"the teacher does not fit the records: {'; '.join(wrong)}; train it on these records")
