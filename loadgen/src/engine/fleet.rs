//! Who the connections are: ids and credentials of the devices.
//! - Errors: line of the file; a key itself is never shown.

use anyhow::{Context as _, Result, bail};
use millrace_protocols_identity::Key;
use millrace_protocols_identity::sas;

use crate::number;
use crate::plan::Plan;

/// All devices of a process.
pub(crate) struct Fleet {
    members: Members,
    password: Option<Vec<u8>>,
}

enum Members {
    Listed(Vec<(String, Key)>),
    Numbered { prefix: String, first: u64, key: Option<Key> },
}

/// What a CONNECT says about its sender.
pub(crate) struct Credentials {
    /// MQTT user name.
    pub(crate) user_name: Option<String>,
    /// MQTT password.
    pub(crate) password: Option<Vec<u8>>,
}

impl Fleet {
    /// Reads the files that the plan names.
    ///
    /// # Errors
    /// A file can't be read, or has an entry that is none.
    pub(crate) fn open(plan: &Plan) -> Result<Self> {
        let members = match (&plan.devices_file, &plan.key_file) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
                let all = listed(&text).with_context(|| format!("reading {}", file.display()))?;
                let skipped = all.into_iter().skip(number::index(plan.device_first));
                Members::Listed(skipped.collect())
            }
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
                let key = Key::from_base64(text.trim()).with_context(|| format!("{}", file.display()))?;
                numbered(plan, Some(key))
            }
            (None, None) => numbered(plan, None),
        };
        let password = match &plan.password_file {
            Some(file) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
                Some(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec())
            }
            None => None,
        };
        Ok(Self { members, password })
    }

    /// How many devices there are at most; `None`: as many as wanted.
    pub(crate) fn len_max(&self) -> Option<usize> {
        match &self.members {
            Members::Listed(devices) => Some(devices.len()),
            Members::Numbered { .. } => None,
        }
    }

    /// The id of a device.
    pub(crate) fn id(&self, index: usize) -> String {
        match &self.members {
            Members::Listed(devices) => devices.get(index).map(|(id, _)| id.clone()).unwrap_or_default(),
            Members::Numbered { prefix, first, .. } => format!("{prefix}{}", first.saturating_add(number::wide(index))),
        }
    }

    /// How a device presents itself, with a token that is valid for `token_seconds` from `now_seconds` (UNIX) on.
    pub(crate) fn credentials(&self, plan: &Plan, index: usize, id: &str, now_seconds: u64) -> Credentials {
        if plan.topic.is_some() {
            return Credentials { user_name: plan.user_name.clone(), password: self.password.clone() };
        }
        let host = plan.hub_host();
        let key = match &self.members {
            Members::Listed(devices) => devices.get(index).map(|(_, key)| key),
            Members::Numbered { key, .. } => key.as_ref(),
        };
        let expiry = now_seconds.saturating_add(plan.token_seconds);
        let token = |key| sas::sign(&sas::encode(&format!("{host}/devices/{id}")), key, expiry, None).into_bytes();
        Credentials {
            user_name: Some(format!("{host}/{id}/?api-version=2021-04-12")),
            password: key.map(token).or_else(|| self.password.clone()),
        }
    }
}

fn numbered(plan: &Plan, key: Option<Key>) -> Members {
    Members::Numbered { prefix: plan.device_prefix.clone(), first: plan.device_first, key }
}

fn listed(text: &str) -> Result<Vec<(String, Key)>> {
    let mut devices = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.eq_ignore_ascii_case("id,key") {
            continue;
        }
        let (id, key) = line.split_once(',').with_context(|| format!("line {}: not `id,base64 key`", index + 1))?;
        let key = Key::from_base64(key.trim()).with_context(|| format!("line {}", index + 1))?;
        devices.push((id.trim().to_owned(), key));
    }
    if devices.is_empty() {
        bail!("no devices");
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_ids_and_tokens_that_verify() {
        let key = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";
        let fleet = Fleet { members: Members::Listed(listed(&format!("id,key\nd1,{key}\n")).unwrap()), password: None };
        let plan = Plan { host_name: Some("hub.example.net".to_owned()), ..Plan::default() };
        let credentials = fleet.credentials(&plan, 0, &fleet.id(0), 1_000_000);
        assert_eq!(credentials.user_name.unwrap(), "hub.example.net/d1/?api-version=2021-04-12");
        let token = String::from_utf8(credentials.password.unwrap()).unwrap();
        let token = sas::Token::parse(&token).unwrap();
        token.verify(&[&Key::from_base64(key).unwrap()], 1_000_000, 0).unwrap();
        assert!(token.covers("hub.example.net", "d1", None));
    }

    #[test]
    fn a_broken_list_is_refused_without_showing_a_key() {
        let problem = format!("{:#}", listed("d1,secret").err().unwrap());
        assert!(problem.contains("line 1") && !problem.contains("secret"), "{problem}");
        assert!(listed("").is_err());
    }
}
