"""Contacts in the configuration: where addresses come from, what is wrong with them, and what of them is secret."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from bot.bootstrap.doctor.contacts import check_contacts
from bot.bootstrap.doctor.examine import examine
from bot.domain.oncall import Contact
from bot.errors import ConfigError
from bot.settings import load_settings

CONFIG = """
[people.ana]
name = "Ana"
contacts = { sms = { after = 180 }, push = {}, call = { after = 420, url = "json://gateway.example.org/ana" } }

[people.ben-o]
name = "Ben"
contacts = { push = { url = "ntfy://ntfy.example.org/old" } }
"""
SMS = "twilio://AC0123456789abcdef:tokenFEDCBA9876543210@15551230000/15559876543"


@pytest.fixture
def config(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("NIGHTSHIFT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NIGHTSHIFT_ANA_SMS_URL", SMS)
    (tmp_path / ".env").write_text("NIGHTSHIFT_ANA_PUSH_URL=json://127.0.0.1/ana\n")
    path = tmp_path / "nightshift.toml"
    path.write_text(CONFIG)
    return path


def problems(path: Path) -> dict[str, str]:
    with pytest.raises(ConfigError) as error:
        load_settings(path)
    return {problem.where: problem.what for problem in error.value.problems}


def test_contacts_stand_in_the_order_in_which_they_are_used(config):
    assert load_settings(config).roster().people["ana"].contacts == (
        Contact(name="push"),
        Contact(name="sms", after=timedelta(minutes=3)),
        Contact(name="call", after=timedelta(minutes=7)),
    )


def test_addresses_come_from_variables_and_env_files_which_win_over_the_file(config, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_BEN_O_PUSH_URL", "ntfy://ntfy.example.org/new")
    people = load_settings(config).people
    urls = {name: contact.url.get_secret_value() for name, contact in people["ana"].contacts.items()}
    assert urls == {"sms": SMS, "push": "json://127.0.0.1/ana", "call": "json://gateway.example.org/ana"}
    assert people["ben-o"].contacts["push"].url.get_secret_value() == "ntfy://ntfy.example.org/new"


def test_a_contact_without_an_address_is_a_problem_that_names_its_variable(config, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_ANA_SMS_URL", " ")
    assert problems(config) == {
        "people.ana.contacts.sms.url": "is missing; set NIGHTSHIFT_ANA_SMS_URL to an address of apprise"
    }


def test_a_variable_of_no_contact_is_a_misspelling(config, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_ANA_FAX_URL", "json://x")
    assert set(problems(config)) == {"NIGHTSHIFT_ANA_FAX_URL"}


def test_names_that_share_a_variable_or_cannot_be_one_are_problems(config):
    more = '[people.ben_o]\nname = "B"\ncontacts = { push = { url = "json://x" }, "a:b" = { url = "json://x" } }\n'
    config.write_text(CONFIG + more)
    assert set(problems(config)) == {"people.ben_o.contacts.push", "people.ben_o.contacts.a:b"}


@pytest.mark.parametrize("after", ["-1", "1e9", "nan", '"3m"'])
def test_a_delay_is_a_number_of_seconds(config, after):
    config.write_text(CONFIG.replace("180", after))
    assert list(problems(config)) == ["people.ana.contacts.sms.after"]


@pytest.mark.parametrize("contacts", ["2", '"x"', "[1]", "{ a = 1 }", "{ a = [] }", "{ a = { url = 1 } }"])
def test_contacts_of_another_shape_are_problems_and_no_crash(config, contacts):
    config.write_text(f'[people.eve]\nname = "Eve"\ncontacts = {contacts}\n')
    assert "people.eve.contacts" in " ".join(problems(config))


@pytest.mark.parametrize("people", ["1", "[1]", "{ ana = 1 }"])
def test_people_of_another_shape_too(config, people):
    config.write_text(f"people = {people}\n")
    assert problems(config)


def test_whole_addresses_and_the_keys_and_numbers_in_them_are_secret_and_common_words_are_not(config):
    secrets = set(load_settings(config).secrets())
    assert {SMS, "AC0123456789abcdef", "tokenFEDCBA9876543210", "15551230000", "15559876543"} <= secrets
    assert not secrets & {"ana", "gateway.example.org", "127.0.0.1", "ntfy.example.org"}


async def test_the_doctor_says_whom_contacts_wake_and_when(config, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_ANA_SMS_URL", "json://127.0.0.1/sms")
    assert [(one.is_ok, one.text) for one in await check_contacts(load_settings(config))] == [
        (True, "ana: push at once, sms after 3 min, call after 7 min"),
        (True, "ben-o: push at once"),
    ]


async def test_the_doctor_names_each_contact_that_cannot_be_used_and_no_address(config, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_ANA_SMS_URL", "twilio://5ecret")
    monkeypatch.setenv("NIGHTSHIFT_ANA_PUSH_URL", "pigeon://5ecret")
    found = await check_contacts(load_settings(config))
    assert [one.text.split(":")[0] for one in found if not one.is_ok] == [
        "people.ana.contacts.sms.url",
        "people.ana.contacts.push.url",
    ]
    assert all("5ecret" not in one.text and one.how for one in found)


def test_the_doctor_reports_a_missing_address_with_the_rest_of_the_configuration(config, monkeypatch):
    monkeypatch.delenv("NIGHTSHIFT_ANA_SMS_URL")
    report = examine(config)
    assert [one.text for one in report.found] == ["people.ana.contacts.sms.url"]
