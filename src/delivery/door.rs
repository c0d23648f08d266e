//! The socket port's HTTP: which requests become a WebSocket. Origin, path, protocol and transport are decided here,
//! before any token is looked at; then the upgraded stream goes to socketioxide.
//!
//! CORS does not protect WebSockets, so the list of origins is enforced on the upgrade itself. A request without an
//! Origin comes from no browser and is judged by its token alone.
//! Must never read a token from the URL, and never let polling in: it would need affinity between replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use socketioxide::service::SocketIoService;
use tower::Service;

use super::wire::{Cut, Wire};

/// Path of the Socket.IO endpoint.
pub const PATH: &str = "/socket.io";

/// Which pages may connect.
#[derive(Debug, Clone, Default)]
pub struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    /// Parses a comma-separated list of origins, `https://app.example.ma`; empty: only requests without an Origin.
    pub fn parse(list: &str) -> Result<Self, String> {
        let origins = list.split(',').map(str::trim).filter(|o| !o.is_empty());
        origins
            .map(|origin| {
                let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
                match rest {
                    Some(host) if !host.is_empty() && !host.contains(['/', '*', ' ', '?', '#']) => {
                        Ok(origin.to_ascii_lowercase())
                    }
                    _ => Err(format!(
                        "allowed origin {origin:?} is not an origin: write scheme, host and port only, for example https://app.example.ma"
                    )),
                }
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|o| self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(o)))
    }
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// Upgrade; the value of Sec-WebSocket-Accept.
    Upgrade(String),
    /// A CORS preflight of an allowed origin.
    Preflight,
    /// No, with status and a word for the person who reads the network tab.
    No(StatusCode, &'static str),
}

fn judge<B>(request: &Request<B>, origins: &AllowedOrigins) -> Entry {
    let no = Entry::No;
    if !matches!(request.uri().path().strip_prefix(PATH), Some("" | "/")) {
        return no(StatusCode::NOT_FOUND, "there is only /socket.io here");
    }
    let headers = request.headers();
    let mut given = headers.get_all(header::ORIGIN).iter();
    match (given.next(), given.next()) {
        (None, _) => {}
        (Some(origin), None) if origins.allows(origin) => {}
        _ => return no(StatusCode::FORBIDDEN, "this origin is not allowed, see --allowed-origins"),
    }
    if request.method() == Method::OPTIONS {
        return Entry::Preflight;
    }
    if request.method() != Method::GET {
        return no(StatusCode::METHOD_NOT_ALLOWED, "use the WebSocket transport");
    }
    let query = request.uri().query().unwrap_or("");
    let has = |wanted: &str| query.split('&').any(|part| part == wanted);
    if query.split('&').any(|part| part.starts_with("token=")) {
        return no(
            StatusCode::BAD_REQUEST,
            "a token belongs into `auth`, never into the URL, which is logged on its way",
        );
    }
    if !has("EIO=4") {
        return no(StatusCode::BAD_REQUEST, "use a Socket.IO client of version 3 or 4");
    }
    if !has("transport=websocket") || query.split('&').any(|part| part.starts_with("sid=")) {
        return no(StatusCode::BAD_REQUEST, "only the WebSocket transport is served: set transports: [\"websocket\"]");
    }
    let lists = |name, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|v: &HeaderValue| v.to_str().ok())
            .any(|v| v.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    if !lists(header::UPGRADE, "websocket") || !lists(header::CONNECTION, "upgrade") {
        return no(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket endpoint; does the proxy forward upgrades?");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
        return no(StatusCode::BAD_REQUEST, "WebSocket version 13 is needed");
    }
    match headers.get(header::SEC_WEBSOCKET_KEY) {
        Some(key) if STANDARD.decode(key).is_ok_and(|k| k.len() == 16) => Entry::Upgrade(accept_key(key.as_bytes())),
        _ => no(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing or malformed"),
    }
}

/// RFC 6455, section 4.2.2.
fn accept_key(key: &[u8]) -> String {
    let mut sha = Sha1::new();
    sha.update(key);
    sha.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(sha.finalize())
}

/// The place of one connection in the count.
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The HTTP side of the socket port. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    sockets: SocketIoService<()>,
    origins: Arc<AllowedOrigins>,
    connections: Arc<AtomicUsize>,
    max_connections: usize,
    /// Who is not admitted after so long goes.
    patience: Duration,
}

impl Door {
    /// A door in front of `sockets`.
    pub fn new(
        sockets: SocketIoService<()>,
        origins: AllowedOrigins,
        max_connections: usize,
        patience: Duration,
    ) -> Self {
        Self { sockets, origins: Arc::new(origins), connections: Arc::default(), max_connections, patience }
    }

    /// How many upgraded connections there are, admitted or not.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// For the accept loop.
    pub fn router(&self) -> axum::Router {
        let door = self.clone();
        axum::Router::new().fallback(move |request: axum::extract::Request| {
            std::future::ready(door.handle(request).map(axum::body::Body::new))
        })
    }

    /// Answers a request of the socket port. The accept loop must serve connections with upgrades.
    pub fn handle<B: Send + 'static>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let entry = judge(&request, &self.origins);
        let allowed = !matches!(entry, Entry::No(StatusCode::FORBIDDEN, _));
        let mut response = match entry {
            Entry::Upgrade(accept) => self.upgrade(request, &accept),
            Entry::Preflight => plain(StatusCode::NO_CONTENT, ""),
            Entry::No(status, why) => plain(status, why),
        };
        if let Some(origin) = origin.filter(|_| allowed) {
            cors(response.headers_mut(), origin);
        }
        response
    }

    fn upgrade<B: Send + 'static>(&self, request: Request<B>, accept: &str) -> Response<Full<Bytes>> {
        let place = Place(self.connections.clone());
        if self.connections.fetch_add(1, Ordering::Relaxed) >= self.max_connections {
            let mut full = plain(StatusCode::SERVICE_UNAVAILABLE, "this server is full, come back in a moment");
            full.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            return full;
        }
        let (mut parts, body) = request.into_parts();
        let cut = Cut::default();
        let mut for_sockets = Request::new(());
        *for_sockets.uri_mut() = parts.uri.clone();
        // Headers stay here: nothing behind the door reads them, and what is not kept can't be leaked.
        for_sockets.extensions_mut().insert(cut.clone());
        let request = {
            parts.headers.clear();
            Request::from_parts(parts, body)
        };
        let mut sockets = self.sockets.clone();
        let (stranger, patience) = (cut.clone(), self.patience);
        tokio::spawn(async move {
            // The layer behind closes its half after a while, and waits for the other one as long as its client likes.
            let end = stranger.token.cancelled();
            if tokio::time::timeout(patience, end).await.is_err() && !stranger.is_admitted() {
                stranger.token.cancel();
            }
        });
        tokio::spawn(async move {
            // A client that went away between request and upgrade: nothing to do, `place` is given back.
            let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
            let ended = cut.token.clone().drop_guard();
            let wire = Wire::new(TokioIo::new(upgraded), cut, (ended, place));
            if sockets.call((wire, for_sockets)).await.is_err() {
                tracing::debug!("an upgraded connection was refused by the Socket.IO layer");
            }
        });
        let mut response = plain(StatusCode::SWITCHING_PROTOCOLS, "");
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accept) = HeaderValue::from_str(accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        response
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn cors(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(changes: &[(&str, &str)], uri: &str) -> Request<()> {
        let mut request = Request::new(());
        *request.uri_mut() = uri.parse().unwrap();
        let good = [
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        for (name, value) in good.iter().chain(changes) {
            let name: header::HeaderName = name.parse().unwrap();
            if *value == "REMOVED" {
                request.headers_mut().remove(name);
            } else {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
        }
        request
    }

    const GOOD: &str = "/socket.io/?EIO=4&transport=websocket";

    fn origins() -> AllowedOrigins {
        AllowedOrigins::parse("https://app.example.ma, http://localhost:5173").unwrap()
    }

    #[test]
    fn good_handshakes() {
        let accept = Entry::Upgrade("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into());
        for (name, given) in [
            ("no origin", request(&[], GOOD)),
            ("allowed origin", request(&[("origin", "https://app.example.ma")], GOOD)),
            ("origin in another case", request(&[("origin", "https://APP.example.ma")], GOOD)),
            ("a port", request(&[("origin", "http://localhost:5173")], GOOD)),
            ("no slash", request(&[], "/socket.io?transport=websocket&EIO=4&t=abc")),
        ] {
            assert_eq!(judge(&given, &origins()), accept, "{name}");
        }
    }

    #[test]
    fn bad_handshakes() {
        for (name, given, want) in [
            ("another path", request(&[], "/socket.io-admin/?EIO=4&transport=websocket"), 404),
            ("a deeper path", request(&[], "/socket.io/x?EIO=4&transport=websocket"), 404),
            ("root", request(&[], "/"), 404),
            ("foreign origin", request(&[("origin", "https://evil.example")], GOOD), 403),
            ("origin with our name inside", request(&[("origin", "https://app.example.ma.evil.example")], GOOD), 403),
            ("null origin", request(&[("origin", "null")], GOOD), 403),
            ("origin with another port", request(&[("origin", "https://app.example.ma:8443")], GOOD), 403),
            ("polling", request(&[], "/socket.io/?EIO=4&transport=polling"), 400),
            ("upgrade of a polling session", request(&[], "/socket.io/?EIO=4&transport=websocket&sid=abc"), 400),
            ("old protocol", request(&[], "/socket.io/?EIO=3&transport=websocket"), 400),
            ("no query", request(&[], "/socket.io/"), 400),
            ("token in the URL", request(&[], "/socket.io/?EIO=4&transport=websocket&token=abc"), 400),
            ("no upgrade", request(&[("upgrade", "REMOVED")], GOOD), 426),
            ("connection close", request(&[("connection", "close")], GOOD), 426),
            ("no key", request(&[("sec-websocket-key", "REMOVED")], GOOD), 400),
            ("short key", request(&[("sec-websocket-key", "YWJj")], GOOD), 400),
            ("old WebSocket", request(&[("sec-websocket-version", "8")], GOOD), 400),
        ] {
            let Entry::No(status, _) = judge(&given, &origins()) else { panic!("{name} was let in") };
            assert_eq!(status.as_u16(), want, "{name}");
        }
        let mut twice = request(&[("origin", "https://app.example.ma")], GOOD);
        twice.headers_mut().append("origin", "https://evil.example".parse().unwrap());
        assert!(matches!(judge(&twice, &origins()), Entry::No(StatusCode::FORBIDDEN, _)));
        let mut post = request(&[], GOOD);
        *post.method_mut() = Method::POST;
        assert!(matches!(judge(&post, &origins()), Entry::No(StatusCode::METHOD_NOT_ALLOWED, _)));
        let nobody = AllowedOrigins::parse("").unwrap();
        assert!(matches!(judge(&request(&[("origin", "https://app.example.ma")], GOOD), &nobody), Entry::No(..)));
    }

    #[test]
    fn origins_are_origins() {
        for bad in ["*", "app.example.ma", "https://", "https://app.example.ma/path", "https://*.example.ma", "ws://x"]
        {
            assert!(AllowedOrigins::parse(bad).is_err(), "{bad}");
        }
        assert!(AllowedOrigins::parse(" https://a.example , ,http://b.example:8080 ").is_ok());
    }
}
