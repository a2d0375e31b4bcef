"""How faithful a reduced cell and a swapped network are, and how much faster."""

from netml.validation.cell import validate
from netml.validation.compare import compare

__all__ = ["compare", "validate"]
