"""What sums of products, attention and transforms along axes do with channels."""

from __future__ import annotations

from gancompress.nets.traced.identities import Axes, Ids, NodeView, UnknownUse, Value


def matmul(at: NodeView) -> Axes:
    x, y = at.args[0], at.args[1]
    if len(x.shape) < 2 or len(y.shape) < 2:
        raise UnknownUse
    at.meet(x.axes[-1], y.axes[-2])
    return (*_batches(at, x, y), x.axes[-2], y.axes[-1])


def _batches(at: NodeView, *values: Value) -> list[Ids | None]:
    """The axes before the last two, of one product each."""
    rest: list[Ids | None] = []
    for place in range(-len(at.shape), -2):
        own = [v.axes[place] for v in values if len(v.shape) >= -place and v.shape[place] > 1]
        one = own[0] if own else None
        for other in own[1:]:
            one = at.meet(one, other)
        rest.append(one)
    return rest


def added_product(at: NodeView) -> Axes:
    """`addmm` and the like: a product that something is added to."""
    bias, x, y = at.args[:3]
    at.meet(x.axes[-1], y.axes[-2])
    axes = [*_batches(at, x, y), x.axes[-2], y.axes[-1]]
    for place in range(-len(bias.shape), 0):
        if bias.shape[place] > 1:
            axes[place] = at.meet(axes[place], bias.axes[place])
    return tuple(axes)


def einsum(at: NodeView) -> Axes:
    """Each letter is an axis, which is the same wherever it occurs."""
    equation = str(at.args[0]).replace(" ", "")
    given, arrow, made = equation.partition("->")
    if not arrow or "." in equation:
        raise UnknownUse
    axes: dict[str, Ids | None] = {}
    for letters, value in zip(given.split(","), at.args[1], strict=True):
        for letter, size, own in zip(letters, value.shape, value.axes, strict=True):
            if size > 1:
                axes[letter] = at.meet(axes[letter], own) if letter in axes else own
    return tuple(axes.get(letter) for letter in made)


def attention(at: NodeView) -> Axes:
    q, k, v = at.args[:3]
    at.meet(q.axes[-1], k.axes[-1])
    return (*_batches(at, q, k, v), q.axes[-2], v.axes[-1])


def along(at: NodeView) -> Axes:
    """Works along axes of places, which it names or which are the last two."""
    x = at.args[0]
    place = 1 if at.node.op in ("cumsum", "cumprod", "diff") else 2
    named = at.argument(place, "dim")
    if at.node.op in ("fft_rfft", "fft_irfft", "fft_fft", "fft_ifft") and named is None:
        named = -1
    over = [named] if isinstance(named, int) else named or (-2, -1)
    axes = list(x.axes)
    for axis in over:
        at.keep(axes[axis], "have an order")
        axes[axis] = None
    return tuple(axes)


def paired(at: NodeView) -> Axes:
    """Complex numbers as pairs on a last axis of two, and back."""
    axes: Axes = at.args[0].axes
    return (*axes, None) if at.node.op == "view_as_real" else axes[:-1]


def sampled(at: NodeView) -> Axes:
    """`grid_sample`: each channel at the same places."""
    x, grid = at.args[:2]
    for own in grid.axes:
        at.keep(own, "say which places are taken")
    return (None, x.axes[1], *[None] * (len(at.shape) - 2))
