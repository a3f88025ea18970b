"""Answers of `/v1/files`, and the form of an upload."""

from typing import Literal

from django.utils.translation import gettext_noop as _
from pydantic import BaseModel


class FileObject(BaseModel):
    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: Literal["fine-tune", "fine-tune-results"]
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None = None


class FileList(BaseModel):
    object: Literal["list"]
    data: list[FileObject]
    has_more: bool
    first_id: str | None
    last_id: str | None


UPLOAD = {
    "type": "object",
    "required": ["purpose", "file"],
    "properties": {
        "purpose": {"type": "string", "enum": ["fine-tune"]},
        "file": {
            "type": "string",
            "format": "binary",
            "description": _(
                "JSONL: lines of `prompt` and `completion`, of `messages`, or of `prompt`, `chosen` and "
                "`rejected`. CSV, TSV, XLSX and plain text are recognised by the file extension."
            ),
        },
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2592000},
    },
}
"""The multipart form of an upload."""
