//! The router as a process of its own, on ports that stay the same when it is killed and started again.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clientnumber::store::LineRef;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
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
}

impl Router {
    /// Starts `binary`, which trusts tokens signed with `jwt_secret` and logs what `log` lets through, and waits until it
    /// is ready.
    pub async fn start(
        binary: &str,
        name: &str,
        dir: &Path,
        mongo: &str,
        jwt_secret: &str,
        log: &str,
    ) -> Result<Router> {
        let (webhook, sockets, admin) = (free_port()?, free_port()?, free_port()?);
        let args = [
            "router".to_owned(),
            format!("--webhook-addr=127.0.0.1:{webhook}"),
            format!("--socket-addr=127.0.0.1:{sockets}"),
            format!("--admin-addr=127.0.0.1:{admin}"),
            format!("--log={log}"),
        ];
        let env = [
            ("MONGODB_URI", mongo),
            ("META_VERIFY_TOKEN", "verify"),
            ("META_APP_SECRET", APP_SECRET),
            ("QUARANTINE_KEY", QUARANTINE_KEY),
            ("JWT_HS256_SECRET", jwt_secret),
        ];
        let program = Program::start(name, binary, dir, args, env)?;
        let mut router = Router { program, webhook, sockets, admin };
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

/// What Meta posts when a candidate writes a text, here always the same candidate, now.
pub fn message(line: &LineRef, wamid: &str, text: &str) -> String {
    let timestamp = jiff::Timestamp::now().as_second().to_string();
    json!({"object": "whatsapp_business_account", "entry": [{"id": "104", "changes": [{
        "field": "messages",
        "value": {
            "messaging_product": "whatsapp",
            "metadata": {
                "display_phone_number": line.phone_number.digits(), "phone_number_id": line.phone_number_id,
            },
            "contacts": [{"profile": {"name": "Amina"}, "wa_id": "212600000001", "user_id": "MA.1"}],
            "messages": [{
                "id": wamid, "from": "212600000001", "timestamp": timestamp, "type": "text", "text": {"body": text},
            }],
        },
    }]}]})
    .to_string()
}
