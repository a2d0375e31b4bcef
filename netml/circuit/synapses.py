"""Synapse types (``synMechParams`` entries) as plain data: which of them act alike once an event has its weight."""

from collections.abc import Mapping, Sequence
from typing import Any

#: Mechanisms (``mod/``) whose connections have short-term plasticity, and those with the same kinetics without it.
STATELESS = {"netml_ampa_nmda_stp": "netml_ampa_nmda", "netml_gaba_stp": "netml_gabaa"}
#: The parameters of that plasticity, and the values that switch it off: an event then acts with its whole weight.
OFF = {"U": 1.0, "tau_rec": 0.0, "tau_facil": 0.0}


def is_plastic(params: Mapping[str, Any]) -> bool:
    """Whether connections onto a synapse type have short-term plasticity that netml knows."""
    return params.get("mod") in STATELESS


def alike(synapses: Sequence[str], syn_mech_params: Mapping[str, Mapping[str, Any]]) -> list[int]:
    """For each synapse type, the index of the first that differs from it in short-term plasticity at most.

    Types without parameters are like no other.
    """

    def kinetics(label: str) -> dict[str, Any]:
        params = syn_mech_params.get(label) or {"mod": object()}
        if not is_plastic(params):
            return dict(params)
        return {key: value for key, value in params.items() if key not in OFF} | {"mod": STATELESS[params["mod"]]}

    own = [kinetics(label) for label in synapses]
    return [own.index(one) for one in own]
