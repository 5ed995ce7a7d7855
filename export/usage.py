"""How a user loads each format, in five lines of their own code: what the model card prints.

Every snippet is run by `tests/test_export_usage.py` on files that the exporter has just written.
It starts where `x` is a float32 array (1, C, H, W) of the values that the card names and ends with
`y`, likewise.
"""

from __future__ import annotations

import json

from gancompress.nets.traced.facts import NAMES

_ONNX = """\
import onnxruntime
session = onnxruntime.InferenceSession("{file}")
(y,) = session.run([{output}], {{{input}: x}})"""

_OPENVINO = """\
import openvino
settings = {{"INFERENCE_PRECISION_HINT": "{precision}"}}
model = openvino.Core().compile_model("{file}", "CPU", settings)
y = model(x)[{output}]"""

USAGE: dict[str, str] = {
    "safetensors": """\
import torch
from gancompress.export import load
net = load(".")  # the folder of {file} and arch.json
with torch.inference_mode():
    y = net(torch.from_numpy(x)).numpy()""",
    "pt2": """\
import torch
net = torch.export.load("{file}").module()
y = net(torch.from_numpy(x)).detach().numpy()""",
    "onnx": _ONNX,
    "onnx-static": _ONNX,
    "onnx-fp16": _ONNX,
    "onnx-int8": _ONNX,
    "openvino": _OPENVINO.replace("{precision}", "f32"),
    "openvino-16bit": _OPENVINO.replace("{precision}", "bf16"),  # f16 on Arm
    "openvino-int8": _OPENVINO.replace("{precision}", "bf16"),
    "executorch": """\
import torch
from executorch.runtime import Runtime
method = Runtime.get().load_program("{file}").load_method("forward")
y = method.execute([torch.from_numpy(x)])[0].numpy()""",
    "web": """\
# python -m http.server --directory {file}
# then open http://localhost:8000 in a browser""",
}


def usage_of(format: str, file: str, names: tuple[str, str] = NAMES) -> str:
    """The lines for one format, naming its file, and where it has them the names of its input and
    output. Empty for a format that has none."""
    taken, given = map(json.dumps, names)
    return USAGE.get(format, "").format(file=file, input=taken, output=given)
