// Building the permutohedral lattice: vertices by hashing, and their neighbors. See crfrnn/lattice/NOTES.md.
#pragma once

#include <limits>

#include "lattice_keys.h"
#include "memory.h"

namespace crfrnn {

// Points of several images, by features in units of their standard deviations.
template <class T>
struct Points {
    const T* features;  // [images, per_image, dimensions]
    int64_t images, per_image;
    int dimensions;

    int64_t count() const { return images * per_image; }
};

// What is found for each of them.
template <class T>
struct Simplices {
    T* weights;      // [points, dimensions + 1]
    uint8_t* axes;   // [dimensions, points]
    int32_t* index;  // [points, dimensions + 1]
};

// Vertices, their neighbors and the runs of neighbors along every axis.
//
// Points are cut into chunks, so that every thread splats into rows of its own: a vertex belongs to the first chunk
// that touches it; each later one has a row of its own for it, a spill, which is added to the vertex after the splat
// and takes the value of the vertex before the slice.
struct Built {
    int64_t vertices = 0;
    std::vector<int64_t> chunk_start;            // [chunks + 1]
    std::vector<int32_t> spill_owners;           // the vertex of row `vertices + s`
    std::vector<std::vector<int32_t>> members;   // [axes] the vertices of every run of two or more, one after the other
    std::vector<std::vector<int32_t>> run_ends;  // [axes] where each run ends in `members`
};

// One chunk for each thread and image that has points for it.
inline std::vector<int64_t> cut_chunks(int64_t images, int64_t per_image, int threads) {
    std::vector<int64_t> start;
    for (int64_t image = 0; image < images; ++image) {
        for (int64_t t = 0; t < threads; ++t) {
            const int64_t first = image * per_image + t * per_image / threads;
            if (start.empty() || first != start.back()) start.push_back(first);
        }
    }
    start.push_back(images * per_image);
    return start;
}

// Finds the simplices of one chunk of points, all of one image, and numbers their vertices.
//
// Most points share vertices with the one before. Telling which takes longer than looking all of them up: branches that
// the processor cannot foresee.
template <class T, int D>
class ChunkBuilder {
  public:
    ChunkBuilder(const Points<T>& points, const Simplices<T>& out, const T* scales, const Packing& packing,
                 KeyTable& table)
        : points_(points), out_(out), scales_(scales), packing_(packing), table_(table) {
        for (int i = 0; i < MAX_DIMENSIONS; ++i) {
            low_[i] = V{} + std::numeric_limits<T>::max();
            high_[i] = V{} + std::numeric_limits<T>::lowest();
        }
    }

    void run(int64_t begin, int64_t end, Extremes<T>& corners) {
        const int dimensions = D ? D : points_.dimensions;
        first_key_ = plus(packing_.first, times(begin / points_.per_image, packing_.image_stride));
        for (int64_t first = begin; first < end; first += LANES) {
            const int used = int(std::min<int64_t>(LANES, end - first));
            embed<T, D>(points_.features + first * dimensions, used, dimensions, scales_, block_);
            for (int i = 0; i < dimensions; ++i) {
                const V corner = block_.corner[i];
                low_[i] = corner < low_[i] ? corner : low_[i];
                high_[i] = corner > high_[i] ? corner : high_[i];
            }
            find_keys();
            number(first, used);
        }
        for (int i = 0; i < dimensions; ++i) {
            for (int l = 0; l < LANES; ++l) {
                corners.take(i, low_[i][l]);
                corners.take(i, high_[i][l]);
            }
        }
    }

  private:
    using V = typename Lanes<T>::numbers;

    void find_keys() {
        const int dimensions = D ? D : points_.dimensions;
        for (int l = 0; l < LANES; ++l) keys_[0][l] = first_key_;
        for (int i = 0; i < dimensions; ++i) {
            for (int l = 0; l < LANES; ++l) {
                const int64_t steps = Coordinate<T>(block_.corner[i][l]);
                keys_[0][l] = plus(keys_[0][l], times(steps, packing_.steps[i]));
            }
        }
        for (int k = 0; k < dimensions; ++k) {
            for (int l = 0; l < LANES; ++l) keys_[k + 1][l] = plus(keys_[k][l], packing_.steps[block_.axes[k][l]]);
        }
        for (int k = 0; k <= dimensions; ++k) {
            for (int l = 0; l < LANES; ++l) table_.prefetch(keys_[k][l]);
        }
    }

    void number(int64_t first, int used) {
        const int dimensions = D ? D : points_.dimensions, corners = dimensions + 1;
        for (int l = 0; l < used; ++l) {
            int32_t* index = out_.index + (first + l) * corners;
            T* weights = out_.weights + (first + l) * corners;
            for (int k = 0; k < corners; ++k) {
                index[k] = table_.find_or_add(keys_[k][l]);
                weights[k] = block_.weights[k][l];
            }
        }
        for (int k = 0; k < dimensions; ++k) {
            uint8_t* axes = out_.axes + k * points_.count() + first;
            for (int l = 0; l < used; ++l) axes[l] = uint8_t(block_.axes[k][l]);
        }
    }

    const Points<T>& points_;
    const Simplices<T>& out_;
    const T* scales_;
    const Packing& packing_;
    KeyTable& table_;
    int64_t first_key_;
    SimplexBlock<T> block_;
    V low_[MAX_DIMENSIONS], high_[MAX_DIMENSIONS];
    int64_t keys_[MAX_DIMENSIONS + 1][LANES];
};

// The next vertex of each, or -1. Most have none, in no order that the processor could foresee: hence few branches.
inline void find_next(const KeyTable& table, const Sieve& sieve, int64_t step, int64_t from, int64_t to,
                      int32_t* next) {
    constexpr int64_t AHEAD = 64;
    int32_t likely[AHEAD];
    for (int64_t first = from; first < to; first += AHEAD) {
        int size = 0;
        for (int64_t v = first; v < std::min(first + AHEAD, to); ++v) {
            next[v] = -1;
            likely[size] = int32_t(v);
            size += sieve.passes(plus(table.keys[v], step));
        }
        for (int i = 0; i < size; ++i) table.prefetch(plus(table.keys[likely[i]], step));
        for (int i = 0; i < size; ++i) next[likely[i]] = table.find(plus(table.keys[likely[i]], step));
    }
}

// The vertices along one axis as runs of neighbors; vertices alone are left out, as no blur changes them.
inline void find_runs(const int32_t* next, int64_t vertices, std::vector<int32_t>& members,
                      std::vector<int32_t>& ends) {
    std::vector<uint8_t> follows(vertices + 1, 0);  // of vertex v at v + 1
    for (int64_t v = 0; v < vertices; ++v) follows[next[v] + 1] = 1;
    const Array<int32_t> starts(vertices);
    int64_t count = 0, size = 0;
    for (int64_t v = 0; v < vertices; ++v) {
        starts[count] = int32_t(v);
        count += (next[v] >= 0) & !follows[v + 1];
        size += (next[v] >= 0) | follows[v + 1];
    }
    members.resize(size);
    ends.resize(count);
    int32_t* member = members.data();
    for (int64_t i = 0; i < count; ++i) {
        for (int32_t vertex = starts[i]; vertex >= 0; vertex = next[vertex]) *member++ = vertex;
        ends[i] = int32_t(member - members.data());
    }
}

// Finds all simplices and numbers the vertices of each chunk; false where a feature is not finite, or so large that T
// has no fractional part there.
template <class T, int D>
inline bool number_chunks(const Points<T>& points, const Simplices<T>& out, const std::vector<int64_t>& chunk_start,
                          bool dilate, int threads, Packing& packing, std::vector<KeyTable>& tables) {
    const int dimensions = points.dimensions;
    const int64_t chunks = int64_t(chunk_start.size()) - 1;
    T scales[MAX_DIMENSIONS];
    elevation_scales(dimensions, scales);
    std::vector<Extremes<T>> features(threads), corners(threads);
    std::vector<uint8_t> fits(threads, 1);
    in_parallel(threads, [&](Worker worker) {
        const int64_t begin = worker.begin(points.count()), end = worker.end(points.count());
        Extremes<T>& own = features[worker.number];
        fits[worker.number] = take_features(points.features + begin * dimensions, end - begin, dimensions, own);
    });
    for (const Extremes<T>& each : features) {
        for (int i = 0; i < dimensions; ++i) {
            features[0].take(i, each.low[i]);
            features[0].take(i, each.high[i]);
        }
    }
    constexpr T EPSILON = std::numeric_limits<T>::epsilon();
    if (std::count(fits.begin(), fits.end(), 0) || features[0].reach(dimensions) * EPSILON >= 2) return false;
    double low[MAX_DIMENSIONS], high[MAX_DIMENSIONS];
    bound_corners(features[0], dimensions, scales, low, high);
    packing = plan_packing(low, high, dimensions, points.images, dilate);
    in_parallel(threads, [&](Worker worker) {
        for (int64_t c = worker.begin(chunks); c < worker.end(chunks); ++c) {
            ChunkBuilder<T, D>(points, out, scales, packing, tables[c])
                .run(chunk_start[c], chunk_start[c + 1], corners[worker.number]);
        }
    });
    return std::all_of(corners.begin(), corners.end(),
                       [&](const Extremes<T>& each) { return each.reach(dimensions) * EPSILON < 1; });
}

// Gives the vertices of each chunk but the first, whose keys are in tables[chunk], rows of the whole lattice; spills as
// -1 - spill. Afterwards tables[0] holds all vertices.
inline std::vector<std::vector<int32_t>> merge_chunks(std::vector<KeyTable>& tables, std::vector<int32_t>& owners) {
    KeyTable& all = tables[0];
    std::vector<std::vector<int32_t>> rows(tables.size());
    for (size_t c = 1; c < tables.size(); ++c) {
        const std::vector<int64_t>& keys = tables[c].keys;
        rows[c].resize(keys.size());
        for (size_t i = 0; i < keys.size(); ++i) {
            if (i + 8 < keys.size()) all.prefetch(keys[i + 8]);
            const size_t known = all.keys.size();
            const int32_t vertex = all.find_or_add(keys[i]);
            rows[c][i] = vertex;
            if (size_t(vertex) < known) {
                rows[c][i] = -1 - int32_t(owners.size());
                owners.push_back(vertex);
            }
        }
    }
    return rows;
}

// Adds every vertex one step away from those of `table`.
inline void dilate_table(KeyTable& table, const int64_t* steps, int axes) {
    const size_t touched = table.keys.size();
    for (size_t v = 0; v < touched; ++v) {
        for (int axis = 0; axis < axes; ++axis) {
            table.find_or_add(plus(table.keys[v], steps[axis]));
            table.find_or_add(plus(table.keys[v], times(-1, steps[axis])));
        }
    }
}

// Fills `out` and the vertices; false, with neither of use, for features that `number_chunks` refuses.
template <class T>
inline bool build(const Points<T>& points, const Simplices<T>& simplices, bool dilate, int threads, Built& out) {
    const int corners = points.dimensions + 1;
    out.chunk_start = cut_chunks(points.images, points.per_image, threads);
    const int64_t chunks = int64_t(out.chunk_start.size()) - 1;
    threads = threads_for(threads, points.count() * corners);

    std::vector<KeyTable> tables;
    for (int64_t c = 0; c < chunks; ++c) tables.emplace_back(out.chunk_start[c + 1] - out.chunk_start[c]);
    // Positions, and positions with three colors.
    const auto number = points.dimensions == 2   ? number_chunks<T, 2>
                        : points.dimensions == 5 ? number_chunks<T, 5>
                                                 : number_chunks<T, 0>;
    Packing packing;
    if (!number(points, simplices, out.chunk_start, dilate, threads, packing, tables)) return false;
    const std::vector<std::vector<int32_t>> rows = merge_chunks(tables, out.spill_owners);
    KeyTable& all = tables[0];
    if (dilate) dilate_table(all, packing.steps, corners);

    out.vertices = int64_t(all.keys.size());
    const Sieve sieve(all.keys);
    const Array<int32_t> next(corners * out.vertices);  // by axis
    out.members.resize(corners);
    out.run_ends.resize(corners);
    in_parallel(threads, [&](Worker worker) {
        const int32_t vertices = int32_t(out.vertices);
        for (int64_t c = std::max<int64_t>(1, worker.begin(chunks)); c < worker.end(chunks); ++c) {
            const int64_t end = out.chunk_start[c + 1] * corners;
            for (int64_t i = out.chunk_start[c] * corners; i < end; ++i) {
                const int32_t row = rows[c][simplices.index[i]];
                simplices.index[i] = row < 0 ? vertices - 1 - row : row;
            }
        }
        for (int axis = 0; axis < corners; ++axis) {
            find_next(all, sieve, packing.steps[axis], worker.begin(out.vertices), worker.end(out.vertices),
                      next + axis * out.vertices);
        }
        worker.wait();
        for (int axis = worker.number; axis < corners; axis += worker.count) {
            find_runs(next + axis * out.vertices, out.vertices, out.members[axis], out.run_ends[axis]);
        }
    });
    return true;
}

}  // namespace crfrnn
