"""The linear Boltzmann equation by particles: unbiased, with statistical errors.

Carriers fly straight (in a magnetic field along arcs), collide, are reflected or emitted by walls,
and end in contacts, which emit them as the cosine. In equilibrium as many come from j to i as go
back; what a potential adds follows from where they end (M. Buettiker 1986),

    G_ij = G_i delta_ij - T_ij G_j,        G_j = (2/pi) (sigma/lambda) length of contact j,

or, on a Fermi line that is no circle or a sphere, <|v.n|>/<v^2> in place of 2/pi; times in place of
lengths then.

Each particle carries what it owes to the potentials: that of the contact it came from, and
the voltage of each period that it has crossed. The mean of that over those who pass a cell is the
potential, over their ways the current. A device without contacts is filled with particles that
begin with a linear potential and have forgotten it after some length, which grows until the part of
the conductance that is remembered over half of it is not seen any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from mpi4py import MPI
from scipy.spatial import cKDTree

from meso.boundary import Boundary, Contact
from meso.device import Device
from meso.discrete.fields import Field, cellwise
from meso.discrete.periodic import parts
from meso.errors import CaseError, ConvergenceError
from meso.flow.batches import BINS, Batch, Sums, in_threads
from meso.flow.counting import Batches, Counted, balanced, reciprocal
from meso.flow.emission import Edges, everywhere, from_contact
from meso.flow.result import (
    Flow,
    check_device,
    current_unit,
    drive,
    periodic_pairs,
    ports_of,
    terminals_of,
)
from meso.flow.tracing import (
    UNIT,
    Carriers,
    Maze,
    Phases,
    Sphere,
    Swarm,
    Tracer,
    along,
    facets_of,
    maze_of,
)
from meso.materials.material import Material
from meso.requirements import particle_problems

#: Relative standard error of the conductances, and particles at most.
TOLERANCE, MOST = 1e-2, 10_000_000
#: Particles of a batch of the first round, at least of all others; batches of a round, about, and
#: of each source at least: errors of errors are one over the square root of twice their number.
_FIRST, _SMALLEST, _BATCHES, _LEAST = 256, 64, 128, 24
#: Steps that a batch should take, about; particles that it has at most.
_STEPS, _LARGEST = 1_000_000, 8192
#: Rounds grow by this factor at most.
_GROWTH = 16
#: Without contacts: mean free paths, or chords, after which the beginning is forgotten, at first.
_MEMORY = 4.0
#: Sides of a Fermi line that is no circle: in a magnetic field each takes a step.
_TURNING, _STRAIGHT = 240, 4096


class Particles:
    """Kinetic flow in a 2D device, by particles.

    Args:
        device: The device.
        materials: Material of each region, by name; each with a mean free path, and all with the
            same ratio of conductivity and mean free path.
        boundaries: Contact (always a reservoir), Wall (with a specularity) or Periodic of each
            boundary, by name.
        magnetic_field: Along z, T; needs the Fermi wave vector of each material.
        tolerance: Largest standard error of a conductance, over the largest conductance between
            two ports.
        particles: Their number at most.
        seed: Of random numbers: the same numbers on all numbers of ranks and threads.
        thickness: Thickness of a slab of 3D material, m; None otherwise.
        progress: Called with a line of text after each round.

    Raises:
        CaseError: A 3D device; a region without material or mean free path; collisions that no
            particle can follow; a boundary without a law, or with one that is no boundary condition
            of the Boltzmann equation.
    """

    def __init__(
        self,
        device: Device,
        *,
        materials: Mapping[str, Material],
        boundaries: Mapping[str, Boundary],
        magnetic_field: float = 0.0,
        tolerance: float = TOLERANCE,
        particles: int = MOST,
        seed: int = 0,
        thickness: float | None = None,
        progress: Callable[[str], None] = lambda text: None,
    ) -> None:
        check_device(device, materials, boundaries)
        problems = list(particle_problems(materials, boundaries, magnetic_field))
        if device.dimension != 2:
            problems.append(("flow.model", "particles are for 2D devices"))
        if problems:
            raise CaseError(*problems)
        self.device, self.materials, self.boundaries = device, materials, boundaries
        self.magnetic_field, self.thickness = magnetic_field, thickness
        self.tolerance, self.most, self.seed = tolerance, particles, seed
        self.progress = progress
        self.ports, self.pairs = ports_of(boundaries), periodic_pairs(boundaries)
        self.contacts = [n for n in self.ports if isinstance(boundaries[n], Contact)]
        whole = parts(device, self.pairs)
        if self.contacts and not all(part & set(self.contacts) for part in whole):
            text = "a part of the conductor has no contact, another has one; solve them one by one"
            raise CaseError(("boundaries", text))
        if len(whole) > 1 and not self.contacts:
            raise CaseError(("boundaries", "two conductors without contact; solve them one by one"))
        any_material = next(iter(materials.values()))
        #: sigma/lambda, S/m, over <w^2>.
        self.per_path = float(any_material.conductivity / any_material.mean_free_path)  # type: ignore[operator]
        #: The Fermi line or sphere, if it is no circle.
        self.line: Phases | Sphere | None = None
        if (contour := any_material.contour) is not None:
            self.line = Phases(contour, _TURNING if magnetic_field else _STRAIGHT)
        elif any_material.carriers == "3d":
            self.line = Sphere()
        if self.line is not None:
            self.per_path /= self.line.square
        #: What multiplies currents per thickness.
        self.depth = thickness or 1.0
        chord = np.pi * device.measure / sum(piece.measure for piece in device.pieces)
        path = max(self._path(m) for m in materials.values())
        #: Length over which particles without contacts are followed; potential of each cell, V,
        #: once it is known.
        self.levels = np.empty(0)
        self.memory = _MEMORY / (1 / path + 1 / chord) / device.extent

    @staticmethod
    def _path(material: Material) -> float:
        return float(material.mean_free_path)  # type: ignore[arg-type]

    # -- what the particles meet ---------------------------------------------------------------

    @cached_property
    def maze(self) -> Maze:
        """The cells."""
        return maze_of(self.device)

    @cached_property
    def edges(self) -> dict[str, Edges]:
        """The boundaries as curves."""
        return {
            name: Edges(maze=self.maze, facet=np.flatnonzero(self.maze.boundary == i))
            for i, name in enumerate(self.device.boundaries)
        }

    @cached_property
    def slopes(self) -> np.ndarray:
        """Of the linear potentials from which weights are counted, shape (pairs, 2).

        That of a pair falls by one along its own translation, and by nothing along the others.
        """
        count = len(self.pairs)
        if self.contacts or count > 2:
            return np.zeros((count, 2))
        facets = self.facets
        shifts = np.array(
            [facets.shifts[(facets.pair == k) & (facets.signs < 0)][0] for k in range(count)]
        )
        if np.linalg.matrix_rank(shifts, tol=1e-6) < count:
            return np.zeros((count, 2))
        return -np.linalg.pinv(shifts).T

    @cached_property
    def facets(self) -> Any:
        """What happens at the boundary."""
        return facets_of(self.device, self.maze, self.boundaries)

    def tracer(self, *, backwards: bool = False) -> Tracer:
        """What traces particles, forwards or against their motion."""
        carriers = [self._carriers(self.materials[n]) for n in self.device.regions]
        return Tracer(
            self.maze,
            self.facets,
            carriers,
            self.device.extent,
            self.maze.centers @ self.slopes.T,
            line=self.line,
            backwards=backwards,
        )

    def _carriers(self, material: Material) -> Carriers:
        path = self._path(material)
        rate, series = material.collisions()
        turning = material.turning(self.magnetic_field)
        return Carriers(rate=rate / path, curvature=turning / path, series=series)

    def random(self, *place: int) -> tuple[np.random.Generator, int]:
        """Random numbers for a purpose, and a key for those of the kernel."""
        sequence = np.random.SeedSequence([self.seed, *place])
        rng = np.random.Generator(np.random.Philox(sequence))
        return rng, int(rng.integers(2**63))

    # -- batches -------------------------------------------------------------------------------

    @property
    def sharvin(self) -> np.ndarray:
        """Conductance of each contact by itself, S, shape (contacts,)."""
        flux = np.array([self.edges[name].flux(self.line) for name in self.contacts])
        return self.per_path * self.depth * self.device.extent * flux

    def _tally(self) -> np.ndarray:
        return np.zeros((len(self.maze.area), 1 + len(self.pairs), 3), np.int64)

    def _from_contact(self, tracer: Tracer, task: tuple[int, int, int]) -> Batch:
        """Particles of one contact, until they are absorbed."""
        number, source, count = task
        rng, key = self.random(1, number)
        edges = self.edges[self.contacts[source]]
        swarm = from_contact(edges, rng, count, len(self.pairs), self.line)
        tally = self._tally()
        steps = tracer(swarm, key, tally=tally)
        contacts, ports = len(self.contacts), len(self.ports)
        owner = self.owner[swarm.facet]
        scores = np.zeros((ports, ports))
        scores[:contacts, source] = -np.bincount(owner, minlength=contacts)
        if self.pairs:
            np.add.at(scores[:contacts, contacts:], owner, -swarm.weights)
            scores[contacts:, source] = swarm.weights.sum(axis=0)
            scores[contacts:, contacts:] = swarm.products.sum(axis=0)
        return Batch(
            number=number,
            source=source,
            count=count,
            scores=scores * self.sharvin[source],
            remembered=np.zeros(ports),
            arrivals=self._angles(swarm, owner),
            tally=tally,
            steps=steps,
        )

    @cached_property
    def owner(self) -> np.ndarray:
        """Number of the contact at each facet."""
        names = [self.device.boundaries.index(name) for name in self.contacts]
        owner = np.full(len(self.device.boundaries), -1)
        owner[names] = np.arange(len(names))
        return owner[self.maze.boundary]

    def _angles(self, swarm: Swarm, owner: np.ndarray) -> np.ndarray:
        """How many arrive at which contact at which angle to the normal, to the left positive."""
        ends = self.maze.edges(*self.maze.facet[swarm.facet].T)
        chord = ends[:, -1] - ends[:, 0]
        s = ((swarm.places[:, :2] - ends[:, 0]) * chord).sum(axis=1) / (chord**2).sum(axis=1)
        tangent = along(ends, np.clip(s, 0, 1))[1]
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        sine = np.clip((swarm.places[:, 2:] * tangent).sum(axis=1), -1, 1)
        bins = np.minimum(((np.arcsin(sine) / np.pi + 0.5) * BINS).astype(int), BINS - 1)
        flat = np.bincount(owner * BINS + bins, minlength=len(self.contacts) * BINS)
        return flat.reshape(-1, BINS)

    def _from_everywhere(self, tracer: Tracer, task: tuple[int, int, int]) -> Batch:
        """Particles of a device without contacts, for twice the length of their memory."""
        number, source, count = task
        rng, _ = self.random(2, number)
        swarm = everywhere(self.maze, rng, count, len(self.pairs), self.line)
        swarm.weights += swarm.places[:, :2] @ self.slopes.T
        tally, steps, half = self._tally(), 0, self.memory / 2
        gone = [self._gone(swarm)]
        for quarter in range(4):
            if quarter == 2:
                swarm.products[:] = 0.0
            given = tally if quarter >= 2 else None
            key = int(rng.integers(2**63))
            steps += tracer(swarm, key, length=half, tally=given)
            gone.append(self._gone(swarm))
        ways = np.diff(gone, axis=0)
        area = self.maze.area.sum()
        scale = 2 * self.per_path * self.depth * self.device.extent / self.memory
        if self.slopes.any() and (len(self.pairs) == 1 or not self.magnetic_field):
            scores = (gone[4].T @ gone[4] - gone[2].T @ gone[2]) / 2
        else:
            scores = swarm.products.sum(axis=0)
        late = ways[0] * ways[2] + ways[1] * ways[3] + ways[0] * ways[3]
        # Crossings count once in a period; per length of it the area counts.
        return Batch(
            number=number,
            source=source,
            count=count,
            scores=scores * scale * area,
            remembered=late.sum(axis=0) * scale * area,
            arrivals=np.zeros((0, BINS), int),
            tally=tally,
            steps=steps,
        )

    def _gone(self, swarm: Swarm) -> np.ndarray:
        """Ways since the beginning, as the linear potentials count them, shape (n, pairs)."""
        return np.asarray(swarm.weights - swarm.places[:, :2] @ self.slopes.T)

    # -- rounds --------------------------------------------------------------------------------

    def solve(self) -> Flow:
        """Trace particles until the tolerance is met, or there are as many as permitted.

        Returns:
            The flow.

        Raises:
            ConvergenceError: A particle that finds no contact.
        """
        if self.contacts:
            sums, counted, steps = self._rounds()
            return self._flow(sums, counted, steps)
        while True:
            sums, counted, steps = self._rounds()
            if not sums[0].remembers:
                return self._flow(sums, counted, steps)
            self.memory *= 2
            if self.memory > 1e6 * _MEMORY:
                raise ConvergenceError("particles without contacts do not forget where they began")

    def _rounds(self) -> tuple[list[Sums], Counted, int]:
        """Particles round by round, each with so many that the tolerance should be met."""
        count = max(1, len(self.contacts))
        sums = [Sums.begun(len(self.contacts), self._tally()) for _ in range(count)]
        shares = np.sqrt(self.sharvin / self.sharvin.sum()) if self.contacts else np.ones(1)
        shares = shares / shares.sum()
        number, steps, wanted = 0, 0, float(min(_FIRST * _BATCHES, self.most))
        size = int(np.clip(wanted / (_LEAST * count), 16, _FIRST))
        while True:
            tasks = []
            for source, share in enumerate(shares):
                own = max(_LEAST, round(share * wanted / size))
                tasks += [(number + i, source, size) for i in range(own)]
                number += own
            steps += self._trace(tasks, sums)
            counted = self._counted(sums)
            done, error = counted.particles, counted.relative
            self.progress(f"{done} particles, relative standard error {error:.1e}")
            remembers = not self.contacts and sums[0].remembers
            if error <= self.tolerance or done >= self.most or remembers:
                return sums, counted, steps
            more = done * (1.1 * (error / self.tolerance) ** 2 - 1)
            wanted = float(min(max(more, 0.1 * done), (_GROWTH - 1) * done, self.most - done))
            fit = min(_STEPS * done / steps, wanted / _BATCHES)
            size = int(np.clip(fit, _SMALLEST, _LARGEST))

    def _trace(self, tasks: list[tuple[int, int, int]], sums: list[Sums]) -> int:
        """Trace batches, on all ranks and cores, and add up what they tell; returns their steps."""
        comm = self.device.comm
        tracer = self.tracer()
        work = partial(self._from_contact if self.contacts else self._from_everywhere, tracer)
        mine, rows, steps = tasks[comm.rank :: comm.size], [], 0
        for batch in in_threads(work, mine, comm):
            own = sums[batch.source]
            own.tally += batch.tally
            own.arrivals += batch.arrivals
            rows.append((batch.number, batch.source, batch.count, batch.scores, batch.remembered))
            steps += batch.steps
        found = [row for part in comm.allgather(rows) for row in part]
        for _, source, count, scores, remembered in sorted(found, key=lambda row: row[0]):
            sums[source].counts.append(count)
            sums[source].scores.append(scores)
            sums[source].remembered.append(remembered)
        return int(comm.allreduce(steps))

    def _counted(self, sums: list[Sums]) -> Counted:
        """The conductance matrix of all ports."""
        contacts, ports = len(self.contacts), len(self.ports)
        constant, sources = np.zeros((ports, ports)), []
        raw = [np.array(own.scores) for own in sums]
        if not self.magnetic_field:
            weight = np.array([own.particles for own in sums[:contacts]]) / self.sharvin
            for source, scores in enumerate(raw):
                shares = np.full((ports, ports), 0.5)
                if contacts:
                    shares[:contacts, source] = weight[source] / (weight[source] + weight)
                sources.append(reciprocal(scores, contacts, shares))
        else:
            constant[range(contacts), range(contacts)] = self.sharvin
            weights = np.zeros(ports)
            number = np.array([own.particles for own in sums[:contacts]])
            weights[:contacts] = self.sharvin**2 / number
            weights /= weights.sum() or 1.0
            constant = balanced(constant, weights)
            sources = [balanced(scores, weights) for scores in raw]
        return Counted(
            names=self.ports,
            contacts=contacts,
            constant=constant,
            sources=tuple(
                Batches(counts=np.array(own.counts), scores=scores)
                for own, scores in zip(sums, sources, strict=True)
            ),
            reciprocal=not self.magnetic_field,
            angles=np.zeros((0, 0, BINS)),
        )

    # -- the flow ------------------------------------------------------------------------------

    def _flow(self, sums: list[Sums], counted: Counted, steps: int) -> Flow:
        comm = self.device.comm
        for own in sums:
            for array in (own.tally, own.arrivals):
                comm.Allreduce(MPI.IN_PLACE, array)
        if self.contacts:
            counted = replace(counted, angles=np.array([own.arrivals for own in sums]))
        response = counted.matrix
        potential, current = drive(self.ports, self.boundaries, response)
        density, level = self.fields(sums, potential)
        self.levels = self._means(sums, potential)[1]
        evidence = {
            "method": "particles",
            "particles": counted.particles,
            "seed": self.seed,
            "steps": steps,
            "unknowns": 0,
            "standard_error_relative": counted.relative,
            "tolerance_relative": self.tolerance,
            "reciprocity": counted.reciprocal,
            "divergence_relative": 0.0,
        }
        if not self.contacts:
            evidence["memory_m"] = self.memory * self.device.extent
        return Flow(
            model="particles",
            device=self.device,
            materials=self.materials,
            boundaries=self.boundaries,
            thickness=self.thickness,
            order=1,
            current_density=density.function(),
            potential=level.function(),
            fields={"current_density": density, "potential": level},
            **terminals_of(self.ports, self.boundaries, response, potential, current),
            evidence=evidence,
            state=partial(self.fields, sums),
            slips=False,
            magnetic_field=self.magnetic_field,
            counted=counted,
            swarm=self,
        )

    def fields(self, sums: list[Sums], potential: np.ndarray) -> tuple[Field, Field]:
        """Current density and potential, cell by cell, for potentials of the ports."""
        ways, level = self._means(sums, potential)
        own, unit = self.maze.own, current_unit(self.materials)
        return (
            cellwise("current_density", unit, self.device, 0, ways[own][:, None]),
            cellwise("potential", "V", self.device, 0, level[own][:, None]),
        )

    def _means(self, sums: list[Sums], potential: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """J, A/m, and potential, V, of each cell, shape (c, 2) and (c,)."""
        contacts, tallies = len(self.contacts), [own.tally / UNIT for own in sums]
        given, voltages = potential[:contacts], potential[contacts:]
        if contacts:
            # Counted from the middle, since all at one potential carry no current.
            middle = (given.max() + given.min()) / 2
            flux = [
                self.edges[name].flux(self.line) / 2 / own.particles
                for name, own in zip(self.contacts, sums, strict=True)
            ]
            levels = given - middle
        else:
            flux = [self.maze.area.sum() / (self.memory * sums[0].particles)]
            levels, middle = np.zeros(1), 0.0
        time = sum(f * t[:, 0, 0] for f, t in zip(flux, tallies, strict=True))
        owed = sum(
            f * (v * t[:, 0] + np.tensordot(t[:, 1:], voltages, ((1,), (0,))))
            for f, v, t in zip(flux, levels, tallies, strict=True)
        )
        assert isinstance(owed, np.ndarray)
        assert isinstance(time, np.ndarray)
        level = np.where(time > 0, owed[:, 0] / np.where(time > 0, time, 1.0), 0.0)
        empty = time <= 0  # cells that are too small for anybody to pass
        if empty.any():
            centers = self.maze.centers
            level[empty] = level[~empty][cKDTree(centers[~empty]).query(centers[empty])[1]]
        level += middle + self.maze.centers @ self.slopes.T @ voltages
        return 2 * self.per_path * owed[:, 1:] / self.maze.area[:, None], level
