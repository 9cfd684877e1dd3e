"""Reads tensors of ONNX files, which need not be trusted."""

import math

import numpy as np

from .onnx_export import onnx

# Type of a tensor -> NumPy's dtype, and the field of the numbers if they are not raw bytes.
FLOATS = {
    onnx.TensorProto.FLOAT: ("<f4", "float_data"),
    onnx.TensorProto.DOUBLE: ("<f8", "double_data"),
}
INTEGERS = {onnx.TensorProto.INT64: ("<i8", "int64_data")}
BOOLEANS = {onnx.TensorProto.BOOL: ("|b1", "int32_data")}


def name_of(kind):
    """Return the name of a tensor type, NumPy's name if there is one."""
    known = onnx.TensorProto.DataType.values()
    name = onnx.TensorProto.DataType.Name(kind).lower() if kind in known else str(kind)
    return {"float": "float32", "double": "float64"}.get(name, name)


def type_of(array):
    """Return ONNX's tensor type of an array."""
    return onnx.helper.np_dtype_to_tensor_dtype(array.dtype)


def array_of(constant, types=FLOATS):
    """Return a tensor of the file as an array, with all sizes checked, or an array unchanged."""
    names = [np.dtype(name).name for name, _ in types.values()]
    wrong = f"is {'neither' if len(types) > 1 else 'not'} {' nor '.join(names)}"
    if isinstance(constant, np.ndarray):
        if constant.dtype.name not in names:
            raise ValueError(wrong)
        return constant
    tensor = constant
    if tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data:
        raise ValueError(
            "lies in another file, which is not read; store it in this one, with "
            "torch.onnx.export(..., external_data=False) or onnx.save(onnx.load(old), new)"
        )
    if tensor.data_type not in types:
        raise ValueError(wrong)
    shape = tuple(tensor.dims)
    if len(shape) > 2 or any(n < 1 for n in shape):
        raise ValueError(f"has shape {shape}; expected at most 2 axes, none empty")
    name, field = types[tensor.data_type]
    dtype = np.dtype(name)
    if tensor.raw_data:
        if len(tensor.raw_data) != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"of shape {shape} has {len(tensor.raw_data)} bytes")
        return np.frombuffer(tensor.raw_data, dtype).astype(dtype.newbyteorder("=")).reshape(shape)
    data = getattr(tensor, field)
    if len(data) != math.prod(shape):
        raise ValueError(f"of shape {shape} has {len(data)} numbers")
    return np.array(data, dtype.newbyteorder("=")).reshape(shape)


def constant(value=None, value_float=None, value_floats=None, value_int=None, value_ints=None):
    """Return the value of a Constant node, a tensor or an array."""
    if isinstance(value, onnx.TensorProto):
        return value
    for numbers, dtype in (
        *((value_float, np.float32), (value_floats, np.float32)),
        *((value_int, np.int64), (value_ints, np.int64)),
    ):
        if numbers is not None:
            return np.array(numbers, dtype)
    raise ValueError("has no tensor as its value")


def scaled(array, factor):
    with np.errstate(over="ignore", invalid="ignore"):  # Network checks for finite values
        return array if factor == 1 else array * array.dtype.type(factor)


def scalar(x):
    if x.size != 1:
        raise ValueError(f"has a constant of shape {x.shape} where one number is expected")
    return np.float64(x.reshape(()))
