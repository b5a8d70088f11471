//! Bodies that are invalid, or that come too slowly.

use std::time::{Duration, Instant};

use isotherm_hosts::Platform;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{check, named};
use crate::client::{Ask, send};
use crate::fixture::{Fixture, block_on};

/// A wrong content type or encoding gets 415.
pub fn wrong_content_types_are_refused(platform: Platform) {
    let host = Fixture::open(platform);
    for (target, content_type) in [
        ("/events", "text/plain"),
        ("/events", "application/x-www-form-urlencoded"),
        ("/events", "application/x-ndjson"),
        ("/events", "application/json; charset=utf-16"),
        ("/events/batch", "multipart/form-data; boundary=x"),
    ] {
        let ask = Ask::new("POST", target).header("content-type", content_type).body(named("type").to_string());
        check(&host.ask(&ask), 415, "unsupported_media_type");
    }
    for encoding in ["br", "deflate", "gzip, gzip"] {
        let ask = Ask::event(&named("encoding")).header("content-encoding", encoding);
        check(&host.ask(&ask), 415, "unsupported_encoding");
    }
}

/// A body that would inflate to a gigabyte gets 413. A body that is not gzip or ends too early gets 400.
pub fn gzip_bombs_are_refused(platform: Platform) {
    let host = Fixture::open(platform);
    let mut zeros = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let chunk = vec![b' '; 1 << 20];
    (0..256).for_each(|_| std::io::Write::write_all(&mut zeros, &chunk).unwrap());
    // Two members of 256 MiB each, in about half a megabyte.
    let member = zeros.finish().unwrap();
    let bomb = [member.clone(), member].concat();
    let post = |body: Vec<u8>| Ask::new("POST", "/events/batch").json(body).header("content-encoding", "gzip");
    check(&host.ask(&post(bomb)), 413, "body_too_large");
    check(&host.ask(&post(b"not gzip at all".to_vec())), 400, "invalid_gzip");
    let whole = Ask::batch(&[named("cut")]).gzip().body;
    check(&host.ask(&post(whole[..whole.len() - 5].to_vec())), 400, "invalid_gzip");
}

/// A client promises more than it sends. Nothing is kept, and the host goes on.
pub fn truncated_bodies_change_nothing(platform: Platform) {
    let host = Fixture::open(platform);
    let event = named("truncated").to_string();
    block_on(async {
        for end in [0, 1, event.len() / 2, event.len()] {
            let mut stream = TcpStream::connect(("127.0.0.1", host.port)).await.unwrap();
            let head = head("/events", event.len() + 1);
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&event.as_bytes()[..end]).await.unwrap();
            stream.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let accepted = host.ask(&Ask::event(&named("truncated")));
    assert!(accepted.json()["duplicate"].is_null(), "a truncated request was kept");
}

/// Bodies trickle in. Other requests are answered meanwhile, and the slow ones in the end.
pub fn slow_bodies_hold_up_nobody(platform: Platform) {
    let host = Fixture::open(platform);
    block_on(async {
        let slow = (0..20).map(|index| tokio::spawn(trickle(host.port, format!("slow-{index}"))));
        let slow: Vec<_> = slow.collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let started = Instant::now();
        let answer = send(host.port, &Ask::get("/healthz")).await.unwrap();
        assert_eq!(answer.status, 200);
        // The slow requests take two seconds. A request that waits for one of them is later than this.
        assert!(started.elapsed() < Duration::from_millis(1500), "held up for {:?}", started.elapsed());
        for one in slow {
            let answer = one.await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        }
    });
}

async fn trickle(port: u16, name: String) -> String {
    let event = named(&name).to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(head("/events", event.len()).as_bytes()).await.unwrap();
    for part in event.as_bytes().chunks(event.len().div_ceil(20)) {
        stream.write_all(part).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

fn head(target: &str, length: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}
