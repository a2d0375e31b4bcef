COMMENT
The reduced cells of one artifact on this rank, as one artificial cell: each dt_r its self-event takes a step of all
of them in libnetml_kernel and sends the spikes of those that fire through their NetmlCell, so that NEURON's own
ParallelContext carries them.  NEURON only.

NEURON delivers events of one time in no fixed order.  The step that ends at t_n is therefore taken 5e-7 ms before: all
it may see has arrived by then (see netml_population.h on borders), and who records at t_n finds its result.

A NetCon onto it stands for all synapses of one source onto the population's cells on this rank: weight[0] is the row of
synapses (see netml_population.h), weight[1] the NetCon's own delay, by which the time of the spike is recovered.
The NetCon's delay is the shortest of its row.

A reduced spike leaves at the end of its step plus 1e-10 ms x (gid mod 4096): spikes of the same step then reach a
detailed cell in the order of their gids on any number of ranks (sums of conductances depend on their order).
ENDCOMMENT

NEURON {
    ARTIFICIAL_CELL NetmlPopulation
    RANGE address
}

PARAMETER { address = 0 }  : of the netml_population, exact in a double; 0: nothing to do

VERBATIM
#include "netml_population.h"
#include <vector>

namespace {
struct NetmlCells {                            // NEURON's side of a population
    std::vector<Point_process*> outlet;        // by cell
    std::vector<double> offset_ms;             // by cell, breaks ties between spikes of one step
    std::vector<int> watched;                  // cells whose voltage someone records
};
NetmlCells* netml_cells(double handle) { return reinterpret_cast<NetmlCells*>(static_cast<uintptr_t>(handle)); }
netml_population* netml_pointer(double handle) {
    return reinterpret_cast<netml_population*>(static_cast<uintptr_t>(handle));
}
void netml_show_voltage(const NetmlCells* mine, netml_population* population) {
    const float* voltage = netml_population_voltage(population);
    for (int cell : mine->watched) _nrn_mechanism_access_param(mine->outlet[cell]->_prop, 0) = voltage[cell];
}
}  // namespace
ENDVERBATIM

ASSIGNED { own }   : the NetmlCells of this instance

CONSTRUCTOR {
VERBATIM
    own = static_cast<double>(reinterpret_cast<uintptr_t>(new NetmlCells));
ENDVERBATIM
}

DESTRUCTOR {
VERBATIM
    delete netml_cells(own);
    own = 0;
ENDVERBATIM
}

INITIAL {
    if (address > 0) {
VERBATIM
        netml_population_reset(netml_pointer(address));
        netml_show_voltage(netml_cells(own), netml_pointer(address));
ENDVERBATIM
        net_send(next_end() - 5e-7 - t, 1)
    }
}

: end of the next step
FUNCTION next_end() {
VERBATIM
    _lnext_end = netml_population_step_end_ms(netml_pointer(address));
ENDVERBATIM
}

NET_RECEIVE (row, lag (ms)) {
    INITIAL {}   : without it finitialize would set lag to 0
    if (flag == 1) {
VERBATIM
        netml_population* population = netml_pointer(address);
        const NetmlCells* mine = netml_cells(own);
        const double end = netml_population_step_end_ms(population);
        const int64_t spikes = netml_population_step(population);
        if (spikes < 0) hoc_execerror("NetmlPopulation cannot take a step:", netml_reason(static_cast<int32_t>(spikes)));
        const int32_t* spiking = netml_population_spiking(population);
        netml_show_voltage(mine, population);
        for (int64_t i = 0; i < spikes; ++i) net_event(mine->outlet[spiking[i]], end + mine->offset_ms[spiking[i]]);
ENDVERBATIM
        net_send(next_end() - 5e-7 - t, 1)
    } else {
VERBATIM
        netml_population_deliver(netml_pointer(address), static_cast<int64_t>(_args[0]), t - _args[1]);
ENDVERBATIM
    }
}

: add_cell(outlet, gid): the next cell of the population sends its spikes through this NetmlCell
PROCEDURE add_cell() {
VERBATIM
    NetmlCells* mine = netml_cells(own);
    mine->outlet.push_back(ob2pntproc(*hoc_objgetarg(1)));
    mine->offset_ms.push_back(1e-10 * (static_cast<int64_t>(*getarg(2)) % 4096));
ENDVERBATIM
}

: watch(cell): keep the v_soma of its NetmlCell up to date
PROCEDURE watch() {
VERBATIM
    netml_cells(own)->watched.push_back(static_cast<int>(*getarg(1)));
ENDVERBATIM
}
