//! Checks what operators deploy: nothing in it opens a service, and no key gets into a queue.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::files;

/// What a queue's message may take from a request. Everything else of a request could be a key.
const SENT: [&str; 3] = ["$request.body", "${request.header.content-type}", KEY_ID];
/// What names an integration that several routes share.
const SHARED: &str = "#/components/x-amazon-apigateway-integrations/";
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
    let queues = queue_problems(&template);
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

/// The blocks below a heading of a YAML text, by their keys, without comments.
fn blocks<'t>(text: &'t str, heading: &str) -> BTreeMap<&'t str, Vec<&'t str>> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut blocks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty());
    let mut lines = lines.skip_while(|line| line.trim() != heading);
    let outer = lines.next().map_or(0, indent);
    let mut key = "";
    for line in lines.take_while(|line| indent(line) > outer) {
        match line.trim().strip_suffix(':') {
            Some(name) if indent(line) == outer + 2 => key = name,
            _ => blocks.entry(key).or_default().push(line.trim()),
        }
    }
    blocks
}

fn queue_problems(template: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, resource) in blocks(template, "Resources:") {
        if resource.contains(&"Type: AWS::ApiGatewayV2::Route") {
            problems.push(format!("{name}: a route beside the API's definition vanishes whenever that changes"));
        }
    }
    let schemes = blocks(template, "securitySchemes:");
    let is_authorizer = |scheme: &Vec<&str>| {
        let has = |part: &str| scheme.iter().any(|line| line.starts_with(part));
        has("x-amazon-apigateway-authorizer:")
            && has("authorizerUri: ")
            && has("identitySource: $request.header.authorization")
    };
    let has_authorizer = schemes.get("keys").is_some_and(is_authorizer);
    let shared = blocks(template, "x-amazon-apigateway-integrations:");
    let is_function = |line: &&str| {
        let name = line.split_once(SHARED).and_then(|(_, rest)| rest.split('"').next());
        let integration = name.and_then(|name| shared.get(name));
        integration.is_some_and(|lines| lines.iter().any(|line| line.starts_with("uri: ") && line.contains(":lambda:")))
    };
    let mut queues = 0;
    for (path, operation) in blocks(template, "paths:") {
        // Functions look at keys themselves.
        if operation.iter().any(is_function) {
            continue;
        }
        queues += 1;
        if !has_authorizer || !operation.contains(&"security: [{ keys: [] }]") {
            problems.push(format!("{path}: the gateway lets everybody into this route"));
        }
        // What the rest takes from AWS is no part of a request.
        let parameters = operation.iter().skip_while(|line| **line != "requestParameters:");
        let text = parameters.copied().collect::<Vec<_>>().join(" ");
        problems.extend(
            mentions(&text)
                .filter(|mention| !SENT.contains(mention))
                .map(|mention| format!("{path}: {mention} may hold a key and gets into the queue")),
        );
        if !text.contains(KEY_ID) {
            problems.push(format!("{path}: the message does not say whose it is: {KEY_ID}"));
        }
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
        let everybody =
            ["/queue/events: the gateway lets everybody", "/queue/events/batch: the gateway lets everybody"];
        check(&TEMPLATE.replace("security: [{ keys: [] }]", "security: []"), &everybody);
        check(
            &TEMPLATE.replace("identitySource: $request.header.authorization", "identitySource: $request.path"),
            &everybody,
        );
        check(&TEMPLATE.replace("authorizerUri: ", "authorizerUrl: "), &everybody);
        check(&TEMPLATE.replacen("security: [{ keys: [] }]", "security: []", 1), &everybody[..1]);
    }

    #[test]
    fn a_route_to_what_is_no_function_is_found() {
        let problems = ["/events: the gateway lets everybody", "/events: the message does not say"];
        let ingest = "x-amazon-apigateway-integrations/ingest";
        check(&TEMPLATE.replacen(ingest, "x-amazon-apigateway-integrations/nothing", 1), &problems);
    }

    #[test]
    fn a_route_beside_the_definition_is_found() {
        let route = "Resources:\n  Beside:\n    Type: AWS::ApiGatewayV2::Route\n\n";
        check(&TEMPLATE.replacen("Resources:\n", route, 1), &["Beside: a route beside the API's definition"]);
    }

    #[test]
    fn a_key_in_a_message_is_found() {
        let key = [
            "/queue/events: ${request.header.authorization} may",
            "/queue/events: the message does not say",
            "/queue/events/batch: ${request.header.authorization} may",
            "/queue/events/batch: the message does not say",
        ];
        check(&TEMPLATE.replace(KEY_ID, "${request.header.authorization}"), &key);
        let whole = ["/queue/events: $request.header.x-key may", "/queue/events/batch: $request.header.x-key may"];
        check(&TEMPLATE.replace("MessageBody: $request.body", "MessageBody: $request.header.x-key"), &whole);
    }

    #[test]
    fn a_template_without_queues_is_found() {
        check("Resources:\n  Api:\n    Type: AWS::Serverless::HttpApi\n", &["no route leads to a queue"]);
    }
}
