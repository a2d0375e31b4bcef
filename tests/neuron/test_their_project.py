"""A NetPyNE project as its authors run it (`nrnivmodl`, `python src/init.py`) runs unchanged by `netml simulate`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import netml
from netml.engine.mechanisms.build import nrnivmodl
from netml.errors import ModelError
from netml.runs import Run
from netml.validation.network import warnings

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The project after its authors' own run, with what they compiled still there."""
    folder = tmp_path_factory.mktemp("theirs") / "model"
    shutil.copytree(FIXTURES / "theirs", folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(FIXTURES / "cells" / "mod", folder / "mod")
    (folder / "cells").mkdir()
    for name in ("pyr.hoc", "pyr_channels.hoc", "cells.py"):
        shutil.copy(FIXTURES / "cells" / name, folder / "cells")
    for command in ([nrnivmodl(), "mod"], [sys.executable, "src/init.py"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    return folder


def test_the_same_spikes_and_voltage(project):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    done = subprocess.run(
        [sys.executable, "-m", "netml.cli", "simulate", ".", "-o", "run"], cwd=project, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    theirs = json.loads((project / "data" / "theirs_data.json").read_text())["simData"]
    run = Run.open(project / "run")
    first = {"PYR": 0, "FS": 4}
    ours = sorted((t, first[pop] + k) for pop in first for t, k in zip(*run.spikes(pop), strict=True))
    assert len(ours) >= 12 and {int(gid) for _, gid in ours} == set(range(6))
    assert ours == sorted((t, int(gid)) for t, gid in zip(theirs["spkt"], theirs["spkid"], strict=True))
    _, _, _, voltage = run.traces["V"]
    np.testing.assert_allclose(voltage[0], theirs["V"]["cell_0"], atol=1e-4)  # float32 in the run's file
    assert all(path.read_bytes() == content for path, content in before.items() if "data" not in path.parts)


def test_a_synapse_that_is_not_there_is_refused(tmp_path):
    """NetPyNE ends in a TypeError that names nothing."""
    model = tmp_path / "tiny"
    shutil.copytree(FIXTURES / "tiny", model, ignore=shutil.ignore_patterns("__pycache__"))
    with (model / "netParams.py").open("a") as file:
        file.write("\nnetParams.connParams['E->I']['synMech'] = 'exk'\n")
    with pytest.raises(ModelError, match=r"no synMech 'exk' \(connParams 'E->I'\) in synMechParams; it has \w+"):
        netml.simulate(model, duration=5.0, output=tmp_path / "run")


def test_a_section_that_is_not_there_is_said(tmp_path, capfd):
    """NetPyNE runs on, with such synapses on the soma."""
    model = tmp_path / "tiny"
    shutil.copytree(FIXTURES / "tiny", model, ignore=shutil.ignore_patterns("__pycache__"))
    text = (model / "netParams.py").read_text()
    (model / "netParams.py").write_text(text.replace('"sec": "dend_0"', '"sec": "dend_1"'))  # I has one dendrite
    netml.simulate(model, duration=5.0, output=tmp_path / "run")
    assert capfd.readouterr().err == (
        "netml: connParams 'E->I': no section 'dend_1' in cells of I; stimTargetParams 'background_I_0': no section "
        "'dend_1' in cells of I; NetPyNE puts these on the soma\n"
    )


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """The small circuit with another netParams."""
    model = tmp_path / "changed"
    shutil.copytree(FIXTURES / "tiny", model, ignore=shutil.ignore_patterns("__pycache__"))
    text = (model / "netParams.py").read_text()
    assert old in text
    (model / "netParams.py").write_text(text.replace(old, new))
    return model


def test_a_rule_that_reaches_nobody_is_said(tmp_path, capfd):
    model = changed(tmp_path, '"preConds": {"pop": pre}', '"preConds": {"pop": pre.lower()}')
    netml.simulate(model, duration=5.0, output=tmp_path / "run")
    error = capfd.readouterr().err
    assert "no population has preConds {'pop': 'e'}" in error and "these rules make nothing" in error


@pytest.mark.parametrize(
    "text, message",
    [('"delay": -1.0', "delay -1.0 ms; expected"), ('"delay": 1.0, "weight": float("nan")', "weight nan, delay 1.0")],
)
def test_weights_and_delays_that_are_no_numbers_are_refused(tmp_path, text, message):
    model = changed(tmp_path, "specs", "specs")
    with (model / "netParams.py").open("a") as file:
        file.write(f"\nnext(iter(netParams.connParams.values())).update({{{text}}})\n")
    with pytest.raises(ModelError, match=message):
        netml.simulate(model, duration=5.0, output=tmp_path / "run")


def test_compare_says_that_the_circuit_changed(tmp_path):
    model = changed(tmp_path, "specs", "specs")
    runs = [netml.simulate(model, duration=20.0, output=tmp_path / "before")]
    runs.append(netml.simulate(model, duration=20.0, output=tmp_path / "again"))
    with (model / "netParams.py").open("a") as file:
        file.write("\nfor one in netParams.stimSourceParams.values():\n    one['rate'] = 0.3 * one.get('rate', 10)\n")
    runs.append(netml.simulate(model, duration=20.0, output=tmp_path / "after"))
    before, again, after = (Run.open(run) for run in runs)
    assert not any("circuits differ" in line for line in warnings(before, again, []))
    assert any("circuits differ" in line for line in warnings(before, after, []))
