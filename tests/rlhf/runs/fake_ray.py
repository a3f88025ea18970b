"""A stand-in for the head of a Ray cluster: its Jobs API, whose jobs are processes of this machine."""

import json
import os
import re
import signal
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATH = re.compile(r"/api/jobs/([\w-]*)(/logs|/stop)?$")


class FakeRay:
    """`holds`: jobs wait for a machine, and a stop with them; `is_away`: it answers with an error;
    `token`: it asks for; `lost_answers`: so many jobs are taken, and an error is told."""

    def __init__(self, folder):
        self.folder = folder
        self.requests, self.processes, self.lost, self.stopped, self.forgotten = {}, {}, set(), set(), set()
        self.headers, self.going_before = [], []
        self.holds = self.is_away = False
        self.refuses = self.token = ""
        self.lost_answers = 0

    def submit(self, request):
        assert request["entrypoint_num_cpus"] >= 1
        self.going_before.append(self.going())
        self.requests[request["submission_id"]] = request
        if not self.holds:
            self.start(request["submission_id"])

    def start(self, job):
        if job in self.stopped:
            return
        request = self.requests[job]
        with (self.folder / f"{job}.log").open("wb") as log:
            self.processes[job] = subprocess.Popen(
                ["sh", "-c", request["entrypoint"]],  # as Ray does
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **request["runtime_env"]["env_vars"]},
            )

    def details(self, job):
        if job not in self.requests or job in self.forgotten:
            return None
        process = self.processes.get(job)
        code = None if process is None else process.poll()
        made = {"submission_id": job, "message": "as it is", "driver_exit_code": code}
        if job in self.lost:
            return {**made, "status": "FAILED", "driver_exit_code": None, "message": "its node died"}
        if job in self.stopped and code is not None:
            return {**made, "status": "STOPPED"}
        if process is None:
            return {**made, "status": "PENDING"}
        return {**made, "status": {None: "RUNNING", 0: "SUCCEEDED"}.get(code, "FAILED")}

    def stop(self, job):
        self.stopped.add(job)
        process = self.processes.get(job)
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)

    def lose(self, job):
        """With its machine."""
        self.lost.add(job)
        os.killpg(self.processes[job].pid, signal.SIGKILL)
        self.processes[job].wait()

    def going(self):
        known = {job: self.details(job) for job in self.requests}
        return [job for job, found in known.items() if found and found["status"] in ("PENDING", "RUNNING")]

    def objection(self, headers):
        """The status with which it answers whatever is asked, or None."""
        if self.is_away:
            return 503
        return 401 if self.token and headers["Authorization"] != f"Bearer {self.token}" else None

    def read(self, path):
        """(status, content)"""
        if path == "/api/version":
            return 200, {"ray_version": "2.60.0"}
        job, what = PATH.match(path).groups()
        found = self.details(job)
        if found is None:
            return 404, {}
        if not what:
            return 200, found
        log = self.folder / f"{job}.log"
        return (200, {"logs": log.read_text()}) if log.exists() else (500, {})

    def act(self, path, content):
        job, what = PATH.match(path).groups()
        if self.refuses:
            return 400, {"why": self.refuses}
        if not what and content["submission_id"] in self.requests:
            return 400, {"why": "there is one of that name"}
        if what:
            self.stop(job)
            return 200, {"stopped": True}
        self.submit(content)
        if self.lost_answers:
            self.lost_answers -= 1
            return 503, {}
        return 200, {"submission_id": content["submission_id"]}

    def end(self):
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        ray = self.server.ray
        ray.headers.append(dict(self.headers))
        code = ray.objection(self.headers)
        self.answer(*((code, {}) if code else ray.read(self.path)))

    def do_POST(self):
        ray = self.server.ray
        length = int(self.headers.get("Content-Length") or 0)
        content = json.loads(self.rfile.read(length) or b"{}")
        code = ray.objection(self.headers)
        self.answer(*((code, {}) if code else ray.act(self.path, content)))

    def answer(self, code, content):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serve(folder):
    """(it, its address)"""
    ray = FakeRay(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.ray = ray
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield ray, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        ray.end()
