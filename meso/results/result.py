"""A solved case: numbers, fields, and what is worth warning about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meso.boundary import Wall
from meso.case import Case
from meso.device import Device
from meso.discrete.fields import Field
from meso.discrete.own_terms import Term
from meso.discrete.sampling import sample
from meso.equations.derived import TABLE, Derived
from meso.errors import CaseError, known
from meso.flow.result import Flow, Terminal, four_terminal
from meso.observables.accumulation import EdgeMoment
from meso.observables.corners import Extrema, extrema_of
from meso.observables.spot import seen
from meso.results.uncertainty import Uncertainty

if TYPE_CHECKING:
    from meso.angular_momentum.report import Part
    from meso.evidence.adapting import Adaptivity
    from meso.evidence.convergence import Convergence
    from meso.flow.bounds import Bounds
    from meso.gradients.derivatives import Gradient, Method


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What a run returns.

    Attributes:
        case: The case.
        flow: The solved flow.
        fields: All fields, by name; ``written`` names those that go into files.
        edge_moments: Orbital angular momentum of each smooth piece of a wall; empty without
            orbital coupling.
        spin_moments: The same of the spin that gradients of the current make.
        warnings: What a careful user should know.
        seconds: Wall-clock time of each phase.
        convergence: How a kinetic flow converges with the harmonics, with estimates of its errors.
        bounds: Bounds of the conductance of a kinetic flow.
        closed_form: Name and parameters of the exact solution of this case, if it has one.
        angular_momentum: Diffusion of spin and orbital angular momentum, if the case has it.
        adaptivity: How the mesh was adapted, and the estimated error; None if it was not.
        derived: What the fields are that the caller asked for beside those of the case.
        extrema: Extrema of the fields away from singular corners, found by default; not of the
            vorticity of a kinetic flow, which diverges at rough walls.
        uncertainties: Of the numbers of the result, by column of a sweep's table, where inputs of
            the case have uncertainties: :func:`meso.gradients.with_uncertainties`.
        mesh_errors: Estimated errors that the mesh leaves in the numbers of an ohmic or
            hydrodynamic flow, by column of a sweep's table, in its unit; empty where nobody
            asked: :func:`meso.gradients.with_errors`.
        without_estimate: Numbers whose errors were asked for, but are not known, by the same names.
        terms: What the caller added to the weak forms of the flow, and of the densities.
    """

    case: Case
    flow: Flow
    fields: Mapping[str, Field]
    edge_moments: tuple[EdgeMoment, ...]
    warnings: tuple[str, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    closed_form: Mapping[str, Any] | None = None
    convergence: Convergence | None = None
    bounds: Bounds | None = None
    angular_momentum: Part | None = None
    adaptivity: Adaptivity | None = None
    derived: Mapping[str, Derived] = field(default_factory=dict)
    extrema: Mapping[str, Extrema] = None  # type: ignore[assignment]
    spin_moments: tuple[EdgeMoment, ...] = ()
    uncertainties: Mapping[str, Uncertainty] = field(default_factory=dict)
    terms: tuple[tuple[Term, ...], tuple[Term, ...]] = ((), ())
    mesh_errors: Mapping[str, float] = field(default_factory=dict)
    without_estimate: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.extrema is None:
            object.__setattr__(self, "extrema", extrema_of(self.flow, self.fields))

    @property
    def written(self) -> tuple[str, ...]:
        """Names of the fields that the case asks for."""
        wanted = self.case.output.fields
        own = tuple(n for n in self.fields if n not in TABLE)
        names = self.fields if wanted is None else (*wanted, *own)
        return tuple(n for n in names if n in self.fields)

    @property
    def device(self) -> Device:
        """The device."""
        return self.flow.device

    @property
    def contacts(self) -> Mapping[str, Terminal]:
        """Current (into the device) and potential of each contact."""
        return self.flow.contacts

    @property
    def conductance_matrix(self) -> np.ndarray:
        """I_i = sum_j G_ij V_j, S (S/m without thickness), in the order of ``contacts``."""
        return self.flow.conductance_matrix

    @property
    def resistances(self) -> dict[str, float]:
        """Four-terminal resistances that the case names, ohm (ohm m without thickness)."""
        return {
            name: four_terminal(
                tuple(self.flow.contacts), self.conductance_matrix, wanted.current, wanted.voltage
            )
            for name, wanted in self.case.output.resistances.items()
        }

    @property
    def resistance_errors(self) -> dict[str, float]:
        """Standard errors of these where they have one, by particles, ohm."""
        if self.flow.counted is None:
            return {}
        return {
            name: self.flow.counted.four_terminal(wanted.current, wanted.voltage)
            for name, wanted in self.case.output.resistances.items()
        }

    @property
    def walls(self) -> tuple[str, ...]:
        """Names of the walls."""
        return tuple(n for n, law in self.flow.boundaries.items() if isinstance(law, Wall))

    @property
    def per_thickness(self) -> bool:
        """True where currents are per thickness of a 3D material (A/m)."""
        return self.flow.per_thickness

    @property
    def periodic(self) -> Mapping[str, Terminal]:
        """Current and voltage of each periodic pair, by its first boundary."""
        return self.flow.periodic

    def function(self, name: str) -> Any:
        """A field as a DOLFINx function in SI units, on the mesh in metres, for your own UFL.

        Args:
            name: One of ``fields``; continuous where its values are.

        Raises:
            CaseError: An unknown name.
        """
        if name not in self.fields:
            raise CaseError(f'no field "{name}"; {known(name, self.fields)}')
        return self.fields[name].function()

    def sample(self, points: Any, *, resolution: float | None = None) -> dict[str, np.ndarray]:
        """Values of all fields at points, the same on every rank.

        Args:
            points: Coordinates in metres, shape (m, 2), in 3D (m, 3).
            resolution: Of an instrument, m: the fields averaged over a Gaussian of this full width
                at half maximum along the line through the points, which must be straight. Outside
                of the conductor they count as zero.

        Returns:
            By name: shape (m,), or (m, 2) and (m, 3) for vectors; SI, NaN outside the device.

        Raises:
            CaseError: A resolution for points that are on no straight line.
        """
        fields = list(self.fields.values())
        if resolution is None:
            return sample(self.device, fields, points)
        return seen(self.device, fields, points, resolution)

    def gradient(
        self,
        output: str | Sequence[str] | None = None,
        of: str | Sequence[str] | None = None,
        *,
        method: Method = "auto",
    ) -> Gradient:
        """Derivatives of the numbers of this result in the inputs of its case.

        Args:
            output: Names of outputs, such as "edges.orbital_moment"; all by default.
            of: Dotted keys of inputs, such as "materials.Ti.mean_free_path"; by default all
                continuous numbers that the case gives.
            method: As of :func:`meso.gradients.derivatives`.
        """
        from meso.gradients import gradient

        return gradient(self, output, of, method=method)

    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` holds: plain numbers, texts, lists and dictionaries, SI units."""
        from meso.results.summary import summary

        return summary(self)

    def table(self) -> str:
        """The summary that the command line prints."""
        from meso.results.summary import table

        return table(self)

    def save(self, directory: str | Path, *, figures: bool = True, format: str = "vtu") -> None:
        """Write the result directory; it appears complete or not at all.

        Args:
            directory: Where; an earlier result there is replaced.
            figures: True to draw pictures.
            format: "vtu" or "vtx".

        Raises:
            CaseError: The directory exists and is no result.
        """
        from meso.results.output import save

        save(self, Path(directory), figures=figures, format=format)
