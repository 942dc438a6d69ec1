// The derivative of the blur to the rows and to its side weights.
#pragma once

#include "lattice_filter.h"

namespace crfrnn {

// Rows before the blur along each axis, in the order in which the axes come: states [axes, rows, columns], of which the
// first holds what the blur begins with, spills collected. All workers must call it.
template <class T>
void keep_states(const Filter<T>& filter, T* states, bool reverse) {
    const Tables& tables = filter.tables;
    const Worker& worker = filter.worker;
    const int64_t first = worker.begin(tables.rows) * filter.columns, last = worker.end(tables.rows) * filter.columns;
    for (int64_t step = 0; step + 1 < tables.axes; ++step) {
        T* next = states + (step + 1) * tables.rows * filter.columns;
        std::copy(next + first - tables.rows * filter.columns, next + last - tables.rows * filter.columns,
                  next + first);
        worker.wait();
        filter.for_runs(reverse ? tables.axes - 1 - step : step, [&](const int32_t* members, int64_t size, T side) {
            filter.blur_run(next, members, size, side);
        });
        worker.wait();
    }
}

// sum_v <gradient_v, rows_next(v) + rows_previous(v)> along a run.
template <class T>
NOINLINE double neighbor_products(const T* rows, const T* gradient, const int32_t* members, int64_t size,
                                  int64_t columns) {
    double total = 0;
    for_blocks<T>(columns, [&](auto width, int64_t c) {
        using B = Block<T, width()>;
        B sum{}, previous{}, current = B::load(rows + members[0] * columns + c);
        for (int64_t i = 0; i < size; ++i) {
            const B next = i + 1 < size ? B::load(rows + members[i + 1] * columns + c) : B{};
            const B slope = B::load(gradient + members[i] * columns + c);
            previous.add(next);
            for (int n = 0; n < B::PARTS; ++n) {
                sum.part[n] = multiply_add<T, B::BYTES>(slope.part[n], previous.part[n], sum.part[n]);
            }
            previous = current;
            current = next;
        }
        for (int n = 0; n < B::PARTS; ++n) total += sum_of<T, B::BYTES>(sum.part[n]);
    });
    return total;
}

// `gradient` after the blur, spills collected, becomes that before it; to_sides [parts, axes] gets this worker's share
// of the gradient to the side weights. All workers must call it.
template <class T>
void blur_back(const Filter<T>& filter, const T* states, T* gradient, bool reverse, double* to_sides) {
    const Tables& tables = filter.tables;
    for (int64_t step = tables.axes - 1; step >= 0; --step) {
        const int64_t axis = reverse ? tables.axes - 1 - step : step;
        const T* rows = states + step * tables.rows * filter.columns;
        filter.for_runs(axis, [&](const int32_t* members, int64_t size, T side) {
            int64_t part = 0;
            while (members[0] >= tables.part_stop[part]) ++part;
            to_sides[part * tables.axes + axis] += neighbor_products(rows, gradient, members, size, filter.columns);
            filter.blur_run(gradient, members, size, side);
        });
        filter.worker.wait();
    }
}

// The derivative of `blur`, in place: states [axes, rows, padded channels], of which the first holds the rows before
// it, gradient [rows, padded channels]. to_sides [threads, parts, axes] holds zeros.
template <class T>
void blur_backward(const Tables& tables, int64_t channels, bool reverse, int64_t parts, T* states, T* gradient,
                   double* to_sides, int threads) {
    const int64_t columns = padded<T>(channels);
    in_parallel(threads_for(threads, tables.rows * columns), [&](Worker worker) {
        const Filter<T> filter{tables, columns, worker};
        filter.collect(states);
        filter.collect(gradient);
        worker.wait();
        keep_states(filter, states, reverse);
        blur_back(filter, states, gradient, reverse, to_sides + worker.number * parts * tables.axes);
        filter.spread(gradient);
    });
}

}  // namespace crfrnn
