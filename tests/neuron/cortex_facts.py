"""Build and run a small models/cortex as a plain NetPyNE project and print its facts as JSON.

    python cortex_facts.py DURATION_MS STIM_SEED

A process of its own, since NetPyNE keeps its network in module state.
"""

import contextlib
import json
import os
import sys

from neuron import h

from netml.engine.mechanisms.build import build_mechanisms, load_mechanisms
from netml.toolchain import source_folder

project = source_folder("models") / "cortex"
load_mechanisms(h, build_mechanisms([source_folder("mod")]))
sys.path.insert(0, str(project))

with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet):
    from cfg import cfg

    cfg.duration, cfg.seeds["stim"] = float(sys.argv[1]), int(sys.argv[2])
    cfg.n_pyr, cfg.n_pv, cfg.scale_recurrent, cfg.scale_background = 4, 3, 2.0, 1.5
    cfg.recordStim = True
    from netParams import netParams
    from netpyne import sim

    sim.createSimulate(netParams=netParams, simConfig=cfg)

    cells = []
    for cell in sim.net.cells:
        synapses = [
            (syn["hObj"].get_segment(), syn["label"]) for sec in cell.secs.values() for syn in sec.get("synMechs", [])
        ]
        cells.append(
            {
                "pop": cell.tags["pop"],
                "segments": sum(sec["hObj"].nseg for sec in cell.secs.values()),
                "synapses": [[segment.sec.name(), segment.x, label] for segment, label in synapses],
                "conns": [[c["preGid"], c["sec"], c["loc"], c["synMech"], c["weight"], c["delay"]] for c in cell.conns],
            }
        )
    trains = {
        cell: {source: list(times) for source, times in stims.items()} for cell, stims in sim.simData["stims"].items()
    }

facts = {
    "cells": cells,
    "trains": trains,
    "pyr_exc_rate": cfg.pyr_exc["rate"] * cfg.scale_background,
    "spkt": list(sim.simData["spkt"]),
    "spkid": list(sim.simData["spkid"]),
}
print(json.dumps(facts))
