"""Says in words how good a model is, and what to try."""

import numpy as np

from .problems import predict

# The improvement on the baseline must be this multiple of its standard error (95 %, one-sided).
SURE = 1.645
# Targets whose skewness is larger, and at least halved by the logarithm, are worth --log-target.
SKEWED = 2.0
# Learning rates up to this one rarely are the reason for a bad model.
USUAL_RATE = 0.05


def sentences(model, rows, dummy, problem, trained, options):
    """Return the verdict on a model.

    Parameters
    ----------
    model : fitted estimator
    rows : Judged
    dummy : DummyClassifier or DummyRegressor
        The baseline.
    problem : Problem
    trained : Trained
    options : namespace
        Options of the command `train`.

    Returns
    -------
    list of str
    """
    judged, X, y = rows
    if problem.task == "classification":
        good, text = _of_classes(model, X, y, dummy, judged)
    else:
        good, text = _of_numbers(model, X, y, options.log_target, judged)
    found = [text]
    if judged == "training":
        found.append("no rows were held out, so nothing is known about new rows")
    if not good and options.learning_rate > USUAL_RATE:
        what = (
            "is too large: the training diverged" if _diverged(trained, y) else "may be too large"
        )
        found.append(f"--learning-rate {options.learning_rate:g} {what}; try 0.001")
    elif not good:
        found.append("these columns may say nothing about the target, or the rows may be too few")
    if problem.task == "regression" and not options.log_target and _is_skewed(problem.y):
        found.append("the target is skewed, with a few very large values: try --log-target")
    return found


def _of_classes(model, X, y, dummy, judged):
    features = np.zeros((len(y), 1))
    wrong, wrong_before = model.predict(X) != y, dummy.predict(features) != y
    gain = _surprise(dummy, features, y) - _surprise(model, X, y)
    rates = f"wrong in {wrong.mean():.1%} of the {judged} rows, the most frequent class in "
    rates += f"{wrong_before.mean():.1%}"
    only = np.unique(model.predict(X))
    if len(only) == 1 and len(np.unique(y)) > 1:
        rates += f"; {str(only[0])!r} is predicted for every row"
    better, surer = _clearly(wrong_before * 1.0 - wrong), _clearly(gain)
    if better and gain.mean() < 0:
        return True, f"better than the baseline ({rates}), but its probabilities are overconfident"
    if better:
        return True, f"better than the baseline: {rates}"
    if surer:
        return True, (
            f"its probabilities are better than the baseline's, but not its classes: {rates}"
        )
    return False, _not_better(wrong.sum() < wrong_before.sum() or gain.mean() > 0, rates)


def _of_numbers(model, X, y, log_target, judged):
    scale = np.log if log_target else np.asarray
    errors = scale(y) - scale(predict(model, X, log_target))
    before = scale(y) - np.mean(scale(y))
    total = np.mean(before**2)
    share = 1 - np.mean(errors**2) / total if total > 0 else 0.0  # R²
    what = "logarithm's variance" if log_target else "target's variance"
    shown = f"explains {max(share, 0):.1%} of the {what} in the {judged} rows"
    gain = before**2 - errors**2
    if _clearly(gain):
        return True, f"better than the baseline: {shown}"
    return False, _not_better(share > 0, shown)


def _not_better(slightly, figures):
    return f"{'not clearly' if slightly else 'no'} better than the baseline: {figures}"


def _diverged(trained, y):
    """Return whether no epoch had a smaller training loss than the best constant prediction."""
    constant = 0.5  # half the variance of a scaled target
    if y.dtype.kind != "f":
        shares = np.unique(y, return_counts=True)[1] / len(y)
        constant = -np.sum(shares * np.log(shares))
    return not trained.loss or not min(trained.loss) < constant


def _surprise(model, X, y):
    """Return the log loss of each row."""
    probabilities = np.asarray(model.predict_proba(X), np.float64)
    of_class = probabilities[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return -np.log(np.maximum(of_class, 1e-15))


def _clearly(gains):
    """Return whether the mean of gains is positive by more than chance."""
    if len(gains) < 2:
        return False
    return gains.mean() > SURE * gains.std(ddof=1) / np.sqrt(len(gains))


def _is_skewed(y):
    from scipy.stats import skew

    return bool((y > 0).all()) and skew(y) > max(SKEWED, 2 * abs(skew(np.log(y))))
