//! Numbers that the account has. Filters are a help, not a proof: every answer is compared again here.

use reqwest::Method;
use serde_json::json;

use super::types::{NumberUpdate, OwnedNumber};
use super::{Client, ProviderError};
use crate::domain::{CustomerReference, E164};
use crate::providers::reason::Reason;
use crate::providers::request::{Operation, Request};

const LIST: Operation = Operation::list("list_numbers");

impl Client {
    /// The number, if the account lists it. Telnyx: the filter takes digits only ("non-numerical characters result in no
    /// values").
    pub async fn number(&self, number: &E164) -> Result<Option<OwnedNumber>, ProviderError> {
        let filters = [("filter[phone_number]", number.digits().to_owned())];
        let found: Vec<OwnedNumber> = self.all(LIST, &["phone_numbers"], &filters).await?;
        let mut matching = found.into_iter().filter(|owned| owned.number == *number).collect::<Vec<_>>();
        // A number given back and bought again may be listed twice: the live one counts.
        matching.sort_by_key(|owned| owned.status == Some(super::OwnedStatus::Deleted));
        Ok(matching.into_iter().next())
    }

    /// `GET /phone_numbers/{id}`.
    pub async fn number_by_id(&self, id: &str) -> Result<Option<OwnedNumber>, ProviderError> {
        self.data_if_there(Request::get(Operation::read("number_by_id"), &["phone_numbers", id])).await
    }

    /// All numbers that carry this tag.
    pub async fn numbers_by_tag(&self, tag: &str) -> Result<Vec<OwnedNumber>, ProviderError> {
        let found: Vec<OwnedNumber> = self.all(LIST, &["phone_numbers"], &[("filter[tag]", tag.to_owned())]).await?;
        Ok(found.into_iter().filter(|owned| owned.tags.iter().any(|t| t == tag)).collect())
    }

    /// All numbers with exactly this reference.
    pub async fn numbers_by_reference(&self, reference: &CustomerReference) -> Result<Vec<OwnedNumber>, ProviderError> {
        let filters = [("filter[customer_reference]", reference.to_string())];
        let found: Vec<OwnedNumber> = self.all(LIST, &["phone_numbers"], &filters).await?;
        Ok(found.into_iter().filter(|owned| owned.is_of(reference)).collect())
    }

    /// `PATCH /phone_numbers/{id}`. Telnyx replaces the whole list of tags.
    pub async fn update_number(&self, id: &str, update: &NumberUpdate) -> Result<OwnedNumber, ProviderError> {
        let mut body = json!({});
        if let Some(connection) = &update.connection_id {
            body["connection_id"] = connection.as_str().into();
        }
        if let Some(tags) = &update.tags {
            body["tags"] = tags.clone().into();
        }
        if let Some(reference) = &update.customer_reference {
            body["customer_reference"] = reference.to_string().into();
        }
        let request = Request::new(Operation::set("update_number"), Method::PATCH, &["phone_numbers", id]).json(body);
        self.data(request).await
    }

    /// `DELETE /phone_numbers/{id}`: gives the number back. A number that is gone already is success.
    pub async fn release_number(&self, id: &str) -> Result<(), ProviderError> {
        self.delete(Operation::write("release_number"), &["phone_numbers", id]).await
    }

    pub(super) async fn delete(&self, operation: Operation, path: &[&str]) -> Result<(), ProviderError> {
        match self.transport.send(Request::new(operation, Method::DELETE, path)).await {
            Ok(_) => Ok(()),
            // Only Telnyx's own "not found": a proxy's 404 must not pass for a number that costs nothing any more.
            Err(error) if error.is(Reason::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
