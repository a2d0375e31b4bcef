"""How faithful a reduced cell and a swapped network are, and how much faster."""

from netml.validation.cell import validate
from netml.validation.compare import compare
from netml.validation.describe import describe
from netml.validation.physiology import validate_cells

__all__ = ["compare", "describe", "validate", "validate_cells"]
