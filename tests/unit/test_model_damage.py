"""Files of a model of which a field was changed: one error, or what netml reads from them in finite numbers."""

import json
import shutil
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from damage import Tally, byte_mutations, mutations

from netml.circuit.cell import fingerprint, segment_table
from netml.circuit.cell_entry import read_entry
from netml.circuit.cell_files import SYNAPSES, CellValues, write_cell
from netml.circuit.connections import find_pairs
from netml.circuit.physiology import read_targets
from netml.circuit.project import find_project, load_project

CORTEX = Path(__file__).parents[2] / "models" / "cortex"
CELL = {
    "secs": {
        "soma": {"geom": {"L": 20.0, "diam": 20.0, "nseg": 1, "Ra": 100.0, "cm": 1.0}, "topol": {},
                 "mechs": {"pas": {"g": 1e-4, "e": -70}}, "ions": {"na": {"e": 50.0}}},
        "dend": {"geom": {"L": 90.0, "diam": 2.0, "nseg": 3,
                          "pt3d": [[0, 10, 0, 2.0], [0, 55, 0, 2.0], [0, 100, 0, 2]]},
                 "topol": {"parentSec": "soma", "parentX": 1.0, "childX": 0.0},
                 "mechs": {"pas": {"g": [1e-4, 2e-4, 0]}}},
    },
    "secLists": {"basal": ["dend"]},
}  # fmt: skip
FEW = (None, "text", "", 0, -1, 0.5, 10**12, 10**30, 1e300, np.inf, -np.inf, np.nan, True, [], [1], {}, {"key": {}})


def numbers(value):
    """All numbers in a tree."""
    if isinstance(value, (bool, str, type(None))):
        return
    if isinstance(value, (int, float, np.number)):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from numbers(inner)


def try_all(path: Path, content, use, least: int, flips: int = 100, values=FEW):
    text = json.dumps(content)
    path.write_text(text)
    tally = Tally(lambda: list(numbers(list(use()))))
    for name, changed in mutations(content, values, ends=1):
        path.write_text(json.dumps(changed))
        tally.try_one(f"{path.name} {name}")
    for name, data in byte_mutations(text.encode(), np.random.default_rng(0), flips, cuts=20):
        path.write_bytes(data)
        tally.try_one(f"{path.name} {name}")
    path.write_text(text)
    tally.check(least)


def of_cell(entry):
    table = segment_table(entry)
    assert len(fingerprint(entry, {})) == 64
    yield from (table.x.tolist(), table.path_um.tolist(), table.length_um.tolist(), table.diam_um.tolist())


def test_index_of_a_project(tmp_path):
    (tmp_path / "mods").mkdir()
    (tmp_path / "cfg.json").write_text('{"simConfig": {"duration": 10}}')
    (tmp_path / "net.json").write_text('{"net": {"params": {"popParams": {"A": {"cellType": "A", "numCells": 2}}}}}')
    index = {"simConfig": "cfg.json", "netParams": "net.json", "simConfig_variable": "simConfig",
             "netParams_variable": "netParams", "mod_folder": "mods"}  # fmt: skip

    def use():
        net, cfg = load_project(find_project(tmp_path))
        yield from (cfg.duration, net.popParams["A"]["numCells"])

    try_all(tmp_path / "index.npjson", index, use, 150, values=(*FEW, "..", "a\0b", "x" * 5000, "/"))


def test_cell(tmp_path):
    path = tmp_path / "PYR.json"
    try_all(path, CELL, lambda: of_cell(read_entry(path)), 800)


def test_connections_and_their_cell(tmp_path):
    plain = json.loads((CORTEX / "connections.json").read_text())
    names = [name for name, one in plain["connections"].items() if "recorded" in one][:2]
    plain["connections"] = {
        name: plain["connections"][name] | {"post": "PYR", "contacts": {"basal": 3}} for name in names
    }
    plain["connections"]["other"] = {"pre": "A", "like": names[0]}
    plain["synapses"] = {one["synapse"]: plain["synapses"][one["synapse"]] for one in plain["connections"].values()
                         if "synapse" in one}  # fmt: skip
    (tmp_path / "cells").mkdir()
    cell = tmp_path / "cells" / "PYR.json"
    cell.write_text(json.dumps(CELL))

    def use():
        for pair in find_pairs(tmp_path):
            spec = pair.spec()
            assert isinstance(pair.mod, str)
            yield from (pair.parameters, pair.contacts, pair.weight_us, pair.hold_mv, pair.placements(spec, 2))
            yield [astuple(one) for one in pair.recorded]

    try_all(tmp_path / "connections.json", plain, use, 1000)


def test_targets(tmp_path):
    plain = json.loads((CORTEX / "cells" / "PT.targets.json").read_text())
    bac = plain["protocols"]["BAC"]
    plain["protocols"] = {"Step1": plain["protocols"]["Step1"], "BAC": bac}
    plain["slopes"] = [{"from": "Step1", "to": "BAC", "target": 55, "sd": 27}]
    path = tmp_path / "PT.targets.json"

    def use():
        found = read_targets(path)
        yield from (found.celsius, found.v_init_mv, [astuple(one) for one in found.slopes])
        for protocol in found.protocols:
            yield from (protocol.total_ms, protocol.window_ms, [astuple(one) for one in protocol.targets])
            for current in protocol.currents:
                yield from (current.start_ms, current.amp_na, current.duration_ms or 0.0)
                if current.rise_ms is not None:
                    yield current.shape_na(np.arange(0.0, 50.0)).tolist()

    try_all(path, plain, use, 1200)


@pytest.mark.parametrize("name", ["values.json", "PYR.json", "synapses.json"])
def test_imported_cell(tmp_path, name):
    background = {"AMPA_NMDA": {"sites": 2, "rate": 2.0, "weight": 1e-3}}
    write_cell(tmp_path, CELL, SYNAPSES, CellValues("PYR", "soma", 34.0, -70.0, 0.025, -20.0, background, "a test"), [])
    path = tmp_path / "cells" / name

    def use():
        net, cfg = load_project(find_project(tmp_path))
        yield from (cfg.dt, dict(cfg.hParams), cfg.threshold, cfg.background)
        yield from of_cell(net.cellParams[cfg.cell])
        yield from (dict(one) for one in net.stimTargetParams.values())

    try_all(path, json.loads(path.read_text()), use, 150, flips=40, values=FEW[:14:2] if name == "PYR.json" else FEW)
    shutil.rmtree(tmp_path / "cells")
