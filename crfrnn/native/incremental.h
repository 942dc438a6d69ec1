// Mean field that computes again only what has changed: a pixel passes its beliefs on where they changed by more than a
// limit, and is looked at where its messages may have changed its beliefs by that much. See
// crfrnn/fused/incremental.py.
#pragma once

#include "listed_points.h"
#include "mean_field.h"
#include "memory.h"

namespace crfrnn {

constexpr float TINY = 1e-30f;  // as in crfrnn/fused/incremental.py

// What all workers share.
template <class T>
struct Incremental {
    const Model<T>& model;
    const Matrices<T>& matrices;
    T limit;  // of what a belief may differ from the one that was passed on
    int64_t columns;
    Array<T> unary, beliefs;  // [points, columns]: logits; beliefs as they were passed on
    Array<T> slack;           // [points] how much more the penalty may change before the limit may be passed
    Array<T> changes;         // [rows, columns] of the beliefs that were passed on, zeros between iterations
    Array<T> blurred;         // [rows, columns]: beliefs, or null where `final_matrices` are the same
    Array<T> sliced;          // [rows, the wider of columns and final columns]: penalties
    Array<T> moves;           // [rows] how much the penalty just changed
    Array<uint8_t> touched;   // [rows] where `changes` are not zeros

    Incremental(const Model<T>& model, const Matrices<T>& matrices, T limit, bool fewer_labels, int64_t final_columns)
        : model(model),
          matrices(matrices),
          limit(limit),
          columns(padded<T>(model.labels)),
          unary(model.tables.points * columns),
          beliefs(model.tables.points * columns),
          slack(model.tables.points),
          changes(model.tables.rows * columns),
          blurred(fewer_labels ? Array<T>(model.tables.rows * columns) : Array<T>()),
          sliced(model.tables.rows * std::max(columns, final_columns)),
          moves(model.tables.rows),
          touched(model.tables.rows) {}

    // The first iteration, of all points, from softmax(unary).
    void begin(const Worker& worker, const Filter<T>& filter, const Labels<const T>& map, int64_t points_per_image,
               T* tile) const {
        clear_rows<T>(worker, model, changes, columns);
        const int64_t first_row = worker.begin(model.tables.rows), last_row = worker.end(model.tables.rows);
        std::fill(touched + first_row, touched + last_row, uint8_t(0));
        worker.wait();
        for_tiles(model.tables, worker, points_per_image, [&](int64_t first, int64_t count) {
            T* logits = unary + first * columns;
            read_tile(map, points_per_image, first, count, model.labels, columns, -std::numeric_limits<T>::infinity(),
                      logits);
            // The softmax of half vectors writes to one row more than it is given.
            T *kept = beliefs + first * columns, *now = columns < Vectors<T>::width ? tile : kept;
            std::copy(logits, logits + count * columns, now);
            softmax(now, count, columns);
            if (now != kept) std::copy(now, now + count * columns, kept);
            splat_points<T>(model.tables, first, count, now, model.splat_weights, columns, changes);
        });
        worker.wait();
        filter.collect(changes);
        worker.wait();
        filter.blur(changes, false);
        filter.spread(changes);
        worker.wait();
        transform_rows<T>(worker, model.segments, model.segment_start, matrices, model.labels, changes, columns, sliced,
                          columns);
        if (blurred) copy_share(worker);
        clear_rows<T>(worker, model, changes, columns);
        worker.wait();
    }

    void copy_share(const Worker& worker) const {
        for (int64_t s = 0; s < model.segments; ++s) {
            const int64_t start = model.segment_start[s], size = model.segment_start[s + 1] - start;
            const int64_t first = (start + worker.begin(size)) * columns, last = (start + worker.end(size)) * columns;
            std::copy(changes + first, changes + last, blurred + first);
        }
    }

    // Which points of a tile have no slack left; in the first update, all.
    template <class Corners>
    int64_t list_points(int64_t first, int64_t count, Corners corners, bool first_update, int32_t* listed) const {
        int64_t size = 0;
        if (first_update) {
            for (; size < count; ++size) listed[size] = int32_t(size);
            return size;
        }
        for (int64_t j = 0; j < count; ++j) {
            const int64_t pair = (first + j) * corners;
            T sum = 0;
            for (int64_t p = 0; p < corners; ++p) {
                sum += model.slice_weights[pair + p] * moves[model.tables.index[pair + p]];
            }
            const T left = slack[first + j] - sum;
            slack[first + j] = left;
            listed[size] = int32_t(j);
            size += left < 0;
        }
        return size;
    }

    // The listed points compute their beliefs and pass on those that changed; returns the largest change passed on.
    T update(int64_t first, int32_t* listed, int64_t count, T* tile) const {
        slice_listed<T>(model.tables, first, listed, count, sliced, model.slice_weights, columns, tile, unary);
        softmax(tile, count, columns);
        T change = 0;
        int64_t passed_on = 0;
        for (int64_t j = 0; j < count; ++j) {
            const int64_t point = first + listed[j];
            T *before = beliefs + point * columns, *now = tile + j * columns, *to = tile + passed_on * columns;
            Distance<T> found;
            with_vectors<T>(columns,
                            [&](auto vectors) { found = distance_of<decltype(vectors)>(now, before, columns); });
            T left = limit;
            if (found.distance > limit) {
                change = std::max(change, found.distance);
                for (int64_t c = 0; c < columns; ++c) {
                    const T belief = now[c];
                    to[c] = belief - before[c];
                    before[c] = belief;
                }
                listed[passed_on++] = listed[j];
            } else {
                left -= found.distance;
            }
            slack[point] = left / (2 * found.largest * (1 - found.largest) + left + TINY);
        }
        splat_listed<T>(model.tables, first, listed, passed_on, tile, model.splat_weights, columns, changes, touched);
        return change;
    }

    // Returns the largest change of a belief that this worker's points passed on.
    T update_points(const Worker& worker, int64_t points_per_image, bool first_update, T* tile) const {
        T change = 0;
        for_tiles(model.tables, worker, points_per_image, [&](int64_t first, int64_t count) {
            int32_t listed[TILE];
            const int64_t size =
                model.tables.corners == 9
                    ? list_points(first, count, std::integral_constant<int64_t, 9>{}, first_update, listed)
                    : list_points(first, count, model.tables.corners, first_update, listed);
            if (size > 0) change = std::max(change, update(first, listed, size, tile));
        });
        return change;
    }

    // `Filter::collect` of the changes.
    void collect(const Worker& worker) const {
        const Tables& tables = model.tables;
        const int64_t from = worker.begin(tables.rows), to = worker.end(tables.rows);
        for (int64_t s = 0; s < tables.spills; ++s) {
            const int64_t owner = tables.spill_owners[s], spill = tables.spill_rows[s];
            if (owner < from || owner >= to || !touched[spill]) continue;
            T *source = changes + spill * columns, *row = changes + owner * columns;
            for (int64_t c = 0; c < columns; ++c) {
                row[c] += source[c];
                source[c] = 0;
            }
            touched[owner] = 1;
            touched[spill] = 0;
        }
    }

    // `Filter::blur` of the changes: a row changes where it or a neighbor is touched.
    void blur(const Filter<T>& filter) const {
        for (int64_t axis = 0; axis < model.tables.axes; ++axis) {
            filter.for_runs(axis, [&](const int32_t* members, int64_t size, T side) {
                const auto is_touched = [&](int64_t i) { return i < size && touched[members[i]]; };
                for (int64_t i = 0; i < size; ++i) {
                    if (!touched[members[i]]) continue;
                    const int64_t begin = std::max<int64_t>(0, i - 1);
                    while (is_touched(i) || is_touched(i + 1)) ++i;
                    const int64_t end = std::min(size, i + 1);
                    filter.blur_run(changes, members + begin, end - begin, side);
                    for (int64_t k = begin; k < end; ++k) touched[members[k]] = 1;
                }
            });
            filter.worker.wait();
        }
    }

    // `Filter::spread` of the changes.
    void spread(const Worker& worker) const {
        const Tables& tables = model.tables;
        for (int64_t s = worker.begin(tables.spills); s < worker.end(tables.spills); ++s) {
            const int64_t owner = tables.spill_owners[s], spill = tables.spill_rows[s];
            if (!touched[owner]) continue;
            std::memcpy(changes + spill * columns, changes + owner * columns, columns * sizeof(T));
            touched[spill] = 1;
        }
    }

    // Adds the changes, and finds the penalties again where there are any.
    void move_rows(const Worker& worker) const {
        std::vector<T> before(TILE * columns), after(TILE * columns);
        for (int64_t s = 0; s < model.segments; ++s) {
            const Matrices<T> matrix = of_segment(matrices, s, model.labels, columns);
            const int64_t start = model.segment_start[s], size = model.segment_start[s + 1] - start;
            const int64_t end = start + worker.end(size);
            for (int64_t row = start + worker.begin(size); row < end;) {
                int64_t listed[TILE], count = 0;
                for (; row < end && count < TILE; ++row) {
                    moves[row] = 0;
                    listed[count] = row;
                    count += touched[row];
                }
                move_listed(matrix, listed, count, before.data(), after.data());
            }
        }
    }

    void move_listed(const Matrices<T>& matrix, const int64_t* listed, int64_t count, T* beliefs, T* penalties) const {
        for (int64_t j = 0; j < count; ++j) {
            T *change = changes + listed[j] * columns, *copy = beliefs + j * columns;
            std::copy(change, change + columns, copy);
            std::fill(change, change + columns, T(0));
            if (blurred) add_row(copy, blurred + listed[j] * columns);
            touched[listed[j]] = 0;
        }
        const int64_t all[] = {0, count};
        transform_rows<T>(Worker{0, 1, nullptr}, 1, all, matrix, model.labels, beliefs, columns, penalties, columns);
        for (int64_t j = 0; j < count; ++j) {
            moves[listed[j]] = largest_size(penalties + j * columns, columns);
            add_row(penalties + j * columns, sliced + listed[j] * columns);
        }
    }

    void add_row(const T* from, T* to) const {
        for (int64_t c = 0; c < columns; ++c) to[c] += from[c];
    }
};

// As `mean_field` without a backward pass, with beliefs passed on where they changed by more than `limit`.
template <class T>
void incremental_mean_field(const Model<T>& model, Labels<const T> unary, Labels<const T> final_unary,
                            bool fewer_labels, int64_t iterations, T tolerance, T limit, const Matrices<T>& matrices,
                            const Matrices<T>& final_matrices, int64_t final_labels, Labels<T> out, int threads) {
    const Tables& tables = model.tables;
    const int64_t columns = padded<T>(model.labels), final_columns = padded<T>(final_labels);
    const int64_t points_per_image = tables.points / model.images;
    const Incremental<T> field(model, matrices, limit, fewer_labels, final_columns);
    threads = threads_for(threads, tables.points * columns);
    std::vector<T> largest(threads, T(0));
    in_parallel(threads, [&](Worker worker) {
        const Filter<T> filter{tables, columns, worker};
        std::vector<T> scratch(TILE * std::max(columns, final_columns)), all(TILE * final_columns);
        T* tile = scratch.data();
        field.begin(worker, filter, unary, points_per_image, tile);
        for (int64_t t = 1; t < iterations; ++t) {
            largest[worker.number] = field.update_points(worker, points_per_image, t == 1, tile);
            worker.wait();
            if (all_below(largest, std::max(tolerance, T(0)))) break;
            field.collect(worker);
            worker.wait();
            field.blur(filter);
            field.spread(worker);
            worker.wait();
            field.move_rows(worker);
            worker.wait();
        }
        if (fewer_labels) {
            transform_rows<T>(worker, model.segments, model.segment_start, final_matrices, model.labels, field.blurred,
                              columns, field.sliced, final_columns);
            worker.wait();
        }
        for_tiles(tables, worker, points_per_image, [&](int64_t first, int64_t count) {
            const T* logits = field.unary + first * columns;
            if (fewer_labels) {
                read_tile(final_unary, points_per_image, first, count, final_labels, final_columns, T(0), all.data());
                logits = all.data();
            }
            slice_points<T>(tables, first, count, field.sliced, model.slice_weights, final_columns, tile, logits);
            write_tile(out, points_per_image, first, count, final_labels, final_columns, tile);
        });
    });
}

}  // namespace crfrnn
