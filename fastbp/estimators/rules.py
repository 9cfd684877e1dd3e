"""The estimators' training by epochs: samples held out, records, and when it ends.

The order of checks, draws and notes is scikit-learn's, see base.py.
"""

import math
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from ..basis import checks, interrupts
from ..training import control as control_
from ..training import loop, scale
from ..training.callbacks import Callback
from ..training.control import LearningRates
from ..training.history import History
from ..training.run import Training
from .privates import PrivateMethods, warn
from .samples import EstimatorRows
from .stepping import Stepping

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may"
    " contain large values and need to be preprocessed."
)
# Parameters for a training that has an end.
NOT_FOR_PARTIAL_FIT = ("early_stopping", "average", "schedule", "callbacks", "progress")


class StochasticTraining(PrivateMethods):
    """The part of `MultilayerPerceptron` that is for the solvers "sgd" and "adam"."""

    # Either None or a number, list or array, by early stopping.
    best_loss_: Any
    t_: int
    validation_scores_: Any
    best_validation_score_: Any
    loss_: Any
    coefs_: Any
    intercepts_: Any
    _extras: Any
    _best_extras: Any
    _held: Any
    _best_coefs: Any
    _best_intercepts: Any

    def _train_by_epochs(self, network, samples, validation, incremental, tasks, attempt):
        """Train on `samples`; early stopping scores `validation`, or samples it holds out.

        The attempt is accepted when all arguments are checked.
        """
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = self._stepping(network)
        if not isinstance(self._optimizer, Stepping):
            raise TypeError(
                "_optimizer must be the one that fit or partial_fit has made, whose attributes may "
                f"be set, got a {type(self._optimizer).__name__}; to start anew, delete it"
            )
        self._optimizer.check(network.layout)
        for name in NOT_FOR_PARTIAL_FIT if incremental else ():
            value = getattr(self, name)
            if value:
                raise ValueError(f"partial_fit does not support {name}={value}")
        if self.schedule is not None and self.learning_rate != "constant":
            raise ValueError(
                "schedule says how the learning rate changes, so that learning_rate must be "
                f"'constant', but is {self.learning_rate!r}"
            )
        control = control_.control(
            network,
            epochs=self.max_iter,
            optimizer=self._optimizer.optimizer,
            schedule=self.schedule,
            callbacks=self.callbacks,
            progress=self.progress,
            recorded=["validation_score"] if self.early_stopping else [],
        )
        if not self._has_records():
            self._begin_records()  # a warm start after another solver, or without early stopping
        shown: tuple = None, None, None
        if self.early_stopping:
            if validation is None:
                samples, validation = self._hold_out(samples)
            shown = self._shown(network, validation)
            self._try_scorer(*shown)
        source = EstimatorRows(
            self._to_train(network, samples),
            self._optimizer,
            self._batch_rows(len(samples)),
            self._random_state if self.shuffle else None,
            tasks,
        )
        engine, regularizers = network._engine, self._regularizers(network)
        threads = None if self.threads is None else checks.threads(self.threads)
        data = source.data(engine.layout.dtype)
        training = Training(
            engine,
            data,
            self._optimizer,
            source.batch_size,
            regularizers,
            engine.team_size(threads, source.batch_size, X=data.X),
            memory=self._optimizer.memory,
            seed=int(self._random_state.randint(2**63, dtype=np.int64))
            if regularizers.dropout
            else 0,
        )
        history = History(scores={name: [] for name in control.scores})
        rates = LearningRates(control, source.steps * self.max_iter, training.hyper[:1])
        # A schedule that depends on the number of all steps is planned for max_iter epochs.
        planned = control.schedule is not None and control.schedule.total_needed
        control.epoch_rules = EpochRules(self, len(samples), shown, not (incremental or planned))
        control.callbacks = [control.epoch_rules, *control.callbacks]
        if tasks.active:
            control.callbacks.append(EpochTasks(tasks))
        control.epochs = 1 if incremental else self.max_iter
        self.n_iter_ = 0
        attempt.accept()
        loop.run(network, training, source, control, rates, history)
        if history.interrupted:
            warn("Training interrupted by user.")
        if self.early_stopping:
            if self._best_coefs is not self.coefs_:
                self._held = None  # the best coefficients' network is made when it is needed
            # As in scikit-learn, both names now mean the same lists; a warm start changes them.
            self.coefs_, self.intercepts_ = self._best_coefs, self._best_intercepts
            self._extras = self._best_extras
        elif history.loss and not math.isfinite(history.loss[-1]):  # Ctrl-C may come before any
            raise ValueError(NOT_FINITE)
        elif not incremental and history.loss and history.loss[-1] > scale.LARGE:
            loss = engine.loss_name, engine.loss_parameter, history.loss[-1]
            several = isinstance(engine.loss_parameter, tuple)  # quantiles
            remedy = scale.BY_HAND if several else "set normalize_y=True"
            if text := scale.advice(*loss, samples.X, samples.targets, remedy):
                warn(text)

    def _to_train(self, network, samples):
        """Return samples with targets as the network learns them."""
        return samples.smooth(network, self._smoothing())

    def _smoothing(self):
        return getattr(self, "label_smoothing", 0.0)  # a regressor has none

    def _has_records(self):
        """Whether an earlier fit has left curves to continue and best values to compare with."""
        names = ["loss_curve_", "_no_improvement_count"]
        if self.early_stopping:
            names += ["validation_scores_", "best_validation_score_", "_best_coefs"]
        else:
            names += ["best_loss_"]
        return all(getattr(self, name, None) is not None for name in names)

    def _begin_records(self):
        """Empty curves, and nothing reached so far."""
        self.loss_curve_ = []
        self._no_improvement_count = 0
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else np.inf
        if self.early_stopping:
            self._keep_best()

    def _keep_best(self):
        self._best_coefs = [W.copy() for W in self.coefs_]
        self._best_intercepts = [b.copy() for b in self.intercepts_]
        self._best_extras = self._extras and [array.copy() for array in self._extras]

    def _batch_rows(self, n):
        """The batch size for n samples."""
        if self.batch_size == "auto":
            return min(200, n)
        if self.batch_size > n:
            warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
            )
        return min(self.batch_size, n)

    def _hold_out(self, samples):
        """Split the samples into some to train on and some to hold out."""
        train, held_out = train_test_split(
            np.arange(len(samples)),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=self._strata(samples),
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' "
                "or the size of your dataset."
            )
        return samples.take(train), samples.take(held_out)

    def _shown(self, network, validation):
        """Validation samples as (X, y, weights) for early stopping."""
        validation = validation.with_weight()
        X = validation.X
        if not validation.sparse:
            X = np.require(X, network.layout.dtype, ["C", "A"])
        return X, self._truth(validation), validation.weight

    def _validation_score(self, X, y, sample_weight):
        """The score of checked samples, for early stopping."""
        if not math.isfinite(self.loss_):
            return math.nan
        if self.scoring is None:
            return self._score(X, y, sample_weight=sample_weight)
        return self._score_by_scorer(X, y, sample_weight)

    def _score_by_scorer(self, X, y, sample_weight):
        weight = {} if sample_weight is None else {"sample_weight": sample_weight}
        score = check_scoring(self, self.scoring)(self._shown_to_scorer(), X, y, **weight)
        return checks.number("a score", score)

    def _try_scorer(self, X, y, sample_weight):
        """Let an error of the scorer come before the training, such as classes for a regressor.

        Only scikit-learn's own scorers are called once more; others may count their calls.
        """
        if isinstance(self.scoring, str):
            with warnings.catch_warnings(), interrupts.released():
                warnings.simplefilter("ignore")
                try:
                    self._score_by_scorer(X, y, sample_weight)
                except (AttributeError, ValueError) as error:
                    error.add_note(
                        f"scoring={self.scoring!r} cannot score an {type(self).__name__}"
                    )
                    raise

    def _shown_to_scorer(self):
        """Return the estimator as it is now, its coefficients shared, for X without names."""
        shown = object.__new__(type(self))
        shown.__dict__.update(self.__dict__)
        shown.__dict__.pop("feature_names_in_", None)
        return shown

    def _note(self, history, n_samples, shown):
        """Record an epoch; return whether it is the last one.

        If an exception interrupts the scoring, nothing of the epoch is recorded.
        """
        before = getattr(self, "loss_", None), self.n_iter_, self.t_
        noted = len(self.loss_curve_), len(self.validation_scores_) if self.early_stopping else 0
        self.loss_ = np.float64(history.loss[-1])
        self.n_iter_ += 1
        self.t_ += n_samples
        try:
            return self._ends(history, shown)
        except BaseException:
            if self.early_stopping and len(self.validation_scores_) == noted[1]:
                self.loss_, self.n_iter_, self.t_ = before
                del self.loss_curve_[noted[0] :]
            raise

    def _ends(self, history, shown):
        """Update the records by an epoch; return whether it is the last one."""
        self.loss_curve_.append(self.loss_)
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
        diverged = not math.isfinite(self.loss_)
        early = self.early_stopping
        self._update_no_improvement_count(early, *shown)
        if early:
            history.scores["validation_score"].extend(self.validation_scores_[-1:])
        if diverged:
            if early:
                warn(
                    f"Training diverged in iteration {self.n_iter_}; the coefficients with the "
                    "best validation score so far are kept.",
                    ConvergenceWarning,
                )
            return True
        self._optimizer.iteration_ends(self.t_)
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        what = "Validation score" if early else "Training loss"
        ends = self._optimizer.trigger_stopping(
            f"{what} did not improve more than tol={self.tol:f} "
            f"for {self.n_iter_no_change} consecutive epochs.",
            self.verbose,
        )
        if not ends:
            self._no_improvement_count = 0
        return bool(ends)

    def _update_no_improvement_count(self, early_stopping, X, y, sample_weight):
        """Take note of the epoch's loss, or of the score of the samples that are held out."""
        if not early_stopping:
            worse = self.loss_curve_[-1] > self.best_loss_ - self.tol
            self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
            self.best_loss_ = min(self.best_loss_, self.loss_curve_[-1])
            return
        with interrupts.released():
            score = self._validation_score(X, y, sample_weight)
        self.validation_scores_.append(score)
        if self.verbose:
            print(f"Validation score: {score:f}")
        worse = score < self.best_validation_score_ + self.tol
        self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
        if score > self.best_validation_score_:
            self.best_validation_score_ = score
            self._keep_best()


class EpochRules(Callback):
    """scikit-learn's rules of when a fit ends, as the first callback of the training loop.

    Parameters
    ----------
    estimator : StochasticTraining
    n_samples : int
    shown : tuple
        The samples that early stopping scores: X, y and weights.
    warns : bool
        Whether to warn if the training has not converged after `max_iter` epochs.
    """

    def __init__(self, estimator, n_samples, shown, warns):
        self._estimator, self._n_samples, self._shown = estimator, n_samples, shown
        self._warns = warns

    @property
    def finished_epochs(self):
        """The number of epochs that are recorded."""
        return self._estimator.n_iter_

    def epoch(self, network, history):
        return self._estimator._note(history, self._n_samples, self._shown)

    def epochs_used_up(self):
        """Warn, before the callbacks' `end`, that the training has not converged."""
        if self._warns:
            warn(
                f"Stochastic Optimizer: Maximum iterations ({self._estimator.max_iter}) "
                "reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
            )


class EpochTasks(Callback):
    """Tells scikit-learn's callbacks of the end of each epoch.

    Parameters
    ----------
    tasks : Tasks
    """

    def __init__(self, tasks):
        self._tasks = tasks

    def epoch(self, network, history):
        with interrupts.released():
            return bool(self._tasks.end_epoch())
