"""Write PYR.json and PV.json (NetPyNE cellParams entries) and their SWC files beside this script.

    python models/cortex/cells/make_cells.py

The JSON files are what the circuit loads; this script is how they came about. Channel densities
start from Hay et al. (2011), doi:10.1371/journal.pcbi.1002107, and are tuned by hand to the
generated morphology, see README.md of the circuit for what the cells then do.
"""

import json
from pathlib import Path

import numpy as np

from netml.circuit.morphology import Morphology, basket, pyramidal

FOLDER = Path(__file__).parent
PYR_SEED, PV_SEED = 2, 2
POTASSIUM = {"netml_kv3", "netml_kp", "netml_im", "netml_sk"}
CALCIUM_ZONE_UM = (430.0, 800.0)  # around the main bifurcation, where calcium spikes start


def digits(value: float) -> float:
    """Six significant digits: short files, the same on every machine."""
    return float(f"{value:.6g}")


def ih_density(path_um: float) -> float:
    """S/cm2, rising exponentially along the apical dendrite (Kole et al. 2006)."""
    return 2e-4 * (-0.8696 + 2.087 * np.exp(0.0031 * path_um))


def along(morphology: Morphology, name: str, density) -> list[float]:
    """`density(path_um)` at the centre of each segment of a section."""
    nseg = morphology.sections[name].nseg
    centres = ((i + 0.5) / nseg for i in range(nseg))
    return [digits(density(morphology.path_um(name, x))) for x in centres]


def pyr_mechanisms(morphology: Morphology, name: str) -> tuple[dict, float]:
    """Mechanisms of a section of the pyramidal cell, and its capacitance in uF/cm2."""
    ih = {"netml_ih": {"gbar": 2e-4}}
    if name == "soma":
        return {
            "pas": {"g": 3.4e-5, "e": -90.0},
            "netml_nat": {"gbar": 2.0},
            "netml_kv3": {"gbar": 0.6},
            "netml_kp": {"gbar": 0.004},
            "netml_im": {"gbar": 3e-4},
            "netml_cahva": {"gbar": 9e-4},
            "netml_calva": {"gbar": 3e-3},
            "netml_sk": {"gbar": 0.04},
            "netml_cad": {"gamma": 5e-4, "decay": 250.0},
            **ih,
        }, 1.0
    if name == "axon":
        return {
            "pas": {"g": 3.4e-5, "e": -90.0},
            "netml_nat": {"gbar": 3.0, "vshift": -4.0},
            "netml_kv3": {"gbar": 0.8},
            "netml_nap": {"gbar": 0.004},
        }, 1.0
    if name.startswith("basal"):
        return {"pas": {"g": 4.7e-5, "e": -90.0}, "netml_nat": {"gbar": 0.01}, **ih}, 2.0
    mechanisms = {
        "pas": {"g": 5.9e-5, "e": -90.0},
        "netml_nat": {"gbar": 0.02},
        "netml_ih": {"gbar": along(morphology, name, ih_density)},
    }
    if name.startswith(("trunk", "tuft")):
        mechanisms["netml_im"] = {"gbar": 7e-5}
    low, high = CALCIUM_ZONE_UM
    if name.startswith(("trunk", "tuft")) and low < morphology.path_um(name, 0.5) < high:
        mechanisms |= {
            "netml_kv3": {"gbar": 3e-4},
            "netml_cahva": {"gbar": 3e-4},
            "netml_calva": {"gbar": 4e-3},
            "netml_sk": {"gbar": 0.002},
            "netml_cad": {"gamma": 5e-4, "decay": 122.0},
        }
    return mechanisms, 2.0


def pv_mechanisms(morphology: Morphology, name: str) -> tuple[dict, float]:
    """Mechanisms of a section of the fast-spiking cell, and its capacitance in uF/cm2."""
    if name == "soma":
        return {
            "pas": {"g": 2.5e-4, "e": -72.0},
            "netml_nat": {"gbar": 1.2, "vshift": -4.0},
            "netml_kv3": {"gbar": 1.0},
            "netml_kp": {"gbar": 1e-3},
        }, 1.0
    return {
        "pas": {"g": 2.5e-4, "e": -72.0},
        "netml_nat": {"gbar": 0.01},
        "netml_kv3": {"gbar": 0.02},
    }, 1.0


def cell(morphology: Morphology, mechanisms_of, section_lists: dict[str, list[str]]) -> dict:
    """A cellParams entry."""
    secs = morphology.secs()
    for name, sec in secs.items():
        mechanisms, cm = mechanisms_of(morphology, name)
        sec["geom"] |= {"cm": cm, "Ra": 100.0, "L": digits(sec["geom"]["L"])}
        sec["mechs"] = mechanisms
        sec["ions"] = {"na": {"e": 50.0}}
        if POTASSIUM & mechanisms.keys():
            sec["ions"]["k"] = {"e": -85.0}
    secs["soma"]["threshold"] = -20.0
    return {"secs": secs, "secLists": section_lists}


def one_line_a_section(spec: dict) -> str:
    """JSON with a line for each section and section list, so that changes can be read."""
    blocks = []
    for key, entries in spec.items():
        lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in entries.items())
        blocks.append(f" {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def main() -> None:
    pyr = pyramidal(PYR_SEED)
    pv = basket(PV_SEED)
    near = [n for n in pyr.names("basal", "trunk", "oblique") if pyr.path_um(n, 0.5) < 110]
    cells = {
        "PYR": cell(
            pyr,
            pyr_mechanisms,
            {
                "basal": pyr.names("basal"),
                "apical": pyr.names("trunk", "oblique", "tuft"),
                "oblique": pyr.names("oblique"),
                "tuft": pyr.names("tuft"),
                "proximal": pyr.names("basal", "oblique"),
                "perisomatic": near,
            },
        ),
        "PV": cell(
            pv,
            pv_mechanisms,
            {"dendritic": pv.names("dend")},
        ),
    }
    for (label, spec), morphology in zip(cells.items(), (pyr, pv), strict=True):
        (FOLDER / f"{label}.json").write_text(one_line_a_section(spec))
        morphology.write_swc(FOLDER / f"{label}.swc")


if __name__ == "__main__":
    main()
