+++
kind = "encoding"
language = "Python"
run = ["python", "serve.py", "labels.routes", "{port}"]
checks = {tests = ["python", "-m", "unittest", "-q"]}
usual = [{method = "POST", target = "/labels", body = '{"name": "Ada", "street": "Main Street 1"}'}]
failing = [{method = "POST", target = "/labels", body = '{"name": "J\u00f6rg", "street": "Am Bach 2"}'}]

[alert]
alertname = "HighErrorRate"
summary = "labels answers 9 % of requests with 500"
+++
%% commit Ada: Print address labels
%% shell python
%% file labels/__init__.py
%% file labels/printer.py
"""The label printer in the packing hall."""

CODE_PAGE = "cp1252"
WIDTH = 32


def send(data):
    return len(data.decode(CODE_PAGE))
%% file labels/address.py
"""What stands on a label."""

from labels.printer import CODE_PAGE, WIDTH


def lay_out(address):
    lines = (address["name"], address["street"])
    return "\n".join(line[:WIDTH] for line in lines).encode(CODE_PAGE, "replace")
%% file labels/routes.py
"""What the service answers."""

from labels.address import lay_out
from labels.printer import send


def print_label(address):
    return {"printed": send(lay_out(address))}


ROUTES = {("POST", "/labels"): print_label}
%% file tests/__init__.py
%% file tests/test_address.py
import unittest

from labels.address import lay_out


class AddressTest(unittest.TestCase):
    def test_a_label_has_two_lines(self):
        self.assertEqual(lay_out({"name": "Ada", "street": "Main Street 1"}), b"Ada\nMain Street 1")
%% commit Cy: Say what the service is
%% file README.md
# Labels

Prints address labels.
%% culprit Bo: Center what stands on a label
%% file labels/address.py
"""What stands on a label."""

from labels.printer import WIDTH


def lay_out(address, centered=False):
    lines = [address["name"][:WIDTH], address["street"][:WIDTH]]
    if centered:
        lines = [line.center(WIDTH) for line in lines]
    return "\n".join(lines).encode("ascii")
%% edit tests/test_address.py
class AddressTest(unittest.TestCase):
%% to
class AddressTest(unittest.TestCase):
    def test_a_label_is_centered(self):
        self.assertTrue(lay_out({"name": "Ada", "street": "Main Street 1"}, centered=True).startswith(b" "))

%% commit Ada: Print broader labels
%% edit labels/printer.py
WIDTH = 32
%% to
WIDTH = 40
