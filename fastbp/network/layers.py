"""The layers of a network: its layout from the arguments of `Network`."""

from ..basis import checks, heads, inputs, loss_parameters, monotonic, spec
from ..basis.layout import Layout
from ..engine import distributions


def layout_of(
    layer_sizes,
    activation,
    loss,
    loss_parameter,
    loss_weights,
    output_activation,
    dtype,
    compute_dtype,
    monotonic_cst,
    norm,
    residual,
):
    """Check the arguments, which are those of `Network`.

    Returns
    -------
    (Layout, float or tuple or None, tuple, tuple)
        The layout, the loss's parameter, the heads, and the constraint of each feature, see
        `monotonic.constraint`.
    """
    layer_sizes, learned = inputs.inputs_of(layer_sizes)
    sizes = checks.layer_sizes(layer_sizes)
    of_heads = heads.heads_of(loss, loss_weights, sizes[-1])
    if of_heads:
        loss = tuple(head.given for head in of_heads)
        if loss_parameter is not None:
            raise ValueError(
                "heads have parameters of their own, the third entry of "
                f"{heads.FORM}, so loss_parameter must be None, got {loss_parameter!r}"
            )
    for k, head in enumerate(of_heads):
        where = f"the number of outputs of loss[{k}]"
        distributions.check_outputs(head.loss, head.parameter, head.n_outputs, where)
    name = "a function" if callable(loss) else loss
    parameter = loss_parameters.loss_parameter(loss_parameter, name, spec.loss_of(loss))
    pair = spec.pair_of(loss, output_activation, parameter)
    distributions.check_outputs(loss, parameter, sizes[-1])
    if pair.output_activation == "softmax" and sizes[-1] == 1:
        raise ValueError(
            f"{loss or 'softmax'} needs at least 2 outputs (a softmax of one unit is always 1);"
            " for two classes use log_loss with 1 output, or 2 outputs"
        )
    precision = checks.dtype(dtype)
    inputs.check_precision(learned, precision)
    layout = Layout(
        sizes,
        spec.activations_of(activation, len(sizes) - 2),
        precision,
        compute_dtype=checks.compute_dtype(compute_dtype, precision),
        paired=pair.apart,
        one_target=spec.loss_of(loss, parameter).one_target,
        norm=_norm(norm, len(sizes) - 2),
        residual=checks.flag("residual", residual),
        inputs=learned,
        head_targets=of_heads[-1].targets.stop if of_heads else 0,
    )
    if layout.residual and not layout.residual_layers:
        raise ValueError(
            "residual=True adds a hidden layer's input to its output where it is as wide as the "
            f"hidden layer before it, but layer_sizes {list(sizes)} has no such layer"
        )
    if monotonic_cst is not None:
        inputs.refuse(layout, "monotonic_cst")
    constrained = monotonic.constraint(monotonic_cst, sizes[0])
    if constrained and of_heads:
        raise ValueError(
            "monotonic_cst is for a network with a single loss of one output, but the loss is a "
            "list of heads; pass the loss by its name, or monotonic_cst=None"
        )
    if constrained:
        monotonic.check(layout.activations, pair.output_activation, sizes[-1])
    if constrained and layout.norm:
        raise ValueError(
            f"monotonic_cst cannot hold with norm={norm!r}, since each unit then depends on the "
            "mean or the root mean square of all; use norm=None"
        )
    return layout, parameter, of_heads, constrained


def _norm(value, n_hidden):
    if not isinstance(value, str | None) or value not in spec.NORMS:
        raise ValueError(f'norm must be None, "layer" or "rms", got {value!r}')
    if value is not None and n_hidden == 0:
        raise ValueError(
            f"norm={value!r} normalises hidden layers, but layer_sizes has none; give their widths "
            "between the number of inputs and the number of outputs"
        )
    return value
