// Sixteen cells side by side: the vector type of the learned cell, and the three dense products it needs.
// Portable GCC/Clang vector extensions, so the same source fills AVX-512, AVX2, SSE and NEON registers, and
// every lane is computed by the same instructions wherever a cell lies.
#pragma once

#include <cstdint>
#include <cstring>

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

inline vec splat(float a) { return vec{} + a; }
inline vec select(ivec mask, vec a, vec b) { return (vec)((mask & (ivec)a) | (~mask & (ivec)b)); }
inline vec largest(vec a, vec b) { return a > b ? a : b; }
inline vec smallest(vec a, vec b) { return a < b ? a : b; }
inline vec* lanes(float* p) { return reinterpret_cast<vec*>(p); }
inline const vec* lanes(const float* p) { return reinterpret_cast<const vec*>(p); }

inline float sum(vec a) {
    float total = 0;
    for (int i = 0; i < WIDTH; ++i) total += a[i];
    return total;
}

// exp(2x) for |x| up to 9, where tanh(x) is 1 in float32; beyond, that of 9. By range reduction to |r| <= ln(2)/2 and the
// Taylor series.
inline vec exp_twice(vec x) {
    const vec limit = splat(9.0f);
    x = select(x > limit, limit, x);
    x = select(x < -limit, -limit, x);
    const vec y = x * 2.885390081777927f;                // 2x / ln 2
    const vec magic = splat(12582912.0f);                // 1.5 * 2^23: its addition rounds to the nearest integer
    const vec shifted = y + magic;
    const ivec n = (ivec)shifted - (ivec)magic;
    const vec r = (y - (shifted - magic)) * 0.6931471805599453f;
    vec p = splat(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * (vec)((n + 127) << 23);
}

// tanh = 1 - 2 / (exp(2x) + 1) to 4e-7 of rows[count][16], in place. Four rows share one division: it costs as much as
// all else. Lanes stay apart.
inline void tanh_rows(float* rows, int count) {
    for (int p = 0; p < PARTS; ++p)
        for (int i = 0; i < count; i += 4) {
            const int here = count - i < 4 ? count - i : 4;
            vec a[4];
            for (int k = 0; k < 4; ++k) a[k] = k < here ? exp_twice(lanes(rows + (i + k) * LANES)[p]) + 1.0f : splat(1.0f);
            const vec ab = a[0] * a[1], cd = a[2] * a[3], share = 2.0f / (ab * cd);      // up to 2e31
            const vec other[4] = {a[1] * cd, a[0] * cd, ab * a[3], ab * a[2]};
            for (int k = 0; k < here; ++k) lanes(rows + (i + k) * LANES)[p] = 1.0f - share * other[k];
        }
}

// 1 / (1 + exp(-x)) to 2e-7, as above: 2^-y by range reduction to |r| <= 1/2.
inline vec sigmoid_lanes(vec x) {
    const vec limit = splat(87.0f);
    vec y = select(x > limit, limit, x);
    y = select(y < -limit, -limit, y) * -1.442695040888963f;
    const vec magic = splat(12582912.0f);
    const vec shifted = y + magic;
    const ivec n = (ivec)shifted - (ivec)magic;
    const vec r = y - (shifted - magic);
    vec p = splat(1.5403530e-4f);                        // ln(2)^k / k!
    p = p * r + 1.3333558e-3f;
    p = p * r + 9.6181291e-3f;
    p = p * r + 5.5504109e-2f;
    p = p * r + 2.4022651e-1f;
    p = p * r + 6.9314718e-1f;
    p = p * r + 1.0f;
    return 1.0f / (1.0f + p * (vec)((n + 127) << 23));
}

// What becomes of a row of a product.
struct Plain {
    vec operator()(vec a) const { return a; }
};
struct Rectified {
    vec operator()(vec a) const { return largest(a, vec{}); }
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
