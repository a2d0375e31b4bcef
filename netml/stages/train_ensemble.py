"""Several reductions of one cell that differ in their seed, in one artifact: one acts, the spread of all warns."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from netml.artifact import Artifact
from netml.errors import TrainingError
from netml.plain import plain_arguments
from netml.records import Records
from netml.training import train
from netml.training.config import TrainConfig
from netml.training.team import launched
from netml.validation import uncertainty
from netml.validation.prediction import predict


@plain_arguments
def train_ensemble(
    records: Records | str | Path, *, output: str | Path, members: int = 4, seed: int = 0, fresh: bool = False,
    **options: Any,
) -> Path:  # fmt: skip
    """Train ``members`` reductions, of seeds ``seed``, ``seed + 1``, ..., and write them as one artifact.

    The one of least validation loss acts, wherever the artifact is used; in a run the others get the same input, and
    the run says by how much their rates differ.  What that means for the error is measured on the validation trials.
    Members that an earlier call finished are not trained again.

    Args:
        records: Folder of records, or an open :class:`netml.Records`.
        output: The artifact's file, ``*.netml``; members stand beside it until all are trained.
        members: How many, 2 or more.
        seed: Of the first member.
        fresh: Start again, whatever is there.
        options: Further arguments of :func:`netml.train`.

    Returns:
        The path of the artifact.

    Raises:
        TrainingError: Fewer than two members, or what is there is of another training; and as :func:`netml.train`.
        RecordsError: As :func:`netml.train`.
        OutputError: As :func:`netml.train`.

    Example:
        >>> netml.train_ensemble("records", output="PYR.netml", members=4, budget="demo")
        >>> len(netml.Artifact.load("PYR.netml").members)  # 3, beside the one that acts
    """
    if members < 2:
        raise TrainingError(f"an ensemble of {members} has no spread; train 2 or more")
    output = Path(output)
    records = records if isinstance(records, Records) else Records.open(records)
    paths = [output.with_name(f"{output.name}.member-{seed + k}") for k in range(members)]
    for k, path in enumerate(paths):
        if fresh or not path.exists():
            train(records, output=path, seed=seed + k, fresh=fresh, **options)
    if launched()[0]:
        return output  # the first rank does the rest
    made = sorted(map(Artifact.load, paths), key=_loss)
    configs = [{k: v for k, v in a.header["provenance"]["config"].items() if k != "seed"} for a in made]
    if any(config != configs[0] for config in configs):
        raise TrainingError(f"{output}.member-* are of different trainings; delete them, or start again with --fresh")
    acting, config = made[0].with_members(made[1:], {}), made[0].header["provenance"]["config"]
    trials = list(records.trials(TrainConfig.of(**config).split(records)["validation"]))
    if not acting.header.get("current"):
        trials = [trial for trial in trials if not trial.current_na.any()]
    predictions = list(predict(acting, trials))
    skip_ms = config["skip_ms"]
    rates, truth = uncertainty.rates(acting, predictions, trials, skip_ms), uncertainty.true_rates(predictions, skip_ms)
    found = uncertainty.spread(rates, truth)
    made[0].with_members(made[1:], found).save(output)
    for path in paths:
        for left in (path, path.with_name(path.name + ".log")):
            with suppress(OSError):
                left.unlink()
    return output


def _loss(artifact: Artifact) -> float:
    """Of the validation.

    Raises:
        TrainingError: The artifact does not say how it was trained and what came of it.
    """
    loss, made = (artifact.header["scores"].get("validation") or {}).get("loss"), artifact.header["provenance"]
    if loss is None or not made.get("config"):
        raise TrainingError(
            f"a member of the ensemble ({made.get('written')}) lacks its loss or its config; start again with --fresh"
        )
    return loss
