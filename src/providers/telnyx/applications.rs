//! TeXML applications: which document answers the numbers that are attached to one.

use reqwest::Method;
use serde_json::{Value, json};

use super::types::TexmlApplication;
use super::{Client, ProviderError};
use crate::providers::request::{Operation, Request};

impl Client {
    /// `GET /texml_applications`, all of them.
    pub async fn texml_applications(&self) -> Result<Vec<TexmlApplication>, ProviderError> {
        self.all(Operation::list("list_texml_applications"), &["texml_applications"], &[]).await
    }

    /// `GET /texml_applications/{id}`. None if there is none.
    pub async fn texml_application(&self, id: &str) -> Result<Option<TexmlApplication>, ProviderError> {
        self.data_if_there(Request::get(Operation::read("texml_application"), &["texml_applications", id])).await
    }

    /// `POST /texml_applications`, fetching the document by GET: static hosts answer 405 to the default POST. Unknown
    /// after an unclear answer: list them before making another.
    pub async fn create_texml_application(
        &self,
        name: &str,
        voice_url: &str,
    ) -> Result<TexmlApplication, ProviderError> {
        const CALL: Operation = Operation::write("create_texml_application");
        let body = application(name, voice_url);
        self.data(Request::new(CALL, Method::POST, &["texml_applications"]).json(body)).await
    }

    /// `PATCH /texml_applications/{id}`.
    pub async fn update_texml_application(
        &self,
        id: &str,
        name: &str,
        voice_url: &str,
    ) -> Result<TexmlApplication, ProviderError> {
        const CALL: Operation = Operation::set("update_texml_application");
        let body = application(name, voice_url);
        self.data(Request::new(CALL, Method::PATCH, &["texml_applications", id]).json(body)).await
    }

    /// `DELETE /texml_applications/{id}`; gone already is success. Detach its numbers first.
    pub async fn delete_texml_application(&self, id: &str) -> Result<(), ProviderError> {
        self.delete(Operation::set("delete_texml_application"), &["texml_applications", id]).await
    }
}

fn application(name: &str, voice_url: &str) -> Value {
    json!({"friendly_name": name, "voice_url": voice_url, "voice_method": "get"})
}
