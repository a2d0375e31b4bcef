TITLE GABA-A conductance, double exponential

COMMENT
An event of weight w (uS) adds a conductance that peaks at w. Linear in the events, so any
number of connections may share one instance. Default time constants: Salin PA, Prince DA (1996)
J Neurophysiol 75:1573-1588, doi:10.1152/jn.1996.75.4.1573.
ENDCOMMENT

NEURON {
    THREADSAFE
    POINT_PROCESS netml_gabaa
    NONSPECIFIC_CURRENT i
    RANGE tau_r, tau_d, e, i, g, factor
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
}

ASSIGNED {
    v (mV)
    i (nA)
    g (uS)
    factor
}

STATE {
    r (uS)
    d (uS)
}

INITIAL {
    r = 0
    d = 0
    factor = unit_peak(tau_r, tau_d)
}

BREAKPOINT {
    SOLVE states METHOD cnexp
    g = d - r
    i = g*(v - e)
}

DERIVATIVE states {
    r' = -r/tau_r
    d' = -d/tau_d
}

NET_RECEIVE(weight (uS)) {
    r = r + weight*factor
    d = d + weight*factor
}

: Scale that makes exp(-t/b) - exp(-t/a) peak at 1
FUNCTION unit_peak(a (ms), b (ms)) { LOCAL t
    t = a*b/(b - a)*log(b/a)
    unit_peak = 1/(exp(-t/b) - exp(-t/a))
}
