// Synapses as rows, one row a source: collected in any order, then sorted by row, delay and target.
#pragma once

#include "aligned.hpp"
#include "netml_population.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace netml {

// What is the same for every synapse on a synapse site of the cell.
struct SynapseSites {
    SynapseSites(int64_t count, const int32_t* input_, const float* gain_, const int64_t* seen_, const float* low_,
             const float* high_, float quantum)
        : input(input_, input_ + count), seen(seen_, seen_ + count), low(low_, low_ + count),
          high(high_, high_ + count), quanta_per_us(count) {
        for (int64_t c = 0; c < count; ++c) quanta_per_us[c] = (double)gain_[c] / quantum;
    }
    bool unlike(int32_t synapse_site, double weight_us) const {
        return weight_us > 0 && (weight_us < low[synapse_site] * (1 - 1e-6) || weight_us > high[synapse_site] * (1 + 1e-6));
    }
    std::vector<int32_t> input;
    std::vector<int64_t> seen;               // events in training
    std::vector<float> low, high;            // uS, range of its weights in training
    std::vector<double> quanta_per_us;
};

template <class Synapse>
struct Rows {
    // Synapses in the order of their making.
    struct Batch {
        Aligned<int32_t> row;
        Aligned<Synapse> synapse;
    };

    // Takes those of the batches whose target lies in [low, high). A counting sort by row touches every synapse
    // twice; sorting the short rows afterwards stays in the cache.
    void build(int64_t rows, const std::vector<Batch>& batches, int64_t low, int64_t high) {
        std::vector<int64_t> at(rows + 1, 0);
        const auto each = [&](auto what) {
            for (const Batch& batch : batches)
                for (size_t i = 0; i < batch.row.size(); ++i)
                    if (batch.synapse[i].target >= low && batch.synapse[i].target < high) what(batch.row[i], batch.synapse[i]);
        };
        each([&](int32_t row, const Synapse&) { ++at[row + 1]; });
        std::partial_sum(at.begin(), at.end(), at.begin());
        start = at;
        synapses = Aligned<Synapse>(start.back());
        each([&](int32_t row, const Synapse& s) { synapses[at[row]++] = s; });
        std::vector<Synapse> spare;
        for (int64_t r = 0; r < rows; ++r) sort(synapses.data() + start[r], start[r + 1] - start[r], spare);
    }

    Batch batch() const {
        Batch out{{}, synapses};
        out.row.reserve(synapses.size());
        for (int64_t r = 0; r + 1 < (int64_t)start.size(); ++r) out.row.insert(out.row.end(), start[r + 1] - start[r], (int32_t)r);
        return out;
    }

    int64_t size(int64_t row) const { return start[row + 1] - start[row]; }
    int64_t used() const {                // rows that have synapses
        int64_t count = 0;
        for (size_t r = 1; r < start.size(); ++r) count += start[r] > start[r - 1];
        return count;
    }
    int64_t longest() const {
        int32_t delay = 0;
        for (const Synapse& s : synapses) delay = std::max(delay, s.delay);
        return delay;
    }
    int64_t bytes() const { return (int64_t)(synapses.size() * sizeof(Synapse) + start.size() * sizeof(int64_t)); }

    std::vector<int64_t> start = {0};
    Aligned<Synapse> synapses;

private:
    static uint64_t place(const Synapse& s) { return (uint64_t)s.delay << 32 | s.target; }

    // By delay, then target; equal ones keep their order, as the weights of those that learn will differ. They are spread
    // over as many buckets as there are synapses, which leaves little to sort.
    static void sort(Synapse* row, int64_t count, std::vector<Synapse>& spare) {
        constexpr int64_t FEW = 24;
        const auto before = [](const Synapse& a, const Synapse& b) { return place(a) < place(b); };
        const auto by_insertion = [](Synapse* first, int64_t n) {
            for (int64_t i = 1; i < n; ++i) {
                const Synapse s = first[i];
                int64_t j = i;
                for (; j > 0 && place(s) < place(first[j - 1]); --j) first[j] = first[j - 1];
                first[j] = s;
            }
        };
        if (count <= FEW) return by_insertion(row, count);
        const auto [least, most] = std::minmax_element(row, row + count, before);
        const uint64_t low = place(*least);
        const double share = (double)count / ((double)(place(*most) - low) + 1) * (1 - 1e-9);
        const auto bucket = [&](const Synapse& s) { return (int64_t)((double)(place(s) - low) * share); };
        std::vector<int32_t> at(count + 1, 0);
        for (int64_t i = 0; i < count; ++i) ++at[bucket(row[i]) + 1];
        std::partial_sum(at.begin(), at.end(), at.begin());
        spare.assign(row, row + count);
        for (const Synapse& s : spare) row[at[bucket(s)]++] = s;
        for (int64_t b = 0, first = 0; b < count; first = at[b++]) {      // at is now the end of each bucket
            const int64_t n = at[b] - first;
            if (n <= FEW) by_insertion(row + first, n);
            else std::stable_sort(row + first, row + first + n, before);
        }
    }
};

}  // namespace netml
