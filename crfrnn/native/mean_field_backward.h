// The derivative of the fused mean field: the steps of mean_field.h in reverse. The equations are those of
// crfrnn/fused/mean_field.py.
#pragma once

#include "mean_field.h"

namespace crfrnn {

// Where gradients go, and the rows of label matrices that those of the weights need; null where nobody wants them.
template <class T>
struct Gradients {
    T* matrices;                        // [threads, segments, labels, columns], one part per worker
    T *splat_weights, *slice_weights;   // [points, corners], which hold zeros
    const Matrices<T>* label_matrices;  // those of the forward pass
    T* penalties;                       // [rows, columns] to work in
};

template <class T, int N>
inline T inner_product(const Block<T, N>& left, const Block<T, N>& right) {
    constexpr int BYTES = Block<T, N>::BYTES;
    auto sum = left.part[0] * right.part[0];
    for (int n = 1; n < left.PARTS; ++n) sum = multiply_add<T, BYTES>(left.part[n], right.part[n], sum);
    return sum_of<T, BYTES>(sum);
}

// products [points, corners] += <rows[index_p], values [count, columns]> for the points from `first` on. Where it
// SLICES, out is what `slice_points` makes of the same rows.
template <bool SLICES, class T>
NOINLINE void add_products(const Tables& tables, int64_t first, int64_t count, const T* rows, const T* values,
                           int64_t columns, T* products, const T* weights = nullptr, T* out = nullptr) {
    for_blocks_and_corners<T>(columns, tables.corners, [&](auto size, auto corners, int64_t c) {
        using B = Block<T, size()>;
        const int64_t stride = size() ? columns : B::V::width, last = corners;
        const T* from = rows + c;
        for (int64_t i = 0; i < count; ++i) {
            const int32_t* index = tables.index + (first + i) * last;
            T* product = products + (first + i) * last;
            prefetch_rows(from, stride, index, last, count - i);
            const B value = B::load(values + i * stride + c);
            B sum{};
            for (int64_t p = 0; p < last; ++p) {
                const B row = B::load(from + index[p] * stride);
                product[p] += inner_product(row, value);
                if constexpr (SLICES) sum.add(row, weights[(first + i) * last + p]);
            }
            if constexpr (SLICES) sum.store(out + i * stride + c);
        }
    });
}

// gradient [count, columns] of the softmax becomes minus that of its argument, q (g - <g, q>), which `sum` gathers.
template <class T>
NOINLINE void softmax_backward(T* gradient, const T* beliefs, T* sum, int64_t count, int64_t columns) {
    with_vectors<T>(columns, [&](auto vectors) {
        using V = decltype(vectors);
        for (int64_t i = 0; i < count * columns; i += columns) {
            typename V::vector products{};
            for (int64_t c = i; c < i + columns; c += V::width) {
                products += V::load(gradient + c) * V::load(beliefs + c);
            }
            const T inner = sum_of<T, sizeof(products)>(products);
            for (int64_t c = i; c < i + columns; c += V::width) {
                const typename V::vector own = (V::load(gradient + c) - inner) * V::load(beliefs + c);
                V::store(sum + c, V::load(sum + c) + own);
                V::store(gradient + c, -own);
            }
        }
    });
}

// gradient [segments, from, to_columns] += sum over rows of outer(from row, to row).
template <class T>
NOINLINE void add_outer_products(const Worker& worker, const Model<T>& model, const T* from, const T* to,
                                 int64_t columns, T* gradient) {
    constexpr int ROWS = 4;
    const auto add = [&](T* matrix, int64_t first, auto rows) {
        for_blocks<T>(columns, [&](auto size, int64_t c) {
            using B = Block<T, size()>;
            B value[rows()];
            for (int r = 0; r < rows(); ++r) value[r] = B::load(to + (first + r) * columns + c);
            for (int64_t l = 0; l < model.labels; ++l) {
                B sum = B::load(matrix + l * columns + c);
                for (int r = 0; r < rows(); ++r) sum.add(value[r], from[(first + r) * columns + l]);
                sum.store(matrix + l * columns + c);
            }
        });
    };
    for (int64_t s = 0; s < model.segments; ++s) {
        T* matrix = gradient + s * model.labels * columns;
        const int64_t size = model.segment_start[s + 1] - model.segment_start[s];
        const int64_t end = model.segment_start[s] + worker.end(size);
        int64_t row = model.segment_start[s] + worker.begin(size);
        for (; row + ROWS <= end; row += ROWS) add(matrix, row, std::integral_constant<int, ROWS>{});
        for (; row < end; ++row) add(matrix, row, std::integral_constant<int, 1>{});
    }
}

// The derivative of `mean_field` with all labels and all iterations, from what it kept: gradient_out -> gradient_unary
// and `gradients`. It destroys no kept buffer but `sliced`; `work` [rows, columns] and `total` [points, columns] are to
// work in.
template <class T>
void mean_field_backward(const Model<T>& model, Labels<const T> gradient_out, int64_t iterations,
                         const Matrices<T>& transposed, Buffers<T> buffers, T* work, T* total, Labels<T> gradient_unary,
                         const Gradients<T>& gradients, int threads) {
    const Tables& tables = model.tables;
    const int64_t columns = padded<T>(model.labels), points_per_image = tables.points / model.images;
    in_parallel(threads, [&](Worker worker) {
        const Filter<T> filter{tables, columns, worker};
        std::vector<T> gradient(TILE * columns);
        T* own_gradient =
            gradients.matrices ? gradients.matrices + worker.number * model.segments * model.labels * columns : nullptr;
        // What the points of iteration t, from 1 on, have sliced.
        const auto penalize = [&](int64_t t) {
            if (!gradients.slice_weights || t == 0) return;
            transform_rows(worker, model.segments, model.segment_start, *gradients.label_matrices, model.labels,
                           buffers.blurred[t - 1], columns, gradients.penalties, columns);
        };

        clear_rows(worker, model, work, columns);
        penalize(iterations);
        worker.wait();
        for (int64_t t = iterations;; --t) {
            for_tiles(tables, worker, points_per_image, [&](int64_t first, int64_t count) {
                T *tile = gradient.data(), *sum = total + first * columns;
                if (t == iterations) {
                    read_tile(gradient_out, points_per_image, first, count, model.labels, columns, T(0), sum);
                    for (int64_t c = 0; c < count * columns; ++c) tile[c] = -sum[c];
                } else {
                    const T* beliefs = buffers.beliefs[t] + first * columns;
                    if (gradients.splat_weights) {
                        add_products<true, T>(tables, first, count, buffers.sliced, beliefs, columns,
                                              gradients.splat_weights, model.splat_weights, tile);
                    } else {
                        slice_points(tables, first, count, buffers.sliced, model.splat_weights, columns, tile);
                    }
                    softmax_backward(tile, beliefs, sum, count, columns);
                }
                if (t == 0) {
                    write_tile(gradient_unary, points_per_image, first, count, model.labels, columns, sum);
                    return;
                }
                splat_points(tables, first, count, tile, model.slice_weights, columns, work);
                if (gradients.slice_weights) {
                    add_products<false, T>(tables, first, count, gradients.penalties, tile, columns,
                                           gradients.slice_weights);
                }
            });
            if (t == 0) break;
            worker.wait();
            filter.collect(work);
            worker.wait();
            if (own_gradient) {
                add_outer_products(worker, model, buffers.blurred[t - 1], work, columns, own_gradient);
            }
            transform_rows(worker, model.segments, model.segment_start, transposed, model.labels, work, columns,
                           buffers.sliced, columns);
            clear_rows(worker, model, work, columns);
            penalize(t - 1);
            worker.wait();
            filter.blur(buffers.sliced, true);
            filter.spread(buffers.sliced);
            worker.wait();
        }
    });
}

}  // namespace crfrnn
