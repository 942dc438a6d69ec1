// Memory that the compiled code owns.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <memory>
#include <new>

namespace crfrnn {

// Asks for large pages, which the system hands out and finds again in less time, for numbers that nobody has written
// yet; there may be none.
template <class T>
inline void prefer_large_pages(T* numbers, int64_t size) {
#ifdef MADV_HUGEPAGE
    constexpr std::uintptr_t PAGE = 1 << 21;
    const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(numbers);
    const std::uintptr_t first = (start + PAGE - 1) / PAGE * PAGE, last = (start + size * sizeof(T)) / PAGE * PAGE;
    if (numbers && first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

// Numbers that nobody has written yet, from the start of a cache line on.
template <class T>
class Array {
  public:
    Array() = default;
    explicit Array(int64_t size) : data_(static_cast<T*>(::operator new(size * sizeof(T), ALIGNMENT))) {
        prefer_large_pages(data_.get(), size);
    }

    operator T*() const { return data_.get(); }

  private:
    static constexpr std::align_val_t ALIGNMENT{64};
    struct Free {
        void operator()(T* data) const { ::operator delete(data, ALIGNMENT); }
    };
    std::unique_ptr<T, Free> data_;
};

}  // namespace crfrnn
