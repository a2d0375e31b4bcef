/* C interface of a population: the reduced cells of one artifact on one rank, with the synapses onto them.
 *
 * Time is counted in whole ticks of 1e-6 ms. A synapse's event arrives at round(spike time / tick) + delay, integers
 * that are the same on every rank. Step n ends at (n + 1) dt_r and sees what arrives in [n dt_r, (n + 1) dt_r); an
 * event on the border, to 1e-6 ms, belongs to the later step. Input is summed in int32 fixed point, units of
 * `quantum`, so that no sum depends on the order of its events; a sum beyond 2^31 - 1 quanta stays there and is counted.
 *
 * Functions that return int64_t give NETML_NO_MEMORY (-1) where there is none, and NETML_REFUSED (-2), having done nothing,
 * for a projection, row, cell or input that is not there, a time or an amount that is not finite, and for a call before
 * its time: what needs cells and synapses in use comes after the first freeze, and after add_projection only after another.
 * Those that return memory give NULL with *count = -1 or -2. Arrays of cells are as long as the last freeze said.
 * Plasticity: see netml/population/README.md.
 */
#pragma once

#include "netml_kernel.h"

#include <stdint.h>

#define NETML_TICKS_PER_MS 1000000

#ifdef __cplusplus
extern "C" {
#endif

typedef struct netml_population netml_population;

typedef struct {
    uint32_t target;   /* (block * inputs + input) * 16 + lane */
    int32_t delay;     /* ticks, >= 1 */
    int32_t weight;    /* weight x gain, in quanta, >= 0 */
} netml_synapse;       /* 12 bytes, all that a synapse costs */

typedef struct {
    uint32_t target;
    int32_t delay;
    float weight, eligibility;
    float initial;     /* weight at reset, uS */
    float gain;        /* quanta per uS */
} netml_plastic_synapse;

typedef struct {
    int32_t short_term, stdp;                 /* 0 or 1: which of the two */
    double use, tau_rec_ms, tau_facil_ms;
    double a_plus, a_minus, tau_plus_ms, tau_minus_ms, tau_eligibility_ms, rate_us, low_us, high_us;
} netml_plasticity;

typedef struct {
    int64_t last;                             /* tick of the last spike, or NETML_NEVER */
    double use, resources, trace;             /* u, r and x of the spec at that spike */
} netml_row_state;

#define NETML_NEVER (INT64_MIN / 4)

typedef struct {
    int64_t tick, previous;                   /* of the spike, and of the source's one before */
    double trace;                             /* x after the one before */
    double factor;                            /* on the weights */
    int32_t row, projection;
} netml_flight;                               /* a spike that has events to come */

typedef struct {
    int64_t tick;
    double trace;                             /* y after it */
    int32_t cell, projection;
} netml_post_spike;

typedef struct {
    int64_t tick;
    double amount;
    int32_t projection;
} netml_reward;

typedef struct {
    int64_t step;                             /* that sees it */
    int32_t cell, input, weight;              /* weight x gain, in quanta */
    int32_t unused;
} netml_injected;                             /* an event without a row, still to come */

typedef struct {
    int64_t cell;
    double start_ms, end_ms;                  /* since the beginning of the run, whatever the caller's clock says */
    double amplitude;                         /* nA x gain */
} netml_clamp;                                /* a current into the soma of a cell */

typedef struct {
    int64_t cells, synapses, rows, bytes;
    int64_t steps, spikes, events;    /* since the last reset; events: single synapses delivered to */
    int64_t background;               /* events drawn by backgrounds */
    int64_t weights_outside, channels_unseen;   /* synapses added unlike anything in training */
    int64_t saturated, late;          /* events cut at the limit; events for a step already taken (must stay 0) */
    double step_s, deliver_s;         /* since the last reset, summed over threads */
} netml_population_stats;

/* Shape, parameters and wiring as in netml_kernel.h, each with its length; by synapse site: the input it feeds, its gain (1/uS),
 * its events in training and the range of their weights (uS). Arrays are copied. No cells yet; projection 0 is static.
 * NULL where it cannot be run: *why then says the reason (netml_reason), else NETML_FITS. */
netml_population* netml_population_new(const int32_t* shape, int64_t shape_count, const float* params, int64_t param_count,
                                       const int32_t* wiring, int64_t wiring_count, float threshold, float rest_mv,
                                       double dt_r_ms, float quantum, int64_t synapse_sites, const int32_t* channel_input,
                                       const float* channel_gain, const int64_t* channel_seen, const float* low_us,
                                       const float* high_us, int32_t* why);
void netml_population_delete(netml_population*);

/* Returns the number of a further projection. */
int64_t netml_population_add_projection(netml_population*, const netml_plasticity*);

/* Further synapses, any order, in arrays of one length; used from the next freeze on. Rows below `rows`, cells below
 * `cells`, a finite weight from 0 (with STDP: within the bounds), a delay from one tick to 2^31 - 1 of them.
 * Returns 0, or 1 + the index of the first synapse that is none of that (then none is added). */
int64_t netml_population_add(netml_population*, int64_t projection, int64_t rows, int64_t cells, int64_t count,
                             const int32_t* row, const int32_t* cell, const int32_t* synapse_site, const double* weight_us,
                             const double* delay_ms);

/* Independent Poisson events on synapse sites of every cell, drawn anew each step from (seed, stream, gid, step): a step's
 * number of events has at most 255 and a mean of at most 64. Returns 0, or 1 + the index of the first bad synapse site,
 * weight or rate. */
int64_t netml_population_add_background(netml_population*, int64_t count, const int32_t* synapse_site, const double* rate_hz,
                                        const double* weight_us, uint32_t seed, uint32_t stream);

/* Takes cells (by gid) and synapses into use, sorted, for so many threads; resets. Returns 0. Refused: fewer rows or cells
 * than synapses were added for. */
int64_t netml_population_freeze(netml_population*, int64_t cells, const int64_t* gids, int64_t rows, int32_t threads);

/* Current into the somata, for a reduction that takes it: its last input gets the mean over each step, of either sign.
 * Of all clamps, which replace earlier ones (1 + the index of the first that is of no cell or not finite), and of what is
 * set, [cells], from the next step on until the next reset or restore. Return 0. */
int64_t netml_population_clamp(netml_population*, int64_t count, const netml_clamp*);
int64_t netml_population_set_current(netml_population*, const float* each);

/* Another population of as many cells and rows gets from now on whatever this one gets (spikes, rewards, steps, resets);
 * what it gives is only counted. It must live as long. Returns 0. */
int64_t netml_population_shadow(netml_population*, netml_population* shadow);

/* All cells at rest, nothing on its way, weights as they were made, step 0, counters 0. Returns 0. */
int64_t netml_population_reset(netml_population*);

/* A spike at spike_ms in the source of a row. Call it between the step that ends at or before spike_ms and the one that
 * sees the first event; others are not delivered, and counted as late. Returns 0. */
int64_t netml_population_deliver(netml_population*, int64_t row, double spike_ms);

/* The same for a spike that may have been handed over already, or may come again: it counts once. For a checkpoint taken
 * while NEURON still holds spikes back for their rows' shortest delays. */
int64_t netml_population_deliver_once(netml_population*, int64_t row, double spike_ms);

/* Events of single synapses that have no row, by their arrival, which the next step or a later one sees. Returns 0, or
 * 1 + the index of the first that is out of range; those before it are in. */
int64_t netml_population_inject(netml_population*, int64_t count, const int32_t* cell, const int32_t* synapse_site,
                                const double* weight_us, const double* arrival_ms);

/* A reward to a projection's synapses at the beginning of the next step; refused where it has no STDP. Returns 0. */
int64_t netml_population_reward(netml_population*, int64_t projection, double amount);

/* Take the next step. Returns how many cells spike; netml_population_spiking gives their indices, ascending. Where memory
 * ends within a step, everything is refused until the next freeze. */
int64_t netml_population_step(netml_population*);
const int32_t* netml_population_spiking(const netml_population*);
double netml_population_step_end_ms(const netml_population*);      /* end of the next step, by the caller's clock */

/* From now on, count the steps in which an input (weight x gain, summed) of a cell passes its limit [inputs]; returns 0.
 * past_range [cells]: these counts since the last reset. */
int64_t netml_population_watch(netml_population*, const float* limits);
const int32_t* netml_population_past_range(const netml_population*);

/* [cells] spikes since the last reset. */
const int32_t* netml_population_spike_counts(const netml_population*);

/* [cells], of the last step; state [blocks][state_count][16]. NULL before there are cells. */
float* netml_population_voltage(netml_population*);
float* netml_population_logit(netml_population*);
float* netml_population_state(netml_population*);
int64_t netml_population_state_size(const netml_population*);      /* state_count */
int64_t netml_population_clock(const netml_population*);           /* the number of the next step */
void netml_population_get_stats(const netml_population*, netml_population_stats*);

/* What else a checkpoint holds. The arrays returned are valid until the next call; `count` receives their length.
 * Synapses come and go in one order of the population's own; weight: weight x gain, with STDP uS; `now`: with STDP, weight
 * and eligibility as the spec has them at the end of the last step (else as they were last brought up to date). */
int64_t netml_population_synapse_count(const netml_population*, int64_t projection);
int64_t netml_population_read_synapses(netml_population*, int64_t projection, int32_t now, int32_t* row, int32_t* cell,
                                       int32_t* input, int32_t* delay, double* weight, float* eligibility);
int64_t netml_population_write_synapses(netml_population*, int64_t projection, const double* weight, const float* eligibility);
netml_row_state* netml_population_row_states(netml_population*, int64_t projection, int64_t* count);
const netml_flight* netml_population_flights(netml_population*, int64_t* count);
const netml_post_spike* netml_population_post_spikes(netml_population*, int64_t* count);
const netml_reward* netml_population_rewards(netml_population*, int64_t* count);
const netml_injected* netml_population_injected(netml_population*, int64_t* count);
const float* netml_population_currents(netml_population*, int64_t* count);   /* as set, [cells]; none: 0 */

/* Resets and goes to a checkpoint after so many steps: state, synapses, row states and the current that was set are then
 * written through the functions above. The caller's clock goes on as it is. Returns 0; NETML_REFUSED for steps below 0, or
 * where a flight, spike, reward or event names what is not there, or a time that is none. */
int64_t netml_population_restore(netml_population*, int64_t steps, int64_t flights, const netml_flight*, int64_t post_spikes,
                                 const netml_post_spike*, int64_t rewards, const netml_reward*, int64_t injected,
                                 const netml_injected*);

#ifdef __cplusplus
}
#endif
