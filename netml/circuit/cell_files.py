"""Write one cell as a small NetPyNE project folder that every netml command takes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from netml.circuit.cell_entry import read_entry, read_json
from netml.errors import ModelError
from netml.files import output_folder
from netml.plain import to_json

TEMPLATE = Path(__file__).parent / "cell_project"
PARTS = ("mod", "cfg.py", "netParams.py", "cells")
UNFINISHED = ".importing-"
#: What the cell gets where its source brings no synapses of its own; see mod/.
SYNAPSES = {
    "AMPA_NMDA": {"mod": "netml_ampa_nmda", "tau_r_ampa": 0.3, "tau_d_ampa": 2.0, "tau_r_nmda": 2.0, "tau_d_nmda": 45.0,
                  "nmda_ratio": 0.8, "mg": 1.0, "e": 0.0},
    "GABAA": {"mod": "netml_gabaa", "tau_r": 0.5, "tau_d": 8.0, "e": -80.0},
}  # fmt: skip


@dataclass(frozen=True)
class CellValues:
    """What the project's cfg.py reads from cells/values.json.

    Attributes:
        cell: Label of the cell, its population and its file.
        root: Its soma's section.
        celsius, v_init, dt, threshold: degC, mV, ms, mV.
        background: By synapse type: sites, rate (Hz), weight (uS).
        source: Where it came from, in words.
    """

    cell: str
    root: str
    celsius: float
    v_init: float
    dt: float
    threshold: float
    background: Mapping[str, Mapping[str, float]]
    source: str


def prepare_folder(folder: str | Path, overwrite: bool) -> Path:
    """Return a folder that may take a cell's project: an empty one, or one that `netml import cell` made, on demand.

    Raises:
        ModelError: It holds something else.
        OutputError: It cannot be written.
    """
    folder = Path(folder)
    if folder.is_dir() and any(not path.name.startswith(UNFINISHED) for path in folder.iterdir()):
        if not (folder / "cells" / "values.json").is_file():
            raise ModelError(f"{folder} holds other files; choose an empty folder as --output")
        if not overwrite:
            raise ModelError(f"{folder} holds a cell already; choose another --output or give --overwrite")
    return output_folder(folder)


@contextmanager
def importing(folder: Path) -> Iterator[Path]:
    """An empty folder to make the project in, inside its own; the parts take their places if the block succeeds."""
    for killed in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(killed)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as work:
        made, old = Path(work, "made"), Path(work, "old")
        made.mkdir()
        yield made
        old.mkdir()
        for name in reversed(PARTS):  # `cells` is the first to go and the last to come: with it the project is whole
            if (folder / name).exists():
                os.replace(folder / name, old / name)
        for name in PARTS:
            os.replace(made / name, folder / name)


def write_cell(folder: Path, spec: dict, synapses: dict, values: CellValues, mods: Iterable[Path]) -> None:
    """Write the project: cfg.py, netParams.py, cells/, and its own mod files with the headers beside them."""
    for name in ("cells", "mod"):
        (folder / name).mkdir()
    for file in ("cfg.py", "netParams.py"):
        shutil.copyfile(TEMPLATE / file, folder / file)
    for path in mods:
        shutil.copyfile(path, folder / "mod" / path.name)
    for name, content in ((f"{values.cell}.json", spec), ("synapses.json", synapses)):
        (folder / "cells" / name).write_text(to_json(content, indent=1) + "\n")
    write_values(folder, values)


def write_values(folder: Path, values: CellValues) -> None:
    """Write cells/values.json, by which the folder is known as a whole project."""
    (folder / "cells" / "values.json").write_text(to_json(asdict(values), indent=1) + "\n")


def check_imported(folder: Path, config: Path) -> None:
    """Refuse the files in cells/ of an imported cell that its cfg.py cannot take; of another project, do nothing.

    Raises:
        ModelError: What is wrong in which file.
    """
    path = folder / "cells" / "values.json"
    if not path.is_file() or config.suffix != ".py" or "values.json" not in config.read_text(errors="replace"):
        return
    from netml import checked
    from netml.circuit.schema import Values

    values = checked.read(Values, path, ModelError, "import the cell again")
    sections = read_entry(folder / "cells" / f"{values.cell}.json")["secs"]
    if values.root not in sections:
        raise ModelError(f"{path} has the root {values.root!r}; the cell has no such section: import the cell again")
    synapses = read_json(path.with_name("synapses.json"))
    types = synapses.values() if isinstance(synapses, dict) else [synapses]
    if not all(isinstance(one, dict) and isinstance(one.get("mod"), str) for one in types):
        raise ModelError(f"{path.with_name('synapses.json')} holds no synapse types with a mod each")
    if unknown := [name for name in values.background if name not in synapses]:
        raise ModelError(f"{path} has a background of {unknown[0]!r}, which synapses.json lacks")
