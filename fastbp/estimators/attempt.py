"""An attempt at a fit, which changes nothing if the fit is refused."""


class Attempt:
    """A context that restores an estimator's attributes if an error comes before `accept`.

    scikit-learn's order of checks and draws makes new coefficients before all arguments are
    checked. Without this, a fit that is refused would leave them in place of the old ones.
    """

    def __init__(self, estimator):
        self._estimator, self._before, self._accepted = estimator, dict(vars(estimator)), False

    def accept(self):
        """Keep the changes from now on, whatever happens: the training begins."""
        self._accepted = True

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is not None and not self._accepted:
            vars(self._estimator).clear()
            vars(self._estimator).update(self._before)
