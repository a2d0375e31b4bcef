// One step back through the tree. The matrix of the tree is symmetric, so the gradient of its right side is one more
// solve with the pivots of the forward pass.
#pragma once

#include "gradient.hpp"

namespace netml {

struct CableGradient {
    const Cable& n;
    const float* params;
    const int32_t* wires;
    std::vector<float> carry, lambda, pull;      // carry: gradients of own, lambda: of the right side
    LaneSums decay, rise, to_decay, to_rise, reversal, block_slope, block_offset;
    LaneSums gate_rate, gate_slope, gate_offset, gate_reversal;
    LaneSums capacity, leak, leak_drive, axial, scale, gate_g, inject_u, inject_v, v_soma;

    CableGradient(const Cable& n_, const float* params_, const int32_t* wiring)
        : n(n_), params(params_), wires(wiring), carry(rows(n.own)), lambda(rows(n.compartments)),
          pull(rows(n.compartments)),
          decay(n.receptors), rise(n.receptors), to_decay(n.receptors), to_rise(n.receptors), reversal(n.receptors),
          block_slope(n.receptors), block_offset(n.receptors), gate_rate(n.particles), gate_slope(n.particles),
          gate_offset(n.particles), gate_reversal(n.gates), capacity(n.compartments), leak(n.compartments),
          leak_drive(n.compartments), axial(n.compartments), scale(n.receptors * n.compartments),
          gate_g(n.gates * n.compartments), inject_u(n.rank * n.compartments),
          inject_v(n.rank * (n.head.memory + n.head.feedback)), v_soma(1) {}

    void step(const float* before, const float* after, const float*, const float* z, const float* keep,
              const float* grad_v, const float* grad_sites, float* dz, float* dx) {
        for (int p = 0; p < PARTS; ++p) {
            const int64_t skip = (int64_t)p * WIDTH;
            part(skip, before + skip, after + skip, z + skip, keep + skip, grad_v + skip,
                 grad_sites ? grad_sites + skip : nullptr, dz + skip, dx + skip);
        }
    }

    void part(int64_t skip, const float* before, const float* after, const float* z, const float* keep,
              const float* grad_v, const float* grad_sites, float* dz, float* dx) {
        const int count = n.compartments;
        const auto at = [](float* base, int64_t row) -> vec& { return *lanes(base + row * LANES); };
        const auto get = [](const float* base, int64_t row) -> vec { return *lanes(base + row * LANES); };
        const auto sum = [skip](LaneSums& s) { return s.total.data() + skip; };
        const int32_t* how = n.flags(wires);
        const float* block = keep + (int64_t)count * LANES;
        const float* injected = block + (int64_t)n.blocked * count * LANES;
        float *dv = carry.data() + skip, *l = lambda.data() + skip, *back = pull.data() + skip;
        const vec dout = get(grad_v, 0);

        at(sum(v_soma), 0) += dout * get(after, 0);
        at(dv, 0) += params[n.v_soma] * dout;
        for (int i = 0; i < n.reads; ++i) at(dv, n.read(wires)[i]) += get(dz, i);
        if (grad_sites)
            for (int i = 0; i < n.sites; ++i) at(dv, n.site(wires)[i]) += get(grad_sites, i);

        for (int b = count - 1; b > 0; --b) at(dv, wires[b]) += params[n.axial + b] * get(keep, b) * get(dv, b);
        at(l, 0) = get(dv, 0) * get(keep, 0);
        for (int b = 1; b < count; ++b)
            at(l, b) = (get(dv, b) + params[n.axial + b] * get(l, wires[b])) * get(keep, b);

        float *sum_cap = sum(capacity), *sum_leak = sum(leak), *sum_drive = sum(leak_drive), *sum_axial = sum(axial);
        for (int b = 0; b < count; ++b) {
            const vec y = get(l, b), v = get(after, b), was = get(before, b);
            at(sum_leak, b) -= y * v;
            at(sum_drive, b) += y;
            at(sum_cap, b) += y * (was - v);
            if (b) at(sum_axial, b) -= (y - get(l, wires[b])) * (v - get(after, wires[b]));
            at(back, b) = params[n.capacity + b] * y;              // becomes the gradient of the voltage before
        }
        if (n.current) at(dx, n.inputs - 1) += get(l, 0);
        int64_t row = count;
        for (int r = 0; r < n.receptors; ++r) {
            const bool rises = how[r] & Cable::RISES, blocked = how[r] & Cable::BLOCKED;
            const float* strength = params + n.scale + (int64_t)r * count;
            float *to = dx + (int64_t)n.synapse(wires)[r] * LANES, *sum_scale = sum(scale) + (int64_t)r * count * LANES;
            const float e = params[n.reversal + r], slope = params[n.block_slope + r];
            const float slow_part = params[n.to_decay + r], fast_part = params[n.to_rise + r];
            const float keeps = params[n.decay + r], keeps_fast = params[n.rise + r];
            vec d_reversal{}, d_slope{}, d_offset{}, d_slow_part{}, d_fast_part{}, d_keeps{}, d_keeps_fast{};
            for (int b = 0; b < count; ++b) {
                const vec y = get(l, b), slow = get(after, row + b), open = blocked ? get(block, b) : splat(1.0f);
                const vec fast = rises ? get(after, row + count + b) : vec{};
                const vec base = slow_part * slow - fast_part * fast;
                const vec dg = y * (e - get(after, b));
                at(sum_scale, b) += dg * base * open;
                d_reversal += y * (base * open) * strength[b];
                if (blocked) {
                    const vec da = dg * strength[b] * base * open * (1.0f - open);
                    d_slope += da * get(before, b);
                    d_offset += da;
                    at(back, b) += slope * da;
                }
                const vec dbase = dg * strength[b] * open;
                d_slow_part += dbase * slow;
                const vec dslow = at(dv, row + b) + slow_part * dbase;
                d_keeps += dslow * get(before, row + b);
                at(dv, row + b) = keeps * dslow;
                vec din = dslow;
                if (rises) {
                    d_fast_part -= dbase * fast;
                    const vec dfast = at(dv, row + count + b) - fast_part * dbase;
                    d_keeps_fast += dfast * get(before, row + count + b);
                    at(dv, row + count + b) = keeps_fast * dfast;
                    din += dfast;
                }
                at(to, (int64_t)b * n.synapses) += din;
            }
            at(sum(reversal), r) += d_reversal;
            at(sum(block_slope), r) += d_slope;
            at(sum(block_offset), r) += d_offset;
            at(sum(to_decay), r) += d_slow_part;
            at(sum(to_rise), r) += d_fast_part;
            at(sum(decay), r) += d_keeps;
            at(sum(rise), r) += d_keeps_fast;
            row += rises ? 2 * count : count;
            if (blocked) block += (int64_t)count * LANES;
        }
        for (int k = 0; k < n.gates; ++k) {
            const int64_t opens = row + (int64_t)k * count;
            const int64_t closes = n.gates + k < n.particles ? opens + (int64_t)n.gates * count : 0;
            const float* g = params + n.gate_g + (int64_t)k * count;
            const float e = params[n.gate_reversal + k];
            float* sum_g = sum(gate_g) + (int64_t)k * count * LANES;
            vec d_reversal{};
            for (int b = 0; b < count; ++b) {
                const vec y = get(l, b), dg = y * (e - get(after, b)), first = get(after, opens + b);
                const vec second = closes ? get(after, closes + b) : splat(1.0f), open = first * second;
                at(sum_g, b) += dg * open;
                d_reversal += y * open * g[b];
                at(dv, opens + b) += dg * g[b] * second;
                if (closes) at(dv, closes + b) += dg * g[b] * first;
            }
            at(sum(gate_reversal), k) += d_reversal;
        }
        for (int k = 0; k < n.particles; ++k, row += count) {
            const float rate = params[n.gate_rate + k], slope = params[n.gate_slope + k], per_rate = 1.0f / rate;
            vec d_rate{}, d_slope{}, d_offset{};
            for (int b = 0; b < count; ++b) {
                const vec moved = (get(after, row + b) - get(before, row + b)) * per_rate, dopen = get(dv, row + b);
                const vec goal = get(before, row + b) + moved;     // the steady particle
                d_rate += dopen * moved;
                const vec da = rate * dopen * goal * (1.0f - goal);
                d_slope += da * get(before, b);
                d_offset += da;
                at(back, b) += slope * da;
                at(dv, row + b) = (1.0f - rate) * dopen;
            }
            at(sum(gate_rate), k) += d_rate;
            at(sum(gate_slope), k) += d_slope;
            at(sum(gate_offset), k) += d_offset;
        }
        const int fed = n.head.memory + n.head.feedback;
        const float* from = z + (int64_t)n.reads * LANES;
        for (int q = 0; q < n.rank; ++q) {
            const float* u = params + n.inject_u + (int64_t)q * count;
            float* sum_u = sum(inject_u) + (int64_t)q * count * LANES;
            vec d{};
            for (int b = 0; b < count; ++b) {
                at(sum_u, b) += get(l, b) * get(injected, q);
                d += u[b] * get(l, b);
            }
            const float* w = params + n.inject_v + (int64_t)q * fed;
            float* sum_w = sum(inject_v) + (int64_t)q * fed * LANES;
            for (int j = 0; j < fed; ++j) {
                at(sum_w, j) += d * get(from, j);
                at(dz, n.reads + j) += w[j] * d;
            }
        }
        for (int b = 0; b < count; ++b) at(dv, b) = get(back, b);
    }

    void give(float* grad) const {
        const std::pair<const LaneSums*, int64_t> all[] = {
            {&decay, n.decay}, {&rise, n.rise}, {&to_decay, n.to_decay}, {&to_rise, n.to_rise}, {&reversal, n.reversal},
            {&block_slope, n.block_slope}, {&block_offset, n.block_offset}, {&gate_rate, n.gate_rate},
            {&gate_slope, n.gate_slope}, {&gate_offset, n.gate_offset}, {&gate_reversal, n.gate_reversal},
            {&capacity, n.capacity}, {&leak, n.leak}, {&leak_drive, n.leak_drive}, {&axial, n.axial}, {&scale, n.scale},
            {&gate_g, n.gate_g}, {&inject_u, n.inject_u}, {&inject_v, n.inject_v}, {&v_soma, n.v_soma}};
        for (const auto& [sums, to] : all) sums->give(grad + to);
    }
};

}  // namespace netml
