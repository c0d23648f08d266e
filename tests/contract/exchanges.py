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
        """Equal for exchanges that no schema can tell apart."""
        facts = [self.provider, self.operation, self.method, self.path, self.query, self.headers, self.body, self.status]
        if self.status is not None:
            facts += [self.response_headers.get("content-type"), self.response]
        return shape(facts)


WORD = re.compile(r"[A-Za-z_-]{0,40}")
RUNS = re.compile(r"[A-Za-z]*[0-9][A-Za-z0-9]*")


def shape(value):
    """A value with everything replaced by chance-free marks that differs without meaning: digits and random words."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{shape(one)}" for key, one in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(dict.fromkeys(shape(one) for one in value)) + "]"
    if isinstance(value, str):
        if WORD.fullmatch(value):
            return repr(value)
        length = len(value) if len(value) <= 16 else 1 << len(value).bit_length()
        return f"s{length}{RUNS.sub('0', value)[:200]}"
    return type(value).__name__


def of_file(path):
    """All exchanges of one journal. A last line that a kill cut short is left out, any other broken line is an error."""
    lines = path.read_bytes().split(b"\n")
    whole = lines[:-1]  # it ends in a newline, or in half a line
    began = {}
    for number, line in enumerate(whole, 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise SystemExit(f"{path}:{number} is no JSON ({error}): run the suite `it` again") from error
        entry = record.get("began")
        if entry is not None:
            # A recording is fetched from an address that the API gave: no call of the API.
            if entry["provider"] in ("telnyx", "meta") and entry["operation"] != "telnyx.download_recording":
                began[record["n"]] = Exchange(
                    entry["provider"], entry["operation"], entry["method"], entry["path"], entry.get("query") or {},
                    entry.get("headers") or {}, entry["body"], origin=f"{path.name}:{number}",
                )
            continue
        exchange = began.get(record["n"])
        if exchange is not None and not record["ended"].get("planted"):
            exchange.status = record["status"]
            exchange.response_headers = record["ended"].get("response_headers") or {}
            exchange.response = record["ended"].get("response")
    return list(began.values())


def of_run(folder, origin):
    """(number of exchanges, each different one once) of the journals of our programs (`ours`) or of the SDKs (`sdk`)."""
    count, different = 0, {}
    for path in sorted(folder.glob("*.jsonl")):
        if path.name.startswith("sdk-") == (origin == "sdk"):
            for exchange in of_file(path):
                count += 1
                different.setdefault(exchange.shape(), exchange)
    return count, list(different.values())
