"""Derivatives of what a network predicts by its inputs, and products with the loss's Hessian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

import numpy as np

from ..basis import checks
from ..engine import attributions, heads, jets, output
from ..engine.parameters import Gradient, store

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..basis.annotations import Floats
    from ..engine.engine import Engine


class Differentiable:
    """The part of `Network` that has derivatives by the inputs, and by the parameters.

    In the shapes, n_0 is the number of features and n_m the number of outputs.
    """

    _engine: Engine

    def _checked(self, X):
        """Checked samples, for a network whose weights are finite."""
        engine = self._engine
        samples = engine.samples(X)
        engine.check_finite()
        return samples

    def _of_rows(self, name, array, n, width):
        """A checked array of shape (n, width), or (n,) for a width of 1."""
        if width == 1 and np.shape(array) == (n,):
            array = np.reshape(array, (n, 1))
        engine = self._engine
        return checks.parameter(array, (n, width), engine.layout.dtype, name, engine.backend.finite)

    # By the inputs.

    @overload
    def input_vjp(
        self, X: ArrayLike, v: ArrayLike, *, parameters: Literal[False] = False
    ) -> Floats: ...
    @overload
    def input_vjp(
        self, X: ArrayLike, v: ArrayLike, *, parameters: Literal[True]
    ) -> tuple[Floats, Gradient]: ...
    @overload
    def input_vjp(
        self, X: ArrayLike, v: ArrayLike, *, parameters: bool
    ) -> Floats | tuple[Floats, Gradient]: ...
    def input_vjp(
        self, X: ArrayLike, v: ArrayLike, *, parameters: bool = False
    ) -> Floats | tuple[Floats, Gradient]:
        """Compute v · ∂h_m/∂x of each row: the vector-Jacobian product, by backpropagation.

        It is the gradient of Σ_k v_k h_{m,k} by the row's inputs. One pass back serves all inputs,
        so this is the cheap way where there are fewer outputs than inputs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        v : array-like of shape (n_samples, n_m)
            A vector for each row; with one output, (n_samples,) will do. With heads, a tuple of
            arrays of shape (n_samples, n_outputs of the head) will do, too.
        parameters : bool, default=False
            Whether to compute the derivatives by weights and biases in the same pass, too.

        Returns
        -------
        by_inputs : ndarray of shape (n_samples, n_0)
        gradient : Gradient
            With ``parameters=True``: the gradient of Σ v h over all rows and outputs by the
            weights and biases.

        Raises
        ------
        TypeError, ValueError
            For bad arguments.

        See Also
        --------
        input_jvp : The product with a vector from the other side.
        input_jacobian : All derivatives of the outputs by the inputs.
        input_gradient : Derivatives of the network's own loss by the inputs.
        forward : A kept pass, from which one can go back several times.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> net.input_vjp([[1.0, 1.0], [0.0, 2.0]], [1.0, -1.0])
        array([[ 2.,  3.],
               [-2., -3.]])
        """
        samples = self._checked(X)
        checks.flag("parameters", parameters)
        engine = self._engine
        if engine.heads:
            v = heads.side_by_side(engine.heads, v, len(samples), "v")
        v = self._of_rows("v", v, len(samples), engine.layout.sizes[-1])
        if not parameters:
            return jets.input_vjp(engine, samples, v)
        gradient = engine.layout.zeros(engine.layout.n_parameters)
        by_inputs = jets.input_vjp(engine, samples, v, gradient)
        return by_inputs, Gradient(*engine.layout.lists(gradient))

    def input_jvp(self, X: ArrayLike, t: ArrayLike) -> Floats:
        """Compute ∂h_m/∂x · t of each row: the Jacobian-vector product, in one pass forward.

        It is the derivative of the outputs where the row's inputs move in the direction t.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        t : array-like of shape (n_samples, n_0)
            A direction for each row; with one input, (n_samples,) will do.

        Returns
        -------
        ndarray of shape (n_samples, n_m)

        Raises
        ------
        TypeError, ValueError
            For bad arguments.

        See Also
        --------
        input_vjp : The product with a vector from the other side.
        input_jacobian : All derivatives of the outputs by the inputs.

        Notes
        -----
        With h_0 = x and h'_0 = t, layer i computes s'_i = h'_{i-1} W_i and h'_i = σ'(s_i) s'_i
        beside s_i and h_i, in the same products.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> net.input_jvp([[1.0, 1.0]], [[1.0, 10.0]])
        array([[32.]])
        """
        samples = self._checked(X)
        t = self._of_rows("t", t, len(samples), samples.shape[1])
        return jets.input_jvp(self._engine, samples, t)

    def input_jacobian(self, X: ArrayLike) -> Floats:
        """Compute ∂h_m/∂x of each row: the derivatives of the outputs by the inputs.

        The outputs are what `predict` returns, except for losses of distributions, whose parameters
        they are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        ndarray of shape (n_samples, n_m, n_0)
            The entry [r, k, j] is the derivative of row r's output k by its input j.

        Raises
        ------
        TypeError, ValueError
            For bad arguments.

        See Also
        --------
        jacobian : Derivatives of the outputs by the weights and biases.
        input_gradient : Derivatives of the network's own loss by the inputs.
        input_vjp, input_jvp : Products with this matrix, without the matrix.
        fastbp.input_jacobian : The same of estimators, and of pipelines that scale the features.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 2], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[1.0, 2.0], [3.0, 4.0]]
        >>> net.input_jacobian([[0.0, 0.0]])
        array([[[1., 3.],
                [2., 4.]]])
        """
        return jets.input_jacobian(self._engine, self._checked(X))

    def input_hessian_diagonal(self, X: ArrayLike) -> Floats:
        """Compute ∂²h_m/∂x_j² of each row, the second derivatives by each input.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        ndarray of shape (n_samples, n_m, n_0)
            The entry [r, k, j] is the second derivative of row r's output k by its input j.
            They are infinite or NaN if they, or squares of first derivatives, overflow.

        Raises
        ------
        TypeError, ValueError
            For bad arguments.

        See Also
        --------
        input_laplacian : Their sum over the inputs, in less time.
        fastbp.fit_residual : Training on differential equations.

        Notes
        -----
        In one pass forward (Taylor mode), layer i computes, for each input, s''_i = h''_{i-1} W_i
        and h''_i = σ'(s_i) s''_i + σ''(s_i) s'_i² beside the first derivatives of `input_jvp`.

        The second derivative of relu, leaky_relu and prelu is 0 everywhere (their kinks count for
        nothing). A network that has only those, no norm, and ends in the identity has second
        derivatives of exactly 0.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="poisson", dtype="float64")  # h = exp(x W + b)
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> net.input_hessian_diagonal([[0.0, 0.0]])
        array([[[4., 9.]]])
        """
        return jets.input_hessian_diagonal(self._engine, self._checked(X))

    def input_laplacian(self, X: ArrayLike) -> Floats:
        """Compute Σ_j ∂²h_m/∂x_j² of each row, the Laplacian of each output.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        ndarray of shape (n_samples, n_m)
            Infinite or NaN as in `input_hessian_diagonal`.

        Raises
        ------
        TypeError, ValueError
            For bad arguments.

        See Also
        --------
        input_hessian_diagonal : The terms of the sum.

        Notes
        -----
        The sum goes through the layers as one number for each unit, h''_i = σ'(s_i) s''_i +
        σ''(s_i) Σ_j s'_{i,j}², which saves half of the products ("forward Laplacian"; Li et al.,
        "A computational framework for neural network-based variational Monte Carlo with Forward
        Laplacian", Nature Machine Intelligence 6, 2024). The second derivative of relu is 0, as in
        `input_hessian_diagonal`.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="poisson", dtype="float64")  # h = exp(x W + b)
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> net.input_laplacian([[0.0, 0.0]])
        array([[13.]])
        """
        return jets.input_laplacian(self._engine, self._checked(X))

    def integrated_gradients(
        self, X: ArrayLike, baseline: ArrayLike | None = None, *, output: int | None = None
    ) -> NDArray[np.float64]:
        """Compute how much each input contributes to an output's difference from the baseline's.

        Input j's contribution to output k is a_j = (x_j - x'_j) ∫ ∂h_k/∂x_j dα, where the integral
        is along the straight line x' + α (x - x') from the baseline x' to the row, α = 0..1. The
        contributions add up to the difference: Σ_j a_j = h_k(x) - h_k(x'). Here h is h_m, which
        `predict` returns, except for losses of distributions, whose parameters it holds.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        baseline : array-like of shape (n_0,) or (n_samples, n_0), optional
            x', a neutral input, such as the mean of the training samples; by default 0.
        output : int, optional
            k, counted from 0; by default all outputs.

        Returns
        -------
        ndarray of shape (n_samples, n_m, n_0)
            The entry [r, k, j] is row r's contribution of input j to output k. With an `output`, of
            shape (n_samples, n_0). In float64, also for a network in float32.

        Raises
        ------
        TypeError, ValueError
            For bad arguments.

        Warns
        -----
        RuntimeWarning
            If the contributions of a row do not add up to within 1e-6 of Σ_j ∫ abs(a_j') dα, where
            a_j' is what is integrated, after 2000 panels. That may happen with an `Activation` of
            your own that is not smooth.

        See Also
        --------
        input_jacobian : The derivatives at the rows themselves.
        fastbp.integrated_gradients : The same of estimators, and of pipelines that scale the
            features.

        Notes
        -----
        The computation is in float64. The line is cut where a unit passes a kink of relu or the
        like. Between kinks, the derivatives of such networks are constant, so the result is exact
        up to rounding; those of others are smooth, and integrated by Gauss-Kronrod rules on panels
        that are halved where that is needed. The sum mostly holds to 1e-12.

        References
        ----------
        Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1, 1], loss="squared_error", dtype="float64")  # relu
        >>> net.weights[0], net.biases[0] = [[1.0], [2.0]], [-1.0]
        >>> net.weights[1] = [[1.0]]
        >>> net.integrated_gradients([[1.0, 1.0]], output=0)  # h = 2, and it rises from α = 1/3 on
        array([[0.66666667, 1.33333333]])
        """
        self._engine.check_finite()
        return attributions.integrated_gradients(self._engine, X, baseline, output)

    def input_gradient(self, X: ArrayLike, y: ArrayLike) -> Floats:
        """Compute ∂e/∂X, the derivatives of each sample's own loss by its features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets in the loss's form, see `Network`.

        Returns
        -------
        ndarray of shape (n_samples, n_0)

        See Also
        --------
        input_jacobian : Derivatives of the outputs, instead of the loss, by the inputs.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> net.input_gradient([[1, 0], [0, 1]], [0, 3])  # (h - y) w
        array([[4., 6.],
               [0., 0.]])
        """
        engine = self._engine
        engine.check_finite()
        return engine.per_sample(engine.data(X, y), errors=True).errors

    # By the parameters.

    def jacobian(self, X: ArrayLike) -> Gradient:
        """Compute the derivatives of each output by each weight and bias, ∂h_m/∂W_i and ∂h_m/∂b_i.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)

        Returns
        -------
        Gradient
            ``weights[i - 1]`` of shape (n_samples, n_m, n_{i-1}, n_i) and ``biases[i - 1]`` of
            shape (n_samples, n_m, n_i) for layer i.

        See Also
        --------
        input_jacobian : Derivatives of the outputs by the inputs.

        Examples
        --------
        >>> import fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
        >>> net.weights[0] = [[2.0], [3.0]]
        >>> net.jacobian([[5, 7]]).weights[0].ravel()  # h = w · x + b, so ∂h/∂w = x
        array([5., 7.])
        """
        engine = self._engine
        return engine.by_layer(output.jacobian_by_parameters(engine, self._checked(X)))

    def hessian_vector_product(
        self,
        X: ArrayLike,
        y: ArrayLike,
        g: Gradient,
        sample_weight: ArrayLike | None = None,
    ) -> Gradient:
        """Compute H g, the product of the mean loss's Hessian by the parameters and a vector.

        H holds the second derivatives of Σ w e / Σ w, the loss of `loss_and_gradient`, by all
        parameters. H g is the derivative of the gradient where the parameters move in the direction
        g. It takes two passes forward and back, and H itself is never made.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets in the loss's form, see `Network`.
        g : Gradient
            The vector: arrays of the same shapes as the network's parameters.
        sample_weight : array-like of shape (n_samples,), optional
            Weights w ≥ 0, not all zero.

        Returns
        -------
        Gradient
            H g, in the same shapes.

        Raises
        ------
        TypeError, ValueError
            For bad arguments. Also if the loss is a function, which gives no second derivative.

        See Also
        --------
        loss_and_gradient : The mean loss and its first derivatives.

        Notes
        -----
        The losses absolute_error and quantile, and the activations relu, leaky_relu and prelu, have
        second derivatives of 0, at their kinks, too; huber's is 0 beyond δ. Penalties are not part
        of the loss; l2 / 2 Σ W² would add l2 g to the product.

        References
        ----------
        Pearlmutter, "Fast Exact Multiplication by the Hessian", Neural Computation 6, 1994.

        Examples
        --------
        >>> import numpy as np, fastbp
        >>> net = fastbp.Network([2, 1], loss="squared_error", dtype="float64")
        >>> g = fastbp.Gradient([np.array([[1.0], [0.0]])], [np.zeros(1)])
        >>> product = net.hessian_vector_product([[1.0, 2.0], [3.0, 0.0]], [0.0, 0.0], g)
        >>> product.weights[0].ravel(), product.biases[0]  # the mean of x x_1, and of x_1
        (array([5., 1.]), array([2.]))
        """
        engine = self._engine
        engine.check_second_derivative()
        engine.check_finite()
        data = engine.data(X, y, sample_weight)
        vector = engine.layout.zeros(engine.layout.n_parameters)
        store(g, "g", engine.layout, vector, engine.backend.finite)
        return Gradient(*engine.layout.lists(jets.hessian_product(engine, data, vector)))
