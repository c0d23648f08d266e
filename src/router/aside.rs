//! What of a POST goes elsewhere than into a company's log: what Meta says of accounts, and what goes to quarantine.
//!
//! One POST may hold thousands of these, and every company's appends share the connections to the store with them: so few
//! are written at once. Must never say that something is kept before it is durable.

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::domain::PhoneNumberId;
use crate::store::account_events::AccountEvent;
use crate::store::{AccountEvents, Piece, Quarantine, QuarantineReason, Signer, StoreError};

use super::ingest::StoreAway;
use super::metrics::{Metrics, Reason};
use super::split::{Change, Content};

/// Writes at once for one POST.
const OF_A_POST: usize = 8;
/// Writes at once for all of them: a quarter of the connections.
const AT_ONCE: usize = 16;

/// Writes it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Aside {
    events: AccountEvents,
    quarantine: Quarantine,
    metrics: Metrics,
    turns: Arc<Semaphore>,
}

impl Aside {
    pub(super) fn new(events: AccountEvents, quarantine: Quarantine, metrics: Metrics) -> Self {
        Self { events, quarantine, metrics, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    pub(super) fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }

    /// Writes account events, and tells of each, by the index that came with it, what came of it.
    pub(super) async fn write(&self, events: Vec<(usize, AccountEvent)>) -> Vec<(usize, Result<(), StoreError>)> {
        let written: Vec<_> = events.iter().map(|(index, event)| self.write_one(*index, event)).collect();
        stream::iter(written).buffered(OF_A_POST).collect().await
    }

    async fn write_one(&self, index: usize, event: &AccountEvent) -> (usize, Result<(), StoreError>) {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let began = Instant::now();
        let written = self.events.insert(event).await.map(|_| ());
        self.metrics.stored("account_event", began);
        (index, written)
    }

    /// Puts those of the changes away that have a reason. They came at one moment, signed with this secret.
    pub(super) async fn put_away(
        &self,
        changes: &[Change],
        placed: &[Option<QuarantineReason>],
        signer: Option<&Signer>,
        at: Timestamp,
    ) -> Result<(), StoreAway> {
        let mut pieces = Vec::new();
        for (place, (change, reason)) in changes.iter().zip(placed).enumerate() {
            let Some(reason) = *reason else { continue };
            // What may come back is found by its line also where it was signed by a foreign account, for whoever erases.
            let line = match &change.content {
                Content::Line { phone_number_id, .. } => Some(phone_number_id),
                _ => None,
            };
            let (entry_id, text) = (change.entry_id.as_str(), change.text.expose().as_str());
            let is_account = matches!(change.content, Content::Account { .. });
            let entry_time = change.entry_time.filter(|_| is_account);
            pieces.push(Piece { extent: change.extent, entry_id, entry_time, text, reason, line, signer, at, place });
        }
        let put: Vec<_> = pieces.iter().map(|piece| self.put(piece)).collect();
        // One that fails keeps none of the others from being written.
        let put: Vec<Result<(), StoreAway>> = stream::iter(put).buffered(OF_A_POST).collect().await;
        put.into_iter().collect()
    }

    /// Puts one piece away.
    pub(super) async fn put(&self, piece: &Piece<'_>) -> Result<(), StoreAway> {
        let _turn = self.turns.acquire().await;
        let began = Instant::now();
        let put = self.quarantine.put(piece).await;
        self.metrics.stored("quarantine", began);
        match put {
            Ok(new) => {
                if new {
                    let reason = piece.reason.as_str();
                    self.metrics.quarantined.get_or_create(&Reason { reason }).inc();
                    let line = piece.line.map_or("unknown", PhoneNumberId::as_str);
                    tracing::warn!(reason, line, "a change went to quarantine");
                }
                Ok(())
            }
            // Even the net does not hold it: better that Meta keeps it for us than that nobody does.
            Err(error) => {
                tracing::error!(%error, "the quarantine takes nothing");
                Err(StoreAway)
            }
        }
    }
}
