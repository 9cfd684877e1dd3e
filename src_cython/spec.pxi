# The codes of fastbp/basis/spec.py and the plan's columns of fastbp/basis/layout.py. A test
# compares them by means of codes() below.

cdef enum:
    IDENTITY, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS, SILU, GELU

cdef enum:
    LOG_LOSS, CROSS_ENTROPY, SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, POISSON, QUANTILE, CUSTOM

cdef enum:
    SGD, MOMENTUM, NESTEROV, RMSPROP, ADAGRAD, ADAM, ADAMW, RPROP

cdef enum:
    L1, L2, FROZEN, RULES

cdef enum:
    SIZE, STRIDE, WEIGHTS, TRANSPOSED, ACTIVATION, H, S, DS, DROPOUT, OUTPUT, COLUMNS

cdef extern from *:
    """
    static const double LEAKY_SLOPE = 0.01;
    static const double SMALLEST = 0x1p-100;
    static const double SMALLEST_SQUARED = 0x1p-60;
    """
    const double LEAKY_SLOPE
    const double SMALLEST
    const double SMALLEST_SQUARED


def codes():
    """Every code of this file by name."""
    return {
        "IDENTITY": IDENTITY, "SIGMOID": SIGMOID, "TANH": TANH, "RELU": RELU,
        "LEAKY_RELU": LEAKY_RELU, "ELU": ELU, "SOFTPLUS": SOFTPLUS, "SILU": SILU, "GELU": GELU,
        "LOG_LOSS": LOG_LOSS, "CROSS_ENTROPY": CROSS_ENTROPY, "SQUARED_ERROR": SQUARED_ERROR,
        "ABSOLUTE_ERROR": ABSOLUTE_ERROR, "HUBER": HUBER, "POISSON": POISSON,
        "QUANTILE": QUANTILE, "CUSTOM": CUSTOM, "L1": L1, "L2": L2, "FROZEN": FROZEN, "RULES": RULES,
        "SGD": SGD, "MOMENTUM": MOMENTUM, "NESTEROV": NESTEROV, "RMSPROP": RMSPROP,
        "ADAGRAD": ADAGRAD, "ADAM": ADAM, "ADAMW": ADAMW, "RPROP": RPROP,
        "SIZE": SIZE, "STRIDE": STRIDE, "WEIGHTS": WEIGHTS, "TRANSPOSED": TRANSPOSED,
        "ACTIVATION": ACTIVATION, "H": H, "S": S, "DS": DS, "DROPOUT": DROPOUT,
        "OUTPUT": OUTPUT, "COLUMNS": COLUMNS,
    }
