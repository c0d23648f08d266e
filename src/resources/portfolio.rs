//! `Portfolio`: the platform's own accounts. One Telnyx account, one Meta business portfolio with its WhatsApp Business
//! Account, the limits within which lines may spend, the rate cards and the documents handed in.
//!
//! The doc comments here are the text of `kubectl explain`; the rules are what `kubectl apply` answers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::limits::Limits;
use super::rate_card::RateCard;
use super::rules;

/// The platform's accounts that lines are made from: a Telnyx account, a Meta business portfolio with its WhatsApp
/// Business Account, limits on spending, rate cards, and the documents handed to Meta. Lines wait until it is Ready.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "clientnumber.dev",
    version = "v1alpha1",
    kind = "Portfolio",
    plural = "portfolios",
    namespaced,
    status = "PortfolioStatus",
    shortname = "pf",
    category = "messaging",
    derive = "PartialEq",
    validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE).field_path(".metadata.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "True when lines can be made"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why Ready is what it is; docs/conditions.md lists all"),
    printcolumn(name = "Used", type_ = "integer", json_path = ".status.numbers.used", description = "Slots in use at Meta"),
    printcolumn(name = "Limit", type_ = "integer", json_path = ".status.numbers.limit", description = "Slots that there are"),
    printcolumn(name = "Balance", type_ = "string", json_path = ".status.balanceUsd", description = "Balance at the carrier in USD"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Onboarding", type_ = "integer", json_path = ".status.numbers.onboarding", priority = 1),
    printcolumn(name = "Stalled", type_ = "integer", json_path = ".status.numbers.stalled", priority = 1),
    printcolumn(name = "Orphaned", type_ = "integer", json_path = ".status.numbers.orphaned", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct PortfolioSpec {
    /// First part of the reference that stands on every number bought (ownerId/namespace/name). It belongs to one
    /// cluster. Can't be changed.
    #[schemars(length(max = 128))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$')").message("use 1 to 32 lower-case letters, digits and hyphens, starting and ending with a letter or digit"),
        validation = Rule::new("self == oldSelf").message("ownerId can't be changed: numbers that were bought carry it")
    )]
    pub owner_id: String,
    /// The identity of the cluster whose claim on ownerId is taken over, as the reason OwnerIdInUse names it. Empty:
    /// another cluster's claim is respected and nothing is touched.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub take_over_from: String,
    /// The carrier's account.
    pub telnyx: TelnyxAccount,
    /// Meta's business portfolio.
    #[x_kube(
        validation = Rule::new("self.wabaId == oldSelf.wabaId").message("wabaId can't be changed: create another Portfolio for another WhatsApp Business Account"),
        validation = Rule::new("self.businessId == oldSelf.businessId").message("businessId can't be changed: create another Portfolio for another business")
    )]
    pub meta: MetaAccount,
    /// Bounds on spending and pace.
    #[serde(default)]
    pub limits: Limits,
    /// How often the accounts are read: one round of shared list calls. 1m to 24h.
    #[serde(default = "default_check_interval")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$') && self != '' && duration(self) >= duration('1m') && duration(self) <= duration('24h')").message("write a duration of 1m to 24h in hours, minutes and seconds, for example 1h or 1h30m"))]
    pub check_interval: String,
    /// Dated prices. validTo is exclusive; a day without a card has an unknown cost, never 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 60))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["validFrom".into()]),
        validation = Rule::new("self.all(a, self.all(b, a.validFrom >= b.validFrom || (has(a.validTo) && a.validTo <= b.validFrom)))").message("rate cards overlap: end each one (validTo, exclusive) no later than the next begins; only the last may be open-ended")
    )]
    pub rate_cards: Vec<RateCard>,
    /// Documents handed to Meta's Security Center for business verification. [Checked by a later release; stored by this
    /// one.]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub checklist: Vec<ChecklistItem>,
    /// Namespaces whose ClientNumbers may use this Portfolio.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
    /// Stops all work on all lines of this Portfolio; routes stay as they are.
    #[serde(default)]
    pub suspend: bool,
}

fn default_check_interval() -> String {
    "1h".into()
}

/// A key of a Secret in the Portfolio's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(rules::NOT_EMPTY).message("write the name of the Secret"))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new(rules::NOT_EMPTY).message("write the key in the Secret"))]
    pub key: String,
}

/// The Telnyx account.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TelnyxAccount {
    /// The API key.
    pub api_key_secret_ref: SecretKeyRef,
    /// Where Telnyx fetches the document that records the code, served by the router. Left out: the origin of
    /// meta.webhookUrl followed by /telnyx/capture.xml. The rejecting document is its neighbour reject.xml.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new(rules::URL).message(rules::URL_MESSAGE))]
    pub voice_url: Option<String>,
    /// An existing TeXML application to capture with, instead of the one that the controller makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(rules::DIGITS).message("write the application's id as digits in quotes"))]
    pub voice_connection_id: Option<String>,
    /// Approved requirement groups that orders refer to, one per country and type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, b.country == a.country && b.type == a.type))").message("name one requirement group per country and type"))]
    pub requirement_groups: Vec<RequirementGroup>,
    /// A speech-to-text service of yours, asked last, when the carrier's transcription and speech-to-text gave no code. It
    /// gets the recording of Meta's call as a file and answers with its words; docs/transcriber.md has the form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcriber: Option<Transcriber>,
    /// A test call before one of Meta's is spent: a number of yours calls the line and says six digits, which must come
    /// back out of the recording. Only then is a code asked for. Left out: no test calls. They cost what Telnyx takes for
    /// a call of a minute, at most two an hour and line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Rehearsal>,
    /// The API's base URL.
    #[serde(default = "default_telnyx_url")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new(rules::URL).message(rules::URL_MESSAGE))]
    pub base_url: String,
}

fn default_telnyx_url() -> String {
    "https://api.telnyx.com/v2".into()
}

/// A requirement group at Telnyx.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirementGroup {
    /// Country: ISO 3166 alpha-2.
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new(rules::COUNTRY).message(rules::COUNTRY_MESSAGE))]
    pub country: String,
    /// Kind of number.
    #[serde(rename = "type")]
    pub kind: crate::domain::NumberType,
    /// Telnyx's id of the group.
    #[schemars(length(max = 144))]
    #[x_kube(validation = Rule::new("self.size() > 0 && self.size() <= 36").message("write Telnyx's id of the requirement group"))]
    pub id: String,
}

/// Who makes the test calls.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehearsal {
    /// The number that calls, in international form: active in this Telnyx account, and no line's own.
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new(rules::PHONE).message(rules::PHONE_MESSAGE))]
    pub from_number: String,
    /// Telnyx's id of the TeXML application that the call goes through. It needs an outbound voice profile that allows
    /// calls to the lines' country.
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(rules::DIGITS).message("write the application's id as digits in quotes"))]
    pub connection_id: String,
}

/// A speech-to-text service.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transcriber {
    /// Where recordings are sent: the whole address, such as https://stt.example.ma/v1/audio/transcriptions.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new(rules::URL).message(rules::URL_MESSAGE))]
    pub url: String,
    /// Bearer token for it. Left out: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// The model that is asked for, where the service wants one named, such as whisper-1. Left out: none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$')").message("write the name of a model that the service has, such as whisper-1, or leave it out"))]
    pub model: Option<String>,
}

/// The Meta account.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetaAccount {
    /// Id of the business portfolio. Portfolios of one business share its slots. Can't be changed.
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(rules::DIGITS).message(rules::DIGITS_MESSAGE))]
    pub business_id: String,
    /// Id of the WhatsApp Business Account that numbers are added to. Can't be changed.
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(rules::DIGITS).message(rules::DIGITS_MESSAGE))]
    pub waba_id: String,
    /// Id of the app whose token and secret these are.
    #[schemars(length(max = 128))]
    #[x_kube(validation = Rule::new(rules::DIGITS).message(rules::DIGITS_MESSAGE))]
    pub app_id: String,
    /// The system user's access token.
    pub access_token_secret_ref: SecretKeyRef,
    /// The app secret, which signs webhooks and API calls.
    pub app_secret_secret_ref: SecretKeyRef,
    /// Version of the Graph API.
    #[serde(default = "default_graph_version")]
    #[schemars(length(max = 24))]
    #[x_kube(validation = Rule::new("self.matches('^v[1-9][0-9]{1,2}[.][0-9]$')").message("write the Graph API version as in v25.0"))]
    pub graph_version: String,
    /// The API's base URL, without the version.
    #[serde(default = "default_meta_url")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new(rules::URL).message(rules::URL_MESSAGE))]
    pub base_url: String,
    /// The router's public webhook URL, as configured in the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new(rules::URL).message(rules::URL_MESSAGE))]
    pub webhook_url: Option<String>,
    /// What to do about a lost subscription or a foreign override. Report: say so. Repair: subscribe again and remove the
    /// override; no override is ever set. [This release subscribes once at the start and reports.]
    #[serde(default)]
    pub webhook_policy: WebhookPolicy,
}

fn default_graph_version() -> String {
    "v25.0".into()
}

fn default_meta_url() -> String {
    "https://graph.facebook.com".into()
}

/// What to do about a broken webhook subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WebhookPolicy {
    /// Say so.
    #[default]
    Report,
    /// Subscribe again, remove a foreign override.
    Repair,
}

/// A document handed to Meta.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChecklistItem {
    /// Kind of document.
    pub document: Document,
    /// What it is called or numbered, for example RC 123456.
    #[schemars(length(max = 800))]
    #[x_kube(validation = Rule::new("self.size() >= 1 && self.size() <= 200").message("use 1 to 200 characters"))]
    pub reference: String,
    /// Day on which it was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    #[x_kube(validation = Rule::new(rules::DATE).message(rules::DATE_MESSAGE))]
    pub issued_at: Option<String>,
    /// Day on which it was handed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    #[x_kube(validation = Rule::new(rules::DATE).message(rules::DATE_MESSAGE))]
    pub submitted_at: Option<String>,
}

/// Kinds of document for business verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Document {
    /// Registre de commerce (RC).
    CommercialRegister,
    /// Identifiant fiscal / ICE.
    TaxId,
    /// A utility bill that shows the address.
    UtilityBill,
    /// Anything else that Meta asked for.
    Other,
}

/// Namespaces that may use the Portfolio.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("self.from != 'Selector' || (has(self.selector) && ((has(self.selector.matchLabels) && self.selector.matchLabels.size() > 0) || (has(self.selector.matchExpressions) && self.selector.matchExpressions.size() > 0)))").message("from Selector needs a selector with at least one label; use from All to allow every namespace"))]
pub struct AllowedNamespaces {
    /// Same: the Portfolio's own namespace. All: every namespace. Selector: namespaces with these labels.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Labels of the namespaces, with from Selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// How namespaces are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// The Portfolio's own.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// Those with matching labels.
    Selector,
}

/// What the controller knows of the accounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortfolioStatus {
    /// Generation of the spec that this status speaks of; -1 until the controller has seen the object.
    #[serde(default)]
    pub observed_generation: i64,
    /// Conditions, Ready first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Counts of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<NumberCounts>,
    /// Balance at the carrier in USD, a decimal string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_usd: Option<String>,
    /// Meta's messaging limit of the business portfolio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging_limit: Option<String>,
    /// Identity of this cluster, as it stands on the TeXML applications and numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Ids of the TeXML applications that calls run through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applications: Option<ApplicationStatus>,
    /// Claims on slots, numbers and budget: those in progress, and those of the last 24 hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ledger: Vec<LedgerEntry>,
    /// Numbers that are paid for and belong to no object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retained: Vec<RetainedNumber>,
    /// What the audit found that does not fit together, each with what to do: at most 100 and all that were abandoned; the
    /// counts in numbers are whole. Nothing is released or changed because of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// When the accounts were last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_round_at: Option<Time>,
}

/// Counts of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NumberCounts {
    /// Slots in use at Meta.
    pub used: i32,
    /// Slots that there are.
    pub limit: i32,
    /// Slots claimed by lines that are not at Meta yet.
    pub reserved: i32,
    /// Lines that are Ready.
    pub ready: i32,
    /// Lines on their way.
    pub onboarding: i32,
    /// Lines that wait for a person.
    pub stalled: i32,
    /// Numbers paid for without an object.
    pub retained: i32,
    /// Numbers that are paid for and that nothing accounts for: findings Orphaned and Abandoned.
    pub orphaned: i32,
    /// Numbers that hold a slot, that no line uses and only a person can delete at Meta.
    pub awaiting_manual_deletion: i32,
}

/// Ids of TeXML applications at Telnyx.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationStatus {
    /// Records, while a code is awaited.
    pub capture: String,
    /// Rejects every other call.
    pub reject: String,
}

/// A claim of a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    /// The line: namespace/name.
    pub line: String,
    /// The number that it may order or use.
    pub phone_number: String,
    /// When it was claimed.
    pub claimed_at: Time,
    /// Whether the claim is for a purchase; a claim on an existing number spends nothing.
    #[serde(default)]
    pub purchase: bool,
    /// uid of the object, so that a namesake is told from the same one.
    #[serde(default)]
    pub uid: String,
    /// When the claim ended (owned, given up, deleted); absent while in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Time>,
}

/// A number that is paid for and belongs to no object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetainedNumber {
    /// The number.
    pub phone_number: String,
    /// The company whose line it was.
    pub company_id: String,
    /// Since when it has no object.
    pub since: Time,
    /// Its rent in USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_usd: Option<String>,
    /// True: the rent is the rate card's; what the number was bought at is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}
