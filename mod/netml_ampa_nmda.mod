TITLE AMPA and NMDA conductances driven by one event, double exponential each

COMMENT
An event of weight w (uS) adds a conductance that peaks at w (AMPA) and at nmda_ratio*w
(NMDA, before the block). Linear in the events, so any number of connections may share one
instance. Magnesium block: Jahr CE, Stevens CF (1990) J Neurosci 10:3178-3182,
doi:10.1523/JNEUROSCI.10-09-03178.1990.
Default time constants: AMPA, Hausser M, Roth A (1997) J Physiol 501:77-95,
doi:10.1111/j.1469-7793.1997.077bo.x; NMDA at 35 degC, Rhodes P (2006) J Neurosci 26:6704-6715,
doi:10.1523/JNEUROSCI.3791-05.2006.
ENDCOMMENT

NEURON {
    THREADSAFE
    POINT_PROCESS netml_ampa_nmda
    NONSPECIFIC_CURRENT i
    RANGE tau_r_ampa, tau_d_ampa, tau_r_nmda, tau_d_nmda, nmda_ratio, mg, e
    RANGE i, g, g_ampa, g_nmda, factor_ampa, factor_nmda
}

UNITS {
    (nA) = (nanoamp)
    (mV) = (millivolt)
    (uS) = (microsiemens)
    (mM) = (milli/liter)
}

PARAMETER {
    tau_r_ampa = 0.3 (ms)
    tau_d_ampa = 2 (ms)
    tau_r_nmda = 2 (ms)
    tau_d_nmda = 45 (ms)
    nmda_ratio = 0.8
    mg = 1 (mM)
    e = 0 (mV)
}

ASSIGNED {
    v (mV)
    i (nA)
    g (uS)
    g_ampa (uS)
    g_nmda (uS)
    factor_ampa
    factor_nmda
}

STATE {
    ra (uS)
    da (uS)
    rn (uS)
    dn (uS)
}

INITIAL {
    ra = 0
    da = 0
    rn = 0
    dn = 0
    factor_ampa = unit_peak(tau_r_ampa, tau_d_ampa)
    factor_nmda = nmda_ratio*unit_peak(tau_r_nmda, tau_d_nmda)
}

BREAKPOINT {
    SOLVE states METHOD cnexp
    g_ampa = da - ra
    g_nmda = (dn - rn)*block(v)
    g = g_ampa + g_nmda
    i = g*(v - e)
}

DERIVATIVE states {
    ra' = -ra/tau_r_ampa
    da' = -da/tau_d_ampa
    rn' = -rn/tau_r_nmda
    dn' = -dn/tau_d_nmda
}

NET_RECEIVE(weight (uS)) {
    ra = ra + weight*factor_ampa
    da = da + weight*factor_ampa
    rn = rn + weight*factor_nmda
    dn = dn + weight*factor_nmda
}

: Fraction of NMDA channels free of magnesium
FUNCTION block(v (mV)) {
    UNITSOFF
    block = 1/(1 + exp(-0.062*v)*mg/3.57)
    UNITSON
}

: Scale that makes exp(-t/d) - exp(-t/r) peak at 1
FUNCTION unit_peak(r (ms), d (ms)) { LOCAL t
    t = r*d/(d - r)*log(d/r)
    unit_peak = 1/(exp(-t/d) - exp(-t/r))
}
