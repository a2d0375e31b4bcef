"""The one owner of a C++ population: its pointer, and one typed method a call of ``mod/engine/netml_population.h``.

Whatever Python hands to C++ passes here.  Each method checks bounds, dtypes and shapes, that the population is not
closed, and that it is in use already (frozen) where a call needs its cells.  What a call means stands in the header.
"""

import ctypes
from dataclasses import asdict
from typing import Any

import numpy as np

from netml.artifact import Artifact
from netml.errors import ModelError
from netml.population import c_interface
from netml.population.c_interface import FLIGHT, INJECTED, POST_SPIKE, REWARD, ROW_STATE, view
from netml.population.from_artifact import create, step_ticks, synaptic_gain
from netml.population.plasticity import RewardStdp, ShortTerm
from netml.reductions.kernel import LANES

#: A place in the sums of a step is a number of 32 bits.
MOST_PLACES = 2**32
SYNAPSE_COLUMNS = {"row": "i4", "cell": "i4", "input": "i4", "delay": "i4", "weight": "f8", "eligibility": "f4"}


class PopulationHandle:
    """An owned C++ population.

    Args:
        artifact: Its reduction.
        label: For messages.

    Attributes:
        synapse_sites: Number of segments times synapse types; a current into the soma is none of them.
        inputs: Of a cell, the current's among them.
        step_ticks: Length of a step, 1e-6 ms.
        cells, rows: In use, since the last :meth:`freeze`.
        rules: Short-term plasticity and STDP of each projection, None where it has none.
        takes_current: Whether its last input is a current into the soma.

    Raises:
        ArtifactError: The kernel cannot run the reduction, or its step is no whole number of ticks.
        MemoryError: There is none for it.
    """

    def __init__(self, artifact: Artifact, label: str):
        self._pointer: int | None = None
        self._library, self._label = c_interface.load_library(), label
        self.synapse_sites, self.inputs = synaptic_gain(artifact).size, int(artifact.header["dims"]["inputs"])
        self.step_ticks = step_ticks(artifact, label)
        self.cells, self.rows, self.frozen = 0, 0, False
        self.rules: list[tuple[ShortTerm | None, RewardStdp | None]] = [(None, None)]
        self.takes_current = bool(artifact.header.get("current"))
        self._pointer = create(self._library, artifact)

    def close(self) -> None:
        """Free the C++ population; a second time does nothing."""
        pointer, self._pointer = self._pointer, None
        if pointer:
            self._library.netml_population_delete(pointer)

    __del__ = close

    @property
    def address(self) -> int:
        """Of the C++ population; it never changes.

        Raises:
            ModelError: It is closed.
        """
        if not self._pointer:
            raise ModelError(f"reduced {self._label} is closed; build its network anew")
        return self._pointer

    def add_projection(self, short_term: ShortTerm | None, stdp: RewardStdp | None) -> int:
        """A further projection; returns its number."""
        rule = c_interface.Plasticity(short_term=short_term is not None, stdp=stdp is not None)
        for values in (short_term, stdp):
            for name, value in (asdict(values) if values else {}).items():
                setattr(rule, name, value)
        number = self._call("add_projection", ctypes.byref(rule))
        self.rules.append((short_term, stdp))
        return number

    def add_synapses(self, projection: int, rows: int, cells: int, columns: list[np.ndarray]) -> int:
        """Further synapses, of which rows and cells are below those given.

        ``columns``: row, cell, synapse site (n) int32, weight uS, delay ms (n) float64.

        Returns:
            0, or 1 + the index of the first that is refused; then none is added.
        """
        self._known(projection)
        return self._call("add", projection, rows, cells, columns[0].size, *_addresses(columns))

    def add_background(self, columns: list[np.ndarray], seed: int, stream: int) -> int:
        """Poisson events on synapse sites of every cell.

        ``columns``: synapse site (n) int32, rate Hz, weight uS (n) float64.

        Returns:
            0, or 1 + the index of the first that is refused.
        """
        for name, value in (("seed", seed), ("number", stream)):
            if not 0 <= value < 2**32:
                raise ModelError(f"{name} of a background of reduced {self._label} is {value}; expected 0 to 2^32 - 1")
        return self._call("add_background", columns[0].size, *_addresses(columns), seed, stream)

    def freeze(self, gids: np.ndarray, rows: int, threads: int) -> None:
        """Take cells (``gids``: (cells) int64), rows and synapses into use, and reset.

        Raises:
            ModelError: More cells than a rank can hold.
        """
        self.check_size(gids.size)
        self._call("freeze", gids.size, _address(gids, np.int64, (gids.size,)), rows, threads)
        self.cells, self.rows, self.frozen = gids.size, rows, True

    def check_size(self, cells: int) -> None:
        """Raise ModelError where a rank cannot hold so many cells."""
        places = -(-cells // LANES) * LANES * self.inputs
        if places > MOST_PLACES:
            most = MOST_PLACES // (self.inputs * LANES) * LANES
            raise ModelError(
                f"reduced {self._label} has {cells} cells of {self.inputs} inputs on a rank; expected at most {most}: "
                "use more ranks"
            )

    def clamp(self, clamps: np.ndarray) -> None:
        """All current clamps, in place of earlier ones: (clamps) of :data:`netml.population.soma_current.CLAMP`."""
        if clamps.size and not (clamps["cell"].min() >= 0 and clamps["cell"].max() < self.cells):
            raise ModelError(f"a current clamp on reduced {self._label} has no cell; expected 0 to {self.cells - 1}")
        if bad := self._call("clamp", clamps.size, _address(clamps, clamps.dtype, clamps.shape)):
            raise ModelError(f"a current clamp on reduced {self._label} is {clamps[bad - 1]}; expected finite numbers")

    def watch(self, limits: np.ndarray) -> None:
        """Count steps in which an input passes its limit: (inputs) float32."""
        self._call("watch", _address(limits, np.float32, (self.inputs,)))

    def add_shadow(self, other: "PopulationHandle") -> None:
        """Let another population, which must live as long, get whatever this one gets."""
        if (other.cells, other.rows) != (self.cells, self.rows):
            raise ModelError(f"members of the ensemble {self._label} differ in their cells or rows")
        self._call("shadow", other.address)

    def reset(self) -> None:
        """All cells at rest, nothing on its way, step 0."""
        self._running("reset")

    def deliver(self, row: int, spike_ms: float, once: bool = False) -> None:
        """A spike of a row's source; with ``once`` one that may have been handed over already.

        Raises:
            ModelError: There is no such row in use, or the time is none.
        """
        self._in_use()
        if not 0 <= row < self.rows:
            raise ModelError(f"a spike for reduced {self._label} has row {row}; expected 0 to {self.rows - 1}")
        if not abs(spike_ms) < 1e12:
            raise ModelError(f"a spike for reduced {self._label} has the time {spike_ms} ms; expected a number of ms")
        self._running("deliver_once" if once else "deliver", row, spike_ms)

    def inject(self, columns: list[np.ndarray]) -> int:
        """Events of single synapses.

        Args:
            columns: cell, synapse site (n) int32, weight uS, arrival ms (n) float64.

        Returns:
            0, or 1 + the index of the first that is refused; those before it are in.
        """
        return self._running("inject", columns[0].size, *_addresses(columns))

    def set_current(self, each: np.ndarray) -> None:
        """A current into every soma: (cells) float32, nA times gain."""
        self._in_use()
        self._call("set_current", _address(each, np.float32, (self.cells,)))

    def reward(self, projection: int, amount: float) -> None:
        """A reward to a projection that learns.

        Raises:
            ModelError: There is no such projection, or the reward is no number.
        """
        self._known(projection)
        if not self.learns[projection] or not np.isfinite(amount):
            learning = ", ".join(str(k) for k, learns in enumerate(self.learns) if learns) or "it has none"
            raise ModelError(
                f"reward {amount} to projection {projection} of reduced {self._label}; expected a finite number, and a "
                f"projection with STDP: {learning}"
            )
        self._running("reward", projection, amount)

    def step(self) -> np.ndarray:
        """Take one step; returns the indices of the cells that spike, int32."""
        count = self._running("step")
        return view(self._running("spiking"), np.int32, count).copy()

    @property
    def learns(self) -> list[bool]:
        """Of each projection, whether it has STDP."""
        return [stdp is not None for _, stdp in self.rules]

    def voltage(self) -> np.ndarray:
        """View of (cells) float32, mV.  A view changes with the next call that changes the population."""
        return view(self._running("voltage"), np.float32, self.cells)

    def logit(self) -> np.ndarray:
        """View of (cells) float32."""
        return view(self._running("logit"), np.float32, self.cells)

    def state(self) -> np.ndarray:
        """View of the cells' state, (blocks, numbers, 16) float32."""
        shape = (-(-self.cells // LANES), self._call("state_size"), LANES)
        return view(self._running("state"), np.float32, shape)

    def spike_counts(self) -> np.ndarray:
        """View of (cells) int32, since the last reset."""
        return view(self._running("spike_counts"), np.int32, self.cells)

    def past_range(self) -> np.ndarray:
        """View of (cells) int32: steps since the last reset in which an input passed its limit."""
        return view(self._running("past_range"), np.int32, self.cells)

    def clock(self) -> int:
        """The number of the next step."""
        return self._call("clock")

    def stats(self) -> dict[str, float]:
        """Counters and wall seconds since the last reset; see ``netml_population_stats``."""
        stats = c_interface.Stats()
        self._library.netml_population_get_stats(self.address, ctypes.byref(stats))
        return {name: getattr(stats, name) for name, *_ in c_interface.Stats._fields_}

    def synapses(self, projection: int, now: bool) -> dict[str, np.ndarray]:
        """Synapses in use, by column (:data:`SYNAPSE_COLUMNS`), in an order that stays until more are added."""
        self._known(projection)
        if not self.frozen:
            return {name: np.empty(0, dtype) for name, dtype in SYNAPSE_COLUMNS.items()}
        count = self._running("synapse_count", projection)
        columns = {name: np.empty(count, dtype) for name, dtype in SYNAPSE_COLUMNS.items()}
        self._running("read_synapses", projection, now, *_addresses(list(columns.values())))
        return columns

    def write_synapses(self, projection: int, weight: np.ndarray, eligibility: np.ndarray) -> None:
        """Weights (uS, float64) and eligibilities (float32) of a projection with STDP, in its own order."""
        self._known(projection)
        count = self._running("synapse_count", projection)
        addresses = _address(weight, np.float64, (count,)), _address(eligibility, np.float32, (count,))
        self._running("write_synapses", projection, *addresses)

    def row_states(self, projection: int) -> np.ndarray:
        """View of the short-term state of a projection's rows, of :data:`ROW_STATE`."""
        self._known(projection)
        return self._handed_out("row_states", ROW_STATE, projection)

    def flights(self) -> np.ndarray:
        """Spikes with events to come, of :data:`FLIGHT`."""
        return self._handed_out("flights", FLIGHT).copy()

    def post_spikes(self) -> np.ndarray:
        """Spikes that STDP still needs, of :data:`POST_SPIKE`."""
        return self._handed_out("post_spikes", POST_SPIKE).copy()

    def rewards(self) -> np.ndarray:
        """Rewards that synapses have not seen yet, of :data:`REWARD`."""
        return self._handed_out("rewards", REWARD).copy()

    def injected(self) -> np.ndarray:
        """Events without a row that are still to come, of :data:`INJECTED`."""
        return self._handed_out("injected", INJECTED).copy()

    def currents(self) -> np.ndarray:
        """As they were set, (cells) float32; none where none was."""
        return self._handed_out("currents", np.dtype(np.float32)).copy()

    def restore(self, steps: int, flights, post_spikes, rewards, injected) -> None:
        """Reset, and go to a checkpoint; arrays as :meth:`flights` and its like return them.

        Raises:
            ModelError: One names a row, cell, input or projection that is not there, or a step that is over.
        """
        tops = {"row": self.rows, "cell": self.cells, "input": self.inputs, "projection": len(self.learns)}
        parts: list[Any] = []
        for array, dtype in ((flights, FLIGHT), (post_spikes, POST_SPIKE), (rewards, REWARD), (injected, INJECTED)):
            for name in tops.keys() & set(dtype.names or ()):
                if array.size and not (array[name].min() >= 0 and array[name].max() < tops[name]):
                    raise ModelError(
                        f"the checkpoint of {self._label} names a {name} that is not there; expected 0 to "
                        f"{tops[name] - 1}: it is of another network"
                    )
            parts += [array.size, _address(array, dtype, (array.size,))]
        if not 0 <= steps < 2**40 or (injected.size and injected["step"].min() < steps):
            raise ModelError(f"the checkpoint of {self._label} is of step {steps}, or holds events of before")
        self._running("restore", steps, *parts)

    def _call(self, name: str, *arguments: Any) -> int:
        """Call the C interface; where it returns nothing, or NULL: 0."""
        result = getattr(self._library, f"netml_population_{name}")(self.address, *arguments)
        return self._checked(result or 0, name, arguments)

    def _checked(self, result: int, name: str, arguments: tuple) -> int:
        """What a call returned; a negative number is an error."""
        if result == c_interface.NO_MEMORY:
            raise MemoryError(f"no memory for the {self.cells} cells of population {self._label} and their synapses")
        if result < 0:
            raise ModelError(f"the C++ population of reduced {self._label} refuses {name}{arguments}: freeze() first?")
        return result

    def _running(self, name: str, *arguments: Any) -> int:
        """:meth:`_call`, for what needs cells in use."""
        self._in_use()
        return self._call(name, *arguments)

    def _in_use(self) -> None:
        if self.address and not self.frozen:
            raise ModelError(f"reduced {self._label} is not in use yet; freeze() or reset() takes its cells into use")

    def _handed_out(self, name: str, dtype: np.dtype, *arguments: Any) -> np.ndarray:
        count = ctypes.c_int64()
        address = self._running(name, *arguments, ctypes.byref(count))
        return view(address, dtype, self._checked(count.value, name, arguments))

    def _known(self, projection: int) -> None:
        if not 0 <= projection < len(self.learns):
            raise ModelError(f"reduced {self._label} has projections 0 to {len(self.learns) - 1}, no {projection}")


def _address(array: np.ndarray, dtype: Any, shape: tuple[int, ...]) -> int:
    """Of an array's memory, which must be what C++ expects."""
    if array.dtype != dtype or array.shape != shape or not array.flags.c_contiguous:
        raise ModelError(
            f"an array of {array.dtype} and shape {array.shape} came; expected {np.dtype(dtype)} {shape}, contiguous"
        )
    return array.ctypes.data


def _addresses(columns: list[np.ndarray]) -> list[int]:
    """Of columns of one length."""
    return [_address(column, column.dtype, columns[0].shape) for column in columns]
