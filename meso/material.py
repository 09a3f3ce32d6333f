"""Conducting materials: what the flow models need to know, and where each value comes from.

The carriers' distribution on the Fermi line (2d) or sphere (3d) is expanded in angular harmonics
that relax with the rates γ_m; γ_1 = v_F/λ defines the transport mean free path λ. Two harmonics
and the half-range wall condition close the hydrodynamic equations with γ̂₂ = γ₂/γ₁:

    l² = λ²/(4 γ̂₂),  s = (16 γ̂₂/3πλ) (1−p)/(1+p)     Fermi line
    l² = λ²/(5 γ̂₂),  s = (15 γ̂₂/8λ) (1−p)/(1+p)      Fermi sphere

Momentum-conserving collisions with mean free path λ_ee add λ/λ_ee to every γ̂_m with m ≥ 2.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, pi, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, SkipValidation, ValidationInfo

from meso.constants import ELECTRON_CHARGE, HBAR
from meso.errors import CaseError, known
from meso.units import is_number, quantity, unit

if TYPE_CHECKING:
    from meso.bands.model import Model

_LIBRARY = Path(__file__).parent / "library"

#: Named scattering -> the relaxation rates γ_m/γ_1, m ≥ 2, that differ from one.
SCATTERING: dict[str, dict[int, float]] = {
    "isotropic": {},
    "radial-tangential": {2: 0.5},
}


def conductivity_unit(carriers: object) -> str:
    """S for a 2D electron gas, S/m for a 3D conductor."""
    return "S" if carriers == "2d" else "S/m"


def conductivity_of(table: Mapping[str, Any], carriers: str) -> float:
    """The conductivity of a table in SI."""
    return quantity(table["conductivity"], conductivity_unit(carriers))


def _conductivity(value: object, info: ValidationInfo) -> float:
    if "carriers" not in info.data:  # wrong itself: only now either unit may be right
        return quantity(value, "S", "S/m")
    return quantity(value, conductivity_unit(info.data["carriers"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A conductor with an isotropic Fermi line or sphere.

    What is derived is fixed at construction: to vary a value, build a new one rather than use
    `dataclasses.replace`, which would keep what was derived from the old.

    Args:
        name: how the case calls it.
        carriers: "2d" (Fermi line) or "3d" (Fermi sphere).
        conductivity: σ in S (2d) or S/m (3d).
        mean_free_path: transport mean free path λ in m.
        scattering: "isotropic", "radial-tangential" (2d) or the rates γ_m/γ_1 as
            {"gamma2": 0.5, …}; rates that are not listed are one.
        electron_electron_mean_free_path: λ_ee in m.
        fermi_energy: ε_F in J, from the band edge.
        vorticity_diffusion_length: l in m; derived from λ and the scattering unless given.
        orbital_coupling: κ in J s/A, orbital density per curl of the charge current density;
            derived as ħ²/(2 ε_F e), which is negative, unless given.
        provenance: quantity -> where its value comes from; derived ones are added.

    Raises:
        CaseError: values out of range or contradicting each other.
    """

    name: str = ""
    carriers: Literal["2d", "3d"]
    conductivity: Annotated[float, BeforeValidator(_conductivity)]
    mean_free_path: Annotated[float, unit("m")] | None = None
    scattering: Annotated[str | Mapping[str, float], SkipValidation] = field(
        default="isotropic", hash=False
    )
    electron_electron_mean_free_path: Annotated[float, unit("m")] = inf
    fermi_energy: Annotated[float, unit("J")] | None = None
    vorticity_diffusion_length: Annotated[float, unit("m")] | None = None
    orbital_coupling: Annotated[float, unit("J*s/A")] | None = None
    provenance: dict[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        problems = tuple(self._problems())
        if problems:
            raise CaseError(*problems)
        derived: dict[str, tuple[float, str]] = {}
        if self.vorticity_diffusion_length is None and self.mean_free_path is not None:
            factor = 4 if self.carriers == "2d" else 5
            length = self.mean_free_path / sqrt(factor * self.gamma2)
            derived["vorticity_diffusion_length"] = (length, f"λ/√({factor} γ₂/γ₁)")
        if self.orbital_coupling is None and self.fermi_energy is not None:
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
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for key, value in found.values.items():
            if key in cls.__slots__ and key not in given:
                values[key] = value.value
                sources[key] = f"{value.source}; {value.method}"
        if found.scattering and "scattering" not in given:
            values["scattering"] = dict(found.scattering)
            sources["scattering"] = f"computed from {found.model}, point scatterers"
        if "conductivity" in given and "mean_free_path" in values:
            # A measured conductivity: ρλ is what the Fermi surface knows.
            factor = conductivity_of(given, found.carriers) / found.values["conductivity"].value
            values["mean_free_path"] *= factor
            sources["mean_free_path"] += "; for the conductivity given, at the same ρλ"
        provenance = sources | dict(given.pop("provenance", {}))
        return cls(
            **{
                "name": name,
                "carriers": found.carriers,
                **values,
                **given,
                "provenance": provenance,
            }
        )

    def _problems(self) -> Iterator[tuple[str, str]]:
        if self.carriers not in ("2d", "3d"):
            yield "carriers", f'found {self.carriers!r}; must be "2d" or "3d"'
        hints = {"mean_free_path": '; without one, use flow.model = "ohmic"'}
        for key in (
            "conductivity",
            "mean_free_path",
            "electron_electron_mean_free_path",
            "fermi_energy",
            "vorticity_diffusion_length",
        ):
            value = getattr(self, key)
            finite = key != "electron_electron_mean_free_path"
            if value is not None and not _is_positive(value, finite=finite):
                rule = "positive and finite" if finite else "positive"
                yield key, f"found {value!r}; must be {rule}{hints.get(key, '')}"
        coupling = self.orbital_coupling
        if coupling is not None and not (is_number(coupling) and isfinite(coupling)):
            yield "orbital_coupling", f"found {coupling!r}; must be finite"
        if self.mean_free_path is None and self.electron_electron_mean_free_path != inf:
            yield "electron_electron_mean_free_path", "has no effect without mean_free_path"
        yield from _scattering_problems(self.scattering, self.carriers)

    def rate(self, harmonic: int) -> float:
        """Relaxation rate γ_m/γ_1 of an angular harmonic m, with electron-electron collisions."""
        order = abs(harmonic)
        if order < 2:
            return float(order)
        if isinstance(self.scattering, str):
            base = SCATTERING[self.scattering].get(order, 1.0)
        else:
            base = self.scattering.get(f"gamma{order}", 1.0)
        return base + (self.mean_free_path or 0.0) / self.electron_electron_mean_free_path

    @property
    def gamma2(self) -> float:
        """γ₂/γ₁, with electron-electron collisions."""
        return self.rate(2)

    def slip_rate(self, specularity: float) -> float:
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
        if self.mean_free_path is None:
            text = f"material {self.name} has none: no slip rate of a wall follows"
            raise CaseError(("mean_free_path", text))
        factor = 16 / (3 * pi) if self.carriers == "2d" else 15 / 8
        return factor * self.gamma2 / self.mean_free_path * (1 - specularity) / (1 + specularity)


def _is_positive(value: object, *, finite: bool = True) -> bool:
    return is_number(value) and value > 0 and (isfinite(value) or not finite)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One published value: a string with its unit, the reference, and how it was obtained."""

    value: str
    source: str
    method: str = ""


def library_names() -> list[str]:
    """Names of the materials in the library."""
    return sorted(path.stem for path in _LIBRARY.glob("*.toml"))


def load_library(name: str) -> tuple[str, dict[str, tuple[Entry, ...]]]:
    """Read a material of the library.

    Values of one quantity differ between sources, so each has a list of entries; the first is the
    default. A quantity for which no source is known has none.

    Args:
        name: the material, e.g. "Cu".

    Returns:
        Its kind of carriers, and quantity -> entries.

    Raises:
        CaseError: there is no such material.
    """
    names = library_names()
    if name not in names:
        raise CaseError(f'no material "{name}" in the library; {known(name, names)}')
    carriers, entries, _ = load_material_file(_LIBRARY / f"{name}.toml")
    return carriers, entries


def load_material_file(
    path: Path,
) -> tuple[str, dict[str, tuple[Entry, ...]], dict[str, float]]:
    """Read a material file, such as `meso bands` writes.

    Args:
        path: the TOML file.

    Returns:
        The kind of carriers, quantity -> entries, and the rates of its scattering.

    Raises:
        CaseError: the file cannot be read, or is no material file.
    """
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        carriers = table.pop("carriers")
        scattering = table.pop("scattering", {})
        entries = {k: tuple(Entry(**entry) for entry in v) for k, v in table.items()}
    except OSError as error:
        raise CaseError(f'no material file "{path}": {error.strerror}') from None
    except tomllib.TOMLDecodeError as error:
        raise CaseError(f'"{path}" is not valid TOML: {error}') from None
    except (KeyError, TypeError, AttributeError):
        text = "expected carriers, and [[quantity]] with value, source and method"
        raise CaseError(f'"{path}" is not a material file: {text}') from None
    return carriers, entries, scattering
