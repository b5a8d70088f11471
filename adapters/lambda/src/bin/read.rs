//! The function that gives events back: needs `dynamodb:GetItem` on the table of events.

fn main() -> Result<(), lambda_runtime::Error> {
    isotherm_lambda::run()
}
