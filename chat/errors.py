"""Errors of the chat, each with its code, a message for people, and when to retry."""

from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise, lazy
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

Text = str | Promise


class ChatError(Exception):
    """Base of every error that a person may see; never raised itself."""

    code = "error"
    message: Text = ""
    is_retryable = False
    retry_after_s: float | None = None

    def __init__(self, detail: str = "", *, retry_after_s: float | None = None) -> None:
        """`detail` is for the log; people see `message`."""
        super().__init__(detail or self.code)
        self.detail = detail
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s


# --- a message that is refused -------------------------------------------------------------------------------


class EmptyMessage(ChatError):
    code = "empty"
    message = _("The message is empty. Write something and send it again.")


class TooLong(ChatError):
    code = "too_long"
    message = _("The message is too long for this model. Shorten it and send it again.")


class PreambleTooLong(TooLong):
    code = "preamble_too_long"
    message = _(
        "Your own instructions, or the assistant's with its examples, leave no room for a message in this model's "
        "context. Shorten them."
    )


class ContextExceeded(TooLong):
    """A program's prompt, which is never trimmed, and its completion do not fit into the context."""

    def __init__(self, context: int, prompt: int, completion: int, param: str) -> None:
        """`param`: the parameter of the request that has the prompt."""
        super().__init__(f"{prompt} + {completion} > {context}")
        self.param = param
        words = _(
            "This model's context is {context} tokens, but the prompt has {prompt} and the "
            "completion asks for {completion}. Shorten one of them."
        )
        self.message = format_lazy(words, context=context, prompt=prompt, completion=completion)


class TurnsRefused(ChatError):
    """The policy's chat template refuses these messages for their roles or their order."""

    code = "turns_refused"
    message = _(
        "This model does not accept messages of these roles in this order. Choose another model or assistant."
    )

    def __init__(self, reason: str = "") -> None:
        """`reason`: as the template gives it."""
        super().__init__(reason)
        if reason:
            words = _("This model does not accept these messages in this order. Its template says: {reason}")
            self.message = format_lazy(words, reason=reason[:300])


class BadText(ChatError):
    code = "bad_text"
    message = _("The message contains characters that are not text. Remove them and send it again.")


class BadKey(ChatError):
    code = "bad_key"
    message = _("The message has no valid key. Reload the page and send it again.")


class UnknownParent(ChatError):
    code = "unknown_parent"
    message = _("The message that you are replying to is not in this conversation. Reload the page.")


class UnknownMessage(ChatError):
    code = "unknown_message"
    message = _("This message is not in this conversation. Reload the page.")


class ReplyUnderWay(ChatError):
    code = "reply_under_way"
    message = _("A reply is still being written here. Wait for it to finish, or stop it.")
    is_retryable = True
    retry_after_s = 2.0


class UnknownReply(ChatError):
    code = "unknown_reply"
    message = _("This reply is not in this conversation. Reload the page.")


class ConversationGone(ChatError):
    code = "conversation_gone"
    message = _("This conversation was deleted. Start a new one.")


class StillBlind(ChatError):
    code = "still_blind"
    message = _("Choose one of the two replies first; then you can see which model wrote each.")


class NoProbabilities(ChatError):
    code = "no_look"
    message = _("No probabilities: this reply came from a remote model that returned none.")


class WeightsGone(ChatError):
    code = "weights_gone"
    message = _(
        "The files of the version that wrote this reply have been deleted, so its probabilities can't be computed."
    )


class TooManyTokenViews(ChatError):
    code = "too_many_looks"
    message = _("The probabilities of other replies are being computed. Try again in a moment.")
    is_retryable = True
    retry_after_s = 10.0


class InspectorDown(ChatError):
    """The process that computes probabilities did not answer."""

    code = "inspector_down"
    message = _("The probabilities could not be computed. Try again.")
    is_retryable = True


class ScorerDown(ChatError):
    """The process that scores completions did not answer. People see no message of it: the first completion is
    shown, or, where the rule model guards, none."""

    code = "scorer_down"


class RateLimited(ChatError):
    code = "rate_limited"
    message = _("Too many messages in a short time. Wait a moment and send it again.")
    is_retryable = True
    retry_after_s = 60.0


class TooManyReplies(ChatError):
    code = "too_many_replies"
    message = _("You have other replies still being written. Wait for one to finish, or stop it.")
    is_retryable = True
    retry_after_s = 5.0


class BudgetUsedUp(ChatError):
    """The budget of the person, or of the key that they use, is spent."""

    code = "budget_spent"
    message = _("Your budget is used up. An admin can raise it.")

    def __init__(self, detail: str = "", until: datetime | None = None) -> None:
        """`until`: when its next period begins; None: never."""
        super().__init__(detail, retry_after_s=(until - timezone.now()).total_seconds() if until else None)
        if until is not None:
            words = _(
                "Your budget is used up. The next period begins on {when}; an admin can raise the budget before that."
            )
            when = lazy(lambda: date_format(timezone.localtime(until), "DATETIME_FORMAT"), str)()
            self.message = format_lazy(words, when=when)


class BudgetHeld(BudgetUsedUp):
    """The rest of the budget is reserved for the person's running fine-tunes."""

    def __init__(self, detail: str = "", until: datetime | None = None) -> None:
        super().__init__(detail, until)
        self.message = _(
            "The rest of your budget is reserved for your waiting or running fine-tunes. Cancel one, "
            "or ask an admin to raise the budget."
        )


class QueueFull(ChatError):
    code = "queue_full"
    message = _("Too many people are waiting for a reply. Try again in a moment.")
    is_retryable = True
    retry_after_s = 30.0


class Blocked(ChatError):
    """A guard refused a text."""

    code = "blocked"
    message = _("The message was blocked by a rule of this site. Rephrase it and send it again.")

    def __init__(self, guard: str, detail: str = "", message: Text = "") -> None:
        super().__init__(f"{guard}: {detail}")
        self.guard = guard
        if message:
            self.message = message  # type: ignore[assignment]


class GuardBroken(Blocked):
    """A guard failed, so the text is blocked."""

    code = "guard_broken"
    message = _("One of this site's checks failed, so the message was not sent. Tell an admin.")


class NoLivePolicy(ChatError):
    code = "no_live_policy"
    message = _("No model is installed yet. An admin has to download one first: manage.py fetch_model.")
    is_retryable = True
    retry_after_s = 30.0


class BadPolicy(ChatError):
    """A policy directory is incomplete, was tampered with, or has files that are not allowed."""

    code = "bad_policy"
    message = _("The model on disk is damaged. An admin has to download it again.")


class PolicyAway(BadPolicy):
    """The shared state that has a policy's files does not respond, or they could not be written here: nothing is
    known of the policy itself."""

    code = "policy_away"
    message = _("The model's files cannot be had at the moment. Try again in a minute.")
    is_retryable = True
    retry_after_s = 30.0


class PolicyUnavailable(ChatError):
    """No engine could load the policy that a reply names."""

    code = "policy_unavailable"
    message = _("The model chosen for this reply cannot be loaded. Choose another one, or try again later.")
    is_retryable = True
    retry_after_s = 30.0


class EnginesFull(ChatError):
    """More policies are needed at once than this site loads (settings.CHAT_ENGINES)."""

    code = "engines_full"
    message = _(
        "This site is already running as many models as it can. Try again in a minute, or choose the live model."
    )
    is_retryable = True
    retry_after_s = 60.0


class PolicyRetired(ChatError):
    """The policy that an assistant names has no weights any more."""

    code = "policy_retired"
    message = _("The model version that this assistant uses has been deleted. Choose another version or assistant.")


# --- an engine that does not answer ---------------------------------------------------------------------------


class EngineError(ChatError):
    """Base of the errors of engines; never raised itself."""

    is_retryable = True


class EngineDown(EngineError):
    code = "engine_down"
    message = _("The engine that writes replies stopped and is being restarted. Try again shortly.")
    retry_after_s = 15.0


class EngineTimeout(EngineError):
    code = "engine_timeout"
    message = _("The engine that writes replies took too long. Try again.")
    retry_after_s = 15.0


class EngineBusy(EngineError):
    code = "engine_busy"
    message = _("The engine that writes replies is overloaded. Try again in 30 seconds.")
    retry_after_s = 30.0


class EngineBroken(EngineError):
    code = "engine_broken"
    message = _("The engine sent something that is not a reply. Try again.")


class EngineRefused(EngineError):
    """The engine understood the request and refused it."""

    code = "engine_refused"
    message = _("The engine refused this request. Rephrase the message, or tell an admin.")
    is_retryable = False


class ModelMissing(EngineRefused):
    """The server does not have the model that it is asked for, or no longer."""


class WrongModel(EngineError):
    """A server answered with another model than the one that it was asked for."""

    code = "wrong_model"
    message = _(
        "The server answered with another model than this reply was to come from, so the reply is not shown. Try "
        "again, or tell an admin."
    )


class BadParameters(ChatError):
    code = "bad_parameters"
    message = _("The settings of this reply are out of range. Choose other values.")


class UnknownTokens(BadParameters):
    """A prompt of token ids that are not in the policy's vocabulary, or whose tokenizer is elsewhere."""

    code = "unknown_tokens"
    message = _("This model's tokenizer is not on this machine. Send text instead of token ids.")

    def __init__(self, vocabulary: int = 0) -> None:
        super().__init__(f"vocabulary of {vocabulary}")
        if vocabulary:
            words = _("Token ids of this model are numbers from 0 to {last}.")
            self.message = format_lazy(words, last=vocabulary - 1)


class TalkerGone(ChatError):
    """The process that wrote a reply ended before the reply did."""

    code = "talker_gone"
    message = _("The reply was cut off because the site was restarted. The text so far was saved. Try again.")
    is_retryable = True


# --- frames of the websocket -----------------------------------------------------------------------------


class BadFrame(ChatError):
    code = "bad_frame"
    message = _("The page sent something that is not an event. Reload it.")


class UnknownEvent(ChatError):
    code = "unknown_event"
    message = _("The page sent an unknown event. Reload it.")


class Flood(ChatError):
    code = "flood"
    message = _("The page sent too much in a short time and was disconnected. Wait a moment.")
    is_retryable = True
    retry_after_s = 10.0


class SignedOut(ChatError):
    code = "signed_out"
    message = _("You have been signed out. Sign in again.")


OF_A_REPLY: dict[str, type[ChatError]] = {
    kind.code: kind
    for kind in (
        TooLong,
        PreambleTooLong,
        TurnsRefused,
        Blocked,
        GuardBroken,
        NoLivePolicy,
        BadPolicy,
        PolicyAway,
        PolicyUnavailable,
        EnginesFull,
        EngineDown,
        EngineTimeout,
        EngineBusy,
        EngineBroken,
        EngineRefused,
        WrongModel,
        BadParameters,
        TalkerGone,
    )
}
"""The errors whose codes `Reply.error` may have."""
