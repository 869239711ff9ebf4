"""What a single line of a CI's log tells: a failure, how one ended, or only that work goes on."""

import re
from typing import Final

_NONE_FAILED: Final = re.compile(
    r"\b(?:no|0|zero)\s(?:tests?\s)?(?:errors?|failures?|failed|failing|problems?|offenses?|violations?|warnings?)\b"
    r"|\b(?:errors?|failures?|failed|fail)\s?[:=]\s?0\b|\bfail(?:ed|ures?|ing)?[-_ ]?(?:safe|fast|over)\b"
    r"|\berror[-_ ]?prone\b|\b(?:on|if)[-_ ](?:error|failure)\b|\bWerror\b"
    r"|--[a-z-]{0,30}(?:error|fail)[a-z-]{0,30}",
    re.IGNORECASE,
)
_FAILURE: Final = re.compile(
    r"\b(?:errors?|err!|fatal|severe|panic(?:ked)?|fail(?:ed|ure|ures|ing|s)?|exceptions?|traceback|abort(?:ed|ing)?"
    r"|critical|segmentation fault|core dumped|killed|out of memory|timed? ?out|denied|refused|unable|cannot|can't"
    r"|could not|couldn't|not found|no such|undefined|unresolved|unexpected|invalid|missing|mismatch|offenses?"
    r"|violations?|conflict)\b"
    r"|[a-z](?:Error|Exception|Failure|Panic)\b|(?:^|\s)(?:FAIL|ERROR|E|F|✖|✗|✘|×|not ok)(?=[\s:]|$)"
    r"|exit(?:ed)?[ -](?:code|status|with)",
    re.IGNORECASE,
)
_QUIET: Final = re.compile(
    r"(?:^|[\s\[(|>:;,=])(?:INFO|DEBUG|TRACE|NOTICE|FINE)(?:[\]):|\s]|$)|^\[?(?:info|debug|trace|notice)[:\]]"
)
_PROGRESS: Final = re.compile(
    r"\b\d{1,3}(?:\.\d{1,6})?\s?%|\b\d{1,9}(?:\.\d{1,6})?/\d{1,9}(?:\.\d{1,6})?\s?[kKMG]?i?B\b|^\s?[-\\|/.#=*>]{3,}\s?$"
    r"|^Progress \(|--:--:--|\b\d{1,9}(?:\.\d{1,6})?\s?[kKMG]i?B/s\b"
    r"|\b(?:Downloading|Downloaded|Uploading|Uploaded|Receiving objects|Resolving deltas|Counting objects"
    r"|Compressing objects|Unpacking|Extracting|Fetching|Pulling|Verifying Checksum|Pull complete|Download complete"
    r"|Already exists|Get:\d{1,9}|Hit:\d{1,9}|Preparing to unpack|Selecting previously|Setting up|Collecting"
    r"|Requirement already|Using cached|Installing|Cloning|Received \d{1,18} of"
    r"|remote: (?:Total|Counting|Compressing|Enumerating|Reusing))\b"
)
_KEEPING: Final = re.compile(
    r"(?:Started by |Running (?:as|on) |Building (?:remotely|on|in) |\[EnvInject\]|\[WS-CLEANUP\]|Sending e-mails? to"
    r"|Archiving artifacts|Recording |Commit message: |Checking out Revision|Avoid second fetch|HEAD is now at"
    r"|using credential|No credentials|The recommended git tool| > git |\+ |\$ |\[command\]"
    r"|##\[(?:group|endgroup|command|section|debug)\]|Temporarily overriding|Adding repository directory|Notifying"
    r"|Triggering a new build|Cleaning up|Job (?:defined|is about)|Runner |Current runner|Operating System"
    r"|Post job cleanup|Cache |(?:\[[A-Z]{1,9}\] )?(?:Total time:|Finished at:|Final Memory:|Reactor Summary)"
    r"|\d{1,6} actionable tasks?\b|Ran \d{1,9} tests? in |(?:\[INFO\] |\[WARNING\] )?(?:Tests? run: \d|-{5,})"
    r"|(?:ok|PASS|✓|✔|√)(?:\s|$)|\s{1,40}(?:✓|✔|√)|.{0,300}(?:\bPASSED\b|\bSUCCESS(?:FUL)?\b|\.\.\.\s?(?:ok|passed|done)$))"
)
_ENDING: Final = re.compile(
    r"(?:\[[A-Z]{1,9}\] )?BUILD (?:FAILURE|SUCCESS|FAILED in )|Finished: [A-Z]|Done\. Your build |(?:\* )?Try:$"
    r"|> Run with --|\* Get more help"
)


def tells_failure(text: str) -> bool:
    """Say whether a line has a word of failure that is not only the count, or the name, of none."""
    return _FAILURE.search(_NONE_FAILED.sub("", text)) is not None


def is_idle(text: str) -> bool:
    """Say whether a line says nothing of what failed: progress, downloads, information, what the CI does itself."""
    if _ENDING.match(text) or _QUIET.search(text):
        return True
    return bool(_PROGRESS.search(text) or _KEEPING.match(text)) and not tells_failure(text)
