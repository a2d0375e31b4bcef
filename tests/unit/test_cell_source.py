"""A user's cell on paper: which file is what, and broken ones are told by line, without NEURON."""

import json
import os
import pickle

import pytest

from netml.circuit.cell_files import CellValues, importing, prepare_folder, write_cell
from netml.circuit.cell_source import check_asc, check_swc, find_source, read_cell_params
from netml.errors import ModelError, PickleError

ENTRY = {"secs": {"soma": {"geom": {"L": 20.0, "diam": 20.0}, "mechs": {"pas": {"g": 1e-4}}}}}
SWC = "# a comment\n1 1 0 0 0 8 -1\n2 3 8 0 0 1 1\n3 3 60 0 0 0.5 2\n"
ASC = '("CellBody" (CellBody) (0 1 0 1) (1 0 0 1)) ; ) a comment\n( (Dendrite) (1 0 0 1) (50 0 0 1) )\n'


def test_forms_and_names(tmp_path):
    hoc = tmp_path / "cell.hoc"
    hoc.write_text("// begintemplate Old\nbegintemplate New\nendtemplate New\n/* begintemplate Older */\n")
    found = find_source(hoc)
    assert (found.kind, found.name, found.label) == ("hoc", "New", "New")
    assert find_source(f"{hoc}:Loaded").name == "Loaded"  # it may come from a file that this one loads
    hoc.write_text("create soma\n")
    assert find_source(hoc).name == "" and find_source(hoc).label == "cell"
    made = tmp_path / "cells.py"
    made.touch()
    assert find_source(f"{made}:Class.make", arguments={"a": 1}).arguments == ((), {"a": 1})
    swc = tmp_path / "m.swc"
    swc.write_text(SWC)
    assert find_source(swc, biophysics=f"{made}:channels").biophysics == f"{made}:channels"


def test_a_file_among_the_arguments_is_found_from_the_present_folder(tmp_path, monkeypatch):
    for name in ("there/cell.py", "here.txt", "there/both.txt", "both.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    found = find_source("there/cell.py:make", arguments=["here.txt", "both.txt", "soma", 3, ""])
    assert found.arguments == ((str(tmp_path / "here.txt"), "both.txt", "soma", 3, ""), {})


@pytest.mark.parametrize("name, text, options, message", [
    ("none.hoc", None, {}, r"no file .*none\.hoc; expected a hoc template"),
    ("cell.xml", "", {}, r"cell\.xml is no kind of cell; expected a file that ends in \.hoc"),
    ("cut.hoc", "begintemplate A\nendtemplate A\nbegintemplate B\n// endtemplate B\n", {}, "B has no endtemplate"),
    ("two.hoc", "begintemplate A\nendtemplate A\nbegintemplate B\nendtemplate B\n", {}, "A, B; say which: two.hoc:B"),
    ("cell.py", "", {}, r"cell\.py needs the name of the function.*cell\.py:function"),
    ("m.swc", SWC, {}, "morphology without channels.*--biophysics"),
    ("cell.hoc", "", {"biophysics": "b.py:f"}, "is no morphology"),
])  # fmt: skip
def test_what_is_no_cell(tmp_path, name, text, options, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match=message):
        find_source(tmp_path / name, **options)


@pytest.mark.parametrize("text, message", [
    ("", "holds no point"),
    ("hello world\n", "line 1 is 'hello world'; expected n type x y z radius parent"),
    (SWC.replace("60", "sixty"), "line 4 is .*sixty"),
    (SWC.replace("0.5 2", "0.5"), "line 4 is "),
    (SWC.replace("0.5 2", "0.5 9"), "line 4: point 3 hangs on 9, which is not above it"),
    (SWC.replace("0.5", "0"), "line 4: point 3 has the radius 0"),
    (SWC.replace("8 -1", "nan -1"), "line 2 is"),
    (SWC.replace("3 3 60", "2 3 60"), "line 4: point 2 is there twice"),
    (SWC.replace("0.5 2", "0.5 -1"), "2 points without a parent"),
    (SWC.replace("1 1 0", "1 3 0"), "no soma"),
])  # fmt: skip
def test_broken_swc(tmp_path, text, message):
    file = tmp_path / "m.swc"
    file.write_text(SWC)
    check_swc(file)
    file.write_text(text)
    with pytest.raises(ModelError, match=message):
        check_swc(file)


@pytest.mark.parametrize("text, message", [
    ("", "no bracket"), (ASC[:-3], "1 open brackets at its end"), (ASC + ")", "line 3: a closing bracket without"),
    (ASC.replace("(CellBody)", "(Color Red)"), "has no soma"),  # "CellBody" alone is a name
])  # fmt: skip
def test_broken_asc(tmp_path, text, message):
    file = tmp_path / "m.asc"
    file.write_text(ASC)
    check_asc(file)
    file.write_text(text)
    with pytest.raises(ModelError, match=message):
        check_asc(file)


@pytest.mark.parametrize("data, name", [
    (ENTRY, ""), ({"PYR": ENTRY}, ""), ({"PV": ENTRY, "PYR": ENTRY}, "PYR"),
    ({"net": {"params": {"cellParams": {"PYR": ENTRY}, "synMechParams": {"exc": {"mod": "ExpSyn"}}}}}, ""),
])  # fmt: skip
@pytest.mark.parametrize("form", ("json", "pkl"))
def test_cell_params_in_their_forms(tmp_path, data, name, form):
    file = tmp_path / f"cell.{form}"
    file.write_bytes(json.dumps(data).encode() if form == "json" else pickle.dumps(data))
    label, entry, synapses = read_cell_params(find_source(f"{file}:{name}" if name else file))
    assert entry == ENTRY and label == ("cell" if data is ENTRY else "PYR")
    assert synapses == ({"exc": {"mod": "ExpSyn"}} if "net" in data else {})


@pytest.mark.parametrize("run_at, own, expected", [
    ({}, {"celsius": 34, "vinit": -70}, {"celsius": 34, "v_init": -70}),
    ({"celsius": 34, "v_init": -65.0}, {"v_init": -70}, {"celsius": 34, "v_init": -70}),  # the network's is NEURON's
    ({"celsius": 34, "v_init": -71}, {"celsius": 9}, {"celsius": 34, "v_init": -71}),
    ({"celsius": 6.3}, {"e_pas": -70}, {"celsius": 6.3, "e_pas": -70}),
    ({}, {}, None),
])  # fmt: skip
def test_temperature_and_initial_voltage_of_a_saved_network(tmp_path, run_at, own, expected):
    file = tmp_path / "saved.json"
    cells = {"cellParams": {"PYR": ENTRY | {"globals": own}}}
    file.write_text(json.dumps({"net": {"params": cells}, "simConfig": {"hParams": run_at}}))
    assert (read_cell_params(find_source(file))[1].get("globals") or None) == expected
    file.write_text(json.dumps(ENTRY | {"globals": {"celsius": "warm"}}))
    with pytest.raises(ModelError, match="globals of the cell: celsius is 'warm'; expected a number"):
        read_cell_params(find_source(file))


@pytest.mark.parametrize("form, content, message", [
    ("json", b"{", "cannot read .*cell.json"),
    ("json", b"[1]", "holds a list; expected a NetPyNE cellParams entry"),
    ("json", b'{"a": 1}', "holds no cell; expected"),
    ("json", b"[" * 100_000, "cannot read .*recursion"),
    ("json", b'{"secs": [1]}', "the cell's secs is a list; expected values by name"),
    ("json", b'{"secs": {"soma": 5}}', "section soma of the cell is a int"),
    ("json", b'{"secs": {"soma": {"mechs": ["pas"]}}}', "section soma of the cell: mechs is a list"),
    ("json", b'{"secs": {"soma": {"geom": {"L": "x"}}}}', "soma of the cell: L is 'x'; expected a number"),
    ("json", b'{"secs": {"soma": {"geom": {"L": NaN}}}}', "L is nan; expected a number above 0"),
    ("json", b'{"P": {"secs": {"soma": {"geom": {"nseg": 0}}}}}', "nseg is 0; expected a number above 0"),
    ("json", b'{"secs": {"soma": {"mechs": {"pas": {"g": [1, "x"]}}}}}', "g of pas is .*'x'.; expected a number"),
    ("pkl", pickle.dumps({"secs": {"soma": {"geom": {"L": -1.0}}}}), "L is -1.0; expected"),
    ("json", json.dumps({"PV": ENTRY, "PYR": ENTRY}).encode(), "holds cells PV, PYR; say which: cell.json:PV"),
    ("pkl", pickle.dumps(3), "holds a int"),
    ("pkl", b"not a pickle", "is no pickle"),
    ("pkl", b"cos\nsystem\n(S'false'\ntR.", r"asks for os\.system; only plain data .* nothing of it was run"),
])  # fmt: skip
def test_files_without_a_cell(tmp_path, form, content, message):
    file = tmp_path / f"cell.{form}"
    file.write_bytes(content)
    with pytest.raises((ModelError, PickleError), match=message):
        read_cell_params(find_source(file))


def test_a_cell_that_is_not_in_the_file(tmp_path):
    file = tmp_path / "cell.json"
    file.write_text(json.dumps({"PYR": ENTRY}))
    with pytest.raises(ModelError, match="no cell 'SST'; it has PYR"):
        read_cell_params(find_source(f"{file}:SST"))


def write(folder, cell: str, mods=()) -> None:
    values = CellValues(cell, "soma", 6.3, -65.0, 0.025, -20.0, {}, f"{cell}.swc")
    with importing(prepare_folder(folder, overwrite=True)) as made:
        write_cell(made, ENTRY, {}, values, mods)


def content(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_imported_cell_takes_the_place_of_the_earlier_one(tmp_path):
    mod = tmp_path / "old.mod"
    mod.touch()
    folder = tmp_path / "project"
    write(folder, "old", [mod])
    (folder / "results.txt").touch()
    (folder / ".importing-killed").mkdir()
    write(folder, "new")
    assert content(folder) == {"cfg.py", "netParams.py", "cells/new.json", "cells/synapses.json", "cells/values.json",
                               "results.txt"}  # fmt: skip
    assert not (folder / ".importing-killed").exists()


@pytest.mark.parametrize("overwritten", (False, True))
def test_an_import_that_is_interrupted_while_it_is_put_in_place_is_no_whole_one(tmp_path, monkeypatch, overwritten):
    """At every step: what says "whole" is there before the first and after the last one only."""
    replace, left = os.replace, 0

    def interrupted(*paths):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        replace(*paths)

    whole = []
    for step in range(9 if overwritten else 5):
        folder = tmp_path / str(step)
        if overwritten:
            left = 100
            write(folder, "old")
        monkeypatch.setattr(os, "replace", interrupted)
        left = step
        try:
            write(folder, "new")
        except KeyboardInterrupt:
            assert not list(folder.glob(".importing-*"))
        whole.append((folder / "cells" / "values.json").exists())
    assert whole == [overwritten, *[False] * (len(whole) - 2), True]
