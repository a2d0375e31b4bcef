"""Play the events and currents of records into the cell alone, in plain NEURON.

python replay.py MODEL POPULATION RECORDS OUT.npz

Shares no code with the recording but the reader: the sections are made here from the model's cellParams.
"""

import sys
from pathlib import Path

import numpy as np

#: Of a synapse with short-term plasticity: its events then act with their whole weight.
STATIC = {"U": 1.0, "tau_rec": 0.0, "tau_facil": 0.0}


def make_cell(h, spec, synapses):
    """Sections by name and one synapse a synapse site, in the order of synapse sites."""
    secs = {}
    for name, sec in spec["secs"].items():
        secs[name] = made = h.Section(name=name)
        for key, value in sec["geom"].items():
            setattr(made, key, value)
        for mech, values in sec["mechs"].items():
            made.insert(mech)
            for segment in made:
                for key, value in values.items():
                    setattr(getattr(segment, mech), key, value)
    for name, sec in spec["secs"].items():
        if topol := sec.get("topol"):
            secs[name].connect(secs[topol["parentSec"]](topol["parentX"]), topol["childX"])
    points = []
    for section in secs.values():
        for segment in section:
            for params in synapses:
                point = getattr(h, params["mod"])(segment)
                for key, value in (params | STATIC if "U" in params else params).items():
                    if key != "mod":
                        setattr(point, key, value)
                points.append(point)
    return secs, points


def play(h, secs, points, plastic, trial, sites, dt, threshold, v_init):
    """Voltage at the sites every ms, and spike times."""
    inputs = {}
    for synapse_site, weight in set(zip(trial.event_synapse_site.tolist(), trial.event_weight.tolist(), strict=True)):
        inputs[synapse_site, weight] = netcon = h.NetCon(None, points[synapse_site])
        # Weights of the network are written in decimal in the model; float32 keeps 7 digits of them.
        decimal = trial.kind == "network" and not plastic[synapse_site % len(plastic)]
        netcon.weight[0] = float(f"{weight:.6g}") if decimal else weight
    clamps, ends = [], np.append(trial.current_time, trial.duration_ms)
    for start, end, amplitude in zip(ends[:-1], ends[1:], trial.current_na, strict=True):
        clamps.append(h.IClamp(secs["soma"](0.5)))
        clamps[-1].delay, clamps[-1].dur, clamps[-1].amp = start, end - start, amplitude
    voltage = {site: h.Vector().record(secs[section](loc)._ref_v) for site, (section, loc) in sites.items()}
    spikes = h.Vector()
    detector = h.NetCon(secs["soma"](0.5)._ref_v, None, sec=secs["soma"])
    detector.threshold = threshold
    detector.record(spikes)
    h.dt = dt
    h.finitialize(v_init)
    for time, synapse_site, weight in zip(trial.event_time, trial.event_synapse_site, trial.event_weight, strict=True):
        inputs[int(synapse_site), float(weight)].event(time)
    h.ParallelContext().psolve(trial.duration_ms)
    stride = round(1 / dt)
    return {site: vector.as_numpy()[::stride].astype(np.float32) for site, vector in voltage.items()}, np.array(spikes)


def main(model, population, folder, out):
    from netpyne import specs  # noqa: F401  (NetPyNE's own start of NEURON first)
    from neuron import h

    from netml.circuit.project import find_project, load_project
    from netml.engine.mechanisms.build import build_mechanisms, load_mechanisms
    from netml.records import Records
    from netml.toolchain import source_folder

    h.load_file("stdrun.hoc")
    load_mechanisms(h, build_mechanisms([source_folder("mod"), Path(model) / "mod"]))
    net_params, cfg = load_project(find_project(model))
    records = Records.open(folder)
    for name, value in cfg.hParams.items():
        setattr(h, name, value)
    h.ParallelContext().set_maxstep(10)
    spec = net_params.cellParams[net_params.popParams[population]["cellType"]]
    synapses = [net_params.synMechParams[label] for label in records.cell.synapses]
    made = *make_cell(h, spec, synapses), ["U" in params for params in synapses]
    arrays = {}
    for k in range(len(records)):
        voltage, spikes = play(h, *made, records.trial(k), records.cell.probes, records.cell.dt_ms,
                               net_params.defaultThreshold, cfg.hParams["v_init"])  # fmt: skip
        arrays |= {f"{k}/{site}": values for site, values in voltage.items()} | {f"{k}/spikes": spikes}
    np.savez(out, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
