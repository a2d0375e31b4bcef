// A population of reduced cells on one rank: state in blocks of 16 lanes, synapses as rows a source, and a ring of
// fixed-point inputs that holds what is on its way. See netml_population.h for the meaning of times and units.
#pragma once

#include "model.hpp"
#include "netml_kernel.h"
#include "netml_population.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

namespace netml {

using Clock = std::chrono::steady_clock;

// The processor's own counter of time: reading it costs a tenth of a clock's, which counts beside a delivery of 50 ns.
inline uint64_t counter() {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t now;
    asm volatile("mrs %0, cntvct_el0" : "=r"(now));
    return now;
#else
    return (uint64_t)Clock::now().time_since_epoch().count();
#endif
}

// Adds the duration of a scope, in counts.
struct Stopwatch {
    uint64_t& total;
    uint64_t start = counter();
    explicit Stopwatch(uint64_t& counts) : total(counts) {}
    ~Stopwatch() { total += counter() - start; }
};

}  // namespace netml

struct netml_population {
    netml_population(const int32_t* shape_, const float* parameters, const int32_t* wiring_, float threshold_,
                     float rest_mv_, int64_t cells_, double dt_r_ms, float quantum_)
        : size(netml::sizes_of(shape_)), shape(shape_, shape_ + size.shape), params(parameters, parameters + size.params),
          wiring(wiring_, wiring_ + size.wiring), threshold(threshold_), rest_mv(rest_mv_),
          quantum(quantum_), cells(cells_), blocks((cells_ + netml::LANES - 1) / netml::LANES),
          step_ticks(std::llround(dt_r_ms * NETML_TICKS_PER_MS)), block_size(size.inputs * netml::LANES),
          state(blocks * size.state * netml::LANES), logit(blocks * netml::LANES),
          voltage(blocks * netml::LANES), spike(blocks * netml::LANES), x(block_size),
          scratch(size.scratch), row_start(1, 0) {
        spiking.reserve(cells);
        resize_ring(0);
        reset();
    }

    int64_t connect(int64_t rows, const int64_t* starts, const netml_synapse* all) {
        const int64_t targets = blocks * block_size;
        int32_t longest = 0;
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t i = starts[r]; i < starts[r + 1]; ++i) {
                const bool sorted = i == starts[r] || all[i - 1].delay <= all[i].delay;
                if ((int64_t)all[i].target >= targets || all[i].weight < 0 || all[i].delay < 0 || !sorted) return i + 1;
                longest = std::max(longest, all[i].delay);
            }
        row_start.assign(starts, starts + rows + 1);
        synapses.assign(all, all + starts[rows]);
        resize_ring(longest);
        reset();
        return 0;
    }

    void reset() {
        netml_init_state(shape.data(), params.data(), state.data(), blocks);
        std::fill(ring.begin(), ring.end(), 0);
        std::fill(voltage.begin(), voltage.end(), rest_mv);
        std::fill(logit.begin(), logit.end(), 0.0f);
        std::fill(spike.begin(), spike.end(), 0);
        spiking.clear();
        count = netml_population_stats{};
        next = slot = 0;
        step_counts = deliver_counts = 0;
        clock_at_reset = netml::Clock::now();
        counter_at_reset = netml::counter();
    }

    void deliver(int64_t row, double spike_ms) {
        if (row < 0 || row + 1 >= (int64_t)row_start.size()) return;
        const netml::Stopwatch watch(deliver_counts);
        const netml_synapse* s = synapses.data() + row_start[row];
        const netml_synapse* const end = synapses.data() + row_start[row + 1];
        if (s == end) return;
        count.events += end - s;
        // One tick later than it is: an event a rounding error before a border counts as on it.
        const int64_t spike_tick = std::llround(spike_ms * NETML_TICKS_PER_MS) + 1;
        int64_t step = (spike_tick + s->delay) / step_ticks;
        if (step < next || step >= next + slots) {
            count.late += end - s;
            return;
        }
        int64_t border = (step + 1) * step_ticks - spike_tick;      // delays below it arrive in this step
        int64_t at = slot + step - next;
        if (at >= slots) at -= slots;
        int32_t* sums = ring.data() + at * slot_size;
        for (; s != end; ++s) {
            while (s->delay >= border) {
                border += step_ticks;
                sums += slot_size;
                if (++at == slots) at = 0, sums = ring.data();
            }
            const int64_t sum = (int64_t)sums[s->target] + s->weight;
            sums[s->target] = sum > INT32_MAX ? (++count.saturated, INT32_MAX) : (int32_t)sum;
        }
    }

    int64_t step() {
        const netml::Stopwatch watch(step_counts);
        spiking.clear();
        int32_t* sums = ring.data() + slot * slot_size;
        for (int64_t b = 0; b < blocks; ++b, sums += block_size) {
            for (int64_t i = 0; i < block_size; ++i) x[i] = (float)sums[i] * quantum;
            std::fill(sums, sums + block_size, 0);
            uint8_t* fired = spike.data() + b * netml::LANES;
            netml::step_block(shape.data(), params.data(), wiring.data(), threshold,
                              state.data() + b * size.state * netml::LANES, x.data(),
                              logit.data() + b * netml::LANES, voltage.data() + b * netml::LANES, fired, scratch.data());
            const int64_t here = std::min<int64_t>(netml::LANES, cells - b * netml::LANES);
            for (int64_t l = 0; l < here; ++l)
                if (fired[l]) spiking.push_back((int32_t)(b * netml::LANES + l));
        }
        if (++slot == slots) slot = 0;
        ++next;
        ++count.steps;
        count.spikes += (int64_t)spiking.size();
        return (int64_t)spiking.size();
    }

    netml_population_stats stats() const {
        netml_population_stats out = count;
        const double counts = std::max<double>(1, netml::counter() - counter_at_reset);
        const double s_per_count = std::chrono::duration<double>(netml::Clock::now() - clock_at_reset).count() / counts;
        out.step_s = step_counts * s_per_count;
        out.deliver_s = deliver_counts * s_per_count;
        out.cells = cells;
        out.synapses = (int64_t)synapses.size();
        out.rows = (int64_t)row_start.size() - 1;
        out.bytes = (int64_t)(synapses.size() * sizeof(netml_synapse) + ring.size() * sizeof(int32_t)
                              + row_start.size() * sizeof(int64_t) + state.size() * sizeof(float)
                              + blocks * netml::LANES * (2 * sizeof(float) + 1) + cells * sizeof(int32_t));
        return out;
    }

    // A spike is delivered before its first event arrives, that is while step `next` or the one before its end is due:
    // the last event lands at most longest / step_ticks + 1 steps after that.
    void resize_ring(int32_t longest) {
        slots = longest / step_ticks + 3;
        slot_size = blocks * block_size;
        ring.assign(slots * slot_size, 0);
    }

    netml::Sizes size;
    std::vector<int32_t> shape;
    std::vector<float> params;
    std::vector<int32_t> wiring;
    float threshold, rest_mv, quantum;
    int64_t cells, blocks, step_ticks, block_size;
    std::vector<float> state, logit, voltage;
    std::vector<uint8_t> spike;
    std::vector<float> x, scratch;
    std::vector<int64_t> row_start;
    std::vector<netml_synapse> synapses;
    std::vector<int32_t> ring;                // [slots][blocks][inputs][16]
    int64_t slots = 0, slot_size = 0;
    int64_t next = 0, slot = 0;               // the step to take next, and its slot of the ring
    std::vector<int32_t> spiking;
    netml_population_stats count{};
    uint64_t step_counts = 0, deliver_counts = 0, counter_at_reset = 0;
    netml::Clock::time_point clock_at_reset;
};

extern "C" {

netml_population* netml_population_new(const int32_t* shape, const float* params, const int32_t* wiring,
                                       float threshold, float rest_mv, int64_t cells, double dt_r_ms, float quantum) {
    try {
        return new netml_population(shape, params, wiring, threshold, rest_mv, cells, dt_r_ms, quantum);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
void netml_population_delete(netml_population* p) { delete p; }
int64_t netml_population_connect(netml_population* p, int64_t rows, const int64_t* row_start, const netml_synapse* synapses) {
    try {
        return p->connect(rows, row_start, synapses);
    } catch (const std::bad_alloc&) {
        return -1;
    }
}
void netml_population_reset(netml_population* p) { p->reset(); }
void netml_population_deliver(netml_population* p, int64_t row, double spike_ms) { p->deliver(row, spike_ms); }
int64_t netml_population_step(netml_population* p) { return p->step(); }
const int32_t* netml_population_spiking(const netml_population* p) { return p->spiking.data(); }
double netml_population_step_end_ms(const netml_population* p) {
    return (double)((p->next + 1) * p->step_ticks) / NETML_TICKS_PER_MS;
}
const float* netml_population_voltage(const netml_population* p) { return p->voltage.data(); }
const float* netml_population_logit(const netml_population* p) { return p->logit.data(); }
const float* netml_population_state(const netml_population* p) { return p->state.data(); }
void netml_population_get_stats(const netml_population* p, netml_population_stats* out) { *out = p->stats(); }

}  // extern "C"
