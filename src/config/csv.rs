//! Lines of CSV, as buildx takes secrets and caches. Part of the first step of the way, from arguments, environment and
//! configuration to options.

/// The fields of a line of CSV: a field in quotes may hold commas, and two quotes for one. Nothing where a quote stands
/// elsewhere.
pub(super) fn csv_fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            None => {
                let (field, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                (Some(field.to_owned()).filter(|field| !field.contains('"'))?, after)
            }
            Some(quoted) => {
                let mut end = quoted.find('"')?;
                while quoted[end..].starts_with("\"\"") {
                    end += 2 + quoted[end + 2..].find('"')?;
                }
                (quoted[..end].replace("\"\"", "\""), &quoted[end + 1..])
            }
        };
        fields.push(field);
        if after.is_empty() {
            return Some(fields);
        }
        rest = after.strip_prefix(',')?;
    }
}

/// The fields as a line of CSV.
pub(super) fn csv_line(fields: &[String]) -> String {
    let quoted = |field: &String| {
        if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.clone() }
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",")
}
