"""Profiles of models and the table of GPUs."""

import pytest

from bot.bootstrap.model_profiles import PLACE, find_profile, list_models, load_gpus, read_gpus
from bot.errors import ConfigError, Refused

OWN = """
title = "Own"
repository = "team/own"
parameters_billion = 7
precision = "BF16"
bits = 16
context = 32768
layers = 32
sources = ["our own config.json"]

[[cache]]
kind = "heads"
layers = 32
kv_heads = 8
head_size = 128
"""


def write(tmp_path, text):
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_named_models_are_there():
    assert {"mistral-medium-3.5", "devstral-2", "deepseek-v4-flash", "deepseek-v4-pro", "kimi-k2.6"} <= set(
        list_models()
    )
    assert any(name.startswith("qwen3-coder") for name in list_models())


@pytest.mark.parametrize("name", list_models())
def test_each_profile_is_whole_and_names_its_sources(name):
    profile = find_profile(name)
    assert profile.name == name
    assert profile.sources
    assert profile.tool_parser
    kept = sum(part.layers for part in profile.cache if part.slots == 1)
    assert kept <= profile.layers


def test_a_model_that_nobody_knows_is_refused_with_what_there_is():
    with pytest.raises(Refused, match=r"no profile of 'gpt-9'\. There are deepseek-v4-flash, .*\.toml"):
        find_profile("gpt-9")


def test_a_name_never_leads_out_of_the_folder():
    with pytest.raises(Refused, match="no profile"):
        find_profile("../gpus")


def test_a_profile_of_ones_own_is_read_from_its_path(tmp_path):
    profile = find_profile(write(tmp_path, OWN))
    assert (profile.name, profile.repository) == ("own", "team/own")
    assert profile.weights_bytes == 14_700_000_000


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("layers = 32\nsources", "sources", "layers: Field required"),
        ("kv_heads = 8", "", "the kind heads needs kv_heads"),
        ('kind = "heads"', 'kind = "magic"', "cache.0.kind"),
        ("context = 32768", "context = 0", "context"),
        ("bits = 16", "bits = true", "bits"),
        ('"team/own"', '"team/own; rm -rf /"', "repository"),
        ('"team/own"', '"team/own %n ${HOME}"', "repository"),
        ("bits = 16", "bits = 16\nbit = 1", "bit: Extra inputs"),
        ('sources = ["our own config.json"]', "sources = []", "sources"),
        ('title = "Own"', 'title = "Own\\u202eFDP"', "title"),
        (
            "[[cache]]",
            '[[flags]]\nname = "--enable-everything"\nwhy = "because"\n\n[[cache]]',
            "no option that may be set",
        ),
        ("[[cache]]", "[[cache]", "is not TOML"),
    ],
)
def test_what_is_wrong_with_a_profile_is_said(tmp_path, before, after, said):
    with pytest.raises(ConfigError) as caught:
        find_profile(write(tmp_path, OWN.replace(before, after, 1)))
    assert said in str(caught.value)


def test_a_profile_that_is_missing_or_huge_is_refused(tmp_path):
    with pytest.raises(Refused, match="cannot be read"):
        find_profile(str(tmp_path / "none.toml"))
    with pytest.raises(Refused, match="has more than"):
        find_profile(write(tmp_path, OWN + "#" * 300_000))


def test_gpus_are_counted_and_named_as_people_write_them():
    """Also as the plan itself prints them."""
    typed = ("4xH100", "h200", " 8xmi300x ", "2xA100-40", "8 × H200", "4XH100", "2 x B200")
    assert [(count, gpu.name) for count, gpu in map(read_gpus, typed)] == [
        (4, "H100"),
        (1, "H200"),
        (8, "MI300X"),
        (2, "A100-40"),
        (8, "H200"),
        (4, "H100"),
        (2, "B200"),
    ]


@pytest.mark.parametrize("text", ["", "4xZ9", "0xH100", "xH100", "4x", "99999xH100", "-1xH100", "4xH100x2", "４xH100"])
def test_other_gpus_are_refused_with_what_there_is(text):
    with pytest.raises(Refused, match=r"write 4xH100\. There are .*H100 \(80 GB\)"):
        read_gpus(text)


def test_no_gpu_is_counted_larger_than_it_is():
    """A driver shows more than the data sheet's decimal gigabytes, and less than as many binary ones."""
    for gpu in load_gpus():
        assert gpu.memory_gb * 10**9 <= gpu.memory_bytes <= gpu.memory_gb * 2**30
        assert gpu.source


def test_the_folder_is_the_one_in_the_checkout():
    assert PLACE.parts[-2:] == ("infra", "sglang")
