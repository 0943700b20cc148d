"""Unpacking an uploaded zip: what is in it is limited, and nothing leaves the folder."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import time
import unicodedata
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

from synthlift.data.decode import EXTENSIONS
from synthlift.errors import InputError
from synthlift.web.zip_directory import ENTRY_BYTES, count_entries, find_directory

TABLES = frozenset((".csv", ".tsv", ".json", ".jsonl"))
DEPTH, NAME_LENGTH, NAME_BYTES = 8, 200, 255
_BLOCK = 1024 * 1024
_SHOWN = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORBIDDEN = re.compile(r'[<>:"|?*\\]')
"""On Windows alone, as are the reserved ones. Elsewhere names stay: a table may say them."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_WINDOWS = os.name == "nt"
_METHODS = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
"""Others let the sender say how much memory unpacking takes."""


def unpack(
    stream: IO[bytes], into: Path, *, max_entries: int, max_bytes: int, max_seconds: float
) -> int:
    """Unpack images and tables of a zip into a new folder; anything else is left out.

    Entries are counted before any of them is made an object of, and summed before and while they
    are written, since a header may lie.

    Args:
        stream: the zip.
        into: a folder that does not exist yet; it is removed again when something is wrong.
        max_entries, max_bytes: limits of all that it holds.
        max_seconds: in which it is unpacked; a slow disk must not keep a thread for hours.

    Returns:
        Files written.

    Raises:
        InputError: no zip, too much in it, too slow to unpack, an encrypted entry, one that is
            packed in an unusual way, a link, or a name that leads out of the folder.
    """
    limits = _Limits(max_bytes, max_seconds)
    _require_few_entries(stream, max_entries)
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            declared = sum(entry.file_size for entry in entries)
            if declared > max_bytes:
                raise _too_large(max_bytes)
            wanted = [(entry, name) for entry in entries if (name := _place(entry)) is not None]
            into.mkdir(parents=True)
            _write(archive, wanted, into, limits)
    except InputError:
        shutil.rmtree(into, ignore_errors=True)
        raise
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OSError) as error:
        shutil.rmtree(into, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # the disk is full, and the zip is as good as it was
        raise _refused(
            f"the zip cannot be read ({type(error).__name__})", "it is complete"
        ) from None
    except Exception as error:  # decompressors raise errors of their own on damaged data
        shutil.rmtree(into, ignore_errors=True)
        raise _refused(f"the zip is damaged ({type(error).__name__})", "it is complete") from None
    if not wanted:
        shutil.rmtree(into, ignore_errors=True)
        raise _refused("no image is in the zip", "it holds one folder a class, with images in it")
    return len(wanted)


def _require_few_entries(stream: IO[bytes], most: int) -> None:
    """Look at the directory of a zip before ``zipfile`` reads it.

    Raises:
        InputError: it is no zip, or its directory is larger than so many entries need.
    """
    try:
        directory = find_directory(stream)
        if directory is None:
            raise _refused("the zip cannot be read", "it is complete")
        found = directory.declared
        if found <= most and directory.size <= most * ENTRY_BYTES:
            found = count_entries(stream, directory, most=most)
        stream.seek(0)
    except (OSError, ValueError) as error:
        raise _refused(
            f"the zip cannot be read ({type(error).__name__})", "it is complete"
        ) from None
    rule = f"a zip holds at most {most:,} files and folders"
    if directory.size > most * ENTRY_BYTES:
        raise _refused("the directory of the zip is too large", rule)
    if found > most:
        raise _refused(f"{found:,} files in the zip, or more", rule)


class _Limits:
    """What is left of the bytes and seconds that unpacking may take."""

    def __init__(self, most_bytes: int, most_seconds: float) -> None:
        self._bytes, self._seconds = most_bytes, most_seconds
        self._left, self._end = most_bytes, time.monotonic() + most_seconds

    def take(self, count: int) -> None:
        """Count so many bytes more.

        Raises:
            InputError: they are too many, or it is too late.
        """
        self._left -= count
        if self._left < 0:
            raise _too_large(self._bytes)
        if time.monotonic() > self._end:
            raise InputError(
                "unpacking the zip takes too long",
                rule=f"it is unpacked within {self._seconds:g} seconds",
                remedy="put fewer or smaller pictures into it, or give their folder to the server "
                "with --data",
            )


def _write(
    archive: zipfile.ZipFile,
    wanted: list[tuple[zipfile.ZipInfo, PurePosixPath]],
    into: Path,
    limits: _Limits,
) -> None:
    home = into.resolve()
    for entry, name in wanted:
        limits.take(0)
        target = into / name
        assert target.resolve().is_relative_to(home), "names were checked"
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():  # after normalisation, or where upper and lower case are alike
            raise _refused(f"'{_shown(str(name))}' is in the zip twice", "names differ")
        with archive.open(entry) as source, target.open("xb") as sink:
            while block := source.read(_BLOCK):
                limits.take(len(block))
                sink.write(block)


def _place(entry: zipfile.ZipInfo) -> PurePosixPath | None:
    """Where an entry goes below the folder; None for what is not wanted.

    Raises:
        InputError: it is encrypted, a link, packed in an unusual way, or its name leads elsewhere.
    """
    if entry.flag_bits & 0x1:
        raise _refused("the zip is encrypted", "its files can be read without a password")
    told = f"'{_shown(entry.filename)}' in the zip"
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise _refused(f"{told} is a link", "a zip holds plain files only")
    raw = unicodedata.normalize("NFC", entry.filename).replace("\\", "/")
    path = PurePosixPath(raw)
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:/", raw):
        raise _refused(f"{told} leads out of its folder", "names are relative, without '..'")
    if entry.compress_type not in _METHODS:
        raise _refused(
            f"{told} is packed in an unusual way",
            "files in it are packed by the method 'deflate', or not at all",
        )
    parts = path.parts
    if parts and (parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts)):
        return None
    if path.suffix.lower() not in EXTENSIONS | TABLES:
        return None
    wrong = len(parts) > DEPTH or any(_is_wrong(part) for part in parts)
    if wrong:
        raise _refused(
            f"the name of {told} cannot be used",
            f"names have at most {NAME_LENGTH} characters ({NAME_BYTES} bytes), {DEPTH} folders, "
            "and no control characters" + (", nor what Windows forbids" if _WINDOWS else ""),
        )
    return path


def _is_wrong(part: str) -> bool:
    if len(part) > NAME_LENGTH or len(part.encode("utf-8", "surrogatepass")) > NAME_BYTES:
        return True
    if _CONTROL.search(part):
        return True
    return _WINDOWS and (
        _FORBIDDEN.search(part) is not None
        or _RESERVED.fullmatch(part) is not None
        or part != part.strip(" .")
    )


def _shown(name: str) -> str:
    """A name for people, without what would disturb the line."""
    plain = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in name)
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…"


def _too_large(limit: int) -> InputError:
    return _refused(
        "the zip unpacks to too much", f"it unpacks to at most {limit // 1024**2:,} MiB"
    )


def _refused(given: str, rule: str) -> InputError:
    return InputError(given, rule=rule, remedy="change the zip and upload it again")
