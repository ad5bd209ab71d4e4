//! Accepts connections and serves the routes on them, with limits that a router cannot set: on
//! connections, on the time that the head of a request may take, and on draining at the end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use factum_event::access::Principal;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::HttpLimits;
use super::session::Peer;
use crate::config::ClientAuth;
use crate::metrics::Metrics;
use crate::tls::{HandshakeError, Tls};

/// How long to wait when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What an encrypted door needs.
#[derive(Clone)]
pub(crate) struct HttpTls {
    /// Certificates.
    pub(crate) tls: Arc<Tls>,
    /// Whether clients show one of theirs.
    pub(crate) client_auth: ClientAuth,
}

/// Serves until `shutdown` turns true, then lets requests end within the limit.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<HttpTls>,
    router: Router,
    limits: HttpLimits,
    metrics: Arc<Metrics>,
    shutdown: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut stop = shutdown.clone();
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let open = metrics.http_connection();
                let (router, header_timeout) = (router.clone(), limits.header_timeout);
                let (tls, shutdown) = (tls.clone(), shutdown.clone());
                let client = (stream, peer);
                tokio::spawn(async move {
                    match tls {
                        None => connection(client, router, header_timeout, shutdown).await,
                        Some(tls) => encrypted(tls, client, router, header_timeout, shutdown).await,
                    }
                    drop((place, open));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no HTTP connection was accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drain(&places, &limits).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Small answers go out at once; a socket that refuses works all the same.
    let _ = stream.set_nodelay(true);
    Ok((stream, Peer { host: peer.ip(), certified: None }, place))
}

/// Does the handshake, and serves whoever the certificate names.
async fn encrypted(
    HttpTls { tls, client_auth }: HttpTls,
    (stream, mut peer): (TcpStream, Peer),
    router: Router,
    header_timeout: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    let accepted = tokio::select! {
        accepted = tls.accept(stream, client_auth) => accepted,
        () = stopped(&mut shutdown) => return,
    };
    let known = accepted.and_then(|stream| Ok((tls.principal(&stream)?, stream)));
    match known {
        Ok((certified, stream)) => {
            peer.certified = certified.map(|name| Principal::user(&name));
            connection((stream, peer), router, header_timeout, shutdown).await;
        }
        Err(HandshakeError::Silent) => {}
        Err(error) => tracing::warn!(host = %peer.host, %error, "HTTP connection closed"),
    }
}

async fn connection(
    (stream, peer): (impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Peer),
    router: Router,
    header_timeout: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

/// Waits for all connections to end, within the limit.
async fn drain(places: &Semaphore, limits: &HttpLimits) {
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if tokio::time::timeout(limits.drain_timeout, places.acquire_many(all)).await.is_err() {
        tracing::warn!("HTTP requests were cut off, as they did not end in time");
    }
}

/// Completes when the server is to stop, or nobody is left to say so.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stopped| *stopped).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    struct Server {
        address: std::net::SocketAddr,
        metrics: Arc<Metrics>,
        stop: watch::Sender<bool>,
        ended: tokio::task::JoinHandle<()>,
    }

    async fn start(limits: HttpLimits, router: Router) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, shutdown) = watch::channel(false);
        let metrics = Arc::new(Metrics::new());
        let ended =
            tokio::spawn(serve(listener, None, router, limits, Arc::clone(&metrics), shutdown));
        Server { address, metrics, stop, ended }
    }

    async fn read(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("text up to the end");
        text
    }

    #[tokio::test]
    async fn a_client_that_never_ends_its_headers_is_cut_off() {
        let limits =
            HttpLimits { header_timeout: Duration::from_millis(20), ..HttpLimits::default() };
        let server = start(limits, Router::new()).await;
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.expect("written");
        let answer = read(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }

    #[tokio::test]
    async fn a_request_that_runs_is_answered_before_the_server_ends() {
        let (begun, mut has_begun) = watch::channel(false);
        let (go, may_go) = watch::channel(false);
        let slow = move || async move {
            begun.send_replace(true);
            let _ = may_go.clone().wait_for(|go| *go).await;
            "done"
        };
        let server = start(HttpLimits::default(), Router::new().route("/", get(slow))).await;
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("written");
        has_begun.wait_for(|begun| *begun).await.expect("it runs");
        server.stop.send_replace(true);
        go.send_replace(true);
        assert!(read(&mut stream).await.ends_with("done"));
        server.ended.await.expect("it ends");
        assert!(TcpStream::connect(server.address).await.is_err());
    }

    #[tokio::test]
    async fn a_request_that_never_ends_does_not_hold_the_server_back() {
        let limits =
            HttpLimits { drain_timeout: Duration::from_millis(20), ..HttpLimits::default() };
        let (begun, mut has_begun) = watch::channel(false);
        let stuck = move || async move {
            begun.send_replace(true);
            std::future::pending::<()>().await;
        };
        let server = start(limits, Router::new().route("/", get(stuck))).await;
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("written");
        has_begun.wait_for(|begun| *begun).await.expect("it runs");
        assert!(server.metrics.encode().expect("text").contains("factum_http_connections 1\n"));
        server.stop.send_replace(true);
        server.ended.await.expect("it ends");
    }

    #[tokio::test]
    async fn connections_above_the_limit_wait_for_a_place() {
        let limits = HttpLimits { connections: 1, ..HttpLimits::default() };
        let server = start(limits, Router::new().route("/", get(|| async { "here" }))).await;
        let first = TcpStream::connect(server.address).await.expect("a connection");
        let mut second = TcpStream::connect(server.address).await.expect("a connection");
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        second.write_all(request).await.expect("written");
        drop(first);
        assert!(read(&mut second).await.ends_with("here"));
    }
}
