"""What is known of a costly function of many outputs from the points tried so far, as Gaussian processes.

A search that knows its loss alone learns one number from a run. Here each output has a process of its own, and a loss
is made of what they say (Astudillo & Frazier 2019, arXiv:1906.01537).
"""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch

LENGTHS, CURVED, LINEAR, NOISE = (0.5, 1.0, 2.0, 4.0), (0.1, 1.0), (0.1, 1.0, 3.0), (0.003, 0.03, 0.2)
WAVES = 256  # random Fourier features of a draw
STARTS, STEPS = 8, 100  # of the descent to the lowest point of a draw
REAL = torch.float64


class Processes:
    """One Gaussian process an output, with linear plus squared-exponential covariance.

    A process's length and variances are those of highest evidence among LENGTHS (in units of `scale` in every
    coordinate), CURVED, LINEAR and NOISE (in units of the output's variance).

    Args:
        points: (n, d).
        values: (n, m), the outputs there.
        centre: (d,), where the linear part is zero.
        scale: how far from it the points of interest lie, in each coordinate.
    """

    def __init__(self, points: np.ndarray, values: np.ndarray, centre: np.ndarray, scale: float):
        self.centre, self.unit = torch.as_tensor(centre, dtype=REAL), scale * len(centre) ** 0.5
        self.at = self._units(torch.as_tensor(points, dtype=REAL))
        values = torch.as_tensor(values, dtype=REAL)
        self.mean, self.sd = values.mean(0), values.std(0) + 1e-6
        self.values = (values - self.mean) / self.sd
        n, m = self.values.shape
        evidence, chosen = torch.full((m,), -torch.inf, dtype=REAL), torch.zeros(m, 4, dtype=REAL)
        self.factors = torch.zeros(m, n, n, dtype=REAL)  # Cholesky's, of the covariances
        linear, apart = self.at @ self.at.T, squares(self.at, self.at)
        for found in product(LENGTHS, CURVED, LINEAR, NOISE):
            length, curved, slope, noise = found
            covariance = slope * linear + curved * bell(apart, length) + noise * torch.eye(n, dtype=REAL)
            factor = torch.linalg.cholesky(covariance)
            solved = torch.cholesky_solve(self.values, factor)
            here = -0.5 * (self.values * solved).sum(0) - torch.log(torch.diagonal(factor)).sum()
            better = here > evidence
            evidence = torch.where(better, here, evidence)
            self.factors[better], chosen[better] = factor, torch.tensor(found, dtype=REAL)
        self.length, self.curved, self.slope, self.noise = chosen.T

    def _units(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.centre) / self.unit

    def draw(self, random: torch.Generator, temperature: float = 1.0) -> Callable[[torch.Tensor], torch.Tensor]:
        """A function (k, d) -> (k, m) that agrees with the points; differentiable.

        It is what the processes may be at temperature 1, their mean at 0, by Matheron's rule (Wilson et al. 2020,
        arXiv:2002.09309), its prior from random Fourier features (Rahimi & Recht 2007).
        """

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=random, dtype=REAL)

        (n, m), d = self.values.shape, len(self.centre)
        slopes = temperature * normal(d, m) * self.slope.sqrt()
        waves = temperature * normal(WAVES, m) * (2 * self.curved / WAVES).sqrt()
        frequencies, phases = normal(d, WAVES), 2 * torch.pi * torch.rand(WAVES, generator=random, dtype=REAL)
        with_length = [(length, (self.length == length).to(REAL)) for length in self.length.unique().tolist()]

        def prior(at: torch.Tensor) -> torch.Tensor:
            angles = at @ frequencies
            curves = (torch.cos(angles / length + phases) @ (waves * has) for length, has in with_length)
            return at @ slopes + sum(curves)

        rest = self.values - prior(self.at) - temperature * self.noise.sqrt() * normal(n, m)
        weights = torch.cholesky_solve(rest.T[..., None], self.factors)[..., 0].T  # (n, m)

        linear = self.at.T @ (weights * self.slope)
        bells = [(length, weights * self.curved * has) for length, has in with_length]

        def drawn(x: torch.Tensor) -> torch.Tensor:
            at = self._units(x)
            apart = squares(at, self.at)
            curves = (bell(apart, length) @ height for length, height in bells)
            return (prior(at) + at @ linear + sum(curves)) * self.sd + self.mean

        return drawn


def squares(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Squared distances of (k, d) and (n, d) points: (k, n)."""
    return (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T


def bell(apart: torch.Tensor, length: float) -> torch.Tensor:
    """Squared-exponential covariance at these squared distances."""
    return torch.exp(-apart / (2 * length**2))


def lowest(
    loss: Callable[[torch.Tensor], torch.Tensor], centre: np.ndarray, radius: float, random: torch.Generator
) -> np.ndarray:
    """The point of the lowest loss (k, d) -> (k,) within a radius of the centre and in the cube [-1, 1]^d, by Adam."""
    middle = torch.as_tensor(centre, dtype=REAL)
    lower, upper = (middle - radius).clamp(-1.0, 1.0), (middle + radius).clamp(-1.0, 1.0)
    away = 2 * torch.rand(STARTS, len(centre), generator=random, dtype=REAL) - 1
    away = away * torch.linspace(0.0, radius, STARTS, dtype=REAL)[:, None]
    x = torch.clamp(middle + away, lower, upper).requires_grad_()
    adam = torch.optim.Adam([x], lr=radius / 10)
    for step in range(STEPS):
        adam.param_groups[0]["lr"] = radius / 10 if step < 2 * STEPS // 3 else radius / 50
        adam.zero_grad()
        loss(x).sum().backward()
        adam.step()
        with torch.no_grad():
            x.copy_(torch.clamp(x, lower, upper))
    with torch.no_grad():
        return x[loss(x).argmin()].numpy()
