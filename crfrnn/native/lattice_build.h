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

// Keys of the vertices of one point, from that of its corner.
template <class C>
inline void point_keys(const C* corner, const uint8_t* axes, int64_t points, int dimensions, int64_t key,
                       const int64_t* origin, const int64_t* strides, int64_t* keys) {
    for (int i = 0; i < dimensions; ++i) key = plus(key, times(corner[i] - origin[i], strides[i]));
    keys[0] = key;
    for (int k = 0; k < dimensions; ++k) keys[k + 1] = key = plus(key, strides[axes[k * points]]);
}

// Numbers the vertices of the points of one chunk, into `index` [points, dimensions + 1].
template <class T>
inline void number_chunk(const Points<T>& points, const Simplices<T>& simplices, const Coordinate<T>* corner,
                         const Packing& packing, int64_t begin, int64_t end, KeyTable& table) {
    constexpr int AHEAD = 8;
    const int dimensions = points.dimensions, corners = dimensions + 1;
    int64_t keys[AHEAD][MAX_DIMENSIONS + 1], last_keys[MAX_DIMENSIONS + 1];
    int32_t last[MAX_DIMENSIONS + 1];
    std::fill(last, last + corners, -1);
    for (int64_t first = begin; first < end; first += AHEAD) {
        const int used = int(std::min<int64_t>(AHEAD, end - first));
        for (int l = 0; l < used; ++l) {
            const int64_t point = first + l;
            point_keys(corner + point * dimensions, simplices.axes + point, points.count(), dimensions,
                       times(point / points.per_image, packing.image_stride), packing.origin, packing.steps, keys[l]);
            for (int k = 0; k < corners; ++k) table.prefetch(keys[l][k]);
        }
        for (int l = 0; l < used; ++l) {
            for (int k = 0; k < corners; ++k) {
                if (last[k] < 0 || keys[l][k] != last_keys[k]) {  // neighboring pixels often share vertices
                    last_keys[k] = keys[l][k];
                    last[k] = table.find_or_add(keys[l][k]);
                }
                simplices.index[(first + l) * corners + k] = last[k];
            }
        }
    }
}

inline void find_next(const KeyTable& table, int64_t step, int64_t from, int64_t to, int32_t* next) {
    constexpr int AHEAD = 16;
    for (int64_t v = from; v < std::min(from + AHEAD, to); ++v) table.prefetch(plus(table.keys[v], step));
    for (int64_t v = from; v < to; ++v) {
        if (v + AHEAD < to) table.prefetch(plus(table.keys[v + AHEAD], step));
        next[v] = table.find(plus(table.keys[v], step));
    }
}

// The vertices along one axis as runs of neighbors; vertices alone are left out, as no blur changes them.
inline void find_runs(const std::vector<int32_t>& next, std::vector<int32_t>& members, std::vector<int32_t>& ends) {
    std::vector<uint8_t> follows(next.size(), 0);
    for (const int32_t vertex : next) {
        if (vertex >= 0) follows[vertex] = 1;
    }
    members.reserve(next.size());
    for (size_t start = 0; start < next.size(); ++start) {
        if (follows[start] || next[start] < 0) continue;
        for (int32_t vertex = int32_t(start); vertex >= 0; vertex = next[vertex]) members.push_back(vertex);
        ends.push_back(int32_t(members.size()));
    }
}

// Simplices of all points and their corners [points, dimensions]; false where a feature is not finite, or so large that
// T has no fractional part there. low, high [dimensions]: the extreme coordinates of the corners.
template <class T>
inline bool embed_all(const Points<T>& points, const Simplices<T>& out, int threads, Coordinate<T>* corner, double* low,
                      double* high) {
    const int dimensions = points.dimensions;
    T scales[MAX_DIMENSIONS];
    elevation_scales(dimensions, scales);
    std::vector<Extremes<T>> extremes(threads);
    in_parallel(threads, [&](Worker worker) {
        embed(points.features, worker.begin(points.count()), worker.end(points.count()), dimensions, scales,
              out.weights, out.axes, points.count(), corner, extremes[worker.number]);
    });
    bool within = true;
    for (int i = 0; i < dimensions; ++i) {
        T least = extremes[0].low[i], most = extremes[0].high[i];
        for (const Extremes<T>& each : extremes) {
            within = within && each.within;
            least = std::min(least, each.low[i]);
            most = std::max(most, each.high[i]);
        }
        low[i] = least;
        high[i] = most;
        within = within && std::max(-low[i], high[i]) * std::numeric_limits<T>::epsilon() < 1;
    }
    return within;
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

// Fills `out` and the vertices; false, with neither of use, for features that `embed_all` refuses.
template <class T>
inline bool build(const Points<T>& points, const Simplices<T>& simplices, bool dilate, int threads, Built& out) {
    const int corners = points.dimensions + 1;
    out.chunk_start = cut_chunks(points.images, points.per_image, threads);
    const int64_t chunks = int64_t(out.chunk_start.size()) - 1;
    threads = threads_for(threads, points.count() * corners);

    const Array<Coordinate<T>> corner(points.count() * points.dimensions);
    double low[MAX_DIMENSIONS], high[MAX_DIMENSIONS];
    if (!embed_all(points, simplices, threads, corner, low, high)) return false;
    const Packing packing = plan_packing(low, high, points.dimensions, points.images, dilate);

    std::vector<KeyTable> tables;
    for (int64_t c = 0; c < chunks; ++c) tables.emplace_back(out.chunk_start[c + 1] - out.chunk_start[c]);
    in_parallel(threads, [&](Worker worker) {
        for (int64_t c = worker.begin(chunks); c < worker.end(chunks); ++c) {
            number_chunk(points, simplices, corner, packing, out.chunk_start[c], out.chunk_start[c + 1], tables[c]);
        }
    });
    const std::vector<std::vector<int32_t>> rows = merge_chunks(tables, out.spill_owners);
    KeyTable& all = tables[0];
    if (dilate) dilate_table(all, packing.steps, corners);

    out.vertices = int64_t(all.keys.size());
    std::vector<std::vector<int32_t>> next(corners, std::vector<int32_t>(out.vertices));  // the next vertex or -1
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
            find_next(all, packing.steps[axis], worker.begin(out.vertices), worker.end(out.vertices),
                      next[axis].data());
        }
        worker.wait();
        for (int axis = worker.number; axis < corners; axis += worker.count) {
            find_runs(next[axis], out.members[axis], out.run_ends[axis]);
        }
    });
    return true;
}

}  // namespace crfrnn
