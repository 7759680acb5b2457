//! Node selectors (`core/v1 NodeSelector`): which nodes a pod, or a volume, asks for.

use serde_json::Value;

use crate::meta::object;

/// Whether a node fulfils one of the selector's terms; a selector that is missing asks for nothing.
pub(super) fn selects(selector: &Value, node: &Value) -> bool {
    let Some(terms) = selector["nodeSelectorTerms"].as_array() else {
        return true;
    };
    terms.iter().any(|term| {
        let requirements = |field: &str| term[field].as_array().cloned().unwrap_or_default();
        let (labels, fields) = (
            requirements("matchExpressions"),
            requirements("matchFields"),
        );
        // A term without requirements matches no node.
        let is_empty = labels.is_empty() && fields.is_empty();
        !is_empty
            && labels.iter().all(|one| {
                let key = one["key"].as_str().unwrap_or_default();
                fulfils(one, node["metadata"]["labels"][key].as_str())
            })
            && fields
                .iter()
                .all(|one| one["key"] == "metadata.name" && fulfils(one, Some(object::name(node))))
    })
}

fn fulfils(requirement: &Value, label: Option<&str>) -> bool {
    let mut values = requirement["values"].as_array().into_iter().flatten();
    let number = |value: Option<&str>| value.and_then(|text| text.parse::<i64>().ok());
    match requirement["operator"].as_str() {
        Some("In") => label.is_some_and(|label| values.any(|value| value == label)),
        Some("NotIn") => label.is_none_or(|label| values.all(|value| value != label)),
        Some("Exists") => label.is_some(),
        Some("DoesNotExist") => label.is_none(),
        Some(order @ ("Gt" | "Lt")) => number(label)
            .zip(number(values.next().and_then(Value::as_str)))
            .is_some_and(|(label, limit)| {
                if order == "Gt" {
                    label > limit
                } else {
                    label < limit
                }
            }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::selects;

    #[test]
    fn a_node_is_selected_by_its_labels_and_name() {
        let node = json!({"metadata": {"name": "node1", "labels": {"zone": "a", "cores": "8"}}});
        let expression = |key: &str, operator: &str, values: &[&str]| json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]});
        for (selector, selected) in [
            (json!(null), true),
            (json!({"nodeSelectorTerms": [{}]}), false),
            (expression("zone", "In", &["a", "b"]), true),
            (expression("zone", "NotIn", &["a"]), false),
            (expression("rack", "NotIn", &["a"]), true),
            (expression("rack", "Exists", &[]), false),
            (expression("rack", "DoesNotExist", &[]), true),
            (expression("cores", "Gt", &["4"]), true),
            (expression("cores", "Lt", &["4"]), false),
            (
                json!({"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node2"]}]}]}),
                false,
            ),
        ] {
            assert_eq!(selects(&selector, &node), selected, "{selector}");
        }
    }
}
