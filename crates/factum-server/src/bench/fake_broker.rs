//! A broker for tests that takes one connection, keeps nothing, and misbehaves as told.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use factum_event::batch::Batch;
use factum_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceResponse,
};
use factum_wire::{ApiKey, ErrorCode, Message, Records, api, frame};

/// What it does with records.
#[derive(Debug, Clone, Copy)]
pub enum Behaviour {
    /// Acknowledges them.
    Good,
    /// Refuses them.
    Refuse,
    /// Acknowledges so many requests and closes the connection.
    Hang {
        /// How many.
        answers: usize,
    },
    /// Waits before its first answer.
    Stall {
        /// How long.
        first: Duration,
    },
}

/// Starts it; its address.
pub fn start(behaviour: Behaviour) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        serve(stream, behaviour);
    });
    address
}

fn serve(mut stream: TcpStream, behaviour: Behaviour) {
    let (mut offsets, mut answers) = (HashMap::<i32, i64>::new(), 0);
    loop {
        let mut prefix = [0; 4];
        if stream.read_exact(&mut prefix).is_err() {
            return;
        }
        let mut bytes = vec![0; frame::size(prefix, frame::DEFAULT_LIMIT).unwrap()];
        stream.read_exact(&mut bytes).unwrap();
        let (header, mut reader) = frame::read_request(bytes.into()).unwrap();
        let (version, id) = (header.api_version, header.correlation_id);
        let segments = if header.api_key == ApiKey::ApiVersions {
            ApiVersionsRequest::decode(&mut reader, version).unwrap();
            let answer = ApiVersionsResponse {
                api_keys: api::advertised(),
                ..ApiVersionsResponse::default()
            };
            frame::write_response(&answer, version, id).unwrap()
        } else {
            let request = ProduceRequest::decode(&mut reader, version).unwrap();
            match behaviour {
                Behaviour::Hang { answers: limit } if answers == limit => return,
                Behaviour::Stall { first } if answers == 0 => pause(first),
                _ => {}
            }
            answers += 1;
            let refused = matches!(behaviour, Behaviour::Refuse);
            frame::write_response(&produced(request, &mut offsets, refused), version, id).unwrap()
        };
        if segments.iter().any(|segment| stream.write_all(segment).is_err()) {
            return;
        }
    }
}

fn pause(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

fn produced(
    request: ProduceRequest,
    offsets: &mut HashMap<i32, i64>,
    refused: bool,
) -> ProduceResponse {
    let responses = request.topic_data.into_iter().map(|topic| TopicProduceResponse {
        name: topic.name,
        partition_responses: topic
            .partition_data
            .into_iter()
            .map(|data| {
                let records = data.records.map(Records::into_bytes).unwrap();
                let next = offsets.entry(data.index).or_default();
                let base_offset = *next;
                *next += i64::from(Batch::parse(records).unwrap().header().offsets());
                let code = if refused { ErrorCode::NotLeaderOrFollower } else { ErrorCode::None };
                PartitionProduceResponse {
                    index: data.index,
                    error_code: code.into(),
                    base_offset,
                    ..PartitionProduceResponse::default()
                }
            })
            .collect(),
        ..TopicProduceResponse::default()
    });
    ProduceResponse { responses: responses.collect(), ..ProduceResponse::default() }
}
