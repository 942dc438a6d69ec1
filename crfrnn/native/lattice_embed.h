// The simplex around every point. See crfrnn/lattice/NOTES.md.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "parallel.h"

namespace crfrnn {

constexpr int MAX_DIMENSIONS = 16;
constexpr int LANES = 8;

// A coordinate of a vertex. Floats that still have a fractional part fit into 32 bits, doubles do not.
template <class T>
using Coordinate = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

// What the coordinates of corners reach, and whether all features were finite and within the precision of T.
template <class T>
struct Extremes {
    T low[MAX_DIMENSIONS], high[MAX_DIMENSIONS];
    bool within = true;

    Extremes() {
        std::fill(low, low + MAX_DIMENSIONS, std::numeric_limits<T>::max());
        std::fill(high, high + MAX_DIMENSIONS, std::numeric_limits<T>::lowest());
    }
};

// sqrt(2/3) (D+1) / sqrt((i+1)(i+2)), rounded as in crfrnn/lattice/embed.py.
template <class T>
inline void elevation_scales(int dimensions, T* scales) {
    const double deviation = T(std::sqrt(2.0 / 3) * (dimensions + 1));
    for (int i = 0; i < dimensions; ++i) scales[i] = T(1 / std::sqrt(double(i + 1) * (i + 2)) * deviation);
}

// The simplex of each of `count` points with features [count, dimensions]; the arithmetic of crfrnn/lattice/embed.py,
// operation by operation, so that both find the same one (compile without contraction to fused multiply-adds).
template <class T>
void embed(const T* features, int64_t from, int64_t to, int dimensions, const T* scales, T* weights, uint8_t* axes,
           int64_t points, Coordinate<T>* corners, Extremes<T>& extremes) {
    const int count = dimensions + 1;
    const T reciprocal = T(1) / count;
    T elevated[MAX_DIMENSIONS + 1][LANES], multiples[MAX_DIMENSIONS + 1][LANES], difference[MAX_DIMENSIONS + 1][LANES];
    int32_t rank[MAX_DIMENSIONS + 1][LANES];
    for (int64_t i = from * dimensions; i < to * dimensions; ++i) {
        extremes.within &= std::abs(features[i]) * std::numeric_limits<T>::epsilon() < 2;
    }
    if (!extremes.within) return;
    for (int64_t first = from; first < to; first += LANES) {
        const int used = int(std::min<int64_t>(LANES, to - first));
        T tail[LANES] = {};
        for (int j = dimensions; j > 0; --j) {
            for (int l = 0; l < LANES; ++l) {
                const T scaled = features[(first + std::min(l, used - 1)) * dimensions + j - 1] * scales[j - 1];
                elevated[j][l] = tail[l] - j * scaled;
                tail[l] = tail[l] + scaled;
            }
        }
        for (int l = 0; l < LANES; ++l) elevated[0][l] = tail[l];
        for (int j = 0; j < count; ++j) {
            for (int l = 0; l < LANES; ++l) {
                multiples[j][l] = std::nearbyint(elevated[j][l] * reciprocal);
                difference[j][l] = elevated[j][l] - multiples[j][l] * count;
                rank[j][l] = 0;
            }
        }
        for (int i = 0; i < dimensions; ++i) {
            for (int j = i + 1; j < count; ++j) {
                for (int l = 0; l < LANES; ++l) {
                    const int32_t smaller = difference[i][l] < difference[j][l];
                    rank[i][l] += smaller;
                    rank[j][l] += 1 - smaller;
                }
            }
        }
        for (int l = 0; l < used; ++l) {
            const int64_t point = first + l;
            int order[MAX_DIMENSIONS + 1];
            for (int j = 0; j < count; ++j) order[rank[j][l]] = j;
            const int last = rank[dimensions][l];
            T previous = 1;
            for (int k = 0; k < dimensions; ++k) {
                const int wanted = last - 1 - k;
                const int axis = order[wanted < 0 ? wanted + count : wanted];
                T fraction = (difference[dimensions][l] - difference[axis][l]) * reciprocal;
                fraction = fraction + (wanted < 0 ? 0 : 1);
                axes[k * points + point] = uint8_t(axis);
                weights[point * count + k] = previous - fraction;
                previous = fraction;
            }
            weights[point * count + dimensions] = previous;
            for (int i = 0; i < dimensions; ++i) {
                const T corner = multiples[dimensions][l] - multiples[i][l] - (rank[i][l] < last ? 1 : 0);
                extremes.low[i] = std::min(extremes.low[i], corner);
                extremes.high[i] = std::max(extremes.high[i], corner);
                corners[point * dimensions + i] = Coordinate<T>(corner);
            }
        }
    }
}

}  // namespace crfrnn
