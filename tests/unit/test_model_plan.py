"""Whether a model fits on GPUs: the arithmetic, what it never does, and what it says."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.bootstrap.model_profiles import find_profile, list_models, load_gpus
from bot.domain.models.launch import OPTIONS, build_flags
from bot.domain.models.plan import Ask, find_remedies, make_plan
from bot.domain.models.profile import CacheKind, CacheLayers, ModelProfile
from bot.render.model_plan import all_flags, plan_as_json, show_plan

GPUS = {gpu.name: gpu for gpu in load_gpus()}
PROFILES = {name: find_profile(name) for name in list_models()}


def plan_of(model, gpus, kind, **more):
    return make_plan(PROFILES[model], Ask(gpu=GPUS[kind], gpus=gpus, **more))


layers = st.one_of(
    st.builds(
        CacheLayers,
        kind=st.just(CacheKind.HEADS),
        layers=st.integers(1, 128),
        kv_heads=st.integers(1, 64),
        head_size=st.sampled_from([64, 128, 256]),
        slots=st.sampled_from([0.1, 0.8, 1.0]),
    ),
    st.builds(CacheLayers, kind=st.just(CacheKind.LATENT), layers=st.integers(1, 128), width=st.integers(64, 1_024)),
    st.builds(
        CacheLayers,
        kind=st.just(CacheKind.ROWS),
        layers=st.integers(1, 128),
        row_bytes=st.integers(64, 2_048),
        tokens_per_row=st.sampled_from([1, 4, 128]),
    ),
)
states = st.builds(
    CacheLayers, kind=st.just(CacheKind.STATE), layers=st.integers(1, 64), run_bytes=st.integers(1, 10**8)
)
profiles = st.builds(
    lambda cache, state, **more: ModelProfile(
        name="m", title="M", repository="o/m", precision="FP8", layers=64, cache=(*cache, *state), **more
    ),
    cache=st.lists(layers, min_size=1, max_size=3),
    state=st.lists(states, max_size=1),
    parameters_billion=st.floats(0.1, 3_000),
    bits=st.sampled_from([4.5, 8.0, 16.0]),
    context=st.integers(1_000, 10**6),
    heads=st.sampled_from([0, 32, 48, 64, 96]),
    most_split=st.sampled_from([0, 4]),
    has_vision=st.booleans(),
)
asks = st.builds(
    Ask,
    gpu=st.sampled_from(list(GPUS.values())),
    gpus=st.integers(1, 16),
    nodes=st.integers(1, 4),
    context=st.integers(1_000, 100_000),
    concurrency=st.integers(1, 50),
    cache_bytes=st.sampled_from([1, 2]),
)


@settings(max_examples=40, deadline=None)
@given(profiles, asks)
def test_a_plan_never_takes_more_than_the_memory_nor_more_gpus_than_there_are(profile, ask):
    plan = make_plan(profile, ask)
    fit, share = plan.fit, plan.fit.share
    assert fit.split * plan.servers <= ask.gpus * ask.nodes
    assert fit.split // fit.span <= ask.gpus
    assert plan.unused >= 0
    if plan.fits:
        kept = fit.tokens * fit.token_bytes + fit.runs * fit.state_bytes
        assert share.weights + share.draft + share.free + kept <= share.memory
        assert fit.runs * ask.context <= fit.tokens
        assert 0 < fit.fraction < 1
        assert plan.context_length <= min(profile.context, fit.tokens)


@settings(max_examples=40, deadline=None)
@given(profiles, asks)
def test_more_gpus_never_hold_less(profile, ask):
    smaller = make_plan(profile, ask)
    larger = make_plan(profile, Ask(**{**vars(ask), "gpus": ask.gpus + 1}))
    assert larger.suffices >= smaller.suffices
    if ask.nodes == 1:
        assert (larger.runs, larger.fit.tokens) >= (smaller.runs, smaller.fit.tokens)


@settings(max_examples=40, deadline=None)
@given(profiles, asks)
def test_more_nodes_never_hold_less(profile, ask):
    smaller = make_plan(profile, ask)
    assert make_plan(profile, Ask(**{**vars(ask), "nodes": ask.nodes + 1})).suffices >= smaller.suffices


@settings(max_examples=40, deadline=None)
@given(profiles, asks)
def test_what_would_do_does_and_changes_one_thing(profile, ask):
    plan = make_plan(profile, ask)
    if plan.suffices:
        return
    for remedy in find_remedies(plan, tuple(GPUS.values())):
        assert remedy.suffices
        assert sum(vars(remedy.ask)[name] != value for name, value in vars(ask).items()) == 1


@pytest.mark.parametrize(
    ("model", "gpus", "kind", "split"),
    [
        ("mistral-medium-3.5", 4, "H100", 4),
        ("mistral-medium-3.5", 4, "H200", 4),
        ("mistral-medium-3.5", 2, "B200", 2),
        ("devstral-2", 4, "H100", 4),
        ("devstral-2", 2, "H200", 2),
        ("devstral-small-2", 1, "H100", 1),
        ("mistral-small-4", 2, "H100", 2),
        ("deepseek-v4-flash", 4, "H200", 4),
        ("deepseek-v4-flash", 8, "H100", 8),
        ("deepseek-v4-pro", 8, "H200", 8),
        ("kimi-k2.6", 8, "H200", 8),
        ("kimi-k2.6", 8, "B300", 8),
        ("qwen3-coder-next", 1, "H200", 1),
        ("gpt-oss-120b", 1, "H100", 1),
    ],
)
def test_what_the_cookbook_runs_fits(model, gpus, kind, split):
    plan = plan_of(model, gpus, kind)
    assert plan.suffices
    assert plan.fit.split == split


@pytest.mark.parametrize(
    ("model", "gpus", "kind"),
    [
        ("kimi-k2.6", 8, "H100"),
        ("deepseek-v4-pro", 8, "H100"),
        ("mistral-medium-3.5", 2, "H100"),
        ("devstral-2", 1, "H200"),
    ],
)
def test_what_is_too_large_does_not_fit_and_something_would(model, gpus, kind):
    plan = plan_of(model, gpus, kind)
    assert not plan.fits
    remedies = find_remedies(plan, tuple(GPUS.values()))
    text = show_plan(plan, remedies)
    assert text.startswith(f"{PROFILES[model].title} does not fit on {gpus} × {kind}.")
    assert "Any one of these would do:" in text
    assert "sglang.launch_server" not in text


def test_the_cache_of_heads_is_layers_times_heads_times_size_and_shared_out():
    profile = PROFILES["devstral-2"]
    assert profile.token_bytes(1, 2) == 88 * 2 * 8 * 128 * 2
    assert profile.token_bytes(4, 2) == 88 * 2 * 2 * 128 * 2
    assert profile.token_bytes(16, 2) == profile.token_bytes(8, 2), "a head is never cut in two"
    assert profile.token_bytes(4, 1) * 2 == profile.token_bytes(4, 2)


def test_a_latent_cache_is_whole_on_every_gpu():
    assert PROFILES["kimi-k2.6"].token_bytes(1, 2) == PROFILES["kimi-k2.6"].token_bytes(8, 2) == 61 * 576 * 2
    assert PROFILES["mistral-small-4"].token_bytes(2, 2) == 22.5 * 1_024, "as its makers' figures say"


def test_packed_rows_and_windows_take_their_part():
    profile = PROFILES["deepseek-v4-flash"]
    packed = 21 * 716 / 4 + 20 * 584 / 128
    windows = 43 * 58.4 + 21 * 64
    assert math.isclose(profile.token_bytes(4, 2), (packed + windows) * 44 / 43)
    assert profile.token_bytes(4, 1) == profile.token_bytes(4, 2), "the rows have their own format"


def test_linear_layers_take_a_state_per_run_and_nothing_per_token():
    profile = PROFILES["qwen3-coder-next"]
    assert profile.token_bytes(1, 2) == 12 * 2 * 2 * 256 * 2
    assert profile.state_bytes(1) == 36 * 2_146_304
    plan = plan_of("qwen3-coder-next", 2, "H100", context=1_000)
    assert plan.fit.runs * plan.fit.state_bytes < plan.fit.share.room, "short runs are bounded by their states"
    assert plan.fit.runs < plan.fit.tokens // 1_000


def test_a_run_that_is_longer_than_the_model_reads_does_not_fit():
    plan = plan_of("gpt-oss-120b", 8, "H200", context=200_000)
    assert not plan.fits
    assert "The model reads 131,072 tokens at most; 200,000 were asked for." in show_plan(plan, ())


def test_too_many_runs_wait_and_the_plan_says_what_would_hold_them():
    plan = plan_of("mistral-medium-3.5", 4, "H100", concurrency=12)
    assert plan.fits
    assert not plan.suffices
    text = show_plan(plan, find_remedies(plan, tuple(GPUS.values())))
    assert "12 runs at a time were asked for; the others would wait in the queue." in text
    assert "a cache in 8 bits (--cache fp8): 15 runs at a time" in text
    assert "8 × H100" in text


def test_nodes_that_hold_it_each_get_a_server_and_others_share_one():
    each = plan_of("mistral-medium-3.5", 4, "H100", nodes=3)
    assert (each.servers, each.fit.span, each.runs) == (3, 1, 21)
    shared = plan_of("kimi-k2.6", 8, "H100", nodes=4)
    assert (shared.servers, shared.fit.span, shared.fit.split) == (2, 2, 16)
    line = show_plan(shared, ())
    assert "Each server spans 2 nodes" in line
    assert "--dist-init-addr NODE_0:5000" in line


def test_gpus_that_no_server_takes_are_named():
    assert "4 GPUs would stay idle." in show_plan(plan_of("minimax-m2.7", 8, "H200"), ())


def test_the_line_holds_the_profile_and_the_arithmetic():
    plan = plan_of("mistral-medium-3.5", 4, "H100")
    words = plan_as_json(plan, ())["command"]
    options = dict(zip(words[3::2], words[4::2], strict=False))
    assert words[:3] == ["python3", "-m", "sglang.launch_server"]
    assert options["--tp-size"] == "4"
    assert options["--mem-fraction-static"] == "0.78"
    assert "mistralai/Mistral-Medium-3.5-128B-EAGLE" in words
    assert words[words.index("--tool-call-parser") + 1] == "mistral"
    assert words[words.index("--max-running-requests") + 1] == str(plan.fit.runs) == "7"
    assert "--enable-priority-scheduling" in words
    assert "--api-key" not in words


def test_an_option_for_one_kind_of_gpu_stays_with_it():
    there = [flag.value for flag in build_flags(plan_of("deepseek-v4-flash", 4, "H200")) if "moe" in flag.name]
    elsewhere = [flag for flag in build_flags(plan_of("deepseek-v4-flash", 4, "B200")) if "moe" in flag.name]
    assert (there, elsewhere) == (["marlin"], [])


def test_a_cache_in_8_bits_is_an_option_where_it_changes_something():
    names = [flag.name for flag in build_flags(plan_of("devstral-2", 4, "H100", cache_bytes=1))]
    assert "--kv-cache-dtype" in names
    assert "--kv-cache-dtype" not in [
        flag.name for flag in build_flags(plan_of("deepseek-v4-flash", 4, "H200", cache_bytes=1))
    ]


@pytest.mark.parametrize("model", sorted(PROFILES))
@pytest.mark.parametrize("kind", sorted(GPUS))
def test_each_line_has_known_options_once_each_with_a_reason(model, kind):
    flags = all_flags(plan_of(model, 8, kind, nodes=2))
    names = [flag.name for flag in flags]
    assert set(names) <= OPTIONS
    assert len(set(names)) == len(names)
    assert all(flag.why for flag in flags)


def test_json_says_the_same_and_can_be_read():
    plan = plan_of("kimi-k2.6", 8, "H100")
    table = json.loads(json.dumps(plan_as_json(plan, find_remedies(plan, tuple(GPUS.values())))))
    assert (table["version"], table["fits"], table["command"]) == (1, False, [])
    assert table["bytes_per_gpu"]["cache"] < 0
    assert any("2 such nodes" in change for change in table["would_suffice"])
