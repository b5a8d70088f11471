// The ingest function of the article, written anew in its shape: what a user would have without Isotherm.
// Both clients are made when the module is loaded, and each event is put to DynamoDB and to S3 at once.
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { DynamoDBDocumentClient, PutCommand } from "@aws-sdk/lib-dynamodb";

const dynamodb = DynamoDBDocumentClient.from(new DynamoDBClient({}));
// Buckets are folders of the path where S3 is on this machine.
const s3 = new S3Client({ forcePathStyle: true });
const { ISOTHERM_TABLE: table, ISOTHERM_BACKUP_BUCKET: bucket } = process.env;
const DAYS_KEPT = 90;

function answer(statusCode, body) {
  return { statusCode, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

/** What is wrong with an event, or nothing. */
function problem({ userId, eventType, properties }) {
  if (!userId) return "userId is required";
  if (!eventType) return "eventType is required";
  if (typeof properties !== "object" || properties === null || Array.isArray(properties)) {
    return "properties must be an object";
  }
  return undefined;
}

/** `evt_<ms>_<9 base-36 digits>`. */
function newId(ms) {
  return `evt_${ms}_${Math.random().toString(36).slice(2, 11).padEnd(9, "0")}`;
}

export async function handler(request) {
  let event;
  try {
    event = JSON.parse(request.isBase64Encoded ? Buffer.from(request.body, "base64").toString() : request.body);
  } catch {
    return answer(400, { error: "the body is no JSON" });
  }
  const wrong = problem(event ?? {});
  if (wrong) return answer(400, { error: wrong });
  const now = new Date();
  const eventId = newId(now.getTime());
  const stored = { ...event, eventId, timestamp: event.timestamp ?? now.toISOString(), receivedAt: now.toISOString() };
  const ttl = Math.floor(now.getTime() / 1000) + DAYS_KEPT * 24 * 60 * 60;
  await Promise.all([
    dynamodb.send(new PutCommand({ TableName: table, Item: { pk: eventId, ...stored, ttl } })),
    s3.send(
      new PutObjectCommand({
        Bucket: bucket,
        Key: `events/${stored.receivedAt.slice(0, 10)}/${eventId}.json`,
        Body: JSON.stringify(stored),
        ContentType: "application/json",
      }),
    ),
  ]);
  return answer(202, { eventId, message: "Event accepted" });
}
