"""Files as the published NeuronIO data set has them: pickles that Python 2 and NumPy 1 wrote, protocol 2."""

import io
import pickle
import struct

import numpy as np

SECTIONS = {"type": ["basal", "basal", "apical", "apical"], "length": [40.0, 60.0, 90.0, 30.0],
            "begin": [11.5, 51.5, 23.0, 113.0], "nseg": [2, 3, 4, 1]}  # fmt: skip
SEGMENTS = sum(SECTIONS["nseg"])


class Python2(pickle._Pickler):
    """Writes text and bytes alike as Python 2's str, and NumPy under the names that it had then."""

    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, file):
        super().__init__(file, protocol=2, fix_imports=True)

    def _str(self, value):
        raw = value if isinstance(value, bytes) else value.encode("ascii")
        self.write(pickle.SHORT_BINSTRING + bytes([len(raw)]) if len(raw) < 256
                   else pickle.BINSTRING + struct.pack("<i", len(raw)))  # fmt: skip
        self.write(raw)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = _str


def dumps(content) -> bytes:
    file = io.BytesIO()
    Python2(file).dump(content)
    return file.getvalue().replace(b"numpy._core.", b"numpy.core.")


def simulation(seed: int, duration: int = 600, events: int = 300) -> dict:
    """One simulation with spikes at known times, which the voltage of high resolution shows exactly."""
    random = np.random.default_rng(seed)

    def spike_map():
        # np.nonzero gives NumPy's integers, which the published script used as keys and times
        trains = {}
        for segment, time in zip(random.integers(0, SEGMENTS, events), np.sort(random.integers(0, duration, events)),
                                 strict=True):  # fmt: skip
            trains.setdefault(segment, []).append(time)
        return trains

    fine = np.arange(0, duration, 0.125)
    spikes = np.array([80.25, 310.5, 311.0 + 120.375]) + 0.125 * random.integers(0, 8, 3)
    soma = -70 + random.normal(0, 0.5, fine.size)
    for t in spikes:
        soma += 100 * np.exp(-(((fine - t) / 0.4) ** 2))
    whole = np.arange(duration)
    return {
        "recordingTimeHighRes": fine.astype(np.float32), "somaVoltageHighRes": soma.astype(np.float16),
        "nexusVoltageHighRes": (soma - 3).astype(np.float16), "recordingTimeLowRes": whole.astype(np.float32),
        "somaVoltageLowRes": soma[::8].astype(np.float16), "nexusVoltageLowRes": (soma[::8] - 3).astype(np.float16),
        "exInputSpikeTimes": spike_map(), "inhInputSpikeTimes": spike_map(),
        "outputSpikeTimes": spikes.astype(np.float16),
    }  # fmt: skip


def experiment(seeds=(0, 1, 2), **changed) -> dict:
    """What a file holds; ``changed`` replaces entries of ``Params``."""
    nseg, length = np.array(SECTIONS["nseg"]), np.array(SECTIONS["length"])
    section = np.repeat(np.arange(nseg.size), nseg)
    x = np.concatenate([(np.arange(n) + 0.5) / n for n in nseg])
    params = {
        "randomSeed": 100519, "numSimulations": len(seeds), "totalSimDurationInSec": 0.6, "collectAndSaveDVTs": False,
        "numSamplesPerMS_HighRes": 8, "excitatorySynapseType": "NMDA", "inhibitorySynapseType": "GABA_A",
        "allSectionsType": SECTIONS["type"], "allSections_DistFromSoma": SECTIONS["begin"],
        "allSectionsLength": SECTIONS["length"], "allSegmentsType": [SECTIONS["type"][s] for s in section],
        "allSegmentsLength": (length / nseg)[section].tolist(),
        "allSegments_DistFromSoma": (np.array(SECTIONS["begin"])[section] + x * length[section]).tolist(),
        "allSegments_SectionDistFromSoma": np.array(SECTIONS["begin"])[section].tolist(),
        "allSegments_SectionInd": section.tolist(), "ISICV": np.float64(0.9), "listOfISIs": [np.float64(3.0)],
    }  # fmt: skip
    return {"Params": params | changed, "Results": {"listOfSingleSimulationDicts": [simulation(s) for s in seeds]}}
