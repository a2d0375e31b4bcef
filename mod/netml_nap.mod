TITLE Persistent sodium current, m^3 h with slow inactivation

COMMENT
Kinetics: Magistretti J, Alonso A (1999) J Gen Physiol 114:491-509, doi:10.1085/jgp.114.4.491,
in the parametrisation of Hay E et al. (2011), doi:10.1371/journal.pcbi.1002107.
Activation follows the transient current's rates, six times slower. 21 degC; q10 = 2.3.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX netml_nap
    USEION na READ ena WRITE ina
    RANGE gbar, g, minf, hinf, mtau, htau, q
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S) = (siemens)
}

PARAMETER { gbar = 0 (S/cm2) }

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
    minf = 1/(1 + exp(-(v + 52.6)/4.6))
    a = 0.182*linoid(-(v + 38), 6)
    b = 0.124*linoid(v + 38, 6)
    mtau = 6/((a + b)*q)
    hinf = 1/(1 + exp((v + 48.8)/10))
    a = 2.88e-6*linoid(v + 17, 4.63)
    b = 6.94e-6*linoid(-(v + 64.4), 2.63)
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
