//! The function that folds events into rollups: needs `dynamodb:Query` and `dynamodb:PutItem` on the
//! table of rollups, `dynamodb:PutItem` on the table of events, `dynamodb:DescribeStream` on its stream, `s3:PutObject` on the objects of the bucket for the backup, and `sqs:SendMessage` on the dead-letter
//! queue; and its event source mapping `dynamodb:DescribeStream`, `dynamodb:GetRecords` and `dynamodb:GetShardIterator` on
//! the stream of the table of events, `dynamodb:ListStreams`, and `sqs:SendMessage` on its on-failure destination.

fn main() -> Result<(), lambda_runtime::Error> {
    isotherm_lambda::aggregate()
}
