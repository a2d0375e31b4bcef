"""The whole path on one model: detailed run, records, reduction, validation, swapped run, comparison.

Each stage is the public call that a user would make and leaves a finished file or folder, so that a demo stopped half
way goes on where it was.
"""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from netml.engine.circuit.simulate import simulate
from netml.engine.recording.record import record
from netml.errors import NetmlError
from netml.files import output_folder
from netml.plain import plain_arguments, to_json
from netml.stages.compare import compare
from netml.stages.validate import validate
from netml.toolchain import source_folder
from netml.training import train

POPULATION = "PYR"


@dataclass(frozen=True)
class DemoResult:
    """What the demo made and found.

    Attributes:
        report: The HTML page that compares the two networks.
        cell_report: The HTML page on the reduced cell.
        cell: What :func:`netml.validate` returned.
        network: What :func:`netml.compare` returned.
        seconds: Wall time of each stage that ran, by name.
    """

    report: Path
    cell_report: Path
    cell: dict
    network: dict
    seconds: dict


@plain_arguments
def demo(
    output: str | Path = "netml-demo",
    *,
    ranks: int | None = None,
    duration: float = 2000.0,
    seed: int = 1,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> DemoResult:
    """Run models/cortex, learn its pyramidal cell from that, swap it in and compare.

    Args:
        output: Folder for everything that is made; stages that are finished there are not run again, but those of
            another seed or duration are refused.
        ranks: MPI ranks; by default as many as this process has cores, at most 4.
        duration: Length of the two network runs in ms.
        seed: Seed of the runs, the records and the training.
        overwrite: Start anew; a folder that the demo did not make is left.
        say: Receives one line at the start of each stage.

    Returns:
        The pages and what they say.

    Raises:
        NetmlError: The folder holds stages of another seed or duration, or cannot be written; a stage failed (the
            message says why).

    Example:
        >>> netml.demo("netml-demo", ranks=2).report  # PosixPath('netml-demo/report/report.html'), after minutes
    """
    folder = Path(output)
    marker, made_with = folder / ".netml-demo", to_json({"seed": seed, "duration": float(duration)})
    if overwrite and folder.exists():
        if not marker.is_file():
            raise NetmlError(f"{folder} was not made by the demo; choose another --output or remove it yourself")
        shutil.rmtree(folder)
    if marker.is_file() and (found := marker.read_text()) != made_with:
        raise NetmlError(f"{folder} holds stages of a demo with {found or 'unknown settings'}, not {made_with}; give "
                         "--overwrite to start anew, or choose another --output")  # fmt: skip
    output_folder(folder)
    marker.write_text(made_with)
    model = source_folder("models") / "cortex"
    ranks = ranks or min(4, len(os.sched_getaffinity(0)))
    seconds: dict[str, float] = {}

    def stage(number: int, title: str, made: Path, task: Callable[[], object]) -> None:
        if made.exists():
            say(f"[{number}/7] {title}: found in {made.parent if made.suffix != '.netml' else made}")
            return
        say(f"[{number}/7] {title}")
        start = time.perf_counter()
        task()
        seconds[title] = time.perf_counter() - start

    detailed, floor, swapped = folder / "detailed", folder / "floor", folder / "swapped"
    records, artifact = folder / "records", folder / "pyr.netml"
    run = partial(simulate, model, ranks=ranks, duration=duration, overwrite=True)
    stage(1, "detailed circuit in NEURON", detailed / "run.h5", lambda: run(output=detailed, seed=seed))
    # How much the circuit differs from itself; only its spikes count, so the fastest build will do.
    stage(
        2,
        "the same circuit with another background, the noise floor",
        floor / "run.h5",
        lambda: run(output=floor, seed=seed + 1000, engine="coreneuron", build="fast"),
    )
    stage(
        3,
        "records of its pyramidal cells",
        records / "index.json",
        lambda: record(model, population=POPULATION, preset="demo", ranks=ranks, seed=seed + 1, output=records,
                       overwrite=True),
    )  # fmt: skip
    stage(4, "training the reduction", artifact, lambda: train(records, output=artifact, budget="demo", seed=seed))
    say("[5/7] validating it on trials it has not seen")
    cell = validate(artifact, records, output=folder / "cell")
    stage(
        6,
        "swapped circuit in NEURON",
        swapped / "run.h5",
        lambda: run(output=swapped, seed=seed, reductions={POPULATION: artifact}),
    )
    say("[7/7] comparing the two circuits")
    network = compare(detailed, swapped, floor=[floor], output=folder / "report")
    return DemoResult(Path(network["report"]), Path(cell["report"]), cell, network, seconds)
