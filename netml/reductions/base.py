"""What every reduction offers: a state at rest and one step."""

from typing import Protocol

import torch


class ReductionModel(Protocol):
    """A reduced cell in plain torch, the reference of its kernel.

    ``inputs`` is the number of input synapse sites groups; a batch of cells is the first dimension everywhere.
    """

    inputs: int

    def init_state(self, batch: int) -> dict[str, torch.Tensor]:
        """State of ``batch`` cells at rest."""

    def step(
        self, state: dict[str, torch.Tensor], x: torch.Tensor, last_spike: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
        """One time step.

        Args:
            state: As ``init_state`` gives it.
            x: (batch, inputs) events of the step: weight (uS) times gain (1/uS), summed.
            last_spike: (batch) what ``emit`` gave for the next step: 1 where the cell spiked in the step before.

        Returns:
            The new state, the logit of a spike (batch) and the soma voltage (batch), mV.
        """

    def site_voltage(self, state: dict[str, torch.Tensor]) -> torch.Tensor:
        """(batch, sites) voltage of the recorded dendritic sites, mV, from the state that ``step`` returned."""

    def emit(
        self, state: dict[str, torch.Tensor], logit: torch.Tensor, threshold: float
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
        """From what ``step`` returned: the state, which cells spike (batch, bool), the next step's ``last_spike``."""
