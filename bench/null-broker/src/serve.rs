//! Connections: one thread each, which reads a frame, answers it, and reads the next one.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use factum_wire::frame;
use thiserror::Error;

use crate::answer::{Broker, Refused};

/// Connections at once; more are closed.
const MAX_CONNECTIONS: usize = 512;
/// Segments of an answer that one call writes; Linux takes no more than 1024.
const MAX_SEGMENTS: usize = 512;

/// Why a connection ends before its client closes it.
#[derive(Debug, Error)]
enum Closing {
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] frame::FrameError),
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Serves everyone who connects.
///
/// # Errors
/// If the listener fails.
pub(crate) fn forever(listener: &TcpListener, broker: &Arc<Broker>) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept()?;
        // One count for this function, one for each connection.
        if Arc::strong_count(broker) > MAX_CONNECTIONS {
            eprintln!("{peer}: closed, as there are {MAX_CONNECTIONS} connections");
            continue;
        }
        let broker = Arc::clone(broker);
        thread::Builder::new().name("connection".to_owned()).spawn(move || {
            if let Err(error) = connection(stream, &broker) {
                eprintln!("{peer}: closed: {error}");
            }
        })?;
    }
}

fn connection(mut stream: TcpStream, broker: &Broker) -> Result<(), Closing> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::new();
    loop {
        let mut prefix = [0; 4];
        match stream.read_exact(&mut prefix) {
            Ok(()) => {}
            // A client that goes needs no answer.
            Err(error) if gone(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let size = frame::size(prefix, frame::DEFAULT_LIMIT)?;
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        stream.read_exact(&mut buffer[..size])?;
        let whole = buffer.freeze();
        let answer = broker.answer(whole.slice(..size))?;
        // The request is gone, so that the buffer is ours again without a copy.
        buffer = whole.try_into_mut().unwrap_or_default();
        if let Some(patience) = answer.wait {
            wait(&stream, patience)?;
        }
        match send(&mut stream, &answer.parts) {
            Err(error) if gone(&error) => return Ok(()),
            sent => sent?,
        }
    }
}

fn gone(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Until the time is over, or the client says something else or goes.
fn wait(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(patience))?;
    match stream.peek(&mut [0]) {
        Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            return Err(error);
        }
        _ => {}
    }
    stream.set_read_timeout(None)
}

fn send(stream: &mut TcpStream, parts: &[Bytes]) -> io::Result<()> {
    for parts in parts.chunks(MAX_SEGMENTS) {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = &mut slices[..];
        // Empty parts at the front would look like a closed socket.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match stream.write_vectored(rest)? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut rest, written),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use factum_event::batch::Batch;
    use factum_wire::messages::*;
    use factum_wire::{ApiKey, Message, Records, Request};

    use super::*;
    use crate::batches::Prepared;
    use crate::catalog::Catalog;

    /// A client that asks one thing after the other.
    struct Client {
        stream: TcpStream,
        asked: i32,
    }

    impl Client {
        /// Connects to a new broker whose partitions hold at least 1000 records.
        fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let served = Prepared::new(100, 2000, 1000).unwrap();
            let broker = Broker { address, catalog: Catalog::new(1), served };
            thread::spawn(move || forever(&listener, &Arc::new(broker)));
            Self { stream: TcpStream::connect(address).unwrap(), asked: 0 }
        }

        fn send<R: Request>(&mut self, request: &R, version: i16) {
            self.asked += 1;
            let frame = frame::write_request(request, version, self.asked, Some(&"rdkafka".into()));
            self.stream.write_all(&frame.unwrap().concat()).unwrap();
        }

        fn receive<R: Request>(&mut self, version: i16) -> R::Response {
            let mut prefix = [0; 4];
            self.stream.read_exact(&mut prefix).unwrap();
            let mut body = vec![0; frame::size(prefix, frame::DEFAULT_LIMIT).unwrap()];
            self.stream.read_exact(&mut body).unwrap();
            let (id, mut reader) = frame::read_response(body.into(), R::KEY, version).unwrap();
            assert_eq!(id, self.asked);
            R::Response::decode(&mut reader, version).unwrap()
        }

        fn ask<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
            self.send(request, version);
            self.receive::<R>(version)
        }
    }

    fn produce(acks: i16) -> ProduceRequest {
        let records = Some(Records::from(Bytes::from(vec![7; 100_000])));
        let partition_data = vec![PartitionProduceData { index: 4999, records }];
        let topic = TopicProduceData { name: "many".into(), partition_data, ..Default::default() };
        ProduceRequest { acks, topic_data: vec![topic], ..Default::default() }
    }

    fn fetch(fetch_offset: i64, max_wait_ms: i32) -> FetchRequest {
        let partition =
            FetchPartition { fetch_offset, partition_max_bytes: 1 << 20, ..Default::default() };
        let topic =
            FetchTopic { topic: "many".into(), partitions: vec![partition], ..Default::default() };
        FetchRequest { max_wait_ms, topics: vec![topic], ..Default::default() }
    }

    #[test]
    fn a_producer_of_the_shape_of_librdkafka_is_served() {
        let mut client = Client::new();
        let versions = client.ask(&ApiVersionsRequest::default(), 3);
        assert!(versions.api_keys.iter().any(|api| api.api_key == 0 && api.max_version == 12));
        let topic = CreatableTopic {
            name: "many".into(),
            num_partitions: 5000,
            replication_factor: 1,
            ..Default::default()
        };
        let created =
            client.ask(&CreateTopicsRequest { topics: vec![topic], ..Default::default() }, 4);
        assert_eq!(created.topics[0].error_code, 0);
        let metadata = client.ask(&MetadataRequest::default(), 4);
        assert_eq!(metadata.topics[0].partitions.len(), 5000);
        let identity = client.ask(&InitProducerIdRequest::default(), 4);
        assert!(identity.producer_id >= 0 && identity.error_code == 0);
        for version in [3, 7, 9, 12] {
            let produced = client.ask(&produce(-1), version);
            let partition = &produced.responses[0].partition_responses[0];
            assert_eq!((partition.index, partition.error_code), (4999, 0));
        }
    }

    #[test]
    fn what_wants_no_acknowledgement_gets_none() {
        let mut client = Client::new();
        client.send(&produce(0), 7);
        // The next answer is the one to the next request.
        client.ask(&ApiVersionsRequest::default(), 0);
    }

    #[test]
    fn a_reader_gets_every_offset_once_and_then_the_end() {
        let mut client = Client::new();
        let mut next = 0;
        loop {
            let answer = client.ask(&fetch(next, 0), 11);
            let partition = &answer.responses[0].partitions[0];
            let mut bytes = partition.records.clone().unwrap().into_bytes();
            if bytes.is_empty() {
                assert_eq!(next, partition.high_watermark);
                break;
            }
            while !bytes.is_empty() {
                let batch = Batch::parse_first(&bytes).unwrap();
                assert_eq!(batch.header().base_offset, next);
                next += i64::from(batch.header().offsets());
                bytes = bytes.slice(batch.bytes().len()..);
            }
        }
        assert!(next >= 1000);
    }

    #[test]
    fn a_fetch_at_the_end_waits_until_the_client_says_something_else() {
        let mut client = Client::new();
        client.send(&fetch(1 << 40, i32::MAX), 11);
        let correlation_id = client.asked;
        client.send(&ApiVersionsRequest::default(), 0);
        client.asked = correlation_id;
        let answer = client.receive::<FetchRequest>(11);
        assert!(answer.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
        client.asked += 1;
        client.receive::<ApiVersionsRequest>(0);
    }

    #[test]
    fn an_unknown_version_of_api_versions_is_told_what_is_served_and_others_are_closed() {
        let mut client = Client::new();
        let mut frame = Vec::from(11_i32.to_be_bytes());
        frame.extend([0, 18, 0, 99, 0, 0, 0, 1, 0xff, 0xff, 0]);
        client.stream.write_all(&frame).unwrap();
        client.asked = 1;
        let answer = client.receive::<ApiVersionsRequest>(0);
        assert_eq!((answer.error_code, answer.api_keys.len()), (35, 8));
        client.send(&HeartbeatRequest::default(), *ApiKey::Heartbeat.versions().end());
        assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    }
}
