"""Our own patterns for secrets that have no shape: a value beside a telling name, in a URL, a header or a command."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_NAME: Final = (
    r"(?:pass(?:wor[dt]|wd|phrase|code)|pwd|pswd|secret|token|credentials?|(?:api|access|auth|private|secret|signing|"
    r"encryption|master|account|storage|license|webhook|session|service|shared|client)[_.-]?key|apikey|accesskey|"
    r"(?:session|sess)[_-]?id|jsessionid|phpsessid|client[_-]?secret|connection[_-]?string|otp|pin[_-]?code|cvv)"
)
_TAIL: Final = (
    r"(?:[_.-]?(?:value|key|hash|base64|b64|hex|text|plain|raw|string|new|old|current|confirm(?:ation)?|prod|production|"
    r"dev|staging|test|live|db|\d{1,3}))?"
)
_QUOTE: Final = r"\\{0,3}[\"'\x60]"
_BEFORE: Final = r"(?i)(?:^|[^a-z0-9])(?:[a-z0-9]{1,30}[_.-]){0,5}[a-z0-9]{0,20}?"

NAMED_QUOTED: Final = (
    _BEFORE + _NAME + _TAIL + rf"(?:{_QUOTE})?\]?\s{{0,3}}(?:=>|:=|==?|:)\s{{0,3}}{_QUOTE}([^\"'\x60\r\n]{{3,}})"
)
NAMED_EQUALS: Final = _BEFORE + _NAME + _TAIL + rf"(?:{_QUOTE})?\s{{0,2}}=\s{{0,1}}([^\s\"'\x60,;&|<>(){{}}\[\]]{{3,}})"
NAMED_COLON: Final = _BEFORE + _NAME + _TAIL + rf"(?:{_QUOTE})?\s{{0,2}}:\s{{0,2}}([^\s\"'\x60,;&|<>(){{}}\[\]]{{4,}})"
NAMED_JSON: Final = _BEFORE + _NAME + _TAIL + rf"{_QUOTE}\s{{0,3}}:\s{{0,3}}([^\s\"'\x60,;&|<>(){{}}\[\]]{{3,}})"
NAMED_LINE: Final = (
    r"(?i)^[\s-]{0,40}(?:export\s{1,4}|set\s{1,4})?[a-z0-9_.-]{0,60}?"
    + _NAME
    + _TAIL
    + r"\s{0,2}[:=]\s{0,4}(\S{3,})\s{0,4}$"
)
NAMED_END: Final = _BEFORE + _NAME + _TAIL + r"\s{0,2}:\s{0,4}(\S{8,})\s{0,4}$"
FLAG: Final = (
    r"(?i)(?:^|\s)--?[a-z0-9-]{0,30}(?:password|passwd|pass|passphrase|secret|token|api-?key|access-?key|secret-?key|auth|"
    r"credentials?)(?:\s{1,4}|=)[\"']?([^\s\"'-][^\s\"']{2,})"
)

_STOP: Final = re.compile(
    r"(?i)^(?:null|nil|none|true|false|undefined|empty|unset|missing|invalid|required|incorrect|expired|unknown|yes|no|not|"
    r"n/a|redacted|masked|hidden|filtered|\[?filtered\]?|secret|password|token|string|str|int|bytes|optional|and|or|for|is|"
    r"was|the|\*+|x{3,}|\.{3,}|-+|_+|\$\{?\(?[\w.]*[)}]?|\{\{.*|<.*|%[sdrv({].*|@.*|&.*|\(.*|env[.:\[].*|process\.env.*|os\.environ.*)$"
)
_LETTERS: Final = re.compile(r"^[A-Za-z][a-z]*$")
_PATH: Final = re.compile(r"^(?:/|\./|~/|[A-Za-z]:\\)[\w./\\-]+$")
_WEAK: Final = re.compile(r"(?i)(?:token|key|credentials?|id|otp|hash)[\"'\x60\\\]]*\s*[:=]")


def _accept_any(value: str, _whole: str) -> bool:
    return not _STOP.match(value)


def _accept_assigned(value: str, whole: str) -> bool:
    """A value after `=`, or quoted: weak names such as token need a value that looks made up."""
    if _STOP.match(value) or _PATH.match(value):
        return False
    if _WEAK.search(whole):
        return len(value) >= 8 and (_is_mixed(value) or len(value) >= 24)
    return True


def _accept_after_colon(value: str, whole: str) -> bool:
    """A bare value after a colon may be plain language: it must look made up."""
    return _accept_assigned(value, whole) and len(value) >= 6 and _is_mixed(value) and "://" not in value


def _accept_token(value: str, _whole: str) -> bool:
    return len(value) >= 12 and _is_mixed(value) and not _STOP.match(value)


def _is_mixed(value: str) -> bool:
    """Say whether a value has digits and letters, or more than plain words."""
    has_digit, has_letter = any(c.isdigit() for c in value), any(c.isalpha() for c in value)
    if has_digit and has_letter:
        return True
    return (
        has_letter
        and not _LETTERS.match(value.strip(".!?"))
        and not re.fullmatch(r"[A-Za-z]+(?:[-_./][A-Za-z]+)*", value)
    )


@dataclass(frozen=True, slots=True)
class Shape:
    """A pattern whose first group that took part is the secret. It is tried where one of its `keywords`, in lower
    case, stands; without any it always is."""

    kind: str
    regex: str
    keywords: tuple[str, ...]
    accept: Callable[[str, str], bool] = _accept_any


_NAME_WORDS: Final = (
    "pass", "pwd", "pswd", "secret", "token", "credential", "_key", "-key", ".key", "apikey", "accesskey", "masterkey",
    "privatekey", "authkey", "secretkey", "signingkey", "sessionkey", "clientkey", "accountkey", "sessionid",
    "session_id", "sessid", "connectionstring", "connection_string", "otp", "pin_code", "pincode", "cvv",
)  # fmt: skip

_FLAG_WORDS: Final = (
    "-pass", "password", "passwd", "secret", "-token", "apikey", "api-key", "access-key", "-auth", "credential",
)  # fmt: skip

SHAPES: Final = (
    Shape("named", NAMED_QUOTED, _NAME_WORDS, _accept_assigned),
    Shape("named", NAMED_EQUALS, _NAME_WORDS, _accept_assigned),
    Shape("named", NAMED_COLON, _NAME_WORDS, _accept_after_colon),
    Shape("named", NAMED_JSON, _NAME_WORDS, _accept_assigned),
    Shape("named", NAMED_LINE, _NAME_WORDS, _accept_assigned),
    Shape("named", NAMED_END, _NAME_WORDS, _accept_assigned),
    Shape("flag", FLAG, _FLAG_WORDS, _accept_any),
    Shape(
        "authorization",
        r"(?i)\b(?:proxy-)?authorization(?:\\{0,3}[\"'])?\s{0,3}(?:[:=]|=>|,)\s{0,3}(?:b?\\{0,3}[\"'])?"
        r"(?:(?:digest|aws4-hmac-sha256|hmac-[a-z0-9]+|signature|oauth)\s{1,3}((?:[^\"\r\n\\]|\\.|\"[^\"\r\n]*\",?)+)"
        r"|(?:[a-z][a-z0-9_-]{2,20}\s{1,3})?([^\s\"'\\,;}\])]{6,}))",
        ("authorization",),
    ),
    Shape("bearer", r"(?i)\b(?:bearer|token)\s{1,3}([a-z0-9._~+/-]{16,}={0,2})", ("bearer ", "token "), _accept_token),
    Shape("basic", r"\b[Bb]asic\s{1,3}([A-Za-z0-9+/]{8,}={0,2})", ("basic ",), _accept_token),
    Shape(
        "cookie",
        r"(?i)\b(?:set-)?cookies?(?:\\{0,3}[\"'])?\s{0,3}[:=]\s{0,3}(?:\\{0,3}[\"'])?([^\s\"'\\=;]+=[^\r\n\"'\\]{6,})",
        ("cookie",),
    ),
    Shape(
        "url-userinfo",
        r"(?i)\b[a-z][a-z0-9+.-]{1,30}://[^\s/:@\"'<>]*:([^\s/\"'<>]{1,})@[^\s@]",
        ("://",),
    ),
    Shape("url-userinfo", r"(?i)\bhttps?://([a-z0-9_.~-]{16,})@[a-z0-9]", ("://",), _accept_token),
    Shape(
        "url-parameter",
        r"(?i)[?&;](?:[a-z0-9_.-]{0,30}(?:token|secret|passw(?:or)?d|pwd|api_?key|signature|credential|jwt|assertion)|"
        r"key|sig|auth|code|ticket|sid|x-amz-security-token)=([^&\s\"'<>;#]{6,})",
        ("token=", "secret=", "passw", "pwd=", "key=", "sig=", "signature=", "credential=", "auth=", "code=", "ticket=",
         "sid=", "jwt=", "assertion="),
        _accept_assigned,
    ),
    Shape(
        "login-option",
        r"(?i)\b(?:docker|podman|helm|skopeo|oras|nerdctl|az|oc|crane|vault|npm|heroku)\b[^\r\n|;&]*?\slogin\b"
        r"[^\r\n|;&]*?\s-p(?:\s{1,3}|=)?[\"']?([^\s\"'-][^\s\"']{1,})",
        ("login",),
    ),
    Shape(
        "mysql-option",
        r"(?i)\b(?:mysql|mariadb)[a-z_-]{0,20}\b[^\r\n|;&]*?\s-p[\"']?([^\s\"'-][^\s\"']{1,})",
        ("mysql", "mariadb"),
    ),
    Shape("sshpass", r"(?i)\bsshpass\s{1,3}(?:-[v]\s{1,3})?-p\s{0,3}[\"']?([^\s\"']{1,})", ("sshpass",)),
    Shape(
        "curl-user",
        r"(?i)\b(?:curl|wget)\b[^\r\n|]*?\s(?:-u|--user|--proxy-user|-U|-a)(?:\s{0,3}|=)[\"']?[^\s:\"']+:([^\s\"']{1,})",
        ("curl", "wget"),
    ),
    Shape("redis-option", r"(?i)\bredis-cli\b[^\r\n|]*?\s-a\s{1,3}[\"']?([^\s\"']{2,})", ("redis-cli",)),
    Shape(
        "pass-argument",
        r"(?i)(?:-pass(?:in|out)?\s{1,3}[\"']?pass:|\bhtpasswd\s[^\r\n|]*-[a-z]*b[a-z]*\s{1,3}(?:\S+\s{1,3})?\S{1,100}\s{1,3}|"
        r"\bsqlcmd\b[^\r\n|]*?\s-P\s{0,3}|\bldap[a-z]{3,10}\b[^\r\n|]*?\s-w\s{1,3}|\b(?:unzip|zip|7z)\b[^\r\n|]*?\s-p)"
        r"[\"']?([^\s\"']{2,})",
        ("pass:", "htpasswd", "sqlcmd", "ldap", "zip", "7z"),
    ),
    Shape(
        "piped",
        r"(?i)\b(?:echo|printf)\s{1,3}(?:-n\s{1,3})?[\"']?([^\s\"'|]{3,})[\"']?\s{0,3}\|\s{0,3}(?:sudo|docker|podman|helm|passwd|chpasswd|"
        r"gpg|cryptsetup|kinit|skopeo)\b",
        ("echo ", "printf "),
    ),
    Shape("netrc", r"(?i)\blogin\s{1,4}\S+\s{1,4}password\s{1,4}(\S{2,})", ("login",)),
    Shape(
        "sql",
        r"(?i)\b(?:identified\s{1,3}by(?:\s{1,3}password)?|(?:user|role|login)\b[^\r\n]*\bpassword)\s{1,3}\\{0,2}[\"']([^\"']{1,})[\"']",
        ("identified", "password"),
    ),
    Shape("jwt", r"\b(ey[A-Za-z0-9_-]{8,}\.ey[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]{0,})?)", ("ey",)),
    Shape(
        "webhook-url",
        r"(?i)(https://hooks\.slack\.com/[a-z]{2,12}/[a-z0-9/+_-]{10,}"
        r"|https://(?:[a-z]{2,8}\.)?discord(?:app)?\.com/api/webhooks/[0-9]{5,30}/[\w-]{20,})",
        ("hooks.slack.com", "api/webhooks"),
    ),
    Shape("telegram-bot-token", r"(?:^|[^0-9A-Za-z])([0-9]{8,10}:AA[A-Za-z0-9_-]{32,34})", (":aa",)),
    Shape("discord-bot-token", r"\b([MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{27,45})\b", ()),
    Shape(
        "azure-connection",
        r"(?i)\b(?:AccountKey|SharedAccessKey|SharedAccessSignature|sig)=([A-Za-z0-9+/%=_-]{20,})",
        ("accountkey=", "sharedaccess", "sig="),
    ),
)  # fmt: skip

PEM_BEGIN: Final = re.compile(r"-----BEGIN[ A-Z0-9_-]{0,60}(?:PRIVATE KEY|OPENSSH KEY)(?: BLOCK)?-----")
PEM_END: Final = re.compile(r"-----END[ A-Z0-9_-]{0,60}KEY(?: BLOCK)?-----")
PEM_BODY: Final = re.compile(
    r"[A-Za-z0-9+/=]{40,}|^\W{0,8}[A-Za-z0-9+/=]{2,76}\s*$|(?:^|[\s|])[A-Za-z0-9+/]{2,76}={1,2}\s*$"
    r"|(?:Proc-Type|DEK-Info):"
)
PEM_LAST: Final = re.compile(r"(?<!\S)\S++\s*+$")
