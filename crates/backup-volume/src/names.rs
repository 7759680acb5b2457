//! Names of objects.

/// Whether an object can be called that (RFC 1123): then it is one word to a shell, and no option.
pub(crate) fn is_object_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed)
}
