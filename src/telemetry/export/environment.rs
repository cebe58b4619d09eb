//! Reads the standard `OTEL_*` variables about telemetry, once.
//!
//! Input: a lookup of variables and the settings of the file. Output: a [`Plan`]. A variable that
//! is set takes precedence over the file; an empty one counts as unset. A value that is not
//! supported is a [`Problem`], never ignored, and no message shows the value of a header or of an
//! endpoint.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::SpanLimits;
use opentelemetry_semantic_conventions::resource as names;

use super::super::Settings;
use super::target::Target;
use super::variables::{Problem, Reader, bad_pair, pairs};

/// Whether and how traces are recorded and sent.
#[derive(Debug)]
pub(in crate::telemetry) struct Plan {
    /// `OTEL_SDK_DISABLED`: no spans and no ids at all.
    pub(in crate::telemetry) disabled: bool,
    pub(in crate::telemetry) sampling: Sampling,
    pub(in crate::telemetry) propagators: Vec<Propagator>,
    pub(in crate::telemetry) resource: Vec<KeyValue>,
    /// The `service.name` among them.
    pub(in crate::telemetry) service_name: String,
    pub(in crate::telemetry) limits: SpanLimits,
    /// Where spans go; `None` when they go nowhere.
    pub(in crate::telemetry) target: Option<Target>,
    pub(in crate::telemetry) batching: Batching,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::telemetry) enum Sampling {
    /// Nothing is recorded, failures included.
    Off,
    Share(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::telemetry) enum Propagator {
    TraceContext,
    Baggage,
}

/// `OTEL_BSP_*`: how spans are gathered into batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::telemetry) struct Batching {
    /// Longest a span waits for a full batch; zero sends each trace at once.
    pub(in crate::telemetry) delay: Duration,
    /// Longest one batch may take, attempts and pauses included.
    pub(in crate::telemetry) timeout: Duration,
    /// Spans that wait at most.
    pub(in crate::telemetry) queue: usize,
    /// Spans in a batch at most.
    pub(in crate::telemetry) size: usize,
}

/// Reads the plan.
pub(in crate::telemetry) fn plan(
    settings: &Settings,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Plan, Vec<Problem>> {
    let mut reader = Reader { env, problems: Vec::new() };
    for name in ["OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"] {
        if reader.get(name).is_some() {
            let message = "a file in place of the variables is not read; unset it, and use the \
                           OTEL_* variables or [telemetry] of the configuration";
            reader.problem(name, message);
        }
    }
    let disabled = reader.switch("OTEL_SDK_DISABLED");
    let propagators = reader.propagators();
    let mut plan = Plan {
        disabled,
        sampling: Sampling::Share(settings.keep_healthy_traces),
        propagators,
        service_name: String::new(),
        resource: Vec::new(),
        limits: SpanLimits::default(),
        target: None,
        batching: Batching {
            delay: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            queue: 2_048,
            size: 512,
        },
    };
    (plan.service_name, plan.resource) = reader.resource(settings);
    if !disabled {
        plan.sampling = reader.sampling(settings);
        plan.limits = reader.limits();
        plan.target = reader.target(settings);
        plan.batching = reader.batching(plan.batching);
    }
    if reader.problems.is_empty() { Ok(plan) } else { Err(reader.problems) }
}

impl Reader<'_> {
    fn propagators(&mut self) -> Vec<Propagator> {
        const NAME: &str = "OTEL_PROPAGATORS";
        const RIGHT: &str = "a list of tracecontext and baggage, or none";
        let Some(value) = self.get(NAME) else {
            return vec![Propagator::TraceContext, Propagator::Baggage];
        };
        if value == "none" {
            return Vec::new();
        }
        let mut chosen = Vec::new();
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let propagator = match name {
                "tracecontext" => Propagator::TraceContext,
                "baggage" => Propagator::Baggage,
                other => {
                    self.unsupported(NAME, other, RIGHT);
                    continue;
                }
            };
            if !chosen.contains(&propagator) {
                chosen.push(propagator);
            }
        }
        chosen
    }

    fn sampling(&mut self, settings: &Settings) -> Sampling {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let Some(sampler) = self.get(NAME) else {
            let share = settings.keep_healthy_traces;
            if !(0.0..=1.0).contains(&share) {
                let message = format!("{share} is not a share; use a number from 0 to 1");
                self.problem("keep_healthy_traces", message);
            }
            return Sampling::Share(share);
        };
        // The root of a run never has a parent, so that the parent-based samplers are their roots'.
        match sampler.strip_prefix("parentbased_").unwrap_or(&sampler) {
            "always_on" => Sampling::Share(1.0),
            "always_off" => Sampling::Off,
            "traceidratio" => Sampling::Share(self.ratio()),
            _ => {
                let right = "always_on, always_off, traceidratio or one of them after parentbased_";
                self.unsupported(NAME, &sampler, right);
                Sampling::Off
            }
        }
    }

    fn ratio(&mut self) -> f64 {
        const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
        let Some(value) = self.get(NAME) else { return 1.0 };
        match value.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
            _ => {
                self.unsupported(NAME, &value, "a number from 0 to 1");
                1.0
            }
        }
    }

    fn limits(&mut self) -> SpanLimits {
        for name in ["OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"]
        {
            if self.get(name).is_some() {
                self.problem(name, "attribute values are never cut; unset it");
            }
        }
        let mut limits = SpanLimits::default();
        let attributes = self.number("OTEL_ATTRIBUTE_COUNT_LIMIT");
        for (name, limit) in [
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", &mut limits.max_attributes_per_span),
            ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", &mut limits.max_attributes_per_event),
            ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", &mut limits.max_attributes_per_link),
        ] {
            *limit = self.number(name).or(attributes).unwrap_or(*limit);
        }
        for (name, limit) in [
            ("OTEL_SPAN_EVENT_COUNT_LIMIT", &mut limits.max_events_per_span),
            ("OTEL_SPAN_LINK_COUNT_LIMIT", &mut limits.max_links_per_span),
        ] {
            *limit = self.number(name).unwrap_or(*limit);
        }
        limits
    }

    fn batching(&mut self, default: Batching) -> Batching {
        let millis = |n: u32| Duration::from_millis(n.into());
        let size_of = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let queue = self.number("OTEL_BSP_MAX_QUEUE_SIZE").map_or(default.queue, size_of);
        let size = self.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE");
        if size.is_some_and(|size| size_of(size) > queue) {
            let message = format!("more than the queue holds; use {queue} at most");
            self.problem("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", message);
        }
        Batching {
            delay: self.millis_or_zero("OTEL_BSP_SCHEDULE_DELAY").unwrap_or(default.delay),
            timeout: self.number("OTEL_BSP_EXPORT_TIMEOUT").map_or(default.timeout, millis),
            queue,
            size: size.map_or(default.size.min(queue), size_of),
        }
    }

    /// The service's name, and the attributes with it among them.
    fn resource(&mut self, settings: &Settings) -> (String, Vec<KeyValue>) {
        let service = &settings.service;
        let mut attributes = vec![
            KeyValue::new(names::SERVICE_VERSION, service.version.clone()),
            KeyValue::new(names::SERVICE_INSTANCE_ID, service.instance.clone()),
        ];
        if let Some(environment) = &service.environment {
            attributes.push(KeyValue::new(names::DEPLOYMENT_ENVIRONMENT_NAME, environment.clone()));
        }
        let named = self.resource_attributes();
        let name_among = named.iter().rfind(|a| a.key.as_str() == names::SERVICE_NAME);
        let name = self
            .get("OTEL_SERVICE_NAME")
            .or_else(|| name_among.map(|a| a.value.to_string()))
            .unwrap_or_else(|| service.name.clone());
        attributes.extend(named);
        attributes.push(KeyValue::new(names::SERVICE_NAME, name.clone()));
        (name, attributes)
    }

    fn resource_attributes(&mut self) -> Vec<KeyValue> {
        const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
        let Some(value) = self.get(NAME) else { return Vec::new() };
        match pairs(&value) {
            Ok(pairs) => pairs.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
            Err(entry) => {
                self.problem(NAME, bad_pair(entry));
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Service;

    fn delay(value: Option<&str>) -> Duration {
        let [name, version, instance] = ["orders", "1", "orders-1"].map(str::to_owned);
        let service = Service { name, version, instance, environment: None };
        let settings = Settings::new(service);
        let env =
            |name: &str| value.filter(|_| name == "OTEL_BSP_SCHEDULE_DELAY").map(str::to_owned);
        plan(&settings, &env).expect("nothing is wrong").batching.delay
    }

    #[test]
    fn a_delay_of_zero_is_none_and_not_the_default() {
        assert_eq!(delay(Some("0")), Duration::ZERO);
        assert_eq!(delay(Some("20")), Duration::from_millis(20));
        assert_eq!(delay(Some("")), delay(None));
        assert!(delay(None) > Duration::ZERO);
    }
}
