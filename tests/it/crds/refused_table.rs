//! The table of bad manifests: what is changed, and the exact words of the refusal.

use super::refused::To::{self, External, Line, OldExisting, OldLine, OldPortfolio};
use super::refused::{Bad, own, url};
use super::*;

macro_rules! table {
    ($($to:expr, $change:tt => $says:expr;)*) => {
        vec![$(Bad { to: $to, change: json!($change), says: $says.into() }),*]
    };
}

/// Every line is one manifest.
pub(super) fn table() -> Vec<Bad> {
    use To::Portfolio;
    let long = |n: usize| "a".repeat(n);
    let card = |change: Value| {
        let card = json!({"validFrom": "2026-01-01", "validTo": "2026-10-01", "usdMad": "10.5", "messages": []});
        changed(card, &change)
    };
    let price = |change: Value| {
        let price = json!({"category": "utility", "country": "MA", "price": "0.05", "currency": "MAD"});
        changed(price, &change)
    };
    let group = |change: Value| changed(json!({"country": "MA", "type": "mobile", "id": "3f0e"}), &change);
    table! {
        // --- a line: who and where
        Line, {"metadata": {"name": long(53)}} => "metadata.name: Invalid value: use a name of at most 52 characters, so that the names derived from it fit";
        Line, {"spec": {"companyId": null}} => own("spec.companyId: Required value");
        Line, {"spec": {"companyId": ""}} => r#"spec.companyId: Invalid value: "": use 1 to 48 lower-case letters, digits and hyphens, starting and ending with a letter or digit"#;
        Line, {"spec": {"companyId": "Atlas"}} => r#"spec.companyId: Invalid value: "Atlas": use 1 to 48 lower-case letters, digits and hyphens, starting and ending with a letter or digit"#;
        Line, {"spec": {"companyId": "-atlas"}} => r#"spec.companyId: Invalid value: "-atlas": use 1 to 48 lower-case letters, digits and hyphens, starting and ending with a letter or digit"#;
        Line, {"spec": {"companyId": "atlas_logistics"}} => r#"spec.companyId: Invalid value: "atlas_logistics": use 1 to 48 lower-case letters, digits and hyphens, starting and ending with a letter or digit"#;
        Line, {"spec": {"companyId": long(49)}} => r#"spec.companyId: Invalid value: "a…": use 1 to 48 lower-case letters, digits and hyphens, starting and ending with a letter or digit"#;
        Line, {"spec": {"companyId": 7}} => own(r#"spec.companyId: Invalid value: "integer": spec.companyId in body must be of type string: "integer""#);
        Line, {"spec": {"displayName": null}} => own("spec.displayName: Required value");
        Line, {"spec": {"displayName": "A"}} => r#"spec.displayName: Invalid value: "A": use 2 to 75 characters"#;
        Line, {"spec": {"displayName": long(76)}} => r#"spec.displayName: Invalid value: "a…": use 2 to 75 characters"#;
        Line, {"spec": {"displayName": " Atlas"}} => r#"spec.displayName: Invalid value: " Atlas": remove the space at the beginning or end of the name"#;
        Line, {"spec": {"displayName": "Atlas\u{a0}"}} => r#"spec.displayName: Invalid value: "Atlas\u00a0": remove the space at the beginning or end of the name"#;
        Line, {"spec": {"displayName": "Atlas\nLogistics"}} => r#"spec.displayName: Invalid value: "Atlas\nLogistics": write the name on one line, without tabs or control characters"#;
        Line, {"spec": {"displayName": "Atlas\tLogistics"}} => r#"spec.displayName: Invalid value: "Atlas\tLogistics": write the name on one line, without tabs or control characters"#;
        Line, {"spec": {"portfolioRef": null}} => own("spec.portfolioRef: Required value");
        Line, {"spec": {"portfolioRef": {"name": ""}}} => r#"spec.portfolioRef.name: Invalid value: "": write the name of the Portfolio in lower case, for example main"#;
        Line, {"spec": {"portfolioRef": {"name": "Main"}}} => r#"spec.portfolioRef.name: Invalid value: "Main": write the name of the Portfolio in lower case, for example main"#;
        Line, {"spec": {"portfolioRef": {"namespace": ""}}} => r#"spec.portfolioRef.namespace: Invalid value: "": write the Portfolio's namespace in lower case, for example platform, or leave it out for the line's own"#;
        Line, {"spec": {"portfolioRef": {"namespace": "Plat_form"}}} => r#"spec.portfolioRef.namespace: Invalid value: "Plat_form": write the Portfolio's namespace in lower case, for example platform, or leave it out for the line's own"#;
        // --- a line: its number
        Line, {"spec": {"number": null}} => own("spec.number: Required value");
        Line, {"spec": {"number": {"acquire": null}}} => "spec.number: Invalid value: write exactly one of acquire (buy a number) and existing (use one that you have)";
        Line, {"spec": {"number": {"existing": {"phoneNumber": "+212612345678"}}}} => "spec.number: Invalid value: write exactly one of acquire (buy a number) and existing (use one that you have)";
        Line, {"spec": {"number": {"acquire": {"country": "ma"}}}} => r#"spec.number.acquire.country: Invalid value: "ma": write the country as two capitals (ISO 3166), for example MA"#;
        Line, {"spec": {"number": {"acquire": {"country": "Maroc"}}}} => r#"spec.number.acquire.country: Invalid value: "Maroc": write the country as two capitals (ISO 3166), for example MA"#;
        Line, {"spec": {"number": {"acquire": {"types": []}}}} => "spec.number.acquire.types: Invalid value: name at least one of mobile, national, local, or leave types out";
        Line, {"spec": {"number": {"acquire": {"types": ["mobile", "mobile"]}}}} => "spec.number.acquire.types: Invalid value: name each type once";
        Line, {"spec": {"number": {"acquire": {"types": ["toll_free"]}}}} => own(r#"spec.number.acquire.types[0]: Unsupported value: "toll_free": supported values: "mobile", "national", "local""#);
        External, {"spec": {"number": {"existing": {"phoneNumber": "0612345678"}}}} => r#"spec.number.existing.phoneNumber: Invalid value: "0612345678": write the number in international form without spaces; for Morocco +212 and nine digits without the leading 0, for example +212612345678"#;
        External, {"spec": {"number": {"existing": {"phoneNumber": "+2120612345678"}}}} => r#"spec.number.existing.phoneNumber: Invalid value: "+2120612345678": write the number in international form without spaces; for Morocco +212 and nine digits without the leading 0, for example +212612345678"#;
        External, {"spec": {"number": {"existing": {"phoneNumber": "+212 612-345678"}}}} => r#"spec.number.existing.phoneNumber: Invalid value: "+212 612-345678": write the number in international form without spaces; for Morocco +212 and nine digits without the leading 0, for example +212612345678"#;
        External, {"spec": {"number": {"existing": {"phoneNumber": "+212912345678"}}}} => r#"spec.number.existing.phoneNumber: Invalid value: "+212912345678": write the number in international form without spaces; for Morocco +212 and nine digits without the leading 0, for example +212612345678"#;
        External, {"spec": {"number": {"existing": {"phoneNumber": ""}}}} => r#"spec.number.existing.phoneNumber: Invalid value: "": write the number in international form without spaces; for Morocco +212 and nine digits without the leading 0, for example +212612345678"#;
        External, {"spec": {"number": {"existing": {"phoneNumber": null}}}} => own("spec.number.existing.phoneNumber: Required value");
        External, {"spec": {"number": {"existing": {"carrier": "Orange"}}}} => own(r#"spec.number.existing.carrier: Unsupported value: "Orange": supported values: "Telnyx", "External""#);
        // --- a line: the rest
        Line, {"spec": {"verification": {"method": "Sms"}}} => "spec: Invalid value: verification.method Sms needs a person who reads the code: use Voice, or number.existing with carrier External";
        Line, {"spec": {"verification": {"language": "fr_FR"}}} => "spec: Invalid value: verification.language other than en_US needs a person who hears the code: use en_US, or number.existing with carrier External";
        Line, {"spec": {"verification": {"method": "IVR"}}} => own(r#"spec.verification.method: Unsupported value: "IVR": supported values: "Voice", "Sms""#);
        External, {"spec": {"verification": {"language": "fr"}}} => r#"spec.verification.language: Invalid value: "fr": write language and country as in en_US or fr_FR"#;
        External, {"spec": {"deletionPolicy": "Release"}} => "spec: Invalid value: deletionPolicy Release gives a number back at Telnyx, which an External number does not come from: use Retain";
        Line, {"spec": {"deletionPolicy": "Delete"}} => own(r#"spec.deletionPolicy: Unsupported value: "Delete": supported values: "Retain", "Release""#);
        Line, {"spec": {"retentionDays": 7}} => "spec.retentionDays: Invalid value: 7: use 8 to 1095 days: Meta repeats messages for 7 days, and three years is the longest";
        Line, {"spec": {"retentionDays": 1096}} => "spec.retentionDays: Invalid value: 1096: use 8 to 1095 days: Meta repeats messages for 7 days, and three years is the longest";
        Line, {"spec": {"retentionDays": "730"}} => own(r#"spec.retentionDays: Invalid value: "string": spec.retentionDays in body must be of type integer: "string""#);
        Line, {"spec": {"monthlyBudgetMad": "0"}} => r#"spec.monthlyBudgetMad: Invalid value: "0": write a decimal above 0 as a string, for example "500" or "10.5""#;
        Line, {"spec": {"monthlyBudgetMad": "500,00"}} => r#"spec.monthlyBudgetMad: Invalid value: "500,00": write a decimal above 0 as a string, for example "500" or "10.5""#;
        Line, {"spec": {"monthlyBudgetMad": "-5"}} => r#"spec.monthlyBudgetMad: Invalid value: "-5": write a decimal above 0 as a string, for example "500" or "10.5""#;
        Line, {"spec": {"monthlyBudgetMad": 500}} => own(r#"spec.monthlyBudgetMad: Invalid value: "integer": spec.monthlyBudgetMad in body must be of type string: "integer""#);
        Line, {"spec": {"suspend": "yes"}} => own(r#"spec.suspend: Invalid value: "string": spec.suspend in body must be of type boolean: "string""#);
        Line, {"spec": {"profile": {"about": ""}}} => r#"spec.profile.about: Invalid value: "": use 1 to 139 characters"#;
        Line, {"spec": {"profile": {"about": long(140)}}} => r#"spec.profile.about: Invalid value: "a…": use 1 to 139 characters"#;
        Line, {"spec": {"profile": {"description": long(257)}}} => r#"spec.profile.description: Invalid value: "a…": use at most 256 characters"#;
        Line, {"spec": {"profile": {"address": long(257)}}} => r#"spec.profile.address: Invalid value: "a…": use at most 256 characters"#;
        Line, {"spec": {"profile": {"email": "jobs at example.ma"}}} => r#"spec.profile.email: Invalid value: "jobs at example.ma": write one e-mail address of at most 128 characters, for example jobs@example.ma"#;
        Line, {"spec": {"profile": {"websites": ["https://a.ma", "https://b.ma", "https://c.ma"]}}} => "spec.profile.websites: Invalid value: Meta shows two web sites: write at most two";
        Line, {"spec": {"profile": {"websites": ["atlas.example.ma"]}}} => "spec.profile.websites: Invalid value: write each web site as a URL of at most 256 characters, for example https://example.ma";
        Line, {"spec": {"profile": {"websites": ["ftp://atlas.example.ma"]}}} => "spec.profile.websites: Invalid value: write each web site as a URL of at most 256 characters, for example https://example.ma";
        Line, {"spec": {"profile": {"vertical": "LOGISTICS"}}} => own(r#"spec.profile.vertical: Unsupported value: "LOGISTICS": supported values: "OTHER", "AUTO", "BEAUTY", "APPAREL", "EDU", "ENTERTAIN", "EVENT_PLAN", "FINANCE", "GROCERY", "GOVT", "HOTEL", "HEALTH", "NONPROFIT", "PROF_SERVICES", "RETAIL", "TRAVEL", "RESTAURANT", "ALCOHOL", "ONLINE_GAMBLING", "PHYSICAL_GAMBLING", "OTC_DRUGS""#);
        Line, {"spec": {"profile": {"photoUrl": "http://atlas.example.ma/logo.png"}}} => url("spec.profile.photoUrl", "http://atlas.example.ma/logo.png");
        Line, {"spec": {"profile": {"photoUrl": "https://"}}} => url("spec.profile.photoUrl", "https://");
        // --- a Portfolio
        Portfolio, {"metadata": {"name": long(53)}} => "metadata.name: Invalid value: use a name of at most 52 characters, so that the names derived from it fit";
        Portfolio, {"spec": {"ownerId": null}} => own("spec.ownerId: Required value");
        Portfolio, {"spec": {"ownerId": "Prod"}} => r#"spec.ownerId: Invalid value: "Prod": use 1 to 32 lower-case letters, digits and hyphens, starting and ending with a letter or digit"#;
        Portfolio, {"spec": {"ownerId": long(33)}} => r#"spec.ownerId: Invalid value: "a…": use 1 to 32 lower-case letters, digits and hyphens, starting and ending with a letter or digit"#;
        Portfolio, {"spec": {"telnyx": null}} => own("spec.telnyx: Required value");
        Portfolio, {"spec": {"telnyx": {"apiKeySecretRef": {"name": ""}}}} => r#"spec.telnyx.apiKeySecretRef.name: Invalid value: "": write the name of the Secret"#;
        Portfolio, {"spec": {"telnyx": {"apiKeySecretRef": {"key": ""}}}} => r#"spec.telnyx.apiKeySecretRef.key: Invalid value: "": write the key in the Secret"#;
        Portfolio, {"spec": {"telnyx": {"apiKeySecretRef": {"key": null}}}} => own("spec.telnyx.apiKeySecretRef.key: Required value");
        Portfolio, {"spec": {"telnyx": {"voiceUrl": "wa.example.ma/telnyx/capture.xml"}}} => url("spec.telnyx.voiceUrl", "wa.example.ma/telnyx/capture.xml");
        Portfolio, {"spec": {"telnyx": {"voiceUrl": "http://wa.example.ma/telnyx/capture.xml"}}} => url("spec.telnyx.voiceUrl", "http://wa.example.ma/telnyx/capture.xml");
        Portfolio, {"spec": {"telnyx": {"voiceUrl": "http://localhost.evil.example/capture.xml"}}} => url("spec.telnyx.voiceUrl", "http://localhost.evil.example/capture.xml");
        Portfolio, {"spec": {"telnyx": {"voiceUrl": "http://127.0.0.1@evil.example/capture.xml"}}} => url("spec.telnyx.voiceUrl", "http://127.0.0.1@evil.example/capture.xml");
        Portfolio, {"spec": {"telnyx": {"voiceUrl": "https://user:pw@wa.example.ma/capture.xml"}}} => url("spec.telnyx.voiceUrl", "https://user:pw@wa.example.ma/capture.xml");
        Portfolio, {"spec": {"telnyx": {"baseUrl": "http://router.platform.svc.evil.example"}}} => url("spec.telnyx.baseUrl", "http://router.platform.svc.evil.example");
        Portfolio, {"spec": {"telnyx": {"voiceConnectionId": "main"}}} => r#"spec.telnyx.voiceConnectionId: Invalid value: "main": write the application's id as digits in quotes"#;
        Portfolio, {"spec": {"telnyx": {"requirementGroups": [group(json!({"country": "Ma"}))]}}} => r#"spec.telnyx.requirementGroups[0].country: Invalid value: "Ma": write the country as two capitals (ISO 3166), for example MA"#;
        Portfolio, {"spec": {"telnyx": {"requirementGroups": [group(json!({"id": ""}))]}}} => r#"spec.telnyx.requirementGroups[0].id: Invalid value: "": write Telnyx's id of the requirement group"#;
        Portfolio, {"spec": {"telnyx": {"requirementGroups": [group(json!({"type": "tollfree"}))]}}} => own(r#"spec.telnyx.requirementGroups[0].type: Unsupported value: "tollfree": supported values: "mobile", "national", "local""#);
        Portfolio, {"spec": {"telnyx": {"requirementGroups": [group(json!({})), group(json!({"id": "other"}))]}}} => "spec.telnyx.requirementGroups: Invalid value: name one requirement group per country and type";
        Portfolio, {"spec": {"telnyx": {"transcriber": {"url": "http://stt.example.ma/v1"}}}} => url("spec.telnyx.transcriber.url", "http://stt.example.ma/v1");
        Portfolio, {"spec": {"telnyx": {"transcriber": {"url": "https://stt.example.ma/v1", "model": "tiny en"}}}} => r#"spec.telnyx.transcriber.model: Invalid value: "tiny en": write the name of a model that the service has, such as whisper-1, or leave it out"#;
        Portfolio, {"spec": {"telnyx": {"transcriber": {}}}} => own("spec.telnyx.transcriber.url: Required value");
        Portfolio, {"spec": {"telnyx": {"rehearsal": {"fromNumber": "0612345678", "connectionId": "77"}}}} => r#"spec.telnyx.rehearsal.fromNumber: Invalid value: "0612345678": write the number in international form without spaces; for Morocco +212 and nine digits without the leading 0, for example +212612345678"#;
        Portfolio, {"spec": {"telnyx": {"rehearsal": {"fromNumber": "+212699000001", "connectionId": "app"}}}} => r#"spec.telnyx.rehearsal.connectionId: Invalid value: "app": write the application's id as digits in quotes"#;
        Portfolio, {"spec": {"telnyx": {"rehearsal": {"fromNumber": "+212699000001"}}}} => own("spec.telnyx.rehearsal.connectionId: Required value");
        Portfolio, {"spec": {"telnyx": {"rehearsal": {"connectionId": "77"}}}} => own("spec.telnyx.rehearsal.fromNumber: Required value");
        Portfolio, {"spec": {"meta": {"businessId": "bm-1020"}}} => r#"spec.meta.businessId: Invalid value: "bm-1020": write the id as digits in quotes, for example "104""#;
        Portfolio, {"spec": {"meta": {"wabaId": ""}}} => r#"spec.meta.wabaId: Invalid value: "": write the id as digits in quotes, for example "104""#;
        Portfolio, {"spec": {"meta": {"wabaId": 104}}} => own(r#"spec.meta.wabaId: Invalid value: "integer": spec.meta.wabaId in body must be of type string: "integer""#);
        Portfolio, {"spec": {"meta": {"appId": "app"}}} => r#"spec.meta.appId: Invalid value: "app": write the id as digits in quotes, for example "104""#;
        Portfolio, {"spec": {"meta": {"graphVersion": "25.0"}}} => r#"spec.meta.graphVersion: Invalid value: "25.0": write the Graph API version as in v25.0"#;
        Portfolio, {"spec": {"meta": {"webhookPolicy": "Fix"}}} => own(r#"spec.meta.webhookPolicy: Unsupported value: "Fix": supported values: "Report", "Repair""#);
        Portfolio, {"spec": {"meta": {"webhookUrl": "http://wa.example.ma/webhook"}}} => url("spec.meta.webhookUrl", "http://wa.example.ma/webhook");
        Portfolio, {"spec": {"limits": {"maxNumbers": 0}}} => "spec.limits.maxNumbers: Invalid value: 0: use at least 1; to stop buying, set suspend";
        Portfolio, {"spec": {"limits": {"purchasesPerHour": 0}}} => "spec.limits.purchasesPerHour: Invalid value: 0: use at least 1; to stop buying, set suspend";
        Portfolio, {"spec": {"limits": {"purchasesPerDay": 4}}} => "spec.limits: Invalid value: purchasesPerDay must be at least purchasesPerHour";
        Portfolio, {"spec": {"limits": {"concurrentOnboardings": 0}}} => "spec.limits.concurrentOnboardings: Invalid value: 0: use at least 1; to stop onboarding, set suspend";
        Portfolio, {"spec": {"limits": {"minBalanceUsd": "-1"}}} => r#"spec.limits.minBalanceUsd: Invalid value: "-1": write a decimal as a string, at least 0 and without a sign, for example "5.00""#;
        Portfolio, {"spec": {"limits": {"maxMonthlyUsdPerNumber": "5,00"}}} => r#"spec.limits.maxMonthlyUsdPerNumber: Invalid value: "5,00": write a decimal as a string, at least 0 and without a sign, for example "5.00""#;
        Portfolio, {"spec": {"limits": {"codeRequests": {"perHour": 3}}}} => "spec.limits.codeRequests.perHour: Invalid value: 3: use 1 or 2: Meta asks to wait an hour between codes";
        Portfolio, {"spec": {"limits": {"codeRequests": {"perDay": 6}}}} => "spec.limits.codeRequests.perDay: Invalid value: 6: use 1 to 5";
        Portfolio, {"spec": {"limits": {"codeRequests": {"per72h": 11}}}} => "spec.limits.codeRequests.per72h: Invalid value: 11: use 1 to 10: Meta blocks after about 10";
        Portfolio, {"spec": {"limits": {"codeRequests": {"perHour": 2, "perDay": 1}}}} => "spec.limits.codeRequests: Invalid value: perHour must not exceed perDay, nor perDay per72h";
        Portfolio, {"spec": {"limits": {"codeRequests": {"per72h": 2}}}} => "spec.limits.codeRequests: Invalid value: perHour must not exceed perDay, nor perDay per72h";
        Portfolio, {"spec": {"limits": {"registrations": {"per72h": 11}}}} => "spec.limits.registrations.per72h: Invalid value: 11: use 1 to 10: Meta blocks after 10";
        Portfolio, {"spec": {"checkInterval": "30s"}} => r#"spec.checkInterval: Invalid value: "30s": write a duration of 1m to 24h in hours, minutes and seconds, for example 1h or 1h30m"#;
        Portfolio, {"spec": {"checkInterval": "25h"}} => r#"spec.checkInterval: Invalid value: "25h": write a duration of 1m to 24h in hours, minutes and seconds, for example 1h or 1h30m"#;
        Portfolio, {"spec": {"checkInterval": "1d"}} => r#"spec.checkInterval: Invalid value: "1d": write a duration of 1m to 24h in hours, minutes and seconds, for example 1h or 1h30m"#;
        Portfolio, {"spec": {"checkInterval": "1 hour"}} => r#"spec.checkInterval: Invalid value: "1 hour": write a duration of 1m to 24h in hours, minutes and seconds, for example 1h or 1h30m"#;
        Portfolio, {"spec": {"checkInterval": ""}} => r#"spec.checkInterval: Invalid value: "": write a duration of 1m to 24h in hours, minutes and seconds, for example 1h or 1h30m"#;
        Portfolio, {"spec": {"rateCards": [card(json!({"validFrom": "2026-02-30"}))]}} => r#"spec.rateCards[0].validFrom: Invalid value: "2026-02-30": write a day that exists as YYYY-MM-DD, for example "2026-10-01""#;
        Portfolio, {"spec": {"rateCards": [card(json!({"validFrom": "01/01/2026"}))]}} => r#"spec.rateCards[0].validFrom: Invalid value: "01/01/2026": write a day that exists as YYYY-MM-DD, for example "2026-10-01""#;
        Portfolio, {"spec": {"rateCards": [card(json!({"validTo": "2026-01-01"}))]}} => "spec.rateCards[0]: Invalid value: validTo is the first day on which the card no longer holds: write a day after validFrom";
        Portfolio, {"spec": {"rateCards": [card(json!({"validTo": "2027-02-29"}))]}} => r#"spec.rateCards[0].validTo: Invalid value: "2027-02-29": write a day that exists as YYYY-MM-DD, for example "2026-10-01""#;
        Portfolio, {"spec": {"rateCards": [card(json!({})), card(json!({"validFrom": "2026-09-30"}))]}} => "spec.rateCards: Invalid value: rate cards overlap: end each one (validTo, exclusive) no later than the next begins; only the last may be open-ended";
        Portfolio, {"spec": {"rateCards": [card(json!({"validTo": null})), card(json!({"validFrom": "2027-01-01", "validTo": null}))]}} => "spec.rateCards: Invalid value: rate cards overlap: end each one (validTo, exclusive) no later than the next begins; only the last may be open-ended";
        Portfolio, {"spec": {"rateCards": [card(json!({})), card(json!({}))]}} => r#"spec.rateCards[1]: Duplicate value: {"validFrom":"2026-01-01"}"#;
        Portfolio, {"spec": {"rateCards": [card(json!({"usdMad": "0"}))]}} => r#"spec.rateCards[0].usdMad: Invalid value: "0": write a decimal above 0 as a string, for example "500" or "10.5""#;
        Portfolio, {"spec": {"rateCards": [card(json!({"usdMad": null}))]}} => own("spec.rateCards[0].usdMad: Required value");
        Portfolio, {"spec": {"rateCards": [card(json!({"rentUsd": {"number": "1,00", "capability": "0.10"}}))]}} => r#"spec.rateCards[0].rentUsd.number: Invalid value: "1,00": write a decimal as a string, at least 0 and without a sign, for example "5.00""#;
        Portfolio, {"spec": {"rateCards": [card(json!({"messages": [price(json!({})), price(json!({"price": "1"}))]}))]}} => "spec.rateCards[0].messages: Invalid value: write one price per category and country";
        Portfolio, {"spec": {"rateCards": [card(json!({"messages": [price(json!({"price": "-1"}))]}))]}} => r#"spec.rateCards[0].messages[0].price: Invalid value: "-1": write a decimal as a string, at least 0 and without a sign, for example "5.00""#;
        Portfolio, {"spec": {"rateCards": [card(json!({"messages": [price(json!({"currency": "dh"}))]}))]}} => r#"spec.rateCards[0].messages[0].currency: Invalid value: "dh": write the currency as three capitals (ISO 4217), for example MAD"#;
        Portfolio, {"spec": {"rateCards": [card(json!({"messages": [price(json!({"category": "promo"}))]}))]}} => own(r#"spec.rateCards[0].messages[0].category: Unsupported value: "promo": supported values: "marketing", "utility", "authentication", "authentication_international", "service""#);
        Portfolio, {"spec": {"rateCards": [card(json!({"messages": [price(json!({"freePerNumberAndMonth": -1}))]}))]}} => "spec.rateCards[0].messages[0].freePerNumberAndMonth: Invalid value: -1: use 0 or more";
        Portfolio, {"spec": {"checklist": [{"document": "TaxId", "reference": ""}]}} => r#"spec.checklist[0].reference: Invalid value: "": use 1 to 200 characters"#;
        Portfolio, {"spec": {"checklist": [{"document": "TaxId", "reference": "IF 1", "issuedAt": "2026-13-01"}]}} => r#"spec.checklist[0].issuedAt: Invalid value: "2026-13-01": write a day that exists as YYYY-MM-DD, for example "2026-10-01""#;
        Portfolio, {"spec": {"checklist": [{"document": "Passport", "reference": "1"}]}} => own(r#"spec.checklist[0].document: Unsupported value: "Passport": supported values: "CommercialRegister", "TaxId", "UtilityBill", "Other""#);
        Portfolio, {"spec": {"allowedNamespaces": {"from": "Selector"}}} => "spec.allowedNamespaces: Invalid value: from Selector needs a selector with at least one label; use from All to allow every namespace";
        Portfolio, {"spec": {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {}}}}} => "spec.allowedNamespaces: Invalid value: from Selector needs a selector with at least one label; use from All to allow every namespace";
        Portfolio, {"spec": {"allowedNamespaces": {"from": "None"}}} => own(r#"spec.allowedNamespaces.from: Unsupported value: "None": supported values: "Same", "All", "Selector""#);
        // --- what can't be changed: neither to another value nor by way of leaving it out
        OldLine, {"spec": {"companyId": "rif"}} => r#"spec.companyId: Invalid value: "rif": companyId can't be changed: delete the object with deletionPolicy Retain and create a new one for the other company"#;
        OldLine, {"spec": {"portfolioRef": {"name": "other"}}} => "spec.portfolioRef: Invalid value: portfolioRef can't be changed: delete the object with deletionPolicy Retain and create it again for the other Portfolio";
        OldLine, {"spec": {"portfolioRef": {"namespace": "platform"}}} => "spec.portfolioRef: Invalid value: portfolioRef can't be changed: delete the object with deletionPolicy Retain and create it again for the other Portfolio";
        OldExisting, {"spec": {"portfolioRef": {"namespace": null}}} => "spec.portfolioRef: Invalid value: portfolioRef can't be changed: delete the object with deletionPolicy Retain and create it again for the other Portfolio";
        OldExisting, {"spec": {"portfolioRef": {"namespace": "other"}}} => "spec.portfolioRef: Invalid value: portfolioRef can't be changed: delete the object with deletionPolicy Retain and create it again for the other Portfolio";
        OldLine, {"spec": {"number": {"acquire": {"country": "FR"}}}} => "spec.number: Invalid value: number can't be changed: create another ClientNumber for another number";
        OldLine, {"spec": {"number": {"acquire": {"types": ["local", "mobile", "national"]}}}} => "spec.number: Invalid value: number can't be changed: create another ClientNumber for another number";
        OldLine, {"spec": {"number": {"acquire": {"types": ["mobile"]}}}} => "spec.number: Invalid value: number can't be changed: create another ClientNumber for another number";
        OldLine, {"spec": {"number": {"acquire": null}}} => "[spec.number: Invalid value: write exactly one of acquire (buy a number) and existing (use one that you have), spec.number: Invalid value: number can't be changed: create another ClientNumber for another number]";
        OldLine, {"spec": {"number": {"acquire": null, "existing": {"phoneNumber": "+212612345678"}}}} => "spec.number: Invalid value: number can't be changed: create another ClientNumber for another number";
        OldExisting, {"spec": {"number": {"existing": null, "acquire": {}}}} => "spec.number: Invalid value: number can't be changed: create another ClientNumber for another number";
        OldExisting, {"spec": {"number": {"existing": {"phoneNumber": "+212612345679"}}}} => "spec.number: Invalid value: number can't be changed: create another ClientNumber for another number";
        OldExisting, {"spec": {"number": {"existing": {"carrier": "External"}}}} => "spec.number: Invalid value: number can't be changed: create another ClientNumber for another number";
        OldPortfolio, {"spec": {"ownerId": "prod-tn"}} => r#"spec.ownerId: Invalid value: "prod-tn": ownerId can't be changed: numbers that were bought carry it"#;
        OldPortfolio, {"spec": {"meta": {"wabaId": "105"}}} => "spec.meta: Invalid value: wabaId can't be changed: create another Portfolio for another WhatsApp Business Account";
        OldPortfolio, {"spec": {"meta": {"businessId": "1021"}}} => "spec.meta: Invalid value: businessId can't be changed: create another Portfolio for another business";
        OldPortfolio, {"spec": {"meta": null}} => own("spec.meta: Required value");
    }
}
