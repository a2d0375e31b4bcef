TITLE Fast, high-threshold potassium current (Kv3.1), m

COMMENT
Kinetics: Rettig J et al. (1992) EMBO J 11:2473-2486, doi:10.1002/j.1460-2075.1992.tb05312.x,
in the parametrisation of Hay E et al. (2011), doi:10.1371/journal.pcbi.1002107.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX netml_kv3
    USEION k READ ek WRITE ik
    RANGE gbar, g, minf, mtau
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S) = (siemens)
}

PARAMETER { gbar = 0 (S/cm2) }

ASSIGNED {
    v (mV)
    ek (mV)
    ik (mA/cm2)
    g (S/cm2)
    minf
    mtau (ms)
}

STATE { m }

BREAKPOINT {
    SOLVE states METHOD cnexp
    g = gbar*m
    ik = g*(v - ek)
}

DERIVATIVE states {
    rates(v)
    m' = (minf - m)/mtau
}

INITIAL {
    rates(v)
    m = minf
}

PROCEDURE rates(v (mV)) {
    UNITSOFF
    minf = 1/(1 + exp(-(v - 18.7)/9.7))
    mtau = 4/(1 + exp(-(v + 46.56)/44.14))
    UNITSON
}
