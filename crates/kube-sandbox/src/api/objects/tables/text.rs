//! Cells that many kinds share.

use jiff::Timestamp;
use serde_json::Value;

use crate::meta::object;

pub(super) const NONE: &str = "<none>";
const UNKNOWN: &str = "<unknown>";

pub(super) fn name(object: &Value) -> Value {
    object::name(object).into()
}

/// Time since the object was created.
pub(super) fn age(object: &Value) -> Value {
    since(&object["metadata"]["creationTimestamp"]).into()
}

/// Time since a timestamp.
pub(super) fn since(timestamp: &Value) -> String {
    let Some(then) = timestamp
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok())
    else {
        return UNKNOWN.to_owned();
    };
    duration(Timestamp::now().as_second() - then.as_second())
}

/// Seconds as `k8s.io/apimachinery/pkg/util/duration.HumanDuration` shows them: fewer digits the longer it is.
pub(super) fn duration(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, unit: char, small: i64, small_unit: char| {
        if small == 0 {
            format!("{large}{unit}")
        } else {
            format!("{large}{unit}{small}{small_unit}")
        }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, 'd', hours % 24, 'h'),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => two(days / 365, 'y', days % 365, 'd'),
        _ => format!("{}y", days / 365),
    }
}

/// A field's text, or `<none>`.
pub(super) fn or_none(value: &Value) -> Value {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .unwrap_or(NONE)
        .into()
}

/// A field's text, or nothing.
pub(super) fn plain(value: &Value) -> Value {
    value.as_str().unwrap_or_default().into()
}

/// A count that is left out when zero.
pub(super) fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// `a=1,b=2`, or `<none>`.
pub(super) fn labels(labels: &Value) -> Value {
    let terms: Vec<_> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if terms.is_empty() {
        NONE.into()
    } else {
        terms.join(",").into()
    }
}

/// One field of every container of a pod specification.
pub(super) fn containers(pod_spec: &Value, field: &str) -> Value {
    let list = pod_spec["containers"].as_array().into_iter().flatten();
    list.filter_map(|container| container[field].as_str())
        .collect::<Vec<_>>()
        .join(",")
        .into()
}

/// `RWO,ROX`
pub(super) fn access_modes(modes: &Value) -> Value {
    let short = |mode: &Value| match mode.as_str() {
        Some("ReadWriteOnce") => "RWO",
        Some("ReadOnlyMany") => "ROX",
        Some("ReadWriteMany") => "RWX",
        Some("ReadWriteOncePod") => "RWOP",
        _ => "",
    };
    modes
        .as_array()
        .into_iter()
        .flatten()
        .map(short)
        .collect::<Vec<_>>()
        .join(",")
        .into()
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn ages_lose_digits_as_they_grow() {
        let shown = [
            5, 119, 125, 599, 3600, 10_800, 20_000, 100_000, 200_000, 864_000, 70_000_000,
        ]
        .map(duration);
        assert_eq!(
            shown,
            [
                "5s", "119s", "2m5s", "9m59s", "60m", "3h", "5h33m", "27h", "2d7h", "10d", "2y80d"
            ]
        );
    }
}
