"""The command line: a mistake is one line on standard error and a status, never a traceback."""

import os
import signal
import subprocess
import sys

import pytest

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


def test_an_interrupt_is_said():
    code = (
        "import os, signal\n"
        "import netml.engine.launch as launch\n"
        "launch.find_project = lambda model: os.kill(os.getpid(), signal.SIGINT)\n"
        "from netml.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "simulate", "x"], capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert done.returncode == 130 and done.stderr == "netml: interrupted\n"


def test_a_full_disk_is_said(tmp_path):
    """RLIMIT_FSIZE stands for it: no file of more than 4 kB can be written."""
    code = (
        "import resource, signal\n"
        "import netml.engine.doctor\n"
        "def fill():\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"    with open({str(tmp_path / 'x')!r}, 'wb') as file:\n"
        "        file.write(bytes(10_000))\n"
        "netml.engine.doctor.checks = fill\n"
        "from netml.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, "doctor"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("netml: error: cannot write") and "File too large; free some" in done.stderr
