// Arrays that begin on a cache line: a vector register that straddles two costs the step a sixth of its time. Large ones
// lie in large pages where the system has some: rows are read from anywhere, and looking up their pages took as long as
// reading them.
#pragma once

#include <cstddef>
#include <new>
#include <vector>
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace netml {

template <class T>
struct CacheLine {
    using value_type = T;
    CacheLine() = default;
    template <class U>
    CacheLine(const CacheLine<U>&) {}
    T* allocate(std::size_t n) {
        const std::size_t bytes = n * sizeof(T), border = alignment(n);
        void* const p = ::operator new(bytes, std::align_val_t(border));
#ifdef __linux__
        if (border == LARGE) madvise(p, bytes / LARGE * LARGE, MADV_HUGEPAGE);
#endif
        return static_cast<T*>(p);
    }
    void deallocate(T* p, std::size_t n) { ::operator delete(p, std::align_val_t(alignment(n))); }
    template <class U>
    bool operator==(const CacheLine<U>&) const { return true; }
    template <class U>
    bool operator!=(const CacheLine<U>&) const { return false; }

private:
    static constexpr std::size_t LARGE = 1 << 21;
    static std::size_t alignment(std::size_t n) { return n * sizeof(T) < LARGE ? 64 : LARGE; }
};

template <class T>
using Aligned = std::vector<T, CacheLine<T>>;

}  // namespace netml
