use super::*;

/// A table of items whose key is a number, with a stream.
pub(crate) fn table() -> Database {
    let database = Database::memory().unwrap();
    let table = json!({
        "TableName": "items",
        "KeySchema": [{ "AttributeName": "n", "KeyType": "HASH" }],
        "AttributeDefinitions": [{ "AttributeName": "n", "AttributeType": "N" }],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_IMAGE" },
    });
    database.create_table(serde_json::from_value(table).unwrap()).unwrap();
    database
}

pub(crate) fn put(database: &Database, n: u64) {
    let put = json!({ "TableName": "items", "Item": { "n": { "N": n.to_string() } } });
    database.put_item(serde_json::from_value(put).unwrap()).unwrap();
}

/// A stream that begins with one shard and reads the table at every call, with its table and its data folder.
fn stream(settings: StreamSettings) -> (Stream, Database, tempfile::TempDir) {
    let (database, data) = (table(), tempfile::tempdir().unwrap());
    let settings = StreamSettings { shards: 1, most: 1, poll: Duration::ZERO, ..settings };
    let stream = Stream::open(database.clone(), "items", data.path().join("shards.json"), settings).unwrap();
    (stream, database, data)
}

fn numbers(read: &Read) -> Vec<Value> {
    read.records.iter().map(|record| serde_json::to_value(&record.dynamodb.keys).unwrap()["n"]["N"].clone()).collect()
}

#[test]
fn a_shard_that_is_behind_gives_no_record_of_its_children() {
    let (stream, database, _data) = stream(StreamSettings::default());
    (0..3).for_each(|n| put(&database, n));
    let id = stream.shards()[0].id.clone();
    let read_to = stream.read(&id, 0, 10).unwrap().to;
    let shard = stream.shards()[0].clone();
    // The shard may close now, before it is read.
    (3..6).for_each(|n| put(&database, n));
    let read = stream.read_behind(&shard, 0, 10, read_to, now_ms()).unwrap();
    assert_eq!((numbers(&read), read.to, read.is_end), (vec!["0".into(), "1".into(), "2".into()], read_to, false));
}

#[test]
fn a_record_is_forgotten_after_the_retention() {
    let (stream, database, _data) =
        stream(StreamSettings { retention: Duration::from_secs(1), ..StreamSettings::default() });
    (0..3).for_each(|n| put(&database, n));
    let shard = stream.shards()[0].clone();
    assert_eq!(stream.read(&shard.id, 0, 10).unwrap().records.len(), 3);
    std::thread::sleep(Duration::from_millis(2100));
    put(&database, 3);
    let read = stream.read(&shard.id, 0, 10).unwrap();
    let behind = stream.read_behind(&shard, 0, 10, read.to, read.at).unwrap();
    assert_eq!((numbers(&read), numbers(&behind)), (vec!["3".into()], vec!["3".into()]));
}

#[test]
fn only_so_many_bytes_are_kept_in_memory() {
    let (stream, _database, _data) = stream(StreamSettings::default());
    let large = |place| {
        let mut record = Record::default();
        record.dynamodb.size_bytes = 400 * 1024;
        Placed { place, hash: 0, record: Arc::new(record) }
    };
    let mut state = stream.state();
    state.remember((1..=100).map(large).collect());
    assert_eq!((state.recent.len(), state.recent_after, state.read_to), (81, 19, 100));
    assert!(state.recent_bytes <= RECENT_BYTES);
    state.remember(vec![large(101)]);
    assert_eq!((state.recent.len(), state.recent_after, state.read_to), (81, 20, 101));
}

#[test]
fn a_description_is_of_the_moment_though_nobody_reads() {
    let (stream, _database, _data) = stream(StreamSettings { life: Duration::from_millis(1), ..Default::default() });
    std::thread::sleep(Duration::from_millis(5));
    let described = stream.describe(None).unwrap();
    let shards = described["StreamDescription"]["Shards"].as_array().unwrap();
    assert!(shards[0]["SequenceNumberRange"]["EndingSequenceNumber"].is_string(), "{described}");
    assert_eq!(shards[1]["ParentShardId"], shards[0]["ShardId"]);
}

#[test]
fn a_forgotten_shard_is_at_its_end() {
    let moment = Duration::from_millis(1);
    let (stream, _database, _data) =
        stream(StreamSettings { life: moment, retention: moment, ..StreamSettings::default() });
    let id = stream.shards()[0].id.clone();
    let started = std::time::Instant::now();
    while stream.shards().iter().any(|shard| shard.id == id) {
        assert!(started.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(2));
        stream.read(&id, 0, 10).unwrap();
    }
    let read = stream.read(&id, 7, 10).unwrap();
    assert_eq!((read.records.len(), read.to, read.is_end), (0, 7, true));
}
