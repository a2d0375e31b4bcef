"""The judging script of the l5pc benchmark against scores computed by hand from the same file."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from surrogate import DIMS, make_artifact

from netml.reductions import kernel

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "l5pc" / "evaluate.py"
TRIALS, STEPS, SEGMENTS = 8, 1500, 3
BENCHMARK_CELL = {
    "cell": {"label": "L5PC", "fingerprint": "l5pc-benchmark"},
    "synapses": ["AMPA_NMDA", "GABAA"],
    "sections": [["soma", 1], ["dend_0", 2], ["dend_1", 1]],
    "scores": {"parameters": 123},
}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """An artifact, a file in which a noisy version of it is the truth, and what the script wrote about them."""
    folder = tmp_path_factory.mktemp("evaluate")
    random = np.random.default_rng(4)
    count = random.poisson(0.8, (TRIALS, STEPS)).astype(np.uint16)
    synapse_site = random.integers(0, 2 * SEGMENTS, int(count.sum())).astype(np.uint16)
    pointer = np.append(0, np.cumsum(count.sum(1))).astype(np.int64)
    logit = free_run(make_artifact(**BENCHMARK_CELL, threshold=1e9), count, synapse_site, pointer)[0]
    artifact = make_artifact(**BENCHMARK_CELL, threshold=float(np.quantile(logit, 0.985)))
    path = artifact.save(folder / "cell.netml")
    logit, v, spike = free_run(artifact, count, synapse_site, pointer)
    voltage = np.full((TRIALS, STEPS), -70.0)
    voltage[:, 1:] = v[:-1].T + random.normal(0, 0.5, (TRIALS, STEPS - 1))  # step n ends at n + 1 ms
    times = [np.flatnonzero(s) + random.choice([0.3, 1.7, 40.0], int(s.sum())) for s in spike[: STEPS - 50].T]
    times[0], times[2] = np.zeros(0), times[2][:9]  # trials that are silent, and of few enough spikes
    with h5py.File(folder / "file.h5", "w") as file:
        file["events/count"], file["events/channel"], file["events/trial_ptr"] = count, synapse_site, pointer
        file["soma/voltage"] = voltage.astype(np.float16)
        file["spikes/time"] = np.concatenate([np.sort(t) for t in times]).astype(np.float32)
        file["spikes/trial_ptr"] = np.append(0, np.cumsum([len(t) for t in times]))
        columns = {"section": [0, 0, 1], "x": [0.25, 0.75, 0.5], "path_um": [10, 30, 50], "length_um": [20, 20, 20],
                   "diam_um": [2, 2, 2], "parent": [-1, 0, 1]}  # fmt: skip
        for name, values in columns.items():
            file[f"segments/{name}"] = np.array(values)
    done = run(path, folder / "file.h5", "--json", folder / "scores.json")
    assert done.returncode == 0, done.stderr
    return artifact, folder, (logit, v, spike), json.loads((folder / "scores.json").read_text())


def free_run(artifact, count, synapse_site, pointer):
    """The kernel on inputs counted event by event; logit, v, spike (steps, trials)."""
    x = np.zeros((STEPS, DIMS.inputs, TRIALS), np.float32)
    for k in range(TRIALS):
        of_trial = iter(synapse_site[pointer[k] : pointer[k + 1]].tolist())
        for t in range(STEPS):
            for _ in range(count[k, t]):
                c = next(of_trial)
                synapse, segment = divmod(c, SEGMENTS)
                own = (segment + 1) * 2 + synapse
                weight = (0.0004, 0.001)[synapse] * artifact.arrays["channel_gain"][own]
                x[t, artifact.arrays["channel_input"][own], k] += weight
    return kernel.load().free_run(kernel.Reduction.of(artifact), x)


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


def truth(folder):
    with h5py.File(folder / "file.h5") as file:
        pointer = file["spikes/trial_ptr"][:]
        times = [file["spikes/time"][pointer[k] : pointer[k + 1]].astype(float) for k in range(TRIALS)]
        return times, file["soma/voltage"][:].astype(float)


def test_detection_scores_equal_counting_by_hand(case):
    _, folder, (logit, _, _), scores = case
    times, _ = truth(folder)

    def bins(shift, chosen):
        positive, negative = [], []
        for k in chosen:
            true = {int(t) for t in times[k]}
            for n in range(max(500, -shift), STEPS - 1 - max(shift, 0)):
                (positive if n in true else negative).append(logit[n + shift, k])
        return np.array(positive), np.array(negative)

    def auc(shift, chosen):
        positive, negative = bins(shift, chosen)
        return np.mean((positive[:, None] > negative) + 0.5 * (positive[:, None] == negative))

    everything = range(TRIALS)
    by_shift = {s: auc(s, everything) for s in (-1, 0, 1)}
    best = max(by_shift, key=by_shift.get)
    assert scores["shift_bins"] == best
    assert scores["auc_by_shift"] == pytest.approx({str(s): a for s, a in by_shift.items()}, abs=1e-6)
    assert scores["auc"] == pytest.approx(by_shift[best], abs=1e-6)
    few = [k for k in everything if 1 <= len(times[k]) <= 24]
    assert 0 < len(few) < TRIALS and scores["trials_published_protocol"] == len(few)
    assert scores["auc_published_protocol"] == pytest.approx(auc(best, few), abs=1e-6)
    positive, negative = bins(best, everything)
    for name, allowed in (("tp_at_1pct_fp", 0.01), ("tp_at_025pct_fp", 0.0025)):
        false = int(allowed * len(negative))
        level = np.sort(negative)[-1 - false]  # so many false positives lie above it
        assert scores[name] == pytest.approx(np.mean(positive > level), abs=1 / len(positive) + 1e-9)


def test_voltage_and_emitted_spikes_equal_counting_by_hand(case):
    _, folder, (_, v, spike), scores = case
    times, voltage = truth(folder)
    true = np.minimum(voltage[:, 501:], -55).ravel()  # the step that begins at 500 ms ends at 501
    model = np.minimum(v[500:-1].T, -55).ravel()
    expected = 1 - np.mean((true - model) ** 2) / np.var(true)
    assert scores["explained_variance"] == pytest.approx(expected, abs=1e-6)
    emitted = [np.flatnonzero(spike[: STEPS - 1, k]) + 1.0 for k in range(TRIALS)]
    emitted = [e[e >= 500] for e in emitted]
    after = [t[t >= 500] for t in times]
    n_true, n_model = sum(map(len, after)), sum(map(len, emitted))
    assert scores["rate_error"] == pytest.approx(n_model / n_true - 1)
    seconds = (STEPS - 1 - 500) / 1000
    found = sum(sum(np.abs(e - t).min(initial=9) <= 2 for t in trial) for trial, e in zip(after, emitted, strict=True))
    expected = sum(2 * 0.002 * len(e) / seconds * len(t) for t, e in zip(after, emitted, strict=True))
    gamma = (found - expected) / (0.5 * (n_true + n_model)) / (1 - expected / n_true)
    assert scores["gamma_2ms"] == pytest.approx(gamma, abs=0.05)  # by hand a spike may pair twice
    assert (scores["trials"], scores["parameters"], scores["seconds"]) == (TRIALS, 123, pytest.approx(TRIALS * seconds))


def test_wrong_files_and_artifacts_are_refused_in_one_line(case, tmp_path):
    _, folder, _, _ = case
    path, file = folder / "cell.netml", folder / "file.h5"
    make_artifact().save(tmp_path / "other.netml")
    (tmp_path / "text.h5").write_text("no HDF5")
    for name in ("part.h5", "odd.h5"):
        shutil.copy(file, tmp_path / name)
    with h5py.File(tmp_path / "part.h5", "a") as part, h5py.File(tmp_path / "odd.h5", "a") as odd:
        del part["soma/voltage"]
        fewer = odd["events/channel"][:-1]
        del odd["events/channel"]
        odd["events/channel"] = fewer
    cases = [
        ((tmp_path / "other.netml", file), "not of the benchmark cell"),
        ((tmp_path / "none.netml", file), "no reduction at"),
        ((path, tmp_path / "none.h5"), "not a readable HDF5 file"),
        ((path, tmp_path / "text.h5"), "not a readable HDF5 file"),
        ((path, tmp_path / "part.h5"), "lacks soma/voltage"),
        ((path, tmp_path / "odd.h5"), "events/channel does not fit"),
    ]
    for arguments, message in cases:
        done = run(*arguments, "--json", tmp_path / "never.json")
        assert done.returncode == 1 and done.stdout == ""
        assert message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "never.json").exists()
