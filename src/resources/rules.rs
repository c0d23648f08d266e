//! CEL rules that more than one field uses, and the sentences they refuse with.
//!
//! No `pattern`, `minLength` or `format` in the schema: their messages are regexes. A rule's message says what to write
//! instead. `maxLength` is about four times the real limit, only to bound the rule's cost.

/// An https URL, or plain http to this machine or to a Service of the cluster. The whole host is matched: a prefix test
/// would let `localhost.evil.example` and `127.0.0.1@evil.example` through.
pub const URL: &str = "isURL(self) && (self.matches('^https://[^/@?#]+([/?#].*)?$') || self.matches('^http://(localhost|127[.]0[.]0[.]1|\\\\[::1\\\\]|[a-z0-9-]+([.][a-z0-9-]+)*[.]svc([.]cluster[.]local)?)(:[0-9]{1,5})?([/?#].*)?$'))";
/// What [`URL`] refuses with.
pub const URL_MESSAGE: &str = "write an https URL such as https://wa.example.ma/path, without user or password; plain http is allowed only to localhost, 127.0.0.1, [::1] or a Service name ending in .svc or .svc.cluster.local";

/// Digits in quotes: ids at Meta exceed what a JSON number holds.
pub const DIGITS: &str = "self.matches('^[0-9]{1,32}$')";
/// What [`DIGITS`] refuses with.
pub const DIGITS_MESSAGE: &str = "write the id as digits in quotes, for example \"104\"";

/// A decimal as a string, at least 0.
pub const DECIMAL: &str = "self.matches('^[0-9]{1,6}([.][0-9]{1,6})?$')";
/// What [`DECIMAL`] refuses with.
pub const DECIMAL_MESSAGE: &str = "write a decimal as a string, at least 0 and without a sign, for example \"5.00\"";

/// A decimal as a string, above 0.
pub const POSITIVE: &str = "self.matches('^[0-9]{1,6}([.][0-9]{1,6})?$') && double(self) > 0.0";
/// What [`POSITIVE`] refuses with.
pub const POSITIVE_MESSAGE: &str = "write a decimal above 0 as a string, for example \"500\" or \"10.5\"";

/// A day that exists, 2000 to 2099.
pub const DATE: &str = "self.matches('^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$') && !self.matches('-02-3|-(04|06|09|11)-31') && (!self.endsWith('-02-29') || int(self.substring(0, 4)) % 4 == 0)";
/// What [`DATE`] refuses with.
pub const DATE_MESSAGE: &str = "write a day that exists as YYYY-MM-DD, for example \"2026-10-01\"";

/// ISO 3166 alpha-2.
pub const COUNTRY: &str = "self.matches('^[A-Z]{2}$')";
/// What [`COUNTRY`] refuses with.
pub const COUNTRY_MESSAGE: &str = "write the country as two capitals (ISO 3166), for example MA";

/// E.164; for Morocco nine national digits without the trunk 0.
pub const PHONE: &str =
    "self.matches('^[+][1-9][0-9]{7,14}$') && (!self.startsWith('+212') || self.matches('^[+]212[5-8][0-9]{8}$'))";
/// What [`PHONE`] refuses with.
pub const PHONE_MESSAGE: &str = "write the number in international form without spaces; for Morocco +212 and nine digits without the leading 0, for example +212612345678";

/// Names that the object can't outgrow.
pub const NAME: &str = "self.metadata.name.size() <= 52";
/// What [`NAME`] refuses with.
pub const NAME_MESSAGE: &str = "use a name of at most 52 characters, so that the names derived from it fit";

/// Something must be written.
pub const NOT_EMPTY: &str = "self.size() > 0";
