// Forward over a window and its gradient, for one block of 16 sequences. The window is walked in chunks short enough
// that inputs, their gradients and the operands of the weight gradients stay in the second-level cache.
#pragma once

#include "cable_gradient.hpp"
#include "netml_kernel.h"

#include <algorithm>

namespace netml {

constexpr int64_t CHUNK = 32;

inline LeakyMemoryGradient gradient_of(const LeakyMemory& n, const float* params, const int32_t* wiring) { return {n, params, wiring}; }
inline CableGradient gradient_of(const Cable& n, const float* params, const int32_t* wiring) { return {n, params, wiring}; }

// What the forward pass keeps of every step: z (with the memory of the step before), new memory and hidden units, tanh,
// the model's own state and what it wants back; and the state before the window.
struct Workspace {
    float *z, *r, *d, *own, *kept, *fed, *start;
    int64_t count;
    template <class Model>
    Workspace(const Model& n, float* base, int64_t steps) {
        z = base;
        r = z + steps * n.head.z * LANES;
        d = r + steps * n.head.readout * LANES;
        own = d + steps * n.head.memory * LANES;
        kept = own + steps * n.own * LANES;
        fed = kept + steps * n.kept * LANES;                       // of an expected model: slope of what was fed back
        start = fed + steps * n.head.expected * LANES;             // own and z
        count = (steps * (n.head.z + n.head.readout + n.head.memory + n.own + n.kept + n.head.expected) + n.own + n.head.z) * LANES;
    }
};

// Calls use(step within the chunk, input, synapse site, weight, lane) for every event of steps [from, to).
template <class Use>
inline void each_event(const netml_events& e, int64_t from, int64_t to, Use use) {
    for (int l = 0; l < LANES; ++l) {
        const int64_t end = std::min<int64_t>(to, e.length[l]);
        for (int64_t t = from; t < end; ++t) {
            const int64_t row = e.first_row[l] + t;
            for (int64_t i = e.row_start[row]; i < e.row_start[row + 1]; ++i)
                use(t - from, e.channel_input[e.synapse_site[i]], e.synapse_site[i], e.weight[i], l);
        }
    }
}

template <class Model>
inline void forward_block(const Model& n, const float* params, const int32_t* wiring, float threshold,
                          const netml_events& events, const uint8_t* teacher, const uint8_t* free_running,
                          float* state, float* logit, float* v, float* sites, uint8_t* spike, float* workspace, int64_t steps) {
    const Head& head = n.head;
    const Workspace keep(n, workspace, steps);
    const int64_t row = LANES, memory_at = head.memory_at() * row, memory_bytes = sizeof(float) * LANES * head.memory;
    std::vector<float> x = rows(CHUNK * n.inputs), work = rows(n.work() + n.kept + head.readout + head.memory);
    float *own = state, *z = state + n.own * row, *last_spike = z + head.z * row;
    float *kept = work.data() + n.work() * row, *r = kept + n.kept * row, *d = r + head.readout * row;
    const float *own_before = own, *z_before = z, *memory = z + memory_at;
    if (workspace) std::memcpy(keep.start, state, sizeof(float) * (n.own + head.z) * LANES);
    for (int64_t from = 0; from < steps; from += CHUNK) {
        const int64_t to = std::min(steps, from + CHUNK);
        std::fill(x.begin(), x.end(), 0.0f);
        each_event(events, from, to, [&](int64_t t, int32_t input, int32_t synapse_site, float weight, int l) {
            x[(t * n.inputs + input) * LANES + l] += weight * events.channel_gain[synapse_site];
        });
        for (int64_t t = from; t < to; ++t) {
            if (workspace) {
                own = keep.own + t * n.own * row, z = keep.z + t * head.z * row, kept = keep.kept + t * n.kept * row;
                r = keep.r + t * head.readout * row, d = keep.d + t * head.memory * row;
            }
            advance_feedback(head, params, last_spike, z_before, z);
            if (workspace) std::memcpy(z + memory_at, memory, memory_bytes);
            n.advance(params, wiring, x.data() + (t - from) * n.inputs * row, own_before, z_before, own, z, kept, work.data());
            advance_memory<1>(head, params, z, r, d, logit + t * LANES, v + t * LANES, 0, Nothing{});
            n.read_out(params, wiring, own, v + t * LANES, sites ? sites + t * n.sites * row : nullptr);
            if (sites) read_sites(head, params, r, sites + t * n.sites * row);
            bound_voltage(v + t * LANES);
            if (!workspace) std::memcpy(z + memory_at, r, memory_bytes);
            own_before = own, z_before = z, memory = r;
            emit(head, params, threshold, logit + t * LANES, last_spike, last_spike + LANES, spike + t * LANES);
            feed_back(head, logit + t * LANES, spike + t * LANES, last_spike);
            for (int l = 0; l < LANES; ++l) {
                if (workspace && head.expected)
                    keep.fed[t * LANES + l] = free_running[l] ? last_spike[l] * (1.0f - last_spike[l]) : 0.0f;
                if (!free_running[l]) last_spike[l] = teacher[t * LANES + l];
            }
        }
    }
    if (workspace && steps > 0) {
        std::memcpy(state, own, sizeof(float) * n.own * LANES);
        std::memcpy(state + n.own * row, z, sizeof(float) * head.z * LANES);
        std::memcpy(state + n.own * row + memory_at, r, memory_bytes);
    }
}

// For every step: dp1 and dp2 are the gradients before relu and tanh, dout those of logit and v.
template <class Model>
inline void backward_block(const Model& n, const float* params, const int32_t* wiring, const netml_events& events,
                           const float* grad_logit, const float* grad_v, const float* grad_sites, float* workspace,
                           float* grad_params, float* grad_gain, int64_t steps) {
    const Head& head = n.head;
    const Workspace keep(n, workspace, steps);
    const std::vector<float> w1t = transposed(params + head.w1, head.hidden, head.z);
    const std::vector<float> w2t = transposed(params + head.w2, head.memory, head.hidden);
    std::vector<float> dp1 = rows(CHUNK * head.hidden), dp2 = rows(CHUNK * head.memory), dout = rows(CHUNK * head.outputs);
    std::vector<float> dx = rows(CHUNK * n.inputs), dz = rows(head.z), dh = rows(head.hidden);
    std::vector<float> dm = rows(head.memory), df = rows(head.feedback);       // of the memory after a step, the feedback
    std::vector<float> dfed = rows(1), dlogit = rows(1);                       // of what a step feeds back
    std::vector<float> readout_grad((size_t)head.outputs * head.readout);
    LaneSums feedback_decay(head.feedback), memory_decay(head.memory), memory_drive(head.memory);
    LaneSums b1(head.hidden), b2(head.memory), out_b(head.outputs);
    auto front = gradient_of(n, params, wiring);
    const int64_t sz = (int64_t)head.z * LANES, sr = (int64_t)head.readout * LANES, sd = (int64_t)head.memory * LANES;
    const int64_t so = (int64_t)n.own * LANES, sk = (int64_t)n.kept * LANES;
    const int64_t memory_at = (int64_t)head.memory_at() * LANES, feedback_at = (int64_t)head.feedback_at() * LANES;

    const int64_t chunks = (steps + CHUNK - 1) / CHUNK;
    for (int64_t chunk = chunks - 1; chunk >= 0; --chunk) {
        const int64_t from = chunk * CHUNK, to = std::min(steps, from + CHUNK);
        std::fill(dx.begin(), dx.end(), 0.0f);
        for (int64_t t = to - 1; t >= from; --t) {
            const float *z = keep.z + t * sz, *r = keep.r + t * sr, *d = keep.d + t * sd, *h = r + sd;
            const float *own = keep.own + t * so, *kept = keep.kept + t * sk;
            const float* own_before = t ? own - so : keep.start;
            const float* z_before = t ? z - sz : keep.start + so;
            float *g1 = dp1.data() + (t - from) * head.hidden * LANES, *g2 = dp2.data() + (t - from) * sd;
            const float* of_v = grad_v + t * LANES;
            float* of_logit = dlogit.data();
            for (int p = 0; p < PARTS; ++p) {
                lanes(of_logit)[p] = lanes(grad_logit + t * LANES)[p];
                if (head.expected) lanes(of_logit)[p] += lanes(keep.fed + t * LANES)[p] * lanes(dfed.data())[p];
            }
            float* of_out = dout.data() + (t - from) * head.outputs * LANES;
            std::memcpy(of_out, of_logit, sizeof(float) * LANES);
            std::memcpy(of_out + LANES, of_v, sizeof(float) * LANES);
            if (head.outputs > 2)
                std::memcpy(of_out + 2 * LANES, grad_sites + t * n.sites * LANES, sizeof(float) * LANES * (head.outputs - 2));
            const auto from_outputs = [&](int64_t i, int p) {       // gradient of unit i of the readout
                vec g = params[head.logit_w + i] * lanes(of_out)[p] + params[head.v_w + i] * lanes(of_out + LANES)[p];
                for (int s = 2; s < head.outputs; ++s)
                    g += params[head.site_w + (int64_t)(s - 2) * head.readout + i] * lanes(of_out + s * LANES)[p];
                return g;
            };
            for (int i = 0; i < head.memory; ++i)
                for (int p = 0; p < PARTS; ++p) {
                    lanes(dm.data() + i * LANES)[p] += from_outputs(i, p);
                    const vec bounded = lanes(d + i * LANES)[p];
                    lanes(g2 + i * LANES)[p] = params[head.memory_drive + i] * lanes(dm.data() + i * LANES)[p] * (1.0f - bounded * bounded);
                }
            memory_drive.add(dm.data(), d);
            memory_decay.add(dm.data(), z + memory_at);
            b2.add(g2);
            dense(w2t.data(), nullptr, g2, dh.data(), head.hidden, head.memory);
            for (int i = 0; i < head.hidden; ++i)
                for (int p = 0; p < PARTS; ++p) {
                    const vec g = lanes(dh.data() + i * LANES)[p] + from_outputs(head.memory + i, p);
                    lanes(g1 + i * LANES)[p] = select(lanes(h + i * LANES)[p] > vec{}, g, vec{});
                }
            b1.add(g1);
            out_b.add(of_out);
            dense(w1t.data(), nullptr, g1, dz.data(), head.z, head.hidden);
            for (int j = 0; j < head.feedback * PARTS; ++j) lanes(dz.data() + feedback_at)[j] += lanes(df.data())[j];
            front.step(own_before, own, z_before, z, kept, of_v, grad_sites ? grad_sites + t * n.sites * LANES : nullptr,
                       dz.data(), dx.data() + (t - from) * n.inputs * LANES);
            // From here dm is the gradient of the memory before this step, df that of the feedback before it.
            for (int i = 0; i < head.memory; ++i)
                for (int p = 0; p < PARTS; ++p)
                    lanes(dm.data() + i * LANES)[p] = lanes(dz.data() + memory_at + i * LANES)[p]
                                                      + params[head.memory_decay + i] * lanes(dm.data() + i * LANES)[p];
            feedback_decay.add(dz.data() + feedback_at, z_before + feedback_at);
            std::fill(dfed.begin(), dfed.end(), 0.0f);
            for (int j = 0; j < head.feedback; ++j)
                for (int p = 0; p < PARTS; ++p) {
                    const vec g = lanes(dz.data() + feedback_at + j * LANES)[p];
                    lanes(df.data() + j * LANES)[p] = params[head.feedback_decay + j] * g;
                    lanes(dfed.data())[p] += g;
                }
        }
        const int64_t length = to - from;
        const float *z = keep.z + from * sz, *r = keep.r + from * sr;
        outer(dp1.data(), (int64_t)head.hidden * LANES, head.hidden, z, sz, head.z, length, grad_params + head.w1);
        outer(dp2.data(), sd, head.memory, r + sd, sr, head.hidden, length, grad_params + head.w2);
        outer(dout.data(), head.outputs * LANES, head.outputs, r, sr, head.readout, length, readout_grad.data());
        each_event(events, from, to, [&](int64_t t, int32_t input, int32_t synapse_site, float weight, int l) {
            grad_gain[synapse_site] += weight * dx[(t * n.inputs + input) * LANES + l];
        });
    }
    front.give(grad_params);
    feedback_decay.give(grad_params + head.feedback_decay);
    memory_decay.give(grad_params + head.memory_decay);
    memory_drive.give(grad_params + head.memory_drive);
    b1.give(grad_params + head.b1);
    b2.give(grad_params + head.b2);
    const std::vector<float> of_bias = out_b.sums();
    for (int s = 0; s < head.outputs; ++s) {
        const int64_t w = s == 0 ? head.logit_w : s == 1 ? head.v_w : head.site_w + (int64_t)(s - 2) * head.readout;
        for (int i = 0; i < head.readout; ++i) grad_params[w + i] += readout_grad[s * head.readout + i];
        grad_params[s == 0 ? head.logit_b : s == 1 ? head.v_b : head.site_b + s - 2] += of_bias[s];
    }
}

}  // namespace netml
