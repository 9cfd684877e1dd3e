"""
Learning curves side by side
============================

Three optimisers learn to read digits. `History.plot` draws each training on the same axes under its
name. Each training has a colour, each quantity a line style, each best epoch a vertical line.
"""

from matplotlib import pyplot
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastbp

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0, stratify=y)

ax = pyplot.subplots(figsize=(8, 6), layout="constrained")[1]
for name, optimizer in {
    "Adam": fastbp.Adam(3e-3),
    "RMSprop": fastbp.RMSprop(1e-3),
    "SGD": fastbp.SGD(0.05, momentum=0.9, nesterov=True),
}.items():
    net = fastbp.Network([64, 32, 10], loss="cross_entropy", seed=0)
    history = net.fit(
        X_train,
        y_train,
        optimizer=optimizer,
        epochs=60,
        validation_data=(X_test, y_test),
        scoring="accuracy",
        patience=15,
    )
    history.plot(name=name, ax=ax)
pyplot.show()
