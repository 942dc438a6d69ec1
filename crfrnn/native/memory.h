// Memory that the compiled code owns.
#pragma once

#include <cstdint>
#include <memory>
#include <new>

namespace crfrnn {

// Numbers that nobody has written yet, from the start of a cache line on.
template <class T>
class Array {
  public:
    Array() = default;
    explicit Array(int64_t size) : data_(static_cast<T*>(::operator new(size * sizeof(T), ALIGNMENT))) {}

    operator T*() const { return data_.get(); }

  private:
    static constexpr std::align_val_t ALIGNMENT{64};
    struct Free {
        void operator()(T* data) const { ::operator delete(data, ALIGNMENT); }
    };
    std::unique_ptr<T, Free> data_;
};

}  // namespace crfrnn
