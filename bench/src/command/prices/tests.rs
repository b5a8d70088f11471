//! Worked bills of the providers and of people's invoices, and the list of prices.

use super::*;

/// A month as AWS counts it: 730 hours.
const SECONDS: f64 = 730.0 * 3600.0;

#[track_caller]
fn cents(id: &str, units: f64, free_tier: bool) -> i64 {
    let book = Book::own().unwrap();
    let price = book.price(id, "2026-11-20".parse().unwrap()).unwrap();
    (price.usd(units, free_tier) * 100.0).round() as i64
}

/// A worked bill that somebody published.
struct Bill {
    /// Where it stands, and when it was read.
    source: &'static str,
    /// True if free units are taken off.
    free_tier: bool,
    /// Each line: what was used, and its cents.
    lines: &'static [(&'static str, f64, i64)],
    cents: i64,
}

const WORKERS: &str =
    "developers.cloudflare.com/workers/platform/pricing, Example pricing, a stored copy read on 2026-11-28";
const LOGS: &str = "developers.cloudflare.com/workers/observability/logs/workers-logs, Example pricing, a stored copy read on 2026-11-28";
const OBJECTS: &str = "developers.cloudflare.com/durable-objects/platform/pricing, Compute billing examples, a stored copy read on 2026-11-28";
const R2: &str = "developers.cloudflare.com/r2/pricing, R2 billing examples, a stored copy read on 2026-11-28";
const QUEUES: &str = "developers.cloudflare.com/queues/platform/pricing, Examples, a stored copy read on 2026-11-28";
const PIPELINES: &str =
    "developers.cloudflare.com/pipelines/platform/pricing, Billing examples, a stored copy read on 2026-11-28";
const LAMBDA: &str = "aws.amazon.com/lambda/pricing, a stored copy read on 2026-11-28";
const GATEWAY: &str = "aws.amazon.com/api-gateway/pricing, pricing examples: their numbers as third parties have them, 2025-05 and 2026-09";

const BILLS: &[Bill] = &[
    Bill {
        source: WORKERS,
        free_tier: false,
        lines: &[("workers-plan", 1.0, 500), ("workers-request", 15e6, 150), ("workers-cpu", 15e6 * 7.0, 150)],
        cents: 800,
    },
    // 12 of 15 million requests are for static files, which are free.
    Bill {
        source: WORKERS,
        free_tier: false,
        lines: &[("workers-plan", 1.0, 500), ("workers-request", 3e6, 0), ("workers-cpu", 3e6 * 7.0, 0)],
        cents: 500,
    },
    Bill {
        source: WORKERS,
        free_tier: false,
        lines: &[("workers-plan", 1.0, 500), ("workers-request", 720.0, 0), ("workers-cpu", 720.0 * 180_000.0, 199)],
        cents: 699,
    },
    Bill {
        source: WORKERS,
        free_tier: false,
        lines: &[("workers-plan", 1.0, 500), ("workers-request", 100e6, 2700), ("workers-cpu", 100e6 * 7.0, 1340)],
        cents: 4540,
    },
    Bill { source: LOGS, free_tier: false, lines: &[("workers-logs", 15e6 * 2.0, 600)], cents: 600 },
    Bill { source: LOGS, free_tier: false, lines: &[("workers-logs", 1e9 * 2.0 * 0.1, 10_800)], cents: 10_800 },
    Bill {
        source: OBJECTS,
        free_tier: false,
        lines: &[
            ("workers-plan", 1.0, 500),
            ("durable-objects-request", 1.5e6, 15),
            ("durable-objects-duration", 128_000.0, 0),
        ],
        cents: 515,
    },
    // 20 messages of a WebSocket are one request.
    Bill {
        source: OBJECTS,
        free_tier: false,
        lines: &[
            ("workers-plan", 1.0, 500),
            ("durable-objects-request", 150_000.0 + 72e6 / 20.0, 45),
            ("durable-objects-duration", 11_059_200.0, 13_750),
        ],
        cents: 14_295,
    },
    Bill {
        source: OBJECTS,
        free_tier: false,
        lines: &[
            ("workers-plan", 1.0, 500),
            ("durable-objects-request", 100.0 + 259.2e6 / 20.0, 180),
            ("durable-objects-duration", 33_177_600.0, 41_250),
        ],
        cents: 41_930,
    },
    Bill {
        source: OBJECTS,
        free_tier: false,
        lines: &[
            ("workers-plan", 1.0, 500),
            ("durable-objects-request", 10_000.0 + 432e6 / 20.0, 315),
            ("durable-objects-duration", 552_960.0, 1250),
        ],
        cents: 2065,
    },
    Bill {
        source: R2,
        free_tier: true,
        lines: &[("r2-storage", 1000.0, 1485), ("r2-class-a", 1000.0, 0), ("r2-class-b", 1e6, 0)],
        cents: 1485,
    },
    Bill {
        source: R2,
        free_tier: true,
        lines: &[("r2-storage", 10.0, 0), ("r2-class-a", 100_000.0, 0), ("r2-class-b", 300e6, 10_440)],
        cents: 10_440,
    },
    Bill { source: QUEUES, free_tier: false, lines: &[("queues-operation", 3.0 * 30e6, 3560)], cents: 3560 },
    // Messages of 127 KB are two units each.
    Bill { source: QUEUES, free_tier: false, lines: &[("queues-operation", 2.0 * 3.0 * 100e6, 23_960)], cents: 23_960 },
    Bill {
        source: PIPELINES,
        free_tier: false,
        lines: &[("pipelines-transform", 500.0, 1800), ("pipelines-iceberg", 300.0, 1500)],
        cents: 3300,
    },
    // 3 million requests of 120 ms with 1,536 MB.
    Bill {
        source: LAMBDA,
        free_tier: true,
        lines: &[("lambda-request", 3e6, 40), ("lambda-duration-x86", 3e6 * 0.12 * 1.5, 233)],
        cents: 273,
    },
    Bill {
        source: LAMBDA,
        free_tier: false,
        lines: &[("lambda-request", 7.44e6, 149), ("lambda-duration-x86", 7.44e6 * 2.0, 24_800)],
        cents: 24_949,
    },
    // 4,096 MB, and 2,048 MB of temporary storage.
    Bill {
        source: LAMBDA,
        free_tier: true,
        lines: &[
            ("lambda-request", 6e6, 100),
            ("lambda-duration-x86", 6e6 * 0.28 * 4.0, 10_533),
            ("lambda-temporary-storage", 6e6 * 0.28 * 1.5, 8),
        ],
        cents: 10_641,
    },
    // 100 instances held for 8 hours, and 500,000 requests that they answered.
    Bill {
        source: LAMBDA,
        free_tier: true,
        lines: &[
            ("lambda-request", 3e6, 40),
            ("lambda-provisioned-x86", 150.0 * 8.0 * 3600.0, 1800),
            ("lambda-provisioned-duration-x86", 500_000.0 * 0.1 * 1.5, 73),
            ("lambda-duration-x86", 2.5e6 * 0.12 * 1.5, 83),
        ],
        cents: 1996,
    },
    Bill {
        source: LAMBDA,
        free_tier: false,
        lines: &[
            ("lambda-request", 2e6, 40),
            ("lambda-provisioned-x86", 28.0 * 24.0 * 3600.0, 1008),
            ("lambda-provisioned-duration-x86", 2e6 * 0.28 * 4.0, 2178),
        ],
        cents: 3226,
    },
    // 300 million at 1.00, 132 million at 0.90.
    Bill { source: GATEWAY, free_tier: false, lines: &[("http-api-request", 432e6, 41_880)], cents: 41_880 },
    Bill { source: GATEWAY, free_tier: false, lines: &[("http-api-request", 216e6, 21_600)], cents: 21_600 },
    // 5 million answers of 3 KB.
    Bill {
        source: GATEWAY,
        free_tier: false,
        lines: &[("rest-api-request", 5e6, 1750), ("aws-egress", 5e6 * 3.0 / 1024.0 / 1024.0, 129)],
        cents: 1879,
    },
    Bill {
        source: "a LinkedIn article, Amazon DynamoDB Pricing Explained, a stored copy read on 2026-11-28",
        free_tier: true,
        lines: &[("dynamodb-write", 650_000.0, 41), ("dynamodb-read", 550_000.0, 7), ("dynamodb-storage", 25.0, 0)],
        cents: 48,
    },
    Bill {
        source: "the same article: 100 units of each for 720 hours",
        free_tier: false,
        lines: &[
            ("dynamodb-provisioned-write", 100.0 * 720.0, 4680),
            ("dynamodb-provisioned-read", 100.0 * 720.0, 936),
        ],
        cents: 5616,
    },
    Bill {
        source: "a forecast of somebody's bill, 2019-04-20: github.com/siutsin/telegram-jung2-bot/issues/83",
        free_tier: false,
        lines: &[
            ("dynamodb-provisioned-read", (2.5 + 4.5) * 720.0, 66),
            ("dynamodb-provisioned-write", (9.0 + 9.0) * 720.0, 842),
        ],
        cents: 908,
    },
    // All of it is free. Its free requests of API Gateway are no longer given.
    Bill {
        source: "an invoice of the project Hy for 2021-11, us-east-2: github.com/hylang/hy/files/7528529/billing.pdf",
        free_tier: true,
        lines: &[
            ("lambda-request", 4436.0, 0),
            ("lambda-duration-x86", 441.546, 0),
            ("cloudwatch-logs", 0.005, 0),
            ("cloudwatch-logs-storage", 0.034, 0),
            ("aws-egress", 0.000_156, 0),
        ],
        cents: 0,
    },
];

/// Worked bills of the providers, and people's invoices.
#[test]
fn published_bills_come_out_to_the_cent() {
    for Bill { source, free_tier, lines, cents: total } in BILLS {
        for (id, units, expect) in *lines {
            assert_eq!(cents(id, *units, *free_tier), *expect, "{units} of {id}: {source}");
        }
        // Providers add up what they have rounded, or round what they have added up.
        let sum: i64 = lines.iter().map(|(_, _, cents)| cents).sum();
        assert!((sum - total).abs() <= 1, "{sum} are not {total}: {source}");
    }
}

/// Examples of what one costs, not a whole bill.
#[test]
fn published_examples_come_out_to_the_cent() {
    // 1 M requests of 200 ms with 1 GB on Lambda cost 3.53.
    let lambda = [("lambda-request", 1e6), ("lambda-duration-x86", 1e6 * 0.2)];
    assert_eq!(lambda.map(|(id, units)| cents(id, units, false)), [20, 333]);
    // 5 provisioned instances with 1 GB cost about 55 for a month; with 512 MB about 27.
    assert_eq!(cents("lambda-provisioned-x86", 5.0 * SECONDS, false), 5475);
    assert_eq!(cents("lambda-provisioned-x86", 5.0 * 0.5 * SECONDS, false), 2738);
    // 3 t3.large cost this much without the load balancer, with which an article comes to about 850.
    assert_eq!(cents("node-t3-large", 3.0 * 730.0, false), 18_221);
    // With one that stands idle it is 198.64.
    assert_eq!(cents("load-balancer", 730.0, false), 1643);
    // A message of 127 KB is two operations of Queues, one of 65 KB too.
    let book = Book::own().unwrap();
    let queues = book.price("queues-operation", "2026-11-20".parse().unwrap()).unwrap();
    assert_eq!([63_000.0, 65_000.0, 127_000.0].map(|bytes| queues.units_of(bytes)), [1.0, 2.0, 2.0]);
}

#[test]
fn a_list_says_how_old_it_is() {
    let book = Book::own().unwrap();
    let (checked, on) = (book.checked().unwrap(), "2026-11-20".parse().unwrap());
    let list = List {
        checked,
        on,
        prices: vec![
            book.price("http-api-request", on).unwrap(),
            book.price("lambda-provisioned-duration-x86", on).unwrap(),
        ],
    };
    let listed = text(&list, "2026-12-15".parse().unwrap()).unwrap();
    assert!(listed.contains("on 2026-11-26, 19 days ago\n"), "{listed}");
    let words = "1.00, 0.90 above 300,000,000 per 1,000,000 × request of up to 512 KB\n";
    assert!(listed.contains(words), "{listed}");
    assert!(listed.contains("provisioned concurrency, x86  0.0000097222 per GB-second"), "{listed}");
    let listed = text(&list, "2027-03-26".parse().unwrap()).unwrap();
    assert!(listed.contains("120 days ago: old"), "{listed}");
}

#[test]
fn announced_changes_hold_from_their_day() {
    let book = Book::own().unwrap();
    assert!(book.price("workers-logs", "2026-11-30".parse().unwrap()).is_ok());
    assert!(book.price("workers-logs", "2026-12-01".parse().unwrap()).is_err());
    // Cloudflare's worked bill: 75 GB ingested and 20 GB-months stored cost 7.05.
    let usd = |id, units| book.price(id, "2026-12-01".parse().unwrap()).unwrap().usd(units, false);
    let [ingested, stored] = [usd("workers-observability-ingested", 75.0), usd("workers-observability-stored", 20.0)];
    assert_eq!([ingested, stored, ingested + stored].map(|usd| (usd * 100.0).round()), [625.0, 80.0, 705.0]);
    assert!(book.price("workers-observability-stored", "2026-11-30".parse().unwrap()).is_err());
}

/// Large bills, in whole USD: each tier counts for the units in it.
#[test]
fn each_tier_has_its_price() {
    for (id, units, usd) in [
        ("cloudwatch-logs", 61_440.0, 12_800),
        ("aws-egress", 110_000.0, 8_519),
        ("s3-storage", 600_000.0, 13_163),
        ("sqs-request", 300e9, 40_000 + 30_000 + 24_000),
    ] {
        assert_eq!((cents(id, units, false) + 50) / 100, usd, "{units} of {id}");
    }
}
