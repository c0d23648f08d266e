"""What the SDKs walk on: a sandbox of their own, and the two places that the real providers would reach on our side (a
TeXML document and a webhook), served from this process.

Must never leave a sandbox behind, and never wait without a deadline.
"""
import http.server
import json
import os
import pathlib
import subprocess
import threading
import time
import urllib.request
import warnings

import httpx
import pywa
import telnyx

from exchanges import JOURNALS

ROOT = pathlib.Path(__file__).resolve().parents[2]
APP_SECRET = "app-secret-of-the-sdks"
TEXML = (
    '<?xml version="1.0" encoding="UTF-8"?><Response><Record playBeep="false" finishOnKey="" timeout="0" maxLength="90" '
    'channels="single" format="wav" transcription="true" transcriptionEngine="B" transcriptionLanguage="en-US"/></Response>'
)


class Ours(http.server.ThreadingHTTPServer):
    """GET /texml and POST /webhook."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.take_webhook = lambda body, signature: 500
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = TEXML.encode()
        self.send_response(200)
        self.send_header("content-type", "application/xml")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(self.server.take_webhook(body, self.headers.get("x-hub-signature-256")))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Sandbox:
    def __init__(self, webhook_url):
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
        binary = pathlib.Path(os.environ.get("CLIENTNUMBER_BIN") or target / "debug" / "clientnumber")
        if not binary.exists():
            raise SystemExit(f"{binary} is not there: run `cargo build --locked --all-features --bin clientnumber`")
        JOURNALS.mkdir(parents=True, exist_ok=True)
        logs = ROOT / ".run" / "log"
        logs.mkdir(parents=True, exist_ok=True)
        self.log = open(logs / "sdks-sandbox.log", "wb")
        self.child = subprocess.Popen(
            # keep ends the sandbox when this process ends in any way.
            [ROOT / "scripts" / "keep", binary, "sandbox", "--telnyx-addr=127.0.0.1:0", "--meta-addr=127.0.0.1:0",
             "--control-addr=127.0.0.1:0", f"--webhook-url={webhook_url}", "--speed=0", "--seed=11",
             f"--journal={JOURNALS}/sdk-{time.time_ns()}.jsonl"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            env={**os.environ, "APP_SECRET": APP_SECRET},
        )
        for line in self.child.stdout:
            if b'"control"' in line:
                told = json.loads(line)
                break
        else:
            raise SystemExit(f"the sandbox did not start; its log is {logs}/sdks-sandbox.log")
        self.telnyx, self.meta, self.url = told["telnyx"], told["meta"], told["control"]

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def stop(self):
        self.child.stdin.close()
        self.child.terminate()
        self.child.wait(timeout=30)
        self.child.stdout.close()
        self.log.close()


def telnyx_client(sandbox, key="KEY-of-the-sdks"):
    # A second POST of an order would be a second purchase: no retries.
    return telnyx.Telnyx(api_key=key, base_url=sandbox.telnyx, max_retries=0)


def meta_client(sandbox, waba, token="token-of-the-sdks"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about webhooks without a server of pywa's own
        client = pywa.WhatsApp(
            token=token, waba_id=waba, app_id="7700", app_secret=APP_SECRET, verify_token="v", filter_updates=False,
            session=httpx.Client(trust_env=False, timeout=30),
        )
    client.api._session.base_url = f"{sandbox.meta}/v25.0"  # pywa knows one host only
    return client


def until(what, look, seconds=30):
    """The first answer of `look` that is something; None and [] mean not yet."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}; last seen: {found!r}")
        time.sleep(0.05)
