//! `replace`: gives a burnt number back and lets another be bought, after one confirmation that says what it costs.
//!
//! Only a number that is paid for and that Meta will not take, and only one that the line bought itself; anything else is
//! refused with what to do instead. The annotation names the number, so that no other one can be meant later.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::bail;
use serde_json::json;

use super::{Failure, Line, block_on, connect, get, patch};
use crate::resources::ClientNumber;
use crate::resources::client_number::{Carrier, PurchasePhase};
use crate::resources::names::ANNOTATION_REPLACE;

/// Arguments of `replace`.
#[derive(clap::Args)]
pub struct ReplaceArgs {
    #[command(flatten)]
    line: Line,
    /// Don't ask: for scripts.
    #[arg(long)]
    yes: bool,
}

/// Asks, and lets the controller replace the number.
pub fn replace(args: ReplaceArgs) -> Result<(), Failure> {
    if !args.yes && !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "there is no terminal to confirm on: look at what kubectl describe says of the line, then add --yes".into(),
        ));
    }
    block_on(async move {
        let (client, namespace) = connect(&args.line).await?;
        let line = get(&client, &namespace, &args.line.name).await?;
        let name = args.line.name;
        let asked = match ask(&line, &name) {
            Ok(asked) => asked,
            Err(instead) => bail!("{instead}"),
        };
        if !args.yes && !confirmed(&asked.question, &mut std::io::stdin().lock(), &mut std::io::stderr())? {
            bail!("nothing was changed");
        }
        // With the version that was shown: what has changed since then must be looked at again.
        let version = line.metadata.resource_version;
        let annotations = json!({ANNOTATION_REPLACE: asked.number});
        let change = json!({"metadata": {"resourceVersion": version, "annotations": annotations}});
        patch(&client, &namespace, &name, change).await?;
        println!("{} is given back and another is bought: kubectl get cn {name} -n {namespace} -w", asked.number);
        Ok(())
    })
}

/// What is asked before it is done.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    number: String,
    question: String,
}

/// The question; `Err`: why there is nothing to replace, and what to do instead.
fn ask(line: &ClientNumber, name: &str) -> Result<Asked, String> {
    if let Some(existing) = &line.spec.number.existing {
        let whose = match existing.carrier {
            Carrier::Telnyx => "was in the Telnyx account before",
            Carrier::External => "is another operator's",
        };
        return Err(format!(
            "the number of {name} {whose}, so it is not given back from here: delete this ClientNumber and create it anew with another number"
        ));
    }
    let status = line.status.clone().unwrap_or_default();
    let purchase = status.purchase.as_ref().filter(|p| p.phase == PurchasePhase::Burnt);
    let Some((purchase, number)) = purchase.and_then(|p| p.candidate.clone().map(|number| (p, number))) else {
        return Err(format!(
            "the number of {name} is not burnt, and only a number that Meta will not take is replaced: kubectl describe cn {name} says how the line stands; to give a number up that works, delete the ClientNumber with deletionPolicy Release and create it anew"
        ));
    };
    if purchase.attempt == 0 {
        return Err(format!(
            "{number} was not bought by {name} but taken over: delete the ClientNumber with deletionPolicy Release and create it anew"
        ));
    }
    let rent =
        purchase.price.as_ref().map_or("an unknown rent".to_owned(), |p| format!("{} USD a month", p.monthly_usd));
    let question = format!(
        "{number} of {name} ({rent}) is given back at Telnyx for ever; it can't be got again.\n\
         Another number is bought for {name}, within the limits of its Portfolio, and verified anew.\n\
         The old one goes on holding a slot at Meta until a person deletes it in WhatsApp Manager."
    );
    Ok(Asked { number, question })
}

fn confirmed(question: &str, input: &mut impl BufRead, output: &mut impl Write) -> std::io::Result<bool> {
    write!(output, "{question}\nGo on? Type yes: ")?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn line(number: &Value, purchase: &Value) -> ClientNumber {
        serde_json::from_value(json!({
            "apiVersion": "clientnumber.dev/v1alpha1", "kind": "ClientNumber", "metadata": {"name": "atlas"},
            "spec": {"companyId": "atlas", "displayName": "Atlas", "portfolioRef": {"name": "main"}, "number": number},
            "status": {"observedGeneration": 1, "purchase": purchase},
        }))
        .unwrap()
    }

    #[test]
    fn what_is_asked_and_what_is_refused() {
        let acquire = json!({"acquire": {}});
        let existing = |carrier: &str| json!({"existing": {"phoneNumber": "+212612345678", "carrier": carrier}});
        let purchase = |phase: &str, attempt: i32| {
            json!({"phase": phase, "attempt": attempt, "candidate": "+212612345678",
                "price": {"upfrontUsd": "1", "monthlyUsd": "1.1"}})
        };
        let asked = ask(&line(&acquire, &purchase("Burnt", 1)), "atlas").unwrap();
        assert_eq!(asked.number, "+212612345678");
        for part in ["+212612345678 of atlas (1.1 USD a month)", "Another number is bought", "WhatsApp Manager"] {
            assert!(asked.question.contains(part), "{}", asked.question);
        }
        for (number, purchase, instead) in [
            (&acquire, purchase("Owned", 1), "is not burnt"),
            (&acquire, purchase("Ordered", 1), "is not burnt"),
            (&acquire, json!(null), "is not burnt"),
            (&acquire, purchase("Burnt", 0), "taken over"),
            (&existing("Telnyx"), purchase("Burnt", 0), "create it anew with another number"),
            (&existing("External"), purchase("Owned", 0), "another operator's"),
        ] {
            let refused = ask(&line(number, &purchase), "atlas").unwrap_err();
            assert!(refused.contains(instead), "{refused}");
        }
    }

    #[test]
    fn only_yes_is_yes() {
        for (answer, expected) in [("yes\n", true), ("YES\n", true), ("y\n", false), ("\n", false), ("", false)] {
            let mut shown = Vec::new();
            let got = confirmed("Q", &mut answer.as_bytes(), &mut shown).unwrap();
            assert_eq!(got, expected, "{answer:?}");
            assert!(String::from_utf8(shown).unwrap().starts_with("Q\n"));
        }
    }
}
