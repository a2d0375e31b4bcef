// What the kernel asks of a shape and its arrays before it runs them: after this nothing in it can read or write beyond
// what it was given.
#pragma once

#include "model.hpp"
#include "netml_kernel.h"

#include <cmath>
#include <initializer_list>

namespace netml {

constexpr int64_t MOST = 1 << 20;            // of any one size
constexpr int64_t MOST_ROWS = 1 << 27;       // of a cell's state: times 16 it is an int

inline bool all_below(const int32_t* values, int64_t count, int64_t top) {
    for (int64_t i = 0; i < count; ++i)
        if (values[i] < 0 || values[i] >= top) return false;
    return true;
}

inline bool are_flags(std::initializer_list<int32_t> values) {
    for (const int32_t value : values)
        if (value != 0 && value != 1) return false;
    return true;
}

// Sizes against each other. In 64 bits: the models count their rows in 32.
inline int32_t check_sizes(LeakyMemory*, const int32_t* s) {
    return s[0] >= 1 && are_flags({s[5]}) ? NETML_FITS : NETML_SIZES;
}
inline int32_t check_sizes(Cable*, const int32_t* s) {
    const int64_t compartments = s[1], synapses = s[2], receptors = s[4], rises = s[5], blocked = s[6], gates = s[7];
    const int64_t particles = gates + s[16];       // s[9]: rank
    if (compartments < 1 || synapses < 1 || rises > receptors || blocked > receptors || s[16] > gates
        || !are_flags({s[3], s[14], s[15]})
        || compartments * (2 + receptors + rises + particles + blocked + s[9]) > MOST_ROWS) return NETML_SIZES;
    return s[0] == compartments * synapses + s[3] ? NETML_FITS : NETML_INPUTS;
}

inline int32_t check_wiring(const LeakyMemory& n, const int32_t* trace_input) {
    return all_below(trace_input, n.traces, n.inputs) ? NETML_FITS : NETML_WIRING;
}
inline int32_t check_wiring(const Cable& n, const int32_t* w) {
    for (int b = 0; b < n.compartments; ++b)
        if (n.parent(w)[b] < 0 || n.parent(w)[b] >= (b ? b : 1)) return NETML_WIRING;
    if (!all_below(n.synapse(w), n.receptors, n.synapses) || !all_below(n.flags(w), n.receptors, 4)
        || !all_below(n.read(w), n.reads, n.compartments) || !all_below(n.site(w), n.sites, n.compartments)) return NETML_WIRING;
    int rises = 0, blocked = 0;
    for (int r = 0; r < n.receptors; ++r) rises += n.flags(w)[r] & Cable::RISES, blocked += (n.flags(w)[r] & Cable::BLOCKED) / Cable::BLOCKED;
    return rises == n.rises && blocked == n.blocked ? NETML_FITS : NETML_COUNTS;
}

template <class Model>
inline int32_t check_model(const int32_t* sizes, int64_t count, int64_t params_count, int64_t wiring_count, const int32_t* wiring) {
    if (count != Model::SIZES || !all_below(sizes, count, MOST + 1)) return NETML_SIZES;
    if (const int32_t why = check_sizes(static_cast<Model*>(nullptr), sizes)) return why;
    const Model n(sizes);
    if (n.params() != params_count) return NETML_PARAMS;
    if (n.wiring != wiring_count) return NETML_WIRING;
    return check_wiring(n, wiring);
}

inline int32_t check(const int32_t* shape, int64_t length, int64_t params_count, int64_t wiring_count, const int32_t* wiring) {
    if (length < 1) return NETML_KIND;
    switch (shape[0]) {
    case LEAKY_MEMORY: return check_model<LeakyMemory>(shape + 1, length - 1, params_count, wiring_count, wiring);
    case CABLE: return check_model<Cable>(shape + 1, length - 1, params_count, wiring_count, wiring);
    default: return NETML_KIND;
    }
}

inline const char* reason(int32_t code) {
    switch (code) {
    case NETML_FITS: return "it fits";
    case NETML_NO_MEMORY: return "there is no memory for it";
    case NETML_REFUSED: return "it is not in use yet, or was told of something that is not there";
    case NETML_KIND: return "its kind is unknown to this kernel";
    case NETML_SIZES: return "its sizes are too few, too many, negative, too large or against each other";
    case NETML_INPUTS: return "its inputs are not compartments x synapses + current";
    case NETML_PARAMS: return "its parameters are not as many as its sizes need";
    case NETML_WIRING: return "its wiring does not fit its sizes";
    case NETML_COUNTS: return "its rises or blocked are not the flags of its wiring";
    case NETML_NUMBERS: return "a parameter, its threshold, rest, step or unit of sums is no finite number in range";
    case NETML_SYNAPSE_SITES: return "a synapse site feeds no input of it, or has a gain that is no finite number";
    default: return "unknown";
    }
}

inline bool all_finite(const float* values, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
        if (!std::isfinite(values[i])) return false;
    return true;
}

}  // namespace netml
