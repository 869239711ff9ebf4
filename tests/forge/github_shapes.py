"""The forge's things as GitHub's REST surface describes them: every member that its description requires."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.forge.actions import Job, Run, Workflow
from tests.forge.clock import write_time
from tests.forge.repository import Hosted, Pull, Reported, Rule

Shape = dict[str, Any]
BORN: Final = "2026-01-01T00:00:00Z"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


REPOSITORY_URLS: Final = _words("""
    archive assignees blobs branches collaborators comments commits compare contents contributors deployments
    downloads events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels
    languages merges milestones notifications pulls releases stargazers statuses subscribers subscription tags
    teams trees clone git svn ssh
""")
COUNTS: Final = _words("""
    forks forks_count open_issues open_issues_count size stargazers_count watchers watchers_count network_count
    subscribers_count
""")
USER_URLS: Final = _words(
    "avatar events followers following gists organizations received_events repos starred subscriptions"
)


class Shapes:
    """`api` is the base of the REST surface, `web` that of the pages and of git."""

    def __init__(self, api: str, web: str) -> None:
        self.api, self.web = api, web

    def user(self, login: str) -> Shape:
        url = f"{self.api}/users/{login}"
        return {
            **{f"{name}_url": f"{url}/{name}" for name in USER_URLS},
            "html_url": f"{self.web}/{login}",
            "id": 1,
            "node_id": "U_1",
            "gravatar_id": "",
            "login": login,
            "site_admin": False,
            "type": "User",
            "url": url,
        }

    def repository(self, hosted: Hosted) -> Shape:
        url = f"{self.api}/repos/{hosted.name}"
        names = ("issues", "projects", "wiki", "pages", "discussions", "downloads")
        return {
            **{f"{name}_url": f"{url}/{name}" for name in REPOSITORY_URLS},
            **{f"has_{name}": name == "issues" for name in names},
            **dict.fromkeys(COUNTS, 0),
            **dict.fromkeys(("description", "homepage", "language", "mirror_url", "license")),
            **dict.fromkeys(("fork", "private", "archived", "disabled"), False),
            **dict.fromkeys(("pushed_at", "created_at", "updated_at"), BORN),
            "id": 1296269,
            "node_id": "R_1",
            "name": hosted.name.partition("/")[2],
            "full_name": hosted.name,
            "owner": self.user(hosted.owner),
            "url": url,
            "html_url": f"{self.web}/{hosted.name}",
            "clone_url": f"{self.web}/{hosted.name}.git",
            "default_branch": hosted.default_branch,
        }

    def branch(self, hosted: Hosted, branch: str) -> Shape:
        url = f"{self.api}/repos/{hosted.name}/branches/{branch}"
        is_protected = branch in hosted.protected
        return {
            "name": branch,
            "commit": self.commit(hosted, hosted.head(branch)),
            "_links": {"html": f"{self.web}/{hosted.name}/tree/{branch}", "self": url},
            "protected": is_protected,
            "protection": {"enabled": is_protected, "url": f"{url}/protection"},
            "protection_url": f"{url}/protection",
        }

    def rule(self, hosted: Hosted, rule: Rule) -> Shape:
        given = {"parameters": dict(rule.parameters)} if rule.parameters else {}
        source = {"ruleset_source_type": "Repository", "ruleset_source": hosted.name, "ruleset_id": 42}
        return {"type": rule.type, **given, **source}

    def commit(self, hosted: Hosted, sha: str) -> Shape:
        url = f"{self.api}/repos/{hosted.name}/commits/{sha}"
        tree, parents, subject = hosted.show(sha, "%T%n%P%n%s").split("\n", 2)
        who = {"name": "Ada", "email": "ada@example.org", "date": hosted.show(sha, "%cI")}
        return {
            "url": url,
            "sha": sha,
            "node_id": f"C_{sha}",
            "html_url": f"{self.web}/{hosted.name}/commit/{sha}",
            "comments_url": f"{url}/comments",
            "author": None,
            "committer": None,
            "parents": [{"sha": one, "url": f"{self.api}/{one}"} for one in parents.split()],
            "commit": {
                "url": url,
                "author": who,
                "committer": who,
                "message": subject,
                "comment_count": 0,
                "tree": {"sha": tree, "url": f"{self.api}/trees/{tree}"},
            },
        }

    def run(self, run: Run, now: float) -> Shape:
        url = f"{self.api}/repos/{run.hosted.name}/actions/runs/{run.id}"
        tree, at, subject = run.hosted.show(run.sha, "%T%n%cI%n%s").split("\n", 2)
        who = {"name": "Ada", "email": "ada@example.org"}
        urls = ("jobs", "logs", "check_suite", "cancel", "rerun", "artifacts", "workflow")
        key = run.inputs.get("nightshift_key", "")
        return {
            **{f"{name}_url": f"{url}/{name}" for name in urls},
            "id": run.id,
            "name": run.workflow.name,
            "node_id": f"WFR_{run.id}",
            "head_branch": run.branch,
            "head_sha": run.sha,
            "path": run.workflow.path,
            "run_number": run.number,
            "run_attempt": len(run.attempts),
            "run_started_at": write_time(min([job.begins_at for job in run.jobs], default=run.created_at)),
            "display_title": f"{run.workflow.name} {key}".strip() if key else subject,
            "event": run.event,
            "status": run.status(now),
            "conclusion": run.conclusion(now),
            "workflow_id": run.workflow.id,
            "url": url,
            "html_url": f"{self.web}/{run.hosted.name}/actions/runs/{run.id}",
            "created_at": write_time(run.created_at),
            "updated_at": write_time(run.updated_at(now)),
            "head_commit": {
                "id": run.sha,
                "tree_id": tree,
                "message": subject,
                "timestamp": at,
                "author": who,
                "committer": who,
            },
            "repository": self.repository(run.hosted),
            "head_repository": self.repository(run.hosted),
            "pull_requests": [],
        }

    def workflow(self, workflow: Workflow, hosted: Hosted) -> Shape:
        url = f"{self.api}/repos/{hosted.name}/actions/workflows/{workflow.id}"
        return {
            "id": workflow.id,
            "node_id": f"W_{workflow.id}",
            "name": workflow.name,
            "path": workflow.path,
            "state": "active",
            "url": url,
            "html_url": f"{self.web}/{hosted.name}/blob/main/{workflow.path}",
            "badge_url": f"{self.web}/badge.svg",
            "created_at": BORN,
            "updated_at": BORN,
        }

    def job(self, run: Run, attempt: int, job: Job, now: float) -> Shape:
        url = f"{self.api}/repos/{run.hosted.name}/actions/jobs/{job.id}"
        status, conclusion = job.status(now), job.conclusion(now)
        steps = [
            {
                "name": name,
                "number": number,
                "status": status,
                "conclusion": said if conclusion not in (None, "cancelled") else conclusion,
                "started_at": write_time(job.begins_at),
                "completed_at": write_time(job.ends_at) if conclusion else None,
            }
            for number, (name, said) in enumerate(job.plan.steps, 1)
        ]
        return {
            "id": job.id,
            "node_id": f"J_{job.id}",
            "run_id": run.id,
            "run_attempt": attempt,
            "run_url": f"{self.api}/repos/{run.hosted.name}/actions/runs/{run.id}",
            "head_sha": run.sha,
            "workflow_name": run.workflow.name,
            "head_branch": run.branch,
            "name": job.plan.name,
            "url": url,
            "html_url": f"{self.web}/{run.hosted.name}/actions/runs/{run.id}/job/{job.id}",
            "status": status,
            "conclusion": conclusion,
            "created_at": write_time(run.created_at),
            "started_at": write_time(job.begins_at),
            "completed_at": write_time(job.ends_at) if conclusion else None,
            "check_run_url": f"{self.api}/repos/{run.hosted.name}/check-runs/{job.id}",
            "labels": ["ubuntu-latest"],
            **dict.fromkeys(("runner_id", "runner_name", "runner_group_id", "runner_group_name")),
            "steps": steps,
        }

    def job_check(self, run: Run, job: Job, now: float) -> Shape:
        """Each job of a workflow is a check run of GitHub's own app."""
        entry = self.check(run.hosted, run.sha, Reported(name=job.plan.name, status=job.status(now)), job.id)
        app = {**self._app("github-actions"), "name": "GitHub Actions"}
        return {**entry, "conclusion": job.conclusion(now), "app": app}

    def check(self, hosted: Hosted, sha: str, reported: Reported, number: int) -> Shape:
        url = f"{self.api}/repos/{hosted.name}/check-runs/{number}"
        is_done = reported.status == "completed"
        output = {"title": reported.summary or None, "summary": reported.summary or None, "text": None}
        return {
            "id": number,
            "node_id": f"CR_{number}",
            "head_sha": sha,
            "name": reported.name,
            "url": url,
            "html_url": f"{self.web}/{hosted.name}/runs/{number}",
            "details_url": "https://example.com",
            "status": reported.status,
            "conclusion": reported.conclusion if is_done else None,
            "started_at": BORN,
            "completed_at": BORN if is_done else None,
            "external_id": "",
            "check_suite": {"id": 5},
            "output": {**output, "annotations_count": 0, "annotations_url": f"{url}/annotations"},
            "app": self._app("another-app"),
            "pull_requests": [],
        }

    def statuses(self, hosted: Hosted, sha: str, reported: Iterable[Reported]) -> Shape:
        url = f"{self.api}/repos/{hosted.name}/commits/{sha}"
        entries = [self._status(url, number, one) for number, one in enumerate(reported, 1)]
        return {
            "state": "pending",
            "sha": sha,
            "total_count": len(entries),
            "statuses": entries,
            "repository": self.repository(hosted),
            "commit_url": url,
            "url": f"{url}/status",
        }

    def pull(self, hosted: Hosted, pull: Pull) -> Shape:
        url = f"{self.api}/repos/{hosted.name}/pulls/{pull.number}"
        page = f"{self.web}/{hosted.name}/pull/{pull.number}"
        issue = f"{self.api}/repos/{hosted.name}/issues/{pull.number}"
        urls = ("comments", "commits", "review_comment", "review_comments", "statuses")
        links = ("comments", "commits", "statuses", "html", "issue", "review_comments", "review_comment", "self")
        closed = write_time(pull.merged_at or pull.created_at)
        return {
            **{f"{name}_url": f"{url}/{name}" for name in urls},
            **dict.fromkeys(("assignee", "milestone", "auto_merge")),
            "_links": {name: {"href": f"{url}/{name}"} for name in links},
            "id": 10_000 + pull.number,
            "node_id": f"PR_{pull.number}",
            "number": pull.number,
            "url": url,
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "issue_url": issue,
            "labels": [],
            "title": pull.title,
            "body": pull.body,
            "state": "open" if pull.is_open else "closed",
            "locked": False,
            "user": self.user("nightshift"),
            "author_association": "CONTRIBUTOR",
            "created_at": write_time(pull.created_at),
            "updated_at": closed,
            "closed_at": None if pull.is_open else closed,
            "merged_at": write_time(pull.merged_at) if pull.merged_at else None,
            "merge_commit_sha": pull.merged_sha or None,
            "head": self._end(hosted, pull.branch, hosted.head(pull.branch) if pull.is_open else pull.head),
            "base": self._end(hosted, pull.target, pull.base),
        }

    def whole_pull(self, hosted: Hosted, pull: Pull) -> Shape:
        counts = ("additions", "changed_files", "comments", "commits", "deletions", "review_comments")
        return {
            **self.pull(hosted, pull),
            **dict.fromkeys(counts, 1),
            "mergeable": True,
            "mergeable_state": "clean",
            "merged": pull.merged_at is not None,
            "merged_by": None,
            "maintainer_can_modify": False,
        }

    def _status(self, url: str, number: int, reported: Reported) -> Shape:
        states: Mapping[str | None, str] = {"success": "success", "failure": "failure"}
        return {
            "id": number,
            "node_id": f"S_{number}",
            "state": states.get(reported.conclusion, "pending") if reported.status == "completed" else "pending",
            "context": reported.name,
            "description": reported.summary or None,
            "target_url": "https://example.com/build/1",
            "avatar_url": None,
            "url": url,
            "created_at": BORN,
            "updated_at": BORN,
        }

    def _end(self, hosted: Hosted, branch: str, sha: str) -> Shape:
        return {
            "label": f"{hosted.owner}:{branch}",
            "ref": branch,
            "sha": sha,
            "user": self.user(hosted.owner),
            "repo": self.repository(hosted),
        }

    def _app(self, slug: str) -> Shape:
        return {
            "id": 15368,
            "slug": slug,
            "node_id": "A_1",
            "owner": self.user("github"),
            "name": slug,
            "description": "",
            "external_url": "https://example.com",
            "html_url": f"{self.web}/apps/{slug}",
            "created_at": BORN,
            "updated_at": BORN,
            "permissions": {"checks": "write"},
            "events": [],
        }
