//! Tests `isotherm prices --check` with excerpts of AWS's offer files and Cloudflare's pages.
#![allow(clippy::unwrap_used, reason = "what a helper of a test finds wrong fails the test")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder for changed excerpts.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A copy of an excerpt in which a text is replaced wherever it stands.
    fn changed(&self, excerpt: &str, old: &str, new: &str) -> PathBuf {
        let text = fs::read_to_string(excerpts().join(excerpt)).unwrap();
        assert!(text.contains(old), "{excerpt} has no {old}");
        self.file(excerpt, text.replace(old, new).as_bytes())
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

fn excerpts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/prices")
}

fn run(files: &[PathBuf], flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
    command.args(["prices", "--on", "2026-11-28"]).args(flags).arg("--check").args(files).output().unwrap()
}

/// Runs the comparison and returns its text, after checking the exit code.
#[track_caller]
fn check(files: &[PathBuf], code: i32) -> String {
    let output = run(files, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[track_caller]
fn check_refused(file: &Path, problem: &str) {
    let output = run(&[file.to_owned()], &[]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    let place = format!("isotherm: {}: ", file.display());
    assert!(error.starts_with(&place) && error.contains(problem), "{error}");
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn no_price_of_the_book_has_moved() {
    let all = fs::read_dir(excerpts()).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = all.filter(|path| !path.ends_with("README.md")).collect();
    all.sort();
    let text = check(&all, 0);
    assert!(text.contains("61 the same, 0 moved, 0 not found; 9 not in these files"), "{text}");
    let report: Value = serde_json::from_slice(&run(&all, &["--json"]).stdout).unwrap();
    // Nobody publishes these so that they can be read, or nobody has looked where they stand.
    assert_eq!(
        report["not_compared"],
        serde_json::json!([
            "lambda-managed-fee",
            "firehose-ingested",
            "akamai-request",
            "fermyon-plan",
            "t4g-surplus",
            "t3-surplus",
            "ebs-snapshot",
            "eks-cluster",
            "lke-control-plane"
        ])
    );
}

#[test]
fn a_moved_price_is_named_with_old_and_new() {
    let files = Files::new();
    let file = files.changed("AmazonDynamoDB.json", "\"0.0000006250\"", "\"0.0000007000\"");
    let text = check(std::slice::from_ref(&file), 3);
    let place = format!("{}: AmazonDynamoDB in us-east-1, published 2026-08-31T09:23:18Z\n", file.display());
    assert!(text.contains(&place), "{text}");
    assert!(text.contains("price above 0: 0.625 → 0.70 USD per 1,000,000 × write unit of 1 KB\n"), "{text}");
    assert!(text.contains("7 the same, 1 moved, 0 not found"), "{text}");

    let output = run(&[file], &["--json", "--platform", "lambda"]);
    assert_eq!(output.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let price = &report["files"][0]["prices"][0];
    assert_eq!((&price["id"], &price["status"]), (&"dynamodb-write".into(), &"moved".into()));
    let moved = serde_json::json!([{ "what": "usd", "above": 0.0, "was": 0.625, "is": 0.7 }]);
    assert_eq!(price["moves"], moved);
    assert!(!report["not_compared"].as_array().unwrap().contains(&"kv-read".into()));
}

#[test]
fn moved_tiers_and_free_units_are_named() {
    let files = Files::new();
    for (excerpt, old, new, words) in [
        ("AWSLambda.json", "6000000000", "5000000000", "the tier above 6,000,000,000 begins above 5,000,000,000"),
        (
            "AWSLambda.json",
            "0.0000150000",
            "0.0000140000",
            "price above 6,000,000,000: 0.000015 → 0.000014 USD per GB-second",
        ),
        ("AWSLambda.json", "\"1000000\"", "\"2000000\"", "free units: 1,000,000 → 2,000,000"),
        ("AmazonDynamoDB.json", "\"25\"", "\"30\"", "free units: 25 → 30"),
        ("workers.md", "10 million", "5 million", "included units: 10,000,000 → 5,000,000"),
        ("workers.md", "$0.30", "$0.35", "price above 0: 0.30 → 0.35 USD per 1,000,000 × request"),
        ("workers.md", "375 vCPU", "400 vCPU", "included units: 22,500 → 24,000"),
        ("r2.html", "10 GB-month / month", "15 GB-month / month", "free units: 10 → 15"),
        ("durable-objects.html", "First 50 million", "First 60 million", "included units: 50,000,000 → 60,000,000"),
    ] {
        let text = check(&[files.changed(excerpt, old, new)], 3);
        assert!(text.contains(words) && text.contains(", 1 moved, 0 not found"), "{words}: {text}");
    }
    let without_free = files.changed("AmazonDynamoDB.json", "\"0.0000000000\"", "\"0.2500000000\"");
    let text = check(&[without_free], 3);
    assert!(text.contains("free units: 25 → 0\n") && text.contains("free units: 18,600 → 0\n"), "{text}");
    let without_tier = files.changed("AmazonApiGateway.json", "USE1-ApiGatewayHttpRequest", "old");
    let tiers = fs::read_to_string(without_tier).unwrap();
    let tiers = tiers.replace("\"USE1-ApiGatewayRequest\"", "\"USE1-ApiGatewayHttpRequest\"");
    let text = check(&[files.file("tiers.json", tiers.as_bytes())], 3);
    assert!(text.contains("tiers: 2 → 4\n"), "{text}");
}

#[test]
fn what_is_not_found_is_named() {
    let files = Files::new();
    let renamed = files.changed("AmazonDynamoDB.json", "\"IA-ReadRequestUnits\"", "\"IA-Reads\"");
    let text = check(&[renamed], 3);
    assert!(text.contains("no product in us-east-1 has usagetype \"IA-ReadRequestUnits\""), "{text}");
    let reworded = files.changed("workers.md", "vCPU-minutes", "CPU minutes");
    let text = check(&[reworded], 3);
    assert!(
        text.contains("containers-cpu") && text.contains("the page has no text like \"{included*60} vCPU"),
        "{text}"
    );
    let twice = files.changed("AmazonS3.json", "INTAAS3ObjectOverhead", "Standard");
    let text = check(&[twice], 3);
    assert!(
        text.contains("several products in us-east-1 have usagetype \"TimedStorage-ByteHrs\", volumeType"),
        "{text}"
    );
    let elsewhere = files.changed("AmazonVPC.json", "\"us-east-1\"", "\"eu-west-1\"");
    assert!(check(&[elsewhere], 3).contains("0 the same, 0 moved, 1 not found"));
}

#[test]
fn a_packed_file_says_the_same() {
    let files = Files::new();
    for (excerpt, words) in [("AWSLambda.json", "8 the same, 0 moved"), ("workers.md", "7 the same, 0 moved")] {
        let content = fs::read(excerpts().join(excerpt)).unwrap();
        let text = check(&[files.file("packed.gz", &packed(&content))], 0);
        assert!(text.contains(words), "{text}");
        let marked = [b"\xef\xbb\xbf\n ".as_slice(), &content].concat();
        check(&[files.file("marked", &marked)], 0);
    }
    let mut cut = packed(&fs::read(excerpts().join("AWSLambda.json")).unwrap());
    cut.truncate(cut.len() / 2);
    check_refused(&files.file("cut.json.gz", &cut), "cannot be read to its end, save it again: ");
}

#[test]
fn files_of_no_use_are_refused() {
    let files = Files::new();
    let whole = fs::read(excerpts().join("AmazonDynamoDB.json")).unwrap();
    let lines = whole[..2000].iter().filter(|byte| **byte == b'\n').count() + 1;
    check_refused(
        &files.file("cut.json", &whole[..2000]),
        &format!("ends too early, save it again: EOF while parsing a string at line {lines} column "),
    );
    check_refused(
        &files.file("two.json", &[whole.as_slice(), b"{}"].concat()),
        "something follows the end of the JSON",
    );
    check_refused(
        &files.changed("AmazonVPC.json", "AmazonVPC", "AmazonRDS"),
        "the offer file of AmazonRDS, to which no price",
    );
    check_refused(&files.changed("AmazonVPC.json", "\"USD\"", "\"CNY\""), "a price is not in USD at line");
    check_refused(&files.changed("AmazonVPC.json", "\"products\"", "\"product\""), "`terms` stand before `products`");
    check_refused(&files.file("a.json", b"{\"a\": 1}"), "it has no `offerCode`");
    check_refused(&files.file("a.csv", b"\"FormatVersion\",\"v1.0\"\n"), "as CSV: save index.json instead");
    check_refused(&files.file("a.md", b"# Pricing\n"), "is none of the pages workers/platform/pricing, ");
    check_refused(&files.file("a.png", b"\x89PNG"), "is neither JSON nor text");
    check_refused(&files.0.path().join("missing"), "cannot be opened");
}

#[test]
fn an_announced_price_is_no_move() {
    let files = Files::new();
    let book = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("prices.toml")).unwrap();
    let (from, source) = ("from = \"2026-11-01\"", "https://developers.cloudflare.com/queues/platform/pricing/");
    let at = book.find("id = \"queues-operation\"").unwrap();
    let (before, price) = book.split_at(book[..at].rfind("[[price]]").unwrap());
    let (price, after) = price.split_at(price[2..].find("[[price]]").unwrap() + 2);
    assert!(price.contains(source));
    let today = price.replace(from, &format!("{from}\nuntil = \"2026-12-31\""));
    let later = price.replace(from, "from = \"2027-01-01\"").replace("usd = 0.40", "usd = 0.50");
    let book = files.file("book.toml", [before, &today, &later, after].concat().as_bytes());
    let flags = ["--prices", book.to_str().unwrap()];
    for (usd, code) in [("$0.40", 0), ("$0.50", 0), ("$0.60", 3)] {
        let page = files.changed("queues.md", "$0.40", usd);
        assert_eq!(run(&[page], &flags).status.code(), Some(code), "{usd}");
    }
}
