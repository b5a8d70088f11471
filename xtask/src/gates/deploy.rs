//! Checks what operators deploy: nothing in it opens a service, and no key gets into a queue.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::files;

/// What a queue's message may take from a request. Everything else of a request could be a key.
const SENT: [&str; 3] = ["$request.body", "${request.header.content-type}", KEY_ID];
/// The id of the key, from the gateway's authoriser.
const KEY_ID: &str = "${context.authorizer.key}";

/// Finds what opens a service, or lets a stranger or a key into a queue.
pub(super) fn problems(deploy: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for path in files(deploy)? {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if opens(&text) {
            let name = path.strip_prefix(deploy).unwrap_or(&path).display();
            problems.push(format!("deploy/{name} opens a service: only an operator's own configuration may"));
        }
    }
    let template = deploy.join("lambda/template.yaml");
    let template = fs::read_to_string(&template).with_context(|| format!("cannot read {}", template.display()))?;
    let queues = queue_problems(&resources(&template));
    problems.extend(queues.into_iter().map(|problem| format!("deploy/lambda/template.yaml: {problem}")));
    Ok(problems)
}

/// Whether the text sets `open`, in JSON, YAML or TOML, as it is or quoted within another language. Comments count:
/// people copy them.
fn opens(text: &str) -> bool {
    let is_between = |c: char| c.is_whitespace() || "\"'\\#".contains(c);
    text.match_indices("open").any(|(at, open)| {
        let is_whole = !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        let value = text[at + open.len()..].trim_start_matches(is_between).strip_prefix([':', '=']);
        is_whole && value.is_some_and(|value| value.trim_start_matches(is_between).starts_with("true"))
    })
}

/// The lines of each resource of a CloudFormation template, without comments.
fn resources(template: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut resources: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let lines = template.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
    let lines = lines.skip_while(|line| *line != "Resources:").skip(1).take_while(|line| line.starts_with(' '));
    let mut name = "";
    for line in lines {
        match line.strip_prefix("  ").and_then(|line| line.strip_suffix(':')) {
            Some(resource) if !resource.starts_with(' ') => name = resource,
            _ => resources.entry(name).or_default().push(line.trim()),
        }
    }
    resources
}

/// A property of a resource whose value is on the same line.
fn property<'t>(resource: &[&'t str], name: &str) -> Option<&'t str> {
    resource.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn queue_problems(resources: &BTreeMap<&str, Vec<&str>>) -> Vec<String> {
    let of_type = |name: &'static str| {
        resources
            .iter()
            .filter(move |(_, resource)| property(resource, "Type") == Some(name))
            .map(|(name, it)| (*name, it))
    };
    let mut problems = Vec::new();
    // All of SAM's routes lead to functions, which look at keys themselves.
    let mut targets = Vec::new();
    for (name, route) in of_type("AWS::ApiGatewayV2::Route") {
        targets.extend(property(route, "Target"));
        let authorizer = property(route, "AuthorizerId").and_then(|id| resources.get(id.strip_prefix("!Ref ")?));
        let is_authorized = property(route, "AuthorizationType") == Some("CUSTOM")
            && authorizer.is_some_and(|it| {
                property(it, "Type") == Some("AWS::ApiGatewayV2::Authorizer")
                    && property(it, "IdentitySource") == Some("[$request.header.authorization]")
                    && property(it, "AuthorizerUri").is_some()
            });
        if !is_authorized {
            problems.push(format!("{name}: the gateway lets everybody into this route"));
        }
    }
    let mut queues = 0;
    for (name, integration) in of_type("AWS::ApiGatewayV2::Integration") {
        let text = integration.join(" ");
        problems.extend(
            mentions(&text)
                .filter(|mention| !SENT.contains(mention))
                .map(|mention| format!("{name}: {mention} may hold a key and gets into the queue")),
        );
        if !text.contains(KEY_ID) {
            problems.push(format!("{name}: the message does not say whose it is: {KEY_ID}"));
        }
        queues += usize::from(targets.contains(&format!("!Sub integrations/${{{name}}}").as_str()));
    }
    if queues == 0 {
        problems.push("no route leads to a queue: is the template written in another way?".to_owned());
    }
    problems
}

/// What a text takes from the gateway: `$request.body`, `${context.authorizer.key}`.
fn mentions(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('$').map(|(at, _)| {
        let mention = &text[at..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || "$_.-[]".contains(c);
        match mention.strip_prefix("${") {
            Some(inner) => &mention[..inner.find('}').map_or(mention.len(), |end| end + 3)],
            None => &mention[..mention.find(|c| !is_part(c)).unwrap_or(mention.len())],
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::tree_of;

    const TEMPLATE: &str = include_str!("../../../deploy/lambda/template.yaml");

    #[track_caller]
    fn check(template: &str, expected: &[&str]) {
        let tree = tree_of(&[("lambda/template.yaml", template)]);
        let found = problems(tree.path()).unwrap();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        assert!(found.iter().zip(expected).all(|(found, part)| found.contains(part)), "{found:?}");
    }

    #[test]
    fn what_is_deployed_is_closed() {
        assert_eq!(problems(&crate::paths::root().join("deploy")).unwrap(), [""; 0]);
    }

    #[test]
    fn what_opens_a_service_is_found() {
        for open in [
            r#"ISOTHERM_CONFIG: '{"version": 2, "open": true}'"#,
            r#"ENV ISOTHERM_CONFIG="{\"open\":true}""#,
            "# such as {\"open\":\n#  true}",
            "name = x\nopen = true",
            "open: true",
        ] {
            let tree = tree_of(&[("lambda/template.yaml", TEMPLATE), ("native/Dockerfile", open)]);
            let found = problems(tree.path()).unwrap();
            assert!(found.len() == 1 && found[0].starts_with("deploy/native/Dockerfile opens"), "{open}: {found:?}");
        }
        assert!(!opens("an open service has no operator; reopen: true; \"open\": false"));
    }

    #[test]
    fn a_queue_route_without_an_authoriser_is_found() {
        let everybody = ["QueueBatchRoute: the gateway lets everybody", "QueueEventRoute: the gateway lets everybody"];
        check(&TEMPLATE.replace("AuthorizationType: CUSTOM", "AuthorizationType: NONE"), &everybody);
        check(&TEMPLATE.replace("      AuthorizerId: !Ref QueueKeys\n", ""), &everybody);
        check(&TEMPLATE.replace("!Ref QueueKeys", "!Ref Queue"), &everybody);
        check(&TEMPLATE.replace("[$request.header.authorization]", "[$request.header.content-type]"), &everybody);
        check(&TEMPLATE.replacen("AuthorizationType: CUSTOM", "AuthorizationType: NONE", 1), &everybody[1..]);
    }

    #[test]
    fn a_key_in_a_message_is_found() {
        let key = ["QueueBatch: ${request.header.authorization} may", "QueueBatch: the message does not say"]
            .into_iter()
            .chain(["QueueEvent: ${request.header.authorization} may", "QueueEvent: the message does not say"]);
        check(&TEMPLATE.replace(KEY_ID, "${request.header.authorization}"), &key.collect::<Vec<_>>());
        let whole = ["QueueBatch: $request.header.x-key may", "QueueEvent: $request.header.x-key may"];
        check(&TEMPLATE.replace("MessageBody: $request.body", "MessageBody: $request.header.x-key"), &whole);
    }

    #[test]
    fn a_template_without_queues_is_found() {
        check("Resources:\n  Api:\n    Type: AWS::Serverless::HttpApi\n", &["no route leads to a queue"]);
    }
}
