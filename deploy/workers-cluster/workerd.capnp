# workerd's configuration for an instance of a cluster. Beside this file are:
#   index.js, index_bg.wasm     the bundle: target/artifacts/release/workers
#   secrets/config.json         Isotherm's configuration: docs/configuration.md
#   secrets/cluster-key         by what instances know each other: `openssl rand -hex 32`
# The bucket's endpoint, region and account are in AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
# --cluster-advertise HOST:PORT names the address at which the other instances reach this one.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    ( name = "isotherm",
      worker = (
        # The same date as in deploy/workers/wrangler.toml.
        compatibilityDate = "2026-11-01",
        modules = [
          (name = "index.js", esModule = embed "index.js"),
          (name = "./index_bg.wasm", wasm = embed "index_bg.wasm"),
        ],
        bindings = [
          (name = "SHARDS", durableObjectNamespace = (className = "Shard", serviceName = "isotherm")),
          (name = "ISOTHERM_CONFIG", text = embed "secrets/config.json"),
        ],
        globalOutbound = "nowhere",
        durableObjectNamespaces = [(className = "Shard", uniqueKey = "isotherm-shard", enableSql = true)],
        durableObjectStorage = (localDisk = "data")
      )
    ),
    # This instance's own disk. It is a cache: the bucket has every object, too.
    (name = "data", disk = (path = "/data", writable = true)),
    (name = "nowhere", network = (allow = [])),
  ],
  sockets = [(name = "http", address = "*:8080", http = (), service = "isotherm")],
  cluster = (
    # A bucket whose PUT knows If-None-Match and If-Match. Nothing else may write below this prefix.
    bucket = "s3://isotherm-cluster/workerd",
    address = "0.0.0.0:7000",
    key = embed "secrets/cluster-key",
    # Shorter than the grace period of compose.yaml and kubernetes.yaml.
    stopTimeoutMs = 8000,
  ),
);
