//! One connection: frames in, answers out, in the order of the requests.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use factum_event::access::Client;
use factum_wire::ApiKey;
use factum_wire::frame::{self, FrameError};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout};

use super::dispatch::{self, Answer, Answering, Refused};
use super::sending::{self, SendError};
use super::session::{Session, Unwelcome};
use super::transport::{self, ReadHalf, WriteHalf};
use super::{Caller, KafkaDoor, KafkaListener};
use crate::tls::HandshakeError;

/// The first step in which a frame gets its memory; every other is as large as all before it.
const FIRST_STEP: usize = 64 << 10;

/// A frame up to this size has its place from the beginning, so that it is not moved as it grows:
/// what producers send by default, with what is around it.
const AT_ONCE: usize = (1 << 20) + FIRST_STEP;

/// Fetches of one connection whose answers may be in memory at once, however little the client
/// reads; clients have one under way.
const FETCHES_PER_CONNECTION: usize = 2;

/// How long the other side of TLS may take to hear that this one closes.
const FAREWELL: Duration = Duration::from_secs(1);

/// Bytes of a frame's length.
const PREFIX_BYTES: usize = 4;

/// Why a connection was closed by this side.
#[derive(Debug, Error)]
enum Closing {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Unwelcome(#[from] Unwelcome),
    #[error("nothing moved for {0:?}")]
    Stalled(Duration),
    #[error("the memory for requests is in use; requests_in_work_bytes limits it")]
    Crowded,
    #[error("the client sent {got} of {expected} bytes of a request and closed")]
    CutOff { got: usize, expected: usize },
}

/// Serves a connection until either side closes it.
pub(super) async fn run(
    door: Arc<KafkaDoor>,
    listener: Arc<KafkaListener>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    door.metrics.kafka_connection_opened();
    let closed = open(&door, &listener, stream, peer).await;
    door.metrics.kafka_connection_closed();
    let listener = listener.protocol;
    match closed {
        Ok(()) => tracing::debug!(%peer, "connection closed by the client"),
        Err(Closing::Io(error)) => tracing::debug!(%peer, %error, "connection lost"),
        // Why it failed is in the log already.
        Err(Closing::Unwelcome(Unwelcome::Failed)) => tracing::debug!(%peer, "connection closed"),
        Err(Closing::Handshake(HandshakeError::Silent)) => {
            tracing::debug!(%peer, %listener, "connection closed before it said anything");
        }
        Err(reason) => tracing::warn!(%peer, %listener, %reason, "connection closed"),
    }
}

/// Does the handshake, where there is one, and serves.
async fn open(
    door: &Arc<KafkaDoor>,
    listener: &Arc<KafkaListener>,
    stream: TcpStream,
    peer: SocketAddr,
) -> Result<(), Closing> {
    // Small answers must not wait for more; a socket that refuses the option works without.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr()?;
    let Some(tls) = &listener.tls else {
        let session = Session::begin(listener, peer, None);
        return serve(door, session, (local, peer), transport::plain(stream)).await;
    };
    let stream = tls.accept(stream, listener.client_auth).await?;
    // Where clients log in, their certificate says only that they may try.
    let asks = !listener.protocol.is_sasl();
    let certified = if asks { tls.principal(&stream)? } else { None };
    let session = Session::begin(listener, peer, certified);
    serve(door, session, (local, peer), transport::tls(stream)).await
}

async fn serve(
    door: &Arc<KafkaDoor>,
    session: Arc<Session>,
    (local, peer): (SocketAddr, SocketAddr),
    (read, mut write): (ReadHalf, WriteHalf),
) -> Result<(), Closing> {
    let frames =
        Frames { read, door: Arc::clone(door), buffer: BytesMut::new(), state: State::Prefix };
    let served = converse(door, Arc::clone(&session), (local, peer), frames, &mut write).await;
    if let Err(Closing::Frame(_) | Closing::Refused(_)) = &served {
        session.count_noise(door);
    }
    if write.socket().is_none() {
        // So that the other side knows that nothing was cut off. It may have gone.
        let _ = timeout(FAREWELL, write.shutdown()).await;
    }
    served
}

/// Takes requests and answers them until either side has enough.
async fn converse(
    door: &Arc<KafkaDoor>,
    session: Arc<Session>,
    (local, peer): (SocketAddr, SocketAddr),
    mut frames: Frames,
    write: &mut WriteHalf,
) -> Result<(), Closing> {
    let advertised = session.listener().advertised.clone();
    let (host, port) = advertised.unwrap_or_else(|| (local.ip().to_string(), local.port()));
    let client = Client { principal: session.principal(), host: peer.ip() };
    let (client_id, shared) = (String::new(), Arc::clone(&session));
    let mut caller = Caller { client_id, client, session: shared, host, port };
    let login_by = Instant::now() + door.limits.stall;
    let mut answers: FuturesOrdered<Answering> = FuturesOrdered::new();
    // For each answer, in the same order, whether it is one to a fetch.
    let mut fetches: VecDeque<bool> = VecDeque::new();
    // Until when nothing is read, as the client has had more than its quota.
    let mut held_until: Option<Instant> = None;
    loop {
        let unanswered_fetches = fetches.iter().filter(|fetch| **fetch).count();
        // What was begun is read to its end: it has memory that others wait for.
        let is_held = held_until.is_some() && !frames.has_begun();
        let may_read = !is_held
            && !session.has_failed()
            && answers.len() < door.limits.requests_per_connection
            && unanswered_fetches < FETCHES_PER_CONNECTION;
        let idle = answers.is_empty();
        if idle && session.has_failed() {
            return Err(Unwelcome::Failed.into());
        }
        let patience = match (idle, session.is_known()) {
            (true, true) => door.limits.idle,
            // Who has not logged in has no place to rest.
            (true, false) => door.limits.stall,
            (false, _) => Duration::MAX,
        };
        let limit = session.request_bytes(door.limits.request_bytes);
        tokio::select! {
            Some(answer) = answers.next(), if !idle => {
                fetches.pop_front();
                let answer = answer?;
                if let Some(until) = answer.held_until {
                    let from = held_until.unwrap_or_else(Instant::now);
                    door.metrics.kafka_held_back_for(until.saturating_duration_since(from));
                    held_until = Some(until.max(from));
                }
                send(door, write, answer).await?;
            }
            () = until(held_until), if held_until.is_some() => held_until = None,
            // However busily: who does not log in takes the place of others.
            () = sleep_until(login_by), if !session.is_known() => {
                return Err(Closing::Stalled(door.limits.stall));
            }
            frame = frames.next_unless(is_held, patience, limit), if may_read || is_held => {
                // Who has closed waits for no answer.
                let Some((frame, permit)) = frame? else { return Ok(()) };
                session.admit(door, &frame)?;
                fetches.push_back(frame.starts_with(&i16::from(ApiKey::Fetch).to_be_bytes()));
                let answer = dispatch::start(door, &caller, frame, permit).await?;
                answers.push_back(answer);
                // A request that logs in has done so when its answer is there.
                caller.client.principal = session.principal();
            }
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The frames of a connection. [`next`](Self::next) may be dropped and called again.
struct Frames {
    read: ReadHalf,
    door: Arc<KafkaDoor>,
    buffer: BytesMut,
    state: State,
}

/// What is expected next.
enum State {
    Prefix,
    /// A frame of `size` bytes, of which `granted` may be in memory already.
    Body {
        size: usize,
        granted: usize,
        permit: Option<OwnedSemaphorePermit>,
    },
}

impl Frames {
    /// The next frame as by [`next`](Self::next); of a client that is held back only the end.
    async fn next_unless(
        &mut self,
        is_held: bool,
        patience: Duration,
        limit: usize,
    ) -> Result<Option<(Bytes, Option<OwnedSemaphorePermit>)>, Closing> {
        if is_held {
            self.end().await?;
            return Ok(None);
        }
        self.next(patience, limit).await
    }

    /// The next frame without its prefix, at most `limit` bytes, with the permit to have it in
    /// memory; none at the end. It must begin within `patience`.
    async fn next(
        &mut self,
        patience: Duration,
        limit: usize,
    ) -> Result<Option<(Bytes, Option<OwnedSemaphorePermit>)>, Closing> {
        if matches!(self.state, State::Prefix) {
            if !self.fill(PREFIX_BYTES, patience).await? {
                return Ok(None);
            }
            let mut prefix = [0; PREFIX_BYTES];
            prefix.copy_from_slice(&self.buffer[..PREFIX_BYTES]);
            let size = frame::size(prefix, limit)?;
            self.buffer.advance(PREFIX_BYTES);
            // Room that no byte was written to costs nothing yet.
            self.buffer.reserve(size.min(AT_ONCE).saturating_sub(self.buffer.len()));
            self.state = State::Body { size, granted: 0, permit: None };
        }
        let size = self.grow().await?;
        self.door.metrics.kafka_bytes_received((PREFIX_BYTES + size) as u64);
        let State::Body { permit, .. } = std::mem::replace(&mut self.state, State::Prefix) else {
            return Ok(None);
        };
        Ok(Some((self.buffer.split_to(size).freeze(), permit)))
    }

    /// Whether a part of a frame has come for which memory was set aside.
    const fn has_begun(&self) -> bool {
        matches!(self.state, State::Body { permit: Some(_), .. })
    }

    /// Waits for the client to close, while nothing is read from it: what it sends before is kept,
    /// up to what needs no permit. It may be dropped and called again.
    async fn end(&mut self) -> io::Result<()> {
        while self.buffer.len() < FIRST_STEP {
            self.buffer.reserve(1);
            let room = FIRST_STEP - self.buffer.len();
            if self.read.read_buf(&mut (&mut self.buffer).limit(room)).await? == 0 {
                return Ok(());
            }
        }
        std::future::pending().await
    }

    /// Reads the frame that was begun, step by step: each step may be as large as what has come
    /// before, so that announcing a large request takes no memory and no permit from others.
    async fn grow(&mut self) -> Result<usize, Closing> {
        let stall = self.door.limits.stall;
        while let State::Body { size, granted, permit } = &mut self.state {
            if *granted == *size {
                break;
            }
            let step = (*size - *granted).min(FIRST_STEP.max(*granted));
            let (size, target) = (*size, *granted + step);
            // The first step waits for its bytes, and only then takes its permit.
            if *granted > 0 {
                merge(permit, acquire(&self.door, step).await?);
                *granted = target;
                self.fill(target, stall).await?;
            } else {
                self.fill(target, stall).await?;
                let first = acquire(&self.door, step).await?;
                self.state = State::Body { size, granted: target, permit: Some(first) };
            }
        }
        // Dropped between taking the permit for a step and its last byte, reading goes on here.
        let State::Body { size, .. } = self.state else { return Ok(0) };
        self.fill(size, stall).await?;
        Ok(size)
    }

    /// Reads until there are so many bytes; false if the client closed before the first.
    async fn fill(&mut self, size: usize, patience: Duration) -> Result<bool, Closing> {
        while self.buffer.len() < size {
            self.buffer.reserve(size - self.buffer.len());
            let read = timeout(patience, self.read.read_buf(&mut self.buffer)).await;
            let read = read.map_err(|_| Closing::Stalled(patience))??;
            if read > 0 {
                continue;
            }
            return match &self.state {
                State::Prefix if self.buffer.is_empty() => Ok(false),
                _ => Err(Closing::CutOff { got: self.buffer.len(), expected: size }),
            };
        }
        Ok(true)
    }
}

/// Waits for memory for requests; not for ever, as others may wait for what this one holds.
async fn acquire(door: &KafkaDoor, bytes: usize) -> Result<OwnedSemaphorePermit, Closing> {
    let in_work = Arc::clone(&door.requests_in_work);
    let permit = in_work.acquire_many_owned(KafkaDoor::permits(bytes));
    let permit = timeout(door.limits.stall, permit).await;
    Ok(permit.map_err(|_| Closing::Crowded)?.expect("the semaphore is never closed"))
}

fn merge(permit: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match permit {
        Some(permit) => permit.merge(more),
        None => *permit = Some(more),
    }
}

/// Sends an answer; what memory it holds goes back when it is sent.
async fn send(door: &KafkaDoor, write: &mut WriteHalf, answer: Answer) -> Result<(), Closing> {
    let Answer { parts, room, .. } = answer;
    let count = |bytes| door.metrics.kafka_bytes_sent(bytes as u64);
    sending::send(write, parts, door.limits.stall, count).await.map_err(|error| match error {
        SendError::Io(error) => Closing::Io(error),
        SendError::Stalled(stall) => Closing::Stalled(stall),
    })?;
    drop(room);
    Ok(())
}
