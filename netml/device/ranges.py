"""Many ranges of a long array as one list of indices, in pieces of bounded size."""

from collections.abc import Iterator

import torch

#: Most elements at once: bounds the memory of a step, whatever bursts there are.
LIMIT = {"cpu": 1 << 16, "cuda": 1 << 22}


def pieces(first: torch.Tensor, last: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The elements of [first, last) of every range, range after range.

    Args:
        first: (ranges) int64.
        last: (ranges) int64, not below first.

    Returns:
        Pairs (range, element), int64 of one length, none longer than ``LIMIT``.
    """
    if not first.numel():
        return
    count = last - first
    ends = count.cumsum(0)
    begin = first - ends + count  # of a range, less the elements before it
    total, limit = int(ends[-1]), LIMIT.get(first.device.type, LIMIT["cuda"])
    for at in range(0, total, limit):
        number = torch.arange(at, min(at + limit, total), device=first.device)
        which = torch.searchsorted(ends, number, right=True)
        yield which, begin[which] + number
