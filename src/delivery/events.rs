//! What a client may ask for: `history` and `reauth`. Everything else, and everything malformed or too frequent, is
//! answered with `{ok: false, error: {code, message}}` and changes nothing.
//!
//! No event names a company or a room: the company is the session's, from its token.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use socketioxide::extract::{AckSender, SocketRef, TryData};

use super::item::{self, Item};
use super::limits::Verdict;
use super::page::{Items, PAGE_BYTES};
use super::session::Session;

/// Most items of a `history` answer.
const HISTORY_MAX: usize = 200;
const HISTORY_DEFAULT: usize = 50;
const MAX_CONTACT_ID: usize = 64;

#[derive(Deserialize)]
struct HistoryRequest {
    #[serde(default)]
    contact_id: Option<String>,
    #[serde(default)]
    before: Option<i64>,
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct ReauthRequest {
    token: String,
}

#[derive(Serialize)]
struct History<'a> {
    items: Items<'a>,
    more: bool,
}

/// An answer that is not what was asked for.
struct No(&'static str, &'static str);

const RATE_LIMITED: No = No("rate_limited", "too many events: wait a second");
const ONE_AT_A_TIME: No =
    No("rate_limited", "one history at a time: wait for the answer to the one before, and read it");
const UNAVAILABLE: No = No("unavailable", "the history can't be read at the moment: try again");
const MALFORMED: No = No("malformed", "the payload does not have the documented form");

/// Puts the handlers on a socket, before it is connected, so that no event can arrive too early.
pub fn register(socket: &SocketRef, session: &Arc<Session>) {
    let shared = session.clone();
    socket.on("history", async move |TryData(request): TryData<HistoryRequest>, ack: AckSender| {
        if shared.count_event() != Verdict::Fine {
            return refuse(ack, &RATE_LIMITED);
        }
        let request = match request.map_or(Err(MALFORMED), HistoryRequest::judged) {
            Ok(request) => request,
            Err(no) => return refuse(ack, &no),
        };
        // An answer may have a megabyte: nobody has several of them read or waiting.
        let Some(_one) = shared.history_turn() else { return refuse(ack, &ONE_AT_A_TIME) };
        match history(&shared, &request).await {
            Ok((items, more)) => {
                let before = shared.cut.written();
                if ack.send(&History { items: Items(&items), more }).is_ok() {
                    shared.history_sent(before, items.iter().map(|item| item.size()).sum());
                }
            }
            Err(no) => refuse(ack, &no),
        }
    });
    let shared = session.clone();
    socket.on("reauth", async move |TryData(request): TryData<ReauthRequest>, ack: AckSender| {
        if shared.count_event() != Verdict::Fine {
            return refuse(ack, &RATE_LIMITED);
        }
        match reauth(&shared, request.ok()).await {
            Ok(expires_at) => drop(ack.send(&json!({ "ok": true, "expires_at": expires_at.to_string() }))),
            Err(no) => refuse(ack, &no),
        }
    });
    let shared = session.clone();
    socket.on_fallback(async move |ack: AckSender| match shared.count_event() {
        Verdict::Fine => refuse(ack, &No("unknown_event", "there is no such event: see the recruiter's client guide")),
        _ => refuse(ack, &RATE_LIMITED),
    });
    let shared = session.clone();
    socket.on_disconnect(async move || shared.closed.cancel());
}

fn refuse(ack: AckSender, no: &No) {
    // A client that asked for no answer, or that is gone, gets none.
    let _ = ack.send(&json!({ "ok": false, "error": { "code": no.0, "message": no.1 } }));
}

impl HistoryRequest {
    fn judged(self) -> Result<Self, No> {
        let bad = self.limit.is_some_and(|limit| limit == 0 || limit > HISTORY_MAX)
            || self.before.is_some_and(|before| before < 1)
            || self.contact_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > MAX_CONTACT_ID);
        if bad { Err(MALFORMED) } else { Ok(self) }
    }
}

async fn history(session: &Session, request: &HistoryRequest) -> Result<(Vec<Arc<Item>>, bool), No> {
    let limit = request.limit.unwrap_or(HISTORY_DEFAULT);
    let contact = request.contact_id.as_deref();
    // A company without a record has no history yet.
    let Some(db) = session.tail.database() else { return Ok((Vec::new(), false)) };
    let turn = tokio::select! {
        biased;
        // Nobody is there to be answered: what waits on would keep the device's place and the company's reader.
        () = session.closed.cancelled() => return Err(UNAVAILABLE),
        turn = session.tail.history_turn() => turn,
    };
    let read = db.log().read_before(request.before, contact, limit, PAGE_BYTES).await;
    let page = read.map_err(|_| UNAVAILABLE)?;
    drop(turn);
    let rendered: Vec<_> = page.entries.iter().filter_map(item::render).map(Arc::new).collect();
    let (items, cut) = newest_that_fit(rendered);
    Ok((items, page.more || cut))
}

/// The newest items whose JSON fits into a page, in ascending order; at least one.
fn newest_that_fit(mut items: Vec<Arc<Item>>) -> (Vec<Arc<Item>>, bool) {
    let mut bytes = 100;
    let fitting = items.iter().rev().take_while(|item| {
        bytes += item.size() + 1;
        bytes <= PAGE_BYTES
    });
    let keep = fitting.count().max(1).min(items.len());
    let rest = items.len() - keep;
    (items.split_off(rest), rest > 0)
}

/// Prolongs the connection by a new token of the same person; refused, the old expiry stands.
async fn reauth(session: &Session, request: Option<ReauthRequest>) -> Result<Timestamp, No> {
    let request = request.ok_or(MALFORMED)?;
    let token = session.hub.authenticate(&request.token).await.map_err(|refusal| {
        No(refusal.code(), "the token was refused; the connection lasts as long as the old one does")
    })?;
    if !session.token.borrow().same_person(&token) {
        return Err(No("unauthorized", "the token is of another recruiter or company"));
    }
    let exp = token.exp;
    session.token.send_replace(token);
    Timestamp::from_second(exp).map_err(|_| MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::item::tests::item;

    #[test]
    fn history_keeps_the_newest_that_fit() {
        let seqs = |items: &[Arc<Item>]| items.iter().map(|i| i.seq).collect::<Vec<_>>();
        let (kept, cut) = newest_that_fit((1..=5).map(|seq| item(seq, 300_000)).collect());
        assert_eq!((seqs(&kept), cut), (vec![3, 4, 5], true));
        let (kept, cut) = newest_that_fit(vec![item(1, 10), item(2, 5_000_000)]);
        assert_eq!((seqs(&kept), cut), (vec![2], true));
        let (kept, cut) = newest_that_fit(vec![item(1, 10), item(2, 10)]);
        assert_eq!((seqs(&kept), cut), (vec![1, 2], false));
        assert_eq!(newest_that_fit(Vec::new()).0.len(), 0);
    }
}
