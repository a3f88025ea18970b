"""Who answers in a conversation: its assistant, policy and sampling parameters, resolved once for each turn."""

from dataclasses import dataclass

from accounts.models import User
from chat import assistants, model_choice
from chat.engines.engine import Parameters
from chat.models import Assistant, Conversation, Policy
from chat.prompts.rendering import Turn


@dataclass(frozen=True)
class Answerer:
    assistant: Assistant | None
    policy: Policy | None
    """The only one that may answer; None: whichever is live when the reply starts."""
    parameters: Parameters

    @property
    def preamble(self) -> list[Turn]:
        """The assistant's instructions and examples, which stand before the conversation."""
        return assistants.preamble(self.assistant)


def answerer_of(conversation: Conversation) -> Answerer:
    """As the conversation's owner has chosen. Raises PolicyRetired, BadParameters."""
    assistant = assistants.applied(conversation)
    return answerer_for(conversation.owner, assistant, model_choice.chosen(conversation))


def answerer_for(person: User, assistant: Assistant | None, chosen: Policy | None) -> Answerer:
    """`chosen`: the model that the person picked, which goes before the one that the assistant names.

    Raises PolicyRetired, BadParameters.
    """
    policy = chosen or assistants.named_policy(assistant, person)
    return Answerer(assistant, policy, assistants.parameters_of(assistant))
