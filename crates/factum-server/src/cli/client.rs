//! A client of the server's HTTP door.
//!
//! It sends a request, and turns problem documents (RFC 9457) and connection failures into
//! [`CliError`]s. It does not retry: what is safe to repeat is for the command to know.

use std::io::{self, Read};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;
use ureq::http::Response;
use ureq::typestate::WithBody;
use ureq::{Agent, Body, RequestBuilder};

use super::CliError;
use super::server_tls::ServerTls;

/// Time to connect and, for requests that are not streams, for the head of the answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Silence after which a stream is given up; the server says something every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// The largest answer that is not a stream.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    server: String,
    /// The header by which the user logs in.
    authorization: Option<String>,
}

impl Client {
    /// A client of the server at this URL, which logs in as `user` with the password in
    /// FACTUM_PASSWORD; it connects with the first request.
    pub fn new(server: &str, tls: &ServerTls, user: Option<&str>) -> Result<Self, CliError> {
        let server = server.trim_end_matches('/');
        let encrypted = server.strip_prefix("https://");
        let host = encrypted.or_else(|| server.strip_prefix("http://"));
        if host.is_none_or(str::is_empty) || server.contains(char::is_whitespace) {
            return Err(CliError::usage(format!(
                "--server {server:?} is not a server; expected http://HOST:PORT or \
                 https://HOST:PORT"
            )));
        }
        let config = match encrypted {
            Some(_) => Agent::config_builder().tls_config(tls.config()?),
            None => Agent::config_builder(),
        };
        let config = config
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(ANSWER_TIMEOUT))
            .user_agent(concat!("factum/", env!("CARGO_PKG_VERSION")))
            .build();
        let authorization = user.map_or_else(bearer, |user| basic(user).map(Some))?;
        Ok(Self { agent: config.new_agent(), server: server.to_owned(), authorization })
    }

    /// Gets a JSON document.
    pub fn get(&self, path: &str) -> Result<Value, CliError> {
        let sent = self.login(self.agent.get(self.url(path))).call();
        json(self.check(sent)?)
    }

    /// Deletes.
    pub fn delete(&self, path: &str) -> Result<(), CliError> {
        self.delete_for(path).map(drop)
    }

    /// Deletes, and gets what was deleted.
    pub fn delete_for(&self, path: &str) -> Result<Value, CliError> {
        let sent = self.login(self.agent.delete(self.url(path))).call();
        json(self.check(sent)?)
    }

    /// Posts a JSON document and gets one.
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, CliError> {
        self.send_json(self.agent.post(self.url(path)), body)
    }

    /// Puts a JSON document and gets one.
    pub fn put(&self, path: &str, body: &impl Serialize) -> Result<Value, CliError> {
        self.send_json(self.agent.put(self.url(path)), body)
    }

    /// Patches with a JSON document and gets one.
    pub fn patch(&self, path: &str, body: &impl Serialize) -> Result<Value, CliError> {
        self.send_json(self.agent.patch(self.url(path)), body)
    }

    /// Posts bytes of a media type and gets a JSON document.
    pub fn post_bytes(&self, path: &str, media: &str, body: &[u8]) -> Result<Value, CliError> {
        let sent = self.login(self.agent.post(self.url(path))).content_type(media).send(body);
        json(self.check(sent)?)
    }

    /// Gets a stream of a media type, which may last.
    ///
    /// # Errors
    /// [`StreamError`], which says whether it is worth trying again.
    pub fn stream(
        &self,
        path: &str,
        query: &[(&str, String)],
        media: &str,
        last_event_id: Option<&str>,
    ) -> Result<impl Read + use<>, StreamError> {
        let mut request = self.login(self.agent.get(self.url(path))).header("accept", media);
        for (name, value) in query {
            request = request.query(*name, value);
        }
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let request = request.config().timeout_per_read(Some(SILENCE)).build();
        match request.call() {
            Ok(response) if response.status().is_server_error() => {
                Err(StreamError::Again(problem(response)))
            }
            Ok(response) if !response.status().is_success() => {
                Err(StreamError::Refused(problem(response)))
            }
            Ok(response) => Ok(response.into_body().into_with_config().limit(u64::MAX).reader()),
            Err(error) => Err(StreamError::Again(self.unreachable(&error))),
        }
    }

    fn send_json(
        &self,
        request: RequestBuilder<WithBody>,
        body: &impl Serialize,
    ) -> Result<Value, CliError> {
        json(self.check(self.login(request).send_json(body))?)
    }

    fn login<T>(&self, request: RequestBuilder<T>) -> RequestBuilder<T> {
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }

    fn check(&self, sent: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, CliError> {
        let response = sent.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(problem(response)) }
    }

    fn unreachable(&self, error: &ureq::Error) -> CliError {
        let refused = match error {
            ureq::Error::Io(io) => io.kind() == io::ErrorKind::ConnectionRefused,
            ureq::Error::ConnectionFailed => true,
            _ => false,
        };
        if refused {
            let message = format!("nothing listens at {}", self.server);
            return CliError::failed("unreachable", message).advise(
                "start a server with `factum serve`, or name one with --server or FACTUM_SERVER",
            );
        }
        CliError::failed("unreachable", format!("talking to {} failed: {error}", self.server))
            .advise("check --server, and the server's log")
    }
}

/// The header of the basic scheme (RFC 7617).
fn basic(user: &str) -> Result<String, CliError> {
    let password = std::env::var("FACTUM_PASSWORD").map_err(|_| {
        CliError::usage(format!("--as {user} needs a password: set FACTUM_PASSWORD"))
    })?;
    if user.contains(':') {
        return Err(CliError::usage("the name of a user who logs in cannot have a colon"));
    }
    Ok(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

/// The header of the bearer scheme (RFC 6750).
fn bearer() -> Result<Option<String>, CliError> {
    let Some(token) = std::env::var_os("FACTUM_TOKEN") else { return Ok(None) };
    let token = token.to_str().map(str::trim).unwrap_or_default();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let expected = "expected visible ASCII characters, as in a JSON Web Token";
        return Err(CliError::usage(format!("FACTUM_TOKEN holds no token; {expected}")));
    }
    Ok(Some(format!("Bearer {token}")))
}

/// Why there is no stream.
#[derive(Debug)]
pub enum StreamError {
    /// The server cannot now, or cannot be reached: it may be restarting.
    Again(CliError),
    /// The request is wrong: it will not get better.
    Refused(CliError),
}

impl From<StreamError> for CliError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Again(error) | StreamError::Refused(error) => error,
        }
    }
}

fn json(mut response: Response<Body>) -> Result<Value, CliError> {
    if response.status() == 204 {
        return Ok(Value::Null);
    }
    let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES);
    body.read_json().map_err(|error| {
        CliError::failed("bad-answer", format!("the server's answer is not JSON: {error}"))
            .advise("is --server a Factum server?")
    })
}

/// The error of a problem document, or of whatever came instead of one.
fn problem(mut response: Response<Body>) -> CliError {
    let status = response.status();
    let text = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string();
    let document: Option<Value> = text.ok().and_then(|text| serde_json::from_str(&text).ok());
    let member = |name: &str| document.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let code = member("type").and_then(|uri| uri.rsplit(':').next().map(str::to_owned));
    let detail = member("detail").or_else(|| member("title"));
    let error = match (code, detail) {
        (Some(code), Some(detail)) => CliError::failed(code, detail),
        _ => CliError::failed("bad-answer", format!("the server answered {status}"))
            .advise("is --server a Factum server?"),
    };
    match member("advice") {
        Some(advice) => error.advise(advice),
        None if status == 401 => error
            .advise("log in with --as USER and FACTUM_PASSWORD, or with a token in FACTUM_TOKEN"),
        None => error,
    }
}

/// A path segment with everything escaped that is not unreserved (RFC 3986).
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_http_urls() {
        let client = |server| Client::new(server, &ServerTls::default(), None);
        assert_eq!(client("http://h:1/").unwrap().server, "http://h:1");
        for bad in ["", "h:1", "ftp://h", "http://", "https://", "http://a b"] {
            assert!(matches!(client(bad), Err(CliError::Usage(_))), "{bad}");
        }
    }

    #[test]
    fn names_in_paths_are_escaped() {
        assert_eq!(segment("a/b ü"), "a%2Fb%20%C3%BC");
        assert_eq!(segment("a-b._~9"), "a-b._~9");
    }

    #[test]
    fn a_server_that_is_not_there_is_said_so_with_advice() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = format!("http://{free}");
        let client = Client::new(&server, &ServerTls::default(), None).unwrap();
        let error = client.get("/topics").unwrap_err();
        assert_eq!(error.code(), "unreachable");
        assert!(error.advice().unwrap().contains("factum serve"), "{error}");
    }
}
