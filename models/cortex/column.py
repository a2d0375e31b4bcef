"""Layers 2/3 and 5 of a piece of barrel cortex, of any size: cfg.n_cells. Sources in README.md.

Types: pyramidal cells of layer 2/3 (L23), intratelencephalic (IT) and pyramidal tract (PT) cells of layer 5, and in
each layer PV basket and SST Martinotti cells. The piece is a square of cortex at its natural density, so that
neighbours connect as often as recorded pairs do. The partners that a cell would have beyond the square are background:
as many events as they would send, at the rates of cfg.rates, onto the same dendrites. So the excitation and the
inhibition that a cell receives do not depend on the size; how much of it comes from cells that are there does.

Units: ms, mV, uS, Hz, um.
"""

import json

import numpy as np
from netpyne import specs
from parts import CELLS, CENTRES, DELAY, background, lognormal, read_cell

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

# Synapses, contacts and conductances of each pair of types: connections.json. Here: the probability of a pair at
# distance 0 in the plane of the cortex, and the length with which it falls, um: exp(-(distance/length)**FALL). That of
# pyramidal cells falls exponentially (Perin et al. 2011), that of interneurons is dense nearby and then ends.
FALL = {"E": 1, "PV": 2, "SST": 2}
CONNECTIONS = {
    ("L23", "L23"): (0.20, 150), ("L23", "IT"): (0.125, 150), ("L23", "PT"): (0.17, 150),
    ("IT", "L23"): (0.055, 150), ("IT", "IT"): (0.31, 150), ("IT", "PT"): (0.14, 150),
    ("PT", "L23"): (0.023, 150), ("PT", "IT"): (0.028, 150), ("PT", "PT"): (0.17, 195),
    ("L23", "PV23"): (0.75, 120), ("L23", "SST23"): (0.33, 120), ("L23", "PV5"): (0.15, 120),
    ("IT", "PV5"): (0.15, 120), ("IT", "SST5"): (0.11, 120), ("PT", "PV5"): (0.15, 120), ("PT", "SST5"): (0.11, 120),
    ("PV23", "L23"): (0.60, 140), ("PV5", "IT"): (0.60, 140), ("PV5", "PT"): (0.60, 140),
    ("PV23", "PV23"): (0.55, 140), ("PV5", "PV5"): (0.55, 140),
    ("PV23", "SST23"): (0.04, 140), ("PV5", "SST5"): (0.04, 140),
    ("SST23", "L23"): (0.48, 200), ("SST5", "L23"): (0.20, 200),
    ("SST5", "IT"): (0.37, 200), ("SST5", "PT"): (0.37, 200),
    ("SST23", "PV23"): (1.00, 195), ("SST5", "PV5"): (1.00, 195),
}  # fmt: skip
PLASTIC = ("U", "tau_rec", "tau_facil")
STATELESS = {"netml_ampa_nmda_stp": "netml_ampa_nmda", "netml_gaba_stp": "netml_gabaa"}
TABLE = json.loads((CELLS.parent / "connections.json").read_text())
for label, values in TABLE["synapses"].items():
    if label.startswith("E_"):
        values["U"] *= cfg.release


def kind(pop: str) -> str:
    """E, PV or SST."""
    cell = POPULATIONS[pop][0]
    return cell if cell in ("PV", "SST") else "E"


def efficacy(plasticity: dict, rate: float) -> float:
    """The share of its weight that an event of a train of even intervals has in the long run (rate in Hz)."""
    u, r, interval = plasticity["U"], 1.0, 1000.0 / rate
    for _ in range(100):
        r = 1 + (r * (1 - u) - 1) * np.exp(-interval / plasticity["tau_rec"])
        u = plasticity["U"] + u * (1 - plasticity["U"]) * np.exp(-interval / plasticity["tau_facil"])
    return u * r


def places(sections: int, single: bool) -> float | list[float]:
    """Where contacts lie; NetPyNE draws one number for section and place of a single one."""
    if not sections:
        return 0.5
    return [CENTRES[k % len(CENTRES)] for k in range(sections)] if single else CENTRES


def inside(length: float, power: int) -> float:
    """The mean of exp(-(distance/length)**power) over pairs in the square."""
    places = (np.arange(24) + 0.5) / 24 * SIDE
    apart = np.abs(places[:, None] - places).ravel()
    return float(np.exp(-((np.hypot(apart[:, None], apart) / length) ** power)).mean())


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
for label, values in TABLE["synapses"].items():
    netParams.synMechParams[label] = dict(values)
    without = {name: value for name, value in values.items() if name not in PLASTIC}
    netParams.synMechParams[f"outside {label}"] = without | {"mod": STATELESS[values["mod"]]}

missing: dict[str, list] = {pop: [] for pop in POPULATIONS}  # (kind of source, connection, spikes a s, Hz)
for (pre, post), (peak, length) in CONNECTIONS.items():
    of, onto = POPULATIONS[pre][0], POPULATIONS[post][0]
    entry = TABLE["connections"][f"{of}->{onto}"]
    probability, label = min(peak * cfg.scale_probability, 1.0), entry["synapse"]
    density = POPULATIONS[pre][1] * cfg.density * 1e-6  # of the partners, a um2
    power = FALL[kind(pre)]
    area = np.pi * length**2 * (2 if power == 1 else 1)  # the integral of exp(-(distance/length)**power), um2
    partners = probability * max(area * density - NUMBERS[pre] * inside(length, power), 0.0)
    missing[post].append((kind(pre), entry, partners * cfg.rates[of], cfg.rates[of]))
    lists = netParams.cellParams[onto]["secLists"]
    for sections, contacts in entry["contacts"].items():  # rules of one pair of populations choose the same pairs
        single = sections not in lists or contacts == 1
        netParams.connParams[f"{pre}->{post} {sections}"] = {
            "preConds": {"pop": pre},
            "postConds": {"pop": post},
            "synMech": label,
            "probability": f"{probability}*exp(-(dist_2D/{length})**{power})",
            "weight": lognormal(entry["weight_us"] * (contacts if sections not in lists else 1)),
            "delay": DELAY,
            "synsPerConn": 1 if single else contacts,
            "sec": sections,
            "loc": places(len(lists.get(sections, ())), single),
        }

# Streams of background: a spike of a missing partner is one event, with the weight of all its contacts, at one place.
STREAMS = ("E", "PV", "SST", "external", "others", "layer 1")
for pop, inputs in missing.items():
    cell = POPULATIONS[pop][0]
    lists = netParams.cellParams[cell]["secLists"]
    for source, chosen in (("E", "external"), ("PV", "others"), ("SST", None)):
        of_it = [one for one in inputs if one[0] == source]
        if not of_it:
            continue
        label = of_it[0][1]["synapse"]
        places_of = {place for _, entry, _, _ in of_it for place in entry["contacts"]}
        sections = sorted({name for place in places_of for name in lists.get(place, [place])})
        spikes = sum(one[2] for one in of_it)
        conductance = sum(
            rate * sum(entry["contacts"].values()) * entry["weight_us"] * efficacy(TABLE["synapses"][label], partner)
            for _, entry, rate, partner in of_it
        )
        sites = round(cfg.sites[source] * (1.0 if kind(pop) == "E" else 0.4))
        drives = {source: (spikes, conductance / spikes if spikes else 0.0)}
        if chosen:
            drives[chosen] = getattr(cfg, chosen)[pop], getattr(cfg, f"{chosen}_weight")[kind(pop)]
        for name, (events, weight) in drives.items():
            if events:
                drive = {"sites": sites, "rate": events / sites, "weight": weight}
                stream = STREAMS.index(name)
                background(netParams, cfg, f"{pop} {name}", pop, cell, f"outside {label}", sections, drive, stream)
    for label, weight in cfg.layer1_weight.items() if cfg.layer1.get(pop) else ():
        # a neurogliaform cell opens both receptors: one stream number is the same places and times
        drive = {"sites": cfg.sites["layer 1"], "rate": cfg.layer1[pop] / cfg.sites["layer 1"], "weight": weight}
        stream = STREAMS.index("layer 1")
        name = f"{pop} layer 1 {label}"
        background(netParams, cfg, name, pop, cell, f"outside {label}", lists["tuft"], drive, stream)

# Thalamus reaches layer 5 and its PV cells, and layer 2/3 by way of layer 4, which is later (README.md).
# Delay in ms, and conductance in units of cfg.volley: contacts onto PT are the larger in connections.json, too.
VOLLEY = {"IT": (1.5, 1.0), "PT": (1.5, 3.0), "PV5": (1.2, 1.0), "L23": (4.5, 1.0), "PV23": (4.0, 1.0)}
if cfg.volley["start"]:
    rng = np.random.default_rng([cfg.seeds["conn"], 9])
    for pop, (delay, strength) in VOLLEY.items():
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
                "synMech": "outside " + TABLE["connections"][f"IT->{POPULATIONS[pop][0]}"]["synapse"],
                "weight": cfg.volley["weight"] * strength,
                "delay": delay + float(jitter),
            }
