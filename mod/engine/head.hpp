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

// A trace that nothing feeds decays into denormal numbers, which are slow: it ends at zero instead.
inline vec settled(vec a) { return select((a > 1e-30f) | (a < -1e-30f), a, vec{}); }

// z[z][16] = front, memory, feedback. All functions below work on one block.
inline void advance_feedback(const Head& n, const float* params, const float* last_spike, const float* z_before, float* z) {
    const int64_t at = (int64_t)n.feedback_at() * LANES;
    for (int j = 0; j < n.feedback; ++j)
        for (int p = 0; p < PARTS; ++p)
            lanes(z + at + j * LANES)[p] = settled(params[n.feedback_decay + j] * lanes(z_before + at + j * LANES)[p]
                                                   + lanes(last_spike)[p]);
}

// From z (with the memory of the step before) to the new memory, the hidden units and the outputs.
// r[memory + hidden][16] receives the new memory and the hidden units; d[memory][16] the tanh.
inline void advance_memory(const Head& n, const float* params, const float* z, float* r, float* d,
                           float* logit, float* v) {
    float* h = r + (int64_t)n.memory * LANES;
    dense(params + n.w1, params + n.b1, z, h, n.hidden, n.z);
    for (int i = 0; i < n.hidden * PARTS; ++i) {
        const vec a = lanes(h)[i];
        lanes(h)[i] = select(a > vec{}, a, vec{});
    }
    dense(params + n.w2, params + n.b2, h, d, n.memory, n.hidden);
    const float* before = z + (int64_t)n.memory_at() * LANES;
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
        lanes(v)[p] = select(a < low, low, select(a > high, high, a));
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
