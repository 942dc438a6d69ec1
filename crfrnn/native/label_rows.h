// What lies between maps of labels and the rows of the lattice: tiles of pixels, and label matrices over the vertices.
#pragma once

#include <limits>

#include "lattice_filter.h"

namespace crfrnn {

// A map of labels [images, labels, points per image] as pixel rows; every stride in numbers.
template <class T>
struct Labels {
    T* data;
    int64_t image_stride, label_stride, point_stride;

    T* at(int64_t image, int64_t point) const { return data + image * image_stride + point * point_stride; }
};

// What every iteration uses. Matrices [segments, from, to]: row_out = row_in times the matrix of its segment.
template <class T>
struct Model {
    Tables tables;
    int64_t images, labels;
    const T *splat_weights, *slice_weights;  // [points, corners]
    int64_t segments;
    const int64_t* segment_start;  // [segments + 1] rows
};

// Rows of `count` points of one image from a map.
template <class T>
NOINLINE void read_tile(const Labels<const T>& map, int64_t points_per_image, int64_t first, int64_t count,
                        int64_t labels, int64_t columns, T padding, T* rows) {
    const T* base = map.at(first / points_per_image, first % points_per_image);
    for (int64_t i = 0; i < count; ++i) std::fill(rows + i * columns + labels, rows + (i + 1) * columns, padding);
    for (int64_t l = 0; l < labels; ++l) {
        const T* from = base + l * map.label_stride;
        for (int64_t i = 0; i < count; ++i) rows[i * columns + l] = from[i * map.point_stride];
    }
}

template <class T>
NOINLINE void write_tile(const Labels<T>& map, int64_t points_per_image, int64_t first, int64_t count, int64_t labels,
                         int64_t columns, const T* rows) {
    T* base = map.at(first / points_per_image, first % points_per_image);
    for (int64_t l = 0; l < labels; ++l) {
        T* to = base + l * map.label_stride;
        for (int64_t i = 0; i < count; ++i) to[i * map.point_stride] = rows[i * columns + l];
    }
}

// Calls body(first, count) for the points of this worker's chunks, tile by tile; a tile lies in one image.
template <class Body>
inline void for_tiles(const Tables& tables, const Worker& worker, int64_t points_per_image, const Body& body) {
    for (int64_t k = worker.begin(tables.chunks); k < worker.end(tables.chunks); ++k) {
        for (int64_t i = tables.chunk_start[k]; i < tables.chunk_start[k + 1];) {
            const int64_t image_end = (i / points_per_image + 1) * points_per_image;
            const int64_t end = std::min(std::min(i + TILE, image_end), tables.chunk_start[k + 1]);
            body(i, end - i);
            i = end;
        }
    }
}

// Zeros in this worker's share of every segment, the same share that `transform_rows` gives it.
template <class T>
inline void clear_rows(const Worker& worker, const Model<T>& model, T* rows, int64_t columns) {
    for (int64_t s = 0; s < model.segments; ++s) {
        const int64_t first = model.segment_start[s], size = model.segment_start[s + 1] - first;
        std::fill(rows + (first + worker.begin(size)) * columns, rows + (first + worker.end(size)) * columns, T(0));
    }
}

// Label matrices, one for each segment: row_out = row_in times it.
//
// Either `full` [segments, labels, columns], or the outer product of `left` and `right` plus a diagonal, [segments,
// columns] each and between the same labels, as Potts has it, which costs less.
template <class T>
struct Matrices {
    const T *full, *left, *right, *diagonal;
};

// to [rows, to_columns] = from [rows, from_columns] times the matrix of each segment.
template <class T>
NOINLINE void transform_rows(const Worker& worker, int64_t segments, const int64_t* segment_start,
                             const Matrices<T>& matrices, int64_t from_labels, const T* from, int64_t from_columns,
                             T* to, int64_t to_columns) {
    constexpr int ROWS = 4;
    for (int64_t s = 0; s < segments; ++s) {
        const int64_t size = segment_start[s + 1] - segment_start[s];
        const int64_t begin = segment_start[s] + worker.begin(size), end = segment_start[s] + worker.end(size);
        if (!matrices.full) {
            const T *left = matrices.left + s * to_columns, *right = matrices.right + s * to_columns;
            const T* diagonal = matrices.diagonal + s * to_columns;
            with_vectors<T>(to_columns, [&](auto vectors) {
                using V = decltype(vectors);
                constexpr int BYTES = sizeof(typename V::vector);
                for (int64_t row = begin; row < end; ++row) {
                    const T* source = from + row * to_columns;
                    typename V::vector sum{};
                    for (int64_t c = 0; c < to_columns; c += V::width) {
                        sum = multiply_add<T, BYTES>(V::load(left + c), V::load(source + c), sum);
                    }
                    const typename V::vector common = V::splat(sum_of<T, BYTES>(sum));
                    for (int64_t c = 0; c < to_columns; c += V::width) {
                        const typename V::vector own = V::load(diagonal + c) * V::load(source + c);
                        V::store(to + row * to_columns + c, multiply_add<T, BYTES>(common, V::load(right + c), own));
                    }
                }
            });
            continue;
        }
        const T* matrix = matrices.full + s * from_labels * to_columns;
        for (int64_t row = begin; row < end; row += ROWS) {
            const int64_t used = std::min<int64_t>(ROWS, end - row);
            const T* source[ROWS];
            for (int64_t r = 0; r < ROWS; ++r) source[r] = from + (row + std::min(r, used - 1)) * from_columns;
            for_blocks<T>(to_columns, [&](auto size, int64_t c) {
                using B = Block<T, size()>;
                B sum[ROWS] = {};
                for (int64_t l = 0; l < from_labels; ++l) {
                    const B weights = B::load(matrix + l * to_columns + c);
                    for (int r = 0; r < ROWS; ++r) sum[r].add(weights, source[r][l]);
                }
                for (int64_t r = 0; r < used; ++r) sum[r].store(to + (row + r) * to_columns + c);
            });
        }
    }
}

}  // namespace crfrnn
