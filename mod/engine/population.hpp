// A population of reduced cells on one rank: state in blocks of 16 lanes, shared out to threads in shards, synapses as
// rows a source. See netml_population.h for the meaning of times and units.
#pragma once

#include "aligned.hpp"
#include "current.hpp"
#include "model.hpp"
#include "netml_kernel.h"
#include "netml_population.h"
#include "random.hpp"
#include "shard.hpp"
#include "workers.hpp"

#include <chrono>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <map>
#include <memory>

struct netml_population {
    using Clock = std::chrono::steady_clock;
    using Spike = std::pair<int32_t, int64_t>;       // row, tick
    // Synapses that learn are brought up to date after so many steps at the latest, so that the past can be forgotten.
    static constexpr int64_t SETTLE_STEPS = 8192;

    netml_population(const int32_t* shape_, const float* parameters, const int32_t* wiring_, float threshold_,
                     float rest_mv_, double dt_r_ms, float quantum_, netml::SynapseSites synapse_sites_)
        : size(netml::sizes_of(shape_)), shape(shape_, shape_ + size.shape), params(parameters, parameters + size.params),
          wiring(wiring_, wiring_ + size.wiring), threshold(threshold_), rest_mv(rest_mv_),
          quantum(quantum_), step_ticks(std::llround(dt_r_ms * NETML_TICKS_PER_MS)),
          block_size(size.inputs * netml::LANES), synapse_sites(std::move(synapse_sites_)) {
        projections.push_back({});
        freeze(0, nullptr, 0, 1);
    }

    bool has(int64_t projection) const { return projection >= 0 && projection < (int64_t)projections.size(); }

    // Cells and synapses of all projections are in use, here and in the other members.
    bool runs() const {
        return ready && std::all_of(shadows.begin(), shadows.end(), [](const netml_population* shadow) { return shadow->runs(); });
    }

    int64_t add_projection(const netml_plasticity& plasticity) {
        netml::Projection projection;
        projection.plasticity = plasticity;
        projections.push_back(std::move(projection));
        ready = false;
        return (int64_t)projections.size() - 1;
    }

    int64_t add(int64_t k, int64_t row_count, int64_t cell_count, int64_t n, const int32_t* row, const int32_t* cell,
                const int32_t* synapse_site, const double* weight_us, const double* delay_ms) {
        if (!has(k) || n < 0) return NETML_REFUSED;
        netml::Projection& projection = projections[k];
        const netml_plasticity& p = projection.plasticity;
        netml::Rows<netml_synapse>::Batch plain;
        netml::Rows<netml_plastic_synapse>::Batch plastic;
        p.stdp ? plastic.synapse.resize(n) : plain.synapse.resize(n);
        int64_t outside = 0, unseen = 0;
        for (int64_t i = 0; i < n; ++i) {
            const int32_t c = synapse_site[i];
            if ((uint32_t)c >= synapse_sites.input.size()) return i + 1;
            const double gain = synapse_sites.quanta_per_us[c], weight = std::rint(weight_us[i] * gain);
            const double delay = std::rint(delay_ms[i] * NETML_TICKS_PER_MS);
            if (row[i] < 0 || row[i] >= row_count || cell[i] < 0 || cell[i] >= cell_count
                || !(weight >= 0 && weight <= INT32_MAX) || !(delay >= 1 && delay <= INT32_MAX)) return i + 1;
            const int64_t target = (cell[i] / netml::LANES * size.inputs + synapse_sites.input[c]) * netml::LANES
                                   + cell[i] % netml::LANES;
            if (target > UINT32_MAX) return i + 1;
            if (p.stdp) {
                if (!(weight_us[i] >= p.low_us && weight_us[i] <= p.high_us && p.high_us * gain <= INT32_MAX)) return i + 1;
                const float w = (float)weight_us[i];
                plastic.synapse[i] = {(uint32_t)target, (int32_t)delay, w, 0.0f, w, (float)gain};
            } else {
                plain.synapse[i] = {(uint32_t)target, (int32_t)delay, (int32_t)weight};
            }
            unseen += synapse_sites.seen[c] == 0;
            outside += synapse_sites.unlike(c, weight_us[i] * (p.short_term ? p.use : 1.0));   // what a first spike brings
        }
        if (p.stdp) plastic.row.assign(row, row + n), projection.plastic.push_back(std::move(plastic));
        else plain.row.assign(row, row + n), projection.plain.push_back(std::move(plain));
        weights_outside += outside;
        channels_unseen += unseen;
        least_rows = std::max(least_rows, row_count);
        least_cells = std::max(least_cells, cell_count);
        return 0;
    }

    int64_t add_background(int64_t n, const int32_t* synapse_site, const double* rate_hz, const double* weight_us,
                           uint32_t seed, uint32_t stream) {
        if (n < 0) return NETML_REFUSED;
        std::vector<netml::Background::Choice> choices(n);
        double mean = 0;
        for (int64_t i = 0; i < n; ++i) {
            if ((uint32_t)synapse_site[i] >= synapse_sites.input.size()) return i + 1;
            const double weight = std::rint(weight_us[i] * synapse_sites.quanta_per_us[synapse_site[i]]);
            mean += rate_hz[i] * (double)step_ticks / (1000.0 * NETML_TICKS_PER_MS);
            if (!(rate_hz[i] >= 0 && mean <= 64 && weight >= 0 && weight <= INT32_MAX)) return i + 1;
            choices[i] = {synapse_sites.input[synapse_site[i]], (int32_t)weight, 0, 0};
        }
        if (mean > 0) backgrounds.emplace_back(seed, stream, mean, std::move(choices), std::vector<double>(rate_hz, rate_hz + n));
        return 0;
    }

    int64_t freeze(int64_t cell_count, const int64_t* gids_, int64_t row_count_, int threads) {
        if (cell_count < least_cells || cell_count > INT32_MAX || row_count_ < least_rows || row_count_ > INT32_MAX) return NETML_REFUSED;
        ready = false;
        for (size_t k = 0; k < projections.size(); ++k)       // what is in use already comes first
            for (const auto& shard : shards) {
                if (k >= shard->fibres.size()) continue;
                const netml::Fibres& f = shard->fibres[k];
                projections[k].plain.insert(projections[k].plain.begin(), f.plain.batch());
                projections[k].plastic.insert(projections[k].plastic.begin(), f.plastic.batch());
            }
        cells = cell_count;
        row_count = row_count_;
        gids.assign(gids_, gids_ + cells);
        blocks = (cells + netml::LANES - 1) / netml::LANES;
        state.resize(blocks * size.state * netml::LANES);
        sums.resize(blocks * block_size);
        logit.resize(blocks * netml::LANES);
        voltage.resize(blocks * netml::LANES);
        past_range.resize(blocks * netml::LANES);
        counts.resize(blocks * netml::LANES);
        threads = (int)std::max<int64_t>(1, std::min<int64_t>(threads, blocks));
        if (threads != (int)shards.size()) workers = std::make_unique<netml::Workers>(threads);
        shards.clear();
        for (int t = 0; t < threads; ++t) shards.push_back(std::make_unique<netml::Shard>());
        workers->run([&](int t) {
            netml::Shard& shard = *shards[t];
            shard.low = blocks * t / threads;
            shard.high = blocks * (t + 1) / threads;
            shard.fibres.resize(projections.size());
            for (size_t k = 0; k < projections.size(); ++k) {
                netml::Fibres& f = shard.fibres[k];
                f.plain.build(row_count, projections[k].plain, shard.low * block_size, shard.high * block_size);
                f.plastic.build(row_count, projections[k].plastic, shard.low * block_size, shard.high * block_size);
                if (projections[k].plasticity.stdp) f.posts.resize((shard.high - shard.low) * netml::LANES);
            }
        });
        for (netml::Projection& p : projections) p.plain = {}, p.plastic = {};
#ifdef __GLIBC__
        malloc_trim(0);       // the batches were as large as what was made of them
#endif
        reset();
        ready = true;
        return 0;
    }

    void reset() {
        netml_init_state(shape.data(), params.data(), state.data(), blocks);
        std::fill(sums.begin(), sums.end(), 0);
        std::fill(voltage.begin(), voltage.end(), rest_mv);
        std::fill(logit.begin(), logit.end(), 0.0f);
        std::fill(past_range.begin(), past_range.end(), 0);
        std::fill(counts.begin(), counts.end(), 0);
        for (netml::Projection& p : projections) p.reset(row_count);
        for (auto& shard : shards) {
            for (netml::Fibres& f : shard->fibres) f.reset(step_ticks);
            shard->spiking.clear();
            shard->events = shard->background = shard->saturated = shard->late = 0;
            shard->step_counts = shard->deliver_counts = 0;
        }
        handed_over.clear();
        recent.clear();
        early.clear();
        injected.clear();
        spiking.clear();
        currents.set.clear();
        currents.keep_below(cells);
        next = origin = steps = spikes = 0;
        clock_at_reset = Clock::now();
        counter_at_reset = netml::counter();
    }

    int64_t deliver(int64_t row, double spike_ms) {
        if (row < 0 || row >= row_count || !is_time(spike_ms)) return NETML_REFUSED;
        const Spike spike((int32_t)row, std::llround(spike_ms * NETML_TICKS_PER_MS) + origin);
        if (!early.empty()) {
            const auto found = std::find(early.begin(), early.end(), spike);
            if (found != early.end()) return early.erase(found), 0;
        }
        handed_over.push_back(spike);
        recent.push_back(spike);
        return 0;
    }

    int64_t deliver_once(int64_t row, double spike_ms) {
        if (row < 0 || row >= row_count || !is_time(spike_ms)) return NETML_REFUSED;
        const Spike spike((int32_t)row, std::llround(spike_ms * NETML_TICKS_PER_MS) + origin);
        if (std::find(recent.begin(), recent.end(), spike) != recent.end()) return 0;
        deliver(row, spike_ms);
        early.push_back(spike);
        return 0;
    }

    // Events of single synapses; they wait until the step that sees them.
    int64_t inject(int64_t n, const int32_t* cell, const int32_t* synapse_site, const double* weight_us, const double* arrival_ms) {
        for (int64_t i = 0; i < n; ++i) {
            if (!is_time(arrival_ms[i])) return i + 1;
            const int64_t tick = std::llround(arrival_ms[i] * NETML_TICKS_PER_MS) + origin + 1;
            const int64_t step = tick < 0 ? -1 : tick / step_ticks;       // division rounds towards 0
            if (cell[i] < 0 || cell[i] >= cells || (uint32_t)synapse_site[i] >= synapse_sites.input.size() || step < next) return i + 1;
            const double weight = std::rint(weight_us[i] * synapse_sites.quanta_per_us[synapse_site[i]]);
            if (!(weight >= 0 && weight <= INT32_MAX)) return i + 1;
            const int64_t target = cell[i] / netml::LANES * block_size + synapse_sites.input[synapse_site[i]] * netml::LANES + cell[i] % netml::LANES;
            injected[step].push_back({target, (int32_t)weight});
        }
        return 0;
    }

    int64_t step() {
        if (!injected.empty() && injected.begin()->first == next) {
            for (const auto& [target, weight] : injected.begin()->second) shards[0]->add(sums[target], weight);
            shards[0]->events += (int64_t)injected.begin()->second.size();
            injected.erase(injected.begin());
        }
        if (next > 0 && next % SETTLE_STEPS == 0) settle();
        name_arrivals();
        const auto ms = [this](int64_t n) { return (double)(n * step_ticks) / NETML_TICKS_PER_MS; };
        const float* current = currents.mean(ms(next), ms(next + 1), blocks * netml::LANES);
        workers->run([&](int t) {
            netml::Shard& shard = *shards[t];
            shard.take(projections, next, step_ticks);
            shard.deliver(projections, next, step_ticks, block_size, sums.data());
            step(shard, current);
        });
        if (next % 64 == 0) forget(recent), forget(early);
        spiking.clear();
        for (const auto& shard : shards) spiking.insert(spiking.end(), shard->spiking.begin(), shard->spiking.end());
        ++next;
        ++steps;
        spikes += (int64_t)spiking.size();
        return (int64_t)spiking.size();
    }

    // Spikes handed over enter the calendars now, not with the next step.
    void take() {
        name_arrivals();
        workers->run([this](int t) { shards[t]->take(projections, next, step_ticks); });
    }

    // The current of each cell is finite, and there is one.
    int64_t clamp(int64_t count, const netml_clamp* clamps) {
        if (count < 0) return NETML_REFUSED;
        for (int64_t i = 0; i < count; ++i) {
            const netml_clamp& c = clamps[i];
            if (c.cell < 0 || c.cell >= cells || std::isnan(c.start_ms) || std::isnan(c.end_ms) || !std::isfinite((float)c.amplitude))
                return i + 1;
        }
        currents.clamps.assign(clamps, clamps + count);
        return 0;
    }

    int64_t reward(int64_t k, double amount) {
        if (!has(k) || !projections[k].plasticity.stdp || !std::isfinite(amount)) return NETML_REFUSED;
        auto& rewards = projections[k].learning.rewards;
        const int64_t now = next * step_ticks;
        if (!rewards.empty() && rewards.back().tick == now) rewards.back().amount += amount;
        else if (amount != 0) rewards.push_back({now, amount});
        return 0;
    }

    void resume(int64_t steps_taken) {
        const int64_t caller = next * step_ticks - origin;
        reset();
        next = steps_taken;
        origin = next * step_ticks - caller;
        for (netml::Projection& p : projections)
            p.learning.settled = next > 0 ? (next - 1) / SETTLE_STEPS * SETTLE_STEPS * step_ticks : 0;
    }

    netml_population_stats stats() const {
        netml_population_stats out{};
        const double counts = std::max<double>(1, netml::counter() - counter_at_reset);
        const double s_per_count = std::chrono::duration<double>(Clock::now() - clock_at_reset).count() / counts;
        out.cells = cells;
        out.rows = row_count;
        out.steps = steps;
        out.spikes = spikes;
        out.weights_outside = weights_outside;
        out.channels_unseen = channels_unseen;
        out.bytes = (int64_t)((state.size() + sums.size() + logit.size() + voltage.size()) * 4 + cells * 8);
        for (const netml::Projection& p : projections) out.bytes += (int64_t)(p.rows.size() * sizeof(netml_row_state));
        for (const auto& shard : shards) {
            for (const netml::Fibres& f : shard->fibres) {
                out.synapses += (int64_t)(f.plain.synapses.size() + f.plastic.synapses.size());
                out.bytes += f.bytes();
            }
            out.events += shard->events;
            out.background += shard->background;
            out.saturated += shard->saturated;
            out.late += shard->late;
            out.step_s += shard->step_counts * s_per_count;
            out.deliver_s += shard->deliver_counts * s_per_count;
        }
        return out;
    }

    netml::Sizes size;
    std::vector<int32_t> shape;
    std::vector<float> params;
    std::vector<int32_t> wiring;
    float threshold, rest_mv, quantum;
    int64_t step_ticks, block_size;
    netml::SynapseSites synapse_sites;
    int64_t cells = 0, blocks = 0, row_count = 0;
    int64_t least_rows = 0, least_cells = 0;  // that synapses were added for
    bool ready = false;                       // all that was added as a projection, and all cells, are in use
    std::vector<float> limits;                // [inputs] the largest sum of a step in training; empty: not watched
    std::vector<int64_t> gids;
    netml::Aligned<float> state, logit, voltage;
    netml::Currents currents;
    netml::Aligned<int32_t> past_range;       // [cells] steps in which an input passed its limit
    netml::Aligned<int32_t> counts;           // [cells] spikes since the last reset
    std::vector<netml_population*> shadows;   // other members of an ensemble, which get the same input
    netml::Aligned<int32_t> sums;             // [blocks][inputs][16] of the step to take next
    std::vector<netml::Projection> projections;
    std::vector<netml::Background> backgrounds;
    std::vector<std::unique_ptr<netml::Shard>> shards;
    std::unique_ptr<netml::Workers> workers;
    std::vector<Spike> handed_over;           // since the last step
    std::vector<Spike> recent, early;         // handed over lately; of these, before NEURON did it
    std::map<int64_t, std::vector<std::pair<int64_t, int32_t>>> injected;     // by step: where in the sums, and how much
    std::vector<int32_t> spiking;
    int64_t next = 0, origin = 0;             // the step to take next; tick 0 of the caller's clock
    int64_t steps = 0, spikes = 0, weights_outside = 0, channels_unseen = 0;
    uint64_t counter_at_reset = 0;
    Clock::time_point clock_at_reset;
    std::vector<netml_flight> flights_out;    // what the C interface hands out
    std::vector<netml_post_spike> posts_out;
    std::vector<netml_reward> rewards_out;
    std::vector<netml_injected> injected_out;

    // In ticks it and all that is added to it stay whole numbers of 64 bits.
    static bool is_time(double ms) { return std::abs(ms) <= 1e12; }
    static bool is_tick(double tick) { return std::abs(tick) <= -(double)NETML_NEVER; }

private:
    // Spikes whose last event is over cannot come again.
    void forget(std::vector<Spike>& spikes) const {
        int64_t slots = 0;
        for (const auto& shard : shards)
            for (const netml::Fibres& f : shard->fibres) slots = std::max(slots, (int64_t)f.calendar.size());
        const int64_t old = (next - slots) * step_ticks;
        spikes.erase(std::remove_if(spikes.begin(), spikes.end(), [old](const Spike& s) { return s.second < old; }), spikes.end());
    }

    // What was handed over, by projection: the source's state moves on, once for all shards.
    void name_arrivals() {
        for (size_t k = 0; k < projections.size(); ++k) {
            netml::Projection& projection = projections[k];
            projection.arrivals.clear();
            for (const auto& [row, tick] : handed_over) {
                int64_t synapses = 0;
                for (const auto& shard : shards) synapses += shard->fibres[k].plain.size(row) + shard->fibres[k].plastic.size(row);
                if (synapses == 0) continue;
                netml_flight spike{tick, NETML_NEVER, 0.0, 1.0, 0, 0};
                if (projection.any()) spike = netml::next_spike(projection.plasticity, projection.rows[row], tick);
                spike.row = row;
                spike.projection = (int32_t)k;
                projection.arrivals.push_back(spike);
            }
        }
        handed_over.clear();
    }

    void settle() {
        const int64_t now = next * step_ticks;
        for (size_t k = 0; k < projections.size(); ++k) {
            if (!projections[k].plasticity.stdp) continue;
            workers->run([&](int t) { shards[t]->settle(projections[k], k, now, step_ticks, block_size); });
            projections[k].learning.settled = now;
            projections[k].learning.rewards.clear();
        }
    }

    // Counts the cells of a block of which an input passes its limit in this step.
    void note_past_range(const float* x, int32_t* count) const {
        netml::ivec over[netml::PARTS] = {};  // -1 where passed
        const int n = (int)limits.size();
        for (int i = 0; i < n; ++i)
            for (int p = 0; p < netml::PARTS; ++p)
                over[p] |= netml::lanes(x + i * netml::LANES)[p] > netml::splat(limits[i]);
        for (int p = 0; p < netml::PARTS; ++p)
            *reinterpret_cast<netml::ivec*>(count + p * netml::WIDTH) -= over[p];
    }

    // x[inputs][16], what a block gets in this step; its sums start anew.
    void gather(netml::Shard& shard, int64_t b, const float* current, float* x) {
        using netml::LANES;
        int32_t* sum = sums.data() + b * block_size;
        const int here = (int)std::min<int64_t>(LANES, cells - b * LANES);
        const float unit = quantum;
        for (const netml::Background& background : backgrounds)
            shard.background += background.draw(gids.data() + b * LANES, here, next, [&](int32_t input, int lane, int32_t weight) {
                shard.add(sum[input * LANES + lane], weight);
            });
        for (int64_t i = 0; i < size.inputs * netml::PARTS; ++i) {
            netml::ivec& whole = reinterpret_cast<netml::ivec*>(sum)[i];
            netml::lanes(x)[i] = __builtin_convertvector(whole, netml::vec) * unit;
            whole = netml::ivec{};
        }
        if (current)
            for (int l = 0; l < LANES; ++l) x[block_size - LANES + l] += current[b * LANES + l];
        if (!limits.empty()) note_past_range(x, past_range.data() + b * LANES);
    }

    // One step of a shard's cells; current by cell, NULL where there is none.
    void step(netml::Shard& shard, const float* current) {
        using netml::LANES;
        const netml::Stopwatch watch(shard.step_counts);
        netml::Aligned<float> x(netml::TOGETHER * block_size), scratch(size.scratch);
        shard.spiking.clear();
        for (int64_t b = shard.low, together; b < shard.high; b += together) {
            together = shard.high - b < netml::TOGETHER ? 1 : netml::TOGETHER;
            for (int64_t k = 0; k < together; ++k) gather(shard, b + k, current, x.data() + k * block_size);
            const int64_t after = b + together, rest = std::min<int64_t>(shard.high - after, netml::TOGETHER);
            const netml::Ahead ahead({state.data() + after * size.state * LANES, rest * size.state * LANES},
                                     {sums.data() + after * block_size, rest * block_size});
            uint8_t fired[netml::TOGETHER * LANES];
            netml::step_blocks((int)together, shape.data(), params.data(), wiring.data(), threshold,
                               state.data() + b * size.state * LANES, x.data(), logit.data() + b * LANES,
                               voltage.data() + b * LANES, fired, scratch.data(), ahead);
            const int64_t first = b * LANES, here = std::min<int64_t>(together * LANES, cells - first);
            for (int64_t l = 0; l < here; ++l)
                if (fired[l]) shard.spiking.push_back((int32_t)(first + l)), ++counts[first + l];
        }
        for (size_t k = 0; k < projections.size(); ++k)
            if (projections[k].plasticity.stdp)
                for (const int32_t cell : shard.spiking)
                    netml::Learning::spike(projections[k].plasticity, shard.fibres[k].posts[cell - shard.low * LANES], (next + 1) * step_ticks);
    }
};
