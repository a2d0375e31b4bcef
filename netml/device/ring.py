"""What is on its way to the cells of a population: sums of the coming steps in fixed point."""

import torch

TOP = 2**31 - 1


class Ring:
    """Integer sums, so that the order of events does not matter; as in the C++ engine.

    A sum beyond 2^31 - 1 quanta wraps to a negative number, which a step reads as 2^31 - 1 and counts.

    Args:
        slots: Steps that an event may lie ahead.
        size: Sums a step: cells times inputs.
    """

    def __init__(self, slots: int, size: int, device: torch.device):
        self.slots, self.size = slots, size
        self._sums = torch.zeros(slots * size, dtype=torch.int32, device=device)
        self._late = torch.zeros((), dtype=torch.int64, device=device)
        self._saturated = torch.zeros((), dtype=torch.int64, device=device)

    def reset(self) -> None:
        self._sums.zero_(), self._late.zero_(), self._saturated.zero_()

    def add(self, next_step: int, step: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> None:
        """Add weights (int32, quanta) at targets of coming steps; those of a step already taken are counted as late."""
        seen = (step >= next_step) & (step < next_step + self.slots)
        self.late(~seen)
        self._sums.index_add_(0, torch.where(seen, step % self.slots * self.size + target, 0), weight * seen)

    def late(self, events: torch.Tensor) -> None:
        """Count events that come too late to be seen."""
        self._late += events.sum()

    def take(self, step: int, out: torch.Tensor, quantum: float) -> None:
        """Write the sums of a step into ``out`` (float32, in physical units) and clear them."""
        sums = self._sums.narrow(0, step % self.slots * self.size, self.size)
        wrapped = sums < 0
        self._saturated += wrapped.sum()
        torch.mul(sums.masked_fill(wrapped, TOP).float(), quantum, out=out.view(-1))
        sums.zero_()

    def stats(self) -> dict[str, int]:
        return {"late": int(self._late), "saturated": int(self._saturated)}
