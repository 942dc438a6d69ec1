// The simplices around points. See crfrnn/lattice/NOTES.md.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "parallel.h"

namespace crfrnn {

constexpr int MAX_DIMENSIONS = 16;
constexpr int LANES = 8;  // points at once

// A coordinate of a vertex. Floats that still have a fractional part fit into 32 bits, doubles do not.
template <class T>
using Coordinate = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

// sqrt(2/3) (D+1) / sqrt((i+1)(i+2)), rounded as in crfrnn/lattice/embed.py.
template <class T>
inline void elevation_scales(int dimensions, T* scales) {
    const double deviation = T(std::sqrt(2.0 / 3) * (dimensions + 1));
    for (int i = 0; i < dimensions; ++i) scales[i] = T(1 / std::sqrt(double(i + 1) * (i + 2)) * deviation);
}

// One number for each of LANES points, in the vector extensions that GCC and Clang share.
template <class T>
struct Lanes {
    typedef T numbers __attribute__((vector_size(LANES * sizeof(T))));
    typedef Coordinate<T> integers
        __attribute__((vector_size(LANES * sizeof(T))));  // and what comparisons give: 0 or -1
};

// The simplices of LANES points.
template <class T>
struct SimplexBlock {
    typename Lanes<T>::numbers weights[MAX_DIMENSIONS + 1], corner[MAX_DIMENSIONS];
    typename Lanes<T>::integers axes[MAX_DIMENSIONS];  // axes[k] leads from vertex k to vertex k + 1
};

// Fills `out` for the first `used` points of features [used, dimensions], and the rest with copies; the arithmetic of
// crfrnn/lattice/embed.py, operation by operation, so that both find the same simplices (compile without contraction to
// fused multiply-adds). D is the number of dimensions where it is known to the compiler, else 0.
template <class T, int D>
inline void embed(const T* features, int used, int any_dimensions, const T* scales, SimplexBlock<T>& out) {
    using V = typename Lanes<T>::numbers;
    using I = typename Lanes<T>::integers;
    const int dimensions = D ? D : any_dimensions, count = dimensions + 1;
    const T reciprocal = T(1) / count;
    V elevated[MAX_DIMENSIONS + 1], multiples[MAX_DIMENSIONS + 1], difference[MAX_DIMENSIONS + 1];
    I rank[MAX_DIMENSIONS + 1];
    V tail{};
    for (int j = dimensions; j > 0; --j) {
        V scaled;
        for (int l = 0; l < LANES; ++l) scaled[l] = features[std::min(l, used - 1) * dimensions + j - 1];
        scaled *= scales[j - 1];
        elevated[j] = tail - T(j) * scaled;
        tail = tail + scaled;
    }
    elevated[0] = tail;
    for (int j = 0; j < count; ++j) {
        const V whole = elevated[j] * reciprocal;
        for (int l = 0; l < LANES; ++l) multiples[j][l] = std::nearbyint(whole[l]);
        difference[j] = elevated[j] - multiples[j] * T(count);
        rank[j] = I{};
    }
    for (int i = 0; i < dimensions; ++i) {
        for (int j = i + 1; j < count; ++j) {
            const I smaller = difference[i] < difference[j];
            rank[i] -= smaller;
            rank[j] += 1 + smaller;
        }
    }
    const I last = rank[dimensions];
    V fractions[MAX_DIMENSIONS];
    for (int k = 0; k < dimensions; ++k) fractions[k] = V{}, out.axes[k] = I{};
    for (int j = 0; j < dimensions; ++j) {
        const I is_before = rank[j] < last;
        const V before = is_before ? V{} + 1 : V{};
        const V fraction = (difference[dimensions] - difference[j]) * reciprocal + before;
        out.corner[j] = multiples[dimensions] - multiples[j] - before;
        // In descending cyclic order of the ranks, from that of the last axis on.
        const I place = last - 1 - rank[j] + (count & ~is_before);
        for (int k = 0; k < dimensions; ++k) {
            const I here = place == k;
            fractions[k] = here ? fraction : fractions[k];
            out.axes[k] = here ? I{} + j : out.axes[k];
        }
    }
    out.weights[0] = 1 - fractions[0];
    for (int k = 1; k < dimensions; ++k) out.weights[k] = fractions[k - 1] - fractions[k];
    out.weights[dimensions] = fractions[dimensions - 1];
}

// The smallest and largest of some numbers by dimension.
template <class T>
struct Extremes {
    T low[MAX_DIMENSIONS], high[MAX_DIMENSIONS];

    Extremes() {
        std::fill(low, low + MAX_DIMENSIONS, std::numeric_limits<T>::max());
        std::fill(high, high + MAX_DIMENSIONS, std::numeric_limits<T>::lowest());
    }

    void take(int dimension, T number) {
        low[dimension] = std::min(low[dimension], number);
        high[dimension] = std::max(high[dimension], number);
    }

    // The largest absolute number.
    T reach(int dimensions) const {
        T out = 0;
        for (int i = 0; i < dimensions; ++i) out = std::max(out, std::max(-low[i], high[i]));
        return out;
    }
};

// Takes all features [size, dimensions]; false where one is not finite.
template <class T>
inline bool take_features(const T* features, int64_t size, int dimensions, Extremes<T>& extremes) {
    using V = typename Lanes<T>::numbers;
    V low[MAX_DIMENSIONS], high[MAX_DIMENSIONS], probe[MAX_DIMENSIONS];  // several points side by side
    for (int d = 0; d < dimensions; ++d) {
        low[d] = V{} + std::numeric_limits<T>::max();
        high[d] = V{} + std::numeric_limits<T>::lowest();
        probe[d] = V{};
    }
    int64_t i = 0;
    for (; i + LANES <= size; i += LANES) {
        for (int d = 0; d < dimensions; ++d) {
            V row;
            std::memcpy(&row, features + i * dimensions + d * LANES, sizeof(row));
            low[d] = row < low[d] ? row : low[d];
            high[d] = row > high[d] ? row : high[d];
            probe[d] += row * 0;
        }
    }
    T rest = 0;
    for (int64_t n = i * dimensions; n < size * dimensions; ++n) {
        extremes.take(n % dimensions, features[n]);
        rest += features[n] * 0;
    }
    for (int c = 0; i > 0 && c < LANES * dimensions; ++c) {
        extremes.take(c % dimensions, low[c / LANES][c % LANES]);
        extremes.take(c % dimensions, high[c / LANES][c % LANES]);
        rest += probe[c / LANES][c % LANES];
    }
    return rest == 0;
}

// Bounds of the coordinates of all corners from those of the features, with room for rounding.
//
// Coordinate t_i = (x_D - x_i) / (D + 1), see `Embedding` in crfrnn/lattice/NOTES.md, is linear in the scaled features
// g: (D + 1) t_i = i g_{i-1} - sum_{k >= i} g_k - D g_{D-1}.
template <class T>
inline void bound_corners(const Extremes<T>& features, int dimensions, const T* scales, double* low, double* high) {
    for (int i = 0; i < dimensions; ++i) {
        double least = 0, most = 0, all = 0;
        for (int k = 0; k < dimensions; ++k) {
            const int factor = (k == i - 1 ? i : 0) - (k >= i ? 1 : 0) - (k == dimensions - 1 ? dimensions : 0);
            const double scale = double(scales[k]) / (dimensions + 1);
            const double one = factor * scale * features.low[k], other = factor * scale * features.high[k];
            least += std::min(one, other);
            most += std::max(one, other);
            all += scale * std::max(std::abs(features.low[k]), std::abs(features.high[k]));
        }
        const double room = 2 + 8 * dimensions * dimensions * std::numeric_limits<T>::epsilon() * all;
        low[i] = std::floor(least - room);
        high[i] = std::ceil(most + room);
    }
}

}  // namespace crfrnn
