//! What Telnyx wants to know before it gives a number, and groups of values that orders can take from.
//!
//! Requirement groups come unwrapped: an object, or a bare array for the list; both are read with and without `data`. An
//! empty answer about requirements is not proof that nothing is needed: the order says what it waits for.

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::sub_orders::RequirementValue;
use super::words::{FieldKind, NumberKind, RequirementAction, RequirementStatus};
use super::{Client, ProviderError};
use crate::domain::{Country, E164, NumberType, Pii};
use crate::providers::lenient;
use crate::providers::reason::Reason;
use crate::providers::request::{Operation, Request};

/// What is needed for a kind of number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Requirements {
    /// Two letters.
    #[serde(default, deserialize_with = "lenient::text")]
    pub country_code: Option<String>,
    /// For which kind.
    #[serde(rename = "phone_number_type", default, deserialize_with = "lenient::maybe")]
    pub kind: Option<NumberKind>,
    /// For what.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub action: Option<RequirementAction>,
    /// One by one.
    #[serde(rename = "regulatory_requirements", default, deserialize_with = "lenient::list")]
    pub requirements: Vec<Requirement>,
}

/// One thing that is needed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Requirement {
    /// Its id, named when a value is handed in.
    pub id: String,
    /// E.g. `Address matching the DID area code`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// In words.
    #[serde(default, deserialize_with = "lenient::text")]
    pub description: Option<String>,
    /// What a value may look like.
    #[serde(default, deserialize_with = "lenient::text")]
    pub example: Option<String>,
    /// What kind of value it is.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub field_type: Option<FieldKind>,
    /// What a value must fulfil.
    #[serde(rename = "acceptance_criteria", default, deserialize_with = "lenient::maybe")]
    pub criteria: Option<Criteria>,
}

/// What a value must fulfil. Most of it is a sentence for people rather than a rule for programs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Criteria {
    /// A regular expression, or words about one.
    #[serde(default, deserialize_with = "lenient::text")]
    pub regex: Option<String>,
    /// Characters, as text in the official file.
    #[serde(default, deserialize_with = "lenient::count")]
    pub min_length: Option<u64>,
    /// Characters.
    #[serde(default, deserialize_with = "lenient::count")]
    pub max_length: Option<u64>,
    /// The only values that are taken.
    #[serde(default, deserialize_with = "lenient::list")]
    pub acceptable_values: Vec<String>,
    /// E.g. `Less than 5 months old`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub time_limit: Option<String>,
    /// E.g. `Identical locality as the numbers desired`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub locality_limit: Option<String>,
}

/// Values that were handed in once and serve many orders.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RequirementGroup {
    /// Its id; a Portfolio names it.
    pub id: String,
    /// Whether orders can use it.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub status: Option<RequirementStatus>,
    /// Two letters.
    #[serde(default, deserialize_with = "lenient::text")]
    pub country_code: Option<String>,
    /// For which kind.
    #[serde(rename = "phone_number_type", default, deserialize_with = "lenient::maybe")]
    pub kind: Option<NumberKind>,
    /// For what.
    #[serde(default, deserialize_with = "lenient::maybe")]
    pub action: Option<RequirementAction>,
    /// `customer_reference`, as stored.
    #[serde(rename = "customer_reference", default, deserialize_with = "lenient::text")]
    pub reference: Option<String>,
    /// The values.
    #[serde(rename = "regulatory_requirements", default, deserialize_with = "lenient::list")]
    pub values: Vec<RequirementValue>,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::time")]
    pub created_at: Option<Timestamp>,
}

impl RequirementGroup {
    /// True if an order that names it can go on.
    pub fn is_approved(&self) -> bool {
        self.status == Some(RequirementStatus::Approved)
    }
}

const RULES: Operation = Operation::list("regulatory_requirements");

impl Client {
    /// `GET /regulatory_requirements` for a country, a type and an action. (`GET /requirements` knows no `mobile`.)
    pub async fn requirements(
        &self,
        country: &Country,
        kind: NumberType,
        action: &RequirementAction,
    ) -> Result<Vec<Requirements>, ProviderError> {
        let request = Request::get(RULES, &["regulatory_requirements"])
            .query("filter[country_code]", country.as_str())
            .query("filter[phone_number_type]", kind.as_str())
            .query("filter[action]", action.as_str());
        let found = self.rules(request).await?;
        let kind = NumberKind::from_word(kind.as_str());
        let fits = |one: &Requirements| {
            one.country_code.as_deref().is_none_or(|code| code.eq_ignore_ascii_case(country.as_str()))
                && one.kind.as_ref().is_none_or(|of| *of == kind)
                && one.action.as_ref().is_none_or(|of| of == action)
        };
        Ok(found.into_iter().filter(fits).collect())
    }

    /// `GET /regulatory_requirements` for one number, with its plus sign as in the official file's example.
    pub async fn requirements_of(&self, number: &E164) -> Result<Vec<Requirements>, ProviderError> {
        self.rules(Request::get(RULES, &["regulatory_requirements"]).query("filter[phone_number]", number.as_str()))
            .await
    }

    async fn rules(&self, request: Request<'_>) -> Result<Vec<Requirements>, ProviderError> {
        let listed: Vec<Value> = self.data(request).await?;
        self.readable(RULES, listed)
    }

    /// `GET /requirement_groups` for a country and type. A bare array without pages.
    pub async fn requirement_groups(
        &self,
        country: &Country,
        kind: NumberType,
    ) -> Result<Vec<RequirementGroup>, ProviderError> {
        const CALL: Operation = Operation::list("list_requirement_groups");
        let request = Request::get(CALL, &["requirement_groups"])
            .query("filter[country_code]", country.as_str())
            .query("filter[phone_number_type]", kind.as_str())
            .query("filter[action]", RequirementAction::Ordering.as_str());
        let Value::Array(listed) = unwrapped(self.transport.json(request).await?) else {
            return Err(self.transport.unreadable(CALL, "the answer is not a list of groups".to_owned()));
        };
        let found: Vec<RequirementGroup> = self.readable(CALL, listed)?;
        let kind = NumberKind::from_word(kind.as_str());
        let fits = |group: &RequirementGroup| {
            group.country_code.as_deref().is_none_or(|code| code.eq_ignore_ascii_case(country.as_str()))
                && group.kind.as_ref().is_none_or(|of| *of == kind)
        };
        Ok(found.into_iter().filter(fits).collect())
    }

    /// `GET /requirement_groups/{id}`. None if there is none.
    pub async fn requirement_group(&self, id: &str) -> Result<Option<RequirementGroup>, ProviderError> {
        match self.group(Request::get(Operation::read("requirement_group"), &["requirement_groups", id])).await {
            Ok(group) => Ok(Some(group)),
            Err(error) if error.is(Reason::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `POST /requirement_groups` for ordering. Unknown after an unclear answer: list them before making another. A person
    /// submits it for approval in the portal; which countries approve before an order is not documented for all.
    pub async fn create_requirement_group(
        &self,
        country: &Country,
        kind: NumberType,
        reference: &str,
        values: &[(String, Pii<String>)],
    ) -> Result<RequirementGroup, ProviderError> {
        const CALL: Operation = Operation::write("create_requirement_group");
        let listed: Vec<Value> =
            values.iter().map(|(id, value)| json!({"requirement_id": id, "field_value": value.expose()})).collect();
        let body = json!({
            "country_code": country.as_str(), "phone_number_type": kind.as_str(),
            "action": RequirementAction::Ordering.as_str(), "customer_reference": reference,
            "regulatory_requirements": listed,
        });
        let mut request = Request::new(CALL, Method::POST, &["requirement_groups"]).json(body);
        for (_, value) in values {
            request = request.secret(value.expose());
        }
        self.group(request).await
    }

    async fn group<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, ProviderError> {
        let operation = request.operation;
        let answer: Value = self.transport.json(request).await?;
        serde_json::from_value(unwrapped(answer))
            .map_err(|_| self.transport.unreadable(operation, "the answer is not a requirement group".to_owned()))
    }
}

/// These endpoints answer without the `data` that all others have; should that change, it is read as well.
fn unwrapped(answer: Value) -> Value {
    match answer {
        Value::Object(mut fields) if fields.contains_key("data") => fields.remove("data").unwrap_or_default(),
        other => other,
    }
}
