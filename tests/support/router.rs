//! The router as a process of its own, on ports that stay the same when it is killed and started again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::program::Program;
use super::run::free_port;
use super::wait::{self, Seen};

/// Signs webhooks.
pub const APP_SECRET: &str = "the app secret of this test";
/// Opens the quarantine.
pub const QUARANTINE_KEY: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// A running router.
pub struct Router {
    pub program: Program,
    /// Ports on 127.0.0.1.
    pub webhook: u16,
    pub sockets: u16,
    pub admin: u16,
    http: reqwest::Client,
}

/// How to start it.
pub struct RouterOptions<'a> {
    /// The program.
    pub binary: &'a Path,
    /// The store's URI.
    pub mongo: &'a str,
    /// What signs recruiters' tokens.
    pub jwt_secret: &'a str,
    /// What is logged.
    pub log: &'a str,
    /// Put before the program, for example `taskset -c 0`.
    pub before: &'a [&'a str],
}

impl Router {
    /// Starts it and waits until it is ready.
    pub async fn start(name: &str, dir: &Path, options: RouterOptions<'_>) -> Result<Router> {
        let RouterOptions { binary, mongo, jwt_secret, log, before } = options;
        let (webhook, sockets, admin) = (free_port()?, free_port()?, free_port()?);
        let mut command: Vec<String> = before.iter().map(|&part| part.to_owned()).collect();
        command.extend([
            binary.display().to_string(),
            "router".to_owned(),
            format!("--webhook-addr=127.0.0.1:{webhook}"),
            format!("--socket-addr=127.0.0.1:{sockets}"),
            format!("--admin-addr=127.0.0.1:{admin}"),
            format!("--log={log}"),
        ]);
        let env = [
            ("MONGODB_URI", mongo),
            ("META_VERIFY_TOKEN", "verify"),
            ("META_APP_SECRET", APP_SECRET),
            ("QUARANTINE_KEY", QUARANTINE_KEY),
            ("JWT_HS256_SECRET", jwt_secret),
            // Nothing in front of it hears late that it goes.
            ("DRAIN_DELAY", "0s"),
        ];
        let program = Program::start(name, PathBuf::from(command.remove(0)), dir, command, env)?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut router = Router { program, webhook, sockets, admin, http };
        router.wait_ready(Duration::from_secs(30)).await?;
        Ok(router)
    }

    /// Where recruiters connect.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.sockets)
    }

    /// Where Meta posts to.
    pub fn webhook_url(&self) -> String {
        format!("http://127.0.0.1:{}/webhook", self.webhook)
    }

    /// Waits until it says that it is ready.
    pub async fn wait_ready(&mut self, deadline: Duration) -> Result<()> {
        let (admin, program) = (self.admin, &mut self.program);
        wait::until(deadline, "the router to be ready", async || {
            if let Some(end) = program.ended() {
                return Seen::Never(end);
            }
            match get(admin, "readyz").await {
                Ok((true, _)) => Seen::Done(()),
                Ok((false, text)) => Seen::NotYet(text),
                Err(error) => Seen::NotYet(error.to_string()),
            }
        })
        .await
    }

    /// A signed POST; the answer's status.
    pub async fn post(&self, body: String) -> Result<u16> {
        post(&self.http, &self.webhook_url(), body).await
    }

    /// All its metrics, as text.
    pub async fn metrics(&self) -> Result<String> {
        Ok(get(self.admin, "metrics").await?.1)
    }
}

async fn get(admin: u16, path: &str) -> Result<(bool, String)> {
    let answer = reqwest::get(format!("http://127.0.0.1:{admin}/{path}")).await?;
    Ok((answer.status().is_success(), answer.text().await?))
}

/// Meta's signature of a body.
pub fn signature(body: &[u8]) -> Result<String> {
    let mac = Hmac::<Sha256>::new_from_slice(APP_SECRET.as_bytes())?.chain_update(body);
    Ok(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

/// A signed POST; the answer's status.
pub async fn post(http: &reqwest::Client, url: &str, body: String) -> Result<u16> {
    let signature = signature(body.as_bytes())?;
    let request = http.post(url).header("X-Hub-Signature-256", signature).header("Content-Type", "application/json");
    Ok(request.body(body).send().await?.status().as_u16())
}

/// What Meta posts when a candidate writes a text now to the line of this id and number. `more`: further fields of the
/// message.
pub fn text_message(line: (&str, &str), wamid: &str, candidate: u32, text: &str, more: Value) -> String {
    let wa_id = format!("2126{candidate:08}");
    let mut message = json!({
        "id": wamid, "from": wa_id, "timestamp": jiff::Timestamp::now().as_second().to_string(),
        "type": "text", "text": {"body": text},
    });
    if let (Some(message), Value::Object(more)) = (message.as_object_mut(), more) {
        message.extend(more);
    }
    json!({"object": "whatsapp_business_account", "entry": [{"id": "104", "changes": [{
        "field": "messages",
        "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": line.1, "phone_number_id": line.0},
            "contacts": [{"profile": {"name": "Amina"}, "wa_id": wa_id, "user_id": format!("MA.{candidate}")}],
            "messages": [message],
        },
    }]}]})
    .to_string()
}
