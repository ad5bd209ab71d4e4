//! What a certificate says of its owner and its end.
//!
//! Names are written as RFC 2253 has them and as Java, and so Kafka, writes them: rules for
//! principals that were made for Kafka fit. The last part comes first, attributes that the RFC
//! does not name are numbers with their bytes.

use std::fmt::Write;

use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::AttributeTypeAndValue;

/// The attributes that RFC 2253 has names for.
const NAMED: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// What stands behind a backslash in a value.
const ESCAPED: &str = ",=+<>#;\"\\";

/// The name of a certificate's owner; none if the bytes are no certificate.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let parts: Vec<_> = certificate.subject().iter_rdn().collect();
    let part = |attributes: Vec<String>| attributes.join("+");
    let parts = parts.into_iter().rev().map(|rdn| part(rdn.iter().map(attribute).collect()));
    Some(parts.collect::<Vec<_>>().join(","))
}

/// When a certificate ends, in seconds since 1970; none if the bytes are no certificate.
pub(super) fn ends_at_seconds(certificate: &[u8]) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

fn attribute(of: &AttributeTypeAndValue<'_>) -> String {
    let number = of.attr_type().to_id_string();
    let name = NAMED.iter().find(|(known, _)| *known == number);
    match (name, of.as_str()) {
        (Some((_, name)), Ok(value)) => format!("{name}={}", escaped(value)),
        (name, _) => format!("{}=#{}", name.map_or(&*number, |(_, name)| name), encoded(of)),
    }
}

fn escaped(value: &str) -> String {
    let (inner, last) = (value.trim_matches(' '), value.chars().count());
    let leading = value.len() - value.trim_start_matches(' ').len();
    let trailing =
        if inner.is_empty() { 0 } else { value.len() - value.trim_end_matches(' ').len() };
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.chars().enumerate() {
        if at < leading || at >= last - trailing || ESCAPED.contains(c) {
            text.push('\\');
        }
        match c {
            '\0' => text.push_str("\\00"),
            c => text.push(c),
        }
    }
    text
}

/// The value with its tag and length, in hexadecimal digits.
fn encoded(of: &AttributeTypeAndValue<'_>) -> String {
    let bytes = of.as_slice();
    let mut text = format!("{:02x}", of.attr_value().tag().0);
    let length = bytes.len().to_be_bytes();
    let significant: &[u8] = match length.iter().position(|byte| *byte != 0) {
        Some(first) => &length[first..],
        None => &[0],
    };
    if bytes.len() > 0x7f {
        // It cannot fail: text takes everything. The same holds below.
        let _ = write!(text, "{:02x}", 0x80 + significant.len());
    }
    for byte in significant.iter().chain(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(parts: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn name(parts: &[(DnType, &str)]) -> String {
        subject(&certificate(parts)).unwrap()
    }

    #[test]
    fn the_last_part_of_a_name_comes_first() {
        let parts = [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Example"),
            (DnType::CommonName, "order-service"),
        ];
        assert_eq!(name(&parts), "CN=order-service,O=Example,C=DE");
    }

    #[test]
    fn what_has_a_meaning_in_names_is_escaped() {
        let parts = [(DnType::OrganizationName, " A, B = \"C\" "), (DnType::CommonName, "#1+2")];
        assert_eq!(name(&parts), "CN=\\#1\\+2,O=\\ A\\, B \\= \\\"C\\\"\\ ");
    }

    #[test]
    fn attributes_without_a_name_are_numbers() {
        let mail = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
        let expected = "1.2.840.113549.1.9.1=#0c03614062,CN=x";
        assert_eq!(name(&[(DnType::CommonName, "x"), (mail, "a@b")]), expected);
    }

    #[test]
    fn bytes_that_are_no_certificate_have_no_name() {
        assert_eq!(subject(b""), None);
        assert_eq!(subject(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(ends_at_seconds(b"x"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_name_or_none(noise: Vec<u8>, at: prop::sample::Index, byte: u8) {
            let _ = (subject(&noise), ends_at_seconds(&noise));
            let mail = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
            let mut changed = certificate(&[(DnType::CommonName, "a,b"), (mail, "a@b")]);
            let at = at.index(changed.len());
            changed[at] = byte;
            let _ = (subject(&changed), ends_at_seconds(&changed));
        }

        #[test]
        fn no_value_looks_like_another_part_of_the_name(
            value in r#"[ ,=+<>#;"\\\x00a-c]{0,20}"#,
            other: String,
        ) {
            for value in [value, other] {
                let text = escaped(&value);
                let mut chars = text.chars();
                while let Some(c) = chars.next() {
                    prop_assert!(!ESCAPED[..ESCAPED.len() - 1].contains(c), "{text}");
                    if c == '\\' {
                        chars.next();
                    }
                }
            }
        }
    }
}
