"""What pages call the models of the lecture."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

FAMILIES: Mapping[str, str | Promise] = {
    "counting": _("Counting: unigram, n-gram, Kneser-Ney"),
    "rnn": _("RNN"),
    "lstm": _("LSTM"),
    "gpt": _("GPT"),
    "bert": _("BERT"),
}
