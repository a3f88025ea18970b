"""`/v1/files`: uploads streamed to the disk and read line by line, listed, told, given back, removed."""

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

from api.description.operations import PAGE, Query, operation
from api.errors import ApiError, bad, kind_of, unknown
from api.http import number_in, page_of, person_of
from api.schemas.files import UPLOAD, Deleted, FileList, FileObject
from fine_tuning.data import files, receiving
from fine_tuning.errors import BadFileName, FileTooLarge, NoRoom, TuningError
from fine_tuning.models import DataFile

SLACK_BYTES = 2**16
"""Of a form around its file."""
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
    with told():
        return JsonResponse(shown(_taken(request)))


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
        opened = file.path.open("rb")
    except FileNotFoundError as error:
        raise unknown("file", file_id) from error
    response = FileResponse(opened, content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, file.filename) or "attachment"
    return response


@operation(_("Delete a file"), tag=_("Files"), names=ID, answer=Deleted, fails=(404,))
def delete(request: HttpRequest, file_id: str) -> JsonResponse:
    file = _own(request, file_id)
    receiving.remove(file)
    return JsonResponse({"id": file_id, "object": "file", "deleted": True})


def _own(request: HttpRequest, file_id: str) -> DataFile:
    """404 for a stranger's as for one that never was, and for whatever is no id at all."""
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
def told() -> Iterator[None]:
    """What is wrong with somebody's data, in the API's words."""
    try:
        yield
    except TuningError as error:
        raise _refused(error) from error


def _refused(error: TuningError) -> ApiError:
    return ApiError(
        str(error),
        error.status,
        kind_of(error.status, error.code),
        param=error.param,
        code=error.code,
        retry_after_s=getattr(error, "retry_after_s", None),
    )


# --- the form of an upload ----------------------------------------------------------------------------------------


class ToDisk(FileUploadHandler):
    """Writes the part `file` under UPLOADS_DIR as it comes; of what is too much, nothing but that it was."""

    def __init__(self, request: HttpRequest, draft: receiving.Draft) -> None:
        super().__init__(request)
        self.draft = draft
        self.refusal: TuningError | None = None
        self.is_there = False

    def new_file(self, field_name: str, *args: Any, **kwargs: Any) -> None:
        super().new_file(field_name, *args, **kwargs)
        if field_name != "file" or self.is_there:
            raise SkipFile
        self.is_there = True

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if self.refusal is not None:
            return
        try:
            self.draft.write(raw_data)
        except (FileTooLarge, NoRoom) as error:  # the body is read to its end, or the client sees a broken pipe
            self.refusal = error

    def file_complete(self, file_size: int) -> None:
        return None


class Form(MultiPartParser):
    """Django's, which tells only the last part of a file's name; a name that leads elsewhere has to be refused."""

    named = ""

    def sanitize_file_name(self, file_name: str) -> str | None:
        self.named = self.named or file_name
        return super().sanitize_file_name(file_name) or "unnamed"


def _taken(request: HttpRequest) -> DataFile:
    """Raises TuningError, ApiError."""
    if not (request.content_type or "").startswith("multipart/form-data"):
        raise ApiError("An upload must be sent as multipart/form-data.", 415, code="unsupported_media_type")
    person = person_of(request)
    with receiving.Draft(receiving.bytes_left(person)) as draft:
        handler = ToDisk(request, draft)
        if _content_length(request) > receiving.most_bytes() + SLACK_BYTES:
            handler.refusal = FileTooLarge(receiving.most_bytes() >> 20)
        form, fields = _parsed(request, handler)
        if handler.refusal is not None:
            raise handler.refusal
        if not handler.is_there:
            raise bad("file: a file is missing", "file")
        if not form.named:
            raise BadFileName
        if fields.get("purpose") != DataFile.Purpose.FINE_TUNE:
            raise bad("purpose: expected fine-tune", "purpose")
        return receiving.keep(person, form.named, draft, expires_at=_expiry(fields))


def _parsed(request: HttpRequest, handler: ToDisk) -> tuple[Form, Any]:
    """A body in chunks tells no length beforehand, and to Django's parser that is an empty one."""
    length = request.META.get("CONTENT_LENGTH") or receiving.most_bytes()
    try:
        form = Form({**request.META, "CONTENT_LENGTH": length}, request, [handler], request.encoding or "utf-8")
        fields, _ = form.parse()
    except (MultiPartParserError, SuspiciousOperation, UnreadablePostError) as error:
        raise bad(f"The form can't be read: {str(error)[:200] or type(error).__name__}") from error
    return form, fields


def _content_length(request: HttpRequest) -> int:
    text = str(request.META.get("CONTENT_LENGTH") or "0")
    return int(text) if text.isdecimal() else 0


def _expiry(fields: Any) -> Any:
    """The moment that `expires_after` means; None without it."""
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
