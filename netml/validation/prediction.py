"""Running a reduction free on trials: what every score is taken from."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from netml.artifact import Artifact
from netml.errors import ArtifactError
from netml.records import Trial, windows
from netml.reductions import kernel
from netml.validation.cell_metrics import Prediction

BATCH = 32
BIN_MS = 1.0  # what scores count in; the steps of a reduction may be shorter


def steps_a_bin(dt_ms: float) -> int:
    """How many steps make a bin: those of a millisecond if it is a whole number of them, else one."""
    whole = round(BIN_MS / dt_ms)
    return whole if whole > 1 and abs(whole * dt_ms - BIN_MS) < windows.EPSILON_MS else 1


def logit_of_any(logit: np.ndarray) -> np.ndarray:
    """(bins, steps) logits of independent spikes -> (bins) logit that there is one at least."""
    silent = -np.logaddexp(0.0, logit.astype(float)).sum(axis=1)  # log of the probability of none
    return np.log(-np.expm1(silent)) - silent


def predict(artifact: Artifact, trials: Iterable[Trial]) -> Iterator[Prediction]:
    """Run a reduction from rest on its own spikes; nothing of the truth reaches it but the synaptic events
    and, where it takes one, the current.

    Args:
        artifact: The reduction.
        trials: Of its cell; read a batch at a time, so that they need not fit into memory. Trials of similar length
            beside each other run fastest.

    Yields:
        A prediction of every trial, in their order, in bins of a millisecond where steps are shorter: whether the
        reduction spikes in one of a bin's steps, and its voltage at the end.

    Raises:
        ArtifactError: The model's output is not finite.
    """
    reduction, library = kernel.Reduction.of(artifact), kernel.load()
    dt = float(artifact.header["dt_r_ms"])
    arrays, n_inputs = artifact.arrays, int(artifact.header["dims"]["inputs"])
    types = len(artifact.header["synapses"])
    limit = arrays.get("input_limit")
    takes_current = bool(artifact.header.get("current"))
    k = steps_a_bin(dt)
    bin_ms = k * dt
    remaining = iter(trials)
    while batch := list(islice(remaining, BATCH)):
        lengths = [windows.steps(t.duration_ms, dt) for t in batch]
        x = np.zeros((max(lengths), n_inputs, len(batch)), np.float32)
        for i, trial in enumerate(batch):
            x[: lengths[i], :, i] = windows.inputs(
                trial, arrays["channel_input"], arrays["channel_gain"], n_inputs, dt, takes_current
            )
        logit, v, spike = library.free_run(reduction, x)
        for i, (trial, n) in enumerate(zip(batch, lengths, strict=True)):
            if not (np.isfinite(logit[:n, i]).all() and np.isfinite(v[:n, i]).all()):
                raise ArtifactError(
                    f"the reduction's output is not finite on the trial of kind {trial.kind!r}, gid {trial.gid}, seed "
                    f"{trial.seed}; train it again"
                )
            bins = windows.steps(trial.duration_ms, bin_ms)
            steps = (bins, k)
            yield Prediction(
                kind=trial.kind,
                dt_ms=bin_ms,
                logit=logit_of_any(logit[: bins * k, i].reshape(steps)) if k > 1 else logit[:n, i].copy(),
                v_mv=v[k - 1 : bins * k : k, i].copy(),
                spike=spike[: bins * k, i].reshape(steps).any(axis=1),
                true_v_mv=windows.soma_voltage(trial, bin_ms),
                true_spike=windows.spike_train(trial, bin_ms).astype(bool),
                true_spike_ms=np.asarray(trial.spike_time, float),
                input_us_per_s=np.bincount(trial.event_synapse_site % types, trial.event_weight, types)
                / (trial.duration_ms / 1000.0),
                current_na=windows.current(trial, bin_ms) if trial.current_na.size else None,
                events=trial.event_time.size,
                past_training_range=None if limit is None else np.any(x[:n, : limit.size, i] > limit, axis=1),
            )
