"""Pages of notices: the list, the bell's number, opening one, marking them as read, and which kinds one gets."""

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import conditional_page, require_POST, require_safe

from accounts import notices
from accounts.forms import NoticeFilter
from accounts.requests import person
from base.requests import filters_of

NOTICES_PER_PAGE = 30


@never_cache
@require_safe
def notice_list(request: HttpRequest) -> HttpResponse:
    reader = person(request)
    form = NoticeFilter(notices.kinds_for(reader), request.GET or None)
    rows = notices.of(reader).filter(**form.lookups())
    page = Paginator(rows, NOTICES_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "filters": filters_of(request),
        "is_filtered": bool(form.lookups()),
        "newest": reader.notices.values_list("pk", flat=True).first() or 0,
    }
    return render(request, "accounts/notices.html", context)


@require_safe
@conditional_page
@cache_control(private=True, no_cache=True)
def bell(request: HttpRequest) -> HttpResponse:
    """The inside of the bell with its number, for pages that are open; 304 where it is as before."""
    return render(request, "includes/bell_inside.html")


@require_POST
def open_notice(request: HttpRequest, notice_id: int) -> HttpResponse:
    """Marks it as read, and goes to what it is about."""
    notice = get_object_or_404(person(request).notices, pk=notice_id)
    notices.mark_read(person(request).notices.filter(pk=notice.pk))
    is_ours = url_has_allowed_host_and_scheme(notice.link, allowed_hosts=None)
    return redirect(notice.link if notice.link and is_ours else "notices")


@require_POST
def read_notice(request: HttpRequest, notice_id: int) -> HttpResponse:
    get_object_or_404(person(request).notices, pk=notice_id)
    notices.mark_read(person(request).notices.filter(pk=notice_id))
    return _back_to_list(request)


@require_POST
def read_all_notices(request: HttpRequest) -> HttpResponse:
    """Those up to the newest that the page showed: one that came in the meantime stays unread."""
    newest = request.POST.get("newest", "")
    if newest.isdecimal() and len(newest) < 19:
        notices.mark_read(person(request).notices.filter(pk__lte=int(newest)))
    return _back_to_list(request)


def _back_to_list(request: HttpRequest) -> HttpResponse:
    """With the filters that were chosen."""
    filters = request.POST.get("filters", "")
    return redirect(reverse("notices") + (f"?{filters}" if filters else ""))


@require_POST
def choose_notices(request: HttpRequest) -> HttpResponse:
    notices.choose(person(request), set(request.POST.getlist("kind")))
    messages.success(request, _("Your choice of notices was saved."))
    return redirect(reverse("account") + "#s-notices")
