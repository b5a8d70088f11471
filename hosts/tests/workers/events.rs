//! workerd's own queue and scheduled events, within one process. The host of this crate replaces them by a call.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::cron::accepted_long_ago;
use super::services::{count, numbered, until};
use super::*;

const CONFIG: &str = r#"using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    ( name = "artifact",
      worker = (
        compatibilityDate = "2026-11-01",
        modules = [
          (name = "index.js", esModule = embed "index.js"),
          (name = "./index_bg.wasm", wasm = embed "index_bg.wasm"),
        ],
        bindings = [
          (name = "SHARDS", durableObjectNamespace = (className = "Shard", serviceName = "artifact")),
          (name = "ISOTHERM_CONFIG", text = "{\"open\": true}"),
        ],
        durableObjectNamespaces = [(className = "Shard", uniqueKey = "isotherm-shard", enableSql = true)],
        durableObjectStorage = (localDisk = "data")
      )
    ),
    ( name = "queues",
      worker = (
        compatibilityDate = "2026-11-01",
        compatibilityFlags = ["service_binding_extra_handlers"],
        modules = [(name = "queues.js", bundled = "/workerd/queues.js")],
        durableObjectNamespaces = [(className = "QueueShard", uniqueKey = "queues", enableSql = true)],
        durableObjectStorage = (localDisk = "data"),
        bindings = [
          (name = "SHARD", durableObjectNamespace = (className = "QueueShard", serviceName = "queues")),
          (name = "CONSUMERS", json =
            "{\"q\": {\"consumer\": \"ARTIFACT\", \"maxBatchTimeout\": 0, \"maxRetries\": 2, \"deadLetterQueue\": \"dead\"}}"),
          (name = "ARTIFACT", service = "artifact"),
        ]
      )
    ),
    ( name = "cron",
      worker = (
        compatibilityDate = "2026-11-01",
        compatibilityFlags = ["service_binding_extra_handlers"],
        modules = [(name = "cron.js", bundled = "/workerd/cron.js")],
        durableObjectNamespaces = [(className = "Schedule", uniqueKey = "cron", enableSql = true)],
        durableObjectStorage = (localDisk = "data"),
        bindings = [
          (name = "SCHEDULE", durableObjectNamespace = (className = "Schedule", serviceName = "cron")),
          (name = "CRONS", json = "{\"EVENTS\": [\"17 * * * *\"]}"),
          (name = "EVENTS", service = "artifact"),
          (name = "TEST_CLOCK", json = "true"),
        ]
      )
    ),
    (name = "data", disk = (writable = true)),
  ],
  sockets = [
    (name = "artifact", address = "127.0.0.1:0", http = (), service = "artifact"),
    (name = "queue", address = "127.0.0.1:0", http = (), service = (name = "queues", props = (json = "{\"queue\": \"q\"}"))),
    (name = "dead", address = "127.0.0.1:0", http = (), service = (name = "queues", props = (json = "{\"queue\": \"dead\"}"))),
    (name = "cron", address = "127.0.0.1:0", http = (), service = "cron"),
  ]
);
"#;

fn workerd(artifact: &Path) -> PathBuf {
    let package = if cfg!(target_arch = "aarch64") { "workerd-linux-arm64" } else { "workerd-linux-64" };
    let installed = artifact.join("../../../tools/npm/node_modules/@cloudflare").join(package).join("bin/workerd");
    std::env::var_os("ISOTHERM_WORKERD").map_or(installed, PathBuf::from)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_artifact_takes_workerd_s_own_events() {
    let artifact = built("test", "workers").canonicalize().unwrap();
    let (_turn, folder, data) = (beside().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("workerd.capnp"), CONFIG).unwrap();
    for file in ["index.js", "index_bg.wasm"] {
        std::fs::copy(artifact.join(file), folder.path().join(file)).unwrap();
    }
    let mut process = tokio::process::Command::new(workerd(&artifact))
        .args(["serve", "workerd.capnp", "--experimental", "--control-fd=1", "--directory-path"])
        .arg(format!("data={}", data.path().display()))
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut urls = Vec::new();
    for _ in 0..4 {
        let listening: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        urls.push(format!("http://127.0.0.1:{}", listening["port"]));
    }
    let [artifact, queue, dead, cron] = urls.try_into().unwrap();

    // One message as JSON, one as text, and one that is not an event.
    let message = |event: Value| json!({ "contentType": "application/json", "body": event.to_string() }).to_string();
    for (format, event) in [("json", numbered(0)), ("text", numbered(1)), ("json", json!({}))] {
        let answer = send(&queue, "POST", "/message", &[("x-msg-fmt", format)], message(event)).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
    }
    until("both events are counted", async || count(&artifact).await == 2).await;
    let backlog = async |queue: &str| send_as(queue, "GET", "/metrics", "", "").await.json()["backlogCount"].as_u64();
    until("the third message is a dead letter", async || backlog(&dead).await == Some(1)).await;
    until("nothing else is left", async || backlog(&queue).await == Some(0)).await;

    let old = accepted_long_ago(&artifact, 2..10).await;
    until("the trigger has what has expired forgotten", async || {
        // An event stays until it is folded, whatever the clock says. So the trigger fires hour after hour.
        let clock = send_as(&cron, "POST", "/clock?advance=0", "", "").await.json();
        let wait = clock["at"]["EVENTS"].as_i64().unwrap() - clock["now"].as_i64().unwrap();
        send_as(&cron, "POST", &format!("/clock?advance={}", (wait - 200).max(0)), "", "").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let path = format!("/events/{}", old[0]);
        send_as(&artifact, "GET", &path, "", "").await.status == 404
    })
    .await;
    assert_eq!(count(&artifact).await, 10);
    process.kill().await.unwrap();
}
