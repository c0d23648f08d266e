//! Recruiters of the demo: each one a Node process with the official Socket.IO client, whose messages are printed as they
//! arrive.
//!
//! Must never touch what arrived: what is compared in the end is what the client got.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::screen;
use crate::support::World;
use crate::support::client::Client;

/// A connected recruiter.
pub struct Recruiter {
    /// Name, as the platform calls it.
    pub name: &'static str,
    /// Whose messages it may see.
    pub company: &'static str,
    client: Arc<Client>,
    /// How many items were looked at for printing.
    printed: watch::Receiver<usize>,
    printing: tokio::task::JoinHandle<()>,
}

/// One recruiter of each company. Tokens are good for 15 minutes; whoever connects again with the same device goes on
/// where it stopped.
pub async fn connect(world: &World) -> Result<Vec<Recruiter>> {
    Ok(vec![
        Recruiter::connect(world, "sara", "atlas-logistics").await?,
        Recruiter::connect(world, "omar", "rif-foods").await?,
    ])
}

impl Recruiter {
    /// Connects, and prints from now on what arrives.
    async fn connect(world: &World, name: &'static str, company: &'static str) -> Result<Recruiter> {
        let token = world.token(company, name)?;
        let client =
            Arc::new(Client::helper(json!({"url": world.socket_url, "device": "demo", "token": token})).await?);
        client.after(0, &format!("{name}'s welcome"), |v| v["event"] == "welcome").await?;
        let (count, printed) = watch::channel(0);
        let printing = tokio::spawn(print(client.clone(), name, company, count));
        Ok(Recruiter { name, company, client, printed, printing })
    }

    /// The texts that arrived, in order, repeats too.
    pub fn texts(&self) -> Vec<String> {
        self.client.items().iter().filter_map(text).collect()
    }

    /// Waits until a text has arrived and stands on the screen.
    pub async fn got(&self, wanted: &str) -> Result<()> {
        let what = format!("{wanted:?} to reach {}", self.name);
        let here = |_: &Value| self.texts().iter().any(|text| text == wanted);
        self.client.within(Duration::from_secs(30), 0, &what, here).await?;
        let arrived = self.client.items().len();
        self.printed.clone().wait_for(|printed| *printed >= arrived).await?;
        Ok(())
    }
}

impl Drop for Recruiter {
    fn drop(&mut self) {
        // It holds the client, which ends the Node process when it goes.
        self.printing.abort();
    }
}

fn text(item: &Value) -> Option<String> {
    item["content"]["text"]["body"].as_str().map(str::to_owned)
}

async fn print(client: Arc<Client>, name: &'static str, company: &'static str, printed: watch::Sender<usize>) {
    let mut shown = 0;
    let mut look = tokio::time::interval(Duration::from_millis(100));
    loop {
        look.tick().await;
        let items = client.items();
        for item in items.iter().skip(shown) {
            let Some(text) = text(item) else { continue };
            let from = item["contact"]["name"].as_str().unwrap_or("a candidate");
            let to = item["line"]["phone_number"].as_str().unwrap_or_default();
            screen::say(&format!(
                "{} ({company}) got #{} on {to} from {from}: {text}",
                screen::green(name),
                item["seq"]
            ));
        }
        shown = items.len();
        printed.send_replace(shown);
    }
}
