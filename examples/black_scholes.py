"""
Prices and their slopes
=======================

A network that learns a pricing formula from few samples, with and without their derivatives.

The formula of Black and Scholes gives the price of a call option from the price of the share x_1
(in units of the strike), the time left x_2 and the volatility x_3. Other models take minutes for a
single price, but can give its derivatives for little more. So the network is given a few prices,
and in a second run also their derivatives: ``fit(X, y, dy=...)``. The derivative by the share's
price is called delta; traders use it for hedging.
"""

import numpy as np
from matplotlib import pyplot
from scipy.stats import norm

import fastbp


def black_scholes(X):
    """The price, and its derivatives by all three inputs, for an interest rate of 0."""
    share, time, volatility = X.T
    width = volatility * np.sqrt(time)
    d1 = np.log(share) / width + width / 2
    price = share * norm.cdf(d1) - norm.cdf(d1 - width)
    by_width = share * norm.pdf(d1)
    by_inputs = [
        norm.cdf(d1),
        by_width * volatility / (2 * np.sqrt(time)),
        by_width * np.sqrt(time),
    ]
    return price, np.stack(by_inputs, axis=1)


def draw(n, seed):
    """Samples: share from 0.5 to 1.5, time from 0.2 to 2, volatility from 0.1 to 0.5."""
    return np.random.default_rng(seed).uniform([0.5, 0.2, 0.1], [1.5, 2.0, 0.5], (n, 3))


def trained(X, price, slopes):
    net = fastbp.Network(
        [3, 32, 32, 1], activation="tanh", loss="squared_error", dtype="float64", seed=0
    )
    net.fit(
        *(X, price),
        dy=slopes,
        optimizer=fastbp.Adam(0.01),
        schedule=fastbp.CosineDecay(),
        epochs=1500,
        batch_size=None,
    )
    return net


X_test = draw(2000, seed=1)
price_test, slopes_test = black_scholes(X_test)


def errors(net):
    """The root mean square errors of price and delta."""
    price, delta = net.predict(X_test).ravel(), net.input_jacobian(X_test)[:, 0, 0]
    return [
        np.sqrt(np.mean(difference**2))
        for difference in (price - price_test, delta - slopes_test[:, 0])
    ]


sizes = [8, 16, 32, 64, 128]
found = {}
print("samples   prices alone: price, delta   with derivatives: price, delta")
for n in sizes:
    X = draw(n, seed=0)
    price, slopes = black_scholes(X)
    for name, dy in (("prices alone", None), ("with derivatives", slopes)):
        net = trained(X, price, dy)
        found[name, n] = errors(net)
        if n == 32:
            found[name] = net
    print(
        f"{n:7d}   {found['prices alone', n][0]:18.5f}, {found['prices alone', n][1]:.5f}"
        f"   {found['with derivatives', n][0]:22.5f}, {found['with derivatives', n][1]:.5f}"
    )
    assert found["with derivatives", n] < found["prices alone", n]

share = np.linspace(0.5, 1.5, 200)
line = np.column_stack([share, np.full(200, 1.0), np.full(200, 0.2)])
exact_price, exact_slopes = black_scholes(line)
figure, axes = pyplot.subplots(1, 3, figsize=(13, 4), layout="constrained")
for name in ("prices alone", "with derivatives"):
    axes[0].plot(share, found[name].predict(line), label=f"32 samples, {name}")
    axes[1].plot(share, found[name].input_jacobian(line)[:, 0, 0])
    for k, (what, style) in enumerate((("price", "-"), ("delta", "--"))):
        values = [found[name, n][k] for n in sizes]
        axes[2].loglog(sizes, values, style, marker="o", label=f"{what}, {name}")
for axis, exact in zip(axes, (exact_price, exact_slopes[:, 0]), strict=False):
    axis.plot(share, exact, "k:", label="Black and Scholes")
    axis.set_xlabel("share / strike")
axes[0].set_title("Price")
axes[1].set_title("Delta")
axes[2].set(title="Error (root mean square)", xlabel="samples")
axes[0].legend()
axes[2].legend()
pyplot.show()
