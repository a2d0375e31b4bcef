// The leaky-memory cell: filtered inputs a synapse type, and the head behind them.
#pragma once

#include "head.hpp"

namespace netml {

struct LeakyMemory {
    static constexpr int SIZES = 6;
    int inputs, traces;
    int wiring;                              // integers: the input of each trace
    int own = 0, kept = 0, sites = 0;        // rows of state beside z, of what a step keeps for its gradient, of outputs
    int64_t trace_decay = 0;
    Head head;

    explicit LeakyMemory(const int32_t* sizes)
        : inputs(sizes[0]), traces(sizes[1]), wiring(traces), head(traces, traces, sizes[2], sizes[3], sizes[4], sizes[5]) {}
    int64_t params() const { return head.end; }
    int work() const { return 0; }
    void rest(const float*, float*) const {}

    // z_before and z have the traces in front, and the feedback of this step is already in z.
    void advance(const float* params, const int32_t* trace_input, const float* x, const float*, const float* z_before,
                 float*, float* z, float*, float*) const {
        for (int k = 0; k < traces; ++k)
            for (int p = 0; p < PARTS; ++p)
                lanes(z + k * LANES)[p] = settled(params[trace_decay + k] * lanes(z_before + k * LANES)[p]
                                                  + lanes(x + (int64_t)trace_input[k] * LANES)[p]);
    }
    void read_out(const float*, const int32_t*, const float*, float*, float*) const {}
};

}  // namespace netml
