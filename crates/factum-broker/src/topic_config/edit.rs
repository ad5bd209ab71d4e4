//! Changes of settings: what a topic has afterwards, and what is different then.

use std::collections::{BTreeMap, BTreeSet};

use super::{ConfigKey, ConfigKind, Configs, InvalidConfig, list};

/// A change of a topic's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Configure {
    /// These, and no others.
    Replace(Configs),
    /// Some of them, each in its way; the others stay.
    Edit(BTreeMap<String, Edit>),
}

/// A change of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// It gets this value.
    Set(String),
    /// It goes back to its default.
    Unset,
    /// A list gets these words, where it does not have them.
    Append(String),
    /// A list loses these words, where it has them.
    Subtract(String),
}

impl Configure {
    /// What is set after the change. Values are checked by
    /// [`TopicSettings::parse`](super::TopicSettings::parse).
    ///
    /// # Errors
    /// [`InvalidConfig`] for a name that is not known, or words of what is no list.
    pub(crate) fn applied(self, to: &Configs) -> Result<Configs, InvalidConfig> {
        self.applied_by(to, |name| ConfigKey::find(name).copied())
    }

    /// As [`applied`](Self::applied), of settings that are found elsewhere.
    pub(crate) fn applied_by(
        self,
        to: &Configs,
        find: impl Fn(&str) -> Result<ConfigKey, InvalidConfig>,
    ) -> Result<Configs, InvalidConfig> {
        let edits = match self {
            Self::Replace(configs) => return Ok(configs),
            Self::Edit(edits) => edits,
        };
        let mut configs = to.clone();
        for (name, edit) in edits {
            let key = &find(&name)?;
            let value = match edit {
                Edit::Set(value) => value,
                Edit::Unset => {
                    configs.remove(&name);
                    continue;
                }
                Edit::Append(words) => edit_list(key, configs.get(&name), |have| {
                    let new: Vec<_> = list(&words).filter(|word| !have.contains(word)).collect();
                    [have, new].concat().join(",")
                })?,
                Edit::Subtract(words) => edit_list(key, configs.get(&name), |have| {
                    let gone: Vec<_> = list(&words).collect();
                    let left = have.into_iter().filter(|word| !gone.contains(word));
                    left.collect::<Vec<_>>().join(",")
                })?,
            };
            configs.insert(name, value);
        }
        Ok(configs)
    }

    /// The names of what it changes.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Replace(configs) => configs.keys().map(String::as_str).collect(),
            Self::Edit(edits) => edits.keys().map(String::as_str).collect(),
        }
    }
}

/// Edits the words of a list, which are its default where it is not set.
fn edit_list(
    key: &ConfigKey,
    set: Option<&String>,
    edit: impl FnOnce(Vec<&str>) -> String,
) -> Result<String, InvalidConfig> {
    match key.kind {
        ConfigKind::List(_) => Ok(edit(list(set.map_or(key.default, String::as_str)).collect())),
        _ => Err(InvalidConfig::NotAList { name: key.name }),
    }
}

/// Settings over others, which hold where the first say nothing.
pub(crate) fn over(below: &Configs, above: &Configs) -> Configs {
    let mut both = below.clone();
    both.extend(above.iter().map(|(name, value)| (name.clone(), value.clone())));
    both
}

/// What must be set and unset to come from one to the other.
pub(crate) fn difference(from: &Configs, to: &Configs) -> (Configs, BTreeSet<String>) {
    let new = to.iter().filter(|(name, value)| from.get(*name) != Some(value));
    let gone = from.keys().filter(|name| !to.contains_key(*name));
    (new.map(|(name, value)| (name.clone(), value.clone())).collect(), gone.cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(pairs: &[(&str, &str)]) -> Configs {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn edited(to: &[(&str, &str)], name: &str, edit: Edit) -> Result<Configs, InvalidConfig> {
        Configure::Edit([(name.to_owned(), edit)].into()).applied(&configs(to))
    }

    #[test]
    fn lists_are_edited_from_their_default_on() {
        let append = |words: &str| Edit::Append(words.to_owned());
        let subtract = |words: &str| Edit::Subtract(words.to_owned());
        let policy = |to: &[(&str, &str)], edit| {
            edited(to, "cleanup.policy", edit).unwrap()["cleanup.policy"].clone()
        };
        assert_eq!(policy(&[], append("compact")), "delete,compact");
        assert_eq!(policy(&[], append("delete")), "delete");
        assert_eq!(policy(&[("cleanup.policy", "compact")], append("delete")), "compact,delete");
        assert_eq!(policy(&[], subtract("delete")), "");
        assert_eq!(policy(&[("cleanup.policy", "compact,delete")], subtract("compact")), "delete");
        let error = edited(&[], "retention.ms", append("1")).unwrap_err();
        assert_eq!(error, InvalidConfig::NotAList { name: "retention.ms" });
    }

    #[test]
    fn one_setting_is_changed_and_the_others_stay() {
        let to = [("retention.ms", "5"), ("segment.ms", "6")];
        let set = edited(&to, "retention.ms", Edit::Set("7".to_owned())).unwrap();
        assert_eq!(set, configs(&[("retention.ms", "7"), ("segment.ms", "6")]));
        assert_eq!(
            edited(&to, "retention.ms", Edit::Unset).unwrap(),
            configs(&[("segment.ms", "6")])
        );
        assert_eq!(edited(&to, "retention.bytes", Edit::Unset).unwrap(), configs(&to));
        assert!(edited(&to, "no.such", Edit::Unset).is_err());
        let all = Configure::Replace(configs(&[("segment.ms", "1")])).applied(&configs(&to));
        assert_eq!(all.unwrap(), configs(&[("segment.ms", "1")]));
    }

    #[test]
    fn a_difference_leads_from_one_to_the_other() {
        let (from, to) = (configs(&[("a", "1"), ("b", "2")]), configs(&[("b", "3"), ("c", "4")]));
        let (set, unset) = difference(&from, &to);
        assert_eq!(set, configs(&[("b", "3"), ("c", "4")]));
        assert_eq!(unset, BTreeSet::from(["a".to_owned()]));
        assert_eq!(difference(&to, &to), (Configs::new(), BTreeSet::new()));
    }
}
