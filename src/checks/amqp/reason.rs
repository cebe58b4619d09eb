//! Maps the reply codes of AMQP 0-9-1 to reasons (section 1.2 of the specification).

use crate::model::Reason;

use super::frame::Close;

impl Close {
    /// The reason for the code, or for RabbitMQ's text if the code is ambiguous.
    ///
    /// The texts contain names of users, queues and virtual hosts, so only their starts and ends
    /// are compared.
    pub(super) fn reason(&self) -> Reason {
        let text = self.text.as_str();
        match self.code {
            // Not allowed: a virtual host that is missing, full, or closed to this user, and more
            // channels than the user, the node or the connection may have.
            530 if text.ends_with("not found") => Reason::NotServing,
            530 if text.ends_with("is reached") => Reason::Overloaded,
            530 if text.starts_with("NOT_ALLOWED - number of channels opened") => {
                Reason::Overloaded
            }
            530 if text.starts_with("NOT_ALLOWED - negotiated ") => Reason::Protocol,
            403 | 530 => Reason::AuthFailed,
            // Shutting down; no such queue, or its node is away; another connection has the queue
            // for itself; a virtual host that is down.
            320 | 402 | 404 | 405 | 541 => Reason::NotServing,
            311 | 506 => Reason::Overloaded,
            406 => Reason::QueryFailed,
            501..=505 | 540 => Reason::Protocol,
            _ => Reason::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_code_stands_for_a_reason() {
        for (code, text, wanted) in [
            (403, "ACCESS_REFUSED - Login was refused", Reason::AuthFailed),
            (530, "NOT_ALLOWED - vhost nope not found", Reason::NotServing),
            (
                530,
                "NOT_ALLOWED - access to vhost 'not found' refused for user 'is reached'",
                Reason::AuthFailed,
            ),
            (
                530,
                "NOT_ALLOWED - access to vhost '/' refused for user 'app': connection limit (1) is reached",
                Reason::Overloaded,
            ),
            (
                530,
                "NOT_ALLOWED - connection refused for user 'app': user connection limit (1) is reached",
                Reason::Overloaded,
            ),
            (
                530,
                "NOT_ALLOWED - number of channels opened for user 'app' has reached the maximum \
                 allowed user limit of (0)",
                Reason::Overloaded,
            ),
            (
                530,
                "NOT_ALLOWED - number of channels opened (1) has reached the negotiated channel_max (1)",
                Reason::Overloaded,
            ),
            (
                530,
                "NOT_ALLOWED - negotiated frame_max = 1 is lower than the minimum allowed value (4096)",
                Reason::Protocol,
            ),
            (541, "INTERNAL_ERROR - vhost '/' is down", Reason::NotServing),
            (320, "CONNECTION_FORCED - broker forced connection closure", Reason::NotServing),
            (404, "NOT_FOUND - no queue 'orders' in vhost '/'", Reason::NotServing),
            (405, "RESOURCE_LOCKED - cannot obtain exclusive access", Reason::NotServing),
            (406, "PRECONDITION_FAILED - inequivalent arg", Reason::QueryFailed),
            (503, "COMMAND_INVALID", Reason::Protocol),
            (506, "RESOURCE_ERROR", Reason::Overloaded),
            (313, "NO_CONSUMERS", Reason::Other),
        ] {
            let close = Close { code, text: text.to_owned() };
            assert_eq!(close.reason(), wanted, "{text}");
        }
    }
}
