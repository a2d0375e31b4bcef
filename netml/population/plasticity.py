"""Plasticity of a projection; equations, order and times stand in the README beside this file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from netml.circuit.synapses import OFF, is_plastic
from netml.errors import ModelError


@dataclass(frozen=True)
class ShortTerm:
    """Short-term plasticity after Tsodyks and Markram: each source has its own u and r.

    Attributes:
        use: U, share of the resources that a first spike uses, above 0 and up to 1.
        tau_rec_ms: Time constant of recovery, ms.
        tau_facil_ms: Of facilitation, ms; 0: none.

    Raises:
        ModelError: A value outside its range, or no finite number.

    Example:
        >>> netml.ShortTerm(use=0.5, tau_rec_ms=100.0).factors(np.array([0.0, 10.0])).round(3).tolist()
        [0.5, 0.274]
    """

    use: float
    tau_rec_ms: float
    tau_facil_ms: float = 0.0

    def __post_init__(self):
        _finite(self)
        if not 0 < self.use <= 1:
            raise ModelError(f"use (U) of short-term plasticity is {self.use}; expected above 0, at most 1")
        if self.tau_rec_ms <= 0 or self.tau_facil_ms < 0:
            raise ModelError(
                f"short-term plasticity has tau_rec_ms {self.tau_rec_ms} and tau_facil_ms {self.tau_facil_ms}; "
                "expected the first above 0, the second 0 (no facilitation) or more"
            )

    @classmethod
    def of_synapse(cls, label: str, params: Mapping[str, Any]) -> "ShortTerm | None":
        """That of the connections onto a synapse type; None: they have none.

        Args:
            label: The type's name, for messages.
            params: Its ``synMechParams`` entry.

        Raises:
            ModelError: A mechanism with short-term plasticity, without the parameters of one.

        Example:
            >>> netml.ShortTerm.of_synapse("exc", {"mod": "ExpSyn", "tau": 2.0, "e": 0.0})  # static: None
        """
        if not is_plastic(params):
            return None
        try:
            return cls(*(float(params[name]) for name in OFF))
        except (KeyError, ModelError) as error:
            raise ModelError(
                f"synMech {label!r} ({params['mod']}): {error}; give it U, tau_rec and tau_facil"
            ) from None

    def factors(self, times_ms: np.ndarray) -> np.ndarray:
        """(spikes) float64: what the weight of a connection is multiplied by, u r, at each of its source's spikes.

        Args:
            times_ms: (spikes) sorted.

        Example:
            >>> netml.ShortTerm(0.1, 50.0, 500.0).factors(np.array([0.0, 10.0])).round(3).tolist()  # facilitates
            [0.1, 0.173]
        """
        made, u, r, last = np.empty(len(times_ms)), 0.0, 1.0, 0.0
        for k, time in enumerate(times_ms.tolist()):
            since, last = time - last, time
            r = 1 + (r * (1 - u) - 1) * math.exp(-since / self.tau_rec_ms)
            u = self.use + u * (1 - self.use) * (math.exp(-since / self.tau_facil_ms) if self.tau_facil_ms else 0.0)
            made[k] = u * r
        return made


@dataclass(frozen=True)
class RewardStdp:
    """Reward-modulated, pair-based STDP with an eligibility trace at each synapse.

    Attributes:
        rate_us: Change of the weight for one unit of reward x eligibility, uS.
        high_us: Highest weight, uS.
        low_us: Lowest weight, uS.
        a_plus: Eligibility from a spike of the cell right after an arrival, no unit.
        a_minus: Eligibility that an arrival right after a spike of the cell takes away, no unit.
        tau_plus_ms: Time constant by which the first falls with the distance, ms.
        tau_minus_ms: That of the second, ms.
        tau_eligibility_ms: Time constant by which eligibility is forgotten, ms.

    Raises:
        ModelError: A value outside its range, or no finite number.

    Example:
        >>> rule = netml.RewardStdp(rate_us=1e-5, high_us=2e-3)
        >>> netml.build(netParams, {"PYR": "PYR.netml"}, plasticity={"input->PYR": rule})
    """

    rate_us: float
    high_us: float
    low_us: float = 0.0
    a_plus: float = 1.0
    a_minus: float = 1.0
    tau_plus_ms: float = 20.0
    tau_minus_ms: float = 20.0
    tau_eligibility_ms: float = 1000.0

    def __post_init__(self):
        _finite(self)
        if not 0 <= self.low_us <= self.high_us:
            raise ModelError(
                f"bounds of a plastic weight are {self.low_us} to {self.high_us} uS; expected 0 <= low <= high"
            )
        for name in ("tau_plus_ms", "tau_minus_ms", "tau_eligibility_ms"):
            if getattr(self, name) <= 0:
                raise ModelError(f"{name} of STDP is {getattr(self, name)}; expected above 0")


def _finite(rule) -> None:
    for field in fields(rule):
        value = getattr(rule, field.name)
        if not math.isfinite(value):
            raise ModelError(f"{field.name} of {type(rule).__name__} is {value}; expected a finite number")
