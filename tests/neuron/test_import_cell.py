"""A user's cell, in every form that users have, becomes a project whose cell answers as the original does in NEURON."""

import json
import pickle
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import netml
from netml.circuit.morphology import basket
from netml.engine.cell_import.import_cell import import_cell
from netml.engine.cell_import.tasks import FIRST, search
from netml.engine.circuit.simulate import simulate
from netml.engine.recording.record import record
from netml.errors import CompileError, ModelError, PickleError
from netml.records import Records
from netml.runs import Run
from netml.training import train

CELLS = Path(__file__).resolve().parent.parent / "fixtures" / "cells"
MODS = [CELLS / "mod"]
DEMO = "NEURON { POINT_PROCESS demo_stimulus POINTER other }\nASSIGNED { other }\n"  # which the cell does not use
RECIPE = {"updates": 10, "branches": 3, "memory": 8, "hidden": 12, "batch_size": 16, "window_ms": 100.0}


def make(source, output, **options) -> tuple[dict, str]:
    """Import a cell; its cellParams entry, and what was said about it."""
    said: list[str] = []
    options = {"mods": MODS, "rate": 0, "progress": False, "say": said.append} | options
    folder = import_cell(source, output, **options)
    label = json.loads((folder / "cells" / "values.json").read_text())["cell"]
    return json.loads((folder / "cells" / f"{label}.json").read_text()), "\n".join(said)


def spikes_and_agreement(said: str) -> tuple[int, str]:
    match = re.search(r"\((\d+) spikes\) its voltage is (.*), at the soma", said)
    return int(match[1]), match[2]


@pytest.fixture(scope="module")
def pyr(tmp_path_factory):
    """A hoc template with arguments, other hoc files, and mod files with a header: the example of the page on them."""
    folder = tmp_path_factory.mktemp("pyr") / "cells"
    shutil.copytree(CELLS, folder)
    (folder / "mod" / "demo.mod").write_text(DEMO)
    page = (Path(netml.__file__).parent / "circuit" / "README.md").read_text()
    line = re.search(r"```bash\nnetml (import cell .*)\n", page)[1]
    done = subprocess.run(
        [sys.executable, "-m", "netml.cli", *shlex.split(line)], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder / "pyr", json.loads((folder / "pyr" / "cells" / "Pyr.json").read_text()), done.stdout


@pytest.mark.slow
def test_hoc_template(pyr):
    """With all that is its own; of the mod files those that it uses."""
    folder, spec, said = pyr
    assert spikes_and_agreement(said) == (42, "exactly the original's")
    names = ["soma_0", "dend_0", "dend_1", "dend_2", "apic_0", "apic_1", "apic_2", "apic_3", "axon_0"]
    assert list(spec["secs"]) == names and sorted(spec["secLists"]["all"]) == sorted(names)
    trunk, oblique = spec["secs"]["apic_0"], spec["secs"]["apic_1"]
    assert trunk["geom"]["nseg"] == 13 and len(trunk["geom"]["pt3d"]) == 3 and trunk["geom"]["cm"] == 1.6
    assert trunk["mechs"]["user_ka"]["gbar"] == pytest.approx([0.002 + 0.006 * (k + 0.5) / 13 for k in range(13)])
    assert trunk["mechs"]["user_ka"]["scale"] == 0.8  # the template's argument
    assert oblique["topol"] == {"parentSec": "apic_0", "parentX": pytest.approx(0.3, abs=0.04), "childX": 0.0}
    assert "pt3d" not in spec["secs"]["axon_0"]["geom"]
    assert spec["secs"]["soma_0"]["ions"]["na"]["e"] == 55.0 and spec["secs"]["soma_0"]["ions"]["k"]["e"] == -85.0
    assert spec["globals"]["vhalf_user_ka"] == -25.0
    assert spec["secLists"]["apical"] == [f"apic_{k}" for k in range(4)]
    values = json.loads((folder / "cells" / "values.json").read_text())
    assert (values["celsius"], values["v_init"], values["root"]) == (22.0, -72.0, "soma_0")
    synapses = json.loads((folder / "cells" / "synapses.json").read_text())
    assert synapses["user_syn"] == {"mod": "user_syn", "tau1": 0.4, "tau2": 6.0, "e": 0.0}  # as the template set it
    assert list(synapses) == ["user_syn", "GABAA"]  # and netml's inhibition, of which it has none
    assert {path.name for path in (folder / "mod").iterdir()} == {path.name for path in (CELLS / "mod").iterdir()}


@pytest.mark.slow
def test_its_random_input_lets_it_fire_as_asked(pyr, tmp_path):
    found = float(re.search(r"let it fire at ([\d.]+) Hz", pyr[2])[1])
    assert 2.0 <= found <= 6.0
    run = Run.open(simulate(pyr[0], duration=500, dt=0.1, output=tmp_path / "run", progress=False))
    assert 1.0 <= len(run.spikes("Pyr")[0]) / (8 * 0.5) <= 9.0  # eight cells, other trains than the one that was tuned


@pytest.mark.parametrize("fires, factor, hz", [
    (lambda factor: 8 * factor, 0.5, 4.0),
    (lambda factor: 400 * factor, 0.01, 4.0),  # much at the first that is tried
    (lambda factor: 30.0, FIRST, 30.0),  # by itself: no weight quietens it
    (lambda factor: 3.0 if factor < 1 else 0.0, FIRST, 3.0),  # blocked by more
])  # fmt: skip
def test_the_search_goes_up_and_down(fires, factor, hz):
    """Sixteenths of a doubling are what four halvings leave, 4.4 %."""
    found = search(fires, 4.0)
    assert found == (pytest.approx(factor, rel=0.045), pytest.approx(hz, rel=0.045))


@pytest.mark.slow
def test_a_reduction_of_it_is_recorded_trained_and_swapped_in(pyr, tmp_path):
    records = record(pyr[0], population="Pyr", engine="neuron", build="exact", network_trials=1, protocol_trials=3,
                     duration=400, dt=0.1, output=tmp_path / "records", progress=False)  # fmt: skip
    assert Records.open(records).cell.synapses == ("user_syn", "GABAA")
    artifact = train(records, output=tmp_path / "pyr.netml", progress=False, **RECIPE)
    swapped = simulate(pyr[0], duration=100, dt=0.1, reductions={"Pyr": artifact}, output=tmp_path / "run",
                       progress=False)  # fmt: skip
    run = Run.open(swapped)
    assert run.metadata["reduced"]["Pyr"]["cells"] == 8


@pytest.mark.slow
def test_a_synapse_with_a_memory_of_its_own_is_not_recorded_as_if_it_had_none(pyr, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(pyr[0], project)
    mod = project / "mod" / "user_syn.mod"
    mod.write_text(mod.read_text().replace("NET_RECEIVE(weight (uS)) {", "NET_RECEIVE(weight (uS), memory) {"))
    job = dict(population="Pyr", engine="neuron", build="exact", network_trials=1, protocol_trials=0, duration=10,
               output=tmp_path / "records", progress=False)  # fmt: skip
    with pytest.raises(ModelError, match="onto synMech 'user_syn' carries 2 numbers: .* netml does not know"):
        record(project, **job)
    synapses = {"user_syn": {"mod": "netml_ampa_nmda_stp", "tau_rec": 200.0}, "GABAA": {"mod": "netml_gaba_stp"}}
    (project / "cells" / "synapses.json").write_text(json.dumps(synapses))
    with pytest.raises(ModelError, match="'user_syn' .netml_ampa_nmda_stp.: 'U'; give it U, tau_rec and tau_facil"):
        record(project, **job)


@pytest.mark.slow
def test_python_class(tmp_path):
    sys.path.insert(0, str(CELLS))
    try:
        from cells import Interneuron
    finally:
        sys.path.remove(str(CELLS))
    spec, said = make(Interneuron, tmp_path / "project", arguments={"length": 90})
    spikes, agreement = spikes_and_agreement(said)
    assert spikes > 5 and agreement == "exactly the original's"
    assert spec["secs"]["dend_1"]["topol"] == {"parentSec": "dend_0", "parentX": 0.5, "childX": 1.0}
    assert spec["secs"]["dend_0"]["geom"]["L"] == 90.0
    assert len(spec["secs"]["dend_0"]["mechs"]["hh"]["gnabar"]) == 7
    assert spec["secLists"]["dend"] == ["dend_0", "dend_1"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ("swc", "asc"))
def test_morphology_and_biophysics(tmp_path, form):
    file = CELLS / "morphology.asc"
    if form == "swc":
        file = tmp_path / "cell.swc"
        basket(3).write_swc(file)
    spec, said = make(file, tmp_path / "project", biophysics=f"{CELLS / 'cells.py'}:biophysics")
    spikes, agreement = spikes_and_agreement(said)
    assert spikes > 5 and agreement == "exactly the original's"
    assert "16 degC, starting at -68 mV" in said
    assert spec["secs"]["soma_0"]["mechs"]["user_ka"]["gbar"] == 0.003
    lengths = [(sec["geom"]["L"], sec["geom"]["nseg"]) for sec in spec["secs"].values()]
    assert all(length / nseg <= 80 for length, nseg in lengths) and max(nseg for _, nseg in lengths) > 1


@pytest.mark.slow
@pytest.mark.parametrize("function", ("stub_axon", "appended_axon", "Stubbed", "left_in_neuron"))
def test_functions_that_replace_sections(tmp_path, function):
    """Lists hold the living alone, and there is one of every kind."""
    axon = tmp_path / "cell.swc"
    axon.write_text(
        "1 1 0 0 0 8 -1\n2 3 8 0 0 1 1\n3 3 60 0 0 1 2\n"
        "4 2 -8 0 0 1 1\n5 2 -90 0 0 1 4\n6 2 -99 9 0 1 5\n7 2 -99 -9 0 1 5\n"
    )
    by_class = function in ("Stubbed", "left_in_neuron")
    source, options = (
        (f"{CELLS}/cells.py:{function}", {}) if by_class else (axon, {"biophysics": f"{CELLS}/cells.py:{function}"})
    )
    spec, said = make(source, tmp_path / "project", **options)
    assert spikes_and_agreement(said)[1] == "exactly the original's"
    if function == "left_in_neuron":
        assert list(spec["secs"]) == ["soma", "dend"]
        return
    assert (
        spec["secs"]["axon_0"]["topol"]["parentX"] == 0.5 and spec["secs"]["axon_1"]["topol"]["parentSec"] == "axon_0"
    )
    assert "axon_2" not in spec["secs"] and spec["secLists"]["axon"] == ["axon_0", "axon_1"]
    assert all("pas" in sec["mechs"] for sec in spec["secs"].values())
    assert set(spec["secLists"]["all"]) == set(spec["secs"])


@pytest.mark.slow
def test_cell_params(pyr, tmp_path):
    """The cell that came from hoc, handed on as a pickle, as NetPyNE users do: the same numbers."""
    file = tmp_path / "cell.pkl"
    file.write_bytes(pickle.dumps({"Pyr": pyr[1] | {"conds": {"cellType": "Pyr"}}}))
    spec, said = make(file, tmp_path / "project", celsius=22, v_init=-72)
    assert spec == pyr[1]
    assert re.search("rests at .*", said)[0] == re.search("rests at .*", pyr[2])[0]


def without(spec: dict, section: str, part: str, value) -> dict:
    changed = json.loads(json.dumps(spec))
    changed["secs"][section][part] = changed["secs"][section].get(part, {}) | value
    return changed


@pytest.mark.slow
@pytest.mark.parametrize("change, message", [
    (("dend_0", "topol", {"parentSec": "trunk"}), "hang on unknown ones: trunk"),
    (("dend_0", "mechs", {"no_such": {}}), "no mechanism 'no_such'.*put its mod file into a folder given by --mod"),
    (("dend_0", "mechs", {"pas": {"gleak": 1}}), "section dend_0 sets gleak of pas, which has e, g, i"),
    (("apic_0", "mechs", {"pas": {"g": [1e-4, 2e-4]}}), "section apic_0 gives 2 values of g of pas to 13 segments"),
    (("dend_0", "pointps", {"clamp": {"mod": "IClamp"}}), "point processes"),
])  # fmt: skip
def test_cell_params_that_do_not_fit(pyr, tmp_path, change, message):
    file = tmp_path / "cell.json"
    file.write_text(json.dumps(without(pyr[1], *change)))
    with pytest.raises(ModelError, match=f"(?s){message}"):
        make(file, tmp_path / "project")
    assert not (tmp_path / "project").exists()


HOC = {
    "template.hoc": """
        begintemplate Alone
        public soma
        external channels
        objref part
        create soma
        proc init() { soma { L = 20  diam = $1  channels() }  part = new Part() }
        endtemplate Alone""",
    "part.hoc": "begintemplate Part\nendtemplate Part",
    "channels/usual.hoc": "proc channels() { insert hh }",
    "both.hoc": 'load_file("part.hoc")\nload_file("channels/usual.hoc")\nload_file("template.hoc")',
    "session.hoc": """
        load_file("nrngui.hoc")
        create soma, dend
        access soma
        objectvar clamp, alpha, synapse, counter, stimulator, input, picture
        soma { L = 20  diam = 20  insert hh }
        dend { L = 100  diam = 2  insert pas  connect dend(0), soma(1) }
        clamp = new IClamp(0.5)
        { clamp.dur = 100  clamp.amp = 0.3 }
        alpha = new AlphaSynapse(0.5)
        alpha.gmax = 0.01
        dend synapse = new ExpSyn(0.3)
        synapse.tau = 3
        counter = new APCount(0.5)
        stimulator = new NetStim()
        stimulator.start = 1
        input = new NetCon(stimulator, synapse)
        input.weight = 0.01
        picture = new Graph()
        graphList[0].append(picture)
        celsius = 20
        tstop = 20
        run()""",
}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A folder of hoc files as they are published: each expects others, and NEURON's libraries, to be loaded."""
    for name, text in HOC.items():
        path = tmp_path / "their" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("\n        ", "\n") + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "their"


@pytest.mark.slow
def test_a_hoc_file_that_expects_others_before_it(published, tmp_path):
    """Each name that is missing is told with the file that has it; with all of them loaded it is the cell."""
    loaded: list[str] = []
    for name, file in (("channels", "channels/usual.hoc"), ("Part", "part.hoc")):
        with pytest.raises(ModelError, match=rf"{name} .*{file} defines it: give --load .*{file}"):
            make("their/template.hoc", tmp_path / "project", arguments=[20], load=loaded, mods=[])
        loaded.append(f"their/{file}")
    spec, said = make("their/template.hoc", tmp_path / "project", arguments=[20], load=loaded, mods=[])
    assert spec["secs"]["soma"]["geom"]["diam"] == 20.0
    assert spikes_and_agreement(said)[1] == "exactly the original's"


@pytest.mark.slow
def test_templates_of_the_files_that_a_hoc_file_loads(published, tmp_path):
    with pytest.raises(ModelError, match="have Part, Alone: say which is the cell, both.hoc:Alone"):
        make("their/both.hoc", tmp_path / "project", arguments=[20], mods=[])
    (published / "one.hoc").write_text('load_file("channels/usual.hoc")\nload_file("only.hoc")\n')
    (published / "only.hoc").write_text((published / "template.hoc").read_text().replace("part = new Part()", ""))
    assert list(make("their/one.hoc", tmp_path / "project", arguments=[20], mods=[])[0]["secs"]) == ["soma"]


@pytest.mark.slow
def test_electrodes_and_counters_of_a_session_are_left_out(published, tmp_path):
    spec, said = make("their/session.hoc", tmp_path / "project", mods=[])
    assert list(spec["secs"]) == ["soma", "dend"] and "20 degC" in said
    left = (
        "not of the cell: (IClamp|AlphaSynapse|APCount).*, (IClamp|AlphaSynapse|APCount) .*, a connection from NetStim"
    )
    assert re.search(left, said)
    assert spikes_and_agreement(said)[1] == "exactly the original's"
    assert "ExpSyn" in json.loads((tmp_path / "project" / "cells" / "synapses.json").read_text())
    said = make(f"{CELLS / 'cells.py'}:Electrode", tmp_path / "python", mods=[])[1]
    assert "not of the cell: IClamp at soma(0.5)\n" in said and "exactly the original's" in said


@pytest.mark.parametrize("source, options, message", [
    ("pyr.hoc", {"mods": []}, "pyr.hoc does not load: user_ka is not a MECHANISM; is its mod file in a folder"),
    ("pyr.hoc:Wrong", {}, "defines no template 'Wrong'; it has Pyr"),
    ("pyr.hoc", {}, "template Pyr of .*pyr.hoc fails: .*not enough arguments"),
    ("cells.py:nope", {}, "has no function 'nope'; it has Interneuron, interneuron"),
    ("cells.py:raises", {}, r"cells.py, line \d+ fails: ValueError: argument not a density.*; is its mod file"),
    ("cells.py:nothing", {}, "cells.py:nothing gave nothing; expected the cell"),
    ("cells.py:number", {}, "gave no section .*int.*; expected the cell"),
    ("cells.py:two_trees", {}, r"made 2 separate trees \(roots dend, soma\)"),
    ("cells.py:tapered", {}, "section soma has diam from 12 to 500 along its segments; .*give it 3-D points"),
    ("cells.py:upside_down", {}, "the root of the cell's sections is dend, not soma"),
    pytest.param("cells.py:Driven", {}, r"differs from the original by up to .* mV \(allowed: 0.01\)",
                 marks=pytest.mark.slow),
    ("morphology.asc", {"biophysics": "cells.py:nope"}, "has no function 'nope'"),
])  # fmt: skip
def test_bad_sources(tmp_path, monkeypatch, source, options, message):
    monkeypatch.chdir(CELLS)
    with pytest.raises(ModelError, match=message):
        make(source, tmp_path / "project", **options)
    assert not (tmp_path / "project").exists()


def test_mod_files_that_clash_or_are_not_there(tmp_path):
    theirs = tmp_path / "mod"
    theirs.mkdir()
    (theirs / "ih.mod").write_text("NEURON { SUFFIX netml_ih }\n")
    source = CELLS / "cells.py"
    with pytest.raises(CompileError, match="two different mod files define netml_ih: .*rename the SUFFIX"):
        make(f"{source}:interneuron", tmp_path / "project", mods=[theirs])
    with pytest.raises(CompileError, match="no mod folder .*/none"):
        make(f"{source}:interneuron", tmp_path / "project", mods=[tmp_path / "none"])
    with pytest.raises(ModelError, match="cannot be run in another process"):
        make(lambda: None, tmp_path / "project")
    assert not (tmp_path / "project").exists()


@pytest.mark.slow
def test_other_files_and_earlier_cells_are_left_alone(pyr, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ModelError, match="holds other files"):
        make(CELLS / "pyr.hoc", tmp_path)
    with pytest.raises(ModelError, match="holds a cell already.*--overwrite"):
        make(CELLS / "pyr.hoc", pyr[0])


@pytest.mark.parametrize("source, arguments, message", [
    ("evil.pkl", "[]", "asks for posix.system; only plain data is read from a pickle, and nothing of it was run"),
    ("cells.py:number", "no json", "--arguments is 'no json'; expected a JSON list or object"),
])  # fmt: skip
def test_the_command_says_one_line_and_fails(tmp_path, source, arguments, message):
    (tmp_path / "evil.pkl").write_bytes(b"cposix\nsystem\n(S'touch " + bytes(tmp_path / "flag") + b"'\ntR.")
    (tmp_path / "cells.py").write_text((CELLS / "cells.py").read_text())
    command = [sys.executable, "-m", "netml.cli", "import", "cell", source, "-o", "project", "--arguments", arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "flag").exists() and not (tmp_path / "project").exists()


def test_a_pickle_that_is_none(tmp_path):
    (tmp_path / "cell.pkl").write_bytes(b"\x80\x04")
    with pytest.raises(PickleError, match="damaged"):
        make(tmp_path / "cell.pkl", tmp_path / "project")
