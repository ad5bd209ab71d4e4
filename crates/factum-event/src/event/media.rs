//! Media types (RFC 2045 section 5.1, RFC 2046): as much as the envelope needs to know.

/// A media type that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MediaType<'a> {
    kind: &'a str,
    subtype: &'a str,
    charset: Option<&'a str>,
}

impl MediaType<'_> {
    /// `*/json` or `*/*+json` (JSON format, section 3.1.1).
    pub(super) fn is_json(&self) -> bool {
        self.subtype.eq_ignore_ascii_case("json") || self.has_suffix("+json")
    }

    /// Whether its content is text that can be read as UTF-8.
    pub(super) fn is_text(&self) -> bool {
        const TEXTUAL: [&str; 7] =
            ["xml", "javascript", "yaml", "toml", "sql", "graphql", "x-www-form-urlencoded"];
        let known = |list: &[&str]| list.iter().any(|s| self.subtype.eq_ignore_ascii_case(s));
        let textual = self.kind.eq_ignore_ascii_case("text")
            || known(&TEXTUAL)
            || self.has_suffix("+xml")
            || self.has_suffix("+yaml");
        let utf8 = |charset: &str| {
            ["utf-8", "utf8", "us-ascii"].iter().any(|c| charset.eq_ignore_ascii_case(c))
        };
        textual && self.charset.is_none_or(utf8)
    }

    fn has_suffix(&self, suffix: &str) -> bool {
        let from = self.subtype.len().checked_sub(suffix.len());
        from.and_then(|at| self.subtype.get(at..)).is_some_and(|s| s.eq_ignore_ascii_case(suffix))
    }
}

/// Reads `type/subtype *(";" name "=" value)`; none if it is not a media type.
pub(super) fn parse(text: &str) -> Option<MediaType<'_>> {
    let (essence, mut rest) = match text.find(';') {
        Some(at) => (&text[..at], &text[at..]),
        None => (text, ""),
    };
    let (kind, subtype) = essence.trim_end_matches(is_space).split_once('/')?;
    // Space around it would not survive a header.
    if text.ends_with(is_space) || !is_token(kind) || !is_token(subtype) {
        return None;
    }
    let mut charset = None;
    while let Some(parameter) = rest.strip_prefix(';') {
        let (name, value, after) = parse_parameter(parameter)?;
        if name.eq_ignore_ascii_case("charset") {
            charset = Some(value);
        }
        rest = after;
    }
    rest.is_empty().then_some(MediaType { kind, subtype, charset })
}

/// Type and subtype without parameters, as they came.
pub(super) fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or(text).trim_matches(is_space)
}

/// One parameter and what follows it. A quoted value may hold anything printable.
fn parse_parameter(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.trim_start_matches(is_space).split_once('=')?;
    if !is_token(name) {
        return None;
    }
    let (value, rest) = if let Some(quoted) = rest.strip_prefix('"') {
        let end = closing_quote(quoted)?;
        (&quoted[..end], &quoted[end + 1..])
    } else {
        let end = rest.find(|c| c == ';' || is_space(c)).unwrap_or(rest.len());
        is_token(&rest[..end]).then_some((&rest[..end], &rest[end..]))?
    };
    Some((name, value, rest.trim_start_matches(is_space)))
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            0x20..=0x7e | b'\t' => {}
            _ => return None,
        }
    }
    None
}

fn is_space(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// RFC 7230's token, which leaves out a little of what RFC 2045 allows and HTTP does not.
fn is_token(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_follow_rfc_2045() {
        for good in [
            "application/json",
            "APPLICATION/vnd.a+JSON",
            "text/plain; charset=us-ascii",
            "text/plain;charset=\"utf-8\" ; a=b",
            "multipart/form-data; boundary=\"a;\\\"b\"",
        ] {
            assert!(parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "json",
            "/",
            "a/",
            "/b",
            "a b/c",
            "a/b c",
            "a/b;",
            "a/b; c",
            "a/b; =d",
            "a/b; c=",
            "a/b; c=\"d",
            "a/b; c=d e",
            "ä/b",
            "a/b; c=\"ä\"",
            " a/b",
            "a/b ",
            "a/b; c=d ",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn json_and_text_are_told_by_subtype_suffix_and_charset() {
        let json = |text| parse(text).is_some_and(|media| media.is_json());
        assert!(json("application/json") && json("text/JSON; a=b") && json("x/y+json"));
        assert!(!json("application/jsonx") && !json("application/x+jsonx") && !json("json/x"));
        let text = |text| parse(text).is_some_and(|media| media.is_text());
        assert!(text("text/plain") && text("application/xml; CharSet=UTF-8") && text("a/b+xml"));
        assert!(!text("text/plain; charset=iso-8859-1") && !text("application/octet-stream"));
    }
}
