"""What a training's checkpoint must be before a trainer goes on from it."""

import json
import math
from typing import Any

import numpy as np
import torch

PARTS = ("identity", "learner", "average", "optimizer", "walk", "update", "threshold", "stale", "best", "history")
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of AdamW


def check(saved: dict[str, Any], trainer) -> None:
    """Refuse a checkpoint that the trainer cannot go on from.

    Args:
        saved: Of a training of the same identity.
        trainer: The :class:`netml.training.trainer.Trainer` that would go on.

    Raises:
        ValueError: What is wrong.
    """
    _same_keys(saved, PARTS, "it")
    own = trainer.average.state_dict()
    for name in ("learner", "average"):
        _tensors(saved[name], own, name)
    _optimizer(saved["optimizer"], trainer.optimizer)
    _walk(saved["walk"], trainer.walk, trainer.recurrence.state_count)
    for name in ("update", "stale"):
        _numbers([saved[name]], name, whole=True)
    _numbers([saved["threshold"]], "threshold")
    best = saved["best"]
    _same_keys(best, ("score", "weights", "threshold") if "weights" in _mapping(best, "best") else ("score",), "best")
    if "weights" in best:
        _tensors(best["weights"], own, "best")
        _numbers([best["score"], best["threshold"]], "best")
    elif best["score"] != math.inf:
        raise ValueError(f"best has the score {best['score']!r:.60} without weights")
    if not isinstance(saved["history"], list):
        raise ValueError("history is no list")
    for line in saved["history"]:
        _numbers(list(_mapping(line, "history").values()), "history")
        _numbers([line.get("update")], "history's update", whole=True)


def _optimizer(saved: Any, optimizer: torch.optim.Optimizer) -> None:
    _same_keys(saved, ("state", "param_groups"), "optimizer")
    own = optimizer.state_dict()["param_groups"]
    if not isinstance(saved["param_groups"], list) or len(saved["param_groups"]) != len(own):
        raise ValueError(f"optimizer has other groups of parameters; expected {len(own)}")
    for group, mine in zip(saved["param_groups"], own, strict=True):
        _same_keys(group, mine, "optimizer's group")
        _numbers([group["lr"]], "learning rate")
        for name, value in mine.items():
            if name != "lr" and repr(group[name]) != repr(value):
                raise ValueError(f"optimizer has {name} {group[name]!r:.60}; expected {value!r:.60}")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, moments in _mapping(saved["state"], "optimizer's state").items():
        if type(index) is not int or not 0 <= index < len(parameters):
            raise ValueError(f"optimizer has a state of parameter {index!r:.60}; there are {len(parameters)}")
        _same_keys(moments, MOMENTS, "optimizer's state")
        like = parameters[index].detach()
        _tensors(moments, {"step": torch.zeros(()), "exp_avg": like, "exp_avg_sq": like}, "optimizer's state")
        if moments["step"] < 0 or (moments["exp_avg_sq"] < 0).any():
            raise ValueError("optimizer's state holds numbers below 0 that are none")


def _walk(saved: Any, walk, state_count: int) -> None:
    _same_keys(saved, ("random", "queue", "trial", "position", "state"), "walk")
    try:
        np.random.default_rng(0).bit_generator.state = json.loads(saved["random"])
    except Exception as error:  # numpy raises almost any of them for a state that is none
        raise ValueError(f"walk has no state of random numbers ({error})") from None
    for name, size in (("queue", None), ("trial", len(walk.trial)), ("position", len(walk.trial))):
        if not isinstance(saved[name], list) or (size is not None and len(saved[name]) != size):
            raise ValueError(f"walk has a {name} that is no list, or of another length than {size}")
        _numbers(saved[name], f"walk's {name}", whole=True)
    if not {*saved["queue"], *saved["trial"]} <= {*walk.trials.tolist()}:
        raise ValueError("walk is in trials that are not there")
    if saved["state"] is not None:
        size = 4 * state_count * len(walk.trial)
        if not isinstance(saved["state"], bytes) or len(saved["state"]) != size:
            raise ValueError(f"walk has a state that is no {size} bytes")
        if not np.isfinite(np.frombuffer(saved["state"], np.float32)).all():
            raise ValueError("walk's state holds NaN or infinity")


def _tensors(saved: Any, own: dict[str, torch.Tensor], name: str) -> None:
    """Tensors as the trainer's own in name, type and shape; whole numbers are wiring, and the same."""
    _same_keys(saved, own, name)
    for key, mine in own.items():
        found = saved[key]
        if not isinstance(found, torch.Tensor) or found.dtype != mine.dtype or found.shape != mine.shape:
            raise ValueError(f"{name} has no {key} of type {mine.dtype} and shape {tuple(mine.shape)}")
        if found.layout != torch.strided or found.device.type != "cpu":
            raise ValueError(f"{name} has a {key} of another layout or device")
        if not (torch.isfinite(found).all() if found.is_floating_point() else torch.equal(found, mine)):
            raise ValueError(f"{name} has a {key} that holds NaN or infinity, or another wiring")


def _numbers(values: list, name: str, whole: bool = False) -> None:
    kinds = (int,) if whole else (int, float)
    expected = "a whole number from 0" if whole else "a finite number"
    for value in values:
        good = isinstance(value, kinds) and not isinstance(value, bool) and abs(value) < 2**62
        if not good or (whole and value < 0):
            raise ValueError(f"{name} is {value!r:.60}; expected {expected}")


def _mapping(value: Any, name: str) -> dict:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {type(value).__name__}; expected values by name")
    return value


def _same_keys(value: Any, expected, name: str) -> None:
    if found := {*_mapping(value, name)} ^ {*expected}:
        raise ValueError(f"{name} lacks, or has too much, {', '.join(sorted(map(str, found))[:3])}")
