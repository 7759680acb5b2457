//! Amounts of storage as manifests write them (`resource.Quantity`), in whole bytes.

/// Binary units from the smallest one, 1024 times the one before each.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 6] = ["k", "M", "G", "T", "P", "E"];

/// The bytes of a quantity such as `10Gi` or `500M`, rounded up; none when it is no such thing.
pub(crate) fn bytes(quantity: &str) -> Option<u64> {
    let digits = quantity
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(digits);
    let position = |units: [&str; 6]| units.iter().position(|one| *one == unit);
    let factor = match (unit, position(BINARY), position(DECIMAL)) {
        ("", ..) => 1,
        (_, Some(power), _) => 1024_u128.pow(u32::try_from(power).ok()? + 1),
        (_, _, Some(power)) => 1000_u128.pow(u32::try_from(power).ok()? + 1),
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let scaled: u128 = format!("{whole}{fraction}").parse().ok()?;
    u64::try_from(scaled.checked_mul(factor)?.div_ceil(scale)).ok()
}

/// Bytes in the largest binary unit that takes no fraction.
pub(crate) fn binary(bytes: u64) -> String {
    let mut amount = bytes;
    let mut unit = "";
    for next in BINARY {
        if amount == 0 || !amount.is_multiple_of(1024) {
            break;
        }
        amount /= 1024;
        unit = next;
    }
    format!("{amount}{unit}")
}

#[cfg(test)]
mod tests {
    use super::{binary, bytes};

    #[test]
    fn quantities_are_bytes() {
        for (quantity, expected) in [
            ("10Gi", Some(10_737_418_240)),
            ("1.5Ki", Some(1536)),
            ("500M", Some(500_000_000)),
            ("7", Some(7)),
            ("0.1k", Some(100)),
            ("", None),
            ("Gi", None),
            ("10 GB", None),
            ("99999999999Ei", None),
        ] {
            assert_eq!(bytes(quantity), expected, "{quantity}");
        }
    }

    #[test]
    fn bytes_are_shown_in_the_unit_that_fits() {
        let shown = [10_737_418_240, 1536, 1_000_000_000, 0].map(binary);
        assert_eq!(shown, ["10Gi", "1536", "1000000000", "0"]);
    }
}
