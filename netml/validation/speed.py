"""What two runs cost, from the wall times that each wrote about itself."""

HOW = (
    "Cost of the detailed cells that were replaced = run time of the detailed run - (run time of the swapped run - "
    "time of its reduced cells), each for one biological second. The bracket is what both runs have in common: the "
    "detailed cells that remain, events and communication. Cost of the reduced cells = the time that the swapped run "
    "spent in the engine of reduced cells, their synaptic events included, on its slowest rank. A run time is that of "
    "the time loop on rank 0, which waits for the others."
)


def speed(a: dict, b: dict) -> dict:
    """Compare the wall times of two runs, each for one biological second.

    Args:
        a: ``metadata`` of a run; ``wall`` holds ``run_s`` (the time loop), ``setup_s``, ``build_s`` and, in a
            swapped run, ``reduced_s``. What is missing gives None.
        b: That of the other.

    Returns:
        dict: ``run_s_per_s`` and ``whole_s`` of both, ``ratio`` (a's run time over b's), and of the replaced cells
        ``detailed_s_per_s``, ``reduced_s_per_s`` and ``cells_ratio`` with ``how`` they are computed; or, where they
        cannot be, ``why_not``.
    """
    run_a, run_b = _per_second(a, "run_s"), _per_second(b, "run_s")
    result = {
        "run_s_per_s": {"a": run_a, "b": run_b},
        "whole_s": {"a": _whole(a), "b": _whole(b)},
        "ratio": run_a / run_b if run_a and run_b else None,
        "detailed_s_per_s": None,
        "reduced_s_per_s": None,
        "cells_ratio": None,
        "how": HOW,
        "why_not": None,
    }
    swapped = [bool(m.get("swap")) for m in (a, b)]
    if swapped[0] == swapped[1]:
        return result | {"why_not": "neither run is swapped" if not swapped[0] else "both runs are swapped"}
    detailed, reduced = (a, b) if swapped[1] else (b, a)
    if different := [k for k in ("ranks", "dt_ms", "engine", "build") if detailed.get(k) != reduced.get(k)]:
        return result | {"why_not": f"the runs differ in {', '.join(different)}"}
    cost = _per_second(reduced, "reduced_s")
    whole_detailed, whole_reduced = _per_second(detailed, "run_s"), _per_second(reduced, "run_s")
    if not cost or whole_detailed is None or whole_reduced is None:
        return result | {"why_not": "a run does not say how long it ran (wall.run_s, wall.reduced_s)"}
    replaced = whole_detailed - (whole_reduced - cost)
    result["reduced_s_per_s"] = cost
    if replaced <= 0:
        return result | {
            "why_not": "the swapped run took as long as the detailed one: the machine was not equally free"
        }
    return result | {"detailed_s_per_s": replaced, "cells_ratio": replaced / cost}


def _per_second(metadata: dict, name: str):
    value = metadata.get("wall", {}).get(name)
    return None if value is None else float(value) / (metadata["duration_ms"] / 1000.0)


def _whole(metadata: dict):
    """Setup, build and time loop in seconds."""
    wall = metadata.get("wall", {})
    parts = [wall.get(k) for k in ("setup_s", "build_s", "run_s")]
    return None if wall.get("run_s") is None else float(sum(p for p in parts if p is not None))
