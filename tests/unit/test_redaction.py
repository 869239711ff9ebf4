import json
import lzma
import os
import random
import string
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.agent.redaction import PLACEHOLDER, load_redactor

KEY = b"a key of the test"
REDACTOR = load_redactor(["own-secret-of-the-bot"], KEY)
SAMPLES = Path(os.environ.get("NIGHTSHIFT_TEST_SAMPLES", "")) / "loghub.tar.xz"

ALNUM = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
UPPER = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"
URLSAFE = ALNUM + "-_"


def made(prefix: str, letters: str, count: int, suffix: str = "") -> Callable[[random.Random], str]:
    return lambda rng: prefix + "".join(rng.choice(letters) for _ in range(count)) + suffix


def joined(prefix: str, *parts: tuple[str, int], by: str = "-") -> Callable[[random.Random], str]:
    return lambda rng: prefix + by.join(made("", letters, count)(rng) for letters, count in parts)


def jwt(rng: random.Random) -> str:
    return ".".join(["eyJhbGciOiJIUzI1NiJ9", "eyJzdWIi" + made("", URLSAFE, 40)(rng), made("", URLSAFE, 43)(rng)])


KINDS = {
    "aws": made("AKIA", string.ascii_uppercase + "234567", 16),
    "github": made("ghp_", ALNUM, 36),
    "github app": made("ghs_", ALNUM, 36),
    "github fine": made("github_pat_", ALNUM, 82),
    "gitlab": made("glpat-", URLSAFE, 20),
    "slack bot": joined("xoxb-", ("0123456789", 12), ("0123456789", 12), (ALNUM, 24)),
    "slack app": joined("xapp-1-A", (UPPER, 9), ("0123456789", 13), (HEX, 64)),
    "slack hook": joined("https://hooks.slack.com/services/T", (UPPER, 8), (UPPER, 9), (ALNUM, 24), by="/"),
    "stripe": made("sk_live_", ALNUM, 24),
    "google": made("AIza", URLSAFE, 35),
    "openai": lambda rng: made("sk-", ALNUM, 20)(rng) + "T3BlbkFJ" + made("", ALNUM, 20)(rng),
    "anthropic": made("sk-ant-api03-", URLSAFE, 93, "AA"),
    "npm": made("npm_", LOWER, 36),
    "pypi": made("pypi-AgEIcHlwaS5vcmc", URLSAFE, 80),
    "sendgrid": lambda rng: made("SG.", ALNUM, 22)(rng) + "." + made("", ALNUM, 43)(rng),
    "twilio": made("SK", HEX, 32),
    "telegram": lambda rng: f"{rng.randrange(10**9, 10**10)}:AA{made('', URLSAFE, 33)(rng)}",
    "discord": lambda rng: made("MTA", ALNUM, 21)(rng) + "." + made("", ALNUM, 6)(rng) + "." + made("", ALNUM, 38)(rng),
    "jwt": jwt,
    "digitalocean": made("dop_v1_", HEX, 64),
    "huggingface": made("hf_", string.ascii_letters, 34),
    "grafana": made("glsa_", ALNUM, 32, "_0a1b2c3d"),
    "vault": made("hvs.", URLSAFE, 95),
    "shopify": made("shpat_", HEX, 32),
    "databricks": made("dapi", HEX, 32),
    "postman": lambda rng: made("PMAK-", HEX, 24)(rng) + "-" + made("", HEX, 34)(rng),
    "linear": made("lin_api_", LOWER, 40),
}  # fmt: skip
PLACES = [
    "{}",
    "using {} for the call",
    '{{"value":"{}"}}',
    "calling with ({}), again",
    "INFO a={}&b=1",
    "[{}]",
    "<{}>",
    "see {}; then",
    r"line {}\n",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_secrets_of_known_services_are_found_wherever_they_stand(kind: str, place: str) -> None:
    rng = random.Random(f"{kind}{place}")
    missed = [
        secret for secret in (KINDS[kind](rng) for _ in range(20)) if secret in REDACTOR.redact(place.format(secret))
    ]
    assert missed == []


NAMED = [
    "password=tr0ub4dor",
    "password=correcthorse",
    "DB_PASSWORD=tr0ub4dor",
    "export PGPASSWORD=correcthorse",
    "passwd: tr0ub4dor&3",
    "  password: correcthorse",
    '"password": "correct horse"',
    '{\\"password\\":\\"correct horse\\"}',
    "{'api_key': 'abcdef12345'}",
    "user.password => 'tr0ub4dor'",
    "client_secret=8f14e45fceea167a5a36dedd4bea2543",
    "api-key: 9f86d081884c7d65",
    "X-Api-Key: 9f86d081884c7d65",
    "token=9f86d081884c7d65",
    "access_token: 9f86d081884c7d65",
    "SECRET_KEY = 'django-insecure-x1y2'",
    "secret_key_base: 9f86d081884c7d659a2f",
    "AccountKey=bWFkZSB1cCBmb3IgdGhlIHRlc3Q9PQ==;EndpointSuffix=core",
    "sessionid=ab12cd34ef56ab78",
    "Authorization: Bearer 9f86d081884c7d65",
    "authorization: Basic dXNlcjpwYXNzd29yZA==",
    "'Authorization': 'Token 9f86d081884c7d65'",
    '"authorization":"Bearer abc.def.ghi"',
    "Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==",
    'Authorization: Digest username="bob", response="6629fae49393a05397450978507c4ef1"',
    "got Bearer 9f86d081884c7d659a2f from the client",
    "Cookie: sid=9f86d081884c7d65; theme=dark",
    "set-cookie: session=9f86d081; Path=/",
    "postgres://app:tr0ub4dor@db:5432/shop",
    "redis://:tr0ub4dor@cache:6379/0",
    "amqp://guest:gu%40est@mq//",
    "https://9f86d081884c7d659a2f@github.com/a/b.git",
    "GET /a?x=1&access_token=9f86d081884c7d65&y=2",
    "GET /a?sig=9f86d081884c7d65%2B",
    "docker login -u bob -p tr0ub4dor registry.example",
    "docker login --username bob --password tr0ub4dor",
    "docker login --password=tr0ub4dor",
    "mysql -u root -ptr0ub4dor shop",
    "mysqldump --single-transaction -u root -p'tr0ub4dor' shop",
    "sshpass -p tr0ub4dor ssh host",
    "sshpass -ptr0ub4dor ssh host",
    "curl -u bob:tr0ub4dor https://example.org",
    "redis-cli -h cache -a tr0ub4dor ping",
    "openssl rsa -passin pass:tr0ub4dor -in k",
    "echo tr0ub4dor | docker login --password-stdin",
    "machine h login bob password tr0ub4dor",
    "CREATE USER bob IDENTIFIED BY 'tr0ub4dor'",
    "ALTER ROLE bob WITH PASSWORD 'tr0ub4dor'",
    "app --api-key 9f86d081884c7d65 --verbose",
    "helm upgrade x --set db.password=tr0ub4dor",
    "otp: 9f86d081884c7d65",
]
PARTS = (
    "tr0ub4dor", "correct", "9f86d081", "abcdef12345", "8f14e45f", "django", "bWFkZSB1", "ab12cd34", "dXNlcjpw",
    "abc.def", "6629fae4", "gu%40est",
)  # fmt: skip


@pytest.mark.parametrize("line", NAMED)
@pytest.mark.parametrize("frame", ["{}", "2026-11-20 13:42:32,123 INFO app: {}", "\x1b[2m{}\x1b[0m"])
def test_values_beside_telling_names_are_found(line: str, frame: str) -> None:
    redacted = REDACTOR.redact(frame.format(line))
    assert "[redacted:" in redacted
    assert not [part for part in PARTS if part in redacted]


CLEAN = [
    "Failed password for root from 10.0.0.1 port 22 ssh2",
    "password check failed for user (anna)",
    "Invalid password: try again",
    "password=*** user=anna",
    "password=${DB_PASSWORD}",
    'password: "{{ secret }}"',
    "token=null",
    "unexpected token: identifier",
    "SyntaxError: Unexpected token < in JSON at position 0",
    "tokens=1500 max_tokens: 4096 token_count=12",
    "secretName: app-tls",
    "secret/app-config mounted",
    "key=value",
    "primary key: id",
    "foreign key constraint fails",
    "keyboard: us",
    "Authorization header is missing",
    "authorization: none",
    "cookie expired",
    "GET /users/12?page=2&sort=name HTTP/1.1",
    "http://example.org:8080/path?x=1",
    "mail to anna@example.org failed",
    "ssh://git@github.com/a/b.git",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7",
    "request_id=3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    'File "/app/auth/token.py", line 12, in get_token',
    "KeyError: 'currency'",
    "-----BEGIN CERTIFICATE-----",
    "mysql -u root shop",
    "docker login registry.example",
    "curl -u bob https://example.org",
    "ls -la /etc/passwd",
    "passing 12 tests",
    "pass: 12 fail: 0",
]


@pytest.mark.parametrize("line", CLEAN)
def test_lines_without_a_secret_stay_as_they_are(line: str) -> None:
    assert REDACTOR.redact(line) == line


BODY = "\n".join(made("", ALNUM + "+/", 64)(random.Random(number)) for number in range(12))
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\nshort==\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize("prefix", ["", "    ", "2026-11-20T13:42:32Z web | "])
def test_a_private_key_over_several_lines_is_taken_out(prefix: str) -> None:
    lines = ["before", *(prefix + line for line in PEM.split("\n")), "after this comes nothing"]
    redacted = REDACTOR.redact_lines(lines)
    assert len(redacted) == len(lines)
    assert (redacted[0], redacted[-1]) == ("before", "after this comes nothing")
    text = "\n".join(redacted)
    assert not [line for line in [*BODY.split("\n"), "short=="] if line in text]


@pytest.mark.parametrize(
    "write", [json.dumps, repr, lambda text: text.replace("\n", "\\\\n"), lambda text: text.replace("\n", " ")]
)
def test_a_private_key_in_one_line_is_taken_out(write: Callable[[str], str]) -> None:
    redacted = REDACTOR.redact(f"key={write(PEM)} end of line")
    assert not [line for line in BODY.split("\n") if line in redacted]
    assert redacted.endswith("end of line")


def test_a_torn_private_key_ends_where_the_log_goes_on() -> None:
    lines = [*PEM.split("\n")[:4], "2026-11-20 13:42:33 INFO next request", "2026-11-20 13:42:34 INFO and another"]
    assert REDACTOR.redact_lines(lines)[4:] == lines[4:]


def test_json_stays_json() -> None:
    line = '{"password": 1234567890, "api_key": "abcdef12345", "n": [1], "user": "own-secret-of-the-bot"}'
    redacted = json.loads(REDACTOR.redact(line))
    assert all(PLACEHOLDER.fullmatch(redacted[name]) for name in ("password", "api_key", "user"))
    assert redacted["n"] == [1]


def test_the_same_secret_reads_the_same_everywhere() -> None:
    first, second = REDACTOR.redact_lines(["password=tr0ub4dor", "postgres://app:tr0ub4dor@db/x"])
    assert first[-7:-1] == second.split("@")[0][-7:-1]


def test_placeholders_are_left_alone() -> None:
    line = "password=[redacted:named:0a1b2c] token: [redacted:own:ffffff]"
    assert REDACTOR.redact(line) == line


def test_line_ends_and_number_of_lines_stay() -> None:
    text = "a\r\npassword=tr0ub4dor\r\n\nb\n"
    redacted = REDACTOR.redact(text)
    assert redacted.split("\n")[0] == "a\r"
    assert redacted.count("\n") == text.count("\n")
    assert redacted.split("\n")[1].endswith("]\r")


def test_lines_and_text_give_the_same() -> None:
    lines = [*NAMED, *CLEAN, *PEM.split("\n"), "end"] * 20
    assert REDACTOR.redact("\n".join(lines)).split("\n") == REDACTOR.redact_lines(lines)


words = st.sampled_from(
    [
        *NAMED,
        *CLEAN,
        *PEM.split("\n"),
        "own-secret-of-the-bot",
        "[redacted:own:123456]",
        "[redacted:",
        "=",
        ":",
        '"',
        "\n",
    ]
)


@given(st.lists(words | st.text(max_size=10), max_size=6).map(" ".join))
@settings(deadline=None, max_examples=200)
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = REDACTOR.redact(text)
    assert REDACTOR.redact(once) == once
    assert "own-secret-of-the-bot" not in once


@pytest.mark.parametrize(
    "text",
    [
        "password=" * 50_000,
        "password='" + "a" * 300_000,
        "://" + "a:" * 300_000 + "@",
        "-----BEGIN PRIVATE KEY-----" * 2_000,
        "-----BEGIN PRIVATE KEY-----\n" + ("x" * 60_000 + " y\n") * 20,
        "\\" * 200_000,
        "%25" * 60_000 + "password",
        "\u200b" * 200_000,
        "\x1b[" * 100_000,
        "&amp;" * 60_000,
        "curl " * 50_000 + "-H 'Authorization: x",
        "ey" * 200_000 + ".",
        "[redacted:own:123456]" * 5_000,
        "\ud800 password=\udfff12345678",
    ],
)
def test_hostile_text_costs_little(text: str) -> None:
    began = time.process_time()
    REDACTOR.redact(text)
    assert time.process_time() - began < 5


@pytest.mark.skipif(not SAMPLES.exists(), reason="NIGHTSHIFT_TEST_SAMPLES names no folder with loghub.tar.xz")
def test_real_logs_are_hardly_touched() -> None:
    with tarfile.open(fileobj=lzma.open(SAMPLES)) as archive:
        files = [archive.extractfile(member) for member in archive if member.name.endswith(".log")]
        lines = [line for file in files if file for line in file.read().decode("utf-8", "replace").splitlines()]
    redacted = REDACTOR.redact_lines(lines)
    touched = sum(1 for before, after in zip(lines, redacted, strict=True) if before != after)
    assert len(lines) == 16_000
    assert touched <= 0.005 * len(lines)
