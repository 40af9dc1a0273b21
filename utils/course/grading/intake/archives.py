"""Files out of folders and zips that strangers made: read by name into memory, never unpacked.

What is no regular file, is named so that it would land elsewhere, or is too much, becomes a problem, not an error.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from utils.course.errors import CourseError

FILE_BYTES = 20 << 20
MEMBERS = 50_000
DEPTH = 12
# What an entry takes in a zip's directory, generously.
ENTRY_BYTES = 200
# Installed packages, caches, what a zip made on a Mac brings: nobody's work.
NO_WORK = {"__MACOSX", "__pycache__", "node_modules", "site-packages", "venv"}


class Unreadable(CourseError):
    """Something handed in that cannot be read; the message is for the student."""


@dataclass(frozen=True)
class Member:
    """A file that has not been read yet. `path` is relative to what holds it; nothing is ever written there.

    read(limit): its bytes, while the archive is open. Raises Unreadable where it is damaged or larger.
    """

    path: PurePosixPath
    modified: datetime
    read: Callable[[int], bytes]


@dataclass(frozen=True)
class Problem:
    """Something that was left out, and why. `path` says whose it is."""

    path: PurePosixPath
    reason: str


def folder_members(folder: Path, root: Path) -> Iterator[Member | Problem]:
    """Every regular file below the folder, in the order of their names, with its path from `root`."""
    waiting, count = [folder], 0
    while waiting:
        here = waiting.pop()
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            yield Problem(_relative(here, root), error.strerror or str(error))
            continue
        folders = []
        for entry in entries:
            path, count = Path(entry.path), count + 1
            relative = _relative(path, root)
            if count > MEMBERS:
                yield Problem(relative, f"left out: more than {MEMBERS} files")
                return
            if _is_no_work(relative):
                continue
            if entry.is_symlink() or not entry.is_dir():
                yield file_member(path, root)
            elif len(relative.parts) < DEPTH:
                folders.append(path)
            else:
                yield Problem(relative, "left out: too many folders inside one another")
        waiting += reversed(folders)


def file_member(path: Path, root: Path) -> Member | Problem:
    """One file of a folder."""
    relative = _relative(path, root)
    try:
        status = path.lstat()
    except OSError as error:
        return Problem(relative, error.strerror or str(error))
    if not stat.S_ISREG(status.st_mode):
        return Problem(relative, "left out: a link, a pipe or a device, not a file")

    def read(limit: int) -> bytes:
        # What was a file a moment ago may be a link or a pipe by now.
        flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
        try:
            with open(os.open(path, flags), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise Unreadable("not a file")
                return _within(file.read(limit + 1), limit)
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from error

    return Member(relative, datetime.fromtimestamp(status.st_mtime, UTC).astimezone(), read)


def zip_members(stream: BinaryIO, members: int = MEMBERS) -> Iterator[Member | Problem]:
    """Every regular file of a zip. Raises Unreadable where it is no zip, or has more than `members`."""
    try:
        if _directory_bytes(stream) > members * ENTRY_BYTES:
            raise Unreadable(f"a zip with too many files in it (more than {members})")
        archive = zipfile.ZipFile(stream)
    except Unreadable:
        raise
    except Exception as error:
        # What zipfile raises at a damaged file is not documented, and has been nearly everything.
        raise Unreadable(f"not a zip file, or a damaged one ({type(error).__name__})") from error
    if len(archive.infolist()) > members:
        raise Unreadable(f"a zip with too many files in it (more than {members})")
    for info in archive.infolist():
        # Some systems write backslashes between folders.
        path = PurePosixPath(info.filename.replace("\\", "/"))
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir() or _is_no_work(path):
            continue
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            yield Problem(path, "left out: its name points outside the zip")
        elif kind not in (0, stat.S_IFREG):
            yield Problem(path, "left out: a link or a device, not a file")
        elif len(path.parts) > DEPTH:
            yield Problem(path, "left out: too many folders inside one another")
        else:
            yield Member(path, _zip_time(info), _zip_reader(archive, info))


def _relative(path: Path, folder: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(folder).as_posix())


def _is_no_work(path: PurePosixPath) -> bool:
    return not path.parts or any(
        part in NO_WORK or part.startswith(".") for part in path.parts if part != ".."
    )


def _zip_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[int], bytes]:
    def read(limit: int) -> bytes:
        if info.flag_bits & 1:
            raise Unreadable("it is encrypted: zip it again without a password")
        # The others may ask for gigabytes of memory before the first byte.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable("it is compressed in an unusual way: zip it again")
        try:
            with archive.open(info) as file:
                content = file.read(limit + 1)
        except Exception as error:
            raise Unreadable(f"damaged inside its zip ({type(error).__name__})") from error
        return _within(content, limit)

    return read


def _within(content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise Unreadable(f"larger than {limit >> 20} MB: clear its outputs and save it again")
    return content


def _zip_time(info: zipfile.ZipInfo) -> datetime:
    """When the file was last changed, in local time, as zips have it."""
    try:
        return datetime(*info.date_time).astimezone()
    except (ValueError, OverflowError, OSError):
        return datetime(1980, 1, 1, tzinfo=UTC)


def _directory_bytes(stream: BinaryIO) -> int:
    """The size of the zip's directory, looked up before zipfile makes an object of every entry in it.

    The largest of all sizes that some reader might take it to be: a zip can be made to look two ways.
    """
    start = max(0, stream.seek(0, os.SEEK_END) - (1 << 16) - 100)
    stream.seek(start)
    tail = stream.read()
    sizes = []
    for end in re.finditer(b"PK\x05\x06", tail):
        size = int.from_bytes(tail[end.start() + 12 : end.start() + 16], "little")
        locator = tail[max(0, end.start() - 20) : end.start()]
        if not locator.startswith(b"PK\x06\x07"):
            sizes.append(size)
            continue
        # A zip of more than 65,535 files or 4 GB has a second end, where this points or right before it.
        for place in (int.from_bytes(locator[8:16], "little"), start + end.start() - 76):
            stream.seek(max(0, min(place, start + len(tail))))
            second = stream.read(48)
            if second.startswith(b"PK\x06\x06"):
                sizes.append(int.from_bytes(second[40:], "little"))
        sizes.append(0 if size == 0xFFFFFFFF else size)
    stream.seek(0)
    return max(sizes, default=0)
