"""How the rate of a cell grows with the current into its soma: the f-I curve, of the detailed cell and the reduction.

Measured on constant stretches of current in trials without any synaptic event.
"""

import numpy as np

from netml.validation.cell_metrics import Prediction

MIN_STRETCH_MS = 100.0
BINS = 8


def f_i_curve(predictions: list[Prediction]) -> dict | None:
    """Rates against current; None where no trial has a current and nothing else.

    Returns:
        dict: ``stretches`` (number), ``points``: of each bin of current (equal numbers of stretches) current_na,
        rate_true_hz, rate_model_hz and seconds; ``rate_error_hz``, mean absolute difference of the rates a stretch,
        weighted by its length; ``one_silent``, the share of the stretches in which only one of both fires.
    """
    found = [stretch for p in predictions if not p.events for stretch in stretches(p)]
    if not any(current for current, *_ in found):
        return None
    current, seconds, true, model = np.array(sorted(found)).T
    points = []
    for part in np.array_split(np.arange(current.size), min(BINS, current.size)):
        whole = seconds[part].sum()
        points.append({
            "current_na": float(np.average(current[part], weights=seconds[part])), "seconds": float(whole),
            "rate_true_hz": float(true[part].sum() / whole), "rate_model_hz": float(model[part].sum() / whole),
        })  # fmt: skip
    return {
        "stretches": int(current.size),
        "points": points,
        "rate_error_hz": float(np.abs(true - model).sum() / seconds.sum()),
        "one_silent": float(((true > 0) != (model > 0)).mean()),
    }


def stretches(p: Prediction) -> list[tuple[float, float, int, int]]:
    """(nA, s, true spikes, spikes of the model) of the constant stretches of at least 100 ms in a trial's current."""
    if p.current_na is None:
        return []
    borders = np.flatnonzero(np.diff(p.current_na, prepend=np.nan, append=np.nan))
    true, model = p.spike_trains()
    found = []
    for first, last in zip(borders[:-1], borders[1:], strict=True):
        start, end = first * p.dt_ms, last * p.dt_ms
        if end - start >= MIN_STRETCH_MS:
            inside = [int(((times > start) & (times <= end)).sum()) for times in (true, model)]
            found.append((float(p.current_na[first]), (end - start) / 1000.0, *inside))
    return found
