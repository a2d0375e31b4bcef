// libnetml_kernel: the C interface of netml_kernel.h. Built at first use for the machine it runs on.
#include "population_c.hpp"
#include "training.hpp"

using namespace netml;

extern "C" {

int32_t netml_check(const int32_t* shape, int64_t shape_count, int64_t param_count, int64_t wiring_count, const int32_t* wiring) {
    return check(shape, shape_count, param_count, wiring_count, wiring);
}
const char* netml_reason(int32_t why) { return reason(why); }
int32_t netml_lanes(void) { return LANES; }
int64_t netml_param_count(const int32_t* shape) { return sizes_of(shape).params; }
int64_t netml_wiring_count(const int32_t* shape) { return sizes_of(shape).wiring; }
int64_t netml_state_count(const int32_t* shape) { return sizes_of(shape).state; }
int64_t netml_workspace_count(const int32_t* shape, int64_t steps) {
    return with_model(shape, [=](const auto& n) { return Workspace(n, nullptr, steps).count; });
}

void netml_init_state(const int32_t* shape, const float* params, float* state, int64_t blocks) {
    with_model(shape, [=](const auto& n) {
        for (int64_t b = 0; b < blocks; ++b) rest_block(n, params, state + b * state_rows(n) * LANES);
    });
}

void netml_step(const int32_t* shape, const float* params, const int32_t* wiring, float threshold,
                float* state, const float* x, float* logit, float* v, uint8_t* spike, int64_t blocks) {
    const Sizes n = sizes_of(shape);
    std::vector<float> scratch((size_t)n.scratch);
    for (int64_t b = 0, here; b < blocks; b += here) {
        here = blocks - b < TOGETHER ? 1 : TOGETHER;
        step_blocks((int)here, shape, params, wiring, threshold, state + b * n.state * LANES, x + b * n.inputs * LANES,
                    logit + b * LANES, v + b * LANES, spike + b * LANES, scratch.data(), {{state, 0}, {x, 0}});
    }
}

void netml_forward(const int32_t* shape, const float* params, const int32_t* wiring, float threshold,
                   const netml_events* events, const uint8_t* teacher, const uint8_t* free_running, float* state,
                   float* logit, float* v, float* sites, uint8_t* spike, float* workspace, int64_t steps) {
    with_model(shape, [=](const auto& n) {
        forward_block(n, params, wiring, threshold, *events, teacher, free_running, state, logit, v, sites, spike,
                      workspace, steps);
    });
}

void netml_backward(const int32_t* shape, const float* params, const int32_t* wiring, const netml_events* events,
                    const float* grad_logit, const float* grad_v, const float* grad_sites, float* workspace,
                    float* grad_params, float* grad_gain, int64_t steps) {
    with_model(shape, [=](const auto& n) {
        backward_block(n, params, wiring, *events, grad_logit, grad_v, grad_sites, workspace, grad_params, grad_gain, steps);
    });
}

}  // extern "C"
