// A population of reduced cells on one rank: state in blocks of 16 lanes, synapses as rows a source, and a ring of
// fixed-point inputs that holds what is on its way. See netml_population.h for the meaning of times and units.
#pragma once

#include "leaky_memory.hpp"
#include "netml_population.h"
#include "rows.hpp"

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
    netml_population(const int32_t* dims, const float* parameters, const int32_t* trace_input_, float threshold_,
                     float rest_mv_, double dt_r_ms, float quantum_, netml::Channels channels_)
        : layout(dims), params(parameters, parameters + layout.count),
          trace_input(trace_input_, trace_input_ + layout.traces), threshold(threshold_), rest_mv(rest_mv_),
          quantum(quantum_), step_ticks(std::llround(dt_r_ms * NETML_TICKS_PER_MS)),
          block_size((int64_t)layout.inputs * netml::LANES), channels(std::move(channels_)), x(block_size),
          scratch((layout.readout + layout.memory) * netml::LANES) {
        std::copy(dims, dims + 5, shape);
        freeze(0, 0);
    }

    int64_t add(int64_t row_count, int64_t cell_count, int64_t n, const int32_t* row, const int32_t* cell,
                const int32_t* channel, const double* weight_us, const double* delay_ms) {
        netml::Rows::Batch batch{{row, row + n}, std::vector<netml_synapse>(n)};
        int64_t outside = 0, unseen = 0;
        for (int64_t i = 0; i < n; ++i) {
            if ((uint32_t)channel[i] >= channels.input.size()) return i + 1;
            const int32_t c = channel[i];
            const double weight = std::rint(weight_us[i] * channels.quanta_per_us[c]);
            const double delay = std::rint(delay_ms[i] * NETML_TICKS_PER_MS);
            if (row[i] < 0 || row[i] >= row_count || cell[i] < 0 || cell[i] >= cell_count
                || !(weight >= 0 && weight <= INT32_MAX) || !(delay >= 1 && delay <= INT32_MAX)) return i + 1;
            unseen += channels.seen[c] == 0;
            outside += weight_us[i] > 0 && (weight_us[i] < channels.low[c] * (1 - 1e-6) || weight_us[i] > channels.high[c] * (1 + 1e-6));
            const int64_t target = (cell[i] / netml::LANES * (int64_t)layout.inputs + channels.input[c]) * netml::LANES + cell[i] % netml::LANES;
            if (target > UINT32_MAX) return i + 1;
            batch.synapse[i] = {(uint32_t)target, (int32_t)weight, (int32_t)delay};
        }
        batches.push_back(std::move(batch));
        weights_outside += outside;
        channels_unseen += unseen;
        return 0;
    }

    void freeze(int64_t cell_count, int64_t row_count) {
        cells = cell_count;
        blocks = (cells + netml::LANES - 1) / netml::LANES;
        state.resize(blocks * layout.state() * netml::LANES);
        logit.resize(blocks * netml::LANES);
        voltage.resize(blocks * netml::LANES);
        spike.resize(blocks * netml::LANES);
        spiking.reserve(cells);
        rows.merge(row_count, batches);
        int32_t longest = 0;
        for (const netml_synapse& s : rows.synapses) longest = std::max(longest, s.delay);
        resize_ring(longest);
        reset();
    }

    void reset() {
        netml_init_state(shape, params.data(), state.data(), blocks);
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
        if (row < 0 || row >= rows.row_count()) return;
        const netml::Stopwatch watch(deliver_counts);
        const netml_synapse* s = rows.synapses.data() + rows.start[row];
        const netml_synapse* const end = rows.synapses.data() + rows.start[row + 1];
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

    int64_t inject(int64_t n, const int32_t* cell, const int32_t* channel, const double* weight_us, const double* arrival_ms) {
        const netml::Stopwatch watch(deliver_counts);
        for (int64_t i = 0; i < n; ++i) {
            const int64_t step = (std::llround(arrival_ms[i] * NETML_TICKS_PER_MS) + 1) / step_ticks;
            if (cell[i] < 0 || cell[i] >= cells || (uint32_t)channel[i] >= channels.input.size()
                || !(step >= next && step < next + slots)) return i + 1;
            const double weight = std::rint(weight_us[i] * channels.quanta_per_us[channel[i]]);
            if (!(weight >= 0 && weight <= INT32_MAX)) return i + 1;
            const int64_t lane = (cell[i] / netml::LANES * (int64_t)layout.inputs + channels.input[channel[i]]) * netml::LANES;
            int32_t& held = ring[(slot + step - next) % slots * slot_size + lane + cell[i] % netml::LANES];
            const int64_t sum = (int64_t)held + (int32_t)weight;
            held = sum > INT32_MAX ? (++count.saturated, INT32_MAX) : (int32_t)sum;
            ++count.events;
        }
        return 0;
    }

    int64_t step() {
        const netml::Stopwatch watch(step_counts);
        spiking.clear();
        int32_t* sums = ring.data() + slot * slot_size;
        for (int64_t b = 0; b < blocks; ++b, sums += block_size) {
            for (int64_t i = 0; i < block_size; ++i) x[i] = (float)sums[i] * quantum;
            std::fill(sums, sums + block_size, 0);
            uint8_t* fired = spike.data() + b * netml::LANES;
            netml::step_block(layout, params.data(), trace_input.data(), threshold,
                              state.data() + b * layout.state() * netml::LANES, x.data(),
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
        out.synapses = (int64_t)rows.synapses.size();
        out.rows = rows.row_count();
        out.weights_outside = weights_outside;
        out.channels_unseen = channels_unseen;
        out.bytes = (int64_t)(rows.synapses.size() * sizeof(netml_synapse) + ring.size() * sizeof(int32_t)
                              + rows.start.size() * sizeof(int64_t) + state.size() * sizeof(float)
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

    netml::Layout layout;
    int32_t shape[5];
    std::vector<float> params;
    std::vector<int32_t> trace_input;
    float threshold, rest_mv, quantum;
    int64_t cells, blocks, step_ticks, block_size;
    netml::Channels channels;
    std::vector<float> state, logit, voltage;
    std::vector<uint8_t> spike;
    std::vector<float> x, scratch;
    netml::Rows rows;
    std::vector<netml::Rows::Batch> batches;  // added since the last freeze
    int64_t weights_outside = 0, channels_unseen = 0;
    std::vector<int32_t> ring;                // [slots][blocks][inputs][16]
    int64_t slots = 0, slot_size = 0;
    int64_t next = 0, slot = 0;               // the step to take next, and its slot of the ring
    std::vector<int32_t> spiking;
    netml_population_stats count{};
    uint64_t step_counts = 0, deliver_counts = 0, counter_at_reset = 0;
    netml::Clock::time_point clock_at_reset;
};

extern "C" {

netml_population* netml_population_new(const int32_t* dims, const float* params, const int32_t* trace_input,
                                       float threshold, float rest_mv, double dt_r_ms, float quantum, int64_t channels,
                                       const int32_t* channel_input, const float* channel_gain,
                                       const int64_t* channel_seen, const float* low_us, const float* high_us) {
    try {
        return new netml_population(dims, params, trace_input, threshold, rest_mv, dt_r_ms, quantum,
                                    {channels, channel_input, channel_gain, channel_seen, low_us, high_us, quantum});
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
void netml_population_delete(netml_population* p) { delete p; }
int64_t netml_population_add(netml_population* p, int64_t rows, int64_t cells, int64_t count, const int32_t* row,
                             const int32_t* cell, const int32_t* channel, const double* weight_us, const double* delay_ms) {
    try {
        return p->add(rows, cells, count, row, cell, channel, weight_us, delay_ms);
    } catch (const std::bad_alloc&) {
        return -1;
    }
}
int64_t netml_population_freeze(netml_population* p, int64_t cells, int64_t rows) {
    try {
        p->freeze(cells, rows);
        return 0;
    } catch (const std::bad_alloc&) {
        return -1;
    }
}
const int64_t* netml_population_row_start(const netml_population* p) { return p->rows.start.data(); }
const netml_synapse* netml_population_synapses(const netml_population* p) { return p->rows.synapses.data(); }
void netml_population_reset(netml_population* p) { p->reset(); }
void netml_population_deliver(netml_population* p, int64_t row, double spike_ms) { p->deliver(row, spike_ms); }
int64_t netml_population_inject(netml_population* p, int64_t n, const int32_t* cell, const int32_t* channel,
                                const double* weight_us, const double* arrival_ms) {
    return p->inject(n, cell, channel, weight_us, arrival_ms);
}
int64_t netml_population_horizon(const netml_population* p) { return p->slots; }
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
