// What the machine can do and what the kernel does of it: single-precision FMA in registers, the dense products of one
// step of the leaky-memory cell, and whole steps. Seconds of this thread's own time, best of several.
#include "../../mod/engine/aligned.hpp"
#include "../../mod/engine/model.hpp"

#include <algorithm>
#include <ctime>

using namespace netml;

namespace {
double now() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

template <class F>
double best(int repeats, F what) {
    double seconds = 1e30;
    for (int k = 0; k < 15; ++k) {
        const double start = now();
        for (int i = 0; i < repeats; ++i) what();
        seconds = std::min(seconds, (now() - start) / repeats);
    }
    return seconds;
}

typedef float in_register __attribute__((vector_size(WIDTH * 4)));
volatile float used;
}  // namespace

extern "C" {

// Flops a second of independent chains of FMA in registers.
double netml_bench_peak() {
    constexpr int CHAINS = 12, TURNS = 200000;
    in_register a[CHAINS];
    for (int i = 0; i < CHAINS; ++i) a[i] = in_register{} + 0.1f * (float)i;
    const in_register b = in_register{} + 0.999f, c = in_register{} + 1e-3f;
    const double seconds = best(1, [&] {
        in_register sums[CHAINS];
        for (int i = 0; i < CHAINS; ++i) sums[i] = a[i];
        for (int n = 0; n < TURNS; ++n) {
#pragma GCC unroll 16
            for (int i = 0; i < CHAINS; ++i) sums[i] = sums[i] * b + c;
        }
        for (int i = 0; i < CHAINS; ++i) a[i] = sums[i];
    });
    for (int i = 0; i < CHAINS; ++i) used = a[i][0];
    return 2.0 * CHAINS * WIDTH * TURNS / seconds;
}

// Seconds of the dense products of a step of one block (hidden and memory), and of a whole step of it, as many blocks
// together as the engine takes.
void netml_bench_step(const int32_t* shape, const float* params, const int32_t* wiring, double* dense_s, double* step_s) {
    const Sizes size = sizes_of(shape);
    const Head n = with_model(shape, [](const auto& model) { return model.head; });
    const int64_t stride = size.state * LANES, hidden_stride = n.hidden * LANES, memory_stride = n.memory * LANES;
    Aligned<float> state(TOGETHER * stride, 0.1f), x(TOGETHER * size.inputs * LANES, 0.1f), scratch(size.scratch);
    Aligned<float> logit(TOGETHER * LANES), v(TOGETHER * LANES), hidden(TOGETHER * hidden_stride), memory(TOGETHER * memory_stride);
    uint8_t spike[TOGETHER * LANES];
    Nothing nothing;
    *dense_s = best(500, [&] {
        dense<TOGETHER>(params + n.w1, params + n.b1, state.data(), hidden.data(), n.hidden, n.z, stride, hidden_stride,
                        Rectified{}, nothing);
        dense<TOGETHER>(params + n.w2, params + n.b2, hidden.data(), memory.data(), n.memory, n.hidden, hidden_stride, memory_stride,
                        Plain{}, nothing);
        asm volatile("" ::: "memory");
    }) / TOGETHER;
    *step_s = best(500, [&] {
        step_blocks(TOGETHER, shape, params, wiring, 1e9f, state.data(), x.data(), logit.data(), v.data(), spike, scratch.data(),
                    {{state.data(), 0}, {x.data(), 0}});
        asm volatile("" ::: "memory");
    }) / TOGETHER;
}

}  // extern "C"
