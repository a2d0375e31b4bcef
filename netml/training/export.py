"""From a trained learner to a ``.netml`` artifact that has proved itself."""

import math
import platform
import time
from copy import deepcopy

import h5py
import numpy as np
import torch

import netml
from netml import keys
from netml.artifact import Artifact
from netml.errors import TrainingError
from netml.records import Records, windows
from netml.reductions import kernel
from netml.reductions.kernel import Reduction
from netml.reductions.layouts import kind_of
from netml.training.learner import Learner
from netml.training.ranges import held_out, input_limits
from netml.training.trainer import Trainer

CALIBRATION_ROUNDS = 20
FEW_SPIKES = 200  # fewer say the rate to no better than 7 %
CHECK_STEPS = 2000
#: Largest difference of logit and of voltage (in units of its scale) that float32 sums in another order explain.
TOLERANCE = 1e-3


def to_artifact(trainer: Trainer, records: Records) -> Artifact:
    """Calibrate the threshold free-running on the validation trials, and on the training trials where those hold few
    spikes, and pack everything a runtime needs."""
    learner, config, cell = trainer.average, trainer.config, records.cell
    learner.model.settle()
    scores = trainer.score(learner, trainer.validation, rounds=CALIBRATION_ROUNDS)
    if trainer.spikes_to_calibrate(trainer.validation) < FEW_SPIKES:
        every = [*trainer.training, *trainer.validation]
        threshold = trainer.score(learner, every, rounds=CALIBRATION_ROUNDS)["threshold"]
        scores = trainer.score(learner, trainer.validation, rounds=0, threshold=threshold)
    model = learner.model
    with torch.no_grad():
        params, gain = model.pack().numpy(), learner.gain().numpy()
        rest = model.init_state(1)
        _, _, v_rest = model.step(rest, torch.zeros(1, model.inputs), torch.zeros(1))
    seen, _, span = trainer.steps.synapse_site_statistics(trainer.training)
    header = {
        "format": keys.ARTIFACT_FORMAT,
        "version": keys.ARTIFACT_VERSION,
        "reduction": kind_of(model.dims),
        "cell": {"label": cell.label, "fingerprint": cell.fingerprint},
        "synapses": list(cell.synapses),
        "sections": [list(pair) for pair in cell.segments.sections],
        "dims": model.dims._asdict(),
        "dt_r_ms": config.dt_r_ms,
        "threshold": scores["threshold"],
        "v_rest_mv": float(v_rest),
        "v_clip_mv": config.v_clip_mv,
        "spike_threshold_mv": cell.spike_threshold_mv,
        "weight_range_us": span,
        "provenance": {
            "netml": netml.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "h5py": h5py.__version__,
            "python": platform.python_version(),
            "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "config": config.model_dump(mode="json"),
            "records": records.provenance,
            "dt_ms": cell.dt_ms,
            "training_trials": len(trainer.training),
            "training_seconds": float(trainer.steps.length[trainer.training].sum() * config.dt_r_ms / 1000),
            "updates": trainer.update,
        },
        "scores": {
            "validation": {k: v for k, v in scores.items() if k != "threshold"}
            | {"trials": len(trainer.validation), "free_running": True},
            "parameters": learner.parameter_count(int((seen > 0).sum())),
        },
    }
    if trainer.steps.current:
        header |= {"current": True, "current_range_na": trainer.steps.current_range(trainer.training)}
    arrays = {
        "params": params.astype(np.float32),
        "wiring": model.wiring.numpy().astype(np.int32),
        "channel_input": learner.channel_input,
        "channel_gain": fill_unseen(gain, learner.channel_input, seen),
        "channel_seen": seen.astype(np.int64),
    }
    table = (learner.channel_input, arrays["channel_gain"])
    limit = input_limits(trainer.steps, trainer.training, *table, model.inputs)
    header["held_out_beyond"] = held_out(trainer.steps, trainer.validation, *table, limit)
    return Artifact(header, arrays | {"input_limit": limit})


def fill_unseen(gain: np.ndarray, channel_input: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(synapse_sites) float32: one without a training event takes the mean gain of its branch's that had some."""
    gain, log = gain.astype(np.float32).copy(), np.log(gain)
    for k in np.unique(channel_input):
        own = channel_input == k
        if (known := own & (seen > 0)).any():
            gain[own & (seen == 0)] = np.exp(log[known].mean())
    return gain


def verify(artifact: Artifact, learner: Learner, records: Records, trial: int) -> dict:
    """Run a reloaded artifact in the kernel and the trained model in plain torch, in float64, on one trial.

    In float32 torch's own rounding is the larger: 0.013 in the logit of a fast-spiking cell, where the kernel is 1e-4
    from float64. Both are fed the spikes of the kernel's free run, so that one rounding at the threshold is no
    difference.

    Returns:
        Largest differences: logit_error, voltage_error_mv.

    Raises:
        TrainingError: They differ by more than rounding.
    """
    reduction = Reduction.of(artifact)
    arrays = artifact.arrays
    x = windows.inputs(
        records.trial(trial), arrays["channel_input"], arrays["channel_gain"], reduction.dims.inputs,
        artifact.header["dt_r_ms"], bool(artifact.header.get("current")),
    )[:CHECK_STEPS]  # fmt: skip
    logit, v, spike = (out[:, 0] for out in kernel.load().free_run(reduction, np.ascontiguousarray(x[:, :, None])))
    model, last, x = deepcopy(learner.model).double(), 0.0, torch.from_numpy(x).double()
    state = {name: part.double() for name, part in model.init_state(1).items()}
    reference = np.empty((2, len(x)))
    with torch.no_grad():
        for n in range(len(x)):
            state, a, b = model.step(state, x[None, n], torch.tensor([last], dtype=torch.float64))
            reference[:, n] = float(a), float(b)
            last = 1 / (1 + math.exp(-logit[n])) if model.dims.expected else float(spike[n])
    errors = {
        "logit_error": float(np.abs(logit - reference[0]).max()),
        "voltage_error_mv": float(np.abs(v - reference[1]).max()),
    }
    allowed_mv = TOLERANCE * float(model.v_scale) * 10
    if not errors["logit_error"] < TOLERANCE * 10 or not errors["voltage_error_mv"] < allowed_mv:
        raise TrainingError(f"the exported artifact differs from the trained model: {errors}; please report this bug")
    return errors
