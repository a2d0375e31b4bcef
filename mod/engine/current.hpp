// Current into the somata of a population: what is set from one step to the next, and clamps that begin and end at any
// time. All of it in units of the current's input (nA x gain).
#pragma once

#include "lanes.hpp"
#include "netml_population.h"

#include <algorithm>
#include <vector>

namespace netml {

class Currents {
public:
    explicit Currents(int64_t cells) : padded((cells + LANES - 1) / LANES * LANES) {}

    void set(const float* each, int64_t cells) {
        steady.assign(padded, 0.0f);
        std::copy(each, each + cells, steady.begin());
    }

    void clamp(const netml_clamp* all, int64_t count) { clamps.assign(all, all + count); }

    void reset() { steady.clear(); }

    // Mean of each cell's current over [start, end), padded to whole blocks; NULL where no cell has any.
    const float* mean(double start_ms, double end_ms) {
        if (steady.empty() && clamps.empty()) return nullptr;
        total.assign(padded, 0.0f);
        std::copy(steady.begin(), steady.end(), total.begin());
        for (const netml_clamp& c : clamps) {
            const double on = std::min(end_ms, c.end_ms) - std::max(start_ms, c.start_ms);
            if (on > 0) total[c.cell] += (float)(c.amplitude * (on / (end_ms - start_ms)));
        }
        return total.data();
    }

private:
    int64_t padded;
    std::vector<netml_clamp> clamps;
    std::vector<float> steady, total;
};

}  // namespace netml
