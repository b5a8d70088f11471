"""Sends events with an SDK for Python, as its registry has it: `send.py SDK URL KEY RUN`."""

import logging
import sys
import uuid

SDK, URL, KEY, RUN = sys.argv[1:]
TYPE = f"{SDK} {RUN}"
TOO_LONG = "x" * 201


def message_id(index):
    return f"{SDK} {index} {RUN}"


def fail(error, batch):
    logging.error("%s: %s", SDK, error)
    sys.exit(1)


def segment():
    from segment.analytics.client import Client

    client = Client(KEY, host=URL, on_error=fail, upload_interval=0.2)
    for index in range(3):
        client.track("user-1", TYPE, {"index": index}, message_id=message_id(index))
    client.track("user-1", TOO_LONG)
    client.flush()
    client.join()


def rudderstack():
    from rudderstack.analytics.client import Client

    client = Client(KEY, host=URL, on_error=fail, upload_interval=0.2)
    for index in range(3):
        client.track("user-1", TYPE, {"index": index}, message_id=message_id(index))
    client.track("user-1", TOO_LONG)
    client.flush()
    client.join()


def posthog():
    from posthog import Posthog

    client = Posthog(KEY, host=URL, on_error=fail, flush_interval=0.2, gzip=True)
    for index in range(3):
        client.capture(TYPE, distinct_id="user-1", properties={"index": index}, uuid=str(uuid.uuid4()))
    client.capture(TOO_LONG, distinct_id="user-1")
    client.flush()
    client.shutdown()


def cloudevents():
    import requests
    from cloudevents.v1.conversion import to_binary, to_structured
    from cloudevents.v1.http import CloudEvent

    for index, convert in enumerate([to_binary, to_structured]):
        attributes = {"type": TYPE, "source": "/tests", "id": message_id(index)}
        headers, body = convert(CloudEvent(attributes, {"index": index, "userId": "user-1"}))
        headers["authorization"] = f"Bearer {KEY}"
        answer = requests.post(f"{URL}/cloudevents", data=body, headers=headers, timeout=30)
        answer.raise_for_status()
        assert answer.json()["accepted"] == 1, answer.text


def standardwebhooks():
    import json
    from datetime import datetime, timezone

    import requests
    from standardwebhooks import Webhook

    now = datetime.now(timezone.utc)
    body = json.dumps({"type": TYPE, "timestamp": now.isoformat(), "data": {"index": 0, "userId": "user-1"}})
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id(0),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(KEY).sign(message_id(0), now, body),
    }
    requests.post(f"{URL}/webhooks/tests", data=body, headers=headers, timeout=30).raise_for_status()


def opentelemetry():
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    exporter = OTLPLogExporter(f"{URL}/v1/logs", headers={"authorization": f"Bearer {KEY}"}, timeout=60)
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter, schedule_delay_millis=60_000, max_export_batch_size=512))
    logger = provider.get_logger("tests")
    for index in range(512):
        logger.emit(
            LogRecord(
                body="done",
                severity_number=SeverityNumber.INFO,
                event_name=TOO_LONG if index == 7 else TYPE,
                attributes={"user.id": f"user-{index % 2}", "index": index},
            )
        )
    provider.force_flush(60_000)
    provider.shutdown()


{
    "analytics-python": segment,
    "rudder-sdk-python": rudderstack,
    "posthog-python": posthog,
    "cloudevents-python": cloudevents,
    "opentelemetry-python": opentelemetry,
    "standardwebhooks-python": standardwebhooks,
}[SDK]()
