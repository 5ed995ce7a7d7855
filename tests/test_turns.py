"""Who is called when."""

from __future__ import annotations

from gancompress.turns import in_turns


def test_every_other_round_goes_backwards_and_all_are_told_in_one_order() -> None:
    called: list[str] = []

    def call(name: str) -> int:
        called.append(name)
        return len(called)

    rounds = in_turns({name: lambda name=name: call(name) for name in "abc"}, 3)  # type: ignore[misc]
    assert called == []
    assert list(next(rounds).items()) == [("a", 1), ("b", 2), ("c", 3)]
    assert "".join(called) == "abc"
    assert list(next(rounds).items()) == [("a", 6), ("b", 5), ("c", 4)]
    assert len(list(rounds)) == 1 and "".join(called) == "abc" + "cba" + "abc"
