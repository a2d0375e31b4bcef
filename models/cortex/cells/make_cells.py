"""Write the cells (NetPyNE cellParams entries, NAME.json) and their SWC files beside this script.

    python models/cortex/cells/make_cells.py

The JSON files are what the circuit loads; this script is how they came about. Channel densities
of PYR and FS, the cells of layer5, start from Hay et al. (2011), doi:10.1371/journal.pcbi.1002107, and are set by hand
to the generated morphology, see README.md of the circuit for what the cells then do. Those of the cells in TUNED
stand in NAME.parameters.json, which tune_cells.py writes.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from netml.circuit.morphology import (
    BasketStatistics,
    Morphology,
    PyramidalStatistics,
    TreeStatistics,
    basket,
    pyramidal,
)

FOLDER = Path(__file__).parent
PYR_SEED, PV_SEED, PT_SEED, L23_SEED, IT_SEED, SST_SEED = 2, 2, 1, 1, 1, 1
POTASSIUM = {"netml_kv3", "netml_kp", "netml_kt", "netml_im", "netml_sk"}
CALCIUM_ZONE_UM = (430.0, 800.0)  # around the main bifurcation, where calcium spikes start

#: A large thick-tufted cell: its trunk bifurcates 820 um from the soma, its tuft reaches layer 1 at about 1.2 mm. The
#: trunk's diameters stand in PT.parameters.json and are tuned: they say how nexus and soma drive each other.
PT_STATISTICS = PyramidalStatistics(
    basal_trees=7,
    basal=TreeStatistics((30, 10), (110, 25), (4, 5), (1.8, 0.25), 0.6),
    trunk_um=810.0,
    obliques=10,
    oblique_range=(0.05, 0.45),
    oblique=TreeStatistics((40, 12), (110, 25), (1, 3), (1.0, 0.15), 0.6, 40.0),
    tuft=TreeStatistics((60, 15), (115, 25), (5, 7), (1.4, 0.2), 0.7, 25.0),
    axon_diam_um=1.2,
)
#: Layer 2/3: 3.5 mm of apical dendrite spread wide from a short trunk, 2 mm of basal (van Aerde & Feldmeyer 2015).
L23_STATISTICS = PyramidalStatistics(
    soma_diam_um=15.0,
    basal_trees=5,
    basal=TreeStatistics((25, 8), (85, 15), (3, 5), (1.4, 0.2), 0.6),
    trunk_um=150.0,
    trunk_diam_um=(2.6, 1.8),
    obliques=4,
    oblique=TreeStatistics((30, 8), (85, 15), (1, 3), (0.9, 0.1), 0.6, 40.0),
    tufts=2,
    tuft=TreeStatistics((40, 10), (100, 20), (7, 9), (1.3, 0.2), 0.6, 30.0),
    axon_um=45.0,
    axon_diam_um=1.0,
)
#: Layer 5, slender-tufted: half the dendrite of a thick-tufted cell, few obliques, a tuft of a few branches that ends
#: in layer 2/3 to 1 (Hattox & Nelson 2007; Oberlaender et al. 2012, doi:10.1093/cercor/bhr317).
IT_STATISTICS = PyramidalStatistics(
    soma_diam_um=15.0,
    basal_trees=5,
    basal=TreeStatistics((25, 8), (90, 15), (3, 4), (1.3, 0.2), 0.6),
    trunk_um=550.0,
    trunk_diam_um=(2.2, 1.2),
    obliques=5,
    oblique_range=(0.05, 0.5),
    oblique=TreeStatistics((30, 8), (80, 15), (1, 2), (0.9, 0.1), 0.6, 40.0),
    tufts=2,
    tuft=TreeStatistics((40, 10), (90, 20), (2, 3), (0.9, 0.1), 0.6, 25.0),
    axon_um=45.0,
    axon_diam_um=1.0,
)
#: Layer 5 Martinotti: a few long, thin, sparsely spiny dendrites (Wang et al. 2004, doi:10.1113/jphysiol.2004.073353).
SST_STATISTICS = BasketStatistics(
    soma_diam_um=12.0, trees=4, tree=TreeStatistics((40, 10), (70, 5), (3, 3), (1.1, 0.1), 0.6, 30.0)
)
PT_ZONE_UM = (685.0, 885.0)  # of calcium channels around the bifurcation (Hay et al. 2011)
OUTSIDE_ZONE = {"netml_cahva": 0.1, "netml_calva": 0.01}  # share of their density beyond the zone
CALCIUM = {*OUTSIDE_ZONE, "netml_sk", "netml_cad"}


def digits(value: float) -> float:
    """Six significant digits: short files, the same on every machine."""
    return float(f"{value:.6g}")


def ih_density(path_um: float, soma: float = 2e-4) -> float:
    """S/cm2, rising exponentially along the apical dendrite (Kole et al. 2006) from `soma`."""
    return soma * (-0.8696 + 2.087 * np.exp(0.0031 * path_um))


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


def tuned_mechanisms(parameters: dict, zone_um: tuple[float, float] | None = None):
    """A function as :func:`pyr_mechanisms`, by mechanisms of each region as in CELL.parameters.json.

    In the apical dendrite Ih rises with distance, and calcium channels lie in `zone_um`, where there is one.
    """

    def calcium(mechanism: str, density: float):
        low, high = zone_um
        return lambda path_um: density * (1.0 if low <= path_um <= high else OUTSIDE_ZONE[mechanism])

    def mechanisms(morphology: Morphology, name: str) -> tuple[dict, float]:
        kind = name.split("_")[0]
        region = "apical" if kind in ("trunk", "oblique", "tuft") else kind
        found = {mechanism: dict(values) for mechanism, values in parameters[region].items()}
        spines = 2.0 if region in ("apical", "basal") else 1.0  # they double the membrane
        cm = found.pop("membrane", {"cm": spines})["cm"]
        if region == "apical":
            soma = found["netml_ih"]["gbar"]
            found["netml_ih"]["gbar"] = along(morphology, name, lambda path_um: ih_density(path_um, soma))
            for mechanism in OUTSIDE_ZONE.keys() & found.keys():
                density = calcium(mechanism, found[mechanism]["gbar"])
                found[mechanism]["gbar"] = along(morphology, name, density)
        if kind == "oblique":  # all below the zone
            found = {mechanism: values for mechanism, values in found.items() if mechanism not in CALCIUM}
        return found, cm

    return mechanisms


def pt_morphology(parameters: dict) -> Morphology:
    """PT with the trunk of its parameters."""
    diameters = parameters["trunk"]["diam_um"]
    return pyramidal(PT_SEED, replace(PT_STATISTICS, trunk_diam_um=(diameters["soma"], diameters["tuft"])))


TUNED = {  # morphology, by parameters, of the cells whose densities tune_cells.py finds
    "PT": pt_morphology,
    "IT": lambda _: pyramidal(IT_SEED, IT_STATISTICS),
    "L23": lambda _: pyramidal(L23_SEED, L23_STATISTICS),
    "PV": lambda _: basket(PV_SEED),
    "SST": lambda _: basket(SST_SEED, SST_STATISTICS),
}


def tuned_cell(label: str, parameters: dict) -> dict:
    """The cellParams entry of a tuned cell with given parameters."""
    morphology = TUNED[label](parameters)
    if morphology.names("trunk"):
        lists = pyramidal_lists(morphology) | {"trunk": morphology.names("trunk")}
    else:
        lists = {"dendritic": morphology.names("dend")}
    return cell(morphology, tuned_mechanisms(parameters, PT_ZONE_UM if label == "PT" else None), lists)


def fs_mechanisms(morphology: Morphology, name: str) -> tuple[dict, float]:
    """Mechanisms of a section of layer5's fast-spiking cell, and its capacitance in uF/cm2."""
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


def pyramidal_lists(morphology: Morphology) -> dict[str, list[str]]:
    """Section lists of a pyramidal cell."""
    near = [n for n in morphology.names("basal", "trunk", "oblique") if morphology.path_um(n, 0.5) < 110]
    return {
        "basal": morphology.names("basal"),
        "apical": morphology.names("trunk", "oblique", "tuft"),
        "oblique": morphology.names("oblique"),
        "tuft": morphology.names("tuft"),
        "proximal": morphology.names("basal", "oblique"),
        "perisomatic": near,
    }


def main() -> None:
    pyr, fs = pyramidal(PYR_SEED), basket(PV_SEED)
    cells = {
        "PYR": (pyr, cell(pyr, pyr_mechanisms, pyramidal_lists(pyr))),
        "FS": (fs, cell(fs, fs_mechanisms, {"dendritic": fs.names("dend")})),
    }
    for label, morphology in TUNED.items():
        parameters = json.loads((FOLDER / f"{label}.parameters.json").read_text())
        cells[label] = morphology(parameters), tuned_cell(label, parameters)
    for label, (morphology, spec) in cells.items():
        (FOLDER / f"{label}.json").write_text(one_line_a_section(spec))
        morphology.write_swc(FOLDER / f"{label}.swc")


if __name__ == "__main__":
    main()
