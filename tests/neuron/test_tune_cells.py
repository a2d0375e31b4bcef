"""The search that tunes cells: what its points mean, and what counts."""

import json

import numpy as np
import pytest

from netml.toolchain import source_folder

CELLS = source_folder("models") / "cortex" / "cells"


@pytest.fixture
def tuning(monkeypatch):
    pytest.importorskip("bluepyopt")
    monkeypatch.syspath_prepend(CELLS)
    import tune_cells

    return tune_cells


def start_of(cell: str) -> dict:
    return json.loads((CELLS / f"{cell}.start.json").read_text())


def test_points_are_parameters_and_back(tuning):
    start = start_of("SST")
    search = tuning.Search("SST", start, start, tuning.ALL["all"])
    assert search.point() == [0.0] * len(search.params) and search.parameters(search.point()) == start
    rng = np.random.default_rng(1)
    point = rng.uniform(-0.9, 0.9, len(search.params)).tolist()
    moved = search.parameters(point)
    again = tuning.Search("SST", start, moved, tuning.ALL["all"])
    np.testing.assert_allclose(again.point(), point, atol=1e-4)  # six digits
    assert moved["soma"]["pas"] == moved["dend"]["pas"] != start["soma"]["pas"]  # one leak for the whole cell
    assert 0.1 < moved["soma"]["netml_nat"]["gbar"] / start["soma"]["netml_nat"]["gbar"] < 10


def test_a_stage_moves_its_regions_only(tuning):
    start = start_of("PT")
    stage = tuning.STAGES["PT"]["dendrite"]
    search = tuning.Search("PT", start, start, stage)
    moved = search.parameters([0.5] * len(search.params))
    assert {region for region in start if moved[region] != start[region]} == {"apical", "trunk"}
    assert moved["trunk"]["diam_um"]["soma"] == pytest.approx(np.sqrt(tuning.DIAMETER_RANGE) * 4.2, rel=1e-4)
    assert {p.name for p in search.targets.protocols} == set(stage.protocols)
    assert len(search.objectives) == sum(len(p.targets) for p in search.targets.protocols)


def test_the_passive_stage_of_l23_sees_its_psp(tuning):
    """It moves one leak, one Ih and one capacitance, and counts rise and decay, which the weight does not change."""
    start = start_of("L23")
    search = tuning.Search("L23", start, start, tuning.STAGES["L23"]["passive"])
    moved = search.parameters([0.5] * len(search.params))
    assert {m for region in start for m in start[region] if moved[region][m] != start[region][m]} == {
        "pas", "netml_ih", "membrane"
    }  # fmt: skip
    assert moved["basal"]["membrane"] == moved["apical"]["membrane"] == {"cm": pytest.approx(2 * 1.5**0.5, rel=1e-5)}
    spec = tuning.tuned_cell("L23", moved)
    assert {sec["geom"]["cm"] for name, sec in spec["secs"].items() if name not in ("soma", "axon")} == {
        moved["basal"]["membrane"]["cm"]
    }  # fmt: skip
    assert not any("membrane" in sec["mechs"] for sec in spec["secs"].values())
    assert [one.feature for one in search.pair.recorded] == ["rise_20_80_ms", "decay_ms"]
    tuning.mechanisms.load(tuning.h, tuning.mechanisms.build([source_folder("mod")]))
    found = search.evaluate_with_lists(search.point())
    assert len(found) == len(search.objectives) == 2 + 4
    decays = {}
    for cm in (1.5, 2.0):
        start["basal"]["membrane"]["cm"] = start["apical"]["membrane"]["cm"] = cm
        rows = tuning.psp_rows(search.pair, tuning.tuned_cell("L23", start))
        decays[cm] = next(row["value"] for row in rows if row["feature"] == "decay_ms")
    assert 0.7 * decays[2.0] < decays[1.5] < 0.95 * decays[2.0]  # less to charge, the same leak


def test_a_bad_candidate_is_not_run_to_its_end(tuning, monkeypatch):
    """Its loss is still beyond what it was given up for, and all objectives are there."""
    targets = tuning.read_targets(CELLS / "PT.targets.json")
    ran = []

    class Dead:
        def __init__(self, *_):
            pass

        def run(self, protocol, **_):
            ran.append(protocol.name)
            t = np.arange(0.0, protocol.total_ms, 0.5)
            return {site: (t, np.full(t.size, -75.0)) for site in protocol.record}

    monkeypatch.setattr(tuning, "ClampedCell", Dead)
    features = sum(len(p.targets) for p in targets.protocols)
    rows = tuning.rows_of(targets, {}, enough=30.0)
    assert len(rows) == features and tuning.costs(rows).sum() > 30.0
    assert not {"Step1", "Step2", "Step3"} & set(ran)
    ran.clear()
    assert len(tuning.rows_of(targets, {})) == features and len(ran) == len(targets.protocols)


def test_far_misses_still_count(tuning):
    rows = [{"z": z} for z in (0.0, 1.0, -3.0, 10.0, 50.0, None)]
    costs = tuning.costs(rows)
    assert (np.diff(costs) > 0).all() and costs[0] == pytest.approx(0, abs=1e-6)
    assert costs[1] == pytest.approx(0.1) and costs[2] == pytest.approx(1.8)
    assert costs[4] < 50 / 2
