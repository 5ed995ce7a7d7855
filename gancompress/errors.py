"""Errors that a user can cause; the command line prints them in one sentence and exits 2."""


class GanCompressError(Exception):
    """Something in the user's hands is wrong.

    The message reads *where: what was found; what is allowed or what to do*.
    """


class ArchError(GanCompressError):
    """A network that its family, search space or image size does not admit."""


class RecipeError(GanCompressError):
    """A recipe that cannot be read or does not make sense."""


class ForeignCodeError(RecipeError):
    """Code that a recipe from elsewhere names, and that nobody here stands for."""


class DataError(GanCompressError):
    """A folder or image that cannot be used."""


class CheckpointError(GanCompressError):
    """A weights or state file that is truncated, tampered with or of another kind."""


class RunError(GanCompressError):
    """A run directory that belongs to another recipe, or lacks the stage before this one."""


class BudgetError(GanCompressError):
    """A budget that no generator of the search space meets."""


class MetricError(GanCompressError):
    """A metric that cannot be computed here: missing weights, too few images."""


class ExportError(GanCompressError):
    """A model file that cannot be written, or that differs from the supernet's own output."""


class UnhealthyError(GanCompressError):
    """Training that goes on but leads nowhere; see `gancompress.training.health`."""


class DivergedError(UnhealthyError):
    """Training produced values that are not finite."""
