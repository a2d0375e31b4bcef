// Current into the somata of a population: what is set from one step to the next, and clamps that begin and end at any
// time. All of it in units of the current's input (nA x gain).
#pragma once

#include "netml_population.h"

#include <algorithm>
#include <vector>

namespace netml {

struct Currents {
    std::vector<netml_clamp> clamps;
    std::vector<float> set;           // by cell, until it is set again; empty: none

    // Mean of each cell's current over [start, end) in an array of `size`; NULL where no cell has any.
    const float* mean(double start_ms, double end_ms, int64_t size) {
        if (set.empty() && clamps.empty()) return nullptr;
        sum.assign(size, 0.0f);
        std::copy(set.begin(), set.end(), sum.begin());
        for (const netml_clamp& c : clamps) {
            const double on_ms = std::min(end_ms, c.end_ms) - std::max(start_ms, c.start_ms);
            if (on_ms > 0) sum[c.cell] += (float)(c.amplitude * on_ms / (end_ms - start_ms));
        }
        return sum.data();
    }

    // There are no other cells any more.
    void keep_below(int64_t cells) {
        clamps.erase(std::remove_if(clamps.begin(), clamps.end(), [=](const netml_clamp& c) { return c.cell >= cells; }), clamps.end());
    }

private:
    std::vector<float> sum;
};

}  // namespace netml
