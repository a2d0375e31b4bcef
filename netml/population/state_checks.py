"""What a saved state of a population must be before the C++ population gets it.

Its names and numbers are taken there as they are, and one that lies outside would be read and written outside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netml.errors import ModelError
from netml.population.c_interface import NEVER

LARGEST = 1e9  # of a number of a cell or synapse: beyond it, single precision overflows within a few steps
LAST_TICK = 2**62


class States:
    """Checks of one population's tables.

    Args:
        label: For messages.
        tables: By name, what was saved.
        rules: Short-term plasticity and STDP of each projection, None where it has none.

    Raises:
        ModelError: From every check that fails.
    """

    def __init__(self, label: str, tables: dict[str, np.ndarray], rules: Sequence[tuple]):
        self._label, self._tables = label, tables
        plastic = [k for k, rule in enumerate(rules) if any(rule)]
        self._stdp = {k: stdp for k, (_, stdp) in enumerate(rules) if stdp}
        self._projections = {"flights": [*range(len(rules))], "sources": plastic}
        self._projections |= dict.fromkeys(("post_spikes", "rewards", "synapses"), [*self._stdp])

    def check(self, dtypes: dict[str, np.dtype], ticks_per_step: int, inputs: int, takes_current: bool) -> None:
        """All of it.

        Args:
            dtypes: Of the tables, by name.
            ticks_per_step: Of the population, 1e-6 ms.
            inputs: Of the reduction.
            takes_current: Whether the last of these is a current into the soma.
        """
        self._types(dtypes)
        tables = self._tables
        if len(tables["clock"]) != 1 or tables["clock"]["ticks_per_step"][0] != ticks_per_step:
            clocks = tables["clock"][:3].tolist()
            self._refuse(
                "clock", f"clocks {clocks} (step, ticks a step); expected one, of {ticks_per_step} ticks a step"
            )
        self._within("clock", "step", 0, LAST_TICK // ticks_per_step)
        step = int(tables["clock"]["step"][0])
        now = step * ticks_per_step
        for name in ("cells", "currents"):
            if np.unique(tables[name]["gid"]).size < len(tables[name]):
                self._refuse(name, "a gid twice")
        for name, allowed in self._projections.items():
            if not np.isin(tables[name]["projection"], allowed).all():
                known = ", ".join(map(str, allowed)) or "none"
                self._refuse(name, f"a projection that is not there or has no such plasticity; expected {known}")
        for field in ("voltage", "logit", "state"):
            self._within("cells", field, -LARGEST, LARGEST)
        for name in ("flights", "post_spikes", "rewards"):
            self._within(name, "tick", 0, now)
        for name, field in (("flights", "trace"), ("sources", "trace"), ("post_spikes", "trace")):
            self._within(name, field, 0, LARGEST)
        for name, field in (("flights", "factor"), ("sources", "use"), ("sources", "resources")):
            self._within(name, field, 0, 1 + 1e-9)
        self._within("sources", "last", 0, now)
        self._within("flights", "previous", 0, tables["flights"]["tick"], besides=NEVER)
        self._within("rewards", "amount", -LARGEST, LARGEST)
        self._within("injected", "step", step, LAST_TICK // ticks_per_step)
        self._within("injected", "input", 0, inputs - 1)
        self._within("injected", "weight", 0, 2**31 - 1)
        if len(tables["currents"]) and not takes_current:
            self._refuse("currents", "currents into the soma, which this reduction does not take")
        self._within("currents", "amount", -LARGEST, LARGEST)
        self._within("synapses", "eligibility", -LARGEST, LARGEST)
        for k, stdp in self._stdp.items():
            weight = tables["synapses"]["weight"][tables["synapses"]["projection"] == k]
            if not ((weight >= np.float32(stdp.low_us)) & (weight <= np.float32(stdp.high_us))).all():
                self._refuse("synapses", f"a weight outside the bounds of STDP, {stdp.low_us} to {stdp.high_us} uS")

    def _types(self, dtypes: dict[str, np.dtype]) -> None:
        if lost := [name for name in dtypes if name not in self._tables]:
            raise ModelError(f"the checkpoint of {self._label} lacks {', '.join(lost)}: it is damaged")
        for name, dtype in dtypes.items():
            table = self._tables[name]
            if table.dtype != dtype or table.ndim != 1:
                self._refuse(name, f"type {table.dtype} and shape {table.shape}; expected {dtype}, one axis: it is of "
                             "another reduction, or damaged")  # fmt: skip

    def _within(self, name: str, field: str, low, high, besides=None) -> None:
        values = self._tables[name][field]
        good = (values >= low) & (values <= high)
        if besides is not None:
            good |= values == besides
        if not good.all():
            top = high if np.ndim(high) == 0 else "its tick"
            self._refuse(name, f"{field} {values[~good].flat[0]}; expected {low} to {top}")

    def _refuse(self, name: str, what: str) -> None:
        raise ModelError(f"the checkpoint of {self._label} has in its {name} {what}")
