"""Jenkins as far as the connector knows it: queue, builds, crumbs, progressive logs, in memory.

The shapes are those of answers that others recorded from Jenkins and published, with all that the connector has to
read over: classes, empty actions, parameters that are no text.
"""

import base64
import itertools
from dataclasses import dataclass, field

from aiohttp import web

from tests.contract.far_side import FarSide

USER, TOKEN = "nightshift", "11aa22"
JOB = "shop/checks"
PATH = "/job/shop/job/checks"
JOB_CLASS = "org.jenkinsci.plugins.workflow.job.WorkflowJob"
ISSUER = "hudson.security.csrf.DefaultCrumbIssuer"
BUILD = "org.jenkinsci.plugins.workflow.job.WorkflowRun"
DECLARED = ("NIGHTSHIFT_SHA", "NIGHTSHIFT_BRANCH", "NIGHTSHIFT_KEY")


@dataclass(kw_only=True)
class Item:
    """A queue item, and later the build that it became."""

    id: int
    given: dict[str, str]
    url: str
    looks: int = 0
    number: int = 0
    result: str | None = None
    building: bool = False
    cancelled: bool = False
    text: str = ""
    task: str = f"{PATH}/"

    def parameters(self) -> list[dict[str, object]]:
        pairs = [
            {"_class": "hudson.model.BooleanParameterValue", "name": "Are you sure?", "value": False},
            *({"_class": "hudson.model.StringParameterValue", "name": k, "value": v} for k, v in self.given.items()),
        ]
        cause = {"_class": "hudson.model.Cause$UserIdCause", "shortDescription": "Started by user n", "userId": USER}
        return [
            {"_class": "hudson.model.ParametersAction", "parameters": pairs},
            {"_class": "hudson.model.CauseAction", "causes": [cause]},
            {"_class": "jenkins.metrics.impl.TimeInQueueAction", "blockedDurationMillis": 0},
            {},
        ]

    def queued(self, root: str) -> dict[str, object]:
        task = {"_class": JOB_CLASS, "name": "checks", "color": "blue_anime"}
        kind = "Left" if self.number or self.cancelled else "Waiting"
        build = {"_class": BUILD, "number": self.number, "url": f"{root}{PATH}/{self.number}/"}
        left = {"cancelled": self.cancelled, "executable": build if self.number else None} if kind == "Left" else {}
        return left | {
            "_class": f"hudson.model.Queue${kind}Item",
            "actions": self.parameters(),
            "blocked": False,
            "buildable": False,
            "id": self.id,
            "inQueueSince": 1_767_321_990_000,
            "params": "".join(f"\n{name}={text}" for name, text in self.given.items()),
            "stuck": False,
            "task": task | {"url": f"{root}{self.task}"},
            "url": f"queue/item/{self.id}/",
            "why": "In the quiet period. Expires in 4.9 sec" if kind == "Waiting" else None,
        }


@dataclass
class JenkinsServer(FarSide):
    """An item waits for one look at the queue, a build runs for one look at the builds, then it ends as planned."""

    plans: dict[str, str] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)
    declared: tuple[str, ...] = DECLARED
    crumbs: bool = True
    stages: bool = True
    root: str = "http://jenkins.example.com"

    def __post_init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/crumbIssuer/api/json", self.crumb),
            web.get("/queue/api/json", self.queue),
            web.get("/queue/item/{id}/api/json", self.item),
            web.post("/queue/cancelItem", self.cancel_item),
            web.get(PATH + "/api/json", self.job),
            web.post(PATH + "/buildWithParameters", self.build),
            web.post(PATH + "/{number}/stop", self.stop),
            web.get(PATH + "/{number}/logText/progressiveText", self.text),
            web.get(PATH + "/{number}/wfapi/describe", self.describe),
        ]

    def check(self, request: web.Request) -> None:
        wanted = base64.b64encode(f"{USER}:{TOKEN}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {wanted}":
            raise web.HTTPUnauthorized(text="<html>Invalid password/token</html>", content_type="text/html")
        has_crumb = request.headers.get("Jenkins-Crumb") == "c0ffee" and "JSESSIONID.1=abc" in request.headers.get(
            "Cookie", ""
        )
        if request.method == "POST" and self.crumbs and not has_crumb:
            raise web.HTTPForbidden(text="<html>No valid crumb was included in the request</html>")

    async def crumb(self, request):
        if not self.crumbs:
            raise web.HTTPNotFound
        answer = web.json_response({"_class": ISSUER, "crumb": "c0ffee", "crumbRequestField": "Jenkins-Crumb"})
        answer.set_cookie("JSESSIONID.1", "abc", httponly=True)
        return answer

    async def build(self, request):
        self.check(request)
        given = {name: str(text) for name, text in (await request.post()).items() if name in self.declared}
        made = Item(id=next(self.numbers) + 500, given=given, url="")
        self.items.append(made)
        return web.Response(status=201, headers={"Location": f"{self.root}/queue/item/{made.id}/"})

    async def queue(self, request):
        self.check(request)
        waiting = [one for one in self.items if not one.number and not one.cancelled]
        shown = [one.queued(self.root) for one in waiting]
        for one in waiting:
            one.looks += 1
            if one.looks > 1:
                one.number, one.building, one.looks = next(self.numbers), True, 0
        return web.json_response({"_class": "hudson.model.Queue", "discoverableItems": [], "items": shown})

    async def item(self, request):
        self.check(request)
        found = next((one for one in self.items if one.id == int(request.match_info["id"])), None)
        if found is None:
            raise web.HTTPNotFound
        return web.json_response(found.queued(self.root))

    async def cancel_item(self, request):
        self.check(request)
        for one in self.items:
            if one.id == int(request.query["id"]) and not one.number:
                one.cancelled = True
        raise web.HTTPFound("/")

    async def job(self, request):
        self.check(request)
        if request.query["tree"].startswith("name"):
            kind = {"_class": "hudson.model.StringParameterDefinition", "type": "StringParameterDefinition"}
            given = [kind | {"description": None, "name": name} for name in self.declared]
            properties = [{}, {"_class": "hudson.model.ParametersDefinitionProperty", "parameterDefinitions": given}]
            return web.json_response({"_class": JOB_CLASS, "name": "checks", "buildable": True, "property": properties})
        built = sorted((one for one in self.items if one.number), key=lambda one: -one.number)
        for one in built:
            self.advance(one)
        return web.json_response({"allBuilds": [self.shown(one) for one in built]})

    def advance(self, one: Item) -> None:
        if not one.building:
            return
        one.looks += 1
        plan = self.plans.get(one.given.get("NIGHTSHIFT_SHA", ""), "slow")
        if one.looks > 2 and plan != "slow":
            one.building, one.result = False, "SUCCESS" if plan == "pass" else "FAILURE"
            one.text = "Started\r\n" + ("all is well\r\n" if plan == "pass" else "expected 2\r\n")

    def shown(self, one: Item) -> dict[str, object]:
        return {
            "_class": BUILD,
            "displayName": f"#{one.number}",
            "estimatedDuration": 1560,
            "executor": None,
            "id": str(one.number),
            "inProgress": one.building,
            "keepLog": False,
            "changeSets": [],
            "number": one.number,
            "queueId": one.id,
            "result": one.result,
            "building": one.building,
            "timestamp": 1_767_322_000_000,
            "duration": 0 if one.building else 4200,
            "url": f"{self.root}{PATH}/{one.number}/",
            "actions": one.parameters(),
        }

    def named(self, request: web.Request) -> Item:
        self.check(request)
        found = next((one for one in self.items if one.number == int(request.match_info["number"])), None)
        if found is None:
            raise web.HTTPNotFound
        return found

    async def stop(self, request):
        found = self.named(request)
        found.building, found.result = False, "ABORTED"
        raise web.HTTPFound(f"{self.root}{PATH}/{found.number}/")

    async def text(self, request):
        found, start = self.named(request), int(request.query["start"])
        return web.Response(text=found.text[start:], headers={"X-Text-Size": str(len(found.text))})

    async def describe(self, request):
        found = self.named(request)
        if not self.stages:
            raise web.HTTPNotFound
        end = "FAILED" if found.result == "FAILURE" else "SUCCESS"
        stages = [{"name": "lint", "status": "SUCCESS"}, {"name": "tests", "status": end}, {"name": "x", "status": end}]
        return web.json_response({"stages": stages})
