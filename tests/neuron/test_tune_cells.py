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
    import torch
    import tune_cells

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the script
    yield tune_cells
    torch.set_num_threads(threads)


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
    stage = tuning.Stage(("apical", "trunk"), ("bAP", "BAC"))
    search = tuning.Search("PT", start, start, stage)
    moved = search.parameters([0.5] * len(search.params))
    assert {region for region in start if moved[region] != start[region]} == {"apical", "trunk"}
    assert moved["trunk"]["diam_um"]["soma"] == pytest.approx(np.sqrt(tuning.DIAMETER_RANGE) * 4.2, rel=1e-4)
    assert {p.name for p in search.targets.protocols} == set(stage.protocols)
    assert len(search.objectives) == sum(len(p.targets) for p in search.targets.protocols)
    assert (search.weights == 1.0).all()


def test_bursts_must_not_hang_on_a_little_sodium(tuning, monkeypatch):
    """A miss of a robust protocol is the mean over three cells, of another one that of the cell itself."""
    start = start_of("PT")
    stage = tuning.Stage(("apical",), ("bAP", "BAC", "Step1"), robust=("BAC",))
    search = tuning.Search("PT", start, start, stage)
    ran = []

    def rows_of(targets, spec, enough=np.inf):
        sodium = spec["secs"]["trunk_1"]["mechs"]["netml_nat"]["gbar"] / start["apical"]["netml_nat"]["gbar"]
        ran.append(([p.name for p in targets.protocols], round(sodium, 6)))
        return [{"z": 5.0 if sodium < 1 else 0.0} for p in targets.protocols for _ in p.targets]

    monkeypatch.setattr(tuning, "rows_of", rows_of)
    found, rows = search.run(start)
    assert ran == [(["BAC"], 1.0), (["BAC"], 0.97), (["BAC"], 1.03), (["Step1", "bAP"], 1.0)]
    assert len(rows) == 6 + 5 + 10 and len(found) == len(search.objectives) == 3 * 6 + 5 + 10
    np.testing.assert_array_equal(found, [0.0] * 6 + [5.0] * 6 + [0.0] * (6 + 5 + 10))
    assert search.loss(found) == pytest.approx(6 * (5.0 - 1.5 + 0.5) / 3)


def searched(tuning, kind: str, processes: int, rounds: int, checkpoint) -> tuple:
    """PV's passive stage, and the points that so many rounds of a search find in it."""
    start = start_of("PV")
    search = tuning.Search("PV", start, start, tuning.ALL["passive"])
    left = iter([False] * (rounds - 1) + [True])
    with tuning.ProcessPoolExecutor(processes, mp_context=tuning.get_context("fork")) as pool:

        def evaluate(points):
            return np.array(list(pool.map(search.misses, map(list, points))))

        best = getattr(tuning, kind)(search, evaluate, checkpoint, 0.15, 3, left.__next__)
    return search, [list(one) for one in best]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["generations", "learning"])
def test_processes_do_not_change_what_is_found(tuning, tmp_path, kind):
    """Three rounds in one process and in two; the search that learns is ended and goes on in between."""
    tuning.load_mechanisms(tuning.h, tuning.build_mechanisms([source_folder("mod")]))
    search, one = searched(tuning, kind, 1, 3, tmp_path / "1")
    if kind == "learning":
        searched(tuning, kind, 2, 2, tmp_path / "2")
    _, two = searched(tuning, kind, 2, 2 if kind == "learning" else 3, tmp_path / "2")
    assert one == two and one[0] != search.point()
    losses = [search.loss(search.misses(point)) for point in one]
    assert losses == sorted(losses)


class Curves:
    """A function of 20 parameters with 30 outputs, some of which are missing far away, as a search sees a cell."""

    def __init__(self):
        random = np.random.default_rng(5)
        self.slopes, self.target = random.normal(0, 6.0, (20, 30)), random.uniform(-0.4, 0.4, 20)
        self.weights = np.ones(30)

    def point(self) -> list[float]:
        return [0.0] * 20

    def misses(self, point) -> np.ndarray:
        away = (np.array(point) - self.target) @ self.slopes
        found = away + 0.05 * away**2
        found[:3] = np.where(np.abs(found[:3]) > 8.0, np.nan, found[:3])
        return found

    def loss(self, found) -> float:
        import tune_cells

        return float(tune_cells.costs(found).sum())


@pytest.mark.slow
def test_learning_every_feature_takes_few_candidates(tuning, tmp_path):
    """Within 111 candidates all features of a function of 20 parameters are near their targets."""
    curves = Curves()
    rounds = iter([False] * 10 + [True])

    def evaluate(points):
        return np.array([curves.misses(one) for one in points])

    best = tuning.learning(curves, evaluate, tmp_path / "curves", 0.1, 1, rounds.__next__)
    assert len(best) == 30 + 1 + 80 and np.abs(best).max() <= 1.0
    assert curves.loss(curves.misses(curves.point())) > 90.0
    assert curves.loss(curves.misses(best[0])) < 5.0 and np.abs(curves.misses(best[0])).max() < 2.0


def test_processes_agree_with_the_points_and_know_where_they_end(tuning):
    import gaussian_processes
    import torch

    random = np.random.default_rng(2)
    points = random.uniform(-0.2, 0.2, (60, 4))
    values = np.stack([points @ [1.0, -2.0, 0.0, 3.0], np.cos(8 * points[:, 0]), np.full(60, 2.0)], axis=1)
    known = gaussian_processes.Processes(points, values, np.zeros(4), 0.2)
    generator = torch.Generator().manual_seed(1)
    mean = known.draw(generator, 0.0)
    np.testing.assert_allclose(mean(torch.as_tensor(points)).numpy(), values, atol=0.05)
    inside = random.uniform(-0.15, 0.15, (20, 4))
    np.testing.assert_allclose(mean(torch.as_tensor(inside))[:, 0].numpy(), inside @ [1.0, -2.0, 0.0, 3.0], atol=0.05)
    np.testing.assert_allclose(mean(torch.as_tensor(inside))[:, 1].numpy(), np.cos(8 * inside[:, 0]), atol=0.2)
    draws = [known.draw(generator) for _ in range(40)]
    near, far = (
        np.std([one(torch.as_tensor(x))[:, 1].numpy() for one in draws], axis=0).mean() for x in (inside, 6 * inside)
    )
    assert 0 < near < 0.3 * far
    centre, target = np.full(4, 0.9), torch.tensor([0.95, 2.0, 0.85, -1.0], dtype=torch.float64)
    found = gaussian_processes.lowest(lambda x: ((x - target) ** 2).sum(1), centre, 0.2, generator)
    np.testing.assert_allclose(found, [0.95, 1.0, 0.85, 0.7], atol=0.01)  # in the box and in the cube


@pytest.mark.slow
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
    tuning.load_mechanisms(tuning.h, tuning.build_mechanisms([source_folder("mod")]))
    found = search.evaluate_with_lists(search.point())
    assert len(found) == len(search.objectives) == 2 + 4
    decays = {}
    for cm in (1.5, 2.0):
        start["basal"]["membrane"]["cm"] = start["apical"]["membrane"]["cm"] = cm
        rows = tuning.psp_rows(search.pair, tuning.tuned_cell("L23", start))
        decays[cm] = next(row["value"] for row in rows if row["feature"] == "decay_ms")
    assert 0.7 * decays[2.0] < decays[1.5] < 0.95 * decays[2.0]  # less to charge, the same leak


@pytest.mark.slow
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
    assert len(rows) == features and tuning.costs(tuning.misses(rows)).sum() > 30.0
    assert not {"Step1", "Step2", "Step3"} & set(ran)
    ran.clear()
    assert len(tuning.rows_of(targets, {})) == features
    assert sorted(ran) == sorted(p.name for p in targets.protocols if p.name != "soma alone")  # the current of bAP


def test_far_misses_still_count(tuning):
    misses = tuning.misses([{"z": z} for z in (0.0, 1.0, -3.0, 10.0, 50.0, None)])
    np.testing.assert_array_equal(np.sign(misses[:5]), [0, 1, -1, 1, 1])
    costs = tuning.costs(misses)
    assert (np.diff(costs) > 0).all() and costs[0] == 0.0
    assert costs[1] == pytest.approx(0.1) and costs[2] == pytest.approx(1.8)
    assert costs[4] < 50 / 2
