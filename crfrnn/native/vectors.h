// Rows of labels as short vectors, in the vector extensions that GCC and Clang share.
#pragma once

#include <cmath>
#include <cstring>
#include <type_traits>

#if defined(__AVX__) && defined(__FMA__)
#include <immintrin.h>
#endif

#include "parallel.h"

namespace crfrnn {

constexpr int VECTOR_BYTES = 32;
constexpr int BLOCK = 3;  // vectors of a row that are held in registers at once

template <class T, int BYTES = VECTOR_BYTES>
struct Vectors {
    typedef T vector __attribute__((vector_size(BYTES)));
    static constexpr int width = BYTES / sizeof(T);

    static inline vector load(const T* from) {
        vector out;
        std::memcpy(&out, from, sizeof(out));
        return out;
    }
    static inline void store(T* to, vector value) { std::memcpy(to, &value, sizeof(value)); }
    static inline vector splat(T value) { return value - vector{}; }
};

// a * b + c. The compiler is told not to fuse these by itself, because the search for a simplex must round as torch
// does.
template <class T, int BYTES = VECTOR_BYTES>
inline typename Vectors<T, BYTES>::vector multiply_add(typename Vectors<T, BYTES>::vector a,
                                                       typename Vectors<T, BYTES>::vector b,
                                                       typename Vectors<T, BYTES>::vector c) {
#if defined(__AVX__) && defined(__FMA__)
    if constexpr (sizeof(T) == 4 && BYTES == 32) {
        return (typename Vectors<T>::vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
    } else if constexpr (sizeof(T) == 4) {
        return (typename Vectors<T, BYTES>::vector)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
    } else if constexpr (BYTES == 32) {
        return (typename Vectors<T>::vector)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
    } else {
        return (typename Vectors<T, BYTES>::vector)_mm_fmadd_pd((__m128d)a, (__m128d)b, (__m128d)c);
    }
#else
    return a * b + c;
#endif
}

// Labels per row in memory: whole vectors, or half of one.
template <class T>
inline int64_t padded(int64_t labels) {
    constexpr int width = Vectors<T>::width;
    return labels <= width / 2 ? width / 2 : (labels + width - 1) / width * width;
}

// Calls body(std::integral_constant<int, n>, column) for the columns of a row in blocks of n <= BLOCK vectors; n = 0 is
// half a vector, and then all of the row.
template <class T, class Body>
inline void for_blocks(int64_t columns, const Body& body) {
    constexpr int width = Vectors<T>::width;
    if (columns < width) return body(std::integral_constant<int, 0>{}, 0);
    int64_t column = 0;
    for (; column + BLOCK * width <= columns; column += BLOCK * width) {
        body(std::integral_constant<int, BLOCK>{}, column);
    }
    if (columns - column == 2 * width) {
        body(std::integral_constant<int, 2>{}, column);
    } else if (columns > column) {
        body(std::integral_constant<int, 1>{}, column);
    }
}

// Calls body(Vectors<T, ...>) with the vectors of which a row is a multiple.
template <class T, class Body>
inline void with_vectors(int64_t columns, const Body& body) {
    if (columns < Vectors<T>::width) {
        body(Vectors<T, VECTOR_BYTES / 2>{});
    } else {
        body(Vectors<T>{});
    }
}

// Beliefs below exp(-50) = 2e-22 are 0: products with them would be denormal numbers, which are slow.
constexpr double SMALLEST_EXPONENT = -50;

// All lanes joined into one: those of the second half with those of the first, and so on.
template <class Vector, class Join>
inline auto folded(Vector value, const Join& join) {
#if defined(__AVX__) && defined(__FMA__)
    if constexpr (std::is_same_v<Vector, Vectors<float>::vector>) {
        const auto four = join(_mm256_castps256_ps128((__m256)value), _mm256_extractf128_ps((__m256)value, 1));
        const auto two = join(four, _mm_movehl_ps(four, four));
        return join(two, _mm_movehdup_ps(two))[0];
    } else
#endif
    {
        constexpr int width = sizeof(value) / sizeof(value[0]);
        std::remove_reference_t<decltype(value[0])> lanes[width];
        std::memcpy(lanes, &value, sizeof(value));
        for (int half = width / 2; half > 0; half /= 2) {
            for (int i = 0; i < half; ++i) lanes[i] = join(lanes[i], lanes[i + half]);
        }
        return lanes[0];
    }
}

template <class T, int BYTES = VECTOR_BYTES>
inline T sum_of(typename Vectors<T, BYTES>::vector value) {
    return folded(value, [](auto left, auto right) { return left + right; });
}

template <class T>
inline T largest_of(typename Vectors<T>::vector value) {
    return folded(value, [](auto left, auto right) { return left > right ? left : right; });
}

// exp(x) for x <= 0. Cephes' polynomial, relative error below 2e-7.
inline Vectors<float>::vector exponential(Vectors<float>::vector x) {
    using V = Vectors<float>;
    typedef int32_t ints __attribute__((vector_size(VECTOR_BYTES)));
    constexpr float COEFFICIENTS[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f,
                                      5.0000001201e-1f};
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
    const V::vector shifted = multiply_add<float>(x, V::splat(1.44269504f), V::splat(12582912.0f));
    const V::vector n = shifted - 12582912.0f;
    const V::vector r = multiply_add<float>(n, V::splat(2.12194440e-4f), x - n * 0.693359375f);
    V::vector p = V::splat(1.9875691500e-4f);
    for (const float coefficient : COEFFICIENTS) p = multiply_add<float>(p, r, V::splat(coefficient));
    p = multiply_add<float>(p * r, r, r + 1.0f);
    const V::vector power = (V::vector)(((ints)shifted + 127) << 23);
    const ints kept = x > (float)SMALLEST_EXPONENT;
    return (V::vector)((ints)(p * power) & kept);
}

inline Vectors<double>::vector exponential(Vectors<double>::vector x) {
    for (int i = 0; i < Vectors<double>::width; ++i) x[i] = x[i] > SMALLEST_EXPONENT ? std::exp(x[i]) : 0;
    return x;
}

// Lanes 2 i and 2 i + 1 change places, or (floats alone) the halves of each half.
inline Vectors<float>::vector swapped(Vectors<float>::vector x, bool pairs) {
#if defined(__clang__)
    return pairs ? __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6)
                 : __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5);
#else
    typedef int32_t ints __attribute__((vector_size(VECTOR_BYTES)));
    return pairs ? __builtin_shuffle(x, ints{1, 0, 3, 2, 5, 4, 7, 6})
                 : __builtin_shuffle(x, ints{2, 3, 0, 1, 6, 7, 4, 5});
#endif
}

inline Vectors<double>::vector swapped(Vectors<double>::vector x, bool) {
    return Vectors<double>::vector{x[1], x[0], x[3], x[2]};
}

// Softmax of rows of half a vector, two at a time; after an odd number of them, memory of one more is written to.
template <class T>
inline void softmax_halves(T* rows, int64_t count) {
    using V = Vectors<T>;
    for (T* pair = rows; pair < rows + count * (V::width / 2); pair += V::width) {
        const typename V::vector x = V::load(pair);
        typename V::vector most = x;
        for (const bool pairs : {false, true}) {
            const typename V::vector other = swapped(most, pairs);
            most = most > other ? most : other;
        }
        const typename V::vector e = exponential(x - most);
        typename V::vector sum = e;
        if (V::width == 8) sum += swapped(sum, false);
        sum += swapped(sum, true);
        V::store(pair, e * (1 / sum));
    }
}

// Every row of rows [count, columns] becomes its softmax; rows of few labels see `softmax_halves`.
template <class T>
NOINLINE void softmax(T* rows, int64_t count, int64_t columns) {
    using V = Vectors<T>;
    if (columns < V::width) return softmax_halves(rows, count);
    for (T* row = rows; row < rows + count * columns; row += columns) {
        typename V::vector most = V::load(row), sum{};
        for (int64_t c = V::width; c < columns; c += V::width) {
            const typename V::vector next = V::load(row + c);
            most = most > next ? most : next;
        }
        const T shift = largest_of<T>(most);
        for (int64_t c = 0; c < columns; c += V::width) {
            const typename V::vector e = exponential(V::load(row + c) - shift);
            V::store(row + c, e);
            sum += e;
        }
        const T factor = 1 / sum_of<T>(sum);
        for (int64_t c = 0; c < columns; c += V::width) V::store(row + c, V::load(row + c) * factor);
    }
}

}  // namespace crfrnn
