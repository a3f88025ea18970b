"""Forms of the pages of usage, prices and budgets."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import ApiKey, User
from accounts.roles import Role
from metering import bill
from metering.models import Budget, Price, Usage
from metering.price_table import COLUMNS
from metering.prices import MICRO, NANO, per_thousand

FIRST_YEAR, LAST_YEAR = 2000, 2200


class DollarsField(forms.DecimalField):
    """An amount in dollars, cleaned to a whole number of the units that it is stored in."""

    def __init__(self, units: int, *, most_digits: int, **options: Any) -> None:
        self.units = units
        decimals = len(str(units)) - 1
        super().__init__(min_value=0, max_digits=most_digits + decimals, decimal_places=decimals, **options)

    def clean(self, value: Any) -> Any:
        given = super().clean(value)
        return None if given is None else int(Decimal(given) * self.units)


def _priced(label: Any) -> DollarsField:
    """A field in dollars per 1,000 tokens; its widget takes as many decimals as there are."""
    widget = forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"})
    return DollarsField(MICRO, most_digits=4, label=label, widget=widget)


class PriceForm(forms.Form):
    """The three prices of a row."""

    training = _priced(gettext_lazy("Training"))
    prompt = _priced(gettext_lazy("Prompt"))
    completion = _priced(gettext_lazy("Completion"))

    def __init__(self, data: Any = None, *, price: Price | None = None) -> None:
        initial = {column: per_thousand(getattr(price, column)) for column in COLUMNS} if price else {}
        row = f"price-{price.pk}" if price else "new-price"
        super().__init__(data, initial=initial, auto_id=f"{row}-%s")
        self.label_suffix = ""
        self.price, self.row = price, row
        if price is not None:  # the inputs of a row stand in table cells, outside of their form
            for column in COLUMNS:
                about = {"form": row, "aria-label": f"{price.model}: {self.fields[column].label}"}
                self.fields[column].widget.attrs |= about

    @property
    def figures(self) -> list[int]:
        """The prices as they are stored, for whoever may only read them."""
        return [getattr(self.price, column) for column in COLUMNS] if self.price else []


class NewPriceForm(PriceForm):
    model = forms.CharField(
        label=gettext_lazy("Model"),
        max_length=120,
        help_text=gettext_lazy("The name of a policy, a name that programs use for it, or * for all others."),
    )
    field_order = ("model", *COLUMNS)


class LimitForm(forms.Form):
    """Changes the limit of a budget."""

    limit = DollarsField(NANO, most_digits=9, label=gettext_lazy("Limit, in dollars"))

    def __init__(self, data: Any = None, *, budget: Budget | None = None) -> None:
        row = f"budget-{budget.pk}" if budget else "new-budget"
        initial = {"limit": Decimal(budget.limit) / NANO} if budget else {}
        super().__init__(data, initial=initial, auto_id=f"{row}-%s")
        self.label_suffix = ""
        self.budget, self.row = budget, row
        self.fields["limit"].widget.attrs |= {"step": "any", "inputmode": "decimal"}
        if budget is not None:
            about = f"{budget.user or budget.key}: {self.fields['limit'].label}"
            self.fields["limit"].widget.attrs |= {"form": row, "aria-label": about}


class KeyField(forms.ModelChoiceField):  # type: ignore[type-arg]  # generic in the stubs only
    def label_from_instance(self, obj: ApiKey) -> str:
        return f"{obj.owner.username} · {obj.name} · {obj.shown}"


class BudgetForm(LimitForm):
    user = forms.CharField(label=gettext_lazy("Username"), required=False, max_length=150)
    key = KeyField(
        queryset=ApiKey.objects.none(),
        required=False,
        label=gettext_lazy("or an API key"),
        empty_label=gettext_lazy("none: all usage of this person"),
    )
    period = forms.ChoiceField(
        label=gettext_lazy("Period"), choices=Budget.Period.choices, initial=Budget.Period.MONTH
    )
    field_order = ("user", "key", "period", "limit")

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        keys = self.fields["key"]
        assert isinstance(keys, KeyField)
        keys.queryset = ApiKey.objects.filter(revoked_at=None).select_related("owner").order_by("owner__username")
        self.fields["limit"].help_text = _("Once this amount is spent, requests that cost money are refused.")

    def clean_user(self) -> User | None:
        return _user_named(self.cleaned_data["user"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors and bool(cleaned.get("user")) == bool(cleaned.get("key")):
            raise ValidationError(_("Enter a username or choose a key, not both."), code="whose")
        return cleaned


class UsageFilter(forms.Form):
    """Filters of the usage page; only admins see the usage of others."""

    month = forms.CharField(
        label=gettext_lazy("Month"), required=False, widget=forms.TextInput(attrs={"type": "month"})
    )
    user = forms.CharField(label=gettext_lazy("Username"), required=False, max_length=150)
    key = KeyField(
        queryset=ApiKey.objects.none(), required=False, label=gettext_lazy("Key"), empty_label=gettext_lazy("all")
    )
    model = forms.ChoiceField(label=gettext_lazy("Model"), required=False)

    def __init__(self, person: User, data: Any) -> None:
        super().__init__({"month": f"{_this_month():%Y-%m}", **data.dict()})
        self.label_suffix = ""
        self.visible: QuerySet[Usage] = Usage.objects.all()
        keys = ApiKey.objects.select_related("owner").order_by("owner__username", "name")
        if person.has_role(Role.ADMIN):
            keys = keys.filter(pk__in=self.visible.exclude(key=None).values("key"))
        else:
            self.visible = self.visible.filter(user=person)
            keys = keys.filter(owner=person)
            del self.fields["user"]
        models = self.visible.order_by("model").values_list("model", flat=True).distinct()
        key_field, model_field = self.fields["key"], self.fields["model"]
        assert isinstance(key_field, KeyField)
        assert isinstance(model_field, forms.ChoiceField)
        key_field.queryset = keys
        model_field.choices = [("", _("all")), *((model, model) for model in models)]

    def clean_month(self) -> date:
        given = self.cleaned_data["month"]
        try:
            month = datetime.strptime(given, "%Y-%m").date() if given else _this_month()
        except ValueError:
            raise ValidationError(_("Enter the month as in 2026-11."), code="month") from None
        if not FIRST_YEAR <= month.year <= LAST_YEAR:
            raise ValidationError(_("Enter the month as in 2026-11."), code="month")
        return month

    def clean_user(self) -> User | None:
        return _user_named(self.cleaned_data["user"])

    @property
    def month_shown(self) -> date:
        """The chosen month, else the current one."""
        return self.cleaned_data.get("month") or _this_month() if self.is_valid() else _this_month()

    def rows(self) -> QuerySet[Usage]:
        """The filtered rows; none if a filter is invalid, so that a typing error does not show everybody's."""
        if not self.is_valid():
            return Usage.objects.none()
        chosen = {name: self.cleaned_data.get(name) for name in ("user", "key", "model")}
        rows = self.visible.filter(**{name: value for name, value in chosen.items() if value})
        return bill.in_month(rows, self.month_shown)


def _user_named(name: str) -> User | None:
    """None for no name. Raises ValidationError for a name that nobody has."""
    if not name:
        return None
    found = User.objects.filter(username=name).first()
    if found is None:
        raise ValidationError(_("No user has this username."), code="unknown")
    return found


def _this_month() -> date:
    return timezone.localdate(timezone=timezone.get_default_timezone()).replace(day=1)
