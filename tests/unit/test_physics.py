"""A trained reduction obeys the laws; one that breaks a law is found out."""

from dataclasses import replace

import lif
import numpy as np
import pytest

from netml import keys
from netml.artifact import Artifact
from netml.errors import ArtifactError
from netml.records import Records
from netml.reductions import kernel
from netml.reductions.layouts import KINDS
from netml.training import train
from netml.training.config import TrainConfig
from netml.validation import physics
from netml.validation.cell import choose_trials
from netml.validation.drive import Driver
from netml.validation.prediction import predict

pytestmark = pytest.mark.slow

SMALL = {"updates": 250, "branches": 3, "memory": 8, "hidden": 12, "batch_size": 32, "window_ms": 100.0,
         "validate_every": 100, "learning_rate": 0.01, "v_clip_mv": -50.0}  # fmt: skip


@pytest.fixture(scope="module", params=keys.REDUCTIONS)
def trained(request, tmp_path_factory):
    """A reduction of each kind, and records of its cell whose trials differ in their excitation."""
    folder = tmp_path_factory.mktemp("physics")
    trials = [lif.trial(seed, 600, strength=0.85, rate=0.4 + 0.03 * seed) for seed in range(40)]
    lif.write(folder / "records", trials)
    kind = {"reduction": request.param} if "reduction" in TrainConfig.model_fields else {}
    path = train(folder / "records", output=folder / "lif.netml", progress=False, **SMALL, **kind)
    return Artifact.load(path), Records.open(folder / "records")


def test_a_trained_reduction_obeys_every_law(trained):
    artifact, records = trained
    predictions = list(predict(artifact, records.trials(choose_trials(artifact, records, "all", None, 0.0))))
    laws = physics.physics(artifact, predictions)
    assert len(laws) == 7 and all(law["passed"] is True for law in laws), laws
    assert "1,000,000 steps" in laws[5]["name"]


def changed(artifact, header=None, **factors) -> Artifact:
    """A copy whose parameters of some names are multiplied (or replaced, where a function is given)."""
    dims = KINDS[artifact.header["reduction"]](**artifact.header["dims"])
    arrays = {name: value.copy() for name, value in kernel.unpack(dims, artifact.arrays["params"]).items()}
    for name, change in factors.items():
        arrays[name] = change(arrays[name]) if callable(change) else arrays[name] * change
    return Artifact(artifact.header | (header or {}), artifact.arrays | {"params": kernel.pack(dims, arrays)})


def law(artifact, name: str) -> physics.Check:
    driver = Driver(artifact)
    return {
        "rest": lambda: physics.rest(driver), "quiet": lambda: physics.quiet_again(driver),
        "range": lambda: physics.voltage_range(driver), "bounded": lambda: physics.bounded(driver, 40_000),
    }[name]()  # fmt: skip


def test_broken_reductions_are_found_out(trained):
    artifact, _ = trained
    assert not law(changed(artifact, {"threshold": -1e3}), "rest").passed
    assert not law(changed(artifact, memory_rest=lambda m: m - 2), "rest").passed
    assert law(changed(artifact, v_w=200.0), "range").passed  # the readout ends at the reversal potentials
    trace = {"leaky_memory": "trace_decay", "cable": "decay"}[artifact.header["reduction"]]
    for decay, broken in ((1.0, "bounded"), (0.99995, "quiet")):  # the last forgets too late
        changes = {trace: lambda d, decay=decay: np.full_like(d, decay)}
        assert not law(changed(artifact, **changes), broken).passed, (decay, broken)
    for decay in (1.0001, 1.01):
        with pytest.raises(ArtifactError, match="decay 1.0.*, expected 0 to 1"):
            Driver(changed(artifact, **{trace: lambda d, decay=decay: np.full_like(d, decay)}))


class Knowing(Driver):
    """A cell that gives its output five steps too early."""

    def run(self, *arguments, **named):
        out = super().run(*arguments, **named)
        return replace(out, logit=np.roll(out.logit, -5, axis=0), v_mv=np.roll(out.v_mv, -5, axis=0))


class Clock(Driver):
    """A cell whose voltage depends on the hour."""

    def run(self, *arguments, **named):
        out = super().run(*arguments, **named)
        return replace(out, v_mv=out.v_mv + 0.01 * np.arange(len(out.v_mv))[:, None])


class Wild(Driver):
    """A cell whose voltage passes the reversal potentials."""

    def run(self, *arguments, **named):
        out = super().run(*arguments, **named)
        return replace(out, v_mv=2 * out.v_mv)


def test_a_voltage_no_channel_gives_is_found_out(trained):
    artifact, _ = trained
    assert physics.voltage_range(Driver(artifact)).passed and not physics.voltage_range(Wild(artifact)).passed


def test_cells_that_foresee_or_age_are_found_out(trained):
    artifact, _ = trained
    assert physics.causality(Driver(artifact)).passed and not physics.causality(Knowing(artifact)).passed
    assert physics.time_shift(Driver(artifact)).passed and not physics.time_shift(Clock(artifact)).passed


def test_excitation_is_told_from_inhibition_and_its_effect_judged(trained):
    artifact, records = trained
    excites = Driver(artifact).excites
    assert excites.tolist() == [True, False]
    predictions = list(predict(artifact, records.trials(range(len(records)))))
    assert physics.excitation(predictions, excites).passed
    saturated = [
        replace(p, spike=np.arange(p.spike.size) % int(5 + p.input_us_per_s[0] * 60) == 0) for p in predictions
    ]
    assert physics.excitation(saturated, excites).passed is False
    assert physics.excitation(predictions[:5], excites).passed is None
