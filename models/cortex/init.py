"""Run the circuit as a plain NetPyNE project: `nrnivmodl ../../mod`, then `python init.py`."""

from cfg import cfg
from netParams import netParams
from netpyne import sim

sim.createSimulateAnalyze(netParams=netParams, simConfig=cfg)
