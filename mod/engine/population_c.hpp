// The C interface of a population.
#pragma once

#include "check.hpp"
#include "population.hpp"

namespace netml {
// Nothing is thrown through C: what a container or a thread throws is want of memory.
template <class F>
int64_t where_memory_lasts(F&& what) {
    try {
        return what();
    } catch (const std::exception&) {
        return NETML_NO_MEMORY;
    }
}

// The members of an ensemble get the same input at the same times; the first of them answers.
template <class F>
int64_t with_shadows(netml_population* p, F&& what) {
    return where_memory_lasts([&] {
        const int64_t answer = what(*p);
        for (netml_population* shadow : p->shadows) what(*shadow);
        return answer;
    });
}

// Fills an array, which is handed out with its length.
template <class T, class F>
T* collected(std::vector<T>& out, int64_t* count, F&& fill) {
    *count = where_memory_lasts([&] {
        out.clear();
        fill();
        return (int64_t)out.size();
    });
    return *count < 0 ? nullptr : out.data();
}

inline int32_t check_population(const int32_t* shape, int64_t shape_count, const float* params, int64_t param_count,
                                const int32_t* wiring, int64_t wiring_count, float threshold, float rest_mv, double dt_r_ms,
                                float quantum, int64_t synapse_sites, const int32_t* channel_input, const float* channel_gain) {
    if (const int32_t why = check(shape, shape_count, param_count, wiring_count, wiring)) return why;
    const double ticks = dt_r_ms * NETML_TICKS_PER_MS;
    if (!all_finite(params, param_count) || std::isnan(threshold) || !std::isfinite(rest_mv) || !(ticks >= 0.5 && ticks <= INT32_MAX)
        || !(std::isnormal(quantum) && quantum > 0 && quantum <= 1e6f)) return NETML_NUMBERS;
    const bool fed = synapse_sites >= 0 && all_below(channel_input, synapse_sites, sizes_of(shape).inputs);
    return fed && all_finite(channel_gain, synapse_sites) ? NETML_FITS : NETML_SYNAPSE_SITES;
}
}  // namespace netml

extern "C" {

netml_population* netml_population_new(const int32_t* shape, int64_t shape_count, const float* params, int64_t param_count,
                                       const int32_t* wiring, int64_t wiring_count, float threshold, float rest_mv,
                                       double dt_r_ms, float quantum, int64_t synapse_sites, const int32_t* channel_input,
                                       const float* channel_gain, const int64_t* channel_seen, const float* low_us,
                                       const float* high_us, int32_t* why) {
    *why = netml::check_population(shape, shape_count, params, param_count, wiring, wiring_count, threshold, rest_mv, dt_r_ms,
                                   quantum, synapse_sites, channel_input, channel_gain);
    if (*why != NETML_FITS) return nullptr;
    try {
        return new netml_population(shape, params, wiring, threshold, rest_mv, dt_r_ms, quantum,
                                    {synapse_sites, channel_input, channel_gain, channel_seen, low_us, high_us, quantum});
    } catch (const std::exception&) {
        *why = NETML_NO_MEMORY;
        return nullptr;
    }
}
void netml_population_delete(netml_population* p) { delete p; }

int64_t netml_population_add_projection(netml_population* p, const netml_plasticity* plasticity) {
    return netml::where_memory_lasts([&] { return p->add_projection(*plasticity); });
}

int64_t netml_population_add(netml_population* p, int64_t projection, int64_t rows, int64_t cells, int64_t count,
                             const int32_t* row, const int32_t* cell, const int32_t* synapse_site, const double* weight_us,
                             const double* delay_ms) {
    return netml::where_memory_lasts(
        [&] { return p->add(projection, rows, cells, count, row, cell, synapse_site, weight_us, delay_ms); });
}

int64_t netml_population_add_background(netml_population* p, int64_t count, const int32_t* synapse_site, const double* rate_hz,
                                        const double* weight_us, uint32_t seed, uint32_t stream) {
    return netml::where_memory_lasts([&] { return p->add_background(count, synapse_site, rate_hz, weight_us, seed, stream); });
}

int64_t netml_population_freeze(netml_population* p, int64_t cells, const int64_t* gids, int64_t rows, int32_t threads) {
    return netml::where_memory_lasts([&] { return p->freeze(cells, gids, rows, threads); });
}

int64_t netml_population_clamp(netml_population* p, int64_t count, const netml_clamp* clamps) {
    return netml::where_memory_lasts([&] { return p->clamp(count, clamps); });
}
int64_t netml_population_set_current(netml_population* p, const float* each) {
    if (!netml::all_finite(each, p->cells)) return NETML_REFUSED;
    return netml::where_memory_lasts([&] { return p->currents.set.assign(each, each + p->cells), 0; });
}

int64_t netml_population_shadow(netml_population* p, netml_population* shadow) {
    if (shadow == p || !shadow->shadows.empty() || shadow->cells != p->cells || shadow->row_count != p->row_count) return NETML_REFUSED;
    return netml::where_memory_lasts([&] { return p->shadows.push_back(shadow), 0; });
}
int64_t netml_population_reset(netml_population* p) {
    if (!p->runs()) return NETML_REFUSED;
    return netml::with_shadows(p, [](netml_population& q) { return q.reset(), (int64_t)0; });
}
int64_t netml_population_deliver(netml_population* p, int64_t row, double spike_ms) {
    return netml::with_shadows(p, [=](netml_population& q) { return q.deliver(row, spike_ms); });
}
int64_t netml_population_deliver_once(netml_population* p, int64_t row, double spike_ms) {
    return netml::with_shadows(p, [=](netml_population& q) { return q.deliver_once(row, spike_ms); });
}
int64_t netml_population_reward(netml_population* p, int64_t projection, double amount) {
    return netml::with_shadows(p, [=](netml_population& q) { return q.reward(projection, amount); });
}
int64_t netml_population_inject(netml_population* p, int64_t n, const int32_t* cell, const int32_t* synapse_site,
                                const double* weight_us, const double* arrival_ms) {
    return netml::where_memory_lasts([&] { return p->inject(n, cell, synapse_site, weight_us, arrival_ms); });
}
int64_t netml_population_step(netml_population* p) {
    if (!p->runs()) return NETML_REFUSED;
    const int64_t spikes = netml::with_shadows(p, [](netml_population& q) { return q.step(); });
    if (spikes < 0) p->ready = false;      // some cells have taken the step, some have not
    return spikes;
}
const int32_t* netml_population_spike_counts(const netml_population* p) { return p->counts.data(); }
const int32_t* netml_population_spiking(const netml_population* p) { return p->spiking.data(); }
double netml_population_step_end_ms(const netml_population* p) {
    return (double)((p->next + 1) * p->step_ticks - p->origin) / NETML_TICKS_PER_MS;
}
int64_t netml_population_watch(netml_population* p, const float* limits) {
    return netml::where_memory_lasts([&] { return p->limits.assign(limits, limits + p->size.inputs), 0; });
}
const int32_t* netml_population_past_range(const netml_population* p) { return p->past_range.data(); }
float* netml_population_voltage(netml_population* p) { return p->voltage.data(); }
float* netml_population_logit(netml_population* p) { return p->logit.data(); }
float* netml_population_state(netml_population* p) { return p->state.data(); }
int64_t netml_population_state_size(const netml_population* p) { return p->size.state; }
int64_t netml_population_clock(const netml_population* p) { return p->next; }
void netml_population_get_stats(const netml_population* p, netml_population_stats* out) { *out = p->stats(); }

int64_t netml_population_synapse_count(const netml_population* p, int64_t k) {
    if (!p->ready || !p->has(k)) return NETML_REFUSED;
    int64_t total = 0;
    for (const auto& shard : p->shards) total += (int64_t)(shard->fibres[k].plain.synapses.size() + shard->fibres[k].plastic.synapses.size());
    return total;
}

int64_t netml_population_read_synapses(netml_population* p, int64_t k, int32_t now, int32_t* row, int32_t* cell, int32_t* input,
                                       int32_t* delay, double* weight, float* eligibility) {
    if (!p->ready || !p->has(k)) return NETML_REFUSED;
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
    return 0;
}

int64_t netml_population_write_synapses(netml_population* p, int64_t k, const double* weight, const float* eligibility) {
    if (!p->ready || !p->has(k)) return NETML_REFUSED;
    for (const auto& shard : p->shards)
        for (netml_plastic_synapse& s : shard->fibres[k].plastic.synapses) {
            s.weight = (float)*weight++;
            s.eligibility = *eligibility++;
        }
    return 0;
}

netml_row_state* netml_population_row_states(netml_population* p, int64_t k, int64_t* count) {
    if (!p->ready || !p->has(k)) return *count = NETML_REFUSED, nullptr;
    *count = (int64_t)p->projections[k].rows.size();
    return p->projections[k].rows.data();
}

const netml_flight* netml_population_flights(netml_population* p, int64_t* count) {
    auto& out = p->flights_out;
    if (!p->ready) return *count = NETML_REFUSED, nullptr;
    return netml::collected(out, count, [&] {
        p->take();
        for (const auto& shard : p->shards)
            for (const netml::Fibres& f : shard->fibres)
                for (const auto& bucket : f.calendar)
                    for (const netml::Flight& flight : bucket) out.push_back(flight.spike);
    });
}

const netml_post_spike* netml_population_post_spikes(netml_population* p, int64_t* count) {
    auto& out = p->posts_out;
    if (!p->ready) return *count = NETML_REFUSED, nullptr;
    return netml::collected(out, count, [&] {
        for (const auto& shard : p->shards)
            for (size_t k = 0; k < shard->fibres.size(); ++k)
                for (size_t cell = 0; cell < shard->fibres[k].posts.size(); ++cell)
                    for (const netml::Post& post : shard->fibres[k].posts[cell])
                        out.push_back({post.tick, post.trace, (int32_t)(shard->low * netml::LANES + cell), (int32_t)k});
    });
}

const netml_reward* netml_population_rewards(netml_population* p, int64_t* count) {
    auto& out = p->rewards_out;
    return netml::collected(out, count, [&] {
        for (size_t k = 0; k < p->projections.size(); ++k)
            for (const netml::Reward& r : p->projections[k].learning.rewards) out.push_back({r.tick, r.amount, (int32_t)k});
    });
}

const netml_injected* netml_population_injected(netml_population* p, int64_t* count) {
    auto& out = p->injected_out;
    return netml::collected(out, count, [&] {
        for (const auto& [step, events] : p->injected)
            for (const auto& [target, weight] : events)
                out.push_back({step, (int32_t)(target / p->block_size * netml::LANES + target % netml::LANES),
                               (int32_t)(target % p->block_size / netml::LANES), weight, 0});
    });
}

const float* netml_population_currents(netml_population* p, int64_t* count) {
    *count = (int64_t)p->currents.set.size();
    return p->currents.set.data();
}

int64_t netml_population_restore(netml_population* p, int64_t steps, int64_t flights, const netml_flight* flight,
                                 int64_t post_spikes, const netml_post_spike* post, int64_t rewards, const netml_reward* reward,
                                 int64_t injected, const netml_injected* event) {
    const auto all = [](int64_t count, const auto* items, auto fits) { return count >= 0 && std::all_of(items, items + count, fits); };
    const auto learns = [p](int64_t k) { return p->has(k) && p->projections[k].plasticity.stdp; };
    if (!p->runs() || steps < 0 || !p->is_tick((double)steps * p->step_ticks)
        || !all(flights, flight, [=](const netml_flight& f) {
               return p->has(f.projection) && f.row >= 0 && f.row < p->row_count && p->is_tick(f.tick) && p->is_tick(f.previous);
           })
        || !all(post_spikes, post, [=](const netml_post_spike& s) {
               return learns(s.projection) && s.cell >= 0 && s.cell < p->cells && p->is_tick(s.tick);
           })
        || !all(rewards, reward, [=](const netml_reward& r) { return learns(r.projection) && p->is_tick(r.tick); })
        || !all(injected, event, [=](const netml_injected& e) {
               return e.step >= steps && e.cell >= 0 && e.cell < p->cells && e.input >= 0 && e.input < p->size.inputs && e.weight >= 0;
           }))
        return NETML_REFUSED;
    return netml::where_memory_lasts([&] {
        netml::with_shadows(p, [=](netml_population& q) { return q.resume(steps), (int64_t)0; });
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
