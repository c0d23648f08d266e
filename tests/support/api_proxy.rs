//! A proxy in front of the API server, over plain http, that can count, hold and cut requests; watches stream through.
//!
//! A client that uses its kubeconfig cannot tell it from the API server. Requests without a token get the
//! administrator's (kubectl sends none over plain http), others keep theirs. Every request is in the journal.
//! Must never change a request or an answer, and never abandon a write that it has begun to pass on.

use super::control_plane::{ControlPlane, client_of, kubeconfig_text};
use super::run::run_dir;
use super::switch::Switch;
use super::traps::{Hit, Point, Traps, Verdict, Which, pass};
use anyhow::{Context, Result};
use futures::TryStreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, HOST, TRANSFER_ENCODING, USER_AGENT};
use hyper::http::HeaderValue;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A request as rules see it.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// GET for reads and watches.
    pub method: Method,
    /// Without the query.
    pub path: String,
    /// Without the question mark; empty when there is none.
    pub query: String,
    /// The body as JSON; None for reads and for other formats.
    pub body: Option<Value>,
    /// Who asks.
    pub user_agent: String,
}

/// One line of the journal.
#[derive(Clone, Debug)]
pub struct JournalEntry {
    /// The request's method.
    pub method: Method,
    /// The request's path, without the query.
    pub path: String,
    /// What the API server answered; None when it was not asked, or has not answered yet.
    pub status: Option<StatusCode>,
}

type Test = Box<dyn Fn(&ApiRequest) -> bool + Send + Sync>;

/// Which requests a trap is for: all conditions must hold; the first such request unless told otherwise.
pub struct ApiRule {
    what: String,
    tests: Vec<Test>,
    which: Which,
}

impl ApiRule {
    /// Any request.
    pub fn any() -> Self {
        ApiRule { what: "a request".to_owned(), tests: Vec::new(), which: Which::Nth(1) }
    }

    /// Requests of one method.
    pub fn method(method: Method) -> Self {
        let mut rule = ApiRule::any();
        rule.what = format!("a {method}");
        rule.and(String::new(), move |request| request.method == method)
    }

    /// Reads, lists and watches.
    pub fn get() -> Self {
        ApiRule::method(Method::GET)
    }

    /// Creations.
    pub fn post() -> Self {
        ApiRule::method(Method::POST)
    }

    /// Replacements.
    pub fn put() -> Self {
        ApiRule::method(Method::PUT)
    }

    /// Patches, server-side apply too.
    pub fn patch() -> Self {
        ApiRule::method(Method::PATCH)
    }

    /// Deletions.
    pub fn delete() -> Self {
        ApiRule::method(Method::DELETE)
    }

    /// Requests that change something.
    pub fn write() -> Self {
        let mut rule = ApiRule::any();
        rule.what = "a write".to_owned();
        rule.and(String::new(), |request| request.method != Method::GET)
    }

    fn and(mut self, what: String, test: impl Fn(&ApiRequest) -> bool + Send + Sync + 'static) -> Self {
        self.what.push_str(&what);
        self.tests.push(Box::new(test));
        self
    }

    /// Whose path ends so, for example `/clientnumbers/atlas/status`.
    pub fn path_ends(self, end: &str) -> Self {
        let wanted = end.to_owned();
        self.and(format!(" to ...{end}"), move |request| request.path.ends_with(&wanted))
    }

    /// Whose path holds this.
    pub fn path_contains(self, part: &str) -> Self {
        let wanted = part.to_owned();
        self.and(format!(" to ...{part}..."), move |request| request.path.contains(&wanted))
    }

    /// Whose query holds this, for example `watch=true` or `fieldManager=controller`.
    pub fn query_contains(self, part: &str) -> Self {
        let wanted = part.to_owned();
        self.and(format!(" with ?...{part}..."), move |request| request.query.contains(&wanted))
    }

    /// Whose JSON body fulfils this.
    pub fn body(self, test: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Self {
        self.and(" with a certain body".to_owned(), move |request| request.body.as_ref().is_some_and(&test))
    }

    /// Which fulfil this.
    pub fn matching(self, test: impl Fn(&ApiRequest) -> bool + Send + Sync + 'static) -> Self {
        self.and(" of a certain kind".to_owned(), test)
    }

    /// The nth one that all conditions hold for, counted from now on, from 1.
    pub fn nth(mut self, nth: usize) -> Self {
        self.which = Which::Nth(nth);
        self
    }

    /// Each one, not only the first.
    pub fn each(mut self) -> Self {
        self.which = Which::Each;
        self
    }

    fn parts(self) -> (String, Test, Which) {
        let tests = self.tests;
        (self.what, Box::new(move |request| tests.iter().all(|test| test(request))), self.which)
    }
}

struct Shared {
    upstream: String,
    token: String,
    http: reqwest::Client,
    switch: Switch,
    traps: Traps<ApiRequest>,
    journal: Mutex<Vec<JournalEntry>>,
}

/// A running proxy; ends, with all connections through it, when dropped.
pub struct ApiProxy {
    url: String,
    dir: PathBuf,
    kubeconfig: PathBuf,
    shared: Arc<Shared>,
    stop: DropGuard,
}

impl ApiProxy {
    /// Starts one in front of a control plane, in this test's runtime.
    pub async fn start(plane: &ControlPlane) -> Result<ApiProxy> {
        let http = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let shared = Arc::new(Shared {
            upstream: plane.url().to_owned(),
            token: plane.token().to_owned(),
            http,
            switch: Switch::new(),
            traps: Traps::new(),
            journal: Mutex::new(Vec::new()),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let dir = run_dir("api-proxy")?;
        let kubeconfig = dir.join("kubeconfig");
        std::fs::write(&kubeconfig, kubeconfig_text(&url, None, plane.token())?)?;
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(serve(listener, shared.clone())));
        Ok(ApiProxy { url, dir, kubeconfig, shared, stop: stop.drop_guard() })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A kubeconfig that goes through the proxy, with the administrator's token.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig that goes through the proxy, with somebody else's token.
    pub fn kubeconfig_for(&self, name: &str, token: &str) -> Result<PathBuf> {
        let path = self.dir.join(format!("kubeconfig-{name}"));
        std::fs::write(&path, kubeconfig_text(&self.url, None, token)?)?;
        Ok(path)
    }

    /// A client that goes through the proxy.
    pub async fn client(&self) -> Result<kube::Client> {
        client_of(&self.kubeconfig).await
    }

    /// Counts what matches, from now on.
    pub fn count(&self, rule: ApiRule) -> Hit<ApiRequest> {
        let (what, matches, _) = rule.parts();
        self.shared.traps.count(what, matches)
    }

    /// Holds what matches at a point, until the test releases or cuts it.
    pub fn hold(&self, rule: ApiRule, point: Point) -> Hit<ApiRequest> {
        let (what, matches, which) = rule.parts();
        self.shared.traps.hold(what, matches, which, point)
    }

    /// Closes the connection of what matches at a point.
    pub fn cut(&self, rule: ApiRule, point: Point) -> Hit<ApiRequest> {
        let (what, matches, which) = rule.parts();
        self.shared.traps.cut(what, matches, which, point)
    }

    /// Forgets all traps; what is held goes on.
    pub fn clear(&self) {
        self.shared.traps.clear();
    }

    /// Closes all connections there are, watches too; new ones are served.
    pub fn cut_all(&self) {
        self.shared.switch.cut_all();
    }

    /// True: an outage; connections are cut, and new ones closed as soon as they come. False: it is over.
    pub fn refuse(&self, refuse: bool) {
        self.shared.switch.refuse(refuse);
    }

    /// Every request since the start, in the order of arrival.
    pub fn journal(&self) -> Vec<JournalEntry> {
        self.shared.journal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.cut_all();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let each = |stream| {
        let shared = shared.clone();
        async move {
            let service = service_fn(move |request| shared.clone().answer(request));
            // An error is a connection that was cut, by a trap or by the client.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    };
    shared.switch.serve(listener, each).await;
}

impl Shared {
    /// An error closes the connection without an answer.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, reqwest::Error>>> {
        let (head, body) = request.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let seen = ApiRequest {
            method: head.method.clone(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&bytes).ok(),
            user_agent: head.headers.get(USER_AGENT).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned(),
        };
        let entry = self.note(&seen);
        let triggered = self.traps.triggered(&seen);
        if pass(&triggered, Point::BeforeEffect).await == Verdict::Cut {
            anyhow::bail!("cut before the effect");
        }
        let path = head.uri.path_and_query().context("a request without a path")?;
        let mut headers = head.headers;
        headers.remove(HOST);
        headers.remove(CONNECTION);
        if !headers.contains_key(AUTHORIZATION) {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", self.token))?);
        }
        let sent =
            self.http.request(head.method, format!("{}{path}", self.upstream)).headers(headers).body(bytes).send();
        // In a task of its own: once a write is on its way, the client's death does not call it back.
        let this = self.clone();
        let answer = tokio::spawn(async move {
            let answer = sent.await?;
            this.note_status(entry, answer.status());
            anyhow::Ok(answer)
        })
        .await??;
        if pass(&triggered, Point::AfterEffect).await == Verdict::Cut {
            anyhow::bail!("cut after the effect");
        }
        let mut response = Response::builder().status(answer.status());
        for (name, value) in
            answer.headers().iter().filter(|(name, _)| *name != CONNECTION && *name != TRANSFER_ENCODING)
        {
            response = response.header(name, value);
        }
        Ok(response.body(BodyExt::boxed(StreamBody::new(answer.bytes_stream().map_ok(Frame::data))))?)
    }

    fn note(&self, request: &ApiRequest) -> usize {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.push(JournalEntry { method: request.method.clone(), path: request.path.clone(), status: None });
        journal.len() - 1
    }

    fn note_status(&self, entry: usize, status: StatusCode) {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = journal.get_mut(entry) {
            entry.status = Some(status);
        }
    }
}
