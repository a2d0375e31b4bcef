"""Configuration of the cortical circuit: run length, seeds, sizes, drive. Units: ms, mV, uS, Hz."""

from netpyne import specs

cfg = specs.SimConfig()

# run
cfg.duration = 2000.0
cfg.dt = 0.05
cfg.hParams = {"celsius": 34.0, "v_init": -75.0}
# `stim` draws the background's event times; `conn` and `loc` draw the circuit itself.
cfg.seeds = {"conn": 1, "stim": 1, "loc": 1, "cell": 1}
cfg.random123 = True  # counter-based streams, the same in NEURON and CoreNEURON

# what keeps spikes identical on any number of ranks, see README.md
cfg.oneSynPerNetcon = False
cfg.distributeSynsUniformly = False
cfg.connRandomSecFromList = True
cfg.pt3dRelativeToCellLocation = False
cfg.cache_efficient = True

# size
cfg.n_pyr = 40
cfg.n_pv = 10

# recurrent connections: probability of a pair and mean conductance of a contact
cfg.p_ee, cfg.p_ei, cfg.p_ie, cfg.p_ii = 0.1, 0.3, 0.5, 0.5
cfg.w_ee, cfg.w_ei, cfg.w_ie, cfg.w_ii = 5e-4, 6e-4, 1e-3, 1e-3
cfg.scale_recurrent = 1.0  # on the number of pairs, for circuits of other sizes

# background: independent Poisson trains (sites a cell, rate of each, mean conductance)
cfg.pyr_exc = {"sites": 120, "rate": 16.5, "weight": 8e-4}
cfg.pyr_inh = {"sites": 40, "rate": 24.0, "weight": 1.2e-3}
cfg.pv_exc = {"sites": 30, "rate": 14.0, "weight": 5e-4}
cfg.pv_inh = {"sites": 10, "rate": 20.0, "weight": 1e-3}
cfg.scale_background = 1.0  # on the rate of the excitatory background

# recording
cfg.recordCells = [("PYR", [0, 1]), ("PV", [0])]
cfg.recordTraces = {"V_soma": {"sec": "soma", "loc": 0.5, "var": "v"}}
cfg.recordStep = 0.1
cfg.filename = "cortex"
cfg.savePickle = False
cfg.saveJson = False
cfg.verbose = False
cfg.progressBar = 0
