"""What a reader of a result should cite, and the models in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: By key: authors, title, where it is published.
PAPERS = {
    "Valet 2025": (
        "T. Valet, H. Jaffrès, V. Cros, R. Raimondi",
        "Quantum Kinetic Anatomy of Electron Angular Momenta Edge Accumulation",
        "2025",
    ),
    "Valet and Raimondi 2025": (
        "T. Valet, R. Raimondi",
        "Quantum Kinetic Theory of the Linear Response for Weakly Disordered Multiband Systems",
        "Physical Review B 111, L041118 (2025)",
    ),
    "Ning 2025": (
        "X. Ning, A. Pezo, K.-W. Kim, W. Zhao, K.-J. Lee, A. Manchon",
        "Orbital diffusion, polarization and swapping in centrosymmetric metals",
        "Physical Review Letters 134, 026303 (2025)",
    ),
    "Chambers 1950": (
        "R. G. Chambers",
        "The conductivity of thin wires in a magnetic field",
        "Proceedings of the Royal Society A 202, 378 (1950)",
    ),
    "DOLFINx": (
        "I. A. Baratta et al.",
        "DOLFINx: the next generation FEniCS problem solving environment",
        "2023, doi:10.5281/zenodo.10447666",
    ),
    "Gmsh": (
        "C. Geuzaine, J.-F. Remacle",
        "Gmsh: a three-dimensional finite element mesh generator",
        "International Journal for Numerical Methods in Engineering 79, 1309 (2009)",
    ),
}

_MODELS = {
    "ohmic": "Ohm’s law: J = −σ∇φ with div J = 0. Walls are impenetrable; there is no friction"
    " at them.",
    "hydrodynamic": "Electron hydrodynamics, the closure of the Boltzmann equation with two angular"
    " harmonics: (1/σ) J − div((l²/σ)(∇J + ∇Jᵀ)) + ∇φ = 0 and div J = 0. Walls are impenetrable and"
    " let the current slip, n·(∇J + ∇Jᵀ)·t = −s Jₜ. The vorticity diffusion length l and the slip"
    " length 1/s follow from the mean free path, the scattering and the specularity of the walls"
    " [Valet 2025, eqs. 8a, 8b]. The closure is good where the mean free path is short against the"
    " width: the current errs in proportion to their ratio, edge moments at diffuse walls are 8 to"
    " 15 % below those of the Boltzmann equation.",
    "kinetic": "The linear Boltzmann equation [Valet 2025, eq. 5], expanded in angular harmonics."
    " Walls reflect a part of the carriers, the specularity, and scatter the others in all"
    " directions; contacts are reservoirs.",
    "particles": "The linear Boltzmann equation [Valet 2025, eq. 5] by Monte Carlo: independent"
    " carriers fly, collide, and meet walls and contacts. There is no discretisation of angles;"
    " every number has a statistical error.",
}


_WIRES = {
    "hydrodynamic": "The hydrodynamic model of a wire along z: (1/σ) J_z − div((l²/σ) ∇J_z) = E,"
    " with slip at the walls.",
    "kinetic": "The linear Boltzmann equation in the section of a wire along z, on a Fermi sphere,"
    " expanded in spherical harmonics that are odd in v_z; from the odd ones and the even ones come"
    " a lower and an upper bound of the current.",
}
#: Added where it is how the numbers were found.
FREE_FLIGHTS = (
    "Current and moments are those of free flights from wall to wall, which are exact where all"
    " carriers scatter alike in all directions [Chambers 1950]."
)


def method_of_wire(summary: Mapping[str, Any]) -> list[str]:
    """The equations of a wire along its axis, in words."""
    free = [FREE_FLIGHTS] if summary["free_flights"] else []
    return [_WIRES[summary["model"]], *free]


def method(summary: Mapping[str, Any], case: Mapping[str, Any]) -> list[str]:
    """The equations that a run solved, in words, each with what to cite in brackets."""
    flow = case.get("flow", {})
    out = [_MODELS[summary["model"]]]
    if field := flow.get("magnetic_field"):
        text = field if isinstance(field, str) else f"{field:g} T"
        along = flow.get("magnetic_direction", "z")
        out.append(f"A magnetic field of {text} is along {along}.")
    if "couplings_J_s_per_A" in summary:
        out.append(
            "Densities of angular momentum that gradients of the current make:"
            " X^j = κ^j_ik ∂_i J_k [Valet 2025, eq. 6; Valet and Raimondi 2025]."
        )
    elif "orbital_density" in summary["extrema"]:
        out.append("The orbital density is L = κ ∇×J, with κ = ħ²/(2 ε_F e) [Valet 2025, eq. 7].")
    if "angular_momentum" in summary:
        out.append(
            "Spin and orbital angular momentum that the Hall effects carry to the edges diffuse and"
            " relax [Valet 2025, eqs. 1, 3, 4; Ning 2025]."
        )
    return out


def cited(texts: list[str]) -> Iterator[str]:
    """Keys of the papers that texts have in their brackets, and of what `meso` stands on."""
    whole = " ".join(texts)
    for key in PAPERS:
        if f"[{key}" in whole or f"; {key}" in whole or key in ("DOLFINx", "Gmsh"):
            yield key
