"""The sidebar's list of conversations, in sections by pin and day, or the results of a search."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from chat.conversations import model_titles, search
from chat.models import Conversation, Reply

LENGTH = 50


@dataclass(frozen=True)
class ListedConversation:
    """A row of the list; in a search also with what was found."""

    conversation: Conversation
    title: list[search.TextSpan] = field(default_factory=list)
    hit: search.Hit | None = None
    is_written: bool = False
    """Whether a reply in it is queued or being written."""
    awaits_title: bool = False
    """Whether the model may give it a title soon."""


@dataclass(frozen=True)
class Section:
    name: str
    """Empty where the list has no sections."""
    items: list[ListedConversation]


@dataclass(frozen=True)
class Listing:
    page: Page[Any]
    sections: list[Section]
    query: str
    is_archive: bool


def listing(own: QuerySet[Conversation], query: str, number: str | None, *, archived: bool = False) -> Listing:
    """One page of the list. A search includes the archive; else the archive is a list of its own."""
    words = search.words_of(query)
    if words:
        found = search.find(own, words)
        pages: Page[Any] = Paginator(list(found), LENGTH).get_page(number)
        rows, hits = own.in_bulk(list(pages)), search.hits([found[pk] for pk in pages], words)
        written, untitled = _written(rows), model_titles.awaited(rows)
        items = [
            ListedConversation(rows[pk], words.mark(rows[pk].title), hits.get(pk), pk in written, pk in untitled)
            for pk in pages
            if pk in rows
        ]
        return Listing(pages, [Section("", items)] if items else [], query, archived)
    listed = own.filter(archived_at__isnull=not archived)
    order = F("archived_at").desc() if archived else F("pinned_at").desc(nulls_last=True)
    page = Paginator(listed.order_by(order, "-updated_at"), LENGTH).get_page(number)
    ids = [row.pk for row in page]
    written, untitled = _written(ids), model_titles.awaited(ids)
    items = [
        ListedConversation(
            row,
            [search.TextSpan(row.title, False)] if row.title else [],
            is_written=row.pk in written,
            awaits_title=row.pk in untitled,
        )
        for row in page
    ]
    sections = [Section("", items)] if archived and items else _in_sections(items, timezone.localdate())
    return Listing(page, sections, query, archived)


def _written(ids: Collection[UUID]) -> set[UUID]:
    """Those of the conversations in which a reply is queued or being written."""
    live = Reply.objects.filter(state__in=Reply.LIVE, message__conversation__in=list(ids))
    return set(live.values_list("message__conversation", flat=True))


def _in_sections(items: list[ListedConversation], today: date) -> list[Section]:
    return [Section(name, list(group)) for name, group in groupby(items, key=lambda item: _section_of(item, today))]


def _section_of(item: ListedConversation, today: date) -> str:
    if item.conversation.pinned_at is not None:
        return _("Pinned")
    day = timezone.localdate(item.conversation.updated_at)
    if day >= today:
        return _("Today")
    if day == today - timedelta(days=1):
        return _("Yesterday")
    if day > today - timedelta(days=7):
        return _("Last 7 days")
    return _("Last 30 days") if day > today - timedelta(days=30) else _("Older")
