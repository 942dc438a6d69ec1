"""The Triton kernels. Every sum runs in one fixed order, so that two runs are equal in every bit; there are no atomics.

A program takes BLOCK rows and COLUMNS of their columns. Rows are counted in 64 bits, for batches of many images.

Triton specializes neither on numbers of rows nor on where the table of an axis begins, which differ from image to image: it
would compile again. It compiles for each number of columns: where that is a multiple of 4, a thread loads 4 entries at once.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["count"])
def sum_rows(
    index, weights, rows, out, count,
    CHANNELS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """out_i = sum_k weights_ik rows_index(i, k), for index and weights [count, WIDTH]: the slice of a lattice."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    here = row < count
    mask = here[:, None] & (column < CHANNELS)[None, :]
    total = tl.zeros([BLOCK, COLUMNS], out.dtype.element_ty)
    for k in tl.static_range(WIDTH):
        source = tl.load(index + row * WIDTH + k, mask=here, other=0).to(tl.int64)
        weight = tl.load(weights + row * WIDTH + k, mask=here, other=0)
        total += weight[:, None] * tl.load(rows + source[:, None] * CHANNELS + column[None, :], mask=mask, other=0)
    tl.store(out + row[:, None] * CHANNELS + column[None, :], total, mask=mask)


@triton.jit(do_not_specialize=["count"])
def pair_products(
    index, rows, values, out, count,
    CHANNELS: tl.constexpr, ADD: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """out_ik = <rows_index(i, k), values_i>, added to `out` with ADD: the derivative of `sum_rows` to its weights."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = row < count
    for k in tl.static_range(WIDTH):
        source = tl.load(index + row * WIDTH + k, mask=here, other=0).to(tl.int64)
        total = tl.zeros([BLOCK], out.dtype.element_ty)
        for first in range(0, CHANNELS, COLUMNS):
            column = first + tl.arange(0, COLUMNS)
            mask = here[:, None] & (column < CHANNELS)[None, :]
            found = tl.load(rows + source[:, None] * CHANNELS + column[None, :], mask=mask, other=0)
            total += tl.sum(found * tl.load(values + row[:, None] * CHANNELS + column[None, :], mask=mask, other=0), 1)
        if ADD:
            total += tl.load(out + row * WIDTH + k, mask=here, other=0)
        tl.store(out + row * WIDTH + k, total, mask=here)


@triton.jit(do_not_specialize=["bags", "pairs"])
def sum_bags(
    begin, members, weights, rows, out, bags, pairs,
    CHANNELS: tl.constexpr, LISTED: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """out_b = the sum of weights_j rows_members(j) over begin_b <= j < begin_(b+1), the last bag ending at `pairs`.

    Without LISTED, member j is row j with weight 1, and `begin` has an entry more, where the last bag ends.
    """
    bag = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    here = bag < bags
    shown = (column < CHANNELS)[None, :]
    start = tl.load(begin + bag, mask=here, other=0).to(tl.int64)
    followed = here
    if LISTED:
        followed = bag + 1 < bags
    stop = tl.load(begin + bag + 1, mask=followed, other=pairs).to(tl.int64)
    size = tl.where(here, stop - start, 0)
    total = tl.zeros([BLOCK, COLUMNS], out.dtype.element_ty)
    for j in range(tl.max(size, 0)):
        source = start + j
        inside = j < size
        mask = inside[:, None] & shown
        if LISTED:
            weight = tl.load(weights + source, mask=inside, other=0)
            source = tl.load(members + source, mask=inside, other=0).to(tl.int64)
            found = tl.load(rows + source[:, None] * CHANNELS + column[None, :], mask=mask, other=0)
            total += weight[:, None] * found
        else:
            total += tl.load(rows + source[:, None] * CHANNELS + column[None, :], mask=mask, other=0)
    tl.store(out + bag[:, None] * CHANNELS + column[None, :], total, mask=here[:, None] & shown)


@triton.jit
def _blurred(neighbors, vertices, row, column, here, mask, CHANNELS: tl.constexpr):
    """in_v + (in_next(v) + in_previous(v)) / 2 of vertices v, the entries of `row`."""
    after = tl.load(neighbors + row * 3 + 1, mask=here, other=0).to(tl.int64)
    before = tl.load(neighbors + row * 3 + 2, mask=here, other=0).to(tl.int64)
    to_after, to_before = mask & (after != row)[:, None], mask & (before != row)[:, None]
    total = tl.load(vertices + row[:, None] * CHANNELS + column[None, :], mask=mask, other=0)
    total += 0.5 * tl.load(vertices + after[:, None] * CHANNELS + column[None, :], mask=to_after, other=0)
    total += 0.5 * tl.load(vertices + before[:, None] * CHANNELS + column[None, :], mask=to_before, other=0)
    return total


@triton.jit(do_not_specialize=["count"], do_not_specialize_on_alignment=["neighbors"])
def blur_axis(neighbors, vertices, out, count, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr):
    """out_v = in_v + (in_next(v) + in_previous(v)) / 2, for neighbors [count, 3]: v, next, previous; v for a missing one."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    here = row < count
    mask = here[:, None] & (column < CHANNELS)[None, :]
    total = _blurred(neighbors, vertices, row, column, here, mask, CHANNELS)
    tl.store(out + row[:, None] * CHANNELS + column[None, :], total, mask=mask)


@triton.jit(do_not_specialize=["count"], do_not_specialize_on_alignment=["neighbors"])
def blur_and_multiply(
    neighbors, vertices, stops, matrices, out, count,
    LABELS: tl.constexpr, KERNELS: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """What `blur_axis` gives, every row times a matrix: that of the first kernel m whose rows end beyond it, at stops_m.

    `stops` [KERNELS] and matrices [KERNELS, LABELS, LABELS]; COLUMNS is at least LABELS.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    column = tl.arange(0, COLUMNS)
    here = row < count
    mask = here[:, None] & (column < LABELS)[None, :]
    blurred = _blurred(neighbors, vertices, row, column, here, mask, LABELS)
    kernel = tl.zeros([BLOCK], tl.int32)
    for m in tl.static_range(KERNELS - 1):
        kernel += (row >= tl.load(stops + m)).to(tl.int32)
    total = tl.zeros([BLOCK, COLUMNS], out.dtype.element_ty)
    for m in tl.static_range(KERNELS):
        place = (m * LABELS + column)[:, None] * LABELS + column[None, :]
        inside = (column < LABELS)[:, None] & (column < LABELS)[None, :]
        matrix = tl.load(matrices + place, mask=inside, other=0)
        own = tl.where((kernel == m)[:, None], blurred, 0)
        total += tl.dot(own, matrix, input_precision="ieee", out_dtype=out.dtype.element_ty)
    tl.store(out + row[:, None] * LABELS + column[None, :], total, mask=mask)


@triton.jit(do_not_specialize=["count"])
def update(
    index, weights, vertices, unary, logits, beliefs, count,
    LABELS: tl.constexpr, LAST: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """x_i = unary_i - sum_k weights_ik vertices_index(i, k); logits = x if LAST, else beliefs = softmax(x).

    One program holds all labels of its pixels: COLUMNS is at least LABELS.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    column = tl.arange(0, COLUMNS)
    here = row < count
    shown = (column < LABELS)[None, :]
    mask = here[:, None] & shown
    total = tl.load(unary + row[:, None] * LABELS + column[None, :], mask=mask, other=0)
    for k in tl.static_range(WIDTH):
        source = tl.load(index + row * WIDTH + k, mask=here, other=0).to(tl.int64)
        weight = tl.load(weights + row * WIDTH + k, mask=here, other=0)
        total -= weight[:, None] * tl.load(vertices + source[:, None] * LABELS + column[None, :], mask=mask, other=0)
    if LAST:
        tl.store(logits + row[:, None] * LABELS + column[None, :], total, mask=mask)
    else:
        total = tl.where(shown, total, float("-inf"))
        likelihood = tl.exp(total - tl.max(total, 1)[:, None])
        likelihood = likelihood / tl.sum(likelihood, 1)[:, None]
        tl.store(beliefs + row[:, None] * LABELS + column[None, :], likelihood, mask=mask)


@triton.jit(do_not_specialize=["count"])
def update_backward(
    index, weights, vertices, beliefs, negated, total, to_weights, count,
    LABELS: tl.constexpr, LEARNED: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """With s_i = sum_k weights_ik vertices_index(i, k), the derivative to beliefs Q = softmax(x), that to x is
    g = Q (s - <s, Q>): negated = -g, and total += g. With LEARNED, to_weights_ik += <vertices_index(i, k), Q_i>.

    One program holds all labels of its pixels: COLUMNS is at least LABELS.
    """
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    column = tl.arange(0, COLUMNS)
    here = row < count
    mask = here[:, None] & (column < LABELS)[None, :]
    place = row[:, None] * LABELS + column[None, :]
    belief = tl.load(beliefs + place, mask=mask, other=0)
    slope = tl.zeros([BLOCK, COLUMNS], negated.dtype.element_ty)
    for k in tl.static_range(WIDTH):
        pair = row * WIDTH + k
        source = tl.load(index + pair, mask=here, other=0).to(tl.int64)
        found = tl.load(vertices + source[:, None] * LABELS + column[None, :], mask=mask, other=0)
        slope += tl.load(weights + pair, mask=here, other=0)[:, None] * found
        if LEARNED:
            before = tl.load(to_weights + pair, mask=here, other=0)
            tl.store(to_weights + pair, before + tl.sum(found * belief, 1), mask=here)
    slope = belief * (slope - tl.sum(slope * belief, 1)[:, None])
    tl.store(negated + place, -slope, mask=mask)
    tl.store(total + place, tl.load(total + place, mask=mask, other=0) + slope, mask=mask)
