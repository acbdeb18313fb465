//! Chat templates that cannot be read, fail, or do not come to an end.

use std::fs;

use super::{Case, SFT, both, tiny};

/// Rows of a chat; only they need a template.
const CHAT: &str = r#"{"messages": [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c d"}]}"#;
/// Two of the longest texts that a template can make.
const LONG: &str = "{% set x = 'a' * 20000000 %}{% set y = 'a' * 20000000 %}";
const SOUND: &str = "{% for m in messages %}{{ m.content }} {% endfor %}";

pub fn cases() -> Vec<Case> {
    let mut cases = unreadable();
    cases.extend(refusing());
    cases.extend(endless());
    cases.extend(misfits());
    cases
}

/// `template` meets these rows.
fn over(name: &str, rows: &'static str, template: impl Into<Vec<u8>>, says: &[&str]) -> Case {
    let template: Vec<u8> = template.into();
    Case::new(name, SFT, says, move |at| {
        tiny::all(at);
        tiny::rows(at, rows);
        fs::write(at.join("m/chat_template.jinja"), &template).unwrap();
    })
}

fn at_row(name: &str, template: &str, says: &[&str]) -> Case {
    over(name, CHAT, template, &both(&["rows.jsonl:1: m: chat template: "], says))
}

fn unreadable() -> Vec<Case> {
    let case = |name: &str, template: &str| at_row(name, template, &["cannot be read", "correct the template"]);
    vec![
        case("a block that does not close", "{% for m in messages %}{{ m.content }}"),
        case("an expression that does not close", "{{ messages[0].content"),
        case("a block of no width", "{%}"),
        case("a tag of no kind", "{% repeat %}x{% endrepeat %}"),
        case("an end without a beginning", "{% endfor %}"),
        case("an operator without an operand", "{{ 1 + }}"),
        case("text that does not close", "{{ 'a }}"),
        case("generation without an end", "{% generation %}{{ messages[0].content }}"),
        case("brackets deeper than anybody writes", &format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000))),
        case("blocks deeper than anybody writes", &"{% if true %}".repeat(10_000)),
        over("broken UTF-8", CHAT, b"{{ messages }}\xFF".to_vec(), &["m/chat_template.jinja: not valid UTF-8 at byte 15"]),
        Case::new("a folder", SFT, &["m/chat_template.jinja: cannot be read", "is a directory"], |at| {
            tiny::all(at);
            fs::create_dir(at.join("m/chat_template.jinja")).unwrap();
        }),
        Case::new("none", SFT, &["rows.jsonl:1: m: the tokenizer has no chat template", "set a template"], |at| {
            tiny::all(at);
            tiny::rows(at, CHAT);
        }),
    ]
}

fn refusing() -> Vec<Case> {
    let case = |name: &str, template: &str, says: &[&str]| {
        at_row(name, template, &both(&["refuses this chat", "change the messages to what the template takes"], says))
    };
    vec![
        case("it raises", "{{ raise_exception('only one turn') }}", &["(only one turn)"]),
        case("it raises over two lines", "{{ raise_exception('one\\nerror: two') }}", &["(one error: two)"]),
        case("it raises a megabyte", "{{ raise_exception('x' * 1000000) }}", &["xxx … xxx"]),
        case("it raises nothing", "{{ raise_exception() }}", &[]),
        case("a filter that there is not", "{{ messages | shout }}", &["shout"]),
        case("a function that there is not", "{{ shout(messages) }}", &["shout"]),
        case("a test that there is not", "{{ messages is shouted }}", &["shouted"]),
        case("a method that there is not", "{{ 'a'.shout() }}", &["shout"]),
        case("a part of what there is not", "{{ persona.name }}", &[]),
        case("text and a number", "{{ 'a' + 1 }}", &[]),
        case("a division by zero", "{{ 1 // 0 }}", &["unable to calculate 1 // 0"]),
        case("a date that cannot be written", "{{ strftime_now('%Q') }}", &["`%Q` has a code that is not supported"]),
        case("another file", "{% include '/etc/passwd' %}", &["/etc/passwd"]),
        case("a file that it extends", "{% extends '../base' %}", &["base"]),
        case("itself", "x{% include 'chat' %}", &["non-existing template 'chat'"]),
        case(
            "a namespace that holds itself",
            "{% set n = namespace() %}{% set n.s = [n] %}{{ n }}",
            &["a namespace is put into a namespace"],
        ),
        case("a filter of minijinja's alone", "{{ messages | chain(messages) }}", &["filter chain is unknown"]),
        case("a file that it imports", "{% import 'macros' as m %}{{ m.turn() }}", &["macros"]),
        case("a range without end", "{% for i in range(1000000000000) %}x{% endfor %}", &["too many elements"]),
    ]
}

fn endless() -> Vec<Case> {
    let case = |name: &str, template: &str| at_row(name, template, &["does not come to an end", "correct its loops"]);
    let recursive = |name: &str, template: &str| at_row(name, template, &["refuses this chat", "recursion"]);
    let grown = |name: &str, times: usize, step: &str, shown: &str| {
        let grows = format!("{{% set n = namespace(s=[1]) %}}{{% for i in range({times}) %}}{{% set n.s = {step} %}}{{% endfor %}}");
        case(name, &format!("{grows}{{{{ n.s | {shown} }}}}"))
    };
    let again = |name: &str, step: &str, of: &str| {
        let name = format!("{name} again and again");
        case(&name, &format!("{{% set x = {of} %}}{{% for i in range(99999) %}}{{% set y = {step} %}}{{% endfor %}}"))
    };
    let nested = |depth: usize, body: &str| {
        let open: String = (0..depth).map(|i| format!("{{% for i{i} in range(10000) %}}")).collect();
        format!("{open}{body}{}", "{% endfor %}".repeat(depth))
    };
    vec![
        case("loops within loops", &nested(4, "")),
        case("loops that write", &nested(3, "all work and no play")),
        case("text that doubles", "{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}"),
        grown("a list that doubles", 24, "n.s + n.s", "join"),
        grown("a list that doubles and is only measured", 60, "n.s + n.s", "length"),
        grown("a list that holds itself twice", 60, "[n.s, n.s]", "length"),
        grown("a list that holds itself twice, as JSON", 60, "[n.s, n.s]", "tojson"),
        grown("a list that holds itself twice, as text", 60, "(n.s, n.s)", "string"),
        grown("a map that holds itself twice", 60, "{'a': n.s, 'b': n.s}", "pprint"),
        grown("pairs of pairs", 60, "n.s | zip(n.s)", "list"),
        grown("a list within lists", 99_999, "[n.s]", "tojson"),
        grown("a slice of a slice", 99_999, "n.s[:]", "list"),
        grown("a list times one", 99_999, "n.s * 1", "list"),
        case("lists of many lists", "{{ ([[1] * 99999] * 99999) | tojson }}"),
        case("lists of many lists as text", "{{ ([[1] * 99999] * 99999) ~ '' }}"),
        again("a long list counted", "x.count(1)", "range(99999) | list"),
        again("a long list as text", "x ~ ''", "range(99999) | list"),
        again("a long text's last letter", "x[-1:]", "'a' * 20000000"),
        case("a macro that doubles a list", "{% macro f(x, n) %}{{ f([x, x], n - 1) if n else x ~ '' }}{% endmacro %}{{ f(1, 60) }}"),
        case("a field wider than anybody writes", "{{ '{:>10000000000}'.format(1) }}"),
        case(
            "long texts compared again and again",
            &format!("{LONG}{{% for i in range(99999) %}}{{% if x == y %}}{{% endif %}}{{% endfor %}}"),
        ),
        case(
            "a long key again and again",
            &format!("{LONG}{{% set d = {{x: 1}} %}}{{% for i in range(99999) %}}{{% set z = d[y] %}}{{% endfor %}}"),
        ),
        case(
            "text that is captured again and again",
            "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s %}{{ n.s }}{{ n.s }}{% endset %}{% endfor %}",
        ),
        case("too much of one letter", "{{ 'x' * 100000000000 }}"),
        case("much of one letter again and again", &nested(1, "{{ 'x' * 1000000 }}")),
        recursive("a macro that calls itself", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
        recursive(
            "two macros that call each other",
            "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
        ),
        recursive("a loop that calls itself", "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}"),
    ]
}

fn misfits() -> Vec<Case> {
    let changes = "changes earlier text when message 2 is added";
    let open = r#"{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "completion": [{"role": "assistant", "content": "c"}]}"#;
    let mark = "{\"messages\": [{\"role\": \"user\", \"content\": \"a \u{FDD0}\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}";
    vec![
        at_row(
            "text that depends on the last message",
            "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}",
            &[changes],
        ),
        over("the message to go on with is left out", open, "{{ messages[0].content }}", &["leaves out the final message"]),
        over("a character that marks spans", mark, SOUND, &["a message contains U+FDD0 or U+FDD1", "remove these"]),
    ]
}
