"""Trains many networks at once, each in one thread."""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from ..basis import checks, interrupts, teams
from ..basis import progress as progress_
from ..basis.data import Data
from ..basis.names import unknown_argument
from ..basis.sparse import SparseRows
from ..engine.work import flops_per_row
from ..network.network import Network, check_network
from ..rules.regularizers import Regularizers, regularizers_of
from ..training import checkpoint, derivatives, fitting, sources
from ..training import control as control_
from ..training.history import History

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from ..basis.annotations import Matrix, StrPath
    from ..training.options import List, ManyOptions

OF_DATA = ("sample_weight", "class_weight", "label_smoothing")
# Options of `Network.fit` that fit_many does not accept as **options, or declares itself.
NOT_TAKEN = ("self", "X", "y", "threads", "progress")


class SomeFailed(ExceptionGroup[Exception]):  # noqa: N818 - like TrainingDiverged, no "Error"
    """Raised if the training of some networks failed, after all others were trained.

    As in any ``ExceptionGroup``, ``exceptions`` are the errors, in the order of the networks.

    Attributes
    ----------
    indices : list of int
        Indices of the failed networks.
    histories : list of History
        The histories of all networks; a failed network's history ends at its failure.
    """

    indices: list[int]
    histories: list[History]

    def __new__(cls, failures: Mapping[int, Exception], histories: list[History]) -> Self:
        n, (first, error) = len(failures), next(iter(failures.items()))
        text = f"{n} of {len(histories)} networks failed, network {first} first: {error}"
        self = super().__new__(cls, text, list(failures.values()))
        self.indices, self.histories = list(failures), histories
        return self

    def __init__(self, failures: Mapping[int, Exception], histories: list[History]) -> None:
        super().__init__(self.message, self.exceptions)

    def derive(  # type: ignore[override]
        self, exceptions: Sequence[Exception]
    ) -> SomeFailed:
        """Return a group of some of the failures and all histories, for ``except*``.

        Parameters
        ----------
        exceptions : sequence of Exception
            Some of this group's exceptions, or parts of them if they are groups.

        Returns
        -------
        SomeFailed

        Examples
        --------
        >>> import fastbp
        >>> history = fastbp.History()
        >>> failed = fastbp.SomeFailed({0: ValueError("a"), 2: TypeError("b")}, [history] * 3)
        >>> failed.derive([failed.exceptions[1]]).indices
        [2]
        """
        failures, left = {}, list(exceptions)
        for i, error in zip(self.indices, self.exceptions, strict=True):
            own = {id(leaf) for leaf in _leaves(error)}  # exceptions may define equality
            for k, part in enumerate(left):
                if own.issuperset(map(id, _leaves(part))):
                    failures[i] = left.pop(k)
                    break
        if left:
            raise ValueError(f"{left[0]!r} is none of the exceptions of this group")
        return type(self)(failures, self.histories)

    def __reduce__(self):  # BaseException's would pass only the message
        failures = dict(zip(self.indices, self.exceptions, strict=True))
        return type(self), (failures, self.histories), vars(self)


def _leaves(error):
    """Return the exceptions in a group at any depth; for another exception, a list of it."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for each in error.exceptions for leaf in _leaves(each)]


@dataclass
class Job:
    """A network and the checked arguments of its training."""

    network: Network
    samples: sources.Rows
    control: control_.Control
    regularizers: Regularizers
    resume_from: StrPath | None

    @property
    def work(self):
        """Number of operations of the training, up to a constant factor."""
        of_row = flops_per_row(self.network.layout, self.samples.data.X)
        return of_row * self.samples.n * self.control.epochs


def fit_many(
    networks: Iterable[Network],
    X: Matrix,
    y: ArrayLike,
    *,
    rows: List[ArrayLike | None] | None = None,
    threads: int | None = None,
    progress: bool = False,
    client: Any = None,
    **options: Unpack[ManyOptions],
) -> list[History]:
    """Train many networks at the same time, with the same bits as `Network.fit` on each.

    Each network is trained in one thread. The compiled kernels run in parallel, so many small
    networks keep all cores busy; the steps of a single small network could not. X is stored once
    for each dtype in use. Besides the networks' parameters, each thread needs memory only for the
    network that it trains.

    Parameters
    ----------
    networks : sequence of Network
        The networks; they are changed in place. They may differ in everything but the data.
    X : {array-like, sparse matrix} of shape (n_samples, n_0)
    y : array-like of shape (n_samples,) or (n_samples, n_m)
    rows : list of array-like, optional
        For each network the indices of the samples to train on, or a boolean mask; None for all
        samples. Indices may occur more than once (a bootstrap). The result is that of
        ``fit(X[rows], y[rows])``.
    threads : int, optional
        Number of threads; by default one for each free core. The result does not depend on it.
    progress : bool, default=False
        Show a progress bar over the networks.
    client : distributed.Client, optional
        Train on the workers of this Dask cluster, each task in one thread. X, y and all other
        shared arguments are sent to each worker once. Cannot be combined with callbacks or
        resume_from.
    **options
        All other options of `Network.fit`: optimizer, schedule, epochs, batch_size, sample_weight,
        validation_data, patience and so on. A list has one value for each network. Any other
        value applies to all networks; so numbers by layer must be a tuple, as in ``l2=(0, 0.1)``.
        Callbacks may keep state, so they are always a list with one list for each network.

    Returns
    -------
    list of History
        In the order of the networks. After Ctrl-C, there is a warning, and the histories of
        networks whose training did not end are marked as `interrupted`.

    Raises
    ------
    TypeError, ValueError
        For bad arguments; the message names the network. All networks are unchanged.
    SomeFailed
        If the training of some networks failed, because it diverged or a checkpoint did not
        match. All other networks are trained first.

    Examples
    --------
    Four seeds at once:

    >>> import numpy as np, fastbp
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> networks = [
    ...     fastbp.Network([1, 8, 1], activation="tanh", loss="squared_error", seed=seed)
    ...     for seed in range(4)
    ... ]
    >>> histories = fastbp.fit_many(
    ...     networks, X, X**2, epochs=[10, 10, 20, 20], optimizer=fastbp.Adam(0.01)
    ... )
    >>> [len(history.loss) for history in histories]
    [10, 10, 20, 20]
    """
    networks = _checked_networks(networks)
    threads = teams.available() if threads is None else checks.threads(threads)
    checks.flag("progress", progress)
    jobs = _jobs(networks, X, y, rows, **options)
    if client is None:
        histories, failures = _train(jobs, threads, progress)
    else:
        histories, failures = _train_on(client, networks, X, y, rows, options, jobs, progress)
    left = sum(history.interrupted for history in histories)
    if left:
        warnings.warn(
            f"training interrupted; {left} of {len(jobs)} networks are not trained to the end",
            RuntimeWarning,
            stacklevel=2,
        )
    if failures:
        for i, error in failures.items():
            error.add_note(f"in network {i}")
        raise SomeFailed(dict(sorted(failures.items())), histories)
    return histories


def _train(jobs, threads, progress):
    """Run all jobs in threads; return the histories, and the errors by the job's index."""
    histories = [_no_history(job, True) for job in jobs]
    failures: dict = {}
    stop = np.zeros(1, np.int64)
    raised: list = []  # indices of networks whose training raised SystemExit or the like

    def train(i):
        job = jobs[i]
        if stop[0]:
            return
        try:
            histories[i] = fitting.fit(
                job.network,
                job.samples,
                job.control,
                job.regularizers,
                1,
                stop,
                job.resume_from,
            )
        except Exception as error:
            histories[i] = getattr(error, "history", _no_history(job))
            failures[i] = error
        except BaseException:
            stop[0] = 1
            raised.append(i)
            raise

    # Begin with the longest, so that no long job is started last, while other threads are idle.
    order = sorted(range(len(jobs)), key=lambda i: -jobs[i].work)
    with progress_.bar(progress, total=len(jobs), unit="network") as bar:
        calls = [lambda i=i: train(i) for i in order]
        try:
            with interrupts.held(stop):
                interrupts.in_thread(
                    lambda: teams.share(calls, min(threads, len(jobs)), bar.update)
                )
        except KeyboardInterrupt:
            stop[0] = 1
        except BaseException as error:
            error.add_note(_left(histories, failures, raised))
            raise
    return histories, failures


def _left(histories, failures, raised):
    """Return a text on each network's state, after an exception has ended all trainings."""
    whole = [i for i, h in enumerate(histories) if not (h.interrupted or i in failures)]
    rest = [i for i in range(len(histories)) if i not in (*whole, *failures)]
    told = [("raised in", raised[:1]), ("trained to the end", whole), ("failed", list(failures))]
    told.append(("not trained to the end", rest))
    return "fit_many: " + "; ".join(
        f"{what}: networks {', '.join(map(str, numbers))}" for what, numbers in told if numbers
    )


def _no_history(job, interrupted=False):
    """Return the empty History of a job that has not begun."""
    return job.control.history(interrupted=interrupted)


def _train_on(client, networks, X, y, rows, options, jobs, progress):
    """Run all jobs on the workers of a Dask cluster; return the same as `_train`."""
    from . import on_dask as many_on_dask

    if options.get("callbacks"):
        raise ValueError(
            "workers of a cluster cannot call callbacks; pass either callbacks or client"
        )
    if options.get("resume_from") is not None:
        raise ValueError(
            "workers of a cluster do not read checkpoints; pass either resume_from or client"
        )
    options = {"rows": rows, **options}
    own = {name: value for name, value in options.items() if isinstance(value, list)}
    shared = X, y, {name: value for name, value in options.items() if name not in own}
    works = [job.work for job in jobs]
    known, failures = many_on_dask.run(client, _fit_chunk, shared, networks, own, works, progress)
    histories = [known.get(i) or _no_history(job, True) for i, job in enumerate(jobs)]
    return histories, failures


def _fit_chunk(networks, shared, own):
    """Train a chunk of networks; this runs on a worker."""
    X, y, options = shared
    return _train(_jobs(networks, X, y, **options, **own), threads=1, progress=False)


def _checked_networks(networks):
    try:
        networks = list(networks)
    except TypeError:
        raise TypeError(f"networks must be a list of networks, got {networks!r}") from None
    if not networks:
        raise ValueError("networks is empty; at least one is needed")
    seen: dict = {}
    for i, network in enumerate(networks):
        check_network(f"networks[{i}]", network)
        if seen.setdefault(id(network), i) != i:
            raise ValueError(
                f"networks[{seen[id(network)]}] and networks[{i}] are the same object; pass a "
                "copy.deepcopy, or one with another seed"
            )
    return networks


def _jobs(networks, X, y, rows, **options):
    """Check all arguments; return a Job for each network."""
    known = inspect.signature(Network.fit).parameters.keys() - {*NOT_TAKEN}
    for name in options.keys() - known:
        raise unknown_argument("fit_many", name, sorted(known))
    options = {"rows": rows, **options}
    if not isinstance(options.get("callbacks", []), list):
        raise TypeError(
            "callbacks must be a list with one list of callbacks for each network, since they "
            f"keep state; got {options['callbacks']!r}"
        )
    for name, value in options.items():
        if isinstance(value, list) and len(value) != len(networks):
            raise ValueError(
                f"{name} is a list of {len(value)}, but there are {len(networks)} networks; a "
                "list must have one entry for each network (pass a tuple for several numbers "
                "that apply to all networks)"
            )
    _check_unshared(options.get("callbacks", []))
    datasets = Datasets(X, y, networks)
    jobs = []
    for i, network in enumerate(networks):
        own = {
            name: value[i] if isinstance(value, list) else value for name, value in options.items()
        }
        try:
            jobs.append(_job(network, datasets, **own))
        except (TypeError, ValueError) as error:
            raise type(error)(f"network {i}: {error}") from error
    checkpoint.refuse_shared_folders(each for job in jobs for each in job.control.callbacks)
    return jobs


def _check_unshared(callbacks):
    """Raise ValueError if several networks share a callback."""
    seen: dict = {}
    for i, of_network in enumerate(callbacks):
        for j, callback in enumerate(of_network if isinstance(of_network, (list, tuple)) else ()):
            place = f"callbacks[{i}][{j}]"
            if seen.setdefault(id(callback), place) != place:
                raise ValueError(
                    f"{seen[id(callback)]} and {place} are the same object, but callbacks keep "
                    "state; give each network its own, as in "
                    "callbacks=[[fastbp.EarlyStopping(3)] for _ in networks]"
                )


def _job(
    network,
    datasets,
    *,
    rows,
    epochs=20,
    batch_size=32,
    shuffle=True,
    validation_data=None,
    resume_from=None,
    dy=None,
    derivative_weight=1.0,
    **options,
):
    network._engine.check_finite()
    if resume_from is not None:
        checks.path("resume_from", resume_from)
    of_data = {name: options.pop(name) for name in OF_DATA if name in options}
    data, rows = datasets.training(network, rows, **of_data)
    dy = datasets.derivatives(network, dy, len(data.X))
    samples = derivatives.source(data, dy, derivative_weight, batch_size, shuffle, rows)
    regularizers = regularizers_of(len(network.weights), **control_.pop_regularizers(options))
    validation = datasets.validation(network, validation_data)
    return Job(
        network,
        samples,
        control_.control(network, epochs=epochs, validation=validation, **options),
        regularizers,
        resume_from,
    )


class Datasets:
    """The samples in the networks' forms; each form is computed once and shared.

    Arguments are distinguished by identity, since users' objects may define hashing and equality.
    """

    def __init__(self, X, y, networks):
        self.X, self.y, self.networks = X, y, networks
        self._made: dict = {}

    def training(self, network, rows, sample_weight=None, class_weight=None, label_smoothing=0.0):
        """Return a network's training data, and its rows, checked."""
        X = self._once(
            _form(network),
            lambda: self._apart(network._engine.samples(self.X, may_be_sparse=True)),
        )
        if rows is not None:
            rows = checks.rows("rows", rows, len(X))
        data = self._once(
            (
                *_kind(network),
                id(sample_weight),
                id(class_weight),
                id(label_smoothing),
                id(rows) if isinstance(class_weight, str) else None,  # "balanced"
            ),
            lambda: self._all_apart(
                network._engine.data(
                    X,
                    self.y,
                    sample_weight,
                    class_weight=class_weight,
                    label_smoothing=label_smoothing,
                    rows=rows,
                    may_be_sparse=True,
                )
            ),
        )
        if rows is not None and data.sample_weight.size and not data.sample_weight[rows].any():
            raise ValueError("sample_weight is zero for all rows; at least one must be positive")
        return data, rows

    def validation(self, network, given):
        """Return a network's validation data, or None."""
        return self._once(
            (*_kind(network), id(given)),
            lambda: self._all_apart(sources.validation(network._engine, given)),
        )

    def derivatives(self, network, given, n):
        """Return a network's known derivatives, or None."""
        return self._once(
            (*_kind(network), id(given), "dy"),
            lambda: derivatives.known(network._engine, given, n),
        )

    def _apart(self, array):
        """Return the array, or a copy if it shares memory with a network to be trained."""
        for network in () if isinstance(array, SparseRows) else self.networks:
            array = network._engine.apart(array)
        return array

    def _all_apart(self, data):
        return data and Data(*map(self._apart, data))

    def _once(self, key, make) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def _kind(network):
    """Return a key: networks with equal keys share prepared data."""
    layout, engine = network.layout, network._engine
    loss = engine.loss if engine.heads else engine.loss_name
    return *_form(network), layout.n_targets, layout.sizes[-1], loss


def _form(network):
    """Return a key: networks with equal keys take the same samples."""
    layout = network.layout
    return layout.n_features, layout.inputs, layout.dtype
