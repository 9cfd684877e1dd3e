"""Advice for names that fastbp does not know: other libraries' names, and spelling mistakes."""

from __future__ import annotations

import difflib
import functools
import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .annotations import Function

# Kind -> another library's name, in lower case without punctuation -> (the name here or None, a
# remark). Names that fastbp knows are never looked up here.
_SUM = "it adds up the outputs of a sample instead of averaging them"
_HALF = "for one output it is half the mean squared error, and " + _SUM
_SIGMOID = "its output activation is sigmoid; targets are 0 and 1"
_SOFTMAX = "its output activation is softmax; targets are labels or one-hot rows"
_OWN = "pass a function as loss, see fastbp.Network"
_ABSOLUTE = ("absolute_error", _SUM)
_BINARY = ("log_loss", _SIGMOID)
_CLASSES = ("cross_entropy", _SOFTMAX)
_HUBER = ("huber", "its δ is loss_parameter")
_QUANTILE = ("quantile", "its q is loss_parameter")
_GAUSSIAN = ("gaussian", "its outputs are mean and log variance")
_MIXTURE = ("mixture_density", "its number of components is loss_parameter")
_OUTPUT = "it is an output activation, which belongs to the loss {}"
_NEGATED = "negative, since greater scores are better"
_CPU = "fastbp computes on CPUs only; 'auto' takes its fastest backend"

_NAMES: dict[str, dict[str, tuple[str | None, str]]] = {
    "loss": {
        **dict.fromkeys(
            ("mse", "meansquarederror", "l2", "ls", "leastsquares", "rmse", "regression"),
            ("squared_error", _HALF),
        ),
        **dict.fromkeys(("mae", "meanabsoluteerror", "l1", "lad"), _ABSOLUTE),
        **dict.fromkeys(
            ("bce", "binarycrossentropy", "bcewithlogits", "binarylogloss", "logistic", "log"),
            _BINARY,
        ),
        **dict.fromkeys(("logloss", "binary", "deviance", "sigmoid"), _BINARY),
        **dict.fromkeys(
            ("ce", "crossentropy", "categoricalcrossentropy", "sparsecategoricalcrossentropy"),
            _CLASSES,
        ),
        **dict.fromkeys(
            ("nll", "softmax", "multinomial", "multiclass", "multilogloss", "softmaxcrossentropy"),
            _CLASSES,
        ),
        **dict.fromkeys(
            ("kldiv", "kld", "kldivergence", "kullbackleiblerdivergence"),
            ("cross_entropy", "it has the same gradient"),
        ),
        **dict.fromkeys(("smoothl1", "huberloss"), _HUBER),
        **dict.fromkeys(("poissonnll", "poissonloss"), ("poisson", "its output activation is exp")),
        **dict.fromkeys(("pinball", "quantileloss", "quantileregression"), _QUANTILE),
        **dict.fromkeys(("hinge", "squaredhinge", "multimargin", "logcosh"), (None, _OWN)),
        **dict.fromkeys(("gaussiannll", "normal", "heteroscedastic"), _GAUSSIAN),
        **dict.fromkeys(("mdn", "mixture", "gaussianmixture"), _MIXTURE),
    },
    "activation": {
        **dict.fromkeys(("linear", "none"), ("identity", "")),
        "logistic": ("sigmoid", ""),
        "swish": ("silu", ""),
        "tanhshrink": (None, ""),
        **dict.fromkeys(("leakyrelu", "lrelu"), ("leaky_relu", "its slope below zero is 0.01")),
        "softmax": (None, _OUTPUT.format("cross_entropy")),
        **dict.fromkeys(("exp", "exponential"), (None, _OUTPUT.format("poisson"))),
    },
    "optimizer": {
        **dict.fromkeys(("momentum", "sgdm"), ("sgd", "pass fastbp.SGD(0.01, momentum=0.9)")),
        "nesterov": ("sgd", "pass fastbp.SGD(0.01, momentum=0.9, nesterov=True)"),
        **dict.fromkeys(("gd", "gradientdescent", "batchgradientdescent"), ("sgd", "")),
        **dict.fromkeys(
            ("lbfgs", "lbfgsb", "bfgs"),
            (None, "MLPClassifier and MLPRegressor have solver='lbfgs'"),
        ),
        **dict.fromkeys(
            ("lm", "levenbergmarquardt"), (None, "call fastbp.levenberg_marquardt instead of fit")
        ),
    },
    "schedule": {
        **dict.fromkeys(
            ("cosinedecay", "cosineannealing", "cosineannealinglr", "cos"), ("cosine", "")
        ),
        **dict.fromkeys(("onecyclelr", "1cycle", "cycle"), ("one_cycle", "")),
        **dict.fromkeys(("reduceonplateau", "reducelronplateau", "adaptive"), ("plateau", "")),
        **dict.fromkeys(("exponentiallr", "exponentialdecay"), ("exponential", "")),
        **dict.fromkeys(("steplr", "stepdecay"), ("step", "")),
        **dict.fromkeys(("constant", "none"), (None, "pass None for a constant rate")),
        **dict.fromkeys(
            ("linear", "warmup"), ("cosine", "fastbp.CosineDecay(warmup=0.1) warms up first")
        ),
    },
    "score": {
        "acc": ("accuracy", ""),
        "auc": ("roc_auc", ""),
        **dict.fromkeys(("mse", "meansquarederror"), ("neg_mean_squared_error", _NEGATED)),
        **dict.fromkeys(("mae", "meanabsoluteerror"), ("neg_mean_absolute_error", _NEGATED)),
        "rmse": ("neg_root_mean_squared_error", _NEGATED),
        "logloss": ("neg_log_loss", _NEGATED),
        "r2score": ("r2", ""),
        "f1score": ("f1", ""),
    },
    "backend": {
        **dict.fromkeys(("cuda", "gpu", "mps", "rocm", "tpu", "torch", "jax"), (None, _CPU)),
        **dict.fromkeys(("cpu", "c", "default"), ("auto", "")),
        **dict.fromkeys(("python", "reference"), ("numpy", "")),
        **dict.fromkeys(("jit", "llvm"), ("numba", "")),
    },
}

_NAMES["output_activation"] = {
    **{other: row for other, row in _NAMES["activation"].items() if row[0] is not None},
    "exponential": ("exp", ""),
}

_AT_FIT = "it is an argument of Network.fit"
_AT_NETWORK = "it is an argument of fastbp.Network"
_RATE = "the rate belongs to the optimiser: optimizer=fastbp.Adam(learning_rate=0.001)"
_HELD_OUT = (
    "hold out rows, for example with sklearn.model_selection.train_test_split, and pass "
    "validation_data=(X, y)"
)
_INPUTS = (
    "list the inputs as the first of the layers of a fastbp.Network: "
    "fastbp.Network([[fastbp.Numeric(10), fastbp.Categorical(7, 4)], 64, 1], ...)"
)
# Other libraries' name of an argument -> names here, and advice for a function that has none of
# these. A message suggests the first one that the function has.
_ARGUMENTS: dict[str, tuple[tuple[str, ...], str]] = {
    **dict.fromkeys(
        ("lr", "learning_rate", "learning_rate_init", "rate", "eta"),
        (("learning_rate_init", "learning_rate"), _RATE),
    ),
    **dict.fromkeys(("verbose", "verbosity", "progress_bar"), (("progress",), "")),
    **dict.fromkeys(
        ("epoch", "n_epochs", "num_epochs", "nb_epoch", "max_epochs", "max_iter"),
        (("epochs", "max_iter"), _AT_FIT),
    ),
    "n_iter": (("epochs", "max_iter", "n_candidates"), _AT_FIT),
    "epochs": (("max_iter",), _AT_FIT),
    **dict.fromkeys(
        ("validation_split", "validation_fraction", "test_size"),
        (("validation_fraction",), _HELD_OUT),
    ),
    **dict.fromkeys(("val_data", "eval_set", "validation"), (("validation_data",), "")),
    **dict.fromkeys(("metrics", "metric"), (("scoring",), "")),
    **dict.fromkeys(
        ("early_stopping", "early_stopping_rounds", "n_iter_no_change", "patience"),
        (("n_iter_no_change", "patience"), _AT_FIT),
    ),
    **dict.fromkeys(("restore_best_weights", "restore_best_model"), (("restore_best",), "")),
    **dict.fromkeys(
        ("weight_decay", "kernel_regularizer", "reg_lambda", "l2_reg"),
        (("l2", "alpha"), "fastbp.AdamW has weight_decay, and Network.fit has l2"),
    ),
    "alpha": (("decay", "l2"), "Network.fit has l2"),
    "l2": (("alpha",), _AT_FIT),
    **dict.fromkeys(
        ("clipnorm", "max_norm", "max_grad_norm", "grad_clip", "gradient_clip_val", "clip_grad"),
        (("clip_norm",), _AT_FIT),
    ),
    **dict.fromkeys(
        ("scheduler", "lr_scheduler", "lr_schedule", "learning_rate_schedule"),
        (("schedule",), _AT_FIT),
    ),
    **dict.fromkeys(
        ("random_state", "seed", "random_seed"),
        (("random_state", "seed"), "the seed is an argument of fastbp.Network"),
    ),
    **dict.fromkeys(
        ("n_jobs", "n_threads", "num_threads", "workers", "num_workers"), (("threads",), _AT_FIT)
    ),
    **dict.fromkeys(
        ("hidden_layer_sizes", "hidden_layers", "hidden", "hidden_units", "layers", "sizes"),
        (("hidden_layer_sizes", "layer_sizes"), _AT_NETWORK),
    ),
    **dict.fromkeys(("optimizer", "optimiser", "optim"), (("optimizer", "solver"), _AT_FIT)),
    **dict.fromkeys(("solver",), (("optimizer",), _AT_FIT)),
    **dict.fromkeys(("criterion", "objective", "loss_fn"), (("loss",), _AT_NETWORK)),
    **dict.fromkeys(("activation", "loss", "loss_parameter", "dtype"), ((), _AT_NETWORK)),
    **dict.fromkeys(
        ("batch_size", "callbacks", "dropout", "class_weight", "validation_data"), ((), _AT_FIT)
    ),
    "backend": ((), "the network has it: call to_backend, or set FASTBP_BACKEND"),
    **dict.fromkeys(("device",), ((), "fastbp computes on CPUs only")),
    "betas": (("beta_1",), ""),
    "eps": (("epsilon",), ""),
    "rho": (("decay",), ""),
    "gamma": (("factor",), ""),
    "step_size": (("every", "learning_rate"), _RATE),
    "etas": (("eta_minus",), ""),
    "step_sizes": (("smallest_step",), ""),
    "T_max": ((), "the decay lasts as long as the training"),
    "total_steps": ((), "the schedule lasts as long as the training"),
    "max_lr": ((), "the largest rate is the optimiser's"),
    "eta_min": (("final",), ""),
    "pct_start": (("peak",), ""),
    "div_factor": (("initial",), ""),
    "min_lr": (("lowest",), ""),
    "threshold": (("min_delta",), ""),
    "precision": (("dtype",), ""),
    "monotone_constraints": (("monotonic_cst",), _AT_NETWORK),
    **dict.fromkeys(
        ("dim", "embedding_dim", "embedding_size", "emb_dim", "output_dim"), (("dimension",), "")
    ),
    **dict.fromkeys(
        ("num_embeddings", "input_dim", "cardinality", "vocab_size", "num_categories"),
        (("n_categories",), ""),
    ),
    **dict.fromkeys(("nan", "allow_nan", "has_nan"), (("missing",), "")),
    **dict.fromkeys(
        ("inputs", "embeddings", "embedding_dims", "cat_features", "categorical_features"),
        ((), _INPUTS),
    ),
}


# What a message about a missing argument says of it.
_NEEDED = {"loss": ', such as "squared_error" for numbers or "cross_entropy" for classes'}


def _plain(name):
    """Return a name in lower case, without spaces and punctuation."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def nearest(name, known):
    """Return the one of the known names that `name` probably means, or None."""
    plain = {_plain(each): each for each in known}
    found = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.7)
    return plain[found[0]] if found else None


def advice(kind, name, known):
    """Return the end of a message about an unknown name: what it is called here, if anything.

    Parameters
    ----------
    kind : str
        What is named, such as "loss".
    name : str
    known : collection of str
        The names of that kind.
    """
    here, remark = elsewhere(kind, name)
    if here is None and not remark:
        here = nearest(name, known)
    if here is None:
        return f"; {remark}" if remark else ""
    return f"; did you mean {here!r}?" + (f" ({remark})" if remark else "")


def elsewhere(kind, name):
    """Return what another library's name is called here (or None), and a remark (or "")."""
    foreign, plain = _NAMES.get(kind, {}), _plain(name)
    return foreign.get(plain) or foreign.get(plain.removesuffix("loss")) or (None, "")


_FIGURES = {"val_loss": "validation_loss", "train_loss": "loss", "lr": "learning_rate"}


def of_figure(name, known):
    """Return the end of a message about an unknown name in a `History`, like `advice`."""
    needs = {"validation_loss": "validation_data", "learning_rate": "a schedule"}
    here = _FIGURES.get(name, name)
    if here.startswith("val_"):
        here = f"validation_{here.removeprefix('val_')}"
    if here in needs and here not in known:
        return f"; {here} is recorded if fit has {needs[here]}"
    here = here if here in known else nearest(name, known)
    return f"; did you mean {here!r}?" if here else ""


def of_argument(name, known):
    """Return the end of a message about an unknown argument, like `advice`."""
    names, remark = _ARGUMENTS.get(name, ((), ""))
    here = next((each for each in names if each in known), None)
    if here is None and not remark:
        here = nearest(name, known)
    if here is None:
        return f"; {remark or 'known: ' + ', '.join(known)}"
    return f"; did you mean {here}?"


def unknown_argument(who, name, known):
    """Return the TypeError for an argument that a function does not have."""
    return TypeError(f"{who} has no argument {name!r}{of_argument(name, known)}")


def keywords(function: Function) -> Function:
    """Decorate a function so that its errors say what an unknown argument is called here."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    known, own = frozenset(names), int(names[0] in ("self", "cls"))
    needed = set(names[code.co_argcount :]) - set(function.__kwdefaults__ or {})

    @functools.wraps(function)
    def checked(*args, **kwargs):
        if not known.issuperset(kwargs):
            name = next(each for each in kwargs if each not in known)
            raise _unknown_argument(function, args[:own], name, names[own:])
        if len(args) > code.co_argcount:
            who = _called(function, args[:own])
            by_name = code.co_kwonlyargcount > 0
            raise TypeError(_too_many(who, names[own : code.co_argcount], args[own:], by_name))
        if not needed <= kwargs.keys():
            name = next(each for each in names if each in needed - kwargs.keys())
            who = _called(function, args[:own])
            raise TypeError(f"{who} needs {name}={_NEEDED.get(name, '')}")
        return function(*args, **kwargs)

    return checked  # type: ignore[return-value]


def _unknown_argument(function, owner, name, known):
    """Return the TypeError for an argument, which may be a parameter of the estimator `owner`."""
    who = _called(function, owner)
    if owner and function.__name__ != "__init__" and hasattr(owner[0], "get_params"):
        parameters = owner[0].get_params(deep=False)
        others, _ = _ARGUMENTS.get(name, ((), ""))
        for each in (name, *others):
            if each in parameters and each not in known:
                kind = type(owner[0]).__name__
                return TypeError(f"{who} has no argument {name!r}; pass it as {kind}({each}=...)")
    return unknown_argument(who, name, known)


def _called(function, owner):
    """Return how users call a function; `owner` has the object or the class, if it is a method."""
    if not owner:
        return function.__qualname__
    kind = owner[0] if isinstance(owner[0], type) else type(owner[0])
    return f"{kind.__name__}.{function.__name__}".removesuffix(".__init__")


def without_unknown(function: Function) -> Function:
    """Decorate a function that takes ``**unknown``: its signature has only what it knows.

    The function itself passes `unknown` to `refuse`. Unlike `keywords`, this costs fast functions
    nothing that can be measured.
    """
    signature = inspect.signature(function)
    known = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    function.__signature__ = signature.replace(parameters=known)  # type: ignore[attr-defined]
    return function


def refuse(function, unknown):
    """Raise the TypeError for the first of the arguments that a function does not have."""
    known = [name for name in inspect.signature(function).parameters if name != "self"]
    raise unknown_argument(function.__qualname__, next(iter(unknown)), known)


def _too_many(who, names, values, by_name):
    """Return the message about values that were passed without names, beyond the first ones."""
    if names == ("layer_sizes",) and all(isinstance(value, int) for value in values):
        return f"{who} takes the sizes of all layers as one list: {who}({list(values)}, loss=...)"
    others = "by position and all other arguments by name" if by_name else "and nothing else"
    takes = f"{', '.join(names)} {others}" if names else "all arguments by name"
    return f"{who} takes {takes}, got {len(values)} values without a name"
