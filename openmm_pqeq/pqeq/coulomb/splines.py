"""Points on a mesh: B-splines that spread charges and dipoles, and interpolate a field with its
derivatives.

    spread        ρ(m) += Σ_i (q_i + d_i·∇) W(u_i − m)            W(u) = M_p(u_x) M_p(u_y) M_p(u_z)
    interpolate   φ(u_i) = Σ_m φ(m) W(u_i − m), ∇φ, ∇∇φ

    M_n(u) = [u M_{n−1}(u) + (n − u) M_{n−1}(u − 1)]/(n − 1),    M_n'(u) = M_{n−1}(u) − M_{n−1}(u − 1)

Everything is in units of the mesh's spacing. `interpolate` is the transpose of `spread`. Points are
taken in blocks, so that no array of p³ values for every point exists. The native operators give
values alone: what is differentiated goes through the references. Essmann et al., J. Chem. Phys.
103, 8577 (1995), doi:10.1063/1.470117.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq import ops
from openmm_pqeq.pqeq import constants


class Grid(NamedTuple):
    """channels: meshes laid one behind the other; size: points along each direction; order: p of
    the splines, at least 4."""

    channels: int
    size: list[int]
    order: int


class Points(NamedTuple):
    """u (n, 3): where points are; channel (n,) int64: the mesh each belongs to."""

    u: Tensor
    channel: Tensor


class Stencil(NamedTuple):
    """nodes (n, p³) int64, flat; weight, slope, curvature (n, 3, p): the spline along each direction
    and its derivatives."""

    nodes: Tensor
    weight: Tensor
    slope: Tensor
    curvature: Tensor


def splines(offset: Tensor, order: int) -> tuple[Tensor, Tensor, Tensor]:
    """M_p(x + j) for j = 0 … p − 1 with first and second derivative, (…, p) each, from x in [0, 1);
    p at least 4."""
    zero = torch.zeros_like(offset).unsqueeze(-1)
    two_below = torch.ones_like(zero)
    below = torch.ones_like(zero)
    spline = torch.stack([offset, 1.0 - offset], dim=-1)
    for n in range(3, order + 1):
        two_below, below = below, spline
        u = offset.unsqueeze(-1) + torch.arange(n, dtype=offset.dtype, device=offset.device)
        spline = (
            u * torch.cat([below, zero], dim=-1) + (n - u) * torch.cat([zero, below], dim=-1)
        ) / (n - 1)
    slope = torch.cat([below, zero], dim=-1) - torch.cat([zero, below], dim=-1)
    ends = torch.cat([two_below, zero, zero], dim=-1) + torch.cat([zero, zero, two_below], dim=-1)
    return spline, slope, ends - 2.0 * torch.cat([zero, two_below, zero], dim=-1)


def stencil(grid: Grid, points: Points, first: int, last: int) -> Stencil:
    """Stencil of the points from `first` to `last`."""
    u, channel = points.u[first:last], points.channel[first:last]
    corner = torch.floor(u.detach())
    weight, slope, curvature = splines(u - corner, grid.order)
    # M_p(x + j) belongs to the node j below
    node = corner.to(torch.int64).unsqueeze(2) - torch.arange(grid.order, device=u.device)
    x = torch.remainder(node[:, 0], grid.size[0])
    y = torch.remainder(node[:, 1], grid.size[1])
    z = torch.remainder(node[:, 2], grid.size[2])
    plane = (channel * grid.size[0]).unsqueeze(1) + x
    line = (plane.unsqueeze(2) * grid.size[1] + y.unsqueeze(1)).flatten(1)
    return Stencil(
        (line.unsqueeze(2) * grid.size[2] + z.unsqueeze(1)).flatten(1), weight, slope, curvature
    )


def _outer(x: Tensor, y: Tensor) -> Tensor:
    """Products (n, a·b) of (n, a) and (n, b)."""
    return (x.unsqueeze(2) * y.unsqueeze(1)).flatten(1)


def spread_reference(grid: Grid, points: Points, values: Tensor, dipoles: Tensor | None) -> Tensor:
    """Charges `values` (n,) and dipoles (n, 3) on the mesh: (channels, n_1, n_2, n_3)."""
    size = grid.size
    mesh = torch.zeros(
        grid.channels * size[0] * size[1] * size[2], dtype=values.dtype, device=values.device
    )
    for first in range(0, values.size(0), constants.MESH_BLOCK):
        last = min(first + constants.MESH_BLOCK, values.size(0))
        at = stencil(grid, points, first, last)
        w = at.weight
        flat = _outer(w[:, 0] * values[first:last].unsqueeze(1), w[:, 1])
        on_nodes = _outer(flat, w[:, 2])
        if dipoles is not None:
            d = at.slope * dipoles[first:last].unsqueeze(2)
            flat = flat + _outer(d[:, 0], w[:, 1]) + _outer(w[:, 0], d[:, 1])
            on_nodes = _outer(flat, w[:, 2]) + _outer(_outer(w[:, 0], w[:, 1]), d[:, 2])
        mesh = mesh.index_add(0, at.nodes.flatten(), on_nodes.flatten())
    return mesh.view(grid.channels, size[0], size[1], size[2])


def _blocks(grid: Grid, at: Stencil, field: Tensor) -> Tensor:
    """The field at the nodes of each point, (n, p, p, p)."""
    return torch.take(field, at.nodes).view(-1, grid.order, grid.order, grid.order)


def interpolate_reference(grid: Grid, points: Points, field: Tensor) -> tuple[Tensor, Tensor]:
    """The field (channels, n_1, n_2, n_3) and its gradient at the points: (n,) and (n, 3)."""
    values: list[Tensor] = []
    gradients: list[Tensor] = []
    for first in range(0, points.u.size(0), constants.MESH_BLOCK):
        at = stencil(grid, points, first, min(first + constants.MESH_BLOCK, points.u.size(0)))
        block, w, d = _blocks(grid, at, field), at.weight, at.slope
        by_z = torch.matmul(block, torch.stack([w[:, 2], d[:, 2]], dim=2).unsqueeze(1))
        by_y = torch.matmul(w[:, 1].unsqueeze(1).unsqueeze(2), by_z).squeeze(2)
        turned = (d[:, 1].unsqueeze(1) * by_z[:, :, :, 0]).sum(dim=2)
        along_x = (d[:, 0] * by_y[:, :, 0]).sum(dim=1)
        along_y = (w[:, 0] * turned).sum(dim=1)
        along_z = (w[:, 0] * by_y[:, :, 1]).sum(dim=1)
        values.append((w[:, 0] * by_y[:, :, 0]).sum(dim=1))
        gradients.append(torch.stack([along_x, along_y, along_z], dim=1))
    return torch.cat(values), torch.cat(gradients)


def _contract(values: Tensor, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Σ values (n, p, p, p) x y z: (n,)."""
    on_plane = torch.matmul(values, z.unsqueeze(1).unsqueeze(3)).squeeze(3)
    return (torch.matmul(on_plane, y.unsqueeze(2)).squeeze(2) * x).sum(dim=1)


def interpolate_hessian_reference(grid: Grid, points: Points, field: Tensor) -> Tensor:
    """Second derivatives of the field (channels, n_1, n_2, n_3) at the points, (n, 3, 3)."""
    hessians: list[Tensor] = []
    for first in range(0, points.u.size(0), constants.MESH_BLOCK):
        at = stencil(grid, points, first, min(first + constants.MESH_BLOCK, points.u.size(0)))
        block, w, d, b = _blocks(grid, at, field), at.weight, at.slope, at.curvature
        xy = _contract(block, d[:, 0], d[:, 1], w[:, 2])
        xz = _contract(block, d[:, 0], w[:, 1], d[:, 2])
        yz = _contract(block, w[:, 0], d[:, 1], d[:, 2])
        xx = _contract(block, b[:, 0], w[:, 1], w[:, 2])
        yy = _contract(block, w[:, 0], b[:, 1], w[:, 2])
        zz = _contract(block, w[:, 0], w[:, 1], b[:, 2])
        hessians.append(torch.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], dim=1).view(-1, 3, 3))
    return torch.cat(hessians)


native_on = ops.native_on("splines_spread")


def _leaves_to_reference(u: Tensor, other: Tensor) -> bool:
    """Whether a native operator is to be passed by: it has no kernel for the device, or what it
    makes of these tensors is to be differentiated."""
    return not native_on(u) or (
        torch.is_grad_enabled() and (u.requires_grad or other.requires_grad)
    )


def spread_native(grid: Grid, points: Points, values: Tensor, dipoles: Tensor | None) -> Tensor:
    """`spread_reference` by the native operator, unless it is to be differentiated."""
    other = values if dipoles is None else dipoles
    if _leaves_to_reference(points.u, values) or _leaves_to_reference(points.u, other):
        return spread_reference(grid, points, values, dipoles)
    mesh: Tensor = torch.ops.openmm_pqeq.splines_spread(
        points.u, points.channel, values, dipoles, grid.channels, grid.size, grid.order
    )
    return mesh


def interpolate_native(grid: Grid, points: Points, field: Tensor) -> tuple[Tensor, Tensor]:
    """`interpolate_reference` by the native operator, unless it is to be differentiated."""
    if _leaves_to_reference(points.u, field):
        return interpolate_reference(grid, points, field)
    values, gradients = torch.ops.openmm_pqeq.splines_interpolate(
        field, points.u, points.channel, grid.order
    )
    return values, gradients


def interpolate_hessian_native(grid: Grid, points: Points, field: Tensor) -> Tensor:
    """`interpolate_hessian_reference` by the native operator, unless it is to be differentiated."""
    if _leaves_to_reference(points.u, field):
        return interpolate_hessian_reference(grid, points, field)
    hessians: Tensor = torch.ops.openmm_pqeq.splines_interpolate_hessian(
        field, points.u, points.channel, grid.order
    )
    return hessians


spread = ops.pick("splines_spread", spread_native, spread_reference)
interpolate = ops.pick("splines_interpolate", interpolate_native, interpolate_reference)
interpolate_hessian = ops.pick(
    "splines_interpolate_hessian", interpolate_hessian_native, interpolate_hessian_reference
)
