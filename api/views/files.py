"""Endpoints of `/v1/files`: upload, list, retrieve, download, delete."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import FileResponse, HttpRequest, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.utils.translation import gettext_noop as _

from accounts import storage
from api.description.operations import PAGE, Query, operation
from api.endpoints import number_in, page_of, person_of
from api.errors import ApiError, bad, error_type, unknown
from api.schemas.base import DeletedObject
from api.schemas.files import UPLOAD, FileList, FileObject
from fine_tuning.data import files, uploads
from fine_tuning.errors import BadFileName, FileTooLarge, NoRoom, TuningError
from fine_tuning.models import DataFile

SLACK_BYTES = 2**16
"""Allowance for the form around its file."""
EXPIRY_S = (3600, 2_592_000)
EXAMPLE = {
    "id": "file-8Jd0aXb2Lq5Tz9Kw3Vn7Rc1M",
    "object": "file",
    "bytes": 546,
    "created_at": 1795502255,
    "expires_at": None,
    "filename": "guide_prepared.jsonl",
    "purpose": "fine-tune",
    "status": "processed",
    "status_details": None,
}
ID = {"file_id": _("As returned by the upload.")}
ID_EXAMPLE = {"file_id": "file-8Jd0aXb2Lq5Tz9Kw3Vn7Rc1M"}


@operation(
    _("List files"),
    tag=_("Files"),
    query=(
        *PAGE,
        Query("purpose", _("Only files of this purpose.")),
        Query("order", _("Order by creation time."), {"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
    ),
    answer=FileList,
    example={"object": "list", "data": [EXAMPLE], "has_more": False, "first_id": None, "last_id": None},
)
def listing(request: HttpRequest) -> JsonResponse:
    rows = files.of(person_of(request))
    order = request.GET.get("order") or "desc"
    if order not in ("asc", "desc"):
        raise bad("order: expected asc or desc", "order")
    if order == "asc":
        rows = rows.order_by("created_at", "id")
    if purpose := request.GET.get("purpose"):
        rows = rows.filter(purpose=purpose)
    return page_of(request, list(rows), shown)


@operation(
    _("Upload a file"),
    tag=_("Files"),
    description=_(
        "The file is streamed to disk and read to its end. If lines cannot be used, their "
        "numbers are returned, up to 50, and nothing is saved."
    ),
    form=UPLOAD,
    answer=FileObject,
    example=EXAMPLE,
    fails=(413, 415),
)
def upload(request: HttpRequest) -> JsonResponse:
    with as_api_errors():
        return JsonResponse(shown(_store_upload(request)))


@operation(
    _("Retrieve a file"),
    tag=_("Files"),
    names=ID,
    name_examples=ID_EXAMPLE,
    answer=FileObject,
    example=EXAMPLE,
    fails=(404,),
)
def retrieve(request: HttpRequest, file_id: str) -> JsonResponse:
    return JsonResponse(shown(_own(request, file_id)))


@operation(
    _("Download a file's content"),
    tag=_("Files"),
    names=ID,
    produces=("application/octet-stream",),
    answer={"type": "string", "format": "binary"},
    fails=(404,),
)
def content(request: HttpRequest, file_id: str) -> FileResponse:
    file = _own(request, file_id)
    try:
        opened = file.fetched().open("rb")
    except FileNotFoundError as error:
        raise unknown("file", file_id) from error
    response = FileResponse(opened, content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, file.filename) or "attachment"
    return response


@operation(_("Delete a file"), tag=_("Files"), names=ID, answer=DeletedObject, fails=(404,))
def delete(request: HttpRequest, file_id: str) -> JsonResponse:
    file = _own(request, file_id)
    uploads.remove(file)
    return JsonResponse({"id": file_id, "object": "file", "deleted": True})


def _own(request: HttpRequest, file_id: str) -> DataFile:
    """404 for another person's file as for an unknown one, and for anything that is no id."""
    if "\0" in file_id:
        raise unknown("file", file_id.replace("\0", ""), param="id")
    file = files.of(person_of(request)).filter(pk=file_id).first()
    if file is None:
        raise unknown("file", file_id, param="id")
    return file


def shown(file: DataFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.expires_at.timestamp()) if file.expires_at else None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": file.state,
        "status_details": None,
    }


@contextmanager
def as_api_errors() -> Iterator[None]:
    """Turns a TuningError into an ApiError."""
    try:
        yield
    except TuningError as error:
        raise _refused(error) from error


def _refused(error: TuningError) -> ApiError:
    return ApiError(
        str(error),
        error.status,
        error_type(error.status, error.code),
        param=error.param,
        code=error.code,
        retry_after_s=getattr(error, "retry_after_s", None),
    )


# --- the form of an upload ----------------------------------------------------------------------------------------


class DiskUploadHandler(FileUploadHandler):
    """Streams the part `file` to disk; of a file that is too large it records only the refusal."""

    def __init__(self, request: HttpRequest, draft: uploads.UploadDraft) -> None:
        super().__init__(request)
        self.draft = draft
        self.refusal: TuningError | None = None
        self.has_file = False

    def new_file(self, field_name: str, *args: Any, **kwargs: Any) -> None:
        super().new_file(field_name, *args, **kwargs)
        if field_name != "file" or self.has_file:
            raise SkipFile
        self.has_file = True

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if self.refusal is not None:
            return
        try:
            self.draft.write(raw_data)
        except (
            FileTooLarge,
            NoRoom,
        ) as error:  # the rest is still read, or the client sees a broken pipe
            self.refusal = error

    def file_complete(self, file_size: int) -> None:
        return None


class UploadForm(MultiPartParser):
    """Also records the whole file name, of which Django gives only the base name: a path has to be refused."""

    full_name = ""

    def sanitize_file_name(self, file_name: str) -> str | None:
        self.full_name = self.full_name or file_name
        return super().sanitize_file_name(file_name) or "unnamed"


def _store_upload(request: HttpRequest) -> DataFile:
    """Raises TuningError, ApiError."""
    if not (request.content_type or "").startswith("multipart/form-data"):
        raise ApiError("An upload must be sent as multipart/form-data.", 415, code="unsupported_media_type")
    person = person_of(request)
    with uploads.UploadDraft(storage.bytes_left(person)) as draft:
        handler = DiskUploadHandler(request, draft)
        if _content_length(request) > uploads.max_bytes() + SLACK_BYTES:
            handler.refusal = FileTooLarge(uploads.max_bytes() >> 20)
        form, fields = _parsed(request, handler)
        if handler.refusal is not None:
            raise handler.refusal
        if not handler.has_file:
            raise bad("file: a file is missing", "file")
        if not form.full_name:
            raise BadFileName
        if fields.get("purpose") != DataFile.Purpose.FINE_TUNE:
            raise bad("purpose: expected fine-tune", "purpose")
        return uploads.save(person, form.full_name, draft, expires_at=_expiry(fields))


def _parsed(request: HttpRequest, handler: DiskUploadHandler) -> tuple[UploadForm, Any]:
    """A chunked body has no length, which Django's parser would take for an empty one."""
    length = request.META.get("CONTENT_LENGTH") or uploads.max_bytes()
    try:
        form = UploadForm({**request.META, "CONTENT_LENGTH": length}, request, [handler], request.encoding or "utf-8")
        fields, _ = form.parse()
    except (MultiPartParserError, SuspiciousOperation, UnreadablePostError) as error:
        raise bad(f"The form can't be read: {str(error)[:200] or type(error).__name__}") from error
    return form, fields


def _content_length(request: HttpRequest) -> int:
    text = str(request.META.get("CONTENT_LENGTH") or "0")
    return int(text) if text.isdecimal() else 0


def _expiry(fields: Any) -> Any:
    """The time that `expires_after` gives; None without it."""
    anchor, seconds = fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]")
    if anchor in (None, "") and seconds in (None, ""):
        return None
    low, high = EXPIRY_S
    if anchor != "created_at":
        raise bad("expires_after.anchor: expected created_at", "expires_after.anchor")
    wanted = number_in(str(seconds), low, high)
    if wanted is None:
        raise bad(f"expires_after.seconds: expected a number from {low} to {high}", "expires_after.seconds")
    return timezone.now() + timedelta(seconds=wanted)
