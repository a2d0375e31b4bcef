"""One cell type, imported by `netml import cell`: unconnected cells under random input. Units: ms, mV, uS, Hz, um."""

import json
import re
from pathlib import Path

import numpy as np
from netpyne import specs

try:
    from __main__ import cfg
except ImportError:
    from cfg import cfg

HERE = Path(__file__).resolve().parent

netParams = specs.NetParams()
netParams.defaultThreshold = cfg.threshold
netParams.cellParams[cfg.cell] = json.loads((HERE / "cells" / f"{cfg.cell}.json").read_text())
netParams.popParams[cfg.cell] = {"cellType": cfg.cell, "numCells": cfg.cells}
for label, synapse in json.loads((HERE / "cells" / "synapses.json").read_text()).items():
    netParams.synMechParams[label] = synapse

secs = netParams.cellParams[cfg.cell]["secs"]
dendrites = [name for name in secs if not re.match("soma|axon|hill|ais|iseg|node|myelin", name, re.IGNORECASE)]


def length(name: str) -> float:
    """Of a section, along its 3-D points where it has some."""
    geom = secs[name]["geom"]
    points = np.array(geom.get("pt3d", []))
    return float(np.linalg.norm(np.diff(points[:, :3], axis=0), axis=1).sum()) if len(points) else geom["L"]


def background(synapse: str, sites: int, rate: float, weight: float, stream: int) -> None:
    """Independent Poisson trains onto sites drawn by length on the dendrites.

    NetPyNE seeds a NetStim by (gid, seed) alone, so each site is a source with a seed of its own.
    """
    places = dendrites or list(secs)
    lengths = np.array([length(name) for name in places])
    rng = np.random.default_rng([cfg.seeds["conn"], stream])
    chosen = rng.choice(len(places), sites, p=lengths / lengths.sum())
    weights = rng.lognormal(np.log(weight) - 0.5 * np.log(1.36), np.log(1.36) ** 0.5, sites)  # CV 0.6
    for site in range(sites):
        section = places[chosen[site]]
        nseg = int(secs[section]["geom"].get("nseg", 1))
        label = f"{synapse}_{site}"
        netParams.stimSourceParams[label] = {
            "type": "NetStim",
            "rate": rate,
            "noise": 1.0,
            "start": 0.0,
            "seed": 100_000 * cfg.seeds["stim"] + 10_000 * stream + site,
        }
        netParams.stimTargetParams[label] = {
            "source": label,
            "conds": {"pop": cfg.cell},
            "sec": section,
            "loc": (int(rng.integers(nseg)) + 0.5) / nseg,
            "synMech": synapse,
            "weight": float(weights[site]),
            "delay": 1.0,
        }


for stream, (synapse, drive) in enumerate(cfg.background.items()):
    background(synapse, drive["sites"], drive["rate"], drive["weight"], stream)
