"""
Controlling a training
======================

A range test, schedules, early stopping, scores and a callback, on handwritten digits.

Each of them acts between compiled calls. A fit without them is a single call.
"""

from matplotlib import pyplot
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastbp

X, y = load_digits(return_X_y=True)
X_train, X_valid, y_train, y_valid = train_test_split(X / 16, y, stratify=y, random_state=0)


def network():
    return fastbp.Network([64, 32, 10], loss="cross_entropy", seed=0)


found = fastbp.find_learning_rate(network(), X_train, y_train)
print(f"range test: the loss falls most around a rate of {found.suggestion:.2g}")

rate = found.suggestion
schedules = {
    "constant": None,
    "step": fastbp.StepDecay(every=5, factor=0.3),
    "exponential": fastbp.ExponentialDecay(0.8),
    "cosine with warm-up": fastbp.CosineDecay(warmup=0.1),
    "one cycle": fastbp.OneCycle(),
    "on a plateau": fastbp.ReduceOnPlateau(factor=0.3, patience=2),
}
figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 5.4), layout="constrained")
found.plot(left)
print("after 15 epochs:")
for name, schedule in schedules.items():
    history = network().fit(
        X_train,
        y_train,
        optimizer=fastbp.Adam(rate),
        schedule=schedule,
        epochs=15,
        validation_data=(X_valid, y_valid),
        scoring="accuracy",
    )
    loss, accuracy = history.validation_loss[-1], history.scores["accuracy"][-1]
    print(f"  {name:24}loss {loss:.3f}, accuracy {accuracy:.3f}")
    fastbp.LearningCurveDisplay(history.loss, history.validation_loss, name=name).plot(ax=right)


class Milestones(fastbp.Callback):
    """Says when the accuracy passes one of some marks, and ends the training at the last."""

    def __init__(self, marks):
        self.marks = marks

    def begin(self, network, history):
        self.left = list(self.marks)

    def epoch(self, network, history):
        accuracy = history.scores["accuracy"][-1]
        while self.left and accuracy >= self.left[0]:
            print(f"  epoch {len(history.loss)}: accuracy {accuracy:.3f} >= {self.left.pop(0)}")
        return not self.left


print("milestones, or 20 epochs without a better loss:")
net = network()
history = net.fit(
    X_train,
    y_train,
    optimizer=fastbp.Adam(rate),
    epochs=200,
    validation_data=(X_valid, y_valid),
    scoring="accuracy",
    patience=20,
    callbacks=[Milestones([0.9, 0.95, 0.99])],
)
loss = net.loss_and_gradient(X_valid, y_valid)[0]
print(
    f"{len(history.loss)} epochs; the weights are those of epoch {history.best_epoch}: {loss:.3f}"
)
pyplot.show()
