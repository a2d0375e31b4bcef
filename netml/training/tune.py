"""Search for the fields of the recipe that suit some records, with Optuna (extra ``tune``)."""

import csv
import json
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netml.artifact import Artifact
from netml.errors import OutputError, TrainingError
from netml.files import output_folder, replacing
from netml.plain import plain_arguments, to_json
from netml.progress import track
from netml.records import Records
from netml.training.api import train
from netml.training.config import TrainConfig
from netml.training.team import launched

#: Searched by default: (lowest, highest, logarithmic?), or a list of values.
SPACE: dict = {
    "learning_rate": (1e-3, 1e-2, True),
    "weight_decay": (0.1, 3.0, True),
    "branches": (8, 64, True),
    "memory": (10, 40, True),
    "hidden": (20, 80, True),
    "window_ms": (150.0, 600.0, True),
}
#: These decide what the loss means: two trainings that differ in one cannot be compared by it.
MEASURES = ("voltage_weight", "v_clip_mv", "skip_ms", "split_seed", "dt_r_ms")
HEARTBEAT_S = 60
PRUNE_AFTER = 4  # trials that run to their end before any is stopped early


@plain_arguments
def tune(
    records: Records | str | Path, *, output: str | Path, trials: int = 30, space: Mapping[str, Any] | None = None,
    seed: int = 0, progress: bool = True, heartbeat_s: int = HEARTBEAT_S, **fields: Any,
) -> Path:  # fmt: skip
    """Train many reductions with other fields of the recipe, and keep the one of least validation loss.

    Trials that do worse than the median of the others at the same update are stopped early.  Everything stands in
    ``study.db`` (SQLite): a search that was killed goes on when called again, several processes may share one, and the
    trial that a killed process left is taken up anew.

    Args:
        records: Folder of records, or an open :class:`netml.Records`.
        output: Folder for ``study.db``, ``best.netml``, ``best.json`` (fields for :func:`netml.train`) and
            ``trials.csv``.
        trials: How many in all, those of earlier calls included.
        space: Field -> (lowest, highest, logarithmic?) or a list of values; :data:`SPACE` by default.
        seed: Of the sampler.
        progress: Show it, on a terminal.
        heartbeat_s: A trial that gave no sign of life for twice this time, s, is taken for killed.
        fields: Of :class:`netml.training.config.TrainConfig`, the same in every trial.

    Returns:
        The path of ``best.json``.

    Raises:
        TrainingError: Optuna is not installed, an unknown or impossible field, no trial came to its end, or a study of
            another search in the folder.
        RecordsError: As :func:`netml.train`.
        OutputError: The folder or the study in it cannot be written, or the study is damaged.

    Example:
        >>> best = netml.tune("records", output="search", trials=20, space={"hidden": (32, 128, True)}, budget="demo")
        >>> netml.train("records", output="PYR.netml", **json.loads(best.read_text())["fields"])
    """
    _optuna()
    if launched()[1] > 1:
        raise TrainingError("a search runs on one process; to use several, call it several times with the same output")
    space = dict(SPACE if space is None else space)
    _check(space, fields)
    folder = output_folder(output)
    records = records if isinstance(records, Records) else Records.open(records)
    with _told(folder / "study.db"):
        study = _study(folder, space, fields, records, seed, heartbeat_s)
        with track("tune", trials, enabled=progress) as shown:
            # Trials that a killed process left have no time: they are made up for.
            while (finished := sum("seconds" in t.user_attrs for t in study.get_trials(deepcopy=False))) < trials:
                shown.update(finished, _note(study))
                study.optimize(
                    lambda trial: _train(trial, records, folder, space, fields), n_trials=1, catch=(TrainingError,)
                )
                _write(study, folder)
        if not (folder / "best.json").exists():
            errors = [t.user_attrs["error"] for t in study.get_trials() if "error" in t.user_attrs] or ["none"]
            raise TrainingError(f"none of the {trials} trials came to its end; the last error: {errors[-1]}")
    return folder / "best.json"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """One line for what SQLite says of a full disk, a damaged or a locked file."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        why = str(getattr(cause, "orig", None) or cause or error).splitlines()[0]
        raise OutputError(f"cannot read or write {path}: {why}; free some of its disk, or choose another --output"
                          ) from error  # fmt: skip


def _study(folder: Path, space: dict, fields: dict, records: Records, seed: int, heartbeat_s: int):
    """The search in ``study.db``, new or begun."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # of a failed trial it would show the traceback
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # the heartbeat, since 2021
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{folder / 'study.db'}",
            heartbeat_interval=heartbeat_s,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3),
        )
    study = optuna.create_study(
        storage=storage, study_name="netml", load_if_exists=True, sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=PRUNE_AFTER),
    )  # fmt: skip
    about = to_json({"space": space, "fields": fields, "records": records.cell.fingerprint}, sort_keys=True)
    if study.user_attrs.setdefault("about", about) != about:
        raise TrainingError(f"{folder} holds another search, {study.user_attrs['about']}; choose another --output")
    study.set_user_attr("about", about)
    return study


def _train(trial, records: Records, folder: Path, space: dict, fields: dict) -> float:
    """Train with what a trial suggests; its artifact replaces the best one if it is better."""
    import optuna

    chosen = fields | {name: _suggest(trial, name, given) for name, given in space.items()}
    path = folder / f"trial-{trial.number}.netml"

    def report(state: dict) -> None:
        if "auc" in state:
            trial.report(state["loss"], state["update"])
            if trial.should_prune():
                raise optuna.TrialPruned

    start = time.perf_counter()
    try:
        train(records, output=path, fresh=True, progress=False, report=report, **chosen)
        scores = Artifact.load(path).header["scores"]
        loss = scores["validation"]["loss"]
        for name in ("auc", "explained_variance", "rate_ratio"):
            trial.set_user_attr(name, scores["validation"][name])
        trial.set_user_attr("parameters", scores["parameters"])
        better = [t.value for t in trial.study.get_trials(deepcopy=False) if t.value is not None and t.value <= loss]
        if not better:
            shutil.copyfile(path, folder / "best.netml.new")
            (folder / "best.netml.new").replace(folder / "best.netml")
        return loss
    except TrainingError as error:
        trial.set_user_attr("error", str(error))
        raise
    finally:
        for left in folder.glob(f"{path.name}*"):  # first: a full disk may then take the line
            left.unlink()
        trial.set_user_attr("seconds", time.perf_counter() - start)


def _suggest(trial, name: str, given):
    if isinstance(given, list):
        return trial.suggest_categorical(name, given)
    low, high, logarithmic = given
    whole = isinstance(low, int) and isinstance(high, int)
    return (trial.suggest_int if whole else trial.suggest_float)(name, low, high, log=logarithmic)


def _write(study, folder: Path) -> None:
    """The table of all trials, and the fields of the best."""
    rows = [
        {"trial": t.number, "state": t.state.name.lower(), "loss": t.value, **t.user_attrs, **t.params}
        for t in study.get_trials(deepcopy=False)
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with replacing(folder / "trials.csv") as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    if any(row["state"] == "complete" for row in rows):
        best = study.best_trial
        fields = json.loads(study.user_attrs["about"])["fields"] | best.params
        with replacing(folder / "best.json") as path:
            about = {"fields": fields, "loss": best.value, "trial": best.number, **best.user_attrs}
            path.write_text(to_json(about, indent=1))


def _note(study) -> str:
    try:
        return f"best loss {study.best_value:.4f}"
    except ValueError:
        return ""


def _check(space: dict, fields: dict) -> None:
    """Refuse fields that do not exist, ranges that cannot be, and a search over what the loss means."""
    for name, given in space.items():
        if name in MEASURES:
            raise TrainingError(f"{name} decides what the loss means and cannot be searched; set it for all trials")
        if name in fields:
            raise TrainingError(f"{name} is searched and set to {fields[name]} at once; do one of both")
        for value in given if isinstance(given, list) else given[:2]:
            TrainConfig.of(**fields, **{name: value})
        if not isinstance(given, list) and not given[0] < given[1]:
            raise TrainingError(f"{name} is searched from {given[0]} to {given[1]}; expected a range that rises")
    TrainConfig.of(**fields)


def _optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise TrainingError(f"the search needs Optuna ({error}): pip install 'netml[tune]'") from error


def parse_range(text: str):
    """The command line's NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=A,B,C.

    Raises:
        TrainingError: Of another form.
    """
    name, equals, given = text.partition("=")
    try:
        if not name or not equals:
            raise ValueError
        if ":" in given:
            low, high, *rest = given.split(":")
            if rest not in ([], ["log"]):
                raise ValueError
            return name, (json.loads(low), json.loads(high), bool(rest))
        return name, [json.loads(value) for value in given.split(",")]
    except ValueError:
        raise TrainingError(f"--search {text!r} is not NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=A,B,C") from None
