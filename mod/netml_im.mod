TITLE Muscarine-sensitive slow potassium current (M current), m

COMMENT
Kinetics: Adams PR, Brown DA, Constanti A (1982) J Physiol 330:537-572,
doi:10.1113/jphysiol.1982.sp014357. 21 degC; q10 = 2.3.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX netml_im
    USEION k READ ek WRITE ik
    RANGE gbar, g, minf, mtau, q
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
    mtau (ms)
    q
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
    q = 2.3^((celsius - 21)/10)
    rates(v)
    m = minf
}

: The forward and backward rates are 3.3e-3 exp(+-0.1 (v + 35)), so their ratio and sum
: need one exponential only.
PROCEDURE rates(v (mV)) { LOCAL a, b
    UNITSOFF
    a = exp(0.1*(v + 35))
    b = 1/a
    minf = a/(a + b)
    mtau = 1/(3.3e-3*(a + b)*q)
    UNITSON
}
