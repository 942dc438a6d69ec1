// The C interface of the lattice, for numbers of type REAL. Arguments are checked on the Python side.
#include <numeric>

#include "blur_backward.h"
#include "lattice_join.h"

using namespace crfrnn;

// Builds a lattice of points [images * per_image, dimensions]; weights, axes and index are filled, the rest is handed
// over by `native_built_copy`. Null where the features are not finite, or too large for their type.
EXPORT Built* native_build(const REAL* features, int64_t images, int64_t per_image, int dimensions, bool dilate,
                           int threads, REAL* weights, uint8_t* axes, int32_t* index) {
    const Crew crew(threads);
    prefer_large_pages(weights, images * per_image * (dimensions + 1));
    prefer_large_pages(index, images * per_image * (dimensions + 1));
    std::unique_ptr<Built> out(new Built);
    const Points<REAL> points{features, images, per_image, dimensions};
    return build(points, Simplices<REAL>{weights, axes, index}, dilate, threads, *out) ? out.release() : nullptr;
}

EXPORT void native_built_sizes(const Built* built, TableSizes* sizes) { *sizes = sizes_of(*built); }

// Fills the room for tables, all but `index`, and frees `built`.
EXPORT void native_built_copy(Built* built, const TableRoom* out) {
    write_tables(*built, *out);
    delete built;
}

EXPORT void native_join_sizes(const Join* join, TableSizes* sizes) { *sizes = sizes_of(*join); }

EXPORT void native_join(const Join* join, const TableRoom* out, int threads) { join_tables(*join, *out, threads); }

EXPORT void native_copy_rows(const REAL* from, int64_t from_stride, REAL* to, int64_t channels, int64_t to_stride,
                             int64_t rows, int threads) {
    const Crew crew(threads);
    in_parallel(threads_for(threads, rows * to_stride), [&](Worker worker) {
        copy_rows(from, from_stride, to, channels, to_stride, worker.begin(rows), worker.end(rows));
    });
}

EXPORT void native_splat(const Tables* tables, const REAL* values, const REAL* weights, int64_t channels, REAL* rows,
                         int threads) {
    const Crew crew(threads);
    splat(*tables, values, weights, channels, rows, threads);
}

EXPORT void native_slice(const Tables* tables, const REAL* rows, const REAL* weights, int64_t channels, REAL* values,
                         int threads) {
    const Crew crew(threads);
    slice(*tables, rows, weights, channels, values, threads);
}

EXPORT void native_row_sums(const Tables* tables, const REAL* weights, REAL* work, REAL* sums, int threads) {
    const Crew crew(threads);
    row_sums(*tables, weights, work, sums, threads);
}

EXPORT void native_fold_weights(int64_t points, int64_t parts, const int64_t* widths, const REAL* const* weights,
                                const REAL* const* factors, REAL* out, int threads) {
    const Crew crew(threads);
    prefer_large_pages(out, points * std::accumulate(widths, widths + parts, int64_t(0)));
    fold_weights(points, parts, widths, weights, factors, out, threads);
}

EXPORT void native_blur(const Tables* tables, int64_t channels, bool reverse, REAL* rows, int threads) {
    const Crew crew(threads);
    blur(*tables, channels, reverse, rows, threads);
}

EXPORT void native_blur_backward(const Tables* tables, int64_t channels, bool reverse, int64_t parts, REAL* states,
                                 REAL* gradient, double* to_sides, int threads) {
    const Crew crew(threads);
    blur_backward(*tables, channels, reverse, parts, states, gradient, to_sides, threads);
}

EXPORT void native_pair_products(const Tables* tables, const REAL* rows, const REAL* values, int64_t channels,
                                 REAL* out, int threads) {
    const Crew crew(threads);
    pair_products(*tables, rows, values, channels, out, threads);
}
