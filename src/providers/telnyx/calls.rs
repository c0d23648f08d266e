//! One call that we make ourselves: from a number of the account, through a TeXML application, saying a document.
//!
//! Telnyx: `POST /texml/Accounts/{account_sid}/Calls` takes the document in the call itself (`Texml`), so nothing need be
//! served for it. The account's id is the organization's, which only `GET /whoami` tells. A call costs money and rings: it
//! is sent once, and nobody here asks again when its answer is lost.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Client, ProviderError};
use crate::domain::E164;
use crate::providers::classify::Class;
use crate::providers::lenient;
use crate::providers::reason::Reason;
use crate::providers::request::{Operation, Request};

/// Rings for so long at most, in seconds.
const RINGS_S: u32 = 30;
/// Lasts no longer than that, in seconds: the other side records for two minutes, and time is billed.
const LASTS_S: u32 = 90;

/// A call to be made.
#[derive(Debug, Clone, Copy)]
pub struct OutboundCall<'a> {
    /// The account's id, of [`Client::organization`].
    pub account: &'a str,
    /// A number of the account.
    pub from: &'a E164,
    /// Whom to call.
    pub to: &'a E164,
    /// A TeXML application with an outbound voice profile, by its id.
    pub connection: &'a str,
    /// What happens once the call is answered: a TeXML document.
    pub document: &'a str,
}

impl Client {
    /// `GET /whoami`: the id of the organization that the key belongs to, which TeXML's calls name as their account
    /// (public reports of live accounts; the official file has no such path).
    pub async fn organization(&self) -> Result<String, ProviderError> {
        const CALL: Operation = Operation::read("organization");
        #[derive(Deserialize)]
        struct Who {
            #[serde(default, deserialize_with = "lenient::text")]
            organization_id: Option<String>,
        }
        let who: Who = self.data(Request::get(CALL, &["whoami"])).await?;
        who.organization_id.filter(|id| !id.is_empty()).ok_or_else(|| {
            let text = "the answer names no organization".to_owned();
            let what = "report this to the maintainers of the controller if it stays: Telnyx words this answer in another way than it did";
            self.transport.error(CALL, Class::Transient, Reason::UnreadableAnswer, text, what)
        })
    }

    /// Makes the call. Done when Telnyx has taken it: it rings afterwards, or it does not. Unknown after an unclear answer.
    pub async fn place_call(&self, call: &OutboundCall<'_>) -> Result<(), ProviderError> {
        let path = ["texml", "Accounts", call.account, "Calls"];
        let body = json!({
            "ApplicationSid": call.connection, "From": call.from.as_str(), "To": call.to.as_str(),
            "Texml": call.document, "Timeout": RINGS_S, "TimeLimit": LASTS_S,
        });
        let request = Request::new(Operation::write("place_call"), Method::POST, &path).json(body);
        // What is in the answer says nothing that is needed, and its form differs: with and without an envelope.
        self.transport.json::<Value>(request).await.map(drop)
    }
}
