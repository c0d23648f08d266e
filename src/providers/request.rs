//! One request to a provider, before it is sent: the call's name, its effect and bounds, its parts.

use std::time::Duration;

use reqwest::Method;
use secrecy::SecretString;
use serde_json::Value;

use super::error::Effect;
use super::pace::Endpoints;

const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);
const MIB: usize = 1024 * 1024;

/// A call: its name and what it may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) effect: Effect,
    pub(crate) timeout: Duration,
    pub(crate) max_bytes: usize,
    pub(crate) endpoints: Endpoints,
    /// What is answered may hold what was said in a call: no part of it stands in an error, which is logged and shown.
    pub(crate) quiet: bool,
    /// A read that is not repeated here: who asks has a pace of its own.
    pub(crate) once: bool,
}

impl Operation {
    pub(crate) const fn read(name: &'static str) -> Self {
        Self {
            name,
            effect: Effect::Read,
            timeout: TOTAL_TIMEOUT,
            max_bytes: MIB,
            endpoints: Endpoints::Common,
            quiet: false,
            once: false,
        }
    }

    /// A read of a list, which may be larger.
    pub(crate) const fn list(name: &'static str) -> Self {
        Self { max_bytes: 8 * MIB, ..Self::read(name) }
    }

    /// A setting that is harmless to repeat.
    pub(crate) const fn set(name: &'static str) -> Self {
        Self { effect: Effect::Set, ..Self::read(name) }
    }

    pub(crate) const fn write(name: &'static str) -> Self {
        Self { effect: Effect::Write, ..Self::read(name) }
    }

    /// For reads that are asked for again and again, at a pace that a repeat would break.
    pub(crate) const fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// For calls whose answers hold what was said.
    pub(crate) const fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// For calls that have a limit of their own.
    pub(crate) const fn of(mut self, endpoints: Endpoints) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// Meta: register takes over 15 s at times.
    pub(crate) const fn slow(mut self) -> Self {
        self.timeout = Duration::from_secs(60);
        self
    }
}

/// What is sent besides the URL.
pub(crate) enum Body {
    None,
    Json(Value),
    /// multipart/form-data of plain fields.
    Parts(Vec<(&'static str, String)>),
    /// A file as it is, and its type.
    Bytes(&'static str, Vec<u8>),
}

/// One request.
pub(crate) struct Request<'a> {
    pub(crate) operation: Operation,
    pub(crate) method: Method,
    pub(crate) path: Vec<&'a str>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Body,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// The token's scheme is `OAuth` in place of `Bearer`: Meta's uploads want it.
    pub(crate) oauth: bool,
    /// Values in this request that must not come back in an error: a code, a PIN.
    pub(crate) secrets: Vec<SecretString>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(operation: Operation, method: Method, path: &[&'a str]) -> Self {
        Self {
            operation,
            method,
            path: path.to_vec(),
            query: Vec::new(),
            body: Body::None,
            headers: Vec::new(),
            oauth: false,
            secrets: Vec::new(),
        }
    }

    pub(crate) fn get(operation: Operation, path: &[&'a str]) -> Self {
        Self::new(operation, Method::GET, path)
    }

    pub(crate) fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    pub(crate) fn json(mut self, body: Value) -> Self {
        self.body = Body::Json(body);
        self
    }

    pub(crate) fn bytes(mut self, kind: &'static str, bytes: Vec<u8>) -> Self {
        self.body = Body::Bytes(kind, bytes);
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn with_oauth(mut self) -> Self {
        self.oauth = true;
        self
    }

    pub(crate) fn secret(mut self, value: &str) -> Self {
        self.secrets.push(value.to_owned().into());
        self
    }
}
