// The C interface of a dense CRF, for numbers of type REAL. Arguments are checked on the Python side.
#include "dense_crf.h"

using namespace crfrnn;

// The term of features [points, dimensions]; null where they are not finite, or too large for their type.
EXPORT Term<REAL>* native_term(const REAL* features, int64_t points, int dimensions, int normalization, int threads) {
    const Crew crew(threads);
    return make_term(features, points, dimensions, Normalization(normalization), threads).release();
}

// The same of (x, y, channels) over `thetas` for the pixels of an image [height, width, channels].
EXPORT Term<REAL>* native_pixel_term(const REAL* image, int64_t height, int64_t width, int channels, const REAL* thetas,
                                     int normalization, int threads) {
    const Crew crew(threads);
    const int dimensions = 2 + channels;
    const Array<REAL> features(height * width * dimensions);
    pixel_features(image, height, width, channels, thetas, static_cast<REAL*>(features), threads);
    return make_term<REAL>(features, height * width, dimensions, Normalization(normalization), threads).release();
}

EXPORT void native_term_free(Term<REAL>* term) { delete term; }

// The terms of one CRF, which may be freed afterwards. Penalties [terms], or [terms, labels], or `matrices`, which have
// to live as long as what is returned.
EXPORT Pairwise<REAL>* native_pairwise(const Term<REAL>* const* terms, int64_t count, int64_t labels,
                                       const REAL* penalties, bool by_label, const Matrices<REAL>* matrices,
                                       int threads) {
    const Crew crew(threads);
    std::unique_ptr<Pairwise<REAL>> out = make_pairwise(terms, count, labels, threads);
    if (matrices) {
        out->matrices = *matrices;
    } else {
        set_diagonal(*out, terms, penalties, by_label);
    }
    return out.release();
}

EXPORT void native_pairwise_free(Pairwise<REAL>* pairwise) { delete pairwise; }

EXPORT void native_run_iterations(const Pairwise<REAL>* pairwise, const REAL* logits, int64_t iterations, REAL limit,
                                  REAL* out, int threads) {
    const Crew crew(threads);
    run_iterations(*pairwise, logits, iterations, limit, out, threads);
}

// beliefs [points, labels] become softmax(logits - their costs). `costs` are those of `known` beliefs, if not null, and
// found where these differ. False, with nothing written to beliefs, where they are not finite.
EXPORT bool native_step(const Pairwise<REAL>* pairwise, const REAL* logits, REAL* beliefs, const REAL* known,
                        REAL* costs, int threads) {
    const Crew crew(threads);
    const Tables& tables = pairwise->tables.view;
    const int64_t size = tables.points * pairwise->labels;
    if (!known || std::memcmp(known, beliefs, size * sizeof(REAL)) != 0) {
        if (!find_costs<REAL>(*pairwise, beliefs, costs, threads)) return false;
    }
    update_beliefs(tables, pairwise->labels, logits, costs, beliefs, threads);
    return true;
}

// The divergence, and costs [points, labels]; false where the beliefs are not finite.
EXPORT bool native_divergence(const Pairwise<REAL>* pairwise, const REAL* logits, const REAL* beliefs, REAL* costs,
                              double* divergence, int threads) {
    const Crew crew(threads);
    if (!find_costs(*pairwise, beliefs, costs, threads)) return false;
    *divergence = crfrnn::divergence(pairwise->tables.view, pairwise->labels, logits, costs, beliefs, threads);
    return true;
}
