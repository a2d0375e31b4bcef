"""Receptors of a synapse type: kinetics and reversal potential, from its parameters, else from what its name says."""

import math
from typing import NamedTuple

NMDA_SLOPE_PER_MV, NMDA_HALF = 0.08, 1 / 3.57  # Jahr and Stevens 1990, J Neurosci 10:3178-3182, 1 mM magnesium


class Receptor(NamedTuple):
    """One conductance: exp(-t / decay) - exp(-t / rise), peak ``ratio`` times the event's weight.

    Attributes:
        synapse: Index of its synapse type.
        rise_ms, decay_ms: Time constants.
        reversal_mv: Where its current turns.
        blocked: Whether magnesium blocks it.
        ratio: Peak, as a share of the event's weight.
    """

    synapse: int
    rise_ms: float
    decay_ms: float
    reversal_mv: float
    blocked: bool
    ratio: float

    @property
    def peak(self) -> float:
        """Peak of exp(-t / decay) - exp(-t / rise); 1 without a rise."""
        if self.rise_ms <= 0 or self.rise_ms >= self.decay_ms:
            return 1.0
        at = self.rise_ms * self.decay_ms / (self.decay_ms - self.rise_ms) * math.log(self.decay_ms / self.rise_ms)
        return math.exp(-at / self.decay_ms) - math.exp(-at / self.rise_ms)


def receptors_of(synapses, syn_mech_params: dict) -> list[Receptor]:
    """Receptors of all synapse types, in the order of the synapse sites."""
    found = []
    for s, label in enumerate(synapses):
        parameters = {k.lower(): v for k, v in syn_mech_params.get(label, {}).items() if isinstance(v, (int, float))}
        inhibitory = _inhibitory(label)
        reversal = float(parameters.get("e", parameters.get("erev", -75.0 if inhibitory else 0.0)))
        for name, decay in _decays(label, parameters).items():
            rise = parameters.get(f"tau_r_{name}", parameters.get("tau_r", parameters.get("tau1", 0.0)))
            blocked = name == "nmda"
            ratio = parameters.get("nmda_ratio", 1.0) if blocked else 1.0
            found.append(Receptor(s, float(rise), decay, reversal, blocked, float(ratio)))
    return found


def decay_times(label: str, parameters: dict) -> tuple[float, ...]:
    """Decay times (ms) of a synapse type's receptors."""
    return tuple(_decays(label, {k.lower(): v for k, v in parameters.items()}).values())


def _inhibitory(label: str) -> bool:
    return "GABA" in label.upper() or "INH" in label.upper()


def _decays(label: str, parameters: dict) -> dict[str, float]:
    """Decay times (ms) by receptor name: what ``tau_d*`` or ``tau2*`` give, else typical ones."""
    given = {}
    for key, value in sorted(parameters.items()):
        if key.startswith(("tau_d", "tau2", "taud")):
            receptor = key.removeprefix("tau_d").removeprefix("tau2").removeprefix("taud").strip("_")
            given[receptor or label.lower()] = float(value)
    name = label.upper()
    if given:
        if len(given) == 1 and "NMDA" in name and "AMPA" not in name:
            return {"nmda": next(iter(given.values()))}
        return given
    if _inhibitory(label):
        return {"gaba": 8.0}
    fast, slow = "AMPA" in name, "NMDA" in name
    typical = ({"ampa": 3.0} if fast else {}) | ({"nmda": 60.0} if slow else {})
    return typical or {"ampa": 3.0, "nmda": 60.0}
