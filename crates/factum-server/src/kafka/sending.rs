//! Writing an answer: bytes as they are, regions of files by `sendfile`, which takes them from the
//! page cache to the socket past this process.
//!
//! Regions were read a moment ago, so sending them rarely waits for a disk; a step is small all
//! the same. What the operating system cannot send is copied through a small buffer.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes};
use factum_log::FileRegion;
use rustix::fs::sendfile;
use thiserror::Error;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::transport::WriteHalf;

/// Parts in memory that are handed to the operating system at once.
const PARTS: usize = 64;

/// The most of a region that is handed to the operating system at once.
const STEP_BYTES: usize = 1 << 20;

/// The most that is copied at once where `sendfile` is of no use.
const COPY_BYTES: usize = 64 << 10;

/// A part of an answer.
#[derive(Debug)]
pub(super) enum Outgoing {
    Bytes(Bytes),
    Region(FileRegion),
}

/// Why an answer was not sent.
#[derive(Debug, Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("nothing moved for {0:?}")]
    Stalled(Duration),
}

/// Writes the parts in order and says of each step how many bytes went; no step may take longer
/// than `stall`.
pub(super) async fn send(
    write: &mut WriteHalf,
    parts: Vec<Outgoing>,
    stall: Duration,
    mut sent: impl FnMut(usize),
) -> Result<(), SendError> {
    let mut parts = VecDeque::from(parts);
    let mut copies = false;
    loop {
        let written = match parts.front() {
            // TLS may keep what it took until it is told to give it away; a socket keeps nothing.
            None => return within(stall, write.flush()).await,
            Some(Outgoing::Bytes(_)) => {
                let slices: Vec<_> = leading_bytes(&parts).collect();
                within(stall, write.write_vectored(&slices)).await?
            }
            Some(Outgoing::Region(region)) => match write.socket() {
                Some(socket) if !copies => match within(stall, send_some(socket, region)).await {
                    Err(SendError::Io(error)) if is_no_way(&error) => {
                        copies = true;
                        continue;
                    }
                    Err(SendError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => {
                        continue;
                    }
                    written => written?,
                },
                _ => {
                    let bytes = read_some(region)?;
                    within(stall, write.write(&bytes)).await?
                }
            },
        };
        if written == 0 && parts.iter().any(|part| !part.is_empty()) {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        sent(written);
        advance(&mut parts, written);
    }
}

async fn within<T>(
    stall: Duration,
    step: impl Future<Output = io::Result<T>>,
) -> Result<T, SendError> {
    Ok(timeout(stall, step).await.map_err(|_| SendError::Stalled(stall))??)
}

/// The parts in memory up to the next region.
fn leading_bytes(parts: &VecDeque<Outgoing>) -> impl Iterator<Item = io::IoSlice<'_>> {
    let bytes = parts.iter().map_while(|part| match part {
        Outgoing::Bytes(bytes) => Some(io::IoSlice::new(bytes)),
        Outgoing::Region(_) => None,
    });
    bytes.take(PARTS)
}

/// Sends from the front of a region as much as the socket takes.
async fn send_some(socket: &TcpStream, region: &FileRegion) -> io::Result<usize> {
    let file = region.descriptor().ok_or(io::ErrorKind::Unsupported)?;
    let step = region.len().min(STEP_BYTES);
    let send = || {
        let mut position = region.position();
        Ok(sendfile(socket, file, Some(&mut position), step)?)
    };
    match socket.async_io(Interest::WRITABLE, send).await? {
        // The bytes were there when they were checked.
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        sent => Ok(sent),
    }
}

/// Whether the file or the socket is of a kind that `sendfile` does not know.
fn is_no_way(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

fn read_some(region: &FileRegion) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; region.len().min(COPY_BYTES)];
    region.read(&mut bytes)?;
    Ok(bytes)
}

fn advance(parts: &mut VecDeque<Outgoing>, mut written: usize) {
    while let Some(part) = parts.front_mut() {
        if part.len() > written {
            part.skip(written);
            return;
        }
        written -= part.len();
        parts.pop_front();
    }
}

impl Outgoing {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Region(region) => region.len(),
        }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn skip(&mut self, bytes: usize) {
        match self {
            Self::Bytes(part) => part.advance(bytes),
            Self::Region(region) => region.skip(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use factum_event::batch::{Batch, crc32c};
    use factum_event::{Offset, Partition, SystemClock, TopicId};
    use factum_log::disk::sim::SimDisk;
    use factum_log::{Chunk, Disk, Log, LogSettings, OsDisk, PartitionId};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use uuid::Uuid;

    use super::*;
    use crate::kafka::transport;

    const STALL: Duration = Duration::from_secs(30);

    fn batch(bytes: usize) -> Batch {
        let mut batch: Vec<u8> =
            (0..=250_u8).flat_map(|byte| [byte; 7]).cycle().take(bytes).collect();
        let length = i32::try_from(bytes - 12).unwrap();
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[16] = 2;
        batch[21..61].fill(0);
        let crc = crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        Batch::parse(batch.into()).unwrap()
    }

    /// The region of one large batch, and its bytes.
    async fn region(disk: Arc<dyn Disk>, bytes: usize) -> (FileRegion, Vec<u8>) {
        let settings = LogSettings { tail_bytes: 0, ..LogSettings::default() };
        let (log, _) = Log::open(disk, Arc::new(SystemClock::new()), settings).unwrap();
        let id = PartitionId { topic: TopicId(Uuid::nil()), partition: Partition::ZERO };
        let room = log.reserve(bytes).await.unwrap();
        log.append(room, id, batch(bytes)).unwrap().await.unwrap();
        let slice = log.read_regions(id, Offset::ZERO, usize::MAX).await.unwrap();
        let [Chunk::File(region)] = &slice.chunks[..] else { panic!("{slice:?}") };
        (region.clone(), batch(bytes).at(Offset::ZERO).bytes().to_vec())
    }

    async fn pair() -> (WriteHalf, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (here, _) = listener.accept().await.unwrap();
        // The other half is dropped, which closes nothing.
        (transport::plain(here).1, there)
    }

    async fn arrives(disk: Arc<dyn Disk>) {
        let (region, bytes) = region(disk, 5_000_000).await;
        let (mut write, mut there) = pair().await;
        let text = |text: &'static [u8]| Outgoing::Bytes(Bytes::from_static(text));
        let parts = vec![
            text(b"before"),
            text(b""),
            Outgoing::Region(region.clone()),
            Outgoing::Region(region),
            text(b"after"),
            text(b""),
        ];
        let sending = tokio::spawn(async move {
            let mut count = 0;
            send(&mut write, parts, STALL, |sent| count += sent).await.map(|()| count)
        });
        let expected = [b"before", &bytes[..], &bytes[..], b"after"].concat();
        let mut came = Vec::new();
        there.read_to_end(&mut came).await.unwrap();
        assert!(came == expected, "{} bytes came of {}", came.len(), expected.len());
        assert_eq!(sending.await.unwrap().unwrap(), expected.len());
    }

    #[tokio::test]
    async fn regions_of_files_arrive_between_bytes() {
        let directory = tempfile::tempdir().unwrap();
        arrives(Arc::new(OsDisk::new(directory.path()).unwrap())).await;
    }

    #[tokio::test]
    async fn regions_without_a_file_of_the_operating_system_are_copied() {
        arrives(Arc::new(SimDisk::new(1))).await;
    }

    #[tokio::test]
    async fn who_takes_nothing_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(OsDisk::new(directory.path()).unwrap());
        let (region, _) = region(disk, 5_000_000).await;
        let (mut write, _there) = pair().await;
        let parts = std::iter::repeat_with(|| Outgoing::Region(region.clone())).take(100).collect();
        let stall = Duration::from_millis(50);
        let stalled = send(&mut write, parts, stall, |_| {}).await;
        assert!(matches!(stalled, Err(SendError::Stalled(_))), "{stalled:?}");
    }

    #[tokio::test]
    async fn who_has_gone_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(OsDisk::new(directory.path()).unwrap());
        let (region, _) = region(disk, 5_000_000).await;
        let (mut write, there) = pair().await;
        drop(there);
        let parts = std::iter::repeat_with(|| Outgoing::Region(region.clone())).take(100).collect();
        let gone = send(&mut write, parts, STALL, |_| {}).await;
        assert!(matches!(gone, Err(SendError::Io(_))), "{gone:?}");
    }
}
