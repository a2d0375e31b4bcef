TITLE Slow, persistent potassium current, m^2 h

COMMENT
Kinetics: Korngreen A, Sakmann B (2000) J Physiol 525:621-639,
doi:10.1111/j.1469-7793.2000.00621.x, in the parametrisation of Hay E et al. (2011),
doi:10.1371/journal.pcbi.1002107 (junction potential of 10 mV taken off). 21 degC; q10 = 2.3.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX netml_kp
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
    g = gbar*m*m*h
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
    minf = 1/(1 + exp(-(u + 1)/12))
    if (u < -50) {
        mtau = (1.25 + 175.03*exp(u*0.026))/q
    } else {
        mtau = (1.25 + 13*exp(-u*0.026))/q
    }
    hinf = 1/(1 + exp((u + 54)/11))
    htau = (360 + (1010 + 24*(u + 55))*exp(-((u + 75)/48)^2))/q
    UNITSON
}
