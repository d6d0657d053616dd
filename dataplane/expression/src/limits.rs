//! Limits of an expression. They hold when it is read.

/// Longest text, in octets.
pub const LENGTH_MAX: usize = 16 << 10;
/// Most parentheses that are open at a time.
pub const DEPTH_MAX: usize = 64;
/// Most conditions.
pub const TESTS_MAX: usize = 512;
/// Most regular expressions, `like` and `ilike` included.
pub const PATTERNS_MAX: usize = 32;
/// Longest regular expression, in octets.
pub const PATTERN_LENGTH_MAX: usize = 1024;
/// Most memory that a regular expression takes when it is compiled, in octets, and again as much while it is used.
pub const PATTERN_MEMORY_MAX: usize = 1 << 20;
