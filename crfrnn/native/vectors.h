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

template <class T>
struct Vectors {
    typedef T vector __attribute__((vector_size(VECTOR_BYTES)));
    static constexpr int width = VECTOR_BYTES / sizeof(T);

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
template <class T>
inline typename Vectors<T>::vector multiply_add(typename Vectors<T>::vector a, typename Vectors<T>::vector b,
                                                typename Vectors<T>::vector c) {
#if defined(__AVX__) && defined(__FMA__)
    if constexpr (sizeof(T) == 4) {
        return (typename Vectors<T>::vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
    } else {
        return (typename Vectors<T>::vector)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
    }
#else
    return a * b + c;
#endif
}

// Labels per row in memory: whole vectors.
template <class T>
inline int64_t padded(int64_t labels) {
    constexpr int width = Vectors<T>::width;
    return (labels + width - 1) / width * width;
}

// Calls body(std::integral_constant<int, n>, column) for the columns of a row in blocks of n <= BLOCK vectors.
template <class T, class Body>
inline void for_blocks(int64_t columns, const Body& body) {
    constexpr int width = Vectors<T>::width;
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

// Beliefs below exp(-50) = 2e-22 are 0: products with them would be denormal numbers, which are slow.
constexpr double SMALLEST_EXPONENT = -50;

template <class T>
inline T sum_of(typename Vectors<T>::vector value) {
    T lanes[Vectors<T>::width];
    Vectors<T>::store(lanes, value);
    for (int half = Vectors<T>::width / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    return lanes[0];
}

template <class T>
inline T largest_of(typename Vectors<T>::vector value) {
    T lanes[Vectors<T>::width];
    Vectors<T>::store(lanes, value);
    for (int half = Vectors<T>::width / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    }
    return lanes[0];
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

// Every row of rows [count, columns] becomes its softmax.
template <class T>
NOINLINE void softmax(T* rows, int64_t count, int64_t columns) {
    using V = Vectors<T>;
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

// gradient [count, columns] of the softmax becomes that of its argument: q (g - <g, q>).
template <class T>
NOINLINE void softmax_backward(T* gradient, const T* beliefs, int64_t count, int64_t columns) {
    using V = Vectors<T>;
    for (int64_t i = 0; i < count * columns; i += columns) {
        typename V::vector sum{};
        for (int64_t c = i; c < i + columns; c += V::width) sum += V::load(gradient + c) * V::load(beliefs + c);
        const T inner = sum_of<T>(sum);
        for (int64_t c = i; c < i + columns; c += V::width) {
            V::store(gradient + c, (V::load(gradient + c) - inner) * V::load(beliefs + c));
        }
    }
}

}  // namespace crfrnn
