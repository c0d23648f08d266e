"""The exchanges that the sandboxes of a test run wrote down (`clientnumber sandbox --journal`), each different one once.

Decides which exchanges are the same: those in which a schema could see no difference. Must never leave out a request; of
answers only those that a planted fault gave, which are no answers of the sandbox.
"""
import dataclasses
import json
import os
import pathlib
import re

# Where `it`, `sdks` and the demo let their sandboxes write.
JOURNALS = pathlib.Path(os.environ.get("JOURNALS") or pathlib.Path(__file__).resolve().parents[2] / ".run" / "journals")


@dataclasses.dataclass
class Exchange:
    provider: str
    operation: str  # as the sandbox names it
    method: str
    path: str
    query: dict
    headers: dict
    body: object
    status: int | None = None  # None: no answer of the sandbox's own
    response_headers: dict = dataclasses.field(default_factory=dict)
    response: object = None
    origin: str = ""

    def shape(self):
        """Equal for exchanges that differ only in well-formed ids and times, which a schema can't tell apart."""
        facts = [self.provider, self.operation, self.method, self.path, self.query, self.headers, self.body, self.status]
        if self.status is not None:
            facts += [self.response_headers, self.response]
        return CHANCE.sub(lambda found: found.lastgroup, json.dumps(facts, sort_keys=True))


CHANCE = re.compile(
    r'(?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)'
    r'|(?P<time>"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?Z")'
    r'|(?P<id>\b[1-9][0-9]{14,20}\b)'
)


def of_file(path):
    """All exchanges of one journal. A line that a kill cut short is left out, any other broken line is an error."""
    lines = path.read_bytes().split(b"\n")
    all, running = [], {}
    for number, line in enumerate(lines[:-1], 1):  # it ends in a newline, or in half a line
        try:
            record = json.loads(line)
        except ValueError as error:
            if b'"began"' in lines[number] and json.loads(lines[number])["n"] == 1:
                continue  # a sandbox that was killed; the next line is its successor's first
            raise SystemExit(f"{path}:{number} is no JSON ({error}): run the suite `it` again") from error
        entry = record.get("began")
        if entry is not None:
            # A recording is fetched from an address that the API gave: no call of the API.
            if entry["provider"] in ("telnyx", "meta") and entry["operation"] != "telnyx.download_recording":
                running[record["n"]] = Exchange(
                    entry["provider"], entry["operation"], entry["method"], entry["path"], entry.get("query") or {},
                    entry.get("headers") or {}, entry["body"], origin=f"{path.name}:{number}",
                )
                all.append(running[record["n"]])
            continue
        exchange = running.pop(record["n"], None)
        if exchange is not None and not record["ended"].get("planted"):
            exchange.status = record["status"]
            exchange.response_headers = record["ended"].get("response_headers") or {}
            exchange.response = record["ended"].get("response")
    return all


def of_run(folder, origin):
    """(number of exchanges, each different one once) of the journals of our programs (`ours`) or of the SDKs (`sdk`)."""
    count, different = 0, {}
    for path in sorted(folder.glob("*.jsonl")):
        if path.name.startswith("sdk-") == (origin == "sdk"):
            for exchange in of_file(path):
                count += 1
                different.setdefault(exchange.shape(), exchange)
    return count, list(different.values())
