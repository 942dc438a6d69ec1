// The tables and weights of several lattices over the same points side by side.
#pragma once

#include "parallel.h"

namespace crfrnn {

// out [points, sum of widths]: the columns of all parts, those of part m times factors[m] [points] where it is not
// null.
template <class T>
void fold_weights(int64_t points, int64_t parts, const int64_t* widths, const T* const* weights,
                  const T* const* factors, T* out, int threads) {
    int64_t total = 0;
    for (int64_t m = 0; m < parts; ++m) total += widths[m];
    in_parallel(threads, [&](Worker worker) {
        for (int64_t i = worker.begin(points); i < worker.end(points); ++i) {
            T* to = out + i * total;
            for (int64_t m = 0; m < parts; ++m) {
                const T factor = factors[m] ? factors[m][i] : 1;
                for (int64_t p = 0; p < widths[m]; ++p) *to++ = weights[m][i * widths[m] + p] * factor;
            }
        }
    });
}

// The same for tables of rows, to which firsts[m] is added.
inline void fold_index(int64_t points, int64_t parts, const int64_t* widths, const int32_t* const* index,
                       const int64_t* firsts, int32_t* out, int threads) {
    int64_t total = 0;
    for (int64_t m = 0; m < parts; ++m) total += widths[m];
    in_parallel(threads, [&](Worker worker) {
        for (int64_t i = worker.begin(points); i < worker.end(points); ++i) {
            int32_t* to = out + i * total;
            for (int64_t m = 0; m < parts; ++m) {
                for (int64_t p = 0; p < widths[m]; ++p) *to++ = index[m][i * widths[m] + p] + int32_t(firsts[m]);
            }
        }
    });
}

}  // namespace crfrnn
