// Sixteen cells side by side: the vector type of the learned cell, and the three dense products it needs.
// Portable GCC/Clang vector extensions, so the same source fills AVX-512, AVX2, SSE and NEON registers, and
// every lane is computed by the same instructions wherever a cell lies.
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define NETML_LANES 16

namespace netml {

constexpr int LANES = NETML_LANES;
#if defined(__AVX512F__)
constexpr int WIDTH = 16;      // floats a register
constexpr int TILE = 10;       // most rows of an output tile: its accumulators stay in registers
#elif defined(__AVX__)
constexpr int WIDTH = 8;
constexpr int TILE = 6;
#else
constexpr int WIDTH = 4;
constexpr int TILE = 4;
#endif
constexpr int PARTS = LANES / WIDTH;
// Blocks stepped together: a weight that is in a register serves all of them.
constexpr int TOGETHER = PARTS == 1 ? 2 : 1;

// Unaligned on purpose: callers hand over plain numpy and std::vector memory.
typedef float vec __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));

// Of what is handed to a template: there the type is deduced without "aligned(4)", and the registers' own is taken for it.
constexpr int ALIGNED = WIDTH * 4;

inline vec splat(float a) { return vec{} + a; }
inline vec select(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
// Of a number and NaN: the second.
#if defined(__AVX512F__)
inline vec largest(vec a, vec b) { return _mm512_max_ps(a, b); }
inline vec smallest(vec a, vec b) { return _mm512_min_ps(a, b); }
#else
inline vec largest(vec a, vec b) { return a > b ? a : b; }
inline vec smallest(vec a, vec b) { return a < b ? a : b; }
#endif
inline vec* lanes(float* p) { return reinterpret_cast<vec*>(p); }
inline const vec* lanes(const float* p) { return reinterpret_cast<const vec*>(p); }

inline float sum(vec a) {
    float total = 0;
    for (int i = 0; i < WIDTH; ++i) total += a[i];
    return total;
}

// 1 + 2^y for y from -126 to 126, 2^y to 2e-7 of itself: range reduction to |r| <= 1/2 and the polynomial of degree 5 whose
// largest relative error there is least (7.5e-8).
inline vec one_and_exp2(vec y) {
    const vec shifted = y + 12583039.0f;                 // 1.5 * 2^23 + 127: rounds, and leaves an exponent in the last bits
    const vec r = y - (shifted - 12583039.0f);
    vec p = splat(1.327647205e-3f);
    p = p * r + 9.675541385e-3f;
    p = p * r + 5.550713274e-2f;
    p = p * r + 2.402211972e-1f;
    p = p * r + 6.931469671e-1f;
    p = p * r + 1.000000072f;
    return p * (vec)((ivec)shifted << 23) + 1.0f;
}

// 1 / a in place. Four share one division, which costs as much as all else: for a from 1 to 2^31.
inline void invert(vec (&a)[1]) { a[0] = 1.0f / a[0]; }
inline void invert(vec (&a)[4]) {
    const vec ab = a[0] * a[1], cd = a[2] * a[3], share = 1.0f / (ab * cd), of_ab = share * cd, of_cd = share * ab;
    const vec b = of_ab * a[0], d = of_cd * a[2];
    a[0] = of_ab * a[1], a[1] = b, a[2] = of_cd * a[3], a[3] = d;
}

// a := 1 / (1 + 2^a) to 2e-7.
template <int N>
inline void logistic(vec (&a)[N]) {
    for (int k = 0; k < N; ++k) a[k] = one_and_exp2(largest(splat(-126.0f), smallest(splat(30.0f), a[k])));
    invert(a);
}
constexpr float LOG2_E = 1.442695040888963f;

// tanh = 1 - 2 / (exp(2x) + 1) to 4e-7 of rows[count][16], in place. Lanes stay apart.
inline void tanh_rows(float* rows, int count) {
    for (int p = 0; p < PARTS; ++p)
        for (int i = 0; i < count; i += 4) {
            const int here = count - i < 4 ? count - i : 4;
            alignas(ALIGNED) vec a[4] = {};
            for (int k = 0; k < here; ++k) a[k] = lanes(rows + (i + k) * LANES)[p] * (2 * LOG2_E);
            logistic(a);
            for (int k = 0; k < here; ++k) lanes(rows + (i + k) * LANES)[p] = 1.0f - 2.0f * a[k];
        }
}

inline vec sigmoid_lanes(vec x) {
    alignas(ALIGNED) vec a[1] = {x * -LOG2_E};
    logistic(a);
    return a[0];
}

// What becomes of a row of a product.
struct Plain {
    vec operator()(vec a) const { return a; }
};
struct Rectified {
    vec operator()(vec a) const { return largest(vec{}, a); }
};

// What else is done at each column of a product.
struct Nothing {
    void operator()() {}
};

// The loops over an array of registers are unrolled by hand: otherwise it lies in memory before and after the products.
template <int ROWS, int BLOCKS, class Finish, class Meanwhile>
inline void dense_tile(const float* w, const float* bias, const float* in, int64_t in_stride, float* out, int64_t out_stride,
                       int cols, Finish finish, Meanwhile& meanwhile) {
    constexpr int EACH = BLOCKS * PARTS;
    vec acc[ROWS][EACH];
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
        for (int e = 0; e < EACH; ++e) acc[r][e] = bias ? splat(bias[r]) : vec{};
    for (int c = 0; c < cols; ++c) {
        meanwhile();
        vec z[EACH];
#pragma GCC unroll 4
        for (int e = 0; e < EACH; ++e) z[e] = lanes(in + e / PARTS * in_stride + c * LANES)[e % PARTS];
        const float* weight = w + c;
#pragma GCC unroll 16
        for (int r = 0; r < ROWS; ++r, weight += cols)
#pragma GCC unroll 4
            for (int e = 0; e < EACH; ++e) acc[r][e] += *weight * z[e];
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
        for (int e = 0; e < EACH; ++e) lanes(out + e / PARTS * out_stride + r * LANES)[e % PARTS] = finish(acc[r][e]);
}

// The tile of so many rows, 1 to ROWS.
template <int ROWS, int BLOCKS, class Finish, class Meanwhile>
inline void dense_rows(int rows, const float* w, const float* bias, const float* in, int64_t in_stride, float* out,
                       int64_t out_stride, int cols, Finish finish, Meanwhile& meanwhile) {
    if (rows == ROWS) return dense_tile<ROWS, BLOCKS>(w, bias, in, in_stride, out, out_stride, cols, finish, meanwhile);
    if constexpr (ROWS > 1) dense_rows<ROWS - 1, BLOCKS>(rows, w, bias, in, in_stride, out, out_stride, cols, finish, meanwhile);
}

// out[rows][16] = finish(w[rows][cols] in[cols][16] + bias), in tiles of about equal size: a narrow last one would be slow.
// Blocks lie strides apart; each is computed as it would be alone.
template <int BLOCKS, class Finish, class Meanwhile>
inline void dense(const float* w, const float* bias, const float* in, float* out, int rows, int cols, int64_t in_stride,
                  int64_t out_stride, Finish finish, Meanwhile& meanwhile) {
    for (int tiles = (rows + TILE - 1) / TILE, r = 0; tiles > 0; --tiles) {
        const int here = (rows - r + tiles - 1) / tiles;
        dense_rows<TILE, BLOCKS>(here, w + (int64_t)r * cols, bias ? bias + r : nullptr, in, in_stride,
                                 out + (int64_t)r * LANES, out_stride, cols, finish, meanwhile);
        r += here;
    }
}

// Of one block.
inline void dense(const float* w, const float* bias, const float* in, float* out, int rows, int cols) {
    Nothing nothing;
    dense<1>(w, bias, in, out, rows, cols, 0, 0, Plain{}, nothing);
}

}  // namespace netml
