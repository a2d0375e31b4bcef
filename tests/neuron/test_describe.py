"""netml describe: what it finds on a small circuit, and the page that it writes."""

import json
import shutil
from pathlib import Path

import pytest

import netml
from netml.engine.experiments.cell_survey import APART_MS
from netml.report import circuit_figures, circuit_report

TINY = Path(__file__).parents[1] / "fixtures" / "tiny"


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("described")
    return netml.describe(TINY, folder, duration=200.0, engine="neuron", build="exact", progress=False)


@pytest.mark.slow
def test_cells_rest_and_fire(found):
    assert {name: cell["segments"] for name, cell in found["cells"].items()} == {"E": 7, "I": 4}
    for name, cell in found["cells"].items():
        assert -67 < cell["rest_mv"] < -62 and 50 < cell["resistance_mohm"] < 400
        assert cell["threshold_mv"] == -20.0  # netParams.defaultThreshold
        step = found["steps"][name]
        assert step["current_na"] == sorted(step["current_na"]) and max(step["rate_hz"]) > 30  # Hodgkin-Huxley
    # the same membrane with one dendrite less: passive conductances in parallel
    assert found["cells"]["E"]["resistance_mohm"] < found["cells"]["I"]["resistance_mohm"]


@pytest.mark.slow
def test_cells_without_points_are_drawn(found):
    lines = found["cells"]["E"]["lines"]
    assert len(lines) == found["cells"]["E"]["sections"] == 3
    soma = next(line for kind, line, _ in lines if kind == "soma")
    ends = {tuple(line[0]) for kind, line, _ in lines if kind != "soma"}
    assert ends <= {tuple(soma[0]), tuple(soma[1])}  # every dendrite starts at the soma
    assert len({tuple(line[1]) for _, line, _ in lines}) == 3  # none lies on another


@pytest.mark.slow
def test_every_rule_is_one_spike(found):
    by_pair = {(pair["pre"], pair["post"]): pair for pair in found["psps"]}
    assert by_pair.keys() == {("E", "E"), ("E", "I"), ("I", "E")}
    assert by_pair["E", "E"]["amplitude_mv"] > 0.1 and by_pair["I", "E"]["amplitude_mv"] < -0.1
    # twice the conductance on a cell of higher resistance
    assert by_pair["E", "I"]["amplitude_mv"] > 1.5 * by_pair["E", "E"]["amplitude_mv"]
    for pair in found["psps"]:
        assert 1.0 <= pair["latency_ms"] < 6.0 and pair["time_ms"][-1] < APART_MS
        assert abs(pair["voltage_mv"][-1]) < 0.3 * abs(pair["amplitude_mv"])  # over before the next


@pytest.mark.slow
def test_the_page(found):
    page = Path(found["report"]).read_text()
    for text in ("Types of cells", "What one spike does", "Activity", "E → I", "What was run"):
        assert text in page
    assert {path.stem for path in (Path(found["report"]).parent / "figures").iterdir()} == {
        "morphologies", "steps", "psps", "raster",
    }  # fmt: skip
    assert json.loads(Path(found["json"]).read_text())["psps"] == found["psps"]
    assert netml.Run.open(found["run"]).duration_ms == 200.0


@pytest.mark.slow
def test_what_never_fires_says_so(tmp_path, monkeypatch):
    """With a threshold that no voltage reaches nothing is a spike: the page says "no spikes" where none is."""
    model = tmp_path / "model"
    shutil.copytree(TINY, model, ignore=shutil.ignore_patterns("__pycache__"))
    text = (model / "netParams.py").read_text()
    (model / "netParams.py").write_text(text.replace("defaultThreshold = -20.0", "defaultThreshold = 90.0"))
    empty = []
    monkeypatch.setattr(circuit_figures, "nothing", lambda axes, text: empty.append(text))
    found = netml.describe(model, tmp_path / "page", duration=50.0, engine="neuron", build="exact", progress=False)
    rows = circuit_report.cells(found).rows
    assert [(row[0], *row[5:]) for row in rows] == [("E", "90", "no spikes", "0"), ("I", "90", "no spikes", "0")]
    assert empty == ["no spikes"]
