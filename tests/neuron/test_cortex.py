"""The cells of models/cortex behave like their kinds, and the circuit is what its files say."""

import json

import numpy as np
import pytest

from netml.circuit.cell import segment_table
from netml.circuit.morphology import basket, pyramidal
from netml.engine.mechanisms.build import build_mechanisms, load_mechanisms
from netml.toolchain import source_folder

CELLS = source_folder("models") / "cortex" / "cells"
DT = 0.05


@pytest.fixture(scope="module")
def h():
    from neuron import h

    load_mechanisms(h, build_mechanisms([source_folder("mod")]))
    h.celsius = 34.0
    return h


def spec(label: str) -> dict:
    return json.loads((CELLS / f"{label}.json").read_text())


class Cell:
    """A cell built from its JSON as NetPyNE builds it, with a clamp and a spike detector at the soma."""

    def __init__(self, h, label):
        self.h = h
        secs = spec(label)["secs"]
        self.sections = {name: h.Section(name=name) for name in secs}
        for name, sec in secs.items():
            if sec["topol"]:
                parent = self.sections[sec["topol"]["parentSec"]](sec["topol"]["parentX"])
                self.sections[name].connect(parent, sec["topol"]["childX"])
        for name, sec in secs.items():
            self.fill(self.sections[name], sec)
        self.soma = self.sections["soma"](0.5)
        self.clamp = h.IClamp(self.soma)
        self.detector = h.NetCon(self.soma._ref_v, None, sec=self.soma.sec)
        self.detector.threshold = -20

    @staticmethod
    def fill(section, sec):
        for point in sec["geom"]["pt3d"]:
            section.pt3dadd(*point)
        section.nseg, section.cm, section.Ra = (sec["geom"][key] for key in ("nseg", "cm", "Ra"))
        for mechanism, parameters in sec["mechs"].items():
            section.insert(mechanism)
            for name, value in parameters.items():
                for k, segment in enumerate(section):
                    density = value[k] if isinstance(value, list) else value
                    setattr(getattr(segment, mechanism), name, density)
        for ion, parameters in sec.get("ions", {}).items():
            for segment in section:
                setattr(segment, f"e{ion}", parameters["e"])

    def run(self, amp_na, stop_ms=400.0, on_ms=150.0, sites=()):
        """Spike times (ms) and voltages (mV) of the soma and of (section, x) sites."""
        h = self.h
        self.clamp.delay, self.clamp.dur, self.clamp.amp = on_ms, stop_ms - on_ms, amp_na
        spikes = h.Vector()
        self.detector.record(spikes)
        segments = [self.soma, *(self.sections[name](x) for name, x in sites)]
        traces = [h.Vector().record(segment._ref_v) for segment in segments]
        h.dt = DT
        h.finitialize(-75)
        while h.t < stop_ms:
            h.fadvance()
        return np.array(spikes), [trace.as_numpy().copy() for trace in traces]


def test_files_are_what_the_generator_grows():
    for label, morphology in (("PYR", pyramidal(2)), ("PV", basket(2))):
        secs = spec(label)["secs"]
        assert list(secs) == list(morphology.sections)
        for name, section in morphology.sections.items():
            assert secs[name]["geom"]["pt3d"] == section.spec()["geom"]["pt3d"]
            assert secs[name]["topol"] == section.spec()["topol"]


@pytest.mark.parametrize("label", ["PT", "IT", "L23", "SST"])
def test_tuned_cells_are_what_the_script_makes(label, monkeypatch):
    monkeypatch.syspath_prepend(CELLS)
    from make_cells import TUNED, one_line_a_section, tuned_cell

    parameters = json.loads((CELLS / f"{label}.parameters.json").read_text())
    made = tuned_cell(label, parameters)
    assert one_line_a_section(made) == (CELLS / f"{label}.json").read_text()
    points = sum(len(section.points) for section in TUNED[label](parameters).sections.values())
    assert 0.6 * points < len(np.loadtxt(CELLS / f"{label}.swc")) <= points  # joints are the parent's last point


def test_pt_is_a_large_thick_tufted_cell():
    """In the ranges of Larkman (1991) for thick layer 5 cells, and long enough for the sites of Hay et al. (2011)."""
    cell = spec("PT")
    table = segment_table(cell)
    assert len(table) >= 500
    inside = {name: np.isin(table.section, sections) for name, sections in cell["secLists"].items()}
    assert table.path_um[inside["trunk"]].max() > 800 and table.path_um.max() > 1100
    assert 8000 < table.length_um.sum() < 14000
    density = {name: sec["mechs"].get("netml_calva", {}).get("gbar") for name, sec in cell["secs"].items()}
    trunk = [max(density[name]) for name in cell["secLists"]["trunk"]]
    assert max(trunk) > 50 * trunk[0]  # calcium channels around the bifurcation
    ih = [cell["secs"][name]["mechs"]["netml_ih"]["gbar"][1] for name in cell["secLists"]["trunk"]]
    assert ih == sorted(ih) and ih[-1] > 10 * ih[0]  # rises along the apical dendrite


def test_it_is_smaller_than_pt_and_sst_has_no_apical_dendrite():
    """Slender-tufted: half the dendrite of a thick-tufted cell at most, a thinner trunk, a smaller tuft."""
    pt, it, sst = (spec(name) for name in ("PT", "IT", "SST"))
    assert 150 <= len(segment_table(it)) <= 380 and 40 <= len(segment_table(sst)) <= 80
    assert segment_table(it).length_um.sum() < 0.5 * segment_table(pt).length_um.sum()
    assert 3 * len(it["secLists"]["tuft"]) < 2 * len(pt["secLists"]["tuft"])
    assert it["secs"]["trunk_0"]["geom"]["diam"] < pt["secs"]["trunk_0"]["geom"]["diam"]
    assert set(sst["secs"]) == {"soma", *sst["secLists"]["dendritic"]}
    assert all("netml_cat" in sec["mechs"] for sec in sst["secs"].values())  # what makes its low-threshold spikes


def test_generator_is_seeded():
    assert pyramidal(3).secs() == pyramidal(3).secs()
    assert pyramidal(3).secs() != pyramidal(4).secs()


def test_pyramidal_cell_has_several_hundred_segments_and_a_believable_size():
    table = segment_table(spec("PYR"))
    assert 300 <= len(table) <= 450
    assert 5000 < table.length_um.sum() < 12000  # dendrites and axon stub
    assert 700 < table.path_um.max() < 1200
    assert 20 <= len(segment_table(spec("PV"))) <= 60


def test_swc_has_every_point_and_one_root():
    rows = np.loadtxt(CELLS / "PYR.swc")
    assert (rows[:, 6] == -1).sum() == 1
    assert (rows[1:, 6] < rows[1:, 0]).all()
    assert set(rows[:, 1]) == {1, 2, 3, 4}


def test_neuron_reads_the_same_geometry(h):
    cell = Cell(h, "PYR")
    table = segment_table(spec("PYR"))
    assert sum(section.nseg for section in cell.sections.values()) == len(table)
    for name, section in cell.sections.items():
        geom = spec("PYR")["secs"][name]["geom"]
        assert pytest.approx(geom["L"], rel=1e-5) == section.L  # six digits in the file
        assert section(0.5).diam == pytest.approx(geom["diam"], rel=1e-5)


@pytest.mark.parametrize("label, lowest, highest", [("PYR", -80, -70), ("PV", -80, -65)])
def test_cell_rests(h, label, lowest, highest):
    _, (v,) = Cell(h, label).run(0.0)
    assert lowest < v[-1] < highest
    assert abs(v[-1] - v[-1 - int(50 / DT)]) < 0.1  # Ih settles slowly


@pytest.mark.slow
@pytest.mark.parametrize("label, currents", [("PYR", (0.1, 0.5, 0.9)), ("PV", (0.05, 0.2, 0.5))])
def test_rate_grows_with_current(h, label, currents):
    cell = Cell(h, label)
    counts = [len(cell.run(amp, stop_ms=500.0)[0]) for amp in currents]
    assert counts[0] < counts[1] < counts[2]
    assert counts[0] <= 2


def test_spikes_travel_into_the_dendrites(h):
    """Back-propagating: full in the trunk, later and smaller the farther from the soma."""
    cell = Cell(h, "PYR")
    spikes, (soma, near, far) = cell.run(0.7, sites=[("trunk_1", 0.5), ("trunk_5", 0.5)])
    assert len(spikes) > 2
    first = slice(int(spikes[0] / DT) - 40, int(spikes[0] / DT) + 100)
    assert soma[first].max() > 10 and near[first].max() > -10
    assert soma[first].argmax() < near[first].argmax() <= far[first].argmax()
    assert far[first].max() < near[first].max()


def test_interneuron_is_fast_and_narrow(h):
    spikes, (v,) = Cell(h, "PV").run(0.5, stop_ms=400.0)
    assert len(spikes) / 0.25 > 80  # Hz
    above = (v > -20).sum() * DT / len(spikes)
    assert above < 0.8  # ms above -20 mV a spike


@pytest.mark.slow
def test_pyramidal_cell_adapts(h):
    spikes, _ = Cell(h, "PYR").run(0.8, stop_ms=700.0)
    intervals = np.diff(spikes)
    assert intervals[0] < 15 < 30 < intervals[-1]  # a burst, then slower regular firing
