"""What the source of each row carries from spike to spike: short-term plasticity, and the trace that STDP reads."""

import torch

from netml.device.time import NEVER, decay
from netml.population.plasticity import RewardStdp, ShortTerm


class Sources:
    """State of the rows of one projection, after netml/population/README.md.

    Args:
        rows: How many.
        short_term, stdp: The projection's; None: without.
    """

    def __init__(self, rows: int, short_term: ShortTerm | None, stdp: RewardStdp | None, device: torch.device):
        self._short_term, self._stdp = short_term, stdp
        self._last = torch.empty(rows, dtype=torch.int64, device=device)
        self._use, self._resources, self._trace = torch.empty(3, rows, dtype=torch.float64, device=device)
        self.reset()

    def reset(self) -> None:
        self._last.fill_(NEVER)
        self._use.zero_(), self._resources.fill_(1.0), self._trace.zero_()

    def spike(self, rows: torch.Tensor, tick: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A spike of each of some rows, none of them twice.

        Returns:
            float64 of each row: the factor on its weights, and its trace after the spike.
        """
        since, first = tick - self._last[rows], self._last[rows] == NEVER
        factor = trace = torch.ones(rows.numel(), dtype=torch.float64, device=rows.device)
        if rule := self._short_term:
            use, resources = self._use[rows], self._resources[rows]
            kept = use * (1 - rule.use) * decay(since, rule.tau_facil_ms)
            recovered = 1 + (resources * (1 - use) - 1) * decay(since, rule.tau_rec_ms)
            use, resources = torch.where(first, rule.use, rule.use + kept), torch.where(first, 1.0, recovered)
            self._use[rows], self._resources[rows] = use, resources
            factor = use * resources
        if self._stdp:
            trace = torch.where(first, 1.0, 1 + self._trace[rows] * decay(since, self._stdp.tau_plus_ms))
            self._trace[rows] = trace
        self._last[rows] = tick
        return factor, trace
