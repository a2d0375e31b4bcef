// Plasticity of a projection: what a spike of its source carries, and how a synapse learns. Equations, times and order:
// netml/population/README.md.
#pragma once

#include "netml_population.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace netml {

struct Post {
    int64_t tick;
    double trace;
};
using Posts = std::vector<Post>;     // of one cell, by time

struct Reward {
    int64_t tick;
    double amount;
};

inline double decay(int64_t ticks, double tau_ms) { return std::exp(-(double)ticks / (tau_ms * NETML_TICKS_PER_MS)); }

// The next spike of a source: its effect on the source's state, and what goes to its synapses.
inline netml_flight next_spike(const netml_plasticity& p, netml_row_state& row, int64_t tick) {
    netml_flight out{tick, row.last, row.trace, 1.0, 0, 0};
    const bool first = row.last == NETML_NEVER;
    const int64_t since = first ? 0 : tick - row.last;
    if (p.short_term) {
        const double kept = p.tau_facil_ms > 0 ? decay(since, p.tau_facil_ms) : 0.0;
        row.resources = first ? 1.0 : 1.0 + (row.resources * (1.0 - row.use) - 1.0) * decay(since, p.tau_rec_ms);
        row.use = first ? p.use : p.use + row.use * (1.0 - p.use) * kept;
        out.factor = row.use * row.resources;
    }
    if (p.stdp) row.trace = first ? 1.0 : 1.0 + row.trace * decay(since, p.tau_plus_ms);
    row.last = tick;
    return out;
}

struct Learning {
    // A synapse from `from` to `to`, both included in nothing but the latter's spikes and rewards. Its last arrival was
    // at `arrival`, after which its source's trace was `trace`.
    void advance(const netml_plasticity& p, netml_plastic_synapse& s, const Posts& posts, int64_t from, int64_t to,
                 int64_t arrival, double trace) const {
        const auto later = [](int64_t tick, const auto& a) { return tick < a.tick; };
        auto post = std::upper_bound(posts.begin(), posts.end(), from, later);
        auto reward = std::upper_bound(rewards.begin(), rewards.end(), from, later);
        double e = s.eligibility, w = s.weight;
        int64_t at = from;
        for (;;) {
            const int64_t spike = post == posts.end() ? INT64_MAX : post->tick;
            const int64_t gift = reward == rewards.end() || (e == 0.0 && spike > to) ? INT64_MAX : reward->tick;
            const int64_t tick = std::min(spike, gift);
            if (tick > to) break;
            e *= decay(tick - at, p.tau_eligibility_ms);
            at = tick;
            if (spike == tick) {
                if (trace > 0.0) e += p.a_plus * trace * decay(tick - arrival, p.tau_plus_ms);
                ++post;
            } else {
                w = std::clamp(w + p.rate_us * reward->amount * e, p.low_us, p.high_us);
                ++reward;
            }
        }
        s.eligibility = (float)(e == 0.0 ? 0.0 : e * decay(to - at, p.tau_eligibility_ms));
        s.weight = (float)w;
    }

    // An event arrives at `tick`.
    static void arrive(const netml_plasticity& p, netml_plastic_synapse& s, const Posts& posts, int64_t tick) {
        if (posts.empty()) return;
        s.eligibility -= (float)(p.a_minus * posts.back().trace * decay(tick - posts.back().tick, p.tau_minus_ms));
    }

    static void spike(const netml_plasticity& p, Posts& posts, int64_t tick) {
        posts.push_back({tick, posts.empty() ? 1.0 : 1.0 + posts.back().trace * decay(tick - posts.back().tick, p.tau_minus_ms)});
    }

    std::vector<Reward> rewards;
    int64_t settled = 0;             // every synapse is brought up to this tick at least
};

}  // namespace netml
