"""The public call."""

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from netml.artifact import Artifact
from netml.device.choice import usable
from netml.errors import TrainingError
from netml.files import output_folder, replacing
from netml.plain import plain_arguments
from netml.progress import Silent, track
from netml.records import Records
from netml.reductions.kernel import LANES
from netml.training.config import TrainConfig
from netml.training.data import load_trials
from netml.training.export import to_artifact, verify
from netml.training.log import TrainingLog
from netml.training.synthetic import with_synthetic
from netml.training.team import Team, launched
from netml.training.trainer import Trainer


@plain_arguments
def train(
    records: Records | str | Path, *, output: str | Path, teachers: Iterable[str | Path] = (), fresh: bool = False,
    progress: bool = True, device: str = "cpu", tensorboard: str | Path | None = None,
    report: Callable[[dict], None] | None = None, **fields: Any,
) -> Path:  # fmt: skip
    """Train a reduction of the cell in ``records`` and write it as an artifact.

    Started by mpirun, srun or torchrun, the ranks train together (:mod:`netml.training.team`); the first writes.
    A checkpoint stands beside the output while training runs.  A training that was killed goes on from it when it is
    called again, and ends with the weights it would have had.  ``OUTPUT.log`` tells how it went: a line of JSON for
    each validation (:class:`netml.training.log.TrainingLog`).

    Args:
        records: Folder of records, or an open :class:`netml.Records`.
        output: The artifact's file, ``*.netml``.
        teachers: Artifacts of the same cell, trained on the same records, best several (an ensemble counts as its
            members): it is learned from their mean too, on synthetic trials (:mod:`netml.training.synthetic`).
        fresh: Start again, whatever checkpoint is there.
        progress: Show a progress bar (on a terminal only).
        device: "cpu", or "cuda": the recipe is the same, but there it is not repeatable to the bit.
        tensorboard: Folder for an event log of TensorBoard, too.
        report: Called after every update, see :meth:`netml.training.trainer.Trainer.run`; what it raises ends the
            training.
        fields: Of :class:`netml.training.config.TrainConfig`: ``size``, ``budget``, ``updates``, ``seed``, ``dt_r_ms``
            and the rest of the recipe, each with its meaning and unit there.

    Returns:
        The path of the artifact.

    Raises:
        TrainingError: Impossible options, no spikes, a checkpoint that is damaged or of another training, a teacher of
            another cell.
        ArtifactError: No readable teacher.
        RecordsError: Records that are missing, damaged, hold NaN or are too few.
        OutputError: The output's folder cannot be written.
        DeviceError: No such device.
        CompileError: The kernel does not compile.

    Example:
        >>> netml.train("records", output="PYR.netml")  # PosixPath('PYR.netml'), after minutes
        >>> netml.train("records", output="PYR.netml", size="medium", budget="long", seed=1, fresh=True)
    """
    config = TrainConfig.of(**fields)
    usable(device)
    if device != "cpu" and launched()[1] > 1:
        raise TrainingError(f"training on {device} takes one process; leave --device out, or start it without mpirun")
    output = Path(output)
    if output.is_dir():
        raise TrainingError(f"output {output} is a folder; expected a file such as {output / 'cell.netml'}")
    output_folder(output.parent)
    records = records if isinstance(records, Records) else Records.open(records)
    loaded = map(Artifact.load, teachers)
    masters = [member for artifact in loaded for member in (artifact, *artifact.members)]
    with Team.joined(output, config.batch_size // LANES) as team:
        steps, training, validation = load_trials(records, config)
        steps, synthetic = with_synthetic(steps, training, masters, config) if masters else (steps, [])
        if team and team.rank:
            with closing(Trainer(steps, training, validation, config)) as trainer:
                team.serve(trainer.recurrence)
            return output
        checkpoint = output.with_name(output.name + ".checkpoint")
        if fresh:
            checkpoint.unlink(missing_ok=True)
        trainer = Trainer(steps, training, validation, config, checkpoint, device, synthetic)
        trainer.recurrence.team = team
        _train(trainer, records, output, progress, tensorboard, report, team, masters)
    return output


def _train(trainer: Trainer, records, output, progress, tensorboard, report, team, teachers) -> None:
    """On the first rank, or alone: train to the end and write the artifact."""
    config = trainer.config
    log = TrainingLog(output.with_name(output.name + ".log"), tensorboard)
    try:
        with track("train", config.total_updates, enabled=progress) as bar:
            listeners = [_Note(bar), log, *([report] if report else [])]
            trainer.run(lambda state: [listener(state) for listener in listeners])
        artifact = to_artifact(trainer, records)
        check = verify(artifact, trainer.average, records, config.split(records)["validation"][0])
        artifact.header["scores"]["against_torch"] = check
        if teachers:
            made = [artifact.header["provenance"] for artifact in teachers]
            kept = ("config", "updates", "written")
            artifact.header["provenance"]["teachers"] = [{name: one.get(name) for name in kept} for one in made]
        with replacing(output) as unproven:
            artifact.save(unproven)
            verify(Artifact.load(unproven), trainer.average, records, config.split(records)["validation"][0])
    finally:
        if team:
            team.stop()
        trainer.close()
        log.close()
    if trainer.checkpoint:
        trainer.checkpoint.unlink(missing_ok=True)


class _Note:
    """Tells progress the number of updates, the running loss and the last scores."""

    def __init__(self, shown: Silent):
        self.shown, self.scores, self.loss = shown, "", None

    def __call__(self, state: dict) -> None:
        self.loss = state["loss"] if self.loss is None else 0.98 * self.loss + 0.02 * state["loss"]
        if "auc" in state:
            self.scores = (f"AUC {state['auc']:.4f}  voltage {state['explained_variance']:.3f}  "
                           f"rate {state['rate_ratio']:.2f}")  # fmt: skip
        self.shown.update(state["update"], f"update {state['update']}  loss {self.loss:.3f}  {self.scores}")
