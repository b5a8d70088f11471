//! Isotherm on AWS Lambda, with its events and rollups in DynamoDB.
//!
//! One program, `bootstrap`, is every function. The handler's name selects the function, which starts only what it
//! needs.
//!
//! | handler | takes | does |
//! | --- | --- | --- |
//! | `ingest` | HTTP requests | takes events in, answers what pages ask for before they send events |
//! | `drain` | messages of an SQS queue | takes in events of requests that API Gateway has put into the queue |
//! | `aggregate` | batches of the event table's stream | backs events up in S3, folds them into rollups, sends other records to a dead-letter queue |
//! | `read` | HTTP requests | gives events back; tells the gateway which key a request for the queue has |
//! | `report` | HTTP requests | answers reports |
//! | `schedule` | EventBridge's scheduled events | compacts hours to days, forgets shards that have ended |
//! | | messages of the stream's on-failure destination | notes the times that reports miss, sends the message on to the dead-letter queue |
//!
//! HTTP requests are events of API Gateway (payload 2.0 and 1.0) and of Function URLs. Every function for HTTP
//! requests answers every route. `deploy/lambda/template.yaml` decides which routes reach which function. It also
//! gives each function a role of its own, which limits what the function may do.

mod authorizer;
mod aws;
mod backup;
mod compaction;
mod config;
mod dead_letters;
mod entry;
mod failure;
mod lost;
mod moved;
mod put;
mod queue;
mod request;
mod response;
mod rollups;
mod shapes;
mod shards;
mod store;
mod stream;
mod watch;

pub use entry::run;
