"""Other libraries with the workloads, each in the way its own users would write it.

A peer is a function of (workload, X, y, threads) that returns (epoch, outputs): a function
that trains one epoch of mini-batches in a random order, and one that returns the network's
outputs for X (probabilities or values), NumPy in and out. Libraries that only predict have None in
the place of the epoch. All train with a learning rate of
1e-3; none shuffles where a batch is all the data.

Threads are set where a library has a switch for it; the process has to be pinned to as many
cores besides (`worker.py` does), and must not have imported the library before.
"""

import functools
import os

import numpy as np

LEARNING_RATE = 1e-3


def scikit_learn(workload, X, y, threads=1):
    """MLPClassifier / MLPRegressor; partial_fit is one epoch of mini-batches."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
    classify = workload.loss != "squared_error"
    settings = dict(
        hidden_layer_sizes=workload.layers[1:-1],
        activation=workload.activation,
        solver=workload.optimizer,
        momentum=0.0,
        alpha=0.0,
        batch_size=workload.batch,
        learning_rate_init=LEARNING_RATE,
        shuffle=workload.batch < len(X),
        random_state=0,
    )
    model = (MLPClassifier if classify else MLPRegressor)(**settings)
    labels = {"classes": np.arange(max(workload.layers[-1], 2))} if classify else {}
    model.partial_fit(X[: workload.batch], y[: workload.batch], **labels)

    def epoch():
        model.partial_fit(X, y)

    def outputs(X):
        if not classify:
            return model.predict(X)
        probabilities = model.predict_proba(X)
        return probabilities[:, 1:] if workload.loss == "log_loss" else probabilities

    return epoch, outputs


def pytorch(workload, X, y, threads=1):
    """Eager PyTorch with its fused Adam."""
    import torch

    model, criterion, output, inputs, targets = _torch_parts(workload, X, y, threads)
    optimizer = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[workload.optimizer]
    optimizer = optimizer(model.parameters(), lr=LEARNING_RATE, fused=True)

    def step(inputs, targets):
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()

    def outputs(X):
        with torch.inference_mode():
            return output(model(torch.from_numpy(X))).numpy()

    return lambda: _torch_epoch(step, inputs, targets, workload.batch), outputs


def torch_compile(workload, X, y, threads=1, dtype=None):
    """PyTorch with a whole step compiled as one graph: gradient and update, in place.

    Compiling forward pass and loss alone leaves the fixed cost of autograd and of the
    optimiser's call, and is two to four times as slow for small networks. With a `dtype`, the
    products are computed in that one (autocast).
    """
    import torch

    def computing():
        return torch.autocast("cpu", dtype and getattr(torch, dtype), enabled=dtype is not None)

    from torch.func import functional_call, grad

    model, criterion, output, inputs, targets = _torch_parts(workload, X, y, threads)
    # Else it takes the next workload's step for one more variant of this one, of which it
    # compiles eight.
    torch.compiler.reset()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    first = {name: torch.zeros_like(p) for name, p in parameters.items()}
    second = {name: torch.zeros_like(p) for name, p in parameters.items()}
    count = torch.zeros(1, dtype=inputs.dtype)  # a float64 without dimensions stays as it is

    def loss_of(parameters, inputs, targets):
        with computing():
            return criterion(functional_call(model, parameters, (inputs,)), targets)

    @torch.compile(dynamic=False)
    def step(inputs, targets):
        gradient = grad(loss_of)(parameters, inputs, targets)
        count.add_(1)
        rate = LEARNING_RATE * torch.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        for name, p in parameters.items():
            g, m, v = gradient[name], first[name], second[name]
            if workload.optimizer == "sgd":
                p.sub_(LEARNING_RATE * g)
            else:
                m.lerp_(g, 0.1)
                v.mul_(0.999).addcmul_(g, g, value=0.001)
                p.sub_(rate * m / (v.sqrt() + 1e-8))

    @torch.compile(dynamic=False)
    def predict(inputs):
        with computing():
            return output(functional_call(model, parameters, (inputs,))).to(inputs.dtype)

    def epoch():
        with torch.no_grad():
            _torch_epoch(step, inputs, targets, workload.batch)

    def outputs(X):
        with torch.inference_mode():
            return predict(torch.from_numpy(X)).numpy()

    return epoch, outputs


def _torch_parts(workload, X, y, threads):
    """What both ways of PyTorch share: (model, criterion, output function, inputs, targets)."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    activation = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[workload.activation]
    layers = []
    for n_in, n_out in zip(workload.layers, workload.layers[1:], strict=False):
        layers += [torch.nn.Linear(n_in, n_out), activation()]
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)
    if workload.loss == "log_loss":
        targets = targets[:, None]
    model = torch.nn.Sequential(*layers[:-1]).to(inputs.dtype)
    criterion, output = {
        "log_loss": (torch.nn.BCEWithLogitsLoss(), torch.sigmoid),
        "cross_entropy": (torch.nn.CrossEntropyLoss(), lambda s: torch.softmax(s, 1)),
        "squared_error": (torch.nn.MSELoss(), lambda s: s),
    }[workload.loss]
    return model, criterion, output, inputs, targets


def _torch_epoch(step, inputs, targets, batch):
    import torch

    if batch >= len(inputs):
        return step(inputs, targets)
    for rows in torch.randperm(len(inputs)).split(batch):
        step(inputs[rows], targets[rows])


def jax(workload, X, y, threads=1, models=None):
    """JAX with an epoch as one compiled call: a scan over shuffled batches.

    Of so many models, each with an order of its own, `vmap` makes one computation; outputs are
    those of the first one then.
    """
    # Both are read when JAX starts, which is why they stand here.
    if threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = flags
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import jax.numpy as jnp

    if X.dtype == np.float64:
        jax.config.update("jax_enable_x64", True)
    random = np.random.default_rng(0)
    activation = {"relu": jax.nn.relu, "tanh": jnp.tanh}[workload.activation]
    output = {
        "log_loss": jax.nn.sigmoid,
        "cross_entropy": jax.nn.softmax,
        "squared_error": lambda s: s,
    }[workload.loss]
    inputs, targets = jnp.asarray(X), jnp.asarray(y)
    all_models = () if models is None else (models,)

    def initial_weights(n_in, n_out):
        bound = np.sqrt(6 / n_in)
        weights = random.uniform(-bound, bound, (*all_models, n_in, n_out))
        bias = jnp.zeros((*all_models, n_out), X.dtype)
        return {"weights": jnp.asarray(weights, X.dtype), "bias": bias}

    def forward(parameters, x):
        *hidden, last = parameters
        for layer in hidden:
            x = activation(x @ layer["weights"] + layer["bias"])
        return x @ last["weights"] + last["bias"]

    def loss_of(parameters, x, y):
        s = forward(parameters, x)
        if workload.loss == "log_loss":
            return jnp.mean(jax.nn.softplus(s[:, 0]) - y * s[:, 0])
        if workload.loss == "cross_entropy":
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(s), y[:, None], axis=1))
        return jnp.mean((s - y) ** 2)

    def adam(parameters, gradient, first, second, count):
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        rate = LEARNING_RATE * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)

        def update(p, m, v):
            return p - rate * m / (jnp.sqrt(v) + 1e-8)

        return jax.tree.map(update, parameters, first, second), first, second

    def step(state, rows):
        parameters, first, second, count = state
        # A full batch needs no gathering.
        x, y = (inputs, targets) if rows is None else (inputs[rows], targets[rows])
        gradient = jax.grad(loss_of)(parameters, x, y)
        count += 1
        if workload.optimizer == "adam":
            parameters, first, second = adam(parameters, gradient, first, second, count)
        else:
            parameters = jax.tree.map(lambda p, g: p - LEARNING_RATE * g, parameters, gradient)
        return (parameters, first, second, count), None

    def train_one(state, order):
        return step(state, None)[0] if order is None else jax.lax.scan(step, state, order)[0]

    # Donating the state lets XLA update it in place.
    @functools.partial(jax.jit, donate_argnums=0)
    def train(state, order):
        return train_one(state, order) if models is None else jax.vmap(train_one)(state, order)

    @jax.jit
    def predict(parameters, x):
        return output(forward(parameters, x))

    def zeros():
        return jax.tree.map(jnp.zeros_like, parameters)

    sizes = zip(workload.layers, workload.layers[1:], strict=False)
    parameters = [initial_weights(n_in, n_out) for n_in, n_out in sizes]
    state = (parameters, zeros(), zeros(), jnp.zeros(all_models, X.dtype))
    whole = len(X) // workload.batch * workload.batch  # a scan's batches are all of one size

    def epoch():
        nonlocal state
        order = None
        if workload.batch < len(X):  # NumPy draws a permutation faster than XLA does
            rows = np.tile(np.arange(len(X), dtype=np.int32), (*all_models, 1))
            order = random.permuted(rows, axis=-1)[..., :whole]
            order = order.reshape(*all_models, -1, workload.batch)
        state = jax.block_until_ready(train(state, order))

    def outputs(X):
        first = state[0] if models is None else jax.tree.map(lambda p: p[0], state[0])
        return np.asarray(predict(first, X))

    return epoch, outputs


def _onnx_file(workload, X):
    """A network of that shape, with random weights, as the bytes of an ONNX file."""
    import tempfile
    from pathlib import Path

    import fastbp

    settings = dict(activation=workload.activation, loss=workload.loss, dtype=X.dtype, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "network.onnx")
        fastbp.Network(workload.layers, **settings).to_onnx(file)
        return file.read_bytes()


def onnxruntime(workload, X, y, threads=1):
    """A session on the CPU; it only predicts."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        _onnx_file(workload, X), options, providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    return None, lambda X: session.run(None, {given.name: X})[0]


def openvino(workload, X, y, threads=1):
    """A model compiled for latency, in float32; it only predicts."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(_onnx_file(workload, X)), "CPU", settings)
    request = request.create_infer_request()
    return None, lambda X: request.infer([X], share_inputs=True)[0]


# Name -> (function, package that has to be installed).
PEERS = {
    "scikit-learn": (scikit_learn, "sklearn"),
    "pytorch": (pytorch, "torch"),
    "torch.compile": (torch_compile, "torch"),
    "torch.compile bf16": (functools.partial(torch_compile, dtype="bfloat16"), "torch"),
    "jax": (jax, "jax"),
    "onnxruntime": (onnxruntime, "onnxruntime"),
    "openvino": (openvino, "openvino"),
}
PREDICT_ONLY = ("onnxruntime", "openvino")
