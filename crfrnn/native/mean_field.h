// All iterations of mean field, fused: slice, local update, softmax and splat in one pass over the pixels, then blur
// and label matrices over the vertices. The equations are those of crfrnn/meanfield.py; the derivative is in
// mean_field_backward.h.
#pragma once

#include "label_rows.h"

namespace crfrnn {

// peaks [threads, images, columns], which hold zeros: the largest softmax(unary) of every label, one part per worker.
template <class T>
void peak_beliefs(Labels<const T> unary, int64_t images, int64_t points_per_image, int64_t labels, T* peaks,
                  int threads) {
    const int64_t columns = padded<T>(labels);
    in_parallel(threads_for(threads, images * points_per_image * columns), [&](Worker worker) {
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
    T* unary;           // [points, columns]
    T* const* blurred;  // T or 1 of [rows, columns]
    T* sliced;          // [rows, the wider of columns and final columns]
    T* const* beliefs;  // T or 1 of [points, columns], or null where nothing is kept
    T* logits;          // [points, columns], or null without a tolerance
    bool keep;
};

template <class T>
inline bool all_below(const std::vector<T>& values, T limit) {
    for (const T value : values) {
        if (value > limit) return false;
    }
    return true;
}

// Runs until `iterations` or until no belief changed by more than `tolerance` (if that is >= 0); returns how many were
// run.
//
// `unary` and the matrices are of the labels that take part; with `fewer_labels` than all, `final_matrices` lead from
// them to all and `final_unary` is that of all labels. Else both are as the first ones, and `out` holds all labels
// after the last iteration.
template <class T>
int64_t mean_field(const Model<T>& model, Labels<const T> unary, Labels<const T> final_unary, bool fewer_labels,
                   int64_t iterations, T tolerance, const Matrices<T>& matrices, const Matrices<T>& final_matrices,
                   int64_t final_labels, Labels<T> out, Buffers<T> buffers, int threads) {
    const Tables& tables = model.tables;
    const int64_t columns = padded<T>(model.labels), final_columns = padded<T>(final_labels);
    const int64_t points_per_image = tables.points / model.images;
    threads = threads_for(threads, tables.points * columns);
    std::vector<T> changes(threads, T(0));
    std::vector<int64_t> done(threads, iterations);
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
            // The softmax of half vectors writes to one row more than it is given.
            const bool in_place = kept && !buffers.logits && columns >= Vectors<T>::width;
            // Local update and softmax; the last iteration needs neither softmax nor splat.
            for_tiles(tables, worker, points_per_image, [&](int64_t first, int64_t count) {
                T* tile = in_place && t < iterations ? kept + first * columns : scratch.data();
                if (t == iterations) {
                    const T* logits = buffers.unary + first * columns;
                    if (fewer_labels) {
                        read_tile(final_unary, points_per_image, first, count, final_labels, final_columns, T(0),
                                  all.data());
                        logits = all.data();
                    }
                    slice_points<T>(tables, first, count, buffers.sliced, model.slice_weights, final_columns, tile,
                                    logits);
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
                    slice_points<T>(tables, first, count, buffers.sliced, model.slice_weights, columns, tile, logits);
                }
                if (buffers.logits) std::copy(tile, tile + size, buffers.logits + first * columns);
                softmax(tile, count, columns);
                if (kept && !in_place) {
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
                    write_tile(out, points_per_image, first, count, model.labels, columns,
                               buffers.logits + first * columns);
                });
                break;
            }
            filter.collect(rows);
            worker.wait();
            filter.blur(rows, false);
            filter.spread(rows);
            worker.wait();
            const bool last = t + 1 == iterations;
            transform_rows(worker, model.segments, model.segment_start, last ? final_matrices : matrices, model.labels,
                           rows, columns, buffers.sliced, last ? final_columns : columns);
            // Rows are transformed one by one, so that this worker's own may be cleared for the next splat at once.
            if (!last) clear(buffers.keep ? buffers.blurred[t + 1] : rows);
            worker.wait();
        }
    });
    return done[0];
}

}  // namespace crfrnn
