"""PT of models/cortex with an AMPA + NMDA and a GABA-A synapse on every dendritic segment, a Poisson train each.

In as many segments as `cfg.segments` says: 642 make the size that the engine's goals suppose.
"""

import json

import numpy as np
from netpyne import specs

from netml.toolchain import source_folder

try:
    from __main__ import cfg
except ImportError:
    from cfg import cfg

netParams = specs.NetParams()
netParams.defaultThreshold = -20.0
cell = json.loads((source_folder("models") / "cortex" / "cells" / "PT.json").read_text())
sections = cell["secs"].values()
while sum(section["geom"]["nseg"] for section in sections) < cfg.segments:
    longest = max(sections, key=lambda section: section["geom"]["L"] / section["geom"]["nseg"])
    before = (np.arange(longest["geom"]["nseg"]) + 0.5) / longest["geom"]["nseg"]
    longest["geom"]["nseg"] += 2
    after = (np.arange(longest["geom"]["nseg"]) + 0.5) / longest["geom"]["nseg"]
    for mechanism in longest["mechs"].values():
        for name, value in mechanism.items():
            if isinstance(value, list):  # by segment
                mechanism[name] = np.interp(after, before, value).tolist()
netParams.cellParams["PT"] = cell
netParams.popParams["PT"] = {"cellType": "PT", "numCells": cfg.cells}
netParams.synMechParams["AMPA_NMDA"] = {
    "mod": "netml_ampa_nmda", "tau_r_ampa": 0.3, "tau_d_ampa": 2.0, "tau_r_nmda": 2.0, "tau_d_nmda": 45.0,
    "nmda_ratio": 0.8, "mg": 1.0, "e": 0.0,
}  # fmt: skip
netParams.synMechParams["GABAA"] = {"mod": "netml_gabaa", "tau_r": 0.5, "tau_d": 8.0, "e": -80.0}

sites = [
    (section, (segment + 0.5) / cell["secs"][section]["geom"]["nseg"])
    for section in (*cell["secLists"]["basal"], *cell["secLists"]["apical"])
    for segment in range(cell["secs"][section]["geom"]["nseg"])
]
for kind, (synapse, weight) in enumerate((("AMPA_NMDA", cfg.weight_exc), ("GABAA", cfg.weight_inh))):
    for site, (section, loc) in enumerate(sites):
        label = f"{synapse}_{site}"
        netParams.stimSourceParams[label] = {
            "type": "NetStim", "rate": cfg.rate, "noise": 1.0, "start": 0.0,
            "seed": 100_000 * cfg.seeds["stim"] + 10_000 * kind + site,
        }  # fmt: skip
        netParams.stimTargetParams[label] = {
            "source": label, "conds": {"pop": "PT"}, "sec": section, "loc": loc, "synMech": synapse, "weight": weight,
            "delay": 0.5,
        }  # fmt: skip
