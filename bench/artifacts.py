"""Reads what a run directory, of this machine or another, tells: `config.json`, `run.json`, `trials.csv`.

Nobody vouches for these files. What later code relies on is checked here, and nothing else comes out than
plain values or a `RecordError`.
"""

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

from bench import files
from bench.errors import brief
from bench.record import RecordError, check_schema

MOST_BYTES = 2**26  # of each file; 10,000 trials take about 6 MB
MOST_COLUMNS = 1000
_TEXT = frozenset(("trial", "status", "program", "error"))  # even where it looks like a number
_PLAIN = {"": None, "True": True, "False": False}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[-+]?[0-9]+)?")


def read_config(workdir: Path) -> dict[str, Any]:
    """`config.json`: `dataset`, `data`, `fingerprint`, `space` as text for each axis, and more.

    Raises:
        RecordError: there is no such file; it is damaged, over `MOST_BYTES`, or of a newer schema.
    """
    path = workdir / "config.json"
    content = _object(path)
    check_schema(content.get("schema"), str(path))
    for name, kind in (("dataset", str), ("fingerprint", str), ("data", dict), ("space", dict)):
        if not isinstance(content.get(name), kind):
            raise RecordError(f"{path}: {name} is missing or damaged: restore the file")
    if not all(isinstance(axis, str) for axis in content["space"].values()):
        raise RecordError(f"{path}: space holds what is no axis: restore the file")
    return content


def read_run(workdir: Path) -> dict[str, Any]:
    """`run.json`: `schema`, `hardware`, `software`, `data`, `programs`, `totals`, …, of `report.views`.

    Numbers are finite. `programs` is a list of objects with an `id` each; `hardware`, `software`, `data` and
    `totals` are objects, or None where they are unknown.

    Raises:
        RecordError: there is no such file; it is damaged, over `MOST_BYTES`, a hardware benchmark's, or of a
            newer schema.
    """
    path = workdir / "run.json"
    content = _object(path)
    check_schema(content.get("schema"), str(path))
    programs = content.get("programs")
    if not isinstance(programs, list) or not all(
        isinstance(program, dict) and isinstance(program.get("id"), str) for program in programs
    ):
        raise RecordError(f"{path} has no list of programs: give a sweep's run directory")
    for name in ("hardware", "software", "data", "totals"):
        if not isinstance(content.get(name), dict | None):
            raise RecordError(f"{path}: {name} is no object: restore the file")
    return content


def _object(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        content = _json(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is damaged ({brief(error)}): restore the file") from error
    if not isinstance(content, dict):
        raise RecordError(f"{path} holds no object: write it again with python -m bench.report")
    return content


def read_trials(workdir: Path) -> list[dict[str, Any]]:
    """`trials.csv`: a dict per trial, in the order they began (`report.views.trials_csv`).

    Every row has the file's columns. Values are text, int, float, bool, list, or None where nothing is known;
    ids, status and error are text whatever they look like. A setting whose text looks like a number, a
    truth value or a list comes back as that, for CSV cannot tell them apart.

    Raises:
        RecordError: there is no such file; it is over `MOST_BYTES`, or damaged: the message names the line.
    """
    path = workdir / "trials.csv"
    lines = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    trials: dict[str, dict[str, Any]] = {}
    try:
        columns = _columns(next(lines, []))
        for cells in lines:
            _add(trials, columns, cells)
    except (csv.Error, ValueError, RecursionError) as error:
        raise RecordError(
            f"{path}, line {lines.line_num}: {brief(error)}: "
            "write it again with python -m bench.report"
        ) from error
    return list(trials.values())


def _columns(cells: list[str]) -> list[str]:
    if len(cells) > MOST_COLUMNS or len(set(cells)) < len(cells):
        raise ValueError(f"over {MOST_COLUMNS} columns, or two of one name")
    for name in ("trial", "status"):
        if name not in cells:
            raise ValueError(f"no column {name!r}")
    return cells


def _add(trials: dict[str, dict[str, Any]], columns: list[str], cells: list[str]) -> None:
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} cells in {len(columns)} columns")
    trial = dict(zip(columns, map(_value, columns, cells), strict=True))
    if not trial["trial"] or not trial["status"]:
        raise ValueError("a trial without id or status")
    if trials.setdefault(trial["trial"], trial) is not trial:
        raise ValueError(f"trial {trial['trial'][:40]!r} is there twice")


def _value(column: str, cell: str) -> Any:
    if column in _TEXT:
        return cell or None
    if cell in _PLAIN:
        return _PLAIN[cell]
    if cell.startswith("[") or _NUMBER.fullmatch(cell):
        return _json(cell)
    return cell


def _text(path: Path) -> str:
    try:
        return files.content(path, MOST_BYTES).decode()
    except OSError as error:
        raise RecordError(
            f"cannot read {path}: {error.strerror}; is it a run directory?"
        ) from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{path} is no UTF-8 text: restore the file") from error


def _json(text: str) -> Any:
    value = _decode(text)
    if "\\u" in text:  # so half of a surrogate pair can be written, which nothing can print
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite number")
    return number


def _int(text: str) -> int:
    if len(text) > 300:  # nor is it then one that a float could hold
        raise ValueError(f"{text[:40]}… is no number of anything")
    return int(text)


_decode = json.JSONDecoder(parse_float=_float, parse_int=_int, parse_constant=_float).decode
