//! The function that takes in what a queue holds: needs `dynamodb:PutItem` on the table of events, and its event source
//! mapping `sqs:ReceiveMessage`, `sqs:DeleteMessage` and `sqs:GetQueueAttributes` on the queue.

fn main() -> Result<(), lambda_runtime::Error> {
    isotherm_lambda::drain()
}
