//! Helpers of the sandbox's own tests: a world without sockets that is asked directly.

use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::http::{Request, Response, pairs};
use super::world::World;
use super::{meta, telnyx};

/// A world, and the moment it is asked at.
pub struct Asked {
    pub world: World,
    pub now: Timestamp,
    /// Bearer token of all requests.
    pub key: String,
}

impl Asked {
    /// At speed 0.
    pub fn new() -> Self {
        Self::with(7, 0.0)
    }

    pub fn with(seed: u64, speed: f64) -> Self {
        Self {
            world: World::new(seed, speed),
            now: Timestamp::from_second(1_795_500_000).expect("a time"),
            key: "key".to_owned(),
        }
    }

    pub fn change(&mut self, settings: Value) {
        self.world.settings = self.world.settings.changed(&settings).expect("settings");
    }

    pub fn later(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.world.advance(self.now);
    }

    fn request(&self, method: &str, path: &str, body: Value) -> Request {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Request {
            method: method.into(),
            path: path.into(),
            query: pairs(query),
            headers: vec![
                ("authorization".into(), format!("Bearer {}", self.key)),
                ("content-type".into(), "application/json".into()),
            ],
            body: if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) },
        }
    }

    /// Telnyx's answer with its headers.
    pub fn telnyx_whole(&mut self, method: &str, path: &str, body: Value) -> Response {
        self.world.advance(self.now);
        let request = self.request(method, path, body);
        telnyx::answer(&mut self.world, &request, self.now)
    }

    /// Meta's answer with its headers.
    pub fn meta_whole(&mut self, method: &str, path: &str, body: Value) -> Response {
        self.world.advance(self.now);
        let request = self.request(method, path, body);
        meta::answer(&mut self.world, &request, self.now)
    }

    pub fn telnyx(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let answer = self.telnyx_whole(method, path, body);
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    pub fn meta(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let answer = self.meta_whole(method, path, body);
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// Status and Telnyx's error code.
    pub fn telnyx_error(&mut self, method: &str, path: &str, body: Value) -> (u16, String) {
        let (status, answer) = self.telnyx(method, path, body);
        (status, answer["errors"][0]["code"].as_str().unwrap_or("").to_owned())
    }

    /// Graph's code and subcode; 0 where there is none.
    pub fn meta_error(&mut self, method: &str, path: &str, body: Value) -> (u64, u64) {
        let (_, answer) = self.meta(method, path, body);
        let error = &answer["error"];
        (error["code"].as_u64().unwrap_or(0), error["error_subcode"].as_u64().unwrap_or(0))
    }

    /// A new number of WABA 104; returns its id.
    pub fn line(&mut self, national: &str) -> String {
        let body = serde_json::json!({"cc": "212", "phone_number": national, "verified_name": "Atlas"});
        let (status, answer) = self.meta("POST", "/v25.0/104/phone_numbers", body);
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_str().expect("an id").to_owned()
    }

    /// The living code of a line.
    pub fn code(&self, id: &str) -> String {
        self.world.meta.line(id).and_then(|line| line.code.clone()).expect("a code").code
    }
}
