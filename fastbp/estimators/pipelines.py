"""What steps of scikit-learn's pipelines are."""


def passes(step):
    """Whether a step of a pipeline hands on what it gets."""
    return step is None or isinstance(step, str) and step == "passthrough"


def described(model):
    """The class of a model or step, with the package that it is from; or what a text says."""
    if isinstance(model, str):
        return repr(model)
    kind = model if isinstance(model, type) else type(model)
    name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}".removeprefix("builtins.")
    return f"the class {name}" if kind is model else name
