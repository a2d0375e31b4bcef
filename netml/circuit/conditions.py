"""NetPyNE's conditions on cells (``conds``, ``preConds``, ``postConds``), as far as a population's tags decide them."""

from collections.abc import Mapping
from typing import Any

#: Tags that all cells of a population share.
TAGS = ("pop", "cellType", "cellModel")


def conditions_hold(conditions: Mapping[str, Any] | None, tags: Mapping[str, Any]) -> bool:
    """Whether a population can have cells that meet conditions.

    Conditions on anything but :data:`TAGS`, such as positions, are met by some cell, so they count as met.

    Args:
        conditions: By tag a value, or a list of values of which one is enough; None as a value asks for nothing.
        tags: Of the population, its label as ``pop`` among them.

    Example:
        >>> conditions_hold({"pop": ["PYR", "PV"], "y": [0, 100]}, {"pop": "PV", "cellType": "PVcell"})
        True
    """
    for name in TAGS:
        wanted = (conditions or {}).get(name)
        if wanted is not None and tags.get(name) not in (wanted if isinstance(wanted, (list, tuple)) else [wanted]):
            return False
    return True
