"""scikit-learn's interface: the two MLP estimators, ensembles of them, and their search."""
