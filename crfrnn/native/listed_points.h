// Splat and slice of some of the points, and what tells which of them, and which rows, have changed.
#pragma once

#include "label_rows.h"

namespace crfrnn {

// The rows of a listed point a little ahead of the one in hand.
template <class T>
inline void prefetch_listed(const Tables& tables, int64_t first, const int32_t* listed, int64_t left, const T* rows,
                            int64_t stride) {
    constexpr int64_t AHEAD = 6;
    if (left <= AHEAD) return;
    const int32_t* index = tables.index + (first + listed[AHEAD]) * tables.corners;
    for (int64_t p = 0; p < tables.corners; ++p) {
        const char* row = reinterpret_cast<const char*>(rows + index[p] * stride);
        __builtin_prefetch(row);
        if (stride * int64_t(sizeof(T)) > 64) __builtin_prefetch(row + 64);
    }
}

// As `slice_points`, for the points first + listed[j]; `minuend` [points, columns].
template <class T>
NOINLINE void slice_listed(const Tables& tables, int64_t first, const int32_t* listed, int64_t count, const T* rows,
                           const T* weights, int64_t columns, T* out, const T* minuend) {
    for_blocks_and_corners<T>(columns, tables.corners, [&](auto size, auto corners, int64_t c) {
        using B = Block<T, size()>;
        const int64_t stride = size() ? columns : B::V::width, last = corners;
        for (int64_t j = 0; j < count; ++j) {
            const int32_t* index = tables.index + (first + listed[j]) * last;
            const T* weight = weights + (first + listed[j]) * last;
            prefetch_listed(tables, first, listed + j, count - j, rows + c, stride);
            B sum{};
#pragma GCC unroll 3
            for (int64_t p = 0; p < last; ++p) sum.add(B::load(rows + c + index[p] * stride), weight[p]);
            sum = sum.subtracted_from(B::load(minuend + c + (first + listed[j]) * stride));
            sum.store(out + c + j * stride);
        }
    });
}

// As `splat_points`, for the points first + listed[j]; touches the rows.
template <class T>
NOINLINE void splat_listed(const Tables& tables, int64_t first, const int32_t* listed, int64_t count, const T* values,
                           const T* weights, int64_t columns, T* rows, uint8_t* touched) {
    for_blocks_and_corners<T>(columns, tables.corners, [&](auto size, auto corners, int64_t c) {
        using B = Block<T, size()>;
        const int64_t stride = size() ? columns : B::V::width, last = corners;
        for (int64_t j = 0; j < count; ++j) {
            const int32_t* index = tables.index + (first + listed[j]) * last;
            const T* weight = weights + (first + listed[j]) * last;
            prefetch_listed<T>(tables, first, listed + j, count - j, rows + c, stride);
            const B value = B::load(values + c + j * stride);
#pragma GCC unroll 3
            for (int64_t p = 0; p < last; ++p) {
                T* row = rows + c + index[p] * stride;
                B sum = B::load(row);
                sum.add(value, weight[p]);
                sum.store(row);
                touched[index[p]] = 1;
            }
        }
    });
}

// The largest |a - b| of two rows, and the largest a, which is not negative.
template <class T>
struct Distance {
    T distance, largest;
};

template <class V, class T>
inline Distance<T> distance_of(const T* a, const T* b, int64_t columns) {
    typename V::vector distance{}, largest{};
    for (int64_t c = 0; c < columns; c += V::width) {
        const typename V::vector x = V::load(a + c), change = x - V::load(b + c);
        const typename V::vector size = change > -change ? change : -change;
        distance = distance > size ? distance : size;
        largest = largest > x ? largest : x;
    }
    Distance<T> out{0, 0};
    for (int n = 0; n < V::width; ++n) {
        out.distance = std::max(out.distance, distance[n]);
        out.largest = std::max(out.largest, largest[n]);
    }
    return out;
}

// The largest |a| of a row.
template <class T>
inline T largest_size(const T* a, int64_t columns) {
    T out = 0;
    with_vectors<T>(columns, [&](auto vectors) {
        using V = decltype(vectors);
        typename V::vector largest{};
        for (int64_t c = 0; c < columns; c += V::width) {
            const typename V::vector x = V::load(a + c), size = x > -x ? x : -x;
            largest = largest > size ? largest : size;
        }
        for (int n = 0; n < V::width; ++n) out = std::max(out, largest[n]);
    });
    return out;
}

// The matrix of one segment.
template <class T>
inline Matrices<T> of_segment(const Matrices<T>& matrices, int64_t segment, int64_t labels, int64_t columns) {
    if (matrices.full) return {matrices.full + segment * labels * columns, nullptr, nullptr, nullptr};
    const int64_t before = segment * columns;
    return {nullptr, matrices.left + before, matrices.right + before, matrices.diagonal + before};
}

}  // namespace crfrnn
