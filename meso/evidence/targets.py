"""What a mesh is adapted to: the numbers of ``mesh.adapt.target``, and where they are sensitive."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix

from meso.boundary import Wall
from meso.case import Case
from meso.discrete.cells import cells_of, facet_vertices
from meso.errors import CaseError
from meso.flow.result import Flow, drive_response, four_terminal, ports_of
from meso.mpi import concatenated
from meso.observables.accumulation import couplings, edge_moments
from meso.observables.nearest import division
from meso.orbital import orbital_density, spin_density, vorticity


def is_of_flow(case: Case) -> bool:
    """Whether the target is a number of the flow alone, at contacts or walls, by this module.

    All others, and those of a flow that angular momentum acts on, are for
    :mod:`meso.gradients.indicating`.
    """
    assert case.mesh.adapt is not None
    target = case.mesh.adapt.target
    of_contacts = [f"{name}.{what}" for name in case.contacts for what in ("current", "potential")]
    known = ("conductance", *case.output.resistances, *of_contacts)
    two_way = bool(case.angular_momentum) and case.angular_momentum.is_two_way
    return (target in known or is_moment(case)) and not two_way


def _place(case: Case) -> tuple[str, str]:
    """Wall, or "", and number of its piece, or "", of a moment."""
    assert case.mesh.adapt is not None
    place = case.mesh.adapt.target.rpartition(".")[0]
    wall, _, number = ("", "", "") if place in case.walls else place.rpartition(".")
    return wall or place, number


def _pieces(case: Case, flow: Flow) -> list[int]:
    """Pieces of walls whose moments count: all, those of a wall, or one of these."""
    (wall, number), pieces = _place(case), flow.device.pieces
    walls = [i for i, p in enumerate(pieces) if isinstance(flow.boundaries.get(p.boundary), Wall)]
    own = [i for i in walls if wall in ("", pieces[i].boundary)]
    if not number:
        return own
    if not 0 < int(number) <= len(own):
        text = f'found "{wall}.{number}"; the pieces of {wall} have the numbers 1 … {len(own)}'
        raise CaseError(("mesh.adapt.target", text))
    return [own[int(number) - 1]]


def is_moment(case: Case) -> bool:
    """Whether the target is a moment of walls that the current makes on the spot."""
    assert case.mesh.adapt is not None
    return case.mesh.adapt.target.endswith(("edge_moment", "orbital_moment", "spin_moment"))


def divided(case: Case, flow: Flow) -> float:
    """What moments of walls change by, at most, where distances from walls have a degree more."""
    return float(np.abs(_moments(case, flow, 3) - _moments(case, flow)).max())


def values(case: Case, flow: Flow) -> tuple[np.ndarray, str]:
    """Values whose largest relative error is to be small, and their unit."""
    wish = case.mesh.adapt
    assert wish is not None
    cut = flow.per_thickness
    if is_moment(case):
        return _moments(case, flow), "J s/m" if cut else "J s"
    if wish.target == "conductance":
        unit = "S/m" if cut else "S"
        if len(flow.contacts) > 1:
            return flow.conductance_matrix.ravel(), unit
        pairs = [t.current / t.potential for t in flow.periodic.values() if t.potential]
        if not pairs:
            text = '"conductance" needs two contacts, or a voltage or current of a periodic pair'
            raise CaseError(("mesh.adapt.target", text))
        return np.array(pairs), unit
    if wish.target in case.output.resistances:
        given = case.output.resistances[wish.target]
        names, matrix = tuple(flow.contacts), flow.conductance_matrix
        resistance = four_terminal(names, matrix, given.current, given.voltage)
        return np.array([resistance]), "Ω m" if cut else "Ω"
    contact, _, what = wish.target.rpartition(".")
    unit = "V" if what == "potential" else "A/m" if cut else "A"
    return np.array([getattr(flow.contacts[contact], what)]), unit


def _moments(case: Case, flow: Flow, degree: int = 2) -> np.ndarray:
    """Moments of chains of walls; of those of one wall, or piece of it, if it is named."""
    density = spin_density if _is_spin(case) else orbital_density
    moments = edge_moments(flow, density(flow, vorticity(flow)), degree=degree)
    walls, chains = _chains(flow)
    found = np.zeros((max(chains, default=-1) + 1, np.size(moments[0].moment)))
    own = np.searchsorted(walls, _pieces(case, flow))
    np.add.at(found, chains[own], [np.ravel(moments[i].moment) for i in own])
    return found.ravel()


def weights(case: Case, flow: Flow) -> np.ndarray:
    """What |curl J| counts for a moment in each cell of this rank, J s/A, (c,): kappa, or 0.

    Cells that are nearest to other walls do not count.
    """
    device = flow.device
    kappa = couplings(flow, "spin" if _is_spin(case) else "orbital")
    assert kappa is not None
    sizes = np.abs(kappa).reshape(len(kappa), -1).max(axis=1)[device.cell_region]
    if not _place(case)[0]:
        return np.asarray(sizes)
    return np.asarray(sizes * np.isin(division(flow).owner, [-1, *_pieces(case, flow)]))


def _is_spin(case: Case) -> bool:
    assert case.mesh.adapt is not None
    return case.mesh.adapt.target.endswith("spin_moment")


def _chains(flow: Flow) -> tuple[list[int], np.ndarray]:
    """Smooth pieces of walls, and the number of the chain that each belongs to.

    Pieces that meet at a corner are one: beyond a re-entrant corner they are equally near.
    """
    device, d = flow.device, flow.device.dimension
    walls = [
        i for i, p in enumerate(device.pieces) if isinstance(flow.boundaries.get(p.boundary), Wall)
    ]
    facets = device.facets.of(np.isin(device.facets.piece, walls))
    ends = cells_of(device).corners[facets.cell[:, None], facet_vertices(d)[facets.local]]
    ends = concatenated(device.comm, ends)
    piece = np.searchsorted(walls, concatenated(device.comm, facets.piece))
    _, point = np.unique(ends.reshape(-1, d), axis=0, return_inverse=True)
    point = point.reshape(-1) + len(walls)
    size = point.max(initial=0) + 1
    graph = coo_matrix((np.ones(len(point)), (np.repeat(piece, d), point)), (size, size))
    from scipy.sparse.csgraph import connected_components  # takes long to load

    return walls, connected_components(graph, directed=False)[1][: len(walls)]


def drives(case: Case, flow: Flow) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of potentials of the ports, for the target and what it is seen by."""
    wish = case.mesh.adapt
    assert wish is not None
    names = ports_of(flow.boundaries)
    if wish.target in case.output.resistances:
        wanted = case.output.resistances[wish.target]
        both = np.zeros((2, len(names)))
        inside = list(flow.contacts)[:-1]  # the last one is at zero
        for potential, (first, second) in zip(both, (wanted.current, wanted.voltage), strict=True):
            current = [float(name == first) - float(name == second) for name in inside]
            potential[: len(inside)] = np.linalg.solve(flow.conductance_matrix[:-1, :-1], current)
        return [(both[0], both[1])]
    if wish.target == "conductance" and len(flow.contacts) > 1:
        count = len(flow.contacts)
        # Of two contacts, either one says it all.
        units = np.eye(count, len(names))[: 1 if count == 2 else count]
        return [(unit, unit) for unit in units]
    terminals = {**flow.contacts, **flow.periodic}
    drive = np.array([terminals[name].potential for name in names])
    contact, _, what = wish.target.rpartition(".")
    if what in ("current", "potential"):
        own = np.eye(len(names))[names.index(contact)]
        of_current = what == "current"
        G = np.asarray(flow.conductance_matrix)
        t = G[names.index(contact)] if of_current else own
        seen = of_current * own - drive_response(names, flow.boundaries, G, t).floating
        return [(drive, seen)]
    return [(drive, drive)]
