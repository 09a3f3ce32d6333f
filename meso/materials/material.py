"""Conducting materials: what the flow models need to know, and where each value comes from.

The carriers' distribution on the Fermi line (2d) or sphere (3d) is expanded in angular harmonics
that relax with the rates γ_m; γ_1 = v_F/λ defines the transport mean free path λ. Two harmonics
and the half-range wall condition close the hydrodynamic equations with γ̂₂ = γ₂/γ₁:

    l² = λ²/(4 γ̂₂),  s = (16 γ̂₂/3πλ) (1−p)/(1+p)     Fermi line
    l² = λ²/(5 γ̂₂),  s = (15 γ̂₂/8λ) (1−p)/(1+p)      Fermi sphere

Momentum-conserving collisions with mean free path λ_ee add λ/λ_ee to every γ̂_m with m ≥ 2.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, pi
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.polynomial.chebyshev import poly2cheb
from numpy.polynomial.legendre import leg2poly

from meso.constants import ELECTRON_CHARGE, HBAR
from meso.errors import CaseError, known
from meso.materials.crystal import (
    LEVI_CIVITA,
    Orientation,
    as_tensor,
    nested,
    read_tensor,
    rotated,
)
from meso.materials.fermi_line import Contour, FermiLine
from meso.materials.profile import Profile, read_profile
from meso.units import is_number, number, quantity, split, unit
from meso.validation import Before, Info

if TYPE_CHECKING:
    from meso.bands.model import Model

#: Named scattering -> the relaxation rates γ_m/γ_1, m ≥ 2, that differ from one.
SCATTERING: dict[str, dict[int, float]] = {
    "isotropic": {},
    "radial-tangential": {2: 0.5},
}


#: Material quantities that may be profiles.
_PROFILES = ("conductivity", "mean_free_path", "vorticity_diffusion_length")


def conductivity_unit(carriers: object) -> str:
    """S for a 2D electron gas, S/m for a 3D conductor."""
    return "S" if carriers == "2d" else "S/m"


def _reader(*units: str) -> Before:
    """Reads a number or a profile, as a case file has it; the carriers decide between two units."""

    def read(value: object, info: Info) -> float | Profile:
        if isinstance(value, Profile):
            return value
        expected = units
        if len(units) > 1 and "carriers" in info.data:  # else wrong itself: either may be right
            expected = (conductivity_unit(info.data["carriers"]),)
        if isinstance(value, Mapping):
            length_unit = info.context.get("length_unit", 1.0)
            return read_profile(value, *expected, length_unit=length_unit)
        return quantity(value, *expected)

    return Before(read, informed=True)


def _coupling(value: object) -> Any:
    """A number, { tensor = …, unit = … }, or nested lists in SI, as a case file has it."""
    if isinstance(value, list | tuple):
        return nested(as_tensor(value, (3, 3, 3)))
    return read_tensor(value, ("J*s/A",), ((3, 3, 3),))


def _rates(value: object) -> object:
    """Rates that have an uncertainty are texts in a case file."""
    if not isinstance(value, Mapping):
        return value
    return {key: number(rate) if split(rate) else rate for key, rate in value.items()}


_RATES = Before(_rates)
_Coupling = Annotated[Any, Before(_coupling)]
_Conductivity = Annotated[float | Profile, _reader("S", "S/m")]
_Length = Annotated[float | Profile, _reader("m")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A conductor with an isotropic Fermi line or sphere, or a line of another shape.

    What is derived is fixed at construction: to vary a value, build a new one rather than use
    `dataclasses.replace`, which would keep what was derived from the old.

    Conductivity, mean free path and vorticity diffusion length may be profiles, which vary in
    space; what follows from a mean free path that varies is known at positions only (`local`).

    Args:
        name: how the case calls it.
        carriers: "2d" (Fermi line) or "3d" (Fermi sphere).
        conductivity: σ in S (2d) or S/m (3d).
        mean_free_path: transport mean free path λ in m.
        scattering: "isotropic", "radial-tangential" (2d) or the rates γ_m/γ_1 as
            {"gamma2": 0.5, …}; rates that are not listed are one.
        electron_electron_mean_free_path: λ_ee in m.
        fermi_energy: ε_F in J, from the band edge.
        vorticity_diffusion_length: l in m; derived from λ and the scattering unless given, but
            None where λ varies.
        orbital_coupling: κ in J s/A: of L = κ ∇×J, J of charge, or the tensor κ^j_ik, [j][i][k],
            of L^j = κ^j_ik ∂_iJ_k along the axes of the crystal; derived as ħ²/(2 ε_F e), which is
            negative, unless given.
        spin_coupling: The same of the spin S.
        orientation: Of the crystal: turns the tensors to the axes of the device.
        fermi_wavevector: k_F in 1/m, which a magnetic field needs: sqrt(2 pi n) for the density n
            of a 2D electron gas with two spins.
        fermi_line: Of 2d carriers, where it is no circle. The conductivity is half the trace of the
            tensor then, λ = τ⟨v²⟩/⟨|v|⟩ with one relaxation time τ, and π k_F² the area it has.
        provenance: quantity -> where its value comes from; derived ones are added.

    Raises:
        CaseError: values out of range or contradicting each other.
    """

    name: str = ""
    carriers: Literal["2d", "3d"]
    conductivity: _Conductivity
    mean_free_path: _Length | None = None
    scattering: Annotated[str | Mapping[str, float], _RATES] = field(
        default="isotropic", hash=False
    )
    electron_electron_mean_free_path: Annotated[float, unit("m")] = inf
    fermi_energy: Annotated[float, unit("J")] | None = None
    vorticity_diffusion_length: _Length | None = None
    orbital_coupling: _Coupling | None = None
    spin_coupling: _Coupling | None = None
    orientation: Orientation | None = None
    fermi_wavevector: Annotated[float, unit("1/m")] | None = None
    fermi_line: FermiLine | None = None
    provenance: dict[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        problems = tuple(self._problems())
        if problems:
            raise CaseError(*problems)
        for key in ("orbital_coupling", "spin_coupling"):
            if np.ndim(value := getattr(self, key)):  # an array could not be compared
                object.__setattr__(self, key, nested(as_tensor(value, (3, 3, 3))))
        derived: dict[str, tuple[float, str]] = {}
        if self.vorticity_diffusion_length is None and is_number(self.mean_free_path):
            derived["vorticity_diffusion_length"] = self._diffusion_length()
        if self.orbital_coupling is None and self.fermi_energy is not None:
            if not self.fermi_energy * ELECTRON_CHARGE:  # underflow
                text = f"found {self.fermi_energy:g} J; is too small to divide by"
                raise CaseError(("fermi_energy", text))
            coupling = HBAR**2 / (2 * self.fermi_energy * ELECTRON_CHARGE)
            derived["orbital_coupling"] = (coupling, "ħ²/(2 ε_F e)")
        for key, (value, _) in derived.items():
            object.__setattr__(self, key, value)
        sources = {key: f"derived: {formula}" for key, (_, formula) in derived.items()}
        object.__setattr__(self, "provenance", {**self.provenance, **sources})

    @classmethod
    def from_bands(
        cls,
        model: Model,
        *,
        name: str = "",
        energy: float = 0.0,
        broadening: float = 0.1,
        kmesh: int = 48,
        options: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> Material:
        """A material from a Bloch model: σ, λ, κ and the rates of point scatterers where known.

        Args:
            model: One of `meso.bands.models`, or another object with the same methods.
            name: Of the material.
            energy: Fermi energy in eV.
            broadening: Γ in eV; τ = ħ/2Γ.
            kmesh: Points of the grid along one direction.
            options: More arguments of `meso.bands.coefficients`.
            given: Values that are known otherwise, in SI; they win.

        Raises:
            CaseError: The energy is outside the bands, or a value is out of range.
        """
        from meso.bands.coefficients import coefficients

        found = coefficients(
            model, energy=energy, broadening=broadening, kmesh=kmesh, **(options or {})
        )
        own = {k: v for k, v in found.values.items() if k in cls.__slots__ and k not in given}
        values: dict[str, Any] = {key: value.value for key, value in own.items()}
        sources = {key: f"{value.source}; {value.method}" for key, value in own.items()}
        if found.scattering and "scattering" not in given:
            values["scattering"] = dict(found.scattering)
            sources["scattering"] = f"computed from {found.model}, point scatterers"
        if "conductivity" in given and "mean_free_path" in values:
            # A measured conductivity: ρλ is what the Fermi surface knows.
            measured = quantity(given["conductivity"], conductivity_unit(found.carriers))
            values["mean_free_path"] *= measured / found.values["conductivity"].value
            sources["mean_free_path"] += "; for the conductivity given, at the same ρλ"
        values |= {"name": name, "carriers": found.carriers, **given}
        return cls(**values | {"provenance": sources | dict(given.get("provenance", {}))})

    def _problems(self) -> Iterator[tuple[str, str]]:
        if self.carriers not in ("2d", "3d"):
            yield "carriers", f'found {self.carriers!r}; must be "2d" or "3d"'
        for key in (
            "conductivity",
            "mean_free_path",
            "electron_electron_mean_free_path",
            "fermi_energy",
            "fermi_wavevector",
            "vorticity_diffusion_length",
        ):
            value = getattr(self, key)
            if isinstance(value, Profile) and key in _PROFILES:
                continue
            finite = key != "electron_electron_mean_free_path"
            if value is not None and not _is_positive(value, finite=finite):
                rule = "positive and finite" if finite else "positive"
                if key == "mean_free_path":
                    rule += '; without one, use flow.model = "ohmic"'
                yield key, f"found {value!r}; must be {rule}"
        for key in ("orbital_coupling", "spin_coupling"):
            yield from _coupling_problems(key, getattr(self, key))
        if self.mean_free_path is None and self.electron_electron_mean_free_path != inf:
            yield "electron_electron_mean_free_path", "has no effect without mean_free_path"
        yield from _scattering_problems(self.scattering, self.carriers)
        if self.fermi_line is not None:
            yield from self._line_problems()

    def _line_problems(self) -> Iterator[tuple[str, str]]:
        if self.carriers == "3d":
            yield "fermi_line", 'is for carriers = "2d"'
        one = "carriers of a Fermi line that is no circle have one relaxation time; remove it"
        if self.scattering not in ("isotropic", {}):
            yield "scattering", f'found {self.scattering!r}; {one}, or "isotropic"'
        if self.electron_electron_mean_free_path != inf:
            yield "electron_electron_mean_free_path", one
        if self.orientation is not None and any(self.orientation.axis[:2]):
            found = self.orientation.axis
            yield "orientation.axis", f"found {found}; must be along z where there is a fermi_line"

    # --- what gradients of the current make

    def coupling(self, channel: str) -> np.ndarray | None:
        """κ^j_ik in J s/A along the axes of the device, as [j, i, k].

        Args:
            channel: "orbital" or "spin".

        Returns:
            Shape (3, 3, 3), of a number κ κ ε_jik; None if it is not known.
        """
        value = getattr(self, f"{channel}_coupling")
        if value is None or is_number(value):
            return None if value is None else value * LEVI_CIVITA
        kappa = np.array(value)
        return kappa if self.orientation is None else rotated(kappa, self.orientation.matrix)

    # --- the Fermi line

    @property
    def contour(self) -> Contour | None:
        """The Fermi line along the axes of the device, None for a circle."""
        if self.fermi_line is None:
            return None
        turn = self.orientation
        return self.fermi_line.contour(0.0 if turn is None else turn.angle * np.sign(turn.axis[2]))

    @property
    def conductivity_tensor(self) -> np.ndarray | None:
        """σ_ij over the conductivity along the axes of the device, (2, 2), if it is a tensor."""
        contour = self.contour
        return None if contour is None or not contour.anisotropic else contour.conductivity

    def resistivity(self, i: int, j: int) -> Any:
        """One component of the inverse of the conductivity, ohm (2d) or ohm m (3d)."""
        tensor = self.conductivity_tensor
        share: Any = float(i == j) if tensor is None else np.linalg.inv(tensor)[i, j]
        return share / self.conductivity

    # --- the closure

    def rate(self, harmonic: int) -> Any:
        """Relaxation rate γ_m/γ_1 of an angular harmonic m, with electron-electron collisions."""
        order = abs(harmonic)
        if order < 2:
            return float(order)
        if isinstance(self.scattering, str):
            base = SCATTERING[self.scattering].get(order, 1.0)
        else:
            base = self.scattering.get(f"gamma{order}", 1.0)
        if self.electron_electron_mean_free_path == inf:
            return base
        return base + self._path("relaxation rate") / self.electron_electron_mean_free_path

    def collisions(self) -> tuple[Any, tuple[float, ...]]:
        """Collisions of a Fermi line or sphere as jumps of particles.

        Returns:
            Their rate over γ_1, and the density of the angle α that one of them turns a particle
            by over that of all directions alike, as c_m of Σ c_m cos mα: on a line c_m =
            2 (1 − γ_m/γ), where γ is the rate of all high harmonics; on a sphere such is the sum of
            (2l + 1) (1 − γ_l/γ) P_l(cos α).
        """
        known = (
            SCATTERING.get(self.scattering, {})
            if isinstance(self.scattering, str)
            else {int(key.removeprefix("gamma")): 1.0 for key in self.scattering}
        )
        last = max(known, default=1)
        total = self.rate(last + 1)
        part = np.array([1 - self.rate(m) / total for m in range(last + 1)])
        degree = np.arange(last + 1)
        if self.carriers == "3d":
            series = poly2cheb(leg2poly((2 * degree + 1) * part))
        else:
            series = np.where(degree > 0, 2, 1) * part
        return total, tuple(np.trim_zeros(series, "b").tolist())

    @property
    def gamma2(self) -> Any:
        """γ₂/γ₁, with electron-electron collisions."""
        return self.rate(2)

    def slip_rate(self, specularity: float) -> Any:
        """Slip rate s of a wall in 1/m: n·(∇J + ∇Jᵀ)·t = −s J_t.

        Args:
            specularity: p, from 0 (diffuse) to 1 (specular).

        Raises:
            CaseError: p out of range, or the mean free path is needed and unknown.
        """
        if not 0 <= specularity <= 1:
            raise CaseError(("specularity", f"found {specularity!r}; must be in 0 … 1"))
        if specularity == 1:
            return 0.0
        factor = 16 / (3 * pi) if self.carriers == "2d" else 15 / 8
        rate = factor * self.gamma2 / self._path("slip rate of a wall")
        return rate * (1 - specularity) / (1 + specularity)

    def turning(self, magnetic_field: float) -> Any:
        """λ/R_c in a magnetic field along z (T), positive where carriers turn counter-clockwise.

        On a Fermi line that is no circle, the cyclotron frequency times the relaxation time.

        Raises:
            CaseError: the mean free path or the Fermi wave vector is unknown.
        """
        if not magnetic_field:
            return 0.0
        if self.fermi_wavevector is None:
            raise CaseError(("fermi_wavevector", "missing; a magnetic field needs it"))
        path = self._path("path in a magnetic field")
        shape = 1.0 if self.contour is None else self.contour.turning
        return -ELECTRON_CHARGE * magnetic_field * path * shape / (HBAR * self.fermi_wavevector)

    @property
    def contact_step(self) -> Any:
        """Potential step of a kinetic reservoir over J_n/σ in m (half-range moments)."""
        factor = 8 / (3 * pi) if self.carriers == "2d" else 3 / 4
        return factor * self._path("contact resistance of a reservoir")

    def _diffusion_length(self) -> tuple[Any, str]:
        """Vorticity diffusion length from λ and the scattering, and how it is derived."""
        factor = 4 if self.carriers == "2d" else 5
        length = self._path("diffusion length") / (factor * self.gamma2) ** 0.5
        return length, f"λ/√({factor} γ₂/γ₁)"

    def _path(self, what: str) -> Any:
        if self.mean_free_path is None:
            text = f"material {self.name} has none: no {what} follows"
            raise CaseError(("mean_free_path", text))
        if isinstance(self.mean_free_path, Profile):
            text = f"varies in material {self.name}: the {what} follows at positions only"
            raise CaseError(("mean_free_path", text))
        return self.mean_free_path

    # --- variation in space

    @property
    def profiles(self) -> dict[str, Profile]:
        """The quantities that vary in space."""
        values = {key: getattr(self, key) for key in _PROFILES}
        return {key: value for key, value in values.items() if isinstance(value, Profile)}

    @property
    def varies(self) -> bool:
        """Whether something varies in space."""
        return any(isinstance(getattr(self, key), Profile) for key in _PROFILES)

    @property
    def varies_in_cells(self) -> bool:
        """Whether something varies inside the cells of a mesh, rather than from cell to cell."""
        return any(profile.expression is not None for profile in self.profiles.values())

    @property
    def viscous(self) -> bool:
        """Whether there is a vorticity diffusion length, be it at positions only."""
        return self.vorticity_diffusion_length is not None or self.mean_free_path is not None

    def local(
        self,
        positions: np.ndarray,
        cells: np.ndarray | None = None,
        cell_data: Mapping[str, np.ndarray] | None = None,
        *,
        checked: bool = True,
    ) -> Any:
        """The material at positions: one with arrays for the quantities that may vary.

        Args:
            positions: in m, shape (…, d).
            cells: local number of the cell of each position, of shape (…) or of its first axes.
            cell_data: name -> value in each local cell.
            checked: False to keep values that are not positive and finite as they are.

        Raises:
            CaseError: a profile that is not positive and finite, or has no data, at a position.
        """
        local, problems = copy.copy(self), []
        for key in _PROFILES:
            value: Any = getattr(self, key)
            try:
                if isinstance(value, Profile):
                    value = value.at(positions, cells, cell_data, checked=checked)
                elif value is not None:
                    value = np.broadcast_to(float(value), np.shape(positions)[:-1])
            except CaseError as error:
                at = ["materials", self.name, key] if self.name else [key]
                problems += [(".".join([*at, k] if k else at), t) for k, t in error.problems]
            object.__setattr__(local, key, value)
        if problems:
            raise CaseError(*problems)
        if local.vorticity_diffusion_length is None and local.mean_free_path is not None:
            with np.errstate(invalid="ignore"):
                length, _ = local._diffusion_length()
            object.__setattr__(local, "vorticity_diffusion_length", length)
        return local


def _is_positive(value: object, *, finite: bool = True) -> bool:
    return is_number(value) and value > 0 and (isfinite(value) or not finite)


def _coupling_problems(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, list | tuple | np.ndarray):
        try:
            as_tensor(value, (3, 3, 3))
        except CaseError as error:
            yield key, str(error)
    elif value is not None and not (is_number(value) and isfinite(value)):
        yield key, f"found {value!r}; must be finite"


def _scattering_problems(scattering: object, carriers: str) -> Iterator[tuple[str, str]]:
    if isinstance(scattering, str):
        if scattering not in SCATTERING:
            names = known(scattering, SCATTERING)
            yield "scattering", f'found "{scattering}"; {names}, {{ gamma2 = … }}'
        elif scattering == "radial-tangential" and carriers == "3d":
            text = 'this model is for carriers = "2d" only; use "isotropic" or { gamma2 = … }'
            yield "scattering", f'found "{scattering}"; {text}'
    elif isinstance(scattering, Mapping):
        for key, value in scattering.items():
            match = re.fullmatch(r"gamma(\d+)", str(key))
            if match is None or int(match[1]) < 2 or str(key) != f"gamma{int(match[1])}":
                yield f"scattering.{key}", "unknown rate; known: gamma2, gamma3, …"
            elif not _is_positive(value):
                text = f"found {value!r}; must be a positive number, the rate γ_m/γ_1"
                yield f"scattering.{key}", text
    else:
        yield "scattering", f"found {scattering!r}; must be a name or {{ gamma2 = … }}"
