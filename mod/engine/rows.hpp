// Synapses as rows, one row a source: collected in any order, then sorted by row, delay and target.
#pragma once

#include "netml_population.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace netml {

// What is the same for every synapse on a channel of the cell.
struct Channels {
    Channels(int64_t count, const int32_t* input_, const float* gain_, const int64_t* seen_, const float* low_,
             const float* high_, float quantum)
        : input(input_, input_ + count), seen(seen_, seen_ + count), low(low_, low_ + count),
          high(high_, high_ + count), quanta_per_us(count) {
        for (int64_t c = 0; c < count; ++c) quanta_per_us[c] = (double)gain_[c] / quantum;
    }
    std::vector<int32_t> input;
    std::vector<int64_t> seen;               // events in training
    std::vector<float> low, high;            // uS, range of its weights in training
    std::vector<double> quanta_per_us;
};

struct Rows {
    // A batch in the order of its making.
    struct Batch {
        std::vector<int32_t> row;
        std::vector<netml_synapse> synapse;
    };

    int64_t row_count() const { return (int64_t)start.size() - 1; }

    // Sorts what was there before and the batches, which are emptied. A counting sort by row touches every synapse
    // twice; sorting the short rows afterwards stays in the cache.
    void merge(int64_t rows, std::vector<Batch>& batches) {
        std::vector<int64_t> at(rows + 1, 0);
        for (int64_t r = 0; r < row_count(); ++r) at[r + 1] = start[r + 1] - start[r];
        for (const Batch& batch : batches)
            for (const int32_t r : batch.row) ++at[r + 1];
        std::partial_sum(at.begin(), at.end(), at.begin());
        std::vector<int64_t> starts = at;
        std::vector<netml_synapse> sorted(starts.back());
        for (int64_t r = 0; r < row_count(); ++r)
            for (int64_t i = start[r]; i < start[r + 1]; ++i) sorted[at[r]++] = synapses[i];
        for (Batch& batch : batches) {
            for (size_t i = 0; i < batch.row.size(); ++i) sorted[at[batch.row[i]]++] = batch.synapse[i];
            batch = Batch{};
        }
        batches.clear();
        const auto key = [](const netml_synapse& s) { return (uint64_t)s.delay << 32 | s.target; };
        for (int64_t r = 0; r < rows; ++r)
            std::sort(sorted.begin() + starts[r], sorted.begin() + starts[r + 1],
                      [key](const netml_synapse& a, const netml_synapse& b) { return key(a) < key(b); });
        start.swap(starts);
        synapses.swap(sorted);
    }

    std::vector<int64_t> start = {0};
    std::vector<netml_synapse> synapses;
};

}  // namespace netml
