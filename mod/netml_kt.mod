TITLE Fast, transient potassium current, m^4 h

COMMENT
Kinetics: Korngreen A, Sakmann B (2000) J Physiol 525:621-639,
doi:10.1111/j.1469-7793.2000.00621.x, in the parametrisation of Hay E et al. (2011),
doi:10.1371/journal.pcbi.1002107 (junction potential of 10 mV taken off). 21 degC; q10 = 2.3.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX netml_kt
    USEION k READ ek WRITE ik
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
    ek (mV)
    celsius (degC)
    ik (mA/cm2)
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
    g = gbar*m*m*m*m*h
    ik = g*(v - ek)
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

PROCEDURE rates(v (mV)) { LOCAL u
    UNITSOFF
    u = v + 10
    minf = 1/(1 + exp(-u/19))
    mtau = (0.34 + 0.92*exp(-((u + 71)/59)^2))/q
    hinf = 1/(1 + exp((u + 66)/10))
    htau = (8 + 49*exp(-((u + 73)/23)^2))/q
    UNITSON
}
