// The part of a population that one thread works on: a range of whole blocks of cells, and the synapses onto them.
#pragma once

#include "lanes.hpp"
#include "plasticity.hpp"
#include "rows.hpp"

#include <chrono>
#include <unordered_map>
#include <vector>

namespace netml {

// The processor's own counter of time: reading it costs a tenth of a clock's.
inline uint64_t counter() {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t now;
    asm volatile("mrs %0, cntvct_el0" : "=r"(now));
    return now;
#else
    return (uint64_t)std::chrono::steady_clock::now().time_since_epoch().count();
#endif
}

// Adds the duration of a scope, in counts.
struct Stopwatch {
    uint64_t& total;
    uint64_t start = counter();
    explicit Stopwatch(uint64_t& counts) : total(counts) {}
    ~Stopwatch() { total += counter() - start; }
};

// A projection as all threads see it.
struct Projection {
    netml_plasticity plasticity;
    std::vector<netml_row_state> rows;        // by row, where it is plastic at all
    Learning learning;
    std::vector<netml_flight> arrivals;       // spikes handed over since the last step
    std::vector<Rows<netml_synapse>::Batch> plain;              // added since the last freeze
    std::vector<Rows<netml_plastic_synapse>::Batch> plastic;

    bool any() const { return plasticity.short_term || plasticity.stdp; }
    void reset(int64_t row_count) {
        rows.assign(any() ? row_count : 0, {NETML_NEVER, 0.0, 1.0, 0.0});
        learning = Learning{};
        arrivals.clear();
    }
};

// A spike on its way along the row of a shard; its next event is at synapse `next`.
struct Flight {
    netml_flight spike;
    int64_t next;
};

// When an event arrives, in ticks: one tick before a border is on it (see netml_population.h).
inline int64_t arrival(int64_t spike, int64_t delay, int64_t step_ticks) {
    const int64_t tick = spike + delay;
    return (tick + 1) % step_ticks == 0 ? tick + 1 : tick;
}

// The synapses of one projection in a shard. Spikes wait in a calendar under the step of their next event: synapses lie
// sorted by delay, so those of a step lie side by side, and nothing but the sums of the present step is written.
struct Fibres {
    Rows<netml_synapse> plain;
    Rows<netml_plastic_synapse> plastic;
    std::vector<std::vector<Flight>> calendar;
    std::vector<Posts> posts;                 // by cell of the shard, with STDP
    int64_t bytes_a_step = 0;                 // of a row: what a spike passes in one step, about

    void reset(int64_t step_ticks) {
        const int64_t longest = std::max(plain.longest(), plastic.longest());
        calendar.assign(longest / step_ticks + 3, {});
        const int64_t bytes = (int64_t)(plain.synapses.size() * sizeof(netml_synapse) + plastic.synapses.size() * sizeof(netml_plastic_synapse));
        bytes_a_step = bytes / std::max<int64_t>(plain.used() + plastic.used(), 1) / (longest / step_ticks + 1);
        for (netml_plastic_synapse& s : plastic.synapses) s.weight = s.initial, s.eligibility = 0;
        for (Posts& p : posts) p.clear();
    }

    int64_t bytes() const {
        int64_t total = plain.bytes() + plastic.bytes();
        for (const auto& bucket : calendar) total += bucket.capacity() * sizeof(Flight);
        for (const Posts& p : posts) total += sizeof(Posts) + p.capacity() * sizeof(Post);
        return total;
    }
};

struct Shard {
    int64_t low = 0, high = 0;                // blocks
    std::vector<Fibres> fibres;               // by projection
    std::vector<int32_t> spiking;
    int64_t events = 0, background = 0, saturated = 0, late = 0;
    uint64_t step_counts = 0, deliver_counts = 0;

    // The spikes handed over before step n enter the calendars.
    void take(const std::vector<Projection>& projections, int64_t n, int64_t step_ticks) {
        const Stopwatch watch(deliver_counts);
        for (size_t k = 0; k < projections.size(); ++k)
            if (projections[k].plasticity.stdp) schedule(fibres[k], fibres[k].plastic, projections[k].arrivals, n, step_ticks);
            else schedule(fibres[k], fibres[k].plain, projections[k].arrivals, n, step_ticks);
    }

    // Everything that arrives in step n enters the sums.
    void deliver(const std::vector<Projection>& projections, int64_t n, int64_t step_ticks, int64_t block_size, int32_t* sums) {
        const Stopwatch watch(deliver_counts);
        for (size_t k = 0; k < projections.size(); ++k) {
            const Projection& projection = projections[k];
            const netml_plasticity& p = projection.plasticity;
            Fibres& mine = fibres[k];
            if (p.stdp) {
                // Two spikes of a source may reach a synapse in one step, and must in their order.
                auto& due = mine.calendar[n % mine.calendar.size()];
                std::sort(due.begin(), due.end(), [](const Flight& a, const Flight& b) { return a.spike.tick < b.spike.tick; });
                fly(mine, mine.plastic, n, step_ticks, [&](const netml_flight& spike, netml_plastic_synapse& s) {
                    const Posts& posts = posts_of(k, s, block_size);
                    const int64_t now = arrival(spike.tick, s.delay, step_ticks), before = arrival(spike.previous, s.delay, step_ticks);
                    projection.learning.advance(p, s, posts, std::max(before, projection.learning.settled), now, before, spike.trace);
                    Learning::arrive(p, s, posts, now);
                    add(sums[s.target], (int32_t)std::lrint((double)s.weight * s.gain * spike.factor));
                });
            } else if (p.short_term) {
                fly(mine, mine.plain, n, step_ticks, [&](const netml_flight& spike, const netml_synapse& s) {
                    add(sums[s.target], (int32_t)std::lrint(s.weight * spike.factor));
                });
            } else {
                fly(mine, mine.plain, n, step_ticks,
                    [&](const netml_flight&, const netml_synapse& s) { add(sums[s.target], s.weight); });
            }
        }
    }

    // what(row, synapse, its last arrival, the source's trace after it) for the synapses of an STDP projection.
    template <class F>
    void each_plastic(const Projection& projection, size_t k, int64_t step_ticks, F what) {
        Fibres& mine = fibres[k];
        std::unordered_map<int32_t, std::vector<const Flight*>> flying;
        for (const auto& bucket : mine.calendar)
            for (const Flight& f : bucket) flying[f.spike.row].push_back(&f);
        for (auto& [row, flights] : flying)
            std::sort(flights.begin(), flights.end(), [](auto a, auto b) { return a->spike.tick < b->spike.tick; });
        for (int64_t row = 0; row + 1 < (int64_t)mine.plastic.start.size(); ++row) {
            const auto found = flying.find((int32_t)row);
            for (int64_t i = mine.plastic.start[row]; i < mine.plastic.start[row + 1]; ++i) {
                int64_t last = projection.rows[row].last;
                double trace = projection.rows[row].trace;
                if (found != flying.end())
                    for (const Flight* f : found->second)
                        if (f->next <= i) {      // not there yet: the spike before it was the last to arrive
                            last = f->spike.previous, trace = f->spike.trace;
                            break;
                        }
                netml_plastic_synapse& s = mine.plastic.synapses[i];
                what(row, s, arrival(last, s.delay, step_ticks), trace);
            }
        }
    }

    // Brings the synapses of an STDP projection to the beginning of a step; the spikes before are no longer needed.
    void settle(const Projection& projection, size_t k, int64_t tick, int64_t step_ticks, int64_t block_size) {
        const Learning& learning = projection.learning;
        each_plastic(projection, k, step_ticks, [&](int64_t, netml_plastic_synapse& s, int64_t last, double trace) {
            learning.advance(projection.plasticity, s, posts_of(k, s, block_size), std::max(last, learning.settled), tick, last, trace);
        });
        for (Posts& posts : fibres[k].posts)
            if (posts.size() > 1) posts.erase(posts.begin(), posts.end() - 1);
    }

    const Posts& posts_of(size_t k, const netml_plastic_synapse& s, int64_t block_size) const {
        return fibres[k].posts[s.target / block_size * LANES + s.target % LANES - low * LANES];
    }

    // A spike whose first events up to step n are over goes on from there.
    template <class Synapse>
    void schedule(Fibres& mine, const Rows<Synapse>& rows, const std::vector<netml_flight>& spikes, int64_t n,
                  int64_t step_ticks, bool resume = false) {
        for (const netml_flight& spike : spikes) {
            int64_t i = rows.start[spike.row];
            const int64_t end = rows.start[spike.row + 1];
            const auto step = [&](int64_t synapse) { return (spike.tick + 1 + rows.synapses[synapse].delay) / step_ticks; };
            while (resume && i < end && step(i) < n) ++i;
            if (i == end) continue;
            if (step(i) < n || step(i) >= n + (int64_t)mine.calendar.size()) late += end - i;
            else mine.calendar[step(i) % mine.calendar.size()].push_back({spike, i});
        }
    }

    void add(int32_t& sum, int32_t weight) {
        if (__builtin_add_overflow(sum, weight, &sum)) sum = INT32_MAX, ++saturated;
    }

private:
    template <class Synapse, class F>
    void fly(Fibres& mine, Rows<Synapse>& rows, int64_t n, int64_t step_ticks, F event) {
        const size_t slots = mine.calendar.size();
        auto& due = mine.calendar[n % slots];
        Synapse* const all = rows.synapses.data();
        const int lines = (int)std::min<int64_t>(mine.bytes_a_step / 64 + 2, 16);
        for (size_t i = 0; i < due.size(); ++i) {
            if (i + 2 < due.size())      // the rows of other spikes lie anywhere
                for (int line = 0; line < lines; ++line) __builtin_prefetch((const char*)(all + due[i + 2].next) + 64 * line);
            const Flight flight = due[i];
            const int64_t border = (n + 1) * step_ticks - flight.spike.tick - 1;      // delays below it arrive in this step
            Synapse* s = all + flight.next;
            Synapse* const end = all + rows.start[flight.spike.row + 1];
            for (; s != end && s->delay < border; ++s) event(flight.spike, *s);
            events += s - (all + flight.next);
            if (s != end) {
                const int64_t step = (flight.spike.tick + 1 + s->delay) / step_ticks;
                mine.calendar[step % slots].push_back({flight.spike, s - all});
            }
        }
        due.clear();
    }
};

}  // namespace netml
