"""One or two finished runs, read into statistics of their populations."""

from netml.errors import RunError
from netml.runs import Run
from netml.validation.network_metrics import BIN_MS, PopulationStatistics, population

#: Metadata that should agree, and what it means if it does not.
SHOULD_AGREE = {
    "model": "the runs are of different models: differences are not those of the reduction",
    "dt_ms": "time steps differ: the detailed cells themselves spike at other times",
    "duration_ms": "durations differ: only the part that both have is compared",
    "engine": "engines differ: run times do not compare",
    "ranks": "numbers of ranks differ: run times do not compare",
    "build": "builds differ: rounding changes spikes in a chaotic network, and run times do not compare",
    "seed": "seeds differ: background input is not the same; the differences include that noise",
    "mechanisms": "mechanisms differ: the detailed cells are not the same",
    "circuit": "the circuits differ (netParams), besides the swap: differences are not those of the reduction alone",
    "versions": "versions of software differ",
}


def check_populations(a: Run, b: Run) -> None:
    """Refuse two runs that are not of the same populations.

    Raises:
        RunError: Names or sizes differ.
    """
    sizes = [{name: int(p["size"]) for name, p in run.populations.items()} for run in (a, b)]
    if sizes[0] != sizes[1]:
        listed = [", ".join(f"{name} ({size})" for name, size in s.items()) or "none" for s in sizes]
        raise RunError(
            f"the runs have different populations: {a.folder} has {listed[0]}; {b.folder} has {listed[1]}. Compare "
            f"runs of the same circuit"
        )


def window(runs: list[Run], skip_ms: float | None) -> tuple[float, float]:
    """Time (ms) that counts: after the settling, to the end of the shortest run.

    Raises:
        RunError: Nothing is left.
    """
    stop = min(float(run.duration_ms) for run in runs)
    start = min(200.0, 0.2 * stop) if skip_ms is None else float(skip_ms)
    if not 0 <= start < stop:
        raise RunError(f"skip is {start:g} ms, the shortest run lasts {stop:g} ms; skip less or simulate longer")
    return start, stop


def statistics(run: Run, start_ms: float, stop_ms: float, bin_ms: float = BIN_MS) -> dict[str, PopulationStatistics]:
    """Statistics of every population of a run."""
    found = {}
    for name, info in run.populations.items():
        size = int(info["size"])
        times, ids = run.spikes(name)
        if size:
            found[name] = population(times, ids, size, start_ms, stop_ms, bin_ms)
    return found


def warnings(a: Run, b: Run, floors: list[Run]) -> list[str]:
    """What differs between the runs beside the swap, and what a reader must know."""
    found = []
    built_alike = all(a.metadata.get(key) == b.metadata.get(key) for key in ("engine", "build"))
    one_seed = a.metadata.get("seed") == b.metadata.get("seed")
    for key, meaning in SHOULD_AGREE.items():
        values = [run.metadata.get(key) for run in (a, b)]
        if key == "circuit" and not (one_seed and all(values)):  # input that is drawn may stand in netParams
            continue
        if values[0] != values[1] and (built_alike or key != "mechanisms"):  # their hash includes how they were built
            shown = "" if key in ("versions", "circuit") else f" ({values[0]} and {values[1]})"
            changed = changed_versions(*values) if key == "versions" else ""
            found.append(f"{meaning[0].upper()}{meaning[1:]}{shown}{changed}.")
    for run in [a] if a.folder == b.folder else [a, b]:
        if run.metadata.get("build") == "fast":
            found.append(f"{run.folder} ran the fast build: its spikes depend on the number of ranks.")
    for name in a.populations:
        for run in (a, b):
            if run.populations[name]["size"] and not len(run.spikes(name)[0]):
                found.append(f"Population {name} is silent in {run.folder}.")
    for run in (a, b):
        found += swap_warnings(run)
    for floor in floors:
        if floor.metadata.get("swap"):
            found.append(f"Floor run {floor.folder} is swapped; a noise floor is a detailed run.")
        same_seed = floor.metadata.get("seed") == a.metadata.get("seed")
        if same_seed and not floor.metadata.get("swap"):
            found.append(
                f"Floor run {floor.folder} has the seed of {a.folder}: it may be the same run again, not noise."
            )
    if not floors:
        found.append("No noise floor: without a second detailed run (--floor RUN, another seed) no difference below "
                     "can be told from chance.")  # fmt: skip
    return found


def swap_warnings(run: Run) -> list[str]:
    """What the engine of reduced cells counted and a reader must know."""
    meanings = {
        "weights_out_of_range": "synapses onto reduced cells have weights outside the range of training",
        "channels_unseen": "synapses onto reduced cells lie where training saw no event",
        "currents_out_of_range": "reduced cells get a current into the soma outside the range of training",
        "saturated": "synaptic events onto reduced cells exceeded the range of their sum and were cut",
        "late": "synaptic events came too late for their step and were delivered in a later one",
    }
    found = []
    for name, counts in (run.metadata.get("reduced") or {}).items():
        for key, meaning in meanings.items():
            if isinstance(counts, dict) and counts.get(key):
                found.append(f"{run.folder}, population {name}: {counts[key]:,} {meaning}.")
        beyond = counts.get("beyond") if isinstance(counts, dict) else None
        if beyond and beyond["distrusted"]:
            gids = ", ".join(str(gid) for gid, _ in beyond["worst"][:5])
            found.append(f"{run.folder}, population {name}: {beyond['distrusted']:,} of {counts['reduced']:,} reduced "
                         f"cells got more input than training ever gave in a larger share of their steps than any "
                         f"held-out trial ({beyond['held_out']:.2%}): distrust them (gid {gids} first).")  # fmt: skip
        ensemble = counts.get("ensemble") if isinstance(counts, dict) else None
        if ensemble and ensemble["distrusted"]:
            worst = ", ".join(f"{gid} ({rate:.1f} ± {error:.1f} Hz)" for gid, rate, error in ensemble["worst"][:5])
            found.append(f"{run.folder}, population {name}: the {ensemble['members']} members of the ensemble differ "
                         f"in their rates more than on any held-out trial in {ensemble['distrusted']:,} of "
                         f"{counts['reduced']:,} reduced cells: distrust them (gid {worst} first).")  # fmt: skip
    return found


def changed_versions(a, b) -> str:
    """Names and values of the versions that differ."""
    a, b = a or {}, b or {}
    return ": " + ", ".join(f"{k} {a.get(k)} and {b.get(k)}" for k in sorted({*a, *b}) if a.get(k) != b.get(k))
