TITLE Calcium in a shell below the membrane, with exponential removal

COMMENT
After Destexhe A, Mainen ZF, Sejnowski TJ (1994) Neural Comput 6:14-18,
doi:10.1162/neco.1994.6.1.14: a fraction `gamma` of the calcium that enters stays free.
ENDCOMMENT

NEURON {
    THREADSAFE
    SUFFIX netml_cad
    USEION ca READ ica WRITE cai
    RANGE gamma, decay, depth, rest
}

UNITS {
    (mA) = (milliamp)
    (mM) = (milli/liter)
    (um) = (micron)
    FARADAY = (faraday) (coulombs)
}

PARAMETER {
    gamma = 0.0005
    decay = 80 (ms)
    depth = 0.1 (um)
    rest = 1e-4 (mM)
}

ASSIGNED { ica (mA/cm2) }

STATE { cai (mM) }

INITIAL { cai = rest }

BREAKPOINT { SOLVE states METHOD cnexp }

DERIVATIVE states {
    cai' = -(1e4)*ica*gamma/(2*FARADAY*depth) - (cai - rest)/decay
}
