"""Synthetic trials: drawn from recorded ones, labelled by trained reductions, learned from."""

import lif
import numpy as np
import pytest

from netml.artifact import Artifact
from netml.errors import TrainingError
from netml.records import Records
from netml.stimuli import random_current as currents
from netml.training import train
from netml.training.config import TrainConfig
from netml.training.data import load_trials
from netml.training.synthetic import SHUFFLE_MS, draw, label
from netml.validation.prediction import predict

pytestmark = pytest.mark.slow

RECIPE = {"updates": 40, "compartments": 4, "memory": 6, "hidden": 10, "batch_size": 16, "window_ms": 100.0, "reads": 4,
          "validate_every": 20}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lif")
    lif.write(folder, [lif.trial(seed, strength=0.85) for seed in range(30)])
    return folder


@pytest.fixture(scope="module")
def teacher(folder):
    """Two reductions that differ in their seed, as one artifact."""
    made = [Artifact.load(train(folder, output=folder / f"{seed}.netml", seed=seed, **RECIPE)) for seed in (1, 2)]
    made[0].with_members(made[1:], {}).save(folder / "teacher.netml")
    return folder / "teacher.netml"


def loaded(folder):
    return load_trials(Records.open(folder), TrainConfig.of(**RECIPE))


def test_drawn_trials_have_the_drive_of_recorded_ones(folder):
    steps, training, _ = loaded(folder)
    drawn = draw(steps, training, 2 * len(training), np.random.default_rng(0))
    assert len(drawn.length) == 2 * len(training) and not drawn.target.any()
    same = 0
    recorded = [steps.events_of(k) for k in training]
    for k in range(len(drawn.length)):
        step, synapse_site, weight = drawn.events_of(k)
        match = [r for r in recorded if np.array_equal(r[0], step)]  # when events arrive is that of one trial
        assert len(match) == 1
        old_step, old_channel, old_weight = match[0]
        for s in range(2):  # events of a type keep their number at every time
            np.testing.assert_array_equal(step[synapse_site % 2 == s], old_step[old_channel % 2 == s])
        # The events are the same ones, each not far from where it was (weights tell them apart).
        now, then = np.argsort(weight), np.argsort(old_weight)
        np.testing.assert_array_equal(weight[now], old_weight[then])
        np.testing.assert_array_equal(synapse_site[now], old_channel[then])
        assert np.abs(step[now] - old_step[then]).max() <= 2 * SHUFFLE_MS
        same += np.mean(synapse_site == old_channel)
    assert same / len(drawn.length) < 0.5  # of 4 synapse sites a type, 1 in 4 by chance


def test_labels_are_means_over_the_teachers(folder, teacher):
    steps, _, validation = loaded(folder)
    acting = Artifact.load(teacher)
    recorded = Records.open(folder)
    trials = [recorded.trial(k) for k in TrainConfig.of(**RECIPE).split(recorded)["validation"]]
    runs = [list(predict(artifact, trials)) for artifact in (acting, *acting.members)]
    label(steps, [acting, *acting.members])
    for number, k in enumerate(validation):
        own = slice(steps.first[k], steps.first[k] + steps.length[k])
        p = np.mean([1 / (1 + np.exp(-run[number].logit)) for run in runs], axis=0)
        v = np.mean([np.minimum(run[number].v_mv, steps.v_clip_mv) for run in runs], axis=0)
        np.testing.assert_allclose(steps.target[own], p, atol=1e-5)
        np.testing.assert_allclose(steps.voltage[own], v, atol=1e-3)
        np.testing.assert_array_equal(steps.spike[own], runs[0][number].spike)


def test_a_training_learns_from_a_teacher(folder, teacher, tmp_path):
    alone = Artifact.load(train(folder, output=tmp_path / "alone.netml", **RECIPE))
    paths = [train(folder, output=tmp_path / f"{k}.netml", teachers=[teacher], **RECIPE) for k in range(2)]
    taught = [Artifact.load(path) for path in paths]
    np.testing.assert_array_equal(taught[0].arrays["params"], taught[1].arrays["params"])
    assert (taught[0].arrays["params"] != alone.arrays["params"]).any()
    assert [t["config"]["seed"] for t in taught[0].header["provenance"]["teachers"]] == [1, 2]
    np.testing.assert_array_equal(taught[0].arrays["channel_seen"], alone.arrays["channel_seen"])  # of recorded trials


def test_a_teacher_of_another_cell_or_records_with_currents_alone_are_refused(folder, teacher, tmp_path):
    cell = Artifact.load(teacher).members[0]
    header = cell.header | {"cell": {"label": "X", "fingerprint": "other"}}
    Artifact(header, cell.arrays).save(tmp_path / "other.netml")
    with pytest.raises(TrainingError, match="does not fit the records: cell other, not lif-of-the-tests"):
        train(folder, output=tmp_path / "a.netml", teachers=[tmp_path / "other.netml"], **RECIPE)
    steps = [currents.draw_current("steps", lif.RHEOBASE_NA, 1000.0, 1, k)[:2] for k in range(12)]
    lif.write(tmp_path / "r", [lif.trial(100 + k, current=own) for k, own in enumerate(steps)])
    with pytest.raises(TrainingError, match="every training trial has a current"):
        train(tmp_path / "r", output=tmp_path / "a.netml", teachers=[teacher], **RECIPE)
