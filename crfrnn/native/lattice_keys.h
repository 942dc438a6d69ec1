// Vertices as integers, and a table that numbers them.
#pragma once

#include <cmath>

#include "lattice_embed.h"

namespace crfrnn {

// Keys are numbers modulo 2^64; see crfrnn/lattice/keys.py.
inline int64_t plus(int64_t key, int64_t step) { return int64_t(uint64_t(key) + uint64_t(step)); }
inline int64_t times(int64_t steps, int64_t stride) { return int64_t(uint64_t(steps) * uint64_t(stride)); }

// The key of vertex n in image b: first + b * image_stride + sum_i n_i steps_i.
struct Packing {
    int64_t first, image_stride;
    int64_t steps[MAX_DIMENSIONS + 1];  // what a step along each axis adds to a key
};

// Odd and as good as random, the same in every process; SplitMix64 (Steele, Lea and Flood 2014).
inline int64_t hash_factor(int number) {
    std::uint64_t z = (number + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return int64_t((z ^ (z >> 31)) | 1);
}

// Digits wide enough for all vertices and their neighbors where they fit into 63 bits, else hashes. low, high
// [dimensions]: bounds of the coordinates of the corners of the simplices.
inline Packing plan_packing(const double* low, const double* high, int dimensions, int64_t images, bool dilate) {
    const int64_t room = dilate ? 2 : 1;
    Packing out;
    int64_t stride = 1;
    bool fits = true;
    for (int i = dimensions - 1; i >= 0; --i) {
        out.steps[i] = stride;
        fits = fits && !__builtin_mul_overflow(stride, int64_t(high[i] - low[i]) + 2 + 2 * room, &stride);
    }
    int64_t all_images;
    fits = fits && !__builtin_mul_overflow(stride, images, &all_images);
    out.image_stride = fits ? stride : hash_factor(dimensions);
    int64_t& last = out.steps[dimensions] = 0;
    out.first = 0;
    for (int i = 0; i < dimensions; ++i) {
        if (!fits) out.steps[i] = hash_factor(i);
        last = plus(last, times(-1, out.steps[i]));
        out.first = plus(out.first, times(room - int64_t(low[i]), out.steps[i]));
    }
    return out;
}

inline std::uint64_t mix(int64_t key) { return std::uint64_t(key) * 0x9E3779B97F4A7C15ull; }

// Tells of most keys that are not among some others that they are not, from little memory.
class Sieve {
  public:
    explicit Sieve(const std::vector<int64_t>& keys) {
        int bits = 10;
        while ((size_t(1) << bits) < 16 * keys.size()) ++bits;
        shift_ = 64 - bits;
        words_.assign((size_t(1) << bits) / 64, 0);
        for (const int64_t key : keys) words_[place(key) / 64] |= std::uint64_t(1) << place(key) % 64;
    }

    bool passes(int64_t key) const { return words_[place(key) / 64] >> place(key) % 64 & 1; }

  private:
    size_t place(int64_t key) const { return size_t(mix(key) >> shift_); }

    int shift_;
    std::vector<std::uint64_t> words_;
};

// Numbers keys in the order in which they first come.
class KeyTable {
  public:
    // With room for the vertices that so many points have in a photo with broad bandwidths.
    explicit KeyTable(int64_t points) {
        size_t size = 1 << 8;
        while (size < size_t(points) / 8) size *= 2;
        slots_.assign(size, Slot{0, -1});
        mask_ = int64_t(size) - 1;
    }

    void prefetch(int64_t key) const { __builtin_prefetch(&slots_[place(key)]); }

    // -1 where there is no such key.
    int32_t find(int64_t key) const { return slots_[slot_of(key)].number; }

    int32_t find_or_add(int64_t key) {
        const int64_t slot = slot_of(key);
        return slots_[slot].number < 0 ? add(key, slot) : slots_[slot].number;
    }

    std::vector<int64_t> keys;  // by number

  private:
    // Slots up to which three of four stay empty, so that most keys are found at first sight.
    static constexpr int64_t SPARSE = 1 << 17;

    // Half of a mixed key, which tells nearly all other keys apart, and the number of the key or -1.
    struct Slot {
        std::uint32_t tag;
        int32_t number;
    };

    static std::uint32_t tag_of(int64_t key) { return std::uint32_t(mix(key) >> 32); }
    int64_t place(int64_t key) const { return int64_t((mix(key) ^ tag_of(key)) & std::uint64_t(mask_)); }

    // Where the key is, or would be.
    int64_t slot_of(int64_t key) const {
        for (int64_t i = place(key);; i = (i + 1) & mask_) {
            const Slot& slot = slots_[i];
            if (slot.number < 0 || (slot.tag == tag_of(key) && keys[slot.number] == key)) return i;
        }
    }

    NOINLINE int32_t add(int64_t key, int64_t slot) {
        const int32_t number = int32_t(keys.size());
        slots_[slot] = Slot{tag_of(key), number};
        keys.push_back(key);
        if ((mask_ < SPARSE ? 4 : 2) * int64_t(keys.size()) > mask_) grow();
        return number;
    }

    void grow() {
        slots_.assign(2 * slots_.size(), Slot{0, -1});
        mask_ = slots_.size() - 1;
        for (size_t number = 0; number < keys.size(); ++number) {
            int64_t i = place(keys[number]);
            while (slots_[i].number >= 0) i = (i + 1) & mask_;
            slots_[i] = Slot{tag_of(keys[number]), int32_t(number)};
        }
    }

    std::vector<Slot> slots_;
    int64_t mask_;
};

}  // namespace crfrnn
