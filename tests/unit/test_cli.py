"""The command line: a mistake is one line on standard error and a status, never a traceback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import lif
import pytest

import netml
from netml.errors import NetmlError
from netml.reductions.kernel import load as load_kernel
from netml.stages import demo as pipeline

TINY = str(Path(__file__).parents[1] / "fixtures" / "tiny")
NETML = [sys.executable, "-m", "netml.cli"]


def run(*words, **variables) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*NETML, *map(str, words)], capture_output=True, text=True, timeout=120, env=os.environ | variables
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate", "nowhere"], "no model nowhere"),
        (["train", "nowhere", "-o", "file/x.netml"], "cannot write to the folder"),
        (["validate", "nowhere", "."], "no reduction at nowhere"),
        (["compare", "file", "file"], "no run"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    done = run(*words)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith("netml: error: ") and message in done.stderr and done.stderr.count("\n") == 1


def test_the_traceback_is_there_for_who_asks():
    done = run("simulate", "nowhere", NETML_TRACEBACK="1")
    assert done.stderr.startswith("Traceback") and done.stderr.splitlines()[-1].startswith("netml: error: no model")


def test_the_version():
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"netml {netml.__version__}\n", "")


def test_an_interrupt_is_said():
    code = (
        "import os, signal\n"
        "import netml.engine.circuit.simulate as simulate\n"
        "simulate.find_project = lambda model: os.kill(os.getpid(), signal.SIGINT)\n"
        "from netml.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "simulate", "x"], capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert done.returncode == 130 and done.stderr == "netml: interrupted\n"


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from netml.cli import main
main()
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lif")
    lif.write(folder, [lif.trial(seed, 500, strength=0.85) for seed in range(20)])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "limit", "file"),
    [
        (["train", "RECORDS", "--set", "checkpoint_every=1"], 20_000, "x.checkpoint"),
        (["train", "RECORDS", "--set", "validate_every=1"], 50, "x.log"),
        (["tune", "RECORDS", "--trials", "1", "--set", "updates=1"], 20_000, "x/study.db"),
        (["simulate", TINY], 4096, "x"),
        (["record", TINY, "-p", "E", "--network-trials", "1", "--protocol-trials", "5"], 50_000, "x"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else None,
)
def test_a_full_disk_is_said(records, tmp_path, words, limit, file):
    """RLIMIT_FSIZE stands for it: no larger file can be written."""
    load_kernel()  # what is not built yet: compilers know no such limit
    if TINY in words:
        built = [sys.executable, "-m", "netml.cli", *words, "-o", str(tmp_path / "built")]
        subprocess.run(built, check=True, capture_output=True, timeout=600)
    words = [str(records) if word == "RECORDS" else word for word in words] + ["-o", str(tmp_path / "x")]
    done = subprocess.run([sys.executable, "-c", FULL, str(limit), *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("netml: error: cannot ") and str(tmp_path / file) in done.stderr
    assert any(why in done.stderr for why in ("File too large", "disk I/O error"))


def test_a_demo_of_another_seed_is_not_gone_on_with(tmp_path, monkeypatch):
    """The same settings go on, to the first stage; others are refused before it."""

    def simulate(*arguments, **options):
        raise LookupError("the first stage")

    monkeypatch.setattr(pipeline, "simulate", simulate)
    again = {"output": tmp_path / "demo", "duration": 500, "seed": 3, "say": print}
    for _ in range(2):
        with pytest.raises(LookupError, match="the first stage"):
            pipeline.demo(**again)
    for other in ({"seed": 4}, {"duration": 600.0}):
        with pytest.raises(NetmlError, match=r'"seed": 3.*, not .*; give --overwrite'):
            pipeline.demo(**(again | other))
    with pytest.raises(LookupError):
        pipeline.demo(**(again | {"seed": 4, "overwrite": True}))
    with pytest.raises(NetmlError, match='"seed": 4'):
        pipeline.demo(**again)
