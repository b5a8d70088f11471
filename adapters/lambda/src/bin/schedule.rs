//! The function that compacts rollups, and takes in what the stream's mapping has given up: needs `dynamodb:Query`,
//! `dynamodb:PutItem` and `dynamodb:DeleteItem` on the table of rollups, and `sqs:SendMessage` on the dead-letter queue; and its event
//! source mapping `sqs:ReceiveMessage`, `sqs:DeleteMessage` and `sqs:GetQueueAttributes` on the queue of what was given up.

fn main() -> Result<(), lambda_runtime::Error> {
    isotherm_lambda::schedule()
}
