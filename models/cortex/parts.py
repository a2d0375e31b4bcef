"""What both circuits are made of: cells from files, places of synapses, weights, Poisson trains. Units: ms, uS, Hz."""

import json
from pathlib import Path

import numpy as np

CELLS = Path(__file__).resolve().parent / "cells"

# Every dendritic section has three segments; contacts lie on their centres, so that contacts of one
# type on one segment share one synapse object and no float sum depends on the order of creation.
CENTRES = [1 / 6, 1 / 2, 5 / 6]
DELAY = "0.8 + dist_3D/300"  # a synaptic delay, then 0.3 m/s along the axon


def read_cell(label: str) -> dict:
    """A NetPyNE cellParams entry."""
    return json.loads((CELLS / f"{label}.json").read_text())


def lognormal(mean: float) -> str:
    """A weight drawn for each pair, with a coefficient of variation of 0.6."""
    return f"lognormal({mean}, {(0.6 * mean) ** 2})"


def background(netParams, cfg, name, pop, cell, synapse, sections, drive, stream) -> None:
    """Independent Poisson trains onto sites spread evenly over the length of `sections`.

    NetPyNE seeds a NetStim by (gid, seed) alone, so that all trains of a cell would be the same
    train: each site is therefore a source with a seed of its own.

    Args:
        netParams: the network, which gets a source and a target for each site.
        cfg: its seeds "conn" and "stim" are used.
        name: of the sources, followed by the number of the site.
        pop: population that is driven.
        cell: its entry in cellParams.
        synapse: its entry in synMechParams.
        sections: names of the sections that have sites.
        drive: {"sites": a cell, "rate": Hz of each, "weight": mean, uS}.
        stream: number of this kind of trains among those of a cell, 0 to 9.
    """
    secs = netParams.cellParams[cell]["secs"]
    lengths = np.array([secs[section]["geom"]["L"] for section in sections])
    rng = np.random.default_rng([cfg.seeds["conn"], stream])
    chosen = rng.choice(len(sections), drive["sites"], p=lengths / lengths.sum())
    centres = rng.integers(len(CENTRES), size=drive["sites"])
    weights = rng.lognormal(np.log(drive["weight"]) - 0.5 * np.log(1.36), np.log(1.36) ** 0.5, drive["sites"])
    for site in range(drive["sites"]):
        label = f"{name}_{site}"
        netParams.stimSourceParams[label] = {
            "type": "NetStim",
            "rate": drive["rate"],
            "noise": 1.0,
            "start": 0.0,
            "seed": 100_000 * cfg.seeds["stim"] + 10_000 * stream + site,
        }
        netParams.stimTargetParams[f"{label}->{pop}"] = {
            "source": label,
            "conds": {"pop": pop},
            "sec": sections[chosen[site]],
            "loc": CENTRES[centres[site]],
            "synMech": synapse,
            "weight": float(weights[site]),
            "delay": 0.5,
        }
