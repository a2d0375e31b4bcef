"""One job of a sweep: a NetPyNE project, as NetPyNE's batch tools start it, with the one line that swaps populations.

nrniv -python -mpi init.py simConfig=CFG.json netParams=NETPARAMS.py
"""

from netpyne import sim

import netml

cfg, netParams = sim.readCmdLineArgs(simConfigDefault="cfg.py", netParamsDefault="netParams.py")
netParams = netml.swap(netParams, cfg.swap, fraction=cfg.fraction)  # the changed line
sim.createSimulateAnalyze(netParams=netParams, simConfig=cfg)
