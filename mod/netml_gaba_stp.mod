TITLE GABA conductance with short-term plasticity, double exponential: GABA-A fast or slow, or GABA-B

COMMENT
An event of weight w (uS) adds a conductance that peaks at w*u*r (below). tau_r, tau_d and e say which receptor it is. Default: GABA-A, fast, Salin PA, Prince DA (1996) J Neurophysiol 75:1573-1588,
doi:10.1152/jn.1996.75.4.1573. GABA-A, slow, decays with 30 to 70 ms (hippocampus, as reviewed by Sceniak MP, MacIver MB
(2008) BMC Neurosci 9:8, doi:10.1186/1471-2202-9-8). GABA-B opens K+ channels that rectify little or not (De Koninck Y,
Mody I (1997) J Neurophysiol 77:2202-2208): e is that of K+, and its rise and decay take tens to hundreds of ms.

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
    POINT_PROCESS netml_gaba_stp
    NONSPECIFIC_CURRENT i
    RANGE tau_r, tau_d, e, U, tau_rec, tau_facil, i, g, factor
}

UNITS {
    (nA) = (nanoamp)
    (mV) = (millivolt)
    (uS) = (microsiemens)
}

PARAMETER {
    tau_r = 0.5 (ms)
    tau_d = 8 (ms)
    e = -80 (mV)
    U = 0.5
    tau_rec = 0 (ms)
    tau_facil = 0 (ms)
}

ASSIGNED {
    v (mV)
    i (nA)
    g (uS)
    factor
}

STATE {
    rise (uS)
    fall (uS)
}

INITIAL {
    rise = 0
    fall = 0
    factor = unit_peak(tau_r, tau_d)
}

BREAKPOINT {
    SOLVE states METHOD cnexp
    g = fall - rise
    i = g*(v - e)
}

DERIVATIVE states {
    rise' = -rise/tau_r
    fall' = -fall/tau_d
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
    w = weight*u*r*factor
    rise = rise + w
    fall = fall + w
}

: What a deviation is after a time
FUNCTION remains(since (ms), tau (ms)) {
    if (tau > 0) {
        remains = exp(-since/tau)
    } else {
        remains = 0
    }
}

: Scale that makes exp(-t/b) - exp(-t/a) peak at 1
FUNCTION unit_peak(a (ms), b (ms)) { LOCAL t
    t = a*b/(b - a)*log(b/a)
    unit_peak = 1/(exp(-t/b) - exp(-t/a))
}
