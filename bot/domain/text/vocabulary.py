"""The words by which errors, diffs and incidents are told from each other."""

import re

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,60}")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_STOP_WORDS = """the and for with not none null nil true false self this that return def class func function import from
    error exception traceback most recent call last file line lines info warning warn debug critical fatal
    string value values data type object name new get set key keys args kwargs int str len list dict tuple bool
    float max min raise raised except try else elif while break continue pass lambda yield async await const let var
    public private static void main test tests http https request response server host localhost module path
    was were has have had are its only use used can cannot may when where which then than into over add added fix
    fixed update updated change changed remove removed support make made lib usr python site packages src app json
    html post put delete patch head options agent user content accept length redacted secret off out all
    any one two per own see"""
_STOP = frozenset(_STOP_WORDS.split())


def split_words(text: str) -> list[str]:
    """Return identifiers and their parts in lower case, no stop words: "applyCoupon" → applycoupon, apply, coupon."""
    found: list[str] = []
    for identifier in _IDENTIFIER.findall(text):
        parts = [identifier.strip("_"), *_CAMEL.findall(identifier)]
        words = dict.fromkeys(_singular(part.lower()) for part in parts)
        found += [word for word in words if len(word) > 2 and word not in _STOP]
    return found


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 4 and word[-1] == "s" and word[-2] not in "siu" else word
