//! The worker's contract with the page, closed: an unknown kind is an error on either side.
//!
//! The worker speaks first ([`FromWorker::Ready`]); what the page posts before its WebAssembly has loaded is dropped.

use serde::{Deserialize, Serialize};

/// What the worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromWorker {
    /// The worker listens from now on.
    Ready,
    /// The kernels ran on `device` and agreed with their CPU twins to within `max_error`.
    SelfCheckPassed { device: String, max_error: f64 },
    /// Something did not work; `message` says what, and what to do.
    Failed { message: String },
}

/// What the worker can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToWorker {
    /// Run one kernel forward and backward on WebGPU and compare it with its CPU twin.
    SelfCheck,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_the_object_the_page_waits_for() {
        let json = serde_json::to_string(&FromWorker::Ready).unwrap();
        assert_eq!(json, r#"{"event":"ready"}"#);
    }

    #[test]
    fn commands_are_read_by_name_and_unknown_ones_refused() {
        let check: ToWorker = serde_json::from_str(r#"{"command":"self_check"}"#).unwrap();
        assert_eq!(check, ToWorker::SelfCheck);
        assert!(serde_json::from_str::<ToWorker>(r#"{"command":"dance"}"#).is_err());
    }
}
