//! The settings document as the control plane handles it: checked, filled in, compared.

use crate::fault;
use sonde_proto::southbound::Description;
use sonde_proto::v1::{self, Violation};
use sonde_settings::{Settings, Trust, convert};
use tonic::Status;

/// Checks a document and fills in every default.
///
/// # Errors
/// Every violation.
pub(crate) fn effective(document: &v1::Settings) -> Result<v1::Settings, Vec<sonde_settings::Violation>> {
    Settings::try_from(document).map(|settings| v1::Settings::from(&settings))
}

/// [`effective`] as an answer of the API: `INVALID_ARGUMENT` with every violation.
pub(crate) fn checked(document: &v1::Settings) -> Result<v1::Settings, Status> {
    effective(document).map_err(|violations| fault::invalid(&violations.into_iter().map(Violation::from).collect::<Vec<_>>()))
}

/// What the API may name, by what a dataplane says of its profile; `None` where it says nothing that can be understood.
pub(crate) fn trust(description: &Description) -> Option<Trust> {
    // A dataplane that says nothing of its profile is one whose settings in force are all that is known of it.
    let profile = description.profile.as_ref().or(description.settings.as_ref())?;
    let profile = Settings::try_from(profile).ok()?;
    Trust::of(&profile, &description.trust.clone().unwrap_or_default()).ok()
}

/// What a document names and may not; none when it is not good, which is found out elsewhere.
pub(crate) fn forbidden(trust: &Trust, document: &v1::Settings) -> Vec<Violation> {
    let found = Settings::try_from(document).map(|settings| trust.violations(&settings)).unwrap_or_default();
    found.into_iter().map(Violation::from).collect()
}

/// What is left of a stored document where a profile does not allow all of it: values that are converted, and a `boot` that names what
/// it may not gives way to the one that runs. With a sentence for each.
pub(crate) fn allowed(trust: &Trust, document: &v1::Settings, running: Option<&v1::Boot>) -> (v1::Settings, Vec<String>) {
    let Ok(settings) = Settings::try_from(document) else { return (document.clone(), Vec::new()) };
    if trust.violations(&settings).is_empty() {
        return (document.clone(), Vec::new());
    }
    let (mut left, converted) = convert::settings(&settings, trust);
    let mut notes: Vec<String> = converted.iter().map(ToString::to_string).collect();
    let devices: Vec<String> = forbidden(trust, &left).into_iter().filter(|v| v.path.starts_with("boot.")).map(|v| v.path).collect();
    if !devices.is_empty() {
        left.boot = running.cloned();
        notes.push(format!("boot is that of the running dataplane, whose profile does not allow {}", devices.join(", ")));
    }
    (left, notes)
}

/// A document as JSON has it, as a tree; a field that is null is one that is not given.
pub(crate) fn from_json(mut value: serde_json::Value) -> Result<toml::Table, String> {
    drop_nulls(&mut value);
    toml::Table::try_from(value).map_err(|e| e.to_string())
}

fn drop_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|_, v| !v.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Fields of `boot` in which two documents differ; none when one of them is not good.
pub(crate) fn restart_required(in_force: &v1::Settings, desired: &v1::Settings) -> Vec<String> {
    match (Settings::try_from(in_force), Settings::try_from(desired)) {
        (Ok(in_force), Ok(desired)) => sonde_settings::restart_required(&in_force, &desired),
        _ => Vec::new(),
    }
}

/// Whether two documents mean the same where the dataplane can be told while it runs.
pub(crate) fn same_live(a: &v1::Settings, b: &v1::Settings) -> bool {
    match (Settings::try_from(a), Settings::try_from(b)) {
        (Ok(a), Ok(b)) => a.live == b.live,
        _ => a.live == b.live,
    }
}

/// The etag of a generation: its number, and a checksum of its settings, so that histories which began anew do not meet.
pub(crate) fn etag(number: u64, settings: &v1::Settings) -> String {
    // FNV-1a, 64 bits: it tells documents apart, it guards nothing.
    let hash = prost::Message::encode_to_vec(settings)
        .into_iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{number}-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(idle: u32) -> v1::Settings {
        let timeouts = v1::Timeouts { idle_timeout_ms: idle, ..v1::Timeouts::default() };
        let port = v1::Port { name: "a".into(), device: "net_null0".into(), ..v1::Port::default() };
        let boot = v1::Boot { ports: vec![port], ..v1::Boot::default() };
        v1::Settings { boot: Some(boot), live: Some(v1::Live { timeouts: Some(timeouts), ..v1::Live::default() }) }
    }

    #[test]
    fn what_is_left_out_is_its_default() {
        let (named, left_out) = (document(30_000), document(0));
        assert!(same_live(&named, &left_out));
        assert!(!same_live(&named, &document(15_000)));
    }

    #[test]
    fn the_etag_follows_number_and_content() {
        let a = etag(1, &document(1000));
        assert_eq!(a, etag(1, &document(1000)));
        assert_ne!(a, etag(2, &document(1000)));
        assert_ne!(a, etag(1, &document(1001)));
    }
}
