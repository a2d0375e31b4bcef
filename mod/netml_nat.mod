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

PROCEDURE rates(v (mV)) { LOCAL x, y, e, am, bm, ah, bh
    UNITSOFF
    x = v - vshift + 38
    y = v - vshift + 66
    e = exp(x/6)
    am = 0.182*rising(x, e)
    bm = 0.124*falling(x, e)
    e = 106.34267539816554*e  : exp(y/6), as y - x = 28
    ah = 0.015*falling(y, e)
    bh = 0.015*rising(y, e)
    minf = am/(am + bm)
    mtau = 1/((am + bm)*q)
    hinf = ah/(ah + bh)
    htau = 1/((ah + bh)*q)
    UNITSON
}

: With e = exp(x/6): x/(1 - exp(-x/6)) and x/(exp(x/6) - 1), continued through x = 0.
: All four rates have the slope 6 mV, so one exponential serves them.
FUNCTION rising(x, e) {
    UNITSOFF
    if (fabs(x) < 1e-5) {
        rising = 6 + x/2
    } else {
        rising = x*e/(e - 1)
    }
    UNITSON
}

FUNCTION falling(x, e) {
    UNITSOFF
    if (fabs(x) < 1e-5) {
        falling = 6 - x/2
    } else {
        falling = x/(e - 1)
    }
    UNITSON
}
