# The Cython backend for one precision and one kind of processor; setup.py compiles it for each.
#
# Files, from the inside out: simd.h (vectors), vmath (exp, log, tanh, ...), tile.h (matrix
# product), dropout, elementwise, losses, optimizers, passes, regularizers, train, per_sample. This
# one holds the entry points. They turn arrays into pointers and release the GIL;
# fastbp/backends/interface.py has the arguments.

include "simd.pxi"
include "tile.pxi"
include "spec.pxi"
include "vmath.pxi"
include "dropout.pxi"
include "elementwise.pxi"
include "losses.pxi"
include "optimizers.pxi"
include "passes.pxi"
include "regularizers.pxi"
include "train.pxi"
include "per_sample.pxi"

HAS_FMA = bool(FBP_HAS_FMA)
CHECKED = bool(FBP_CHECKED)


cimport numpy as cnp

cnp.import_array()

# An array's numbers; NULL if there are none.
cdef struct Array:
    void *start
    Py_ssize_t bytes


cdef Array memory(const char *name, cnp.ndarray array) except *:
    """Where an array lies, which is C-contiguous, of the right dtype, and kept by the caller.

    Typed memoryviews would check that once more, which takes longer than to predict a row.
    """
    cdef Array found = Array(cnp.PyArray_DATA(array), cnp.PyArray_NBYTES(array))
    if not found.bytes:
        found.start = NULL
    register(name, <char *>found.start, found.bytes)
    return found


cdef Net net_of(
    object plan, Py_ssize_t loss, double loss_parameter, size_t function, object parameters,
    Py_ssize_t block, object workspace
) except *:
    """The Net, the first arrays to register."""
    forget()
    cdef Array table = memory("plan", plan)
    return Net(
        <const int64_t *>table.start,
        table.bytes // (COLUMNS * sizeof(int64_t)) - 1,
        1,
        loss,
        loss_parameter,
        <LossFunction>function,
        <real *>memory("parameters", parameters).start,
        block,
        <real *>memory("workspace", workspace).start,
        NULL, 1, 0, 0, 0, 0, 0,
    )


cdef Data data_of(
    object X, object labels, object targets, object sample_weight, object order
) except *:
    """The Data; arrays without elements become NULL."""
    return Data(
        <const real *>memory("X", X).start,
        <const int64_t *>memory("labels", labels).start,
        <const real *>memory("targets", targets).start,
        <const real *>memory("sample_weight", sample_weight).start,
        <const int64_t *>memory("order", order).start,
    )


def finite(array):
    forget()
    cdef Array found = memory("array", array)
    cdef bint result
    with nogil:
        result = run_finite(<const real *>found.start, found.bytes // sizeof(real))
    return result


def predict(plan, Py_ssize_t loss, parameters, X, Py_ssize_t block, workspace, out):
    cdef Net net = net_of(plan, loss, 0.0, 0, parameters, block, workspace)
    cdef Array samples = memory("X", X)
    cdef Data data = Data(<const real *>samples.start, NULL, NULL, NULL, NULL)
    cdef real *result = <real *>memory("out", out).start
    cdef Py_ssize_t n = samples.bytes // (net.plan[SIZE] * sizeof(real))
    with nogil:
        run_predict(&net, &data, n, result)


def loss_and_gradient(
    plan, Py_ssize_t loss, double loss_parameter, size_t function, parameters, X, labels, targets,
    sample_weight, Py_ssize_t block, workspace, transposed, gradient, stop
):
    cdef Net net = net_of(plan, loss, loss_parameter, function, parameters, block, workspace)
    cdef Data data = data_of(X, labels, targets, sample_weight, labels[:0])
    cdef real *WT = <real *>memory("transposed", transposed).start
    cdef real *G = <real *>memory("gradient", gradient).start
    cdef const int64_t *stopped = <const int64_t *>memory("stop", stop).start
    cdef Py_ssize_t n = X.shape[0]
    cdef double mean
    with nogil:
        mean = run_loss_and_gradient(&net, &data, n, WT, G, stopped)
    return mean


def per_sample(
    plan, Py_ssize_t loss, double loss_parameter, size_t function, parameters, X, labels, targets,
    deltas, Py_ssize_t block, workspace, transposed, losses, gradients, errors, units
):
    cdef Net net = net_of(plan, loss, loss_parameter, function, parameters, block, workspace)
    cdef Data data = data_of(X, labels, targets, labels[:0], labels[:0])
    cdef real *WT = <real *>memory("transposed", transposed).start
    cdef Wanted wanted = Wanted(
        <real *>memory("losses", losses).start,
        <real *>memory("gradients", gradients).start, gradients.shape[1],
        <real *>memory("errors", errors).start,
        <real *>memory("units", units).start, units.shape[1],
    )
    cdef const real *given = <const real *>memory("deltas", deltas).start
    cdef Py_ssize_t n = X.shape[0]
    with nogil:
        run_per_sample(&net, &data, n, given, WT, &wanted)


def train(
    plan, Py_ssize_t loss, double loss_parameter, size_t function, parameters, X, labels, targets,
    sample_weight, order, Py_ssize_t epochs, rates, Py_ssize_t batch_size, Py_ssize_t optimizer,
    hyper, rules, bint divided, double clip_norm, squares, double decay, average, int64_t seed,
    counters, state, Py_ssize_t block, workspace, transposed, gradient, losses, stop, team,
    Py_ssize_t rank
):
    cdef Net net = net_of(plan, loss, loss_parameter, function, parameters, block, workspace)
    cdef Data data = data_of(X, labels, targets, sample_weight, order)
    cdef real *WT = <real *>memory("transposed", transposed).start
    cdef real *G = <real *>memory("gradient", gradient).start
    cdef Array of_threads = memory("counters", counters)
    cdef Array slots = memory("state", state)
    cdef Py_ssize_t slot = memory("parameters", parameters).bytes
    # An optimiser with fewer slots does not look at the others.
    cdef real *first_state = <real *>slots.start if slots.start != NULL else net.parameters
    cdef real *second_state = first_state
    if slots.bytes > slot:
        second_state = <real *>(<char *>slots.start + slot)
    net.team, net.rank = <int64_t *>memory("team", team).start, rank
    net.threads = of_threads.bytes // (3 * sizeof(double))
    cdef Stepping how = Stepping(
        optimizer, <const double *>memory("hyper", hyper).start,
        <double *>of_threads.start + 3 * rank, Pace(0.0, 0.0, 0.0), first_state, second_state,
        <const double *>memory("rules", rules).start, 1.0,
        clip_norm, <double *>memory("squares", squares).start,
        decay, <real *>memory("average", average).start, 0.0,
    )
    cdef const double *of_steps = <const double *>memory("rates", rates).start
    cdef double *epoch_losses = <double *>memory("losses", losses).start
    cdef const int64_t *stopped = <const int64_t *>memory("stop", stop).start
    cdef Py_ssize_t n = X.shape[0] if data.order == NULL else order.shape[1], finished
    with nogil:
        finished = run_train(
            &net, &data, n, epochs, batch_size, &how, of_steps, divided, seed, WT, G,
            epoch_losses, stopped,
        )
    return finished
