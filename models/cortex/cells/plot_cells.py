"""Draw the cells that have targets: morphology, and the soma (and dendrite) under each protocol.

python models/cortex/cells/plot_cells.py [CELL ...]     # writes CELL.png beside this script; variable time step
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from netml.circuit.physiology import CellTargets, find_targets
from netml.engine.experiments.current_clamp import ClampJob, run_clamps
from netml.engine.ranks.launch import launch

FOLDER = Path(__file__).parent
SHORT_MS = 500.0  # of a shorter window the first 100 ms are drawn
COLOURS = {"soma": "black", "axon": "tab:green", "basal": "tab:blue", "dend": "tab:blue", "trunk": "tab:red",
           "oblique": "tab:orange", "tuft": "tab:purple"}  # fmt: skip


def draw_morphology(axes, cell: CellTargets) -> None:
    """The sections in the plane of the apical axis, 100 um to scale, lines as thick as the branches (twice)."""
    for name, sec in cell.spec()["secs"].items():
        points = np.array(sec["geom"]["pt3d"])
        kind = name.split("_")[0]
        axes.plot(points[:, 0], points[:, 1], color=COLOURS.get(kind, "grey"), lw=min(sec["geom"]["diam"], 8))
    left, bottom = axes.get_xlim()[0], axes.get_ylim()[0]
    axes.plot([left, left + 100], [bottom, bottom], color="black", lw=2)
    axes.text(left, bottom + 10, "100 um", fontsize=8)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_title(cell.cell)


def draw(cell: CellTargets, traces: dict) -> None:
    protocols = cell.protocols
    figure = plt.figure(figsize=(10, 1.5 * len(protocols)), layout="constrained")
    grid = figure.add_gridspec(len(protocols), 3)
    draw_morphology(figure.add_subplot(grid[:, 0]), cell)
    for row, protocol in enumerate(protocols):
        axes = figure.add_subplot(grid[row, 1:])
        for site, (time, voltage) in traces[cell.cell, protocol.name].items():
            axes.plot(time, voltage, lw=0.7, label=site, color="black" if site == "soma" else None)
        start, stop = protocol.window_ms
        axes.set_xlim(start - 20, stop if stop - start >= SHORT_MS else start + 100)
        axes.set_ylabel("mV")
        axes.set_title(protocol.name, loc="left", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        if len(traces[cell.cell, protocol.name]) > 1:
            axes.legend(fontsize=7, frameon=False, loc="upper right")
    axes.set_xlabel("ms")
    figure.savefig(FOLDER / f"{cell.cell}.png", dpi=70)


def main() -> None:
    cells = find_targets(FOLDER.parent, sys.argv[1:] or None)
    traces = launch(run_clamps, ClampJob(str(FOLDER.parent), tuple(cells), dt_ms=None))
    for cell in cells:
        draw(cell, traces)


if __name__ == "__main__":
    main()
