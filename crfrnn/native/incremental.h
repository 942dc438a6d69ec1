// Mean field that computes again only what has changed: a pixel passes its beliefs on where they changed by more than a
// limit, and is looked at where its messages may have changed its beliefs by that much. See crfrnn/fused/incremental.py.
#pragma once

#include "mean_field.h"
#include "memory.h"

namespace crfrnn {

// As `slice_points`, for the points first + listed[j].
template <class T>
NOINLINE void slice_listed(const Tables& tables, int64_t first, const int32_t* listed, int64_t count, const T* rows,
                           const T* weights, int64_t columns, T* out) {
    for_blocks_and_corners<T>(columns, tables.corners, [&](auto size, auto corners, int64_t c) {
        using B = Block<T, size()>;
        const int64_t stride = size() ? columns : B::V::width, last = corners;
        for (int64_t j = 0; j < count; ++j) {
            const int32_t* index = tables.index + (first + listed[j]) * last;
            const T* weight = weights + (first + listed[j]) * last;
            prefetch_rows(rows + c, stride, index, last, count - j);
            B sum{};
#pragma GCC unroll 3
            for (int64_t p = 0; p < last; ++p) sum.add(B::load(rows + c + index[p] * stride), weight[p]);
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

// The matrix of one segment.
template <class T>
inline Matrices<T> of_segment(const Matrices<T>& matrices, int64_t segment, int64_t labels, int64_t columns) {
    if (matrices.full) return {matrices.full + segment * labels * columns, nullptr, nullptr, nullptr};
    const int64_t before = segment * columns;
    return {nullptr, matrices.left + before, matrices.right + before, matrices.diagonal + before};
}

// What all workers share.
template <class T>
struct Incremental {
    const Model<T>& model;
    const Matrices<T>& matrices;
    T limit;  // of what a belief may differ from the one that was passed on
    int64_t columns;
    Array<T> unary, beliefs;    // [points, columns]: logits; beliefs as they were passed on
    Array<T> slack;             // [points] how much more the penalty may change before the limit may be passed
    Array<T> changes, blurred;  // [rows, columns]: changes of beliefs, zeros between iterations; blurred beliefs
    Array<T> sliced;            // [rows, the wider of columns and final columns]: penalties
    Array<T> moves;             // [rows] how much the penalty just changed
    Array<uint8_t> touched;     // [rows] where `changes` are not zeros

    Incremental(const Model<T>& model, const Matrices<T>& matrices, T limit, int64_t final_columns)
        : model(model),
          matrices(matrices),
          limit(limit),
          columns(padded<T>(model.labels)),
          unary(model.tables.points * columns),
          beliefs(model.tables.points * columns),
          slack(model.tables.points),
          changes(model.tables.rows * columns),
          blurred(model.tables.rows * columns),
          sliced(model.tables.rows * std::max(columns, final_columns)),
          moves(model.tables.rows),
          touched(model.tables.rows) {}

    // The first iteration, of all points, from softmax(unary).
    void begin(const Worker& worker, const Filter<T>& filter, const Labels<const T>& map,
               int64_t points_per_image) const {
        clear_rows<T>(worker, model, blurred, columns);
        clear_rows<T>(worker, model, changes, columns);
        const int64_t first_row = worker.begin(model.tables.rows), last_row = worker.end(model.tables.rows);
        std::fill(moves + first_row, moves + last_row, T(0));
        std::fill(touched + first_row, touched + last_row, uint8_t(0));
        worker.wait();
        for_tiles(model.tables, worker, points_per_image, [&](int64_t first, int64_t count) {
            T *logits = unary + first * columns, *tile = beliefs + first * columns;
            read_tile(map, points_per_image, first, count, model.labels, columns, -std::numeric_limits<T>::infinity(),
                      logits);
            std::copy(logits, logits + count * columns, tile);
            softmax(tile, count, columns);
            std::fill(slack + first, slack + first + count, T(-1));
            splat_points<T>(model.tables, first, count, tile, model.splat_weights, columns, blurred);
        });
        worker.wait();
        filter.collect(blurred);
        worker.wait();
        filter.blur(blurred, false);
        filter.spread(blurred);
        worker.wait();
        transform_rows<T>(worker, model.segments, model.segment_start, matrices, model.labels, blurred, columns, sliced,
                          columns);
        worker.wait();
    }

    // Which points of a tile have no slack left.
    template <class Corners>
    int64_t list_points(int64_t first, int64_t count, Corners corners, int32_t* listed) const {
        int64_t size = 0;
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
        slice_listed<T>(model.tables, first, listed, count, sliced, model.slice_weights, columns, tile);
        for (int64_t j = 0; j < count; ++j) {
            const T* logits = unary + (first + listed[j]) * columns;
            for (int64_t c = 0; c < columns; ++c) tile[j * columns + c] = logits[c] - tile[j * columns + c];
        }
        softmax(tile, count, columns);
        T change = 0;
        int64_t passed_on = 0;
        for (int64_t j = 0; j < count; ++j) {
            const int64_t point = first + listed[j];
            T *before = beliefs + point * columns, *now = tile + j * columns, *to = tile + passed_on * columns;
            Distance<T> found;
            with_vectors<T>(columns, [&](auto vectors) { found = distance_of<decltype(vectors)>(now, before, columns); });
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
            slack[point] = left / (2 * found.largest * (1 - found.largest) + left);
        }
        splat_listed<T>(model.tables, first, listed, passed_on, tile, model.splat_weights, columns, changes, touched);
        return change;
    }

    // Returns the largest change of a belief that this worker's points passed on.
    T update_points(const Worker& worker, int64_t points_per_image, T* tile) const {
        T change = 0;
        for_tiles(model.tables, worker, points_per_image, [&](int64_t first, int64_t count) {
            int32_t listed[TILE + 1];
            const int64_t size = model.tables.corners == 9
                                     ? list_points(first, count, std::integral_constant<int64_t, 9>{}, listed)
                                     : list_points(first, count, model.tables.corners, listed);
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
            filter.for_runs(axis, [&](const int32_t* members, int64_t size) {
                const auto is_touched = [&](int64_t i) { return i < size && touched[members[i]]; };
                for (int64_t i = 0; i < size; ++i) {
                    if (!touched[members[i]]) continue;
                    const int64_t begin = std::max<int64_t>(0, i - 1);
                    while (is_touched(i) || is_touched(i + 1)) ++i;
                    const int64_t end = std::min(size, i + 1);
                    filter.blur_run(changes, members + begin, end - begin);
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

    void move_listed(const Matrices<T>& matrix, const int64_t* listed, int64_t count, T* before, T* after) const {
        for (int64_t j = 0; j < count; ++j) {
            T *change = changes + listed[j] * columns, *sum = blurred + listed[j] * columns, *copy = before + j * columns;
            for (int64_t c = 0; c < columns; ++c) {
                sum[c] += change[c];
                copy[c] = sum[c];
                change[c] = 0;
            }
            touched[listed[j]] = 0;
        }
        const int64_t all[] = {0, count};
        transform_rows<T>(Worker{0, 1, nullptr}, 1, all, matrix, model.labels, before, columns, after, columns);
        for (int64_t j = 0; j < count; ++j) {
            T *now = after + j * columns, *row = sliced + listed[j] * columns;
            with_vectors<T>(columns, [&](auto vectors) {
                moves[listed[j]] = distance_of<decltype(vectors)>(now, row, columns).distance;
            });
            std::copy(now, now + columns, row);
        }
    }
};

// As `mean_field` without a backward pass, with beliefs passed on where they changed by more than `limit`.
template <class T>
int64_t incremental_mean_field(const Model<T>& model, Labels<const T> unary, Labels<const T> final_unary,
                               bool fewer_labels, int64_t iterations, T tolerance, T limit, const Matrices<T>& matrices,
                               const Matrices<T>& final_matrices, int64_t final_labels, Labels<T> out, int threads) {
    const Tables& tables = model.tables;
    const int64_t columns = padded<T>(model.labels), final_columns = padded<T>(final_labels);
    const int64_t points_per_image = tables.points / model.images;
    const Incremental<T> field(model, matrices, limit, final_columns);
    threads = threads_for(threads, tables.points * columns);
    std::vector<T> largest(threads, T(0));
    int64_t done = iterations;
    in_parallel(threads, [&](Worker worker) {
        const Filter<T> filter{tables, columns, worker};
        std::vector<T> scratch(TILE * std::max(columns, final_columns)), all(TILE * final_columns);
        T* tile = scratch.data();
        field.begin(worker, filter, unary, points_per_image);
        int64_t t = 1;
        for (; t < iterations; ++t) {
            largest[worker.number] = field.update_points(worker, points_per_image, tile);
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
        if (worker.number == 0) done = t;
        if (fewer_labels) {
            transform_rows<T>(worker, model.segments, model.segment_start, final_matrices, model.labels, field.blurred,
                              columns, field.sliced, final_columns);
            worker.wait();
        }
        for_tiles(tables, worker, points_per_image, [&](int64_t first, int64_t count) {
            slice_points<T>(tables, first, count, field.sliced, model.slice_weights, final_columns, tile);
            const T* logits = field.unary + first * columns;
            if (fewer_labels) {
                read_tile(final_unary, points_per_image, first, count, final_labels, final_columns, T(0), all.data());
                logits = all.data();
            }
            for (int64_t c = 0; c < count * final_columns; ++c) tile[c] = logits[c] - tile[c];
            write_tile(out, points_per_image, first, count, final_labels, final_columns, tile);
        });
    });
    return done;
}

}  // namespace crfrnn
