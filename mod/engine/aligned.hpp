// Arrays that begin on a cache line: a vector register that straddles two costs the step a sixth of its time. Large ones
// lie in large pages where the system has some: rows are read from anywhere, and looking up their pages took as long as
// reading them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace netml {

constexpr std::size_t LARGE_PAGE = 1 << 21;

// Pages of their own, aligned for large ones, that go back to the system at once when freed.
inline void* map_pages(std::size_t bytes) {
#ifdef __linux__
    const std::size_t reserved = bytes + LARGE_PAGE;
    void* const mapped = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    char* const first = static_cast<char*>(mapped);
    const std::size_t before = (LARGE_PAGE - reinterpret_cast<std::uintptr_t>(first) % LARGE_PAGE) % LARGE_PAGE;
    const std::size_t kept = (bytes + 4095) / 4096 * 4096, page = 4096;
    if (before >= page) munmap(first, before);
    if (reserved - before - kept >= page) munmap(first + before + kept, reserved - before - kept);
    madvise(first + before, kept, MADV_HUGEPAGE);
    return first + before;
#else
    return ::operator new(bytes, std::align_val_t(64));
#endif
}

inline void unmap_pages(void* p, std::size_t bytes) {
#ifdef __linux__
    munmap(p, (bytes + 4095) / 4096 * 4096);
#else
    ::operator delete(p, std::align_val_t(64));
#endif
}

template <class T>
struct CacheLine {
    using value_type = T;
    CacheLine() = default;
    template <class U>
    CacheLine(const CacheLine<U>&) {}
    T* allocate(std::size_t n) {
        return static_cast<T*>(large(n) ? map_pages(n * sizeof(T)) : ::operator new(n * sizeof(T), std::align_val_t(64)));
    }
    void deallocate(T* p, std::size_t n) {
        if (large(n)) unmap_pages(p, n * sizeof(T));
        else ::operator delete(p, std::align_val_t(64));
    }
    template <class U>
    bool operator==(const CacheLine<U>&) const { return true; }
    template <class U>
    bool operator!=(const CacheLine<U>&) const { return false; }

private:
    static bool large(std::size_t n) { return n * sizeof(T) >= LARGE_PAGE; }
};

template <class T>
using Aligned = std::vector<T, CacheLine<T>>;

}  // namespace netml
