"""A release: the sdist and the wheel hold all that travels, and the wheel works where there is no clone."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import netml

ROOT = Path(__file__).parents[2]
#: Folders of the clone by their place in the wheel.
PACKAGED = {"netml": "netml", "mod": "netml/mod", "models": "netml/models"}
MADE = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "venv*", "x86_64", "netml-runs")
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"

pytestmark = pytest.mark.slow


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build as `python -m build` does, without its environment and so without a network; returns the one file made."""
    done = subprocess.run([sys.executable, "-c", BUILD, kind, folder], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A copy: building writes beside the sources."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("clone") / "netml", ignore=MADE)


@pytest.fixture(scope="module")
def sdist(clone, tmp_path_factory) -> Path:
    """Unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("build_sdist", clone, folder / "dist")) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"netml-{netml.__version__}"


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    """Built from the sdist and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(build("build_wheel", sdist, folder / "dist")) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_sdist_holds_the_clone(clone, sdist):
    assert files(sdist) >= files(clone)


def test_the_wheel_holds_all_that_travels_and_nothing_else(clone, wheel):
    expected = {f"{place}/{name}" for folder, place in PACKAGED.items() for name in files(clone / folder)}
    assert {"netml/records/README.md", "netml/mod/engine/kernel.cpp", "netml/models/cortex/index.npjson"} < expected
    about = f"netml-{netml.__version__}.dist-info/"
    assert {name for name in files(wheel) if not name.startswith(about)} == expected
    assert any(name.endswith("LICENSE") for name in files(wheel / about))
    metadata = Parser().parsestr((wheel / about / "METADATA").read_text())
    assert (metadata["Name"], metadata["Version"]) == ("netml", netml.__version__)


def run(wheel: Path, folder: Path, *words) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=os.environ | {"PYTHONPATH": str(wheel)}, capture_output=True,
        text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_runs_in_an_empty_folder(wheel, tmp_path):
    """A swap by the name of a shipped reduction, whose model and artifact can only come from the wheel."""
    assert run(wheel, tmp_path, "-c", "import netml; print(netml.__file__)") == str(wheel / "netml" / "__init__.py")
    assert run(wheel, tmp_path, "-m", "netml.cli", "--version") == f"netml {netml.__version__}"
    words = ["--duration", "5", "--swap", "PYR=models/cortex/reductions/PYR.netml"]
    folder = run(wheel, tmp_path, "-m", "netml.cli", "simulate", "models/cortex", *words)
    metadata = netml.Run.open(tmp_path / folder).metadata
    for used in (metadata["model_path"], metadata["reduced"]["PYR"]["artifact"]):
        assert Path(used).is_relative_to(wheel)
    assert metadata["reduced"]["PYR"]["reduced"] == 40
    assert {path.name for path in tmp_path.iterdir()} == {"netml-runs"}
