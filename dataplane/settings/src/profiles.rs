//! The hardware profiles Sonde ships, embedded: `--profile virtual` works without any file.

/// Name (the file's, without `.toml`) and text of each profile. The first is the default.
pub const PROFILES: &[(&str, &str)] = &[
    ("virtual", include_str!("../../../hw-profiles/virtual.toml")),
    ("intel-e810-100g", include_str!("../../../hw-profiles/intel-e810-100g.toml")),
    ("intel-xl710", include_str!("../../../hw-profiles/intel-xl710.toml")),
    ("intel-82599", include_str!("../../../hw-profiles/intel-82599.toml")),
    ("nvidia-connectx6dx", include_str!("../../../hw-profiles/nvidia-connectx6dx.toml")),
];

/// The text of the profile with this name.
pub fn embedded(name: &str) -> Option<&'static str> {
    PROFILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
