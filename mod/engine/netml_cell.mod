COMMENT
What NEURON sees of one reduced cell: the source of its spikes (it carries the gid) and its soma voltage at the end of
the last step, kept up to date where the population is told to watch it.  It computes nothing itself.  Without a
population it is a source of given spikes.
ENDCOMMENT

NEURON {
    ARTIFICIAL_CELL NetmlCell
    RANGE v_soma
}

ASSIGNED { v_soma (mV) }   : the first field: NetmlPopulation writes it

NET_RECEIVE (w) {
    net_event(t)   : an event from outside makes it spike (sources of given spikes); nothing else sends it one
}
