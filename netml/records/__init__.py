"""Recordings to learn from: what reached a cell and what it did.  The format is in README.md beside this file."""

from netml.records.reader import Records
from netml.records.trial import CellInfo, Trial
from netml.records.writer import RecordWriter, write_index

__all__ = ["CellInfo", "RecordWriter", "Records", "Trial", "write_index"]
