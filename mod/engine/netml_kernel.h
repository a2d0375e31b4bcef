/* C interface of libnetml_kernel: the learned cell, stepped in blocks of 16 cells, and its training.
 *
 * dims: inputs, traces, feedback, memory, hidden (int32 x 5). All numbers float32, the 16 lanes (cells, or
 * sequences in training) innermost. Parameters are one flat array, in this order (Z = traces + memory + feedback):
 *   trace_decay[traces] feedback_decay[feedback] memory_decay[memory] memory_drive[memory] memory_rest[memory]
 *   b1[hidden] w1[hidden][Z] b2[memory] w2[memory][hidden] logit_w[memory + hidden] logit_b v_w[memory + hidden] v_b
 *   refractory (fewest steps from spike to spike; 0 or 1: no limit; not learned, its gradient stays 0)
 * State of a cell: traces, memory, feedback, last spike (0 or 1), steps that a spike must still wait.
 */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int64_t netml_param_count(const int32_t* dims);
int64_t netml_state_count(const int32_t* dims);
int32_t netml_lanes(void);

/* state [blocks][state_count][16]: the cell at rest. */
void netml_init_state(const int32_t* dims, const float* params, float* state, int64_t blocks);

/* One step. x [blocks][inputs][16] (weight x gain of the step's events, summed), logit and v (mV) [blocks][16],
 * spike [blocks][16] (0 or 1). trace_input [traces]: the input each trace filters. */
void netml_step(const int32_t* dims, const float* params, const int32_t* trace_input, float threshold,
                float* state, const float* x, float* logit, float* v, uint8_t* spike, int64_t blocks);

/* Sequences of events as rows of a compressed table, one row a step: row r holds the events
 * row_start[r] .. row_start[r + 1] of channel[] and weight[] (uS). Lane l runs over length[l] rows from first_row[l];
 * after its last row it sees no event. */
typedef struct {
    const int64_t* row_start;
    const int32_t* channel;
    const float* weight;
    const int64_t* first_row;      /* [16] of this block */
    const int32_t* length;         /* [16] of this block */
    const int32_t* channel_input;  /* [channels] */
    const float* channel_gain;     /* [channels], 1/uS */
} netml_events;

/* Floats of workspace that the forward pass of one block leaves for its backward pass. */
int64_t netml_workspace_count(const int32_t* dims, int64_t steps);

/* One block of 16 sequences over all steps. teacher [steps][16]: the true spikes; lane l feeds back its own spikes
 * where free_running[l] is set, else the true ones. state [state_count][16] is read and overwritten.
 * logit, v [steps][16]; spike [steps][16] the model's own. workspace may be NULL where no gradient is wanted. */
void netml_forward(const int32_t* dims, const float* params, const int32_t* trace_input, float threshold,
                   const netml_events* events, const uint8_t* teacher, const uint8_t* free_running, float* state,
                   float* logit, float* v, uint8_t* spike, float* workspace, int64_t steps);

/* Gradients of one block, added to grad_params [param_count] and grad_gain [channels].
 * The fed-back spikes and the initial state are constants. */
void netml_backward(const int32_t* dims, const float* params, const int32_t* trace_input, const netml_events* events,
                    const float* grad_logit, const float* grad_v, float* workspace,
                    float* grad_params, float* grad_gain, int64_t steps);

#ifdef __cplusplus
}
#endif
