"""
Classes and quantities over two features
========================================

`DecisionBoundaryDisplay` draws three kinds of models: two classes as a probability, more classes as
regions, a regression as one colour scale. Names come from the data frame and the classes. Behind a
scaler in a Pipeline, the hidden units' lines are still drawn in the data's own units.
"""

import numpy as np
from matplotlib import pyplot
from sklearn.datasets import load_diabetes, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp

wine = load_wine(as_frame=True)
X_wine = wine.data[["alcohol", "flavanoids"]]
cultivars = np.array(["Barolo", "Grignolino", "Barbera"])[wine.target]
first = np.where(cultivars == "Barolo", "Barolo", "another")
diabetes = load_diabetes(as_frame=True, scaled=False)
X_diabetes = diabetes.data[["bmi", "bp"]].set_axis(["BMI (kg/m²)", "blood pressure (mmHg)"], axis=1)
progression = diabetes.target.rename("disease progression after a year")

settings = {"activation": "tanh", "solver": "lbfgs", "max_iter": 2000, "random_state": 0}
two = fastbp.MLPClassifier((4,), alpha=0.3, **settings)
three = fastbp.MLPClassifier((16,), alpha=0.3, **settings)
number = fastbp.MLPRegressor(hidden_layer_sizes=(8,), alpha=3.0, **settings)

figure, axes = pyplot.subplots(1, 3, figsize=(17, 5.2), layout="constrained")
for ax, model, X, y in [
    (axes[0], two, X_wine, first),
    (axes[1], three, X_wine, cultivars),
    (axes[2], number, X_diabetes, progression),
]:
    model = make_pipeline(StandardScaler(), model).fit(X, y)
    fastbp.DecisionBoundaryDisplay.from_estimator(model, X, y, ax=ax)
pyplot.show()
