"""What a stranger's text costs grows no faster than the text: twice the text takes at most 2.6 times the steps.

Steps are calls of Python and of C functions and lines of Python, so the count is the same on every machine; what one
call of C costs is measured in seconds by tests of the mark `timed`, on a machine that is quiet.
"""

import gc
import json
import sys
import time
from types import SimpleNamespace

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st

from chat.conversations import importing, titles
from chat.conversations.exporting import FORMAT, VERSION
from chat.markdown import rendering
from feedback.guards import normalise
from feedback.projects import people, prompt_files
from tests.hostile.texts import TEXTS, text_of

MOST = 2.6


def markdown(text):
    rendering._html(text, shows_targets=False)


def imported(text):
    read_and_refused(importing.read, text.encode(), importing.ImportRefused)


def project_people(text):
    read_and_refused(people.read, text, people.PeopleRefused)


def project_prompts(text):
    for kind in ("csv", "jsonl", "lines"):
        try:
            prompt_files.read(text, kind)
        except prompt_files.PromptFileRefused:
            continue


def read_and_refused(read, given, error):
    try:
        read(given)
    except error:
        return


PARSERS = {
    "markdown": (markdown, 300),
    "title": (titles.title_from, 1_500),
    "import": (imported, 2_000),
    "people of a project": (project_people, 2_000),
    "prompts of a project": (project_prompts, 600),
    "guard": (normalise, 2_000),
}


def keys_of(count, *, twice="last"):
    keys = [f"key{number}" for number in range(count)]
    return "{" + ",".join(f'"{key}":1' for key in [*keys, keys[-1] if twice == "last" else keys[0]]) + "}"


def usernames(count):
    return "".join(f"person{number}\n" for number in range(count))


FILES = {
    "import of keys, the last twice": (imported, keys_of, 400),
    "import of nested lists": (imported, lambda count: "[" * count + "]" * count, 400),
    "import of messages": (
        imported,
        lambda count: json.dumps({"format": FORMAT, "version": VERSION, "messages": [{}] * count}),
        400,
    ),
    "people with names": (project_people, usernames, 200),
}


def steps_of(act):
    """Lines of Python and calls that the act takes."""
    counted = SimpleNamespace(steps=0)

    def count(_frame, _event, _argument):
        counted.steps += 1
        return count

    former = sys.gettrace(), sys.getprofile()
    sys.settrace(count)
    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(former[1])
        sys.settrace(former[0])
    return counted.steps


def seconds_of(act):
    """The least of three, of this process alone, and of its garbage collection nothing: that comes by turns."""
    found = []
    gc.disable()
    try:
        for _turn in range(3):
            begun = time.process_time()
            act()
            found.append(time.process_time() - begun)
    finally:
        gc.enable()
    return min(found)


@pytest.fixture(autouse=True)
def _english():
    with translation.override("en"):
        yield


@pytest.mark.parametrize("parser", PARSERS)
def test_twice_the_text_takes_at_most_a_little_more_than_twice_the_steps(parser):
    act, length = PARSERS[parser]
    act("warm, so that nothing is loaded while it is counted: | a | **b** `c` $d$ http://e [f](g)")
    worse = {}
    for name in TEXTS:
        texts = [text_of(name, length), text_of(name, 2 * length)]
        once, twice = (steps_of(lambda text=text: act(text)) for text in texts)
        if twice > MOST * once + 200:
            worse[name] = (once, twice)
    assert worse == {}


@pytest.mark.parametrize("name", FILES)
def test_twice_the_entries_of_a_file_take_at_most_a_little_more_than_twice_the_steps(name):
    act, make, count = FILES[name]
    act(make(4))
    once, twice = (steps_of(lambda n=n: act(make(n))) for n in (count, 2 * count))
    assert twice <= MOST * once + 200


@of_hypothesis(max_examples=15)
@given(unit=st.text(st.sampled_from("[]()*_`~$\\|-#>\n <&;!:/ha.1가"), min_size=1, max_size=6))
def test_no_other_unit_that_is_repeated_costs_more(unit):
    markdown("warm")
    times = 300 // len(unit)
    once, twice = (steps_of(lambda n=n: markdown(unit * n)) for n in (times, 2 * times))
    assert twice <= MOST * once + 2_000


@pytest.mark.timed
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("parser", PARSERS)
def test_twice_the_text_takes_at_most_a_little_more_than_twice_the_time(parser, name):
    act, _length = PARSERS[parser]
    length = 8_000
    act(text_of(name, length))
    once, twice = (seconds_of(lambda n=n: act(text_of(name, n))) for n in (length, 2 * length))
    assert twice <= MOST * once + 0.02
