"""Other libraries training the workloads, each in the way its own users would write it.

A peer is a function of a workload that returns (epoch, outputs): a function that trains one
epoch of mini-batches in a random order and one that returns the network's outputs for X
(probabilities or values).
"""

import numpy as np


def scikit_learn(workload, X, y):
    """MLPClassifier / MLPRegressor; partial_fit is one epoch of mini-batches."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    classify = workload.loss != "squared_error"
    settings = dict(
        hidden_layer_sizes=workload.layers[1:-1],
        activation=workload.activation,
        alpha=0.0,
        batch_size=workload.batch,
        learning_rate_init=1e-3,
        random_state=0,
    )
    model = (MLPClassifier if classify else MLPRegressor)(**settings)
    labels = {"classes": np.unique(y)} if classify else {}
    model.partial_fit(X[: workload.batch], y[: workload.batch], **labels)

    def epoch():
        model.partial_fit(X, y)

    def outputs(X):
        if not classify:
            return model.predict(X)
        probabilities = model.predict_proba(X)
        return probabilities[:, 1:] if workload.loss == "log_loss" else probabilities

    return epoch, outputs


def pytorch(workload, X, y):
    """Eager PyTorch on one thread, with its fused Adam."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    activation = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[workload.activation]
    layers = []
    for n_in, n_out in zip(workload.layers, workload.layers[1:], strict=False):
        layers += [torch.nn.Linear(n_in, n_out), activation()]
    model = torch.nn.Sequential(*layers[:-1])
    criterion, output = {
        "log_loss": (torch.nn.BCEWithLogitsLoss(), torch.sigmoid),
        "cross_entropy": (torch.nn.CrossEntropyLoss(), lambda s: torch.softmax(s, 1)),
        "squared_error": (torch.nn.MSELoss(), lambda s: s),
    }[workload.loss]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y)
    if workload.loss == "log_loss":
        targets = targets[:, None]

    def epoch():
        order = torch.randperm(len(inputs))
        for start in range(0, len(inputs), workload.batch):
            rows = order[start : start + workload.batch]
            optimizer.zero_grad()
            loss = criterion(model(inputs[rows]), targets[rows])
            loss.backward()
            optimizer.step()

    def outputs(X):
        with torch.inference_mode():
            return output(model(torch.from_numpy(X))).numpy()

    return epoch, outputs


PEERS = {"scikit-learn": (scikit_learn, "sklearn"), "pytorch": (pytorch, "torch")}
