//! The function that compacts rollups: needs `dynamodb:Query`, `dynamodb:PutItem` and
//! `dynamodb:DeleteItem` on the table of rollups.

fn main() -> Result<(), lambda_runtime::Error> {
    isotherm_lambda::schedule()
}
