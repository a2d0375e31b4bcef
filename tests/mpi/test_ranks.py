"""Real ranks: same spikes on any number of them, and every way to fail ends all of them with a message."""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import netml
from netml import toolchain
from netml.engine.mechanisms.build import build_mechanisms
from netml.engine.ranks import mpi
from netml.engine.ranks.launch import launch
from netml.errors import LaunchError, ModelError, RunError

TINY = Path(__file__).parents[1] / "fixtures" / "tiny"
NETML = [sys.executable, "-m", "netml.cli"]
STOPS = ["a rank killed", "interrupted", "terminated", "parent killed"]
BOUND_S = 60  # a failed run must be over by then; on a quiet machine it takes one


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> netml.Run:
    return netml.Run.open(netml.simulate(TINY, output=tmp_path_factory.mktemp("runs") / "single"))


def assert_same_spikes(run: netml.Run, other: netml.Run) -> None:
    """Bit-identical: in the exact build no sum depends on where a cell lies."""
    for population in other.populations:
        for own, expected in zip(run.spikes(population), other.spikes(population), strict=True):
            np.testing.assert_array_equal(own, expected)


def test_one_rank(single):
    assert {name: pop["size"] for name, pop in single.populations.items()} == {"E": 6, "I": 2}
    for population, size in (("E", 6), ("I", 2)):
        times, nodes = single.spikes(population)
        assert times.size > 10 and (np.diff(times) >= 0).all() and times.min() >= 0 and times.max() <= 200
        assert set(nodes) == set(range(size))
    gids, start, step, values = single.traces["V_soma"]
    assert gids.tolist() == [0, 1, 6] and (start, step) == (0.0, 0.5) and values.shape == (3, 401)
    assert values[:, 0] == pytest.approx(-65.0)
    assert single.metadata["ranks"] == 1 and single.metadata["wall"]["run_s"] > 0


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_same_spikes_and_traces_on_more_ranks(single, tmp_path, ranks):
    run = netml.Run.open(netml.simulate(TINY, ranks=ranks, output=tmp_path / "run"))
    assert run.metadata["ranks"] == ranks and run.populations == single.populations
    assert_same_spikes(run, single)
    np.testing.assert_array_equal(run.traces["V_soma"][3], single.traces["V_soma"][3])


@pytest.mark.slow
def test_under_mpirun(single, tmp_path):
    command = mpi.command(mpi.find(), 2, [*NETML, "simulate", str(TINY), "--output", str(tmp_path / "run")])
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=rank_environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'run'}\n"
    run = netml.Run.open(tmp_path / "run")
    assert run.metadata["ranks"] == 2
    assert_same_spikes(run, single)


@pytest.mark.slow
def test_record_under_mpirun(tmp_path):
    """It starts ranks of its own several times: as many, on all CPUs, and is done when mpirun is."""
    what = ["record", str(TINY), "-p", "E", "--network-trials", "1", "--protocol-trials", "5", "--duration", "50",
            "--engine", "neuron", "--build", "exact", "-o", str(tmp_path / "r")]  # fmt: skip
    for wrong, message in (([], None), (["--ranks", "3"], "asked for 3 ranks inside mpirun, which started 2")):
        command = mpi.command(mpi.find(), 2, [*NETML, *what, *wrong])
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=rank_environment())
        assert (done.returncode != 0) == (message is not None), done.stderr
        assert message is None or message in done.stderr
    records = netml.Records.open(tmp_path / "r")
    assert len(records) == 6 + 5 + 1 and records.provenance["ranks"] == 2


def rank_environment() -> dict:
    """This process's, for a launcher of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "PMIX_", "PRTE_"))}


@pytest.mark.slow
def test_error_under_mpirun_is_said_once(tmp_path):
    command = mpi.command(mpi.find(), 2, [*NETML, "simulate", str(TINY), "--set", "durations=5", "-o", str(tmp_path)])
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=rank_environment())
    assert done.returncode != 0
    assert done.stderr.count("netml: error:") == 1 and "did you mean duration" in done.stderr


@pytest.mark.slow
def test_coreneuron_agrees(single, tmp_path):
    """Of the same equations and random numbers; the fast build rounds otherwise, so times may differ by a step."""
    model = tmp_path / "tiny"
    shutil.copytree(TINY, model, ignore=shutil.ignore_patterns("mod", "__pycache__"))  # shares other tests' build
    text = (model / "netParams.py").read_text()
    (model / "netParams.py").write_text(
        text.replace('"tiny_leak": {"g": 1e-5, "e": -65.0}', '"pas": {"g": 1e-5, "e": -65.0}')
    )
    run = netml.Run.open(
        netml.simulate(model, ranks=2, engine="coreneuron", build="fast", duration=50.0, output=tmp_path / "run")
    )
    for population in run.populations:
        times, nodes = single.spikes(population)
        expected = times < 50.0
        np.testing.assert_array_equal(run.spikes(population)[1], nodes[expected])
        np.testing.assert_allclose(run.spikes(population)[0], times[expected], atol=0.051)
    values = run.traces["V_soma"][3]
    np.testing.assert_allclose(values, single.traces["V_soma"][3][:, : values.shape[1]], atol=0.5)


@pytest.mark.slow
def test_seed_changes_the_background_only(single, tmp_path):
    run = netml.Run.open(netml.simulate(TINY, seed=2, duration=100, cfg={"rate": 80.0}, output=tmp_path / "run"))
    assert run.metadata["seeds"] == {"conn": 1, "stim": 2, "loc": 1, "cell": 1}
    assert run.metadata["cfg"] == {"duration": 100, "seeds.stim": 2, "rate": 80.0} and run.duration_ms == 100
    assert not np.array_equal(run.spikes("E")[0][:5], single.spikes("E")[0][:5])


def test_finished_run_is_not_lost(single):
    with pytest.raises(RunError, match="already holds a finished run"):
        netml.simulate(TINY, output=single.folder)
    netml.Run.open(single.folder)


@pytest.mark.slow
def test_default_folders_are_numbered_and_a_failed_one_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert netml.simulate(TINY, duration=5) == Path("netml-runs/tiny-001")
    with pytest.raises(ModelError, match="2 cells for 3 ranks; use --ranks 2"):
        netml.simulate(TINY, ranks=3, cfg={"n_exc": 1, "n_inh": 1})
    assert [path.name for path in Path("netml-runs").iterdir()] == ["tiny-001"]


@pytest.mark.slow
def test_mechanisms_that_nobody_has_are_refused_at_once(tmp_path):
    model = tmp_path / "tiny"
    shutil.copytree(TINY, model, ignore=shutil.ignore_patterns("mod", "__pycache__"))
    (model / "netParams.py").write_text(
        (model / "netParams.py").read_text()
        + 'netParams.popParams["drive"] = {"cellModel": "VecStim", "numCells": 1, "spkTimes": [5]}\n'
        + 'netParams.stimSourceParams["noise"] = {"type": "NoisyClamp", "amp": 0.1}\n'
        + 'netParams.stimTargetParams["noise"] = {"source": "noise", "conds": {"pop": "E"}, "sec": "soma"}\n'
    )
    missing = (
        r"^no mechanism 'tiny_leak' \(section 'soma' of cellParams .*'VecStim' \(popParams 'drive'\), "
        r"'NoisyClamp' \(stimSourceParams 'noise'\); put its mod[^\n]*$"
    )
    with pytest.raises(ModelError, match=missing):
        netml.simulate(model, output=tmp_path / "run")


def changed(folder: Path, old: str, new: str) -> Path:
    """The small model with other words in its netParams.py."""
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    script = (folder / "netParams.py").read_text()
    assert old in script
    (folder / "netParams.py").write_text(script.replace(old, new))
    return folder


def test_an_error_of_neuron_on_several_ranks_is_one_message(tmp_path):
    """NEURON's own way is to abort all ranks at once, before anybody can say why."""
    first = "netParams.defaultThreshold = -20.0\n"
    failing = 'from neuron import h\nnetParams.failing = h.FInitializeHandler(\'execerror("made to", "fail")\')\n'
    model = changed(tmp_path / "tiny", first, first + failing)
    with pytest.raises(LaunchError, match=r"^rank \d failed: RuntimeError: .*made to fail[^\n]*$"):
        netml.simulate(model, ranks=2, duration=5, output=tmp_path / "run")


@pytest.mark.slow
def test_a_delay_between_ranks_below_the_time_step_is_named_before_the_run(tmp_path):
    """On one rank NEURON takes it, on several its run would end without saying which connection it was."""
    model = changed(tmp_path / "tiny", '"delay": "1 + uniform(0, 2)"', '"delay": 0.01')
    named = r"^cell \d+, connection from \d+ \([EI]->[EI]\): delay 0.01 ms; .* time step of 0\.\d+ ms or more: lengthen"
    with pytest.raises(ModelError, match=named):
        netml.simulate(model, ranks=2, duration=5, output=tmp_path / "run")
    assert netml.simulate(model, ranks=1, duration=5, output=tmp_path / "run").is_dir()


def test_bad_settings_are_refused_before_any_rank_starts(tmp_path):
    for wrong in ({"engine": "nest"}, {"build": "slow"}, {"duration": -1.0}, {"dt": 0}, {"fraction": 2.0}):
        with pytest.raises(ModelError, match="expected"):
            netml.simulate(TINY, output=tmp_path, **wrong)
    with pytest.raises(ModelError, match="no model"):
        netml.simulate(tmp_path / "nowhere")
    with pytest.raises(LaunchError, match="ranks is 0"):
        netml.simulate(TINY, ranks=0)


TASKS = """
import os, signal, time

def fails(rank):
    from neuron import h
    pc = h.ParallelContext()
    if pc.id() == rank:
        raise KeyError("only here")
    pc.barrier()

def dies(rank):
    from neuron import h
    pc = h.ParallelContext()
    if pc.id() == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    pc.barrier()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "message"), [("fails", "rank 1 failed: KeyError: 'only here'"), ("dies", "a rank died")]
)
def test_one_failing_rank_ends_all(tmp_path, monkeypatch, task, message):
    (tmp_path / "tasks.py").write_text(TASKS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    started = time.monotonic()
    with pytest.raises(LaunchError, match=message) as caught:
        launch(getattr(import_module("tasks"), task), 1, ranks=2)
    assert "Traceback" not in str(caught.value)
    assert task == "dies" or "tasks.py" in str(caught.value.__cause__)
    assert time.monotonic() - started < BOUND_S


def hear_interrupts() -> None:
    """A shell starts what it runs in the background, tests too, with SIGINT ignored, and that is inherited."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def endless(folder: Path, **extra) -> subprocess.Popen:
    """A run of many minutes on two ranks, once it is in its time loop; its temporary files lie in the folder."""
    folder.mkdir()
    command = [*NETML, "simulate", str(TINY), "--ranks", "2", "--duration", "1e6", "--output", str(folder / "run")]
    child = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
        preexec_fn=hear_interrupts,
        **extra,
    )
    deadline = time.monotonic() + 300
    while not any('"simulation"' in path.read_text() for path in folder.glob("netml-*/progress")):
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return child


def rank_pids(folder: Path) -> list[int]:
    return [int(path.read_text()) for path in sorted(folder.glob("netml-*/rank-*.pid"))]


def wait_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + BOUND_S
    while alive := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, f"ranks {alive} still run"
        time.sleep(0.1)


@pytest.mark.slow
def test_library_in_the_working_folder_is_left_alone(single, tmp_path, monkeypatch):
    """NEURON loads ./x86_64 by itself, which NetPyNE users have: its mechanisms would clash with ours."""
    built = tmp_path / "x86_64" / "libnrnmech.so"
    built.parent.mkdir()
    shutil.copy(build_mechanisms([toolchain.source_folder("mod"), TINY / "mod"]).nrnmech, built)
    monkeypatch.chdir(tmp_path)
    assert_same_spikes(netml.Run.open(netml.simulate(TINY)), single)


@pytest.mark.slow
@pytest.mark.parametrize("how", STOPS)
def test_stopped_run_ends_everywhere_and_leaves_no_whole_folder(tmp_path, how):
    folder = tmp_path / "stopped"
    child = endless(folder)
    pids = rank_pids(folder)
    assert len(pids) == 2
    if how == "a rank killed":
        os.kill(pids[1], signal.SIGKILL)
    else:
        child.send_signal({"interrupted": signal.SIGINT, "terminated": signal.SIGTERM}.get(how, signal.SIGKILL))
    try:
        _, errors = child.communicate(timeout=BOUND_S)
    finally:
        child.terminate()  # a failed test leaves no run behind
    assert child.returncode != 0
    if how != "parent killed":
        assert errors.startswith("netml: error: a rank died" if how == "a rank killed" else "netml: interrupted\n")
    wait_gone(pids)
    with pytest.raises(RunError, match="is an unfinished run" if how == "parent killed" else "is no run"):
        netml.Run.open(folder / "run")
