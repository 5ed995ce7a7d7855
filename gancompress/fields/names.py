"""Names that the command line shows in its help, apart from what they stand for: no torch here.

Tests hold them equal to the registries.
"""

from __future__ import annotations

# The programs whose files `import-teacher` reads, each with what it writes.
PROGRAMS: dict[str, str] = {
    "cyclegan": "ResNet or U-Net of the CycleGAN and pix2pix programs, such as latest_net_G_A.pth",
    "gan-compression": (
        "ResNet or MUNIT of GAN Compression: dense, separable, or a compressed one of any widths"
    ),
    "munit": (
        "MUNIT's gen_*.pt with --part a2b (or b2a), or one generator of GAN Compression's MUNIT"
    ),
    "own": "weights of the recipe's own generator (family.file), by the names of its module",
    "spade": (
        "generator of SPADE (GauGAN) without style encoder, or of GAN Compression, latest_net_G.pth"
    ),
    "stargan": (
        "generator of StarGAN, such as 200000-G.ckpt; takes image and label channels as one tensor"
    ),
}

# What must be installed for a file format beside gancompress's own requirements.
_ONNX = ("onnx", "onnxruntime", "onnxscript")
_OPENVINO = ("openvino", *_ONNX)  # it reads what the exporter to ONNX writes
FORMAT_PACKAGES: dict[str, tuple[str, ...]] = {
    "safetensors": (),
    "pt2": (),
    "onnx": _ONNX,
    "onnx-static": _ONNX,
    "onnx-fp16": _ONNX,
    "onnx-int8": _ONNX,
    "openvino": _OPENVINO,
    "openvino-16bit": _OPENVINO,
    "openvino-int8": _OPENVINO,
    "executorch": ("executorch",),
    "web": _ONNX,
}
