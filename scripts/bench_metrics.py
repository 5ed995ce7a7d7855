"""Seconds that each metric takes for 512 images of 64 pixels, on one thread.

    python scripts/bench_metrics.py             # --images 512 --size 64

Noise stands in for images. "first" is the first generator's scoring, with what a metric works out
of the real images for all; "next" is every further one's, without the generator's own time. The
feature network is EfficientNet-Lite0 at 128 pixels, the classifier the same at 224 (extra
`quickstart`).
"""

from __future__ import annotations

import argparse
import time

import torch
from noiseimages import NoiseImages

from gancompress.metrics import METRICS, metric_named
from gancompress.metrics.classifiers import effnet_classifier
from gancompress.metrics.efficientnet import EffNetLite0
from gancompress.metrics.evaluate import Evaluator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data, net, asked = NoiseImages(args.images, args.size), EffNetLite0(), effnet_classifier("cpu")
    print(f"{'metric':<10} {'first':>8} {'next':>8}  seconds, n={args.images}, {args.size} px")
    for name in METRICS:
        features = net if "features" in metric_named(name).needs else None
        evaluator = Evaluator(data, "test", features, 32, metrics=[name], classifier=asked)
        list(evaluator.batches)  # read the images
        taken = []
        for _ in range(2):
            start = time.perf_counter()
            evaluator.score(torch.neg)
            taken.append(time.perf_counter() - start)
        print(f"{name:<10} {taken[0]:>8.2f} {taken[1]:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
