"""`netml reduce` on the tiny project: killed in the middle it goes on, and it ends in a verdict."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import netml
from netml.errors import ModelError, NetmlError

TINY = Path(__file__).resolve().parents[1] / "fixtures" / "tiny"


def command(folder, *options):
    words = ["reduce", str(TINY), "-p", "E", "-o", str(folder / "E.netml"), "--ranks", "1", *options]
    return [sys.executable, "-m", "netml.cli", *words]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder in which a call was killed, without a chance to clean up, in its second stage."""
    folder = tmp_path_factory.mktemp("reduce")
    with subprocess.Popen(command(folder, "--minutes", "0.5"), stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "alone under random input" in line:
                process.send_signal(signal.SIGKILL)
    return folder


@pytest.mark.slow
def test_goes_on_where_it_was_killed_and_ends_in_a_verdict(killed):
    first = netml.Records.open(killed / "E-reduce" / "records")
    assert set(first.kinds) == {"network"}
    done = subprocess.run(command(killed, "--minutes", "0.5"), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "plan for 0.5 min" in done.stdout and "[3/4] train: " in done.stdout
    records = netml.Records.open(killed / "E-reduce" / "records")
    assert len(records) > len(first) and set(records.kinds) > {"network", "dense"}
    assert records.provenance["seeds"][0] == first.provenance["seeds"][0]
    judged = json.loads((killed / "E-reduce" / "report" / "validation.json").read_text())
    assert f"{killed / 'E.netml'}: {judged['verdict']['sentence']}\n" in done.stdout
    assert judged["verdict"]["spikes"] == judged["all"]["spikes"]["spikes_true"]
    if judged["verdict"]["word"] != "usable":
        assert "the same command with --minutes 1, which goes on from what is there" in done.stdout

    made = (killed / "E.netml").read_bytes()
    again = subprocess.run(command(killed, "--minutes", "0.5"), capture_output=True, text=True, timeout=600)
    assert f"[3/4] train: found {killed / 'E.netml'}" in again.stdout and (killed / "E.netml").read_bytes() == made


@pytest.mark.slow
def test_refuses_a_folder_of_another_call(killed):
    def reduce(**changed):
        netml.reduce(TINY, **{"output": killed / "E.netml", "population": "E"} | changed, say=None)

    with pytest.raises(NetmlError, match="was made with population 'E', not 'I'; give --overwrite"):
        reduce(population="I")
    with pytest.raises(NetmlError, match="was not made by netml reduce; choose another --folder"):
        reduce(folder=TINY)
    with pytest.raises(NetmlError, match="minutes is -1.0; expected a number above 0"):
        reduce(minutes=-1)
    with pytest.raises(NetmlError, match="is a project; say whose cells"):
        reduce(population="", folder=killed / "new")
    with pytest.raises(NetmlError, match="is a project, which has its own mods, celsius; leave that out"):
        reduce(mods=["mod"], celsius=34.0, folder=killed / "new")
    with pytest.raises(ModelError, match="no file .*nothing.hoc"):
        netml.reduce("nothing.hoc", output=killed / "new.netml", say=None)
    with pytest.raises(ModelError, match="no file .*other.hoc"):  # not: was made with another source
        netml.reduce("other.hoc", output=killed / "new.netml", say=None)
