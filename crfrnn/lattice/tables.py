"""Integer tables of a lattice: which point touches which vertex, and which vertices are neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.weak import WeakTensorKeyDictionary

from crfrnn.lattice import operators
from crfrnn.lattice.embed import simplices
from crfrnn.lattice.keys import plan_packing

# Longest run of pairs that one GPU thread sums.
PART_PAIRS = 64


@dataclass(frozen=True, eq=False)
class Tables:
    """Tables of M points with P vertices each, over V vertices and A blur axes; indices are int32 where they fit."""

    slice_index: Tensor  # [M, P] the vertices of every point
    pair_order: Tensor  # [M * P] positions in slice_index.flatten(), sorted by vertex
    pair_point: Tensor  # [M * P] the point of every pair in that order
    bag_start: Tensor  # [V] where the pairs of each vertex begin in that order
    blur_index: Tensor  # [A, V, 3] the vertex itself, the next and the previous one; itself in place of a missing one
    blur_weights: Tensor  # [A, V, 3] 1, then 1/2 or, for a missing neighbor, 0
    side_weights: Tensor | None = None  # [A, V] what the blur takes in place of 1/2, differentiable
    _sorted: WeakTensorKeyDictionary = field(default_factory=WeakTensorKeyDictionary, repr=False)

    @property
    def num_vertices(self) -> int:
        return self.bag_start.shape[0]

    @property
    def next_row(self) -> Tensor:
        """[A, V] the next vertex along each axis, or -1."""
        return torch.where(self.blur_weights[..., 1] > 0, self.blur_index[..., 1], -1)

    @cached_property
    def parts(self) -> tuple[Tensor, Tensor]:
        """Bags cut into parts of at most PART_PAIRS pairs: where each begins, and [V + 1] where those of each vertex begin.

        There are V + M P // PART_PAIRS of them, which the host knows without waiting for a device: with s pairs before its
        own, the parts of vertex v begin with number v + s // PART_PAIRS. So a vertex may have a part more than it needs,
        which is empty. To leave all of these over at the end would keep one thread of a GPU busy long after the others.
        """
        pairs, vertices = self.pair_point.shape[0], self.num_vertices
        bounds = torch.cat([self.bag_start, self.bag_start.new_full((1,), pairs)])
        part_start = torch.arange(vertices + 1, dtype=bounds.dtype, device=bounds.device) + bounds // PART_PAIRS
        part = torch.arange(vertices + pairs // PART_PAIRS, dtype=bounds.dtype, device=bounds.device)
        vertex = torch.searchsorted(part_start, part, right=True) - 1
        begin = bounds[vertex] + PART_PAIRS * (part - part_start[vertex])
        return torch.minimum(begin, bounds[vertex + 1]), part_start

    def sorted_weights(self, weights: Tensor) -> Tensor:
        """Pair weights [M, P] in the order of the splat [M * P], without gradient.

        All iterations of a mean field splat with the same weights, so the permuted copy is remembered for as long as
        the weights live and are not written to. Tensors made in inference mode do not count writes and are not
        remembered; writes through `.data` are not counted either and must be avoided.
        """
        if weights.is_inference():
            return self._permute(weights)
        version, permuted = self._sorted.get(weights, (None, None))
        if permuted is None or version != weights._version:
            permuted = self._permute(weights)
            self._sorted[weights] = (weights._version, permuted)
        return permuted

    def _permute(self, weights: Tensor) -> Tensor:
        return weights.detach().reshape(-1).index_select(0, self.pair_order)

    def splat(self, values: Tensor, weights: Tensor) -> Tensor:
        return operators.splat(self, values, weights)

    def blur(self, vertices: Tensor, reverse: bool = False) -> Tensor:
        if self.side_weights is None:
            return operators.blur(self, vertices, reverse=reverse)
        return operators.blur_with(self, vertices, self.side_weights, reverse=reverse)

    def with_side_weights(self, side_weights: Tensor) -> Tables:
        return replace(self, side_weights=side_weights[:, None].expand(-1, self.num_vertices))

    def slice(self, vertices: Tensor, weights: Tensor) -> Tensor:
        return operators.slice_(self, vertices, weights)

    def row_sums(self, weights: Tensor) -> None:
        return None

    def fold(self, weights: Sequence[Tensor], factors: Sequence[Tensor | None]) -> None:
        return None

    def repeat(self, batch: int) -> Tables:
        points, corners = self.slice_index.shape
        count = self.num_vertices
        index_dtype = narrowest_index(batch * max(points * corners, count))

        def copies(index: Tensor, dim: int, stride: int) -> Tensor:
            offset = torch.arange(batch, dtype=index_dtype, device=index.device) * stride
            shifted = index.to(index_dtype).unsqueeze(dim) + offset.view([-1] + [1] * (index.ndim - dim))
            return shifted.flatten(dim, dim + 1)

        return Tables(
            slice_index=copies(self.slice_index, 0, count),
            pair_order=copies(self.pair_order, 0, points * corners),
            pair_point=copies(self.pair_point, 0, points),
            bag_start=copies(self.bag_start, 0, points * corners),
            blur_index=copies(self.blur_index, 1, count),
            blur_weights=self.blur_weights.repeat(1, batch, 1),
            side_weights=None if self.side_weights is None else self.side_weights.repeat(1, batch),
        )

    @staticmethod
    def stack(parts: Sequence[Tables], dtype: torch.dtype) -> Tables:
        """As of `LatticeTables`. A lattice with fewer axes than the others passes unchanged through their last ones."""
        points = parts[0].slice_index.shape[0]
        corners = [part.slice_index.shape[1] for part in parts]
        index_dtype = narrowest_index(max(points * sum(corners), sum(part.num_vertices for part in parts)))
        slices, orders, pair_points, bags, blurs, blur_weights = [], [], [], [], [], []
        first_vertex = first_corner = first_pair = 0
        for part, width in zip(parts, corners, strict=True):
            slices.append(part.slice_index.to(index_dtype) + first_vertex)
            point = part.pair_point.to(index_dtype)
            orders.append(part.pair_order + point * (sum(corners) - width) + first_corner)
            pair_points.append(point)
            bags.append(part.bag_start.to(index_dtype) + first_pair)
            index, weights = _pass_through(part, max(corners) - width)
            blurs.append(index.to(index_dtype) + first_vertex)
            blur_weights.append(weights)
            first_vertex += part.num_vertices
            first_corner += width
            first_pair += points * width
        return Tables(
            slice_index=torch.cat(slices, 1),
            pair_order=torch.cat(orders),
            pair_point=torch.cat(pair_points),
            bag_start=torch.cat(bags),
            blur_index=torch.cat(blurs, 1),
            blur_weights=torch.cat(blur_weights, 1),
            side_weights=_stacked_side_weights(parts, max(corners)),
        )


def build_plain(features: Tensor, *, dilate: bool) -> tuple[Tensor, Tensor, Tables]:
    """Weights [M, D + 1], axes [D, M] and tables for features [B, N, D] in plain torch, on any device.

    Raises:
        ValueError: the features are not finite or too large for their type; see `plan_packing`.
    """
    simplex = simplices(features.flatten(0, 1))
    packing = plan_packing(simplex.corner.amin(1), simplex.corner.amax(1), features, dilate)
    tables = build_tables(packing.pack(simplex, features.shape[0]), packing.steps, features.dtype, dilate=dilate)
    return simplex.weights, simplex.axes.to(torch.uint8), tables


def build_tables(keys: Tensor, steps: list[int], dtype: torch.dtype, *, dilate: bool) -> Tables:
    """Tables for points whose vertices have the given keys [M, P].

    Args:
        keys: packed vertices; equal keys are one vertex.
        steps: what one step along each blur axis adds to a key.
        dtype: floating type of the blur weights.
        dilate: also add every vertex one step away from those that the points touch.
    """
    points, corners = keys.shape
    index_dtype = narrowest_index(keys.numel() * (1 + 2 * len(steps) if dilate else 1))
    sorted_keys, pair_order = torch.sort(keys.flatten(), stable=True)
    starts_bag = torch.ones_like(sorted_keys, dtype=torch.bool)
    torch.ne(sorted_keys[1:], sorted_keys[:-1], out=starts_bag[1:])
    bag_start = starts_bag.nonzero().squeeze(1)
    vertex_keys = sorted_keys[bag_start]
    pair_vertex = starts_bag.cumsum(0, dtype=index_dtype).sub_(1)

    if dilate:
        touched = vertex_keys
        vertex_keys = torch.cat([touched + step for step in _both_ways(steps)] + [touched]).unique()
        pair_vertex = torch.searchsorted(vertex_keys, touched).to(index_dtype)[pair_vertex]
        # An added vertex has an empty bag: it starts where the next touched vertex does.
        end = bag_start.new_full((1,), keys.numel())
        bag_start = torch.cat([bag_start, end])[torch.searchsorted(touched, vertex_keys)]

    slice_index = torch.empty_like(pair_vertex).scatter_(0, pair_order, pair_vertex)
    blur_index, blur_weights = _neighbors(vertex_keys, steps, index_dtype, dtype)
    return Tables(
        slice_index=slice_index.view(points, corners),
        pair_order=pair_order.to(index_dtype),
        pair_point=pair_order.div(corners, rounding_mode="floor").to(index_dtype),
        bag_start=bag_start.to(index_dtype),
        blur_index=blur_index,
        blur_weights=blur_weights,
    )


def narrowest_index(count: int) -> torch.dtype:
    """The narrower of int32 and int64 that can index `count` entries."""
    return torch.int32 if count < 2**31 else torch.int64


def _both_ways(steps: list[int]) -> list[int]:
    return steps + [-step for step in steps]


def _neighbors(
    vertex_keys: Tensor, steps: list[int], index_dtype: torch.dtype, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Blur tables [A, V, 3] from ascending vertex keys [V]: search every next vertex, and mirror it to the previous."""
    count = vertex_keys.shape[0]
    own = torch.arange(count, dtype=index_dtype, device=vertex_keys.device).expand(len(steps), -1)
    # Filled in on the device: the host would wait for a copy.
    wanted = vertex_keys + torch.stack([vertex_keys.new_full((1,), step) for step in steps])
    found = torch.searchsorted(vertex_keys, wanted).clamp_(max=count - 1)
    exists = vertex_keys[found] == wanted
    after = torch.where(exists, found, own).to(index_dtype)
    # Vertices without a next one write into a column beyond the last, which is dropped.
    before = torch.cat([own, own[:, :1]], 1).scatter_(1, torch.where(exists, found, count), own)[:, :-1]
    present = torch.stack([torch.ones_like(exists), exists, before != own], 2)
    halves = torch.where(torch.arange(3, device=own.device) > 0, 0.5, 1.0).to(dtype)
    return torch.stack([own, after, before], 2), present * halves


def _pass_through(part: Tables, extra: int) -> tuple[Tensor, Tensor]:
    """The blur tables of `part` with `extra` axes along which no vertex has a neighbor."""
    own = part.blur_index[:1, :, :1].expand(extra, -1, 3)
    weights = torch.zeros_like(own, dtype=part.blur_weights.dtype)
    weights[..., 0] = 1
    return torch.cat([part.blur_index, own]), torch.cat([part.blur_weights, weights])


def _stacked_side_weights(parts: Sequence[Tables], axes: int) -> Tensor | None:
    """The side weights of all parts [axes, V], those of a part without any being 1/2; None where no part has any."""
    if all(part.side_weights is None for part in parts):
        return None
    columns = []
    for part in parts:
        own = part.blur_weights.new_full(part.blur_weights.shape[:2], 0.5)
        given = own if part.side_weights is None else part.side_weights
        columns.append(pad(given, (0, 0, 0, axes - len(given))))
    return torch.cat(columns, 1)
