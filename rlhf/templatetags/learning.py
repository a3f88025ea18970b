"""Template tags of other pages that show how the site learns: the way to the next policy, and the loop's figures."""

from django import template

from accounts.models import User
from rlhf import learning

register = template.Library()


@register.simple_tag
def learning_state(person: User) -> learning.LearningState:
    return learning.state_for(person)


@register.simple_tag
def loop_figures() -> learning.LoopFigures:
    return learning.loop_figures()
