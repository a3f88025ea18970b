"""Pages of the budgets of people and keys, for admins."""

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.requests import person
from metering import budgets
from metering.forms import BudgetForm, LimitForm
from metering.models import Budget


@require_http_methods(["GET", "HEAD", "POST"])
def budget_list(request: HttpRequest) -> HttpResponse:
    """Lists the budgets; a POST sets one."""
    form = BudgetForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        given = form.cleaned_data
        owner = given["user"] or given["key"]
        budgets.put(owner, Budget.Period(given["period"]), given["limit"], actor=person(request))
        messages.success(request, _("Saved. The new settings apply from now on."))
        return redirect("budgets")
    return _page(request, new=form)


@require_POST
def change_budget(request: HttpRequest, budget_id: int) -> HttpResponse:
    budget = get_object_or_404(_stored(), pk=budget_id)
    form = LimitForm(request.POST, budget=budget)
    if not form.is_valid():
        return _page(request, bound=form)
    owner = budget.user or budget.key
    assert owner is not None  # a constraint of the table
    budgets.put(owner, Budget.Period(budget.period), form.cleaned_data["limit"], actor=person(request))
    messages.success(request, _("Saved. The new settings apply from now on."))
    return redirect("budgets")


@require_POST
def remove_budget(request: HttpRequest, budget_id: int) -> HttpResponse:
    budgets.remove(get_object_or_404(Budget, pk=budget_id), actor=person(request))
    messages.success(request, _("The budget was removed."))
    return redirect("budgets")


def _stored() -> QuerySet[Budget]:
    return Budget.objects.select_related("user", "key__owner").order_by(
        "user__username", "key__owner__username", "pk"
    )


def _page(request: HttpRequest, new: BudgetForm | None = None, bound: LimitForm | None = None) -> HttpResponse:
    rows = [
        (standing, bound if bound and bound.budget == standing.budget else LimitForm(budget=standing.budget))
        for standing in budgets.standings(_stored())
    ]
    is_refused = bound is not None or bool(new and new.is_bound)
    context = {"rows": rows, "new": new or BudgetForm()}
    return render(request, "metering/budgets.html", context, status=400 if is_refused else 200)
