//! Text that C has left.

use core::ffi::c_char;

/// The text of a C array, up to its end.
pub(crate) fn text(from: &[c_char]) -> String {
    let octets: Vec<u8> = from.iter().map(|&c| c.to_ne_bytes()[0]).take_while(|&octet| octet != 0).collect();
    String::from_utf8_lossy(&octets).into_owned()
}

/// The name of a call that the shim has left.
pub(crate) fn literal(call: *const c_char) -> &'static str {
    if call.is_null() {
        return "a call";
    }
    // SAFETY: the shim sets it to string literals only, which live for ever.
    unsafe { core::ffi::CStr::from_ptr(call) }.to_str().unwrap_or("a call")
}
