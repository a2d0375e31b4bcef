// The C interface of a population.
#pragma once

#include "population.hpp"

namespace netml {
template <class F>
int64_t where_memory_lasts(F&& what) {
    try {
        return what();
    } catch (const std::bad_alloc&) {
        return -1;
    }
}

// The members of an ensemble get the same input at the same times.
template <class F>
void with_judges(netml_population* p, F&& what) {
    what(*p);
    for (netml_population* judge : p->judges) what(*judge);
}
}  // namespace netml

extern "C" {

netml_population* netml_population_new(const int32_t* shape, const float* params, const int32_t* wiring,
                                       float threshold, float rest_mv, double dt_r_ms, float quantum, int64_t channels,
                                       const int32_t* channel_input, const float* channel_gain,
                                       const int64_t* channel_seen, const float* low_us, const float* high_us) {
    try {
        return new netml_population(shape, params, wiring, threshold, rest_mv, dt_r_ms, quantum,
                                    {channels, channel_input, channel_gain, channel_seen, low_us, high_us, quantum});
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}
void netml_population_delete(netml_population* p) { delete p; }

int64_t netml_population_add_projection(netml_population* p, const netml_plasticity* plasticity) {
    return netml::where_memory_lasts([&] {
        netml::Projection projection;
        projection.plasticity = *plasticity;
        p->projections.push_back(std::move(projection));
        return (int64_t)p->projections.size() - 1;
    });
}

int64_t netml_population_add(netml_population* p, int64_t projection, int64_t rows, int64_t cells, int64_t count,
                             const int32_t* row, const int32_t* cell, const int32_t* channel, const double* weight_us,
                             const double* delay_ms) {
    return netml::where_memory_lasts(
        [&] { return p->add(projection, rows, cells, count, row, cell, channel, weight_us, delay_ms); });
}

int64_t netml_population_add_background(netml_population* p, int64_t count, const int32_t* channel, const double* rate_hz,
                                        const double* weight_us, uint32_t seed, uint32_t stream) {
    return netml::where_memory_lasts([&] { return p->add_background(count, channel, rate_hz, weight_us, seed, stream); });
}

int64_t netml_population_freeze(netml_population* p, int64_t cells, const int64_t* gids, int64_t rows, int32_t threads) {
    return netml::where_memory_lasts([&] { return p->freeze(cells, gids, rows, threads), 0; });
}

int64_t netml_population_clamp(netml_population* p, int64_t count, const netml_clamp* clamps) {
    return netml::where_memory_lasts([&] { return p->currents.clamps.assign(clamps, clamps + count), 0; });
}
int64_t netml_population_set_current(netml_population* p, const float* each) {
    return netml::where_memory_lasts([&] { return p->currents.set.assign(each, each + p->cells), 0; });
}

int64_t netml_population_judge(netml_population* p, netml_population* judge) {
    return netml::where_memory_lasts([&] { return p->judges.push_back(judge), 0; });
}
void netml_population_reset(netml_population* p) {
    netml::with_judges(p, [](netml_population& q) { q.reset(); });
}
void netml_population_deliver(netml_population* p, int64_t row, double spike_ms) {
    netml::with_judges(p, [=](netml_population& q) { q.deliver(row, spike_ms); });
}
void netml_population_deliver_once(netml_population* p, int64_t row, double spike_ms) {
    netml::with_judges(p, [=](netml_population& q) { q.deliver_once(row, spike_ms); });
}
int64_t netml_population_reward(netml_population* p, int64_t projection, double amount) {
    return netml::where_memory_lasts([&] {
        netml::with_judges(p, [=](netml_population& q) { q.reward(projection, amount); });
        return 0;
    });
}
int64_t netml_population_inject(netml_population* p, int64_t n, const int32_t* cell, const int32_t* channel,
                                const double* weight_us, const double* arrival_ms) {
    return netml::where_memory_lasts([&] { return p->inject(n, cell, channel, weight_us, arrival_ms); });
}
int64_t netml_population_step(netml_population* p) {
    for (netml_population* judge : p->judges) judge->step();
    return p->step();
}
const int32_t* netml_population_spike_counts(const netml_population* p) { return p->counts.data(); }
const int32_t* netml_population_spiking(const netml_population* p) { return p->spiking.data(); }
double netml_population_step_end_ms(const netml_population* p) {
    return (double)((p->next + 1) * p->step_ticks - p->origin) / NETML_TICKS_PER_MS;
}
int64_t netml_population_watch(netml_population* p, const float* limits) {
    return netml::where_memory_lasts([&] { return p->limits.assign(limits, limits + p->size.inputs), 0; });
}
const int32_t* netml_population_beyond(const netml_population* p) { return p->beyond.data(); }
float* netml_population_voltage(netml_population* p) { return p->voltage.data(); }
float* netml_population_logit(netml_population* p) { return p->logit.data(); }
float* netml_population_state(netml_population* p) { return p->state.data(); }
int64_t netml_population_state_size(const netml_population* p) { return p->size.state; }
int64_t netml_population_clock(const netml_population* p) { return p->next; }
void netml_population_get_stats(const netml_population* p, netml_population_stats* out) { *out = p->stats(); }

int64_t netml_population_synapse_count(const netml_population* p, int64_t k) {
    int64_t total = 0;
    for (const auto& shard : p->shards) total += (int64_t)(shard->fibres[k].plain.synapses.size() + shard->fibres[k].plastic.synapses.size());
    return total;
}

void netml_population_read_synapses(netml_population* p, int64_t k, int32_t now, int32_t* row, int32_t* cell, int32_t* input,
                                    int32_t* delay, double* weight, float* eligibility) {
    netml::Projection& projection = p->projections[k];
    int64_t i = 0;
    const auto where = [&](int64_t r, uint32_t target, int32_t ticks) {
        row[i] = (int32_t)r;
        cell[i] = (int32_t)(target / p->block_size * netml::LANES + target % netml::LANES);
        input[i] = (int32_t)(target % p->block_size / netml::LANES);
        delay[i] = ticks;
    };
    for (const auto& shard : p->shards) {
        const auto& rows = shard->fibres[k].plain;
        for (int64_t r = 0; r < p->row_count; ++r)
            for (int64_t j = rows.start[r]; j < rows.start[r + 1]; ++j, ++i) {
                where(r, rows.synapses[j].target, rows.synapses[j].delay);
                weight[i] = (double)rows.synapses[j].weight * p->quantum;
                eligibility[i] = 0;
            }
        if (!projection.plasticity.stdp) continue;
        const auto& learning = projection.learning;
        shard->each_plastic(projection, k, p->step_ticks, [&](int64_t r, netml_plastic_synapse s, int64_t last, double trace) {
            where(r, s.target, s.delay);
            if (now)
                learning.advance(projection.plasticity, s, shard->posts_of(k, s, p->block_size),
                                 std::max(last, learning.settled), p->next * p->step_ticks, last, trace);
            weight[i] = s.weight;
            eligibility[i++] = s.eligibility;
        });
    }
}

void netml_population_write_synapses(netml_population* p, int64_t k, const double* weight, const float* eligibility) {
    for (const auto& shard : p->shards)
        for (netml_plastic_synapse& s : shard->fibres[k].plastic.synapses) {
            s.weight = (float)*weight++;
            s.eligibility = *eligibility++;
        }
}

netml_row_state* netml_population_row_states(netml_population* p, int64_t k, int64_t* count) {
    *count = (int64_t)p->projections[k].rows.size();
    return p->projections[k].rows.data();
}

const netml_flight* netml_population_flights(netml_population* p, int64_t* count) {
    auto& out = p->flights_out;
    out.clear();
    p->take();
    for (const auto& shard : p->shards)
        for (const netml::Fibres& f : shard->fibres)
            for (const auto& bucket : f.calendar)
                for (const netml::Flight& flight : bucket) out.push_back(flight.spike);
    *count = (int64_t)out.size();
    return out.data();
}

const netml_post_spike* netml_population_post_spikes(netml_population* p, int64_t* count) {
    auto& out = p->posts_out;
    out.clear();
    for (const auto& shard : p->shards)
        for (size_t k = 0; k < shard->fibres.size(); ++k)
            for (size_t cell = 0; cell < shard->fibres[k].posts.size(); ++cell)
                for (const netml::Post& post : shard->fibres[k].posts[cell])
                    out.push_back({post.tick, post.trace, (int32_t)(shard->low * netml::LANES + cell), (int32_t)k});
    *count = (int64_t)out.size();
    return out.data();
}

const netml_reward* netml_population_rewards(netml_population* p, int64_t* count) {
    auto& out = p->rewards_out;
    out.clear();
    for (size_t k = 0; k < p->projections.size(); ++k)
        for (const netml::Reward& r : p->projections[k].learning.rewards) out.push_back({r.tick, r.amount, (int32_t)k});
    *count = (int64_t)out.size();
    return out.data();
}

const netml_injected* netml_population_injected(netml_population* p, int64_t* count) {
    auto& out = p->injected_out;
    out.clear();
    for (const auto& [step, events] : p->injected)
        for (const auto& [target, weight] : events)
            out.push_back({step, (int32_t)(target / p->block_size * netml::LANES + target % netml::LANES),
                           (int32_t)(target % p->block_size / netml::LANES), weight, 0});
    *count = (int64_t)out.size();
    return out.data();
}

const float* netml_population_currents(netml_population* p, int64_t* count) {
    *count = (int64_t)p->currents.set.size();
    return p->currents.set.data();
}

int64_t netml_population_restore(netml_population* p, int64_t steps, int64_t flights, const netml_flight* flight,
                                 int64_t post_spikes, const netml_post_spike* post, int64_t rewards, const netml_reward* reward,
                                 int64_t injected, const netml_injected* event) {
    return netml::where_memory_lasts([&] {
        netml::with_judges(p, [=](netml_population& q) { q.resume(steps); });
        for (int64_t i = 0; i < rewards; ++i)
            p->projections[reward[i].projection].learning.rewards.push_back({reward[i].tick, reward[i].amount});
        for (int64_t i = 0; i < injected; ++i) {
            const netml_injected& e = event[i];
            const int64_t target = e.cell / netml::LANES * p->block_size + e.input * netml::LANES + e.cell % netml::LANES;
            p->injected[e.step].push_back({target, e.weight});
        }
        for (const auto& shard : p->shards) {
            for (int64_t i = 0; i < flights; ++i) {
                netml::Fibres& f = shard->fibres[flight[i].projection];
                const std::vector<netml_flight> one = {flight[i]};
                if (p->projections[flight[i].projection].plasticity.stdp) shard->schedule(f, f.plastic, one, steps, p->step_ticks, true);
                else shard->schedule(f, f.plain, one, steps, p->step_ticks, true);
            }
            for (int64_t i = 0; i < post_spikes; ++i) {
                const int64_t cell = post[i].cell - shard->low * netml::LANES;
                auto& posts = shard->fibres[post[i].projection].posts;
                if (cell >= 0 && cell < (int64_t)posts.size()) posts[cell].push_back({post[i].tick, post[i].trace});
            }
        }
        return (int64_t)0;
    });
}

}  // extern "C"
