TITLE Fast inactivating (transient) sodium current, m^3 h

COMMENT
Kinetics: Colbert CM, Pan E (2002) Nat Neurosci 5:533-538, doi:10.1038/nn0602-857,
in the parametrisation of Hay E et al. (2011) PLoS Comput Biol 7:e1002107,
doi:10.1371/journal.pcbi.1002107. Measured at 21 degC; q10 = 2.3.
vshift moves both curves along v (positive: towards depolarised).
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX netml_nat
    USEION na READ ena WRITE ina
    RANGE gbar, vshift, g, minf, hinf, mtau, htau, q
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S) = (siemens)
}

PARAMETER {
    gbar = 0 (S/cm2)
    vshift = 0 (mV)
}

ASSIGNED {
    v (mV)
    ena (mV)
    celsius (degC)
    ina (mA/cm2)
    g (S/cm2)
    minf
    hinf
    mtau (ms)
    htau (ms)
    q
}

STATE { m h }

BREAKPOINT {
    SOLVE states METHOD cnexp
    g = gbar*m*m*m*h
    ina = g*(v - ena)
}

DERIVATIVE states {
    rates(v)
    m' = (minf - m)/mtau
    h' = (hinf - h)/htau
}

INITIAL {
    q = 2.3^((celsius - 21)/10)
    rates(v)
    m = minf
    h = hinf
}

PROCEDURE rates(v (mV)) { LOCAL a, b
    UNITSOFF
    a = 0.182*linoid(-(v - vshift + 38), 6)
    b = 0.124*linoid(v - vshift + 38, 6)
    minf = a/(a + b)
    mtau = 1/((a + b)*q)
    a = 0.015*linoid(v - vshift + 66, 6)
    b = 0.015*linoid(-(v - vshift + 66), 6)
    hinf = a/(a + b)
    htau = 1/((a + b)*q)
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
