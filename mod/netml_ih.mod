TITLE Hyperpolarisation-activated cation current, m

COMMENT
Kinetics: Kole MHP, Hallermann S, Stuart GJ (2006) J Neurosci 26:1677-1687,
doi:10.1523/JNEUROSCI.3664-05.2006.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX netml_ih
    NONSPECIFIC_CURRENT i
    RANGE gbar, eh, g, i, minf, mtau
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S) = (siemens)
}

PARAMETER {
    gbar = 0 (S/cm2)
    eh = -45 (mV)
}

ASSIGNED {
    v (mV)
    i (mA/cm2)
    g (S/cm2)
    minf
    mtau (ms)
}

STATE { m }

BREAKPOINT {
    SOLVE states METHOD cnexp
    g = gbar*m
    i = g*(v - eh)
}

DERIVATIVE states {
    rates(v)
    m' = (minf - m)/mtau
}

INITIAL {
    rates(v)
    m = minf
}

PROCEDURE rates(v (mV)) { LOCAL a, b
    UNITSOFF
    a = 0.00643*linoid(v + 154.9, 11.9)
    b = 0.193*exp(v/33.1)
    minf = a/(a + b)
    mtau = 1/(a + b)
    UNITSON
}

: x/(exp(x/y) - 1), continued through x = 0
FUNCTION linoid(x, y) {
    UNITSOFF
    if (fabs(x/y) < 1e-6) {
        linoid = y*(1 - x/y/2)
    } else {
        linoid = x/(exp(x/y) - 1)
    }
    UNITSON
}
