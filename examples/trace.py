"""
One sample's way through a network
==================================

Every number of the derivation, from the library and computed by hand.
"""

import numpy as np
from matplotlib import pyplot

import fastbp

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
y = np.array([0, 1, 1, 0])

net = fastbp.Network([2, 3, 1], activation="sigmoid", loss="log_loss", dtype="float64", seed=0)
trace = net.trace(X, y)
print(trace)

print("\nThe output unit for the last sample, where y = 0")
print(trace.equations(2, 0, sample=3))

print("\nA hidden unit: its error comes from the unit above, equation (1)")
print(trace.equations(1, 0, sample=3))

# The whole derivation in four lines, for all samples at once.
ds_2 = trace.h[2] - y[:, None]
dW_2 = trace.h[1].T @ ds_2 / len(X)
ds_1 = (ds_2 @ trace.W[2].T) * trace.h[1] * (1 - trace.h[1])
dW_1 = trace.h[0].T @ ds_1 / len(X)

for i, by_hand in ((1, dW_1), (2, dW_2)):
    difference = np.abs(trace.dW[i] - by_hand).max()
    print(f"∇W_{i}: by hand and by {net.backend} differ by {difference:.1e}")
    assert difference < 1e-15

# The whole network: colours show what the next step would change (blue up, vermilion down), widths
# show the weights.
fastbp.NetworkGraphDisplay.from_trace(trace)
pyplot.show()
