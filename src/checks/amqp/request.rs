//! Encodes the AMQP 0-9-1 methods that this kind sends.

/// What a client sends first (section 4.2.2 of the specification).
pub(super) const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// The type of a frame that holds a method, and the mark of a frame's end.
pub(super) const METHOD: u8 = 1;
pub(super) const END: u8 = 0xCE;

/// The only channel that is opened.
const CHANNEL: u16 = 1;

/// Who logs in, and by which mechanism: the answer to `Start`.
pub(super) fn start_ok(mechanism: &str, response: &str) -> Vec<u8> {
    let mut capabilities = Vec::new();
    // With the first capability, a server reports a refused login, instead of just closing the
    // connection.
    for name in ["authentication_failure_close", "connection.blocked"] {
        push_argument(&mut capabilities, name, &Value::Bool(true));
    }
    let mut properties = Vec::new();
    for (name, value) in [
        ("product", env!("CARGO_PKG_NAME")),
        ("version", env!("CARGO_PKG_VERSION")),
        ("connection_name", env!("CARGO_PKG_NAME")),
    ] {
        push_argument(&mut properties, name, &Value::Text(value.to_owned()));
    }
    push_short_string(&mut properties, "capabilities");
    properties.push(b'F');
    push_long_string(&mut properties, &capabilities);

    let mut fields = Vec::new();
    push_long_string(&mut fields, &properties);
    push_short_string(&mut fields, mechanism);
    push_long_string(&mut fields, response.as_bytes());
    push_short_string(&mut fields, "en_US");
    frame(0, (10, 11), &fields)
}

/// Accepts the server's limits, turns heartbeats off, and opens a virtual host.
pub(super) fn tune_ok_and_open(channels: u16, frame_max: u32, host: &str) -> Vec<u8> {
    let heartbeat = 0_u16.to_be_bytes();
    let limits = [&channels.to_be_bytes()[..], &frame_max.to_be_bytes(), &heartbeat].concat();
    let mut fields = Vec::new();
    push_short_string(&mut fields, host);
    fields.extend([0, 0]);
    [frame(0, (10, 31), &limits), frame(0, (10, 40), &fields)].concat()
}

/// Opens the channel.
pub(super) fn open_channel() -> Vec<u8> {
    frame(CHANNEL, (20, 10), &[0])
}

/// Asks whether there is a queue of this name, without creating it.
pub(super) fn declare_passively(queue: &str) -> Vec<u8> {
    const PASSIVE: u8 = 1;
    declare(queue, PASSIVE, &[])
}

/// Declares a durable queue with these arguments, a whole table without its length.
pub(super) fn declare_durable(queue: &str, arguments: &[u8]) -> Vec<u8> {
    const DURABLE: u8 = 2;
    declare(queue, DURABLE, arguments)
}

fn declare(queue: &str, flags: u8, arguments: &[u8]) -> Vec<u8> {
    let mut fields = vec![0, 0];
    push_short_string(&mut fields, queue);
    fields.push(flags);
    push_long_string(&mut fields, arguments);
    frame(CHANNEL, (50, 10), &fields)
}

/// Asks for a message that is acknowledged later.
pub(super) fn get(queue: &str) -> Vec<u8> {
    let mut fields = vec![0, 0];
    push_short_string(&mut fields, queue);
    fields.push(0);
    frame(CHANNEL, (60, 70), &fields)
}

/// Puts a message back into its queue.
pub(super) fn requeue(delivery_tag: u64) -> Vec<u8> {
    const REQUEUE: u8 = 1;
    frame(CHANNEL, (60, 90), &[&delivery_tag.to_be_bytes()[..], &[REQUEUE]].concat())
}

/// A value of a table of arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Bool(bool),
    Number(i64),
    Text(String),
}

/// Pushes an entry to a table of arguments.
pub(super) fn push_argument(to: &mut Vec<u8>, name: &str, value: &Value) {
    push_short_string(to, name);
    match value {
        Value::Bool(value) => to.extend([b't', u8::from(*value)]),
        Value::Number(value) => {
            to.push(b'l');
            to.extend(value.to_be_bytes());
        }
        Value::Text(value) => {
            to.push(b'S');
            push_long_string(to, value.as_bytes());
        }
    }
}

/// Acknowledges the close of the channel.
pub(super) fn channel_close_ok() -> Vec<u8> {
    frame(CHANNEL, (20, 41), &[])
}

/// Ends the connection.
pub(super) fn close() -> Vec<u8> {
    const REPLY_SUCCESS: [u8; 2] = 200_u16.to_be_bytes();
    frame(0, (10, 50), &[&REPLY_SUCCESS[..], &[0; 5]].concat())
}

/// Acknowledges the close of the connection.
pub(super) fn close_ok() -> Vec<u8> {
    frame(0, (10, 51), &[])
}

pub(super) fn frame(channel: u16, (class, method): (u16, u16), fields: &[u8]) -> Vec<u8> {
    let mut frame = vec![METHOD];
    frame.extend(channel.to_be_bytes());
    let method = [class.to_be_bytes(), method.to_be_bytes()].concat();
    push_long_string(&mut frame, &[&method, fields].concat());
    frame.push(END);
    frame
}

/// Pushes the length of `text` and the text; a text longer than the length can express is cut.
fn push_short_string(to: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    to.push(length);
    to.extend(&text.as_bytes()[..length.into()]);
}

/// The same with a longer length; options are limited to much less.
fn push_long_string(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    to.extend(length.to_be_bytes());
    to.extend(bytes);
}
