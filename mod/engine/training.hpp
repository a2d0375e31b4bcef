// Forward over a window and its gradient, for one block of 16 sequences. The window is walked in chunks short enough
// that inputs, their gradients and the operands of the weight gradients stay in the second-level cache.
#pragma once

#include "leaky_memory.hpp"

#include <algorithm>
#include <vector>

namespace netml {

constexpr int64_t CHUNK = 32;

// What the forward pass keeps: z (with the memory of the step before), new memory and hidden units, tanh, and the
// state before the window.
struct Workspace {
    float *z, *r, *d, *start;
    int64_t count;
    Workspace(const Layout& n, float* base, int64_t steps) {
        z = base;
        r = base + steps * n.z * LANES;
        d = r + steps * n.readout * LANES;
        start = d + steps * n.memory * LANES;
        count = (steps * (n.z + n.readout + n.memory) + n.z) * LANES;
    }
};

// Calls use(step within the chunk, input, channel, weight, lane) for every event of steps [from, to).
template <class Use>
inline void each_event(const netml_events& e, int64_t from, int64_t to, Use use) {
    for (int l = 0; l < LANES; ++l) {
        const int64_t end = std::min<int64_t>(to, e.length[l]);
        for (int64_t t = from; t < end; ++t) {
            const int64_t row = e.first_row[l] + t;
            for (int64_t i = e.row_start[row]; i < e.row_start[row + 1]; ++i)
                use(t - from, e.channel_input[e.channel[i]], e.channel[i], e.weight[i], l);
        }
    }
}

inline void forward_block(const Layout& n, const float* params, const int32_t* trace_input, float threshold,
                          const netml_events& events, const uint8_t* teacher, const uint8_t* free_running,
                          float* state, float* logit, float* v, uint8_t* spike, float* workspace, int64_t steps) {
    const Workspace keep(n, workspace, steps);
    std::vector<float> x((size_t)CHUNK * n.inputs * LANES), scratch((size_t)(n.readout + n.memory) * LANES);
    float* last_spike = state + (int64_t)n.z * LANES;
    const int64_t memory_at = (int64_t)n.traces * LANES, memory_bytes = sizeof(float) * LANES * n.memory;
    const float* before = state;
    if (workspace) std::memcpy(keep.start, state, sizeof(float) * LANES * n.z);
    for (int64_t from = 0; from < steps; from += CHUNK) {
        const int64_t to = std::min(steps, from + CHUNK);
        std::fill(x.begin(), x.end(), 0.0f);
        each_event(events, from, to, [&](int64_t t, int32_t input, int32_t channel, float weight, int l) {
            x[(t * n.inputs + input) * LANES + l] += weight * events.channel_gain[channel];
        });
        for (int64_t t = from; t < to; ++t) {
            float* z = workspace ? keep.z + t * n.z * LANES : state;
            float* r = workspace ? keep.r + t * n.readout * LANES : scratch.data();
            float* d = workspace ? keep.d + t * n.memory * LANES : scratch.data() + (int64_t)n.readout * LANES;
            advance_inputs(n, params, trace_input, x.data() + (t - from) * n.inputs * LANES, last_spike, before, z);
            if (z != state) {
                const float* memory = t ? keep.r + (t - 1) * n.readout * LANES : state + memory_at;
                std::memcpy(z + memory_at, memory, memory_bytes);
            }
            advance_memory(n, params, z, r, d, logit + t * LANES, v + t * LANES);
            if (z == state) std::memcpy(state + memory_at, r, memory_bytes);
            before = z;
            const uint8_t* own = spike + t * LANES;
            emit(n, params, threshold, logit + t * LANES, last_spike, last_spike + LANES, spike + t * LANES);
            for (int l = 0; l < LANES; ++l) last_spike[l] = free_running[l] ? own[l] : teacher[t * LANES + l];
        }
    }
    if (workspace && steps > 0) {
        std::memcpy(state, keep.z + (steps - 1) * n.z * LANES, sizeof(float) * LANES * n.z);
        std::memcpy(state + memory_at, keep.r + (steps - 1) * n.readout * LANES, memory_bytes);
    }
}

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

// For every step: dp1 and dp2 are the gradients before relu and tanh, dout those of logit and v.
inline void backward_block(const Layout& n, const float* params, const int32_t* trace_input, const netml_events& events,
                           const float* grad_logit, const float* grad_v, float* workspace,
                           float* grad_params, float* grad_gain, int64_t steps) {
    const Workspace keep(n, workspace, steps);
    const std::vector<float> w1t = transposed(params + n.w1, n.hidden, n.z);
    const std::vector<float> w2t = transposed(params + n.w2, n.memory, n.hidden);
    const auto buffer = [](int64_t rows) { return std::vector<float>((size_t)rows * LANES); };
    std::vector<float> dp1 = buffer(CHUNK * n.hidden), dp2 = buffer(CHUNK * n.memory), dout = buffer(CHUNK * 2);
    std::vector<float> dx = buffer(CHUNK * n.inputs), dz = buffer(n.z), carry = buffer(n.z), dh = buffer(n.hidden);
    std::vector<float> readout_grad((size_t)2 * n.readout);
    LaneSums trace_decay(n.traces), feedback_decay(n.feedback), memory_decay(n.memory), memory_drive(n.memory);
    LaneSums b1(n.hidden), b2(n.memory), logit_b(1), v_b(1);
    const int memory_at = n.traces, feedback_at = n.traces + n.memory;

    const int64_t chunks = (steps + CHUNK - 1) / CHUNK;
    for (int64_t chunk = chunks - 1; chunk >= 0; --chunk) {
        const int64_t from = chunk * CHUNK, to = std::min(steps, from + CHUNK);
        std::fill(dx.begin(), dx.end(), 0.0f);
        for (int64_t t = to - 1; t >= from; --t) {
            const float *z = keep.z + t * n.z * LANES, *r = keep.r + t * n.readout * LANES;
            const float *d = keep.d + t * n.memory * LANES, *h = r + (int64_t)n.memory * LANES;
            float *g1 = dp1.data() + (t - from) * n.hidden * LANES, *g2 = dp2.data() + (t - from) * n.memory * LANES;
            float* dm = carry.data() + (int64_t)memory_at * LANES;      // gradient of the memory after this step
            std::memcpy(dout.data() + (t - from) * 2 * LANES, grad_logit + t * LANES, sizeof(float) * LANES);
            std::memcpy(dout.data() + ((t - from) * 2 + 1) * LANES, grad_v + t * LANES, sizeof(float) * LANES);
            for (int i = 0; i < n.memory; ++i)
                for (int p = 0; p < PARTS; ++p) {
                    lanes(dm + i * LANES)[p] += params[n.logit_w + i] * lanes(grad_logit + t * LANES)[p]
                                                + params[n.v_w + i] * lanes(grad_v + t * LANES)[p];
                    const vec bounded = lanes(d + i * LANES)[p];
                    lanes(g2 + i * LANES)[p] = params[n.memory_drive + i] * lanes(dm + i * LANES)[p] * (1.0f - bounded * bounded);
                }
            memory_drive.add(dm, d);
            memory_decay.add(dm, z + (int64_t)memory_at * LANES);
            b2.add(g2);
            dense(w2t.data(), nullptr, g2, dh.data(), n.hidden, n.memory);
            for (int i = 0; i < n.hidden; ++i)
                for (int p = 0; p < PARTS; ++p) {
                    const vec g = lanes(dh.data() + i * LANES)[p]
                                  + params[n.logit_w + n.memory + i] * lanes(grad_logit + t * LANES)[p]
                                  + params[n.v_w + n.memory + i] * lanes(grad_v + t * LANES)[p];
                    lanes(g1 + i * LANES)[p] = select(lanes(h + i * LANES)[p] > vec{}, g, vec{});
                }
            b1.add(g1);
            logit_b.add(grad_logit + t * LANES);
            v_b.add(grad_v + t * LANES);
            dense(w1t.data(), nullptr, g1, dz.data(), n.z, n.hidden);
            // From here dz and carry become the gradients of z itself: traces and feedback of this step,
            // memory of the step before.
            const float* z_before = t ? keep.z + (t - 1) * n.z * LANES : keep.start;
            for (int k = 0; k < n.traces; ++k)
                for (int p = 0; p < PARTS; ++p) {
                    vec& c = lanes(carry.data() + k * LANES)[p];
                    c = lanes(dz.data() + k * LANES)[p] + params[n.trace_decay + k] * c;
                    lanes(dx.data() + ((t - from) * n.inputs + trace_input[k]) * LANES)[p] += c;
                }
            for (int i = 0; i < n.memory; ++i)
                for (int p = 0; p < PARTS; ++p)
                    lanes(dm + i * LANES)[p] = lanes(dz.data() + (memory_at + i) * LANES)[p]
                                               + params[n.memory_decay + i] * lanes(dm + i * LANES)[p];
            for (int j = 0; j < n.feedback; ++j)
                for (int p = 0; p < PARTS; ++p) {
                    vec& c = lanes(carry.data() + (feedback_at + j) * LANES)[p];
                    c = lanes(dz.data() + (feedback_at + j) * LANES)[p] + params[n.feedback_decay + j] * c;
                }
            trace_decay.add(carry.data(), z_before);
            feedback_decay.add(carry.data() + (int64_t)feedback_at * LANES, z_before + (int64_t)feedback_at * LANES);
        }
        const int64_t length = to - from, sz = (int64_t)n.z * LANES, sr = (int64_t)n.readout * LANES;
        const float *z = keep.z + from * sz, *r = keep.r + from * sr;
        outer(dp1.data(), (int64_t)n.hidden * LANES, n.hidden, z, sz, n.z, length, grad_params + n.w1);
        outer(dp2.data(), (int64_t)n.memory * LANES, n.memory, r + (int64_t)n.memory * LANES, sr, n.hidden, length, grad_params + n.w2);
        outer(dout.data(), 2 * LANES, 2, r, sr, n.readout, length, readout_grad.data());
        each_event(events, from, to, [&](int64_t t, int32_t input, int32_t channel, float weight, int l) {
            grad_gain[channel] += weight * dx[(t * n.inputs + input) * LANES + l];
        });
    }
    trace_decay.give(grad_params + n.trace_decay);
    feedback_decay.give(grad_params + n.feedback_decay);
    memory_decay.give(grad_params + n.memory_decay);
    memory_drive.give(grad_params + n.memory_drive);
    b1.give(grad_params + n.b1);
    b2.give(grad_params + n.b2);
    logit_b.give(grad_params + n.logit_b);
    v_b.give(grad_params + n.v_b);
    for (int i = 0; i < n.readout; ++i) {
        grad_params[n.logit_w + i] += readout_grad[i];
        grad_params[n.v_w + i] += readout_grad[n.readout + i];
    }
}

}  // namespace netml
