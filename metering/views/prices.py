"""Pages of the price table: whoever is signed in reads it, admins change it."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.requests import person
from metering import price_table
from metering.forms import NewPriceForm, PriceForm
from metering.models import Price


@require_safe
def prices(request: HttpRequest) -> HttpResponse:
    return _table(request)


@require_POST
def add_price(request: HttpRequest) -> HttpResponse:
    form = NewPriceForm(request.POST)
    if form.is_valid():
        model, values = form.cleaned_data["model"], _columns(form)
        try:
            price_table.add(model, values, actor=person(request))
        except price_table.PriceExists:
            form.add_error("model", _("This model already has a price. Change it in the table."))
        else:
            messages.success(request, _("“%(model)s” now has a price.") % {"model": model})
            return redirect("prices")
    return _table(request, new=form)


@require_POST
def change_price(request: HttpRequest, price_id: int) -> HttpResponse:
    price = get_object_or_404(Price, pk=price_id)
    form = PriceForm(request.POST, price=price)
    if not form.is_valid():
        return _table(request, bound=form)
    price_table.change(price, _columns(form), actor=person(request))
    messages.success(
        request, _("The price of “%(model)s” was changed. It applies from now on.") % {"model": price.model}
    )
    return redirect("prices")


@require_POST
def remove_price(request: HttpRequest, price_id: int) -> HttpResponse:
    price = get_object_or_404(Price, pk=price_id)
    price_table.remove(price, actor=person(request))
    messages.success(request, _("“%(model)s” no longer has a price of its own.") % {"model": price.model})
    return redirect("prices")


def _columns(form: PriceForm) -> dict[str, int]:
    return {column: form.cleaned_data[column] for column in price_table.COLUMNS}


def _table(request: HttpRequest, new: NewPriceForm | None = None, bound: PriceForm | None = None) -> HttpResponse:
    rows = [
        bound if bound and bound.price == price else PriceForm(price=price)
        for price in Price.objects.order_by("model")
    ]
    context: dict[str, Any] = {"rows": rows, "new": new or NewPriceForm()}
    is_refused = bound is not None or bool(new and new.is_bound)
    return render(request, "metering/prices.html", context, status=400 if is_refused else 200)
