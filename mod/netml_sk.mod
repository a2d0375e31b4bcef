TITLE Calcium-activated, voltage-independent potassium current (SK), z

COMMENT
Kinetics: Kohler M et al. (1996) Science 273:1709-1714, doi:10.1126/science.273.5282.1709.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX netml_sk
    USEION k READ ek WRITE ik
    USEION ca READ cai
    RANGE gbar, tau, g, zinf
}

UNITS {
    (mV) = (millivolt)
    (mA) = (milliamp)
    (S) = (siemens)
    (mM) = (milli/liter)
}

PARAMETER {
    gbar = 0 (S/cm2)
    tau = 1 (ms)
}

ASSIGNED {
    v (mV)
    ek (mV)
    cai (mM)
    ik (mA/cm2)
    g (S/cm2)
    zinf
}

STATE { z }

BREAKPOINT {
    SOLVE states METHOD cnexp
    g = gbar*z
    ik = g*(v - ek)
}

DERIVATIVE states {
    rates(cai)
    z' = (zinf - z)/tau
}

INITIAL {
    rates(cai)
    z = zinf
}

PROCEDURE rates(cai (mM)) {
    UNITSOFF
    zinf = 1/(1 + (0.00043/(cai + 1e-12))^4.8)
    UNITSON
}
