//! The function that folds events into rollups: needs `dynamodb:GetItem`, `dynamodb:Query` and `dynamodb:PutItem` on the
//! table of rollups, and its event source mapping `dynamodb:DescribeStream`, `dynamodb:GetRecords` and
//! `dynamodb:GetShardIterator` on the stream of the table of events, and `dynamodb:ListStreams`.

fn main() -> Result<(), lambda_runtime::Error> {
    isotherm_lambda::aggregate()
}
