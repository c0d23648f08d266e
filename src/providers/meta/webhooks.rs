//! Where an account's webhooks go: the app's own URL and fields, and overrides on an account or a number.
//!
//! Meta: a number's override wins over the account's, that over the app's; a URL has at most 200 characters and must answer
//! the challenge with the verify token; a field that the app is not subscribed to delivers nothing, without an error.
//! Overrides set by hand are silence for the router: they are read to be seen, set only on purpose.

use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::types::SubscribedApp;
use super::{Client, ProviderError};
use crate::domain::{Invalid, PhoneNumberId, WabaId};
use crate::providers::lenient;
use crate::providers::request::{Operation, Request};

/// What Meta calls the object whose webhooks the router takes.
const OBJECT: &str = "whatsapp_business_account";
/// Longest URL that Meta takes for an override.
const MAX_URL: usize = 200;

/// A URL that webhooks are to go to. No Debug of the token.
#[derive(Debug, Clone)]
pub struct Callback {
    url: String,
    verify_token: SecretString,
}

impl Callback {
    /// An https URL of at most 200 characters, and the token that it gives back for when it is challenged.
    pub fn new(url: &str, verify_token: SecretString) -> Result<Self, Invalid> {
        let fits = url.starts_with("https://") && url.len() > "https://".len() && url.chars().count() <= MAX_URL;
        if fits && url.bytes().all(|c| c.is_ascii_graphic()) {
            Ok(Self { url: url.to_owned(), verify_token })
        } else {
            Err(Invalid::new("callback URL", url, "write an https URL of at most 200 characters"))
        }
    }
}

/// What the app gets webhooks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSubscription {
    /// E.g. `whatsapp_business_account`.
    pub object: String,
    /// The app's own URL.
    pub callback_url: Option<String>,
    /// False: nothing is delivered.
    pub active: Option<bool>,
    /// Names of the fields, e.g. `messages`.
    pub fields: Vec<String>,
}

impl AppSubscription {
    /// Fields come as `{name, version}`, in older answers as plain names.
    fn from_entry(entry: &Value) -> Option<Self> {
        let text = |name: &str| lenient::text(entry.get(name)?.clone()).ok().flatten();
        let name = |field: &Value| {
            let inner = field.get("name").unwrap_or(field);
            inner.as_str().map(str::to_owned)
        };
        let fields = entry.get("fields").and_then(Value::as_array);
        Some(Self {
            object: text("object")?,
            callback_url: text("callback_url"),
            active: entry.get("active").and_then(Value::as_bool),
            fields: fields.into_iter().flatten().filter_map(name).collect(),
        })
    }

    /// True if it is about WhatsApp accounts.
    pub fn is_whatsapp(&self) -> bool {
        self.object == OBJECT
    }
}

impl Client {
    /// `GET /{waba}/subscribed_apps`, with the account's override for each app.
    pub async fn subscribed_apps(&self, waba: &WabaId) -> Result<Vec<SubscribedApp>, ProviderError> {
        const CALL: Operation = Operation::list("list_subscribed_apps");
        let entries = self.all(CALL, &[waba.as_str(), "subscribed_apps"], None).await?;
        Ok(entries.iter().filter_map(SubscribedApp::from_entry).collect())
    }

    /// `POST /{waba}/subscribed_apps`: our app gets the account's webhooks. Repeatable; also removes an override of the
    /// account, so this is how one is cleared.
    pub async fn subscribe(&self, waba: &WabaId) -> Result<(), ProviderError> {
        let path = self.path(&[waba.as_str(), "subscribed_apps"]);
        let request = Request::new(Operation::set("subscribe"), Method::POST, &path).json(json!({}));
        self.success(request).await
    }

    /// `POST /{waba}/subscribed_apps` with an override: webhooks of this account's numbers go to `callback`. Subscribes as
    /// well. Account and template fields still go to the app's URL.
    pub async fn override_account_webhook(&self, waba: &WabaId, callback: &Callback) -> Result<(), ProviderError> {
        let path = self.path(&[waba.as_str(), "subscribed_apps"]);
        let token = callback.verify_token.expose_secret();
        let body = json!({"override_callback_uri": callback.url, "verify_token": token});
        let request = Request::new(Operation::set("override_account_webhook"), Method::POST, &path);
        self.success(request.json(body).secret(token)).await
    }

    /// `POST /{number}` with an override: webhooks of this number go to `callback`. Read it back from
    /// [`super::PhoneNumber::webhook_configuration`].
    pub async fn override_number_webhook(&self, id: &PhoneNumberId, callback: &Callback) -> Result<(), ProviderError> {
        let path = self.path(&[id.as_str()]);
        let token = callback.verify_token.expose_secret();
        let hooks = json!({"override_callback_uri": callback.url, "verify_token": token});
        let request = Request::new(Operation::set("override_number_webhook"), Method::POST, &path);
        self.success(request.json(json!({ "webhook_configuration": hooks })).secret(token)).await
    }

    /// `POST /{number}` with an empty override: webhooks of this number go to the account's or the app's URL again.
    pub async fn clear_webhook_override(&self, id: &PhoneNumberId) -> Result<(), ProviderError> {
        let path = self.path(&[id.as_str()]);
        let body = json!({"webhook_configuration": {"override_callback_uri": ""}});
        self.success(Request::new(Operation::set("clear_webhook_override"), Method::POST, &path).json(body)).await
    }

    /// `GET /{app}/subscriptions`, as the app: which fields are delivered, and where to.
    pub async fn app_subscriptions(&self) -> Result<Vec<AppSubscription>, ProviderError> {
        const CALL: Operation = Operation::list("app_subscriptions");
        let path = self.path(&[self.app_id().as_str(), "subscriptions"]);
        let answer: Value = self.inner.app_transport.json(Request::get(CALL, &path)).await?;
        let Some(entries) = answer.get("data").and_then(Value::as_array) else {
            return Err(self.inner.app_transport.unreadable(CALL, "the answer holds no list".to_owned()));
        };
        Ok(entries.iter().filter_map(AppSubscription::from_entry).collect())
    }

    /// `POST /{app}/subscriptions`, as the app: these fields of WhatsApp accounts go to `callback`. Replaces what was
    /// subscribed for the object. Meta's WhatsApp docs allow it, the general reference sends people to the dashboard: a
    /// refusal means that somebody must set it there.
    pub async fn subscribe_app(&self, callback: &Callback, fields: &[&str]) -> Result<(), ProviderError> {
        let path = self.path(&[self.app_id().as_str(), "subscriptions"]);
        let token = callback.verify_token.expose_secret();
        let body = json!({
            "object": OBJECT, "callback_url": callback.url, "verify_token": token, "fields": fields.join(","),
            "include_values": true,
        });
        let request = Request::new(Operation::set("subscribe_app"), Method::POST, &path).json(body).secret(token);
        self.success_as(&self.inner.app_transport, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_are_https_and_short() {
        let long = format!("https://a.example/{}", "x".repeat(200));
        for (url, good) in [
            ("https://hooks.example/webhook", true),
            ("http://hooks.example/webhook", false),
            ("https://", false),
            ("https://hooks.example/a b", false),
            ("", false),
            (long.as_str(), false),
        ] {
            let made = Callback::new(url, "verify-me".to_owned().into());
            assert_eq!(made.is_ok(), good, "{url}");
            assert!(!format!("{made:?}").contains("verify-me"));
        }
    }

    #[test]
    fn subscriptions_are_read_in_both_forms() {
        for (entry, want) in [
            (
                json!({"object": OBJECT, "callback_url": "https://x", "active": true,
                "fields": [{"name": "messages", "version": "v25.0"}, {"version": "v25.0"}, 7]}),
                Some((true, 1)),
            ),
            (json!({"object": OBJECT, "fields": ["messages", "security"]}), Some((true, 2))),
            (json!({"object": "page", "fields": null}), Some((false, 0))),
            (json!({"callback_url": "https://x"}), None),
            (json!(null), None),
        ] {
            let got = AppSubscription::from_entry(&entry).map(|sub| (sub.is_whatsapp(), sub.fields.len()));
            assert_eq!(got, want, "{entry}");
        }
    }
}
