//! One question in the Kafka protocol, asked without a client library, whose start takes time:
//! where a partition ends. ListOffsets, version 1.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::step::Failure;

const LIST_OFFSETS: i16 = 2;
const VERSION: i16 = 1;
const LATEST: i64 = -1;
const UNKNOWN_TOPIC: i16 = 3;
/// An answer about one partition is far shorter.
const MAX_ANSWER_BYTES: usize = 4096;
/// A server that says nothing for so long says nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection that asks for ends.
pub(crate) struct EndOffset {
    stream: TcpStream,
}

impl EndOffset {
    /// Asks on this connection.
    pub(crate) fn new(stream: TcpStream) -> Result<Self, Failure> {
        let patient = stream.set_read_timeout(Some(PATIENCE));
        patient
            .map_err(|error| Failure::Found(format!("a socket without a time limit: {error}")))?;
        Ok(Self { stream })
    }

    /// The offset after the last readable record of partition 0; -1 where the topic is missing.
    pub(crate) fn of(&mut self, topic: &str) -> Result<i64, Failure> {
        let answer = self
            .exchange(&request(topic))
            .map_err(|error| Failure::Found(format!("ListOffsets: {error}")))?;
        end_of(&answer, topic)
            .ok_or_else(|| Failure::Found(format!("ListOffsets answered {answer:02x?}")))
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.write_all(request)?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
        if size > MAX_ANSWER_BYTES {
            return Err(io::Error::other(format!("an answer of {size} bytes was announced")));
        }
        let mut answer = vec![0; size];
        self.stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

fn request(topic: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(LIST_OFFSETS.to_be_bytes());
    body.extend(VERSION.to_be_bytes());
    body.extend(0_i32.to_be_bytes()); // correlation id
    body.extend((-1_i16).to_be_bytes()); // no client id
    body.extend((-1_i32).to_be_bytes()); // no replica
    body.extend(1_i32.to_be_bytes());
    body.extend(u16::try_from(topic.len()).unwrap_or(u16::MAX).to_be_bytes());
    body.extend(topic.as_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(0_i32.to_be_bytes());
    body.extend(LATEST.to_be_bytes());
    let size = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&size.to_be_bytes()[..], &body].concat()
}

/// Behind correlation id, count, name, count and partition: error, timestamp, offset.
fn end_of(answer: &[u8], topic: &str) -> Option<i64> {
    let rest = answer.get(4 + 4 + 2 + topic.len() + 4 + 4..)?;
    let (error, rest) = rest.split_first_chunk()?;
    let offset = i64::from_be_bytes(*rest.get(8..)?.first_chunk()?);
    match i16::from_be_bytes(*error) {
        0 => Some(offset),
        UNKNOWN_TOPIC => Some(-1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_framed_and_the_answer_read() {
        let request = request("bench");
        assert_eq!(request.len(), 4 + 10 + 4 + 4 + 7 + 4 + 12);
        assert_eq!(request[..8], [0, 0, 0, 41, 0, 2, 0, 1]);
        let mut answer = vec![0; 4 + 4 + 2 + 5 + 4 + 4 + 2 + 8];
        answer.extend(77_i64.to_be_bytes());
        assert_eq!(end_of(&answer, "bench"), Some(77));
        answer[4 + 4 + 2 + 5 + 4 + 4 + 1] = 3;
        assert_eq!(end_of(&answer, "bench"), Some(-1));
        answer[4 + 4 + 2 + 5 + 4 + 4 + 1] = 6;
        assert_eq!(end_of(&answer, "bench"), None);
        assert_eq!(end_of(&answer[..20], "bench"), None);
    }
}
