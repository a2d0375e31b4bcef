"""A project's own init.py: what it does beyond NetPyNE's steps is told with its line; saving and plotting is not."""

import logging

import pytest

from netml.circuit.init_file import read_init_file
from netml.circuit.project import find_project, load_project
from netml.errors import ModelError

START = "from netpyne import sim\nfrom neuron import h\ncfg, netParams = sim.readCmdLineArgs()\n"
WHOLE = "sim.createSimulateAnalyze(netParams=netParams, simConfig=cfg)\n"
INITIALIZE = "sim.initialize(simConfig=cfg, netParams=netParams)\n"
CREATE = "sim.net.createPops()\nsim.net.createCells()\n"
CONNECT = "sim.net.connectCells()\nsim.net.addStims()\nsim.setupRecording()\n"
STEPS = INITIALIZE + CREATE + CONNECT
SILENT = {
    "one call": START + WHOLE,
    "steps": START + STEPS + "sim.runSim()\nsim.gatherData()\nsim.saveData()\nsim.analysis.plotData()\n",
    "index": "from netpyne import sim\ncfg, netParams = sim.loadFromIndexFile('index.npjson')\n" + WHOLE,
    "imports": "import matplotlib; matplotlib.use('Agg')\nfrom netpyne import sim\nfrom cfg import cfg\n" + WHOLE,
    "in a function": START + "def main():\n    sim.create(netParams, cfg)\n    sim.simulate()\n"
    "if __name__ == '__main__':\n    main()\n",
    "analysis afterwards": START + WHOLE + "for cell in sim.net.cells:\n    cell.x = 1\nh.celsius = 3\n",
    "another name": "from netpyne import sim as s\nc, n = s.readCmdLineArgs()\ns.create(n, c)\ns.simulate()\n",
}
SAID = {
    "netParams rewritten": (START + "netParams.popParams['E']['numCells'] = 3\n" + WHOLE, 4, "netParams.popParams"),
    "cfg rewritten": (START + "cfg.duration = 5\n" + WHOLE, 4, "cfg.duration = 5"),
    "membrane potentials": (START + INITIALIZE + CREATE + "for c in sim.net.cells:\n    c.hPointp.m = 1\n" + CONNECT
                            + "sim.runSim()\n", 7, "for c in sim.net.cells:"),
    "NEURON's globals": (START + "h.celsius = 30\n" + WHOLE, 4, "h.celsius = 30"),
    "own NEURON objects": (START + "stim = h.IClamp(0.5)\n" + WHOLE, 4, "stim = h.IClamp"),
    "a call of the file's own": (START + "def set_up(x):\n    x.a = 1\nset_up(netParams)\n" + WHOLE, 6, "set_up"),
    "cells modified": (START + STEPS + "sim.net.modifyCells({})\nsim.runSim()\n", 10, "sim.net.modifyCells"),
    "a function at intervals": (START + STEPS + "sim.runSimWithIntervalFunc(1, print)\nx.y = 1\n", 10, "IntervalFunc"),
    "under a condition": (START + "if cfg.tuned:\n    cfg.hParams['celsius'] = 3\n" + WHOLE, 5, "cfg.hParams"),
    "a step left out": (START + INITIALIZE + CREATE + "sim.setupRecording()\nsim.runSim()\n", 5, "where netml does"),
    "within main": (START + "def main():\n    cfg.a = 1\n    sim.createSimulate(netParams, cfg)\nmain()\n", 5, "cfg.a"),
    "another Python": ("print 'old'\n", 1, "no Python of version 3"),
}  # fmt: skip


@pytest.mark.parametrize("name", SILENT)
def test_what_netml_does_too_is_not_mentioned(tmp_path, name):
    (tmp_path / "init.py").write_text(SILENT[name])
    assert read_init_file(tmp_path / "init.py").beyond == []


@pytest.mark.parametrize("name", SAID)
def test_what_changes_the_model_is_told_with_its_line(tmp_path, name):
    text, line, words = SAID[name]
    (tmp_path / "init.py").write_text(text)
    ((found, said),) = read_init_file(tmp_path / "init.py").beyond
    assert found == line and words in said


def test_shipped_models_need_no_warning():
    project = find_project("cortex")
    assert project.init is None or project.init.beyond == []


NET = (
    "from netpyne import specs\n{how}\nnetParams = specs.NetParams()\nnetParams.popParams['A'] = {{'numCells': {n}}}\n"
)


def test_files_that_init_names_are_the_project(tmp_path, caplog):
    (tmp_path / "init_touch.py").write_text(
        "from netpyne import sim\nc, n = sim.readCmdLineArgs(simConfigDefault='settings.py', "
        "netParamsDefault='network.py')\nc.x = 3\nsim.createSimulate(n, c)\n"
    )
    (tmp_path / "settings.py").write_text("from netpyne import specs\nsettings = specs.SimConfig()\nsettings.n = 2\n")
    (tmp_path / "network.py").write_text(NET.format(how="from settings import settings as cfg", n="cfg.n"))
    (tmp_path / "chan.mod").write_text("NEURON { SUFFIX chan }\n")
    found = find_project(tmp_path)
    net, cfg = load_project(found, {"n": 7})
    assert net.popParams["A"]["numCells"] == cfg.n == 7
    assert found.mods == tmp_path
    with caplog.at_level(logging.WARNING, "netml"):
        found.warn_of_init()
    assert [record.message for record in caplog.records] == [
        f"{tmp_path / 'init_touch.py'} does more than create, simulate and save, and that is not run: line 3: c.x = 3"
    ]


@pytest.mark.parametrize("variable", ["cfg", "simConfig", "anything"])
@pytest.mark.parametrize("how", ["from cfg import", "from __main__ import"])
def test_configuration_under_any_name(tmp_path, variable, how):
    (tmp_path / "cfg.py").write_text(f"from netpyne import specs\n{variable} = specs.SimConfig()\n{variable}.n = 2\n")
    text = NET.format(how=f"{how} {variable}", n=f"{variable}.n").replace("netParams", "params")
    (tmp_path / "netParams.py").write_text(text)
    net, cfg = load_project(find_project(tmp_path), {"n": 5})
    assert net.popParams["A"]["numCells"] == cfg.n == 5


def test_several_configurations_without_a_usual_name_are_refused(tmp_path):
    (tmp_path / "cfg.py").write_text("from netpyne import specs\na, b = specs.SimConfig(), specs.SimConfig()\n")
    (tmp_path / "netParams.py").write_text(NET.format(how="", n=1))
    with pytest.raises(ModelError, match=r"has 2 SimConfig \(a, b\) and none called cfg or simConfig"):
        load_project(find_project(tmp_path))


@pytest.mark.parametrize("where", ["mod", "mods", "mechs", "mechanisms", "src/mod", ".", "src"])
def test_mod_files_in_a_usual_folder_or_beside_the_configuration(tmp_path, where):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "cfg.py").write_text("")
    (tmp_path / "src" / "netParams.py").write_text("")
    (tmp_path / where).mkdir(exist_ok=True)
    (tmp_path / where / "chan.mod").write_text("NEURON { SUFFIX chan }\n")
    assert find_project(tmp_path).mods == (tmp_path / where).resolve()
