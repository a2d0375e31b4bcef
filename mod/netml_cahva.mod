TITLE High-voltage-activated calcium current, m^2 h

COMMENT
Kinetics: Reuveni I, Friedman A, Amitai Y, Gutnick MJ (1993) J Neurosci 13:4609-4621,
doi:10.1523/JNEUROSCI.13-11-04609.1993.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX netml_cahva
    USEION ca READ eca WRITE ica
    RANGE gbar, g, minf, hinf, mtau, htau
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S) = (siemens)
}

PARAMETER { gbar = 0 (S/cm2) }

ASSIGNED {
    v (mV)
    eca (mV)
    ica (mA/cm2)
    g (S/cm2)
    minf
    hinf
    mtau (ms)
    htau (ms)
}

STATE { m h }

BREAKPOINT {
    SOLVE states METHOD cnexp
    g = gbar*m*m*h
    ica = g*(v - eca)
}

DERIVATIVE states {
    rates(v)
    m' = (minf - m)/mtau
    h' = (hinf - h)/htau
}

INITIAL {
    rates(v)
    m = minf
    h = hinf
}

PROCEDURE rates(v (mV)) { LOCAL a, b
    UNITSOFF
    a = 0.055*linoid(-(v + 27), 3.8)
    b = 0.94*exp(-(v + 75)/17)
    minf = a/(a + b)
    mtau = 1/(a + b)
    a = 4.57e-4*exp(-(v + 13)/50)
    b = 6.5e-3/(1 + exp(-(v + 15)/28))
    hinf = a/(a + b)
    htau = 1/(a + b)
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
