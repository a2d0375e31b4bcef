"""Which reduced cells of a run to distrust: where input passes what training gave, or an ensemble's members differ.

A limit for each input comes with the artifact (:mod:`netml.training.ranges`), and how often held-out trials of the
training passed one.  A cell that does so in a larger share of its steps than the worst of those trials is distrusted.
"""

import statistics
from dataclasses import dataclass

from netml.artifact import Artifact

WORST = 20


@dataclass(frozen=True)
class OutOfRange:
    """Input unlike anything the reduction was trained on.

    Attributes:
        weights: Synapses whose weight lies outside the range of their type in training.
        synapse_sites: Synapses on a synapse site (segment, synapse type) that had no event in training.
        currents: Cells whose current clamps add up to a current outside the range of training at some time.
    """

    weights: int
    synapse_sites: int
    currents: int


def ensemble_summary(artifact: Artifact, gids: list[int], rates_hz: list[list[float]]) -> dict | None:
    """What the members of an ensemble say about the cells of one population; None for a reduction alone.

    Args:
        artifact: The reduction.
        gids: Of the reduced cells.
        rates_hz: Of each, its rate by every member, of the one that acts first.

    Returns:
        ``members``, ``sd_hz`` (mean over the cells of the standard deviation over the members), ``held_out`` (the
        largest of a held-out trial), ``distrusted`` (how many cells have more), ``worst`` ([gid, rate of the member
        that acts, error to expect, Hz] of up to 20 of these: spread times what the held-out trials say, the worst
        first).
    """
    about = artifact.header.get("ensemble")
    if about is None or about.get("largest_sd_hz") is None or not gids:
        return None
    spreads = [statistics.stdev(rates) for rates in rates_hz]
    found = [(sd, gid, rates[0]) for sd, gid, rates in zip(spreads, gids, rates_hz, strict=True)
             if sd > about["largest_sd_hz"]]  # fmt: skip
    found.sort(key=lambda one: (-one[0], one[1]))
    return {
        "members": about["members"],
        "sd_hz": statistics.mean(spreads),
        "held_out": about["largest_sd_hz"],
        "distrusted": len(found),
        "worst": [[gid, rate, sd * (about.get("factor") or 1.0)] for sd, gid, rate in found[:WORST]],
    }


def summary(artifact: Artifact, gids: list[int], shares: list[float]) -> dict | None:
    """What a run says about the cells of one population; None where the artifact gives no limits.

    Args:
        artifact: The reduction.
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
