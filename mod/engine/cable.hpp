// The cable cell: a reduced dendritic tree of passive compartments with synaptic conductances, a voltage-dependent block
// (NMDA) and slow gated conductances, one implicit Euler step of the whole tree at a time, and the head behind it.
// Hines M (1984), Int J Biomed Comput 15:69-76: the tree solved from its tips to its root and back.
#pragma once

#include "head.hpp"

#include <type_traits>

namespace netml {

// what(first, room) for the numbers below n, four at a time as they share divisions, then one at a time.
template <class F>
inline void for_fours(int n, F what) {
    int first = 0;
    for (alignas(ALIGNED) vec four[4]; first + 4 <= n; first += 4) what(first, four);
    for (alignas(ALIGNED) vec one[1]; first < n; ++first) what(first, one);
}

template <int N, class F>
inline void each(vec (&)[N], F what) {
#pragma GCC unroll 4
    for (int k = 0; k < N; ++k) what(k);
}

struct Cable {
    static constexpr int SIZES = 17;
    enum Flags { RISES = 1, BLOCKED = 2 };
    int inputs, compartments, synapses, current, receptors;
    int rises, blocked;                      // how many receptors have a rise time, a block
    int gates, reads, rank, sites;
    int particles;                           // one that opens each gated conductance, then one that closes each of the first
    int wiring;                              // parent[compartments] synapse[receptors] flags[receptors] read[reads] site[sites]
    int own, kept;
    int64_t decay, rise, to_decay, to_rise, reversal, block_slope, block_offset;
    int64_t gate_rate, gate_slope, gate_offset, gate_reversal;
    int64_t capacity, leak, leak_drive, axial, scale, gate_g, inject_u, inject_v, v_rest, gate_rest, v_soma;
    Head head;

    explicit Cable(const int32_t* s)
        : inputs(s[0]), compartments(s[1]), synapses(s[2]), current(s[3]), receptors(s[4]), rises(s[5]), blocked(s[6]),
          gates(s[7]), reads(s[8]), rank(s[9]), sites(s[10]), particles(gates + s[16]),
          wiring(compartments + 2 * receptors + reads + sites),
          own(compartments * (1 + receptors + rises + particles)), kept(compartments * (1 + blocked) + rank),
          head(0, reads, s[11], s[12], s[13], s[14], s[15] ? sites : 0) {
        int64_t at = 0;
        const auto take = [&at](int64_t n) { const int64_t here = at; at += n; return here; };
        decay = take(receptors);
        rise = take(receptors);
        to_decay = take(receptors);
        to_rise = take(receptors);
        reversal = take(receptors);
        block_slope = take(receptors);
        block_offset = take(receptors);
        gate_rate = take(particles);
        gate_slope = take(particles);
        gate_offset = take(particles);
        gate_reversal = take(gates);
        capacity = take(compartments);
        leak = take(compartments);
        leak_drive = take(compartments);
        axial = take(compartments);
        scale = take((int64_t)receptors * compartments);
        gate_g = take((int64_t)gates * compartments);
        inject_u = take((int64_t)rank * compartments);
        inject_v = take((int64_t)rank * (s[12] + s[11]));
        v_rest = take(compartments);
        gate_rest = take((int64_t)particles * compartments);
        v_soma = take(1);
        head = Head(at, reads, s[11], s[12], s[13], s[14], s[15] ? sites : 0);
    }
    int64_t params() const { return head.end; }
    int work() const { return compartments; }

    const int32_t* parent(const int32_t* w) const { return w; }
    const int32_t* synapse(const int32_t* w) const { return w + compartments; }
    const int32_t* flags(const int32_t* w) const { return w + compartments + receptors; }
    const int32_t* read(const int32_t* w) const { return w + compartments + 2 * receptors; }
    const int32_t* site(const int32_t* w) const { return w + compartments + 2 * receptors + reads; }

    void rest(const float* params, float* state) const {
        for (int b = 0; b < compartments; ++b)
            for (int p = 0; p < PARTS; ++p) lanes(state + (int64_t)b * LANES)[p] = splat(params[v_rest + b]);
        float* gate = state + (int64_t)(own - particles * compartments) * LANES;
        for (int i = 0; i < particles * compartments; ++i)
            for (int p = 0; p < PARTS; ++p) lanes(gate + (int64_t)i * LANES)[p] = splat(params[gate_rest + i]);
    }

    // One step of the tree. own[own][16]: voltage, then traces a receptor (decay, and rise where it has one), then
    // particles, each [compartments]; own_before may be own. z holds the memory of the step before and the feedback of
    // this one, and gets the front. kept[kept][16]: inverse pivots, block, injection; rhs[work][16].
    void advance(const float* params, const int32_t* wires, const float* x, const float* own_before, const float*,
                 float* own_after, float* z, float* keep, float* rhs) const {
        const int fed = head.memory + head.feedback;
        float* injected = keep + (int64_t)compartments * (1 + blocked) * LANES;
        dense(params + inject_v, nullptr, z + (int64_t)reads * LANES, injected, rank, fed);
        for (int p = 0; p < PARTS; ++p) {
            const int64_t skip = (int64_t)p * WIDTH;
            advance_part(params, wires, x + skip, own_before + skip, own_after + skip, z + skip, keep + skip, rhs + skip);
        }
    }

    void advance_part(const float* params, const int32_t* wires, const float* x, const float* before, float* after,
                      float* z, float* keep, float* rhs) const {
        const int n = compartments;
        const auto at = [](float* base, int64_t row) -> vec& { return *lanes(base + row * LANES); };
        const auto get = [](const float* base, int64_t row) -> vec { return *lanes(base + row * LANES); };
        float* pivot = keep;
        float* block = keep + (int64_t)n * LANES;
        const float* injected = block + (int64_t)blocked * n * LANES;
        for (int b = 0; b < n; ++b) {
            at(pivot, b) = splat(params[capacity + b] + params[leak + b]);
            vec drive = params[capacity + b] * get(before, b) + params[leak_drive + b];
            for (int q = 0; q < rank; ++q) drive += params[inject_u + (int64_t)q * n + b] * get(injected, q);
            at(rhs, b) = drive;
        }
        if (current) at(rhs, 0) += get(x, inputs - 1);
        int64_t row = n;
        for (int r = 0; r < receptors; ++r) {
            const bool rises_too = flags(wires)[r] & RISES, is_blocked = flags(wires)[r] & BLOCKED;
            const float *from = x + (int64_t)synapse(wires)[r] * LANES, *strength = params + scale + (int64_t)r * n;
            const int64_t stride = synapses;
            const float keeps = params[decay + r], keeps_fast = params[rise + r], e = params[reversal + r];
            const float slow_part = params[to_decay + r], fast_part = params[to_rise + r];
            const float slope = -LOG2_E * params[block_slope + r], offset = -LOG2_E * params[block_offset + r];
            for_fours(n, [&, slow_row = row, fast_row = row + n, block](int first, auto& open) {
                if (is_blocked) {
                    each(open, [&](int i) { open[i] = slope * get(before, first + i) + offset; });
                    logistic(open);
                }
                each(open, [&](int i) {
                    const int b = first + i;
                    const vec in = get(from, b * stride);
                    const vec slow = settled(keeps * get(before, slow_row + b) + in);
                    at(after, slow_row + b) = slow;
                    vec g = slow_part * slow;
                    if (rises_too) {
                        const vec fast = settled(keeps_fast * get(before, fast_row + b) + in);
                        at(after, fast_row + b) = fast;
                        g -= fast_part * fast;
                    }
                    g *= strength[b];
                    if (is_blocked) g *= at(block, b) = open[i];
                    at(pivot, b) += g;
                    at(rhs, b) += g * e;
                });
            });
            row += rises_too ? 2 * n : n;
            if (is_blocked) block += (int64_t)n * LANES;
        }
        struct Particle {
            int64_t row;
            float rate, slope, offset;
        };
        const auto particle = [&](int k) {
            return Particle{row + (int64_t)k * n, params[gate_rate + k], -LOG2_E * params[gate_slope + k],
                            -LOG2_E * params[gate_offset + k]};
        };
        // One step further; a[i] becomes that of compartment first + i.
        const auto move = [&](const Particle& one, int first, auto& a) {
            each(a, [&](int i) { a[i] = one.slope * get(before, first + i) + one.offset; });
            logistic(a);
            each(a, [&](int i) {
                const vec was = get(before, one.row + first + i);
                at(after, one.row + first + i) = a[i] = was + one.rate * (a[i] - was);
            });
        };
        for (int k = 0; k < gates; ++k) {
            const bool closes_too = gates + k < particles;
            const Particle opens = particle(k), closes = closes_too ? particle(gates + k) : opens;
            const float e = params[gate_reversal + k], *strength = params + gate_g + (int64_t)k * n;
            for_fours(n, [&](int first, auto& open) {
                move(opens, first, open);
                if (closes_too) {
                    std::remove_reference_t<decltype(open)> other;
                    move(closes, first, other);
                    each(open, [&](int i) { open[i] *= other[i]; });
                }
                each(open, [&](int i) {
                    const vec g = strength[first + i] * open[i];
                    at(pivot, first + i) += g;
                    at(rhs, first + i) += g * e;
                });
            });
        }
        // A pivot is kept without its own axial conductance until it is inverted: no small difference of large numbers.
        for (int b = n - 1; b > 0; --b) {
            const float link = params[axial + b];
            const vec own_g = get(pivot, b), inverse = 1.0f / (own_g + link);
            at(pivot, b) = inverse;
            at(pivot, wires[b]) += link * own_g * inverse;
            at(rhs, wires[b]) += link * inverse * get(rhs, b);
        }
        at(pivot, 0) = 1.0f / get(pivot, 0);
        at(after, 0) = get(rhs, 0) * get(pivot, 0);
        for (int b = 1; b < n; ++b) at(after, b) = (get(rhs, b) + params[axial + b] * get(after, wires[b])) * get(pivot, b);
        for (int i = 0; i < reads; ++i) at(z, i) = get(after, read(wires)[i]);
    }

    // The soma's own voltage is what the head's voltage adds to; sites[sites][16] may be null.
    void read_out(const float* params, const int32_t* wires, const float* own_after, float* v, float* out) const {
        for (int p = 0; p < PARTS; ++p) lanes(v)[p] += params[v_soma] * lanes(own_after)[p];
        if (out)
            for (int i = 0; i < sites; ++i)
                std::memcpy(out + (int64_t)i * LANES, own_after + (int64_t)site(wires)[i] * LANES, sizeof(float) * LANES);
    }
};

}  // namespace netml
