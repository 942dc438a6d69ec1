// All iterations of mean field, fused: slice, local update, softmax and splat in one pass over the pixels, then blur and
// label matrices over the vertices. The equations are those of crfrnn/meanfield.py; derivative and layout: crfrnn/fused.py.
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
NOINLINE void read_tile(const Labels<const T>& map, int64_t points_per_image, int64_t first, int64_t count, int64_t labels,
                        int64_t columns, T padding, T* rows) {
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
// Either `full` [segments, labels, columns], or the outer product of `left` and `right` plus a diagonal, [segments, columns]
// each and between the same labels, as Potts has it, which costs less.
template <class T>
struct Matrices {
    const T *full, *left, *right, *diagonal;
};

// to [rows, to_columns] = from [rows, from_columns] times the matrix of each segment.
template <class T>
NOINLINE void transform_rows(const Worker& worker, int64_t segments, const int64_t* segment_start,
                             const Matrices<T>& matrices, int64_t from_labels, const T* from, int64_t from_columns, T* to,
                             int64_t to_columns) {
    constexpr int ROWS = 4;
    for (int64_t s = 0; s < segments; ++s) {
        const int64_t size = segment_start[s + 1] - segment_start[s];
        const int64_t begin = segment_start[s] + worker.begin(size), end = segment_start[s] + worker.end(size);
        if (!matrices.full) {
            using V = Vectors<T>;
            const T *left = matrices.left + s * to_columns, *right = matrices.right + s * to_columns;
            const T* diagonal = matrices.diagonal + s * to_columns;
            for (int64_t row = begin; row < end; ++row) {
                const T* source = from + row * to_columns;
                typename V::vector sum{};
                for (int64_t c = 0; c < to_columns; c += V::width) {
                    sum = multiply_add<T>(V::load(left + c), V::load(source + c), sum);
                }
                const typename V::vector common = V::splat(sum_of<T>(sum));
                for (int64_t c = 0; c < to_columns; c += V::width) {
                    const typename V::vector own = V::load(diagonal + c) * V::load(source + c);
                    V::store(to + row * to_columns + c, multiply_add<T>(common, V::load(right + c), own));
                }
            }
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

// gradient [segments, from, to_columns] += sum over rows of outer(from row, to row).
template <class T>
NOINLINE void add_outer_products(const Worker& worker, const Model<T>& model, const T* from, const T* to, int64_t columns,
                               T* gradient) {
    for (int64_t s = 0; s < model.segments; ++s) {
        T* matrix = gradient + s * model.labels * columns;
        const int64_t size = model.segment_start[s + 1] - model.segment_start[s];
        const int64_t begin = model.segment_start[s] + worker.begin(size), end = model.segment_start[s] + worker.end(size);
        for (int64_t row = begin; row < end; ++row) {
            const T *left = from + row * columns, *right = to + row * columns;
            for_blocks<T>(columns, [&](auto size, int64_t c) {
                using B = Block<T, size()>;
                const B value = B::load(right + c);
                for (int64_t l = 0; l < model.labels; ++l) {
                    B sum = B::load(matrix + l * columns + c);
                    sum.add(value, left[l]);
                    sum.store(matrix + l * columns + c);
                }
            });
        }
    }
}

// peaks [threads, images, columns], which hold zeros: the largest softmax(unary) of every label, one part per worker.
template <class T>
void peak_beliefs(Labels<const T> unary, int64_t images, int64_t points_per_image, int64_t labels, T* peaks, int threads) {
    const int64_t columns = padded<T>(labels);
    in_parallel(threads, [&](Worker worker) {
        std::vector<T> tile(TILE * columns);
        for (int64_t image = 0; image < images; ++image) {
            T* peak = peaks + (worker.number * images + image) * columns;
            const int64_t end = image * points_per_image + worker.end(points_per_image);
            for (int64_t i = image * points_per_image + worker.begin(points_per_image); i < end; i += TILE) {
                const int64_t count = std::min(TILE, end - i);
                read_tile(unary, points_per_image, i, count, labels, columns, -std::numeric_limits<T>::infinity(),
                          tile.data());
                softmax(tile.data(), count, columns);
                for (int64_t j = 0; j < count; ++j) {
                    for (int64_t c = 0; c < columns; ++c) peak[c] = std::max(peak[c], tile[j * columns + c]);
                }
            }
        }
    });
}

// Rows that have to live as long as the call; kept ones are for the backward pass.
template <class T>
struct Buffers {
    T* unary;    // [points, columns]
    T* const* blurred;  // T or 1 of [rows, columns]
    T* sliced;   // [rows, the wider of columns and final columns]
    T* const* beliefs;  // T or 1 of [points, columns], or null where nothing is kept
    T* logits;   // [points, columns], or null without a tolerance
    bool keep;
};

template <class T>
inline bool all_below(const std::vector<T>& values, T limit) {
    for (const T value : values) {
        if (value > limit) return false;
    }
    return true;
}

// Runs until `iterations` or until no belief changed by more than `tolerance` (if that is >= 0); returns how many were run.
//
// `unary` and the matrices are of the labels that take part; with `fewer_labels` than all, `final_matrices` lead from them to
// all and `final_unary` is that of all labels. Else both are as the first ones, and `out` holds all labels after the last iteration.
template <class T>
int64_t mean_field(const Model<T>& model, Labels<const T> unary, Labels<const T> final_unary, bool fewer_labels,
                   int64_t iterations, T tolerance,
                   const Matrices<T>& matrices, const Matrices<T>& final_matrices, int64_t final_labels, Labels<T> out, Buffers<T> buffers,
                   int threads) {
    const Tables& tables = model.tables;
    const int64_t columns = padded<T>(model.labels), final_columns = padded<T>(final_labels);
    const int64_t points_per_image = tables.points / model.images;
    std::vector<T> changes(std::max(threads, 1), T(0));
    std::vector<int64_t> done(std::max(threads, 1), iterations);
    in_parallel(threads, [&](Worker worker) {
        const Filter<T> filter{tables, columns, worker};
        std::vector<T> scratch(TILE * std::max(columns, final_columns)), all(TILE * final_columns);
        const auto clear = [&](T* rows) { clear_rows(worker, model, rows, columns); };

        clear(buffers.blurred[0]);
        worker.wait();
        for (int64_t t = 0;; ++t) {
            const int64_t own = buffers.keep ? std::min(t, iterations - 1) : 0;
            T* rows = buffers.blurred[own];
            T* kept = buffers.beliefs ? buffers.beliefs[own] : nullptr;
            T change = 0;
            // Local update and softmax; the last iteration needs neither softmax nor splat.
            for_tiles(tables, worker, points_per_image, [&](int64_t first, int64_t count) {
                T* tile = scratch.data();
                if (t == iterations) {
                    slice_points(tables, first, count, buffers.sliced, model.slice_weights, final_columns, tile);
                    const T* logits = buffers.unary + first * columns;
                    if (fewer_labels) {
                        read_tile(final_unary, points_per_image, first, count, final_labels, final_columns, T(0), all.data());
                        logits = all.data();
                    }
                    for (int64_t c = 0; c < count * final_columns; ++c) tile[c] = logits[c] - tile[c];
                    write_tile(out, points_per_image, first, count, final_labels, final_columns, tile);
                    return;
                }
                T* logits = buffers.unary + first * columns;
                const int64_t size = count * columns;
                if (t == 0) {
                    read_tile(unary, points_per_image, first, count, model.labels, columns,
                              -std::numeric_limits<T>::infinity(), logits);
                    std::copy(logits, logits + size, tile);
                } else {
                    slice_points(tables, first, count, buffers.sliced, model.slice_weights, columns, tile);
                    for (int64_t c = 0; c < size; ++c) tile[c] = logits[c] - tile[c];
                }
                if (buffers.logits) std::copy(tile, tile + size, buffers.logits + first * columns);
                softmax(tile, count, columns);
                if (kept) {
                    T* before = kept + first * columns;
                    if (buffers.logits && t > 0) {
                        for (int64_t c = 0; c < size; ++c) change = std::max(change, std::abs(tile[c] - before[c]));
                    }
                    std::copy(tile, tile + size, before);
                }
                splat_points(tables, first, count, tile, model.splat_weights, columns, rows);
            });
            if (t == iterations) break;
            changes[worker.number] = change;
            worker.wait();
            if (tolerance >= 0 && t > 0 && all_below(changes, tolerance)) {
                done[worker.number] = t;
                for_tiles(tables, worker, points_per_image, [&](int64_t first, int64_t count) {
                    write_tile(out, points_per_image, first, count, model.labels, columns, buffers.logits + first * columns);
                });
                break;
            }
            filter.collect(rows);
            worker.wait();
            filter.blur(rows, false);
            filter.spread(rows);
            worker.wait();
            const bool last = t + 1 == iterations;
            transform_rows(worker, model.segments, model.segment_start, last ? final_matrices : matrices, model.labels, rows,
                           columns, buffers.sliced, last ? final_columns : columns);
            // Rows are transformed one by one, so that this worker's own may be cleared for the next splat at once.
            if (!last) clear(buffers.keep ? buffers.blurred[t + 1] : rows);
            worker.wait();
        }
    });
    return done[0];
}

// The derivative of `mean_field` with all labels and all iterations, from what it kept.
//
// gradient_out -> gradient_unary, and gradient_matrices [threads, segments, labels, columns] where not null, one part per
// worker. It destroys no kept buffer but `sliced` and `work`.
template <class T>
void mean_field_backward(const Model<T>& model, Labels<const T> gradient_out, int64_t iterations, const Matrices<T>& transposed,
                         Buffers<T> buffers, T* work, T* total, Labels<T> gradient_unary, T* gradient_matrices,
                         int threads) {
    const Tables& tables = model.tables;
    const int64_t columns = padded<T>(model.labels), points_per_image = tables.points / model.images;
    in_parallel(threads, [&](Worker worker) {
        const Filter<T> filter{tables, columns, worker};
        std::vector<T> gradient(TILE * columns);
        T* own_gradient =
            gradient_matrices ? gradient_matrices + worker.number * model.segments * model.labels * columns : nullptr;

        clear_rows(worker, model, work, columns);
        worker.wait();
        for (int64_t t = iterations;; --t) {
            const T* beliefs = t < iterations ? buffers.beliefs[t] : nullptr;
            for_tiles(tables, worker, points_per_image, [&](int64_t first, int64_t count) {
                if (t == iterations) {
                    read_tile(gradient_out, points_per_image, first, count, model.labels, columns, T(0),
                              total + first * columns);
                }
                T *tile = gradient.data(), *sum = total + first * columns;
                const int64_t size = count * columns;
                if (t == iterations) {
                    for (int64_t c = 0; c < size; ++c) tile[c] = -sum[c];
                } else {
                    slice_points(tables, first, count, buffers.sliced, model.splat_weights, columns, tile);
                    softmax_backward(tile, beliefs + first * columns, count, columns);
                    for (int64_t c = 0; c < size; ++c) {
                        sum[c] += tile[c];
                        tile[c] = -tile[c];
                    }
                }
                if (t > 0) splat_points(tables, first, count, tile, model.slice_weights, columns, work);
            });
            if (t == 0) break;
            worker.wait();
            filter.collect(work);
            worker.wait();
            if (own_gradient) {
                add_outer_products(worker, model, buffers.blurred[t - 1], work, columns,
                                   own_gradient);
            }
            transform_rows(worker, model.segments, model.segment_start, transposed, model.labels, work, columns,
                           buffers.sliced, columns);
            clear_rows(worker, model, work, columns);
            worker.wait();
            filter.blur(buffers.sliced, true);
            filter.spread(buffers.sliced);
            worker.wait();
        }
        for_tiles(tables, worker, points_per_image, [&](int64_t first, int64_t count) {
            write_tile(gradient_unary, points_per_image, first, count, model.labels, columns, total + first * columns);
        });
    });
}

}  // namespace crfrnn
