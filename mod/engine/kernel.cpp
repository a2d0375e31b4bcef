// libnetml_kernel: the C interface of netml_kernel.h. Built at first use for the machine it runs on.
#include "leaky_memory.hpp"
#include "population_c.hpp"
#include "training.hpp"

#include <vector>

using namespace netml;

extern "C" {

int32_t netml_lanes(void) { return LANES; }
int64_t netml_param_count(const int32_t* dims) { return Layout(dims).count; }
int64_t netml_state_count(const int32_t* dims) { return Layout(dims).state(); }
int64_t netml_workspace_count(const int32_t* dims, int64_t steps) { return Workspace(Layout(dims), nullptr, steps).count; }

void netml_init_state(const int32_t* dims, const float* params, float* state, int64_t blocks) {
    const Layout n(dims);
    for (int64_t b = 0; b < blocks; ++b) {
        float* s = state + b * n.state() * LANES;
        std::memset(s, 0, sizeof(float) * n.state() * LANES);
        for (int i = 0; i < n.memory; ++i)
            for (int p = 0; p < PARTS; ++p)
                lanes(s + (int64_t)(n.traces + i) * LANES)[p] = splat(params[n.memory_rest + i]);
    }
}

void netml_step(const int32_t* dims, const float* params, const int32_t* trace_input, float threshold,
                float* state, const float* x, float* logit, float* v, uint8_t* spike, int64_t blocks) {
    const Layout n(dims);
    std::vector<float> scratch((size_t)(n.readout + n.memory) * LANES);
    for (int64_t b = 0; b < blocks; ++b)
        step_block(n, params, trace_input, threshold, state + b * n.state() * LANES,
                   x + b * n.inputs * LANES, logit + b * LANES, v + b * LANES, spike + b * LANES, scratch.data());
}

void netml_forward(const int32_t* dims, const float* params, const int32_t* trace_input, float threshold,
                   const netml_events* events, const uint8_t* teacher, const uint8_t* free_running, float* state,
                   float* logit, float* v, uint8_t* spike, float* workspace, int64_t steps) {
    forward_block(Layout(dims), params, trace_input, threshold, *events, teacher, free_running, state, logit, v,
                  spike, workspace, steps);
}

void netml_backward(const int32_t* dims, const float* params, const int32_t* trace_input, const netml_events* events,
                    const float* grad_logit, const float* grad_v, float* workspace,
                    float* grad_params, float* grad_gain, int64_t steps) {
    backward_block(Layout(dims), params, trace_input, *events, grad_logit, grad_v, workspace, grad_params,
                   grad_gain, steps);
}

}  // extern "C"
