# The codes of fastbp/basis/spec.py, and the columns of the plan and of the table of inputs, which
# fastbp/basis/layout.py and inputs.py have. They are compared by means of codes() below.

cpdef enum:
    IDENTITY, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS, SILU, GELU,
    SIN, HARD_TANH, SELU, MISH, PRELU, CUSTOM_ACTIVATION

cpdef enum:
    NO_NORM, LAYER_NORM, RMS_NORM

cpdef enum:
    LOG_LOSS, CROSS_ENTROPY, SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, POISSON, QUANTILE, GAUSSIAN,
    STUDENT_T, LAPLACE, NEGATIVE_BINOMIAL, MIXTURE_DENSITY, QUANTILES, CUSTOM, POISSON_RATE, HEADS

cpdef enum:
    SGD, MOMENTUM, NESTEROV, RMSPROP, ADAGRAD, ADAM, ADAMW, RPROP

cpdef enum:
    L1, L2, FROZEN, RULES

cpdef enum:
    SIZE, STRIDE, WEIGHTS, TRANSPOSED, ACTIVATION, H, S, DS, DROPOUT, OUTPUT, ROUNDED, FUNCTION, PAIRED,
    TARGETS, SPARSE, NORM, RESIDUAL, EXTRAS, NORMALIZED, INVERSE, DH, TERMS, INPUTS, COLUMNS

cpdef enum:
    HEAD_FIRST, HEAD_WIDTH, HEAD_FIRST_TARGET, HEAD_TARGETS, HEAD_LOSS, HEAD_WEIGHT, HEAD_PARAMETER,
    HEAD_NUMBERS, HEAD_SUMS, HEAD_COLUMNS

cpdef enum:
    STORED = 1
    TOUCHED = 2

cpdef enum:
    X_WIDTH, PARTS, MARKS, MARKED, TABLES, TABLED, LEARNED

cpdef enum:
    KIND, COLUMN, PLACE, WIDTH, CATEGORIES, TABLE, TABLE_STRIDE, MARK, PART_COLUMNS

cpdef enum:
    PLAIN, FILLED, CATEGORY

cpdef enum:
    TABLE_PIECE = 256

cpdef enum:
    LOSS_PLACES = 8
    SLICE_ROWS = 16

cpdef enum:
    CODES = 32

cdef extern from *:
    """
    static const double LEAKY_SLOPE = 0.01;
    static const double SELU_SCALE = 1.0507009873554805;
    static const double SELU_DEPTH = 1.7580993408473768;
    static const double NORM_EPSILON = 1e-5;
    """
    const double LEAKY_SLOPE
    const double SELU_SCALE, SELU_DEPTH, NORM_EPSILON


def codes():
    """Every code of this file by name."""
    return {name: value for name, value in globals().items() if name.isupper() and type(value) is int}
