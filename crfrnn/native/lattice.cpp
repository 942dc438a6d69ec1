// The C interface of the lattice, for numbers of type REAL. Arguments are checked on the Python side.
#include "lattice_build.h"
#include "lattice_filter.h"
#include "lattice_fold.h"

using namespace crfrnn;

// low, high [dimensions]: the smallest and largest coordinate of any corner.
EXPORT void native_embed(const REAL* features, int64_t points, int dimensions, const REAL* scales, REAL* weights,
                         uint8_t* axes, Coordinate<REAL>* corners, REAL* low, REAL* high, int threads) {
    std::vector<REAL> lows(threads * dimensions, std::numeric_limits<REAL>::max());
    std::vector<REAL> highs(threads * dimensions, std::numeric_limits<REAL>::lowest());
    in_parallel(threads, [&](Worker worker) {
        embed(features, worker.begin(points), worker.end(points), dimensions, scales, weights, axes, points, corners,
              lows.data() + worker.number * dimensions, highs.data() + worker.number * dimensions);
    });
    for (int i = 0; i < dimensions; ++i) {
        low[i] = lows[i];
        high[i] = highs[i];
        for (int t = 1; t < threads; ++t) {
            low[i] = std::min(low[i], lows[t * dimensions + i]);
            high[i] = std::max(high[i], highs[t * dimensions + i]);
        }
    }
}

// Builds a lattice; `index` [points, dimensions + 1] is filled, the rest is handed over by `native_built_copy`.
EXPORT Built* native_build(const Problem<REAL>* problem, bool dilate, int threads, int32_t* index) {
    Built* out = new Built;
    build(*problem, dilate, threads, index, *out);
    return out;
}

// sizes: vertices, spills, and for every axis its runs and members.
EXPORT void native_built_sizes(const Built* built, int64_t* sizes) {
    *sizes++ = built->vertices;
    *sizes++ = int64_t(built->spill_owners.size());
    for (size_t axis = 0; axis < built->members.size(); ++axis) {
        *sizes++ = int64_t(built->run_ends[axis].size());
        *sizes++ = int64_t(built->members[axis].size());
    }
}

// spill_owners [spills]; run_start [runs + 1] and members over all axes. Frees `built`.
EXPORT void native_built_copy(Built* built, int32_t* spill_owners, int32_t* run_start, int32_t* members) {
    std::copy(built->spill_owners.begin(), built->spill_owners.end(), spill_owners);
    int32_t before = 0;
    *run_start++ = 0;
    for (size_t axis = 0; axis < built->members.size(); ++axis) {
        members = std::copy(built->members[axis].begin(), built->members[axis].end(), members);
        for (const int32_t end : built->run_ends[axis]) *run_start++ = before + end;
        before += int32_t(built->members[axis].size());
    }
    delete built;
}

EXPORT void native_copy_rows(const REAL* from, int64_t from_stride, REAL* to, int64_t channels, int64_t to_stride,
                             int64_t rows, int threads) {
    in_parallel(threads, [&](Worker worker) {
        copy_rows(from, from_stride, to, channels, to_stride, worker.begin(rows), worker.end(rows));
    });
}

EXPORT void native_splat(const Tables* tables, const REAL* values, const REAL* weights, int64_t channels, REAL* rows,
                         int threads) {
    splat(*tables, values, weights, channels, rows, threads);
}

EXPORT void native_slice(const Tables* tables, const REAL* rows, const REAL* weights, int64_t channels, REAL* values,
                         int threads) {
    slice(*tables, rows, weights, channels, values, threads);
}

EXPORT void native_row_sums(const Tables* tables, const REAL* weights, REAL* work, REAL* sums, int threads) {
    row_sums(*tables, weights, work, sums, threads);
}

EXPORT void native_fold_weights(int64_t points, int64_t parts, const int64_t* widths, const REAL* const* weights,
                                const REAL* const* factors, REAL* out, int threads) {
    fold_weights(points, parts, widths, weights, factors, out, threads);
}

EXPORT void native_fold_index(int64_t points, int64_t parts, const int64_t* widths, const int32_t* const* index,
                              const int64_t* firsts, int32_t* out, int threads) {
    fold_index(points, parts, widths, index, firsts, out, threads);
}

EXPORT void native_blur(const Tables* tables, int64_t channels, bool reverse, REAL* rows, int threads) {
    blur(*tables, channels, reverse, rows, threads);
}

EXPORT void native_pair_products(const Tables* tables, const REAL* rows, const REAL* values, int64_t channels,
                                 REAL* out, int threads) {
    pair_products(*tables, rows, values, channels, out, threads);
}
