// Splat and slice: from the rows of points to those of vertices and back. Every row is padded to whole vectors.
#pragma once

#include "vectors.h"

namespace crfrnn {

// The tables of one or several lattices over the same points; see crfrnn/lattice/compiled.py.
struct Tables {
    int64_t points, corners, rows, chunks, spills, axes;
    const int32_t* index;         // [points, corners] rows
    const int64_t* chunk_start;   // [chunks + 1] points
    const int32_t* spill_rows;    // [spills]
    const int32_t* spill_owners;  // [spills] rows
    const int64_t* axis_runs;     // [axes + 1] which runs belong to each axis
    const int32_t* run_start;     // [runs + 1] where each run begins in `members`
    const int32_t* members;       // rows
    // Of blurs that are not 1/2, 1, 1/2: the weight of either neighbor, for each part of the rows; else null.
    const double* side_weights;  // [parts, axes]
    const int64_t* part_stop;    // [parts] rows
};

// N vectors of a row, or half a vector where N is 0.
template <class T, int N>
struct Block {
    static constexpr int BYTES = N ? VECTOR_BYTES : VECTOR_BYTES / 2, PARTS = N ? N : 1;
    using V = Vectors<T, BYTES>;
    typename V::vector part[PARTS];

    static Block load(const T* from) {
        Block out;
        for (int n = 0; n < PARTS; ++n) out.part[n] = V::load(from + n * V::width);
        return out;
    }
    void store(T* to) const {
        for (int n = 0; n < PARTS; ++n) V::store(to + n * V::width, part[n]);
    }
    Block subtracted_from(const Block& other) const {
        Block out;
        for (int n = 0; n < PARTS; ++n) out.part[n] = other.part[n] - part[n];
        return out;
    }
    void add(const Block& other) {
        for (int n = 0; n < PARTS; ++n) part[n] += other.part[n];
    }
    void add(const Block& other, T factor) {
        const typename V::vector factors = V::splat(factor);
        for (int n = 0; n < PARTS; ++n) part[n] = multiply_add<T, BYTES>(other.part[n], factors, part[n]);
    }
};

// The rows of a point a little ahead of the one in hand; they may lie far apart in memory.
template <class T>
inline void prefetch_rows(const T* rows, int64_t stride, const int32_t* index, int64_t corners, int64_t points_left) {
    constexpr int64_t AHEAD = 6;
    if (points_left <= AHEAD) return;
    for (int64_t p = AHEAD * corners; p < (AHEAD + 1) * corners; ++p) {
        const char* row = reinterpret_cast<const char*>(rows + index[p] * stride);
        __builtin_prefetch(row);
        if (stride * int64_t(sizeof(T)) > 64) __builtin_prefetch(row + 64);
    }
}

// Calls body(size, corners, column) for the blocks of a row. Rows of few labels leave little work by corner, so there
// the compiler gets to know the number of corners where it is the most common, that of positions and positions with
// colors.
template <class T, class Body>
inline void for_blocks_and_corners(int64_t columns, int64_t corners, const Body& body) {
    for_blocks<T>(columns, [&](auto size, int64_t column) {
        if constexpr (size() == 0) {
            if (corners == 9) return body(size, std::integral_constant<int64_t, 9>{}, column);
        }
        body(size, corners, column);
    });
}

// out [count, columns] = sum_p weights_p rows[index_p] for the points from `first` on; or minuend [count, columns]
// minus that.
template <class T>
NOINLINE void slice_points(const Tables& tables, int64_t first, int64_t count, const T* rows, const T* weights,
                           int64_t columns, T* out, const T* minuend = nullptr) {
    for_blocks_and_corners<T>(columns, tables.corners, [&](auto size, auto corners, int64_t c) {
        using B = Block<T, size()>;
        const int64_t stride = size() ? columns : B::V::width, last = corners;
        const T* from = rows + c;
        T* to = out + c;
        for (int64_t i = 0; i < count; ++i) {
            const int32_t* index = tables.index + (first + i) * last;
            const T* weight = weights + (first + i) * last;
            prefetch_rows(from, stride, index, last, count - i);
            B sum{};
#pragma GCC unroll 3
            for (int64_t p = 0; p < last; ++p) sum.add(B::load(from + index[p] * stride), weight[p]);
            if (minuend) sum = sum.subtracted_from(B::load(minuend + c + i * stride));
            sum.store(to + i * stride);
        }
    });
}

// rows[index_p] += weights_p values [count, columns] for the points from `first` on.
template <class T>
NOINLINE void splat_points(const Tables& tables, int64_t first, int64_t count, const T* values, const T* weights,
                           int64_t columns, T* rows) {
    for_blocks_and_corners<T>(columns, tables.corners, [&](auto size, auto corners, int64_t c) {
        using B = Block<T, size()>;
        const int64_t stride = size() ? columns : B::V::width, last = corners;
        T* to = rows + c;
        for (int64_t i = 0; i < count; ++i) {
            const int32_t* index = tables.index + (first + i) * last;
            const T* weight = weights + (first + i) * last;
            prefetch_rows(to, stride, index, last, count - i);
            const B value = B::load(values + i * stride + c);
#pragma GCC unroll 3
            for (int64_t p = 0; p < last; ++p) {
                T* row = to + index[p] * stride;
                B sum = B::load(row);
                sum.add(value, weight[p]);
                sum.store(row);
            }
        }
    });
}

constexpr int64_t TILE = 64;  // points whose rows are held in the innermost cache at once

}  // namespace crfrnn
