"""netml: detailed circuit -> learned reduction -> swapped network.

Importing it does nothing: no NEURON, no MPI, no torch, no compiling.  Each name below is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what an editor and a type checker see of the names that are loaded when they are first used
    from netml.artifact import Artifact as Artifact
    from netml.engine.cell_import.import_cell import import_cell as import_cell
    from netml.engine.circuit.simulate import simulate as simulate
    from netml.engine.circuit.swap import swap as swap
    from netml.engine.recording.record import record as record
    from netml.engine.reduced_network.build import build as build
    from netml.errors import NetmlError as NetmlError
    from netml.population.plasticity import RewardStdp as RewardStdp
    from netml.population.plasticity import ShortTerm as ShortTerm
    from netml.records import Records as Records
    from netml.records.neuronio import import_neuronio as import_neuronio
    from netml.runs import Run as Run
    from netml.stages.compare import compare as compare
    from netml.stages.demo import demo as demo
    from netml.stages.describe import describe as describe
    from netml.stages.reduce import reduce as reduce
    from netml.stages.train_ensemble import train_ensemble as train_ensemble
    from netml.stages.validate import validate as validate
    from netml.stages.validate_cells import validate_cells as validate_cells
    from netml.training import train as train
    from netml.training.tune import tune as tune

__version__ = "0.1.0"

_HOME = {
    "Artifact": "netml.artifact",
    "NetmlError": "netml.errors",
    "Records": "netml.records",
    "RewardStdp": "netml.population.plasticity",
    "Run": "netml.runs",
    "ShortTerm": "netml.population.plasticity",
    "build": "netml.engine.reduced_network.build",
    "compare": "netml.stages.compare",
    "demo": "netml.stages.demo",
    "describe": "netml.stages.describe",
    "import_cell": "netml.engine.cell_import.import_cell",
    "import_neuronio": "netml.records.neuronio",
    "record": "netml.engine.recording.record",
    "reduce": "netml.stages.reduce",
    "simulate": "netml.engine.circuit.simulate",
    "swap": "netml.engine.circuit.swap",
    "train": "netml.training",
    "train_ensemble": "netml.stages.train_ensemble",
    "tune": "netml.training.tune",
    "validate": "netml.stages.validate",
    "validate_cells": "netml.stages.validate_cells",
}
__all__ = sorted(_HOME)


if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str):
        if name not in _HOME:
            raise AttributeError(f"module 'netml' has no attribute {name!r}")
        return getattr(import_module(_HOME[name]), name)


def __dir__():
    return [*__all__, "__version__"]
