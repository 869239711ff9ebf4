"""What a service says of CI, forge, merge and deployment has to fit together; a fault is found at the start."""

import pytest

from bot.errors import ConfigError
from bot.settings import load_settings


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(service: str):
        path = tmp_path / "nightshift.toml"
        path.write_text(f'[services.shop]\nrepository = "/srv/shop.git"\n{service}')
        return load_settings(path)

    return load


@pytest.mark.parametrize(
    ("service", "where", "what"),
    [
        ('trigger = "pull_request"', "services.shop.trigger", 'set forge to a connection, or the trigger to "push"'),
        ('merge = "ask"', "services.shop.merge", 'set forge to a connection, or merge to "never"'),
        ('merge = "green"', "services.shop.merge", 'set forge to a connection, or merge to "never"'),
        (
            'ci = "cloud"\nforge = "cloud"\ndeploy_job = "ship"',
            "services.shop.deploy_job",
            'set merge to "ask" or "green"',
        ),
        (
            'forge = "cloud"\nmerge = "ask"\ndeploy_job = "ship"',
            "services.shop.deploy_job",
            "the local CI has `deploy`",
        ),
        ('rollback_job = "back"', "services.shop.rollback_job", "set ci to a connection"),
        ('ci = "cloud"\nrollback_job = "back "', "services.shop.rollback_job", "a space at its end"),
        ('release_tags = "-x"', "services.shop.release_tags", 'as in "v*"'),
        ('release_tags = ""', "services.shop.release_tags", 'as in "v*"'),
        ('merge = "yes"', "services.shop.merge", "Input should be"),
        ("watch_minutes = 0", "services.shop.watch_minutes", "greater than 0"),
        ('binary_paths = [" "]', "services.shop.binary_paths.0", "does not look right"),
    ],
)
def test_what_could_never_work_is_named_with_what_to_do(load, service, where, what):
    with pytest.raises(ConfigError) as caught:
        load(service)
    (problem,) = caught.value.problems
    assert problem.where == where
    assert what in problem.what


def test_a_service_with_everything_is_read(load):
    settings = load(
        'ci = "cloud"\nforge = "cloud"\ntrigger = "pull_request"\nmerge = "green"\ndeploy_job = "ship"\n'
        'rollback_job = "back"\nrelease_tags = "release/*"\nwatch_minutes = 3'
    )
    service = settings.service_map()["shop"]
    assert (service.rollback_job, service.release_tags) == ("back", "release/*")
    assert (service.merge.value, service.deploy_job, service.watch.total_seconds()) == ("green", "ship", 180)


def test_what_follows_an_approval_is_part_of_the_policy_it_was_asked_under(load):
    versions = {
        load(f'ci = "cloud"\nforge = "cloud"\n{more}').approval_policy().version
        for more in ("", 'merge = "green"', 'merge = "green"\ndeploy_job = "ship"')
    }
    assert len(versions) == 3


def test_where_nobody_can_read_a_patch_is_part_of_the_policy_it_was_asked_under(load):
    settings = load('binary_paths = ["assets/**", "*.png"]')
    assert settings.service_map()["shop"].binary_paths == ("assets/**", "*.png")
    assert settings.approval_policy().version != load("").approval_policy().version
