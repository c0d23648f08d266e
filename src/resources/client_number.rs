//! `ClientNumber`: the WhatsApp line of one client company.
//!
//! The doc comments here are the text of `kubectl explain`; the rules are what `kubectl apply` answers. The structs only
//! carry text and numbers: parsing into domain types, and what needs other objects, is the controller's.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use crate::domain::NumberType;

pub use super::line_status::*;
pub use super::verification_status::*;

/// The WhatsApp line of one client company: which company, under which name, on which number. The controller gets the
/// number, adds it to the Portfolio's WhatsApp Business Account, verifies it, routes it and registers it. Ready is True
/// when candidates' messages reach the company's recruiters.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "clientnumber.dev",
    version = "v1alpha1",
    kind = "ClientNumber",
    plural = "clientnumbers",
    namespaced,
    status = "ClientNumberStatus",
    shortname = "cn",
    category = "messaging",
    derive = "PartialEq",
    selectable = ".spec.companyId",
    selectable = ".spec.portfolioRef.name",
    selectable = ".status.phoneNumber",
    validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE).field_path(".metadata.name"),
    printcolumn(name = "Number", type_ = "string", json_path = ".status.phoneNumber", description = "The line's phone number"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "True when the line sends and receives"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why Ready is what it is; docs/conditions.md lists all"),
    printcolumn(name = "Company", type_ = "string", json_path = ".spec.companyId", description = "The client company"),
    printcolumn(name = "Cost", type_ = "string", json_path = ".status.cost.display", description = "The line's fixed cost a month"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.step", priority = 1, description = "The step of the pipeline that the line is at"),
    printcolumn(name = "Phone Number ID", type_ = "string", json_path = ".status.phoneNumberId", priority = 1, description = "Meta's id of the number"),
    printcolumn(name = "Quality", type_ = "string", json_path = ".status.line.qualityRating", priority = 1, description = "Meta's quality rating"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1, description = "What happens next, or who must do what")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.deletionPolicy != 'Release' || !has(self.number.existing) || self.number.existing.carrier != 'External'").message("deletionPolicy Release gives a number back at Telnyx, which an External number does not come from: use Retain"),
    validation = Rule::new("(has(self.number.existing) && self.number.existing.carrier == 'External') || self.verification.method == 'Voice'").message("verification.method Sms needs a person who reads the code: use Voice, or number.existing with carrier External"),
    validation = Rule::new("(has(self.number.existing) && self.number.existing.carrier == 'External') || self.verification.language == 'en_US'").message("verification.language other than en_US needs a person who hears the code: use en_US, or number.existing with carrier External")
)]
pub struct ClientNumberSpec {
    /// The client company that the line belongs to, as the purchase backend names it. Can't be changed: a line changes
    /// hands by deleting the object (Retain) and creating a new one with number.existing.
    #[schemars(length(max = 192))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$')").message("use 1 to 48 lower-case letters, digits and hyphens, starting and ending with a letter or digit"),
        validation = Rule::new("self == oldSelf").message("companyId can't be changed: delete the object with deletionPolicy Retain and create a new one for the other company")
    )]
    pub company_id: String,
    /// The name that candidates see, 2 to 75 characters, reviewed by Meta; "Company by Platform" passes best. A change
    /// goes through Meta's name review while the line works on.
    #[schemars(length(max = 300))]
    #[x_kube(
        validation = Rule::new("self.size() >= 2 && self.size() <= 75").message("use 2 to 75 characters"),
        validation = Rule::new("!self.matches('[\\\\p{Cc}\\\\p{Zl}\\\\p{Zp}]')").message("write the name on one line, without tabs or control characters"),
        validation = Rule::new("!self.matches('^[\\\\s\\\\p{Z}]|[\\\\s\\\\p{Z}]$')").message("remove the space at the beginning or end of the name")
    )]
    pub display_name: String,
    /// The Portfolio whose accounts the line uses. Can't be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("portfolioRef can't be changed: delete the object with deletionPolicy Retain and create it again for the other Portfolio"))]
    pub portfolio_ref: PortfolioRef,
    /// Where the number comes from: exactly one of acquire and existing. Can't be changed.
    #[x_kube(validation = Rule::new("self == oldSelf").message("number can't be changed: create another ClientNumber for another number"))]
    pub number: NumberSource,
    /// How Meta's code is delivered.
    #[serde(default)]
    pub verification: Verification,
    /// The line's public business profile. [This release stores the field; the profile is written to Meta by a later one.]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Days after which candidates' messages are removed from the company's database; the smallest of a company's lines
    /// counts. At least 8, since Meta repeats a message for 7 days. What was removed does not come back.
    #[serde(default = "default_retention")]
    #[x_kube(validation = Rule::new("self >= 8 && self <= 1095").message("use 8 to 1095 days: Meta repeats messages for 7 days, and three years is the longest"))]
    pub retention_days: i32,
    /// Upper bound in MAD for what the company's messages may cost in a month. [This release stores the field; sending
    /// comes with a later one.]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 60))]
    #[x_kube(validation = Rule::new(rules::POSITIVE).message(rules::POSITIVE_MESSAGE))]
    pub monthly_budget_mad: Option<String>,
    /// What happens to the number when the object is deleted. Retain: it stays in the carrier's account, paid for, tagged
    /// with its company, listed in the Portfolio, and is taken again by the company's next line. Release: it is given
    /// back for ever.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Stops all work on the line; Ready and routing stay as they are. Leave it out of git if you set it by hand.
    #[serde(default)]
    pub suspend: bool,
}

fn default_retention() -> i32 {
    730
}

/// A Portfolio by name.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortfolioRef {
    /// Name of the Portfolio.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]{0,50}[a-z0-9])?$')").message("write the name of the Portfolio in lower case, for example main"))]
    pub name: String,
    /// Namespace of the Portfolio; left out: the object's own. The Portfolio must allow the object's namespace
    /// (allowedNamespaces).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')").message("write the Portfolio's namespace in lower case, for example platform, or leave it out for the line's own"))]
    pub namespace: Option<String>,
}

/// Exactly one of the two.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.acquire) != has(self.existing)").message("write exactly one of acquire (buy a number) and existing (use one that you have)"))]
pub struct NumberSource {
    /// Buy a number at Telnyx. A retained number of the same company is taken first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquire: Option<Acquire>,
    /// Use a number that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
}

/// What to buy.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acquire {
    /// Country of the number: ISO 3166 alpha-2.
    #[serde(default = "default_country")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new(rules::COUNTRY).message(rules::COUNTRY_MESSAGE))]
    pub country: String,
    /// Kinds of number that will do, in order of preference.
    #[serde(default = "default_types")]
    #[schemars(length(max = 3))]
    #[x_kube(
        validation = Rule::new(rules::NOT_EMPTY).message("name at least one of mobile, national, local, or leave types out"),
        validation = Rule::new("self.all(t, self.exists_one(u, u == t))").message("name each type once")
    )]
    pub types: Vec<NumberType>,
}

fn default_country() -> String {
    "MA".into()
}

fn default_types() -> Vec<NumberType> {
    vec![NumberType::Mobile, NumberType::National, NumberType::Local]
}

/// A number that exists.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Existing {
    /// The number in international form, for example +212612345678.
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new(rules::PHONE).message(rules::PHONE_MESSAGE))]
    pub phone_number: String,
    /// Whose number it is. Telnyx: it is in the Portfolio's Telnyx account, the code is caught by itself. External:
    /// another operator's; a person hears the code and hands it in.
    #[serde(default)]
    pub carrier: Carrier,
}

/// Who operates an existing number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Carrier {
    /// The Portfolio's own Telnyx account.
    #[default]
    Telnyx,
    /// Another operator; the code is handed in by a person.
    External,
}

/// How the code is delivered.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Voice: Meta calls and speaks the code. Sms: Meta texts it (External numbers only).
    #[serde(default)]
    pub method: CodeMethod,
    /// Language of the call or text, as in en_US. The machine understands en_US only; others need carrier External.
    #[serde(default = "default_language")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z]{2}_[A-Z]{2}$')").message("write language and country as in en_US or fr_FR"))]
    pub language: String,
}

impl Default for Verification {
    fn default() -> Self {
        Self { method: CodeMethod::Voice, language: default_language() }
    }
}

fn default_language() -> String {
    "en_US".into()
}

/// How Meta delivers the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CodeMethod {
    /// A call.
    #[default]
    Voice,
    /// A text message.
    Sms,
}

/// What happens to the number when the object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Keep the number and go on paying for it.
    #[default]
    Retain,
    /// Give the number back at Telnyx, for ever.
    Release,
}

/// The public business profile of the line.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The line under the name, 1 to 139 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 560))]
    #[x_kube(validation = Rule::new("self.size() >= 1 && self.size() <= 139").message("use 1 to 139 characters"))]
    pub about: Option<String>,
    /// What the company does, at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("self.size() <= 256").message("use at most 256 characters"))]
    pub description: Option<String>,
    /// Address of contact, at most 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self.size() <= 128 && self.matches('^[^@\\\\s]+@[^@\\\\s]+[.][^@\\\\s]+$')").message("write one e-mail address of at most 128 characters, for example jobs@example.ma"))]
    pub email: Option<String>,
    /// At most two web sites.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 1024)))]
    #[x_kube(
        validation = Rule::new("self.size() <= 2").message("Meta shows two web sites: write at most two"),
        validation = Rule::new("self.all(w, w.size() <= 256 && isURL(w) && w.matches('^https?://[^/@]+'))").message("write each web site as a URL of at most 256 characters, for example https://example.ma")
    )]
    pub websites: Vec<String>,
    /// Meta's industry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vertical: Option<Vertical>,
    /// Postal address, at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("self.size() <= 256").message("use at most 256 characters"))]
    pub address: Option<String>,
    /// Where the profile photo is fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new(rules::URL).message(rules::URL_MESSAGE))]
    pub photo_url: Option<String>,
}

/// Meta's industries (WhatsAppBusinessVertical of the v23 OpenAPI file).
#[allow(missing_docs)] // Meta's own words
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Vertical {
    Other,
    Auto,
    Beauty,
    Apparel,
    Edu,
    Entertain,
    EventPlan,
    Finance,
    Grocery,
    Govt,
    Hotel,
    Health,
    Nonprofit,
    ProfServices,
    Retail,
    Travel,
    Restaurant,
    Alcohol,
    OnlineGambling,
    PhysicalGambling,
    OtcDrugs,
}
