"""`ClassifierNet` as an ONNX graph, written node by node: tokens (B, T) and lengths (B) → probabilities (B, C).

Notable: one graph for any number of texts of any length. A loop reads `CHUNK` tokens at a time and carries the LSTMs' state and
the three pools, so memory does not grow with the text. Operators: https://onnx.ai/onnx/operators, and
`DynamicQuantizeLSTM` of https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ulmfit.nn.heads import ClassifierNet

CHUNK = 128  # tokens read at a time; unlike `bptt` it does not affect the result
OPSET, IR_VERSION = 18, 8  # supported by onnxruntime from 1.14 on
LARGEST = 127  # largest quantised weight; with 7 bits only 99.7 % of the labels stay (docs/log.md)
LSTM_PARAMETERS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


class Pools(NamedTuple):
    """The last output, maximum and sum over the pooled tokens: names of (B, E) tensors."""

    last: str
    largest: str
    total: str


def classifier_graph(
    net: ClassifierNet, *, temperature: float = 1.0, low_precision: bool = False
) -> Any:
    """The net in evaluation mode as `onnx.ModelProto`. Low precision: embedding and LSTM weights are int8, with a scale per word
    and per gate of a unit; activations are quantised dynamically."""
    from onnx import TensorProto, helper

    graph = Nodes()
    first = _first_pooled(graph, net)
    pools = _read(graph, net, first, low_precision)
    count = graph("Cast", graph("Sub", "lengths", first), to=TensorProto.FLOAT)
    mean = graph("Div", pools.total, graph("Unsqueeze", count, graph.integers([1])))
    logits = _head(graph, graph("Concat", pools.last, pools.largest, mean, axis=1), net)
    if temperature != 1.0:
        logits = graph("Div", logits, graph.constant(np.array(temperature, np.float32)))
    graph("Softmax", logits, outputs=["probabilities"], axis=1)
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, ["B", "T"]),
        helper.make_tensor_value_info("lengths", TensorProto.INT64, ["B"]),
    ]
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["B", None])
    proto = helper.make_graph(graph.nodes, "ulmfit", inputs, [output], graph.constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(
        proto, opset_imports=opsets, ir_version=IR_VERSION, producer_name="ulmfit"
    )


class Nodes:
    """The nodes of a graph in order of execution, and its constants; a loop's body shares the constants of the graph around it."""

    def __init__(self, around: "Nodes | None" = None) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = [] if around is None else around.constants
        self._names: list[str] = [] if around is None else around._names

    def name(self) -> str:
        """A new, unused name."""
        self._names.append(f"t{len(self._names)}")
        return self._names[-1]

    def __call__(
        self, operator: str, *inputs: str, outputs: list[str] | None = None, **attributes: Any
    ) -> str:
        """Adds a node and returns the name of its first output."""
        from onnx import helper

        outputs = outputs or [self.name()]
        domain = "com.microsoft" if operator == "DynamicQuantizeLSTM" else ""
        node = helper.make_node(operator, inputs, outputs, domain=domain, **attributes)
        self.nodes.append(node)
        return outputs[0]

    def constant(self, array: NDArray[Any]) -> str:
        """Saves an array with the graph and returns its name."""
        from onnx import numpy_helper

        name = self.name()
        self.constants.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def integers(self, value: int | list[int]) -> str:
        return self.constant(np.array(value, np.int64))

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))


def _first_pooled(graph: Nodes, net: ClassifierNet) -> str:
    """(B,) the position where pooling begins: the first chunk of `bptt` tokens that starts at most `max_len` before the end."""
    bptt = graph.integers(net.bptt)
    before = graph("Sub", "lengths", graph.integers(net.max_len))
    before = graph("Max", before, graph.integers(0))
    chunks = graph("Div", graph("Add", before, graph.integers(net.bptt - 1)), bptt)
    return graph("Mul", chunks, bptt)


def _read(graph: Nodes, net: ClassifierNet, first: str, low_precision: bool) -> Pools:
    """The loop over chunks of `CHUNK` tokens; returns the pools after the last."""
    from onnx import TensorProto, helper

    tokens = graph("Transpose", "tokens", perm=[1, 0])  # onnxruntime's LSTM wants time first
    shape = graph("Shape", tokens)
    time, batch = (graph("Gather", shape, graph.integers([i])) for i in (0, 1))
    size, one = graph.integers([net.encoder.config.embedding_size]), graph.integers([1])
    pool = graph("Concat", batch, size, axis=0)
    start = [graph("Expand", graph.number(value), pool) for value in (0.0, -np.inf, 0.0)]
    for lstm in _lstms(net):
        state = graph("Concat", one, batch, graph.integers([lstm.hidden_size]), axis=0)
        start += [graph("Expand", graph.number(0.0), state)] * 2

    body = Nodes(graph)
    before = [body.name() for _ in start]
    again = body("Identity", "again")
    after = _read_chunk(body, net, tokens, first, before, low_precision)
    value = helper.make_tensor_value_info
    number = value("chunk", TensorProto.INT64, [])
    asked, answer = (value(name, TensorProto.BOOL, []) for name in ("again", again))
    old, new = ([value(n, TensorProto.FLOAT, None) for n in names] for names in (before, after))
    loop = helper.make_graph(body.nodes, "chunks", [number, asked, *old], [answer, *new])
    rounded_up = graph("Add", time, graph.integers([CHUNK - 1]))
    chunks = graph("Squeeze", graph("Div", rounded_up, graph.integers([CHUNK])))
    ends = [graph.name() for _ in start]
    graph("Loop", chunks, "", *start, outputs=ends, body=loop)
    return Pools(*ends[:3])


def _read_chunk(
    body: Nodes, net: ClassifierNet, tokens: str, first: str, before: list[str], low_precision: bool
) -> list[str]:
    """The carried tensors (pools, then LSTM states) after chunk number `chunk`."""
    from onnx import TensorProto

    start = body("Mul", "chunk", body.integers(CHUNK))
    begin = body("Unsqueeze", start, body.integers([0]))
    end = body("Add", begin, body.integers([CHUNK]))
    part = body("Slice", tokens, begin, end, body.integers([0]))
    length = body("Gather", body("Shape", part), body.integers(0))
    left = body("Max", body("Sub", "lengths", start), body.integers(0))
    left = body("Cast", body("Min", left, length), to=TensorProto.INT32)  # 0: text ended earlier
    x, after = _embedded(body, part, net, low_precision), list[str]()
    for layer, lstm in enumerate(_lstms(net)):
        state = before[3 + 2 * layer : 5 + 2 * layer]
        x, *state = _lstm(body, lstm, x, left, state, low_precision)
        after += state

    position = body("Add", body("Range", body.integers(0), length, body.integers(1)), start)
    position = body("Unsqueeze", position, body.integers([1]))  # (T, 1) against (B,)
    inside = body("And", body("GreaterOrEqual", position, first), body("Less", position, "lengths"))
    at_end = body("Equal", position, body("Sub", "lengths", body.integers(1)))
    inside, at_end = (body("Unsqueeze", m, body.integers([2])) for m in (inside, at_end))
    time, zero, nothing = body.integers([0]), body.number(0.0), body.number(-np.inf)
    ends = body("ReduceSum", body("Where", at_end, x, zero), time, keepdims=0)
    largest = body("ReduceMax", body("Where", inside, x, nothing), time, keepdims=0)
    total = body("ReduceSum", body("Where", inside, x, zero), time, keepdims=0)
    pools = [
        body("Add", before[0], ends),
        body("Max", before[1], largest),
        body("Add", before[2], total),
    ]
    return pools + after


def _embedded(graph: Nodes, tokens: str, net: ClassifierNet, low_precision: bool) -> str:
    from onnx import TensorProto

    table = _array(net.encoder.embedding.weight)
    if not low_precision:
        return graph("Gather", graph.constant(table), tokens)
    rows, scale = quantised(table, LARGEST, axis=1)
    found = graph("Cast", graph("Gather", graph.constant(rows), tokens), to=TensorProto.FLOAT)
    return graph("Mul", found, graph("Gather", graph.constant(scale), tokens))


def _lstm(
    graph: Nodes, lstm: nn.LSTM, x: str, lengths: str, state: list[str], low_precision: bool
) -> list[str]:
    """Output (T, B, H), and the state h and c."""
    to_input, to_state, *biases = (_array(lstm.get_parameter(n)) for n in LSTM_PARAMETERS)
    bias = graph.constant(np.concatenate([_gates(b) for b in biases])[None])
    matrices, scales = list[str](), list[str]()
    for matrix in (_gates(to_input), _gates(to_state)):
        if low_precision:  # expects (inputs, 4H), with a scale and a zero point for each of the 4H
            integers, scale = quantised(matrix.T, LARGEST, axis=0)
            matrices.append(graph.constant(integers[None]))
            scales += [graph.constant(scale), graph.constant(np.zeros(scale.shape, np.int8))]
        else:
            matrices.append(graph.constant(matrix[None]))
    outputs = [graph.name() for _ in "yhc"]
    operator = "DynamicQuantizeLSTM" if low_precision else "LSTM"
    inputs = [x, *matrices, bias, lengths, *state, *(["", *scales] if low_precision else [])]
    graph(operator, *inputs, outputs=outputs, hidden_size=lstm.hidden_size)
    return [graph("Squeeze", outputs[0], graph.integers([1])), *outputs[1:]]


def _head(graph: Nodes, pooled: str, net: ClassifierNet) -> str:
    """(B, C) logits."""
    x = pooled
    for block, (norm, linear) in enumerate(zip(net.head.norms, net.head.linears, strict=True)):
        if block > 0:
            x = graph("Relu", x)
        assert isinstance(norm, nn.BatchNorm1d)
        learnt = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
        x = graph(
            "BatchNormalization",
            x,
            *(graph.constant(_array(t)) for t in learnt if t is not None),
            epsilon=norm.eps,
        )
        x = graph("MatMul", x, graph.constant(_array(linear.get_parameter("weight")).T))
    return x


def quantised(
    matrix: NDArray[np.float32], largest: int, axis: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(integers, scale) with integers · scale ≈ matrix; `scale` has size 1 along `axis`."""
    scale = np.maximum(np.abs(matrix).max(axis=axis, keepdims=True), 1e-12) / largest
    return np.round(matrix / scale).astype(np.int8), scale.astype(np.float32)


def _lstms(net: ClassifierNet) -> list[nn.LSTM]:
    return [lstm for lstm in net.encoder.lstms if isinstance(lstm, nn.LSTM)]


def _gates(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """PyTorch's order of gates (input, forget, cell, output) → ONNX's (input, output, forget, cell)."""
    input_, forget, cell, output = np.split(matrix, 4)
    return np.concatenate([input_, output, forget, cell])


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.detach().cpu().numpy()
