"""NMODL mechanisms: build them in the cache for NEURON or CoreNEURON, load them into NEURON.

Two builds of CoreNEURON's side: "exact", NEURON's own flags, whose spikes do not depend on the number of ranks, and
"fast", vectorised with relaxed floating point, about 3 times faster, whose rounding (1e-14 mV) depends on how many
cells share a rank.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from netml import toolchain
from netml.engine.mechanisms import compile_once, coreneuron
from netml.engine.mechanisms.installation import neuron_installation, nrnivmodl, tool_environment
from netml.engine.mechanisms.mod_file import explain, mechanism_names, unfit_name
from netml.engine.mechanisms.syntax_tree import companions
from netml.errors import CompileError
from netml.reductions import kernel

TARGETS = ("neuron", "coreneuron")
MODES = ("exact", "fast")
#: In an entry of the cache: what CoreNEURON does not take, instead of its library.
REFUSED = "refused.txt"
FAST_FLAGS = "-O3 -march=native -ffast-math -fno-math-errno"

#: What NEURON defines itself; a mod file of the same name would end the process.
BUILT_IN = frozenset(
    ("morphology", "capacitance", "pas", "extracellular", "fastpas", "hh", "IClamp", "AlphaSynapse", "ExpSyn",
     "Exp2Syn", "SEClamp", "VClamp", "OClamp", "APCount", "NetStim", "IntFire1", "IntFire2", "IntFire4",
     "PointProcessMark", "PatternStim")
)  # fmt: skip


@dataclass(frozen=True)
class Library:
    """One built set of mechanisms (plain data: paths and names).

    Attributes:
        nrnmech: NEURON's library.
        corenrnmech: CoreNEURON's library, None for target "neuron" and where CoreNEURON refuses a mechanism.
        names: mechanism names as NEURON's h knows them.
        digest: of the sources and all that decided the build; goes into run metadata.
        refused: which mechanism CoreNEURON does not take and why; "" if it takes all, or was not asked.
    """

    nrnmech: Path
    corenrnmech: Path | None
    names: tuple[str, ...]
    digest: str
    refused: str = ""


def collect_mod_files(folders: Iterable[Path]) -> dict[str, Path]:
    """Return {file name: path} of the mod files of several folders, checked for clashes.

    The same file (equal content) in two folders is one file.

    Raises:
        CompileError: a folder is missing, two different files define one mechanism or share a name, or one has
            a name that NEURON cannot take or defines what NEURON has itself.
    """
    files: dict[str, Path] = {}
    owner: dict[str, Path] = {}
    for folder in dict.fromkeys(Path(folder).resolve() for folder in folders):
        if not folder.is_dir():
            raise CompileError(f"no mod folder {folder}; give a folder of .mod files")
        for path in sorted(folder.glob("*.mod")):
            if unfit := unfit_name(path):
                raise CompileError(unfit)
            names = mechanism_names(path)
            if known := BUILT_IN.intersection(names):
                raise CompileError(
                    f"{path} defines {', '.join(known)}, which NEURON has itself; rename its SUFFIX, or remove the "
                    "file if it is NEURON's own"
                )
            others = {owner[name] for name in names if name in owner} | (
                {files[path.name]} if path.name in files else set()
            )
            if any(other.read_bytes() != path.read_bytes() for other in others):
                other = sorted(others)[0]
                raise CompileError(
                    f"two different mod files define {', '.join(names) or path.name}: {other} and {path}; "
                    "rename the SUFFIX (and the file) of one, or make them identical"
                )
            if not others:
                files[path.name] = path
                owner.update(dict.fromkeys(names, path))
    return files


def build_mechanisms(
    folders: Sequence[Path],
    target: str = "neuron",
    mode: str = "exact",
    *,
    incflags: str = "",
    loadflags: str = "",
    depends: object = (),
) -> Library:
    """Build the mod files of some folders into the cache, or find them there.

    Args:
        folders: folders of .mod files, e.g. ours and the user's; built together.
        target: "neuron" or "coreneuron" (builds both sides; NEURON's alone if CoreNEURON refuses a mechanism).
        mode: "exact" or "fast".
        incflags: further flags of the compiler.
        loadflags: further flags of the linker.
        depends: further parts of the cache key (what the mod files include, the library they link).

    Raises:
        CompileError: clash of names, nothing to build, or the compiler refused; holds its message.
    """
    if target not in TARGETS:
        raise CompileError(f"unknown target {target!r}; expected one of {', '.join(TARGETS)}")
    if mode not in MODES:
        raise CompileError(f"unknown build {mode!r}; expected one of {', '.join(MODES)}")
    files = collect_mod_files(folders)
    if not files:
        raise CompileError(f"no .mod files in {', '.join(str(folder) for folder in folders)}")
    fast = FAST_FLAGS if mode == "fast" else ""
    flags = " ".join(part for part in (fast, incflags) if part)
    key = {
        "mods": [(name, path.read_bytes()) for name, path in sorted(files.items())],
        "headers": [(path.name, path.read_bytes()) for path in companions(files.values())],
        "neuron": neuron_installation(),
        "python": sys.version_info[:2],
        "target": target,
        "flags": [flags, loadflags],
        "compiler": [shlex.join(toolchain.compiler()), toolchain.compiler_version()],
        "cpu": toolchain.cpu_model() if "native" in flags else sysconfig.get_platform(),
        "depends": depends,
    }

    def for_neuron() -> Library:
        return build_mechanisms(folders, "neuron", mode, incflags=incflags, loadflags=loadflags, depends=depends)

    def builder(folder: Path) -> None:
        try:
            refused = _compile(folder, files, target, fast, incflags, loadflags)
        except CompileError as error:
            refused = coreneuron.refusal(str(error.__cause__ or error), files) if target == "coreneuron" else ""
            if not refused:
                raise
            for_neuron()  # what NEURON does not compile either is the user's to mend
        if refused:
            shutil.rmtree(folder)
            folder.mkdir()
            (folder / REFUSED).write_text(refused)

    entry = toolchain.cached_build(key, builder, name=f"mechanisms-{target}-{mode}")
    if (entry / REFUSED).is_file():
        return replace(for_neuron(), refused=(entry / REFUSED).read_text())
    names = tuple(sorted(name for path in files.values() for name in mechanism_names(path)))
    core = entry / "libcorenrnmech.so" if target == "coreneuron" else None
    return Library(entry / "libnrnmech.so", core, names, toolchain.digest(key))


def _compile(folder: Path, files: dict[str, Path], target: str, fast: str, incflags: str, loadflags: str) -> str:
    """Run nrnivmodl on copies of the files in folder/mod and keep only the libraries; says what CoreNEURON refuses.

    With CoreNEURON, NEURON only sets the cells up: its side is built exactly in both modes, so that its objects serve
    all commands.
    """
    mods = folder / "mod"
    mods.mkdir()
    headers = companions(files.values())
    for path in (*files.values(), *headers):
        shutil.copy(path, mods / path.name)
    command: list[str | Path] = [nrnivmodl()]
    if target == "coreneuron":
        command.append("-coreneuron")
    elif fast:
        incflags = f"{fast} {incflags}".strip()
    if incflags:
        command += ["-incflags", incflags]
    if loadflags:
        command += ["-loadflags", loadflags]
    environment = tool_environment() | compile_once.launcher(
        toolchain.compiler(),
        objects=toolchain.cache_folder() / "objects",
        root=folder,
        salt=[neuron_installation(), toolchain.compiler_version(), toolchain.cpu_model() if fast else ""],
        headers={path.name: toolchain.digest(path.read_bytes()) for path in headers},
        coreneuron_flags=fast,
    )
    where = ", ".join(sorted(str(path) for path in files.values()))
    try:
        output = toolchain.run_command(
            [*command, "mod"], cwd=folder, env=environment, what=lambda text: _failed(text, files) or where
        )
    except CompileError as error:
        raise CompileError(explain(str(error), files) or str(error)) from error
    for library in ("libnrnmech.so", *(("libcorenrnmech.so",) if target == "coreneuron" else ())):
        built = sorted(folder.glob(f"*/{library}"))
        if not built:
            raise CompileError(f"nrnivmodl made no {library} of {where}\n{output.strip()}")
        built[0].rename(folder / library)
    (folder / "build.log").write_text(output)
    refused = coreneuron.unthreaded(folder, files) if target == "coreneuron" else ""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    return refused


def _failed(output: str, files: dict[str, Path]) -> str:
    """The mod files that make could not build, by its output; "" if it does not say."""
    targets = set(re.findall(r"make[^\n]*\*\*\* \[[^\]\n]*?(\w+)\.(?:cpp|c|o)\]", output))
    return ", ".join(str(path) for path in files.values() if path.stem in targets)


def build_kernel() -> Path:
    """Return libnetml_kernel.so, the learned cell's step in C++, built at first use: the one that training uses."""
    return Path(kernel.load().path)


def build_engine_library() -> Library:
    """Return the mechanisms of mod/engine, NEURON only, linked with the kernel library."""
    folder = toolchain.source_folder("mod") / "engine"
    library = build_kernel()
    return build_mechanisms(
        [folder],
        incflags=f"-I{folder}",
        loadflags=f"-L{library.parent} -lnetml_kernel -Wl,-rpath,{library.parent}",
        depends=library.parent.name,
    )


def load_mechanisms(h: Any, library: Library) -> None:
    """Load mechanisms into NEURON; a second time does nothing.

    With CoreNEURON also tells it where its side lies ($CORENEURONLIB, read when it first runs).

    Args:
        h: neuron.h of this process.
        library: what :func:`build_mechanisms` returned.

    Raises:
        CompileError: a mechanism is not there afterwards, or only part of them was there before.
    """
    present = [name for name in library.names if hasattr(h, name)]
    if len(present) < len(library.names):
        if present:
            raise CompileError(
                f"cannot load {library.nrnmech}: NEURON already has {', '.join(present)} from another library; "
                "start Python outside a folder with an x86_64 build (NEURON loads that by itself)"
            )
        if not h.nrn_load_dll(str(library.nrnmech)):
            raise CompileError(
                f"NEURON cannot load {library.nrnmech}; remove {library.nrnmech.parent} to build it anew"
            )
        missing = [name for name in library.names if not hasattr(h, name)]
        if missing:
            raise CompileError(f"NEURON loaded {library.nrnmech} but has no {', '.join(missing)}")
    if library.corenrnmech is not None:
        os.environ["CORENEURONLIB"] = str(library.corenrnmech)
