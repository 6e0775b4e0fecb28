//! Declared tools: what is accepted, and every reason why something is not.

use crate::config::{Level, read};

fn lines(tools: &str) -> Vec<String> {
    let outcome = read(&format!("{{tools: {tools}}}"), &|_| None);
    let mark = |level| if level == Level::Error { "! " } else { "" };
    outcome.findings.iter().map(|finding| format!("{}{finding}", mark(finding.level))).collect()
}

fn check(tools: &str, expected: &[&str]) {
    assert_eq!(lines(tools), expected, "{tools}");
}

/// One command with these further keys.
fn command(keys: &str, expected: &[&str]) {
    check(&format!("{{commands: {{x: {{description: 'X', {keys}}}}}}}"), expected);
}

/// One parameter `p` of a command that uses it.
fn parameter(keys: &str, expected: &[&str]) {
    let path = "tools.commands.x.parameters.p";
    let expected: Vec<String> = expected.iter().map(|line| line.replace("@", path)).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let keys = format!("argv: ['/bin/x', '{{p}}'], parameters: {{p: {{{keys}}}}}, required: ['p']");
    command(&keys, &expected);
}

/// One service with these further keys.
fn service(keys: &str, expected: &[&str]) {
    check(&format!("{{http: {{x: {{description: 'X', {keys}}}}}}}"), expected);
}

#[test]
fn the_contracts_own_example_is_accepted() {
    let outcome = read(
        r#"{tools: {
        commands: { wake_nas: {
            description: "Wake the NAS",
            argv: ["/usr/bin/wakeonlan", "-i", "{iface}", "{mac}"],
            parameters: { iface: { type: "string", pattern: "^[0-9.]+$" }, mac: { enum: ["00:11:22:33:44:55"] } },
            required: ["mac"], tier: "act", timeoutMs: 10000, maxOutputBytes: 65536, concurrency: 1, queue: 4,
            env: { LANG: "C" }, cwd: "/", stdin: "none", output: "text" } },
        http: { light_on: {
            description: "Switch a light on", method: "POST",
            url: "http://127.0.0.1:8123/api/services/light/turn_on",
            headers: { Authorization: { prefix: "Bearer ", file: "/etc/toolgate/ha.token" } },
            body: { entity_id: "{entity}" },
            parameters: { entity: { type: "string", pattern: "^light\\.[a-z0-9_]+$" } },
            required: ["entity"], tier: "act", timeoutMs: 10000 } } }}"#,
        &|_| None,
    );
    let found: Vec<String> = outcome.findings.iter().map(ToString::to_string).collect();
    let warning = "tools.commands.wake_nas.argv[2]: a call without iface leaves this argument and \"-i\" before it out; a list of its own, [\"-x\", \"{x}\"], says what goes together";
    assert_eq!(found, [warning]);
    assert!(!outcome.refused());
    let names: Vec<&str> = outcome.config.declared.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["light_on", "wake_nas"]);
    assert_eq!(outcome.config.secrets.len(), 1);
}

#[test]
fn commands() {
    command("argv: ['/bin/true']", &[]);
    let absolute = "! tools.commands.x.argv[0]: the program must be an absolute path without {name}: no PATH and no shell is asked";
    command("argv: ['true']", &[absolute]);
    command("argv: ['/bin/']", &[absolute]);
    command("argv: ['/bin/{p}'], parameters: {p: {}}, required: ['p']", &[absolute]);
    let unknown =
        "! tools.commands.x.argv[1]: {p} is no parameter; declare it in parameters, or write {{p}} for the text itself";
    command("argv: ['/bin/x', '{p}']", &[unknown]);
    command("argv: ['/bin/x', '{{p}}', '{ p }', '{}', '{\"a\":1}']", &[]);
    command(
        "argv: ['/bin/x'], parameters: {p: {}}",
        &["tools.commands.x.parameters.p: goes nowhere: no {name} asks for it"],
    );
    command("argv: ['/bin/x'], parameters: {p: {}}, stdin: 'args'", &[]);
    command("argv: ['/bin/x'], required: ['p']", &["! tools.commands.x.required[0]: \"p\" is none of the parameters"]);
    command("argv: ['/bin/x', '-h', ['-i', '{p}']], parameters: {p: {}}", &[]);
    let mixed = "! tools.commands.x.argv[1]: expected text, or a list of texts that stay or go together";
    command("argv: ['/bin/x', 5]", &[mixed]);
    let missing = "! tools.commands.x.argv: required here: [\"/usr/bin/program\", \"argument\"]";
    command("argv: [['/bin/x']]", &[&mixed.replace("[1]", "[0]"), missing]);
    command("argv: ['/bin/x', 'a\\0b']", &["! tools.commands.x.argv[1]: must not hold a NUL byte"]);
    command("argv: ['/bin/x'], cwd: 'tmp'", &["! tools.commands.x.cwd: expected an absolute path"]);
    command(
        "argv: ['/bin/x'], env: {'1': 'a'}",
        &["! tools.commands.x.env.1: expected the name of an environment variable, such as LANG"],
    );
    command(
        "argv: ['/bin/x'], additionalProperties: true",
        &["! tools.commands.x.additionalProperties: arguments that are not declared are always refused"],
    );
    command("argv: ['/bin/x'], shell: true", &["! tools.commands.x.shell: unknown key \"shell\""]);
    command(
        "argv: ['/bin/x'], timeoutMS: 5",
        &["! tools.commands.x.timeoutMS: unknown key \"timeoutMS\"; did you mean \"timeoutMs\"?"],
    );
    command(
        "argv: ['/bin/x'], limits: {memoryBytes: 5}",
        &["! tools.commands.x.limits.memoryBytes: 5 is out of range; it must be 4194304 to 1099511627776"],
    );
    for name in ["exec", "read", "time_status", "gateway"] {
        let taken = format!("! tools.commands.{name}: {name} is the name of another tool; choose your own");
        check(&format!("{{commands: {{{name}: {{description: 'X', argv: ['/bin/x']}}}}}}"), &[&taken]);
    }
    let both = "{commands: {x: {description: 'X', argv: ['/bin/x']}}, http: {x: {description: 'X', url: 'http://h/'}}}";
    check(both, &["! tools.http.x: a command and a service may not share a name"]);
}

#[test]
fn parameters() {
    parameter("type: 'string', pattern: '^a$', minLength: 1, maxLength: 5", &[]);
    parameter("default: 'a'", &["! @.default: a parameter that every call names needs no default"]);
    parameter("enum: ['a', 'b']", &[]);
    parameter("enum: [1, 2]", &[]);
    parameter("enum: [1, 'b']", &["! @.enum[1]: must be a number"]);
    parameter("enum: []", &["! @.enum: is empty: nothing fits"]);
    parameter("enum: 'a'", &["! @.enum: expected a list of values"]);
    parameter("enum: ['abc'], maxLength: 2", &["! @.enum[0]: must be at most 2 characters"]);
    parameter("type: 'integer', minimum: 5, maximum: 4", &["! @.minimum: is greater than maximum: nothing fits"]);
    parameter("type: 'integer', minimum: 'a'", &["! @.minimum: expected a number"]);
    parameter("type: 'number', minimum: -0.5, maximum: 1e3", &[]);
    parameter("type: 'boolean', pattern: 'a'", &["! @.pattern: means nothing for type boolean"]);
    parameter("minimum: 1", &["! @.minimum: means nothing for type string"]);
    parameter("minLength: 9, maxLength: 8", &["! @.minLength: is greater than maxLength: nothing fits"]);
    parameter("pattern: 5", &["! @.pattern: expected a regular expression in quotes"]);
    parameter("type: 'array'", &["! @.type: \"array\" is not one of boolean, integer, number, string"]);
    let known = "type, description, enum, pattern, minimum, maximum, minLength, maxLength, default, allowDash";
    parameter("format: 'ipv4'", &[&format!("! @.format: unknown key \"format\"; known here: {known}")]);
    assert!(lines("{commands: {x: {description: 'X', argv: ['/bin/x'], parameters: {'a-b': {}}}}}")[0].contains("a-b"));
}

#[test]
fn services() {
    service("url: 'http://h'", &[]);
    service("url: 'http://[::1]:8080/a?b=c'", &[]);
    let place = "! tools.http.x.url: host and port are yours to say: no {name} stands there";
    service("url: 'http://{h}/', parameters: {h: {}}", &[place]);
    service("url: 'http://h:{p}/', parameters: {p: {}}", &[place]);
    let place = "! tools.http.x.url: the URL must name a host, perhaps a port, and no user";
    service("url: 'http://h:0/'", &[place]);
    service("url: 'http://u:p@h/'", &[place]);
    service(
        "url: 'https://h/'",
        &[
            "! tools.http.x.url: https is not spoken: this build has no TLS. Name a plain http port of that server, or put \
            a proxy in front of it that speaks https to it",
        ],
    );
    service("url: 'http://h/a b'", &["! tools.http.x.url: the URL holds a character that must be percent-encoded"]);
    service(
        "url: 'http://h/a#b'",
        &["! tools.http.x.url: what follows # is never sent; percent-encode it, %23, or leave it out"],
    );
    service(
        "url: 'http://h/{p}', parameters: {p: {}}",
        &["! tools.http.x.url: p stands in the path: name it in required, or give it a default"],
    );
    service("url: 'http://h/?q={p}', parameters: {p: {}}", &[]);
    service("url: 'http://h/', body: {}", &["! tools.http.x.body: a GET has no body; name another method"]);
    service(
        "method: 'POST', url: 'http://h/', headers: {Host: 'x'}",
        &["! tools.http.x.headers.Host: no field of that name can be set here"],
    );
    service(
        "method: 'POST', url: 'http://h/', headers: {'a b': 'x'}",
        &["! tools.http.x.headers[\"a b\"]: no field of that name can be set here"],
    );
    service(
        "method: 'POST', url: 'http://h/', headers: {A: {file: 'x'}}",
        &["! tools.http.x.headers.A.file: expected the absolute path of a file, such as /etc/toolgate/token"],
    );
    service(
        "method: 'BREW', url: 'http://h/'",
        &["! tools.http.x.method: \"BREW\" is not one of GET, HEAD, POST, PUT, PATCH, DELETE"],
    );
}
