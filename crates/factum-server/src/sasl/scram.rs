//! The messages of SCRAM (RFC 5802, RFC 7677), without the proofs in them.
//!
//! A client names itself and a nonce; the server adds its own nonce, the salt and the iterations of
//! the password; the client proves that it knows the password, and the server proves in turn that
//! it knows it too. Channel binding is not offered, as Kafka does not offer it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::LoginError;
use crate::password::MAX_BYTES;

/// The longest nonce that is taken; Kafka's clients send some tens of characters.
const MAX_NONCE_BYTES: usize = 1024;

/// The longest proof: a hash.
const MAX_PROOF_BYTES: usize = 64;

/// What a client says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientFirst {
    /// What channel binding is to be checked against, up to and with its last comma.
    header: String,
    /// Everything behind that.
    bare: String,
    /// The name of the user.
    pub(super) user: String,
    nonce: String,
}

impl ClientFirst {
    /// Reads `n,[a=NAME],n=NAME,r=NONCE[,…]`.
    pub(super) fn parse(message: &[u8]) -> Result<Self, LoginError> {
        let text = std::str::from_utf8(message).map_err(|_| garbled("is not UTF-8"))?;
        let (flag, rest) = text.split_once(',').ok_or_else(|| garbled("has no header"))?;
        match flag {
            "n" | "y" => {}
            flag if flag.starts_with("p=") => return Err(garbled("asks for channel binding")),
            _ => return Err(garbled("has no header")),
        }
        let (on_behalf_of, bare) = rest.split_once(',').ok_or_else(|| garbled("has no header"))?;
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|one| one.strip_prefix("n=")).map(unescaped);
        let user = user.ok_or_else(|| garbled("has no name"))??;
        let nonce = attributes.next().and_then(|one| one.strip_prefix("r="));
        let nonce = nonce.filter(|nonce| is_nonce(nonce)).ok_or_else(|| garbled("has no nonce"))?;
        check_on_behalf_of(on_behalf_of, &user)?;
        let header = text[..text.len() - bare.len()].to_owned();
        Ok(Self { header, bare: bare.to_owned(), user, nonce: nonce.to_owned() })
    }
}

/// Who logs in acts for themselves and nobody else.
fn check_on_behalf_of(attribute: &str, user: &str) -> Result<(), LoginError> {
    if attribute.is_empty() {
        return Ok(());
    }
    let name = attribute.strip_prefix("a=").ok_or_else(|| garbled("has no header"))?;
    if unescaped(name)? == user { Ok(()) } else { Err(LoginError::OtherName) }
}

/// What the server has answered to a [`ClientFirst`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    first: ClientFirst,
    nonce: String,
    text: String,
}

/// What a client says last, where it fits the challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientFinal {
    /// What the proof is made of.
    pub(super) auth_message: Vec<u8>,
    /// The proof.
    pub(super) proof: Vec<u8>,
}

impl Challenge {
    /// Answers with `server_nonce` (printable, without a comma), the salt and the iterations.
    pub(super) fn new(
        first: ClientFirst,
        server_nonce: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Self {
        let nonce = format!("{}{server_nonce}", first.nonce);
        let text = format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt));
        Self { first, nonce, text }
    }

    /// The message to the client.
    pub(super) fn message(&self) -> Vec<u8> {
        self.text.clone().into_bytes()
    }

    /// The name of the user.
    pub(super) fn user(&self) -> &str {
        &self.first.user
    }

    /// Reads `c=HEADER,r=NONCE[,…],p=PROOF`.
    pub(super) fn parse_final(&self, message: &[u8]) -> Result<ClientFinal, LoginError> {
        let text = std::str::from_utf8(message).map_err(|_| garbled("is not UTF-8"))?;
        let (without_proof, proof) =
            text.rsplit_once(",p=").ok_or_else(|| garbled("has no proof"))?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|one| one.strip_prefix("c="));
        let nonce = attributes.next().and_then(|one| one.strip_prefix("r="));
        if binding != Some(STANDARD.encode(&self.first.header).as_str()) {
            return Err(garbled("has another header than the first"));
        }
        // librdkafka before 2.6.1 puts its own nonce in front once more; Kafka takes that, too, and
        // the proof covers what was sent.
        if !nonce.is_some_and(|nonce| nonce.ends_with(&self.nonce)) {
            return Err(garbled("has another nonce than the challenge"));
        }
        let proof = STANDARD.decode(proof).map_err(|_| garbled("has no proof in Base64"))?;
        if proof.len() > MAX_PROOF_BYTES {
            return Err(garbled("has a proof that is no hash"));
        }
        let auth_message =
            format!("{},{},{without_proof}", self.first.bare, self.text).into_bytes();
        Ok(ClientFinal { auth_message, proof })
    }
}

/// The server's last message: its own proof.
pub(super) fn server_final(signature: &[u8]) -> Vec<u8> {
    format!("v={}", STANDARD.encode(signature)).into_bytes()
}

const fn garbled(what: &'static str) -> LoginError {
    LoginError::Garbled(what)
}

/// Printable characters of ASCII without a comma.
fn is_nonce(text: &str) -> bool {
    let printable = |byte: u8| byte.is_ascii_graphic() && byte != b',';
    !text.is_empty() && text.len() <= MAX_NONCE_BYTES && text.bytes().all(printable)
}

/// A name: `=2C` and `=3D` stand for comma and equals sign.
fn unescaped(text: &str) -> Result<String, LoginError> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        name.push_str(&rest[..at]);
        name.push(match rest.get(at + 1..at + 3) {
            Some("2C") => ',',
            Some("3D") => '=',
            _ => return Err(garbled("has a name with a wrong escape")),
        });
        rest = &rest[at + 3..];
    }
    name.push_str(rest);
    let is_name = !name.is_empty() && name.len() <= MAX_BYTES && !name.contains('\0');
    if is_name { Ok(name) } else { Err(garbled("has no name")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The exchange of RFC 7677, section 3.
    #[test]
    fn the_exchange_of_the_standard_is_understood() {
        let first = ClientFirst::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!(first.user, "user");
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let challenge = Challenge::new(first, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", &salt, 4096);
        assert_eq!(
            challenge.message(),
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
              s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = challenge
            .parse_final(
                b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                  p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            )
            .unwrap();
        assert_eq!(last.proof.len(), 32);
        assert_eq!(
            last.auth_message,
            b"n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
              s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
              c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        );
    }

    #[test]
    fn names_may_have_commas_and_equals_signs() {
        let first = ClientFirst::parse(b"n,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=x,ext=1").unwrap();
        assert_eq!(first.user, "a,b=c");
        assert_eq!(first.header, "n,a=a=2Cb=3Dc,");
    }

    #[test]
    fn nobody_logs_in_for_somebody_else() {
        let other = ClientFirst::parse(b"n,a=admin,n=alice,r=x");
        assert!(matches!(other, Err(LoginError::OtherName)), "{other:?}");
    }

    #[test]
    fn what_is_no_first_message_is_refused() {
        for bad in [
            &b""[..],
            b"n",
            b"n,",
            b"n,,",
            b"n,,n=,r=x",
            b"n,,n=a",
            b"n,,n=a,r=",
            b"n,,r=x,n=a",
            b"n,,n=a=2,r=x",
            b"n,,n=a=2c,r=x",
            b"n,,n==\xc3\xa9,r=x",
            b"n,,m=x,n=a,r=x",
            b"n,,n=a,r=a\x7f",
            b"p=tls-unique,,n=a,r=x",
            b"x,,n=a,r=x",
            b"n,b,n=a,r=x",
            b"n,,n=\xff,r=x",
            b"n,,n=a\0b,r=x",
        ] {
            assert!(ClientFirst::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
        let long = format!("n,,n={},r=x", "a".repeat(MAX_BYTES + 1));
        assert!(ClientFirst::parse(long.as_bytes()).is_err());
    }

    #[test]
    fn what_does_not_fit_the_challenge_is_refused() {
        let challenge = || {
            let first = ClientFirst::parse(b"n,,n=user,r=abc").unwrap();
            Challenge::new(first, "def", b"salt", 4096)
        };
        assert!(challenge().parse_final(b"c=biws,r=abcdef,p=AAAA").is_ok());
        assert!(challenge().parse_final(b"c=biws,r=abcdef,x=1,p=AAAA").is_ok());
        assert!(challenge().parse_final(b"c=biws,r=abcabcdef,p=AAAA").is_ok(), "librdkafka 2.0");
        for bad in [
            &b""[..],
            b"c=biws,r=abcdef",
            b"c=biws,r=abc,p=AAAA",
            b"c=biws,r=abcdefg,p=AAAA",
            b"c=eSws,r=abcdef,p=AAAA",
            b"r=abcdef,c=biws,p=AAAA",
            b"c=biws,r=abcdef,p=%",
            b"c=biws,r=abcdef,p=\xff",
        ] {
            assert!(challenge().parse_final(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes: Vec<u8>) {
            let _ = ClientFirst::parse(&bytes);
            let first = ClientFirst::parse(b"n,,n=user,r=abc").unwrap();
            let _ = Challenge::new(first, "def", b"salt", 4096).parse_final(&bytes);
        }

        #[test]
        fn any_attributes_are_a_message_or_an_error(text in "[nyp],(a=[a-z=,23CD]{0,9})?,.{0,40}") {
            let _ = ClientFirst::parse(text.as_bytes());
        }

        #[test]
        fn any_name_comes_through(name in "[^\\x00]{1,60}") {
            let escaped = name.replace('=', "=3D").replace(',', "=2C");
            let first = ClientFirst::parse(format!("n,,n={escaped},r=x").as_bytes()).unwrap();
            prop_assert_eq!(first.user, name);
        }
    }
}
