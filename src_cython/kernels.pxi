# The Cython backend for one precision and one kind of processor; setup.py compiles it for each.
#
# Files, from the inside out: simd.h (vectors), vmath (exp, log, tanh, ...), tile.h (matrix
# product), elementwise, losses, optimizers, passes, train. This one holds the entry points. They
# turn arrays into pointers and release the GIL; fastbp/backends/interface.py has the arguments.

include "simd.pxi"
include "tile.pxi"
include "spec.pxi"
include "vmath.pxi"
include "elementwise.pxi"
include "losses.pxi"
include "optimizers.pxi"
include "passes.pxi"
include "train.pxi"

HAS_FMA = bool(FBP_HAS_FMA)
CHECKED = bool(FBP_CHECKED)


cdef Net net_of(
    const int64_t[:, ::1] plan, Py_ssize_t loss, real[::1] parameters, Py_ssize_t block,
    real[::1] workspace
):
    """The Net, the first arrays to register."""
    forget()
    register("parameters", &parameters[0], parameters.shape[0])
    register("workspace", &workspace[0], workspace.shape[0])
    return Net(
        &plan[0, 0], plan.shape[0] - 1, loss, &parameters[0], block, &workspace[0],
        NULL, 1, 0, 0, 0,
    )


cdef Data data_of(
    const real[:, ::1] X, const int64_t[::1] labels, const real[:, ::1] targets,
    const real[::1] sample_weight, const int64_t[:, ::1] order
):
    """The Data; `order` may be None."""
    cdef Data data = Data(samples(X), NULL, samples(targets), NULL, NULL)
    if labels.shape[0]:
        data.labels = &labels[0]
    if sample_weight.shape[0]:
        data.weight = &sample_weight[0]
    if order is not None and order.shape[0]:
        data.order = &order[0, 0]
        register("order", data.order, order.shape[0] * order.shape[1])
    register("X", data.X, X.shape[0] * X.shape[1])
    register("targets", data.targets, targets.shape[0] * targets.shape[1])
    return data


cdef const real *samples(const real[:, ::1] rows):
    return &rows[0, 0] if rows.shape[0] else NULL


cdef real *written(const char *name, real[::1] array):
    if not array.shape[0]:
        return NULL
    register(name, &array[0], array.shape[0])
    return &array[0]


def predict(
    const int64_t[:, ::1] plan, Py_ssize_t loss, real[::1] parameters, const real[:, ::1] X,
    Py_ssize_t block, real[::1] workspace, real[:, ::1] out
):
    cdef Net net = net_of(plan, loss, parameters, block, workspace)
    cdef Data data = Data(samples(X), NULL, NULL, NULL, NULL)
    cdef real *result = &out[0, 0] if out.shape[0] else NULL
    register("X", data.X, X.shape[0] * X.shape[1])
    register("out", result, out.shape[0] * out.shape[1])
    with nogil:
        run_predict(&net, &data, X.shape[0], result)


def loss_and_gradient(
    const int64_t[:, ::1] plan, Py_ssize_t loss, real[::1] parameters, const real[:, ::1] X,
    const int64_t[::1] labels, const real[:, ::1] targets, const real[::1] sample_weight,
    Py_ssize_t block, real[::1] workspace, real[::1] transposed, real[::1] gradient
):
    cdef Net net = net_of(plan, loss, parameters, block, workspace)
    cdef Data data = data_of(X, labels, targets, sample_weight, None)
    cdef real *WT = written("transposed", transposed)
    cdef real *G = written("gradient", gradient)
    cdef double mean
    with nogil:
        mean = run_loss_and_gradient(&net, &data, X.shape[0], WT, G)
    return mean


def train(
    const int64_t[:, ::1] plan, Py_ssize_t loss, real[::1] parameters, const real[:, ::1] X,
    const int64_t[::1] labels, const real[:, ::1] targets, const real[::1] sample_weight,
    const int64_t[:, ::1] order, Py_ssize_t epochs, Py_ssize_t batch_size, Py_ssize_t optimizer,
    const double[::1] hyper, double l2, double[:, ::1] counters, real[:, ::1] state,
    Py_ssize_t block, real[::1] workspace, real[::1] transposed, real[::1] gradient,
    double[::1] losses, const int64_t[::1] stop, int64_t[::1] team, Py_ssize_t rank
):
    cdef Net net = net_of(plan, loss, parameters, block, workspace)
    net.team, net.threads, net.rank = &team[0], counters.shape[0], rank
    cdef Data data = data_of(X, labels, targets, sample_weight, order)
    cdef real *WT = written("transposed", transposed)
    cdef real *G = written("gradient", gradient)
    # An optimiser with fewer slots does not look at the others.
    cdef real *first_state = &state[0, 0] if state.shape[0] > 0 else &parameters[0]
    cdef real *second_state = &state[1, 0] if state.shape[0] > 1 else first_state
    cdef Py_ssize_t finished
    register("state", first_state, state.shape[0] * state.shape[1])
    cdef Stepping how = Stepping(
        optimizer, &hyper[0], l2, &counters[rank, 0], first_state, second_state
    )
    with nogil:
        finished = run_train(
            &net, &data, X.shape[0], epochs, batch_size, &how, WT, G, &losses[0], &stop[0]
        )
    return finished
