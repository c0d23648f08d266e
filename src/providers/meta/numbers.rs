//! Numbers of a WhatsApp account: list, add, verify, register, PIN, name, profile.
//!
//! Meta: no call has an idempotency key, and codes, registrations and PIN attempts are counted there even when they fail.
//! So each method sends once; after an Unknown error the caller reads the list or the number before anything else.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::types::{PhoneNumber, Profile};
use super::words::CodeMethod;
use super::{Client, ProviderError, drop_unknown_field};
use crate::domain::{E164, OtpCode, PhoneNumberId, Pin, WabaId};
use crate::providers::classify::Class;
use crate::providers::lenient;
use crate::providers::reason::Reason;
use crate::providers::request::{Operation, Request};

/// All fields that we use. `health_status` is asked for on a single number only.
const FIELDS: &str = "id,display_phone_number,verified_name,name_status,new_display_name,new_name_status,\
                      code_verification_status,status,quality_rating,platform_type,\
                      whatsapp_business_manager_messaging_limit,throughput,account_mode,is_on_biz_app,is_pin_enabled,\
                      last_onboarded_time,webhook_configuration";

impl Client {
    /// `GET /{waba}/phone_numbers`, all pages. Meta has no filter on the number: compare [`PhoneNumber::number`].
    pub async fn phone_numbers(&self, waba: &WabaId) -> Result<Vec<PhoneNumber>, ProviderError> {
        const CALL: Operation = Operation::list("list_phone_numbers");
        let path = [waba.as_str(), "phone_numbers"];
        let mut fields = FIELDS.to_owned();
        let entries = loop {
            match self.all(CALL, &path, Some(&fields)).await {
                Err(error) if drop_unknown_field(&mut fields, &error) => {}
                other => break other?,
            }
        };
        let count = entries.len();
        let numbers: Vec<PhoneNumber> = lenient::items(Value::Array(entries));
        if numbers.len() == count {
            Ok(numbers)
        } else {
            // Absence from this list is taken as proof, so an entry that can't be read must not be left out silently.
            let text = format!("{} of {count} numbers have no usable id", count - numbers.len());
            Err(self.transport().unreadable(CALL, text))
        }
    }

    /// `GET /{id}` with health. None if the token is shown no such number.
    pub async fn phone_number(&self, id: &PhoneNumberId) -> Result<Option<PhoneNumber>, ProviderError> {
        const CALL: Operation = Operation::read("phone_number");
        let path = self.path(&[id.as_str()]);
        let mut fields = format!("{FIELDS},health_status");
        loop {
            match self.transport().json(Request::get(CALL, &path).query("fields", fields.clone())).await {
                Ok(number) => return Ok(Some(number)),
                Err(error) if error.is(Reason::NotFound) => return Ok(None),
                // Every number has one: the id is something else's.
                Err(error) if error.message.contains("nonexisting field (display_phone_number)") => return Ok(None),
                Err(error) if drop_unknown_field(&mut fields, &error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// `POST /{waba}/phone_numbers`. What a second POST of the same number does is not documented: list first, and after
    /// any error list again.
    pub async fn create_phone_number(
        &self,
        waba: &WabaId,
        number: &E164,
        verified_name: &str,
    ) -> Result<PhoneNumberId, ProviderError> {
        const CALL: Operation = Operation::write("create_phone_number");
        let Some((country_code, national)) = number.split() else {
            let text = format!("{number} belongs to no numbering plan that is known");
            let what = "check the number; Meta wants its country code apart from the rest";
            return Err(self.transport().error(CALL, Class::NeedsHuman, Reason::InvalidPhoneNumber, text, what));
        };
        let body = json!({"cc": country_code, "phone_number": national, "verified_name": verified_name});
        #[derive(Deserialize)]
        struct Answer {
            id: PhoneNumberId,
        }
        let path = self.path(&[waba.as_str(), "phone_numbers"]);
        let answer: Answer = self.transport().json(Request::new(CALL, Method::POST, &path).json(body)).await?;
        Ok(answer.id)
    }

    /// `POST /{id}/request_code`: the call or text follows. Scarce: about 10 for a number in 72 h, refusals included.
    pub async fn request_code(
        &self,
        id: &PhoneNumberId,
        method: &CodeMethod,
        language: &str,
    ) -> Result<(), ProviderError> {
        let body = json!({"code_method": method.as_str(), "language": language});
        self.effect(Operation::write("request_code"), id, "request_code", body, None).await
    }

    /// `POST /{id}/verify_code`.
    pub async fn verify_code(&self, id: &PhoneNumberId, code: &OtpCode) -> Result<(), ProviderError> {
        let body = json!({"code": code.expose()});
        self.effect(Operation::write("verify_code"), id, "verify_code", body, Some(code.expose())).await
    }

    /// `POST /{id}/register`; sets the PIN if there is none, else it must match. At most 10 in 72 h, failures included.
    pub async fn register(&self, id: &PhoneNumberId, pin: &Pin) -> Result<(), ProviderError> {
        let body = json!({"messaging_product": "whatsapp", "pin": pin.expose()});
        self.effect(Operation::write("register").slow(), id, "register", body, Some(pin.expose())).await
    }

    /// `POST /{id}/deregister`. Does not delete the number nor free its slot: only a person can. A number that is not
    /// registered is success.
    pub async fn deregister(&self, id: &PhoneNumberId) -> Result<(), ProviderError> {
        match self.effect(Operation::write("deregister").slow(), id, "deregister", json!({}), None).await {
            Err(error) if error.is(Reason::NotRegistered) => Ok(()),
            other => other,
        }
    }

    /// `POST /{id}` with `pin`: sets or changes it; the old one is not asked for.
    pub async fn set_pin(&self, id: &PhoneNumberId, pin: &Pin) -> Result<(), ProviderError> {
        let path = self.path(&[id.as_str()]);
        let request = Request::new(Operation::set("set_pin"), Method::POST, &path).json(json!({"pin": pin.expose()}));
        self.success(request.secret(pin.expose())).await
    }

    /// `POST /{id}` with `new_display_name`: reviewed by Meta, then register again within 14 days. At most 10 in 30 days.
    pub async fn set_display_name(&self, id: &PhoneNumberId, name: &str) -> Result<(), ProviderError> {
        let path = self.path(&[id.as_str()]);
        let body = json!({"new_display_name": name});
        self.success(Request::new(Operation::write("set_display_name"), Method::POST, &path).json(body)).await
    }

    /// `GET /{id}/whatsapp_business_profile`, in either of the two forms it is answered in.
    pub async fn profile(&self, id: &PhoneNumberId) -> Result<Profile, ProviderError> {
        const CALL: Operation = Operation::read("profile");
        const FIELDS: &str = "about,address,description,email,profile_picture_url,websites,vertical";
        let path = self.path(&[id.as_str(), "whatsapp_business_profile"]);
        let answer: Value = self.transport().json(Request::get(CALL, &path).query("fields", FIELDS)).await?;
        profile(&answer).ok_or_else(|| self.transport().unreadable(CALL, "the answer holds no profile".to_owned()))
    }

    /// `POST /{id}/whatsapp_business_profile` with the fields that are set.
    pub async fn update_profile(&self, id: &PhoneNumberId, profile: &Profile) -> Result<(), ProviderError> {
        let mut body = json!({"messaging_product": "whatsapp"});
        for (name, value) in [
            ("about", &profile.about),
            ("description", &profile.description),
            ("email", &profile.email),
            ("vertical", &profile.vertical),
            ("address", &profile.address),
            ("profile_picture_handle", &profile.photo_handle),
        ] {
            if let Some(value) = value {
                body[name] = value.as_str().into();
            }
        }
        if !profile.websites.is_empty() {
            body["websites"] = profile.websites.clone().into();
        }
        self.effect(Operation::set("update_profile"), id, "whatsapp_business_profile", body, None).await
    }

    async fn effect(
        &self,
        operation: Operation,
        id: &PhoneNumberId,
        action: &str,
        body: Value,
        secret: Option<&str>,
    ) -> Result<(), ProviderError> {
        let path = self.path(&[id.as_str(), action]);
        let mut request = Request::new(operation, Method::POST, &path).json(body);
        if let Some(secret) = secret {
            request = request.secret(secret);
        }
        self.success(request).await
    }
}

/// `{data: [{about, ...}]}` (SDKs) or `{data: [{business_profile: {...}}]}` (official file).
fn profile(answer: &Value) -> Option<Profile> {
    let first = answer.get("data")?.as_array()?.first()?;
    let inner = first.get("business_profile").unwrap_or(first);
    serde_json::from_value(inner.clone()).ok()
}
