"""The cell that a biophysics function gets: lists of its sections that follow what the function does to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

KINDS = ("soma", "dend", "apic", "axon")


def is_alive(sec: Any) -> bool:
    """Whether a section is there still; Python holds those that were deleted, too."""
    try:
        sec.name()
    except ReferenceError:
        return False
    return True


class Sections(list):
    """A list of sections, walked over without those that are deleted, by whoever walks over it."""

    def __iter__(self) -> Iterator[Any]:
        return filter(is_alive, tuple(super().__iter__()))

    def drop_deleted(self) -> Sections:
        """Itself, shortened."""
        self[:] = list(self)
        return self


def _kind(name: str) -> Any:
    return property(lambda cell: cell._lists[name].drop_deleted(), lambda cell, sections: cell._set(name, sections))


class Cell:
    """Lists soma, dend, apic and axon of sections, empty where there are none, and all.

    A function may delete sections, append some and put other lists in place; what is in one of the kinds is in all.
    """

    soma, dend, apic, axon = map(_kind, KINDS)

    def __init__(self) -> None:
        self._lists = {name: Sections() for name in (*KINDS, "all")}

    def __str__(self) -> str:
        return "cell"

    def _set(self, name: str, sections: Iterable[Any]) -> None:
        self._lists[name] = Sections([sections] if type(sections).__name__ == "Section" else sections)

    @property
    def all(self) -> Sections:
        """Every section of the cell."""
        every = self._lists["all"].drop_deleted()
        every += [sec for kind in KINDS for sec in self._lists[kind] if sec not in every]
        return every

    @all.setter
    def all(self, sections: Iterable[Any]) -> None:
        self._set("all", sections)
