"""Sends events with an SDK for Python, as its registry has it: `send.py SDK URL KEY NAME RUN SETTINGS`.

SETTINGS, in JSON, are all that differs from the SDK's defaults. Prints `ready`, waits until its standard input ends, and
sends. Then it prints in JSON what the SDK told its app: `failed`, failed deliveries, or `answers`, the statuses that an app
saw that sends again by itself.
"""

import json
import random
import sys
import time

SDK, URL, KEY, NAME, RUN, SETTINGS = sys.argv[1:]
SETTINGS = json.loads(SETTINGS)
TYPE = f"{NAME} {RUN}"
TOO_LONG = "x" * 201
FAILED = []


def message_id(index):
    return f"{NAME} {index} {RUN}"


def failed(error, batch):
    FAILED.append(str(error))


def ready():
    print("ready", flush=True)
    sys.stdin.read()


def again(post):
    """An app that sends again until the host has taken its event."""
    import requests

    answers = []
    while True:
        try:
            answers.append(post().status_code)
        except requests.ConnectionError:
            answers.append("lost")
        if answers[-1] == 200:
            return answers
        time.sleep(SETTINGS.get("pause", 1000) / 1000)


def segment():
    from segment.analytics.client import Client

    client = Client(KEY, host=URL, on_error=failed, **SETTINGS)
    ready()
    for index in range(3):
        client.track("user-1", TYPE, {"index": index}, message_id=message_id(index))
    client.track("user-1", TOO_LONG)
    client.flush()
    client.join()


def rudderstack():
    from rudderstack.analytics.client import Client

    # Its pauses are random, up to 17 minutes. A test takes the same ones each time.
    random.seed(SETTINGS.pop("seed", None))
    client = Client(KEY, host=URL, on_error=failed, **SETTINGS)
    ready()
    for index in range(3):
        client.track("user-1", TYPE, {"index": index}, message_id=message_id(index))
    client.track("user-1", TOO_LONG)
    client.flush()
    client.join()


def posthog():
    from posthog import Posthog

    client = Posthog(KEY, host=URL, on_error=failed, **SETTINGS)
    ready()
    for index in range(3):
        client.capture(TYPE, distinct_id="user-1", properties={"index": index})
    client.capture(TOO_LONG, distinct_id="user-1")
    client.flush(timeout_seconds=None)
    client.shutdown()


def cloudevents():
    import requests
    from cloudevents.v1.conversion import to_binary, to_structured
    from cloudevents.v1.http import CloudEvent

    answers = []
    ready()
    for index, convert in enumerate([to_binary, to_structured]):
        attributes = {"type": TYPE, "source": "/tests", "id": message_id(index)}
        # The SDK makes a request, and its caller sends it.
        headers, body = convert(CloudEvent(attributes, {"index": index, "userId": "user-1"}))
        headers["authorization"] = f"Bearer {KEY}"
        answers += again(lambda: requests.post(f"{URL}/cloudevents", data=body, headers=headers, timeout=30))
    return {"answers": answers}


def standardwebhooks():
    from datetime import datetime, timezone

    import requests
    from standardwebhooks import Webhook

    ready()
    data = {"index": 0, "userId": "user-1"}
    body = json.dumps({"type": TYPE, "timestamp": datetime.now(timezone.utc).isoformat(), "data": data})

    def post():
        now = datetime.now(timezone.utc)
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id(0),
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(KEY).sign(message_id(0), now, body),
        }
        return requests.post(f"{URL}/webhooks/tests", data=body, headers=headers, timeout=30)

    return {"answers": again(post)}


def opentelemetry():
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult

    resend = SETTINGS.get("resend")

    class Exporter(OTLPLogExporter):
        """Notes failed exports. With `resend`, it sends them again until a deadline, which no setting of the SDK does."""

        def export(self, batch):
            end = time.monotonic() + (resend["within"] if resend else 0) / 1000
            while (result := super().export(batch)) is not LogRecordExportResult.SUCCESS:
                failed(result, batch)
                if time.monotonic() >= end:
                    break
                time.sleep(resend["pause"] / 1000)
            return result

    exporter = Exporter(f"{URL}/v1/logs", headers={"authorization": f"Bearer {KEY}"})
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("tests")
    ready()
    for index in range(512):
        logger.emit(
            LogRecord(
                body="done",
                severity_number=SeverityNumber.INFO,
                event_name=TOO_LONG if index == 7 else TYPE,
                attributes={"user.id": f"user-{index % 2}", "index": index},
            )
        )
    provider.force_flush()
    provider.shutdown()


# The SDKs log their failures to standard error, which a test shows only if it fails.
told = {
    "segment": segment,
    "rudderstack": rudderstack,
    "posthog": posthog,
    "cloudevents": cloudevents,
    "opentelemetry": opentelemetry,
    "standardwebhooks": standardwebhooks,
}[SDK]()
print(json.dumps(told or {"failed": FAILED}))
