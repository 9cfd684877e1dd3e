"""
Texts, as sparse rows
=====================

A TfidfVectorizer turns texts into rows of some 20,000 numbers, nearly all of them zero. Networks
and estimators take them as they are. Adam moves all weights in every step; LazyAdam moves those of
the words in the batch.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split

import fastbp

# Made-up texts on three subjects. Each subject has some words that the others lack.
rng = np.random.default_rng(0)
syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "il")]
words = np.unique(["".join(rng.choice(syllables, 3)) for _ in range(25_000)])
frequency = 1 / np.arange(10, len(words) + 10)
subjects = np.array([rng.permutation(frequency) for _ in range(3)])
y = rng.integers(0, 3, 3000)
of_texts = 0.9 * frequency / frequency.sum() + 0.1 * subjects / subjects.sum(axis=1, keepdims=True)
texts = [" ".join(rng.choice(words, 80, p=of_texts[subject])) for subject in y]

X = TfidfVectorizer(dtype=np.float32).fit_transform(texts)
X, X_test, y, y_test = train_test_split(X, y, random_state=0)
print(f"{X.shape[0]} texts, {X.shape[1]} words, {X.nnz / X.shape[0]:.0f} of them in a text")

sizes = [X.shape[1], 32, 3]
seconds = {}
for optimizer in (fastbp.Adam(0.005), fastbp.LazyAdam(0.005)):
    net = fastbp.Network(sizes, loss="cross_entropy", seed=0)
    net.fit(X, y, optimizer=optimizer, epochs=1)  # the first call loads the kernels
    started = time.perf_counter()
    net.fit(X, y, optimizer=optimizer, epochs=5)
    name = type(optimizer).__name__
    seconds[name] = time.perf_counter() - started
    print(f"{name:9} accuracy={net.score(X_test, y_test):.3f}, {seconds[name]:.2f} s")

classifier = fastbp.MLPClassifier((32,), max_iter=5, early_stopping=True, random_state=0)
print(f"estimator accuracy={classifier.fit(X, y).score(X_test, y_test):.3f}")

fig, ax = plt.subplots(figsize=(6, 2))
ax.barh(*zip(*seconds.items(), strict=True))
ax.set_xlabel("seconds for five epochs")
fig.tight_layout()
plt.show()
