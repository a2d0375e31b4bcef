"""The stages of `reduce`, with what must outlive a call that is stopped."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netml.circuit.project import find_project
from netml.engine.cell_import.import_cell import import_cell
from netml.engine.mechanisms.build import build_mechanisms
from netml.engine.recording.record import record
from netml.errors import NetmlError, RecordsError, TrainingError
from netml.files import output_folder, replacing
from netml.plain import to_json
from netml.records import Records
from netml.records.trial import NETWORK
from netml.records.writer import INDEX
from netml.stages.reduce_plan import Plan, more_data, plan
from netml.stages.validate import validate
from netml.toolchain import source_folder
from netml.training import train
from netml.validation.verdict import MIN_KIND_AUC, USABLE

TRIAL_MS = 2000.0
CELLS_A_RANK = 8  # in one run, of an imported cell, and of single cells
VALIDATE_S = 60.0  # a guess until it has run
STATE = "reduce.json"
PROBE_UPDATES = (20, 60)  # from one to the other the time is taken; the first ones are slower


class Work:
    """One call; what must outlive it stands in the folder's :data:`STATE`."""

    def __init__(self, folder, output, settings, minutes, ranks, progress, say):
        self.folder, self.output, self.settings, self.minutes = folder, output, settings, minutes
        self.ranks = ranks or min(8, len(os.sched_getaffinity(0)))
        self.progress, self.say = progress, say
        self.started, self.seconds = time.monotonic(), {}
        self.state: dict[str, Any] = {}
        self.population = ""

    # ---- what is known ------------------------------------------------------------------------------------------

    @property
    def records(self) -> Path:
        return self.folder / "records"

    def open(self, overwrite: bool) -> None:
        """Take the folder, and what an earlier call left in it.

        Raises:
            NetmlError: It is another's.
        """
        if not 0 < self.minutes < float("inf"):
            raise NetmlError(f"minutes is {self.minutes}; expected a number above 0")
        path = self.folder / STATE
        if self.folder.is_dir() and any(self.folder.iterdir()) and not path.is_file():
            raise NetmlError(f"{self.folder} was not made by netml reduce; choose another --folder")
        if overwrite and path.is_file():
            shutil.rmtree(self.folder)
        if path.is_file():
            try:
                self.state = json.loads(path.read_text())
                found = self.state["settings"]
            except (ValueError, KeyError, TypeError) as error:
                raise NetmlError(f"{path} is damaged; give --overwrite to start anew") from error
            made = self.output.exists() or any((self.folder / name).exists() for name in ("project", "records"))
            changed = [name for name in self.settings if self.settings[name] != found.get(name)]
            if made and changed:  # of a call that failed at its source nothing is there
                name = changed[0]
                raise NetmlError(
                    f"{self.folder} was made with {name} {found.get(name)!r}, not {self.settings[name]!r}; give "
                    "--overwrite to start anew, or another --folder"
                )
        output_folder(self.folder)
        if self.state.get("minutes", self.minutes) < self.minutes:  # more: records are added, training starts anew
            self.state.pop("updates", None)
        self.keep(settings=self.settings, minutes=max(self.minutes, self.state.get("minutes", 0.0)))

    def keep(self, **known: Any) -> None:
        self.state |= known
        with replacing(self.folder / STATE) as path:
            path.write_text(to_json(self.state, indent=1))

    def left(self) -> float:
        """Seconds of the budget that are left, with what earlier calls took."""
        earlier = sum(self.state.get("spent", {}).values())
        return 60.0 * self.minutes - earlier - (time.monotonic() - self.started - sum(self.seconds.values()))

    def timed(self, name: str, task: Callable[[], Any]) -> Any:
        start = time.monotonic()
        result = task()
        taken = time.monotonic() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + taken
        spent = self.state.setdefault("spent", {})
        self.keep(spent=spent | {name: spent.get(name, 0.0) + taken})
        return result

    # ---- the stages -----------------------------------------------------------------------------------------------

    def imported(self, source: str | Path | Callable, cell: dict[str, Any]) -> Path:
        """The project that is made of a cell; ``cell`` are the arguments of :func:`netml.import_cell`."""
        project = self.folder / "project"
        if not (project / "cells" / "values.json").is_file():
            self.say("[1/4] import: build the cell and the same as a NetPyNE project; compare the two")
            self.timed("import", lambda: import_cell(source, project, progress=self.progress, say=self.say, **cell))
        else:
            self.say(f"[1/4] import: found in {project}")
        self.population = json.loads((project / "cells" / "values.json").read_text())["cell"]
        return project

    def recorded(self) -> tuple[float, float]:
        """Biological seconds of one cell that are there: of the network, and alone."""
        if not (self.records / INDEX).is_file():
            return 0.0, 0.0
        records = Records.open(self.records)
        network = records.kinds == NETWORK
        seconds = records.durations_ms / 1000.0
        return float(seconds[network].sum()), float(seconds[~network].sum())

    def piece(self, project: Path, network: bool) -> None:
        """Record a piece, by which a call that is stopped loses at most one."""
        # An imported cell stands alone in its network: as many as can run at once.
        cells = {"cells": CELLS_A_RANK * self.ranks} if (project / "cells" / "values.json").is_file() else {}
        trials = 0 if network else CELLS_A_RANK * self.ranks
        currents = trials // 6
        name = "network" if network else "alone"
        before = self.recorded()[not network]
        had = self.seconds.get(name, 0.0)
        self.timed(
            name,
            lambda: record(
                project, population=self.population, ranks=self.ranks, network_trials=int(network),
                protocol_trials=trials - currents, current_trials=currents, duration=TRIAL_MS,
                seed=int(self.settings["seed"]), cfg=cells, output=self.records, extend=True, progress=self.progress,
            ),
        )  # fmt: skip
        rate = (self.seconds[name] - had) / max(self.recorded()[not network] - before, 1e-9)
        self.keep(**{f"{name}_rate": rate})

    def probe(self, project: Path) -> None:
        """Record and train a little, which says how long all will take; the records are kept."""
        if not all(self.recorded()):  # else the first piece would be as slow as its compiler
            mods = find_project(project).mods
            folders = [source_folder("mod")] + ([mods] if mods else [])
            self.timed("compile", lambda: build_mechanisms(folders, "coreneuron", "fast"))
        for network in (True, False):
            if not self.recorded()[not network]:
                self.say(f"[2/4] record: a first piece, {'in its network' if network else 'alone under random input'}")
                self.piece(project, network)
        while "update_s" not in self.state:
            try:
                self.timed("probe", lambda: self.keep(update_s=self.update_seconds()))
            except (TrainingError, RecordsError):  # too few trials, or spikes in them, to learn from
                if self.left() < 30.0 * self.minutes:
                    raise
                self.piece(project, network=True)
        if "updates" in self.state:
            return
        aim, data = self.planned(), sum(self.recorded())
        self.say(
            f"      plan for {self.minutes:g} min, of which {max(self.left(), 0) / 60:.1f} are left: record "
            f"{(aim.data_s - data) / 60:.1f} min of one cell more (about {aim.record_s / 60:.1f} min), "
            f"{aim.updates:,} updates (about {aim.train_s / 60:.1f} min), validate (about a minute)"
        )

    def planned(self) -> Plan:
        """What the time that is left buys, by what the last pieces took."""
        network, alone = self.state["network_rate"], self.state["alone_rate"]
        rate = 2 / (1 / network + 1 / alone)  # both get the same time
        return plan(self.left() - VALIDATE_S, sum(self.recorded()), rate, self.state["update_s"])

    def update_seconds(self) -> float:
        """Wall time of an update, tried on the records."""
        first, last = PROBE_UPDATES
        at: dict[int, float] = {}

        def watch(state: dict) -> None:
            at[state["update"]] = time.monotonic()
            if state["update"] == last:
                raise _Enough

        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            try:
                train(self.records, output=Path(scratch) / "probe.netml", size=self.settings["size"], progress=False,
                      report=watch)  # fmt: skip
            except _Enough:
                return (at[last] - at[first]) / (last - first)
        raise TrainingError("a training ended before its speed was known")

    def record(self, project: Path) -> None:
        """Record what the plan says, in the network and alone by turns of equal time."""
        if "updates" in self.state:
            return  # it is being trained on, or has been
        while (data := sum(self.recorded())) < 0.97 * (aim := self.planned()).data_s:
            spent = self.state["spent"]
            self.say(f"[2/4] record: {data / 60:.1f} of {aim.data_s / 60:.1f} min of one cell")
            self.piece(project, network=spent.get("network", 0.0) <= spent.get("alone", 0.0))
        self.say(f"[2/4] record: {data / 60:.1f} min of one cell, in {self.records}")
        self.output.with_name(self.output.name + ".checkpoint").unlink(missing_ok=True)  # of other records
        self.keep(updates=aim.updates, trained=None)

    def train(self) -> None:
        """Train for what is left of the budget."""
        updates = self.state["updates"]
        if self.output.is_file() and self.state["trained"] == updates:
            self.say(f"[3/4] train: found {self.output}")
            return
        self.say(f"[3/4] train: {updates:,} updates, about {updates * self.state['update_s'] / 60:.1f} min")
        self.timed(
            "train",
            lambda: train(
                self.records, output=self.output, size=self.settings["size"], updates=updates,
                seed=self.settings["seed"], progress=self.progress,
            ),
        )  # fmt: skip
        self.keep(trained=updates)

    def validate(self) -> dict:
        """Judge it on the trials that were held out."""
        self.say("[4/4] validate on trials that it has not seen")
        report = self.folder / "report"
        return self.timed("validate", lambda: validate(self.output, self.records, output=report))

    def advice(self, found: dict) -> str:
        """What would make it usable."""
        if found["verdict"]["word"] == USABLE:
            return ""
        aucs = {kind: m["auc"] for kind, m in found["kinds"].items() if m["auc"] is not None}
        worst = min(aucs, key=lambda kind: aucs[kind]) if aucs else NETWORK
        missing = max(1.5, (1 - aucs[worst]) / (1 - MIN_KIND_AUC)) if aucs else 1.5
        again = f"the same command with --minutes {2 * self.state['minutes']:g}, which goes on from what is there"
        if (more := more_data(sum(self.recorded()), missing)) is None:
            return f"{worst} trials are the farthest (AUC {aucs[worst]:.3f}); try --size medium, or {again}"
        return f"record about {more / 60:.0f} more minutes of one cell, {worst} trials before all: {again}"


class _Enough(Exception):
    """The probe has its figure."""
