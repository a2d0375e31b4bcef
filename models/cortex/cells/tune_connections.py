"""Scale the conductances of ../connections.json until the PSPs have the recorded amplitudes.

    python models/cortex/cells/tune_connections.py

A connection's weight times recorded over found amplitude, a few times over, since a PSP is not quite proportional to
it; a connection without a recording takes the weight of the one that it is `like`.
"""

import json
from pathlib import Path

from netml.circuit.connections import FILE, find_pairs
from netml.engine.experiments.paired_recording import PairJob, run_pairs
from netml.engine.ranks.launch import launch
from netml.validation.pairs import rows

MODEL = Path(__file__).parents[1]
ROUNDS, CLOSE = 3, 0.02  # as a share of the recorded amplitude


def main() -> None:
    file = MODEL / FILE
    for _ in range(ROUNDS):
        plain = json.loads(file.read_text())
        pairs = find_pairs(MODEL)
        potentials = launch(run_pairs, PairJob(str(MODEL), tuple(pairs)))
        ratios = {}
        for pair in pairs:
            amplitude = next(row for row in rows(pair, potentials[pair.name]) if row["feature"] == "amplitude_mv")
            ratios[pair.name] = amplitude["target"] / amplitude["value"]
            print(f"{pair.name}: {amplitude['value']:.3f} mV, recorded {amplitude['target']:g}")
        for name, connection in plain["connections"].items():
            if name in ratios:
                connection["weight_us"] = float(f"{connection['weight_us'] * ratios[name]:.3g}")
        for connection in plain["connections"].values():
            if "like" in connection:
                connection["weight_us"] = plain["connections"][connection["like"]]["weight_us"]
        file.write_text(one_line_an_entry(plain))
        if all(abs(ratio - 1) < CLOSE for ratio in ratios.values()):
            return


def one_line_an_entry(plain: dict) -> str:
    """JSON with a line for each synapse and connection, so that changes can be read."""
    blocks = []
    for key, value in plain.items():
        if isinstance(value, dict):
            lines = (f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items())
            blocks.append(f" {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n }")
        else:
            blocks.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    main()
