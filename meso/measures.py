"""Integrals over regions and boundaries by name: UFL measures, and their assembly.

    device.integrate(ufl.curl(flow.current_density) * device.dx("metal"))
    device.integrate(ufl.dot(flow.current_density, device.n) * device.ds("source", "drain"))

Everything is in metres and SI units. Only the parts of the mesh that a rank owns are listed, so
that an integral is the same on any number of ranks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dolfinx
import numpy as np
import ufl
from mpi4py import MPI

from meso.compiled import functional
from meso.errors import CaseError, known
from meso.mpi import total


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedMeasure:
    """A UFL measure whose parts have names.

    Multiply a UFL expression by it for all parts, or call it with names for some of them.

    Attributes:
        kind: "dx" for cells, "ds" for the boundary.
        mesh: The mesh.
        entities: For each name its cells, or pairs (cell, facet of the cell) in one flat array.
    """

    kind: str
    mesh: Any
    entities: Mapping[str, np.ndarray]

    def __call__(self, *names: str, degree: int | None = None) -> ufl.Measure:
        """The measure of some parts.

        Args:
            *names: Regions or boundaries; all of them if none is given.
            degree: Degree of the quadrature; by default UFL's estimate for the integrand.

        Returns:
            The UFL measure.

        Raises:
            CaseError: An unknown name.
        """
        numbers = {name: number for number, name in enumerate(self.entities)}
        for name in names:
            if name not in numbers:
                what = "region" if self.kind == "dx" else "boundary"
                raise CaseError(f"no {what} '{name}'; {known(name, numbers)}")
        return ufl.Measure(
            self.kind,
            domain=self.mesh,
            subdomain_data=self._parts,
            subdomain_id=tuple(numbers[name] for name in names or numbers),
            metadata={} if degree is None else {"quadrature_degree": degree},
        )

    @cached_property
    def _parts(self) -> list[tuple[int, np.ndarray]]:
        """One list for all calls, so that DOLFINx adds integrals over different parts up."""
        return list(enumerate(self.entities.values()))

    def __rmul__(self, integrand: Any) -> ufl.Form:
        """The integral over all parts."""
        return integrand * self()


def integrate(comm: MPI.Comm, form: ufl.Form) -> float:
    """Value of an integral, over all ranks; all of them call this.

    Args:
        comm: Communicator of the mesh.
        form: A functional: a UFL form without arguments.

    Returns:
        The number, in the unit of the integrand times m^d (m^(d-1) on boundaries).
    """
    return float(total(comm, dolfinx.fem.assemble_scalar(functional(form))))
