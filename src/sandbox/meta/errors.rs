//! Graph's refusals: HTTP status, code, subcode and the two texts for people.
//!
//! Source: Meta's error pages and public reports; most refusals come as HTTP 400.

use serde_json::{Value, json};

use crate::sandbox::http::Response;

/// A refusal.
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Graph's code.
    pub code: u32,
    /// error_subcode.
    pub subcode: Option<u32>,
    /// message, without the `(#code)` in front.
    pub message: String,
    /// error_user_title and error_user_msg.
    pub user: Option<(&'static str, String)>,
    /// error_data.details.
    pub details: Option<String>,
    /// is_transient.
    pub transient: bool,
}

impl Refusal {
    /// A refusal with HTTP 400.
    pub fn new(code: u32, message: &str) -> Self {
        Self {
            status: 400,
            code,
            subcode: None,
            message: message.to_owned(),
            user: None,
            details: None,
            transient: false,
        }
    }

    /// With this HTTP status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// With this subcode.
    pub fn subcode(mut self, subcode: u32) -> Self {
        self.subcode = Some(subcode);
        self
    }

    /// With texts for a person.
    pub fn user(mut self, title: &'static str, text: &str) -> Self {
        self.user = Some((title, text.to_owned()));
        self
    }

    /// With error_data.details.
    pub fn details(mut self, details: &str) -> Self {
        self.details = Some(details.to_owned());
        self
    }

    /// As an answer.
    pub fn answer(self) -> Response {
        let mut error = json!({
            "message": format!("(#{}) {}", self.code, self.message), "type": "OAuthException", "code": self.code,
        });
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = Value::from(subcode);
        }
        if let Some((title, text)) = self.user {
            error["is_transient"] = Value::from(self.transient);
            error["error_user_title"] = Value::from(title);
            error["error_user_msg"] = Value::from(text);
        }
        if let Some(details) = self.details {
            error["error_data"] = json!({"messaging_product": "whatsapp", "details": details});
        }
        error["fbtrace_id"] = Value::from("AsAnDbOxTrAcE");
        Response::json(self.status, &json!({ "error": error }))
    }
}

/// 100 with a reason.
pub fn invalid(message: &str) -> Response {
    Refusal::new(100, message).answer()
}

/// 100/33: not there, or not visible to this token.
pub fn no_such_object(id: &str) -> Response {
    let text = format!(
        "Unsupported get request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, \
         or does not support this operation"
    );
    Refusal::new(100, &text).subcode(33).answer()
}

/// 2500: a path that means nothing.
pub fn unknown_path(path: &str) -> Response {
    Refusal::new(2500, &format!("Unknown path components: {path}")).answer()
}

/// 80008 or 80007: the app on this WABA.
pub fn too_many_on_waba(code: u32, status: u16) -> Response {
    let text = "There have been too many calls to this WhatsApp Business account. Wait a bit and try again.";
    Refusal::new(code, text).status(status).answer()
}

/// 4: the app on everything.
pub fn too_many_of_app(status: u16) -> Response {
    Refusal::new(4, "Application request limit reached").status(status).answer()
}
