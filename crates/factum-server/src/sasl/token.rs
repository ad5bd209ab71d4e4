//! Tokens: JSON Web Tokens (RFC 7519) with a signature (RFC 7515) of a key that is trusted.
//!
//! Only signatures with public keys are taken, by the algorithm of the key: a token cannot choose
//! to be signed with nothing, or with a public key as if it were a secret. What is checked beside
//! the signature: that the token has begun and not ended, and who issued it for whom.

use std::time::Duration;

use aws_lc_rs::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use factum_event::access::UserName;
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::config::OauthSettings;

/// Keys of one document at most.
const MAX_KEYS: usize = 100;

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Not a token at all.
    #[error("it is no signed token of three parts in Base64")]
    Form,
    /// Not signed by an algorithm that is known.
    #[error("it is signed by {0:?}; expected RS, PS or ES with 256 to 512, or EdDSA")]
    Algorithm(String),
    /// It uses what this server does not know, and asks not to be taken then.
    #[error("it has critical extensions")]
    Critical,
    /// No trusted key of that name.
    #[error("no trusted key has its name and algorithm")]
    UnknownKey,
    /// Not signed by that key.
    #[error("its signature is wrong")]
    Signature,
    /// It does not say when it ends, or has ended.
    #[error("it has ended, or does not say when it ends")]
    Ended,
    /// It is for later.
    #[error("it has not begun")]
    NotBegun,
    /// Somebody else's.
    #[error("its issuer is not the one of oauth_issuer")]
    Issuer,
    /// For somebody else.
    #[error("none of oauth_audience is in its audience")]
    Audience,
    /// It does not say whose it is.
    #[error("it has no name of a user in claim {0:?}")]
    NoPrincipal(String),
}

/// Whose a token is, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) user: String,
    pub(super) lasts: Duration,
}

/// Keys that tokens are checked with (RFC 7517).
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Key>);

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
    pub(super) fn parse(document: &[u8]) -> Result<Self, serde_json::Error> {
        let Document { keys } = serde_json::from_slice(document)?;
        Ok(Self(keys.into_iter().take(MAX_KEYS).filter_map(key).collect()))
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// Checks a token at `now`, in seconds since 1970.
    pub(super) fn check(
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
        let user: UserName = user.ok_or_else(|| TokenError::NoPrincipal(name.clone()))?;
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
            return Err(TokenError::Algorithm(algorithm.chars().take(20).collect()));
        }
        let id = text("kid");
        let mut fitting = self.0.iter().filter(|key| key.fits(id, algorithm)).peekable();
        if fitting.peek().is_none() {
            return Err(TokenError::UnknownKey);
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

/// How long the token lasts, within the tolerance for clocks that differ.
fn check_times(
    claims: &Map<String, Value>,
    skew: Duration,
    now: f64,
) -> Result<Duration, TokenError> {
    let time = |name: &str| claims.get(name).map(|value| value.as_f64().unwrap_or(f64::NAN));
    let skew = skew.as_secs_f64();
    let ends = time("exp").filter(|ends| now < ends + skew).ok_or(TokenError::Ended)?;
    for begins in [time("nbf"), time("iat")].into_iter().flatten() {
        // What is no number is not before now.
        let has_begun = begins <= now + skew;
        if !has_begun {
            return Err(TokenError::NotBegun);
        }
    }
    // The tolerance counts for the session too, so that a client gets one at all.
    Duration::try_from_secs_f64(ends + skew - now).map_err(|_| TokenError::Ended)
}

fn check_parties(claims: &Map<String, Value>, settings: &OauthSettings) -> Result<(), TokenError> {
    let issuer = claims.get("iss").and_then(Value::as_str);
    if settings.issuer.is_some() && issuer != settings.issuer.as_deref() {
        return Err(TokenError::Issuer);
    }
    let expected = |one: &str| settings.audience.iter().any(|audience| audience == one);
    let is_for_us = match claims.get("aud") {
        Some(Value::String(one)) => expected(one),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(expected),
        _ => false,
    };
    if settings.audience.is_empty() || is_for_us { Ok(()) } else { Err(TokenError::Audience) }
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
    fn claims_that_do_not_fit_are_named() {
        let signer = Signer::new();
        for (name, value, expected) in [
            ("exp", json!(NOW - 31.0), TokenError::Ended),
            ("exp", Value::Null, TokenError::Ended),
            ("exp", json!("soon"), TokenError::Ended),
            ("nbf", json!(NOW + 31.0), TokenError::NotBegun),
            ("iat", json!("x"), TokenError::NotBegun),
            ("iss", json!("https://other.example"), TokenError::Issuer),
            ("iss", Value::Null, TokenError::Issuer),
            ("aud", json!("another"), TokenError::Audience),
            ("aud", Value::Null, TokenError::Audience),
            ("sub", json!(7), TokenError::NoPrincipal("sub".to_owned())),
            ("sub", json!("*"), TokenError::NoPrincipal("sub".to_owned())),
            ("sub", json!("ANONYMOUS"), TokenError::NoPrincipal("sub".to_owned())),
        ] {
            let token = signer.sign(&header(), &without(claims(), name, value.clone()));
            let checked = signer.keys().check(&token, &settings(), NOW);
            assert_eq!(checked, Err(expected), "{name} = {value}");
        }
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
        assert_eq!(check(&json!({"alg": "RS256", "kid": "one"})), TokenError::UnknownKey);
        assert_eq!(check(&json!({"alg": "ES256", "kid": "two"})), TokenError::UnknownKey);
        let critical = json!({"alg": "ES256", "kid": "one", "crit": ["b64"]});
        assert_eq!(check(&critical), TokenError::Critical);
        let other = Signer::new().sign(&header(), &claims());
        let checked = signer.keys().check(&other, &settings(), NOW);
        assert_eq!(checked, Err(TokenError::Signature));
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_an_error(text in "[A-Za-z0-9._=-]{0,200}", noise: String) {
            let keys = Keys::default();
            let _ = keys.check(&text, &settings(), NOW);
            let _ = keys.check(&noise, &settings(), NOW);
        }

        #[test]
        fn any_change_of_a_token_is_noticed(at in 0_usize..200, byte in "[A-Za-z0-9_-]") {
            let signer = Signer::new();
            let token = signer.sign(&header(), &claims());
            let at = at % token.len();
            let mut changed = token.clone();
            changed.replace_range(at..=at, &byte);
            let checked = signer.keys().check(&changed, &settings(), NOW);
            let (_, signature) = token.rsplit_once('.').unwrap();
            // The last character of a part has bits that mean nothing.
            let same = changed == token || at + 1 == token.len();
            prop_assert!(same || checked.is_err(), "{changed} of {signature}");
        }
    }
}
