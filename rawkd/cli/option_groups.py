"""Options that several commands share, handed to them as one argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import update_wrapper
from typing import Any

Command = Callable[..., int]
Decorator = Callable[[Any], Any]


def gathered(argument: str, options: Sequence[Decorator], names: Iterable[str], make: Callable[..., Any]) -> Decorator:
    """A decorator that gives a command options, in their order, and their values as one argument.

    Parameters
    ----------
    argument : what the command calls it. options : of click. names : of their values. make : takes these by name.
    """
    wanted = tuple(names)

    def decorate(command: Command) -> Command:
        def wrapped(*values: Any, **named: Any) -> int:
            made = make(**{name: named.pop(name) for name in wanted})
            return command(*values, **{argument: made}, **named)

        decorated: Command = update_wrapper(wrapped, command)
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate
