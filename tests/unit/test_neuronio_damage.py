"""Files of the NeuronIO data set of which an entry was changed: one error, or records of finite numbers."""

from itertools import islice

import neuronio
import numpy as np
import pytest
from damage import Tally, array_mutations, mutations
from test_records_damage import use

from netml.records.neuronio import import_neuronio


@pytest.mark.slow
def test_every_entry(tmp_path):
    content, path = neuronio.experiment((0, 1)), tmp_path / "a.p"
    simulations = content["Results"]["listOfSingleSimulationDicts"]
    for one in simulations:
        for name in ("exInputSpikeTimes", "inhInputSpikeTimes"):
            one[name] = dict(list(one[name].items())[:2])

    def read():
        folder = import_neuronio([path], output=tmp_path / "records", overwrite=True, progress=False)
        return list(use(folder))

    path.write_bytes(neuronio.dumps(content))
    tally = Tally(read)

    def try_with(name, changed):
        path.write_bytes(neuronio.dumps(changed))
        tally.try_one(name)

    # A file takes 0.1 s to import: of the changes that are alike, one in so many.
    values = (None, "text", -1, 10**30, np.nan, True, [], ["text"], [[1], [2, 3]], {"k": 1})
    small = {"Params": content["Params"], "Results": {"listOfSingleSimulationDicts": []}}
    for name, changed in islice(mutations(small, values, ends=1), 0, None, 2):
        if isinstance(changed, dict) and changed.get("Results") == small["Results"]:
            changed["Results"] = content["Results"]
        try_with(name, changed)
    arrays = {name: value for name, value in simulations[0].items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in simulations[0].items() if name not in arrays}

    def with_first(first):
        return content | {"Results": {"listOfSingleSimulationDicts": [first, simulations[1]]}}

    for name, changed in islice(mutations(plain, values, ends=1), 0, None, 2):
        try_with(f"simulation {name}", with_first(arrays | changed if isinstance(changed, dict) else changed))
    for name, array in arrays.items():
        for new in values:
            try_with(f"{name} = {new!r}", with_first(simulations[0] | {name: new}))
        for what, changed in islice(array_mutations(array), 0, None, 7):
            if changed.dtype.kind not in "SUV":
                try_with(f"{name} {what}", with_first(simulations[0] | {name: changed}))
    tally.check(300)
