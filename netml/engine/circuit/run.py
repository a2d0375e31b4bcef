"""One run of a NetPyNE project in this process, which is one rank: build, run, collect, write.

simulation = CircuitRun(SimulateConfig(model="models/cortex", duration=1000.0), mpi.start())
simulation.build()      # mechanisms, project, swap, network
simulation.run()
simulation.write(folder)
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netml import toolchain
from netml.circuit.project import find_project, fingerprint, load_project
from netml.engine.circuit import load_balance as balance
from netml.engine.circuit import model_checks as wanted
from netml.engine.circuit import output
from netml.engine.mechanisms.build import MODES, Library, build_mechanisms, load_mechanisms
from netml.engine.mechanisms.coreneuron import ONLY_IN_NEURON
from netml.engine.ranks.mpi import World
from netml.errors import ModelError
from netml.plain import is_number
from netml.progress import Silent, reporter

ENGINES = ("neuron", "coreneuron")
#: The run is split for the progress bar; the parts depend on nothing but the duration.
PARTS = 100
logger = logging.getLogger("netml")


@dataclass(frozen=True)
class SimulateConfig:
    """What to run (plain data).

    Attributes:
        model: a NetPyNE project folder.
        duration: ms; None leaves the model's.
        seed: of the background input (cfg.seeds["stim"]); the circuit (seeds "conn", "loc") stays, so that many seeds
            are many runs of one circuit. Change those with cfg={"seeds.conn": 2}.
        dt: time step, ms; None leaves the model's.
        engine: "neuron" or "coreneuron"; NEURON also for a model that CoreNEURON does not take, with a warning.
        build: "exact" (same spikes on any number of ranks) or "fast".
        cfg: further cfg values by dotted name.
        reductions: ``.netml`` file by population.
        fraction: share of each swapped population that is reduced.
        output: run folder; None makes netml-runs/<model>-NNN.
        overwrite: replace a finished run there.
        progress: show it.
    """

    model: str
    duration: float | None = None
    seed: int | None = None
    dt: float | None = None
    engine: str = "neuron"
    build: str = "exact"
    cfg: Mapping[str, Any] = field(default_factory=dict)
    reductions: Mapping[str, str] = field(default_factory=dict)
    fraction: float = 1.0
    output: str | None = None
    overwrite: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ModelError(f"unknown engine {self.engine!r}; expected {' or '.join(ENGINES)}")
        if self.build not in MODES:
            raise ModelError(f"unknown build {self.build!r}; expected {' or '.join(MODES)}")
        for name, value in (("duration", self.duration), ("dt", self.dt)):
            if value is not None and not (is_number(value) and 0 < value < float("inf")):
                raise ModelError(f"{name} is {value}; expected a positive number of ms")
        if not 0 <= self.fraction <= 1:
            raise ModelError(f"fraction to swap is {self.fraction}; expected 0 to 1")
        if self.reductions and self.engine != "neuron":
            raise ModelError("reduced cells run in NEURON only; use engine 'neuron' with a swap")

    def overrides(self) -> dict[str, Any]:
        """Return every cfg value this run changes, by dotted name."""
        named = {"duration": self.duration, "dt": self.dt, "seeds.stim": self.seed}
        return {name: value for name, value in named.items() if value is not None} | dict(self.cfg)


class CircuitRun:
    """One run. `sim` is NetPyNE's module once built, `engine` the one that runs.

    Args:
        config: what to run.
        world: this rank, from `netml.engine.ranks.mpi.start`.
        progress: where to show it; by default what suits this process.
    """

    def __init__(self, config: SimulateConfig, world: World, progress: Silent | None = None):
        self.config, self.world = config, world
        self.progress = progress or reporter(config.progress, world.rank)
        self.project = find_project(config.model)
        self.engine, self.refused = config.engine, ""
        self.wall: dict[str, float] = {}
        self.library: Library | None = None
        self.circuit = ""  # hash of what the project says, before the swap
        self.sim: Any = None
        self._traces: output.EveryStep | None = None

    @contextmanager
    def _phase(self, name: str, label: str, total: float | None = None) -> Iterator[None]:
        self.progress.begin(label, total)
        start = time.perf_counter()
        yield
        self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - start

    def build(self) -> None:
        """Build and load the mechanisms, run the project's files, swap, and create the network.

        Raises:
            ModelError: the project or what was asked of it.
            CompileError: its mod files.
        """
        with self._phase("setup_s", "mechanisms"):
            self.load_mechanisms()
        with self._phase("setup_s", "model"):
            net_params, cfg = load_project(self.project, self.config.overrides())
            self._check_mechanisms(net_params)
            self.circuit = fingerprint(net_params)
            self._prepare(cfg)
            if self.config.reductions:
                from netml.engine.circuit.swap import swap

                net_params = swap(net_params, dict(self.config.reductions), fraction=self.config.fraction)
        with self._phase("build_s", "network"):
            self.create(net_params, cfg)

    def load_mechanisms(self) -> None:
        """Build netml's mod files and the project's into one library and load it."""
        from neuron import h

        folders = [toolchain.source_folder("mod")] + ([self.project.mods] if self.project.mods else [])
        self.library = build_mechanisms(folders, self.config.engine, self.config.build)
        load_mechanisms(h, self.library)
        self._leave_coreneuron(self.library.refused)

    def _leave_coreneuron(self, why: str) -> None:
        """Go on in NEURON if CoreNEURON does not take the model, and say so once."""
        if why and self.engine == "coreneuron":
            self.engine, self.refused = "neuron", why
            if self.world.rank == 0:
                logger.warning("CoreNEURON does not take %s; running in NEURON", why)

    def _prepare(self, cfg: Any) -> None:
        """Set what this run needs in the project's configuration."""
        cfg.verbose = cfg.timing = cfg.printRunTime = False
        cfg.progressBar = 0
        cfg.coreneuron = self.engine == "coreneuron"
        if cfg.coreneuron:
            cfg.random123 = cfg.cache_efficient = True
            if cfg.cvode_active:
                raise ModelError("CoreNEURON has no variable time step (cfg.cvode_active); use --engine neuron")
        for name in ("duration", "dt", "recordStep"):
            value = getattr(cfg, name)
            if not (is_number(value) and 0 < value < float("inf")):
                raise ModelError(f"cfg.{name} is {value!r}; expected a positive number of ms")

    def mods_belong(self) -> str:
        """Where a user puts mod files, for messages."""
        return str(self.project.mods or self.project.folder / "mod")

    def _check_mechanisms(self, net_params: Any) -> None:
        """Refuse mechanisms and synapses that nobody has: NetPyNE leaves them out, or trips on them.

        Of NEURON's own, CoreNEURON lacks some. Sections that are not there get a warning.
        """
        from neuron import h

        needed = wanted.to_build(net_params)
        if missing := [f"{mech!r} ({where})" for mech, where in needed.items() if not hasattr(h, mech)]:
            raise ModelError(f"no mechanism {', '.join(missing)}; put its mod file into {self.mods_belong()}")
        if absent := wanted.unknown_synapses(net_params):
            known = ", ".join(map(str, net_params.synMechParams)) or "none"
            raise ModelError(f"no synMech {', '.join(absent)} in synMechParams; it has {known}")
        self._warn(wanted.unknown_sections(net_params), "NetPyNE puts these on the soma")
        self._warn(wanted.unmatched(net_params), "these rules make nothing")
        self._warn(wanted.unmade_plasticity(net_params, lambda mech: hasattr(h, mech)), "NetPyNE connects without it")
        needed |= wanted.from_outside(net_params)
        self._leave_coreneuron(", ".join(f"{mech} ({needed[mech]})" for mech in sorted(ONLY_IN_NEURON & needed.keys())))

    def _warn(self, found: list[str], what: str) -> None:
        """One line, on one rank."""
        if found and self.world.rank == 0:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            logger.warning("%s%s; %s", "; ".join(found[:3]), more, what)

    def create(self, net_params: Any, cfg: Any) -> None:
        """Create the network with NetPyNE, on all ranks.

        Raises:
            ModelError: fewer cells than ranks; a weight or a delay that is no number, or that NEURON cannot take.
        """
        from netpyne import sim

        self.sim = sim
        balance.list_cells_by_gid(sim)
        sim.initialize(net_params, cfg)
        sim.net.createPops()
        with balance.dealt_by_cost(sim):
            sim.net.createCells()
        cells = int(sim.pc.allreduce(len(sim.net.cells), 1))
        if cells < self.world.size:
            raise ModelError(
                f"the model has {cells} cells for {self.world.size} ranks; use --ranks {max(cells, 1)} or fewer"
            )
        sim.net.connectCells()
        sim.net.addStims()
        here = {cell.gid for cell in sim.net.cells} if self.world.size > 1 else None
        wanted.check_connections(sim.net.cells, here, 0.0 if cfg.cvode_active else cfg.dt)
        sim.net.addRxD()
        if cfg.coreneuron:
            self._traces = output.EveryStep.instead_of_netpyne(sim)
        sim.setupRecording()
        if self._traces is not None:
            self._traces.record()

    def run(self) -> None:
        """Run to the end of the configuration's duration."""
        from neuron import h

        sim, duration = self.sim, float(self.sim.cfg.duration)
        with self._phase("run_s", "simulation", duration):
            sim.pc.barrier()
            sim.preRun()
            h.finitialize(float(sim.cfg.hParams["v_init"]))
            start = time.perf_counter()
            for stop in self._stops(duration):
                sim.pc.psolve(stop)
                if stop < duration:
                    self.progress.update(stop, f"{stop / 1000 / (time.perf_counter() - start):.3g} x real time")
            sim.pc.barrier()
        if self._traces is not None:
            self._traces.finish()

    def _stops(self, duration: float) -> Iterator[float]:
        """Where the solver comes back to Python, ms: NEURON many times, at whole steps; CoreNEURON at the end."""
        sim = self.sim
        if sim.cfg.coreneuron:
            from neuron import coreneuron

            coreneuron.enable, coreneuron.verbose = True, 0
        else:
            step = max(round(duration / PARTS / sim.cfg.dt), 1) * sim.cfg.dt
            yield from (k * step for k in range(1, int(duration / step + 1e-9)) if k * step < duration - sim.cfg.dt)
        yield duration

    def collect(self) -> output.Result | None:
        """Return all ranks' spikes and traces on rank 0 (None on others); every rank must call it."""
        return output.collect(self.sim)

    def metadata(self) -> dict[str, Any]:
        """Return what produced the run, JSON-able; every rank must call it."""
        config, cfg = self.config, self.sim.cfg
        assert self.library is not None
        about: dict[str, Any] = {
            "model": self.project.name,
            "model_path": str(self.project.folder),
            "seed": config.seed if config.seed is not None else cfg.seeds.get("stim"),
            "seeds": {name: value for name, value in cfg.seeds.items()},
            "duration_ms": float(cfg.duration),
            "dt_ms": float(cfg.dt),
            "engine": self.engine,
            "coreneuron_refused": self.refused,
            "build": config.build,
            "ranks": self.world.size,
            "cfg": {name: value for name, value in config.overrides().items()},
            "swap": {
                pop: {"artifact": str(path), "fraction": config.fraction} for pop, path in config.reductions.items()
            },
            "wall": dict(self.wall),
            "mechanisms": self.library.digest,
            "circuit": self.circuit,
            "versions": output.versions(),
            "compiler": toolchain.compiler_version(),
            "cpu_count": os.cpu_count(),
        }
        if config.reductions:
            from netml.engine.circuit.swap import report

            about["reduced"] = report()
            about["wall"]["reduced_s"] = sum(one["wall_s"] for one in about["reduced"].values())
        return about

    def write(self, folder: Path) -> Path:
        """Gather and write the run's folder (rank 0); every rank must call it and gets the folder."""
        self.progress.begin("writing")
        result, about = self.collect(), self.metadata()
        output.save_as_configured(self.sim, folder)
        if result is not None:
            output.write(folder, result, about)
        self.sim.pc.barrier()
        self.progress.close()
        return folder


def run(config: SimulateConfig) -> Path:
    """The task of `netml simulate`, on every rank: returns the run's folder."""
    from netml.engine.ranks import mpi

    world = mpi.start()
    simulation = CircuitRun(config, world)
    folder = output.reserve(config.output, simulation.project.name, config.overwrite, world)
    try:
        simulation.build()
        simulation.run()
        return simulation.write(folder)
    except BaseException:
        if world.rank == 0:
            output.release(folder)
        raise
    finally:
        simulation.progress.close()
