"""The log: bounded by rotation, one JSON object per line, and free of every secret."""

import asyncio
import base64
import json
import logging
import os
import urllib.parse
from pathlib import Path

import pytest
import structlog

from bot.agent.redaction import load_redactor
from bot.bootstrap import logs
from bot.worker.words import LINE_BYTES, open_words, relay_words

TOKEN = "xoxb-17653285-unguessable-Alert7Token"


@pytest.fixture
def log_file(tmp_path):
    root, raises = logging.getLogger(), logging.raiseExceptions
    handlers, level = root.handlers[:], root.level
    file = tmp_path / "state" / "log" / "nightshift.log"
    logs.configure_logs(file)
    logs.redact_logs(load_redactor([TOKEN], b"k" * 32).redact)
    yield file
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raises
    logs.redact_logs(str)
    structlog.reset_defaults()


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


class TestSecrets:
    @pytest.mark.parametrize(
        "write",
        [
            lambda log: log.warning("refused", error=f"token {TOKEN} is wrong"),
            lambda log: log.warning(TOKEN),
            lambda log: log.info("nested", data={"headers": [("Authorization", f"Bearer {TOKEN}")]}),
            lambda log: log.info("key", data={TOKEN: 1}),
            lambda log: log.info("object", data=RuntimeError(TOKEN)),
            lambda log: log.info("bytes", data=TOKEN.encode()),
            lambda log: log.info("base64", data=base64.b64encode(TOKEN.encode()).decode()),
            lambda log: log.info("url", data=f"https://x/?t={urllib.parse.quote(TOKEN, safe='')}"),
            lambda log: logging.getLogger("another.library").error("said %s", TOKEN),
            lambda log: logging.getLogger("another.library").error("said", extra={"more": TOKEN}),
        ],
    )
    def test_no_event_shows_one(self, log_file, write):
        write(structlog.get_logger("test"))
        assert len(lines(log_file)) == 1
        text = log_file.read_text()
        assert TOKEN not in text
        assert base64.b64encode(TOKEN.encode()).decode() not in text

    def test_no_trace_shows_one(self, log_file):
        for log in (structlog.get_logger("test"), logging.getLogger("another.library")):
            try:
                raise RuntimeError(f"rejected {TOKEN}")
            except RuntimeError:
                log.exception("crashed")
        assert len(lines(log_file)) == 2
        assert all("RuntimeError" in line["exception"] for line in lines(log_file))
        assert TOKEN not in log_file.read_text()

    def test_a_secret_of_a_known_kind_is_seen_without_being_ours(self, log_file):
        structlog.get_logger("test").info("found", line="aws_key=AKIAQYLPMN5HHHFPZAM2 in the log")
        assert "AKIAQYLPMN5HHHFPZAM2" not in log_file.read_text()

    def test_a_line_that_cannot_be_written_is_not_shown_elsewhere(self, log_file, monkeypatch, capsys):
        def refuse(_record):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(logging.getLogger().handlers[0], "format", refuse)
        logging.getLogger("test").error("said %s", TOKEN)
        assert capsys.readouterr() == ("", "")


class TestRotation:
    def test_the_log_is_bounded_and_its_newest_lines_are_kept(self, log_file, monkeypatch):
        handler = logging.getLogger().handlers[0]
        assert (handler.maxBytes, handler.backupCount) == (10 * 1024 * 1024, 5)
        handler.maxBytes = 2000
        log = structlog.get_logger("test")
        for number in range(300):
            log.info("tick", number=number)
        files = sorted(log_file.parent.iterdir())
        assert [file.name for file in files] == ["nightshift.log", *(f"nightshift.log.{n}" for n in range(1, 6))]
        assert all(file.stat().st_size <= 2000 for file in files)
        numbers = [line["number"] for file in reversed([files[0], *files[1:]]) for line in lines(file)]
        assert numbers == list(range(numbers[0], 300)), "no line is lost in between"

    def test_nobody_else_may_look_into_its_folder(self, log_file):
        assert log_file.parent.stat().st_mode & 0o077 == 0
        assert log_file.parent.parent.stat().st_mode & 0o077 == 0


async def say(*pieces: bytes) -> None:
    stream = asyncio.StreamReader()
    for piece in pieces:
        stream.feed_data(piece)
    stream.feed_eof()
    await relay_words(stream)


class TestTheWorker:
    async def test_its_events_become_ours(self, log_file):
        await say(b'{"event": "job_crashed", "level": "error", "call": 7, "exception": "' + TOKEN.encode() + b'"}\n')
        (line,) = lines(log_file)
        assert (line["event"], line["level"], line["worker_call"]) == ("job_crashed", "warning", 7)
        assert TOKEN not in log_file.read_text()

    async def test_a_trace_or_a_print_is_kept_line_by_line(self, log_file):
        await say(b"Traceback (most recent call last):\n  File", b' "x.py"\nMemoryError\n\nlast words')
        said = [line["line"] for line in lines(log_file)]
        assert said == ["Traceback (most recent call last):", '  File "x.py"', "MemoryError", "last words"]

    @pytest.mark.parametrize("word", [b"[" * 9000, b'{"event": {}}', b'{"event": "x", "a": [1]}', b"\xff\xfe", b"7"])
    async def test_nonsense_is_a_line_like_any_other(self, log_file, word):
        await say(word + b"\n")
        assert [line["event"] for line in lines(log_file)] == ["worker_says"]

    async def test_a_flood_without_a_line_end_is_cut_and_never_kept_in_memory(self, log_file):
        await say(b"x" * (5 * LINE_BYTES))
        said = [line["line"] for line in lines(log_file)]
        assert max(map(len, said)) <= LINE_BYTES
        assert sum(map(len, said)) == 5 * LINE_BYTES

    async def test_a_process_s_words_come_through_a_pipe(self, log_file):
        descriptor, task = await open_words()
        with os.fdopen(descriptor, "wb") as theirs:
            process = await asyncio.create_subprocess_exec(
                "sh", "-c", "echo out; echo err >&2", stdout=theirs, stderr=theirs
            )
        await process.wait()
        await task
        assert [line["line"] for line in lines(log_file)] == ["out", "err"]
