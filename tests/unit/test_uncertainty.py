"""What warns of a wrong reduction: limits of training, the spread of an ensemble, and what a run says of both."""

from pathlib import Path
from types import SimpleNamespace

import hybrid
import lif
import numpy as np
import pytest

import netml
from netml.artifact import Artifact
from netml.errors import TrainingError
from netml.population import out_of_distribution
from netml.records import Records, windows
from netml.stages.validate import validate
from netml.validation import uncertainty
from netml.validation.cell_metrics import Prediction
from netml.validation.network import swap_warnings

FIELDS = {"branches": 3, "memory": 6, "hidden": 12, "batch_size": 16, "window_ms": 100.0, "updates": 40,
          "validate_every": 20, "learning_rate": 0.01}  # fmt: skip


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Records:
    folder = tmp_path_factory.mktemp("lif")
    lif.write(folder / "plain", [lif.trial(seed, 400, strength=0.85) for seed in range(30)])
    return Records.open(folder / "plain")


@pytest.fixture(scope="module")
def ensemble(records, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("ensemble") / "lif.netml"
    path = netml.train_ensemble(records, output=output, members=3, seed=5, progress=False, **FIELDS)
    assert [p.name for p in output.parent.iterdir()] == ["lif.netml"]
    return path


@pytest.mark.slow
def test_limits_are_the_largest_sums_of_training(records, ensemble):
    artifact = Artifact.load(ensemble)
    arrays, inputs = artifact.arrays, artifact.header["dims"]["inputs"]
    split = records.split(seed=0)

    def sums(k):
        return windows.inputs(records.trial(k), arrays["channel_input"], arrays["channel_gain"], inputs, 1.0)

    largest = np.max([sums(k).max(axis=0) for k in split["train"]], axis=0)
    np.testing.assert_allclose(arrays["input_limit"], 1.001 * largest, rtol=1e-5)
    shares = [(sums(k) > arrays["input_limit"]).any(axis=1).mean() for k in split["validation"]]
    held_out = artifact.header["held_out_beyond"]
    expected = {"trials": len(shares), "mean": np.mean(shares), "largest": max(shares)}
    assert held_out == {name: pytest.approx(value) for name, value in expected.items()}


@pytest.mark.slow
def test_an_ensemble_is_one_file_whose_best_member_acts(records, ensemble, tmp_path):
    whole = Artifact.load(ensemble)
    assert whole.header["ensemble"]["members"] == 3 and len(whole.members) == 2
    everyone = [whole, *whole.members]
    losses = [a.header["scores"]["validation"]["loss"] for a in everyone]
    assert losses[0] == min(losses)
    assert sorted(a.header["provenance"]["config"]["seed"] for a in everyone) == [5, 6, 7]
    alone = netml.train(records, output=tmp_path / "alone.netml", progress=False,
                        **FIELDS, seed=whole.header["provenance"]["config"]["seed"])  # fmt: skip
    for name, array in Artifact.load(alone).arrays.items():
        np.testing.assert_array_equal(array, whole.arrays[name])
    assert Artifact.load(whole.save(tmp_path / "copy.netml")).members[1].header == whole.members[1].header
    assert not whole.members[0].members
    with pytest.raises(TrainingError, match="an ensemble of 1 has no spread"):
        netml.train_ensemble(records, output=tmp_path / "x.netml", members=1, **FIELDS)


@pytest.mark.slow
def test_an_ensemble_goes_on_with_the_members_that_are_there(records, ensemble, tmp_path):
    output = tmp_path / "lif.netml"
    path = netml.train(records, output=tmp_path / "lif.netml.member-5", progress=False, seed=5, **FIELDS)
    before = path.stat().st_mtime_ns
    netml.train(records, output=tmp_path / "lif.netml.member-6", progress=False, seed=6, **(FIELDS | {"memory": 7}))
    with pytest.raises(TrainingError, match="different trainings.*--fresh"):
        netml.train_ensemble(records, output=output, members=2, seed=5, progress=False, **FIELDS)
    assert path.stat().st_mtime_ns == before
    netml.train_ensemble(records, output=output, members=2, seed=5, fresh=True, progress=False, **FIELDS)
    assert Artifact.load(output).header["ensemble"]["members"] == 2


def test_spread_and_error():
    random = np.random.default_rng(0)
    hard = random.uniform(0.2, 3.0, 400)  # members miss the truth by as much as they miss each other
    truth = random.uniform(5, 10, 400)
    members = truth + hard * random.standard_normal((4, 400))
    found = uncertainty.spread(members, truth)
    assert found["trials"] == 400 and found["factor"] == pytest.approx(1.0, abs=0.1)
    assert found["error_hz"] == pytest.approx(np.sqrt(np.mean(hard**2)), rel=0.1)
    assert found["rank_correlation"] > 0.4
    assert uncertainty.spread(members[:, :5], truth[:5])["rank_correlation"] is not None
    assert uncertainty.spread(members[:, :4], truth[:4])["rank_correlation"] is None  # too few to rank
    two = uncertainty.spread(np.array([[1.0], [3.0]]), np.zeros(1))  # as a sample: the members stand for many more
    assert two["sd_hz"] == two["largest_sd_hz"] == pytest.approx(np.sqrt(2))
    assert two["factor"] == pytest.approx(np.sqrt(0.5))
    wrong_together = uncertainty.spread(np.tile(truth + hard, (4, 1)), truth)
    assert wrong_together["sd_hz"] == pytest.approx(0, abs=1e-9) and wrong_together["rank_correlation"] is None


def test_a_trial_as_far_out_as_the_worst_held_out_one_is_not_distrusted():
    """Shares of 0, 1/4 and 3/4 of the steps; errors of 0, 1 and 3 spikes in a second."""

    def trial(beyond: int, spikes: int) -> Prediction:
        bins = np.arange(1000)
        spike = bins < spikes
        return Prediction(kind="x", dt_ms=1.0, logit=np.zeros(1000), v_mv=np.zeros(1000), spike=spike,
                          true_v_mv=np.zeros(1000), true_spike=bins < 0, true_spike_ms=np.zeros(0),
                          past_training_range=bins < beyond)  # fmt: skip

    artifact = SimpleNamespace(header={"held_out_beyond": {"largest": 0.25}})
    found = uncertainty.past_training_range(artifact, [trial(0, 0), trial(250, 1), trial(750, 3)], skip_ms=0)
    assert found["distrusted"] == 1 and found["mean"] == pytest.approx(1 / 3)
    assert found["error_hz"] == pytest.approx(np.sqrt(0.5)) and found["error_distrusted_hz"] == pytest.approx(3.0)


@pytest.mark.slow
def test_validation_says_whether_the_signs_warned_rightly(records, ensemble, tmp_path):
    result = validate(ensemble, records, split="all", physics=False, output=tmp_path)
    spread, beyond = result["doubt"]["ensemble"], result["doubt"]["beyond"]
    assert spread["trials"] == len(records) and spread["sd_hz"] > 0
    assert beyond["held_out"] == Artifact.load(ensemble).header["held_out_beyond"]["largest"]
    assert "Knowing when it is wrong" in Path(result["report"]).read_text(encoding="utf-8")
    lif.write(tmp_path / "strong", [lif.trial(seed, 400, strength=0.85) for seed in range(6)])
    strong = Records.open(tmp_path / "strong")
    artifact = Artifact.load(ensemble)
    tight = Artifact(artifact.header | {"held_out_beyond": {"largest": 0.0}},
                     artifact.arrays | {"input_limit": artifact.arrays["input_limit"] / 3})  # fmt: skip
    far = validate(tight, strong, split="all", physics=False)["doubt"]["beyond"]
    assert far["distrusted"] == 6 and far["mean"] > 0.01 and far["error_hz"] is None


def test_a_run_names_the_cells_to_distrust(tmp_path):
    from netpyne import sim

    from netml.engine.circuit.swapped_population import report

    net, cfg = hybrid.network(n_e=6, n_i=2)
    made = [hybrid.artifact(net, "Ecell", seed=seed) for seed in (2, 3, 4)]
    limit = np.full(made[0].header["dims"]["inputs"], 0.5, np.float32)
    acting = Artifact(made[0].header | {"held_out_beyond": {"largest": 0.0}}, made[0].arrays | {"input_limit": limit})
    whole = acting.with_members(made[1:], {"largest_sd_hz": 0.0, "factor": 2.0})
    found = {}
    for name, artifact in (("alone", made[0]), ("whole", whole)):
        path = artifact.save(tmp_path / f"{name}.netml")
        sim.create(netml.swap(net, {"E": path}), cfg)
        sim.simulate()
        spikes = sorted(zip(sim.simData["spkt"], sim.simData["spkid"], strict=True))
        population = sim.net.pops["E"].reduced.population
        found[name] = spikes, report()["E"], population.rates_hz(), list(population.gids)
    assert found["alone"][0] == found["whole"][0] and len(found["alone"][0]) > 10  # the others only watch
    assert found["alone"][1]["beyond"] is None and found["alone"][1]["ensemble"] is None
    _, said, rates, gids = found["whole"]
    own = [sum(g == gid for _, g in found["whole"][0]) for gid in gids]
    np.testing.assert_allclose(rates[0] * cfg.duration / 1000, own, atol=1)  # a spike on the end of the last step
    assert rates.shape == (3, 6) and (rates.std(axis=0) > 0).any()
    sd = rates.std(axis=0, ddof=1)
    assert said["ensemble"]["distrusted"] == (sd > 0).sum()
    worst = said["ensemble"]["worst"][0]
    assert worst == [gids[int(np.argmax(sd))], pytest.approx(rates[0][np.argmax(sd)]), pytest.approx(2 * sd.max())]
    assert said["beyond"]["distrusted"] > 0 and said["beyond"]["worst"][0][1] > 0
    warnings = swap_warnings(SimpleNamespace(folder="run", metadata={"reduced": {"E": said}}))
    assert any("more input than training ever gave" in w for w in warnings)
    assert any(f"gid {gids[int(np.argmax(sd))]} (" in w and "members of the ensemble differ" in w for w in warnings)


def test_summaries():
    artifact = hybrid.artifact(hybrid.network()[0], "Ecell")
    assert out_of_distribution.summary(artifact, [1, 2], [0.1, 0.2]) is None
    assert out_of_distribution.ensemble_summary(artifact, [1], [[1.0]]) is None
    limited = Artifact(artifact.header | {"held_out_beyond": {"largest": 0.1}}, artifact.arrays)
    said = out_of_distribution.summary(limited, list(range(40)), [k / 100 for k in range(40)])
    assert said["distrusted"] == 29 and len(said["worst"]) == 20 and said["worst"][0] == [39, 0.39]
    assert said["mean"] == pytest.approx(0.195) and said["held_out"] == 0.1
