"""The circuit that `cfg.circuit` names: layer5.py, of two cell types in layer 5, or column.py, of layers 2/3 and 5."""

from importlib import import_module

try:
    from __main__ import cfg
except ImportError:
    from cfg import cfg

CIRCUITS = ("layer5", "column")
if cfg.circuit not in CIRCUITS:
    raise ValueError(f"cfg.circuit is {cfg.circuit!r}; expected {' or '.join(CIRCUITS)}")
netParams = import_module(cfg.circuit).netParams
