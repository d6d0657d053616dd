//! What the API may name of this machine.
//!
//! Settings come from two sides. A profile is a file that root wrote (`--set` is root at the command line): what it names, it may name.
//! The API has no authentication, so whoever reaches it could have files read and written as root, sockets opened, and any interface
//! listened to. A document that came by the API therefore names what the profile names, or a thing by its name inside a folder that the
//! profile gives (`[trust]`). The control plane asks this before it stores a document, the dataplane before it obeys one, and again
//! when it finds one on its disk.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sonde_enrich::Sources;
use sonde_proto::v1;

use crate::boot::{Device, pci_address};
use crate::check::{Check, Violation, is_file_name, quote};
use crate::devices::{Kind, Vdev};
use crate::live::Live;
use crate::settings::Settings;

/// Most devices of `trust.devices`.
const DEVICES_MAX: usize = 256;

/// What a document of the API may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    recordings_folder: Option<PathBuf>,
    sockets_folder: Option<PathBuf>,
    databases_folder: Option<PathBuf>,
    /// Of the profile's ports, and listed.
    devices: Vec<String>,
    extra_args: Vec<String>,
    /// Files of the profile's `live.enrichment`.
    databases: Vec<String>,
    /// As the profile has it.
    document: v1::Trust,
    /// Who made it and what to do for more.
    remedy: &'static str,
}

/// What to do where a profile is known.
const REMEDY: &str = "write it in the profile on the probe's disk and restart sonde-dataplane";
/// What to do where none is.
const NO_PROFILE: &str = "no dataplane of this version answers, so it is not known what its profile allows: start sonde-dataplane first";

impl Trust {
    /// What a profile allows: what its settings name, and what its `[trust]` says.
    ///
    /// # Errors
    /// Every violation of `[trust]`, and of what needs it.
    pub fn of(profile: &Settings, document: &v1::Trust) -> Result<Self, Vec<Violation>> {
        let mut check = Check::default();
        let mut folder = |field: &str, value: &str| {
            let good = Path::new(value).is_absolute() && !value.chars().any(char::is_control) && !value.contains([',', '[', ']', '"']);
            if !value.is_empty() && !good {
                let rule = "the absolute path of a folder, without control characters, commas, brackets and quotes";
                check.refuse(format!("trust.{field}"), rule, quote(value));
            }
            (!value.is_empty()).then(|| PathBuf::from(value))
        };
        let recordings_folder = folder("recordings_folder", &document.recordings_folder);
        let sockets_folder = folder("sockets_folder", &document.sockets_folder);
        let databases_folder = folder("databases_folder", &document.databases_folder);
        if document.devices.len() > DEVICES_MAX {
            check.refuse("trust.devices", format!("at most {DEVICES_MAX} devices"), format!("{} devices", document.devices.len()));
        }
        let mut devices: Vec<String> = profile.boot.ports.iter().map(|port| port.device.as_str().to_owned()).collect();
        for (at, text) in document.devices.iter().enumerate() {
            match (pci_address(text), Vdev::parse(text)) {
                (Some(address), _) => devices.push(address),
                (None, Ok(_)) => devices.push(text.clone()),
                (None, Err((rule, found))) => check.refuse(format!("trust.devices[{at}]"), rule, found),
            }
        }
        let enrichment = v1::Live::from(&profile.live).enrichment.unwrap_or_default();
        let databases: Vec<String> =
            fields(&enrichment).iter().filter(|(_, file)| !file.is_empty()).map(|(_, file)| (*file).clone()).collect();
        for (field, file) in fields(&enrichment) {
            if databases_folder.is_none() && !file.is_empty() && !Path::new(file).is_absolute() {
                check.refuse(
                    format!("live.enrichment.{field}"),
                    "an absolute path, or trust.databases_folder must say where it is",
                    quote(file),
                );
            }
        }
        let extra_args = profile.boot.eal.extra_args.clone();
        let document = document.clone();
        let trust = Self { recordings_folder, sockets_folder, databases_folder, devices, extra_args, databases, document, remedy: REMEDY };
        check.verdict(trust)
    }

    /// What may be named where no profile is known: what these settings name already.
    pub fn unknown(settings: Option<&Settings>) -> Self {
        let nothing = Self {
            recordings_folder: None,
            sockets_folder: None,
            databases_folder: None,
            devices: Vec::new(),
            extra_args: Vec::new(),
            databases: Vec::new(),
            document: v1::Trust::default(),
            remedy: NO_PROFILE,
        };
        let Some(settings) = settings else { return nothing };
        let enrichment = v1::Live::from(&settings.live).enrichment.unwrap_or_default();
        Self {
            devices: settings.boot.ports.iter().map(|port| port.device.as_str().to_owned()).collect(),
            extra_args: settings.boot.eal.extra_args.clone(),
            databases: fields(&enrichment).into_iter().map(|(_, file)| file.clone()).collect(),
            ..nothing
        }
    }

    /// As the profile has it.
    pub fn document(&self) -> &v1::Trust {
        &self.document
    }

    /// Its folders, each with the field that names it.
    pub fn folders(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        [
            ("trust.recordings_folder", &self.recordings_folder),
            ("trust.sockets_folder", &self.sockets_folder),
            ("trust.databases_folder", &self.databases_folder),
        ]
        .into_iter()
        .filter_map(|(field, folder)| Some((field, folder.as_deref()?)))
    }

    /// What settings of the API name and may not, every violation.
    pub fn violations(&self, settings: &Settings) -> Vec<Violation> {
        let mut check = Check::default();
        if settings.boot.eal.extra_args != self.extra_args {
            let rule = format!("as in the profile, {:?}: EAL's arguments never come by the API; {}", self.extra_args, self.remedy);
            check.refuse("boot.eal.extra_args", rule, format!("{:?}", settings.boot.eal.extra_args));
        }
        for (at, port) in settings.boot.ports.iter().enumerate() {
            if let Err(rule) = self.device(&port.device) {
                let rule = format!("{rule}; {}", self.remedy);
                check.refuse(format!("boot.ports[{at}].device"), rule, quote(port.device.as_str()));
            }
        }
        let enrichment = v1::Live::from(&settings.live).enrichment.unwrap_or_default();
        for (field, file) in fields(&enrichment) {
            if !self.database(file) {
                check.refuse(format!("live.enrichment.{field}"), self.database_rule(), quote(file));
            }
        }
        check.verdict(()).err().unwrap_or_default()
    }

    fn database(&self, file: &str) -> bool {
        file.is_empty() || self.databases.iter().any(|named| named == file) || self.databases_folder.is_some() && is_file_name(file)
    }

    fn database_rule(&self) -> String {
        match &self.databases_folder {
            Some(folder) => {
                format!("the name of a file in {} (trust.databases_folder), without a path, or a file of the profile", folder.display())
            }
            None => {
                format!("a file of the profile, whose trust.databases_folder is not set, so that no other may be named; {}", self.remedy)
            }
        }
    }

    /// Whether a device may be named; the error is the rule.
    fn device(&self, device: &Device) -> Result<(), String> {
        let text = device.as_str();
        let vdev = match device {
            Device::Pci(_) if self.devices.iter().any(|listed| listed == text) => return Ok(()),
            Device::Pci(_) => return Err("a PCI address of the profile (boot.ports, trust.devices)".to_owned()),
            Device::Vdev(_) => Vdev::parse(text).map_err(|(rule, _)| rule)?,
        };
        let claims = vdev.claims();
        if self.devices.iter().any(|listed| Vdev::parse(listed).is_ok_and(|listed| listed.claims() == claims)) {
            return Ok(());
        }
        let listed = "a device that takes the interfaces, files and sockets of one of the profile's (boot.ports, trust.devices)";
        if !vdev.driver.alone {
            return Err(listed.to_owned());
        }
        for (key, kind, value) in &vdev.arguments {
            let folder = match kind {
                Kind::Interface | Kind::Output => return Err(format!("{listed}, and {key}= names none of those")),
                Kind::Recording => ("trust.recordings_folder", &self.recordings_folder),
                Kind::Socket => ("trust.sockets_folder", &self.sockets_folder),
                Kind::Number | Kind::Word(_) | Kind::Mac => continue,
            };
            match folder {
                (_, Some(_)) if is_file_name(value) => {}
                (field, Some(folder)) => {
                    return Err(format!("{listed}, or {key}= the name of one in {} ({field}), without a path", folder.display()));
                }
                (field, None) => return Err(format!("{listed}; {field} is not set, so that {key}= may name no other")),
            }
        }
        for (key, value) in vdev.driver.must {
            let given = vdev.arguments.iter().find(|(given, ..)| given == key).map(|(_, _, given)| *given);
            if given.is_none() || value.is_some_and(|value| given != Some(value)) {
                return Err(format!("{listed}, or one with {key}={}", value.unwrap_or("the name of one in its folder of [trust]")));
            }
        }
        Ok(())
    }

    /// The device with names inside folders made paths, as EAL opens it.
    pub fn resolve(&self, device: &Device) -> Device {
        let text = match device {
            Device::Pci(_) => return device.clone(),
            Device::Vdev(text) => text,
        };
        let Ok(vdev) = Vdev::parse(text) else { return device.clone() };
        let mut resolved = vdev.name.to_owned();
        for (key, kind, value) in vdev.arguments {
            let folder = match kind {
                Kind::Recording => self.recordings_folder.as_deref(),
                Kind::Socket => self.sockets_folder.as_deref(),
                _ => None,
            };
            let path = folder.filter(|_| is_file_name(value)).map_or_else(|| value.to_owned(), |f| f.join(value).display().to_string());
            let _ = write!(resolved, ",{key}={path}");
        }
        Device::Vdev(resolved)
    }

    /// The files that a device of a document names inside the folders: whole path, and whether it is a socket.
    pub fn inside(&self, device: &Device) -> Vec<(PathBuf, bool)> {
        let Device::Vdev(text) = device else { return Vec::new() };
        let Ok(vdev) = Vdev::parse(text) else { return Vec::new() };
        let named = vdev.arguments.iter().filter(|(_, _, value)| is_file_name(value));
        let found = named.filter_map(|(_, kind, value)| match kind {
            Kind::Recording => Some((self.recordings_folder.as_ref()?.join(value), false)),
            Kind::Socket => Some((self.sockets_folder.as_ref()?.join(value), true)),
            _ => None,
        });
        found.collect()
    }

    /// What addresses are looked up in, with the folder that names are in.
    pub fn sources(&self, live: &Live) -> Sources {
        Sources { folder: self.databases_folder.clone(), ..live.enrichment.clone() }
    }

    /// What stands instead of a file of `live.enrichment` that may not be named: the name of the same file inside the folder, or nothing.
    pub(crate) fn instead(&self, file: &str) -> Option<String> {
        if self.database(file) {
            return None;
        }
        let path = Path::new(file);
        let inside = path.parent().is_some_and(|parent| Some(parent) == self.databases_folder.as_deref());
        let name = path.file_name().and_then(|name| name.to_str()).filter(|name| inside && is_file_name(name));
        Some(name.unwrap_or_default().to_owned())
    }

    /// What `boot.eal.extra_args` must be.
    pub(crate) fn extra_args(&self) -> &[String] {
        &self.extra_args
    }
}

/// The files of `live.enrichment`, by field.
pub(crate) fn fields(enrichment: &v1::Enrichment) -> [(&'static str, &String); 4] {
    [
        ("asn_database", &enrichment.asn_database),
        ("country_database", &enrichment.country_database),
        ("city_database", &enrichment.city_database),
        ("bgp_rib", &enrichment.bgp_rib),
    ]
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
