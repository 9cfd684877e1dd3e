"""How the estimators train epoch by epoch: what is held out, what is noted, when it ends.

The order of checks, draws and notes is scikit-learn's, see perceptron.py.
"""

import contextlib
import math
import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from . import fitting, solvers

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may"
    " contain large values and need to be preprocessed."
)
# Parameters for a training that has an end.
NOT_FOR_PARTIAL_FIT = ("early_stopping", "average", "schedule", "callbacks", "progress")


class StochasticTraining(BaseEstimator):
    """The part of `MultilayerPerceptron` that is for the solvers "sgd" and "adam"."""

    # Either None or a number, list or array, by early stopping.
    best_loss_: Any
    validation_scores_: Any
    best_validation_score_: Any
    _best: Any

    def _fit_stochastic(self, network, samples, validation, incremental, tasks):
        """Train on `samples`; early stopping looks at `validation`, or at some it holds out."""
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = self._stepping(network)
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
        control = fitting.control(
            network,
            epochs=self.max_iter,
            optimizer=self._optimizer.optimizer,
            schedule=self.schedule,
            callbacks=self.callbacks,
            progress=self.progress,
            recorded=["validation_score"] if self.early_stopping else [],
        )
        if not hasattr(self, "loss_curve_") or self.early_stopping != (self.best_loss_ is None):
            self._begin_records()  # a warm start after another solver, or without early stopping
        score = None
        if self.early_stopping:
            if validation is None:
                samples, validation = self._hold_out(samples)
            score = self._score_on(network, validation)
        n = len(samples)
        batch_size = self._batch_rows(n)
        rules = self._regularizers(network)
        epochs = solvers.Epochs(
            network,
            samples.smooth(network, self._smoothing()),
            self._optimizer,
            batch_size,
            rules,
            self.threads,
            int(self._random_state.randint(2**63, dtype=np.int64)) if rules.dropout else 0,
        )
        history, steps = epochs.history, -(-n // batch_size)
        history.scores = {name: [] for name in control.scores}
        planned = self.schedule is not None and self.schedule.total_needed  # for all of max_iter
        pace = fitting.Pace(control, steps * self.max_iter)
        order = np.arange(n) if self.shuffle else None
        self.n_iter_ = 0
        with contextlib.ExitStack() as ends:
            try:
                for callback in control.callbacks:
                    callback.begin(network, history)
                    ends.callback(callback.end, network, history)
                ends.callback(epochs.training.finish)
                for _ in range(self.max_iter):
                    tasks.begin_epoch()
                    if order is not None:
                        self._random_state.shuffle(order)  # what sklearn.utils.shuffle comes to
                    self.loss_ = epochs.run(order, pace.rates(steps, self.n_iter_))
                    history.learning_rate.extend(pace.latest.tolist())
                    self.n_iter_ += 1
                    self.t_ += n
                    ended = self._ends(network, epochs, score)
                    if math.isfinite(self.loss_):
                        with epochs.training.averaged_weights():
                            answers = [call.epoch(network, history) for call in control.callbacks]
                            answers.append(tasks.end_epoch())
                        ended = ended or any(answers)
                    if ended or incremental:
                        break
                    if self.n_iter_ == self.max_iter and not planned:
                        warnings.warn(
                            f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) "
                            "reached and the optimization hasn't converged yet.",
                            ConvergenceWarning,
                            stacklevel=2,
                        )
            except KeyboardInterrupt:
                warnings.warn("Training interrupted by user.", stacklevel=2)
        if self.early_stopping:
            if self._best is not None:
                network._parameters[...] = self._best
            # As in scikit-learn, where these are one with the coefficients from now on, and change
            # with them in a warm start.
            self._best = None
        elif history.loss and not math.isfinite(history.loss[-1]):  # Ctrl-C may come before any
            raise ValueError(NOT_FINITE)

    def _smoothing(self):
        return getattr(self, "label_smoothing", 0.0)  # a regressor has none

    def _begin_records(self):
        """Empty curves, and nothing reached so far."""
        self.loss_curve_ = []
        self._no_improvement_count = 0
        self._best = None
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else np.inf

    def _batch_rows(self, n):
        """The batch size for n samples."""
        if self.batch_size == "auto":
            return min(200, n)
        if self.batch_size > n:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than "
                "sample size. It is going to be clipped",
                stacklevel=2,
            )
        return min(self.batch_size, n)

    def _hold_out(self, samples):
        """The samples to train on, and those held out."""
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

    def _score_on(self, network, validation):
        """The score on those samples, as a function of nothing."""
        if self.best_validation_score_ == -np.inf:
            self._best = network._parameters.copy()
        validation = validation.with_weight()
        X = validation.X
        if not validation.sparse:
            X = np.require(X, network.layout.dtype, ["C", "A"])
        if self.scoring is None:
            score = self._scorer(validation)
            return lambda: score(solvers.outputs(network, X))
        scorer, y = check_scoring(self, self.scoring), self._truth(validation)
        weight = {} if validation.weight is None else {"sample_weight": validation.weight}
        # The estimator as it is at any time, its coefficients shared; X has no names any more.
        shown = object.__new__(type(self))
        shown.__dict__.update(self.__dict__)
        shown.__dict__.pop("feature_names_in_", None)
        return lambda: float(scorer(shown, X, y, **weight))

    def _ends(self, network, epochs, score):
        """Take note of an epoch; returns whether it is the last one."""
        self.loss_curve_.append(self.loss_)
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
        diverged = not math.isfinite(self.loss_)
        if score is None:
            self._note_loss()
        else:
            with epochs.training.averaged_weights():
                self._note_score(math.nan if diverged else score(), network)
            epochs.history.scores["validation_score"].append(self.validation_scores_[-1])
        if diverged:
            if score is not None:
                warnings.warn(
                    f"Training diverged in iteration {self.n_iter_}; the coefficients with the "
                    "best validation score so far are kept.",
                    ConvergenceWarning,
                    stacklevel=3,
                )
            return True
        self._optimizer.end_epoch(self.t_)
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        what = "Training loss" if score is None else "Validation score"
        ends = self._optimizer.stops(
            f"{what} did not improve more than tol={self.tol:f} "
            f"for {self.n_iter_no_change} consecutive epochs.",
            self.verbose,
        )
        if not ends:
            self._no_improvement_count = 0
        return ends

    def _note_loss(self):
        loss = self.loss_
        worse = loss > self.best_loss_ - self.tol
        self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
        self.best_loss_ = min(self.best_loss_, loss)

    def _note_score(self, score, network):
        self.validation_scores_.append(score)
        if self.verbose:
            print(f"Validation score: {score:f}")
        worse = score < self.best_validation_score_ + self.tol
        self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
        if score > self.best_validation_score_:
            self.best_validation_score_ = score
            self._best = network._parameters.copy()
