"""Rules that JSON Schema cannot express: the document's prose states them. Valid cases are adjusted to obey them; invalid cases
stay as generated.
"""

import itertools
import json
import re
from datetime import datetime

import schemathesis
from schemathesis.specs.openapi.formats import get_default_format_strategies

# An event's timestamp is from 2000 on and at most a day ahead, and a report is of 400 days at most: all times are of one year.
YEAR = "2013"
# A report's range may lie in any year.
YEARS = ["0002", "1969", "1999", YEAR]
NAME_BYTES = 200
EVENT_BYTES = 32 * 1024
DEPTH = 32
INTEGERS = range(-(2**63), 2**64)
ZONES = ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Etc/GMT+12", "UTC"]


def in_the_year(time):
    return YEAR + time[4:].replace("-02-29", "-02-28")


schemathesis.openapi.format("date-time", get_default_format_strategies()["date-time"].map(in_the_year))


def is_positive(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


def operation_id(case):
    return case.operation.definition.raw.get("operationId")


def is_name(text):
    return len(text.encode()) <= NAME_BYTES


def is_within_limits(value, depth):
    """Names and values of an event: bytes of names, digits of integers, depth."""
    if isinstance(value, dict):
        return depth <= DEPTH and all(is_name(name) and is_within_limits(item, depth + 1) for name, item in value.items())
    if isinstance(value, list):
        return depth <= DEPTH and all(is_within_limits(item, depth + 1) for item in value)
    return not isinstance(value, int) or value in INTEGERS


# What is a name in an event, whatever protocol describes it.
NAMES = ["userId", "eventType", "messageId", "anonymousId", "event", "distinct_id", "uuid", "id", "source", "subject", "type"]


def events_of(body):
    """The events in a body: those of a batch, or the body itself."""
    return body.get("events") or body.get("batch") or [body]


def is_event(event):
    names = [event.get(field, "") for field in NAMES]
    time = event.get("timestamp")
    return (
        all(map(is_name, names))
        and is_within_limits(event, 2)
        and len(json.dumps(event)) <= EVENT_BYTES
        and (isinstance(time, str) or time is None or time < 1_500_000_000_000)
    )


LINES = "application/x-ndjson"


@schemathesis.serializer(LINES)
def lines(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


@schemathesis.hook
def filter_case(context, case):
    """Bodies are dropped where they break a rule: few do."""
    if not is_positive(case) or not isinstance(case.body, dict):
        return True
    return all(map(is_event, events_of(case.body)))


def separated(text, separator):
    """The parts of a text between separators that no backslash escapes."""
    parts, is_escaped = [""], False
    for character in text:
        if character == separator and not is_escaped:
            parts.append("")
        else:
            parts[-1] += character
        is_escaped = character == "\\" and not is_escaped
    return parts


def plain(text):
    """A text without its backslashes."""
    return re.sub(r"\\(.)", r"\1", text)


def instant(time):
    return datetime.fromisoformat(time.upper().replace(":60", ":59"))


def without_repetitions(metrics):
    """Each metric once, however it is written, and with a name that is one."""
    known = {}
    for metric in separated(metrics, ","):
        figure, _, name = metric.partition(":")
        if re.match("p[0-9]", figure):
            figure = float(figure[1:])
        if is_name(plain(name)):
            known.setdefault((figure, plain(name)), metric)
    return ",".join(list(known.values())) or "count"


def of_one_dimension(filters, group):
    """Filters by the dimension of the rows, or by that of the first filter."""
    pairs = [(parts[0], ":".join(parts[1:])) for parts in (separated(text, ":") for text in filters)]
    dimension = next((name for name, _ in pairs if is_name(plain(name))), "carrier")
    if group not in (None, "eventType"):
        dimension = r"\:".join(separated(group, ":"))
    return [f"{dimension}:{value}" for _, value in pairs if is_name(plain(value))]


NUMBERS = itertools.count()


def make_new(event):
    """A messageId that no other case has: nothing but a conflict may be answered 409."""
    if "messageId" in event:
        event["messageId"] = f"{next(NUMBERS)}-{event['messageId']}".encode()[:NAME_BYTES].decode(errors="ignore")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Queries are mended where they break a rule: most would. Events are made new."""
    if is_positive(case) and isinstance(case.body, dict):
        for event in events_of(case.body):
            make_new(event)
    if is_positive(case) and case.media_type == LINES and operation_id(case) == "postEvents":
        # The schema says that a body is text, and not that its lines are events.
        case.body = json.dumps({"userId": "U-1", "eventType": "flight.booked", "properties": {"note": str(case.body)}})
    query = case.query
    if not is_positive(case) or not query:
        return
    # Only an answer has cursors: they name rows.
    query.pop("cursor", None)
    if "tz" in query:
        query["tz"] = ZONES[len(query["tz"]) % len(ZONES)]
    if "from" in query:
        # Without `to` it would be now, more than 400 days later.
        times = sorted([query["from"], query.get("to", f"{YEAR}-07-01T00:00:00Z")], key=instant)
        query["from"], query["to"] = times
        if instant(times[0]) == instant(times[1]):
            del query["from"]
        elif all(time.startswith(YEAR) for time in times):
            year = YEARS[sum(map(ord, times[0])) % len(YEARS)]
            query["from"], query["to"] = (year + time[4:] for time in times)
    for name in ("eventType", "groupBy", "dimension"):
        if name in query and not is_name(plain(query[name])):
            query[name] = "carrier"
    if "metrics" in query:
        query["metrics"] = without_repetitions(query["metrics"])
    if "filter" in query:
        query["filter"] = of_one_dimension(query["filter"], query.get("groupBy", query.get("dimension")))


@schemathesis.check
def results_say_what_is_invalid(ctx, response, case):
    """A batch is answered 200 whatever its events are: what becomes of each is in the results."""
    if operation_id(case) != "postEvents" or response.status_code != 200:
        return
    results = response.json()["results"]
    refused = [result for result in results if result["status"] == "invalid"]
    if is_positive(case):
        assert not refused, f"a valid event is refused: {refused}"
    elif case.meta is not None and case.meta.generation.mode.is_negative:
        assert refused, "an event that is not valid is taken"
