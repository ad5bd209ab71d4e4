//! Tokens: JSON Web Tokens (RFC 7519) with a signature (RFC 7515) of a key that is trusted.
//!
//! Only signatures with public keys are taken, by the algorithm of the key: a token cannot choose
//! to be signed with nothing, or with a public key as if it were a secret. What is checked beside
//! the signature: that the token has begun and not ended, and who issued it for whom.

mod jwks;

use std::time::Duration;

use aws_lc_rs::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use factum_event::access::UserName;
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::config::OauthSettings;
pub(crate) use jwks::{KeysError, Tokens};

/// Keys of one document at most.
const MAX_KEYS: usize = 100;

/// The longest token that is looked at.
pub(crate) const MAX_BYTES: usize = 64 << 10;

/// The longest part of a token that is shown.
const SHOWN_CHARS: usize = 80;

/// Why a token is not taken. It is said with what the token claims, and never with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TokenError {
    /// Nothing was said of whose tokens to trust.
    #[error("no tokens are taken here; set oauth_jwks")]
    Unwanted,
    /// Not a token at all.
    #[error("it is no signed token; expected three parts in Base64 with dots between")]
    Form,
    /// Not signed by an algorithm that is known.
    #[error("it is signed by {0:?}; expected one of {known}", known = ALGORITHMS.join(", "))]
    Algorithm(String),
    /// It uses what this server does not know, and asks not to be taken then.
    #[error("it has critical extensions (crit); expected none")]
    Critical,
    /// No trusted key of that name and algorithm.
    #[error("its key ({0}) is not one of the trusted")]
    UnknownKey(String),
    /// As before, and the keys are not those that they may be.
    #[error("its key ({key}) is not one of the trusted, which could not be read again: {why}")]
    Unread {
        /// Name and algorithm of the key.
        key: String,
        /// Why the keys could not be read.
        why: String,
    },
    /// Not signed by that key.
    #[error("its signature is wrong")]
    Signature,
    /// It is of another time, of or for somebody else, or of nobody.
    #[error("its {claim} is {came}; expected {expected}")]
    Claim {
        /// The name of the claim.
        claim: String,
        /// What it is.
        came: String,
        /// What it should be.
        expected: String,
    },
}

/// Whose a token is, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The user that the token names.
    pub(crate) user: String,
    /// How long the token is still good.
    pub(crate) lasts: Duration,
}

/// Keys that tokens are checked with (RFC 7517).
#[derive(Debug, Default)]
struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Option<String>,
    public: PublicKey,
}

#[derive(Debug)]
enum PublicKey {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Entry {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// The keys for signatures of a document; those of kinds that are not known are left out.
    fn parse(document: &[u8]) -> Result<Self, serde_json::Error> {
        let Document { keys } = serde_json::from_slice(document)?;
        Ok(Self(keys.into_iter().take(MAX_KEYS).filter_map(key).collect()))
    }

    /// How many there are.
    const fn count(&self) -> usize {
        self.0.len()
    }

    /// Checks a token at `now`, in seconds since 1970.
    fn check(
        &self,
        token: &str,
        settings: &OauthSettings,
        now: f64,
    ) -> Result<Identity, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Form)?;
        let header = object(header)?;
        self.check_signature(&header, signed, &decoded(signature)?)?;
        let claims = object(claims)?;
        let lasts = check_times(&claims, settings.clock_skew, now)?;
        check_parties(&claims, settings)?;
        let name = &settings.principal_claim;
        let user = claims.get(name).and_then(Value::as_str).and_then(|user| user.parse().ok());
        let user: UserName = user.ok_or_else(|| wrong(&claims, name, "the name of a user"))?;
        Ok(Identity { user: user.to_string(), lasts })
    }

    fn check_signature(
        &self,
        header: &Map<String, Value>,
        signed: &str,
        signature: &[u8],
    ) -> Result<(), TokenError> {
        if header.contains_key("crit") {
            return Err(TokenError::Critical);
        }
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let algorithm = text("alg").unwrap_or_default();
        if !ALGORITHMS.contains(&algorithm) {
            return Err(TokenError::Algorithm(shown(algorithm)));
        }
        let id = text("kid");
        let mut fitting = self.0.iter().filter(|key| key.fits(id, algorithm)).peekable();
        if fitting.peek().is_none() {
            let name = id.map_or_else(|| "no name".to_owned(), |id| format!("{:?}", shown(id)));
            return Err(TokenError::UnknownKey(format!("{name} for {algorithm}")));
        }
        let mut verifies = |key: &Key| key.public.verifies(algorithm, signed.as_bytes(), signature);
        if fitting.any(&mut verifies) { Ok(()) } else { Err(TokenError::Signature) }
    }
}

const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

impl Key {
    fn fits(&self, id: Option<&str>, algorithm: &str) -> bool {
        let by_name = id.is_none_or(|id| self.id.as_deref() == Some(id));
        let by_own = self.algorithm.as_deref().is_none_or(|own| own == algorithm);
        let by_kind = match &self.public {
            PublicKey::Rsa { .. } => algorithm.starts_with("RS") || algorithm.starts_with("PS"),
            PublicKey::P256(_) => algorithm == "ES256",
            PublicKey::P384(_) => algorithm == "ES384",
            PublicKey::Ed25519(_) => algorithm == "EdDSA",
        };
        by_name && by_own && by_kind
    }
}

impl PublicKey {
    fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Rsa { n, e } => match rsa(algorithm) {
                Some(rsa) => RsaPublicKeyComponents { n, e }.verify(rsa, message, signature),
                None => return false,
            },
            Self::P256(point) => {
                let key = UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point);
                key.verify(message, signature)
            }
            Self::P384(point) => {
                let key = UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point);
                key.verify(message, signature)
            }
            Self::Ed25519(point) => {
                UnparsedPublicKey::new(&signature::ED25519, point).verify(message, signature)
            }
        };
        verified.is_ok()
    }
}

fn rsa(algorithm: &str) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
        "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn key(entry: Value) -> Option<Key> {
    let entry: Entry = serde_json::from_value(entry).ok()?;
    if entry.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return None;
    }
    let part = |text: &Option<String>| decoded(text.as_deref()?).ok();
    // An uncompressed point: its mark, and both coordinates.
    let point = |bytes: usize| {
        let (x, y) = (part(&entry.x)?, part(&entry.y)?);
        let whole = x.len() == bytes && y.len() == bytes;
        whole.then(|| [&[4][..], &x, &y].concat())
    };
    let public = match (entry.kty.as_str(), entry.crv.as_deref()) {
        ("RSA", _) => PublicKey::Rsa { n: part(&entry.n)?, e: part(&entry.e)? },
        ("EC", Some("P-256")) => PublicKey::P256(point(32)?),
        ("EC", Some("P-384")) => PublicKey::P384(point(48)?),
        ("OKP", Some("Ed25519")) => PublicKey::Ed25519(part(&entry.x)?),
        _ => return None,
    };
    Some(Key { id: entry.kid, algorithm: entry.alg, public })
}

fn decoded(text: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| TokenError::Form)
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    serde_json::from_slice(&decoded(part)?).map_err(|_| TokenError::Form)
}

/// A claim that is not what it has to be.
fn wrong(claims: &Map<String, Value>, claim: &str, expected: impl Into<String>) -> TokenError {
    let came = claims.get(claim).map_or_else(|| "missing".to_owned(), Value::to_string);
    let (claim, came, expected) = (claim.to_owned(), shown(&came), expected.into());
    TokenError::Claim { claim, came, expected }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// How long the token lasts, within the tolerance for clocks that differ.
fn check_times(
    claims: &Map<String, Value>,
    skew: Duration,
    now: f64,
) -> Result<Duration, TokenError> {
    let time = |name: &str| claims.get(name).map(|value| value.as_f64().unwrap_or(f64::NAN));
    let skew = skew.as_secs_f64();
    let ended = || wrong(claims, "exp", format!("a time after {:.0}", now - skew));
    let ends = time("exp").filter(|ends| now < ends + skew).ok_or_else(ended)?;
    for claim in ["nbf", "iat"] {
        // What is no number is not before now.
        let has_begun = time(claim).is_none_or(|begins| begins <= now + skew);
        if !has_begun {
            return Err(wrong(claims, claim, format!("a time up to {:.0}", now + skew)));
        }
    }
    // The tolerance counts for the session too, so that a client gets one at all.
    Duration::try_from_secs_f64(ends + skew - now).map_err(|_| ended())
}

fn check_parties(claims: &Map<String, Value>, settings: &OauthSettings) -> Result<(), TokenError> {
    let issuer = claims.get("iss").and_then(Value::as_str);
    if let Some(expected) = &settings.issuer
        && issuer != Some(expected.as_str())
    {
        return Err(wrong(claims, "iss", format!("{expected:?} (oauth_issuer)")));
    }
    let expected = |one: &str| settings.audience.iter().any(|audience| audience == one);
    let is_for_us = match claims.get("aud") {
        Some(Value::String(one)) => expected(one),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(expected),
        _ => false,
    };
    if settings.audience.is_empty() || is_for_us {
        return Ok(());
    }
    Err(wrong(claims, "aud", format!("one of {:?} (oauth_audience)", settings.audience)))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: f64 = 1_800_000_000.0;

    fn settings() -> OauthSettings {
        OauthSettings {
            jwks: String::new(),
            jwks_ca: None,
            issuer: Some("https://issuer.example".to_owned()),
            audience: vec!["kafka".to_owned(), "factum".to_owned()],
            principal_claim: "sub".to_owned(),
            clock_skew: Duration::from_secs(30),
        }
    }

    struct Signer(EcdsaKeyPair, SystemRandom);

    impl Signer {
        fn new() -> Self {
            let random = SystemRandom::new();
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).unwrap();
            Self(pair, random)
        }

        fn keys(&self) -> Keys {
            let point = self.0.public_key().as_ref();
            let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
            let own = json!({"kty": "EC", "crv": "P-256", "kid": "one", "x": x, "y": y});
            let other = json!({"kty": "oct", "kid": "two", "k": "AAAA"});
            let document = json!({"keys": [other, own, {"kty": "EC"}, 7]});
            Keys::parse(document.to_string().as_bytes()).unwrap()
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(header), part(claims));
            let signature = self.0.sign(&self.1, signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn header() -> Value {
        json!({"alg": "ES256", "kid": "one"})
    }

    fn claims() -> Value {
        json!({
            "sub": "alice",
            "iss": "https://issuer.example",
            "aud": ["other", "factum"],
            "exp": NOW + 60.0,
            "nbf": NOW,
        })
    }

    fn without(mut claims: Value, name: &str, value: Value) -> Value {
        claims[name] = value;
        claims
    }

    #[test]
    fn a_token_of_a_trusted_key_says_whose_it_is_and_for_how_long() {
        let signer = Signer::new();
        let token = signer.sign(&header(), &claims());
        let identity = signer.keys().check(&token, &settings(), NOW).unwrap();
        assert_eq!((identity.user.as_str(), identity.lasts.as_secs()), ("alice", 90));
        let named = OauthSettings { principal_claim: "name".to_owned(), ..settings() };
        let token = signer.sign(&header(), &without(claims(), "name", json!("bob")));
        assert_eq!(signer.keys().check(&token, &named, NOW).unwrap().user, "bob");
    }

    #[test]
    fn claims_that_do_not_fit_are_named_with_what_came_and_what_was_expected() {
        let signer = Signer::new();
        let (after, up_to) = ("a time after 1799999970", "a time up to 1800000030");
        let issuer = "\"https://issuer.example\" (oauth_issuer)";
        let audience = "one of [\"kafka\", \"factum\"] (oauth_audience)";
        let user = "the name of a user";
        for (name, value, expected) in [
            ("exp", json!(NOW - 31.0), after),
            ("exp", Value::Null, after),
            ("exp", json!("soon"), after),
            ("nbf", json!(NOW + 31.0), up_to),
            ("iat", json!("x"), up_to),
            ("iss", json!("https://other.example"), issuer),
            ("iss", Value::Null, issuer),
            ("aud", json!("another"), audience),
            ("aud", Value::Null, audience),
            ("sub", json!(7), user),
            ("sub", json!("*"), user),
            ("sub", json!("ANONYMOUS"), user),
        ] {
            let token = signer.sign(&header(), &without(claims(), name, value.clone()));
            let error = signer.keys().check(&token, &settings(), NOW).unwrap_err();
            assert_eq!(error.to_string(), format!("its {name} is {value}; expected {expected}"));
        }
        let endless = json!({"sub": "alice"});
        let error = signer.keys().check(&signer.sign(&header(), &endless), &settings(), NOW);
        let error = error.unwrap_err().to_string();
        assert_eq!(error, format!("its exp is missing; expected {after}"));
        let long = without(claims(), "aud", json!("a".repeat(10_000)));
        let error = signer.keys().check(&signer.sign(&header(), &long), &settings(), NOW);
        assert!(error.unwrap_err().to_string().len() < 300, "no more than a line is shown");
    }

    #[test]
    fn a_token_cannot_choose_how_it_is_checked() {
        let signer = Signer::new();
        let check = |header: &Value| {
            signer.keys().check(&signer.sign(header, &claims()), &settings(), NOW).unwrap_err()
        };
        let none = TokenError::Algorithm("none".to_owned());
        assert_eq!(check(&json!({"alg": "none", "kid": "one"})), none);
        let secret = TokenError::Algorithm("HS256".to_owned());
        assert_eq!(check(&json!({"alg": "HS256", "kid": "one"})), secret);
        let unknown = |key: &str| TokenError::UnknownKey(key.to_owned());
        assert_eq!(check(&json!({"alg": "RS256", "kid": "one"})), unknown("\"one\" for RS256"));
        assert_eq!(check(&json!({"alg": "ES256", "kid": "two"})), unknown("\"two\" for ES256"));
        assert_eq!(check(&json!({"alg": "RS256"})), unknown("no name for RS256"));
        let critical = json!({"alg": "ES256", "kid": "one", "crit": ["b64"]});
        assert_eq!(check(&critical), TokenError::Critical);
        let other = Signer::new().sign(&header(), &claims());
        let checked = signer.keys().check(&other, &settings(), NOW);
        assert_eq!(checked, Err(TokenError::Signature));
    }

    /// Three parts, as they stand in a token.
    fn joined(parts: [&[u8]; 3]) -> String {
        parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_an_error(
            text in "[A-Za-z0-9._=-]{0,200}",
            noise: String,
            claims: Vec<u8>,
            signature: Vec<u8>,
        ) {
            let keys = Signer::new().keys();
            let token = joined([header().to_string().as_bytes(), &claims, &signature]);
            for refused in [text, noise, token] {
                prop_assert!(keys.check(&refused, &settings(), NOW).is_err(), "{refused}");
            }
        }

        #[test]
        fn any_change_of_a_token_is_noticed(at: prop::sample::Index, byte in "[!-~]") {
            let signer = Signer::new();
            let token = signer.sign(&header(), &claims());
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &byte);
            let checked = signer.keys().check(&changed, &settings(), NOW);
            prop_assert!(changed == token || checked.is_err(), "{changed} of {token}");
        }

        #[test]
        fn any_document_is_keys_or_an_error(
            noise: Vec<u8>,
            kind in "RSA|EC|OKP|oct",
            curve in "P-256|P-384|Ed25519|x",
            [n, e, x, y] in prop::array::uniform4("[A-Za-z0-9_=-]{0,90}"),
        ) {
            let _ = Keys::parse(&noise);
            let key = json!({"kty": kind, "crv": curve, "n": n, "e": e, "x": x, "y": y});
            let keys = Keys::parse(json!({"keys": [key, noise]}).to_string().as_bytes()).unwrap();
            for algorithm in ALGORITHMS {
                let header = json!({"alg": algorithm}).to_string();
                let token = joined([header.as_bytes(), b"{}", &noise]);
                prop_assert!(keys.check(&token, &settings(), NOW).is_err());
            }
        }
    }
}
