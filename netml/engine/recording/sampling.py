"""How records sample a run: voltages every millisecond, trials of whole milliseconds, buffers that fit in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from netml.errors import ModelError, RecordsError

SAMPLE_MS = 1.0
BUFFER_LIMIT_BYTES = 4e9


def steps_per_sample(dt_ms: float) -> int:
    """Time steps between two voltage samples.

    Raises:
        ModelError: dt does not divide a millisecond.
    """
    steps = round(SAMPLE_MS / dt_ms)
    if steps < 1 or abs(steps * dt_ms - SAMPLE_MS) > 1e-9:
        raise ModelError(
            f"dt is {dt_ms} ms; records sample the voltage every {SAMPLE_MS} ms, so dt must divide it, "
            f"e.g. 0.025, 0.05 or 0.1"
        )
    return steps


def whole_milliseconds(duration_ms: float) -> float:
    """The duration of a trial, checked.

    Raises:
        ModelError: Not a positive whole number of milliseconds.
    """
    if not 1 <= duration_ms < float("inf") or abs(duration_ms - round(duration_ms)) > 1e-9:
        raise ModelError(f"duration is {duration_ms} ms; a trial lasts a positive whole number of milliseconds")
    return float(round(duration_ms))


class VoltageRecorder:
    """Voltages at the probes of one cell, every step while running (CoreNEURON knows no other), every ms when read."""

    def __init__(self, h: Any, cell: Any, probes: dict):
        self._vectors = {
            name: h.Vector().record(cell.secs[section]["hObj"](loc)._ref_v) for name, (section, loc) in probes.items()
        }

    def read(self, dt_ms: float, duration_ms: float) -> dict[str, np.ndarray]:
        """Site -> float32 [T + 1] mV.

        Raises:
            RecordsError: The run ended early.
        """
        stride, samples = steps_per_sample(dt_ms), int(round(duration_ms)) + 1
        read = {
            name: vector.as_numpy()[::stride][:samples].astype(np.float32) for name, vector in self._vectors.items()
        }
        steps = round(duration_ms / dt_ms) + 1
        for name, vector in self._vectors.items():
            if len(vector) != steps:
                raise RecordsError(
                    f"voltage at {name} was recorded at {len(vector)} steps, expected {steps}: the run ended "
                    f"early, or its time step changed"
                )
        return read


def check_buffers(cells: int, probes: int, duration_ms: float, dt_ms: float) -> None:
    """Raise ModelError if the voltages of a rank's run would not fit in memory."""
    size = 8.0 * cells * probes * duration_ms / dt_ms
    if size > BUFFER_LIMIT_BYTES:
        raise ModelError(
            f"recording {cells} cells at {probes} probes for {duration_ms:g} ms takes {size / 1e9:.1f} GB on "
            f"one rank (limit {BUFFER_LIMIT_BYTES / 1e9:g}); use a shorter --duration, fewer cells or sites"
        )
