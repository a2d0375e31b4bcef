"""Judge a reduction on recordings of the l5pc benchmark cell: evaluate.py ARTIFACT FILE.h5 --json OUT.

The reduction runs free, through the kernel that swapped networks use: it gets the synaptic events of a trial and its
own spikes, nothing else. Bins of 1 ms count from 500 ms on; a true spike belongs to the bin that its time falls in
(floor), whatever the training took for its target. Written to the JSON file, among others:

auc, tp_at_1pct_fp, tp_at_025pct_fp   spike probability of every bin, all trials, at the one constant shift of at most
                                      one bin that gives the highest AUC (shift_bins; 1: the reduction is read a bin
                                      later); auc_by_shift has them all
auc_published_protocol                the same shift, only trials of 1 to 24 spikes
explained_variance                    1 - mean((v - v')^2) / var(v) of the soma voltage, both clipped at -55 mV
gamma_2ms, rate_error                 of the spikes that the reduction emits: coincidence factor, emitted / true - 1
parameters                            learned numbers, gains of synapse sites included, as its training counted them;
                                      numbers_stored: all that its file holds for the kernel, constants included
interval_95                           of some of these, by the bootstrap over trials
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from to_records import FINGERPRINT, WEIGHT_US, segment_table

from netml import metrics
from netml.artifact import Artifact
from netml.errors import ArtifactError, NetmlError, RecordsError
from netml.files import replacing
from netml.records import Trial
from netml.validation import bootstrap, cell_metrics
from netml.validation.prediction import predict

SKIP_MS = 500.0
CLIP_MV = -55.0
SHIFTS = (0, -1, 1)  # bins; of equal scores the first wins
SCORES = ("auc", "auc_published_protocol", "tp_at_1pct_fp", "tp_at_025pct_fp", "explained_variance", "gamma_2ms",
          "rate_error", "parameters", "trials")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", help="a .netml file, trained on records of to_records.py")
    parser.add_argument("file", help="recordings, HDF5")
    parser.add_argument("--json", help="file to write the scores to")
    arguments = parser.parse_args()
    try:
        scores = evaluate(arguments.artifact, arguments.file)
        if arguments.json:
            Path(arguments.json).parent.mkdir(parents=True, exist_ok=True)
            with replacing(arguments.json) as path:
                path.write_text(json.dumps(scores, indent=1))
    except (NetmlError, OSError) as error:
        sys.exit(f"evaluate.py: error: {error}")
    for name in SCORES:
        print(f"{name:24}{scores[name]:.4f}" if isinstance(scores[name], float) else f"{name:24}{scores[name]}")


def evaluate(artifact_path, file_path) -> dict:
    """Score an artifact on a file; see the top of this module.

    Raises:
        ArtifactError: No artifact, or one of another cell.
        RecordsError: No such file, or of another layout.
    """
    start = time.perf_counter()
    artifact = Artifact.load(artifact_path)
    try:
        with h5py.File(file_path) as file:
            check_layout(file, file_path)
            check_cell(artifact, file, file_path)
            trials = list(read_trials(file))
    except OSError as error:
        raise RecordsError(f"{file_path} is not a readable HDF5 file ({error})") from error
    predictions = [floor_bins(p) for p in predict(artifact, trials)]
    if not any((p.true_spike_ms >= SKIP_MS).any() for p in predictions):
        raise RecordsError(f"{file_path} has no spike after the first {SKIP_MS:g} ms: nothing to score")
    return scores_of(predictions, artifact) | {
        "artifact": str(artifact_path),
        "file": str(file_path),
        "wall_s": time.perf_counter() - start,
    }


def scores_of(predictions: list, artifact: Artifact) -> dict:
    """All scores of predictions whose ``true_spike`` are floor bins."""
    by_shift = {s: metrics.roc_auc(*cell_metrics.pooled(predictions, SKIP_MS, s)) for s in SHIFTS}
    shift = max(SHIFTS, key=lambda s: by_shift[s])
    curve = metrics.roc_curve(*cell_metrics.pooled(predictions, SKIP_MS, shift))
    published = cell_metrics.published_trials(predictions)
    emitted = cell_metrics.emitted_spikes(predictions, SKIP_MS)
    return {
        "auc": by_shift[shift],
        "auc_published_protocol": metrics.roc_auc(*cell_metrics.pooled(published, SKIP_MS, shift)),
        "tp_at_1pct_fp": metrics.true_positives_at(*curve, 0.01),
        "tp_at_025pct_fp": metrics.true_positives_at(*curve, 0.0025),
        "explained_variance": cell_metrics.voltage(predictions, SKIP_MS, clip_mv=CLIP_MV)["explained_variance"],
        "gamma_2ms": emitted["gamma"],
        "rate_error": emitted["rate_error"],
        "parameters": artifact.header["scores"]["parameters"],
        "numbers_stored": int(artifact.arrays["params"].size + (artifact.arrays["channel_seen"] > 0).sum()),
        "trials": len(predictions),
        "trials_published_protocol": len(published),
        "shift_bins": shift,
        "auc_by_shift": {str(s): by_shift[s] for s in sorted(SHIFTS)},
        "explained_variance_published_protocol": cell_metrics.voltage(published, SKIP_MS, clip_mv=CLIP_MV)[
            "explained_variance"
        ],
        "rate_true_hz": emitted["rate_true_hz"],
        "rate_model_hz": emitted["rate_model_hz"],
        "isi_ks": emitted["isi_ks"],
        "skip_ms": SKIP_MS,
        "interval_95": bootstrap.intervals(predictions, SKIP_MS, CLIP_MV, shift),
        "seconds": sum(p.duration_ms(SKIP_MS) for p in predictions) / 1000.0,
    }


def floor_bins(prediction):
    """The same prediction with every true spike in the bin that its time falls in."""
    bins = np.zeros(len(prediction.logit), bool)
    index = np.floor(prediction.true_spike_ms / prediction.dt_ms).astype(int)
    bins[index[index < bins.size]] = True
    return replace(prediction, true_spike=bins)


def read_trials(file: h5py.File) -> Iterator[Trial]:
    """The trials of a file; their last millisecond has no voltage at its end and is left out."""
    pointer, spike_pointer = file["events/trial_ptr"][:], file["spikes/trial_ptr"][:]
    dendritic = file["segments/x"].shape[0]
    weights = np.array(list(WEIGHT_US.values()), np.float32)
    for k, count in enumerate(file["events/count"][:]):
        time_ms = np.repeat(np.arange(count.size), count)
        raw = file["events/channel"][pointer[k] : pointer[k + 1]].astype(np.int64)
        synapse, segment = raw // dendritic, raw % dendritic + 1  # segment 0 is the soma
        yield Trial(
            kind="dense", gid=-1, seed=k, duration_ms=count.size - 1.0, event_time=time_ms.astype(float),
            event_synapse_site=(segment * len(weights) + synapse).astype(np.int32), event_weight=weights[synapse],
            spike_time=file["spikes/time"][spike_pointer[k] : spike_pointer[k + 1]].astype(float),
            voltage={"soma": file["soma/voltage"][k].astype(np.float32)},
        )  # fmt: skip


def check_layout(file: h5py.File, path) -> None:
    """Refuse a file of another layout.

    Raises:
        RecordsError: Says which dataset is missing or does not fit.
    """
    names = ["events/count", "events/channel", "events/trial_ptr", "soma/voltage", "spikes/time", "spikes/trial_ptr",
             *(f"segments/{k}" for k in ("section", "x", "path_um", "length_um", "diam_um", "parent"))]  # fmt: skip
    if missing := [name for name in names if not isinstance(file.get(name), h5py.Dataset)]:
        raise RecordsError(f"{path} is not of the benchmark's layout: it lacks {', '.join(missing)}")
    shape = file["events/count"].shape
    if len(shape) != 2 or shape[0] < 1 or shape[1] <= SKIP_MS:
        raise RecordsError(f"{path}: events/count has shape {shape}; expected (trials, ms), longer than {SKIP_MS:g} ms")
    counts, spike_pointer = file["events/count"][:].astype(np.int64).sum(1), file["spikes/trial_ptr"][:]
    expected = {
        "soma/voltage": file["soma/voltage"].shape == shape,
        "events/trial_ptr": np.array_equal(file["events/trial_ptr"][:], np.append(0, np.cumsum(counts))),
        "events/channel": file["events/channel"].shape == (counts.sum(),),
        "spikes/trial_ptr": spike_pointer.shape == (shape[0] + 1,) and (np.diff(spike_pointer) >= 0).all(),
        "spikes/time": file["spikes/time"].shape == (spike_pointer[-1],),
    }
    if wrong := [name for name, fits in expected.items() if not fits]:
        raise RecordsError(f"{path}: {', '.join(wrong)} does not fit events/count, which has shape {shape}")
    segments = file["segments/x"].shape[0]
    if counts.sum() and (top := int(file["events/channel"][:].max())) >= 2 * segments:
        raise RecordsError(
            f"{path}: synapse site {top} in events/channel; {segments} segments have {2 * segments} channels"
        )


def check_cell(artifact: Artifact, file: h5py.File, path) -> None:
    """Refuse an artifact of another cell than that of the file.

    Raises:
        ArtifactError: Fingerprint, synapse types or sections differ.
    """
    header = artifact.header
    sections = [list(pair) for pair in segment_table(file).sections]
    same = (
        header["cell"]["fingerprint"] == FINGERPRINT
        and list(header["synapses"]) == list(WEIGHT_US)
        and [list(pair) for pair in header["sections"]] == sections
    )
    if not same:
        raise ArtifactError(
            f"the reduction is of the cell {header['cell']['label']!r} with synapses {', '.join(header['synapses'])} "
            f"on {sum(n for _, n in header['sections'])} segments, not of the benchmark cell in {path} "
            f"({', '.join(WEIGHT_US)} on {sum(n for _, n in sections)}); train one on records of to_records.py"
        )


if __name__ == "__main__":
    main()
