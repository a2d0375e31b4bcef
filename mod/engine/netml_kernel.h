/* C interface of libnetml_kernel: the learned cell, stepped in blocks of 16 cells, and its training.
 *
 * shape: the kind of the model and its sizes (int32). All numbers float32, the 16 lanes (cells, or sequences in training)
 * innermost. Parameters are one flat array and the wiring one of int32, in the order that netml/reductions/layouts.py
 * and the structs of leaky_memory.hpp (kind 0), cable.hpp (kind 1) and head.hpp declare.
 *   0, leaky memory: inputs, traces, feedback, memory, hidden, expected
 *   1, cable: inputs, compartments, synapses, current, receptors, rises, blocked, gates, reads, rank, sites, feedback,
 *      memory, hidden, expected, site_readout, inactivating
 * The last parameter of a head is the refractory time (fewest steps from spike to spike; 0 or 1: no limit; not learned,
 * its gradient stays 0). State of a cell: what is the model's own, what its hidden units see, last spike (0 or 1), steps
 * that a spike must still wait.
 */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Error codes: functions that return a count, an index or 0 return these below 0. */
enum {
    NETML_NO_MEMORY = -1,      /* or no threads */
    NETML_REFUSED = -2         /* an argument out of range, or a call before its time; nothing was done */
};

/* Why a model is refused. */
enum {
    NETML_FITS = 0,
    NETML_KIND = 1,            /* unknown kind */
    NETML_SIZES = 2,           /* too few, too many, negative, above 2^20, or against each other */
    NETML_INPUTS = 3,          /* cable: not compartments x synapses + current */
    NETML_PARAMS = 4,          /* another number of parameters than the sizes need */
    NETML_WIRING = 5,          /* another length, or an index out of range */
    NETML_COUNTS = 6,          /* cable: rises or blocked are not the flags in the wiring */
    NETML_NUMBERS = 7,         /* netml_population_new: a number that is not finite, or out of range */
    NETML_SYNAPSE_SITES = 8         /* netml_population_new: a synapse site's input or gain out of range */
};

/* Whether the arrays of a model fit its shape: NETML_FITS or why not. All other functions trust what fits. */
int32_t netml_check(const int32_t* shape, int64_t shape_count, int64_t param_count, int64_t wiring_count, const int32_t* wiring);
/* The same in words, for a message. */
const char* netml_reason(int32_t why);

int64_t netml_param_count(const int32_t* shape);
int64_t netml_wiring_count(const int32_t* shape);
int64_t netml_state_count(const int32_t* shape);
int32_t netml_lanes(void);

/* state [blocks][state_count][16]: the cell at rest. */
void netml_init_state(const int32_t* shape, const float* params, float* state, int64_t blocks);

/* One step. x [blocks][inputs][16] (weight x gain of the step's events, summed), logit and v (mV) [blocks][16],
 * spike [blocks][16] (0 or 1). */
void netml_step(const int32_t* shape, const float* params, const int32_t* wiring, float threshold,
                float* state, const float* x, float* logit, float* v, uint8_t* spike, int64_t blocks);

/* Sequences of events as rows of a compressed table, one row a step: row r holds the events
 * row_start[r] .. row_start[r + 1] of synapse_site[] and weight[] (uS). Lane l runs over length[l] rows from first_row[l];
 * after its last row it sees no event. */
typedef struct {
    const int64_t* row_start;
    const int32_t* synapse_site;
    const float* weight;
    const int64_t* first_row;      /* [16] of this block */
    const int32_t* length;         /* [16] of this block */
    const int32_t* channel_input;  /* [synapse sites] */
    const float* channel_gain;     /* [synapse sites], 1/uS */
} netml_events;

/* Floats of workspace that the forward pass of one block leaves for its backward pass. */
int64_t netml_workspace_count(const int32_t* shape, int64_t steps);

/* One block of 16 sequences over all steps. teacher [steps][16]: the true spikes; lane l feeds back its own spikes
 * where free_running[l] is set, else the true ones. state [state_count][16] is read and overwritten.
 * logit, v [steps][16]; sites [steps][sites][16] the voltage at recorded dendritic sites (mV; NULL: not wanted);
 * spike [steps][16] the model's own. workspace may be NULL where no gradient is wanted. */
void netml_forward(const int32_t* shape, const float* params, const int32_t* wiring, float threshold,
                   const netml_events* events, const uint8_t* teacher, const uint8_t* free_running, float* state,
                   float* logit, float* v, float* sites, uint8_t* spike, float* workspace, int64_t steps);

/* Gradients of one block, added to grad_params [param_count] and grad_gain [synapse sites].
 * The fed-back spikes and the initial state are constants. */
void netml_backward(const int32_t* shape, const float* params, const int32_t* wiring, const netml_events* events,
                    const float* grad_logit, const float* grad_v, const float* grad_sites, float* workspace,
                    float* grad_params, float* grad_gain, int64_t steps);

#ifdef __cplusplus
}
#endif
