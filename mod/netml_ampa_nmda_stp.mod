TITLE AMPA and NMDA conductances with short-term plasticity, double exponential each

COMMENT
An event of weight w (uS) adds a conductance that peaks at w*u*r (below; AMPA) and at nmda_ratio times that
(NMDA, before the block). Kinetics are those of netml_ampa_nmda.
Magnesium block: Jahr CE, Stevens CF (1990) J Neurosci 10:3178-3182, doi:10.1523/JNEUROSCI.10-09-03178.1990.
Default time constants: AMPA, Hausser M, Roth A (1997) J Physiol 501:77-95,
doi:10.1111/j.1469-7793.1997.077bo.x; NMDA at 35 degC, Rhodes P (2006) J Neurosci 26:6704-6715,
doi:10.1523/JNEUROSCI.3791-05.2006.

Short-term plasticity: Tsodyks MV, Markram H (1997) PNAS 94:719-723, doi:10.1073/pnas.94.2.719; Tsodyks M,
Pawelzik K, Markram H (1998) Neural Comput 10:821-835, doi:10.1162/089976698300017502. An event of weight w acts
as one of w*u*r, with u the used part of the resources and r what is left of them: U and 1 at the first event, then

    u <- U + u*(1 - U)*exp(-dt/tau_facil)    r <- 1 + (r*(1 - u_before) - 1)*exp(-dt/tau_rec)

with dt the time since the event before. It is deterministic, and u, r and that time belong to the connection (its
weight vector), so that connections of different sources may share one instance. These are also the rules of reduced
cells (netml/population/README.md). A time constant of 0 switches its part off.
ENDCOMMENT

NEURON {
    THREADSAFE
    POINT_PROCESS netml_ampa_nmda_stp
    NONSPECIFIC_CURRENT i
    RANGE tau_r_ampa, tau_d_ampa, tau_r_nmda, tau_d_nmda, nmda_ratio, mg, e
    RANGE U, tau_rec, tau_facil
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
    U = 0.5
    tau_rec = 0 (ms)
    tau_facil = 0 (ms)
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

NET_RECEIVE(weight (uS), u, r, last (ms)) { LOCAL w
    INITIAL {
        u = 0
        r = 1
        last = t
    }
    r = 1 + (r*(1 - u) - 1)*remains(t - last, tau_rec)
    u = U + u*(1 - U)*remains(t - last, tau_facil)
    last = t
    w = weight*u*r
    ra = ra + w*factor_ampa
    da = da + w*factor_ampa
    rn = rn + w*factor_nmda
    dn = dn + w*factor_nmda
}

: What a deviation is after a time
FUNCTION remains(since (ms), tau (ms)) {
    if (tau > 0) {
        remains = exp(-since/tau)
    } else {
        remains = 0
    }
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
