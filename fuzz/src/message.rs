//! Messages that a person can edit: headers and a body.

use bytes::Bytes;

/// Headers and a body, written so that a person can edit a seed: lines `name: value`, then an
/// empty line, then the body. Without the empty line there is no body.
pub struct Message<'a> {
    /// Names and values in their order; a line without `: ` is a name with an empty value.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// What follows the empty line.
    pub body: Option<Bytes>,
}

impl<'a> Message<'a> {
    /// Reads a message; none where a header's name is not text.
    pub fn read(input: &'a [u8]) -> Option<Self> {
        let (head, body) = match input.windows(2).position(|pair| pair == b"\n\n") {
            Some(at) => (&input[..at], Some(Bytes::copy_from_slice(&input[at + 2..]))),
            None => (input, None),
        };
        let headers = head.split(|&byte| byte == b'\n').map(header).collect::<Option<_>>()?;
        Some(Self { headers, body })
    }
}

fn header(line: &[u8]) -> Option<(&str, &[u8])> {
    let (name, value) = match line.windows(2).position(|pair| pair == b": ") {
        Some(at) => (&line[..at], &line[at + 2..]),
        None => (line, &line[line.len()..]),
    };
    Some((std::str::from_utf8(name).ok()?, value))
}
