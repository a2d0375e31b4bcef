TITLE Low-voltage-activated calcium current, m^2 h

COMMENT
Kinetics: Avery RB, Johnston D (1996) J Neurosci 16:5567-5582,
doi:10.1523/JNEUROSCI.16-18-05567.1996; time constants after Randall AD, Tsien RW (1997)
Neuropharmacology 36:879-893, doi:10.1016/S0028-3908(97)00086-5, in the parametrisation of
Hay E et al. (2011), doi:10.1371/journal.pcbi.1002107. 21 degC; q10 = 2.3.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX netml_calva
    USEION ca READ eca WRITE ica
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
    eca (mV)
    celsius (degC)
    ica (mA/cm2)
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
    ica = g*(v - eca)
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

PROCEDURE rates(v (mV)) {
    UNITSOFF
    minf = 1/(1 + exp(-(v + 40)/6))
    mtau = (5 + 20/(1 + exp((v + 35)/5)))/q
    hinf = 1/(1 + exp((v + 90)/6.4))
    htau = (20 + 50/(1 + exp((v + 50)/7)))/q
    UNITSON
}
