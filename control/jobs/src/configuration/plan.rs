//! Which configurations a twin follows. Decides, never acts.
//! - Shape: (configurations in the order of their rank, row of the twin) -> [`Plan`]
//! - Invariants: of each kind one configuration is applied, the first that means the twin; the others are only noted.

use std::collections::BTreeMap;

use millrace_control_query::Source;
use millrace_control_twin::{Change, Twin};
use millrace_model::{HubError, Timestamp};
use serde_json::{Map, Value, json};

use super::content::Settings;
use super::document::{Configuration, Kind};

/// What a twin notes of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// It means the twin.
    Targeted,
    /// It means the twin, and the twin follows it.
    Applied,
}

/// What is to be done with a twin.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Plan<'a> {
    /// For the twin itself.
    pub(super) own: Option<&'a Configuration>,
    /// For its modules.
    pub(super) deployment: Option<&'a Configuration>,
    /// What the twin is to note.
    pub(super) notes: BTreeMap<&'a str, Status>,
}

impl Status {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Targeted => "Targeted",
            Self::Applied => "Applied",
        }
    }
}

impl<'a> Plan<'a> {
    /// The plan for the twin whose row this is.
    pub(super) fn of(configurations: &'a [Configuration], source: Source, row: &Value) -> Self {
        let mut plan = Self::default();
        for configuration in configurations {
            let condition = configuration.condition();
            if condition.source() != source || !condition.matches(row) {
                continue;
            }
            let slot = match configuration.kind() {
                Kind::Device | Kind::Module => &mut plan.own,
                Kind::Deployment => &mut plan.deployment,
            };
            let status = if slot.is_none() { Status::Applied } else { Status::Targeted };
            slot.get_or_insert(configuration);
            plan.notes.insert(configuration.id(), status);
        }
        plan
    }

    /// What the twin itself is to hold.
    pub(super) fn settings(&self) -> Option<&'a Settings> {
        self.own.map(|configuration| match configuration.kind() {
            Kind::Module => &configuration.content().module,
            _ => &configuration.content().device,
        })
    }

    /// Whether the row shows a twin that is not as it should be.
    pub(super) fn is_due(&self, row: &Value) -> bool {
        let noted = row.get("configurations").and_then(Value::as_object);
        let is_noted = |(id, status): (&&str, &Status)| {
            let found = noted.and_then(|noted| noted.get(*id)).and_then(|note| note.get("status"));
            found.and_then(Value::as_str) == Some(status.as_str())
        };
        let is_same = noted.map_or(0, Map::len) == self.notes.len() && self.notes.iter().all(is_noted);
        !is_same || self.settings().is_some_and(|settings| settings.patch(&desired_of(row)).is_some())
    }

    /// What the plan makes of a twin; `None`: it is as it should be. A content that the twin has no room for is left out, and noted so.
    pub(super) fn change(&self, twin: &Twin, now: Timestamp) -> Result<Option<Change>, HubError> {
        let patch = self.settings().and_then(|settings| settings.patch(twin.desired()));
        let mut notes = self.notes.clone();
        let mut change = Change {
            twin: twin.clone(),
            desired_for_device: None,
            event: None,
            reported_version: twin.reported_version(),
        };
        let mut is_news = false;
        if let Some(patch) = patch {
            match twin.patch_service(None, &json!({ "properties": { "desired": patch } }), now) {
                Ok(patched) => {
                    change = patched;
                    is_news = true;
                }
                Err(_) => {
                    if let Some(own) = self.own {
                        notes.insert(own.id(), Status::Targeted);
                    }
                }
            }
        }
        let known: Vec<String> = twin.configurations().map(|(id, _)| id.to_owned()).collect();
        for id in known.iter().filter(|id| !notes.contains_key(id.as_str())) {
            is_news |= change.twin.set_configuration(id, None)?;
        }
        for (id, status) in notes {
            is_news |= change.twin.set_configuration(id, Some(status.as_str()))?;
        }
        Ok(is_news.then_some(change))
    }
}

/// Desired properties of a row, without version and metadata.
pub(super) fn desired_of(row: &Value) -> Map<String, Value> {
    let desired = row.pointer("/properties/desired").and_then(Value::as_object);
    let own = |name: &str| !matches!(name, "$version" | "$metadata");
    let values = desired.into_iter().flatten().filter(|(name, _)| own(name.as_str()));
    values.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use millrace_control_twin::IdentityFacts;

    use super::*;

    const NOW: Timestamp = Timestamp(1_714_557_600_000);

    fn configuration(id: &str, priority: i64, target: &str, content: Value) -> Configuration {
        let body = json!({"priority": priority, "targetCondition": target, "content": content});
        Configuration::parse(id, &body, None, NOW).unwrap()
    }

    fn all() -> Vec<Configuration> {
        let device = |value: i64| json!({"deviceContent": {"properties.desired.x": value}});
        let mut all = vec![
            configuration("low", 1, "*", device(1)),
            configuration("high", 2, "tags.site = 'A'", device(2)),
            configuration("edge", 1, "*", json!({"modulesContent": {"m": {"properties.desired": {}}}})),
            configuration(
                "module",
                1,
                "FROM devices.modules WHERE moduleId = 'm'",
                json!({"moduleContent": {"properties.desired.y": 1}}),
            ),
        ];
        all.sort_by_key(Configuration::rank);
        all
    }

    fn row(twin: &Twin, module_id: Option<&str>) -> Value {
        twin.service_view(&IdentityFacts { device_id: "d", module_id, ..IdentityFacts::default() })
    }

    fn follow(twin: &Twin, all: &[Configuration]) -> Option<Twin> {
        let row = row(twin, None);
        let plan = Plan::of(all, Source::Devices, &row);
        let change = plan.change(twin, NOW).unwrap();
        assert_eq!(plan.is_due(&row), change.is_some(), "the row tells whether there is something to do");
        change.map(|change| change.twin)
    }

    #[test]
    fn the_first_of_each_kind_is_applied_and_all_are_noted() {
        let site = Twin::fresh().patch_service(None, &json!({"tags": {"site": "A"}}), NOW).unwrap().twin;
        let twin = follow(&site, &all()).unwrap();
        assert_eq!(twin.desired().get("x"), Some(&json!(2)));
        let notes: Vec<_> = twin.configurations().collect();
        assert_eq!(notes, [("edge", "Applied"), ("high", "Applied"), ("low", "Targeted")]);
        assert_eq!(follow(&twin, &all()), None, "once is enough");
        let moved = twin.patch_service(None, &json!({"tags": {"site": "B"}}), NOW).unwrap().twin;
        let twin = follow(&moved, &all()).unwrap();
        assert_eq!(twin.desired().get("x"), Some(&json!(1)));
        assert_eq!(twin.configurations().collect::<Vec<_>>(), [("edge", "Applied"), ("low", "Applied")]);
        let alone = follow(&twin, &[]).unwrap();
        assert_eq!(
            (alone.configurations().count(), alone.desired().get("x")),
            (0, Some(&json!(1))),
            "nothing else is taken back"
        );
        assert_eq!(alone.desired_version(), twin.desired_version());
    }

    #[test]
    fn modules_follow_those_for_modules() {
        let (all, twin) = (all(), Twin::fresh());
        let plan = Plan::of(&all, Source::Modules, &json!({"deviceId": "d", "moduleId": "m"}));
        assert_eq!(plan.own.map(Configuration::id), Some("module"));
        assert_eq!(plan.change(&twin, NOW).unwrap().unwrap().twin.desired().get("y"), Some(&json!(1)));
        assert!(Plan::of(&all, Source::Modules, &json!({"moduleId": "n"})).notes.is_empty());
    }

    #[test]
    fn a_content_without_room_is_noted_as_not_applied() {
        let large: Map<String, Value> = (0..7).map(|n| (format!("k{n}"), json!("v".repeat(4_000)))).collect();
        let full = Twin::fresh().patch_service(None, &json!({"properties": {"desired": large}}), NOW).unwrap().twin;
        let all = [configuration(
            "big",
            1,
            "*",
            json!({"deviceContent": {"properties.desired.new": {"a": "w".repeat(4_000), "b": "w".repeat(2_000)}}}),
        )];
        let row = row(&full, None);
        let change = Plan::of(&all, Source::Devices, &row).change(&full, NOW).unwrap().unwrap();
        assert_eq!(change.twin.configurations().collect::<Vec<_>>(), [("big", "Targeted")]);
        assert_eq!(change.twin.desired(), full.desired());
    }
}
