"""Random synaptic input for single cells, over a wide range around what a network gives, or just as a network gives it.

A trial is drawn from a :class:`InputProfile` (how often and how strongly each synapse site of the cell is driven in
its network) and one of the kinds in :data:`KINDS`, or put together from the network's trials (:data:`FROM_NETWORK`).
Only numpy here: the same trial comes out of the same (seed, trial number) on any number of ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from netml.errors import RecordsError

KINDS = ("silence", "sparse", "dense", "bursts", "volleys", "weights", "moved", "crowded")
PAUSE_MS = (300.0, 3000.0)  # of paused trials
#: What no network need give; scores show each beside the plain kind.
UNSEEN = ("weights", "moved", "crowded")
#: Kind of each trial in turn: most of those that make the cell spike.
TURNS = ("dense", "volleys", "weights", "bursts", "sparse", "dense", "moved", "crowded", "dense", "silence")


@dataclass(frozen=True)
class Ranges:
    """Factors on the network's own values; each is drawn log-uniformly, once a trial (or a burst, a volley).

    Attributes:
        excitation: Total rate of exciting events of a dense trial against the network's.
        inhibition: That of inhibiting ones.
        weight: Every weight of a trial, with the rates divided by the same factor.
        weight_spread: SD of the natural logarithm of single sites' weights.
        strong: Share of the synapse sites whose weight is raised.
        strong_factor: Up to this factor.
        unseen: Share of the events that falls on any segment by its length, not by the network's placement.
        scatter: Factors on the weight of each synapse site in trials of scattered weights: 95 % of a log-normal's.
        moved: Share of the segments that carry all synapses in trials of moved ones.
    """

    excitation: tuple[float, float] = (0.5, 1.8)
    inhibition: tuple[float, float] = (0.5, 1.8)
    weight: tuple[float, float] = (0.5, 2.0)
    weight_spread: float = 0.4
    strong: float = 0.03
    strong_factor: float = 10.0
    unseen: float = 0.15
    scatter: tuple[float, float] = (0.1, 10.0)
    moved: float = 0.3


@dataclass(frozen=True)
class InputCounts:
    """Sums over trials of a network; two of them add up.

    Attributes:
        count: (synapse_sites) float64, number of events.
        log_weight: (synapse_sites) float64, sum of the natural logarithms of their weights in uS.
        seconds: Length of all trials.
    """

    count: np.ndarray
    log_weight: np.ndarray
    seconds: float

    @classmethod
    def of(cls, trial, synapse_sites: int) -> InputCounts:
        """What one trial adds; events of no weight do nothing and do not count."""
        used = trial.event_weight > 0
        synapse_site = trial.event_synapse_site[used]
        log_weight = np.bincount(synapse_site, np.log(trial.event_weight[used].astype(float)), synapse_sites)
        return cls(
            np.bincount(synapse_site, minlength=synapse_sites).astype(float), log_weight, trial.duration_ms / 1000.0
        )

    def __add__(self, other: InputCounts) -> InputCounts:
        return InputCounts(self.count + other.count, self.log_weight + other.log_weight, self.seconds + other.seconds)


@dataclass(frozen=True)
class InputProfile:
    """What drives the cell in its network.

    Synapse site = segment * len(excitatory) + synapse type.

    Attributes:
        rate_hz: (synapse_sites) float64, mean rate of events of a synapse site.
        weight_us: (synapse_sites) float64, geometric mean of its weights; where none was seen, that of its type.
        length_um: (segments) float64.
        group: (segments) int, the branch a segment belongs to.
        excitatory: (synapse types) bool.
    """

    rate_hz: np.ndarray
    weight_us: np.ndarray
    length_um: np.ndarray
    group: np.ndarray
    excitatory: np.ndarray

    @classmethod
    def from_drive(cls, drive: InputCounts, length_um, group, synapses: dict[str, bool]) -> InputProfile:
        """What a network's trials say.

        Args:
            drive: Counts of these trials, added up.
            length_um: (segments) length of each segment.
            group: (segments) branch that each segment belongs to.
            synapses: Whether each type excites, by name.

        Raises:
            RecordsError: A synapse type got no event at all: then nothing says how strong it should be.
        """
        length_um, group = np.asarray(length_um, float), np.asarray(group)
        excitatory = np.array(list(synapses.values()), bool)
        weight = np.empty(drive.count.size)
        for synapse, name in enumerate(synapses):
            mine = slice(synapse, None, excitatory.size)
            n, total = drive.count[mine], drive.log_weight[mine]
            if n.sum() == 0:
                raise RecordsError(
                    f"no event at a synapse of type {name!r} reached the recorded cells in {drive.seconds:g} s of "
                    f"network time, so the protocol has no rate or weight to start from; record longer (--duration) or "
                    f"more cells, or leave the protocol out (--protocol-trials 0)"
                )
            weight[mine] = np.where(n > 0, np.exp(total / np.maximum(n, 1)), np.exp(total.sum() / n.sum()))
        return cls(drive.count / drive.seconds, weight, length_um, group, excitatory)

    @property
    def synapse(self) -> np.ndarray:
        """(synapse_sites) int: the synapse type of each."""
        return np.tile(np.arange(len(self.excitatory)), len(self.length_um))

    def spread(self, unseen: float) -> np.ndarray:
        """(synapse_sites) float64, Hz: the rates, a share ``unseen`` of them laid out by segment length."""
        n = len(self.excitatory)
        rate = self.rate_hz.reshape(-1, n)
        by_length = self.length_um[:, None] / self.length_um.sum() * rate.sum(axis=0)
        return ((1.0 - unseen) * rate + unseen * by_length).ravel()


def draw_input(kind: str, profile: InputProfile, duration_ms: float, seed: int, trial: int, ranges: Ranges = Ranges()):
    """One trial of random input.

    Returns (time float64 ms sorted, in (0, duration); synapse site int32; weight float32 uS, one a synapse site).
    """
    if kind not in KINDS:
        raise RecordsError(f"unknown kind of protocol '{kind}'; known: {', '.join(KINDS)}")
    rng = np.random.default_rng([seed, trial, KINDS.index(kind)])
    scale = _log_uniform(rng, ranges.weight)
    weight = _weights(rng, profile, ranges, scale)
    rate = profile.spread(ranges.unseen) / scale
    if kind == "weights":
        scattered = _scattered(rng, weight.size, ranges.scatter)
        weight, rate = profile.weight_us * scattered, profile.spread(ranges.unseen) / scattered.mean()
    elif kind == "moved":
        carries = rng.permutation(profile.length_um.size) < np.ceil(ranges.moved * profile.length_um.size)
        rate = profile.spread(1.0) * carries.repeat(len(profile.excitatory))
        rate *= profile.rate_hz.sum() / scale / rate.sum()
    factor = np.array(
        [_log_uniform(rng, ranges.excitation if exc else ranges.inhibition) for exc in profile.excitatory]
    )
    if kind == "silence":
        factor = factor * _log_uniform(rng, (1e-3, 2e-2))
    elif kind == "sparse":
        factor = factor * _log_uniform(rng, (2e-2, 0.4))
    elif kind in ("bursts", "volleys", "crowded"):
        factor = factor * _log_uniform(rng, (0.3, 1.1))
    rate = rate * factor[profile.synapse]
    parts = [_background(rng, profile, rate, duration_ms, steady=kind in ("silence", "sparse"))]
    if kind == "bursts":
        parts += _bursts(rng, profile, duration_ms)
    elif kind == "volleys":
        parts += _volleys(rng, profile, duration_ms)
    elif kind == "crowded":
        parts += _crowds(rng, profile, duration_ms)
    time = np.concatenate([t for t, _ in parts])
    synapse_site = np.concatenate([c for _, c in parts])
    keep = (time > 0.0) & (time < duration_ms)
    order = np.argsort(time[keep], kind="stable")
    return time[keep][order], synapse_site[keep][order].astype(np.int32), weight.astype(np.float32)


def shuffled(trials, synapse_sites: int, seed: int, trial: int):
    """Input of the network put together anew: every synapse site takes its events from a trial drawn at random, all of
    them later by one random time, and those that leave the trial at its end come in at its start.

    Rates, places, weights and intervals stay those of the network.  What its sources do together is lost: this is for
    cells whose sources are mostly independent.

    Args:
        trials: Of the network, all of one duration.
        synapse_sites: How many the cell has.
        seed: Of the protocol.
        trial: Number of the trial that is made.

    Returns:
        time (float64 ms, sorted), synapse site (int32) and weight (float32 uS) of each event.
    """
    rng = np.random.default_rng([seed, trial, len(KINDS)])
    duration_ms = trials[0].duration_ms
    source, later = rng.integers(len(trials), size=synapse_sites), rng.uniform(0.0, duration_ms, synapse_sites)
    parts = []
    for k, one in enumerate(trials):
        taken = (source[one.event_synapse_site] == k) & (one.event_weight > 0)
        synapse_site = one.event_synapse_site[taken]
        parts.append(
            ((one.event_time[taken] + later[synapse_site]) % duration_ms, synapse_site, one.event_weight[taken])
        )
    time, synapse_site, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(time, kind="stable")
    return time[order], synapse_site[order].astype(np.int32), weight[order].astype(np.float32)


def paused(trials, synapse_sites: int, seed: int, trial: int):
    """As :func:`shuffled`, but for a pause in which nothing arrives, from any moment on and perhaps to the end.

    What brings the cell to rest, and wakes it, is then in the records of a network that never pauses.
    """
    time, synapse_site, weight = shuffled(trials, synapse_sites, seed, trial)
    rng = np.random.default_rng([seed, trial, len(KINDS) + 1])
    start = rng.uniform(0.0, trials[0].duration_ms)
    heard = (time < start) | (time >= start + _log_uniform(rng, PAUSE_MS))
    return time[heard], synapse_site[heard], weight[heard]


#: Kinds of input that are the network's own, put together anew.
FROM_NETWORK = {"shuffled": shuffled, "paused": paused}


def _log_uniform(rng, limits, size=None):
    return np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1]), size))


def _weights(rng, profile, ranges, scale):
    n = len(profile.weight_us)
    weight = profile.weight_us * scale * np.exp(ranges.weight_spread * rng.standard_normal(n))
    strong = rng.random(n) < ranges.strong
    return np.where(strong, weight * _log_uniform(rng, (1.0, ranges.strong_factor), n), weight)


def _scattered(rng, size, limits):
    """Log-normal factors; of any weights, 95 % lie within the limits, and the rest at them."""
    low, high = np.log(limits)
    return np.exp(np.clip(rng.normal((low + high) / 2, (high - low) / 4, size), low, high))


def _background(rng, profile, rate, duration_ms, steady):
    """Poisson events; unless steady, the rate of every (branch, synapse type) wanders about its mean."""
    bins = int(np.ceil(duration_ms))
    key = profile.group.repeat(len(profile.excitatory)) * len(profile.excitatory) + profile.synapse
    drive = np.bincount(key, rate)  # Hz, [branch * types + type]
    if steady:
        course = np.ones((len(drive), bins), np.float32)
    else:
        common = _course(rng, len(profile.excitatory), bins, _log_uniform(rng, (0.05, 0.5)))
        own = _course(rng, len(drive), bins, _log_uniform(rng, (0.05, 0.8)))
        course = own * common[np.arange(len(drive)) % len(profile.excitatory)]
    count = rng.poisson(course * (drive / 1000.0)[:, None])
    which, at = np.nonzero(count)
    repeat = count[which, at]
    which, at = which.repeat(repeat), at.repeat(repeat)
    return at + rng.random(len(at)), _synapse_sites_of(rng, which, key, rate)


def _course(rng, rows, bins, spread):
    """float32 [rows, bins]: positive, mean about 1, piecewise constant over random intervals and smoothed."""
    step = int(_log_uniform(rng, (30.0, 1000.0)))
    value = np.exp(spread * rng.standard_normal((rows, bins // step + 2)) - spread**2 / 2)
    start = rng.integers(step)
    course = value.repeat(step, axis=1)[:, start : start + bins].astype(np.float32)
    width = min(int(_log_uniform(rng, (1.0, step))), bins)
    padded = np.concatenate([course[:, :1].repeat(width, axis=1), course], axis=1)
    total = padded.cumsum(axis=1, dtype=np.float64)
    return ((total[:, width:] - total[:, :-width]) / width).astype(np.float32)


def _synapse_sites_of(rng, which, key, rate):
    """A synapse site for each event of a (branch, type), by their rates."""
    order = np.argsort(key, kind="stable")
    total = np.cumsum(rate[order])
    last = np.searchsorted(key[order], np.arange(key.max() + 1), side="right")
    upper = np.where(last > 0, total[last - 1], 0.0)
    lower = np.concatenate([[0.0], upper[:-1]])
    at = lower[which] + rng.random(len(which)) * (upper - lower)[which]
    return order[np.minimum(np.searchsorted(total, at, side="right"), last[which] - 1)]


def _bursts(rng, profile, duration_ms):
    """Trains of 100 to 400 Hz at a few neighbouring synapse sites, one to four bursts a second."""
    parts = []
    weight = profile.length_um / profile.length_um.sum()
    for _ in range(rng.poisson(duration_ms / 1000.0 * _log_uniform(rng, (1.0, 4.0)))):
        synapse = rng.integers(len(profile.excitatory))
        branch = profile.group[rng.choice(len(weight), p=weight)]
        segments = np.flatnonzero(profile.group == branch)
        segments = rng.choice(segments, int(np.ceil(_log_uniform(rng, (1.0, 20.0)))))
        length = _log_uniform(rng, (5.0, 60.0))
        count = rng.poisson(len(segments) * length * rng.uniform(0.1, 0.4))
        time = rng.uniform(0, duration_ms) + length * rng.random(count)
        parts.append((time, rng.choice(segments, count) * len(profile.excitatory) + synapse))
    return parts


def _volleys(rng, profile, duration_ms):
    """Synchronous events (0.3 to 4 ms) over the whole cell or one branch, one to five volleys a second."""
    parts = []
    weight = profile.length_um / profile.length_um.sum()
    for _ in range(rng.poisson(duration_ms / 1000.0 * _log_uniform(rng, (1.0, 5.0)))):
        synapse = rng.integers(len(profile.excitatory))
        count = int(_log_uniform(rng, (5.0, 120.0)))
        place = weight
        if rng.random() < 0.4:
            place = weight * (profile.group == profile.group[rng.choice(len(weight), p=weight)])
            place = place / place.sum()
        time = rng.uniform(0, duration_ms) + _log_uniform(rng, (0.3, 4.0)) * rng.standard_normal(count)
        parts.append((time, rng.choice(len(weight), count, p=place) * len(profile.excitatory) + synapse))
    return parts


def _crowds(rng, profile, duration_ms):
    """One to three synapse sites that get two to six events a ms for 3 to 20 ms, one to five times a second."""
    parts = []
    weight = profile.length_um / profile.length_um.sum()
    for _ in range(rng.poisson(duration_ms / 1000.0 * _log_uniform(rng, (1.0, 5.0)))):
        segments = rng.choice(len(weight), rng.integers(1, 4), p=weight)
        length = _log_uniform(rng, (3.0, 20.0))
        count = rng.poisson(len(segments) * length * rng.uniform(2.0, 6.0))
        synapse = rng.integers(len(profile.excitatory))
        time = rng.uniform(0, duration_ms) + length * rng.random(count)
        parts.append((time, rng.choice(segments, count) * len(profile.excitatory) + synapse))
    return parts
