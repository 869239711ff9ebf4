"""How failures begin in the reports of compilers, test runners, linters and package managers."""

import re
from typing import Final

_BEGINNINGS: Final = (
    r"=+ (?:FAILURES|ERRORS|short test summary info) =+",
    r"_{3,80} .{1,200} _{3}",
    r"(?:[Ff]ailures|FAILURES|Failed(?: tests| scenarios| examples)?|Tests in error|Failing (?:tests|scenarios)):\s*$",
    r"There (?:was|were) \d{1,9} (?:failure|error|risky)",
    r"---- .{1,200} ----$",
    r"\s{0,40}--- FAIL: ",
    r"(?:FAIL|FAILED|Failed|Failure)(?::| in | \[)",
    r"ERROR(?::| |$)",
    r"(?i:failing scenarios|failed tests?|test failures?|errors and failures|test summary report)\b",
    r"(?i:the following tests failed|some tests failed)\b",
    r"(?:Test Failed|Error During Test|Failure →|Error →|ASSERT:|\(X\) )",
    r"\s{0,8}\d{1,4}\) \S",
    r"\s{0,8}● ",
    r"\s{0,40}not ok \d",
    r"\s{0,8}#\s{1,8}Failed test",
    r"\s{0,40}Traceback \(most recent call last\)",
    r"\*\* \([A-Z]\w{0,100}",
    r"(?:fatal )?error(?:\[[A-Z]\d{1,6}\])?:? ",
    r"\[error\] ",
    r"\[ERROR\] (?!$|Re-run|To see|For more|\[Help|-> \[Help|After correcting|  mvn)",
    r"Exception in thread ",
    r"(?:PHP )?(?:Fatal|Parse) error:",
    r"(?:fatal|E|ld|configure: error|clang: error|collect2: error): ",
    r"E {3,12}\S",
    r"FATAL\b",
    r"curl: \(\d",
    r"npm ERR! (?:code|Error|Test failed|missing|peer|[45]\d\d)",
    r"gyp ERR! ",
    r"diff --git |\+\+\+ |--- a/",
    r"would reformat |needs formatting",
    r"\*{1,80} Error ",
    r"\s{0,40}[✖✗✘×] ",
    r"rake aborted!",
    r"Test (?:Case|Suite) .{1,200} failed",
    r"CMake Error",
    r"Caused by: ",
)
_STATEMENTS: Final = (
    r": (?:fatal )?error(?: [A-Z]{1,4}\d{1,6})?[: ]",
    r"<<< (?:FAILURE|ERROR)!",
    r"\bpanicked at\b|^panic: ",
    r"\bAssert(?:ion)?(?:Error|Failed| failed| violation)",
    r"\b(?:undefined reference|undefined symbol|Segmentation fault|core dumped|command not found)\b",
    r"\b(?:No such file or directory|Permission denied)\b",
    r"[A-Za-z](?:Error|Exception)(?::|$| \()|(?:^|[\s.:])(?:Error|Exception)(?::|$| \()",
    r"\b(?:FAILED|FAIL)$|\[FAIL(?:ED)?\]|\*\*\*\s?(?:FAILED|Failed)|\*failed\*",
    r"\bnon-zero (?:exit |return )?(?:code|status)|\bcommands? failed\b",
    r"\b(?:could|did|does) not (?:be |meet|match|pass|compile|execute)",
    r"\b[1-9]\d{0,9} (?:failed|failing|failures?|errors?|offenses?|problems?|violations?)\b",
    r"\b(?:[Cc]ould not|[Cc]annot|[Cc]an't|[Uu]nable to|[Ff]ailed to) \w",
    r"^\S{1,300}\.\w{1,8}:\d{1,9}(?::\d{1,9})?: ",
)
_BEGINS: Final = re.compile("|".join(_BEGINNINGS))
_NAMES: Final = re.compile("|".join(_STATEMENTS))
_SOFT: Final = re.compile(
    r"(?<!\d )\b(?:warn(?:ings?)?|deprecat\w{1,20}|notice|skipp(?:ed|ing)|ignor(?:ed|ing)|retry(?:ing)?)\b"
    r"(?!: \d)|⚠",
    re.IGNORECASE,
)
_GOES_ON: Final = re.compile(r"\s{1,40}\S|at \S|\.\.\. \d|\||\^|[+-] |#\d|Caused by|note: |help: |= |\d{1,6} \|")


def begins_report(text: str) -> bool:
    """Say whether a report of what failed begins with this line."""
    return _BEGINS.match(text) is not None and not is_soft(text)


def names_failure(text: str) -> bool:
    """Say whether the line states a failure itself."""
    return _NAMES.search(text) is not None and not is_soft(text)


def is_soft(text: str) -> bool:
    """Say whether the line speaks of what did not stop anything: a warning, something skipped or tried again."""
    return _SOFT.search(text) is not None


def goes_on(text: str) -> bool:
    """Say whether the line belongs to the one before it, as frames, notes and quoted code do."""
    return _GOES_ON.match(text) is not None
