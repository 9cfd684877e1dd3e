"""Advice after a training that has failed because the data are not scaled."""

import math

import numpy as np

# A typical error below this is never taken for a sign of data without scale.
LARGE = 1000.0
SCALERS = "for example with sklearn.preprocessing.StandardScaler"


BY_HAND = f"scale y to mean 0 and standard deviation 1, {SCALERS}, and scale the predictions back"


def advice(loss_name, parameter, loss, X, targets, remedy=BY_HAND, called="y"):
    """Return a warning if the error is large and of the size of the targets' spread, else "".

    Numbers of the size of prices or populations need that many steps of Adam divided by its
    learning rate, and make plain gradient descent diverge.

    Parameters
    ----------
    loss_name : str
    parameter : float, tuple of float or None
        The loss's parameter.
    loss : float
        The mean loss after the training.
    X : ndarray of shape (n, n_0) or sparse
    targets : ndarray of shape (n, n_m)
    remedy : str
        What to do about targets without scale.
    called : str
        What the message calls the targets.
    """
    error = _typical_error(loss_name, parameter, loss)
    if not LARGE < error < math.inf:
        return ""
    y = targets.astype(np.float64)
    spread = y.std(axis=0)
    whole = math.sqrt((spread**2).sum()) if loss_name == "squared_error" else spread.sum()
    if error < whole / 2:
        return ""
    size = np.sqrt((y**2).mean(axis=0))
    j = int(size.argmax())
    name = called if y.shape[1] == 1 else f"column {j} of {called}"
    if size[j] > LARGE / 10:
        return (
            f"the targets are not scaled, so the network has learned very little: {name} has the "
            f"mean {y[:, j].mean():.3g} and the standard deviation {spread[j]:.3g}; {remedy}"
        )
    largest = max(float(X.max()), -float(X.min()))
    if largest > LARGE:
        return (
            f"the inputs are not scaled, so the network has learned very little: X has values up "
            f"to {largest:.3g} in size. Scale each column of X to mean 0 and standard deviation 1, "
            f"{SCALERS}"
        )
    return ""


def advice_of_heads(heads, outputs, X, targets):
    """Return the warning for the first head that needs one, from h_m of all samples."""
    for k, head in enumerate(heads):
        h, y = outputs[:, head.outputs].astype(np.float64), targets[:, head.targets]
        if head.row.output_activation != "identity" or h.shape != y.shape:
            continue  # probabilities, rates, or parameters of a distribution
        squared = head.loss == "squared_error"
        errors = (h - y) ** 2 / 2 if squared else np.abs(h - y)
        loss = float(errors.sum(axis=1).mean())
        name = "squared_error" if squared else "absolute_error"
        if text := advice(name, None, loss, X, y, called=f"y[{k}]"):
            return text
    return ""


def _typical_error(loss_name, parameter, loss):
    """The error |h - y|, added up over the outputs, to which a mean loss corresponds."""
    if loss_name == "squared_error":
        return math.sqrt(2 * loss)
    if loss_name == "huber":
        return loss / parameter
    if loss_name == "quantile":
        levels = parameter if isinstance(parameter, tuple) else (parameter,)
        return loss / max(max(q, 1 - q) for q in levels)
    return loss if loss_name == "absolute_error" else 0.0
