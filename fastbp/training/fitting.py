"""A call of `Network.fit` or `fit_batches`, from checked arguments to its history."""

import warnings

from ..basis import checks, inputs
from ..rules.regularizers import SWA
from . import checkpoint, loop, scale
from .control import LearningRates
from .derivatives import RowsByGradient
from .run import Training
from .sources import Rows


def fit(network, samples, control, regularizers, threads, stop=None, resume_from=None):
    """Train. Checks here only what concerns several of the arguments together.

    Parameters
    ----------
    network : Network
    samples : Rows or Blocks
    control : Control
    regularizers : Regularizers
    threads : int or None
    stop : int64 array of shape (1,), optional
        Ends the training, without a warning, once it is not zero.
    resume_from : str, path or None, default=None
        A checkpoint to resume from.

    Returns
    -------
    History
    """
    optimizer, schedule = control.optimizer, control.schedule
    if optimizer.full_batch_only and not samples.full_batch:
        raise ValueError(
            f"{type(optimizer).__name__} works on the full batch only; pass batch_size=None"
        )
    average = regularizers.average
    if isinstance(average, SWA) and average.start > control.epochs:
        raise ValueError(
            f"{average} averages from epoch {average.start} on, but there are {control.epochs}"
        )
    if regularizers.dropout and isinstance(samples, RowsByGradient):
        raise ValueError(
            "dropout cannot be combined with training on derivatives, which are those of the whole "
            f"network; pass dropout=0, got {regularizers.dropout}"
        )
    total = samples.steps and samples.steps * control.epochs
    if schedule is not None and schedule.total_needed and total is None:
        raise ValueError(
            f"{type(schedule).__name__} has to know how many steps there will be; pass "
            "steps_per_epoch"
        )
    if threads is not None:
        threads = checks.threads(threads)
    engine = network._engine
    X = samples.data and samples.data.X
    threads = engine.team_size(threads, samples.batch_size, total, X)
    if isinstance(samples, RowsByGradient):
        threads = 1  # of the optimiser's steps; the gradients have their own
    checkpoints = control.checkpoints
    if checkpoints and not isinstance(samples, Rows):
        raise ValueError("Checkpoint is for Network.fit and fit_many, whose samples are in memory")
    checkpoint.refuse_shared_folders(checkpoints)
    arguments = saved = None
    if checkpoints or resume_from is not None:
        arguments = checkpoint.arguments(network, samples, control, regularizers, total)
    if resume_from is not None:
        saved = checkpoint.read(resume_from, arguments)
        seed = saved.seed
    else:
        seed = int(engine.random.integers(2**63)) if regularizers.dropout else 0
    training = Training(
        engine,
        samples.data,
        optimizer,
        samples.batch_size,
        regularizers,
        threads,
        seed=seed,
        stop=stop,
    )
    history = control.history()
    rates = LearningRates(control, total, training.hyper[:1])
    state = checkpoint.State(network, control, arguments, training, rates, history, resume_from)
    loop.run(network, training, samples, control, rates, history, state, saved)
    if history.interrupted and stop is None:
        warnings.warn(
            f"training interrupted after {len(history.loss)} of {control.epochs} epochs",
            RuntimeWarning,
            stacklevel=4,  # past Network.fit and its decorator
        )
    loop.check_finite(engine, history)
    if isinstance(samples, Rows) and history.loss and history.loss[-1] > scale.LARGE:
        data = samples.data if samples.rows is None else samples.data.rows(samples.rows)
        X = inputs.numbers_of(data.X, engine.layout)
        if engine.heads:
            text = scale.advice_of_heads(engine.heads, engine.outputs(data.X), X, data.targets)
        else:
            pure = engine.mean_loss(data.with_weight())  # without penalties
            given = engine.loss_name, engine.loss_parameter, pure, X, data.targets
            text = scale.advice(*given)
        if text:
            warnings.warn(text, UserWarning, stacklevel=4)
    return history
