"""The answer of an operation, before it becomes an HTTP response."""

from __future__ import annotations

from dataclasses import dataclass

JSON_TYPE = "application/x-amz-json-1.1"
XML_TYPE = "text/xml"
HTML_TYPE = "text/html"


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer: status, body, content type, and the error code if it is a header."""

    body: bytes
    status: int = 200
    content_type: str = JSON_TYPE
    error_type: str = ""
