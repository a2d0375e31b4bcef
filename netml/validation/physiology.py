"""Cells of a model against published targets: eFEL features of current-clamp protocols, as z values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from netml.circuit.physiology import SPIKE_MV, CellTargets, Protocol, Slope, Target
from netml.errors import ModelError

Traces = Mapping[str, tuple[np.ndarray, np.ndarray]]


def load_efel() -> Any:
    """The eFEL module.

    Raises:
        ModelError: It is not installed.
    """
    try:
        import efel
    except ImportError as error:
        raise ModelError("cells are validated with eFEL, which is not installed; pip install 'netml[cells]'") from error
    return efel


def measure(protocol: Protocol, traces: Traces) -> list[float | None]:
    """The value of each of a protocol's targets, mean over spikes; None where the feature is not there (no spikes).

    Args:
        protocol: With its targets.
        traces: Time in ms and voltage in mV by recorded site.

    Raises:
        ModelError: eFEL is not installed.
    """
    efel = load_efel()
    found: dict[tuple[str, float, str], float | None] = {}
    for at, threshold in dict.fromkeys((target.at, target.threshold_mv) for target in protocol.targets):
        features = [t.feature for t in protocol.targets if (t.at, t.threshold_mv) == (at, threshold)]
        names = [name for feature in features for name in feature.split("/")]
        efel.reset()
        efel.set_setting("Threshold", threshold)
        efel.set_setting("strict_stiminterval", True)
        time, voltage = traces[at]
        start, stop = protocol.window_ms
        trace = {"T": time, "V": voltage, "stim_start": [start], "stim_end": [stop]}
        ours = [name for name in names if name in OWN_FEATURES]
        (values,) = efel.get_feature_values([trace], [n for n in names if n not in ours], raise_warnings=False)
        means = {name: None if one is None or len(one) == 0 else float(np.mean(one)) for name, one in values.items()}
        means |= {name: OWN_FEATURES[name](time, voltage, threshold, protocol.window_ms) for name in ours}
        found |= {(at, threshold, feature): quotient(means, feature) for feature in features}
    efel.reset()
    return [found[t.at, t.threshold_mv, t.feature] for t in protocol.targets]


def time_above_threshold(
    time: np.ndarray, voltage: np.ndarray, threshold_mv: float, window_ms: tuple[float, float]
) -> float:
    """How long the voltage [samples] is above a threshold inside the window, ms.

    eFEL's AP_width ends at the first dent of a long calcium spike, as a spike of the soma makes one, so that it does
    not see a plateau.
    """
    start, stop = window_ms
    above = (voltage[:-1] > threshold_mv) & (time[:-1] >= start) & (time[:-1] < stop)
    return float(np.sum(np.diff(time)[above]))


#: Features that eFEL does not have, by the name that targets give them.
OWN_FEATURES: dict[str, Callable[..., float]] = {"time_above_threshold": time_above_threshold}


def quotient(values: Mapping[str, float | None], feature: str) -> float | None:
    """The value of "A", or of "A/B" the quotient; None where there is none."""
    first, _, second = feature.partition("/")
    if not second:
        return values[first]
    a, b = values[first], values[second]
    return None if a is None or not b else a / b


def scores(cell: CellTargets, traces: Mapping[str, Traces]) -> list[dict[str, Any]]:
    """A row for each target of a cell: cell, protocol, feature, target, sd, value, z, source.

    Args:
        cell: With its protocols.
        traces: By protocol, then as in :func:`measure`.
    """
    rows = []
    for protocol in cell.protocols:
        for target, value in zip(protocol.targets, measure(protocol, traces[protocol.name]), strict=True):
            rows.append(row(cell.cell, protocol.name, label(target), target, value))
    protocols = {protocol.name: protocol for protocol in cell.protocols}
    for slope in cell.slopes:
        ends = [protocols[name] for name in (slope.first, slope.second)]
        rates = [rate_hz(protocol, traces[protocol.name]["soma"]) for protocol in ends]
        amps = [protocol.currents[-1].amp_na for protocol in ends]
        value = (rates[1] - rates[0]) / (amps[1] - amps[0])
        rows.append(row(cell.cell, f"{slope.first} to {slope.second}", "f-I slope (Hz/nA)", slope, value))
    return rows


def row(cell: str, protocol: str, feature: str, target: Target | Slope, value: float | None) -> dict[str, Any]:
    """One line of the result, as JSON keeps it."""
    z = None if value is None else (value - target.target) / target.sd
    return {
        "cell": cell, "protocol": protocol, "feature": feature, "target": target.target, "sd": target.sd,
        "value": value, "z": z, "source": target.source,
    }  # fmt: skip


def rate_hz(protocol: Protocol, trace: tuple[np.ndarray, np.ndarray]) -> float:
    """Spikes of the soma in the protocol's window over its length."""
    time, voltage = trace
    start, stop = protocol.window_ms
    upward = (voltage[1:] >= SPIKE_MV) & (voltage[:-1] < SPIKE_MV)
    return 1000.0 * float(np.sum(upward & (time[1:] >= start) & (time[1:] < stop))) / (stop - start)


def label(target: Target) -> str:
    """The feature's name, with the site where it is not the soma."""
    return target.feature if target.at == "soma" else f"{target.at}.{target.feature}"


def summary(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How many features there are, and how many lie within 2 SD, beyond 3 and beyond 5; a missing one is beyond all."""
    sizes = [np.inf if row["z"] is None else abs(row["z"]) for row in rows]
    counts = {"features": len(sizes), "within_2_sd": sum(z <= 2 for z in sizes)}
    return counts | {f"beyond_{k}_sd": sum(z > k for z in sizes) for k in (3, 5)}
