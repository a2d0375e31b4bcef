/* C interface of a population: the reduced cells of one artifact on one rank, with the synapses onto them.
 *
 * Time is counted in whole ticks of 1e-6 ms. A synapse's event arrives at round(spike time / tick) + delay, integers
 * that are the same on every rank. Step n ends at (n + 1) dt_r and sees what arrives in [n dt_r, (n + 1) dt_r); an
 * event on the border, to 1e-6 ms, belongs to the later step. Input is summed in int32 fixed point, units of
 * `quantum`, so that no sum depends on the order of its events; a sum beyond 2^31 - 1 quanta stays there and is counted.
 */
#pragma once

#include <stdint.h>

#define NETML_TICKS_PER_MS 1000000

#ifdef __cplusplus
extern "C" {
#endif

typedef struct netml_population netml_population;

typedef struct {
    uint32_t target;   /* (block * inputs + input) * 16 + lane */
    int32_t weight;    /* weight x gain, in quanta, >= 0 */
    int32_t delay;     /* ticks, >= 0 */
} netml_synapse;       /* 12 bytes, all that a synapse costs */

typedef struct {
    int64_t cells, synapses, rows, bytes;
    int64_t steps, spikes, events;    /* since the last reset; events: single synapses delivered to */
    int64_t saturated, late;          /* events cut at the limit; events for a step already taken (must stay 0) */
    double step_s, deliver_s;         /* wall time since the last reset */
} netml_population_stats;

/* Parameters as in netml_kernel.h; arrays are copied. NULL where memory is short. */
netml_population* netml_population_new(const int32_t* shape, const float* params, const int32_t* wiring,
                                       float threshold, float rest_mv, int64_t cells, double dt_r_ms, float quantum);
void netml_population_delete(netml_population*);

/* Replaces all synapses: row r holds synapses row_start[r] .. row_start[r + 1], sorted by delay. Resets.
 * Returns 0, or 1 + the index of the first synapse that points outside, is negative or is out of order, -1 where
 * memory is short. */
int64_t netml_population_connect(netml_population*, int64_t rows, const int64_t* row_start, const netml_synapse*);

/* All cells at rest, nothing on its way, step 0, counters 0. */
void netml_population_reset(netml_population*);

/* A spike at spike_ms in the source of a row: its synapses' events enter the ring. Call it between the step that ends
 * at or before spike_ms and the one that sees the first event; others are not delivered, and counted as late. */
void netml_population_deliver(netml_population*, int64_t row, double spike_ms);

/* Take the next step. Returns how many cells spike; netml_population_spiking gives their indices, ascending. */
int64_t netml_population_step(netml_population*);
const int32_t* netml_population_spiking(const netml_population*);
double netml_population_step_end_ms(const netml_population*);      /* end of the next step */

/* [cells], of the last step; state [blocks][state_count][16]. */
const float* netml_population_voltage(const netml_population*);
const float* netml_population_logit(const netml_population*);
const float* netml_population_state(const netml_population*);
void netml_population_get_stats(const netml_population*, netml_population_stats*);

#ifdef __cplusplus
}
#endif
