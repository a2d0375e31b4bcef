// The leaky-memory cell: layout of its parameters and one time step of 16 cells.
// After Spieler et al. 2024 (ICLR), "The Expressive Leaky Memory Neuron", with filtered inputs a synapse type,
// spike feedback, and a readout of memory and hidden units.
#pragma once

#include "lanes.hpp"
#include "netml_kernel.h"

namespace netml {

struct Layout {
    int inputs, traces, feedback, memory, hidden;
    int z;                                   // traces + memory + feedback: what the hidden units see
    int readout;                             // memory + hidden
    int64_t trace_decay, feedback_decay, memory_decay, memory_drive, memory_rest;
    int64_t b1, w1, b2, w2, logit_w, logit_b, v_w, v_b, refractory, count;

    explicit Layout(const int32_t* dims)
        : inputs(dims[0]), traces(dims[1]), feedback(dims[2]), memory(dims[3]), hidden(dims[4]),
          z(traces + memory + feedback), readout(memory + hidden) {
        int64_t at = 0;
        const auto take = [&at](int64_t n) { const int64_t here = at; at += n; return here; };
        trace_decay = take(traces);
        feedback_decay = take(feedback);
        memory_decay = take(memory);
        memory_drive = take(memory);
        memory_rest = take(memory);
        b1 = take(hidden);
        w1 = take((int64_t)hidden * z);
        b2 = take(memory);
        w2 = take((int64_t)memory * hidden);
        logit_w = take(readout);
        logit_b = take(1);
        v_w = take(readout);
        v_b = take(1);
        refractory = take(1);
        count = at;
    }
    int64_t state() const { return z + 2; }         // and last spike, wait
};

// A trace that nothing feeds decays into denormal numbers, which are slow: it ends at zero instead.
inline vec settled(vec a) { return select((a > 1e-30f) | (a < -1e-30f), a, vec{}); }

// z[z][16] = traces, memory, feedback. All functions below work on one block.
inline void advance_inputs(const Layout& n, const float* params, const int32_t* trace_input, const float* x,
                           const float* last_spike, const float* z_before, float* z) {
    for (int k = 0; k < n.traces; ++k)
        for (int p = 0; p < PARTS; ++p)
            lanes(z + k * LANES)[p] = settled(params[n.trace_decay + k] * lanes(z_before + k * LANES)[p]
                                              + lanes(x + (int64_t)trace_input[k] * LANES)[p]);
    const int64_t at = (int64_t)(n.traces + n.memory) * LANES;
    for (int j = 0; j < n.feedback; ++j)
        for (int p = 0; p < PARTS; ++p)
            lanes(z + at + j * LANES)[p] = settled(params[n.feedback_decay + j] * lanes(z_before + at + j * LANES)[p]
                                                   + lanes(last_spike)[p]);
}

// From z (with the memory of the step before) to the new memory, the hidden units and the outputs.
// r[memory + hidden][16] receives the new memory and the hidden units; d[memory][16] the tanh.
inline void advance_memory(const Layout& n, const float* params, const float* z, float* r, float* d,
                           float* logit, float* v) {
    float* h = r + (int64_t)n.memory * LANES;
    dense(params + n.w1, params + n.b1, z, h, n.hidden, n.z);
    for (int i = 0; i < n.hidden * PARTS; ++i) {
        const vec a = lanes(h)[i];
        lanes(h)[i] = select(a > vec{}, a, vec{});
    }
    dense(params + n.w2, params + n.b2, h, d, n.memory, n.hidden);
    const float* before = z + (int64_t)n.traces * LANES;
    for (int i = 0; i < n.memory; ++i)
        for (int p = 0; p < PARTS; ++p) {
            const vec bounded = tanh_lanes(lanes(d + i * LANES)[p]);
            lanes(d + i * LANES)[p] = bounded;
            lanes(r + i * LANES)[p] = params[n.memory_decay + i] * lanes(before + i * LANES)[p]
                                      + params[n.memory_drive + i] * bounded;
        }
    dense(params + n.logit_w, params + n.logit_b, r, logit, 1, n.readout);
    dense(params + n.v_w, params + n.v_b, r, v, 1, n.readout);
}

// A cell spikes where its logit is above the threshold and its last spike lies `refractory` steps back or more: without
// this, a spike a little before the cell's own leaves the spike still due, and a second one follows at once.
// last_spike and wait[16] (steps that a spike must still wait) are of the step before; wait is advanced.
inline void emit(const Layout& n, const float* params, float threshold, const float* logit, const float* last_spike,
                 float* wait, uint8_t* spike) {
    for (int l = 0; l < LANES; ++l) {
        const float left = last_spike[l] > 0.0f ? params[n.refractory] : wait[l];
        wait[l] = left > 1.0f ? left - 1.0f : 0.0f;
        spike[l] = (logit[l] > threshold) & (wait[l] == 0.0f);
    }
}

// state[z + 2][16]; scratch[(2 * memory + hidden)][16].
inline void step_block(const Layout& n, const float* params, const int32_t* trace_input, float threshold,
                       float* state, const float* x, float* logit, float* v, uint8_t* spike, float* scratch) {
    float* last_spike = state + (int64_t)n.z * LANES;
    float* r = scratch;
    float* d = scratch + (int64_t)n.readout * LANES;
    advance_inputs(n, params, trace_input, x, last_spike, state, state);
    advance_memory(n, params, state, r, d, logit, v);
    std::memcpy(state + (int64_t)n.traces * LANES, r, sizeof(float) * LANES * n.memory);
    emit(n, params, threshold, logit, last_spike, last_spike + LANES, spike);
    for (int l = 0; l < LANES; ++l) last_spike[l] = spike[l];
}

}  // namespace netml
