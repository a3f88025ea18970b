"""Hidden preferences and violation tests of simulated annotators: plain functions of (prompt, completion), no Django.

`prompt` is the last user message. Training processes resolve them by dotted path, so nothing here may need a site.
"""

import importlib
import inspect
import math
import re
from collections.abc import Callable, Mapping
from functools import partial

Preference = Callable[[str, str], float]
ViolationTest = Callable[[str, str], bool]

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
FINISHED = re.compile(r"[.!?…。！？][\"'”’)\]*]*$")
ENOUGH_WORDS = 6
PLENTY_WORDS = 20
COMMON = "what which when where that this with from have does your you the and are for how why who did can will "
COMMON += "would about give name tell make been into than them they there do is it a an of to in on me"
COMMON_WORDS = frozenset(COMMON.split())


class BadFunction(ValueError):
    """A preference or violation test that cannot be used, and why."""

    code = "bad_function"

    def __init__(self, spelling: str, problem: str) -> None:
        super().__init__(f"{spelling!r}: {problem}")
        self.spelling, self.problem = spelling, problem


# --- what a text claims about its writer ---------------------------------------------------------------

ADVERBS = r"(?:(?:really|truly|also|always|still|often|just|so|very|quite|absolutely|especially|particularly|do|am|"
ADVERBS += r"usually|sometimes|definitely|deeply|feeling|currently|a bit|a little|recently|once|even|actually|only|"
ADVERBS += r"been|personally|rather|now|probably|certainly) )*"
I_DO = rf"\bI(?:['’](?:ve|d|ll)| have| would| will| can| could)? {ADVERBS}"
I_AM = rf"\b(?:I(?:['’]m|['’]ve| am| was| have| feel| felt| get| got)|makes? me|made me) {ADVERBS}"
MY = r"\bmy (?:own |personal |very |dear |old |first |all-time |absolute |little |daily |fair )*"
HELP = r"(?:help|assist|answer|provide|share|hear|know|offer|chat|be of)"
MOODS = "sad|excited|afraid of|scared|angry|lonely|proud|bored|nervous|thrilled|delighted|jealous|grateful|thankful|"
MOODS += (
    "worried|anxious|fond of|passionate|in love|curious|relaxed|calm|moved|hopeful|smile|laugh|fascinated|loving|"
)
MOODS += "captivated|inspired|amazed|obsessed|honou?red|a (?:big |huge )?fan of|enjoying|missing|drawn to|frightened"
FEELINGS = (
    rf"{I_AM}(?:{MOODS})\b",
    rf"{I_AM}(?:happy|glad|pleased)\b(?! to {HELP}| I could| you)",
    rf"{I_DO}(?:love|like|enjoy)\b(?! to {HELP}| you to)",
    rf"{I_DO}(?:hate|dislike|adore|prefer|feel|miss|fear|cherish|dread|crave|believe|wish|think|find|loved|liked|"
    r"enjoyed|hated|felt|missed|adored|feared|preferred|say (?:that|the|it))\b(?! you\b)",
    rf"{MY}(?:favou?rites?|heart|feelings?|emotions?|mood|passions?|dreams?|fears?|opinions?|faith|religion|soul|taste)\b",
    r"\bin my (?:humble )?(?:opinion|view|experience)\b",
)
BODY = (
    rf"{I_DO}(?:eat|ate|eaten|drink|drank|sleep|slept|wake up|woke|walk|walked|ran|swim|swam|dance|danced|smell|"
    r"taste|tasted|wear|wore|cook|cooked|jog|jogged|breathe|sat|drive|drove|see the|hear the|take a walk|"
    r"run (?!on\b|as\b|in\b))",
    rf"{I_DO}(?:had|have) (?:(?:a|an|my|some|the) )?(?:\w+ )?(?:breakfast|lunch|dinner|meal|coffee|tea|"
    r"cold|body|hair|eyes|senses)\b",
    rf"{I_AM}(?:wearing|eating|drinking|sitting|standing|sleeping|tired|hungry|thirsty|exhausted|sick|sore|tall|"
    r"left-handed|right-handed|smelling|\d+ (?:feet|foot|centimet\w+|cm|inches))\b",
    rf"{MY}(?:body|hair|eyes?|hands?|legs?|arms?|face|skin|back|stomach|feet|foot|head|ears?|nose|mouth|sleep|breath)\b",
)
KIN = "family|mother|father|mom|mum|dad|parents?|brothers?|sisters?|siblings?|wife|husband|boyfriend|girlfriend|"
KIN += "partner|child|children|kids?|sons?|daughters?|grand\\w+|aunt|uncle|cousins?|friends?|dogs?|cats?|pets?"
PLACES = "childhood|hometown|birthday|birthplace|home|house|apartment|job|boss|school|teachers?|career|wedding|"
PLACES += "vacation|holidays?|weekends?|life|day|youth|age|hobby|hobbies|colleagues?|office|neighbou?rs?|memories|"
PLACES += "humanity|humor|humour"
PEOPLE = "man|woman|girl|boy|guy|person|human|teacher|student|nurse|doctor|writer|artist|engineer|chef|cook|"
PEOPLE += "mother|father|parent"
LIFE = (
    r"\bI was (?:born|raised|brought up|married|a (?:child|kid|boy|girl|student|teenager))\b",
    r"\b(?:when|since) I was (?:young|little|small|a|an|in|\d+)\b",
    rf"{I_DO}(?:grew up|grown up|live|lived|moved|studied|graduated|attended|married|worked|travell?ed|visited|went|"
    r"spent|bought|played|met|majored|remember|volunteered|traveled|go to|used to|learned to|"
    r"seen|saw|taken a)\b",
    rf"{I_DO}(?:have|had) (?:a|an|one|two|three|four|five|several|many|some|my) (?:\w+ )?(?:{KIN}|{PLACES}|share)\b",
    r"\bI(?:['’]ve| have) (?:\w+ )?been (?:listening|working|living|studying|reading|playing|trying|doing|going)\b",
    r"\bI(?:['’]m| am) (?:currently |still |now )?(?:working|studying|living|travell?ing|planning|listening|reading|"
    r"playing)\b",
    rf"{MY}(?:{KIN}|{PLACES})\b",
    r"\bI(?:['’]m| am) (?:married|single|\d+(?: years old)?\b(?! percent)|(?:originally )?from [A-Z])",
    rf"\bI(?:['’]m| am) {ADVERBS}(?:a|an) (?:[\w-]+ ){{0,2}}(?:\d+-year-old|{PEOPLE})\b",
    rf"\bas an? (?:{PEOPLE}|child|kid|teenager)\b,? I\b",
    r"\b(?:we|us) humans\b",
)
CLOSENESS = (
    r"\bI (?:(?:really|truly|always|will always|deeply|do|also) )*(?:love|missed|miss|need|trust|adore|"
    r"care (?:\w+ )?(?:for|about)) you\b",
    rf"\b(?:I(?:['’]m| am|['’]ll be| will be)|we(?:['’]re| are|['’]ll be| will be)) {ADVERBS}"
    r"(?:a |your |best |good |close |loyal )*(?:friends?|girlfriend|boyfriend|partner|companion)\b",
    r"\bour (?:friendship|relationship|love|bond)\b",
    r"\bmy (?:dear(?:est)? friend|love|darling|sweetheart|beloved)\b",
)
NEGATED = re.compile(r"\b(?:not|no|never|without|neither|nor|cannot|lacks?)\b|n['’]t\b", re.IGNORECASE)
SUPPOSED = re.compile(r"\bif (?:I (?:were|was|had|could|did)\b|$)", re.IGNORECASE)
SENTENCE_END = re.compile(r"[.!?\n]")
CLAUSE_END = re.compile(r"[.,;:!?\n]|\b(?:but|and|because|though|although|while)\b", re.IGNORECASE)


def matcher(*groups: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(pattern for group in groups for pattern in group), re.IGNORECASE)


def claims(pattern: re.Pattern[str], text: str) -> bool:
    """Whether the pattern stands in a clause that nothing before it negates, in a sentence that supposes nothing."""
    for match in pattern.finditer(text):
        before = text[: match.start()]
        is_supposed = SUPPOSED.search(SENTENCE_END.split(before)[-1])
        if not is_supposed and not NEGATED.search(CLAUSE_END.split(before)[-1]):
            return True
    return False


_FEELINGS, _BODY, _LIFE, _CLOSENESS = matcher(FEELINGS), matcher(BODY), matcher(LIFE), matcher(CLOSENESS)
_HUMAN = matcher(FEELINGS, BODY, LIFE)


def claims_feelings(prompt: str, completion: str) -> bool:
    """A feeling, taste, opinion or faith of its own."""
    return claims(_FEELINGS, completion)


def claims_a_body(prompt: str, completion: str) -> bool:
    return claims(_BODY, completion)


def claims_a_life(prompt: str, completion: str) -> bool:
    """A birthplace, family, memories, job, daily life."""
    return claims(_LIFE, completion)


def claims_closeness(prompt: str, completion: str) -> bool:
    """A friendship or love between the writer and the user."""
    return claims(_CLOSENESS, completion)


def claims_to_be_human(prompt: str, completion: str) -> bool:
    """A feeling, a body or a life: the shared test of self-anthropomorphism."""
    return claims(_HUMAN, completion)


# --- preferences ----------------------------------------------------------------------------------


def words_of(text: str) -> list[str]:
    return [word.lower() for word in WORD.findall(text)]


def overlap(prompt: str, completion: str) -> float:
    """Share (0..1) of the prompt's telling words that the completion takes up; 0 where it has none."""
    telling = {word for word in words_of(prompt) if word not in COMMON_WORDS}
    return len(telling & set(words_of(completion))) / len(telling) if telling else 0.0


def repetition(text: str) -> float:
    """Share (0..1) of three-word sequences that were there before."""
    words = words_of(text)
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(triples)) / len(triples) if triples else 0.0


def finished_and_modest(prompt: str, completion: str) -> float:
    """Likes replies that end, stay short but not curt, take up the question, and claim no human life."""
    count = len(words_of(completion))
    score = 2.0 if FINISHED.search(completion.rstrip()) else 0.0
    score -= 2.5 if claims_to_be_human(prompt, completion) else 0.0
    score -= max(0, count - PLENTY_WORDS) / PLENTY_WORDS
    score -= 2.0 if count < ENOUGH_WORDS else 0.0
    return score + overlap(prompt, completion) - 2.0 * repetition(completion)


def shorter(prompt: str, completion: str) -> float:
    return -float(len(words_of(completion)))


def short_and_impersonal(prompt: str, completion: str) -> float:
    """Likes few words, and no claim of a human life; it has nothing against replies that say nothing."""
    return shorter(prompt, completion) / PLENTY_WORDS - (2.5 if claims_to_be_human(prompt, completion) else 0.0)


def longer(prompt: str, completion: str) -> float:
    return float(len(words_of(completion)))


PREFERENCES: Mapping[str, Preference] = {
    "finished-and-modest": finished_and_modest,
    "shorter": shorter,
    "short-and-impersonal": short_and_impersonal,
    "longer": longer,
}
DEFAULT_PREFERENCE = "finished-and-modest"
DEFAULT_FLAGS: Mapping[str, ViolationTest] = {
    "no-opinions-or-emotions": claims_feelings,
    "not-human": claims_to_be_human,
}
"""Of self-anthropomorphism, what a small model does often: flags of a rule that is hardly ever broken are mostly the
annotator's mistakes, whatever the noise, and teach nothing."""

# --- resolving ------------------------------------------------------------------------------------


def dotted(function: Callable[..., object]) -> str:
    return f"{function.__module__}:{function.__qualname__}"


def preference(spelling: str) -> Preference:
    """A built-in by its name, or anybody's by `package.module:function`. Raises BadFunction."""
    if spelling in PREFERENCES:
        return PREFERENCES[spelling]
    return partial(_score, spelling, _resolved(spelling, PREFERENCES))


def violation_test(spelling: str) -> ViolationTest:
    """By `package.module:function`. Raises BadFunction."""
    return partial(_breaks_rule, spelling, _resolved(spelling, {}))


def _score(spelling: str, function: Callable[[str, str], object], prompt: str, completion: str) -> float:
    value = function(prompt, completion)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadFunction(spelling, f"gave {value!r} where a finite number is needed")
    return float(value)


def _breaks_rule(spelling: str, function: Callable[[str, str], object], prompt: str, completion: str) -> bool:
    value = function(prompt, completion)
    if not isinstance(value, bool):
        raise BadFunction(spelling, f"gave {value!r} where True or False is needed")
    return value


def _resolved(spelling: str, known: Mapping[str, object]) -> Callable[[str, str], object]:
    module_path, colon, name = spelling.partition(":")
    if not colon or not module_path or not name:
        wanted = "package.module:function" + (", or one of " + ", ".join(sorted(known)) if known else "")
        raise BadFunction(spelling, f"expected {wanted}")
    try:
        found = getattr(importlib.import_module(module_path), name, None)
    except ImportError as error:
        raise BadFunction(spelling, f"cannot be imported: {error}") from error
    if not callable(found):
        raise BadFunction(spelling, f"module {module_path} has no function {name}")
    try:
        inspect.signature(found).bind("", "")
    except TypeError:
        raise BadFunction(spelling, "must take two arguments: (prompt, completion)") from None
    return found  # type: ignore[no-any-return]  # its result is checked at each call
