"""validate and compare end to end on real files: what they find, what they write, what they refuse.

The "detailed cell" of the records is a reduction running free on random events, so that the right answer is known: the
same reduction must come out perfect, a damaged one must not.
"""

import io
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from surrogate import CELL, DIMS, calibrated_threshold, make_artifact

from netml.artifact import Artifact
from netml.errors import ArtifactError, RecordsError, RunError
from netml.records import RecordWriter, Trial, windows, write_index
from netml.reductions import kernel
from netml.report import tables
from netml.report.tables import Table, show
from netml.runs import write_run
from netml.stages.compare import compare
from netml.stages.validate import validate


def make_trials(artifact):
    """Random events, and what the artifact makes of them as the truth."""
    trials, arrays = [], artifact.arrays
    reduction, library = kernel.Reduction.of(artifact), kernel.load()
    for k in range(24):
        random = np.random.default_rng(k)
        kind = ("network", "dense", "silence")[k % 3]
        events = 0 if kind == "silence" else random.poisson(900 if kind == "dense" else 500)
        duration = 1000.0 + 100 * (k % 2)
        trial = Trial(
            kind=kind, gid=k, seed=k, duration_ms=duration, event_time=np.sort(random.uniform(0, duration, events)),
            event_synapse_site=random.integers(0, 8, events).astype(np.int32),
            event_weight=random.uniform(5e-4, 2e-3, events).astype(np.float32),
            spike_time=np.zeros(0), voltage={"soma": np.zeros(int(duration) + 1, np.float32)},
        )  # fmt: skip
        x = windows.inputs(trial, arrays["channel_input"], arrays["channel_gain"], DIMS.inputs, 1.0)
        _, v, spike = library.free_run(reduction, x[:, :, None])
        trial.voltage["soma"][:] = np.append(v[0, 0], v[:, 0])
        trials.append(Trial(**(trial.__dict__ | {"spike_time": np.flatnonzero(spike[:, 0]) + 1.0})))
    return trials


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    """An artifact's path, and records in which it is the truth."""
    folder = tmp_path_factory.mktemp("cell")
    artifact = make_artifact(threshold=calibrated_threshold(make_artifact()))
    trials = make_trials(artifact)
    for rank in range(2):
        with RecordWriter(folder / "records", rank, CELL) as writer:
            for trial in trials[rank::2]:
                writer.add(trial)
    write_index(folder / "records", CELL, {"model": "surrogate"})
    return artifact.save(folder / "pyr.netml"), folder / "records"


@pytest.fixture(scope="module")
def driven(cell, tmp_path_factory):
    """The same cell with a current in place of its last trace's input, and what two step currents make of it."""
    folder = tmp_path_factory.mktemp("driven")
    artifact = Artifact.load(cell[0])
    arrays = artifact.arrays | {"wiring": np.array([0, 0, 1, 4], np.int32)}
    for name, last in (("channel_input", 4), ("channel_gain", 0.5), ("channel_seen", 1)):
        arrays[name] = np.append(arrays[name], np.asarray(last, arrays[name].dtype))
    header = {"dims": artifact.header["dims"] | {"inputs": 5}, "current": True, "current_range_na": [-1.0, 3.0]}
    reduction = kernel.Reduction.of(Artifact(artifact.header | header, arrays))
    x = np.zeros((500, 5, 2), np.float32)
    x[:, 4] = 0.5 * np.array([-1.0, 3.0])
    header["threshold"] = float(np.median(kernel.load().free_run(reduction, x)[0]))  # one of both makes it fire
    artifact = Artifact(artifact.header | header, arrays)
    with RecordWriter(folder / "records", 0, CELL) as writer:
        for k in range(12):
            amplitude = -1.0 if k % 2 else 3.0
            trial = Trial("steps", -1, k, 1000.0, np.empty(0), np.empty(0, np.int32), np.empty(0, np.float32),
                          np.empty(0), {"soma": np.zeros(1001, np.float32)}, np.array([300.0, 800.0]),
                          np.array([amplitude, 0.0]))  # fmt: skip
            x = windows.inputs(trial, arrays["channel_input"], arrays["channel_gain"], 5, 1.0, takes_current=True)
            _, v, spike = kernel.load().free_run(kernel.Reduction.of(artifact), x[:, :, None])
            trial.voltage["soma"][:] = np.append(v[0, 0], v[:, 0])
            writer.add(Trial(**(trial.__dict__ | {"spike_time": np.flatnonzero(spike[:, 0]) + 1.0})))
    write_index(folder / "records", CELL, {"model": "surrogate"})
    return artifact.save(folder / "pyr.netml"), folder / "records"


class Links(HTMLParser):
    """Collects everything a page would load, and its text."""

    def __init__(self):
        super().__init__()
        self.loads, self.images, self.text = [], 0, ""

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.images += tag == "img"
        self.loads += [attrs[k] for k in ("src", "href", "srcset", "data") if k in attrs]
        self.loads += [tag] if tag in ("script", "link", "iframe") else []

    def handle_data(self, data):
        self.text += data


def check_page(path, figures):
    page, source = Links(), Path(path).read_text(encoding="utf-8")
    page.feed(source)
    assert page.images == len(figures)
    assert all(load.startswith("data:image/png;base64,iVBOR") for load in page.loads), "the page loads something"
    assert not re.search(r"https?://|url\(|@import", source)
    assert {name for name in figures if f'id="{name}"' in source} == set(figures)
    return page.text


def test_numbers_as_text():
    assert (tables.percent(0.0423, signed=True), tables.percent(-0.5)) == ("+4.2 %", "-50.0 %")
    assert tables.percent(None) == "–"
    assert (tables.number(2.345, 2, "ms"), tables.number(1234), tables.number(None)) == ("2.35 ms", "1,234", "–")
    assert (tables.factor(3.456), tables.factor(2345.6), tables.factor(None)) == ("3.46 ×", "2,346 ×", "–")


def test_a_cell_that_is_its_own_truth_is_perfect(cell, tmp_path):
    result = validate(*cell, output=tmp_path, split="all")
    assert list(result["kinds"]) == ["network", "dense", "silence"]
    for m in (result["all"], result["kinds"]["network"]):
        assert m["spikes"]["spikes_true"] > 10
        assert m["spikes"]["gamma"] == pytest.approx(1.0) and m["spikes"]["rate_error"] == 0.0
        assert m["auc"] > 0.99 and m["shift_bins"] == 0
        assert m["voltage_below"]["rmse_mv"] < 1e-4 and m["voltage_below"]["explained_variance"] > 0.9999
    silence = result["kinds"]["silence"]
    assert silence["trials_without_spikes"] == silence["trials"] and silence["auc"] is None
    assert json.loads((tmp_path / "validation.json").read_text())["all"]["auc"] == result["all"]["auc"]
    assert result["f_i"] is None and not any("current" in w for w in result["warnings"])
    text = check_page(result["report"], ["voltage", "raster", "roc", "intervals", "calibration"])
    assert "free" in text and "first 200 ms" in text and "1 to 24 true spikes" in text
    low, high = result["all"]["interval_95"]["brier"]
    assert low < result["all"]["calibration"]["brier"] < high and f"{low:.5f} to {high:.5f}" in text
    assert len(result["physics"]) == 7 and "What every cell obeys" in text
    for law in result["physics"]:
        assert law["measured"] in text and (law["passed"] is not False) == (law["name"] not in str(result["warnings"]))
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {
        "voltage.png", "raster.png", "roc.png", "intervals.png", "calibration.png"}  # fmt: skip


def test_a_damaged_cell_is_not(cell):
    artifact = Artifact.load(cell[0])
    params = artifact.arrays["params"] * np.random.default_rng(1).uniform(0.8, 1, artifact.arrays["params"].size)
    worse = Artifact(artifact.header, artifact.arrays | {"params": params.astype(np.float32)})
    result, perfect = (validate(a, cell[1], kinds=["network"], physics=False) for a in (worse, cell[0]))
    assert list(result["kinds"]) == ["network"] and result["report"] is None
    assert result["all"]["auc"] < perfect["all"]["auc"]
    assert result["all"]["voltage_below"]["rmse_mv"] > 0.1


def test_a_cell_that_never_fires_still_gets_a_report(cell, tmp_path):
    artifact = Artifact.load(cell[0])
    dumb = Artifact(artifact.header | {"threshold": 1e9}, artifact.arrays)
    result = validate(dumb, cell[1], output=tmp_path, physics=False)
    assert result["all"]["spikes"]["rate_error"] == -1.0 and result["all"]["spikes"]["gamma"] == 0.0
    assert any("emitted no spike" in w for w in result["warnings"])
    assert "Read this first" in Path(result["report"]).read_text(encoding="utf-8")


def test_only_silent_trials_still_get_a_report(cell, tmp_path):
    result = validate(*cell, output=tmp_path, kinds=["silence"], physics=False)
    assert result["all"]["auc"] is None and any("No trial recorded in a network" in w for w in result["warnings"])
    check_page(result["report"], ["voltage", "raster", "intervals", "calibration"])


def test_the_f_i_curve_of_a_cell_that_is_its_own_truth(driven, cell, tmp_path):
    result = validate(*driven, output=tmp_path, split="all", skip_ms=0)
    f_i = result["f_i"]
    assert f_i["rate_error_hz"] == 0 and f_i["one_silent"] == 0
    assert f_i["stretches"] == 36 and sum(p["seconds"] for p in f_i["points"]) == pytest.approx(12.0)
    assert {round(p["current_na"], 6) for p in f_i["points"]} >= {-1.0, 0.0, 3.0}
    assert all(p["rate_true_hz"] == p["rate_model_hz"] for p in f_i["points"])
    assert len({round(p["rate_true_hz"], 2) for p in f_i["points"]}) > 1
    text = check_page(result["report"], ["voltage", "raster", "roc", "intervals", "calibration", "f_i"])
    assert "36 stretches of constant current" in text


def test_a_reduction_without_a_current_is_not_judged_on_trials_with_one(driven, cell):
    with pytest.raises(RecordsError, match="it has none .the reduction takes no current into its soma"):
        validate(cell[0], driven[1])


def test_validate_refuses(cell, tmp_path):
    artifact = Artifact.load(cell[0])
    other = Artifact(artifact.header | {"cell": {"label": "PV", "fingerprint": "b" * 64}}, artifact.arrays)
    with pytest.raises(ArtifactError, match="of another cell: 'PV', fingerprint bbbbbbbbbbbb; the records .* 'PYR'"):
        validate(other, cell[1])
    with pytest.raises(ArtifactError, match="synapse types are I, E"):
        validate(Artifact(artifact.header | {"synapses": ["I", "E"]}, artifact.arrays), cell[1])
    with pytest.raises(RecordsError, match="no trials of kind sparse; it has dense, network, silence"):
        validate(*cell, kinds=["sparse"])
    with pytest.raises(RecordsError, match="split is 'exam'"):
        validate(*cell, split="exam")
    with pytest.raises(RecordsError, match="longer than skip_ms = 5000"):
        validate(*cell, skip_ms=5000)
    with pytest.raises(ArtifactError, match="no reduction at"):
        validate(tmp_path / "absent.netml", cell[1])


# ---- two runs -----------------------------------------------------------------------------------------------------


SWAP = {"PYR": {"artifact": "pyr.netml", "fraction": 1.0}}


def make_run(folder, seed=1, swap=False, rate=6.0, sizes=(("PYR", 50), ("PV", 12)), duration=2000.0, **metadata):
    random = np.random.default_rng(seed)
    n = int(duration)
    common = 1 + 0.5 * np.sin(2 * np.pi * 12 * np.arange(n) / 1000 + seed)
    spikes, populations, first = {}, {}, 0
    for name, size in sizes:
        own = rate * (3 if name == "PV" else 1) * np.random.default_rng(5).lognormal(0, 0.5, size)
        ids, bins = np.nonzero(random.random((size, n)) < own[:, None] * common / 1000)
        spikes[name] = (bins + random.random(len(bins)), ids)
        reduced = size if swap and name == "PYR" else 0
        populations[name] = {
            "size": size,
            "gids": list(range(first, first + size)),
            "cell_model": name,
            "reduced": reduced,
        }
        first += size
    wall = {"setup_s": 1.5, "build_s": 4.0, "run_s": 60.0} if not swap else {
        "setup_s": 1.5, "build_s": 1.0, "run_s": 5.0, "reduced_s": 0.03}  # fmt: skip
    base = {
        "model": "cortex", "seed": seed, "duration_ms": duration, "dt_ms": 0.05, "engine": "neuron", "build": "exact",
        "ranks": 2, "swap": SWAP if swap else {},
        "populations": populations, "wall": wall, "versions": {"neuron": "9.0.2", "netml": "0.1.0"},
    }  # fmt: skip
    return write_run(folder, base | metadata, spikes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {
        "detailed": make_run(folder / "detailed"),
        "swapped": make_run(folder / "swapped", swap=True, rate=7.0),
        "again": make_run(folder / "again", seed=2),
    }


NETWORK_FIGURES = ["raster", "rates", "cells", "cv", "correlations", "spectra"]


def test_compare_detailed_and_swapped_beside_the_floor(runs, tmp_path):
    result = compare(runs["detailed"], runs["swapped"], floor=[runs["again"]], output=tmp_path)
    pyr = result["populations"]["PYR"]
    assert pyr["reduced"] == [0, 50]
    assert pyr["difference"]["rate"] == pytest.approx(1 / 6, abs=0.1)  # 600 spikes: 4 %
    assert abs(pyr["floor_difference"][0]["rate"]) < 0.12
    assert result["speed"]["ratio"] == pytest.approx(12) and result["speed"]["cells_ratio"] == pytest.approx(
        55.03 / 0.03
    )
    assert result["warnings"] == []
    text = check_page(result["report"], NETWORK_FIGURES)
    assert "bins of 20 ms" in text and "Cost of the detailed cells that were replaced" in text and "floor" in text
    assert json.loads((tmp_path / "comparison.json").read_text())["bin_ms"] == 20.0


def test_two_seeds_of_one_model(runs):
    result = compare(runs["detailed"], runs["again"])
    assert result["speed"]["why_not"] == "neither run is swapped" and result["report"] is None
    assert any("seeds differ" in w.lower() and "(1 and 2)" in w for w in result["warnings"])
    assert any("No noise floor" in w for w in result["warnings"])


def test_a_run_against_itself_differs_in_nothing(runs):
    result = compare(runs["detailed"], runs["detailed"])
    for population in result["populations"].values():
        assert {round(v, 9) for v in population["difference"].values()} == {0.0}


def test_silent_run_still_gets_a_report(runs, tmp_path):
    silent = make_run(tmp_path / "silent", rate=0.0, build="fast", duration=1500.0, mechanisms="another library")
    result = compare(runs["detailed"], silent, output=tmp_path / "report")
    text = " ".join(result["warnings"])
    assert "Population PYR is silent" in text and "fast build" in text and "Builds differ" in text
    assert "Mechanisms differ" not in text  # another build of the same is another library
    assert "Durations differ" in text and result["window_ms"] == [200.0, 1500.0]
    check_page(result["report"], NETWORK_FIGURES)


def test_what_the_engine_of_reduced_cells_counted_is_told(runs, tmp_path):
    reduced = {"PYR": {"reduced": 50, "late": 0, "weights_out_of_range": 1200, "currents_out_of_range": 3}}
    warnings = compare(runs["detailed"], make_run(tmp_path / "odd", swap=True, reduced=reduced))["warnings"]
    assert any("population PYR: 3 reduced cells get a current into the soma outside" in w for w in warnings)
    assert any("population PYR: 1,200 synapses" in w for w in warnings) and not any("too late" in w for w in warnings)


def test_names_from_files_are_escaped_in_the_page(tmp_path):
    evil = (("<script>x", 4), ("B&B", 2))
    runs = [make_run(tmp_path / f"r{seed}", seed=seed, sizes=evil) for seed in (1, 2)]
    result = compare(*runs, output=tmp_path / "report")
    assert "<script>" not in Path(result["report"]).read_text(encoding="utf-8")
    check_page(result["report"], NETWORK_FIGURES)


def test_compare_refuses(runs, tmp_path):
    other = make_run(tmp_path / "other", sizes=(("PYR", 50), ("SST", 12)))
    with pytest.raises(RunError, match=r"has PYR \(50\), PV \(12\); .* has PYR \(50\), SST \(12\)"):
        compare(runs["detailed"], other)
    with pytest.raises(RunError, match="different populations"):
        compare(runs["detailed"], runs["again"], floor=[other])
    (other / "run.h5").unlink()
    with pytest.raises(RunError, match="unfinished run"):
        compare(other, runs["detailed"])
    cut = make_run(tmp_path / "cut")
    whole = (cut / "spikes.h5").read_bytes()
    (cut / "spikes.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match="damaged"):
        compare(runs["detailed"], cut)
    with pytest.raises(RunError, match="skip is 3000 ms, the shortest run lasts 2000 ms"):
        compare(runs["detailed"], runs["again"], skip_ms=3000)


def test_commands_print_tables_or_json(cell, runs, tmp_path):
    import typer
    from typer.testing import CliRunner

    from netml.cli import compare as compare_file
    from netml.cli import validate as validate_file

    before = set(sys.modules)
    app = typer.Typer()
    app.command("validate")(validate_file.command)
    app.command("compare")(compare_file.command)
    run = CliRunner().invoke
    done = run(app, ["validate", *map(str, cell), "--output", str(tmp_path / "v"), "--no-physics"],
               env={"COLUMNS": "160"})  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "ROC AUC" in done.output and str(tmp_path / "v" / "report.html") in done.output.replace("\n", "")
    done = run(app, ["compare", str(runs["detailed"]), str(runs["swapped"]), "--floor", str(runs["again"]), "--json",
                     "--output", str(tmp_path / "c")])  # fmt: skip
    assert done.exit_code == 0 and json.loads(done.stdout)["speed"]["ratio"] == pytest.approx(12)
    assert "matplotlib.pyplot" not in set(sys.modules) - before  # other tests may have it from NetPyNE


def test_no_word_of_a_table_is_broken_in_a_narrow_terminal():
    """Columns without room stand below, each word whole, no line wider than the terminal."""
    from rich.console import Console

    names = [f"pop_{k}_of_the_column" for k in range(6)]
    rows = [["excitatory_pyramidal_cells", *(f"{k}{k}{k},000" for k in range(6))]]
    console = Console(width=80, file=io.StringIO())
    show([Table("Rates", ["cell type", *names], rows, note="what they are")], console=console)
    printed = console.file.getvalue()
    for word in (*names, *rows[0][1:]):
        assert printed.count(word) == 1
    assert printed.count(rows[0][0]) == 3 and printed.count("Rates") == printed.count("what they are") == 1
    assert max(map(len, printed.splitlines())) <= 80
