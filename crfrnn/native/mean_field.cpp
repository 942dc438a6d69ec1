// The C interface of the fused mean field, for numbers of type REAL. Arguments are checked on the Python side.
#include "incremental.h"
#include "mean_field_backward.h"

using namespace crfrnn;

// Logits of all labels, as Python makes room for them: without gaps.
static void prefer_large_pages_for(const Labels<REAL>& out, const Model<REAL>& model, int64_t labels) {
    prefer_large_pages(out.data, model.tables.points * labels);
}

EXPORT void native_peak_beliefs(const Labels<const REAL>* unary, int64_t images, int64_t points_per_image,
                                int64_t labels, REAL* peaks, int threads) {
    const Crew crew(threads);
    peak_beliefs(*unary, images, points_per_image, labels, peaks, threads);
}

EXPORT int64_t native_mean_field(const Model<REAL>* model, const Labels<const REAL>* unary,
                                 const Labels<const REAL>* final_unary, bool fewer_labels, int64_t iterations,
                                 REAL tolerance, const Matrices<REAL>* matrices, const Matrices<REAL>* final_matrices,
                                 int64_t final_labels, const Labels<REAL>* out, const Buffers<REAL>* buffers,
                                 int threads) {
    const Crew crew(threads);
    const int64_t columns = padded<REAL>(model->labels), final_columns = padded<REAL>(final_labels);
    const int64_t points = model->tables.points * columns, rows = model->tables.rows * columns;
    for (int64_t t = 0; t < (buffers->keep ? iterations : 1); ++t) {
        if (buffers->beliefs) prefer_large_pages(buffers->beliefs[t], points);
        prefer_large_pages(buffers->blurred[t], rows);
    }
    prefer_large_pages(buffers->unary, points);
    prefer_large_pages(buffers->logits, points);
    prefer_large_pages(buffers->sliced, model->tables.rows * std::max(columns, final_columns));
    prefer_large_pages_for(*out, *model, final_labels);
    return mean_field(*model, *unary, *final_unary, fewer_labels, iterations, tolerance, *matrices, *final_matrices,
                      final_labels, *out, *buffers, threads);
}

EXPORT void native_incremental_mean_field(const Model<REAL>* model, const Labels<const REAL>* unary,
                                          const Labels<const REAL>* final_unary, bool fewer_labels, int64_t iterations,
                                          REAL tolerance, REAL limit, const Matrices<REAL>* matrices,
                                          const Matrices<REAL>* final_matrices, int64_t final_labels,
                                          const Labels<REAL>* out, int threads) {
    const Crew crew(threads);
    prefer_large_pages_for(*out, *model, final_labels);
    incremental_mean_field(*model, *unary, *final_unary, fewer_labels, iterations, tolerance, limit, *matrices,
                           *final_matrices, final_labels, *out, threads);
}

EXPORT void native_mean_field_backward(const Model<REAL>* model, const Labels<const REAL>* gradient_out,
                                       int64_t iterations, const Matrices<REAL>* transposed,
                                       const Buffers<REAL>* buffers, REAL* work, REAL* total,
                                       const Labels<REAL>* gradient_unary, const Gradients<REAL>* gradients,
                                       int threads) {
    const Crew crew(threads);
    const int64_t columns = padded<REAL>(model->labels);
    REAL* const penalties = gradients->splat_weights ? gradients->penalties : nullptr;
    for (REAL* rows : {buffers->sliced, work, penalties}) {
        prefer_large_pages(rows, model->tables.rows * columns);
    }
    prefer_large_pages(total, model->tables.points * columns);
    prefer_large_pages_for(*gradient_unary, *model, model->labels);
    mean_field_backward(*model, *gradient_out, iterations, *transposed, *buffers, work, total, *gradient_unary,
                        *gradients, threads);
}
