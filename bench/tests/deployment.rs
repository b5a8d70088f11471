//! Tests `isotherm compare --target` with a real `isotherm up native` as the deployment, over HTTP and over TLS.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what a helper of a test finds wrong fails the test")]

mod fixture;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use fixture::{EVENTS, Fixture, check_code, check_schema, text};
use isotherm_hosts::{Platform, Remote, Up};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

const KEY: &str = "deployed-key-of-tests";
/// The configuration, with the SHA-256 of [`KEY`].
const CONFIG: &str = r#"{"keys": [{"sha256": "e7d2d762f1ba00a482bca2ec94bef97956aac17ff375ef647a0b273752837350", "tenant": "t", "scope": "both"}]}"#;

async fn up(fixture: &Fixture, set: &str, config: &str) -> Remote {
    let mut up = Up::new(env!("CARGO_BIN_EXE_isotherm"), Platform::Native, &fixture.artifacts);
    (up.set, up.config) = (set.to_owned(), config.to_owned());
    up.start().await.unwrap()
}

/// Runs a comparison, checks that it ends with `code`, and returns its standard output and standard error.
async fn compare(fixture: &Fixture, flags: &[&str], environment: &[(&str, &str)], code: i32) -> [String; 2] {
    let mut compare = fixture.compare(&fixture.artifacts, &["--platform", "native", "--out", "out"]);
    compare.args(flags).envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || compare.output().unwrap()).await.unwrap();
    check_code(&output, code);
    [&output.stdout, &output.stderr].map(|said| text(said))
}

/// A table without line breaks, since its lines are wrapped.
fn unwrapped(table: &str) -> String {
    table.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn result(folder: &Path) -> Value {
    let result = serde_json::from_slice(&std::fs::read(folder.join("out/result.json")).unwrap()).unwrap();
    check_schema(&result);
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_measured_beside_the_platforms_and_what_is_none_is_named() {
    let fixture = Fixture::new();
    let (deployed, hello) = (up(&fixture, "release", CONFIG).await, up(&fixture, "floor", "").await);
    // This port was free a moment ago.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let targets = [
        format!("prod={}", deployed.url()),
        format!("nokey={}", deployed.url()),
        format!("hello={}", hello.url()),
        format!("gone=http://{closed}"),
    ];
    let [prod, _, hello_target, gone] = targets.each_ref().map(String::as_str);
    let flags = ["--target", prod, "--target", hello_target, "--target", gone, "--idle", "1s", "--repeat", "2"];
    let [table, said] = compare(&fixture, &flags, &[("ISOTHERM_KEY", KEY)], 3).await;
    for expect in [
        format!(
            "hello is left out, {} can't be measured: it does not speak the contract",
            hello.url().trim_end_matches('/')
        ),
        format!("gone is left out, http://{closed} can't be measured: cannot connect to 127.0.0.1"),
        "[8/9] run 2/2: deployments, left alone and probed".to_owned(),
        "[9/9] run 2/2: deployments, over the network".to_owned(),
    ] {
        assert_eq!(said.matches(&expect).count(), 1, "{expect}: {said}");
    }
    let unwrapped = unwrapped(&table);
    assert!(
        unwrapped.contains("Over the network: prod at ")
            && unwrapped.contains("It is not ranked with the platforms here"),
        "{table}"
    );
    assert!(unwrapped.contains("prod: no CPU time, memory, artifact, meters or floor"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");

    let folder = fixture.folder.path();
    let result = result(folder);
    let lost: Vec<&str> =
        result["unreachable"].as_array().unwrap().iter().map(|lost| lost["name"].as_str().unwrap()).collect();
    assert_eq!(lost, ["hello", "gone"]);
    let [measured] = &**result["deployments"].as_array().unwrap() else { panic!("{result}") };
    assert_eq!(
        (&measured["name"], &measured["errors"], &measured["idle_seconds"]),
        (&"prod".into(), &0.into(), &1.0.into())
    );
    // Each of the two runs has three cold starts, 50 warm requests and ten connections.
    let n = |of: &Value| of["n"].as_u64().unwrap();
    let [cold, warm, connect] =
        [&measured["cold"], &measured["warm"]["latency"], &measured["network"]["connect"]].map(n);
    assert_eq!((cold, warm, connect, measured["network"]["tls"].is_null()), (6, 100, 20, true));
    assert_eq!(measured["runs"].as_array().unwrap().len(), 2);
    // The second run's events are new to the store, although it holds those of the first run.
    let replay = &measured["replay"];
    assert_eq!((&replay["verified"], &replay["duplicates"]), (&EVENTS.into(), &0.into()));
    assert!(replay["accepted"] == replay["sent"] && replay["sent"].as_u64().unwrap() >= 2 * EVENTS as u64, "{replay}");

    for (format, expect) in [
        ("markdown", "\n### Deployments, over the network\n"),
        ("markdown", "\n| connect "),
        ("csv", "\nprod,warm_p50,ms,100,"),
        ("csv", "\nprod,cold_first_response_p50,ms,6,"),
        ("json", "\"deployments\":[{\"name\":\"prod\""),
    ] {
        let mut report = std::process::Command::new(env!("CARGO_BIN_EXE_isotherm"));
        let output =
            report.current_dir(folder).args(["report", "out/result.json", "--format", format]).output().unwrap();
        assert!(text(&output.stdout).contains(expect), "{}", text(&output.stdout));
    }
    let page = std::fs::read_to_string(folder.join("out/report.html")).unwrap();
    assert!(page.contains("<section id=\"deployments\"") && page.contains("Over the network"), "{page}");
    for written in [&table, &said, &page, &result.to_string()] {
        assert!(!written.contains(KEY), "the key is in {written}");
    }

    let [_, said] = compare(&fixture, &["--quick", "--target", &targets[1]], &[], 3).await;
    assert!(said.contains("nokey is left out") && said.contains("it refuses the key"), "{said}");
    deployed.stop().await.unwrap();
    hello.stop().await.unwrap();
}

/// Serves TLS in front of `behind` with a certificate of its own, which it writes to `file`. Returns the port.
async fn terminate_tls(behind: SocketAddr, file: &Path) -> u16 {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(file, own.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate disconnects here.
                let Ok(mut secure) = acceptor.accept(socket).await else { return };
                let mut plain = TcpStream::connect(behind).await.unwrap();
                let _either_side_closed = tokio::io::copy_bidirectional(&mut secure, &mut plain).await;
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_reached_over_tls_that_is_trusted() {
    let fixture = Fixture::new();
    let deployed = up(&fixture, "release", CONFIG).await;
    let address = deployed.url().trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
    let trusted = fixture.folder.path().join("trusted.pem");
    let port = terminate_tls(address, &trusted).await;
    let target = format!("tls=https://localhost:{port}");
    let flags = ["--quick", "--key", KEY, "--target", &target];
    let trust = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
    let [table, _] = compare(&fixture, &flags, &trust, 0).await;
    assert!(unwrapped(&table).contains("no cold starts, since --idle was not given"), "{table}");
    let result = result(fixture.folder.path());
    let measured = &result["deployments"][0];
    assert_eq!((&measured["errors"], &measured["network"]["tls"]["n"]), (&0.into(), &10.into()));
    assert_eq!((&measured["replay"]["verified"], measured["cold"].is_null()), (&100.into(), true));

    // Another certificate for the same name is not trusted.
    let other = fixture.folder.path().join("other.pem");
    terminate_tls(address, &other).await;
    let [_, said] = compare(&fixture, &flags, &[("SSL_CERT_FILE", other.to_str().unwrap())], 3).await;
    assert!(said.contains("tls is left out") && said.contains("certificate"), "{said}");
    deployed.stop().await.unwrap();
}

#[test]
fn what_is_no_target_is_refused_before_anything_starts() {
    let fixture = Fixture::new();
    for (flags, expect) in [
        (&["--target", "https://a.example"][..], "expected NAME=URL"),
        (&["--target", "prod=a.example"], "http or https"),
        (&["--target", "spin=https://a.example"], "spin is a platform here"),
        (&["--target", "a=https://user:secret@a.example"], "may hold no password"),
        (&["--target", "a=https://a.example", "--target", "a=https://b.example"], "--target a is given twice"),
        (&["--idle", "1s"], "--target"),
        (&["--target", "a=https://a.example", "--idle", "soon"], "is no time such as"),
        (&["--repeat", "0"], "0 is not in 1..=100"),
    ] {
        let output = fixture.compare(&fixture.artifacts, flags).output().unwrap();
        check_code(&output, 2);
        let said = text(&output.stderr);
        assert!(said.contains(expect) && said.lines().count() == 1, "{said}");
    }
}
