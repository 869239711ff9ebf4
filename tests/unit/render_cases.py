"""One incident, investigated and mended: the values that the render tests share."""

from datetime import UTC, datetime, timedelta

from bot.domain.approval import Approval, ApprovalState
from bot.domain.ci import CIRun, CIState
from bot.domain.draft import ChangeKind, Draft, DraftState, FileChange, Patch, Risk
from bot.domain.evidence import Check, CheckRun, ErrorRecord, Evidence, Frame, LogLine, Suspect
from bot.domain.incident import Incident, IncidentState, Severity
from bot.domain.investigation import Collected, Confirmed, Drafted, Suspected, Verified

STARTED = datetime(2026, 3, 12, 2, 14, tzinfo=UTC)
NOW = STARTED + timedelta(minutes=4)
NAMES = {"ana": "Ana", "bo": "Bo", "cem": "Cem"}
CULPRIT = "a1b2c3d4e5f6" + "0" * 28
DIFF = """diff --git a/cart.py b/cart.py
--- a/cart.py
+++ b/cart.py
@@ -39,7 +39,7 @@ def total(items):
     amount = 0
     for item in items:
-        amount += item["price_cents"]
+        amount += item["price"]
     return amount
"""

INCIDENT = Incident(
    id="INC-7",
    key="checkout",
    title="Half of all checkout requests fail",
    service="checkout",
    severity=Severity.CRITICAL,
    state=IncidentState.TRIGGERED,
    opened_at=STARTED + timedelta(seconds=30),
    changed_at=STARTED + timedelta(minutes=2),
    labels={"alertname": "CheckoutErrors", "path": "/pay", "code": "500", "job": "x"},
    annotations={"value": "0.52", "runbook_url": "https://runbooks.example/checkout"},
    alert_started_at=STARTED,
    source_url="https://prometheus.example/graph?g0.expr=x",
    dashboard_url="https://grafana.example/d/1",
    firing=3,
    alerts_seen=12,
)
LINE = LogLine(source="checkout.log", number=412, text="KeyError: 'price_cents'", at=STARTED)
RECORD = ErrorRecord(
    headline="KeyError: 'price_cents'",
    kind="KeyError",
    frames=(Frame(path="cart.py", line=41, function="total"),),
    lines=(LINE,),
    count=38,
)
TRACE = "Traceback (most recent call last):\n  File cart.py, line 41, in total\nKeyError: 'price_cents'"
COLLECTED = Collected(
    records=(RECORD,),
    requests=(),
    evidence=(Evidence(id="E1", kind="log", cite="checkout.log:412", text=TRACE),),
    lines_read=4312,
    notes=("payments.log could not be read",),
)
SUSPECT = Suspect(
    commit=CULPRIT,
    author="Bo",
    committed_at=STARTED - timedelta(hours=3),
    subject="Cache totals",
    score=0.9,
    reasons=("changes cart.py:41", "3 hours before the alert"),
)
OTHER = Suspect(commit="b" * 40, author="Cem", committed_at=STARTED, subject="Docs", score=0.1, reasons=())
SUSPECTED = Suspected(head="c" * 40, suspects=(SUSPECT, OTHER))
RED = CheckRun(name="POST /pay", at=CULPRIT, verdict=Check.RED, seconds=1.2)
GREEN = CheckRun(name="POST /pay", at="d" * 40, verdict=Check.GREEN, seconds=1.1)
CONFIRMED = Confirmed(culprit=CULPRIT, request=None, runs=(RED, GREEN), how="it fails there and works before it")
DRAFTED = Drafted(base="c" * 40, patch=DIFF.encode(), title='Revert "Cache totals"', culprit=CULPRIT)
VERIFIED = Verified(
    before=Check.RED,
    after=Check.GREEN,
    runs=(
        CheckRun(name="tests", at="tree", verdict=Check.GREEN, seconds=3.0),
        CheckRun(name="lint", at="tree", verdict=Check.GREEN, seconds=0.4),
    ),
    rung="bubblewrap",
)
DRAFT = Draft(
    incident="INC-7",
    patch=Patch(text=DIFF.encode(), files=(FileChange(path="cart.py", kind=ChangeKind.MODIFIED, added=1, removed=1),)),
    base="c" * 40,
    branch="main",
    title='Revert "Cache totals"',
    culprit=CULPRIT,
    author="nightshift",
    verified=VERIFIED,
    risk=Risk(),
    state=DraftState.PROPOSED,
    created_at=NOW,
)
APPROVAL = Approval(
    incident="INC-7",
    digest=DRAFT.digest,
    base=DRAFT.base,
    target="main",
    policy_version="p1",
    state=ApprovalState.PENDING,
    needs=1,
    risk=(),
    requested_at=NOW,
    expires_at=NOW + timedelta(minutes=60),
    audit_head="f" * 64,
)
RUN = CIRun(
    id="1",
    sha="e" * 40,
    state=CIState.PASSED,
    started_at=NOW,
    finished_at=NOW + timedelta(seconds=75),
    url="https://ci.example/1",
)
