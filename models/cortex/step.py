"""Ten thousand cells of this circuit as reductions, stepped: for a closed loop, or for long runs.

    python step.py                                         # or: mpiexec -n 2 python step.py ...
    python step.py PYR.netml PV.netml --cells 50 --duration 200 --record run

Without reductions of your own it takes those of reductions/. Every rank makes the same calls; rank 0 prints.
"""

import argparse
from pathlib import Path

import netml
from netml.circuit.project import find_project, load_project

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
shipped = Path(__file__).parent / "reductions"
parser.add_argument("PYR", type=Path, nargs="?", default=shipped / "PYR.netml", help="reduction of the pyramidal cells")
parser.add_argument("PV", type=Path, nargs="?", default=shipped / "PV.netml", help="reduction of the interneurons")
parser.add_argument("--cells", type=int, default=10_000)
parser.add_argument("--duration", type=int, default=1000, help="ms")
parser.add_argument("--record", help="run folder: spikes of all cells, voltage of ten")
options = parser.parse_args()

# The circuit's own netParams, larger, with as many partners a cell as in the circuit as it is: the same state.
project, n_pyr = find_project(Path(__file__).parent), options.cells * 4 // 5
as_it_is = load_project(project)[1]
size = {"n_pyr": n_pyr, "n_pv": options.cells - n_pyr, "scale_recurrent": as_it_is.n_pyr / n_pyr}
netParams, simConfig = load_project(project, size)

with netml.build(netParams, {"PYR": options.PYR, "PV": options.PV}, simConfig, seed=1) as simulation:
    if options.record:
        simulation.record(options.record, voltage={"PYR": range(min(10, n_pyr))})
    for _ in range(options.duration // 100):
        simulation.advance(100)
        rates = simulation.rates()
        if simulation.first:
            print(f"{simulation.t:6.0f} ms  " + "  ".join(f"{pop} {rate:6.2f} Hz" for pop, rate in rates.items()))
