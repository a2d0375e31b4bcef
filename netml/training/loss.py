"""Loss of spikes and soma voltage, both as a share of what a constant would leave unexplained."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits


def spike_entropy(rate: float) -> float:
    """Cross entropy (nats a step) of a constant spike probability: the unit of the spike loss."""
    p = torch.tensor(rate, dtype=torch.float64).clamp(1e-7, 1 - 1e-7)
    return float(-(p * p.log() + (1 - p) * (1 - p).log()))


def loss(logit, v, spike, voltage, counts, *, entropy: float, variance: float, v_clip_mv: float, voltage_weight: float):
    """Mean over the steps that count: cross entropy / entropy + voltage_weight * squared error / variance.

    The cross entropy is not weighted by class: spikes are rare, and a weight would ruin their calibration.

    Args:
        logit: Of the model's spikes; all arrays have one shape.
        v: The model's voltage, mV.
        spike: Target, 0 to 1.
        voltage: Target, mV, clipped at v_clip_mv. A target at the clip asks only for v above it.
        counts: 1 where a step counts, else 0.
        entropy: What the cross entropy is divided by.
        variance: What the squared error is divided by, mV2.
        v_clip_mv: Up to where the voltage is learned.
        voltage_weight: Share of the voltage.

    Returns:
        total, spike part, voltage part.
    """
    n = counts.sum().clamp(min=1)
    cross = (binary_cross_entropy_with_logits(logit, spike, reduction="none") * counts).sum() / n / entropy
    v = torch.where(voltage >= v_clip_mv, v.clamp(max=v_clip_mv), v)
    squared = ((v - voltage).square() * counts).sum() / n / variance
    return cross + voltage_weight * squared, cross, squared


def site_loss(v, voltage, counts, variance, v_clip_mv: float):
    """Mean squared error of the voltage at dendritic sites, each as a share of its variance, summed over the sites.

    Args:
        v: (blocks, steps, sites, 16) of the model, mV.
        voltage: (blocks, steps, sites, 16) of the cell, mV, clipped at v_clip_mv.
        counts: (blocks, steps, 16) 1 where a step counts, else 0.
        variance: (sites), mV2.
        v_clip_mv: Up to where the voltage is learned.
    """
    v = torch.where(voltage >= v_clip_mv, v.clamp(max=v_clip_mv), v)
    weight = counts / counts.sum().clamp(min=1)
    return (((v - voltage).square() * weight[:, :, None]).sum(dim=(0, 1, 3)) / variance).sum()
