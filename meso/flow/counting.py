"""Conductances from counted particles, and what chance leaves of doubt about them.

Every estimate here is a constant and a sum over particles, so that a number a^T G b that follows
from the matrix has the variance of its own score, taken from batches of particles. What depends on
G in a nonlinear way (resistances, potentials of probes) is linearised.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meso.boundary import Boundary
from meso.flow.result import drive


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batches:
    """Scores of the particles of one source.

    Attributes:
        counts: Particles of each batch, shape (b,).
        scores: Their contributions to G, summed, S, shape (b, ports, ports).
    """

    counts: np.ndarray
    scores: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Of a particle."""
        return np.asarray(self.scores.sum(axis=0) / self.counts.sum())

    def variance(self, score: np.ndarray) -> np.ndarray:
        """Of the mean of a score, given as sums over batches, shape (b, ...).

        Whatever the variances of batches are: those of lattices are no multiples of their numbers.
        """
        total, batches = self.counts.sum(), len(self.counts)
        off = score - np.multiply.outer(self.counts, score.sum(axis=0) / total)
        return np.asarray((off**2).sum(axis=0) / total**2 * batches / max(1, batches - 1))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """A conductance matrix with its statistics.

    Attributes:
        names: Of the ports, contacts first.
        contacts: How many of these there are.
        constant: What is known without counting, S, shape (ports, ports).
        sources: Of each place where particles begin.
        reciprocal: Whether the reciprocity of L. Onsager was used.
        angles: How many particles of which contact arrived at which at what angle to the normal,
            in equal parts of half a circle, to the left positive, shape (contacts, contacts, bins).
    """

    names: tuple[str, ...]
    contacts: int
    constant: np.ndarray
    sources: tuple[Batches, ...]
    reciprocal: bool
    angles: np.ndarray

    @property
    def particles(self) -> int:
        """Their number."""
        return int(sum(source.counts.sum() for source in self.sources))

    @property
    def matrix(self) -> np.ndarray:
        """G, S, shape (ports, ports)."""
        return np.asarray(self.constant + sum(source.mean for source in self.sources))

    @property
    def errors(self) -> np.ndarray:
        """Standard error of each entry, S."""
        variances = (source.variance(source.scores) for source in self.sources)
        return np.asarray(np.sqrt(sum(variances)))

    @property
    def relative(self) -> float:
        """Largest standard error over the largest entry that is not on the diagonal."""
        matrix = self.matrix
        if len(matrix) > 1:
            matrix = matrix - np.diag(np.diag(matrix))
        size = np.abs(matrix).max(initial=0.0)
        return float(self.errors.max() / size) if size > 0 else np.inf

    def arrivals(self, contact: str) -> dict[str, np.ndarray]:
        """At which angles carriers arrive at a contact.

        Args:
            contact: Its name.

        Returns:
            Columns: "angle_rad" to the normal, positive along the boundary with the conductor on
            its left, and for each contact "from_NAME_per_rad", the part of what it emits that
            arrives here, per angle.
        """
        bins = self.angles.shape[2]
        columns = {"angle_rad": np.pi * ((np.arange(bins) + 0.5) / bins - 0.5)}
        for name, source, angles in zip(self.names, self.sources, self.angles, strict=False):
            part = angles[self.names.index(contact)] / source.counts.sum()
            columns[f"from_{name}_per_rad"] = part * bins / np.pi
        return columns

    def warnings(self, tolerance: float) -> list[str]:
        """What is less certain than was asked for."""
        if self.relative <= tolerance:
            return []
        return [
            f"{self.particles} particles leave a relative standard error of {self.relative:.1e}:"
            f" more than flow.tolerance = {tolerance:g}; permit more of them (flow.particles)"
        ]

    def error(self, left: np.ndarray, right: np.ndarray) -> float:
        """Standard error of left^T G right."""
        variances = (source.variance(source.scores @ right @ left) for source in self.sources)
        return float(np.sqrt(sum(variances)))

    def terminals(self, boundaries: Mapping[str, Boundary]) -> dict[str, tuple[float, float]]:
        """Standard errors of the current, A, and the potential, V, of each port."""
        response = self.matrix
        potential, _ = drive(self.names, boundaries, response)
        laws = [boundaries[name] for name in self.names]
        fixed = np.array([getattr(law, "current", None) is None for law in laws])
        free, count = np.flatnonzero(~fixed), len(self.names)
        inverse = np.zeros((count, count))
        inverse[np.ix_(free, free)] = np.linalg.inv(response[np.ix_(free, free)])
        currents = np.eye(count) - response @ inverse
        return {
            name: (
                self.error(currents[i], potential) if fixed[i] else 0.0,
                0.0 if fixed[i] else self.error(-inverse[i], potential),
            )
            for i, name in enumerate(self.names)
        }

    def four_terminal(self, current: tuple[str, str], voltage: tuple[str, str]) -> float:
        """Standard error of a resistance as of :func:`meso.flow.result.four_terminal`, ohm."""
        last = self.contacts - 1
        matrix, at = self.matrix[:last, :last], {name: i for i, name in enumerate(self.names)}
        solved = []
        for first, second, of in ((*current, matrix), (*voltage, matrix.T)):
            side = np.zeros(len(self.names))
            side[at[first]], side[at[second]] = 1.0, -1.0
            # The level of the potential is free: the last contact is at zero.
            potential = np.zeros(len(self.names))
            potential[:last] = np.linalg.solve(of, side[:last])
            solved.append(potential)
        return self.error(solved[1], solved[0])


def reciprocal(raw: np.ndarray, contacts: int, shares: np.ndarray) -> np.ndarray:
    """Scores with the symmetry of G without a magnetic field (L. Onsager).

    What goes from i to j tells of what goes from j to i as well. Diagonal entries of contacts are
    what the others leave: equal potentials carry no current, and none is lost.

    Args:
        raw: Scores of one source, shape (b, ports, ports).
        contacts: How many of the ports are contacts, the first ones.
        shares: How much an entry counts; it and its mirror image add up to one over all sources.
    """
    part = raw * shares
    out = part + part.swapaxes(1, 2)
    at = np.arange(contacts)
    out[:, at, at] = 0.0
    out[:, at, at] = -out[:, :contacts, :contacts].sum(axis=2)
    return np.asarray(out)


def balanced(raw: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Scores in which equal potentials carry no current, and none is lost.

    Args:
        raw: Scores, shape (..., ports, ports).
        weights: How much of what is left over each port takes: positive, of contacts, with the sum
            one; shape (ports,).
    """
    here = (weights > 0).astype(float)
    out = raw - (raw @ here)[..., None] * weights
    return np.asarray(out - weights[:, None] * (here @ out)[..., None, :])
