"""A reduction against its cell: which trials count, all scores over them, and what a reader must know before these."""

from collections.abc import Sequence

from netml.artifact import Artifact
from netml.errors import ArtifactError, RecordsError
from netml.records import Records
from netml.records.reader import HELD_OUT
from netml.records.trial import NETWORK
from netml.stimuli import random_input as inputs
from netml.validation import bootstrap, cell_metrics, currents
from netml.validation.cell_metrics import PUBLISHED_CLIP_MV, PUBLISHED_SKIP_MS, Prediction

SKIP_MS = 200.0
SPLITS = ("test", "validation", "train", "all")
DEFAULT_CLIP_MV = -55.0


def check_same_cell(artifact: Artifact, records: Records) -> None:
    """Refuse records of another cell than the one the artifact was trained on.

    Raises:
        ArtifactError: The fingerprints, or the synapse types, differ.
    """
    cell = artifact.header["cell"]
    if cell["fingerprint"] != records.cell.fingerprint:
        raise ArtifactError(
            f"the reduction is of another cell: {cell['label']!r}, fingerprint {cell['fingerprint'][:12]}; the records "
            f"in {records.folder} are of {records.cell.label!r}, fingerprint {records.cell.fingerprint[:12]}. Validate "
            f"it on records of its own cell, or train a reduction on these"
        )
    if tuple(artifact.header["synapses"]) != tuple(records.cell.synapses):
        raise ArtifactError(
            f"the reduction's synapse types are {', '.join(artifact.header['synapses'])}; the records have "
            f"{', '.join(records.cell.synapses)}. Train a reduction on these records"
        )
    if [tuple(s) for s in artifact.header["sections"]] != [tuple(s) for s in records.cell.segments.sections]:
        raise ArtifactError(
            f"the reduction's sections are not those of {records.cell.label!r}. Train a reduction on these records"
        )


def choose_trials(
    artifact: Artifact, records: Records, split: str, kinds: Sequence[str] | None, skip_ms: float
) -> list[int]:
    """Indices of the trials to validate on; the split is the one that training made (same seed, same trials).

    A reduction that takes no current is not judged on trials with one.
    """
    if split not in SPLITS:
        raise RecordsError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    known = sorted(set(records.kinds))
    if unknown := sorted(set(kinds or ()) - set(known)):
        raise RecordsError(f"{records.folder} has no trials of kind {', '.join(unknown)}; it has {', '.join(known)}")
    provenance = artifact.header["provenance"]
    seed = provenance.get("split_seed", provenance.get("config", {}).get("split_seed", 0))
    held_out = provenance.get("config", {}).get("held_out", HELD_OUT)
    candidates = range(len(records)) if split == "all" else records.split(seed, held_out)[split]
    chosen = [k for k in candidates if not kinds or records.kinds[k] in kinds]
    takes_current = bool(artifact.header.get("current"))
    chosen = [k for k in chosen if takes_current or not records.with_current[k]]
    long = [k for k in chosen if records.durations_ms[k] > skip_ms]
    if not long:
        why = f"none of its {len(chosen)} is longer than skip_ms = {skip_ms:g}" if chosen else "it has none"
        why += "" if takes_current else " (the reduction takes no current into its soma: trials with one do not count)"
        raise RecordsError(
            f"no {split} trial of kind {', '.join(kinds or known)} in {records.folder} to validate on: {why}"
        )
    return long


def measure(predictions: list[Prediction], artifact: Artifact, skip_ms: float) -> dict:
    """All metrics, over all trials and by kind, and the published protocol, each with its intervals."""
    v_clip = clip_of(artifact)
    kinds = sorted({p.kind for p in predictions}, key=lambda kind: (kind != NETWORK, kind))
    by_kind = {kind: [p for p in predictions if p.kind == kind] for kind in kinds}

    def honest(chosen: list[Prediction]) -> dict:
        scores = cell_metrics.all_trials(chosen, skip_ms, v_clip)
        return scores | {"interval_95": bootstrap.intervals(chosen, skip_ms, v_clip)}

    published = cell_metrics.published_trials(predictions)
    metrics = {kind: honest(chosen) for kind, chosen in by_kind.items()}
    return {
        "skip_ms": skip_ms,
        "v_clip_mv": v_clip,
        "all": honest(predictions),
        "kinds": metrics,
        "unseen": unseen(metrics),
        "f_i": currents.f_i_curve(predictions),
        "published": cell_metrics.published(predictions)
        | {"interval_95": bootstrap.intervals(published, PUBLISHED_SKIP_MS, PUBLISHED_CLIP_MV)},
    }


def unseen(kinds: dict) -> dict | None:
    """AUC on input that no network need give, against the plain input of the same protocol.

    Args:
        kinds: Metrics by kind.

    Returns:
        ``plain`` (the kind compared with) and ``auc_change`` by kind; None without such trials.
    """
    plain = next((kind for kind in ("dense", NETWORK) if kind in kinds), None)
    found = [kind for kind in (*inputs.UNSEEN, "volleys") if kind in kinds]
    if plain is None or not set(found) & set(inputs.UNSEEN):
        return None
    aucs = {kind: kinds[kind]["auc"] for kind in (plain, *found)}
    changes = {k: None if None in (aucs[k], aucs[plain]) else aucs[k] - aucs[plain] for k in found}
    return {"plain": plain, "auc_change": changes}


def clip_of(artifact: Artifact) -> float:
    """Voltage (mV) above which the reduction was not asked to follow."""
    value = artifact.header.get("v_clip_mv")
    return DEFAULT_CLIP_MV if value is None else float(value)


def warnings(result: dict, artifact: Artifact, records: Records, split: str) -> list[str]:
    """What a reader must know before the figures."""
    found = []
    if not artifact.header.get("current") and (left := int(records.with_current.sum())):
        found.append(f"{left} trials of these records have a current into the soma and are left out: the reduction "
                     "was trained without one. Train it on records with currents to have it judged there.")  # fmt: skip
    trained_dt, dt = artifact.header["provenance"].get("dt_ms"), records.cell.dt_ms
    if trained_dt is not None and abs(trained_dt - dt) > 1e-9:
        found.append(f"The reduction was trained on a detailed cell at dt = {trained_dt:g} ms and is judged at "
                     f"{dt:g} ms: spike times of the detailed cell itself shift with dt.")  # fmt: skip
    if (
        split in ("train", "all")
        and artifact.header["provenance"].get("records", records.provenance) == records.provenance
    ):
        found.append(f"Split {split!r} holds trials that the reduction was trained on: these figures are not held out.")
    if NETWORK not in result["kinds"]:
        found.append("No trial recorded in a network is among these: all figures are of the artificial protocol.")
    spikes = result["all"]["spikes"]
    if spikes["spikes_true"] < 100:
        found.append(
            f"Only {spikes['spikes_true']} true spikes: AUC, Gamma and rates are uncertain. Record more trials."
        )
    if spikes["spikes_model"] == 0 and spikes["spikes_true"]:
        found.append("The reduction emitted no spike: its threshold is too high, or it was trained too little.")
    silent = [
        kind for kind, m in result["kinds"].items() if m["spikes"]["spikes_true"] and not m["spikes"]["spikes_model"]
    ]
    if silent and spikes["spikes_model"]:
        found.append(
            f"The reduction is silent in all trials of kind {', '.join(silent)}, where the detailed cell fires."
        )
    gamma = result["all"]["spikes"]["gamma"]
    if gamma is None and spikes["spikes_true"]:
        found.append("The reduction fires so fast that the coincidence factor is undefined.")
    found += [f"Physics: {law['name']} does not hold: {law['measured']}; expected {law['expected']}."
              for law in result["physics"] if law["passed"] is False]  # fmt: skip
    if result["published"]["trials"] == 0:
        found.append("The published protocol has no trial here (1 to 24 spikes, longer than 500 ms); it is left empty.")
    return found
