"""The one table of operations: what each function of torch does to maps. Nothing else in the program lists their names.

A function that is not in the table has the kind UNKNOWN: nothing is assumed of it.
"""

from typing import NamedTuple

CONVOLUTION = "convolution"
TRANSPOSED = "transposed convolution"
MATRIX = "matrix"  # a linear layer
MAX_POOL, MEAN_POOL, NORM_POOL, GLOBAL_POOL = "max pool", "mean pool", "norm pool", "global pool"
BATCH_NORM, CONTRAST_NORM, GROUP_NORM, LAYER_NORM = "batch norm", "contrast norm", "group norm", "layer norm"
ACTIVATION, CLAMP, GATE = "activation", "clamp", "gate"
SUM, PRODUCT = "sum", "product"
POWER, CHOICE, COMPARISON = "power", "choice", "comparison"
INERT, MOVE, SHAPE, JOIN, CUT, INDEX, PAD, ROLL = "inert", "move", "shape", "join", "cut", "index", "pad", "roll"
RESAMPLE, TO_SPACE, FROM_SPACE, SHUFFLE = "resample", "channels to space", "space to channels", "shuffle"
REDUCTION, ASSIGNMENT, MIX, CONSTANT, UNKNOWN = "reduction", "assignment", "mix", "constant", "unknown"

_NAMES = {
    CONVOLUTION: "conv2d",
    TRANSPOSED: "conv_transpose2d",
    MATRIX: "linear",
    MAX_POOL: "max_pool2d",
    MEAN_POOL: "avg_pool2d",
    NORM_POOL: "lp_pool2d",
    GLOBAL_POOL: "adaptive_avg_pool2d adaptive_max_pool2d",
    BATCH_NORM: "batch_norm",
    CONTRAST_NORM: "local_response_norm",
    GROUP_NORM: "group_norm instance_norm",
    LAYER_NORM: "layer_norm rms_norm",
    ACTIVATION: """
        relu relu_ relu6 hardtanh hardtanh_ leaky_relu leaky_relu_ elu elu_ selu selu_ celu celu_ gelu silu mish
        hardswish softplus prelu threshold _threshold threshold_
    """,
    CLAMP: "clamp clamp_ clip clip_ clamp_min clamp_min_",  # a ReLU where the lower limit is 0
    GATE: "rrelu hardsigmoid sigmoid sigmoid_ tanh tanh_ clamp_max clamp_max_",
    SUM: "add add_ __add__ __iadd__ __radd__ sub sub_ __sub__ __isub__ __rsub__ neg",
    PRODUCT: "mul mul_ __mul__ __imul__ __rmul__ multiply div div_ __truediv__ __itruediv__",
    POWER: "exp log pow __pow__ sqrt rsqrt square reciprocal __rdiv__ __rtruediv__",
    CHOICE: "abs maximum minimum max min fmax where masked_fill masked_fill_ sign",
    COMPARISON: "gt __gt__ ge __ge__ lt __lt__ le __le__",
    INERT: """
        dropout dropout_ dropout2d feature_dropout alpha_dropout contiguous clone detach to float double half bfloat16
        type_as
    """,  # in eval mode
    MOVE: "permute transpose swapaxes swapdims movedim moveaxis t",
    SHAPE: "view reshape flatten unflatten squeeze unsqueeze view_as reshape_as",
    JOIN: "cat concat concatenate",
    CUT: "chunk split",
    INDEX: "__getitem__",
    PAD: "pad",
    ROLL: "roll",
    RESAMPLE: "interpolate",
    TO_SPACE: "pixel_shuffle",
    FROM_SPACE: "pixel_unshuffle",
    SHUFFLE: "channel_shuffle",
    REDUCTION: "mean sum amax amin softmax",
    ASSIGNMENT: "__setitem__",
    MIX: """
        matmul __matmul__ bmm einsum scaled_dot_product_attention gather index_select take rot90 as_strided
    """,
    CONSTANT: "zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_tensor",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}

# Position by position, whatever the layout of the tensors in memory.
POSITIONWISE = {ACTIVATION, CLAMP, GATE, SUM, PRODUCT, POWER, CHOICE, COMPARISON, INERT, BATCH_NORM, CONTRAST_NORM}
# The signal passes down without any value of the forward pass. A product does where it has one factor of the image.
LINEAR = {
    CONVOLUTION, TRANSPOSED, MATRIX, MEAN_POOL, SUM, INERT, MOVE, SHAPE, JOIN, CUT, INDEX, PAD, SHUFFLE, RESAMPLE,
    TO_SPACE, FROM_SPACE,
}  # fmt: skip
# Their input has rows and columns in its last two dimensions.
OF_MAPS = {
    CONVOLUTION, TRANSPOSED, MAX_POOL, MEAN_POOL, NORM_POOL, GLOBAL_POOL, BATCH_NORM, CONTRAST_NORM, GROUP_NORM,
    RESAMPLE, TO_SPACE, FROM_SPACE, SHUFFLE,
}  # fmt: skip
# Their output may share memory with their input.
VIEWS = {MOVE, SHAPE, CUT, INDEX, INERT, PAD, MIX, UNKNOWN}
NORMS = {BATCH_NORM, CONTRAST_NORM, GROUP_NORM, LAYER_NORM}
POOLS = {MAX_POOL, MEAN_POOL, NORM_POOL, GLOBAL_POOL}
WEIGHTS = {CONVOLUTION, TRANSPOSED, MATRIX}
_BOUNDED = """
    relu6 hardtanh hardtanh_ clamp clamp_ clip clip_ clamp_max clamp_max_ hardsigmoid sigmoid sigmoid_ tanh tanh_
"""
BOUNDED = set(_BOUNDED.split())  # functions with an upper bound, at which they are flat
_RECTIFIERS = "relu relu_ relu6 hardtanh hardtanh_ leaky_relu leaky_relu_ gelu silu hardswish"
RECTIFIERS = set(_RECTIFIERS.split())  # activations that leave a unit off below zero, about

_ARGUMENTS = {  # in the order of positional arguments
    "conv2d": "input weight bias stride padding dilation groups",
    "conv_transpose2d": "input weight bias stride padding output_padding groups dilation",
    "max_pool2d": "input kernel_size stride padding dilation ceil_mode return_indices",
    "avg_pool2d": "input kernel_size stride padding ceil_mode count_include_pad divisor_override",
    "batch_norm": "input running_mean running_var weight bias training momentum eps",
    "interpolate": "input size scale_factor mode align_corners recompute_scale_factor antialias",
    "pixel_shuffle": "input upscale_factor",
    "pixel_unshuffle": "input downscale_factor",
    "cat": "tensors dim",
    "concat": "tensors dim",
    "concatenate": "tensors dim",
    "chunk": "input chunks dim",
    "split": "input split_size_or_sections dim",
    "pad": "input pad mode value",
    "linear": "input weight bias",
    "layer_norm": "input normalized_shape weight bias eps",
    "transpose": "input dim0 dim1",
}


class Operation(NamedTuple):
    """What is known of a function by its name. arguments: names of its positional arguments, in order."""

    kind: str
    arguments: tuple[str, ...]


_ROWS = {name: Operation(kind, tuple(_ARGUMENTS.get(name, "").split())) for name, kind in _KINDS.items()}
_UNKNOWN_ROW = Operation(UNKNOWN, ())


def operation(name: str) -> Operation:
    """The row of the table for a function of this name."""
    return _ROWS.get(name, _UNKNOWN_ROW)
