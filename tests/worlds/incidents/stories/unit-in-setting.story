+++
kind = "configuration value"
language = "Python"
run = ["python", "serve.py", "mailer.routes", "{port}"]
checks = {tests = ["python", "-m", "unittest", "-q"]}
usual = [{method = "GET", target = "/queue"}]
starts = 4

[alert]
alertname = "CrashLooping"
summary = "mailer was started 4 times in a minute"
+++
%% commit Ada: Say what waits to be sent
%% shell python
%% file mailer.ini
[queue]
size = 200

[smtp]
host = 127.0.0.1
timeout = 10
%% file mailer/__init__.py
%% file mailer/settings.py
"""The settings, from mailer.ini."""

from configparser import ConfigParser
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    size: int
    host: str
    timeout: int


def read_settings(text):
    parser = ConfigParser()
    parser.read_string(text)
    return Settings(
        size=int(parser["queue"]["size"]),
        host=parser["smtp"]["host"],
        timeout=int(parser["smtp"]["timeout"]),
    )
%% file mailer/routes.py
"""What the service answers."""

from pathlib import Path

from mailer.settings import read_settings

SETTINGS = read_settings(Path("mailer.ini").read_text())


def queue(_query):
    return {"waiting": 0, "size": SETTINGS.size, "timeout": SETTINGS.timeout}


ROUTES = {("GET", "/queue"): queue}
%% file tests/__init__.py
%% file tests/test_settings.py
import unittest

from mailer.settings import read_settings


class SettingsTest(unittest.TestCase):
    def test_settings_are_read(self):
        settings = read_settings("[queue]\nsize = 5\n[smtp]\nhost = mail\ntimeout = 3\n")
        self.assertEqual((settings.size, settings.timeout), (5, 3))
%% commit Cy: Say what the service is
%% file README.md
# Mailer

Sends what waits.
%% culprit Bo: Give slow mail servers half a minute
%% edit mailer.ini
timeout = 10
%% to
timeout = 30s
%% commit Ada: Let more mails wait
%% edit mailer.ini
size = 200
%% to
size = 400
