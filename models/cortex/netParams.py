"""The cortical circuit: thick-tufted pyramidal cells (PYR) and fast-spiking interneurons (PV).

Sources of the connection statistics are in README.md. Units: ms, mV, uS, Hz, um.
"""

import json
from pathlib import Path

import numpy as np
from netpyne import specs

try:
    from __main__ import cfg
except ImportError:
    from cfg import cfg

netParams = specs.NetParams()
netParams.sizeX, netParams.sizeY, netParams.sizeZ = 200.0, 150.0, 200.0
netParams.defaultThreshold = -20.0

CELLS = Path(__file__).resolve().parent / "cells"
for label in ("PYR", "PV"):
    netParams.cellParams[label] = json.loads((CELLS / f"{label}.json").read_text())

netParams.popParams["PYR"] = {"cellType": "PYR", "numCells": cfg.n_pyr}
netParams.popParams["PV"] = {"cellType": "PV", "numCells": cfg.n_pv}

netParams.synMechParams["AMPA_NMDA"] = {
    "mod": "netml_ampa_nmda",
    "tau_r_ampa": 0.3,
    "tau_d_ampa": 2.0,
    "tau_r_nmda": 2.0,
    "tau_d_nmda": 45.0,
    "nmda_ratio": 0.8,
    "mg": 1.0,
    "e": 0.0,
}
netParams.synMechParams["GABAA"] = {"mod": "netml_gabaa", "tau_r": 0.5, "tau_d": 8.0, "e": -80.0}

# Every dendritic section has three segments; contacts lie on their centres, so that contacts of one
# type on one segment share one synapse object and no float sum depends on the order of creation.
CENTRES = [1 / 6, 1 / 2, 5 / 6]
DELAY = "0.8 + dist_3D/300"  # a synaptic delay, then 0.3 m/s along the axon


def lognormal(mean: float) -> str:
    """A weight drawn for each pair, with a coefficient of variation of 0.6."""
    return f"lognormal({mean}, {(0.6 * mean) ** 2})"


def connect(label, pre, post, synapse, probability, weight, contacts, sec, loc=CENTRES) -> None:
    """A probabilistic rule; the rules of one pair of populations choose the same pairs."""
    netParams.connParams[label] = {
        "preConds": {"pop": pre},
        "postConds": {"pop": post},
        "synMech": synapse,
        "probability": min(probability * cfg.scale_recurrent, 1.0),
        "weight": lognormal(weight),
        "delay": DELAY,
        "synsPerConn": contacts,
        "sec": sec,
        "loc": loc,
    }


connect("PYR->PYR", "PYR", "PYR", "AMPA_NMDA", cfg.p_ee, cfg.w_ee, 5, "proximal")
connect("PYR->PV", "PYR", "PV", "AMPA_NMDA", cfg.p_ei, cfg.w_ei, 4, "dendritic")
connect("PV->PYR", "PV", "PYR", "GABAA", cfg.p_ie, cfg.w_ie, 6, "perisomatic")
connect("PV->PYR soma", "PV", "PYR", "GABAA", cfg.p_ie, 2 * cfg.w_ie, 1, "soma", 0.5)
connect("PV->PV", "PV", "PV", "GABAA", cfg.p_ii, cfg.w_ii, 4, "dendritic")


def background(name, pop, synapse, sections, drive, scale, stream) -> None:
    """Independent Poisson trains onto sites spread evenly over the length of `sections`.

    NetPyNE seeds a NetStim by (gid, seed) alone, so that all trains of a cell would be the same
    train: each site is therefore a source with a seed of its own.
    """
    secs = netParams.cellParams[pop]["secs"]
    lengths = np.array([secs[section]["geom"]["L"] for section in sections])
    rng = np.random.default_rng([cfg.seeds["conn"], stream])
    chosen = rng.choice(len(sections), drive["sites"], p=lengths / lengths.sum())
    centres = rng.integers(len(CENTRES), size=drive["sites"])
    weights = rng.lognormal(np.log(drive["weight"]) - 0.5 * np.log(1.36), np.log(1.36) ** 0.5, drive["sites"])
    for site in range(drive["sites"]):
        label = f"{name}_{site}"
        netParams.stimSourceParams[label] = {
            "type": "NetStim",
            "rate": drive["rate"] * scale,
            "noise": 1.0,
            "start": 0.0,
            "seed": 100_000 * cfg.seeds["stim"] + 10_000 * stream + site,
        }
        netParams.stimTargetParams[f"{label}->{pop}"] = {
            "source": label,
            "conds": {"pop": pop},
            "sec": sections[chosen[site]],
            "loc": CENTRES[centres[site]],
            "synMech": synapse,
            "weight": float(weights[site]),
            "delay": 0.5,
        }


pyr_lists = netParams.cellParams["PYR"]["secLists"]
pv_lists = netParams.cellParams["PV"]["secLists"]
dendrites = [*pyr_lists["basal"], *pyr_lists["apical"]]
scale = cfg.scale_background
background("pyr_exc", "PYR", "AMPA_NMDA", dendrites, cfg.pyr_exc, scale, 0)
background("pyr_inh", "PYR", "GABAA", dendrites, cfg.pyr_inh, 1.0, 1)
background("pv_exc", "PV", "AMPA_NMDA", pv_lists["dendritic"], cfg.pv_exc, scale, 2)
background("pv_inh", "PV", "GABAA", pv_lists["dendritic"], cfg.pv_inh, 1.0, 3)
