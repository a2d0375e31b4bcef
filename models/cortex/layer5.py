"""The circuit of layer 5: thick-tufted pyramidal cells (PYR) and fast-spiking interneurons (PV).

Sources of the connection statistics are in README.md. Units: ms, mV, uS, Hz, um.
"""

from netpyne import specs
from parts import CENTRES, DELAY, background, lognormal, read_cell

try:
    from __main__ import cfg
except ImportError:
    from cfg import cfg

netParams = specs.NetParams()
netParams.sizeX, netParams.sizeY, netParams.sizeZ = 200.0, 150.0, 200.0
netParams.defaultThreshold = -20.0

netParams.cellParams["PYR"], netParams.cellParams["PV"] = read_cell("PYR"), read_cell("FS")

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


def drive(name, pop, synapse, sections, values, scale, stream) -> None:
    """Background onto a population of the cell of its name, its rate scaled."""
    background(netParams, cfg, name, pop, pop, synapse, sections, {**values, "rate": values["rate"] * scale}, stream)


pyr_lists = netParams.cellParams["PYR"]["secLists"]
pv_lists = netParams.cellParams["PV"]["secLists"]
dendrites = [*pyr_lists["basal"], *pyr_lists["apical"]]
scale = cfg.scale_background
drive("pyr_exc", "PYR", "AMPA_NMDA", dendrites, cfg.pyr_exc, scale, 0)
drive("pyr_inh", "PYR", "GABAA", dendrites, cfg.pyr_inh, 1.0, 1)
drive("pv_exc", "PV", "AMPA_NMDA", pv_lists["dendritic"], cfg.pv_exc, scale, 2)
drive("pv_inh", "PV", "GABAA", pv_lists["dendritic"], cfg.pv_inh, 1.0, 3)
