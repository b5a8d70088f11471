//! Connections: how many are open, and how long each may take in each phase.
//!
//! ```text
//! open ─▶ waiting ─▶ head ─▶ busy ─▶ answered ─▶ waiting …
//!         keep-alive  30 s    body 30 s   60 s
//! ```
//!
//! A connection gives way to new ones except while the server works on its request: so it does while it waits for a
//! head, sends a body, or takes an answer. So idle connections may stay for long, and slow ones keep nobody out.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

use crate::room::{Place, Room, Sender};

/// A client gets this long to send the head of a request, from its first byte on.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// A client gets this long to receive an answer.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// All open connections.
pub(crate) struct Connections {
    room: Arc<Room>,
    times: Times,
}

#[derive(Clone, Copy)]
struct Times {
    keep_alive: Duration,
    head_within: Duration,
    taken_within: Duration,
}

impl Connections {
    pub(crate) fn new(most: usize, keep_alive: Duration) -> Self {
        let times = Times { keep_alive, head_within: HEAD_WITHIN, taken_within: TAKEN_WITHIN };
        Self { room: Room::new(most), times }
    }

    /// Accepts a connection and waits until there is room for it.
    pub(crate) async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, Arc<Connection>)> {
        let (stream, _peer) = listener.accept().await?;
        let place = self.room.take(1).await.ok_or(io::ErrorKind::ResourceBusy)?;
        place.give_way(Sender::Stranger);
        let phase = Phase::Waiting { since: Instant::now() };
        let state = State { phase, sender: Sender::Stranger, unsent_since: None };
        Ok((stream, Arc::new(Connection { times: self.times, place, state: Mutex::new(state) })))
    }
}

/// One connection.
pub(crate) struct Connection {
    times: Times,
    place: Place,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// Whose the request is.
    sender: Sender,
    /// Set while an answer is on its way, or several if a client sends requests without reading.
    unsent_since: Option<Instant>,
}

enum Phase {
    /// Waits for the first byte of a request.
    Waiting { since: Instant },
    /// Waits for the rest of a head.
    Head { since: Instant },
    /// A request is being answered.
    Busy,
    /// The answer is made, but not sent yet.
    Answered,
}

impl Connection {
    /// Call this when the head of a request has come.
    pub(crate) fn begin(&self) {
        self.place.hold();
        let mut state = self.state();
        state.phase = Phase::Busy;
        state.sender = Sender::Stranger;
    }

    /// Call this when the head has shown who sends the request.
    pub(crate) fn is_of(&self, sender: Sender) {
        self.state().sender = sender;
    }

    /// Call this when the body of the request is about to be read. The connection gives way until
    /// [`Connection::body_received`].
    pub(crate) fn body_expected(&self) {
        self.place.give_way(self.state().sender);
    }

    /// Call this when the body of the request has come.
    pub(crate) fn body_received(&self) {
        self.place.hold();
    }

    /// Call this when the answer to the request is made.
    pub(crate) fn answered(&self) {
        let mut state = self.state();
        state.phase = Phase::Answered;
        self.place.give_way(state.sender);
        state.unsent_since.get_or_insert_with(Instant::now);
    }

    fn received(&self) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Waiting { .. }) {
            state.phase = Phase::Head { since: Instant::now() };
        }
    }

    /// Notes that everything there was to send has been sent.
    fn sent(&self) {
        let mut state = self.state();
        state.unsent_since = None;
        if matches!(state.phase, Phase::Answered) {
            state.phase = Phase::Waiting { since: Instant::now() };
            self.place.give_way(Sender::Stranger);
        }
    }

    /// When to close the connection if nothing happens until then.
    fn due(&self) -> Option<Instant> {
        let state = self.state();
        let phase = match state.phase {
            Phase::Waiting { since } => Some(since + self.times.keep_alive),
            Phase::Head { since } => Some(since + self.times.head_within),
            Phase::Busy | Phase::Answered => None,
        };
        let unsent = state.unsent_since.map(|since| since + self.times.taken_within);
        phase.into_iter().chain(unsent).min()
    }

    /// Runs the connection until it ends, takes too long, or makes room for another one.
    pub(crate) async fn run<T>(&self, connection: impl Future<Output = T>) {
        let mut connection = pin!(connection);
        let mut timer = pin!(sleep_until(Instant::now() + HEAD_WITHIN));
        let run = std::future::poll_fn(|cx| {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // The timer is reset only after it has rung, or if it would ring too late: most requests leave it alone.
            let due = self.due();
            if let Some(due) = due.filter(|due| *due < timer.deadline()) {
                timer.as_mut().reset(due);
            }
            loop {
                ready!(timer.as_mut().poll(cx));
                let now = Instant::now();
                match due {
                    Some(due) if due <= now => return Poll::Ready(()),
                    due => timer.as_mut().reset(due.unwrap_or(now + HEAD_WITHIN)),
                }
            }
        });
        tokio::select! { () = run => (), () = self.place.claimed() => () }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's stream. It tells the connection what passes.
pub(crate) struct Watched {
    pub(crate) stream: TcpStream,
    pub(crate) connection: Arc<Connection>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.connection.received();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper calls this once nothing is left to write.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use http_body_util::Full;
    use hyper::body::{Bytes, Incoming};
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(60);
    /// More than the system buffers for a client that does not read.
    const BIG: usize = 64 << 20;

    /// Accepts one connection and serves it with answers of `bytes`. Returns how long it was open, and the client's
    /// end of it.
    async fn served(times: Times, bytes: usize) -> (tokio::task::JoinHandle<Duration>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, connection) = Connections { room: Room::new(1), times }.accept(&listener).await.unwrap();
        let watched = Arc::clone(&connection);
        let service = service_fn(move |_: Request<Incoming>| {
            watched.begin();
            let watched = Arc::clone(&watched);
            async move {
                watched.answered();
                Ok::<_, io::Error>(Response::new(Full::new(Bytes::from(vec![b'x'; bytes]))))
            }
        });
        let stream = TokioIo::new(Watched { stream, connection: Arc::clone(&connection) });
        let http = http1::Builder::new().header_read_timeout(None).serve_connection(stream, service);
        let started = Instant::now();
        let open = tokio::spawn(async move {
            connection.run(http).await;
            started.elapsed()
        });
        (open, client)
    }

    const PATIENT: Times = Times { keep_alive: LONG, head_within: LONG, taken_within: LONG };

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

    #[tokio::test]
    async fn an_idle_connection_is_closed_after_the_keep_alive_time() {
        let (open, mut client) = served(Times { keep_alive: SHORT, ..PATIENT }, 1).await;
        tokio::time::sleep(SHORT / 2).await;
        client.write_all(REQUEST).await.unwrap();
        let open = tokio::time::timeout(LONG, open).await.unwrap().unwrap();
        assert!(open >= SHORT + SHORT / 2, "it counts from the last answer on: {open:?}");
    }

    #[tokio::test]
    async fn a_head_may_take_longer_than_the_keep_alive_time_and_no_longer_than_its_own() {
        let (open, mut client) = served(Times { keep_alive: SHORT, head_within: 3 * SHORT, ..PATIENT }, 1).await;
        client.write_all(&REQUEST[..4]).await.unwrap();
        tokio::time::sleep(SHORT / 2).await;
        client.write_all(&REQUEST[4..8]).await.unwrap();
        let open = tokio::time::timeout(LONG, open).await.unwrap().unwrap();
        assert!((3 * SHORT..LONG).contains(&open), "a head byte by byte gets no more time: {open:?}");
    }

    #[tokio::test]
    async fn who_does_not_read_an_answer_is_dropped() {
        let (open, mut client) = served(Times { taken_within: 3 * SHORT, ..PATIENT }, BIG).await;
        client.write_all(REQUEST).await.unwrap();
        for _ in 0..4 {
            // A client that reads a little now and then gets no more time.
            client.read_exact(&mut [0; 1000]).await.unwrap();
            tokio::time::sleep(SHORT / 2).await;
        }
        tokio::time::timeout(LONG, open).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_reads_an_answer_gets_all_of_it_and_may_ask_again() {
        let (open, mut client) = served(PATIENT, 1 << 20).await;
        for _ in 0..2 {
            client.write_all(REQUEST).await.unwrap();
            let mut answer = Vec::new();
            while answer.len() < 1 << 20 {
                client.read_buf(&mut answer).await.unwrap();
            }
        }
        assert!(!open.is_finished());
    }
}
