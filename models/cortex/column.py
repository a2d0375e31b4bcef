"""Layers 2/3 and 5 of a piece of barrel cortex, of any size: cfg.n_cells. Sources in README.md.

Types: pyramidal cells of layer 2/3 (L23), intratelencephalic (IT) and pyramidal tract (PT) cells of layer 5, and in each
layer PV basket and SST Martinotti cells. The piece is a square of cortex at its natural density, so that neighbours
connect as often as recorded pairs do. The partners that a cell would have beyond the square are background: as many
events as they would send, at the rates of cfg.rates, onto the same dendrites. So the excitation and the inhibition that
a cell receives do not depend on the size; how much of it comes from cells that are there does.

Units: ms, mV, uS, Hz, um.
"""

import numpy as np
from netpyne import specs
from parts import CENTRES, DELAY, background, lognormal, read_cell

try:
    from __main__ import cfg
except ImportError:
    from cfg import cfg

# population: (type of cell, share of all cells); of a layer's depth below the pia in DEPTH
POPULATIONS = {
    "L23": ("L23", 0.50),
    "PV23": ("PV", 0.05),
    "SST23": ("SST", 0.03),
    "IT": ("IT", 0.22),
    "PT": ("PT", 0.12),
    "PV5": ("PV", 0.05),
    "SST5": ("SST", 0.03),
}
DEPTH = {"23": [150.0, 575.0], "5": [900.0, 1400.0]}

# Short-term plasticity by pair of types (Markram et al. 2015): U, recovery and facilitation.
DEPRESSING = {"U": 0.5, "tau_rec": 671.0, "tau_facil": 17.0}
FACILITATING = {"U": 0.09, "tau_rec": 138.0, "tau_facil": 670.0}
INHIBITORY = {"U": 0.25, "tau_rec": 706.0, "tau_facil": 21.0}
GLUTAMATE = {"mod": "netml_ampa_nmda_stp", "tau_r_ampa": 0.3, "tau_d_ampa": 2.0, "tau_r_nmda": 2.0, "tau_d_nmda": 45.0,
             "nmda_ratio": 0.8, "mg": 1.0, "e": 0.0}  # fmt: skip
GABA = {"mod": "netml_gaba_stp", "tau_r": 0.5, "tau_d": 8.0, "e": -80.0}
STATELESS = {"netml_ampa_nmda_stp": "netml_ampa_nmda", "netml_gaba_stp": "netml_gabaa"}
SYNAPSES = {
    "E->E": GLUTAMATE | DEPRESSING,
    "E->PV": GLUTAMATE | DEPRESSING | {"nmda_ratio": 0.2},
    "E->SST": GLUTAMATE | FACILITATING,
    "PV->": GABA | INHIBITORY,
    "SST->": GABA | INHIBITORY | {"tau_d": 15.0},
}

# (pre, post, probability at distance 0, its length constant, contacts, section list, conductance of a contact at rest)
CONNECTIONS = [
    ("L23", "L23", 0.12, 150, 4, "proximal", 2.5e-4),
    ("L23", "IT", 0.08, 150, 4, "proximal", 2.5e-4),
    ("L23", "PT", 0.12, 150, 4, "proximal", 2.5e-4),
    ("IT", "L23", 0.03, 150, 4, "proximal", 2.5e-4),
    ("IT", "IT", 0.15, 150, 4, "proximal", 2.5e-4),
    ("IT", "PT", 0.15, 150, 4, "proximal", 2.5e-4),
    ("PT", "IT", 0.02, 150, 4, "proximal", 2.5e-4),
    ("PT", "PT", 0.16, 150, 5, "proximal", 2.5e-4),
    ("L23", "PV23", 0.40, 120, 4, "dendritic", 3e-4),
    ("L23", "SST23", 0.30, 120, 6, "dendritic", 2e-5),
    ("L23", "PV5", 0.10, 120, 4, "dendritic", 3e-4),
    ("IT", "PV5", 0.30, 120, 4, "dendritic", 3e-4),
    ("IT", "SST5", 0.25, 120, 6, "dendritic", 2e-5),
    ("PT", "PV5", 0.30, 120, 4, "dendritic", 3e-4),
    ("PT", "SST5", 0.30, 120, 6, "dendritic", 2e-5),
    ("PV23", "L23", 0.60, 100, 7, "perisomatic", 6e-4),
    ("PV5", "IT", 0.60, 100, 7, "perisomatic", 6e-4),
    ("PV5", "PT", 0.60, 100, 7, "perisomatic", 6e-4),
    ("PV23", "PV23", 0.60, 100, 4, "dendritic", 5e-4),
    ("PV5", "PV5", 0.60, 100, 4, "dendritic", 5e-4),
    ("PV23", "SST23", 0.10, 100, 4, "dendritic", 3e-4),
    ("PV5", "SST5", 0.10, 100, 4, "dendritic", 3e-4),
    ("SST23", "L23", 0.60, 130, 8, "tuft", 2e-4),
    ("SST5", "L23", 0.20, 130, 8, "tuft", 2e-4),
    ("SST5", "IT", 0.50, 130, 8, "tuft", 2e-4),
    ("SST5", "PT", 0.50, 130, 8, "tuft", 2e-4),
    ("SST23", "PV23", 0.50, 130, 5, "dendritic", 2e-4),
    ("SST5", "PV5", 0.50, 130, 5, "dendritic", 2e-4),
]


def kind(pop: str) -> str:
    """E, PV or SST."""
    cell = POPULATIONS[pop][0]
    return cell if cell in ("PV", "SST") else "E"


def synapse(pre: str, post: str) -> str:
    """The label of the synapses from one population onto another."""
    return f"E->{kind(post)}" if kind(pre) == "E" else f"{kind(pre)}->"


def efficacy(plasticity: dict, rate: float) -> float:
    """What an event of a train of even intervals does in the long run, over what the first one does."""
    u, r, interval = plasticity["U"], 1.0, 1000.0 / rate
    for _ in range(100):
        r = 1 + (r * (1 - u) - 1) * np.exp(-interval / plasticity["tau_rec"])
        u = plasticity["U"] + u * (1 - plasticity["U"]) * np.exp(-interval / plasticity["tau_facil"])
    return u * r / plasticity["U"]


def inside(length: float) -> float:
    """The mean of exp(-distance/length) over pairs in the square."""
    places = (np.arange(24) + 0.5) / 24 * SIDE
    apart = np.abs(places[:, None] - places).ravel()
    return float(np.exp(-np.hypot(apart[:, None], apart) / length).mean())


SIDE = 1000.0 * (cfg.n_cells / cfg.density) ** 0.5
NUMBERS = {pop: max(round(share * cfg.n_cells), 1) for pop, (_, share) in POPULATIONS.items()}

netParams = specs.NetParams()
netParams.sizeX, netParams.sizeY, netParams.sizeZ = SIDE, 1500.0, SIDE
netParams.defaultThreshold = -20.0
for label in dict.fromkeys(cell for cell, _ in POPULATIONS.values()):
    netParams.cellParams[label] = read_cell(label)
for pop, (cell, _) in POPULATIONS.items():
    depth = DEPTH["23" if pop.endswith("23") else "5"]
    netParams.popParams[pop] = {"cellType": cell, "numCells": NUMBERS[pop], "yRange": depth}
for label, values in SYNAPSES.items():
    netParams.synMechParams[label] = dict(values)
for label, values in SYNAPSES.items():  # from outside: without plasticity, which belongs to single connections
    without = {name: value for name, value in values.items() if name not in DEPRESSING}
    netParams.synMechParams[f"outside {label}"] = without | {"mod": STATELESS[values["mod"]]}

missing: dict[str, list] = {pop: [] for pop in POPULATIONS}  # (kind, sections, events a s, mean conductance)
for pre, post, peak, length, contacts, sections, conductance in CONNECTIONS:
    probability, label = min(peak * cfg.scale_probability, 1.0), synapse(pre, post)
    netParams.connParams[f"{pre}->{post}"] = {
        "preConds": {"pop": pre},
        "postConds": {"pop": post},
        "synMech": label,
        "probability": f"{probability}*exp(-dist_2D/{length})",
        "weight": lognormal(conductance / SYNAPSES[label]["U"]),
        "delay": DELAY,
        "synsPerConn": contacts,
        "sec": sections,
        "loc": CENTRES,
    }
    share = POPULATIONS[pre][1] * cfg.density * 1e-6  # of the partners, a um2
    partners = probability * (2 * np.pi * length**2 * share - NUMBERS[pre] * inside(length))
    rate = cfg.rates[POPULATIONS[pre][0]]
    events = max(partners, 0.0) * rate * contacts / cfg.together
    missing[post].append((kind(pre), sections, events, conductance * cfg.together * efficacy(SYNAPSES[label], rate)))

for pop, inputs in missing.items():
    cell = POPULATIONS[pop][0]
    lists = netParams.cellParams[cell]["secLists"]
    for stream, source in enumerate(("E", "PV", "SST")):
        of_it = [one for one in inputs if one[0] == source]
        events = sum(one[2] for one in of_it) + (cfg.external[cell] if source == "E" else 0.0)
        if not of_it or not events:
            continue
        conductance = sum(one[2] * one[3] for one in of_it) / max(sum(one[2] for one in of_it), 1e-9)
        sections = sorted({name for one in of_it for name in lists[one[1]]})
        sites = round(cfg.sites[source] * (1.0 if kind(pop) == "E" else 0.4))
        drive = {"sites": sites, "rate": events / sites, "weight": conductance}
        label = "outside " + (f"E->{kind(pop)}" if source == "E" else f"{source}->")
        background(netParams, cfg, f"{pop} {source}", pop, cell, label, sections, drive, stream)

# Thalamus reaches layer 5 and its PV cells, and layer 2/3 by way of layer 4, which is later (README.md).
VOLLEY = {"IT": 1.5, "PT": 1.5, "PV5": 1.2, "L23": 4.5, "PV23": 4.0}  # delay, ms
if cfg.volley["start"]:
    rng = np.random.default_rng([cfg.seeds["conn"], 9])
    for pop, delay in VOLLEY.items():
        lists = netParams.cellParams[POPULATIONS[pop][0]]["secLists"]
        sections = lists["proximal"] if "proximal" in lists else lists["dendritic"]
        for axon, jitter in enumerate(rng.gamma(4.0, 0.25, cfg.volley["axons"])):  # ms, SD 0.5
            label = f"volley {pop} {axon}"
            netParams.stimSourceParams[label] = {
                "type": "NetStim",
                "interval": 1e9,
                "number": 1,
                "noise": 0.0,
                "start": cfg.volley["start"],
                "seed": axon,
            }
            netParams.stimTargetParams[label] = {
                "source": label,
                "conds": {"pop": pop},
                "sec": sections[rng.integers(len(sections))],
                "loc": CENTRES[rng.integers(3)],
                "synMech": f"outside E->{kind(pop)}",
                "weight": cfg.volley["weight"],
                "delay": delay + float(jitter),
            }

if cfg.recordCells == [("PYR", [0, 1]), ("PV", [0])]:  # the other circuit's
    cfg.recordCells = [(pop, [0]) for pop in POPULATIONS]
