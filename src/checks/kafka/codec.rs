//! Encodes the requests and decodes the answers of Kafka's protocol that this kind needs. All use
//! versions without compact and tagged fields, which Kafka 1.0 to 4 and compatible brokers support.

use crate::net::{ParseError, Parsed};

/// A request that a broker may know, in the version that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Api {
    pub(super) name: &'static str,
    key: i16,
    pub(super) version: i16,
}

/// Which requests the broker knows.
pub(super) const API_VERSIONS: Api = Api { name: "ApiVersions", key: 18, version: 0 };
/// The brokers of the cluster, and the state of a topic.
pub(super) const METADATA: Api = Api { name: "Metadata", key: 3, version: 4 };
/// The login mechanism.
pub(super) const SASL_HANDSHAKE: Api = Api { name: "SaslHandshake", key: 17, version: 1 };
/// A step of logging in.
pub(super) const SASL_AUTHENTICATE: Api = Api { name: "SaslAuthenticate", key: 36, version: 0 };

/// Octets of a length, and of a number that an answer repeats of its request.
const WORD: usize = 4;

/// A whole request with this number and these fields.
pub(super) fn request(api: Api, number: i32, fields: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(api.key.to_be_bytes());
    message.extend(api.version.to_be_bytes());
    message.extend(number.to_be_bytes());
    push_string(&mut message, env!("CARGO_PKG_NAME"));
    message.extend(fields);
    let mut request = Vec::new();
    push_bytes(&mut request, &message);
    request
}

/// The answer to the request with this number, its fields read by `read`; no longer than `most`.
pub(super) fn answer<T>(
    bytes: &[u8],
    number: i32,
    most: usize,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Parsed<T> {
    let Some(head) = bytes.first_chunk::<{ 2 * WORD }>() else { return Ok(None) };
    let [l0, l1, l2, l3, n0, n1, n2, n3] = *head;
    // Checked first, because a length that is far too large is probably another protocol.
    if i32::from_be_bytes([n0, n1, n2, n3]) != number {
        return Err(ParseError::Unexpected);
    }
    let length = i32::from_be_bytes([l0, l1, l2, l3]);
    let length = usize::try_from(length).map_err(|_| ParseError::Unexpected)?;
    if length > most {
        return Err(ParseError::TooLarge);
    }
    let end = WORD + length;
    if length < WORD {
        return Err(ParseError::Unexpected);
    }
    let Some(fields) = bytes.get(2 * WORD..end) else { return Ok(None) };
    let answer = read(&mut Fields(fields)).ok_or(ParseError::Unexpected)?;
    Ok(Some((answer, end)))
}

/// The request for a topic, or for none. It never creates a topic.
pub(super) fn metadata(topic: Option<&str>) -> Vec<u8> {
    let mut fields = Vec::new();
    // A null list would mean every topic.
    fields.extend(i32::from(topic.is_some()).to_be_bytes());
    if let Some(topic) = topic {
        push_string(&mut fields, topic);
    }
    let allow_auto_topic_creation = 0;
    fields.push(allow_auto_topic_creation);
    fields
}

/// How to log in.
pub(super) fn sasl_handshake(mechanism: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    push_string(&mut fields, mechanism);
    fields
}

/// A message of that login.
pub(super) fn sasl_authenticate(message: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    push_bytes(&mut fields, message.as_bytes());
    fields
}

/// Options are limited to much less than these lengths can express.
fn push_string(to: &mut Vec<u8>, text: &str) {
    let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
    to.extend(length.to_be_bytes());
    to.extend(text.as_bytes());
}

fn push_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    to.extend(length.to_be_bytes());
    to.extend(bytes);
}

/// Which requests a broker knows, in which versions.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ApiVersions {
    pub(super) error: i16,
    apis: Vec<(i16, i16, i16)>,
}

impl ApiVersions {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let error = fields.short()?;
        let mut apis = Vec::new();
        for _ in 0..fields.count()? {
            apis.push((fields.short()?, fields.short()?, fields.short()?));
        }
        Some(Self { error, apis })
    }

    /// Whether it knows the request in the version that is sent.
    pub(super) fn includes(&self, api: Api) -> bool {
        self.apis
            .iter()
            .any(|(key, min, max)| *key == api.key && (*min..=*max).contains(&api.version))
    }
}

/// Whether a login mechanism is accepted, and which ones are supported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    pub(super) error: i16,
    pub(super) mechanisms: Vec<String>,
}

impl Handshake {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let error = fields.short()?;
        let mut mechanisms = Vec::new();
        for _ in 0..fields.count()? {
            mechanisms.push(fields.string()?);
        }
        Some(Self { error, mechanisms })
    }
}

/// A broker's answer to a step of the login.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SaslResponse {
    pub(super) error: i16,
    /// Why it refuses.
    pub(super) message: String,
    /// The next message of the login, from the broker.
    pub(super) answer: String,
}

impl SaslResponse {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let (error, message) = (fields.short()?, fields.string()?);
        let length = fields.count()?;
        let answer = String::from_utf8_lossy(fields.take(length)?).into_owned();
        Some(Self { error, message, answer })
    }
}

/// What a broker reports of its cluster.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) brokers: u32,
    /// Whether one of them leads the cluster itself.
    pub(super) has_controller: bool,
    /// The topics that were asked for.
    pub(super) topics: Vec<Topic>,
}

/// What a broker reports of a topic.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) error: i16,
    pub(super) name: String,
    pub(super) partitions: u32,
    pub(super) leaderless: u32,
    pub(super) under_replicated: u32,
    /// Partitions without any listed replica, so that no replica can be missing.
    pub(super) without_replicas: u32,
}

impl Cluster {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let _throttled = fields.long()?;
        let mut brokers = 0;
        for _ in 0..fields.count()? {
            let (_id, _host, _port) = (fields.long()?, fields.string()?, fields.long()?);
            let _rack = fields.string()?;
            brokers += 1;
        }
        let _cluster = fields.string()?;
        let has_controller = fields.long()? >= 0;
        let mut topics = Vec::new();
        for _ in 0..fields.count()? {
            topics.push(Topic::read(fields)?);
        }
        Some(Self { brokers, has_controller, topics })
    }
}

impl Topic {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let (error, name) = (fields.short()?, fields.string()?);
        let mut topic = Self { error, name, ..Self::default() };
        let _internal = fields.take(1)?;
        for _ in 0..fields.count()? {
            let (_error, _index, leader) = (fields.short()?, fields.long()?, fields.long()?);
            let (replicas, in_sync) = (fields.longs()?, fields.longs()?);
            topic.partitions += 1;
            topic.leaderless += u32::from(leader < 0);
            topic.under_replicated += u32::from(in_sync < replicas);
            topic.without_replicas += u32::from(replicas == 0);
        }
        Some(topic)
    }
}

/// The fields of an answer that were not read yet.
#[derive(Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(WORD)?.try_into().ok()?))
    }

    /// The length of a list; -1 means null. No memory is reserved by it.
    fn count(&mut self) -> Option<usize> {
        match self.long()? {
            -1 => Some(0),
            count => usize::try_from(count).ok(),
        }
    }

    /// How many numbers there are, without the numbers themselves.
    fn longs(&mut self) -> Option<usize> {
        let count = self.count()?;
        self.take(count.checked_mul(WORD)?)?;
        Some(count)
    }

    /// A text; empty where there is none.
    fn string(&mut self) -> Option<String> {
        let text = match self.short()? {
            -1 => &[],
            length => self.take(usize::try_from(length).ok()?)?,
        };
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 1024;
    const NUMBER: i32 = 0x0102_0304;

    /// An answer with these fields.
    fn answering(fields: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        push_bytes(&mut bytes, &[&NUMBER.to_be_bytes(), fields].concat());
        bytes
    }

    fn of<T>(bytes: &[u8], read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Parsed<T> {
        answer(bytes, NUMBER, MOST, read)
    }

    #[test]
    fn a_request_names_its_version_its_number_and_who_asks() {
        let wanted = b"\0\0\0\x1c\0\x03\0\x04\x01\x02\x03\x04\0\x09vitalsign\0\0\0\x01\0\x01q\0";
        let sent = request(METADATA, NUMBER, &metadata(Some("q")));
        assert_eq!(sent[4..], wanted[4..]);
        assert_eq!(sent.len() - 4, usize::from(sent[3]));
        assert_eq!(metadata(None), [0, 0, 0, 0, 0]);
        assert_eq!(sasl_authenticate("x"), b"\0\0\0\x01x");
    }

    /// What the broker Tansu was seen to answer, and the same with faults.
    #[test]
    fn metadata_reports_brokers_and_a_topic() {
        let of_partition = |leader: i32, in_sync: &[u8]| {
            let start = [b"\0\0\0\0\0\x01", &leader.to_be_bytes()[..]].concat();
            [&start, &b"\0\0\0\x01\0\0\0\x6f"[..], in_sync].concat()
        };
        let in_sync = b"\0\0\0\x01\0\0\0\x6f";
        let fields = [
            &b"\0\0\0\0\0\0\0\x01\0\0\0\x6f\0\x09127.0.0.1\0\0\x98\xb4\xff\xff\0\x05tansu"[..],
            b"\0\0\0\x6f\0\0\0\x01\0\0\0\x06orders\0\0\0\0\x03",
            &of_partition(111, in_sync),
            &of_partition(-1, in_sync),
            &of_partition(111, b"\0\0\0\0"),
        ]
        .concat();
        let (cluster, length) = of(&answering(&fields), Cluster::read).unwrap().unwrap();
        let name = "orders".to_owned();
        let topic =
            Topic { name, partitions: 3, leaderless: 1, under_replicated: 1, ..Topic::default() };
        let wanted = Cluster { brokers: 1, has_controller: true, topics: vec![topic] };
        assert_eq!((cluster, length), (wanted, 8 + fields.len()));
    }

    #[test]
    fn an_api_is_known_within_its_versions() {
        let known = answering(b"\0\0\0\0\0\x02\0\x03\0\x04\0\x0d\0\x11\0\0\0\0");
        let (known, _) = of(&known, ApiVersions::read).unwrap().unwrap();
        assert!(known.error == 0 && known.includes(METADATA));
        assert!(!known.includes(SASL_HANDSHAKE) && !known.includes(SASL_AUTHENTICATE));
    }

    #[test]
    fn an_answer_is_known_by_its_number_and_bounded() {
        assert_eq!(of(b"HTTP/1.1 400", ApiVersions::read), Err(ParseError::Unexpected));
        assert_eq!(
            of(b"\0\xff\xff\xff\x01\x02\x03\x04", ApiVersions::read),
            Err(ParseError::TooLarge)
        );
        assert_eq!(
            of(b"\xff\xff\xff\xff\x01\x02\x03\x04", ApiVersions::read),
            Err(ParseError::Unexpected)
        );
        assert_eq!(
            of(b"\0\0\0\x03\x01\x02\x03\x04", ApiVersions::read),
            Err(ParseError::Unexpected)
        );
        // All announced items must be present.
        let many = answering(b"\0\0\x7f\xff\xff\xff\0\x03\0\0\0\x09");
        assert_eq!(of(&many, ApiVersions::read), Err(ParseError::Unexpected));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_a_part_of_an_answer_is_none(
            fields in proptest::collection::vec(
                prop_oneof![4 => Just(0), 1 => any::<u8>(), 2 => 0_u8..5], 0..80,
            ),
        ) {
            let whole = answering(&fields);
            for part in 0..whole.len() {
                prop_assert_eq!(of(&whole[..part], Cluster::read), Ok(None));
            }
            let _ = of(&whole, Cluster::read);
            let _ = of(&whole, ApiVersions::read);
            let _ = of(&whole, Handshake::read);
            let _ = of(&whole, SaslResponse::read);
            let _ = of(&fields, Cluster::read);
        }
    }
}
