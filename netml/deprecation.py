"""Old names of arguments, which scripts of users still have: they work for one more release, and say so."""

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed_arguments(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function whose keyword arguments have got new names, old=new.

    Raises:
        TypeError: When called with both names of one argument.

    Example:
        >>> @renamed_arguments(colour="color")
        ... def draw(color="red"):
        ...     return color
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in names.keys() & kwargs.keys():
                new = names[old]
                if new in kwargs:
                    raise TypeError(f"{function.__name__} got both {old!r} and {new!r}; {new!r} is the name today")
                warnings.warn(
                    f"argument {old!r} of {function.__name__} is now called {new!r}; the old name goes with netml 0.2",
                    DeprecationWarning,
                    stacklevel=2,
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate
