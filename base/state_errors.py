"""Errors of state that hosts share; the text of each is shown to people: what happened and what to do."""

from django.utils.translation import gettext as _


class StateError(OSError):
    """Base of the others; never raised itself."""


class StateMissing(StateError, FileNotFoundError):
    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            _(
                "%(key)s is neither on this host nor in the shared state. Publish it from the host that has it: "
                "manage.py publish_state %(key)s"
            )
            % {"key": key}
        )


class StateDamaged(StateError):
    def __init__(self, key: str, name: str) -> None:
        self.key, self.name = key, name
        super().__init__(
            _(
                "%(key)s can't be used: in the shared state, %(name)s is missing or is not what was published. "
                "Publish it again from a host that has it: manage.py publish_state --again %(key)s"
            )
            % {"key": key, "name": name}
        )


class StateAway(StateError):
    """Nothing is known of what is there; the same may be had when it is tried again."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            _(
                "The shared state doesn't respond (%(reason)s). Check CHAMSAE_SHARED_STATE and its credentials, "
                "then try again."
            )
            % {"reason": reason[:300]}
        )
