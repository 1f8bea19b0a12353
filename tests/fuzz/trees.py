"""Image folders and archives of them, made to be refused, or to be borne."""

import gzip
import io
import os
import socket
import stat
import tarfile
import warnings
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random

from tests.fuzz import pictures
from tests.fuzz.mutate import NUMBERS, ODD_NAMES, damaged

NAMES = ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")


def picture(name: str) -> bytes:
    """What lies under a name: in colour, or for any name that is not one of ours black and white."""
    return pictures.valid("PNG")[3 if name in NAMES else 0]


def _name(random: Random) -> str:
    return random.choice((*NAMES, *ODD_NAMES))


@cache
def tar(form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        long = () if form == tarfile.USTAR_FORMAT else ("cat/" + "3" * 120 + ".png",)
        for name in (*NAMES, *long):
            member = tarfile.TarInfo(name)
            member.size = len(picture(name))
            archive.addfile(member, io.BytesIO(picture(name)))
    return file.getvalue()


_TYPES = (*(b"%d" % digit for digit in range(8)), b"D", b"S", b"L", b"K", b"x", b"g", b"Z")
_LINKS = ("/etc/passwd", "../x", "cat/1.png")
_PAX = (
    "size",
    "path",
    "GNU.sparse.map",
    "GNU.sparse.size",
    "GNU.sparse.major",
    "mtime",
    "hdrcharset",
)
_PAX_VALUES = ("0", "-1", "1", "9" * 400, "0,5,1000,9", "BINARY", "\udcff", str(2**63))
# Of a header: name, mode, size (twice), time, type, link, prefix, GNU's sparse map; start and length.
_FIELDS = (
    (0, 100), (100, 8), (124, 12), (124, 12), (136, 12), (156, 1), (157, 100), (345, 155), (386, 90),
)  # fmt: skip
_MODES = (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFCHR, 0xFFFF)


def odd_tar(random: Random) -> bytes:
    """A well-formed archive of odd members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=random.choice((0, 1, 2))) as archive:
        for name in (*NAMES, *(_name(random) for _ in range(random.randrange(4)))):
            member, content = tarfile.TarInfo(name or "x"), picture(name)
            member.size = len(content)
            if random.random() < 0.2:
                member.type, member.linkname = random.choice(_TYPES), random.choice(_LINKS)
            if random.random() < 0.2:
                member.pax_headers = {random.choice(_PAX): random.choice(_PAX_VALUES)}
            with suppress(ValueError, OverflowError, UnicodeError):  # names no tar can hold
                archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def false_tar(random: Random) -> bytes:
    """Headers with damaged fields and the right checksums."""
    body = bytearray(tar(random.choice((0, 1, 2))))
    heads = [i for i in range(0, len(body) - 512, 512) if body[i + 257 : i + 262] == b"ustar"]
    for start in random.sample(heads, random.choice((1, 1, 2))):
        head = bytearray(body[start : start + 512])
        place, width = random.choice(_FIELDS)
        fill = _field(random, width)
        head[place : place + len(fill)] = fill
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        body[start : start + 512] = head
    return bytes(body)


def _field(random: Random, width: int) -> bytes:
    number = abs(random.choice(NUMBERS))
    return random.choice((
        b"%0*o" % (width - 1, number), b"\x80" + number.to_bytes(max(11, width - 1), "big"), b"\xff" * width,
        random.choice(ODD_NAMES).encode("utf-8", "surrogateescape") + b"\0", random.randbytes(width),
        random.choice(_TYPES),
    ))[-width:]  # fmt: skip


@cache
def packed() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            archive.writestr(name, picture(name))
    return file.getvalue()


def odd_zip(random: Random) -> bytes:
    """A well-formed archive of odd members."""
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "w") as archive:
        for name in (*NAMES, *(_name(random) for _ in range(random.randrange(4)))):
            info, content = zipfile.ZipInfo(name), picture(name)
            info.compress_type = random.choice((0, 8, 8, 8, 8, 8, 8, 12, 14))
            if random.random() < 0.2:
                info.external_attr = random.choice(_MODES) << 16
            if random.random() < 0.1:
                content = damaged(random, content)
            with suppress(ValueError, UnicodeError):  # names no zip can hold
                archive.writestr(info, content)
    return file.getvalue()


def archive(kind: str, random: Random) -> bytes:
    """A damaged or odd archive: ".tar", ".tar.gz" or ".zip"."""
    if kind == ".zip":
        return damaged(random, packed(), tar()) if random.random() < 0.6 else odd_zip(random)
    if random.random() < 0.3:
        body = damaged(random, tar(), packed())
    else:
        body = random.choice((odd_tar, false_tar))(random)
    if kind == ".tar":
        return body
    whole = gzip.compress(body, 1, mtime=0)
    return whole if random.random() < 0.7 else damaged(random, whole, whole)


def folder(random: Random, root: Path) -> None:
    """A folder with odd things in it."""
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(name))
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        inside = root / random.choice(("", "cat", "dog"))
        place = inside / random.choice(("x.png", "y", ".z", "1.png", "cat"))
        if not os.path.lexists(place):  # a link would lead outside, and a pipe wait for a reader
            with suppress(OSError):
                random.choice(_ODD)(random, place)


_TARGETS = (
    "/etc/passwd", "..", ".", "../..", "x.png", "../cat/1.png", "../dog", "/dev/zero", "missing", "x" * 200,
)  # fmt: skip


def _link(random: Random, place: Path) -> None:
    place.symlink_to(random.choice(_TARGETS))


def _pipe(random: Random, place: Path) -> None:
    os.mkfifo(place)


def _socket(random: Random, place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))


def _deep(random: Random, place: Path) -> None:
    inner = place.joinpath(*["d"] * random.choice((2, 15, 200)))
    inner.mkdir(parents=True)
    if random.random() < 0.5:
        (inner / "1.png").write_bytes(picture("cat/1.png"))


def _bytes_name(random: Random, place: Path) -> None:
    name = random.choice((b"\xff\xfe.png", b"a\nb.png", b"\x1b[2J", "é.png".encode(), b"n" * 255))
    (place.parent / os.fsdecode(name)).write_bytes(picture("cat/1.png"))


def _damaged(random: Random, place: Path) -> None:
    place.write_bytes(damaged(random, picture("cat/1.png")))


_ODD = (_link, _link, _pipe, _socket, _deep, _bytes_name, _damaged)
