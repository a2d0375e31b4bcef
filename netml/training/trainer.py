"""The training loop: teacher-forced, then free-running; resumable to the bit."""

import io
import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from netml.errors import TrainingError
from netml.files import replacing
from netml.reductions import kernel
from netml.reductions.kernel import LANES
from netml.training.config import TrainConfig
from netml.training.data import SequenceSampler, TrialTable, whole_trials
from netml.training.learner import Learner
from netml.training.loss import loss, site_loss, spike_entropy
from netml.training.on_device import recurrence_on
from netml.training.resume import check
from netml.training.scores import auc, calibrate, explained_variance

CHECKPOINT_VERSION = 3
# What may change when a training goes on: its schedule is stretched or shortened.
LENGTH = {"updates", "budget", "patience"}
WARM_UP = 200  # updates over which the learning rate rises
LAST_RATE = 0.02  # of the learning rate, at the end of its cosine
CLIP = 10.0  # norm of a gradient; most are shorter at the end, so that windows with many spikes keep their weight


class Trainer:
    """Trains one cell.

    Args:
        steps: Data.
        training, validation: Trials of ``steps``.
        config: The recipe.
        checkpoint: File that training is resumed from, and saved to; None: neither.
        synthetic: Further trials of ``steps`` to learn from, of which nothing is measured.
        device: Of the windows that are learned from: "cpu" is the C++ kernel, "cuda" plain torch as a CUDA graph.
    """

    def __init__(self, steps: TrialTable, training, validation, config: TrainConfig, checkpoint: Path | None = None,
                 device: str = "cpu", synthetic=()):  # fmt: skip
        self.steps, self.training, self.validation, self.config = steps, training, validation, config
        self.checkpoint = checkpoint
        seen, typical, _ = steps.synapse_site_statistics(training)
        self.seen = seen
        self.learner = Learner(steps.cell, config, typical, steps.sites)
        model = self.learner.model
        window = max(1, round(config.window_ms / config.dt_r_ms))
        often = np.resize(training, max(len(training), len(synthetic)))  # what was recorded is at least half of it
        self.walk = SequenceSampler(steps, [*often, *synthetic], config.batch_size, window, config.seed)
        parts = kernel.load(), model.dims, model.wiring.numpy(), self.learner.channel_input, steps.events
        self.recurrence = recurrence_on(device, *parts, longest=self.walk.longest)
        # The threshold makes the rate in the network true, where the reduction will live; else the rate in all trials.
        in_network = steps.rows_of(validation) & steps.network
        self.calibrating = steps.network if steps.spike[in_network].any() else np.ones_like(steps.network)
        self._normalise()
        self.average = deepcopy(self.learner)
        self.optimizer = torch.optim.AdamW(self.learner.parameter_groups(config), lr=config.learning_rate, foreach=True)
        self.update, self.threshold, self.stale = 0, 0.0, 0
        self.best: dict = {"score": math.inf}
        self.history: list[dict] = []

    def _normalise(self) -> None:
        """Measure targets and traces on the training trials, and let the model start from their scale."""
        model, steps = self.learner.model, self.steps
        rows = steps.rows_of(self.training)
        self.rate = float(steps.spike[rows].mean())
        voltage = steps.voltage[rows]
        self.variance = max(float(voltage.var()), 1e-6)
        self.entropy = spike_entropy(self.rate)
        model.v_mean.fill_(float(voltage.mean()))
        model.v_scale.fill_(math.sqrt(self.variance))
        model.logit_mean.fill_(math.log(self.rate / (1 - self.rate)))
        model.refractory.fill_(float(steps.shortest_interval(self.training, self.config.refractory_quantile)))
        learned = steps.site_voltage[:, rows] if model.dims.sites else np.empty((0, 1))
        self.site_variance = torch.from_numpy(np.maximum(learned.var(axis=1), 1e-6).astype(np.float32))
        model.settle()
        sample = np.random.default_rng([self.config.seed, 2]).permutation(self.training)[: 4 * LANES]
        if model.scale_membrane(0.0):  # whose voltage moves as much as the recorded one
            scales = np.arange(-1.0, 4.1, 0.5)
            wrong = [abs(math.log(max(self._front(sample)[1][0], 1e-3) / float(model.v_scale)))
                     for scale in scales if model.scale_membrane(scale)]  # fmt: skip
            model.scale_membrane(float(scales[int(np.argmin(wrong))]))
        mean, deviation = self._front(sample)
        model.scale_front(torch.from_numpy(mean), torch.from_numpy(np.where(deviation > 1e-6, deviation, 1.0)))

    def _front(self, trials) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of what the hidden units see of the model, over the first second of some trials."""
        params, gain = self._packed(self.learner)
        window, rows = whole_trials(self.steps, trials, self.recurrence.rest(params, 1), limit=1000)
        return self.recurrence.front_statistics(params, gain, window, rows >= 0)

    @staticmethod
    def _packed(learner: Learner) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            return learner.model.pack().numpy(), learner.gain().numpy()

    def run(self, report: Callable[[dict], object] = lambda state: None) -> None:
        """Train to the end, or on from the checkpoint.

        Args:
            report: Called after every update with update, total, loss and, after a validation, its scores.

        Raises:
            TrainingError: A checkpoint that does not fit or is damaged; a loss that is no number.
        """
        total = self.config.total_updates
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the kernel has the CPUs; torch's own work is small and must not depend on them
        try:
            if self.checkpoint and self.checkpoint.exists():
                self.load(self.checkpoint)
            while self.update < total and self.stale < self.config.patience:
                state = {"update": self.update + 1, "total": total, "loss": self._learn()}
                self.update += 1
                last = self.update == total
                if last or self.update % self.config.validate_every == 0:
                    state |= self._validate()
                if self.checkpoint and (last or self.update % self.config.checkpoint_every == 0):
                    self.save(self.checkpoint)
                report(state)
            if "weights" not in self.best:
                raise TrainingError("no validation of the training gave a loss; train longer, or with another recipe")
            self.average.load_state_dict(self.best["weights"])
            self.threshold = self.best["threshold"]
        finally:
            torch.set_num_threads(threads)

    def close(self) -> None:
        self.recurrence.close()

    def _progress(self) -> float:
        return self.update / self.config.total_updates

    def _free_lanes(self) -> int:
        """Sequences of each block that feed back their own spikes: none, then a growing part, then all."""
        since = self._progress() - self.config.free_running_from
        ramp = 0.25 * (1 - self.config.free_running_from)
        return 0 if since < 0 else min(LANES, 1 + int(LANES * since / max(ramp, 1e-9)))

    def _learn(self) -> float:
        config, steps = self.config, self.steps
        rate = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * self._progress()))
        for group in self.optimizer.param_groups:
            group["lr"] = group["pace"] * config.learning_rate * rate * min(1.0, (self.update + 1) / WARM_UP)
        params, gain = self.learner.model.pack(), self.learner.gain()
        rest = self.recurrence.rest(params.detach().numpy(), 1)
        window, rows = self.walk.next(rest, self._free_lanes())
        counts = (rows >= 0) & steps.counts[rows]
        logit, v, sites = self.recurrence(params, gain, self.threshold, window)
        weight = torch.from_numpy(counts.astype(np.float32))
        total, _, _ = loss(
            logit, v, torch.from_numpy(steps.target[rows]), torch.from_numpy(steps.voltage[rows]), weight,
            entropy=self.entropy, variance=self.variance,
            v_clip_mv=config.v_clip_mv, voltage_weight=config.voltage_weight,
        )  # fmt: skip
        if sites.numel() and config.site_weight:
            true = torch.from_numpy(steps.site_voltage[:, rows].transpose(1, 2, 0, 3))
            total = total + config.site_weight * site_loss(sites, true, weight, self.site_variance, config.site_clip_mv)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        value = float(total.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} at update {self.update + 1}; lower learning_rate (now {config.learning_rate})"
            )
        torch.nn.utils.clip_grad_norm_(self.learner.parameters(), CLIP)
        self.optimizer.step()
        with torch.no_grad():
            keep = min(config.ema_decay, self.update / (self.update + 10))
            torch._foreach_lerp_(list(self.average.parameters()), list(self.learner.parameters()), 1 - keep)
        return value

    def _validate(self) -> dict:
        self.learner.model.settle()
        self.average.model.settle()
        scores = self.score(self.average, self.validation, rounds=5)
        if not math.isfinite(scores["loss"]):
            raise TrainingError(f"the validation's loss became {scores['loss']} at update {self.update}; lower "
                                f"learning_rate (now {self.config.learning_rate})")  # fmt: skip
        self.threshold = scores["threshold"]
        self.history.append({"update": self.update, **scores})
        if self.update / self.config.total_updates < self.config.free_running_from:
            return scores  # judged only as it will run
        if scores["loss"] < self.best["score"]:
            weights = {k: v.clone() for k, v in self.average.state_dict().items()}
            self.best = {"score": scores["loss"], "weights": weights, "threshold": self.threshold}
            self.stale = 0
        else:
            self.stale += 1
        return scores

    def spikes_to_calibrate(self, trials) -> int:
        """True spikes in those of some trials that the threshold is calibrated on."""
        return int(self.steps.spike[self.steps.rows_of(trials) & self.calibrating].sum())

    def score(self, learner: Learner, trials, rounds: int, threshold: float | None = None) -> dict:
        """Scores of a free-running model, with the threshold calibrated on those of the trials that lived in a network.

        Args:
            learner: The model.
            trials: Numbers of the trials to run.
            rounds: Runs to spend on the threshold.
            threshold: Taken as it is, in place of a calibrated one.
        """
        params, gain = self._packed(learner)
        rest = self.recurrence.rest(params, 1)
        rows: np.ndarray

        def free_run(threshold: float):
            window, rows = whole_trials(self.steps, trials, rest)
            logit, v, spike = self.recurrence.run(params, gain, threshold, window)
            counts = (rows >= 0) & self.steps.counts[rows]
            logit, v, spike, rows = logit[counts], v[counts], spike[counts], rows[counts]
            return (logit, v, rows), int(spike[self.calibrating[rows]].sum())

        (logit, v, rows), emitted = free_run(self.threshold if threshold is None else threshold)
        chosen = self.calibrating[rows]
        spikes = int(self.steps.spike[rows][chosen].sum())
        if threshold is None:
            threshold, (logit, v, rows), emitted = calibrate(free_run, spikes, logit[chosen], rounds)
        true, voltage = self.steps.spike[rows], self.steps.voltage[rows]
        ones = torch.ones(logit.size)
        total, cross, squared = loss(
            torch.from_numpy(logit), torch.from_numpy(v), torch.from_numpy(true).float(), torch.from_numpy(voltage),
            ones, entropy=self.entropy, variance=self.variance, v_clip_mv=self.config.v_clip_mv,
            voltage_weight=self.config.voltage_weight,
        )  # fmt: skip
        return {
            "loss": float(total), "auc": auc(logit, true),
            "explained_variance": explained_variance(v, voltage, self.config.v_clip_mv),
            "rate_ratio": emitted / spikes, "threshold": threshold,
        }  # fmt: skip

    def identity(self) -> dict:
        """What a checkpoint belongs to."""
        data = {"rows": int(self.steps.spike.size), "events": int(self.steps.events.synapse_site.size),
                "spikes": int(self.steps.spike.sum()), "labels": float(self.steps.target.sum(dtype=float)),
                "cell": self.steps.cell.fingerprint}  # fmt: skip
        config = self.config.model_dump(mode="json", exclude=LENGTH)
        return {"version": CHECKPOINT_VERSION, "config": config, "data": data}

    def save(self, path: Path) -> None:
        """Write everything that decides what comes next; the file appears whole or not at all."""
        state = {
            "identity": self.identity(), "learner": self.learner.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(), "walk": self.walk.state_dict(), "update": self.update,
            "threshold": self.threshold, "stale": self.stale, "best": self.best, "history": self.history,
        }  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()  # of a full disk torch says "unexpected pos 128 vs 0"
        torch.save(state, buffer)
        with replacing(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            TrainingError: Damaged, or of other records or another configuration.
        """
        mend = f"delete {path}, or train with fresh=True (--fresh), to start again"
        mine = self.identity()
        try:
            state = torch.load(path, weights_only=True)
            identity = state["identity"]
            other = [f"{part}.{k}" for part in ("config", "data") for k in mine[part]
                     if mine[part][k] != identity.get(part, {}).get(k)]  # fmt: skip
        except Exception as error:  # torch.load raises whatever the damage leads to
            raise TrainingError(f"checkpoint {path} is damaged ({type(error).__name__}); {mend}") from error
        if identity != mine:
            differ = ", ".join(other) or "version"
            raise TrainingError(f"checkpoint {path} is of another training ({differ} differ); {mend}")
        try:
            check(state, self)
        except ValueError as error:
            raise TrainingError(f"checkpoint {path} is damaged: {error}; {mend}") from error
        self.learner.load_state_dict(state["learner"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.walk.load_state_dict(state["walk"], self.recurrence.state_count)
        self.update, self.threshold, self.stale = state["update"], state["threshold"], state["stale"]
        self.best, self.history = state["best"], state["history"]
