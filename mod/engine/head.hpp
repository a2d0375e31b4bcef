// What every model ends in: leaky memory units behind a hidden layer, the feedback of the cell's own spikes, and the
// readout of a spike's logit and the soma voltage. After Spieler et al. 2024 (ICLR), "The Expressive Leaky Memory
// Neuron", with spike feedback and a readout of memory and hidden units. What feeds it, the front, is the model's own.
#pragma once

#include "lanes.hpp"

namespace netml {

struct Head {
    int front, feedback, memory, hidden;
    int z;                                   // front + memory + feedback: what the hidden units see
    int readout;                             // memory + hidden
    int outputs;                             // logit, voltage, and what is added to the voltage of some recorded sites
    bool expected;                           // what is fed back is a spike's probability, not the spike
    int64_t feedback_decay, memory_decay, memory_drive, memory_rest;
    int64_t b1, w1, b2, w2, logit_w, logit_b, v_w, v_b, refractory, site_w, site_b, end;

    // `at`: where its parameters begin in the flat array.
    Head(int64_t at, int front_, int feedback_, int memory_, int hidden_, bool expected_, int sites = 0)
        : front(front_), feedback(feedback_), memory(memory_), hidden(hidden_),
          z(front + memory + feedback), readout(memory + hidden), outputs(2 + sites), expected(expected_) {
        const auto take = [&at](int64_t n) { const int64_t here = at; at += n; return here; };
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
        site_w = take((int64_t)sites * readout);
        site_b = take(sites);
        end = at;
    }
    int memory_at() const { return front; }
    int feedback_at() const { return front + memory; }
};

// A trace that nothing feeds decays into denormal numbers, which are slow: in whole multiples of 6e-28 it ends before.
inline vec settled(vec a) { return (a + 1e-20f) - 1e-20f; }

// z[z][16] = front, memory, feedback. All functions below work on one block.
inline void advance_feedback(const Head& n, const float* params, const float* last_spike, const float* z_before, float* z) {
    const int64_t at = (int64_t)n.feedback_at() * LANES;
    for (int j = 0; j < n.feedback; ++j)
        for (int p = 0; p < PARTS; ++p)
            lanes(z + at + j * LANES)[p] = settled(params[n.feedback_decay + j] * lanes(z_before + at + j * LANES)[p]
                                                   + lanes(last_spike)[p]);
}

// logit and v, two weighted sums of r. Even and odd columns apart: one sum alone would wait for each addition's end.
template <int BLOCKS>
inline void read_out(const Head& n, const float* params, const float* r, float* logit, float* v) {
    const int64_t stride = (int64_t)n.readout * LANES;
    alignas(ALIGNED) vec sum[BLOCKS][PARTS][2][2];
    for (auto& block : sum)
        for (auto& part : block) {
            part[0][0] = splat(params[n.logit_b]), part[0][1] = splat(params[n.v_b]);
            part[1][0] = part[1][1] = vec{};
        }
    const auto add = [&](int c, int half) {
        for (int b = 0; b < BLOCKS; ++b)
            for (int p = 0; p < PARTS; ++p) {
                const vec a = lanes(r + b * stride + c * LANES)[p];
                sum[b][p][half][0] += params[n.logit_w + c] * a;
                sum[b][p][half][1] += params[n.v_w + c] * a;
            }
    };
    for (int c = 0; c + 1 < n.readout; c += 2) add(c, 0), add(c + 1, 1);
    if (n.readout % 2) add(n.readout - 1, 0);
    for (int b = 0; b < BLOCKS; ++b)
        for (int p = 0; p < PARTS; ++p) {
            lanes(logit + b * LANES)[p] = sum[b][p][0][0] + sum[b][p][1][0];
            lanes(v + b * LANES)[p] = sum[b][p][0][1] + sum[b][p][1][1];
        }
}

// From z (with the memory of the step before) to the new memory, the hidden units and the outputs, of blocks whose z lie
// z_stride apart. r[memory + hidden][16] receives the new memory and the hidden units; d[memory][16] the tanh.
template <int BLOCKS, class Meanwhile>
inline void advance_memory(const Head& n, const float* params, const float* z, float* r, float* d,
                           float* logit, float* v, int64_t z_stride, Meanwhile meanwhile) {
    const int64_t r_stride = (int64_t)n.readout * LANES, d_stride = (int64_t)n.memory * LANES;
    float* h = r + d_stride;
    dense<BLOCKS>(params + n.w1, params + n.b1, z, h, n.hidden, n.z, z_stride, r_stride, Rectified{}, meanwhile);
    dense<BLOCKS>(params + n.w2, params + n.b2, h, d, n.memory, n.hidden, r_stride, d_stride, Plain{}, meanwhile);
    for (int b = 0; b < BLOCKS; ++b) {
        float *bounded = d + b * d_stride, *after = r + b * r_stride;
        const float* before = z + b * z_stride + (int64_t)n.memory_at() * LANES;
        tanh_rows(bounded, n.memory);
        for (int i = 0; i < n.memory; ++i)
            for (int p = 0; p < PARTS; ++p)
                lanes(after + i * LANES)[p] = params[n.memory_decay + i] * lanes(before + i * LANES)[p]
                                              + params[n.memory_drive + i] * lanes(bounded + i * LANES)[p];
    }
    read_out<BLOCKS>(n, params, r, logit, v);
}

// Adds to the voltage of recorded sites, sites[outputs - 2][16], what memory and hidden units say of it.
inline void read_sites(const Head& n, const float* params, const float* r, float* sites) {
    for (int s = 0; s < n.outputs - 2; ++s) {
        float added[LANES];
        dense(params + n.site_w + (int64_t)s * n.readout, params + n.site_b + s, r, added, 1, n.readout);
        for (int l = 0; l < LANES; ++l) sites[s * LANES + l] += added[l];
    }
}

// No channel drives a membrane beyond the reversal potentials of potassium and sodium: the readout, a sum of learned
// parts, ends there too.
constexpr float LOWEST_MV = -110.0f, HIGHEST_MV = 60.0f;
inline void bound_voltage(float* v) {
    for (int p = 0; p < PARTS; ++p) {
        const vec a = lanes(v)[p], low = splat(LOWEST_MV), high = splat(HIGHEST_MV);
        lanes(v)[p] = largest(low, smallest(high, a));
    }
}

// A cell spikes where its logit is above the threshold and its last spike lies `refractory` steps back or more: without
// this, a spike a little before the cell's own leaves the spike still due, and a second one follows at once.
// last_spike and wait[16] (steps that a spike must still wait) are of the step before; wait is advanced. Where the
// probability is fed back, last_spike says nothing of the spike, and its wait begins at once.
inline void emit(const Head& n, const float* params, float threshold, const float* logit, const float* last_spike,
                 float* wait, uint8_t* spike) {
    const float refractory = params[n.refractory];
    for (int l = 0; l < LANES; ++l) {
        const float left = last_spike[l] > 0.0f && !n.expected ? refractory : wait[l];
        wait[l] = left > 1.0f ? left - 1.0f : 0.0f;
        spike[l] = (logit[l] > threshold) & (wait[l] == 0.0f);
        if (n.expected && spike[l]) wait[l] = refractory;
    }
}

// What the next step gets as last_spike[16].
inline void feed_back(const Head& n, const float* logit, const uint8_t* spike, float* last_spike) {
    if (n.expected)
        for (int p = 0; p < PARTS; ++p) lanes(last_spike)[p] = sigmoid_lanes(lanes(logit)[p]);
    else
        for (int l = 0; l < LANES; ++l) last_spike[l] = spike[l];
}

}  // namespace netml
