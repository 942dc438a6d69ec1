// The C interface of the fused mean field, for numbers of type REAL. Arguments are checked on the Python side.
#include "incremental.h"
#include "mean_field_backward.h"

using namespace crfrnn;

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
    return mean_field(*model, *unary, *final_unary, fewer_labels, iterations, tolerance, *matrices, *final_matrices,
                      final_labels, *out, *buffers, threads);
}

EXPORT void native_incremental_mean_field(const Model<REAL>* model, const Labels<const REAL>* unary,
                                          const Labels<const REAL>* final_unary, bool fewer_labels, int64_t iterations,
                                          REAL tolerance, REAL limit, const Matrices<REAL>* matrices,
                                          const Matrices<REAL>* final_matrices, int64_t final_labels,
                                          const Labels<REAL>* out, int threads) {
    const Crew crew(threads);
    incremental_mean_field(*model, *unary, *final_unary, fewer_labels, iterations, tolerance, limit, *matrices,
                           *final_matrices, final_labels, *out, threads);
}

EXPORT void native_mean_field_backward(const Model<REAL>* model, const Labels<const REAL>* gradient_out,
                                       int64_t iterations, const Matrices<REAL>* transposed,
                                       const Buffers<REAL>* buffers, REAL* work, REAL* total,
                                       const Labels<REAL>* gradient_unary, const Gradients<REAL>* gradients,
                                       int threads) {
    const Crew crew(threads);
    mean_field_backward(*model, *gradient_out, iterations, *transposed, *buffers, work, total, *gradient_unary,
                        *gradients, threads);
}
