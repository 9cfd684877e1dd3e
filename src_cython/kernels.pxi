# The Cython backend for one precision and one kind of processor; setup.py compiles it for each.
#
# Files, from the inside out: simd.h (vectors), vmath (exp, log, tanh, ...), trigonometry (sin and
# cos), tile.h (matrix product), bfloat16.h and amx.h (products of rounded matrices), dropout,
# elementwise, losses, optimizers, shares, net, layer_parameters, heads, passes, sparse, embeddings,
# gather, gradients, groups, regularizers, steps, train, per_sample, layer_jets, jets,
# output_derivatives, input_derivatives, sobolev, hessian. This one holds the entry points. They turn
# arrays into pointers and release the GIL. Entry points that train flush denormal numbers;
# denormals.h says how, and why they call their bodies by a hidden address.
# fastbp/backends/interface.py has the arguments.

include "simd.pxi"
include "tile.pxi"
include "spec.pxi"
include "vmath.pxi"
include "trigonometry.pxi"
include "dropout.pxi"
include "elementwise.pxi"
include "distributions.pxi"
include "losses.pxi"
include "optimizers.pxi"
include "shares.pxi"
include "net.pxi"
include "layer_parameters.pxi"
include "heads.pxi"
include "passes.pxi"
include "sparse.pxi"
include "embeddings.pxi"
include "gather.pxi"
include "gradients.pxi"
include "groups.pxi"
include "regularizers.pxi"
include "steps.pxi"
include "train.pxi"
include "per_sample.pxi"
include "layer_jets.pxi"
include "jets.pxi"
include "output_derivatives.pxi"
include "input_derivatives.pxi"
include "sobolev.pxi"
include "hessian.pxi"

HAS_FMA = bool(FBP_HAS_FMA)
CHECKED = bool(FBP_CHECKED)
HAS_TILES = bool(FBP_HAS_TILES)


cimport numpy as cnp

cnp.import_array()

# An array's numbers; NULL if there are none.
cdef struct Array:
    void *start
    Py_ssize_t bytes


cdef Array memory(const char *name, cnp.ndarray array) except *:
    """The address and size of an array.

    The caller keeps the array, and has checked that it is C-contiguous and of the right dtype.
    Typed memoryviews would check that again, which takes longer than the prediction of a row.
    """
    cdef Array found = Array(cnp.PyArray_DATA(array), cnp.PyArray_NBYTES(array))
    if not found.bytes:
        found.start = NULL
    register(name, <char *>found.start, found.bytes)
    return found


cdef void register_inputs(const int64_t *plan) noexcept:
    """In the debug build, let kernels know the table of inputs, if the plan has one."""
    cdef const int64_t *header = <const int64_t *>plan[INPUTS]
    if header != NULL:
        register(
            b"inputs", <char *>header, (1 + header[PARTS]) * PART_COLUMNS * sizeof(int64_t)
        )


cdef Net net_of(model, Py_ssize_t block, workspace) except *:
    """The Net of a call, whose arrays are the first to be registered."""
    forget()
    plan, loss, loss_parameter, function, parameters = model
    cdef Array table = memory("plan", plan)
    cdef const int64_t *numbers = <const int64_t *>table.start
    register_inputs(numbers)
    return Net(
        numbers,
        table.bytes // (COLUMNS * sizeof(int64_t)) - 1,
        1 if numbers[INPUTS] == 0 else 0,
        loss,
        loss_parameter,
        <LossFunction><size_t>function,
        control(),
        <real *>memory("parameters", parameters).start,
        block,
        <real *>memory("workspace", workspace).start,
        NULL, 1, 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL,
    )


cdef void form_team(Net *net, shared, Py_ssize_t threads, sums, workspace) except *:
    """Let the Net belong to a team of threads, with partial sums for batches of several blocks."""
    net.shared = <int64_t *>memory("shared", shared).start
    net.threads = threads
    net.sums = <double *>memory("sums", sums).start
    net.lines, net.line = sums.shape[0], sums.shape[1]
    net.apart = workspace.shape[0] // threads


cdef Data samples_of(X) except *:
    """The Data of samples alone, dense or sparse."""
    cdef Data found = Data(NULL, NULL, NULL, NULL, NULL, NULL, NULL)
    if isinstance(X, cnp.ndarray):
        found.X = <const real *>memory("X", X).start
    else:
        found.X = <const real *>memory("X", X.values).start
        found.columns = <const int32_t *>memory("columns", X.columns).start
        found.starts = <const int64_t *>memory("starts", X.starts).start
    return found


cdef Data data_of(data) except *:
    """The Data in natural order; arrays without elements become NULL."""
    X, labels, targets, sample_weight = data
    cdef Data found = samples_of(X)
    found.labels = <const int64_t *>memory("labels", labels).start
    found.targets = <const real *>memory("targets", targets).start
    found.weight = <const real *>memory("sample_weight", sample_weight).start
    return found


def finite(array):
    forget()
    cdef Array found = memory("array", array)
    cdef bint result
    with nogil:
        result = run_finite(<const real *>found.start, found.bytes // sizeof(real))
    return result


def activation(Py_ssize_t code, s, out):
    forget()
    cdef const real *given = <const real *>memory("s", s).start
    cdef Array found = memory("out", out)
    cdef Py_ssize_t n = found.bytes // (4 * sizeof(real)), i
    cdef real *h = <real *>found.start
    with nogil:
        for i in range(n):
            h[i], h[n + i] = given[i], 1.0
            h[2 * n + i] = h[3 * n + i] = 0.0 if code == IDENTITY else 1.0
        activate(code, given, h, n)
        multiply_by_derivative(code, given, h, h + n, n)
        multiply_by_second_derivative(code, given, h, h + 2 * n, n)
        multiply_by_third_derivative(code, given, h, h + 3 * n, n)


def loss_hessian_product(model, s, y, v, out):
    forget()
    plan, loss, loss_parameter, function, parameters = model
    cdef Py_ssize_t code = loss, rows = s.shape[0], n = plan[-1, SIZE], stride = s.shape[1]
    cdef Py_ssize_t activation = plan[-1, PAIRED]
    cdef double parameter = loss_parameter
    cdef LossFunction of_loss = <LossFunction><size_t>function
    cdef const real *given = <const real *>memory("s", s).start
    cdef const real *targets = <const real *>memory("y", y).start
    cdef const real *vectors = <const real *>memory("v", v).start
    cdef real *products = <real *>memory("out", out).start
    with nogil:
        hessian_product_of_rows(
            code, activation, of_loss, parameter, rows, n, stride, given, targets, vectors, products
        )


def use_tiles(bint on):
    """Let products of rounded matrices compute in tiles from now on, or not."""
    global tiles_are_on
    tiles_are_on = on and HAS_TILES


def bfloat16_address():
    """The address of the product of rounded matrices, for Numba."""
    return <size_t>&unchecked_product


def multiply_rounded(A, B, init, C):
    """C = init + A B with operands rounded to bfloat16, of C-contiguous matrices.

    The columns of B are a whole number of vectors.
    """
    forget()
    cdef Py_ssize_t M = A.shape[0], K = A.shape[1], J = B.shape[1]
    cdef const real *a = <const real *>memory("A", A).start
    cdef const real *b = <const real *>memory("B", B).start
    cdef const real *before = <const real *>memory("init", init).start
    cdef real *result = <real *>memory("C", C).start
    with nogil:
        bfloat16_product(a, K, 1, b, J, before, J, result, J, M, J, K)


def predict(model, X, Py_ssize_t block, workspace, out):
    cdef Net net = net_of(model, block, workspace)
    cdef Data data = samples_of(X)
    cdef Array results = memory("out", out)
    cdef real *result = <real *>results.start
    cdef Py_ssize_t n = results.bytes // (net.plan[net.m * COLUMNS + SIZE] * sizeof(real))
    with nogil:
        run_predict(&net, &data, n, result)


def forward(model, X, workspace, out):
    cdef Net net = net_of(model, X.shape[0], workspace)
    cdef Data data = Data(<const real *>memory("X", X).start, NULL, NULL, NULL, NULL, NULL, NULL)
    cdef real *result = <real *>memory("out", out).start
    body = run_predict
    hide(&body)
    with nogil:
        net.outside = flush()
        body(&net, &data, net.block, result)
        set_control(net.outside)


def backward(model, X, deltas, workspace, transposed, gradient, errors):
    cdef Net net = net_of(model, X.shape[0], workspace)
    cdef Data data = Data(<const real *>memory("X", X).start, NULL, NULL, NULL, NULL, NULL, NULL)
    cdef const real *given = <const real *>memory("deltas", deltas).start
    cdef real *WT = <real *>memory("transposed", transposed).start
    cdef real *G = <real *>memory("gradient", gradient).start
    cdef real *of_input = <real *>memory("errors", errors).start
    body = run_from_deltas
    hide(&body)
    with nogil:
        net.outside = flush()
        body(&net, &data, given, WT, G, of_input)
        set_control(net.outside)


def input_vjp(model, X, v, workspace, transposed, gradient, errors):
    cdef Net net = net_of(model, X.shape[0], workspace)
    cdef Data data = Data(<const real *>memory("X", X).start, NULL, NULL, NULL, NULL, NULL, NULL)
    cdef const real *given = <const real *>memory("v", v).start
    cdef real *WT = <real *>memory("transposed", transposed).start
    cdef real *G = <real *>memory("gradient", gradient).start
    cdef real *of_input = <real *>memory("errors", errors).start
    body = run_input_vjp
    hide(&body)
    with nogil:
        net.outside = flush()
        body(&net, &data, given, WT, G, of_input)
        set_control(net.outside)


def loss_and_gradient(
    model, data, Py_ssize_t block, workspace, transposed, gradient, sums, stop, shared,
    Py_ssize_t threads, Py_ssize_t rank
):
    cdef Net net = net_of(model, block, workspace)
    form_team(&net, shared, threads, sums, workspace)
    net.rank = rank
    cdef Data samples = data_of(data)
    cdef real *WT = <real *>memory("transposed", transposed).start
    cdef real *G = <real *>memory("gradient", gradient).start
    cdef const int64_t *stopped = <const int64_t *>memory("stop", stop).start
    cdef Py_ssize_t n = data.X.shape[0]
    cdef double mean
    body = run_loss_and_gradient
    hide(&body)
    with nogil:
        net.outside = flush()
        mean = body(&net, &samples, n, WT, G, stopped)
        set_control(net.outside)
    return mean


def per_sample(
    model, data, deltas, Py_ssize_t block, workspace, transposed, losses, gradients, errors, units
):
    cdef Net net = net_of(model, block, workspace)
    cdef Data samples = data_of(data)
    cdef real *WT = <real *>memory("transposed", transposed).start
    cdef Wanted wanted = Wanted(
        <real *>memory("losses", losses).start,
        <real *>memory("gradients", gradients).start, gradients.shape[1],
        <real *>memory("errors", errors).start,
        <real *>memory("units", units).start, units.shape[1],
    )
    cdef const real *given = <const real *>memory("deltas", deltas).start
    cdef Py_ssize_t n = data.X.shape[0]
    samples.weight = NULL
    with nogil:
        run_per_sample(&net, &samples, n, given, WT, &wanted)


cdef Lines lines_of(X, directions, Py_ssize_t seconds) except *:
    """The lines through the rows of X."""
    cdef Array found = memory("directions", directions)
    cdef Py_ssize_t n_in = X.shape[1]
    cdef Py_ssize_t K = n_in if found.start == NULL else directions.shape[0]
    return Lines(<const real *>found.start, X.shape[0] * n_in, K, seconds)


def jets(model, X, directions, Py_ssize_t seconds, Py_ssize_t block, workspace, out):
    cdef Net net = net_of(model, block * out.shape[0], workspace)
    cdef Data data = Data(<const real *>memory("X", X).start, NULL, NULL, NULL, NULL, NULL, NULL)
    cdef Lines lines = lines_of(X, directions, seconds)
    cdef real *result = <real *>memory("out", out).start
    cdef Py_ssize_t n = X.shape[0]
    with nogil:
        run_jets(&net, &data, n, block, &lines, result)


def jets_backward(
    model, X, directions, Py_ssize_t seconds, adjoints, workspace, transposed, gradient
):
    cdef Py_ssize_t n = X.shape[0]
    cdef Net net = net_of(model, n * adjoints.shape[0], workspace)
    cdef Data data = Data(<const real *>memory("X", X).start, NULL, NULL, NULL, NULL, NULL, NULL)
    cdef Lines lines = lines_of(X, directions, seconds)
    cdef const real *given = <const real *>memory("adjoints", adjoints).start
    cdef real *WT = <real *>memory("transposed", transposed).start
    cdef real *G = <real *>memory("gradient", gradient).start
    with nogil:
        run_jets_backward(&net, &data, n, &lines, given, WT, G)


def input_derivatives(
    model, X, direction, bint back, Py_ssize_t block, workspace, transposed, first, second
):
    cdef Array curves = memory("second", second)
    cdef Py_ssize_t n = X.shape[0], n_out = first.shape[1], K = first.shape[2]
    cdef Py_ssize_t width = second.shape[2] if curves.start != NULL else 0
    cdef Py_ssize_t sets = 1 + K + width
    if back:
        sets = 1 + max(n_out, K if width > 0 else 0)
    cdef Net net = net_of(model, block * sets, workspace)
    cdef Data data = Data(<const real *>memory("X", X).start, NULL, NULL, NULL, NULL, NULL, NULL)
    cdef real *WT = <real *>memory("transposed", transposed).start
    cdef real *slopes_of_rows = <real *>memory("first", first).start
    cdef real *curves_of_rows = <real *>memory("second", second).start
    # Another direction for each row, or NULL for the unit vectors.
    cdef Lines lines = Lines(<const real *>memory("direction", direction).start, 0, K, width)
    with nogil:
        if back:
            run_back(&net, &data, n, block, WT, slopes_of_rows, curves_of_rows, width)
        else:
            run_forward(&net, &data, n, block, &lines, slopes_of_rows, curves_of_rows)


def sobolev_gradient(
    model, data, dy, order, double derivative_weight, bint back, double total, Py_ssize_t block,
    workspace, transposed, gradient, sums, Py_ssize_t first, Py_ssize_t last, stop
):
    cdef Py_ssize_t n_in = data.X.shape[1]
    cdef Net net = net_of(model, block * (1 + (dy.shape[1] if back else n_in)), workspace)
    cdef Data samples = data_of(data)
    cdef Known known = Known(<const real *>memory("dy", dy).start, derivative_weight, back)
    cdef real *WT = <real *>memory("transposed", transposed).start
    cdef real *G = <real *>memory("gradient", gradient).start
    cdef const int64_t *stopped = <const int64_t *>memory("stop", stop).start
    cdef Py_ssize_t n = data.X.shape[0]
    cdef double mean
    net.sums = <double *>memory("sums", sums).start
    net.lines, net.line = sums.shape[0], sums.shape[1]
    samples.order = <const int64_t *>memory("order", order).start
    if samples.order != NULL:
        n = order.shape[0]
    body = run_sobolev_gradient
    hide(&body)
    with nogil:
        net.outside = flush()
        mean = body(
            &net, &samples, &known, n, block, total, first, last, WT, G, stopped
        )
        set_control(net.outside)
    return mean


def hessian_product(model, data, vector, double total, workspace, transposed, out):
    cdef Py_ssize_t n = data.X.shape[0]
    cdef Net net = net_of(model, 2 * n, workspace)
    cdef Data samples = data_of(data)
    cdef real *along = <real *>memory("vector", vector).start
    cdef Array copies = memory("transposed", transposed)
    cdef real *WT = <real *>copies.start
    cdef real *VT = WT + copies.bytes // (2 * sizeof(real))
    cdef real *G = <real *>memory("out", out).start
    with nogil:
        run_hessian_product(&net, &samples, along, total, n, WT, VT, G)


def loss_deltas(model, data, s, Py_ssize_t block, workspace, losses, deltas):
    cdef Net net = net_of(model, block, workspace)
    cdef Data samples = data_of(data)
    cdef const real *given = <const real *>memory("s", s).start
    cdef real *of_rows = <real *>memory("losses", losses).start
    cdef real *result = <real *>memory("deltas", deltas).start
    cdef Py_ssize_t n = s.shape[0]
    samples.weight = NULL
    with nogil:
        run_loss_deltas(&net, &samples, given, n, of_rows, result)


cdef class Job:
    """A training: the addresses of its arrays, and the arrays themselves to keep them alive."""

    cdef Net net
    cdef Data data
    cdef Stepping how
    cdef Py_ssize_t n, batch_size
    cdef bint sklearn_penalties
    cdef int64_t seed
    cdef real *transposed
    cdef real *gradient
    cdef const int64_t *stop
    cdef object arrays, samples

    def take(self, data):
        self.data = data_of(data)
        self.samples, self.n = data, data.X.shape[0]

    cdef register(self):
        """In the debug build, let kernels know the job's arrays."""
        if CHECKED:
            forget()
            for name, array in self.arrays.items():
                memory(name, array)
            register_inputs(self.net.plan)
            data_of(self.samples)

    def run(self, order, Py_ssize_t epochs, rates, losses, Py_ssize_t rank):
        self.register()
        # Each thread of a team has its own.
        cdef Net net = self.net
        cdef Data data = self.data
        cdef Stepping how = self.how
        cdef Array of_steps = memory("rates", rates)
        cdef Array of_epochs = memory("losses", losses)
        cdef Py_ssize_t line = of_epochs.bytes // (max(epochs, 1) * <Py_ssize_t>sizeof(double))
        cdef Py_ssize_t n = self.n, finished
        net.rank = rank
        how.counters += 3 * rank
        data.order = <const int64_t *>memory("order", order).start
        if data.order != NULL:
            n = order.shape[1]
        body = run_train
        hide(&body)
        with nogil:
            net.outside = flush()
            finished = body(
                &net, &data, n, epochs, self.batch_size, &how, <const double *>of_steps.start,
                of_steps.bytes > <Py_ssize_t>sizeof(double), self.sklearn_penalties, self.seed,
                self.transposed, self.gradient, <double *>of_epochs.start, line, self.stop,
            )
            set_control(net.outside)
        return finished

    def update(self, double rate, double total=1.0):
        self.register()
        cdef Net net = self.net
        cdef Stepping how = self.how
        body = run_update
        hide(&body)
        with nogil:
            net.outside = flush()
            body(&net, &how, rate, self.sklearn_penalties, total, self.transposed, self.gradient)
            set_control(net.outside)


def job(
    model, data, *, Py_ssize_t batch_size, Py_ssize_t optimizer, hyper, layer_rules,
    bint sklearn_penalties, double clip_norm, squares, double decay, average, signs,
    int64_t seed, counters, state, Py_ssize_t block, workspace, transposed, gradient, sums, stop,
    shared
):
    cdef Job made = Job.__new__(Job)
    made.arrays = {
        b"plan": model.plan, b"parameters": model.parameters, b"hyper": hyper,
        b"layer_rules": layer_rules, b"squares": squares, b"average": average,
        b"signs": signs, b"counters": counters, b"state": state, b"workspace": workspace,
        b"transposed": transposed, b"gradient": gradient, b"sums": sums, b"stop": stop,
        b"shared": shared,
    }
    made.net = net_of(model, block, workspace)
    cdef Array of_threads = memory("counters", counters)
    form_team(&made.net, shared, counters.shape[0], sums, workspace)
    cdef Array slots = memory("state", state)
    cdef Py_ssize_t slot = memory("parameters", model.parameters).bytes
    # An optimiser with fewer slots does not look at the others.
    cdef real *first_state = <real *>slots.start if slots.start != NULL else made.net.parameters
    cdef real *second_state = first_state
    if slots.bytes > slot:
        second_state = <real *>(<char *>slots.start + slot)
    made.how = Stepping(
        optimizer, <const double *>memory("hyper", hyper).start,
        <double *>of_threads.start, Pace(0.0, 0.0, 0.0), first_state, second_state,
        <const double *>memory("layer_rules", layer_rules).start, 1.0,
        clip_norm, <double *>memory("squares", squares).start,
        decay, <real *>memory("average", average).start, 0.0,
        <const real *>memory("signs", signs).start,
    )
    made.batch_size, made.sklearn_penalties, made.seed = batch_size, sklearn_penalties, seed
    made.transposed = <real *>memory("transposed", transposed).start
    made.gradient = <real *>memory("gradient", gradient).start
    made.stop = <const int64_t *>memory("stop", stop).start
    made.take(data)
    return made
