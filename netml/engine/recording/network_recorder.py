"""What reaches chosen cells of a network, and what they do, as trials to learn from.

Nothing is attached to single events. After the run, a cell's events are the spike times of its sources plus the delays
of its connections. Sources that have no gid (NetPyNE's background NetStims) get one, so that NEURON and CoreNEURON
report their spikes too; spikes of other ranks' cells are exchanged once, at the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from netml.circuit.cell import cell_label, fingerprint, segment_table, threshold_mv, to_plain_python
from netml.circuit.current import Clamp, total
from netml.engine.recording.sampling import VoltageRecorder, check_buffers, steps_per_sample, whole_milliseconds
from netml.errors import ModelError
from netml.population.plasticity import ShortTerm
from netml.records import CellInfo, Trial
from netml.records.trial import NETWORK


def cell_info(net_params: Any, population: str, synapses: tuple[str, ...], probes: dict, dt_ms: float) -> CellInfo:
    """What the records say about the cell of a population.

    Args:
        net_params: The model's netParams.
        population: Its label.
        synapses: Synapse types that its connections use, in the order of synapse sites.
        probes: Label -> (section, loc) of recorded voltages besides the soma's.
        dt_ms: Time step of the recorded runs, ms.

    Raises:
        ModelError: Unknown population or section, or a cell without sections.
    """
    label = cell_label(net_params, population)
    spec = to_plain_python(net_params.cellParams[label])
    table = segment_table(spec)
    for section, loc in probes.values():
        table.find(section, loc)
    syn_mechs = {name: to_plain_python(net_params.synMechParams[name]) for name in synapses}
    return CellInfo(
        label=label,
        fingerprint=fingerprint(spec, syn_mechs),
        synapses=tuple(synapses),
        segments=table,
        syn_mech_params=syn_mechs,
        probes={"soma": (table.sections[0][0], 0.5)} | probes,
        dt_ms=dt_ms,
        spike_threshold_mv=threshold_mv(net_params, spec),
    )


def gather(sim: Any, values: list) -> list:
    """Values of all ranks, in the order of ranks."""
    return [value for part in sim.pc.py_allgather(list(values)) for value in part]


def joined(net_params: Any, population: str) -> list[str]:
    """The populations that make one set of records: "PV23+PV5" is two of one type of cell.

    Raises:
        ModelError: Unknown populations, one twice, or several that are made by different ``cellParams``.
    """
    labels = [population] if population in net_params.popParams else population.split("+")
    if len(set(labels)) < len(labels):
        raise ModelError(f"{population} names a population twice")
    cells = {label: cell_label(net_params, label) for label in labels}
    if len(set(cells.values())) > 1:
        raise ModelError(
            f"{population} joins populations of different cells ({', '.join(f'{p}: {c}' for p, c in cells.items())}); "
            f"records hold one cell: record them apart, with a --population for each"
        )
    return labels


def choose(gids: list[int], cells: int | list[int] | None, population: str) -> list[int]:
    """The cells to record: all (None), so many evenly spaced ones, or those named.

    Raises:
        ModelError: More cells than there are, or gids of another population.
    """
    gids = sorted(gids)
    if cells is None:
        return gids
    if isinstance(cells, int):
        if not 1 <= cells <= len(gids):
            raise ModelError(f"cannot record {cells} cells of {population}; it has {len(gids)}")
        return [gids[int(k)] for k in np.linspace(0, len(gids), cells, endpoint=False)]
    if strangers := sorted(set(cells) - set(gids)):
        raise ModelError(f"gids {strangers} are not in population {population}; its gids are {gids[0]} to {gids[-1]}")
    return sorted(set(cells))


class NetworkRecorder:
    """Records cells of one built NetPyNE network; make it between ``sim.create`` and the run, on every rank.

    Args:
        sim: NetPyNE's sim module, network created.
        population: Whose cells; several of one type are joined by "+", see :func:`joined`.
        cells: See :func:`choose`.
        probes: Label -> (section, loc) of voltages besides the soma's.
        last_gid: The largest in use, where another recorder of the network took some; see the attribute.

    Attributes:
        cell: What the records say about the cells.
        last_gid: The largest in use: the next recorder of the same network begins behind it.

    Raises:
        ModelError: Unknown population, cells or probes; input that is neither events nor current into the soma.
    """

    def __init__(
        self, sim: Any, population: str, cells: int | list[int] | None = None, probes: dict | None = None,
        last_gid: int | None = None,
    ):  # fmt: skip
        from neuron import h

        self.sim = sim
        labels = joined(sim.net.params, population)
        if sim.cfg.recordCellsSpikes != -1:
            raise ModelError("cfg.recordCellsSpikes is set; recording needs the spikes of every cell (-1)")
        members = [cell for cell in sim.net.cells if cell.tags["pop"] in labels]
        self.gids = choose(gather(sim, [cell.gid for cell in members]), cells, population)
        self._plastic = {
            name: plastic for name, params in sim.net.params.synMechParams.items()
            if (plastic := ShortTerm.of_synapse(name, params))
        }  # fmt: skip
        reaching = set(gather(sim, [conn["synMech"] for cell in members for conn in cell.conns if "synMech" in conn]))
        synapses = tuple(name for name in sim.net.params.synMechParams if name in reaching)
        self.cell = cell_info(sim.net.params, labels[0], synapses, probes or {}, float(sim.cfg.dt))
        steps_per_sample(self.cell.dt_ms)
        self.duration_ms = whole_milliseconds(sim.cfg.duration)
        self._cells = [cell for cell in members if cell.gid in set(self.gids)]
        check_buffers(len(self._cells), len(self.cell.probes), self.duration_ms, self.cell.dt_ms)
        self._connections = {cell.gid: [self._connection(cell, conn) for conn in cell.conns] for cell in self._cells}
        self._currents = {cell.gid: total(_somatic_clamps(cell, self.cell)) for cell in self._cells}
        self.last_gid = max(gather(sim, [cell.gid for cell in sim.net.cells])) if last_gid is None else last_gid
        self._stims = self._name_stims(h)
        self._own_spikes, self._own_gids = h.Vector(), h.Vector()
        for gid in self._stims.values():
            sim.pc.spike_record(gid, self._own_spikes, self._own_gids)
        self._voltages = {cell.gid: VoltageRecorder(h, cell, self.cell.probes) for cell in self._cells}

    def _connection(self, cell: Any, conn: Any) -> tuple:
        """(source gid or NetStim, synapse site, weight in uS, delay in ms, its short-term plasticity or None)."""
        where = f"cell {cell.gid}, connection from {conn.get('preGid')}"
        for key in ("shape", "plast", "pointer"):
            if conn.get(key):
                raise ModelError(
                    f"{where} has {key!r}: its effect is no event of fixed weight, so it cannot be recorded"
                )
        netcon = conn.get("hObj")
        if netcon is None or "synMech" not in conn:
            raise ModelError(
                f"{where} ends on no synMech; record needs cfg.createPyStruct on and synapses by synMechParams"
            )
        if (numbers := int(netcon.wcnt())) > 1 and conn["synMech"] not in self._plastic:
            raise ModelError(
                f"{where} onto synMech {conn['synMech']!r} carries {numbers} numbers: the effect of its events depends "
                "on more than a fixed weight by a rule that netml does not know, so it cannot be recorded"
            )
        synapse_site = self.cell.synapse_site(conn["sec"], float(conn["loc"]), conn["synMech"])
        source = netcon.pre() if conn["preGid"] == "NetStim" else int(conn["preGid"])
        return source, synapse_site, float(netcon.weight[0]), float(netcon.delay), self._plastic.get(conn["synMech"])

    def _name_stims(self, h: Any) -> dict[str, int]:
        """Give every NetStim that feeds a recorded cell a gid above all others; name -> gid."""
        pc = self.sim.pc
        stims = {
            source.hname(): source
            for connections in self._connections.values()
            for source, *_ in connections
            if not isinstance(source, int)
        }
        counts = gather(self.sim, [len(stims)])
        first = self.last_gid + 1 + sum(counts[: int(pc.id())])
        self.last_gid += sum(counts)
        named = {}
        for gid, (name, stim) in enumerate(stims.items(), first):
            pc.set_gid2node(gid, int(pc.id()))
            pc.cell(gid, h.NetCon(stim, None))
            named[name] = gid
        return named

    def trials(self, seed: int) -> list[Trial]:
        """The trials of this rank's recorded cells; every rank must call it, after the run."""
        spikes = self._spike_times()
        made = []
        for cell in self._cells:
            times, synapse_sites, weights = [np.empty(0)], [np.empty(0, np.int32)], [np.empty(0, np.float32)]
            for source, synapse_site, weight, delay, plastic in self._connections[cell.gid]:
                gid = source if isinstance(source, int) else self._stims[source.hname()]
                arrival = spikes.get(gid, np.empty(0)) + delay
                arrival = arrival[arrival < self.duration_ms]
                times.append(arrival)
                synapse_sites.append(np.full(arrival.size, synapse_site, np.int32))
                factors = plastic.factors(arrival) if plastic else np.ones(arrival.size)
                weights.append((weight * factors).astype(np.float32))
            time = np.concatenate(times)
            order = np.argsort(time, kind="stable")
            own = spikes.get(cell.gid, np.empty(0))
            changes, current = self._currents[cell.gid]
            inside = changes < self.duration_ms
            made.append(
                Trial(
                    kind=NETWORK,
                    gid=cell.gid,
                    seed=seed,
                    duration_ms=self.duration_ms,
                    event_time=time[order],
                    event_synapse_site=np.concatenate(synapse_sites)[order],
                    event_weight=np.concatenate(weights)[order],
                    spike_time=own[own <= self.duration_ms],
                    voltage=self._voltages[cell.gid].read(self.cell.dt_ms, self.duration_ms),
                    current_time=changes[inside],
                    current_na=current[inside],
                )
            )
        return made

    def _spike_times(self) -> dict[int, np.ndarray]:
        """gid -> sorted times of all spikes of all ranks that a recorded cell may see."""
        data = self.sim.simData
        own = (self._own_spikes.as_numpy(), self._own_gids.as_numpy())
        cells = (np.asarray(data["spkt"], float), np.asarray(data["spkid"], float))
        parts = self.sim.pc.py_allgather((cells[0].copy(), cells[1].copy()))
        time = np.concatenate([own[0]] + [t for t, _ in parts])
        gid = np.concatenate([own[1]] + [g for _, g in parts]).astype(np.int64)
        order = np.lexsort((time, gid))
        time, gid = time[order], gid[order]
        gids, first = np.unique(gid, return_index=True)
        return dict(zip(gids.tolist(), np.split(time, first[1:]), strict=True)) if gids.size else {}


def _somatic_clamps(cell: Any, info: CellInfo) -> list[Clamp]:
    """The current clamps of a cell.

    Raises:
        ModelError: A clamp away from the soma, or a stimulation that is neither current nor synaptic event.
    """
    clamps = []
    for stim in cell.stims:
        kind = str(stim.get("type"))
        if kind == "NetStim":
            continue
        if kind != "IClamp":
            raise ModelError(
                f"cell {cell.gid} also gets {kind}, which is neither a synaptic event nor a current; a reduction "
                f"cannot learn from it; leave it out of the recorded cells (--cells)"
            )
        where = f"IClamp {stim.get('label')!r} on cell {cell.gid}"
        info.segments.check_soma(stim["sec"], float(stim["loc"]), where)
        made = stim["hObj"]  # its own numbers: NetPyNE's may be missing, or have been changed since
        clamps.append(Clamp.of({"del": made.delay, "dur": made.dur, "amp": made.amp}, where))
    return clamps
