"""What pages say was masked."""

from collections.abc import Callable, Mapping

from django.utils.translation import ngettext

from feedback.masking.spans import MaskKind

WORDS: Mapping[str, Callable[[int], str]] = {
    MaskKind.NAME: lambda n: ngettext("%(n)d name", "%(n)d names", n),
    MaskKind.ADDRESS: lambda n: ngettext("%(n)d address", "%(n)d addresses", n),
    MaskKind.EMAIL: lambda n: ngettext("%(n)d e-mail address", "%(n)d e-mail addresses", n),
    MaskKind.PHONE: lambda n: ngettext("%(n)d phone number", "%(n)d phone numbers", n),
    MaskKind.CARD: lambda n: ngettext("%(n)d card number", "%(n)d card numbers", n),
    MaskKind.ID_NUMBER: lambda n: ngettext("%(n)d identity number", "%(n)d identity numbers", n),
    MaskKind.IP: lambda n: ngettext("%(n)d IP address", "%(n)d IP addresses", n),
}


def masked_words(counts: Mapping[str, int]) -> list[str]:
    """For example "2 names", "1 phone number"."""
    return [WORDS[kind](counts[kind]) % {"n": counts[kind]} for kind in MaskKind if counts.get(kind)]
