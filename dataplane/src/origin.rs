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
use sonde_settings::{Settings, Violation, profiles};
use sonde_system::{Draft, Folder, FolderError};
use toml::{Table, Value};

use crate::error::StartError;

/// A profile, read and checked.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The settings it says, with `--set` applied.
    pub settings: Settings,
    /// Where it came from, for people.
    pub origin: String,
    /// Tells it from an edited one.
    pub fingerprint: String,
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
        let mut violations = Vec::new();
        for set in sets {
            let applied = match set.split_once('=') {
                Some((path, value)) => document::set(&mut table, path.trim(), value),
                None => Err(Violation { path: "--set".into(), rule: "path=value".into(), found: format!("{set:?}") }),
            };
            violations.extend(applied.err());
        }
        // What the sets broke is listed together with what the profile has wrong.
        let checked = document::from_table(&table).and_then(|document| Settings::try_from(&document));
        let settings = match checked {
            Ok(settings) if violations.is_empty() => settings,
            checked => {
                violations.extend(checked.err().unwrap_or_default());
                return Err(refused(violations));
            }
        };
        if !sets.is_empty() {
            origin = format!("{origin} with {}", sets.iter().map(|s| format!("--set {s}")).collect::<Vec<_>>().join(" "));
        }
        let fingerprint = fingerprint(&settings);
        Ok(Self { settings, origin, fingerprint })
    }
}

fn text(name: &Path) -> Result<(String, String), StartError> {
    let embedded = name.to_str().and_then(|n| Some((n, profiles::embedded(n)?)));
    if let Some((name, text)) = embedded {
        return Ok((text.to_owned(), format!("profile {name} (embedded)")));
    }
    let failed =
        |cause| StartError::Profile { path: name.to_owned(), cause, known: profiles::PROFILES.iter().map(|(name, _)| *name).collect() };
    let size = std::fs::metadata(name).map_err(failed)?.len();
    if size > OCTETS_MAX as u64 {
        return Err(failed(std::io::Error::other(format!("it has {size} octets, a profile has at most {OCTETS_MAX}"))));
    }
    let text = std::fs::read_to_string(name).map_err(failed)?;
    Ok((text, format!("profile {}", name.display())))
}

/// FNV-1a of the effective document: it tells an edited profile from the same one, no more.
fn fingerprint(settings: &Settings) -> String {
    let text = document::to_toml(&v1::Settings::from(settings));
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
    /// Something the operator should know, such as a file that was not used.
    pub remark: Option<String>,
}

/// Decides between the profile and the last good settings in the run folder.
pub fn choose(profile: &Profile, folder: &Folder, fresh: bool) -> Chosen {
    let path = folder.at(SETTINGS);
    let from_profile = |remark| Chosen { settings: profile.settings.clone(), generation: 0, origin: profile.origin.clone(), remark };
    let last = match LastGood::read(folder) {
        Ok(Some(last)) => last,
        Ok(None) => return from_profile(None),
        Err(why) => return from_profile(Some(format!("the last good settings in {} cannot be used: {why}", path.display()))),
    };
    let generation = last.generation;
    if fresh {
        return from_profile(Some(format!("generation {generation} in {} is not used, because of --fresh", path.display())));
    }
    if last.profile != profile.fingerprint {
        let remark = format!("generation {generation} in {} is not used: the profile is not the one it was applied to", path.display());
        return from_profile(Some(remark));
    }
    let origin = format!("generation {generation} from {} (--fresh starts from the profile instead)", path.display());
    Chosen { settings: last.settings, generation, origin, remark: None }
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
    /// Reads them; `None` when there are none.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub fn read(folder: &Folder) -> Result<Option<Self>, String> {
        let Some(mut file) = folder.open_file(SETTINGS).map_err(|e| e.to_string())? else { return Ok(None) };
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|e| e.to_string())?;
        let listed = |v: Vec<Violation>| v.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let mut table = document::parse_table(&text).map_err(listed)?;
        let generation = table.get("generation").and_then(Value::as_integer).and_then(|n| u64::try_from(n).ok());
        let generation = generation.ok_or("it has no generation number")?;
        let profile = table.get("profile").and_then(Value::as_str).ok_or("it names no profile")?.to_owned();
        let Some(Value::Table(settings)) = table.remove("settings") else { return Err("it has no settings".to_owned()) };
        let document = document::from_table(&settings).map_err(listed)?;
        let settings = Settings::try_from(&document).map_err(listed)?;
        Ok(Some(Self { generation, profile, settings }))
    }

    fn to_text(&self) -> String {
        let mut table = Table::new();
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
        assert_eq!(LastGood::read(&folder), Ok(Some(last)));
        let chosen = choose(&plain, &folder, false);
        assert_eq!((chosen.generation, &chosen.settings), (7, &changed.settings));
        let fresh = choose(&plain, &folder, true);
        assert_eq!((fresh.generation, &fresh.settings), (0, &plain.settings));
        let edited = choose(&changed, &folder, false);
        assert_eq!(edited.generation, 0);
        assert!(edited.remark.expect("a remark").contains("not the one it was applied to"));
    }

    #[test]
    fn every_prefix_of_last_good_settings_is_used_whole_or_not_at_all() {
        let (dir, folder) = folder();
        let plain = profile(&[]);
        let text = LastGood { generation: 3, profile: plain.fingerprint.clone(), settings: plain.settings.clone() }.to_text();
        for end in (0..text.len()).step_by(7) {
            std::fs::write(dir.path().join(SETTINGS), &text[..end]).expect("written");
            let chosen = choose(&plain, &folder, false);
            assert!(chosen.generation == 3 || chosen.remark.is_some(), "{end}");
        }
    }

    #[test]
    fn staged_settings_replace_nothing_until_committed() {
        let (dir, folder) = folder();
        let plain = profile(&[]);
        let last = |generation| LastGood { generation, profile: plain.fingerprint.clone(), settings: plain.settings.clone() };
        last(1).stage(&folder).expect("staged").commit().expect("committed");
        drop(last(2).stage(&folder).expect("staged"));
        assert_eq!(LastGood::read(&folder).expect("readable").expect("there").generation, 1);
        assert_eq!(std::fs::read_dir(dir.path()).expect("directory").count(), 1);
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
