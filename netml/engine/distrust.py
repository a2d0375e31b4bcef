"""Which reduced cells of a run to distrust: those that got more than the training of their reduction ever gave.

A limit for each input comes with the artifact (:mod:`netml.training.ranges`), and how often held-out trials of the
training passed one.  A cell that does so in a larger share of its steps than the worst of those trials is distrusted.
"""

from netml.artifact import Artifact

WORST = 20


def summary(artifact: Artifact, gids: list[int], shares: list[float]) -> dict | None:
    """What a run says about the cells of one population; None where the artifact gives no limits.

    Arguments:
        gids: Of the reduced cells.
        shares: Of the steps of each, those in which one of its inputs passed its limit.

    Returns:
        ``mean`` share, ``held_out`` (that of the worst held-out trial), ``distrusted`` (how many cells have more),
        ``worst`` ([gid, share] of up to 20 of these, the worst first).
    """
    held_out = artifact.header.get("held_out_beyond")
    if held_out is None:
        return None
    found = [(share, gid) for gid, share in zip(gids, shares, strict=True) if share > held_out["largest"]]
    found.sort(key=lambda pair: (-pair[0], pair[1]))
    return {
        "mean": sum(shares) / max(len(shares), 1),
        "held_out": held_out["largest"],
        "distrusted": len(found),
        "worst": [[gid, share] for share, gid in found[:WORST]],
    }
