//! Messages to the browser's worker, as JSON: the worker itself reads the same types.

use evenkeel_core::event::Command;

/// Nothing that is not a command is taken for one: the page's worker tells what it was instead.
#[test]
fn malformed_commands_are_no_commands() {
    let sound = r#"{"command":"set","path":"ppo.kl_coef","value":0.1}"#;
    assert!(serde_json::from_str::<Command>(sound).is_ok());
    let bad = [
        ("", "EOF"),
        ("pause", "expected value"),
        ("null", "invalid type"),
        ("7", "invalid type"),
        ("[]", "missing field `command`"),
        ("{}", "missing field `command`"),
        (r#"{"command":"explode"}"#, "unknown variant `explode`"),
        (r#"{"command":7}"#, "invalid type"),
        (r#"{"command":null}"#, "invalid"),
        (r#"{"event":"ready"}"#, "missing field `command`"),
        (r#"{"command":"go","stage":"sft","now":true}"#, "unknown field `now`"),
        (r#"{"command":"pause","command":"stop"}"#, "duplicate field"),
        (r#"{"command":"set","path":"ppo.kl_coef"}"#, "missing field `value`"),
        (r#"{"command":"set","path":"ppo.kl_coef","value":"0.1"}"#, "invalid type"),
        (r#"{"command":"set","path":"ppo.kl_coef","value":null}"#, "invalid type"),
        (r#"{"command":"set","path":7,"value":0.1}"#, "invalid type"),
        (r#"{"command":"set","path":"a","value":1e400}"#, "out of range"),
        (r#"{"command":"go"}"#, "missing field `stage`"),
        (r#"{"command":"rank","index":-1,"order":[]}"#, "invalid value"),
        (r#"{"command":"rank","index":1,"order":[0.5]}"#, "invalid type"),
        (r#"{"command":"rank","index":1,"order":"0,1"}"#, "invalid type"),
        (r#"{"command":"fork","run":"ppo","step":18446744073709551616,"kl_coef":0}"#, "invalid type"),
        (r#"{"command":"chat","id":1,"model":"sft","prompt":"a","temperature":0.7}"#, "missing field `seed`"),
        (r#"{"command":"train"}"#, "missing field `resume`"),
        (r#"{"command":"train","resume":"yes"}"#, "invalid type"),
        (r#"{"command":"open","plan":{},"device":"cpu","resume":false}"#, "missing field `seed`"),
        (r#"{"command":"estimate","recipe":{},"model":[{"name":"a"}],"data":{"name":"b","bytes":[]}}"#, "missing field `bytes`"),
        (r#"{"command":"estimate","recipe":{},"model":[],"data":{"name":"b","bytes":[256]}}"#, "invalid value"),
        (r#"{"command":"stop"} {"command":"stop"}"#, "trailing characters"),
    ];
    let mut wrong = Vec::new();
    for (message, problem) in bad {
        match serde_json::from_str::<Command>(message) {
            Ok(command) => wrong.push(format!("{message} was taken for {command:?}")),
            Err(error) if error.to_string().contains(problem) => {}
            Err(error) => wrong.push(format!("{message}: `{problem}` is not in: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
