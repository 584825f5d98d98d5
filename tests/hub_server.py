"""A stand-in for the Hugging Face Hub on 127.0.0.1: the few endpoints that `push` and `pull` reach through huggingface_hub 2.4.

Made from that package's requests; the real Hub was not reached.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_test"


class HubServer:
    """Repositories as lists of commits; each commit is all files by name."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.repos: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.private = set[str]()
        self.large: dict[str, bytes] = {}  # by SHA-256: what git LFS holds
        self.asked: list[str] = []  # method and path
        self.needs_token = False
        self.lies: dict[str, bytes] = {}  # other contents than were promised, by file name

    def commit(self, repo: str, files: dict[str, bytes], branch: str = "main") -> str:
        commits = self.repos.setdefault(repo, [])
        told = json.dumps([repo, len(commits), sorted(files)])
        oid = hashlib.sha1(told.encode()).hexdigest()
        commits.append((oid, files))
        self.branches.setdefault(repo, {})[branch] = oid
        return oid

    def files(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        oid = self.branches.get(repo, {}).get(revision, revision)
        return next((c for c in self.repos.get(repo, ()) if c[0] == oid), None)

    def answer(self, request: "Handler") -> Any:
        """(status, content, headers)."""
        method, path = request.command, unquote(urlsplit(request.path).path)
        self.asked.append(f"{method} {path}")
        signed = path.startswith("/large/")  # such addresses hold their own leave
        if (
            self.needs_token
            and not signed
            and request.headers["Authorization"] != f"Bearer {TOKEN}"
        ):
            return 401, {"error": "Invalid username or password."}, {}
        parts = path.strip("/").split("/")
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}, {}
        if path == "/api/repos/create":
            told = json.loads(request.content)
            repo = f"{told['organization']}/{told['name']}"
            if repo in self.repos:
                return 409, {"error": "exists", "url": f"{self.address}/{repo}"}, {}
            self.commit(repo, {".gitattributes": b"*.safetensors filter=lfs\n"})
            if told.get("visibility") == "private" or told.get("private"):
                self.private.add(repo)
            return 200, {"url": f"{self.address}/{repo}"}, {}
        if path.startswith("/large/"):
            self.large[parts[-1]] = request.content
            return 200, {}, {}
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(request.content))
        if parts[:2] == ["api", "models"]:
            return self._models("/".join(parts[2:4]), parts[4:], request)
        if len(parts) > 4 and parts[2] == "resolve":
            return self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return 404, {"error": f"the stand-in knows no {method} {path}"}, {}

    def _batch(self, told: dict[str, Any]) -> Any:
        objects = [
            o | {"actions": {"upload": {"href": f"{self.address}/large/{o['oid']}"}}}
            for o in told["objects"]
        ]
        return 200, {"transfer": "basic", "objects": objects}, {}

    def _models(self, repo: str, rest: list[str], request: "Handler") -> Any:
        missing = 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        if repo not in self.repos:
            return missing
        if rest[:1] == ["branch"]:
            self.branches[repo].setdefault(rest[1], self.branches[repo]["main"])
            return 200, {}, {}
        if rest[:1] == ["preupload"]:
            modes = [
                {"path": f["path"], "shouldIgnore": False}
                | {"uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular"}
                for f in json.loads(request.content)["files"]
            ]
            return 200, {"files": modes}, {}
        revision = rest[1] if len(rest) > 1 else "main"
        found = self.files(repo, revision)
        if found is None:
            return 404, {"error": "Invalid rev"}, {"X-Error-Code": "RevisionNotFound"}
        if rest[:1] == ["commit"]:
            return self._commit(repo, revision, dict(found[1]), request.content)
        siblings = [self._sibling(name, content) for name, content in found[1].items()]
        told = {"id": repo, "sha": found[0], "private": repo in self.private}
        return 200, told | {"siblings": siblings}, {}

    def _commit(self, repo: str, branch: str, files: dict[str, bytes], body: bytes) -> Any:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
        oid = self.commit(repo, files, branch)
        return 200, {"commitUrl": f"{self.address}/{repo}/commit/{oid}", "commitOid": oid}, {}

    def _sibling(self, name: str, content: bytes) -> dict[str, Any]:
        told: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": "0" * 40}
        if name.endswith(".safetensors"):
            sha = hashlib.sha256(content).hexdigest()
            told["lfs"] = {"size": len(content), "sha256": sha, "pointerSize": 134}
        return told

    def _file(self, repo: str, revision: str, name: str) -> Any:
        found = self.files(repo, revision)
        if found is None or name not in found[1]:
            return 404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"}
        content = self.lies.get(name, found[1][name])
        tag = hashlib.sha256(content).hexdigest()
        return 200, content, {"X-Repo-Commit": found[0], "ETag": f'"{tag}"'}


class Handler(BaseHTTPRequestHandler):
    server: "_Http"
    content: bytes
    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        if self.headers["Transfer-Encoding"] == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def do_GET(self) -> None:
        self.content = self.body()
        status, content, headers = self.server.hub.answer(self)
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    hub: HubServer


@contextmanager
def hub_server() -> Iterator[HubServer]:
    with _Http(("127.0.0.1", 0), Handler) as http:
        http.hub = HubServer(f"http://127.0.0.1:{http.server_port}")
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http.hub
        http.shutdown()
        thread.join()
