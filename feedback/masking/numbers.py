"""Finds phone numbers, payment cards, identity numbers and IP addresses.

Every pattern has a greatest width, so the time is linear in the text whatever it holds (a test checks each).
"""

import ipaddress
import re
from collections.abc import Iterator
from datetime import date

import phonenumbers

from feedback.masking.spans import MaskKind, Span

CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?!\d)")
RESIDENT = re.compile(r"(?<!\d)(\d{2})(\d{2})(\d{2})( ?[-–] ?)?([1-8])(\d{6})(?!\d)")
SOCIAL_SECURITY = re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
IP_V4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)")
IP_V6 = re.compile(r"(?<![\w:])[0-9A-Fa-f:]{3,39}(?![\w:])")
PHONE = re.compile(r"(?<![\w.+:-])\+?\(?\d[\d()./ -]{5,24}\d(?![\d:])")
DATE = re.compile(r"(?:19|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12]\d|3[01])(?!\d)")
GROUP = re.compile(r"\S{1,30}")
REGIONS = ("KR", "US", "GB")
LEAST_DIGITS, MOST_DIGITS = 8, 15
MOST_GROUPS = 5
"""A phone number is written in no more groups of digits."""


def cards(text: str) -> Iterator[Span]:
    """13 to 19 digits whose check digit (Luhn, ISO/IEC 7812-1) is right."""
    for match in CARD.finditer(text):
        for start, end in _runs_of_groups(match):
            digits = _digits(text[start:end])
            if 13 <= len(digits) <= 19 and _has_luhn_digit(digits) and digits.strip("0"):
                yield Span(start, end, MaskKind.CARD)
                break


def identity_numbers(text: str) -> Iterator[Span]:
    """Korean resident registration numbers, whose first six digits are a date: with a hyphen any, as numbers since
    October 2020 end at random; without one only with the older check digit."""
    for match in RESIDENT.finditer(text):
        year, month, day, hyphen, century = match.group(1, 2, 3, 4, 5)
        if _is_date(year, month, day, century) and (hyphen or _has_resident_digit(_digits(match[0]))):
            yield Span(*match.span(), MaskKind.ID_NUMBER)
    for match in SOCIAL_SECURITY.finditer(text):
        yield Span(*match.span(), MaskKind.ID_NUMBER)


def ip_addresses(text: str) -> Iterator[Span]:
    """Not those that every machine has for itself, which tell nothing."""
    for pattern in (IP_V4, IP_V6):
        for match in pattern.finditer(text):
            try:
                address = ipaddress.ip_address(match[0])
            except ValueError:
                continue
            if not (address.is_loopback or address.is_unspecified):
                yield Span(*match.span(), MaskKind.IP)


def phones(text: str) -> Iterator[Span]:
    """Numbers that the metadata of libphonenumber finds valid in Korea, the United States or Great Britain, or with
    the code of any country."""
    for match in PHONE.finditer(text):
        for start, end in _runs_of_groups(match):
            if _is_phone(text[start:end]):
                yield Span(start, end, MaskKind.PHONE)
                break


def _runs_of_groups(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """The match, then its shorter runs of groups between spaces, the longest first: a number may stand beside
    another one. A constant number of them."""
    groups = [(match.start() + one.start(), match.start() + one.end()) for one in GROUP.finditer(match[0])][:8]
    yield match.span()
    for length in range(min(len(groups), MOST_GROUPS), 0, -1):
        for first in range(len(groups) - length + 1):
            yield groups[first][0], groups[first + length - 1][1]


def _is_phone(written: str) -> bool:
    digits = _digits(written)
    if not LEAST_DIGITS <= len(digits) <= MOST_DIGITS or not _looks_dialled(written, digits):
        return False
    return any(_is_valid(written, region) for region in (["ZZ"] if written.startswith("+") else REGIONS))


def _looks_dialled(written: str, digits: str) -> bool:
    """Not a date, an amount or a year: it has a code of a country, begins with 0, is in groups, or has ten digits."""
    if DATE.match(written):
        return False
    return written[0] in "+(0" or "-" in written or ")" in written or len(digits) == 10 or " " in written


def _is_valid(written: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(written, region))
    except phonenumbers.NumberParseException:
        return False


def _digits(written: str) -> str:
    return "".join(letter for letter in written if "0" <= letter <= "9")


def _has_luhn_digit(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _has_resident_digit(digits: str) -> bool:
    weights = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
    total = sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))
    return (11 - total % 11) % 10 == int(digits[12])


def _is_date(year: str, month: str, day: str, century: str) -> bool:
    try:
        date((1900 if century in "1256" else 2000) + int(year), int(month), int(day))
    except ValueError:
        return False
    return True
