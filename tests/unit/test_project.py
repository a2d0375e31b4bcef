"""Projects in every layout load, see changed values, leave no trace in this process, and fail with a reason."""

import json
import os
import sys
from pathlib import Path

import pytest

from netml.circuit.project import find_project, load_project, parse_settings
from netml.errors import ModelError

TINY = Path(__file__).parents[1] / "fixtures" / "tiny"
CFG = "from netpyne import specs\ncfg = specs.SimConfig()\ncfg.n = 3\ncfg.drive = {'rate': 5.0}\n"
NET = """
from netpyne import specs
{how} import cfg
import helper
netParams = specs.NetParams()
netParams.popParams['A'] = {{'cellType': 'A', 'numCells': cfg.n * helper.TWO}}
netParams.rate = cfg.drive['rate']
netParams.cwd = __import__('os').getcwd()
"""


def project(folder: Path, how: str = "from cfg", source: str = "", cfg: str = CFG, net: str = NET) -> Path:
    where = folder / source
    where.mkdir(parents=True, exist_ok=True)
    (where / "cfg.py").write_text(cfg)
    (where / "netParams.py").write_text(net.format(how=how))
    (where / "helper.py").write_text("TWO = 2\n")
    return folder


@pytest.mark.parametrize("how", ["from cfg", "from __main__"])
@pytest.mark.parametrize("source", ["", "src"])
def test_changed_values_reach_netparams(tmp_path, how, source):
    found = find_project(project(tmp_path / "model", how, source))
    net, cfg = load_project(found, {"n": 5, "drive.rate": 7.0, "hParams.celsius": 30.0})
    assert net.popParams["A"]["numCells"] == 10 and net.rate == 7.0
    assert cfg.n == 5 and cfg.hParams["celsius"] == 30.0 and cfg.hParams["v_init"] == -65.0
    assert net.cwd == str(tmp_path / "model") and found.name == "model"


def test_index_names_files_variables_and_mods(tmp_path):
    folder = tmp_path / "model"
    (folder / "mods").mkdir(parents=True)
    (folder / "conf.py").write_text(CFG.replace("cfg", "settings"))
    (folder / "net.py").write_text(NET.format(how="from __main__").replace("netParams", "network"))
    (folder / "helper.py").write_text("TWO = 2\n")
    index = {"simConfig": "conf.py", "simConfig_variable": "settings", "netParams": "net.py",
             "netParams_variable": "network", "mod_folder": "mods"}  # fmt: skip
    (folder / "index.npjson").write_text(json.dumps(index))
    for model in (folder, folder / "index.npjson"):
        found = find_project(model)
        assert found.mods == folder / "mods"
        assert load_project(found)[0].popParams["A"]["numCells"] == 6


def test_json_project(tmp_path):
    (tmp_path / "cfg.json").write_text(json.dumps({"simConfig": {"duration": 123.0}}))
    (tmp_path / "net.json").write_text(json.dumps({"net": {"params": {"popParams": {"A": {"numCells": 4}}}}}))
    (tmp_path / "index.npjson").write_text(json.dumps({"simConfig": "cfg.json", "netParams": "net.json"}))
    net, cfg = load_project(find_project(tmp_path), {"duration": 50.0})
    assert net.popParams["A"]["numCells"] == 4 and cfg.duration == 50.0


def test_loading_leaves_no_trace(tmp_path):
    before = os.getcwd(), list(sys.path), vars(sys.modules["__main__"]).get("cfg")
    for name, number in (("one", 1), ("two", 2)):
        folder = project(tmp_path / name)
        (folder / "helper.py").write_text(f"TWO = {number}\n")
        assert load_project(find_project(folder))[0].popParams["A"]["numCells"] == 3 * number
    assert (os.getcwd(), list(sys.path), vars(sys.modules["__main__"]).get("cfg")) == before
    assert not {"cfg", "netParams", "helper"} & set(sys.modules)


def test_own_mod_folder_is_found():
    assert find_project(TINY).mods == TINY / "mod"


def test_shipped_model_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_project("models/cortex").name == find_project("cortex").name == "cortex"


def test_what_is_in_the_own_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = find_project(project(tmp_path / "models" / "cortex"))
    assert find_project("models/cortex") == found and found.folder == tmp_path / "models" / "cortex"
    for elsewhere in (tmp_path / "cortex", "../models/cortex"):
        with pytest.raises(ModelError, match="no model"):
            find_project(elsewhere)


@pytest.mark.parametrize(
    ("setting", "message"),
    [("numberOf", "no value 'numberOf'"), ("hParams.celcius", r"did you mean hParams\.celsius"), ("n.x", "no value")],
)
def test_unknown_value_names_near_ones(tmp_path, setting, message):
    with pytest.raises(ModelError, match=message):
        load_project(find_project(project(tmp_path / "model")), {setting: 1})


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [("duration", "long", "number"), ("recordStep", {}, "number"), ("hParams", 3, "mapping"), ("drive", 5.0, "mapping"),
     ("recordCells", 3, "list"), ("recordTraces", [], "mapping")],
)  # fmt: skip
def test_value_of_another_kind_is_refused(tmp_path, name, value, kind):
    with pytest.raises(ModelError, match=rf"cfg\.{name} is a {kind} \(.*\); expected one, got"):
        load_project(find_project(project(tmp_path / "model")), {name: value})


def test_values_of_the_kinds_that_netpyne_takes(tmp_path):
    words = {"duration": 5, "drive.rate": "uniform(0, 2)", "recordCells": "all", "recordCellsSpikes": ["A"], "n": 2}
    assert load_project(find_project(project(tmp_path / "model")), words | {"saveJson": "yes"})[1].duration == 5


def test_failing_file_is_named_with_its_line(tmp_path):
    folder = project(tmp_path / "model", cfg=CFG + "1 / 0\n")
    with pytest.raises(ModelError, match=r"cfg\.py, line 5 failed: ZeroDivisionError"):
        load_project(find_project(folder))
    folder = project(tmp_path / "exits", net="raise SystemExit('stop')\n")
    with pytest.raises(ModelError, match="netParams.py, line 1 failed: SystemExit: stop"):
        load_project(find_project(folder))
    folder = project(tmp_path / "empty", net="x = 1\n")
    with pytest.raises(ModelError, match="no variable 'netParams'"):
        load_project(find_project(folder))


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"simConfig": "cfg.py"}', '{"simConfig": "a.py", "netParams": "b.py"}']
)
def test_broken_index(tmp_path, content):
    (tmp_path / "index.npjson").write_text(content)
    with pytest.raises(ModelError, match=r"index\.npjson"):
        find_project(tmp_path)


def test_no_project(tmp_path):
    with pytest.raises(ModelError, match="no model"):
        find_project(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="neither index.npjson nor cfg.py"):
        find_project(tmp_path)


def test_settings_are_json_or_text():
    words = ["duration=500", "a.b=[1, 2]", "name=text", "on=true", "off=False", "nothing=None", "e=x=y"]
    assert parse_settings(words) == {"duration": 500, "a.b": [1, 2], "name": "text", "on": True, "off": False,
                                     "nothing": None, "e": "x=y"}  # fmt: skip
    with pytest.raises(ModelError, match="NAME=VALUE"):
        parse_settings(["duration"])
