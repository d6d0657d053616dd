//! One connection of the API: what must come first, how long it may be silent, what its calls may take.

use crate::admit::{Call, Connection, Place, Registry, Seldom, more};
use crate::listen::Stream;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use std::convert::Infallible;
use std::io;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::{Semaphore, watch};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::service::Routes;
use tower::ServiceExt;

/// A connection that has not sent the preface by then is closed.
pub(crate) const PREFACE_WAIT: Duration = Duration::from_secs(10);
/// One without a call for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// How long a connection that is to end may take over it.
const FAREWELL: Duration = Duration::from_secs(2);
/// Calls of one connection at a time.
const STREAMS_MAX: u32 = 100;
/// Calls of all connections whose answer has not begun.
const CALLS_MAX: usize = 128;
/// Octets of all headers of a call.
const HEADERS_MAX: u32 = 16 * 1024;
/// Octets on their way to us: of a call, of a connection.
const WINDOWS: (u32, u32) = (256 * 1024, 1024 * 1024);
/// Octets of a call that wait for a client to take them.
const SEND_MAX: usize = 64 * 1024;
/// A call whose answer has not begun by then is given up.
const CALL_MAX: Duration = Duration::from_secs(30);
/// One that changes settings waits for its turn, the disk and the workers.
const CHANGE_MAX: Duration = Duration::from_secs(150);
/// Methods that do.
const CHANGES: [&str; 5] = ["/Apply", "/Rollback", "/Add", "/Update", "/Remove"];
/// Octets of an error's message and details that every client takes.
const STATUS_MAX: usize = 7000;
/// What begins every connection (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What every connection shares.
#[derive(Clone)]
pub(crate) struct Door {
    registry: Arc<Registry>,
    routes: Routes,
    calls: Arc<Semaphore>,
    strangers: Arc<Seldom>,
    /// Changes when the control plane stops.
    stopping: watch::Receiver<()>,
}

impl Door {
    /// To these services.
    pub(crate) fn new(registry: Arc<Registry>, routes: Routes, stopping: watch::Receiver<()>) -> Self {
        let (calls, strangers) = (Arc::new(Semaphore::new(CALLS_MAX)), Arc::new(Seldom::new()));
        Self { registry, routes: routes.prepare(), calls, strangers, stopping }
    }

    /// Serves a connection to its end, in a task of its own.
    pub(crate) fn serve(&self, stream: Stream, place: Place) {
        let door = self.clone();
        tokio::spawn(async move {
            match stream {
                Stream::Tcp(stream) => door.greet(place, stream).await,
                Stream::Unix(stream) => door.greet(place, stream).await,
            }
        });
    }

    /// The stream is dropped before the place: who waits for the place needs the descriptor, too.
    async fn greet<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut self, place: Place, mut stream: S) {
        let connection = Arc::clone(&place.connection);
        let read = tokio::time::timeout(PREFACE_WAIT, preface(&mut stream));
        let good = tokio::select! {
            () = connection.hang_up.notified() => return,
            _ = self.stopping.changed() => return,
            read = read => read,
        };
        match good {
            Ok(Ok(())) => {}
            // It went away by itself, having said nothing.
            Ok(Err(None)) => return,
            Ok(Err(Some(why))) => return self.stranger(&connection, why),
            Err(_) => return self.stranger(&connection, "sent none within 10 s"),
        }
        connection.greeted();
        self.speak(Greeted { stream, given: 0 }, &connection).await;
    }

    /// One that does not speak HTTP/2.
    fn stranger(&self, connection: &Connection, what: &str) {
        let count = more(&self.registry.counters.no_preface);
        if let Some(new) = self.strangers.happened(count) {
            tracing::warn!(
                "{new} connections closed that did not begin with the preface of HTTP/2; the last one, of {}, {what}",
                connection.peer
            );
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&mut self, stream: S, connection: &Arc<Connection>) {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            // A client that vanished without a word is noticed, and its streams ended.
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADERS_MAX)
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .max_send_buf_size(SEND_MAX);
        let door = self.clone();
        let called = Arc::clone(connection);
        let service = service_fn(move |request| {
            let (door, connection) = (door.clone(), Arc::clone(&called));
            async move { Ok::<_, Infallible>(door.answer(request, &connection).await) }
        });
        let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
        loop {
            let left = connection.idle_since().map_or(IDLE_MAX, |since| IDLE_MAX.saturating_sub(since.elapsed()));
            tokio::select! {
                // What went wrong on a connection is the client's to tell; here it has ended.
                _ = serving.as_mut() => return,
                () = connection.hang_up.notified() => return,
                _ = self.stopping.changed() => break,
                () = tokio::time::sleep(left.max(Duration::from_secs(1))) => {
                    if connection.idle_since().is_some_and(|since| since.elapsed() >= IDLE_MAX) {
                        more(&self.registry.counters.idle);
                        break;
                    }
                }
            }
        }
        serving.as_mut().graceful_shutdown();
        // Who does not end by then is left.
        let _ = tokio::time::timeout(FAREWELL, serving).await;
    }

    /// Answers one call.
    async fn answer(&self, mut request: Request<Incoming>, connection: &Arc<Connection>) -> Response<Body> {
        let call = connection.call();
        let Ok(permit) = self.calls.try_acquire() else {
            let said = format!("{CALLS_MAX} calls wait for their answer already: try again later");
            return Status::resource_exhausted(said).into_http();
        };
        request.extensions_mut().insert(Arc::clone(connection));
        let path = request.uri().path();
        let most = if CHANGES.iter().any(|m| path.ends_with(m)) { CHANGE_MAX } else { CALL_MAX };
        let patience = patience(request.headers()).map_or(most, |asked| asked.min(most));
        let what = sonde_settings::excerpt(path.trim_start_matches('/'), sonde_settings::EXCERPT_MAX);
        let answered = tokio::time::timeout(patience, self.routes.clone().oneshot(request)).await;
        drop(permit);
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => {
                let said = format!("{what} was not answered within {} s, and given up", patience.as_secs_f32());
                Status::deadline_exceeded(said).into_http()
            }
        };
        fit(response.headers_mut());
        response.map(|body| Body::new(Held { body, _call: call }))
    }
}

/// Reads the preface, octet for octet: the first that is another one ends it. The error says what came instead.
async fn preface(stream: &mut (impl AsyncRead + Unpin)) -> Result<(), Option<&'static str>> {
    let mut read = [0; PREFACE.len()];
    let mut have = 0;
    while have < read.len() {
        let new = stream.read(&mut read[have..]).await.map_err(|_| None)?;
        if new == 0 {
            return Err(if have == 0 { None } else { Some("ended within it") });
        }
        have += new;
        if read[..have] != PREFACE[..have] {
            return Err(Some(match read[0] {
                0x16 => "began with TLS, which is not spoken here",
                b'G' | b'P' | b'H' | b'O' | b'D' | b'C' => "began with something like HTTP/1, which is not spoken here",
                _ => "began with something else",
            }));
        }
    }
    Ok(())
}

/// What `grpc-timeout` says: up to eight digits and a unit.
fn patience(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = Some(number).filter(|n| n.len() <= 8)?.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Makes an error fit, whoever made it: one whose header is too long ends a call as an error of the protocol, and nobody reads it.
fn fit(headers: &mut HeaderMap) {
    const MESSAGE: &str = "grpc-message";
    const DETAILS: &str = "grpc-status-details-bin";
    let octets = |name: &str| headers.get(name).map_or(0, |v| v.len());
    if octets(MESSAGE) + octets(DETAILS) <= STATUS_MAX {
        return;
    }
    let Some(status) = Status::from_header_map(headers) else { return };
    headers.remove(DETAILS);
    let short: Response<()> = Status::new(status.code(), crate::fault::message(status.message())).into_http();
    if let Some(message) = short.headers().get(MESSAGE) {
        headers.insert(MESSAGE, message.clone());
    }
}

/// A body that holds the call open until it has ended.
struct Held {
    body: Body,
    _call: Call,
}

impl http_body::Body for Held {
    type Data = tonic::codegen::Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            fit(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose preface was read: it is given again to who reads.
struct Greeted<S> {
    stream: S,
    given: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rest = &PREFACE[self.given..];
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let now = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..now]);
        self.given += now;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Those that are turned away and may read it: descriptors beside the places, so there are few.
static TURNED_AWAY: Semaphore = Semaphore::const_new(8);
/// How long they may take over it.
const TURNED_AWAY_MAX: Duration = Duration::from_millis(200);

/// Turns a connection away, and closes it when the other end has, or soon: one that is closed over what it has sent takes our words back.
pub(crate) fn refuse(stream: Stream) {
    say_no_room(&stream);
    let Ok(turn) = TURNED_AWAY.try_acquire() else { return };
    tokio::spawn(async move {
        let _turn = turn;
        let gone = async {
            let mut some = [0; 1024];
            match stream {
                Stream::Tcp(mut s) => while s.read(&mut some).await.is_ok_and(|n| n != 0) {},
                Stream::Unix(mut s) => while s.read(&mut some).await.is_ok_and(|n| n != 0) {},
            }
        };
        // Who does not go by then is left.
        let _ = tokio::time::timeout(TURNED_AWAY_MAX, gone).await;
    });
}

/// Says why there is no place, in HTTP/2: SETTINGS, and GOAWAY with `ENHANCE_YOUR_CALM` (RFC 9113, sections 6.5, 6.8 and 7). What a
/// full socket does not take is not said.
fn say_no_room(stream: &Stream) {
    const WHY: &[u8; 30] = b"no room for another connection";
    const LENGTH: u8 = 30;
    let mut said = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    said.extend_from_slice(&[0, 0, 8 + LENGTH, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b]);
    said.extend_from_slice(WHY);
    let fd = match stream {
        Stream::Tcp(s) => s.as_fd(),
        Stream::Unix(s) => s.as_fd(),
    };
    // The system itself is asked: tokio does not know yet whether this socket is ready.
    let mut waiting = [0; 4096];
    // What was sent to us is taken first: a socket that is closed over it takes our words back.
    let _ = recv(fd, &mut waiting[..], RecvFlags::DONTWAIT);
    let _ = send(fd, &said, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    let _ = shutdown(fd, Shutdown::Write);
}
