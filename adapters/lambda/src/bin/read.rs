//! The function that gives events back, and that API Gateway asks about the keys of requests for the queue: needs `dynamodb:GetItem` on the table of events.

fn main() -> Result<(), lambda_runtime::Error> {
    isotherm_lambda::run()
}
