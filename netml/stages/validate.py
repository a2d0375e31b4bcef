"""`netml validate`: a reduction against the records of the cell it stands for, free-running, on unseen trials."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netml.artifact import Artifact
from netml.files import output_folder, replacing
from netml.plain import plain_arguments, to_json
from netml.records import Records
from netml.report.cell_report import write_report
from netml.validation.cell import SKIP_MS, check_same_cell, choose_trials, measure, warnings
from netml.validation.prediction import predict
from netml.validation.uncertainty import uncertainty
from netml.validation.verdict import verdict


@plain_arguments
def validate(
    artifact: Artifact | str | Path, records: Records | str | Path, *, output: str | Path | None = None,
    split: str = "test", kinds: Sequence[str] | None = None, skip_ms: float = SKIP_MS, physics: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Measure how well a reduction predicts its cell.

    The reduction runs free: its own emitted spikes feed back, nothing of the truth reaches it but the synaptic events.

    Args:
        artifact: Path of a ``.netml`` file, or an :class:`Artifact`.
        records: Folder of records of the same cell, or :class:`Records`.
        output: Folder for ``validation.json``, ``report.html`` and ``figures/``; nothing is written without it.
        split: ``test`` (default), ``validation``, ``train`` or ``all`` trials.
        kinds: Only trials of these kinds (see netml/records/README.md); all by default.
        skip_ms: Start of each trial that does not count, ms: the cell settles from rest.
        physics: Check the laws of :mod:`netml.validation.physics` too, which takes seconds.

    Returns:
        dict, JSON-able: ``all`` and ``kinds`` (metrics over all trials and by kind, see
        :func:`netml.validation.cell_metrics.all_trials`), ``published`` (headline protocol of the literature, for
        comparison), each with ``interval_95`` (see :mod:`netml.validation.bootstrap`), ``physics`` (laws, and whether
        they hold), ``unseen`` (see :func:`unseen`), ``f_i`` (rate against current), ``doubt`` (see
        :mod:`netml.validation.uncertainty`), ``verdict`` (see :func:`netml.validation.verdict.verdict`), what was
        measured, ``warnings``, and ``report`` / ``json`` (paths, or None).

    Raises:
        ArtifactError: Unreadable, or a reduction of another cell than the recorded one.
        RecordsError: Unreadable, or no trial of that split and those kinds is longer than ``skip_ms``.
        OutputError: The output folder cannot be written.
        CompileError: The kernel does not compile.

    Example:
        >>> scores = netml.validate("PYR.netml", "records", output="PYR-report")
        >>> scores["all"]["auc"]  # of the spikes, in bins of 1 ms
        >>> scores["report"]  # 'PYR-report/report.html'
    """
    name = str(artifact) if not isinstance(artifact, Artifact) else "artifact"
    artifact = artifact if isinstance(artifact, Artifact) else Artifact.load(artifact)
    records = records if isinstance(records, Records) else Records.open(records)
    check_same_cell(artifact, records)
    chosen = choose_trials(artifact, records, split, kinds, skip_ms)
    if output is not None:
        output_folder(output)
    by_length = sorted(chosen, key=lambda k: records.durations_ms[k])
    found = dict(zip(by_length, predict(artifact, records.trials(by_length)), strict=True))
    predictions = [found[k] for k in chosen]
    result = measure(predictions, artifact, skip_ms)
    result["doubt"] = uncertainty(artifact, predictions, records.trials(chosen), skip_ms)
    result["physics"] = []
    if physics:
        from netml.validation.physics import physics as laws  # needs torch, which the scores do not

        result["physics"] = laws(artifact, predictions)
    result["source"] = {
        "artifact": name,
        "records": str(records.folder),
        "cell": records.cell.label,
        "fingerprint": records.cell.fingerprint,
        "split": split,
        "trials": len(chosen),
        "trials_by_kind": {kind: result["kinds"][kind]["trials"] for kind in result["kinds"]},
        "dt_r_ms": artifact.header["dt_r_ms"],
        "threshold": artifact.header["threshold"],
        "parameters": int(artifact.arrays["params"].size),
        "artifact_provenance": artifact.header["provenance"],
        "records_provenance": records.provenance,
    }
    result["verdict"] = verdict(result)
    result["warnings"] = warnings(result, artifact, records, split)
    result["report"] = result["json"] = None
    if output is not None:
        folder = Path(output)
        result["report"] = str(write_report(folder, result, predictions))
        result["json"] = str(folder / "validation.json")
        with replacing(folder / "validation.json") as path:
            path.write_text(to_json(result, indent=1))
    return result
