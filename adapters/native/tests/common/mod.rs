//! A server as a process, and a client for it.
#![allow(dead_code, reason = "each program of tests uses a part")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const OPEN: &str = r#"{"version":2,"open":true}"#;

/// A running server. It is killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) port: u16,
    /// What it writes to standard output.
    pub(crate) output: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(data: &Path) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_isotherm-native")), data)
    }

    /// Starts a server that can't write files beyond `blocks` blocks of 512 bytes: to SQLite that is a full disk.
    pub(crate) fn start_on_small_disk(data: &Path, blocks: u32) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
        command.arg(env!("CARGO_BIN_EXE_isotherm-native"));
        Self::run(command, data)
    }

    pub(crate) fn start_with(data: &Path, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm-native"));
        command.args(flags);
        Self::run(command, data)
    }

    pub(crate) fn run(mut command: Command, data: &Path) -> Self {
        if command.get_envs().all(|(name, _)| name != "ISOTHERM_CONFIG") {
            command.env("ISOTHERM_CONFIG", OPEN);
        }
        command.args(["--port", "0", "--data"]).arg(data).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("ready http://127.0.0.1:").unwrap().parse().unwrap();
        Self { child, port, output }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

pub(crate) fn event(message: &str) -> String {
    format!(r#"{{"userId":"u","eventType":"t","messageId":"{message}","properties":{{"text":"{}"}}}}"#, "x".repeat(200))
}

/// The bytes of one request. Its connection ends with it.
pub(crate) fn post(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /events HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

pub(crate) async fn get(port: u16, target: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(&mut stream).await.unwrap()
}

/// Sends an event. Returns status and body, or `None` if the server died on it.
pub(crate) async fn send(port: u16, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(post(body).as_bytes()).await.ok()?;
    answer(&mut stream).await
}

pub(crate) async fn answer(stream: &mut TcpStream) -> Option<(u16, String)> {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
