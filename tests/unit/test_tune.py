"""The search for a recipe: keeps the best, stops bad trials, goes on after a kill; the log of a training."""

import csv
import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import lif
import optuna
import pytest

from netml.artifact import Artifact
from netml.errors import TrainingError
from netml.training import log, train
from netml.training.tune import parse_range, tune

FIELDS = {"branches": 3, "hidden": 12, "batch_size": 16, "window_ms": 100.0, "updates": 30, "validate_every": 10}
SPACE = {"memory": (4, 12, False), "learning_rate": (1e-7, 1e-1, True)}


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lif")
    lif.write(folder, [lif.trial(seed, 500, strength=0.85) for seed in range(20)])
    return folder


def table(folder) -> list[dict]:
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_search_keeps_the_best_and_stops_bad_trials_early(records, tmp_path):
    best = json.loads(tune(records, output=tmp_path, trials=7, space=SPACE, progress=False, **FIELDS).read_text())
    rows = table(tmp_path)
    assert [int(row["trial"]) for row in rows] == list(range(7))
    losses = {row["trial"]: float(row["loss"]) for row in rows if row["state"] == "complete"}
    assert best["loss"] == min(losses.values()) < max(losses.values()) and losses[str(best["trial"])] == best["loss"]
    assert any(row["state"] == "pruned" for row in rows)
    assert set(best["fields"]) == {*FIELDS, *SPACE} and isinstance(best["fields"]["memory"], int)
    kept = Artifact.load(tmp_path / "best.netml")
    assert kept.header["scores"]["validation"]["loss"] == best["loss"]
    assert kept.header["provenance"]["config"]["memory"] == best["fields"]["memory"]
    assert {p.name for p in tmp_path.iterdir()} == {"study.db", "best.netml", "best.json", "trials.csv"}
    # The fields give the same reduction again, and a search that is complete is not gone on with.
    again = Artifact.load(train(records, output=tmp_path / "again.netml", progress=False, **best["fields"]))
    assert again.header["scores"]["validation"]["loss"] == best["loss"]
    tune(records, output=tmp_path, trials=7, space=SPACE, progress=False, **FIELDS)
    assert len(table(tmp_path)) == 7


KILLED = """
import os, signal
from netml.training import tune as search

train = search.train

def killed(*arguments, report, output, **options):
    def kill(state):
        report(state)
        if state["update"] == 15 and output.name == "trial-2.netml":
            os.kill(os.getpid(), signal.SIGKILL)

    train(*arguments, report=kill, output=output, **options)

search.train = killed
search.tune({records!r}, output={output!r}, trials=50, space={space!r}, progress=False, **{fields!r})
"""


@pytest.mark.slow
def test_a_killed_search_goes_on(records, tmp_path):
    code = KILLED.format(records=str(records), output=str(tmp_path), space=SPACE, fields=FIELDS)
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert [row["trial"] for row in table(tmp_path)] == ["0", "1"] and (tmp_path / "trial-2.netml.log").exists()
    study = optuna.load_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="netml")
    killed = study.trials[2]
    assert killed.state == optuna.trial.TrialState.RUNNING
    with closing(sqlite3.connect(tmp_path / "study.db")) as database, database:  # as if it had happened long ago
        database.execute("UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-1 hour')")
    tune(records, output=tmp_path, trials=4, space=SPACE, progress=False, **FIELDS)
    study = optuna.load_study(storage=f"sqlite:///{tmp_path / 'study.db'}", study_name="netml")
    assert ["seconds" in t.user_attrs for t in study.trials] == [True, True, False, True, True]
    assert study.trials[2].state == optuna.trial.TrialState.FAIL
    assert study.trials[3].params == killed.params != study.trials[4].params


@pytest.mark.slow
def test_what_cannot_be_searched_is_said(records, tmp_path):
    for space, fields, message in [
        ({"memmory": (1, 2, False)}, {}, "memmory"),
        ({"voltage_weight": (0.1, 1.0, True)}, {}, "voltage_weight decides what the loss means"),
        ({"memory": (4, 8, False)}, {"memory": 5}, "memory is searched and set to 5"),
        ({"memory": (8, 4, False)}, {}, "expected a range that rises"),
        ({"batch_size": [16, 17]}, {}, "batch_size"),
    ]:
        with pytest.raises(TrainingError, match=message):
            tune(records, output=tmp_path, space=space, progress=False, **fields)
    tune(records, output=tmp_path, trials=1, space=SPACE, progress=False, **FIELDS)
    with pytest.raises(TrainingError, match="holds another search"):
        tune(records, output=tmp_path, trials=1, space=SPACE, progress=False, **(FIELDS | {"hidden": 13}))
    with pytest.raises(TrainingError, match="none of the 2 trials .* the loss became nan"):
        tune(records, output=tmp_path / "bad", trials=2, space={"learning_rate": (1e30, 1e31, True)}, progress=False,
             **FIELDS)  # fmt: skip


def test_ranges_of_the_command_line():
    assert parse_range("memory=4:12") == ("memory", (4, 12, False))
    assert parse_range("learning_rate=1e-4:0.1:log") == ("learning_rate", (1e-4, 0.1, True))
    assert parse_range("batch_size=16,32") == ("batch_size", [16, 32])
    for wrong in ("memory", "=1:2", "memory=1:2:cubic", "memory=many"):
        with pytest.raises(TrainingError, match="--search"):
            parse_range(wrong)


@pytest.mark.slow
def test_training_leaves_a_log_and_curves(records, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = train(
        records, output=tmp_path / "a.netml", progress=False, tensorboard=tmp_path / "curves", memory=6, **FIELDS
    )
    lines = log.read(tmp_path / "a.netml.log")
    assert [line["update"] for line in lines] == [10, 20, 30]
    assert lines[-1]["loss"] > 0 and {"validation_loss", "auc", "explained_variance", "threshold"} <= set(lines[-1])
    curves = EventAccumulator(str(tmp_path / "curves")).Reload()
    assert [e.step for e in curves.Scalars("validation/auc")] == [10, 20, 30]
    assert [e.value for e in curves.Scalars("validation/loss")] == pytest.approx([k["validation_loss"] for k in lines])
    assert [e.step for e in curves.Scalars("training/loss")] == [5, 15, 25] and path.exists()


def test_a_log_goes_on_where_its_training_does(tmp_path):
    path = tmp_path / "x.log"
    first = log.TrainingLog(path)
    for update in range(1, 31):
        scores = {"auc": 0.9, "threshold": 0.0} if update % 10 == 0 else {}
        first({"update": update, "total": 40, "loss": 1.0 / update, **scores})
    first.close()
    with path.open("a") as file:
        file.write('{"update": 40, "lo')  # killed while it wrote
    second = log.TrainingLog(path)
    for update in range(25, 41):  # its checkpoint was of update 24
        second({"update": update, "total": 40, "loss": 1.0, **({"auc": 0.95} if update % 10 == 0 else {})})
    second.close()
    lines = log.read(path)
    assert [line["update"] for line in lines] == [10, 20, 30, 40]
    assert [line["auc"] for line in lines] == [0.9, 0.9, 0.95, 0.95] and lines[3]["loss"] == 1.0
