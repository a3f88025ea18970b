"""Which policies a person may start a fine-tune from, by every name that they have (settings.TUNING_MODELS)."""

from accounts.models import User
from api.errors import ApiError
from api.models import Alias
from api.names import LIVE, named
from chat import policies
from chat.errors import NoLivePolicy
from chat.models import Policy


def base_of(person: User, name: str) -> Policy | None:
    """None for what is not there as for what the person may not see."""
    try:
        return named(person, name).policy or policies.live()
    except (ApiError, NoLivePolicy):
        return None


def bases(person: User) -> dict[str, Policy]:
    """{name: policy}: the live one, what the person made, the site's own, and aliases."""
    seen = policies.visible_to(person).filter(is_scripted=False).order_by("-version")
    live = next((policy for policy in seen if policy.is_live), None)
    found = {LIVE: live} if live is not None else {}
    found |= {policy.label: policy for policy in seen if policy.label}
    found |= {policy.name: policy for policy in seen if not policy.label}
    places = {policy.pk: policy for policy in seen}
    for alias in Alias.objects.select_related("policy"):
        policy = live if alias.policy is None else places.get(alias.policy.pk)
        if policy is not None:
            found[alias.name] = policy
    return found
