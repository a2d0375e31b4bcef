"""How `reduce` spends its time: data against updates, from measured speeds.

What a reduction misses of the quiet voltage falls about as 1 / data and 1 / updates (tests/benchmarks/l5pc/README.md,
"Accuracy against data"): e(D, U) = DATA / D + UPDATES / U.  With r seconds a biological second of data and u seconds an
update, e is least under r D + u U = budget where D = sqrt(DATA / r) k and U = sqrt(UPDATES / u) k.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

#: Of the two parts of the error (1 - explained variance of the voltage), on the l5pc benchmark: 300, 1,000 and 2,976 s
#: of data leave 0.013, 0.0045 and 0.0016 above their limit; on 300 s, 1,500 updates are no worse than 6,000.
DATA, UPDATES = 4.5, 2.0
TRAINED_SHARE = 0.7  # of the records; the rest is for validation and test
LEAST_UPDATES, MOST_UPDATES = 1500, 40000
LEAST_DATA_S = 60.0  # of one cell; less has too few spikes of any kind


@dataclass(frozen=True)
class Plan:
    """What a budget buys.

    Attributes:
        data_s: Biological seconds of one cell to have in the end.
        record_s, train_s: What recording the missing part, and training, take, s.
        updates: Of the weights.
    """

    data_s: float
    record_s: float
    updates: int
    train_s: float


def plan(budget_s: float, recorded_s: float, record_rate: float, update_s: float) -> Plan:
    """Share a budget between recording and training.

    Args:
        budget_s: Left for both, s.
        recorded_s: Biological seconds that are there already.
        record_rate: Seconds that a biological second of one cell takes to record.
        update_s: Seconds that an update of the weights takes.

    Returns:
        The plan; one that takes longer than the budget where that is less than the least that is worth anything.

    Example:
        >>> plan(budget_s=900.0, recorded_s=48.0, record_rate=1.0, update_s=0.05).updates
        2100
    """
    budget = max(budget_s, 0.0) + recorded_s * record_rate  # what is there counts as bought
    data_weight, update_weight = sqrt(DATA / TRAINED_SHARE * record_rate), sqrt(UPDATES * update_s)
    afforded = budget / update_s * update_weight / (data_weight + update_weight)
    updates = int(min(max(afforded, LEAST_UPDATES), MOST_UPDATES)) // 10 * 10
    data = max((budget - updates * update_s) / record_rate, LEAST_DATA_S, recorded_s)
    return Plan(data, (data - recorded_s) * record_rate, updates, updates * update_s)


def more_data(data_s: float, missing: float) -> float | None:
    """Biological seconds to add for an error to fall by a factor; None where more data alone would hardly do it.

    Args:
        data_s: What there is.
        missing: The error over the one that is allowed, above 1.
    """
    return data_s * (missing - 1.0) if missing <= 4.0 else None
