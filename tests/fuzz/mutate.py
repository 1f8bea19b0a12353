"""Damage: what turns a valid file into one that a reader must refuse, or bear."""

import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

NUMBERS = sorted(
    {s * (2**k + d) for k in (0, 7, 8, 15, 16, 31, 32, 63) for d in (-1, 0) for s in (1, -1)}
)
ODD_NAMES = (
    "", ".", "..", "/", "/etc/passwd", "../x.png", "cat/../../x.png", "cat/\n.png", "cat/\x1b[2J.png",
    "cat/é\u202e.png", "\udcff/x.png", "cat/1.png", "cat", "cat/", "cat\\1.png", ".hidden/1.png",
    "a/" * 40 + "x.png", "n" * 5000, "cat/" + "x" * 300, "C:/x.png", "//x", "cat//1.png", "\0",
)  # fmt: skip

_DEEP, _HUGE = "@deep@", "@huge@"
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "0", "x", "é\n\x1b[31m", "\ud800", "x" * 3000, [], {}, [[]], [None], {"": 0}, [1, "x"], _DEEP, _HUGE,
)  # fmt: skip


def damaged(random: Random, content: bytes, other: bytes = b"") -> bytes:
    """`content` after one to four kinds of damage; pieces of `other` may get into it."""
    body = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        random.choice(_DAMAGE)(random, body, other)
    return bytes(body)


def _place(random: Random, body: bytearray) -> int:
    """Anywhere; half of the time in the first bytes, where headers are."""
    return random.randrange(max(1, min(len(body), random.choice((64, len(body))))))


def _piece(random: Random, body: bytes | bytearray) -> bytes:
    start = random.randrange(len(body) + 1)
    return bytes(body[start : start + random.choice((1, 2, 8, 64, 1000))])


def _flip(random: Random, body: bytearray, other: bytes) -> None:
    if body:
        body[_place(random, body)] ^= 1 << random.randrange(8)


def _byte(random: Random, body: bytearray, other: bytes) -> None:
    if body:
        body[_place(random, body)] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))


def _number(random: Random, body: bytearray, other: bytes) -> None:
    width, code = random.choice(((1, "B"), (2, "H"), (4, "I"), (8, "Q")))
    start = _place(random, body)
    value = random.choice(NUMBERS) % (1 << 8 * width)
    body[start : start + width] = struct.pack(random.choice("<>") + code, value)


def _cut(random: Random, body: bytearray, other: bytes) -> None:
    del body[_place(random, body) :]


def _remove(random: Random, body: bytearray, other: bytes) -> None:
    start = _place(random, body)
    del body[start : start + random.choice((1, 4, 16, 256))]


def _insert(random: Random, body: bytearray, other: bytes) -> None:
    start = _place(random, body)
    source = random.choice((bytes(body), other, random.randbytes(64), b"\0" * 64, b"9" * 64))
    body[start:start] = _piece(random, source)


def _overwrite(random: Random, body: bytearray, other: bytes) -> None:
    start, piece = _place(random, body), _piece(random, random.choice((bytes(body), other)))
    body[start : start + len(piece)] = piece


def _noise(random: Random, body: bytearray, other: bytes) -> None:
    """Nothing but the first bytes stays."""
    body[random.choice((2, 4, 8, 16)) :] = random.randbytes(random.choice((0, 8, 100, 2000)))


_DAMAGE: tuple[Callable[[Random, bytearray, bytes], None], ...] = (
    _flip, _flip, _byte, _byte, _number, _number, _cut, _remove, _insert, _overwrite, _noise,
)  # fmt: skip


def altered(random: Random, value: Any) -> bytes:
    """A JSON value as text, with one to three of its parts removed, doubled, or replaced by extremes."""
    for _ in range(random.choice((1, 1, 2, 3))):
        value = _alter(random, value)
    text = json.dumps(value, ensure_ascii=random.random() < 0.9).replace(f'"{_HUGE}"', "1e999")
    deep = "[" * 100_000 + "]" * 100_000
    return text.replace(f'"{_DEEP}"', deep).encode("utf-8", "surrogatepass")


def _alter(random: Random, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or random.random() < 0.1:
        return random.choice(_VALUES)
    key = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
    changed = value.copy()
    if random.random() < 0.6:
        changed[key] = _alter(random, value[key])
    elif random.random() < 0.5:
        del changed[key]
    elif isinstance(changed, dict):
        changed[random.choice(("schema", "x", "", *value))] = value[key]
    else:
        changed.insert(key, value[key])
    return changed
