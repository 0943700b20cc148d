"""Forms with files, read by the library ``multipart``.

Of a small picture, Werkzeug's own reading of the form takes longer than the rest of Flask.
"""

from __future__ import annotations

from typing import IO, Any

from flask import Request
from multipart import MultipartError, MultipartParser, MultipartPart, ParserLimitReached
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

FORM = "multipart/form-data"
IN_MEMORY = 500_000
"""Bytes of a file that are kept in memory; those of a larger one are put on disk."""
Read = tuple[IO[bytes], MultiDict[str, Any], MultiDict[str, Any]]


class Forms(FormDataParser):
    """Reads the fields and files of a request; keeps Flask's limits of parts and of fields."""

    def parse(
        self,
        stream: IO[bytes],
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> Read:
        """The stream, the fields and the files; of a form that is malformed, none of either."""
        if mimetype != FORM:
            return super().parse(stream, mimetype, content_length, options)
        try:
            parts = self._parts(stream, (options or {}).get("boundary", ""))
        except ParserLimitReached:
            raise RequestEntityTooLarge from None
        except MultipartError:
            parts = []
        fields = [(part.name, self._text(part)) for part in parts if part.filename is None]
        files = [(part.name, _file(part)) for part in parts if part.filename is not None]
        return stream, self.cls(fields), self.cls(files)

    def _parts(self, stream: IO[bytes], boundary: str) -> list[MultipartPart]:
        most = self.max_form_parts or 1
        parser = MultipartParser(
            stream,
            boundary,
            part_limit=most,
            spool_limit=IN_MEMORY,
            memory_limit=most * IN_MEMORY,
        )
        parts: list[MultipartPart] = parser.parts()
        return parts

    def _text(self, part: MultipartPart) -> str:
        if part.size > (self.max_form_memory_size or 0):
            raise RequestEntityTooLarge
        text: str = part.raw.decode("utf-8", "replace")
        return text


def _file(part: MultipartPart) -> FileStorage:
    return FileStorage(part.file, part.filename, part.name, part.content_type)


class FormRequest(Request):
    """Flask's request, with :class:`Forms`."""

    form_data_parser_class = Forms
