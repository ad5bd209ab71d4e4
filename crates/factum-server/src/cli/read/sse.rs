//! Server-sent events, as far as the HTTP door uses them: `id`, `event`, `data`, comments.

use std::io::{self, BufRead, Read};

/// The longest frame.
const MAX_FRAME_BYTES: usize = 64 << 20;

/// A frame of an event stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frame {
    /// Where to go on after it.
    pub id: Option<String>,
    /// Its kind; none is `message`.
    pub event: Option<String>,
    /// Its content; empty where the frame only carries an id.
    pub data: String,
}

/// Reads the frames of an event stream.
pub struct Frames<R> {
    reader: R,
}

impl<R: BufRead> Frames<R> {
    /// Frames of this stream.
    pub const fn new(reader: R) -> Self {
        Self { reader }
    }

    /// The next frame; none at the end of the stream. Half a frame at the end is dropped.
    ///
    /// # Errors
    /// What the stream says, or [`io::ErrorKind::InvalidData`] for a frame above the limit.
    pub fn next(&mut self) -> io::Result<Option<Frame>> {
        let (mut frame, mut bytes, mut line) = (Frame::default(), 0, Vec::new());
        loop {
            line.clear();
            let limit = (MAX_FRAME_BYTES - bytes) as u64;
            bytes += self.reader.by_ref().take(limit).read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                let too_large = bytes >= MAX_FRAME_BYTES;
                return if too_large { Err(io::ErrorKind::InvalidData.into()) } else { Ok(None) };
            }
            let text = String::from_utf8_lossy(line.trim_ascii_end());
            if text.is_empty() {
                if frame != Frame::default() {
                    return Ok(Some(frame));
                }
                continue;
            }
            field(&mut frame, &text);
        }
    }
}

fn field(frame: &mut Frame, line: &str) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let value = value.strip_prefix(' ').unwrap_or(value);
    match name {
        "id" => frame.id = Some(value.to_owned()),
        "event" => frame.event = Some(value.to_owned()),
        "data" => {
            if !frame.data.is_empty() {
                frame.data.push('\n');
            }
            frame.data.push_str(value);
        }
        // A comment, or a field that we do not know.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(text: &str) -> Vec<Frame> {
        let mut frames = Frames::new(text.as_bytes());
        std::iter::from_fn(|| frames.next().unwrap()).collect()
    }

    #[test]
    fn frames_carry_id_event_and_data() {
        let got = frames(
            ": factum\nid: c0\n\nid: c1\ndata: {\"a\":\ndata: 1}\n\n\nevent: end\ndata:x\r\n\r\n",
        );
        assert_eq!(got[0], Frame { id: Some("c0".into()), ..Frame::default() });
        assert_eq!(got[1].data, "{\"a\":\n1}");
        assert_eq!((got[2].event.as_deref(), got[2].data.as_str()), (Some("end"), "x"));
        assert_eq!(got.len(), 3);
    }

    #[test]
    fn half_a_frame_at_the_end_is_no_frame() {
        assert!(frames("id: c1\ndata: {}\n").is_empty());
        assert!(frames("id: c1\ndata: {").is_empty());
    }
}
