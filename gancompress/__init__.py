"""GAN compression: teacher, once-for-all supernet, search, export.

search/, distill/ and export/ stand beside this folder in the repository, and inside of it where
the package is installed; `python -m gancompress` in a clone finds them beside it.
"""

from pathlib import Path as _Path

__version__ = "0.1.0"  # the one place: setup.cfg reads it here

_HERE = _Path(__file__).resolve().parent
_MOVED = ("distill", "export", "search")
if all(
    (_HERE.parent / name / "__init__.py").is_file() and not (_HERE / name).exists()
    for name in _MOVED
):
    __path__.append(str(_HERE.parent))
