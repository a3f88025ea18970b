"""Who answers in a conversation: assistant, policy, parameters and instructions, resolved once for each turn."""

from dataclasses import dataclass

from accounts.models import User
from chat import assistants, instructions, model_choice, site_choices
from chat.engines.engine import Parameters
from chat.models import Assistant, Conversation, Policy
from chat.prompts.preamble import preamble_with
from chat.prompts.rendering import Turn


@dataclass(frozen=True)
class Answerer:
    assistant: Assistant | None
    policy: Policy | None
    """The only one that may answer; None: whichever is live when the reply starts."""
    parameters: Parameters
    instructions: str = ""
    """The person's own."""

    @property
    def assistants_preamble(self) -> list[Turn]:
        """The assistant's instructions and examples, else what the site asks of every policy."""
        return assistants.preamble(self.assistant, site_choices.system_prompt_for(self.policy))

    @property
    def preamble(self) -> list[Turn]:
        """What stands before the conversation: the assistant's preamble with the person's own instructions."""
        return preamble_with(self.assistants_preamble, self.instructions)


def answerer_of(conversation: Conversation) -> Answerer:
    """As the conversation's owner has chosen. Raises PolicyRetired, BadParameters."""
    assistant = assistants.applied(conversation)
    chosen, own = model_choice.chosen(conversation), instructions.applied(conversation)
    return answerer_for(conversation.owner, assistant, chosen, own)


def answerer_for(person: User, assistant: Assistant | None, chosen: Policy | None, own: str = "") -> Answerer:
    """`own`: the person's instructions. `chosen`: the model that they picked, which goes before the one that the
    assistant names. Raises PolicyRetired, BadParameters.
    """
    policy = chosen or assistants.named_policy(assistant, person)
    return Answerer(assistant, policy, assistants.parameters_of(assistant), own)
