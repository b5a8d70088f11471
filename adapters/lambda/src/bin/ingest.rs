//! The function that takes events in: needs `dynamodb:PutItem` on the table of events.

fn main() -> Result<(), lambda_runtime::Error> {
    isotherm_lambda::run()
}
