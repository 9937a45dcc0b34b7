"""Whether what a daemon answers is what its OpenAPI document says: `python api.py ADDRESS JOB`.

Reads the document from the daemon itself, checks it, asks for every path of it with every method, and
holds each answer against the schema of its status. Prints a line for each, and ends with 1 if any is not
as described. A token is taken from the variable TOKEN.
"""

import json
import os
import sys
from http.client import HTTPConnection

from jsonschema import Draft202012Validator
from openapi_spec_validator import validate


class Daemon:
    def __init__(self, address, job):
        self.address = address
        self.job = job
        self.headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"} if "TOKEN" in os.environ else {}

    def ask(self, method, path, headers=None, sent=None):
        """Status, kind and body of an answer."""
        connection = HTTPConnection(self.address, timeout=60)
        connection.request(method, path, sent, self.headers if headers is None else headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["content-type"], answer.read()


def problems(document, daemon, method, path, asked, expected=200, headers=None, sent=None):
    """What is wrong with an answer."""
    status, kind, body = daemon.ask(method, asked, headers, sent)
    print(f"{method} {asked}: {status}, {len(body)} bytes")
    if status != expected:
        return [f"{method} {asked}: {status} instead of {expected}: {body!r}"]
    responses = document["paths"][path][method.lower()]["responses"]
    if str(status) not in responses:
        return [f"{method} {asked}: {status} is not described"]
    if kind != "application/json":
        return [f"{method} {asked}: {kind}"]
    schema = responses[str(status)]["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**schema, "components": document["components"]})
    return [f"{method} {asked}: {error.json_path}: {error.message}" for error in validator.iter_errors(json.loads(body))]


def main(address, job):
    daemon = Daemon(address, job)
    status, _, body = daemon.ask("GET", "/api/v1/openapi.json", headers={})
    assert status == 200, status
    document = json.loads(body)
    validate(document)
    found = []
    for path, methods in document["paths"].items():
        for method in methods:
            if method == "parameters":
                continue
            method = method.upper()
            found += problems(document, daemon, method, path, path.replace("{job}", job))
            if "{job}" in path:
                found += problems(document, daemon, method, path, path.replace("{job}", "nobody"), 404)
            if daemon.headers:
                found += problems(document, daemon, method, path, path.replace("{job}", job), 401, {})
    # What is refused is described, too; and nothing of it stays. Many times, as runs and looks that end
    # between them may have read what was so before.
    pause, resume, sync = (f"/api/v1/jobs/{{job}}/{what}" for what in ("pause", "resume", "sync"))
    for path, sent, expected in 20 * [
        (pause, '{"why": 1}', 400),
        (pause, '{"reason": "a migration"}', 200),
        (sync, None, 409),
        (resume, None, 200),
        (sync, None, 200),
    ]:
        found += problems(document, daemon, "POST", path, path.replace("{job}", job), expected, sent=sent)
    history = "/api/v1/jobs/{job}/history"
    found += problems(document, daemon, "GET", history, f"/api/v1/jobs/{job}/history?limit=0", 400)
    for problem in found:
        print(f"problem: {problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
