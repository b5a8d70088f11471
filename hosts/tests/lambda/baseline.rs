//! The baseline in Node.js. Isotherm is compared with it, so it must do its work.

use super::*;

/// An item of the table of events, as DynamoDB stores it.
fn item(data: &Path, id: &str) -> Value {
    let database = dynoxide::Database::new(data.join("dynamodb.sqlite").to_str().unwrap()).unwrap();
    let request = json!({ "TableName": "events", "Key": { "pk": { "S": id } } });
    let found = database.get_item(serde_json::from_value(request).unwrap()).unwrap();
    serde_json::to_value(found.item.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_put_to_dynamodb_and_to_s3() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&built("baseline", "lambda"), Some(data.path())).await;
    let event = json!({ "userId": "u", "eventType": "click", "properties": { "n": 7 }, "messageId": "m" });
    let answer = send_event(host.url(), event.clone()).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    let id = answer.json()["eventId"].as_str().unwrap().to_owned();
    let [name, ms, random] = *id.split('_').collect::<Vec<_>>() else { panic!("{id}") };
    assert!(name == "evt" && ms.parse::<u64>().is_ok() && random.len() == 9, "{id}");
    // The function checks three fields, and does not detect repetitions.
    for wrong in [json!({ "eventType": "t", "properties": {} }), json!({ "userId": "u", "eventType": "t" })] {
        assert_eq!(send_event(host.url(), wrong).await.status, 400);
    }
    assert_ne!(send_event(host.url(), event).await.json()["eventId"], id);
    let meters = host.meters().await.unwrap();
    assert_eq!((meters.events_stored, meters.operations("events/put"), meters.objects), (2, 2, 2));
    assert_eq!(meters.functions.keys().collect::<Vec<_>>(), ["ingest"]);
    assert_eq!(meters.functions["ingest"].count, 4);
    host.stop().await.unwrap();

    let item = item(data.path(), &id);
    assert_eq!((&item["userId"], &item["properties"]), (&json!({ "S": "u" }), &json!({ "M": { "n": { "N": "7" } } })));
    let seconds: u64 = item["ttl"]["N"].as_str().unwrap().parse().unwrap();
    assert_eq!(seconds, ms.parse::<u64>().unwrap() / 1000 + 90 * 24 * 60 * 60);
    let day = &item["receivedAt"]["S"].as_str().unwrap()[..10];
    let object = std::fs::read(data.path().join(format!("backup/events/events/{day}/{id}.json"))).unwrap();
    let object: Value = serde_json::from_slice(&object).unwrap();
    assert_eq!((&object["eventId"], &object["properties"]), (&json!(id), &json!({ "n": 7 })));
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_to_functions_that_the_artifact_lacks_are_not_found() {
    let host = start(&built("baseline", "lambda"), None).await;
    for (method, path) in
        [("GET", "/events/evt_1"), ("GET", "/reports/summary"), ("POST", "/queue/events"), ("GET", "/readyz")]
    {
        let answer = send(&host.url(), method, path, &[], "").await;
        assert_eq!((answer.status, answer.json()), (404, json!({ "message": "Not Found" })), "{method} {path}");
    }
    host.stop().await.unwrap();
}
