"""Which lines of a failed CI log are read: against the last green one, or by what failed in it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.ci_logs.diff import find_new
from bot.domain.ci_logs.ends import Span, find_spans
from bot.domain.ci_logs.excerpt import LIMIT, choose_excerpt
from bot.domain.ci_logs.signs import names_failure
from bot.domain.ci_logs.text import mask, read_lines

STAMP = "2026-11-20T12:00:00.1234567Z "
GREEN = [
    "Started by timer",
    " > git fetch --tags https://forge.example/shop.git # timeout=10",
    "+ make test",
    *(f"test_{name} ... ok" for name in ("add", "remove", "total")),
    "Ran 3 tests in 0.011s",
    "Finished: SUCCESS",
]
REPORT = ["FAIL: test_total (shop.CartTest)", "Traceback (most recent call last):", "KeyError: 'rate'"]


def first_span(log: str) -> Span:
    return find_spans(read_lines(log))[0]


def shown(failed: list[str], green: list[str] = ()) -> list[str]:
    lines = read_lines("\n".join(failed))
    return [lines[place].text for place in choose_excerpt(lines, read_lines("\n".join(green)) if green else ()).shown]


class TestLines:
    def test_what_ci_puts_around_a_line_is_taken_off(self):
        log = "\r\n".join(
            [
                f"\ufeff{STAMP}##[group]Run make",
                "tests\tRun make\t" + STAMP + "one",
                "travis_fold:start:script\x1b[0K$ make",
                "section_start:1560896352:step_script\r\x1b[0K\x1b[31;1mtwo\x1b[0m",
                "[2026-11-20T12:00:00.123Z] three",
                "2026-11-20T12:00:00.123456Z 01O four",
                "\x1b(Bfive\x1b]0;title\x07",
            ]
        )
        lines = read_lines(log)
        texts = ["##[group]Run make", "one", "$ make", "", "two", "three", "four", "five"]
        assert [line.text for line in lines] == texts
        assert [line.number for line in lines] == list(range(1, 9))
        assert [line.step for line in lines if line.step] == ["tests\tRun make"]

    def test_logs_whose_escapes_somebody_took_out_are_read_alike(self):
        log = [
            "travis_fold:start:installtravis_time:start:06d8eb60$ go get ./...",
            "travis_time:end:0517a55c:start=1469728363722014353,finish=1469728451482009858,duration=87759995505$ make",
            'travis_time:end:08949710:start=1,finish=2,duration=1,event=scriptThe command "make" exited with 1.',
            "travis_fold:end:git.checkout",
            '[31;1mThe command "make" exited with 1.[0m',
            "rate(errors[5m]) [0K",
        ]
        ended = 'The command "make" exited with 1.'
        assert [line.text for line in read_lines("\n".join(log))] == [
            "$ go get ./...", "$ make", ended, "", ended, "rate(errors[5m])",
        ]  # fmt: skip

    def test_progress_that_overwrites_itself_is_a_line_each_time(self):
        assert [line.text for line in read_lines("10%\r20%\rdone\nend")] == ["10%", "20%", "done", "end"]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("took 0.21 s", "took 13 ms"),
            ("at 3484a3fb816e0859", "at 77ab01cd816e08ff"),
            ("in /tmp/tmpab12/x", "in /tmp/tmpzz99/other"),
            ("4 kB at 12 kB/s", "1.5 MB at 3 MB/s"),
            ("id 123e4567-e89b-12d3-a456-426614174000", "id 00000000-0000-0000-0000-000000000001"),
            ("=====", "============"),
        ],
    )
    def test_what_differs_from_run_to_run_is_masked(self, one, other):
        assert mask(one) == mask(other)

    def test_whether_anything_failed_is_not_masked(self):
        assert mask("12 passed, 0 failed") != mask("12 passed, 1 failed") == mask("11 passed, 2 failed")
        assert mask("Failures: 0, Errors: 0") != mask("Failures: 1, Errors: 0")
        assert mask("The command exited with 0.") != mask("The command exited with 1.")

    def test_words_are_not_masked(self):
        assert mask("deadbeat facade added") == "deadbeat facade added"
        assert mask("KeyError: 'rate'") != mask("KeyError: 'cost'")


class TestDifference:
    def test_new_lines_are_found_though_the_green_log_has_them_elsewhere(self):
        assert find_new(["a", "b", "c"], ["a", "c", "b", "c"]) == [1]
        assert find_new([], ["a"]) == [0]
        assert find_new(["a"], []) == []

    @given(st.lists(st.sampled_from("abcde"), max_size=12), st.lists(st.sampled_from("abcde"), max_size=12))
    def test_the_common_part_is_the_longest(self, green, failed):
        table = [[0] * (len(failed) + 1) for _ in range(len(green) + 1)]
        for row, left in enumerate(green, 1):
            for column, right in enumerate(failed, 1):
                same = table[row - 1][column - 1] + 1 if left == right else 0
                table[row][column] = max(same, table[row - 1][column], table[row][column - 1])
        new = find_new(green, failed)
        kept = iter(green)
        assert len(failed) - len(new) == table[-1][-1]
        assert all(line in kept for place, line in enumerate(failed) if place not in new)  # a subsequence of green

    def test_beyond_the_table_s_bound_the_counts_decide(self, monkeypatch):
        monkeypatch.setattr("bot.domain.ci_logs.diff.MAX_CELLS", 1)
        assert find_new(["a", "b", "a"], ["a", "x", "a", "a", "b"]) == [1, 3]


class TestAgainstGreen:
    def test_only_what_is_new_and_tells_something_is_shown(self):
        failed = [
            *GREEN[:3],
            "Downloaded from central: https://repo.example/a.jar (13 kB at 40 kB/s)",
            "[INFO] Compiling 4 source files",
            "test_add ... ok",
            "test_extra ... ok",
            *REPORT,
            "Ran 4 tests in 0.213s",
            "[INFO] one",
            "[INFO] two",
            "Build step 'Execute shell' marked build as failure",
            "Finished: FAILURE",
        ]
        assert shown(failed, GREEN) == [*REPORT, "Build step 'Execute shell' marked build as failure"]

    def test_a_frame_that_the_green_log_has_too_is_kept_inside_a_report(self):
        frame = "    at shop.Cart.total(Cart.java:8)"
        green = [*GREEN, "java.lang.IllegalStateException: expected by a test", frame]
        failed = [*GREEN, *green[-2:], "java.lang.NullPointerException: rate", frame, "", "    ... 3 more"]
        assert shown(failed, green) == ["java.lang.NullPointerException: rate", frame, "", "    ... 3 more"]

    def test_steps_around_the_one_that_failed_do_not_count(self):
        green = [STAMP + line for line in ("##[group]Run make", "all well", "##[group]Run cleanup", "clean")]
        failed = [
            STAMP + line
            for line in (
                "##[group]Run setup", "a new node", "##[group]Run make", *REPORT,
                "##[error]Process completed with exit code 2.", "##[group]Run cleanup", "cannot find the cache",
            )
        ]  # fmt: skip
        assert shown(failed, green) == [*REPORT, "##[error]Process completed with exit code 2."]

    def test_where_nothing_is_new_what_failed_is_shown(self):
        assert shown(["one", "two"], ["one", "two"]) == ["one", "two"]

    def test_never_more_than_the_limit(self):
        failed = [
            f"error: {word} is broken" for word in (f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(600))
        ]
        excerpt = choose_excerpt(read_lines("\n".join(failed)), read_lines("all well"))
        assert (len(excerpt.relevant), len(excerpt.shown), excerpt.is_compared) == (600, LIMIT, True)


class TestWithoutGreen:
    @pytest.mark.parametrize(
        "ending",
        [
            'The command "make check" exited with 2.',
            "ERROR: Job failed: exit code 1",
            "ERROR: script returned exit code 1",
            "Build step 'Execute shell' marked build as failure",
            "program finished with exit code 1",
            "== tests: exit 1 after 3.2 s",
            "== tests: stopped by the limit on time after 300.0 s",
            "Exited with code exit status 1",
            "##[error]Process completed with exit code 1.",
            "No output has been received in the last 10m0s, this potentially indicates a stalled build.",
        ],
    )
    def test_the_output_before_the_red_command_s_end_is_what_failed(self, ending):
        span = first_span("\n".join(["$ make check", *REPORT, ending, "Done. Your build exited with 1."]))
        assert (span.end, span.is_marked) == (5, True)

    def test_commands_that_ended_well_are_not_the_one(self):
        log = ['The command "make" exited with 0.', "$ make check", "boom", 'The command "make check" exited with 1.']
        span = first_span("\n".join(log))
        assert (span.begin, span.end) == (1, 4)

    def test_all_commands_that_failed_are_shown(self):
        log = [
            *("$ make lint", "bad style", 'The command "make lint" exited with 1.'),
            *("$ make", "well", 'The command "make" exited with 0.'),
            *("$ make check", "boom", 'The command "make check" exited with 2.'),
        ]
        assert shown(log) == [*log[:3], *log[6:]]

    def test_a_check_of_the_local_ci_begins_where_it_was_shown(self):
        log = [
            "== style: ruff",
            "well",
            "== style: exit 0 after 1.0 s",
            "== tests: make",
            "boom",
            "== tests: exit 2 after 3 s",
        ]
        assert shown(log) == log[3:]
        assert shown(log, [*log[:4], "== tests: exit 0 after 9 s"]) == log[4:]

    def test_a_command_of_several_lines_is_recognised_by_its_end(self):
        assert first_span('boom\nThe command "cd x\nmake" exited with 1.\nbye').end == 3

    def test_a_summary_that_counts_what_was_skipped_is_no_mere_warning(self):
        assert names_failure("Tests run: 3, Failures: 1, Errors: 0, Skipped: 2 <<< FAILURE!")
        assert names_failure("1 failed, 2 skipped, 3 warnings")
        assert not names_failure("warning: could not find it")

    def test_a_report_far_from_the_end_is_shown_with_the_end(self):
        failed = [
            *(f"test number {n} is fine" for n in range(900)),
            *REPORT,
            *(f"lib/{n}.rb {n}.00 % covered" for n in range(900)),
            'The command "rake" exited with 1.',
        ]
        lines = shown(failed)
        assert len(lines) == LIMIT
        assert set(REPORT) <= set(lines)
        assert lines[-1] == failed[-1]

    def test_a_long_trace_is_shown_whole_though_the_end_is_full_of_nothing(self):
        trace = ["java.lang.AssertionError: no", *(f"\tat org.shop.Frame{n}.call(Frame.java:{n})" for n in range(80))]
        idle = [f"[INFO] module {n} .............. SUCCESS [ 0.{n} s]" for n in range(45)]
        failed = [
            *(f"Downloaded from central: {n}.jar" for n in range(400)),
            *trace,
            *idle,
            "BUILD FAILED",
            "ERROR: Job failed",
        ]
        lines = shown(failed)
        assert set(trace) <= set(lines)
        assert lines[-2:] == failed[-2:]
        assert lines.index(trace[0]) == 0, "what led there is idle"

    def test_a_long_report_that_is_repeated_at_the_end_is_shown_once_and_whole(self):
        names = [chr(97 + n % 26) * (1 + n // 26) for n in range(60)]
        report = [f"src/{name}.java:[7,1] error: cannot find symbol {name}" for name in names]
        again = ["Compilation failed:", *(f"[ERROR] {line}" for line in report)]
        lines = shown(
            [*(f"[INFO] compiling {n}" for n in range(300)), *report, *["[INFO] ----"] * 9, *again, "ERROR: Job failed"]
        )
        assert set(report) <= set(lines)
        assert lines[-1] == "ERROR: Job failed"

    def test_of_a_command_that_was_tried_again_the_last_report_is_shown(self):
        names = [chr(97 + n % 26) * (1 + n // 26) for n in range(60)]
        report = [f"src/{name}.java:7: error: cannot find symbol {name}" for name in names]
        again = [*report, *(f"waiting {n}" for n in range(200))]
        lines = shown([*again, *again, *report, "ERROR: Job failed"])
        assert lines[-61:] == [*report, "ERROR: Job failed"]

    def test_a_short_ending_that_was_seen_before_is_still_the_end(self):
        ending = ["[ERROR] Failed to execute goal x", "[ERROR] -> [Help 1]", "[ERROR] Re-run Maven with -e"]
        lines = shown([*ending, *(f"work {n}" for n in range(300)), *ending, "ERROR: Job failed"])
        assert lines[-4:] == [*ending, "ERROR: Job failed"]

    @pytest.mark.parametrize(
        "ending",
        [
            "make: *** [check] Error 1",
            "npm ERR! Test failed.",
            "FAILED (failures=1)",
            "FAIL\tshop/cart\t0.01s",
            "[ERROR] Failed to execute goal x",
            "BUILD FAILED in 3s",
            "error: could not compile `shop`",
            "Finished: FAILURE",
        ],
    )
    def test_a_tool_s_own_ending_serves_where_ci_says_nothing(self, ending):
        span = first_span("\n".join([*REPORT, ending, "cleaning", "bye"]))
        assert (span.end, span.is_marked) == (4, False)

    def test_an_empty_log_shows_nothing(self):
        assert choose_excerpt(read_lines("")).shown == ()


HOSTILE = st.text(alphabet=st.sampled_from(list("=-1. \t\r\n#[]'\"\x1b:/eE✖error"))).map(lambda text: text * 7)


@settings(max_examples=60)
@given(HOSTILE, HOSTILE)
def test_whatever_stands_in_the_logs_the_choice_is_ordered_and_bounded(failed, green):
    lines = read_lines(failed)
    excerpt = choose_excerpt(lines, read_lines(green))
    assert len(excerpt.shown) <= LIMIT
    assert list(excerpt.relevant) == sorted(set(excerpt.relevant))
    assert set(excerpt.shown) <= set(excerpt.relevant) <= set(range(len(lines)))


UNITS = ("1.", "a\t", "--a", "= 1 failed ", "_", 'The command "', "1/1/", "/x/", "a.b:1:", " ")


@pytest.mark.parametrize("unit", UNITS)
def test_lines_made_to_be_slow_are_read_like_others(unit):
    text = "\n".join([unit * (2_000 // len(unit))] * 50)
    assert len(choose_excerpt(read_lines(text), read_lines(text + "x")).shown) <= LIMIT
