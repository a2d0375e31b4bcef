"""What is wrong with what a population is given, in words."""

from collections.abc import Mapping, Sequence

import numpy as np

from netml.errors import ModelError
from netml.population.c_interface import TICKS_PER_MS
from netml.population.from_artifact import HEADROOM_EVENTS
from netml.population.plasticity import RewardStdp

LONGEST_MS = (2**31 - 1) / TICKS_PER_MS
# What a synapse, a background and an event are made from.
COLUMNS = {"row": "i", "cell": "i", "synapse site": "i", "weight": "d", "delay": "d"}
BACKGROUND = {"synapse site": "i", "rate": "d", "weight": "d"}
EVENTS = {"cell": "i", "synapse site": "i", "weight": "d", "arrival": "d"}


def whole(value, what: str) -> int:
    """A whole number from 0, NumPy's included.

    Raises:
        ModelError: It is none.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ModelError(f"{what} is {value!r}; expected a whole number, 0 or more")
    return int(value)


def threads(given: int | str) -> int:
    """Threads of a rank.

    Raises:
        ModelError: No whole number above 0.
    """
    if not str(given).isdigit() or not int(given):
        raise ModelError(f"threads of a rank (NETML_THREADS) are {given!r}; expected a whole number above 0")
    return int(given)


def names(given: Sequence[int] | None, first: int, count: int, what: str, label: str) -> Sequence[int]:
    if given is None:
        return range(first, first + count)
    if len(given) != count:
        raise ModelError(f"{count} {what} of reduced {label} were to be named, {len(given)} names came")
    found = np.asarray(given)
    if found.dtype.kind not in "iu":
        raise ModelError(f"{what} of reduced {label} are {found.dtype}; expected whole numbers")
    return found.astype(np.int64).tolist()


def columns(values, codes: Mapping[str, str], what: str) -> list[np.ndarray]:
    """One-dimensional arrays of one length, as C++ takes them: nothing is cut off or wrapped round on the way.

    Args:
        values: One for each code.
        codes: Type code by name, "i" for whole numbers of 32 bits, "d" for floating-point ones.
        what: For messages.

    Raises:
        ModelError: Other lengths or dimensions, no numbers, or whole numbers that are none or too large.
    """
    arrays = [column(one, code, f"{name} of {what}") for one, (name, code) in zip(values, codes.items(), strict=True)]
    if len({one.shape for one in arrays}) != 1 or arrays[0].ndim != 1:
        raise ModelError(f"{what} came as arrays of shapes {[one.shape for one in arrays]}; expected one length")
    return arrays


def column(values, code: str, what: str) -> np.ndarray:
    """One of :func:`columns`."""
    try:
        given = np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise ModelError(f"{what} is no array of numbers ({error})") from None
    if given.dtype.kind not in "iuf":
        raise ModelError(f"{what} is {given.dtype} {given.ravel()[:3].tolist()}; expected numbers")
    if code == "d":
        return np.ascontiguousarray(given, float)
    if given.dtype.kind == "f" and not (np.floor(given) == given).all():
        raise ModelError(f"{what} is {given[np.floor(given) != given].ravel()[0]}; expected whole numbers")
    if given.dtype != np.int32 and given.size and not (given.min() >= -(2**31) and given.max() < 2**31):
        raise ModelError(f"{what} reaches from {given.min()} to {given.max()}; expected below 2^31")
    return np.ascontiguousarray(given, np.int32)


def refuse_synapse(
    label: str, tops: tuple[int, int, int], stdp: RewardStdp | None, row: int, cell: int, synapse_site: int,
    weight: float, delay: float,
) -> None:  # fmt: skip
    """Say what is wrong with a synapse.

    Args:
        label: Of the population, for the message.
        tops: How many rows, cells and synapse sites there are.
        stdp: Of its projection.
        row: Of its source.
        cell: That it stands on.
        synapse_site: Segment x synapse types + synapse type.
        weight: uS.
        delay: ms.

    Raises:
        ModelError: Always.
    """
    rows, cells, synapse_sites = tops
    if not 0 <= row < rows:
        wrong = f"row {row}; expected 0 to {rows - 1}: add_rows makes them"
    elif not 0 <= cell < cells:
        wrong = f"cell {cell}; expected 0 to {cells - 1}: add_cells makes them"
    elif not 0 <= synapse_site < synapse_sites:
        wrong = f"synapse site {synapse_site}; expected 0 to {synapse_sites - 1} (segment x types + synapse type)"
    elif not 0 <= weight < np.inf:
        wrong = f"a weight of {weight} uS; expected 0 or more"
    elif not 0.5 < delay * TICKS_PER_MS < 2**31:
        wrong = f"a delay of {delay} ms; expected above 0 (1e-6 ms or more) and at most {LONGEST_MS:.0f} ms"
    elif stdp and not stdp.low_us <= weight <= stdp.high_us:
        wrong = f"a weight of {weight} uS; expected the bounds of its STDP, {stdp.low_us} to {stdp.high_us} uS"
    else:
        largest = f"an upper bound of {stdp.high_us}" if stdp else f"a weight of {weight}"
        wrong = f"{largest} uS, over {HEADROOM_EVENTS} times the largest weight in training; expected uS"
    raise ModelError(f"a synapse onto reduced {label} has {wrong}")
