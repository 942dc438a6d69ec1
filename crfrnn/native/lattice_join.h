// The tables of a lattice in the memory of a caller, and those of several lattices as one.
#pragma once

#include "lattice_build.h"
#include "lattice_filter.h"

namespace crfrnn {

// Numbers that the blur reads beyond the last run, see `Filter::blur_run`.
constexpr int64_t READ_AHEAD = 8;

// How long the tables are that a caller has to make room for; see `Tables`.
struct TableSizes {
    int64_t rows, chunks, spills, axes, runs, members;  // `members` with what is read ahead
};

struct TableRoom {
    int32_t* index;
    int64_t *chunk_start, *axis_runs;
    int32_t *spill_rows, *spill_owners, *run_start, *members;
};

inline TableSizes sizes_of(const Built& built) {
    TableSizes out{0,
                   int64_t(built.chunk_start.size()) - 1,
                   int64_t(built.spill_owners.size()),
                   int64_t(built.members.size()),
                   0,
                   READ_AHEAD};
    out.rows = built.vertices + out.spills;
    for (int64_t axis = 0; axis < out.axes; ++axis) {
        out.runs += int64_t(built.run_ends[axis].size());
        out.members += int64_t(built.members[axis].size());
    }
    return out;
}

// All but `index`, which the build has filled.
inline void write_tables(const Built& built, const TableRoom& out) {
    std::copy(built.chunk_start.begin(), built.chunk_start.end(), out.chunk_start);
    std::copy(built.spill_owners.begin(), built.spill_owners.end(), out.spill_owners);
    for (size_t s = 0; s < built.spill_owners.size(); ++s) out.spill_rows[s] = int32_t(built.vertices + s);
    int32_t *members = out.members, *run_start = out.run_start;
    *run_start++ = 0;
    out.axis_runs[0] = 0;
    for (size_t axis = 0; axis < built.members.size(); ++axis) {
        const int32_t before = int32_t(members - out.members);
        for (const int32_t end : built.run_ends[axis]) *run_start++ = before + end;
        out.axis_runs[axis + 1] = run_start - 1 - out.run_start;
        members = std::copy(built.members[axis].begin(), built.members[axis].end(), members);
    }
    std::fill(members, members + READ_AHEAD, 0);
}

// The lattices of several kernels over the same points (side by side), or of several images, one after the other.
struct Join {
    const Tables* parts;
    int64_t count;
    bool side_by_side;
};

inline TableSizes sizes_of(const Join& join) {
    TableSizes out{0, 0, 0, 0, 0, READ_AHEAD};
    for (const Tables* part = join.parts; part < join.parts + join.count; ++part) {
        const int64_t runs = part->axis_runs[part->axes];
        out.rows += part->rows;
        out.chunks = join.side_by_side ? part->chunks : out.chunks + part->chunks;
        out.spills += part->spills;
        out.axes = std::max(out.axes, part->axes);
        out.runs += runs;
        out.members += part->run_start[runs];
    }
    return out;
}

inline void join_index(const Join& join, int32_t* out, int threads) {
    const int64_t points = join.parts[0].points;
    int64_t total = 0;
    for (int64_t m = 0; m < join.count; ++m) total += join.parts[m].corners;
    prefer_large_pages(out, points * total);
    in_parallel(threads_for(threads, points * total), [&](Worker worker) {
        for (int64_t i = worker.begin(points); i < worker.end(points); ++i) {
            int64_t first = 0, column = 0;
            for (int64_t m = 0; m < join.count; ++m) {
                const Tables& part = join.parts[m];
                int32_t* to = out + (join.side_by_side ? i * total + column : (m * points + i) * part.corners);
                for (int64_t p = 0; p < part.corners; ++p) to[p] = part.index[i * part.corners + p] + int32_t(first);
                first += part.rows;
                column += part.corners;
            }
        }
    });
}

// The runs of all parts, axis by axis.
inline void join_runs(const Join& join, int64_t axes, const TableRoom& out) {
    int32_t* members = out.members;
    int64_t runs = 0;
    out.run_start[0] = 0;
    for (int64_t axis = 0; axis < axes; ++axis) {
        out.axis_runs[axis] = runs;
        int32_t first = 0;
        for (const Tables* part = join.parts; part < join.parts + join.count; first += int32_t(part++->rows)) {
            if (axis >= part->axes) continue;
            const int32_t *start = part->run_start + part->axis_runs[axis], before = *start;
            const int32_t* last = part->run_start + part->axis_runs[axis + 1];
            const int32_t offset = int32_t(members - out.members) - before;
            while (start < last) out.run_start[++runs] = *++start + offset;
            for (const int32_t* row = part->members + before; row < part->members + *last; ++row) {
                *members++ = *row + first;
            }
        }
    }
    out.axis_runs[axes] = runs;
    std::fill(members, members + READ_AHEAD, 0);
}

inline void join_tables(const Join& join, const TableRoom& out, int threads) {
    join_index(join, out.index, threads);
    join_runs(join, sizes_of(join).axes, out);
    int64_t first = 0, spills = 0, *chunk_start = out.chunk_start;
    for (int64_t m = 0; m < join.count; ++m) {
        const Tables& part = join.parts[m];
        const int64_t before = join.side_by_side ? 0 : m * part.points;
        if (join.side_by_side) chunk_start = out.chunk_start;
        for (int64_t k = 0; k < part.chunks; ++k) *chunk_start++ = before + part.chunk_start[k];
        *chunk_start = before + part.points;
        for (int64_t s = 0; s < part.spills; ++s, ++spills) {
            out.spill_rows[spills] = part.spill_rows[s] + int32_t(first);
            out.spill_owners[spills] = part.spill_owners[s] + int32_t(first);
        }
        first += part.rows;
    }
}

// Pair weights [points, sum of corners]: the columns of all parts side by side, those of part m times factors[m]
// [points] where it is not null.
template <class T>
void fold_weights(int64_t points, int64_t parts, const int64_t* widths, const T* const* weights,
                  const T* const* factors, T* out, int threads) {
    int64_t total = 0;
    for (int64_t m = 0; m < parts; ++m) total += widths[m];
    in_parallel(threads_for(threads, points * total), [&](Worker worker) {
        for (int64_t i = worker.begin(points); i < worker.end(points); ++i) {
            T* to = out + i * total;
            for (int64_t m = 0; m < parts; ++m) {
                const T factor = factors[m] ? factors[m][i] : 1;
                for (int64_t p = 0; p < widths[m]; ++p) *to++ = weights[m][i * widths[m] + p] * factor;
            }
        }
    });
}

}  // namespace crfrnn
