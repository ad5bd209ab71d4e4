//! From the name in a certificate to a principal: Kafka's `ssl.principal.mapping.rules`.
//!
//! Rules stand in a list with commas between, and the first whose pattern fits the whole name
//! decides: `RULE:PATTERN/REPLACEMENT/` with `$1` for the pattern's groups, and `L` or `U` behind
//! it for small or capital letters; `DEFAULT` is the name as it is. Patterns are of the `regex`
//! crate: without look-around and back-references, and linear in time.

use regex::Regex;

use super::TlsError;

/// Rules in their order.
#[derive(Debug, Clone)]
pub(super) struct PrincipalRules(Vec<Rule>);

#[derive(Debug, Clone)]
enum Rule {
    AsItIs,
    Replace { pattern: Regex, replacement: String, case: Case },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Kept,
    Small,
    Capital,
}

impl PrincipalRules {
    /// Reads rules; no text is `DEFAULT`.
    pub(super) fn parse(text: &str) -> Result<Self, TlsError> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Ok(Self(vec![Rule::AsItIs]));
        }
        let mut rules = Vec::new();
        loop {
            let (rule, after) = rule(rest)?;
            rules.push(rule);
            let after = after.trim_start();
            if after.is_empty() {
                return Ok(Self(rules));
            }
            let next = after.strip_prefix(',').ok_or_else(|| fault(after, ""))?;
            rest = next.trim_start();
        }
    }

    /// The principal of a name; none if no rule fits.
    pub(super) fn apply(&self, name: &str) -> Option<String> {
        self.0.iter().find_map(|rule| rule.apply(name))
    }
}

impl Rule {
    fn apply(&self, name: &str) -> Option<String> {
        let Self::Replace { pattern, replacement, case } = self else {
            return Some(name.to_owned());
        };
        let groups = pattern.captures(name)?;
        let replaced = expand(replacement, &groups);
        Some(match case {
            Case::Kept => replaced,
            Case::Small => replaced.to_lowercase(),
            Case::Capital => replaced.to_uppercase(),
        })
    }
}

/// The first rule of a text, and what follows it.
fn rule(text: &str) -> Result<(Rule, &str), TlsError> {
    if let Some(rest) = text.strip_prefix("DEFAULT") {
        return Ok((Rule::AsItIs, rest));
    }
    let rest = text.strip_prefix("RULE:").ok_or_else(|| fault(text, ""))?;
    let (pattern, rest) = up_to_slash(rest).ok_or_else(|| fault(text, ": a / is missing"))?;
    let (replacement, rest) = up_to_slash(rest).ok_or_else(|| fault(text, ": a / is missing"))?;
    let (case, rest) = match rest.chars().next() {
        Some('L') => (Case::Small, &rest[1..]),
        Some('U') => (Case::Capital, &rest[1..]),
        _ => (Case::Kept, rest),
    };
    let pattern = Regex::new(&format!("^(?:{pattern})$"));
    let pattern = pattern.map_err(|error| fault(text, &format!(": {error}")))?;
    Ok((Rule::Replace { pattern, replacement: replacement.to_owned(), case }, rest))
}

/// What stands before the next slash that no backslash stands before, and what follows it.
fn up_to_slash(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '/' if !escaped => return Some((&text[..at], &text[at + 1..])),
            _ => escaped = c == '\\' && !escaped,
        }
    }
    None
}

fn fault(came: &str, why: &str) -> TlsError {
    TlsError::Rule { came: came.to_owned(), why: why.to_owned() }
}

/// Puts groups into a replacement as Java does: a number goes on for as long as there is a group
/// of it; a number that no group has, and what stands behind a backslash, stay as they are.
fn expand(replacement: &str, groups: &regex::Captures<'_>) -> String {
    let mut text = String::new();
    let mut chars = replacement.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            '$' => {
                let mut group: Option<usize> = None;
                while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                    let longer = group.unwrap_or(0).saturating_mul(10) + digit as usize;
                    if longer >= groups.len() {
                        break;
                    }
                    group = Some(longer);
                    chars.next();
                }
                match group {
                    Some(number) => text.push_str(groups.get(number).map_or("", |m| m.as_str())),
                    None => text.push('$'),
                }
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(rules: &str, name: &str) -> Option<String> {
        PrincipalRules::parse(rules).unwrap().apply(name)
    }

    #[test]
    fn a_rule_takes_the_name_out_of_a_certificate() {
        let rules = "RULE:^CN=([^,]+).*$/$1/,DEFAULT";
        assert_eq!(apply(rules, "CN=order-service,O=x").as_deref(), Some("order-service"));
        assert_eq!(apply(rules, "OU=none,O=x").as_deref(), Some("OU=none,O=x"));
        assert_eq!(apply("", "CN=a").as_deref(), Some("CN=a"));
    }

    /// The examples of Kafka's documentation.
    #[test]
    fn the_rules_of_kafkas_documentation_say_what_they_say_there() {
        let rules = "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/,\
                     RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L,\
                     RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/L,DEFAULT";
        let principal = |name| apply(rules, name).unwrap();
        let service = "CN=serviceuser,OU=ServiceUsers,O=Unknown,L=Unknown,ST=Unknown,C=Unknown";
        assert_eq!(principal(service), "serviceuser");
        let admin = "CN=adminUser,OU=Admin,O=Unknown,L=Unknown,ST=Unknown,C=Unknown";
        assert_eq!(principal(admin), "adminuser@admin");
        assert_eq!(principal("OU=x,CN=Some.Body"), "some.body");
    }

    #[test]
    fn without_a_rule_that_fits_there_is_no_principal() {
        assert_eq!(apply("RULE:^CN=a$/b/", "CN=ab"), None);
        assert_eq!(apply("RULE:CN=a/b/", "CN=ab"), None, "a pattern is for the whole name");
    }

    #[test]
    fn replacements_are_taken_as_java_takes_them() {
        assert_eq!(apply("RULE:(a)(b)?/$1-$2-$3-\\$1$0/U", "a").as_deref(), Some("A--$3-$1A"));
        assert_eq!(apply("RULE:(a)/$12/", "a").as_deref(), Some("a2"));
        assert_eq!(apply("RULE:a\\/b/x\\/y/", "a/b").as_deref(), Some("x/y"));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for bad in ["rule", "RULE:a", "RULE:a/b", "RULE:(/b/", "RULE:a/b/,", "DEFAULT DEFAULT"] {
            assert!(PrincipalRules::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_rules_make_a_principal_of_any_name_or_none(
            noise: String,
            pattern in r"[a-c(),.*$^|\\]{0,9}",
            replacement in r"[a-c$0-9\\]{0,9}",
            name in "[a-c,=]{0,9}",
        ) {
            let rule = format!("RULE:{pattern}/{replacement}/L,DEFAULT");
            for rules in [&noise, &rule] {
                if let Ok(rules) = PrincipalRules::parse(rules) {
                    let _ = (rules.apply(&name), rules.apply(&noise));
                }
            }
        }
    }
}
