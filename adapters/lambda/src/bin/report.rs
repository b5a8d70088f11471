//! The function that answers reports: needs `dynamodb:Query` on the table of rollups.

fn main() -> Result<(), lambda_runtime::Error> {
    isotherm_lambda::run()
}
