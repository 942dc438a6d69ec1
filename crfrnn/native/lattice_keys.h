// Vertices as integers, and a table that numbers them.
#pragma once

#include <cmath>

#include "lattice_embed.h"

namespace crfrnn {

// Keys are numbers modulo 2^64; see crfrnn/lattice/keys.py.
inline int64_t plus(int64_t key, int64_t step) { return int64_t(uint64_t(key) + uint64_t(step)); }
inline int64_t times(int64_t steps, int64_t stride) { return int64_t(uint64_t(steps) * uint64_t(stride)); }

// The key of vertex n in image b: b * image_stride + sum_i (n_i - origin_i) steps_i.
struct Packing {
    int64_t image_stride;
    int64_t origin[MAX_DIMENSIONS], steps[MAX_DIMENSIONS + 1];  // what a step along each axis adds to a key
};

// Odd and as good as random, the same in every process; SplitMix64 (Steele, Lea and Flood 2014).
inline int64_t hash_factor(int number) {
    std::uint64_t z = (number + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return int64_t((z ^ (z >> 31)) | 1);
}

// Digits wide enough for all vertices and their neighbors where they fit into 63 bits, else hashes. low, high
// [dimensions]: the extreme coordinates of the corners of the simplices.
inline Packing plan_packing(const double* low, const double* high, int dimensions, int64_t images, bool dilate) {
    const int64_t room = dilate ? 2 : 1;
    Packing out;
    int64_t stride = 1;
    bool fits = true;
    for (int i = dimensions - 1; i >= 0; --i) {
        out.origin[i] = int64_t(low[i]) - room;
        out.steps[i] = stride;
        fits = fits && !__builtin_mul_overflow(stride, int64_t(high[i] - low[i]) + 2 + 2 * room, &stride);
    }
    int64_t all_images;
    fits = fits && !__builtin_mul_overflow(stride, images, &all_images);
    out.image_stride = fits ? stride : hash_factor(dimensions);
    int64_t& last = out.steps[dimensions] = 0;
    for (int i = 0; i < dimensions; ++i) {
        if (!fits) out.steps[i] = hash_factor(i);
        last = plus(last, times(-1, out.steps[i]));
    }
    return out;
}

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

}  // namespace crfrnn
