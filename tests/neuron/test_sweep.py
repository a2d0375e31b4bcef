"""The sweeps of models/sweep on a small project: NetPyNE's batch tools, and the script for SLURM."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import hybrid
import numpy as np
import pytest

from netml import toolchain
from netml.circuit.project import find_project, load_project
from netml.engine.mechanisms.build import build_mechanisms
from netml.engine.ranks import mpi
from netml.runs import Run

TESTS = Path(__file__).resolve().parent.parent
EXAMPLE = TESTS.parent / "models" / "sweep"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The tiny project with the example's files, a reduction of E, and its mechanisms built, as by nrnivmodl."""
    folder = tmp_path_factory.mktemp("sweep") / "tiny"
    shutil.copytree(TESTS / "fixtures" / "tiny", folder)
    for file in EXAMPLE.iterdir():
        shutil.copy(file, folder)
    hybrid.artifact(load_project(find_project(folder))[0], "E", seed=2).save(folder / "E.netml")
    built = build_mechanisms([toolchain.source_folder("mod"), folder / "mod"])
    (folder / "x86_64").mkdir()
    (folder / "x86_64" / "libnrnmech.so").symlink_to(built.nrnmech)
    return folder


def run(command: list[str], folder: Path, **environment: str) -> None:
    scripts = str(Path(sys.executable).parent)
    environment |= {"PATH": os.pathsep.join([*environment.pop("first", "").split(), scripts, os.environ["PATH"]]),
                    "PYTHONPATH": os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])}  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="module")
def array(project) -> Run:
    """The last job of the SLURM array, on one rank: `srun` here only runs its command."""
    stub = project / "bin" / "srun"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\nexec "$@"\n')
    stub.chmod(0o755)
    run(["bash", "array.sbatch", ".", "E=E.netml"], project, first=str(stub.parent), SLURM_ARRAY_TASK_ID="4")
    return Run.open(project / "sweep" / "fraction-1.0")


def test_slurm_array(array):
    assert array.metadata["swap"]["E"]["fraction"] == 1.0
    assert array.metadata["reduced"]["E"]["reduced"] == 6 and array.metadata["reduced"]["E"]["spikes"] > 0


def test_netpyne_batch(project, array):
    """NetPyNE's own batch on two MPI ranks: the swapped job has the spikes of `netml simulate` on one."""
    allow_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                  "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}  # fmt: skip
    run([sys.executable, "batch.py", "E=E.netml"], project, **mpi.environment(mpi.find()), **allow_root)
    jobs = [json.loads((project / "sweep" / f"sweep_{k}_data.json").read_text()) for k in range(2)]
    reduced = [sum("reduction" in cell["tags"] for cell in job["net"]["cells"]) for job in jobs]
    assert [job["simConfig"]["fraction"] for job in jobs] == [0.0, 1.0] and reduced == [0, 6]
    found = sorted(zip(jobs[1]["simData"]["spkt"], jobs[1]["simData"]["spkid"], strict=True))
    gids = {name: population["gids"] for name, population in array.populations.items()}
    expected = sorted(
        (float(t), float(gids[name][node])) for name in gids for t, node in zip(*array.spikes(name), strict=True)
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert jobs[0]["simData"]["spkt"] != jobs[1]["simData"]["spkt"]
