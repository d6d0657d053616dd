//! Which settings the dataplane starts with: the profile's, or the last good ones.
//!
//! The profile (with `--set`) is what an operator wrote; the last good settings are what the control plane applied later. They are
//! newer, so they win, as long as the profile is the one they were applied on top of: an operator who edits the profile and
//! restarts wants the edit.

use std::io::{Read, Write};
use std::path::Path;

use sonde_proto::v1;
use sonde_settings::document::{self, OCTETS_MAX};
use sonde_settings::paths::SETTINGS;
use sonde_settings::{Settings, Trust, Violation, convert, differing, profiles, quote};
use sonde_system::{Draft, Folder, FolderError};
use toml::{Table, Value};

use crate::error::StartError;
use crate::guard;

/// Longest file of last good settings that is read: the document, and what stands beside it.
const KEPT_MAX: u64 = 2 * OCTETS_MAX as u64;
/// Name of a copy of last good settings that were not used.
const UNUSED: &str = "settings.toml.unused";

/// A profile, read and checked.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The settings it says, with `--set` applied.
    pub settings: Settings,
    /// What it allows the API to name.
    pub trust: Trust,
    /// Each `--set`, as it was given.
    pub sets: Vec<String>,
    /// Where it came from, for people.
    pub origin: String,
    /// Tells it from an edited one.
    pub fingerprint: String,
    /// Settings of an older version that it has.
    pub converted: Vec<convert::Converted>,
}

impl Profile {
    /// Reads a profile (a file, or the name of an embedded one) and applies `path=value` of each `--set`.
    ///
    /// # Errors
    /// [`StartError::Profile`] when it cannot be read; [`StartError::Settings`] with every violation.
    pub fn read(name: &Path, sets: &[String]) -> Result<Self, StartError> {
        let (text, mut origin) = text(name)?;
        let refused = |violations| StartError::Settings { origin: origin.clone(), violations };
        let mut table = document::parse_table(&text).map_err(refused)?;
        let converted = convert::profile(&mut table);
        let mut violations = Vec::new();
        for set in sets {
            let applied = match set.split_once('=') {
                Some((path, value)) => document::set(&mut table, path.trim(), value),
                None => Err(Violation { path: "--set".into(), rule: "path=value".into(), found: quote(set) }),
            };
            violations.extend(applied.err());
        }
        let places = document::take_trust(&mut table);
        // What the sets broke is listed together with what the profile has wrong.
        let checked = document::from_table(&table).and_then(|document| Settings::try_from(&document));
        let checked = match (checked, places) {
            (Ok(settings), Ok(places)) => Trust::of(&settings, &places).map(|trust| (settings, trust)),
            (settings, places) => Err([settings.err(), places.err()].into_iter().flatten().flatten().collect()),
        };
        let (settings, trust) = match checked {
            Ok(good) if violations.is_empty() => good,
            checked => {
                violations.extend(checked.err().unwrap_or_default());
                return Err(refused(violations));
            }
        };
        if !sets.is_empty() {
            origin = format!("{origin} with {}", sets.iter().map(|s| format!("--set {s}")).collect::<Vec<_>>().join(" "));
        }
        let fingerprint = fingerprint(&settings, &trust);
        Ok(Self { settings, trust, sets: sets.to_vec(), origin, fingerprint, converted })
    }

    /// Each `--set` whose value other settings do not have.
    pub fn overridden(&self, by: &Settings) -> Vec<String> {
        let differ = differing(&self.settings, by);
        let path = |set: &str| set.split_once('=').map_or_else(String::new, |(path, _)| path.trim().to_owned());
        let touches = |set: &String| {
            let path = path(set);
            differ.iter().any(|field| field.starts_with(&path) || path.starts_with(field))
        };
        self.sets.iter().filter(|set| touches(set)).cloned().collect()
    }
}

fn text(name: &Path) -> Result<(String, String), StartError> {
    let embedded = name.to_str().and_then(|n| Some((n, profiles::embedded(n)?)));
    if let Some((name, text)) = embedded {
        return Ok((text.to_owned(), format!("profile {name} (embedded)")));
    }
    let failed =
        |cause| StartError::Profile { path: name.to_owned(), cause, known: profiles::PROFILES.iter().map(|(name, _)| *name).collect() };
    let file = guard::open_profile(name).map_err(failed)?;
    let mut text = String::new();
    file.take(OCTETS_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() > OCTETS_MAX {
        return Err(failed(std::io::Error::other(format!("a profile has at most {OCTETS_MAX} octets, and it has more"))));
    }
    Ok((text, format!("profile {}", name.display())))
}

/// FNV-1a of the effective document and of what it allows: it tells an edited profile from the same one, no more.
fn fingerprint(settings: &Settings, trust: &Trust) -> String {
    let mut text = document::to_toml(&v1::Settings::from(settings));
    if *trust.document() != v1::Trust::default() {
        text.push_str(&format!("{:?}", trust.document()));
    }
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

/// The settings to start with.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The settings.
    pub settings: Settings,
    /// Their generation; 0 for a profile's.
    pub generation: u64,
    /// Where they came from, for people.
    pub origin: String,
    /// What the operator should know, such as a file that was not used.
    pub remarks: Vec<String>,
}

/// Decides between the profile and the last good settings in the run folder.
pub fn choose(profile: &Profile, folder: &Folder, fresh: bool) -> Chosen {
    let path = folder.at(SETTINGS);
    let from_profile = |remarks| Chosen { settings: profile.settings.clone(), generation: 0, origin: profile.origin.clone(), remarks };
    let shown = path.display();
    let (last, converted) = match LastGood::read(folder, &profile.trust) {
        Ok(Some(last)) => last,
        Ok(None) => return from_profile(Vec::new()),
        Err(why) => {
            let mut remarks = vec![format!("the last good settings in {shown} cannot be used: {why}")];
            remarks.extend(set_aside(folder));
            return from_profile(remarks);
        }
    };
    let generation = last.generation;
    if fresh {
        return from_profile(vec![format!("generation {generation} in {shown} is not used, because of --fresh")]);
    }
    if last.profile != profile.fingerprint {
        return from_profile(vec![format!("generation {generation} in {shown} is not used: the profile is not the one it was applied to")]);
    }
    let mut remarks: Vec<String> = converted.iter().map(|converted| format!("generation {generation}: {converted}")).collect();
    // The file is not better than the call that wrote it: the same rule holds again.
    let forbidden = profile.trust.violations(&last.settings);
    if !forbidden.is_empty() {
        let list: Vec<String> = forbidden.iter().map(ToString::to_string).collect();
        let mut remarks = vec![format!("generation {generation} in {shown} is not used: {}", list.join("; "))];
        remarks.extend(set_aside(folder));
        return from_profile(remarks);
    }
    let overridden = profile.overridden(&last.settings);
    remarks.extend(overridden.iter().map(|set| format!("generation {generation} overrides --set {set}")));
    let origin = format!("generation {generation} from {shown} (--fresh starts from the profile instead)");
    Chosen { settings: last.settings, generation, origin, remarks }
}

/// Keeps a copy of settings that are not used: the next ones take their place.
fn set_aside(folder: &Folder) -> Option<String> {
    let keep = || -> Result<Option<()>, String> {
        let Some(file) = folder.open_file(SETTINGS).map_err(|e| e.to_string())? else { return Ok(None) };
        let mut copy = folder.draft(UNUSED).map_err(|e| e.to_string())?;
        std::io::copy(&mut file.take(KEPT_MAX), copy.file()).map_err(|e| e.to_string())?;
        copy.commit().map(Some).map_err(|e| e.to_string())
    };
    match keep() {
        Ok(kept) => kept.map(|()| format!("a copy of them is kept in {}", folder.at(UNUSED).display())),
        Err(why) => Some(format!("no copy of them is kept: {why}")),
    }
}

/// The last good settings as they stand on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastGood {
    /// Generation, from 1.
    pub generation: u64,
    /// Fingerprint of the profile they were applied on top of.
    pub profile: String,
    /// The settings.
    pub settings: Settings,
}

impl LastGood {
    /// Reads them, and converts what an older version wrote; `None` when there are none.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn read(folder: &Folder, trust: &Trust) -> Result<Option<(Self, Vec<convert::Converted>)>, String> {
        let Some(file) = folder.open_file(SETTINGS).map_err(|e| e.to_string())? else { return Ok(None) };
        let mut text = String::new();
        file.take(KEPT_MAX).read_to_string(&mut text).map_err(|e| e.to_string())?;
        let listed = |v: Vec<Violation>| v.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let mut table = document::parse_table(&text).map_err(listed)?;
        let version = table.get("version").and_then(Value::as_str).unwrap_or_default().to_owned();
        let generation = table.get("generation").and_then(Value::as_integer).and_then(|n| u64::try_from(n).ok());
        let generation = generation.ok_or("it has no generation number")?;
        let profile = table.get("profile").and_then(Value::as_str).ok_or("it names no profile")?.to_owned();
        let Some(Value::Table(mut settings)) = table.remove("settings") else { return Err("it has no settings".to_owned()) };
        let converted = convert::document(&mut settings, &version, Some(trust));
        let checked = document::from_table(&settings).and_then(|document| Settings::try_from(&document));
        let settings = checked.map_err(|v| listed(v) + &convert::newer(&version, "sonde-dataplane"))?;
        Ok(Some((Self { generation, profile, settings }, converted)))
    }

    fn to_text(&self) -> String {
        let mut table = Table::new();
        table.insert("version".into(), Value::String(convert::VERSION.to_owned()));
        // `Apply` refuses generations TOML cannot say.
        table.insert("generation".into(), Value::Integer(i64::try_from(self.generation).unwrap_or(i64::MAX)));
        table.insert("profile".into(), Value::String(self.profile.clone()));
        table.insert("settings".into(), Value::Table(document::tree(&v1::Settings::from(&self.settings))));
        format!("# Written by sonde-dataplane: the settings it was given last. Without this file it starts from its profile.\n{table}")
    }

    /// Writes them in the folder, on the disk, without replacing what is there: [`Staged::commit`] does.
    ///
    /// # Errors
    /// What the file system said.
    pub fn stage(&self, folder: &Folder) -> std::io::Result<Staged> {
        let mut draft = folder.draft(SETTINGS).map_err(FolderError::into_io)?;
        draft.file().write_all(self.to_text().as_bytes())?;
        draft.file().sync_all()?;
        Ok(Staged { draft, folder: folder.clone() })
    }
}

/// Last good settings that are on the disk but not yet in their place. Dropped without [`Staged::commit`] they are removed.
#[derive(Debug)]
pub struct Staged {
    draft: Draft,
    folder: Folder,
}

impl Staged {
    /// Puts them in their place.
    ///
    /// # Errors
    /// What the file system said; the older settings are still there.
    pub fn commit(self) -> std::io::Result<()> {
        self.draft.commit().map_err(FolderError::into_io)?;
        // The rename itself must survive a power cut: it stands in the directory.
        self.folder.sync().map_err(FolderError::into_io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let folder = Folder::open(dir.path()).expect("our own");
        (dir, folder)
    }

    fn profile(sets: &[&str]) -> Profile {
        Profile::read(Path::new("virtual"), &sets.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).expect("embedded profile")
    }

    #[test]
    fn last_good_settings_win_over_the_profile_they_were_applied_to() {
        let (_dir, folder) = folder();
        let plain = profile(&[]);
        assert_eq!(choose(&plain, &folder, false).generation, 0);
        let changed = profile(&["live.timeouts.idle_timeout_ms=5000"]);
        let last = LastGood { generation: 7, profile: plain.fingerprint.clone(), settings: changed.settings.clone() };
        last.stage(&folder).expect("staged").commit().expect("committed");
        assert_eq!(LastGood::read(&folder, &plain.trust), Ok(Some((last, Vec::new()))));
        let chosen = choose(&plain, &folder, false);
        assert_eq!((chosen.generation, &chosen.settings), (7, &changed.settings));
        let fresh = choose(&plain, &folder, true);
        assert_eq!((fresh.generation, &fresh.settings), (0, &plain.settings));
        let edited = choose(&changed, &folder, false);
        assert_eq!(edited.generation, 0);
        assert!(edited.remarks[0].contains("not the one it was applied to"), "{:?}", edited.remarks);
    }

    #[test]
    fn every_prefix_of_last_good_settings_is_used_whole_or_not_at_all() {
        let (dir, folder) = folder();
        let plain = profile(&[]);
        let text = LastGood { generation: 3, profile: plain.fingerprint.clone(), settings: plain.settings.clone() }.to_text();
        for end in (0..text.len()).step_by(7) {
            std::fs::write(dir.path().join(SETTINGS), &text[..end]).expect("written");
            let chosen = choose(&plain, &folder, false);
            assert!(chosen.generation == 3 || !chosen.remarks.is_empty(), "{end}");
        }
    }

    #[test]
    fn staged_settings_replace_nothing_until_committed() {
        let (dir, folder) = folder();
        let plain = profile(&[]);
        let last = |generation| LastGood { generation, profile: plain.fingerprint.clone(), settings: plain.settings.clone() };
        last(1).stage(&folder).expect("staged").commit().expect("committed");
        drop(last(2).stage(&folder).expect("staged"));
        assert_eq!(LastGood::read(&folder, &plain.trust).expect("readable").expect("there").0.generation, 1);
        assert_eq!(std::fs::read_dir(dir.path()).expect("directory").count(), 1);
    }

    #[test]
    fn a_generation_that_overrides_a_set_says_so() {
        let (_dir, folder) = folder();
        let sets = ["live.timeouts.idle_timeout_ms=5000", "live.vlan_in_key=false", "boot.records.ring_bytes=1048576"];
        let started = profile(&sets);
        let mut settings = started.settings.clone();
        settings.live.timeouts.idle_timeout_ms = 4000;
        let last = LastGood { generation: 9, profile: started.fingerprint.clone(), settings };
        last.stage(&folder).expect("staged").commit().expect("committed");
        let chosen = choose(&started, &folder, false);
        assert_eq!(chosen.generation, 9);
        assert_eq!(chosen.remarks, ["generation 9 overrides --set live.timeouts.idle_timeout_ms=5000"]);
    }

    #[test]
    fn stored_settings_pass_the_rule_of_the_api_again() {
        let (dir, folder) = folder();
        let path = dir.path().join(SETTINGS);
        let plain = profile(&["trust.databases_folder=/srv/geo"]);
        let write = |text: &str| {
            let head = format!("generation = 4\nprofile = \"{}\"\n", plain.fingerprint);
            let good = LastGood { generation: 4, profile: String::new(), settings: plain.settings.clone() }.to_text();
            let settings = &good[good.find("[settings").expect("settings")..];
            std::fs::write(&path, format!("{head}{}", text.replace("SETTINGS", settings))).expect("written");
            choose(&plain, &folder, false)
        };
        // Written into the file by somebody, or by a call that an older version accepted.
        let chosen = write("SETTINGS");
        assert_eq!((chosen.generation, chosen.remarks.len()), (4, 0), "{:?}", chosen.remarks);
        let text = std::fs::read_to_string(&path).expect("read");
        let edit = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}: {text}");
            std::fs::write(&path, text.replace(from, to)).expect("written");
            choose(&plain, &folder, false)
        };
        let converted = edit("extra_args = []", "extra_args = [\"-d\", \"/tmp/a.so\"]");
        assert_eq!(converted.generation, 4);
        assert!(converted.remarks[0].contains("boot.eal.extra_args is now [], it was [\"-d\", \"/tmp/a.so\"]"), "{:?}", converted.remarks);
        let converted = edit("asn_database = \"\"", "asn_database = \"/srv/geo/asn.mmdb\"");
        assert_eq!(converted.settings.live.enrichment.asn_database.as_deref(), Some(Path::new("asn.mmdb")));
        let dropped = edit("asn_database = \"\"", "asn_database = \"/etc/shadow\"");
        assert_eq!((dropped.generation, dropped.settings.live.enrichment.asn_database), (4, None));
        let refused = edit("net_af_packet0,iface=lo", "net_af_packet0,iface=eth0");
        assert_eq!((refused.generation, &refused.settings), (0, &plain.settings));
        assert!(
            refused.remarks[0].contains("boot.ports[0].device") && refused.remarks[0].contains("trust.devices"),
            "{:?}",
            refused.remarks
        );
        assert!(refused.remarks[1].contains("settings.toml.unused"), "{:?}", refused.remarks);
        assert!(std::fs::read_to_string(dir.path().join(UNUSED)).expect("kept").contains("iface=eth0"));
        // A field that only a newer version knows.
        let newer = edit("generation = 4", "version = \"99.0.0\"\ngeneration = 4");
        assert_eq!(newer.generation, 4, "a newer version that says nothing new is understood");
        std::fs::write(&path, format!("version = \"99.0.0\"\n{}", text.replace("[settings.live]", "[settings.live]\nfuture = 1")))
            .expect("written");
        let newer = choose(&plain, &folder, false);
        assert_eq!(newer.generation, 0);
        for word in ["live.future", "written by sonde-dataplane 99.0.0", "restart sonde-dataplane"] {
            assert!(newer.remarks[0].contains(word), "{word}: {:?}", newer.remarks);
        }
    }

    #[test]
    fn root_obeys_only_a_profile_that_nobody_else_can_write() {
        use std::os::unix::fs::PermissionsExt;
        if !sonde_tests::skip::root("a profile that somebody else can write") {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path();
        let path = dir.join("probe.toml");
        std::fs::write(&path, profiles::PROFILES[0].1).expect("written");
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
        mode(dir, 0o755);
        mode(&path, 0o644);
        assert!(Profile::read(&path, &[]).is_ok());
        // A link that only root can have made is followed, one in a folder for everybody is not, even in a sticky one.
        let link = dir.join("link.toml");
        std::os::unix::fs::symlink("probe.toml", &link).expect("a link");
        assert!(Profile::read(&link, &[]).is_ok());
        mode(dir, 0o1777);
        let said = Profile::read(&link, &[]).expect_err("a link").to_string();
        assert!(said.contains("is a symbolic link and is not followed"), "{said}");
        mode(dir, 0o755);
        let second = dir.join("second.toml");
        std::fs::hard_link(&path, &second).expect("a second name");
        assert!(Profile::read(&path, &[]).expect_err("two names").to_string().contains("hard links"));
        std::fs::remove_file(&second).expect("removed");
        let refused = || Profile::read(&path, &[]).expect_err("refused").to_string();
        mode(&path, 0o666);
        assert!(refused().contains("chmod"), "{}", refused());
        mode(&path, 0o644);
        mode(dir, 0o777);
        assert!(refused().contains("chmod"), "{}", refused());
        mode(dir, 0o755);
        std::os::unix::fs::chown(&path, Some(12_345), None).expect("chown");
        assert!(refused().contains("user 12345") && refused().contains("chown root"), "{}", refused());
    }

    #[test]
    fn a_profile_of_an_older_version_is_converted_and_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("probe.toml");
        let text = profiles::PROFILES[0].1.replace("[boot.table]\n", "[boot.table]\nudp_performance_percent = 0\n");
        std::fs::write(&path, text).expect("written");
        let profile = Profile::read(&path, &[]).expect("converted");
        assert!(!profile.settings.boot.annex.udp && profile.settings.boot.annex.mib.is_some());
        let said: Vec<String> = profile.converted.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[1].contains("boot.annex.udp is now false, it was boot.table.udp_performance_percent = 0"), "{said:?}");
        let refused = Profile::read(Path::new("virtual"), &["boot.table.udp_performance_percent=0".to_owned()]).expect_err("gone");
        assert!(refused.to_string().contains("boot.annex.udp"), "{refused}");
    }

    #[test]
    fn every_fault_of_profile_and_sets_is_listed() {
        let sets = ["boot.nothing=1", "boot.table.ipv4_flows=3", "no-equals", "boot.instance=A"].map(str::to_owned);
        let refused = Profile::read(Path::new("virtual"), &sets).expect_err("four faults");
        assert_eq!(refused.exit_code(), 2);
        let text = refused.to_string();
        for word in ["4 faults", "boot.nothing: must be", "boot.table.ipv4_flows: must be", "--set: must be path=value", "found \"A\""] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
