// The seam between the models and whoever runs them: a shape is the kind of the model and its sizes.
// State of a cell: what is the model's own, z (front, memory, feedback), last spike (0 or 1), steps a spike must wait.
#pragma once

#include "cable.hpp"
#include "leaky_memory.hpp"

namespace netml {

enum Kind { LEAKY_MEMORY = 0, CABLE = 1 };

template <class Use>
inline auto with_model(const int32_t* shape, Use use) {
    return shape[0] == CABLE ? use(Cable(shape + 1)) : use(LeakyMemory(shape + 1));
}

template <class Model>
inline int64_t state_rows(const Model& n) { return n.own + n.head.z + 2; }

struct Sizes {
    int64_t shape, params, wiring, state, inputs, scratch;      // state and inputs in rows of 16, scratch in floats
};

inline Sizes sizes_of(const int32_t* shape) {
    return with_model(shape, [](const auto& n) {
        return Sizes{1 + n.SIZES, n.params(), n.wiring, state_rows(n), n.inputs,
                     (int64_t)(n.kept + n.work() + TOGETHER * (n.head.readout + n.head.memory)) * LANES};
    });
}

template <class Model>
inline void rest_block(const Model& n, const float* params, float* state) {
    std::memset(state, 0, sizeof(float) * state_rows(n) * LANES);
    n.rest(params, state);
    float* memory = state + (int64_t)(n.own + n.head.memory_at()) * LANES;
    for (int i = 0; i < n.head.memory * PARTS; ++i) lanes(memory)[i] = splat(params[n.head.memory_rest + i / PARTS]);
}

// Memory that the next blocks will need, fetched line by line while these are computed: it comes from another cache or
// further, and asked for all at once it would be waited for.
class Ahead {
public:
    struct Span {
        const void* from;
        int64_t words;
    };
    Ahead(Span first, Span second) : line(at(first, 0)), end(at(first, first.words)), second_line(at(second, 0)),
                                     second_end(at(second, second.words)) {}
    void operator()() {
        if (line >= end) line = second_line, end = second_end, second_line = second_end;
        if (line >= end) return;
        __builtin_prefetch(line);
        line += 64;
    }

private:
    static const char* at(Span span, int64_t word) { return static_cast<const char*>(span.from) + 4 * word; }
    const char *line, *end, *second_line, *second_end;
};

template <int BLOCKS, class Model>
inline void step_together(const Model& n, const float* params, const int32_t* wiring, float threshold, float* state,
                          const float* x, float* logit, float* v, uint8_t* spike, float* scratch, const Ahead& ahead) {
    const int64_t stride = state_rows(n) * LANES, own = (int64_t)n.own * LANES, z = own + (int64_t)n.head.z * LANES;
    float *kept = scratch, *work = kept + (int64_t)n.kept * LANES;
    float *r = work + (int64_t)n.work() * LANES, *d = r + (int64_t)n.head.readout * LANES * BLOCKS;
    for (int b = 0; b < BLOCKS; ++b) {
        float* here = state + b * stride;
        advance_feedback(n.head, params, here + z, here + own, here + own);
        n.advance(params, wiring, x + (int64_t)b * n.inputs * LANES, here, here + own, here, here + own, kept, work);
    }
    advance_memory<BLOCKS>(n.head, params, state + own, r, d, logit, v, stride, ahead);
    for (int b = 0; b < BLOCKS; ++b) {
        float *here = state + b * stride, *last_spike = here + z;
        n.read_out(params, wiring, here, v + b * LANES, nullptr);
        bound_voltage(v + b * LANES);
        std::memcpy(here + own + (int64_t)n.head.memory_at() * LANES, r + (int64_t)b * n.head.readout * LANES,
                    sizeof(float) * LANES * n.head.memory);
        emit(n.head, params, threshold, logit + b * LANES, last_spike, last_spike + LANES, spike + b * LANES);
        feed_back(n.head, logit + b * LANES, spike + b * LANES, last_spike);
    }
}

// One step of some blocks, TOGETHER or 1, in place. By block: state[state][16]; x[inputs][16]; logit, v and spike [16];
// scratch as sizes_of says.
inline void step_blocks(int blocks, const int32_t* shape, const float* params, const int32_t* wiring, float threshold,
                        float* state, const float* x, float* logit, float* v, uint8_t* spike, float* scratch,
                        const Ahead& ahead) {
    with_model(shape, [&](const auto& n) {
        if (blocks == TOGETHER) step_together<TOGETHER>(n, params, wiring, threshold, state, x, logit, v, spike, scratch, ahead);
        else step_together<1>(n, params, wiring, threshold, state, x, logit, v, spike, scratch, ahead);
    });
}

}  // namespace netml
