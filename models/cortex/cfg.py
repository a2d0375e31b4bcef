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

# which circuit: "layer5" (layer5.py) or "column" (column.py)
cfg.circuit = "layer5"

# --- layer5 ---

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

# --- column ---

cfg.n_cells = 100  # of all types; 9,700 are a barrel column
cfg.density = 80_000.0  # of the modelled layers' cells under a mm2 of cortex
cfg.scale_probability = 1.0
cfg.sites = {"E": 100, "PV": 30, "SST": 20, "layer 1": 10}  # trains a pyramidal cell; interneurons have 0.4 of them
cfg.release = 0.4  # of excitatory synapses, over that in slices: calcium is lower in vivo
# rate of each type in awake cortex, Hz: what the missing partners fire at
cfg.rates = {"L23": 1.5, "IT": 2.5, "PT": 4.0, "PV": 12.0, "SST": 6.0}
# events a s onto a cell, and their conductance by kind of cell, uS: of excitation from beyond the circuit (events found
# by tune_column.py), and of inhibition by the interneurons that it leaves out; chosen for irregular firing
cfg.external = {
    "L23": 1620.0, "PV23": 1570.0, "SST23": 298.0, "IT": 865.0, "PT": 750.0, "PV5": 1610.0, "SST5": 308.0,
}  # fmt: skip
cfg.external_weight = {"E": 1.8e-3, "PV": 1.2e-3, "SST": 3e-3}
cfg.others = {"L23": 2600.0, "PV23": 600.0, "SST23": 1000.0, "IT": 2800.0, "PT": 8800.0, "PV5": 600.0, "SST5": 1000.0}
cfg.others_weight = {"E": 1e-3, "PV": 3e-4, "SST": 1.6e-3}
# neurogliaform cells of layer 1 onto the tufts: spikes a s onto a cell, and conductance of its GABA-B and slow GABA-A
# receptors, uS (synapses of connections.json)
cfg.layer1 = {"L23": 60.0, "IT": 30.0, "PT": 30.0}
cfg.layer1_weight = {"GABAB": 1.5e-4, "SST": 5e-4}
# a volley of the thalamus: time in ms (0: none), axons onto a cell, conductance of each in uS
cfg.volley = {"start": 0.0, "axons": 20, "weight": 1.5e-3}

# recording, of those populations that the circuit has
cfg.recordCells = [("PYR", [0, 1]), *((pop, [0]) for pop in ("PV", "L23", "PV23", "SST23", "IT", "PT", "PV5", "SST5"))]
cfg.recordTraces = {"V_soma": {"sec": "soma", "loc": 0.5, "var": "v"}}
cfg.recordStep = 0.1
cfg.filename = "cortex"
cfg.savePickle = False
cfg.saveJson = False
cfg.verbose = False
cfg.progressBar = 0
