"""Time in whole ticks of 1e-6 ms, as in the C++ engine."""

import torch

TICKS_PER_MS = 1_000_000
NEVER = -(2**61)  # tick of what has not happened yet


def decay(ticks: torch.Tensor, tau_ms: float) -> torch.Tensor:
    """float64 exp(-time / tau); a time constant of 0 leaves nothing."""
    if tau_ms == 0:
        return torch.zeros(ticks.shape, dtype=torch.float64, device=ticks.device)
    return torch.exp(ticks.double() / (-tau_ms * TICKS_PER_MS))
