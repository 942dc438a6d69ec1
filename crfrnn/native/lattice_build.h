// Building the permutohedral lattice: simplices, vertices by hashing, neighbors. See crfrnn/lattice/NOTES.md.
#pragma once

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

// The simplex of each of `count` points with features [count, dimensions]; the arithmetic of crfrnn/lattice/embed.py,
// operation by operation, so that both find the same one (compile without contraction to fused multiply-adds).
template <class T>
void embed(const T* features, int64_t from, int64_t to, int dimensions, const T* scales, T* weights, uint8_t* axes,
           int64_t points, Coordinate<T>* corners, T* low, T* high) {
    const int count = dimensions + 1;
    const T reciprocal = T(1) / count;
    T elevated[MAX_DIMENSIONS + 1][LANES], multiples[MAX_DIMENSIONS + 1][LANES], difference[MAX_DIMENSIONS + 1][LANES];
    int32_t rank[MAX_DIMENSIONS + 1][LANES];
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
                low[i] = std::min(low[i], corner);
                high[i] = std::max(high[i], corner);
                corners[point * dimensions + i] = Coordinate<T>(corner);
            }
        }
    }
}

// Keys are numbers modulo 2^64; see crfrnn/lattice/keys.py.
inline int64_t plus(int64_t key, int64_t step) { return int64_t(uint64_t(key) + uint64_t(step)); }
inline int64_t times(int64_t steps, int64_t stride) { return int64_t(uint64_t(steps) * uint64_t(stride)); }

// Numbers keys in the order in which they first come.
class KeyTable {
  public:
    // With room for about as many keys as points, as every growth has to place all keys again.
    explicit KeyTable(int64_t points) {
        size_t size = 1 << 10;
        while (size < size_t(points)) size *= 2;
        slots_.assign(size, Slot{0, -1});
        mask_ = int64_t(size) - 1;
    }

    void prefetch(int64_t key) const { __builtin_prefetch(&slots_[place(key)]); }

    // -1 where there is no such key.
    int32_t find(int64_t key) const {
        for (int64_t i = place(key);; i = (i + 1) & mask_) {
            if (slots_[i].number < 0 || slots_[i].key == key) return slots_[i].number;
        }
    }

    int32_t find_or_add(int64_t key) {
        int64_t i = place(key);
        for (; slots_[i].number >= 0; i = (i + 1) & mask_) {
            if (slots_[i].key == key) return slots_[i].number;
        }
        const int32_t number = int32_t(keys.size());
        slots_[i] = Slot{key, number};
        keys.push_back(key);
        if (2 * int64_t(keys.size()) > mask_) grow();
        return number;
    }

    std::vector<int64_t> keys;  // by number

  private:
    struct Slot {
        int64_t key;
        int32_t number;
    };

    int64_t place(int64_t key) const {
        const std::uint64_t mixed = std::uint64_t(key) * 0x9E3779B97F4A7C15ull;
        return int64_t((mixed ^ (mixed >> 32)) & std::uint64_t(mask_));
    }

    void grow() {
        slots_.assign(4 * slots_.size(), Slot{0, -1});
        mask_ = slots_.size() - 1;
        for (size_t number = 0; number < keys.size(); ++number) {
            int64_t i = place(keys[number]);
            while (slots_[i].number >= 0) i = (i + 1) & mask_;
            slots_[i] = Slot{keys[number], int32_t(number)};
        }
    }

    std::vector<Slot> slots_;
    int64_t mask_;
};

// Vertices, their neighbors and the runs of neighbors along every axis.
//
// Points are cut into chunks, so that every thread splats into rows of its own: a vertex belongs to the first chunk
// that touches it; each later one has a row of its own for it, a spill, which is added to the vertex after the splat
// and takes the value of the vertex before the slice.
struct Built {
    int64_t vertices = 0;
    std::vector<int32_t> spill_owners;           // the vertex of row `vertices + s`
    std::vector<std::vector<int32_t>> members;   // [axes] the vertices of every run of two or more, one after the other
    std::vector<std::vector<int32_t>> run_ends;  // [axes] where each run ends in `members`
};

// Keys of the vertices of one point, from that of its corner.
template <class C>
inline void point_keys(const C* corner, const uint8_t* axes, int64_t points, int dimensions, int64_t key,
                       const int64_t* origin, const int64_t* strides, int64_t* keys) {
    for (int i = 0; i < dimensions; ++i) key = plus(key, times(corner[i] - origin[i], strides[i]));
    keys[0] = key;
    for (int k = 0; k < dimensions; ++k) keys[k + 1] = key = plus(key, strides[axes[k * points]]);
}

template <class T>
struct Problem {
    int64_t points, points_per_image;
    int dimensions;
    const Coordinate<T>* corners;  // [points, dimensions]
    const uint8_t* axes;           // [dimensions, points]
    int64_t image_stride;
    const int64_t *origin, *strides;  // [dimensions], [dimensions + 1]: what a step along each axis adds to a key
    int64_t chunks;
    const int64_t* chunk_start;  // [chunks + 1]
};

// Numbers the vertices of one chunk, into `index` [points, dimensions + 1].
template <class T>
inline void number_chunk(const Problem<T>& problem, int64_t chunk, KeyTable& table, int32_t* index) {
    constexpr int AHEAD = 8;
    const int dimensions = problem.dimensions, corners = dimensions + 1;
    int64_t keys[AHEAD][MAX_DIMENSIONS + 1], last_keys[MAX_DIMENSIONS + 1];
    int32_t last[MAX_DIMENSIONS + 1];
    std::fill(last, last + corners, -1);
    const int64_t end = problem.chunk_start[chunk + 1];
    for (int64_t first = problem.chunk_start[chunk]; first < end; first += AHEAD) {
        const int used = int(std::min<int64_t>(AHEAD, end - first));
        for (int l = 0; l < used; ++l) {
            const int64_t point = first + l;
            point_keys(problem.corners + point * dimensions, problem.axes + point, problem.points, dimensions,
                       times(point / problem.points_per_image, problem.image_stride), problem.origin, problem.strides,
                       keys[l]);
            for (int k = 0; k < corners; ++k) table.prefetch(keys[l][k]);
        }
        for (int l = 0; l < used; ++l) {
            for (int k = 0; k < corners; ++k) {
                if (last[k] < 0 || keys[l][k] != last_keys[k]) {  // neighboring pixels often share vertices
                    last_keys[k] = keys[l][k];
                    last[k] = table.find_or_add(keys[l][k]);
                }
                index[(first + l) * corners + k] = last[k];
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

template <class T>
inline void build(const Problem<T>& problem, bool dilate, int threads, int32_t* index, Built& out) {
    const int corners = problem.dimensions + 1;
    std::vector<KeyTable> tables;
    for (int64_t c = 0; c < problem.chunks; ++c) {
        tables.emplace_back(problem.chunk_start[c + 1] - problem.chunk_start[c]);
    }
    in_parallel(threads, [&](Worker worker) {
        for (int64_t c = worker.begin(problem.chunks); c < worker.end(problem.chunks); ++c) {
            number_chunk(problem, c, tables[c], index);
        }
    });

    KeyTable all = std::move(tables[0]);
    std::vector<std::vector<int32_t>> rows(problem.chunks);  // by the numbers of each chunk; spills as -1 - spill
    for (int64_t c = 1; c < problem.chunks; ++c) {
        const std::vector<int64_t>& keys = tables[c].keys;
        rows[c].resize(keys.size());
        for (size_t i = 0; i < keys.size(); ++i) {
            if (i + 8 < keys.size()) all.prefetch(keys[i + 8]);
            const size_t known = all.keys.size();
            const int32_t vertex = all.find_or_add(keys[i]);
            rows[c][i] = vertex;
            if (size_t(vertex) < known) {
                rows[c][i] = -1 - int32_t(out.spill_owners.size());
                out.spill_owners.push_back(vertex);
            }
        }
    }
    if (dilate) {
        const size_t touched = all.keys.size();
        for (size_t v = 0; v < touched; ++v) {
            for (int axis = 0; axis < corners; ++axis) {
                all.find_or_add(plus(all.keys[v], problem.strides[axis]));
                all.find_or_add(plus(all.keys[v], times(-1, problem.strides[axis])));
            }
        }
    }
    out.vertices = int64_t(all.keys.size());
    std::vector<std::vector<int32_t>> next(corners, std::vector<int32_t>(out.vertices));  // the next vertex or -1
    out.members.resize(corners);
    out.run_ends.resize(corners);
    in_parallel(threads, [&](Worker worker) {
        const int32_t vertices = int32_t(out.vertices);
        for (int64_t c = std::max<int64_t>(1, worker.begin(problem.chunks)); c < worker.end(problem.chunks); ++c) {
            const int64_t end = problem.chunk_start[c + 1] * corners;
            for (int64_t i = problem.chunk_start[c] * corners; i < end; ++i) {
                const int32_t row = rows[c][index[i]];
                index[i] = row < 0 ? vertices - 1 - row : row;
            }
        }
        for (int axis = 0; axis < corners; ++axis) {
            find_next(all, problem.strides[axis], worker.begin(out.vertices), worker.end(out.vertices),
                      next[axis].data());
        }
        worker.wait();
        for (int axis = worker.number; axis < corners; axis += worker.count) {
            find_runs(next[axis], out.members[axis], out.run_ends[axis]);
        }
    });
}

}  // namespace crfrnn
