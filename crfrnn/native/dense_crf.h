// A dense CRF over one set of points whose kernels are built once: all iterations of mean field, or one by one.
// The equations are those of crfrnn/densecrf/crf.py.
#pragma once

#include "incremental.h"
#include "lattice_join.h"

namespace crfrnn {

// Tables in memory of their own.
class OwnedTables {
  public:
    OwnedTables() = default;
    OwnedTables(Array<int32_t> index, int64_t points, int64_t corners, const TableSizes& sizes)
        : index_(std::move(index)),
          wide_(sizes.chunks + 1 + sizes.axes + 1),
          narrow_(2 * sizes.spills + sizes.runs + 1 + sizes.members) {
        room = TableRoom{index_,
                         wide_,
                         wide_ + sizes.chunks + 1,
                         narrow_,
                         narrow_ + sizes.spills,
                         narrow_ + 2 * sizes.spills,
                         narrow_ + 2 * sizes.spills + sizes.runs + 1};
        view = Tables{points,         corners,        sizes.rows,       sizes.chunks,    sizes.spills,
                      sizes.axes,     index_,         room.chunk_start, room.spill_rows, room.spill_owners,
                      room.axis_runs, room.run_start, room.members};
    }

    Tables view;
    TableRoom room;

  private:
    Array<int32_t> index_;
    Array<int64_t> wide_;
    Array<int32_t> narrow_;
};

// Where the row sums of a kernel divide it, as in crfrnn/densecrf/terms.py.
enum Normalization { NONE, BEFORE, AFTER, SYMMETRIC };

// The kernel of one term, normalized as diag(outer) K diag(inner); null factors are ones.
template <class T>
struct Term {
    OwnedTables tables;
    Array<T> weights, factor;
    const T *inner, *outer;
    T alpha;
};

// As in crfrnn/kernels/normalizers.py, operation by operation.
template <class T>
inline void normalize(Term<T>& term, Normalization normalization, int threads) {
    const Tables& tables = term.tables.view;
    term.inner = term.outer = nullptr;
    if (normalization == NONE) return;
    term.factor = Array<T>(tables.points);
    const Array<T> work(tables.rows);
    row_sums(tables, static_cast<const T*>(term.weights), static_cast<T*>(work), static_cast<T*>(term.factor), threads);
    for (int64_t i = 0; i < tables.points; ++i) {
        const T factor = 1 / (term.alpha * term.factor[i] + T(1e-20));
        const T root = factor == 0 ? 0 : std::sqrt(std::max(factor, std::numeric_limits<T>::min()));
        term.factor[i] = normalization == SYMMETRIC ? root : factor;
    }
    if (normalization != AFTER) term.inner = term.factor;
    if (normalization != BEFORE) term.outer = term.factor;
}

// Null where `build` refuses the features [points, dimensions].
template <class T>
inline std::unique_ptr<Term<T>> make_term(const T* features, int64_t points, int dimensions,
                                          Normalization normalization, int threads) {
    std::unique_ptr<Term<T>> out(new Term<T>);
    const int64_t corners = dimensions + 1;
    out->weights = Array<T>(points * corners);
    Array<int32_t> index(points * corners);
    const Array<uint8_t> axes(points * dimensions);
    Built built;
    const Points<T> all{features, 1, points, dimensions};
    if (!build(all, Simplices<T>{out->weights, axes, index}, false, threads, built)) return nullptr;
    out->tables = OwnedTables(std::move(index), points, corners, sizes_of(built));
    write_tables(built, out->tables.room);
    out->alpha = T(1 / (1 + std::ldexp(1.0, -dimensions)));
    normalize(*out, normalization, threads);
    return out;
}

// features [height, width, 2 + channels]: (x, y, channels) of every pixel over `thetas`.
template <class T>
inline void pixel_features(const T* image, int64_t height, int64_t width, int channels, const T* thetas, T* features,
                           int threads) {
    in_parallel(threads_for(threads, height * width * (2 + channels)), [&](Worker worker) {
        for (int64_t y = worker.begin(height); y < worker.end(height); ++y) {
            for (int64_t x = 0; x < width; ++x) {
                const T* colors = image + (y * width + x) * channels;
                T* to = features + (y * width + x) * (2 + channels);
                *to++ = T(x) / thetas[0];
                *to++ = T(y) / thetas[1];
                for (int c = 0; c < channels; ++c) *to++ = colors[c] / thetas[2 + c];
            }
        }
    });
}

// All terms of a CRF, side by side.
template <class T>
struct Pairwise {
    OwnedTables tables;
    Array<T> splat_weights, slice_weights;
    std::vector<int64_t> segment_start;
    std::vector<T> zeros, ones, diagonal;  // what `matrices` are made of where they are diagonal [terms, columns]
    Matrices<T> matrices;
    int64_t labels;

    Model<T> model() const {
        const T* slice = slice_weights ? slice_weights : splat_weights;
        return {tables.view, 1, labels, splat_weights, slice, int64_t(segment_start.size()) - 1, segment_start.data()};
    }
};

// Penalties as one number for each term, or as one for each term and label.
template <class T>
inline void set_diagonal(Pairwise<T>& pairwise, const Term<T>* const* terms, const T* penalties, bool by_label) {
    const int64_t count = int64_t(pairwise.segment_start.size()) - 1, columns = padded<T>(pairwise.labels);
    pairwise.zeros.assign(count * columns, T(0));
    pairwise.ones.assign(count * columns, T(1));
    pairwise.diagonal = pairwise.zeros;
    for (int64_t m = 0; m < count; ++m) {
        for (int64_t l = 0; l < pairwise.labels; ++l) {
            const T penalty = penalties[by_label ? m * pairwise.labels + l : m];
            pairwise.diagonal[m * columns + l] = terms[m]->alpha * penalty;
        }
    }
    pairwise.matrices = Matrices<T>{nullptr, pairwise.zeros.data(), pairwise.ones.data(), pairwise.diagonal.data()};
}

template <class T>
inline std::unique_ptr<Pairwise<T>> make_pairwise(const Term<T>* const* terms, int64_t count, int64_t labels,
                                                  int threads) {
    std::unique_ptr<Pairwise<T>> out(new Pairwise<T>);
    std::vector<Tables> parts;
    std::vector<int64_t> widths;
    std::vector<const T*> weights, inner, outer;
    int64_t corners = 0;
    out->segment_start.push_back(0);
    for (int64_t m = 0; m < count; ++m) {
        parts.push_back(terms[m]->tables.view);
        widths.push_back(parts[m].corners);
        weights.push_back(terms[m]->weights);
        inner.push_back(terms[m]->inner);
        outer.push_back(terms[m]->outer);
        corners += parts[m].corners;
        out->segment_start.push_back(out->segment_start[m] + parts[m].rows);
    }
    const int64_t points = parts[0].points;
    const Join join{parts.data(), count, true};
    out->tables = OwnedTables(Array<int32_t>(points * corners), points, corners, sizes_of(join));
    join_tables(join, out->tables.room, threads);
    const auto fold = [&](const std::vector<const T*>& factors, Array<T>& into) {
        into = Array<T>(points * corners);
        fold_weights(points, count, widths.data(), weights.data(), factors.data(), static_cast<T*>(into), threads);
    };
    fold(inner, out->splat_weights);
    if (inner != outer) fold(outer, out->slice_weights);
    out->labels = labels;
    return out;
}

// out [labels, points]: the logits after some iterations; those of the first are `logits` [labels, points]. Above 0,
// `limit` is that of `incremental_mean_field`.
template <class T>
inline void run_iterations(const Pairwise<T>& pairwise, const T* logits, int64_t iterations, T limit, T* out,
                           int threads) {
    const Model<T> model = pairwise.model();
    const Tables& tables = model.tables;
    const int64_t columns = padded<T>(model.labels), points = tables.points;
    const Labels<const T> given{logits, 0, points, 1};
    const Labels<T> found{out, 0, points, 1};
    if (limit > 0) {
        incremental_mean_field(model, given, given, false, iterations, T(0), limit, pairwise.matrices,
                               pairwise.matrices, model.labels, found, threads);
        return;
    }
    const Array<T> unary(points * columns), blurred(tables.rows * columns), sliced(tables.rows * columns);
    T* rows[] = {blurred};
    mean_field(model, given, given, false, iterations, T(-1), pairwise.matrices, pairwise.matrices, model.labels, found,
               Buffers<T>{unary, rows, sliced, nullptr, nullptr, false}, threads);
}

// costs [points, labels] = sum_m W_m K_m Q for beliefs Q [points, labels]; false where these are not finite.
template <class T>
inline bool find_costs(const Pairwise<T>& pairwise, const T* beliefs, T* costs, int threads) {
    const Model<T> model = pairwise.model();
    const Tables& tables = model.tables;
    const int64_t columns = padded<T>(model.labels), points = tables.points, labels = model.labels;
    const Array<T> rows(tables.rows * columns), sliced(tables.rows * columns);
    const Labels<const T> given{beliefs, 0, 1, labels};
    threads = threads_for(threads, points * columns);
    std::vector<T> probes(threads, T(0));
    in_parallel(threads, [&](Worker worker) {
        const Filter<T> filter{tables, columns, worker};
        const Array<T> tile(TILE * columns);
        T probe = 0;
        clear_rows(worker, model, static_cast<T*>(rows), columns);
        worker.wait();
        for_tiles(tables, worker, points, [&](int64_t first, int64_t count) {
            read_tile(given, points, first, count, labels, columns, T(0), static_cast<T*>(tile));
            for (int64_t c = 0; c < count * columns; ++c) probe += 0 * tile[c];
            splat_points<T>(tables, first, count, tile, model.splat_weights, columns, rows);
        });
        probes[worker.number] = probe;
        worker.wait();
        filter.collect(rows);
        worker.wait();
        filter.blur(rows, false);
        filter.spread(rows);
        worker.wait();
        transform_rows<T>(worker, model.segments, model.segment_start, pairwise.matrices, labels, rows, columns, sliced,
                          columns);
        worker.wait();
        for_tiles(tables, worker, points, [&](int64_t first, int64_t count) {
            slice_points<T>(tables, first, count, sliced, model.slice_weights, columns, tile);
            write_tile<T>(Labels<T>{costs, 0, 1, labels}, points, first, count, labels, columns, tile);
        });
    });
    return probes == probes;  // as NaN is not
}

// beliefs [points, labels] = softmax(logits - costs).
template <class T>
inline void update_beliefs(const Tables& tables, int64_t labels, const T* logits, const T* costs, T* beliefs,
                           int threads) {
    const int64_t columns = padded<T>(labels), points = tables.points;
    in_parallel(threads_for(threads, points * columns), [&](Worker worker) {
        const Array<T> tile(TILE * columns);
        for_tiles(tables, worker, points, [&](int64_t first, int64_t count) {
            read_tile(Labels<const T>{logits, 0, points, 1}, points, first, count, labels, columns,
                      -std::numeric_limits<T>::infinity(), static_cast<T*>(tile));
            for (int64_t i = 0; i < count; ++i) {
                for (int64_t l = 0; l < labels; ++l) tile[i * columns + l] -= costs[(first + i) * labels + l];
            }
            softmax<T>(tile, count, columns);
            write_tile<T>(Labels<T>{beliefs, 0, 1, labels}, points, first, count, labels, columns, tile);
        });
    });
}

// sum over points and labels of q (log q - logit + cost).
template <class T>
inline double divergence(const Tables& tables, int64_t labels, const T* logits, const T* costs, const T* beliefs,
                         int threads) {
    const int64_t points = tables.points;
    threads = threads_for(threads, points * labels);
    std::vector<double> sums(threads, 0.0);
    in_parallel(threads, [&](Worker worker) {
        double sum = 0;
        for (int64_t i = worker.begin(points); i < worker.end(points); ++i) {
            for (int64_t l = 0; l < labels; ++l) {
                const T q = beliefs[i * labels + l];
                sum += q * (std::log(std::max(q, T(1e-20))) - logits[l * points + i] + costs[i * labels + l]);
            }
        }
        sums[worker.number] = sum;
    });
    double total = 0;
    for (const double sum : sums) total += sum;
    return total;
}

}  // namespace crfrnn
