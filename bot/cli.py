"""The command line. Everything heavy is imported by the command that needs it: `--help` stays fast."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from bot.bootstrap.commands import connect, edits_apply, logs_ci
from bot.bootstrap.memory import load_without_colours
from bot.errors import ConfigError, NightshiftError

app = typer.Typer(
    name="nightshift",
    help="Nightshift answers the page: evidence, a verified patch, one tap, green CI.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
alert_app = typer.Typer(help="Send, watch and replay alert deliveries.", no_args_is_help=True)
connect_app = typer.Typer(help="Connect people and chat services.", no_args_is_help=True)
approval_app = typer.Typer(help="Fetch and check the statements of approvals.", no_args_is_help=True)
app.add_typer(alert_app, name="alert")
app.add_typer(approval_app, name="approval")
app.add_typer(connect_app, name="connect")
page_app = typer.Typer(help="Wake people.", no_args_is_help=True)
app.add_typer(page_app, name="page")
logs_app = typer.Typer(help="Read logs from the terminal.", no_args_is_help=True)
app.add_typer(logs_app, name="logs")
logs_ci.add_command(logs_app)
edits_app = typer.Typer(help="Apply edits as the agent does.", no_args_is_help=True)
edits_app.callback()(lambda: None)
app.add_typer(edits_app, name="edits")
edits_apply.add_command(edits_app)

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The configuration file.", envvar="NIGHTSHIFT_CONFIG", show_default=False),
]
DEFAULT_CONFIG = Path("nightshift.toml")
_PASSED_ON: Final = {"ignore_unknown_options": True, "help_option_names": ["--no-such-help"]}
connect.add_commands(connect_app, DEFAULT_CONFIG)


def main() -> None:
    """Run a command; a known error is one clear message and exit code 1 (2 for a wrong configuration)."""
    try:
        app()
    except ConfigError as error:
        _fail(str(error), 2)
    except NightshiftError as error:
        _fail(str(error), 1)


def _fail(text: str, code: int) -> NoReturn:
    print(f"nightshift: {text}", file=sys.stderr)
    sys.exit(code)


def _settings(config: Path | None) -> Any:  # noqa: ANN401 -- Settings, imported only where needed
    from bot.settings import load_settings  # noqa: PLC0415 -- keeps --help fast

    return load_settings(config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None))


def _client(config: Path | None) -> Any:  # noqa: ANN401 -- AdminClient, imported only where needed
    from bot.bootstrap.commands.client import AdminClient  # noqa: PLC0415 -- keeps --help fast

    return AdminClient(_settings(config))


@app.command()
def run(config: Config = None) -> None:
    """Serve: receive alerts, page people, investigate, push what was approved."""
    load_without_colours()
    from bot.bootstrap.front import run_front  # noqa: PLC0415 -- keeps --help fast

    run_front(_settings(config))


@app.command()
def demo(
    state: Annotated[Path, typer.Option(help="Where the demo lives; wiped at each start.")] = Path(".nightshift/demo"),
    yes: Annotated[bool, typer.Option("--yes", help="Approve by itself, check everything, and exit.")] = False,
    alertmanager: Annotated[
        bool, typer.Option("--alertmanager", help="Let a real Prometheus and Alertmanager send the alert.")
    ] = False,
    model_url: Annotated[
        str, typer.Option(help="A model that drafts a patch too: any OpenAI-compatible server (http://gpu:30000).")
    ] = "",
) -> None:
    """Break a small real service, and watch Nightshift mend it."""
    from bot.demo.story import DemoOptions, demo_main  # noqa: PLC0415 -- keeps --help fast

    options = DemoOptions(state=state, yes=yes, alertmanager=alertmanager, model_url=model_url)
    sys.exit(demo_main(options))


@alert_app.command("send")
def alert_send(
    file: Annotated[Path, typer.Argument(help="A delivery as the sender posts it (JSON).")],
    sender: Annotated[str, typer.Option(help="Whose delivery it is.")] = "alertmanager",
    config: Config = None,
) -> None:
    """Post a delivery to the running Nightshift."""
    answer = _client(config).send_alert(sender, file.read_bytes())
    print(f"stored as delivery {answer['stored']}")


@alert_app.command("dead-letters")
def alert_dead_letters(
    config: Config = None, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the deliveries that could not be read."""
    letters = _client(config).get("/v1/dead-letters")["dead_letters"]
    if as_json:
        print(json.dumps(letters, indent=2))
        return
    if not letters:
        print("No dead letters.")
    for letter in letters:
        print(f"{letter['number']}  {letter['received_at'][:19]}  {letter['source']}  {letter['error']}")


@alert_app.command("replay")
def alert_replay(number: Annotated[int, typer.Argument(help="A dead letter's number.")], config: Config = None) -> None:
    """Take a dead letter in again, after the sender or the configuration was mended."""
    _client(config).post(f"/v1/dead-letters/{number}/replay", {})
    print(f"delivery {number} is back in line")


@alert_app.command("tail")
def alert_tail(
    config: Config = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new deliveries.")] = False,
) -> None:
    """Print the newest deliveries as they came."""
    import time  # noqa: PLC0415 -- keeps --help fast

    client, after = _client(config), -10
    while True:
        for item in client.get(f"/v1/deliveries?after={after}")["deliveries"]:
            after = item["number"]
            print(f"{item['number']}  {item['received_at'][:19]}  {item['source']}  {item['body'][:200]}", flush=True)
        if not follow:
            return
        after = max(after, 0)
        time.sleep(1)


@connect_app.command("web")
def connect_web(
    person: Annotated[str, typer.Option(help="The person's name in [people].")], config: Config = None
) -> None:
    """Print a one-time sign-in link for the web pages (valid for 15 minutes)."""
    print(_client(config).post("/v1/signin-links", {"person": person})["url"])


@page_app.command("test")
def page_test(
    person: Annotated[str, typer.Argument(help="The person's name in [people].")], config: Config = None
) -> None:
    """Send a test page through every contact of a person, and say what each answered."""
    from bot.bootstrap.commands.page import run_page_test  # noqa: PLC0415 -- keeps --help fast

    text, is_well = run_page_test(_client(config), person)
    print(text)
    sys.exit(0 if is_well else 1)


@approval_app.command("export")
def approval_export(
    incident: Annotated[str, typer.Argument(help="INC-7.")],
    digest: Annotated[str, typer.Argument(help="The patch's digest, or its first 12 characters.")],
    config: Config = None,
) -> None:
    """Print the statement of an approved patch, byte for byte (in-toto Statement v1)."""
    from bot.bootstrap.commands.statement import export_statement  # noqa: PLC0415 -- keeps --help fast

    sys.stdout.buffer.write(export_statement(_client(config), incident, digest))


@approval_app.command("verify")
def approval_verify(
    statement: Annotated[Path, typer.Option(help="What `approval export` printed.")],
    patch: Annotated[Path, typer.Option(help="The patch's exact bytes.")],
    commit_message: Annotated[
        Path | None, typer.Option(help="The pushed commit's message (git log -1 --format=%B).")
    ] = None,
) -> None:
    """Check a statement without Nightshift: it is whole, covers exactly this patch, and rests on enough people."""
    from bot.bootstrap.commands.statement import check_files  # noqa: PLC0415 -- keeps --help fast

    print(check_files(statement, patch, commit_message))


@logs_app.command("reduce")
def logs_reduce(
    files: Annotated[list[Path], typer.Argument(help="Logs; gzip and zstd are unpacked.", readable=False)],
    baseline: Annotated[
        list[Path] | None, typer.Option(help="A log of a time when all was well.", readable=False)
    ] = None,
    since: Annotated[str | None, typer.Option(help="The incident's beginning; what is before is the baseline.")] = None,
    until: Annotated[str | None, typer.Option(help="Its end, as 2026-11-20T14:46:00Z.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what matters in logs, in at most 60 lines: errors, and what is new, more frequent or gone."""
    from bot.bootstrap.commands.log_reduction import read_span, write_reduction  # noqa: PLC0415 -- keeps --help fast

    span = read_span(since, until, splits=not baseline)
    sys.stdout.writelines(write_reduction(files, baseline or [], span=span, as_json=as_json))


@logs_app.command("templates")
def logs_templates(
    file: Annotated[Path, typer.Argument(help="A log; gzip and zstd are unpacked.", readable=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the template of each line.")] = False,
) -> None:
    """Print the kinds of lines that a log has, most frequent first."""
    from bot.bootstrap.commands.log_templates import write_templates  # noqa: PLC0415 -- keeps --help fast

    sys.stdout.writelines(write_templates(file, as_json=as_json))


@app.command()
def pause(
    reason: Annotated[str, typer.Option(help="Shown on every open incident.")] = "",
    off: Annotated[bool, typer.Option("--off", help="Go on with everything that waits.")] = False,
    config: Config = None,
) -> None:
    """Stop the agent and all pushes until --off; paging goes on."""
    who = os.environ.get("SUDO_USER") or os.environ.get("USER", "")
    answer = _client(config).put("/v1/pause", {"paused": not off, "reason": reason, "who": who})
    print(f"{answer['text']} {answer['said']}".strip())


@app.command()
def doctor(config: Config = None, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Look at everything Nightshift needs and say how to mend what is not well."""
    from bot.bootstrap.doctor.examine import examine  # noqa: PLC0415 -- keeps --help fast

    report = examine(config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None))
    print(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())
    sys.exit(0 if report.is_well else 1)


@app.command(context_settings=_PASSED_ON, add_help_option=False)
def selftest(options: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Call every tool of the agent and the model as a run would, and say what fails without a word."""
    from bot.bootstrap.commands.selftest_options import selftest_main  # noqa: PLC0415 -- keeps --help fast

    sys.exit(selftest_main(options or [], DEFAULT_CONFIG))


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it; the file must not exist.")], config: Config = None
) -> None:
    """Copy the store into one file, also while Nightshift runs."""
    from bot.bootstrap.commands.backup import run_backup  # noqa: PLC0415 -- keeps --help fast

    print(run_backup(_settings(config), file))


@app.command()
def restore(file: Annotated[Path, typer.Argument(help="What `backup` wrote.")], config: Config = None) -> None:
    """Put a backup in the place of the store; the old one is kept aside. Nightshift must be stopped."""
    from bot.bootstrap.commands.backup import run_restore  # noqa: PLC0415 -- keeps --help fast

    print(run_restore(_settings(config), file))


@app.command("verify-audit")
def verify_audit(
    config: Config = None,
    anchor: Annotated[
        list[str] | None, typer.Option(help="A published head, <row>:<hash>, from a card or a commit trailer.")
    ] = None,
) -> None:
    """Check that nobody changed, removed or reordered the audit trail."""
    from bot.bootstrap.commands.audit import check_audit  # noqa: PLC0415 -- keeps --help fast

    report = check_audit(_settings(config), anchor or [])
    print(report.text)
    sys.exit(0 if report.ok else 1)


@app.command("sandbox-run", context_settings={"ignore_unknown_options": True})
def sandbox_run(
    command: Annotated[list[str] | None, typer.Argument(help="The command, after --.")] = None,
    tree: Annotated[Path | None, typer.Option(help="A folder to copy in as the working directory.")] = None,
    seconds: Annotated[float, typer.Option(help="Time limit.")] = 120.0,
    probe: Annotated[bool, typer.Option("--probe", help="Try to get out instead, and report.")] = False,
) -> None:
    """Run a command in the sandbox that repository code runs in."""
    from bot.bootstrap.commands.sandbox import probe_sandbox, run_in_sandbox  # noqa: PLC0415 -- keeps --help fast

    if probe:
        sys.exit(probe_sandbox())
    if not command:
        _fail("give a command after --, for example: nightshift sandbox-run -- python3 -V", 2)
    sys.exit(run_in_sandbox(command, tree=tree, seconds=seconds))


@app.command(context_settings=_PASSED_ON, add_help_option=False)
def triage(options: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Say what broke, which commit did it and what mends it, from a log and a repository: no server, no chat."""
    from bot.bootstrap.commands.triage_options import triage_main  # noqa: PLC0415 -- keeps --help fast

    sys.exit(triage_main(options or []))


@app.command(context_settings=_PASSED_ON, add_help_option=False)
def suspects(options: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Rank the commits that may have caused what a log shows, with reasons. Runs nothing of the repository."""
    from bot.bootstrap.commands.triage_options import suspects_main  # noqa: PLC0415 -- keeps --help fast

    sys.exit(suspects_main(options or []))


@app.command(context_settings=_PASSED_ON, add_help_option=False)
def model(options: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Models on your own GPUs: plan, launch, status, bench."""
    from bot.bootstrap.commands.model_options import model_main  # noqa: PLC0415 -- keeps --help fast

    sys.exit(model_main(options or []))


@app.command(context_settings=_PASSED_ON, add_help_option=False)
def replay(options: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Show again what the agent did in a run, without a model; or ask another model from a step on."""
    from bot.bootstrap.commands.replay_options import replay_main  # noqa: PLC0415 -- keeps --help fast

    sys.exit(replay_main(options or [], DEFAULT_CONFIG))


@app.command(hidden=True)
def worker(descriptor: Annotated[int, typer.Option("--descriptor")]) -> None:
    """Serve a front process (started by `run`)."""
    load_without_colours()
    from bot.bootstrap.worker import run_worker  # noqa: PLC0415 -- keeps --help fast

    run_worker(descriptor)


@app.command("ci-runner", hidden=True)
def ci_runner(
    spool: Annotated[Path, typer.Option()], idle_seconds: Annotated[float, typer.Option("--idle-seconds")] = 30.0
) -> None:
    """Serve a CI spool (started by the local CI)."""
    from bot.bootstrap.ci import run_ci_runner  # noqa: PLC0415 -- keeps --help fast

    run_ci_runner(spool, idle_seconds)


@app.command()
def version() -> None:
    """Print the version."""
    from bot import __version__  # noqa: PLC0415 -- keeps --help fast

    print(__version__)
