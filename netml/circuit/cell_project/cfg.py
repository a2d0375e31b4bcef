"""Configuration of an imported cell, to be edited. Units: ms, mV, uS, Hz."""

import json
from pathlib import Path

from netpyne import specs

VALUES = json.loads((Path(__file__).resolve().parent / "cells" / "values.json").read_text())  # by netml import cell

cfg = specs.SimConfig()
cfg.duration = 2000.0
cfg.dt = VALUES["dt"]
cfg.hParams = {"celsius": VALUES["celsius"], "v_init": VALUES["v_init"]}
cfg.seeds = {"conn": 1, "stim": 1, "loc": 1, "cell": 1}
cfg.random123 = True
cfg.cache_efficient = True
cfg.oneSynPerNetcon = False
cfg.pt3dRelativeToCellLocation = False

cfg.cell = VALUES["cell"]
cfg.cells = 8  # independent ones; each gives a trial a run
cfg.threshold = VALUES["threshold"]
# By synapse type: sites on a cell, events a second at each, mean weight.
cfg.background = VALUES["background"]

cfg.recordCells = [(cfg.cell, [0])]
cfg.recordTraces = {"V_soma": {"sec": VALUES["root"], "loc": 0.5, "var": "v"}}
cfg.recordStep = 0.1
cfg.filename = cfg.cell
