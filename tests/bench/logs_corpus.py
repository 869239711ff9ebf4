"""Logs that the benchmark writes itself: many kinds of lines in many formats, no two lines alike, and whole stories."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Message = Callable[[random.Random], str]


def _hex(chance: random.Random, size: int) -> str:
    return chance.randbytes(size).hex()


def _ip(chance: random.Random) -> str:
    return f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"


NAMES = ("ana", "bo", "cy", "dee", "eva", "finn", "gus", "hal", "ida", "jo", "kai", "lea", "max", "noa", "ola", "pia")
MESSAGES: tuple[Message, ...] = (
    lambda c: f"stored order {c.randrange(10**6)} of customer {_hex(c, 8)} in {c.randrange(900)} ms",
    lambda c: f'{_ip(c)} "GET /v1/cart/{_hex(c, 4)} HTTP/1.1" 200 {c.randrange(9_000)} {c.random():.4f}',
    lambda c: (
        f"received block blk_{c.randrange(10**18)} of size {c.randrange(10**8)} from /{_ip(c)}:{c.randrange(65_536)}"
    ),
    lambda c: f"session opened for user {c.choice(NAMES)} by (uid={c.randrange(2_000)})",
    lambda c: f"failed password for {c.choice(NAMES)} from {_ip(c)} port {c.randrange(65_536)}",
    lambda c: f"task {_hex(c, 4)}-{_hex(c, 2)} moved from QUEUED to RUNNING on node-{c.randrange(90)}.cluster.example",
    lambda c: f"task {_hex(c, 4)}-{_hex(c, 2)} moved from RUNNING to DONE on node-{c.randrange(90)}.cluster.example",
    lambda c: f"cache: {c.randrange(10**5)} entries, {c.random() * 900:.1f} MB of {c.randrange(4_096)} MB",
    lambda c: f"wrote /var/lib/shop/part-{c.randrange(10**5):05}.parquet ({c.randrange(10**7)} bytes)",
    lambda c: f"retrying https://pay.example/{_hex(c, 3)} after {c.randrange(60)} s: connection reset",
    lambda c: f"temperature of rack {c.randrange(40)} is {20 + c.randrange(30)}C, fan at {c.randrange(5_000)}",
    lambda _: "the scheduler is idle",
    lambda _: "reading the configuration again",
    lambda c: f"worker {c.randrange(32)} left, {c.randrange(32)} remain",
)
WEIGHTS = (30, 30, 20, 5, 5, 8, 8, 6, 6, 2, 4, 3, 1, 2)


def _clock(place: int) -> str:
    return f"{place // 36_000 % 24:02}:{place // 600 % 60:02}:{place // 10 % 60:02}"


FORMATS: dict[str, Callable[[random.Random, int, str], str]] = {
    "service": lambda c, n, m: f"2026-11-20T{_clock(n)}.{c.randrange(1000):03}Z INFO shop.core: {m}",
    "threads": lambda c, n, m: (
        f"2026-11-20 {_clock(n)},{c.randrange(1000):03} INFO  [pool-{c.randrange(20)}] a.b.Core: {m}"
    ),
    "syslog": lambda c, n, m: f"Nov 20 {_clock(n)} web-{c.randrange(9)} shopd[{c.randrange(9_999)}]: {m}",
    "columns": lambda c, n, m: (
        f"- {1_795_000_000 + n} node-{c.randrange(99)} 2026-11-20 {_clock(n)} shop CORE INFO {m}"
    ),
}


def write_log(path: Path, layout: str, count: int, seed: int) -> list[int]:
    """Write so many lines, and return the kind of each."""
    chance = random.Random(seed)
    kinds = chance.choices(range(len(MESSAGES)), WEIGHTS, k=count)
    make = FORMATS[layout]
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{make(chance, place, MESSAGES[kind](chance))}\n" for place, kind in enumerate(kinds))
    return kinds


def write_large(path: Path, seed: Path, size: int) -> int:
    """Write `seed` again and again until there are `size` bytes, with other digits each time; return the lines."""
    piece = seed.read_bytes()
    count, written = 0, 0
    with path.open("wb") as file:
        for turn in range(-(-size // len(piece))):
            moved = bytes(ord("6") + (place + turn) % 4 for place in range(4))
            block = piece.translate(bytes.maketrans(b"6789", moved))
            file.write(block)
            written += len(block)
            count += block.count(b"\n")
    return count


# Stories --------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Story:
    """A log of an incident. `needed` are the texts without which nobody understands it."""

    name: str
    lines: tuple[str, ...]
    needed: tuple[str, ...]


_TRACES = {
    "python": (
        "ERROR shop.http: POST /v1/checkout 500",
        ["Traceback (most recent call last):", '  File "/app/http.py", line 8, in handle', "    answer = view(request)",
         '  File "/app/coupons.py", line 31, in apply', "    covered = groups[coupon.category]", "KeyError: 'garden'"],
        ("KeyError: 'garden'", "coupons.py"),
    ),
    "java": (
        "ERROR shop.Main: request failed",
        ["java.lang.IllegalStateException: no price", *(f"\tat shop.A{n}.call(A{n}.java:{n})" for n in range(40)),
         "Caused by: java.io.IOException: disk full", "\tat shop.Disk.write(Disk.java:7)", "\t... 39 more"],
        ("no price", "Caused by: java.io.IOException: disk full", "Disk.java:7"),
    ),
    "go": (
        "ERROR shop: panic while serving",
        ["panic: runtime error: index out of range [3] with length 3", "", "goroutine 17 [running]:",
         "main.price(0xc0000140a0)", "\t/app/price.go:42 +0x1d", "main.main()", "\t/app/main.go:9 +0x25"],
        ("index out of range [3]", "price.go:42"),
    ),
    "node": (
        "ERROR shop: unhandled rejection",
        ["TypeError: Cannot read properties of undefined (reading 'rate')", "    at price (/app/price.js:12:20)",
         "    at handle (/app/server.js:40:3)"],
        ("reading 'rate'", "price.js:12"),
    ),
}  # fmt: skip


def stories() -> Iterator[Story]:
    """Yield incidents: much that is usual, errors that were always there, a release, then what it broke."""
    for number, (name, (line, trace, needed)) in enumerate(_TRACES.items()):
        chance = random.Random(number)
        make = list(FORMATS.values())[number % 3]
        lines: list[str] = []
        for place in range(20_000):
            message = MESSAGES[chance.choices(range(len(MESSAGES)), WEIGHTS)[0]](chance)
            if place % 700 == 0:
                message = f"ERROR could not reach mail-{chance.randrange(9)}.example: timed out"
            if place == 14_000:
                message = "release af8df34 started"
            lines.append(make(chance, place, message))
            if place > 14_000 and place % 400 == 0:
                lines += [make(chance, place, line), *trace]
        yield Story(name=name, lines=tuple(lines), needed=("release af8df34 started", *needed))
