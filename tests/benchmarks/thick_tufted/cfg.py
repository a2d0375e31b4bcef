"""Thick-tufted cells alone, for tests/benchmarks/engine.py. Units: ms, mV, uS, Hz."""

from netpyne import specs

cfg = specs.SimConfig()
cfg.duration = 250.0
cfg.dt = 0.025
cfg.hParams = {"celsius": 34.0, "v_init": -75.0}
cfg.seeds = {"conn": 1, "stim": 1, "loc": 1, "cell": 1}
cfg.random123 = True
cfg.cache_efficient = True
cfg.cells = 1
cfg.segments = 642
cfg.rate = 5.0  # of each synapse
cfg.weight_exc, cfg.weight_inh = 4e-4, 1e-3
cfg.recordStep = 0.1
cfg.filename = "thick_tufted"
cfg.savePickle = False
cfg.saveJson = False
cfg.verbose = False
cfg.progressBar = 0
