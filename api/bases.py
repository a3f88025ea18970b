"""Which policy a person means by the name of a model that is to be fine-tuned."""

from accounts.models import User
from api.errors import ApiError
from api.names import named
from chat import policies
from chat.errors import NoLivePolicy
from chat.models import Policy


def base_of(person: User, name: str) -> Policy | None:
    """None for what is not there as for what the person may not see."""
    try:
        return named(person, name).policy or policies.live()
    except (ApiError, NoLivePolicy):
        return None
