"""JSON from outside, checked whole at the door against a schema.

Importing pydantic takes 0.1 s, which the ranks of a detailed circuit need not spend: what they load imports this
module, and schemas, inside the function that reads.
"""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from netml.errors import NetmlError

SHOWN = 3  # problems of a file that a message names


class Checked(BaseModel):
    """A mapping in a file: its types are strict, its numbers finite; further keys are other programs' business."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, frozen=True)


class Format(Checked):
    """What a file says it is; read before the rest, which another version may write otherwise."""

    format: str
    version: int


Schema = TypeVar("Schema", bound=Checked)


def parse(schema: type[Schema], text: str | bytes, name: str, error: type[NetmlError], remedy: str) -> Schema:
    """Read JSON text.

    Args:
        schema: What it must be.
        text: JSON.
        name: What messages call it.
        error: Raised for whatever is wrong.
        remedy: What its message ends with.

    Raises:
        error: No JSON, or not as the schema has it.
    """
    try:
        return schema.model_validate_json(text)
    except ValidationError as found:
        raise error(f"{name} is damaged: {problems(found)}; {remedy}") from None


def read(schema: type[Schema], path: Path, error: type[NetmlError], remedy: str) -> Schema:
    """Read a JSON file; see :func:`parse`."""
    return parse(schema, contents(path, error), str(path), error, remedy)


def contents(path: Path, error: type[NetmlError]) -> bytes:
    """The bytes of a file.

    Raises:
        error: It cannot be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as found:  # ValueError: a name that no file can have
        raise error(f"cannot read {path}: {getattr(found, 'strerror', None) or found}") from found


def check_format(text: str | bytes, known: tuple[str, int], name: str, error: type[NetmlError], remedy: str) -> None:
    """Refuse JSON text of another ``format`` or ``version``.

    Raises:
        error: No JSON, or another kind of file.
    """
    found = parse(Format, text, name, error, remedy)
    if (found.format, found.version) != known:
        raise error(
            f"{name} has format {found.format!r} version {found.version}; this netml reads {known[0]!r} version "
            f"{known[1]}: {remedy}, or install the netml that wrote it"
        )


def problems(error: ValidationError) -> str:
    """What is wrong, where and what stands there, in one line."""
    found = error.errors(include_url=False, include_context=False)
    said = [f"{'.'.join(map(str, one['loc']))}: {_said(one)}" if one["loc"] else _said(one) for one in found[:SHOWN]]
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "; ".join(said + more)


def _said(problem) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] in ("missing", "value_error", "json_invalid"):
        return message
    return f"{message}, got {problem['input']!r:.60}"
