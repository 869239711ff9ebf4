"""CI logs made from a seed: jobs of CI systems that were green once and are red now, with the lines that tell why."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

_NOON: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
_WORDS: Final = ("cart", "coupon", "total", "stock", "price", "order", "user", "session", "invoice", "search")


@dataclass(frozen=True, kw_only=True)
class Made:
    """One job: what it wrote when it was red and when it was green; `wanted` are the red lines that tell why."""

    system: str
    failed: str
    green: str
    wanted: frozenset[int]


@dataclass(kw_only=True)
class _Log:
    """Lines as they are written; `hot` are those that tell why the job failed."""

    chance: random.Random
    lines: list[str] = field(default_factory=list)
    hot: list[int] = field(default_factory=list)

    def say(self, *lines: str) -> None:
        self.lines += lines

    def fail(self, *lines: str) -> None:
        for line in lines:
            if line.strip():
                self.hot.append(1 + sum(1 + before.count("\r") for before in self.lines))
            self.lines.append(line)

    def name(self) -> str:
        return self.chance.choice(_WORDS)

    def hex(self, size: int) -> str:
        return self.chance.randbytes(size).hex()


Tool = Callable[[_Log, bool], None]


def make_corpus(seed: int) -> Iterator[Made]:
    """Yield a job for each CI system and tool."""
    for number, (system, frame) in enumerate(SYSTEMS.items()):
        for offset, tool in enumerate(TOOLS):
            pair = []
            for run, red in enumerate((False, True)):
                log = _Log(chance=random.Random(f"{seed} {number} {offset} {run}"))
                frame(log, tool, red)
                pair.append(log)
            green, failed = pair
            yield Made(
                system=system,
                failed="\n".join(failed.lines),
                green="\n".join(green.lines),
                wanted=frozenset(failed.hot),
            )


# CI systems -----------------------------------------------------------------------------------------------------------
def _actions(log: _Log, tool: Tool, red: bool) -> None:
    log.say("##[group]Operating System", "Ubuntu", "22.04.3", "##[endgroup]", "##[group]Run actions/checkout@v4")
    log.say(f"Temporarily overriding HOME='/home/runner/work/_temp/{log.hex(8)}' before changing git's configuration")
    _clone(log)
    log.say("##[group]Run make check", "make check", "##[endgroup]")
    tool(log, red)
    if red:
        log.fail("##[error]Process completed with exit code 2.")
    log.say("Post job cleanup.", f"[command]/usr/bin/git version {log.hex(3)}", "Cleaning up orphan processes")
    stamps = (_NOON + timedelta(milliseconds=7 * number + log.chance.randrange(6)) for number in range(len(log.lines)))
    log.lines = [f"{at:%Y-%m-%dT%H:%M:%S.%f}0Z {line}" for at, line in zip(stamps, log.lines, strict=True)]


def _jenkins(log: _Log, tool: Tool, red: bool) -> None:
    log.say("Started by timer", "Running as SYSTEM", "Building remotely on node-1 in workspace /builds/workspace/shop")
    log.say(f"Checking out Revision {log.hex(20)} (refs/remotes/origin/main)")
    log.say(f'Commit message: "Mend the {log.name()}"', f"[shop] $ /bin/sh -xe /tmp/jenkins{log.hex(4)}.sh")
    log.say("+ make check")
    tool(log, red)
    if red:
        log.fail("Build step 'Execute shell' marked build as failure")
    log.say("Sending e-mails to: dev@example.org", "Finished: FAILURE" if red else "Finished: SUCCESS")


def _travis(log: _Log, tool: Tool, red: bool) -> None:
    log.say("travis_fold:start:worker_info\r\x1b[0K\x1b[33;1mWorker information\x1b[0m")
    log.say(f"hostname: {log.hex(6)}@1.worker")
    log.say("travis_fold:end:worker_info\r\x1b[0K", "travis_time:start:" + log.hex(4), "$ make check")
    tool(log, red)
    if red:
        log.fail('\x1b[31;1mThe command "make check" exited with 2.\x1b[0m')
    else:
        log.say('\x1b[32;1mThe command "make check" exited with 0.\x1b[0m')
    log.say("", f"Done. Your build exited with {int(red)}.")


def _gitlab(log: _Log, tool: Tool, red: bool) -> None:
    log.say("Running with gitlab-runner 16.4.0", f"  on runner-1 {log.hex(4)}, system ID: s_{log.hex(6)}")
    begin = 1700000000 + log.chance.randrange(9999)
    log.say(f"section_start:{begin}:step_script\r\x1b[0K\x1b[32;1m$ make check\x1b[0;m")
    tool(log, red)
    if red:
        log.fail("\x1b[31;1mERROR: Job failed: exit code 2\x1b[0;m")
    else:
        log.say("\x1b[32;1mJob succeeded\x1b[0;m")


def _buildbot(log: _Log, tool: Tool, red: bool) -> None:
    log.say("--- git ---", f"HEAD is now at {log.hex(4)} Mend the {log.name()}", "--- check ---")
    tool(log, red)
    if red:
        log.fail("program finished with exit code 2")
    log.say(f"elapsedTime={log.chance.uniform(1, 90):.6f}")


def _local(log: _Log, tool: Tool, red: bool) -> None:
    log.say("== check: make check")
    tool(log, red)
    if red:
        log.fail(f"== check: exit 2 after {log.chance.uniform(1, 9):.1f} s")
    else:
        log.say(f"== check: exit 0 after {log.chance.uniform(1, 9):.1f} s")


SYSTEMS: Final = {
    "GitHub Actions": _actions,
    "Jenkins": _jenkins,
    "Travis": _travis,
    "GitLab": _gitlab,
    "Buildbot": _buildbot,
    "local": _local,
}


# What the job runs ----------------------------------------------------------------------------------------------------
def _clone(log: _Log) -> None:
    objects = log.chance.randrange(200, 900)
    for part in range(0, 101, log.chance.choice((4, 5, 10))):
        speed = log.chance.uniform(1, 9)
        log.say(f"Receiving objects: {part:3}% ({objects * part // 100}/{objects}), {speed:.2f} MiB/s")


def _download(log: _Log, count: int) -> None:
    for _ in range(count + log.chance.randrange(9)):
        name, size = log.name(), log.chance.randrange(1, 900)
        log.say(f"Downloaded from central: https://repo.example/{name}/{name}.jar ({size} kB at {size * 3} kB/s)")


def _pass(log: _Log, write: str, count: int) -> None:
    for number in range(count):
        log.say(write.format(number=number, name=_WORDS[number % len(_WORDS)], ms=log.chance.randrange(1, 400)))


def _pytest(log: _Log, red: bool) -> None:
    _pass(log, "tests/unit/test_{name}_{number}.py::test_it PASSED", 300)
    if red:
        log.fail("=================================== FAILURES ===================================")
        log.fail("___________________________ test_total_with_coupon ____________________________", "")
        log.fail("    def test_total_with_coupon():", ">       assert total(CART) == 90")
        log.fail("E       KeyError: 'rate'", "")
        log.fail("shop/cart.py:8: KeyError")
    _pass(log, "shop/{name}_{number}.py      40      2    95%", 400)
    if red:
        log.fail("FAILED tests/test_cart.py::test_total_with_coupon - KeyError: 'rate'")
        log.fail("========================= 1 failed, 300 passed in 3.21s =========================")
        log.fail("make: *** [Makefile:3: check] Error 1")
    else:
        log.say(f"======================= 301 passed in {log.chance.uniform(2, 5):.2f}s =======================")


def _maven(log: _Log, red: bool) -> None:
    _download(log, 120)
    good = "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.{ms} s - in {name}{number}Test"
    _pass(log, good, 200)
    if red:
        log.fail("[ERROR] Failures: ", "[ERROR]   CartTest.total:41 expected:<90> but was:<100>")
        log.say("[INFO] ", "[INFO] BUILD FAILURE", f"[INFO] Total time:  {log.chance.uniform(9, 90):.3f} s")
        log.fail("[ERROR] Failed to execute goal org.apache.maven.plugins:maven-surefire-plugin:2.22.2:test")
        log.fail("[ERROR] -> [Help 1]")
    else:
        log.say("[INFO] BUILD SUCCESS", f"[INFO] Total time:  {log.chance.uniform(9, 90):.3f} s")


def _go(log: _Log, red: bool) -> None:
    _pass(log, "--- PASS: Test{name}{number} (0.{ms}s)", 250)
    if red:
        log.fail("--- FAIL: TestTotal (0.00s)", "    cart_test.go:41: total = 100, want 90")
    _pass(log, "=== RUN   TestLater{name}{number}", 250)
    if red:
        log.fail("FAIL\tshop/cart\t0.412s", "FAIL")


def _cargo(log: _Log, red: bool) -> None:
    _pass(log, "   Compiling {name}-{number} v0.{ms}.0", 150)
    if red:
        log.fail("error[E0308]: mismatched types", "  --> src/cart.rs:8:18", "   |")
        log.fail("8  |     let rate: u32 = item.rate;")
        log.fail("   |                     ^^^^^^^^^ expected `u32`, found `Option<u32>`")
        log.fail("error: could not compile `shop` (lib) due to 1 previous error")
        log.say("warning: build failed, waiting for other jobs to finish...")
    _pass(log, "   Compiling late-{name}-{number} v0.{ms}.0", 150)


def _npm(log: _Log, red: bool) -> None:
    _pass(log, "    ✓ {name} number {number} works ({ms} ms)", 260)
    if red:
        log.fail("  ● cart › applies the coupon", "    expect(received).toBe(expected) // Object.is equality")
        log.fail("    Expected: 90", "    Received: 100", "      at Object.<anonymous> (src/cart.test.js:41:19)")
    _pass(log, " {name}{number}.js |     100 |      {ms} |     100 |", 320)
    if red:
        log.fail("npm ERR! code ELIFECYCLE", "npm ERR! errno 1", "npm ERR! Test failed.  See above for more details.")


def _gcc(log: _Log, red: bool) -> None:
    _pass(log, "gcc -O2 -c -o build/{name}{number}.o src/{name}{number}.c", 280)
    if red:
        log.fail("src/cart.c:41:12: error: 'rate' undeclared (first use in this function)")
        log.fail("   41 |     return rate * total;")
        log.fail("      |            ^~~~", "make: *** [Makefile:12: build/cart.o] Error 1")
    _pass(log, "gcc -O2 -c -o build/late{name}{number}.o src/late{name}{number}.c", 200)


def _rspec(log: _Log, red: bool) -> None:
    _pass(log, "  {name} {number} is well", 280)
    if red:
        log.fail("Failures:", "", "  1) Cart total applies the coupon")
        log.fail("     Failure/Error: expect(cart.total).to eq(90)")
        log.fail("       expected: 90", "            got: 100", "     # ./spec/cart_spec.rb:41:in `block (3 levels)'")
    _pass(log, "DEPRECATION: {name} {number} is going away, called from lib/{name}.rb:{ms}", 260)
    log.say(f"Finished in {log.chance.uniform(1, 9):.2f} seconds")
    if red:
        log.fail("281 examples, 1 failure", "rspec ./spec/cart_spec.rb:40 # Cart total applies the coupon")


def _shell(log: _Log, red: bool) -> None:
    _download(log, 60)
    _pass(log, "checked {name} {number} in {ms} ms", 300)
    if red:
        log.fail("./ci/deploy.sh: line 12: shopctl: command not found")


TOOLS: Final[Sequence[Tool]] = (_pytest, _maven, _go, _cargo, _npm, _gcc, _rspec, _shell)
