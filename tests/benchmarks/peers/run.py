"""What realism costs: netml beside its peers on the same cell and the same network, side by side in one run.

    pip install -e ".[benchmarks]" && python tests/benchmarks/peers/run.py [--json OUT]

Cell: PYR of models/cortex under its own background, detailed in NEURON as installed and in CoreNEURON tuned, reduced
by Neuron_Reduce (Amsalem et al. 2020, 10.1038/s41467-019-13932-6) in both, and by netml.  Network: point neurons in
NEST beside netml's reduced cells.  Every side runs alone in a process of its own, on one thread; CPU seconds are those
of the time loop, best of the repeats.  (Brian2 2.9.0 cannot be imported with numpy 2.4, which dropped ndarray.ptp.)
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cell
import network

from netml.engine.ranks.mpi import THREADS
from netml.validation.spikes import coincidence_factor

NEEDS = {"reduce": "neuron_reduce", "iaf": "nest"}  # package, by the beginning of a side's name


def run(module, side: str, *arguments) -> dict | None:
    """JSON of one side, None where its package is not installed."""
    package = NEEDS.get(side.split("_")[0])
    if package and importlib.util.find_spec(package) is None:
        return None
    command = [sys.executable, module.__file__, side, *map(str, arguments)]
    one_thread = os.environ | dict.fromkeys(THREADS, "1")
    done = subprocess.run(command, capture_output=True, text=True, env=one_thread)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare_cells(cells: int, duration_ms: float, repeats: int) -> list[dict]:
    """A row a side: ms of CPU time a cell and biological second, rate, coincidence with the detailed cell."""
    found = {side: run(cell, side, cells, duration_ms, repeats) for side in cell.SIDES}
    rows = []
    for side, result in found.items():
        row = {"side": side, "what": cell.SIDES[side]}
        if result:
            pairs = [(a, b, duration_ms) for a, b in zip(found["neuron"]["spikes"], result["spikes"], strict=True)]
            row |= {
                "ms_per_cell_and_s": result["cpu_s"] / result["cells"] / duration_ms * 1e6,
                "segments": result["segments"] or None,
                "rate_hz": sum(map(len, result["spikes"])) / cells / duration_ms * 1000,
                "gamma_2ms": coincidence_factor(pairs),
            }
        rows.append(row)
    return with_ratio(rows, "ms_per_cell_and_s")


def compare_networks(cells: int, synapses: int, duration_ms: float) -> list[dict]:
    """A row a side: CPU seconds a biological second, and that of building."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for side, what in network.SIDES.items():
            if side == "netml" and "rate_hz" not in rows[-1]:
                break  # its input are the spikes of the side before
            row = {"side": side, "what": what}
            if result := run(network, side, cells, synapses, duration_ms, Path(folder) / "spikes.npz"):
                row |= {"cpu_s_per_bio_s": result["cpu_s"] / duration_ms * 1000, "build_s": result["build_s"],
                        "rate_hz": result["rate_hz"]}  # fmt: skip
            rows.append(row)
    return with_ratio(rows, "cpu_s_per_bio_s")


def with_ratio(rows: list[dict], cost: str) -> list[dict]:
    """Every row's cost over that of the last, netml's."""
    own = rows[-1].get(cost)
    return [row | {"times_netml": row[cost] / own} if own and cost in row else row for row in rows]


def table(title: str, rows: list[dict]) -> str:
    names = [name for name in max(rows, key=len) if name != "side"]
    lines = [names, *([row.get(name) for name in names] for row in rows)]
    text = [["" if v is None else v if isinstance(v, str) else f"{v:.4g}" for v in line] for line in lines]
    text = [line if any(line[1:]) else [line[0], "not installed"] for line in text]
    width = [max(len(line[k]) for line in text if k < len(line)) for k in range(len(names))]
    body = "\n".join("  ".join(v.ljust(w) for v, w in zip(line, width, strict=False)).rstrip() for line in text)
    return f"{title}\n{body}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=2, help="detailed cells")
    parser.add_argument("--seconds", type=float, default=1.0, help="biological, of every run")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--network-cells", type=int, default=1000)
    parser.add_argument("--network-synapses", type=int, default=500, help="a cell")
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()
    duration_ms = 1000 * options.seconds
    cells = compare_cells(options.cells, duration_ms, options.repeats)
    print(table(f"One cell ({options.cells} of them, {options.seconds:g} s, the same events)", cells))
    networks = compare_networks(options.network_cells, options.network_synapses, duration_ms)
    print(table(f"A network of {options.network_cells} cells x {options.network_synapses} synapses", networks))
    if options.json:
        figures = {"options": vars(options), "cell": cells, "network": networks}
        Path(options.json).write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
