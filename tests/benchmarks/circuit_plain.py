"""A NetPyNE project as its init.py runs it, without netml: what circuit.py compares with.

python circuit_plain.py PROJECT LIBRARY SETTINGS OUT      SETTINGS: JSON, cfg values
"""

import json
import sys
from pathlib import Path

from neuron import h

project, library, settings, out = sys.argv[1:]
h.nrn_load_dll(library)
sys.path.insert(0, project)

from cfg import cfg  # noqa: E402

for name, value in json.loads(settings).items():
    setattr(cfg, name, value)

from netParams import netParams  # noqa: E402
from netpyne import sim  # noqa: E402

sim.createSimulateAnalyze(netParams=netParams, simConfig=cfg)
if sim.rank == 0:
    data = sim.allSimData
    content = {"cells": len(sim.net.allCells), "spkt": list(data["spkt"]), "spkid": list(data["spkid"])}
    Path(out).write_text(json.dumps(content))
sim.pc.barrier()
h.quit()
