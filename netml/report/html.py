"""One self-contained HTML page: text, tables and figures, nothing loaded from elsewhere."""

import base64
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from netml.files import replacing
from netml.report.tables import Table


@dataclass(frozen=True)
class Picture:
    """A figure as PNG bytes, with what it shows."""

    name: str
    png: bytes
    caption: str

    @property
    def base64(self) -> str:
        return base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Section:
    """A part of a page; ``text`` paragraphs say what was measured and how."""

    title: str
    text: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """A report. ``headline`` holds pairs of a label and a figure; ``facts`` pairs of a name and a value.

    ``verdict`` is the sentence that the page opens with, if it has one.
    """

    title: str
    summary: str
    headline: list[tuple[str, str]]
    warnings: list[str]
    sections: list[Section]
    facts: list[tuple[str, str]]
    facts_title: str = "What was compared"
    verdict: str = ""


def render(page: Page) -> str:
    """The page as HTML; everything that came from files is escaped."""
    from jinja2 import Environment, StrictUndefined

    template = resources.files("netml.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(page=page)


def write_page(folder: Path, page: Page) -> Path:
    """Write ``report.html`` and every picture as PNG to ``folder``; returns the page's path."""
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for section in page.sections:
        for picture in section.pictures:
            with replacing(figures / f"{picture.name}.png") as path:
                path.write_bytes(picture.png)
    with replacing(folder / "report.html") as path:
        path.write_text(render(page), encoding="utf-8")
    return folder / "report.html"
