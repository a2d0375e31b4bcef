// Tools of the backward pass: sums over time, and the gradients of the models.
#pragma once

#include "model.hpp"

#include <vector>

namespace netml {

// c[i * ldc + j] += sum over steps and lanes of a[t][i] b[t][j]; sa and sb: floats a step of a and b.
template <int ROWS, int COLS>
inline void outer_tile(const float* a, int64_t sa, const float* b, int64_t sb, int64_t steps, float* c, int ldc) {
    vec acc[ROWS][COLS] = {};
    for (int64_t t = 0; t < steps; ++t, a += sa, b += sb)
        for (int p = 0; p < PARTS; ++p) {
            vec right[COLS];
            for (int j = 0; j < COLS; ++j) right[j] = lanes(b + j * LANES)[p];
            for (int i = 0; i < ROWS; ++i) {
                const vec left = lanes(a + i * LANES)[p];
                for (int j = 0; j < COLS; ++j) acc[i][j] += left * right[j];
            }
        }
    for (int i = 0; i < ROWS; ++i)
        for (int j = 0; j < COLS; ++j) c[(int64_t)i * ldc + j] += sum(acc[i][j]);
}

template <int COLS>
inline void outer_columns(const float* a, int64_t sa, int rows, const float* b, int64_t sb, int64_t steps, float* c, int ldc) {
    int i = 0;
    for (; i + 3 <= rows; i += 3)
        outer_tile<3, COLS>(a + i * LANES, sa, b, sb, steps, c + (int64_t)i * ldc, ldc);
    for (; i < rows; ++i) outer_tile<1, COLS>(a + i * LANES, sa, b, sb, steps, c + (int64_t)i * ldc, ldc);
}

inline void outer(const float* a, int64_t sa, int rows, const float* b, int64_t sb, int cols, int64_t steps, float* c) {
    int j = 0;
    for (; j + 4 <= cols; j += 4) outer_columns<4>(a, sa, rows, b + j * LANES, sb, steps, c + j, cols);
    for (; j < cols; ++j) outer_columns<1>(a, sa, rows, b + j * LANES, sb, steps, c + j, cols);
}

// Sums over time by lane, added to the gradient once at the end.
struct LaneSums {
    std::vector<float> total;
    explicit LaneSums(int rows) : total((size_t)rows * LANES) {}
    void add(const float* a, const float* b) {
        for (size_t i = 0; i < total.size() / WIDTH; ++i) lanes(total.data())[i] += lanes(a)[i] * lanes(b)[i];
    }
    void add(const float* a) {
        for (size_t i = 0; i < total.size() / WIDTH; ++i) lanes(total.data())[i] += lanes(a)[i];
    }
    std::vector<float> sums() const {
        std::vector<float> all(total.size() / LANES);
        give(all.data());
        return all;
    }
    void give(float* grad) const {
        for (size_t i = 0; i < total.size(); ++i) grad[i / LANES] += total[i];
    }
};

inline std::vector<float> transposed(const float* w, int rows, int cols) {
    std::vector<float> out((size_t)rows * cols);
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < cols; ++c) out[(size_t)c * rows + r] = w[(size_t)r * cols + c];
    return out;
}

inline std::vector<float> rows(int64_t count) { return std::vector<float>((size_t)count * LANES); }

// One step back through the front of a model: dz comes with the gradient of z, and its memory and feedback may be added to.
struct LeakyMemoryGradient {
    const LeakyMemory& n;
    const float* params;
    const int32_t* trace_input;
    std::vector<float> carry;
    LaneSums decay;

    LeakyMemoryGradient(const LeakyMemory& n_, const float* params_, const int32_t* wiring)
        : n(n_), params(params_), trace_input(wiring), carry(rows(n.traces)), decay(n.traces) {}

    void step(const float*, const float*, const float* z_before, const float*, const float*,
              const float*, const float*, float* dz, float* dx) {
        for (int k = 0; k < n.traces; ++k)
            for (int p = 0; p < PARTS; ++p) {
                vec& c = lanes(carry.data() + k * LANES)[p];
                c = lanes(dz + k * LANES)[p] + params[n.trace_decay + k] * c;
                lanes(dx + (int64_t)trace_input[k] * LANES)[p] += c;
            }
        decay.add(carry.data(), z_before);
    }
    void give(float* grad) const { decay.give(grad + n.trace_decay); }
};

}  // namespace netml
