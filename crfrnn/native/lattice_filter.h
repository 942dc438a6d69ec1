// Splat, blur and slice, one after the other, over rows of labels.
#pragma once

#include "splat_slice.h"

namespace crfrnn {

// What is common to the workers of one filtering; they must all call each function, and wait between them.
template <class T>
struct Filter {
    const Tables& tables;
    int64_t columns;
    Worker worker;

    // Adds the spills to their vertices, and clears them.
    void collect(T* rows) const {
        const int64_t from = worker.begin(tables.rows), to = worker.end(tables.rows);
        for (int64_t s = 0; s < tables.spills; ++s) {
            const int64_t owner = tables.spill_owners[s];
            if (owner < from || owner >= to) continue;
            T *spill = rows + tables.spill_rows[s] * columns, *row = rows + owner * columns;
            for (int64_t c = 0; c < columns; ++c) {
                row[c] += spill[c];
                spill[c] = 0;
            }
        }
    }

    // Gives every spill the value of its vertex.
    void spread(T* rows) const {
        for (int64_t s = worker.begin(tables.spills); s < worker.end(tables.spills); ++s) {
            std::memcpy(rows + tables.spill_rows[s] * columns, rows + tables.spill_owners[s] * columns,
                        columns * sizeof(T));
        }
    }

    // row_v += (row_next(v) + row_previous(v)) / 2, or times another side weight, along each axis in turn, or in
    // reverse order; waits after every axis.
    void blur(T* rows, bool reverse) const {
        for (int64_t step = 0; step < tables.axes; ++step) {
            for_runs(reverse ? tables.axes - 1 - step : step, [&](const int32_t* members, int64_t size, T side) {
                columns == 1 ? blur_numbers(rows, members, size, side) : blur_run(rows, members, size, side);
            });
            worker.wait();
        }
    }

    // Calls body(members, size, side weight) for this worker's runs of neighbors along an axis.
    template <class Body>
    void for_runs(int64_t axis, const Body& body) const {
        const int64_t first = tables.axis_runs[axis], last = tables.axis_runs[axis + 1];
        const int64_t before = tables.run_start[first], size = tables.run_start[last] - before;
        const int32_t *starts = tables.run_start + first, *ends = tables.run_start + last;
        const int32_t* run = std::lower_bound(starts, ends, before + worker.begin(size));
        const int32_t* stop = std::lower_bound(starts, ends, before + worker.end(size));
        for (; run < stop; ++run) {
            const int32_t* members = tables.members + run[0];
            body(members, run[1] - run[0], side_weight(axis, members[0]));
        }
    }

    void blur_run(T* rows, const int32_t* members, int64_t size, T side) const {
        constexpr int64_t AHEAD = 6;
        for_blocks<T>(columns, [&](auto width, int64_t c) {
            using B = Block<T, width()>;
            B previous{}, current = B::load(rows + members[0] * columns + c);
            for (int64_t i = 0; i < size; ++i) {
                const T* ahead =
                    rows + members[i + AHEAD] * columns + c;  // `members` is that much longer than its runs
                __builtin_prefetch(ahead);
                __builtin_prefetch(ahead + B::V::width * B::PARTS - 1);
                const B next = i + 1 < size ? B::load(rows + members[i + 1] * columns + c) : B{};
                B sum = current;
                previous.add(next);
                sum.add(previous, side);
                sum.store(rows + members[i] * columns + c);
                previous = current;
                current = next;
            }
        });
    }

  private:
    T side_weight(int64_t axis, int64_t row) const {
        if (!tables.side_weights) return T(0.5);
        int64_t part = 0;
        while (row >= tables.part_stop[part]) ++part;
        return T(tables.side_weights[part * tables.axes + axis]);
    }

    // Rows of a single number, without padding.
    void blur_numbers(T* rows, const int32_t* members, int64_t size, T side) const {
        T previous = 0;
        for (int64_t i = 0; i < size; ++i) {
            const T current = rows[members[i]], next = i + 1 < size ? rows[members[i + 1]] : 0;
            rows[members[i]] = current + side * (previous + next);
            previous = current;
        }
    }
};

// Copies the first `channels` numbers of rows `from_stride` apart, and fills the rows of `to` up with zeros.
template <class T>
inline void copy_rows(const T* from, int64_t from_stride, T* to, int64_t channels, int64_t to_stride, int64_t begin,
                      int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
        std::memcpy(to + i * to_stride, from + i * from_stride, channels * sizeof(T));
        std::fill(to + i * to_stride + channels, to + (i + 1) * to_stride, T(0));
    }
}

// values [points, channels] -> rows [rows, padded channels].
template <class T>
void splat(const Tables& tables, const T* values, const T* weights, int64_t channels, T* rows, int threads) {
    const int64_t columns = padded<T>(channels);
    in_parallel(threads_for(threads, tables.points * columns), [&](Worker worker) {
        std::fill(rows + worker.begin(tables.rows) * columns, rows + worker.end(tables.rows) * columns, T(0));
        worker.wait();
        std::vector<T> tile(TILE * columns);
        for (int64_t k = worker.begin(tables.chunks); k < worker.end(tables.chunks); ++k) {
            for (int64_t i = tables.chunk_start[k]; i < tables.chunk_start[k + 1]; i += TILE) {
                const int64_t count = std::min(TILE, tables.chunk_start[k + 1] - i);
                copy_rows(values + i * channels, channels, tile.data(), channels, columns, 0, count);
                splat_points(tables, i, count, tile.data(), weights, columns, rows);
            }
        }
    });
}

// rows [rows, padded channels] -> values [points, channels].
template <class T>
void slice(const Tables& tables, const T* rows, const T* weights, int64_t channels, T* values, int threads) {
    const int64_t columns = padded<T>(channels);
    in_parallel(threads_for(threads, tables.points * columns), [&](Worker worker) {
        std::vector<T> tile(TILE * columns);
        const int64_t end = worker.end(tables.points);
        for (int64_t i = worker.begin(tables.points); i < end; i += TILE) {
            const int64_t count = std::min(TILE, end - i);
            slice_points(tables, i, count, rows, weights, columns, tile.data());
            for (int64_t j = 0; j < count; ++j) {
                std::memcpy(values + (i + j) * channels, tile.data() + j * columns, channels * sizeof(T));
            }
        }
    });
}

// sums [points]: splat, blur and slice of ones. `work` [rows].
template <class T>
void row_sums(const Tables& tables, const T* weights, T* work, T* sums, int threads) {
    const int64_t corners = tables.corners;
    in_parallel(threads_for(threads, tables.points * corners), [&](Worker worker) {
        const Filter<T> filter{tables, 1, worker};
        std::fill(work + worker.begin(tables.rows), work + worker.end(tables.rows), T(0));
        worker.wait();
        for (int64_t k = worker.begin(tables.chunks); k < worker.end(tables.chunks); ++k) {
            const int64_t end = tables.chunk_start[k + 1] * corners;
            for (int64_t i = tables.chunk_start[k] * corners; i < end; ++i) work[tables.index[i]] += weights[i];
        }
        worker.wait();
        filter.collect(work);
        worker.wait();
        filter.blur(work, false);
        filter.spread(work);
        worker.wait();
        for (int64_t i = worker.begin(tables.points); i < worker.end(tables.points); ++i) {
            T sum = 0;
            for (int64_t p = i * corners; p < (i + 1) * corners; ++p) sum += weights[p] * work[tables.index[p]];
            sums[i] = sum;
        }
    });
}

// In place: rows [rows, padded channels], spills collected before and spread after.
template <class T>
void blur(const Tables& tables, int64_t channels, bool reverse, T* rows, int threads) {
    const int64_t columns = padded<T>(channels);
    in_parallel(threads_for(threads, tables.rows * columns), [&](Worker worker) {
        const Filter<T> filter{tables, columns, worker};
        filter.collect(rows);
        worker.wait();
        filter.blur(rows, reverse);
        filter.spread(rows);
    });
}

// out [points, corners] = <rows[index], values>.
template <class T>
void pair_products(const Tables& tables, const T* rows, const T* values, int64_t channels, T* out, int threads) {
    const int64_t columns = padded<T>(channels);
    in_parallel(threads_for(threads, tables.points * columns), [&](Worker worker) {
        for (int64_t i = worker.begin(tables.points); i < worker.end(tables.points); ++i) {
            for (int64_t p = 0; p < tables.corners; ++p) {
                const T* row = rows + tables.index[i * tables.corners + p] * columns;
                T sum = 0;
                for (int64_t c = 0; c < channels; ++c) sum += row[c] * values[i * channels + c];
                out[i * tables.corners + p] = sum;
            }
        }
    });
}

}  // namespace crfrnn
