"""netml: detailed circuit -> learned reduction -> swapped network.

Importing it does nothing: no NEURON, no MPI, no torch, no compiling.  Each name below is loaded when it is first used.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "import_cell": "netml.engine.import_cell",
    "simulate": "netml.engine.launch",
    "record": "netml.engine.record",
    "train": "netml.training",
    "train_ensemble": "netml.ensemble",
    "tune": "netml.training.tune",
    "validate": "netml.validation",
    "validate_cells": "netml.validation",
    "compare": "netml.validation",
    "describe": "netml.validation",
    "swap": "netml.engine.swap",
    "import_neuronio": "netml.records.neuronio",
    "build": "netml.engine.build",
    "demo": "netml.pipeline",
    "Artifact": "netml.artifact",
    "ShortTerm": "netml.engine.plasticity",
    "RewardStdp": "netml.engine.plasticity",
    "Records": "netml.records",
    "Run": "netml.runs",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'netml' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__():
    return __all__ + ["__version__"]
