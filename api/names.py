"""Which model a program means by a name: an alias, a policy's name, a fine-tune's label, or `live`."""

from dataclasses import dataclass
from typing import Any

from accounts.models import User
from api.errors import forbidden, no_model
from api.models import Alias
from chat import policies
from chat.models import Policy

LIVE = "live"
OURS = "chamsae"
"""Owner of what is everybody's."""


@dataclass(frozen=True)
class Named:
    """`policy` is None for whichever is live at the moment of the answer."""

    name: str
    policy: Policy | None


def named(person: User, name: str) -> Named:
    """Raises ApiError for what is not there as for what the person may not see."""
    if "\0" in name:  # no database asks for it
        raise no_model(name)
    if name == LIVE:
        return Named(name, None)
    seen = policies.visible_to(person)
    alias = Alias.objects.filter(name=name).first()
    if alias is not None and alias.policy_id is None:
        return Named(name, None)
    if alias is not None and alias.policy_id is not None:
        policy = seen.filter(pk=alias.policy_id).first()
    else:
        policy = (
            seen.filter(name=name).first() or seen.filter(label=name).exclude(label="").order_by("-version").first()
        )
    if policy is None:
        raise no_model(name)
    return Named(name, policy)


def listed(person: User) -> list[dict[str, Any]]:
    """Every name that the person may ask for, as `GET /v1/models` shows it."""
    seen = list(policies.visible_to(person).select_related("owner").order_by("version"))
    places = {policy.pk for policy in seen}
    live = next((policy for policy in seen if policy.is_live), None)
    aliases = [alias for alias in Alias.objects.all() if alias.policy_id is None or alias.policy_id in places]
    told = {policy.label or policy.name: _shown(policy.label or policy.name, policy) for policy in seen}
    told |= {alias.name: _alias_shown(alias) for alias in aliases}
    return [*([_shown(LIVE, live)] if live else []), *told.values()]


def model(person: User, name: str) -> dict[str, Any]:
    """Raises ApiError."""
    meant = named(person, name)
    alias = Alias.objects.filter(name=name).first()
    return _alias_shown(alias) if alias else _shown(name, meant.policy or policies.live())


def _shown(name: str, policy: Policy) -> dict[str, Any]:
    owner = policy.owner.get_username() if policy.owner else OURS
    return {"id": name, "object": "model", "created": int(policy.created_at.timestamp()), "owned_by": owner}


def _alias_shown(alias: Alias) -> dict[str, Any]:
    created = int(alias.created_at.timestamp())
    return {"id": alias.name, "object": "model", "created": created, "owned_by": OURS}


def owned(person: User, name: str) -> Policy:
    """A fine-tune of the person's own by its name or label. Raises ApiError: 403 for what they only see."""
    meant = named(person, name)
    if meant.policy is None or meant.policy.owner_id != person.pk or Alias.objects.filter(name=name).exists():
        raise forbidden(f"The model '{name[:120]}' is not yours: you can delete only your own fine-tunes.")
    return meant.policy
