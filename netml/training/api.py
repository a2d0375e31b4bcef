"""The public call."""

from pathlib import Path

from netml.artifact import Artifact
from netml.device.choice import usable
from netml.errors import TrainingError
from netml.files import output_folder
from netml.progress import Silent, track
from netml.records import Records
from netml.training.config import TrainConfig
from netml.training.data import load
from netml.training.export import to_artifact, verify
from netml.training.trainer import Trainer


def train(records, *, output, fresh: bool = False, progress: bool = True, device: str = "cpu", **fields) -> Path:
    """Train a reduction of the cell in ``records`` and write it as an artifact.

    A checkpoint stands beside the output while training runs.  A training that was killed goes on from it when it is
    called again, and ends with the weights it would have had.

    Arguments:
        records: Folder of records (or an open :class:`netml.records.Records`).
        output: The artifact's file, ``*.netml``.
        fresh: Start again, whatever checkpoint is there.
        progress: Show a progress bar (on a terminal only).
        device: "cpu", or "cuda": the recipe is the same, but there it is not repeatable to the bit.
        fields: Of :class:`netml.training.config.TrainConfig`.

    Returns:
        The path of the artifact.

    Raises:
        TrainingError: Impossible options, no spikes, a checkpoint that is damaged or of another training.
        RecordsError: Records that are missing, damaged, hold NaN or are too few.
        OutputError: The output's folder cannot be written.
        DeviceError: No such device.
    """
    config = TrainConfig.of(**fields)
    usable(device)
    output = Path(output)
    if output.is_dir():
        raise TrainingError(f"output {output} is a folder; expected a file such as {output / 'cell.netml'}")
    checkpoint = output.with_name(output.name + ".checkpoint")
    output_folder(output.parent)
    if fresh:
        checkpoint.unlink(missing_ok=True)
    records = records if isinstance(records, Records) else Records.open(records)
    steps, training, validation = load(records, config)
    trainer = Trainer(steps, training, validation, config, checkpoint, device)
    try:
        with track("train", config.total_updates, enabled=progress) as bar:
            trainer.run(_Note(bar))
        artifact = to_artifact(trainer, records)
        check = verify(artifact, trainer.average, records, records.split(seed=config.split_seed)["validation"][0])
        artifact.header["scores"]["against_torch"] = check
        artifact.save(output)
        verify(Artifact.load(output), trainer.average, records, records.split(seed=config.split_seed)["validation"][0])
    finally:
        trainer.close()
    checkpoint.unlink(missing_ok=True)
    return output


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
