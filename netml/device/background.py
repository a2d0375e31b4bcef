"""Poisson events on synapse sites of every cell, from the random numbers of the C++ engine (mod/engine/random.hpp)."""

import math
from collections.abc import Sequence

import torch

from netml.device.ranges import pieces
from netml.device.ring import Ring
from netml.device.time import TICKS_PER_MS

WORD = 2**32


def philox(counter: Sequence[torch.Tensor], key: tuple[int, int]) -> list[torch.Tensor]:
    """Four words from four of counter and two of key, all below 2^32: Philox 4x32-10 (Salmon et al., SC 2011)."""
    a, b, c, d = counter
    first, second = key
    for _ in range(10):
        left, right = a * 0xD2511F53, c * 0xCD9E8D57  # the upper half may be negative: masked below
        a, b, c, d = (right >> 32) % WORD ^ b ^ first, right % WORD, (left >> 32) % WORD ^ d ^ second, left % WORD
        first, second = (first + 0x9E3779B9) % WORD, (second + 0xBB67AE85) % WORD
    return [a, b, c, d]


class Background:
    """One background: an event's synapse site is drawn in proportion to its rate.

    Args:
        rate_hz: Of each synapse site.
        input, weight: The input that each feeds, and its weight in quanta; int64 on the device.
        seed, stream: Key of the random numbers.
        step_ticks: Length of a step.
    """

    def __init__(
        self,
        rate_hz: list[float],
        input: torch.Tensor,
        weight: torch.Tensor,
        *,
        seed: int,
        stream: int,
        step_ticks: int,
    ):
        self._key, self._input, self._weight = (seed, stream), input, weight.to(torch.int32)
        mean = 0.0
        for rate in rate_hz:  # in the engine's order
            mean += rate * step_ticks / (1000.0 * TICKS_PER_MS)
        self.mean = mean
        keep, other = alias(rate_hz)
        self._border, self._keep, self._other = (
            torch.tensor(column, dtype=torch.int64, device=input.device) for column in (borders(mean), keep, other)
        )

    def draw(self, gid: torch.Tensor, inputs: int, step: int, ring: Ring) -> None:
        """The events of a step of all cells (by gid) enter the ring."""
        if not self.mean:
            return
        now = [torch.full_like(gid, part) for part in (step % WORD, step // WORD)]
        word = philox([gid % WORD, *now, torch.zeros_like(gid)], self._key)[0]
        number = torch.searchsorted(self._border, word, right=True)
        for cell, event in pieces(torch.zeros_like(number), number):
            words = philox([gid[cell] % WORD, now[0][cell], now[1][cell], event // 2 + 1], self._key)
            pick, test = (torch.where(event % 2 == 0, words[k], words[k + 2]) for k in (0, 1))
            chosen = pick * self._input.numel() >> 32
            chosen = torch.where(test < self._keep[chosen], chosen, self._other[chosen])
            target = cell * inputs + self._input[chosen]
            ring.add(step, torch.full_like(target, step), target, self._weight[chosen])


def borders(mean: float) -> list[int]:
    """A random word from border k on means more than k events."""
    term = below = math.exp(-mean)
    found = []
    for k in range(1, 256):
        if below >= 1 - 2.0**-33:
            break
        found.append(int(min(below * WORD, WORD - 1)))
        term *= mean / k
        below += term
    return found


def alias(share: list[float]) -> tuple[list[int], list[int]]:
    """Walker's alias table: a choice stays where a word is below its first number, else it becomes its second."""
    count, total = len(share), sum(share)
    left = [s / total * count if total else 1.0 for s in share]
    keep, other = [WORD - 1] * count, list(range(count))
    small, large = ([i for i in range(count) if (left[i] < 1) == few] for few in (True, False))
    while small and large:
        few, many = small.pop(), large[-1]
        keep[few], other[few] = int(left[few] * WORD), many
        left[many] -= 1 - left[few]
        if left[many] < 1:
            small.append(large.pop())
    return keep, other
