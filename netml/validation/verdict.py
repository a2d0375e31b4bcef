"""Whether a reduction may be used, in one sentence, from what :func:`netml.validate` measured."""

from collections.abc import Mapping
from typing import Any

from netml.records.trial import NETWORK

MIN_AUC = 0.98  # over all trials
MIN_KIND_AUC = 0.97  # over the trials of one kind, the network's first of all
MAX_RATE_ERROR = 0.05
MIN_SPIKES = 100  # fewer carry no verdict
USABLE, WITHIN, NOT_YET = "usable", "usable within", "not yet"


def verdict(result: Mapping[str, Any]) -> dict[str, Any]:
    """Judge a reduction by its spikes on all trials, and kind by kind.

    Args:
        result: ``all`` and ``kinds`` of :func:`netml.validate`, and ``split`` in its ``source``.

    Returns:
        dict, JSON-able: ``word`` (usable, usable within, not yet), ``within`` (kinds of trials on which it holds),
        ``reasons`` (what does not hold), ``spikes`` and ``trials`` it rests on, and ``sentence``, all of it in words.

    Example:
        >>> scores = netml.validate("PYR.netml", "records")
        >>> verdict(scores)["word"]  # as scores["verdict"] has it
    """
    everything, kinds = result["all"], result["kinds"]
    failing = {kind: why for kind, scores in kinds.items() if (why := _fails(scores, MIN_KIND_AUC, chance=True))}
    reasons = _fails(everything, MIN_AUC)
    spikes, trials = everything["spikes"]["spikes_true"], everything["trials"]
    within = [kind for kind in kinds if kind not in failing]
    home = NETWORK if NETWORK in kinds else None
    few = spikes < MIN_SPIKES
    if few:
        reasons = [f"{spikes} spikes are too few to judge by, expected {MIN_SPIKES} or more", *reasons]
    if home in failing:
        reasons = [*(f"{why} in the network's own trials" for why in failing[home]), *reasons]
    if few or home in failing or (reasons and not within):
        word = NOT_YET
    elif reasons:
        word = WITHIN
    else:
        word, within = USABLE, list(kinds)
    rests = (
        f"{trials} {result.get('source', {}).get('split', 'test')} trials with {spikes:,} spikes of the detailed cell"
    )
    auc, error = everything["auc"], everything["spikes"]["rate_error"]
    found = f"AUC {auc:.4f}" if auc is not None else "AUC undefined"
    found += f", rate {100 * error:+.1f} %" if error is not None else ""
    sentence = f"{word}: {found}, on {rests}"
    if word == WITHIN:
        sentence = f"{word} input of the kinds {', '.join(within)}: {found}, on {rests}; {'; '.join(reasons)}"
    elif word == NOT_YET:
        sentence += f"; {'; '.join(reasons)}"
    return {"word": word, "within": within, "reasons": reasons, "spikes": spikes, "trials": trials,
            "sentence": sentence}  # fmt: skip


def _fails(scores: Mapping[str, Any], auc: float, chance: bool = False) -> list[str]:
    """What does not hold of the scores of some trials; nothing is asked of the AUC where no cell fires.

    Args:
        scores: Of :func:`netml.validation.cell_metrics.all_trials`.
        auc: The least that is asked for.
        chance: Allow the rate what counts of so few spikes differ by anyway.
    """
    fails = []
    spikes, error = scores["spikes"]["spikes_true"], scores["spikes"]["rate_error"]
    if scores["auc"] is not None and scores["auc"] < auc:
        fails.append(f"AUC {scores['auc']:.4f} is below {auc:g}")
    allowed = max(MAX_RATE_ERROR, spikes**-0.5 if chance and spikes else 0.0)
    if spikes and not scores["spikes"]["spikes_model"]:
        fails.append(f"it is silent where the detailed cell fires {spikes:,} times")
    elif error is not None and abs(error) > allowed:
        fails.append(f"its rate is off by {100 * error:+.1f} %, allowed are {100 * allowed:.0f} %")
    return fails
