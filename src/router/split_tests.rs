//! Bodies as Meta sends them, and as nobody should, each with what comes out.

use super::*;

/// A short form of what came out: one line a change.
fn outline(body: &str) -> Vec<String> {
    split(body).unwrap_or_default().iter().map(line).collect()
}

fn line(change: &Change) -> String {
    let id = &change.entry_id;
    match &change.content {
        Content::Malformed => match change.extent {
            Extent::Change => format!("{id} malformed"),
            Extent::Entry => format!("{id} malformed entry"),
            Extent::Body => "malformed body".to_owned(),
        },
        Content::Account { field, .. } => format!("{id} account {field}"),
        Content::Line { phone_number_id, items, remainder } => {
            let items: Vec<String> = items.iter().map(short).collect();
            let remainder = if *remainder { " +remainder" } else { "" };
            format!("{id} line {phone_number_id} [{}]{remainder}", items.join("; "))
        }
    }
}

fn short(item: &Item) -> String {
    let text = |value: &Option<Pii<String>>| value.as_ref().map_or("-".into(), |value| value.expose().clone());
    let id = match item.meta_id.expose().split_once(' ') {
        Some((field, hash)) if hash.len() == 64 => format!("#{field}"),
        _ => item.meta_id.expose().clone(),
    };
    let mut out = format!("{} {id}", item.kind.as_str());
    if let Some(contact) = &item.contact {
        out += &format!(" u={} p={} n={}", text(&contact.user_id), text(&contact.wa_id), text(&contact.name));
    }
    for (name, value) in [
        ("type", item.kind_of_message.clone()),
        ("status", item.status.clone()),
        ("t", item.timestamp.map(|t| t.to_string())),
        ("field", item.field.clone()),
        ("about", item.about.as_ref().map(|about| about.expose().clone())),
        ("reply", item.reply_to.as_ref().map(|id| id.expose().clone())),
        ("refers", item.refers_to.as_ref().map(|id| id.expose().clone())),
    ] {
        if let Some(value) = value {
            out += &format!(" {name}={value}");
        }
    }
    for IdentityChange { before, now } in &item.changes {
        let ids = |hint: &ContactHint| format!("{}/{}", text(&hint.user_id), text(&hint.wa_id));
        out += &format!(" change={} > {}", ids(before), ids(now));
    }
    out
}

fn body(changes: &str) -> String {
    format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"W","changes":[{changes}]}}]}}"#)
}

fn messages(line: &str, rest: &str) -> String {
    format!(
        r#"{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"212600000001","phone_number_id":"{line}"}},{rest}}}}}"#
    )
}

fn one(rest: &str) -> String {
    body(&messages("1", rest))
}

#[test]
fn the_bsuid_s_block_goes_before_the_phone_number_s() {
    let two = r#""contacts":[{"profile":{"name":"B"},"wa_id":"2","user_id":"MA.9"},{"profile":{"name":"A"},"user_id":"MA.1"}],
        "messages":[{"id":"w","from":"2","from_user_id":"MA.1","type":"text"}]"#;
    assert_eq!(outline(&one(two)), ["W line 1 [message w u=MA.1 p=2 n=A type=text]"]);
}

#[test]
fn ids_that_are_kept_have_an_end() {
    let id = |field: &str, text: &str| hashed(field, text).0;
    let long = "é".repeat(5_000);
    assert!(id(&long, "x").len() < 300 && id(&long, "x") != id(&(long.clone() + "y"), "x"));
    assert_ne!(id(&long, "x"), id(&long, "y"));
    assert!(id("calls", "x").starts_with("calls ") && id(&"é".repeat(100), "x").starts_with(&"é".repeat(100)));
}

#[test]
fn messages_and_statuses() {
    let table: Vec<(&str, String, Vec<&str>)> = vec![
        (
            "text with a known phone",
            one(r#""contacts":[{"profile":{"name":"Amina"},"wa_id":"212611","user_id":"MA.1"}],
                "messages":[{"from":"212611","from_user_id":"MA.1","id":"wamid.A","timestamp":"1793000000","type":"text","text":{"body":"Salam"}}]"#),
            vec!["W line 1 [message wamid.A u=MA.1 p=212611 n=Amina type=text t=1793000000]"],
        ),
        (
            "BSUID only: the phone is left out",
            one(r#""contacts":[{"profile":{"name":"Amina","username":"amina.b"},"user_id":"MA.1"}],
                "messages":[{"from_user_id":"MA.1","id":"wamid.B","timestamp":"1","type":"text","text":{"body":"x"}}]"#),
            vec!["W line 1 [message wamid.B u=MA.1 p=- n=Amina type=text t=1]"],
        ),
        (
            "an older form without ids in the message",
            one(
                r#""contacts":[{"profile":{"name":"A"},"wa_id":"212611"}],"messages":[{"id":"wamid.C","type":"text"}]"#,
            ),
            vec!["W line 1 [message wamid.C u=- p=212611 n=A type=text]"],
        ),
        (
            "two contacts and none that matches: none is taken",
            one(r#""contacts":[{"profile":{"name":"A"},"wa_id":"1"},{"profile":{"name":"B"},"wa_id":"2"}],
                "messages":[{"id":"wamid.D","type":"text"},{"id":"wamid.E","from":"2","type":"text"}]"#),
            vec!["W line 1 [message wamid.D u=- p=- n=- type=text; message wamid.E u=- p=2 n=B type=text]"],
        ),
        (
            "an answer",
            one(
                r#""messages":[{"id":"wamid.F","from":"2","type":"button","context":{"from":"1","id":"wamid.T"},"button":{"payload":"p","text":"Yes"}}]"#,
            ),
            vec!["W line 1 [message wamid.F u=- p=2 n=- type=button reply=wamid.T]"],
        ),
        (
            "a reaction, an edit and a revoke",
            one(
                r#""messages":[{"id":"r","from":"2","type":"reaction","reaction":{"message_id":"wamid.T","emoji":"\ud83d\udc4d"}},
                {"id":"e","from":"2","type":"edit","edit":{"original_message_id":"wamid.U"}},
                {"id":"v","from":"2","type":"revoke","revoke":{"original_message_id":"wamid.V"}}]"#,
            ),
            vec![
                "W line 1 [message r u=- p=2 n=- type=reaction refers=wamid.T; message e u=- p=2 n=- type=edit refers=wamid.U; message v u=- p=2 n=- type=revoke refers=wamid.V]",
            ],
        ),
        (
            "a type that nobody knows",
            one(r#""messages":[{"id":"q","from":"2","type":"hologram","hologram":{"x":[1]}}]"#),
            vec!["W line 1 [message q u=- p=2 n=- type=hologram]"],
        ),
        (
            "unsupported, with errors",
            one(
                r#""messages":[{"id":"q","from":"2","type":"unsupported","errors":[{"code":131051}],"unsupported":{"type":"poll"}}]"#,
            ),
            vec!["W line 1 [message q u=- p=2 n=- type=unsupported]"],
        ),
        (
            "a system message",
            one(
                r#""messages":[{"id":"s","from_user_id":"MA.1","timestamp":"5","type":"system","system":{"type":"user_changed_user_id","user_id":"MA.2","previous_user_id":"MA.1"}}]"#,
            ),
            vec!["W line 1 [message s u=MA.2 p=- n=- type=system t=5 change=MA.1/- > MA.2/-]"],
        ),
        (
            "a system message that changes no id",
            one(
                r#""messages":[{"id":"s","from":"2","from_user_id":"MA.1","type":"system","system":{"type":"customer_identity_changed"}}]"#,
            ),
            vec!["W line 1 [message s u=MA.1 p=2 n=- type=system]"],
        ),
        (
            "a changed number, with a name",
            one(r#""contacts":[{"profile":{"name":"Amina"},"wa_id":"22","user_id":"MA.2"}],
                "messages":[{"id":"s","from":"11","from_user_id":"MA.2","type":"system","system":{"type":"user_changed_number","wa_id":"22","user_id":"MA.2"}}]"#),
            vec!["W line 1 [message s u=MA.2 p=22 n=Amina type=system change=-/11 > MA.2/22]"],
        ),
        (
            "user_id_update: one person, and two",
            body(
                r#"{"field":"user_id_update","value":{"metadata":{"phone_number_id":"1"},"contacts":[{"profile":{"name":"Amina"},"wa_id":"22"}],
                "user_id_update":[{"wa_id":"22","user_id":{"previous":"MA.1","current":"MA.2"},"timestamp":"9"}]}},
                {"field":"user_id_update","value":{"metadata":{"phone_number_id":"1"},
                "user_id_update":[{"user_id":{"previous":"MA.1","current":"MA.2"}},{"user_id":{"previous":"MA.3","current":"MA.4"}}]}}"#,
            ),
            vec![
                "W line 1 [event #user_id_update u=MA.2 p=22 n=Amina t=9 field=user_id_update change=MA.1/- > MA.2/22]",
                "W line 1 [event #user_id_update field=user_id_update change=MA.1/- > MA.2/- change=MA.3/- > MA.4/-]",
            ],
        ),
        (
            "statuses, with old and new pricing",
            one(r#""contacts":[{"wa_id":"2","user_id":"MA.2"}],
                "statuses":[{"id":"wamid.S","status":"sent","timestamp":"7","recipient_id":"2","recipient_user_id":"MA.2","pricing":{"billable":true,"pricing_model":"CBP","category":"utility"}},
                {"id":"wamid.S","status":"delivered","timestamp":"8","recipient_user_id":"MA.2","pricing":{"billable":true,"pricing_model":"PMP","type":"regular","category":"utility"}}]"#),
            vec![
                "W line 1 [status wamid.S sent MA.2 u=MA.2 p=2 n=- status=sent t=7 about=wamid.S; status wamid.S delivered MA.2 u=MA.2 p=2 n=- status=delivered t=8 about=wamid.S]",
            ],
        ),
        (
            "a failed status to a phone, and a group's statuses",
            one(
                r#""statuses":[{"id":"f","status":"failed","timestamp":"1","recipient_id":"2","errors":[{"code":131026}]},
                {"id":"g","status":"read","recipient_id":"G","recipient_type":"group","recipient_participant_id":"3"},
                {"id":"g","status":"read","recipient_id":"G","recipient_type":"group","recipient_participant_id":"4"}]"#,
            ),
            vec![
                "W line 1 [status f failed 2 u=- p=2 n=- status=failed t=1 about=f; status g read 3 u=- p=3 n=- status=read about=g; status g read 4 u=- p=4 n=- status=read about=g]",
            ],
        ),
        (
            "messages and statuses in one value",
            one(
                r#""messages":[{"id":"m","from":"2","type":"text"}],"statuses":[{"id":"s","status":"read","recipient_id":"2"}]"#,
            ),
            vec!["W line 1 [message m u=- p=2 n=- type=text; status s read 2 u=- p=2 n=- status=read about=s]"],
        ),
        (
            "errors of the line, without a message",
            one(r#""errors":[{"code":130429,"title":"Rate limit hit"}]"#),
            vec!["W line 1 [event #messages field=messages]"],
        ),
        (
            "a value with nothing known in it is kept",
            one(r#""surprise":{"a":1}"#),
            vec!["W line 1 [event #messages field=messages]"],
        ),
        (
            "empty lists are kept as they came",
            one(r#""messages":[],"statuses":[]"#),
            vec!["W line 1 [event #messages field=messages]"],
        ),
        (
            "calls and preferences name a line, with a time inside",
            body(
                r#"{"field":"calls","value":{"metadata":{"phone_number_id":"1"},"calls":[{"id":"c","timestamp":"9"},{"id":"d","timestamp":"8"}]}},
                {"field":"user_preferences","value":{"metadata":{"phone_number_id":"2"},"user_preferences":[{"user_id":"MA.1","value":"stop","timestamp":4}]}}"#,
            ),
            vec![
                "W line 1 [event #calls t=8 field=calls]",
                "W line 2 [event #user_preferences t=4 field=user_preferences]",
            ],
        ),
        (
            "a field that does not exist yet, with a line",
            body(r#"{"field":"group_dance","value":{"metadata":{"phone_number_id":"1"},"x":1}}"#),
            vec!["W line 1 [event #group_dance field=group_dance]"],
        ),
    ];
    for (name, body, want) in table {
        assert_eq!(outline(&body), want, "{name}");
    }
}

#[test]
fn batches_and_accounts() {
    let two = format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"W","time":1793,"changes":[{},{},{}]}},{{"id":"V","changes":[{}]}}]}}"#,
        messages("1", r#""messages":[{"id":"a","from":"2","type":"text"}]"#),
        messages("2", r#""messages":[{"id":"b","from":"2","type":"text"},{"id":"c","from":"3","type":"text"}]"#),
        messages("1", r#""statuses":[{"id":"d","status":"read","recipient_id":"2"}]"#),
        r#"{"field":"account_update","value":{"event":"ACCOUNT_RESTRICTION"}}"#,
    );
    assert_eq!(
        outline(&two),
        [
            "W line 1 [message a u=- p=2 n=- type=text]",
            "W line 2 [message b u=- p=2 n=- type=text; message c u=- p=3 n=- type=text]",
            "W line 1 [status d read 2 u=- p=2 n=- status=read about=d]",
            "V account account_update",
        ]
    );
    assert_eq!(split(&two).unwrap()[0].entry_time, Some(1793));
    for field in ["account_alerts", "phone_number_quality_update", "message_template_status_update", "security"] {
        let value = r#"{"display_phone_number":"212600000001","event":"X"}"#;
        let change = format!(r#"{{"field":"{field}","value":{value}}}"#);
        assert_eq!(outline(&body(&change)), [format!("W account {field}")]);
        let Content::Account { value: kept, .. } = &split(&body(&change)).unwrap()[0].content else { panic!() };
        assert_eq!(kept, value);
    }
    assert_eq!(outline(r#"{"object":"whatsapp_business_account","entry":[]}"#), [""; 0]);
    let many: Vec<String> = (0..1000).map(|n| format!(r#"{{"id":"m{n}","from":"2","type":"text"}}"#)).collect();
    let Content::Line { items, .. } = &split(&one(&format!(r#""messages":[{}]"#, many.join(",")))).unwrap()[0].content
    else {
        panic!()
    };
    assert_eq!(items.len(), 1000);
}

#[test]
fn what_no_rust_type_can_hold_keeps_its_text() {
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for (name, message, want) in [
        (
            "a lone surrogate in the text",
            r#"{"id":"a","from":"2","type":"text","text":{"body":"x\ud83d y"}}"#.to_owned(),
            "message a u=- p=2 n=- type=text",
        ),
        (
            "a lone surrogate in the id: no usable id",
            r#"{"id":"\udc00","from":"2","type":"text"}"#.to_owned(),
            "message #messages u=- p=2 n=- type=text",
        ),
        (
            "a lone surrogate in a name of a member",
            r#"{"\ud800":1,"id":"a","from":"2","type":"text"}"#.to_owned(),
            "message a u=- p=2 n=- type=text",
        ),
        (
            "numbers beyond every type",
            r#"{"id":"a","from":"2","type":"location","location":{"latitude":1e999,"longitude":123456789012345678901234567890.5}}"#.to_owned(),
            "message a u=- p=2 n=- type=location",
        ),
        (
            "5000 levels",
            format!(r#"{{"id":"a","from":"2","type":"order","order":{deep}}}"#),
            "message a u=- p=2 n=- type=order",
        ),
        ("spaces as they came", r#"{ "id" : "a" ,"from":"2" , "type":"text" }"#.to_owned(), "message a u=- p=2 n=- type=text"),
        ("a NUL", r#"{"id":"a","from":"2","type":"text","text":{"body":"\u0000"}}"#.to_owned(), "message a u=- p=2 n=- type=text"),
        ("an id that never ends", format!(r#"{{"id":"{}","from":"2"}}"#, "x".repeat(600)), "message #messages u=- p=2 n=-"),
        ("an empty id", r#"{"id":"","from":"2"}"#.to_owned(), "message #messages u=- p=2 n=-"),
        ("a message that is no object", "42".to_owned(), "message #messages u=- p=- n=-"),
        ("a time that is none", r#"{"id":"a","from":"2","timestamp":"soon"}"#.to_owned(), "message a u=- p=2 n=-"),
        ("numbers where texts should be", r#"{"id":7,"from":212611,"timestamp":5}"#.to_owned(), "message 7 u=- p=212611 n=- t=5"),
    ] {
        let body = one(&format!(r#""messages":[{message}]"#));
        assert_eq!(outline(&body), [format!("W line 1 [{want}]")], "{name}");
        let Content::Line { items, .. } = &split(&body).unwrap()[0].content else { panic!("{name}") };
        assert_eq!(items[0].raw.expose(), &message, "{name}: byte for byte");
    }
}

#[test]
fn malformed_parts_hold_up_nothing_else() {
    let good = messages("1", r#""messages":[{"id":"a","from":"2","type":"text"}]"#);
    let stored = "W line 1 [message a u=- p=2 n=- type=text]";
    for bad in [
        "42",
        "null",
        r#"{"field":"messages"}"#,
        r#"{"value":{"metadata":{"phone_number_id":"1"}}}"#,
        r#"{"field":"messages","value":[]}"#,
        r#"{"field":"messages","value":{"messages":[{"id":"x"}]}}"#,
        r#"{"field":"messages","value":{"metadata":{"display_phone_number":"212600000001"},"messages":[{"id":"x"}]}}"#,
        r#"{"field":"messages","value":{"metadata":{"phone_number_id":"not a number"},"messages":[{"id":"x"}]}}"#,
        r#"{"field":"messages","value":{"metadata":{"phone_number_id":null}}}"#,
        // Without a line, and not known to be free of candidates' data.
        r#"{"field":"user_preferences","value":{"user_preferences":[{"wa_id":"2"}]}}"#,
        r#"{"field":"\ud800","value":{"metadata":{"phone_number_id":"1"}}}"#,
    ] {
        let outline = outline(&body(&format!("{bad},{good}")));
        assert_eq!(outline, ["W malformed", stored], "{bad}");
    }
    let partly = messages("1", r#""messages":{"id":"x"},"statuses":[{"id":"s","status":"read","recipient_id":"2"}]"#);
    assert_eq!(outline(&body(&partly)), ["W line 1 [status s read 2 u=- p=2 n=- status=read about=s] +remainder"]);
    assert_eq!(outline(&body(&messages("1", r#""messages":"x""#))), ["W line 1 [] +remainder"]);
    for whole in [
        r#"{}"#,
        r#"{"object":"page","entry":[]}"#,
        r#"{"object":"whatsapp_business_account"}"#,
        r#"{"object":"whatsapp_business_account","entry":{}}"#,
    ] {
        assert_eq!(outline(whole), ["malformed body"], "{whole}");
    }
    assert_eq!(
        outline(r#"{"object":"whatsapp_business_account","entry":[7,{"id":"W"},{"id":"W","changes":{}}]}"#),
        [" malformed entry", "W malformed entry", "W malformed entry"]
    );
}

#[test]
fn not_an_object() {
    for bad in ["", "null", "[]", "42", "\"x\"", "{", "{}{}", "{\"a\":}", "{'a':1}", "\u{feff}{}"] {
        assert_eq!(split(bad), Err(NotAnObject), "{bad}");
    }
    assert_eq!(not_text(b"\xff\xfe"), Err(NotAnObject));
    assert_eq!(not_text(b"{\xff}"), Err(NotAnObject), "outside of quotes");
}

#[test]
fn one_byte_that_is_not_utf_8() {
    let bytes = |text: &str| -> Vec<u8> {
        // A tilde stands for the byte.
        text.bytes().map(|byte| if byte == b'~' { 0xff } else { byte }).collect()
    };
    let message = |id: &str, text: &str| format!(r#""messages":[{{"id":"{id}","text":{{"body":"{text}"}}}}]"#);
    let good = messages("2", &message("good", r"Salam é \ufffd"));
    let bad = messages("1", &format!("{},{}", message("bad", "Sal~am"), r#""statuses":[{"id":"s","status":"read"}]"#));
    let account = r#"{"field":"account_update","value":{"event":"~"}}"#;
    let post = body(&[bad.as_str(), good.as_str(), account, "\"~\""].join(","));
    let changes = not_text(&bytes(&post)).unwrap();
    assert_eq!(
        changes.iter().map(line).collect::<Vec<_>>(),
        [
            "W line 1 [message bad u=- p=- n=-; status s read  u=- p=- n=- status=read about=s] +remainder",
            "W line 2 [message good u=- p=- n=-]",
            "W account account_update",
            "W malformed",
        ]
    );
    assert_eq!(changes[1].text.expose(), &good, "byte for byte");
    assert_eq!(changes[0].text.expose(), &bad.replace('~', "\u{fffd}"));
    // Where Meta itself wrote the character nothing was lost, unless something else of the body was.
    let genuine = bad.replace('~', "\u{fffd}");
    assert!(!outline(&body(&genuine))[0].contains("remainder"));
    assert!(not_text(&bytes(&body(&format!("{genuine},\"~\"")))).unwrap().len() == 2);
    // An id that was hit is nobody's account.
    let entry = bytes(&body(&good).replace(r#""id":"W""#, r#""id":"1~""#));
    assert_eq!(not_text(&entry).unwrap()[0].entry_id, "1\u{fffd}");
    // A body that would become three times as long.
    let long = body(&messages("1", &message("long", &"~".repeat(LONGEST / 2))));
    assert_eq!(not_text(&bytes(&long)).unwrap().iter().map(line).collect::<Vec<_>>(), ["malformed body"]);
}

#[test]
fn what_was_kept_is_taken_apart_again_as_what_it_was() {
    let outline = |extent, text: &str| again(extent, "W", None, text).iter().map(line).collect::<Vec<_>>();
    let good = messages("1", r#""messages":[{"id":"m"}]"#);
    let entry = format!(r#"{{"id":"V","changes":[{good},7]}}"#);
    let post = format!(r#"{{"object":"whatsapp_business_account","entry":[{entry},7]}}"#);
    let (one, two) = ("line 1 [message m u=- p=- n=-]", "malformed");
    assert_eq!(outline(Extent::Change, &good), [format!("W {one}")]);
    assert_eq!(outline(Extent::Entry, &entry), [format!("V {one}"), format!("V {two}")]);
    assert_eq!(outline(Extent::Body, &post), [format!("V {one}"), format!("V {two}"), " malformed entry".into()]);
    // As what it was not, or is not yet understood, nothing of it goes.
    for (extent, text, want) in [
        (Extent::Change, post.as_str(), "W malformed"),
        (Extent::Entry, "{}", " malformed entry"),
        (Extent::Entry, "", " malformed entry"),
        (Extent::Body, "{}", "malformed body"),
        (Extent::Body, "\u{fffd}", "malformed body"),
    ] {
        let changes = again(extent, "W", None, text);
        assert_eq!(changes.iter().map(line).collect::<Vec<_>>(), [want], "{text}");
        assert_eq!((changes[0].extent, changes[0].text.expose().as_str()), (extent, text));
    }
}

#[test]
fn the_same_text_has_the_same_id_and_another_has_another() {
    let id = |body: &str| {
        let Content::Line { items, .. } = split(body).unwrap().remove(0).content else { panic!() };
        items[0].meta_id.expose().clone()
    };
    let (a, b) = (one(r#""errors":[{"code":1}]"#), one(r#""errors":[{"code":2}]"#));
    assert_eq!(id(&a), id(&a));
    assert_ne!(id(&a), id(&b));
}

#[test]
fn more_parts_than_meta_sends_are_kept_whole() {
    let many = |count: usize| vec!["1"; count].join(",");
    let post = |entries: &str| format!(r#"{{"object":"whatsapp_business_account","entry":[{entries}]}}"#);
    let of = |changes: &str| post(&format!(r#"{{"id":"104","changes":[{changes}]}}"#));
    let messages = |count| {
        let value = format!(r#"{{"metadata":{{"phone_number_id":"1"}},"messages":[{}]}}"#, many(count));
        of(&format!(r#"{{"field":"messages","value":{value}}}"#))
    };
    assert_eq!(split(&post(&many(PARTS))).unwrap().len(), PARTS);
    assert_eq!(split(&of(&many(PARTS))).unwrap().len(), PARTS);
    for body in [post(&many(PARTS + 1)), of(&many(PARTS + 1))] {
        let changes = split(&body).unwrap();
        assert!(matches!(changes.as_slice(), [Change { content: Content::Malformed, .. }]));
        assert!(changes[0].text.expose().len() > 2 * PARTS, "nothing is lost");
    }
    for (count, want) in [(PARTS - 1, false), (PARTS, true)] {
        let changes = split(&messages(count)).unwrap();
        let [Change { content: Content::Line { items, remainder, .. }, .. }] = changes.as_slice() else { panic!() };
        assert_eq!((*remainder, items.is_empty()), (want, want), "{count}");
    }
}

#[test]
fn a_thousand_candidates_in_one_change_are_found_without_searching() {
    let blocks: Vec<String> =
        (0..5000).map(|n| format!(r#"{{"user_id":"u{n}","wa_id":"{n}","profile":{{"name":"N{n}"}}}}"#)).collect();
    let messages: Vec<String> =
        (0..4000).map(|n| format!(r#"{{"id":"w{n}","from_user_id":"u{n}","from":"{n}"}}"#)).collect();
    let value = format!(
        r#"{{"metadata":{{"phone_number_id":"1"}},"contacts":[{}],"messages":[{}]}}"#,
        blocks.join(","),
        messages.join(",")
    );
    let began = std::time::Instant::now();
    let change = change("104", None, &format!(r#"{{"field":"messages","value":{value}}}"#));
    let Content::Line { items, .. } = change.content else { panic!() };
    assert!(items.iter().enumerate().all(|(n, item)| {
        let name = item.contact.as_ref().and_then(|contact| contact.name.as_ref());
        name.is_some_and(|name| *name.expose() == format!("N{n}"))
    }));
    // Each looked for among all took minutes.
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}
