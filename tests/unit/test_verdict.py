"""The verdict on a reduction, from scores that are given."""

import re

import pytest

from netml.validation.verdict import verdict


def scores(auc=0.99, true=400, model=None, trials=12):
    model = true if model is None else model
    return {"auc": auc, "trials": trials, "spikes": {
        "spikes_true": true, "spikes_model": model, "rate_error": model / true - 1 if true else None,
    }}  # fmt: skip


def result(everything=None, **kinds):
    return {"all": everything or scores(), "kinds": kinds or {"network": scores()}, "source": {"split": "test"}}


def test_usable_rests_on_its_spikes():
    found = verdict(result(network=scores(), dense=scores(), silence=scores(None, 0)))
    assert found["word"] == "usable" and found["within"] == ["network", "dense", "silence"] and not found["reasons"]
    assert (
        found["sentence"] == "usable: AUC 0.9900, rate +0.0 %, on 12 test trials with 400 spikes of the detailed cell"
    )


def test_usable_within_the_kinds_that_hold():
    found = verdict(result(scores(0.975), network=scores(0.985), crowded=scores(0.93, 150)))
    assert found["word"] == "usable within" and found["within"] == ["network"]
    assert (
        "usable within input of the kinds network" in found["sentence"] and "0.9750 is below 0.98" in found["sentence"]
    )


@pytest.mark.parametrize("everything, kinds, why", [
    (scores(), {"network": scores(0.96), "dense": scores()}, "AUC 0.9600 is below 0.97 in the network's own trials"),
    (scores(), {"network": scores(model=440)}, r"its rate is off by \+10.0 %, allowed are 5 % in the network's own"),
    (scores(), {"network": scores(model=0)}, "silent where the detailed cell fires 400 times in the network's own"),
    (scores(true=40), {"network": scores(true=40)}, "40 spikes are too few to judge by, expected 100 or more"),
    (scores(0.9), {"dense": scores(0.9)}, "AUC 0.9000 is below 0.98"),
    (scores(model=380 - 1), {"dense": scores(0.9)}, "its rate is off by -5.2 %"),
])  # fmt: skip
def test_not_yet_says_why(everything, kinds, why):
    found = verdict(result(everything, **kinds))
    assert found["word"] == "not yet"
    assert re.search(why, found["sentence"])


def test_few_spikes_of_a_kind_are_allowed_their_chance():
    """Of 25 spikes one in five is chance; of 400 one in twenty."""
    assert verdict(result(network=scores(), moved=scores(true=25, model=21)))["within"] == ["network", "moved"]
    found = verdict(result(scores(0.975), network=scores(), moved=scores(true=25, model=19)))
    assert found["within"] == ["network"]
