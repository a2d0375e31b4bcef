TITLE T-type calcium current of cells that fire low-threshold spikes, m^2 h

COMMENT
Kinetics: Huguenard JR, McCormick DA (1992) J Neurophysiol 68:1373-1383, doi:10.1152/jn.1992.68.4.1373 (24 degC);
q10 of 5 (activation) and 3 (inactivation): Coulter DA, Huguenard JR, Prince DA (1989) J Physiol 414:587-604,
doi:10.1113/jphysiol.1989.sp017705. As an ohmic conductance.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX netml_cat
    USEION ca READ eca WRITE ica
    RANGE gbar, g, minf, hinf, mtau, htau, qm, qh
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
    qm
    qh
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
    qm = 5^((celsius - 24)/10)
    qh = 3^((celsius - 24)/10)
    rates(v)
    m = minf
    h = hinf
}

PROCEDURE rates(v (mV)) {
    UNITSOFF
    minf = 1/(1 + exp(-(v + 57)/6.2))
    mtau = (0.612 + 1/(exp(-(v + 132)/16.7) + exp((v + 16.8)/18.2)))/qm
    hinf = 1/(1 + exp((v + 81)/4))
    if (v < -80) {
        htau = exp((v + 467)/66.6)/qh
    } else {
        htau = (28 + exp(-(v + 22)/10.5))/qh
    }
    UNITSON
}
