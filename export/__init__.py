"""From a subnet to files that run elsewhere: formats, proof that they agree, speed, a report."""

from __future__ import annotations

from gancompress.export.weights import load

__all__ = ["load"]
